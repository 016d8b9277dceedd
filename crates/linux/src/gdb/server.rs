//! The server thread: packets in, answers out; while the program runs it waits for a stop, the program's end, or Ctrl-C.

use super::files::Files;
use super::packet::{Connection, Incoming, LIMIT, hex, number, unhex};
use super::registers::{self, Register};
use super::{CONT, End, Reason, STEP, Shared};
use crate::abi::Abi;
use crate::abi::siginfo::Siginfo;
use crate::ptrace::watch;
use crate::uaccess::Mem;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Result;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

/// Waits for a debugger at a port of this machine, at `HOST:PORT`, or at a socket with that path. Its connection.
///
/// # Errors
/// What the host says of the address.
pub fn accept(address: &OsStr) -> Result<i32> {
    let text = address.to_string_lossy();
    if let Some(at) = text.parse::<u16>().ok().map(|port| format!("127.0.0.1:{port}")).or_else(|| {
        let (_, port) = text.rsplit_once(':')?;
        port.parse::<u16>().is_ok().then(|| text.trim_start_matches("tcp:").to_owned())
    }) {
        let at = if at.starts_with(':') { format!("0.0.0.0{at}") } else { at };
        let stream = TcpListener::bind(&at)?.accept()?.0;
        stream.set_nodelay(true)?;
        return Ok(stream.into_raw_fd());
    }
    let listener = UnixListener::bind(address)?;
    let stream = listener.accept().map(|(stream, _)| stream.into_raw_fd());
    let _ = std::fs::remove_file(address);
    stream
}

/// What comes of a packet.
enum Answer {
    Text(String),
    Bytes(Vec<u8>),
    /// Nothing now: the program runs.
    Run,
    /// The debugger leaves.
    Detach,
    Kill,
}

/// One debugger's session.
pub struct Server {
    connection: Connection<File>,
    event: i32,
    process: Shared,
    mem: Mem,
    /// The thread of `g`, `m` and so on.
    current: i32,
    registers: Vec<Register>,
    files: Files,
    /// What `?` answers.
    last: String,
    /// Behind execve(2): the stop is to be told without being asked for.
    is_continued: bool,
    /// Kind ([`watch`]), address and length.
    watched: Vec<(u64, u64, u64)>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("current", &self.current).finish_non_exhaustive()
    }
}

fn text(answer: &str) -> Answer {
    Answer::Text(answer.to_owned())
}

