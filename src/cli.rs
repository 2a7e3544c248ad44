//! The command line: what was typed ([`args`]), what it means here
//! ([`settings`]), one file per command, and how it ends ([`exit`], [`error`]).

pub mod validate;
pub mod crds;
pub mod schema;
pub mod hash;
pub mod args;
pub mod completions;
pub mod error;
pub mod exit;
