//! Hashes are read again when they are sent, as they were planned: a batch
//! ahead, while the one before is under way. What has changed since is not sent.

use crate::hash::WantedHash;
use crate::model::{HardwareHash, HashError};
use crate::plan::{Change, Reason, Register};

/// What there is of the hashes of one batch.
#[derive(Default)]
pub(super) struct Hashes {
    /// Rows and their hashes, in the order of the batch.
    pub good: Vec<(usize, HardwareHash)>,
    /// Rows that cannot be sent, and why.
    pub bad: Vec<(usize, Reason, String)>,
}

/// What to ask for.
pub(crate) fn wanted(change: &Change) -> Option<WantedHash> {
    Some(WantedHash { reference: change.hash.clone()?, serial: change.serial().clone() })
}

impl Hashes {
    /// Counts in what was read for a row.
    pub(super) fn add(&mut self, row: usize, register: &Register, read: Option<Result<HardwareHash, HashError>>) {
        match read {
            Some(Ok(hash)) if hash.digest() == register.digest => self.good.push((row, hash)),
            Some(Ok(hash)) => {
                let message = format!("the hash was {} when planned and is {} now", register.digest, hash.digest());
                self.bad.push((row, Reason::ChangedMeanwhile, message));
            }
            Some(Err(HashError::NotHere(message))) => self.bad.push((row, Reason::HashNotAvailable, message)),
            Some(Err(HashError::Unusable(message))) => self.bad.push((row, Reason::HashUnusable, message)),
            None => self.bad.push((row, Reason::HashNotAvailable, "no place of a hash is known".to_owned())),
        }
    }
}
