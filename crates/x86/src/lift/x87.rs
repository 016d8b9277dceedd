//! x87 floating point. Every waiting instruction begins with `x.chk`, which raises a pending #MF.
//!
//! Stores to memory convert first without side effects, store (which may fault), and only then set the status bits.

use super::{ALL, Flow, Lifter};
use demotic_ir::block::Val;
use demotic_ir::interp::Pointers;
use demotic_ir::ops::{Op, X87Fn};
use demotic_ir::slot::Slot;
use demotic_ir::state::{reg, seg};
use demotic_ir::ty::Ty;
use iced_x86::{OpKind, Register};

/// The four arithmetic operations and their reversed forms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arith {
    /// DEST + SRC
    Add,
    /// DEST - SRC
    Sub,
    /// SRC - DEST
    SubR,
    /// DEST * SRC
    Mul,
    /// DEST / SRC
    Div,
    /// SRC / DEST
    DivR,
}

/// The check of an instruction that says nothing of itself in the environment (control instructions).
fn chk(l: &mut Lifter) {
    l.b.op(Op::XChk, Ty::None, &[]);
}

/// The check of all others.
fn begin(l: &mut Lifter) {
    let opcode = l.bytes.windows(2).find(|b| matches!(b[0], 0xd8..=0xdf));
    let fop = opcode.map_or(0, |b| u16::from(b[0] & 7) << 8 | u16::from(b[1]));
    let memory = (0..l.count()).any(|i| l.is_mem(i));
    let segment = memory.then(|| match l.insn.memory_segment() {
        // In 64-bit code only FS and GS can be chosen.
        Register::FS => seg::FS,
        Register::GS => seg::GS,
        _ if l.stack_attr() != 0 => seg::SS,
        Register::CS if !l.long() => seg::CS,
        Register::ES if !l.long() => seg::ES,
        _ => seg::DS,
    });
    l.b.op_imm(Op::XChk, Ty::None, &[], Pointers::code(fop, segment));
}

fn st(l: &mut Lifter, i: u64) -> Val {
    l.b.op_imm(Op::XGet, Ty::F80, &[], i)
}

fn set_st(l: &mut Lifter, i: u64, v: Val) {
    l.b.op_imm(Op::XSet, Ty::F80, &[v], i);
}

fn pop(l: &mut Lifter) {
    l.b.op_imm(Op::XPop, Ty::None, &[], 0);
}

/// The pop of a store to memory, which an unmasked overflow or underflow holds back, too.
fn pop_stored(l: &mut Lifter) {
    l.b.op_imm(Op::XPop, Ty::None, &[], 1);
}

/// Number of the stack register that operand `i` names.
fn st_number(l: &Lifter, i: u32) -> u64 {
    l.insn.op_register(i).number() as u64 & 7
}

/// Loads the memory operand as a raw value (before any change of state).
fn load_raw(l: &mut Lifter) -> Val {
    let addr = l.ea();
    let ty = match l.insn.memory_size().size() {
        2 => Ty::I16,
        4 => Ty::I32,
        8 => Ty::I64,
        _ => Ty::F80,
    };
    let attr = l.stack_attr();
    l.b.ld(ty, addr, attr)
}

/// A raw memory operand as an extended real; `operand` when it is used by arithmetic and not just loaded.
fn convert(l: &mut Lifter, raw: Val, integer: bool, operand: bool) -> Val {
    let ty = l.b.ty(raw);
    if ty == Ty::F80 {
        return raw;
    }
    if integer {
        return l.b.op_imm(Op::XFromInt, Ty::F80, &[raw], u64::from(ty.bits()));
    }
    l.b.op_imm(Op::XFromF, ty, &[raw], u64::from(operand))
}

/// fld, fild.
pub fn load(l: &mut Lifter, integer: bool) -> Flow {
    begin(l);
    let v = if l.is_mem(0) {
        let raw = load_raw(l);
        quiet(l, X87Fn::WillPush);
        convert(l, raw, integer, false)
    } else {
        let i = st_number(l, 0);
        st(l, i)
    };
    l.b.op(Op::XPush, Ty::F80, &[v]);
    Flow::Next
}

