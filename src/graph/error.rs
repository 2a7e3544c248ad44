//! What can go wrong with a request: one type that holds everything an
//! admin, or Microsoft's support, needs. Never requires JSON.

use std::fmt;
use std::ops::Deref;

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use serde::de::IgnoredAny;

use super::wire;
use crate::hash::hidden;
use crate::transport::{Response, TransportError};

/// Sorts failures by what the caller can do about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No token, or the service refuses it (401 twice).
    Auth,
    /// The token is for another tenant than the declared one.
    TenantMismatch,
    /// 403: a scope, a role, a licence or an approval is missing.
    Permission,
    /// 404: no such thing.
    NotFound,
    /// 400 and its kin: the service understood and declined.
    Refused,
    /// Declined, because the device is enrolled in Intune: its registration
    /// goes only after it has left there.
    Enrolled,
    /// The service has no such route; a bug of ours, or a retired feature.
    RouteMissing,
    /// 429, or text that means the same.
    Throttled,
    /// 409: for a sync, one is already running.
    Conflict,
    /// 412, which updates get now and then for no reason of ours.
    PreconditionFailed,
    /// 5xx.
    Server,
    /// The connection broke after the request was sent.
    Lost,
    /// Nothing was sent.
    Connect,
    /// Nothing was sent: the host's certificate is not trusted here.
    Untrusted,
    /// An answer that makes no sense: a page of a gateway, a looping list.
    Protocol,
    /// An answer longer than any that the service has; it was not read to its end.
    Oversized,
    /// A host that may not receive a credential.
    Endpoint,
    /// Nothing was sent: somebody asked to stop.
    Stopped,
}

/// A failed operation. Dereferences to `Failure`.
#[derive(Clone, PartialEq, Eq)]
pub struct GraphError(Box<Failure>);

/// Everything known about a failed operation. No text in it repeats a
/// hardware hash or a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: ErrorKind,
    /// What was tried, such as `list registrations`.
    pub operation: &'static str,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// `error.code` as written, or empty.
    pub code: String,
    /// The reason, cut before the service's own diagnostics.
    pub message: String,
    /// `CustomApiErrorPhrase`, or empty.
    pub phrase: String,
    /// The permission that the operation needs.
    pub scope: &'static str,
    pub request_id: Option<String>,
    pub client_request_id: Option<String>,
    pub retry_after: Option<SignedDuration>,
    /// An earlier attempt of the same operation may have had its effect, and
    /// this answer says nothing about that.
    pub after_unknown: bool,
}

impl Deref for GraphError {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

/// Which operation an error is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    pub operation: &'static str,
    pub scope: &'static str,
}

impl GraphError {
    pub(super) fn new(kind: ErrorKind, about: About, message: impl AsRef<str>) -> Self {
        Self(Box::new(Failure {
            kind,
            operation: about.operation,
            status: None,
            code: String::new(),
            message: redacted(message.as_ref()),
            phrase: String::new(),
            scope: about.scope,
            request_id: None,
            client_request_id: None,
            retry_after: None,
            after_unknown: false,
        }))
    }

    pub(super) fn with_client_request_id(mut self, id: &str) -> Self {
        self.0.client_request_id.get_or_insert_with(|| id.to_owned());
        self
    }

    /// Why there is no token. What a server has said of it is without secrets
    /// already, and the rest are our own words.
    pub(super) fn of_login(kind: ErrorKind, about: About, message: String) -> Self {
        let mut error = Self::new(kind, about, "");
        error.0.message = message;
        error
    }

