//! The sequences that the AArch64 emitter uses for ordered accesses allow nothing that x86-TSO forbids: for the named litmus shapes with every
//! combination of sequences, and for random small programs. Plain accesses and exclusives without a barrier do, and the models find that.

use demotic_oracle::generate::Rng;
use demotic_oracle::litmus::{AtomicBy, CompareBy, LoadBy, Mapping, Program, StoreBy, X86, arm, shapes, tso};

const LOADS: [LoadBy; 3] = [LoadBy::Ldar, LoadBy::Ldapr, LoadBy::LdrDmb];
const STORES: [StoreBy; 2] = [StoreBy::Stlr, StoreBy::DmbStr];
const ATOMICS: [AtomicBy; 3] = [AtomicBy::Lse, AtomicBy::ExclusiveDmb, AtomicBy::DmbExclusiveDmb];

/// The sequence for comparisons that fail: without a barrier where all stores are releases.
fn compares(stores: &[StoreBy]) -> Vec<CompareBy> {
    let releases = stores.iter().all(|s| *s == StoreBy::Stlr);
    vec![if releases { CompareBy::Acquire } else { CompareBy::DmbAcquire }]
}

fn shape(name: &str) -> Program {
    shapes().into_iter().find(|(n, _)| *n == name).expect("a shape").1
}

/// Counts loads, stores, locked instructions.
fn counts(program: &Program) -> [usize; 3] {
    let mut n = [0; 3];
    for insn in program.iter().flatten() {
        match insn {
            X86::Load { .. } => n[0] += 1,
            X86::Store { .. } => n[1] += 1,
            X86::Exchange { .. } => n[2] += 1,
            X86::Compare { .. } | X86::Fence => {}
        }
    }
    n
}

fn digits(mut n: usize, base: usize, count: usize) -> Vec<usize> {
    (0..count.max(1))
        .map(|_| {
            let d = n % base;
            n /= base;
            d
        })
        .collect()
}

#[test]
fn named_shapes_with_every_combination_of_sequences() {
    for (name, program) in shapes() {
        let allowed = tso(&program);
        let [l, s, a] = counts(&program);
        for load in 0..3usize.pow(l as u32) {
            for store in 0..2usize.pow(s as u32) {
                for atomic in 0..3usize.pow(a as u32) {
                    let stores: Vec<StoreBy> = digits(store, 2, s).into_iter().map(|k| STORES[k]).collect();
                    let mapping = Mapping {
                        compares: compares(&stores),
                        loads: digits(load, 3, l).into_iter().map(|k| LOADS[k]).collect(),
                        stores,
                        atomics: digits(atomic, 3, a).into_iter().map(|k| ATOMICS[k]).collect(),
                    };
                    let ours = arm(&program, &mapping);
                    let extra: Vec<_> = ours.difference(&allowed).collect();
                    assert!(extra.is_empty(), "{name} {mapping:?} allows {extra:?}");
                    assert!(!ours.is_empty(), "{name}: nothing happens");
                }
            }
        }
    }
}

/// The same sequences everywhere.
fn mapping(load: LoadBy, store: StoreBy, atomic: AtomicBy, compare: CompareBy) -> Mapping {
    Mapping { loads: vec![load], stores: vec![store], atomics: vec![atomic], compares: vec![compare] }
}

#[test]
fn known_outcomes() {
    // Message passing and load buffering: forbidden on x86. Store buffering: allowed, unless fenced.
    let has = |name: &str, loaded: &[u8]| tso(&shape(name)).iter().any(|o| o.starts_with(loaded));
    assert!(!has("MP", &[2, 0]));
    assert!(has("MP", &[0, 1]) && has("MP", &[2, 1]));
    assert!(has("SB", &[0, 0]));
    assert!(!has("SB+mfence", &[0, 0]) && !has("SB+xchg", &[0, 0, 0, 0]));
    assert!(!has("LB", &[2, 1]));
    assert!(!has("IRIW", &[1, 0, 2, 0]));
    // A thread sees its own store early, before others do.
    assert!(has("iwp2.4", &[1, 0, 2, 0]));
}

