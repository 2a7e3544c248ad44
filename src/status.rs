//! Where each declared device stands: a plan, seen device by device. Nothing
//! here says how it is shown.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::model::{Claim, Desired, Field, Origin, RegistrationId, SerialKey, SerialNumber};
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
            Self::Held { .. } => "Held",
        }
    }

    /// True if the tenant has a registration of the device, as far as known.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        matches!(self, Self::InSync | Self::ToUpdate { .. } | Self::AwaitingValues { .. })
    }
}

/// Sorts every claim into its stage. `plan` must be made of the same claims.
#[must_use]
pub fn fold(desired: &Desired, plan: &Plan) -> FleetStatus {
    let mut special: Vec<(SerialKey, Origin, DeviceStatus)> = Vec::new();
    let mut add = |serial: &SerialNumber, origin, registration_id, stage| {
        special.push((serial.key(), origin, DeviceStatus { serial: serial.clone(), origin, registration_id, stage }));
    };
    for change in &plan.changes {
        match &change.action {
            Action::Register(register) => {
                let stage = if register.running { Stage::Importing } else { Stage::ToRegister };
                add(&change.serial, change.origin, None, stage);
            }
            Action::Update(update) => {
                let fields = update.fields.iter().map(|change| change.field).collect();
                add(&change.serial, change.origin, Some(update.id), Stage::ToUpdate { fields });
            }
        }
    }
    for held in &plan.held {
        add(&held.serial, held.origin, held.registration_id, Stage::Held { reason: held.reason });
    }
    for awaiting in &plan.awaiting {
        let stage = match &awaiting.what {
            Waiting::Vendor => Stage::AwaitingVendor,
            Waiting::Registration { since } => Stage::AwaitingRegistration { since: *since },
            Waiting::Values { since, fields } => {
                Stage::AwaitingValues { since: *since, fields: fields.iter().map(|change| change.field).collect() }
            }
        };
        add(&awaiting.serial, awaiting.origin, awaiting.registration_id, stage);
    }
    special.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let registered: HashMap<&SerialKey, RegistrationId> = plan.unchanged.iter().map(|(key, id)| (key, *id)).collect();
    let in_sync = |claim: &Claim| DeviceStatus {
        serial: claim.serial.clone(),
        origin: claim.origin,
        registration_id: claim.registration_id.or_else(|| registered.get(&claim.serial.key()).copied()),
        stage: Stage::InSync,
    };
    let find = |claim: &Claim| {
        let at = special.binary_search_by(|(key, origin, _)| (key, *origin).cmp(&(&claim.serial.key(), claim.origin)));
        at.ok().map(|at| special[at].2.clone())
    };
    let devices = desired.claims().iter().map(|claim| find(claim).unwrap_or_else(|| in_sync(claim))).collect();
    FleetStatus { devices, unmanaged: plan.unmanaged.len(), observed_at: plan.observed_at }
}
