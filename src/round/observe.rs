//! Reading as much of the tenant as the plan needs, and planning over it.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use crate::apply;
use crate::graph::{Graph, GraphError, ImportRecord, ImportState as RecordState};
use crate::hash::identity_keys;
use crate::ledger::{ImportFact, ImportState, Journal};
use crate::model::{Coverage, Desired, Device, HashError, ImportId, Observed, RegistrationId};
use crate::plan::{self, Action, Facts, HashFact, ImportError, Needs, Plan, Waiting, import_id};

use super::{Round, RoundError};

/// The rhythm of looking at what we wrote, the rhythm after the usual time has
/// passed, and the longest time that a plan is put off for it.
const LOOK: SignedDuration = SignedDuration::from_secs(20);
const LOOK_LATER: SignedDuration = SignedDuration::from_secs(60);
const USUAL: SignedDuration = SignedDuration::from_mins(2);
const PATIENCE: SignedDuration = SignedDuration::from_mins(20);

/// A row that was sent this lately may have no record yet.
const RECORD_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// What was read of the tenant, and how to read it again.
pub(super) struct Reading {
    observed: Observed,
    /// Read again only these, not the listing.
    ids: Option<Vec<RegistrationId>>,
}

impl Reading {
    /// A complete listing.
    pub fn whole(observed: Observed) -> Self {
        Self { observed, ids: None }
    }

    /// After a round: the registrations of its devices, by id, as far as they
    /// are known. The tenant is listed only where the service says that a
    /// device is registered (806) and does not say which registration it is.
    pub async fn again(
        round: &Round<'_>,
        first: &Plan,
        fresh: &[(RegistrationId, Option<Device>)],
        journal: &Journal,
    ) -> Result<Self, GraphError> {
        let somewhere = |change: &plan::Change| {
            let Action::Register(register) = &change.action else { return false };
            let tenant = &first.tenant;
            let fact = |attempt| {
                let id = import_id(tenant.id, &tenant.owner, &change.serial, register.digest, attempt);
                journal.imports().get(&id)
            };
            let last = (register.attempt..).map_while(fact).last();
            let here = |state: &ImportState| matches!(state, ImportState::Error { code, name } if ImportError::of(*code, name) == ImportError::Here);
            last.is_some_and(|fact| here(&fact.state))
        };
        let mut known: HashMap<RegistrationId, Option<Device>> = fresh.iter().cloned().collect();
        let updated = first.changes.iter().filter_map(|change| match &change.action {
            Action::Update(update) => Some(update.id),
            Action::Register(_) => None,
        });
        let missing: Vec<_> = updated.filter(|id| !known.contains_key(id)).collect();
        known.extend(read(round.graph, &missing).await?);
        let now = round.clock.now();
        if first.changes.iter().any(somewhere) {
            let mut observed = round.graph.list_devices().await?;
            observed.overlay(known.into_iter().collect());
            return Ok(Self { observed, ids: None });
        }
        let ids: Vec<_> = known.keys().copied().collect();
        let devices = known.into_values().flatten().collect();
        Ok(Self { observed: Observed::new(Coverage::Only(ids.clone()), devices, now), ids: Some(ids) })
    }

