//! MMX as itself, on the host's MMX registers, which hold the guest's while the guest's x87 state is in the host's unit ([`super::x87`]).
//!
//! Problem: an MMX instruction is some ten operations: a check for pending exceptions, the reset of the x87 stack, reads of physical registers, and the write of
//! one with its exponent. Approach: a guest instruction's operations are recognised as what they came from, and become that one host instruction, which
//! does all of it. What is not recognised (conversions, `maskmovq`) is left to the interpreter, operation by operation, on the state in the frame.
//!
//! Invariant: as for x87 groups; a host instruction that faults has changed nothing, and the place is the group's first operation. A group ends at its
//! write of an MMX register, or at its reset of the stack behind a store, or at the value that it computes for another register, whose write follows as
//! an operation of its own.

use super::shape::constant;
use super::unit::Emit;
use super::vector::two_operand;
use super::x87::{Found, Host};
use demotic_asm::x64::{Enc, Map, Rm};
use demotic_ir::block::{Block, Inst, Val};
use demotic_ir::ops::{Effects, Op, X87Fn};
use demotic_ir::slot::Slot;
use demotic_ir::ty::Ty;

/// What stands in a field of the instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    /// An MMX register, or an extension of the opcode.
    Mm(u8),
    /// The operand in memory ([`Found::addr`]).
    Mem,
    /// A value in a general register.
    Gpr(Val),
    /// A value in a vector register.
    Vec(Val),
    /// A general register for the result.
    ToGpr,
    /// A vector register for the result.
    ToVec,
}

/// The host instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Insn {
    enc: Enc,
    reg: Field,
    rm: Field,
    imm: Option<u8>,
}

/// Most operations of a group.
pub(super) const MOST: usize = 16;

struct Search<'a> {
    block: &'a Block,
    from: usize,
    to: usize,
    members: [usize; MOST],
    len: usize,
    addr: Option<Val>,
}

fn plain(op: u8, reg: u8, rm: Field) -> Insn {
    Insn { enc: Enc::new(Map::F, op), reg: Field::Mm(reg), rm, imm: None }
}

impl<'a> Search<'a> {
    fn take(&mut self, k: usize) -> Option<()> {
        if !self.members[..self.len].contains(&k) {
            *self.members.get_mut(self.len)? = k;
            self.len += 1;
        }
        Some(())
    }

