//! What reports say, as plain data: per kind of report its rows and totals,
//! judged, sorted and counted once, so that formats have nothing left but to
//! draw.
//!
//! Only here are plans, outcomes, states, problems and hashes known. Tools get
//! a document as it is serialised; what is skipped there is for people.

mod apply;
mod between;
mod fail_on;
mod failure;
mod fleet;
mod hash;
mod place;
mod plan;
mod problems;
mod reason;
mod severity;
mod status;
mod symbol;

use schemars::JsonSchema;
use serde::Serialize;

// How formats write what others wrote.
pub(super) use crate::model::{is_command, is_unseen, seen, seen_line};
pub(super) use crate::plan::Remedy;
pub(crate) use apply::ApplyDocument;
pub use apply::ApplyView;
pub(crate) use between::{BetweenDocument, BetweenView, ChangeSide};
pub use fail_on::FailOn;
pub use failure::FailureDocument;
pub use fleet::FleetDocument;
pub(crate) use hash::{ComparisonDocument, HashRow, KeyDocument, SectionDocument, Told, told_once};
pub use hash::{HashDocument, HashReport, Identifiers};
pub use place::Place;
pub(crate) use place::Places;
pub use plan::PlanView;
pub(crate) use plan::{
    ActionDocument, ChangeDocument, FreezeDocument, HeldDocument, LimitDocument, Object, PlanDocument, Shown, Summary,
};
pub use problems::problems;
pub(crate) use problems::{Found, ProblemDocument, ProblemsDocument, SpotDocument};
pub(crate) use severity::Severity;
pub(crate) use status::StatusDocument;
pub use status::StatusView;
pub(crate) use symbol::Symbol;

/// The version of every document of this crate for tools.
pub(crate) const FORMAT_VERSION: &str = "1.0";

/// One report, whatever it is about; `kind` tells which.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Document {
    /// What would be done.
    Plan(Box<PlanDocument>),
    /// In what two plans differ.
    Between(BetweenDocument),
    /// What became of it.
    Apply(ApplyDocument),
    /// Where devices stand.
    Status(StatusDocument),
    /// What is wrong with declarations.
    Problems(ProblemsDocument),
    /// What is in hashes.
    Hash(HashDocument),
    /// Why there is no report.
    Failure(FailureDocument),
    /// Those of several tenants.
    Fleet(FleetDocument),
}

/// What a command reports on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What would be done.
    Plan,
    /// What would be done, as it was saved.
    Saved,
    /// In what two plans differ.
    Between,
    /// What became of it.
    Apply,
    /// Where devices stand.
    Status,
    /// What is wrong with declarations.
    Problems,
    /// What is in hashes.
    Hash,
}

impl Kind {
    /// The command that makes such reports.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Saved => "show",
            Self::Between => "diff",
            Self::Apply => "apply",
            Self::Status => "status",
            Self::Problems => "validate",
            Self::Hash => "hash",
        }
    }
}
