//! Control messages between ABIs of different word size.
//!
//! A control buffer is a sequence of `cmsghdr` (a word-sized length that includes the header, level, type), each followed by
//! its data and padded to words. Between equal word sizes this is a copy; else every message is rewritten, and those
//! whose data contains times (`SO_TIMESTAMP` and its relatives) are converted.

use crate::errno::Errno;

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
/// `SO_TIMESTAMP_OLD`, `SO_TIMESTAMPNS_OLD`, `SO_TIMESTAMPING_OLD`: pairs of `long`s.
const OLD_TIMES: [i32; 3] = [29, 35, 37];

const HOST: usize = size_of::<usize>();

fn header(word: usize) -> usize {
    word + 8
}
fn align(len: usize, word: usize) -> usize {
    len.next_multiple_of(word)
}
fn read_word(bytes: &[u8], word: usize) -> Option<usize> {
    let mut value = [0; 8];
    value.get_mut(..word)?.copy_from_slice(bytes.get(..word)?);
    usize::try_from(u64::from_le_bytes(value)).ok()
}

/// One control message.
struct Control<'a> {
    level: i32,
    kind: i32,
    data: &'a [u8],
}

/// The messages of a buffer; stops at the first one that does not fit.
fn messages(mut bytes: &[u8], word: usize) -> impl Iterator<Item = Control<'_>> {
    std::iter::from_fn(move || {
        let len = read_word(bytes, word)?;
        let int = |at: usize| Some(i32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (level, kind) = (int(word)?, int(word + 4)?);
        let data = bytes.get(header(word)..len)?;
        bytes = bytes.get(align(len, word)..).unwrap_or_default();
        Some(Control { level, kind, data })
    })
}

fn push(out: &mut Vec<u8>, level: i32, kind: i32, data: &[u8], word: usize) {
    let len = header(word) + data.len();
    out.extend_from_slice((len as u64).to_le_bytes().get(..word).unwrap_or_default());
    out.extend_from_slice(&level.to_le_bytes());
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(data);
    out.resize(align(out.len(), word), 0);
}

/// Words of `from` bytes to words of `to` bytes, with sign.
fn resize_words(data: &[u8], from: usize, to: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / from * to);
    for word in data.chunks_exact(from) {
        let value = match from {
            4 => word.try_into().map_or(0, |w| i64::from(i32::from_le_bytes(w))),
            _ => word.try_into().map_or(0, i64::from_le_bytes),
        };
        out.extend_from_slice(value.to_le_bytes().get(..to).unwrap_or_default());
    }
    out
}

fn is_time(level: i32, kind: i32) -> bool {
    level == SOL_SOCKET && OLD_TIMES.contains(&kind)
}

/// Room for the host's form of what fits into `len` bytes of the guest's.
pub fn host_room(len: usize, word: usize) -> usize {
    if word == HOST { len } else { len + len / 2 + 64 }
}

/// The guest's control buffer for `sendmsg`, for the host.
///
/// # Errors
/// `EINVAL` for a message that is shorter than its header or longer than the buffer, as the kernel says.
pub fn to_host(bytes: &[u8], word: usize) -> Result<Vec<u8>, Errno> {
    if word == HOST {
        return Ok(bytes.to_vec());
    }
    let mut out = Vec::with_capacity(host_room(bytes.len(), word));
    let mut used = 0;
    for message in messages(bytes, word) {
        used = align(used, word) + header(word) + message.data.len();
        push(&mut out, message.level, message.kind, message.data, HOST);
    }
    // Whatever is left and could hold a header is a malformed message.
    if bytes.len().saturating_sub(align(used, word)) >= header(word) {
        return Err(Errno::EINVAL);
    }
    Ok(out)
}

/// What `recvmsg` delivered, for the guest's buffer of `room` bytes; true when something did not fit. Descriptors that do
/// not fit are closed, as the kernel does not install them either.
pub fn to_guest(bytes: &[u8], word: usize, room: usize) -> (Vec<u8>, bool) {
    if word == HOST {
        return (bytes.get(..room).unwrap_or(bytes).to_vec(), bytes.len() > room);
    }
    let mut out = Vec::new();
    let mut truncated = false;
    for message in messages(bytes, HOST) {
        let resized;
        let mut data = message.data;
        if is_time(message.level, message.kind) {
            resized = resize_words(data, HOST, word);
            data = &resized;
        }
        let space = room.saturating_sub(out.len());
        let fits = space.saturating_sub(header(word));
        if message.level == SOL_SOCKET && message.kind == SCM_RIGHTS && data.len() > fits {
            let keep = fits / 4 * 4;
            for fd in data.get(keep..).unwrap_or_default().chunks_exact(4) {
                let fd = fd.try_into().map_or(-1, i32::from_le_bytes);
                // SAFETY: the descriptor was just installed by the kernel for this message and nobody knows it.
                unsafe { libc::close(fd) };
            }
            truncated = true;
            data = data.get(..keep).unwrap_or_default();
            if keep == 0 {
                continue;
            }
        } else if space < header(word) {
            truncated = true;
            break;
        } else if data.len() > fits {
            truncated = true;
            data = data.get(..fits).unwrap_or_default();
        }
        push(&mut out, message.level, message.kind, data, word);
    }
    out.truncate(room);
    (out, truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn rights_to_host_and_back() {
        let mut guest = Vec::new();
        push(&mut guest, SOL_SOCKET, SCM_RIGHTS, &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0], 4);
        push(&mut guest, SOL_SOCKET, 2, &[9; 12], 4);
        let host = to_host(&guest, 4).unwrap();
        assert_eq!(host.len(), 32 + 32);
        assert_eq!(host[..8], 28u64.to_le_bytes());
        let (back, truncated) = to_guest(&host, 4, guest.len());
        assert_eq!((back, truncated), (guest, false));
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn times_shrink() {
        let mut host = Vec::new();
        let data = [5i64.to_le_bytes(), (-7i64).to_le_bytes()].concat();
        push(&mut host, SOL_SOCKET, 29, &data, 8);
        let (guest, truncated) = to_guest(&host, 4, 100);
        assert!(!truncated);
        assert_eq!(guest[12..], [5i32.to_le_bytes(), (-7i32).to_le_bytes()].concat());
    }

    #[test]
    fn malformed_is_refused() {
        if HOST == 8 {
            assert_eq!(to_host(&[0; 12], 4), Err(Errno::EINVAL));
            assert_eq!(to_host(&[0xff; 12], 4), Err(Errno::EINVAL));
            assert_eq!(to_host(&[0; 3], 4), Ok(Vec::new()));
        }
    }
}
