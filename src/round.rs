//! One round: observe, plan, clear, schedule; then carry out.
//!
//! There is a gap in it: between [`Round::prepare`] and [`Round::carry_out`]
//! a person, an approval or days may pass. Asking belongs to the caller; what
//! was prepared is plain data that can be written down.

mod account;
mod catch_up;
mod finish;
mod observe;
mod run;
mod saved;
mod sync;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::apply::{self, Event, Halt, Outcome, Outcomes, Schedule, SyncOutcome, Tools};
use crate::clock::{Clock, Stop, Stopped};
use crate::graph::{ErrorKind, Graph, GraphError, GraphWriter};
use crate::hash::HashSource;
use crate::ledger::{Entry, Journal, JournalError, Ledger, LedgerError};
use crate::model::{Action, Desired, Loosen, SyncState, Target};
use crate::plan::{Approvals, Approved, Change, ClearedPlan, NoRemoval, Plan, Reason, guard};

use observe::Reading;
use run::Run;
pub use saved::{Goes, Stale, TakenUp, take_up};
pub(crate) use sync::{SyncAnswer, ask_for_sync};

/// The fixed parts of a run: what is wanted, and the ways to the outside.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    /// What the tenant shall hold.
    pub desired: &'a Desired,
    /// Where the tenant is reached; part of what is approved.
    pub target: &'a Target,
    /// How it is read.
    pub graph: &'a Graph,
    /// Our own time.
    pub clock: &'a dyn Clock,
    /// Where hashes are kept.
    pub hashes: &'a dyn HashSource,
    /// What a person has approved beforehand, by number.
    pub approvals: &'a Approvals,
    /// What we have applied before; `None` where no ledger is kept.
    pub ledger: Option<&'a Arc<Ledger>>,
    /// The plan that this machine began last and did not end, by its id.
    pub broke_off: Option<&'a str>,
    /// Guards that are declared looser than they were applied; `desired` has the
    /// stricter ones.
    pub loosens: &'a [Loosen],
    /// Why nothing may be removed, whatever the plan says.
    pub no_removal: Option<&'a NoRemoval>,
    /// True for an apply: what we wrote lately is waited for before planning,
    /// so that what follows from it is part of the plan that is approved.
    pub settle: bool,
    /// Heard before each request and in each wait.
    pub stop: &'a Stop,
}

/// What a round would do, judged and ordered, nothing written yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// What would be written, and what is held.
    pub cleared: ClearedPlan,
    /// In which order, and at what cost.
    pub schedule: Schedule,
    /// When the tenant last synced, if it told us.
    pub sync: Option<SyncState>,
    /// How many requests it took to know this.
    pub calls: u64,
    /// When the reading began, by our own clock: how old it is must not hang
    /// on what the service says of the time.
    pub read_at: Timestamp,
}

/// How a plan was consented to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Beforehand, to whatever the plan would be: the readings are as fresh
    /// as the plan.
    Unseen,
    /// To this very plan, by somebody who looked at it: time has passed, so
    /// every registration is read again right before it is written.
    Seen,
    /// The same, to a plan that was approved before and carried out in part:
    /// the journal has that approval, and keeps it as it was.
    Resumed,
    /// The same, where some of what was approved is held or waited for now.
    ResumedInPart,
}

impl Consent {
    /// True if the journal has the approval already.
    fn is_resumed(self) -> bool {
        matches!(self, Self::Resumed | Self::ResumedInPart)
    }
}

/// What a run did.
#[derive(Debug)]
#[must_use = "an outcome that nobody reads is work lost"]
pub struct Report {
    /// What was approved.
    pub prepared: Prepared,
    /// How it was.
    pub consent: Consent,
    /// One outcome per change of the approved plan.
    pub outcomes: Outcomes,
    /// The plan of the last round, over the devices of the first: what is
    /// still to do. `None` if the run halted before it knew.
    pub left: Option<Plan>,
    /// How many requests the run took, planning included.
    pub calls: u64,
    /// By our own clock.
    pub started: Timestamp,
    /// By our own clock.
    pub ended: Timestamp,
    /// Why the run could not go on, if so.
    pub halt: Option<Halt>,
}

