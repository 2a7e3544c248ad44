//! What a reason comes to in a report: its class, its symbol, and the names
//! of its remedies.

use crate::plan::{HeldClass, Reason};

use super::symbol::Symbol;

/// The class of a held change, for tools.
pub(super) fn class(reason: Reason) -> &'static str {
    match reason.class() {
        HeldClass::Blocked => "blocked",
        HeldClass::Conflict => "conflict",
    }
}

pub(super) fn symbol(reason: Reason) -> Symbol {
    match reason.class() {
        HeldClass::Blocked => Symbol::Blocked,
        HeldClass::Conflict => Symbol::Conflict,
    }
}

/// The names of remedies for tools, from a closed list.
pub(super) fn remedy_codes(reason: Reason) -> &'static [&'static str] {
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
        Reason::AlreadyRegistered => &["PlanAgain", "DeclareOtherSerial"],
        Reason::AssignedToOtherTenant => &["OtherTenantDeregisters", "MicrosoftSupport", "Retry"],
        Reason::ImportFailed => &["Retry"],
        Reason::UserNotFound | Reason::UserDomainNotVerified | Reason::UserNotAccepted => &["CorrectUser"],
        Reason::ServiceUnavailable | Reason::NotVisible | Reason::OutcomeUnknown | Reason::Cancelled => &["ApplyAgain"],
        Reason::GateClosed => &["RepairCause"],
        Reason::ImportRefused | Reason::UpdateRefused => &["CorrectDeclaration"],
    }
}
