//! Simulated tenants on a loopback port: HTTP around [`Tenants::handle`],
//! and the state file.
//!
//! No rule of the service lives here. A reply that is lost really drops the
//! connection, answers come in chunks, and nothing but loopback is listened
//! on: the tenant hands out tokens to whoever knows its public secret.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, DATE, EXPECT, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::answer::{Answer, Reply};
use super::body::{BODY_MAX, too_large, unpacked};
use super::call::{Call, control_route};
use super::certificates::{Certificates, is_served};
use super::clock::{ClockRoute, serve_advance, serve_clock};
use super::errors::{Problem, http_date};
use super::standstill::{Standstill, asked_by};
use super::waiting_room::{Speed, WaitingRoom};
use crate::sim::stage::{ClockQuestion, read_advance};
use crate::sim::state::{StateError, StateFile, Tenant, Tenants};
use crate::transport::{Request, Response};

/// Changes within this long are saved together.
const SAVES_EVERY: Duration = Duration::from_millis(100);
/// Time that runs while nothing happens is saved this often.
const SAVES_TIME_EVERY: Duration = Duration::from_secs(5);
/// After a failure, a whole state is written: not too often where it is large.
const SAVES_AGAIN_AFTER: Duration = Duration::from_secs(1);
const SAVES_AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);
/// Where nothing can be accepted, a file or a connection must close first.
const ACCEPTS_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// A body, or the handshake before it, that takes longer never ends. The
/// largest passes loopback in a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whoever was refused and sends nothing for this long has heard it.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// Says why the tenant cannot be served.
#[derive(Debug, thiserror::Error)]
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
    file: Option<StateFile>,
    certificates: Option<Certificates>,
    is_proxy: bool,
    patience: Duration,
}

/// The tenants of a running server, for whoever wants to look at it or change
/// it meanwhile. Clones share it.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

struct Inner {
    tenants: Mutex<Tenants>,
    room: Mutex<WaitingRoom>,
    standstill: Mutex<Standstill>,
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
        let mut tenants = self.0.tenants.lock().expect("no holder of this lock panics");
        // Asked under the lock: a state that is loaded may set the time back.
        tenants.advance(self.now());
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

    /// Sets virtual time, back as well: the tenants have another one now.
    fn turn_to(&self, at: Timestamp) {
        self.room(|room| room.turn_to(at, Instant::now()));
        self.0.moved.notify_waiters();
    }

    /// Somebody has changed the tenants without a request to them.
    pub(super) fn note_change(&self) {
        self.0.changed.notify_one();
    }

    /// Is told when time moves on by a jump or by hand.
    pub(super) fn moved(&self) -> &Notify {
        &self.0.moved
    }

    pub(super) fn room<T>(&self, look: impl FnOnce(&mut WaitingRoom) -> T) -> T {
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
            standstill: Mutex::default(),
            moved: Notify::new(),
            changed: Notify::new(),
        };
        let shared = Shared(Arc::new(inner));
        Ok(Self { listener, address, shared, file: None, certificates: None, is_proxy: false, patience: PATIENCE })
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

    /// Saves the tenant to `path` soon after every change and at the end. Where
    /// that fails meanwhile, it says so, serves on and tries again.
    #[must_use]
    pub fn saving_to(self, path: impl Into<PathBuf>) -> Self {
        self.keeping(StateFile::new(path))
    }

    /// The same, in a file that may be locked, for as long as it serves.
    #[must_use]
    pub fn keeping(mut self, file: StateFile) -> Self {
        self.file = Some(file.synced());
        self
    }

    /// Drops a connection whose body takes longer than this; 30 s unless told
    /// otherwise.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
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
        let Self { listener, shared, mut file, certificates, is_proxy, patience, .. } = self;
        let door = Door { shared: shared.clone(), certificates, is_proxy, patience, connection: 0 };
        let mut connections = JoinSet::new();
        let mut opened = 0;
        let mut end = std::pin::pin!(end);
        {
            let mut saving = std::pin::pin!(save_after_changes(&shared, file.as_mut()));
            loop {
                tokio::select! {
                    () = &mut end => break,
                    never = &mut saving => match never {},
                    stream = accept(&listener) => {
                        opened += 1;
                        connections.spawn(Door { connection: opened, ..door.clone() }.open(stream));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        }
        connections.shutdown().await;
        match &mut file {
            Some(file) => Ok(shared.with_all(|tenants| file.keep_whole(tenants))?),
            None => Ok(()),
        }
    }
}

/// The next connection.
async fn accept(listener: &TcpListener) -> TcpStream {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    let mut told = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // A connection that fails while it is accepted is its client's trouble.
            Err(error) if [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind()) => {}
            // Usually this process is out of descriptors. The connection stays
            // where it is, so that to ask again at once would never end.
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "connections have to wait until others are closed");
                }
                tokio::time::sleep(ACCEPTS_AGAIN_AFTER).await;
            }
        }
    }
}

