//! The tenant's sync with the device directory: when it may start, when it
//! ends, and what it brings.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::agenda::Event;
use super::tenant::Tenant;
use super::witness::{Write, WriteKind};
use crate::sim::door::{
    Answer, Call, Problem,
    wire::{self, AutopilotSettings},
};

/// What `windowsAutopilotSettings` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SyncState {
    id: Uuid,
    last_sync: Timestamp,
    last_trigger: Timestamp,
    running: bool,
    failed: bool,
}

impl SyncState {
    /// A tenant whose last sync was hours ago.
    pub(super) fn before(now: Timestamp, id: Uuid) -> Self {
        let last_trigger = now - SignedDuration::from_hours(8);
        let last_sync = last_trigger + SignedDuration::from_millis(500);
        Self { id, last_sync, last_trigger, running: false, failed: false }
    }
}

impl Tenant {
    pub(in crate::sim) fn autopilot_settings(&self, call: &Call<'_>) -> Answer {
        let sync = &self.sync;
        let status = match (sync.running, sync.failed) {
            (true, _) => "inProgress",
            (false, true) => "failed",
            (false, false) => "completed",
        };
        Answer::json(
            200,
            &AutopilotSettings {
                context: call.context("deviceManagement/windowsAutopilotSettings/$entity"),
                id: sync.id,
                last_sync_date_time: wire::seven_digits(sync.last_sync),
                last_manual_sync_trigger_date_time: wire::seven_digits(sync.last_trigger),
                sync_status: status,
            },
        )
    }

    /// 204, 409 while one runs, 429 too soon after the last one. The body of
    /// that 429 is not public; that it has no `Retry-After` is inferred from
    /// SDKs that retry it within seconds.
    pub(in crate::sim) fn start_sync_by_hand(&mut self, by: &str) -> Result<Answer, Problem> {
        if self.sync.running {
            self.counters.note(|counters| counters.syncs_refused += 1);
            return Err(Problem::nested(409, "A sync is already in progress"));
        }
        if self.sync_must_wait() {
            self.counters.note(|counters| counters.syncs_refused += 1);
            return Err(Problem::nested(429, "A sync was requested less than 10 minutes ago"));
        }
        self.sync.last_trigger = self.now;
        let now = self.now;
        self.counters.note(|counters| counters.syncs_accepted.push(now));
        self.witness(Write::new(WriteKind::Sync, now, by));
        self.start_sync();
        Ok(Answer::empty(204))
    }

    /// The sync that some tenants start after an import.
    pub(super) fn start_sync_after_import(&mut self) {
        if self.settings.sync.after_import && !self.sync.running && !self.sync_must_wait() {
            self.start_sync();
        }
    }

    fn sync_must_wait(&self) -> bool {
        let last = self.sync.last_sync.max(self.sync.last_trigger);
        self.now < last + self.settings.sync.gap.max
    }

    fn start_sync(&mut self) {
        self.sync.running = true;
        let runs = self.random.delay("sync", self.settings.sync.runs);
        let fails = self.random.chance("sync fails", self.settings.sync.fail_share);
        self.agenda.enter(self.now + runs, Event::SyncEnds { fails });
    }

    pub(super) fn end_sync(&mut self, at: Timestamp, fails: bool) {
        self.sync.running = false;
        self.sync.failed = fails;
        if fails {
            return;
        }
        self.sync.last_sync = at;
        for id in self.registrations.awaiting_sync() {
            self.vendor_arrives(at, id);
        }
    }
}
