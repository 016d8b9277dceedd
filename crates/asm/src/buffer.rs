//! A growing buffer of host code with labels.
//!
//! A branch to a label that is not bound yet leaves a [`Fixup`]; binding is done at the end by [`CodeBuffer::finish`], which
//! patches every fixup's displacement field. Displacements that do not fit are an error, not a wrong branch: the caller
//! then emits the unit in a form with longer branches.
//!
//! Invariants: a label is bound at most once; every used label is bound before `finish`.

/// A place in the code, known or still to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Label(u32);

/// The displacement field of a branch or address instruction, relative to the fixup's own offset unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// AArch64 `b`, `bl`: 26 bits, words (Arm ARM C6.2.26).
    Arm26,
    /// AArch64 `b.cond`, `cbz`, literal loads: 19 bits at bit 5, words.
    Arm19,
    /// AArch64 `tbz`: 14 bits at bit 5, words.
    Arm14,
    /// AArch64 `adr`: 21 bits, bytes, low two bits at bit 29.
    Adr,
    /// x86-64: 8 bits, from the end of the field.
    Rel8,
    /// x86-64: 32 bits, from the end of the field.
    Rel32,
}

impl Field {
    /// Lowest and highest displacement in bytes, and the required alignment.
    pub fn reach(self) -> (i64, i64, i64) {
        let words = |bits: u32| (-(4 << (bits - 1)), (4 << (bits - 1)) - 4, 4);
        match self {
            Field::Arm26 => words(26),
            Field::Arm19 => words(19),
            Field::Arm14 => words(14),
            Field::Adr => (-(1 << 20), (1 << 20) - 1, 1),
            Field::Rel8 => (-128, 127, 1),
            Field::Rel32 => (i64::from(i32::MIN), i64::from(i32::MAX), 1),
        }
    }
}

/// A displacement to be filled in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fixup {
    /// Offset of the instruction (AArch64) or of the field (x86-64).
    pub at: u32,
    /// Where it leads.
    pub label: Label,
    /// The field.
    pub field: Field,
}

/// Why code could not be finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// A used label was never bound.
    Unbound(Label),
    /// A displacement does not fit its field.
    OutOfReach(Fixup),
}

/// Host code under construction.
#[derive(Clone, Debug, Default)]
pub struct CodeBuffer {
    /// The code, and behind it room for more, of any content.
    bytes: Vec<u8>,
    /// How much of it is code.
    len: usize,
    labels: Vec<Option<u32>>,
    fixups: Vec<Fixup>,
}

impl CodeBuffer {
    /// Offset of the next byte.
    pub fn offset(&self) -> u32 {
        self.len as u32
    }

    /// Room for so many bytes more.
    #[inline(always)]
    fn room(&mut self, n: usize) -> &mut [u8] {
        if self.bytes.len() - self.len < n {
            self.grow(n);
        }
        &mut self.bytes[self.len..]
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, n: usize) {
        self.bytes.resize((2 * self.bytes.len()).max(self.len + n).max(4096), 0);
    }

    /// Appends bytes (x86-64).
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends the lowest `n` bytes of a word, at most 8. Writing all of it costs less than writing `n` bytes.
    #[inline(always)]
    pub fn put_word(&mut self, word: u64, n: usize) {
        debug_assert!(n <= 8);
        if let Some(to) = self.room(8).first_chunk_mut() {
            *to = word.to_le_bytes();
        }
        self.len += n;
    }

    /// Appends the lowest `n` bytes of a word, 1 to 7 and nothing above them, then the lowest `m` of another.
    #[inline(always)]
    pub fn put_words(&mut self, first: u64, n: u32, second: u64, m: usize) {
        debug_assert!((1..8).contains(&n) && m <= 8 && first >> (8 * n) == 0);
        let shift = (8 * n) & 63;
        let (low, high) = (first | second << shift, second >> 1 >> (63 - shift));
        if let Some((to, more)) = self.room(16).split_first_chunk_mut() {
            *to = low.to_le_bytes();
            if let Some(to) = more.first_chunk_mut() {
                *to = high.to_le_bytes();
            }
        }
        self.len += n as usize + m;
    }

    /// Appends an instruction word (AArch64).
    #[inline]
    pub fn word(&mut self, word: u32) {
        if let Some(to) = self.room(4).first_chunk_mut() {
            *to = word.to_le_bytes();
        }
        self.len += 4;
    }

