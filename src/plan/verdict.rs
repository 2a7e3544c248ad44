//! The loop over devices: what is wanted against what is there.

use std::collections::{HashMap, HashSet};

use compact_str::CompactString;
use jiff::Timestamp;

use crate::hash::{IdentityKey, KeyKind, sharing};
use crate::ledger::{Hardware, ImportFact, Ledger, PendingUpdate, Tail, Tracked};
use crate::model::{
    Action, Adopt, AdoptionPolicy, Claim, Coverage, Desired, Device, DeviceKey, Effect, Field, FieldChange, HashDigest,
    ImportId, ImportState, Keep, Loosen, Observed, Policy, Register, RegistrationId, Tenant, Update, Want,
    is_as_imported, later,
};

use super::action::ActionKind;
use super::attempt::{Attempts, Step};
use super::canary::{Census, counts_undeclared, hold_back, is_whole};
use super::change::{Change, Note};
use super::facts::{Facts, HashFact, Needs, REFUSED_FOR, UPDATED_WITHIN, import_id};
use super::guard::{from_nothing, hold};
use super::hardware::{differs, hardware};
use super::held::{Awaiting, Held, LetGo, Reason, Unmanaged, Waiting};
use super::removal::{GONE_WITHIN, Removed, collapsed, removed, undeclared, vanished};
use super::upkeep::Upkeep;
use super::{Counts, Plan};

/// Compares all claims of a tenant with a reading of it. Touches nothing.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, facts: &Facts) -> Plan {
    let mut maker = Maker::new(desired, observed, facts);
    maker.find_twins(desired);
    let (mut census, is_whole) = (Census::of(desired, observed, facts), is_whole(desired, facts));
    let mut counts =
        Counts { declared: desired.claims().len(), registered: observed.devices().len(), ..Counts::default() };
    walk(desired, observed, |met| match met {
        Met::Claim { claim, matches, .. } => {
            counts.managed += usize::from(!matches.is_empty());
            maker.let_go(claim, &matches);
            let verdict = maker.judge(claim, &matches);
            census.iter_mut().for_each(|census| census.count(claim, &matches, &verdict));
            match verdict {
                Verdict::Change(change) => maker.changes.push(change),
                Verdict::Held(held) => maker.held.push(held),
                Verdict::Awaiting(awaiting) => maker.awaiting.push(awaiting),
                Verdict::Unchanged => maker.unchanged.extend(matches.iter().map(|device| (claim.key(), device.id))),
            }
        }
        Met::Unclaimed(device) => {
            if counts_undeclared(desired, facts.ledger.as_deref(), device) {
                census.iter_mut().for_each(|census| census.count_undeclared(device, is_whole));
            }
            maker.leave_alone(device);
        }
    });
    let mut canaries = Vec::new();
    if let Some(mut census) = census {
        census.count_sent(desired, observed, facts);
        let (changes, held, first) = census.hold_back(std::mem::take(&mut maker.changes));
        (maker.changes, canaries) = (changes, first);
        maker.held.extend(held);
        maker.held.sort_by(|a, b| a.device.cmp(&b.device));
    } else if !facts.waits.is_empty() {
        let (changes, held) = hold_back(&facts.waits, std::mem::take(&mut maker.changes));
        maker.changes = changes;
        maker.held.extend(held);
        maker.held.sort_by(|a, b| a.device.cmp(&b.device));
    }
    counts.unchanged = maker.unchanged.len();
    let Removed { removal, changes, held, awaiting } = removed(desired, observed, facts, maker.covers_all);
    maker.changes.extend(changes);
    maker.held.extend(held);
    maker.awaiting.extend(awaiting);
    if removal.tracked > 0 {
        maker.changes.sort_by(|a, b| a.effect.device.cmp(&b.effect.device));
        maker.held.sort_by(|a, b| a.device.cmp(&b.device));
        maker.awaiting.sort_by(|a, b| a.device.cmp(&b.device));
    }
    let upkeep = match observed.coverage() {
        Coverage::All => Upkeep::of(&desired.tenant, &maker.changes, &maker.awaiting, facts),
        Coverage::Only(_) => Upkeep::default(),
    };
    Plan {
        tenant: desired.tenant.clone(),
        target: facts.target.clone(),
        upkeep,
        loosens: loosens(&desired.tenant, facts),
        frozen: desired.tenant.frozen(facts.now),
        changes: maker.changes,
        held: maker.held,
        awaiting: maker.awaiting,
        unmanaged: maker.unmanaged,
        let_go: maker.let_go,
        unchanged: maker.unchanged,
        counts,
        canaries,
        observed_at: observed.at,
        again: 0,
        removal,
        complete: *observed.coverage() == Coverage::All && !desired.is_part(),
    }
}

