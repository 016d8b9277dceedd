//! Addresses of Unix sockets name files: with a guest root they are looked up like paths.

use super::MAX_ADDRESS;
use crate::errno::Errno;
use crate::fs::path;
use crate::fs::root::Last;
use crate::task::Task;
use std::ffi::CString;

/// Where the path is in `sockaddr_un`, behind the family.
const PATH: usize = 2;
/// Most bytes of the path (UNIX_PATH_MAX).
const PATH_MAX: usize = 108;

/// The address as the host is to get it, if it is another one.
///
/// # Errors
/// `EFAULT`; those of a path lookup.
pub fn to_host(task: &Task, addr: u64, len: u64, last: Last) -> Result<Option<Vec<u8>>, Errno> {
    let len = len as i32 as usize;
    if !task.process.root.is_active() || !(PATH + 1..=PATH + PATH_MAX).contains(&len) {
        return Ok(None);
    }
    rewrite(task, task.mem.read_vec::<u8>(addr, len)?, last)
}

/// The same for an address that was read already.
///
/// # Errors
/// Those of a path lookup.
pub fn rewrite(task: &Task, bytes: Vec<u8>, last: Last) -> Result<Option<Vec<u8>>, Errno> {
    let root = &task.process.root;
    // Names in the abstract namespace begin with a zero.
    if !root.is_active() || !bytes.starts_with(&(libc::AF_UNIX as u16).to_ne_bytes()) || bytes.get(PATH) == Some(&0) {
        return Ok(None);
    }
    let name = bytes.get(PATH..).unwrap_or_default();
    let name = name.get(..name.iter().position(|&b| b == 0).unwrap_or(name.len())).unwrap_or_default();
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let place = path::locate(task, libc::AT_FDCWD as u64, name, last)?;
    if place.dir as i32 == libc::AT_FDCWD {
        return Ok(None);
    }
    // Others read the path that it was bound to; a long one has to go by the descriptor, and one that is out of reach.
    let by_path = root.handle().filter(|(_, root)| root.read_dir().is_ok()).map(|(_, root)| {
        use std::os::unix::ffi::OsStrExt;
        [root.as_os_str().as_bytes(), b"/", place.name.as_bytes()].concat()
    });
    let path = match by_path {
        Some(path) if path.len() < PATH_MAX => path,
        _ => root.full(&place.name).into_bytes(),
    };
    if path.len() >= PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(Some([bytes.get(..PATH).unwrap_or_default(), &path, b"\0"].concat()))
}

/// An address that the host's kernel told, as the guest sees it: without the guest root's own part. The answer is the new length.
pub fn to_guest(task: &Task, buffer: &mut [u8; MAX_ADDRESS], len: i32) -> i32 {
    let root = &task.process.root;
    let Ok(used) = usize::try_from(len) else { return len };
    if !root.is_active() || used <= PATH || used > MAX_ADDRESS {
        return len;
    }
    let Some((family, path)) = buffer.get(..used).and_then(|b| b.split_at_checked(PATH)) else { return len };
    if family != (libc::AF_UNIX as u16).to_ne_bytes() || path.first() != Some(&b'/') {
        return len;
    }
    let shown = match by_descriptor(path) {
        Some(rest) => rest.to_vec(),
        None => root.guest(path).to_vec(),
    };
    if let Some(room) = buffer.get_mut(PATH..PATH + shown.len()) {
        room.copy_from_slice(&shown);
    }
    (PATH + shown.len()) as i32
}

/// The rest of `/proc/self/fd/N/...`, which is how long paths are bound.
fn by_descriptor(path: &[u8]) -> Option<&[u8]> {
    let rest = path.strip_prefix(b"/proc/self/fd/")?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    rest.get(digits..).filter(|rest| digits > 0 && rest.first() == Some(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names() {
        assert_eq!(by_descriptor(b"/proc/self/fd/901/run/x\0"), Some(&b"/run/x\0"[..]));
        assert_eq!(by_descriptor(b"/proc/self/fd/9"), None);
        assert_eq!(by_descriptor(b"/run/x"), None);
    }
}
