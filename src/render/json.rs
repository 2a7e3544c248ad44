//! A plan for tools: `formatVersion` 1.0. Minor versions add, major versions
//! break. Human sentences are absent on purpose: reasons, notes and remedies
//! come from closed lists.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Field, FieldChange, Origin, RegistrationId};
use crate::plan::{
    Action, Awaiting, Change, ENCODING, Held, LimitReading, Plan, Unmanaged, Update, Waiting, fingerprint,
};

use super::PlanView;
use super::text::policy_name;

/// The version of every document of this crate for tools.
pub const FORMAT_VERSION: &str = "1.0";

/// The plan as JSON, two blanks per level, with a newline at its end.
#[must_use]
pub fn plan(view: &PlanView) -> String {
    pretty(&document(view))
}

/// The plan as a document.
#[must_use]
pub fn document(view: &PlanView) -> PlanDocument {
    let plan = view.plan();
    let digest = plan.digest();
    let tally = |wanted: fn(&Action) -> bool| plan.changes.iter().filter(|change| wanted(change.action())).count();
    let held = |class: &str| plan.held.iter().filter(|held| class_name(held) == class).count();
    PlanDocument {
        format_version: FORMAT_VERSION,
        kind: "apgit.plan",
        plan_id: digest.plan_id(),
        digest: DigestDocument { encoding: ENCODING, sha256: digest.sha256 },
        mode: "normal",
        complete: plan.complete,
        applicable: plan.complete && !plan.changes.is_empty(),
        created_at: view.created_at.to_string(),
        tool: Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
        tenant: TenantDocument {
            name: plan.tenant.name.clone(),
            tenant_id: plan.tenant.id.to_string(),
            cloud: view.cloud.to_owned(),
            simulated: view.simulated,
        },
        owner: Owner {
            id: plan.tenant.owner.clone(),
            scope: ScopeDocument { group_tags: plan.tenant.scope.patterns().to_vec() },
        },
        source: SourceDocument { root: view.source.to_owned(), files: view.files, declared_head: plan.counts.declared },
        observed: ObservedDocument {
            at: plan.observed_at.to_string(),
            registered: plan.counts.registered,
            awaiting_visibility: late(plan),
            calls: view.calls,
        },
        policy: PolicyDocument {
            name: policy_name(plan.tenant.policy),
            limits: view.cleared.limits().iter().map(limit).collect(),
        },
        scope: PlanScope { partial: !plan.complete, targets: Vec::new(), excludes: Vec::new() },
        summary: Summary {
            register: tally(|action| matches!(action, Action::Register(_))),
            update: tally(|action| matches!(action, Action::Update(_))),
            deregister: 0,
            release: 0,
            adopt: 0,
            unchanged: plan.counts.unchanged,
            awaiting: plan.awaiting.len(),
            awaiting_visibility: late(plan),
            blocked: held("blocked"),
            conflict: held("conflict"),
            unmanaged: plan.unmanaged.len(),
            drift: 0,
        },
        estimate: EstimateDocument {
            writes: view.schedule.estimate.writes,
            seconds_low: view.schedule.estimate.seconds_low,
            seconds_high: view.schedule.estimate.seconds_high,
            sync_not_before: view.schedule.sync_at.map(|at| at.to_string()),
        },
        actions: actions(view),
        held: plan.held.iter().map(|held| held_document(view, held)).collect(),
        awaiting: plan.awaiting.iter().map(|awaiting| awaiting_document(view, awaiting)).collect(),
        unmanaged: plan.unmanaged.iter().map(unmanaged).collect(),
        drift: Vec::new(),
        diagnostics: diagnostics(view),
    }
}

