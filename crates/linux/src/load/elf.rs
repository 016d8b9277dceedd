//! Reading ELF headers. Pure parsing of untrusted bytes: every field is checked before it is used.
//!
//! Both classes become one [`Header`]. Reference: System V ABI, chapters 4 and 5; fs/binfmt_elf.c for what Linux accepts.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// EM_386.
const EM_386: u16 = 3;
/// EM_X86_64.
const EM_X86_64: u16 = 62;
/// Program headers may take up this much (ELF_MIN_ALIGN / 64 KiB in load_elf_phdrs).
const MAX_PHDRS: usize = 65536;

/// p_type values.
pub mod pt {
    #![allow(missing_docs)]
    pub const LOAD: u32 = 1;
    pub const INTERP: u32 = 3;
    pub const GNU_STACK: u32 = 0x6474_e551;
}

/// p_flags values.
pub mod pf {
    #![allow(missing_docs)]
    pub const X: u32 = 1;
    pub const W: u32 = 2;
    pub const R: u32 = 4;
}

/// Why a file is no program for us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Not an ELF file at all (it may be a script).
    NotElf,
    /// An ELF file for another machine; the name of the machine.
    OtherMachine(String),
    /// An ELF file for us that is broken; what is wrong.
    Broken(&'static str),
    /// It could not be read; errno.
    Io(i32),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotElf => f.write_str("not an ELF file"),
            Refusal::OtherMachine(name) => write!(f, "ELF for {name}; Demotic runs i386 and x86-64"),
            Refusal::Broken(what) => write!(f, "broken ELF file: {what}"),
            Refusal::Io(errno) => write!(f, "{}", std::io::Error::from_raw_os_error(*errno)),
        }
    }
}

/// One program header, widened to 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// [`pt`] value.
    pub kind: u32,
    /// [`pf`] bits.
    pub flags: u32,
    /// Offset in the file in bytes.
    pub offset: u64,
    /// Address before the load bias.
    pub vaddr: u64,
    /// Bytes in the file.
    pub filesz: u64,
    /// Bytes in memory.
    pub memsz: u64,
    /// Alignment, a power of two or 0.
    pub align: u64,
}

/// What the kernel needs of an ELF file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// ELFCLASS32: an i386 program.
    pub is_32bit: bool,
    /// ET_DYN: position-independent.
    pub is_pie: bool,
    /// Entry point before the load bias.
    pub entry: u64,
    /// Offset of the program headers in the file.
    pub phoff: u64,
    /// Size of one program header.
    pub phentsize: u16,
    /// All program headers.
    pub segments: Vec<Segment>,
}

fn machine_name(machine: u16) -> String {
    let name = match machine {
        2 | 18 | 43 => "sparc",
        4 => "m68k",
        8 => "mips",
        15 => "parisc",
        20 => "powerpc",
        21 => "powerpc64",
        22 => "s390",
        40 => "arm",
        42 => "superh",
        50 => "ia64",
        183 => "aarch64",
        243 => "riscv",
        247 => "bpf",
        258 => "loongarch",
        _ => return format!("machine {machine}"),
    };
    name.to_owned()
}

/// A little-endian field of a byte slice, 0 beyond its end (the callers have checked the length).
fn field(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut value = [0u8; 8];
    if let (Some(from), Some(to)) = (bytes.get(at..at + len), value.get_mut(..len)) {
        to.copy_from_slice(from);
    }
    u64::from_le_bytes(value)
}

/// Reads up to `len` bytes at `offset`; fewer at the end of the file.
///
/// # Errors
/// The host's errno.
pub fn read_at(file: &File, offset: u64, len: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Refusal::Io(e.raw_os_error().unwrap_or(libc::EIO))),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

impl Header {
    /// Reads and checks the headers of a file.
    ///
    /// # Errors
    /// Why the file is no program for us.
    pub fn read(file: &File) -> Result<Header, Refusal> {
        let start = read_at(file, 0, 64)?;
        Header::parse(&start, |offset, len| read_at(file, offset, len))
    }

