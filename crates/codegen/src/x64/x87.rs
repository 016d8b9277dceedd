//! x87 as itself: while a thread runs translated code that uses it, the host's x87 unit holds the guest's whole x87 state.
//!
//! Problem: every x87 instruction is a handful of operations on a register stack with tags, status bits and deferred exceptions. Approach:
//! one guest instruction's operations are recognised as a [`Group`] and become the one host instruction that they came from; stack,
//! tags, condition codes, sticky and pending exceptions, precision and rounding are then the host's business and exact. What is not recognised
//! (transcendental functions, environments, MMX) is left to the interpreter, operation by operation, on the state in the frame.
//!
//! Where the state is: the frame says it ([`crate::frame::Frame::x87_live`]). A block that needs it in the host calls [`Stub::X87`] once, which is
//! a jump and a return when it is there already; `GATE` leads to the code for either case. Helpers of x87 operations take it back
//! first, and so does the engine before anybody looks at the guest state.
//!
//! Invariants. A group is entered with the operation that is its first as the place, so that a fault (memory, or a pending unmasked
//! exception, which arrives as SIGFPE) repeats the guest instruction as a whole in the interpreter; a host x87 instruction that faults
//! has changed nothing. Non-x87 host code of the runtime never touches the unit.

use super::mmx::MOST;
use super::shape::Shape;
use super::spill;
use super::unit::Emit;
use super::values::At;
use crate::Stub;
use crate::frame::X87_LEAVE;
use demotic_asm::x64::{Mem, Size};
use demotic_ir::block::{Block, Inst, Val};
use demotic_ir::ops::{Effects, Op, X87Fn};
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::ARITH;
use demotic_ir::ty::Ty;

/// The operations of one guest instruction, executed as one host instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    /// Index of the first operation.
    pub first: usize,
    /// Index of the last one, where the code stands.
    pub end: usize,
    host: Host,
    /// Address of the operand in memory.
    addr: Option<Val>,
    /// The comparison whose flags become RFLAGS.
    fl: Option<usize>,
    /// A value that the instruction computes for a register that is not the unit's.
    result: Option<usize>,
}

/// The host instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Host {
    /// Opcode and extension, with an operand in memory.
    Mem(u8, u8),
    /// Two bytes.
    Reg(u8, u8),
    /// `fwait`.
    Wait,
    /// `fcmovcc st(0), st(i)` by an i1 value; the second bit turns it round.
    Cmov(u8, Val, bool),
    /// `fnstsw ax`.
    StatusToAx,
    /// `emms`.
    Emms,
    /// An MMX instruction.
    Mmx(super::mmx::Insn),
}

/// Where the guest's x87 state is known to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Where {
    /// Either place.
    #[default]
    Unknown,
    /// In the host's x87 unit.
    Host,
    /// In the frame.
    Frame,
}

/// The slots that the host's x87 unit may hold.
fn held_slot(slot: u64) -> bool {
    [Slot::FCW, Slot::FSW, Slot::FTAG].iter().any(|s| u64::from(s.0) == slot)
}

/// The opcode of an instruction with an operand in memory of that type: integers (DE, DA) or reals (D8, DC).
fn arith_opcode(ty: Ty, integer: bool) -> Option<u8> {
    Some(match (ty, integer) {
        (Ty::I16, true) => 0xde,
        (Ty::I32, true) => 0xda,
        (Ty::I32, false) => 0xd8,
        (Ty::I64, false) => 0xdc,
        _ => return None,
    })
}

/// Second byte of D9 for functions without operands.
fn function(kind: X87Fn) -> Option<u8> {
    Some(match kind {
        X87Fn::Fchs => 0xe0,
        X87Fn::Fabs => 0xe1,
        X87Fn::Ftst => 0xe4,
        X87Fn::Fxam => 0xe5,
        X87Fn::Fld1 => 0xe8,
        X87Fn::Fldl2t => 0xe9,
        X87Fn::Fldl2e => 0xea,
        X87Fn::Fldpi => 0xeb,
        X87Fn::Fldlg2 => 0xec,
        X87Fn::Fldln2 => 0xed,
        X87Fn::Fldz => 0xee,
        X87Fn::Fxtract => 0xf4,
        X87Fn::Fprem1 => 0xf5,
        X87Fn::Fdecstp => 0xf6,
        X87Fn::Fincstp => 0xf7,
        X87Fn::Fprem => 0xf8,
        X87Fn::Fsqrt => 0xfa,
        X87Fn::Frndint => 0xfc,
        X87Fn::Fscale => 0xfd,
        _ => return None,
    })
}

