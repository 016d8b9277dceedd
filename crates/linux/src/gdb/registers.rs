//! Registers as gdb numbers them (its features org.gnu.gdb.i386.core, sse, linux, segments and avx), from and to a [`Record`].

use crate::ptrace::{Record, changed, regs};
use demotic_ir::xstate;

/// Where a register is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// A word of `user_regs_struct` or of i386's ([`regs::word`]).
    Word(usize),
    /// x87 register ST(n).
    St(usize),
    /// One of the eight x87 words from FCTRL on.
    X87(usize),
    Xmm(usize),
    Mxcsr,
    /// The upper half of a YMM register.
    Ymmh(usize),
}

/// One register.
#[derive(Clone, Debug)]
pub struct Register {
    name: String,
    /// Bytes.
    size: usize,
    kind: &'static str,
    feature: &'static str,
    place: Place,
}

const CORE: &str = "core";
const SSE: &str = "sse";
const X87: [&str; 8] = ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"];

/// Words of `user_regs_struct` in gdb's order of general registers, with their names.
const WIDE: [(&str, usize); 24] = [
    ("rax", 10),
    ("rbx", 5),
    ("rcx", 11),
    ("rdx", 12),
    ("rsi", 13),
    ("rdi", 14),
    ("rbp", 4),
    ("rsp", 19),
    ("r8", 9),
    ("r9", 8),
    ("r10", 7),
    ("r11", 6),
    ("r12", 3),
    ("r13", 2),
    ("r14", 1),
    ("r15", 0),
    ("rip", 16),
    ("eflags", 18),
    ("cs", 17),
    ("ss", 20),
    ("ds", 23),
    ("es", 24),
    ("fs", 25),
    ("gs", 26),
];
const NARROW: [(&str, usize); 16] = [
    ("eax", 6),
    ("ecx", 1),
    ("edx", 2),
    ("ebx", 0),
    ("esp", 15),
    ("ebp", 5),
    ("esi", 3),
    ("edi", 4),
    ("eip", 12),
    ("eflags", 14),
    ("cs", 13),
    ("ss", 16),
    ("ds", 7),
    ("es", 8),
    ("fs", 9),
    ("gs", 10),
];

/// All registers of a process, in the order of their numbers. `avx`: it has YMM registers.
pub fn all(wide: bool, avx: bool) -> Vec<Register> {
    let mut list = Vec::new();
    let mut add = |name: &str, size: usize, kind: &'static str, feature: &'static str, place: Place| {
        list.push(Register { name: name.to_owned(), size, kind, feature, place });
    };
    let general: &[(&str, usize)] = if wide { &WIDE } else { &NARROW };
    for &(name, word) in general {
        let long = wide && name.starts_with('r');
        let kind = match name {
            "rip" | "eip" => "code_ptr",
            "rsp" | "rbp" | "esp" | "ebp" => "data_ptr",
            "eflags" => "i386_eflags",
            _ if long => "int64",
            _ => "int32",
        };
        add(name, if long { 8 } else { 4 }, kind, CORE, Place::Word(word));
    }
    for i in 0..8 {
        add(&format!("st{i}"), 10, "i387_ext", CORE, Place::St(i));
    }
    for (i, name) in X87.iter().enumerate() {
        add(name, 4, "int", CORE, Place::X87(i));
    }
    let vectors = if wide { 16 } else { 8 };
    for i in 0..vectors {
        add(&format!("xmm{i}"), 16, "vec128", SSE, Place::Xmm(i));
    }
    add("mxcsr", 4, "i386_mxcsr", SSE, Place::Mxcsr);
    if wide {
        add("orig_rax", 8, "int", "linux", Place::Word(15));
        add("fs_base", 8, "int", "segments", Place::Word(21));
        add("gs_base", 8, "int", "segments", Place::Word(22));
    } else {
        add("orig_eax", 4, "int", "linux", Place::Word(11));
    }
    if avx {
        for i in 0..vectors {
            add(&format!("ymm{i}h"), 16, "uint128", "avx", Place::Ymmh(i));
        }
    }
    list
}