    fn peek(&self, v: Val) -> Option<&'a Inst> {
        (self.from..self.to).contains(&v.index()).then(|| &self.block.insts[v.index()])
    }

    /// The operation that makes a value, when it is that one of the same instruction; it becomes a member.
    fn made(&mut self, v: Val, op: Op) -> Option<&'a Inst> {
        let x = self.peek(v).filter(|x| x.op == op)?;
        self.take(v.index())?;
        Some(x)
    }

    /// The MMX register that a vector is.
    fn mm(&mut self, v: Val) -> Option<u8> {
        let low = self.made(v, Op::VLow)?.args[0];
        let bits = self.made(low, Op::XBits)?.args[0];
        let n = self.made(bits, Op::XGetPhys)?.imm;
        (n < 8).then_some(n as u8)
    }

    fn load(&mut self, v: Val, ty: Ty) -> Option<Field> {
        let ld = self.peek(v).filter(|x| x.op == Op::Ld && x.ty == ty && x.imm & 1 == 0)?;
        self.take(v.index())?;
        self.addr = Some(ld.args[0]);
        Some(Field::Mem)
    }

    /// A vector that is an MMX register or 64 bits (32, for the low halves of interleaves) of memory.
    fn source(&mut self, v: Val, ty: Ty) -> Option<Field> {
        if self.peek(v)?.op == Op::VLow {
            return Some(Field::Mm(self.mm(v)?));
        }
        let x = self.made(v, Op::VZext)?;
        if x.ty != ty {
            return None;
        }
        self.load(x.args[0], ty)
    }

    /// `a` and `b` one behind the other.
    fn joined(&mut self, v: Val) -> Option<(Val, Val)> {
        let x = self.made(v, Op::VZipLo)?;
        (x.ty == Ty::I64).then_some((x.args[0], x.args[1]))
    }

    /// What writes the value `x`, 64 bits that become MMX register `d`.
    fn write(&mut self, x: Val, d: u8) -> Option<Insn> {
        let Some(ext) = self.peek(x).filter(|e| e.op == Op::VExt && e.ty == Ty::I64 && e.imm == 0) else {
            if self.load(x, Ty::I64).is_some() {
                return Some(plain(0x6f, d, Field::Mem));
            }
            let enc = Enc::new(Map::F, 0x6e).w(true);
            return Some(Insn { enc, ..plain(0x6e, d, Field::Gpr(x)) });
        };
        self.take(x.index())?;
        let v = ext.args[0];
        let r = self.peek(v)?;
        if r.op == Op::VLow {
            if self.peek(r.args[0]).is_some_and(|b| b.op == Op::XBits) {
                return Some(plain(0x6f, d, Field::Mm(self.mm(v)?)));
            }
            self.take(v.index())?;
            return Some(Insn { enc: Enc::new(Map::F, 0xd6).p(0xf2), ..plain(0xd6, d, Field::Vec(r.args[0])) });
        }
        self.take(v.index())?;
        let [a, b] = [r.args[0], r.args[1]];
        match r.op {
            Op::VZext if r.ty == Ty::I32 => {
                let rm = self.load(a, Ty::I32).unwrap_or(Field::Gpr(a));
                Some(plain(0x6e, d, rm))
            }
            Op::VShl | Op::VShr | Op::VSar => {
                let lane = match r.ty {
                    Ty::I16 => 1,
                    Ty::I32 => 2,
                    Ty::I64 if r.op != Op::VSar => 3,
                    _ => return None,
                };
                let (ext, row) = match r.op {
                    Op::VShr => (2, 0xd0),
                    Op::VSar => (4, 0xe0),
                    _ => (6, 0xf0),
                };
                if self.mm(a)? != d {
                    return None;
                }
                if let Some(n) = constant(self.block, b) {
                    return Some(Insn { imm: Some(u8::try_from(n).ok()?), ..plain(0x70 | lane, ext, Field::Mm(d)) });
                }
                let rm = match self.load(b, Ty::I64) {
                    Some(m) => m,
                    None => {
                        let n = self.made(b, Op::VExt)?;
                        if n.ty != Ty::I64 || n.imm != 0 {
                            return None;
                        }
                        self.source(n.args[0], Ty::I64)?
                    }
                };
                Some(plain(row | lane, d, rm))
            }
            Op::VShrB => {
                let z = self.peek(a).filter(|z| z.op == Op::VZipLo)?;
                self.take(a.index())?;
                if z.ty == Ty::I64 {
                    // palignr
                    let rm = self.source(z.args[0], Ty::I64)?;
                    let enc = Enc::new(Map::F3A, 0x0f);
                    let same = self.mm(z.args[1])? == d;
                    return same.then_some(Insn { enc, imm: Some(u8::try_from(r.imm).ok()?), ..plain(0, d, rm) });
                }
                // punpckh
                let op = match z.ty {
                    Ty::I8 => 0x68,
                    Ty::I16 => 0x69,
                    Ty::I32 => 0x6a,
                    _ => return None,
                };
                let rm = self.source(z.args[1], Ty::I64)?;
                (r.imm == 8 && self.mm(z.args[0])? == d).then_some(plain(op, d, rm))
            }
            Op::VShuf if r.ty == Ty::I16 && a == b && r.imm & !0x3333 == 0x7654_0000 => {
                let imm = (0..4).fold(0, |n, k| n | (r.imm >> (4 * k) & 3) << (2 * k)) as u8;
                Some(Insn { imm: Some(imm), ..plain(0x70, d, self.source(a, Ty::I64)?) })
            }
            Op::VIns if r.ty == Ty::I16 && r.imm < 4 => {
                if self.mm(a)? != d {
                    return None;
                }
                let rm = self.load(b, Ty::I16).unwrap_or(Field::Gpr(b));
                Some(Insn { imm: Some(r.imm as u8), ..plain(0xc4, d, rm) })
            }
            Op::VAbs => {
                let op = match r.ty {
                    Ty::I8 => 0x1c,
                    Ty::I16 => 0x1d,
                    Ty::I32 => 0x1e,
                    _ => return None,
                };
                Some(Insn { enc: Enc::new(Map::F38, op), ..plain(op, d, self.source(a, Ty::I64)?) })
            }
            Op::VTbl => {
                let and = self.made(b, Op::VAnd)?;
                let mask = self.block.insts.get(and.args[1].index()).filter(|m| m.op == Op::VZext)?;
                if mask.ty != Ty::I64 || constant(self.block, mask.args[0]) != Some(0x8787_8787_8787_8787) {
                    return None;
                }
                let rm = self.source(and.args[0], Ty::I64)?;
                (self.mm(a)? == d).then_some(Insn { enc: Enc::new(Map::F38, 0), ..plain(0, d, rm) })
            }
            op => {
                let enc = two_operand(op, r.ty)?.mmx()?;
                let halves =
                    matches!(op, Op::VPackSS | Op::VPackUS | Op::VHAdd | Op::VHAddSS | Op::VHSub | Op::VHSubSS);
                let (a, b) = match halves {
                    true if a == b => self.joined(a)?,
                    true => return None,
                    false => (a, b),
                };
                let rm = self.source(b, if op == Op::VZipLo { Ty::I32 } else { Ty::I64 })?;
                (self.mm(a)? == d).then_some(Insn { enc, ..plain(0, d, rm) })
            }
        }
    }

    /// An instruction whose result goes elsewhere: what computes it, and from which value.
    fn read(&mut self) -> Option<(Insn, usize)> {
        let get = (self.from..self.to).find(|k| self.block.insts[*k].op == Op::XGetPhys)?;
        let uses = |v: usize, from: usize| {
            (from..self.to).find(|k| self.block.insts[*k].operands().iter().any(|o| o.index() == v))
        };
        let bits = uses(get, get)?;
        let low = uses(bits, bits)?;
        let user = uses(low, low).map(|k| (k, &self.block.insts[k]));
        let s = Field::Mm(self.mm(Val(low as u16))?);
        let to = |op: u8, w: bool| Insn { enc: Enc::new(Map::F, op).w(w), reg: Field::ToGpr, rm: s, imm: None };
        let swapped = |x: Insn| Insn { reg: x.rm, rm: x.reg, ..x };
        let found = match user {
            Some((k, x)) if x.op == Op::VExt && x.imm == 0 && matches!(x.ty, Ty::I32 | Ty::I64) => {
                (swapped(to(0x7e, x.ty == Ty::I64)), k)
            }
            Some((k, x)) if x.op == Op::VExt && x.ty == Ty::I16 && x.imm < 4 => {
                (Insn { imm: Some(x.imm as u8), ..to(0xc5, false) }, k)
            }
            Some((k, x)) if x.op == Op::VMovMsk && x.ty == Ty::I8 => (to(0xd7, false), k),
            Some((_, x)) if x.op == Op::Set && x.ty == Ty::V128 => {
                (Insn { enc: Enc::new(Map::F, 0xd6).p(0xf3), reg: Field::ToVec, rm: s, imm: None }, low)
            }
            _ => return None,
        };
        self.take(found.1)?;
        Some(found)
    }

    fn store(&mut self, st: usize) -> Option<Insn> {
        let x = &self.block.insts[st];
        self.take(st)?;
        let value = self.made(x.args[1], Op::VExt)?;
        let op = match x.ty {
            Ty::I64 => 0x7f,
            Ty::I32 => 0x7e,
            _ => return None,
        };
        if value.ty != x.ty || value.imm != 0 || x.imm & 1 != 0 {
            return None;
        }
        let s = self.mm(value.args[0])?;
        self.addr = Some(x.args[0]);
        Some(plain(op, s, Field::Mem))
    }
}

