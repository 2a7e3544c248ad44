//! What is not done, and why: held changes, waiting devices, unmanaged ones.

use compact_str::CompactString;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Claim, Device, DeviceKey, Field, FieldChange, HashDigest, Origin, RegistrationId, SerialNumber};

use super::action::ActionKind;
use super::guard::LimitReading;

/// A change that will not be made, with the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Which device, as declared.
    pub device: DeviceKey,
    /// Its registration, where there is one.
    pub registration_id: Option<RegistrationId>,
    /// Where it is declared.
    pub origin: Origin,
    /// What would have been done.
    pub action: ActionKind,
    /// What stands in the way.
    pub reason: Reason,
    /// Evidence for people: one line each.
    pub details: Vec<String>,
    /// The limits that are exceeded, for [`Reason::LimitExceeded`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitReading>,
    /// What would be written if it were not held; of a registration that is not
    /// there, all declared values.
    pub fields: Vec<FieldChange>,
    /// Of the hash that would be sent, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashDigest>,
    /// The registration as it was read, where it would be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Device>>,
    /// Fields that somebody else has changed since we applied what is declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drifted: Vec<Field>,
    /// Since when, where that is remembered.
    pub since: Option<Timestamp>,
    /// When it is tried again by itself.
    pub retry_at: Option<Timestamp>,
}

impl Held {
    /// With nothing but what every held change has.
    pub(super) fn new(
        device: DeviceKey,
        origin: Origin,
        action: ActionKind,
        reason: Reason,
        details: Vec<String>,
    ) -> Self {
        Self {
            device,
            registration_id: None,
            origin,
            action,
            reason,
            details,
            limits: Vec::new(),
            fields: Vec::new(),
            hash: None,
            before: None,
            drifted: Vec::new(),
            since: None,
            retry_at: None,
        }
    }

    /// A registration for which the hash cannot be had, as somebody found out who was
    /// about to send it.
    #[must_use]
    pub(crate) fn without_hash(claim: &Claim, why: String) -> Self {
        let (action, reason) = (ActionKind::Register, Reason::HashNotAvailable);
        Self::new(claim.key(), claim.origin, action, reason, vec![why])
    }

    /// The serial as declared.
    #[must_use]
    pub fn serial(&self) -> &SerialNumber {
        &self.device.serial
    }
}

/// Who has to move: a rule of ours, or a fact outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HeldClass {
    /// A guard, a policy or a person's word stands in the way.
    Blocked,
    /// A fact outside stands in the way.
    Conflict,
}

/// What helps: its name for tools, and the words for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remedy(pub &'static str, pub &'static str);

/// What lets a device go that shall not be touched any more.
const RELEASE: Remedy = Remedy("Release", "to let it go: apgit release SERIAL (it stays registered, apgit forgets it)");

/// What lets a change through that a freeze holds.
const THAW: [Remedy; 2] = [
    Remedy("ApplyAgain", "run apgit apply again when the freeze is over; nothing is lost"),
    Remedy("ApproveFreeze", "in an emergency: review the list below, then `--approve-freeze=NAME`"),
];

/// Why a change is held or failed. Closed list; the names are the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "`text` says each in a sentence")]
pub enum Reason {
    LimitExceeded,
    UpdateNotAllowed,
    ObserveOnly,
    Suspended,
    OutOfScope,
    TagNotAllowed,
    AdoptionNotAllowed,
    NotInFirstPlan,
    ChangedMeanwhile,
    AmbiguousSerial,
    RegistrationNotFound,
    HashUnusable,
    HashNotAvailable,
    DuplicateHardware,
    HardwareChanged,
    AlreadyRegistered,
    AssignedToOtherTenant,
    InvalidHardwareHash,
    ImportFailed,
    ImportRefused,
    UserNotFound,
    UserDomainNotVerified,
    UserNotAccepted,
    UpdateRefused,
    NotVisible,
    ServiceUnavailable,
    GateClosed,
    Cancelled,
    OutcomeUnknown,
    DeletionNotAllowed,
    DeletionProtected,
    StillEnrolled,
    ChangedSinceApplied,
    NotDeclaredBefore,
    VanishedFromTenant,
    LedgerNotWritten,
    DeletionRefused,
    NotGone,
    ObservedSetCollapsed,
    Contested,
    Frozen,
    AwaitingCanary,
}

