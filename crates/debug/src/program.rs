//! A program file as guest memory: just enough of ELF to read code at the addresses that it will have.

use demotic_ir::state::Mode;

/// The loaded segments of a program file.
#[derive(Debug)]
pub struct Program {
    file: Vec<u8>,
    /// Address, file offset, bytes.
    segments: Vec<(u64, usize, usize)>,
    /// Addresses of the executable segment.
    pub code: std::ops::Range<u64>,
    /// Where it starts.
    pub entry: u64,
    /// Mode of its code.
    pub mode: Mode,
}

impl Program {
    /// Reads the headers; `None` when this is no i386 or x86-64 ELF file.
    pub fn parse(file: Vec<u8>) -> Option<Program> {
        let wide = match (file.get(..4)?, file.get(4)?, file.get(18..20)?) {
            (b"\x7fELF", 1, [3, 0]) => false,
            (b"\x7fELF", 2, [62, 0]) => true,
            _ => return None,
        };
        let word = |at: usize| -> Option<u64> {
            let n = if wide { 8 } else { 4 };
            let mut b = [0; 8];
            b[..n].copy_from_slice(file.get(at..at + n)?);
            Some(u64::from_le_bytes(b))
        };
        let half = |at: usize| Some(usize::from(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?)));
        let entry = word(24)?;
        let table = usize::try_from(word(if wide { 32 } else { 28 })?).ok()?;
        let (size, count) = if wide { (half(54)?, half(56)?) } else { (half(42)?, half(44)?) };
        let (mut segments, mut code) = (Vec::new(), 0..0);
        for k in 0..count {
            let at = table.checked_add(k * size)?;
            let (offset, addr, bytes) = if wide { (8, 16, 32) } else { (4, 8, 16) };
            if file.get(at..at + 4)? == [1, 0, 0, 0] {
                let offset = usize::try_from(word(at + offset)?).ok()?;
                let (addr, bytes) = (word(at + addr)?, usize::try_from(word(at + bytes)?).ok()?);
                segments.push((addr, offset, bytes));
                // PF_X
                if file.get(at + if wide { 4 } else { 24 })? & 1 != 0 {
                    code = addr..addr + bytes as u64;
                }
            }
        }
        let mode = if wide { Mode::Long } else { Mode::Compat32 };
        Some(Program { file, segments, code, entry, mode })
    }

    /// Copies bytes at a guest address; how many were there.
    pub fn fetch(&self, at: u64, buf: &mut [u8]) -> usize {
        for &(addr, offset, bytes) in &self.segments {
            let skip = at.wrapping_sub(addr);
            if skip < bytes as u64 {
                let from = offset + skip as usize;
                let rest = self.file.get(from..offset + bytes).unwrap_or_default();
                let n = rest.len().min(buf.len());
                buf[..n].copy_from_slice(&rest[..n]);
                return n;
            }
        }
        0
    }

    /// The addresses of a function, by its name in the symbol table (System V ABI, chapter 4: .symtab).
    pub fn symbol(&self, name: &str) -> Option<std::ops::Range<u64>> {
        let wide = self.file.get(4)? == &2;
        let read = |at: usize, n: usize| -> Option<u64> {
            let mut b = [0; 8];
            b[..n].copy_from_slice(self.file.get(at..at.checked_add(n)?)?);
            Some(u64::from_le_bytes(b))
        };
        let table = usize::try_from(if wide { read(40, 8)? } else { read(32, 4)? }).ok()?;
        let (size, count) = if wide { (read(58, 2)?, read(60, 2)?) } else { (read(46, 2)?, read(48, 2)?) };
        let section = |k: u64| table.checked_add(usize::try_from(k * size).ok()?);
        // Offset and size of a section's contents.
        let contents = |at: usize| -> Option<(usize, usize)> {
            let (o, s) =
                if wide { (read(at + 24, 8)?, read(at + 32, 8)?) } else { (read(at + 16, 4)?, read(at + 20, 4)?) };
            Some((usize::try_from(o).ok()?, usize::try_from(s).ok()?))
        };
        for k in 0..count {
            let at = section(k)?;
            // SHT_SYMTAB
            if read(at + 4, 4)? != 2 {
                continue;
            }
            let (symbols, bytes) = contents(at)?;
            let link = read(at + if wide { 40 } else { 24 }, 4)?;
            let (names, _) = contents(section(link)?)?;
            let one = if wide { 24 } else { 16 };
            for s in (symbols..symbols.checked_add(bytes)?).step_by(one) {
                let text = self.file.get(names + usize::try_from(read(s, 4)?).ok()?..)?;
                let (value, length) =
                    if wide { (read(s + 8, 8)?, read(s + 16, 8)?) } else { (read(s + 4, 4)?, read(s + 8, 4)?) };
                if text.split(|b| *b == 0).next() == Some(name.as_bytes()) && length > 0 {
                    return Some(value..value + length);
                }
            }
        }
        None
    }
}
