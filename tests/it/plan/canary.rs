//! Which devices of a rollout go first, and when the others follow.

use std::sync::Arc;

use apgit::door::ledger::{Canary, SentTag, SentTo};
use apgit::door::model::{Action, Guards, ImportId, ImportState, Milestone, Rollout, SerialKey, SerialNumber};
use apgit::door::plan::guard::clear;
use apgit::door::plan::{NoRemoval, Reason};
use jiff::SignedDuration;

use super::{Case, MINUTE, NOW, case, read_aloud, registration};

/// Two go first.
fn rolling(wait_for: Milestone, claims: &str, devices: &str) -> Case {
    let mut case = case(claims, devices);
    case.tenant.rollout = Some(Rollout::new(2, wait_for));
    case
}

impl Case {
    fn with_profile(mut self, ids: &[u128]) -> Self {
        self.facts.profiles = ids.iter().map(|id| registration(*id)).collect();
        self
    }

    /// What is told of the devices that wait.
    fn waiting(&self) -> Vec<String> {
        let held = self.plan().held;
        let mut words: Vec<String> = held
            .into_iter()
            .filter(|held| held.reason == Reason::AwaitingCanary)
            .flat_map(|held| held.details)
            .collect();
        words.dedup();
        words
    }
}

const FIVE: &str = "A5 tag=X\nA3 tag=X\nA1 tag=X\nA4 tag=X\nA2 tag=X";

#[test]
fn of_new_devices_the_first_by_serial_go_and_the_rest_waits() {
    let first = rolling(Milestone::Registered, FIVE, "");
    assert_eq!(first.waiting(), ["group tag `X`: 0 of 2 devices have come to Registered, 2 awaited"]);
    first.plans(
        "+ A1 attempt 1 groupTag=X\n+ A2 attempt 1 groupTag=X\nx A3 AwaitingCanary\nx A4 AwaitingCanary\nx A5 AwaitingCanary",
    );
}

#[test]
fn the_rest_follows_when_enough_have_come_so_far_and_not_before() {
    let devices = "A1 1 tag=X\nA2 2 tag=X";
    rolling(Milestone::Registered, FIVE, devices)
        .plans("+ A3 attempt 1 groupTag=X\n+ A4 attempt 1 groupTag=X\n+ A5 attempt 1 groupTag=X\n2 unchanged");
    let held = "x A3 AwaitingCanary\nx A4 AwaitingCanary\nx A5 AwaitingCanary\n2 unchanged";
    rolling(Milestone::ProfileAssigned, FIVE, devices).plans(held);
    let half = || rolling(Milestone::ProfileAssigned, FIVE, devices).with_profile(&[2]);
    assert_eq!(half().waiting(), ["group tag `X`: 1 of 2 devices have come to ProfileAssigned, 1 awaited"]);
    half().plans(held);
    rolling(Milestone::ProfileAssigned, FIVE, devices)
        .with_profile(&[1, 2])
        .plans("+ A3 attempt 1 groupTag=X\n+ A4 attempt 1 groupTag=X\n+ A5 attempt 1 groupTag=X\n2 unchanged");
    rolling(Milestone::Enrolled, FIVE, "A1 1 tag=X enrolled\nA2 2 tag=X").with_profile(&[1, 2]).plans(held);
    rolling(Milestone::Enrolled, FIVE, "A1 1 tag=X enrolled\nA2 2 tag=X enrolled")
        .plans("+ A3 attempt 1 groupTag=X\n+ A4 attempt 1 groupTag=X\n+ A5 attempt 1 groupTag=X\n2 unchanged");
}

#[test]
fn each_tag_has_canaries_of_its_own_and_so_has_none_at_all() {
    rolling(Milestone::Registered, "A1 tag=X\nA2 tag=X\nA3 tag=X\nB1 tag=Y\nC1\nC2 tag=\nC3", "").plans(
        "+ A1 attempt 1 groupTag=X\n+ A2 attempt 1 groupTag=X\n+ B1 attempt 1 groupTag=Y\n+ C1 attempt 1\n\
         + C2 attempt 1 groupTag=\nx A3 AwaitingCanary\nx C3 AwaitingCanary",
    );
}

