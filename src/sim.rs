//! The simulated tenant: an independent witness.
//!
//! A state machine with a seed and a virtual clock that answers as the
//! Autopilot part of Microsoft Graph does, oddities included. It shares no
//! wire or domain type with the Graph client and knows nothing of plans, so
//! that a mistake cannot hide by being made on both sides.
//!
//! [`Tenant`] is the machine: one request in, one reply out, no tasks, no
//! network. [`InProcess`] makes it a `Transport`; [`Server`] puts it on a
//! loopback port, over TLS and as a proxy where asked to. [`Tenants`] are
//! several on one clock. [`Settings`] holds every number and the profiles.

mod agenda;
mod answer;
mod batch;
mod call;
mod certificates;
mod control;
mod corporate;
mod counters;
mod devices;
mod directory;
mod errors;
mod faults;
mod hash;
mod imports;
mod in_process;
mod login;
mod metadata;
mod profiles;
mod query;
mod random;
mod reading;
mod registrations;
mod routes;
mod scenario;
mod server;
mod script;
pub mod settings;
mod switches;
mod sync;
mod tenant;
mod tenants;
mod throttle;
mod token;
mod waiting_room;
mod wire;
mod writing;

pub use answer::Reply;
pub use certificates::{CertificateError, Certificates, MICROSOFT_HOSTS};
pub use counters::{Counters, LogEntry};
pub use faults::Mishap;
pub use in_process::InProcess;
pub use login::CLIENT_SECRET;
pub use registrations::Origin;
pub use scenario::{ImportRecordView, RegistrationView, ScenarioError};
pub use script::{Script, ScriptError};
pub use server::{Server, ServerError, Shared};
pub use settings::{Delay, Fault, Settings};
pub use switches::Switch;
pub use tenant::{StateError, Tenant};
pub use tenants::Tenants;
pub use waiting_room::Speed;

/// Where the virtual time of a new tenant begins unless told otherwise:
/// 2026-01-05T08:00:00Z, a Monday morning.
pub const EPOCH: jiff::Timestamp = jiff::Timestamp::constant(1_767_600_000, 0);
