//! What this machine knows of a ledger: which one it was, and how far it had come.
//! An older one, or another, is not believed.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::document::Ledger;
use super::private;

/// The ledger as it was last read or written here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    lineage: String,
    serial: u64,
}

/// What is known of the ledger of one owner, in a file beside the journal.
#[derive(Debug)]
pub(crate) struct Seen {
    path: PathBuf,
    known: Option<Known>,
}

impl Seen {
    /// Reads what is known; of what cannot be read, nothing is.
    #[must_use]
    pub(crate) fn within(folder: &Path) -> Self {
        let path = folder.join("ledger.seen");
        let known = std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
        Self { path, known }
    }

    /// Why a ledger is not the one that is known, if it is another or an older one.
    /// `None`: there is none.
    #[must_use]
    pub(crate) fn doubts(&self, ledger: Option<&Ledger>) -> Option<String> {
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

    /// Keeps in mind how far a ledger has come. What cannot be kept is not known,
    /// and no more.
    pub(crate) fn remember(&mut self, ledger: &Ledger) {
        let known = Known { lineage: ledger.head.lineage.clone(), serial: ledger.head.serial };
        if self.known.as_ref() == Some(&known) {
            return;
        }
        let text = serde_json::to_string(&known).expect("plain data becomes JSON");
        let written = std::fs::remove_file(&self.path).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
        let written =
            written.and_then(|()| private::file(&self.path)).and_then(|mut file| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            tracing::warn!(%error, path = %self.path.display(), "cannot keep in mind which ledger this was");
        }
        self.known = Some(known);
    }
}
