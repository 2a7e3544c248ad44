//! What tools get: the same as people see, and in the same words where those are
//! somebody else's. `formatVersion` 1.0: minor versions add, major versions break.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use crate::plan::Reason;
use crate::render::document::{FORMAT_VERSION, FreezeDocument, LimitDocument, Summary};

use super::board::{Snapshot, Tenant, Trouble};
use super::discretion::People;
use super::query::{Found, Query};
use super::reading::{ChangedField, Drift, Reading, Row};

/// Devices of a list that is no page of its own.
const LISTED: usize = 100;

/// What `/api/` answers; `kind` tells which.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Answer {
    /// Of `/api/status`.
    Site(SiteDocument),
    /// Of `/api/devices`.
    Devices(DevicesDocument),
    /// Of either, where that cannot be said.
    Error(ErrorDocument),
}

/// Where the tenants stand, without their devices.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SiteDocument {
    /// `major.minor`. Ignore members that you do not know; refuse another
    /// major version.
    pub format_version: &'static str,
    /// What the document is.
    #[schemars(extend("const" = "apgit.site"))]
    pub kind: &'static str,
    /// Another one where anything else is known. It is the `ETag`, too.
    pub version: String,
    /// When it was asked for. All times are RFC 3339, UTC.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What is wrong with all tenants together.
    pub troubles: Vec<TroubleDocument>,
    /// By name.
    pub tenants: Vec<TenantSummary>,
}

/// Why something cannot be done.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct TroubleDocument {
    /// What is wrong.
    pub message: String,
    /// What to do, one sentence each.
    pub hints: Vec<String>,
    /// Since when.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TenantSummary {
    /// What `/api/devices` takes as `tenant`.
    pub key: String,
    /// The name in the declaration.
    pub name: String,
    /// Its namespace, in a cluster.
    pub namespace: Option<String>,
    /// The id in Microsoft Entra.
    pub tenant_id: String,
    /// `Observe`, `CreateOnly`, `UpsertOnly` or `Sync`.
    pub policy: &'static str,
    /// True if nothing may be written to it for now.
    pub suspended: bool,
    /// In whose name it is written.
    pub owner_id: String,
    /// True if another replica reads it, and what stands here may be old.
    pub elsewhere: bool,
    /// What keeps it from being read, or from being as declared.
    pub trouble: Option<TroubleDocument>,
    /// What is wrong with declarations of its devices.
    pub problems: Vec<String>,
    /// Where it stands; `null` until it was read once.
    pub reading: Option<ReadingDocument>,
}

/// A tenant as it was last read.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadingDocument {
    /// When, by the service's clock.
    #[schemars(with = "String")]
    pub observed_at: Timestamp,
    /// When, by the clock of whoever serves this.
    #[schemars(with = "String")]
    pub read_at: Timestamp,
    /// `Global`, `GccHigh`, `Dod`, `China` or `Custom`.
    pub cloud: &'static str,
    /// True for the built-in simulated tenant.
    pub simulated: bool,
    /// False if it is about some of the declared devices only.
    pub complete: bool,
    /// Registrations that were read.
    pub registered: usize,
    /// Devices that are declared.
    pub declared: usize,
    /// The plan that this is of: for people.
    pub plan_id: String,
    /// How many of what, as in a plan.
    pub summary: Summary,
    /// How many devices are at which stage, as in `/api/devices`.
    pub stages: BTreeMap<&'static str, usize>,
    /// The sync clock of the tenant.
    pub sync: SyncDocument,
    /// The guards, whether they were needed or not.
    pub limits: Vec<LimitDocument>,
    /// The freezes that are on.
    pub freezes: Vec<FreezeDocument>,
    /// Why devices are held, the most of them first.
    pub held: Vec<CauseDocument>,
    /// What others have changed since it was applied.
    pub drift: DriftList,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SyncDocument {
    /// False if the tenant did not say.
    pub known: bool,
    /// When the last sync ended.
    #[schemars(with = "Option<String>")]
    pub last_sync_at: Option<Timestamp>,
    /// When somebody last asked for one.
    #[schemars(with = "Option<String>")]
    pub last_manual_trigger_at: Option<Timestamp>,
    /// True while one was under way.
    pub running: bool,
    /// True if the last one did not end well.
    pub failed: bool,
    /// When the tenant takes the next one; `null`: at once.
    #[schemars(with = "Option<String>")]
    pub next_allowed_at: Option<Timestamp>,
    /// `Registers`, `Owed` or `Vendor`: why one is to be asked for.
    pub wanted: Option<&'static str>,
    /// Since when it is owed.
    #[schemars(with = "Option<String>")]
    pub owed_since: Option<Timestamp>,
}

