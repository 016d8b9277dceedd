//! Which files an entry takes: magic bytes and mask at the beginning of an ELF file (gABI, ELF header).
//!
//! Compared are class, byte order, version, OS ABI, the type (EXEC or DYN) and the machine: all that decides whether a file is a program for i386
//! or x86-64 Linux. Two OS ABIs count, System V (0) and Linux (3, GNU); a mask that takes these two takes others as well, so each has an entry
//! of its own. The eight bytes behind the OS ABI are left out: the kernel does not look at them, and AppImages have a mark of their own there.

use std::fmt::Write;

/// A kind of guest programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arch {
    /// 32-bit x86.
    I386,
    /// 64-bit x86.
    X86_64,
}

impl Arch {
    /// Both.
    pub const ALL: [Arch; 2] = [Arch::I386, Arch::X86_64];

    /// Its name on the command line and in entries.
    pub fn name(self) -> &'static str {
        match self {
            Arch::I386 => "i386",
            Arch::X86_64 => "x86-64",
        }
    }

    /// A list of names with commas.
    ///
    /// # Errors
    /// The word that is none.
    pub fn parse_list(text: &str) -> Result<Vec<Arch>, String> {
        let mut list = Vec::new();
        for word in text.split(',').filter(|w| !w.is_empty()) {
            let arch = match word {
                "i386" | "i686" | "x86" => Arch::I386,
                "x86-64" | "x86_64" | "amd64" => Arch::X86_64,
                other => return Err(format!("no architecture {other:?}; there are i386 and x86-64")),
            };
            if !list.contains(&arch) {
                list.push(arch);
            }
        }
        if list.is_empty() { Err("no architecture is named".to_owned()) } else { Ok(list) }
    }
}

/// Bytes that are compared, from the file's beginning.
pub const LEN: usize = 20;
const OSABI: usize = 7;
const TYPE: usize = 16;
const MACHINE: usize = 18;
/// ET_EXEC and ET_DYN differ in the lowest bit.
const ET_EXEC: u8 = 2;
const EM_386: u8 = 3;
const EM_X86_64: u8 = 62;

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    /// Its name in binfmt_misc.
    pub name: String,
    /// What it is for.
    pub arch: Arch,
    /// The bytes.
    pub magic: [u8; LEN],
    /// The bits that are compared.
    pub mask: [u8; LEN],
}

/// The entries for a kind of programs.
pub fn patterns(arch: Arch) -> [Pattern; 2] {
    [("", 0), ("-linux", 3)].map(|(suffix, osabi)| {
        let (class, machine) = match arch {
            Arch::I386 => (1, EM_386),
            Arch::X86_64 => (2, EM_X86_64),
        };
        let (mut magic, mut mask) = ([0; LEN], [0xff; LEN]);
        magic[..OSABI + 1].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1, osabi]);
        mask[OSABI + 1..TYPE].fill(0);
        magic[TYPE] = ET_EXEC;
        mask[TYPE] = 0xfe;
        magic[MACHINE] = machine;
        Pattern { name: format!("demotic-{}{suffix}", arch.name()), arch, magic, mask }
    })
}

impl Pattern {
    /// Whether a file with this beginning is taken.
    pub fn takes(&self, start: &[u8]) -> bool {
        start.len() >= LEN && (0..LEN).all(|i| (start[i] ^ self.magic[i]) & self.mask[i] == 0)
    }

    /// Whether a file may be taken both by this and by an entry with that magic and mask at that offset.
    pub fn meets(&self, offset: usize, magic: &[u8], mask: &[u8]) -> bool {
        magic.iter().enumerate().all(|(i, byte)| {
            let Some(own) = offset.checked_add(i).filter(|&at| at < LEN) else { return true };
            let both = self.mask[own] & mask.get(i).copied().unwrap_or(0xff);
            (byte ^ self.magic[own]) & both == 0
        })
    }

    /// The line that registers it.
    pub fn line(&self, interpreter: &str, flags: &str) -> String {
        format!(":{}:M::{}:{}:{interpreter}:{flags}", self.name, escaped(&self.magic), escaped(&self.mask))
    }
}

