//! System calls in this process, through the table, for both ABIs: the guest's memory is real, no guest code runs. The host
//! kernel is the oracle; whole programs are tested elsewhere.

use super::call;
use crate::errno::{Errno, SysResult};
use crate::mm::{AddressSpace, Kind, Layout, Place, Request, prot};
use crate::process::{Options, Process};
use crate::task::{Abi, Task};
use crate::uaccess::Mem;
use demotic_engine::{Cpu, Engine};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Size of the guest's memory in bytes.
const MEMORY: u64 = 1 << 20;

struct Guest {
    task: Task,
    start: u64,
    used: u64,
}

impl Guest {
    fn new(abi: Abi) -> Guest {
        demotic_host::guarded::install().unwrap();
        let space = Arc::new(AddressSpace::new(0, Layout::i386()));
        let engine = Engine::new(space.clone());
        // Tests run side by side in one host process, each with a guest of its own.
        static GUESTS: AtomicU64 = AtomicU64::new(0);
        let place = Place::Free(0x1000_0000 + GUESTS.fetch_add(1, Ordering::Relaxed) * 2 * MEMORY);
        let request = Request::anonymous(place, MEMORY, prot::READ | prot::WRITE, Kind::Anonymous);
        let start = space.map(&request).unwrap();
        let cpu = Cpu::new(&engine, Default::default());
        let signal = crate::signal::TaskSignals::new(&cpu.attention, 0);
        let process = Process {
            space: space.clone(),
            engine: engine.clone(),
            signals: crate::signal::Handlers::inherited(),
            trampolines: 0,
            exe: "/guest/program".into(),
            args: vec!["program".into(), "argument".into()],
            auxv: vec![1, 2, 3, 4],
            is_shown: false,
            is_32bit: abi == Abi::I386,
            is_vforked: false,
            options: Options::default(),
            root: crate::fs::root::Root::none(),
            filtered: crate::seccomp::Threads::default(),
        };
        let task = Task {
            cpu,
            mem: Mem::new(space, engine),
            abi,
            process: Arc::new(process),
            tid: demotic_host::sys::gettid(),
            signal,
            clear_child_tid: 0,
            robust_list: 0,
            seccomp: Arc::default(),
            exiting: None,
            ldt_seen: 0,
            missing_library: None,
            trace: Default::default(),
            exec_strings: Vec::new(),
            passes: false,
        };
        Guest { task, start, used: 0 }
    }

    fn both() -> [Guest; 2] {
        [Guest::new(Abi::X86_64), Guest::new(Abi::I386)]
    }

    /// Room for `len` bytes, zero at first.
    fn room(&mut self, len: usize) -> u64 {
        let at = self.start + self.used;
        self.used += (len as u64).next_multiple_of(16) + 16;
        assert!(self.used < MEMORY);
        at
    }

    fn put(&mut self, bytes: &[u8]) -> u64 {
        let at = self.room(bytes.len() + 1);
        self.task.mem.write_bytes(at, bytes).unwrap();
        at
    }

    /// Words of the ABI.
    fn words(&mut self, words: &[u64]) -> u64 {
        let size = self.task.word();
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()[..size].to_vec()).collect();
        self.put(&bytes)
    }

    fn get(&self, at: u64, len: usize) -> Vec<u8> {
        self.task.mem.read_vec(at, len).unwrap()
    }

    fn u32(&self, at: u64) -> u32 {
        self.task.mem.read(at).unwrap()
    }

    fn word(&self, at: u64) -> u64 {
        match self.task.abi {
            Abi::X86_64 => self.task.mem.read(at).unwrap(),
            Abi::I386 => self.u32(at).into(),
        }
    }

    /// A call by name.
    fn call(&mut self, name: &str, args: &[u64]) -> SysResult {
        let abi = self.task.abi;
        let number = |row: &super::Row| if abi == Abi::X86_64 { row.nr64 } else { row.nr32 };
        let row = super::table::TABLE.iter().find(|row| row.name == name && number(row).is_some());
        let nr = number(row.unwrap_or_else(|| panic!("no {name}"))).unwrap();
        let mut all = [0; 6];
        for (to, from) in all.iter_mut().zip(args) {
            *to = if abi == Abi::I386 { from & 0xffff_ffff } else { *from };
        }
        call(&mut self.task, nr.into(), all)
    }

    fn ok(&mut self, name: &str, args: &[u64]) -> u64 {
        self.call(name, args).unwrap_or_else(|errno| panic!("{name}: {}", errno.name()))
    }

    fn is_i386(&self) -> bool {
        self.task.abi == Abi::I386
    }
}

