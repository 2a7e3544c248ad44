//! What the simulated tenant has counted: the witness for tests about calls.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many log entries are kept.
const LOG_MAX: usize = 20_000;

/// Counts since the tenant began; they are part of its saved state.
///
/// Requests inside a `$batch` count like any other, and their envelope once
/// more under `$batch`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Requests by `"METHOD route status"`; status 0 where the connection
    /// dropped. Routes are written without version, ids as `{id}`.
    pub calls: BTreeMap<String, u64>,
    /// Requests for a token, refused ones included.
    pub token_requests: u64,
    /// POSTs of import requests, single or bulk, all of them.
    pub import_posts: u64,
    /// Those of them that stored nothing.
    pub import_posts_refused: u64,
    /// Those of them that stored their rows, but whose answer was lost.
    pub import_posts_unanswered: u64,
    /// Rows stored by all import POSTs.
    pub rows_posted: u64,
    /// Outcomes of rows by name; `complete` for good ones.
    pub row_outcomes: BTreeMap<String, u64>,
    /// When a requested sync was accepted.
    pub syncs_accepted: Vec<Timestamp>,
    /// Sync requests answered with 409 or 429.
    pub syncs_refused: u64,
    /// When the first page of the registrations was asked for and given.
    pub listings: Vec<Timestamp>,
    /// The same of the import records.
    #[serde(default)]
    pub import_listings: Vec<Timestamp>,
    /// Changes of properties that were accepted, lost ones included.
    pub updates_accepted: u64,
    /// Accepted changes that never take effect.
    pub updates_lost: u64,
    /// Accepted deletions of registrations.
    pub deletes_accepted: u64,
    /// By hardware (32 hex digits): how often rows of it were stored.
    pub posted: BTreeMap<String, u64>,
    /// By hardware: how often it became a registration.
    pub registered: BTreeMap<String, u64>,
    /// By hardware: rows stored while an earlier one of the same hardware had
    /// no outcome yet. A careful client has none.
    pub posted_while_running: BTreeMap<String, u64>,
    /// Deeds of a script that could not be done.
    #[serde(default)]
    pub deeds_failed: u64,
    #[serde(skip)]
    pub(super) log: VecDeque<LogEntry>,
}

/// One request, as the log keeps it: never a body, never a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// In virtual time.
    pub at: Timestamp,
    /// Such as `GET`.
    pub method: String,
    /// The route with ids as `{id}`.
    pub route: String,
    /// 0 where the connection dropped.
    pub status: u16,
    /// Whether the request was a part of a `$batch`.
    pub in_batch: bool,
}

/// The counters of a tenant, and what they have grown by since they were last
/// written down: they grow with the fleet, and what is written for one request
/// must not.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::sim) struct Counting {
    all: Counters,
    #[serde(skip)]
    grown: Option<Box<Counters>>,
}

impl Deref for Counting {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.all
    }
}

impl Counting {
    /// Counts something; `count` only adds.
    pub(in crate::sim) fn note(&mut self, count: impl Fn(&mut Counters)) {
        count(&mut self.all);
        if let Some(grown) = &mut self.grown {
            count(grown);
        }
    }

    /// Counts a request and keeps it in the log.
    pub(in crate::sim) fn log(&mut self, entry: LogEntry) {
        self.note(|counters| {
            let call = format!("{} {} {}", entry.method, entry.route, entry.status);
            *counters.calls.entry(call).or_insert(0) += 1;
        });
        if self.all.log.len() == LOG_MAX {
            self.all.log.pop_front();
        }
        self.all.log.push_back(entry);
    }

    /// From now on, remembers what is counted.
    pub(in crate::sim) fn watch(&mut self) {
        self.grown = Some(Box::default());
    }

