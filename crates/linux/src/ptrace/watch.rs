//! Debug registers: four addresses that a tracer or the debugger ([`crate::gdb`]) has watched, for execution, writes, or any access.
//!
//! While one is enabled the thread executes single instructions; what each is about to access is asked of the decoder before ([`accesses`]). The
//! trap is the processor's (SDM vol. 3, 17.2 and 17.3): behind an access, before an execution, with the reason in DR6. What the kernel itself writes for the
//! program is not noticed, as on real machines. The registers stay with the thread when its tracer goes: Wine's server sets them for a Windows debugger, detaches, and
//! the thread's own handler takes the SIGTRAP.
//!
//! RF, the flag that has one instruction executed in spite of its breakpoint, is in `sys` only while the thread is in no guest code: from a fault, or a breakpoint, to
//! what is executed next, so frames, tracers and core dumps have it (hw_breakpoint_handler sets it, the processor does in the image of every fault).

use crate::task::Task;
use demotic_engine::GuestSpace;
use demotic_engine::exit::{Exception, Exit, SyscallEntry};
use demotic_ir::state::eflags;
use demotic_x86::accesses;
use demotic_x86::state::reg;

/// DR0 to DR7; the status without the bits that always read as 1. Nobody has DR4 and DR5: [`MADE`] and [`FIELDS`] are in their places.
pub type Registers = [u64; 8];

const MADE: usize = 4;
const FIELDS: usize = 5;
const STATUS: usize = 6;
const CONTROL: usize = 7;
/// DR6.BS: a single step.
const BS: u64 = 0x4000;
/// Bits of DR6 that read as 1, and one (RTM) that reads as its inverse (DR6_RESERVED, arch/x86/include/uapi/asm/debugreg.h).
const RESERVED: u64 = 0xffff_0ff0;
/// End of what may be watched (TASK_SIZE_MAX).
const LIMIT: u64 = (1 << 47) - 4096;

/// What a register watches for: its field in DR7.
pub const EXECUTION: u64 = 0;
/// Writes.
pub const WRITES: u64 = 1;
/// Reads and writes.
pub const ACCESSES: u64 = 3;

/// Kind and length of register `n` if DR7 enables it.
fn enabled(registers: &Registers, n: usize) -> Option<(u64, u64)> {
    let control = registers[CONTROL];
    (control >> (2 * n) & 3 != 0).then(|| kind_and_length(control >> (16 + 4 * n)))
}

/// Whether any is enabled.
pub fn is_on(registers: &Registers) -> bool {
    registers[CONTROL] & 0xff != 0
}

/// What a tracer reads (ptrace_get_debugreg, arch/x86/kernel/ptrace.c).
pub fn read(registers: &Registers, n: usize) -> u64 {
    match n {
        4 | 5 => 0,
        STATUS => registers[STATUS] ^ RESERVED,
        _ => registers[n],
    }
}

/// What a tracer writes (ptrace_set_debugreg). `Err`: the kernel refuses (false: EIO, true: EINVAL).
///
/// The kernel makes a breakpoint of its own for an address, or for one that DR7 enables, and checks it from then on whether it is enabled or
/// not: [`MADE`] has a bit for each, [`FIELDS`] what DR7 said of it last.
pub fn write(registers: &mut Registers, n: usize, value: u64) -> Result<(), bool> {
    let mut new = *registers;
    let field = |fields: u64, n: usize| fields >> (4 * n) & 15;
    match n {
        0..4 => {
            new[n] = value;
            if new[MADE] >> n & 1 == 0 {
                new[MADE] |= 1 << n;
                new[FIELDS] = new[FIELDS] & !(15 << (4 * n)) | WRITES << (4 * n);
            }
        }
        STATUS => new[STATUS] = value ^ RESERVED,
        CONTROL => {
            new[CONTROL] = value;
            for n in 0..4 {
                if value >> (2 * n) & 3 != 0 {
                    new[MADE] |= 1 << n;
                }
                if new[MADE] >> n & 1 != 0 {
                    new[FIELDS] = new[FIELDS] & !(15 << (4 * n)) | field(value >> 16, n) << (4 * n);
                }
            }
        }
        _ => return Err(false),
    }
    for n in (0..4).filter(|n| new[MADE] >> n & 1 != 0) {
        let (kind, len) = kind_and_length(field(new[FIELDS], n));
        if kind == 2 || kind == EXECUTION && len != 1 || new[n] & (len - 1) != 0 || new[n] >= LIMIT {
            return Err(true);
        }
    }
    *registers = new;
    Ok(())
}

