//! The simulator's randomness: one seed, many named streams.
//!
//! A draw is a function of the seed, the stream's name and how often that
//! stream was asked before. So a new draw in one concern never reshuffles
//! another, and a saved tenant has the same future as the one that was saved.
//! Nothing here knows what the numbers are used for.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::sim::stage::Delay;

/// The seed and how far each stream has been read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::sim) struct Random {
    seed: u64,
    drawn: BTreeMap<String, u64>,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finalizer of `SplitMix64` (Steele, Lea, Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// FNV-1a: stable over compilers and platforms, unlike `DefaultHasher`.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: BTreeMap::new() }
    }

    /// How far each stream has been read that has moved on since `before`.
    pub(super) fn drawn_since(&self, before: &Self) -> BTreeMap<String, u64> {
        let moved = self.drawn.iter().filter(|(stream, count)| before.drawn.get(*stream) != Some(count));
        moved.map(|(stream, count)| (stream.clone(), *count)).collect()
    }

    /// Reads on where somebody else left off.
    pub(super) fn go_on(&mut self, drawn: BTreeMap<String, u64>) {
        self.drawn.extend(drawn);
    }

    pub(super) fn next(&mut self, stream: &str) -> u64 {
        let count = match self.drawn.get_mut(stream) {
            Some(count) => count,
            None => self.drawn.entry(stream.to_owned()).or_insert(0),
        };
        *count += 1;
        let start = mix(self.seed.wrapping_add(GOLDEN) ^ name_hash(stream));
        mix(start.wrapping_add(count.wrapping_mul(GOLDEN)))
    }

    /// A number in `0.0..1.0`.
    pub(in crate::sim) fn unit(&mut self, stream: &str) -> f64 {
        // 53 bits: every value is exact.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double")]
        let value = (self.next(stream) >> 11) as f64;
        value / 9_007_199_254_740_992.0
    }

    /// True in `share` (0 to 1) of all draws.
    pub(super) fn chance(&mut self, stream: &str, share: f64) -> bool {
        share > 0.0 && self.unit(stream) < share
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub(in crate::sim) fn below(&mut self, stream: &str, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        usize::try_from(self.next(stream) % bound).unwrap_or(0)
    }

    /// A span of time within `delay`, in whole milliseconds.
    pub(in crate::sim) fn delay(&mut self, stream: &str, delay: Delay) -> SignedDuration {
        let (min, max) = (delay.min.as_millis(), delay.max.as_millis());
        if max <= min {
            return delay.min;
        }
        let width = u64::try_from(max - min).unwrap_or(u64::MAX - 1);
        let offset = self.next(stream) % (width + 1);
        delay.min + SignedDuration::from_millis(i64::try_from(offset).unwrap_or(0))
    }

    /// A GUID of version 4 form.
    pub(in crate::sim) fn uuid(&mut self, stream: &str) -> Uuid {
        let (high, low) = (self.next(stream), self.next(stream));
        uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()).into_uuid()
    }

    /// Letters and digits.
    pub(super) fn text(&mut self, stream: &str, length: usize) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(LETTERS[self.below(stream, LETTERS.len())])).collect()
    }

    /// True for `share` of all `names`, always the same ones: no draw.
    pub(super) fn picks(&self, stream: &str, name: &str, share: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double")]
        let value = (mix(self.seed ^ name_hash(stream) ^ name_hash(name).rotate_left(17)) >> 11) as f64;
        share > 0.0 && value / 9_007_199_254_740_992.0 < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_from_one_stream_does_not_move_another() {
        let (mut alone, mut mixed) = (Random::new(7), Random::new(7));
        let expected: Vec<u64> = (0..5).map(|_| alone.next("import")).collect();
        let seen: Vec<u64> = (0..5)
            .map(|_| {
                mixed.next("faults");
                mixed.next("import")
            })
            .collect();
        assert_eq!(expected, seen);
        assert_ne!(Random::new(8).next("import"), expected[0], "another seed, another world");
    }

    #[test]
    fn a_delay_stays_within_its_bounds_and_reaches_both() {
        let mut random = Random::new(1);
        let delay: Delay = "1ms..4ms".parse().unwrap();
        let drawn: std::collections::BTreeSet<i128> = (0..200).map(|_| random.delay("d", delay).as_millis()).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_chance_comes_true_about_as_often_as_it_says() {
        let mut random = Random::new(3);
        let hits = (0..10_000).filter(|_| random.chance("c", 0.02)).count();
        assert!((150..250).contains(&hits), "{hits} of 10000 at 2 %");
        assert!(!random.chance("c", 0.0));
    }
}
