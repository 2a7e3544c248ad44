//! Reading as much of the tenant as the plan needs, and planning over it.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use crate::apply;
use crate::clock::{self, Stopped};
use crate::graph::{Graph, GraphError, ImportRecord};
use crate::hash::{WantedHash, identity_keys};
use crate::ledger::{DeregisterEnd, Entry, Journal, UpdateEnd};
use crate::model::{
    Action, Adopt, Claim, Coverage, Deregister, Desired, Device, DeviceKey, Field, HashDigest, HashError, ImportId,
    ImportState, Keep, Observed, RegistrationId, Release, SerialKey, SyncState, Update, carried, later, tail,
};
use crate::plan::{
    self, Change, Facts, HashFact, ImportError, LISTED_WITHIN, Needs, Plan, Removals, Waiting, Waits, import_id,
};

use super::{Round, RoundError, catch_up};

/// The rhythm of looking at what we wrote, the rhythm after the usual time has
/// passed, and the longest time that a plan is put off for it.
const LOOK: SignedDuration = SignedDuration::from_secs(20);
const LOOK_LATER: SignedDuration = SignedDuration::from_secs(60);
const USUAL: SignedDuration = SignedDuration::from_mins(2);
const PATIENCE: SignedDuration = SignedDuration::from_mins(20);

/// So many attempts of one device may be among the records.
const ATTEMPTS: usize = 12;

/// So many hashes are read at a time; none is kept.
const HASHES: usize = 500;

/// So many profiles are looked at together: an envelope.
const PROFILES: usize = 20;

/// What was read of the tenant, and how to read it again.
pub(super) struct Reading {
    observed: Observed,
    /// Read again only these, not the listing.
    ids: Option<Vec<RegistrationId>>,
    /// Registrations that were read singly: the list tells nothing more.
    singles: HashSet<RegistrationId>,
    /// Those of them that could not be read: what the list shows of them is no
    /// ground for a write.
    unread: HashSet<RegistrationId>,
    /// Hashes that were read for this plan.
    hashes: HashMap<DeviceKey, HashFact>,
    sync: Option<SyncState>,
    /// True in a repeated round.
    is_follow_up: bool,
    /// Devices that were absent in the reading that a saved plan is of.
    absent: HashSet<DeviceKey>,
    /// What may be removed at all.
    removals: Removals,
    /// Registrations that were seen to have a deployment profile.
    profiles: HashSet<RegistrationId>,
    /// Devices of a saved plan that have to wait.
    waits: Waits,
}

impl Reading {
    /// A complete listing.
    pub(super) fn whole(observed: Observed, sync: Option<SyncState>) -> Self {
        Self {
            observed,
            ids: None,
            singles: HashSet::new(),
            unread: HashSet::new(),
            hashes: HashMap::new(),
            sync,
            is_follow_up: false,
            absent: HashSet::new(),
            removals: Removals::All,
            profiles: HashSet::new(),
            waits: Waits::new(),
        }
    }

    /// The same where devices of a saved plan have to wait.
    pub(super) fn waiting(self, waits: Waits) -> Self {
        Self { waits, ..self }
    }

    /// What a saved plan writes, by id. For what it registers nothing is listed:
    /// the service knows, and says so (806).
    pub(super) async fn touched(
        round: &Round<'_>,
        saved: &Plan,
        removals: Removals,
        sync: Option<SyncState>,
    ) -> Result<Self, GraphError> {
        let (mut ids, mut absent) = (Vec::new(), HashSet::new());
        for change in &saved.changes {
            match change.action() {
                Action::Update(Update { id, .. })
                | Action::Deregister(Deregister { id, .. })
                | Action::Release(Release { id, .. })
                | Action::Adopt(Adopt { id, .. })
                | Action::Keep(Keep { id, .. }) => ids.push(*id),
                Action::Register(_) => _ = absent.insert(change.effect.device.clone()),
            }
        }
        let mut devices = Vec::with_capacity(ids.len());
        if !ids.is_empty() {
            // One that cannot be read is not gone.
            for (_, reading) in round.graph.get_devices(&ids).await {
                devices.extend(reading?);
            }
        }
        let observed = Observed::new(Coverage::Only(ids.clone()), devices, round.graph.service_now());
        let singles = ids.iter().copied().collect();
        Ok(Self { ids: Some(ids), singles, absent, removals, ..Self::whole(observed, sync) })
    }

