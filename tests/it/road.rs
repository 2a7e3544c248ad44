//! The whole road: real files, the real client, the simulated tenant. What it
//! must never do is counted by the tenant, not by us.

mod busy;
mod crash;
mod hostile;
mod kill;
mod switches;
mod syncs;
mod thin;
mod world;
