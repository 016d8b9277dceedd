//! Memory order on paper: whether the AArch64 instructions that stand for guest accesses allow more than x86-TSO does.
//!
//! An x86 machine that plays the ARM one shows no weak behaviour, so the mapping is checked against the architectures' models. A litmus
//! program is a few threads of straight-line loads, stores, exchanges and fences on a few cells of memory; accesses may
//! cover several cells (mixed sizes).
//!
//! * [`tso`]: all outcomes on x86, by running the abstract machine of Owens, Sarkar and Sewell ("A better x86 memory model: x86-TSO"): a
//!   first-in-first-out store buffer for each thread with forwarding, locked instructions and `mfence` drain it.
//! * [`arm`]: all outcomes on AArch64, by enumerating candidate executions (which write every read takes its value from, and the order of
//!   the writes to every cell) and keeping those that the axioms of the Arm ARM (DDI 0487, B2.3) allow: internal visibility, external
//!   visibility (ordered-before has no cycle), atomicity. Dependencies are left out, which only allows more.
//!
//! A read of several cells takes each from its own write; a torn one is then ruled out by the axioms themselves, because the write would be
//! both before and after it.

use std::collections::BTreeSet;

/// One guest instruction. Values are small numbers, all different from 0, the initial value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum X86 {
    /// A load of `len` cells from `at`.
    Load {
        /// First cell.
        at: u8,
        /// Number of cells.
        len: u8,
    },
    /// A store of the value to each of the cells.
    Store {
        /// First cell.
        at: u8,
        /// Number of cells.
        len: u8,
        /// What is stored.
        value: u8,
    },
    /// `xchg` with memory: a locked instruction.
    Exchange {
        /// First cell.
        at: u8,
        /// Number of cells.
        len: u8,
        /// What is stored.
        value: u8,
    },
    /// `lock cmpxchg` that finds another value: it reads, changes nothing, and is a fence like every locked instruction.
    Compare {
        /// First cell.
        at: u8,
        /// Number of cells.
        len: u8,
    },
    /// `mfence`.
    Fence,
}

/// A program: the instructions of each thread.
pub type Program = Vec<Vec<X86>>;

/// What is observed: every value loaded, by thread and instruction, then the final contents of memory.
pub type Outcome = Vec<u8>;

/// Cells of memory.
pub const CELLS: usize = 4;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Machine {
    pc: Vec<usize>,
    buffers: Vec<Vec<(u8, u8, u8)>>,
    memory: [u8; CELLS],
    loaded: Vec<Vec<u8>>,
}

/// All outcomes that x86-TSO allows.
pub fn tso(program: &Program) -> BTreeSet<Outcome> {
    let n = program.len();
    let start = Machine { pc: vec![0; n], buffers: vec![vec![]; n], memory: [0; CELLS], loaded: vec![vec![]; n] };
    let mut outcomes = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut work = vec![start];
    while let Some(m) = work.pop() {
        if !seen.insert(m.clone()) {
            continue;
        }
        let mut done = true;
        for t in 0..n {
            if let Some(&(at, len, value)) = m.buffers[t].first() {
                done = false;
                let mut next = m.clone();
                next.buffers[t].remove(0);
                cells(at, len).for_each(|c| next.memory[c] = value);
                work.push(next);
            }
            let Some(&insn) = program[t].get(m.pc[t]) else { continue };
            done = false;
            let mut next = m.clone();
            next.pc[t] += 1;
            match insn {
                X86::Load { at, len } => {
                    for c in cells(at, len) {
                        let own = m.buffers[t].iter().rev().find(|(a, l, _)| cells(*a, *l).contains(&c));
                        next.loaded[t].push(own.map_or(m.memory[c], |w| w.2));
                    }
                }
                X86::Store { at, len, value } => next.buffers[t].push((at, len, value)),
                X86::Exchange { .. } | X86::Compare { .. } | X86::Fence if !m.buffers[t].is_empty() => continue,
                X86::Exchange { at, len, value } => {
                    for c in cells(at, len) {
                        next.loaded[t].push(m.memory[c]);
                        next.memory[c] = value;
                    }
                }
                X86::Compare { at, len } => next.loaded[t].extend(&m.memory[cells(at, len)]),
                X86::Fence => {}
            }
            work.push(next);
        }
        if done {
            let mut outcome: Outcome = m.loaded.concat();
            outcome.extend(m.memory);
            outcomes.insert(outcome);
        }
    }
    outcomes
}

