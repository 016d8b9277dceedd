//! What translating costs: all code of a program that direct branches reach, stage by stage.

use crate::program::Program;
use demotic_codegen::{Compiled, Emitter, Request};
use demotic_ir::block::Unit;
use demotic_ir::passes::{self, Precision};
use demotic_x86::ahead;
use demotic_x86::unit::{self, Limits};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Times and sizes of one run.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// Units and blocks translated.
    pub units: usize,
    /// Blocks.
    pub blocks: usize,
    /// Guest instructions.
    pub instructions: usize,
    /// Guest bytes.
    pub bytes: usize,
    /// IR operations before and after the passes.
    pub operations: (usize, usize),
    /// Decoding and lifting.
    pub lift: Duration,
    /// Passes, looking ahead for flags included.
    pub passes: Duration,
    /// Host code.
    pub emit: Duration,
    /// Bytes of host code.
    pub code: usize,
    /// Units that the emitter refused, by reason: their first addresses.
    pub refused: BTreeMap<String, Vec<u64>>,
    /// Of all the host code: what changes nothing leaves it as it is.
    pub digest: u64,
}

/// Units that go through one stage before the clock is read.
const BATCH: usize = 256;

/// The blocks of every unit reached from the entry by direct branches, and of what is found behind those, at most `limit` instructions.
fn discover(program: &Program, limit: usize) -> Vec<Vec<u64>> {
    let mut units = Vec::new();
    let mut instructions = 0;
    let mut seen: HashSet<u64> = HashSet::new();
    let mut work = vec![program.entry];
    let mut sweep = program.code.start;
    while let Some(pc) = work.pop().or_else(|| program.code.contains(&sweep).then_some(sweep)) {
        if instructions >= limit {
            break;
        }
        let sweeping = pc == sweep;
        if !seen.insert(pc) {
            sweep += u64::from(sweeping);
            continue;
        }
        let mut fetch = |at: u64, buf: &mut [u8]| program.fetch(at, buf);
        let mut known = |pc| seen.contains(&pc);
        let unit = unit::lift_beside(pc, program.mode, &Limits::default(), &mut fetch, &mut known);
        if sweeping {
            sweep = unit.blocks[0].end.max(pc + 1);
        }
        for block in &unit.blocks {
            seen.insert(block.pc);
            instructions += block.marks.len();
            let mut term = block.term;
            work.extend(term.edges_mut().map(|e| e.pc).filter(|pc| !seen.contains(pc)));
        }
        units.push(unit.blocks.iter().map(|b| b.pc).collect());
    }
    units
}