    /// A new label, not bound yet.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() as u32 - 1)
    }

    /// Binds a label here.
    ///
    /// # Panics
    /// When it is bound already: a mistake of the emitter, not of the guest.
    pub fn bind(&mut self, label: Label) {
        let here = self.offset();
        let slot = &mut self.labels[label.0 as usize];
        assert!(slot.is_none(), "label bound twice");
        *slot = Some(here);
    }

    /// Notes that the field at `at` leads to a label.
    pub fn refer(&mut self, at: u32, label: Label, field: Field) {
        self.fixups.push(Fixup { at, label, field });
    }

    /// Patches all fixups and gives the code.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        self.patched()?;
        self.bytes.truncate(self.len);
        Ok(self.bytes)
    }

    /// Patches all fixups and gives the code, which stays in the buffer.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn patched(&mut self) -> Result<&[u8], Error> {
        for &fixup in &self.fixups {
            let target = self.labels[fixup.label.0 as usize].ok_or(Error::Unbound(fixup.label))?;
            patch(&mut self.bytes, fixup, target)?;
        }
        Ok(&self.bytes[..self.len])
    }

    /// Makes the buffer empty, to be used again.
    pub fn clear(&mut self) {
        self.len = 0;
        self.labels.clear();
        self.fixups.clear();
    }
}

/// Fills in one displacement.
///
/// # Errors
/// [`Error::OutOfReach`] when it does not fit.
pub fn patch(code: &mut [u8], fixup: Fixup, target: u32) -> Result<(), Error> {
    patch_to(code, fixup, i64::from(target))
}

/// The same for a target outside the code, as an offset from its beginning.
///
/// # Errors
/// As [`patch`].
pub fn patch_to(code: &mut [u8], fixup: Fixup, target: i64) -> Result<(), Error> {
    let at = fixup.at as usize;
    let origin = match fixup.field {
        Field::Rel8 => fixup.at + 1,
        Field::Rel32 => fixup.at + 4,
        _ => fixup.at,
    };
    let d = target - i64::from(origin);
    let (low, high, align) = fixup.field.reach();
    if d < low || d > high || d % align != 0 {
        return Err(Error::OutOfReach(fixup));
    }
    if fixup.field == Field::Rel8 {
        code[at] = d as u8;
        return Ok(());
    }
    let field = &mut code[at..at + 4];
    let mut w = u32::from_le_bytes([field[0], field[1], field[2], field[3]]);
    let words = (d >> 2) as u32;
    match fixup.field {
        Field::Arm26 => w = w & !0x03ff_ffff | words & 0x03ff_ffff,
        Field::Arm19 => w = w & !0x00ff_ffe0 | (words & 0x7_ffff) << 5,
        Field::Arm14 => w = w & !0x0007_ffe0 | (words & 0x3fff) << 5,
        Field::Adr => w = w & !0x60ff_ffe0 | (d as u32 & 3) << 29 | (words & 0x7_ffff) << 5,
        Field::Rel32 | Field::Rel8 => w = d as u32,
    }
    field.copy_from_slice(&w.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forward_and_backward_branches() {
        let mut b = CodeBuffer::default();
        let (start, end) = (b.label(), b.label());
        b.bind(start);
        b.refer(b.offset(), end, Field::Arm26);
        b.word(0x1400_0000); // b end
        b.refer(b.offset(), start, Field::Arm19);
        b.word(0x5400_0000); // b.eq start
        b.bind(end);
        let code = b.finish().expect("in reach");
        assert_eq!(code[..4], 0x1400_0002u32.to_le_bytes());
        assert_eq!(code[4..], 0x54ff_ffe0u32.to_le_bytes());
    }

    #[test]
    fn x86_displacements_count_from_the_end() {
        let mut b = CodeBuffer::default();
        let l = b.label();
        b.put(&[0xe9, 0, 0, 0, 0, 0xeb, 0]);
        b.refer(1, l, Field::Rel32);
        b.refer(6, l, Field::Rel8);
        b.bind(l);
        assert_eq!(b.finish(), Ok(vec![0xe9, 2, 0, 0, 0, 0xeb, 0]));
    }

    #[test]
    fn errors_instead_of_wrong_branches() {
        let mut b = CodeBuffer::default();
        let l = b.label();
        b.refer(0, l, Field::Arm14);
        b.word(0x3600_0000);
        assert_eq!(b.clone().finish(), Err(Error::Unbound(l)));
        (0..9000).for_each(|_| b.word(0xd503_201f));
        b.bind(l);
        assert!(matches!(b.finish(), Err(Error::OutOfReach(f)) if f.field == Field::Arm14));
    }
}
