//! Canaries: of the devices that get a group tag a few go first, and the others
//! when those have come far enough. Tag by tag, by what is declared, observed and
//! under way.

use std::collections::{HashMap, HashSet};

use compact_str::CompactString;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::{Canary, Ledger, SentTag, SentTo};
use crate::model::{
    Action, Claim, Coverage, Desired, Device, DeviceKey, Field, ImportState, Milestone, Observed, RegistrationId,
    Rollout, SerialKey, later, tag_words,
};

use super::Plan;
use super::change::Change;
use super::facts::{Facts, REFUSED_FOR, UPDATED_WITHIN, VISIBLE_WITHIN};
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
    /// Those of all three, as long as there is room for another one.
    seen: Vec<SerialKey>,
}

impl Stand {
    fn all(&self) -> usize {
        self.proven + self.under_way + self.failed
    }
}

/// Of a group tag that is not proven: how many more devices of it could go when the
/// plan was made. By that a saved plan is judged once others have gone since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canaries {
    /// Which one; `""` is none.
    pub tag: CompactString,
    /// So many more could go.
    pub room: usize,
    /// Devices that had their place already.
    pub seen: Vec<SerialKey>,
}

/// How many devices of a group tag have to wait though a saved plan has them, and why.
pub(crate) type Waits = HashMap<CompactString, (usize, String)>;

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
    /// saved plan touches was read: its canaries were chosen when it was made, and
    /// [`waits`] says who has gone since.
    pub(super) fn of(desired: &Desired, observed: &Observed, facts: &'a Facts) -> Option<Self> {
        let rollout = desired.tenant.rollout.filter(|_| !facts.tails_first)?;
        let covers_all = *observed.coverage() == Coverage::All;
        let (tags, seen) = (HashMap::new(), HashSet::new());
        covers_all.then_some(Self { rollout, profiles: &facts.profiles, tags, seen })
    }

    /// Counts a declared device in, by what would be done to it.
    pub(super) fn count(&mut self, claim: &Claim, matches: &[&Device], verdict: &Verdict) {
        let (tag, serial) = (claim.group_tag.text(), claim.serial.key());
        match (matches, verdict) {
            ([device], _) if tag.is_none_or(|tag| device.group_tag == tag) => self.count_device(device),
            ([_], Verdict::Awaiting(awaiting)) if matches!(awaiting.what, Waiting::Values { .. }) => {
                self.stand(tag, serial).under_way += 1;
            }
            ([], Verdict::Awaiting(awaiting)) if matches!(awaiting.what, Waiting::Registration { .. }) => {
                self.stand(tag, serial).under_way += 1;
            }
            ([], Verdict::Change(change)) if is_running(change) => self.stand(tag, serial).under_way += 1,
            ([], Verdict::Held(held)) if has_failed(held) => self.stand(tag, serial).failed += 1,
            _ => {}
        }
    }

    /// Counts a device that is declared, also where that is known from what was
    /// applied alone.
    pub(super) fn count_device(&mut self, device: &Device) {
        if !self.seen.insert(device.id) {
            return;
        }
        let is_proven = self.is_proven(device);
        let stand = self.stand(Some(&device.group_tag), device.key());
        *if is_proven { &mut stand.proven } else { &mut stand.under_way } += 1;
    }

    /// Counts a registration that is not declared here and was applied. Where all that
    /// is declared was read, it is on its way out: it proves nothing, and as long as
    /// nothing is proven by it, it has its place still.
    pub(super) fn count_undeclared(&mut self, device: &Device, is_whole: bool) {
        if !is_whole || !self.is_proven(device) {
            self.count_device(device);
        }
    }

    /// Counts in what was sent to devices that are not declared here: they are shown by
    /// no listing yet, or the run that registered them broke off before it could say so.
    pub(super) fn count_sent(&mut self, desired: &Desired, observed: &Observed, facts: &Facts) {
        let is_whole = is_whole(desired, facts);
        let ours = facts.ledger.iter().flat_map(|ledger| ledger.sent_tags());
        let mut sent: Vec<SentTag> = facts.sent.iter().cloned().chain(ours).collect();
        if sent.is_empty() {
            return;
        }
        // The last word on a device counts.
        sent.sort_by_key(|of| std::cmp::Reverse(of.at));
        let mut known: HashSet<SerialKey> = desired.claims().iter().map(|claim| claim.serial.key()).collect();
        let mut there: HashMap<SerialKey, Vec<&Device>> = HashMap::new();
        let mut serials: HashMap<RegistrationId, SerialKey> = HashMap::new();
        for device in observed.devices() {
            there.entry(device.key()).or_default().push(device);
            serials.insert(device.id, device.key());
        }
        for SentTag { to, tag, at } in sent {
            let (serial, import) = match &to {
                SentTo::Import(import, serial) => (Some(serial.clone()), Some(import)),
                SentTo::Registration(id) => (serials.get(id).cloned(), None),
            };
            let Some(serial) = serial.filter(|serial| known.insert(serial.clone())) else { continue };
            let devices = there.get(&serial).map_or(&[][..], Vec::as_slice);
            let is_of = |device: &&&Device| match &to {
                SentTo::Import(..) => true,
                SentTo::Registration(id) => device.id == *id,
            };
            let fact = import.and_then(|import| facts.imports.get(import)).map(|fact| (&fact.state, fact.at));
            // It was let go since.
            if matches!(fact, Some((ImportState::Complete { registration_id }, _)) if !facts.owned.contains(registration_id))
            {
                continue;
            }
            let is_within = |since: Timestamp, span| facts.now < later(since, span);
            let is_under_way = match (devices.iter().find(is_of), import, fact) {
                (Some(device), ..) if device.group_tag == tag => {
                    self.count_undeclared(device, is_whole);
                    continue;
                }
                // A list lags.
                (Some(_), None, _) => is_within(at, UPDATED_WITHIN),
                (Some(_), Some(_), _) | (None, None, _) => false,
                (None, _, Some((ImportState::Unsent | ImportState::Running, _))) => true,
                (None, _, Some((ImportState::Complete { .. } | ImportState::Removed, at))) => {
                    is_within(at, VISIBLE_WITHIN)
                }
                // Another machine has set out to send it, and knows how it ended.
                (None, _, None) => is_within(at, REFUSED_FOR),
                (None, _, Some((ImportState::Error { .. } | ImportState::Refused { .. }, at))) => {
                    // One that is declared is tried again before another one goes.
                    let is_unknown = !is_whole && !desired.is_part();
                    let is_declared = desired.declares_outside(&serial) || is_unknown && is_within(at, REFUSED_FOR);
                    if is_declared {
                        self.stand(Some(&tag), serial).failed += 1;
                    }
                    continue;
                }
            };
            if is_under_way {
                self.stand(Some(&tag), serial).under_way += 1;
            }
        }
    }

    fn is_proven(&self, device: &Device) -> bool {
        match self.rollout.wait_for {
            Milestone::Registered => true,
            Milestone::ProfileAssigned => self.profiles.contains(&device.id),
            Milestone::Enrolled => device.is_enrolled(),
        }
    }

    /// Where a tag stands, with another device of it.
    fn stand(&mut self, tag: Option<&str>, serial: SerialKey) -> &mut Stand {
        let stand = self.tags.entry(tag.unwrap_or_default().into()).or_default();
        if stand.seen.len() < self.rollout.canary as usize {
            stand.seen.push(serial);
        }
        stand
    }

    /// Takes out of the changes what has to wait: of each tag that is not proven all
    /// but the first. Says of which tags that are not proven some go.
    pub(super) fn hold_back(mut self, changes: Vec<Change>) -> (Vec<Change>, Vec<Held>, Vec<Canaries>) {
        let (canary, enough) = (self.rollout.canary as usize, self.rollout.enough() as usize);
        let (mut waits, mut canaries) = (Waits::new(), Vec::new());
        for (tag, comers) in comers(&changes) {
            let stand = self.tags.remove(&tag).unwrap_or_default();
            let Stand { proven, under_way, failed, .. } = stand;
            if proven >= enough {
                continue;
            }
            let room = canary.saturating_sub(stand.all());
            let go = room.min(comers);
            let (of, milestone, awaited) = (tag_words(&tag), self.rollout.wait_for.name(), under_way + go);
            let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
            let words =
                format!("{of}: {proven} of {enough} devices have come to {milestone}, {awaited} awaited{failed}");
            if go > 0 {
                canaries.push(Canaries { tag: tag.clone(), room, seen: stand.seen });
            }
            waits.insert(tag, (comers - go, words));
        }
        canaries.sort_by(|one, other| one.tag.cmp(&other.tag));
        let (changes, held) = hold_back(&waits, changes);
        (changes, held, canaries)
    }
}

