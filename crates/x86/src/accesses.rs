//! Which memory an instruction is about to read and write: for data breakpoints.

use crate::state::{GuestState, Mode, reg};
use iced_x86::{
    Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register, UsedMemory,
};

/// One piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Linear address of the first byte.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// It is written, whether it is read or not.
    pub writes: bool,
}

/// What the instruction in `code` accesses with the registers of `state`, before it is executed: one iteration of a repeated string instruction, the chosen
/// elements of a gather, stacks included. Empty for what is no instruction. Areas whose size XCR0 decides (XSAVE) count with their first 576 bytes.
pub fn of(state: &GuestState, code: &[u8]) -> Vec<Access> {
    let mut decoder = Decoder::with_ip(state.mode.bits(), code, state.rip, DecoderOptions::NONE);
    let insn = decoder.decode();
    let mut all = Vec::new();
    if insn.is_invalid() || is_over(state, &insn) {
        return all;
    }
    let mut factory = InstructionInfoFactory::new();
    for used in factory.info(&insn).used_memory() {
        let writes = match used.access() {
            OpAccess::Read | OpAccess::CondRead => false,
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => true,
            OpAccess::None | OpAccess::NoMemAccess => continue,
        };
        for element in 0..elements(&insn, used) {
            if used.vsib_size() != 0 && !is_chosen(state, &insn, element, used.memory_size().size()) {
                continue;
            }
            let value = |register, element, size| value(state, register, element, size);
            let Some(addr) = used.try_virtual_address(element, value) else { continue };
            let addr = if state.mode == Mode::Long { addr } else { addr & 0xffff_ffff };
            let len = match used.memory_size().size() {
                0 if matches!(
                    insn.mnemonic(),
                    Mnemonic::Xsave | Mnemonic::Xsavec | Mnemonic::Xsaveopt | Mnemonic::Xrstor
                ) =>
                {
                    576
                }
                size => size.max(1) as u64,
            };
            all.push(Access { addr, len, writes });
        }
    }
    all
}

/// What an instruction does with EFLAGS as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flags {
    /// Puts them onto the stack.
    Pushed,
    /// Takes them from there.
    Loaded,
}

/// Whether the instruction in `code` pushes or loads the flags.
pub fn flags(mode: Mode, code: &[u8]) -> Option<Flags> {
    match Decoder::new(mode.bits(), code, DecoderOptions::NONE).decode().mnemonic() {
        Mnemonic::Pushf | Mnemonic::Pushfd | Mnemonic::Pushfq => Some(Flags::Pushed),
        Mnemonic::Popf | Mnemonic::Popfd | Mnemonic::Popfq => Some(Flags::Loaded),
        Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq => Some(Flags::Loaded),
        _ => None,
    }
}

/// Where the image of the flags is that `iretd` or `iretq` takes RF from, in flat memory; `None` for other instructions.
pub fn returned_flags(state: &GuestState, code: &[u8]) -> Option<u64> {
    let at = match Decoder::new(state.mode.bits(), code, DecoderOptions::NONE).decode().mnemonic() {
        Mnemonic::Iretd => 8,
        Mnemonic::Iretq => 16,
        _ => return None,
    };
    let at = state.gpr[reg::RSP].wrapping_add(at);
    Some(if state.mode == Mode::Long { at } else { at & 0xffff_ffff })
}

/// A repeated string instruction whose count is 0.
fn is_over(state: &GuestState, insn: &Instruction) -> bool {
    let repeats = insn.is_string_instruction() && (insn.has_rep_prefix() || insn.has_repne_prefix());
    let registers = [insn.memory_base(), insn.op0_register()];
    let narrow = state.mode != Mode::Long || registers.iter().any(|r| matches!(r, Register::ESI | Register::EDI));
    let count = state.gpr[reg::RCX];
    repeats && if narrow { count as u32 == 0 } else { count == 0 }
}

fn elements(insn: &Instruction, used: &UsedMemory) -> usize {
    if used.vsib_size() == 0 {
        return 1;
    }
    let of = |register: Register, size: usize| register.size() / size.max(1);
    of(insn.op0_register(), used.memory_size().size()).min(of(used.index(), used.vsib_size() as usize))
}

