//! Build tasks: `cargo xtask TASK`.
//!
//! Everything that is done to this tree besides `cargo build` is a task here, so that people and continuous integration
//! do the same thing. `cargo xtask help` lists them.
#![forbid(unsafe_code)]

mod arm_kernel;
mod bench;
mod ci;
mod count;
mod demo;
mod dist;
mod kernels;
mod manual;
mod second_stage;
mod stress;
mod tables;
mod tidy;

use anyhow::{Result, bail};
use demotic_testkit::guest::Abi;
use demotic_testkit::{packages, results, roots};

const HELP: &str = "\
cargo xtask TASK
  demo            build Demotic and run foreign programs with it
  ci              everything that must hold before a change is taken in; ends with 'N passed, N failed'
  test [FILTER]   the whole-program tests, on the hosts that there are builds for
  dist [HOST...]  static release builds in target/dist: x86_64, aarch64, armv7 (all without arguments)
  crates HOST [CRATE...]  unit tests of crates (demotic-f80 without arguments) as aarch64 or armv7, under the emulator
  guests          fetch the pinned guest programs into the cache
  bless           write the golden files of host code, and the guest programs' expected output from native runs (x86-64 machine)
  oracle [...]    random instructions on this processor against the model (--count N, --seed N, --bits 32|64, --line TEXT)
  ir-fuzz [...]   random IR programs, translated and interpreted (--count N, --seed N, --host x86_64|aarch64)
  x87-fuzz [...]  random x87 and MMX code, the same way
  sequences [...] sequences of random guest instructions, translated and in the model (the same options; with --file PROGRAM
                  half of them are pieces of that i386 or x86-64 program)
  stops [...]     the same, stopped at every host instruction: what comes out is a state on the model's way
  tables          tables of instructions, all lines, natively and translated (an x86-64 machine)
  disas [...]     every stage of a piece of guest code: --hex HEX [--bits 32|64] [--pc ADDRESS],
                  or --file PROGRAM with --sym NAME or --pc ADDRESS; [--tso]
  bench [...]     processor time of kernels and of starting programs: native, Demotic, qemu-user
                  (--only NAME,.. --abi x86_64|i386 --runs N --scale DIVISOR --engine ENGINE --with OPTION); all of it goes into the README
  count [...]     executed AArch64 instructions per guest instruction of the same kernels; the same options
  cost PROGRAM [HOST|digest]  what translating all code of a program costs, stage by stage; a number for all that comes out
  userlands [...] compilers, runtimes, servers and editors in large Debian roots (made first, as root); arguments as for a test program
  arm-kernel [...] on a real ARM64 kernel in a virtual machine (needs qemu-system-arm): usage, boot, debuggers, guests, or all
  second-stage [--host HOST] [ABI...]  debootstrap --foreign and its second stage, by the aarch64 build where none is named
  stress [--rounds N]  thousands of processes, threads and signals on this machine; takes an hour
  manual          write the manual, the man page and the shell completions from the table of options
  tidy            check the house rules that no compiler checks
  table           write the table of results into the README
";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match arguments.first().map(String::as_str) {
        Some("demo") => demo::demo(),
        Some("ci") => ci::ci(),
        Some("test") => ci::whole_programs(&rest),
        Some("dist") => dist::dist(&rest),
        Some("crates") => ci::crates(&rest),
        Some("guests") => guests(),
        Some("bless") => ci::bless(),
        Some("oracle") => ci::tool(&["run", "--release", "-p", "demotic-oracle", "--"], &rest),
        Some("ir-fuzz") => ci::ir_fuzz(&rest),
        Some("x87-fuzz") => ci::x87_fuzz(&rest),
        Some("sequences") => ci::sequences(&rest),
        Some("stops") => ci::stops(&rest),
        Some("disas") => ci::tool(&["run", "-p", "demotic-debug", "--example", "disas", "--"], &rest),
        Some("bench") => bench::bench(&rest),
        Some("count") => count::count(&rest),
        Some("cost") => ci::tool(&["run", "--release", "-p", "demotic-debug", "--example", "cost", "--"], &rest),
        Some("arm-kernel") => arm_kernel::arm_kernel(&rest),
        Some("userlands") => userlands(&rest),
        Some("manual") => manual::write(),
        Some("tables") => tables::tables(),
        Some("second-stage") => second_stage::second_stage(&rest),
        Some("stress") => stress::stress(&rest),
        Some("tidy") => tidy::tidy(),
        Some("table") => results::update_readme(),
        Some("help") | None => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("no task {other:?}\n{HELP}"),
    }
}

fn userlands(arguments: &[&str]) -> Result<()> {
    for abi in Abi::ALL {
        roots::make_large(abi)?;
    }
    let mut words = vec!["test", "-q", "-p", "demotic-tests", "--test", "userlands", "--", "--test-threads", "1"];
    words.extend(arguments);
    ci::succeed(ci::cargo(&words))
}

fn guests() -> Result<()> {
    for package in packages::PACKAGES {
        package.fetch()?;
        println!("{} {}: {}", package.name, package.abi.name(), package.program().display());
    }
    for (abi, made) in roots::make() {
        made?;
        println!("root {}: {}", abi.name(), roots::path(abi).display());
    }
    Ok(())
}