impl Server {
    /// A session on the connection `fd`.
    pub fn new(fd: i32, event: i32, process: Shared, mem: Mem, tid: i32, is_continued: bool) -> Server {
        // SAFETY: a duplicate, which the session owns.
        let stream = unsafe { File::from_raw_fd(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 900)) };
        let avx = process.engine.features().xcr0() & 4 != 0;
        let registers = registers::all(!process.is_32bit, avx);
        let mut connection = Connection::new(stream);
        // Only a debugger that had asked for it before goes on without.
        connection.no_ack = is_continued;
        let files = Files::new(process.clone());
        Server {
            connection,
            event,
            process,
            mem,
            current: tid,
            registers,
            files,
            last: String::new(),
            is_continued,
            watched: Vec::new(),
        }
    }

    /// Until the debugger leaves or the program ends.
    pub fn run(&mut self) {
        let _ = self.serve();
        super::told();
    }

    fn serve(&mut self) -> Result<()> {
        self.settle();
        self.last = self.report().unwrap_or_else(|| "S05".to_owned());
        if self.is_continued {
            self.connection.send(self.last.clone().as_bytes())?;
        }
        loop {
            let Incoming::Packet(packet) = self.connection.receive()? else { continue };
            match self.handle(&packet) {
                Answer::Text(answer) => self.connection.send(answer.as_bytes())?,
                Answer::Bytes(answer) => self.connection.send(&answer)?,
                Answer::Run => {
                    let reply = self.wait()?;
                    self.connection.send(reply.as_bytes())?;
                    if reply.starts_with(['W', 'X']) {
                        super::told();
                        return Ok(());
                    }
                    self.last = reply;
                }
                Answer::Detach => return self.connection.send(b"OK"),
                Answer::Kill => {
                    if packet.starts_with(b"vKill") {
                        self.connection.send(b"OK")?;
                    }
                    // SAFETY: a signal to this process.
                    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
                }
            }
            if packet == b"QStartNoAckMode" {
                self.connection.no_ack = true;
            }
        }
    }

    /// Waits until all threads have stopped, as long as that takes in reason.
    fn settle(&self) {
        let until = Instant::now() + Duration::from_secs(3);
        while !super::all_stopped() && super::lock().end.is_none() && Instant::now() < until {
            self.sleep(20, false);
        }
    }

    /// Waits for an event; whether the debugger sent something.
    fn sleep(&self, milliseconds: i32, listens: bool) -> bool {
        let fd = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut fds = [fd(self.event), fd(self.connection.as_raw_fd())];
        let mut count = 0u64;
        // SAFETY: two live descriptors of ours and a word.
        unsafe {
            libc::poll(fds.as_mut_ptr(), if listens { 2 } else { 1 }, milliseconds);
            libc::read(self.event, (&raw mut count).cast(), 8);
        }
        listens && fds[1].revents != 0
    }

    /// While the program runs: until there is something to be told.
    fn wait(&mut self) -> Result<String> {
        let mut asked = false;
        loop {
            if super::lock().threads.values().any(|t| t.reason.is_some()) || asked {
                super::stop_all();
                self.settle();
            }
            if let Some(end) = super::lock().end {
                return Ok(match end {
                    End::Exited(status) => format!("W{:02x}", status & 0xff),
                    End::Killed(signo) => format!("X{:02x}", to_gdb(signo)),
                });
            }
            if let Some(report) = self.report() {
                return Ok(report);
            }
            if asked {
                let alive = super::lock().threads.keys().next().copied().unwrap_or(self.current);
                return Ok(self.stop_reply(alive, "02", ""));
            }
            if (self.connection.has_more() || self.sleep(-1, true)) && self.connection.receive()? == Incoming::Interrupt
            {
                asked = true;
            }
        }
    }

    /// The next reason that was not told yet.
    fn report(&mut self) -> Option<String> {
        loop {
            let (tid, reason) = {
                let mut state = super::lock();
                state.threads.iter_mut().find_map(|(&tid, thread)| Some((tid, thread.reason.take()?)))?
            };
            return Some(match reason {
                // It was taken away before it could be told.
                Reason::Breakpoint(at) if !super::breakpoints().contains(&at) => continue,
                Reason::Breakpoint(_) => self.stop_reply(tid, "05", "swbreak:;"),
                Reason::Signal(libc::SIGTRAP) => {
                    let found = super::found(tid).map_or(String::new(), |(addr, kind)| match kind {
                        watch::EXECUTION => "hwbreak:;".to_owned(),
                        watch::WRITES => format!("watch:{addr:x};"),
                        _ => format!("awatch:{addr:x};"),
                    });
                    self.stop_reply(tid, "05", &found)
                }
                Reason::Signal(signo) => self.stop_reply(tid, &format!("{:02x}", to_gdb(signo)), ""),
                Reason::Exec(file) => self.stop_reply(tid, "05", &format!("exec:{};", hex(file.as_bytes()))),
            });
        }
    }

    fn stop_reply(&mut self, tid: i32, signal: &str, more: &str) -> String {
        self.current = tid;
        let wide = !self.process.is_32bit;
        let named = super::with_record(tid, |record| {
            let one = |n: usize| format!("{n:02x}:{};", hex(&self.registers[n].read(record, wide)));
            registers::expedited(wide).map(one).concat()
        });
        format!("T{signal}{}{more}thread:{tid:x};", named.unwrap_or_default())
    }

    fn handle(&mut self, packet: &[u8]) -> Answer {
        if packet.starts_with(b"X") {
            return self.write_binary(packet);
        }
        let all = String::from_utf8_lossy(packet).into_owned();
        if let Some(file) = all.strip_prefix("vFile:") {
            return Answer::Bytes(self.files.handle(file));
        }
        let rest = all.get(1..).unwrap_or_default();
        match packet.first() {
            Some(b'?') => Answer::Text(self.last.clone()),
            Some(b'!') => text("OK"),
            Some(b'g') => self.get_all(),
            Some(b'G') => self.set_all(rest),
            Some(b'p') => self.get_one(rest),
            Some(b'P') => self.set_one(rest),
            Some(b'm') => self.read(rest),
            Some(b'M') => self.write_hex(rest),
            Some(b'Z' | b'z') => self.breakpoint(&all),
            Some(b'c' | b's' | b'C' | b'S') => self.resume_old(&all),
            Some(b'D') => Answer::Detach,
            Some(b'k') => Answer::Kill,
            Some(b'H') => self.select(rest),
            Some(b'T') => {
                let alive = thread(rest).is_some_and(|tid| super::lock().threads.contains_key(&tid));
                text(if alive { "OK" } else { "E01" })
            }
            Some(b'q' | b'Q') => self.query(&all),
            Some(b'v') => self.verb(&all),
            _ => text(""),
        }
    }

    fn select(&mut self, rest: &str) -> Answer {
        let Some(tid) = rest.get(1..).and_then(thread) else { return text("OK") };
        if rest.starts_with('g') && tid > 0 {
            if !super::lock().threads.contains_key(&tid) {
                return text("E01");
            }
            self.current = tid;
        }
        text("OK")
    }

    fn get_all(&self) -> Answer {
        let wide = !self.process.is_32bit;
        let values = super::with_record(self.current, |record| {
            self.registers.iter().map(|r| hex(&r.read(record, wide))).collect::<String>()
        });
        let unknown = || self.registers.iter().map(|r| "xx".repeat(r.size())).collect();
        Answer::Text(values.unwrap_or_else(unknown))
    }

    fn set_all(&self, rest: &str) -> Answer {
        let Some(bytes) = unhex(rest.as_bytes()) else { return text("E01") };
        let wide = !self.process.is_32bit;
        let done = super::with_record(self.current, |record| {
            let (mut at, mut is_fine) = (0, true);
            for register in &self.registers {
                let Some(value) = bytes.get(at..at + register.size()) else { break };
                is_fine &= register.write(record, wide, value);
                at += register.size();
            }
            is_fine
        });
        text(if done == Some(true) { "OK" } else { "E01" })
    }

    fn get_one(&self, rest: &str) -> Answer {
        let Some(register) = number(rest).and_then(|n| self.registers.get(n as usize)) else { return text("E01") };
        let wide = !self.process.is_32bit;
        let value = super::with_record(self.current, |record| hex(&register.read(record, wide)));
        Answer::Text(value.unwrap_or_else(|| "xx".repeat(register.size())))
    }

    fn set_one(&self, rest: &str) -> Answer {
        let parts = rest.split_once('=').and_then(|(n, value)| Some((number(n)?, unhex(value.as_bytes())?)));
        let Some((n, value)) = parts else { return text("E01") };
        let Some(register) = self.registers.get(n as usize) else { return text("E01") };
        let wide = !self.process.is_32bit;
        let done = super::with_record(self.current, |record| register.write(record, wide, &value));
        text(if done == Some(true) { "OK" } else { "E01" })
    }

    fn read(&self, rest: &str) -> Answer {
        let Some((at, len)) = range(rest) else { return text("E01") };
        let mut bytes = vec![0; len.min(LIMIT / 2)];
        // As much as there is, and only what is the guest's.
        if self.mem.space().find(at).is_none() {
            return text("E0e");
        }
        while !bytes.is_empty() {
            if self.mem.read_bytes(at, &mut bytes).is_ok() || self.by_file(|file| file.read_exact_at(&mut bytes, at)) {
                return Answer::Text(hex(&bytes));
            }
            let end = at.saturating_add(bytes.len() as u64 - 1) & !(crate::uaccess::PAGE - 1);
            bytes.truncate(end.saturating_sub(at) as usize);
        }
        text("E0e")
    }

    /// What the pages' permissions refuse, the process's own memory file allows, as it does for ptrace.
    fn by_file(&self, act: impl FnOnce(&File) -> Result<()>) -> bool {
        cfg!(target_pointer_width = "64")
            && File::options().read(true).write(true).open("/proc/self/mem").is_ok_and(|file| act(&file).is_ok())
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Answer {
        let last = at.checked_add(bytes.len() as u64);
        let inside = last.is_some_and(|end| end <= self.mem.space().layout().limit);
        // Only what is the guest's: Demotic's own memory lies between its mappings.
        let (mut next, end) = (at, last.unwrap_or(at));
        while let Some(vma) = self.mem.space().find(next).filter(|_| next < end) {
            next = vma.end;
        }
        let is_mapped = next >= end;
        let written = inside
            && is_mapped
            && (self.mem.write_bytes(at, bytes).is_ok() || self.by_file(|file| file.write_all_at(bytes, at)));
        if !written {
            return text("E0e");
        }
        self.process.engine.invalidate(at, bytes.len() as u64);
        text("OK")
    }

    fn write_hex(&self, rest: &str) -> Answer {
        let parts = rest.split_once(':').and_then(|(at, data)| Some((range(at)?, unhex(data.as_bytes())?)));
        match parts {
            Some(((at, len), bytes)) if len == bytes.len() => self.write(at, &bytes),
            _ => text("E01"),
        }
    }

    fn write_binary(&self, packet: &[u8]) -> Answer {
        let Some(colon) = packet.iter().position(|&b| b == b':') else { return text("E01") };
        match range(&String::from_utf8_lossy(&packet[1..colon])) {
            Some((at, len)) if len == packet.len() - colon - 1 => self.write(at, &packet[colon + 1..]),
            _ => text("E01"),
        }
    }

    /// `Z1` to `Z4` and `z1` to `z4`: as many as four debug registers have room for. The processor cannot tell reads alone.
    fn watchpoint(&mut self, packet: &str) -> Answer {
        let kind = match packet.as_bytes().get(1) {
            Some(b'1') => watch::EXECUTION,
            Some(b'2') => watch::WRITES,
            Some(b'4') => watch::ACCESSES,
            _ => return text(""),
        };
        let Some((at, len)) = packet.get(3..).and_then(range) else { return text("E01") };
        let this = (kind, at, len as u64);
        let mut new = self.watched.clone();
        new.retain(|other| *other != this);
        if packet.starts_with('Z') {
            new.push(this);
        }
        let Some(registers) = watch::registers(&new) else { return text("E01") };
        self.watched = new;
        super::set_watched(registers);
        text("OK")
    }

    /// `Z0,ADDRESS,KIND` and `z0`.
    fn breakpoint(&mut self, packet: &str) -> Answer {
        if packet.as_bytes().get(1) != Some(&b'0') {
            return self.watchpoint(packet);
        }
        let Some(at) = packet.split(',').nth(1).and_then(number) else { return text("E01") };
        let mut all = super::breakpoints().to_vec();
        all.retain(|&other| other != at);
        if packet.starts_with('Z') {
            if self.mem.space().find(at).is_none() {
                return text("E0e");
            }
            all.push(at);
        }
        super::set_breakpoints(all);
        self.process.engine.invalidate(at, 1);
        text("OK")
    }

    /// `c`, `s`, `C SIG`, `S SIG`, for all threads.
    fn resume_old(&mut self, packet: &str) -> Answer {
        let how = if packet.starts_with(['s', 'S']) { STEP } else { CONT };
        let signo = if packet.starts_with(['C', 'S']) {
            packet.get(1..3).and_then(number).map_or(0, |n| from_gdb(n as i32))
        } else {
            0
        };
        let current = self.current;
        let tids: Vec<i32> = super::lock().threads.keys().copied().collect();
        let plan: Vec<_> =
            tids.into_iter().map(|tid| if tid == current { (tid, how, signo) } else { (tid, CONT, 0) }).collect();
        self.go(&plan, true)
    }

    /// Lets threads go on, unless one of them has something to tell.
    fn go(&self, plan: &[(i32, u32, i32)], others: bool) -> Answer {
        let waiting = {
            let mut state = super::lock();
            let gone = |at: u64| !super::breakpoints().contains(&at);
            for thread in state.threads.values_mut() {
                if matches!(thread.reason, Some(Reason::Breakpoint(at)) if gone(at)) {
                    thread.reason = None;
                }
            }
            plan.iter().any(|(tid, ..)| state.threads.get(tid).is_some_and(|t| t.reason.is_some()))
        };
        if !waiting {
            super::resume(plan, others);
        }
        Answer::Run
    }

    fn verb(&mut self, packet: &str) -> Answer {
        if packet == "vCont?" {
            return text("vCont;c;C;s;S");
        }
        if packet.starts_with("vKill") {
            return Answer::Kill;
        }
        let Some(actions) = packet.strip_prefix("vCont;") else { return text("") };
        let tids: Vec<i32> = super::lock().threads.keys().copied().collect();
        let (mut plan, mut others) = (Vec::<(i32, u32, i32)>::new(), false);
        for action in actions.split(';') {
            let (what, whom) =
                action.split_once(':').map_or((action, -1), |(what, tid)| (what, thread(tid).unwrap_or(0)));
            if !what.starts_with(['c', 'C', 's', 'S']) {
                return text("E01");
            }
            let signo = what.get(1..3).and_then(number).map_or(0, |n| from_gdb(n as i32));
            let how = if what.starts_with(['s', 'S']) { STEP } else { CONT };
            others |= whom == -1;
            for &tid in tids.iter().filter(|&&tid| whom == -1 || whom == tid) {
                // The first action that fits counts.
                if !plan.iter().any(|p| p.0 == tid) {
                    plan.push((tid, how, signo));
                }
            }
        }
        if plan.is_empty() { text("E01") } else { self.go(&plan, others) }
    }

    fn query(&mut self, packet: &str) -> Answer {
        if let Some(rest) = packet.strip_prefix("qXfer:") {
            return self.transfer(rest);
        }
        if let Some(list) = packet.strip_prefix("QPassSignals:") {
            let signals = list.split(';').filter_map(number).map(|n| from_gdb(n as i32));
            super::set_passed(signals.filter(|s| (1..=64).contains(s)).fold(0, |set, s| set | 1 << (s - 1)));
            return text("OK");
        }
        if let Some(tid) = packet.strip_prefix("qThreadExtraInfo,").and_then(thread) {
            return Answer::Text(hex(name(tid).as_bytes()));
        }
        let word = packet.split(':').next().unwrap_or_default();
        match word {
            "qSupported" => Answer::Text(format!(
                "PacketSize={LIMIT:x};QStartNoAckMode+;swbreak+;hwbreak+;exec-events+;vContSupported+;QPassSignals+;qXfer:features:read+;\
                 qXfer:auxv:read+;qXfer:exec-file:read+;qXfer:threads:read+;qXfer:siginfo:read+"
            )),
            "QStartNoAckMode" => text("OK"),
            "qAttached" => text("0"),
            "qSymbol" => text("OK"),
            "qC" => Answer::Text(format!("QC{:x}", self.current)),
            "qfThreadInfo" => {
                let tids: Vec<String> = super::lock().threads.keys().map(|tid| format!("{tid:x}")).collect();
                Answer::Text(format!("m{}", tids.join(",")))
            }
            "qsThreadInfo" => text("l"),
            _ => text(""),
        }
    }

    /// `OBJECT:read:ANNEX:OFFSET,LENGTH`.
    fn transfer(&self, rest: &str) -> Answer {
        let parts: Vec<&str> = rest.split(':').collect();
        let [object, "read", annex, window] = parts[..] else { return text("") };
        let Some((from, len)) = range(window) else { return text("E01") };
        let wide = !self.process.is_32bit;
        let data = match (object, annex) {
            ("features", "target.xml") => registers::description(&self.registers, wide).into_bytes(),
            ("auxv", _) => self.process.auxv.clone(),
            ("exec-file", _) => {
                let exe = self.process.root.guest_path(&self.process.exe);
                exe.into_os_string().into_encoded_bytes()
            }
            ("threads", _) => threads(),
            ("siginfo", _) => {
                let abi = if wide { Abi::X86_64 } else { Abi::I386 };
                let info = super::with_record(self.current, |record| Siginfo::from_host(record.siginfo));
                info.map_or(Vec::new(), |info| info.to_guest(abi).to_vec())
            }
            _ => return text("E00"),
        };
        let from = (from as usize).min(data.len());
        let end = from.saturating_add(len.min(LIMIT / 2)).min(data.len());
        let mut answer = vec![if end == data.len() { b'l' } else { b'm' }];
        answer.extend_from_slice(&data[from..end]);
        Answer::Bytes(answer)
    }
}

