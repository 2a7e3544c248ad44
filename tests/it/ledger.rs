//! The journal in a real file: what survives a crash, and who may write it.

mod audit;
mod document;
mod git;

use std::io::Write as _;

use apgit::door::ledger::{Entry, FileJournal, Journal, JournalError, JournalStore as _, UpdateEnd, Use};
use apgit::door::model::{
    Action, DeviceKey, Effect, Field, FieldChange, HashDigest, ImportId, ImportRecordId, ImportState, Register,
    RegistrationId, SerialNumber, Update,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::constant(1_780_000_000, 0);

fn import(id: u128) -> ImportId {
    ImportId(Uuid::from_u128(id))
}

fn intent(id: u128) -> Entry {
    let device = DeviceKey::of(SerialNumber::parse("TEST-1").unwrap());
    Entry::ImportIntent {
        import_id: import(id),
        device,
        hash: HashDigest([1; 32]),
        attempt: 1,
        tail: vec![],
        carried: vec![],
    }
}

fn taken(id: u128, record: u128) -> Entry {
    Entry::ImportTaken { import_id: import(id), record: ImportRecordId(Uuid::from_u128(record)) }
}

fn complete(id: u128) -> Entry {
    Entry::ImportComplete { import_id: import(id), registration_id: RegistrationId(Uuid::from_u128(9)) }
}

/// Other tests of this process start children, and between fork and exec a
/// child holds every lock that we have just let go; so a lock is worth asking
/// for again.
async fn locked(folder: &std::path::Path) -> FileJournal {
    loop {
        match FileJournal::open(folder) {
            Err(JournalError::Locked { .. }) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            store => break store.unwrap(),
        }
    }
}

async fn open(folder: &std::path::Path, now: Timestamp) -> Journal {
    Journal::open(Box::new(locked(folder).await), now).await.unwrap()
}

#[tokio::test]
async fn what_was_recorded_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(folder.path(), NOW).await;
    journal.record(NOW, vec![intent(1), intent(2), intent(3)]).await.unwrap();
    journal.record(NOW, vec![taken(2, 20), taken(3, 30), complete(3)]).await.unwrap();
    drop(journal);
    let journal = open(folder.path(), NOW).await;
    let state = |id| journal.imports()[&import(id)].state.clone();
    assert_eq!(state(1), ImportState::Unsent);
    assert_eq!(state(2), ImportState::Running);
    assert_eq!(state(3), ImportState::Complete { registration_id: RegistrationId(Uuid::from_u128(9)) });
    assert_eq!(journal.ended_records(), [ImportRecordId(Uuid::from_u128(30))]);
}

#[tokio::test]
async fn a_run_that_ended_early_leaves_open_imports_and_a_sync_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(folder.path(), NOW).await;
    journal.record(NOW, vec![intent(1), intent(2), intent(3)]).await.unwrap();
    let later = NOW + SignedDuration::from_secs(90);
    journal.record(later, vec![taken(2, 20), taken(3, 30), complete(3)]).await.unwrap();
    let mut journal = open_again(journal, folder.path()).await;
    let mut left: Vec<_> = journal.open_imports().map(|(id, _)| *id).collect();
    left.sort_unstable();
    assert_eq!(left, [import(1), import(2)]);
    assert_eq!(journal.unsynced(), Some(later));
    journal.record(later, vec![Entry::SyncIntent, Entry::SyncEnd { accepted: false }]).await.unwrap();
    assert_eq!(journal.unsynced(), Some(later), "nobody took that sync");
    journal.record(later, vec![Entry::SyncIntent, Entry::SyncEnd { accepted: true }]).await.unwrap();
    assert_eq!(open_again(journal, folder.path()).await.unsynced(), None);
}

async fn open_again(journal: Journal, folder: &std::path::Path) -> Journal {
    drop(journal);
    open(folder, NOW).await
}

#[tokio::test]
async fn an_update_is_pending_from_its_acceptance_until_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(folder.path(), NOW).await;
    let registration_id = RegistrationId(Uuid::from_u128(5));
    let fields = vec![FieldChange { field: Field::GroupTag, before: "A".into(), after: "B".into() }];
    let end = |end| vec![Entry::UpdateEnd { registration_id, end }];
    journal.record(NOW, vec![Entry::UpdateIntent { registration_id, fields: fields.clone() }]).await.unwrap();
    assert!(journal.pending().is_empty());
    journal.record(NOW, end(UpdateEnd::Accepted)).await.unwrap();
    assert_eq!(journal.pending()[&registration_id].fields, fields);
    journal.record(NOW, end(UpdateEnd::Visible)).await.unwrap();
    assert!(journal.pending().is_empty());
}