    /// After a round: the registrations of its devices, by id, as far as they
    /// are known. The tenant is listed only where the service says that a
    /// device is registered (806) and does not say which registration it is.
    pub(super) async fn again(
        round: &Round<'_>,
        changes: impl Iterator<Item = &Change>,
        fresh: &[(RegistrationId, Option<Device>)],
        journal: &Journal,
    ) -> Result<Self, GraphError> {
        let changes: Vec<&Change> = changes.collect();
        let mut known: HashMap<RegistrationId, Option<Device>> = fresh.iter().cloned().collect();
        let updated = changes.iter().filter_map(|change| match change.action() {
            Action::Update(update) => Some(update.id),
            _ => None,
        });
        let missing: Vec<_> = updated.filter(|id| !known.contains_key(id)).collect();
        known.extend(read(round.graph, &missing).await?);
        let follow_up = |observed: Observed, ids| Self { ids, is_follow_up: true, ..Self::whole(observed, None) };
        if changes.iter().any(|change| is_somewhere(round.desired, change, journal)) {
            let mut observed = round.graph.list_devices().await?;
            observed.overlay(known.into_iter().collect());
            return Ok(follow_up(observed, None));
        }
        let ids: Vec<_> = known.keys().copied().collect();
        let devices = known.into_values().flatten().collect();
        let observed = Observed::new(Coverage::Only(ids.clone()), devices, round.graph.service_now());
        Ok(follow_up(observed, Some(ids)))
    }

    async fn refresh(&mut self, graph: &Graph, awaiting: &[RegistrationId]) -> Result<(), GraphError> {
        match &self.ids {
            None if awaiting.is_empty() => {
                self.observed = graph.list_devices().await?;
                self.singles.clear();
            }
            // What we wait for is known by id: no need to list the tenant.
            _ => self.observed.overlay(read(graph, awaiting).await?),
        }
        Ok(())
    }
}

/// True where the last word on a device is that it is registered already, or
/// that somebody removed its record: which registration it is, only a listing
/// can tell.
fn is_somewhere(desired: &Desired, change: &Change, journal: &Journal) -> bool {
    let Action::Register(register) = change.action() else { return false };
    let tenant = &desired.tenant;
    let fact = |attempt| {
        let id = import_id(tenant.id, &tenant.owner, change.serial(), register.digest, attempt);
        journal.imports().get(&id)
    };
    let last = (register.attempt..).map_while(fact).last();
    let here = |state: &ImportState| matches!(state, ImportState::Error { code, name } if ImportError::of(*code, name) == ImportError::Here);
    last.is_some_and(|fact| here(&fact.state) || fact.state == ImportState::Removed)
}

/// Reads registrations by id; what cannot be read now is left out.
async fn read(graph: &Graph, ids: &[RegistrationId]) -> Result<Vec<(RegistrationId, Option<Device>)>, GraphError> {
    let mut readings = Vec::with_capacity(ids.len());
    if ids.is_empty() {
        return Ok(readings);
    }
    for (id, reading) in graph.get_devices(ids).await {
        match reading {
            Ok(device) => readings.push((id, device)),
            Err(error) if apply::access(&error).is_some() => return Err(error),
            Err(error) => tracing::warn!(%error, %id, "cannot read the registration"),
        }
    }
    Ok(readings)
}

