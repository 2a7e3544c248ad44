//! Devices that leave, by the real binary with a ledger: whatever dies, is lost
//! or is done by others meanwhile, nothing goes that was not to go, and nothing
//! goes twice.

mod crash;
mod gate;
mod limit;
mod machines;
mod portal;
mod refused;
mod site;
