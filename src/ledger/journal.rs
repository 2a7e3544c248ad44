//! The journal: a line before every write (the intent) and a line after it
//! (the outcome). Folded, it says what became of our own imports and updates.
//!
//! Format `apgit.journal/v1`: one JSON object per line. No hardware hash is in
//! it, only SHA-256 digests.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{FieldChange, HashDigest, ImportId, ImportRecordId, RegistrationId, SerialNumber};

const VERSION: &str = "apgit.journal/v1";

/// Lines older than this are of no use to any plan.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);

/// Where journal lines are kept. Appending returns after the lines are safe.
pub trait JournalStore: Send {
    /// All whole lines, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn read(&mut self) -> Result<Vec<String>, JournalError>;

    /// Adds lines and makes them durable.
    ///
    /// # Errors
    /// When the store cannot be written; then none or some were added.
    fn append(&mut self, lines: &[String]) -> Result<(), JournalError>;

    /// Puts `lines` in the place of all that is there, as one step.
    ///
    /// # Errors
    /// When the store cannot be written; then all is as it was.
    fn replace(&mut self, lines: &[String]) -> Result<(), JournalError>;
}

/// Says what is wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("another apgit is applying to this tenant (`{path}` is locked)")]
    Locked { path: String },
    #[error("cannot {what} the journal `{path}`: {source}")]
    Io { what: &'static str, path: String, source: std::io::Error },
    #[error("line {line} of the journal is not of `{VERSION}`: {reason}")]
    Format { line: usize, reason: String },
}

/// One thing that is about to happen, or has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Entry {
    /// This row is about to be posted.
    ImportIntent {
        import_id: ImportId,
        serial: SerialNumber,
        hash: HashDigest,
        attempt: u32,
    },
    /// The service has made a record of it.
    ImportTaken {
        import_id: ImportId,
        record: ImportRecordId,
    },
    ImportComplete {
        import_id: ImportId,
        registration_id: RegistrationId,
    },
    ImportError {
        import_id: ImportId,
        code: i64,
        name: String,
    },
    /// The row was refused before it became a record.
    ImportRefused {
        import_id: ImportId,
        message: String,
    },
    /// The record of an ended import was removed, or was found to be gone.
    ImportCleaned {
        record: ImportRecordId,
    },
    /// These fields are about to be written.
    UpdateIntent {
        registration_id: RegistrationId,
        fields: Vec<FieldChange>,
    },
    UpdateEnd {
        registration_id: RegistrationId,
        end: UpdateEnd,
    },
    SyncIntent,
    SyncEnd {
        accepted: bool,
    },
}

/// How a write to a registration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UpdateEnd {
    Accepted,
    Visible,
    Refused,
    Lost,
}

#[derive(Serialize, Deserialize)]
struct Line {
    v: String,
    at: Timestamp,
    #[serde(flatten)]
    entry: Entry,
}

/// One import of ours: its state, and when we learnt of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportFact {
    pub state: ImportState,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportState {
    /// The service has the record and has not finished it.
    Running,
    Complete {
        registration_id: RegistrationId,
    },
    Error {
        code: i64,
        name: String,
    },
    /// The row was refused before it became a record.
    Refused {
        message: String,
    },
    /// We meant to send it, and the service has no record of it.
    Unsent,
}

/// An update that the service took and that was not visible yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingUpdate {
    pub since: Timestamp,
    pub fields: Vec<FieldChange>,
}

/// The journal of one tenant: its store, and what its lines say together.
pub struct Journal {
    store: Box<dyn JournalStore>,
    imports: HashMap<ImportId, ImportFact>,
    intents: HashMap<RegistrationId, Vec<FieldChange>>,
    pending: HashMap<RegistrationId, PendingUpdate>,
    records: HashMap<ImportRecordId, ImportId>,
    unsynced: Option<Timestamp>,
}

