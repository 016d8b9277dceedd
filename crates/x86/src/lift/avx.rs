//! VEX-encoded vector instructions: what SSE does with three operands and up to 256 bits.
//!
//! A YMM register is two slots of 128 bits, and an instruction of 256 bits is the operation of 128 bits done twice; few move anything between the halves.
//! An instruction of 128 bits clears the upper half of its destination ([`write`]). Memory operands need no alignment. Floating-point operations on both
//! halves are one operation as far as exceptions go ([`Op::FLo`]).

use super::sse_fp::PACKED;
use super::{ALL, ATTR_STACK, Flow, Lifter, Place, sse_int};
use demotic_ir::block::Val;
use demotic_ir::build::Builder;
use demotic_ir::interp::ATTR_PAIR;
use demotic_ir::ops::{GaloisFn, Op, PackedCvt, WIDE};
use demotic_ir::slot::Slot;
use demotic_ir::ty::Ty;
use iced_x86::{OpKind, Register};

/// A vector operand: its low half and, of 256 bits, its high half.
#[derive(Clone, Copy, Debug)]
pub struct Wide {
    /// Bits 0 to 127.
    pub lo: Val,
    /// Bits 128 to 255.
    pub hi: Option<Val>,
}

/// Whether a register or memory operand of the instruction has 256 bits.
pub fn is_wide(l: &Lifter) -> bool {
    (0..l.count()).any(|i| l.insn.op_kind(i) == OpKind::Register && l.insn.op_register(i).is_ymm())
        || l.insn.memory_size().size() == 32
}

fn imm(l: &Lifter) -> u64 {
    u64::from(l.insn.immediate8())
}

/// A vector of zeros.
pub fn zero(l: &mut Lifter) -> Val {
    let z = l.b.c(Ty::I64, 0);
    l.b.op(Op::VZext, Ty::I64, &[z])
}

/// Reads operand `i`, of 256 bits when `wide`. Memory operands narrower than a vector are zero-extended.
pub fn read(l: &mut Lifter, i: u32, wide: bool) -> Wide {
    if l.insn.op_kind(i) == OpKind::Register {
        return read_register(l, l.insn.op_register(i), wide);
    }
    if wide {
        let attr = l.stack_attr();
        let addr = l.ea();
        let lo = l.b.ld(Ty::V128, addr, attr | ATTR_PAIR);
        let next = l.b.addi(addr, 16);
        let hi = l.b.ld(Ty::V128, next, attr);
        return Wide { lo, hi: Some(hi) };
    }
    Wide { lo: sse_int::source(l, i, false), hi: None }
}

fn read_register(l: &mut Lifter, r: Register, wide: bool) -> Wide {
    let n = r.number();
    let lo = l.b.get(Ty::V128, Slot::xmm(n));
    let hi = wide.then(|| l.b.get(Ty::V128, Slot::ymm(n)));
    Wide { lo, hi }
}

/// Writes the destination register; what has 128 bits clears the rest.
pub fn write(l: &mut Lifter, v: Wide) {
    let n = l.insn.op_register(0).number();
    write_register(l, n, v);
}

fn write_register(l: &mut Lifter, n: usize, v: Wide) {
    let hi = match v.hi {
        Some(hi) => hi,
        None => zero(l),
    };
    l.b.set(Slot::xmm(n), v.lo);
    l.b.set(Slot::ymm(n), hi);
}

/// DEST := f(SRC1, SRC2), for each half.
fn map2(l: &mut Lifter, f: impl Fn(&mut Lifter, Val, Val) -> Val) -> Flow {
    let wide = is_wide(l);
    let b = read(l, 2, wide);
    let a = read(l, 1, wide);
    let lo = f(l, a.lo, b.lo);
    let hi = a.hi.zip(b.hi).map(|(a, b)| f(l, a, b));
    write(l, Wide { lo, hi });
    Flow::Next
}

/// DEST := f(SRC), for each half.
fn map1(l: &mut Lifter, f: impl Fn(&mut Lifter, Val) -> Val) -> Flow {
    let wide = is_wide(l);
    let a = read(l, 1, wide);
    let lo = f(l, a.lo);
    let hi = a.hi.map(|a| f(l, a));
    write(l, Wide { lo, hi });
    Flow::Next
}

// ---- integers and bits ------------------------------------------------------------------------------------------------

/// DEST := SRC1 op SRC2.
pub fn binary(l: &mut Lifter, op: Op, ty: Ty) -> Flow {
    map2(l, |l, a, b| l.b.op(op, ty, &[a, b]))
}

/// The same with an immediate that the operation takes.
pub fn with_immediate(l: &mut Lifter, op: Op, ty: Ty) -> Flow {
    let n = imm(l);
    map2(l, |l, a, b| l.b.op_imm(op, ty, &[a, b], n))
}

/// DEST := op SRC.
pub fn unary(l: &mut Lifter, op: Op, ty: Ty) -> Flow {
    map1(l, |l, a| l.b.op(op, ty, &[a]))
}

