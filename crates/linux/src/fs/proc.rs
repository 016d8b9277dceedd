//! /proc/self and /proc/cpuinfo as an x86 kernel would show them.
//!
//! The host kernel's files describe Demotic: its executable, its mappings (its own among the guest's), its arguments, the
//! host's processor. Programs read them to find themselves (`exe`), to walk their memory (`maps`: garbage collectors,
//! sanitizers, Wine), and to choose code paths (`cpuinfo`). So opening one of them gives a memory file with the guest's
//! view instead, taken at that moment, and `exe` leads to the guest's program.
//!
//! A path is recognised by its text, relative ones joined to their directory first: `/proc/self`, `/proc/thread-self`,
//! `/proc/PID` and `/proc/PID/task/TID` of this process. Of other processes that are translated, `exe` leads to their program, and `cmdline` is
//! shown without Demotic's own part (where the kernel does not show the guest's, see [`crate::fs::shown`]). Absent: their other files, paths through symbolic links into /proc, and `stat` on the
//! generated files (which shows the host's, as size 0 as always in /proc).

use crate::errno::{Errno, SysResult};
use crate::mm::{Kind, prot};
use crate::task::Task;
use demotic_engine::GuestSpace;
use std::ffi::{CStr, CString};
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A file that is shown differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Entry {
    Exe,
    Maps,
    Cmdline,
    Auxv,
    Stat,
    Status,
    Comm,
    Cpuinfo,
    /// The arguments of another process.
    CmdlineOf(u32),
    /// The program of another process.
    ExeOf(u32),
}

/// The entry by the last component of a path.
fn by_name(name: &[u8]) -> Option<Entry> {
    Some(match name {
        b"exe" => Entry::Exe,
        b"maps" => Entry::Maps,
        b"cmdline" => Entry::Cmdline,
        b"auxv" => Entry::Auxv,
        b"stat" => Entry::Stat,
        b"status" => Entry::Status,
        b"comm" => Entry::Comm,
        b"cpuinfo" => Entry::Cpuinfo,
        _ => return None,
    })
}

/// The entry that an absolute path names, for process `pid`.
fn by_path(path: &[u8], pid: u32) -> Option<Entry> {
    let mut parts = path.split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b"."));
    if parts.next()? != b"proc" {
        return None;
    }
    let first = parts.next()?;
    let pid = pid.to_string();
    let own = matches!(first, b"self" | b"thread-self") || first == pid.as_bytes();
    let mut last = parts.next();
    if let (false, Some(name @ (b"cmdline" | b"exe"))) = (own, last) {
        let pid = std::str::from_utf8(first).ok()?.parse().ok()?;
        let entry = if name == b"exe" { Entry::ExeOf(pid) } else { Entry::CmdlineOf(pid) };
        return parts.next().is_none().then_some(entry);
    }
    if !own {
        return (first == b"cpuinfo" && last.is_none()).then_some(Entry::Cpuinfo);
    }
    if last == Some(b"task") {
        // Any thread shows the same process, except for its stat.
        let tid = parts.next()?;
        last = parts.next();
        if matches!(last, Some(b"stat" | b"status" | b"comm")) && tid != pid.as_bytes() {
            return None;
        }
    }
    let entry = by_name(last?)?;
    (parts.next().is_none() && entry != Entry::Cpuinfo).then_some(entry)
}

/// The entry that `path`, relative to the directory `dir`, names.
fn find(dir: u64, path: &CStr) -> Option<Entry> {
    let path = path.to_bytes();
    let name = path.rsplit(|&b| b == b'/').next()?;
    by_name(name)?;
    let pid = std::process::id();
    if path.first() == Some(&b'/') {
        return by_path(path, pid);
    }
    let base = if dir as i32 == libc::AT_FDCWD {
        std::env::current_dir().ok()?
    } else {
        std::fs::read_link(format!("/proc/self/fd/{}", dir as i32)).ok()?
    };
    if !base.starts_with("/proc") {
        return None;
    }
    let full = [base.as_os_str().as_bytes(), b"/", path].concat();
    by_path(&full, pid)
}

/// The guest's program when `path` is an `exe` link of this process.
pub fn exe_target(task: &Task, dir: u64, path: &CStr) -> Option<CString> {
    let exe = match find(dir, path)? {
        Entry::Exe => task.process.exe.clone(),
        Entry::ExeOf(pid) => exe_of(pid)?,
        _ => return None,
    };
    CString::new(exe.into_os_string().into_vec()).ok()
}

/// True for another process that is translated.
fn is_translated(pid: u32) -> bool {
    let exe = |pid: &str| std::fs::metadata(format!("/proc/{pid}/exe")).map(|m| (m.dev(), m.ino())).ok();
    exe(&pid.to_string()).is_some_and(|other| exe("self") == Some(other))
}

