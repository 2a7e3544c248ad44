//! The real transport against sockets on loopback. Nothing leaves the machine.

use apgit::door::graph::Http;
use apgit::door::transport::{Request, Transport, TransportError};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server for one connection, that reads a request and writes `answer`.
async fn serve(answer: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = socket.read(&mut request).await.unwrap();
        socket.write_all(&answer).await.unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    (base, task)
}

fn get(url: &str) -> Request {
    http::Request::get(url).header("authorization", "Bearer t").body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn a_loopback_tenant_is_reached_without_tls_and_roots() {
    let (base, server) = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nrequest-id: r\r\n\r\n{}".to_vec()).await;
    let response = Http::new(&[]).send(get(&format!("{base}/v1.0/x"))).await.unwrap();
    assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, b"{}".as_ref()));
    assert_eq!(response.headers()["request-id"], "r");
    let asked = server.await.unwrap();
    assert!(asked.starts_with("GET /v1.0/x HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("user-agent: apgit/") && asked.contains("accept-encoding: gzip"), "{asked}");
}

#[tokio::test]
async fn a_compressed_answer_arrives_as_text() {
    const COMPRESSED: &[u8] = &[
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 202, 203, 47, 87, 178, 82, 50, 50, 48, 50, 83, 170, 5, 0, 116, 125,
        109, 74, 14, 0, 0, 0,
    ];
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    answer.extend(format!("{:x}\r\n", COMPRESSED.len()).bytes());
    answer.extend(COMPRESSED);
    answer.extend(b"\r\n0\r\n\r\n");
    let (base, _server) = serve(answer).await;
    let response = Http::new(&[]).send(get(&base)).await.unwrap();
    assert_eq!(response.body().as_ref(), br#"{"now":"2026"}"#);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (base, _server) =
        serve(b"HTTP/1.1 302 Found\r\nlocation: https://evil.example/\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    assert_eq!(Http::new(&[]).send(get(&base)).await.unwrap().status().as_u16(), 302);
}

#[tokio::test]
async fn a_connection_that_breaks_after_sending_is_lost_and_a_refused_one_is_not() {
    let (base, _server) = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{".to_vec()).await;
    assert!(matches!(Http::new(&[]).send(get(&base)).await, Err(TransportError::Lost { .. })));
    let (base, _server) = serve(Vec::new()).await;
    assert!(matches!(Http::new(&[]).send(get(&base)).await, Err(TransportError::Lost { .. })));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Http::new(&[]).send(get(&closed)).await.unwrap_err();
    assert!(matches!(&error, TransportError::Connect { host, .. } if host == "127.0.0.1"), "{error}");
}

#[tokio::test]
async fn hosts_that_nobody_named_get_nothing() {
    for url in [
        "https://graph.contoso.example/v1.0/x",
        "http://graph.microsoft.com/v1.0/x",
        "http://login.microsoftonline.com/",
        "https://169.254.169.254/",
        "https://actions.githubusercontent.com.evil.example/",
    ] {
        let error = Http::new(&[]).send(get(url)).await.unwrap_err();
        assert!(matches!(error, TransportError::Forbidden { .. }), "{url}: {error}");
    }
}
