//! Units, blocks, instructions, terminals.
//!
//! A [`Unit`] is what is translated at a time: several blocks of one mode, each of which can be entered on its own.
//! Inside a block values are SSA and named by the index of the instruction that makes them; between blocks only slots and
//! flags live. [`Mark`]s tie IR positions to guest instructions: they are the side table for precise state.

use crate::ops::Op;
use crate::state::Mode;
use crate::ty::Ty;

/// A value: the index of the instruction that computes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Val(pub u16);

impl Val {
    /// No operand.
    pub const NONE: Val = Val(u16::MAX);
    /// As an index.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inst {
    /// What to do.
    pub op: Op,
    /// The `T` of the table.
    pub ty: Ty,
    /// Operands; unused ones are [`Val::NONE`].
    pub args: [Val; 4],
    /// Immediate; its meaning is in the table.
    pub imm: u64,
}

impl Inst {
    /// Number of operands.
    #[inline]
    pub fn arity(&self) -> usize {
        self.op.arity()
    }
    /// The operands in use.
    #[inline]
    pub fn operands(&self) -> &[Val] {
        &self.args[..self.arity()]
    }
    /// Type of the result.
    #[inline]
    pub fn result(&self) -> Ty {
        self.op.result_type(self.ty)
    }
    /// What stands where something was removed.
    pub const NOP: Inst = Inst { op: Op::Nop, ty: Ty::None, args: [Val::NONE; 4], imm: 0 };
}

/// Where a guest instruction begins in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Index of its first IR instruction.
    pub first: u16,
    /// Length in bytes (1..=15), 0 for what belongs to no instruction at the block's end.
    pub len: u8,
    /// Guest address.
    pub pc: u64,
}

/// Flags that a pass left uncomputed because nobody reads them, and how to rebuild them for a precise state: at a fault
/// or interruption in `from..to` (instruction indices) the flags in `mask` are what `def` computes of values still at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deferred {
    /// First instruction index at which this holds.
    pub from: u16,
    /// First index behind.
    pub to: u16,
    /// EFLAGS bits.
    pub mask: u32,
    /// The flags operation, not part of the block.
    pub def: Inst,
}

/// A direct edge: a guest address, and the block of the same unit that stands for it when there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edge {
    /// Guest address.
    pub pc: u64,
    /// Index in [`Unit::blocks`].
    pub block: Option<u32>,
}

impl Edge {
    /// An edge that is not resolved yet.
    pub fn to(pc: u64) -> Edge {
        Edge { pc, block: None }
    }
}

/// What an indirect branch is for; a hint for return prediction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Indirect {
    /// `jmp r/m`.
    Jump,
    /// `call r/m`; the immediate return address is a likely later target.
    Call,
    /// `ret`.
    Ret,
}

/// Things that the executor asks its environment to do between two guest instructions: they need a clock, the CPU model
/// or descriptor tables, which the IR does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Service {
    /// `cpuid`.
    Cpuid,
    /// `rdtsc`.
    Rdtsc,
    /// `rdtscp`.
    Rdtscp,
    /// `xgetbv`.
    Xgetbv,
    /// Load segment register: operands are the segment number, with the bytes to pop above bit 8, the number of a general register to be written
    /// plus 1 above bit 16 and its width in bytes above bit 24, and the selector above bit 32; and the value for that register.
    LoadSeg,
    /// Far transfer: operands are the selector, with the kind (jmp 0, call 1, retf 2, iret 3) above bit 16, the operand size in bytes above bit 20 and
    /// what retf releases beyond, in bytes, above bit 32; and the offset. What is popped has its selector and offset on the stack.
    Far,
    /// `rdpid`-like: processor number.
    Rdpid,
    /// TF may have been set: whoever executes has to look.
    Trace,
    /// `xsave` and its kin: operands are the address and [`crate::xstate::Request::code`].
    Xstate,
    /// `lar`, `lsl`, `verr`, `verw`: operands are the selector, and which of them (0 to 3) with the register number above bit 8 and its width in bits
    /// above bit 16.
    Descriptor,
    /// `rdrand`, `rdseed`: operands are the register number and its width in bits.
    Random,
}

