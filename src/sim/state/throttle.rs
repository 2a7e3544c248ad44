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
    /// Requests let through since they were last written down.
    #[serde(skip)]
    passed: Option<Passed>,
}

/// Requests that were let through, by app: when, and whether they wrote.
pub(super) type Passed = BTreeMap<String, Vec<(Timestamp, bool)>>;

/// Times of requests within the window, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Window {
    requests: VecDeque<Timestamp>,
    writes: VecDeque<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Throttle {
    /// Lets a request through and counts it, or refuses it. Refused requests
    /// do not count.
    pub(super) fn allows(&mut self, app: &str, writes: bool, now: Timestamp, limits: &settings::Throttle) -> bool {
        self.forget_until(now - limits.window.max);
        let all_requests: usize = self.apps.values().map(|window| window.requests.len()).sum();
        let all_writes: usize = self.apps.values().map(|window| window.writes.len()).sum();
        let (requests, own_writes) =
            self.apps.get(app).map_or((0, 0), |window| (window.requests.len(), window.writes.len()));
        if requests >= limits.app_requests || all_requests >= limits.all_requests {
            return false;
        }
        if writes && (own_writes >= limits.app_writes || all_writes >= limits.all_writes) {
            return false;
        }
        self.pass(app, now, writes);
        if let Some(passed) = &mut self.passed {
            passed.entry(app.to_owned()).or_default().push((now, writes));
        }
        true
    }

    fn pass(&mut self, app: &str, at: Timestamp, writes: bool) {
        let window = match self.apps.get_mut(app) {
            Some(window) => window,
            None => self.apps.entry(app.to_owned()).or_default(),
        };
        window.requests.push_back(at);
        if writes {
            window.writes.push_back(at);
        }
    }

    /// Forgets requests up to `oldest`, which count no more.
    pub(super) fn forget_until(&mut self, oldest: Timestamp) {
        self.apps.retain(|_, window| {
            for times in [&mut window.requests, &mut window.writes] {
                while times.front().is_some_and(|at| *at <= oldest) {
                    times.pop_front();
                }
            }
            !window.requests.is_empty()
        });
    }

    /// From now on, remembers what is let through.
    pub(super) fn watch(&mut self) {
        self.passed = Some(Passed::new());
    }

    /// What was let through since this was last asked, and the bucket.
    pub(super) fn take_passed(&mut self) -> (Passed, Option<Bucket>) {
        (self.passed.as_mut().map(std::mem::take).unwrap_or_default(), self.bucket.clone())
    }

    /// Counts what was let through elsewhere.
    pub(super) fn put(&mut self, passed: Passed, bucket: Option<Bucket>) {
        for (app, times) in passed {
            for (at, writes) in times {
                self.pass(&app, at, writes);
            }
        }
        self.bucket = bucket;
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