fn cells(at: u8, len: u8) -> std::ops::Range<usize> {
    usize::from(at)..usize::from(at + len)
}

/// How one guest load is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadBy {
    /// LDR alone: not enough; the negative control.
    Plain,
    /// LDAR.
    Ldar,
    /// LDAPR.
    Ldapr,
    /// LDR; DMB ISHLD.
    LdrDmb,
}

/// How one guest store is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreBy {
    /// STR alone: the negative control.
    Plain,
    /// STLR.
    Stlr,
    /// DMB ISH; STR.
    DmbStr,
}

/// How a locked instruction is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtomicBy {
    /// One LSE instruction with acquire and release (SWPAL, LDADDAL, CASAL).
    Lse,
    /// LDAXR, STLXR, and nothing else: enough only where all loads are LDAR.
    Exclusive,
    /// LDAXR, STLXR, DMB ISH.
    ExclusiveDmb,
    /// DMB ISH, LDXR, STXR, DMB ISH.
    DmbExclusiveDmb,
}

/// How a comparison that fails is done: it is a load then, as nothing is written that could be a release.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompareBy {
    /// CASAL or LDAXR, which acquire: enough only where all stores are STLR.
    Acquire,
    /// DMB ISH before that (CASAL: tried again behind the barrier when it has failed).
    DmbAcquire,
}

/// The sequences in use, chosen for every instruction by its number.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// For loads: the choice of load `i` is `loads[i % len]`.
    pub loads: Vec<LoadBy>,
    /// For stores.
    pub stores: Vec<StoreBy>,
    /// For locked instructions that write.
    pub atomics: Vec<AtomicBy>,
    /// For those that do not.
    pub compares: Vec<CompareBy>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Read,
    Write,
    /// DMB ISH, DMB ISHLD.
    Full,
    LoadBarrier,
}

/// One event of an execution.
#[derive(Clone, Copy, Debug)]
struct Event {
    thread: usize,
    kind: Kind,
    at: u8,
    len: u8,
    value: u8,
    acquire: bool,
    acquire_pc: bool,
    release: bool,
    /// The read half of the same locked instruction.
    pair: Option<usize>,
    /// Whether that is one instruction with acquire and release: a barrier for what stands around it.
    amo: bool,
    /// Whether its value is part of the outcome.
    seen: bool,
}

fn events(program: &Program, mapping: &Mapping) -> Vec<Event> {
    let mut list: Vec<Event> = Vec::new();
    let (mut loads, mut stores, mut atomics, mut compares) = (0, 0, 0, 0);
    for (thread, insns) in program.iter().enumerate() {
        let plain = |kind, at, len, value| Event {
            thread,
            kind,
            at,
            len,
            value,
            acquire: false,
            acquire_pc: false,
            release: false,
            pair: None,
            amo: false,
            seen: kind == Kind::Read,
        };
        let barrier = |kind| plain(kind, 0, 0, 0);
        for insn in insns {
            match *insn {
                X86::Fence => list.push(barrier(Kind::Full)),
                X86::Load { at, len } => {
                    let by = mapping.loads[loads % mapping.loads.len()];
                    loads += 1;
                    let read = plain(Kind::Read, at, len, 0);
                    list.push(Event { acquire: by == LoadBy::Ldar, acquire_pc: by == LoadBy::Ldapr, ..read });
                    if by == LoadBy::LdrDmb {
                        list.push(barrier(Kind::LoadBarrier));
                    }
                }
                X86::Store { at, len, value } => {
                    let by = mapping.stores[stores % mapping.stores.len()];
                    stores += 1;
                    if by == StoreBy::DmbStr {
                        list.push(barrier(Kind::Full));
                    }
                    list.push(Event { release: by == StoreBy::Stlr, ..plain(Kind::Write, at, len, value) });
                }
                X86::Exchange { at, len, value } => {
                    let by = mapping.atomics[atomics % mapping.atomics.len()];
                    atomics += 1;
                    let amo = by == AtomicBy::Lse;
                    let ordered = by != AtomicBy::DmbExclusiveDmb;
                    if !ordered {
                        list.push(barrier(Kind::Full));
                    }
                    let read = list.len();
                    list.push(Event { acquire: ordered, amo, ..plain(Kind::Read, at, len, 0) });
                    let write = plain(Kind::Write, at, len, value);
                    list.push(Event { release: ordered, pair: Some(read), amo, ..write });
                    if !matches!(by, AtomicBy::Lse | AtomicBy::Exclusive) {
                        list.push(barrier(Kind::Full));
                    }
                }
                X86::Compare { at, len } => {
                    let by = mapping.compares[compares % mapping.compares.len()];
                    compares += 1;
                    if by == CompareBy::DmbAcquire {
                        list.push(barrier(Kind::Full));
                    }
                    list.push(Event { acquire: true, ..plain(Kind::Read, at, len, 0) });
                }
            }
        }
    }
    list
}

