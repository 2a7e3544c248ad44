//! What is known of a device to conditions, in the one place that makes them. Pure:
//! the same facts make the same conditions, so what has not changed is not written.

use jiff::Timestamp;

use super::plans::Waits;
use crate::model::seen;
use crate::plan::{GrantStanding, Held};
use crate::resource::{Condition, ConditionStatus};
use crate::status::{DeviceStatus, Stage};

/// A message has so many characters, and says when it had more.
const MESSAGE_CHARS_MAX: usize = 1_024;

/// A condition without its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    pub type_: &'static str,
    pub status: ConditionStatus,
    pub reason: String,
    pub message: String,
}

impl Fact {
    fn new(type_: &'static str, status: ConditionStatus, reason: &str, message: &str) -> Self {
        let mut shown: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        if shown.len() < message.len() {
            shown.pop();
            shown.push('…');
        }
        Self { type_, status, reason: reason.to_owned(), message: seen(&shown).into_owned() }
    }
}

/// Where an object stands, as kstatus has it: ready, on its way, or stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Ready,
    InProgress,
    Stalled,
}

/// The three conditions that say where an object stands. Only what is true of the
/// last two is there.
fn standing(standing: Standing, reason: &str, message: &str) -> Vec<Fact> {
    use ConditionStatus::{False, True};
    let ready = if standing == Standing::Ready { True } else { False };
    let mut facts = vec![Fact::new("Ready", ready, reason, message)];
    match standing {
        Standing::Ready => {}
        Standing::InProgress => facts.push(Fact::new("Reconciling", True, reason, message)),
        Standing::Stalled => facts.push(Fact::new("Stalled", True, reason, message)),
    }
    facts
}

/// Where a device stands. `held`: what is said of it, where it is held.
#[must_use]
pub(super) fn of_device(device: &DeviceStatus, held: Option<&Held>, is_suspended: bool) -> (Standing, Vec<Fact>) {
    use ConditionStatus::{False, True, Unknown};
    let (stands, reason, message) = said(device, held);
    let mut facts = standing(stands, &reason, &message);
    let is_registered = device.registration_id.is_some() || device.stage.is_registered();
    facts.push(match is_registered {
        true => Fact::new("Registered", True, "Registered", "the tenant has a registration of it"),
        false => Fact::new("Registered", False, &reason, &message),
    });
    facts.push(match &device.stage {
        Stage::InSync => Fact::new("InSync", True, "Succeeded", "the tenant shows what is declared"),
        Stage::AwaitingValues { .. } => Fact::new("InSync", Unknown, &reason, &message),
        _ => Fact::new("InSync", False, &reason, &message),
    });
    if is_suspended {
        facts.push(Fact::new("Suspended", True, "Suspended", "`spec.suspend` is set: nothing is written"));
    }
    (stands, facts)
}

/// Where it stands, why in a word, and in a sentence.
fn said(device: &DeviceStatus, held: Option<&Held>) -> (Standing, String, String) {
    let fields = |fields: &[crate::model::Field]| fields.iter().map(|f| f.name()).collect::<Vec<_>>().join(", ");
    let on_its_way = |reason: &str, message: String| (Standing::InProgress, reason.to_owned(), message);
    match &device.stage {
        Stage::InSync => (Standing::Ready, "Succeeded".to_owned(), "registered, and as declared".to_owned()),
        Stage::ToRegister => on_its_way("Progressing", "it is to be registered".to_owned()),
        Stage::Importing => on_its_way("Importing", "its import is under way".to_owned()),
        Stage::AwaitingRegistration { since } => {
            on_its_way("AwaitingVisibility", format!("imported at {since}; the tenant does not list it yet"))
        }
        Stage::AwaitingVendor => {
            on_its_way("AwaitingVendor", "no hash is declared: its vendor registers it".to_owned())
        }
        Stage::ToUpdate { fields: of } => on_its_way("Progressing", format!("to be written: {}", fields(of))),
        Stage::AwaitingValues { since, fields: of } => {
            on_its_way("AwaitingVisibility", format!("accepted at {since}, and not shown yet: {}", fields(of)))
        }
        Stage::ToAdopt => on_its_way("Progressing", "registered by somebody else; to be adopted".to_owned()),
        Stage::AwaitingGone { since } => {
            on_its_way("AwaitingRemoval", format!("its removal was asked for at {since}, before it was declared again"))
        }
        Stage::Held { reason } => {
            let message = held.map_or_else(|| reason.text().to_owned(), why);
            (Standing::Stalled, format!("{reason:?}"), message)
        }
    }
}

/// What stands in the way, in a sentence.
#[must_use]
pub(super) fn why(held: &Held) -> String {
    match held.details.is_empty() {
        true => held.reason.text().to_owned(),
        false => format!("{}: {}", held.reason.text(), held.details.join("; ")),
    }
}

/// An object that cannot be used as it is.
#[must_use]
pub(super) fn unusable(problems: &[String]) -> Vec<Fact> {
    standing(Standing::Stalled, "InvalidDeclaration", &problems.join("; "))
}

/// A fleet, by its devices.
#[must_use]
pub(super) fn of_fleet(in_progress: i64, held: i64, declared: i64) -> Vec<Fact> {
    let said = |count: i64, what: &str| format!("{count} of {declared} devices {what}");
    match (in_progress, held) {
        (0, 0) => standing(Standing::Ready, "Succeeded", &format!("all {declared} devices are as declared")),
        (0, held) => standing(Standing::Stalled, "DevicesHeld", &said(held, "need a person")),
        (on_their_way, _) => standing(Standing::InProgress, "Progressing", &said(on_their_way, "are on their way")),
    }
}

