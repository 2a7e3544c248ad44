//! The two documents that outlive a run: the ledger, what we have applied, and
//! the journal, what is under way. They know nothing of Graph, and each store
//! sits in a file of its own.

#[deny(clippy::disallowed_methods)]
mod document;
mod file;
mod git;
#[deny(clippy::disallowed_methods)]
mod journal;
mod ledger_file;
mod line;
mod private;
mod store;

pub use document::{Deleting, Gone, Head, Leaving, LeavingObject, Ledger, Running, Tombstone, Tracked};
pub use file::FileJournal;
pub use git::GitLedger;
pub(crate) use journal::Approval;
pub use journal::{
    DeregisterEnd, Entry, ImportFact, Journal, JournalError, JournalStore, Memory, PendingUpdate, Tail, UpdateEnd, Use,
};
pub use ledger_file::FileLedger;
pub(crate) use private::{file as private_file, folder_within};
pub use store::{LedgerError, LedgerStore};
