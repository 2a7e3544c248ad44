//! From a cleared plan to its document. Here alone a report looks at plans.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use jiff::Timestamp;

use crate::apply::Schedule;
use crate::model::{
    DeletionPolicy, Device, DeviceKey, Effect, Field, FieldChange, Frozen, Grant, HashDigest, Origin, RegistrationId,
    Update,
};
use crate::plan::guard::Class;
use crate::plan::{
    Action, ActionKind, Awaiting, Change, ClearedPlan, ENCODING, GrantStanding, Held, HeldClass, LetGo, LimitReading,
    NoRemoval, Plan, Removal, SyncReason, Upkeep, Waiting, fingerprint,
};
use crate::render::style::{moment, time_of_day};

use super::super::place::{Place, Places};
use super::super::{FORMAT_VERSION, FailOn, Symbol, reason};
use super::{
    ActionDocument, ApprovalDocument, AwaitingDocument, ChangeDocument, Diagnostic, DigestDocument, EstimateDocument,
    FreezeDocument, HeldDocument, LetGoDocument, LimitDocument, LoosenDocument, Object, ObservedDocument, Owner,
    PlanDocument, PlanScope, PolicyDocument, Precondition, Remedy, RemovalDocument, ScopeDocument, Shown,
    SourceDocument, Summary, TenantDocument, Tool, UnmanagedDocument, UpkeepDocument,
};

/// Everything a report of a plan shows.
#[derive(Clone, Copy)]
pub struct PlanView<'a> {
    /// What would be done, and what not.
    pub cleared: &'a ClearedPlan,
    /// In which order.
    pub schedule: &'a Schedule,
    /// Requests that it took to make the plan.
    pub calls: u64,
    /// What was read, as it was typed.
    pub source: &'a str,
    /// How many files had something to say.
    pub files: usize,
    /// True if other tenants are declared besides: then commands and totals name
    /// theirs.
    pub several: bool,
    /// `Global`, `GccHigh`, …
    pub cloud: &'a str,
    /// True if the tenant is the built-in simulated one.
    pub simulated: bool,
    /// When the report is made.
    pub created_at: Timestamp,
    /// Until when it can be applied, if it is saved.
    pub expires_at: Option<Timestamp>,
    /// What it is narrowed to, as it was typed.
    pub targets: &'a [String],
    /// What it leaves out, as it was typed.
    pub excludes: &'a [String],
    /// Where devices are declared.
    pub places: Places<'a>,
    /// What is new about where the tenant is, a sentence each.
    pub news: &'a [String],
    /// What `--fail-on` found, if it found something.
    pub failed_on: Option<FailOn>,
}

