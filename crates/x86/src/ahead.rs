//! Looking ahead: which arithmetic flags the code at an address may read.
//!
//! A translation unit ends somewhere; what flags it has to leave behind depends on the code that follows. A few instructions nearly always
//! decide it, since most arithmetic overwrites all flags, so they are decoded without being lifted, along direct jumps and both ways of
//! conditional ones, until every flag was overwritten or something is met at which the rest counts as read: an
//! instruction that may fault (exact precision), an indirect branch, a call, the end of the budget, anything that is not in the table below.
//!
//! The answer must not be less than what lifting and analysing the same code gives: an instruction overwrites a flag here only when its
//! handler in [`crate::lift`] always writes it.

use crate::unit::{Fetch, wrap};
use demotic_ir::passes::Precision;
use demotic_ir::passes::flags::cond_reads;
use demotic_ir::state::Mode;
use demotic_ir::state::eflags::{ARITH, CF, OF};
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic as M, OpKind};

/// Most instructions that are looked at for one answer.
pub const BUDGET: u32 = 16;

/// What an instruction that cannot fault does to the flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Effect {
    reads: u32,
    /// Always overwritten.
    writes: u32,
}

const NONE: Effect = Effect { reads: 0, writes: 0 };
const ALL: Effect = Effect { reads: 0, writes: ARITH };

/// The arithmetic flags (EFLAGS bits) that may be read at `pc` before they are written.
pub fn live_flags(pc: u64, mode: Mode, precision: Precision, fetch: Fetch) -> u32 {
    let mut budget = BUDGET;
    scan(pc, mode, precision, fetch, ARITH, &mut budget)
}

/// Those of `open` that are live at `pc`.
fn scan(pc: u64, mode: Mode, precision: Precision, fetch: Fetch, open: u32, budget: &mut u32) -> u32 {
    let (mut at, mut open, mut live) = (pc, open, 0);
    let mut insn = Instruction::default();
    'fetch: while open != 0 {
        let mut window = [0u8; 64];
        let (base, have) = (at, fetch(at, &mut window).min(64));
        let mut decoder = Decoder::with_ip(mode.bits(), &window[..have], at, DecoderOptions::NONE);
        while open != 0 {
            if *budget == 0 {
                return live | open;
            }
            *budget -= 1;
            let used = at.wrapping_sub(base);
            // A whole instruction, as far as the mapping goes.
            if at != base && used.saturating_add(15) > have as u64 {
                *budget += 1;
                continue 'fetch;
            }
            if decoder.position() as u64 != used {
                // The checks above keep it inside.
                if decoder.set_position(used as usize).is_err() {
                    return live | open;
                }
                decoder.set_ip(at);
            }
            decoder.decode_out(&mut insn);
            if insn.is_invalid() || insn.has_lock_prefix() {
                return live | open;
            }
            if precision.is_exact() && touches_memory(&insn) {
                return live | open;
            }
            if precision == Precision::Relaxed {
                match insn.code() {
                    // Flags are not handed on there: see `flags::hands_on`.
                    Code::Retnq | Code::Retnd | Code::Retnq_imm16 | Code::Retnd_imm16 => return live,
                    Code::Jmp_rm64 | Code::Jmp_rm32 | Code::Call_rm64 | Code::Call_rm32 => return live,
                    Code::Call_rel32_64 | Code::Call_rel32_32 => {
                        at = wrap(mode, insn.near_branch_target());
                        continue;
                    }
                    _ => {}
                }
            }
            let Some(effect) = effect(&insn) else { return live | open };
            live |= open & effect.reads;
            open &= !(effect.reads | effect.writes);
            let near = matches!(insn.op_kind(0), OpKind::NearBranch32 | OpKind::NearBranch64);
            match insn.flow_control() {
                FlowControl::Next => at = wrap(mode, insn.next_ip()),
                FlowControl::UnconditionalBranch if near => at = wrap(mode, insn.near_branch_target()),
                FlowControl::ConditionalBranch if near => {
                    if open != 0 {
                        live |= scan(wrap(mode, insn.near_branch_target()), mode, precision, fetch, open, budget);
                        open &= !live;
                    }
                    at = wrap(mode, insn.next_ip());
                }
                _ => return live | open,
            }
        }
    }
    live
}

/// Whether an instruction of the table below accesses memory, which may fault.
fn touches_memory(insn: &Instruction) -> bool {
    !matches!(insn.mnemonic(), M::Lea | M::Nop) && (0..insn.op_count()).any(|k| insn.op_kind(k) == OpKind::Memory)
        || insn.is_stack_instruction()
}

