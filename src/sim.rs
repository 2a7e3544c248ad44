//! The simulated tenant: an independent witness.
//!
//! A state machine with a seed and a virtual clock that answers as the
//! Autopilot part of Microsoft Graph does, oddities included. It shares no
//! wire or domain type with the Graph client and knows nothing of plans, so
//! that a mistake cannot hide by being made on both sides.
//!
//! Three rooms: `state` is the machine, `door` how requests come in, `stage`
//! what a test or a person does to it otherwise.
//!
//! [`Tenant`] is the machine: one request in, one reply out, no tasks, no
//! network. [`InProcess`] makes it a `Transport`; [`Server`] puts it on a
//! loopback port, over TLS and as a proxy where asked to. [`Tenants`] are
//! several on one clock. [`Settings`] holds every number and the profiles.

mod door;
#[deny(clippy::disallowed_methods)]
mod stage;
#[deny(clippy::disallowed_methods)]
mod state;

pub use door::{Certificates, InProcess, MICROSOFT_HOSTS, Server, Shared, Speed};
pub(crate) use stage::settings;
pub use stage::{LogEntry, Mishap, NeighbourView, RegistrationView, ScenarioError, Script, Settings, Switch};
pub use state::{CLIENT_SECRET, Origin, Tenant, Tenants, Write, WriteKind};
pub(crate) use state::{StateError, StateFile};

/// Where the virtual time of a new tenant begins unless told otherwise:
/// 2026-01-05T08:00:00Z, a Monday morning.
pub const EPOCH: jiff::Timestamp = jiff::Timestamp::constant(1_767_600_000, 0);