impl PlanView<'_> {
    /// The plan as a document.
    #[must_use]
    pub fn document(&self) -> PlanDocument {
        let plan = self.cleared.plan();
        let (plan_id, digest) = digest(plan);
        let name = self.several.then_some(plan.tenant.name.as_str());
        let held: Vec<HeldDocument> =
            plan.held.iter().map(|of| held(of, name, self.place(&of.device, of.origin))).collect();
        PlanDocument {
            format_version: FORMAT_VERSION,
            kind: "apgit.plan",
            plan_id,
            digest,
            again: plan.again,
            mode: "normal",
            complete: plan.complete,
            applicable: plan.writes(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            tool: Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
            tenant: TenantDocument {
                name: plan.tenant.name.clone(),
                tenant_id: plan.tenant.id.to_string(),
                cloud: self.cloud.to_owned(),
                simulated: self.simulated,
                suspended: plan.tenant.suspend,
            },
            owner: Owner {
                id: plan.tenant.owner.clone(),
                scope: ScopeDocument { group_tags: plan.tenant.scope.patterns().to_vec() },
            },
            source: SourceDocument {
                root: self.source.to_owned(),
                files: self.files,
                declared_head: plan.counts.declared,
            },
            observed: ObservedDocument {
                at: plan.observed_at,
                registered: plan.counts.registered,
                awaiting_visibility: late(plan) + running(plan),
                calls: self.calls,
            },
            policy: PolicyDocument {
                name: plan.tenant.policy.name(),
                limits: self.cleared.limits().iter().map(limit).collect(),
                freezes: plan.frozen.iter().map(freeze).collect(),
            },
            scope: PlanScope {
                partial: !plan.complete,
                targets: self.targets.to_vec(),
                excludes: self.excludes.to_vec(),
            },
            summary: summary(plan),
            approvals: self.cleared.grants().iter().map(|(grant, standing)| approval(grant, *standing)).collect(),
            removal: removal(plan),
            upkeep: upkeep(&plan.upkeep),
            estimate: EstimateDocument {
                writes: self.schedule.estimate.writes,
                seconds_low: self.schedule.estimate.seconds_low,
                seconds_high: self.schedule.estimate.seconds_high,
                sync_not_before: self.schedule.sync_at,
            },
            loosens: plan
                .loosens
                .iter()
                .map(|of| LoosenDocument { path: of.what.clone(), before: of.from.clone(), after: of.to.clone() })
                .collect(),
            actions: self.actions(),
            awaiting: plan.awaiting.iter().map(|of| awaiting(of, self.place(&of.device, of.origin))).collect(),
            unmanaged: plan.unmanaged.iter().map(|of| unmanaged(&of.device)).collect(),
            let_go: plan.let_go.iter().map(|of| let_go(of, self.place(&of.device, of.origin))).collect(),
            drift: self.drift(),
            diagnostics: diagnostics(&held, self.failed_on, self.news),
            held,
            news: self.news.to_vec(),
            several: self.several,
            failed_on: self.failed_on,
        }
    }

    fn place(&self, device: &DeviceKey, origin: Origin) -> Place {
        place(self.cleared.plan(), device, origin, self.places)
    }

    /// What others have changed, also where that is held.
    fn drift(&self) -> Vec<ActionDocument> {
        let plan = self.cleared.plan();
        let is_drift = |fields: &[FieldChange], drifted: &[Field]| -> Vec<ChangeDocument> {
            fields.iter().filter(|change| drifted.contains(&change.field)).map(changed).collect()
        };
        let mut drift: Vec<(DeviceKey, ActionDocument)> = Vec::new();
        for change in plan.changes.iter().filter(|change| !change.drifted.is_empty()) {
            let Action::Update(update) = change.action() else { continue };
            let place = self.place(&change.effect.device, change.origin);
            let document = action(String::new(), change, place);
            let changes = is_drift(&update.fields, &change.drifted);
            drift.push((change.effect.device.clone(), ActionDocument { cause: "tenant", changes, ..document }));
        }
        for held in plan.held.iter().filter(|held| !held.drifted.is_empty()) {
            let (Some(before), Some(id)) = (&held.before, held.registration_id) else { continue };
            let update =
                Update { id, before: before.clone(), fields: held.fields.clone(), adopts: false, tail_of: None };
            let effect = Effect { device: held.device.clone(), action: Action::Update(update) };
            let (notes, drifted) = (Vec::new(), held.drifted.clone());
            let hardware = BTreeMap::new();
            let change = Change { effect, origin: held.origin, hash: None, notes, drifted, hardware };
            let document = action(String::new(), &change, self.place(&held.device, held.origin));
            let changes = is_drift(&held.fields, &held.drifted);
            drift.push((held.device.clone(), ActionDocument { cause: "tenant", changes, writes: vec![], ..document }));
        }
        drift.sort_by(|a, b| a.0.cmp(&b.0));
        let numbered = drift.into_iter().zip(1..);
        numbered.map(|((_, document), number)| ActionDocument { id: format!("d{number}"), ..document }).collect()
    }

    /// Registrations first, then updates, each by serial.
    fn actions(&self) -> Vec<ActionDocument> {
        let mut changes: Vec<&Change> = self.cleared.plan().changes.iter().collect();
        changes.sort_by_cached_key(|change| (change.action().kind(), change.serial().key()));
        let numbered = changes.into_iter().zip(1..);
        numbered
            .map(|(change, number)| {
                action(format!("a{number}"), change, self.place(&change.effect.device, change.origin))
            })
            .collect()
    }
}