/// A relation over at most 32 events: for each the set of those behind it.
#[derive(Clone)]
struct Relation(Vec<u32>);

impl Relation {
    fn new(n: usize) -> Relation {
        Relation(vec![0; n])
    }
    fn add(&mut self, a: usize, b: usize) {
        self.0[a] |= 1 << b;
    }
    fn has(&self, a: usize, b: usize) -> bool {
        self.0[a] >> b & 1 != 0
    }
    fn acyclic(mut self) -> bool {
        // Warshall's closure.
        for k in 0..self.0.len() {
            for a in 0..self.0.len() {
                if self.has(a, k) {
                    self.0[a] |= self.0[k];
                }
            }
        }
        (0..self.0.len()).all(|a| !self.has(a, a))
    }
}

/// All outcomes that the AArch64 model allows for the mapped program.
pub fn arm(program: &Program, mapping: &Mapping) -> BTreeSet<Outcome> {
    let list = events(program, mapping);
    assert!(list.len() <= 32, "a litmus program");
    let fixed = barriers(&list);
    // Slots to be chosen: a source for every cell of every read, an order of the writes to every cell.
    let mut reads = Vec::new();
    for (i, e) in list.iter().enumerate().filter(|(_, e)| e.kind == Kind::Read) {
        for c in cells(e.at, e.len) {
            let writes = |w: &&usize| list[**w].kind == Kind::Write && cells(list[**w].at, list[**w].len).contains(&c);
            let all: Vec<usize> = (0..list.len()).collect();
            // Never from a write of the same thread behind it: that is a cycle in internal visibility.
            let own = |w: &usize| !(list[*w].thread == e.thread && *w > i);
            let mut sources: Vec<Option<usize>> = vec![None];
            sources.extend(all.iter().filter(writes).copied().filter(own).map(Some));
            reads.push((i, c, sources));
        }
    }
    let mut outcomes = BTreeSet::new();
    let mut orders: Vec<Vec<Vec<usize>>> = Vec::new();
    for c in 0..CELLS {
        let writes: Vec<usize> = (0..list.len())
            .filter(|&w| list[w].kind == Kind::Write && cells(list[w].at, list[w].len).contains(&c))
            .collect();
        // Writes of one thread to one cell stay in program order (internal visibility).
        let fits = |p: &Vec<usize>| {
            (0..p.len()).all(|a| (a + 1..p.len()).all(|b| list[p[a]].thread != list[p[b]].thread || p[a] < p[b]))
        };
        orders.push(permutations(&writes).into_iter().filter(fits).collect());
    }
    let mut order = vec![0; CELLS];
    loop {
        let co: Vec<&Vec<usize>> = (0..CELLS).map(|c| &orders[c][order[c]]).collect();
        let mut choice = vec![0; reads.len()];
        loop {
            let rf: Vec<(usize, usize, Option<usize>)> =
                reads.iter().zip(&choice).map(|((i, c, s), &k)| (*i, *c, s[k])).collect();
            if allowed(&list, &fixed, &rf, &co) {
                let mut outcome: Outcome =
                    rf.iter().filter(|(i, ..)| list[*i].seen).map(|(.., w)| w.map_or(0, |w| list[w].value)).collect();
                outcome.extend(co.iter().map(|o| o.last().map_or(0, |w| list[*w].value)));
                outcomes.insert(outcome);
            }
            if !advance(&mut choice, |k| reads[k].2.len()) {
                break;
            }
        }
        if !advance(&mut order, |c| orders[c].len()) {
            break;
        }
    }
    outcomes
}