const CWD: u64 = -100i64 as u64;

struct Scratch(std::path::PathBuf);
impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("demotic-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }
    fn path(&self, name: &str) -> Vec<u8> {
        self.0.join(name).to_str().unwrap().as_bytes().to_vec()
    }
}
impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_in_both_abis() {
    for mut g in Guest::both() {
        let scratch = Scratch::new(&format!("files{:?}", g.task.abi));
        let path = g.put(&scratch.path("a"));
        let fd = g.ok("open", &[path, 0o102, 0o600]);
        let text = g.put(b"hello, world");
        assert_eq!(g.ok("write", &[fd, text, 12]), 12);
        assert_eq!(g.ok("lseek", &[fd, 7, 0]), 7);
        let buf = g.room(100);
        assert_eq!(g.ok("read", &[fd, buf, 100]), 5);
        assert_eq!(g.get(buf, 5), b"world");
        let pread = if g.is_i386() { vec![fd, buf, 3, 1, 0] } else { vec![fd, buf, 3, 1] };
        assert_eq!(g.ok("pread64", &pread), 3);
        assert_eq!(g.get(buf, 3), b"ell");
        let (one, two) = (g.put(b"ab"), g.put(b"cd"));
        let iov = g.words(&[one, 2, two, 2]);
        assert_eq!(g.ok("writev", &[fd, iov, 2]), 4);
        assert_eq!(g.ok("preadv", &[fd, iov, 2, 12, 0]), 4);
        assert_eq!(g.call("writev", &[fd, iov, 1025]), Err(Errno::EINVAL));
        assert_eq!(g.call("write", &[fd, 16, 4]), Err(Errno::EFAULT));
        let flags = g.ok("fcntl", &[fd, 3]);
        assert_eq!(flags & 0o202003, 2);
        g.ok("ftruncate", &[fd, 3]);
        let stat = g.room(144);
        g.ok("fstat", &[fd, stat]);
        let size_at = if g.is_i386() { 20 } else { 48 };
        assert_eq!(g.word(stat + size_at), 3);
        g.ok("close", &[fd]);
        assert_eq!(g.call("close", &[fd]), Err(Errno::EBADF));
        assert_eq!(g.ok("access", &[path, 4]), 0);
        g.ok("unlink", &[path]);
        assert_eq!(g.call("stat", &[path, stat]), Err(Errno::ENOENT));
    }
}

#[test]
fn large_files_on_i386() {
    let mut g = Guest::new(Abi::I386);
    let scratch = Scratch::new("large");
    let path = g.put(&scratch.path("big"));
    let fd = g.ok("open", &[path, 0o102 | 0o100000, 0o600]);
    g.ok("ftruncate64", &[fd, 5, 1]);
    let stat = g.room(144);
    assert_eq!(g.call("fstat", &[fd, stat]), Err(Errno::EOVERFLOW));
    g.ok("fstat64", &[fd, stat]);
    assert_eq!(g.task.mem.read::<u64>(stat + 44), Ok((1 << 32) + 5));
    assert_eq!(g.call("lseek", &[fd, 0, 2]), Ok(5));
    let result = g.room(8);
    g.ok("_llseek", &[fd, 1, 2, result, 0]);
    assert_eq!(g.task.mem.read::<u64>(result), Ok((1 << 32) + 2));
    assert_eq!(g.call("open", &[path, 0]), Err(Errno::EOVERFLOW));
    assert!(g.call("open", &[path, 0o100000]).is_ok());
    // A lock behind 2 GiB does not fit into the old structure.
    let lock = g.put(&[1u16.to_le_bytes(), 0u16.to_le_bytes()].concat());
    g.task.mem.write(lock + 4, &(1u64 << 32)).unwrap();
    g.task.mem.write(lock + 12, &1u64).unwrap();
    g.ok("fcntl64", &[fd, 13, lock]);
    assert_eq!(g.call("fcntl", &[fd, 99, lock]), Err(Errno::EINVAL));
}