/// What is loosened still: a freeze that is over by now was not lifted by anybody.
fn loosens(tenant: &Tenant, facts: &Facts) -> Vec<Loosen> {
    if !tenant.may_be_written() {
        return Vec::new();
    }
    facts.loosens.iter().filter(|of| of.over_at.is_none_or(|at| facts.now < at)).cloned().collect()
}

/// What must be looked up before [`plan`] can judge: the hashes of devices to
/// register, registrations that would be written (a list lags, and blanks), and
/// users to assign.
#[must_use]
pub fn needs(desired: &Desired, observed: &Observed, ledger: Option<&Ledger>) -> Needs {
    let mut needs = Needs::default();
    let mut users = HashSet::new();
    // A list lags, and blanks: what would be removed is read by id, and so is
    // what seems to be gone.
    let whole = ledger.filter(|_| !desired.is_part());
    needs.read.extend(whole.iter().flat_map(|ledger| undeclared(desired, ledger)).map(|of| of.registration_id));
    // So is what is on its way out, though it is declared again.
    let going = whole.iter().flat_map(|ledger| ledger.devices()).filter(|of| of.deleting.is_some());
    needs.read.extend(going.map(|of| of.registration_id));
    // A list in which no device has a user shows none (a service of 2023 did).
    let shows_users = observed.devices().iter().any(|device| !device.user.is_empty());
    walk(desired, observed, |met| {
        let Met::Claim { index, claim, matches } = met else { return };
        let user = claim.user.text().filter(|user| !user.is_empty()).map(str::to_lowercase);
        match matches.as_slice() {
            [] => {
                if claim.hash.is_some() {
                    needs.register.push(index);
                    users.extend(user);
                }
                needs.read.extend(ledger.and_then(|ledger| ledger.like(&claim.key())).map(|of| of.registration_id));
            }
            [device] => {
                let fields = differences(claim, device);
                let user_is_hidden = claim.user == Want::Clear && !shows_users;
                // A list that lags may show what we have changed since as it was before,
                // and that may be what is declared again.
                if !fields.is_empty() || user_is_hidden || is_not_as_left(device, ledger) {
                    needs.read.push(device.id);
                }
                if fields.iter().any(|f| f.field == Field::UserPrincipalName) {
                    users.extend(user);
                }
            }
            _ => {}
        }
    });
    needs.users = users.into_iter().collect();
    needs.users.sort_unstable();
    needs
}

/// True if a field that we own is listed as something else than we wrote last.
fn is_not_as_left(device: &Device, ledger: Option<&Ledger>) -> bool {
    let tracked = ledger.and_then(|ledger| ledger.of(device.id));
    tracked.is_some_and(|tracked| tracked.changed_since(device).any(|field| tracked.declared.contains(&field)))
}

pub(super) enum Met<'a> {
    Claim { index: usize, claim: &'a Claim, matches: Vec<&'a Device> },
    Unclaimed(&'a Device),
}

/// Merge-join of claims and registrations, both sorted by serial key. A claim
/// with a registration id matches that registration only, whatever its serial.
pub(super) fn walk<'a>(desired: &'a Desired, observed: &'a Observed, mut visit: impl FnMut(Met<'a>)) {
    let (claims, devices) = (desired.claims(), observed.devices());
    let named = claims.iter().filter_map(|claim| claim.registration_id).chain(desired.named_outside());
    let named: HashSet<RegistrationId> = named.collect();
    let by_id: HashMap<RegistrationId, &Device> = if named.is_empty() {
        HashMap::new()
    } else {
        devices.iter().filter(|device| named.contains(&device.id)).map(|device| (device.id, device)).collect()
    };
    let free = |device: &&Device| !named.contains(&device.id);
    let mut rest = devices;
    let mut index = 0;
    while index < claims.len() {
        let key = claims[index].serial.key();
        let before = rest.iter().position(|device| device.key() >= key).unwrap_or(rest.len());
        rest[..before].iter().filter(free).for_each(|device| visit(Met::Unclaimed(device)));
        rest = &rest[before..];
        let same = rest.iter().position(|device| device.key() != key).unwrap_or(rest.len());
        let (group, after) = rest.split_at(same);
        rest = after;
        let mut all_named = true;
        while index < claims.len() && claims[index].serial.key() == key {
            let claim = &claims[index];
            let matches = match claim.registration_id {
                Some(id) => by_id.get(&id).copied().into_iter().collect(),
                None => group.iter().filter(free).collect(),
            };
            all_named &= claim.registration_id.is_some();
            visit(Met::Claim { index, claim, matches });
            index += 1;
        }
        if all_named {
            group.iter().filter(free).for_each(|device| visit(Met::Unclaimed(device)));
        }
    }
    rest.iter().filter(free).for_each(|device| visit(Met::Unclaimed(device)));
}

