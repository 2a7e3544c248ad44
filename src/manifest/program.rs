//! Programs of this machine, found at places that no branch can fill. An entry of
//! `PATH` that is empty or relative leads into whatever folder we were started
//! in, and there a branch can have a program of any name.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A program as an absolute path: of the name that it has on every machine.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    folders().into_iter().find_map(|folder| in_folder(&folder, name))
}

/// The program of this name in a folder.
pub(super) fn in_folder(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    is_program(&path).then_some(path)
}

/// `PATH` for what a program starts itself, without the entries that lead into
/// the folder at hand.
pub(super) fn path() -> Option<OsString> {
    std::env::var_os("PATH")?;
    std::env::join_paths(folders()).ok()
}

fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).filter(|entry| entry.is_absolute()).collect()
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}