    /// What whoever gives out tokens asks us to wait.
    pub(super) fn with_retry_after(mut self, wait: Option<SignedDuration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    pub(super) fn of_transport(error: &TransportError, about: About) -> Self {
        let kind = match error {
            TransportError::Connect { .. } | TransportError::Proxy { .. } => ErrorKind::Connect,
            TransportError::Untrusted { .. } => ErrorKind::Untrusted,
            TransportError::Lost { .. } => ErrorKind::Lost,
            TransportError::TooLong { .. } => ErrorKind::Oversized,
            TransportError::Forbidden { .. } => ErrorKind::Endpoint,
        };
        Self::new(kind, about, error.to_string())
    }

    /// Reads an answer that is not a success.
    pub(super) fn of_response(response: &Response, about: About, now: Timestamp) -> Self {
        Self::of_answer(response.status().as_u16(), response.headers(), response.body(), about, now)
    }

    pub(super) fn of_answer(status: u16, headers: &HeaderMap, body: &[u8], about: About, now: Timestamp) -> Self {
        let said = Said::read(body);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut error = Self::new(kind(status, &said), about, &said.message);
        error.0.status = Some(status);
        error.0.code = redacted(&said.code);
        error.0.phrase = redacted(&said.phrase);
        error.0.request_id = header("request-id").or(said.request_id).map(shown_id);
        error.0.client_request_id = header("client-request-id").or(said.client_request_id).map(shown_id);
        error.0.retry_after = header("retry-after").and_then(|text| retry_after(&text, now)).or(said.retry_after);
        error
    }

    /// True if it says something about us, or about the way to the service,
    /// and nothing about what was asked for: the next request fails like it.
    #[must_use]
    pub fn is_about_us(&self) -> bool {
        match self.kind {
            ErrorKind::Auth
            | ErrorKind::TenantMismatch
            | ErrorKind::Permission
            | ErrorKind::Untrusted
            | ErrorKind::Endpoint
            | ErrorKind::Stopped => true,
            ErrorKind::NotFound
            | ErrorKind::Refused
            | ErrorKind::Enrolled
            | ErrorKind::RouteMissing
            | ErrorKind::Throttled
            | ErrorKind::Conflict
            | ErrorKind::PreconditionFailed
            | ErrorKind::Server
            | ErrorKind::Lost
            | ErrorKind::Connect
            | ErrorKind::Protocol
            | ErrorKind::Oversized => false,
        }
    }

    /// True if the same request may well succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.kind {
            ErrorKind::Throttled
            | ErrorKind::PreconditionFailed
            | ErrorKind::Server
            | ErrorKind::Lost
            | ErrorKind::Connect
            | ErrorKind::Protocol => true,
            ErrorKind::Auth
            | ErrorKind::TenantMismatch
            | ErrorKind::Permission
            | ErrorKind::NotFound
            | ErrorKind::Refused
            | ErrorKind::Enrolled
            | ErrorKind::RouteMissing
            | ErrorKind::Conflict
            | ErrorKind::Untrusted
            | ErrorKind::Oversized
            | ErrorKind::Endpoint
            | ErrorKind::Stopped => false,
        }
    }

    /// True if nothing tells whether it was done: only the service's state shows.
    /// A 503 says that it was not.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        self.after_unknown || self.effect_is_unknown() && self.status != Some(503)
    }

    /// True if the request may have had its effect all the same: look before
    /// sending an import again.
    #[must_use]
    pub fn effect_is_unknown(&self) -> bool {
        if self.after_unknown {
            return true;
        }
        match self.kind {
            ErrorKind::Lost | ErrorKind::Server | ErrorKind::Protocol | ErrorKind::Oversized => true,
            // Only a 429 is a promise that nothing was done; a 500 that speaks
            // of throttling is a 500.
            ErrorKind::Throttled => self.status.is_some_and(|status| status >= 500),
            ErrorKind::Auth
            | ErrorKind::TenantMismatch
            | ErrorKind::Permission
            | ErrorKind::NotFound
            | ErrorKind::Refused
            | ErrorKind::Enrolled
            | ErrorKind::RouteMissing
            | ErrorKind::Conflict
            | ErrorKind::PreconditionFailed
            | ErrorKind::Connect
            | ErrorKind::Untrusted
            | ErrorKind::Endpoint
            | ErrorKind::Stopped => false,
        }
    }

    /// What the last of several attempts says, of which an earlier one may have
    /// had its effect. An answer about the object stands; one about us, about
    /// the way or about our pace does not undo what was sent.
    pub(super) fn after_unknown(mut self) -> Self {
        let says_nothing =
            matches!(self.kind, ErrorKind::Connect | ErrorKind::Throttled | ErrorKind::PreconditionFailed);
        self.0.after_unknown |= says_nothing || self.is_about_us();
        self
    }

    /// True if the answer says that the registration is being deleted already.
    #[must_use]
    pub fn says_deletion_under_way(&self) -> bool {
        // Half a word: the service misspells the rest ("Progess"), and may
        // mend that one day.
        self.kind == ErrorKind::Refused && self.phrase.to_ascii_lowercase().starts_with("ztddevicedeletioninpro")
    }

    /// The same refusal, now that a reading says why.
    pub(super) fn because_enrolled(mut self) -> Self {
        self.0.kind = ErrorKind::Enrolled;
        self
    }

    /// True if the answer says that the registration does not exist: 404, or
    /// one of the ways a 400 has said so over the years.
    #[must_use]
    pub fn says_absent(&self) -> bool {
        let gone = |text: &str| {
            let text = text.to_ascii_lowercase();
            text.contains("cannot find device with ztd id")
                || text.contains("ztddevicealreadydeleted")
                || text.contains("ztddevicenotfound")
                || text == "resourcenotfound"
        };
        self.kind == ErrorKind::NotFound
            || self.kind == ErrorKind::Refused && [&self.message, &self.phrase, &self.code].iter().any(|t| gone(t))
    }
}