pub(super) enum Verdict {
    Change(Change),
    Held(Held),
    Awaiting(Awaiting),
    Unchanged,
}

struct Maker<'a> {
    tenant: &'a Tenant,
    covers_all: bool,
    /// True if other devices may be declared besides.
    is_part: bool,
    facts: &'a Facts,
    /// Registrations that our own imports made.
    made: HashSet<RegistrationId>,
    /// True if so much of that is gone that nothing is registered.
    collapsed: bool,
    /// What we have applied before.
    tracked: HashMap<RegistrationId, &'a Tracked>,
    /// Devices whose hash is another declared device's, with its serial.
    twins: HashMap<DeviceKey, String>,
    changes: Vec<Change>,
    held: Vec<Held>,
    awaiting: Vec<Awaiting>,
    unmanaged: Vec<Unmanaged>,
    let_go: Vec<LetGo>,
    unchanged: Vec<(DeviceKey, RegistrationId)>,
}

impl<'a> Maker<'a> {
    fn new(desired: &'a Desired, observed: &Observed, facts: &'a Facts) -> Self {
        let tracked = facts.ledger.iter().flat_map(|ledger| ledger.devices());
        // What was let go is ours no more, whoever made it.
        let stones = facts.ledger.iter().flat_map(|ledger| ledger.tombstones());
        let released: HashSet<RegistrationId> =
            stones.filter(|stone| stone.end.is_let_go()).map(|stone| stone.registration_id).collect();
        Self {
            tenant: &desired.tenant,
            covers_all: *observed.coverage() == Coverage::All,
            is_part: desired.is_part(),
            facts,
            made: facts.imports.values().filter_map(made).filter(|id| !released.contains(id)).collect(),
            collapsed: *observed.coverage() == Coverage::All && collapsed(observed, facts).is_some(),
            tracked: tracked.map(|tracked| (tracked.registration_id, tracked)).collect(),
            twins: HashMap::new(),
            changes: Vec::new(),
            held: Vec::new(),
            awaiting: Vec::new(),
            unmanaged: Vec::new(),
            let_go: Vec::new(),
            unchanged: Vec::new(),
        }
    }

    /// Importing one machine under two serials would register it under
    /// whichever comes first, so neither is sent.
    fn find_twins(&mut self, desired: &Desired) {
        // What is suspended is not sent, and in nobody's way.
        let sent = desired.claims().iter().filter(|claim| !claim.suspend);
        let sent: HashSet<DeviceKey> = sent.map(Claim::key).collect();
        let mut machines: Vec<(&DeviceKey, &[IdentityKey])> = Vec::new();
        machines.extend(self.facts.hashes.iter().filter_map(|(key, fact)| match fact {
            HashFact::Read { hardware, .. } if sent.contains(key) => Some((key, hardware.as_slice())),
            _ => None,
        }));
        machines.sort_unstable_by_key(|(key, _)| *key);
        // A product key id supports, but proves nothing alone.
        let keys = |hardware: &'a [IdentityKey]| hardware.iter().filter(|id| id.kind() != KeyKind::Pkid);
        for (first, later) in sharing(machines.iter().map(|(_, hardware)| keys(hardware))) {
            let (first, later) = (machines[first].0, machines[later].0);
            self.twins.insert(later.clone(), first.to_string());
            self.twins.entry(first.clone()).or_insert_with(|| later.to_string());
        }
    }

