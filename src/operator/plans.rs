//! Plans as objects: what would be done, written down for whoever approves it. At
//! most one of a tenant waits; one that is the same again stays as it is, so that
//! an approval of it stays good.

use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};

use super::condition::{self, Fact, conditions, whole_seconds};
use super::report;
use crate::model::{Origin, seen};
use crate::plan::ENCODING;
use crate::render::document::{
    ActionDocument, ChangeDocument, HeldDocument, Object, PlanDocument, PlanView, Shown, Symbol,
};
use crate::render::{Place, Places};
use crate::resource::{
    AutopilotPlan, AutopilotPlanSpec, AutopilotTenant, Condition, LocalRef, PLANNED_HELD_MAX, PLANNED_MAX,
    PlannedChange, PlannedField, PlannedHeld, PlannedLimit, Status,
};
use crate::round::Prepared;

/// Which tenant a plan is of.
const OF: &str = "apgit.dev/tenant";
/// So many hours a plan waits before it is made anew.
const LASTS_H: i64 = 24 * 7;
/// So many plans that nobody waits for are kept, to be looked at.
const KEPT: usize = 5;
/// So long is the line that shows the first of its changes.
const GLANCE_CHARS: usize = 120;

/// What a plan looks like to those who approve it.
#[must_use]
pub(super) fn written(prepared: &Prepared, objects: &dyn Fn(Origin) -> String, now: Timestamp) -> AutopilotPlanSpec {
    let plan = prepared.cleared.plan();
    let places: Places<'_> = &|origin| Place::new(&objects(origin).into(), 0);
    let view = PlanView {
        cleared: &prepared.cleared,
        schedule: &prepared.schedule,
        calls: prepared.calls,
        source: "",
        files: 0,
        several: false,
        cloud: plan.target.cloud(),
        simulated: plan.target.is_simulated(),
        created_at: now,
        expires_at: None,
        targets: &[],
        excludes: &[],
        places,
        news: &[],
        failed_on: None,
    };
    let document = view.document();
    let cut = |text: &str, chars: usize| -> String { seen(text).chars().take(chars).collect() };
    AutopilotPlanSpec {
        tenant_ref: LocalRef { name: plan.tenant.name.clone() },
        digest: plan.digest().sha256,
        encoding: ENCODING.to_owned(),
        policy: plan.tenant.policy.name().to_owned(),
        summary: summary(&document),
        glance: glance(&document),
        observed_at: whole_seconds(plan.observed_at),
        expires_at: whole_seconds(now.checked_add(LASTS_H.hours()).unwrap_or(now)),
        loosens: document
            .loosens
            .iter()
            .take(100)
            .map(|of| cut(&format!("{}: {} → {}", of.path, of.before, of.after), 512))
            .collect(),
        changes: document.actions.iter().take(PLANNED_MAX).map(change).collect(),
        more_changes: more(document.actions.len(), PLANNED_MAX),
        limits: document
            .policy
            .limits
            .iter()
            .map(|of| PlannedLimit {
                name: of.name.to_owned(),
                value: whole(of.value + of.spent),
                limit: whole(of.limit),
                ok: of.ok,
            })
            .collect(),
        held: document.held.iter().take(PLANNED_HELD_MAX).map(held).collect(),
        more_held: more(document.held.len(), PLANNED_HELD_MAX),
    }
}

fn change(of: &ActionDocument) -> PlannedChange {
    let visible = of.changes.iter().filter(|change| change.shown != Shown::Never);
    PlannedChange {
        serial_number: of.object.serial_number.clone(),
        action: of.actions.first().copied().unwrap_or_default().to_owned(),
        registration_id: of.object.registration_id.map(|id| id.to_string()),
        declared_by: of.source.file.chars().take(256).collect(),
        cause: of.cause.to_owned(),
        fields: visible.map(field).collect(),
        notes: of.notes.iter().take(8).map(|note| note.text().to_owned()).collect(),
    }
}