/// A reason for which devices are held.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct CauseDocument {
    /// A closed list, as in a plan.
    #[schemars(with = "String")]
    pub reason: Reason,
    /// The same for people.
    pub text: &'static str,
    /// What to do.
    pub remedies: Vec<RemedyDocument>,
    /// How many devices.
    pub devices: usize,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct RemedyDocument {
    /// Its name, from a closed list.
    pub code: &'static str,
    /// The same for people.
    pub text: &'static str,
}

/// Devices that others have changed: the first hundred; the others are in
/// `/api/devices` with `show=drift`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct DriftList {
    /// How many there are in all.
    pub total: usize,
    /// The first of them, by serial number.
    pub devices: Vec<DriftedDevice>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DriftedDevice {
    pub serial_number: String,
    pub registration_id: Option<String>,
    pub drift: DriftDocument,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DriftDocument {
    /// True where the registration was removed.
    pub removed: bool,
    /// True if the next apply sets it back; else it is held.
    pub set_back: bool,
    /// Fields that were changed.
    pub fields: Vec<FieldDocument>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct FieldDocument {
    /// The name in manifests.
    pub path: &'static str,
    /// What the tenant has; empty for nothing.
    pub tenant: String,
    /// What is declared.
    pub declared: String,
}

/// A page of devices.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DevicesDocument {
    /// `major.minor`.
    pub format_version: &'static str,
    /// What the document is.
    #[schemars(extend("const" = "apgit.devices"))]
    pub kind: &'static str,
    /// The key of the tenant.
    pub tenant: String,
    /// When it was read, by the service's clock.
    #[schemars(with = "String")]
    pub observed_at: Timestamp,
    /// Devices of the tenant.
    pub total: usize,
    /// Those that were asked for.
    pub matching: usize,
    /// Counted from 1.
    pub page: usize,
    /// How many pages there are.
    pub pages: usize,
    /// Devices of a page.
    pub size: usize,
    /// Those of this page.
    pub devices: Vec<DeviceRow>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceRow {
    /// As declared.
    pub serial_number: String,
    /// The registration, if it is known.
    pub registration_id: Option<String>,
    /// True if the tenant has a registration, as far as known.
    pub registered: bool,
    /// As declared; `null` leaves what the tenant has.
    pub group_tag: Option<String>,
    /// The same; missing where users are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    #[expect(clippy::option_option, reason = "absent and `null` differ in the document")]
    pub user_principal_name: Option<Option<String>>,
    /// How far it is: as in `apgit status`, and `ToDeregister` and `ToRelease` for
    /// what is declared no more.
    pub stage: &'static str,
    /// The same for people.
    pub text: String,
    /// Why a change is held.
    #[schemars(with = "Option<String>")]
    pub reason: Option<Reason>,
    /// What is to be known of that, one sentence each.
    pub evidence: Vec<String>,
    /// What is not as declared, or written and not shown yet.
    pub fields: Vec<&'static str>,
    /// What would be written to its registration, or is held.
    pub changes: Vec<FieldDocument>,
    /// Since when it waits or is held.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// When it is tried again by itself.
    #[schemars(with = "Option<String>")]
    pub retry_after: Option<Timestamp>,
    /// What others have changed.
    pub drift: Option<DriftDocument>,
    /// The file or the object that declares it, or did.
    pub file: String,
    /// Counted from 1; 0 where there is none.
    pub line: u32,
}

/// Why there is no answer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorDocument {
    /// `major.minor`.
    pub format_version: &'static str,
    /// What the document is.
    #[schemars(extend("const" = "apgit.siteError"))]
    pub kind: &'static str,
    /// What is wrong.
    pub message: String,
}

impl ErrorDocument {
    #[must_use]
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { format_version: FORMAT_VERSION, kind: "apgit.siteError", message: message.into() }
    }
}

impl SiteDocument {
    #[must_use]
    pub(super) fn of(site: &Snapshot, at: Timestamp) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            kind: "apgit.site",
            version: site.version.clone(),
            at,
            troubles: site.troubles.iter().map(trouble).collect(),
            tenants: site.tenants.iter().map(|(key, of)| tenant(key, of)).collect(),
        }
    }
}