    /// The table: how many registrations match, and what they hold.
    fn judge(&self, claim: &Claim, matches: &[&Device]) -> Verdict {
        match (matches, claim.registration_id) {
            ([], Some(_)) if self.covers_all => Verdict::hold(claim, None, Reason::RegistrationNotFound, vec![]),
            ([], _) => self.judge_absent(claim),
            ([device], _) => self.judge_present(claim, device),
            (several, _) => {
                let line = |d: &&Device| format!("registrationId: {}  {} {}", d.id, d.manufacturer, d.model);
                Verdict::hold(claim, None, Reason::AmbiguousSerial, several.iter().map(line).collect())
            }
        }
    }

    fn judge_present(&self, claim: &Claim, device: &Device) -> Verdict {
        let tracked = self.tracked.get(&device.id);
        if let Some(since) = tracked.and_then(|tracked| self.facts.deleting_since(tracked))
            && self.facts.now < later(since, GONE_WITHIN)
        {
            return Verdict::wait(claim, Some(device.id), Waiting::Gone { since });
        }
        let mut fields = differences(claim, device);
        if fields.is_empty() {
            return self.judge_as_declared(claim, device, tracked.copied());
        }
        if let Some(since) = self.pending(device.id, &fields) {
            let what = Waiting::Values { since, fields };
            return Verdict::wait(claim, Some(device.id), what);
        }
        // What our own import could not carry completes it, and is no change.
        let owed = self.owed(device, &fields);
        let alone = self.facts.tails_first || self.tenant.policy == Policy::CreateOnly;
        if let (Some((_, owed)), true) = (&owed, alone) {
            fields.clone_from(owed);
        }
        let tail_of = owed.filter(|(_, owed)| owed.len() == fields.len()).map(|(import_id, _)| import_id);
        let user = fields.iter().find(|f| f.field == Field::UserPrincipalName).map(|f| f.after.clone());
        let verified = user.map_or(Ok(true), |user| self.judge_user(&user));
        let drifted = tracked.map_or_else(Vec::new, |tracked| drifted(tracked, &fields));
        let adopts = !self.is_ours(device.id);
        let update = Update { id: device.id, before: Box::new(device.clone()), fields, adopts, tail_of };
        let by_policy = match (self.tenant.policy, tail_of) {
            (Policy::Observe, _) => Some(Reason::ObserveOnly),
            (Policy::CreateOnly, None) => Some(Reason::UpdateNotAllowed),
            (Policy::CreateOnly, Some(_)) | (Policy::UpsertOnly | Policy::Sync, _) => None,
        };
        // A tag that leads out of the scope could not be taken back.
        let tags = update.fields.iter().filter(|f| f.field == Field::GroupTag).map(|f| &f.after);
        let mut tags = std::iter::once(&device.group_tag).chain(tags);
        let outside = tags.find(|tag| !self.tenant.scope.contains(tag)).cloned();
        let tags_it = update.fields.iter().any(|f| f.field == Field::GroupTag);
        // What would stand in the way under another policy, too, is told first:
        // nobody shall find out one by one.
        let contested = tracked.map_or_else(Vec::new, |tracked| contested(tracked, &drifted, self.facts.now));
        let refused = (claim.suspend.then_some(Reason::Suspended))
            .or((!contested.is_empty()).then_some(Reason::Contested))
            .or(outside.is_some().then_some(Reason::OutOfScope))
            .or((claim.tag_refused && tags_it).then_some(Reason::TagNotAllowed))
            .or(self.facts.unread.contains(&device.id).then_some(Reason::ServiceUnavailable))
            .or((adopts && !self.may_adopt(claim)).then_some(Reason::AdoptionNotAllowed))
            .or(verified.err())
            .or(self.tenant.suspend.then_some(Reason::Suspended))
            .or(by_policy);
        let changes = |field| update.fields.iter().any(|f| f.field == field);
        let notes = [
            changes(Field::GroupTag).then_some(Note::GroupsFollowLater),
            device.is_enrolled().then_some(Note::EffectiveAtNextSetup),
            (verified == Ok(false)).then_some(Note::UserUnverified),
            adopts.then_some(Note::Adopts),
            tail_of.is_some().then_some(Note::CompletesImport),
            (!drifted.is_empty()).then_some(Note::ChangedInTenant),
        ];
        let notes = notes.into_iter().flatten().collect();
        let effect = Effect { device: claim.key(), action: Action::Update(update) };
        let change = Change { effect, origin: claim.origin, hash: None, notes, drifted, hardware: Hardware::new() };
        match refused {
            Some(reason) => {
                let details = match reason {
                    Reason::Contested => contested,
                    _ => self.scope_line(reason, outside.as_deref().unwrap_or_default()),
                };
                Verdict::Held(hold(change, reason, details))
            }
            None => Verdict::Change(change),
        }
    }

