//! The tenant on a loopback port: real sockets, the clock route, the file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apgit::door::clock::{Clock as _, Remote};
use apgit::door::sim::{Server, Shared, Speed};
use apgit::door::transport::{Request, Transport};
use tokio::sync::oneshot;

use super::*;

/// A transport of one line: what any HTTP client does.
pub(super) struct Http(reqwest::Client);

impl Http {
    pub(super) fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self(reqwest::Client::builder().no_proxy().build().unwrap())
    }
}

#[async_trait::async_trait]
impl Transport for Http {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let lost = |error: reqwest::Error| TransportError::Lost { host: String::new(), reason: error.to_string() };
        let response = self.0.execute(request.try_into().unwrap()).await.map_err(lost)?;
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        *answer.body_mut() = response.bytes().await.map_err(lost)?;
        Ok(answer)
    }
}

pub(super) struct Running {
    pub(super) url: String,
    pub(super) tenant: Shared,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(super) async fn start(settings: Settings, speed: Speed, file: Option<&Path>) -> Self {
        let tenant = match file {
            Some(file) => Tenant::open(file, settings, 1, sim::EPOCH).unwrap(),
            None => Tenant::new(settings, 1, sim::EPOCH),
        };
        let mut server = Server::bind("127.0.0.1:0".parse().unwrap(), tenant, speed).await.unwrap();
        if let Some(file) = file {
            server = server.saving_to(file);
        }
        Self::serve(server)
    }

    pub(super) fn serve(server: Server) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (url, tenant) = (server.url(), server.tenant());
        let task = tokio::spawn(async move {
            server.run(async { drop(stopped.await) }).await.unwrap();
        });
        Self { url, tenant, stop, task }
    }

    pub(super) async fn token(&self, http: &Http) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id=me&client_secret={}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
            sim::CLIENT_SECRET
        );
        let request =
            http::Request::post(format!("{}/contoso.com/oauth2/v2.0/token", self.url)).body(form.into()).unwrap();
        Got::of(http.send(request).await.unwrap()).json["access_token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap();
    }
}

pub(super) fn request(method: Method, url: &str, token: &str, body: &Value) -> Request {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    http::Request::builder()
        .method(method)
        .uri(url)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_stranger_registers_a_device_over_http_while_time_jumps() {
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    let http = Arc::new(Http::new());
    let clock = Remote::connect(http.clone(), &running.url).await.unwrap();
    let token = running.token(&http).await;
    let row = json!({"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")});
    let got =
        Got::of(http.send(request(Method::POST, &format!("{}{IMPORTS}", running.url), &token, &row)).await.unwrap());
    assert_eq!(got.status, 201);
    assert_eq!(got.header("transfer-encoding"), Some("chunked"));
    let real = std::time::Instant::now();
    clock.sleep_until(clock.now() + seconds(3000)).await;
    assert!(real.elapsed() < Duration::from_secs(5), "virtual time does not take real time");
    assert_eq!(clock.now(), sim::EPOCH + seconds(3000));
    let got = Got::of(
        http.send(request(Method::GET, &format!("{}{DEVICES}", running.url), &token, &Value::Null)).await.unwrap(),
    );
    assert_eq!(got.json["value"][0]["serialNumber"], "TEST-1");
    let context = got.json["@odata.context"].as_str().unwrap();
    assert!(context.starts_with(&running.url), "addresses are those the client used: {context}");
    assert_eq!(got.header("date"), Some("Mon, 05 Jan 2026 08:50:00 GMT"));
    running.stop().await;
}