/// Saves as long as the server runs.
async fn save_after_changes(shared: &Shared, file: Option<&mut StateFile>) -> Infallible {
    let Some(file) = file else { return std::future::pending().await };
    let mut failed: Option<String> = None;
    let mut again_after = SAVES_AGAIN_AFTER;
    loop {
        if failed.is_none() && !shared.with_all(Tenants::take_changed) {
            wait_for_a_change(shared).await;
            continue;
        }
        // Written here and not on a thread of its own: a write that
        // outlives this task could overwrite the last state.
        match shared.with_all(|tenants| file.keep(tenants)) {
            Ok(()) => {
                if failed.take().is_some() {
                    tracing::warn!("the simulated tenant is saved again");
                }
                again_after = SAVES_AGAIN_AFTER;
                tokio::time::sleep(SAVES_EVERY).await;
            }
            Err(error) => {
                let error = error.to_string();
                if failed.as_ref() != Some(&error) {
                    tracing::error!(error, "the simulated tenant is not saved: it serves on, and tries again");
                }
                failed = Some(error);
                tokio::time::sleep(again_after).await;
                again_after = (again_after * 2).min(SAVES_AGAIN_AFTER_MAX);
            }
        }
    }
}

/// Until somebody may have changed something. Where virtual time runs by
/// itself, that alone is a change now and then; in real time, nobody who starts
/// again would miss it.
async fn wait_for_a_change(shared: &Shared) {
    let runs = matches!(shared.room(|room| room.speed()), Speed::Times(_));
    let changed = shared.0.changed.notified();
    if !runs {
        return changed.await;
    }
    if tokio::time::timeout(SAVES_TIME_EVERY, changed).await.is_err() {
        shared.with_all(Tenants::note_moved_time);
    }
}

