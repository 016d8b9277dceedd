//! The executor of translated code: from exit to exit.
//!
//! [`Jit::run`] enters translated code at a guest address and comes back when something needs the engine. Guest registers stay in the frame's
//! image of the homes while units are only being looked up and linked; they become [`GuestState`] when control leaves for good.
//!
//! A fault, a signal or a bail-out stops at a host PC. The unit is emitted once more to learn what that PC means, the interpreter takes over
//! at that operation and runs to the block's end. So the rare cases have one meaning, the interpreter's.

use crate::memory::GuestMemory;
use crate::store::{Key, RegionCode, Store, Way};
use crate::targets::Targets;
use crate::{GuestState, hosts, interrupt};
#[cfg(target_arch = "aarch64")]
use demotic_codegen::frame::X87_INSN;
use demotic_codegen::frame::{Frame, HostRegs, SPILLS, Target, UNMATCHED, kind, unseen};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use demotic_codegen::frame::{X87_ENTER, X87_LEAVE};
use demotic_codegen::{
    ADJUST, ATTEMPT, Arithmetic, EdgeKind, Loc, PENDING, Place, Precision, REDO, SAVED_FLAGS, Stub, X87,
};
use demotic_host::map::Stack;
use demotic_ir::block::{Block, Inst, Term, Val};
use demotic_ir::interp::{self, Leave, Scratch, V};
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags;
use demotic_ir::ty::Ty;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a thread's shadow stack: 16 for each call level.
const SHADOW: usize = 256 * 1024;
/// Room above the first entry: what a return without a call finds.
const SENTINELS: u64 = 8;
/// How many shadow entries are looked at when a return does not match.
const SCAN: u64 = 32;

/// What translated code and its helpers work on; the frame comes first.
#[repr(C)]
struct Core {
    frame: Frame,
    scratch: Scratch,
    memory: GuestMemory,
}

/// One thread's executor.
pub(crate) struct Jit {
    core: Box<Core>,
    targets: Targets,
    /// The same for calls, where those come in elsewhere.
    calls: Option<Targets>,
    shadow: Stack,
    /// The region that these tables and the shadow stack lead into.
    region: Option<Arc<RegionCode>>,
    variant: Option<Key>,
    /// The edge that led to where nothing was translated, to be linked when that is there.
    awaited: Option<(usize, EdgeKind, Key)>,
}

/// Why [`Jit::run`] came back. The guest state is exact but for what is said.
#[derive(Debug)]
pub(crate) enum Stop {
    /// At this guest address nothing is translated: translate and come again.
    Translate(u64),
    /// The block at this address is for the interpreter.
    Interpret(u64),
    /// Somebody wants attention; guest code would go on at this address. Flags that are dead there may not be exact.
    Attention(u64),
    /// A block was left; the second part is the address of its last instruction.
    Leave(Leave, u64),
}

impl Jit {
    /// An executor whose thread is told by `attention`. `None` when there is no memory for it.
    pub fn new(attention: &AtomicBool, memory: GuestMemory) -> Option<Jit> {
        let targets = Targets::default();
        let calls = cfg!(target_arch = "aarch64").then(Targets::default);
        let frame = Frame {
            targets: targets.address(),
            attention: attention.as_ptr() as usize,
            helper: helper as *const () as usize,
            host_sp: 0,
            shadow_sp: 0,
            exit_at: 0,
            target: 0,
            scratch: [0; 8],
            calls: calls.as_ref().map_or(0, Targets::address),
            x87_live: 0,
            x87_gate: 0,
            x87_ready: 0,
            x87_load: 0,
            x87: Default::default(),
            result: V::default(),
            args: [V::default(); 4],
            state: GuestState::default(),
            snapshot: HostRegs::default(),
            spill: [V::default(); SPILLS],
            x87_at: 0,
            x87_operand: 0,
            sse_unseen: 0,
        };
        let shadow = Stack::new(SHADOW).ok()?;
        let core = Box::new(Core { frame, scratch: Scratch::default(), memory });
        Some(Jit { core, targets, calls, shadow, region: None, variant: None, awaited: None })
    }

