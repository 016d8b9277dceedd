//! What the host's kernel shows of a translated process to everybody: its arguments, environment, start of stack and of code.
//!
//! The kernel keeps the addresses of these for /proc, and prctl(PR_SET_MM_MAP) changes them: afterwards `ps`, `pgrep` and `top`, the guest's and the
//! host's, show the guest program's arguments as it has them on its stack, changes by the program included. Kernels without
//! CONFIG_CHECKPOINT_RESTORE refuse; then only guests see it, as far as [`crate::fs::proc`] shows it.

use crate::load::Loaded;

const PR_SET_MM_MAP: libc::c_ulong = 14;

/// `struct prctl_mm_map` (linux/prctl.h).
#[repr(C)]
struct MmMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: *const u8,
    auxv_size: u32,
    exe_fd: u32,
}

/// Tells the kernel where the program that was loaded has what it shows. The answer is whether it took it.
pub fn tell(loaded: &Loaded) -> bool {
    if cfg!(not(target_pointer_width = "64")) {
        // Guest addresses have an offset there.
        return false;
    }
    let shown = &loaded.shown;
    // The break is Demotic's own, and must stay what it is.
    // SAFETY: asks only.
    let brk = unsafe { demotic_host::sys::syscall6(libc::SYS_brk, [0; 6]) } as u64;
    let map = MmMap {
        start_code: shown.code.0,
        end_code: shown.code.1,
        start_data: shown.data.0,
        end_data: shown.data.1,
        start_brk: brk,
        brk,
        start_stack: loaded.sp,
        arg_start: shown.args.0,
        arg_end: shown.args.1,
        env_start: shown.env.0,
        env_end: shown.env.1,
        // Kernels keep bytes, and those of a 32-bit program as its own words; debuggers find a program's place by them.
        auxv: loaded.auxv.as_ptr(),
        auxv_size: loaded.auxv.len() as u32,
        exe_fd: u32::MAX,
    };
    // SAFETY: the structure and the vector are ours; what is changed is only what /proc shows.
    unsafe { libc::prctl(libc::PR_SET_MM, PR_SET_MM_MAP, &raw const map, size_of::<MmMap>(), 0) == 0 }
}
