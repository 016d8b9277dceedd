//! What a handler sees: the decoded instruction, the builder, and operands as places.
//!
//! Discipline of every handler: first everything that can fault (loads, then stores), then register and flag writes. The IR
//! verifier checks it; it is what makes guest state precise.

pub mod alu;
pub mod atomic;
pub mod avx;
pub mod bits;
pub mod bmi;
pub mod branch;
pub mod convert;
pub mod mov;
pub mod muldiv;
pub(crate) mod pointers;
pub mod shift;
pub mod sse4;
pub mod sse4a;
pub mod sse_fp;
pub mod sse_int;
pub mod stack;
pub mod string;
pub mod system;
pub mod x87;

use crate::features::Features;
use crate::unit::{Limits, Segmented, TAG};
use demotic_ir::block::{Term, Val};
use demotic_ir::build::Builder;
use demotic_ir::interp::{ATTR_ALIGN16, ATTR_RMW, ATTR_STACK};
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::{Mode, eflags, seg};
use demotic_ir::ty::Ty;
use iced_x86::{Instruction, OpKind, Register};

/// How lifting goes on after an instruction.
#[derive(Clone, Copy, Debug)]
pub enum Flow {
    /// With the next instruction.
    Next,
    /// Not: the block is ended ([`Lifter::end`]).
    End,
    /// The instruction raises #UD.
    Undefined,
    /// A valid instruction that has no handler for this form yet.
    Unimplemented,
}

/// Flags of a flags write.
pub const ALL: u32 = eflags::ARITH;
/// All but carry (inc, dec).
pub const NO_CF: u32 = eflags::ARITH & !eflags::CF;
/// Carry and overflow (rotates, multiplications).
pub const CF_OF: u32 = eflags::CF | eflags::OF;

/// Condition code "below": the carry flag.
pub const CC_B: u8 = 2;
/// Condition code "equal".
pub const CC_E: u8 = 4;

/// Where an operand lives.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A general register, by number, with its width.
    Gpr(usize, Ty),
    /// AH, CH, DH or BH (number of the full register).
    High(usize),
    /// A vector register.
    Xmm(usize),
    /// An MMX register.
    Mm(usize),
    /// Memory: linear address, width, `ld`/`st` attributes.
    Mem(Val, Ty, u64),
    /// A constant.
    Imm(u64, Ty),
    /// A segment selector.
    Seg(usize),
}

/// What a memory operand says: `base + index << scale + disp`, computed in `ty`, or a fixed address (relative to the instruction).
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Address size.
    pub ty: Ty,
    /// The whole of it, when no register goes in.
    pub fixed: Option<u64>,
    /// General register.
    pub base: Option<usize>,
    /// General register and the logarithm of what it is multiplied by.
    pub index: Option<(usize, u32)>,
    /// Displacement, sign-extended.
    pub disp: u64,
}

/// The lifter of one instruction.
#[derive(Debug)]
pub struct Lifter<'a> {
    /// Where the IR goes.
    pub b: &'a mut Builder,
    /// The instruction.
    pub insn: &'a Instruction,
    /// Mode of the code.
    pub mode: Mode,
    /// Its address.
    pub pc: u64,
    /// Its bytes, and perhaps some behind them.
    pub bytes: &'a [u8],
    /// Address behind it.
    pub next: u64,
    /// What the guest's processor can do.
    pub features: Features,
    /// In code with segments that are not flat, what they are.
    pub segmented: Option<Segmented>,
}

impl<'a> Lifter<'a> {
    /// A lifter for one decoded instruction.
    pub fn new(
        b: &'a mut Builder,
        insn: &'a Instruction,
        bytes: &'a [u8],
        mode: Mode,
        pc: u64,
        next: u64,
        limits: &Limits,
    ) -> Self {
        Lifter { b, insn, bytes, mode, pc, next, features: limits.features, segmented: limits.segmented }
    }

    /// Whether this is 64-bit code.
    pub fn long(&self) -> bool {
        self.mode == Mode::Long
    }

    /// Type of a general register by its size in bytes.
    pub fn int_ty(bytes: usize) -> Ty {
        Ty::int(bytes as u32).unwrap_or(Ty::I64)
    }

    /// Width of the native register and stack slot of the mode.
    pub fn word(&self) -> Ty {
        match self.mode {
            Mode::Long => Ty::I64,
            Mode::Compat32 => Ty::I32,
            Mode::Compat16 => Ty::I16,
        }
    }

    /// Number of operands.
    pub fn count(&self) -> u32 {
        self.insn.op_count()
    }