fn kind(status: u16, said: &Said) -> ErrorKind {
    let message = said.message.to_ascii_lowercase();
    match status {
        400 | 403 | 404 if said.is_long => ErrorKind::Oversized,
        // A page that a gateway made up says nothing about what we asked for:
        // a 404 of a proxy must not pass for a registration that is gone.
        400 | 403 | 404 if said.is_page => ErrorKind::Protocol,
        400 if said.code.eq_ignore_ascii_case("No method match route template")
            || message.starts_with("no odata route exists")
            || message.starts_with("resource not found for the segment") =>
        {
            ErrorKind::RouteMissing
        }
        401 => ErrorKind::Auth,
        403 => ErrorKind::Permission,
        404 => ErrorKind::NotFound,
        408 => ErrorKind::Server,
        409 => ErrorKind::Conflict,
        412 => ErrorKind::PreconditionFailed,
        429 => ErrorKind::Throttled,
        400..500 => ErrorKind::Refused,
        // Intune's query broker throttles with a 500.
        500..600 if message.contains("query broker") => ErrorKind::Throttled,
        501 => ErrorKind::RouteMissing,
        500..600 => ErrorKind::Server,
        _ => ErrorKind::Protocol,
    }
}

/// No error of the service is as long, repeated literals included.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What the body of an error says, in whichever of its shapes.
#[derive(Debug, Default)]
struct Said {
    code: String,
    message: String,
    phrase: String,
    request_id: Option<String>,
    client_request_id: Option<String>,
    retry_after: Option<SignedDuration>,
    /// Neither JSON nor empty.
    is_page: bool,
    /// Longer than whatever the service says.
    is_long: bool,
}

impl Said {
    fn read(body: &[u8]) -> Self {
        if body.len() > BODY_BYTES_MAX {
            return Self { is_page: true, is_long: true, ..Self::default() };
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Self::default();
        }
        if let Ok(envelope) = serde_json::from_slice::<wire::ErrorEnvelope>(body) {
            return Self::of_envelope(envelope.error);
        }
        if let Ok(nested) = serde_json::from_slice::<wire::NestedError>(body) {
            return Self::default().with_nested(nested);
        }
        let text = String::from_utf8_lossy(body);
        let is_page = serde_json::from_slice::<IgnoredAny>(body).is_err();
        Self { message: page_title(&text), is_page, ..Self::default() }
    }

    fn of_envelope(error: wire::ErrorBody) -> Self {
        let not_empty = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let said = Self {
            code: error.code.into(),
            message: error.message.as_str().into(),
            request_id: error.inner.as_ref().and_then(|inner| not_empty(&inner.request_id)),
            client_request_id: error.inner.as_ref().and_then(|inner| not_empty(&inner.client_request_id)),
            ..Self::default()
        };
        let nested = error.message.trim_start();
        match serde_json::from_str::<wire::NestedError>(nested) {
            Ok(nested) => said.with_nested(nested),
            Err(_) => said,
        }
    }

    fn with_nested(self, nested: wire::NestedError) -> Self {
        let reason = nested.message.split(" - ").next().unwrap_or_default().trim().to_owned();
        let retry_after = nested.retry_after.and_then(|value| match value {
            serde_json::Value::Number(seconds) => retry_after(&seconds.to_string(), Timestamp::UNIX_EPOCH),
            serde_json::Value::String(text) => {
                text.parse::<i64>().ok().and_then(|_| retry_after(&text, Timestamp::UNIX_EPOCH))
            }
            _ => None,
        });
        Self { message: reason, phrase: nested.custom_api_error_phrase.into(), retry_after, ..self }
    }
}