/// vpsll vpsrl vpsra with one count for all lanes.
pub fn shift(l: &mut Lifter, op: Op, ty: Ty) -> Flow {
    let wide = is_wide(l);
    let n = if l.insn.op_kind(2) == OpKind::Immediate8 {
        let n = imm(l);
        l.b.c(Ty::I64, n)
    } else {
        let v = sse_int::source(l, 2, false);
        l.b.op_imm(Op::VExt, Ty::I64, &[v], 0)
    };
    let a = read(l, 1, wide);
    let lo = l.b.op(op, ty, &[a.lo, n]);
    let hi = a.hi.map(|a| l.b.op(op, ty, &[a, n]));
    write(l, Wide { lo, hi });
    Flow::Next
}

/// vpslldq, vpsrldq.
pub fn shift_bytes(l: &mut Lifter, op: Op) -> Flow {
    let n = imm(l);
    map1(l, |l, a| l.b.op_imm(op, Ty::I8, &[a], n))
}

/// vmpsadbw: three bits of the immediate for each half.
pub fn mpsadbw(l: &mut Lifter) -> Flow {
    let wide = is_wide(l);
    let n = imm(l);
    let b = read(l, 2, wide);
    let a = read(l, 1, wide);
    let lo = l.b.op_imm(Op::VMpSad, Ty::I8, &[a.lo, b.lo], n & 7);
    let hi = a.hi.zip(b.hi).map(|(a, b)| l.b.op_imm(Op::VMpSad, Ty::I8, &[a, b], n >> 3 & 7));
    write(l, Wide { lo, hi });
    Flow::Next
}

/// AES steps with two sources.
pub fn aes(l: &mut Lifter, step: demotic_ir::ops::AesFn) -> Flow {
    map2(l, |l, a, b| l.b.op_imm(Op::VAes, Ty::V128, &[a, b], step as u64))
}

/// vaesimc, vaeskeygenassist.
pub fn aes_key(l: &mut Lifter, step: demotic_ir::ops::AesFn) -> Flow {
    let n = if l.count() == 3 { imm(l) << 8 } else { 0 };
    map1(l, |l, a| l.b.op_imm(Op::VAes, Ty::V128, &[a, a], step as u64 | n))
}

/// vgf2p8mulb, vgf2p8affineqb, vgf2p8affineinvqb.
pub fn galois(l: &mut Lifter, what: GaloisFn) -> Flow {
    let n = if what == GaloisFn::Multiply { 0 } else { imm(l) << 8 };
    map2(l, |l, a, b| l.b.op_imm(Op::VGalois, Ty::V128, &[a, b], what as u64 | n))
}

/// vptest (`ty` I8), vtestps, vtestpd: ZF when nothing of a & b is set, CF when nothing of ~a & b is; of the latter two only the signs count.
pub fn test(l: &mut Lifter, ty: Ty) -> Flow {
    let wide = is_wide(l);
    let b = read(l, 1, wide);
    let a = read(l, 0, wide);
    let signs = |l: &mut Lifter, v: Val| {
        if ty == Ty::I8 {
            return v;
        }
        let n = l.b.c(Ty::I64, u64::from(ty.bits() - 1));
        l.b.op(Op::VShr, ty, &[v, n])
    };
    let one = |l: &mut Lifter, a: Val, b: Val| {
        let (a, b) = (signs(l, a), signs(l, b));
        l.b.op(Op::VTest, Ty::V128, &[a, b])
    };
    let mut fl = one(l, a.lo, b.lo);
    if let Some((a, b)) = a.hi.zip(b.hi) {
        let low = l.b.op(Op::FlBits, Ty::Fl, &[fl]);
        let high = one(l, a, b);
        let high = l.b.op(Op::FlBits, Ty::Fl, &[high]);
        let both = l.b.and(low, high);
        fl = l.b.op(Op::FlFrom, Ty::Fl, &[both]);
    }
    l.b.setfl(ALL, fl);
    Flow::Next
}

/// vpmovmskb vmovmskps vmovmskpd.
pub fn mask(l: &mut Lifter, ty: Ty) -> Flow {
    let wide = is_wide(l);
    let v = read(l, 1, wide);
    let mut m = l.b.op(Op::VMovMsk, ty, &[v.lo]);
    if let Some(hi) = v.hi {
        let hi = l.b.op(Op::VMovMsk, ty, &[hi]);
        let hi = l.b.shli(hi, 128 / ty.bits());
        m = l.b.or(m, hi);
    }
    let to = l.ty(0);
    let m = l.b.zext(to, m);
    l.write(0, m);
    Flow::Next
}

// ---- lanes ------------------------------------------------------------------------------------------------------------

/// Selectors of [`Op::VShuf`]: for each of the lanes of `ty` the one that `f` names.
fn selectors(ty: Ty, f: impl Fn(u64) -> u64) -> u64 {
    (0..u64::from(128 / ty.bits())).fold(0, |s, k| s | (f(k) & 15) << (4 * k))
}

