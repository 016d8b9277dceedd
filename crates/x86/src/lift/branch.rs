//! Control transfer.

use super::{Flow, Lifter, Place, stack};
use demotic_ir::block::{Edge, Indirect, Service, Term, Val};
use demotic_ir::interp::ATTR_STACK;
use demotic_ir::state::reg;
use demotic_ir::ty::Ty;
use iced_x86::OpKind;

/// Target of a direct near branch.
fn target(l: &Lifter) -> u64 {
    crate::unit::wrap(l.mode, l.insn.near_branch_target())
}

/// Whether the branch truncates the instruction pointer to 16 bits, which nothing in 32- and 64-bit code wants.
fn narrow(l: &Lifter) -> bool {
    l.insn.op_kind(0) == OpKind::NearBranch16 && l.word() != Ty::I16
}

/// jcc.
pub fn jcc(l: &mut Lifter) -> Flow {
    if narrow(l) {
        return Flow::Unimplemented;
    }
    conditional(l, l.condition_code(), target(l))
}

/// jcc by its condition and target.
pub fn conditional(l: &mut Lifter, cc: u8, target: u64) -> Flow {
    let cond = l.b.condition_of_flags(cc);
    Flow::End(Term::Branch { cond, taken: Edge::to(target), fall: Edge::to(l.next) })
}

/// jmp to a known address.
pub fn jump_to(target: u64) -> Term {
    Term::Jump(Edge::to(target))
}

/// call of a known address.
pub fn call_to(l: &mut Lifter, target: u64) -> Flow {
    push_return(l);
    Flow::End(Term::Call { target: Edge::to(target), ret: Edge::to(l.next) })
}

/// call of a computed address.
pub fn call_through(l: &mut Lifter, target: Val) -> Flow {
    push_return(l);
    Flow::End(Term::Indirect { target, kind: Indirect::Call, ret: Some(Edge::to(l.next)) })
}

/// jcxz jecxz jrcxz.
pub fn jcxz(l: &mut Lifter, ty: Ty) -> Flow {
    let c = l.gpr(reg::RCX, ty);
    let cond = l.b.is_zero(c);
    Flow::End(Term::Branch { cond, taken: Edge::to(target(l)), fall: Edge::to(l.next) })
}

/// loop (None), loope (Some(true)), loopne (Some(false)).
pub fn looping(l: &mut Lifter, zf: Option<bool>) -> Flow {
    use iced_x86::Code::*;
    let ty = match l.insn.code() {
        Loop_rel8_16_CX | Loop_rel8_32_CX | Loope_rel8_16_CX | Loope_rel8_32_CX | Loopne_rel8_16_CX
        | Loopne_rel8_32_CX => Ty::I16,
        Loop_rel8_64_RCX | Loope_rel8_64_RCX | Loopne_rel8_64_RCX => Ty::I64,
        Loop_rel8_16_RCX | Loope_rel8_16_RCX | Loopne_rel8_16_RCX => Ty::I64,
        _ => Ty::I32,
    };
    let c = l.gpr(reg::RCX, ty);
    let left = l.b.addi(c, -1);
    l.set_gpr(reg::RCX, left);
    let zero = l.b.is_zero(left);
    let mut cond = l.b.not(zero);
    if let Some(want) = zf {
        let z = l.b.condition_of_flags(if want { 4 } else { 5 });
        cond = l.b.and(cond, z);
    }
    Flow::End(Term::Branch { cond, taken: Edge::to(target(l)), fall: Edge::to(l.next) })
}

/// An operand as an instruction address.
fn address(l: &mut Lifter) -> Option<Val> {
    let p = l.place(0);
    if matches!(p, Place::Mem(_, ty, _) | Place::Gpr(_, ty) if ty == Ty::I16 && l.word() != Ty::I16) {
        // 16-bit branches clear the upper half; they are encodable and useless.
        let v = l.load(p);
        return Some(l.b.zext(Ty::I64, v));
    }
    let v = l.load(p);
    Some(l.b.zext(Ty::I64, v))
}

/// jmp, near, direct and indirect.
pub fn jmp(l: &mut Lifter) -> Flow {
    match l.insn.op_kind(0) {
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
            if narrow(l) {
                return Flow::Unimplemented;
            }
            Flow::End(jump_to(target(l)))
        }
        OpKind::FarBranch16 | OpKind::FarBranch32 => far_direct(l, false),
        _ if l.insn.is_jmp_far_indirect() => far_indirect(l, false),
        _ => match address(l) {
            Some(target) => Flow::End(Term::Indirect { target, kind: Indirect::Jump, ret: None }),
            None => Flow::Undefined,
        },
    }
}

/// call, near, direct and indirect.
pub fn call(l: &mut Lifter) -> Flow {
    match l.insn.op_kind(0) {
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
            if narrow(l) {
                return Flow::Unimplemented;
            }
            call_to(l, target(l))
        }
        OpKind::FarBranch16 | OpKind::FarBranch32 => far_direct(l, true),
        _ if l.insn.is_call_far_indirect() => far_indirect(l, true),
        _ => match address(l) {
            Some(target) => call_through(l, target),
            None => Flow::Undefined,
        },
    }
}

fn push_return(l: &mut Lifter) {
    let ty = l.word();
    let ret = l.b.c(ty, l.next);
    stack::push_val(l, ret);
}

