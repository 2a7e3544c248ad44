//! `apgit` keeps a Windows Autopilot tenant equal to what a Git repository
//! says.
//!
//! The road, in reading order: [`resource`] and [`manifest`] turn files into
//! claims ([`model`]); [`graph`] reads the tenant; [`plan`] compares the two
//! and decides; [`apply`] carries the decisions out and [`ledger`] remembers
//! them; [`round`] is all of that once; [`render`] and [`cli`] show it to
//! people. [`sim`] is a tenant to try it on.

pub mod model;
pub mod resource;
pub mod capture;
pub mod manifest;
pub mod ledger;
pub mod plan;
pub mod apply;
pub mod status;
pub mod round;
pub mod transport;
pub mod clock;
pub mod graph;
pub mod sim;
pub mod render;
pub mod cli;