/// A fixed shuffle of the source's halves.
fn shuffle(l: &mut Lifter, ty: Ty, sel: u64) -> Flow {
    map1(l, |l, a| l.b.op_imm(Op::VShuf, ty, &[a, a], sel))
}

/// vpshufd, vpermilps by an immediate.
pub fn pshufd(l: &mut Lifter) -> Flow {
    let n = imm(l);
    shuffle(l, Ty::I32, selectors(Ty::I32, |k| n >> (2 * k) & 3))
}

/// vpshuflw, vpshufhw.
pub fn pshuf_words(l: &mut Lifter, high: bool) -> Flow {
    let n = imm(l);
    let first = if high { 4 } else { 0 };
    let pick = |k: u64| if k & 4 == first { first + (n >> (2 * (k & 3)) & 3) } else { k };
    shuffle(l, Ty::I16, selectors(Ty::I16, pick))
}

/// vmovsldup (lane 0), vmovshdup (lane 1).
pub fn duplicate(l: &mut Lifter, odd: u64) -> Flow {
    shuffle(l, Ty::I32, selectors(Ty::I32, |k| k & 2 | odd))
}

/// vmovddup; its memory operand has 64 bits when the result has 128.
pub fn movddup(l: &mut Lifter) -> Flow {
    shuffle(l, Ty::I64, 0)
}

/// DEST := a shuffle of SRC1 and SRC2, another for each half.
fn shuffle2(l: &mut Lifter, ty: Ty, low: u64, high: u64) -> Flow {
    let wide = is_wide(l);
    let b = read(l, 2, wide);
    let a = read(l, 1, wide);
    let lo = l.b.op_imm(Op::VShuf, ty, &[a.lo, b.lo], low);
    let hi = a.hi.zip(b.hi).map(|(a, b)| l.b.op_imm(Op::VShuf, ty, &[a, b], high));
    write(l, Wide { lo, hi });
    Flow::Next
}

/// vshufps.
pub fn shufps(l: &mut Lifter) -> Flow {
    let n = imm(l);
    let sel = selectors(Ty::I32, |k| (n >> (2 * k) & 3) + if k > 1 { 4 } else { 0 });
    shuffle2(l, Ty::I32, sel, sel)
}

/// vshufpd: two bits of the immediate for each half.
pub fn shufpd(l: &mut Lifter) -> Flow {
    let n = imm(l);
    let sel = |n: u64| n & 1 | (2 + (n >> 1 & 1)) << 4;
    shuffle2(l, Ty::I64, sel(n), sel(n >> 2))
}

/// vblendps, vblendpd, vpblendd: bits of the immediate for the lanes of both halves; vpblendw: the same for each half.
pub fn blend(l: &mut Lifter, ty: Ty) -> Flow {
    let n = imm(l);
    let lanes = u64::from(128 / ty.bits());
    let sel = |n: u64| selectors(ty, |k| k + (n >> k & 1) * lanes);
    shuffle2(l, ty, sel(n), sel(if ty == Ty::I16 { n } else { n >> lanes }))
}

/// vblendvps, vblendvpd, vpblendvb: by the signs of a fourth operand.
pub fn blend_by(l: &mut Lifter, ty: Ty) -> Flow {
    let wide = is_wide(l);
    let b = read(l, 2, wide);
    let a = read(l, 1, wide);
    let m = read(l, 3, wide);
    let lo = l.b.op(Op::VSelS, ty, &[a.lo, b.lo, m.lo]);
    let hi = a.hi.zip(b.hi).zip(m.hi).map(|((a, b), m)| l.b.op(Op::VSelS, ty, &[a, b, m]));
    write(l, Wide { lo, hi });
    Flow::Next
}

/// vpermilps, vpermilpd: by an immediate or by the lanes of another vector.
pub fn permute_in_lanes(l: &mut Lifter, ty: Ty) -> Flow {
    if l.insn.op_kind(2) != OpKind::Immediate8 {
        return map2(l, |l, a, b| {
            // Of 64-bit lanes bit 1 chooses.
            let by = if ty == Ty::I64 {
                let one = l.b.c(Ty::I64, 1);
                l.b.op(Op::VShr, ty, &[b, one])
            } else {
                b
            };
            l.b.op(Op::VPerm, ty, &[a, a, by])
        });
    }
    if ty == Ty::I32 {
        return pshufd(l);
    }
    let wide = is_wide(l);
    let n = imm(l);
    let sel = |n: u64| n & 1 | (n >> 1 & 1) << 4;
    let a = read(l, 1, wide);
    let lo = l.b.op_imm(Op::VShuf, ty, &[a.lo, a.lo], sel(n));
    let hi = a.hi.map(|a| l.b.op_imm(Op::VShuf, ty, &[a, a], sel(n >> 2)));
    write(l, Wide { lo, hi });
    Flow::Next
}

