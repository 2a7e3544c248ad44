//! Canaries: of the devices that get a group tag a few go first, and the others
//! when those have come far enough. Tag by tag, by what is declared, observed and
//! under way.

use std::collections::{HashMap, HashSet};

use compact_str::CompactString;

use crate::ledger::Ledger;
use crate::model::{
    Action, Claim, Coverage, Desired, Device, DeviceKey, Field, Milestone, Observed, RegistrationId, Rollout,
    SerialKey, tag_words,
};

use super::change::Change;
use super::facts::Facts;
use super::guard::hold;
use super::held::{Held, Reason, Waiting};
use super::verdict::{Met, Verdict, walk};

/// Where the declared devices of one tag stand.
#[derive(Default)]
struct Stand {
    /// They have come far enough.
    proven: usize,
    /// They have the tag, or an import of ours is about to give it to them.
    under_way: usize,
    /// They were sent, and came to nothing.
    failed: usize,
}

/// Counts the devices of each tag, claim by claim.
pub(super) struct Census<'a> {
    rollout: Rollout,
    profiles: &'a HashSet<RegistrationId>,
    tags: HashMap<CompactString, Stand>,
    /// Registrations that count already.
    seen: HashSet<RegistrationId>,
}

impl<'a> Census<'a> {
    /// None where there is nothing to hold back: no rollout is declared; in a
    /// repeated round, which does no more than the first; and where only what a
    /// saved plan touches was read: its canaries were chosen when it was made.
    pub(super) fn of(desired: &Desired, observed: &Observed, facts: &'a Facts) -> Option<Self> {
        let rollout = desired.tenant.rollout.filter(|_| !facts.tails_first)?;
        let covers_all = *observed.coverage() == Coverage::All;
        let (tags, seen) = (HashMap::new(), HashSet::new());
        covers_all.then_some(Self { rollout, profiles: &facts.profiles, tags, seen })
    }

    /// Counts a declared device in, by what would be done to it.
    pub(super) fn count(&mut self, claim: &Claim, matches: &[&Device], verdict: &Verdict) {
        let tag = claim.group_tag.text();
        match (matches, verdict) {
            ([device], _) if tag.is_none_or(|tag| device.group_tag == tag) => self.count_device(device),
            ([_], Verdict::Awaiting(awaiting)) if matches!(awaiting.what, Waiting::Values { .. }) => {
                self.stand(tag).under_way += 1;
            }
            ([], Verdict::Awaiting(awaiting)) if matches!(awaiting.what, Waiting::Registration { .. }) => {
                self.stand(tag).under_way += 1;
            }
            ([], Verdict::Change(change)) if is_running(change) => self.stand(tag).under_way += 1,
            ([], Verdict::Held(held)) if has_failed(held) => self.stand(tag).failed += 1,
            _ => {}
        }
    }

    /// Counts a device that is declared, also where that is known from what was
    /// applied alone.
    pub(super) fn count_device(&mut self, device: &Device) {
        if !self.seen.insert(device.id) {
            return;
        }
        let is_proven = match self.rollout.wait_for {
            Milestone::Registered => true,
            Milestone::ProfileAssigned => self.profiles.contains(&device.id),
            Milestone::Enrolled => device.is_enrolled(),
        };
        let stand = self.stand(Some(&device.group_tag));
        *if is_proven { &mut stand.proven } else { &mut stand.under_way } += 1;
    }

    fn stand(&mut self, tag: Option<&str>) -> &mut Stand {
        self.tags.entry(tag.unwrap_or_default().into()).or_default()
    }

