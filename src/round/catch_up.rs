//! What the service's import records say, taken over into the journal. What is
//! seen there for the first time gets its date there: a record has none of its
//! own, and a lost journal must cost a delay and never a deadlock.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::graph::ImportRecord;
use crate::ledger::{Entry, Journal};
use crate::model::{ImportId, ImportState, later};
use crate::plan::LISTED_WITHIN;

/// A row of which no record ever came is history after this.
const HISTORY_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// The lines that bring the journal up to a complete list of the records.
/// `ours` are the intents of imports that only we can have made, whether the
/// journal knows them or not.
pub(super) fn entries(
    journal: &Journal,
    records: &[ImportRecord],
    ours: Vec<(ImportId, Entry)>,
    now: Timestamp,
) -> Vec<Entry> {
    let by_id: HashMap<ImportId, &ImportRecord> =
        records.iter().filter_map(|record| Some((record.import_id?, record))).collect();
    let mut entries = Vec::new();
    for (id, intent) in ours {
        if let Some(record) = by_id.get(&id)
            && (!journal.imports().contains_key(&id) || is_sent_again(journal, id, record))
        {
            entries.push(intent);
            entries.push(Entry::ImportTaken { import_id: id, record: record.id });
            entries.extend(end(id, &record.state));
        }
    }
    for (id, fact) in journal.open_imports() {
        let age_is_over = |span| now >= later(fact.at, span);
        match (by_id.get(id), &fact.state) {
            (Some(record), state) => {
                if *state == ImportState::Unsent {
                    entries.push(Entry::ImportTaken { import_id: *id, record: record.id });
                }
                entries.extend(end(*id, &record.state));
            }
            (None, ImportState::Running) if age_is_over(LISTED_WITHIN) => {
                entries.push(Entry::ImportRemoved { import_id: *id });
            }
            (None, ImportState::Unsent) if age_is_over(HISTORY_AFTER) => {
                entries.push(Entry::ImportLost { import_id: *id });
            }
            (None, _) => {}
        }
    }
    entries
}

/// True if what has failed for us runs, since another machine has sent it once
/// more.
fn is_sent_again(journal: &Journal, id: ImportId, record: &ImportRecord) -> bool {
    let state = journal.imports().get(&id).map(|fact| &fact.state);
    let has_failed = matches!(state, Some(ImportState::Error { .. } | ImportState::Refused { .. }));
    has_failed && record.state == ImportState::Running && journal.import_of(record.id).is_none()
}

fn end(import_id: ImportId, state: &ImportState) -> Option<Entry> {
    match state {
        ImportState::Complete { registration_id } => {
            Some(Entry::ImportComplete { import_id, registration_id: *registration_id })
        }
        ImportState::Error { code, name } => Some(Entry::ImportError { import_id, code: *code, name: name.clone() }),
        ImportState::Unsent | ImportState::Running | ImportState::Refused { .. } | ImportState::Removed => None,
    }
}
