//! What happens while a plan is carried out, for progress bars, lines and
//! machine-readable streams.

use jiff::Timestamp;

use crate::model::DeviceKey;

use super::outcome::Outcome;

/// One thing that happened. Sent as it happens; nothing depends on it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A round begins: how many changes it will make.
    Round { number: u32, changes: usize },
    /// An import batch was posted.
    Posted { rows: usize, of: usize },
    /// An import batch was refused as a whole and is halved.
    Halved { rows: usize, message: String },
    /// The first batch must settle before the rest goes out.
    Gate { rows: usize },
    /// So many of the imports have ended.
    Imports { settled: usize, of: usize },
    /// So many of the updates are visible.
    Updates { visible: usize, of: usize },
    /// One change ended.
    Ended { device: DeviceKey, outcome: Outcome },
    /// Nothing to do until then: `why` is for people.
    Waiting { until: Timestamp, why: &'static str },
    /// Own import records are being removed.
    CleanUp { records: usize },
    /// The tenant sync has begun.
    Sync,
}
