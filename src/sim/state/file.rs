//! The file that keeps simulated tenants: a line with the whole state, and a
//! line for each change since.
//!
//! A change is appended, so that what is written for a request does not grow
//! with the fleet. Once the changes are longer than the state, the state is
//! written anew and takes the file's place in one step; so all that is ever
//! written stays in proportion to what happened.

use std::fs::{File, OpenOptions, TryLockError};
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
    #[error(
        "`{path}` is kept by another apgit, and two would overwrite what the other has saved; end that one, or take another file"
    )]
    InUse { path: String },
}

/// The right to keep tenants in a file, which one process at a time has. A
/// file beside it says so, named after the file itself: whatever spelling or
/// link leads there, it is the same one.
#[derive(Debug)]
pub struct StateLock {
    path: PathBuf,
    _held: File,
}

impl StateLock {
    /// Takes the right to the file at `path`, which need not be there yet.
    ///
    /// # Errors
    /// When another process has it, or nobody can write there.
    pub fn take(path: &Path) -> Result<Self, StateError> {
        let failed = |reason| StateError::Write { path: path.display().to_string(), reason };
        let real = real(path).map_err(failed)?;
        let mut name = real.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let held = options.open(real.with_file_name(name)).map_err(failed)?;
        match held.try_lock() {
            Ok(()) => Ok(Self { path: real, _held: held }),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse { path: path.display().to_string() }),
            Err(TryLockError::Error(reason)) => Err(failed(reason)),
        }
    }

    /// Where the file really is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Links that lead to each other lead nowhere.
const LINKS_MAX: usize = 40;

/// Where a file is or will be, whatever links lead there. Its folder is made.
fn real(path: &Path) -> std::io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let folder = folder_of(&path);
        std::fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let name = path.file_name().ok_or(std::io::ErrorKind::InvalidFilename)?;
        let there = folder.join(name);
        match std::fs::read_link(&there) {
            Ok(target) => path = folder.join(target),
            // A file that is there has one spelling, however it was called.
            Err(_) => return Ok(there.canonicalize().unwrap_or(there)),
        }
    }
    Err(std::io::Error::other("too many links lead to each other"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that follows its tenants.
#[derive(Debug)]
pub(in crate::sim) struct StateFile {
    path: PathBuf,
    /// `None` until the first whole state is written, and after a failure: what
    /// is in the file then is not known.
    open: Option<Open>,
    written: u64,
    synced: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    whole: u64,
    changes: u64,
}

impl StateFile {
    pub(in crate::sim) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), open: None, written: 0, synced: false }
    }

    /// What is written outlives a loss of power as well.
    pub(in crate::sim) fn synced(mut self) -> Self {
        self.synced = true;
        self
    }

    /// Writes what happened to the tenants since this was last called, so that
    /// whoever opens the file from now on finds them as they are.
    ///
    /// # Errors
    /// When the file or its folder cannot be written; the next call then
    /// writes everything anew.
    pub(in crate::sim) fn keep(&mut self, tenants: &mut Tenants) -> Result<(), StateError> {
        let open = self.open.take().filter(|open| open.changes <= open.whole.max(CHANGES_MIN));
        // What is appended to a file that somebody took away is lost.
        let open = open.filter(|open| open.is_at(&self.path));
        let change = open.is_some().then(|| tenants.take_change()).flatten();
        let written = if let (Some(open), Some(change)) = (open, change) {
            append(open, change, self.synced)
        } else {
            tenants.watch();
            replace(&self.path, self.synced, |to| tenants.write(to))
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

impl Open {
    /// Whether the file at `path` is still the one that was written.
    fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|found| found.len() == self.whole + self.changes)
    }
}

fn append(mut open: Open, mut change: String, synced: bool) -> std::io::Result<(Open, u64)> {
    change.push('\n');
    open.file.write_all(change.as_bytes())?;
    if synced {
        open.file.sync_data()?;
    }
    let length = change.len() as u64;
    open.changes += length;
    Ok((open, length))
}

/// Where a state is written to.
type Sink<'a> = BufWriter<&'a mut File>;

/// A reader finds the old file or the new one, never half of either. Nobody
/// but its owner may read it, as it holds tokens.
/// A link to the file stays one.
fn replace(
    path: &Path,
    synced: bool,
    state: impl FnOnce(&mut Sink<'_>) -> std::io::Result<()>,
) -> std::io::Result<(Open, u64)> {
    let path = real(path)?;
    let folder = folder_of(&path);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut to = BufWriter::new(file.as_file_mut());
    state(&mut to)?;
    to.write_all(b"\n")?;
    to.flush()?;
    drop(to);
    let whole = file.as_file().metadata()?.len();
    file.as_file().sync_data()?;
    let file = file.persist(&path).map_err(|error| error.error)?;
    if synced {
        sync_folder(folder)?;
    }
    Ok((Open { file, whole, changes: 0 }, whole))
}

/// Makes the name of a file as durable as what is in it.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Elsewhere a folder cannot be opened, and its names are durable by themselves.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as where it can fail")]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Writes a whole state, and sees that it outlives a loss of power.
///
/// # Errors
/// When the file or its folder cannot be written.
pub(super) fn write_whole(
    path: &Path,
    state: impl FnOnce(&mut Sink<'_>) -> std::io::Result<()>,
) -> Result<(), StateError> {
    let written = replace(path, true, state).map(|_| ());
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
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        form(path, format!("it is not text from byte {} on", valid + 1))
    })
}

/// The error of a file that holds something else.
pub(super) fn form(path: &Path, reason: String) -> StateError {
    StateError::Form { path: path.display().to_string(), reason }
}