/// The guest instruction that operations `from..to` of a block are.
pub(super) fn recognise(block: &Block, from: usize, to: usize) -> Option<Found> {
    let mut s = Search { block, from, to, members: [0; MOST], len: 0, addr: None };
    let (mut first, mut last, mut end) = (None, None, 0);
    let (mut checks, mut resets, mut stores, mut set) = (0, 0, 0, None);
    let mut skeleton = [0; 8];
    let mut len = 0;
    for (k, x) in block.insts.iter().enumerate().take(to).skip(from) {
        match x.op {
            Op::Get if x.imm < u64::from(Slot::FCW.0) || x.imm >= u64::from(Slot::YMM_FIRST) => continue,
            Op::Set if set.is_none() => {
                set = Some(k);
                continue;
            }
            Op::XChk => checks += 1,
            Op::XFn => match X87Fn::from_imm(x.imm)? {
                X87Fn::EnterMmx | X87Fn::Emms => resets += 1,
                _ => return None,
            },
            Op::XGetPhys | Op::Ld => {}
            Op::St | Op::XSetPhys => stores += 1,
            _ if x.op.effects() == Effects::PURE => continue,
            _ => return None,
        }
        *skeleton.get_mut(len)? = k;
        len += 1;
        first = first.or(Some(k));
        last = Some(k);
    }
    let (first, last) = (first?, last?);
    if (checks, resets) != (1, 1) || stores > 1 || set.is_some_and(|k| stores > 0 || k < last) {
        return None;
    }
    let members = |s: &mut Search| {
        skeleton[..len].iter().try_for_each(|k| match block.insts[*k].op {
            Op::XChk | Op::XFn => s.take(*k),
            _ => s.members[..s.len].contains(k).then_some(()),
        })
    };
    let mut result = None;
    let x = &block.insts[last];
    let insn = match x.op {
        Op::XFn if x.imm == X87Fn::Emms as u64 && len == 2 => None,
        Op::XSetPhys if x.imm < 8 => {
            s.take(last)?;
            let from = s.made(x.args[0], Op::XFrom)?;
            let ins = s.made(from.args[0], Op::VIns)?;
            if ins.ty != Ty::I16 || ins.imm != 4 || constant(block, ins.args[1]) != Some(0xffff) {
                return None;
            }
            let z = s.made(ins.args[0], Op::VZext)?;
            if z.ty != Ty::I64 {
                return None;
            }
            Some(s.write(z.args[0], x.imm as u8)?)
        }
        Op::XFn if stores == 1 => {
            let st = skeleton[..len].iter().find(|k| block.insts[**k].op == Op::St)?;
            Some(s.store(*st)?)
        }
        _ if stores == 0 => {
            let (insn, k) = s.read()?;
            result = Some(k);
            end = k;
            Some(insn)
        }
        _ => return None,
    };
    members(&mut s)?;
    end = end.max(last);
    let host = insn.map_or(Host::Emms, Host::Mmx);
    Some(Found::group(host, s.addr, result, (first, end), &s.members[..s.len]))
}

