//! SSE2 and MMX integer instructions, moves and shuffles.
//!
//! MMX registers are vectors whose upper half is zero. The first MMX access of an instruction resets the x87 stack
//! (`x.fn`), so memory operands are read before it; a pending #MF is raised before any access.

use super::{Flow, Lifter, Place};
use demotic_ir::block::Val;
use demotic_ir::interp::ATTR_ALIGN16;
use demotic_ir::ops::{Op, X87Fn};
use demotic_ir::state::reg;
use demotic_ir::ty::Ty;

/// Whether the instruction works on MMX registers.
pub fn is_mmx(l: &Lifter) -> bool {
    (0..l.count()).any(|i| l.insn.op_register(i).is_mm())
}

/// Raises a pending #MF before an MMX instruction does anything.
pub fn check_mmx(l: &mut Lifter) {
    if is_mmx(l) {
        l.b.op(Op::XChk, Ty::None, &[]);
    }
}

/// Resets the x87 stack, as every MMX instruction does; to come behind everything that can fault.
pub fn reset_mmx(l: &mut Lifter) {
    if is_mmx(l) {
        l.b.op_imm(Op::XFn, Ty::None, &[], X87Fn::EnterMmx as u64);
    }
}

fn enter_mmx(l: &mut Lifter) {
    check_mmx(l);
    reset_mmx(l);
}

/// Reads a vector source operand; `align` for legacy SSE memory operands of 16 bytes. Enters MMX state behind the load, looks for a pending #MF before.
pub fn source(l: &mut Lifter, i: u32, align: bool) -> Val {
    let p = l.place(i);
    check_mmx(l);
    let v = load_vector(l, p, align);
    reset_mmx(l);
    v
}

/// The same (aligned) without entering MMX state.
pub fn source_plain(l: &mut Lifter, i: u32) -> Val {
    let p = l.place(i);
    load_vector(l, p, true)
}

fn load_vector(l: &mut Lifter, p: Place, align: bool) -> Val {
    match p {
        Place::Mem(addr, Ty::V128, attr) => l.b.ld(Ty::V128, addr, if align { attr | ATTR_ALIGN16 } else { attr }),
        Place::Mem(addr, ty, attr) => {
            let v = l.b.ld(ty, addr, attr);
            l.b.op(Op::VZext, ty, &[v])
        }
        p => l.load(p),
    }
}

/// Reads the destination register of a two-operand instruction.
fn dest(l: &mut Lifter) -> Val {
    let p = l.place(0);
    l.load(p)
}

/// DEST := DEST op SRC.
pub fn binary(l: &mut Lifter, op: Op, ty: Ty) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let r = l.b.op(op, ty, &[a, b]);
    l.write(0, r);
    Flow::Next
}

/// Packs: with MMX registers both operands are halves of one vector.
pub fn pack(l: &mut Lifter, op: Op, ty: Ty) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let r = if is_mmx(l) {
        let joined = l.b.op(Op::VZipLo, Ty::I64, &[a, b]);
        l.b.op(op, ty, &[joined, joined])
    } else {
        l.b.op(op, ty, &[a, b])
    };
    l.write(0, r);
    Flow::Next
}

/// punpckh: with MMX registers the high half is the upper part of the low interleave.
pub fn unpack_high(l: &mut Lifter, ty: Ty) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let r = if is_mmx(l) {
        let z = l.b.op(Op::VZipLo, ty, &[a, b]);
        l.b.op_imm(Op::VShrB, Ty::I8, &[z], 8)
    } else {
        l.b.op(Op::VZipHi, ty, &[a, b])
    };
    l.write(0, r);
    Flow::Next
}

/// punpckl. With MMX registers the memory operand has only 32 bits.
pub fn unpack_low(l: &mut Lifter, ty: Ty) -> Flow {
    binary(l, Op::VZipLo, ty)
}

/// psll psrl psra: by vector, memory or immediate.
pub fn shift(l: &mut Lifter, op: Op, ty: Ty) -> Flow {
    let n = match l.place(1) {
        Place::Imm(n, _) => {
            enter_mmx(l);
            l.b.c(Ty::I64, n)
        }
        _ => {
            let v = source(l, 1, true);
            l.b.op_imm(Op::VExt, Ty::I64, &[v], 0)
        }
    };
    let a = dest(l);
    let r = l.b.op(op, ty, &[a, n]);
    l.write(0, r);
    Flow::Next
}

/// pslldq, psrldq.
pub fn shift_bytes(l: &mut Lifter, op: Op) -> Flow {
    let n = u64::from(l.insn.immediate8());
    let a = dest(l);
    let r = l.b.op_imm(op, Ty::I8, &[a], n);
    l.write(0, r);
    Flow::Next
}

/// A move of the whole operand between registers and memory: movaps movups movdqa movdqu and so on.
pub fn move_all(l: &mut Lifter, align: bool) -> Flow {
    let dst = l.place(0);
    if is_mmx(l) {
        if let Place::Mem(addr, ..) = dst {
            return store_mm(l, addr);
        }
        let v = source(l, 1, align);
        l.store(dst, v);
        return Flow::Next;
    }
    let src = l.place(1);
    copy(l, dst, src, align)
}