#[test]
fn a_new_tag_is_a_rollout_like_a_registration_and_other_changes_are_none() {
    rolling(
        Milestone::Enrolled,
        "A1 tag=X\nA2 tag=X\nA3 tag=X\nA4 tag=Y name=N",
        "A1 1 tag=Y enrolled\nA2 2 tag=Y\nA3 3 tag=Y\nA4 4 tag=Y",
    )
    .plans(
        "~ A1 groupTag \"Y\" -> \"X\"\n~ A2 groupTag \"Y\" -> \"X\"\n~ A4 displayName \"\" -> \"N\"\nx A3 AwaitingCanary",
    );
}

#[test]
fn what_is_under_way_takes_its_place() {
    // One import runs, one is complete and not listed yet.
    let case = rolling(Milestone::Registered, FIVE, "").import("A4", 1, MINUTE, ImportState::Running).import(
        "A5",
        1,
        MINUTE,
        ImportState::Complete { registration_id: registration(5) },
    );
    assert_eq!(case.waiting(), ["group tag `X`: 0 of 2 devices have come to Registered, 2 awaited"]);
    case.plans("+ A4 attempt 1 (running) groupTag=X\nx A1 AwaitingCanary\nx A2 AwaitingCanary\nx A3 AwaitingCanary\n> A5 registration");
}

#[test]
fn a_canary_that_failed_holds_the_others_and_is_tried_again_first() {
    let failed = |age| {
        let state = ImportState::Error { code: 802, name: "InvalidZtdHardwareHash".to_owned() };
        rolling(Milestone::Registered, FIVE, "A1 1 tag=X").import("A4", 1, age, state)
    };
    let case = failed(MINUTE);
    assert_eq!(case.waiting(), ["group tag `X`: 1 of 2 devices have come to Registered, 0 awaited, 1 failed"]);
    case.plans("x A2 AwaitingCanary\nx A3 AwaitingCanary\nx A4 InvalidHardwareHash\nx A5 AwaitingCanary\n1 unchanged");
    failed(SignedDuration::from_hours(25))
        .plans("+ A4 attempt 2 groupTag=X\nx A2 AwaitingCanary\nx A3 AwaitingCanary\nx A5 AwaitingCanary\n1 unchanged");
}

#[test]
fn what_could_not_go_anyway_takes_no_place() {
    rolling(Milestone::Registered, "A1 tag=X suspend\nA2 tag=X\nA3 tag=X\nA4 tag=X", "")
        .plans("+ A2 attempt 1 groupTag=X\n+ A3 attempt 1 groupTag=X\nx A1 Suspended\nx A4 AwaitingCanary");
}

#[test]
fn what_nobody_declares_proves_nothing() {
    rolling(Milestone::Registered, "A1 tag=X\nA2 tag=X\nA3 tag=X", "B1 1 tag=X\nB2 2 tag=X")
        .plans("+ A1 attempt 1 groupTag=X\n+ A2 attempt 1 groupTag=X\nx A3 AwaitingCanary\n? B1\n? B2");
}

#[test]
fn a_part_of_the_declarations_counts_what_was_applied_besides() {
    let mut case = rolling(Milestone::Registered, FIVE, "A1 1 tag=X\nA2 2 tag=X");
    case.facts.ledger = Some(Arc::new(super::removal::ledger("A1 1 tag=X\nA2 2 tag=X")));
    let plan = case.plan_of(|serial| serial == "A3");
    assert_eq!(read_aloud(&plan), ["+ A3 attempt 1 groupTag=X"]);
}

#[test]
fn a_part_of_the_declarations_counts_what_is_sent_besides_and_not_listed_yet() {
    let sent = |state: ImportState, age: SignedDuration| {
        let mut case = rolling(Milestone::Registered, FIVE, "A1 1 tag=X").import("A4", 1, age, state);
        let import = *case.facts.imports.keys().next().expect("one");
        let to = SentTo::Import(import, SerialKey::of("A4"));
        case.facts.sent = vec![SentTag { to, tag: "X".into(), at: NOW - age }];
        case.facts.owned.insert(registration(4));
        case.facts.ledger = Some(Arc::new(super::removal::ledger("A1 1 tag=X")));
        read_aloud(&case.plan_of(|serial| serial == "A3"))
    };
    let complete = || ImportState::Complete { registration_id: registration(4) };
    assert_eq!(sent(ImportState::Running, MINUTE), ["x A3 AwaitingCanary"]);
    assert_eq!(sent(complete(), MINUTE), ["x A3 AwaitingCanary"]);
    // What was registered an hour ago and is not there was removed.
    assert_eq!(sent(complete(), SignedDuration::from_hours(1)), ["+ A3 attempt 1 groupTag=X"]);
}

