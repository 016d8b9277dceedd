//! Classic BPF as seccomp has it: what a program may be, and running one (kernel/seccomp.c, `seccomp_check_filter`; net/core/filter.c,
//! `bpf_check_classic`, `bpf_convert_filter`). A checked program cannot fail.

use super::ret;

/// One instruction: code, jumps if true and if false, operand (linux/filter.h, `struct sock_filter`).
pub type Insn = (u16, u8, u8, u32);

/// `sizeof(struct seccomp_data)`.
pub const DATA: usize = 64;

/// An instruction as the guest's memory and the host's kernel have it.
pub fn to_bytes(&(code, yes, no, k): &Insn) -> [u8; 8] {
    let ([c0, c1], [k0, k1, k2, k3]) = (code.to_le_bytes(), k.to_le_bytes());
    [c0, c1, yes, no, k0, k1, k2, k3]
}

/// The instruction that [`to_bytes`] wrote.
pub fn from_bytes(b: &[u8; 8]) -> Insn {
    (u16::from_le_bytes([b[0], b[1]]), b[2], b[3], u32::from_le_bytes([b[4], b[5], b[6], b[7]]))
}

/// BPF's encoding (linux/bpf_common.h).
pub mod op {
    #![allow(missing_docs)]
    pub const LD_ABS: u16 = 0x20;
    pub const LD_LEN: u16 = 0x80;
    pub const LDX_LEN: u16 = 0x81;
    pub const LD_IMM: u16 = 0x00;
    pub const LDX_IMM: u16 = 0x01;
    pub const LD_MEM: u16 = 0x60;
    pub const LDX_MEM: u16 = 0x61;
    pub const ST: u16 = 0x02;
    pub const STX: u16 = 0x03;
    pub const RET_K: u16 = 0x06;
    pub const RET_A: u16 = 0x16;
    pub const TAX: u16 = 0x07;
    pub const TXA: u16 = 0x87;
    pub const JA: u16 = 0x05;
    pub const NEG: u16 = 0x84;
    /// Operand in X instead of the instruction.
    pub const X: u16 = 0x08;
    pub const ALU: u16 = 0x04;
    pub const JMP: u16 = 0x05;
}

/// Runs a checked program.
pub fn run(program: &[Insn], data: &[u32; DATA / 4]) -> u32 {
    let (mut a, mut x, mut memory, mut at) = (0u32, 0u32, [0u32; 16], 0usize);
    while let Some(&(code, yes, no, k)) = program.get(at) {
        at += 1;
        let slot = k as usize & 15;
        match code {
            op::LD_ABS => a = data.get(k as usize / 4).copied().unwrap_or(0),
            op::LD_LEN => a = DATA as u32,
            op::LDX_LEN => x = DATA as u32,
            op::LD_IMM => a = k,
            op::LDX_IMM => x = k,
            op::LD_MEM => a = memory[slot],
            op::LDX_MEM => x = memory[slot],
            op::ST => memory[slot] = a,
            op::STX => memory[slot] = x,
            op::RET_K => return k,
            op::RET_A => return a,
            op::TAX => x = a,
            op::TXA => a = x,
            op::JA => at += k as usize,
            op::NEG => a = a.wrapping_neg(),
            _ => {
                let operand = if code & op::X != 0 { x } else { k };
                if code & 7 == op::JMP {
                    let jumps = match code & 0xf0 {
                        0x10 => a == operand,
                        0x20 => a > operand,
                        0x30 => a >= operand,
                        _ => a & operand != 0,
                    };
                    at += usize::from(if jumps { yes } else { no });
                    continue;
                }
                a = match code & 0xf0 {
                    0x00 => a.wrapping_add(operand),
                    0x10 => a.wrapping_sub(operand),
                    0x20 => a.wrapping_mul(operand),
                    // By X: the program ends (net/core/filter.c, `bpf_convert_filter`).
                    0x30 => match a.checked_div(operand) {
                        Some(quotient) => quotient,
                        None => return 0,
                    },
                    0x40 => a | operand,
                    0x50 => a & operand,
                    0x60 => a.wrapping_shl(operand),
                    0x70 => a.wrapping_shr(operand),
                    _ => a ^ operand,
                };
            }
        }
    }
    // A checked program ends with a return.
    ret::KILL_PROCESS
}

