//! Core dumps of guest programs: what the x86 kernel would write when a signal kills one (fs/binfmt_elf.c, `elf_core_dump`), so that
//! gdb for x86 opens it. The host's own dump would show Demotic.
//!
//! An ELF file with a note segment and one segment for each of the guest's mappings. Notes: registers and signal of the thread that
//! died (NT_PRSTATUS, NT_FPREGSET, for i386 NT_PRXFPREG), the process (NT_PRPSINFO, NT_SIGINFO, NT_AUXV) and what is mapped from which
//! file (NT_FILE). Memory that a file still has is left out but for ELF headers, as by the usual `coredump_filter`.
//!
//! RLIMIT_CORE bounds the size; core_pattern names the file. Absent: programs that the pattern pipes to (`|`: then nothing is written here), the
//! registers of other threads, and the mark in the status that a parent gets.

use crate::abi::Abi;
use crate::abi::siginfo::Siginfo;
use crate::signal::fpstate;
use crate::task::Task;
use crate::uaccess::PAGE;
use demotic_x86::state::{reg, seg};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

/// The signals whose default action is a dump (signal(7)).
const SIGNALS: [i32; 10] = [
    libc::SIGQUIT,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGSYS,
];

/// Whether a signal's default action is a dump.
pub fn is_for(signo: i32) -> bool {
    SIGNALS.contains(&signo)
}

/// RLIMIT_CORE in bytes.
pub fn limit() -> u64 {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours.
    unsafe { libc::getrlimit64(libc::RLIMIT_CORE, &mut limit) };
    limit.rlim_cur
}

/// A file under construction with words of the guest's size.
struct Bytes {
    bytes: Vec<u8>,
    wide: bool,
}

impl Bytes {
    fn new(wide: bool) -> Bytes {
        Bytes { bytes: Vec::new(), wide }
    }
    fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }
    fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }
    /// A `long`.
    fn long(&mut self, value: u64) {
        if self.wide {
            self.bytes.extend_from_slice(&value.to_le_bytes());
        } else {
            self.u32(value as u32);
        }
    }
    /// Bytes, cut or filled up to `len`.
    fn text(&mut self, text: &[u8], len: usize) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text.get(..text.len().min(len)).unwrap_or_default());
        self.bytes.resize(start + len, 0);
    }
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }
    fn note(&mut self, name: &[u8], kind: u32, what: &[u8]) {
        self.u32(name.len() as u32 + 1);
        self.u32(what.len() as u32);
        self.u32(kind);
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.align(4);
        self.bytes.extend_from_slice(what);
        self.align(4);
    }
}

/// One mapping: what `maps` says, and how many bytes of it are dumped.
struct Area {
    start: u64,
    end: u64,
    /// `PF_R`, `PF_W`, `PF_X`.
    flags: u32,
    offset: u64,
    file: Option<String>,
    dumped: u64,
}

fn areas(task: &Task) -> Vec<Area> {
    let text = crate::fs::proc::maps(task);
    let parse = |line: &str| -> Option<Area> {
        let mut words = line.splitn(6, ' ');
        let (start, end) = words.next()?.split_once('-')?;
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let (start, end) = (hex(start)?, hex(end)?);
        let perms = words.next()?.as_bytes();
        let offset = hex(words.next()?)?;
        let name = words.nth(2).unwrap_or_default().trim();
        let bit = |at: usize, letter: u8, flag: u32| if perms.get(at) == Some(&letter) { flag } else { 0 };
        let flags = bit(0, b'r', 4) | bit(1, b'w', 2) | bit(2, b'x', 1);
        let file = name.starts_with('/').then(|| name.to_owned());
        let private_data = flags & 2 != 0 && perms.get(3) == Some(&b'p');
        let mut magic = [0u8; 4];
        let is_elf = offset == 0 && task.mem.read_bytes(start, &mut magic).is_ok() && magic == *b"\x7fELF";
        let dumped = match &file {
            _ if flags & 4 == 0 => 0,
            Some(_) if !private_data => PAGE * u64::from(is_elf),
            _ => end - start,
        };
        Some(Area { start, end, flags, offset, file, dumped })
    };
    text.lines().filter_map(parse).collect()
}

