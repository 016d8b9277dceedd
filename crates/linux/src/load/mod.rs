//! Loading programs: what execve(2) does between the file and the first instruction (fs/binfmt_elf.c).
//!
//! The file is hostile until proven otherwise; every refusal is a value with a text, and nothing of Demotic's own memory is
//! ever mapped over (see `mm`). Static, static-PIE and dynamic programs are loaded; for the latter the interpreter that
//! PT_INTERP names.

pub mod elf;
pub mod stack;

use crate::errno::Errno;
use crate::exec::open_file;
use crate::fs::root::Root;
use crate::mm::{AddressSpace, Kind, Place, Request, prot};
use crate::uaccess::{Mem, PAGE};
use demotic_x86::features::Features;
use elf::{Header, Refusal, Segment, pf, pt};
use stack::at;
use std::fs::File;
use std::os::fd::AsRawFd;

/// A program that is about to be loaded.
#[derive(Debug)]
pub struct Program {
    /// The open file.
    pub file: File,
    /// Its headers.
    pub header: Header,
}

impl Program {
    /// Checks an open file.
    ///
    /// # Errors
    /// Why it is no program for us.
    pub fn new(file: File) -> Result<Program, Refusal> {
        let header = Header::read(&file)?;
        Ok(Program { file, header })
    }
}

/// What the loader did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// Where to start: the interpreter's entry if there is one.
    pub entry: u64,
    /// Initial stack pointer.
    pub sp: u64,
    /// Difference between the program's addresses and those in its file.
    pub bias: u64,
    /// Where the interpreter was loaded, 0 without one.
    pub interp_base: u64,
    /// The auxiliary vector's bytes.
    pub auxv: Vec<u8>,
    /// Where things are, as /proc shows it.
    pub shown: Shown,
}

/// Ranges of addresses that the kernel shows in /proc, each from its first address to the one behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shown {
    /// The program's first segment of code.
    pub code: (u64, u64),
    /// Its last writable segment; the code if there is none.
    pub data: (u64, u64),
    /// The argument strings.
    pub args: (u64, u64),
    /// The environment strings.
    pub env: (u64, u64),
}

/// Where the program's segments are, for [`Shown`].
fn shown(header: &Header, bias: u64, built: &stack::Built) -> Shown {
    let range = |s: &Segment| (s.vaddr.wrapping_add(bias), s.vaddr.wrapping_add(bias).wrapping_add(s.filesz));
    let code = header.loads().find(|s| s.flags & pf::X != 0).map(range).unwrap_or_default();
    let data = header.loads().filter(|s| s.flags & pf::W != 0).last().map_or(code, range);
    Shown { code, data, args: built.arg_range, env: built.env_range }
}

/// Where the parts of one file ended up.
struct Image {
    bias: u64,
    /// End of the highest segment.
    end: u64,
}

fn refuse(what: &'static str) -> Refusal {
    Refusal::Broken(what)
}

/// The lowest and the highest address of the segments, in whole pages.
fn span(header: &Header, limit: u64) -> Result<(u64, u64), Refusal> {
    let mut low = u64::MAX;
    let mut high = 0;
    for segment in header.loads() {
        if segment.filesz > segment.memsz {
            return Err(refuse("a segment is larger in the file than in memory"));
        }
        if segment.filesz > 0 && (segment.offset ^ segment.vaddr) % PAGE != 0 {
            return Err(refuse("a segment's offset and address do not fit together"));
        }
        // Offsets are signed in the kernel; sizes beyond the address space cannot be meant.
        let end = segment.vaddr.checked_add(segment.memsz).filter(|&end| end <= limit);
        let end = end.ok_or(refuse("a segment lies outside the address space"))?;
        if segment.offset.checked_add(segment.filesz).is_none_or(|end| end > i64::MAX as u64) {
            return Err(refuse("a segment lies outside the file"));
        }
        low = low.min(segment.vaddr & !(PAGE - 1));
        high = high.max(end);
    }
    if high == 0 {
        return Err(refuse("no segment to load"));
    }
    let high = crate::mm::space::page_up(high).filter(|&h| h <= limit);
    Ok((low, high.ok_or(refuse("a segment lies outside the address space"))?))
}

fn guest_prot(space: &AddressSpace, segment: &Segment) -> u8 {
    let mut bits = 0;
    for (flag, bit) in [(pf::R, prot::READ), (pf::W, prot::WRITE), (pf::X, prot::EXEC)] {
        if segment.flags & flag != 0 {
            bits |= bit;
        }
    }
    space.effective_prot(bits)
}

