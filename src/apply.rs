//! Carrying a cleared plan out: [`schedule`] says in which order (pure),
//! [`Work`] does it (the only loop, with the only sleep).
//!
//! Nothing here decides whether something may be written; that is `plan`.

mod deletes;
mod event;
mod execute;
mod hashes;
mod imports;
mod outcome;
mod schedule;
mod updates;

pub use event::Event;
pub use execute::Halt;
pub(crate) use execute::access;
pub(crate) use execute::{Execution, FRESH_FOR, Order, Tools, Work};
pub(crate) use hashes::wanted;
pub(crate) use outcome::Tally;
pub use outcome::{Outcome, Outcomes, SyncOutcome};
pub use schedule::{BATCH, Estimate, GATE, Schedule, schedule};