#[test]
fn plain_accesses_are_caught() {
    let plain = mapping(LoadBy::Plain, StoreBy::Plain, AtomicBy::Lse, CompareBy::Acquire);
    for (name, loaded) in [("MP", vec![2, 0]), ("LB", vec![2, 1]), ("IRIW", vec![1, 0, 2, 0]), ("WRC", vec![1, 2, 0])] {
        let program = shape(name);
        assert!(arm(&program, &plain).iter().any(|o| o.starts_with(&loaded)), "{name}");
        assert!(!tso(&program).iter().any(|o| o.starts_with(&loaded)), "{name}");
    }
    // One half ordered is not enough.
    for (loads, stores) in [(LoadBy::Plain, StoreBy::Stlr), (LoadBy::Ldapr, StoreBy::Plain)] {
        let half = mapping(loads, stores, AtomicBy::Lse, CompareBy::Acquire);
        assert!(arm(&shape("MP"), &half).iter().any(|o| o.starts_with(&[2, 0])));
    }
    // Coherence and atomicity hold for plain accesses, too.
    assert!(
        arm(&shape("CoRR"), &plain).iter().all(|o| !(o.starts_with(&[1, 2, 2, 1]) || o.starts_with(&[2, 1, 1, 2])))
    );
}

#[test]
fn exclusives_without_a_barrier_are_caught() {
    let zero = [0, 0, 0, 0];
    let finds = |load| {
        let bare = mapping(load, StoreBy::Stlr, AtomicBy::Exclusive, CompareBy::Acquire);
        arm(&shape("SB+xchg"), &bare).iter().any(|o| o.starts_with(&zero))
    };
    // The store-exclusive is before a later LDAR, but not before other loads.
    assert!(finds(LoadBy::Ldapr) && finds(LoadBy::LdrDmb) && !finds(LoadBy::Ldar));
}

#[test]
fn comparisons_that_fail_need_a_barrier_behind_plain_stores() {
    let finds = |store, compare| {
        let m = mapping(LoadBy::Ldapr, store, AtomicBy::Lse, compare);
        arm(&shape("SB+cmpxchg"), &m).iter().any(|o| o.starts_with(&[0, 0, 0, 0]))
    };
    assert!(finds(StoreBy::DmbStr, CompareBy::Acquire));
    assert!(!finds(StoreBy::DmbStr, CompareBy::DmbAcquire) && !finds(StoreBy::Stlr, CompareBy::Acquire));
    assert!(!tso(&shape("SB+cmpxchg")).iter().any(|o| o.starts_with(&[0, 0, 0, 0])));
}

#[test]
fn random_small_programs() {
    let mut rng = Rng::new(11);
    for round in 0..4000 {
        let threads = 2 + rng.below(2) as usize;
        let mut value = 0;
        let program: Program = (0..threads)
            .map(|_| {
                (0..1 + rng.below(if threads == 2 { 3 } else { 2 }))
                    .map(|_| {
                        let len = 1 + u8::from(rng.one_in(5));
                        let at = rng.below(u64::from(3 - len)) as u8;
                        value += 1;
                        match rng.below(8) {
                            0..=2 => X86::Load { at, len },
                            3..=4 => X86::Store { at, len, value },
                            5 => X86::Exchange { at, len, value },
                            6 => X86::Compare { at, len },
                            _ => X86::Fence,
                        }
                    })
                    .collect()
            })
            .collect();
        let mut pick = |n: u64| rng.below(n) as usize;
        let stores: Vec<StoreBy> = (0..5).map(|_| STORES[pick(2)]).collect();
        let mapping = Mapping {
            compares: compares(&stores),
            loads: (0..5).map(|_| LOADS[pick(3)]).collect(),
            stores,
            atomics: (0..5).map(|_| ATOMICS[pick(3)]).collect(),
        };
        let allowed = tso(&program);
        let ours = arm(&program, &mapping);
        let extra: Vec<_> = ours.difference(&allowed).collect();
        assert!(extra.is_empty(), "round {round}: {program:?} {mapping:?} allows {extra:?}");
    }
}