/// vpermd, vpermps: lanes of SRC2 by the lanes of SRC1.
pub fn permute_words(l: &mut Lifter) -> Flow {
    let b = read(l, 2, true);
    let by = read(l, 1, true);
    let high = b.hi.unwrap_or(b.lo);
    let lo = l.b.op(Op::VPerm, Ty::I32, &[b.lo, high, by.lo]);
    let hi = by.hi.map(|by| l.b.op(Op::VPerm, Ty::I32, &[b.lo, high, by]));
    write(l, Wide { lo, hi });
    Flow::Next
}

/// vpermq, vpermpd: quadwords by an immediate.
pub fn permute_quads(l: &mut Lifter) -> Flow {
    let n = imm(l);
    let a = read(l, 1, true);
    let high = a.hi.unwrap_or(a.lo);
    let sel = |n: u64| n & 3 | (n >> 2 & 3) << 4;
    let lo = l.b.op_imm(Op::VShuf, Ty::I64, &[a.lo, high], sel(n));
    let hi = Some(l.b.op_imm(Op::VShuf, Ty::I64, &[a.lo, high], sel(n >> 4)));
    write(l, Wide { lo, hi });
    Flow::Next
}

/// vperm2f128, vperm2i128: halves of two vectors by an immediate.
pub fn permute_halves(l: &mut Lifter) -> Flow {
    let n = imm(l);
    let b = read(l, 2, true);
    let a = read(l, 1, true);
    let of = [a.lo, a.hi.unwrap_or(a.lo), b.lo, b.hi.unwrap_or(b.lo)];
    let pick = |l: &mut Lifter, n: u64| if n & 8 != 0 { zero(l) } else { of[(n & 3) as usize] };
    let lo = pick(l, n);
    let hi = Some(pick(l, n >> 4));
    write(l, Wide { lo, hi });
    Flow::Next
}

/// vinsertf128, vinserti128.
pub fn insert_half(l: &mut Lifter) -> Flow {
    let n = imm(l);
    let b = sse_int::source(l, 2, false);
    let a = read(l, 1, true);
    let v = if n & 1 == 0 { Wide { lo: b, hi: a.hi } } else { Wide { lo: a.lo, hi: Some(b) } };
    write(l, v);
    Flow::Next
}

/// vextractf128, vextracti128.
pub fn extract_half(l: &mut Lifter) -> Flow {
    let n = imm(l);
    let a = read(l, 1, true);
    let v = if n & 1 == 0 { a.lo } else { a.hi.unwrap_or(a.lo) };
    match l.place(0) {
        p @ Place::Mem(..) => l.store(p, v),
        _ => write(l, Wide { lo: v, hi: None }),
    }
    Flow::Next
}

/// vbroadcastss, vbroadcastsd, vpbroadcastb and so on: the low lane of the source everywhere.
pub fn broadcast(l: &mut Lifter, ty: Ty) -> Flow {
    let wide = is_wide(l);
    let v = sse_int::source(l, 1, false);
    let lo = if ty == Ty::I8 {
        // The selectors of 16 lanes, all 0.
        let z = zero(l);
        l.b.op(Op::VTbl, Ty::V128, &[v, z])
    } else {
        l.b.op_imm(Op::VShuf, ty, &[v, v], 0)
    };
    write(l, Wide { lo, hi: wide.then_some(lo) });
    Flow::Next
}

/// vbroadcastf128, vbroadcasti128.
pub fn broadcast_half(l: &mut Lifter) -> Flow {
    let lo = sse_int::source(l, 1, false);
    write(l, Wide { lo, hi: Some(lo) });
    Flow::Next
}

/// vpmovsx, vpmovzx: lanes of `to` from lanes of `from` bits.
pub fn widen(l: &mut Lifter, op: Op, to: Ty, from: u32) -> Flow {
    let wide = is_wide(l);
    let v = sse_int::source(l, 1, false);
    let lo = l.b.op_imm(op, to, &[v], u64::from(from));
    let hi = wide.then(|| {
        let upper = l.b.op_imm(Op::VShrB, Ty::I8, &[v], u64::from(16 * from / to.bits()));
        l.b.op_imm(op, to, &[upper], u64::from(from))
    });
    write(l, Wide { lo, hi });
    Flow::Next
}

/// vpinsrb vpinsrw vpinsrd vpinsrq.
pub fn insert(l: &mut Lifter, ty: Ty) -> Flow {
    let x = l.read(2);
    let x = l.b.zext(ty, x);
    let a = read(l, 1, false).lo;
    let lane = imm(l) & u64::from(128 / ty.bits() - 1);
    let lo = l.b.op_imm(Op::VIns, ty, &[a, x], lane);
    write(l, Wide { lo, hi: None });
    Flow::Next
}

