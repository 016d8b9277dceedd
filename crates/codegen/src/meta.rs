//! Side tables: from a host code offset to the guest instruction it belongs to.
//!
//! One entry for every guest instruction, delta-coded as pairs of LEB128 numbers: host bytes since the last entry, guest
//! bytes since the last entry (signed, zigzag). Lookup decodes from the unit's start: it happens at faults and signals
//! only, while the table costs two to three bytes for an instruction.

/// The table of one unit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Positions {
    bytes: Vec<u8>,
    last: (u32, u64),
}

impl Positions {
    /// Notes that host code from `host` on belongs to the guest instruction at `guest`. Offsets must not decrease.
    pub fn push(&mut self, host: u32, guest: u64) {
        debug_assert!(host >= self.last.0);
        let step = guest.wrapping_sub(self.last.1) as i64;
        put(&mut self.bytes, u64::from(host - self.last.0));
        put(&mut self.bytes, (step << 1 ^ step >> 63) as u64);
        self.last = (host, guest);
    }

    /// The guest instruction that the host code at `host` belongs to; `None` before the first entry.
    pub fn find(&self, host: u32) -> Option<u64> {
        let (mut at, mut guest, mut found) = (0u32, 0u64, None);
        let mut rest = self.bytes.as_slice();
        while let (Some(delta), Some(step)) = (take(&mut rest), take(&mut rest)) {
            at = at.wrapping_add(delta as u32);
            if at > host {
                break;
            }
            guest = guest.wrapping_add(step >> 1 ^ (step & 1).wrapping_neg());
            found = Some(guest);
        }
        found
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

fn put(bytes: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0;
    for k in 0..10 {
        let (&b, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(b & 0x7f) << (7 * k);
        if b & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_finds_its_instruction() {
        let mut p = Positions::default();
        // The third block of a unit may lie before the first in guest memory.
        for (host, guest) in [(0, 0x40_1000), (8, 0x40_1003), (8, 0x40_1004), (300, 0x40_1010), (304, 0x40_0ff0)] {
            p.push(host, guest);
        }
        for (host, guest) in
            [(0, 0x40_1000), (7, 0x40_1000), (8, 0x40_1004), (299, 0x40_1004), (303, 0x40_1010), (999, 0x40_0ff0)]
        {
            assert_eq!(p.find(host), Some(guest), "at {host}");
        }
        assert!(p.size() < 20);
        assert_eq!(Positions::default().find(0), None);
    }
}
