//! The journal: a file on a disk that may have been cut, edited or damaged.

use apgit::door::ledger::{Entry, FileJournal, Journal, JournalError, JournalStore, Memory, UpdateEnd};
use apgit::door::model::{
    Action, DeviceKey, Effect, Field, FieldChange, HashDigest, ImportId, ImportRecordId, Register, RegistrationId,
    SerialNumber, later,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::run::Target;
use crate::secret::plain;

const KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);

const NOW: Timestamp = Timestamp::constant(1_780_000_000, 0);

/// What a run leaves behind, all kinds of lines.
fn entries(number: u128) -> Vec<Entry> {
    let import_id = ImportId(Uuid::from_u128(number));
    let registration_id = RegistrationId(Uuid::from_u128(number + 1000));
    let record = ImportRecordId(Uuid::from_u128(number + 2000));
    let device = DeviceKey::of(SerialNumber::parse("TEST-1").expect("a serial"));
    let values = vec![(Field::GroupTag, "OSL".into()), (Field::DisplayName, "LOBBY \"1\"".into())];
    let register =
        Register { digest: HashDigest([1; 32]), import_id, attempt: 1, values: values.clone(), running: false };
    let fields = vec![FieldChange { field: Field::GroupTag, before: "A".into(), after: "Z\u{fc}rich".into() }];
    let digest = format!("sha256:{number:064}");
    vec![
        Entry::Approved {
            digest: digest.clone(),
            effects: 1,
            target: apgit::door::model::Target::Simulated,
            loosens: Vec::new(),
        },
        Entry::Effect { effect: Box::new(Effect { device: device.clone(), action: Action::Register(register) }) },
        Entry::Resumed { digest: digest.clone() },
        Entry::ImportIntent { import_id, device, hash: HashDigest([1; 32]), attempt: 1, tail: values, carried: vec![] },
        Entry::ImportTaken { import_id, record },
        match number % 5 {
            0 => Entry::ImportComplete { import_id, registration_id },
            1 => Entry::ImportError { import_id, code: 808, name: "ZtdDeviceAssignedToOtherTenant".to_owned() },
            2 => Entry::ImportRefused { import_id, message: "no".to_owned() },
            3 => Entry::ImportRemoved { import_id },
            _ => Entry::ImportLost { import_id },
        },
        Entry::ImportCleaned { record },
        Entry::UpdateIntent { registration_id, fields },
        Entry::UpdateEnd { registration_id, end: UpdateEnd::Accepted },
        Entry::Owned { registration_id },
        Entry::Clock,
        Entry::SyncIntent,
        Entry::SyncEnd { accepted: number < 2 },
        Entry::Spent { digest, done: true },
    ]
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The lines of these entries, as they are written.
fn lines(runs: &[(Timestamp, Vec<Entry>)]) -> Vec<u8> {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let store = FileJournal::open(folder.path()).expect("nobody else has it");
        let mut journal = Journal::open(Box::new(store), NOW).await.expect("an empty journal");
        for (at, entries) in runs {
            journal.record(*at, entries.clone()).await.expect("it is written");
        }
        std::fs::read(folder.path().join("journal.jsonl")).expect("a journal")
    })
}

fn journals() -> Vec<Vec<u8>> {
    let days = |days: i64| NOW - SignedDuration::from_hours(24 * days);
    let mut journals = vec![Vec::new(), b"\n".to_vec()];
    journals.extend((0..5).map(|number| lines(&[(NOW, entries(number))])));
    journals.push(lines(&[(days(90), entries(5)), (days(60), entries(6)), (days(1), entries(7)), (NOW, entries(9))]));
    journals.push(lines(&[(days(50), entries(10)), (days(49), entries(14)), (NOW, entries(12)[..4].to_vec())]));
    journals
}

/// When the last of these lines was written.
fn newest(lines: &[&str]) -> Timestamp {
    let at = |line: &&str| serde_json::from_str::<Value>(line).ok()?["at"].as_str()?.parse().ok();
    lines.iter().filter_map(at).max().unwrap_or(NOW).min(NOW)
}

