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
use std::sync::Arc;

use super::tenants::Tenants;

/// Where the state is smaller than this, the changes may still be as long.
const CHANGES_MIN: u64 = 64 * 1024;

/// Says why a saved tenant cannot be used.
#[derive(Debug, thiserror::Error)]
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
    #[error("`{path}` is no file that could keep a simulated tenant; name a file, which need not be there yet")]
    NoFile { path: String },
    #[error(
        "another file has taken the place of `{path}`, and what is in it would be lost; move it away, or end this apgit"
    )]
    Replaced { path: String },
}

/// The right to keep tenants in a file, which one process at a time has. A
/// file beside it says so, named after the file itself: whatever spelling or
/// link leads there, it is the same one. Somebody may delete that, so where
/// it can be, what was written last is locked as well.
#[derive(Debug)]
struct StateLock {
    path: PathBuf,
    held: File,
    /// What is kept, as it was found or written last.
    own: Option<Arc<File>>,
}

impl StateLock {
    fn take(path: &Path) -> Result<Self, StateError> {
        // A pipe would keep its reader waiting, and what is written whole would
        // take the place of a device.
        if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(StateError::NoFile { path: path.display().to_string() });
        }
        let real = real(path).map_err(|error| refused(path, TryLockError::Error(error)))?;
        let held = hold(&real).map_err(|error| refused(path, error))?;
        let own = own(&real).map_err(|error| refused(path, error))?;
        Ok(Self { path: real, held, own: own.map(Arc::new) })
    }

    /// Sees that the right still holds, right before something is written.
    /// Where the file that says so is gone, it is taken again; where another
    /// has it, or has been there, what that one saved is not written over.
    fn check(&mut self) -> Result<(), StateError> {
        if !names(&beside(&self.path), &self.held) {
            self.held = hold(&self.path).map_err(|error| refused(&self.path, error))?;
        }
        let is_own = self.own.as_ref().is_some_and(|own| names(&self.path, own));
        match is_own || !is_there(&self.path) {
            true => Ok(()),
            false => Err(StateError::Replaced { path: self.path.display().to_string() }),
        }
    }
}

fn refused(path: &Path, error: TryLockError) -> StateError {
    let path = path.display().to_string();
    match error {
        TryLockError::WouldBlock => StateError::InUse { path },
        TryLockError::Error(reason) => StateError::Write { path, reason },
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    path.with_file_name(name)
}

/// Whoever deletes and makes files all the time keeps nobody waiting.
const HOLDS_MAX: usize = 10;

/// Holds the file beside `path`.
fn hold(path: &Path) -> Result<File, TryLockError> {
    let beside = beside(path);
    std::fs::create_dir_all(folder_of(path)).map_err(TryLockError::Error)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Shared to read and to write, and so not to be deleted.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0x1 | 0x2);
    for _ in 0..HOLDS_MAX {
        let held = options.open(&beside).map_err(TryLockError::Error)?;
        held.try_lock()?;
        // Deleted meanwhile, it holds nobody off.
        if names(&beside, &held) {
            return Ok(held);
        }
    }
    Err(TryLockError::Error(std::io::Error::other("the file beside it is deleted again and again")))
}

/// The state that is there, if it is, locked.
#[cfg(unix)]
fn own(path: &Path) -> Result<Option<File>, TryLockError> {
    let Ok(own) = File::open(path) else { return Ok(None) };
    match own.try_lock() {
        Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
        // Some file systems lock nothing that is open to be read.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(own)),
    }
}

/// Elsewhere nobody could read what is locked, and what is held cannot be
/// deleted.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as where it can fail")]
fn own(_: &Path) -> Result<Option<File>, TryLockError> {
    Ok(None)
}

/// Whether `path` leads to this very file.
#[cfg(unix)]
fn names(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let place = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((std::fs::metadata(path), file.metadata()), (Ok(there), Ok(ours)) if place(&there) == place(&ours))
}

#[cfg(not(unix))]
fn names(_: &Path, _: &File) -> bool {
    true
}

/// Whether there is something that would be written over.
#[cfg(unix)]
fn is_there(path: &Path) -> bool {
    path.exists()
}

