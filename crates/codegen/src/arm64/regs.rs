//! Values in registers: the block-local allocator, and the report of where everything is.
//!
//! Guest registers have fixed homes. A value of the block is either a name for what a home holds, a constant, in a temporary,
//! spilled to the frame, in the homes of the flags, or not computed (its user does that). Before a home is overwritten,
//! values that are still needed and live there move to a temporary.
//!
//! Every instruction goes through [`Emit::w`], which is where a second emission stops and takes the [`Place`]: the books
//! must be right at every instruction. So an operation writes its result with its last instruction, and a move is entered
//! in the books when it has been emitted and before its source is overwritten.

use super::Emit;
use super::analysis::NONE;
use crate::frame::{Frame, SPILLS};
use crate::{Loc, Place};
use core::mem::offset_of;
use demotic_asm::arm64::mem::{self, Access};
use demotic_asm::arm64::{Reg, Sz, V, ZR, int, simd, v, x};
use demotic_ir::block::Val;
use demotic_ir::interp;
use demotic_ir::ops::Op;
use demotic_ir::ty::Ty;
use smallvec::{SmallVec, smallvec};

/// Table for indirect branches; its low 16 bits are those of some entry.
pub(super) const TARGETS: Reg = x(29);
/// Table for indirect calls, in the same way. Code of the host may change it.
pub(super) const CALLS: Reg = x(18);
/// Frame register.
pub(super) const FRAME: Reg = x(28);
/// Raw parity source.
pub(super) const P: Reg = x(26);
/// Raw auxiliary-carry source.
pub(super) const A: Reg = x(27);
/// Scratch within one operation.
pub(super) const S0: Reg = x(16);
/// Scratch within one operation.
pub(super) const S1: Reg = x(17);
/// Scratch within one operation; branches to the runtime destroy it.
pub(super) const S2: Reg = x(30);

/// General temporaries.
pub(super) const TEMPS: [u8; 7] = [19, 20, 21, 22, 23, 24, 25];
/// Vector registers 0 to 12 are temporaries for values; 13 to 15 are scratch within one operation.
pub(super) const VTEMPS: u8 = 13;
/// Scratch within one operation.
pub(super) const VS0: V = v(15);
/// Scratch within one operation.
pub(super) const VS1: V = v(14);
/// Scratch within one operation.
pub(super) const VS2: V = v(13);

/// Where a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum W {
    /// Nowhere: its user computes it, or nobody does.
    Not,
    /// Known.
    Const(u64),
    /// What a slot's home holds.
    Home(u8),
    /// A general temporary. Flags: an EFLAGS image.
    T(u8),
    /// A vector temporary.
    V(u8),
    /// The frame.
    Spill(u16),
    /// The homes of the flags.
    Flags,
    /// `Frame::result`.
    Result,
}

/// Bit of the first vector temporary in [`Books::taken`].
const VECTORS: u32 = 8;

/// Values that are in one place.
type Names = SmallVec<[u16; 4]>;

/// What is in a temporary.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Own {
    #[default]
    Free,
    Vals(Names),
    /// A constant that may be asked for again.
    Const(u64),
    /// Taken for the current operation.
    Scratch,
    /// Part of the x87 state.
    X87,
}

/// The books of one block.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub loc: Vec<W>,
    /// Number of low bits that may be other than zero in a general register.
    pub bits: Vec<u8>,
    temps: [Own; TEMPS.len()],
    vtemps: [Own; VTEMPS as usize],
    /// Temporaries that may hold something: the general ones, and above [`VECTORS`] the others. At least those that do.
    taken: u32,
    /// Temporaries that the current operation uses.
    pinned: u32,
    vpinned: u32,
    /// Values that are names for a home.
    alias: [Names; 32],
    /// Homes that have had such names, one bit each.
    named: u32,
    /// Flags values in the homes of the flags, and conditions of them that are not computed.
    pub in_flags: Vec<u16>,
    spilled: Vec<Option<Names>>,
    /// Highest number of bits that may be set in a general register's home (only what this block wrote).
    pub home_bits: [u8; 16],
}

