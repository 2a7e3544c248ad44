//! Objects and the names they give: names that stand twice, tenants that are
//! one, and which tenant an object is about.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::{ApprovalObject, Conflict, DeviceObject, TenantObject, TenantRef};
use crate::model::{Origin, Owner, Tenant, TenantId};
use crate::resource::Kind;

/// One name, one object: a second one of the same kind would overwrite it.
pub(super) fn duplicate_names(
    tenants: &[TenantObject],
    objects: &[DeviceObject],
    approvals: &[ApprovalObject],
) -> Vec<Conflict> {
    let tenants = tenants.iter().map(|it| ((Kind::Tenant, it.namespace.as_str(), it.name.as_str()), it.origin));
    let objects =
        objects.iter().filter_map(|it| Some(((it.kind, it.namespace.as_str(), it.name.as_deref()?), it.origin)));
    let approvals = approvals
        .iter()
        .filter_map(|it| Some(((Kind::PlanApproval, it.namespace.as_str(), it.name.as_deref()?), it.origin)));
    let mut first: HashMap<_, Origin> = HashMap::new();
    let mut twice: BTreeMap<_, Vec<Origin>> = BTreeMap::new();
    for (name, origin) in tenants.chain(objects).chain(approvals) {
        match first.entry(name) {
            Entry::Vacant(entry) => _ = entry.insert(origin),
            Entry::Occupied(entry) => twice.entry(name).or_insert_with(|| vec![*entry.get()]).push(origin),
        }
    }
    let conflict = |((kind, _, name), origins): ((_, _, &str), _)| Conflict::DuplicateName {
        kind,
        name: name.to_owned(),
        origins,
    };
    twice.into_iter().map(conflict).collect()
}

/// Two objects for one tenant and one owner would plan over each other.
pub(super) fn twins(tenants: &[TenantObject]) -> Vec<Conflict> {
    let mut seen: BTreeMap<(TenantId, &str), Vec<&TenantObject>> = BTreeMap::new();
    for object in tenants {
        if let Some((tenant, _)) = &object.tenant {
            seen.entry((tenant.id, &tenant.owner)).or_default().push(object);
        }
    }
    // Those of one name have been reported as such.
    let differ = |twins: &[&TenantObject]| twins.iter().any(|object| object.name != twins[0].name);
    let conflict = |((id, owner), twins): ((TenantId, &str), Vec<&TenantObject>)| {
        let origins = twins.iter().map(|object| object.origin).collect();
        differ(&twins).then_some(Conflict::DuplicateTenant { id, owner: owner.to_owned(), origins })
    };
    seen.into_iter().filter_map(conflict).collect()
}

/// Two owners of one tenant whose scopes have a tag in common.
pub(super) fn overlaps(objects: &[TenantObject]) -> Vec<Conflict> {
    let of =
        |object: &'_ TenantObject| object.tenant.as_ref().map(|(tenant, _)| tenant.clone()).zip(Some(object.origin));
    let tenants: Vec<(Tenant, Origin)> = objects.iter().filter_map(of).collect();
    let mut conflicts = Vec::new();
    for (at, (one, first)) in tenants.iter().enumerate() {
        for (other, second) in &tenants[at + 1..] {
            if one.id == other.id
                && let Some((ours, theirs)) = Owner::of(one).meets(&Owner::of(other))
            {
                let owners = [one.owner.clone(), other.owner.clone()];
                let (patterns, origins) = ([ours.to_owned(), theirs.to_owned()], vec![*first, *second]);
                conflicts.push(Conflict::ScopeOverlap { owners, patterns, origins });
            }
        }
    }
    conflicts
}

/// An object that is about a tenant.
pub(super) struct Asks<'o> {
    namespace: &'o str,
    origin: Origin,
    tenant_ref: &'o TenantRef,
}

impl<'o> Asks<'o> {
    pub(super) fn of_devices(object: &'o DeviceObject) -> Self {
        Self { namespace: &object.namespace, origin: object.origin, tenant_ref: &object.tenant_ref }
    }

    pub(super) fn of_approval(object: &'o ApprovalObject) -> Self {
        Self { namespace: &object.namespace, origin: object.origin, tenant_ref: &object.tenant_ref }
    }
}

/// Which tenant each object is about. Objects that name none, or one
/// that is not there, are one conflict per cause and not one per object.
pub(super) fn targets<'o>(
    tenants: &[TenantObject],
    objects: impl Iterator<Item = Asks<'o>>,
) -> (Vec<Option<usize>>, Vec<Conflict>) {
    let mut unknown: BTreeMap<(&str, &str), Vec<Origin>> = BTreeMap::new();
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, tenant) in tenants.iter().enumerate() {
        by_name.entry(&tenant.name).or_default().push(index);
    }
    let mut without: Vec<Origin> = Vec::new();
    let target = |object: Asks<'o>| match object.tenant_ref {
        TenantRef::Named(name, origin) => {
            let found = find(tenants, by_name.get(name.as_str()).map_or(&[], Vec::as_slice), object.namespace);
            if found.is_none() {
                unknown.entry((name, object.namespace)).or_default().push(*origin);
            }
            found
        }
        TenantRef::Only if tenants.len() == 1 => Some(0),
        TenantRef::Only => {
            without.push(object.origin);
            None
        }
        TenantRef::Broken => None,
    };
    let targets = objects.map(target).collect();
    let known: Vec<String> = tenants.iter().map(|tenant| tenant.name.clone()).collect();
    let mut conflicts: Vec<_> = unknown
        .into_iter()
        .map(|((name, namespace), at)| unknown_tenant(tenants, &known, name, namespace, at))
        .collect();
    if !without.is_empty() {
        conflicts.push(Conflict::NoTenant { known, origins: without });
    }
    (targets, conflicts)
}

/// So many names are looked through for the one that was meant.
const KNOWN_MAX: usize = 50;

fn unknown_tenant(
    tenants: &[TenantObject],
    known: &[String],
    name: &str,
    namespace: &str,
    origins: Vec<Origin>,
) -> Conflict {
    let elsewhere = tenants.iter().find(|tenant| tenant.name == name && tenant.namespace != namespace);
    Conflict::UnknownTenant {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        elsewhere: elsewhere.map(|tenant| tenant.namespace.clone()),
        known: known.iter().take(KNOWN_MAX).cloned().collect(),
        origins,
    }
}

/// A tenant in the device's own namespace, among those of its name. An object
/// without a namespace goes wherever kubectl's context points, so it matches any,
/// if only one.
fn find(tenants: &[TenantObject], named: &[usize], namespace: &str) -> Option<usize> {
    if let Some(index) = named.iter().find(|index| tenants[**index].namespace == namespace) {
        return Some(*index);
    }
    let mut open = named.iter().filter(|index| tenants[**index].namespace.is_empty() || namespace.is_empty());
    let index = open.next()?;
    open.next().is_none().then_some(*index)
}
