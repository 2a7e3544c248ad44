//! The hardware hash as a value, and its digest: what a claim refers to and an
//! import carries. What stands in the bytes is `hash`'s business.

use base64::Engine as _;
use serde::{Deserialize, Serialize};

/// The bytes of a hardware hash, as sent to the service in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct HardwareHash(Vec<u8>);

/// SHA-256 over the bytes (not the base64 text) of a hardware hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashDigest(pub [u8; 32]);

impl HardwareHash {
    /// Takes any bytes: whether they are a hash is for `hash` to say.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, which register a device for whoever has them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text that `hardwareIdentifier` wants.
    #[must_use]
    pub fn to_base64(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(&self.0)
    }

    /// What may be shown and stored in its place.
    #[must_use]
    pub fn digest(&self) -> HashDigest {
        HashDigest(sha256(&self.0))
    }
}

impl std::fmt::Debug for HardwareHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HardwareHash({})", self.digest().short())
    }
}

impl HashDigest {
    /// What [`HashDigest::parse`] reads.
    pub const PATTERN: &str = "^(sha256:)?[0-9A-Fa-f]{64}$";

    /// What people see: `sha256:` and 8 hex digits.
    #[must_use]
    pub fn short(&self) -> String {
        format!("sha256:{}", hex(&self.0[..4]))
    }

    /// All 64 hex digits, for documents that machines read.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// Reads 64 hex digits, with or without `sha256:` before them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Debug for HashDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.short())
    }
}

impl std::fmt::Display for HashDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.short())
    }
}

impl Serialize for HashDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for HashDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a SHA-256 in hex"))
    }
}

/// Bytes as hex digits, lower case.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text takes all");
        text
    })
}

/// SHA-256 of some bytes.
#[must_use]
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