#[test]
fn directories_in_both_abis() {
    for mut g in Guest::both() {
        let scratch = Scratch::new(&format!("dirs{:?}", g.task.abi));
        let mut expected = vec![".".to_string(), "..".to_string()];
        for i in 0..60 {
            let name = format!("entry-number-{i}");
            std::fs::write(scratch.0.join(&name), "").unwrap();
            expected.push(name);
        }
        expected.sort();
        let path = g.put(scratch.0.to_str().unwrap().as_bytes());
        let fd = g.ok("open", &[path, 0o200000]);
        let buf = g.room(600);
        for (name, name_at, ino) in [("getdents64", 19, 8), ("getdents", g.task.word() * 2 + 2, g.task.word())] {
            g.ok("lseek", &[fd, 0, 0]);
            let mut found = Vec::new();
            let mut third = None;
            loop {
                let len = g.ok(name, &[fd, buf, 600]) as usize;
                if len == 0 {
                    break;
                }
                let bytes = g.get(buf, len);
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let next = u32::from_le_bytes(rest[ino..ino + 4].try_into().unwrap());
                    let reclen = usize::from(u16::from_le_bytes(rest[2 * ino..2 * ino + 2].try_into().unwrap()));
                    let text = rest[name_at..reclen].split(|&b| b == 0).next().unwrap();
                    found.push(String::from_utf8(text.to_vec()).unwrap());
                    if found.len() == 3 {
                        third = Some(next);
                    }
                    rest = &rest[reclen..];
                }
            }
            let order = found.clone();
            found.sort();
            assert_eq!(found, expected);
            // A position that was given out leads back to the entry behind it.
            if g.is_i386() {
                g.ok("lseek", &[fd, third.unwrap().into(), 0]);
                let len = g.ok(name, &[fd, buf, 600]) as usize;
                let bytes = g.get(buf, len);
                let text = bytes[name_at..].split(|&b| b == 0).next().unwrap();
                assert_eq!(text, order[3].as_bytes());
            }
            g.ok("lseek", &[fd, 0, 0]);
            assert_eq!(g.call(name, &[fd, buf, 5]), Err(Errno::EINVAL));
        }
    }
}

#[test]
fn poll_select_and_epoll() {
    for mut g in Guest::both() {
        let fds = g.room(8);
        g.ok("pipe", &[fds]);
        let (read, write) = (u64::from(g.u32(fds)), u64::from(g.u32(fds + 4)));
        let poll = g.put(&[(read as u32).to_le_bytes(), [1, 0, 0, 0]].concat());
        assert_eq!(g.ok("poll", &[poll, 1, 0]), 0);
        let time = g.words(&[0, 1_000_000]);
        let set = g.room(128);
        let byte = [1u8 << (read % 8)];
        g.task.mem.write_bytes(set + read / 8, &byte).unwrap();
        assert_eq!(g.ok("pselect6", &[read + 1, set, 0, 0, time, 0]), 0);
        assert_eq!(g.word(time + g.task.word() as u64), 0, "the rest of the time is stored");
        assert_eq!(g.get(set + read / 8, 1), [0]);
        let ep = g.ok("epoll_create1", &[0]);
        let event = g.put(&[1u32.to_le_bytes(), 0xabcd_1234u32.to_le_bytes(), 0x5678u32.to_le_bytes()].concat());
        g.ok("epoll_ctl", &[ep, 1, read, event]);
        let events = g.room(120);
        assert_eq!(g.ok("epoll_wait", &[ep, events, 10, 0]), 0);
        let text = g.put(b"x");
        g.ok("write", &[write, text, 1]);
        assert_eq!(g.ok("poll", &[poll, 1, u64::MAX]), 1);
        assert_eq!(g.get(poll, 8)[6], 1);
        g.task.mem.write_bytes(set + read / 8, &byte).unwrap();
        let tv = g.words(&[5, 0]);
        let select = if g.is_i386() { "_newselect" } else { "select" };
        assert_eq!(g.ok(select, &[read + 1, set, 0, 0, tv]), 1);
        assert_eq!(g.get(set + read / 8, 1), byte);
        assert_eq!(g.ok("epoll_pwait", &[ep, events, 10, 1000, 0, 8]), 1);
        assert_eq!((g.u32(events), g.u32(events + 4), g.u32(events + 8)), (1, 0xabcd_1234, 0x5678));
        let count = g.put(&[0; 4]);
        g.ok("ioctl", &[read, 0x541b, count]);
        assert_eq!(g.u32(count), 1);
        assert_eq!(g.call("epoll_wait", &[ep, events, 0, 0]), Err(Errno::EINVAL));
    }
}

