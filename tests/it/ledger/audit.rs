//! The audit log beside a journal: before it, with others, and never instead.

use std::io::Write as _;

use apgit::door::ledger::{DeregisterEnd, Entry, FileJournal, Journal, JournalError, Phase, UpdateEnd};
use apgit::door::model::{Field, FieldChange, RegistrationId};
use apgit::door::sim::EPOCH;
use uuid::Uuid;

use crate::support::{Folder, audit, audited};

async fn journal(folder: &Folder, owner: &str) -> Journal {
    let store = FileJournal::open(&folder.at(owner)).expect("a journal of ours");
    let journal = Journal::open(Box::new(store), EPOCH).await.expect("a journal of ours");
    journal.audited(audit(&folder.at("audit.jsonl")))
}

#[tokio::test]
async fn what_cannot_stand_in_the_log_does_not_come_into_the_journal() {
    let folder = Folder::quick();
    let mut journal = journal(&folder, "one").await;
    journal.record(EPOCH, vec![Entry::SyncIntent]).await.expect("a log of ours");
    let before = folder.read("one/journal.jsonl");
    let mut log = std::fs::OpenOptions::new().append(true).open(folder.at("audit.jsonl")).unwrap();
    log.write_all(b"{}\n").unwrap();
    let refused = journal.record(EPOCH, vec![Entry::SyncEnd { accepted: true }]).await;
    assert!(matches!(refused, Err(JournalError::Audit { .. })), "{refused:?}");
    assert_eq!(folder.read("one/journal.jsonl"), before);
    assert_eq!(journal.synced(), None, "nor is it counted in");
}

#[tokio::test]
async fn two_that_write_into_one_log_make_one_chain() {
    let folder = Folder::quick();
    let (mut one, mut other) = (journal(&folder, "one").await, journal(&folder, "other").await);
    for _ in 0..5 {
        one.record(EPOCH, vec![Entry::SyncIntent]).await.expect("a log of ours");
        other.record(EPOCH, vec![Entry::SyncIntent, Entry::SyncEnd { accepted: false }]).await.expect("the same log");
        one.record(EPOCH, vec![Entry::SyncEnd { accepted: true }]).await.expect("a log of ours");
    }
    let lines = audited(&folder.at("audit.jsonl"));
    assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_there_without_us_is_found_and_no_deed() {
    let folder = Folder::quick();
    let mut journal = journal(&folder, "one").await;
    let registration_id = RegistrationId(Uuid::from_u128(7));
    let fields = vec![FieldChange { field: Field::GroupTag, before: "A".into(), after: "B".into() }];
    let intent = Entry::UpdateIntent { registration_id, fields };
    let found = vec![
        intent.clone(),
        Entry::UpdateEnd { registration_id, end: UpdateEnd::Found },
        Entry::DeregisterIntent { registration_id },
        Entry::DeregisterEnd { registration_id, removal: DeregisterEnd::Gone },
        Entry::SyncEnd { accepted: true },
        Entry::Clock,
    ];
    journal.record(EPOCH, found).await.expect("a log of ours");
    let phases = |from: usize| -> Vec<Phase> {
        audited(&folder.at("audit.jsonl")).iter().skip(from).map(|line| line.phase).collect()
    };
    assert_eq!(phases(0), [Phase::Found; 5]);
    // The same, sent.
    journal.record(EPOCH, vec![intent]).await.expect("a log of ours");
    journal.record(EPOCH, vec![Entry::UpdateEnd { registration_id, end: UpdateEnd::Accepted }]).await.expect("the log");
    assert_eq!(phases(5), [Phase::Intent, Phase::Outcome]);
}
