//! Carrying a cleared plan out: [`schedule`] says in which order (pure),
//! [`execute`] does it (the only loop, with the only sleep).
//!
//! Nothing here decides whether something may be written; that is `plan`.

mod event;
mod outcome;
mod schedule;

pub use event::Event;
pub use outcome::{Outcome, Outcomes, SyncOutcome, Tally};
pub use schedule::{BATCH, Estimate, GATE, SYNC_GAP_S, Schedule, next_sync, schedule};
