//! Looking ahead: which arithmetic flags the code at an address may read.
//!
//! A translation unit ends somewhere; what flags it has to leave behind depends on the code that follows. A few instructions nearly always
//! decide it, since most arithmetic overwrites all flags, so they are decoded without being lifted, along direct jumps and both ways of
//! conditional ones, until every flag was overwritten or something is met at which the rest counts as read: an
//! instruction that may fault (exact precision), an indirect branch, a call, the end of the budget, anything that is not in the table below.
//!
//! The answer must not be less than what lifting and analysing the same code gives: an instruction overwrites a flag here only when its
//! handler in [`crate::lift`] always writes it.

use crate::quick::{self, Look, Way};
use crate::unit::{Fetch, Window, wrap};
use demotic_ir::passes::Precision;
use demotic_ir::passes::flags::cond_reads;
use demotic_ir::state::Mode;
use demotic_ir::state::eflags::{ARITH, CF, OF};
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic as M, OpKind, Register};

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
    let mut scan = Scan { mode, precision, quick: mode != Mode::Compat16, budget: BUDGET, window: Window::EMPTY };
    scan.live(pc, ARITH, fetch)
}

/// One answer in the making.
struct Scan {
    mode: Mode,
    precision: Precision,
    /// Whether the usual instructions are looked at in the quick way.
    quick: bool,
    budget: u32,
    window: Window,
}

impl Scan {
    /// Those of `open` that are live at `pc`.
    fn live(&mut self, pc: u64, open: u32, fetch: Fetch) -> u32 {
        let (mut at, mut open, mut live) = (pc, open, 0);
        let mut insn = quick::Insn::NONE;
        while open != 0 {
            if self.budget == 0 {
                return live | open;
            }
            self.budget -= 1;
            let code = self.window.at(at, fetch);
            let usual = code.first_chunk().filter(|_| self.quick);
            let (look, len) = match usual.map(|c| quick::decode(&mut insn, c, self.mode == Mode::Long)) {
                Some(true) => (quick::look(&insn), u64::from(insn.len)),
                _ => match general(code, at, self.mode) {
                    Some(known) => known,
                    None => return live | open,
                },
            };
            if self.precision.is_exact() {
                if look.memory {
                    return live | open;
                }
            } else if matches!(look.way, Way::Return | Way::Indirect) {
                // Flags are not handed on there: see `flags::hands_on`.
                return live;
            }
            live |= open & look.reads;
            open &= !(look.reads | look.writes);
            let next = wrap(self.mode, at.wrapping_add(len));
            let target = wrap(self.mode, next.wrapping_add(look.distance));
            at = match look.way {
                Way::Next => next,
                Way::Jump | Way::Call => target,
                Way::Either => {
                    if open != 0 {
                        live |= self.live(target, open, fetch);
                        open &= !live;
                    }
                    next
                }
                Way::Return | Way::Indirect => return live | open,
            };
        }
        live
    }
}

/// The same for any instruction of the table below, and its length; `None` where flags count as read.
fn general(code: &[u8], at: u64, mode: Mode) -> Option<(Look, u64)> {
    let mut decoder = Decoder::with_ip(mode.bits(), code, at, DecoderOptions::NONE);
    let mut insn = Instruction::default();
    decoder.decode_out(&mut insn);
    if insn.is_invalid() || insn.has_lock_prefix() {
        return None;
    }
    let near = matches!(insn.op_kind(0), OpKind::NearBranch32 | OpKind::NearBranch64);
    let distance = if near { insn.near_branch_target().wrapping_sub(insn.next_ip()) } else { 0 };
    let look = |way, effect: Effect| {
        let Effect { reads, writes } = effect;
        Some((Look { reads, writes, memory: touches_memory(&insn), way, distance }, insn.len() as u64))
    };
    match insn.code() {
        Code::Retnq | Code::Retnd | Code::Retnq_imm16 | Code::Retnd_imm16 => return look(Way::Return, NONE),
        Code::Jmp_rm64 | Code::Jmp_rm32 | Code::Call_rm64 | Code::Call_rm32 => return look(Way::Indirect, NONE),
        Code::Call_rel32_64 | Code::Call_rel32_32 => return look(Way::Call, NONE),
        _ => {}
    }
    let effect = effect(&insn)?;
    match insn.flow_control() {
        FlowControl::Next => look(Way::Next, effect),
        FlowControl::UnconditionalBranch if near => look(Way::Jump, effect),
        FlowControl::ConditionalBranch if near => look(Way::Either, effect),
        _ => None,
    }
}

/// Whether an instruction of the table below accesses memory, which may fault.
fn touches_memory(insn: &Instruction) -> bool {
    !matches!(insn.mnemonic(), M::Lea | M::Nop) && (0..insn.op_count()).any(|k| insn.op_kind(k) == OpKind::Memory)
        || insn.is_stack_instruction()
}

/// The table: integer instructions that fault at most for their memory operand.
fn effect(insn: &Instruction) -> Option<Effect> {
    // MMX instructions raise pending x87 exceptions; of the other registers some are not for programs, and segments are not always there.
    let other = |r: Register| r.is_mm() || r.is_cr() || r.is_dr() || r.is_tr() || r.is_segment_register();
    if (0..insn.op_count()).any(|k| insn.op_kind(k) == OpKind::Register && other(insn.op_register(k))) {
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

    /// The quick way and the general one, behind each of which comes the same code.
    #[test]
    fn both_ways_say_the_same() {
        let mut seed = 1u64;
        let mut differing = [0; 2];
        for n in 0..400_000u32 {
            let mut code = [0u8; 64];
            for byte in &mut code {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                *byte = (seed >> 33) as u8;
            }
            // Every opcode, two instructions deep where the first one is short.
            code[0] = n as u8;
            code[1 + (n >> 16) as usize % 3] = (n >> 8) as u8;
            for mode in [Mode::Long, Mode::Compat32] {
                for precision in [Precision::Exact, Precision::Relaxed] {
                    let says = [true, false].map(|quick| {
                        let mut fetch = |at: u64, buf: &mut [u8]| {
                            let rest = code.get(at.wrapping_sub(0x1000) as usize..).unwrap_or_default();
                            let n = rest.len().min(buf.len());
                            buf[..n].copy_from_slice(&rest[..n]);
                            n
                        };
                        let mut scan = Scan { mode, precision, quick, budget: BUDGET, window: Window::EMPTY };
                        scan.live(0x1000, ARITH, &mut fetch)
                    });
                    assert_eq!(says[0], says[1], "{mode:?} {precision:?} {code:02x?}");
                    differing[usize::from(says[0] != ARITH)] += 1;
                }
            }
        }
        assert!(differing.iter().all(|n| *n > 100_000), "{differing:?}");
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
        assert_eq!(exact(&[0x0f, 0x22, 0xc0, 0x31, 0xc0]), ARITH, "mov cr0, rax faults");
        assert_eq!(exact(&[0x8e, 0xd8, 0x31, 0xc0]), ARITH, "mov ds, eax may fault");
    }
}
