//! Where ledgers are kept: one interface, an implementation each in a file of
//! its own.

use async_trait::async_trait;
use serde::Serialize;

use super::document::Ledger;

/// Where the ledger of one tenant and owner is kept.
#[async_trait]
pub trait LedgerStore: Send + Sync {
    /// The ledger as it is now; `None` if there is none yet. What is saved
    /// next is saved over this.
    ///
    /// # Errors
    /// When it cannot be read, or is no ledger.
    async fn load(&mut self) -> Result<Option<Ledger>, LedgerError>;

    /// Puts a ledger in the place of what was loaded or saved last, as one
    /// step. `why`: a line for people who read the history.
    ///
    /// # Errors
    /// [`LedgerError::Moved`] if somebody else has written since; else when it
    /// cannot be written. Then all is as it was.
    async fn save(&mut self, ledger: &Ledger, why: &str) -> Result<(), LedgerError>;

    /// The versions of it in which a device changed, newest first, as far as the
    /// store remembers any: none for most.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn history(&self, serial: &str) -> Result<Vec<LedgerCommit>, LedgerError> {
        let _ = serial;
        Ok(Vec::new())
    }

    /// The ledgers of other owners of the tenant that lie beside it, with their
    /// places, or why one of them cannot be read.
    ///
    /// # Errors
    /// When nobody knows whether there are any.
    async fn neighbours(&self) -> Result<Vec<Neighbour>, LedgerError> {
        Ok(Vec::new())
    }

    /// Where it is, for people.
    fn place(&self) -> String;
}

/// The ledger of another owner of the tenant.
#[derive(Debug)]
pub struct Neighbour {
    /// Where it is, for people.
    pub place: String,
    /// What is in it, or why it cannot be read.
    pub ledger: Result<Ledger, String>,
}

/// A version of a ledger in which something changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerCommit {
    /// Its name.
    pub commit: String,
    /// When it was made, by the machine that made it.
    pub at: String,
    /// Who made it.
    pub author: String,
    /// Which plan, and what of it.
    pub subject: String,
}

impl LedgerError {
    /// A text is no ledger to go by. What it says all the same is kept: that something
    /// was removed, or must not be, is believed of anybody.
    pub(super) fn format(place: String, reason: String, text: &str) -> Self {
        Self::Format { place, reason, distrusted: Ledger::read(text, false).ok().map(Box::new) }
    }
}

/// Says what is wrong with a ledger.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LedgerError {
    #[error("cannot {what} the ledger `{place}`: {reason}")]
    Store { what: &'static str, place: String, reason: String },
    #[error("the ledger `{place}` cannot be used: {reason}")]
    Format { place: String, reason: String, distrusted: Option<Box<Ledger>> },
    #[error("somebody else has written the ledger `{place}` meanwhile")]
    Moved { place: String },
}
