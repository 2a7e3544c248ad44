//! The operator: the same rounds as everywhere, over what a cluster declares.
//!
//! Watches fill an index (`index`); the objects of a namespace become fleets by
//! the rules of files (`declared`); a loop for each tenant runs a round when
//! something changed or it is time (`settle`, `run`), as the only one who does
//! (`lease`); and what the round found out goes back into the objects
//! (`condition`, `report`). Nothing is decided here.

mod condition;
mod declared;
mod hashes;
mod index;
mod lease;
mod report;
mod run;
mod serve;
mod settle;
mod turn;

pub(crate) use run::{OperatorError, Options, run};