/// The next combination of choices, each below its limit.
fn advance(choice: &mut [usize], limit: impl Fn(usize) -> usize) -> bool {
    for (k, c) in choice.iter_mut().enumerate() {
        *c += 1;
        if *c < limit(k) {
            return true;
        }
        *c = 0;
    }
    false
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for (k, &first) in items.iter().enumerate() {
        let mut rest = items.to_vec();
        rest.remove(k);
        for mut p in permutations(&rest) {
            p.insert(0, first);
            all.push(p);
        }
    }
    all
}

/// Barrier-ordered-before and atomic-ordered-before, as far as they do not depend on the execution.
fn barriers(list: &[Event]) -> Relation {
    let mut bob = Relation::new(list.len());
    let po = |a: usize, b: usize| a < b && list[a].thread == list[b].thread;
    let memory = |e: usize| matches!(list[e].kind, Kind::Read | Kind::Write);
    for a in 0..list.len() {
        for b in 0..list.len() {
            if !po(a, b) || !memory(a) || !memory(b) {
                continue;
            }
            let (x, y) = (list[a], list[b]);
            let between = |kind| (a + 1..b).any(|k| list[k].kind == kind);
            // The write of a single instruction with acquire and release is before all that follows (a clause of 2022; before, it only ordered
            // what stands on its two sides).
            let amo = x.amo && x.pair.is_some();
            let ordered = between(Kind::Full)
                || amo
                || x.release && y.acquire
                || x.kind == Kind::Read && between(Kind::LoadBarrier)
                || x.acquire
                || x.acquire_pc
                || y.release;
            if ordered || y.pair == Some(a) {
                bob.add(a, b);
            }
        }
    }
    bob
}

/// The axioms.
fn allowed(list: &[Event], fixed: &Relation, rf: &[(usize, usize, Option<usize>)], co: &[&Vec<usize>]) -> bool {
    let n = list.len();
    let external = |a: usize, b: usize| list[a].thread != list[b].thread;
    let mut ob = fixed.clone();
    for c in 0..CELLS {
        let mut internal = Relation::new(n);
        let touches = |e: usize| list[e].len > 0 && cells(list[e].at, list[e].len).contains(&c);
        for a in (0..n).filter(|&a| touches(a)) {
            for b in (a + 1..n).filter(|&b| touches(b) && list[a].thread == list[b].thread) {
                internal.add(a, b);
            }
        }
        let mut edge = |a: usize, b: usize| {
            internal.add(a, b);
            if external(a, b) {
                ob.add(a, b);
            }
        };
        for (k, &w) in co[c].iter().enumerate() {
            co[c][k + 1..].iter().for_each(|&later| edge(w, later));
        }
        for &(r, _, source) in rf.iter().filter(|(_, cell, _)| *cell == c) {
            // The initial write is before all others.
            let behind = match source {
                Some(w) => {
                    edge(w, r);
                    co[c].iter().position(|x| *x == w).map_or(0, |p| p + 1)
                }
                None => 0,
            };
            for &w in &co[c][behind..] {
                // The write half of the same instruction comes behind its read half anyway.
                edge(r, w);
                if let Some(own) = list.iter().position(|e| e.pair == Some(r)) {
                    // Atomic: no foreign write between the halves.
                    let (at, mine) = (co[c].iter().position(|x| *x == w), co[c].iter().position(|x| *x == own));
                    if external(r, w) && at < mine {
                        return false;
                    }
                }
            }
        }
        if !internal.acyclic() {
            return false;
        }
    }
    // A load-acquire that takes its value from the write of an exclusive or atomic of the same thread is behind it.
    for &(r, _, source) in rf {
        if let Some(w) = source {
            if !external(w, r) && list[w].pair.is_some() && (list[r].acquire || list[r].acquire_pc) {
                ob.add(w, r);
            }
        }
    }
    ob.acyclic()
}

