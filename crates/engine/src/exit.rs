//! Why control came back from guest code: the one contract between the executor and everyone else.
//!
//! Guest faults, signals and system calls leave the executor only through [`Exit`]. At every exit the guest state is
//! exact and at an instruction boundary.

/// The instruction that asked for a system call; it selects table and calling convention.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyscallEntry {
    /// `syscall` in 64-bit mode: x86-64 table.
    Syscall,
    /// `int 0x80` in any mode: i386 table.
    Int80,
    /// `sysenter` in 32-bit mode: i386 table, return through the vDSO's landing pad.
    Sysenter,
}

/// A processor exception (SDM vol. 3, table 6-1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// Vector: 0 #DE, 1 #DB, 3 #BP, 4 #OF, 5 #BR, 6 #UD, 11 #NP, 12 #SS, 13 #GP, 14 #PF, 16 #MF, 17 #AC, 19 #XM.
    pub vector: u8,
    /// Error code as the CPU would push it; for #PF bit 0 present, bit 1 write, bit 2 user, bit 4 fetch.
    pub error_code: u32,
    /// Faulting linear address (CR2) for #PF, else 0.
    pub address: u64,
    /// For #PF: what the host kernel said (signal number, si_code) when a host access faulted; `None` if the address was
    /// refused before it was touched.
    pub host: Option<(i32, i32)>,
}

impl Exception {
    /// An exception without address.
    pub fn new(vector: u8, error_code: u32) -> Self {
        Exception { vector, error_code, address: 0, host: None }
    }
}

/// Why the executor came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// A system call instruction; RIP is behind it (RCX and R11 already hold what `syscall` leaves there).
    Syscall(SyscallEntry),
    /// A fault (RIP at the instruction) or trap (RIP behind it: #BP, #OF, #DB after a step).
    Exception(Exception),
    /// [`crate::Cpu::attention`] was set; RIP is at the next instruction to run.
    Attention,
}