const FLAGS: [(&str, u32); 17] = [
    ("CF", 0),
    ("", 1),
    ("PF", 2),
    ("AF", 4),
    ("ZF", 6),
    ("SF", 7),
    ("TF", 8),
    ("IF", 9),
    ("DF", 10),
    ("OF", 11),
    ("NT", 14),
    ("RF", 16),
    ("VM", 17),
    ("AC", 18),
    ("VIF", 19),
    ("VIP", 20),
    ("ID", 21),
];
const MXCSR: [(&str, u32); 14] = [
    ("IE", 0),
    ("DE", 1),
    ("ZE", 2),
    ("OE", 3),
    ("UE", 4),
    ("PE", 5),
    ("DAZ", 6),
    ("IM", 7),
    ("DM", 8),
    ("ZM", 9),
    ("OM", 10),
    ("UM", 11),
    ("PM", 12),
    ("FZ", 15),
];

fn flags(id: &str, fields: &[(&str, u32)]) -> String {
    let fields: String =
        fields.iter().map(|(name, bit)| format!("<field name=\"{name}\" start=\"{bit}\" end=\"{bit}\"/>")).collect();
    format!("<flags id=\"{id}\" size=\"4\">{fields}</flags>")
}

/// The description of the target for qXfer:features.
pub fn description(registers: &[Register], wide: bool) -> String {
    let arch = if wide { "i386:x86-64" } else { "i386" };
    let mut text = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target><architecture>{arch}</architecture>\
         <osabi>GNU/Linux</osabi>"
    );
    let mut feature = "";
    for register in registers {
        if register.feature != feature {
            text.push_str(if feature.is_empty() { "" } else { "</feature>" });
            feature = register.feature;
            text.push_str(&format!("<feature name=\"org.gnu.gdb.i386.{feature}\">"));
            match feature {
                CORE => text.push_str(&flags("i386_eflags", &FLAGS)),
                SSE => {
                    for (id, of, count) in [
                        ("v4f", "ieee_single", 4),
                        ("v2d", "ieee_double", 2),
                        ("v16i8", "int8", 16),
                        ("v8i16", "int16", 8),
                        ("v4i32", "int32", 4),
                        ("v2i64", "int64", 2),
                    ] {
                        text.push_str(&format!("<vector id=\"{id}\" type=\"{of}\" count=\"{count}\"/>"));
                    }
                    text.push_str("<union id=\"vec128\">");
                    for (name, of) in [
                        ("v4_float", "v4f"),
                        ("v2_double", "v2d"),
                        ("v16_int8", "v16i8"),
                        ("v8_int16", "v8i16"),
                        ("v4_int32", "v4i32"),
                        ("v2_int64", "v2i64"),
                        ("uint128", "uint128"),
                    ] {
                        text.push_str(&format!("<field name=\"{name}\" type=\"{of}\"/>"));
                    }
                    text.push_str("</union>");
                    text.push_str(&flags("i386_mxcsr", &MXCSR));
                }
                _ => {}
            }
        }
        let Register { name, size, kind, .. } = register;
        text.push_str(&format!("<reg name=\"{name}\" bitsize=\"{}\" type=\"{kind}\"/>", 8 * size));
    }
    text.push_str("</feature></target>");
    text
}

/// Offset of the upper halves in the XSAVE area's standard format (SDM vol. 1, section 13.4).
const YMMH: usize = 576;

fn word_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// One of the eight words of [`X87`].
fn x87(record: &Record, index: usize) -> u32 {
    let (old, image) = (regs::fsave(record), regs::fxsave(record));
    match index {
        0..=2 => word_at(&old, 4 * index) & 0xffff,
        3 => word_at(image, 12) & 0xffff,
        4 => word_at(image, 8),
        5 => word_at(image, 20) & 0xffff,
        6 => word_at(image, 16),
        _ => word_at(image, 4) >> 16 & 0x7ff,
    }
}

/// Where a register is in the floating point area, if it is bytes of it.
fn area(place: Place) -> Option<usize> {
    match place {
        Place::St(i) => Some(32 + 16 * i),
        Place::Xmm(i) => Some(160 + 16 * i),
        Place::Mxcsr => Some(24),
        Place::Ymmh(i) => Some(YMMH + 16 * i),
        _ => None,
    }
}

