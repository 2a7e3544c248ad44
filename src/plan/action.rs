//! The kinds of effects as one table: what they are called, and which
//! operations of the service they take. Everything that speaks of a kind draws
//! from here.

use serde::{Deserialize, Serialize};

use crate::model::{Action, Request};

/// The kind of an effect. Closed list; the names are the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActionKind {
    /// A device becomes known to the tenant.
    Register,
    /// A registration gets other values.
    Update,
}

impl ActionKind {
    /// All of them, in the order in which they are carried out.
    pub const ALL: [Self; 2] = [Self::Register, Self::Update];

    /// The name for people and tools.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Update => "update",
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
        }
    }

    /// The service's operations that carry this out, by their own names.
    #[must_use]
    pub fn writes(&self) -> Vec<&'static str> {
        match self {
            Self::Register(register) if register.running => Vec::new(),
            Self::Register(_) => vec!["import"],
            Self::Update(update) => update.requests().iter().map(operation).collect(),
        }
    }
}

fn operation(request: &Request) -> &'static str {
    match request {
        Request::Unassign => "unassignUserFromDevice",
        Request::Write(_) => "updateDeviceProperties",
    }
}