/// `elf_prstatus` of the thread.
fn status(task: &Task, info: &Siginfo) -> Vec<u8> {
    let wide = !task.process.is_32bit;
    let state = &task.cpu.state;
    let mut b = Bytes::new(wide);
    for word in [info.signo, info.code, info.errno] {
        b.u32(word as u32);
    }
    b.u16(info.signo as u16);
    b.align(if wide { 8 } else { 4 });
    b.long(0);
    b.long(task.signal.blocked);
    ids(task, &mut b);
    // Four times of two words each.
    (0..8).for_each(|_| b.long(0));
    let g = |index: usize| state.gpr[index];
    let selector = |index: usize| u64::from(state.seg_sel[index]);
    let flags = u64::from(state.eflags());
    let origin = u64::MAX;
    if wide {
        let order =
            [15, 14, 13, 12, reg::RBP, reg::RBX, 11, 10, 9, 8, reg::RAX, reg::RCX, reg::RDX, reg::RSI, reg::RDI];
        order.iter().for_each(|&index| b.long(g(index)));
        for word in [origin, state.rip, selector(seg::CS), flags, g(reg::RSP), selector(seg::SS)] {
            b.long(word);
        }
        for word in [state.seg_base[seg::FS], state.seg_base[seg::GS]] {
            b.long(word);
        }
    } else {
        let order = [reg::RBX, reg::RCX, reg::RDX, reg::RSI, reg::RDI, reg::RBP, reg::RAX];
        order.iter().for_each(|&index| b.long(g(index)));
    }
    for index in [seg::DS, seg::ES, seg::FS, seg::GS] {
        b.long(selector(index));
    }
    if !wide {
        for word in [origin, state.rip, selector(seg::CS), flags, g(reg::RSP), selector(seg::SS)] {
            b.long(word);
        }
    }
    // The floating point registers follow.
    b.u32(1);
    b.align(if wide { 8 } else { 4 });
    b.bytes
}

/// pid, ppid, pgrp, sid.
fn ids(task: &Task, b: &mut Bytes) {
    // SAFETY: no memory is involved.
    let ids = unsafe { [task.tid, libc::getppid(), libc::getpgrp(), libc::getsid(0)] };
    ids.iter().for_each(|&id| b.u32(id as u32));
}

/// `elf_prpsinfo`.
fn process_info(task: &Task) -> Vec<u8> {
    let wide = !task.process.is_32bit;
    let mut b = Bytes::new(wide);
    b.bytes.extend_from_slice(&[0, b'R', 0, 0]);
    b.align(if wide { 8 } else { 4 });
    b.long(0x40_0600);
    // SAFETY: no memory is involved.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    if wide {
        b.u32(uid);
        b.u32(gid);
    } else {
        b.u16(u16::try_from(uid).unwrap_or(65534));
        b.u16(u16::try_from(gid).unwrap_or(65534));
    }
    ids(task, &mut b);
    let name = task.process.exe.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    b.text(name.get(..name.len().min(15)).unwrap_or_default(), 16);
    let arguments: Vec<&[u8]> = task.process.args.iter().map(|a| a.as_bytes()).collect();
    let arguments = arguments.join(&b' ');
    b.text(arguments.get(..arguments.len().min(79)).unwrap_or_default(), 80);
    b.bytes
}