/// vinsertps: source lane (0 of memory), destination lane, lanes to clear.
pub fn insertps(l: &mut Lifter) -> Flow {
    let n = imm(l);
    let from = if l.is_mem(2) { 0 } else { n >> 6 & 3 };
    let b = sse_int::source(l, 2, false);
    let x = l.b.op_imm(Op::VExt, Ty::I32, &[b], from);
    let a = read(l, 1, false).lo;
    let mut lo = l.b.op_imm(Op::VIns, Ty::I32, &[a, x], n >> 4 & 3);
    for lane in (0..4).filter(|k| n >> k & 1 != 0) {
        let none = l.b.c(Ty::I32, 0);
        lo = l.b.op_imm(Op::VIns, Ty::I32, &[lo, none], lane);
    }
    write(l, Wide { lo, hi: None });
    Flow::Next
}

// ---- moves ------------------------------------------------------------------------------------------------------------

/// Raises #GP unless the address is a multiple of the operand's size.
fn check_aligned(l: &mut Lifter, addr: Val, wide: bool) {
    let low = l.b.andi(addr, if wide { 31 } else { 15 });
    l.b.op(Op::CheckGp, Ty::I64, &[low]);
}

/// vmovaps vmovups vmovdqa vmovdqu vlddqu vmovntdqa, and the non-temporal stores.
pub fn move_all(l: &mut Lifter, align: bool) -> Flow {
    let wide = is_wide(l);
    let store = l.is_mem(0);
    if align && (store || l.is_mem(1)) {
        let addr = l.ea();
        check_aligned(l, addr, wide);
    }
    if store {
        let v = read(l, 1, wide);
        let attr = l.stack_attr();
        let addr = l.ea();
        match v.hi {
            Some(hi) => {
                l.b.op_imm(Op::StPair, Ty::None, &[addr, v.lo, hi], attr);
            }
            None => l.b.st(addr, v.lo, attr),
        }
        return Flow::Next;
    }
    let v = read(l, 1, wide);
    if l.insn.op_kind(0) == OpKind::Register {
        write(l, v);
    }
    Flow::Next
}

/// Clears the upper half of the destination register of an instruction that SSE has, too, with the same operands.
pub fn clearing(l: &mut Lifter, f: impl Fn(&mut Lifter) -> Flow) -> Flow {
    let flow = f(l);
    let r = l.insn.op_register(0);
    if l.insn.op_kind(0) == OpKind::Register && r.is_vector_register() {
        let z = zero(l);
        l.b.set(Slot::ymm(r.number()), z);
    }
    flow
}

/// vmovss, vmovsd: between registers the upper part comes from the second operand.
pub fn move_scalar(l: &mut Lifter, ty: Ty) -> Flow {
    if l.count() == 2 {
        return clearing(l, |l| sse_int::move_scalar(l, ty));
    }
    let b = read(l, 2, false).lo;
    let a = read(l, 1, false).lo;
    let x = l.b.op_imm(Op::VExt, ty, &[b], 0);
    let lo = l.b.op_imm(Op::VIns, ty, &[a, x], 0);
    write(l, Wide { lo, hi: None });
    Flow::Next
}

/// vmovlps vmovhps vmovlpd vmovhpd: one half from memory, the other from the second operand; or one half to memory.
pub fn move_half(l: &mut Lifter, half: u64) -> Flow {
    if l.count() == 2 {
        return sse_int::move_half(l, half);
    }
    let x = l.read(2);
    let a = read(l, 1, false).lo;
    let lo = l.b.op_imm(Op::VIns, Ty::I64, &[a, x], half);
    write(l, Wide { lo, hi: None });
    Flow::Next
}

/// vmovhlps (`to` 0, `from` 1), vmovlhps (`to` 1, `from` 0).
pub fn move_cross(l: &mut Lifter, to: u64, from: u64) -> Flow {
    let b = read(l, 2, false).lo;
    let a = read(l, 1, false).lo;
    let x = l.b.op_imm(Op::VExt, Ty::I64, &[b], from);
    let lo = l.b.op_imm(Op::VIns, Ty::I64, &[a, x], to);
    write(l, Wide { lo, hi: None });
    Flow::Next
}

/// vzeroupper, vzeroall: the registers that the mode has.
pub fn clear_registers(l: &mut Lifter, all: bool) -> Flow {
    let z = zero(l);
    for n in 0..if l.long() { 16 } else { 8 } {
        if all {
            l.b.set(Slot::xmm(n), z);
        }
        l.b.set(Slot::ymm(n), z);
    }
    Flow::Next
}

/// vmaskmovps vmaskmovpd vpmaskmovd vpmaskmovq: the lanes whose mask has its sign set; the others do not fault.
pub fn masked(l: &mut Lifter, ty: Ty) -> Flow {
    let wide = is_wide(l);
    let attr = l.stack_attr();
    let store = l.is_mem(0);
    let m = read(l, 1, wide);
    let addr = masked_address(l, ty, m);
    let upper = l.b.addi(addr, 16);
    if !store {
        let lo = l.b.op_imm(Op::LdMask, ty, &[addr, m.lo], attr);
        let hi = m.hi.map(|m| l.b.op_imm(Op::LdMask, ty, &[upper, m], attr));
        write(l, Wide { lo, hi });
        return Flow::Next;
    }
    let v = read(l, 2, wide);
    l.b.op_imm(Op::ProbeMask, ty, &[addr, m.lo], attr);
    if let Some((v, m)) = v.hi.zip(m.hi) {
        l.b.op_imm(Op::ProbeMask, ty, &[upper, m], attr);
        l.b.op_imm(Op::StMask, ty, &[upper, v, m], attr);
    }
    l.b.op_imm(Op::StMask, ty, &[addr, v.lo, m.lo], attr);
    Flow::Next
}