/// ret, ret imm16.
pub fn ret(l: &mut Lifter) -> Flow {
    let extra = if l.count() > 0 { i64::from(l.insn.immediate16()) } else { 0 };
    return_beyond(l, extra)
}

/// ret, by how much the stack pointer moves beyond the return address.
pub fn return_beyond(l: &mut Lifter, extra: i64) -> Flow {
    let ty = l.word();
    let (_, addr) = stack::stack_at(l, 0);
    let v = l.b.ld(ty, addr, ATTR_STACK);
    let (new, _) = stack::stack_at(l, i64::from(ty.bytes()) + extra);
    l.set_gpr(reg::RSP, new);
    let target = l.b.zext(Ty::I64, v);
    Flow::End(Term::Indirect { target, kind: Indirect::Ret, ret: None })
}

fn far(l: &mut Lifter, selector: Val, offset: Val) -> Flow {
    let selector = l.b.zext(Ty::I16, selector);
    let offset = l.b.zext(Ty::I64, offset);
    Flow::End(Term::Service { what: Service::Far, args: [selector, offset], next: l.next })
}

/// Pushes CS and the return address in the given width.
fn push_far(l: &mut Lifter, ty: Ty) {
    let cs = l.b.get(Ty::I16, demotic_ir::slot::Slot::seg_sel(demotic_ir::state::seg::CS));
    let cs = l.b.zext(ty, cs);
    let ret = l.b.c(ty, l.next);
    let n = i64::from(ty.bytes());
    let (_, hi) = stack::stack_at(l, -n);
    l.b.st(hi, cs, ATTR_STACK);
    let (new, lo) = stack::stack_at(l, -2 * n);
    l.b.st(lo, ret, ATTR_STACK);
    l.set_gpr(reg::RSP, new);
}

fn far_direct(l: &mut Lifter, call: bool) -> Flow {
    let selector = l.b.c(Ty::I16, u64::from(l.insn.far_branch_selector()));
    let wide = l.insn.op_kind(0) == OpKind::FarBranch32;
    let offset = if wide { l.insn.far_branch32() } else { u32::from(l.insn.far_branch16()) };
    let offset = l.b.c(Ty::I64, u64::from(offset));
    if call {
        push_far(l, if wide { Ty::I32 } else { Ty::I16 });
    }
    far(l, selector, offset)
}

fn far_indirect(l: &mut Lifter, call: bool) -> Flow {
    let ty = match l.insn.memory_size().size() {
        4 => Ty::I16,
        6 => Ty::I32,
        _ => Ty::I64,
    };
    let addr = l.ea();
    let offset = l.b.ld(ty, addr, 0);
    let at = l.b.addi(addr, i64::from(ty.bytes()));
    let selector = l.b.ld(Ty::I16, at, 0);
    if call {
        push_far(l, ty);
    }
    far(l, selector, offset)
}

/// retf, retf imm16.
pub fn retf(l: &mut Lifter) -> Flow {
    use iced_x86::Code::*;
    let ty = match l.insn.code() {
        Retfw | Retfw_imm16 => Ty::I16,
        Retfd | Retfd_imm16 => Ty::I32,
        _ => Ty::I64,
    };
    let n = i64::from(ty.bytes());
    let extra = if l.count() > 0 { i64::from(l.insn.immediate16()) } else { 0 };
    let (_, lo) = stack::stack_at(l, 0);
    let (_, hi) = stack::stack_at(l, n);
    let offset = l.b.ld(ty, lo, ATTR_STACK);
    let selector = l.b.ld(ty, hi, ATTR_STACK);
    let (new, _) = stack::stack_at(l, 2 * n + extra);
    l.set_gpr(reg::RSP, new);
    far(l, selector, offset)
}

/// iret, iretd, iretq: pops the instruction pointer, CS and the flags; 64-bit code also the stack pointer and SS, which can
/// only be the flat one here.
pub fn iret(l: &mut Lifter) -> Flow {
    use iced_x86::Code::*;
    let ty = match l.insn.code() {
        Iretw => Ty::I16,
        Iretd => Ty::I32,
        _ => Ty::I64,
    };
    let n = i64::from(ty.bytes());
    let words = if l.long() { 5 } else { 3 };
    let values: Vec<Val> = (0..words)
        .map(|k| {
            let (_, at) = stack::stack_at(l, n * k);
            l.b.ld(ty, at, ATTR_STACK)
        })
        .collect();
    let new = match values.get(3) {
        Some(sp) => l.b.zext(Ty::I64, *sp),
        None => stack::stack_at(l, 3 * n).0,
    };
    l.set_gpr(reg::RSP, new);
    let image = l.b.zext(Ty::I32, values[2]);
    stack::set_flags(l, image, ty);
    far(l, values[1], values[0])
}

/// int n, int3, int1. Only 3, 4 and 0x80 have gates that user code may use; others are #GP with the vector's selector.
pub fn int(l: &mut Lifter, vector: u8) -> Flow {
    match vector {
        1 | 3 | 4 | 0x80 => Flow::End(Term::Interrupt { vector, next: l.next }),
        n => Flow::End(Term::Fault { vector: 13, code: u32::from(n) * 8 + 2, pc: l.pc }),
    }
}
