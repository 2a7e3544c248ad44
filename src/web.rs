//! The read-only page: where the devices of tenants stand, as HTML and JSON over
//! HTTP, for a desk and for the operator.
//!
//! Nothing here reads a tenant or writes anything: whoever does tells the [`Board`],
//! and the page shows what it was told last. What may be shown to whom is decided
//! when it is told ([`Discretion`]), so that nothing else is here to be asked for.

mod board;
mod discretion;
mod document;
mod page;
mod query;
mod reading;
mod router;
mod table;

pub(crate) use board::{Board, Tenant, Trouble};
pub(crate) use discretion::{Discretion, People};
pub use document::page_schema;
pub(crate) use reading::{Reading, View};
pub(crate) use router::{Door, is_loopback, router};
