//! Our transport, dressed as the HTTP client that `azure_identity` wants.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind as AzureKind};
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request as AzureRequest};
use bytes::Bytes;
use http::header;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::LoginError;
use crate::clock::SharedClock;
use crate::graph::USER_AGENT;
use crate::graph::endpoints::{Endpoints, is_link_local, is_loopback};
use crate::graph::error::{ErrorKind, retry_after};
use crate::transport::{Request, Response, SharedTransport, TransportError};

/// Stands where the library wants an https authority; never looked up.
pub(super) const PLACEHOLDER: &str = "login.apgit.invalid";

/// Sends the library's requests to `endpoints.login`, and keeps the last
/// failure in our own terms. Every answer that is not a success becomes an
/// error that the library does not repeat: repeating is our business.
pub(super) struct Adapter {
    transport: SharedTransport,
    clock: SharedClock,
    login: String,
    failure: Mutex<Option<LoginError>>,
}

impl Adapter {
    pub(super) fn new(transport: SharedTransport, clock: SharedClock, endpoints: &Endpoints) -> Self {
        Self { transport, clock, login: endpoints.login.clone(), failure: Mutex::new(None) }
    }

    pub(super) fn failure(&self) -> Option<LoginError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers why there is no token.
    fn keep(&self, error: LoginError) -> LoginError {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        error
    }

    /// Sends one request and takes only a success for an answer.
    pub(super) async fn send(&self, request: Request) -> Result<Response, LoginError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let answer = self.transport.send(request).await;
        let result = match answer {
            Ok(response) if response.status().is_success() => Ok(response),
            Ok(response) => Err(self.of_response(&response, &host)),
            Err(error) => Err(of_transport(&error)),
        };
        let status = result.as_ref().map_or(0, |response| response.status().as_u16());
        tracing::debug!(host, status, "login");
        let failure = result.as_ref().err().cloned();
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        result
    }

    fn of_response(&self, response: &Response, host: &str) -> LoginError {
        let status = response.status().as_u16();
        let kind = match status {
            429 => ErrorKind::Throttled,
            // The metadata service answers 404 and 410 while it is updated.
            404 | 410 if host.starts_with("169.254.") => ErrorKind::Server,
            500..600 => ErrorKind::Server,
            _ => ErrorKind::Auth,
        };
        let mut error = LoginError::new(kind, said(status, host, response.body()));
        let header = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        error.retry_after = header.and_then(|text| retry_after(text, self.clock.now()));
        error
    }

    fn rewrite(&self, request: &AzureRequest) -> Result<Request, LoginError> {
        let url = request.url();
        let target = if url.host_str() == Some(PLACEHOLDER) {
            format!("{}{}", self.login, request.path_and_query())
        } else if Url::parse(url.as_str()).is_ok_and(|url| is_loopback(&url) || is_link_local(&url)) {
            url.to_string()
        } else {
            // Only the identity endpoint of a machine can stand here.
            let host = url.host_str().unwrap_or_default();
            return Err(of_transport(&TransportError::Forbidden { host: host.to_owned() }));
        };
        let body = match request.body() {
            Body::Bytes(bytes) => bytes.clone(),
            Body::SeekableStream(_) => Bytes::new(),
        };
        let mut ours = http::Request::builder().method(request.method().as_str()).uri(target);
        for (name, value) in request.headers().iter() {
            if !name.as_str().eq_ignore_ascii_case("user-agent") {
                ours = ours.header(name.as_str(), value.as_str());
            }
        }
        let ours = ours.header(header::USER_AGENT, USER_AGENT).body(body);
        ours.map_err(|_| LoginError::auth("the login request cannot be written: is the login endpoint a URL?"))
    }
}