/// Longest skeleton of a guest instruction.
const LONGEST: usize = 8;

/// One guest instruction: its operations that are more than arithmetic on general registers.
struct Skeleton<'a> {
    block: &'a Block,
    at: [usize; LONGEST],
    len: usize,
    /// Other operations that the host instruction computes.
    extra: [usize; 3],
    extras: usize,
}

impl Skeleton<'_> {
    fn inst(&self, k: usize) -> Inst {
        self.block.insts[self.at[k]]
    }
    fn is(&self, v: Val, k: usize) -> bool {
        v.index() == self.at[k]
    }
    /// Number of a function, when it is one of the eight from `first` on.
    fn numbered(&self, k: usize, first: X87Fn) -> Option<u8> {
        self.inst(k).imm.checked_sub(first as u64).filter(|n| *n < 8).map(|n| n as u8)
    }
    fn take(&mut self, k: usize) -> Option<()> {
        *self.extra.get_mut(self.extras)? = k;
        self.extras += 1;
        Some(())
    }

    /// The operand in memory as an extended real at `v`, loaded by skeleton member `ld`: type and whether it is an integer.
    fn operand(&mut self, v: Val, ld: usize, conversion: Option<(usize, u64)>) -> Option<(Ty, bool)> {
        let ty = self.inst(ld).ty;
        if let Some((k, imm)) = conversion {
            let x = self.inst(k);
            return (self.is(v, k) && x.imm == imm && self.is(x.args[0], ld)).then_some((ty, false));
        }
        if self.is(v, ld) {
            return (ty == Ty::F80).then_some((ty, false));
        }
        let x = self.block.insts.get(v.index())?;
        if x.op != Op::XFromInt || !self.is(x.args[0], ld) || x.imm != u64::from(ty.bits()) {
            return None;
        }
        self.take(v.index())?;
        Some((ty, true))
    }

    fn recognise(&mut self) -> Option<(Host, Option<Val>, Option<usize>)> {
        use Op::*;
        let mut ops = [Nop; LONGEST];
        (0..self.len).for_each(|k| ops[k] = self.inst(k).op);
        let plain = |h: Host| Some((h, None, None));
        Some(match ops[..self.len] {
            [XChk] => (Host::Wait, None, None),
            // fninit, fnclex
            [XFn] => match X87Fn::from_imm(self.inst(0).imm)? {
                X87Fn::Fninit => return plain(Host::Reg(0xdb, 0xe3)),
                X87Fn::Fnclex => return plain(Host::Reg(0xdb, 0xe2)),
                _ => return None,
            },
            [XChk, XFn] => {
                if let Some(i) = self.numbered(1, X87Fn::Fxch0) {
                    return plain(Host::Reg(0xd9, 0xc8 | i));
                }
                if let Some(i) = self.numbered(1, X87Fn::Ffree0) {
                    return plain(Host::Reg(0xdd, 0xc0 | i));
                }
                return plain(Host::Reg(0xd9, function(X87Fn::from_imm(self.inst(1).imm)?)?));
            }
            // fld
            [XChk, Ld, XFn, ref rest @ ..] if matches!(rest, [XPush] | [XFromF, XPush]) => {
                if self.inst(2).imm != X87Fn::WillPush as u64 {
                    return None;
                }
                let v = self.inst(self.len - 1).args[0];
                let conversion = (self.len == 5).then_some((3, 0));
                let (op, ext) = match self.operand(v, 1, conversion)? {
                    (Ty::F80, _) => (0xdb, 5),
                    (Ty::I16, true) => (0xdf, 0),
                    (Ty::I32, true) => (0xdb, 0),
                    (Ty::I64, true) => (0xdf, 5),
                    (Ty::I32, false) => (0xd9, 0),
                    (Ty::I64, false) => (0xdd, 0),
                    _ => return None,
                };
                (Host::Mem(op, ext), Some(self.inst(1).args[0]), None)
            }
            [XChk, XGet, XPush] if self.is(self.inst(2).args[0], 1) => {
                return plain(Host::Reg(0xd9, 0xc0 | self.inst(1).imm as u8 & 7));
            }
            // fst, fstp to a register
            [XChk, XGet, XFn, XSet, ref rest @ ..] if matches!(rest, [] | [XPop]) => {
                let (get, f, set) = (self.inst(1), self.inst(2), self.inst(3));
                let fits = get.imm == 0 && f.imm == X87Fn::ClearC1 as u64 && self.is(set.args[0], 1);
                if !fits || self.len == 5 && self.inst(4).imm != 0 {
                    return None;
                }
                return plain(Host::Reg(0xdd, if self.len == 5 { 0xd8 } else { 0xd0 } | set.imm as u8 & 7));
            }
            // fstp m80
            [XChk, XPeek, XNoStore, StUnless, XGet, XFn, XPop] => {
                let (no, st) = (self.inst(2), self.inst(3));
                let fits = no.imm == 0
                    && self.is(no.args[0], 1)
                    && st.ty == Ty::F80
                    && self.is(st.args[1], 1)
                    && self.is(st.args[2], 2)
                    && st.imm & 1 != 0
                    && self.inst(4).imm == 0
                    && self.inst(5).imm == X87Fn::ClearC1 as u64
                    && self.inst(6).imm == 1;
                fits.then_some((Host::Mem(0xdb, 7), Some(st.args[0]), None))?
            }
            // fst, fstp m32 m64; fist, fistp, fisttp
            [XChk, XPeek, conv, XNoStore, StUnless, XGet, status, ref rest @ ..]
                if matches!(rest, [] | [XPop]) && matches!((conv, status), (XToF, XToFC) | (XToInt, XToIntC)) =>
            {
                let (c, no, st, after) = (self.inst(2), self.inst(3), self.inst(4), self.inst(6));
                let fits = self.is(c.args[0], 1)
                    && self.is(no.args[0], 1)
                    && self.is(st.args[1], 2)
                    && self.is(st.args[2], 3)
                    && self.is(after.args[0], 5)
                    && st.imm & 1 != 0
                    && self.inst(5).imm == 0
                    && [no.ty, st.ty, after.ty] == [c.ty; 3];
                let pops = self.len == 8;
                if !fits || pops && self.inst(7).imm != 1 {
                    return None;
                }
                let real = conv == XToF;
                let truncates = !real && c.imm & 1 != 0;
                let check = if real { 4 } else { 1 | u64::from(truncates) << 1 };
                if no.imm != check || !real && after.imm != c.imm || truncates && !pops {
                    return None;
                }
                let (op, ext) = match (c.ty, real, truncates) {
                    (Ty::I32, true, _) => (0xd9, 2 | u8::from(pops)),
                    (Ty::I64, true, _) => (0xdd, 2 | u8::from(pops)),
                    (Ty::I16, false, false) => (0xdf, 2 | u8::from(pops)),
                    (Ty::I32, false, false) => (0xdb, 2 | u8::from(pops)),
                    (Ty::I64, false, false) if pops => (0xdf, 7),
                    (Ty::I16, false, true) => (0xdf, 1),
                    (Ty::I32, false, true) => (0xdb, 1),
                    (Ty::I64, false, true) => (0xdd, 1),
                    _ => return None,
                };
                (Host::Mem(op, ext), Some(st.args[0]), None)
            }
            // Arithmetic with memory.
            [XChk, Ld, XGet, ref rest @ ..]
                if matches!(rest, [XAdd | XSub | XMul | XDiv, XSet] | [XFromF, XAdd | XSub | XMul | XDiv, XSet]) =>
            {
                let n = self.len;
                let (x, set) = (self.inst(n - 2), self.inst(n - 1));
                if self.inst(2).imm != 0 || set.imm != 0 || !self.is(set.args[0], n - 2) {
                    return None;
                }
                let reversed = self.is(x.args[1], 2);
                let (a, b) = if reversed { (x.args[1], x.args[0]) } else { (x.args[0], x.args[1]) };
                let conversion = (n == 6).then_some((3, 1));
                let (ty, integer) = self.operand(b, 1, conversion)?;
                if !self.is(a, 2) {
                    return None;
                }
                let ext = match (x.op, reversed) {
                    (XAdd, false) => 0,
                    (XMul, false) => 1,
                    (XSub, false) => 4,
                    (XSub, true) => 5,
                    (XDiv, false) => 6,
                    (XDiv, true) => 7,
                    _ => return None,
                };
                (Host::Mem(arith_opcode(ty, integer)?, ext), Some(self.inst(1).args[0]), None)
            }
            // Arithmetic between registers.
            [XChk, XGet, XGet, XAdd | XSub | XMul | XDiv, XSet, ref rest @ ..] if matches!(rest, [] | [XPop]) => {
                let (d, s) = (self.inst(1).imm as u8 & 7, self.inst(2).imm as u8 & 7);
                let (x, set) = (self.inst(3), self.inst(4));
                let pops = self.len == 6;
                let straight = self.is(x.args[0], 1) && self.is(x.args[1], 2);
                let reversed = self.is(x.args[0], 2) && self.is(x.args[1], 1);
                let fits = (straight || reversed)
                    && set.imm as u8 & 7 == d
                    && self.is(set.args[0], 3)
                    && (d == 0 && !pops || s == 0)
                    && !(pops && self.inst(5).imm != 0);
                if !fits {
                    return None;
                }
                // D8 has st(0) as its first operand, DC and DE st(i), where the reversed forms change places.
                let to_top = !pops && d == 0;
                let code = match (x.op, reversed == to_top) {
                    (XAdd, _) => 0xc0,
                    (XMul, _) => 0xc8,
                    (XSub, false) => 0xe0,
                    (XSub, true) => 0xe8,
                    (XDiv, false) => 0xf0,
                    _ => 0xf8,
                };
                let (op, i) = match (to_top, pops) {
                    (true, _) => (0xd8, s),
                    (false, false) => (0xdc, d),
                    (false, true) => (0xde, d),
                };
                return plain(Host::Reg(op, code | i));
            }
            // Comparisons with memory.
            [XChk, Ld, XGet, ref rest @ ..]
                if matches!(
                    rest,
                    [XCmp, XSetCc] | [XCmp, XSetCc, XPop] | [XFromF, XCmp, XSetCc] | [XFromF, XCmp, XSetCc, XPop]
                ) =>
            {
                let converts = ops[3] == XFromF;
                let c = 3 + usize::from(converts);
                let (cmp, cc) = (self.inst(c), self.inst(c + 1));
                let pops = self.len > c + 2;
                let (ty, integer) = self.operand(cmp.args[1], 1, converts.then_some((3, 1)))?;
                let fits = cmp.imm == 0 && self.inst(2).imm == 0 && self.is(cmp.args[0], 2) && self.is(cc.args[0], c);
                if !fits || pops && self.inst(c + 2).imm != 0 {
                    return None;
                }
                let ext = 2 | u8::from(pops);
                (Host::Mem(arith_opcode(ty, integer)?, ext), Some(self.inst(1).args[0]), None)
            }
            // Comparisons of registers.
            [XChk, XGet, XGet, XCmp, ref rest @ ..]
                if matches!(rest, [] | [XPop] | [XSetCc] | [XSetCc, XPop] | [XSetCc, XPop, XPop]) =>
            {
                let (cmp, i) = (self.inst(3), self.inst(2).imm as u8 & 7);
                let sets = rest.first() == Some(&XSetCc);
                let pops = rest.len() - usize::from(sets);
                let fits = self.inst(1).imm == 0
                    && self.is(cmp.args[0], 1)
                    && self.is(cmp.args[1], 2)
                    && cmp.imm < 2
                    && (self.len - pops..self.len).all(|k| self.inst(k).imm == 0);
                if !fits || sets && !self.is(self.inst(4).args[0], 3) {
                    return None;
                }
                let quiet = cmp.imm == 1;
                let (op, code) = match (sets, quiet, pops) {
                    (true, false, 0) => (0xd8, 0xd0),
                    (true, false, 1) => (0xd8, 0xd8),
                    (true, false, 2) if i == 1 => (0xde, 0xd8),
                    (true, true, 0) => (0xdd, 0xe0),
                    (true, true, 1) => (0xdd, 0xe8),
                    (true, true, 2) if i == 1 => (0xda, 0xe8),
                    (false, false, 0) => (0xdb, 0xf0),
                    (false, false, 1) => (0xdf, 0xf0),
                    (false, true, 0) => (0xdb, 0xe8),
                    (false, true, 1) => (0xdf, 0xe8),
                    _ => return None,
                };
                (Host::Reg(op, code | i), None, (!sets).then_some(self.at[3]))
            }
            // ffreep
            [XChk, XFn, XPop] if self.inst(2).imm == 0 => {
                return plain(Host::Reg(0xdf, 0xc0 | self.numbered(1, X87Fn::Ffree0)?));
            }
            // fcmov
            [XChk, XGet, XGet, XSet] => {
                let (i, set) = (self.inst(2).imm as u8 & 7, self.inst(3));
                let v = set.args[0];
                let sel = self.block.insts.get(v.index()).filter(|x| x.op == Sel)?;
                let straight = self.is(sel.args[1], 2) && self.is(sel.args[2], 1);
                let turned = self.is(sel.args[1], 1) && self.is(sel.args[2], 2);
                if self.inst(1).imm != 0 || set.imm != 0 || !straight && !turned {
                    return None;
                }
                let cond = sel.args[0];
                self.take(v.index())?;
                (Host::Cmov(i, cond, turned && !straight), None, None)
            }
            // fnstsw ax, fnstcw m, fnstsw m
            [Get, Set] => {
                let (get, set) = (self.inst(0), self.inst(1));
                let fits = get.imm == u64::from(Slot::FSW.0)
                    && get.ty == Ty::I16
                    && set.imm == 0
                    && set.ty == Ty::I16
                    && self.is(set.args[0], 0);
                return if fits { plain(Host::StatusToAx) } else { None };
            }
            [Get, St] => {
                let (get, st) = (self.inst(0), self.inst(1));
                if get.ty != Ty::I16 || st.ty != Ty::I16 || !self.is(st.args[1], 0) {
                    return None;
                }
                let (op, ext) = match get.imm {
                    s if s == u64::from(Slot::FCW.0) => (0xd9, 7),
                    s if s == u64::from(Slot::FSW.0) => (0xdd, 7),
                    _ => return None,
                };
                (Host::Mem(op, ext), Some(st.args[0]), None)
            }
            // fldcw
            [XChk, Ld, Set, XFn] => {
                let (ld, set, f) = (self.inst(1), self.inst(2), self.inst(3));
                let k = |v: Val| super::shape::constant(self.block, v);
                let or =
                    self.block.insts.get(set.args[0].index()).filter(|x| x.op == Or && k(x.args[1]) == Some(0x40))?;
                let and =
                    self.block.insts.get(or.args[0].index()).filter(|x| x.op == And && k(x.args[1]) == Some(0x1f7f))?;
                let fits = set.imm == u64::from(Slot::FCW.0)
                    && ld.ty == Ty::I16
                    && f.imm == X87Fn::Fixup as u64
                    && self.is(and.args[0], 1);
                if !fits {
                    return None;
                }
                self.take(set.args[0].index())?;
                self.take(or.args[0].index())?;
                (Host::Mem(0xd9, 5), Some(ld.args[0]), None)
            }
            _ => return None,
        })
    }
}

