//! What the x87 environment says of the last instruction: its address, its opcode, its operand in memory (SDM vol. 1, section 8.1.8).
//!
//! [`Op::XChk`] begins such an instruction and has opcode and segment in its immediate; address and operand follow from the block. They become state
//! when the instruction has completed, so one that faults leaves those of its predecessor.

use super::Scratch;
use crate::block::{Block, Inst, Val};
use crate::ops::{Op, X87Fn};
use crate::slot::Slot;
use crate::state::{GuestState, Mode, seg};

/// There is no such operation.
const NEVER: usize = usize::MAX;

/// An instruction under way.
#[derive(Clone, Copy, Debug)]
pub struct Pointers {
    /// The next operation at which something is to be done.
    pub(super) next: usize,
    end: usize,
    imm: u64,
    pc: u64,
    operand: Option<u64>,
}

impl Pointers {
    /// None is.
    pub(super) const NONE: Pointers = Pointers { next: NEVER, end: 0, imm: 0, pc: 0, operand: None };
    const PRESENT: u64 = 1 << 11;
    const MEMORY: u64 = 1 << 15;

    /// The immediate for an opcode of 11 bits, with the segment of an operand in memory.
    pub fn code(fop: u16, segment: Option<usize>) -> u64 {
        let operand = segment.map_or(0, |n| (n as u64) << 12 | Self::MEMORY);
        u64::from(fop & 0x7ff) | Self::PRESENT | operand
    }

    /// The opcode in an immediate.
    pub fn fop(imm: u64) -> u16 {
        imm as u16 & 0x7ff
    }

    /// The segment in an immediate.
    pub fn segment(imm: u64) -> Option<usize> {
        (imm & Self::MEMORY != 0).then_some((imm >> 12) as usize & 7)
    }

    /// Whether an operation writes the slots of the last instruction by itself.
    pub fn sets(inst: &Inst) -> bool {
        match inst.op {
            Op::XFn => inst.imm == X87Fn::Fninit as u64,
            op => op == Op::Set && inst.imm == u64::from(Slot::FIP.0),
        }
    }

    /// The index of the operation behind the one at `chk` that accesses the operand in memory, and its address.
    pub fn access(block: &Block, chk: usize) -> Option<(usize, Val)> {
        Self::segment(block.insts[chk].imm)?;
        let accesses = |op| matches!(op, Op::Ld | Op::St | Op::StUnless);
        let at = chk + block.insts[chk..Self::end(block, chk)].iter().position(|x| accesses(x.op))?;
        Some((at, block.insts[at].args[0]))
    }

    /// Where the guest instruction that operation `at` belongs to ends.
    fn end(block: &Block, at: usize) -> usize {
        let n = block.marks.partition_point(|m| usize::from(m.first) <= at);
        block.marks.get(n).map_or(block.insts.len(), |m| usize::from(m.first))
    }

    /// Operation `at` has begun one.
    #[cold]
    pub(super) fn begin(block: &Block, at: usize, imm: u64) -> Pointers {
        let end = Self::end(block, at);
        let next = Self::access(block, at).map_or(end, |(at, _)| at);
        Pointers { next, end, imm, pc: block.mark_at(at).map_or(block.pc, |m| m.pc), operand: None }
    }

    /// The state is that before operation `from`, of translated code, which has not kept the last instruction; `value` gives what it still has of
    /// the values before. An operand whose address is none of them is not known any more.
    #[cold]
    pub fn before(block: &Block, from: usize, state: &mut GuestState, value: impl Fn(Val) -> Option<u64>) {
        let done = &block.insts[..from.min(block.insts.len())];
        let since = done.iter().rposition(Self::sets).unwrap_or(0);
        let last = |memory: bool| {
            let named = |x: &Inst| x.op == Op::XChk && x.imm != 0 && (!memory || Self::segment(x.imm).is_some());
            let find = |end: usize| done[since..end].iter().rposition(named).map(|at| since + at);
            // Of those that begin before it only the last can be unfinished.
            let at = find(done.len())?;
            if Self::end(block, at) <= from { Some(at) } else { find(at) }
        };
        let Some(at) = last(false) else { return };
        if let Some(with) = last(true) {
            let address = Self::access(block, with).and_then(|(_, address)| value(address));
            Self::set(state, block.pc, block.insts[with].imm, address);
        }
        Self::set(state, block.mark_at(at).map_or(block.pc, |m| m.pc), block.insts[at].imm, None);
    }

    /// Operation `at` is next.
    #[cold]
    pub(super) fn reach(&mut self, block: &Block, at: usize, state: &mut GuestState, scratch: &Scratch) {
        if at != self.next {
            return;
        }
        if at < self.end {
            self.operand = Some(scratch.vector(block.insts[at].args[0]).lo);
            self.next = self.end;
            return;
        }
        self.next = NEVER;
        Self::set(state, self.pc, self.imm, self.operand);
    }

    /// Makes an instruction at `pc` the last one; `operand` is the linear address of its operand in memory.
    pub fn set(state: &mut GuestState, pc: u64, imm: u64, operand: Option<u64>) {
        state.x87.fip = pc;
        state.x87.fop = Self::fop(imm);
        state.x87.fcs = state.seg_sel[seg::CS];
        if let Some((linear, n)) = operand.zip(Self::segment(imm)) {
            let base = if matches!(n, seg::FS | seg::GS) || state.segmented { state.seg_base[n] } else { 0 };
            let offset = linear.wrapping_sub(base);
            state.x87.fdp = if state.mode == Mode::Long { offset } else { offset & 0xffff_ffff };
            state.x87.fds = state.seg_sel[n];
        }
    }
}
