//! The nouns: plain values that every other module shares. No I/O, no wire
//! shapes, no manifest shapes.

mod claim;
mod device;
mod effect;
mod field;
mod freeze;
mod grant;
mod guards;
mod hardware_hash;
mod hash_ref;
mod ids;
mod import;
mod key;
mod overlap;
mod owner;
mod pattern;
mod rollout;
mod tag_rule;
mod target;
mod text;
mod time;
mod unseen;

pub use claim::{AdoptionPolicy, Claim, DeletionPolicy, Desired, Limits, Origin, Policy, Scope, Tenant, Want};
pub use device::{Coverage, Device, EnrollmentState, Observed, SyncState};
pub use effect::{Action, Adopt, Deregister, Effect, Keep, Register, Release, Request, Update};
pub(crate) use effect::{carried, is_as_imported, tail};
pub use field::{Field, FieldChange};
pub use freeze::{Freeze, Frozen, WeekTime, Window, Zone};
pub use grant::{Grant, GrantCounts};
pub use guards::{Guards, Loosen};
pub use hardware_hash::{HardwareHash, HashDigest};
pub(crate) use hardware_hash::{hex, sha256};
pub use hash_ref::{HashCheck, HashError, HashLocation, HashRef};
pub use ids::{
    DirectoryDeviceId, DirectoryObjectId, ImportId, ImportRecordId, ManagedDeviceId, RegistrationId, TenantId,
};
pub use import::ImportState;
pub(crate) use import::is_open_error;
pub use key::DeviceKey;
pub(crate) use owner::Owner;
pub(crate) use pattern::{check_pattern, pattern};
pub(crate) use rollout::tag_words;
pub use rollout::{Milestone, Rollout};
pub use tag_rule::TagRule;
pub use target::Target;
pub use text::{DisplayName, Greeting, GroupTag, SerialKey, SerialNumber, UserPrincipalName};
pub use time::later;
pub(crate) use unseen::{is_command, seen_line};
pub use unseen::{is_unseen, seen};
