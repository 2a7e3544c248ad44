//! A run over several tenants as one document.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Document, FORMAT_VERSION};

/// What a run over several tenants writes. A run over one tenant writes that
/// tenant's document alone.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetDocument {
    /// `major.minor`, as in a plan.
    pub format_version: &'static str,
    /// What the document is.
    #[schemars(extend("const" = "apgit.fleet"))]
    pub kind: &'static str,
    /// The documents of the tenants in the order of the run. The `apgit.error`
    /// of a tenant that failed is the last: the run went no further. A tenant
    /// that it did not come to has no document.
    pub tenants: Vec<Document>,
    /// How the run ended.
    pub exit_code: u8,
}

impl FleetDocument {
    /// Of the documents of all tenants that the run came to.
    #[must_use]
    pub fn new(tenants: Vec<Document>, exit_code: u8) -> Self {
        Self { format_version: FORMAT_VERSION, kind: "apgit.fleet", tenants, exit_code }
    }
}
