//! The ledger as a document: written, read, edited by hand, remembered.

use apgit::door::ledger::{
    Deleting, FileLedger, Gone, Hardware, Leaving, LeavingObject, Ledger, LedgerError, LedgerStore, Tracked,
    ledger_schema,
};
use apgit::door::model::{
    DeletionPolicy, DeviceKey, DirectoryObjectId, Field, ManagedDeviceId, RegistrationId, SerialNumber, TenantId,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

pub(super) fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap()
}

fn serial(text: &str) -> SerialNumber {
    SerialNumber::parse(text).unwrap()
}

pub(super) fn key(text: &str) -> DeviceKey {
    DeviceKey::of(serial(text))
}

pub(super) fn tracked(text: &str) -> Tracked {
    Tracked {
        serial_number: serial(text),
        declared_registration_id: None,
        registration_id: RegistrationId(Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes())),
        adopted: false,
        values: [(Field::GroupTag, "OSL-STD".into())].into(),
        declared: vec![Field::GroupTag],
        deletion_policy: DeletionPolicy::Delete,
        adopted_with: None,
        protect: true,
        suspend: false,
        hardware: Hardware::new(),
        file: "devices/oslo.yaml".to_owned(),
        commit: None,
        plan: "plan-000000000001".to_owned(),
        at: at(0),
        corrected: Vec::new(),
        deleting: None,
        doubt: None,
    }
}

pub(super) fn ledger(serials: &[&str]) -> Ledger {
    let tenant = TenantId("11111111-2222-3333-4444-555555555555".parse().unwrap());
    let mut ledger = Ledger::new("Global", tenant, "corp-devices", Uuid::from_u128(7), at(0));
    serials.iter().for_each(|serial| ledger.track(tracked(serial)));
    ledger
}

#[test]
fn a_ledger_reads_as_it_was_written() {
    let mut ledger = ledger(&["PF2", "PF1", "PF3"]);
    ledger.forget(&key("PF3"), Gone::Released, "plan-000000000002", at(1));
    let text = ledger.written();
    assert_eq!(Ledger::read(&text, true).unwrap(), ledger);
    assert_eq!(Ledger::read(&text.replace('\n', "\r\n"), true).unwrap(), ledger);
}

#[test]
fn the_published_schema_is_current_and_holds() {
    let schema = ledger_schema();
    let published = snapbox::file!["../../../schema/ledger.schema.json": Text];
    snapbox::assert_data_eq!(format!("{schema:#}\n"), published.raw());
    let mut ledger = ledger(&["PF2", "PF1"]);
    ledger.forget(&key("PF1"), Gone::Released, "plan-000000000002", at(1));
    let written = serde_json::from_str(&ledger.written()).unwrap();
    assert_eq!(crate::support::violations(&schema, &written), Vec::<String>::new());
    let broken = serde_json::from_str(&ledger.written().replace("\"plan\"", "\"plum\"")).unwrap();
    assert!(!crate::support::violations(&schema, &broken).is_empty(), "the check finds what is planted");
}

#[test]
fn every_device_has_a_line_of_its_own_sorted_by_serial() {
    let (one, two) = (ledger(&["PF2", "PF10", "PF1"]).written(), ledger(&["PF1", "PF2", "PF3", "PF10"]).written());
    let lines = |text: &str| text.lines().filter(|line| line.contains("serialNumber")).count();
    assert_eq!((lines(&one), lines(&two)), (3, 4));
    let new: Vec<&str> = two.lines().filter(|line| !one.contains(line.trim_end_matches(','))).collect();
    assert_eq!(new.len(), 2, "the device and the seal: {new:?}");
    assert!(new[0].contains("PF3") && new[1].contains("sealed"), "{new:?}");
}

#[test]
fn what_somebody_has_edited_is_no_ledger_until_it_is_imported() {
    let text = ledger(&["PF1", "PF2"]).written();
    for (from, to) in [("PF2", "PF9"), ("OSL-STD", "BER-STD"), ("\"serial\": 0", "\"serial\": 9"), ("true", "false")] {
        let edited = text.replacen(from, to, 1);
        assert_ne!(edited, text, "{from}");
        assert!(Ledger::read(&edited, true).unwrap_err().contains("edited"), "{from}");
        assert!(Ledger::read(&edited, false).is_ok(), "{from}");
    }
}

#[test]
fn another_format_and_a_device_twice_are_refused() {
    let text = ledger(&["PF1", "PF2"]).written();
    let newer = text.replace("apgit.ledger/v1", "apgit.ledger/v9");
    assert!(Ledger::read(&newer, false).unwrap_err().contains("apgit.ledger/v9"));
    assert!(Ledger::read(&text.replace("PF2", "pf1"), false).unwrap_err().contains("twice"));
    assert!(Ledger::read(&text.replace("\"protect\"", "\"pretect\""), false).is_err());
    assert!(Ledger::read(&text[..text.len() / 2], false).is_err());
}

