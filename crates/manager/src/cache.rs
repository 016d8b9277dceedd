//! `demotic-manage cache`: the translations that runs leave for later ones.
//!
//! The folder is the one that the runner uses unless told otherwise (`--keep`). Its files are of no
//! use to anybody but the runner, which makes them again when they are gone, so removing them is always safe.

use demotic_options::places;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Its files and their sizes; none when it is not there.
fn files(folder: &PathBuf) -> io::Result<Vec<(PathBuf, u64)>> {
    let list = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        list => list?,
    };
    let mut files = Vec::new();
    for entry in list {
        let entry = entry?;
        let m = entry.metadata()?;
        if m.is_file() {
            files.push((entry.path(), m.len()));
        }
    }
    Ok(files)
}

fn with_folder(what: impl FnOnce(&PathBuf) -> io::Result<()>) -> ExitCode {
    let Some(folder) = places::translations(rustix::process::geteuid().as_raw()) else {
        eprintln!("demotic-manage: cache: neither XDG_CACHE_HOME nor a HOME of this user is set");
        return ExitCode::FAILURE;
    };
    match what(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("demotic-manage: {}: {e}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// Says what is there.
pub fn show() -> ExitCode {
    with_folder(|folder| {
        let files = files(folder)?;
        let bytes: u64 = files.iter().map(|f| f.1).sum();
        println!("{}: {} files, {} KiB", folder.display(), files.len(), bytes.div_ceil(1024));
        Ok(())
    })
}

/// Removes what is there.
pub fn clear() -> ExitCode {
    with_folder(|folder| {
        for (file, _) in files(folder)? {
            match fs::remove_file(&file) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    })
}
