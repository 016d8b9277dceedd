//! String instructions. One iteration is one pass through the block: a repeated instruction jumps back to itself, so the
//! state is exact after every element, as the architecture asks (SDM vol. 2, REP).

use super::{ALL, CC_E, Flow, Lifter};
use demotic_ir::block::{Edge, Term, Val};
use demotic_ir::interp::ATTR_STACK;
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::DF;
use demotic_ir::state::reg;
use demotic_ir::ty::Ty;
use iced_x86::{OpKind, Register};

/// The five string operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// [rDI] := [rSI]
    Movs,
    /// [rDI] := rAX
    Stos,
    /// rAX := [rSI]
    Lods,
    /// rAX - [rDI]
    Scas,
    /// [rSI] - [rDI]
    Cmps,
}

/// Address size from the implicit operands.
fn address_ty(l: &Lifter) -> Ty {
    for i in 0..l.count() {
        match l.insn.op_kind(i) {
            OpKind::MemorySegSI | OpKind::MemorySegDI | OpKind::MemoryESDI => return Ty::I16,
            OpKind::MemorySegESI | OpKind::MemorySegEDI | OpKind::MemoryESEDI => return Ty::I32,
            OpKind::MemorySegRSI | OpKind::MemorySegRDI | OpKind::MemoryESRDI => return Ty::I64,
            _ => {}
        }
    }
    l.word()
}

fn pointer(l: &mut Lifter, n: usize, ty: Ty, segment: Register, bytes: u32) -> (Val, Val) {
    let p = l.gpr(n, ty);
    let offset = l.b.zext(Ty::I64, p);
    (p, l.linear(segment, offset, bytes))
}

/// movs stos lods scas cmps of elements of type `ty`, repeated or not.
pub fn string(l: &mut Lifter, kind: Kind, ty: Ty) -> Flow {
    let at = address_ty(l);
    let compares = matches!(kind, Kind::Scas | Kind::Cmps);
    let repe = l.insn.has_rep_prefix();
    let repne = l.insn.has_repne_prefix();
    let repeated = repe || repne;
    // Many iterations at once where the instruction comes round again, so that every block behind it sees registers that are right.
    let flat = kind == Kind::Stos || !matches!(l.insn.memory_segment(), Register::FS | Register::GS);
    if repeated && matches!(kind, Kind::Movs | Kind::Stos) && flat && at == l.word() && at != Ty::I16 && l.b.is_empty()
    {
        l.b.op_imm(Op::Bulk, ty, &[], u64::from(kind == Kind::Stos));
    }
    let count = repeated.then(|| {
        let c = l.gpr(reg::RCX, at);
        let done = l.b.is_zero(c);
        l.b.exitif(done, l.next);
        c
    });
    let source = matches!(kind, Kind::Movs | Kind::Lods | Kind::Cmps)
        .then(|| pointer(l, reg::RSI, at, l.insn.memory_segment(), ty.bytes()));
    let dest = (kind != Kind::Lods).then(|| pointer(l, reg::RDI, at, Register::ES, ty.bytes()));

    // Everything that can fault.
    // cmps reads its second operand first, except when repeated.
    let early = (kind == Kind::Cmps && !repeated).then(|| dest.map(|(_, addr)| l.b.ld(ty, addr, 0))).flatten();
    // Only 32-bit code has an SS override, and a segment limit that an element may cross.
    let attr = if !l.long() && l.insn.memory_segment() == Register::SS { ATTR_STACK } else { 0 };
    let loaded = source.map(|(_, addr)| l.b.ld(ty, addr, attr));
    let mut fl = None;
    match (kind, dest) {
        (Kind::Movs | Kind::Stos, Some((_, addr))) => {
            let v = match loaded {
                Some(v) => v,
                None => l.gpr(reg::RAX, ty),
            };
            l.b.st(addr, v, 0);
        }
        (_, Some((_, addr))) => {
            let b = match early {
                Some(b) => b,
                None => l.b.ld(ty, addr, 0),
            };
            let a = match loaded {
                Some(v) => v,
                None => l.gpr(reg::RAX, ty),
            };
            fl = Some(l.b.fl_sub(a, b));
        }
        _ => {}
    }

    // Then the registers: +size, or -size when DF is set.
    let sys = l.b.get(Ty::I32, Slot::SYS);
    let df = l.b.andi(sys, u64::from(DF));
    let up = l.b.is_zero(df);
    let plus = l.b.c(at, u64::from(ty.bytes()));
    let minus = l.b.c(at, u64::from(ty.bytes()).wrapping_neg());
    let step = l.b.sel(up, plus, minus);
    if let (Kind::Lods, Some(v)) = (kind, loaded) {
        l.set_gpr(reg::RAX, v);
    }
    for (n, p) in [(reg::RSI, source), (reg::RDI, dest)] {
        if let Some((p, _)) = p {
            let v = l.b.add(p, step);
            l.set_gpr(n, v);
        }
    }
    let left = count.map(|c| {
        let left = l.b.addi(c, -1);
        l.set_gpr(reg::RCX, left);
        left
    });
    if let Some(fl) = fl {
        l.b.setfl(ALL, fl);
    }
    let Some(left) = left else { return Flow::Next };
    if let (true, Some(fl)) = (compares, fl) {
        // repe stops at a difference, repne at an equality.
        let stop = l.b.cond(if repe { CC_E | 1 } else { CC_E }, fl);
        l.b.exitif(stop, l.next);
    }
    let cond = l.b.is_zero(left);
    l.end(Term::Branch { cond, taken: Edge::to(l.next), fall: Edge::to(l.pc) })
}
