//! Values to text: pure functions, one model for every format, so that what
//! people read and what tools read cannot disagree.
//!
//! No terminals and no files here: how wide, how colourful and in which
//! alphabet is told by a [`Look`].

pub mod problems;
pub mod hash;
pub mod apply;
pub mod diff;
pub mod json;
mod line;
pub mod status;
pub mod style;
pub mod text;

use std::sync::Arc;

use jiff::Timestamp;

use crate::apply::Schedule;
use crate::model::Origin;
use crate::plan::{ClearedPlan, Plan, Reason};

pub use style::Look;

/// Where a claim stands. Ordered as reviewers read: by file, then line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Relative to where the command was run, with `/` between folders.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
}

/// Turns a claim's mark into its place.
pub type Places<'a> = &'a dyn Fn(Origin) -> Place;

/// Everything a report of a plan shows.
#[derive(Clone, Copy)]
pub struct PlanView<'a> {
    pub cleared: &'a ClearedPlan,
    pub schedule: &'a Schedule,
    /// Requests that it took to make the plan.
    pub calls: u64,
    /// What was read, as it was typed.
    pub source: &'a str,
    /// How many files had something to say.
    pub files: usize,
    /// `Global`, `GccHigh`, …
    pub cloud: &'a str,
    /// True if the tenant is the built-in simulated one.
    pub simulated: bool,
    pub created_at: Timestamp,
    pub places: Places<'a>,
    /// What `--fail-on` found, if it found something.
    pub failed_on: Option<FailOn>,
}

impl<'a> PlanView<'a> {
    #[must_use]
    pub fn plan(&self) -> &'a Plan {
        self.cleared.plan()
    }

    #[must_use]
    pub fn place(&self, origin: Origin) -> Place {
        (self.places)(origin)
    }
}

/// What makes a plan fail a pipeline (`--fail-on`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailOn {
    Held,
    Unmanaged,
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

/// The name of a remedy for tools, from a closed list.
pub(crate) fn remedy_codes(reason: Reason) -> &'static [&'static str] {
    match reason {
        Reason::LimitExceeded => &["ApproveExactCount"],
        Reason::UpdateNotAllowed | Reason::ObserveOnly => &["ChangePolicy"],
        Reason::Suspended => &["RemoveSuspend"],
        Reason::OutOfScope => &["WidenScope"],
        Reason::AdoptionNotAllowed => &["AllowAdoption"],
        Reason::NotInFirstPlan | Reason::ChangedMeanwhile => &["PlanAgain"],
        Reason::AmbiguousSerial => &["DeclareRegistrationId"],
        Reason::RegistrationNotFound => &["CorrectRegistrationId"],
        Reason::HashUnusable | Reason::InvalidHardwareHash => &["CollectHashAgain"],
        Reason::HashNotAvailable => &["MakeHashReadable"],
        Reason::DuplicateHardware => &["RemoveDuplicate"],
        Reason::AlreadyRegistered => &["DeclareOtherSerial"],
        Reason::AssignedToOtherTenant => &["OtherTenantDeregisters", "MicrosoftSupport"],
        Reason::UserNotFound | Reason::UserDomainNotVerified | Reason::UserNotAccepted => &["CorrectUser"],
        Reason::ImportFailed
        | Reason::ServiceUnavailable
        | Reason::NotVisible
        | Reason::OutcomeUnknown
        | Reason::Cancelled => &["ApplyAgain"],
        Reason::GateClosed => &["RepairCause"],
        Reason::ImportRefused | Reason::UpdateRefused => &["CorrectDeclaration"],
    }
}
