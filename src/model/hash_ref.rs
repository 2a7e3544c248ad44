//! Where a hardware hash is kept. A claim carries the reference; the hash
//! itself is read only when it is needed, and never kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::HashDigest;

/// A reference to a hardware hash, resolved against the repository root.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HashRef {
    /// Where it is kept.
    pub location: HashLocation,
    /// The SHA-256 that the hash must have (`sha256:` in the manifest).
    pub pin: Option<HashDigest>,
    /// How well it must be understood.
    pub check: HashCheck,
}

/// Exactly one of the places of `hardwareHashRef`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HashLocation {
    /// Base64 text or an OA3.xml.
    File(PathBuf),
    /// A collector's CSV; the row is found by serial.
    Csv(PathBuf),
    /// An environment variable whose name starts with `APGIT_HASH_`.
    Env(String),
    /// A key of a Kubernetes Secret in the claim's namespace.
    SecretKeyRef {
        /// The Secret.
        name: String,
        /// The key inside of it.
        key: String,
    },
    /// A secret of an Azure Key Vault.
    KeyVaultSecret {
        /// Such as `https://contoso.vault.azure.net`.
        vault_url: String,
        /// The secret's name there.
        name: String,
    },
}

/// Whether our decoder must understand the hash before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HashCheck {
    /// It must, and the hash must pass every check.
    #[default]
    Decode,
    /// Let the service judge (needs a pin).
    Trust,
}

/// Says why a hash could not be had. Never repeats the hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// This reference cannot be resolved where we run (a vault, a Secret).
    #[error("{0}")]
    NotHere(String),
    /// The place has no hash for this device, or none that passes the checks.
    #[error("{0}")]
    Unusable(String),
}
