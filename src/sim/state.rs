//! The state machine: what the tenant holds, what becomes of it by itself,
//! and what each request does to it.
//!
//! [`Tenant`] is the whole of it. Nothing here knows of sockets, files aside
//! from the tenant's own, or of how a test sets a scene.

mod agenda;
mod change;
mod corporate;
mod devices;
mod directory;
#[allow(clippy::disallowed_methods, reason = "the one file here, the tenant's own")]
mod file;
pub(super) mod hash;
mod imports;
mod login;
mod profiles;
mod random;
mod reading;
mod registrations;
mod registry;
mod sync;
mod tenant;
mod tenants;
mod throttle;
mod token;
mod tracked;
mod witness;
mod writing;

pub(crate) use file::{StateError, StateFile};
pub use login::CLIENT_SECRET;
pub use registrations::Origin;
pub use tenant::Tenant;
pub use tenants::Tenants;
pub use witness::{Write, WriteKind};

pub(super) use agenda::Event;
pub(super) use devices::{Key, device_id};
pub(super) use imports::{Record, Refusal, Status};
pub(super) use random::Random;
pub(super) use registrations::{Enrolment, Object, ProfileState, Registration, Userless, Values};
