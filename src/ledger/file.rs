//! The journal in a file: `<state-dir>/<tenantId>/owners/<ownerId>/journal.jsonl`. While somebody
//! applies, the file `lock` beside it is locked (the journal itself may be
//! replaced, and a lock on a replaced file would guard nothing).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::journal::{JournalError, JournalStore};
use super::private;

/// A journal file whose tenant this process has locked. A reader that only plans uses
/// [`FileJournal::read_only`], which takes no lock and writes nothing.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
    /// `None` for a reader.
    files: Option<Arc<Mutex<Files>>>,
}

#[derive(Debug)]
struct Files {
    journal: File,
    /// Locked for as long as this lives.
    _lock: File,
}

impl FileJournal {
    /// Opens (or creates) the journal in `folder` and locks it. Nobody else
    /// on this machine can read it; where it was laxer, it is tightened.
    ///
    /// # Errors
    /// [`JournalError::Locked`] if another process applies to this tenant.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join("journal.jsonl");
        let fail = |what| {
            let path = path.clone();
            move |source| io(what, &path, source)
        };
        private::folder(folder).map_err(fail("create the folder of"))?;
        let lock = private::lock(&folder.join("lock")).map_err(fail("lock"))?;
        let Some(lock) = lock else { return Err(JournalError::Locked { path: path.display().to_string() }) };
        let journal = private::file(&path).map_err(fail("open"))?;
        private::sync(folder).map_err(fail("create"))?;
        let files = Files { journal, _lock: lock };
        Ok(Self { path, files: Some(Arc::new(Mutex::new(files))) })
    }

    /// Reads the journal in `folder`, which need not exist.
    #[must_use]
    pub fn read_only(folder: &Path) -> Self {
        Self { path: folder.join("journal.jsonl"), files: None }
    }

    /// Works on the files where waiting for a disk keeps nobody else waiting.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(Option<&mut Files>, &Path) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (files, path) = (self.files.clone(), self.path.clone());
        let failed = self.path.clone();
        let run = move || {
            // A file that somebody panicked over is a file all the same.
            let mut guard = files.as_ref().map(|files| files.lock().unwrap_or_else(PoisonError::into_inner));
            work(guard.as_deref_mut(), &path)
        };
        let ended = tokio::task::spawn_blocking(run).await;
        ended.unwrap_or_else(|error| Err(io("use", &failed, std::io::Error::other(error))))
    }
}

#[async_trait]
impl JournalStore for FileJournal {
    async fn read(&mut self) -> Result<Vec<String>, JournalError> {
        self.with(read).await
    }

    async fn append(&mut self, lines: &[String]) -> Result<(), JournalError> {
        let mut text = lines.join("\n");
        text.push('\n');
        self.with(move |files, path| {
            let Files { journal, .. } = files.ok_or_else(|| refused(path))?;
            let written = journal.write_all(text.as_bytes()).and_then(|()| journal.sync_data());
            written.map_err(|source| io("write", path, source))
        })
        .await
    }

    async fn replace(&mut self, lines: &[String]) -> Result<(), JournalError> {
        let mut text = lines.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        self.with(move |files, path| replace(files, path, &text)).await
    }

    fn is_read_only(&self) -> bool {
        self.files.is_none()
    }
}

fn read(files: Option<&mut Files>, path: &Path) -> Result<Vec<String>, JournalError> {
    let fail = |source| io("read", path, source);
    let mut bytes = Vec::new();
    let journal = match files {
        Some(Files { journal, .. }) => {
            journal.seek(SeekFrom::Start(0)).map_err(fail)?;
            journal.read_to_end(&mut bytes).map_err(fail)?;
            Some(journal)
        }
        None => {
            match std::fs::read(path) {
                Ok(read) => bytes = read,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(fail(error)),
            }
            None
        }
    };
    // A crash while writing leaves a line without an end, of whatever bytes.
    // Its request was not sent, or its outcome is looked up, so the rest of it
    // is dropped.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < bytes.len() {
        tracing::warn!(path = %path.display(), "the journal ended in the middle of a line; that line is dropped");
        if let Some(journal) = journal {
            journal.set_len(whole as u64).and_then(|()| journal.sync_data()).map_err(fail)?;
        }
        bytes.truncate(whole);
    }
    let text = |(number, line): (usize, &[u8])| match std::str::from_utf8(line) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(JournalError::Format { line: number + 1, reason: "it is not UTF-8".to_owned() }),
    };
    // What is empty splits into one line, and has none.
    let Some(all) = whole.checked_sub(1) else { return Ok(Vec::new()) };
    bytes[..all].split(|byte| *byte == b'\n').enumerate().map(text).collect()
}

fn replace(files: Option<&mut Files>, path: &Path, text: &str) -> Result<(), JournalError> {
    // A plan reads only; what is too old stays until somebody applies.
    let Some(Files { journal, .. }) = files else { return Ok(()) };
    let fail = |source| io("shorten", path, source);
    let folder = path.parent().expect("the journal is in a folder");
    let mut copy = tempfile::NamedTempFile::new_in(folder).map_err(fail)?;
    copy.write_all(text.as_bytes()).and_then(|()| copy.as_file().sync_all()).map_err(fail)?;
    copy.persist(path).map_err(|error| fail(error.error))?;
    private::sync(folder).map_err(fail)?;
    *journal = private::file(path).map_err(fail)?;
    Ok(())
}

fn refused(path: &Path) -> JournalError {
    io("write (it was opened for reading only)", path, std::io::Error::from(std::io::ErrorKind::PermissionDenied))
}

fn io(what: &'static str, path: &Path, source: std::io::Error) -> JournalError {
    JournalError::Io { what, path: path.display().to_string(), source }
}
