//! Simulated tenants on a loopback port: HTTP around [`Tenants::handle`],
//! the clock routes, and the state file.
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
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::answer::Reply;
use super::certificates::{Certificates, is_served};
use super::errors::http_date;
use super::waiting_room::{Speed, WaitingRoom};
use crate::sim::stage::{Advance, latest};
use crate::sim::state::{StateError, StateFile, Tenant, Tenants};

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
#[expect(missing_docs, reason = "the messages say it")]
pub enum ServerError {
    #[error("`{0}` is not a loopback address; the simulated tenant is for this machine only, take `127.0.0.1:8800`")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on `{address}`: {reason}")]
    Listen { address: SocketAddr, reason: std::io::Error },
    #[error(transparent)]
    State(#[from] StateError),
}

/// Answers smaller than this are not worth compressing.
const GZIP_FROM: usize = 400;

/// Tenants that listen.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Shared,
    file: Option<PathBuf>,
    certificates: Option<Certificates>,
    is_proxy: bool,
}

/// The tenants of a running server, for whoever wants to look at it or change
/// it meanwhile. Clones share it.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

struct Inner {
    tenants: Mutex<Tenants>,
    room: Mutex<WaitingRoom>,
    moved: Notify,
    changed: Notify,
}

impl Shared {
    /// Looks at or changes the (first) tenant, at its present time.
    pub fn with<T>(&self, look: impl FnOnce(&mut Tenant) -> T) -> T {
        self.with_all(|tenants| look(tenants.first()))
    }

    /// Looks at or changes all tenants, at their present time.
    pub fn with_all<T>(&self, look: impl FnOnce(&mut Tenants) -> T) -> T {
        let now = self.now();
        let mut tenants = self.0.tenants.lock().expect("no holder of this lock panics");
        tenants.advance(now);
        look(&mut tenants)
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
    pub async fn bind(address: SocketAddr, tenants: impl Into<Tenants>, speed: Speed) -> Result<Self, ServerError> {
        let tenants = tenants.into();
        if !address.ip().is_loopback() {
            return Err(ServerError::NotLoopback(address));
        }
        let listen = |reason| ServerError::Listen { address, reason };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let start = match speed {
            Speed::Realtime => tenants.now().max(Timestamp::now()),
            Speed::Times(_) | Speed::Instant => tenants.now(),
        };
        let inner = Inner {
            tenants: Mutex::new(tenants),
            room: Mutex::new(WaitingRoom::new(speed, start, Instant::now())),
            moved: Notify::new(),
            changed: Notify::new(),
        };
        let shared = Shared(Arc::new(inner));
        Ok(Self { listener, address, shared, file: None, certificates: None, is_proxy: false })
    }

    /// Speaks TLS as well: the first byte of a connection tells which.
    #[must_use]
    pub fn with_tls(mut self, certificates: Certificates) -> Self {
        self.certificates = Some(certificates);
        self
    }

    /// Answers CONNECT as an HTTP proxy does, but for Microsoft's hosts and
    /// loopback alone, and serves what comes through the tunnel itself. Needs
    /// [`with_tls`](Self::with_tls).
    #[must_use]
    pub fn as_proxy(mut self) -> Self {
        self.is_proxy = true;
        self
    }

    /// Saves the tenant to `path` soon after every change and at the end.
    #[must_use]
    pub fn saving_to(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:<port>`; plain HTTP is always served.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `https://127.0.0.1:<port>`, if this server speaks TLS.
    #[must_use]
    pub fn secure_url(&self) -> Option<String> {
        self.certificates.is_some().then(|| format!("https://{}", self.address))
    }

    /// What it serves, to be looked at while it does.
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
        let Self { listener, shared, file, certificates, is_proxy, .. } = self;
        let door = Door { shared: shared.clone(), certificates, is_proxy, connection: 0 };
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
                    connections.spawn(Door { connection: opened, ..door.clone() }.open(stream));
                }
                Some(_) = connections.join_next() => {}
            }
        }
        connections.shutdown().await;
        if let Some(path) = file {
            shared.with_all(|tenants| tenants.save_to(&path))?;
        }
        Ok(())
    }
}

/// Never ends but by a failure.
async fn save_after_changes(shared: Shared, file: Option<PathBuf>) -> StateError {
    let Some(mut file) = file.map(StateFile::new) else { return std::future::pending().await };
    loop {
        if shared.with_all(Tenants::take_changed) {
            // Written here and not on a thread of its own: a write that
            // outlives this task could overwrite the last state.
            if let Err(error) = shared.with_all(|tenants| file.keep(tenants)) {
                return error;
            }
            tokio::time::sleep(SAVES_EVERY).await;
        } else {
            shared.0.changed.notified().await;
        }
    }
}