/// The program of another process that is translated: what its code is mapped from ([`crate::fs::shown`]).
fn exe_of(pid: u32) -> Option<PathBuf> {
    if !is_translated(pid) {
        return None;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 26; the first behind the name is number 3.
    let code: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(26 - 3)?.parse().ok()?;
    let areas = host_areas(&pid.to_string());
    let area = areas.iter().find(|area| area.start <= code && code < area.end)?;
    area.rest.find('/').map(|at| PathBuf::from(&area.rest[at..]))
}

/// Opens `path` with `open` flags of the guest when it is one of the files that are shown differently.
pub fn open(task: &mut Task, dir: u64, path: &CStr, flags: u32) -> Option<SysResult> {
    use crate::abi::flags::{open_to_host, x86};
    let entry = find(dir, path)?;
    if flags & x86::O_PATH != 0 && !matches!(entry, Entry::Exe | Entry::ExeOf(_)) {
        return None;
    }
    if matches!(entry, Entry::Exe | Entry::ExeOf(_)) {
        if flags & x86::O_NOFOLLOW != 0 {
            return None;
        }
        let target = exe_target(task, dir, path)?;
        let args = [libc::AT_FDCWD as isize as usize, target.as_ptr() as usize, open_to_host(flags) as usize, 0, 0, 0];
        return Some(task.syscall_host(libc::SYS_openat, args));
    }
    if flags as i32 & libc::O_ACCMODE != libc::O_RDONLY {
        // Writing to `comm` names the thread on the host, too; the others are read-only.
        return None;
    }
    let text = contents(task, entry)?;
    Some(memory_file(task, path, &text, flags & x86::O_CLOEXEC != 0))
}

/// A descriptor to read `text` from.
fn memory_file(task: &Task, name: &CStr, text: &[u8], close_on_exec: bool) -> SysResult {
    let flags = if close_on_exec { libc::MFD_CLOEXEC } else { 0 };
    let fd = task.syscall_host(libc::SYS_memfd_create, [name.as_ptr() as usize, flags as usize, 0, 0, 0, 0])?;
    let mut rest = text;
    while !rest.is_empty() {
        let args = [fd as usize, rest.as_ptr() as usize, rest.len(), 0, 0, 0];
        match task.syscall_host(libc::SYS_write, args) {
            Ok(written) if written > 0 => rest = rest.get(written as usize..).unwrap_or_default(),
            result => {
                crate::syscall::file::close_own(task, fd);
                return Err(result.err().unwrap_or(Errno::EIO));
            }
        }
    }
    // The guest reads from the start.
    crate::syscall::file::rewind_own(task, fd)?;
    Ok(fd)
}

fn contents(task: &Task, entry: Entry) -> Option<Vec<u8>> {
    match entry {
        Entry::Exe | Entry::ExeOf(_) => None,
        Entry::Maps => Some(maps(task).into_bytes()),
        // The kernel's own shows what the program has made of its arguments since.
        Entry::Cmdline => (!task.process.is_shown).then(|| cmdline(task)),
        Entry::Auxv => (!task.process.auxv.is_empty()).then(|| task.process.auxv.clone()),
        Entry::Stat => stat(task),
        Entry::Status => status(task),
        Entry::Comm => Some([comm(task), b"\n".to_vec()].concat()),
        Entry::CmdlineOf(pid) => (!task.process.is_shown).then(|| cmdline_of(pid)).flatten(),
        Entry::Cpuinfo => Some(crate::fs::cpuinfo::text(task.process.engine.features()).into_bytes()),
    }
}

fn cmdline(task: &Task) -> Vec<u8> {
    task.process.args.iter().flat_map(|arg| [arg.as_bytes(), b"\0"].concat()).collect()
}

/// The guest's arguments of another process, if that is a Demotic as well.
fn cmdline_of(pid: u32) -> Option<Vec<u8>> {
    if !is_translated(pid) {
        return None;
    }
    guest_arguments(&std::fs::read(format!("/proc/{pid}/cmdline")).ok()?)
}

/// The options whose value is a word of its own.
const TAKES_VALUE: [&str; 12] =
    ["--argv0", "-E", "--env", "-U", "--unset-env", "-L", "--root", "--engine", "--cpu", "--keep", "--launcher", "-0"];

/// What Demotic's own arguments say about the guest's: either the internal form of [`crate::exec`], or a command line with
/// options before the program.
fn guest_arguments(host: &[u8]) -> Option<Vec<u8>> {
    let words: Vec<&[u8]> = host.strip_suffix(b"\0")?.split(|&byte| byte == 0).collect();
    let mut argv0 = None;
    let mut first = 1;
    if words.get(1).copied() == Some(crate::exec::INTERNAL.as_bytes()) {
        // demotic --internal-exec OPTIONS [LAUNCHER...] [FOLDER] [ROOT] PATH ARGV...
        let told = crate::exec::decode(std::str::from_utf8(words.get(2)?).ok()?);
        first = 4 + told.launcher + usize::from(told.keep) + usize::from(told.root.is_some());
    } else {
        while let Some(word) = words.get(first).filter(|word| word.starts_with(b"-")) {
            let takes_value = TAKES_VALUE.iter().any(|option| option.as_bytes() == *word);
            if *word == b"--argv0" {
                argv0 = words.get(first + 1).copied();
            }
            first += if takes_value { 2 } else { 1 };
            if *word == b"--" {
                break;
            }
        }
    }
    let mut guest = words.get(first..)?.to_vec();
    if let (Some(argv0), Some(word)) = (argv0, guest.first_mut()) {
        *word = argv0;
    }
    Some(guest.iter().flat_map(|word| [word, &b"\0"[..]].concat()).collect())
}

/// The name of the first thread: what prctl set, and at first the program's file name, cut to 15 bytes.
fn comm(task: &Task) -> Vec<u8> {
    let host = std::fs::read("/proc/self/comm").unwrap_or_default();
    let host = host.strip_suffix(b"\n").unwrap_or(&host).to_vec();
    if host == b"demotic" || host.is_empty() {
        let name = task.process.exe.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        return name.get(..name.len().min(15)).unwrap_or_default().to_vec();
    }
    host
}

/// One line of the host's maps: range, and the text behind the offset ("dev inode path").
struct HostArea {
    start: u64,
    end: u64,
    offset: u64,
    rest: String,
}

fn host_areas(pid: &str) -> Vec<HostArea> {
    let text = std::fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let parse = |line: &str| {
        let mut fields = line.splitn(4, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        fields.next()?;
        let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        Some(HostArea { start: hex(start)?, end: hex(end)?, offset, rest: fields.next()?.to_string() })
    };
    text.lines().filter_map(parse).collect()
}

/// The file that is mapped at a guest address, by its last component, and the offset of the address in it.
pub fn module(task: &Task, addr: u64) -> Option<(String, u64)> {
    let at = (task.process.space.base() as u64).wrapping_add(addr);
    let areas = host_areas("self");
    let area = areas.iter().find(|area| area.start <= at && at < area.end)?;
    let file = area.rest.get(area.rest.find('/')?..)?;
    Some((file.rsplit('/').next()?.to_owned(), area.offset + (at - area.start)))
}

/// /proc/self/maps from the guest's own memory map; files get device, inode and name from the host's.
pub fn maps(task: &Task) -> String {
    let space = &task.process.space;
    let host = host_areas("self");
    let mut out = String::new();
    for area in space.vmas() {
        let bit = |bit: u8, letter: char| if area.prot & bit != 0 { letter } else { '-' };
        let (r, w, x) = (bit(prot::READ, 'r'), bit(prot::WRITE, 'w'), bit(prot::EXEC, 'x'));
        let shared = if area.shared { 's' } else { 'p' };
        let line_start = out.len();
        let mut offset = 0;
        let mut rest = String::from("00:00 0 ");
        match area.kind {
            Kind::File => {
                offset = area.offset;
                // The first page may stand in memory of its own, where the host's pages are larger; the next one is the file's then.
                let next = space.pages().up(area.start + 1).min(area.end - 1);
                for at in [area.start, next] {
                    let start = space.file_shown_at(at) as u64;
                    let found = host.iter().find(|host| host.start <= start && start < host.end);
                    if let Some(found) =
                        found.filter(|found| at == area.start && !space.pages().is_coarse() || found.rest.contains('/'))
                    {
                        rest = in_root(task, &found.rest);
                        offset = (found.offset + (start - found.start)).wrapping_sub(at - area.start);
                        break;
                    }
                }
            }
            Kind::Heap => rest.push_str("[heap]"),
            Kind::Stack => rest.push_str("[stack]"),
            Kind::Anonymous => {}
        }
        let mut fields = rest.splitn(3, ' ');
        let (device, inode) = (fields.next().unwrap_or("00:00"), fields.next().unwrap_or("0"));
        let name = fields.next().unwrap_or("").trim_start();
        let _ = write!(out, "{:08x}-{:08x} {r}{w}{x}{shared} {offset:08x} {device} {inode}", area.start, area.end);
        if !name.is_empty() {
            // The kernel pads to this column.
            let width = out.len() - line_start;
            out.extend(std::iter::repeat_n(' ', 73usize.saturating_sub(width).max(1)));
            out.push_str(name);
        } else {
            out.push(' ');
        }
        out.push('\n');
    }
    out
}

/// A line's "dev inode path" with the path as seen from the guest root.
fn in_root(task: &Task, rest: &str) -> String {
    match rest.find('/') {
        Some(at) => {
            let (front, path) = rest.split_at(at);
            [front, &String::from_utf8_lossy(task.process.root.guest(path.as_bytes()))].concat()
        }
        None => rest.to_owned(),
    }
}

/// /proc/self/stat with the guest's name and the start of its stack (field 28), which garbage collectors look for.
fn stat(task: &Task) -> Option<Vec<u8>> {
    let host = std::fs::read("/proc/self/stat").ok()?;
    let end = host.iter().rposition(|&b| b == b')')?;
    let mut out = format!("{} (", std::process::id()).into_bytes();
    out.extend_from_slice(&comm(task));
    out.extend_from_slice(b") ");
    let rest = String::from_utf8_lossy(host.get(end + 2..)?).into_owned();
    let mut fields: Vec<String> = rest.trim_end().split(' ').map(str::to_string).collect();
    let stack = task.process.space.vmas().into_iter().rfind(|area| area.kind == Kind::Stack);
    // The first of these fields is number 3.
    if let (Some(stack), Some(field)) = (stack, fields.get_mut(28 - 3)) {
        *field = (stack.end - 16).to_string();
    }
    out.extend_from_slice(fields.join(" ").as_bytes());
    out.push(b'\n');
    Some(out)
}

/// /proc/self/status with the guest's name.
fn status(task: &Task) -> Option<Vec<u8>> {
    let host = std::fs::read("/proc/self/status").ok()?;
    let rest = host.get(host.iter().position(|&b| b == b'\n')?..)?;
    let rest = String::from_utf8_lossy(rest);
    // The host knows of listeners only.
    let rest: String = rest
        .split_inclusive('\n')
        .map(|line| match line.split_once(':') {
            Some(("Seccomp", _)) => format!("Seccomp:\t{}\n", task.seccomp.mode()),
            Some(("Seccomp_filters", _)) => format!("Seccomp_filters:\t{}\n", task.seccomp.count()),
            _ => line.to_owned(),
        })
        .collect();
    Some([b"Name:\t", comm(task).as_slice(), rest.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognised_paths() {
        let entry = |path: &str| by_path(path.as_bytes(), 42);
        assert_eq!(entry("/proc/self/exe"), Some(Entry::Exe));
        assert_eq!(entry("//proc/./42//maps"), Some(Entry::Maps));
        assert_eq!(entry("/proc/self/task/42/stat"), Some(Entry::Stat));
        assert_eq!(entry("/proc/self/task/43/stat"), None);
        assert_eq!(entry("/proc/self/task/43/maps"), Some(Entry::Maps));
        assert_eq!(entry("/proc/cpuinfo"), Some(Entry::Cpuinfo));
        assert_eq!(entry("/proc/43/exe"), Some(Entry::ExeOf(43)));
        assert_eq!(entry("/proc/43/exe/x"), None);
        assert_eq!(entry("/proc/43/cmdline"), Some(Entry::CmdlineOf(43)));
        assert_eq!(entry("/proc/42/cmdline"), Some(Entry::Cmdline));
        assert_eq!(entry("/proc/sys/cmdline"), None);
        assert_eq!(entry("/proc/self/fd/exe"), None);
        assert_eq!(entry("/home/proc/self/exe"), None);
        assert_eq!(entry("/proc/stat"), None);
    }

    #[test]
    fn arguments_of_others() {
        let shown = |host: &str| guest_arguments(host.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        let some = |text: &str| Some(text.to_string());
        assert_eq!(shown("demotic\0--internal-exec\0strace=0\0/bin/sh\0sh\0-c\0"), some("sh\0-c\0"));
        assert_eq!(shown("demotic\0--internal-exec\0keep=1,root=9\0/k\0/r\0/bin/sh\0sh\0"), some("sh\0"));
        assert_eq!(shown("demotic\0prog\0-x\0"), some("prog\0-x\0"));
        assert_eq!(shown("demotic\0--strace\0-E\0A=1\0--\0-prog\0a\0"), some("-prog\0a\0"));
        assert_eq!(shown("demotic\0--argv0\0name\0prog\0a\0"), some("name\0a\0"));
        assert_eq!(shown(""), None);
    }

    #[test]
    fn relative_paths() {
        let cwd = libc::AT_FDCWD as u64;
        assert_eq!(find(cwd, c"exe"), None);
        assert_eq!(find(cwd, c"/proc/self/exe"), Some(Entry::Exe));
    }

    #[test]
    fn host_maps_parse() {
        let areas = host_areas("self");
        assert!(areas.len() > 5);
        assert!(areas.iter().all(|area| area.start < area.end));
    }
}