/// How a run ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All that was approved, and nothing is held back by a limit or a freeze.
    Done,
    /// All that was approved; a limit or a freeze holds more.
    Limited,
    /// Time may bring what is not done.
    Later,
    /// Some of it needs a person.
    Partial,
    /// Somebody asked to stop.
    Stopped,
    /// Nothing more could be done, whatever the device.
    Access(ErrorKind),
    /// The journal could not be written.
    Journal,
    /// Somebody else has written the ledger: there is another plan now.
    Moved,
}

impl Report {
    /// Failures that need a person go before those that time may heal.
    #[must_use]
    pub fn end(&self) -> End {
        match &self.halt {
            Some(Halt::Asked) => return End::Stopped,
            Some(Halt::Access(error)) => return End::Access(error.kind),
            Some(Halt::Ledger(LedgerError::Moved { .. })) => return End::Moved,
            Some(Halt::Journal(_) | Halt::Ledger(_)) => return End::Journal,
            Some(Halt::Frozen(_)) => return End::Limited,
            None => {}
        }
        let Outcomes { of, sync, cancelled, .. } = &self.outcomes;
        let tally = self.outcomes.tally();
        let is_frozen = |outcome: &Outcome| matches!(outcome, Outcome::NotAttempted { reason: Reason::Frozen, .. });
        let may_heal = |outcome: &Outcome| match outcome {
            Outcome::Failed { reason, .. } | Outcome::NotAttempted { reason, .. } => {
                *reason == Reason::ServiceUnavailable
            }
            Outcome::Done { .. } | Outcome::Awaiting { .. } => true,
        };
        match () {
            () if *cancelled => End::Stopped,
            // It has begun since somebody said yes: nothing was tried at all.
            () if !of.is_empty() && of.iter().all(|(_, outcome)| is_frozen(outcome)) => End::Limited,
            // A sync that was needed and is owed: devices wait for it. And what was
            // approved and cannot be done now is not done.
            () if matches!(sync, SyncOutcome::Skipped { .. }) || self.consent == Consent::ResumedInPart => End::Partial,
            () if !of.iter().all(|(_, outcome)| may_heal(outcome)) => End::Partial,
            () if tally.failed + tally.not_attempted + tally.awaiting > 0 => End::Later,
            () if self.prepared.cleared.plan().is_stopped_by_a_protection() => End::Limited,
            () => End::Done,
        }
    }
}

/// Says why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The tenant could not be read to the end.
    #[error(transparent)]
    Graph(GraphError),
    /// The journal could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The ledger could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Somebody asked to stop.
    #[error("stopped on request")]
    Stopped,
}

impl From<GraphError> for RoundError {
    fn from(error: GraphError) -> Self {
        match apply::access(&error) {
            Some(Halt::Asked) => Self::Stopped,
            _ => Self::Graph(error),
        }
    }
}

impl From<RoundError> for Halt {
    fn from(error: RoundError) -> Self {
        match error {
            RoundError::Graph(error) => Self::Access(error),
            RoundError::Journal(error) => Self::Journal(error),
            RoundError::Ledger(error) => Self::Ledger(error),
            RoundError::Stopped => Self::Asked,
        }
    }
}

impl From<Stopped> for RoundError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl Prepared {
    /// What is left of a plan that was approved among the declarations and begun.
    #[must_use]
    pub(crate) fn begun(&self) -> Option<Self> {
        let cleared = self.cleared.begun()?.clone();
        let schedule = apply::schedule(&cleared, self.sync.as_ref(), cleared.plan().observed_at);
        Some(Self { cleared, schedule, ..self.clone() })
    }

    /// The same with nothing in it but what was approved earlier.
    #[must_use]
    pub fn only(self, approved: &Approved) -> Self {
        let cleared = self.cleared.only(approved);
        let schedule = apply::schedule(&cleared, self.sync.as_ref(), cleared.plan().observed_at);
        Self { cleared, schedule, ..self }
    }
}

