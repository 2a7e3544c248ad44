//! The documents that outlive a run. Here: the journal, what is under way. It
//! knows nothing of Graph, and its stores sit in their own files.

mod file;
#[deny(clippy::disallowed_methods)]
mod journal;
mod line;
mod private;

pub use file::FileJournal;
pub use journal::{
    Approval, Entry, ImportFact, Journal, JournalError, JournalStore, Memory, PendingUpdate, Tail, UpdateEnd,
};
pub(crate) use private::{folder as private_folder, lock};
