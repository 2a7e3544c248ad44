//! Folders and files that are nobody else's business, also when an older
//! version or a hand made them laxer.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// Creates a folder that only its owner can open, and those above it.
#[cfg(unix)]
pub(crate) fn folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let lax = std::fs::metadata(path)?.permissions().mode() & 0o077 != 0;
    if lax { std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)) } else { Ok(()) }
}

/// The same with every folder on the way down from `base`: a lax one would let
/// others put another in its place. `base` itself belongs to whoever named it.
pub(crate) fn folder_within(base: &Path, path: &Path) -> std::io::Result<()> {
    if !base.is_dir() {
        folder(base)?;
    }
    let mut way = base.to_owned();
    for part in path.strip_prefix(base).into_iter().flat_map(Path::components) {
        way.push(part);
        folder(&way)?;
    }
    Ok(())
}

/// Opens a file that only its owner can read, for reading and appending.
#[cfg(unix)]
pub(crate) fn file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Makes the names in a folder durable.
#[cfg(unix)]
pub(super) fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Keeps others who ask for the same out of a folder, as long as the answer is
/// held. Nothing is put there; where a system cannot do that, nobody is kept out.
#[cfg(unix)]
pub(super) fn hold(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    folder.lock().ok().map(|()| folder)
}

#[cfg(not(unix))]
pub(super) fn hold(_: &Path) -> Option<File> {
    None
}

#[cfg(not(unix))]
pub(crate) fn folder(path: &Path) -> std::io::Result<()> {
    // The state folder lies in the user's own profile.
    std::fs::create_dir_all(path)
}

#[cfg(not(unix))]
pub(crate) fn file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).open(path)
}

#[cfg(not(unix))]
pub(super) fn sync(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Locks a file of this name, for as long as the answer lives; `None` if
/// another process has it.
///
/// # Errors
/// When it cannot be locked at all.
pub(super) fn lock(path: &Path) -> std::io::Result<Option<File>> {
    let lock = file(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(source),
    }
}