impl Reason {
    /// Who has to move.
    #[must_use]
    pub fn class(self) -> HeldClass {
        match self {
            Self::LimitExceeded
            | Self::UpdateNotAllowed
            | Self::ObserveOnly
            | Self::Suspended
            | Self::OutOfScope
            | Self::TagNotAllowed
            | Self::AdoptionNotAllowed
            | Self::NotInFirstPlan
            | Self::ChangedMeanwhile
            | Self::GateClosed
            | Self::DeletionNotAllowed
            | Self::DeletionProtected
            | Self::ObservedSetCollapsed
            | Self::Contested
            | Self::Frozen
            | Self::AwaitingCanary
            | Self::LedgerNotWritten
            | Self::Cancelled => HeldClass::Blocked,
            Self::AmbiguousSerial
            | Self::RegistrationNotFound
            | Self::HashUnusable
            | Self::HashNotAvailable
            | Self::DuplicateHardware
            | Self::HardwareChanged
            | Self::AlreadyRegistered
            | Self::AssignedToOtherTenant
            | Self::InvalidHardwareHash
            | Self::ImportFailed
            | Self::ImportRefused
            | Self::UserNotFound
            | Self::UserDomainNotVerified
            | Self::UserNotAccepted
            | Self::UpdateRefused
            | Self::NotVisible
            | Self::ServiceUnavailable
            | Self::StillEnrolled
            | Self::ChangedSinceApplied
            | Self::VanishedFromTenant
            | Self::NotDeclaredBefore
            | Self::DeletionRefused
            | Self::NotGone
            | Self::OutcomeUnknown => HeldClass::Conflict,
        }
    }

