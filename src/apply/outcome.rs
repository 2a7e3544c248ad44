//! What became of each change: one outcome per effect, always.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::RegistrationId;
use crate::plan::{Change, Reason};

/// How one effect ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// The service shows it.
    Done {
        /// What the device is now.
        registration_id: RegistrationId,
        /// When it was seen, by the service's clock.
        at: Timestamp,
    },
    /// The service took it and does not show it yet.
    Awaiting {
        /// When it was taken, by the service's clock.
        since: Timestamp,
    },
    /// It was tried and did not work.
    Failed {
        /// What kind of failure.
        reason: Reason,
        /// What happened, in words.
        message: String,
    },
    /// It was not tried.
    NotAttempted {
        /// What stood in the way.
        reason: Reason,
        /// The same in words.
        message: String,
    },
}

impl Outcome {
    /// Of an effect that the run, stopped before, did not come to.
    pub(crate) fn not_reached() -> Self {
        Self::NotAttempted { reason: Reason::Cancelled, message: String::new() }
    }

    /// True if another round could tell more of it, or get further.
    #[must_use]
    pub fn is_worth_another_round(&self) -> bool {
        match self {
            Self::Done { .. } | Self::Awaiting { .. } => true,
            // What 806 means for the device is only known after another look.
            Self::Failed { reason, .. } => reason.may_pass() || *reason == Reason::AlreadyRegistered,
            Self::NotAttempted { .. } => false,
        }
    }

    /// True if nothing was sent that a later look could find.
    #[must_use]
    pub fn was_not_sent(&self) -> bool {
        matches!(self, Self::NotAttempted { .. })
    }
}

/// The outcomes of one plan, in the plan's order.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use = "an outcome that nobody reads is work lost"]
pub struct Outcomes {
    /// Each change with what became of it.
    pub of: Vec<(Change, Outcome)>,
    /// What became of the sync.
    pub sync: SyncOutcome,
    /// Own import records that were removed at the end.
    pub cleaned: usize,
    /// Set when the gate between import batches closed, with the cause.
    pub gate_closed: Option<String>,
    /// True if the caller asked to stop.
    pub cancelled: bool,
}

/// What became of the one tenant sync.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum SyncOutcome {
    /// Nothing needed it, or the tenant says `sync: Never`.
    #[default]
    NotNeeded,
    /// It has begun.
    Done {
        /// When, by the service's clock.
        at: Timestamp,
    },
    /// Needed, and not done; the sentence says why. It is owed.
    Skipped {
        /// For people.
        message: String,
    },
}

/// How many changes ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// The service shows them.
    pub done: usize,
    /// They were tried in vain.
    pub failed: usize,
    /// The service took them.
    pub awaiting: usize,
    /// They were not tried.
    pub not_attempted: usize,
}

impl Outcomes {
    /// Counts them.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (_, outcome) in &self.of {
            match outcome {
                Outcome::Done { .. } => tally.done += 1,
                Outcome::Awaiting { .. } => tally.awaiting += 1,
                Outcome::Failed { .. } => tally.failed += 1,
                Outcome::NotAttempted { .. } => tally.not_attempted += 1,
            }
        }
        tally
    }
}