    /// The region that is current now; forgets what leads into another one.
    fn enter_region(&mut self, store: &Store, variant: Key) -> Option<Arc<RegionCode>> {
        let code = store.current()?;
        let same = self.region.as_ref().is_some_and(|r| Arc::ptr_eq(r, &code));
        if !same {
            // Another one may come to stand where that was.
            self.awaited = None;
        }
        if !same || self.variant != Some(variant) {
            if self.variant.is_some() {
                self.targets.clear();
                self.calls.iter_mut().for_each(Targets::clear);
            }
            self.variant = Some(variant);
            self.reset_shadow(&code);
        }
        self.region = Some(code.clone());
        Some(code)
    }

    /// Empties the shadow stack: a return finds entries whose host address is the stub for returns that do not match.
    fn reset_shadow(&mut self, code: &RegionCode) {
        let top = self.shadow.top() as u64;
        let miss = code.stub(Stub::ReturnMiss) as u64;
        for n in 1..=SENTINELS * 2 {
            // SAFETY: inside the shadow stack, which only this thread's translated code uses.
            unsafe { ((top - 8 * n) as *mut u64).write(miss) };
        }
        self.core.frame.shadow_sp = top - 16 * SENTINELS;
    }

    /// Puts the call that has just left on the shadow stack (AArch64).
    fn push_shadow(&mut self, code: &RegionCode) {
        if self.is_shadow_full() {
            self.reset_shadow(code);
        }
        let frame = &mut self.core.frame;
        frame.shadow_sp -= 16;
        // SAFETY: there is room for an entry, in the stack that only this thread's translated code uses.
        unsafe { (frame.shadow_sp as *mut [u64; 2]).write([frame.target, frame.exit_at]) };
    }

    /// Whether hardly another call fits on the shadow stack, or none.
    fn is_shadow_full(&self) -> bool {
        let room = self.core.frame.shadow_sp.wrapping_sub(self.shadow.top() as u64 - SHADOW as u64);
        !(4096..=SHADOW as u64).contains(&room)
    }

    /// A return to `target` did not match: drops the entries above the one that does.
    fn unwind_shadow(&mut self, code: &RegionCode, target: u64) {
        let base = self.shadow.top() as u64 - 16 * SENTINELS;
        let mut sp = self.core.frame.shadow_sp;
        // SAFETY: the entry that was taken off last: below the current one, above the guard or the sentinels.
        let popped = unsafe { *((sp - 16 + SHADOW_GUEST) as *const u64) };
        if popped == target ^ UNMATCHED {
            return;
        }
        for _ in 0..SCAN {
            if sp >= base {
                break;
            }
            // SAFETY: between the shadow stack's current and first entry.
            let guest = unsafe { *((sp + SHADOW_GUEST) as *const u64) };
            sp += 16;
            if guest == target {
                self.core.frame.shadow_sp = sp;
                return;
            }
        }
        // Another stack, or an unwinding beyond what is worth following: what is there would only be in the way.
        self.reset_shadow(code);
    }

