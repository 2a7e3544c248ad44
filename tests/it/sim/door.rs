//! What the port takes from clients that are slow, large, rude or many.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apgit::door::clock::Remote;
use apgit::door::sim::{Server, Speed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::over_http::{Http, Running, request};
use super::*;

async fn connected(running: &Running) -> TcpStream {
    TcpStream::connect(running.url.trim_start_matches("http://")).await.unwrap()
}

/// All that the server says until it closes the connection.
async fn heard(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut all)).await.expect("it closes");
    String::from_utf8_lossy(&all).into_owned()
}

fn head(path: &str, more: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{more}\r\n")
}

#[tokio::test]
async fn whoever_asks_before_sending_too_much_is_refused_before_it_sends() {
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    let mut stream = connected(&running).await;
    let length = 65 * 1024 * 1024;
    let ask = head(IMPORT, &format!("expect: 100-continue\r\ncontent-length: {length}\r\n"));
    stream.write_all(ask.as_bytes()).await.unwrap();
    let answer = heard(stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("RequestEntityTooLarge"), "{answer}");

    let mut stream = connected(&running).await;
    let ask = head("/_sim/devices", "expect: 100-continue\r\ncontent-length: 12\r\nconnection: close\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n", "what is not too large is sent");
    stream.write_all(b"{\"count\": 2}").await.unwrap();
    assert!(heard(stream).await.starts_with("HTTP/1.1 200 "));
    running.stop().await;
}

