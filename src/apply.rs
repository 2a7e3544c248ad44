//! Carrying a cleared plan out: [`schedule`] says in which order (pure),
//! [`execute`] does it (the only loop, with the only sleep).
//!
//! Nothing here decides whether something may be written; that is `plan`.

mod event;
mod execute;
mod imports;
mod outcome;
mod schedule;
mod stop;
mod updates;

pub use event::Event;
pub use execute::{Execution, Halt, Tools, execute};
pub(crate) use execute::{access, wait};
pub use outcome::{Outcome, Outcomes, SyncOutcome, Tally};
pub use schedule::{BATCH, Estimate, GATE, SYNC_GAP_S, Schedule, next_sync, schedule};
pub use stop::{Stop, Stopper};
