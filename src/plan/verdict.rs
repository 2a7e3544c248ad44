//! The loop over devices: what is wanted against what is there.

use std::collections::{HashMap, HashSet};

use compact_str::CompactString;
use jiff::{SignedDuration, Timestamp};

use crate::hash::identity::{IdentityKey, KeyKind, sharing};
use crate::ledger::{ImportFact, ImportState, PendingUpdate};
use crate::model::{
    AdoptionPolicy, Claim, Coverage, Desired, Device, Field, FieldChange, HashDigest, Observed, Policy, RegistrationId,
    SerialKey, Tenant,
};

use super::change::{Action, Change, Note, Register, Update};
use super::facts::{Facts, HashFact, ImportError, Needs, REFUSED_FOR, UPDATED_WITHIN, VISIBLE_WITHIN, import_id};
use super::guard::hold;
use super::held::{Awaiting, Held, Reason, Unmanaged, Waiting};
use super::{Counts, Plan};

/// How often an import that fails for a reason that may pass is tried within
/// a day, before a person is asked.
const PASSING_ATTEMPTS: u32 = 6;

/// Compares all claims of a tenant with a reading of it. Touches nothing.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, facts: &Facts) -> Plan {
    let mut maker = Maker::new(&desired.tenant, observed, facts);
    maker.find_twins(desired);
    let mut counts =
        Counts { declared: desired.claims().len(), registered: observed.devices().len(), ..Counts::default() };
    walk(desired, observed, |met| match met {
        Met::Claim { claim, matches, .. } => {
            counts.managed += usize::from(!matches.is_empty());
            match maker.judge(claim, &matches) {
                Verdict::Change(change) => maker.changes.push(change),
                Verdict::Held(held) => maker.held.push(held),
                Verdict::Awaiting(awaiting) => maker.awaiting.push(awaiting),
                Verdict::Unchanged => {
                    maker.unchanged.extend(matches.iter().map(|device| (claim.serial.key(), device.id)))
                }
            }
        }
        Met::Unclaimed(device) => maker.leave_alone(device),
    });
    counts.unchanged = maker.unchanged.len();
    Plan {
        tenant: desired.tenant.clone(),
        changes: maker.changes,
        held: maker.held,
        awaiting: maker.awaiting,
        unmanaged: maker.unmanaged,
        unchanged: maker.unchanged,
        counts,
        observed_at: observed.at,
        complete: *observed.coverage() == Coverage::All,
    }
}

