//! The typed builder that lifters write IR with. Methods are IR operations in lower case.
//!
//! The builder knows the type of every value, so that a lifter that mixes widths is stopped by an assertion in its first
//! test (debug builds; the verifier finds the same in any build).

use crate::block::{Block, Inst, Mark, Term, Val};
use crate::ops::{Op, TyRule};
use crate::simplify::{Known, simplifies};
use crate::slot::Slot;
use crate::ty::Ty;

/// Builds one block after the other.
#[derive(Debug)]
pub struct Builder {
    pub(crate) block: Block,
    /// What the block's end so far leaves behind; unused by [`Builder::new`].
    pub(crate) known: Option<Known>,
}

/// Most IR instructions a block may have; lifters end the block before.
pub const MAX_INSTS: usize = 4000;

macro_rules! binary {
    ($($name:ident $op:ident;)*) => {$(
        #[doc = concat!("See [`Op::", stringify!($op), "`]; the type is that of the first operand.")]
        pub fn $name(&mut self, a: Val, b: Val) -> Val {
            let ty = self.ty(a);
            self.op(Op::$op, ty, &[a, b])
        }
    )*};
}

macro_rules! unary {
    ($($name:ident $op:ident;)*) => {$(
        #[doc = concat!("See [`Op::", stringify!($op), "`]; the type is that of the operand.")]
        pub fn $name(&mut self, a: Val) -> Val {
            let ty = self.ty(a);
            self.op(Op::$op, ty, &[a])
        }
    )*};
}

impl Builder {
    /// A builder of a block that begins at a guest address; it writes down every operation as it is told.
    pub fn new(pc: u64) -> Builder {
        Builder { block: Block::new(pc), known: None }
    }

    /// A builder of blocks that leaves out what is known already ([`crate::simplify`]); see [`Builder::begin`].
    pub fn simplifying() -> Builder {
        Builder { block: Block::new(0), known: Some(Known::default()) }
    }

    /// Begins anew, with a block at `pc`, in the tables of one that is not needed any more. [`Builder::give`] gives them back.
    pub fn take(&mut self, block: &mut Block, pc: u64) {
        std::mem::swap(&mut self.block.insts, &mut block.insts);
        std::mem::swap(&mut self.block.marks, &mut block.marks);
        self.begin(pc);
    }

    /// Makes a block, the one whose tables were taken, what was built.
    pub fn give(&mut self, block: &mut Block) {
        block.reset(self.block.pc);
        std::mem::swap(&mut self.block.insts, &mut block.insts);
        std::mem::swap(&mut self.block.marks, &mut block.marks);
        (block.end, block.term) = (self.block.end, self.block.term);
    }

    /// Begins anew, with a block at `pc`.
    pub fn begin(&mut self, pc: u64) {
        self.block.reset(pc);
        if let Some(known) = &mut self.known {
            known.reset();
        }
    }

    /// The guest instruction at `pc`, `len` bytes long, begins here.
    pub fn mark(&mut self, pc: u64, len: u8) {
        self.block.marks.push(Mark { first: self.block.insts.len() as u16, len, pc });
    }

    /// Number of IR instructions so far.
    pub fn len(&self) -> usize {
        self.block.insts.len()
    }

    /// Whether nothing was built yet.
    pub fn is_empty(&self) -> bool {
        self.block.insts.is_empty()
    }

    /// Whether an operation from number `from` on writes memory.
    pub fn writes_since(&self, from: usize) -> bool {
        self.block.insts[from..].iter().any(|i| i.op.effects().0 & 4 != 0)
    }

    /// Takes back everything since the last mark, and that mark (a lifter gave up on an instruction).
    pub fn unmark(&mut self) {
        if let Some(mark) = self.block.marks.pop() {
            self.block.insts.truncate(usize::from(mark.first));
        }
        if let Some(known) = &mut self.known {
            known.reset();
        }
    }

    /// The end of the block.
    pub fn term_mut(&mut self) -> &mut Term {
        &mut self.block.term
    }