/// fst, fstp.
pub fn store(l: &mut Lifter, pops: bool) -> Flow {
    begin(l);
    if !l.is_mem(0) {
        let v = st(l, 0);
        quiet(l, X87Fn::ClearC1);
        let i = st_number(l, 0);
        set_st(l, i, v);
        if pops {
            pop(l);
        }
        return Flow::Next;
    }
    let addr = l.ea();
    // The stack check of `x.get` changes state, so the value is fetched raw for the store and checked behind it.
    let v = peek(l);
    match l.insn.memory_size().size() {
        10 => {
            let no = l.b.op_imm(Op::XNoStore, Ty::F80, &[v], 0);
            l.store_unless(Ty::F80, &[addr, v, no]);
            st(l, 0);
            quiet(l, X87Fn::ClearC1);
        }
        n => {
            let ty = Lifter::int_ty(n);
            let image = l.b.op(Op::XToF, ty, &[v]);
            let no = l.b.op_imm(Op::XNoStore, ty, &[v], 4);
            l.store_unless(ty, &[addr, image, no]);
            let v = st(l, 0);
            l.b.op(Op::XToFC, ty, &[v]);
        }
    }
    if pops {
        pop_stored(l);
    }
    Flow::Next
}

/// ST(0) for a store: the default NaN when it is empty, without setting status bits.
fn peek(l: &mut Lifter) -> Val {
    l.b.op(Op::XPeek, Ty::F80, &[])
}

/// fist, fistp, fisttp.
pub fn store_int(l: &mut Lifter, pops: bool, truncate: bool) -> Flow {
    begin(l);
    let addr = l.ea();
    let ty = Lifter::int_ty(l.insn.memory_size().size());
    let v = peek(l);
    let image = l.b.op_imm(Op::XToInt, ty, &[v], u64::from(truncate));
    let no = l.b.op_imm(Op::XNoStore, ty, &[v], 1 | u64::from(truncate) << 1);
    l.store_unless(ty, &[addr, image, no]);
    let v = st(l, 0);
    l.b.op_imm(Op::XToIntC, ty, &[v], u64::from(truncate));
    if pops {
        pop_stored(l);
    }
    Flow::Next
}

/// fbld.
pub fn load_bcd(l: &mut Lifter) -> Flow {
    begin(l);
    let addr = l.ea();
    let attr = l.stack_attr();
    let raw = l.b.ld(Ty::F80, addr, attr);
    let bits = l.b.op(Op::XBits, Ty::V128, &[raw]);
    let v = l.b.op(Op::XFromBcd, Ty::F80, &[bits]);
    l.b.op(Op::XPush, Ty::F80, &[v]);
    Flow::Next
}

/// fbstp.
pub fn store_bcd(l: &mut Lifter) -> Flow {
    begin(l);
    let addr = l.ea();
    let v = peek(l);
    let bits = l.b.op(Op::XToBcd, Ty::V128, &[v]);
    let raw = l.b.op(Op::XFrom, Ty::F80, &[bits]);
    let no = l.b.op_imm(Op::XNoStore, Ty::F80, &[v], 8);
    l.store_unless(Ty::F80, &[addr, raw, no]);
    let v = st(l, 0);
    l.b.op(Op::XToBcdC, Ty::None, &[v]);
    pop_stored(l);
    Flow::Next
}

fn compute(l: &mut Lifter, kind: Arith, a: Val, b: Val) -> Val {
    let (op, x, y) = match kind {
        Arith::Add => (Op::XAdd, a, b),
        Arith::Sub => (Op::XSub, a, b),
        Arith::SubR => (Op::XSub, b, a),
        Arith::Mul => (Op::XMul, a, b),
        Arith::Div => (Op::XDiv, a, b),
        Arith::DivR => (Op::XDiv, b, a),
    };
    l.b.op(op, Ty::F80, &[x, y])
}

/// fadd fsub fsubr fmul fdiv fdivr, their popping forms and the integer forms.
pub fn arith(l: &mut Lifter, kind: Arith, pops: bool, integer: bool) -> Flow {
    begin(l);
    if l.count() > 0 && l.is_mem(0) {
        let raw = load_raw(l);
        let a = st(l, 0);
        let b = convert(l, raw, integer, true);
        let r = compute(l, kind, a, b);
        set_st(l, 0, r);
        return Flow::Next;
    }
    let (d, s) = if l.count() >= 2 { (st_number(l, 0), st_number(l, 1)) } else { (1, 0) };
    let a = st(l, d);
    let b = st(l, s);
    let r = compute(l, kind, a, b);
    set_st(l, d, r);
    if pops {
        pop(l);
    }
    Flow::Next
}