fn field(of: &ChangeDocument) -> PlannedField {
    let text = |text: &str| seen(text).into_owned();
    let after = match of.shown {
        Shown::Digest => Some(of.digest()),
        Shown::Gone => None,
        _ => of.after.as_ref().map(|after| text(after.as_deref().unwrap_or_default())),
    };
    let before = of.before.as_deref().map(text);
    PlannedField { name: of.path.to_owned(), before, after }
}

fn held(of: &HeldDocument) -> PlannedHeld {
    let said = std::iter::once(of.reason.text()).chain(of.evidence.iter().map(String::as_str));
    let message: String = seen(&said.collect::<Vec<_>>().join("; ")).chars().take(1_024).collect();
    PlannedHeld {
        serial_number: of.object.serial_number.clone(),
        action: of.action.to_owned(),
        reason: format!("{:?}", of.reason),
        message,
        fields: of.changes.iter().filter(|change| change.shown != Shown::Never).map(field).collect(),
    }
}

/// `+2 ~1 -1 !3`: the signs that every plan uses.
fn summary(plan: &PlanDocument) -> String {
    let count = |symbol| plan.actions.iter().filter(|action| action.symbol == symbol).count();
    let signs = plan.symbols();
    let done = signs.iter().map(|symbol| (*symbol, count(*symbol))).filter(|(_, count)| *count > 0);
    let mut words: Vec<String> = done.map(|(symbol, count)| format!("{}{count}", symbol.sign())).collect();
    if !plan.loosens.is_empty() {
        words.insert(0, format!("*{}", plan.loosens.len()));
    }
    if !plan.held.is_empty() {
        words.push(format!("!{}", plan.held.len()));
    }
    if words.is_empty() { "no changes".to_owned() } else { words.join(" ") }
}

/// The first changes in a line; where there are none, the first that are held.
fn glance(plan: &PlanDocument) -> String {
    let changes = plan.actions.iter().map(|of| words(of.symbol, &of.object, &of.changes));
    let held = plan.held.iter().map(|of| words(of.symbol, &of.object, &of.changes));
    let all: Vec<String> = if plan.actions.is_empty() { held.collect() } else { changes.collect() };
    let mut line = String::new();
    for (number, part) in all.iter().enumerate() {
        let is_first = line.is_empty();
        if !is_first && line.chars().count() + part.chars().count() > GLANCE_CHARS {
            return format!("{line}; and {} more", all.len() - number);
        }
        line.push_str(if is_first { "" } else { "; " });
        line.extend(part.chars().take(GLANCE_CHARS));
    }
    line
}

/// `~ 5CG4251XYZ groupTag "A" → "B"`.
fn words(symbol: Symbol, device: &Object, changes: &[ChangeDocument]) -> String {
    let fields = changes.iter().filter_map(|change| match change.shown {
        Shown::Change => Some(format!(" {} \"{}\" → \"{}\"", change.path, seen(change.before()), seen(change.after()))),
        Shown::Value => Some(format!(" {} \"{}\"", change.path, seen(change.after()))),
        Shown::Never | Shown::Gone | Shown::Digest => None,
    });
    format!("{} {}{}", symbol.sign(), device.serial_number, fields.collect::<String>())
}

fn more(all: usize, shown: usize) -> Option<i64> {
    all.checked_sub(shown).filter(|more| *more > 0).map(whole)
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Why a plan is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Somebody has to approve it.
    ForApproval,
    /// The tenant's policy is to look only.
    Observes,
    /// The tenant is suspended.
    Suspended,
}

/// What became of the plans of a tenant.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// What would be done and is not yet: because it waits for an approval, or
    /// because the tenant's declaration lets nothing be done at all.
    pub waits: Option<(AutopilotPlanSpec, Waits)>,
    /// What was carried out, by its id.
    pub done: Option<String>,
}

/// Brings the objects to where the plans stand. True if all of it is there.
pub(super) async fn settle(client: &Client, tenant: &AutopilotTenant, standing: &Standing, now: Timestamp) -> bool {
    match try_settle(client, tenant, standing, now).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(tenant = tenant.name_any(), %error, "the plans cannot be written");
            false
        }
    }
}

