//! In which order a cleared plan is carried out, and what it costs: imports,
//! then updates, then removals, then one sync. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::SyncState;
use crate::plan::{Action, Change, ClearedPlan, SyncReason, next_sync};

/// The most rows of one import request (`import.batch`).
pub const BATCH: usize = 500;

/// The size of the first batch when there are more rows than one batch takes:
/// it must settle before the rest goes out.
pub const GATE: usize = 25;

/// The order of work for one plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Indexes into the plan's changes: rows to import, batch by batch.
    pub imports: Vec<Vec<usize>>,
    /// Imports of ours that are under way already.
    pub running: Vec<usize>,
    /// Indexes into the plan's changes: registrations to update.
    pub updates: Vec<usize>,
    /// Indexes into the plan's changes: registrations to remove, when all else is
    /// done.
    #[serde(default)]
    pub deletes: Vec<usize>,
    /// Indexes into the plan's changes: what only the ledger hears of.
    #[serde(default)]
    pub kept: Vec<usize>,
    /// True if the first batch must settle before the second goes out.
    pub gated: bool,
    /// When the tenant sync may run, if the plan will need one; by the
    /// service's clock.
    pub sync_at: Option<Timestamp>,
    /// What it costs.
    pub estimate: Estimate,
}

/// What carrying the plan out will cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Requests that write: import batches, updates, the sync, and the removal
    /// of our own import records. A part of a `$batch` counts as one.
    pub writes: usize,
    /// How long it usually takes, in seconds, with the wait for the sync.
    pub seconds_low: u64,
    /// How long it may take on a bad day, in seconds.
    pub seconds_high: u64,
}

/// Orders the changes of a cleared plan. `sync` and `now` are in the service's
/// time.
#[must_use]
pub fn schedule(cleared: &ClearedPlan, sync: Option<&SyncState>, now: Timestamp) -> Schedule {
    let plan = cleared.plan();
    let (mut rows, mut running, mut updates) = (Vec::new(), Vec::new(), Vec::new());
    let (mut deletes, mut kept) = (Vec::new(), Vec::new());
    for (index, change) in plan.changes.iter().enumerate() {
        match change.action() {
            Action::Register(register) if register.running => running.push(index),
            Action::Register(_) => rows.push(index),
            Action::Update(_) => updates.push(index),
            Action::Deregister(_) => deletes.push(index),
            Action::Release(_) | Action::Adopt(_) | Action::Keep(_) => kept.push(index),
        }
    }
    let gated = rows.len() > BATCH;
    let imports = batches(&rows, gated);
    let sync_at = plan.upkeep.sync.map(|_| next_sync(sync, now));
    let requests: usize = plan.changes.iter().map(requests).sum();
    let updates_in_all = requests + plan.upkeep.clean_up.len();
    // A vendor's device is no reason to wait.
    let waits = plan.upkeep.sync.is_some_and(|reason| reason != SyncReason::Vendor);
    let wait = sync_at.filter(|_| waits).map_or(0, |at| u64::try_from(at.duration_since(now).as_secs()).unwrap_or(0));
    let estimate = estimate(rows.len() + running.len(), imports.len(), updates_in_all, sync_at.is_some());
    // A deletion takes 10 s to half an hour at the service.
    let (gone_low, gone_high) = if deletes.is_empty() { (0, 0) } else { (30, 30 * 60) };
    let low = (estimate.seconds_low + gone_low).max(wait);
    let high = (estimate.seconds_high + gone_high).max(wait);
    let estimate = Estimate { seconds_low: low, seconds_high: high, ..estimate };
    Schedule { imports, running, updates, deletes, kept, gated, sync_at, estimate }
}

/// The requests of an update. An import carries group tag and user only; its tail
/// is an update of the next round, in which greeting and name travel apart.
fn requests(change: &Change) -> usize {
    match change.action() {
        Action::Register(register) => register.tail().len(),
        Action::Update(update) => update.requests().len(),
        Action::Deregister(_) => 1,
        Action::Release(_) | Action::Adopt(_) | Action::Keep(_) => 0,
    }
}

fn batches(rows: &[usize], gated: bool) -> Vec<Vec<usize>> {
    let (first, rest) = rows.split_at(if gated { GATE } else { 0 });
    let first = (!first.is_empty()).then(|| first.to_vec());
    first.into_iter().chain(rest.chunks(BATCH).map(<[usize]>::to_vec)).collect()
}

fn estimate(imports: usize, posts: usize, updates: usize, sync: bool) -> Estimate {
    let writes = posts + imports + updates + usize::from(sync);
    // 80 writes per 20 s is what the budget lets through at its best.
    let paced = (imports + updates) as u64 / 4;
    let (low, high) = match (imports, updates) {
        (0, 0) => (0, 0),
        // One import takes 60 to 100 s at the service, and half a second more per
        // row in its queue; an update shows within seconds to a minute.
        (0, _) => (20, 120),
        (n, _) => (60 + n as u64 / 4, 150 + n as u64),
    };
    Estimate { writes, seconds_low: low + paced, seconds_high: high + paced }
}