    /// Parses headers: `start` are the file's first 64 bytes (or fewer), `read` reads more of it.
    ///
    /// # Errors
    /// Why the file is no program for us.
    pub fn parse(start: &[u8], read: impl Fn(u64, usize) -> Result<Vec<u8>, Refusal>) -> Result<Header, Refusal> {
        if !start.starts_with(b"\x7fELF") {
            return Err(Refusal::NotElf);
        }
        if start.len() < 52 {
            return Err(Refusal::Broken("the header is cut short"));
        }
        let is_32bit = match start[4] {
            1 => true,
            2 => false,
            _ => return Err(Refusal::Broken("unknown class")),
        };
        if start[5] != 1 {
            // Big-endian files have the machine the other way round.
            return Err(Refusal::OtherMachine(format!("{} (big-endian)", machine_name(u16::from(start[19])))));
        }
        let machine = field(start, 18, 2) as u16;
        match (machine, is_32bit) {
            (EM_386, true) | (EM_X86_64, false) => {}
            (EM_X86_64, true) => return Err(Refusal::OtherMachine("x32".to_owned())),
            _ => return Err(Refusal::OtherMachine(machine_name(machine))),
        }
        if !is_32bit && start.len() < 64 {
            return Err(Refusal::Broken("the header is cut short"));
        }
        let is_pie = match field(start, 16, 2) {
            2 => false,
            3 => true,
            _ => return Err(Refusal::Broken("neither a program nor a shared object")),
        };
        let (entry, phoff, phentsize, phnum, size) = if is_32bit {
            (field(start, 24, 4), field(start, 28, 4), field(start, 42, 2), field(start, 44, 2), 32)
        } else {
            (field(start, 24, 8), field(start, 32, 8), field(start, 54, 2), field(start, 56, 2), 56)
        };
        if phentsize != size {
            return Err(Refusal::Broken("program headers of an unknown size"));
        }
        let bytes = (phnum * size) as usize;
        if bytes == 0 || bytes > MAX_PHDRS {
            return Err(Refusal::Broken("no program headers, or too many"));
        }
        // File offsets are signed (loff_t).
        if phoff > i64::MAX as u64 - bytes as u64 {
            return Err(Refusal::Broken("program headers outside the file"));
        }
        let table = read(phoff, bytes)?;
        if table.len() < bytes {
            return Err(Refusal::Broken("program headers outside the file"));
        }
        let segments = table.chunks_exact(size as usize).map(|p| segment(p, is_32bit)).collect();
        Ok(Header { is_32bit, is_pie, entry, phoff, phentsize: phentsize as u16, segments })
    }

    /// The segments to be loaded.
    pub fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|s| s.kind == pt::LOAD && s.memsz > 0)
    }

    /// The first segment of a kind.
    pub fn find(&self, kind: u32) -> Option<&Segment> {
        self.segments.iter().find(|s| s.kind == kind)
    }
}