/// The address of an operand of which only the lanes are accessed that `m` chooses.
fn masked_address(l: &mut Lifter, ty: Ty, m: Wide) -> Val {
    let (segment, offset) = (l.insn.memory_segment(), l.ea_offset());
    let each = 128 / ty.bits();
    for (half, m) in std::iter::once(m.lo).chain(m.hi).enumerate() {
        for lane in 0..each {
            let at = i64::from(half as u32 * each + lane) * i64::from(ty.bytes());
            l.check_if(segment, offset, at + i64::from(ty.bytes()), |b| not_chosen(b, ty, m, lane));
        }
    }
    l.linear(segment, offset, 0)
}

/// Negative (i64) when a lane's mask has its sign clear.
fn not_chosen(b: &mut Builder, ty: Ty, m: Val, lane: u32) -> Val {
    let chosen = b.op_imm(Op::VExt, ty, &[m], u64::from(lane));
    let chosen = b.sext(Ty::I64, chosen);
    let all = b.c(Ty::I64, u64::MAX);
    b.op(Op::Xor, Ty::I64, &[chosen, all])
}

/// Gathers: `ty` is the element, `index` the width of its index. Element by element, each of which may fault with those before it done: as many
/// instruction beginnings at the same address.
pub fn gather(l: &mut Lifter, ty: Ty, index: Ty) -> Flow {
    let [dest, mask] = [0, 2].map(|i| l.insn.op_register(i).number());
    let by = l.insn.memory_index();
    let wide = is_wide(l) || by.is_ymm();
    let indices = read_register(l, by, wide);
    let lanes = (if by.is_ymm() { 256 } else { 128 } / index.bits())
        .min(if l.insn.op_register(0).is_ymm() { 256 } else { 128 } / ty.bits());
    let (base, scale) = (l.insn.memory_base(), l.insn.memory_index_scale().trailing_zeros());
    let width = match if base == Register::None { l.insn.memory_displ_size() as usize } else { base.size() } {
        4 => Ty::I32,
        8 => Ty::I64,
        _ => l.word(),
    };
    let attr = l.stack_attr() & ATTR_STACK;
    let displacement = l.insn.memory_displacement64();
    let len = l.insn.len() as u8;
    let base = if base == Register::None { None } else { Some(l.b.get(width, Slot::gpr(base.number()))) };
    let half = |n: usize, lane: u32, ty: Ty| {
        let each = 128 / ty.bits();
        (if lane < each { Slot::xmm(n) } else { Slot::ymm(n) }, u64::from(lane % each))
    };
    for k in 0..lanes {
        if k > 0 {
            l.b.mark(l.pc, len);
        }
        let each = 128 / index.bits();
        let vector = if k < each { indices.lo } else { indices.hi.unwrap_or(indices.lo) };
        let x = l.b.op_imm(Op::VExt, index, &[vector], u64::from(k % each));
        let x = if width == Ty::I64 { l.b.sext(width, x) } else { l.b.zext(width, x) };
        let x = if scale > 0 { l.b.shli(x, scale) } else { x };
        let x = match base {
            Some(base) => l.b.add(base, x),
            None => x,
        };
        let x = l.b.addi(x, (displacement & width.mask()) as i64);
        let offset = l.b.zext(Ty::I64, x);
        let (mask_slot, lane) = half(mask, k, ty);
        let m = l.b.get(Ty::V128, mask_slot);
        // An element that is not chosen is not accessed, wherever it would be.
        let segment = l.insn.memory_segment();
        l.check_if(segment, offset, i64::from(ty.bytes()), |b| not_chosen(b, ty, m, lane as u32));
        let addr = l.linear(segment, offset, 0);
        let none = l.b.c(ty, 0);
        let (slot, _) = half(dest, k, ty);
        let old = l.b.get(Ty::V128, slot);
        let new = l.b.op_imm(Op::LdLane, ty, &[addr, m, old], attr | lane << 8);
        let done = l.b.op_imm(Op::VIns, ty, &[m, none], lane);
        l.b.set(slot, new);
        l.b.set(mask_slot, done);
    }
    // What the elements do not reach is cleared.
    let z = zero(l);
    let reached = lanes * ty.bits();
    if reached < 128 {
        let v = l.b.get(Ty::V128, Slot::xmm(dest));
        let v = l.b.op(Op::VLow, Ty::V128, &[v]);
        l.b.set(Slot::xmm(dest), v);
    }
    l.b.set(Slot::xmm(mask), z);
    if reached <= 128 {
        l.b.set(Slot::ymm(dest), z);
    }
    l.b.set(Slot::ymm(mask), z);
    Flow::Next
}