    /// The place of a register operand.
    pub fn reg_place(r: Register) -> Place {
        if r.is_gpr8() {
            return match r {
                Register::AH | Register::CH | Register::DH | Register::BH => Place::High(r.number() & 3),
                _ => Place::Gpr(gpr8(r), Ty::I8),
            };
        }
        if r.is_gpr() {
            return Place::Gpr(r.number(), Self::int_ty(r.size()));
        }
        if r.is_segment_register() {
            return Place::Seg(r.number());
        }
        if r.is_mm() {
            return Place::Mm(r.number());
        }
        Place::Xmm(r.number())
    }

    /// The place of operand `i`. For memory the address is computed here, once; its width is the instruction's memory size.
    pub fn place(&mut self, i: u32) -> Place {
        match self.insn.op_kind(i) {
            OpKind::Register => Self::reg_place(self.insn.op_register(i)),
            OpKind::Memory => {
                let ty = match self.insn.memory_size().size() {
                    16 => Ty::V128,
                    10 => Ty::F80,
                    n => Self::int_ty(n),
                };
                let addr = self.ea();
                Place::Mem(addr, ty, self.stack_attr())
            }
            OpKind::Immediate8 => Place::Imm(u64::from(self.insn.immediate8()), Ty::I8),
            _ => {
                let ty = (0..self.count())
                    .filter(|k| self.insn.op_kind(*k) == OpKind::Register)
                    .map(|k| Self::int_ty(self.insn.op_register(k).size()))
                    .next()
                    .unwrap_or(match self.insn.op_kind(i) {
                        OpKind::Immediate16 | OpKind::Immediate8to16 => Ty::I16,
                        OpKind::Immediate32 | OpKind::Immediate8to32 => Ty::I32,
                        _ => Ty::I64,
                    });
                Place::Imm(self.insn.try_immediate(i).unwrap_or(0), ty)
            }
        }
    }

    /// The place of an operand that is read and written: a fault of the read counts as one of the write.
    pub fn place_rw(&mut self, i: u32) -> Place {
        match self.place(i) {
            Place::Mem(addr, ty, attr) => Place::Mem(addr, ty, attr | ATTR_RMW),
            p => p,
        }
    }

    /// Whether operand `i` is in memory.
    pub fn is_mem(&self, i: u32) -> bool {
        self.insn.op_kind(i) == OpKind::Memory
    }

    /// Attributes of a memory operand through SS. 64-bit code has no segment overrides but FS and GS: the base register decides.
    pub fn stack_attr(&self) -> u64 {
        let base = self.insn.memory_base().full_register();
        let stack = match self.mode {
            Mode::Long => {
                matches!(base, Register::RSP | Register::RBP)
                    && !matches!(self.insn.segment_prefix(), Register::FS | Register::GS)
            }
            _ => self.insn.memory_segment() == Register::SS,
        };
        if stack { ATTR_STACK } else { 0 }
    }

    /// A store to the memory operand that an x87 exception may hold back: operands address, value, whether it does.
    pub fn store_unless(&mut self, ty: Ty, args: &[Val]) -> Val {
        let attr = self.stack_attr();
        self.b.op_imm(Op::StUnless, ty, args, 1 | attr)
    }

    /// An atomic operation on the memory operand.
    pub fn atomic(&mut self, op: Op, ty: Ty, args: &[Val]) -> Val {
        let attr = self.stack_attr();
        self.b.op_imm(op, ty, args, attr)
    }

    /// Linear address of the memory operand.
    pub fn ea(&mut self) -> Val {
        let offset = self.ea_offset();
        let bytes = self.insn.memory_size().size().max(1);
        self.linear(self.insn.memory_segment(), offset, bytes as u32)
    }

    /// Address size of the memory operand.
    pub fn address_ty(&self) -> Ty {
        let regs = [self.insn.memory_base(), self.insn.memory_index()];
        let size = regs.iter().map(|r| r.size()).max().unwrap_or(0);
        let size = if size > 0 { size } else { self.insn.memory_displ_size() as usize };
        match size {
            2 => Ty::I16,
            4 => Ty::I32,
            8 => Ty::I64,
            _ => self.word(),
        }
    }

    /// Offset of the memory operand within its segment, zero-extended to 64 bits (what `lea` gives).
    pub fn ea_offset(&mut self) -> Val {
        let insn = self.insn;
        let present = |r: Register| (r != Register::None).then(|| r.number());
        let scale = insn.memory_index_scale().trailing_zeros();
        let fixed = insn.is_ip_rel_memory_operand().then(|| insn.ip_rel_memory_address());
        let m = match fixed {
            Some(_) => Memory { ty: Ty::I64, fixed, base: None, index: None, disp: 0 },
            None => Memory {
                ty: self.address_ty(),
                fixed,
                base: present(insn.memory_base()),
                index: present(insn.memory_index()).map(|n| (n, scale)),
                disp: insn.memory_displacement64(),
            },
        };
        self.offset(m)
    }