#[tokio::test]
async fn a_line_that_a_crash_cut_is_dropped_and_the_next_one_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), NOW).await.record(NOW, vec![intent(1)]).await.unwrap();
    let path = folder.path().join("journal.jsonl");
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(br#"{"v":"apgit.journal/v1","at":"2026-0"#).unwrap();
    drop(file);
    let mut journal = open(folder.path(), NOW).await;
    journal.record(NOW, vec![intent(2)]).await.unwrap();
    drop(journal);
    assert_eq!(open(folder.path(), NOW).await.imports().len(), 2);
}

#[tokio::test]
async fn a_cut_line_heals_whatever_bytes_it_holds() {
    let cuts: [&[u8]; 5] = [b"{\"v\":\"apgit\xc3", b"\xff\xfe\x00", b"\0", b"{}", b"\xe2\x82"];
    for cut in cuts {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), NOW).await.record(NOW, vec![intent(1)]).await.unwrap();
        let path = folder.path().join("journal.jsonl");
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(cut).unwrap();
        let reader = Journal::open(Box::new(FileJournal::read_only(folder.path())), NOW).await.unwrap();
        assert_eq!(reader.imports().len(), 1, "{cut:?}");
        let mut journal = open(folder.path(), NOW).await;
        journal.record(NOW, vec![intent(2)]).await.unwrap();
        drop(journal);
        assert_eq!(open(folder.path(), NOW).await.imports().len(), 2, "{cut:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2, "{cut:?}");
    }
}

#[tokio::test]
async fn a_whole_line_that_is_no_text_is_refused_with_its_number() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), NOW).await.record(NOW, vec![intent(1)]).await.unwrap();
    let path = folder.path().join("journal.jsonl");
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\xff\xfe\n").unwrap();
    let store = Box::new(locked(folder.path()).await);
    let error = Journal::open(store, NOW).await.err().expect("it is no text").to_string();
    assert!(error.contains("line 2"), "{error}");
}

#[cfg(unix)]
fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_on_this_machine_reads_the_journal() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("state/tenant");
    let mut journal = open(&folder, NOW).await;
    journal.record(NOW, (0..3).map(intent).collect()).await.unwrap();
    let modes = || {
        let of = |name: &str| mode(&folder.join(name));
        [mode(folder.parent().unwrap()), mode(&folder), of("journal.jsonl"), of("lock")]
    };
    assert_eq!(modes(), [0o700, 0o700, 0o600, 0o600]);
    drop(journal);
    let later = NOW + SignedDuration::from_hours(24 * 40);
    let mut journal = open(&folder, later).await;
    journal.record(later, vec![intent(9)]).await.unwrap();
    drop(open_again(journal, &folder).await);
    assert_eq!(modes(), [0o700, 0o700, 0o600, 0o600], "also where it was shortened");
}

#[cfg(unix)]
#[tokio::test]
async fn a_journal_that_others_could_read_is_tightened() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("tenant");
    drop(open(&folder, NOW).await);
    let paths = [folder.clone(), folder.join("journal.jsonl"), folder.join("lock")];
    for (path, lax) in paths.iter().zip([0o755, 0o644, 0o666]) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(lax)).unwrap();
    }
    drop(open(&folder, NOW).await);
    assert_eq!(paths.each_ref().map(|path| mode(path)), [0o700, 0o600, 0o600]);
}

#[tokio::test]
async fn a_clock_that_is_a_year_ahead_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Entry::ImportError { import_id: import(1), code: 808, name: String::new() };
    open(folder.path(), NOW).await.record(NOW, vec![intent(1), refused]).await.unwrap();
    let year = SignedDuration::from_hours(24 * 365);
    for now in [NOW + year, NOW - year, NOW] {
        assert_eq!(open(folder.path(), now).await.imports().len(), 1);
    }
}