    /// The sentence for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::LimitExceeded => "more changes of this class than the tenant's limits allow",
            Self::UpdateNotAllowed => {
                "the tenant's policy `CreateOnly` writes what its own imports could not carry, and nothing else"
            }
            Self::ObserveOnly => "the tenant's policy `Observe` allows no write",
            Self::Suspended => "suspended in its declaration",
            Self::OutOfScope => "its group tag is outside the tenant's scope",
            Self::TagNotAllowed => "`tagPolicy`, as it was last applied, does not allow its group tag in this file",
            Self::AdoptionNotAllowed => "registered by somebody else, and `adoptionPolicy: Never`",
            Self::NotInFirstPlan => "was not in the plan that was approved",
            Self::ChangedMeanwhile => "is not as it was when the plan was made",
            Self::AmbiguousSerial => "several registrations have this serial",
            Self::RegistrationNotFound => "no registration has the declared `registrationId`",
            Self::HashUnusable => "the hardware hash does not pass its checks",
            Self::HashNotAvailable => "the hardware hash cannot be read here",
            Self::DuplicateHardware => "two declarations name the same hardware",
            Self::HardwareChanged => "the hardware hash is of another machine than the one that was applied",
            Self::AlreadyRegistered => "registered in this tenant, and not by this import",
            Self::AssignedToOtherTenant => "registered in another tenant",
            Self::InvalidHardwareHash => "the service refused the hardware hash",
            Self::ImportFailed => "the service could not import the device",
            Self::ImportRefused => "the service refused the row",
            Self::UserNotFound => "the user does not exist in this tenant",
            Self::UserDomainNotVerified => "the user's domain is not a verified domain of this tenant",
            Self::UserNotAccepted => "the service did not accept the user",
            Self::UpdateRefused => "the service refused the update",
            Self::NotVisible => "accepted by the service, but never became visible",
            Self::ServiceUnavailable => "the service did not answer properly",
            Self::GateClosed => "not sent: too many of the rows before it failed",
            Self::Cancelled => "not sent: the run was stopped",
            Self::OutcomeUnknown => "the connection broke and the service shows no trace of it yet",
            Self::DeletionNotAllowed => "the tenant's policy allows no deregistration",
            Self::DeletionProtected => "protected from deletion when it was last applied",
            Self::StillEnrolled => "somebody works with the device: it is enrolled",
            Self::ChangedSinceApplied => "somebody else has changed the registration since it was applied",
            Self::VanishedFromTenant => "somebody else has removed its registration",
            Self::NotDeclaredBefore => {
                "the ledger says that it goes with its declaration, and no commit is known that said so"
            }
            Self::LedgerNotWritten => "the ledger could not be written",
            Self::DeletionRefused => "the service refused the deletion",
            Self::ObservedSetCollapsed => "far less is registered than was applied: is it the right tenant?",
            Self::Contested => "somebody else sets it to another value again and again",
            Self::AwaitingCanary => "the first devices of its group tag are not proven yet",
            Self::Frozen => "a freeze of the tenant is on",
            Self::NotGone => "its deletion was accepted, and it is still registered",
        }
    }

    /// What a person can do: a name for tools, from a closed list, and a sentence
    /// or a command.
    #[must_use]
    pub fn remedies(self) -> &'static [Remedy] {
        match self {
            Self::LimitExceeded => {
                &[Remedy("ApproveExactCount", "review the list below, then approve their number on the command line")]
            }
            Self::UpdateNotAllowed | Self::ObserveOnly => {
                &[Remedy("ChangePolicy", "change `policy` of the tenant if this should be written")]
            }
            Self::Suspended => &[Remedy("RemoveSuspend", "remove `suspend: true` from the declaration")],
            Self::TagNotAllowed => &[Remedy(
                "ApplyPolicyFirst",
                "a change cannot loosen the guard that judges it: apply, and the next plan goes by the new `tagPolicy`",
            )],
            Self::OutOfScope => {
                &[Remedy("WidenScope", "widen `scope.groupTags` of the tenant, or change the tag by hand")]
            }
            Self::AdoptionNotAllowed => &[Remedy("AllowAdoption", "set `adoptionPolicy: IfUnowned` to take it over")],
            Self::NotInFirstPlan | Self::ChangedMeanwhile => {
                &[Remedy("PlanAgain", "run apgit plan, then apgit apply again")]
            }
            Self::AmbiguousSerial => {
                &[Remedy("DeclareRegistrationId", "add `registrationId` to the declaration, with one of the ids above")]
            }
            Self::RegistrationNotFound => &[Remedy("CorrectRegistrationId", "correct or remove `registrationId`")],
            Self::HashUnusable | Self::InvalidHardwareHash => {
                &[Remedy("CollectHashAgain", "collect the hash again on the device")]
            }
            Self::HashNotAvailable => {
                &[Remedy("MakeHashReadable", "run where the hash can be read, or point `hardwareHashRef` elsewhere")]
            }
            Self::HardwareChanged => &[
                Remedy("CheckHardware", "look whether the hash is this device's; `apgit hash FILE` says what is in it"),
                Remedy(
                    "ReleaseFirst",
                    "after a repair: apgit release SERIAL, so that the old machine is forgotten, and apply again",
                ),
            ],
            Self::DuplicateHardware => &[Remedy("RemoveDuplicate", "delete one of the two entries")],
            Self::AlreadyRegistered => &[
                Remedy(
                    "PlanAgain",
                    "run apgit plan: where it finds the registration, it offers it under the ordinary limits",
                ),
                Remedy(
                    "DeclareOtherSerial",
                    "where it finds none, look in the admin center for the hardware under another serial, and declare that one",
                ),
            ],
            Self::AssignedToOtherTenant => &[
                Remedy(
                    "OtherTenantDeregisters",
                    "ask the vendor or the former owner: \"please deregister this device from Windows Autopilot in your tenant\"",
                ),
                Remedy("MicrosoftSupport", "or open a case with Microsoft support, with proof of purchase"),
            ],
            Self::UserNotFound | Self::UserDomainNotVerified | Self::UserNotAccepted => {
                &[Remedy("CorrectUser", "correct `userPrincipalName`: a wrong user locks the device at sign-in")]
            }
            Self::ImportFailed => &[Remedy(
                "Retry",
                "a later apply tries again by itself: at once where the reason may pass, else a day later; or now, with \
                 `--retry SERIAL`",
            )],
            Self::DeletionRefused => &[
                Remedy("RemoveByHand", "the service's words are above; look at the device in the admin center"),
                RELEASE,
            ],
            Self::ServiceUnavailable
            | Self::NotVisible
            | Self::NotGone
            | Self::OutcomeUnknown
            | Self::LedgerNotWritten
            | Self::Cancelled => &[Remedy("ApplyAgain", "run apgit apply again; it goes on where it stopped")],
            Self::GateClosed => &[Remedy("RepairCause", "repair the cause named above, then run apgit apply again")],
            Self::DeletionNotAllowed
            | Self::DeletionProtected
            | Self::StillEnrolled
            | Self::ChangedSinceApplied
            | Self::NotDeclaredBefore
            | Self::VanishedFromTenant => self.remedies_of_removal(),
            Self::Contested => &[
                Remedy("FindTheOther", "find who or what writes the other value, and let one of the two give way"),
                Remedy("GiveWay", "to give way: declare the other value, or leave the field out"),
                Remedy("Wait", "it is set back again once the last three corrections are a week old"),
            ],
            Self::AwaitingCanary => &[
                Remedy("Wait", "run apgit apply again once they have come so far; it goes on by itself"),
                Remedy("LookIntoCanaries", "one that failed holds the others: repair it, or remove its declaration"),
                Remedy("ChangeRollout", "or lower `rollout.canary`, or `rollout.waitFor`, and apply that first"),
            ],
            Self::Frozen => &THAW,
            Self::ObservedSetCollapsed => &[
                Remedy("LookIntoTenant", "find out who removed them, and whether this is the right tenant"),
                Remedy("Release", "what is meant to be gone: apgit release SERIAL, then apply"),
            ],
            Self::ImportRefused | Self::UpdateRefused => {
                &[Remedy("CorrectDeclaration", "correct the declaration; the service's words are above")]
            }
        }
    }

    /// What a person can do about a device that is not removed, or is gone already.
    fn remedies_of_removal(self) -> &'static [Remedy] {
        match self {
            Self::NotDeclaredBefore => &[
                Remedy("FetchHistory", "in a shallow clone: fetch the whole history, and plan again"),
                Remedy("AskWho", "else find out who wrote it into the ledger, or applied what nobody has committed"),
                RELEASE,
            ],
            Self::VanishedFromTenant => &[
                Remedy("RemoveDeclaration", "if it is meant to be gone: remove its declaration"),
                Remedy("ReleaseFirst", "to register it again: apgit release SERIAL, then apply"),
            ],
            Self::DeletionNotAllowed => {
                &[Remedy("ChangePolicy", "set `policy: Sync` of the tenant if this should be removed"), RELEASE]
            }
            Self::DeletionProtected => &[
                Remedy("RestoreDeclaration", "to keep it: declare it again"),
                Remedy(
                    "UnprotectFirst",
                    "to remove it: apply `protect: false` in one change, remove it in a later one",
                ),
                RELEASE,
            ],
            Self::StillEnrolled => &[
                Remedy("RestoreDeclaration", "to keep it: declare it again"),
                Remedy(
                    "RemoveFromIntune",
                    "to remove it: apgit decommission SERIAL (from Intune, Autopilot and Entra, in this order)",
                ),
                RELEASE,
            ],
            Self::ChangedSinceApplied => &[
                Remedy("AskWho", "find out who uses it now: tag and user must be as they were applied"),
                Remedy("RestoreDeclaration", "to keep it: declare it again"),
                RELEASE,
            ],
            _ => &[],
        }
    }

    /// True if the same attempt may succeed later without a person.
    #[must_use]
    pub fn may_pass(self) -> bool {
        matches!(
            self,
            Self::ImportFailed | Self::ServiceUnavailable | Self::NotVisible | Self::OutcomeUnknown | Self::Cancelled
        )
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A declared device on which nothing is to be written now, but which is not
/// in its declared state yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Awaiting {
    /// Which device, as declared.
    pub device: DeviceKey,
    /// Its registration, where there is one.
    pub registration_id: Option<RegistrationId>,
    /// Where it is declared.
    pub origin: Origin,
    /// For what it waits.
    pub what: Waiting,
}

