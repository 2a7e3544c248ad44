//! How requests come in and answers go out: addresses, bodies, the service's
//! own shapes and errors, and the two skins, in process and on a port.
//!
//! What a request does to the tenant lives in `state`.

mod answer;
mod batch;
mod body;
mod call;
mod certificates;
mod clock;
mod errors;
mod in_process;
mod metadata;
pub(super) mod query;
mod routes;
mod server;
mod standstill;
mod waiting_room;
pub(super) mod wire;

pub(crate) use answer::Reply;
pub use certificates::{Certificates, MICROSOFT_HOSTS};
pub use in_process::InProcess;
pub use server::{Server, Shared};
pub use waiting_room::Speed;

pub(super) use answer::Answer;
pub(super) use call::{Call, control_route};
pub(super) use errors::Problem;
pub(super) use routes::{Action, Area, ManagedAction, Target};