/// The table: integer instructions that fault at most for their memory operand.
fn effect(insn: &Instruction) -> Option<Effect> {
    // MMX instructions raise pending x87 exceptions.
    if (0..insn.op_count()).any(|k| insn.op_kind(k) == OpKind::Register && insn.op_register(k).is_mm()) {
        return None;
    }
    let cc = || cond_reads(u64::from(insn.condition_code() as u8).wrapping_sub(1) & 15);
    Some(match insn.mnemonic() {
        M::Add | M::Sub | M::Cmp | M::And | M::Or | M::Xor | M::Test | M::Neg => ALL,
        M::Adc | M::Sbb => Effect { reads: CF, writes: ARITH },
        M::Inc | M::Dec => Effect { reads: 0, writes: ARITH & !CF },
        M::Mov | M::Movzx | M::Movsx | M::Movsxd | M::Lea | M::Not | M::Bswap | M::Nop | M::Endbr64 | M::Endbr32 => {
            NONE
        }
        M::Cdq | M::Cqo | M::Cwd | M::Cbw | M::Cwde | M::Cdqe | M::Xchg => NONE,
        M::Push | M::Pop | M::Leave => NONE,
        M::Movaps | M::Movups | M::Movdqa | M::Movdqu | M::Movd | M::Movq | M::Pxor | M::Xorps => NONE,
        M::Jmp => NONE,
        M::Shl | M::Shr | M::Sar => match constant_count(insn)? {
            0 => NONE,
            _ => ALL,
        },
        M::Rol | M::Ror => match constant_count(insn)? {
            0 => NONE,
            _ => Effect { reads: 0, writes: CF | OF },
        },
        M::Imul | M::Mul => Effect { reads: 0, writes: CF | OF },
        // The auxiliary carry is what the lifter's definition says; it is not known to be written here.
        M::Bt => Effect { reads: 0, writes: CF },
        M::Stc | M::Clc => Effect { reads: 0, writes: CF },
        M::Cmc => Effect { reads: CF, writes: CF },
        M::Sahf => Effect { reads: 0, writes: ARITH & !OF },
        M::Lahf => Effect { reads: ARITH, writes: 0 },
        _ if insn.is_jcc_short_or_near() || insn.code().is_jcc_short_or_near() => Effect { reads: cc(), writes: 0 },
        _ if is_setcc_or_cmov(insn) => Effect { reads: cc(), writes: 0 },
        _ => return None,
    })
}

/// The masked count of a shift by an immediate.
fn constant_count(insn: &Instruction) -> Option<u32> {
    if insn.op_count() < 2 || insn.op_kind(1) != OpKind::Immediate8 {
        return None;
    }
    let wide = insn.op_kind(0) == OpKind::Register && insn.op_register(0).size() == 8
        || insn.op_kind(0) == OpKind::Memory && insn.memory_size().size() == 8;
    Some(u32::from(insn.immediate8()) & if wide { 63 } else { 31 })
}

fn is_setcc_or_cmov(insn: &Instruction) -> bool {
    insn.condition_code() != iced_x86::ConditionCode::None && insn.flow_control() == FlowControl::Next
}

#[cfg(test)]
mod tests {
    use super::*;
    use demotic_ir::state::eflags::{PF, SF, ZF};

    fn live(code: &[u8], precision: Precision) -> u32 {
        let mut fetch = |at: u64, buf: &mut [u8]| {
            let rest = code.get(at.wrapping_sub(0x1000) as usize..).unwrap_or_default();
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            n
        };
        live_flags(0x1000, Mode::Long, precision, &mut fetch)
    }

    #[test]
    fn what_code_reads() {
        let exact = |code: &[u8]| live(code, Precision::Exact);
        assert_eq!(exact(&[0x48, 0x01, 0xd8]), 0, "add rax, rbx");
        assert_eq!(exact(&[0x89, 0xd8, 0x74, 0x02, 0x31, 0xc0, 0x39, 0xc8]), ZF, "mov; jz; xor; cmp");
        assert_eq!(exact(&[0x48, 0xff, 0xc0, 0x31, 0xc0]), 0, "inc; xor");
        assert_eq!(exact(&[0x48, 0xff, 0xc0, 0x11, 0xc0]), CF, "inc; adc");
        assert_eq!(exact(&[0xc3]), ARITH, "ret");
        assert_eq!(exact(&[0xd3, 0xe0, 0x31, 0xc0]), ARITH, "shl eax, cl keeps flags when cl is 0");
        assert_eq!(exact(&[0xc1, 0xe0, 0x20, 0x31, 0xc0]), 0, "shl eax, 32 does nothing; xor");
        assert_eq!(exact(&[0xeb, 0xfe]), ARITH, "a loop uses the budget up");
        assert_eq!(exact(&[]), ARITH, "nothing there");
        assert_eq!(exact(&[0x0f, 0x9c, 0xc0, 0x31, 0xc0]), SF | OF, "setl; xor");
        assert_eq!(exact(&[0x8b, 0x03, 0x31, 0xc0]), ARITH, "a load may fault");
        assert_eq!(live(&[0x8b, 0x03, 0x31, 0xc0], Precision::Relaxed), 0, "nobody looks");
        assert_eq!(live(&[0x8b, 0x03, 0xc3], Precision::Relaxed), 0, "the return makes them good where need be");
        assert_eq!(live(&[0xe8, 0, 0, 0, 0, 0x72, 0x00], Precision::Relaxed), ARITH, "call; jc; nothing there");
        assert_eq!(exact(&[0x7a, 0x00, 0x31, 0xc0]), PF, "jp");
    }
}
