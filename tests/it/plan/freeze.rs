//! What a freeze holds, and what it lets through.

use std::sync::Arc;

use apgit::door::model::{Freeze, Guards, WeekTime, Window, Zone};
use apgit::door::plan::guard::clear;
use apgit::door::plan::{Approvals, Plan, Reason, SyncReason};
use jiff::{SignedDuration, Timestamp};

use super::{Case, MINUTE, NOW, case, read_aloud};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn once(name: &str, from: Timestamp, until: Timestamp) -> Freeze {
    Freeze { name: name.to_owned(), reason: "the shop is full".to_owned(), window: Window::Once { from, until } }
}

fn approving(names: &[&str]) -> Approvals {
    Approvals { freezes: names.iter().map(|name| (*name).to_owned()).collect(), ..Approvals::default() }
}

fn cleared(case: &Case, approvals: &Approvals) -> Plan {
    clear(case.plan(), approvals).plan().clone()
}

impl Case {
    fn frozen(mut self, freezes: impl IntoIterator<Item = Freeze>) -> Self {
        self.tenant.freezes = freezes.into_iter().collect();
        self
    }
}

/// One to register, one to update, and a sync that is owed.
fn work() -> Case {
    let mut case = case("A1 tag=OSL\nA2 tag=OSL\nA3", "A2 2\nA3 3");
    case.facts.unsynced = Some(NOW);
    case
}

#[test]
fn a_freeze_holds_every_change_and_the_sync_and_says_until_when() {
    let plan = cleared(&work().frozen([once("advent", NOW, NOW + HOUR)]), &Approvals::default());
    assert_eq!(read_aloud(&plan), ["x A1 Frozen", "x A2 Frozen", "1 unchanged"]);
    assert!(plan.upkeep.is_empty() && !plan.writes() && plan.is_frozen());
    assert_eq!(plan.held[0].details, [format!("`advent` until {}: the shop is full", NOW + HOUR)]);
    assert_eq!(plan.held[0].fields.len(), 1, "what would be written is still shown");
}

#[test]
fn the_weekend_that_was_approved_in_a_saved_plan_is_not_the_next_one() {
    let time = |text| WeekTime::parse(text).unwrap();
    let window =
        Window::Weekly { from: time("Fri 16:00"), until: time("Mon 06:00"), zone: Zone::named("UTC").unwrap() };
    let weekend = Freeze { name: "weekend".to_owned(), reason: "nobody is here".to_owned(), window };
    let tenant = work().frozen([weekend]).tenant;
    // It is Thursday.
    let approvals = approving(&["weekend"]).meant_now(&tenant, NOW);
    let let_through = |at: Timestamp| tenant.frozen(at).iter().all(|on| approvals.lets_through(on));
    let saturday = NOW + SignedDuration::from_hours(48);
    assert!(let_through(saturday) && !tenant.frozen(saturday).is_empty());
    assert!(!let_through(saturday + SignedDuration::from_hours(7 * 24)));
    let (next, _) = tenant.next_freeze(|on| approvals.lets_through(on), NOW).expect("the next weekend");
    assert!(next > saturday + SignedDuration::from_hours(4 * 24), "{next}");
    let by_name = approving(&["weekend"]);
    assert_eq!(tenant.next_freeze(|on| by_name.lets_through(on), NOW), None);
    assert_eq!(approving(&[]).meant_now(&tenant, NOW), approving(&[]));
}

#[test]
fn before_it_begins_and_from_its_end_on_nothing_is_held() {
    for (from, until) in [(NOW + MINUTE, NOW + HOUR), (NOW - HOUR, NOW)] {
        let plan = cleared(&work().frozen([once("advent", from, until)]), &Approvals::default());
        assert_eq!(plan.changes.len(), 2);
        assert!(plan.frozen.is_empty() && matches!(plan.upkeep.sync, Some(SyncReason::Owed { .. })));
    }
}

