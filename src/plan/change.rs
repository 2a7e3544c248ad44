//! What a plan would write: one change per device, with the values before
//! and after. Nothing here knows how a change is sent.

use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::model::{Device, Field, FieldChange, HashDigest, HashRef, ImportId, Origin, RegistrationId, SerialNumber};

/// A device that the plan would write, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub serial: SerialNumber,
    pub origin: Origin,
    pub action: Action,
    pub notes: Vec<Note>,
}

/// The one thing that happens to a device in a round.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Import the hash. The service takes group tag and user along; the other
    /// values are written by the next round, once the registration is there.
    Register(Register),
    /// Write fields of a registration.
    Update(Update),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Register {
    pub reference: Arc<HashRef>,
    /// SHA-256 of the hash, read now or pinned in the manifest.
    pub digest: HashDigest,
    pub import_id: ImportId,
    /// 1 for the first import of this hash; counted up when one has failed
    /// for a reason that may pass.
    pub attempt: u32,
    /// Every declared value, also those that an import cannot carry.
    pub values: Vec<(Field, CompactString)>,
    /// True if an import with this id is already under way: wait, do not post.
    pub running: bool,
}

impl Register {
    #[must_use]
    pub fn value(&self, field: Field) -> Option<&CompactString> {
        self.values.iter().find(|(of, _)| *of == field).map(|(_, value)| value)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub id: RegistrationId,
    /// The registration as observed.
    pub before: Box<Device>,
    pub fields: Vec<FieldChange>,
}

impl Update {
    /// True if a working PC moves to other policies by this change.
    #[must_use]
    pub fn retags_enrolled(&self) -> bool {
        self.before.is_enrolled() && self.fields.iter().any(|change| change.field == Field::GroupTag)
    }

    /// True if a tag or a user is taken away.
    #[must_use]
    pub fn clears(&self) -> bool {
        let counted = |field| matches!(field, Field::GroupTag | Field::UserPrincipalName);
        self.fields.iter().any(|change| change.after.is_empty() && counted(change.field))
    }
}

/// What a reader should know about a change. Closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Note {
    /// Dynamic groups and profiles follow a tag minutes to hours later.
    GroupsFollowLater,
    /// The device is enrolled: the value is used at its next Windows setup.
    EffectiveAtNextSetup,
    /// Nobody could check that the user exists; Microsoft checks the domain only.
    UserUnverified,
    /// The hash is pinned and was not read here.
    HashNotReadHere,
    /// An import of ours is under way already; it is waited for.
    ImportRunning,
    /// An earlier import failed for a reason that may pass.
    NewAttempt,
}

impl Note {
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::GroupsFollowLater => "dynamic groups and profiles follow later (minutes to hours)",
            Self::EffectiveAtNextSetup => "device is enrolled: takes effect at the next Windows setup",
            Self::UserUnverified => "user not verified: no permission to read users",
            Self::HashNotReadHere => "hash is pinned and not read here",
            Self::ImportRunning => "an import of this device is under way; it is waited for",
            Self::NewAttempt => "an earlier import failed; this is a new attempt",
        }
    }
}
