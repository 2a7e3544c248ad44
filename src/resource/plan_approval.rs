//! `AutopilotPlanApproval`: somebody's yes to one plan, as a file that can be
//! reviewed. Flags cannot be passed on a merge.

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form::{MOMENT, PLAN_DIGEST};
use super::{FieldPath, FieldProblem, LocalRef, Problems, Status};
use crate::model::{Grant, GrantCounts};

/// Consent to one plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "apgit.dev",
    version = "v1alpha1",
    kind = "AutopilotPlanApproval",
    doc = "Consent to one plan, by its digest. It counts once, and until it expires.",
    plural = "autopilotplanapprovals",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    shortname = "appa",
    category = "autopilot",
    printcolumn(name = "Digest", type_ = "string", json_path = ".spec.digest"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt"),
    printcolumn(
        name = "Approved By",
        type_ = "string",
        json_path = r".metadata.annotations.apgit\.dev/approved-by"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("name must be at most 63 characters")
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("an approval is immutable: make a new one").reason(Reason::FieldValueForbidden))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct AutopilotPlanApprovalSpec {
    /// The tenant of the plan. May be left out in files when there is one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_ref: Option<LocalRef>,
    /// The plan's digest as `apgit plan` shows it, 64 hex digits; `sha256:` may
    /// stand before them. It binds the tenant, the owner and every change.
    #[schemars(length(min = PLAN_DIGEST.min, max = PLAN_DIGEST.max), pattern(PLAN_DIGEST.pattern))]
    pub digest: String,
    /// How many changes of a guarded class pass, as with the `--approve-…` flags,
    /// where the tenant's limit lets fewer through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<ApprovalCounts>,
    /// From then on it counts no more, by the service's clock: `2026-12-01T12:00:00Z`.
    #[schemars(length(min = MOMENT.min, max = MOMENT.max), pattern(MOMENT.pattern))]
    pub expires_at: String,
}

/// Numbers of guarded changes: so many pass where the tenant's limit lets fewer
/// through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct ApprovalCounts {
    /// So many updates.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates: Option<i32>,
    /// So many retags of enrolled devices.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retags: Option<i32>,
    /// So many cleared tags and users.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clears: Option<i32>,
    /// So many registrations of others that are changed.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopts: Option<i32>,
    /// So many registrations that are removed.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletes: Option<i32>,
    /// So many devices that are forgotten and stay registered.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases: Option<i32>,
}

/// The approval as the guards know it. `name` is `metadata.name`.
///
/// # Errors
/// Every problem, by path from `spec`.
pub fn plan_approval(name: &str, spec: &AutopilotPlanApprovalSpec) -> Result<Grant, Vec<FieldProblem>> {
    let mut problems = Problems::under(FieldPath::root().field("spec"));
    if !PLAN_DIGEST.fits(&spec.digest) {
        let hint = "64 hex digits, as `apgit plan` shows them (a plan id is for people only)";
        problems.push_hint(&["digest"], "plan-digest", "`digest` is not the digest of a plan", hint);
    }
    let expires_at = spec.expires_at.parse::<Timestamp>().ok().filter(|_| MOMENT.fits(&spec.expires_at));
    if expires_at.is_none() {
        let hint = "write it in quotes, with a `T` before the time and its offset behind: `\"2026-12-01T12:00:00Z\"`";
        problems.push_hint(&["expiresAt"], "instant", "`expiresAt` is not a point in time", hint);
    }
    let given = spec.counts.clone().unwrap_or_default();
    let mut count = |name: &'static str, value: Option<i32>| {
        let count = value.map(u32::try_from);
        if matches!(count, Some(Err(_))) {
            problems.push(&["counts", name], "out-of-range", format!("`{name}` is out of range"));
        }
        count.and_then(Result::ok)
    };
    let counts = GrantCounts {
        updates: count("updates", given.updates),
        retags: count("retags", given.retags),
        clears: count("clears", given.clears),
        adopts: count("adopts", given.adopts),
        deletes: count("deletes", given.deletes),
        releases: count("releases", given.releases),
    };
    match (expires_at, problems.is_empty()) {
        (Some(expires_at), true) => {
            let digest = spec.digest.trim_start_matches("sha256:").to_owned();
            Ok(Grant { name: name.to_owned(), digest, counts, expires_at })
        }
        _ => Err(problems.into_vec()),
    }
}