impl Books {
    /// Nothing is anywhere, for a block of `n` operations.
    pub fn clear(&mut self, n: usize, narrow: bool) {
        self.loc.clear();
        self.loc.resize(n, W::Not);
        self.bits.clear();
        self.bits.resize(n, 64);
        self.temps.iter_mut().chain(&mut self.vtemps).for_each(|own| *own = Own::Free);
        (self.pinned, self.vpinned, self.taken) = (0, 0, 0);
        let mut left = core::mem::take(&mut self.named);
        while left != 0 {
            self.alias[left.trailing_zeros() as usize].clear();
            left &= left - 1;
        }
        self.in_flags.clear();
        self.spilled.clear();
        self.home_bits = [if narrow { 32 } else { 64 }; 16];
    }
}

impl Books {
    /// A value is in the home of that slot as well.
    fn name(&mut self, slot: u8, v: u16) {
        self.named |= 1 << slot;
        self.alias[usize::from(slot)].push(v);
    }

    /// Says what is in a temporary.
    pub fn set_own(&mut self, t: usize, own: Own) {
        self.taken |= 1 << t;
        self.temps[t] = own;
    }

    /// Nobody needs a temporary any more, the operation at hand included.
    pub fn free(&mut self, t: usize) {
        self.temps[t] = Own::Free;
        self.pinned &= !(1 << t);
    }

    /// The operation at hand has no need any more of the values in a temporary, if it is one.
    pub fn unpin(&mut self, r: Reg) {
        use demotic_asm::arm64::Number;
        if let Some(k) = TEMPS.iter().position(|&t| u32::from(t) == r.n()) {
            if matches!(self.temps[k], Own::Vals(_)) {
                self.pinned &= !(1 << k);
            }
        }
    }

    /// Whether the current operation uses a temporary.
    pub fn is_pinned(&self, t: usize) -> bool {
        self.pinned >> t & 1 != 0
    }

    /// The current operation uses these temporaries.
    pub fn pin(&mut self, regs: &[Reg]) {
        use demotic_asm::arm64::Number;
        for r in regs {
            if let Some(t) = TEMPS.iter().position(|&t| u32::from(t) == r.n()) {
                self.pinned |= 1 << t;
            }
        }
    }

    /// Whether a vector temporary holds nothing.
    pub fn vector_is_free(&self, k: usize) -> bool {
        self.vtemps[k] == Own::Free
    }

    /// The vector temporary of a value that nobody asks for any more, when it is in one of its own.
    pub fn give_up_vector(&mut self, val: Val) -> Option<V> {
        let W::V(t) = self.loc[val.index()] else { return None };
        let own = &mut self.vtemps[usize::from(t)];
        if !matches!(own, Own::Vals(vals) if vals.as_slice() == [val.0]) {
            return None;
        }
        *own = Own::Scratch;
        self.loc[val.index()] = W::Not;
        Some(v(t))
    }

    /// A value moves to a vector temporary that was taken for it.
    pub fn move_vector(&mut self, val: Val, to: V) {
        use demotic_asm::arm64::Number;
        if let W::V(t) = self.loc[val.index()] {
            if let Own::Vals(vals) = &mut self.vtemps[usize::from(t)] {
                vals.retain(|w| *w != val.0);
                if vals.is_empty() {
                    self.vtemps[usize::from(t)] = Own::Free;
                }
            }
        }
        let t = to.n() as u8;
        self.loc[val.index()] = W::V(t);
        self.taken |= 1 << (VECTORS + u32::from(t));
        self.vtemps[usize::from(t)] = Own::Vals(smallvec![val.0]);
    }
}