#[test]
fn deletions_are_remembered_for_a_day_whichever_run_made_them() {
    let mut ledger = ledger(&["PF1", "PF2", "PF3", "PF4"]);
    ledger.forget(&key("PF1"), Gone::Deregistered, "plan-a", at(0));
    ledger.forget(&key("PF2"), Gone::Released, "plan-a", at(0));
    ledger.get_mut(&key("PF3")).unwrap().deleting =
        Some(Deleting { plan: "plan-b".to_owned(), since: at(20), leaving: None });
    assert_eq!(ledger.deleted_within_a_day(at(21)), 2);
    assert_eq!(ledger.deleted_within_a_day(at(25)), 1, "the first is more than a day ago");
    assert_eq!(ledger.deleted_within_a_day(at(-5)), 2, "a clock that went back forgets nothing");
    ledger.forget(&key("PF4"), Gone::Vanished, "plan-c", at(24 * 100));
    assert_eq!(ledger.tombstones().len(), 1, "what is older than any guard looks back is dropped");
    assert_eq!(at(1).duration_since(at(0)), SignedDuration::from_hours(1));
}

#[test]
fn whoever_lets_go_of_a_device_that_is_on_its_way_out_has_not_undone_its_removal() {
    let mut ledger = ledger(&["PF1", "PF2"]);
    for (name, since) in [("PF1", 0), ("PF2", -24 * 7)] {
        ledger.get_mut(&key(name)).unwrap().deleting =
            Some(Deleting { plan: "plan-b".to_owned(), since: at(since), leaving: None });
        ledger.forget(&key(name), Gone::Released, "by name", at(1));
    }
    let ends: Vec<Gone> = ledger.tombstones().iter().map(|stone| stone.end).collect();
    assert_eq!(ends, [Gone::Abandoned, Gone::Released], "what did not go in a week does not go");
    assert_eq!(ledger.deleted_within_a_day(at(2)), 1);
    assert_eq!(Ledger::read(&ledger.written(), true).as_ref(), Ok(&ledger));
}

#[test]
fn plans_that_were_begun_are_remembered_for_a_month_and_not_without_end() {
    let mut one = ledger(&[]);
    one.begin("a", at(0));
    one.begin("b", at(1));
    one.begin("a", at(2));
    assert!(one.has_begun("a") && one.has_begun("b") && one.head.begun.len() == 2);
    assert_eq!(Ledger::read(&one.written(), true).as_ref(), Ok(&one));
    let mut anew = ledger(&[]);
    anew.remember(&one, at(3));
    assert!(anew.has_begun("a") && anew.has_begun("b"), "whoever begins anew has not forgotten");
    one.begin("c", at(24 * 31 + 1));
    assert!(one.has_begun("a") && !one.has_begun("b"));
    (0..1000).for_each(|number| one.begin(&format!("{number}"), at(24 * 31 + 2)));
    assert!(one.head.begun.len() == 256 && one.has_begun("999") && !one.has_begun("c"));
}

#[test]
fn what_goes_with_a_device_is_kept_until_nothing_of_it_is_left() {
    let mut ledger = ledger(&["PF1", "PF2"]);
    let object = DirectoryObjectId(Uuid::from_u128(2));
    let mut leaving = Leaving { managed_devices: vec![ManagedDeviceId(Uuid::from_u128(1))], ..Leaving::default() };
    let seen = LeavingObject { object: Some(object), name: "OSL-1".into(), ..LeavingObject::default() };
    for _ in 0..2 {
        leaving.add(&Leaving { directory_devices: vec![seen.clone()], ..leaving.clone() });
    }
    assert_eq!((leaving.managed_devices.len(), leaving.directory_devices.len()), (1, 1), "the same is known once");
    for name in ["PF1", "PF2"] {
        let leaving = Some(Box::new(leaving.clone()));
        ledger.get_mut(&key(name)).unwrap().deleting =
            Some(Deleting { plan: "by name".to_owned(), since: at(1), leaving });
    }
    assert_eq!(Ledger::read(&ledger.written(), true).as_ref(), Ok(&ledger));
    ledger.forget(&key("PF1"), Gone::Deregistered, "by name", at(2));
    ledger.forget(&key("PF2"), Gone::Released, "by name", at(2));
    let left: Vec<_> = ledger.tombstones().iter().map(|stone| stone.left.as_deref()).collect();
    assert_eq!(left, [Some(&leaving), None], "whoever lets go looks after nothing");
    assert_eq!(Ledger::read(&ledger.written(), true).as_ref(), Ok(&ledger));
    ledger.settle(tracked("PF1").registration_id);
    assert!(ledger.tombstones().iter().all(|stone| stone.left.is_none()));
}

#[tokio::test]
async fn a_file_is_written_over_what_was_read_and_over_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (mut one, mut two) = (FileLedger::new(folder.path()), FileLedger::new(folder.path()));
    assert_eq!(one.load().await.unwrap(), None);
    assert_eq!(two.load().await.unwrap(), None);
    let first = ledger(&["PF1"]);
    one.save(&first, "a first device").await.unwrap();
    let error = two.save(&ledger(&["PF2"]), "another").await.unwrap_err();
    assert!(matches!(error, LedgerError::Moved { .. }), "{error}");
    assert_eq!(two.load().await.unwrap(), Some(first));
    two.save(&ledger(&["PF1", "PF2"]), "another").await.unwrap();
    assert!(one.save(&ledger(&[]), "nothing").await.is_err());
}