/// The title of a gateway's page, or nothing: the rest of it helps nobody.
fn page_title(text: &str) -> String {
    let between = |open: &str, close: &str| {
        let lower = text.to_ascii_lowercase();
        let start = lower.find(open)? + open.len();
        let end = start + lower[start..].find(close)?;
        Some(text[start..end].trim().to_owned())
    };
    between("<title>", "</title>").unwrap_or_default()
}

/// No answer keeps anybody waiting for longer than this, whatever it says.
const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(1);

/// Reads both forms of `Retry-After`: seconds, and a date (`now` is the
/// service's time). An hour at most; nothing where the seconds are negative,
/// as if the service had not said how long.
pub(super) fn retry_after(text: &str, now: Timestamp) -> Option<SignedDuration> {
    let text = text.trim();
    let wait = match text.parse::<i64>() {
        Ok(seconds) if seconds < 0 => return None,
        Ok(seconds) => SignedDuration::from_secs(seconds),
        Err(_) => jiff::fmt::rfc2822::parse(text).ok()?.timestamp().duration_since(now),
    };
    Some(wait.clamp(SignedDuration::ZERO, RETRY_AFTER_MAX))
}

/// An id as it may stand in a sentence.
fn shown_id(id: String) -> String {
    const MAX: usize = 80;
    redacted(id.get(..MAX).unwrap_or(&id))
}

/// A message says what there is to say in a line or two.
const MESSAGE_CHARACTERS_MAX: usize = 2_000;

/// A short text without whatever could be (a piece of) a hardware hash or a
/// token: the service repeats a literal that it cannot read. What nobody sees is
/// written out by whoever draws it.
pub(super) fn redacted(text: &str) -> String {
    let end = text.char_indices().nth(MESSAGE_CHARACTERS_MAX).map_or(text.len(), |(at, _)| at);
    let short = &text[..end];
    let hidden = hidden(short).unwrap_or(end..end);
    let mut out = without_suspects(&short[..hidden.start]);
    if hidden.start < text.len() {
        out.push('…');
    }
    out.push_str(&without_suspects(&short[hidden.end..]));
    out
}

fn without_suspects(text: &str) -> String {
    let of_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c| !of_base64(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(word);
        out.push_str(if is_suspect(run) { "…" } else { run });
        let gap = after.find(of_base64).unwrap_or(after.len());
        out.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    out
}

/// Names (`DeviceManagementServiceConfig`) are letters only and short of 64;
/// 24 characters of base64 nearly always have a digit or a sign.
fn is_suspect(run: &str) -> bool {
    let letters_only = run.bytes().all(|byte| byte.is_ascii_alphabetic());
    run.len() >= 64 || run.len() >= 24 && (!letters_only || run.starts_with("eyJ"))
}

impl fmt::Debug for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for GraphError {}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { operation, message, scope, .. } = &*self.0;
        match self.kind {
            ErrorKind::Auth if self.status.is_some() => {
                write!(f, "cannot {operation}: the service refuses our token, even a new one")?;
            }
            ErrorKind::Auth => write!(f, "cannot sign in")?,
            ErrorKind::TenantMismatch => write!(f, "signed in to the wrong tenant")?,
            ErrorKind::Permission => write!(
                f,
                "not permitted to {operation}: grant the app `{scope}` with admin consent (a person also needs an Intune role, and the tenant an Intune licence)"
            )?,
            ErrorKind::NotFound => write!(f, "cannot {operation}: it does not exist")?,
            ErrorKind::Refused => write!(f, "cannot {operation}: the service declined")?,
            ErrorKind::Enrolled => {
                write!(f, "cannot {operation}: the device is enrolled in Intune, and has to be deleted there first")?;
            }
            ErrorKind::RouteMissing => write!(f, "cannot {operation}: the service has no such route")?,
            ErrorKind::Throttled => write!(f, "cannot {operation}: the service asks us to slow down")?,
            ErrorKind::Conflict => write!(f, "cannot {operation}: something else is under way")?,
            ErrorKind::PreconditionFailed => write!(f, "cannot {operation}: the service asks to try again")?,
            ErrorKind::Server => write!(f, "cannot {operation}: the service has a fault")?,
            ErrorKind::Lost => write!(f, "cannot tell whether we could {operation}")?,
            ErrorKind::Connect | ErrorKind::Untrusted | ErrorKind::Endpoint | ErrorKind::Stopped => {
                write!(f, "cannot {operation}")?;
            }
            ErrorKind::Protocol => write!(f, "cannot {operation}: the answer makes no sense")?,
            ErrorKind::Oversized => write!(f, "cannot {operation}: the answer has no end")?,
        }
        if !message.is_empty() {
            write!(f, ": {message}")?;
        }
        self.write_details(f)
    }
}

