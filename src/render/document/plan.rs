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
use crate::plan::{GrantStanding, Note, Reason};

use super::fail_on::FailOn;
use super::place::{Place, Row, in_reading_order};
use super::symbol::Symbol;

mod view;

pub use view::PlanView;
pub(super) use view::{action, digest, held, place, unmanaged};

/// A plan as `apgit plan --report json` writes it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    /// `major.minor`. Ignore members that you do not know; refuse another
    /// major version.
    pub format_version: &'static str,
    /// What the document is.
    #[schemars(extend("const" = "apgit.plan"))]
    pub kind: &'static str,
    /// `plan-` and the first 12 hex digits of the digest: for people.
    pub plan_id: String,
    /// What is approved.
    pub digest: DigestDocument,
    /// How many approvals of these very changes were made use of before: an
    /// approval is used once, so the digest is another each time.
    pub again: u32,
    /// `normal`, or `drift`: nothing in it but what others have changed. Other modes
    /// may come.
    pub mode: &'static str,
    /// False if it is about some of the declared devices only, or the reading
    /// does not cover the tenant: then nothing follows for any other device.
    pub complete: bool,
    /// True if there is something that `apgit apply` would write.
    pub applicable: bool,
    /// RFC 3339, UTC, as all times here.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// Until when it can be applied, if it is saved.
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
    /// What made the plan.
    pub tool: Tool,
    /// Whose devices.
    pub tenant: TenantDocument,
    /// In whose name.
    pub owner: Owner,
    /// What was read.
    pub source: SourceDocument,
    /// How the tenant was.
    pub observed: ObservedDocument,
    /// What the tenant allows.
    pub policy: PolicyDocument,
    /// What part of the tenant the plan is about.
    pub scope: PlanScope,
    /// How many of what.
    pub summary: Summary,
    /// Approvals among the declarations, and what they are worth for this plan.
    pub approvals: Vec<ApprovalDocument>,
    /// What becomes of devices that are declared no more.
    pub removal: RemovalDocument,
    /// What the tenant as a whole needs besides.
    pub upkeep: UpkeepDocument,
    /// What carrying it out costs.
    pub estimate: EstimateDocument,
    /// Guards that are loosened for the plans that follow.
    pub loosens: Vec<LoosenDocument>,
    /// What would be done, by kind: what is loosened, registrations, updates,
    /// removals, releases, adoptions; each by serial.
    pub actions: Vec<ActionDocument>,
    /// What will not be done, and why.
    pub held: Vec<HeldDocument>,
    /// Declared devices that wait for somebody else; nothing is written.
    pub awaiting: Vec<AwaitingDocument>,
    /// Fields that are declared no more: the tenant keeps what they hold.
    pub let_go: Vec<LetGoDocument>,
    /// Registered in scope, and declared nowhere. Never touched.
    pub unmanaged: Vec<UnmanagedDocument>,
    /// Changes by other hands since the last apply, whether they are set back or
    /// held; empty without a ledger.
    pub drift: Vec<ActionDocument>,
    /// What a pipeline should show.
    pub diagnostics: Vec<Diagnostic>,
    /// What is new about where the tenant is, a sentence each, for people; for
    /// tools there is a diagnostic.
    #[serde(skip)]
    pub news: Vec<String>,
    /// True if other tenants are declared besides: then totals name theirs.
    #[serde(skip)]
    pub several: bool,
    /// What `--fail-on` found, if it found something.
    #[serde(skip)]
    pub failed_on: Option<FailOn>,
}

/// An `AutopilotPlanApproval` of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalDocument {
    /// By which people know it.
    pub name: String,
    /// Of the plan that it approves: SHA-256 in 64 hex digits.
    pub digest: String,
    /// Until when it counts.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
    /// `holds`, `otherPlan`, `begun`, `used` or `expired`.
    #[schemars(with = "String")]
    pub standing: GrantStanding,
    /// The same, for people.
    #[serde(skip)]
    pub words: String,
}

impl PlanDocument {
    /// Nothing but what others have changed since it was applied, and what they
    /// have removed.
    #[must_use]
    pub fn only_drift(mut self) -> Self {
        let is_drift = |object: &Object| self.drift.iter().any(|of| of.object == *object);
        self.actions = self.drift.iter().filter(|of| !of.writes.is_empty()).cloned().collect();
        self.held.retain(|held| held.reason == Reason::VanishedFromTenant || is_drift(&held.object));
        self.mode = "drift";
        (self.awaiting, self.unmanaged, self.let_go) = (Vec::new(), Vec::new(), Vec::new());
        self.removal = RemovalDocument { undeclared: Vec::new(), words: None, not_computed: None, ..self.removal };
        let blocked = self.held.iter().filter(|held| held.class == "blocked").count();
        self.summary = Summary {
            register: 0,
            update: self.actions.len(),
            deregister: 0,
            release: 0,
            adopt: 0,
            loosen: 0,
            tighten: 0,
            awaiting: 0,
            awaiting_visibility: 0,
            blocked,
            conflict: self.held.len() - blocked,
            unmanaged: 0,
            ..self.summary
        };
        self
    }

