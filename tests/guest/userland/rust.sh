# rustc compiles a program with threads, collections, panics and wide integers; then it runs.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
cat > main.rs <<'R'
use std::collections::{BTreeMap, HashMap};
use std::sync::{mpsc, Arc, Mutex};
fn collatz(mut n: u64) -> u32 { let mut c = 0; while n != 1 { n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 }; c += 1; } c }
fn main() {
    let shared = Arc::new(Mutex::new(BTreeMap::new()));
    let (tx, rx) = mpsc::channel();
    let threads: Vec<_> = (1..=6u64).map(|t| { let (shared, tx) = (shared.clone(), tx.clone()); std::thread::spawn(move || {
        let best = (t * 1000..t * 1000 + 1000).max_by_key(|n| collatz(*n)).unwrap();
        shared.lock().unwrap().insert(t, best); tx.send(collatz(best)).unwrap();
    }) }).collect();
    drop(tx);
    let mut lengths: Vec<u32> = rx.iter().collect(); lengths.sort();
    threads.into_iter().for_each(|t| t.join().unwrap());
    println!("{:?} {:?}", shared.lock().unwrap(), lengths);
    let mut h: HashMap<String, u128> = HashMap::new();
    for i in 0..2000u128 { *h.entry(format!("k{}", i % 50)).or_default() += i.pow(9); }
    let mut all: Vec<_> = h.into_iter().collect(); all.sort();
    println!("{:?}", &all[..2]);
    println!("{:.17} {:e} {:?}", (2.0f64).sqrt() * std::f64::consts::PI, 1.0f32 / 3.0, f64::NAN.max(1.0));
    println!("{:?}", std::panic::catch_unwind(|| { let v: Vec<i32> = vec![]; v[std::env::args().count()] }).is_err());
    println!("{:?} {:?}", i32::MIN.checked_div(-1), "ünïcode".chars().rev().collect::<String>());
    std::process::exit(6);
}
R
rustc -O -o prog main.rs
./prog 2> err || echo "status $?"
grep -c 'index out of bounds' err
rustc --test -o tests - <<'R' 
#[test] fn passes() { assert_eq!(2 + 2, 4); }
#[test] #[should_panic] fn panics() { panic!("as it should"); }
R
./tests -q | tail -2 | sed 's/finished in.*//'
