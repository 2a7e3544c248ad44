//! What a tenant allows its claims: which tag where, which vaults, and hashes
//! that stand unencrypted in Git.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use globset::{Glob, GlobMatcher};

use super::{Conflict, DeviceObject, Home};
use crate::model::{Claim, HashLocation, HashRef, Origin};
use crate::resource::{self, AutopilotTenantSpec, HashStorage, TagPolicy};

/// An entry of a tag policy, ready to match.
struct TagRule<'s> {
    tags: GlobMatcher,
    paths: Vec<GlobMatcher>,
    entry: &'s TagPolicy,
}

impl<'s> TagRule<'s> {
    /// `None` for a pattern that cannot be read; the tenant's own checks have
    /// reported it.
    fn of(entry: &'s TagPolicy) -> Option<Self> {
        let matcher = |pattern: &String| Glob::new(pattern).ok().map(|glob| glob.compile_matcher());
        let paths = entry.paths.iter().flatten().filter_map(matcher).collect();
        Some(Self { tags: matcher(&entry.group_tag)?, paths, entry })
    }

    fn allows(&self, home: &Home) -> bool {
        match home {
            Home::Path(path) => self.paths.iter().any(|glob| glob.is_match(path)),
            Home::Namespace(name) => self.entry.namespaces.iter().flatten().any(|allowed| allowed == name),
        }
    }

    fn homes(&self, like: &Home) -> impl Iterator<Item = &'s String> {
        let homes = match like {
            Home::Path(_) => &self.entry.paths,
            Home::Namespace(_) => &self.entry.namespaces,
        };
        homes.iter().flatten()
    }
}

/// One conflict per home and tag: a set would repeat it for every device.
pub(super) fn tags<'o>(
    spec: &AutopilotTenantSpec,
    objects: impl Iterator<Item = &'o DeviceObject>,
    homes: &[Home],
) -> Vec<Conflict> {
    let rules: Vec<TagRule<'_>> = spec.tag_policy.iter().flatten().filter_map(TagRule::of).collect();
    if rules.is_empty() {
        return Vec::new();
    }
    let mut wrong: BTreeMap<(u32, &str), (Origin, usize)> = BTreeMap::new();
    for (object, claim) in objects.flat_map(|object| object.claims.iter().map(move |claim| (object, claim))) {
        let Some(tag) = claim.group_tag.text().filter(|tag| !tag.is_empty()) else { continue };
        if let Some((_, devices)) = wrong.get_mut(&(object.home, tag)) {
            *devices += 1;
            continue;
        }
        let home = &homes[object.home as usize];
        let mut about = rules.iter().filter(|rule| rule.tags.is_match(tag)).peekable();
        if about.peek().is_some() && !about.any(|rule| rule.allows(home)) {
            wrong.insert((object.home, tag), (claim.origin, 1));
        }
    }
    let conflict = |((home, tag), (origin, devices)): ((u32, &str), _)| {
        let home = &homes[home as usize];
        let about = rules.iter().filter(|rule| rule.tags.is_match(tag));
        let allowed = about.flat_map(|rule| rule.homes(home)).cloned().collect();
        Conflict::TagNotAllowed { tag: tag.to_owned(), home: home.clone(), allowed, devices, origin }
    };
    wrong.into_iter().map(conflict).collect()
}

/// Vaults that the tenant may not ask, each with the first claim that names it.
pub(super) fn vaults<'c>(spec: &AutopilotTenantSpec, claims: impl Iterator<Item = &'c Claim>) -> Vec<Conflict> {
    let listed = spec.vaults.as_deref().unwrap_or_default();
    let cloud = match spec.endpoints {
        Some(_) => None,
        None => Some(spec.cloud.unwrap_or(resource::Cloud::Global)),
    };
    let mut named: BTreeMap<&str, Origin> = BTreeMap::new();
    for claim in claims {
        if let Some(HashLocation::KeyVaultSecret { vault_url, .. }) = claim.hash.as_ref().map(|hash| &hash.location) {
            named.entry(vault_url).or_insert(claim.origin);
        }
    }
    let conflict = |(url, origin)| {
        resource::vault_problem(url, cloud, listed).map(|why| Conflict::VaultNotAllowed { why, origin })
    };
    named.into_iter().filter_map(conflict).collect()
}

/// A hash in a Git repository can be read by everybody who can read that.
pub(super) fn plain_hashes<'c>(
    spec: &AutopilotTenantSpec,
    claims: impl Iterator<Item = &'c Claim>,
    in_git: &dyn Fn(&Path) -> bool,
) -> Option<Conflict> {
    if spec.hash_storage == Some(HashStorage::PlainInGit) {
        return None;
    }
    let is_plain = |hash: &HashRef| match &hash.location {
        HashLocation::File(path) | HashLocation::Csv(path) => !resource::is_encrypted(path) && in_git(path),
        _ => false,
    };
    // A set shares one reference among its devices.
    let mut judged: HashMap<*const HashRef, bool> = HashMap::new();
    let mut plain = claims.filter(|claim| {
        let judge = |hash| *judged.entry(Arc::as_ptr(hash)).or_insert_with(|| is_plain(hash));
        claim.hash.as_ref().is_some_and(judge)
    });
    let first = plain.next()?;
    Some(Conflict::PlainHash { origin: first.origin, devices: 1 + plain.count() })
}
