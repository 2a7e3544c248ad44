//! The claims of one tenant against each other: serials and registrations.

use std::collections::BTreeMap;

use super::{Conflict, Fleet};
use crate::model::{Claim, RegistrationId, TenantId};

/// One serial, one claim; several only if each says which registration it is.
/// `claims` are sorted by serial.
pub(super) fn duplicate_serials(claims: &[Claim], tenant: &str) -> Vec<Conflict> {
    let same = |a: &Claim, b: &Claim| a.serial.key() == b.serial.key();
    let groups = claims.chunk_by(same).filter(|group| group.len() > 1 && !told_apart(group));
    let conflict = |group: &[Claim]| {
        let mut origins: Vec<_> = group.iter().map(|claim| claim.origin).collect();
        origins.sort_unstable();
        Conflict::DuplicateSerial { serial: group[0].serial.clone(), tenant: tenant.to_owned(), origins }
    };
    groups.map(conflict).collect()
}

/// The same between those who own devices in one tenant: what two of them
/// claim would be changed back and forth for ever.
pub(super) fn shared(fleets: &[Fleet]) -> Vec<Conflict> {
    let mut by_tenant: BTreeMap<TenantId, Vec<&Fleet>> = BTreeMap::new();
    for fleet in fleets {
        by_tenant.entry(fleet.desired.tenant.id).or_default().push(fleet);
    }
    let mut conflicts = Vec::new();
    for owners in by_tenant.into_values().filter(|owners| owners.len() > 1) {
        let names: Vec<&str> = owners.iter().map(|fleet| fleet.desired.tenant.name.as_str()).collect();
        let mut claims: Vec<(usize, &Claim)> = Vec::new();
        for (owner, fleet) in owners.iter().enumerate() {
            claims.extend(fleet.desired.claims().iter().map(|claim| (owner, claim)));
        }
        claims.sort_by_cached_key(|(_, claim)| claim.serial.key());
        for group in claims.chunk_by(|(_, a), (_, b)| a.serial.key() == b.serial.key()) {
            // Within one owner's it is reported already.
            if group.iter().all(|(owner, _)| *owner == group[0].0) {
                continue;
            }
            let group: Vec<Claim> = group.iter().map(|(_, claim)| (*claim).clone()).collect();
            conflicts.extend(duplicate_serials(&group, &names.join("`, `")));
        }
    }
    conflicts
}

fn told_apart(group: &[Claim]) -> bool {
    let mut ids: Vec<_> = group.iter().filter_map(|claim| claim.registration_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len() == group.len()
}

/// One registration, one claim.
pub(super) fn duplicate_registrations<'c>(claims: impl Iterator<Item = &'c Claim>) -> Vec<Conflict> {
    let mut seen: BTreeMap<RegistrationId, Vec<&Claim>> = BTreeMap::new();
    for claim in claims {
        if let Some(id) = claim.registration_id {
            seen.entry(id).or_default().push(claim);
        }
    }
    // With one serial, the serial is reported already.
    let differ = |group: &[&Claim]| group.iter().any(|claim| claim.serial.key() != group[0].serial.key());
    let conflict = |(id, group): (RegistrationId, Vec<&Claim>)| {
        let origins = group.iter().map(|claim| claim.origin).collect();
        differ(&group).then_some(Conflict::DuplicateRegistration { id, origins })
    };
    seen.into_iter().filter_map(conflict).collect()
}
