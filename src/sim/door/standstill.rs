//! Whether a client asks the same again and again while time stands still: it
//! waits for something that cannot come, and ought to be told.

use std::collections::HashMap;

use jiff::Timestamp;

/// A client may ask this often before it is told: some ask twice or thrice
/// for reasons of their own.
const ASKS_BEFORE: u32 = 10;
/// More addresses than this are no polling.
const ADDRESSES_MAX: usize = 1000;

/// What a request may be, to somebody who wonders whether its client waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// For something that is under way, or to be let through.
    Waits,
    /// While nothing is under way.
    Looks,
    /// And something came of it: whoever acts does not wait.
    Acts,
}

/// What was asked since time last moved.
#[derive(Debug, Default)]
pub(super) struct Standstill {
    at: Timestamp,
    asked: HashMap<String, u32>,
    told: bool,
}

impl Standstill {
    /// Notes a request; true where its client should be told, once for each
    /// time at which the clock stands.
    pub(super) fn note(&mut self, now: Timestamp, asked: Asked, address: &str) -> bool {
        if now != self.at || asked == Asked::Acts || self.asked.len() > ADDRESSES_MAX {
            self.told &= now == self.at;
            self.at = now;
            self.asked.clear();
        }
        if asked != Asked::Waits {
            return false;
        }
        let times = self.asked.entry(address.to_owned()).or_insert(0);
        *times += 1;
        let tells = *times >= ASKS_BEFORE && !self.told;
        self.told |= tells;
        tells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn whoever_asks_the_same_ten_times_is_told_once() {
        let mut standstill = Standstill::default();
        let told: Vec<bool> = (0..30).map(|_| standstill.note(at(1), Asked::Waits, "/a")).collect();
        assert_eq!(told.iter().position(|told| *told), Some(9));
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        let again: Vec<bool> = (0..30).map(|_| standstill.note(at(2), Asked::Waits, "/a")).collect();
        assert_eq!(again.iter().filter(|told| **told).count(), 1, "time moved, and stands still again");
    }

    #[test]
    fn whoever_acts_or_only_looks_waits_for_nothing() {
        let mut standstill = Standstill::default();
        for number in 0..100 {
            assert!(!standstill.note(at(1), Asked::Waits, "/a"));
            assert!(!standstill.note(at(1), Asked::Waits, &format!("/pages/{number}")));
            assert!(!standstill.note(at(1), Asked::Acts, "/a"));
            assert!(!standstill.note(at(2), Asked::Looks, "/a"));
        }
    }
}