impl Round<'_> {
    /// Plans over a reading. An apply waits here until what it wrote is
    /// visible, or overdue.
    pub(super) async fn plan(
        &self,
        desired: &Desired,
        mut reading: Reading,
        journal: &mut Journal,
    ) -> Result<Plan, RoundError> {
        let start = self.clock.now();
        loop {
            // On the heap: the futures around it would be too large for a stack.
            let plan = Box::pin(self.judge(desired, &mut reading, journal)).await?;
            let ours = |waiting: &Waiting| *waiting != Waiting::Vendor;
            let awaiting: Vec<_> = plan.awaiting.iter().filter(|awaiting| ours(&awaiting.what)).collect();
            if !self.settle || awaiting.is_empty() || self.clock.now() >= later(start, PATIENCE) {
                return Ok(plan);
            }
            let rhythm = if self.clock.now() < later(start, USUAL) { LOOK } else { LOOK_LATER };
            let ids: Vec<_> = awaiting.iter().filter_map(|awaiting| awaiting.registration_id).collect();
            let all_known = ids.len() == awaiting.len();
            clock::wait(self.clock, self.stop, later(self.clock.now(), rhythm)).await?;
            let ids = if all_known { ids } else { Vec::new() };
            reading.refresh(self.graph, &ids).await?;
        }
    }

    /// Gathers what the planner needs beside the reading, and plans.
    async fn judge(&self, desired: &Desired, reading: &mut Reading, journal: &mut Journal) -> Result<Plan, RoundError> {
        // Whatever a file says: nothing was learnt in the future. Written down,
        // or it would stay as fresh as on the first day.
        let now = self.graph.service_now();
        if journal.is_ahead_of(now) {
            journal.record(now, vec![Entry::Clock]).await?;
        }
        let ledger = self.ledger.filter(|_| !reading.is_follow_up).map(AsRef::as_ref);
        let needs = plan::needs(desired, &reading.observed, ledger);
        let mut sendable: Vec<&Claim> = needs.register.iter().map(|index| &desired.claims()[*index]).collect();
        if !sendable.is_empty() {
            self.read_hashes(&sendable, reading).await?;
        }
        // What an import has made belongs to whoever sent it, also where the
        // journal that knew so is lost.
        let is_lost = journal.is_new() && !reading.is_follow_up;
        if !sendable.is_empty() || is_lost || journal.open_imports().next().is_some() {
            let records = self.own_records(journal).await?;
            let mut ours = ours(desired, &sendable, reading, journal, &records);
            if is_lost {
                sendable = complete(desired, &records, &sendable);
                self.read_hashes(&sendable, reading).await?;
                ours.extend(made(desired, &sendable, reading, &records));
            }
            let now = self.graph.service_now();
            journal.record(now, catch_up::entries(journal, &records, ours, now)).await?;
        }
        let pending = journal.pending();
        let lags = |id: &RegistrationId| pending.contains_key(id) || !reading.singles.contains(id);
        let mut singles: Vec<RegistrationId> = needs.read.iter().copied().filter(lags).collect();
        singles.extend(completed(desired, &needs, reading, journal));
        // What we have removed is looked at until it is gone.
        singles.extend(journal.deleting().keys().filter(|_| !reading.is_follow_up));
        singles.sort_unstable();
        singles.dedup();
        if !singles.is_empty() {
            let read = read(self.graph, &singles).await?;
            let known: HashSet<RegistrationId> = read.iter().map(|(id, _)| *id).collect();
            reading.unread.extend(&singles);
            reading.unread.retain(|id| !known.contains(id));
            let gone = read.iter().filter(|(id, device)| device.is_none() && journal.deleting().contains_key(id));
            let gone = gone.map(|(id, _)| Entry::DeregisterEnd { registration_id: *id, removal: DeregisterEnd::Gone });
            let gone: Vec<Entry> = gone.collect();
            reading.singles.extend(known);
            reading.observed.overlay(read);
            journal.record(self.graph.service_now(), gone).await?;
        }
        let users =
            if singles.is_empty() { needs.users } else { plan::needs(desired, &reading.observed, ledger).users };
        let (domains, users) = self.look_up_users(users).await?;
        if !reading.is_follow_up {
            self.prove(desired, reading).await?;
        }
        let facts = self.facts(reading, journal, domains, users);
        let plan = plan::plan(desired, &reading.observed, &facts);
        let shown = shown(&plan, &reading.observed, &facts, journal);
        journal.record(self.graph.service_now(), shown).await?;
        Ok(plan)
    }

    fn facts(
        &self,
        reading: &Reading,
        journal: &Journal,
        domains: Option<Vec<String>>,
        users: HashMap<String, bool>,
    ) -> Facts {
        Facts {
            now: self.graph.service_now(),
            target: self.target.clone(),
            hashes: reading.hashes.clone(),
            imports: journal.imports().clone(),
            unread: reading.unread.clone(),
            tails: journal.tails(),
            owned: journal.owned().clone(),
            pending: journal.pending().clone(),
            domains,
            users,
            sync: reading.sync.clone(),
            unsynced: journal.unsynced(),
            ended_records: journal.ended_records(),
            ledger: self.ledger.cloned(),
            no_removal: self.no_removal.cloned(),
            loosens: if reading.is_follow_up { Vec::new() } else { self.loosens.to_vec() },
            // A repeated round knows only some of the claims.
            removals: if reading.is_follow_up { Removals::None } else { reading.removals.clone() },
            deleting: journal.deleting().clone(),
            // Once a run.
            retry: if reading.is_follow_up { HashSet::new() } else { self.approvals.retry.clone() },
            tails_first: reading.is_follow_up,
            absent: reading.absent.clone(),
            profiles: reading.profiles.clone(),
            sent: if self.desired.tenant.rollout.is_some() { journal.sent_tags().collect() } else { Vec::new() },
            waits: reading.waits.clone(),
        }
    }

    /// Looks which devices have come to a profile, as far as a rollout has to know:
    /// of each tag until enough of them have.
    async fn prove(&self, desired: &Desired, reading: &mut Reading) -> Result<(), RoundError> {
        let enough = desired.tenant.rollout.map_or(0, |rollout| rollout.enough() as usize);
        for ids in plan::to_prove(desired, &reading.observed, self.ledger.map(AsRef::as_ref)) {
            let mut proven = ids.iter().filter(|id| reading.profiles.contains(id)).count();
            let rest: Vec<RegistrationId> = ids.into_iter().filter(|id| !reading.profiles.contains(id)).collect();
            for chunk in rest.chunks(PROFILES) {
                if proven >= enough {
                    break;
                }
                let found = self.graph.with_profile(chunk).await?;
                proven += found.len();
                reading.profiles.extend(found);
            }
        }
        Ok(())
    }

    /// A pinned hash is not read: a plan needs no key.
    async fn read_hashes(&self, claims: &[&Claim], reading: &mut Reading) -> Result<(), Stopped> {
        let mut unread: Vec<(&Claim, WantedHash)> = Vec::new();
        for claim in claims.iter().copied() {
            let Some(reference) = &claim.hash else { continue };
            if reading.hashes.contains_key(&claim.key()) {
                continue;
            }
            match reference.pin {
                Some(digest) => _ = reading.hashes.insert(claim.key(), HashFact::Pinned { digest }),
                None => {
                    unread.push((claim, WantedHash { reference: reference.clone(), serial: claim.serial.clone() }));
                }
            }
        }
        for chunk in unread.chunks(HASHES) {
            let wanted = chunk.iter().map(|(_, wanted)| wanted.clone()).collect();
            let hashes = tokio::select! {
                hashes = self.hashes.read(wanted) => hashes,
                () = self.stop.asked() => return Err(Stopped),
            };
            for ((claim, _), read) in chunk.iter().zip(hashes) {
                let fact = match read {
                    Ok(hash) => {
                        let hardware = hash.decode().map(|decoded| identity_keys(&decoded)).unwrap_or_default();
                        HashFact::Read { digest: hash.digest(), hardware }
                    }
                    Err(HashError::Unusable(message)) => HashFact::Unusable { message },
                    Err(HashError::NotHere(message)) => HashFact::NotAvailable { message },
                };
                reading.hashes.insert(claim.key(), fact);
            }
        }
        Ok(())
    }

    /// The import records, listed once. What was sent moments ago may not
    /// have its record yet, and must not be taken for lost.
    async fn own_records(&self, journal: &Journal) -> Result<Vec<ImportRecord>, RoundError> {
        let now = self.graph.service_now();
        let unsent = journal.open_imports().filter(|(_, fact)| fact.state == ImportState::Unsent);
        let youngest: Option<Timestamp> = unsent.map(|(_, fact)| fact.at.min(now)).max();
        if let Some(at) = youngest {
            clock::wait(self.clock, self.stop, self.graph.ours(later(at, LISTED_WITHIN))).await?;
        }
        Ok(self.graph.list_imports().await?)
    }

    /// Microsoft checks only the domain of a user, and a wrong user locks the
    /// device; so each user to be assigned is looked up, as far as we may.
    async fn look_up_users(
        &self,
        users: Vec<String>,
    ) -> Result<(Option<Vec<String>>, HashMap<String, bool>), GraphError> {
        if users.is_empty() {
            return Ok((None, HashMap::new()));
        }
        let organization = self.graph.organization().await?;
        let domains = organization.map(|organization| organization.verified_domains);
        let domains = domains.map(|domains| domains.iter().map(|domain| domain.as_str().to_lowercase()).collect());
        let exist = self.graph.users_exist(&users).await?;
        let users = users.into_iter().zip(exist).filter_map(|(user, exists)| Some((user, exists?))).collect();
        Ok((domains, users))
    }
}

