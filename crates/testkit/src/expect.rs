//! Expected output in the tree, rewritten by `BLESS=1`.

use std::fs;
use std::path::Path;

/// Compares `got` with the file. With `BLESS=1` in the environment and `may_bless` (the oracle speaks, not the subject)
/// writes the file instead.
///
/// # Errors
/// The first difference, as text.
pub fn same_as_file(file: &Path, got: &str, may_bless: bool) -> Result<(), String> {
    if may_bless && std::env::var_os("BLESS").is_some() {
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir).map_err(|e| e.to_string())?;
        }
        return fs::write(file, got).map_err(|e| format!("{}: {e}", file.display()));
    }
    let want = fs::read_to_string(file)
        .map_err(|e| format!("{}: {e}; BLESS=1 on the native host writes it", file.display()))?;
    same(&want, got)
}

/// Compares two texts.
///
/// # Errors
/// The first lines that differ, with their number.
pub fn same(want: &str, got: &str) -> Result<(), String> {
    if want == got {
        return Ok(());
    }
    let (mut w, mut g) = (want.lines(), got.lines());
    for number in 1.. {
        let pair = (w.next(), g.next());
        if pair.0 != pair.1 {
            let show = |line: Option<&str>| line.map_or("(end)".to_owned(), |l| l.chars().take(300).collect());
            return Err(format!("line {number}\n  expected: {}\n  got:      {}", show(pair.0), show(pair.1)));
        }
        if pair.0.is_none() {
            break;
        }
    }
    Err("they differ in line ends".to_owned())
}
