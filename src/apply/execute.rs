//! The one loop that writes: post what is due, look at what is under way, and
//! sleep until the next thing is due.
//!
//! No decisions here: what to write stands in the plan, in which order in the
//! schedule. A journal line comes before each request and one after it.

use jiff::{SignedDuration, Timestamp};

use crate::clock::{self, Clock, Stop};
use crate::graph::{ErrorKind, GraphError, GraphWriter};
use crate::hash::HashSource;
use crate::ledger::{Deed, Entry, Journal, JournalError, LedgerError, Phase};
use crate::model::{Action, Adopt, Device, DeviceKey, Frozen, Keep, RegistrationId, Release, later};
use crate::plan::{Change, ClearedPlan, Reason};

use super::deletes::Deletes;
use super::event::Event;
use super::imports::Imports;
use super::outcome::Outcome;
use super::schedule::Schedule;
use super::updates::Updates;

/// What was read longer ago than this is read again before it is written.
pub(crate) const FRESH_FOR: SignedDuration = SignedDuration::from_secs(60);

/// What the loop works with.
pub(crate) struct Tools<'a> {
    /// The only way to write.
    pub writer: &'a GraphWriter,
    /// Our own time.
    pub clock: &'a dyn Clock,
    /// A line before each write, and one after it.
    pub journal: &'a mut Journal,
    /// Where hashes are read again.
    pub hashes: &'a dyn HashSource,
    /// Heard before each request and in each wait.
    pub stop: &'a Stop,
    /// The next freeze that nobody has approved, and when it begins, by the
    /// service's clock.
    pub freeze: Option<(Timestamp, Frozen)>,
    /// Who listens.
    pub on_event: &'a mut (dyn FnMut(Event) + Send),
}

impl Tools<'_> {
    /// Makes lines durable, at the service's present time.
    pub(crate) async fn record(&mut self, entries: Vec<Entry>) -> Result<(), Halt> {
        let at = self.writer.service_now();
        self.journal.requested(self.writer.take_writes());
        self.journal.record(at, entries).await.map_err(Halt::Journal)
    }

    /// Makes lines of the audit log durable of which the journal keeps no memory.
    pub(crate) async fn announce(&mut self, phase: Phase, deeds: Vec<Deed>) -> Result<(), Halt> {
        let at = self.writer.service_now();
        self.journal.announce(at, phase, deeds).await.map_err(Halt::Journal)
    }

    /// The freeze that is on, in words: from then on nothing more is sent, and what
    /// was sent is looked after.
    pub(crate) fn frozen(&self) -> Option<String> {
        let on = self.freeze.as_ref().filter(|(from, _)| self.writer.service_now() >= *from);
        on.map(|(_, frozen)| frozen.sentence())
    }

    pub(crate) fn tell(&mut self, event: Event) {
        (self.on_event)(event);
    }

    /// Tells the listener that one change has ended.
    pub(super) fn ended(&mut self, device: &DeviceKey, outcome: &Outcome) {
        (self.on_event)(Event::Ended { device: device.clone(), outcome: outcome.clone() });
    }
}

/// What is to be done, and how fresh the readings are that it rests on.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    /// What to write.
    pub cleared: &'a ClearedPlan,
    /// In which order.
    pub schedule: &'a Schedule,
    /// When the registrations were read, by our own clock; `None` if each has
    /// to be read again before it is written, because somebody was asked.
    pub read_at: Option<Timestamp>,
    /// When the import records were last seen, by our own clock; `None` if they
    /// have to be looked at before the first row is sent.
    pub records_at: Option<Timestamp>,
}

/// Why a run cannot go on at all, whatever the device.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// A line could not be made durable, and so nothing may be sent.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What is done could not be written into the ledger, or what was about to be
    /// done: then nothing was sent.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// No token, no permission, wrong tenant, forbidden host.
    #[error("{0}")]
    Access(GraphError),
    /// A freeze has begun that nobody has approved.
    #[error("a freeze is on: {0}")]
    Frozen(String),
    /// Somebody asked to stop.
    #[error("stopped on request")]
    Asked,
}

/// Errors that are about us and not about a device end the run.
pub(crate) fn access(error: &GraphError) -> Option<Halt> {
    match error.kind {
        ErrorKind::Stopped => Some(Halt::Asked),
        _ if error.is_about_us() => Some(Halt::Access(error.clone())),
        _ => None,
    }
}

/// What the work leaves behind: an outcome per change of its plan, in the plan's
/// order, and the registrations as last read.
#[must_use = "an outcome that nobody reads is work lost"]
pub(crate) struct Execution {
    /// One per change of the plan, in its order.
    pub outcomes: Vec<Outcome>,
    /// Registrations that were read on the way; `None` is gone.
    pub readings: Vec<(RegistrationId, Option<Device>)>,
    /// Why the gate between import batches closed, if it did.
    pub gate_closed: Option<String>,
    /// When an import was last seen without an end, by our own clock.
    pub running_at: Option<Timestamp>,
    /// Why the loop could not go on, if so.
    pub halt: Option<Halt>,
}

