//! The harness that the tests and the build tasks share: guest programs, hosts, and what one gives on the other.
//!
//! * [`guest`]: the guest programs of `tests/guest`, built or prebuilt, and their two ABIs;
//! * [`packages`]: guest programs from package registries, pinned by version and digest, in a cache outside the tree;
//! * [`roots`]: whole userlands, made by debootstrap in the same cache;
//! * [`host`]: the hosts Demotic runs on and how to start its build for each of them on this machine;
//! * [`run`]: starting a program with a time limit and taking everything it gives;
//! * [`expect`]: comparing with committed output;
//! * [`results`]: program × host × result, and the table in the README made of it.
//!
//! The oracle is the native run: on an x86-64 machine every guest also runs without Demotic, and the expected output in
//! the tree is what that gave, so that machines of other kinds can check without one.
#![forbid(unsafe_code)]

pub mod expect;
pub mod guest;
pub mod host;
pub mod packages;
pub mod results;
pub mod rng;
pub mod roots;
pub mod run;

use std::path::PathBuf;

/// The root of the source tree.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/testkit lies two levels down")
        .to_owned()
}

/// Cargo's target directory, `CARGO_TARGET_DIR` respected.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => std::path::absolute(root().join(dir)).expect("the working directory is readable"),
        None => root().join("target"),
    }
}