    /// Ends the block; `end` is the guest address behind it.
    #[inline(always)]
    pub fn end(&mut self, term: Term, end: u64) {
        self.block.term = self.simplified_end(term);
        self.block.end = end;
    }

    /// Ends the block and gives it away.
    pub fn finish(&mut self, term: Term, end: u64) -> Block {
        self.end(term, end);
        std::mem::replace(&mut self.block, Block::EMPTY)
    }

    /// The block as it is now.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// The operation that computes a value.
    pub(crate) fn inst(&self, v: Val) -> Option<&Inst> {
        self.block.insts.get(v.index())
    }

    /// Type of a value.
    #[inline]
    pub fn ty(&self, v: Val) -> Ty {
        self.block.insts.get(v.index()).map_or(Ty::None, Inst::result)
    }

    /// Any operation.
    #[inline(always)]
    pub fn op(&mut self, op: Op, ty: Ty, args: &[Val]) -> Val {
        self.op_imm(op, ty, args, 0)
    }

    /// Any operation with an immediate. Mostly the operation is known where this is compiled, and so is what is to be done.
    #[inline(always)]
    pub fn op_imm(&mut self, op: Op, ty: Ty, args: &[Val], imm: u64) -> Val {
        if cfg!(debug_assertions) {
            self.check(op, ty, args);
        }
        let mut all = [Val::NONE; 4];
        all.iter_mut().zip(args).for_each(|(to, from)| *to = *from);
        let inst = Inst { op, ty, args: all, imm };
        match op {
            Op::Get => self.read_slot(ty, imm),
            Op::Set => self.write_slot(ty, all[0], imm),
            Op::SetHi => self.write_high(inst),
            Op::GetFl => self.read_flags(inst),
            Op::SetFl => self.write_flags(inst),
            Op::Cond => self.condition(inst),
            Op::ExitIf | Op::Bulk => self.leaves(inst),
            Op::Const => self.push(inst),
            op if simplifies(op) => self.integers(inst),
            Op::FlAdd => self.ordered(inst),
            op if op.effects().changes_state() => self.changes(inst),
            _ => self.push(inst),
        }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, inst: Inst) -> Val {
        self.block.insts.push(inst);
        Val((self.block.insts.len() - 1) as u16)
    }

    fn check(&self, op: Op, ty: Ty, args: &[Val]) {
        let info = op.info();
        assert_eq!(info.args.len(), args.len(), "{}", info.name);
        for (&rule, &arg) in info.args.iter().zip(args) {
            let is = self.ty(arg);
            let ok = match rule {
                TyRule::T => is == ty || (ty == Ty::F32 && is == Ty::I32) || (ty == Ty::F64 && is == Ty::I64),
                TyRule::Is(t) => is == t,
                TyRule::Int => is.is_int(),
            };
            assert!(ok, "{}.{}: operand of type {}", info.name, ty.name(), is.name());
        }
    }

    /// A constant.
    pub fn c(&mut self, ty: Ty, value: u64) -> Val {
        self.op_imm(Op::Const, ty, &[], value & ty.mask())
    }

    /// Low bits of a slot.
    pub fn get(&mut self, ty: Ty, slot: Slot) -> Val {
        self.op_imm(Op::Get, ty, &[], u64::from(slot.0))
    }

    /// Writes a slot with the width of the value.
    pub fn set(&mut self, slot: Slot, v: Val) {
        let ty = self.ty(v);
        self.op_imm(Op::Set, ty, &[v], u64::from(slot.0));
    }

    /// The same where the type of the value is known.
    #[inline]
    pub fn set_as(&mut self, ty: Ty, slot: Slot, v: Val) {
        debug_assert_eq!(ty, self.ty(v));
        self.op_imm(Op::Set, ty, &[v], u64::from(slot.0));
    }

    /// The current flags.
    pub fn getfl(&mut self) -> Val {
        self.op(Op::GetFl, Ty::Fl, &[])
    }

    /// Writes the flags in `mask` (EFLAGS bits).
    pub fn setfl(&mut self, mask: u32, v: Val) {
        self.op_imm(Op::SetFl, Ty::Fl, &[v], u64::from(mask));
    }

