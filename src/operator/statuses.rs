//! What a turn found out, as the statuses of the objects. Pure: the same account
//! makes the same statuses, and what is there already is not wanted again.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use super::condition::{self, Fact, Standing, conditions};
use super::declared::{Declared, Id};
use super::events::{about, news};
use super::index::Objects;
use super::report::Wanted;
use super::turn::Account;
use crate::desired::Fleet;
use crate::model::{Claim, DeviceKey};
use crate::plan::Held;
use crate::resource::{
    AutopilotDevice, AutopilotDeviceSet, AutopilotPlanApproval, AutopilotTenant, Condition, ConditionStatus,
    DeviceCounts, FleetStatus, Kind, LocalRef, REQUESTED_AT, Status,
};
use crate::status::DeviceStatus;

/// So many problems are told; of more, how many there are.
const PROBLEMS: usize = 20;
/// And so much of each.
const PROBLEM_CHARS: usize = 1_000;

/// What is known after a turn of one tenant of a namespace.
pub(super) struct Known<'a> {
    /// The tenant's name.
    pub tenant: &'a str,
    pub objects: &'a Objects,
    pub declared: &'a Declared,
    /// `None`: the tenant itself cannot be used.
    pub fleet: Option<&'a Fleet>,
    pub account: &'a Account,
    pub now: Timestamp,
}

/// A device, and what is said of it where it is held.
type Stands<'a> = (&'a DeviceStatus, Option<&'a Held>);

/// How many devices of a tenant stand where.
#[must_use]
pub(super) fn counts(account: &Account) -> DeviceCounts {
    let mut counts = DeviceCounts::default();
    let devices = account.devices.iter().flat_map(|(status, _)| &status.devices);
    devices.for_each(|device| count(&mut counts, condition::of_device(device, None, false).0));
    counts
}

fn count(counts: &mut DeviceCounts, standing: Standing) {
    counts.declared += 1;
    match standing {
        Standing::Ready => counts.ready += 1,
        Standing::InProgress => counts.in_progress += 1,
        Standing::Stalled => counts.held += 1,
    }
}

/// The statuses of the tenant's objects that are not as they shall be.
#[must_use]
pub(super) fn statuses(known: &Known<'_>) -> Vec<Wanted> {
    let stand = known.by_object();
    let of = |kind, name: String| stand.get(&Id { kind, name }).map_or(&[][..], Vec::as_slice);
    let (tenants, devices, sets) = (&known.objects.tenants, &known.objects.devices, &known.objects.sets);
    let devices = devices.iter().filter(|object| known.tells_of(object.spec.tenant_ref.as_ref()));
    let devices = devices.filter_map(|object| known.device(object, of(Kind::Device, object.name_any())));
    let sets = sets.iter().filter(|object| known.tells_of(object.spec.tenant_ref.as_ref()));
    let sets = sets.filter_map(|object| known.set(object, of(Kind::DeviceSet, object.name_any())));
    let all: Vec<Stands<'_>> = stand.values().flatten().copied().collect();
    let tenants = tenants.iter().filter(|object| object.name_any() == known.tenant);
    let tenants = tenants.filter_map(|object| known.tenant(object, &all));
    let approvals = known.objects.approvals.iter();
    let approvals = approvals.filter(|object| known.tells_of(object.spec.tenant_ref.as_ref()));
    let approvals = approvals.filter_map(|object| known.approval(object));
    devices.chain(sets).chain(tenants).chain(approvals).collect()
}

