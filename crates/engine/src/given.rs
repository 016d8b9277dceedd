//! Running a unit that is given as IR instead of guest bytes: for tests of the emitters.

use crate::jit::Stop;
use crate::{Cpu, hosts};
use demotic_codegen::Request;
use demotic_ir::block::Unit;
use demotic_ir::interp::{self, Leave};

/// How a given unit was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// On to a guest address, directly or indirectly.
    To(u64),
    /// By a terminal that is not a branch, or a fault.
    Otherwise(Leave),
}

fn left(leave: Leave) -> Left {
    match leave {
        Leave::Pc(pc) | Leave::Indirect(pc, _) => Left::To(pc),
        leave => Left::Otherwise(leave),
    }
}

impl Cpu {
    /// Runs a unit from its first block until it is left, by this processor's executor. The state is exact then but for flags that no block
    /// leaves live ([`demotic_ir::block::Block::live_out`]) and `rip`.
    ///
    /// # Errors
    /// The emitter's, as text.
    pub fn run_given(&mut self, unit: &Unit) -> Result<Left, String> {
        let engine = self.engine.clone();
        let mut memory = self.memory();
        let (Some(store), Some(jit)) = (&engine.store, &mut self.jit) else {
            let mut block = &unit.blocks[0];
            loop {
                match interp::run_block(block, &mut self.state, &mut memory, &mut self.scratch) {
                    Leave::Block(n) => block = &unit.blocks[n as usize],
                    leave => return Ok(left(leave)),
                }
            }
        };
        let arithmetic = engine.arithmetic(&self.state);
        let precision = hosts::PRECISION;
        let request = Request {
            target: store.target(),
            unaligned: false,
            arithmetic,
            nans: false,
            precision,
            significand: hosts::significand(&self.state),
        };
        let mut compiled = store.emitter.emit(unit, &request).map_err(|e| format!("{e:?}"))?;
        if !store.insert_given(unit, &mut compiled, request) {
            return Err("no code memory".to_owned());
        }
        self.state.rip = unit.blocks[0].pc;
        self.state.mode = unit.mode;
        let stop = jit.run(store, &mut self.state, &self.attention, arithmetic, &|_| true);
        // A bail-out goes on in the interpreter, which stops at the end of the block.
        if let Stop::Leave(Leave::Pc(pc) | Leave::Indirect(pc, _), _) = stop {
            if let Some(mut block) = unit.blocks.iter().find(|b| b.pc == pc) {
                loop {
                    match interp::run_block(block, &mut self.state, &mut memory, &mut self.scratch) {
                        Leave::Block(n) => block = &unit.blocks[n as usize],
                        leave => return Ok(left(leave)),
                    }
                }
            }
        }
        Ok(match stop {
            Stop::Translate(pc) | Stop::Interpret(pc) | Stop::Attention(pc) => Left::To(pc),
            Stop::Leave(leave, _) => left(leave),
        })
    }
}