/// Where a device is declared, or was when it was last applied.
pub(in super::super) fn place(plan: &Plan, device: &DeviceKey, origin: Origin, places: Places<'_>) -> Place {
    match plan.removal.files.get(device) {
        Some(file) if origin == Origin::NOWHERE => Place::new(&Arc::from(file.as_str()), 0),
        _ => places(origin),
    }
}

/// What a plan is called, and what is approved of it.
pub(in super::super) fn digest(plan: &Plan) -> (String, DigestDocument) {
    let digest = plan.digest();
    (digest.plan_id(), DigestDocument { encoding: ENCODING, sha256: digest.sha256 })
}

/// Devices that we have written and do not see yet.
fn late(plan: &Plan) -> usize {
    plan.awaiting.iter().filter(|awaiting| awaiting.what != Waiting::Vendor).count()
}

/// Imports of ours that have no end yet.
fn running(plan: &Plan) -> usize {
    let is_running = |change: &&Change| matches!(change.action(), Action::Register(register) if register.running);
    plan.changes.iter().filter(is_running).count()
}

fn summary(plan: &Plan) -> Summary {
    let count = |kind| plan.changes.iter().filter(|change| change.action().kind() == kind).count();
    let blocked = plan.held.iter().filter(|held| held.reason.class() == HeldClass::Blocked).count();
    Summary {
        register: count(ActionKind::Register),
        update: count(ActionKind::Update),
        deregister: count(ActionKind::Deregister),
        release: count(ActionKind::Release),
        adopt: count(ActionKind::Adopt),
        loosen: count(ActionKind::Loosen),
        tighten: count(ActionKind::Tighten),
        unchanged: plan.counts.unchanged,
        awaiting: plan.awaiting.len(),
        awaiting_visibility: late(plan),
        blocked,
        conflict: plan.held.len() - blocked,
        unmanaged: plan.unmanaged.len(),
        drift: plan.changes.iter().filter(|change| !change.drifted.is_empty()).count()
            + plan.held.iter().filter(|held| !held.drifted.is_empty()).count(),
    }
}

fn freeze(of: &Frozen) -> FreezeDocument {
    FreezeDocument { name: of.name.clone(), reason: of.reason.clone(), until: of.until, approved: of.approved }
}

fn limit(reading: &LimitReading) -> LimitDocument {
    LimitDocument {
        name: match reading.class {
            Class::Update => "maxUpdates",
            Class::Retag => "maxRetags",
            Class::Clear => "maxClears",
            Class::Adopt => "maxAdopts",
            Class::Delete => "maxDeletes",
            Class::Release => "maxReleases",
        },
        limit: reading.limit,
        value: reading.count,
        spent: reading.spent,
        managed: reading.managed,
        approved: reading.approved,
        ok: reading.ok(),
        class: reading.class.name(),
    }
}