/// Whoever names fewer paths reads all of what they declare, and not of the others.
#[test]
fn fewer_paths_count_what_was_applied_from_the_others() {
    let fewer = |devices: &str| {
        let mut case = rolling(Milestone::Enrolled, "A3 tag=X\nA4 tag=X", devices);
        case.facts.ledger = Some(Arc::new(super::removal::ledger("A1 1 tag=X\nA2 2 tag=X")));
        case.facts.no_removal = Some(NoRemoval::OtherPaths("`site1` was read when last applied".to_owned()));
        case
    };
    fewer("A1 1 tag=X\nA2 2 tag=X").plans("x A3 AwaitingCanary\nx A4 AwaitingCanary");
    fewer("A1 1 tag=X").plans("+ A3 attempt 1 groupTag=X\nx A4 AwaitingCanary");
    fewer("A1 1 tag=X enrolled\nA2 2 tag=X enrolled").plans("+ A3 attempt 1 groupTag=X\n+ A4 attempt 1 groupTag=X");
}

/// It is on its way out: it proves nothing, and is no place to fill before it is gone.
#[test]
fn what_is_declared_no_more_has_its_place_until_it_is_gone_and_proves_nothing() {
    let changes = |devices: &str| {
        let mut case = rolling(Milestone::Enrolled, "A3 tag=X\nA4 tag=X\nA5 tag=X", devices);
        case.facts.ledger = Some(Arc::new(super::removal::ledger("A1 1 tag=X\nA2 2 tag=X")));
        let changes = case.plan().changes;
        changes.iter().filter(|change| matches!(change.action(), Action::Register(_))).count()
    };
    assert_eq!(changes("A1 1 tag=X\nA2 2 tag=X"), 0);
    assert_eq!(changes("A1 1 tag=X enrolled\nA2 2 tag=X enrolled"), 2);
}

/// A run that registered them broke off before it could write that down.
#[test]
fn a_part_counts_what_is_registered_and_declared_besides_though_no_ledger_has_it() {
    let case = rolling(Milestone::Enrolled, FIVE, "A1 1 tag=X\nA2 2 tag=X");
    assert_eq!(read_aloud(&case.plan_of(|serial| serial == "A3")), ["x A3 AwaitingCanary"]);
    let one = rolling(Milestone::Enrolled, FIVE, "A1 1 tag=X\nB2 2 tag=X");
    assert_eq!(read_aloud(&one.plan_of(|serial| serial == "A3")), ["+ A3 attempt 1 groupTag=X"]);
}

#[test]
fn what_a_run_that_broke_off_has_registered_counts_wherever_it_is_declared() {
    let sent = |devices: &str| {
        let mut case = rolling(Milestone::Enrolled, "A3 tag=X\nA4 tag=X", devices);
        case = case.import("A1", 1, MINUTE, ImportState::Running);
        let import = *case.facts.imports.keys().next().expect("one");
        let to = SentTo::Import(import, SerialKey::of("A1"));
        case.facts.sent = vec![SentTag { to, tag: "X".into(), at: NOW - MINUTE }];
        case.facts.no_removal = Some(NoRemoval::OtherPaths("`site1` was read when last applied".to_owned()));
        case
    };
    sent("").plans("+ A3 attempt 1 groupTag=X\nx A4 AwaitingCanary");
    sent("A1 1 tag=X\nB1 2 tag=X").plans("+ A3 attempt 1 groupTag=X\nx A4 AwaitingCanary\n? A1\n? B1");
}

/// The ledger says that another machine has set out to send them.
#[test]
fn what_another_machine_has_begun_to_send_counts_until_its_end_is_known() {
    let case = |age: SignedDuration, devices: &str| {
        let mut case = rolling(Milestone::Enrolled, FIVE, devices);
        let mut ledger = super::removal::ledger("");
        let canary = |serial: &str, number| Canary {
            serial_number: SerialNumber::parse(serial).expect("a serial"),
            registration_id: None,
            import_id: Some(ImportId(uuid::Uuid::from_u128(number))),
            group_tag: "X".into(),
            at: NOW - age,
        };
        ledger.send(vec![canary("A1", 1), canary("A2", 2)]);
        case.facts.ledger = Some(Arc::new(ledger));
        read_aloud(&case.plan_of(|serial| serial == "A3"))
    };
    assert_eq!(case(MINUTE, ""), ["x A3 AwaitingCanary"]);
    assert_eq!(case(SignedDuration::from_hours(25), ""), ["+ A3 attempt 1 groupTag=X"]);
    assert_eq!(case(SignedDuration::from_hours(25), "A1 1 tag=X\nA2 2 tag=X"), ["x A3 AwaitingCanary"]);
    assert_eq!(case(MINUTE, "A1 1 tag=X enrolled\nA2 2 tag=X enrolled"), ["+ A3 attempt 1 groupTag=X"]);
}