#[test]
fn descriptors_over_sockets() {
    for mut g in Guest::both() {
        let word = g.task.word();
        let pair = g.room(8);
        g.ok("socketpair", &[1, 1, 0, pair]);
        let (a, b) = (u64::from(g.u32(pair)), u64::from(g.u32(pair + 4)));
        let pipe = g.room(8);
        g.ok("pipe", &[pipe]);
        let (read, write) = (g.u32(pipe), g.u32(pipe + 4));
        let text = g.put(b"data");
        let iov = g.words(&[text, 4]);
        let mut control = ((word + 8 + 8) as u64).to_le_bytes()[..word].to_vec();
        for v in [1u32, 1, read, write] {
            control.extend_from_slice(&v.to_le_bytes());
        }
        let len = control.len() as u64;
        let control = g.put(&control);
        let header = g.words(&[0, 0, iov, 1, control, len, 0]);
        assert_eq!(g.ok("sendmsg", &[a, header, 0]), 4);
        let buf = g.room(16);
        let iov = g.words(&[buf, 16]);
        let space = g.room(64);
        let header = g.words(&[0, 0, iov, 1, space, 64, 0]);
        assert_eq!(g.ok("recvmsg", &[b, header, 0]), 4);
        assert_eq!(g.get(buf, 4), b"data");
        let filled = g.word(header + 5 * word as u64);
        assert_eq!(filled, len.next_multiple_of(word as u64));
        assert_eq!(g.word(space), (word + 16) as u64);
        let got = u64::from(g.u32(space + word as u64 + 12));
        // The received descriptor is the pipe's other end.
        g.ok("write", &[got, text, 4]);
        assert_eq!(g.ok("read", &[read.into(), buf, 16]), 4);
        // Room for one descriptor only: the other one is not delivered.
        let data = g.words(&[text, 4]);
        let header2 = g.words(&[0, 0, data, 1, control, len, 0]);
        g.task.mem.write_bytes(control, &g.get(space, word + 16)).unwrap();
        g.ok("sendmsg", &[a, header2, 0]);
        let header = g.words(&[0, 0, iov, 1, space, word as u64 + 12, 0]);
        assert_eq!(g.ok("recvmsg", &[b, header, 0]), 4);
        assert_eq!(g.word(space), (word + 12) as u64);
        let flags = g.u32(header + 6 * word as u64);
        // Foreign hosts run under an emulator that loses the flag.
        assert!(flags & libc::MSG_CTRUNC as u32 != 0 || cfg!(not(target_arch = "x86_64")));
    }
}

#[test]
fn socketcall_over_loopback() {
    let mut g = Guest::new(Abi::I386);
    let call = |g: &mut Guest, number: u64, args: &[u64]| {
        let args = g.words(args);
        g.call("socketcall", &[number, args])
    };
    let server = call(&mut g, 1, &[2, 1, 0]).unwrap();
    let mut address = vec![2, 0, 0, 0, 127, 0, 0, 1];
    address.resize(16, 0);
    let address = g.put(&address);
    call(&mut g, 2, &[server, address, 16]).unwrap();
    call(&mut g, 4, &[server, 5]).unwrap();
    let name = g.room(16);
    let length = g.put(&16u32.to_le_bytes());
    call(&mut g, 6, &[server, name, length]).unwrap();
    assert_eq!(g.u32(length), 16);
    let client = call(&mut g, 1, &[2, 1, 0]).unwrap();
    call(&mut g, 3, &[client, name, 16]).unwrap();
    let peer = call(&mut g, 5, &[server, 0, 0]).unwrap();
    let text = g.put(b"ping");
    assert_eq!(call(&mut g, 9, &[client, text, 4, 0]), Ok(4));
    let buf = g.room(10);
    assert_eq!(call(&mut g, 10, &[peer, buf, 10, 0]), Ok(4));
    assert_eq!(g.get(buf, 4), b"ping");
    // A timeout option in the ABI's timeval.
    let time = g.words(&[3, 500_000]);
    call(&mut g, 14, &[client, 1, 20, time, 8]).unwrap();
    let back = g.room(16);
    let length = g.put(&16u32.to_le_bytes());
    call(&mut g, 15, &[client, 1, 20, back, length]).unwrap();
    assert_eq!((g.u32(length), g.u32(back), g.u32(back + 4)), (8, 3, 500_000));
    assert_eq!(call(&mut g, 21, &[0]), Err(Errno::EINVAL));
}

