//! The nouns: plain values that every other module shares. No I/O, no wire
//! shapes, no manifest shapes.

pub mod claim;
pub mod device;
pub mod effect;
pub mod field;
pub mod hardware_hash;
pub mod hash_ref;
pub mod ids;
pub mod import;
pub mod key;
pub mod target;
pub mod text;
pub mod time;

pub use claim::{AdoptionPolicy, Claim, DeletionPolicy, Desired, Limits, Origin, Policy, Scope, Tenant, Want};
pub use device::{Coverage, Device, EnrollmentState, Observed, SyncState};
pub use effect::{Action, Effect, Register, Update};
pub use field::{Field, FieldChange};
pub use hardware_hash::{HardwareHash, HashDigest};
pub use hash_ref::{HashCheck, HashError, HashLocation, HashRef};
pub use ids::{ImportId, ImportRecordId, RegistrationId, TenantId};
pub use import::ImportState;
pub use key::DeviceKey;
pub use target::Target;
pub use text::{DisplayName, Greeting, GroupTag, Rule, SerialKey, SerialNumber, UserPrincipalName};
pub use time::later;
