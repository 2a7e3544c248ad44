//! Behaviour through the public door: one test binary, a module per feature.

#![allow(clippy::disallowed_methods, reason = "this is the outside")]
#![allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "nobody builds on what stands here")]

mod capture;
mod cli;
mod desired;
mod graph;
mod hash;
mod hostile;
mod leaks;
mod ledger;
mod manifest;
mod plan;
mod road;
mod sim;
mod support;
mod web;