    /// A registration that is as declared: what of it the ledger does not say
    /// yet.
    fn judge_as_declared(&self, claim: &Claim, device: &Device, tracked: Option<&Tracked>) -> Verdict {
        let id = device.id;
        // A repeated round completes the first, and takes note of nothing new.
        if self.facts.tails_first {
            return Verdict::Unchanged;
        }
        let action = match tracked {
            Some(tracked) => {
                let protect = (tracked.protect != claim.protect).then_some(claim.protect);
                let declared = tracked.deletion_declared(claim.deletion_policy);
                let deletion = (tracked.deletion_policy != declared).then_some(declared);
                if protect.is_none() && deletion.is_none() {
                    return Verdict::Unchanged;
                }
                Action::Keep(Keep { id, protect, deletion })
            }
            // What our own import made is ours without a word.
            None if self.facts.ledger.is_none() || self.has_made(id) || !self.adopts(claim, device) => {
                return Verdict::Unchanged;
            }
            None => Action::Adopt(Adopt { id, before: Box::new(device.clone()) }),
        };
        let read_only = self.read_only();
        if claim.suspend || read_only.is_some() && matches!(action, Action::Adopt(_)) {
            return Verdict::Unchanged;
        }
        let details = match &action {
            Action::Keep(keep) => {
                let protect = keep.protect.map(|protect| format!("protect: {protect}"));
                protect.into_iter().chain(keep.deletion.map(|to| format!("deletionPolicy: {to:?}"))).collect()
            }
            _ => Vec::new(),
        };
        let effect = Effect { device: claim.key(), action };
        let (notes, drifted) = (Vec::new(), Vec::new());
        let change = Change { effect, origin: claim.origin, hash: None, notes, drifted, hardware: Hardware::new() };
        match read_only {
            Some(reason) => Verdict::Held(hold(change, reason, details)),
            None => Verdict::Change(change),
        }
    }

    /// Why nothing at all may be written.
    fn read_only(&self) -> Option<Reason> {
        let observes = self.tenant.policy == Policy::Observe;
        observes.then_some(Reason::ObserveOnly).or(self.tenant.suspend.then_some(Reason::Suspended))
    }

    /// True if a registration of somebody else's becomes ours because it is
    /// declared.
    fn adopts(&self, claim: &Claim, device: &Device) -> bool {
        matches!(self.tenant.policy, Policy::UpsertOnly | Policy::Sync)
            && self.tenant.scope.contains(&device.group_tag)
            && self.may_adopt(claim)
    }

    fn judge_absent(&self, claim: &Claim) -> Verdict {
        if let Some(held) = vanished(claim, self.facts, self.tenant, self.collapsed).filter(|_| self.covers_all) {
            return Verdict::Held(held);
        }
        if claim.hash.is_none() && claim.suspend {
            return Verdict::hold_absent(claim, Reason::Suspended, vec![]);
        }
        let tag = claim.group_tag.text().unwrap_or_default();
        if claim.hash.is_none() {
            // A tag that is left open is whatever the vendor gives it.
            let is_ours = claim.group_tag.text().is_none() || self.tenant.scope.contains(tag);
            return if is_ours {
                Verdict::wait(claim, None, Waiting::Vendor)
            } else {
                let details = self.scope_line(Reason::OutOfScope, tag);
                Verdict::hold_absent(claim, Reason::OutOfScope, details)
            };
        }
        if self.collapsed {
            let verdict = self.judge_registration(claim);
            return match verdict {
                Verdict::Change(change) => Verdict::Held(hold(change, Reason::ObservedSetCollapsed, Vec::new())),
                verdict => verdict,
            };
        }
        // What would stand in the way under another policy, too, is told first.
        let read_only = self.read_only();
        let refused = (claim.suspend.then_some(Reason::Suspended))
            .or((!self.tenant.scope.contains(tag)).then_some(Reason::OutOfScope))
            .or(claim.tag_refused.then_some(Reason::TagNotAllowed));
        match (self.judge_registration(claim), read_only, refused) {
            (verdict, None, None) => verdict,
            (Verdict::Change(change), _, Some(reason)) | (Verdict::Change(change), Some(reason), None) => {
                Verdict::Held(hold(change, reason, self.scope_line(reason, tag)))
            }
            (_, _, Some(reason)) => Verdict::hold_absent(claim, reason, self.scope_line(reason, tag)),
            (verdict, Some(_), None) => verdict,
        }
    }

