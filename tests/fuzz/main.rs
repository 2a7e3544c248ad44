//! What others may hand to us, broken in every way: each target takes seeds
//! from the tests' own data, edits them at random, and holds what must hold for
//! every input.
//!
//! A plain run tries the same few thousand inputs each time. `make fuzz` goes on
//! for as long as it is told, from a seed that it prints. What fails is made
//! smaller and written to `tests/fuzz/kept/<target>`; everything in there is
//! tried first in every run, so a kept file is a case.

#![allow(clippy::disallowed_methods, reason = "this is the outside")]
#![allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "nobody builds on what stands here")]

mod csv;
mod edit;
mod file;
mod graph;
mod hash;
mod journal;
mod manifest;
mod run;
mod saved;
mod secret;
mod seeds;
mod simulator;
