//! Repositories that anybody may have pushed, run through the real binary: what
//! must happen is the exit code, what is said, what of this machine arrives
//! elsewhere, and what it may take. Small ones stand in `tests/data/hostile`,
//! large ones are made by their test.

mod endless;
mod hidden;
mod outside;
mod patterns;
mod send;
mod service;
mod trap;