    /// Runs from `state.rip`. `rip` itself is only updated where [`Stop`] does not carry it.
    /// `reads`: whether code at a guest address that is not translated may read flags set before it.
    pub fn run(
        &mut self,
        store: &Store,
        state: &mut GuestState,
        attention: &AtomicBool,
        arithmetic: Arithmetic,
        reads: &dyn Fn(u64) -> bool,
    ) -> Stop {
        let mode = state.mode;
        let key = |pc| Key { pc, mode, arithmetic };
        let start = state.rip;
        let Some(region) = self.enter_region(store, key(0)) else { return Stop::Interpret(start) };
        // Most runs begin behind a system call that the thread has made before.
        let mut host = match self.targets.get(start) {
            Some(host) => host,
            None => match store.find(&region, key(start)) {
                Way::In(host) => {
                    // Where flags are not handed on by indirect branches, those who would read them must not be found by one.
                    if hosts::UNSEEN != Precision::Relaxed || !store.reads_flags(host) {
                        self.targets.set(Target { pc: start, host: host as u64 });
                    }
                    host
                }
                Way::Refused => return Stop::Interpret(start),
                Way::Missing => return Stop::Translate(start),
            },
        };
        if let Some((site, kind, to)) = self.awaited.take() {
            if to == key(start) {
                store.link(site, kind, to);
            }
        }
        let emitter = store.emitter;
        self.core.frame.state = state.clone();
        let frame = &mut self.core.frame;
        emitter.load(state, arithmetic, &mut frame.snapshot);
        frame.sse_unseen = unseen(state.mxcsr);
        let mut at = start;
        // SAFETY: the runtime's way in has this signature; the frame, the shadow stack and the code live as long as `self`, and the
        // region as long as `region`.
        let enter =
            unsafe { std::mem::transmute::<usize, unsafe extern "C" fn(*mut Frame, usize) -> u64>(region.enter()) };
        let frame: *mut Frame = &raw mut self.core.frame;
        interrupt::set_frame(frame);
        let mut stepping = false;
        let mut stepped_at = 0;
        loop {
            // SAFETY: see above. Helpers that translated code calls find the rest of `Core` behind the frame.
            let why = unsafe { enter((&raw mut *self.core).cast(), host) };
            if std::mem::take(&mut stepping) {
                // Whoever wanted attention still does.
                attention.store(true, Ordering::Release);
                if let Some(flag) = demotic_host::arch::STEP_FLAG {
                    self.core.frame.snapshot.flags &= !flag;
                }
            }
            let exit_at = self.core.frame.exit_at as usize;
            let mut from = None;
            at = match why {
                kind::EDGE => match store.edge(exit_at) {
                    Some((to, site, kind)) => {
                        from = Some((site, kind));
                        if cfg!(target_arch = "aarch64") && kind == EdgeKind::Call {
                            self.push_shadow(&region);
                        }
                        to.pc
                    }
                    None => lost("edge", exit_at),
                },
                kind::INDIRECT | kind::RETURN => {
                    let to = self.core.frame.target;
                    if why == kind::RETURN {
                        self.unwind_shadow(&region, to);
                    }
                    // Flags that such a way out leaves undone are made good, unless the code there is known not to read any.
                    let careful = store.hands_on_flags(exit_at)
                        && match store.find(&region, key(to)) {
                            Way::In(host) => store.reads_flags(host),
                            _ => reads(to),
                        };
                    if careful {
                        self.core.frame.snapshot.pc = exit_at as u64 - EXIT_CALL;
                        match self.deoptimise(store, state, false) {
                            Some((leave, at)) => return Stop::Leave(leave, at),
                            None => lost("way out", exit_at),
                        }
                    }
                    to
                }
                kind::STALE => match store.stale(exit_at) {
                    Some(to) => to.pc,
                    None => lost("block", exit_at),
                },
                kind::ABORTED => at,
                kind::TERM => {
                    let Some(term) = store.term(exit_at) else { lost("terminal", exit_at) };
                    self.store_state(store, state, mode);
                    let args = self.core.frame.args;
                    return Stop::Leave(interp::finish(&term.term, |k| args[k].lo), term.at);
                }
                _ => match self.deoptimise(store, state, why == kind::DEOPT) {
                    Some((leave, at)) => return Stop::Leave(leave, at),
                    // Between two places: one host instruction further.
                    None => {
                        let pc = self.core.frame.snapshot.pc as usize;
                        // A step that did not get anywhere: the instruction itself faults.
                        if stepped_at == pc {
                            lost("place", pc);
                        }
                        (host, stepped_at) = (pc, pc);
                        let Some(flag) = demotic_host::arch::STEP_FLAG else { lost("place", host) };
                        attention.store(false, Ordering::Relaxed);
                        stepping = true;
                        self.core.frame.snapshot.flags |= flag;
                        interrupt::step_from(host);
                        continue;
                    }
                },
            };
            let stop = if attention.load(Ordering::Relaxed) {
                Stop::Attention(at)
            } else {
                match store.find(&region, key(at)) {
                    Way::In(to) => {
                        match from {
                            Some((site, kind)) => store.link(site, kind, key(at)),
                            None => {
                                self.targets.set(Target { pc: at, host: to as u64 });
                                if let (Some(calls), Some(host)) = (&mut self.calls, store.call_entry(to)) {
                                    calls.set(Target { pc: at, host: host as u64 });
                                }
                            }
                        }
                        host = to;
                        continue;
                    }
                    Way::Refused => Stop::Interpret(at),
                    Way::Missing => {
                        self.awaited = from.map(|(site, kind)| (site, kind, key(at)));
                        Stop::Translate(at)
                    }
                }
            };
            self.store_state(store, state, mode);
            return stop;
        }
    }