fn segment(p: &[u8], is_32bit: bool) -> Segment {
    let kind = field(p, 0, 4) as u32;
    if is_32bit {
        Segment {
            kind,
            flags: field(p, 24, 4) as u32,
            offset: field(p, 4, 4),
            vaddr: field(p, 8, 4),
            filesz: field(p, 16, 4),
            memsz: field(p, 20, 4),
            align: field(p, 28, 4),
        }
    } else {
        Segment {
            kind,
            flags: field(p, 4, 4) as u32,
            offset: field(p, 8, 8),
            vaddr: field(p, 16, 8),
            filesz: field(p, 32, 8),
            memsz: field(p, 40, 8),
            align: field(p, 48, 8),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A small ELF image: header and one program header each for the given (type, flags, offset, vaddr, filesz, memsz).
    pub(in crate::load) fn image(is_32bit: bool, kind: u16, entry: u64, segments: &[[u64; 6]]) -> Vec<u8> {
        let mut b = vec![0u8; if is_32bit { 52 } else { 64 }];
        b[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', if is_32bit { 1 } else { 2 }, 1, 1]);
        b[16..18].copy_from_slice(&kind.to_le_bytes());
        b[18..20].copy_from_slice(&(if is_32bit { 3u16 } else { 62 }).to_le_bytes());
        if is_32bit {
            b[24..28].copy_from_slice(&(entry as u32).to_le_bytes());
            b[28..32].copy_from_slice(&52u32.to_le_bytes());
            b[42..44].copy_from_slice(&32u16.to_le_bytes());
            b[44..46].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        } else {
            b[24..32].copy_from_slice(&entry.to_le_bytes());
            b[32..40].copy_from_slice(&64u64.to_le_bytes());
            b[54..56].copy_from_slice(&56u16.to_le_bytes());
            b[56..58].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        }
        for &[kind, flags, offset, vaddr, filesz, memsz] in segments {
            if is_32bit {
                for word in [kind, offset, vaddr, vaddr, filesz, memsz, flags, 4096] {
                    b.extend_from_slice(&(word as u32).to_le_bytes());
                }
            } else {
                b.extend_from_slice(&(kind as u32).to_le_bytes());
                b.extend_from_slice(&(flags as u32).to_le_bytes());
                for word in [offset, vaddr, vaddr, filesz, memsz, 4096] {
                    b.extend_from_slice(&word.to_le_bytes());
                }
            }
        }
        b
    }

    fn parse(bytes: &[u8]) -> Result<Header, Refusal> {
        Header::parse(&bytes[..bytes.len().min(64)], |offset, len| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            Ok(bytes[start..start.saturating_add(len).min(bytes.len())].to_vec())
        })
    }

    #[test]
    fn both_classes_parse() {
        for is_32bit in [false, true] {
            let bytes = image(
                is_32bit,
                2,
                0x8048123,
                &[[1, 5, 0, 0x8048000, 0x100, 0x200], [pt::INTERP as u64, 4, 1, 2, 3, 3]],
            );
            let header = parse(&bytes).unwrap();
            assert_eq!((header.is_32bit, header.is_pie, header.entry), (is_32bit, false, 0x8048123));
            let load = *header.loads().next().unwrap();
            let expect =
                Segment { kind: 1, flags: 5, offset: 0, vaddr: 0x8048000, filesz: 0x100, memsz: 0x200, align: 4096 };
            assert_eq!(load, expect);
            assert_eq!(header.find(pt::INTERP).map(|s| s.filesz), Some(3));
        }
    }

    #[test]
    fn refusals_name_the_reason() {
        assert_eq!(parse(b"#!/bin/sh\n"), Err(Refusal::NotElf));
        assert_eq!(parse(b""), Err(Refusal::NotElf));
        assert_eq!(parse(b"\x7fELF"), Err(Refusal::Broken("the header is cut short")));
        let mut arm = image(false, 2, 0, &[]);
        arm[18] = 183;
        assert_eq!(parse(&arm).unwrap_err().to_string(), "ELF for aarch64; Demotic runs i386 and x86-64");
        let mut x32 = image(false, 2, 0, &[[1, 5, 0, 0, 0, 0]]);
        x32[4] = 1;
        assert_eq!(parse(&x32), Err(Refusal::OtherMachine("x32".into())));
        assert!(matches!(parse(&image(false, 1, 0, &[[1; 6]])), Err(Refusal::Broken(_))));
        assert!(matches!(parse(&image(false, 2, 0, &[])), Err(Refusal::Broken(_))));
        let mut far = image(false, 2, 0, &[[1; 6]]);
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(parse(&far), Err(Refusal::Broken(_))));
        let whole = image(true, 3, 0, &[[1; 6], [2; 6]]);
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_err());
        }
        assert!(parse(&whole).is_ok());
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut seed = 42u64;
        for _ in 0..20000 {
            let mut bytes = image(seed & 1 == 0, 2 + (seed >> 1 & 1) as u16, seed, &[[seed; 6], [1; 6]]);
            for _ in 0..4 {
                seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                let at = (seed >> 33) as usize % bytes.len();
                bytes[at] = (seed >> 20) as u8;
            }
            let _ = parse(&bytes);
        }
    }
}
