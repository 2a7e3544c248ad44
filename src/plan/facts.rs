//! What the planner is told beside claims and registrations: hashes, our own
//! imports and updates, users. Gathered by `round`, judged by `verdict`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::hash::IdentityKey;
use crate::ledger::{ImportFact, Ledger, PendingUpdate, SentTag, Tail, Tracked};
use crate::model::{
    DeviceKey, HashDigest, ImportId, ImportRecordId, Loosen, RegistrationId, SerialKey, SerialNumber, SyncState,
    Target, TenantId,
};

use super::canary::Waits;
use super::held::Reason;
use super::removal::{NoRemoval, Removals};

/// How long after its row was sent a record may be missing in the list of the
/// records. What is missing for longer was not taken, or somebody removed it.
pub(crate) const LISTED_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// How long a completed import may take to become readable (minutes in the
/// field, 15 documented for large files).
pub(crate) const VISIBLE_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// How long an accepted update may take to become readable by id.
pub(crate) const UPDATED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// A refusal by fact (other tenant, bad hash) is looked at again after this.
pub(super) const REFUSED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Everything a plan depends on beside the claims and the reading. Times are
/// the service's, and none of them is later than `now`.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The present, by the service's clock.
    pub now: Timestamp,
    /// Where the tenant is reached.
    pub target: Target,
    /// Per device to register: its hash, or why there is none.
    pub hashes: HashMap<DeviceKey, HashFact>,
    /// What became of our own imports: the service's records, else the journal.
    pub imports: HashMap<ImportId, ImportFact>,
    /// Registrations that could not be read singly.
    pub unread: HashSet<RegistrationId>,
    /// What our own imports could not carry, by the registration that lacks it.
    pub tails: HashMap<RegistrationId, Tail>,
    /// Registrations that we made or changed before.
    pub owned: HashSet<RegistrationId>,
    /// Updates that the service took and did not show when last read.
    pub pending: HashMap<RegistrationId, PendingUpdate>,
    /// Verified domains of the tenant, lower case; `None` if we may not read them.
    pub domains: Option<Vec<String>>,
    /// Users that were looked up, lower case: do they exist. Missing: not known.
    pub users: HashMap<String, bool>,
    /// When the tenant last synced, if it told us.
    pub sync: Option<SyncState>,
    /// When our last import was complete, if we asked for no sync since.
    pub unsynced: Option<Timestamp>,
    /// Own import records that have ended.
    pub ended_records: Vec<ImportRecordId>,
    /// Devices whose refused import somebody wants to be tried again now.
    pub retry: HashSet<SerialKey>,
    /// What we have applied before; `None` where no ledger is kept at all.
    pub ledger: Option<Arc<Ledger>>,
    /// Why nothing may be removed, as far as that is known before the plan.
    pub no_removal: Option<NoRemoval>,
    /// Guards that are declared looser than they were applied: the claims' tenant
    /// has the stricter ones.
    pub loosens: Vec<Loosen>,
    /// What may be removed at all.
    pub removals: Removals,
    /// Registrations whose deletion we have asked for, and since when.
    pub deleting: HashMap<RegistrationId, Timestamp>,
    /// Registrations that Intune has given a deployment profile, of those that were
    /// looked at.
    pub profiles: HashSet<RegistrationId>,
    /// Group tags that we have sent, where a rollout is declared.
    pub sent: Vec<SentTag>,
    /// Of a saved plan: how many devices of a group tag have to wait, and why.
    pub waits: Waits,
    /// True in a repeated round: what our own imports lack goes first, alone.
    pub tails_first: bool,
    /// Devices that a reading of the whole tenant has not shown, for one that is
    /// of some devices. Whether they are absent still, the service says (806).
    pub absent: HashSet<DeviceKey>,
}