#[test]
fn clocks_and_timers() {
    for mut g in Guest::both() {
        let time = g.room(32);
        g.ok("clock_gettime", &[0, time]);
        let seconds = g.word(time);
        assert!(seconds > 1_600_000_000);
        assert_eq!(g.ok("time", &[0]).abs_diff(seconds) & 0xffff_fffe, 0);
        if g.is_i386() {
            g.ok("clock_gettime64", &[0, time]);
            assert_eq!(g.task.mem.read::<u64>(time).unwrap().abs_diff(seconds) & !1, 0);
        }
        let short = g.words(&[0, 2_000_000]);
        let start = std::time::Instant::now();
        g.ok("nanosleep", &[short, 0]);
        assert!(start.elapsed().as_millis() >= 2);
        let bad = g.words(&[0, 1_000_000_000]);
        assert_eq!(g.call("nanosleep", &[bad, 0]), Err(Errno::EINVAL));
        let fd = g.ok("timerfd_create", &[1, 0]);
        let spec = g.words(&[0, 0, 100, 0]);
        g.ok("timerfd_settime", &[fd, 0, spec, 0]);
        let now = g.room(32);
        g.ok("timerfd_gettime", &[fd, now]);
        assert!((98..=100).contains(&g.word(now + 2 * g.task.word() as u64)));
        let tv = g.room(16);
        let zone = g.room(8);
        g.ok("gettimeofday", &[tv, zone]);
        assert!(g.word(tv).abs_diff(seconds) <= 2);
        let usage = g.room(144);
        g.ok("getrusage", &[0, usage]);
        assert!(g.word(usage + 4 * g.task.word() as u64) > 0, "ru_maxrss");
        let info = g.room(128);
        g.ok("sysinfo", &[info]);
        assert!(g.word(info) > 0);
    }
}

#[test]
fn system_v_ipc() {
    for mut g in Guest::both() {
        let i386 = g.is_i386();
        let version = if i386 { 0x100 } else { 0 };
        let id = g.ok("shmget", &[0, 5000, 0o1600]);
        let at = g.ok("shmat", &[id, 0, 0]);
        let other = g.ok("shmat", &[id, 0, 0]);
        assert!(at != other && at < 1 << 32);
        g.task.mem.write(at + 4096, &0x1234_5678u32).unwrap();
        assert_eq!(g.u32(other + 4096), 0x1234_5678);
        let info = g.room(128);
        g.ok("shmctl", &[id, 2 | version, info]);
        let (size_at, count_at) = if i386 { (36, 72) } else { (48, 88) };
        assert_eq!((g.word(info + size_at), g.word(info + count_at)), (5000, 2));
        g.ok("shmdt", &[at]);
        assert_eq!(g.call("shmdt", &[at]), Err(Errno::EINVAL));
        assert_eq!(g.task.mem.read::<u32>(at), Err(Errno::EFAULT));
        g.ok("shmctl", &[id, version, 0]);
        g.ok("shmdt", &[other]);

        let id = g.ok("semget", &[0, 3, 0o1600]);
        let values = g.put(&[7, 0, 8, 0, 9, 0]);
        g.ok("semctl", &[id, 0, 17 | version, values]);
        assert_eq!(g.ok("semctl", &[id, 1, 12 | version, 0]), 8);
        g.ok("semctl", &[id, 0, 2 | version, info]);
        assert_eq!(g.word(info + if i386 { 52 } else { 80 }), 3);
        let op = g.put(&[1, 0, 0xfe, 0xff, 0, 0]);
        if i386 {
            g.ok("ipc", &[1, id, 1, 0, op]);
        } else {
            g.ok("semop", &[id, op, 1]);
        }
        assert_eq!(g.ok("semctl", &[id, 1, 12 | version, 0]), 6);
        let op = g.put(&[1, 0, 0xf0, 0xff, 0, 0]);
        let soon = g.words(&[0, 1000]);
        if i386 {
            assert_eq!(g.call("ipc", &[4, id, 1, 0, op, soon]), Err(Errno::EAGAIN));
        } else {
            assert_eq!(g.call("semtimedop", &[id, op, 1, soon]), Err(Errno::EAGAIN));
        }
        g.ok("semctl", &[id, 0, version, 0]);

        let id = g.ok("msgget", &[0, 0o1600]);
        let word = g.task.word();
        let mut message = 42u64.to_le_bytes()[..word].to_vec();
        message.extend_from_slice(b"text");
        let message = g.put(&message);
        g.ok("msgsnd", &[id, message, 4, 0]);
        let back = g.room(64);
        assert_eq!(g.ok("msgrcv", &[id, back, 40, 42, 0o4000]), 4);
        assert_eq!((g.word(back), g.get(back + word as u64, 4)), (42, b"text".to_vec()));
        assert_eq!(g.call("msgrcv", &[id, back, 40, 42, 0o4000]), Err(Errno::ENOMSG));
        g.ok("msgctl", &[id, version, 0]);
    }
}

