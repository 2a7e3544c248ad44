//! The kinds of effects as one table: what they are called, and which
//! operations of the service they take. Everything that speaks of a kind draws
//! from here.

use serde::{Deserialize, Serialize};

use crate::model::{Action, Request};

/// The kind of an effect. Closed list; the names are the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActionKind {
    /// A device may be removed that could not be before.
    Loosen,
    /// It is kept in mind that a device may be removed less than before.
    Tighten,
    /// A device becomes known to the tenant.
    Register,
    /// A registration gets other values.
    Update,
    /// A registration is removed.
    Deregister,
    /// A device is forgotten, and stays registered.
    Release,
    /// A registration is taken note of.
    Adopt,
}

impl ActionKind {
    /// All of them, in the order in which they are carried out.
    pub const ALL: [Self; 7] =
        [Self::Loosen, Self::Tighten, Self::Register, Self::Update, Self::Deregister, Self::Release, Self::Adopt];

    /// The name for people and tools.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loosen => "loosen",
            Self::Tighten => "tighten",
            Self::Register => "register",
            Self::Update => "update",
            Self::Deregister => "deregister",
            Self::Release => "release",
            Self::Adopt => "adopt",
        }
    }
}

impl std::fmt::Display for ActionKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl Action {
    /// The row of the table.
    #[must_use]
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Register(_) => ActionKind::Register,
            Self::Update(_) => ActionKind::Update,
            Self::Deregister(_) => ActionKind::Deregister,
            Self::Release(_) => ActionKind::Release,
            Self::Adopt(_) => ActionKind::Adopt,
            Self::Keep(keep) if keep.loosens() => ActionKind::Loosen,
            Self::Keep(_) => ActionKind::Tighten,
        }
    }

    /// The service's operations that carry this out, by their own names.
    #[must_use]
    pub fn writes(&self) -> Vec<&'static str> {
        match self {
            Self::Register(register) if register.running => Vec::new(),
            Self::Register(_) => vec!["import"],
            Self::Update(update) => update.requests().iter().map(operation).collect(),
            Self::Deregister(_) => vec!["delete"],
            Self::Release(_) | Self::Adopt(_) | Self::Keep(_) => Vec::new(),
        }
    }
}

fn operation(request: &Request) -> &'static str {
    match request {
        Request::Unassign => "unassignUserFromDevice",
        Request::Write(_) => "updateDeviceProperties",
    }
}
