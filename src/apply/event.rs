//! What happens while a plan is carried out, for progress bars, lines and
//! machine-readable streams.

use jiff::Timestamp;

use crate::model::DeviceKey;

use super::outcome::Outcome;

/// One thing that happened. Sent as it happens; nothing depends on it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A round begins: how many changes it will make.
    Round {
        /// Counted from 1.
        number: u32,
        /// Of all kinds.
        changes: usize,
    },
    /// An import batch was posted.
    Posted {
        /// Posted so far.
        rows: usize,
        /// All there are.
        of: usize,
    },
    /// An import batch was refused as a whole and is halved.
    Halved {
        /// In the refused batch.
        rows: usize,
        /// The service's words.
        message: String,
    },
    /// The first batch must settle before the rest goes out.
    Gate {
        /// In the first batch.
        rows: usize,
    },
    /// So many of the imports have ended.
    Imports {
        /// Ended so far.
        settled: usize,
        /// All there are.
        of: usize,
    },
    /// So many of the updates are visible.
    Updates {
        /// Visible so far.
        visible: usize,
        /// All there are.
        of: usize,
    },
    /// So many of the removals have ended.
    Removals {
        /// Ended so far.
        gone: usize,
        /// All there are.
        of: usize,
    },
    /// One change ended.
    Ended {
        /// Whose change it was.
        device: DeviceKey,
        /// How it ended.
        outcome: Outcome,
    },
    /// Nothing to do until then: `why` is for people.
    Waiting {
        /// By our own clock.
        until: Timestamp,
        /// A few words.
        why: &'static str,
    },
    /// Own import records are being removed.
    CleanUp {
        /// So many.
        records: usize,
    },
    /// The tenant sync has begun.
    Sync,
}
