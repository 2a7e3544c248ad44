//! The whole road: real files, the real client, the simulated tenant. What it
//! must never do is counted by the tenant, not by us.

mod approved;
mod busy;
mod canary;
mod consent;
mod crash;
mod freezes;
mod hostile;
mod identity;
mod kill;
mod leaving;
mod memory;
mod scene;
mod stopping;
mod switches;
mod syncs;
mod thin;
mod time;
mod two_machines;
mod unanswered;
mod world;