    async fn refresh(&mut self, graph: &Graph, now: Timestamp, awaiting: &[RegistrationId]) -> Result<(), GraphError> {
        match &self.ids {
            None if awaiting.is_empty() => self.observed = graph.list_devices().await?,
            // What we wait for is known by id: no need to list the tenant.
            _ => {
                self.observed.overlay(read(graph, awaiting).await?);
                self.observed.at = now;
            }
        }
        Ok(())
    }
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
        journal: &Journal,
    ) -> Result<Plan, RoundError> {
        let start = self.clock.now();
        loop {
            if self.stop.is_asked() {
                return Err(RoundError::Stopped);
            }
            let plan = self.judge(desired, &mut reading.observed, journal).await?;
            let ours = |waiting: &Waiting| *waiting != Waiting::Vendor;
            let awaiting: Vec<_> = plan.awaiting.iter().filter(|awaiting| ours(&awaiting.what)).collect();
            if !self.settle || awaiting.is_empty() || self.clock.now() >= start + PATIENCE {
                return Ok(plan);
            }
            let rhythm = if self.clock.now() < start + USUAL { LOOK } else { LOOK_LATER };
            let ids: Vec<_> = awaiting.iter().filter_map(|awaiting| awaiting.registration_id).collect();
            let all_known = ids.len() == awaiting.len();
            tokio::select! {
                () = self.clock.sleep_until(self.clock.now() + rhythm) => {}
                () = self.stop.asked() => return Err(RoundError::Stopped),
            }
            let ids = if all_known { ids } else { Vec::new() };
            reading.refresh(self.graph, self.clock.now(), &ids).await?;
        }
    }

    /// Gathers what the planner needs beside the reading, and plans.
    async fn judge(&self, desired: &Desired, observed: &mut Observed, journal: &Journal) -> Result<Plan, GraphError> {
        let mut facts = Facts {
            now: self.clock.now(),
            imports: journal.imports().clone(),
            pending: journal.pending().clone(),
            ..Facts::default()
        };
        let needs = plan::needs(desired, observed, &facts);
        let mut singles = needs.read.clone();
        if !needs.register.is_empty() {
            self.read_hashes(desired, &needs, &mut facts);
            let records = self.own_records(journal).await?;
            facts.now = self.clock.now();
            merge(&mut facts, &records);
            singles.extend(self.completed(desired, &needs, &facts));
        }
        if !singles.is_empty() {
            observed.overlay(read(self.graph, &singles).await?);
        }
        let users = if singles.is_empty() { needs.users } else { plan::needs(desired, observed, &facts).users };
        self.look_up_users(&users, &mut facts).await?;
        facts.now = self.clock.now();
        Ok(plan::plan(desired, observed, &facts))
    }

    /// A pinned hash is not read: a plan needs no key.
    fn read_hashes(&self, desired: &Desired, needs: &Needs, facts: &mut Facts) {
        for index in &needs.register {
            let claim = &desired.claims()[*index];
            let Some(reference) = &claim.hash else { continue };
            let fact = match reference.pin {
                Some(digest) => HashFact::Pinned { digest },
                None => match self.hashes.read(reference, &claim.serial) {
                    Ok(hash) => {
                        let hardware = hash.decode().map(|decoded| identity_keys(&decoded)).unwrap_or_default();
                        HashFact::Read { digest: hash.digest(), hardware }
                    }
                    Err(HashError::Unusable(message)) => HashFact::Unusable { message },
                    Err(HashError::NotHere(message)) => HashFact::NotAvailable { message },
                },
            };
            facts.hashes.insert(claim.serial.key(), fact);
        }
    }

    /// The import records, listed once. What was sent moments ago may not
    /// have its record yet, and must not be taken for lost.
    async fn own_records(&self, journal: &Journal) -> Result<Vec<ImportRecord>, GraphError> {
        let unsent = |fact: &&ImportFact| fact.state == ImportState::Unsent;
        let youngest = journal.imports().values().filter(unsent).map(|fact| fact.at).max();
        if let Some(at) = youngest {
            self.clock.sleep_until(at + RECORD_WITHIN).await;
        }
        self.graph.list_imports().await
    }

    /// Registrations that our imports made, and that the reading lacks.
    fn completed(&self, desired: &Desired, needs: &Needs, facts: &Facts) -> Vec<RegistrationId> {
        let tenant = &desired.tenant;
        let mut completed = Vec::new();
        for index in &needs.register {
            let claim = &desired.claims()[*index];
            let digest = match facts.hashes.get(&claim.serial.key()) {
                Some(HashFact::Read { digest, .. } | HashFact::Pinned { digest }) => *digest,
                _ => continue,
            };
            let fact =
                |attempt| facts.imports.get(&import_id(tenant.id, &tenant.owner, &claim.serial, digest, attempt));
            completed.extend((1..).map_while(fact).filter_map(|fact| match fact.state {
                ImportState::Complete { registration_id } => Some(registration_id),
                _ => None,
            }));
        }
        completed
    }

    /// Microsoft checks only the domain of a user, and a wrong user locks the
    /// device; so each user to be assigned is looked up, as far as we may.
    async fn look_up_users(&self, users: &[String], facts: &mut Facts) -> Result<(), GraphError> {
        if users.is_empty() {
            return Ok(());
        }
        let organization = self.graph.organization().await?;
        let domains = organization.map(|organization| organization.verified_domains);
        facts.domains = domains.map(|domains| domains.iter().map(|domain| domain.as_str().to_lowercase()).collect());
        for user in users {
            let Some(exists) = self.graph.user_exists(user).await? else { break };
            facts.users.insert(user.clone(), exists);
        }
        Ok(())
    }
}

/// Puts the service's records over the journal's memory. A record that is gone
/// while the journal thinks it runs was removed by somebody: nothing is known.
fn merge(facts: &mut Facts, records: &[ImportRecord]) {
    let listed: HashSet<ImportId> = records.iter().filter_map(|record| record.import_id).collect();
    for (id, fact) in &mut facts.imports {
        if fact.state == ImportState::Running && !listed.contains(id) {
            fact.state = ImportState::Unsent;
        }
    }
    for record in records {
        let Some(id) = record.import_id else { continue };
        let state = match &record.state {
            RecordState::Complete { registration_id: Some(id) } => ImportState::Complete { registration_id: *id },
            RecordState::Error { code, name } => ImportState::Error { code: i64::from(*code), name: name.to_string() },
            _ => ImportState::Running,
        };
        let fact = facts.imports.entry(id).or_insert(ImportFact { state: ImportState::Unsent, at: facts.now });
        // The journal knows since when; a record has no date of its own.
        if fact.state != state {
            *fact = ImportFact { state, at: facts.now };
        }
    }
}
