//! Simulated tenants without a network: a `Transport` that answers any
//! host, on a virtual clock that only moves when somebody waits.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE};
use uuid::Uuid;

use super::answer::{Answer, Reply};
use super::body::unpacked;
use super::call::Call;
use super::clock::ClockRoute;
use super::errors::{Problem, http_date};
use crate::clock::{self, Clock as _};
use crate::sim::stage::{ClockQuestion, read_advance};
use crate::sim::state::{StateError, StateFile, Tenant, Tenants};
use crate::transport::{Request, Response, Transport, TransportError};

/// Tenants in this process. Clones share them and the clock.
#[derive(Clone)]
pub struct InProcess {
    tenants: Arc<Mutex<Tenants>>,
    clock: clock::Virtual,
    file: Option<Arc<Mutex<StateFile>>>,
}

impl InProcess {
    /// The clock moves on to the tenant's time if it is behind.
    #[must_use]
    pub fn new(tenants: impl Into<Tenants>, clock: clock::Virtual) -> Self {
        let tenants = tenants.into();
        clock.advance_to(tenants.now());
        Self { tenants: Arc::new(Mutex::new(tenants)), clock, file: None }
    }

    /// Keeps the tenant in `path` after every request that changed it, before
    /// the client gets its answer: a client that is killed afterwards finds
    /// the tenant as it left it. What is written is in proportion to what
    /// happened, however large the tenant is.
    #[must_use]
    pub fn saving_to(self, path: impl Into<PathBuf>) -> Self {
        self.keeping(StateFile::new(path))
    }

    /// The same, in a file that may be locked.
    #[must_use]
    pub fn keeping(mut self, file: StateFile) -> Self {
        self.file = Some(Arc::new(Mutex::new(file)));
        self
    }

    /// Looks at or changes the (first) tenant, at the clock's present time.
    pub fn with<T>(&self, look: impl FnOnce(&mut Tenant) -> T) -> T {
        self.with_all(|tenants| look(tenants.first()))
    }

    /// Looks at or changes all tenants, at the clock's present time.
    pub fn with_all<T>(&self, look: impl FnOnce(&mut Tenants) -> T) -> T {
        let mut tenants = self.tenants.lock().expect("no holder of this lock panics");
        tenants.advance(self.clock.now());
        look(&mut tenants)
    }

    /// Bytes written so far to keep the tenant.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.lock().expect("no holder of this lock panics").written())
    }

    /// The clock that the tenant lives on.
    #[must_use]
    pub fn clock(&self) -> clock::Virtual {
        self.clock.clone()
    }

    /// Saves what happened, where somebody wants that.
    fn keep(&self, tenants: &mut Tenants) -> Result<(), StateError> {
        match &self.file {
            Some(file) if tenants.take_changed() => file.lock().expect("no holder of this lock panics").keep(tenants),
            _ => Ok(()),
        }
    }

    /// `POST /_sim/clock`, where time is wherever it is awaited, and
    /// `POST /_sim/advance`.
    fn serve_clock(&self, request: &Request, route: ClockRoute) -> Response {
        if let Some(refusal) = self.tenants.lock().expect("no holder of this lock panics").refuses(request) {
            return refusal;
        }
        let now = self.clock.now();
        let until = unpacked(request.headers(), request.body()).and_then(|body| {
            let until = match route {
                ClockRoute::Clock => ClockQuestion::read(&body).map(|question| question.until),
                ClockRoute::Advance => read_advance(&body, now).map(Some),
            };
            until.map_err(|reason| Problem::plain(400, "BadRequest", reason))
        });
        match until {
            Ok(until) => self.clock.advance_to(until.unwrap_or(now)),
            Err(problem) => {
                let call = Call::read(request, Uuid::nil(), now);
                return Answer::refused(&call, &problem).into_response(&call);
            }
        }
        if self.clock.now() != now {
            self.with_all(Tenants::note_moved_time);
        }
        let answer = serde_json::json!({"now": self.clock.now(), "speed": 0.0});
        let mut response = Response::new(Bytes::from(answer.to_string()));
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        response
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let lost = |reason: String| TransportError::Lost { host, reason };
        if let Some(question) = ClockRoute::of(&request) {
            let mut response = self.serve_clock(&request, question);
            let mut tenants = self.tenants.lock().expect("no holder of this lock panics");
            self.keep(&mut tenants).map_err(|error| lost(error.to_string()))?;
            response.headers_mut().insert(DATE, http_date(self.clock.now()));
            return Ok(response);
        }
        let mut tenants = self.tenants.lock().expect("no holder of this lock panics");
        let reply = tenants.handle(&request, self.clock.now());
        let latency = tenants.latency_of(&request);
        // A state that was loaded brings its own time.
        self.clock.turn_to(tenants.now() + latency);
        self.keep(&mut tenants).map_err(|error| lost(error.to_string()))?;
        match reply {
            Reply::Response(response) => Ok(response),
            Reply::Lost => Err(TransportError::Lost {
                host: request.uri().host().unwrap_or_default().to_owned(),
                reason: "the simulated connection dropped".to_owned(),
            }),
        }
    }
}
