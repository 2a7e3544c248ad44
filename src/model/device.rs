//! What a tenant holds: registrations, and a reading of them with its
//! coverage.

use compact_str::CompactString;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{RegistrationId, SerialKey};

/// One registration as the tenant shows it. Absent text is empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Names it for as long as it is registered; a new registration has a new one.
    pub id: RegistrationId,
    /// As the tenant writes it; compare through [`Device::key`].
    pub serial: CompactString,
    /// `groupTag`.
    pub group_tag: CompactString,
    /// `userPrincipalName`.
    pub user: CompactString,
    /// `addressableUserName`, the greeting.
    pub addressable_user_name: CompactString,
    /// `displayName`, the computer name.
    pub display_name: CompactString,
    /// As the firmware has it.
    pub manufacturer: CompactString,
    /// As the firmware has it.
    pub model: CompactString,
    /// How far the device has come on its way into Intune.
    pub enrollment: EnrollmentState,
    /// The Intune device, when the zero GUID does not stand there.
    pub managed_device_id: Option<Uuid>,
    /// When Intune last heard of it.
    pub last_contacted: Option<Timestamp>,
}

impl Device {
    /// The serial made comparable.
    #[must_use]
    pub fn key(&self) -> SerialKey {
        SerialKey::of(&self.serial)
    }

    /// True if a working PC stands behind the registration, as far as known.
    #[must_use]
    pub fn is_enrolled(&self) -> bool {
        self.managed_device_id.is_some() || self.enrollment == EnrollmentState::Enrolled
    }
}

/// `enrollmentState`; names that we do not know are `Unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EnrollmentState {
    /// `unknown`, or a name that we do not know.
    Unknown,
    /// People work on it.
    Enrolled,
    /// A reset has been asked for.
    PendingReset,
    /// Its enrolment failed.
    Failed,
    /// It has never been heard of.
    NotContacted,
    /// Its enrolment is refused.
    Blocked,
}

/// How much of the tenant a reading has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// A complete listing: what is not in it is not in the tenant.
    All,
    /// Only these registrations were read; nothing follows for any other.
    Only(Vec<RegistrationId>),
}

/// A reading of the tenant. Devices are sorted by serial key, then id.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    coverage: Coverage,
    devices: Vec<Device>,
    /// When it was read, by the service's clock.
    pub at: Timestamp,
}

impl Observed {
    /// `coverage` `All` promises that the listing was followed to its end.
    #[must_use]
    pub fn new(coverage: Coverage, mut devices: Vec<Device>, at: Timestamp) -> Self {
        devices.sort_by_cached_key(|device| (device.key(), device.id));
        Self { coverage, devices, at }
    }

    /// How much of the tenant this is.
    #[must_use]
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Sorted by serial key, then id.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The devices alone.
    #[must_use]
    pub fn into_devices(self) -> Vec<Device> {
        self.devices
    }

    /// Puts a fresher reading of single registrations over this one. `None`
    /// says that the registration is gone (a GET by id answered 404).
    pub fn overlay(&mut self, readings: Vec<(RegistrationId, Option<Device>)>) {
        let touched: std::collections::HashSet<_> = readings.iter().map(|(id, _)| *id).collect();
        self.devices.retain(|device| !touched.contains(&device.id));
        // Of two readings of one registration, the later one counts.
        let readings: std::collections::HashMap<RegistrationId, Option<Device>> = readings.into_iter().collect();
        self.devices.extend(readings.into_values().flatten());
        self.devices.sort_by_cached_key(|device| (device.key(), device.id));
    }
}

/// `windowsAutopilotSettings`: when the tenant last synced, and whether it
/// does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncState {
    /// When the last sync ended.
    pub last_sync: Option<Timestamp>,
    /// When somebody last asked for one.
    pub last_manual_trigger: Option<Timestamp>,
    /// True while one is under way.
    pub running: bool,
    /// True if the last one did not end well.
    pub failed: bool,
}