    /// The image of the homes to guest state.
    fn store_state(&mut self, store: &Store, state: &mut GuestState, mode: demotic_ir::state::Mode) {
        let frame = &mut self.core.frame;
        #[cfg(target_arch = "x86_64")]
        crate::x87::to_frame(frame);
        frame.x87.leave(&mut frame.state.x87);
        store.emitter.store(mode, &frame.snapshot, &mut frame.state);
        if frame.x87_at != 0 {
            self.locate_x87(store);
        }
        state.clone_from(&self.core.frame.state);
    }

    /// Makes the host instruction that left an x87 exception pending the guest's.
    #[cold]
    fn locate_x87(&mut self, store: &Store) {
        let frame = &mut self.core.frame;
        let at = std::mem::take(&mut frame.x87_at) as usize;
        let Some(meta) = store.meta(at) else { return };
        let unit = meta.unit();
        let Some(place) = store.emitter.locate(&unit, &meta.variant.request, (at - meta.host) as u32) else { return };
        let block = &unit.blocks[place.block as usize];
        let Some(mark) = block.mark_at(place.index as usize) else { return };
        // The operation that begins it; the unit knows the operand in memory.
        let Some(chk) =
            block.insts.get(usize::from(mark.first)..).and_then(|x| x.iter().find(|x| x.op == Op::XChk && x.imm != 0))
        else {
            return;
        };
        let operand = interp::Pointers::segment(chk.imm).map(|_| frame.x87_operand);
        interp::Pointers::set(&mut frame.state, mark.pc, chk.imm, operand);
    }

    /// Lets the interpreter go on where the host PC in the snapshot stands, to the block's end. `None` when that PC is in the middle of something that
    /// cannot fault. `bailed`: the code gave up by itself.
    fn deoptimise(&mut self, store: &Store, state: &mut GuestState, bailed: bool) -> Option<(Leave, u64)> {
        let pc = self.core.frame.snapshot.pc as usize;
        let Some(meta) = store.meta(pc) else { lost("unit", pc) };
        if interrupt::take_misaligned() {
            store.misaligned(&meta);
        }
        let unit = meta.unit();
        let offset = (pc - meta.host) as u32;
        let place = store.emitter.locate(&unit, &meta.variant.request, offset)?;
        let exact = meta.variant.request.arithmetic == Arithmetic::Exact;
        if exact {
            // MXCSR has all that counts.
            self.core.frame.snapshot.fpsr = 0;
        }
        let (place, redo, pending) = self.resolve(place);
        let invalid = self.core.frame.state.mxcsr & 1;
        self.store_state(store, state, meta.variant.mode);
        let block = &unit.blocks[place.block as usize];
        let attempted = |x: &Inst| exact && x.op.is_sse_arithmetic();
        if bailed && (!redo.is_empty() || block.insts.get(place.index as usize).is_some_and(attempted)) {
            store.invalid_operation(&meta);
        }
        let raised = state.mxcsr & 1;
        if !redo.is_empty() {
            // What is done again says by itself what is invalid. That others of before were, counts unless the host has another idea of one of these.
            state.mxcsr = state.mxcsr & !1 | invalid;
        }
        self.place_values(store, block, &place, &redo, state);
        let Core { scratch, .. } = &mut *self.core;
        if !redo.iter().any(|&op| interp::invalid_for_host(block, op, scratch)) {
            state.mxcsr |= raised;
        }
        for (slot, v) in pending {
            interp::write_slot(state, slot, scratch.vector(v));
        }
        if let Some(&(Val::NONE, Loc::Spill(n))) = place.values.last() {
            state.flags = self.core.frame.spill[usize::from(n)].lo as u32 & eflags::ARITH;
        }
        let Core { scratch, memory, .. } = &mut *self.core;
        let has = |v: Val| place.values.iter().any(|&(known, _)| known == v);
        interp::Pointers::before(block, place.index as usize, state, |v| has(v).then(|| scratch.vector(v).lo));
        let leave = match block.term {
            // Behind the return from a call.
            Term::Call { ret, .. } | Term::Indirect { ret: Some(ret), .. }
                if place.index as usize > block.insts.len() =>
            {
                Leave::Pc(ret.pc)
            }
            _ => interp::resume(block, place.index as usize, state, memory, scratch),
        };
        let leave = match leave {
            Leave::Block(n) => Leave::Pc(unit.blocks[n as usize].pc),
            leave => leave,
        };
        // A push on a full shadow stack is one of the reasons to come here.
        if self.is_shadow_full() {
            if let Some(region) = self.region.clone() {
                self.reset_shadow(&region);
            }
        }
        Some((leave, block.marks.last().map_or(block.pc, |m| m.pc)))
    }