/// What must be looked up before [`plan`] can judge: the hashes of devices to
/// register, registrations whose listing may be stale, users to assign.
#[must_use]
pub fn needs(desired: &Desired, observed: &Observed, facts: &Facts) -> Needs {
    let mut needs = Needs::default();
    let mut users = HashSet::new();
    walk(desired, observed, |met| {
        let Met::Claim { index, claim, matches } = met else { return };
        let user = claim.user.text().filter(|user| !user.is_empty()).map(str::to_lowercase);
        match matches.as_slice() {
            [] if claim.hash.is_some() && !claim.suspend => {
                needs.register.push(index);
                users.extend(user);
            }
            [device] => {
                let fields = differences(claim, device);
                let blank = fields.iter().any(|f| f.before.is_empty() && !f.after.is_empty());
                if blank || (!fields.is_empty() && facts.pending.contains_key(&device.id)) {
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

enum Met<'a> {
    Claim { index: usize, claim: &'a Claim, matches: Vec<&'a Device> },
    Unclaimed(&'a Device),
}

/// Merge-join of claims and registrations, both sorted by serial key. A claim
/// with a registration id matches that registration only, whatever its serial.
fn walk<'a>(desired: &'a Desired, observed: &'a Observed, mut visit: impl FnMut(Met<'a>)) {
    let (claims, devices) = (desired.claims(), observed.devices());
    let named: HashSet<RegistrationId> = claims.iter().filter_map(|claim| claim.registration_id).collect();
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

enum Verdict {
    Change(Change),
    Held(Held),
    Awaiting(Awaiting),
    Unchanged,
}

struct Maker<'a> {
    tenant: &'a Tenant,
    covers_all: bool,
    facts: &'a Facts,
    /// Registrations that our own imports made, and when.
    made: HashMap<RegistrationId, Timestamp>,
    /// Devices to register whose hash names hardware that another one names.
    twins: HashMap<SerialKey, String>,
    changes: Vec<Change>,
    held: Vec<Held>,
    awaiting: Vec<Awaiting>,
    unmanaged: Vec<Unmanaged>,
    unchanged: Vec<(SerialKey, RegistrationId)>,
}

impl<'a> Maker<'a> {
    fn new(tenant: &'a Tenant, observed: &Observed, facts: &'a Facts) -> Self {
        Self {
            tenant,
            covers_all: *observed.coverage() == Coverage::All,
            facts,
            made: facts.imports.values().filter_map(made).collect(),
            twins: HashMap::new(),
            changes: Vec::new(),
            held: Vec::new(),
            awaiting: Vec::new(),
            unmanaged: Vec::new(),
            unchanged: Vec::new(),
        }
    }

    /// Importing one machine under two serials would register it under
    /// whichever comes first, so neither is sent.
    fn find_twins(&mut self, desired: &Desired) {
        let mut machines: Vec<(&SerialKey, &[IdentityKey])> = Vec::new();
        machines.extend(self.facts.hashes.iter().filter_map(|(key, fact)| match fact {
            HashFact::Read { hardware, .. } => Some((key, hardware.as_slice())),
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
        if !self.twins.is_empty() {
            let declared: HashSet<SerialKey> = desired.claims().iter().map(|claim| claim.serial.key()).collect();
            self.twins.retain(|key, _| declared.contains(key));
        }
    }

    /// The table: how many registrations match, and what they hold.
    fn judge(&self, claim: &Claim, matches: &[&Device]) -> Verdict {
        match (matches, claim.registration_id) {
            ([], Some(_)) if self.covers_all => self.hold(claim, None, Reason::RegistrationNotFound, vec![]),
            ([], _) => self.judge_absent(claim),
            ([device], _) => self.judge_present(claim, device),
            (several, _) => {
                let line = |d: &&Device| format!("registrationId: {}  {} {}", d.id, d.manufacturer, d.model);
                self.hold(claim, None, Reason::AmbiguousSerial, several.iter().map(line).collect())
            }
        }
    }

    fn judge_present(&self, claim: &Claim, device: &Device) -> Verdict {
        let fields = differences(claim, device);
        if fields.is_empty() {
            return Verdict::Unchanged;
        }
        if let Some(since) = self.pending(device.id, &fields) {
            let what = Waiting::Values { since, fields };
            return self.wait(claim, Some(device.id), what);
        }
        let user = fields.iter().find(|f| f.field == Field::UserPrincipalName).map(|f| f.after.clone());
        let verified = user.map_or(Ok(true), |user| self.judge_user(&user));
        let update = Update { id: device.id, before: Box::new(device.clone()), fields };
        let refused = match self.tenant.policy {
            Policy::Observe => Some(Reason::ObserveOnly),
            // What an import cannot carry belongs to creating the device.
            Policy::CreateOnly if self.made_since(device.id, REFUSED_FOR) => None,
            Policy::CreateOnly => Some(Reason::UpdateNotAllowed),
            Policy::UpsertOnly | Policy::Sync => None,
        };
        let refused = refused
            .or((self.tenant.suspend || claim.suspend).then_some(Reason::Suspended))
            .or((!self.tenant.scope.contains(&device.group_tag)).then_some(Reason::OutOfScope))
            .or((!self.may_adopt(claim, device.id)).then_some(Reason::AdoptionNotAllowed))
            .or(verified.err());
        let mut notes = Vec::new();
        let changes = |field| update.fields.iter().any(|f| f.field == field);
        if changes(Field::GroupTag) {
            notes.push(Note::GroupsFollowLater);
        }
        if device.is_enrolled() {
            notes.push(Note::EffectiveAtNextSetup);
        }
        if verified == Ok(false) {
            notes.push(Note::UserUnverified);
        }
        let change =
            Change { serial: claim.serial.clone(), origin: claim.origin, action: Action::Update(update), notes };
        match refused {
            Some(reason) => Verdict::Held(hold(change, reason, self.scope_line(reason, &device.group_tag))),
            None => Verdict::Change(change),
        }
    }

    fn judge_absent(&self, claim: &Claim) -> Verdict {
        let Some(reference) = &claim.hash else {
            return self.wait(claim, None, Waiting::Vendor);
        };
        let tag = claim.group_tag.text().unwrap_or_default();
        let refused = (self.tenant.policy == Policy::Observe)
            .then_some(Reason::ObserveOnly)
            .or((self.tenant.suspend || claim.suspend).then_some(Reason::Suspended))
            .or((!self.tenant.scope.contains(tag)).then_some(Reason::OutOfScope));
        if let Some(reason) = refused {
            return self.hold(claim, None, reason, self.scope_line(reason, tag));
        }
        let mut notes = Vec::new();
        let digest = match self.facts.hashes.get(&claim.serial.key()) {
            Some(HashFact::Read { digest, .. }) => *digest,
            Some(HashFact::Pinned { digest }) => {
                notes.push(Note::HashNotReadHere);
                *digest
            }
            Some(HashFact::Unusable { message }) => {
                return self.hold(claim, None, Reason::HashUnusable, vec![message.clone()]);
            }
            Some(HashFact::NotAvailable { message }) => {
                return self.hold(claim, None, Reason::HashNotAvailable, vec![message.clone()]);
            }
            // A reading that covers only some devices cannot say that this one is absent.
            None => return self.wait(claim, None, Waiting::Registration { since: self.facts.now }),
        };
        if let Some(twin) = self.twins.get(&claim.serial.key()) {
            return self.hold(claim, None, Reason::DuplicateHardware, vec![format!("same hardware as `{twin}`")]);
        }
        match claim.user.text().filter(|user| !user.is_empty()).map_or(Ok(true), |user| self.judge_user(user)) {
            Err(reason) => return self.hold(claim, None, reason, vec![]),
            Ok(false) => notes.push(Note::UserUnverified),
            Ok(true) => {}
        }
        self.judge_attempt(claim, reference, digest, notes)
    }

    /// Which attempt comes next, by what became of the ones before. One import
    /// never registers a device twice, so each look-up is by import id.
    fn judge_attempt(
        &self,
        claim: &Claim,
        reference: &std::sync::Arc<crate::model::HashRef>,
        digest: HashDigest,
        mut notes: Vec<Note>,
    ) -> Verdict {
        let now = self.facts.now;
        let (mut passing, mut here) = (0, 0);
        let mut attempt = 1;
        loop {
            let import_id = import_id(self.tenant.id, &self.tenant.owner, &claim.serial, digest, attempt);
            let fact = self.facts.imports.get(&import_id);
            let fresh = |within| fact.is_some_and(|fact| now < fact.at + within);
            let running = match fact.map(|fact| &fact.state) {
                None if !self.covers_all && attempt == 1 => {
                    return self.wait(claim, None, Waiting::Registration { since: now });
                }
                None | Some(ImportState::Unsent) => false,
                Some(ImportState::Running) => true,
                Some(ImportState::Complete { .. }) if fresh(VISIBLE_WITHIN) => {
                    return self.wait_since(claim, fact.map(|fact| fact.at));
                }
                Some(ImportState::Complete { .. }) => {
                    attempt += 1;
                    continue;
                }
                Some(ImportState::Refused { message }) if fresh(REFUSED_FOR) => {
                    return self.refused(claim, Reason::ImportRefused, message.clone(), fact.map(|fact| fact.at));
                }
                Some(ImportState::Refused { .. }) => {
                    attempt += 1;
                    continue;
                }
                Some(ImportState::Error { code, name }) => {
                    let words = format!("the service says: {code} {name}");
                    let at = fact.map(|fact| fact.at);
                    let reason = match ImportError::of(*code, name) {
                        ImportError::Passing => {
                            passing += u32::from(fresh(REFUSED_FOR));
                            (passing >= PASSING_ATTEMPTS).then_some(Reason::ImportFailed)
                        }
                        ImportError::Here => {
                            here += u32::from(fresh(REFUSED_FOR));
                            if here == 1 && fresh(VISIBLE_WITHIN) {
                                return self.wait_since(claim, at);
                            }
                            (here > 1).then_some(Reason::AlreadyRegistered)
                        }
                        ImportError::OtherTenant => fresh(REFUSED_FOR).then_some(Reason::AssignedToOtherTenant),
                        ImportError::BadHash => fresh(REFUSED_FOR).then_some(Reason::InvalidHardwareHash),
                        ImportError::Duplicate => fresh(REFUSED_FOR).then_some(Reason::DuplicateHardware),
                        ImportError::Unknown => fresh(REFUSED_FOR).then_some(Reason::ImportFailed),
                    };
                    if let Some(reason) = reason {
                        return self.refused(claim, reason, words, at);
                    }
                    attempt += 1;
                    continue;
                }
            };
            if running {
                notes.push(Note::ImportRunning);
            } else if attempt > 1 {
                notes.push(Note::NewAttempt);
            }
            let values = wanted(claim);
            let register = Register { reference: reference.clone(), digest, import_id, attempt, values, running };
            let action = Action::Register(register);
            return Verdict::Change(Change { serial: claim.serial.clone(), origin: claim.origin, action, notes });
        }
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
        (self.facts.now < *since + UPDATED_WITHIN && fields.iter().all(ours)).then_some(*since)
    }

    /// The narrower of what tenant and device allow; what we registered
    /// ourselves needs no adoption.
    fn may_adopt(&self, claim: &Claim, id: RegistrationId) -> bool {
        self.made.contains_key(&id) || self.tenant.adoption.min(claim.adoption) != AdoptionPolicy::Never
    }

    /// True if an import of ours made this registration within `span`.
    fn made_since(&self, id: RegistrationId, span: SignedDuration) -> bool {
        self.made.get(&id).is_some_and(|at| self.facts.now < *at + span)
    }

    fn scope_line(&self, reason: Reason, tag: &str) -> Vec<String> {
        if reason != Reason::OutOfScope {
            return Vec::new();
        }
        let tag = if tag.is_empty() { "no group tag".to_owned() } else { format!("group tag `{tag}`") };
        vec![format!("{tag}, scope {}", self.tenant.scope)]
    }

    fn leave_alone(&mut self, device: &Device) {
        if self.covers_all && self.tenant.scope.contains(&device.group_tag) {
            self.unmanaged.push(Unmanaged { device: device.clone() });
        }
    }

    fn wait(&self, claim: &Claim, registration_id: Option<RegistrationId>, what: Waiting) -> Verdict {
        Verdict::Awaiting(Awaiting { serial: claim.serial.clone(), registration_id, origin: claim.origin, what })
    }

    fn wait_since(&self, claim: &Claim, since: Option<Timestamp>) -> Verdict {
        self.wait(claim, None, Waiting::Registration { since: since.unwrap_or(self.facts.now) })
    }

    fn refused(&self, claim: &Claim, reason: Reason, words: String, at: Option<Timestamp>) -> Verdict {
        let Verdict::Held(mut held) = self.hold(claim, None, reason, vec![words]) else { unreachable!("hold holds") };
        held.since = at;
        held.retry_at = at.map(|at| at + REFUSED_FOR);
        Verdict::Held(held)
    }

    fn hold(&self, claim: &Claim, id: Option<RegistrationId>, reason: Reason, details: Vec<String>) -> Verdict {
        Verdict::Held(Held {
            serial: claim.serial.clone(),
            registration_id: id,
            origin: claim.origin,
            action: if claim.hash.is_some() { "register" } else { "update" },
            reason,
            details,
            fields: Vec::new(),
            since: None,
            retry_at: None,
        })
    }
}

fn made(fact: &ImportFact) -> Option<(RegistrationId, Timestamp)> {
    match fact.state {
        ImportState::Complete { registration_id } => Some((registration_id, fact.at)),
        _ => None,
    }
}

/// The declared values of a claim: field by field, `""` for "nothing".
fn wanted(claim: &Claim) -> Vec<(Field, CompactString)> {
    let wants = [
        (Field::GroupTag, claim.group_tag.text()),
        (Field::UserPrincipalName, claim.user.text()),
        (Field::AddressableUserName, claim.addressable_user_name.text()),
        (Field::DisplayName, claim.display_name.text()),
    ];
    wants.into_iter().filter_map(|(field, want)| Some((field, want?.into()))).collect()
}

/// The declared fields in which a registration differs.
fn differences(claim: &Claim, device: &Device) -> Vec<FieldChange> {
    let differs = |field: Field, want: Option<&str>| {
        let have = field.of(device);
        let want = want?;
        (!field.same(have, want)).then(|| FieldChange { field, before: have.clone(), after: want.into() })
    };
    [
        differs(Field::GroupTag, claim.group_tag.text()),
        differs(Field::UserPrincipalName, claim.user.text()),
        differs(Field::AddressableUserName, claim.addressable_user_name.text()),
        differs(Field::DisplayName, claim.display_name.text()),
    ]
    .into_iter()
    .flatten()
    .collect()
}
