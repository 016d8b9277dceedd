//! SSSE3, SSE4.1, SSE4.2, AES, PCLMULQDQ and SHA.

use super::sse_int::{is_mmx, source};
use super::{ALL, Flow, Lifter, Place};
use demotic_ir::block::Val;
use demotic_ir::ops::{GaloisFn, Op, ShaFn};
use demotic_ir::slot::Slot;
use demotic_ir::state::reg;
use demotic_ir::ty::Ty;
use iced_x86::Mnemonic;

fn dest(l: &mut Lifter) -> Val {
    l.read(0)
}

fn imm(l: &Lifter) -> u64 {
    u64::from(l.insn.immediate8())
}

/// pshufb: with MMX registers indices have three bits.
pub fn pshufb(l: &mut Lifter) -> Flow {
    let mut b = source(l, 1, true);
    let a = dest(l);
    if is_mmx(l) {
        let mask = l.b.c(Ty::I64, 0x8787_8787_8787_8787);
        let mask = l.b.op(Op::VZext, Ty::I64, &[mask]);
        b = l.b.op(Op::VAnd, Ty::V128, &[b, mask]);
    }
    let r = l.b.op(Op::VTbl, Ty::V128, &[a, b]);
    l.write(0, r);
    Flow::Next
}

/// phadd, phsub: with MMX registers both operands are halves of one vector.
pub fn horizontal(l: &mut Lifter, op: Op, ty: Ty) -> Flow {
    super::sse_int::pack(l, op, ty)
}

/// pabs and other operations on the source alone.
pub fn unary(l: &mut Lifter, op: Op, ty: Ty, imm: u64) -> Flow {
    let v = source(l, 1, true);
    let r = l.b.op_imm(op, ty, &[v], imm);
    l.write(0, r);
    Flow::Next
}

/// palignr.
pub fn palignr(l: &mut Lifter) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let n = imm(l);
    let r = if is_mmx(l) {
        let joined = l.b.op(Op::VZipLo, Ty::I64, &[b, a]);
        l.b.op_imm(Op::VShrB, Ty::I8, &[joined], n)
    } else {
        l.b.op_imm(Op::VAlign, Ty::I8, &[a, b], n)
    };
    l.write(0, r);
    Flow::Next
}

/// Two-operand instructions with an immediate that the operation takes.
pub fn with_immediate(l: &mut Lifter, op: Op, ty: Ty) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let n = imm(l);
    let r = l.b.op_imm(op, ty, &[a, b], n);
    l.write(0, r);
    Flow::Next
}

/// The same for floating point: `packed` is [`super::sse_fp::PACKED`] or 0.
pub fn float(l: &mut Lifter, op: Op, ty: Ty, packed: u64) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let n = if l.count() == 3 { imm(l) } else { 0 };
    let r = l.b.op_imm(op, ty, &[a, b], n | packed);
    l.write(0, r);
    Flow::Next
}

/// pmovsx, pmovzx: lanes of `to` from lanes of `from` bits.
pub fn widen(l: &mut Lifter, op: Op, to: Ty, from: u32) -> Flow {
    let v = source(l, 1, false);
    let r = l.b.op_imm(op, to, &[v], u64::from(from));
    l.write(0, r);
    Flow::Next
}

/// pextrb, pextrw to memory, pextrd, pextrq, extractps: lane to a general register, zero-extended, or to memory.
pub fn extract(l: &mut Lifter, ty: Ty) -> Flow {
    let v = l.read(1);
    let lane = imm(l) & u64::from(128 / ty.bits() - 1);
    let x = l.b.op_imm(Op::VExt, ty, &[v], lane);
    match l.place(0) {
        Place::Gpr(n, wide) => {
            let x = l.b.zext(wide.max(Ty::I32), x);
            l.set_gpr(n, x);
        }
        p => l.store(p, x),
    }
    Flow::Next
}

/// pinsrb, pinsrd, pinsrq.
pub fn insert(l: &mut Lifter, ty: Ty) -> Flow {
    let x = l.read(1);
    let x = l.b.zext(ty, x);
    let a = dest(l);
    let lane = imm(l) & u64::from(128 / ty.bits() - 1);
    let v = l.b.op_imm(Op::VIns, ty, &[a, x], lane);
    l.write(0, v);
    Flow::Next
}

