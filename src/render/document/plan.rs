//! A plan as a document: `formatVersion` 1.0 for tools. Minor versions add,
//! major versions break. Human sentences are absent there on purpose: reasons,
//! notes and remedies come from closed lists.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use compact_str::CompactString;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{HashDigest, RegistrationId};
use crate::plan::{Note, Reason};

use super::fail_on::FailOn;
use super::place::{Place, Row, in_reading_order};
use super::symbol::Symbol;

mod view;

pub use view::PlanView;
pub(super) use view::{digest, held};

/// A plan as `apgit plan --report json` writes it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    /// `major.minor`. Ignore members that you do not know; refuse another
    /// major version.
    pub format_version: &'static str,
    #[schemars(extend("const" = "apgit.plan"))]
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
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    pub tool: Tool,
    pub tenant: TenantDocument,
    pub owner: Owner,
    pub source: SourceDocument,
    pub observed: ObservedDocument,
    pub policy: PolicyDocument,
    pub scope: PlanScope,
    pub summary: Summary,
    /// What the tenant as a whole needs besides.
    pub upkeep: UpkeepDocument,
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
    /// What `--fail-on` found, if it found something.
    #[serde(skip)]
    pub failed_on: Option<FailOn>,
}

impl PlanDocument {
    /// The symbols of all rows.
    #[must_use]
    pub fn symbols(&self) -> BTreeSet<Symbol> {
        let actions = self.actions.iter().map(|action| action.symbol);
        let held = self.held.iter().map(|held| held.symbol);
        let awaiting = self.awaiting.iter().map(|_| Symbol::Awaiting);
        let unmanaged = self.unmanaged.iter().map(|_| Symbol::Unmanaged);
        actions.chain(held).chain(awaiting).chain(unmanaged).collect()
    }

    /// The actions as people read them.
    #[must_use]
    pub fn actions_in_order(&self) -> Vec<&ActionDocument> {
        in_reading_order(&self.actions)
    }

    /// The waiting devices as people read them.
    #[must_use]
    pub fn awaiting_in_order(&self) -> Vec<&AwaitingDocument> {
        in_reading_order(&self.awaiting)
    }

    /// Held changes with one cause stand together, where the first of them
    /// stands. No group is empty.
    #[must_use]
    pub fn held_by_cause(&self) -> Vec<Vec<&HeldDocument>> {
        let mut groups: Vec<Vec<&HeldDocument>> = Vec::new();
        let mut known = HashMap::new();
        for held in in_reading_order(&self.held) {
            let at = *known.entry((held.reason, &held.evidence, held.retry_after)).or_insert(groups.len());
            if at == groups.len() {
                groups.push(Vec::new());
            }
            groups[at].push(held);
        }
        groups
    }
}