/// A change of one device.
pub(in super::super) fn action(id: String, change: &Change, source: Place) -> ActionDocument {
    let serial = change.serial().as_str();
    let actions = vec![change.action().kind().name()];
    let writes = change.action().writes();
    let notes = change.notes.clone();
    let cause = cause(change);
    match change.action() {
        Action::Register(register) => ActionDocument {
            id,
            actions,
            object: object(serial, None),
            reason: "DeclaredNotRegistered",
            cause: "declared",
            source,
            changes: registered(register.values.iter().map(|(field, value)| (*field, value)), Some(register.digest)),
            unknown_after: vec!["registrationId"],
            precondition: Precondition { expect: "absent", fingerprint: None },
            writes,
            notes,
            symbol: Symbol::Register,
            words: None,
            observed: None,
        },
        Action::Update(update) => ActionDocument {
            id,
            actions,
            object: object(serial, Some(update.id)),
            reason: "FieldDiffers",
            cause,
            source,
            changes: update.fields.iter().map(changed).collect(),
            unknown_after: vec![],
            precondition: Precondition { expect: "fingerprint", fingerprint: Some(fingerprint(&update.before)) },
            writes,
            notes,
            symbol: Symbol::Update,
            words: None,
            observed: Some(observed(&update.before)),
        },
        Action::Deregister(deregister) => ActionDocument {
            reason: "DeclaredNoMore",
            changes: lost(&deregister.before).collect(),
            precondition: unchanged(&deregister.before),
            observed: Some(observed(&deregister.before)),
            ..kept(id, change, source, deregister.id, (Symbol::Deregister, "declared no more: its registration goes"))
        },
        Action::Release(release) => ActionDocument {
            reason: "DeclaredNoMore",
            ..kept(id, change, source, release.id, (Symbol::Release, "is forgotten"))
        },
        Action::Adopt(adopt) => ActionDocument {
            reason: "DeclaredAndRegistered",
            precondition: unchanged(&adopt.before),
            ..kept(id, change, source, adopt.id, (Symbol::Adopt, "is as declared already: ours from now on"))
        },
        Action::Keep(of) => {
            let symbol = if of.loosens() { Symbol::Loosen } else { Symbol::Adopt };
            let words = match (of.protect, of.deletion) {
                (Some(true), _) => "`protect: true`: it is not removed until that is lifted",
                (Some(false), _) => "`protect` is declared no more: it may be removed later",
                (None, Some(DeletionPolicy::Delete)) => {
                    "`deletionPolicy: Delete`: it goes with its declaration from now on"
                }
                (None, _) => "`deletionPolicy: Orphan`: it stays registered when its declaration goes",
            };
            ActionDocument { reason: "RemovalDeclared", ..kept(id, change, source, of.id, (symbol, words)) }
        }
    }
}

/// A row about a registration of which no value is written.
fn kept(
    id: String,
    change: &Change,
    source: Place,
    registration_id: RegistrationId,
    (symbol, words): (Symbol, &'static str),
) -> ActionDocument {
    ActionDocument {
        id,
        actions: vec![change.action().kind().name()],
        object: object(change.serial().as_str(), Some(registration_id)),
        reason: "",
        cause: "declared",
        source,
        changes: vec![],
        unknown_after: vec![],
        precondition: Precondition { expect: "none", fingerprint: None },
        writes: change.action().writes(),
        notes: change.notes.clone(),
        symbol,
        words: Some(words),
        observed: None,
    }
}

fn unchanged(before: &Device) -> Precondition {
    Precondition { expect: "fingerprint", fingerprint: Some(fingerprint(before)) }
}

/// The values that go with a registration.
fn lost(before: &Device) -> impl Iterator<Item = ChangeDocument> {
    let fields = Field::ALL.into_iter().filter(|field| !field.of(before).is_empty());
    fields.map(|field| ChangeDocument {
        path: field.name(),
        before: some(field.of(before)),
        after: Some(None),
        after_sha256: None,
        redacted: None,
        label: field.label(),
        shown: Shown::Gone,
    })
}

fn removal(plan: &Plan) -> RemovalDocument {
    let Removal { tracked, undeclared, not_computed, files, .. } = &plan.removal;
    let waits = |device: &&DeviceKey| !plan.awaiting.iter().any(|awaiting| awaiting.device == **device);
    let undeclared = if *undeclared == 0 {
        Vec::new()
    } else {
        files.keys().filter(waits).map(|device| device.serial.to_string()).collect()
    };
    let words = not_computed.as_ref().map(|why| (why.text(), why.remedy()));
    RemovalDocument { tracked: *tracked, undeclared, not_computed: not_computed.as_ref().map(NoRemoval::name), words }
}

/// Why a change is to be made.
fn cause(change: &Change) -> &'static str {
    match change.action() {
        Action::Update(update) if update.fields.iter().all(|f| change.drifted.contains(&f.field)) => "tenant",
        _ => "declared",
    }
}