/// fcom fucom ficom and their popping forms; `pops` times.
pub fn compare(l: &mut Lifter, quiet: bool, pops: u32, integer: bool) -> Flow {
    begin(l);
    let (a, b) = if l.count() > 0 && l.is_mem(0) {
        let raw = load_raw(l);
        let a = st(l, 0);
        (a, convert(l, raw, integer, true))
    } else {
        let i = if l.count() == 0 { 1 } else { st_number(l, l.count() - 1) };
        (st(l, 0), st(l, i))
    };
    let fl = l.b.op_imm(Op::XCmp, Ty::F80, &[a, b], u64::from(quiet));
    l.b.op(Op::XSetCc, Ty::None, &[fl]);
    (0..pops).for_each(|_| pop(l));
    Flow::Next
}

/// fcomi fucomi and their popping forms: the result goes to ZF PF CF.
pub fn compare_flags(l: &mut Lifter, quiet: bool, pops: bool) -> Flow {
    begin(l);
    let i = st_number(l, l.count().saturating_sub(1));
    let (a, b) = (st(l, 0), st(l, i));
    let fl = l.b.op_imm(Op::XCmp, Ty::F80, &[a, b], u64::from(quiet));
    if pops {
        pop(l);
    }
    // The other flags are 0 in there, as they are to be.
    l.b.setfl(ALL, fl);
    Flow::Next
}

/// fcmovcc: `cc` as in Jcc.
pub fn cmov(l: &mut Lifter, cc: u8) -> Flow {
    begin(l);
    let i = st_number(l, 1);
    let (a, b) = (st(l, 0), st(l, i));
    let f = l.b.getfl();
    let c = l.b.cond(cc, f);
    let r = l.b.sel(c, b, a);
    set_st(l, 0, r);
    Flow::Next
}

/// Instructions on the register stack as a whole.
pub fn function(l: &mut Lifter, f: X87Fn) -> Flow {
    begin(l);
    quiet(l, f)
}

/// The same without the check for pending exceptions (fninit, fnclex).
pub fn quiet(l: &mut Lifter, f: X87Fn) -> Flow {
    l.b.op_imm(Op::XFn, Ty::None, &[], f as u64);
    Flow::Next
}

/// Recomputes the summary bits after the control or status word was loaded.
pub fn fixup(l: &mut Lifter) {
    l.b.op_imm(Op::XFn, Ty::None, &[], X87Fn::Fixup as u64);
}

/// fxch, ffree, ffreep: the register number selects the function.
pub fn numbered(l: &mut Lifter, first: X87Fn, pops: bool) -> Flow {
    begin(l);
    let i = st_number(l, l.count().saturating_sub(1));
    l.b.op_imm(Op::XFn, Ty::None, &[], first as u64 + i);
    if pops {
        pop(l);
    }
    Flow::Next
}

/// fstpnce (D9 D8+i, undocumented): fstp that only pops when ST(0) is empty.
pub fn store_no_fault(l: &mut Lifter) -> Flow {
    begin(l);
    let i = st_number(l, 0);
    l.b.op_imm(Op::XFn, Ty::None, &[], X87Fn::Copy0 as u64 + i);
    pop(l);
    Flow::Next
}

/// wait.
pub fn wait(l: &mut Lifter) -> Flow {
    chk(l);
    Flow::Next
}

/// fnop.
pub fn fnop(l: &mut Lifter) -> Flow {
    begin(l);
    Flow::Next
}

/// fldcw.
pub fn fldcw(l: &mut Lifter) -> Flow {
    chk(l);
    let v = l.read(0);
    set_cw(l, v);
    Flow::Next
}

fn set_cw(l: &mut Lifter, v: Val) {
    let v = control_word(l, v);
    l.b.set(Slot::FCW, v);
    fixup(l);
}