#[test]
fn a_part_counts_the_canaries_that_failed_besides() {
    let failed = |age: SignedDuration| {
        let state = ImportState::Error { code: 815, name: "InvalidZtdHardwareHash".to_owned() };
        let mut case = rolling(Milestone::Registered, FIVE, "A1 1 tag=X").import("A4", 1, age, state);
        let import = *case.facts.imports.keys().next().expect("one");
        let to = SentTo::Import(import, SerialKey::of("A4"));
        case.facts.sent = vec![SentTag { to, tag: "X".into(), at: NOW - age }];
        case
    };
    assert_eq!(read_aloud(&failed(MINUTE).plan_of(|serial| serial == "A3")), ["x A3 AwaitingCanary"]);
    // It is its turn, and not the turn of another one.
    let day = SignedDuration::from_hours(25);
    assert_eq!(read_aloud(&failed(day).plan_of(|serial| serial == "A3")), ["x A3 AwaitingCanary"]);
    let mut elsewhere = failed(day);
    elsewhere.claims.retain(|claim| claim.serial.as_str() != "A4");
    assert_eq!(read_aloud(&elsewhere.plan_of(|serial| serial == "A3")), ["+ A3 attempt 1 groupTag=X"]);
}

#[test]
fn a_repeated_round_goes_on_with_what_the_first_has_begun() {
    let mut case = rolling(Milestone::Enrolled, FIVE, "");
    case.facts.tails_first = true;
    assert_eq!(case.plan().changes.len(), 5);
}

#[test]
fn canaries_are_counted_before_the_limits() {
    let lines: Vec<String> = (10..40).map(|number| format!("A{number} tag=X")).collect();
    let devices: Vec<String> = (10..40).map(|number| format!("A{number} {number} tag=Y enrolled")).collect();
    let case = rolling(Milestone::ProfileAssigned, &lines.join("\n"), &devices.join("\n"));
    let cleared = clear(case.plan(), &Default::default());
    assert_eq!(cleared.plan().changes.len(), 2);
    assert!(cleared.plan().held.iter().all(|held| held.reason == Reason::AwaitingCanary));
}

#[test]
fn a_rollout_that_is_removed_or_weakened_with_the_change_holds_that_change() {
    let mut tenant = super::super::support::tenant();
    tenant.rollout = Some(Rollout::new(2, Milestone::ProfileAssigned));
    let applied = Guards::of(&tenant);
    let told = |rollout: Option<Rollout>| {
        let mut case = rolling(Milestone::Registered, FIVE, "A1 1 tag=X\nA2 2 tag=X");
        case.tenant.rollout = rollout;
        (case.tenant, case.facts.loosens) = applied.tighten(&case.tenant);
        let plan = case.plan();
        let loosens: Vec<String> =
            plan.loosens.iter().map(|of| format!("{} {} to {}", of.what, of.from, of.to)).collect();
        (plan.changes.len(), loosens.join(", "))
    };
    let rollout = |canary, wait_for| Some(Rollout::new(canary, wait_for));
    assert_eq!(told(None), (0, "rollout 2 to be ProfileAssigned to none".to_owned()));
    assert_eq!(told(rollout(1, Milestone::ProfileAssigned)), (0, "rollout.canary 2 to 1".to_owned()));
    assert_eq!(
        told(rollout(2, Milestone::Registered)),
        (0, "rollout.waitFor ProfileAssigned to Registered".to_owned())
    );
    // More that go first are more that go unproven, though more are to be proven.
    assert_eq!(told(rollout(3, Milestone::ProfileAssigned)), (0, "rollout.canary 2 to 3".to_owned()));
    assert_eq!(told(rollout(1000, Milestone::Registered)).0, 0);
    // Stricter holds at once.
    assert_eq!(told(rollout(2, Milestone::Enrolled)), (0, String::new()));
}