/// Processor time of this thread: what others run meanwhile does not count. `coarse`: any clock that profilers can run, which the kernel's page of code
/// is not.
fn now(coarse: bool) -> Duration {
    if coarse {
        return std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    }
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Translates everything reachable from the entry, at most `limit` instructions, many units at a time through each stage. `check`: for the digest of
/// the code, not for the time it takes.
pub fn measure(
    program: &Program,
    precision: Precision,
    emitter: Option<(&dyn Emitter, &Request)>,
    limit: usize,
    check: bool,
) -> Cost {
    let mut digest = DefaultHasher::new();
    let mut cost = Cost::default();
    let mut optimiser = passes::Optimiser::default();
    let mut compiled = Compiled::default();
    let mut fetch = |at: u64, buf: &mut [u8]| program.fetch(at, buf);
    let mut reader = unit::Reader::default();
    let mut units: Vec<Unit> = Vec::with_capacity(BATCH);
    units.resize_with(BATCH, Unit::default);
    for batch in discover(program, limit).chunks(BATCH) {
        let units = &mut units[..batch.len()];
        let start = now(check);
        for (unit, blocks) in units.iter_mut().zip(batch) {
            let mut known = |pc| !blocks.contains(&pc);
            reader.lift(unit, blocks[0], program.mode, &Limits::default(), &mut fetch, &mut known);
        }
        let lifted = now(check);
        cost.operations.0 += units.iter().flat_map(|u| &u.blocks).map(|b| b.insts.len()).sum::<usize>();
        let counted = now(check);
        for unit in &mut *units {
            optimiser.run(unit, precision, &mut |pc| ahead::live_flags(pc, program.mode, precision, &mut fetch));
        }
        let optimised = now(check);
        for unit in &*units {
            let Some((emitter, request)) = emitter else { break };
            match emitter.emit_into(unit, request, &mut compiled) {
                Ok(()) => {
                    cost.code += compiled.code.len();
                    if check {
                        compiled.code.hash(&mut digest);
                    }
                }
                Err(why) => cost.refused.entry(format!("{why:?}")).or_default().push(unit.blocks[0].pc),
            }
        }
        cost.emit += now(check).saturating_sub(optimised);
        cost.passes += optimised.saturating_sub(counted);
        cost.lift += lifted.saturating_sub(start);
        cost.units += units.len();
        for block in units.iter().flat_map(|u| &u.blocks) {
            cost.blocks += 1;
            cost.operations.1 += block.insts.len();
            cost.instructions += block.marks.len();
            cost.bytes += block.end.wrapping_sub(block.pc) as usize;
        }
    }
    cost.digest = digest.finish();
    cost
}

/// A digest of all that an emitter makes of a program, at most `limit` instructions: of every unit the code with its tables, or why there is none, and what
/// one host PC of it means. What changes nothing leaves it as it is.
pub fn digest(program: &Program, emitter: &dyn Emitter, request: &Request, limit: usize) -> u64 {
    let mut digest = DefaultHasher::new();
    let mut optimiser = passes::Optimiser::default();
    let mut compiled = Compiled::default();
    let mut fetch = |at: u64, buf: &mut [u8]| program.fetch(at, buf);
    let mut reader = unit::Reader::default();
    let mut unit = Unit::default();
    for (number, blocks) in discover(program, limit).into_iter().enumerate() {
        let mut known = |pc| !blocks.contains(&pc);
        reader.lift(&mut unit, blocks[0], program.mode, &Limits::default(), &mut fetch, &mut known);
        let precision = request.precision;
        optimiser.run(&mut unit, precision, &mut |pc| ahead::live_flags(pc, program.mode, precision, &mut fetch));
        match emitter.emit_into(&unit, request, &mut compiled) {
            Ok(()) => {
                format!("{compiled:?}").hash(&mut digest);
                // Another distance from the beginning in each unit; instructions of some hosts begin at multiples of 4 only.
                let offset = number.wrapping_mul(4 * 6151) % compiled.code.len().max(1);
                format!("{:?}", emitter.locate(&unit, request, offset as u32)).hash(&mut digest);
            }
            Err(why) => format!("{why:?}").hash(&mut digest),
        }
    }
    digest.finish()
}

impl Cost {
    /// Takes the shorter times of another run over the same program.
    pub fn quickest(&mut self, other: &Cost) {
        self.lift = self.lift.min(other.lift);
        self.passes = self.passes.min(other.passes);
        self.emit = self.emit.min(other.emit);
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.instructions.max(1) as f64;
        let per = |d: Duration| d.as_nanos() as f64 / n;
        writeln!(
            f,
            "{} units, {} blocks, {} instructions, {} bytes; {:.2} operations for an instruction, {:.2} behind the passes",
            self.units,
            self.blocks,
            self.instructions,
            self.bytes,
            self.operations.0 as f64 / n,
            self.operations.1 as f64 / n
        )?;
        writeln!(
            f,
            "ns of processor time per guest instruction: lift {:.1}, passes {:.1}, emit {:.1}, together {:.1}",
            per(self.lift),
            per(self.passes),
            per(self.emit),
            per(self.lift + self.passes + self.emit)
        )?;
        writeln!(
            f,
            "{} bytes of host code: {:.2} for a guest byte; {} units refused; digest {:016x}",
            self.code,
            self.code as f64 / self.bytes.max(1) as f64,
            self.refused.values().map(Vec::len).sum::<usize>(),
            self.digest
        )?;
        self.refused.iter().try_for_each(|(why, units)| {
            writeln!(f, "refused: {} for {why}, as at {:x?}", units.len(), &units[..units.len().min(3)])
        })
    }
}
