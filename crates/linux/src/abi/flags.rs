//! Flag words whose bits differ between x86 and the host.
//!
//! Almost all of Linux's flags are the same everywhere. The `O_*` flags are the great exception: ARM (both widths) swapped
//! four of them with each other (asm/fcntl.h). Conversion goes through one table; bits that are not in it are passed on as
//! they are, so that flags newer than this table work where the numbers agree.

/// x86's `open` flags as far as any host numbers them differently (asm-generic/fcntl.h, which x86 uses unchanged).
pub mod x86 {
    #![allow(missing_docs)]
    pub const O_CREAT: u32 = 0o100;
    pub const O_TRUNC: u32 = 0o1000;
    pub const O_DIRECT: u32 = 0o40000;
    pub const O_LARGEFILE: u32 = 0o100000;
    pub const O_DIRECTORY: u32 = 0o200000;
    pub const O_NOFOLLOW: u32 = 0o400000;
    pub const O_PATH: u32 = 0o10000000;
    pub const O_TMPFILE_BIT: u32 = 0o20000000;
    pub const O_CLOEXEC: u32 = 0o2000000;
    pub const O_NONBLOCK: u32 = 0o4000;
}

/// The host kernel's numbers for the same.
mod host {
    #[cfg(target_arch = "x86_64")]
    mod arch {
        pub(in super::super) const O_DIRECT: u32 = 0o40000;
        pub(in super::super) const O_LARGEFILE: u32 = 0o100000;
        pub(in super::super) const O_DIRECTORY: u32 = 0o200000;
        pub(in super::super) const O_NOFOLLOW: u32 = 0o400000;
    }
    // arch/arm/include/uapi/asm/fcntl.h, arch/arm64/include/uapi/asm/fcntl.h
    #[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
    mod arch {
        pub(in super::super) const O_DIRECTORY: u32 = 0o40000;
        pub(in super::super) const O_NOFOLLOW: u32 = 0o100000;
        pub(in super::super) const O_DIRECT: u32 = 0o200000;
        pub(in super::super) const O_LARGEFILE: u32 = 0o400000;
    }
    pub(super) use arch::*;
}

/// (x86, host) pairs of the flags that may differ.
const OPEN: [(u32, u32); 4] = [
    (x86::O_DIRECT, host::O_DIRECT),
    (x86::O_LARGEFILE, host::O_LARGEFILE),
    (x86::O_DIRECTORY, host::O_DIRECTORY),
    (x86::O_NOFOLLOW, host::O_NOFOLLOW),
];

/// Moves the bits of `flags` that `pairs` names from the first to the second numbering; all others stay.
fn translate(flags: u32, pairs: &[(u32, u32)]) -> u32 {
    let known = pairs.iter().fold(0, |all, pair| all | pair.0);
    pairs.iter().filter(|pair| flags & pair.0 != 0).fold(flags & !known, |out, pair| out | pair.1)
}

/// `open` flags of the guest as the host wants them.
pub fn open_to_host(flags: u32) -> u32 {
    translate(flags, &OPEN)
}

/// `open` flags of the host (`F_GETFL`) as the guest knows them.
pub fn open_to_guest(flags: u32) -> u32 {
    translate(flags, &OPEN.map(|(guest, host)| (host, guest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_flags_round_trip() {
        for bit in 0..32 {
            assert_eq!(open_to_guest(open_to_host(1 << bit)), 1 << bit);
        }
        let both = x86::O_DIRECTORY | x86::O_CLOEXEC | 2;
        assert_eq!(open_to_guest(open_to_host(both)), both);
    }

    #[test]
    fn host_constants_are_the_hosts() {
        assert_eq!(open_to_host(x86::O_DIRECTORY), libc::O_DIRECTORY as u32);
        assert_eq!(open_to_host(x86::O_NOFOLLOW), libc::O_NOFOLLOW as u32);
        assert_eq!(open_to_host(x86::O_DIRECT), libc::O_DIRECT as u32);
    }

    #[test]
    fn arm_swap_does_not_merge_bits() {
        let arm = [(0o200000, 0o40000), (0o40000, 0o200000)];
        assert_eq!(translate(0o200000, &arm), 0o40000);
        assert_eq!(translate(0o240000, &arm), 0o240000);
    }
}
