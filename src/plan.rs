//! The plan: a value, made by a function that touches nothing. Everything
//! hard is decided here and in [`guard`]; below, nothing is optional.

use jiff::Timestamp;

pub use crate::ledger::{ImportFact, ImportState, PendingUpdate};
pub use crate::model::{Field, FieldChange};

use crate::model::{RegistrationId, SerialKey, Tenant};

mod change;
mod digest;
mod facts;
pub mod guard;
mod held;
mod verdict;

pub use change::{Action, Change, Note, Register, Update};
pub use digest::{Digest, ENCODING, fingerprint};
pub use facts::{Facts, HashFact, ImportError, Needs, UPDATED_WITHIN, VISIBLE_WITHIN, import_id};
pub use guard::{Approvals, ClearedPlan, LimitReading};
pub use held::{Awaiting, Held, HeldClass, Reason, Unmanaged, Waiting};
pub use verdict::{needs, plan};

/// What would be done to a tenant, what would not, and why. Every list is
/// sorted by serial key.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub tenant: Tenant,
    pub changes: Vec<Change>,
    pub held: Vec<Held>,
    pub awaiting: Vec<Awaiting>,
    pub unmanaged: Vec<Unmanaged>,
    /// Declared devices whose registration is as declared.
    pub unchanged: Vec<(SerialKey, RegistrationId)>,
    pub counts: Counts,
    /// When the tenant was read.
    pub observed_at: Timestamp,
    /// False if the reading does not cover the tenant; such a plan says
    /// nothing about unmanaged devices.
    pub complete: bool,
}

/// How many devices are where. `declared` = changes + held + awaiting +
/// unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub declared: usize,
    /// Registrations that were read.
    pub registered: usize,
    /// Declared devices that are registered: the base of percentages.
    pub managed: usize,
    pub unchanged: usize,
}

impl Plan {
    /// True if there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The plan's effects as one digest: same effects, same digest, on any
    /// machine and commit.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self)
    }
}
