//! `AutopilotPlan`: what the operator would do, as an object that people read and
//! approve by its digest. Written by the operator only, so files have no such kind.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form::{MOMENT, PLAN_DIGEST};
use super::{LocalRef, Status};

/// So many changes stand in a plan; of more, how many there are.
pub const PLANNED_MAX: usize = 1_000;
/// So many held devices do.
pub const PLANNED_HELD_MAX: usize = 100;

/// What would be done to a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "apgit.dev",
    version = "v1alpha1",
    kind = "AutopilotPlan",
    doc = "What the operator would do to a tenant. At most one of a tenant waits for its AutopilotPlanApproval.",
    plural = "autopilotplans",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    shortname = "appl",
    category = "autopilot",
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenantRef.name"),
    printcolumn(name = "Changes", type_ = "string", json_path = ".spec.summary"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Diff", type_ = "string", json_path = ".spec.glance"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".spec.digest", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a plan is immutable").reason(Reason::FieldValueForbidden))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct AutopilotPlanSpec {
    /// The tenant of the plan.
    pub tenant_ref: LocalRef,
    /// What an approval names: it binds the tenant, the owner and every change, those
    /// that are not shown here included.
    #[schemars(length(min = PLAN_DIGEST.min, max = PLAN_DIGEST.max), pattern(PLAN_DIGEST.pattern))]
    pub digest: String,
    /// The encoding of that digest.
    #[schemars(length(max = 64))]
    pub encoding: String,
    /// `Observe`, `CreateOnly`, `UpsertOnly` or `Sync`.
    #[schemars(length(max = 32))]
    pub policy: String,
    /// How many changes of which kind: `+2 ~1 -1 !3`.
    #[schemars(length(max = 128))]
    pub summary: String,
    /// The first of them, in a line.
    #[schemars(length(max = 256))]
    pub glance: String,
    /// When the tenant was read, by the service's clock.
    #[schemars(length(min = MOMENT.min, max = MOMENT.max), pattern(MOMENT.pattern))]
    pub observed_at: String,
    /// From then on it is made anew, if it is the same still.
    #[schemars(length(min = MOMENT.min, max = MOMENT.max), pattern(MOMENT.pattern))]
    pub expires_at: String,
    /// What is loosened for the plans that follow, before anything else.
    #[schemars(length(max = 100), inner(length(max = 512)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loosens: Vec<String>,
    /// What is done, registrations first.
    #[schemars(length(max = PLANNED_MAX))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<PlannedChange>,
    /// How many more changes there are.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_changes: Option<i64>,
    /// The guards, as they were evaluated.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<PlannedLimit>,
    /// What is not done, and why.
    #[schemars(length(max = PLANNED_HELD_MAX))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<PlannedHeld>,
    /// How many more devices are held.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_held: Option<i64>,
}

/// One effect of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct PlannedChange {
    /// The device's serial number.
    #[schemars(length(max = 128))]
    pub serial_number: String,
    /// `register`, `update`, `deregister`, `release`, `adopt`, …
    #[schemars(length(max = 32))]
    pub action: String,
    /// The registration, where there is one.
    #[schemars(length(max = 36))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_id: Option<String>,
    /// The object that declares the device, or did.
    #[schemars(length(max = 256))]
    pub declared_by: String,
    /// Why: `declared`, or `tenant` where somebody else has changed it there.
    #[schemars(length(max = 32))]
    pub cause: String,
    /// What is written.
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<PlannedField>,
    /// What a reader should know.
    #[schemars(length(max = 8), inner(length(max = 256)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A field of an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct PlannedField {
    /// Its name in a declaration.
    #[schemars(length(max = 32))]
    pub name: String,
    /// What the tenant holds.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it will hold; of a hash, the first digits of its digest.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A guard, as it was evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct PlannedLimit {
    /// Its name, such as `maxDeletes`.
    #[schemars(length(max = 32))]
    pub name: String,
    /// How many changes of its class there are, and were in the last 24 hours.
    #[schemars(range(min = 0))]
    pub value: i64,
    /// How many pass without approval.
    #[schemars(range(min = 0))]
    pub limit: i64,
    /// Whether they pass.
    pub ok: bool,
}

/// What is not done to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedHeld {
    /// The device's serial number.
    #[schemars(length(max = 128))]
    pub serial_number: String,
    /// What would be done to it.
    #[schemars(length(max = 32))]
    pub action: String,
    /// Why it is not: a closed list.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// The same, in a sentence.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// What would be written.
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<PlannedField>,
}
