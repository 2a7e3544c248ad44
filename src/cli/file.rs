//! Files that the command line names to be written: whole or not at all, and
//! through no link.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use super::error::CliError;
use super::exit::Exit;

/// Writes a file that is old or new for whoever reads it, and never half.
///
/// # Errors
/// When it cannot be written, or a link leads there.
pub(super) fn write(path: &Path, text: &str) -> Result<(), CliError> {
    refuse_link(path)?;
    replace(path, text).map_err(|error| CliError::file("write", path, &error))
}

/// A link in a repository leads wherever a branch wishes: what is written there
/// would overwrite a file of this machine. Folders above the repository, and
/// above the folder at hand, are the machine's own business.
///
/// # Errors
/// The link on the way.
pub(super) fn refuse_link(path: &Path) -> Result<(), CliError> {
    let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    let here = std::env::current_dir().and_then(|folder| folder.canonicalize()).ok();
    let is_ours = |link: &Path| {
        let folder = folder_of(link).canonicalize().ok();
        let is_below = |folder: &Path| here.as_ref().is_some_and(|here| folder.starts_with(here));
        let is_in_repository = |folder: &Path| folder.ancestors().any(|above| above.join(".git").exists());
        path.is_relative() || folder.is_some_and(|folder| is_below(&folder) || is_in_repository(&folder))
    };
    let link = match is_link(path) {
        true => Some(path),
        false => path.ancestors().skip(1).find(|above| is_link(above) && is_ours(above)),
    };
    let Some(link) = link else { return Ok(()) };
    let message = format!("`{}` is not written: `{}` is a symbolic link", path.display(), link.display());
    Err(CliError::new(Exit::Usage, message).hint("name the file itself"))
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let there = fs::symlink_metadata(path).ok();
    // A device or a pipe is written through, not replaced.
    if there.as_ref().is_some_and(|there| !there.is_file() && !there.is_symlink()) {
        return fs::write(path, text);
    }
    let folder = folder_of(path);
    let mut file = for_everybody().tempfile_in(folder)?;
    // Who may read the file that is there may read its successor.
    let there = there.filter(fs::Metadata::is_file);
    there.map_or(Ok(()), |there| file.as_file().set_permissions(there.permissions()))?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Temporary files are for their owner alone; what is named on the command line is
/// for whom the umask lets.
fn for_everybody() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}
