//! Repositories that somebody pushed who may push a branch, and nothing else:
//! what of this machine arrives elsewhere, and how the run ends.
//!
//! Each stands in a folder of its own under `tests/data/hostile`.

mod send;
mod trap;