#[test]
fn proc_shows_the_guest() {
    for mut g in Guest::both() {
        let path = g.put(b"/proc/self/exe");
        let buf = g.room(4000);
        assert_eq!(g.ok("readlink", &[path, buf, 100]), 14);
        assert_eq!(g.get(buf, 14), b"/guest/program");
        let path = g.put(b"/proc/self/maps");
        let fd = g.ok("openat", &[CWD, path, 0]);
        let len = g.ok("read", &[fd, buf, 4000]) as usize;
        let text = String::from_utf8(g.get(buf, len)).unwrap();
        assert!(text.starts_with(&format!("{:08x}-{:08x} rw-p 00000000 00:00 0", g.start, g.start + MEMORY)), "{text}");
        let dir = g.put(b"/proc/self");
        let dir = g.ok("open", &[dir, 0o200000]);
        let name = g.put(b"cmdline");
        let fd = g.ok("openat", &[dir, name, 0]);
        let len = g.ok("read", &[fd, buf, 4000]) as usize;
        assert_eq!(g.get(buf, len), b"program\0argument\0");
        let names = g.room(390);
        g.ok("uname", &[names]);
        // A 64-bit kernel says so to 32-bit programs, too (unless personality(2) asks for PER_LINUX32).
        let machine: &[u8] = b"x86_64\0";
        assert_eq!(g.get(names + 260, machine.len()), machine);
    }
}

#[test]
fn masks_and_groups() {
    for mut g in Guest::both() {
        let mask = g.room(256);
        let len = g.ok("sched_getaffinity", &[0, 128, mask]);
        assert!(len >= 4 && len % g.task.word() as u64 == 0);
        assert!(g.get(mask, len as usize).iter().any(|&byte| byte != 0));
        g.ok("sched_setaffinity", &[0, len, mask]);
        assert_eq!(g.call("sched_getaffinity", &[0, 3, mask]), Err(Errno::EINVAL));
        let count = g.ok("getgroups", &[0, 0]);
        let list = g.room(count as usize * 4 + 4);
        assert_eq!(g.ok("getgroups", &[count, list]), count);
        let limits = g.room(16);
        g.ok("getrlimit", &[7, limits]);
        assert!(g.word(limits) > 0);
    }
}