/// One guest instruction, recognised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// What it is.
    pub host: Host,
    /// Address of the operand in memory.
    pub addr: Option<Val>,
    /// The comparison whose flags become the guest's.
    pub fl: Option<usize>,
    /// A value that it computes for a register that is not the unit's.
    pub result: Option<usize>,
    range: (usize, usize),
    members: [usize; MOST],
    len: usize,
}

impl Found {
    /// An instruction that operations `range` are, of which `members` have no code of their own.
    pub fn group(
        host: Host,
        addr: Option<Val>,
        result: Option<usize>,
        range: (usize, usize),
        members: &[usize],
    ) -> Found {
        let mut all = [0; MOST];
        let len = members.len().min(MOST);
        all[..len].copy_from_slice(&members[..len]);
        Found { host, addr, fl: None, result, range, members: all, len }
    }

    /// First and last operation.
    pub fn range(&self) -> (usize, usize) {
        self.range
    }

    /// The operations that it is made of.
    pub fn members(&self) -> impl Iterator<Item = usize> + '_ {
        self.members[..self.len].iter().copied()
    }
}

/// Whether an operation has to do with x87 state.
pub(crate) fn is_x87(x: &Inst) -> bool {
    x.op.touches_x87() || matches!(x.op, Op::Get | Op::Set) && held_slot(x.imm)
}

