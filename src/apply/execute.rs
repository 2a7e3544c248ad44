//! The one loop that writes: post what is due, look at what is under way, and
//! sleep until the next thing is due.
//!
//! No decisions here: what to write stands in the plan, in which order in the
//! schedule. A journal line comes before each request and one after it.

use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::graph::{ErrorKind, GraphError, GraphWriter};
use crate::ledger::{Entry, Journal, JournalError};
use crate::model::{Device, HashSource, RegistrationId};
use crate::plan::{ClearedPlan, Reason};

use super::event::Event;
use super::imports::Imports;
use super::outcome::{Outcome, Outcomes};
use super::schedule::Schedule;
use super::stop::Stop;
use super::updates::Updates;

/// What the loop works with.
pub struct Tools<'a> {
    pub writer: &'a GraphWriter,
    pub clock: &'a dyn Clock,
    pub journal: &'a mut Journal,
    pub hashes: &'a dyn HashSource,
    pub stop: &'a Stop,
    pub on_event: &'a mut dyn FnMut(Event),
}

impl Tools<'_> {
    pub(super) fn record(&mut self, entries: Vec<Entry>) -> Result<(), Halt> {
        self.journal.record(self.clock.now(), entries).map_err(Halt::Journal)
    }
}

/// Why a run cannot go on at all, whatever the device.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No token, no permission, wrong tenant, forbidden host.
    #[error("{0}")]
    Access(GraphError),
    /// Somebody asked to stop.
    #[error("stopped on request")]
    Asked,
}

/// Errors that are about us and not about a device end the run.
pub(crate) fn access(error: &GraphError) -> Option<Halt> {
    let ours =
        [ErrorKind::Auth, ErrorKind::Permission, ErrorKind::TenantMismatch, ErrorKind::Endpoint, ErrorKind::Untrusted];
    ours.contains(&error.kind).then(|| Halt::Access(error.clone()))
}

/// What a loop leaves behind: an outcome per change, and the registrations as
/// last read by id.
#[must_use = "an outcome that nobody reads is work lost"]
pub struct Execution {
    pub outcomes: Outcomes,
    pub readings: Vec<(RegistrationId, Option<Device>)>,
    pub halt: Option<Halt>,
}

/// Carries a cleared plan out, up to the point where every change has ended:
/// one outcome per change, always, also when the run has to halt.
pub async fn execute(cleared: &ClearedPlan, schedule: &Schedule, tools: &mut Tools<'_>) -> Execution {
    let changes = &cleared.plan().changes;
    let mut work =
        Work { imports: Imports::new(changes, schedule, tools.clock.now()), updates: Updates::new(changes, schedule) };
    let halt = work.run(tools).await.err();
    let (reason, message) = match &halt {
        Some(Halt::Access(_) | Halt::Journal(_)) => {
            (Reason::ServiceUnavailable, halt.as_ref().map(ToString::to_string))
        }
        Some(Halt::Asked) | None => (Reason::Cancelled, None),
    };
    let message = message.unwrap_or_default();
    let gate_closed = work.imports.gate_closed().map(str::to_owned);
    let mut readings = Vec::new();
    let mut ends = work.imports.finish(reason, &message, &mut readings);
    ends.extend(work.updates.finish(reason, &message, &mut readings));
    ends.sort_by_key(|(index, _)| *index);
    let of = ends.into_iter().map(|(index, outcome)| (changes[index].clone(), outcome)).collect();
    let cancelled = matches!(halt, Some(Halt::Asked));
    let outcomes = Outcomes { of, gate_closed, cancelled, ..Outcomes::default() };
    Execution { outcomes, readings, halt }
}

struct Work<'a> {
    imports: Imports<'a>,
    updates: Updates<'a>,
}

impl Work<'_> {
    async fn run(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        loop {
            if tools.stop.is_asked() {
                return Err(Halt::Asked);
            }
            self.imports.step(tools).await?;
            self.updates.step(tools).await?;
            let next = [self.imports.due(), self.updates.due()].into_iter().flatten().min();
            let Some((until, why)) = next else { return Ok(()) };
            wait(tools, until, why).await?;
        }
    }
}

/// The one sleep.
pub(crate) async fn wait(tools: &mut Tools<'_>, until: Timestamp, why: &'static str) -> Result<(), Halt> {
    if until > tools.clock.now() + SignedDuration::from_secs(1) {
        (tools.on_event)(Event::Waiting { until, why });
    }
    tokio::select! {
        () = tools.clock.sleep_until(until) => Ok(()),
        () = tools.stop.asked() => Err(Halt::Asked),
    }
}

/// Tells the listener that one change has ended.
pub(super) fn ended(tools: &mut Tools<'_>, serial: &crate::model::SerialNumber, outcome: &Outcome) {
    (tools.on_event)(Event::Ended { serial: serial.clone(), outcome: outcome.clone() });
}
