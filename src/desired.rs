//! All declared objects to fleets and conflicts: every rule that holds between
//! claims, for files and for a cluster alike.
//!
//! Pure. No file, no span and no cluster is known here: where an object or a
//! claim stands is an [`Origin`], a mark that the caller made and can turn into
//! a place or an object again.

mod claims;
mod conflict;
mod near;
mod policy;
mod tenants;

use std::path::Path;

pub(crate) use claims::{mixed_hardware, same_hardware};
pub use conflict::{Conflict, Severity};
pub(crate) use near::near;
pub(crate) use policy::refused_tags;

use crate::model::{Claim, Desired, Grant, Origin, Tenant};
use crate::resource::{AutopilotTenantSpec, Kind};

/// A declared tenant. It takes its name even when its declaration is broken.
#[derive(Debug)]
pub struct TenantObject {
    /// Empty: wherever the reader's own context points.
    pub namespace: String,
    /// By which devices name it.
    pub name: String,
    /// Where it is declared.
    pub origin: Origin,
    /// Missing when it had problems: its devices are still held against each
    /// other.
    pub tenant: Option<(Tenant, Box<AutopilotTenantSpec>)>,
}

/// An object that declares devices: one, or a set.
#[derive(Debug)]
pub struct DeviceObject {
    /// A device, or a set of them.
    pub kind: Kind,
    /// Empty: wherever the reader's own context points.
    pub namespace: String,
    /// Missing when it had problems.
    pub name: Option<String>,
    /// Where it is declared.
    pub origin: Origin,
    /// Whose devices these are.
    pub tenant_ref: TenantRef,
    /// Where it lives, as an index into the homes.
    pub home: u32,
    /// In the order in which they stand in the object.
    pub claims: Vec<Claim>,
}

/// An object that approves a plan.
#[derive(Debug)]
pub struct ApprovalObject {
    /// Empty: wherever the reader's own context points.
    pub namespace: String,
    /// Missing when it had problems.
    pub name: Option<String>,
    /// Where it is declared.
    pub origin: Origin,
    /// Of which tenant the plan is.
    pub tenant_ref: TenantRef,
    /// Missing when it had problems.
    pub grant: Option<Grant>,
}

/// Which tenant an object is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantRef {
    /// The tenant of this name, and where the name stands.
    Named(String, Origin),
    /// It says nothing: the only tenant there is.
    Only,
    /// It says something that was reported already; its claims go nowhere.
    Broken,
}

/// Where an object lives, in the words of a tenant's `tagPolicy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// From the repository's root, with `/`.
    Path(String),
    /// In a cluster.
    Namespace(String),
}

/// A tenant with all claims on it.
#[derive(Debug)]
pub struct Fleet {
    /// What the tenant shall hold.
    pub desired: Desired,
    /// How to reach the tenant: auth, endpoints, cloud, vaults.
    pub tenant: AutopilotTenantSpec,
    /// What somebody has approved beforehand.
    pub grants: Vec<Grant>,
}

/// Puts objects together: each claim to its tenant, and whatever contradicts
/// another thing into a conflict. One fleet per sound tenant, in the order of
/// the tenants; only to be acted on when no conflict is an error.
///
/// `in_git` says of a file's path whether Git keeps that file.
#[must_use]
pub fn assemble(
    tenants: Vec<TenantObject>,
    objects: Vec<DeviceObject>,
    approvals: Vec<ApprovalObject>,
    homes: &[Home],
    in_git: &dyn Fn(&Path) -> bool,
) -> (Vec<Fleet>, Vec<Conflict>) {
    let mut conflicts = tenants::duplicate_names(&tenants, &objects, &approvals);
    conflicts.extend(tenants::twins(&tenants));
    conflicts.extend(tenants::overlaps(&tenants));
    let asks = objects.iter().map(tenants::Asks::of_devices).chain(approvals.iter().map(tenants::Asks::of_approval));
    let (mut targets, unresolved) = tenants::targets(&tenants, asks);
    conflicts.extend(unresolved);
    let targets_of_approvals = targets.split_off(objects.len());
    let mut of_tenants: Vec<Vec<&DeviceObject>> = vec![Vec::new(); tenants.len()];
    for (object, target) in objects.iter().zip(&targets) {
        if let Some(target) = target {
            of_tenants[*target].push(object);
        }
    }
    for (tenant, own) in tenants.iter().zip(&of_tenants) {
        let own = own.iter().copied();
        let claims = || own.clone().flat_map(|object| &object.claims);
        conflicts.extend(claims::duplicate_registrations(claims()));
        if let Some((tenant, spec)) = &tenant.tenant {
            conflicts.extend(policy::tags(&tenant.tag_policy, own.clone(), homes));
            conflicts.extend(policy::out_of_scope(&tenant.scope, claims()));
            conflicts.extend(policy::vaults(spec, claims()));
            conflicts.extend(policy::plain_hashes(spec, claims(), in_git));
        }
    }
    let claims = distribute(tenants.len(), objects, &targets);
    let mut grants: Vec<Vec<Grant>> = vec![Vec::new(); tenants.len()];
    for (approval, target) in approvals.into_iter().zip(targets_of_approvals) {
        if let (Some(target), Some(grant)) = (target, approval.grant) {
            grants[target].push(grant);
        }
    }
    let fleets = tenants.into_iter().zip(claims).zip(grants);
    let fleets = fleets.filter_map(|((tenant, claims), grants)| fleet(tenant, claims, grants, &mut conflicts));
    let fleets: Vec<Fleet> = fleets.collect();
    conflicts.extend(claims::shared(&fleets));
    conflicts.extend(claims::across(&fleets));
    (fleets, conflicts)
}

/// The claims per tenant. Growing step by step would hold a fleet of a million
/// nearly twice.
fn distribute(tenants: usize, objects: Vec<DeviceObject>, targets: &[Option<usize>]) -> Vec<Vec<Claim>> {
    let mut counts = vec![0; tenants];
    for (object, target) in objects.iter().zip(targets) {
        if let Some(target) = target {
            counts[*target] += object.claims.len();
        }
    }
    let mut claims: Vec<Vec<Claim>> = counts.into_iter().map(Vec::with_capacity).collect();
    for (object, target) in objects.into_iter().zip(targets) {
        if let Some(target) = target {
            claims[*target].extend(object.claims);
        }
    }
    claims
}

/// The fleet if the tenant itself is sound. The devices of a broken one may
/// still collide.
fn fleet(
    object: TenantObject,
    mut claims: Vec<Claim>,
    grants: Vec<Grant>,
    conflicts: &mut Vec<Conflict>,
) -> Option<Fleet> {
    let TenantObject { name, tenant, .. } = object;
    let Some((tenant, spec)) = tenant else {
        claims.sort_by_cached_key(|claim| claim.serial.key());
        conflicts.extend(claims::duplicate_serials(&claims, &name));
        return None;
    };
    let desired = Desired::new(tenant, claims);
    conflicts.extend(claims::duplicate_serials(desired.claims(), &name));
    Some(Fleet { desired, tenant: *spec, grants })
}