    /// Takes in what a place says besides values.
    fn resolve(&mut self, mut place: Place) -> (Place, Vec<usize>, Vec<(Slot, Val)>) {
        let (mut redo, mut pending) = (Vec::new(), Vec::new());
        let Frame { snapshot: regs, x87: live, spill, .. } = &mut self.core.frame;
        let mut done = false;
        place.values.retain(|&(v, loc)| {
            if let (REDO, Loc::Const(op)) = (v, loc) {
                redo.push(op as usize);
                return false;
            }
            if let (PENDING, Loc::Const(c)) = (v, loc) {
                pending.push((Slot((c >> 32) as u8), Val(c as u16)));
                return false;
            }
            if let (ADJUST, Loc::Const(c)) = (v, loc) {
                let home = &mut regs.gpr[(c >> 32) as usize & 31];
                *home = home.wrapping_add(c as i32 as u64);
                return false;
            }
            if let (X87, Loc::Const(what)) = (v, loc) {
                live.apply(what, &regs.gpr);
                return false;
            }
            if let (SAVED_FLAGS, Loc::Spill(n)) = (v, loc) {
                regs.flags = spill[usize::from(n)].lo;
                return false;
            }
            let Loc::Gpr(n) = loc else { return true };
            match v {
                SAVED_FLAGS => regs.flags = regs.gpr[usize::from(n)],
                ATTEMPT => done = regs.gpr[usize::from(n)] as u32 == 0,
                _ => return true,
            }
            false
        });
        place.index += u32::from(done);
        (place, redo, pending)
    }

