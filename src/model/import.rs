//! How far an import of a device has come, as the service's records and our
//! own journal tell it.

use serde::{Deserialize, Serialize};

use super::RegistrationId;

/// True for an error of an import (`deviceErrorCode`, `deviceErrorName`) that says
/// nothing final about the device: it may pass (640, 814), or the device is
/// registered here already, which a look decides (806).
#[must_use]
pub(crate) fn is_open_error(code: i64, name: &str) -> bool {
    matches!(name, "StorageError" | "ZtdDeviceAlreadyAadRegistered" | "ZtdDeviceAlreadyAssigned")
        || matches!(code, 640 | 814 | 806)
}

/// The state of one import. The service's records are `Running`, `Complete`
/// or `Error`; only the journal knows the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ImportState {
    /// We meant to send it, and no record of it is known.
    Unsent,
    /// A later look can still show something else: not settled, or complete
    /// without the name of its registration.
    Running,
    /// The device is registered.
    Complete {
        /// The registration that the import made or found.
        registration_id: RegistrationId,
    },
    /// Code and name as the service writes them; decide by the name first.
    Error {
        /// `deviceErrorCode`.
        code: i64,
        /// `deviceErrorName`.
        name: String,
    },
    /// The row was refused before it became a record.
    Refused {
        /// The service's words.
        message: String,
    },
    /// There was a record, and somebody removed it before it had ended for
    /// us: the registration may come all the same.
    Removed,
}
