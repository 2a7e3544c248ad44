//! How bad something is, whoever found it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{hash, manifest};

/// An error stops something, a warning does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It stops something.
    Error,
    /// It stops nothing.
    Warning,
}

impl Severity {
    /// The word for people and tools.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl From<manifest::Severity> for Severity {
    fn from(severity: manifest::Severity) -> Self {
        match severity {
            manifest::Severity::Error => Self::Error,
            manifest::Severity::Warning => Self::Warning,
        }
    }
}

impl From<hash::Severity> for Severity {
    fn from(severity: hash::Severity) -> Self {
        match severity {
            hash::Severity::Error => Self::Error,
            hash::Severity::Warning => Self::Warning,
        }
    }
}
