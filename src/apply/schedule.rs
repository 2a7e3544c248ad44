//! In which order a cleared plan is carried out, and what it costs: imports,
//! then updates, then one sync. Pure.

use jiff::Timestamp;

use crate::model::{Field, SyncState};
use crate::plan::{Action, Change, ClearedPlan, Plan, Waiting};

/// The most rows of one import request (`import.batch`).
pub const BATCH: usize = 500;

/// The size of the first batch when there are more rows than one batch takes:
/// it must settle before the rest goes out.
pub const GATE: usize = 25;

/// Two manual syncs of a tenant are at least this far apart, in seconds
/// (documented 600; clients in the field wait 610).
pub const SYNC_GAP_S: i64 = 610;

/// The order of work for one plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Indexes into the plan's changes: rows to import, batch by batch.
    pub imports: Vec<Vec<usize>>,
    /// Imports of ours that are under way already.
    pub running: Vec<usize>,
    /// Indexes into the plan's changes: registrations to update.
    pub updates: Vec<usize>,
    /// True if the first batch must settle before the second goes out.
    pub gated: bool,
    /// When the tenant sync may run, if the plan will need one.
    pub sync_at: Option<Timestamp>,
    pub estimate: Estimate,
}

/// What carrying the plan out will cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Requests that write: import batches, updates, the sync, and the removal
    /// of our own import records. A part of a `$batch` counts as one.
    pub writes: usize,
    /// How long it usually takes, in seconds, without the wait for the sync.
    pub seconds_low: u64,
    pub seconds_high: u64,
}

/// Orders the changes of a cleared plan.
#[must_use]
pub fn schedule(cleared: &ClearedPlan, sync: Option<&SyncState>, now: Timestamp) -> Schedule {
    let plan = cleared.plan();
    let (mut rows, mut running, mut updates) = (Vec::new(), Vec::new(), Vec::new());
    for (index, change) in plan.changes.iter().enumerate() {
        match &change.action {
            Action::Register(register) if register.running => running.push(index),
            Action::Register(_) => rows.push(index),
            Action::Update(_) => updates.push(index),
        }
    }
    let gated = rows.len() > BATCH;
    let imports = batches(&rows, gated);
    let sync_at = needs_sync(plan).then(|| next_sync(sync, now));
    let later = plan.changes.iter().filter(|change| has_follow_up(change)).count();
    let estimate = estimate(rows.len() + running.len(), imports.len(), updates.len() + later, sync_at.is_some());
    Schedule { imports, running, updates, gated, sync_at, estimate }
}

/// An import carries group tag and user only; the other values are an update
/// of the next round.
fn has_follow_up(change: &Change) -> bool {
    let carried = |field| matches!(field, Field::GroupTag | Field::UserPrincipalName);
    match &change.action {
        Action::Register(register) => {
            register.values.iter().any(|(field, value)| !carried(*field) && !value.is_empty())
        }
        Action::Update(_) => false,
    }
}

fn batches(rows: &[usize], gated: bool) -> Vec<Vec<usize>> {
    let (first, rest) = rows.split_at(if gated { GATE } else { 0 });
    let first = (!first.is_empty()).then(|| first.to_vec());
    first.into_iter().chain(rest.chunks(BATCH).map(<[usize]>::to_vec)).collect()
}

/// A sync brings new registrations to devices and vendors' registrations to
/// us; updates need none.
fn needs_sync(plan: &Plan) -> bool {
    let registers = plan.changes.iter().any(|change| matches!(change.action, Action::Register(_)));
    let vendor = plan.awaiting.iter().any(|awaiting| awaiting.what == Waiting::Vendor);
    plan.tenant.sync_when_needed && (registers || vendor)
}

/// The first moment at which the tenant takes a sync, whoever asked last.
#[must_use]
pub fn next_sync(sync: Option<&SyncState>, now: Timestamp) -> Timestamp {
    let last = sync.and_then(|sync| sync.last_sync.max(sync.last_manual_trigger));
    let allowed = last.map(|last| last + jiff::SignedDuration::from_secs(SYNC_GAP_S));
    allowed.map_or(now, |allowed| allowed.max(now))
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