impl Emit<'_> {
    fn field(&mut self, f: Field, addr: Option<Val>) -> Rm {
        match f {
            Field::Mm(n) => Rm::Reg(n),
            Field::Mem => Rm::Mem(self.address(addr.unwrap_or(Val::NONE), 0)),
            Field::Gpr(v) => self.reg(v).into(),
            Field::Vec(v) => self.vreg(v).into(),
            Field::ToGpr => self.temp().into(),
            Field::ToVec => self.vtemp().into(),
        }
    }

    /// Emits an MMX instruction; `result` is the value that it computes for another register.
    pub(super) fn mmx(&mut self, insn: Insn, addr: Option<Val>, result: Option<usize>) {
        let rm = self.field(insn.rm, addr);
        let Rm::Reg(reg) = self.field(insn.reg, None) else { return self.fail("memory in the place of a register") };
        self.sync();
        self.a.emit(insn.enc, reg, rm);
        if let Some(imm) = insn.imm {
            self.a.byte(imm);
        }
        let Some(k) = result else { return };
        let v = Val(k as u16);
        match (insn.reg, insn.rm, rm) {
            (Field::ToVec, ..) => self.vdefine(v, demotic_asm::x64::Xmm(reg)),
            (Field::ToGpr, ..) => self.define(v, demotic_asm::x64::Reg(reg)),
            (_, Field::ToGpr, Rm::Reg(r)) => self.define(v, demotic_asm::x64::Reg(r)),
            _ => self.fail("result of an MMX instruction"),
        }
    }
}