/// Registrations that show what we wrote to them, or what our import could not
/// carry, are owed nothing more. Of what nobody answered, it need not be us who
/// wrote it.
fn shown(plan: &Plan, observed: &Observed, facts: &Facts, journal: &Journal) -> Vec<Entry> {
    let ours = |id: &RegistrationId| facts.tails.contains_key(id) || journal.awaited(*id).is_some();
    let unchanged: HashSet<RegistrationId> = plan.unchanged.iter().map(|(_, id)| *id).filter(ours).collect();
    if unchanged.is_empty() {
        return Vec::new();
    }
    let end = |device: &Device| {
        let is_there = |field: Field, value: &str| field.same(field.of(device), value);
        let (is_shown, end) = match journal.awaited(device.id) {
            Some((fields, true)) => (fields.iter().all(|f| is_there(f.field, &f.after)), UpdateEnd::Visible),
            Some((fields, false)) => (fields.iter().all(|f| is_there(f.field, &f.after)), UpdateEnd::Found),
            None => (facts.tails[&device.id].values.iter().all(|(f, value)| is_there(*f, value)), UpdateEnd::Visible),
        };
        is_shown.then_some(Entry::UpdateEnd { registration_id: device.id, end })
    };
    observed.devices().iter().filter(|device| unchanged.contains(&device.id)).filter_map(end).collect()
}