/// A control word as it is kept: bit 6 reads as 1, the reserved upper bits as 0 except infinity control.
pub fn control_word(l: &mut Lifter, v: Val) -> Val {
    let v = l.b.andi(v, 0x1f7f);
    let six = l.b.c(Ty::I16, 0x40);
    l.b.or(v, six)
}

/// fnstcw (fstcw behind a wait).
pub fn fnstcw(l: &mut Lifter) -> Flow {
    let dst = l.place(0);
    let v = l.b.get(Ty::I16, Slot::FCW);
    l.store(dst, v);
    Flow::Next
}

/// fnstsw to memory or AX.
pub fn fnstsw(l: &mut Lifter) -> Flow {
    let v = l.b.get(Ty::I16, Slot::FSW);
    if l.insn.op_kind(0) == OpKind::Register {
        l.set_gpr(reg::RAX, v);
    } else {
        let dst = l.place(0);
        l.store(dst, v);
    }
    Flow::Next
}

/// Whether the environment is in the 16-bit format (operand-size prefix).
fn short(l: &Lifter, sizes: [usize; 2]) -> bool {
    let n = l.insn.memory_size().size();
    n == sizes[0]
}

/// Stores the environment at `addr`; returns its size and what is to be set when nothing can fault any more.
fn put_env(l: &mut Lifter, addr: Val, short: bool) -> (i64, Vec<(Slot, Val)>) {
    let attr = l.stack_attr();
    let unit = if short { 2 } else { 4 };
    let ty = if short { Ty::I16 } else { Ty::I32 };
    l.b.op(Op::XPtr, Ty::None, &[]);
    let settled = super::pointers::settle(l);
    let cw = l.b.get(Ty::I16, Slot::FCW);
    let sw = l.b.get(Ty::I16, Slot::FSW);
    let tag = l.b.op(Op::XTagW, Ty::I16, &[]);
    let pointer = |l: &mut Lifter, ty: Ty, slot: Slot| match settled.iter().rfind(|s| s.0 == slot) {
        Some(&(_, v)) => l.b.zext(ty, v),
        None => l.b.get(ty, slot),
    };
    let fip = pointer(l, Ty::I32, Slot::FIP);
    let fcs = pointer(l, Ty::I16, Slot::FCS);
    let fdp = pointer(l, Ty::I32, Slot::FDP);
    let fds = pointer(l, Ty::I16, Slot::FDS);
    let fop = pointer(l, Ty::I16, Slot::FOP);
    // The upper halves of the 32-bit slots read as ones, except beside the opcode.
    let ones = l.b.c(Ty::I32, 0xffff_0000);
    let pad = |l: &mut Lifter, v: Val| {
        if short {
            return v;
        }
        let v = l.b.zext(Ty::I32, v);
        l.b.or(v, ones)
    };
    let fcs_fop = if short {
        fcs
    } else {
        let c = l.b.zext(Ty::I32, fcs);
        let o = l.b.zext(Ty::I32, fop);
        let o = l.b.shli(o, 16);
        l.b.or(c, o)
    };
    let [fip, fdp] = [fip, fdp].map(|v| l.b.zext(ty, v));
    let words = [pad(l, cw), pad(l, sw), pad(l, tag), fip, fcs_fop, fdp, pad(l, fds)];
    for (k, v) in words.into_iter().enumerate() {
        let at = l.b.addi(addr, unit * k as i64);
        l.b.st(at, v, attr);
    }
    (unit * 7, settled)
}

/// Checks the first word, then the last byte of the memory operand for writing, as processors do before they store any.
fn probe_write(l: &mut Lifter, addr: Val) {
    let attr = l.stack_attr();
    let short = l.insn.memory_size().size() == 14 || l.insn.memory_size().size() == 94;
    l.b.op_imm(Op::ProbeW, if short { Ty::I16 } else { Ty::I32 }, &[addr], attr);
    let last = l.b.addi(addr, l.insn.memory_size().size() as i64 - 1);
    l.b.op_imm(Op::ProbeW, Ty::I8, &[last], attr);
}

/// The same for reading.
fn probe_read(l: &mut Lifter, addr: Val) {
    let attr = l.stack_attr();
    let short = l.insn.memory_size().size() == 14 || l.insn.memory_size().size() == 94;
    l.b.ld(if short { Ty::I16 } else { Ty::I32 }, addr, attr);
    let last = l.b.addi(addr, l.insn.memory_size().size() as i64 - 1);
    l.b.ld(Ty::I8, last, attr);
}

