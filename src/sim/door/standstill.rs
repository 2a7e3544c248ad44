//! Whether a client asks the same again and again while time stands still: it
//! waits for something that cannot come, and ought to be told.

use std::collections::{BTreeMap, HashMap};

use http::StatusCode;
use http::uri::PathAndQuery;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::answer::Reply;
use super::call::{Call, Version};
use super::routes::Target;
use crate::transport::Request;

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

/// What a request asks for, and how; a batch for as much as its parts do. Of
/// whoever acts, that alone counts.
pub(super) fn asked_by(request: &Request, reply: &Reply, is_awaited: bool) -> BTreeMap<String, Asked> {
    let (status, body) = match reply {
        Reply::Response(response) => (response.status().as_u16(), response.body().as_ref()),
        Reply::Lost => (200, &[][..]),
    };
    let mut call = Call::read(request, Uuid::nil(), Timestamp::default());
    if let Target::Batch = Target::of(&call)
        && status == 200
        && let Ok(envelope) = call.unpack().and_then(|()| call.json())
    {
        return parts_asked(&call, &envelope, body, is_awaited);
    }
    let address = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let method = request.method();
    let asked = Asked::of(method.as_str(), status, is_awaited);
    if let (Asked::Acts, Target::Token(_)) = (asked, Target::of(&call)) {
        // Some take a token for each request: nothing comes of that alone.
        return BTreeMap::new();
    }
    [(format!("{method} {address}"), asked)].into()
}

fn parts_asked(call: &Call<'_>, envelope: &Value, answer: &[u8], is_awaited: bool) -> BTreeMap<String, Asked> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let id_of = |part: &Value| part["id"].as_str().map_or_else(|| part["id"].to_string(), str::to_owned);
    let answers = answer["responses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let statuses: BTreeMap<String, u64> =
        answers.iter().map(|one| (id_of(one), one["status"].as_u64().unwrap_or_default())).collect();
    let version = call.version.unwrap_or(Version::V1).as_str();
    let asked = |part: &Value| {
        let method = part["method"].as_str().unwrap_or_default().to_uppercase();
        let url = part["url"].as_str().unwrap_or_default().trim_start_matches('/');
        let status = statuses.get(&id_of(part)).and_then(|status| u16::try_from(*status).ok()).unwrap_or_default();
        (format!("{method} /{version}/{url}"), Asked::of(&method, status, is_awaited))
    };
    let parts: BTreeMap<String, Asked> = envelope["requests"].as_array().into_iter().flatten().map(asked).collect();
    match parts.iter().find(|(_, asked)| **asked == Asked::Acts) {
        Some((address, acts)) => [(address.clone(), *acts)].into(),
        None => parts,
    }
}

impl Asked {
    fn of(method: &str, status: u16, is_awaited: bool) -> Self {
        let is_refused = status == StatusCode::TOO_MANY_REQUESTS.as_u16();
        match method {
            "GET" if is_awaited || is_refused => Self::Waits,
            "GET" => Self::Looks,
            _ if is_refused => Self::Waits,
            _ => Self::Acts,
        }
    }
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