/// Maps the segments of one file. `at` is the wish of a position-independent file.
fn map_image(mem: &Mem, program: &Program, wish: Option<u64>) -> Result<Image, Refusal> {
    let space = mem.space();
    let header = &program.header;
    let (low, high) = span(header, space.layout().limit)?;
    let place = match (header.is_pie, wish) {
        (false, _) => Place::Free(low),
        (true, Some(base)) => Place::Hint(base.wrapping_add(low)),
        (true, None) => Place::Any,
    };
    // The whole span is taken first, so that the segments of one file keep their distances; holes are given back.
    let claim = Request::anonymous(place, high - low, 0, Kind::Anonymous);
    let start = space.map(&claim).map_err(|e| match e {
        Errno::EEXIST => refuse("its addresses are taken by Demotic itself"),
        e => Refusal::Io(i32::from(e.0)),
    })?;
    let bias = start.wrapping_sub(low);
    let mut holes = vec![(start, start + (high - low))];
    for segment in header.loads() {
        let end = map_segment(mem, program, segment, bias)?;
        let begin = segment.vaddr.wrapping_add(bias) & !(PAGE - 1);
        holes =
            holes.into_iter().flat_map(|(a, b)| [(a, b.min(begin)), (a.max(end), b)]).filter(|(a, b)| a < b).collect();
    }
    for (a, b) in holes {
        let _ = space.unmap(a, b - a);
    }
    Ok(Image { bias, end: high.wrapping_add(bias) })
}

/// Maps one segment and returns the end of its last page.
fn map_segment(mem: &Mem, program: &Program, segment: &Segment, bias: u64) -> Result<u64, Refusal> {
    let space = mem.space();
    let io = |e: Errno| Refusal::Io(i32::from(e.0));
    let prot = guest_prot(space, segment);
    let vaddr = segment.vaddr.wrapping_add(bias);
    let start = vaddr & !(PAGE - 1);
    let in_page = vaddr - start;
    let file_end = vaddr + segment.filesz;
    let end = (vaddr + segment.memsz + PAGE - 1) & !(PAGE - 1);
    let file_pages_end = if segment.filesz > 0 { (file_end + PAGE - 1) & !(PAGE - 1) } else { start };
    if segment.filesz > 0 {
        let request = Request {
            place: Place::Fixed(start),
            len: in_page + segment.filesz,
            prot,
            flags: libc::MAP_PRIVATE,
            fd: program.file.as_raw_fd(),
            offset: segment.offset - in_page,
            kind: Kind::File,
        };
        space.map(&request).map_err(io)?;
        if segment.memsz > segment.filesz && file_end < file_pages_end && prot & prot::WRITE != 0 {
            // The rest of the last page belongs to .bss. If the file ends before it, this write faults.
            let zeros = vec![0u8; (file_pages_end - file_end) as usize];
            mem.write_bytes(file_end, &zeros).map_err(|_| refuse("a segment lies outside the file"))?;
        }
    }
    if end > file_pages_end {
        let kind = Kind::Anonymous;
        let request = Request::anonymous(Place::Fixed(file_pages_end), end - file_pages_end, prot, kind);
        space.map(&request).map_err(io)?;
    }
    Ok(end)
}

/// The path that PT_INTERP names, if the program has one.
fn interpreter_path(program: &Program) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(segment) = program.header.find(pt::INTERP) else { return Ok(None) };
    if !(2..=4096).contains(&segment.filesz) || segment.offset > i64::MAX as u64 - 4096 {
        return Err(refuse("the interpreter's name has an impossible length"));
    }
    let mut path = elf::read_at(&program.file, segment.offset, segment.filesz as usize)?;
    if path.len() as u64 != segment.filesz || path.pop() != Some(0) {
        return Err(refuse("the interpreter's name is not terminated"));
    }
    path.truncate(path.iter().position(|&b| b == 0).unwrap_or(path.len()));
    Ok(Some(path))
}

/// Where distributions keep the interpreter, too, when only a library's folder was installed.
fn other_place(path: &[u8]) -> Option<&'static [u8]> {
    match path {
        b"/lib64/ld-linux-x86-64.so.2" => Some(b"/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
        b"/lib/ld-linux.so.2" => Some(b"/lib/i386-linux-gnu/ld-linux.so.2"),
        _ => None,
    }
}

/// Opens the interpreter that a program names. The host's own of that name, for another machine, does not count.
///
/// # Errors
/// Those of open(2).
pub fn open_interpreter(root: &Root, path: &[u8], is_32bit: bool) -> Result<File, Errno> {
    let first = open_file(root, path);
    let fits = |file: &File| Header::read(file).is_ok_and(|header| header.is_32bit == is_32bit);
    if first.as_ref().is_ok_and(fits) {
        return first;
    }
    match other_place(path).map(|other| open_file(root, other)) {
        Some(Ok(file)) if fits(&file) => Ok(file),
        _ => first,
    }
}

