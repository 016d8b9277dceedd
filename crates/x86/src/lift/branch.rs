//! Control transfer.

use super::{Flow, Lifter, stack};
use demotic_ir::block::{Edge, Indirect, Service, Term, Val};
use demotic_ir::interp::ATTR_STACK;
use demotic_ir::ops::Op;
use demotic_ir::state::reg;
use demotic_ir::ty::Ty;
use iced_x86::OpKind;

/// Target of a direct near branch: in the operand size, which a prefix may make smaller than the instruction pointer is.
fn target(l: &Lifter) -> u64 {
    let target = l.insn.near_branch_target();
    match l.insn.op_kind(0) {
        OpKind::NearBranch16 => target & 0xffff,
        _ => crate::unit::wrap(l.mode, target),
    }
}

/// Operand size of a near branch.
fn size(l: &Lifter) -> Ty {
    match l.insn.op_kind(0) {
        OpKind::NearBranch16 => Ty::I16,
        OpKind::NearBranch32 => Ty::I32,
        OpKind::NearBranch64 => Ty::I64,
        _ => l.ty(0),
    }
}

/// Whether a known target is in the code segment.
fn is_inside(l: &Lifter, target: u64) -> bool {
    l.segmented.is_none_or(|s| target <= u64::from(s.code_limit))
}

/// #GP for a computed target (i64) outside of the code segment. To come before anything is written.
fn check_inside(l: &mut Lifter, target: Val) {
    if let Some(s) = l.segmented {
        let limit = l.b.c(Ty::I64, u64::from(s.code_limit));
        let outside = l.b.ltu(limit, target);
        let outside = l.b.zext(Ty::I64, outside);
        l.b.op(Op::CheckGp, Ty::I64, &[outside]);
    }
}

/// The end of a conditional branch, `sets` what else it does, after the check.
fn branch(l: &mut Lifter, cond: Val, target: u64, sets: impl FnOnce(&mut Lifter)) -> Flow {
    if !is_inside(l, target) {
        let taken = l.b.zext(Ty::I64, cond);
        l.b.op(Op::CheckGp, Ty::I64, &[taken]);
    }
    sets(l);
    l.end(Term::Branch { cond, taken: Edge::to(target), fall: Edge::to(l.next) })
}

/// jcc.
pub fn jcc(l: &mut Lifter) -> Flow {
    conditional(l, l.condition_code(), target(l))
}

/// jcc by its condition and target.
pub fn conditional(l: &mut Lifter, cc: u8, target: u64) -> Flow {
    let cond = l.b.condition_of_flags(cc);
    branch(l, cond, target, |_| {})
}

/// jmp to a known address.
pub fn jump_to(target: u64) -> Term {
    Term::Jump(Edge::to(target))
}

/// call of a known address.
pub fn call_to(l: &mut Lifter, target: u64) -> Flow {
    push_return(l, l.word());
    l.end(Term::Call { target: Edge::to(target), ret: Edge::to(l.next) })
}

/// call of a computed address.
pub fn call_through(l: &mut Lifter, target: Val) -> Flow {
    push_return(l, l.word());
    l.end(Term::Indirect { target, kind: Indirect::Call, ret: Some(Edge::to(l.next)) })
}

/// jcxz jecxz jrcxz.
pub fn jcxz(l: &mut Lifter, ty: Ty) -> Flow {
    let c = l.gpr(reg::RCX, ty);
    let cond = l.b.is_zero(c);
    branch(l, cond, target(l), |_| {})
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
    let zero = l.b.is_zero(left);
    let mut cond = l.b.not(zero);
    if let Some(want) = zf {
        let z = l.b.condition_of_flags(if want { 4 } else { 5 });
        cond = l.b.and(cond, z);
    }
    branch(l, cond, target(l), |l| l.set_gpr(reg::RCX, left))
}

/// An operand as an instruction address. Narrow ones are zero-extended.
fn address(l: &mut Lifter) -> Val {
    let p = l.place(0);
    let v = l.load(p);
    let target = l.b.zext(Ty::I64, v);
    check_inside(l, target);
    target
}

/// jmp, near, direct and indirect.
pub fn jmp(l: &mut Lifter) -> Flow {
    match l.insn.op_kind(0) {
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
            let target = target(l);
            if is_inside(l, target) { l.end(jump_to(target)) } else { l.fault(13) }
        }
        OpKind::FarBranch16 | OpKind::FarBranch32 => far_direct(l, Far::Jump),
        _ if l.insn.is_jmp_far_indirect() => far_indirect(l, Far::Jump),
        _ => {
            let target = address(l);
            l.end(Term::Indirect { target, kind: Indirect::Jump, ret: None })
        }
    }
}

