//! Carrying a cleared plan out: [`schedule`] says in which order (pure),
//! [`Work`] does it (the only loop, with the only sleep).
//!
//! Nothing here decides whether something may be written; that is `plan`.

mod event;
mod execute;
mod hashes;
mod imports;
mod outcome;
mod schedule;
mod updates;

pub use event::Event;
pub(crate) use execute::access;
pub use execute::{Execution, FRESH_FOR, Halt, Order, Tools, Work};
pub(crate) use hashes::wanted;
pub use outcome::{Outcome, Outcomes, SyncOutcome, Tally};
pub use schedule::{BATCH, Estimate, GATE, Schedule, schedule};