/// A fleet whose devices are as declared, beside `count` that are declared no more
/// and could not go.
#[must_use]
pub(super) fn of_leaving(count: usize) -> Vec<Fact> {
    let message = format!("{count} devices that are declared no more need a person");
    standing(Standing::Stalled, "DevicesHeld", &message)
}

/// A tenant that is left alone, as somebody wants it.
#[must_use]
pub(super) fn suspended() -> Vec<Fact> {
    let message = "`spec.suspend` is set: nothing is written";
    let mut facts = standing(Standing::Stalled, "Suspended", message);
    facts.push(Fact::new("Suspended", ConditionStatus::True, "Suspended", message));
    facts
}

/// A tenant that could not be asked or written to. Time may heal it, or not.
#[must_use]
pub(super) fn trouble(reason: &str, message: &str, may_heal: bool) -> Vec<Fact> {
    standing(if may_heal { Standing::InProgress } else { Standing::Stalled }, reason, message)
}

/// A plan that is not carried out now.
#[must_use]
pub(super) fn waits(why: Waits, digest: &str) -> Vec<Fact> {
    let (reason, message) = match why {
        Waits::ForApproval => {
            ("ApprovalRequired", format!("it is carried out once an AutopilotPlanApproval names its digest {digest}"))
        }
        Waits::Observes => ("ObserveOnly", "the tenant's policy is `Observe`: nothing is done".to_owned()),
        Waits::Suspended => ("Suspended", "`spec.suspend` of the tenant is set: nothing is done".to_owned()),
    };
    vec![Fact::new("Ready", ConditionStatus::False, reason, &message)]
}

/// A plan that nobody waits for any more.
#[must_use]
pub(super) fn settled(is_done: bool) -> Vec<Fact> {
    let (status, reason, message) = match is_done {
        true => (ConditionStatus::True, "Succeeded", "it was carried out"),
        false => (ConditionStatus::False, "Superseded", "it is not what would be done any more"),
    };
    vec![Fact::new("Ready", status, reason, message)]
}

/// An approval, by what it is worth now.
#[must_use]
pub(super) fn of_approval(is: GrantStanding) -> Vec<Fact> {
    let (stands, reason, message) = match is {
        GrantStanding::Holds => (Standing::Ready, "Holds", "it is for the plan as it is now"),
        GrantStanding::Begun => (Standing::Ready, "Begun", "its plan was begun, and is carried on"),
        GrantStanding::Used => (Standing::Ready, "Used", "its plan was carried out: it counts no more"),
        GrantStanding::OtherPlan => (Standing::Stalled, "OtherPlan", "no plan has this digest now"),
        GrantStanding::Expired => (Standing::Stalled, "Expired", "its time is over, and it was not used"),
    };
    standing(stands, reason, message)
}

/// The facts as conditions: of one whose status is as before, the time stays.
#[must_use]
pub(super) fn conditions(
    facts: &[Fact],
    before: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |fact: &Fact| {
        let known = before.iter().find(|known| known.type_ == fact.type_ && known.status == fact.status);
        let since = known.map_or_else(|| whole_seconds(now), |known| known.last_transition_time.clone());
        Condition {
            type_: fact.type_.to_owned(),
            status: fact.status,
            reason: fact.reason.clone(),
            message: fact.message.clone(),
            last_transition_time: since,
            observed_generation: generation,
        }
    };
    facts.iter().map(condition).collect()
}

/// As Kubernetes writes times.
pub(super) fn whole_seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Origin, SerialNumber};
    use crate::plan::Reason;

    fn device(stage: Stage) -> DeviceStatus {
        let serial = SerialNumber::parse("TEST-1").expect("a serial number");
        DeviceStatus { serial, origin: Origin(0), registration_id: None, stage }
    }

    fn words(facts: &[Fact]) -> Vec<String> {
        facts.iter().map(|fact| format!("{}={:?} {}", fact.type_, fact.status, fact.reason)).collect()
    }

    #[test]
    fn one_that_is_as_declared_is_ready_and_nothing_else() {
        let (standing, facts) = of_device(&device(Stage::InSync), None, false);
        assert_eq!(standing, Standing::Ready);
        assert_eq!(words(&facts), ["Ready=True Succeeded", "Registered=True Registered", "InSync=True Succeeded"]);
    }

    #[test]
    fn one_on_its_way_reconciles_and_one_that_is_held_is_stalled_with_its_reason() {
        let (_, facts) = of_device(&device(Stage::Importing), None, false);
        assert_eq!(words(&facts)[..2], ["Ready=False Importing", "Reconciling=True Importing"]);
        let held = Stage::Held { reason: Reason::AssignedToOtherTenant };
        let (standing, facts) = of_device(&device(held), None, true);
        assert_eq!(standing, Standing::Stalled);
        assert_eq!(words(&facts)[..2], ["Ready=False AssignedToOtherTenant", "Stalled=True AssignedToOtherTenant"]);
        assert_eq!(words(&facts).last().map(String::as_str), Some("Suspended=True Suspended"));
    }

    #[test]
    fn times_move_only_when_a_status_turns() {
        let at = |s| Timestamp::from_second(s).expect("a time");
        let (_, facts) = of_device(&device(Stage::Importing), None, false);
        let first = conditions(&facts, &[], Some(1), at(100));
        assert_eq!(conditions(&facts, &first, Some(1), at(900)), first);
        let (_, facts) = of_device(&device(Stage::InSync), None, false);
        let then = conditions(&facts, &first, Some(1), at(900));
        assert_eq!(then[0].last_transition_time, "1970-01-01T00:15:00Z");
    }

    #[test]
    fn a_message_has_an_end() {
        let facts = unusable(&["ä".repeat(5_000)]);
        assert!(facts[0].message.chars().count() <= MESSAGE_CHARS_MAX && facts[0].message.ends_with('…'));
    }
}