/// Garbage for every call that cannot hurt this process: an errno or a value, never a panic.
#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "crashes the emulator that foreign hosts run under")]
fn garbage_is_an_errno() {
    const HARMLESS: &[&str] = &[
        "read",
        "write",
        "open",
        "openat",
        "openat2",
        "pread64",
        "pwrite64",
        "readv",
        "writev",
        "preadv",
        "pwritev",
        "preadv2",
        "pwritev2",
        "lseek",
        "_llseek",
        "truncate",
        "truncate64",
        "fadvise64",
        "fadvise64_64",
        "readahead",
        "sendfile",
        "sendfile64",
        "fcntl",
        "fcntl64",
        "ioctl",
        "stat",
        "fstat",
        "lstat",
        "oldstat",
        "oldfstat",
        "oldlstat",
        "stat64",
        "fstat64",
        "lstat64",
        "newfstatat",
        "fstatat64",
        "statx",
        "statfs",
        "fstatfs",
        "statfs64",
        "fstatfs64",
        "ustat",
        "access",
        "faccessat",
        "readlink",
        "readlinkat",
        "getdents",
        "getdents64",
        "readdir",
        "getcwd",
        "getxattr",
        "fgetxattr",
        "poll",
        "ppoll",
        "ppoll_time64",
        "epoll_ctl",
        "bind",
        "connect",
        "accept",
        "getsockname",
        "getpeername",
        "sendto",
        "recvfrom",
        "sendmsg",
        "recvmsg",
        "sendmmsg",
        "recvmmsg",
        "setsockopt",
        "getsockopt",
        "socketcall",
        "semctl",
        "msgctl",
        "shmctl",
        "shmdt",
        "mq_notify",
        "mq_getsetattr",
        "time",
        "gettimeofday",
        "clock_gettime",
        "clock_gettime64",
        "clock_getres",
        "timer_gettime",
        "getitimer",
        "times",
        "utimensat",
        "sched_getaffinity",
        "sched_rr_get_interval",
        "getcpu",
        "uname",
        "olduname",
        "oldolduname",
        "sysinfo",
        "getrlimit",
        "ugetrlimit",
        "getrusage",
        "getgroups",
        "getresuid",
        "getresgid",
        "process_vm_readv",
        "sysfs",
        "name_to_handle_at",
        "fanotify_mark",
        "timerfd_gettime",
        "timerfd_settime",
    ];
    for mut g in Guest::both() {
        let valid = g.room(4096);
        let bad_fd = 12345;
        let values = [0, 1, valid, g.start + MEMORY - 3, 0x1000, 0xffff_ffff, 1 << 47, u64::MAX, 1 << 63, bad_fd];
        let mut seed = 1u64;
        let mut calls = 0;
        for name in HARMLESS {
            let known = super::table::TABLE
                .iter()
                .any(|row| row.name == *name && if g.is_i386() { row.nr32.is_some() } else { row.nr64.is_some() });
            if !known {
                continue;
            }
            for _ in 0..200 {
                let mut args = [0; 6];
                for arg in &mut args {
                    seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    *arg = values[(seed >> 40) as usize % values.len()];
                }
                // Waiting forever and descriptors of the test itself are not part of it.
                if name.contains("poll") {
                    args = [args[0], 1, 0x1000, args[3], args[4], 0];
                } else if args[0] < 3 {
                    args[0] = bad_fd;
                }
                let _ = g.call(name, &args);
                calls += 1;
            }
        }
        assert!(calls > 10_000);
    }
}

#[test]
fn trace_lines() {
    let mut g = Guest::new(Abi::I386);
    let path = g.put(b"/etc/hosts");
    let text = |g: &Guest, name: &str, args: [u64; 6], value: u64| {
        let row = super::table::TABLE.iter().find(|row| row.name == name).unwrap();
        let line = crate::strace::Line::enter(&g.task, row, &args);
        let text = line.text(&g.task, row, &args, Some(value), "R");
        text.split_once("] ").unwrap().1.to_string()
    };
    let line = text(&g, "openat", [CWD & 0xffff_ffff, path, 0o2100000, 0, 0, 0], 3);
    assert_eq!(line, "openat(AT_FDCWD, \"/etc/hosts\", O_RDONLY|O_LARGEFILE|O_CLOEXEC) = R");
    let line = text(&g, "read", [3, path, 100, 0, 0, 0], 4);
    assert_eq!(line, "read(3, \"/etc\", 100) = R");
    let line = text(&g, "mmap2", [0, 8192, 3, 0x22, 0xffff_ffff, 0], 0);
    assert_eq!(line, "mmap2(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x0) = R");
    let line = text(&g, "write", [1, 16, 5, 0, 0, 0], 5);
    assert_eq!(line, "write(1, 0x10, 5) = R");
    let address = g.put(&[2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let line = text(&g, "connect", [4, address, 16, 0, 0, 0], 0);
    assert_eq!(line, "connect(4, {sa_family=AF_INET, 127.0.0.1:80}, 16) = R");
    let line = text(&g, "kill", [5, 9, 0, 0, 0, 0], 0);
    assert_eq!(line, "kill(5, SIGKILL) = R");
}