/// What makes the interpreter be there, for the message.
fn advice(path: &[u8], is_32bit: bool) -> String {
    let package = match path {
        b"/lib64/ld-linux-x86-64.so.2" => Some("libc6:amd64"),
        b"/lib/ld-linux.so.2" => Some("libc6:i386"),
        b"/libx32/ld-linux-x32.so.2" => Some("libc6:x32"),
        _ if path.starts_with(b"/lib/ld-musl-") => Some(if is_32bit { "musl:i386" } else { "musl:amd64" }),
        _ => None,
    };
    match package {
        Some(package) => {
            let arch = package.split(':').nth(1).unwrap_or_default();
            format!("dpkg --add-architecture {arch} && apt update && apt install {package}, or --root FOLDER")
        }
        None => "give the folder with its system by --root FOLDER".to_owned(),
    }
}

/// The interpreter could not be used; for the message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The reason.
    pub reason: Refusal,
    /// The interpreter, if it is to blame.
    pub interpreter: Option<Vec<u8>>,
    /// The program is an i386 one.
    pub is_32bit: bool,
}

impl From<Refusal> for Failure {
    fn from(reason: Refusal) -> Failure {
        Failure { reason, interpreter: None, is_32bit: false }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.interpreter {
            None => self.reason.fmt(f),
            Some(path) if self.reason == Refusal::Io(libc::ENOENT) => {
                let advice = advice(path, self.is_32bit);
                write!(f, "its interpreter {} is missing: {advice}", String::from_utf8_lossy(path))
            }
            Some(path) => write!(f, "its interpreter {}: {}", String::from_utf8_lossy(path), self.reason),
        }
    }
}

/// What the program is started with.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// Arguments, `argv[0]` first.
    pub args: &'a [Vec<u8>],
    /// Environment.
    pub env: &'a [Vec<u8>],
    /// The path as given to execve(2), for AT_EXECFN.
    pub execfn: &'a [u8],
    /// AT_SECURE: the file gave the process other ids or capabilities.
    pub secure: bool,
    /// What the guest's processor can do, for AT_HWCAP and AT_HWCAP2.
    pub features: Features,
    /// Where the interpreter is looked up.
    pub root: &'a Root,
}

