//! One round: observe, plan, clear, schedule; then carry out.
//!
//! There is a gap in it: between [`Round::prepare`] and [`Round::carry_out`]
//! a person, an approval or days may pass. Asking belongs to the caller.

mod finish;
mod observe;

use jiff::Timestamp;

use crate::apply::{self, Event, Execution, Halt, Outcome, Outcomes, Schedule, Stop, Tools};
use crate::clock::Clock;
use crate::graph::{Graph, GraphError, GraphWriter};
use crate::ledger::{Journal, JournalError};
use crate::model::{Desired, Device, HashSource, RegistrationId, SerialKey, SyncState};
use crate::plan::{Action, Approvals, Change, ClearedPlan, Plan, Waiting, guard};

use observe::Reading;

/// A run repeats its round at most this often: what four rounds do not settle
/// needs time or a person.
const ROUNDS: u32 = 4;

/// The fixed parts of a run: what is wanted, and the ways to the outside.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    pub desired: &'a Desired,
    pub graph: &'a Graph,
    pub clock: &'a dyn Clock,
    pub hashes: &'a dyn HashSource,
    pub approvals: &'a Approvals,
    /// True for an apply: what we wrote lately is waited for before planning,
    /// so that what follows from it is part of the plan that is approved.
    pub settle: bool,
    pub stop: &'a Stop,
}

/// What a round would do, judged and ordered, nothing written yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    pub cleared: ClearedPlan,
    pub schedule: Schedule,
    /// When the tenant last synced, if it told us.
    pub sync: Option<SyncState>,
    /// How many requests it took to know this.
    pub calls: u64,
}

/// What a run did.
#[derive(Debug)]
#[must_use = "an outcome that nobody reads is work lost"]
pub struct Report {
    /// What was approved.
    pub prepared: Prepared,
    /// One outcome per change of the approved plan.
    pub outcomes: Outcomes,
    /// The plan of the last round, over the devices of the first: what is
    /// still to do. `None` if the run halted before it knew.
    pub left: Option<Plan>,
    /// How many requests the run took, planning included.
    pub calls: u64,
    pub started: Timestamp,
    pub ended: Timestamp,
    /// Why the run could not go on, if so.
    pub halt: Option<Halt>,
}

/// Says why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("stopped on request")]
    Stopped,
}

impl Round<'_> {
    /// Reads the tenant and says what would be done. Writes nothing.
    ///
    /// # Errors
    /// When the tenant cannot be read to the end.
    pub async fn prepare(&self, journal: &Journal) -> Result<Prepared, RoundError> {
        let calls = self.graph.calls();
        let observed = self.graph.list_devices().await?;
        let sync = self.sync_state().await?;
        let plan = self.plan(self.desired, Reading::whole(observed), journal).await?;
        let cleared = guard::clear(plan, self.approvals);
        let schedule = apply::schedule(&cleared, sync.as_ref(), self.clock.now());
        Ok(Prepared { cleared, schedule, sync, calls: self.graph.calls() - calls })
    }

    /// Does what was prepared, in repeated rounds: what an import cannot
    /// carry, what was lost and what was refused for a reason that passes is
    /// the next round's plan. Later rounds may do only effects of the first.
    pub async fn carry_out(
        &self,
        prepared: Prepared,
        writer: &GraphWriter,
        journal: &mut Journal,
        on_event: &mut dyn FnMut(Event),
    ) -> Report {
        let started = self.clock.now();
        let calls = self.graph.calls();
        let mut run = Run {
            round: *self,
            first: &prepared,
            tools: Tools { writer, clock: self.clock, journal, hashes: self.hashes, stop: self.stop, on_event },
            outcomes: Outcomes::default(),
            readings: Vec::new(),
            left: None,
        };
        let mut halt = run.rounds().await.err();
        if let Err(error) = run.finish(halt.is_some()).await {
            halt = halt.or(Some(error));
        }
        let Run { outcomes, left, .. } = run;
        let outcomes = settle_accounts(outcomes, left.as_ref());
        let calls = prepared.calls + self.graph.calls() - calls;
        Report { prepared, outcomes, left, calls, started, ended: self.clock.now(), halt }
    }

    /// The settings are told only on beta, and a tenant without them can still
    /// be planned.
    async fn sync_state(&self) -> Result<Option<SyncState>, GraphError> {
        match self.graph.sync_state().await {
            Ok(state) => Ok(Some(state)),
            Err(error) if apply::access(&error).is_some() => Err(error),
            Err(error) => {
                tracing::warn!(%error, "cannot read when the tenant last synced");
                Ok(None)
            }
        }
    }
}

/// One run under way.
struct Run<'a> {
    round: Round<'a>,
    first: &'a Prepared,
    tools: Tools<'a>,
    outcomes: Outcomes,
    /// Registrations as last read by id.
    readings: Vec<(RegistrationId, Option<Device>)>,
    left: Option<Plan>,
}