/// Of the four bits that DR7 has for each.
fn kind_and_length(field: u64) -> (u64, u64) {
    (field & 3, [1, 2, 8, 4][(field >> 2 & 3) as usize])
}

/// Registers for pieces of memory, each with a kind; `None` when four do not suffice.
pub fn registers(watched: &[(u64, u64, u64)]) -> Option<Registers> {
    let mut registers = [0; 8];
    let mut used = 0;
    for &(kind, addr, len) in watched {
        let (mut at, end) = (addr, addr.checked_add(if kind == EXECUTION { 1 } else { len.max(1) })?);
        while at < end {
            let size = [8, 4, 2, 1].into_iter().find(|size| at % size == 0 && at + size <= end)?;
            if used == 4 || end > LIMIT {
                return None;
            }
            let code = [0, 0, 1, 0, 3, 0, 0, 0, 2][size as usize];
            registers[used] = at;
            registers[CONTROL] |= 1 << (2 * used) | (code << 2 | kind) << (16 + 4 * used);
            (used, at) = (used + 1, at + size);
        }
    }
    Some(registers)
}

/// Address and kind of the first register that DR6 names, if any.
pub fn hit(registers: &Registers) -> Option<(u64, u64)> {
    (0..4).find(|n| registers[STATUS] >> n & 1 != 0).map(|n| (registers[n], registers[CONTROL] >> (16 + 4 * n) & 3))
}

/// Forgets what DR6 names.
pub fn clear(registers: &mut Registers) {
    registers[STATUS] = 0;
}

/// Bits of DR6 for the registers whose kind fits and whose bytes are touched.
fn hits(registers: &Registers, fits: impl Fn(u64) -> bool, addr: u64, len: u64) -> u64 {
    let touches = |n: &usize| {
        let is_hit =
            |(kind, size)| fits(kind) && addr < registers[*n] + size && registers[*n] < addr.saturating_add(len);
        enabled(registers, *n).is_some_and(is_hit)
    };
    (0..4).filter(touches).fold(0, |bits, n| bits | 1 << n)
}

/// The next instruction of a thread with watched addresses; `None`: nothing is to be told of it.
///
/// `resumes`: RF is set.
pub fn run(task: &mut Task, resumes: bool) -> Option<Exit> {
    let registers = task.trace.debug;
    let state = &task.cpu.state;
    let (rip, steps) = (state.rip, state.sys & eflags::TF != 0);
    let before = hits(&registers, |kind| kind == EXECUTION, rip, 1);
    if before != 0 && !resumes {
        task.cpu.state.sys |= eflags::RF;
        return Some(trap(task, before));
    }
    let mut code = [0; 15];
    let len = task.process.space.fetch(rip, &mut code);
    let accesses = accesses::of(state, &code[..len.min(15)]);
    // Of `iret` this bit counts, too.
    let image = accesses::returned_flags(state, &code).and_then(|at| task.mem.read::<u32>(at).ok());
    let exit = step(task, &code);
    if !is_step(&exit) {
        // It was not executed: it need not trap again.
        if before != 0 && matches!(exit, Exit::Attention) {
            task.cpu.state.sys |= eflags::RF;
        }
        return Some(exit);
    }
    task.cpu.state.sys |= image.unwrap_or(0) & eflags::RF;
    let of =
        |a: &accesses::Access| hits(&registers, |kind| kind == ACCESSES || kind == WRITES && a.writes, a.addr, a.len);
    match accesses.iter().map(of).fold(0, |bits, more| bits | more) {
        0 if steps => Some(exit),
        0 => None,
        bits => Some(trap(task, bits | if steps { BS } else { 0 })),
    }
}

