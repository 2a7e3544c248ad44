//! The four shapes in which the service says no, and the headers around
//! every answer.
//!
//! Shapes as described in the field: plain Graph, Graph around a JSON text of
//! Intune's own, the route error, and HTML from a gateway. Who is refused,
//! and why, is decided by the callers.

use http::HeaderValue;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::Call;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) struct Problem {
    pub(super) status: u16,
    shape: Shape,
    pub(super) retry_after_s: Option<i64>,
    /// What a 401 says of how to sign in.
    pub(super) sign_in: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Plain { code: String, message: String },
    Nested { code: &'static str, reason: String, phrase: &'static str },
    Throttled,
    Login { error: &'static str, code: u32, description: String },
    Html { title: &'static str },
}

impl Problem {
    /// Shape 1: plain Graph.
    pub(in crate::sim) fn plain(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self::of(status, Shape::Plain { code: code.to_owned(), message: message.into() })
    }

    /// Shape 2: Intune's JSON as text inside Graph's.
    pub(in crate::sim) fn nested(status: u16, reason: impl Into<String>) -> Self {
        Self::phrase(status, reason, "")
    }

    /// Shape 2 with a `CustomApiErrorPhrase`.
    pub(in crate::sim) fn phrase(status: u16, reason: impl Into<String>, phrase: &'static str) -> Self {
        let code = match status {
            400 => "BadRequest",
            403 => "Forbidden",
            404 => "ResourceNotFound",
            409 => "Conflict",
            412 => "ConditionNotMet",
            429 => "TooManyRequests",
            503 => "ServiceNotAvailable",
            504 => "GatewayTimeout",
            _ => "InternalServerError",
        };
        Self::of(status, Shape::Nested { code, reason: reason.into(), phrase })
    }

    /// Shape 3: the service knows the place, but not with this verb.
    pub(super) fn route(call: &Call<'_>, template: &str) -> Self {
        let message = format!(
            "No OData route exists that match template {template} with http verb {} for request \
             /DeviceEnrollmentFE/StatelessDeviceEnrollmentFEService/{}.",
            call.method,
            call.inner_path()
        );
        Self::plain(400, "No method match route template", message)
    }

    /// Shape 1 for a segment that nobody knows.
    pub(in crate::sim) fn segment(segment: &str) -> Self {
        Self::plain(400, "BadRequest", format!("Resource not found for the segment '{segment}'."))
    }

    /// Shape 1 as Entra's directory says that something is not there.
    pub(in crate::sim) fn no_object(id: &str) -> Self {
        let message =
            format!("Resource '{id}' does not exist or one of its queried reference-property objects are not present.");
        Self::plain(404, "Request_ResourceNotFound", message)
    }

    /// Shape 4: a page from a gateway.
    pub(in crate::sim) fn html(status: u16) -> Self {
        let title = match status {
            400 => "Invalid URL",
            403 => "Forbidden",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            _ => "Gateway Timeout",
        };
        Self::of(status, Shape::Html { title })
    }

    /// Too many requests, in Graph's own words.
    pub(in crate::sim) fn throttled(retry_after_s: Option<i64>) -> Self {
        Self { retry_after_s, ..Self::of(429, Shape::Throttled) }
    }

    /// An error of the login service.
    pub(in crate::sim) fn login(status: u16, error: &'static str, code: u32, description: impl Into<String>) -> Self {
        Self::of(status, Shape::Login { error, code, description: description.into() })
    }

    pub(in crate::sim) fn retry_after(mut self, seconds: i64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// With a `WWW-Authenticate` header.
    pub(in crate::sim) fn sign_in(mut self, header: String) -> Self {
        self.sign_in = Some(header);
        self
    }

    fn of(status: u16, shape: Shape) -> Self {
        Self { status, shape, retry_after_s: None, sign_in: None }
    }

    /// The body: JSON, or the text of a page.
    pub(super) fn body(&self, call: &Call<'_>) -> Body {
        let inner = || {
            json!({
                "date": call.now.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
                "request-id": call.request_id,
                "client-request-id": call.client_request_id,
            })
        };
        match &self.shape {
            Shape::Plain { code, message } => {
                Body::Json(json!({"error": {"code": code, "message": message, "innerError": inner()}}))
            }
            Shape::Nested { code, reason, phrase } => {
                let message = nested_message(call, reason, phrase);
                Body::Json(json!({"error": {"code": code, "message": message, "innerError": inner()}}))
            }
            Shape::Throttled => {
                let mut inner = inner();
                inner["code"] = "429".into();
                inner["message"] = "Please retry after".into();
                inner["status"] = "429".into();
                Body::Json(json!({"error": {
                    "code": "TooManyRequests",
                    "message": "Please retry again later.",
                    "innerError": inner,
                }}))
            }
            Shape::Login { error, code, description } => Body::Json(json!({
                "error": error,
                "error_description": format!(
                    "AADSTS{code}: {description} Trace ID: {} Correlation ID: {} Timestamp: {}",
                    call.request_id, call.client_request_id, call.now.strftime("%Y-%m-%d %H:%M:%SZ")
                ),
                "error_codes": [code],
                "timestamp": call.now.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                "trace_id": call.request_id,
                "correlation_id": call.client_request_id,
                "error_uri": format!("{}/error?code={code}", call.origin),
            })),
            Shape::Html { title } => Body::Html(format!(
                "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\" \"http://www.w3.org/TR/html4/strict.dtd\">\r\n\
                 <HTML><HEAD><TITLE>{title}</TITLE></HEAD>\r\n<BODY><h2>{title}</h2>\r\n\
                 <hr><p>HTTP Error {}.</p>\r\n</BODY></HTML>\r\n",
                self.status
            )),
        }
    }
}

/// The body of a refusal.
pub(super) enum Body {
    Json(Value),
    Html(String),
}

/// Intune's inner error, pretty-printed with CRLF as it comes over the wire.
fn nested_message(call: &Call<'_>, reason: &str, phrase: &str) -> String {
    let message = format!(
        "{reason} - Operation ID (for customer support): 00000000-0000-0000-0000-000000000000 \
         - Activity ID: {} - Url: https://fef.sim01.manage.microsoft.com/DeviceEnrollmentFE/\
         StatelessDeviceEnrollmentFEService/{}?api-version=2024-01-01",
        call.client_request_id,
        call.inner_path()
    );
    let quoted = |text: &str| Value::from(text).to_string();
    format!(
        "{{\r\n  \"_version\": 3,\r\n  \"Message\": {},\r\n  \"CustomApiErrorPhrase\": {},\r\n  \
         \"RetryAfter\": null,\r\n  \"ErrorSourceService\": \"\",\r\n  \"HttpHeaders\": \"{{}}\"\r\n}}",
        quoted(&message),
        quoted(phrase)
    )
}

/// A date as HTTP headers have it.
pub(super) fn http_date(at: Timestamp) -> HeaderValue {
    let text = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::try_from(text).expect("a date has letters and digits only")
}