    /// Takes out of the changes what has to wait: of each tag that is not proven all
    /// but the first, by serial number. One that was tried before goes before one
    /// that was not.
    pub(super) fn hold_back(mut self, changes: Vec<Change>) -> (Vec<Change>, Vec<Held>) {
        let mut of_tags: HashMap<CompactString, Vec<(bool, SerialKey, DeviceKey)>> = HashMap::new();
        for change in &changes {
            if let Some((tag, is_first)) = comes_to(change) {
                let place = (is_first, change.serial().key(), change.effect.device.clone());
                of_tags.entry(tag).or_default().push(place);
            }
        }
        let mut waits: HashMap<DeviceKey, String> = HashMap::new();
        let (canary, enough) = (self.rollout.canary as usize, self.rollout.enough() as usize);
        for (tag, mut comers) in of_tags {
            let Stand { proven, under_way, failed } = *self.stand(Some(&tag));
            if proven >= enough {
                continue;
            }
            let room = canary.saturating_sub(proven + under_way + failed);
            comers.sort_unstable();
            let go = room.min(comers.len());
            let (of, milestone, awaited) = (tag_words(&tag), self.rollout.wait_for.name(), under_way + go);
            let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
            let words =
                format!("{of}: {proven} of {enough} devices have come to {milestone}, {awaited} awaited{failed}");
            waits.extend(comers.into_iter().skip(go).map(|(_, _, device)| (device, words.clone())));
        }
        let (held, changes): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| waits.contains_key(&change.effect.device));
        let held = held.into_iter().map(|change| {
            let words = waits.get(&change.effect.device).cloned();
            hold(change, Reason::AwaitingCanary, words.into_iter().collect())
        });
        (changes, held.collect())
    }
}

/// The tag that a device would get, and whether it was not tried before.
fn comes_to(change: &Change) -> Option<(CompactString, bool)> {
    match change.action() {
        Action::Register(register) if register.running => None,
        Action::Register(register) => {
            let tag = register.value(Field::GroupTag).cloned().unwrap_or_default();
            Some((tag, register.attempt == 1))
        }
        Action::Update(update) => {
            let tag = update.fields.iter().find(|change| change.field == Field::GroupTag)?;
            Some((tag.after.clone(), true))
        }
        Action::Deregister(_) | Action::Release(_) | Action::Adopt(_) | Action::Keep(_) => None,
    }
}

fn is_running(change: &Change) -> bool {
    matches!(change.action(), Action::Register(register) if register.running)
}

/// True for a device that was sent once and is not there: who remembers a refusal
/// has its date.
fn has_failed(held: &Held) -> bool {
    held.since.is_some() || held.reason == Reason::VanishedFromTenant
}

/// True for a registration that is declared outside of a part, as far as anybody
/// knows: what was applied.
pub(super) fn counts_undeclared(desired: &Desired, ledger: Option<&Ledger>, device: &Device) -> bool {
    desired.is_part() && ledger.is_some_and(|ledger| ledger.of(device.id).is_some())
}

/// Registrations of which a rollout has to know whether they have a profile: tag
/// by tag, where another device is about to get the tag.
#[must_use]
pub(crate) fn to_prove(desired: &Desired, observed: &Observed, ledger: Option<&Ledger>) -> Vec<Vec<RegistrationId>> {
    let is_asked = |rollout: &Rollout| rollout.wait_for == Milestone::ProfileAssigned;
    if !desired.tenant.rollout.as_ref().is_some_and(is_asked) || *observed.coverage() != Coverage::All {
        return Vec::new();
    }
    let (mut there, mut wanted) = (HashMap::<CompactString, Vec<RegistrationId>>::new(), HashSet::new());
    walk(desired, observed, |met| {
        let (tag, device) = match met {
            Met::Claim { claim, matches, .. } => match matches.as_slice() {
                [device] => (claim.group_tag.text(), Some(*device)),
                // Nobody knows which of several it is.
                _ => (claim.group_tag.text(), None),
            },
            Met::Unclaimed(device) if counts_undeclared(desired, ledger, device) => (None, Some(device)),
            // A stranger's is no canary of ours.
            Met::Unclaimed(_) => return,
        };
        match device {
            Some(device) if tag.is_none_or(|tag| device.group_tag == tag) => {
                there.entry(device.group_tag.clone()).or_default().push(device.id);
            }
            _ => _ = wanted.insert(CompactString::from(tag.unwrap_or_default())),
        }
    });
    let mut there: Vec<_> = there.into_iter().filter(|(tag, _)| wanted.contains(tag)).collect();
    there.sort_unstable();
    there.into_iter().map(|(_, ids)| ids).collect()
}