    /// What is to be done about a device that is not registered, if anything
    /// may be done about it.
    fn judge_registration(&self, claim: &Claim) -> Verdict {
        let mut notes = Vec::new();
        let digest = match self.facts.hashes.get(&claim.key()) {
            Some(HashFact::Read { digest, .. }) => *digest,
            Some(HashFact::Pinned { digest }) => {
                notes.push(Note::HashNotReadHere);
                *digest
            }
            Some(HashFact::Unusable { message }) => {
                return Verdict::hold_absent(claim, Reason::HashUnusable, vec![message.clone()]);
            }
            Some(HashFact::NotAvailable { message }) => {
                return Verdict::hold_absent(claim, Reason::HashNotAvailable, vec![message.clone()]);
            }
            // A reading that covers only some devices cannot say that this one is absent.
            None => return Verdict::hold_absent(claim, Reason::ChangedMeanwhile, vec![]),
        };
        if let Some(twin) = self.twins.get(&claim.key()) {
            return Verdict::hold_absent(claim, Reason::DuplicateHardware, vec![format!("same hardware as `{twin}`")]);
        }
        // What was exchanged in it is for a person to know, before it takes the old
        // one's place.
        let tracked = self.facts.ledger.as_ref().and_then(|ledger| ledger.like(&claim.key()));
        if let Some(keys) = tracked.and_then(|tracked| differs(&tracked.hardware, &self.hardware(claim))) {
            let words = format!("of other hardware than the one that was applied, by its {keys}");
            return Verdict::Held(Held {
                hash: Some(digest),
                ..held_absent(claim, Reason::HardwareChanged, vec![words])
            });
        }
        match claim.user.text().filter(|user| !user.is_empty()).map_or(Ok(true), |user| self.judge_user(user)) {
            Err(reason) => return Verdict::Held(Held { hash: Some(digest), ..held_absent(claim, reason, vec![]) }),
            Ok(false) => notes.push(Note::UserUnverified),
            Ok(true) => {}
        }
        self.judge_attempts(claim, digest, notes)
    }

    /// Which machine a device is, by its hash, if that was read.
    fn hardware(&self, claim: &Claim) -> Hardware {
        match (self.facts.hashes.get(&claim.key()), &self.facts.ledger) {
            (Some(HashFact::Read { hardware: keys, .. }), Some(ledger)) => hardware(keys, &ledger.head.lineage),
            _ => Hardware::new(),
        }
    }

    /// Which attempt comes next, by what became of the ones before.
    fn judge_attempts(&self, claim: &Claim, digest: HashDigest, mut notes: Vec<Note>) -> Verdict {
        let Facts { now, imports, .. } = self.facts;
        let mut attempts = Attempts::default();
        let mut attempt = 1;
        let mut was_registered = false;
        let id_of = |attempt| import_id(self.tenant.id, &self.tenant.owner, &claim.serial, digest, attempt);
        let wants_retry = self.facts.retry.contains(&claim.serial.key());
        let (import_id, running) = loop {
            let id = id_of(attempt);
            let fact = imports.get(&id);
            // A reading of some devices cannot tell that this one is absent, unless
            // a whole one has; and we have sent nothing that could be waited for.
            let may_be_there = !self.covers_all && !self.facts.absent.contains(&claim.key());
            if fact.is_none() && attempt == 1 && may_be_there {
                return Verdict::hold_absent(claim, Reason::ChangedMeanwhile, vec![]);
            }
            match attempts.judge(fact, *now) {
                Step::Again => {
                    let state = fact.map(|fact| &fact.state);
                    was_registered = matches!(state, Some(ImportState::Complete { .. } | ImportState::Removed));
                    attempt += 1;
                }
                // Also where somebody wanted that before: it is followed.
                Step::Refuse { .. } if wants_retry || imports.contains_key(&id_of(attempt + 1)) => {
                    was_registered = false;
                    attempt += 1;
                }
                Step::Try => break (id, false),
                Step::Follow => break (id, true),
                Step::Look { since } => return Verdict::wait(claim, None, Waiting::Registration { since }),
                Step::Refuse { reason, words, since } => return Verdict::refused(claim, reason, words, since),
            }
        };
        if running {
            notes.push(Note::ImportRunning);
        } else if was_registered {
            notes.push(Note::RegisteredBefore);
        } else if attempt > 1 {
            notes.push(Note::NewAttempt);
        }
        let register = Register { digest, import_id, attempt, values: wanted(claim), running };
        let effect = Effect { device: claim.key(), action: Action::Register(register) };
        let (hash, drifted, hardware) = (claim.hash.clone(), Vec::new(), self.hardware(claim));
        Verdict::Change(Change { effect, origin: claim.origin, hash, notes, drifted, hardware })
    }