impl Facts {
    /// Since when a device is on its way out, if so: by the ledger or, where that
    /// was not written, by the journal.
    pub(super) fn deleting_since(&self, tracked: &Tracked) -> Option<Timestamp> {
        let journal = self.deleting.get(&tracked.registration_id).copied();
        journal.or(tracked.deleting.as_ref().map(|deleting| deleting.since)).map(|since| since.min(self.now))
    }
}

/// What is known about the hash of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashFact {
    /// Read and checked. `hardware` says which machine it is (identity keys).
    Read {
        /// SHA-256 of its bytes.
        digest: HashDigest,
        /// Identity keys, strongest first.
        hardware: Vec<IdentityKey>,
    },
    /// Not read here; the manifest pins it.
    Pinned {
        /// As pinned.
        digest: HashDigest,
    },
    /// Read, and not usable.
    Unusable {
        /// What is wrong with it.
        message: String,
    },
    /// Cannot be read here, and not pinned.
    NotAvailable {
        /// Why not.
        message: String,
    },
}

/// What has to be looked up before a plan can be made. Nothing in it when
/// nothing differs, so an unchanged tenant costs its listing only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Indexes of claims whose hash is needed: not registered, to be imported.
    pub register: Vec<usize>,
    /// Registrations to read singly: the list shows a blank or may lag.
    pub read: Vec<RegistrationId>,
    /// Users that would be assigned, lower case, sorted.
    pub users: Vec<String>,
}

/// Our namespace for import ids, so that nobody else's can equal them.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_5c0e_8a1b_4f5e_9c56_6170_6769_7401);

/// The import id of one attempt to register one device: the same in every
/// plan, run and machine, so that a crash is answered by a look-up.
#[must_use]
pub fn import_id(tenant: TenantId, owner: &str, serial: &SerialNumber, digest: HashDigest, attempt: u32) -> ImportId {
    let name = format!("{tenant}\n{owner}\n{}\n{}\n{attempt}", serial.key(), digest.hex());
    ImportId(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
}

/// Names and numbers of `deviceErrorName` and `deviceErrorCode`, sorted by
/// what to do about them. Names decide, numbers are the fallback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImportError {
    /// May pass: storage error (640), object in the way (814).
    Passing,
    /// Already registered in this tenant (806).
    Here,
    /// Owned by another tenant (808).
    OtherTenant,
    /// The hash or the row itself is bad (801, 802, 803, 812, 813).
    BadHash,
    /// The same hardware stands twice in one request.
    Duplicate,
    /// A name or number that we do not know: terminal.
    Unknown,
}

impl ImportError {
    /// Why the device is not registered.
    #[must_use]
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Here => Reason::AlreadyRegistered,
            Self::OtherTenant => Reason::AssignedToOtherTenant,
            Self::BadHash => Reason::InvalidHardwareHash,
            Self::Duplicate => Reason::DuplicateHardware,
            Self::Passing | Self::Unknown => Reason::ImportFailed,
        }
    }

    /// Reads both as Microsoft writes them; the name decides first.
    #[must_use]
    pub(crate) fn of(code: i64, name: &str) -> Self {
        match name {
            "ZtdDeviceAlreadyAssigned" => Self::Here,
            "ZtdDeviceAssignedToOtherTenant" | "ZtdDeviceAssignedToAnotherTenant" => Self::OtherTenant,
            "ZtdDeviceDuplicated" => Self::Duplicate,
            "StorageError" | "ZtdDeviceAlreadyAadRegistered" => Self::Passing,
            "InvalidZtdRequestBody"
            | "InvalidZtdHardwareHash"
            | "MissingZtdSerialNumberAndProductKey"
            | "HashNot4k"
            | "ZtdDeviceNotFound"
            | "ZtdDeviceIsNotUnique" => Self::BadHash,
            _ => match code {
                640 | 814 => Self::Passing,
                806 => Self::Here,
                808 => Self::OtherTenant,
                801 | 802 | 803 | 812 | 813 => Self::BadHash,
                _ => Self::Unknown,
            },
        }
    }
}