impl Run<'_> {
    async fn rounds(&mut self) -> Result<(), Halt> {
        let first = self.first;
        let effects = first.cleared.effects();
        let (mut cleared, mut schedule) = (first.cleared.clone(), first.schedule.clone());
        for number in 1..=ROUNDS {
            let changes = &cleared.plan().changes;
            if changes.is_empty() {
                return Ok(());
            }
            (self.tools.on_event)(Event::Round { number, changes: changes.len() });
            let Execution { outcomes, readings, halt } = apply::execute(&cleared, &schedule, &mut self.tools).await;
            let worth_another = worth_another(&outcomes);
            self.outcomes.absorb(outcomes);
            self.readings.extend(readings);
            halt.map_or(Ok(()), Err)?;
            let plan = self.follow_up().await?;
            cleared = guard::clear_follow_up(plan, &effects);
            schedule = apply::schedule(&cleared, None, self.round.clock.now());
            self.left = Some(cleared.plan().clone());
            if !worth_another || self.outcomes.gate_closed.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Plans again, over the devices of the first plan only.
    async fn follow_up(&mut self) -> Result<Plan, Halt> {
        let first = self.first.cleared.plan();
        let desired = only_changed(self.round.desired, &first.changes);
        let reading = Reading::again(&self.round, first, &self.readings, self.tools.journal).await;
        let plan = match reading {
            Ok(reading) => self.round.plan(&desired, reading, self.tools.journal).await,
            Err(error) => Err(error.into()),
        };
        plan.map_err(|error| match error {
            RoundError::Graph(error) => Halt::Access(error),
            RoundError::Journal(error) => Halt::Journal(error),
            RoundError::Stopped => Halt::Asked,
        })
    }
}

/// A round that moved nothing, and met nothing that may pass, is the last.
fn worth_another(outcomes: &Outcomes) -> bool {
    outcomes.of.iter().any(|(_, outcome)| match outcome {
        Outcome::Done { .. } | Outcome::Awaiting { .. } => true,
        // What 806 means for the device is only known after another look.
        Outcome::Failed { reason, .. } => reason.may_pass() || *reason == crate::plan::Reason::AlreadyRegistered,
        Outcome::NotAttempted { .. } => false,
    })
}

/// The claims that the first plan changes.
fn only_changed(desired: &Desired, changes: &[Change]) -> Desired {
    let changed: std::collections::HashSet<(SerialKey, Option<RegistrationId>)> = changes
        .iter()
        .map(|change| match &change.action {
            Action::Register(_) => (change.serial.key(), None),
            Action::Update(update) => (change.serial.key(), Some(update.id)),
        })
        .collect();
    let is_changed = |claim: &crate::model::Claim| {
        let key = claim.serial.key();
        match claim.registration_id {
            Some(id) => changed.contains(&(key, Some(id))),
            None => changed.iter().any(|(of, _)| *of == key),
        }
    };
    let claims = desired.claims().iter().filter(|claim| is_changed(claim)).cloned().collect();
    Desired::new(desired.tenant.clone(), claims)
}

/// The last plan has the last word on every device: what it neither changes
/// nor holds nor waits for is done.
fn settle_accounts(mut outcomes: Outcomes, left: Option<&Plan>) -> Outcomes {
    let Some(left) = left else { return outcomes };
    for (change, outcome) in &mut outcomes.of {
        let key = change.serial.key();
        let held = left.held.iter().find(|held| held.serial.key() == key);
        let awaiting = left.awaiting.iter().find(|awaiting| awaiting.serial.key() == key);
        let still = left.changes.iter().find(|change| change.serial.key() == key);
        let not_attempted = matches!(outcome, Outcome::NotAttempted { .. });
        match (held, awaiting.map(|awaiting| &awaiting.what), still, &*outcome) {
            // What the service said when we tried tells more than the memory of it.
            (Some(held), _, _, Outcome::Done { .. } | Outcome::Awaiting { .. }) => {
                let message = held.details.join("; ");
                *outcome = Outcome::Failed { reason: held.reason, message };
            }
            (_, Some(Waiting::Registration { since } | Waiting::Values { since, .. }), ..) if !not_attempted => {
                *outcome = Outcome::Awaiting { since: *since };
            }
            (None, None, Some(_), Outcome::Done { .. }) => {
                let reason = crate::plan::Reason::NotVisible;
                let message = "registered, but not all declared values are there yet".to_owned();
                *outcome = Outcome::Failed { reason, message };
            }
            (None, None, None, Outcome::Failed { .. } | Outcome::Awaiting { .. }) => {
                let id = left.unchanged.iter().find(|(of, _)| *of == key).map(|(_, id)| *id);
                if let Some(registration_id) = id {
                    *outcome = Outcome::Done { registration_id, at: left.observed_at };
                }
            }
            _ => {}
        }
    }
    outcomes
}
