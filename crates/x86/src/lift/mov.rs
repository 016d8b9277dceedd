//! Data movement between general registers and memory.

use super::{Flow, Lifter, Place};
use demotic_ir::block::{Service, Term, Val};
use demotic_ir::ops::Op;
use demotic_ir::state::reg;
use demotic_ir::ty::Ty;
use iced_x86::{OpKind, Register};

/// mov, movnti.
pub fn mov(l: &mut Lifter) -> Flow {
    let privileged = |r: Register| r.is_cr() || r.is_dr() || r.is_tr();
    if privileged(l.insn.op_register(0)) || privileged(l.insn.op_register(1)) {
        return l.fault(13);
    }
    let dst = l.place(0);
    match dst {
        Place::Seg(n) => return load_segment(l, n, 1),
        Place::Gpr(_, ty) => {
            let src = l.place(1);
            let v = match src {
                // A selector is zero-extended into a 32- or 64-bit register.
                Place::Seg(_) => {
                    let v = l.load(src);
                    l.b.zext(ty, v)
                }
                Place::Imm(v, _) => l.b.c(ty, v),
                p => l.load(p),
            };
            l.store(dst, v);
        }
        _ => {
            let ty = match dst {
                Place::Mem(_, ty, _) => ty,
                _ => Ty::I8,
            };
            let v = l.read_as(1, ty);
            let v = l.b.zext(ty, v);
            l.store(dst, v);
        }
    }
    Flow::Next
}

/// mov to a segment register; the environment knows the descriptor tables.
fn load_segment(l: &mut Lifter, n: usize, operand: u32) -> Flow {
    let v = match l.place(operand) {
        Place::Mem(addr, _, attr) => l.b.ld(Ty::I16, addr, attr),
        p => {
            let v = l.load(p);
            l.b.zext(Ty::I16, v)
        }
    };
    segment(l, n as u64, v, None)
}

/// Ends the block with a segment register load, in the form of [`Service::LoadSeg`] but for the selector. What else the instruction changes, a selector
/// that is refused leaves alone: how far it pops is in the form, `value` is for the general register that the form names.
pub fn segment(l: &mut Lifter, form: u64, selector: Val, value: Option<Val>) -> Flow {
    let selector = l.b.zext(Ty::I64, selector);
    let selector = l.b.shli(selector, 32);
    let form = l.b.c(Ty::I64, form);
    let form = l.b.or(selector, form);
    let value = match value {
        Some(v) => l.b.zext(Ty::I64, v),
        None => l.b.c(Ty::I64, 0),
    };
    l.end(Term::Service { what: Service::LoadSeg, args: [form, value], next: l.next })
}

/// movzx.
pub fn movzx(l: &mut Lifter) -> Flow {
    let ty = l.ty(0);
    let v = l.read(1);
    let v = l.b.zext(ty, v);
    l.write(0, v);
    Flow::Next
}

/// movsx, movsxd.
pub fn movsx(l: &mut Lifter) -> Flow {
    let ty = l.ty(0);
    let v = l.read(1);
    let v = l.b.sext(ty, v);
    l.write(0, v);
    Flow::Next
}

/// lea.
pub fn lea(l: &mut Lifter) -> Flow {
    let ty = l.ty(0);
    let v = l.ea_offset();
    let v = l.b.zext(ty, v);
    l.write(0, v);
    Flow::Next
}

/// xchg: locked whenever an operand is in memory.
pub fn xchg(l: &mut Lifter) -> Flow {
    let (p0, p1) = (l.place(0), l.place(1));
    match (p0, p1) {
        (Place::Mem(addr, ty, _), other) | (other, Place::Mem(addr, ty, _)) => {
            let v = l.load(other);
            let old = l.atomic(Op::AXchg, ty, &[addr, v]);
            l.store(other, old);
        }
        _ => {
            let (a, b) = (l.load(p0), l.load(p1));
            l.store(p0, b);
            l.store(p1, a);
        }
    }
    Flow::Next
}

