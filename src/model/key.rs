//! Which device is meant, from declaration to outcome.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::{RegistrationId, SerialNumber};

/// One declared device: its serial, and the registration where the
/// declaration names one. Two claims that share a serial and name their
/// registrations are two devices.
///
/// Serials compare as [`SerialNumber::key`] does, and show as declared.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceKey {
    /// As declared.
    pub serial: SerialNumber,
    /// The one that the declaration names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<RegistrationId>,
}

impl DeviceKey {
    /// The device of a serial alone.
    #[must_use]
    pub fn of(serial: SerialNumber) -> Self {
        Self { serial, registration: None }
    }
}

impl PartialEq for DeviceKey {
    fn eq(&self, other: &Self) -> bool {
        self.registration == other.registration && self.serial.key() == other.serial.key()
    }
}

impl Eq for DeviceKey {}

impl Hash for DeviceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.serial.key().hash(state);
        self.registration.hash(state);
    }
}

impl PartialOrd for DeviceKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DeviceKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let serials = self.serial.key().cmp(&other.serial.key());
        serials.then(self.registration.cmp(&other.registration))
    }
}

impl std::fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serial.fmt(f)
    }
}