    /// `Ok(false)`: nobody could say whether the user exists.
    fn judge_user(&self, user: &str) -> Result<bool, Reason> {
        if user.is_empty() {
            return Ok(true);
        }
        let user = user.to_lowercase();
        let domain = user.rsplit('@').next().unwrap_or_default();
        if self.facts.domains.as_ref().is_some_and(|domains| !domains.iter().any(|known| known == domain)) {
            return Err(Reason::UserDomainNotVerified);
        }
        match self.facts.users.get(&user) {
            Some(true) => Ok(true),
            Some(false) => Err(Reason::UserNotFound),
            None => Ok(false),
        }
    }

    /// Since when we wait for exactly these values, if we wrote them lately.
    fn pending(&self, id: RegistrationId, fields: &[FieldChange]) -> Option<Timestamp> {
        let PendingUpdate { since, fields: written } = self.facts.pending.get(&id)?;
        let ours = |f: &FieldChange| written.iter().any(|w| w.field == f.field && w.field.same(&w.after, &f.after));
        (self.facts.now < later(*since, UPDATED_WITHIN) && fields.iter().all(ours)).then_some(*since)
    }

    /// Those of the differing fields that our own import still owes.
    fn owed(&self, device: &Device, fields: &[FieldChange]) -> Option<(ImportId, Vec<FieldChange>)> {
        let Tail { import_id, values, carried } = self.facts.tails.get(&device.id)?;
        // Where somebody has it in hand by now, it is an update like any other.
        if !is_as_imported(&[carried.as_slice(), values].concat(), device) {
            return None;
        }
        let is_owed = |f: &&FieldChange| {
            f.before.is_empty() && values.iter().any(|(field, value)| *field == f.field && *value == f.after)
        };
        let owed: Vec<FieldChange> = fields.iter().filter(is_owed).cloned().collect();
        (!owed.is_empty()).then_some((*import_id, owed))
    }

    /// Notes the fields that were declared when last applied, and are not now.
    fn let_go(&mut self, claim: &Claim, matches: &[&Device]) {
        let [device] = matches else { return };
        let Some(tracked) = self.tracked.get(&device.id).filter(|_| !self.facts.tails_first) else { return };
        let declared = wanted(claim);
        let is_gone = |field: &&Field| !declared.iter().any(|(of, _)| of == *field);
        let gone = tracked.declared.iter().filter(is_gone);
        let fields: Vec<_> = gone.map(|field| (*field, field.of(device).clone())).collect();
        if !fields.is_empty() {
            let (registration_id, origin) = (device.id, claim.origin);
            self.let_go.push(LetGo { device: claim.key(), registration_id, origin, fields });
        }
    }

    /// True for what an import of ours made, as far as we know it still.
    fn has_made(&self, id: RegistrationId) -> bool {
        self.made.contains(&id) && self.facts.owned.contains(&id)
    }

    /// True for what we made or changed before.
    fn is_ours(&self, id: RegistrationId) -> bool {
        self.made.contains(&id) || self.facts.owned.contains(&id) || self.tracked.contains_key(&id)
    }

    /// The narrower of what tenant and device allow.
    fn may_adopt(&self, claim: &Claim) -> bool {
        self.tenant.adoption.min(claim.adoption) != AdoptionPolicy::Never
    }

