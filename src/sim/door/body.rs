//! What a body comes in: packed, and said to be JSON or something else.
//!
//! What it says is read in `call.rs`.

use std::io::Read as _;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method};

use super::errors::Problem;

/// The largest body, packed or unpacked: a bulk import of 500 hashes is about
/// 2.3 MB.
pub(super) const BODY_MAX: usize = 64 * 1024 * 1024;

/// The body as its client wrote it, before it was packed. Microsoft's own
/// clients for Go and TypeScript pack every body, and send it plain only after
/// a 415.
///
/// # Errors
/// 415 for what Graph does not unpack, 400 for what is broken, 413 for what
/// is too large once it is unpacked.
pub(super) fn unpacked(headers: &HeaderMap, body: &Bytes) -> Result<Bytes, Problem> {
    let encoding = headers.get(CONTENT_ENCODING).map_or("", |value| value.to_str().unwrap_or("?").trim());
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") || body.is_empty() {
        return Ok(body.clone());
    }
    if !encoding.eq_ignore_ascii_case("gzip") {
        let message = format!("The content encoding '{encoding}' of the request is not supported.");
        return Err(Problem::plain(415, "UnsupportedMediaType", message));
    }
    let mut plain = Vec::new();
    let packed = flate2::read::MultiGzDecoder::new(&body[..]);
    // One byte more than is taken tells what is too much from what is not.
    match packed.take(BODY_MAX as u64 + 1).read_to_end(&mut plain) {
        Err(_) => Err(Problem::plain(400, "BadRequest", "The content of the request cannot be decompressed.")),
        Ok(length) if length > BODY_MAX => Err(too_large()),
        Ok(_) => Ok(Bytes::from(plain)),
    }
}

/// 413.
pub(super) fn too_large() -> Problem {
    let message = format!("The request is larger than {} MiB.", BODY_MAX / 1024 / 1024);
    Problem::plain(413, "RequestEntityTooLarge", message)
}

/// Graph reads JSON and nothing else, and only where the client says that it
/// is JSON.
///
/// # Errors
/// 400 in Graph's own words.
pub(super) fn expect_json(method: &Method, headers: &HeaderMap, body: &Bytes) -> Result<(), Problem> {
    let writes = [Method::POST, Method::PATCH, Method::PUT].contains(method);
    if !writes || body.is_empty() {
        return Ok(());
    }
    let message = match headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default()) {
        Some(text) if essence(text).eq_ignore_ascii_case("application/json") => return Ok(()),
        Some(text) if !essence(text).is_empty() => "Entity only allows writes with a JSON Content-Type header.",
        _ => "Write requests (excluding DELETE) must contain the Content-Type header declaration.",
    };
    Err(Problem::plain(400, "BadRequest", message))
}

/// A media type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}