// ---- floating point -----------------------------------------------------------------------------------------------------

/// An operation on both halves, or on the low one alone.
fn float(l: &mut Lifter, op: Op, ty: Ty, a: Wide, b: Wide, imm: u64) -> Wide {
    let Some((a1, b1)) = a.hi.zip(b.hi) else {
        return Wide { lo: l.b.op_imm(op, ty, &[a.lo, b.lo], imm), hi: None };
    };
    // Every predicate of vcmpps may be given to the longer one.
    let op = if op == Op::FCmp { Op::FCmpX } else { op };
    let number = WIDE.iter().position(|&w| w == op).unwrap_or(0) as u64;
    let args = [a.lo, b.lo, a1, b1];
    let lo = l.b.op_imm(Op::FLo, ty, &args, imm | number << 16);
    let hi = Some(l.b.op_imm(Op::FHi, ty, &args, imm | number << 16));
    Wide { lo, hi }
}

/// DEST := SRC1 op SRC2, all lanes.
pub fn packed(l: &mut Lifter, op: Op, ty: Ty) -> Flow {
    let wide = is_wide(l);
    let n = if l.count() == 4 { imm(l) } else { 0 };
    let b = read(l, 2, wide);
    let a = read(l, 1, wide);
    let r = float(l, op, ty, a, b, n | PACKED);
    write(l, r);
    Flow::Next
}

/// DEST := op SRC, all lanes: square root and rounding.
pub fn packed_unary(l: &mut Lifter, op: Op, ty: Ty) -> Flow {
    let wide = is_wide(l);
    let n = if l.count() == 3 { imm(l) } else { 0 };
    let a = read(l, 1, wide);
    let r = float(l, op, ty, a, a, n | PACKED);
    write(l, r);
    Flow::Next
}

/// vrcpps, vrsqrtps.
pub fn estimate(l: &mut Lifter, op: Op) -> Flow {
    map1(l, |l, a| l.b.op_imm(op, Ty::F32, &[a, a], PACKED))
}

/// DEST := lane 0 of SRC1 op SRC2, the other lanes of SRC1.
pub fn scalar(l: &mut Lifter, op: Op, ty: Ty) -> Flow {
    let n = if l.count() == 4 { imm(l) } else { 0 };
    let b = read(l, 2, false).lo;
    let a = read(l, 1, false).lo;
    let lo = if op == Op::FCvt { l.b.op(op, ty, &[a, b]) } else { l.b.op_imm(op, ty, &[a, b], n) };
    write(l, Wide { lo, hi: None });
    Flow::Next
}

/// vcmpps vcmppd vcmpss vcmpsd: 32 predicates.
pub fn compare(l: &mut Lifter, ty: Ty, packed: bool) -> Flow {
    let n = imm(l) & 31;
    let op = if n < 8 { Op::FCmp } else { Op::FCmpX };
    let wide = packed && is_wide(l);
    let b = read(l, 2, wide);
    let a = read(l, 1, wide);
    let r = float(l, op, ty, a, b, n | if packed { PACKED } else { 0 });
    write(l, r);
    Flow::Next
}

/// vcvtsi2ss, vcvtsi2sd.
pub fn from_int(l: &mut Lifter, ty: Ty) -> Flow {
    let x = l.read(2);
    let bits = u64::from(l.b.ty(x).bits());
    let a = read(l, 1, false).lo;
    let lo = l.b.op_imm(Op::FFromInt, ty, &[a, x], bits);
    write(l, Wide { lo, hi: None });
    Flow::Next
}

/// Packed conversions between lanes of equal width.
pub fn convert(l: &mut Lifter, kind: PackedCvt) -> Flow {
    let wide = is_wide(l);
    let a = read(l, 1, wide);
    let r = convert_halves(l, kind as u64, a);
    write(l, r);
    Flow::Next
}

fn convert_halves(l: &mut Lifter, kind: u64, a: Wide) -> Wide {
    match a.hi {
        Some(_) => float(l, Op::FCvtP, Ty::V128, a, a, kind),
        None => Wide { lo: l.b.op_imm(Op::FCvtP, Ty::V128, &[a.lo], kind), hi: None },
    }
}

/// Packed conversions to lanes of twice the width: the high half comes from the upper part of the source.
pub fn convert_up(l: &mut Lifter, kind: PackedCvt) -> Flow {
    let wide = l.insn.op_register(0).is_ymm();
    let v = sse_int::source(l, 1, false);
    let hi = wide.then(|| l.b.op_imm(Op::VShrB, Ty::I8, &[v], 8));
    let r = convert_halves(l, kind as u64, Wide { lo: v, hi });
    write(l, r);
    Flow::Next
}