/// How a connection comes in.
#[derive(Clone)]
struct Door {
    shared: Shared,
    certificates: Option<Certificates>,
    is_proxy: bool,
    patience: Duration,
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
        if self.certificates.is_some() && self.begins_with_tls(&stream).await {
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

    async fn begins_with_tls(&self, stream: &TcpStream) -> bool {
        let mut first = [0];
        let read = tokio::time::timeout(self.patience, stream.peek(&mut first)).await;
        read.is_ok_and(|read| read.is_ok_and(|length| length == 1)) && first[0] == TLS_HANDSHAKE
    }

    async fn serve_secure(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Some(certificates) = &self.certificates else { return };
        match tokio::time::timeout(self.patience, certificates.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => drop(self.serve_http(TokioIo::new(stream), "https").await),
            // Usually a client that does not trust the authority.
            Ok(Err(error)) => tracing::warn!(%error, "a client broke off the TLS handshake"),
            Err(_) => tracing::debug!("a TLS handshake did not end"),
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
        // A client may close its half of the connection once it has asked.
        http.timer(TokioTimer::new()).half_close(true);
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
        // The tenant answers with addresses of its own: it needs to know what
        // the client calls it.
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
        let host = if scheme == "https" { host.strip_suffix(":443").unwrap_or(host) } else { host };
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        match format!("{scheme}://{host}{path}").parse() {
            Ok(uri) => parts.uri = uri,
            Err(_) => return Ok(plain(StatusCode::BAD_REQUEST, Body::from("Bad Request - Invalid Hostname"))),
        }
        let received = tokio::time::timeout(self.patience, receive(&parts.headers, body, self.patience)).await;
        let body = received.map_err(|_| Dropped)??;
        let is_too_large = body.is_none();
        let request = http::Request::from_parts(parts, body.unwrap_or_default());
        if is_too_large {
            let mut refusal = refused(&request, shared.now(), &too_large());
            refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return Ok(stream(refusal));
        }
        if let Some(route) = ClockRoute::of(&request) {
            if let Some(refusal) = shared.with_all(|tenants| tenants.refuses(&request)) {
                return Ok(stream(refusal));
            }
            return Ok(match route {
                ClockRoute::Clock => self.serve_clock(&request).await,
                ClockRoute::Advance => self.serve_advance(&request),
            });
        }
        let (reply, latency, gzip) = self.handle(&request);
        shared.note_change();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        match reply {
            Reply::Lost => Err(Dropped),
            Reply::Response(response) if gzip && wants_gzip(request.headers()) => Ok(stream(compressed(response))),
            Reply::Response(response) => Ok(stream(response)),
        }
    }

    /// What the tenants answer, after which real time, and whether it may be
    /// compressed.
    fn handle(&self, request: &Request) -> (Reply, Duration, bool) {
        let shared = &self.shared;
        let mut tenants = shared.0.tenants.lock().expect("no holder of this lock panics");
        let now = shared.now();
        tenants.tell_time_of_clients(Timestamp::now());
        let reply = tenants.handle(request, now);
        let (after, latency) = (tenants.now(), tenants.latency_of(request));
        if after != now {
            // A state was loaded, and its time with it.
            shared.turn_to(after);
        }
        let real = Instant::now();
        let latency = match shared.room(|room| room.real_wait(after + latency, real)) {
            Some(wait) if !latency.is_zero() => wait,
            Some(_) => Duration::ZERO,
            None => {
                if !latency.is_zero() {
                    shared.advance_to(after + latency);
                }
                Duration::ZERO
            }
        };
        let is_awaited = tenants.each().any(|tenant| tenant.next_event_at().is_some());
        self.explain_standstill(request, &reply, is_awaited, after);
        (reply, latency, tenants.first().settings().wire.gzip)
    }

    /// A client that polls while time stands still polls for ever.
    fn explain_standstill(&self, request: &Request, reply: &Reply, is_awaited: bool, now: Timestamp) {
        let is_alone = self.shared.room(|room| room.speed() == Speed::Instant && room.is_empty());
        if !is_alone || control_route(request.uri().path()).is_some() {
            return;
        }
        let mut standstill = self.shared.0.standstill.lock().expect("no holder of this lock panics");
        for (address, asked) in asked_by(request, reply, is_awaited) {
            if !standstill.note(now, asked, &address) {
                continue;
            }
            tracing::warn!(
                address,
                %now,
                "asked again and again while time stands still, as `--speed instant` has it: move it by \
                 `POST /_sim/advance` or wait in `POST /_sim/clock`, or start with a number as `--speed`"
            );
        }
    }

    async fn serve_clock(&self, request: &Request) -> http::Response<Body> {
        let question = unpacked(request.headers(), request.body())
            .and_then(|body| ClockQuestion::read(&body).map_err(|reason| Problem::plain(400, "BadRequest", reason)));
        stream(match question {
            Ok(question) => serve_clock(&self.shared, &question, self.connection).await,
            Err(problem) => refused(request, self.shared.now(), &problem),
        })
    }

    fn serve_advance(&self, request: &Request) -> http::Response<Body> {
        let now = self.shared.now();
        let target = unpacked(request.headers(), request.body())
            .and_then(|body| read_advance(&body, now).map_err(|reason| Problem::plain(400, "BadRequest", reason)));
        stream(match target {
            Ok(target) => serve_advance(&self.shared, target),
            Err(problem) => refused(request, now, &problem),
        })
    }
}

/// The whole body; none as soon as it is known to be too large.
async fn receive(headers: &HeaderMap, body: Incoming, patience: Duration) -> Result<Option<Bytes>, Dropped> {
    let asks_first = headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let mut is_too_large = body.size_hint().lower() > BODY_MAX as u64;
    if is_too_large && asks_first {
        // Whoever reads from a body asks its client to go on.
        return Ok(None);
    }
    let mut chunks = Body::new(body).into_data_stream();
    let mut whole = Vec::new();
    while !is_too_large {
        let Some(chunk) = chunks.next().await else { return Ok(Some(Bytes::from(whole))) };
        let chunk = chunk.map_err(|_| Dropped)?;
        is_too_large = whole.len() + chunk.len() > BODY_MAX;
        if !is_too_large {
            whole.extend_from_slice(&chunk);
        }
    }
    tokio::spawn(tokio::time::timeout(patience, read_away(chunks)));
    Ok(None)
}

/// Many clients hear nothing before they have sent everything, and a
/// connection that closes on what was sent loses its answer: so the rest is
/// read beside the answer, until the client is silent.
async fn read_away(mut rest: BodyDataStream) {
    while let Ok(Some(Ok(_))) = tokio::time::timeout(SILENCE_MAX, rest.next()).await {}
}

/// A refusal of what the tenants never see.
fn refused(request: &Request, now: Timestamp, problem: &Problem) -> Response {
    let call = Call::read(request, uuid::Uuid::nil(), now);
    Answer::refused(&call, problem).into_response(&call)
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
    if is_own || control_route(path).is_none() {
        return None;
    }
    tracing::warn!(origin, "refused a page of somebody's");
    let reason = "`/_sim/` is not for pages of other origins\n";
    Some(plain(StatusCode::FORBIDDEN, Body::from(reason)))
}

/// A stream has no length, so it goes out in chunks, as Graph's do.
fn stream(response: Response) -> http::Response<Body> {
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

fn compressed(response: Response) -> Response {
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