/// How many devices would get each tag.
fn comers(changes: &[Change]) -> HashMap<CompactString, usize> {
    let mut comers = HashMap::new();
    changes.iter().filter_map(comes_to).for_each(|(tag, _)| *comers.entry(tag).or_default() += 1);
    comers
}

/// Takes out of the changes what has to wait: of each tag the last so many, by
/// serial number. One that was tried before goes before one that was not.
pub(super) fn hold_back(waits: &Waits, changes: Vec<Change>) -> (Vec<Change>, Vec<Held>) {
    let mut of_tags: HashMap<CompactString, Vec<(bool, SerialKey, DeviceKey)>> = HashMap::new();
    for change in &changes {
        if let Some((tag, is_first)) = comes_to(change).filter(|(tag, _)| waits.contains_key(tag)) {
            let place = (is_first, change.serial().key(), change.effect.device.clone());
            of_tags.entry(tag).or_default().push(place);
        }
    }
    let mut why: HashMap<DeviceKey, &String> = HashMap::new();
    for (tag, mut comers) in of_tags {
        let (wait, words) = &waits[&tag];
        comers.sort_unstable();
        why.extend(comers.into_iter().rev().take(*wait).map(|(_, _, device)| (device, words)));
    }
    let (held, changes): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|change| why.contains_key(&change.effect.device));
    let held = held.into_iter().map(|change| {
        let words = why.get(&change.effect.device).map(|words| (*words).clone());
        hold(change, Reason::AwaitingCanary, words.into_iter().collect())
    });
    (changes, held.collect())
}