async fn try_settle(
    client: &Client,
    tenant: &AutopilotTenant,
    standing: &Standing,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let namespace = tenant.namespace().unwrap_or_default();
    let api = Api::<AutopilotPlan>::namespaced(client.clone(), &namespace);
    let of = ListParams::default().labels(&format!("{OF}={}", tenant.name_any()));
    let mut known = api.list(&of).await?.items;
    let name_of = |short: &str| format!("{}-{short}", tenant.name_any());
    let wanted = standing.waits.as_ref().map(|(spec, waits)| (name_of(&spec.digest[..12]), spec, *waits));
    let done = standing.done.as_ref().and_then(|id| id.strip_prefix("plan-")).map(name_of);
    let mut is_there = false;
    for plan in &known {
        let name = plan.name_any();
        match &wanted {
            Some((wanted, spec, why)) if *wanted == name => {
                is_there = waits(plan) && is_the_same(&plan.spec, spec, now);
                match is_there {
                    true => tell(&api, plan, &condition::waits(*why, &spec.digest), now).await?,
                    false => drop(api.delete(&name, &DeleteParams::default()).await?),
                }
            }
            _ if !waits(plan) => {}
            _ if Some(&name) == done.as_ref() => tell(&api, plan, &condition::settled(true), now).await?,
            _ => tell(&api, plan, &condition::settled(false), now).await?,
        }
    }
    if let Some((name, spec, why)) = wanted.filter(|_| !is_there) {
        let metadata = ObjectMeta {
            name: Some(name),
            labels: Some([(OF.to_owned(), tenant.name_any())].into()),
            owner_references: Some(vec![owner(tenant)]),
            ..ObjectMeta::default()
        };
        let plan = AutopilotPlan { metadata, spec: spec.clone(), status: None };
        let plan = api.create(&PostParams::default(), &plan).await?;
        tell(&api, &plan, &condition::waits(why, &spec.digest), now).await?;
    }
    // The oldest that nobody waits for go.
    known.retain(|plan| !waits(plan));
    known.sort_by_key(|plan| std::cmp::Reverse(plan.creation_timestamp()));
    for plan in known.iter().skip(KEPT) {
        api.delete(&plan.name_any(), &DeleteParams::default()).await?;
    }
    Ok(())
}

/// True if what is written down is what would be done. Of what is held only, the
/// digest says nothing.
fn is_the_same(before: &AutopilotPlanSpec, now: &AutopilotPlanSpec, at: Timestamp) -> bool {
    let is_current = before.expires_at.parse::<Timestamp>().is_ok_and(|expires| at < expires);
    // Whoever could write one must not have another one approved than is shown.
    let shown = |of: &AutopilotPlanSpec| {
        (
            of.digest.clone(),
            of.changes.clone(),
            of.more_changes,
            of.loosens.clone(),
            of.summary.clone(),
            of.glance.clone(),
        )
    };
    let is_held = |of: &AutopilotPlanSpec| of.changes.is_empty().then(|| of.held.clone());
    is_current && shown(before) == shown(now) && is_held(before) == is_held(now)
}

/// True for a plan that nobody has said anything final about.
fn waits(plan: &AutopilotPlan) -> bool {
    let conditions = plan.status.iter().flat_map(|status| &status.conditions);
    let ready = Condition::among(conditions, "Ready");
    !ready.is_some_and(|ready| matches!(ready.reason.as_str(), "Succeeded" | "Superseded"))
}

async fn tell(
    api: &Api<AutopilotPlan>,
    plan: &AutopilotPlan,
    facts: &[Fact],
    now: Timestamp,
) -> Result<(), kube::Error> {
    let before = plan.status.clone().unwrap_or_default().conditions;
    let generation = plan.metadata.generation;
    let status = Status {
        observed_generation: generation,
        conditions: conditions(facts, &before, generation, now),
        ..Status::default()
    };
    if plan.status.as_ref() == Some(&status) {
        return Ok(());
    }
    report::apply_status(api, &plan.name_any(), status).await
}

/// They go with their tenant.
fn owner(tenant: &AutopilotTenant) -> OwnerReference {
    OwnerReference {
        api_version: AutopilotTenant::api_version(&()).into_owned(),
        kind: AutopilotTenant::kind(&()).into_owned(),
        name: tenant.name_any(),
        uid: tenant.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}
