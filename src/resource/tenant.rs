//! `AutopilotTenant`: which tenant, how to sign in, and what may happen to it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form::{ENDPOINT, GUID, INTERVAL, OWNER};
use super::freeze::{FreezeSpec, freezes};
use super::{AdoptionPolicy, Auth, FieldPath, FieldProblem, FleetStatus, Problems, auth};
use crate::model::{self, Limits, Owner, Rollout, Scope, TagRule, Tenant};

/// One of Microsoft's four clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
// No docs: they would make `oneOf` of the schema's `enum`.
pub enum Cloud {
    Global,
    GccHigh,
    Dod,
    China,
}

/// What may be written at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
// No docs: they would make `oneOf` of the schema's `enum`.
pub enum Policy {
    Observe,
    CreateOnly,
    UpsertOnly,
    Sync,
}

/// Whether the tenant is synced when something was registered or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
// No docs: they would make `oneOf` of the schema's `enum`.
pub enum Sync {
    WhenNeeded,
    Never,
}

/// Whether hashes may stand unencrypted in the Git repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HashStorage {
    /// Warn about plain hashes. The same as leaving it out.
    Encrypted,
    /// A decision: plain hashes are fine here.
    PlainInGit,
}

/// What to do with a device that vanished from the tenant by another hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
// No docs: they would make `oneOf` of the schema's `enum`.
pub enum OnVanished {
    Hold,
    Register,
}

/// Which plans wait for a person (operator only).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
// No docs: they would make `oneOf` of the schema's `enum`.
pub enum Approval {
    Never,
    Deletions,
    Always,
}

/// A Windows Autopilot tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "apgit.dev",
    version = "v1alpha1",
    kind = "AutopilotTenant",
    doc = "A Windows Autopilot tenant: how to reach it, and what may happen to it.",
    plural = "autopilottenants",
    namespaced,
    status = "FleetStatus",
    derive = "PartialEq",
    shortname = "apt",
    category = "autopilot",
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenantId"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policy"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = "1"
    ),
    printcolumn(name = "Devices", type_ = "integer", json_path = ".status.devices.declared"),
    printcolumn(name = "Held", type_ = "integer", json_path = ".status.devices.held"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("name must be at most 63 characters")
)]
#[x_kube(validation = Rule::new("!(has(self.cloud) && has(self.endpoints))").message("give one of cloud and endpoints"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct AutopilotTenantSpec {
    /// The Entra tenant's id, a GUID.
    #[x_kube(validation = Rule::new("self == oldSelf").message("tenantId is immutable").reason(Reason::FieldValueForbidden))]
    #[schemars(length(max = GUID.max), pattern(GUID.pattern))]
    pub tenant_id: String,
    /// Microsoft's cloud. Left out: `Global`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Cloud>,
    /// Instead of `cloud`: addresses of a service that speaks the same
    /// language. A host that is neither loopback nor a cloud's own must be
    /// allowed on the command line; on loopback, only a host that is allowed
    /// sees a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// How to sign in. Left out: by what the `AZURE_*` variables hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// What may be written: nothing, registrations, registrations and updates,
    /// or everything. There is no default.
    pub policy: Policy,
    /// Who we are among several that manage this tenant. It goes into import
    /// ids and the ledger: choose once.
    #[x_kube(validation = Rule::new("self == oldSelf").message("ownerId is immutable").reason(Reason::FieldValueForbidden))]
    #[schemars(length(min = OWNER.min, max = OWNER.max), pattern(OWNER.pattern))]
    pub owner_id: String,
    /// Bounds every write and deletion. Left out: the whole tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeSpec>,
    /// How much one run may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSpec>,
    /// Which file or namespace may use which group tag.
    #[schemars(length(max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_policy: Option<Vec<TagPolicy>>,
    /// The ledger that this tenant's state must stand in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerSpec>,
    /// Left out: `WhenNeeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<Sync>,
    /// Time between full listings, such as `10m` (operator only).
    #[schemars(length(max = INTERVAL.max), pattern(INTERVAL.pattern))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Left out: `IfUnowned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption_policy: Option<AdoptionPolicy>,
    /// Times in which nothing is written to the tenant. What stood here when it
    /// was last applied holds for one apply more.
    #[schemars(length(max = 50))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freezes: Option<Vec<FreezeSpec>>,
    /// Of the devices that get a group tag, by registration or by a new tag, a few
    /// go first; the others follow when those have come far enough. What stood here
    /// when it was last applied holds for one apply more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutSpec>,
    /// Leave the whole tenant alone for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Key Vaults that hashes may be read from. Not acted on yet: no hash is read
    /// from a vault.
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vaults: Option<Vec<String>>,
    /// Left out: `Encrypted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_storage: Option<HashStorage>,
    /// Others that manage devices of this tenant, and whose ledgers are not seen
    /// here: none of their tags may be in `scope`.
    #[schemars(length(max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Vec<Peer>>,
    /// What becomes of a device that we have applied and that somebody else removed
    /// from the tenant. Left out: `Hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_vanished: Option<OnVanished>,
    /// Left out: `Never` (operator only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// Addresses of the two services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoints {
    /// Where tokens come from, such as `http://127.0.0.1:8800`.
    #[schemars(length(min = ENDPOINT.min, max = ENDPOINT.max), pattern(ENDPOINT.pattern))]
    pub login: String,
    /// Where Graph answers.
    #[schemars(length(min = ENDPOINT.min, max = ENDPOINT.max), pattern(ENDPOINT.pattern))]
    pub graph: String,
}