#[tokio::test]
async fn two_at_once_are_refused_and_a_reader_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let held = open(folder.path(), NOW).await;
    assert!(matches!(FileJournal::open(folder.path()), Err(JournalError::Locked { .. })));
    let mut reader = Journal::open(Box::new(FileJournal::read_only(folder.path())), NOW).await.unwrap();
    reader.record(NOW, vec![intent(1)]).await.unwrap();
    assert_eq!(reader.imports().len(), 1, "a reader counts in what it saw");
    assert_eq!(std::fs::read_to_string(folder.path().join("journal.jsonl")).unwrap(), "", "and keeps it nowhere");
    drop(held);
    // A process that another test starts right now has the lock until it is
    // itself: a moment, between fork and exec.
    let is_free = || FileJournal::open(folder.path()).is_ok();
    assert!((0..100).any(|_| is_free() || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        false
    }));
}

#[tokio::test]
async fn a_reader_needs_no_journal_and_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("nobody");
    assert!(FileJournal::read_only(&state).read().await.unwrap().is_empty());
    assert!(!state.exists());
}

#[tokio::test]
async fn a_journal_of_another_format_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), NOW).await.record(NOW, vec![intent(1)]).await.unwrap();
    let path = folder.path().join("journal.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}{}", text.replace("/v1", "/v2"))).unwrap();
    let store = Box::new(locked(folder.path()).await);
    let error = Journal::open(store, NOW).await.err().expect("v2 is unknown").to_string();
    assert!(error.contains("line 2") && error.contains("apgit.journal/v2"), "{error}");
}

#[tokio::test]
async fn lines_older_than_a_month_are_shed() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(folder.path(), NOW).await;
    journal.record(NOW, (0..10).map(intent).collect()).await.unwrap();
    let later = NOW + SignedDuration::from_hours(24 * 31);
    journal.record(later, vec![intent(100)]).await.unwrap();
    drop(journal);
    let mut journal = open(folder.path(), later).await;
    assert_eq!(journal.imports().len(), 1);
    journal.record(later, vec![intent(101)]).await.unwrap();
    drop(journal);
    let text = std::fs::read_to_string(folder.path().join("journal.jsonl")).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("importIntent")).count(), 2);
    assert!(text.lines().count() <= 3, "{text}");
}

/// A register effect of the device that [`intent`] is about.
fn effect() -> Effect {
    let (digest, import_id) = (HashDigest([1; 32]), import(1));
    let action = Action::Register(Register { digest, import_id, attempt: 1, values: vec![], running: false });
    Effect { device: DeviceKey::of(SerialNumber::parse("TEST-1").unwrap()), action }
}

fn approved(digest: &str) -> Vec<Entry> {
    vec![
        Entry::Approved {
            digest: digest.to_owned(),
            effects: 1,
            target: apgit::door::model::Target::default(),
            loosens: Vec::new(),
        },
        Entry::Effect { effect: Box::new(effect()) },
    ]
}

#[tokio::test]
async fn an_approval_knows_what_was_done_since_and_only_since() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(folder.path(), NOW).await;
    journal.record(NOW, approved("first")).await.unwrap();
    journal.record(NOW, vec![intent(1), taken(1, 10), complete(1)]).await.unwrap();
    journal.record(NOW, approved("second")).await.unwrap();
    drop(journal);
    let journal = open(folder.path(), NOW).await;
    let used = |digest: &str| journal.approval(digest).unwrap().used(&effect());
    assert_eq!((used("first"), used("second")), (Use::Done, Use::None));
}

#[tokio::test]
async fn an_approval_that_is_forgotten_is_spent_for_good_and_not_called_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(folder.path(), NOW).await;
    for digest in ["a", "b", "c", "d", "e"] {
        journal.record(NOW, approved(digest)).await.unwrap();
    }
    journal.record(NOW, vec![Entry::Spent { digest: "e".to_owned(), done: true }]).await.unwrap();
    assert!(journal.approval("a").is_none() && journal.spent("a") == Some(false), "the fifth makes the first go");
    assert_eq!((journal.spent("e"), journal.spent("b")), (Some(true), None));
    let later = NOW + SignedDuration::from_hours(24 * 31);
    journal.record(later, vec![intent(100)]).await.unwrap();
    drop(journal);
    for _ in 0..2 {
        let journal = open(folder.path(), later + SignedDuration::from_hours(24 * 31)).await;
        assert_eq!((journal.spent("a"), journal.spent("e")), (Some(false), Some(true)));
    }
    // The lines of these are shed; whoever has their digest has nothing.
    let journal = open(folder.path(), later).await;
    assert!(["b", "c", "d"].iter().all(|digest| journal.spent(digest) == Some(false)));
}

