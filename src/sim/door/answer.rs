//! An answer before it becomes HTTP, and the headers that every answer has.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

use super::call::Call;
use super::errors::{Body, Problem, http_date};
use crate::transport::Response;

/// What a client gets: a response, or a connection that drops.
#[derive(Debug)]
pub enum Reply {
    /// A whole answer.
    Response(Response),
    /// The connection drops without an answer. The request may have had its
    /// effect.
    Lost,
}

/// A response in the making.
#[derive(Debug)]
pub(in crate::sim) struct Answer {
    pub(in crate::sim) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) retry_after_s: Option<i64>,
    pub(super) sign_in: Option<String>,
}

pub(super) const JSON: &str =
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

impl Answer {
    pub(in crate::sim) fn empty(status: u16) -> Self {
        Self { status, content_type: "", body: Vec::new(), retry_after_s: None, sign_in: None }
    }

    pub(in crate::sim) fn json(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("an answer is plain data");
        Self { content_type: JSON, body, ..Self::empty(status) }
    }

    pub(in crate::sim) fn text(content_type: &'static str, body: String) -> Self {
        Self { content_type, body: body.into_bytes(), ..Self::empty(200) }
    }

    pub(in crate::sim) fn refused(call: &Call<'_>, problem: &Problem) -> Self {
        let (content_type, body) = match problem.body(call) {
            Body::Json(value) => ("application/json", value.to_string()),
            Body::Html(page) => ("text/html; charset=us-ascii", page),
        };
        Self {
            status: problem.status,
            content_type,
            body: body.into_bytes(),
            retry_after_s: problem.retry_after_s,
            sign_in: problem.sign_in.clone(),
        }
    }

    pub(in crate::sim) fn into_response(self, call: &Call<'_>) -> Response {
        let mut response = Response::new(Bytes::from(self.body));
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(DATE, http_date(call.now));
        let mut set = |name: http::HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(http::HeaderName::from_static("request-id"), &call.request_id.to_string());
        set(http::HeaderName::from_static("client-request-id"), &call.client_request_id);
        set(
            http::HeaderName::from_static("x-ms-ags-diagnostic"),
            r#"{"ServerInfo":{"DataCenter":"Simulated","Slice":"E","Ring":"0","ScaleUnit":"001","RoleInstance":"SIM01"}}"#,
        );
        set(http::header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
        set(http::header::VARY, "Accept-Encoding");
        if !self.content_type.is_empty() {
            set(CONTENT_TYPE, self.content_type);
        }
        if let Some(header) = &self.sign_in {
            set(WWW_AUTHENTICATE, header);
        }
        if let Some(seconds) = self.retry_after_s {
            set(RETRY_AFTER, &seconds.to_string());
        }
        response
    }
}
