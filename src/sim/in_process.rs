//! The simulated tenant without a network: a `Transport` that answers any
//! host, on a virtual clock that only moves when somebody waits.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;

use super::answer::Reply;
use super::tenant::Tenant;
use crate::clock::{self, Clock as _};
use crate::transport::{Request, Response, Transport, TransportError};

/// A tenant in this process. Clones share the tenant and the clock.
#[derive(Clone)]
pub struct InProcess {
    tenant: Arc<Mutex<Tenant>>,
    clock: clock::Virtual,
    file: Option<Arc<PathBuf>>,
}

impl InProcess {
    /// The clock moves on to the tenant's time if it is behind.
    #[must_use]
    pub fn new(tenant: Tenant, clock: clock::Virtual) -> Self {
        clock.advance_to(tenant.now());
        Self { tenant: Arc::new(Mutex::new(tenant)), clock, file: None }
    }

    /// Saves the tenant to `path` after every request that changed it, before
    /// the client gets its answer: a client that is killed afterwards finds
    /// the tenant as it left it.
    #[must_use]
    pub fn saving_to(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(Arc::new(path.into()));
        self
    }

    /// Looks at or changes the tenant, at the clock's present time.
    pub fn with<T>(&self, look: impl FnOnce(&mut Tenant) -> T) -> T {
        let mut tenant = self.tenant.lock().expect("no holder of this lock panics");
        tenant.advance(self.clock.now());
        look(&mut tenant)
    }

    /// The clock that the tenant lives on.
    #[must_use]
    pub fn clock(&self) -> clock::Virtual {
        self.clock.clone()
    }

    /// The clock of `POST /_sim/clock`: here time is wherever it is awaited.
    fn serve_clock(&self, request: &Request) -> Response {
        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap_or_default();
        if let Some(until) = body["until"].as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
            self.clock.advance_to(until);
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
        if request.uri().path() == "/_sim/clock" {
            return Ok(self.serve_clock(&request));
        }
        let host = request.uri().host().unwrap_or_default().to_owned();
        let lost = |reason: String| TransportError::Lost { host, reason };
        let mut tenant = self.tenant.lock().expect("no holder of this lock panics");
        let reply = tenant.handle(&request, self.clock.now());
        let latency = tenant.latency();
        if !latency.is_zero() {
            self.clock.advance_to(tenant.now() + latency);
        }
        if let Some(path) = &self.file
            && tenant.take_changed()
        {
            tenant.save_to(path).map_err(|error| lost(error.to_string()))?;
        }
        match reply {
            Reply::Response(response) => Ok(response),
            Reply::Lost => Err(TransportError::Lost {
                host: request.uri().host().unwrap_or_default().to_owned(),
                reason: "the simulated connection dropped".to_owned(),
            }),
        }
    }
}