impl<'a> Known<'a> {
    /// Where devices stand, by the objects that declare them.
    fn by_object(&self) -> BTreeMap<Id, Vec<Stands<'a>>> {
        let mut by_object: BTreeMap<Id, Vec<Stands<'a>>> = BTreeMap::new();
        let (Some((status, held)), Some(fleet)) = (&self.account.devices, self.fleet) else { return by_object };
        for (device, claim) in status.devices.iter().zip(fleet.desired.claims()) {
            if let Some(id) = self.declared.object(device.origin) {
                by_object.entry(id.clone()).or_default().push((device, held.get(&claim.key())));
            }
        }
        by_object
    }

    /// True for an object of this tenant. Whoever names none that is there belongs
    /// to the first, so that somebody says what is wrong with it.
    fn tells_of(&self, named: Option<&LocalRef>) -> bool {
        let names = || self.objects.tenants.iter().map(|tenant| tenant.name_any());
        match named.filter(|named| names().any(|name| name == named.name)) {
            Some(named) => named.name == self.tenant,
            None => names().next().is_some_and(|first| first == self.tenant),
        }
    }

    fn device(&self, object: &AutopilotDevice, stands: &[Stands<'_>]) -> Option<Wanted> {
        let id = Id { kind: Kind::Device, name: object.name_any() };
        let before = object.status.clone().unwrap_or_default();
        let generation = object.metadata.generation;
        let (facts, registration_id) = match (self.declared.problems.get(&id), stands.first()) {
            (Some(problems), _) => (condition::unusable(problems), None),
            (None, Some((device, held))) => {
                let is_suspended = object.spec.suspend == Some(true) || self.is_suspended();
                let (_, facts) = condition::of_device(device, *held, is_suspended);
                (facts, device.registration_id)
            }
            (None, None) => (self.waits(&before.conditions, before.observed_generation == generation)?, None),
        };
        let status = Status {
            observed_generation: generation,
            conditions: conditions(&facts, &before.conditions, generation, self.now),
            registration_id: registration_id.map(|id| id.to_string()).or(before.registration_id),
            last_handled_reconcile_at: requested_at(&object.metadata),
        };
        let news = news(about(object), &before.conditions, &status.conditions, false);
        Wanted::device(&id.name, object.status.as_ref(), &status).map(|wanted| wanted.telling(news))
    }

    fn set(&self, object: &AutopilotDeviceSet, stands: &[Stands<'_>]) -> Option<Wanted> {
        let id = Id { kind: Kind::DeviceSet, name: object.name_any() };
        let before = object.status.clone().unwrap_or_default();
        let is_current = before.observed_generation == object.metadata.generation;
        let (facts, devices, problems) = match self.declared.problems.get(&id) {
            Some(problems) => (condition::unusable(problems), before.devices, problems.clone()),
            None if self.account.devices.is_none() => {
                (self.waits(&before.conditions, is_current)?, before.devices, before.problems.clone())
            }
            None => self.together(stands),
        };
        let status = self.of_fleet(&object.metadata, &before, &facts, devices, problems);
        let news = news(about(object), &before.conditions, &status.conditions, false);
        Wanted::set(&id.name, object.status.as_ref(), &status).map(|wanted| wanted.telling(news))
    }

    fn tenant(&self, object: &AutopilotTenant, stands: &[Stands<'_>]) -> Option<Wanted> {
        let id = Id { kind: Kind::Tenant, name: object.name_any() };
        let before = object.status.clone().unwrap_or_default();
        let (mut facts, devices, mut problems) = match self.declared.problems.get(&id) {
            Some(problems) => (condition::unusable(problems), before.devices, problems.clone()),
            None if self.account.devices.is_none() => (Vec::new(), before.devices, before.problems.clone()),
            None => self.together(stands),
        };
        if self.account.devices.is_some() {
            let broken = self.declared.problems.iter().filter(|(id, _)| id.kind != Kind::Tenant);
            problems.extend(broken.map(|(id, said)| format!("{id}: {}", said.join("; "))));
        }
        // They have no object of their own any more.
        let leaving = self.leaving();
        if !leaving.is_empty() && facts.first().is_some_and(|fact| fact.status == ConditionStatus::True) {
            facts = condition::of_leaving(leaving.len());
        }
        let leaving = leaving.iter().map(|held| (held.serial(), held.reason, condition::why(held)));
        problems.extend(leaving.map(|(serial, reason, why)| format!("{serial}: {reason:?}, {why}")));
        if let Some(kept) = &self.account.kept {
            problems.insert(0, kept.clone());
            if facts.first().is_some_and(|fact| fact.status == ConditionStatus::True) {
                facts = condition::trouble("RemovalsHeld", kept, false);
            }
        }
        if let Some(trouble) = &self.account.trouble {
            facts = trouble.facts();
        } else if self.is_suspended() && !facts.is_empty() {
            facts = condition::suspended();
        }
        let status = self.of_fleet(&object.metadata, &before, &facts, devices, problems);
        let last_plan = self.account.plans.done.clone().or(before.last_plan);
        let news = news(about(object), &before.conditions, &status.conditions, true);
        let status = FleetStatus { last_plan, ..status };
        Wanted::tenant(&id.name, object.status.as_ref(), &status).map(|wanted| wanted.telling(news))
    }

    fn approval(&self, object: &AutopilotPlanApproval) -> Option<Wanted> {
        let id = Id { kind: Kind::PlanApproval, name: object.name_any() };
        let before = object.status.clone().unwrap_or_default();
        let generation = object.metadata.generation;
        let facts = match self.declared.problems.get(&id) {
            Some(problems) => condition::unusable(problems),
            None => {
                let known = self.account.approvals.iter().find(|(name, _)| *name == id.name);
                condition::of_approval(known?.1)
            }
        };
        let status = Status {
            observed_generation: generation,
            conditions: conditions(&facts, &before.conditions, generation, self.now),
            ..Status::default()
        };
        Wanted::approval(&id.name, object.status.as_ref(), &status)
    }

    /// Devices that are declared no more and are held, by serial.
    fn leaving(&self) -> Vec<&'a Held> {
        let (Some((_, held)), Some(fleet)) = (&self.account.devices, self.fleet) else { return Vec::new() };
        let declared: HashSet<DeviceKey> = fleet.desired.claims().iter().map(Claim::key).collect();
        let mut leaving: Vec<&Held> = held.values().filter(|held| !declared.contains(&held.device)).collect();
        leaving.sort_by_key(|held| held.serial().to_string());
        leaving
    }

    /// What is said of devices that stand together.
    fn together(&self, stands: &[Stands<'_>]) -> (Vec<Fact>, Option<DeviceCounts>, Vec<String>) {
        let mut counts = DeviceCounts::default();
        let mut problems = Vec::new();
        for (device, held) in stands {
            let (standing, facts) = condition::of_device(device, *held, self.is_suspended());
            count(&mut counts, standing);
            if standing == Standing::Stalled {
                problems.push(format!("{}: {}, {}", device.serial, facts[0].reason, facts[0].message));
            }
        }
        (condition::of_fleet(counts.in_progress, counts.held, counts.declared), Some(counts), problems)
    }

    fn of_fleet(
        &self,
        meta: &ObjectMeta,
        before: &FleetStatus,
        facts: &[Fact],
        devices: Option<DeviceCounts>,
        mut problems: Vec<String>,
    ) -> FleetStatus {
        if problems.len() > PROBLEMS {
            let more = problems.len() - PROBLEMS;
            problems.truncate(PROBLEMS);
            problems.push(format!("and {more} more"));
        }
        let problems = problems.into_iter().map(|problem| problem.chars().take(PROBLEM_CHARS).collect()).collect();
        FleetStatus {
            observed_generation: meta.generation,
            conditions: conditions(facts, &before.conditions, meta.generation, self.now),
            devices,
            problems,
            last_plan: None,
            last_handled_reconcile_at: requested_at(meta),
        }
    }

    /// What is said of devices of which nothing is known now: why not. Whatever was
    /// known before is known still: only the tenant is out of reach.
    fn waits(&self, before: &[Condition], is_current: bool) -> Option<Vec<Fact>> {
        let trouble = self.account.trouble.as_ref().filter(|_| before.is_empty() || !is_current)?;
        let message = format!("its tenant cannot be read: {}", trouble.message);
        Some(condition::trouble("TenantNotReady", &message, true))
    }

    fn is_suspended(&self) -> bool {
        self.fleet.is_some_and(|fleet| fleet.tenant.suspend == Some(true))
    }
}

fn requested_at(meta: &ObjectMeta) -> Option<String> {
    meta.annotations.as_ref()?.get(REQUESTED_AT).cloned()
}