/// The imports with which a device may have been sent, in their order.
fn attempts<'d>(
    desired: &'d Desired,
    claim: &'d Claim,
    reading: &Reading,
) -> impl Iterator<Item = (ImportId, HashDigest, u32)> + 'd {
    let digest = match reading.hashes.get(&claim.key()) {
        Some(HashFact::Read { digest, .. } | HashFact::Pinned { digest }) => Some(*digest),
        Some(HashFact::Unusable { .. } | HashFact::NotAvailable { .. }) | None => None,
    };
    let tenant = &desired.tenant;
    let of = move |attempt| {
        let digest = digest?;
        Some((import_id(tenant.id, &tenant.owner, &claim.serial, digest, attempt), digest, attempt))
    };
    (1..).map_while(of)
}

/// Further claims of whose devices an import record tells that they are registered.
fn complete<'d>(desired: &'d Desired, records: &[ImportRecord], others: &[&Claim]) -> Vec<&'d Claim> {
    let is_complete =
        |record: &&ImportRecord| record.import_id.is_some() && matches!(record.state, ImportState::Complete { .. });
    let serials: HashSet<SerialKey> =
        records.iter().filter(is_complete).map(|record| SerialKey::of(&record.serial)).collect();
    let others: HashSet<DeviceKey> = others.iter().map(|claim| claim.key()).collect();
    let claims = desired.claims().iter();
    claims.filter(|claim| serials.contains(&claim.serial.key()) && !others.contains(&claim.key())).collect()
}

/// The imports of these devices that have been made: by this journal, or by one
/// that is lost.
fn ours(
    desired: &Desired,
    claims: &[&Claim],
    reading: &Reading,
    journal: &Journal,
    records: &[ImportRecord],
) -> Vec<(ImportId, Entry)> {
    let listed: HashSet<ImportId> = records.iter().filter_map(|record| record.import_id).collect();
    let used = |id: &ImportId| listed.contains(id) || journal.imports().contains_key(id);
    let mut ours = Vec::new();
    for claim in claims.iter().copied() {
        for (import_id, hash, attempt) in attempts(desired, claim, reading).take_while(|(id, ..)| used(id)) {
            let (tail, carried) = (tail(&plan::wanted(claim)), carried(&plan::wanted(claim)));
            let device = claim.key();
            ours.push((import_id, Entry::ImportIntent { import_id, device, hash, attempt, tail, carried }));
        }
    }
    ours
}

/// The imports that have made registrations of these devices. What they could not
/// carry is not known any more: what is declared today may be another thing, and
/// is an update like any other.
fn made(desired: &Desired, claims: &[&Claim], reading: &Reading, records: &[ImportRecord]) -> Vec<(ImportId, Entry)> {
    let is_complete = |record: &&ImportRecord| matches!(record.state, ImportState::Complete { .. });
    let complete: HashSet<ImportId> = records.iter().filter(is_complete).filter_map(|of| of.import_id).collect();
    let of = |claim: &&Claim| {
        let mut attempts = attempts(desired, claim, reading).take(ATTEMPTS);
        let (import_id, hash, attempt) = attempts.find(|(id, ..)| complete.contains(id))?;
        let (device, tail, carried) = (claim.key(), Vec::new(), carried(&plan::wanted(claim)));
        Some((import_id, Entry::ImportIntent { import_id, device, hash, attempt, tail, carried }))
    };
    claims.iter().filter_map(of).collect()
}

/// Registrations that our imports made, and that the reading lacks.
fn completed(desired: &Desired, needs: &Needs, reading: &Reading, journal: &Journal) -> Vec<RegistrationId> {
    let mut completed = Vec::new();
    for index in &needs.register {
        let attempts = attempts(desired, &desired.claims()[*index], reading);
        let facts = attempts.map_while(|(id, ..)| journal.imports().get(&id));
        completed.extend(facts.filter_map(|fact| match fact.state {
            ImportState::Complete { registration_id } => Some(registration_id),
            _ => None,
        }));
    }
    completed
}
