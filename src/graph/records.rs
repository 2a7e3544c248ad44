//! What the operations give back and take, beyond the shared nouns: import
//! records and rows, writes, the organization.

use compact_str::CompactString;
use jiff::Timestamp;

use crate::model::{
    DirectoryDeviceId, DirectoryObjectId, HardwareHash, ImportId, ImportRecordId, ImportState, ManagedDeviceId,
    RegistrationId, SerialNumber,
};

/// An import request and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRecord {
    /// The service's own name for it.
    pub id: ImportRecordId,
    /// The client's own mark; `None` where another client left none, or text
    /// that is not a GUID.
    pub import_id: Option<ImportId>,
    /// As written by whoever posted the import.
    pub serial: CompactString,
    /// `Running`, `Complete` or `Error`.
    pub state: ImportState,
}

/// One device to register. Owns the hash, so that it is gone with the row.
#[derive(Debug)]
pub struct ImportRow<'a> {
    /// As declared.
    pub serial: &'a SerialNumber,
    /// What the service registers.
    pub hash: HardwareHash,
    /// `None`: no tag.
    pub group_tag: Option<&'a str>,
    /// `None`: nobody.
    pub user: Option<&'a str>,
    /// Our own mark, by which a later run finds the record again.
    pub import_id: ImportId,
}

/// One write of a batch. Each may safely be sent twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Changes fields.
    Update {
        /// Whose.
        id: RegistrationId,
        /// Which, and to what.
        fields: Fields,
    },
    /// Removes the user.
    UnassignUser {
        /// From which registration.
        id: RegistrationId,
    },
    /// Asks for the deletion of a registration. Accepted is not gone: that takes
    /// up to half an hour, and only a reading by id that finds nothing proves
    /// it. Already gone, or asked for before, counts as accepted; an enrolled
    /// device is [`ErrorKind::Enrolled`](super::ErrorKind::Enrolled).
    Deregister {
        /// Which registration.
        id: RegistrationId,
    },
    /// Removes the record of an import; the registration stays. A record that
    /// is already gone is a success.
    DeleteImport {
        /// Which record.
        record: ImportRecordId,
    },
}

/// The fields of `updateDeviceProperties`: `None` leaves a value alone, `""`
/// clears it (a user is removed by [`Write::UnassignUser`] instead).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// The tag that groups follow.
    pub group_tag: Option<CompactString>,
    /// The name that the user signs in with.
    pub user: Option<CompactString>,
    /// How the user is greeted. The service wants a user beside it.
    pub addressable_user_name: Option<CompactString>,
    /// The device's name.
    pub display_name: Option<CompactString>,
}

/// A device in Intune.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedDevice {
    /// Intune's own name for it; a registration links to it by this.
    pub id: ManagedDeviceId,
    /// As the device told it.
    pub serial: CompactString,
    /// The computer's name.
    pub name: CompactString,
    /// Who works on it; empty for nobody.
    pub user: CompactString,
    /// The same device in Entra; `None` where it has not joined.
    pub directory_device: Option<DirectoryDeviceId>,
    /// When it was last in touch; `None` for never.
    pub last_sync: Option<Timestamp>,
}

/// A device in Entra.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryDevice {
    /// What it is read and deleted by.
    pub object: DirectoryObjectId,
    /// What Intune and a registration link to it by.
    pub id: Option<DirectoryDeviceId>,
    /// What the directory shows; before the first enrolment, often the serial.
    pub name: CompactString,
    /// The registration that it belongs to, by its `[ZTDID]`.
    pub registration: Option<RegistrationId>,
    /// True where it comes from a directory of the user's own (hybrid join):
    /// deleted here, it would come back, so it has to be deleted there.
    pub is_synced: bool,
}

/// The tenant, as its directory names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// What it calls itself.
    pub display_name: CompactString,
    /// The domains that its users may have.
    pub verified_domains: Vec<CompactString>,
}
