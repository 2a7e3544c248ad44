//! The operator: the same rounds as everywhere, over what a cluster declares.
//!
//! Watches fill an index (`index`); the objects of a namespace become fleets by
//! the rules of files (`declared`); a loop for each tenant (`tenant`) has a turn
//! when something changed or it is time (`settle`), as the only one who writes
//! (`lease`); a turn is a round (`turn`), which removes nothing that was not meant
//! (`doors`); and what it found out goes back into the
//! objects (`condition`, `statuses`, `plans`, `events`, `report`) into numbers
//! (`metrics`), and onto the page (`told`). Nothing is decided here.

mod account;
mod condition;
mod declared;
mod doors;
mod events;
mod hashes;
mod index;
mod lease;
mod marks;
mod metrics;
mod plans;
mod report;
mod run;
mod serve;
mod settle;
mod statuses;
mod tenant;
mod told;
mod turn;

pub(crate) use run::{OperatorError, Options, run};
