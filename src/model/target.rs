//! Which service a tenant is reached at.

use serde::{Deserialize, Serialize};

/// A cloud by its name, an endpoint by its URL, or the simulated tenant. What
/// was approved for one target is not approved for another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Target(String);

impl Target {
    /// One of the clouds, by its name in manifests.
    #[must_use]
    pub fn cloud(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// A service at an address of its own.
    #[must_use]
    pub fn endpoint(graph: &str) -> Self {
        Self(graph.trim_end_matches('/').to_ascii_lowercase())
    }

    /// The simulated tenant of this program.
    #[must_use]
    pub fn simulated() -> Self {
        Self("simulated".to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Target {
    fn default() -> Self {
        Self::cloud("Global")
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