    /// Values, and operations to be done again, in the block's order: either may depend on the other.
    fn place_values(&mut self, store: &Store, block: &Block, place: &Place, redo: &[usize], state: &mut GuestState) {
        let Core { frame, scratch, memory, .. } = &mut *self.core;
        let mut redo = redo.iter().copied().peekable();
        for &(v, loc) in place.values.iter().filter(|(v, _)| *v != Val::NONE) {
            while let Some(op) = redo.next_if(|&op| op < v.index()) {
                interp::redo(block, op, state, memory, scratch);
            }
            let ty = block.insts[v.index()].result();
            let value = match loc {
                Loc::Gpr(n) => V::from(frame.snapshot.gpr[usize::from(n)]),
                Loc::Vec(n) => V::from(frame.snapshot.vec[usize::from(n)]),
                Loc::Low { low, bits, rest } => {
                    let [low, rest] = [low, rest].map(|n| V::from(frame.snapshot.vec[usize::from(n)]));
                    let mask = u64::MAX >> (64 - u32::from(bits));
                    V { lo: low.lo & mask | rest.lo & !mask, hi: rest.hi }
                }
                Loc::Spill(n) => frame.spill[usize::from(n)],
                Loc::Result => frame.result,
                Loc::Const(c) => V::from(c),
                Loc::Slot(n) => interp::read_slot(state, Slot(n), ty),
                Loc::Cond(c) => V::from(store.emitter.condition(&frame.snapshot, c)),
                Loc::FlagsHome => V::from(u64::from(state.flags)),
                Loc::Recompute => {
                    interp::recompute(block, v, scratch);
                    continue;
                }
            };
            let value = match ty {
                Ty::V128 => value,
                Ty::F80 => V { lo: value.lo, hi: value.hi & 0xffff },
                Ty::Fl => V::from(value.lo & u64::from(eflags::ARITH)),
                ty => V::from(value.lo & ty.mask()),
            };
            scratch.put(v.index(), value);
        }
        for op in redo {
            interp::redo(block, op, state, memory, scratch);
        }
    }
}

/// Bytes of the instruction that calls a way out for indirect branches (AArch64; x86-64 hosts compute all flags).
const EXIT_CALL: u64 = 4;

/// Offset of the guest address in a shadow stack entry: `call` puts the host address below it on x86-64.
const SHADOW_GUEST: u64 = if cfg!(target_arch = "x86_64") { 8 } else { 0 };

/// Translated code came back with something that the store does not know: a mistake of ours that nothing can repair.
fn lost(what: &str, at: usize) -> ! {
    demotic_host::log::line(format_args!("demotic: internal error: no {what} at host pc {at:#x}"));
    std::process::abort()
}

/// Runs one operation for translated code: see [`Frame::helper`].
extern "C" fn helper(frame: *mut Frame, what: u64, imm: u64) -> u64 {
    // SAFETY: translated code hands over the frame that it was entered with, which begins a `Core` that nobody else uses meanwhile.
    let core = unsafe { &mut *frame.cast::<Core>() };
    #[cfg(target_arch = "x86_64")]
    match what {
        X87_ENTER => {
            crate::x87::to_host(&mut core.frame);
            return 0;
        }
        X87_LEAVE => {
            crate::x87::to_frame(&mut core.frame);
            return 0;
        }
        _ => {}
    }
    #[cfg(target_arch = "aarch64")]
    match what & !0xffff {
        X87_ENTER => {
            core.frame.x87.enter(&core.frame.state.x87);
            return 0;
        }
        X87_INSN => {
            crate::x87_insn::run(&mut core.frame, &mut core.memory, &mut core.scratch, what, imm);
            return 0;
        }
        X87_LEAVE => {
            core.frame.x87.leave(&mut core.frame.state.x87);
            return 0;
        }
        _ => {}
    }
    let op = Op::ALL[what as usize & 0xff];
    let ty = Ty::ALL[(what >> 8) as usize & 0xff];
    #[cfg(target_arch = "x86_64")]
    if op.touches_x87() {
        crate::x87::to_frame(&mut core.frame);
    }
    #[cfg(target_arch = "aarch64")]
    if op.touches_x87() {
        core.frame.x87.leave(&mut core.frame.state.x87);
    }
    // An instruction that may leave an exception pending is the interpreter's as a whole: it knows where it is.
    if op == Op::XChk && imm != 0 && core.frame.state.x87.cw & 0x3f != 0x3f {
        return 1;
    }
    if op == Op::XPtr && core.frame.x87_at != 0 {
        return 1;
    }
    let inst = Inst { op, ty, args: [Val::NONE; 4], imm };
    let args = core.frame.args;
    match interp::run_op(&inst, &args, &mut core.frame.state, &mut core.memory, &mut core.scratch) {
        Ok(value) => {
            core.frame.result = value;
            core.frame.sse_unseen = unseen(core.frame.state.mxcsr);
            0
        }
        Err(_) => 1,
    }
}