#[tokio::test]
async fn an_approval_that_nothing_came_of_may_be_repeated_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(folder.path(), NOW).await;
    for _ in 0..10 {
        journal.record(NOW, approved("a")).await.unwrap();
    }
    assert!(journal.approval("a").is_some_and(|approval| approval.effects.len() == 1));
    assert_eq!(journal.spent("a"), None);
}

#[tokio::test]
async fn what_was_settled_stays_settled_when_its_lines_are_shed() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(folder.path(), NOW).await;
    let Entry::ImportIntent { import_id, device, hash, attempt, .. } = intent(1) else { unreachable!() };
    let tail = vec![(Field::DisplayName, "OSL-1".into()), (Field::AddressableUserName, "Anna".into())];
    journal
        .record(NOW, vec![Entry::ImportIntent { import_id, device, hash, attempt, tail, carried: vec![] }])
        .await
        .unwrap();
    journal.record(NOW, vec![taken(1, 10), complete(1)]).await.unwrap();
    let registration_id = RegistrationId(Uuid::from_u128(9));
    let fields = vec![FieldChange { field: Field::DisplayName, before: "".into(), after: "OSL-1".into() }];
    let cleaned = Entry::ImportCleaned { record: ImportRecordId(Uuid::from_u128(10)) };
    let written = Entry::UpdateIntent { registration_id, fields };
    let shown = Entry::UpdateEnd { registration_id, end: UpdateEnd::Visible };
    journal.record(NOW, vec![Entry::SyncEnd { accepted: true }, cleaned, written, shown]).await.unwrap();
    journal.record(NOW, (20..40).map(intent).collect()).await.unwrap();
    let later = NOW + SignedDuration::from_hours(24 * 31);
    journal.record(later, vec![intent(100)]).await.unwrap();
    drop(journal);
    let lines = || std::fs::read_to_string(folder.path().join("journal.jsonl")).unwrap().lines().count();
    let before = lines();
    for _ in 0..2 {
        let journal = open(folder.path(), later).await;
        let owed: Vec<_> = journal.tails().into_values().flat_map(|tail| tail.values).collect();
        assert_eq!(owed, [(Field::AddressableUserName, "Anna".into())], "a greeting is owed, and no name");
        assert_eq!((journal.unsynced(), journal.ended_records().len()), (None, 0));
    }
    assert!(lines() < before, "lines were shed");
}

#[tokio::test]
async fn what_one_approval_did_is_no_use_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(folder.path(), NOW).await;
    let registration_id = RegistrationId(Uuid::from_u128(9));
    let device = crate::support::device("TEST-1", 9);
    let change = |after: &str| FieldChange { field: Field::GroupTag, before: "".into(), after: after.into() };
    let effect = |after: &str| {
        let (before, fields) = (Box::new(device.clone()), vec![change(after)]);
        let action = Action::Update(Update { id: registration_id, before, fields, adopts: false, tail_of: None });
        Effect { device: DeviceKey::of(SerialNumber::parse("TEST-1").unwrap()), action }
    };
    for (digest, after) in [("first", "A"), ("second", "B")] {
        let effect = Box::new(effect(after));
        journal
            .record(
                NOW,
                vec![
                    Entry::Approved {
                        digest: digest.to_owned(),
                        effects: 1,
                        target: apgit::door::model::Target::default(),
                        loosens: Vec::new(),
                    },
                    Entry::Effect { effect },
                ],
            )
            .await
            .unwrap();
    }
    let end = |end| Entry::UpdateEnd { registration_id, end };
    let intent = |after: &str| Entry::UpdateIntent { registration_id, fields: vec![change(after)] };
    let used = |journal: &Journal| {
        ["first", "second"].map(|digest| {
            let approval = journal.approval(digest).unwrap();
            approval.used(&approval.effects[0])
        })
    };
    journal.record(NOW, vec![intent("B"), end(UpdateEnd::NotTaken)]).await.unwrap();
    assert_eq!(used(&journal), [Use::Over, Use::None], "the newest word counts");
    journal.record(NOW, vec![intent("B"), end(UpdateEnd::Lost)]).await.unwrap();
    assert_eq!(used(&journal), [Use::Over, Use::Sent], "perhaps it is done");
    journal.record(NOW, vec![intent("B"), end(UpdateEnd::Accepted)]).await.unwrap();
    assert_eq!(used(&journal), [Use::Over, Use::Over], "twice is as often as it may be");
    journal.record(NOW, vec![end(UpdateEnd::Visible)]).await.unwrap();
    assert_eq!(used(&journal), [Use::Over, Use::Done]);
    let resumed = Entry::Resumed { digest: "first".to_owned() };
    journal.record(NOW, vec![resumed, intent("A"), end(UpdateEnd::Found)]).await.unwrap();
    assert_eq!(used(&journal), [Use::Done, Use::Done]);
}