    /// Zero-extends or truncates; nothing when the type is right already.
    pub fn zext(&mut self, ty: Ty, v: Val) -> Val {
        if self.ty(v) == ty { v } else { self.op(Op::Zext, ty, &[v]) }
    }

    /// Sign-extends; nothing when the type is right already.
    pub fn sext(&mut self, ty: Ty, v: Val) -> Val {
        let from = self.ty(v);
        if from == ty { v } else { self.op_imm(Op::Sext, ty, &[v], u64::from(from.bits())) }
    }

    /// Conditional value.
    pub fn sel(&mut self, c: Val, a: Val, b: Val) -> Val {
        let ty = self.ty(a);
        self.op(Op::Sel, ty, &[c, a, b])
    }

    /// Load.
    pub fn ld(&mut self, ty: Ty, addr: Val, attr: u64) -> Val {
        self.op_imm(Op::Ld, ty, &[addr], attr)
    }

    /// Store.
    pub fn st(&mut self, addr: Val, v: Val, attr: u64) {
        let ty = self.ty(v);
        self.op_imm(Op::St, ty, &[addr, v], attr);
    }

    /// The same where the type of the value is known.
    #[inline]
    pub fn st_as(&mut self, ty: Ty, addr: Val, v: Val, attr: u64) {
        debug_assert_eq!(ty, self.ty(v));
        self.op_imm(Op::St, ty, &[addr, v], attr);
    }

    /// Condition code `cc` of flags.
    pub fn cond(&mut self, cc: u8, fl: Val) -> Val {
        self.op_imm(Op::Cond, Ty::Fl, &[fl], u64::from(cc))
    }

    /// Condition code `cc` of the current flags.
    pub fn condition_of_flags(&mut self, cc: u8) -> Val {
        let fl = match self.written(crate::passes::flags::cond_reads(u64::from(cc))) {
            Some(fl) => fl,
            None => self.getfl(),
        };
        self.cond(cc, fl)
    }

    /// Leaves for `pc` when `c` is 1.
    pub fn exitif(&mut self, c: Val, pc: u64) {
        self.op_imm(Op::ExitIf, Ty::I1, &[c], pc);
    }

    /// a + constant.
    pub fn addi(&mut self, a: Val, n: i64) -> Val {
        if n == 0 {
            return a;
        }
        // Mostly it is a register with nothing done to it yet.
        if let Some(&Inst { op: Op::Get, ty, .. }) = self.inst(a) {
            if n as u64 & ty.mask() != 0 {
                let c = self.c(ty, n as u64);
                return self.push(Inst { op: Op::Add, ty, args: [a, c, Val::NONE, Val::NONE], imm: 0 });
            }
        }
        self.by_constant(Op::Add, a, n as u64)
    }

    /// a & constant.
    pub fn andi(&mut self, a: Val, n: u64) -> Val {
        self.by_constant(Op::And, a, n)
    }

    /// a >> constant, zeros in.
    pub fn shri(&mut self, a: Val, n: u32) -> Val {
        self.by_constant(Op::Shr, a, u64::from(n))
    }

    /// a << constant.
    pub fn shli(&mut self, a: Val, n: u32) -> Val {
        self.by_constant(Op::Shl, a, u64::from(n))
    }

    /// A shift or rotation by an i8 count.
    pub fn shift(&mut self, op: Op, a: Val, n: Val) -> Val {
        let ty = self.ty(a);
        self.op(op, ty, &[a, n])
    }

    /// Whether a value is zero.
    pub fn is_zero(&mut self, a: Val) -> Val {
        let ty = self.ty(a);
        let z = self.c(ty, 0);
        self.eq(a, z)
    }

    binary! {
        add Add; sub Sub; mul Mul; mulhiu MulHiU; mulhis MulHiS; and And; or Or; xor Xor;
        eq Eq; ltu LtU; lts LtS; fl_add FlAdd; fl_sub FlSub;
    }
    unary! { not Not; bswap Bswap; clz Clz; ctz Ctz; popcnt Popcnt; fl_logic FlLogic; }
}
