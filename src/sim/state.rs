//! The state machine: what the tenant holds, what becomes of it by itself,
//! and what each request does to it.
//!
//! [`Tenant`] is the whole of it. Nothing here knows of sockets, files aside
//! from the tenant's own, or of how a test sets a scene.

mod agenda;
mod corporate;
mod devices;
mod directory;
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
mod writing;

pub use login::CLIENT_SECRET;
pub use registrations::Origin;
pub use tenant::{StateError, Tenant};
pub use tenants::Tenants;

pub(super) use agenda::Event;
pub(super) use devices::{Key, device_id};
pub(super) use imports::{Record, Refusal, Status};
pub(super) use random::Random;
pub(super) use registrations::{Enrolment, Object, ProfileState, Registration, Userless, Values};
pub(super) use tenant::write_whole;