/// A run that has nothing else to report, for tools. `problems` are those of
/// the declarations.
#[must_use]
pub fn failure(exit_code: u8, message: &str, hints: &[String], problems: Option<&serde_json::Value>) -> String {
    pretty(&FailureDocument {
        format_version: FORMAT_VERSION,
        kind: "apgit.error",
        exit_code,
        message,
        hints,
        problems,
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureDocument<'a> {
    format_version: &'static str,
    kind: &'static str,
    exit_code: u8,
    message: &'a str,
    hints: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<&'a serde_json::Value>,
}

/// Any document of this crate as text.
pub(super) fn pretty<T: Serialize>(document: &T) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("a document of plain data");
    text.push('\n');
    text
}

fn late(plan: &Plan) -> usize {
    plan.awaiting.iter().filter(|awaiting| awaiting.what != Waiting::Vendor).count()
}

fn limit(reading: &LimitReading) -> LimitDocument {
    use crate::plan::guard::Class;
    LimitDocument {
        name: match reading.class {
            Class::Update => "maxUpdates",
            Class::Retag => "maxRetags",
            Class::Clear => "maxClears",
            Class::Adopt => "maxAdopts",
        },
        limit: reading.limit,
        value: reading.count,
        managed: reading.managed,
        approved: reading.approved,
        ok: reading.ok(),
    }
}

/// Registrations first, then updates, each by serial.
fn actions(view: &PlanView) -> Vec<ActionDocument> {
    let mut changes: Vec<&Change> = view.plan().changes.iter().collect();
    changes.sort_by_cached_key(|change| (matches!(change.action(), Action::Update(_)), change.serial().key()));
    let number = |(index, change): (usize, &Change)| action(view, format!("a{}", index + 1), change);
    changes.into_iter().enumerate().map(number).collect()
}

fn action(view: &PlanView, id: String, change: &Change) -> ActionDocument {
    let notes = change.notes.iter().map(|note| format!("{note:?}")).collect();
    let source = source(view, change.origin);
    match change.action() {
        Action::Register(register) => {
            let set = |(field, value): &(Field, compact_str::CompactString)| ChangeDocument {
                path: field.name(),
                before: None,
                after: Some(some(value)),
                after_sha256: None,
                redacted: None,
            };
            let mut changes: Vec<ChangeDocument> = register.values.iter().map(set).collect();
            changes.push(ChangeDocument {
                path: "hardwareHash",
                before: None,
                after: None,
                after_sha256: Some(register.digest.hex()),
                redacted: Some(true),
            });
            ActionDocument {
                id,
                actions: vec!["register"],
                object: Object { serial_number: change.serial().to_string(), registration_id: None },
                reason: "DeclaredNotRegistered",
                cause: "declared",
                source,
                changes,
                unknown_after: vec!["registrationId"],
                precondition: Precondition { expect: "absent", fingerprint: None },
                writes: if register.running { vec![] } else { vec!["import"] },
                notes,
            }
        }
        Action::Update(update) => ActionDocument {
            id,
            actions: vec!["update"],
            object: object(change.serial().as_str(), Some(update.id)),
            reason: "FieldDiffers",
            cause: "declared",
            source,
            changes: update.fields.iter().map(field_change).collect(),
            unknown_after: vec![],
            precondition: Precondition { expect: "fingerprint", fingerprint: Some(fingerprint(&update.before)) },
            writes: writes(update),
            notes,
        },
    }
}

/// Which operations an update takes: a user is taken away by one of its own.
fn writes(update: &Update) -> Vec<&'static str> {
    let unassigns = |f: &FieldChange| f.field == Field::UserPrincipalName && f.after.is_empty();
    let mut writes = Vec::new();
    if update.fields.iter().any(unassigns) {
        writes.push("unassignUserFromDevice");
    }
    if update.fields.iter().any(|f| !unassigns(f)) {
        writes.push("updateDeviceProperties");
    }
    writes
}

fn held_document(view: &PlanView, held: &Held) -> HeldDocument {
    HeldDocument {
        class: class_name(held),
        action: held.action.name(),
        object: object(held.serial().as_str(), held.registration_id),
        reason: held.reason.to_string(),
        source: source(view, held.origin),
        changes: held.fields.iter().map(field_change).collect(),
        evidence: held.details.clone(),
        since: held.since.map(|at| at.to_string()),
        retry_after: held.retry_at.map(|at| at.to_string()),
        remedies: super::remedy_codes(held.reason).iter().map(|code| Remedy { code }).collect(),
    }
}

