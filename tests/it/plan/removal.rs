//! What becomes of devices that were applied and are declared no more: which go,
//! which stay, and why.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use apgit::door::ledger::{Deleting, Gone, Hardware, Ledger, Tracked};
use apgit::door::model::{
    Coverage, DeletionPolicy, DeviceKey, Field, ImportState, Policy, RegistrationId, SerialNumber,
};
use apgit::door::plan::guard::clear;
use apgit::door::plan::{Action, Approvals, NoRemoval, Note, Reason};
use jiff::SignedDuration;
use uuid::Uuid;

use super::{Case, MINUTE, NOW, case, read_aloud};

/// `SERIAL ID key=value …`: `tag`, `user`, and the bare words `orphan`,
/// `protect`, `adopted`, `deleting=MINUTES`.
fn tracked(line: &str) -> Tracked {
    let mut words = line.split_whitespace();
    let (serial, id): (_, u128) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
    let mut tracked = Tracked {
        serial_number: SerialNumber::parse(serial).unwrap(),
        declared_registration_id: None,
        registration_id: RegistrationId(Uuid::from_u128(id)),
        adopted: false,
        values: BTreeMap::new(),
        declared: Vec::new(),
        deletion_policy: DeletionPolicy::Delete,
        adopted_with: None,
        protect: false,
        suspend: false,
        hardware: Hardware::new(),
        file: "devices/oslo.yaml".to_owned(),
        commit: None,
        plan: "plan-0000000000aa".to_owned(),
        at: NOW - SignedDuration::from_hours(24 * 10),
        corrected: Vec::new(),
        deleting: None,
        doubt: None,
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "tag" => _ = tracked.values.insert(Field::GroupTag, value.into()),
            "user" => _ = tracked.values.insert(Field::UserPrincipalName, value.into()),
            "orphan" => tracked.deletion_policy = DeletionPolicy::Orphan,
            "protect" => tracked.protect = true,
            "adopted" => tracked.adopted = true,
            "deleting" => {
                let since = NOW - MINUTE * value.parse::<i32>().unwrap();
                tracked.deleting = Some(Deleting { plan: "plan-0000000000bb".to_owned(), since, leaving: None });
            }
            other => panic!("no such word: {other}"),
        }
    }
    tracked
}

/// Ten more devices are declared, applied and there, so that one that goes is
/// no collapse of the fleet.
const TEN: std::ops::Range<u128> = 900..910;

pub(super) fn ledger(lines: &str) -> Ledger {
    let tenant = crate::support::tenant();
    let mut ledger = Ledger::new("Global", tenant.id, &tenant.owner, Uuid::from_u128(7), NOW);
    lines.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| ledger.track(tracked(line)));
    ledger
}

/// As [`case`], with what was applied before.
fn applied(ledger_lines: &str, claims: &str, devices: &str) -> Case {
    let others = |words: fn(u128) -> String| TEN.map(words).collect::<Vec<_>>().join("\n");
    let claims = format!("{claims}\n{}", others(|n| format!("Z{n} tag=X")));
    let devices = format!("{devices}\n{}", others(|n| format!("Z{n} {n} tag=X")));
    let mut case = case(&claims, &devices);
    case.facts.owned.clear();
    case.claims.iter_mut().for_each(|claim| claim.deletion_policy = DeletionPolicy::Delete);
    let lines = format!("{ledger_lines}\n{}", others(|n| format!("Z{n} {n} tag=X")));
    case.facts.ledger = Some(Arc::new(ledger(&lines)));
    case
}