/// cmovcc: the source is read (and may fault) in any case.
pub fn cmov(l: &mut Lifter) -> Flow {
    let src = l.read(1);
    let dst = l.place(0);
    move_if(l, l.condition_code(), dst, src)
}

/// The same by the condition and the operands.
pub fn move_if(l: &mut Lifter, cc: u8, dst: Place, src: Val) -> Flow {
    let old = l.load(dst);
    let c = l.b.condition_of_flags(cc);
    let v = l.b.sel(c, src, old);
    l.store(dst, v);
    Flow::Next
}

/// setcc.
pub fn setcc(l: &mut Lifter) -> Flow {
    let dst = l.place(0);
    set_if(l, l.condition_code(), dst)
}

/// The same by the condition and the operand.
pub fn set_if(l: &mut Lifter, cc: u8, dst: Place) -> Flow {
    let c = l.b.condition_of_flags(cc);
    let v = l.b.zext(Ty::I8, c);
    l.store(dst, v);
    Flow::Next
}

/// bswap; of a 16-bit register it is undefined and gives 0 on all known processors.
pub fn bswap(l: &mut Lifter) -> Flow {
    let v = l.read(0);
    let r = if l.ty(0) == Ty::I16 { l.b.c(Ty::I16, 0) } else { l.b.bswap(v) };
    l.write(0, r);
    Flow::Next
}

/// movbe.
pub fn movbe(l: &mut Lifter) -> Flow {
    let dst = l.place(0);
    let v = l.read(1);
    let r = l.b.bswap(v);
    l.store(dst, r);
    Flow::Next
}

/// cbw cwde cdqe: sign-extends the accumulator into itself.
pub fn extend_acc(l: &mut Lifter, to: Ty) -> Flow {
    let from = match to {
        Ty::I16 => Ty::I8,
        Ty::I32 => Ty::I16,
        _ => Ty::I32,
    };
    let v = l.gpr(reg::RAX, from);
    let v = l.b.sext(to, v);
    l.set_gpr(reg::RAX, v);
    Flow::Next
}

/// cwd cdq cqo: DX, EDX or RDX := sign of the accumulator.
pub fn sign_acc(l: &mut Lifter, ty: Ty) -> Flow {
    let v = l.gpr(reg::RAX, ty);
    let n = l.b.c(Ty::I8, u64::from(ty.bits() - 1));
    let s = l.b.shift(Op::Sar, v, n);
    l.set_gpr(reg::RDX, s);
    Flow::Next
}

/// xlatb: AL := [rBX + AL].
pub fn xlat(l: &mut Lifter) -> Flow {
    // The operand is encoded as memory with base rBX and index AL.
    let ty = Lifter::int_ty(l.insn.memory_base().size());
    let base = l.gpr(reg::RBX, ty);
    let al = l.gpr(reg::RAX, Ty::I8);
    let al = l.b.zext(ty, al);
    let sum = l.b.add(base, al);
    let sum = l.b.zext(Ty::I64, sum);
    let addr = l.linear(l.insn.memory_segment(), sum, 1);
    let v = l.b.ld(Ty::I8, addr, 0);
    l.set_gpr(reg::RAX, v);
    Flow::Next
}

/// lds les lfs lgs lss: offset and selector from memory.
pub fn load_far(l: &mut Lifter, seg: Register) -> Flow {
    if l.insn.op_kind(1) != OpKind::Memory {
        return Flow::Undefined;
    }
    let ty = l.ty(0);
    let addr = l.ea();
    let offset = l.b.ld(ty, addr, 0);
    let at = l.b.addi(addr, i64::from(ty.bytes()));
    let selector = l.b.ld(Ty::I16, at, 0);
    let register = l.insn.op_register(0).number() as u64;
    let form = seg.number() as u64 | (register + 1) << 16 | u64::from(ty.bytes()) << 24;
    segment(l, form, selector, Some(offset))
}
