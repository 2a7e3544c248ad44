//! The real transport: reqwest over rustls with ring. The only place that
//! builds an HTTP client and installs the TLS provider.
//!
//! No retry, no redirect, no decision, except which hosts may be reached.

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use reqwest::{Client, ClientBuilder, Url, redirect};

use super::USER_AGENT;
use super::endpoints::{Hosts, is_github, is_link_local, is_loopback};
use crate::transport::{Request, Response, Transport, TransportError};

const CONNECT: Duration = Duration::from_secs(15);
/// A page of a thousand devices can take half a minute.
const ANSWER: Duration = Duration::from_secs(100);
/// A simulated tenant may take its time, a debugger in it included.
const ANSWER_LOCAL: Duration = Duration::from_secs(60 * 60);
/// Whoever says nothing for this long says nothing more. A simulated tenant
/// answers a question about its clock within 20 seconds.
const SILENCE: Duration = Duration::from_secs(2 * 60);
/// A page of a thousand devices has some 2 MB; no answer has more than this once
/// it is decompressed.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Sends requests to hosts that may receive them.
#[derive(Debug)]
pub struct Http {
    hosts: Hosts,
    /// For everything outside this machine: system proxy, system roots. Built
    /// on first use, since without a CA store it cannot be built at all.
    outside: OnceLock<Result<Client, String>>,
    /// For loopback and the metadata service: no proxy, no roots.
    inside: Client,
}

impl Http {
    /// `allowed_hosts` come from the command line (`--allow-endpoint`).
    ///
    /// # Panics
    /// Never in practice: the client for loopback needs nothing of the system.
    #[must_use]
    pub fn new(allowed_hosts: &[String]) -> Self {
        Self::hearing(allowed_hosts, SILENCE)
    }

    /// `silence`: how long an answer may go without a byte.
    fn hearing(allowed_hosts: &[String], silence: Duration) -> Self {
        // An error means that a provider is there already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let inside = builder(ANSWER_LOCAL, silence).no_proxy().tls_certs_only([]).build();
        Self {
            hosts: Hosts::with(allowed_hosts),
            outside: OnceLock::new(),
            inside: inside.expect("a client without roots and proxy can always be built"),
        }
    }

    fn client(&self, url: &Url) -> Result<&Client, TransportError> {
        let host = || url.host_str().unwrap_or_default().to_owned();
        if is_loopback(url) || is_link_local(url) {
            return Ok(&self.inside);
        }
        if !self.hosts.allow(url) && !is_github(url) {
            return Err(TransportError::Forbidden { host: host() });
        }
        let outside = self.outside.get_or_init(|| builder(ANSWER, SILENCE).build().map_err(|error| reason(&error)));
        outside.as_ref().map_err(|reason| TransportError::Untrusted { host: host(), reason: reason.clone() })
    }
}

fn builder(answer: Duration, silence: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(answer)
        .read_timeout(silence)
        .pool_idle_timeout(Duration::from_secs(50))
}

#[async_trait]
impl Transport for Http {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let unreadable = |error: &dyn std::fmt::Display| TransportError::Connect {
            host: request.uri().host().unwrap_or_default().to_owned(),
            reason: error.to_string(),
        };
        let url = Url::parse(&request.uri().to_string()).map_err(|error| unreadable(&error))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let client = self.client(&url)?;
        let request = reqwest::Request::try_from(request)
            .map_err(|error| TransportError::Connect { host: host.clone(), reason: reason(&error) })?;
        let mut response = client.execute(request).await.map_err(|error| failed(&error, &host))?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        // Chunk by chunk, decompressed: how long it is going to be is only a claim.
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error, &host))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(TransportError::TooLong { host, limit: ANSWER_BYTES_MAX });
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = http::Response::new(body.freeze());
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

fn failed(error: &reqwest::Error, host: &str) -> TransportError {
    let (host, reason) = (host.to_owned(), reason(error));
    if is_distrust(error) {
        return TransportError::Untrusted { host, reason };
    }
    // Only what fails while connecting surely had no effect.
    if error.is_connect() || error.is_builder() {
        TransportError::Connect { host, reason }
    } else {
        TransportError::Lost { host, reason }
    }
}

/// True if the handshake failed over the host's certificate.
fn is_distrust(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        // An I/O error shows what it holds, but does not name it as its source.
        let held = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = held.and_then(|held| held.downcast_ref()).or_else(|| inner.downcast_ref());
        if matches!(tls, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// The innermost cause says it best; the outer ones repeat the URL.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut cause = error.source();
    let mut text = None;
    while let Some(inner) = cause {
        text = Some(inner.to_string());
        cause = inner.source();
    }
    text.unwrap_or_else(|| "the request cannot be sent".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// What becomes of a request whose answer begins like this and then stays
    /// out, on a connection that stays open.
    async fn answered_by(start: &'static [u8]) -> Result<Response, TransportError> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let uri = format!("http://{}/", listener.local_addr().expect("an address"));
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let server = std::thread::spawn(move || {
            let mut stream: TcpStream = listener.accept().expect("a client").0;
            let _ = stream.read(&mut [0; 4096]).expect("a request");
            stream.write_all(start).expect("a client that reads");
            let _ = is_done.recv();
        });
        let request = http::Request::get(uri).body(bytes::Bytes::new()).expect("a request");
        let answer = Http::hearing(&[], Duration::from_millis(200)).send(request).await;
        drop(done);
        server.join().expect("the server ends");
        answer
    }

    #[tokio::test]
    async fn silence_ends_an_answer_wherever_it_begins() {
        let starts: [&[u8]; 3] = [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"];
        for start in starts {
            let error = answered_by(start).await.expect_err("nothing more comes");
            assert!(matches!(&error, TransportError::Lost { reason, .. } if reason == "timed out"), "{error:?}");
        }
        let whole = answered_by(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
        assert_eq!(whole.expect("an answer").body().as_ref(), b"{}");
    }
}
