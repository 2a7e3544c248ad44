//! What makes a plan fail a pipeline.

use crate::plan::Plan;

/// What makes a plan fail a pipeline (`--fail-on`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailOn {
    /// Changes that will not be made.
    Held,
    /// Devices that are declared nowhere.
    Unmanaged,
    /// Changes.
    Changes,
}

impl FailOn {
    /// The word on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Unmanaged => "unmanaged",
            Self::Changes => "changes",
        }
    }

    /// What the plan has, in the words of people.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Held => "held changes",
            Self::Unmanaged => "unmanaged devices",
            Self::Changes => "changes",
        }
    }

    /// True if the plan has what this asks about.
    #[must_use]
    pub fn applies(self, plan: &Plan) -> bool {
        match self {
            Self::Held => !plan.held.is_empty(),
            Self::Unmanaged => !plan.unmanaged.is_empty(),
            Self::Changes => !plan.changes.is_empty(),
        }
    }
}