/// insertps: source lane (0 of memory), destination lane, lanes to clear.
pub fn insertps(l: &mut Lifter) -> Flow {
    let n = imm(l);
    let from = if l.is_mem(1) { 0 } else { n >> 6 & 3 };
    let b = source(l, 1, false);
    let x = l.b.op_imm(Op::VExt, Ty::I32, &[b], from);
    let a = dest(l);
    let mut v = l.b.op_imm(Op::VIns, Ty::I32, &[a, x], n >> 4 & 3);
    for lane in (0..4).filter(|k| n >> k & 1 != 0) {
        let zero = l.b.c(Ty::I32, 0);
        v = l.b.op_imm(Op::VIns, Ty::I32, &[v, zero], lane);
    }
    l.write(0, v);
    Flow::Next
}

/// blendps, blendpd, pblendw: lanes of the source where the immediate has ones.
pub fn blend(l: &mut Lifter, ty: Ty) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let lanes = u64::from(128 / ty.bits());
    let n = imm(l);
    let sel = (0..lanes).fold(0, |s, k| s | (k + (n >> k & 1) * lanes) << (4 * k));
    let r = l.b.op_imm(Op::VShuf, ty, &[a, b], sel);
    l.write(0, r);
    Flow::Next
}

/// blendvps, blendvpd, pblendvb: lanes of the source where XMM0's have their sign bit set.
pub fn blend_by_xmm0(l: &mut Lifter, ty: Ty) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let mask = l.b.get(Ty::V128, Slot::xmm(0));
    let r = l.b.op(Op::VSelS, ty, &[a, b, mask]);
    l.write(0, r);
    Flow::Next
}

/// ptest.
pub fn ptest(l: &mut Lifter) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let fl = l.b.op(Op::VTest, Ty::V128, &[a, b]);
    l.b.setfl(ALL, fl);
    Flow::Next
}

/// sha256rnds2 and the other steps of SHA. Some processors want an aligned memory operand, others do not; here it need not be.
pub fn sha(l: &mut Lifter, step: ShaFn) -> Flow {
    let b = source(l, 1, false);
    let a = dest(l);
    let c = if step == ShaFn::Sha256Rnds2 { l.b.get(Ty::V128, Slot::xmm(0)) } else { a };
    let n = if step == ShaFn::Sha1Rnds4 { imm(l) << 8 } else { 0 };
    let r = l.b.op_imm(Op::VSha, Ty::V128, &[a, b, c], step as u64 | n);
    l.write(0, r);
    Flow::Next
}

/// gf2p8mulb, gf2p8affineqb, gf2p8affineinvqb.
pub fn galois(l: &mut Lifter, what: GaloisFn) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let constant = if l.count() == 3 { imm(l) << 8 } else { 0 };
    let r = l.b.op_imm(Op::VGalois, Ty::V128, &[a, b], what as u64 | constant);
    l.write(0, r);
    Flow::Next
}

/// AES steps; keygenassist has a round constant.
pub fn aes(l: &mut Lifter, step: demotic_ir::ops::AesFn) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let constant = if l.count() == 3 { imm(l) << 8 } else { 0 };
    let r = l.b.op_imm(Op::VAes, Ty::V128, &[a, b], step as u64 | constant);
    l.write(0, r);
    Flow::Next
}

/// pcmpestri, pcmpestrm, pcmpistri, pcmpistrm. Their memory operands need no alignment.
pub fn compare_strings(l: &mut Lifter, implicit: bool, mask: bool) -> Flow {
    let b = source(l, 1, false);
    let a = dest(l);
    let n = imm(l) | u64::from(implicit) << 8;
    // REX.W makes the lengths 64-bit ones.
    let wide = matches!(
        l.insn.mnemonic(),
        Mnemonic::Pcmpestri64 | Mnemonic::Pcmpestrm64 | Mnemonic::Vpcmpestri64 | Mnemonic::Vpcmpestrm64
    );
    let mut length = |r: usize| {
        if implicit {
            return l.b.c(Ty::I64, 0);
        }
        let ty = if wide { Ty::I64 } else { Ty::I32 };
        let x = l.gpr(r, ty);
        l.b.sext(Ty::I64, x)
    };
    let (c, d) = (length(reg::RAX), length(reg::RDX));
    let args = [a, b, c, d];
    // The flags come directly behind: a host that has the instruction gives both at once.
    let r = l.b.op_imm(if mask { Op::VStrM } else { Op::VStrI }, Ty::V128, &args, n);
    let fl = l.b.op_imm(Op::VStrF, Ty::V128, &args, n);
    if mask {
        l.b.set(Slot::xmm(0), r);
    } else {
        l.set_gpr(reg::RCX, r);
    }
    l.b.setfl(ALL, fl);
    Flow::Next
}
