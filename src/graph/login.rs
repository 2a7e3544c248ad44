//! Signing in.

use async_trait::async_trait;
use secrecy::SecretString;

use super::error::ErrorKind;

/// Gives out tokens for Graph, and remembers them as long as they last.
#[async_trait]
pub trait Credential: Send + Sync {
    /// A token that is good for a few minutes at least.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    async fn token(&self) -> Result<SecretString, LoginError>;

    /// The service refused the last token: the next one must be new.
    async fn forget(&self);
}

/// Says why there is no token. Never repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LoginError {
    pub kind: ErrorKind,
    pub message: String,
}