#[tokio::test]
async fn a_field_that_is_not_sent_again_with_the_others_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(folder.path(), NOW).await;
    let registration_id = RegistrationId(Uuid::from_u128(9));
    let change = |field, after: &str| FieldChange { field, before: "".into(), after: after.into() };
    let both = vec![change(Field::GroupTag, "A"), change(Field::DisplayName, "N")];
    let before = Box::new(crate::support::device("TEST-1", 9));
    let update = Update { id: registration_id, before, fields: both.clone(), adopts: false, tail_of: None };
    let device = DeviceKey::of(SerialNumber::parse("TEST-1").unwrap());
    let effect = Box::new(Effect { device, action: Action::Update(update) });
    let target = apgit::door::model::Target::default();
    let approved = Entry::Approved { digest: "both".to_owned(), effects: 1, target, loosens: Vec::new() };
    let intent = |fields: &[FieldChange]| Entry::UpdateIntent { registration_id, fields: fields.to_vec() };
    let end = |end| Entry::UpdateEnd { registration_id, end };
    let first = vec![approved, Entry::Effect { effect }, intent(&both), end(UpdateEnd::Accepted)];
    journal.record(NOW, first).await.unwrap();
    // The tag is there by then; the name is sent once more.
    journal.record(NOW, vec![intent(&both[1..]), end(UpdateEnd::Accepted), end(UpdateEnd::Visible)]).await.unwrap();
    let approval = journal.approval("both").unwrap();
    assert_eq!(approval.used_on(registration_id, &both[..1]), Use::Done);
    assert!(approval.has_done(registration_id, &both[..1]), "what others set back is not written again");
}

#[tokio::test]
async fn an_approval_that_was_cut_short_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(folder.path(), NOW).await;
    let effect = || Entry::Effect { effect: Box::new(effect()) };
    let whole = |effects| Entry::Approved {
        digest: format!("of {effects}"),
        effects,
        target: apgit::door::model::Target::default(),
        loosens: Vec::new(),
    };
    journal.record(NOW, vec![whole(2), effect()]).await.unwrap();
    journal.record(NOW, vec![whole(1), effect()]).await.unwrap();
    assert!(journal.approval("of 2").is_none() && journal.approval("of 1").is_some());
}

#[tokio::test]
async fn what_an_approval_has_sent_is_its_own_whatever_was_approved_since() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(folder.path(), NOW).await;
    journal.record(NOW, approved("first")).await.unwrap();
    journal.record(NOW, vec![intent(1), taken(1, 10)]).await.unwrap();
    journal.record(NOW, approved("second")).await.unwrap();
    let used = |journal: &Journal, digest: &str| journal.approval(digest).unwrap().used(&effect());
    assert_eq!(
        (used(&journal, "first"), used(&journal, "second")),
        (Use::Over, Use::Sent),
        "it runs, and the newest word counts"
    );
    journal.record(NOW, vec![complete(1)]).await.unwrap();
    assert_eq!((used(&journal, "first"), used(&journal, "second")), (Use::Done, Use::Done));
    journal.record(NOW, approved("third")).await.unwrap();
    assert_eq!((used(&journal, "first"), used(&journal, "third")), (Use::Done, Use::None), "it was over");
    let error = |id| Entry::ImportError { import_id: import(id), code: 640, name: "StorageError".to_owned() };
    journal.record(NOW, vec![intent(3), error(3)]).await.unwrap();
    assert_eq!(used(&journal, "third"), Use::None, "it failed");
    let removed = Entry::ImportRemoved { import_id: import(2) };
    journal.record(NOW, vec![intent(2), taken(2, 20), removed]).await.unwrap();
    assert_eq!(used(&journal, "third"), Use::Sent, "nobody knows how it ended");
    journal.record(NOW, vec![intent(4), error(4)]).await.unwrap();
    assert_eq!(used(&journal, "third"), Use::Sent, "whatever became of another attempt");
    let resumed = Entry::Resumed { digest: "first".to_owned() };
    journal.record(NOW, vec![resumed, intent(5), error(5)]).await.unwrap();
    assert_eq!(used(&journal, "first"), Use::Done, "what is done is not forgotten over another attempt");
}
