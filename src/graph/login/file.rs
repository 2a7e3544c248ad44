//! Files that hold a credential. Their paths come from the environment; what
//! stands there is read only as far as a credential can go, and must be one:
//! any other file of the machine would be sent away as it is.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;

use super::LoginError;
use crate::graph::error::redacted;
use crate::hash::hidden;

/// A token has a few kilobytes, a chain of certificates a few more.
const MAX_BYTES: u64 = 64 << 10;

/// A federated token: a JWT.
///
/// # Errors
/// Names the path, never what stands there.
pub(super) fn token(path: &Path) -> Result<SecretString, LoginError> {
    let refused = |reason: &str| refused("token", path, reason);
    let text = read(path).map_err(|reason| refused(&reason))?;
    let token = text.trim();
    if !is_jwt(token) {
        return Err(refused("this is no token (a JWT: three parts between dots)"));
    }
    Ok(SecretString::from(token.to_owned()))
}

/// A certificate and its private key, as PEM.
///
/// # Errors
/// Names the path, never what stands there.
pub(super) fn pem(path: &Path) -> Result<SecretString, LoginError> {
    let refused = |reason: &str| refused("certificate", path, reason);
    let text = read(path).map_err(|reason| refused(&reason))?;
    whole(text).map_err(refused)
}

/// A text that is a certificate and its private key, as PEM.
///
/// # Errors
/// What it lacks.
pub(super) fn whole(text: String) -> Result<SecretString, &'static str> {
    let has_certificate = CertificateDer::from_pem_slice(text.as_bytes()).is_ok();
    let has_key = PrivateKeyDer::from_pem_slice(text.as_bytes()).is_ok();
    match (has_certificate, has_key) {
        (true, true) => Ok(SecretString::from(text)),
        (false, _) => Err("it has no certificate in PEM (`BEGIN CERTIFICATE`): convert a .pfx first"),
        (true, false) => Err("it has no private key without a password (`BEGIN PRIVATE KEY`)"),
    }
}

/// A path that leads nowhere may be the credential itself, put into the wrong
/// variable: what is not written like a path is shown as little as the service's
/// words are.
fn refused(what: &str, path: &Path, reason: &str) -> LoginError {
    let name = path.display().to_string();
    let name = if path.exists() || is_like_a_path(&name) { name } else { redacted(&name) };
    LoginError::ours(format!("cannot take the {what} from `{name}`: {reason}"))
}

/// Base64 has strokes in it, too.
fn is_like_a_path(text: &str) -> bool {
    text.contains(['/', '\\']) && !text.contains("eyJ") && hidden(text).is_none()
}

/// A regular file of text, and a small one.
fn read(path: &Path) -> Result<String, String> {
    let file = open(path).map_err(|error| error.to_string())?;
    // Of what was opened, not of what the name led to before.
    let is_file = file.metadata().map_err(|error| error.to_string())?.is_file();
    if !is_file {
        return Err("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is no text".to_owned())
}

/// Opens without waiting: a pipe that nobody writes to would wait for ever.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    options.open(path)
}

/// Three parts in base64url, and the first is a JSON object. Whether it is a
/// good one, the service says.
fn is_jwt(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let [header, claims, signature] = parts[..] else { return false };
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().filter(|bytes| !bytes.is_empty());
    let is_object = |bytes: Vec<u8>| serde_json::from_slice::<serde_json::Map<_, _>>(&bytes).is_ok();
    decoded(header).is_some_and(is_object) && decoded(claims).is_some_and(is_object) && decoded(signature).is_some()
}