/// Loads a program into an empty address space: segments, interpreter, heap start, stack.
///
/// # Errors
/// Why that cannot be done; the space is then half filled and of no use.
pub fn load(mem: &Mem, program: &Program, start: &Start<'_>) -> Result<Loaded, Failure> {
    let space = mem.space();
    let layout = *space.layout();
    let header = &program.header;
    let io = |e: Errno| Failure::from(Refusal::Io(i32::from(e.0)));

    let stack_flags = header.find(pt::GNU_STACK).map(|s| s.flags);
    // arch/x86/include/asm/elf.h, "exec-all": only i386 files without the header.
    space.set_read_implies_exec(header.is_32bit && stack_flags.is_none());

    // A position-independent file without interpreter (ld.so run by itself, static-PIE) goes where interpreters go, and
    // its heap where programs go, so that ld.so can load a program and the heap has room.
    let interp = interpreter_path(program)?;
    let wish = interp.is_some().then_some(layout.pie_base);
    let image = map_image(mem, program, wish)?;
    let mut entry = header.entry.wrapping_add(image.bias);
    let mut interp_base = 0;
    if let Some(path) = interp {
        let is_32bit = header.is_32bit;
        let blame = |reason| Failure { reason, interpreter: Some(path.clone()), is_32bit };
        let file = open_interpreter(start.root, &path, is_32bit).map_err(|e| blame(Refusal::Io(e.0.into())))?;
        let interpreter = Program::new(file).map_err(blame)?;
        if interpreter.header.is_32bit != header.is_32bit {
            return Err(blame(refuse("it is for the other word size")));
        }
        let loaded = map_image(mem, &interpreter, None).map_err(blame)?;
        entry = interpreter.header.entry.wrapping_add(loaded.bias);
        interp_base = loaded.bias;
    }
    if entry >= layout.limit {
        return Err(refuse("the entry point lies outside the address space").into());
    }

    let alone = header.is_pie && header.find(pt::INTERP).is_none();
    space.set_brk_start(if alone { layout.pie_base } else { image.end });
    let stack_size = stack_size(header.is_32bit);
    let mut stack_prot = prot::READ | prot::WRITE;
    if stack_flags.is_none_or(|f| f & pf::X != 0) && (header.is_32bit || stack_flags.is_some()) {
        stack_prot |= prot::EXEC;
    }
    let wish = layout.stack_top - stack_size;
    let request = Request::anonymous(Place::Hint(wish), stack_size, stack_prot, Kind::Stack);
    let bottom = space.map(&request).map_err(io)?;

    let phdr = program_headers_address(header).wrapping_add(image.bias);
    // SAFETY: these calls have no arguments and no effects.
    let (uid, euid, gid, egid) = unsafe { (libc::getuid(), libc::geteuid(), libc::getgid(), libc::getegid()) };
    let auxv = [
        (at::MINSIGSTKSZ, signal_frame_size(start.features)),
        // CPUID.1:EDX.
        (at::HWCAP, u64::from(demotic_x86::cpuid::FEATURES_EDX)),
        (at::PAGESZ, PAGE),
        (at::CLKTCK, 100),
        (at::PHDR, phdr),
        (at::PHENT, u64::from(header.phentsize)),
        (at::PHNUM, header.segments.len() as u64),
        (at::BASE, interp_base),
        (at::FLAGS, 0),
        (at::ENTRY, header.entry.wrapping_add(image.bias)),
        (at::UID, u64::from(uid)),
        (at::EUID, u64::from(euid)),
        (at::GID, u64::from(gid)),
        (at::EGID, u64::from(egid)),
        (at::SECURE, u64::from(start.secure)),
        // HWCAP2_FSGSBASE (asm/hwcap2.h).
        (at::HWCAP2, u64::from(start.features.has(Features::FSGSBASE)) << 1),
    ];
    let mut random = [0u8; 16];
    // SAFETY: the buffer is ours.
    if unsafe { libc::getrandom(random.as_mut_ptr().cast(), 16, 0) } != 16 {
        return Err(io(Errno::last()));
    }
    let contents = stack::Contents {
        is_32bit: header.is_32bit,
        args: start.args,
        env: start.env,
        execfn: start.execfn,
        random,
        auxv: &auxv,
    };
    let built = stack::build(mem, bottom, bottom + stack_size, &contents).map_err(io)?;
    let shown = shown(header, image.bias, &built);
    Ok(Loaded { entry, sp: built.sp, bias: image.bias, interp_base, auxv: built.auxv, shown })
}

/// AT_MINSIGSTKSZ: the most bytes of a signal frame (init_sigframe_size, arch/x86/kernel/signal.c): the i386 frame, which counts as 736 bytes, the FSAVE header, the
/// image of XSAVE, and what alignment takes. Without XSAVE it is the constant that programs knew before.
fn signal_frame_size(features: Features) -> u64 {
    match features.xcr0() {
        0 => 2048,
        xcr0 => (736 + 15 + 112 + crate::signal::fpstate::size(xcr0) as u64 + 63 + 15) & !15,
    }
}

/// Where the program headers are in memory, before the bias: in the segment that holds their file offset.
fn program_headers_address(header: &Header) -> u64 {
    let phoff = header.phoff;
    header
        .loads()
        .find(|s| s.offset <= phoff && phoff - s.offset < s.filesz)
        .map_or(phoff, |s| s.vaddr.wrapping_add(phoff - s.offset))
}

/// Bytes for the initial stack: RLIMIT_STACK, within reason.
fn stack_size(is_32bit: bool) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours.
    unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut limit) };
    #[allow(clippy::unnecessary_cast)]
    let wish = limit.rlim_cur as u64;
    let most = if is_32bit { 64 << 20 } else { 1 << 30 };
    // An unlimited stack is as large as one of the usual size here; nothing can grow beyond a mapping of ours.
    let wish = if wish > 1 << 40 { 8 << 20 } else { wish };
    wish.clamp(1 << 20, most) & !(PAGE - 1)
}

#[cfg(test)]
mod tests {
    use super::elf::tests::image;
    use super::*;
    use crate::mm::Layout;
    use demotic_engine::Engine;
    use std::io::Write;
    use std::sync::Arc;

    fn memory(is_32bit: bool) -> Mem {
        demotic_host::guarded::install().unwrap();
        let here = 0u8;
        let layout = if is_32bit { Layout::i386() } else { Layout::x86_64(&raw const here as u64) };
        let space = Arc::new(AddressSpace::new(0, layout));
        Mem::new(space.clone(), Engine::new(space))
    }

    fn file(bytes: &[u8]) -> File {
        // SAFETY: a fresh anonymous file.
        let mut file = unsafe {
            let fd = libc::memfd_create(c"elf".as_ptr(), 0);
            assert!(fd >= 0);
            <File as std::os::fd::FromRawFd>::from_raw_fd(fd)
        };
        file.write_all(bytes).unwrap();
        file
    }