/// Of a saved plan: how many devices of each tag have to wait since others have gone
/// in their places, by the ledger and by what we have sent. Whether those are proven
/// by now is not asked: a new plan knows.
#[must_use]
pub(crate) fn waits(saved: &Plan, rollout: Option<Rollout>, ledger: Option<&Ledger>, sent: &[SentTag]) -> Waits {
    let Some(rollout) = rollout else { return Waits::new() };
    let all = comers(&saved.changes);
    if saved.tenant.rollout != Some(rollout) {
        let words =
            |tag: &CompactString| format!("{}: another `rollout` holds since the plan was made", tag_words(tag));
        return all.into_iter().map(|(tag, go)| (tag.clone(), (go, words(&tag)))).collect();
    }
    let own: HashSet<SerialKey> = saved.changes.iter().map(|change| change.serial().key()).collect();
    let own_ids: HashSet<RegistrationId> =
        saved.changes.iter().filter_map(|change| change.action().registration()).collect();
    let is_since = |at: Timestamp| at >= saved.observed_at;
    let elsewhere: Vec<SentTag> = ledger.into_iter().flat_map(Ledger::sent_tags).collect();
    let mut waits = Waits::new();
    for Canaries { tag, room, seen } in &saved.canaries {
        let applied = ledger.into_iter().flat_map(Ledger::devices);
        let applied = applied.filter(|of| is_since(of.at) && of.value(Field::GroupTag) == tag.as_str());
        let mut gone: HashSet<SerialKey> = applied.map(|of| of.serial_number.key()).collect();
        let mut unknown = 0;
        for SentTag { to, .. } in sent.iter().chain(&elsewhere).filter(|of| is_since(of.at) && of.tag == *tag) {
            match to {
                SentTo::Import(_, serial) => _ = gone.insert(serial.clone()),
                SentTo::Registration(id) => match ledger.and_then(|ledger| ledger.of(*id)) {
                    Some(tracked) => _ = gone.insert(tracked.serial_number.key()),
                    None => unknown += usize::from(!own_ids.contains(id)),
                },
            }
        }
        let others = unknown + gone.iter().filter(|serial| !own.contains(serial) && !seen.contains(serial)).count();
        let go = all.get(tag).copied().unwrap_or_default();
        let wait = (go + others).saturating_sub(*room);
        if wait > 0 {
            let words =
                format!("{}: {others} of the {room} that could go first have gone with other plans", tag_words(tag));
            waits.insert(tag.clone(), (wait, words));
        }
    }
    waits
}

/// What a plan sends to few enough devices of a tag to be its canaries: others have to
/// know of them, whatever becomes of the run.
#[must_use]
pub(crate) fn going(plan: &Plan, now: Timestamp) -> Vec<Canary> {
    let Some(rollout) = plan.tenant.rollout else { return Vec::new() };
    let all = comers(&plan.changes);
    let going = |change: &Change| {
        let (group_tag, _) = comes_to(change).filter(|(tag, _)| all[tag] <= rollout.canary as usize)?;
        let (registration_id, import_id) = match change.action() {
            Action::Register(register) => (None, Some(register.import_id)),
            action => (action.registration(), None),
        };
        let serial_number = change.serial().clone();
        Some(Canary { serial_number, registration_id, import_id, group_tag, at: now })
    };
    plan.changes.iter().filter_map(going).collect()
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

/// True for a registration that is not declared here and is ours all the same: it was
/// applied, or is declared outside of a part. Whoever names fewer paths has no part,
/// and knows of no other device either.
pub(super) fn counts_undeclared(desired: &Desired, ledger: Option<&Ledger>, device: &Device) -> bool {
    ledger.is_some_and(|ledger| ledger.of(device.id).is_some()) || desired.declares_outside(&device.key())
}

/// True if all that is declared was read: what is not among it is declared no more.
pub(super) fn is_whole(desired: &Desired, facts: &Facts) -> bool {
    !desired.is_part() && facts.no_removal.is_none()
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
