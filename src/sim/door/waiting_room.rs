//! The virtual time of a tenant on a port, and who waits for it.
//!
//! Time runs with the real one, faster, or not at all: then it jumps to the
//! earliest awaited time once every client that has used the clock waits in
//! it. Clients that never ask for the time are never waited for, and one that
//! went away does not hold the others up.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// How virtual time passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As the real one.
    Realtime,
    /// So many virtual seconds per real second.
    Times(f64),
    /// It stands still and jumps to where everybody waits.
    Instant,
}

impl Speed {
    /// Virtual seconds per real second.
    #[must_use]
    pub fn factor(self) -> f64 {
        match self {
            Self::Realtime => 1.0,
            Self::Times(factor) => factor,
            Self::Instant => 0.0,
        }
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "realtime" => Ok(Self::Realtime),
            "instant" => Ok(Self::Instant),
            _ => match text.parse::<f64>() {
                Ok(factor) if factor > 0.0 && factor <= 1e6 => Ok(Self::Times(factor)),
                _ => Err(format!("`{text}` is not `realtime`, `instant` or a number of virtual seconds per second")),
            },
        }
    }
}

/// After this long without a question, nobody waits for a client any more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// The clock and everybody who has asked it.
pub(super) struct WaitingRoom {
    speed: Speed,
    base: Timestamp,
    since: Instant,
    clients: BTreeMap<String, Client>,
    tickets: u64,
}

struct Client {
    last_seen: Instant,
    connection: u64,
    waits: BTreeMap<u64, Timestamp>,
}

impl WaitingRoom {
    pub(super) fn new(speed: Speed, start: Timestamp, real: Instant) -> Self {
        Self { speed, base: start, since: real, clients: BTreeMap::new(), tickets: 0 }
    }

    pub(super) fn speed(&self) -> Speed {
        self.speed
    }

    pub(super) fn now(&self, real: Instant) -> Timestamp {
        let passed = real.saturating_duration_since(self.since).as_secs_f64() * self.speed.factor();
        self.base.checked_add(SignedDuration::from_secs_f64(passed)).unwrap_or(self.base)
    }

    /// Moves time on by hand, never back.
    pub(super) fn advance_to(&mut self, until: Timestamp, real: Instant) {
        let now = self.now(real);
        self.base = now.max(until);
        self.since = real;
    }

    /// Sets the time, back as well.
    pub(super) fn turn_to(&mut self, at: Timestamp, real: Instant) {
        self.base = at;
        self.since = real;
    }

    /// Whether nobody uses the clock.
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Real time until `until`, where time runs.
    pub(super) fn real_wait(&self, until: Timestamp, real: Instant) -> Option<Duration> {
        let left = until.duration_since(self.now(real)).as_secs_f64().max(0.0);
        (self.speed != Speed::Instant).then(|| Duration::from_secs_f64((left / self.speed.factor()).min(3600.0)))
    }

    /// Notes that a client is there, over this connection.
    pub(super) fn greet(&mut self, client: &str, connection: u64, real: Instant) {
        let entry = self.clients.entry(client.to_owned()).or_insert_with(|| Client {
            last_seen: real,
            connection,
            waits: BTreeMap::new(),
        });
        entry.last_seen = real;
        entry.connection = connection;
    }

    /// Notes that a client waits; the ticket takes it back.
    pub(super) fn wait(&mut self, client: &str, until: Timestamp) -> u64 {
        self.tickets += 1;
        if let Some(client) = self.clients.get_mut(client) {
            client.waits.insert(self.tickets, until);
        }
        self.tickets
    }

    /// The client no longer waits: it was answered, or it hung up.
    pub(super) fn leave(&mut self, client: &str, ticket: u64, real: Instant) {
        if let Some(client) = self.clients.get_mut(client) {
            client.waits.remove(&ticket);
            client.last_seen = real;
        }
    }

    /// A connection is gone, and with it every client that only it knew.
    pub(super) fn hang_up(&mut self, connection: u64) {
        self.clients.retain(|_, client| client.connection != connection || !client.waits.is_empty());
    }

    /// Jumps if everybody waits. Whoever is reached by the jump stops waiting
    /// in the same step, so that time cannot jump again before they had their
    /// turn.
    pub(super) fn jump(&mut self, real: Instant) -> bool {
        if self.speed != Speed::Instant {
            return false;
        }
        self.clients.retain(|_, client| {
            !client.waits.is_empty() || real.saturating_duration_since(client.last_seen) < FORGOTTEN_AFTER
        });
        if self.clients.values().any(|client| client.waits.is_empty()) {
            return false;
        }
        let Some(earliest) = self.clients.values().flat_map(|client| client.waits.values()).min().copied() else {
            return false;
        };
        self.advance_to(earliest, real);
        for client in self.clients.values_mut() {
            client.waits.retain(|_, until| *until > earliest);
            client.last_seen = real;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn room(speed: Speed) -> (WaitingRoom, Instant) {
        let real = Instant::now();
        (WaitingRoom::new(speed, at(0), real), real)
    }

    #[test]
    fn time_jumps_to_the_earliest_wait_once_everybody_waits() {
        let (mut room, real) = room(Speed::Instant);
        room.greet("a", 1, real);
        room.greet("b", 2, real);
        room.wait("a", at(30));
        assert!(!room.jump(real), "b is still busy");
        room.wait("b", at(20));
        assert!(room.jump(real));
        assert_eq!(room.now(real), at(20));
        assert!(!room.jump(real), "b has its turn first");
        room.wait("b", at(25));
        assert!(room.jump(real));
        assert_eq!(room.now(real), at(25));
    }

    #[test]
    fn a_client_that_went_away_holds_nobody_up() {
        let (mut room, real) = room(Speed::Instant);
        room.greet("a", 1, real);
        room.greet("gone", 2, real);
        room.wait("a", at(30));
        assert!(!room.jump(real));
        room.hang_up(2);
        assert!(room.jump(real), "its connection closed");

        room.greet("silent", 3, real);
        room.wait("a", at(40));
        assert!(!room.jump(real));
        assert!(room.jump(real + Duration::from_secs(11)), "it said nothing for ten seconds");
    }

    #[test]
    fn a_client_that_hangs_up_while_it_waits_is_forgotten() {
        let (mut room, real) = room(Speed::Instant);
        room.greet("a", 1, real);
        room.greet("b", 2, real);
        room.wait("a", at(30));
        let ticket = room.wait("b", at(10));
        room.leave("b", ticket, real);
        room.hang_up(2);
        assert!(room.jump(real));
        assert_eq!(room.now(real), at(30));
    }

    #[test]
    fn time_that_runs_needs_no_jump() {
        let (mut room, real) = room(Speed::Times(60.0));
        room.greet("a", 1, real);
        room.wait("a", at(120));
        assert!(!room.jump(real));
        assert_eq!(room.real_wait(at(120), real), Some(Duration::from_secs(2)));
        assert_eq!(room.now(real + Duration::from_secs(2)), at(120));
    }

    #[test]
    fn a_speed_is_a_word_or_a_number() {
        assert_eq!("realtime".parse(), Ok(Speed::Realtime));
        assert_eq!("instant".parse(), Ok(Speed::Instant));
        assert_eq!("60".parse(), Ok(Speed::Times(60.0)));
        for text in ["", "fast", "0", "-3", "inf"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