/// The same of vector registers, by the operands.
pub fn copy(l: &mut Lifter, dst: Place, src: Place, align: bool) -> Flow {
    let v = load_vector(l, src, align);
    match dst {
        Place::Mem(addr, ty, attr) => {
            l.b.st(addr, v, if align && ty == Ty::V128 { attr | ATTR_ALIGN16 } else { attr });
        }
        dst => l.store(dst, v),
    }
    Flow::Next
}

/// Stores an MMX register: checks for a pending #MF first, stores, then enters MMX state.
fn store_mm(l: &mut Lifter, addr: Val) -> Flow {
    l.b.op(Op::XChk, Ty::None, &[]);
    let v = l.read(1);
    let x = l.b.op_imm(Op::VExt, Ty::I64, &[v], 0);
    let attr = l.stack_attr();
    l.b.st(addr, x, attr);
    reset_mmx(l);
    Flow::Next
}

/// movd, movq between vector or MMX registers, general registers and memory.
pub fn movd(l: &mut Lifter) -> Flow {
    let ty = match (l.place(0), l.place(1)) {
        (Place::Gpr(_, ty), _) | (_, Place::Gpr(_, ty)) | (Place::Mem(_, ty, _), _) | (_, Place::Mem(_, ty, _)) => ty,
        _ => Ty::I64,
    };
    match l.place(0) {
        Place::Mem(addr, _, attr) => {
            if is_mmx(l) {
                l.b.op(Op::XChk, Ty::None, &[]);
            }
            let v = l.read(1);
            let x = l.b.op_imm(Op::VExt, ty, &[v], 0);
            l.b.st(addr, x, attr);
            reset_mmx(l);
        }
        Place::Gpr(n, _) => {
            enter_mmx(l);
            let v = l.read(1);
            let x = l.b.op_imm(Op::VExt, ty, &[v], 0);
            l.set_gpr(n, x);
        }
        dst => {
            let src = l.place(1);
            let v = match src {
                Place::Gpr(..) | Place::Mem(..) => {
                    check_mmx(l);
                    let x = l.load(src);
                    reset_mmx(l);
                    l.b.op(Op::VZext, ty, &[x])
                }
                _ => {
                    enter_mmx(l);
                    let v = l.load(src);
                    l.b.op(Op::VLow, Ty::V128, &[v])
                }
            };
            l.store(dst, v);
        }
    }
    Flow::Next
}

/// movq2dq, movdq2q.
pub fn between(l: &mut Lifter) -> Flow {
    enter_mmx(l);
    let v = l.read(1);
    let v = l.b.op(Op::VLow, Ty::V128, &[v]);
    l.write(0, v);
    Flow::Next
}

/// movss, movsd: from memory zero-extends, between registers keeps the upper part.
pub fn move_scalar(l: &mut Lifter, ty: Ty) -> Flow {
    match (l.place(0), l.place(1)) {
        (Place::Mem(addr, _, attr), src) => {
            let v = l.load(src);
            let x = l.b.op_imm(Op::VExt, ty, &[v], 0);
            l.b.st(addr, x, attr);
        }
        (dst, Place::Mem(addr, _, attr)) => {
            let x = l.b.ld(ty, addr, attr);
            let v = l.b.op(Op::VZext, ty, &[x]);
            l.store(dst, v);
        }
        (dst, src) => {
            let a = l.load(dst);
            let b = l.load(src);
            let x = l.b.op_imm(Op::VExt, ty, &[b], 0);
            let v = l.b.op_imm(Op::VIns, ty, &[a, x], 0);
            l.store(dst, v);
        }
    }
    Flow::Next
}

/// movlps movhps movlpd movhpd: one half to or from memory.
pub fn move_half(l: &mut Lifter, half: u64) -> Flow {
    match (l.place(0), l.place(1)) {
        (Place::Mem(addr, _, attr), src) => {
            let v = l.load(src);
            let x = l.b.op_imm(Op::VExt, Ty::I64, &[v], half);
            l.b.st(addr, x, attr);
        }
        (dst, Place::Mem(addr, _, attr)) => {
            let x = l.b.ld(Ty::I64, addr, attr);
            let a = l.load(dst);
            let v = l.b.op_imm(Op::VIns, Ty::I64, &[a, x], half);
            l.store(dst, v);
        }
        _ => return Flow::Undefined,
    }
    Flow::Next
}

/// movhlps (`to` 0, `from` 1), movlhps (`to` 1, `from` 0).
pub fn move_cross(l: &mut Lifter, to: u64, from: u64) -> Flow {
    let b = l.read(1);
    let a = dest(l);
    let x = l.b.op_imm(Op::VExt, Ty::I64, &[b], from);
    let v = l.b.op_imm(Op::VIns, Ty::I64, &[a, x], to);
    l.write(0, v);
    Flow::Next
}

/// Non-temporal stores of vectors and MMX registers.
pub fn move_nt(l: &mut Lifter) -> Flow {
    move_all(l, true)
}