/// How a connection comes in.
#[derive(Clone)]
struct Door {
    shared: Shared,
    certificates: Option<Certificates>,
    is_proxy: bool,
    connection: u64,
}

/// Why a connection drops without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the simulated connection dropped")]
struct Dropped;

/// The first byte of a TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

impl Door {
    async fn open(self, stream: TcpStream) {
        // Small answers should not wait for more.
        let _ = stream.set_nodelay(true);
        let mut first = [0];
        let speaks_tls = self.certificates.is_some()
            && stream.peek(&mut first).await.is_ok_and(|read| read == 1 && first[0] == TLS_HANDSHAKE);
        if speaks_tls {
            self.serve_secure(stream).await;
        } else if let Some(tunnel) = self.serve_http(TokioIo::new(stream), "http").await {
            match tunnel.await {
                Ok(upgraded) => self.serve_secure(TokioIo::new(upgraded)).await,
                Err(error) => tracing::debug!(%error, "a tunnel ended before it began"),
            }
        }
        self.shared.room(|room| room.hang_up(self.connection));
        self.shared.0.moved.notify_waiters();
    }

    async fn serve_secure(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Some(certificates) = &self.certificates else { return };
        match certificates.acceptor().accept(stream).await {
            Ok(stream) => drop(self.serve_http(TokioIo::new(stream), "https").await),
            // Usually a client that does not trust the authority.
            Err(error) => tracing::warn!(%error, "a client broke off the TLS handshake"),
        }
    }

    /// Serves one connection to its end, or to the CONNECT that turns the
    /// rest of it into a tunnel.
    async fn serve_http<S>(&self, stream: TokioIo<S>, scheme: &'static str) -> Option<hyper::upgrade::OnUpgrade>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (tunnels, mut opened) = mpsc::unbounded_channel();
        let service = service_fn(|mut request: http::Request<Incoming>| {
            let tunnels = tunnels.clone();
            async move {
                if request.method() == Method::CONNECT {
                    let answer = self.connect(&request);
                    if answer.status().is_success() {
                        let _ = tunnels.send(hyper::upgrade::on(&mut request));
                    }
                    return Ok::<_, Dropped>(answer);
                }
                let mut answer = self.serve(request, scheme).await?;
                // An answer without a date gets that of this machine, and a
                // client would take it for the tenant's.
                answer.headers_mut().entry(DATE).or_insert_with(|| http_date(self.shared.now()));
                Ok(answer)
            }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new());
        if let Err(error) = http.serve_connection(stream, service).with_upgrades().await {
            tracing::debug!(%error, "a connection ended early");
        }
        opened.try_recv().ok()
    }

    /// A tunnel to a host that is served here; nothing leaves this machine.
    fn connect(&self, request: &http::Request<Incoming>) -> http::Response<Body> {
        let host = request.uri().host().unwrap_or_default();
        if self.is_proxy && self.certificates.is_some() && is_served(host) {
            return plain(StatusCode::OK, Body::empty());
        }
        tracing::warn!(host, "refused to lead there");
        let reason = match self.is_proxy {
            true => format!("the simulated tenant does not lead to `{host}`\n"),
            false => "the simulated tenant is no proxy: start it with `--proxy`\n".to_owned(),
        };
        plain(StatusCode::FORBIDDEN, Body::from(reason))
    }

    async fn serve(
        &self,
        request: http::Request<Incoming>,
        scheme: &'static str,
    ) -> Result<http::Response<Body>, Dropped> {
        let shared = &self.shared;
        let (mut parts, body) = request.into_parts();
        // A proxy is asked for whole addresses where they are plain http.
        if let Some(host) = parts.uri.host()
            && !is_served(host)
        {
            tracing::warn!(host, "refused to lead there");
            let reason = format!("the simulated tenant does not lead to `{host}`\n");
            return Ok(plain(StatusCode::FORBIDDEN, Body::from(reason)));
        }
        if let Some(refusal) = stranger(&parts.headers, parts.uri.path()) {
            return Ok(refusal);
        }
        let body = axum::body::to_bytes(Body::new(body), BODY_MAX).await.map_err(|_| Dropped)?;
        match parts.uri.path() {
            "/_sim/clock" => return Ok(serve_clock(shared, &body, self.connection).await),
            "/_sim/advance" => return Ok(serve_advance(shared, &body)),
            _ => {}
        }
        // The tenant answers with addresses of its own: it needs to know what
        // the client calls it.
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
        let host = if scheme == "https" { host.strip_suffix(":443").unwrap_or(host) } else { host };
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        match format!("{scheme}://{host}{path}").parse() {
            Ok(uri) => parts.uri = uri,
            Err(_) => return Ok(plain(StatusCode::BAD_REQUEST, Body::from("Bad Request - Invalid Hostname"))),
        }
        let request = http::Request::from_parts(parts, body);

        let now = shared.now();
        let (reply, latency, after, gzip) = {
            let mut tenants = shared.0.tenants.lock().expect("no holder of this lock panics");
            let reply = tenants.handle(&request, now);
            (reply, tenants.latency(), tenants.now(), tenants.first().settings().wire.gzip)
        };
        let latency = if shared.room(|room| room.speed() == Speed::Instant) { latency } else { SignedDuration::ZERO };
        // A state that was loaded may be ahead of the clock.
        if after + latency > now {
            shared.advance_to(after + latency);
        }
        shared.0.changed.notify_one();
        match reply {
            Reply::Lost => Err(Dropped),
            Reply::Response(response) if gzip && wants_gzip(request.headers()) => Ok(stream(compressed(response))),
            Reply::Response(response) => Ok(stream(response)),
        }
    }
}

/// What a page of somebody's in a browser of this machine gets. It reaches the
/// port under a name of its own that leads to loopback, which `Host` tells; or
/// it asks the control routes from a place that is not this server.
fn stranger(headers: &HeaderMap, path: &str) -> Option<http::Response<Body>> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let host = text(HOST).unwrap_or("127.0.0.1");
    if !is_served(host.parse::<Authority>().as_ref().map_or("", Authority::host)) {
        tracing::warn!(host, "refused a name that is not ours");
        let reason = "the simulated tenant answers to loopback and to Microsoft's hosts alone, not to this `Host`\n";
        return Some(plain(StatusCode::MISDIRECTED_REQUEST, Body::from(reason)));
    }
    let origin = text(ORIGIN)?;
    let is_own = origin.split_once("://").is_some_and(|(_, name)| name.eq_ignore_ascii_case(host));
    if is_own || !path.starts_with("/_sim/") {
        return None;
    }
    tracing::warn!(origin, "refused a page of somebody's");
    let reason = "`/_sim/` is not for pages of other origins\n";
    Some(plain(StatusCode::FORBIDDEN, Body::from(reason)))
}