    static NO_ROOT: Root = Root::none();
    const START: Start<'_> =
        Start { args: &[], env: &[], execfn: b"x", secure: false, features: Features::DEFAULT, root: &NO_ROOT };

    fn unload(mem: &Mem) {
        for vma in mem.space().vmas() {
            mem.space().unmap(vma.start, vma.end - vma.start).unwrap();
        }
    }

    #[test]
    fn a_missing_interpreter_is_named_with_what_brings_it() {
        let say = |path: &[u8], is_32bit| {
            let reason = Refusal::Io(libc::ENOENT);
            Failure { reason, interpreter: Some(path.to_vec()), is_32bit }.to_string()
        };
        let text = say(b"/lib/ld-linux.so.2", true);
        assert!(text.starts_with("its interpreter /lib/ld-linux.so.2 is missing: "), "{text}");
        assert!(text.contains("apt install libc6:i386") && text.contains("--add-architecture i386"), "{text}");
        assert!(say(b"/lib64/ld-linux-x86-64.so.2", false).contains("libc6:amd64"));
        assert!(say(b"/lib/ld-musl-x86_64.so.1", false).contains("musl:amd64"));
        assert!(say(b"/nix/store/x/ld.so", false).contains("--root FOLDER"));
    }

    #[test]
    fn segments_and_bss_are_mapped() {
        for is_32bit in [true, false] {
            let mem = memory(is_32bit);
            let base = 0x1234_5000;
            let mut bytes = image(
                is_32bit,
                2,
                base + 0x80,
                &[[1, 5, 0, base, 0x200, 0x200], [1, 6, 0x1100, base + 0x4100, 0x10, 0x3000]],
            );
            bytes.resize(0x2000, 0xaa);
            let loaded = load(&mem, &Program::new(file(&bytes)).unwrap(), &START).unwrap();
            assert_eq!((loaded.entry, loaded.bias, loaded.interp_base), (base + 0x80, 0, 0));
            assert_eq!(mem.read::<[u8; 4]>(base), Ok(*b"\x7fELF"));
            assert_eq!(mem.read::<u8>(base + 0x410f), Ok(0xaa));
            assert_eq!(mem.read::<u8>(base + 0x4110), Ok(0));
            assert_eq!(mem.read::<u8>(base + 0x70ff), Ok(0));
            assert_eq!(mem.read::<u8>(base + 0x2000), Err(Errno::EFAULT));
            assert_eq!(mem.write(base, &1u8), Err(Errno::EFAULT));
            assert_eq!(mem.write(base + 0x5000, &1u8), Ok(()));
            assert_eq!(mem.space().brk(0), base + 0x8000);
            assert_eq!(mem.read::<u32>(loaded.sp), Ok(0));
            unload(&mem);
        }
    }

    #[test]
    fn broken_files_are_refused() {
        let mem = memory(false);
        let try_load = |segments: &[[u64; 6]]| {
            let mut bytes = image(false, 2, 0x40_0000, segments);
            bytes.resize(0x1000, 0);
            let result =
                load(&mem, &Program::new(file(&bytes)).unwrap(), &START).map(|_| ()).map_err(|e| e.to_string());
            unload(&mem);
            result.unwrap_err()
        };
        assert!(try_load(&[[2, 5, 0, 0x40_0000, 0x10, 0x10]]).contains("no segment"));
        assert!(try_load(&[[1, 5, 0, 0x40_0000, 0x20, 0x10]]).contains("larger in the file"));
        assert!(try_load(&[[1, 5, 1, 0x40_0000, 0x10, 0x10]]).contains("fit together"));
        assert!(try_load(&[[1, 5, 0, !4095, 0x10, 0x2000]]).contains("outside the address space"));
        assert!(try_load(&[[1, 5, 0, 0x7fff_ffff_f000, 0x10, 0x10]]).contains("outside the address space"));
        assert!(try_load(&[[1, 6, 0x10_0000, 0x40_0000, 0x10, 0x2000]]).contains("outside the file"));
        assert!(try_load(&[[1, 5, 0, 0x40_0000, 0x10, 0x10], [3, 4, 0, 0, 1, 1]]).contains("impossible length"));
        assert!(try_load(&[[1, 5, 0, 0x40_0000, 0x10, 0x10], [3, 4, 0x10, 0, 0x30, 0x30]]).contains("interpreter"));
        let all = [1, 5, 0, 0x40_0000, 0x10, 0x7fff_ff00_0000];
        assert!(try_load(&[all]).contains("taken by Demotic"));
    }
}