/// FSAVE's 108 bytes: environment and registers.
fn fsave(task: &Task) -> Vec<u8> {
    let state = &task.cpu.state;
    let x87 = &state.x87;
    let mut b = Bytes::new(false);
    let (_, fip, fdp) = x87.pending_pointers();
    let (fip, fdp) = (fip as u32, fdp as u32);
    let code = u32::from(state.seg_sel[seg::CS]);
    let words = [
        0xffff_0000 | u32::from(x87.cw),
        0xffff_0000 | u32::from(x87.sw),
        0xffff_0000 | u32::from(fpstate::full_tags(state)),
        fip,
        code,
        fdp,
        0xffff_0000 | u32::from(state.seg_sel[seg::DS]),
    ];
    words.iter().for_each(|&word| b.u32(word));
    for i in 0..8 {
        let st = x87.st[(x87.top() + i) & 7];
        b.bytes.extend_from_slice(&st.mant.to_le_bytes());
        b.u16(st.se);
    }
    b.bytes
}

/// Start, end, offset in pages and name of everything that is mapped from a file.
fn files(wide: bool, areas: &[Area]) -> Vec<u8> {
    let mapped: Vec<(&Area, &String)> = areas.iter().filter_map(|a| Some((a, a.file.as_ref()?))).collect();
    let mut b = Bytes::new(wide);
    b.long(mapped.len() as u64);
    b.long(PAGE);
    for (area, _) in &mapped {
        for word in [area.start, area.end, area.offset / PAGE] {
            b.long(word);
        }
    }
    for (_, name) in &mapped {
        b.bytes.extend_from_slice(name.as_bytes());
        b.bytes.push(0);
    }
    b.bytes
}

fn notes(task: &Task, info: &Siginfo, areas: &[Area]) -> Vec<u8> {
    let wide = !task.process.is_32bit;
    let image = fpstate::save(&task.cpu.state, 0, 0);
    let mut b = Bytes::new(wide);
    b.note(b"CORE", 1, &status(task, info));
    b.note(b"CORE", 3, &process_info(task));
    b.note(b"CORE", 0x5349_4749, &info.to_guest(if wide { Abi::X86_64 } else { Abi::I386 }));
    b.note(b"CORE", 6, &task.process.auxv);
    b.note(b"CORE", 0x4649_4c45, &files(wide, areas));
    if wide {
        b.note(b"CORE", 2, &image);
    } else {
        b.note(b"CORE", 2, &fsave(task));
        b.note(b"LINUX", 0x46e6_2b7f, &image);
    }
    b.bytes
}

/// ELF header, program headers and notes; the contents of the areas follow at the next page.
fn head(task: &Task, info: &Siginfo, areas: &[Area]) -> Vec<u8> {
    let wide = !task.process.is_32bit;
    let notes = notes(task, info, areas);
    let (header, entry) = if wide { (64, 56) } else { (52, 32) };
    let count = areas.len() + 1;
    let mut b = Bytes::new(wide);
    b.text(&[0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, 1, 1], 16);
    b.u16(4);
    b.u16(if wide { 62 } else { 3 });
    b.u32(1);
    b.long(0);
    b.long(header);
    b.long(0);
    b.u32(0);
    for half in [header as u16, entry, count as u16, 0, 0, 0] {
        b.u16(half);
    }
    let notes_at = header + u64::from(entry) * count as u64;
    let mut segment = |kind: u32, flags: u32, offset: u64, address: u64, [in_file, in_memory]: [u64; 2], align: u64| {
        b.u32(kind);
        if wide {
            b.u32(flags);
        }
        for word in [offset, address, 0, in_file, in_memory] {
            b.long(word);
        }
        if !wide {
            b.u32(flags);
        }
        b.long(align);
    };
    segment(4, 0, notes_at, 0, [notes.len() as u64, 0], 4);
    let mut at = (notes_at + notes.len() as u64).next_multiple_of(PAGE);
    for area in areas {
        segment(1, area.flags, at, area.start, [area.dumped, area.end - area.start], PAGE);
        at += area.dumped;
    }
    b.bytes.extend_from_slice(&notes);
    b.align(PAGE as usize);
    b.bytes
}