fn awaiting_document(view: &PlanView, awaiting: &Awaiting) -> AwaitingDocument {
    let (what, since, changes) = match &awaiting.what {
        Waiting::Vendor => ("AwaitingVendor", None, vec![]),
        Waiting::Registration { since } => ("AwaitingRegistration", Some(since), vec![]),
        Waiting::Values { since, fields } => ("AwaitingValues", Some(since), fields.iter().map(field_change).collect()),
    };
    AwaitingDocument {
        reason: what,
        object: object(awaiting.serial().as_str(), awaiting.registration_id),
        source: source(view, awaiting.origin),
        since: since.map(ToString::to_string),
        changes,
    }
}

fn unmanaged(Unmanaged { device }: &Unmanaged) -> UnmanagedDocument {
    UnmanagedDocument {
        serial_number: device.serial.to_string(),
        registration_id: device.id.to_string(),
        group_tag: some(&device.group_tag),
        user_principal_name: some(&device.user),
    }
}

fn diagnostics(view: &PlanView) -> Vec<Diagnostic> {
    let held = view.plan().held.iter().map(|held| {
        let place = source(view, held.origin);
        Diagnostic {
            severity: "warning",
            code: held.reason.to_string(),
            object: Some(held.serial().to_string()),
            file: Some(place.file),
            line: Some(place.line),
        }
    });
    let failed = view.failed_on.map(|failed| Diagnostic {
        severity: "error",
        code: format!("FailOn{failed:?}"),
        object: None,
        file: None,
        line: None,
    });
    failed.into_iter().chain(held).collect()
}

fn class_name(held: &Held) -> &'static str {
    match held.reason.class() {
        crate::plan::HeldClass::Blocked => "blocked",
        crate::plan::HeldClass::Conflict => "conflict",
    }
}

fn source(view: &PlanView, origin: Origin) -> PlaceDocument {
    let place = view.place(origin);
    PlaceDocument { file: place.file.to_string(), line: place.line }
}

fn object(serial: &str, id: Option<RegistrationId>) -> Object {
    Object { serial_number: serial.to_owned(), registration_id: id.map(|id| id.to_string()) }
}

fn field_change(change: &FieldChange) -> ChangeDocument {
    ChangeDocument {
        path: change.field.name(),
        before: some(&change.before),
        after: Some(some(&change.after)),
        after_sha256: None,
        redacted: None,
    }
}

/// `""` is nothing, and nothing is `null` for tools.
fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The JSON Schema of a plan, from the types that write it.
#[must_use]
pub fn plan_schema() -> serde_json::Value {
    // The producer's side: what is left out when it is nothing is not required.
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<PlanDocument>();
    schema.insert("$id".to_owned(), "https://apgit.dev/schema/plan/1.0.json".into());
    schema.to_value()
}

/// A plan as `apgit plan --report json` writes it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    /// `major.minor`. Ignore members that you do not know; refuse another
    /// major version.
    pub format_version: &'static str,
    /// Always `apgit.plan`.
    pub kind: &'static str,
    /// `plan-` and the first 12 hex digits of the digest: for people.
    pub plan_id: String,
    pub digest: DigestDocument,
    /// `normal`; other modes may come.
    pub mode: &'static str,
    /// False if the reading does not cover the tenant.
    pub complete: bool,
    /// True if there is something that `apgit apply` would write.
    pub applicable: bool,
    /// RFC 3339, UTC, as all times here.
    pub created_at: String,
    pub tool: Tool,
    pub tenant: TenantDocument,
    pub owner: Owner,
    pub source: SourceDocument,
    pub observed: ObservedDocument,
    pub policy: PolicyDocument,
    pub scope: PlanScope,
    pub summary: Summary,
    pub estimate: EstimateDocument,
    /// What would be done: registrations, then updates, each by serial.
    pub actions: Vec<ActionDocument>,
    /// What will not be done, and why.
    pub held: Vec<HeldDocument>,
    /// Declared devices that wait for somebody else; nothing is written.
    pub awaiting: Vec<AwaitingDocument>,
    /// Registered in scope, and declared nowhere. Never touched.
    pub unmanaged: Vec<UnmanagedDocument>,
    /// Changes by other hands since the last apply; empty without a ledger.
    pub drift: Vec<ActionDocument>,
    pub diagnostics: Vec<Diagnostic>,
}