/// maskmovdqu, maskmovq: stores the bytes whose mask bit is set.
pub fn masked(l: &mut Lifter) -> Flow {
    if is_mmx(l) {
        l.b.op(Op::XChk, Ty::None, &[]);
    }
    let v = l.read(0);
    let m = l.read(1);
    let at = if l.long() && l.insn.op_kind(0) != iced_x86::OpKind::MemorySegEDI { Ty::I64 } else { Ty::I32 };
    let (v, m) = (if l.count() == 3 { l.read(1) } else { v }, if l.count() == 3 { l.read(2) } else { m });
    let di = l.gpr(reg::RDI, at);
    let offset = l.b.zext(Ty::I64, di);
    let n = if is_mmx(l) { 8 } else { 16 };
    let base = l.linear(l.insn.memory_segment(), offset, n as u32);
    for k in 0..n {
        // Bytes that are not selected are read and written back only within the selection: each is a store of its own.
        let bit = l.b.op_imm(Op::VExt, Ty::I8, &[m], k);
        let sel = l.b.shri(bit, 7);
        let none = l.b.is_zero(sel);
        let x = l.b.op_imm(Op::VExt, Ty::I8, &[v], k);
        let a = l.b.addi(base, k as i64);
        l.b.op(Op::StUnless, Ty::I8, &[a, x, none]);
    }
    reset_mmx(l);
    Flow::Next
}

/// pmovmskb movmskps movmskpd.
pub fn mask(l: &mut Lifter, ty: Ty) -> Flow {
    enter_mmx(l);
    let v = l.read(1);
    let m = l.b.op(Op::VMovMsk, ty, &[v]);
    let to = l.ty(0);
    let m = l.b.zext(to, m);
    l.write(0, m);
    Flow::Next
}

/// Lane selectors of a two-bit-per-lane immediate.
fn selectors(imm: u64, lanes: u64) -> u64 {
    (0..lanes).fold(0, |s, k| s | (imm >> (2 * k) & 3) << (4 * k))
}

/// pshufd.
pub fn pshufd(l: &mut Lifter) -> Flow {
    let v = source(l, 1, true);
    let sel = selectors(u64::from(l.insn.immediate8()), 4);
    let r = l.b.op_imm(Op::VShuf, Ty::I32, &[v, v], sel);
    l.write(0, r);
    Flow::Next
}

/// pshuflw, pshufhw, pshufw.
pub fn pshuf_words(l: &mut Lifter, high: bool) -> Flow {
    let v = source(l, 1, true);
    let sel = selectors(u64::from(l.insn.immediate8()), 4);
    let sel = if high { 0x3210 | (sel + 0x4444) << 16 } else { 0x7654_0000 | sel };
    let r = l.b.op_imm(Op::VShuf, Ty::I16, &[v, v], sel);
    l.write(0, r);
    Flow::Next
}

/// shufps.
pub fn shufps(l: &mut Lifter) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let sel = selectors(u64::from(l.insn.immediate8()), 4) + 0x4400;
    let r = l.b.op_imm(Op::VShuf, Ty::I32, &[a, b], sel);
    l.write(0, r);
    Flow::Next
}

/// shufpd.
pub fn shufpd(l: &mut Lifter) -> Flow {
    let b = source(l, 1, true);
    let a = dest(l);
    let imm = u64::from(l.insn.immediate8());
    let r = l.b.op_imm(Op::VShuf, Ty::I64, &[a, b], imm & 1 | (2 + (imm >> 1 & 1)) << 4);
    l.write(0, r);
    Flow::Next
}

/// pextrw.
pub fn pextrw(l: &mut Lifter) -> Flow {
    enter_mmx(l);
    let lanes = if is_mmx(l) { 3 } else { 7 };
    let v = l.read(1);
    let x = l.b.op_imm(Op::VExt, Ty::I16, &[v], u64::from(l.insn.immediate8()) & lanes);
    let to = l.ty(0);
    let x = l.b.zext(to, x);
    l.write(0, x);
    Flow::Next
}

/// pinsrw.
pub fn pinsrw(l: &mut Lifter) -> Flow {
    let lanes = if is_mmx(l) { 3 } else { 7 };
    check_mmx(l);
    let x = l.read(1);
    let x = l.b.zext(Ty::I16, x);
    reset_mmx(l);
    let a = dest(l);
    let v = l.b.op_imm(Op::VIns, Ty::I16, &[a, x], u64::from(l.insn.immediate8()) & lanes);
    l.write(0, v);
    Flow::Next
}

/// movddup, movsldup, movshdup: fixed shuffles of the source.
pub fn duplicate(l: &mut Lifter, ty: Ty, sel: u64) -> Flow {
    let v = source(l, 1, true);
    let r = l.b.op_imm(Op::VShuf, ty, &[v, v], sel);
    l.write(0, r);
    Flow::Next
}

/// lddqu, movdqu: unaligned load.
pub fn lddqu(l: &mut Lifter) -> Flow {
    move_all(l, false)
}
