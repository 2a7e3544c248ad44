//! The journal in a file: `<state-dir>/<tenantId>/journal.jsonl`. While somebody
//! applies, the file `lock` beside it is locked (the journal itself may be
//! replaced, and a lock on a replaced file would guard nothing).

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::journal::{JournalError, JournalStore};

/// A journal file whose tenant this process has locked. A reader that only plans uses
/// [`FileJournal::read_only`], which takes no lock and writes nothing.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
    /// The journal, and the lock that is held as long as this lives.
    file: Option<(File, File)>,
}

impl FileJournal {
    /// Opens (or creates) the journal in `folder` and locks it.
    ///
    /// # Errors
    /// [`JournalError::Locked`] if another process applies to this tenant.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join("journal.jsonl");
        std::fs::create_dir_all(folder).map_err(|source| io("create the folder of", &path, source))?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let lock = options.open(folder.join("lock")).map_err(|source| io("lock", &path, source))?;
        match lock.try_lock() {
            Ok(()) => {
                let file = options.open(&path).map_err(|source| io("open", &path, source))?;
                Ok(Self { path, file: Some((file, lock)) })
            }
            Err(std::fs::TryLockError::WouldBlock) => Err(JournalError::Locked { path: path.display().to_string() }),
            Err(std::fs::TryLockError::Error(source)) => Err(io("lock", &path, source)),
        }
    }

    /// Reads the journal in `folder`, which need not exist.
    #[must_use]
    pub fn read_only(folder: &Path) -> Self {
        Self { path: folder.join("journal.jsonl"), file: None }
    }

    fn writable(&mut self) -> Result<&mut File, JournalError> {
        let refused = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let file = self.file.as_mut().map(|(file, _)| file);
        file.ok_or_else(|| io("write (it was opened for reading only)", &self.path, refused))
    }
}

impl JournalStore for FileJournal {
    fn read(&mut self) -> Result<Vec<String>, JournalError> {
        let fail = |source| io("read", &self.path, source);
        let mut text = String::new();
        match &mut self.file {
            Some((file, _)) => {
                file.seek(SeekFrom::Start(0)).map_err(fail)?;
                file.read_to_string(&mut text).map_err(fail)?;
            }
            None => match std::fs::read_to_string(&self.path) {
                Ok(read) => text = read,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(fail(error)),
            },
        }
        // A crash while writing leaves a line without an end. Its request was
        // not sent, or its outcome is looked up, so the rest of it is dropped.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            tracing::warn!(path = %self.path.display(), "the journal ended in the middle of a line; that line is dropped");
            if let Some((file, _)) = &self.file {
                file.set_len(whole as u64).map_err(fail)?;
            }
        }
        Ok(text[..whole].lines().map(str::to_owned).collect())
    }

    fn append(&mut self, lines: &[String]) -> Result<(), JournalError> {
        let path = self.path.clone();
        let file = self.writable()?;
        let mut text = lines.join("\n");
        text.push('\n');
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(|source| io("write", &path, source))
    }

    fn replace(&mut self, lines: &[String]) -> Result<(), JournalError> {
        // A plan reads only; what is too old stays until somebody applies.
        let Some((file, _)) = &mut self.file else { return Ok(()) };
        let path = &self.path;
        let fail = |source| io("shorten", path, source);
        let mut text = lines.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        let folder = path.parent().expect("the journal is in a folder");
        let mut copy = tempfile::NamedTempFile::new_in(folder).map_err(fail)?;
        copy.write_all(text.as_bytes()).and_then(|()| copy.as_file().sync_all()).map_err(fail)?;
        copy.persist(path).map_err(|error| fail(error.error))?;
        *file = OpenOptions::new().read(true).append(true).open(path).map_err(fail)?;
        Ok(())
    }
}

fn io(what: &'static str, path: &Path, source: std::io::Error) -> JournalError {
    JournalError::Io { what, path: path.display().to_string(), source }
}
