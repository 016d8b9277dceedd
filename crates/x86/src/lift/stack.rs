//! push, pop and their kin.

use super::{ALL, Flow, Lifter, Place, mov};
use demotic_ir::block::{Service, Term, Val};
use demotic_ir::interp::ATTR_STACK;
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::{eflags, reg, seg};
use demotic_ir::ty::Ty;
use iced_x86::{OpKind, Register};

/// The stack pointer's type and the linear address of an offset from it.
pub fn stack_at(l: &mut Lifter, delta: i64) -> (Val, Val) {
    let ty = width(l);
    let sp = l.gpr(reg::RSP, ty);
    let new = l.b.addi(sp, delta);
    let addr = linear(l, new);
    (new, addr)
}

/// Type of the stack pointer.
fn width(l: &Lifter) -> Ty {
    match l.segmented {
        _ if l.long() => Ty::I64,
        Some(s) if s.stack16 => Ty::I16,
        _ => Ty::I32,
    }
}

/// Linear address of a stack pointer.
fn linear(l: &mut Lifter, sp: Val) -> Val {
    let offset = l.b.zext(Ty::I64, sp);
    if l.segmented.is_some() { l.based(seg::SS, offset, 1) } else { offset }
}

/// Width of what the instruction pushes or pops.
fn slot_ty(l: &Lifter) -> Ty {
    Lifter::int_ty(l.insn.stack_pointer_increment().unsigned_abs() as usize)
}

/// Stores a value below the stack pointer and moves it.
pub fn push_val(l: &mut Lifter, v: Val) {
    let bytes = i64::from(l.b.ty(v).bytes());
    let (new, addr) = stack_at(l, -bytes);
    l.b.st(addr, v, ATTR_STACK);
    l.set_gpr(reg::RSP, new);
}

/// push of register, memory, immediate or selector.
pub fn push(l: &mut Lifter) -> Flow {
    let ty = slot_ty(l);
    let v = match l.place(0) {
        Place::Imm(v, _) => l.b.c(ty, v),
        p => {
            let v = l.load(p);
            l.b.zext(ty, v)
        }
    };
    push_val(l, v);
    Flow::Next
}

/// pop of a general register.
pub fn pop_register(l: &mut Lifter, ty: Ty, n: usize) -> Flow {
    let (_, addr) = stack_at(l, 0);
    let v = l.b.ld(ty, addr, ATTR_STACK);
    let (new, _) = stack_at(l, i64::from(ty.bytes()));
    l.set_gpr(reg::RSP, new);
    l.set_gpr(n, v);
    Flow::Next
}

/// pop. A destination in memory addressed by rSP uses the incremented pointer (SDM vol. 2, POP).
pub fn pop(l: &mut Lifter) -> Flow {
    let ty = slot_ty(l);
    if l.insn.op_kind(0) == OpKind::Register && l.insn.op_register(0).is_gpr() {
        return pop_register(l, ty, l.insn.op_register(0).number());
    }
    let bytes = i64::from(ty.bytes());
    let (_, addr) = stack_at(l, 0);
    let v = l.b.ld(ty, addr, ATTR_STACK);
    let dst = match l.place(0) {
        Place::Mem(addr, ty, attr) if l.insn.memory_base().full_register() == Register::RSP => {
            let mut addr = l.b.addi(addr, bytes);
            if !l.long() && l.segmented.is_none() {
                addr = l.b.andi(addr, 0xffff_ffff);
            }
            Place::Mem(addr, ty, attr)
        }
        p => p,
    };
    if let Place::Mem(..) = dst {
        l.store(dst, v);
    }
    // A selector that is refused leaves the stack pointer.
    if !matches!(dst, Place::Seg(_)) {
        let (new, _) = stack_at(l, bytes);
        l.set_gpr(reg::RSP, new);
    }
    match dst {
        Place::Seg(n) => {
            let selector = l.b.zext(Ty::I16, v);
            mov::segment(l, (n as u64) | (bytes as u64) << 8, selector, None)
        }
        Place::Mem(..) => Flow::Next,
        _ => {
            l.store(dst, v);
            Flow::Next
        }
    }
}

/// pusha, pushad.
pub fn pusha(l: &mut Lifter, ty: Ty) -> Flow {
    let bytes = i64::from(ty.bytes());
    for n in 0..8 {
        let v = l.gpr(n, ty);
        let (_, addr) = stack_at(l, -bytes * (n as i64 + 1));
        l.b.st(addr, v, ATTR_STACK);
    }
    let (new, _) = stack_at(l, -bytes * 8);
    l.set_gpr(reg::RSP, new);
    Flow::Next
}

/// popa, popad: the stored stack pointer is skipped.
pub fn popa(l: &mut Lifter, ty: Ty) -> Flow {
    let bytes = i64::from(ty.bytes());
    let values: Vec<Val> = (0..8)
        .map(|k| {
            let (_, addr) = stack_at(l, bytes * k);
            l.b.ld(ty, addr, ATTR_STACK)
        })
        .collect();
    let (new, _) = stack_at(l, bytes * 8);
    for (k, v) in values.into_iter().enumerate() {
        if 7 - k != reg::RSP {
            l.set_gpr(7 - k, v);
        }
    }
    l.set_gpr(reg::RSP, new);
    Flow::Next
}