/// The guest instruction that operations `from..to` of a block are.
pub(crate) fn recognise(block: &Block, from: usize, to: usize) -> Option<Found> {
    let mut s = Skeleton { block, at: [0; LONGEST], len: 0, extra: [0; 3], extras: 0 };
    for (k, x) in block.insts.iter().enumerate().take(to).skip(from) {
        let free = x.op.effects() == Effects::PURE
            || x.op == Op::GetFl
            || x.op == Op::Get && !held_slot(x.imm)
            || x.op == Op::SetFl;
        if free {
            continue;
        }
        if s.len == LONGEST {
            return None;
        }
        s.at[s.len] = k;
        s.len += 1;
    }
    let (first, end) = (*s.at.first()?, *s.at.get(s.len.checked_sub(1)?)?);
    // Flags are written behind a comparison only.
    if (first..end).any(|k| block.insts[k].op == Op::SetFl) {
        return None;
    }
    let (host, addr, fl) = s.recognise()?;
    let mut members = [0; MOST];
    members[..s.len].copy_from_slice(&s.at[..s.len]);
    members[s.len..s.len + s.extras].copy_from_slice(&s.extra[..s.extras]);
    Some(Found { fl, ..Found::group(host, addr, None, (first, end), &members[..s.len + s.extras]) })
}