impl Awaiting {
    /// The serial as declared.
    #[must_use]
    pub fn serial(&self) -> &SerialNumber {
        &self.device.serial
    }
}

/// What a device waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Waiting {
    /// No hash is declared: the vendor registers the device.
    Vendor,
    /// Imported, and not readable yet.
    Registration {
        /// When its import was complete.
        since: Timestamp,
    },
    /// Updated, and the tenant still shows the old values.
    Values {
        /// When they were written.
        since: Timestamp,
        /// What was written.
        fields: Vec<FieldChange>,
    },
    /// Its deletion was accepted, and the tenant still shows it.
    Gone {
        /// When it was asked for.
        since: Timestamp,
    },
}

/// Fields that were declared when last applied and are not any more: the tenant
/// keeps what it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LetGo {
    /// Which device, as declared.
    pub device: DeviceKey,
    /// Its registration.
    pub registration_id: RegistrationId,
    /// Where it is declared.
    pub origin: Origin,
    /// Which fields, and what the tenant keeps in each.
    pub fields: Vec<(Field, CompactString)>,
}

/// Registered in scope, and declared nowhere. Only ever reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unmanaged {
    /// As the tenant shows it.
    pub device: Device,
}

impl Unmanaged {
    /// The serial as the tenant writes it.
    #[must_use]
    pub fn serial(&self) -> &CompactString {
        &self.device.serial
    }
}