/// The EFLAGS image that pushf stores: RF and VM read as 0.
fn image(l: &mut Lifter) -> Val {
    let f = l.b.getfl();
    let arith = l.b.op(Op::FlBits, Ty::I32, &[f]);
    let sys = l.b.get(Ty::I32, Slot::SYS);
    l.b.or(arith, sys)
}

/// RFLAGS as `syscall` leaves it in R11.
pub fn flags_image(l: &mut Lifter) -> Val {
    image(l)
}

/// pushf, pushfd, pushfq.
pub fn pushf(l: &mut Lifter) -> Flow {
    let ty = slot_ty(l);
    let v = image(l);
    let v = l.b.zext(ty, v);
    push_val(l, v);
    Flow::Next
}

/// popf, popfd, popfq: user code changes the arithmetic flags, TF, DF, NT, AC and ID (16-bit forms: not the last two).
pub fn popf(l: &mut Lifter) -> Flow {
    let ty = slot_ty(l);
    let (_, addr) = stack_at(l, 0);
    let v = l.b.ld(ty, addr, ATTR_STACK);
    let v = l.b.zext(Ty::I32, v);
    let (new, _) = stack_at(l, i64::from(ty.bytes()));
    l.set_gpr(reg::RSP, new);
    set_flags(l, v, ty);
    // The executor has to see TF before the next instruction.
    l.end(Term::Service { what: Service::Trace, args: [Val::NONE; 2], next: l.next })
}

/// Takes over what user code may change of an EFLAGS image; 16-bit forms leave the upper half.
pub fn set_flags(l: &mut Lifter, image: Val, ty: Ty) {
    let mask = if ty == Ty::I16 { eflags::USER_SYS & 0xffff } else { eflags::USER_SYS };
    let sys = l.b.get(Ty::I32, Slot::SYS);
    let keep = l.b.andi(sys, u64::from(!mask));
    let take = l.b.andi(image, u64::from(mask));
    let sys = l.b.or(keep, take);
    let fl = l.b.op(Op::FlFrom, Ty::Fl, &[image]);
    l.b.setfl(ALL, fl);
    l.b.set(Slot::SYS, sys);
}

/// leave: rSP := rBP, then pop rBP.
pub fn leave(l: &mut Lifter) -> Flow {
    let ty = slot_ty_leave(l);
    let sp_ty = width(l);
    let bp = l.gpr(reg::RBP, sp_ty);
    let addr = linear(l, bp);
    let v = l.b.ld(ty, addr, ATTR_STACK);
    let new = l.b.addi(bp, i64::from(ty.bytes()));
    l.set_gpr(reg::RSP, new);
    l.set_gpr(reg::RBP, v);
    Flow::Next
}

fn slot_ty_leave(l: &Lifter) -> Ty {
    match l.insn.code() {
        iced_x86::Code::Leavew => Ty::I16,
        iced_x86::Code::Leaved => Ty::I32,
        _ => Ty::I64,
    }
}

/// enter imm16, imm8 (SDM vol. 2): nested frames included.
pub fn enter(l: &mut Lifter) -> Flow {
    let ty = match l.insn.code() {
        iced_x86::Code::Enterw_imm16_imm8 => Ty::I16,
        iced_x86::Code::Enterd_imm16_imm8 => Ty::I32,
        _ => Ty::I64,
    };
    let n = i64::from(ty.bytes());
    let size = i64::from(l.insn.immediate16());
    let level = i64::from(l.insn.immediate8_2nd() & 31);
    let sp_ty = width(l);
    let bp = l.gpr(reg::RBP, ty);
    let bp_full = l.gpr(reg::RBP, sp_ty);
    let (frame, addr) = stack_at(l, -n);
    l.b.st(addr, bp, ATTR_STACK);
    for k in 1..level {
        let from = l.b.addi(bp_full, -n * k);
        let from = linear(l, from);
        let v = l.b.ld(ty, from, ATTR_STACK);
        let (_, to) = stack_at(l, -n * (k + 1));
        l.b.st(to, v, ATTR_STACK);
    }
    if level > 0 {
        let v = l.b.zext(ty, frame);
        let (_, to) = stack_at(l, -n * (level + 1));
        l.b.st(to, v, ATTR_STACK);
    }
    // A page fault is raised whenever a write at the final stack pointer would raise one (SDM vol. 2, ENTER).
    let (_, bottom) = stack_at(l, -n * (level + 1) - size);
    l.b.op_imm(Op::ProbeW, Ty::I8, &[bottom], ATTR_STACK);
    let (new, _) = stack_at(l, -n * (level + 1) - size);
    let frame = l.b.zext(ty, frame);
    l.set_gpr(reg::RSP, new);
    l.set_gpr(reg::RBP, frame);
    Flow::Next
}
