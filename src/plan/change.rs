//! What a plan would do: an effect, where it was declared, and what a reader
//! should know about it. Nothing here knows how a change is sent.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ledger::Hardware;
use crate::model::{Action, Effect, Field, HashRef, Origin, SerialNumber};

/// A device that the plan would write, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What exactly would be written.
    pub effect: Effect,
    /// Where the device is declared.
    pub origin: Origin,
    /// Where the hash is read again at import; only where one is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Arc<HashRef>>,
    /// Sorted, each once.
    pub notes: Vec<Note>,
    /// Fields that somebody else has changed since we applied what is declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drifted: Vec<Field>,
    /// Of a registration, which machine it is of, for the ledger; empty if its hash
    /// was not read.
    #[serde(default, skip_serializing_if = "Hardware::is_empty")]
    pub hardware: Hardware,
}

impl Change {
    /// The serial as declared.
    #[must_use]
    pub fn serial(&self) -> &SerialNumber {
        &self.effect.device.serial
    }

    /// What is done to the device.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.effect.action
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
    /// An earlier import was complete, and its registration is gone.
    RegisteredBefore,
    /// Nobody here made or changed this registration before.
    Adopts,
    /// What our own import could not carry.
    CompletesImport,
    /// Somebody else has changed what was applied; this sets it back.
    ChangedInTenant,
    /// Its declaration is gone, and its registration is not touched.
    StaysRegistered,
    /// Its declaration is gone, and somebody else has removed its registration.
    GoneAlready,
}

impl Note {
    /// The sentence for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::GroupsFollowLater => "dynamic groups and profiles follow later (minutes to hours)",
            Self::EffectiveAtNextSetup => "device is enrolled: takes effect at the next Windows setup",
            Self::UserUnverified => "user not verified: no permission to read users",
            Self::HashNotReadHere => "hash is pinned and not read here",
            Self::ImportRunning => "an import of this device is under way; it is waited for",
            Self::NewAttempt => "an earlier import failed; this is a new attempt",
            Self::RegisteredBefore => "we registered it before, and somebody removed the registration",
            Self::Adopts => "registered by somebody else; taken over by this change",
            Self::ChangedInTenant => "somebody else has changed it since it was applied; this sets it back",
            Self::StaysRegistered => "declared no more; it stays registered, and is nobody's here from then on",
            Self::GoneAlready => "declared no more, and somebody else has removed its registration",
            Self::CompletesImport => "completes the device's registration: an import cannot carry this",
        }
    }
}
