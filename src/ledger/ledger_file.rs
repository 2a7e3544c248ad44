//! The ledger in a file: `<state-dir>/<tenantId>/owners/<ownerId>/ledger.json`.
//! Who writes it holds the lock of the journal beside it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::document::Ledger;
use super::private;
use super::store::{LedgerError, LedgerStore};

/// A ledger file.
#[derive(Debug)]
pub struct FileLedger {
    path: PathBuf,
    /// What was loaded or saved last: somebody may have edited it since.
    known: Option<String>,
}

impl FileLedger {
    /// The ledger in this folder, which is that of the journal. Nothing is read
    /// or made yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self::at(&folder.join("ledger.json"))
    }

    /// The ledger in this very file.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), known: None }
    }

    fn error(&self, what: &'static str, error: &std::io::Error) -> LedgerError {
        LedgerError::Store { what, place: self.place(), reason: error.to_string() }
    }

    fn text(&self) -> Result<Option<String>, LedgerError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error("read", &error)),
        }
    }
}

#[async_trait]
impl LedgerStore for FileLedger {
    async fn load(&mut self) -> Result<Option<Ledger>, LedgerError> {
        self.known = self.text()?;
        let Some(text) = &self.known else { return Ok(None) };
        let ledger = Ledger::read(text, true);
        ledger.map(Some).map_err(|reason| LedgerError::format(self.place(), reason, text))
    }

    async fn save(&mut self, ledger: &Ledger, _: &str) -> Result<(), LedgerError> {
        let text = ledger.written();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // One that was named may be that of other state folders, too: nobody comes
        // in between the look and the step.
        let _held = private::hold(folder);
        if self.text()? != self.known {
            return Err(LedgerError::Moved { place: self.place() });
        }
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut copy| {
            copy.write_all(text.as_bytes())?;
            copy.as_file().sync_all()?;
            copy.persist(&self.path).map_err(|error| error.error)?;
            private::sync(folder)
        });
        written.map_err(|error| self.error("write", &error))?;
        self.known = Some(text);
        Ok(())
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}
