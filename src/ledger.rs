//! The documents that outlive a run: the ledger, what we have applied; the
//! journal, what is under way; and the audit log, what was done, by whom. They
//! know nothing of Graph, and each store sits in a file of its own.

#[deny(clippy::disallowed_methods)]
mod approval;
#[deny(clippy::disallowed_methods)]
mod audit;
mod audit_file;
mod cluster;
#[deny(clippy::disallowed_methods)]
mod document;
mod file;
mod git;
#[deny(clippy::disallowed_methods)]
mod journal;
mod ledger_file;
mod line;
mod memory;
mod private;
mod seen;
mod store;

pub(crate) use approval::Approval;
pub use approval::Use;
pub(crate) use audit::COMMAND;
pub use audit::{Act, Actor, Audit, AuditLine, Deed, Phase, Who, audit_schema};
pub(crate) use audit_file::AUDIT_FILE;
pub use audit_file::{AuditFile, Chain, check};
pub use cluster::{ClusterJournal, ClusterLedger};
pub(crate) use cluster::{name as name_in_cluster, said as said_by_cluster};
pub(crate) use document::RUN;
pub use document::{
    Canary, Correction, Deleting, Gone, Hardware, Head, Leaving, LeavingObject, Ledger, Running, Tombstone, Tracked,
    ledger_schema,
};
pub use file::FileJournal;
pub use git::GitLedger;
pub use journal::{
    DeregisterEnd, Entry, ImportFact, Journal, JournalError, JournalStore, PendingUpdate, SentTag, SentTo, Tail,
    UpdateEnd,
};
pub use ledger_file::FileLedger;
pub use memory::Memory;
pub(crate) use private::{file as private_file, folder_within};
pub(crate) use seen::{Seen, SharedKnown};
pub use store::{LedgerCommit, LedgerError, LedgerStore, Neighbour};