impl Journal {
    /// Reads and folds what is there.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a line of another format.
    pub fn open(mut store: Box<dyn JournalStore>, now: Timestamp) -> Result<Self, JournalError> {
        let texts = store.read()?;
        let mut lines = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let bad = |reason: String| JournalError::Format { line: index + 1, reason };
            let line: Line = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
            if line.v != VERSION {
                return Err(bad(format!("it says `{}`", line.v)));
            }
            lines.push(line);
        }
        let young = |line: &Line| now < line.at + KEPT;
        if lines.iter().filter(|line| !young(line)).count() > lines.len() / 2 {
            let kept = texts.iter().zip(&lines).filter(|(_, line)| young(line)).map(|(text, _)| text.clone());
            store.replace(&kept.collect::<Vec<_>>())?;
        }
        let mut journal = Self {
            store,
            imports: HashMap::new(),
            intents: HashMap::new(),
            pending: HashMap::new(),
            records: HashMap::new(),
            unsynced: None,
        };
        for line in lines.into_iter().filter(young) {
            journal.fold(line.at, line.entry);
        }
        Ok(journal)
    }

    /// Makes `entries` durable, then counts them in.
    ///
    /// # Errors
    /// When the store cannot be written. A caller about to send a request
    /// must not send it then.
    pub fn record(&mut self, at: Timestamp, entries: Vec<Entry>) -> Result<(), JournalError> {
        if entries.is_empty() {
            return Ok(());
        }
        let line = |entry: &Entry| {
            let line = Line { v: VERSION.to_owned(), at, entry: entry.clone() };
            serde_json::to_string(&line).expect("a journal line is plain data")
        };
        self.store.append(&entries.iter().map(line).collect::<Vec<_>>())?;
        entries.into_iter().for_each(|entry| self.fold(at, entry));
        Ok(())
    }

    /// What became of our imports, by import id.
    #[must_use]
    pub fn imports(&self) -> &HashMap<ImportId, ImportFact> {
        &self.imports
    }

    /// Updates that the service took and that were not seen since.
    #[must_use]
    pub fn pending(&self) -> &HashMap<RegistrationId, PendingUpdate> {
        &self.pending
    }

    /// Our own import records that have ended and were not removed yet.
    #[must_use]
    pub fn ended_records(&self) -> Vec<ImportRecordId> {
        let ended = |id: &ImportId| {
            let state = self.imports.get(id).map(|fact| &fact.state);
            matches!(state, Some(ImportState::Complete { .. } | ImportState::Error { .. }))
        };
        let mut records: Vec<_> = self.records.iter().filter(|(_, id)| ended(id)).map(|(record, _)| *record).collect();
        records.sort_unstable();
        records
    }

    /// Imports of ours whose end nobody has read: a run ended early.
    pub fn open_imports(&self) -> impl Iterator<Item = (&ImportId, &ImportState)> {
        let is_open = |state: &ImportState| matches!(state, ImportState::Running | ImportState::Unsent);
        self.imports.iter().map(|(id, fact)| (id, &fact.state)).filter(move |(_, state)| is_open(state))
    }

    /// When the last import was complete, if no sync was asked for since.
    #[must_use]
    pub fn unsynced(&self) -> Option<Timestamp> {
        self.unsynced
    }

    fn fold(&mut self, at: Timestamp, entry: Entry) {
        match &entry {
            Entry::ImportTaken { import_id, record } => _ = self.records.insert(*record, *import_id),
            Entry::ImportComplete { .. } => self.unsynced = Some(at),
            Entry::SyncEnd { accepted: true } => self.unsynced = None,
            _ => {}
        }
        let mut import = |id: ImportId, state: ImportState| self.imports.insert(id, ImportFact { state, at });
        match entry {
            Entry::ImportIntent { import_id, .. } => _ = import(import_id, ImportState::Unsent),
            Entry::ImportTaken { import_id, .. } => _ = import(import_id, ImportState::Running),
            Entry::ImportCleaned { record } => _ = self.records.remove(&record),
            Entry::ImportComplete { import_id, registration_id } => {
                import(import_id, ImportState::Complete { registration_id });
            }
            Entry::ImportError { import_id, code, name } => _ = import(import_id, ImportState::Error { code, name }),
            Entry::ImportRefused { import_id, message } => _ = import(import_id, ImportState::Refused { message }),
            Entry::UpdateIntent { registration_id, fields } => _ = self.intents.insert(registration_id, fields),
            Entry::UpdateEnd { registration_id, end } => match (end, self.intents.remove(&registration_id)) {
                (UpdateEnd::Accepted, Some(fields)) => {
                    self.pending.insert(registration_id, PendingUpdate { since: at, fields });
                }
                // A second attempt was accepted: the first one's values are the same.
                (UpdateEnd::Accepted | UpdateEnd::Lost, _) => {}
                (UpdateEnd::Visible | UpdateEnd::Refused, _) => _ = self.pending.remove(&registration_id),
            },
            Entry::SyncIntent | Entry::SyncEnd { .. } => {}
        }
    }
}

/// A store that forgets: for a run that must leave no file, and for reading a
/// tenant that was never written.
#[derive(Debug, Default)]
pub struct Memory(Vec<String>);

impl JournalStore for Memory {
    fn read(&mut self) -> Result<Vec<String>, JournalError> {
        Ok(self.0.clone())
    }

    fn append(&mut self, lines: &[String]) -> Result<(), JournalError> {
        self.0.extend_from_slice(lines);
        Ok(())
    }

    fn replace(&mut self, lines: &[String]) -> Result<(), JournalError> {
        self.0 = lines.to_vec();
        Ok(())
    }
}