impl Register {
    /// Bytes of its value.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Its value's bytes.
    pub fn read(&self, record: &Record, wide: bool) -> Vec<u8> {
        match (self.place, area(self.place)) {
            (_, Some(at)) => record.fp.get(at..at + self.size).map_or(vec![0; self.size], <[u8]>::to_vec),
            (Place::Word(index), _) => {
                let value = regs::word(record, wide, index).unwrap_or(0);
                value.to_le_bytes()[..self.size].to_vec()
            }
            (Place::X87(index), _) => x87(record, index).to_le_bytes().to_vec(),
            _ => vec![0; self.size],
        }
    }

    /// Changes it. False for a value that cannot be.
    pub fn write(&self, record: &mut Record, wide: bool, bytes: &[u8]) -> bool {
        if bytes.len() != self.size || self.read(record, wide) == bytes {
            return bytes.len() == self.size;
        }
        let value = bytes.iter().take(8).rev().fold(0u64, |value, &b| value << 8 | u64::from(b));
        match (self.place, area(self.place)) {
            (_, Some(at)) => {
                let Some(to) = record.fp.get_mut(at..at + self.size) else { return false };
                to.copy_from_slice(bytes);
                if matches!(self.place, Place::Mxcsr) && value & !0xffff != 0 {
                    return false;
                }
                in_use(record, self.place);
                record.changed |= changed::FP;
                true
            }
            (Place::Word(index), _) => regs::set_word(record, wide, index, value),
            (Place::X87(index), _) => {
                let mut old = regs::fsave(record);
                let low = (value as u16).to_le_bytes();
                match index {
                    0..=2 => old[4 * index..4 * index + 2].copy_from_slice(&low),
                    4 => old[12..16].copy_from_slice(&bytes[..4]),
                    6 => old[20..24].copy_from_slice(&bytes[..4]),
                    7 => old[18..20].copy_from_slice(&low),
                    _ => return true,
                }
                regs::set_fsave(record, &old);
                true
            }
            _ => false,
        }
    }
}

/// The component that was changed is not in its initial state any more (XSTATE_BV).
fn in_use(record: &mut Record, place: Place) {
    let bit = match place {
        Place::St(_) => 1,
        Place::Ymmh(_) => 4,
        _ => 2,
    };
    if record.xcr0 & bit != 0 && xstate::size(record.xcr0) > 512 {
        record.fp[512] |= bit as u8;
    }
}

/// The instruction and stack pointer: numbers that a stop reply names.
pub fn expedited(wide: bool) -> [usize; 3] {
    // rbp, rsp, rip; esp, ebp, eip.
    if wide { [6, 7, 16] } else { [4, 5, 8] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use demotic_x86::state::{reg, seg};

    #[test]
    fn numbers_are_gdbs() {
        let (wide, narrow) = (all(true, true), all(false, false));
        let at = |list: &[Register], n: usize| list[n].name.clone();
        assert_eq!((at(&wide, 16), at(&wide, 24), at(&wide, 40)), ("rip".into(), "st0".into(), "xmm0".into()));
        assert_eq!((at(&wide, 56), at(&wide, 57), at(&wide, 60)), ("mxcsr".into(), "orig_rax".into(), "ymm0h".into()));
        assert_eq!((at(&narrow, 8), at(&narrow, 40), narrow.len()), ("eip".into(), "mxcsr".into(), 42));
        assert_eq!(at(&narrow, 41), "orig_eax");
    }

    #[test]
    fn values_go_round() {
        for wide in [true, false] {
            let mut record = Record::empty();
            record.sel = [0x2b, 0x33, 0x2b, 0, 0, 0];
            for (i, register) in all(wide, false).iter().enumerate() {
                let selector = register.size == 4 && register.name.len() == 2;
                let skip = ["ftag", "fiseg", "foseg", "fop"].contains(&register.name.as_str()) || selector;
                let value = vec![(i + 1) as u8; if matches!(register.place, Place::X87(0..=1)) { 2 } else { 1 }];
                let value: Vec<u8> = value.into_iter().chain(std::iter::repeat(0)).take(register.size).collect();
                if !skip {
                    assert!(register.write(&mut record, wide, &value), "{}", register.name);
                    assert_eq!(register.read(&record, wide), value, "{}", register.name);
                }
            }
            assert_eq!(record.gpr[reg::RAX] & 0xff, 1);
            assert_eq!(record.sel[seg::CS], 0x33);
        }
    }
}
