//! The simulated tenant on a loopback port: HTTP around [`Tenant::handle`],
//! the clock route, and the state file.
//!
//! No rule of the service lives here. A reply that is lost really drops the
//! connection, answers come in chunks, and nothing but loopback is listened
//! on: the tenant hands out tokens to whoever knows its public secret.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::answer::Reply;
use super::tenant::{StateError, Tenant, write_whole};
use super::waiting_room::{Speed, WaitingRoom};

/// The largest request: a bulk import of 500 hashes is about 2.3 MB.
const BODY_MAX: usize = 64 * 1024 * 1024;
/// The clock answers after this long even if the time has not come, so that
/// no client's socket times out; the client sees that and asks again.
const CLOCK_ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// While time stands still, somebody looks this often for clients that went
/// away without a word.
const CLOCK_LOOKS_EVERY: Duration = Duration::from_millis(500);
/// Changes within this long are saved together.
const SAVES_EVERY: Duration = Duration::from_millis(100);

/// Says why the tenant cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("`{0}` is not a loopback address; the simulated tenant is for this machine only, take `127.0.0.1:8800`")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on `{address}`: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    State(#[from] StateError),
}

/// A tenant that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Shared,
    file: Option<PathBuf>,
}

/// The tenant of a running server, for whoever wants to look at it or change
/// it meanwhile. Clones share it.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

struct Inner {
    tenant: Mutex<Tenant>,
    room: Mutex<WaitingRoom>,
    moved: Notify,
    changed: Notify,
}

impl Shared {
    /// Looks at or changes the tenant, at its present time.
    pub fn with<T>(&self, look: impl FnOnce(&mut Tenant) -> T) -> T {
        let now = self.now();
        let mut tenant = self.0.tenant.lock().expect("no holder of this lock panics");
        tenant.advance(now);
        look(&mut tenant)
    }

    /// The present virtual time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.room(|room| room.now(Instant::now()))
    }

    /// Moves virtual time on, never back.
    pub fn advance_to(&self, until: Timestamp) {
        self.room(|room| room.advance_to(until, Instant::now()));
        self.0.moved.notify_waiters();
    }

    fn room<T>(&self, look: impl FnOnce(&mut WaitingRoom) -> T) -> T {
        look(&mut self.0.room.lock().expect("no holder of this lock panics"))
    }
}

impl Server {
    /// Listens on `address`; port 0 takes a free one. Virtual time goes on
    /// from the tenant's own; in real time it is at least the real one.
    ///
    /// # Errors
    /// When the address is not loopback or cannot be listened on.
    pub async fn bind(address: SocketAddr, tenant: Tenant, speed: Speed) -> Result<Self, ServerError> {
        if !address.ip().is_loopback() {
            return Err(ServerError::NotLoopback(address));
        }
        let listen = |source| ServerError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let start = match speed {
            Speed::Realtime => tenant.now().max(Timestamp::now()),
            Speed::Times(_) | Speed::Instant => tenant.now(),
        };
        let inner = Inner {
            tenant: Mutex::new(tenant),
            room: Mutex::new(WaitingRoom::new(speed, start, Instant::now())),
            moved: Notify::new(),
            changed: Notify::new(),
        };
        Ok(Self { listener, address, shared: Shared(Arc::new(inner)), file: None })
    }

    /// Saves the tenant to `path` soon after every change and at the end.
    #[must_use]
    pub fn saving_to(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    #[must_use]
    pub fn tenant(&self) -> Shared {
        self.shared.clone()
    }

    /// Serves until `end` is there; then connections close and the state is
    /// saved.
    ///
    /// # Errors
    /// When the state cannot be saved.
    pub async fn run(self, end: impl Future<Output = ()>) -> Result<(), ServerError> {
        let Self { listener, shared, file, .. } = self;
        let mut connections = JoinSet::new();
        let mut opened = 0;
        let mut end = std::pin::pin!(end);
        let mut saving = std::pin::pin!(save_after_changes(shared.clone(), file.clone()));
        loop {
            tokio::select! {
                () = &mut end => break,
                failed = &mut saving => return Err(failed.into()),
                accepted = listener.accept() => {
                    // A connection that fails while it is accepted is its client's trouble.
                    let Ok((stream, _)) = accepted else { continue };
                    opened += 1;
                    connections.spawn(serve_connection(shared.clone(), stream, opened));
                }
                Some(_) = connections.join_next() => {}
            }
        }
        connections.shutdown().await;
        if let Some(path) = file {
            shared.with(|tenant| tenant.save_to(&path))?;
        }
        Ok(())
    }
}

/// Never ends but by a failure.
async fn save_after_changes(shared: Shared, file: Option<PathBuf>) -> StateError {
    let Some(path) = file else { return std::future::pending().await };
    loop {
        if shared.with(Tenant::take_changed) {
            // Written here and not on a thread of its own: a write that
            // outlives this task could overwrite the last state.
            let text = shared.with(|tenant| tenant.save());
            if let Err(error) = write_whole(&path, text.as_bytes()) {
                return error;
            }
            tokio::time::sleep(SAVES_EVERY).await;
        } else {
            shared.0.changed.notified().await;
        }
    }
}

async fn serve_connection(shared: Shared, stream: TcpStream, connection: u64) {
    // Small answers should not wait for more.
    let _ = stream.set_nodelay(true);
    let served = shared.clone();
    let service = service_fn(move |request| serve(served.clone(), request, connection));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new());
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
    shared.room(|room| room.hang_up(connection));
    shared.0.moved.notify_waiters();
}