/// What a person or a pipeline approves (`apgit apply --approve-digest`).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DigestDocument {
    /// Digests of different encodings never compare equal.
    pub encoding: &'static str,
    /// 64 hex digits.
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Tool {
    pub name: &'static str,
    pub version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantDocument {
    pub name: String,
    pub tenant_id: String,
    /// `Global`, `GccHigh`, `Dod`, `China` or `Custom`.
    pub cloud: String,
    /// True for the built-in simulated tenant.
    pub simulated: bool,
    /// True if its declaration says that nothing may be written.
    #[serde(skip)]
    pub suspended: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Owner {
    pub id: String,
    pub scope: ScopeDocument,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScopeDocument {
    /// Globs over observed group tags; empty: the whole tenant.
    pub group_tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceDocument {
    /// What was read, as it was typed.
    pub root: String,
    pub files: usize,
    pub declared_head: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedDocument {
    #[schemars(with = "String")]
    pub at: Timestamp,
    pub registered: usize,
    pub awaiting_visibility: usize,
    /// Requests that it took to make the plan.
    pub calls: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PolicyDocument {
    pub name: &'static str,
    pub limits: Vec<LimitDocument>,
}

/// A limit as it was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LimitDocument {
    pub name: &'static str,
    pub limit: usize,
    pub value: usize,
    /// Declared and registered devices: the base of percentages.
    pub managed: usize,
    /// What was approved on the command line.
    pub approved: Option<u32>,
    pub ok: bool,
    /// What is counted, in the words of people.
    #[serde(skip)]
    pub class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PlanScope {
    pub partial: bool,
    pub targets: Vec<String>,
    pub excludes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
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

/// Effects on the tenant as a whole: they follow from the others, are consented
/// to with them, and are not in the digest.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpkeepDocument {
    /// `Registers`, `Owed` or `Vendor`; none without a sync.
    pub sync: Option<&'static str>,
    /// Since when it is owed.
    #[schemars(with = "Option<String>")]
    pub sync_owed_since: Option<Timestamp>,
    /// Import records of ours that have ended and are removed.
    pub clean_up: usize,
}

impl UpkeepDocument {
    /// True if nothing is needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sync.is_none() && self.clean_up == 0
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EstimateDocument {
    /// Requests that write.
    pub writes: usize,
    /// Without the wait for the tenant sync.
    pub seconds_low: u64,
    pub seconds_high: u64,
    #[schemars(with = "Option<String>")]
    pub sync_not_before: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionDocument {
    /// Unique in this document.
    pub id: String,
    /// `register`, `update`, …; whoever acts must refuse unknown values.
    pub actions: Vec<&'static str>,
    pub object: Object,
    pub reason: &'static str,
    pub cause: &'static str,
    pub source: Place,
    pub changes: Vec<ChangeDocument>,
    pub unknown_after: Vec<&'static str>,
    pub precondition: Precondition,
    /// Operations of the service, in order.
    pub writes: Vec<&'static str>,
    #[schemars(with = "Vec<String>")]
    pub notes: Vec<Note>,
    #[serde(skip)]
    pub symbol: Symbol,
    /// Every field of the registration as it was read, by its name in
    /// manifests. `None` where there is no registration.
    #[serde(skip)]
    pub observed: Option<Vec<(&'static str, CompactString)>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    pub serial_number: String,
    #[schemars(with = "Option<String>")]
    pub registration_id: Option<RegistrationId>,
}

/// One field: `before`, and `after` or, for the hash, `afterSha256`. `null`
/// is nothing.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeDocument {
    pub path: &'static str,
    #[schemars(with = "Option<String>")]
    pub before: Option<CompactString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub after: Option<Option<CompactString>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub after_sha256: Option<HashDigest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub redacted: Option<bool>,
    /// The field's name for people.
    #[serde(skip)]
    pub label: &'static str,
    #[serde(skip)]
    pub shown: Shown,
}

/// How people are shown a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Not at all: a registration leaves it empty.
    Never,
    /// The value that a registration gets.
    Value,
    /// The values before and after.
    Change,
    /// The first digits of its digest.
    Digest,
}

impl ChangeDocument {
    /// The value before; nothing is `""`.
    #[must_use]
    pub fn before(&self) -> &str {
        self.before.as_deref().unwrap_or_default()
    }

    /// The value after; nothing is `""`.
    #[must_use]
    pub fn after(&self) -> &str {
        self.after.as_ref().and_then(Option::as_deref).unwrap_or_default()
    }

    /// As much of the digest as people see.
    #[must_use]
    pub fn digest(&self) -> String {
        self.after_sha256.map(|digest| digest.short()).unwrap_or_default()
    }
}

/// What must hold when the change is written.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Precondition {
    /// `absent` or `fingerprint`; whoever acts must refuse unknown values.
    pub expect: &'static str,
    /// `sha256:` and 16 hex digits over the fields that we may write.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub fingerprint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldDocument {
    /// `blocked`: a rule of ours or a person's word. `conflict`: a fact outside.
    pub class: &'static str,
    pub action: &'static str,
    pub object: Object,
    #[schemars(with = "String")]
    pub reason: Reason,
    pub source: Place,
    /// What would be written if it were not held.
    pub changes: Vec<ChangeDocument>,
    /// For people, one line each.
    pub evidence: Vec<String>,
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    pub retry_after: Option<Timestamp>,
    pub remedies: Vec<Remedy>,
    #[serde(skip)]
    pub symbol: Symbol,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Remedy {
    pub code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwaitingDocument {
    /// `AwaitingVendor`, `AwaitingRegistration` or `AwaitingValues`.
    pub reason: &'static str,
    pub object: Object,
    pub source: Place,
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// What was written and is not shown yet.
    pub changes: Vec<ChangeDocument>,
    /// What it waits for, in the words of people.
    #[serde(skip)]
    pub words: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnmanagedDocument {
    pub serial_number: String,
    #[schemars(with = "String")]
    pub registration_id: RegistrationId,
    #[schemars(with = "Option<String>")]
    pub group_tag: Option<CompactString>,
    #[schemars(with = "Option<String>")]
    pub user_principal_name: Option<CompactString>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Diagnostic {
    /// `error`, `warning` or `note`.
    pub severity: &'static str,
    pub code: String,
    /// A serial number.
    pub object: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
}

impl Row for ActionDocument {
    fn place(&self) -> &Place {
        &self.source
    }

    fn serial(&self) -> &str {
        &self.object.serial_number
    }
}

impl Row for HeldDocument {
    fn place(&self) -> &Place {
        &self.source
    }

    fn serial(&self) -> &str {
        &self.object.serial_number
    }
}

impl Row for AwaitingDocument {
    fn place(&self) -> &Place {
        &self.source
    }

    fn serial(&self) -> &str {
        &self.object.serial_number
    }
}