impl Round<'_> {
    /// Reads the tenant and says what would be done. Writes nothing to the
    /// tenant; what is seen there for the first time is noted in the journal.
    ///
    /// # Errors
    /// When the tenant cannot be read to the end.
    pub async fn prepare(&self, journal: &mut Journal) -> Result<Prepared, RoundError> {
        let (calls, read_at) = (self.graph.calls(), self.clock.now());
        let observed = self.graph.list_devices().await?;
        let sync = self.sync_state().await?;
        if sync.as_ref().is_some_and(|sync| sync.failed && lacks_sync(sync, journal)) {
            journal.record(self.graph.service_now(), vec![Entry::SyncFailed]).await?;
        }
        let plan = self.plan(self.desired, Reading::whole(observed, sync.clone()), journal).await?;
        let (ledger, now) = (self.ledger.map(AsRef::as_ref), self.graph.service_now());
        let cleared = guard::clear_with_grants(plan, self.approvals, journal, ledger, self.broke_off, now);
        let schedule = apply::schedule(&cleared, sync.as_ref(), self.graph.service_now());
        Ok(Prepared { cleared, schedule, sync, calls: self.graph.calls() - calls, read_at })
    }

    /// Does what was prepared, in repeated rounds: what an import cannot
    /// carry, what was lost and what was refused for a reason that passes is
    /// the next round's plan. Later rounds may do only effects of the first.
    pub async fn carry_out(
        &self,
        prepared: Prepared,
        consent: Consent,
        writer: &GraphWriter,
        journal: &mut Journal,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Report {
        let started = self.clock.now();
        let calls = self.graph.calls();
        // Days may have passed since it was prepared, and hours will.
        let freeze = self.desired.tenant.next_freeze(|on| self.approvals.lets_through(on), self.graph.service_now());
        let writer = &writer.closing(freeze.as_ref().map(|(from, _)| *from));
        let Self { clock, hashes, stop, .. } = *self;
        let tools = Tools { writer, clock, journal, hashes, stop, freeze, on_event };
        let mut run = Run::new(*self, &prepared, tools);
        let mut halt = run.run(consent).await.err();
        if halt.is_none() {
            halt = run.finish().await.err();
        }
        let (mut outcomes, left) = run.into_parts(halt.is_some());
        outcomes.cancelled = matches!(halt, Some(Halt::Asked));
        let calls = prepared.calls + self.graph.calls() - calls;
        Report { prepared, consent, outcomes, left, calls, started, ended: self.clock.now(), halt }
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

/// True if the last sync of ours that was needed has not ended well: another can
/// only have begun ten minutes after it, and none that ended before is it.
fn lacks_sync(sync: &SyncState, journal: &Journal) -> bool {
    journal.synced().is_some_and(|began| sync.last_sync.is_none_or(|ended| ended < began))
}

/// The imports of a plan that run already.
fn followed(plan: &Plan) -> Vec<Entry> {
    let follow = |change: &Change| match change.action() {
        Action::Register(register) if register.running => Some(Entry::ImportFollowed {
            import_id: register.import_id,
            device: change.effect.device.clone(),
            hash: register.digest,
        }),
        _ => None,
    };
    plan.changes.iter().filter_map(follow).collect()
}

/// What goes into the journal before the first write.
fn approval(plan: &Plan) -> Vec<Entry> {
    // What only the ledger hears of may be done twice, and needs no memory.
    let effects = plan.changes.iter().map(|change| &change.effect).filter(|effect| !effect.action.is_bookkeeping());
    let effects: Vec<Entry> = effects.map(|effect| Entry::Effect { effect: Box::new(effect.clone()) }).collect();
    let digest = plan.digest().sha256;
    let (target, loosens) = (plan.target.clone(), plan.loosens.clone());
    let approved = Entry::Approved { digest, effects: effects.len(), target, loosens };
    std::iter::once(approved).chain(effects).collect()
}