/// What belongs to this tenant's declaration at all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct ScopeSpec {
    /// Globs over the observed group tag, such as `OSL-*`. An empty one means
    /// devices that have no tag, as they come from their vendor.
    #[schemars(length(max = 100), inner(length(max = 512)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_tags: Option<Vec<String>>,
}

/// How much one run may change. Percentages are of the managed devices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct LimitsSpec {
    /// Deregistrations; clearing and adopting count like them. Left out: 10.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deletes: Option<i32>,
    /// What `maxDeletes` counts, in percent. Left out: 5.
    #[schemars(range(min = 0, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delete_percent: Option<i32>,
    /// Changes of registrations. Left out: 200.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_updates: Option<i32>,
    /// What `maxUpdates` counts, in percent. Left out: 30.
    #[schemars(range(min = 0, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_update_percent: Option<i32>,
    /// New group tags on enrolled devices. Left out: 25.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retags: Option<i32>,
    /// Devices by which the declared fleet may shrink. Left out: 100.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_shrink: Option<i32>,
    /// What `maxShrink` counts, in percent. Left out: 20.
    #[schemars(range(min = 0, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_shrink_percent: Option<i32>,
}

/// How many devices of each group tag go first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutSpec {
    /// So many devices with a group tag go first, by serial number. A tag that has
    /// as many proven devices is not held back at all.
    #[schemars(range(min = 1, max = 100_000))]
    pub canary: i32,
    /// What so many devices of the tag have to come to before the others follow:
    /// a registration, a deployment profile, or the first setup by a user.
    pub wait_for: Milestone,
}

/// What a device of a rollout has to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
// No docs: they would make `oneOf` of the schema's `enum`.
pub enum Milestone {
    Registered,
    ProfileAssigned,
    Enrolled,
}

/// Where tags of a pattern may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct TagPolicy {
    /// Glob over group tags, such as `KIOSK-*`.
    #[schemars(length(min = 1, max = 512))]
    pub group_tag: String,
    /// Globs over paths from the repository's root.
    #[schemars(length(max = 100), inner(length(min = 1, max = 1024)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Namespaces, in a cluster.
    #[schemars(length(max = 100), inner(length(min = 1, max = 63)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
}

/// Which ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct LedgerSpec {
    /// A ledger of another lineage, or none, stops an apply.
    #[schemars(length(min = 1, max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<String>,
}

/// Another owner of devices in the same tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct Peer {
    /// Its `ownerId`.
    #[schemars(length(min = OWNER.min, max = OWNER.max), pattern(OWNER.pattern))]
    pub owner_id: String,
    /// Its `scope.groupTags`. Left out: the whole tenant.
    #[schemars(length(max = 100), inner(length(max = 512)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_tags: Option<Vec<String>>,
}

impl From<Policy> for model::Policy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Observe => Self::Observe,
            Policy::CreateOnly => Self::CreateOnly,
            Policy::UpsertOnly => Self::UpsertOnly,
            Policy::Sync => Self::Sync,
        }
    }
}