    /// What was counted since this was last asked.
    pub(in crate::sim) fn take_grown(&mut self) -> Box<Counters> {
        self.grown.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Counts what was counted elsewhere.
    pub(in crate::sim) fn grow(&mut self, by: Counters) {
        self.all.grow(by);
    }
}

fn add(to: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (name, count) in more {
        *to.entry(name).or_insert(0) += count;
    }
}

impl Counters {
    fn grow(&mut self, by: Self) {
        let Self {
            calls,
            token_requests,
            import_posts,
            import_posts_refused,
            import_posts_unanswered,
            rows_posted,
            row_outcomes,
            syncs_accepted,
            syncs_refused,
            listings,
            import_listings,
            updates_accepted,
            updates_lost,
            deletes_accepted,
            posted,
            registered,
            posted_while_running,
            deeds_failed,
            log: _,
        } = by;
        add(&mut self.calls, calls);
        self.token_requests += token_requests;
        self.import_posts += import_posts;
        self.import_posts_refused += import_posts_refused;
        self.import_posts_unanswered += import_posts_unanswered;
        self.rows_posted += rows_posted;
        add(&mut self.row_outcomes, row_outcomes);
        self.syncs_accepted.extend(syncs_accepted);
        self.syncs_refused += syncs_refused;
        self.listings.extend(listings);
        self.import_listings.extend(import_listings);
        self.updates_accepted += updates_accepted;
        self.updates_lost += updates_lost;
        self.deletes_accepted += deletes_accepted;
        add(&mut self.posted, posted);
        add(&mut self.registered, registered);
        add(&mut self.posted_while_running, posted_while_running);
        self.deeds_failed += deeds_failed;
    }

    /// How many requests had this method and this route, whatever came of it.
    #[must_use]
    pub fn calls_of(&self, method: &str, route: &str) -> u64 {
        let start = format!("{method} {route} ");
        self.calls.range(start.clone()..).take_while(|(key, _)| key.starts_with(&start)).map(|(_, n)| n).sum()
    }

    /// All requests of one method.
    #[must_use]
    pub fn calls_by(&self, method: &str) -> u64 {
        self.calls.iter().filter(|(key, _)| key.split(' ').next() == Some(method)).map(|(_, n)| n).sum()
    }

    /// All requests that ended with this status.
    #[must_use]
    pub fn calls_with(&self, status: u16) -> u64 {
        let end = format!(" {status}");
        self.calls.iter().filter(|(key, _)| key.ends_with(&end)).map(|(_, n)| n).sum()
    }

    /// The shortest time between two accepted syncs.
    #[must_use]
    pub fn least_sync_gap(&self) -> Option<jiff::SignedDuration> {
        self.syncs_accepted.windows(2).map(|pair| pair[1].duration_since(pair[0])).min()
    }

    /// Most listings, of registrations and of import records together, that
    /// began within any 60 s.
    #[must_use]
    pub fn most_listings_per_minute(&self) -> usize {
        let mut all: Vec<_> = self.listings.iter().chain(&self.import_listings).collect();
        all.sort_unstable();
        let mut most = 0;
        let mut first = 0;
        for (last, at) in all.iter().enumerate() {
            while at.duration_since(*all[first]).as_secs() >= 60 {
                first += 1;
            }
            most = most.max(last - first + 1);
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_of_both_kinds_share_a_minute() {
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let mut counters = Counters { import_listings: [0, 20, 40, 60].map(at).to_vec(), ..Counters::default() };
        assert_eq!(counters.most_listings_per_minute(), 3);
        counters.listings = [0, 61].map(at).to_vec();
        assert_eq!(counters.most_listings_per_minute(), 4);
    }

    #[test]
    fn calls_are_counted_by_method_route_and_status() {
        let calls = [("GET a 200", 2), ("GET a 429", 1), ("GET ab 200", 4), ("POST a 200", 8)];
        let calls = calls.map(|(key, n)| (key.to_owned(), n)).into();
        let counters = Counters { calls, ..Counters::default() };
        assert_eq!(counters.calls_of("GET", "a"), 3);
        assert_eq!(counters.calls_by("GET"), 7);
        assert_eq!(counters.calls_with(200), 14);
    }
}