fn let_go(of: &LetGo, source: Place) -> LetGoDocument {
    let kept = |(field, value): &(Field, CompactString)| ChangeDocument {
        path: field.name(),
        before: some(value),
        after: Some(some(value)),
        after_sha256: None,
        redacted: None,
        label: field.label(),
        shown: Shown::Value,
    };
    let object = object(of.device.serial.as_str(), Some(of.registration_id));
    LetGoDocument { object, source, kept: of.fields.iter().map(kept).collect() }
}

/// Every field of a registration as it was read.
fn observed(device: &Device) -> Vec<(&'static str, CompactString)> {
    Field::ALL.iter().map(|field| (field.name(), field.of(device).clone())).collect()
}

/// Every value that a registration gets, and the hash last.
fn registered<'v>(
    values: impl Iterator<Item = (Field, &'v CompactString)>,
    digest: Option<HashDigest>,
) -> Vec<ChangeDocument> {
    let value = |(field, value): (Field, &CompactString)| ChangeDocument {
        path: field.name(),
        before: None,
        after: Some(some(value)),
        after_sha256: None,
        redacted: None,
        label: field.label(),
        shown: if value.is_empty() { Shown::Never } else { Shown::Value },
    };
    let hash = digest.map(|digest| ChangeDocument {
        path: "hardwareHash",
        before: None,
        after: None,
        after_sha256: Some(digest),
        redacted: Some(true),
        label: "hash",
        shown: Shown::Digest,
    });
    values.map(value).chain(hash).collect()
}

fn changed(change: &FieldChange) -> ChangeDocument {
    ChangeDocument {
        path: change.field.name(),
        before: some(&change.before),
        after: Some(some(&change.after)),
        after_sha256: None,
        redacted: None,
        label: change.field.label(),
        shown: Shown::Change,
    }
}

/// The evidence, and the command that approves, to be pasted: it says for which
/// tenant where there are several.
fn exceeded(reading: &LimitReading, tenant: Option<&str>) -> [String; 2] {
    let LimitReading { class, count, limit, spent, .. } = reading;
    let flag = match class {
        Class::Update => "--approve-updates",
        Class::Retag => "--approve-retags",
        Class::Clear => "--approve-clears",
        Class::Adopt => "--approve-adopts",
        Class::Delete => "--approve-deletes",
        Class::Release => "--approve-releases",
    };
    let name = tenant.map(|name| format!("{name}=")).unwrap_or_default();
    [
        match spent {
            0 => format!("{count} of at most {limit} changes of class `{}`", class.name()),
            _ => format!(
                "{count} and {spent} in the last 24 hours, of at most {limit} changes of class `{}`",
                class.name()
            ),
        },
        format!("approve them with: apgit apply {flag}={name}{}", count + spent),
    ]
}

/// A change that will not be made. `name`: of the tenant, where there are
/// several.
pub(in super::super) fn held(held: &Held, name: Option<&str>, source: Place) -> HeldDocument {
    HeldDocument {
        class: reason::class(held.reason),
        action: held.action.name(),
        object: object(held.serial().as_str(), held.registration_id),
        reason: held.reason,
        source,
        changes: match held.action {
            ActionKind::Register => registered(held.fields.iter().map(|f| (f.field, &f.after)), held.hash),
            ActionKind::Update => held.fields.iter().map(changed).collect(),
            ActionKind::Deregister => held.before.iter().flat_map(|before| lost(before)).collect(),
            ActionKind::Release | ActionKind::Adopt | ActionKind::Loosen | ActionKind::Tighten => Vec::new(),
        },
        evidence: held.details.iter().cloned().chain(held.limits.iter().flat_map(|of| exceeded(of, name))).collect(),
        since: held.since,
        retry_after: held.retry_at,
        remedies: held.reason.remedies().iter().map(|of| Remedy { code: of.0 }).collect(),
        symbol: reason::symbol(held.reason),
        observed: held.before.as_deref().map(observed),
    }
}