/// Whether a gather's mask has the element.
fn is_chosen(state: &GuestState, insn: &Instruction, element: usize, size: usize) -> bool {
    let word = value(state, insn.op2_register(), element, size).unwrap_or(0);
    word >> (size * 8 - 1) & 1 != 0
}

/// The value of a register, of one element of a vector, or the base of a segment.
fn value(state: &GuestState, register: Register, element: usize, size: usize) -> Option<u64> {
    if register.is_segment_register() {
        return state.seg_base.get(register.number()).copied();
    }
    if register.is_vector_register() {
        let halves = [state.xmm.get(register.number())?, state.ymm.0.get(register.number())?];
        let at = element * size;
        let word = halves.get(at / 16)?[at % 16 / 8];
        return Some(if size == 4 { word >> (at % 8 * 8) & 0xffff_ffff } else { word });
    }
    if !register.is_gpr() {
        return None;
    }
    let whole = *state.gpr.get(register.full_register().number())?;
    Some(match register.size() {
        2 => whole & 0xffff,
        4 => whole & 0xffff_ffff,
        1 => whole & 0xff,
        _ => whole,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accesses(mode: Mode, code: &[u8], set: impl FnOnce(&mut GuestState)) -> Vec<(u64, u64, bool)> {
        let mut state = GuestState { mode, ..GuestState::default() };
        state.gpr[reg::RSP] = 0x1000;
        set(&mut state);
        of(&state, code).into_iter().map(|a| (a.addr, a.len, a.writes)).collect()
    }

    #[test]
    fn operands_stacks_and_strings() {
        let long = |code: &[u8]| {
            accesses(Mode::Long, code, |s| {
                s.gpr[..8].copy_from_slice(&[0x20, 3, 0, 0, 0x1000, 0, 0x300, 0x400]);
                s.seg_base[4] = 0x7000_0000;
            })
        };
        // mov [rax+4], ecx; add qword [rax], 1; mov eax, fs:[rax]; push rax; call; ret
        assert_eq!(long(&[0x89, 0x48, 4]), [(0x24, 4, true)]);
        assert_eq!(long(&[0x48, 0x83, 0, 1]), [(0x20, 8, true)]);
        assert_eq!(long(&[0x64, 0x8b, 0]), [(0x7000_0020, 4, false)]);
        assert_eq!(long(&[0x50]), [(0xff8, 8, true)]);
        assert_eq!(long(&[0xe8, 0, 0, 0, 0]), [(0xff8, 8, true)]);
        assert_eq!(long(&[0xc3]), [(0x1000, 8, false)]);
        // lea, nop with an operand: no memory; fxsave: all of it.
        assert_eq!(long(&[0x8d, 0]), []);
        assert_eq!(long(&[0x0f, 0x1f, 0]), []);
        assert_eq!(long(&[0x0f, 0xae, 0]), [(0x20, 512, true)]);
        // movsd: both sides; repeated: one iteration, or none.
        let both = [(0x400, 4, true), (0x300, 4, false)];
        let mut moved = long(&[0xa5]);
        moved.sort_by_key(|access| !access.2);
        assert_eq!(moved, both);
        assert_eq!(long(&[0xf3, 0xa5]).len(), 2);
        let none = accesses(Mode::Long, &[0xf3, 0xa5], |s| s.gpr[reg::RCX] = 0);
        assert_eq!(none, []);
        // Addresses wrap around in 32-bit code.
        let wrapped = accesses(Mode::Compat32, &[0x8b, 0x40, 0x10], |s| s.gpr[0] = 0xffff_fff8);
        assert_eq!(wrapped, [(8, 4, false)]);
    }

    #[test]
    fn gathers_read_the_elements_of_their_mask() {
        // vpgatherdd xmm1, [rax + xmm2 * 4], xmm3
        let read = accesses(Mode::Long, &[0xc4, 0xe2, 0x61, 0x90, 0x0c, 0x90], |s| {
            s.gpr[0] = 0x100;
            s.xmm[2] = [2 << 32 | 1, 4 << 32 | 0xffff_ffff];
            s.xmm[3] = [0x8000_0000_0000_0000, 0x8000_0000];
        });
        assert_eq!(read, [(0x108, 4, false), (0xfc, 4, false)]);
    }
}