/// call, near, direct and indirect. What pushes another size than the usual one is not paired with a return.
pub fn call(l: &mut Lifter) -> Flow {
    match l.insn.op_kind(0) {
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
            let target = target(l);
            if !is_inside(l, target) {
                return l.fault(13);
            }
            if size(l) == l.word() {
                return call_to(l, target);
            }
            push_return(l, size(l));
            l.end(jump_to(target))
        }
        OpKind::FarBranch16 | OpKind::FarBranch32 => far_direct(l, Far::Call),
        _ if l.insn.is_call_far_indirect() => far_indirect(l, Far::Call),
        _ => {
            let target = address(l);
            if size(l) == l.word() {
                return call_through(l, target);
            }
            push_return(l, size(l));
            l.end(Term::Indirect { target, kind: Indirect::Jump, ret: None })
        }
    }
}

fn push_return(l: &mut Lifter, ty: Ty) {
    let ret = l.b.c(ty, l.next);
    stack::push_val(l, ret);
}

/// ret, ret imm16.
pub fn ret(l: &mut Lifter) -> Flow {
    use iced_x86::Code::*;
    let extra = if l.count() > 0 { i64::from(l.insn.immediate16()) } else { 0 };
    let ty = match l.insn.code() {
        Retnw | Retnw_imm16 => Ty::I16,
        Retnd | Retnd_imm16 => Ty::I32,
        _ => Ty::I64,
    };
    return_in(l, ty, extra)
}

/// ret, by how much the stack pointer moves beyond the return address.
pub fn return_beyond(l: &mut Lifter, extra: i64) -> Flow {
    return_in(l, l.word(), extra)
}

fn return_in(l: &mut Lifter, ty: Ty, extra: i64) -> Flow {
    let (_, addr) = stack::stack_at(l, 0);
    let v = l.b.ld(ty, addr, ATTR_STACK);
    let target = l.b.zext(Ty::I64, v);
    check_inside(l, target);
    let (new, _) = stack::stack_at(l, i64::from(ty.bytes()) + extra);
    l.set_gpr(reg::RSP, new);
    l.end(Term::Indirect { target, kind: Indirect::Ret, ret: None })
}

/// Kinds of far transfers, as [`Service::Far`] has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Far {
    Jump = 0,
    Call = 1,
    Return = 2,
    Interrupt = 3,
}

/// Ends the block with a far transfer: the environment knows the descriptor tables, and does it as a whole, because one that is refused leaves everything
/// as it was.
fn far(l: &mut Lifter, kind: Far, ty: Ty, extra: u64, to: Option<(Val, Val)>) -> Flow {
    let form = (kind as u64) << 16 | u64::from(ty.bytes()) << 20 | extra << 32;
    let form = l.b.c(Ty::I64, form);
    let args = match to {
        Some((selector, offset)) => {
            let selector = l.b.zext(Ty::I64, selector);
            [l.b.or(selector, form), l.b.zext(Ty::I64, offset)]
        }
        None => [form, l.b.c(Ty::I64, 0)],
    };
    l.end(Term::Service { what: Service::Far, args, next: l.next })
}

fn far_direct(l: &mut Lifter, kind: Far) -> Flow {
    let selector = l.b.c(Ty::I16, u64::from(l.insn.far_branch_selector()));
    let wide = l.insn.op_kind(0) == OpKind::FarBranch32;
    let offset = if wide { l.insn.far_branch32() } else { u32::from(l.insn.far_branch16()) };
    let offset = l.b.c(Ty::I64, u64::from(offset));
    far(l, kind, if wide { Ty::I32 } else { Ty::I16 }, 0, Some((selector, offset)))
}

fn far_indirect(l: &mut Lifter, kind: Far) -> Flow {
    let ty = match l.insn.memory_size().size() {
        4 => Ty::I16,
        6 => Ty::I32,
        _ => Ty::I64,
    };
    let attr = l.stack_attr();
    let addr = l.ea();
    let offset = l.b.ld(ty, addr, attr);
    let at = l.b.addi(addr, i64::from(ty.bytes()));
    let selector = l.b.ld(Ty::I16, at, attr);
    far(l, kind, ty, 0, Some((selector, offset)))
}

/// retf, retf imm16.
pub fn retf(l: &mut Lifter) -> Flow {
    use iced_x86::Code::*;
    let ty = match l.insn.code() {
        Retfw | Retfw_imm16 => Ty::I16,
        Retfd | Retfd_imm16 => Ty::I32,
        _ => Ty::I64,
    };
    let extra = if l.count() > 0 { u64::from(l.insn.immediate16()) } else { 0 };
    far(l, Far::Return, ty, extra, None)
}

/// iret, iretd, iretq: pops the instruction pointer, CS and the flags; 64-bit code also the stack pointer and SS.
pub fn iret(l: &mut Lifter) -> Flow {
    use iced_x86::Code::*;
    let ty = match l.insn.code() {
        Iretw => Ty::I16,
        Iretd => Ty::I32,
        _ => Ty::I64,
    };
    far(l, Far::Interrupt, ty, 0, None)
}

/// int n, int3, int1. Only 3, 4 and 0x80 have gates that user code may use; others are #GP with the vector's selector.
pub fn int(l: &mut Lifter, vector: u8) -> Flow {
    match vector {
        1 | 3 | 4 | 0x80 => l.end(Term::Interrupt { vector, next: l.next }),
        n => l.end(Term::Fault { vector: 13, code: u32::from(n) * 8 + 2, pc: l.pc }),
    }
}
