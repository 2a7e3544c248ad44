//! The command line and what it shows: renderers over hand-made values,
//! transcripts of the real binary, and the house's own rules.

mod approval;
mod audit;
mod canary;
#[cfg(unix)]
mod decommission;
mod desk;
mod drift;
mod encrypted;
mod freezes;
mod full;
mod granted;
mod hardware;
mod held;
mod house;
#[cfg(unix)]
mod ledger;
mod narrow;
mod owners;
mod readme;
mod removal;
mod render;
mod reports;
mod sample;
mod saved;
mod story;
mod transcript;