impl DevicesDocument {
    #[must_use]
    pub(super) fn of(tenant: &str, reading: &Reading, query: &Query, found: &Found<'_>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            kind: "apgit.devices",
            tenant: tenant.to_owned(),
            observed_at: reading.observed_at,
            total: reading.rows.len(),
            matching: found.matching,
            page: found.page,
            pages: found.pages,
            size: query.size,
            devices: found.rows.iter().map(|row| device(row, reading.people)).collect(),
        }
    }
}

fn trouble(of: &Trouble) -> TroubleDocument {
    TroubleDocument { message: of.message.clone(), hints: of.hints.clone(), at: of.at }
}

fn tenant(key: &str, of: &Tenant) -> TenantSummary {
    TenantSummary {
        key: key.to_owned(),
        name: of.name.clone(),
        namespace: of.namespace.clone(),
        tenant_id: of.tenant_id.clone(),
        policy: of.policy,
        suspended: of.suspended,
        owner_id: of.owner.clone(),
        elsewhere: of.elsewhere,
        trouble: of.trouble.as_ref().map(trouble),
        problems: of.problems.clone(),
        reading: of.reading.as_deref().map(reading),
    }
}

fn reading(of: &Reading) -> ReadingDocument {
    let drifted = || of.rows.iter().filter_map(|row| Some((row, row.drift()?)));
    let first = drifted().take(LISTED).map(|(row, of)| DriftedDevice {
        serial_number: row.serial.to_string(),
        registration_id: row.registration_id.as_deref().map(str::to_owned),
        drift: drift(of),
    });
    let state = of.sync.state.as_ref();
    ReadingDocument {
        observed_at: of.observed_at,
        read_at: of.read_at,
        cloud: of.cloud,
        simulated: of.simulated,
        complete: of.complete,
        registered: of.registered,
        declared: of.declared,
        plan_id: of.plan_id.clone(),
        summary: of.summary.clone(),
        stages: of.stages.clone(),
        sync: SyncDocument {
            known: state.is_some(),
            last_sync_at: state.and_then(|state| state.last_sync),
            last_manual_trigger_at: state.and_then(|state| state.last_manual_trigger),
            running: state.is_some_and(|state| state.running),
            failed: state.is_some_and(|state| state.failed),
            next_allowed_at: of.sync.next,
            wanted: of.sync.wanted,
            owed_since: of.sync.owed_since,
        },
        limits: of.limits.clone(),
        freezes: of.freezes.clone(),
        held: of.held.iter().map(|(reason, devices)| cause(*reason, *devices)).collect(),
        drift: DriftList { total: drifted().count(), devices: first.collect() },
    }
}

fn cause(reason: Reason, devices: usize) -> CauseDocument {
    let remedy = |of: &crate::plan::Remedy| RemedyDocument { code: of.0, text: of.1 };
    CauseDocument { reason, text: reason.text(), remedies: reason.remedies().iter().map(remedy).collect(), devices }
}

fn drift(of: &Drift) -> DriftDocument {
    DriftDocument { removed: of.removed, set_back: of.set_back, fields: of.fields.iter().map(field).collect() }
}

fn field(of: &ChangedField) -> FieldDocument {
    FieldDocument { path: of.path, tenant: of.tenant.clone(), declared: of.declared.clone() }
}

fn device(row: &Row, people: People) -> DeviceRow {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    DeviceRow {
        serial_number: row.serial.to_string(),
        registration_id: text(&row.registration_id),
        registered: row.registered,
        group_tag: text(&row.group_tag),
        user_principal_name: (people == People::Shown).then(|| text(&row.user)),
        stage: row.stage,
        text: row.words.to_string(),
        reason: row.reason,
        evidence: row.evidence().to_vec(),
        fields: row.fields.clone(),
        changes: row.changes().iter().map(field).collect(),
        since: row.since,
        retry_after: row.retry_at(),
        drift: row.drift().map(drift),
        file: row.source.file.to_string(),
        line: row.source.line,
    }
}

/// The JSON Schema of what `/api/` answers, from the types that write it.
#[must_use]
pub fn page_schema() -> Value {
    // The producer's side: what is left out when it is nothing is not required.
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Answer>();
    schema.insert("$id".to_owned(), "https://apgit.dev/schema/page/1.0.json".into());
    schema.to_value()
}
