//! Where memory lies on machines with several nodes: handed to the host, for the guest's own mappings.
//!
//! A set of nodes is an array of words of the ABI, given as a number of bits plus one; it goes through a buffer in host words.

use super::args::{int, output, own};
use crate::errno::{Errno, SysResult};
use crate::task::{Abi, Task};
use demotic_engine::GuestSpace;

/// Most bits of a set: the kernel takes a page of them (mm/mempolicy.c, `get_nodes`).
const MOST: u64 = 4096 * 8;

/// Bytes of a guest set of `count` bits plus one.
fn set_bytes(task: &Task, count: u64) -> usize {
    (count.saturating_sub(1) as usize).div_ceil(task.word() * 8) * task.word()
}

/// A set for the host, which reads whole words of its own.
fn set(task: &Task, addr: u64, count: u64) -> Result<Option<Vec<u64>>, Errno> {
    if addr == 0 {
        return Ok(None);
    }
    if count > MOST {
        return Err(Errno::EINVAL);
    }
    let mut words = vec![0u64; count as usize / 64 + 2];
    let len = set_bytes(task, count);
    let bytes = zerocopy::IntoBytes::as_mut_bytes(words.as_mut_slice());
    task.mem.read_bytes(addr, bytes.get_mut(..len).ok_or(Errno::EINVAL)?)?;
    Ok(Some(words))
}

fn pointer(set: &Option<Vec<u64>>) -> usize {
    set.as_ref().map_or(0, |words| words.as_ptr() as usize)
}

/// Host address of a range that has to consist of guest mappings.
fn mapped(task: &Task, addr: u64, len: u64) -> Result<usize, Errno> {
    let space = task.mem.space();
    if addr % crate::uaccess::PAGE != 0 {
        return Err(Errno::EINVAL);
    }
    if !space.is_mapped(addr, len) {
        return Err(Errno::EFAULT);
    }
    Ok(space.pages().at(space.pages().down(addr)))
}

/// `mbind(addr, len, mode, nodes, count, flags)`.
pub fn mbind(task: &mut Task, a: [u64; 6]) -> SysResult {
    let nodes = set(task, a[3], a[4])?;
    let at = mapped(task, a[0], a[1])?;
    let args = [at, a[1] as usize, int(a[2]), pointer(&nodes), a[4] as usize, a[5] as u32 as usize];
    task.syscall_host(libc::SYS_mbind, args)
}
/// `set_mempolicy(mode, nodes, count)`.
pub fn set_mempolicy(task: &mut Task, a: [u64; 6]) -> SysResult {
    let nodes = set(task, a[1], a[2])?;
    task.syscall_host(libc::SYS_set_mempolicy, [int(a[0]), pointer(&nodes), a[2] as usize, 0, 0, 0])
}
/// `get_mempolicy(mode, nodes, count, addr, flags)`.
pub fn get_mempolicy(task: &mut Task, a: [u64; 6]) -> SysResult {
    if a[2] > MOST {
        return Err(Errno::EINVAL);
    }
    let mode = output(task, a[0], 4)?;
    let mut nodes = vec![0u64; a[2] as usize / 64 + 2];
    let at = if a[3] == 0 { 0 } else { task.mem.space().base().wrapping_add(a[3] as usize) };
    let list = if a[1] == 0 { 0 } else { nodes.as_mut_ptr() as usize };
    let args = [mode, list, (a[2] as usize).next_multiple_of(64), at, a[4] as usize, 0];
    let args = if a[1] == 0 { [args[0], 0, a[2] as usize, args[3], args[4], 0] } else { args };
    let result = task.syscall_host(libc::SYS_get_mempolicy, args)?;
    if a[1] != 0 {
        let len = set_bytes(task, a[2]);
        let bytes = zerocopy::IntoBytes::as_bytes(nodes.as_slice());
        task.mem.write_bytes(a[1], bytes.get(..len).unwrap_or_default())?;
    }
    Ok(result)
}
/// `set_mempolicy_home_node(start, len, node, flags)`.
pub fn set_mempolicy_home_node(task: &mut Task, a: [u64; 6]) -> SysResult {
    let at = mapped(task, a[0], a[1])?;
    task.syscall_host(450, [at, a[1] as usize, a[2] as usize, a[3] as usize, 0, 0])
}
/// `migrate_pages(pid, count, from, to)`.
pub fn migrate_pages(task: &mut Task, a: [u64; 6]) -> SysResult {
    let (from, to) = (set(task, a[2], a[1])?, set(task, a[3], a[1])?);
    let args = [int(a[0]), a[1] as usize, pointer(&from), pointer(&to), 0, 0];
    // The libc crate does not have its number for 32-bit ARM (asm/unistd-eabi.h).
    #[cfg(target_arch = "arm")]
    const MIGRATE_PAGES: libc::c_long = 400;
    #[cfg(not(target_arch = "arm"))]
    const MIGRATE_PAGES: libc::c_long = libc::SYS_migrate_pages;
    task.syscall_host(MIGRATE_PAGES, args)
}
/// `move_pages(pid, count, pages, nodes, status, flags)`.
pub fn move_pages(task: &mut Task, a: [u64; 6]) -> SysResult {
    let count = a[1].min(1 << 20) as usize;
    if count as u64 != a[1] {
        return Err(Errno::E2BIG);
    }
    let base = task.mem.space().base();
    let pages: Vec<usize> = match task.abi {
        Abi::X86_64 => {
            task.mem.read_vec::<u64>(a[2], count)?.into_iter().map(|p| base.wrapping_add(p as usize)).collect()
        }
        Abi::I386 => {
            task.mem.read_vec::<u32>(a[2], count)?.into_iter().map(|p| base.wrapping_add(p as usize)).collect()
        }
    };
    let nodes = super::args::input(task, a[3], count * 4)?;
    let status = output(task, a[4], count * 4)?;
    let list = pages.first().map_or(0, own);
    task.syscall_host(libc::SYS_move_pages, [int(a[0]), count, list, nodes, status, int(a[5])])
}