/// The file's name by core_pattern (core(5)); `None` where a program would get the dump.
fn name(task: &Task, signo: i32, pattern: &[u8], uses_pid: bool) -> Option<Vec<u8>> {
    if pattern.first().is_none_or(|&b| b == b'|') {
        return None;
    }
    let pid = std::process::id();
    let host = || std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut out = Vec::new();
    let mut has_pid = false;
    let mut rest = pattern.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        // SAFETY: no memory is involved.
        let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
        let text = match rest.next() {
            Some(b'%') => b"%".to_vec(),
            Some(b'p' | b'P') => {
                has_pid = true;
                pid.to_string().into_bytes()
            }
            Some(b'i' | b'I') => task.tid.to_string().into_bytes(),
            Some(b'u') => uid.to_string().into_bytes(),
            Some(b'g') => gid.to_string().into_bytes(),
            Some(b's') => signo.to_string().into_bytes(),
            Some(b'c') => limit().to_string().into_bytes(),
            Some(b'd') => b"1".to_vec(),
            Some(b't') => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                now.as_secs().to_string().into_bytes()
            }
            Some(b'h') => host().trim_ascii_end().to_vec(),
            Some(b'e' | b'f') => {
                let name = task.process.exe.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
                name.get(..name.len().min(15)).unwrap_or_default().to_vec()
            }
            Some(b'E') => {
                task.process.exe.as_os_str().as_bytes().iter().map(|&b| if b == b'/' { b'!' } else { b }).collect()
            }
            _ => Vec::new(),
        };
        out.extend(text);
    }
    if uses_pid && !has_pid {
        out.extend_from_slice(format!(".{pid}").as_bytes());
    }
    Some(out)
}

/// Writes the dump if the limit and the pattern allow one; errors leave it unfinished, as the kernel does.
pub fn dump(task: &Task, info: &Siginfo) {
    let limit = limit();
    // SAFETY: no memory is involved.
    let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) } == 1;
    if limit == 0 || !dumpable || crate::shelf::is_secure() {
        return;
    }
    let setting = |what: &str| std::fs::read(format!("/proc/sys/kernel/{what}")).unwrap_or_default();
    let uses_pid = setting("core_uses_pid").first() == Some(&b'1');
    let Some(name) = name(task, info.signo, setting("core_pattern").trim_ascii_end(), uses_pid) else { return };
    // Not Demotic's own dump over it.
    let none = libc::rlimit64 { rlim_cur: 0, rlim_max: limit };
    // SAFETY: the structure is ours.
    unsafe { libc::setrlimit64(libc::RLIMIT_CORE, &none) };
    let _ = write(task, info, &name, limit);
}

fn write(task: &Task, info: &Siginfo, name: &[u8], limit: u64) -> std::io::Result<()> {
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let metadata = file.metadata()?;
    // SAFETY: no memory is involved.
    if !metadata.is_file() || metadata.nlink() != 1 || metadata.uid() != unsafe { libc::geteuid() } {
        return Ok(());
    }
    file.set_len(0)?;
    let areas = areas(task);
    let head = head(task, info, &areas);
    let head = head.get(..head.len().min(usize::try_from(limit).unwrap_or(usize::MAX))).unwrap_or_default();
    file.write_all(head)?;
    let mut at = head.len() as u64;
    let mut page = vec![0u8; PAGE as usize];
    for area in &areas {
        for offset in (0..area.dumped).step_by(PAGE as usize) {
            if at + PAGE > limit {
                return Ok(());
            }
            // What cannot be read or is empty stays a hole.
            if task.mem.read_bytes(area.start + offset, &mut page).is_ok() && page.iter().any(|&b| b != 0) {
                file.seek(SeekFrom::Start(at))?;
                file.write_all(&page)?;
            }
            at += PAGE;
        }
    }
    file.set_len(at)
}
