//! One request, as often as it takes: budget, token, send, classify, wait,
//! again. What is asked for, and what the answer means, lives elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, header};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::Settings;
use super::endpoints::Endpoints;
use super::error::{About, ErrorKind, GraphError};
use super::login::{Credential, LoginError};
use super::pace::{Class, Pace};
use crate::clock::{self, ServiceTime, SharedClock, Stop};
use crate::model::later;
use crate::transport::{Request, Response, SharedTransport, TransportError};

/// The budget of one app in one tenant, shared by all its clients.
pub(super) type Budget = Arc<Mutex<Pace>>;

pub(super) struct Client {
    pub transport: SharedTransport,
    pub clock: SharedClock,
    pub endpoints: Endpoints,
    pub credential: Arc<dyn Credential>,
    pub budget: Budget,
    pub settings: Settings,
    pub random: Mutex<fastrand::Rng>,
    pub calls: AtomicU64,
    /// The ids of writes that were sent, until somebody takes them.
    pub writes: Mutex<Vec<Uuid>>,
    pub stop: Stop,
    pub service: ServiceTime,
}

/// How long a request that is under way may still take once somebody asked to
/// stop; what became of it is looked up by the next run.
const GRACE: Duration = Duration::from_secs(3);

/// A request to make.
pub(super) struct Call {
    pub about: About,
    pub method: Method,
    /// Absolute.
    pub url: String,
    /// What logs show instead of the URL: no ids, no tokens of a listing.
    pub route: &'static str,
    pub body: Bytes,
    pub class: Class,
    pub cost: u32,
    pub repeat: Repeat,
    /// Not to be sent later than this: what it rests on was read before.
    pub send_before: Option<Timestamp>,
}

/// When the same request may go out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Twice is as good as once.
    Freely,
    /// Only while it surely had no effect: not connected, or refused by 429.
    BeforeEffect,
    Never,
}

impl Repeat {
    pub(super) fn allows(self, error: &GraphError) -> bool {
        match self {
            Self::Freely => error.is_transient(),
            Self::BeforeEffect => error.is_transient() && !error.effect_is_unknown(),
            Self::Never => false,
        }
    }
}

impl Client {
    /// Sends until there is an answer that `read` understands, or no hope.
    pub(super) async fn send<T>(
        &self,
        call: &Call,
        read: impl Fn(&Response) -> Result<T, String>,
    ) -> Result<T, GraphError> {
        let mut is_unknown = false;
        let answer = self.send_until(call, read, &mut is_unknown).await;
        answer.map_err(|error| if is_unknown { error.after_unknown() } else { error })
    }

