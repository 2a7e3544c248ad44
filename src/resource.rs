//! The declared kinds as plain data (serde, schemars, kube) and their checks.
//!
//! One set of types is the file format, the Kubernetes schema and the editor's
//! schema. What a schema cannot say (exactly one of, parsers of `model::text`)
//! stands in the checks here, so that both doors apply the same rules. No
//! files, no spans, no cluster: a problem names a field by its path.

#![allow(unreachable_pub, reason = "kube's derive repeats each struct inside of a function, visibility included")]

mod auth;
mod device;
mod device_set;
mod form;
mod freeze;
mod hash_ref;
#[allow(clippy::duplicated_attributes, reason = "each column has a type and a path")]
mod plan;
mod plan_approval;
mod problem;
mod reference;
mod schema;
mod status;
mod tenant;
mod undone;

pub use auth::{Auth, AuthType, Identity, SecretKeyRef, credential_path};
pub use device::{AdoptionPolicy, AutopilotDevice, AutopilotDeviceSpec, DeletionPolicy, Layer, claim};
pub use device::{RowOf, check_device};
pub(crate) use device_set::is_nobodys;
pub use device_set::{AutopilotDeviceSet, AutopilotDeviceSetSpec, SetDefaults, SetDevice, check_defaults, claims};
pub use device_set::{check_set_device, check_shared_pin};
pub use hash_ref::{Columns, HardwareHashRef, is_encrypted, vault_problem};
pub use plan::{
    AutopilotPlan, AutopilotPlanSpec, PLANNED_HELD_MAX, PLANNED_MAX, PlannedChange, PlannedField, PlannedHeld,
    PlannedLimit,
};
pub use plan_approval::{AutopilotPlanApproval, AutopilotPlanApprovalSpec, plan_approval};
pub use problem::{FieldPath, FieldProblem, Problems, Segment};
pub use reference::{FieldHelp, find, page};
pub use schema::{Kind, crds, editor_schema, plan_crd, spec_schema};
pub use status::{Condition, ConditionStatus, DeviceCounts, FleetStatus, Status};
pub use tenant::Approval;
pub use tenant::{AutopilotTenant, AutopilotTenantSpec, Cloud, HashStorage, tenant};
pub use undone::{Undone, undone_of_tenant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The API group of every kind. Never renamed: it stands in people's files.
pub const GROUP: &str = "apgit.dev";
/// What `apiVersion` says.
pub const API_VERSION: &str = "apgit.dev/v1alpha1";

/// Whoever writes this annotation wants an operator's round now; its value is answered
/// in `status.lastHandledReconcileAt`.
pub const REQUESTED_AT: &str = "apgit.dev/reconcile-requested-at";

/// The longest `metadata.name`: it becomes a label value too.
pub const MAX_NAME: usize = 63;
/// What a cluster allows as `metadata.name` and `metadata.namespace`.
pub const NAME_PATTERN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A reference to an object of the same namespace by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalRef {
    /// `metadata.name` of the object.
    #[schemars(length(min = 1, max = MAX_NAME))]
    pub name: String,
}