#[tokio::test]
async fn whoever_sends_too_much_hears_that_it_is_too_much() {
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    let chunk = vec![b' '; 1024 * 1024];
    for is_chunked in [false, true] {
        let mut stream = connected(&running).await;
        let size = if is_chunked {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {}", 65 * chunk.len())
        };
        stream.write_all(head(IMPORT, &format!("{size}\r\nconnection: close\r\n")).as_bytes()).await.unwrap();
        for _ in 0..65 {
            if is_chunked {
                stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.unwrap();
            }
            stream.write_all(&chunk).await.unwrap();
            if is_chunked {
                stream.write_all(b"\r\n").await.unwrap();
            }
        }
        if is_chunked {
            stream.write_all(b"0\r\n\r\n").await.unwrap();
        }
        let answer = heard(stream).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    running.stop().await;
}

#[tokio::test]
async fn too_much_is_refused_as_soon_as_it_is_known_and_the_connection_closes() {
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    let refused = async |stream: &mut TcpStream, when: &str| {
        let mut answer = [0; 512];
        let heard = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer)).await;
        let length = heard.unwrap_or_else(|_| panic!("an answer {when}")).unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close\r\n"), "{when}: {answer}");
    };
    for length in ["67108865", "99999999999999"] {
        let mut stream = connected(&running).await;
        stream.write_all(head(IMPORT, &format!("content-length: {length}\r\n")).as_bytes()).await.unwrap();
        refused(&mut stream, "before the first byte of the body").await;
        assert!(!heard(stream).await.contains("HTTP/1.1"), "and no other answer");
    }
    // Where nothing says how much there will be, it is counted.
    let mut stream = connected(&running).await;
    stream.write_all(head(IMPORT, "transfer-encoding: chunked\r\n").as_bytes()).await.unwrap();
    let chunk = vec![b' '; 1024 * 1024];
    for _ in 0..65 {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.unwrap();
        stream.write_all(&chunk).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    refused(&mut stream, "while the body goes on").await;
    heard(stream).await;
    // The largest body that is not too large is read.
    let mut stream = connected(&running).await;
    let ask = head("/_sim/devices", "content-length: 67108864\r\nconnection: close\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    for _ in 0..64 {
        stream.write_all(&chunk).await.unwrap();
    }
    assert!(heard(stream).await.starts_with("HTTP/1.1 200 "));
    running.stop().await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_dropped() {
    let tenant = Tenant::new(Settings::calm(), 1, sim::EPOCH);
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), tenant, Speed::Instant).await.unwrap();
    let running = Running::serve(server.with_patience(Duration::from_millis(300)));
    let mut stream = connected(&running).await;
    stream.write_all(head(IMPORT, "content-length: 100\r\n").as_bytes()).await.unwrap();
    stream.write_all(b"{").await.unwrap();
    let began = Instant::now();
    assert_eq!(heard(stream).await, "", "there is nothing to answer");
    assert!(began.elapsed() >= Duration::from_millis(250), "it had its time");
    // One that keeps sending never ends either.
    let mut stream = connected(&running).await;
    stream.write_all(head(IMPORT, "transfer-encoding: chunked\r\n").as_bytes()).await.unwrap();
    let began = Instant::now();
    while stream.write_all(b"1\r\n \r\n").await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(10), "it is dropped meanwhile");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_closes_its_half_gets_its_answer() {
    let mut settings = Settings::calm();
    settings.set("wire.latency=300ms").unwrap();
    let running = Running::start(settings, Speed::Realtime, None).await;
    let mut stream = connected(&running).await;
    let document = "/contoso.com/v2.0/.well-known/openid-configuration";
    stream.write_all(format!("GET {document} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = heard(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("token_endpoint"), "{answer}");
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_in_the_clock_holds_nobody_up() {
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    let clock = Remote::connect(Arc::new(Http::new()), &running.url).await.unwrap();
    let mut stream = connected(&running).await;
    let body = json!({"client": "gone", "until": sim::EPOCH + seconds(3600)}).to_string();
    stream.write_all(head("/_sim/clock", &format!("content-length: {}\r\n", body.len())).as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(stream);
    let began = Instant::now();
    clock.sleep_until(sim::EPOCH + seconds(7200)).await;
    assert_eq!(clock.now(), sim::EPOCH + seconds(7200));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn a_request_takes_its_time_where_time_runs() {
    let mut settings = Settings::calm();
    settings.set("wire.latency=600ms").unwrap();
    for (speed, least_ms) in [(Speed::Realtime, 600), (Speed::Times(2.0), 300)] {
        let running = Running::start(settings.clone(), speed, None).await;
        let http = Http::new();
        let began = Instant::now();
        running.token(&http).await;
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(least_ms), "{speed:?}: {took:?}");
        running.stop().await;
    }
    let running = Running::start(settings, Speed::Instant, None).await;
    let (http, before) = (Http::new(), running.tenant.now());
    running.token(&http).await;
    assert_eq!(running.tenant.now(), before + SignedDuration::from_millis(600));
    running.stop().await;
}

#[tokio::test]
async fn a_control_request_takes_no_time() {
    let mut settings = Settings::calm();
    settings.set("wire.latency=600s").unwrap();
    let controls = [("GET", "tenants"), ("GET", "log"), ("POST", "devices"), ("POST", "expire"), ("GET", "nonsense")];
    let running = Running::start(settings.clone(), Speed::Instant, None).await;
    let (http, before) = (Http::new(), running.tenant.now());
    let client = Client::of(settings.clone()).await;
    let logged_in = client.clock.now();
    for (method, route) in controls {
        let method: Method = method.parse().unwrap();
        let body = if method == Method::POST { json!({}) } else { Value::Null };
        let url = format!("{}/_sim/{route}", running.url);
        http.send(request(method.clone(), &url, "", &body)).await.unwrap();
        client.send(method, &format!("http://127.0.0.1:8800/_sim/{route}"), &body.to_string()).await;
    }
    assert_eq!(running.tenant.now(), before);
    assert_eq!(client.clock.now(), logged_in, "in process it is the same");
    running.stop().await;

    let running = Running::start(settings, Speed::Realtime, None).await;
    let url = format!("{}/_sim/tenants", running.url);
    let asked = http.send(request(Method::GET, &url, "", &Value::Null));
    let got = tokio::time::timeout(Duration::from_secs(10), asked).await.expect("nobody waits for it").unwrap();
    assert_eq!(got.status(), 200);
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_known_is_refused_by_its_name_and_in_json() {
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    let http = Http::new();
    let refuse = async |route: &str, body: Value| {
        let url = format!("{}/_sim/{route}", running.url);
        let got = Got::of(http.send(request(Method::POST, &url, "", &body)).await.unwrap());
        assert_eq!(
            (got.status, got.header("content-type")),
            (400, Some("application/json")),
            "{route} {body}: {got:?}"
        );
        got.json["error"]["message"].as_str().expect("a message").to_owned()
    };
    for (route, body, reason) in [
        ("clock", json!({"client": "me", "untill": null}), "`clock` has no `untill`; it takes `client`, `until`"),
        ("clock", json!({"until": null}), "`clock` needs `client`"),
        ("clock", json!({"client": 7}), "`client` of `clock` is not text"),
        ("clock", json!({"client": "me", "until": "soon"}), "`until` of `clock` is not a time such as"),
        ("clock", json!([]), "`clock` takes a mapping of names to values"),
        ("advance", json!({"for": "10m"}), "`advance` has no `for`; it takes `by`, `to`"),
        ("advance", json!({"by": "10m", "to": "2026-01-05T09:00:00Z"}), "`advance` takes `by` or `to`, not both"),
        ("advance", json!({}), "`advance` needs `by`, such as `10m`, or `to`, a time"),
        ("advance", json!({"by": "soon"}), "`by` of `advance` is not a span such as `10m`: `soon`"),
        ("advance", json!({"by": "-10m"}), "`by` of `advance` is not a span such as `10m`"),
        ("advance", json!({"to": "never"}), "`to` of `advance` is not a time such as"),
        ("devices", json!({"cuont": 3}), "`devices` has no `cuont`; it takes `count`"),
        ("devices", json!({"count": "3"}), "`count` of `devices` is not a number"),
        ("devices", json!({"count": 10_001}), "`count` of `devices` is at most 10000 at once"),
        (
            "inject",
            json!({"mishap": "throttled", "time": 3}),
            "`inject` has no `time`; it takes `mishap`, `method`, `route`",
        ),
        ("inject", json!({"times": 3}), "`inject` needs `mishap`"),
        (
            "inject",
            json!({"mishap": "throtled"}),
            "`mishap` of `inject` is none that there is; take one of `serverError`",
        ),
        ("inject", json!({"mishap": {"html": "x"}}), "`mishap` of `inject` is none that there is; take one of"),
        ("inject", json!({"mishap": "throttled", "method": "GTE"}), "`method` of `inject` is one of `GET`"),
        (
            "inject",
            json!({"mishap": "throttled", "route": "deviceManagement/windowsAutopilot"}),
            "`route` of `inject` is none that there is",
        ),
        ("inject", json!({"mishap": "throttled", "retryAfter": "7"}), "`retryAfter` of `inject` is not a number"),
        ("inject", json!({"mishap": "throttled", "retryAfter": -7}), "`retryAfter` of `inject` is not a number"),
        ("inject", json!({"mishap": "throttled", "times": 0}), "`times` of `inject` is from 1 to 10000, not 0"),
        (
            "inject",
            json!({"mishap": "throttled", "times": 10_001}),
            "`times` of `inject` is from 1 to 10000, not 10001",
        ),
        ("inject", json!({"mishap": {"html": 200}}), "`html` of `mishap` is a status from 400 to 599, not 200"),
    ] {
        let said = refuse(route, body.clone()).await;
        assert!(said.starts_with(reason), "{route} {body}: {said}");
    }
    // In process it is the same.
    let client = Client::calm().await;
    let got = client.post("http://127.0.0.1:8800/_sim/advance", json!({"for": "10m"})).await;
    assert_eq!(got.json["error"]["message"], "`advance` has no `for`; it takes `by`, `to`");
    running.stop().await;
}

#[tokio::test]
async fn a_mishap_is_for_a_route_however_it_is_written() {
    let client = Client::calm().await;
    for route in [
        "deviceManagement/windowsAutopilotDeviceIdentities",
        "devicemanagement/windowsautopilotdeviceidentities",
        "/v1.0/deviceManagement/windowsAutopilotDeviceIdentities",
    ] {
        let inject = json!({"mishap": "unavailable", "route": route, "method": "get"});
        assert_eq!(client.post("http://127.0.0.1:8800/_sim/inject", inject).await.status, 200, "{route}");
        assert_eq!((client.get(DEVICES).await.status, client.get(DEVICES).await.status), (503, 200), "{route}");
    }
    let counted = client.sim.with(|tenant| tenant.counters().calls.keys().cloned().collect::<Vec<_>>());
    for call in counted {
        let route = call.split(' ').nth(1).unwrap();
        let inject = json!({"mishap": "unavailable", "route": route});
        let got = client.post("http://127.0.0.1:8800/_sim/inject", inject).await;
        assert_eq!(got.status, 200, "what the counters show can be written: {route}");
    }
}
