//! Machines that do not exist.

use apgit::door::hash::generate::{Machine, Vendor};
use apgit::door::model::SerialNumber;

/// The `number`th machine of a fleet: each with a serial of its own, the makers
/// in turn.
pub fn machine(number: u64) -> Machine {
    let vendor = Vendor::ALL[usize::try_from(number).expect("a small number") % Vendor::ALL.len()];
    let serial = SerialNumber::parse(&format!("TEST-{number:06}")).expect("a serial");
    Machine::new(vendor, number).with_serial(serial)
}
