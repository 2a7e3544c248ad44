//! The least time that a simulated tenant's limits and our own pace leave to
//! any client: batches posted as soon as they may go, every end known at the
//! moment it comes, and the sync in the same moment.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use apgit::door::apply::{BATCH, GATE};
use apgit::door::sim::Settings;

/// One import goes out per second.
const POST_EVERY_MS: i64 = 1_000;

/// Our share of 100 writes in 20 seconds.
const WRITES_MAX: u64 = 80;
const WINDOW_S: u64 = 20;

/// The tenant's delays are drawn, and the last row of a thousand moves by a tick
/// with each draw: so the floor is the mean of so many.
const DRAWS: u64 = 20;

/// Seconds until the last of so many new devices is registered. The sync may
/// start then: the last one of a new tenant was hours ago.
pub fn registered_s(settings: &Settings, devices: usize) -> f64 {
    (1..=DRAWS).map(|seed| drawn_s(settings, devices, seed)).sum::<f64>() / DRAWS as f64
}

fn drawn_s(settings: &Settings, devices: usize, seed: u64) -> f64 {
    let mut queue = Queue { settings, ends: BinaryHeap::new(), last_ms: 0, random: fastrand::Rng::with_seed(seed) };
    let (mut left, mut now_ms) = (devices, 0);
    if left > BATCH {
        queue.post(GATE, now_ms);
        left -= GATE;
        now_ms = queue.last_ms;
    }
    while left > 0 {
        let rows = left.min(BATCH);
        queue.post(rows, now_ms);
        left -= rows;
        now_ms += POST_EVERY_MS;
    }
    queue.last_ms as f64 / 1000.0
}

/// Seconds until the last of so many updates is sent.
pub fn updated_s(updates: usize) -> f64 {
    ((updates as u64).div_ceil(WRITES_MAX) - 1) as f64 * WINDOW_S as f64
}

/// The rows that the service works on, as it draws their delays.
struct Queue<'a> {
    settings: &'a Settings,
    ends: BinaryHeap<Reverse<i64>>,
    last_ms: i64,
    random: fastrand::Rng,
}

impl Queue<'_> {
    fn post(&mut self, rows: usize, now_ms: i64) {
        let import = &self.settings.import;
        let ms = |span: jiff::SignedDuration| i64::try_from(span.as_millis()).expect("a span of a tenant");
        while self.ends.peek().is_some_and(|Reverse(end)| *end <= now_ms) {
            self.ends.pop();
        }
        for _ in 0..rows {
            let own = self.random.i64(ms(import.delay.min)..=ms(import.delay.max));
            let queued = ms(import.delay_per_queued.min) * i64::try_from(self.ends.len()).expect("a number of rows");
            let latest = now_ms + ms(import.delay_max.max);
            let tick = ms(import.tick.max).max(1);
            let due = (now_ms + own + queued).min(latest);
            let end = ((due + tick - 1) / tick * tick).min(latest);
            self.ends.push(Reverse(end));
            self.last_ms = self.last_ms.max(end);
        }
    }
}