#[async_trait]
impl HttpClient for Adapter {
    async fn execute_request(&self, request: &AzureRequest) -> azure_core::Result<AsyncRawResponse> {
        let refuse = |error: LoginError| Error::with_message(AzureKind::Credential, error.message);
        let ours = match self.rewrite(request) {
            Ok(ours) => ours,
            Err(error) => return Err(refuse(self.keep(error))),
        };
        let response = self.send(ours).await.map_err(refuse)?;
        let mut headers = Headers::new();
        for (name, value) in response.headers() {
            if let Ok(value) = value.to_str() {
                headers.insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        let status = response.status().as_u16();
        let body = believable(response.into_body()).map_err(|error| self.keep(error)).map_err(refuse)?;
        Ok(AsyncRawResponse::from_bytes(status.into(), headers, body))
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").field("login", &self.login).finish_non_exhaustive()
    }
}

/// The numbers of an answer with a token that say how long it lasts. The library
/// adds them to the present, and a sum past the end of time ends the process.
const LASTING: [&str; 2] = ["expires_in", "ext_expires_in"];
const DAY_S: u32 = 24 * 60 * 60;

/// A token has some kilobytes.
const TOKEN_BYTES_MAX: usize = 1 << 20;

/// An answer with a token that lasts a day at most. No other answer is touched.
fn believable(body: Bytes) -> Result<Bytes, LoginError> {
    if body.len() > TOKEN_BYTES_MAX {
        return Err(LoginError::auth("the answer is longer than any with a token"));
    }
    let Ok(Value::Object(mut answer)) = serde_json::from_slice(&body) else { return Ok(body) };
    let mut changed = false;
    for name in LASTING {
        let Some(said) = answer.get(name) else { continue };
        // The metadata service writes numbers as text.
        let seconds = said.as_str().map_or_else(|| said.as_f64(), |text| text.trim().parse().ok());
        let Some(seconds) = seconds.filter(|seconds| *seconds >= 0.0) else {
            return Err(LoginError::auth(format!(
                "the answer with a token has an `{name}` that is no number of seconds"
            )));
        };
        if seconds > f64::from(DAY_S) {
            let day = if said.is_string() { Value::from(DAY_S.to_string()) } else { Value::from(DAY_S) };
            answer.insert(name.to_owned(), day);
            changed = true;
        }
    }
    Ok(if changed { Value::Object(answer).to_string().into() } else { body })
}

/// Lets the library hold the adapter that we keep, too.
pub(super) type SharedAdapter = Arc<Adapter>;

fn of_transport(error: &TransportError) -> LoginError {
    let kind = match error {
        TransportError::Connect { .. } | TransportError::Proxy { .. } => ErrorKind::Connect,
        TransportError::Untrusted { .. } => ErrorKind::Untrusted,
        TransportError::Lost { .. } => ErrorKind::Lost,
        TransportError::TooLong { .. } => ErrorKind::Oversized,
        TransportError::Forbidden { .. } => ErrorKind::Endpoint,
    };
    LoginError::new(kind, error.to_string())
}

/// The error of an OAuth 2.0 token endpoint, with Entra's additions.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OAuthError {
    error: String,
    error_description: String,
    error_codes: Vec<u64>,
    trace_id: Option<String>,
    correlation_id: Option<String>,
}

/// One sentence from the body of a refusal: what was said, what it means for
/// an admin, and the ids that Microsoft's support asks for.
fn said(status: u16, host: &str, body: &[u8]) -> String {
    let Ok(error) = serde_json::from_slice::<OAuthError>(body) else {
        return format!("`{host}` answers {status}");
    };
    let mut text = error.error_description.lines().next().unwrap_or_default().trim().to_owned();
    if let Some(cut) = text.find(" Trace ID:") {
        text.truncate(cut);
    }
    if text.is_empty() {
        text = format!("`{host}` answers {status} {}", error.error);
        text.truncate(text.trim_end().len());
    }
    if let Some(advice) = error.error_codes.iter().find_map(|code| advice(*code)) {
        text = format!("{} ({advice})", text.trim_end_matches('.'));
    }
    if let Some(id) = error.trace_id {
        text = format!("{text}, trace id {id}");
    }
    if let Some(id) = error.correlation_id {
        text = format!("{text}, correlation id {id}");
    }
    text
}

/// What to do about the AADSTS codes that setting up an app runs into.
fn advice(code: u64) -> Option<&'static str> {
    match code {
        90002 | 900_023 => Some("is `tenantId` right, and `cloud` the tenant's cloud?"),
        700_016 => Some("is `clientId` right, and the app registered in this tenant?"),
        7_000_215 => Some("the client secret is wrong: use its value, not its id"),
        7_000_222 => Some("the client secret has expired: make a new one in the app registration"),
        700_027 => Some("upload this certificate to the app registration"),
        70021 | 700_211..=700_213 => {
            Some("no federated credential of the app matches this token's issuer, subject and audience")
        }
        700_024 => Some("the assertion is not valid at this time: is the clock of this machine right?"),
        1_002_012 => Some("only the scope `.default` works for an app"),
        _ => None,
    }
}