    fn scope_line(&self, reason: Reason, tag: &str) -> Vec<String> {
        if reason != Reason::OutOfScope {
            return Vec::new();
        }
        let tag = if tag.is_empty() { "no group tag".to_owned() } else { format!("group tag `{tag}`") };
        vec![format!("{tag}, scope {}", self.tenant.scope)]
    }

    fn leave_alone(&mut self, device: &Device) {
        let is_strange = !self.tracked.contains_key(&device.id) && !self.is_part;
        if is_strange && self.covers_all && self.tenant.scope.contains(&device.group_tag) {
            self.unmanaged.push(Unmanaged { device: device.clone() });
        }
    }
}

impl Verdict {
    fn wait(claim: &Claim, registration_id: Option<RegistrationId>, what: Waiting) -> Self {
        Self::Awaiting(Awaiting { device: claim.key(), registration_id, origin: claim.origin, what })
    }

    fn refused(claim: &Claim, reason: Reason, words: String, since: Timestamp) -> Self {
        let retry_at = Some(later(since, REFUSED_FOR));
        Self::Held(Held { since: Some(since), retry_at, ..held_absent(claim, reason, vec![words]) })
    }

    fn hold_absent(claim: &Claim, reason: Reason, details: Vec<String>) -> Self {
        Self::Held(held_absent(claim, reason, details))
    }

    fn hold(claim: &Claim, id: Option<RegistrationId>, reason: Reason, details: Vec<String>) -> Self {
        Self::Held(held(claim, id, reason, details))
    }
}

/// Of a device that is not registered: with all that it would get, unless its
/// vendor gives it something first.
fn held_absent(claim: &Claim, reason: Reason, details: Vec<String>) -> Held {
    let values = claim.hash.as_ref().map(|_| from_nothing(wanted(claim)));
    Held { fields: values.unwrap_or_default(), ..held(claim, None, reason, details) }
}

fn held(claim: &Claim, registration_id: Option<RegistrationId>, reason: Reason, details: Vec<String>) -> Held {
    let action = if claim.hash.is_some() { ActionKind::Register } else { ActionKind::Update };
    Held { registration_id, ..Held::new(claim.key(), claim.origin, action, reason, details) }
}

/// So many corrections of one field within a week are a quarrel.
const CORRECTIONS: usize = 3;

/// What is told of fields that are set back again and again: both sides, with
/// their times.
fn contested(tracked: &Tracked, drifted: &[Field], now: Timestamp) -> Vec<String> {
    let line = |field: &Field| {
        let corrections: Vec<_> = tracked.corrections(*field, now).collect();
        let last = corrections.last().filter(|_| corrections.len() >= CORRECTIONS)?;
        let times: Vec<String> = corrections.iter().map(|of| of.at.to_string()[..10].to_owned()).collect();
        let (label, ours) = (field.label(), tracked.value(*field));
        Some(format!("{label}: `{}` was set back to `{ours}` on {}", last.found, times.join(", ")))
    };
    drifted.iter().filter_map(line).collect()
}

/// Of the fields that differ, those that are declared as they were when we last
/// applied them, and showed so then: it was not the declaration that changed.
fn drifted(tracked: &Tracked, fields: &[FieldChange]) -> Vec<Field> {
    let by_others =
        |f: &&FieldChange| tracked.declared.contains(&f.field) && f.field.same(tracked.value(f.field), &f.after);
    fields.iter().filter(by_others).map(|f| f.field).collect()
}

fn made(fact: &ImportFact) -> Option<RegistrationId> {
    match fact.state {
        ImportState::Complete { registration_id } => Some(registration_id),
        _ => None,
    }
}

/// The declared values of a claim: field by field, `""` for "nothing".
pub(crate) fn wanted(claim: &Claim) -> Vec<(Field, CompactString)> {
    Field::ALL.into_iter().filter_map(|field| Some((field, claim.wish(field)?.into()))).collect()
}

/// The declared fields in which a registration differs.
fn differences(claim: &Claim, device: &Device) -> Vec<FieldChange> {
    let differs = |field: Field| {
        let (have, want) = (field.of(device), claim.wish(field)?);
        (!field.same(have, want)).then(|| FieldChange { field, before: have.clone(), after: want.into() })
    };
    Field::ALL.into_iter().filter_map(differs).collect()
}