impl Service {
    /// All, in text order.
    pub const ALL: [(Service, &'static str); 11] = [
        (Service::Cpuid, "cpuid"),
        (Service::Rdtsc, "rdtsc"),
        (Service::Rdtscp, "rdtscp"),
        (Service::Xgetbv, "xgetbv"),
        (Service::LoadSeg, "loadseg"),
        (Service::Far, "far"),
        (Service::Rdpid, "rdpid"),
        (Service::Trace, "trace"),
        (Service::Xstate, "xstate"),
        (Service::Descriptor, "descriptor"),
        (Service::Random, "random"),
    ];
    /// Text form.
    pub fn name(self) -> &'static str {
        Service::ALL[self as usize].1
    }
}

/// How a block ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Term {
    /// Go on at a known address.
    Jump(Edge),
    /// Go on at `taken` when the value is 1, else at `fall`.
    Branch {
        /// An i1 value.
        cond: Val,
        /// Target when 1.
        taken: Edge,
        /// Target when 0.
        fall: Edge,
    },
    /// A direct call: like a jump, with the address that it will return to.
    Call {
        /// Target.
        target: Edge,
        /// Return address.
        ret: Edge,
    },
    /// Go on at a computed address (i64).
    Indirect {
        /// The address.
        target: Val,
        /// What for.
        kind: Indirect,
        /// Return address for calls.
        ret: Option<Edge>,
    },
    /// `syscall`; RIP is then `next`.
    Syscall {
        /// Address behind the instruction.
        next: u64,
    },
    /// `sysenter`; RIP is then `next`.
    Sysenter {
        /// Address behind the instruction.
        next: u64,
    },
    /// Software interrupt `int n`, `int3`, `into`; RIP is then `next`.
    Interrupt {
        /// Vector.
        vector: u8,
        /// Address behind the instruction.
        next: u64,
    },
    /// A fault at `pc`: undefined instruction, privileged instruction and so on.
    Fault {
        /// Vector.
        vector: u8,
        /// Error code.
        code: u32,
        /// Address of the instruction.
        pc: u64,
    },
    /// Instruction fetch at `pc` failed: page fault.
    FetchFault {
        /// Address of the instruction.
        pc: u64,
        /// Address of the first byte that could not be read.
        addr: u64,
    },
    /// A valid instruction at `pc` that is not implemented: #UD for the guest, one line for the user.
    Unimplemented {
        /// Address of the instruction.
        pc: u64,
    },
    /// Ask the environment, then go on at `next`.
    Service {
        /// What.
        what: Service,
        /// Operands.
        args: [Val; 2],
        /// Where to go on.
        next: u64,
    },
}

/// A run of guest instructions with one way in at the top.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Guest address of the first instruction.
    pub pc: u64,
    /// Guest address behind the last instruction.
    pub end: u64,
    /// Operations.
    pub insts: Vec<Inst>,
    /// Side table: guest instructions in order.
    pub marks: Vec<Mark>,
    /// Side table: flags to rebuild on demand.
    pub deferred: Vec<Deferred>,
    /// EFLAGS arithmetic bits that somebody may read behind the block; all of them until an analysis knows better.
    pub live_out: u32,
    /// Whether the code that the terminal's call comes back to may read the flags that the callee leaves: only then does a return to it have to be
    /// told from one that need not care ([`crate::passes::Precision::Relaxed`]).
    pub landing: bool,
    /// Whether the code from the block's beginning on may read flags that are set before it.
    pub reads: bool,
    /// The end.
    pub term: Term,
}

