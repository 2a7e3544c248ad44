//! One request, taken apart: segments, keys, query, body.
//!
//! Knows the grammar of Graph's addresses (both key syntaxes, letter case,
//! lenient JSON), not what any of them means.

use bytes::Bytes;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::body;
use super::errors::Problem;
use crate::transport::Request;

/// The API version in front of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    Beta,
}

impl Version {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1.0",
            Self::Beta => "beta",
        }
    }
}

/// A request as the routes see it.
pub(in crate::sim) struct Call<'a> {
    pub(in crate::sim) method: Method,
    /// `https://graph.microsoft.com`, or whatever the client called us.
    pub(in crate::sim) origin: String,
    pub(super) version: Option<Version>,
    /// Path segments after the version, percent-decoded; `set('key')` is two.
    pub(super) segments: Vec<String>,
    pub(in crate::sim) query: Vec<(String, String)>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Bytes,
    pub(super) request_id: Uuid,
    pub(super) client_request_id: String,
    pub(super) now: Timestamp,
    pub(in crate::sim) in_batch: bool,
    /// The app that the token was given to; empty before that is known.
    pub(in crate::sim) app: String,
    /// The tenant's id that the token was asked for by, if it was an id.
    pub(in crate::sim) tenant: Option<Uuid>,
    path: String,
}

impl<'a> Call<'a> {
    pub(in crate::sim) fn read(request: &'a Request, request_id: Uuid, now: Timestamp) -> Self {
        let uri = request.uri();
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let authority = uri.authority().map(ToString::to_string).or_else(|| header("host").map(str::to_owned));
        let scheme = uri.scheme_str().unwrap_or("http");
        let mut call = Self {
            method: request.method().clone(),
            origin: format!("{scheme}://{}", authority.unwrap_or_default()),
            version: None,
            segments: segments(uri.path()),
            query: pairs(uri.query().unwrap_or_default()),
            headers: request.headers(),
            body: request.body().clone(),
            request_id,
            client_request_id: header("client-request-id").map_or_else(|| request_id.to_string(), str::to_owned),
            now,
            in_batch: false,
            app: String::new(),
            tenant: None,
            path: uri.path().to_owned(),
        };
        call.version = match call.segments.first().map(|first| first.to_ascii_lowercase()).as_deref() {
            Some("v1.0") => Some(Version::V1),
            Some("beta") => Some(Version::Beta),
            _ => None,
        };
        if call.version.is_some() {
            call.segments.remove(0);
        }
        call
    }

    /// The path as it was asked for.
    pub(in crate::sim) fn path(&self) -> &str {
        &self.path
    }

    /// The path as the service writes it into links: without empty segments.
    pub(super) fn clean_path(&self) -> String {
        let mut path = String::with_capacity(self.path.len());
        for part in self.path.split('/').filter(|part| !part.is_empty()) {
            path.push('/');
            path.push_str(part);
        }
        path
    }

    /// The path as Intune's own front end writes it in its errors.
    pub(super) fn inner_path(&self) -> String {
        match self.segments.as_slice() {
            [area, set] => format!("{area}/{set}"),
            [area, set, action] if action.parse::<Uuid>().is_err() => {
                format!("{area}/{set}/microsoft.management.services.api.{action}")
            }
            [area, set, key] => format!("{area}/{set}('{key}')"),
            [area, set, key, action, ..] => format!("{area}/{set}('{key}')/microsoft.management.services.api.{action}"),
            _ => self.segments.join("/"),
        }
    }

    pub(in crate::sim) fn is_beta(&self) -> bool {
        self.version == Some(Version::Beta)
    }

    pub(in crate::sim) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The value of a query option; its name in any letter case, and some also
    /// without their `$`, as Graph takes them.
    pub(in crate::sim) fn option(&self, name: &str) -> Option<&str> {
        let bare = name.strip_prefix('$').filter(|bare| self.version.is_some() && BARE.contains(bare));
        let is_it =
            |key: &str| key.eq_ignore_ascii_case(name) || bare.is_some_and(|bare| key.eq_ignore_ascii_case(bare));
        self.query.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value.as_str())
    }

    /// `…/v1.0/$metadata#deviceManagement/<rest>`.
    pub(in crate::sim) fn context(&self, rest: &str) -> String {
        let version = self.version.unwrap_or(Version::V1).as_str();
        format!("{}/{version}/$metadata#{rest}", self.origin)
    }

    /// Unpacks the body. Graph, which has a version in its addresses, takes
    /// JSON alone.
    ///
    /// # Errors
    /// For a body that cannot be unpacked, or is not said to be JSON.
    pub(in crate::sim) fn unpack(&mut self) -> Result<(), Problem> {
        self.body = body::unpacked(self.headers, &self.body)?;
        match self.version {
            Some(_) => body::expect_json(&self.method, self.headers, &self.body),
            None => Ok(()),
        }
    }

    /// The body as JSON; names of properties may lack their quotes.
    pub(in crate::sim) fn json(&self) -> Result<Value, Problem> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        serde_json::from_slice(&self.body)
            .or_else(|error| match std::str::from_utf8(&self.body) {
                Ok(text) => serde_json::from_str(&quote_names(text)),
                Err(_) => Err(error),
            })
            .map_err(|_| Problem::plain(400, "BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format."))
    }

    /// The body as it is, once unpacked.
    pub(in crate::sim) fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as a form.
    pub(in crate::sim) fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(&self.body))
    }
}

