//! The simulated tenant: an independent witness.
//!
//! A state machine with a seed and a virtual clock that answers as the
//! Autopilot part of Microsoft Graph does, oddities included. It shares no
//! wire or domain type with the Graph client and knows nothing of plans, so
//! that a mistake cannot hide by being made on both sides.
//!
//! [`Tenant`] is the machine: one request in, one reply out, no tasks, no
//! network. [`InProcess`] makes it a `Transport`; [`Server`] puts it on a
//! loopback port. [`Settings`] holds every number and the profiles.

mod agenda;
mod answer;
mod batch;
mod call;
mod control;
mod counters;
mod directory;
mod errors;
mod faults;
mod hash;
mod imports;
mod in_process;
mod login;
mod query;
mod random;
mod reading;
mod registrations;
mod routes;
mod scenario;
mod server;
pub mod settings;
mod sync;
mod tenant;
mod throttle;
mod waiting_room;
mod wire;
mod writing;

pub use answer::Reply;
pub use counters::{Counters, LogEntry};
pub use faults::Mishap;
pub use in_process::InProcess;
pub use login::CLIENT_SECRET;
pub use registrations::Origin;
pub use scenario::{ImportRecordView, RegistrationView, ScenarioError};
pub use server::{Server, ServerError, Shared};
pub use settings::{Delay, Fault, Settings};
pub use tenant::{StateError, Tenant};
pub use waiting_room::Speed;

/// Where the virtual time of a new tenant begins unless told otherwise:
/// 2026-01-05T08:00:00Z, a Monday morning.
pub const EPOCH: jiff::Timestamp = jiff::Timestamp::constant(1_767_600_000, 0);
