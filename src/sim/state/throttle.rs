//! Who asks too often: the documented limits per sliding window, and the
//! bucket in front of import POSTs that the field has met.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::sim::stage::settings;

/// Requests let through, per app, and the import bucket.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Throttle {
    apps: BTreeMap<String, Window>,
    bucket: Option<Bucket>,
}

/// Times of requests within the window, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Window {
    requests: VecDeque<Timestamp>,
    writes: VecDeque<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Throttle {
    /// Lets a request through and counts it, or refuses it. Refused requests
    /// do not count.
    pub(super) fn allows(&mut self, app: &str, writes: bool, now: Timestamp, limits: &settings::Throttle) -> bool {
        let oldest = now - limits.window.max;
        for window in self.apps.values_mut() {
            for times in [&mut window.requests, &mut window.writes] {
                while times.front().is_some_and(|at| *at <= oldest) {
                    times.pop_front();
                }
            }
        }
        let all_requests: usize = self.apps.values().map(|window| window.requests.len()).sum();
        let all_writes: usize = self.apps.values().map(|window| window.writes.len()).sum();
        let window = match self.apps.get_mut(app) {
            Some(window) => window,
            None => self.apps.entry(app.to_owned()).or_default(),
        };
        if window.requests.len() >= limits.app_requests || all_requests >= limits.all_requests {
            return false;
        }
        if writes && (window.writes.len() >= limits.app_writes || all_writes >= limits.all_writes) {
            return false;
        }
        window.requests.push_back(now);
        if writes {
            window.writes.push_back(now);
        }
        true
    }

    /// Takes a token from the import bucket, if there is one.
    pub(super) fn allows_import(&mut self, now: Timestamp, limits: &settings::Import) -> bool {
        let most = f64::from(limits.burst);
        let bucket = self.bucket.get_or_insert(Bucket { tokens: most, at: now });
        let passed: SignedDuration = now.duration_since(bucket.at);
        bucket.tokens = most.min(bucket.tokens + passed.as_secs_f64() * limits.refill_per_s);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}