fn awaiting(awaiting: &Awaiting, source: Place) -> AwaitingDocument {
    let (reason, since, changes, words) = match &awaiting.what {
        Waiting::Vendor => ("AwaitingVendor", None, vec![], Cow::Borrowed("for its vendor to register it")),
        Waiting::Registration { since } => {
            let words = format!("imported {}, not listed yet", time_of_day(*since));
            ("AwaitingRegistration", Some(*since), vec![], words.into())
        }
        Waiting::Gone { since } => {
            let words = format!("deletion asked for {}, still registered", time_of_day(*since));
            ("AwaitingGone", Some(*since), vec![], words.into())
        }
        Waiting::Values { since, fields } => {
            let labels: Vec<&str> = fields.iter().map(|change| change.field.label()).collect();
            let words = format!("{} written {}, not shown yet", labels.join(", "), time_of_day(*since));
            ("AwaitingValues", Some(*since), fields.iter().map(changed).collect(), words.into())
        }
    };
    let object = object(awaiting.serial().as_str(), awaiting.registration_id);
    AwaitingDocument { reason, object, source, since, changes, words }
}

/// A registration that is declared nowhere.
pub(in super::super) fn unmanaged(device: &Device) -> UnmanagedDocument {
    UnmanagedDocument {
        serial_number: device.serial.to_string(),
        registration_id: device.id,
        group_tag: some(&device.group_tag),
        user_principal_name: some(&device.user),
    }
}

fn approval(grant: &Grant, standing: GrantStanding) -> ApprovalDocument {
    let Grant { name, digest, expires_at, .. } = grant.clone();
    let until = moment(expires_at);
    let words = match standing {
        GrantStanding::Holds => format!("`{name}` approves this plan, once, until {until}"),
        GrantStanding::OtherPlan => format!("`{name}` is for another plan (sha256:{})", &digest[..8]),
        GrantStanding::Begun => format!("`{name}` was begun: an apply goes on with what is left of its plan"),
        GrantStanding::Used => format!("`{name}` was used: its plan was carried out, or begun elsewhere"),
        GrantStanding::Expired => format!("`{name}` counts no more: it expired at {until}"),
    };
    ApprovalDocument { name, digest, expires_at, standing, words }
}

fn diagnostics(held: &[HeldDocument], failed_on: Option<FailOn>, news: &[String]) -> Vec<Diagnostic> {
    let warning = |held: &HeldDocument| Diagnostic {
        severity: "warning",
        code: held.reason.to_string(),
        object: Some(held.object.serial_number.clone()),
        file: Some(held.source.file.to_string()),
        line: Some(held.source.line),
    };
    let failed = failed_on.map(|failed| Diagnostic {
        severity: "error",
        code: format!("FailOn{failed:?}"),
        object: None,
        file: None,
        line: None,
    });
    let other = Diagnostic { severity: "warning", code: "NewTarget".to_owned(), object: None, file: None, line: None };
    let other = (!news.is_empty()).then_some(other);
    other.into_iter().chain(failed).chain(held.iter().map(warning)).collect()
}

fn object(serial: &str, registration_id: Option<RegistrationId>) -> Object {
    Object { serial_number: serial.to_owned(), registration_id }
}

/// `""` is nothing, and nothing is `null` for tools.
fn some(text: &CompactString) -> Option<CompactString> {
    (!text.is_empty()).then(|| text.clone())
}

fn upkeep(upkeep: &Upkeep) -> UpkeepDocument {
    let (sync, sync_owed_since) = match upkeep.sync {
        None => (None, None),
        Some(SyncReason::Registers) => (Some("Registers"), None),
        Some(SyncReason::Owed { since }) => (Some("Owed"), Some(since)),
        Some(SyncReason::Vendor) => (Some("Vendor"), None),
    };
    UpkeepDocument { sync, sync_owed_since, clean_up: upkeep.clean_up.len() }
}
