//! The documents that outlive a run. Here: the journal, what is under way. It
//! knows nothing of Graph, and its store on disk sits in a file of its own.

mod file;
#[deny(clippy::disallowed_methods)]
mod journal;
mod line;
mod private;

pub use file::FileJournal;
pub(crate) use journal::Approval;
pub use journal::{
    Entry, ImportFact, Journal, JournalError, JournalStore, Memory, PendingUpdate, Tail, UpdateEnd, Use,
};
pub(crate) use private::folder_within;