/// The tenant as the planner knows it. `name` is `metadata.name`.
///
/// # Errors
/// Every problem, by path from `spec`.
pub fn tenant(name: &str, spec: &AutopilotTenantSpec) -> Result<Tenant, Vec<FieldProblem>> {
    let mut problems = Problems::under(FieldPath::root().field("spec"));
    let id = spec.tenant_id.parse().ok().filter(|_| GUID.fits(&spec.tenant_id));
    if id.is_none() {
        problems.push_hint(
            &["tenantId"],
            "not-a-guid",
            "`tenantId` is not a GUID",
            "it stands in the Entra admin center under Overview",
        );
    }
    check_owner(&["ownerId"], &spec.owner_id, &mut problems);
    if spec.cloud.is_some()
        && let Some(endpoints) = &spec.endpoints
    {
        let hint = format!("remove one of the two; `{}` is no part of a cloud", endpoints.graph);
        problems.push_hint(&["endpoints"], "cloud-and-endpoints", "both `cloud` and `endpoints` are given", hint);
    }
    check_endpoints(spec, &mut problems);
    if let Some(auth) = &spec.auth {
        auth::check(auth, &mut problems);
    }
    check_interval(spec, &mut problems);
    let scope = scope(spec, &mut problems);
    check_peers(spec, &scope, &mut problems);
    check_tag_policy(spec, &mut problems);
    let limits = limits(spec.limits.as_ref(), &mut problems);
    let rollout = rollout(spec.rollout.as_ref(), &mut problems);
    let freezes = freezes(spec.freezes.as_deref().unwrap_or_default(), &mut problems);
    match (id, problems.is_empty()) {
        (Some(id), true) => Ok(Tenant {
            name: name.to_owned(),
            id,
            policy: spec.policy.into(),
            owner: spec.owner_id.clone(),
            scope,
            limits,
            adoption: spec.adoption_policy.map_or_else(Default::default, Into::into),
            hold_vanished: spec.on_vanished != Some(OnVanished::Register),
            sync_when_needed: spec.sync != Some(Sync::Never),
            suspend: spec.suspend.unwrap_or(false),
            tag_policy: spec.tag_policy.iter().flatten().map(tag_rule).collect(),
            freezes,
            rollout,
        }),
        _ => Err(problems.into_vec()),
    }
}