impl Case {
    /// The plan without the ten.
    fn says(&self) -> Vec<String> {
        let mut lines = read_aloud(&self.plan());
        lines.retain(|line| !line.ends_with(" unchanged"));
        lines
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

#[track_caller]
fn says(case: Case, expected: &[&str]) {
    assert_eq!(case.says(), expected);
}

#[test]
fn what_was_applied_and_is_declared_no_more_goes_as_it_was_declared_to() {
    says(applied("A1 1 tag=X", "", "A1 1 tag=X"), &["- A1"]);
    says(applied("A1 1 tag=X orphan", "", "A1 1 tag=X"), &[". A1"]);
    says(applied("A1 1 tag=X", "A1 tag=X", "A1 1 tag=X"), &[]);
    says(applied("A1 1 tag=X", "a1 tag=X", "A1 1 tag=X"), &[]);
}

#[test]
fn what_was_never_applied_is_left_alone_though_it_is_declared_nowhere() {
    says(applied("", "", "A1 1 tag=X"), &["? A1"]);
    says(applied("A1 2 tag=X", "", "A1 1 tag=X"), &[". A1 (gone)", "? A1"]);
}

#[test]
fn a_registration_that_is_not_as_it_was_applied_stays() {
    let changed = &["x A1 ChangedSinceApplied"][..];
    says(applied("A1 1 tag=X", "", "A1 1 tag=Y"), changed);
    says(applied("A1 1 tag=X", "", "A1 1 tag=X user=anna.keller@contoso.com"), changed);
    says(applied("A1 1 tag=X user=anna.keller@contoso.com", "", "A1 1 tag=X"), changed);
    says(applied("A1 1 tag=X", "", "A1 1 tag=X name=N"), changed);
    says(applied("A1 1 tag=X", "", "B1 1 tag=X"), changed);
    let held = applied("A1 1 tag=X", "", "A1 1 tag=Y").plan().held;
    assert_eq!(held[0].details, ["group tag: `X` when applied on 2026-05-18, `Y` now"]);
}

#[test]
fn what_somebody_works_with_or_has_protected_stays() {
    says(applied("A1 1 tag=X", "", "A1 1 tag=X enrolled"), &["x A1 StillEnrolled"]);
    says(applied("A1 1 tag=X protect", "", "A1 1 tag=X"), &["x A1 DeletionProtected"]);
    says(applied("A1 1 tag=X", "", "A1 1 tag=X").scoped(&["Y*", "Z*"]), &["x A1 OutOfScope"]);
}

#[test]
fn only_the_policy_sync_removes_and_nothing_is_written_under_observe_or_suspend() {
    let under = |policy| applied("A1 1 tag=X", "", "A1 1 tag=X").with(|case| case.tenant.policy = policy);
    says(under(Policy::UpsertOnly), &["x A1 DeletionNotAllowed"]);
    says(under(Policy::CreateOnly), &["x A1 DeletionNotAllowed"]);
    says(under(Policy::Observe), &["x A1 ObserveOnly"]);
    says(under(Policy::Sync).with(|case| case.tenant.suspend = true), &["x A1 Suspended"]);
    let orphan = |policy| applied("A1 1 orphan", "", "A1 1").with(|case| case.tenant.policy = policy);
    says(orphan(Policy::UpsertOnly), &[". A1"]);
    says(orphan(Policy::Observe), &["x A1 ObserveOnly"]);
}

#[test]
fn no_removal_is_computed_where_something_is_wrong_with_the_whole() {
    let gone = || applied("A1 1 tag=X", "", "A1 1 tag=X");
    let because = |case: Case| {
        let plan = case.plan();
        assert!(plan.changes.is_empty() && plan.held.is_empty(), "{:?}", read_aloud(&plan));
        assert!(plan.unmanaged.is_empty(), "what is ours is no stranger");
        plan.removal.not_computed.expect("a reason").name()
    };
    let facts = |why: NoRemoval| gone().with(|case| case.facts.no_removal = Some(why));
    assert_eq!(because(facts(NoRemoval::NoLedger)), "NoLedger");
    assert_eq!(because(facts(NoRemoval::LedgerUnusable("edited".to_owned()))), "LedgerUnusable");
    assert_eq!(because(facts(NoRemoval::OtherLineage("b".to_owned()))), "OtherLineage");
    assert_eq!(because(facts(NoRemoval::DirtyTree("a.yaml".to_owned()))), "DirtyTree");
    assert_eq!(because(facts(NoRemoval::Partial)), "Partial");
    assert_eq!(because(gone().with(|case| case.claims.clear())), "DesiredSetEmpty");
    let only = Coverage::Only(vec![RegistrationId(Uuid::from_u128(1))]);
    let mut partial = gone().with(|case| case.coverage = only);
    partial.devices.retain(|device| device.serial == "A1");
    partial.claims.truncate(1);
    assert_eq!(partial.plan().removal.not_computed, Some(NoRemoval::Incomplete));
    assert!(partial.plan().changes.iter().all(|change| !matches!(change.action(), Action::Deregister(_))));
}

#[test]
fn a_fleet_that_shrinks_by_a_fifth_has_lost_files() {
    let lines = |count: u128| (1..=count).map(|n| format!("A{n} {n} tag=X")).collect::<Vec<_>>().join("\n");
    let shrinks = |count| applied(&lines(count), "", &lines(count)).plan().removal.not_computed;
    assert_eq!(shrinks(2), None, "2 of 12");
    let Some(NoRemoval::DesiredSetCollapsed(words)) = shrinks(4) else { panic!("4 of 14") };
    assert_eq!(words, "4 of 14 devices are declared no more, at most 3 may be");
}

#[test]
fn a_device_that_is_gone_is_forgotten_only_after_a_reading_by_id() {
    let gone = || applied("A1 1 tag=X", "", "");
    says(gone(), &[". A1 (gone)"]);
    let unread = gone().with(|case| _ = case.facts.unread.insert(RegistrationId(Uuid::from_u128(1))));
    says(unread, &["x A1 ServiceUnavailable"]);
    let desired = apgit::door::model::Desired::new(gone().tenant, gone().claims);
    let observed = apgit::door::model::Observed::new(Coverage::All, gone().devices, NOW);
    let needs = apgit::door::plan::needs(&desired, &observed, gone().facts.ledger.as_deref());
    assert_eq!(needs.read, [RegistrationId(Uuid::from_u128(1))]);
}

#[test]
fn what_is_listed_as_it_is_declared_and_not_as_it_was_left_is_read_by_id() {
    let reads = |ledger: &str, listed: &str, owned: &[Field]| {
        let mut case = applied(ledger, "A1 tag=OLD", listed);
        let ledger = Arc::make_mut(case.facts.ledger.as_mut().unwrap());
        let tracked = ledger.of(RegistrationId(Uuid::from_u128(1))).unwrap().clone();
        ledger.track(Tracked { declared: owned.to_vec(), ..tracked });
        let desired = apgit::door::model::Desired::new(case.tenant, case.claims);
        let observed = apgit::door::model::Observed::new(Coverage::All, case.devices, NOW);
        apgit::door::plan::needs(&desired, &observed, case.facts.ledger.as_deref()).read.len()
    };
    // Changed, and declared as before within the minutes that a list lags.
    assert_eq!(reads("A1 1 tag=NEW", "A1 1 tag=OLD", &[Field::GroupTag]), 1);
    assert_eq!(reads("A1 1 tag=OLD", "A1 1 tag=OLD", &[Field::GroupTag]), 0);
    assert_eq!(reads("A1 1 tag=OLD", "A1 1 tag=OLD user=a@b.example", &[Field::GroupTag]), 0, "a field of others");
}

#[test]
fn what_is_on_its_way_out_is_read_by_id_though_it_is_declared_again() {
    let again = applied("A1 1 tag=X deleting=5", "A1 tag=X", "");
    let desired = apgit::door::model::Desired::new(again.tenant, again.claims);
    let observed = apgit::door::model::Observed::new(Coverage::All, again.devices, NOW);
    let needs = apgit::door::plan::needs(&desired, &observed, again.facts.ledger.as_deref());
    assert!(needs.read.contains(&RegistrationId(Uuid::from_u128(1))), "a list blanks: {:?}", needs.read);
}

#[test]
fn what_is_declared_and_was_removed_by_others_is_held_unless_the_tenant_says_otherwise() {
    let vanished = || applied("A1 1 tag=X", "A1 tag=X", "");
    says(vanished(), &["x A1 VanishedFromTenant"]);
    let again = vanished().with(|case| case.tenant.hold_vanished = false);
    says(again, &["+ A1 attempt 1 groupTag=X"]);
    let unread = vanished().with(|case| _ = case.facts.unread.insert(RegistrationId(Uuid::from_u128(1))));
    says(unread, &["x A1 ServiceUnavailable"]);
}

#[test]
fn a_removal_under_way_is_waited_for_and_asked_for_again_when_it_is_overdue() {
    says(applied("A1 1 tag=X deleting=5", "", "A1 1 tag=X"), &["> A1 gone"]);
    says(applied("A1 1 tag=X deleting=40", "", "A1 1 tag=X"), &["- A1"]);
    says(applied("A1 1 tag=X deleting=5", "A1 tag=X", "A1 1 tag=X"), &["> A1 gone"]);
    let over = applied("A1 1 tag=X deleting=5", "", "");
    assert_eq!(over.plan().removal.gone, [DeviceKey::of(SerialNumber::parse("A1").unwrap())]);
    says(over, &[]);
    says(applied("A1 1 tag=X deleting=5", "A1 tag=X", ""), &["+ A1 attempt 1 groupTag=X"]);
    let by_journal = applied("A1 1 tag=X", "", "A1 1 tag=X")
        .with(|case| _ = case.facts.deleting.insert(RegistrationId(Uuid::from_u128(1)), NOW - MINUTE));
    says(by_journal, &["> A1 gone"]);
}

#[test]
fn what_is_there_as_declared_is_taken_note_of_before_it_can_ever_be_removed() {
    let strange = || applied("", "A1 tag=X", "A1 1 tag=X");
    says(strange(), &["= A1"]);
    says(applied("", "A1 tag=X never", "A1 1 tag=X"), &[]);
    says(applied("", "A1 tag=X suspend", "A1 1 tag=X"), &[]);
    says(strange().scoped(&["Y*"]), &[]);
    for policy in [Policy::Observe, Policy::CreateOnly] {
        says(strange().with(|case| case.tenant.policy = policy), &[]);
    }
    says(strange().with(|case| case.tenant.suspend = true), &[]);
    says(strange().with(|case| case.facts.ledger = None), &[]);
    // What our own import made is ours without a word; what we only wrote is not.
    let id = RegistrationId(Uuid::from_u128(1));
    says(strange().with(|case| _ = case.facts.owned.insert(id)), &["= A1"]);
    let made = strange().import("A1", 1, MINUTE, ImportState::Complete { registration_id: id });
    says(made.with(|case| _ = case.facts.owned.insert(id)), &[]);
    let with_change = applied("", "A1 tag=Y", "A1 1 tag=X").plan();
    assert_eq!(with_change.changes[0].notes, [Note::GroupsFollowLater, Note::Adopts]);
}

#[test]
fn a_protection_is_lifted_by_an_effect_of_its_own() {
    says(applied("A1 1 tag=X protect", "A1 tag=X", "A1 1 tag=X"), &["* A1 protect=false"]);
    // What holds it back is kept in mind by an effect, too.
    let protects = applied("A1 1 tag=X", "A1 tag=X", "A1 1 tag=X");
    says(protects.with(|case| case.claims[0].protect = true), &["= A1 protect=true"]);
    // Where nothing may be written, it is shown and held.
    let observed = applied("A1 1 tag=X", "A1 tag=X", "A1 1 tag=X").with(|case| case.claims[0].protect = true);
    says(observed.with(|case| case.tenant.policy = Policy::Observe), &["x A1 ObserveOnly"]);
    let suspended = applied("A1 1 tag=X", "A1 tag=X", "A1 1 tag=X").with(|case| case.claims[0].protect = true);
    says(suspended.with(|case| case.tenant.suspend = true), &["x A1 Suspended"]);
    let orphans = applied("A1 1 tag=X", "A1 tag=X", "A1 1 tag=X");
    says(orphans.with(|case| case.claims[0].deletion_policy = DeletionPolicy::Orphan), &["= A1 Orphan"]);
    says(applied("A1 1 tag=X orphan", "A1 tag=X", "A1 1 tag=X"), &["* A1 Delete"]);
    // What is written first is written first.
    says(applied("A1 1 tag=X protect", "A1 tag=Y", "A1 1 tag=X"), &[r#"~ A1 groupTag "X" -> "Y""#]);
}

#[test]
fn a_registration_that_moved_to_another_declaration_of_its_serial_is_no_removal() {
    let ledger = "A1 1 tag=X\nA1x 2 tag=X";
    says(applied(ledger, "A1 id=1 tag=X\nA1X tag=X", "A1 1 tag=X\nA1X 2 tag=X"), &[]);
}

#[test]
fn one_removal_of_twelve_passes_and_two_are_held_whole() {
    let lines = |count: u128| (1..=count).map(|n| format!("A{n} {n} tag=X")).collect::<Vec<_>>().join("\n");
    let cleared = |count, approvals: &Approvals| {
        let cleared = clear(applied(&lines(count), "", &lines(count)).plan(), approvals);
        (cleared.plan().changes.len(), cleared.plan().held.len())
    };
    let deletes = |n| Approvals { deletes: Some(n), ..Approvals::default() };
    assert_eq!(cleared(1, &Approvals::default()), (1, 0));
    assert_eq!(cleared(2, &Approvals::default()), (0, 2));
    assert_eq!(cleared(2, &deletes(2)), (2, 0));
    assert_eq!(cleared(2, &deletes(1)), (0, 2));
    let releases = Approvals { releases: Some(2), ..Approvals::default() };
    assert_eq!(cleared(2, &releases), (0, 2), "an approval is for its class");
}

#[test]
fn what_other_runs_removed_within_a_day_counts() {
    let mut ledger = ledger("A1 1 tag=X\nA2 2 tag=X");
    TEN.for_each(|n| ledger.track(tracked(&format!("Z{n} {n} tag=X"))));
    let key = DeviceKey::of(SerialNumber::parse("A2").unwrap());
    let after = |hours: i64| {
        let mut ledger = ledger.clone();
        ledger.forget(&key, Gone::Deregistered, "plan-0000000000cc", NOW - SignedDuration::from_hours(hours));
        let case = applied("", "", "A1 1 tag=X").with(|case| case.facts.ledger = Some(Arc::new(ledger)));
        let cleared = clear(case.plan(), &Approvals::default());
        (cleared.plan().changes.len(), cleared.plan().held.first().map(|held| held.reason))
    };
    assert_eq!(after(23), (0, Some(Reason::LimitExceeded)));
    assert_eq!(after(25), (1, None));
    assert_eq!(after(-10), (0, Some(Reason::LimitExceeded)), "a clock that went back gives no second limit");
}

#[test]
fn a_removal_that_is_asked_for_again_is_one_and_one_of_which_nothing_was_heard_counts_for_two_days() {
    let cleared = |ledger: &str| {
        let cleared = clear(applied(ledger, "", "A1 1 tag=X\nA2 2 tag=X").plan(), &Approvals::default());
        read_aloud(cleared.plan()).into_iter().filter(|line| line.contains(" A")).collect::<Vec<_>>()
    };
    assert_eq!(cleared("A1 1 tag=X deleting=40"), ["- A1", "? A2"]);
    let held = ["x A1 LimitExceeded", "x A2 LimitExceeded"];
    assert_eq!(cleared("A1 1 tag=X deleting=40\nA2 2 tag=X"), held);
    let other = |minutes| {
        let ledger = format!("A1 1 tag=X\nA2 2 protect deleting={minutes}");
        let plan = clear(applied(&ledger, "", "A1 1 tag=X\nA2 2").plan(), &Approvals::default());
        plan.plan().changes.len()
    };
    assert_eq!((other(40), other(47 * 60), other(49 * 60)), (0, 0, 1));
}

/// Whatever the worlds: nothing is removed that was not applied or is declared,
/// that is not as it was applied, protected, out of scope or in use; nothing at
/// all where the whole is not as it should be; and never more than the limit.
#[test]
fn of_thousands_of_fleets_none_loses_what_it_should_keep() {
    let (mut removed, mut refused) = (0, 0);
    for seed in 0..1500 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let case = random(&mut rng);
        let plan = case.plan();
        let declared: HashSet<String> = case.claims.iter().map(|claim| claim.serial.key().to_string()).collect();
        let ledger = case.facts.ledger.clone().unwrap();
        let mut count = 0;
        for change in &plan.changes {
            let Action::Deregister(deregister) = change.action() else { continue };
            count += 1;
            let tracked = ledger.get(&change.effect.device).unwrap_or_else(|| panic!("seed {seed}: never applied"));
            let device = case.devices.iter().find(|device| device.id == deregister.id).unwrap();
            assert!(!declared.contains(&tracked.serial_number.key().to_string()), "seed {seed}: still declared");
            assert_eq!(tracked.registration_id, deregister.id, "seed {seed}");
            assert_eq!(device.group_tag, tracked.value(Field::GroupTag), "seed {seed}");
            assert_eq!(device.user, tracked.value(Field::UserPrincipalName), "seed {seed}");
            assert!(!tracked.protect && !device.is_enrolled(), "seed {seed}");
            assert!(case.tenant.scope.contains(&device.group_tag), "seed {seed}");
            assert!(case.tenant.policy == Policy::Sync && !case.tenant.suspend, "seed {seed}");
            assert!(case.facts.no_removal.is_none() && case.coverage == Coverage::All, "seed {seed}");
            assert!(!case.claims.is_empty(), "seed {seed}");
        }
        let cleared = clear(plan, &Approvals::default());
        let removals = cleared.plan().changes.iter().filter(|c| matches!(c.action(), Action::Deregister(_)));
        let (passed, again) = removals.fold((0, 0), |(passed, again), change| {
            let is_again = ledger.get(&change.effect.device).is_some_and(|tracked| tracked.is_going(NOW));
            (passed + 1, again + usize::from(is_again))
        });
        // One that is asked for again is one.
        let within = ledger.deleted_within_a_day(NOW) + passed - again;
        let base = ledger.devices().len().max(cleared.plan().counts.managed);
        assert!(passed == 0 || within <= 10 && within <= base.div_ceil(20), "seed {seed}: {within} of {base}");
        removed += passed;
        refused += count - passed;
    }
    assert!(removed > 50 && refused > 50, "the worlds are worth playing: {removed} removed, {refused} held");
}

pub(super) fn random(rng: &mut fastrand::Rng) -> Case {
    let (mut ledger, mut claims, mut devices) = (String::new(), String::new(), String::new());
    for n in 1..rng.u128(2..90) {
        let tag = *rng.choice(&["X", "Y"]).unwrap();
        if rng.u8(..10) > 0 {
            let words = [(9, " orphan"), (9, " protect"), (1, " deleting=5"), (1, " deleting=50")];
            let words: String = words.iter().filter(|(of, _)| rng.u8(..100) < *of).map(|(_, word)| *word).collect();
            ledger.push_str(&format!("S{n} {n} tag={tag}{words}\n"));
        }
        if rng.u8(..100) < 97 {
            claims.push_str(&format!("S{n} tag={tag}\n"));
        }
        if rng.u8(..20) > 0 {
            let tag = if rng.u8(..12) == 0 { "Z" } else { tag };
            let user = if rng.u8(..15) == 0 { " user=anna.keller@contoso.com" } else { "" };
            let enrolled = if rng.u8(..8) == 0 { " enrolled" } else { "" };
            devices.push_str(&format!("S{n} {n} tag={tag}{user}{enrolled}\n"));
        }
    }
    let mut case = case(&claims, &devices);
    case.facts.owned.clear();
    case.facts.ledger = Some(Arc::new(self::ledger(&ledger)));
    if rng.u8(..10) == 0 {
        case = case.scoped(&["X"]);
    }
    if rng.u8(..10) == 0 {
        case.tenant.policy = *rng.choice(&[Policy::Observe, Policy::CreateOnly, Policy::UpsertOnly]).unwrap();
    }
    case.tenant.suspend = rng.u8(..20) == 0;
    if rng.u8(..10) == 0 {
        case.facts.no_removal = Some(NoRemoval::DirtyTree("a.yaml".to_owned()));
    }
    if rng.u8(..20) == 0 {
        case.coverage = Coverage::Only(case.devices.iter().map(|device| device.id).collect());
    }
    if rng.u8(..30) == 0 {
        case.claims.clear();
    }
    case
}

#[test]
fn a_tenant_that_lost_a_fifth_is_rather_another_one() {
    let lines = |count: u128| (1..=count).map(|n| format!("A{n} {n} tag=X")).collect::<Vec<_>>().join("\n");
    let claims = |count: u128| (1..=count).map(|n| format!("A{n} tag=X")).collect::<Vec<_>>().join("\n");
    let gone = |count| applied(&lines(count), &format!("{}\nNEW tag=X", claims(count)), "");
    let few = gone(3).says();
    assert!(few.contains(&"+ NEW attempt 1 groupTag=X".to_owned()), "{few:?}");
    assert_eq!(few.iter().filter(|line| line.ends_with("VanishedFromTenant")).count(), 3);
    let many = gone(5).with(|case| case.tenant.hold_vanished = false).says();
    assert_eq!(many.iter().filter(|line| line.ends_with("ObservedSetCollapsed")).count(), 6, "{many:?}");
    let removal = gone(5).plan().removal.not_computed;
    assert_eq!(
        removal,
        Some(NoRemoval::ObservedSetCollapsed("5 of 15 devices are not there, at most 3 may be".to_owned()))
    );
}

#[test]
fn a_wrong_registration_id_is_no_wish_that_the_device_goes() {
    let held = &["x A1 AmbiguousSerial", "x A1 RegistrationNotFound"][..];
    says(applied("A1 1 tag=X", "A1 id=77 tag=X", "A1 1 tag=X"), held);
    let other = applied("A1 1 tag=X\nA2 2 tag=X", "A1 id=2 tag=X\nA2 tag=X", "A1 1 tag=X\nA2 2 tag=X").plan();
    assert!(other.changes.iter().all(|change| !matches!(change.action(), Action::Deregister(_))));
}