impl Connection<File> {
    fn as_raw_fd(&self) -> i32 {
        self.stream().as_raw_fd()
    }
}

fn threads() -> Vec<u8> {
    let tids: Vec<i32> = super::lock().threads.keys().copied().collect();
    let escaped = |name: String| name.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let one = |tid: i32| format!("<thread id=\"{tid:x}\" name=\"{}\"/>", escaped(name(tid)));
    let list: String = tids.into_iter().map(one).collect();
    format!("<?xml version=\"1.0\"?><threads>{list}</threads>").into_bytes()
}

fn name(tid: i32) -> String {
    std::fs::read_to_string(format!("/proc/self/task/{tid}/comm"))
        .map_or(String::new(), |name| name.trim_end().to_owned())
}

/// `ADDRESS,LENGTH`.
fn range(text: &str) -> Option<(u64, usize)> {
    let (at, len) = text.split_once(',')?;
    Some((number(at)?, usize::try_from(number(len)?).ok()?))
}

/// A thread id; -1 for all.
fn thread(text: &str) -> Option<i32> {
    if text == "-1" { Some(-1) } else { number(text).and_then(|tid| i32::try_from(tid).ok()) }
}

/// Linux numbers of gdb's signals from 1 on (include/gdb/signals.def); 0: none.
const SIGNALS: [u8; 32] = [
    1, 2, 3, 4, 5, 6, 0, 8, 9, 7, 11, 31, 13, 14, 15, 23, 19, 20, 18, 17, 21, 22, 29, 24, 25, 26, 27, 28, 0, 10, 12, 30,
];

/// gdb's number of a signal of Linux.
fn to_gdb(signo: i32) -> i32 {
    match signo {
        0 => 0,
        32 => 77,
        33..=63 => signo + 12,
        64 => 78,
        _ => SIGNALS.iter().position(|&s| i32::from(s) == signo).map_or(143, |at| at as i32 + 1),
    }
}

/// Linux's number of one of gdb's; 0 for none.
fn from_gdb(number: i32) -> i32 {
    match number {
        77 => 32,
        45..=75 => number - 12,
        78 => 64,
        _ => usize::try_from(number - 1).ok().and_then(|at| SIGNALS.get(at)).map_or(0, |&s| s.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_gdbs_numbers() {
        assert_eq!((to_gdb(libc::SIGUSR1), to_gdb(libc::SIGSEGV), to_gdb(libc::SIGCHLD)), (30, 11, 20));
        for signo in (1..=64).filter(|&s| s != 16) {
            assert_eq!(from_gdb(to_gdb(signo)), signo);
        }
        assert_eq!((to_gdb(16), from_gdb(143), from_gdb(0)), (143, 0, 0));
    }
}