impl Block {
    /// No block: what stands where one was taken away. Allocates nothing.
    pub const EMPTY: Block = Block {
        pc: 0,
        end: 0,
        insts: Vec::new(),
        marks: Vec::new(),
        deferred: Vec::new(),
        live_out: crate::state::eflags::ARITH,
        landing: true,
        reads: true,
        term: Term::Jump(Edge { pc: 0, block: None }),
    };

    /// A block at a guest address with nothing in it yet.
    pub fn new(pc: u64) -> Block {
        let mut block = Block { insts: Vec::with_capacity(32), marks: Vec::with_capacity(8), ..Block::EMPTY };
        block.reset(pc);
        block
    }

    /// Makes it a new one, in the same tables.
    pub fn reset(&mut self, pc: u64) {
        self.insts.clear();
        self.marks.clear();
        self.deferred.clear();
        (self.live_out, self.landing, self.reads) = (crate::state::eflags::ARITH, true, true);
        (self.pc, self.end) = (pc, pc);
        self.term = Term::Jump(Edge::to(pc));
    }

    /// The guest instruction that IR instruction `index` belongs to.
    pub fn mark_at(&self, index: usize) -> Option<&Mark> {
        let n = self.marks.partition_point(|m| usize::from(m.first) <= index);
        self.marks[..n].last()
    }
}

/// What is translated at a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit {
    /// Mode of all its code.
    pub mode: Mode,
    /// Blocks; the first is the entry that was asked for. Every block may be entered on its own.
    pub blocks: Vec<Block>,
}

impl Default for Unit {
    /// Nothing yet, in 64-bit mode.
    fn default() -> Unit {
        Unit { mode: Mode::Long, blocks: Vec::new() }
    }
}

impl Unit {
    /// Resolves the edges that lead to blocks of this unit.
    pub fn link(&mut self) {
        // A handful of blocks: a scan is quicker than any map.
        let mut few = [0; 16];
        let many: Vec<u64>;
        let n = self.blocks.len();
        let pcs = if n <= few.len() {
            few.iter_mut().zip(&self.blocks).for_each(|(pc, block)| *pc = block.pc);
            &few[..n]
        } else {
            many = self.blocks.iter().map(|b| b.pc).collect();
            &many
        };
        for block in &mut self.blocks {
            for edge in block.term.edges_mut() {
                edge.block = pcs.iter().position(|pc| *pc == edge.pc).map(|n| n as u32);
            }
        }
    }
}

impl Term {
    /// The direct edges of a terminal.
    pub fn edges_mut(&mut self) -> impl Iterator<Item = &mut Edge> {
        let (a, b) = match self {
            Term::Jump(e) => (Some(e), None),
            Term::Branch { taken, fall, .. } => (Some(taken), Some(fall)),
            Term::Call { target, ret } => (Some(target), Some(ret)),
            Term::Indirect { ret, .. } => (ret.as_mut(), None),
            _ => (None, None),
        };
        a.into_iter().chain(b)
    }
    /// Where a call comes back to.
    pub fn ret(&self) -> Option<Edge> {
        match *self {
            Term::Call { ret, .. } => Some(ret),
            Term::Indirect { ret, .. } => ret,
            _ => None,
        }
    }
    /// The values that a terminal uses.
    pub fn operands(&self) -> [Val; 2] {
        match *self {
            Term::Branch { cond, .. } => [cond, Val::NONE],
            Term::Indirect { target, .. } => [target, Val::NONE],
            Term::Service { args, .. } => args,
            _ => [Val::NONE; 2],
        }
    }
    /// The same values, to be renamed.
    pub fn operands_mut(&mut self) -> impl Iterator<Item = &mut Val> {
        let (a, b) = match self {
            Term::Branch { cond, .. } => (Some(cond), None),
            Term::Indirect { target, .. } => (Some(target), None),
            Term::Service { args, .. } => {
                let [a, b] = args;
                (Some(a), Some(b))
            }
            _ => (None, None),
        };
        a.into_iter().chain(b)
    }
}