impl GraphError {
    fn write_details(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut details = Vec::new();
        if let Some(status) = self.status {
            details.push(format!("{status} {}", self.code).trim_end().to_owned());
        }
        if !self.phrase.is_empty() {
            details.push(self.phrase.clone());
        }
        if let Some(wait) = self.retry_after {
            details.push(format!("retry after {} s", wait.as_secs()));
        }
        if let Some(id) = &self.request_id {
            details.push(format!("request-id {id}"));
        }
        if let Some(id) = &self.client_request_id {
            details.push(format!("client-request-id {id}"));
        }
        if details.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", details.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use proptest::prelude::*;

    use super::*;

    const ABOUT: About = About { operation: "read", scope: "Some.Scope" };

    proptest! {
        #[test]
        fn any_answer_at_all_becomes_an_error_with_a_sentence(status in 300_u16..600, body in any::<Vec<u8>>()) {
            let error = GraphError::of_answer(status, &HeaderMap::new(), &body, ABOUT, Timestamp::UNIX_EPOCH);
            prop_assert!(error.to_string().contains(&status.to_string()));
        }

        #[test]
        fn any_text_in_any_place_becomes_an_error(text in any::<String>(), nested in any::<String>()) {
            let inner = serde_json::json!({"Message": nested, "CustomApiErrorPhrase": text, "RetryAfter": text});
            let outer = serde_json::json!({"error": {"code": text, "message": inner.to_string()}});
            for body in [outer.to_string(), inner.to_string(), format!("<title>{text}"), text] {
                let error = GraphError::of_answer(400, &HeaderMap::new(), body.as_bytes(), ABOUT, Timestamp::UNIX_EPOCH);
                prop_assert_eq!(error.status, Some(400));
            }
        }
    }

    #[test]
    fn no_window_of_a_hash_survives_in_a_message() {
        let bytes: Vec<u8> = (0..3000_u32).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
        let hash = base64::engine::general_purpose::STANDARD.encode(bytes);
        let url_safe = hash.replace('+', "-").replace('/', "_");
        let left = |shown: &str, hash: &str| {
            hash.as_bytes().windows(24).any(|window| shown.as_bytes().windows(24).any(|other| window == other))
        };
        for cut in [24, 40, 63, 64, 100, hash.len()] {
            for text in [format!("literal '{}' of", &hash[..cut]), hash[..cut].to_owned(), url_safe[..cut].to_owned()] {
                let shown = redacted(&text);
                assert!(!left(&shown, &hash) && !left(&shown, &url_safe) && shown.contains('…'), "{shown}");
            }
        }
    }

    #[test]
    fn names_ids_and_sentences_survive_in_a_message() {
        for text in [
            "must have DeviceManagementServiceConfig.ReadWrite.All",
            "Activity ID: 11111111-2222-3333-4444-555555555555",
            "no route ~/singleton/navigation[/key] for anna.keller@contoso.com",
            "ZtdDeviceDeletionInProgess …",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn a_token_is_cut_out_of_a_message() {
        assert_eq!(redacted("got eyJhbGciOiJub25lIn0AAAAA.e30.x"), "got ….e30.x");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let after = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Thu, 01 Jan 2026 00:02:00 GMT"), Some(120));
        assert_eq!(after("Wed, 31 Dec 2025 00:02:00 GMT"), Some(0));
        assert_eq!(after("soon"), None);
        assert_eq!((after("-1"), after("-9223372036854775808")), (None, None));
        assert_eq!((after("9223372036854775807"), after("Fri, 01 Jan 9999 00:00:00 GMT")), (Some(3600), Some(3600)));
    }
}
