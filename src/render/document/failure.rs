//! A run that has nothing else to report.

use schemars::JsonSchema;
use serde::Serialize;

use super::{FORMAT_VERSION, ProblemDocument};
use crate::model::seen;

/// What `--report json` writes in place of a report when there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureDocument {
    /// `major.minor`, as in a plan.
    pub format_version: &'static str,
    /// What the document is.
    #[schemars(extend("const" = "apgit.error"))]
    pub kind: &'static str,
    /// How the run ended.
    pub exit_code: u8,
    /// The tenant that failed, where a run has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub tenant: Option<String>,
    /// What went wrong.
    pub message: String,
    /// What to do, one sentence each.
    pub hints: Vec<String>,
    /// What is wrong with the declarations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<ProblemDocument>")]
    pub problems: Option<Vec<ProblemDocument>>,
}

impl FailureDocument {
    /// Of a run that reached no tenant, or has one only.
    #[must_use]
    pub fn new(exit_code: u8, message: String, hints: Vec<String>) -> Self {
        let (tenant, problems) = (None, None);
        let message = seen(&message).into_owned();
        let hints = hints.iter().map(|hint| seen(hint).into_owned()).collect();
        Self { format_version: FORMAT_VERSION, kind: "apgit.error", exit_code, tenant, message, hints, problems }
    }
}