#[test]
fn a_weekly_freeze_follows_the_clocks_of_its_place() {
    // Thursday, 2026-05-28 20:26:40Z: Thursday evening in Oslo, Friday in Tokyo.
    let weekly = |from: &str, until: &str, zone: &str| {
        let time = |text| WeekTime::parse(text).unwrap();
        let window = Window::Weekly { from: time(from), until: time(until), zone: Zone::named(zone).unwrap() };
        let freeze = Freeze { name: "weekend".to_owned(), reason: "nobody is there".to_owned(), window };
        cleared(&work().frozen([freeze]), &Approvals::default()).frozen.first().map(|frozen| frozen.until.to_string())
    };
    assert_eq!(weekly("Thu 22:00", "Mon 06:00", "Europe/Oslo").as_deref(), Some("2026-06-01T04:00:00Z"));
    assert_eq!(weekly("Thu 23:00", "Mon 06:00", "Europe/Oslo"), None);
    assert_eq!(weekly("Fri 00:00", "Mon 06:00", "Asia/Tokyo").as_deref(), Some("2026-05-31T21:00:00Z"));
    assert_eq!(weekly("Fri 00:00", "Mon 06:00", "UTC"), None);
}

#[test]
fn an_approval_lets_through_the_freeze_that_it_names_and_no_other() {
    let two = [once("advent", NOW, NOW + HOUR), once("move", NOW, NOW + MINUTE)];
    let case = work().frozen(two);
    assert_eq!(cleared(&case, &approving(&["advent"])).held.len(), 2);
    assert_eq!(cleared(&case, &approving(&["advent"])).held[0].details.len(), 1, "only the other one is in the way");
    let plan = cleared(&case, &approving(&["advent", "move"]));
    assert_eq!(read_aloud(&plan).len(), 3);
    assert!(plan.held.is_empty() && plan.upkeep.sync.is_some() && plan.frozen.iter().all(|frozen| frozen.approved));
}

#[test]
fn a_limit_is_told_before_a_freeze() {
    let lines: Vec<String> = (0..7).map(|number| format!("A{number} tag=X")).collect();
    let devices: Vec<String> = (0..7).map(|number| format!("A{number} {}", number + 1)).collect();
    let case = case(&lines.join("\n"), &devices.join("\n")).frozen([once("advent", NOW, NOW + HOUR)]);
    let plan = cleared(&case, &Approvals::default());
    assert!(plan.held.iter().all(|held| held.reason == Reason::LimitExceeded), "{:?}", read_aloud(&plan));
    let plan = cleared(&case, &Approvals { updates: Some(7), ..Approvals::default() });
    assert!(plan.held.iter().all(|held| held.reason == Reason::Frozen) && plan.held.len() == 7);
}

#[test]
fn a_freeze_that_is_declared_no_more_or_shorter_holds_for_this_plan() {
    let mut tenant = work().tenant;
    tenant.freezes = vec![once("advent", NOW - HOUR, NOW + HOUR)];
    let applied = Guards::of(&tenant);
    let told = |freezes: Vec<Freeze>| {
        let mut case = work().frozen(freezes);
        let (strict, loosens) = applied.tighten(&case.tenant);
        (case.tenant, case.facts.loosens) = (strict, loosens);
        let plan = cleared(&case, &Approvals::default());
        let loosens: Vec<String> = plan.loosens.iter().map(|of| format!("{} {}", of.what, of.to)).collect();
        (plan.is_frozen(), loosens.join(", "))
    };
    assert_eq!(told(vec![]), (true, "freezes.advent none".to_owned()));
    let (frozen, loosens) = told(vec![once("advent", NOW - HOUR, NOW)]);
    assert!(frozen && loosens.starts_with("freezes.advent 20"), "{loosens}");
    // Longer, or under another name: nothing is loosened.
    assert_eq!(told(vec![once("winter", NOW - HOUR, NOW + HOUR * 2)]), (true, String::new()));
}

#[test]
fn a_freeze_that_is_over_was_lifted_by_nobody() {
    let mut tenant = work().tenant;
    tenant.freezes = vec![once("advent", NOW - HOUR, NOW)];
    let mut case = work();
    (case.tenant, case.facts.loosens) = Guards::of(&tenant).tighten(&case.tenant);
    let plan = cleared(&case, &Approvals::default());
    assert!(plan.loosens.is_empty() && plan.changes.len() == 2);
}

#[test]
fn what_only_the_ledger_hears_of_goes_on() {
    let mut case = case("A1 tag=OSL\nA2 tag=OSL", "A1 1 tag=OSL foreign");
    case.facts.ledger = Some(Arc::new(super::removal::ledger("")));
    let plan = cleared(&case.frozen([once("advent", NOW, NOW + SignedDuration::from_secs(1))]), &Approvals::default());
    assert_eq!(read_aloud(&plan), ["= A1", "x A2 Frozen"]);
}
