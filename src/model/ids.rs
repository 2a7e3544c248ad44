//! Typed identifiers: GUIDs that must not be confused with each other.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.trim().parse().map(Self)
            }
        }
    };
}

id! {
    /// A registration (`windowsAutopilotDeviceIdentity.id`, also called ZTDID).
    RegistrationId
}
id! {
    /// A device in Intune (`managedDevice.id`).
    ManagedDeviceId
}
id! {
    /// A device in Entra, as Intune and the device itself call it
    /// (`device.deviceId`).
    DirectoryDeviceId
}
id! {
    /// The same device, as the directory calls its object (`device.id`).
    DirectoryObjectId
}
id! {
    /// An Entra tenant.
    TenantId
}
id! {
    /// The client's own mark on an import (`importId`).
    ImportId
}
id! {
    /// The service's name for an import record.
    ImportRecordId
}
