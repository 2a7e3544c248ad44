//! Where each declared device stands: a plan, seen device by device. Nothing
//! here says how it is shown.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::model::{Adopt, Claim, Desired, DeviceKey, Field, Keep, Origin, RegistrationId, SerialNumber};
use crate::plan::{Action, Plan, Reason, Waiting};

/// All devices of a tenant that are declared, by serial key.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetStatus {
    /// Each of them once.
    pub devices: Vec<DeviceStatus>,
    /// Registered in scope and declared nowhere.
    pub unmanaged: usize,
    /// When the tenant was read.
    pub observed_at: Timestamp,
}

/// One declared device.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceStatus {
    /// As declared.
    pub serial: SerialNumber,
    /// Where it is declared.
    pub origin: Origin,
    /// `None` until it is registered.
    pub registration_id: Option<RegistrationId>,
    /// Where it stands.
    pub stage: Stage,
}

/// How far a device is on its way to what is declared.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Registered, visible, as declared.
    InSync,
    /// Declared, and not sent yet.
    ToRegister,
    /// An import of ours is under way.
    Importing,
    /// Imported, not listed yet.
    AwaitingRegistration {
        /// When the import was complete.
        since: Timestamp,
    },
    /// Nothing to send: the vendor registers it.
    AwaitingVendor,
    /// Registered; these fields are not as declared.
    ToUpdate {
        /// Which.
        fields: Vec<Field>,
    },
    /// Written, and not shown yet.
    AwaitingValues {
        /// When it was written.
        since: Timestamp,
        /// Which.
        fields: Vec<Field>,
    },
    /// Registered as declared; the ledger does not say so yet.
    ToAdopt,
    /// It was removed, and the tenant still shows it.
    AwaitingGone {
        /// When that was asked for.
        since: Timestamp,
    },
    /// A change is needed and will not be made.
    Held {
        /// Why not.
        reason: Reason,
    },
}

impl Stage {
    /// The name for tools: a closed list.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::InSync => "InSync",
            Self::ToRegister => "ToRegister",
            Self::Importing => "Importing",
            Self::AwaitingRegistration { .. } => "AwaitingRegistration",
            Self::AwaitingVendor => "AwaitingVendor",
            Self::ToUpdate { .. } => "ToUpdate",
            Self::AwaitingValues { .. } => "AwaitingValues",
            Self::ToAdopt => "ToAdopt",
            Self::AwaitingGone { .. } => "AwaitingGone",
            Self::Held { .. } => "Held",
        }
    }

    /// True if the tenant has a registration of the device, as far as known.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        matches!(
            self,
            Self::InSync
                | Self::ToUpdate { .. }
                | Self::AwaitingValues { .. }
                | Self::ToAdopt
                | Self::AwaitingGone { .. }
        )
    }
}

/// Sorts every claim into its stage. `plan` must be made of the same claims.
#[must_use]
pub fn fold(desired: &Desired, plan: &Plan) -> FleetStatus {
    let mut special: HashMap<&DeviceKey, (Option<RegistrationId>, Stage)> = HashMap::new();
    for change in &plan.changes {
        let (id, stage) = match change.action() {
            Action::Register(register) if register.running => (None, Stage::Importing),
            Action::Register(_) => (None, Stage::ToRegister),
            Action::Update(update) => {
                let fields = update.fields.iter().map(|change| change.field).collect();
                (Some(update.id), Stage::ToUpdate { fields })
            }
            Action::Adopt(Adopt { id, .. }) => (Some(*id), Stage::ToAdopt),
            Action::Keep(Keep { id, .. }) => (Some(*id), Stage::InSync),
            // Of what is declared no more, nobody asks.
            Action::Deregister(_) | Action::Release(_) => continue,
        };
        special.insert(&change.effect.device, (id, stage));
    }
    for held in &plan.held {
        special.insert(&held.device, (held.registration_id, Stage::Held { reason: held.reason }));
    }
    for awaiting in &plan.awaiting {
        let stage = match &awaiting.what {
            Waiting::Vendor => Stage::AwaitingVendor,
            Waiting::Registration { since } => Stage::AwaitingRegistration { since: *since },
            Waiting::Gone { since } => Stage::AwaitingGone { since: *since },
            Waiting::Values { since, fields } => {
                Stage::AwaitingValues { since: *since, fields: fields.iter().map(|change| change.field).collect() }
            }
        };
        special.insert(&awaiting.device, (awaiting.registration_id, stage));
    }
    let registered: HashMap<&DeviceKey, RegistrationId> =
        plan.unchanged.iter().map(|(device, id)| (device, *id)).collect();
    let device = |claim: &Claim| {
        let key = claim.key();
        let (registration_id, stage) = special
            .get(&key)
            .cloned()
            .unwrap_or_else(|| (claim.registration_id.or_else(|| registered.get(&key).copied()), Stage::InSync));
        DeviceStatus { serial: claim.serial.clone(), origin: claim.origin, registration_id, stage }
    };
    let devices = desired.claims().iter().map(device).collect();
    FleetStatus { devices, unmanaged: plan.unmanaged.len(), observed_at: plan.observed_at }
}