fn check_owner(path: &[&'static str], owner: &str, problems: &mut Problems) {
    if !OWNER.fits(owner) {
        problems.push_hint(
            path,
            "owner-id",
            "this is not an owner id",
            "1 to 63 letters, digits, `.`, `_`, `-`; a letter or digit at both ends",
        );
    }
}

fn check_endpoints(spec: &AutopilotTenantSpec, problems: &mut Problems) {
    let Some(endpoints) = &spec.endpoints else { return };
    for (name, url) in [("login", &endpoints.login), ("graph", &endpoints.graph)] {
        if !ENDPOINT.fits(url) {
            problems.push_hint(
                &["endpoints", name],
                "endpoint-url",
                format!("`endpoints.{name}` is not the address of a host"),
                "write it like `https://host` or `http://127.0.0.1:8800`, without a path",
            );
        }
    }
}

fn check_interval(spec: &AutopilotTenantSpec, problems: &mut Problems) {
    let Some(interval) = &spec.interval else { return };
    if !INTERVAL.fits(interval) {
        let hint = "write a number and a unit: `600s`, `10m`, `1h`";
        problems.push_hint(&["interval"], "interval", "`interval` is not a duration", hint);
    }
}

fn scope(spec: &AutopilotTenantSpec, problems: &mut Problems) -> Scope {
    let patterns = spec.scope.as_ref().and_then(|scope| scope.group_tags.clone()).unwrap_or_default();
    Scope::new(patterns).unwrap_or_else(|reason| {
        problems.push(&["scope", "groupTags"], "glob", format!("a pattern cannot be read: {reason}"));
        Scope::default()
    })
}

fn check_peers(spec: &AutopilotTenantSpec, scope: &Scope, problems: &mut Problems) {
    for Peer { owner_id, group_tags } in spec.peers.iter().flatten() {
        check_owner(&["peers"], owner_id, problems);
        if *owner_id == spec.owner_id {
            problems.push_hint(&["peers"], "peer-is-owner", "a peer has our own `ownerId`", "name the others only");
            continue;
        }
        match Scope::new(group_tags.clone().unwrap_or_default()) {
            Err(reason) => problems.push(&["peers"], "glob", format!("a pattern cannot be read: {reason}")),
            Ok(theirs) => {
                let us = Owner { id: &spec.owner_id, scope, writes: spec.policy != Policy::Observe };
                let peer = Owner { id: owner_id, scope: &theirs, writes: true };
                if let Some((ours, theirs)) = us.meets(&peer) {
                    let message =
                        format!("`{theirs}` is `{owner_id}`'s, and `{ours}` of `scope.groupTags` takes it in, too");
                    let hint = "narrow `scope.groupTags` of one of the two until no tag is in both";
                    problems.push_hint(&["peers"], "scope-overlap", message, hint);
                }
            }
        }
    }
}

fn tag_rule(entry: &TagPolicy) -> TagRule {
    let TagPolicy { group_tag, paths, namespaces } = entry.clone();
    TagRule { group_tag, paths: paths.unwrap_or_default(), namespaces: namespaces.unwrap_or_default() }
}

fn check_tag_policy(spec: &AutopilotTenantSpec, problems: &mut Problems) {
    /// Compiled, a byte of a pattern takes more than a hundred.
    const BYTES_MAX: usize = 128 << 10;
    let patterns =
        |entry: &TagPolicy| entry.group_tag.len() + entry.paths.iter().flatten().map(String::len).sum::<usize>();
    if spec.tag_policy.iter().flatten().map(patterns).sum::<usize>() > BYTES_MAX {
        let message = format!("the patterns of `tagPolicy` have together more than {BYTES_MAX} bytes");
        problems.push_hint(&["tagPolicy"], "glob", message, "write patterns that take in several places");
    }
    for entry in spec.tag_policy.iter().flatten() {
        for pattern in [&entry.group_tag].into_iter().chain(entry.paths.iter().flatten()) {
            if let Err(reason) = model::pattern(pattern) {
                problems.push(&["tagPolicy"], "glob", format!("a pattern cannot be read: {reason}"));
            }
        }
        if entry.paths.iter().flatten().any(|path| path.contains('\\')) {
            let message = format!("a path of the tag policy for `{}` has backslashes", entry.group_tag);
            problems.push_hint(&["tagPolicy"], "tag-policy-path", message, "write `/` between folders, on Windows too");
        }
        if entry.paths.is_none() && entry.namespaces.is_none() {
            problems.push_hint(
                &["tagPolicy"],
                "tag-policy-empty",
                format!("the tag policy for `{}` allows no place", entry.group_tag),
                "add `paths` or `namespaces`",
            );
        }
    }
}

fn rollout(spec: Option<&RolloutSpec>, problems: &mut Problems) -> Option<Rollout> {
    let spec = spec?;
    let canary = u32::try_from(spec.canary).ok().filter(|canary| (1..=100_000).contains(canary));
    if canary.is_none() {
        problems.push(&["rollout", "canary"], "out-of-range", "`canary` is out of range");
    }
    let wait_for = match spec.wait_for {
        Milestone::Registered => model::Milestone::Registered,
        Milestone::ProfileAssigned => model::Milestone::ProfileAssigned,
        Milestone::Enrolled => model::Milestone::Enrolled,
    };
    Some(Rollout::new(canary?, wait_for))
}

fn limits(spec: Option<&LimitsSpec>, problems: &mut Problems) -> Limits {
    const ANY: u32 = u32::MAX;
    let defaults = Limits::default();
    let Some(spec) = spec else { return defaults };
    let mut take = |name: &'static str, value: Option<i32>, max: u32, default: u32| match value {
        None => default,
        Some(value) => match u32::try_from(value) {
            Ok(value) if value <= max => value,
            _ => {
                problems.push(&["limits", name], "out-of-range", format!("`{name}` is out of range"));
                default
            }
        },
    };
    Limits {
        max_deletes: take("maxDeletes", spec.max_deletes, ANY, defaults.max_deletes),
        max_delete_percent: take("maxDeletePercent", spec.max_delete_percent, 100, defaults.max_delete_percent),
        max_updates: take("maxUpdates", spec.max_updates, ANY, defaults.max_updates),
        max_update_percent: take("maxUpdatePercent", spec.max_update_percent, 100, defaults.max_update_percent),
        max_retags: take("maxRetags", spec.max_retags, ANY, defaults.max_retags),
        max_shrink: take("maxShrink", spec.max_shrink, ANY, defaults.max_shrink),
        max_shrink_percent: take("maxShrinkPercent", spec.max_shrink_percent, 100, defaults.max_shrink_percent),
    }
}