#[cfg(not(unix))]
fn is_there(_: &Path) -> bool {
    false
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
pub struct StateFile {
    path: PathBuf,
    lock: Option<StateLock>,
    /// `None` until the first whole state is written, and after a failure: what
    /// is in the file then is not known.
    open: Option<Open>,
    written: u64,
    synced: bool,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    whole: u64,
    changes: u64,
}

impl StateFile {
    /// The file at `path`, whoever else keeps it.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), lock: None, open: None, written: 0, synced: false }
    }

    /// The file at `path`, which need not be there yet, and the right to keep
    /// it: for as long as this lives, no other process gets it.
    ///
    /// # Errors
    /// When another process has it, or nobody can write there.
    pub fn lock(path: &Path) -> Result<Self, StateError> {
        let lock = StateLock::take(path)?;
        // A link that is changed later leads to what was not locked.
        Ok(Self { path: lock.path.clone(), lock: Some(lock), open: None, written: 0, synced: false })
    }

    /// What is written outlives a loss of power as well.
    #[must_use]
    pub fn synced(mut self) -> Self {
        self.synced = true;
        self
    }

    /// Writes what happened to the tenants since this was last called, so that
    /// whoever opens the file from now on finds them as they are.
    ///
    /// # Errors
    /// When the file or its folder cannot be written, or is another's; the
    /// next call then writes everything anew.
    pub fn keep(&mut self, tenants: &mut Tenants) -> Result<(), StateError> {
        let open = self.open.take().filter(|open| open.changes <= open.whole.max(CHANGES_MIN));
        if let Some(lock) = &mut self.lock {
            lock.check()?;
        }
        // What is appended to a file that somebody took away is lost.
        let open = open.filter(|open| open.is_at(&self.path));
        let change = open.is_some().then(|| tenants.take_change()).flatten();
        if let (Some(open), Some(change)) = (open, change) {
            let (open, written) = append(open, change, self.synced).map_err(|reason| self.failed(reason))?;
            self.open = Some(open);
            self.written += written;
            return Ok(());
        }
        self.keep_whole(tenants)
    }

    /// The same in one line, whatever was written before.
    ///
    /// # Errors
    /// When the file or its folder cannot be written, or is another's.
    pub fn keep_whole(&mut self, tenants: &mut Tenants) -> Result<(), StateError> {
        self.open = None;
        if let Some(lock) = &mut self.lock {
            lock.check()?;
        }
        tenants.watch();
        let next = write_beside(&self.path, |to| tenants.write(to)).map_err(|reason| self.failed(reason))?;
        if let Some(lock) = &mut self.lock {
            // It took a while.
            lock.check()?;
            #[cfg(unix)]
            let _ = next.file.as_file().try_lock();
        }
        let open = next.take_place(self.synced).map_err(|reason| self.failed(reason))?;
        if let Some(lock) = &mut self.lock {
            lock.own = Some(open.file.clone());
        }
        self.written += open.whole;
        self.open = Some(open);
        Ok(())
    }

    fn failed(&self, reason: std::io::Error) -> StateError {
        StateError::Write { path: self.path.display().to_string(), reason }
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
    (&*open.file).write_all(change.as_bytes())?;
    if synced {
        open.file.sync_data()?;
    }
    let length = change.len() as u64;
    open.changes += length;
    Ok((open, length))
}

/// Where a state is written to.
type Sink<'a> = BufWriter<&'a mut File>;

/// A whole state that is written, and not yet where it belongs.
struct Next {
    file: tempfile::NamedTempFile,
    path: PathBuf,
    whole: u64,
}

/// Nobody but its owner may read it, as it holds tokens. A link to the file
/// stays one.
fn write_beside(path: &Path, state: impl FnOnce(&mut Sink<'_>) -> std::io::Result<()>) -> std::io::Result<Next> {
    let path = real(path)?;
    let mut file = tempfile::NamedTempFile::new_in(folder_of(&path))?;
    let mut to = BufWriter::new(file.as_file_mut());
    state(&mut to)?;
    to.write_all(b"\n")?;
    to.flush()?;
    drop(to);
    let whole = file.as_file().metadata()?.len();
    file.as_file().sync_data()?;
    Ok(Next { file, path, whole })
}

impl Next {
    /// A reader finds the old file or the new one, never half of either.
    fn take_place(self, synced: bool) -> std::io::Result<Open> {
        let file = self.file.persist(&self.path).map_err(|error| error.error)?;
        if synced {
            sync_folder(folder_of(&self.path))?;
        }
        Ok(Open { file: Arc::new(file), whole: self.whole, changes: 0 })
    }
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
    let written = write_beside(path, state).and_then(|next| next.take_place(true));
    written.map(|_| ()).map_err(|reason| StateError::Write { path: path.display().to_string(), reason })
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
