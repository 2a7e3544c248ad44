//! The real transport: reqwest over rustls with ring. The only place that
//! builds an HTTP client and installs the TLS provider.
//!
//! No retry, no redirect, no decision, except which hosts may be reached.

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use hyper_util::client::proxy::matcher::Matcher;
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
    /// Which proxy the client for outside takes: it does not tell.
    proxies: Matcher,
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
            proxies: Matcher::from_system(),
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

    fn failed(&self, error: &reqwest::Error, url: &Url) -> TransportError {
        let (host, reason) = (url.host_str().unwrap_or_default().to_owned(), reason(error));
        if is_distrust(error) {
            return TransportError::Untrusted { host, reason };
        }
        // Only what fails while connecting surely had no effect.
        if !error.is_connect() && !error.is_builder() {
            return TransportError::Lost { host, reason };
        }
        match self.proxy(url) {
            Some(proxy) => TransportError::Proxy { host, proxy, is_reached: !is_unreached(error), reason },
            None => TransportError::Connect { host, reason },
        }
    }

    /// The name and the port of the proxy on the way to a URL, if there is one.
    fn proxy(&self, url: &Url) -> Option<String> {
        if is_loopback(url) || is_link_local(url) {
            return None;
        }
        let proxy = self.proxies.intercept(&url.as_str().parse().ok()?)?;
        let (host, port) = (proxy.uri().host()?, proxy.uri().port_u16());
        Some(port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
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
        let failed = |error| self.failed(&error, &url);
        let mut response = client.execute(request).await.map_err(failed)?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        // Chunk by chunk, decompressed: how long it is going to be is only a claim.
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
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

/// True if the handshake failed over the host's certificate.
fn is_distrust(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        // An I/O error shows what it holds, but does not name it as its source.
        let held = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = held.and_then(|held| held.downcast_ref()).or_else(|| cause.downcast_ref());
        matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
    })
}

/// True if nothing answered where the first connection leads. The types that say
/// so are the client's own.
fn is_unreached(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| matches!(&*cause.to_string(), "tcp connect error" | "dns error"))
}

/// The innermost cause says it best; the outer ones repeat the URL.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let text = causes(error).last().map_or_else(|| "the request cannot be sent".to_owned(), ToString::to_string);
    match text.strip_prefix("tunnel error: ") {
        Some("unsuccessful") => "it refuses to lead there".to_owned(),
        Some("proxy authorization required") => "it wants a user and a password".to_owned(),
        Some(other) => other.to_owned(),
        None => text,
    }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
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

    /// What becomes of a request to Microsoft whose way leads through this proxy.
    async fn through(proxy: &str) -> String {
        let http = Http::new(&[]);
        let client = builder(ANSWER, SILENCE).tls_certs_only([]).proxy(reqwest::Proxy::all(proxy).expect("a proxy"));
        let outside = OnceLock::from(client.build().map_err(|error| reason(&error)));
        let http = Http { outside, proxies: Matcher::builder().all(proxy).build(), ..http };
        let request = http::Request::get("https://graph.microsoft.com/v1.0/x").body(bytes::Bytes::new());
        http.send(request.expect("a request")).await.expect_err("no proxy leads there").to_string()
    }

    #[tokio::test]
    async fn a_proxy_that_is_not_there_is_named_without_its_password() {
        let shut = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("an address")
        };
        let said = through(&format!("http://anna:s3cret@{shut}")).await;
        let expected =
            format!("the proxy `{shut}` on the way to `graph.microsoft.com` cannot be reached (HTTPS_PROXY,");
        assert!(said.starts_with(&expected) && !said.contains("s3cret") && !said.contains("anna"), "{said}");
        let said = through("http://anna:s3cret@no-such-proxy.invalid:8080").await;
        assert!(said.starts_with("the proxy `no-such-proxy.invalid:8080` on the way to"), "{said}");
    }

    #[tokio::test]
    async fn a_proxy_that_leads_nowhere_says_why() {
        for (answer, reason) in [
            ("HTTP/1.1 403 Forbidden\r\n\r\n", "it refuses to lead there"),
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "it wants a user and a password"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let proxy = listener.local_addr().expect("an address");
            let server = std::thread::spawn(move || {
                let mut stream: TcpStream = listener.accept().expect("a client").0;
                let _ = stream.read(&mut [0; 4096]).expect("a request");
                stream.write_all(answer.as_bytes()).expect("a client that reads");
            });
            let said = through(&format!("http://anna:s3cret@{proxy}")).await;
            server.join().expect("the server ends");
            let expected = format!("cannot connect to `graph.microsoft.com` through the proxy `{proxy}` (");
            assert!(said.starts_with(&expected) && said.ends_with(reason) && !said.contains("s3cret"), "{said}");
        }
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
