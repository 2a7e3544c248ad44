//! `apgit` keeps a Windows Autopilot tenant equal to what a Git repository
//! says.
//!
//! The road, in reading order: [`resource`] and [`manifest`] turn files into
//! claims ([`model`]), [`desired`] holds the claims against each other, and
//! [`hash`] says which machine a claim's hardware hash is of; `connect` finds
//! the tenant and [`graph`] reads it; [`plan`] compares the two and decides;
//! [`apply`] carries the decisions out and [`ledger`] remembers them; [`round`]
//! is all of that once, and `fleet` for several tenants; [`render`] and [`cli`]
//! show it to people, `web` on a page, and `operator` does it in a cluster.
//! [`sim`] is a tenant to try it on.
//!
//! Nothing of it is public but [`door`], for the binary, the tests and the
//! benchmark.
//!
//! The modules marked below, and those marked inside of the others, are told the
//! time and given their randomness, and touch nothing outside but through what
//! they are handed. Clippy holds them to it.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "allowed by default, denied in the pure modules")]

#[deny(clippy::disallowed_methods)]
mod model;
#[deny(clippy::disallowed_methods)]
mod hash;
#[deny(clippy::disallowed_methods)]
mod resource;
#[deny(clippy::disallowed_methods)]
mod capture;
#[deny(clippy::disallowed_methods)]
mod desired;
mod manifest;
mod ledger;
#[deny(clippy::disallowed_methods)]
mod plan;
#[deny(clippy::disallowed_methods)]
mod apply;
#[deny(clippy::disallowed_methods)]
mod status;
#[deny(clippy::disallowed_methods)]
mod round;
mod program;
mod git;
mod transport;
mod clock;
mod graph;
mod connect;
#[deny(clippy::disallowed_methods)]
mod fleet;
mod sim;
#[deny(clippy::disallowed_methods)]
mod render;
mod web;
mod operator;
mod cli;
pub mod door;