/// All that a journal says, in an order. What was written thirty days ago and
/// was not seen since may be forgotten.
fn told(journal: &Journal, newest: Timestamp) -> String {
    let sorted = |mut rows: Vec<String>| {
        rows.sort();
        rows.join("\n")
    };
    [
        sorted(journal.imports().iter().map(|(id, fact)| format!("{id:?} {:?}", fact.state)).collect()),
        sorted(
            journal
                .pending()
                .iter()
                .filter(|(_, update)| later(update.since, KEPT) > newest)
                .map(|(id, update)| format!("{id:?} {:?}", update.fields))
                .collect(),
        ),
        sorted(journal.tails().iter().map(|(id, tail)| format!("{id:?} {tail:?}")).collect()),
        sorted(journal.owned().iter().map(|id| format!("{id:?}")).collect()),
        format!("{:?} {:?}", journal.ended_records(), journal.unsynced()),
    ]
    .join("\n\n")
}

/// A journal in memory with these lines.
async fn remembered(lines: &[&str]) -> Result<Journal, JournalError> {
    let mut store = Memory::default();
    store.append(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()).await.expect("memory takes all");
    Journal::open(Box::new(store), NOW).await
}

/// All whole lines are read, or one that cannot be is named.
async fn held<'b>(folder: &std::path::Path, bytes: &'b [u8]) {
    let path = folder.join("journal.jsonl");
    std::fs::write(&path, bytes).expect("a journal");
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    // What stands between line ends, and its number; what is cut is no line.
    let lines: Vec<(usize, &'b [u8])> = bytes[..whole]
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| &line[..line.len() - 1])
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    let mut bad = Vec::new();
    for (number, line) in &lines {
        let is_good = match std::str::from_utf8(line) {
            Ok(text) => remembered(&[text]).await.is_ok(),
            Err(_) => false,
        };
        if !is_good {
            bad.push(*number);
        }
    }
    let reader = FileJournal::read_only(folder);
    let read = Journal::open(Box::new(reader), NOW).await;
    match read {
        Ok(journal) => {
            assert!(bad.is_empty(), "lines {bad:?} cannot be read, and nobody says so");
            let text = |line: &'b [u8]| std::str::from_utf8(line).expect("it is good");
            let texts: Vec<&str> = lines.iter().map(|(_, line)| text(line)).collect();
            let known = told(&remembered(&texts).await.expect("each line is good"), newest(&texts));
            assert_eq!(told(&journal, newest(&texts)), known, "not all lines were counted in");
            kept(&texts, &known).await;
        }
        Err(JournalError::Format { line, reason }) => {
            assert!(bad.contains(&line), "line {line} is named, and {bad:?} are bad: {reason}");
            plain(&JournalError::Format { line, reason }.to_string());
        }
        Err(error) => panic!("{error}"),
    }
}

/// A store that others look into.
#[derive(Clone, Default)]
struct Shared(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

#[async_trait::async_trait]
impl JournalStore for Shared {
    async fn read(&mut self) -> Result<Vec<String>, JournalError> {
        Ok(self.0.lock().expect("no holder of this lock panics").clone())
    }

    async fn append(&mut self, lines: &[String]) -> Result<(), JournalError> {
        self.0.lock().expect("no holder of this lock panics").extend_from_slice(lines);
        Ok(())
    }

    async fn replace(&mut self, lines: &[String]) -> Result<(), JournalError> {
        *self.0.lock().expect("no holder of this lock panics") = lines.to_vec();
        Ok(())
    }
}

/// Opened again, after it was shortened and after something was added, it says
/// the same.
async fn kept(lines: &[&str], known: &str) {
    let store = Shared::default();
    store.clone().append(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()).await.expect("a store");
    for _ in 0..2 {
        let mut journal = Journal::open(Box::new(store.clone()), NOW).await.expect("each line is good");
        assert_eq!(told(&journal, newest(lines)), known, "it was shortened by what matters");
        // Nothing is older for what is added.
        journal.record(newest(lines), vec![Entry::SyncIntent]).await.expect("a store");
    }
}

#[test]
fn a_journal_is_read_whole_or_a_bad_line_is_named() {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("a folder for the test");
    Target { name: "journal", seeds: journals(), cases: 1_000 }.holds(|bytes| {
        runtime.block_on(held(folder.path(), bytes));
    });
}
