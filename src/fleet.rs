//! Rounds over several tenants. Every command goes through here, for one
//! tenant or for many: all of them are read and judged before the first write,
//! and all of them have an account at the end.

use std::collections::{HashMap, HashSet};

use crate::apply::{Event, Halt, Outcome, Outcomes};
use crate::clock::Stop;
use crate::connect::Connection;
use crate::graph::GraphWriter;
use crate::hash::HashSource;
use crate::ledger::{Entry, Journal, JournalError, Tail};
use crate::model::{Desired, DeviceKey, RegistrationId};
use crate::plan::{Approvals, Approved, Change};
use crate::round::{Consent, Prepared, Report, Round, RoundError};

/// One tenant of a run, with the ways to it.
pub(crate) struct Member<'a> {
    pub desired: &'a Desired,
    pub connection: Connection,
    pub journal: Journal,
    pub hashes: Box<dyn HashSource>,
    /// What a person has approved beforehand, by number.
    pub approvals: Approvals,
}

/// What a digest that was approved stands for now.
#[derive(Debug, PartialEq)]
pub(crate) enum Standing {
    /// The plan is that very one.
    Same,
    /// It was approved before, and in part carried out. What is left of it is
    /// the plan now.
    Rest(Box<Rest>),
    /// It is another plan.
    Other,
}

/// What is left of an approval.
#[derive(Debug, PartialEq)]
pub(crate) struct Rest {
    /// What of it can be done now.
    pub prepared: Prepared,
    /// Changes that are not part of it.
    pub others: usize,
    /// Approved devices that are held or waited for now.
    pub held: usize,
    /// Approved devices that are declared no more.
    pub gone: usize,
}

impl Rest {
    /// True if everything that was approved is done.
    pub(crate) fn is_done(&self) -> bool {
        self.prepared.cleared.plan().is_empty() && self.is_whole()
    }

    /// True if everything that is not done can be done now.
    pub(crate) fn is_whole(&self) -> bool {
        self.held + self.gone == 0
    }
}

impl Member<'_> {
    /// The name by which people know the tenant.
    pub(crate) fn name(&self) -> &str {
        &self.desired.tenant.name
    }

    /// Says what would be done. `settle`: wait for our own writes first.
    ///
    /// # Errors
    /// When the tenant cannot be read to the end.
    pub(crate) async fn prepare(&mut self, settle: bool, stop: &Stop) -> Result<Prepared, RoundError> {
        let Self { desired, connection, journal, hashes, approvals } = self;
        round(desired, connection, hashes.as_ref(), approvals, settle, stop).prepare(journal).await
    }

    /// Holds an approved digest against what would be done. An approval of
    /// which everything is done is spent from here on.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub(crate) async fn standing(&mut self, digest: &str, prepared: &Prepared) -> Result<Standing, JournalError> {
        if prepared.cleared.plan().digest().sha256 == digest {
            return Ok(Standing::Same);
        }
        if self.journal.is_spent(digest) {
            let others = prepared.cleared.plan().changes.len();
            let prepared = prepared.clone().only(&Approved::default());
            return Ok(Standing::Rest(Box::new(Rest { prepared, others, held: 0, gone: 0 })));
        }
        let Some(approval) = self.journal.approval(digest) else { return Ok(Standing::Other) };
        let Some(rest) = rest(&Approved::rest(approval), &self.journal.tails(), prepared) else {
            return Ok(Standing::Other);
        };
        if rest.is_done() {
            let now = self.connection.graph.service_now();
            self.journal.record(now, vec![Entry::Spent { digest: digest.to_owned() }]).await?;
        }
        Ok(Standing::Rest(Box::new(rest)))
    }

    /// Does what was prepared and consented to; where somebody has asked to
    /// stop before, says of each effect that it was not tried.
    pub(crate) async fn carry_out(
        &mut self,
        prepared: Prepared,
        consent: Consent,
        stop: &Stop,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Report {
        if stop.is_asked() {
            return self.not_reached(prepared);
        }
        let Self { desired, connection, journal, hashes, approvals } = self;
        let writer = GraphWriter::new(connection.graph.clone());
        let round = round(desired, connection, hashes.as_ref(), approvals, true, stop);
        round.carry_out(prepared, consent, &writer, journal, on_event).await
    }

    /// The account of a tenant that the run did not come to.
    fn not_reached(&self, prepared: Prepared) -> Report {
        let changes = prepared.cleared.plan().changes.iter();
        let of = changes.map(|change| (change.clone(), Outcome::not_reached())).collect();
        let now = self.connection.clock.now();
        Report {
            outcomes: Outcomes { of, cancelled: true, ..Outcomes::default() },
            left: None,
            calls: prepared.calls,
            started: now,
            ended: now,
            halt: Some(Halt::Asked),
            prepared,
        }
    }
}

/// What of a plan is left of an approval. `None` if an approved device would
/// be changed in another way now.
fn rest(approved: &Approved, tails: &HashMap<RegistrationId, Tail>, prepared: &Prepared) -> Option<Rest> {
    let plan = prepared.cleared.plan();
    let is_over = |device: &DeviceKey| approved.get(device).is_none() || approved.has_done(device);
    let mut others = 0;
    for Change { effect, .. } in &plan.changes {
        match approved.refuses(effect, &plan.tenant) {
            None => {}
            Some(_) if is_over(&effect.device) => others += 1,
            Some(_) => return None,
        }
    }
    // What an import could not carry is part of what was approved.
    let owes = |id: Option<RegistrationId>| id.is_some_and(|id| tails.contains_key(&id));
    let held = plan.held.iter().map(|held| (&held.device, held.registration_id));
    let waiting = plan.awaiting.iter().map(|awaiting| (&awaiting.device, awaiting.registration_id));
    let in_the_way: Vec<_> = held.chain(waiting).collect();
    let is_open = |(device, id): &&(&DeviceKey, _)| !is_over(device) || (approved.get(device).is_some() && owes(*id));
    let held = in_the_way.iter().filter(is_open).count();
    let changes = plan.changes.iter().map(|change| &change.effect.device);
    let unchanged = plan.unchanged.iter().map(|(device, _)| device);
    let declared: HashSet<&DeviceKey> =
        changes.chain(unchanged).chain(in_the_way.iter().map(|(device, _)| *device)).collect();
    let gone = approved.open().filter(|device| !declared.contains(device)).count();
    Some(Rest { prepared: prepared.clone().only(approved), others, held, gone })
}

fn round<'r>(
    desired: &'r Desired,
    connection: &'r Connection,
    hashes: &'r dyn HashSource,
    approvals: &'r Approvals,
    settle: bool,
    stop: &'r Stop,
) -> Round<'r> {
    let Connection { graph, clock, target } = connection;
    Round { desired, target, graph, clock: clock.as_ref(), hashes, approvals, settle, stop }
}

/// Prepares all tenants, one after the other. The first that cannot be read
/// ends it: nothing has been written anywhere.
///
/// # Errors
/// With the place of the tenant among `members`.
pub(crate) async fn prepare(members: &mut [Member<'_>], stop: &Stop) -> Result<Vec<Prepared>, (usize, RoundError)> {
    let mut all = Vec::with_capacity(members.len());
    for (at, member) in members.iter_mut().enumerate() {
        all.push(member.prepare(true, stop).await.map_err(|error| (at, error))?);
    }
    Ok(all)
}
