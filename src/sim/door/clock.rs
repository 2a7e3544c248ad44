//! The routes about time, on a port: who waits in the clock, and who moves it
//! by hand. What a question may say is read in `control.rs`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use serde_json::json;

use super::call::control_route;
use super::server::Shared;
use crate::sim::stage::ClockQuestion;
use crate::sim::state::Tenants;
use crate::transport::{Request, Response};

/// The clock answers after this long even if the time has not come, so that
/// no client's socket times out; the client sees that and asks again.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// While time stands still, somebody looks this often for clients that went
/// away without a word.
const LOOKS_EVERY: Duration = Duration::from_millis(500);

/// The control routes that the doors serve themselves: their tenants have no
/// clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClockRoute {
    Clock,
    Advance,
}

impl ClockRoute {
    pub(super) fn of(request: &Request) -> Option<Self> {
        match control_route(request.uri().path())?.as_slice() {
            [route] if route == "clock" => Some(Self::Clock),
            [route] if route == "advance" => Some(Self::Advance),
            _ => None,
        }
    }
}

/// `POST /_sim/clock {client, until}`: answers `{now, speed}` once `now` has
/// reached `until`; without `until`, at once.
pub(super) async fn serve_clock(shared: &Shared, question: &ClockQuestion, connection: u64) -> Response {
    shared.room(|room| room.greet(&question.client, connection, Instant::now()));
    if let Some(until) = question.until {
        let began = shared.now();
        wait_for(shared, &question.client, until).await;
        if shared.now() != began {
            note_moved_time(shared);
        }
    }
    tell_time(shared)
}

/// `POST /_sim/advance`: moves the clock, whoever waits.
pub(super) fn serve_advance(shared: &Shared, target: Timestamp) -> Response {
    shared.advance_to(target);
    note_moved_time(shared);
    tell_time(shared)
}

/// What is due happens now, so that a reader of the state sees it; and whoever
/// opens the state later finds the time that it is.
fn note_moved_time(shared: &Shared) {
    shared.with_all(Tenants::note_moved_time);
    shared.note_change();
}

fn tell_time(shared: &Shared) -> Response {
    let (now, speed) = shared.room(|room| (room.now(Instant::now()), room.speed().factor()));
    let mut response = Response::new(Bytes::from(json!({"now": now, "speed": speed}).to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A client in the waiting room; gone when its request is, answered or not.
struct Seat<'a> {
    shared: &'a Shared,
    client: &'a str,
    ticket: u64,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.shared.room(|room| room.leave(self.client, self.ticket, Instant::now()));
        self.shared.moved().notify_waiters();
    }
}

async fn wait_for(shared: &Shared, client: &str, until: Timestamp) {
    let deadline = Instant::now() + ANSWERS_WITHIN;
    let ticket = shared.room(|room| room.wait(client, until));
    let _seat = Seat { shared, client, ticket };
    loop {
        // Listen before looking, or a jump in between is missed.
        let moved = shared.moved().notified();
        let mut moved = std::pin::pin!(moved);
        moved.as_mut().enable();
        let real = Instant::now();
        if shared.room(|room| room.now(real)) >= until || real >= deadline {
            return;
        }
        if shared.room(|room| room.jump(real)) {
            shared.moved().notify_waiters();
            continue;
        }
        let nap = shared.room(|room| room.real_wait(until, real)).unwrap_or(LOOKS_EVERY);
        tokio::select! {
            () = moved => {}
            () = tokio::time::sleep(nap.min(deadline.saturating_duration_since(real))) => {}
        }
    }
}