    /// True if others have changed or removed something.
    #[must_use]
    pub fn has_drift(&self) -> bool {
        !self.drift.is_empty() || self.held.iter().any(|held| held.reason == Reason::VanishedFromTenant)
    }

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

    /// The held changes as people read them.
    #[must_use]
    pub fn held_in_order(&self) -> Vec<&HeldDocument> {
        in_reading_order(&self.held)
    }

    /// The fields that are let go as people read them.
    #[must_use]
    pub fn let_go_in_order(&self) -> Vec<&LetGoDocument> {
        in_reading_order(&self.let_go)
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
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantDocument {
    /// The name in the declaration.
    pub name: String,
    /// The id in Microsoft Entra.
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
    /// `ownerId` of the declaration.
    pub id: String,
    /// What belongs to it.
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
    /// Files with manifests.
    pub files: usize,
    /// Devices that are declared.
    pub declared_head: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedDocument {
    /// When the tenant was read.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Registrations that were read.
    pub registered: usize,
    /// Devices that were written and are not seen yet.
    pub awaiting_visibility: usize,
    /// Requests that it took to make the plan.
    pub calls: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PolicyDocument {
    /// `Observe`, `CreateOnly`, `UpsertOnly` or `Sync`.
    pub name: &'static str,
    /// The guards, whether they were needed or not.
    pub limits: Vec<LimitDocument>,
    /// The freezes that are on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<FreezeDocument>,
}

/// A freeze that is on: nothing is written to the tenant until it ends.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FreezeDocument {
    /// By which it is approved.
    pub name: String,
    /// Why it is on, in the words of the declaration.
    pub reason: String,
    /// When it ends.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// True if it was approved on the command line, and holds nothing.
    pub approved: bool,
}

/// A limit as it was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LimitDocument {
    /// Which limit. `maxClears` and `maxAdopts` are what `maxDeletes` of the
    /// declaration allows of each.
    pub name: &'static str,
    /// The most that passes without approval.
    pub limit: usize,
    /// How many there are.
    pub value: usize,
    /// How many there were in other runs of the last 24 hours.
    pub spent: usize,
    /// Declared and registered devices: the base of percentages.
    pub managed: usize,
    /// What was approved on the command line.
    pub approved: Option<u32>,
    /// True if they pass.
    pub ok: bool,
    /// What is counted, in the words of people.
    #[serde(skip)]
    pub class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PlanScope {
    /// True if it is about some of the devices only.
    pub partial: bool,
    /// What the plan was narrowed to.
    pub targets: Vec<String>,
    /// What it leaves out.
    pub excludes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Devices to register.
    pub register: usize,
    /// Registrations to change.
    pub update: usize,
    /// Registrations to remove.
    pub deregister: usize,
    /// Devices to forget.
    pub release: usize,
    /// Registrations to take over.
    pub adopt: usize,
    /// Devices that may be removed later and could not before.
    pub loosen: usize,
    /// Devices that may not be removed any more.
    pub tighten: usize,
    /// Devices that are as declared.
    pub unchanged: usize,
    /// All waiting devices, those that wait for their vendor included.
    pub awaiting: usize,
    /// Those that were written and are not seen yet.
    pub awaiting_visibility: usize,
    /// Changes that a rule of ours or a person's word holds.
    pub blocked: usize,
    /// Changes that a fact outside holds.
    pub conflict: usize,
    /// Devices in scope that are declared nowhere.
    pub unmanaged: usize,
    /// Changes by other hands.
    pub drift: usize,
}

/// Devices that were applied and are declared no more.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemovalDocument {
    /// Devices that the ledger knows.
    pub tracked: usize,
    /// Those of them that are declared no more, by their serials.
    pub undeclared: Vec<String>,
    /// Why none of them is removed or released, if so; a closed list.
    pub not_computed: Option<&'static str>,
    /// The same, and what to do about it, in the words of people.
    #[serde(skip)]
    pub words: Option<(String, &'static str)>,
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
    /// With the wait for the tenant sync.
    pub seconds_low: u64,
    /// The same, if the service takes its time.
    pub seconds_high: u64,
    /// When the tenant takes the next sync, if one is needed.
    #[schemars(with = "Option<String>")]
    pub sync_not_before: Option<Timestamp>,
}

/// A change of one device.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionDocument {
    /// Unique in this document.
    pub id: String,
    /// `register`, `update`, …; whoever acts must refuse unknown values.
    pub actions: Vec<&'static str>,
    /// Which device.
    pub object: Object,
    /// Why.
    pub reason: &'static str,
    /// `declared`: the declaration changed since it was last applied, or was never
    /// applied. `tenant`: somebody else has changed the tenant.
    pub cause: &'static str,
    /// Where it is declared.
    pub source: Place,
    /// What is written.
    pub changes: Vec<ChangeDocument>,
    /// What only the service can say.
    pub unknown_after: Vec<&'static str>,
    /// What must hold right before.
    pub precondition: Precondition,
    /// Operations of the service, in order.
    pub writes: Vec<&'static str>,
    /// What a reader should know; a closed list.
    #[schemars(with = "Vec<String>")]
    pub notes: Vec<Note>,
    /// What happens, as one character.
    #[serde(skip)]
    pub symbol: Symbol,
    /// What happens, in the words of people, where the values do not say it.
    #[serde(skip)]
    pub words: Option<&'static str>,
    /// Every field of the registration as it was read, by its name in
    /// manifests. `None` where there is no registration.
    #[serde(skip)]
    pub observed: Option<Vec<(&'static str, CompactString)>>,
}

/// The device that a row is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// As declared.
    pub serial_number: String,
    /// The registration, if it is known.
    #[schemars(with = "Option<String>")]
    pub registration_id: Option<RegistrationId>,
}

/// One field: `before`, and `after` or, for the hash, `afterSha256`. `null`
/// is nothing.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeDocument {
    /// The name in manifests.
    pub path: &'static str,
    /// What is there.
    #[schemars(with = "Option<String>")]
    pub before: Option<CompactString>,
    /// What shall be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    #[expect(clippy::option_option, reason = "absent and `null` differ in the document")]
    pub after: Option<Option<CompactString>>,
    /// The digest of the hash, which is shown nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub after_sha256: Option<HashDigest>,
    /// True for the hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub redacted: Option<bool>,
    /// The field's name for people.
    #[serde(skip)]
    pub label: &'static str,
    /// How people are shown it.
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
    /// The value that goes with its registration.
    Gone,
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

/// A change that will not be made.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldDocument {
    /// `blocked`: a rule of ours or a person's word. `conflict`: a fact outside.
    pub class: &'static str,
    /// What would be done.
    pub action: &'static str,
    /// Which device.
    pub object: Object,
    /// Why it is not done; a closed list.
    #[schemars(with = "String")]
    pub reason: Reason,
    /// Where it is declared.
    pub source: Place,
    /// What would be written if it were not held.
    pub changes: Vec<ChangeDocument>,
    /// For people, one line each.
    pub evidence: Vec<String>,
    /// Since when, where that is remembered.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// When it is tried again by itself.
    #[schemars(with = "Option<String>")]
    pub retry_after: Option<Timestamp>,
    /// What helps.
    pub remedies: Vec<Remedy>,
    /// Who has to move, as one character.
    #[serde(skip)]
    pub symbol: Symbol,
    /// Every field of the registration as it was read, where it would be changed.
    #[serde(skip)]
    pub observed: Option<Vec<(&'static str, CompactString)>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Remedy {
    /// Its name, from a closed list.
    pub code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwaitingDocument {
    /// `AwaitingVendor`, `AwaitingRegistration`, `AwaitingValues` or `AwaitingGone`.
    pub reason: &'static str,
    /// Which device.
    pub object: Object,
    /// Where it is declared.
    pub source: Place,
    /// Since when.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// What was written and is not shown yet.
    pub changes: Vec<ChangeDocument>,
    /// What it waits for, in the words of people.
    #[serde(skip)]
    pub words: Cow<'static, str>,
}

/// A guard that is declared looser than it was applied: this plan is judged by the
/// stricter one.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LoosenDocument {
    /// Its path in the tenant's declaration.
    pub path: String,
    /// As it was applied.
    pub before: String,
    /// As it is declared.
    pub after: String,
}

/// Fields of a device that are declared no more.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LetGoDocument {
    /// Which device.
    pub object: Object,
    /// Where it is declared.
    pub source: Place,
    /// The fields, with what the tenant keeps.
    pub kept: Vec<ChangeDocument>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnmanagedDocument {
    /// As the tenant writes it.
    pub serial_number: String,
    /// The registration.
    #[schemars(with = "String")]
    pub registration_id: RegistrationId,
    /// Its group tag.
    #[schemars(with = "Option<String>")]
    pub group_tag: Option<CompactString>,
    /// Its user.
    #[schemars(with = "Option<String>")]
    pub user_principal_name: Option<CompactString>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Diagnostic {
    /// `error`, `warning` or `note`.
    pub severity: &'static str,
    /// A reason, what `--fail-on` found, or `NewTarget`.
    pub code: String,
    /// A serial number.
    pub object: Option<String>,
    /// Where it is declared.
    pub file: Option<String>,
    /// Counted from 1.
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

impl Row for LetGoDocument {
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
