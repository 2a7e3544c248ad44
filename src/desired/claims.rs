//! The claims of one tenant against each other: serials and registrations.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Conflict, Fleet};
use crate::model::{Claim, HashDigest, HashLocation, HashRef, RegistrationId, SerialKey, Tenant, TenantId};

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

/// A claim and its tenant.
type Owned<'c> = (&'c Tenant, &'c Claim);

/// Two claims whose hashes, once read, are of one machine. Nothing where
/// [`assemble`](super::assemble) has told so without reading them.
#[must_use]
pub(crate) fn same_hardware(pair: [Owned<'_>; 2]) -> Option<Conflict> {
    (!stands_twice(pair) && !is_one(pair)).then(|| one_machine(pair))
}

fn one_machine(pair: [Owned<'_>; 2]) -> Conflict {
    let [(one, _), (other, _)] = pair;
    let tenants = (one.id != other.id).then(|| [one.name.clone(), other.name.clone()]);
    let (serials, origins) = (pair.map(|(_, claim)| claim.serial.clone()), pair.map(|(_, claim)| claim.origin));
    Conflict::SameHardware { serials, tenants, origins }
}

/// True if two claims are of one machine by what they name.
fn is_one([(its, one), (others, other)]: [Owned<'_>; 2]) -> bool {
    let [a, b] = [one.hash.as_deref(), other.hash.as_deref()];
    let Some((a, b)) = a.zip(b) else { return false };
    let same_pin = a.pin.is_some() && a.pin == b.pin && !shares_reference(one, other);
    let same_place = a.location == b.location && (place_of_one(a).is_some() || one.serial.key() == other.serial.key());
    same_pin || its.id != others.id && same_place
}

/// Two claims whose hashes have a part of their machines in common. Likewise.
#[must_use]
pub(crate) fn mixed_hardware(pair: [Owned<'_>; 2]) -> Option<Conflict> {
    let (serials, origins) = (pair.map(|(_, claim)| claim.serial.clone()), pair.map(|(_, claim)| claim.origin));
    (!stands_twice(pair)).then_some(Conflict::MixedHardware { serials, origins })
}

/// True for one serial in one tenant, with nothing to tell the two apart.
fn stands_twice([(its, one), (others, other)]: [Owned<'_>; 2]) -> bool {
    let ids = [one.registration_id, other.registration_id];
    its.id == others.id && one.serial.key() == other.serial.key() && (ids[0] == ids[1] || ids.contains(&None))
}

/// The claims of different tenants, and all that name one pin: a device is
/// registered in one tenant at a time. Without reading a hash, two are of one
/// machine if they have one pin, or one place where one hash is kept; with one
/// serial number alone they may be of two makers.
pub(super) fn across(fleets: &[Fleet]) -> Vec<Conflict> {
    let claims =
        fleets.iter().flat_map(|fleet| fleet.desired.claims().iter().map(|claim| (&fleet.desired.tenant, claim)));
    let mut conflicts = Vec::new();
    let mut pins: HashMap<HashDigest, Owned<'_>> = HashMap::new();
    let mut places: HashMap<&HashLocation, Owned<'_>> = HashMap::new();
    let mut serials: HashMap<SerialKey, Owned<'_>> = HashMap::new();
    let several = fleets.iter().any(|fleet| fleet.desired.tenant.id != fleets[0].desired.tenant.id);
    for owned @ (tenant, claim) in claims {
        let hash = claim.hash.as_deref();
        let by_pin = hash.and_then(|hash| hash.pin).map(|pin| *pins.entry(pin).or_insert(owned));
        // One pin under `defaults` is one mistake, and told as that.
        let by_pin = by_pin.filter(|(_, first)| !shares_reference(first, claim));
        if !several && by_pin.is_none() {
            continue;
        }
        let by_place = hash.and_then(place_of_one).map(|place| *places.entry(place).or_insert(owned));
        let by_serial = *serials.entry(claim.serial.key()).or_insert(owned);
        let is_elsewhere = |(its, _): &Owned<'_>| its.id != tenant.id;
        let firsts = [by_pin, by_place, Some(by_serial)].into_iter().flatten();
        let others = || firsts.clone().filter(|(_, first)| !std::ptr::eq(*first, claim));
        let told = match others().find(|first| is_one([*first, owned])) {
            Some(first) if stands_twice([first, owned]) => None,
            Some(first) => Some(one_machine([first, owned])),
            None => others().find(is_elsewhere).map(|(its, first)| Conflict::SerialInTwoTenants {
                serial: first.serial.clone(),
                tenants: [its.name.clone(), tenant.name.clone()],
                origins: [first.origin, claim.origin],
            }),
        };
        conflicts.extend(told);
    }
    conflicts
}

fn shares_reference(one: &Claim, other: &Claim) -> bool {
    one.hash.as_ref().zip(other.hash.as_ref()).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
}

/// A place where one hash is kept, and not those of many.
fn place_of_one(hash: &HashRef) -> Option<&HashLocation> {
    (!matches!(hash.location, HashLocation::Csv(_))).then_some(&hash.location)
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
