//! The command line.

pub mod hash;
pub mod crds;
pub mod schema;
pub mod validate;
pub mod simulate;