impl Emit<'_> {
    /// One instruction.
    pub fn w(&mut self, word: u32) {
        if self.stop == Some(self.buf.offset()) && self.place.is_none() {
            self.place = Some(self.here());
        }
        self.buf.word(word);
    }

    /// An instruction with a displacement to a label.
    pub fn w_to(&mut self, word: u32, label: demotic_asm::buffer::Label, field: demotic_asm::buffer::Field) {
        let at = self.buf.offset();
        self.w(word);
        self.buf.refer(at, label, field);
    }

    /// Notes that the unit cannot be emitted.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// An instruction whose encoder may refuse; refusing is a mistake that the tests find, and costs the unit only.
    pub fn wo(&mut self, word: Option<u32>) {
        match word {
            Some(w) => self.w(w),
            None => {
                self.fail();
                self.w(demotic_asm::arm64::branch::brk(0));
            }
        }
    }

    /// What the state is before the next instruction.
    pub fn here(&self) -> Place {
        if let Some(place) = &self.fixed_place {
            return place.clone();
        }
        let mut values = Vec::new();
        // Inside a guest instruction of the x87 it is its beginning that counts, or what is behind its store.
        let index = self.x87.as_ref().and_then(|s| s.pending).unwrap_or(self.index);
        for k in 0..index.min(self.books.loc.len()) {
            if self.an[k].end() < index {
                continue;
            }
            let inst = &self.block.insts[k];
            if inst.op == Op::Nop {
                continue;
            }
            let result = inst.result();
            if result == Ty::None || self.batch.tentative(Val(k as u16)) {
                continue;
            }
            if let Some(loc) = self.low_place(k) {
                values.push((Val(k as u16), loc));
                continue;
            }
            let loc = match self.books.loc[k] {
                W::Const(c) => Loc::Const(c),
                W::Home(s) => Loc::Slot(s),
                W::T(r) => Loc::Gpr(TEMPS[usize::from(r)]),
                W::V(r) => Loc::Vec(r),
                W::Spill(s) => Loc::Spill(s),
                W::Flags => Loc::FlagsHome,
                W::Result => Loc::Result,
                W::Not if inst.op == Op::GetFl => Loc::FlagsHome,
                W::Not if inst.op == Op::Const => Loc::Const(inst.imm & inst.ty.mask()),
                W::Not => Loc::Recompute,
            };
            values.push((Val(k as u16), loc));
        }
        self.batch.report(&mut values);
        for &(slot, by) in &self.lag {
            values.push((crate::ADJUST, crate::adjustment(slot, by)));
        }
        if let Some(loc) = self.saved_flags {
            values.push((crate::SAVED_FLAGS, loc));
        }
        self.x87_report(&mut values);
        Place { block: self.number, index: index as u32, values }
    }

    /// What the state is when the operation at hand is done, its value in a register that is nobody's, and so is the computation of flags at `f`, which
    /// are in their homes.
    pub fn place_behind(&mut self, f: usize, value: Reg) -> Place {
        use demotic_asm::arm64::Number;
        let at = std::mem::replace(&mut self.index, f + 1);
        let mut place = self.here();
        self.index = at;
        for (v, loc) in &mut place.values {
            match v.index() {
                n if n == at => *loc = Loc::Gpr(value.n() as u8),
                n if n == f => *loc = Loc::FlagsHome,
                _ => {}
            }
        }
        place
    }

    /// The register that holds a constant already.
    pub fn find_const(&self, c: u64) -> Option<Reg> {
        (0..TEMPS.len()).find(|&k| self.books.temps[k] == Own::Const(c)).map(|k| x(TEMPS[k]))
    }

    /// A register that holds a constant from which this one is within reach of any access, and how far.
    pub fn near_const(&mut self, c: u64) -> Option<(Reg, i64)> {
        let near = |own: &Own| match own {
            Own::Const(k) => {
                let by = c.wrapping_sub(*k) as i64;
                ((-256..256).contains(&by) || (0..4096).contains(&by) && by & 15 == 0).then_some(by)
            }
            _ => None,
        };
        let (k, by) = (0..TEMPS.len()).find_map(|k| Some((k, near(&self.books.temps[k])?)))?;
        self.books.pinned |= 1 << k;
        Some((x(TEMPS[k]), by))
    }

    pub fn ty(&self, val: Val) -> Ty {
        self.block.insts[val.index()].result()
    }

    /// The value when it is a constant.
    pub fn constant(&self, val: Val) -> Option<u64> {
        let inst = self.block.insts.get(val.index())?;
        (inst.op == Op::Const).then_some(inst.imm & inst.ty.mask())
    }

    // ---- general registers ------------------------------------------------------------------------------------------

    /// A free temporary (index in the table), pinned for this operation.
    fn take(&mut self) -> u8 {
        let free = |own: &Own| matches!(own, Own::Free);
        let cached = |own: &Own| matches!(own, Own::Const(_));
        let pinned = self.books.pinned;
        let find = |f: &dyn Fn(&Own) -> bool| {
            (0..TEMPS.len()).find(|&k| pinned >> k & 1 == 0 && f(&self.books.temps[k])).map(|k| k as u8)
        };
        let k = match find(&free).or_else(|| find(&cached)) {
            Some(k) => k,
            None if self.x87_make_room() => return self.take(),
            None => self.evict(),
        };
        self.books.taken |= 1 << k;
        self.books.temps[usize::from(k)] = Own::Scratch;
        self.books.pinned |= 1 << k;
        k
    }

    /// Computes a value that was left to its user.
    fn compute_lazy(&mut self, val: Val) -> Reg {
        let k = val.index();
        self.an[k].lazy = false;
        self.op(k);
        match self.books.loc[k] {
            W::T(_) | W::Home(0..=15) => self.r(val),
            _ => {
                self.fail();
                S0
            }
        }
    }

    /// Spills the values of the temporary whose next need is farthest.
    fn evict(&mut self) -> u8 {
        let mut best = (0usize, 0u8);
        for k in 0..TEMPS.len() {
            if self.books.pinned >> k & 1 != 0 {
                continue;
            }
            if let Own::Vals(vals) = &self.books.temps[k] {
                let end = vals.iter().map(|&v| self.an[usize::from(v)].end()).max().unwrap_or(0);
                if end >= best.0 {
                    best = (end, k as u8);
                }
            }
        }
        let k = best.1;
        let own = core::mem::take(&mut self.books.temps[usize::from(k)]);
        if let Own::Vals(vals) = own {
            let s = self.spill_slot();
            self.frame_access(Access::StrX, x(TEMPS[usize::from(k)]), spill_offset(s));
            for &v in &vals {
                self.books.loc[usize::from(v)] = W::Spill(s);
            }
            self.set_spill(s, vals);
        } else {
            self.fail();
        }
        k
    }

    fn spill_slot(&mut self) -> u16 {
        let s = self.books.spilled.iter().position(Option::is_none).unwrap_or(self.books.spilled.len());
        if s >= SPILLS {
            self.fail();
            return 0;
        }
        s as u16
    }

    /// A spill slot that is nobody's until the operation at hand ends; its number and its offset in the frame.
    pub fn spare_spill(&mut self) -> (u16, usize) {
        let s = self.spill_slot();
        self.set_spill(s, Names::new());
        (s, spill_offset(s))
    }

    fn set_spill(&mut self, s: u16, vals: Names) {
        let s = usize::from(s);
        if self.books.spilled.len() <= s {
            self.books.spilled.resize(s + 1, None);
        }
        self.books.spilled[s] = Some(vals);
    }

    /// Load or store of a frame field.
    pub fn frame_access(&mut self, op: Access, t: impl demotic_asm::arm64::Number, offset: usize) {
        match mem::offset(op, t, FRAME, offset as i64) {
            Some(w) => self.w(w),
            None => {
                for w in int::mov_imm(Sz::X, S2, offset as u64) {
                    self.w(w);
                }
                self.w(mem::index(op, t, FRAME, S2, demotic_asm::arm64::Extend::Uxtx, false));
            }
        }
    }

    /// A temporary for the current operation only.
    pub fn scratch(&mut self) -> Reg {
        let k = self.take();
        x(TEMPS[usize::from(k)])
    }

    /// The register of a slot's home; general registers only.
    pub fn home(slot: u8) -> Reg {
        x(slot & 15)
    }

    /// Puts a number into a register.
    pub fn mov_imm(&mut self, sz: Sz, d: Reg, n: u64) {
        let mut words = int::mov_imm(sz, d, n);
        if let (Some(word), None) = (words.next(), words.next()) {
            self.w(word);
        } else {
            let label = self.literal(if sz == Sz::W { n & 0xffff_ffff } else { n });
            self.w_to(mem::literal_x(d), label, demotic_asm::buffer::Field::Arm19);
        }
    }

    /// A register that holds a number; kept for later uses.
    pub fn const_reg(&mut self, n: u64) -> Reg {
        if let Some(k) = (0..TEMPS.len()).find(|&k| self.books.temps[k] == Own::Const(n)) {
            self.books.pinned |= 1 << k;
            return x(TEMPS[k]);
        }
        let k = self.take();
        let r = x(TEMPS[usize::from(k)]);
        self.mov_imm(Sz::X, r, n);
        self.books.temps[usize::from(k)] = Own::Const(n);
        r
    }

    /// The general register that holds a value; it is computed or loaded when it is not in one. Never ZR.
    pub fn r(&mut self, val: Val) -> Reg {
        let k = val.index();
        match self.books.loc[k] {
            W::Home(s) if s < 16 => Self::home(s),
            W::Home(s) => {
                let t = self.scratch();
                self.w(demotic_asm::arm64::float::fmov_to(Sz::X, t, v(s)));
                t
            }
            W::T(t) => {
                self.books.pinned |= 1 << t;
                x(TEMPS[usize::from(t)])
            }
            W::Const(c) => self.const_reg(c),
            W::Spill(s) => {
                let t = self.take();
                self.frame_access(Access::LdrX, x(TEMPS[usize::from(t)]), spill_offset(s));
                let vals = self.books.spilled.get_mut(usize::from(s)).and_then(Option::take).unwrap_or_default();
                for &v in &vals {
                    self.books.loc[usize::from(v)] = W::T(t);
                }
                self.books.temps[usize::from(t)] = Own::Vals(vals);
                x(TEMPS[usize::from(t)])
            }
            W::Not => {
                if let Some(c) = self.constant(val) {
                    return self.const_reg(c);
                }
                self.compute_lazy(val)
            }
            W::V(r) => {
                let t = self.scratch();
                self.w(demotic_asm::arm64::float::fmov_to(Sz::X, t, v(r)));
                t
            }
            W::Flags | W::Result => {
                self.fail();
                S0
            }
        }
    }

    /// The same, ZR for 0.
    pub fn rz(&mut self, val: Val) -> Reg {
        if self.constant(val) == Some(0) { ZR } else { self.r(val) }
    }

    /// The register that the result of the current operation goes to. It may be an operand's: write it last.
    pub fn dest(&mut self, i: usize) -> Reg {
        if let Some(s) = self.an[i].into {
            if s < 16 {
                self.evacuate(s, i);
                return Self::home(s);
            }
        }
        x(TEMPS[usize::from(self.take())])
    }

    /// Enters the result of operation `i`, which is in `reg` as [`Emit::dest`] gave it.
    pub fn result(&mut self, i: usize, reg: Reg, bits: u8) {
        use demotic_asm::arm64::Number;
        let n = reg.n() as u8;
        self.books.bits[i] = bits;
        if n < 16 {
            self.books.loc[i] = W::Home(n);
            self.books.home_bits[usize::from(n)] = bits;
            self.books.name(n, i as u16);
        } else if let Some(t) = TEMPS.iter().position(|&t| t == n) {
            self.books.loc[i] = W::T(t as u8);
            self.books.set_own(t, Own::Vals(smallvec![i as u16]));
        } else {
            self.fail();
        }
    }

    /// The register of a value, the last one that was put there, has got so many bits that are not zero.
    pub fn widened(&mut self, i: usize, bits: u8) {
        self.books.bits[i] = bits;
        if let W::Home(n) = self.books.loc[i] {
            self.books.home_bits[usize::from(n)] = bits;
        }
    }

    /// Makes a value another name for one that is in a temporary.
    pub fn share(&mut self, i: usize, of: Val) -> bool {
        let bits = self.books.bits[of.index()];
        match self.books.loc[of.index()] {
            W::T(t) => {
                if let Own::Vals(vals) = &mut self.books.temps[usize::from(t)] {
                    vals.push(i as u16);
                    self.books.loc[i] = W::T(t);
                    self.books.bits[i] = bits;
                    return true;
                }
                false
            }
            W::V(t) => {
                if let Own::Vals(vals) = &mut self.books.vtemps[usize::from(t)] {
                    vals.push(i as u16);
                    self.books.loc[i] = W::V(t);
                    return true;
                }
                false
            }
            W::Home(s) => {
                self.books.name(s, i as u16);
                self.books.loc[i] = W::Home(s);
                self.books.bits[i] = bits;
                true
            }
            _ => false,
        }
    }

    /// Enters a value that is a name for a home.
    pub fn name_home(&mut self, i: usize, slot: u8, bits: u8) {
        self.books.loc[i] = W::Home(slot);
        self.books.bits[i] = bits;
        self.books.name(slot, i as u16);
    }

    /// Saves values that are needed behind operation `i` and live in a home that is about to be overwritten.
    pub fn evacuate(&mut self, slot: u8, i: usize) {
        let s = usize::from(slot);
        let names = core::mem::take(&mut self.books.alias[s]);
        let needed: Names = names
            .into_iter()
            .filter(|&k| self.an[usize::from(k)].end() > i && self.books.loc[usize::from(k)] == W::Home(slot))
            .collect();
        if needed.is_empty() {
            return;
        }
        // Values computed ahead in this very home stay (they are what is about to be written).
        if slot < 16 {
            let t = self.take();
            self.w(int::logic(
                int::Logic::Orr,
                Sz::X,
                x(TEMPS[usize::from(t)]),
                ZR,
                Self::home(slot),
                demotic_asm::arm64::Shift::Lsl,
                0,
            ));
            for &k in &needed {
                self.books.loc[usize::from(k)] = W::T(t);
            }
            self.books.temps[usize::from(t)] = Own::Vals(needed);
        } else {
            let t = self.vtake();
            self.w(simd::mov(v(t), v(slot)));
            for &k in &needed {
                self.books.loc[usize::from(k)] = W::V(t);
            }
            self.books.vtemps[usize::from(t)] = Own::Vals(needed);
        }
    }

    /// The home of a slot was written with value `val`: from now on the home is where it is.
    pub fn settle(&mut self, slot: u8, val: Val) {
        let k = val.index();
        match self.books.loc[k] {
            W::T(t) => {
                if let Own::Vals(vals) = &mut self.books.temps[usize::from(t)] {
                    vals.retain(|w| usize::from(*w) != k);
                    if vals.is_empty() {
                        self.books.temps[usize::from(t)] = Own::Free;
                    }
                }
            }
            W::V(t) => {
                if let Own::Vals(vals) = &mut self.books.vtemps[usize::from(t)] {
                    vals.retain(|w| usize::from(*w) != k);
                    if vals.is_empty() {
                        self.books.vtemps[usize::from(t)] = Own::Free;
                    }
                }
            }
            _ => return,
        }
        self.books.loc[k] = W::Home(slot);
        self.books.name(slot, k as u16);
    }

    /// Releases what nobody needs behind operation `i`.
    pub fn end_op(&mut self, i: usize) {
        let an = &self.an;
        let mut left = self.books.taken;
        while left != 0 {
            let t = left.trailing_zeros();
            left &= left - 1;
            let own = match t.checked_sub(VECTORS) {
                Some(v) => &mut self.books.vtemps[v as usize],
                None => &mut self.books.temps[t as usize],
            };
            let over = match own {
                Own::Vals(vals) => match vals.as_slice() {
                    // One value is the rule.
                    [v] => an[usize::from(*v)].end() <= i,
                    _ => {
                        vals.retain(|v| an[usize::from(*v)].end() > i);
                        vals.is_empty()
                    }
                },
                Own::Scratch | Own::Free => true,
                Own::Const(_) | Own::X87 => false,
            };
            if over {
                *own = Own::Free;
                self.books.taken &= !(1 << t);
            }
        }
        for s in &mut self.books.spilled {
            if s.as_ref().is_some_and(|vals| vals.iter().all(|&v| an[usize::from(v)].end() <= i)) {
                *s = None;
            }
        }
        self.books.in_flags.retain(|&v| an[usize::from(v)].end() > i);
        self.books.pinned = 0;
        self.books.vpinned = 0;
    }

    // ---- vector registers -------------------------------------------------------------------------------------------

    fn vtake(&mut self) -> u8 {
        let pinned = self.books.vpinned;
        let free = (0..VTEMPS).find(|&k| pinned >> k & 1 == 0 && self.books.vtemps[usize::from(k)] == Own::Free);
        let k = match free {
            Some(k) => k,
            None => {
                let mut best = (0usize, NONE);
                for k in 0..usize::from(VTEMPS) {
                    if let (0, Own::Vals(vals)) = (pinned >> k & 1, &self.books.vtemps[k]) {
                        let end = vals.iter().map(|&v| self.an[usize::from(v)].end()).max().unwrap_or(0);
                        if end >= best.0 {
                            best = (end, k);
                        }
                    }
                }
                if best.1 == NONE {
                    self.fail();
                    return 0;
                }
                let k = best.1;
                if let Own::Vals(vals) = core::mem::take(&mut self.books.vtemps[k]) {
                    let s = self.spill_slot();
                    self.frame_access(Access::StrQ, v(k as u8), spill_offset(s));
                    for &v in &vals {
                        self.books.loc[usize::from(v)] = W::Spill(s);
                    }
                    self.set_spill(s, vals);
                }
                k as u8
            }
        };
        self.books.taken |= 1 << (VECTORS + u32::from(k));
        self.books.vtemps[usize::from(k)] = Own::Scratch;
        self.books.vpinned |= 1 << k;
        k
    }

    /// The vector register that holds a V128 or F80 value.
    pub fn vr(&mut self, val: Val) -> V {
        self.complete(val);
        self.vector(val)
    }

    /// The vector register of a value, as it is.
    pub(super) fn vector(&mut self, val: Val) -> V {
        let k = val.index();
        match self.books.loc[k] {
            W::Home(s) => v(s),
            W::V(t) => {
                self.books.vpinned |= 1 << t;
                v(t)
            }
            W::Spill(s) => {
                let t = self.vtake();
                self.frame_access(Access::LdrQ, v(t), spill_offset(s));
                let vals = self.books.spilled.get_mut(usize::from(s)).and_then(Option::take).unwrap_or_default();
                for &v in &vals {
                    self.books.loc[usize::from(v)] = W::V(t);
                }
                self.books.vtemps[usize::from(t)] = Own::Vals(vals);
                v(t)
            }
            W::Not | W::Const(_) => {
                // A vector constant of the IR has only its low 64 bits.
                let c = self.constant(val);
                let t = self.vtake();
                match c {
                    Some(0) => self.w(simd::movi_b(v(t), 0)),
                    Some(c) => {
                        let r = self.const_reg(c);
                        self.w(demotic_asm::arm64::float::fmov_from(Sz::X, v(t), r));
                    }
                    None => self.fail(),
                }
                v(t)
            }
            W::T(_) | W::Flags | W::Result => {
                self.fail();
                VS0
            }
        }
    }

    /// The vector register for the result; it may be an operand's: write it last.
    pub fn vdest(&mut self, i: usize) -> V {
        if let Some(s) = self.an[i].into {
            if s >= 16 {
                self.evacuate(s, i);
                return v(s);
            }
        }
        v(self.vtake())
    }

    /// Enters a vector result.
    pub fn vresult(&mut self, i: usize, reg: V) {
        use demotic_asm::arm64::Number;
        let n = reg.n() as u8;
        if n >= 16 {
            self.name_home(i, n, 64);
        } else if n < VTEMPS {
            self.books.loc[i] = W::V(n);
            self.books.taken |= 1 << (VECTORS + u32::from(n));
            self.books.vtemps[usize::from(n)] = Own::Vals(smallvec![i as u16]);
        } else {
            self.fail();
        }
    }

    /// A vector temporary for the current operation only.
    pub fn vscratch(&mut self) -> V {
        v(self.vtake())
    }
}

fn spill_offset(s: u16) -> usize {
    offset_of!(Frame, spill) + usize::from(s) * size_of::<interp::V>()
}