    /// The offset that a memory operand says, zero-extended to 64 bits.
    #[inline]
    pub fn offset(&mut self, m: Memory) -> Val {
        if let Some(address) = m.fixed {
            return self.b.c(Ty::I64, address);
        }
        let mut sum = m.base.map(|n| self.b.get(m.ty, Slot::gpr(n)));
        if let Some((n, scale)) = m.index {
            let mut x = self.b.get(m.ty, Slot::gpr(n));
            if scale > 0 {
                x = self.b.shli(x, scale);
            }
            sum = Some(match sum {
                Some(s) => self.b.add(s, x),
                None => x,
            });
        }
        let v = match sum {
            Some(s) => self.b.addi(s, m.disp as i64 & m.ty.mask() as i64),
            None => self.b.c(m.ty, m.disp),
        };
        self.b.zext(Ty::I64, v)
    }

    /// Linear address of an offset (i64) in a segment, for an access of `bytes` there (0: it is not to be checked).
    pub fn linear(&mut self, segment: Register, offset: Val, bytes: u32) -> Val {
        let n = if segment.is_segment_register() { segment.number() } else { seg::DS };
        self.based(n, offset, bytes)
    }

    /// Compares the `bytes` at an offset with the segment's end, unless the value (i64) that `spared` gives is negative.
    pub fn check_if(&mut self, segment: Register, offset: Val, bytes: i64, spared: impl FnOnce(&mut Builder) -> Val) {
        let n = if segment.is_segment_register() { segment.number() } else { seg::DS };
        if self.has_end(n) {
            let beyond = self.beyond(n, offset, bytes);
            let spared = spared(self.b);
            let beyond = self.b.op(Op::Or, Ty::I64, &[beyond, spared]);
            self.b.op(Op::CheckNeg, Ty::I64, &[beyond]);
        }
    }

    /// Whether accesses in a segment are compared with its end.
    fn has_end(&self, n: usize) -> bool {
        self.segmented.is_none() && !self.long() && (n == seg::FS || n == seg::GS)
    }

    /// What is negative when `bytes` at an offset are inside a segment.
    fn beyond(&mut self, n: usize, offset: Val, bytes: i64) -> Val {
        let end = self.b.get(Ty::I64, Slot::seg_end(n));
        let last = self.b.addi(offset, bytes - 1);
        self.b.add(last, end)
    }

    /// The same by the number of the segment; in a flat process all but FS and GS begin at 0.
    pub fn based(&mut self, n: usize, offset: Val, bytes: u32) -> Val {
        if self.segmented.is_some() {
            let base = self.b.get(Ty::I64, Slot::seg_base(n));
            let sum = self.b.add(base, offset);
            let sum = self.b.andi(sum, 0xffff_ffff);
            return self.b.addi(sum, (n as i64 + 1) << TAG);
        }
        if n != seg::FS && n != seg::GS {
            return offset;
        }
        if bytes > 0 && self.has_end(n) {
            let beyond = self.beyond(n, offset, i64::from(bytes));
            self.b.op(Op::CheckNeg, Ty::I64, &[beyond]);
        }
        let base = self.b.get(Ty::I64, Slot::seg_base(n));
        let sum = self.b.add(base, offset);
        if self.long() {
            return sum;
        }
        self.b.andi(sum, 0xffff_ffff)
    }

    /// Reads a place in its own width.
    pub fn load(&mut self, p: Place) -> Val {
        match p {
            Place::Gpr(n, ty) => self.b.get(ty, Slot::gpr(n)),
            Place::High(n) => self.b.op_imm(Op::GetHi, Ty::I8, &[], n as u64),
            Place::Xmm(n) => self.b.get(Ty::V128, Slot::xmm(n)),
            Place::Mm(n) => {
                let f = self.b.op_imm(Op::XGetPhys, Ty::F80, &[], n as u64);
                let v = self.b.op(Op::XBits, Ty::V128, &[f]);
                self.b.op(Op::VLow, Ty::V128, &[v])
            }
            Place::Mem(addr, ty, attr) => self.b.ld(ty, addr, attr),
            Place::Imm(v, ty) => self.b.c(ty, v),
            Place::Seg(n) => self.b.get(Ty::I16, Slot::seg_sel(n)),
        }
    }

