//! The plan: a value, made by a function that touches nothing. Everything
//! hard is decided here and in [`guard`]; below, nothing is optional.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::model::Action;
pub(crate) use crate::model::Register;

use crate::model::{DeviceKey, Frozen, Loosen, RegistrationId, Target, Tenant};

mod action;
mod approved;
mod attempt;
mod canary;
mod change;
mod digest;
mod facts;
pub(crate) mod guard;
mod hardware;
mod held;
mod moved;
mod removal;
mod upkeep;
mod verdict;

pub use action::ActionKind;
pub(crate) use approved::{Approved, Rest, is_begun_elsewhere};
pub use approved::{Standing, standing};
pub(crate) use canary::Canaries;
pub(crate) use canary::{Waits, going, to_prove, waits};
pub use change::{Change, Note};
pub(crate) use digest::{Digest, ENCODING, digest_of, fingerprint};
pub use facts::{Facts, HashFact, Needs, import_id};
pub(crate) use facts::{ImportError, LISTED_WITHIN, UPDATED_WITHIN, VISIBLE_WITHIN};
pub use guard::{Approvals, ClearedPlan, GrantStanding, LimitReading};
pub(crate) use hardware::{differs, hardware};
pub use held::{Awaiting, Held, LetGo, Reason, Unmanaged, Waiting};
pub(crate) use held::{HeldClass, Remedy};
pub use moved::Moved;
pub(crate) use moved::moved;
pub(crate) use removal::GONE_WITHIN;

pub use removal::{NoRemoval, Removal, Removals};
pub(crate) use upkeep::{SYNC_GAP_S, has_synced_since, next_sync};
pub use upkeep::{SyncReason, Upkeep};
pub(crate) use verdict::wanted;
pub use verdict::{needs, plan};

/// What would be done to a tenant, what would not, and why. Every list is
/// sorted by device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// As declared.
    pub tenant: Tenant,
    /// Where the tenant is reached.
    pub target: Target,
    /// What is loosened for the plans that follow, before anything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loosens: Vec<Loosen>,
    /// The freezes that are on: nothing is written while one is that nobody has
    /// approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<Frozen>,
    /// What would be written.
    pub changes: Vec<Change>,
    /// What the tenant as a whole needs.
    pub upkeep: Upkeep,
    /// What would be written, were there nothing in the way.
    pub held: Vec<Held>,
    /// What is under way.
    pub awaiting: Vec<Awaiting>,
    /// What is declared nowhere.
    pub unmanaged: Vec<Unmanaged>,
    /// Fields that are declared no more, and keep what they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub let_go: Vec<LetGo>,
    /// Declared devices whose registration is as declared.
    pub unchanged: Vec<(DeviceKey, RegistrationId)>,
    /// How many devices there are, and where they stand.
    pub counts: Counts,
    /// Group tags of which a few devices go first with this plan: for whoever saves it
    /// and carries it out when others may have gone since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canaries: Vec<Canaries>,
    /// When the tenant was read, by the service's clock.
    pub observed_at: Timestamp,
    /// How many consents to these very effects were made use of before: what
    /// one consent has covered, it does not cover again.
    #[serde(default)]
    pub again: u32,
    /// Whether devices that are declared no more are removed, and if not, why.
    #[serde(default)]
    pub removal: Removal,
    /// False if the reading does not cover the tenant; such a plan says
    /// nothing about unmanaged devices.
    pub complete: bool,
}

/// How many devices are where. `declared` = changes + held + awaiting +
/// unchanged, of devices that are declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All claims.
    pub declared: usize,
    /// Registrations that were read.
    pub registered: usize,
    /// Declared devices that are registered: the base of percentages.
    pub managed: usize,
    /// As declared already.
    pub unchanged: usize,
}

impl Plan {
    /// True if no device would be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// True if the tenant is not as declared, and nothing is under way that makes
    /// it so: something would be written, or is held.
    #[must_use]
    pub fn differs(&self) -> bool {
        !self.changes.is_empty() || !self.held.is_empty() || !self.loosens.is_empty() || self.removal.undeclared > 0
    }

    /// True if a limit holds something back that a number would let through.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.held.iter().any(|held| held.reason == Reason::LimitExceeded)
    }

    /// True if far less is declared, or registered, than was applied: then what looks
    /// as if it were to be removed is not.
    #[must_use]
    pub fn is_collapsed(&self) -> bool {
        let is_collapse = |why: &NoRemoval| {
            matches!(
                why,
                NoRemoval::DesiredSetEmpty | NoRemoval::DesiredSetCollapsed(_) | NoRemoval::ObservedSetCollapsed(_)
            )
        };
        self.removal.not_computed.as_ref().is_some_and(is_collapse)
    }

    /// True if something is kept back that a person may let through: by a limit, a
    /// freeze, or because far less is declared or registered than before.
    #[must_use]
    pub(crate) fn is_stopped_by_a_protection(&self) -> bool {
        self.is_limited() || self.is_frozen() || self.is_collapsed()
    }

    /// True if a freeze holds something back that its name would let through.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.held.iter().any(|held| held.reason == Reason::Frozen)
    }

    /// True if anything at all would be written.
    #[must_use]
    pub fn writes(&self) -> bool {
        !self.changes.is_empty() || !self.upkeep.is_empty() || !self.loosens.is_empty()
    }

    /// The plan's effects as one digest: same effects on the same tenant, same
    /// digest, on any machine and commit; but for effects that were approved
    /// and done before, where that is known.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self)
    }
}