/// What a person or a pipeline approves (`apgit apply --approve-digest`).
#[derive(Debug, Serialize, JsonSchema)]
pub struct DigestDocument {
    /// Digests of different encodings never compare equal.
    pub encoding: &'static str,
    /// 64 hex digits.
    pub sha256: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Tool {
    pub name: &'static str,
    pub version: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantDocument {
    pub name: String,
    pub tenant_id: String,
    /// `Global`, `GccHigh`, `Dod`, `China` or `Custom`.
    pub cloud: String,
    /// True for the built-in simulated tenant.
    pub simulated: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Owner {
    pub id: String,
    pub scope: ScopeDocument,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScopeDocument {
    /// Globs over observed group tags; empty: the whole tenant.
    pub group_tags: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceDocument {
    /// What was read, as it was typed.
    pub root: String,
    pub files: usize,
    pub declared_head: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedDocument {
    pub at: String,
    pub registered: usize,
    pub awaiting_visibility: usize,
    /// Requests that it took to make the plan.
    pub calls: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct PolicyDocument {
    pub name: &'static str,
    pub limits: Vec<LimitDocument>,
}

/// A limit as it was evaluated.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LimitDocument {
    pub name: &'static str,
    pub limit: usize,
    pub value: usize,
    /// Declared and registered devices: the base of percentages.
    pub managed: usize,
    /// What was approved on the command line.
    pub approved: Option<u32>,
    pub ok: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanScope {
    pub partial: bool,
    pub targets: Vec<String>,
    pub excludes: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub register: usize,
    pub update: usize,
    pub deregister: usize,
    pub release: usize,
    pub adopt: usize,
    pub unchanged: usize,
    /// All waiting devices, those that wait for their vendor included.
    pub awaiting: usize,
    pub awaiting_visibility: usize,
    pub blocked: usize,
    pub conflict: usize,
    pub unmanaged: usize,
    pub drift: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EstimateDocument {
    /// Requests that write.
    pub writes: usize,
    /// Without the wait for the tenant sync.
    pub seconds_low: u64,
    pub seconds_high: u64,
    pub sync_not_before: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionDocument {
    /// Unique in this document.
    pub id: String,
    /// `register`, `update`, …; whoever acts must refuse unknown values.
    pub actions: Vec<&'static str>,
    pub object: Object,
    pub reason: &'static str,
    pub cause: &'static str,
    pub source: PlaceDocument,
    pub changes: Vec<ChangeDocument>,
    pub unknown_after: Vec<&'static str>,
    pub precondition: Precondition,
    /// Operations of the service, in order.
    pub writes: Vec<&'static str>,
    pub notes: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    pub serial_number: String,
    pub registration_id: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct PlaceDocument {
    pub file: String,
    /// Counted from 1.
    pub line: u32,
}

/// One field: `before`, and `after` or, for the hash, `afterSha256`. `null`
/// is nothing.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeDocument {
    pub path: &'static str,
    pub before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub after: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub after_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub redacted: Option<bool>,
}

/// What must hold when the change is written.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Precondition {
    /// `absent` or `fingerprint`; whoever acts must refuse unknown values.
    pub expect: &'static str,
    /// `sha256:` and 16 hex digits over the fields that we may write.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub fingerprint: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldDocument {
    /// `blocked`: a rule of ours or a person's word. `conflict`: a fact outside.
    pub class: &'static str,
    pub action: &'static str,
    pub object: Object,
    pub reason: String,
    pub source: PlaceDocument,
    /// What would be written if it were not held.
    pub changes: Vec<ChangeDocument>,
    /// For people, one line each.
    pub evidence: Vec<String>,
    pub since: Option<String>,
    pub retry_after: Option<String>,
    pub remedies: Vec<Remedy>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Remedy {
    pub code: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwaitingDocument {
    /// `AwaitingVendor`, `AwaitingRegistration` or `AwaitingValues`.
    pub reason: &'static str,
    pub object: Object,
    pub source: PlaceDocument,
    pub since: Option<String>,
    /// What was written and is not shown yet.
    pub changes: Vec<ChangeDocument>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnmanagedDocument {
    pub serial_number: String,
    pub registration_id: String,
    pub group_tag: Option<String>,
    pub user_principal_name: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Diagnostic {
    /// `error`, `warning` or `note`.
    pub severity: &'static str,
    pub code: String,
    /// A serial number.
    pub object: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
}