    /// Writes a place.
    pub fn store(&mut self, p: Place, v: Val) {
        match p {
            Place::Gpr(n, _) => self.b.set(Slot::gpr(n), v),
            Place::High(n) => {
                self.b.op_imm(Op::SetHi, Ty::I8, &[v], n as u64);
            }
            Place::Xmm(n) => self.b.set(Slot::xmm(n), v),
            Place::Mm(n) => {
                // A write to an MMX register sets sign and exponent of the x87 register to ones (SDM vol. 1, 9.5.1).
                let lo = self.b.op_imm(Op::VExt, Ty::I64, &[v], 0);
                let z = self.b.op(Op::VZext, Ty::I64, &[lo]);
                let ones = self.b.c(Ty::I16, 0xffff);
                let w = self.b.op_imm(Op::VIns, Ty::I16, &[z, ones], 4);
                let f = self.b.op(Op::XFrom, Ty::F80, &[w]);
                self.b.op_imm(Op::XSetPhys, Ty::F80, &[f], n as u64);
            }
            Place::Mem(addr, _, attr) => self.b.st(addr, v, attr & !ATTR_RMW),
            Place::Imm(..) | Place::Seg(_) => {}
        }
    }

    /// Reads operand `i`.
    pub fn read(&mut self, i: u32) -> Val {
        let p = self.place(i);
        self.load(p)
    }

    /// Reads operand `i` in the given width: immediates are cut, narrower integers sign-extended as encoded.
    pub fn read_as(&mut self, i: u32, ty: Ty) -> Val {
        match self.place(i) {
            Place::Imm(v, _) => self.b.c(ty, v),
            p => self.load(p),
        }
    }

    /// Writes operand `i`; only for operands that are not in memory or are not also read.
    pub fn write(&mut self, i: u32, v: Val) {
        let p = self.place(i);
        self.store(p, v);
    }

    /// Width of operand `i`.
    pub fn ty(&self, i: u32) -> Ty {
        match self.insn.op_kind(i) {
            OpKind::Register => Self::int_ty(self.insn.op_register(i).size()),
            _ => Self::int_ty(self.insn.memory_size().size()),
        }
    }

    /// A general register in a width.
    pub fn gpr(&mut self, n: usize, ty: Ty) -> Val {
        self.b.get(ty, Slot::gpr(n))
    }

    /// Writes a general register with the width of the value.
    pub fn set_gpr(&mut self, n: usize, v: Val) {
        self.b.set(Slot::gpr(n), v);
    }

    /// The carry flag as a truth value.
    pub fn carry(&mut self) -> Val {
        self.b.condition_of_flags(CC_B)
    }

    /// Condition code of a Jcc, SETcc or CMOVcc. iced numbers them from 1 in the order of the opcode nibble.
    pub fn condition_code(&self) -> u8 {
        (self.insn.condition_code() as u8).wrapping_sub(1) & 15
    }

    /// The condition of a Jcc, SETcc or CMOVcc.
    pub fn condition(&mut self) -> Val {
        self.b.condition_of_flags(self.condition_code())
    }

    /// Flags from a carry-like truth value in `flag`s.
    pub fn set_flag_if(&mut self, v: Val, flags: u32) {
        let yes = self.b.c(Ty::I32, u64::from(flags));
        let no = self.b.c(Ty::I32, 0);
        let image = self.b.sel(v, yes, no);
        let fl = self.b.op(Op::FlFrom, Ty::Fl, &[image]);
        self.b.setfl(flags, fl);
    }

    /// A constant flags value without any flag.
    pub fn no_flags(&mut self) -> Val {
        let z = self.b.c(Ty::I32, 0);
        self.b.op(Op::FlFrom, Ty::Fl, &[z])
    }

    /// Attributes for a 16-byte memory operand that has to be aligned.
    pub fn aligned(p: Place) -> Place {
        match p {
            Place::Mem(a, Ty::V128, attr) => Place::Mem(a, Ty::V128, attr | ATTR_ALIGN16),
            p => p,
        }
    }

    /// Ends the block behind this instruction. The terminal is written down where it stays: handed on and copied it would cost as much as an
    /// instruction, because it consists of parts that are read back before they have arrived in memory.
    #[inline(always)]
    pub fn end(&mut self, term: Term) -> Flow {
        self.b.end(term, self.next);
        Flow::End
    }

    /// Ends the block with a fault at this instruction.
    pub fn fault(&mut self, vector: u8) -> Flow {
        self.end(Term::Fault { vector, code: 0, pc: self.pc })
    }
}

/// Number of the full register of an 8-bit low register (AL.., SPL.., R8L..).
fn gpr8(r: Register) -> usize {
    let full = r.full_register();
    full.number()
}