/// Options that a client would take for granted if they were passed over.
const BARE: [&str; 3] = ["filter", "skip", "orderby"];

/// What stands behind `/_sim/` in the path of a control request, however it is
/// written; everybody who treats these differently asks here.
pub(in crate::sim) fn control_route(path: &str) -> Option<Vec<String>> {
    let mut segments = segments(path);
    let is_control = segments.first().is_some_and(|first| first.eq_ignore_ascii_case("_sim"));
    is_control.then(|| segments.split_off(1))
}

fn segments(path: &str) -> Vec<String> {
    let mut segments = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let part = decode(part, false);
        match part.strip_suffix(')').and_then(|open| open.split_once('(')) {
            Some((name, key)) if !name.is_empty() => {
                segments.push(name.to_owned());
                segments.push(key.trim_matches('\'').replace("''", "'"));
            }
            _ => segments.push(part),
        }
    }
    segments
}

fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        })
        .collect()
}

/// Undoes percent-encoding; `plus` is a blank in queries and forms only.
fn decode(text: &str, plus: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match (first, tail.get(..2).and_then(hex)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) if plus => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Puts the quotes around bare property names: the service takes
/// `{groupTag:"x"}`, as scripts in the field send it.
fn quote_names(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    let mut letters = text.chars().peekable();
    let mut in_text = false;
    let mut name_may_start = false;
    while let Some(letter) = letters.next() {
        if in_text {
            quoted.push(letter);
            match letter {
                '\\' => quoted.extend(letters.next()),
                '"' => in_text = false,
                _ => {}
            }
        } else if name_may_start && (letter.is_alphabetic() || letter == '_' || letter == '@') {
            let mut word = String::from(letter);
            while let Some(next) = letters.next_if(|next| next.is_alphanumeric() || matches!(next, '_' | '@' | '.')) {
                word.push(next);
            }
            // Only a name has a colon behind it; `true` in a list has none.
            let is_name = letters.clone().find(|next| !next.is_whitespace()) == Some(':');
            let quote = if is_name { "\"" } else { "" };
            quoted.extend([quote, &word, quote]);
            name_may_start = false;
        } else {
            quoted.push(letter);
            match letter {
                '"' => (in_text, name_may_start) = (true, false),
                '{' | ',' => name_may_start = true,
                _ if letter.is_whitespace() => {}
                _ => name_may_start = false,
            }
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_key_syntaxes_are_two_segments() {
        let plain = segments("/deviceManagement/windowsAutopilotDeviceIdentities/42/assign");
        let quoted = segments("/deviceManagement/windowsAutopilotDeviceIdentities('42')/assign");
        assert_eq!(plain, quoted);
        assert_eq!(segments("/users/anna%40contoso.com"), ["users", "anna@contoso.com"]);
        assert_eq!(segments("/users('o''hara@contoso.com')"), ["users", "o'hara@contoso.com"]);
    }

    #[test]
    fn a_query_is_decoded_once() {
        let query = pairs("$filter=contains%28serialNumber%2C%27A+B%2B%27%29&$top=5&flag");
        assert_eq!(query[0], ("$filter".to_owned(), "contains(serialNumber,'A B+')".to_owned()));
        assert_eq!(query[2], ("flag".to_owned(), String::new()));
        assert_eq!(decode("100%", true), "100%");
    }

    #[test]
    fn bare_property_names_are_understood() {
        let text = r#"{groupTag: "a, b: {c}", "displayName":"x\"y", on: true, list: [true, {z: null}]}"#;
        let value: Value = serde_json::from_str(&quote_names(text)).unwrap();
        assert_eq!(value["groupTag"], "a, b: {c}");
        assert_eq!(value["displayName"], "x\"y");
        assert_eq!(value["on"], true);
        assert_eq!(value["list"], serde_json::json!([true, {"z": null}]));
    }
}
