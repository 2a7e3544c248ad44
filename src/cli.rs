//! The command line.

pub mod crds;
pub mod schema;
pub mod validate;