/// The named shapes, with the cells x = 0, y = 1, z = 2.
pub fn shapes() -> Vec<(&'static str, Program)> {
    use X86::{Compare, Exchange, Fence, Load, Store};
    let ld = |at| Load { at, len: 1 };
    let st = |at, value| Store { at, len: 1, value };
    let xc = |at, value| Exchange { at, len: 1, value };
    vec![
        ("MP", vec![vec![st(0, 1), st(1, 2)], vec![ld(1), ld(0)]]),
        ("SB", vec![vec![st(0, 1), ld(1)], vec![st(1, 2), ld(0)]]),
        ("SB+mfence", vec![vec![st(0, 1), Fence, ld(1)], vec![st(1, 2), Fence, ld(0)]]),
        ("SB+xchg", vec![vec![xc(0, 1), ld(1)], vec![xc(1, 2), ld(0)]]),
        ("SB+xchg elsewhere", vec![vec![st(0, 1), xc(2, 3), ld(1)], vec![st(1, 2), xc(3, 4), ld(0)]]),
        (
            "SB+cmpxchg",
            vec![vec![st(0, 1), Compare { at: 2, len: 1 }, ld(1)], vec![st(1, 2), Compare { at: 3, len: 1 }, ld(0)]],
        ),
        ("LB", vec![vec![ld(0), st(1, 1)], vec![ld(1), st(0, 2)]]),
        ("S", vec![vec![st(0, 1), st(1, 2)], vec![ld(1), st(0, 3)]]),
        ("R", vec![vec![st(0, 1), st(1, 2)], vec![st(1, 3), ld(0)]]),
        ("2+2W", vec![vec![st(0, 1), st(1, 2)], vec![st(1, 3), st(0, 4)]]),
        ("IRIW", vec![vec![st(0, 1)], vec![st(1, 2)], vec![ld(0), ld(1)], vec![ld(1), ld(0)]]),
        ("IRIW+xchg", vec![vec![xc(0, 1)], vec![xc(1, 2)], vec![ld(0), ld(1)], vec![ld(1), ld(0)]]),
        ("WRC", vec![vec![st(0, 1)], vec![ld(0), st(1, 2)], vec![ld(1), ld(0)]]),
        ("RWC", vec![vec![st(0, 1)], vec![ld(0), ld(1)], vec![st(1, 2), ld(0)]]),
        ("CoRR", vec![vec![st(0, 1)], vec![st(0, 2)], vec![ld(0), ld(0)], vec![ld(0), ld(0)]]),
        ("n5", vec![vec![st(0, 1), ld(0)], vec![st(0, 2), ld(0)]]),
        ("n6", vec![vec![st(0, 1), ld(0), ld(1)], vec![st(1, 2), st(0, 3)]]),
        ("iwp2.4", vec![vec![st(0, 1), ld(0), ld(1)], vec![st(1, 2), ld(1), ld(0)]]),
        ("MP by xchg", vec![vec![st(0, 1), xc(1, 2)], vec![xc(1, 3), ld(0)]]),
        ("lock", vec![vec![xc(2, 1), st(0, 1), st(2, 2)], vec![xc(2, 3), ld(0)]]),
        // Mixed sizes: a store of two cells and loads of each, and the other way round.
        ("MP wide", vec![vec![Store { at: 0, len: 2, value: 1 }, st(2, 2)], vec![ld(2), Load { at: 0, len: 2 }]]),
        ("SB wide", vec![vec![st(0, 1), Load { at: 0, len: 2 }], vec![st(1, 2), Load { at: 0, len: 2 }]]),
        ("torn", vec![vec![Store { at: 0, len: 2, value: 1 }], vec![ld(0), ld(1)], vec![Load { at: 0, len: 2 }]]),
    ]
}