fn trap(task: &mut Task, status: u64) -> Exit {
    task.trace.debug[STATUS] = status;
    task.trace.hit = true;
    Exit::Exception(Exception { vector: 1, error_code: 0, address: 0, host: None })
}

/// Whether an instruction was executed and TF trapped behind it; `int1` traps without that.
pub fn is_step(exit: &Exit) -> bool {
    matches!(exit, Exit::Exception(e) if e.vector == 1 && e.error_code != 0)
}

/// The si_code of a debug trap (get_si_code, arch/x86/include/asm/traps.h), whose DR6 is the thread's from now on. `steps`: TF's trap, not that of `int1`.
pub fn code(task: &mut Task, steps: bool) -> i32 {
    if !std::mem::take(&mut task.trace.hit) {
        task.trace.debug[STATUS] = if steps { BS } else { 0 };
    }
    match task.trace.debug[STATUS] {
        0 => libc::TRAP_BRKPT,
        status if status & BS != 0 => libc::TRAP_TRACE,
        _ => libc::TRAP_HWBKPT,
    }
}

/// One instruction, whose bytes are `code`, by a trap flag that the program does not see.
pub fn step(task: &mut Task, code: &[u8]) -> Exit {
    let own = task.cpu.state.sys & eflags::TF;
    let flags = accesses::flags(task.cpu.state.mode, code);
    task.cpu.state.sys |= eflags::TF;
    let exit = task.cpu.run();
    if own == 0 {
        match flags {
            Some(accesses::Flags::Pushed) if is_step(&exit) => {
                let top = task.cpu.state.gpr[reg::RSP];
                if let Ok(flags) = task.mem.read::<u16>(top) {
                    let _ = task.mem.write(top, &(flags & !(eflags::TF as u16)));
                }
            }
            _ if matches!(exit, Exit::Syscall(SyscallEntry::Syscall)) => {
                task.cpu.state.gpr[11] &= !u64::from(eflags::TF);
            }
            _ => {}
        }
    }
    if flags != Some(accesses::Flags::Loaded) {
        task.cpu.state.sys = task.cpu.state.sys & !eflags::TF | own;
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_become_registers() {
        let set = registers(&[(WRITES, 0x1003, 6)]).unwrap();
        // One byte, four, one.
        assert_eq!(set[..4], [0x1003, 0x1004, 0x1008, 0]);
        assert_eq!(set[CONTROL], 0x0011_0000 | 0xd << 20 & 0xf0_0000 | 1 << 24 | 0b01_0101);
        assert!(registers(&[(WRITES, 0x1001, 21)]).is_none());
        let write = |addr, len| hits(&set, |kind| kind == WRITES, addr, len);
        assert_eq!((write(0x1002, 1), write(0x1002, 2), write(0x1000, 16), write(0x1009, 1)), (0, 1, 7, 0));
    }

    #[test]
    fn the_kernel_refuses_some() {
        let mut set = [0; 8];
        assert_eq!(write(&mut set, 0, 0x1001), Ok(()));
        // A word at an odd address; input and output; an execution of two bytes.
        for control in [0x50001, 0x20001, 0x40001] {
            assert_eq!(write(&mut set, CONTROL, control), Err(true), "{control:#x}");
        }
        assert_eq!(write(&mut set, 0, LIMIT), Err(true));
        assert_eq!((write(&mut set, 4, 0), write(&mut set, CONTROL, 1)), (Err(false), Ok(())));
        assert_eq!((read(&set, STATUS), read(&set, 5)), (RESERVED, 0));
    }
}
