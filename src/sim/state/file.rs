//! The file that keeps simulated tenants: a line with the whole state, and a
//! line for each change since.
//!
//! A change is appended, so that what is written for a request does not grow
//! with the fleet. Once the changes are longer than the state, the state is
//! written anew and takes the file's place in one step; so all that is ever
//! written stays in proportion to what happened.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::tenants::Tenants;

/// Where the state is smaller than this, the changes may still be as long.
const CHANGES_MIN: u64 = 64 * 1024;

/// Says why a saved tenant cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StateError {
    #[error("cannot read the simulated tenant in `{path}`: {reason}")]
    Read { path: String, reason: std::io::Error },
    #[error("cannot write the simulated tenant to `{path}`: {reason}")]
    Write { path: String, reason: std::io::Error },
    #[error("`{path}` does not hold a simulated tenant: {reason}; delete the file to start anew")]
    Form { path: String, reason: String },
}

/// A file that follows its tenants.
#[derive(Debug)]
pub(in crate::sim) struct StateFile {
    path: PathBuf,
    /// `None` until the first whole state is written, and after a failure: what
    /// is in the file then is not known.
    open: Option<Open>,
    written: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    whole: u64,
    changes: u64,
}

impl StateFile {
    pub(in crate::sim) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), open: None, written: 0 }
    }

    /// Writes what happened to the tenants since this was last called, so that
    /// whoever opens the file from now on finds them as they are.
    ///
    /// # Errors
    /// When the file or its folder cannot be written; the next call then
    /// writes everything anew.
    pub(in crate::sim) fn keep(&mut self, tenants: &mut Tenants) -> Result<(), StateError> {
        let open = self.open.take().filter(|open| open.changes <= open.whole.max(CHANGES_MIN));
        let change = open.is_some().then(|| tenants.take_change()).flatten();
        let written = if let (Some(open), Some(change)) = (open, change) {
            append(open, change)
        } else {
            tenants.watch();
            replace(&self.path, |to| tenants.write(to))
        };
        let (open, written) =
            written.map_err(|reason| StateError::Write { path: self.path.display().to_string(), reason })?;
        self.open = Some(open);
        self.written += written;
        Ok(())
    }

    /// Bytes written so far.
    pub(in crate::sim) fn written(&self) -> u64 {
        self.written
    }
}

fn append(mut open: Open, mut change: String) -> std::io::Result<(Open, u64)> {
    change.push('\n');
    open.file.write_all(change.as_bytes())?;
    let length = change.len() as u64;
    open.changes += length;
    Ok((open, length))
}

/// Where a state is written to.
type Sink<'a> = BufWriter<&'a mut File>;

/// A reader finds the old file or the new one, never half of either. Nobody
/// but its owner may read it, as it holds tokens.
fn replace(path: &Path, state: impl FnOnce(&mut Sink<'_>) -> std::io::Result<()>) -> std::io::Result<(Open, u64)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut to = BufWriter::new(file.as_file_mut());
    state(&mut to)?;
    to.write_all(b"\n")?;
    to.flush()?;
    drop(to);
    let whole = file.as_file().metadata()?.len();
    file.as_file().sync_data()?;
    let file = file.persist(path).map_err(|error| error.error)?;
    Ok((Open { file, whole, changes: 0 }, whole))
}

/// Writes a whole state.
///
/// # Errors
/// When the file or its folder cannot be written.
pub(super) fn write_whole(
    path: &Path,
    state: impl FnOnce(&mut Sink<'_>) -> std::io::Result<()>,
) -> Result<(), StateError> {
    let written = replace(path, state).map(|_| ());
    written.map_err(|reason| StateError::Write { path: path.display().to_string(), reason })
}

/// What a file says, if it is there. A last line that was cut off while it was
/// written is no part of it: nobody has heard of what it says.
pub(super) fn read(path: &Path) -> Result<Option<String>, StateError> {
    let mut bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(reason) => return Err(StateError::Read { path: path.display().to_string(), reason }),
    };
    if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
        bytes.truncate(end + 1);
    }
    String::from_utf8(bytes).map(Some).map_err(|error| form(path, error.to_string()))
}

/// The error of a file that holds something else.
pub(super) fn form(path: &Path, reason: String) -> StateError {
    StateError::Form { path: path.display().to_string(), reason }
}