/// A stream has no length, so it goes out in chunks, as Graph's do.
fn stream(response: crate::transport::Response) -> http::Response<Body> {
    response.map(|body| match body.is_empty() {
        true => Body::empty(),
        false => Body::from_stream(futures::stream::iter([Ok::<Bytes, std::convert::Infallible>(body)])),
    })
}

fn wants_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !parts.any(|q| q == "q=0")
    })
}

fn compressed(response: crate::transport::Response) -> crate::transport::Response {
    if response.body().len() < GZIP_FROM {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing to memory does not fail.
    match std::io::Write::write_all(&mut gzip, &body).and_then(|()| gzip.finish()) {
        Ok(smaller) => {
            parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            http::Response::from_parts(parts, Bytes::from(smaller))
        }
        Err(_) => http::Response::from_parts(parts, body),
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
    let question = serde_json::from_slice::<Question>(body).ok();
    let in_reach = |question: &Question| question.until.is_none_or(|until| until <= latest());
    let Some(question) = question.filter(in_reach) else {
        let hint = "the clock takes {\"client\": a name of your own, \"until\": a time or null}";
        return plain(StatusCode::BAD_REQUEST, Body::from(hint));
    };
    shared.room(|room| room.greet(&question.client, connection, Instant::now()));
    if let Some(until) = question.until {
        wait_for(shared, &question.client, until).await;
    }
    tell_time(shared)
}

/// `POST /_sim/advance {by}` or `{to}`: moves the clock, whoever waits.
fn serve_advance(shared: &Shared, body: &Bytes) -> http::Response<Body> {
    let now = shared.now();
    match Advance::read(body).and_then(|advance| advance.target(now)) {
        Some(target) => {
            shared.advance_to(target);
            // What is due happens now, so that a reader of the state sees it.
            shared.with_all(|_| {});
            shared.0.changed.notify_one();
            tell_time(shared)
        }
        None => {
            let hint = "take {\"by\": \"10m\"} or {\"to\": \"2026-01-05T09:00:00Z\"}";
            plain(StatusCode::BAD_REQUEST, Body::from(hint))
        }
    }
}

fn tell_time(shared: &Shared) -> http::Response<Body> {
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