    /// Leaves in `is_unknown` whether one of the attempts may have had its effect.
    async fn send_until<T>(
        &self,
        call: &Call,
        read: impl Fn(&Response) -> Result<T, String>,
        is_unknown: &mut bool,
    ) -> Result<T, GraphError> {
        let patience = later(self.clock.now(), self.settings.patience);
        let deadline = call.send_before.map_or(patience, |before| before.min(patience));
        let mut rebuilt = false;
        let (mut attempt, mut failures) = (0, 0);
        loop {
            attempt += 1;
            self.wait_for_budget(call.class, call.cost, call.about, deadline).await?;
            let token = tokio::select! {
                token = self.credential.token() => token,
                () = self.out_of_grace() => return Err(stopped(call.about)),
            };
            if self.stop.is_asked() {
                return Err(stopped(call.about));
            }
            if call.send_before.is_some_and(|before| self.clock.now() > before) {
                let message = "what it rests on was read too long ago";
                return Err(GraphError::new(ErrorKind::Throttled, call.about, message));
            }
            let answer = match token {
                Ok(token) => self.send_once(call, &token, attempt, &read).await,
                // The login has tried as often as it is worth; both together
                // would take a minute to say that there is no network.
                Err(error) if error.kind == ErrorKind::Connect => return Err(of_login(&error, call.about)),
                Err(error) => Err(of_login(&error, call.about)),
            };
            let error = match answer {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            *is_unknown |= error.effect_is_unknown();
            if error.kind == ErrorKind::Auth && error.status == Some(401) && !rebuilt {
                rebuilt = true;
                self.credential.forget().await;
                continue;
            }
            let until = later(self.clock.now(), self.learn(call.class, &error, attempt));
            // A 429 is not a failure: how often it may come is for patience to say.
            failures += u32::from(error.kind != ErrorKind::Throttled);
            let hopeless = failures >= self.attempts(error.kind) || until > deadline;
            if hopeless || !call.repeat.allows(&error) {
                return Err(error);
            }
            let wait_s = until.duration_since(self.clock.now()).as_secs();
            tracing::info!(operation = call.about.operation, reason = ?error.kind, wait_s, "trying again later");
            self.wait(until, call.about).await?;
        }
    }

    /// Waits, unless somebody asks to stop.
    pub(super) async fn wait(&self, until: Timestamp, about: About) -> Result<(), GraphError> {
        clock::wait(self.clock.as_ref(), &self.stop, until).await.map_err(|_| stopped(about))
    }

    /// Returns a moment after somebody asked to stop.
    #[expect(clippy::disallowed_methods, reason = "who asks us to stop waits by the time of this machine")]
    async fn out_of_grace(&self) {
        self.stop.asked().await;
        tokio::time::sleep(GRACE).await;
    }

    /// The present by the service's own clock.
    pub(super) fn service_now(&self) -> Timestamp {
        self.service.of(self.clock.now())
    }

    /// Without a network nothing gets better in minutes, and somebody may be
    /// sitting there.
    fn attempts(&self, kind: ErrorKind) -> u32 {
        match kind {
            ErrorKind::Connect => self.settings.attempts.min(4),
            _ => self.settings.attempts,
        }
    }

    /// Waits until the budget lets `cost` requests go, and books them.
    pub(super) async fn wait_for_budget(
        &self,
        class: Class,
        cost: u32,
        about: About,
        deadline: Timestamp,
    ) -> Result<(), GraphError> {
        loop {
            if self.stop.is_asked() {
                return Err(stopped(about));
            }
            let now = self.clock.now();
            let Err(until) = self.pace(|pace| pace.ask(class, cost, now)) else { return Ok(()) };
            if until > deadline {
                let message = format!("our own budget is used up until {until}");
                return Err(GraphError::new(ErrorKind::Throttled, about, message));
            }
            self.wait(until, about).await?;
        }
    }

    /// Tells the budget about a 429, and says how long to wait before the
    /// next attempt (counted from 1).
    pub(super) fn learn(&self, class: Class, error: &GraphError, attempt: u32) -> SignedDuration {
        let wait = error.retry_after.unwrap_or_else(|| self.backoff(error.kind, attempt));
        let wait = wait.max(SignedDuration::from_secs(1));
        if error.kind == ErrorKind::Throttled {
            let now = self.clock.now();
            self.pace(|pace| pace.throttled(class, wait, now));
        }
        wait
    }

    pub(super) fn pace<T>(&self, ask: impl FnOnce(&mut Pace) -> T) -> T {
        // The budget is counters only: whatever panicked left it usable.
        ask(&mut self.budget.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Doubles from attempt to attempt, with a jitter of half: many clients
    /// that fail together must not come back together.
    fn backoff(&self, kind: ErrorKind, attempt: u32) -> SignedDuration {
        let (first_ms, most_ms) = match kind {
            // Intune often leaves Retry-After out; the field starts at 5 s.
            ErrorKind::Throttled => (5_000, 120_000),
            ErrorKind::PreconditionFailed => (5_000, 30_000),
            _ => (1_000, 60_000),
        };
        let doubled = (first_ms << attempt.saturating_sub(1).min(10)).min(most_ms);
        let jitter = self.random.lock().unwrap_or_else(PoisonError::into_inner).i64(0..=doubled / 2);
        SignedDuration::from_millis(doubled + jitter)
    }

    async fn send_once<T>(
        &self,
        call: &Call,
        token: &SecretString,
        attempt: u32,
        read: impl Fn(&Response) -> Result<T, String>,
    ) -> Result<T, GraphError> {
        let id = self.request_id();
        if matches!(call.class, Class::Write | Class::IntuneWrite | Class::Import | Class::Sync) {
            self.writes.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
        let id = id.to_string();
        let sent = self.clock.now();
        self.calls.fetch_add(1, Ordering::Relaxed);
        let answer = tokio::select! {
            answer = self.transport.send(request(call, token, &id)) => answer,
            () = self.out_of_grace() => {
                let host = self.endpoints.graph.clone();
                Err(TransportError::Lost { host, reason: "given up: stopped on request".to_owned() })
            }
        };
        let now = self.clock.now();
        if let Some(date) = answer.as_ref().ok().and_then(date) {
            self.service.learn(date, now);
        }
        let status = answer.as_ref().map_or(0, |response| response.status().as_u16());
        let ms = now.duration_since(sent).as_millis();
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        tracing::debug!(
            method = %call.method, route = call.route, status, ms, attempt, client_request_id = %id, "graph"
        );
        let response =
            answer.map_err(|error| GraphError::of_transport(&error, call.about).with_client_request_id(&id))?;
        if !response.status().is_success() {
            let now = self.service.of(now);
            return Err(GraphError::of_response(&response, call.about, now).with_client_request_id(&id));
        }
        read(&response)
            .map_err(|reason| GraphError::new(ErrorKind::Protocol, call.about, reason).with_client_request_id(&id))
    }

    fn request_id(&self) -> Uuid {
        let bytes = self.random.lock().unwrap_or_else(PoisonError::into_inner).u128(..).to_le_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// When the service says that it wrote an answer.
fn date(response: &Response) -> Option<Timestamp> {
    let text = response.headers().get(header::DATE)?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}

fn of_login(error: &LoginError, about: About) -> GraphError {
    GraphError::of_login(error.kind, about, error.message.clone()).with_retry_after(error.retry_after)
}

fn request(call: &Call, token: &SecretString, id: &str) -> Request {
    let mut bearer = header::HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
        .unwrap_or_else(|_| header::HeaderValue::from_static("Bearer"));
    bearer.set_sensitive(true);
    let mut request = http::Request::builder()
        .method(call.method.clone())
        .uri(&call.url)
        .header(header::AUTHORIZATION, bearer)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, super::USER_AGENT)
        .header("client-request-id", id);
    if !call.body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    request.body(call.body.clone()).expect("endpoints and links are checked URLs")
}

fn stopped(about: About) -> GraphError {
    GraphError::new(ErrorKind::Stopped, about, "stopped on request")
}

/// No answer but a page of a listing is as long. Taken apart, a byte of one may
/// take dozens.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Reads a body that must be JSON of this shape, and short.
pub(super) fn json<T: serde::de::DeserializeOwned>(response: &Response) -> Result<T, String> {
    match response.body().len() {
        ..=BODY_BYTES_MAX => page(response),
        bytes => Err(format!("the body has {bytes} bytes, more than {BODY_BYTES_MAX}")),
    }
}

/// Reads a body that must be JSON of this shape.
pub(super) fn page<T: serde::de::DeserializeOwned>(response: &Response) -> Result<T, String> {
    let body = response.body();
    serde_json::from_slice(body).map_err(|error| {
        // The error names a line and a column, never the text there.
        let what = if body.trim_ascii_start().starts_with(b"<") { "a page of HTML" } else { "not what we know" };
        format!("the body ({} bytes) is {what}: line {}, column {}", body.len(), error.line(), error.column())
    })
}