#[tokio::test]
async fn next_links_lead_back_to_the_port() {
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    running.tenant.with(|tenant| tenant.add_devices(1001));
    let http = Http::new();
    let token = running.token(&http).await;
    let first = Got::of(
        http.send(request(Method::GET, &format!("{}{DEVICES}", running.url), &token, &Value::Null)).await.unwrap(),
    );
    let next = first.json["@odata.nextLink"].as_str().unwrap();
    assert!(next.starts_with(&running.url));
    let second = Got::of(http.send(request(Method::GET, next, &token, &Value::Null)).await.unwrap());
    assert_eq!(second.json["value"].as_array().unwrap().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_lost_answer_drops_the_connection_after_the_effect() {
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    let http = Http::new();
    let token = running.token(&http).await;
    running.tenant.with(|tenant| tenant.inject(sim::Mishap::LostAnswer));
    let row = json!({"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")});
    let lost = http.send(request(Method::POST, &format!("{}{IMPORTS}", running.url), &token, &row)).await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(running.tenant.with(|tenant| tenant.import_records().len()), 1);
    let got =
        http.send(request(Method::GET, &format!("{}{IMPORTS}", running.url), &token, &Value::Null)).await.unwrap();
    assert_eq!(got.status(), 200, "the next connection works");
    running.stop().await;
}

#[tokio::test]
async fn time_waits_until_every_client_of_the_clock_waits() {
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    let connect = async || Remote::connect(Arc::new(Http::new()), &running.url).await.unwrap();
    let (one, other) = (connect().await, connect().await);
    let long = tokio::spawn(async move {
        one.sleep_until(sim::EPOCH + seconds(100)).await;
        one.now()
    });
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(running.tenant.now(), sim::EPOCH, "the other client is busy");
    other.sleep_until(sim::EPOCH + seconds(40)).await;
    assert_eq!(other.now(), sim::EPOCH + seconds(40));
    assert!(!long.is_finished(), "it is the other client's turn");
    drop(other);
    assert_eq!(long.await.unwrap(), sim::EPOCH + seconds(100), "whoever leaves is not waited for");
    running.stop().await;
}

#[tokio::test]
async fn time_can_run_faster_than_life() {
    let running = Running::start(Settings::calm(), Speed::Times(10_000.0), None).await;
    let clock = Remote::connect(Arc::new(Http::new()), &running.url).await.unwrap();
    let until = clock.now() + seconds(600);
    let real = std::time::Instant::now();
    clock.sleep_until(until).await;
    assert!(clock.now() >= until);
    assert!(real.elapsed() < Duration::from_secs(5));
    running.stop().await;
}

#[tokio::test]
async fn a_stopped_tenant_goes_on_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tenant.json");
    let running = Running::start(Settings::calm(), Speed::Instant, Some(&file)).await;
    let http = Http::new();
    let token = running.token(&http).await;
    let row = json!({"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")});
    http.send(request(Method::POST, &format!("{}{IMPORTS}", running.url), &token, &row)).await.unwrap();
    running.tenant.advance_to(sim::EPOCH + seconds(60));
    running.stop().await;

    let running = Running::start(Settings::calm(), Speed::Instant, Some(&file)).await;
    assert_eq!(running.tenant.now(), sim::EPOCH + seconds(60));
    let got =
        http.send(request(Method::GET, &format!("{}{DEVICES}", running.url), &token, &Value::Null)).await.unwrap();
    assert_eq!(Got::of(got).json["value"][0]["serialNumber"], "TEST-1", "the token still holds, too");
    running.stop().await;
}

#[tokio::test]
async fn the_state_is_saved_while_the_tenant_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tenant.json");
    let running = Running::start(Settings::calm(), Speed::Instant, Some(&file)).await;
    let http = Http::new();
    let token = running.token(&http).await;
    for _ in 0..200 {
        if Tenant::open(&file, Settings::calm(), 1, sim::EPOCH).is_ok_and(|t| t.issued_tokens().contains(&token)) {
            running.stop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("two seconds after a change nothing was saved");
}

#[tokio::test]
async fn every_answer_over_http_tells_the_service_s_time_and_no_other() {
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    let http = Http::new();
    running.tenant.advance_to(sim::EPOCH + seconds(3600));
    let token = running.token(&http).await;
    let ask = async |method: Method, path: &str, body: Value| {
        let got = Got::of(http.send(request(method, &format!("{}{path}", running.url), &token, &body)).await.unwrap());
        let all: Vec<_> = got.response.headers().get_all("date").iter().collect();
        assert_eq!(all, ["Mon, 05 Jan 2026 09:00:00 GMT"], "{path}: {got:?}");
        got.status
    };
    for (path, status) in [(DEVICES, 200), (SETTINGS, 200), ("/v1.0/nonsense", 400), ("/_sim/log", 200)] {
        assert_eq!(ask(Method::GET, path, Value::Null).await, status);
    }
    running.tenant.with(|tenant| tenant.inject(sim::Mishap::Html(502)));
    assert_eq!(ask(Method::GET, DEVICES, Value::Null).await, 502);
    assert_eq!(ask(Method::POST, "/_sim/clock", json!({"client": "me"})).await, 200);
    assert_eq!(ask(Method::POST, "/_sim/advance", json!({"by": "nonsense"})).await, 400);
    running.stop().await;
}

#[tokio::test]
async fn the_counters_can_be_read_over_http() {
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    let http = Http::new();
    running.token(&http).await;
    let get = async |path: &str| {
        Got::of(
            http.send(request(Method::GET, &format!("{}/_sim/{path}", running.url), "", &Value::Null)).await.unwrap(),
        )
    };
    assert_eq!(get("counters").await.json["token_requests"], 1);
    assert_eq!(get("registrations").await.json, json!([]));
    let set = request(Method::POST, &format!("{}/_sim/settings", running.url), "", &json!({"import.delay": "3s"}));
    assert_eq!(http.send(set).await.unwrap().status(), 200);
    assert_eq!(get("settings").await.json["import"]["delay"], "3s");
    running.stop().await;
}