/// Packed conversions to lanes of half the width: both halves of the source side by side.
pub fn convert_down(l: &mut Lifter, kind: PackedCvt) -> Flow {
    let wide = is_wide(l);
    let a = read(l, 1, wide);
    let r = convert_halves(l, kind as u64, a);
    let lo = join_low(l, r);
    write(l, Wide { lo, hi: None });
    Flow::Next
}

fn join_low(l: &mut Lifter, r: Wide) -> Val {
    match r.hi {
        Some(hi) => l.b.op(Op::VZipLo, Ty::I64, &[r.lo, hi]),
        None => r.lo,
    }
}

/// vcvtps2ph: to a register, or 64 or 128 bits to memory. There the exceptions of both come in one instruction: an unmasked one of the conversion holds
/// the store back, and is raised behind it.
pub fn to_half_precision(l: &mut Lifter) -> Flow {
    let wide = l.insn.op_register(1).is_ymm();
    let a = read(l, 1, wide);
    let kind = PackedCvt::PsToPh as u64 | (imm(l) & 7) << 8;
    if !l.is_mem(0) {
        let r = convert_halves(l, kind, a);
        let lo = join_low(l, r);
        write(l, Wide { lo, hi: None });
        return Flow::Next;
    }
    let hi = a.hi.unwrap_or(a.lo);
    let args = [a.lo, a.lo, hi, hi];
    let number = kind | (WIDE.len() as u64 - 1) << 16;
    let low = l.b.op_imm(Op::FHi, Ty::V128, &[hi, hi, a.lo, a.lo], number);
    let high = l.b.op_imm(Op::FHi, Ty::V128, &args, number);
    let v = l.b.op(Op::VZipLo, Ty::I64, &[low, high]);
    let raised = l.b.op_imm(Op::FFlags, Ty::V128, &args, number);
    let mxcsr = l.b.get(Ty::I32, Slot::MXCSR);
    let masks = l.b.shri(mxcsr, 7);
    let open = l.b.not(masks);
    let held = l.b.and(raised, open);
    let held = l.b.andi(held, 0x3f);
    let none = l.b.is_zero(held);
    let held = l.b.not(none);
    let addr = l.ea();
    if wide {
        l.store_unless(Ty::V128, &[addr, v, held]);
    } else {
        let x = l.b.op_imm(Op::VExt, Ty::I64, &[v], 0);
        l.store_unless(Ty::I64, &[addr, x, held]);
    }
    l.b.op_imm(Op::FLo, Ty::V128, &args, number);
    Flow::Next
}

/// Signs of a fused multiplication and addition, as [`Op::FFma`] takes them.
pub mod sign {
    /// a * b + c.
    pub const MADD: u64 = 0;
    /// -(a * b) + c.
    pub const NMADD: u64 = 1;
    /// a * b - c.
    pub const MSUB: u64 = 2;
    /// -(a * b) - c.
    pub const NMSUB: u64 = 3;
    /// Subtraction in even lanes, addition in odd ones.
    pub const ADDSUB: u64 = 4;
    /// The other way round.
    pub const SUBADD: u64 = 8;
}

/// FMA3. `order` tells which operands are multiplied, 132, 213 or 231: the first two digits, and the third is added.
pub fn fma(l: &mut Lifter, order: u32, signs: u64, ty: Ty, packed: bool) -> Flow {
    let wide = packed && is_wide(l);
    let third = read(l, 2, wide);
    let second = read(l, 1, wide);
    let first = read(l, 0, wide);
    let [a, b, c] = match order {
        132 => [first, third, second],
        213 => [second, first, third],
        _ => [second, third, first],
    };
    let n = signs | if packed { PACKED } else { 0 };
    let (mut lo, mut hi) = (a.lo, None);
    if let Some(((a1, b1), c1)) = a.hi.zip(b.hi).zip(c.hi) {
        let raised = l.b.op_imm(Op::FFmaFl, ty, &[a1, b1, c1], n);
        lo = l.b.op_imm(Op::FFma, ty, &[lo, b.lo, c.lo, raised], n);
        hi = Some(l.b.op_imm(Op::FFmaHi, ty, &[a1, b1, c1], n));
    } else {
        let none = l.b.c(Ty::I32, 0);
        lo = l.b.op_imm(Op::FFma, ty, &[lo, b.lo, c.lo, none], n);
    }
    if !packed {
        // The other lanes are the destination's.
        let word = if ty == Ty::F64 { Ty::I64 } else { Ty::I32 };
        let x = l.b.op_imm(Op::VExt, word, &[lo], 0);
        lo = l.b.op_imm(Op::VIns, word, &[first.lo, x], 0);
    }
    write(l, Wide { lo, hi });
    Flow::Next
}

/// vpcmpestrm, vpcmpistrm write XMM0, whose upper half is cleared.
pub fn clearing_xmm0(l: &mut Lifter, f: impl Fn(&mut Lifter) -> Flow) -> Flow {
    let flow = f(l);
    let z = zero(l);
    l.b.set(Slot::ymm(0), z);
    flow
}
