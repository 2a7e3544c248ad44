//! Which service a tenant is reached at.

use serde::{Deserialize, Serialize};

/// Where a tenant is. What was approved for one target is not approved for
/// another, and each has a journal of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// One of Microsoft's clouds, by its name in manifests.
    Cloud(String),
    /// The base URL of a Graph elsewhere.
    Endpoint(String),
    /// The simulated tenant inside this program.
    Simulated,
}

impl Target {
    /// The name that tells this target from all others.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Cloud(name) => name,
            Self::Endpoint(graph) => graph,
            Self::Simulated => "simulated",
        }
    }

    /// The name of the cloud, `Custom` for a service that is none.
    #[must_use]
    pub fn cloud(&self) -> &str {
        match self {
            Self::Cloud(name) => name,
            Self::Endpoint(_) => "Custom",
            Self::Simulated => "Global",
        }
    }

    /// True if no real device can be reached there.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        *self == Self::Simulated
    }
}

impl Default for Target {
    fn default() -> Self {
        Self::Cloud("Global".to_owned())
    }
}