/// Why a connection drops without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the simulated connection dropped")]
struct Dropped;

async fn serve(
    shared: Shared,
    request: http::Request<Incoming>,
    connection: u64,
) -> Result<http::Response<Body>, Dropped> {
    let (mut parts, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), BODY_MAX).await.map_err(|_| Dropped)?;
    if parts.uri.path() == "/_sim/clock" {
        return Ok(serve_clock(&shared, &body, connection).await);
    }
    // The tenant answers with addresses of its own: it needs to know what
    // the client calls it.
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    match format!("http://{host}{path}").parse() {
        Ok(uri) => parts.uri = uri,
        Err(_) => return Ok(plain(StatusCode::BAD_REQUEST, Body::from("Bad Request - Invalid Hostname"))),
    }
    let request = http::Request::from_parts(parts, body);

    let now = shared.now();
    let (reply, latency, after) = {
        let mut tenant = shared.0.tenant.lock().expect("no holder of this lock panics");
        let reply = tenant.handle(&request, now);
        (reply, tenant.latency(), tenant.now())
    };
    if !latency.is_zero() && shared.room(|room| room.speed() == Speed::Instant) {
        shared.advance_to(after + latency);
    }
    shared.0.changed.notify_one();
    match reply {
        Reply::Lost => Err(Dropped),
        Reply::Response(response) => Ok(response.map(|body| match body.is_empty() {
            true => Body::empty(),
            // A stream has no length, so it goes out in chunks, as Graph's do.
            false => Body::from_stream(futures::stream::iter([Ok::<Bytes, std::convert::Infallible>(body)])),
        })),
    }
}

fn plain(status: StatusCode, body: Body) -> http::Response<Body> {
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
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
        self.shared.0.moved.notify_waiters();
    }
}

/// `POST /_sim/clock {client, until}`: answers `{now, speed}` once `now` has
/// reached `until`; without `until`, at once.
async fn serve_clock(shared: &Shared, body: &Bytes, connection: u64) -> http::Response<Body> {
    #[derive(serde::Deserialize)]
    struct Question {
        client: String,
        until: Option<Timestamp>,
    }
    let Ok(question) = serde_json::from_slice::<Question>(body) else {
        let hint = "the clock takes {\"client\": a name of your own, \"until\": a time or null}";
        return plain(StatusCode::BAD_REQUEST, Body::from(hint));
    };
    shared.room(|room| room.greet(&question.client, connection, Instant::now()));
    if let Some(until) = question.until {
        wait_for(shared, &question.client, until).await;
    }
    let (now, speed) = shared.room(|room| (room.now(Instant::now()), room.speed().factor()));
    let answer = serde_json::json!({"now": now, "speed": speed});
    let mut response = plain(StatusCode::OK, Body::from(answer.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn wait_for(shared: &Shared, client: &str, until: Timestamp) {
    let deadline = Instant::now() + CLOCK_ANSWERS_WITHIN;
    let ticket = shared.room(|room| room.wait(client, until));
    let _seat = Seat { shared, client, ticket };
    loop {
        // Listen before looking, or a jump in between is missed.
        let moved = shared.0.moved.notified();
        let mut moved = std::pin::pin!(moved);
        moved.as_mut().enable();
        let real = Instant::now();
        if shared.room(|room| room.now(real)) >= until || real >= deadline {
            return;
        }
        if shared.room(|room| room.jump(real)) {
            shared.0.moved.notify_waiters();
            continue;
        }
        let nap = shared.room(|room| room.real_wait(until, real)).unwrap_or(CLOCK_LOOKS_EVERY);
        tokio::select! {
            () = moved => {}
            () = tokio::time::sleep(nap.min(deadline.saturating_duration_since(real))) => {}
        }
    }
}
