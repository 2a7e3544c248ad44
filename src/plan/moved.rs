//! What has changed since a plan was saved: device by device, in words that a
//! person can act on. Whether an effect is still covered is for `approved` to
//! say; here it is told why it is not.

use std::collections::{HashMap, HashSet};

use compact_str::CompactString;

use crate::model::{Action, Adopt, Claim, Deregister, Desired, Device, DeviceKey, Effect, Field, HashDigest, Origin};

use super::Plan;
use super::approved::{Approved, as_approved};
use super::held::{Held, Reason, Waiting};

/// An effect of a saved plan that cannot be done as it was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// As it was declared.
    pub device: DeviceKey,
    /// Where it was declared.
    pub origin: Origin,
    /// What stands in the way.
    pub reason: Reason,
    /// What is another thing now, one sentence each.
    pub details: Vec<String>,
}

impl Moved {
    /// The details in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        if self.details.is_empty() { self.reason.text().to_owned() } else { self.details.join("; ") }
    }
}

/// Holds a saved plan against what would be done now. What was made use of
/// already does not count, and neither does what others have done as planned.
#[must_use]
pub(crate) fn moved(saved: &Plan, approved: &Approved, now: &Plan, desired: &Desired) -> Vec<Moved> {
    let changes: HashMap<&DeviceKey, &Effect> =
        now.changes.iter().map(|change| (&change.effect.device, &change.effect)).collect();
    let held: HashMap<&DeviceKey, &Held> = now.held.iter().map(|held| (&held.device, held)).collect();
    let awaiting: HashMap<&DeviceKey, &Waiting> =
        now.awaiting.iter().map(|awaiting| (&awaiting.device, &awaiting.what)).collect();
    let declared: HashSet<DeviceKey> = desired.claims().iter().map(Claim::key).collect();
    let as_approved = as_approved(approved, desired, now);
    let of = |planned: &Effect| -> Option<(Reason, Vec<String>)> {
        let device = &planned.device;
        let changed = |details: Vec<String>| Some((Reason::ChangedMeanwhile, details));
        let one = |words: &str| changed(vec![words.to_owned()]);
        match (changes.get(device), held.get(device), awaiting.get(device)) {
            (Some(effect), _, _) => {
                let reason = approved.refuses(effect, &now.tenant)?;
                Some((reason, differences(&Sight::of(planned), &Sight::of(effect))))
            }
            (None, Some(held), _) => {
                let mut details = held.details.clone();
                // Several registrations, or a reading that says nothing, are not "gone".
                let is_seen = held.before.is_some() || held.reason == Reason::ChangedMeanwhile;
                if is_seen || matches!(planned.action, Action::Register(_)) {
                    details.extend(differences(&Sight::of(planned), &Sight::held(held)));
                }
                Some((held.reason, details))
            }
            (None, None, Some(Waiting::Vendor)) => match &planned.action {
                Action::Register(_) => one("no hardware hash is declared for it any more"),
                _ => one("its registration is gone"),
            },
            // We have written it ourselves, a moment ago.
            (None, None, Some(Waiting::Registration { .. } | Waiting::Values { .. } | Waiting::Gone { .. })) => None,
            (None, None, None) if as_approved.contains(device) => None,
            (None, None, None) if is_removal(&planned.action) && declared.contains(device) => {
                one("it is declared again")
            }
            (None, None, None) if is_removal(&planned.action) => match &now.removal.not_computed {
                Some(why) => one(&why.text()),
                None => one("it is no longer among what was applied before"),
            },
            (None, None, None) if declared.contains(device) => one("it is declared in another way now"),
            (None, None, None) => one("it is not declared any more"),
        }
    };
    let open = saved.changes.iter().filter(|change| approved.is_unused(&change.effect.device));
    let told = open.filter_map(|change| {
        let (reason, details) = of(&change.effect)?;
        Some(Moved { device: change.effect.device.clone(), origin: change.origin, reason, details })
    });
    told.collect()
}

fn is_removal(action: &Action) -> bool {
    matches!(action, Action::Deregister(_) | Action::Release(_))
}

/// What an effect writes, and onto what.
struct Sight<'e> {
    before: Option<&'e Device>,
    after: Vec<(Field, &'e CompactString)>,
    hash: Option<HashDigest>,
}

impl<'e> Sight<'e> {
    fn of(effect: &'e Effect) -> Self {
        match &effect.action {
            Action::Register(register) => {
                let after = register.values.iter().map(|(field, value)| (*field, value)).collect();
                Self { before: None, after, hash: Some(register.digest) }
            }
            Action::Update(update) => {
                let after = update.fields.iter().map(|change| (change.field, &change.after)).collect();
                Self { before: Some(&update.before), after, hash: None }
            }
            Action::Deregister(Deregister { before, .. }) | Action::Adopt(Adopt { before, .. }) => {
                Self { before: Some(before), after: Vec::new(), hash: None }
            }
            Action::Release(_) | Action::Keep(_) => Self { before: None, after: Vec::new(), hash: None },
        }
    }

    fn held(held: &'e Held) -> Self {
        let after = held.fields.iter().map(|change| (change.field, &change.after)).collect();
        Self { before: held.before.as_deref(), after, hash: held.hash }
    }

    fn after(&self, field: Field) -> Option<&'e CompactString> {
        self.after.iter().find(|(of, _)| *of == field).map(|(_, value)| *value)
    }
}

/// What is another thing than it was planned on, or with: the tenant first,
/// then the declaration.
fn differences(planned: &Sight<'_>, now: &Sight<'_>) -> Vec<String> {
    let mut told = Vec::new();
    match (planned.before, now.before) {
        (None, None) => {}
        (Some(_), None) => return vec!["its registration is gone".to_owned()],
        (None, Some(_)) => return vec!["it is registered by now".to_owned()],
        (Some(was), Some(is)) => {
            if was.id != is.id {
                told.push(format!("it is another registration, {} and not {}", is.id, was.id));
            }
            for field in Field::ALL.into_iter().filter(|field| !field.same(field.of(is), field.of(was))) {
                let (was, is) = (shown(field.of(was)), shown(field.of(is)));
                told.push(format!("{} was {was}, is {is}", field.label()));
            }
            match (was.is_enrolled(), is.is_enrolled()) {
                (false, true) => told.push("it has been enrolled".to_owned()),
                (true, false) => told.push("it is enrolled no more".to_owned()),
                (false, false) | (true, true) => {}
            }
        }
    }
    for field in Field::ALL {
        let is_there = |value: &str| now.before.is_some_and(|device| field.same(field.of(device), value));
        match (planned.after(field), now.after(field)) {
            (Some(planned), Some(now)) if planned != now => {
                told.push(format!("{} was to be {}, is declared as {}", field.label(), shown(planned), shown(now)));
            }
            (Some(planned), None) if !is_there(planned) => {
                told.push(format!("{} was to be {}, and is not any more", field.label(), shown(planned)));
            }
            (None, Some(now)) if planned.before.is_none_or(|was| !field.same(field.of(was), now)) => {
                told.push(format!("{} is declared as {}, and was not planned", field.label(), shown(now)));
            }
            _ => {}
        }
    }
    if let (Some(planned), Some(now)) = (planned.hash, now.hash)
        && planned != now
    {
        told.push(format!("its hardware hash is {}, planned was {}", now.short(), planned.short()));
    }
    told
}

fn shown(value: &str) -> String {
    if value.is_empty() { "empty".to_owned() } else { format!("\"{value}\"") }
}
