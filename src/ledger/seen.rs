//! What this machine knows of a ledger: which one it was, and how far it had come.
//! An older one, or another, is not believed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::document::Ledger;
use super::private;

/// The ledger as it was last read or written here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Known {
    lineage: String,
    serial: u64,
}

/// The same, where somebody else keeps it.
pub(crate) type SharedKnown = Arc<Mutex<Option<Known>>>;

/// What is known of the ledger of one owner, in a file beside the journal, or where
/// somebody else keeps it.
#[derive(Debug)]
pub(crate) struct Seen {
    path: PathBuf,
    shared: Option<SharedKnown>,
    known: Option<Known>,
    /// True if something is there that cannot be read.
    is_broken: bool,
}

impl Seen {
    /// Reads what is known.
    #[must_use]
    pub(crate) fn within(folder: &Path) -> Self {
        let path = folder.join("ledger.seen");
        let read = std::fs::read_to_string(&path);
        let is_absent = read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        let known: Option<Known> = read.ok().and_then(|text| serde_json::from_str(&text).ok());
        let is_broken = known.is_none() && !is_absent;
        Self { path, shared: None, known, is_broken }
    }

    /// What somebody else keeps.
    #[must_use]
    pub(crate) fn shared(known: &SharedKnown) -> Self {
        let now = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { path: PathBuf::new(), shared: Some(known.clone()), known: now, is_broken: false }
    }

    /// Why a ledger is not the one that is known, if it is another or an older one.
    /// `None`: there is none.
    #[must_use]
    pub(crate) fn doubts(&self, ledger: Option<&Ledger>) -> Option<String> {
        if self.is_broken {
            return Some(format!(
                "`{}` cannot be read: nobody can say whether it is the last one",
                self.path.display()
            ));
        }
        let known = self.known.as_ref()?;
        let Some(ledger) = ledger else {
            return Some(format!("it is gone; this machine has seen it written {} times", known.serial));
        };
        let (lineage, serial) = (&ledger.head.lineage, ledger.head.serial);
        if *lineage != known.lineage {
            return Some(format!("its lineage is `{lineage}`, and this machine knows `{}`", known.lineage));
        }
        (serial < known.serial).then(|| {
            format!("it was written {serial} times, and this machine has seen it written {} times", known.serial)
        })
    }

    /// True if a ledger has come further than is known here.
    #[must_use]
    pub(crate) fn is_behind(&self, ledger: &Ledger) -> bool {
        let is_kept = !self.path.as_os_str().is_empty();
        is_kept && self.known.as_ref().is_none_or(|known| known.serial < ledger.head.serial)
    }

    /// Keeps in mind how far a ledger has come. What cannot be kept is not known,
    /// and no more.
    pub(crate) fn remember(&mut self, ledger: &Ledger) {
        let known = Known { lineage: ledger.head.lineage.clone(), serial: ledger.head.serial };
        if self.known.as_ref() == Some(&known) {
            return;
        }
        if let Some(shared) = &self.shared {
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
            self.known = Some(known);
            return;
        }
        let text = serde_json::to_string(&known).expect("plain data becomes JSON");
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut copy| {
            copy.write_all(text.as_bytes())?;
            copy.as_file().sync_all()?;
            copy.persist(&self.path).map_err(|error| error.error)?;
            private::sync(folder)
        });
        if let Err(error) = written {
            tracing::warn!(%error, path = %self.path.display(), "cannot keep in mind which ledger this was");
        }
        self.is_broken = false;
        self.known = Some(known);
    }
}