/// Bytes as the kernel and update-binfmts read them.
pub fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\x{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header's beginning.
    fn header(class: u8, data: u8, osabi: u8, kind: u16, machine: u16) -> [u8; 64] {
        let mut h = [0; 64];
        h[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, data, 1, osabi]);
        let word = |n: u16| if data == 2 { n.to_be_bytes() } else { n.to_le_bytes() };
        h[16..18].copy_from_slice(&word(kind));
        h[18..20].copy_from_slice(&word(machine));
        h
    }

    fn taken(h: &[u8]) -> Vec<String> {
        Arch::ALL.into_iter().flat_map(patterns).filter(|p| p.takes(h)).map(|p| p.name).collect()
    }

    #[test]
    fn programs_are_taken_by_one_entry() {
        for (class, machine, name) in [(1, 3, "demotic-i386"), (2, 62, "demotic-x86-64")] {
            for kind in [2, 3] {
                assert_eq!(taken(&header(class, 1, 0, kind, machine)), [name]);
                assert_eq!(taken(&header(class, 1, 3, kind, machine)), [format!("{name}-linux")]);
                let mut image = header(class, 1, 0, kind, machine);
                image[8..11].copy_from_slice(b"AI\x02");
                assert_eq!(taken(&image), [name]);
            }
        }
    }

    /// Every class, order, OS ABI, type and machine: what is taken is exactly what must be.
    #[test]
    fn nothing_else_is_taken() {
        let mut count = 0;
        for class in 0..=3 {
            for data in 0..=3 {
                for osabi in 0..=255 {
                    for kind in [0, 1, 2, 3, 4, 5, 0xfe00, 0xff02, 0x0102, 0x0203] {
                        for machine in
                            [0, 2, 3, 6, 8, 19, 20, 21, 22, 35, 40, 43, 50, 62, 63, 183, 243, 258, 0x103, 0x33e, 0x3e00]
                        {
                            let wanted = data == 1
                                && (osabi == 0 || osabi == 3)
                                && (kind == 2 || kind == 3)
                                && ((class, machine) == (1, 3) || (class, machine) == (2, 62));
                            let found = taken(&header(class, data, osabi, kind, machine));
                            assert_eq!(found.len(), usize::from(wanted), "{class} {data} {osabi} {kind} {machine}");
                            count += found.len();
                        }
                    }
                }
            }
        }
        assert_eq!(count, 8);
        // aarch64, armv7, x32, an object, a core dump, a script, other versions, the empty file.
        for (class, kind, machine) in [(2, 3, 183), (1, 3, 40), (1, 3, 62), (2, 1, 62), (2, 4, 62)] {
            assert!(taken(&header(class, 1, 0, kind, machine)).is_empty());
        }
        let mut version = header(2, 1, 0, 2, 62);
        version[6] = 2;
        assert!(taken(&version).is_empty());
        assert!(
            taken(b"#!/bin/sh\n").is_empty()
                && taken(b"").is_empty()
                && taken(&header(2, 1, 0, 2, 62)[..19]).is_empty()
        );
    }

    #[test]
    fn other_entries_are_met() {
        let [i386, linux] = patterns(Arch::I386);
        let [amd64, _] = patterns(Arch::X86_64);
        // What distributions register for qemu-i386.
        let magic = *b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0";
        let mask = *b"\xff\xff\xff\xff\xff\xfe\xfe\0\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
        assert!(i386.meets(0, &magic, &mask) && linux.meets(0, &magic, &mask) && !amd64.meets(0, &magic, &mask));
        // Something that looks elsewhere, and a part of a header.
        assert!(i386.meets(1024, b"xyz", &[]) && i386.meets(18, b"\x03", &[]) && !i386.meets(18, b"\x28", &[]));
        assert!(!i386.meets(0, b"MZ", &[]) && i386.meets(usize::MAX, b"MZ", &[]));
        let mut seen: Vec<[u8; LEN]> = Vec::new();
        for p in Arch::ALL.into_iter().flat_map(patterns) {
            assert!(p.meets(0, &p.magic, &p.mask) && !seen.contains(&p.magic));
            seen.push(p.magic);
        }
    }

    #[test]
    fn lines() {
        let line = patterns(Arch::I386)[1].line("/usr/bin/demotic", "POCF");
        assert_eq!(
            line,
            r":demotic-i386-linux:M::\x7f\x45\x4c\x46\x01\x01\x01\x03\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x03\x00:\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff:/usr/bin/demotic:POCF"
        );
        assert_eq!(Arch::parse_list("i386,amd64,x86-64"), Ok(vec![Arch::I386, Arch::X86_64]));
        assert!(Arch::parse_list("arm").is_err() && Arch::parse_list("").is_err());
    }
}
