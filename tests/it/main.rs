//! Behaviour through the public door: one test binary, a module per feature.

mod capture;
mod cli;
mod graph;
mod hash;
mod leaks;
mod ledger;
mod manifest;
mod plan;
mod road;
mod sim;
