//! What a run writes beside the devices: the tenant's sync, and the removal of
//! our own import records. Effects like any other: shown, consented to, and
//! none of them under `Observe` or `suspend`.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{Action, ImportRecordId, SyncState, Tenant, later};

use super::change::Change;
use super::facts::Facts;
use super::held::{Awaiting, Waiting};

/// Two manual syncs of a tenant are at least this far apart, in seconds
/// (documented 600; clients in the field wait 610).
pub(crate) const SYNC_GAP_S: i64 = 610;

/// A sync that the tenant began by itself has ended after so many seconds (half
/// a second to a minute in the field).
const SYNC_TAKES_S: i64 = 60;

/// What would be done to the tenant as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upkeep {
    /// Why it would sync, if it would.
    pub sync: Option<SyncReason>,
    /// Own import records that have ended already; those of this plan's
    /// imports come on top.
    pub clean_up: Vec<ImportRecordId>,
}

/// Why the tenant would sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SyncReason {
    /// Devices are registered, or removed, by this plan.
    Registers,
    /// Devices were registered then, and no sync has come since.
    Owed {
        /// When the last of them was.
        since: Timestamp,
    },
    /// A vendor's registration is waited for, and the tenant takes a sync now.
    Vendor,
}

impl Upkeep {
    pub(super) fn of(tenant: &Tenant, changes: &[Change], awaiting: &[Awaiting], facts: &Facts) -> Self {
        if !tenant.may_be_written() {
            return Self::default();
        }
        let clean_up = facts.ended_records.clone();
        if !tenant.sync_when_needed {
            return Self { sync: None, clean_up };
        }
        let moves = |action: &Action| matches!(action, Action::Register(_) | Action::Deregister(_));
        let registers = changes.iter().any(|change| moves(change.action()));
        let vendor = awaiting.iter().any(|awaiting| awaiting.what == Waiting::Vendor);
        let sync = match owed(facts) {
            Some(since) => Some(SyncReason::Owed { since }),
            None if registers => Some(SyncReason::Registers),
            // For a vendor's sake nobody waits: it is now or another time.
            None if vendor && next_sync(facts.sync.as_ref(), facts.now) <= facts.now => Some(SyncReason::Vendor),
            None => None,
        };
        Self { sync, clean_up }
    }

    /// What is left of an upkeep that was planned before, for what is to be done
    /// now: less of it, never more. `owed`: since when a sync is.
    #[must_use]
    pub(crate) fn now(&self, changes: &[Change], owed: Option<Timestamp>, ended: &[ImportRecordId]) -> Self {
        let moves = |action: &Action| matches!(action, Action::Register(_) | Action::Deregister(_));
        let registers = changes.iter().any(|change| moves(change.action()));
        let sync = match (self.sync, owed) {
            (None | Some(SyncReason::Vendor), _) => self.sync,
            (Some(_), Some(since)) => Some(SyncReason::Owed { since }),
            (Some(_), None) => registers.then_some(SyncReason::Registers),
        };
        let clean_up = self.clean_up.iter().filter(|record| ended.contains(record)).copied().collect();
        Self { sync, clean_up }
    }

    /// Without a sync for a vendor's sake.
    #[must_use]
    pub(crate) fn without_vendor(self) -> Self {
        Self { sync: self.sync.filter(|reason| *reason != SyncReason::Vendor), ..self }
    }

    /// True if the tenant needs nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sync.is_none() && self.clean_up.is_empty()
    }

    /// Without a sync for registrations that are not made after all, or for a
    /// vendor's sake.
    pub(super) fn only_owed(self) -> Self {
        Self { sync: self.sync.filter(|reason| matches!(reason, SyncReason::Owed { .. })), ..self }
    }
}

/// Since when a sync is owed: devices were registered, and none came after.
fn owed(facts: &Facts) -> Option<Timestamp> {
    facts.unsynced.filter(|since| !facts.sync.as_ref().is_some_and(|sync| has_synced_since(sync, *since)))
}

/// True if a sync began at this moment or later, and has ended well: what was
/// registered by then, it has seen. One that was under way may have missed it.
#[must_use]
pub(crate) fn has_synced_since(sync: &SyncState, since: Timestamp) -> bool {
    let Some(ended) = sync.last_sync else { return false };
    let before = |span_s| later(ended, -SignedDuration::from_secs(span_s));
    // It may be the one that was asked for, as long as no other could have been
    // since. Of one that the tenant began by itself only the end is told.
    let by_hand = sync.last_manual_trigger.filter(|trigger| (before(SYNC_GAP_S)..=ended).contains(trigger));
    by_hand.unwrap_or(before(SYNC_TAKES_S)) >= since
}

/// The first moment at which the tenant takes a sync, whoever asked last. All
/// times are the service's.
#[must_use]
pub(crate) fn next_sync(sync: Option<&SyncState>, now: Timestamp) -> Timestamp {
    let last = sync.and_then(|sync| sync.last_sync.max(sync.last_manual_trigger));
    let allowed = last.map(|last| later(last, SignedDuration::from_secs(SYNC_GAP_S)));
    allowed.map_or(now, |allowed| allowed.max(now))
}