/// Whether a program can be taken: known instructions, jumps inside it, no load from what was not stored, a return at its end.
pub fn is_valid(program: &[Insn]) -> bool {
    let len = program.len();
    // Which memory words are set on all ways to an instruction.
    let mut set = vec![u16::MAX; len];
    let mut here = 0u16;
    for (at, &(code, yes, no, k)) in program.iter().enumerate() {
        here &= set[at];
        let inside = |distance: usize| at + distance + 1 < len;
        let good = match code {
            op::LD_ABS => (k as usize) < DATA && k % 4 == 0,
            op::LD_LEN | op::LDX_LEN | op::LD_IMM | op::LDX_IMM | op::RET_K | op::RET_A => true,
            op::TAX | op::TXA | op::NEG => true,
            op::LD_MEM | op::LDX_MEM => k < 16 && here & 1 << k != 0,
            op::ST | op::STX => k < 16,
            op::JA => inside(k as usize),
            _ if code & 7 == op::JMP => {
                matches!(code & !op::X, 0x15 | 0x25 | 0x35 | 0x45) && inside(yes.into()) && inside(no.into())
            }
            _ if code & 7 == op::ALU => {
                let by_k = code & op::X == 0;
                match code & !op::X {
                    0x04 | 0x14 | 0x24 | 0x44 | 0x54 | 0xa4 => true,
                    0x34 => !(by_k && k == 0),
                    0x64 | 0x74 => !(by_k && k >= 32),
                    _ => false,
                }
            }
            _ => false,
        };
        if !good {
            return false;
        }
        match code {
            op::ST | op::STX => here |= 1 << k,
            op::JA => {
                set[at + 1 + k as usize] &= here;
                here = u16::MAX;
            }
            _ if code & 7 == op::JMP => {
                set[at + 1 + usize::from(yes)] &= here;
                set[at + 1 + usize::from(no)] &= here;
                here = u16::MAX;
            }
            _ => {}
        }
    }
    matches!(program.last(), Some((op::RET_K | op::RET_A, ..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: Insn = (op::RET_K, 0, 0, ret::ALLOW);

    #[test]
    fn programs_are_checked() {
        assert!(is_valid(&[ALLOW]));
        assert!(!is_valid(&[]));
        assert!(!is_valid(&[(op::LD_ABS, 0, 0, 0)]));
        assert!(!is_valid(&[(op::LD_ABS, 0, 0, 2), ALLOW]));
        assert!(!is_valid(&[(op::LD_ABS, 0, 0, 64), ALLOW]));
        assert!(is_valid(&[(0x15, 0, 0, 1), ALLOW]));
        assert!(!is_valid(&[(0x15, 1, 0, 1), ALLOW]));
        assert!(!is_valid(&[(op::JA, 0, 0, u32::MAX), ALLOW]));
        assert!(!is_valid(&[(0x34, 0, 0, 0), ALLOW]));
        assert!(is_valid(&[(0x3c, 0, 0, 0), ALLOW]));
        assert!(!is_valid(&[(0x94, 0, 0, 1), ALLOW]));
        assert!(!is_valid(&[(op::LD_MEM, 0, 0, 3), ALLOW]));
        assert!(is_valid(&[(op::ST, 0, 0, 3), (op::LD_MEM, 0, 0, 3), ALLOW]));
        // Stored on one of two ways only.
        assert!(!is_valid(&[(0x15, 1, 0, 0), (op::ST, 0, 0, 3), (op::LD_MEM, 0, 0, 3), ALLOW]));
    }

    #[test]
    fn programs_run() {
        let mut data = [0u32; 16];
        data[0] = 39;
        let filter = [(op::LD_ABS, 0, 0, 0), (0x15, 0, 1, 39), (op::RET_K, 0, 0, ret::ERRNO | 7), ALLOW];
        assert_eq!(run(&filter, &data), ret::ERRNO | 7);
        data[0] = 40;
        assert_eq!(run(&filter, &data), ret::ALLOW);
        // A division by X, which is 0, ends the program with 0.
        assert_eq!(run(&[(0x3c, 0, 0, 0), ALLOW], &data), 0);
        let arithmetic =
            [(op::LD_IMM, 0, 0, 5), (op::TAX, 0, 0, 0), (0x2c, 0, 0, 0), (0x14, 0, 0, 1), (op::RET_A, 0, 0, 0)];
        assert_eq!(run(&arithmetic, &data), 24);
    }
}