/// Loads an environment; returns its size and what is to be set when nothing can fault any more.
fn get_env(l: &mut Lifter, addr: Val, short: bool) -> (i64, Vec<(Slot, Val)>, Val) {
    let attr = l.stack_attr();
    let unit = if short { 2 } else { 4 };
    let ty = if short { Ty::I16 } else { Ty::I32 };
    let words: Vec<Val> = (0..7)
        .map(|k| {
            let at = l.b.addi(addr, unit * k);
            l.b.ld(ty, at, attr)
        })
        .collect();
    let as16 = |l: &mut Lifter, k: usize| l.b.zext(Ty::I16, words[k]);
    let cw = as16(l, 0);
    let cw = control_word(l, cw);
    let (sw, tag, fcs, fds) = (as16(l, 1), as16(l, 2), as16(l, 4), as16(l, 6));
    let fip = l.b.zext(Ty::I64, words[3]);
    let fdp = l.b.zext(Ty::I64, words[5]);
    let mut sets =
        vec![(Slot::FCW, cw), (Slot::FSW, sw), (Slot::FIP, fip), (Slot::FCS, fcs), (Slot::FDP, fdp), (Slot::FDS, fds)];
    if !short {
        let o = l.b.shri(words[4], 16);
        let o = l.b.zext(Ty::I16, o);
        sets.push((Slot::FOP, l.b.andi(o, 0x7ff)));
    }
    (unit * 7, sets, tag)
}

/// fnstenv: stores the environment and masks all exceptions.
pub fn fnstenv(l: &mut Lifter) -> Flow {
    let addr = l.ea();
    let s = short(l, [14, 28]);
    probe_write(l, addr);
    let (_, sets) = put_env(l, addr, s);
    for (slot, v) in sets {
        l.b.set(slot, v);
    }
    let cw = l.b.get(Ty::I16, Slot::FCW);
    let mask = l.b.c(Ty::I16, 0x3f);
    let cw = l.b.or(cw, mask);
    l.b.set(Slot::FCW, cw);
    fixup(l);
    Flow::Next
}

/// fldenv.
pub fn fldenv(l: &mut Lifter) -> Flow {
    chk(l);
    let addr = l.ea();
    let s = short(l, [14, 28]);
    probe_read(l, addr);
    let (_, sets, tag) = get_env(l, addr, s);
    for (slot, v) in sets {
        l.b.set(slot, v);
    }
    l.b.op(Op::XSetTagW, Ty::None, &[tag]);
    fixup(l);
    Flow::Next
}

/// fnsave: environment and registers, then initialise.
pub fn fnsave(l: &mut Lifter) -> Flow {
    let attr = l.stack_attr();
    let addr = l.ea();
    let s = short(l, [94, 108]);
    probe_write(l, addr);
    let (at, _) = put_env(l, addr, s);
    for i in 0..8 {
        let v = l.b.op_imm(Op::XGetPhys, Ty::F80, &[], 8 + i as u64);
        let a = l.b.addi(addr, at + 10 * i);
        l.b.st(a, v, attr);
    }
    quiet(l, X87Fn::Fninit)
}

/// frstor.
pub fn frstor(l: &mut Lifter) -> Flow {
    let attr = l.stack_attr();
    chk(l);
    let addr = l.ea();
    let s = short(l, [94, 108]);
    probe_read(l, addr);
    let (at, sets, tag) = get_env(l, addr, s);
    let regs: Vec<Val> = (0..8)
        .map(|i| {
            let a = l.b.addi(addr, at + 10 * i);
            l.b.ld(Ty::F80, a, attr)
        })
        .collect();
    for (slot, v) in sets {
        l.b.set(slot, v);
    }
    l.b.op(Op::XSetTagW, Ty::None, &[tag]);
    for (i, v) in regs.into_iter().enumerate() {
        l.b.op_imm(Op::XSetPhys, Ty::F80, &[v], 8 + i as u64);
    }
    fixup(l);
    Flow::Next
}

/// emms.
pub fn emms(l: &mut Lifter) -> Flow {
    chk(l);
    quiet(l, X87Fn::Emms)
}
