//! The command line.

pub mod hash;