/// Finds the groups of a block and tells its shape.
pub(super) fn find(block: &Block, shape: &mut Shape) {
    if !block.insts.iter().any(is_x87) {
        return;
    }
    for (m, mark) in block.marks.iter().enumerate() {
        let from = usize::from(mark.first);
        let to = block.marks.get(m + 1).map_or(block.insts.len(), |next| usize::from(next.first));
        let Some(found) = recognise(block, from, to).or_else(|| super::mmx::recognise(block, from, to)) else {
            continue;
        };
        let (first, end) = found.range();
        let Found { host, addr, fl, result, .. } = found;
        let lone = |k: usize| {
            usize::from(shape.last(k)) <= end || [fl, result].contains(&Some(k)) || matches!(host, Host::StatusToAx)
        };
        let members = || found.members();
        if !members().all(|k| block.insts[k].result() == Ty::None || lone(k)) || members().any(|k| shape.lazy(k)) {
            continue;
        }
        for k in members() {
            for v in block.insts[k].operands() {
                shape.needed_until(*v, end as u16);
            }
            shape.set_member(k, k != end && k != first);
        }
        if first != end {
            shape.set_folded(first);
        }
        shape.x87.push(Group { first, end, host, addr, fl, result });
    }
}

impl Emit<'_> {
    /// The group that ends at an operation.
    pub(super) fn x87_at(&self, i: usize) -> Option<Group> {
        let k = self.shape.x87.binary_search_by_key(&i, |g| g.end).ok()?;
        self.shape.x87.get(k).copied()
    }

    /// From here on the guest's x87 state is in the host's unit. No register is touched.
    fn x87_to_host(&mut self) {
        if self.x87 != Where::Host {
            self.sync();
            self.stub(Stub::X87);
            self.x87 = Where::Host;
            self.sync();
        }
    }

    /// From here on it is in the frame.
    fn x87_to_frame(&mut self) {
        if self.x87 != Where::Frame {
            self.a.store_imm(Size::Q, Mem::gs(super::scratch::WHAT), X87_LEAVE as i32);
            self.sync();
            self.stub(Stub::Helper);
            self.x87 = Where::Frame;
            self.sync();
        }
    }

    /// A helper is about to run this operation: it takes the state back if it wants it.
    pub(super) fn x87_helper(&mut self, inst: &Inst) {
        if inst.op.touches_x87() {
            self.x87 = Where::Frame;
        }
    }

    /// Emits a group.
    pub(super) fn x87_group(&mut self, i: usize, g: Group) {
        // A pending exception shows them.
        self.restore_flags(g.first.saturating_sub(1));
        self.pending = Some(g.first);
        self.x87_to_host();
        match g.host {
            Host::Mem(op, ext) => {
                let addr = g.addr.unwrap_or(Val::NONE);
                let m = self.address(addr, 0);
                self.sync();
                self.a.x87_mem(op, ext, m);
            }
            Host::Wait => {
                self.two_bytes();
                self.sync();
                self.a.byte(0x9b);
            }
            Host::Reg(op, code) => {
                if g.fl.is_some() {
                    self.before_flags(ARITH, i, 0);
                }
                self.sync();
                self.a.x87_reg(op, code);
                if let Some(fl) = g.fl {
                    self.at[fl] = At::Flags;
                    self.wrote_flags(ARITH, Some(Val(fl as u16)));
                }
            }
            Host::Cmov(st, cond, turned) => {
                self.index = g.first;
                let cc = self.x87_condition(cond, i) ^ u8::from(turned);
                self.sync();
                let row = match cc >> 1 {
                    1 => 0xc0,
                    2 => 0xc8,
                    3 => 0xd0,
                    _ => 0xd8,
                };
                self.a.x87_reg(0xda | cc & 1, row | st);
            }
            Host::Emms => {
                self.sync();
                self.a.emms();
            }
            Host::Mmx(insn) => self.mmx(insn, g.addr, g.result),
            Host::StatusToAx => {
                self.clobber_home(0, i);
                self.sync();
                self.a.fnstsw_ax();
                self.define_home(Val(g.first as u16), 0);
            }
        }
        self.pending = None;
        self.index = i + 1;
        self.release(i);
        self.sync();
    }

    /// Makes a truth value testable by one of the conditions that `fcmov` has.
    fn x87_condition(&mut self, cond: Val, i: usize) -> u8 {
        use super::flags::Test;
        use demotic_asm::x64::Reg;
        use demotic_asm::x64::int::Alu;
        match self.condition(cond, i, false) {
            Test::Cc(cc @ (2..=7 | 10 | 11)) => cc,
            Test::Cc(cc) => {
                let t = self.temp();
                self.a.setcc(cc, t);
                self.before_flags(ARITH, i, 0);
                self.a.test(Size::B, t, t);
                self.wrote_flags(ARITH, None);
                self.unlock(t);
                5
            }
            Test::Known(yes) => {
                self.before_flags(ARITH, i, 0);
                self.a.alu(Alu::Cmp, Size::D, Reg::RAX, Reg::RAX);
                self.wrote_flags(ARITH, None);
                if yes { 4 } else { 5 }
            }
            Test::RcxZero(_) => {
                self.fail("condition of a selection");
                4
            }
        }
    }

    /// A read of the control, status or tag word that is not part of a group. False when the slot is another one.
    pub(super) fn x87_get(&mut self, i: usize) -> bool {
        let inst = self.b.insts[i];
        if !held_slot(inst.imm) {
            return false;
        }
        if inst.imm == u64::from(Slot::FTAG.0) || self.x87 != Where::Host || inst.ty != Ty::I16 {
            self.x87_to_frame();
            return false;
        }
        let n = self.spill_slot();
        if inst.imm == u64::from(Slot::FCW.0) {
            self.a.fnstcw(spill(n));
        } else {
            self.a.fnstsw(spill(n));
        }
        self.spill_in(Val(i as u16), n);
        true
    }

    /// Before a write of one of those words.
    pub(super) fn x87_set(&mut self, slot: u8) {
        if held_slot(u64::from(slot)) {
            self.x87_to_frame();
        }
    }
}