/// A cleared plan that is being carried out: [`import`](Self::import), then
/// [`complete`](Self::complete), then [`end`](Self::end), also where one of
/// them had to halt.
#[must_use = "an outcome that nobody reads is work lost"]
pub(crate) struct Work<'a> {
    imports: Imports<'a>,
    updates: Updates<'a>,
    deletes: Deletes<'a>,
    kept: Kept<'a>,
}

/// What the service never hears of: it is done with the run, and the ledger is
/// written after it.
struct Kept<'a> {
    changes: Vec<(usize, &'a Change)>,
    is_done: bool,
}

impl Kept<'_> {
    fn finish(self, ending: &Ending<'_>, now: Timestamp) -> impl Iterator<Item = (usize, Outcome)> {
        let end = move |change: &Change| match change.action() {
            Action::Release(Release { id, .. }) | Action::Adopt(Adopt { id, .. }) | Action::Keep(Keep { id, .. })
                if self.is_done =>
            {
                Outcome::Done { registration_id: *id, at: now }
            }
            _ => ending.not_sent(),
        };
        self.changes.into_iter().map(move |(index, change)| (index, end(change)))
    }
}

impl<'a> Work<'a> {
    /// What is to be done; nothing is sent yet.
    pub(crate) fn begin(order: Order<'a>, now: Timestamp) -> Self {
        let changes: &[Change] = &order.cleared.plan().changes;
        let imports = Imports::new(changes, order, now);
        let kept = order.schedule.kept.iter().map(|index| (*index, &changes[*index])).collect();
        let deletes = Deletes::new(changes, order, now);
        let kept = Kept { changes: kept, is_done: false };
        Self { imports, updates: Updates::new(changes, order, now), deletes, kept }
    }

    /// Works until the service has ended every import, as far as it ever will;
    /// what else is due is done meanwhile. True if devices were registered and
    /// nothing of this plan could register another: the tenant may sync.
    ///
    /// # Errors
    /// Why nothing more can be done at all.
    pub(crate) async fn import(&mut self, tools: &mut Tools<'_>) -> Result<bool, Halt> {
        self.work(tools, |work| !work.imports.are_under_way()).await?;
        Ok(self.imports.are_complete())
    }

    /// Works until every change has ended.
    ///
    /// # Errors
    /// Why nothing more can be done at all.
    pub(crate) async fn complete(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        self.work(tools, |_| false).await?;
        self.kept.is_done = true;
        self.deletes.work(tools).await
    }

    async fn work(&mut self, tools: &mut Tools<'_>, is_enough: fn(&Self) -> bool) -> Result<(), Halt> {
        while !is_enough(self) {
            if tools.stop.is_asked() {
                return Err(Halt::Asked);
            }
            self.imports.step(tools).await?;
            self.updates.step(tools).await?;
            let next = [self.imports.due(), self.updates.due()].into_iter().flatten().min();
            let Some((until, why)) = next.filter(|_| !is_enough(self)) else { return Ok(()) };
            wait(tools, until, why).await?;
        }
        Ok(())
    }

    /// One outcome per change, always.
    pub(crate) fn end(self, halt: Option<Halt>, tools: &Tools<'_>) -> Execution {
        let (reason, message) = match &halt {
            Some(halt @ (Halt::Access(_) | Halt::Journal(_) | Halt::Ledger(_))) => {
                (Reason::ServiceUnavailable, halt.to_string())
            }
            Some(Halt::Frozen(words)) => (Reason::Frozen, words.clone()),
            Some(Halt::Asked) | None => (Reason::Cancelled, String::new()),
        };
        let gate_closed = self.imports.gate_closed().map(str::to_owned);
        let running_at = self.imports.running_at();
        let mut readings = Vec::new();
        let ending = Ending { reason, message, service: &|at| tools.writer.service_of(at) };
        let mut ends = self.imports.finish(&ending, &mut readings);
        ends.extend(self.updates.finish(&ending, &mut readings));
        ends.extend(self.deletes.finish(&ending));
        ends.extend(self.kept.finish(&ending, tools.writer.service_now()));
        ends.sort_by_key(|(index, _)| *index);
        let outcomes = ends.into_iter().map(|(_, outcome)| outcome).collect();
        Execution { outcomes, readings, gate_closed, running_at, halt }
    }
}

/// How what has not ended ends.
pub(super) struct Ending<'a> {
    /// Why nothing more is sent.
    pub reason: Reason,
    pub message: String,
    /// The service's time at a moment of ours.
    pub service: &'a (dyn Fn(Timestamp) -> Timestamp + Sync),
}

impl Ending<'_> {
    pub(super) fn not_sent(&self) -> Outcome {
        Outcome::NotAttempted { reason: self.reason, message: self.message.clone() }
    }

    pub(super) fn awaited(&self, since: Timestamp) -> Outcome {
        Outcome::Awaiting { since: (self.service)(since) }
    }
}

/// The one sleep.
pub(super) async fn wait(tools: &mut Tools<'_>, until: Timestamp, why: &'static str) -> Result<(), Halt> {
    if until > later(tools.clock.now(), SignedDuration::from_secs(1)) {
        tools.tell(Event::Waiting { until, why });
    }
    clock::wait(tools.clock, tools.stop, until).await.map_err(|_| Halt::Asked)
}
