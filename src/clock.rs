//! The seam to time: real, virtual (in process) and remote (the clock of a
//! simulated tenant on the other end of a connection); and the request to
//! stop, which every wait hears.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::transport::{SharedTransport, TransportError};

/// Tells the time and waits for a time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The present, as this clock knows it. Never goes back.
    fn now(&self) -> Timestamp;
    /// Returns once `now() >= until`; at once if that is already so.
    async fn sleep_until(&self, until: Timestamp);
}

/// A clock that several owners share.
pub type SharedClock = Arc<dyn Clock>;

/// Somebody asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped on request")]
pub struct Stopped;

/// Waits for a time, unless somebody asks to stop.
///
/// # Errors
/// [`Stopped`], as soon as it is asked for.
pub(crate) async fn wait(clock: &dyn Clock, stop: &Stop, until: Timestamp) -> Result<(), Stopped> {
    if stop.is_asked() {
        return Err(Stopped);
    }
    tokio::select! {
        () = clock.sleep_until(until) => Ok(()),
        () = stop.asked() => Err(Stopped),
    }
}

/// The time of a service beside that of this machine: comparisons with times
/// that the service wrote use its own clock, whatever ours says. Learnt from
/// the `Date` of its answers.
#[derive(Debug, Default)]
pub(crate) struct ServiceTime(AtomicI64);

/// A `Date` has whole seconds, and an answer is under way for a while: a
/// difference below this is none.
const SKEW_MIN_MS: i64 = 2_000;

impl ServiceTime {
    /// Takes over what the service said, at `now` by our own clock.
    pub(crate) fn learn(&self, date: Timestamp, now: Timestamp) {
        let known = self.0.load(Ordering::Relaxed);
        let said = date.as_millisecond().saturating_sub(now.as_millisecond());
        let skew = if said.abs() < SKEW_MIN_MS { 0 } else { said };
        if skew == 0 || (skew - known).abs() >= SKEW_MIN_MS {
            self.0.store(skew, Ordering::Relaxed);
        }
    }

    /// The service's time at a moment of ours.
    #[must_use]
    pub(crate) fn of(&self, ours: Timestamp) -> Timestamp {
        Self::moved(ours, self.0.load(Ordering::Relaxed))
    }

    /// Our time at a moment of the service's.
    #[must_use]
    pub(crate) fn ours(&self, service: Timestamp) -> Timestamp {
        Self::moved(service, self.0.load(Ordering::Relaxed).saturating_neg())
    }

    fn moved(at: Timestamp, ms: i64) -> Timestamp {
        let end = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
        at.checked_add(SignedDuration::from_millis(ms)).unwrap_or(end)
    }
}

/// A request to stop: after the requests under way, with a whole journal.
/// Asked before every request and while waiting.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// The other end: whoever holds it may ask to stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stop {
    /// A request that nobody has made yet, and who may make it.
    #[must_use]
    pub fn new() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Self(receiver))
    }

    /// One that is never asked to stop.
    #[must_use]
    pub fn never() -> Self {
        Self::new().1
    }

    /// True once somebody has asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when somebody asks to stop; never, if nobody can any more.
    pub async fn asked(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Stopper {
    /// Asks. Nobody can take it back.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// The clock of this machine.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Real;

#[async_trait]
impl Clock for Real {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        // The wall clock may be set while we sleep, so look again in between.
        loop {
            let left = until.duration_since(Timestamp::now());
            if left <= SignedDuration::ZERO {
                return;
            }
            let nap = Duration::try_from(left).unwrap_or_default().min(Duration::from_secs(30));
            tokio::time::sleep(nap).await;
        }
    }
}

/// A clock that stands still until somebody waits for a time, and then is
/// there. Clones share the time.
#[derive(Debug, Clone)]
pub struct Virtual(Arc<Mutex<Timestamp>>);

impl Virtual {
    /// A clock that shows `start`.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(start)))
    }

    /// Moves the clock to `until`, never back.
    pub fn advance_to(&self, until: Timestamp) {
        let mut now = self.0.lock().expect("no holder of this lock panics");
        *now = (*now).max(until);
    }

    /// Sets the clock, back as well: whoever lives on it has become what it
    /// was then.
    pub fn turn_to(&self, at: Timestamp) {
        *self.0.lock().expect("no holder of this lock panics") = at;
    }
}

#[async_trait]
impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no holder of this lock panics")
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.advance_to(until);
    }
}

/// What a clock says has three values.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The clock of a simulated tenant behind HTTP: `POST /_sim/clock`.
///
/// `now` is what the tenant last told us, moved on by `speed` virtual seconds
/// per real second (0 where time only jumps).
pub struct Remote {
    transport: SharedTransport,
    url: http::Uri,
    client: uuid::Uuid,
    last: Mutex<Reading>,
}

struct Reading {
    now: Timestamp,
    speed: f64,
    at: std::time::Instant,
}

impl Remote {
    /// Asks the tenant at `base` (for example `http://127.0.0.1:8800`) for its
    /// time. From then on the tenant waits for this client before it jumps.
    ///
    /// # Errors
    /// When nobody answers there, or the answer is not a clock's.
    pub async fn connect(transport: SharedTransport, base: &str) -> Result<Self, TransportError> {
        let url = format!("{}/_sim/clock", base.trim_end_matches('/'));
        let url: http::Uri = url
            .parse()
            .map_err(|_| TransportError::Connect { host: base.to_owned(), reason: "not a URL".to_owned() })?;
        let start = Reading { now: Timestamp::UNIX_EPOCH, speed: 0.0, at: std::time::Instant::now() };
        let clock = Self { transport, url, client: uuid::Uuid::new_v4(), last: Mutex::new(start) };
        clock.ask(None).await?;
        Ok(clock)
    }

    async fn ask(&self, until: Option<Timestamp>) -> Result<(), TransportError> {
        let lost = |reason: &str| TransportError::Lost {
            host: self.url.authority().map(ToString::to_string).unwrap_or_default(),
            reason: reason.to_owned(),
        };
        let body = serde_json::json!({ "client": self.client, "until": until.map(|t| t.to_string()) });
        let request = http::Request::post(self.url.clone())
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()))
            .expect("a request of constant parts");
        let response = self.transport.send(request).await?;
        if response.body().len() > ANSWER_BYTES_MAX {
            return Err(lost("the clock's answer is too long"));
        }
        let answer: serde_json::Value =
            serde_json::from_slice(response.body()).map_err(|_| lost("the clock's answer is not JSON"))?;
        let now = answer["now"].as_str().and_then(|text| text.parse().ok());
        let now: Timestamp = now.ok_or_else(|| lost("the clock's answer has no time"))?;
        let speed = answer["speed"].as_f64().unwrap_or(0.0);
        *self.last.lock().expect("no holder of this lock panics") =
            Reading { now, speed, at: std::time::Instant::now() };
        Ok(())
    }
}

#[async_trait]
impl Clock for Remote {
    fn now(&self) -> Timestamp {
        let last = self.last.lock().expect("no holder of this lock panics");
        let moved = last.at.elapsed().as_secs_f64() * last.speed;
        let moved = SignedDuration::try_from_secs_f64(moved).unwrap_or_default();
        last.now.checked_add(moved).unwrap_or(last.now)
    }

    async fn sleep_until(&self, until: Timestamp) {
        while self.now() < until {
            if self.ask(Some(until)).await.is_err() {
                // The tenant is gone or busy; whoever asks it next will say so.
                tokio::time::sleep(Duration::from_millis(200)).await;
                return;
            }
        }
    }
}
