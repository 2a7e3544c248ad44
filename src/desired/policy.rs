//! What a tenant allows its claims: which tag where, which vaults, and hashes
//! that stand unencrypted in Git.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use globset::{Candidate, GlobMatcher};

use super::{Conflict, DeviceObject, Home};
use crate::model::{self, Claim, DeviceKey, HashLocation, HashRef, Origin, Scope, TagRule};
use crate::resource::{self, AutopilotTenantSpec, HashStorage};

/// Texts, each once, by number.
#[derive(Default)]
struct Names<'s> {
    all: Vec<&'s str>,
    numbers: HashMap<&'s str, usize>,
}

impl<'s> Names<'s> {
    /// The numbers of these texts, each once.
    fn add(&mut self, texts: &'s [String]) -> Vec<usize> {
        let number = |text: &'s String| {
            *self.numbers.entry(text).or_insert_with(|| {
                self.all.push(text);
                self.all.len() - 1
            })
        };
        let numbers: Vec<usize> = texts.iter().map(number).collect();
        distinct(numbers)
    }
}

/// Each number once, in the order in which they come.
fn distinct(mut numbers: Vec<usize>) -> Vec<usize> {
    let mut known = HashSet::with_capacity(numbers.len());
    numbers.retain(|number| known.insert(*number));
    numbers
}

/// An entry of a tag policy, ready to match.
struct Matchers {
    tags: GlobMatcher,
    paths: Vec<usize>,
    namespaces: Vec<usize>,
}

/// A tag policy. Its entries may name the same places many times, and many
/// devices may break it: each place is matched once for each home.
struct Policy<'s> {
    rules: Vec<Matchers>,
    paths: Names<'s>,
    /// Of the paths. `None` for a pattern that cannot be read; the tenant's own
    /// checks have reported it.
    globs: Vec<Option<GlobMatcher>>,
    namespaces: Names<'s>,
}

/// Places where a tag may be: the first of them, and how many more there are.
#[derive(Clone)]
struct Allowed {
    shown: Arc<[String]>,
    more: usize,
}

impl<'s> Policy<'s> {
    fn of(entries: &'s [TagRule]) -> Self {
        let (mut paths, mut namespaces) = (Names::default(), Names::default());
        let rule = |entry: &'s TagRule| {
            // Groups in Microsoft Entra take a tag in any case for the same.
            let tags = matcher(&entry.group_tag.to_lowercase())?;
            let (paths, namespaces) = (paths.add(&entry.paths), namespaces.add(&entry.namespaces));
            Some(Matchers { tags, paths, namespaces })
        };
        let rules = entries.iter().filter_map(rule).collect();
        let globs = paths.all.iter().map(|path| matcher(path)).collect();
        Self { rules, paths, globs, namespaces }
    }

    /// The entries that are about a tag.
    fn about(&self, tag: &str) -> Vec<usize> {
        let tag = tag.to_lowercase();
        let tag = Candidate::new(&tag);
        let is_about = |(at, rule): (usize, &Matchers)| rule.tags.is_match_candidate(&tag).then_some(at);
        self.rules.iter().enumerate().filter_map(is_about).collect()
    }

    /// Which of the places a home is in, by their numbers.
    fn places(&self, home: &Home) -> Vec<bool> {
        match home {
            Home::Path(path) => {
                let path = Candidate::new(path);
                let is_in = |glob: &Option<GlobMatcher>| glob.as_ref().is_some_and(|it| it.is_match_candidate(&path));
                self.globs.iter().map(is_in).collect()
            }
            Home::Namespace(name) => self.namespaces.all.iter().map(|namespace| namespace == name).collect(),
        }
    }

    fn named(&self, rule: usize, like: &Home) -> &[usize] {
        match like {
            Home::Path(_) => &self.rules[rule].paths,
            Home::Namespace(_) => &self.rules[rule].namespaces,
        }
    }

    fn allows(&self, rules: &[usize], home: &Home, places: &[bool]) -> bool {
        rules.iter().any(|rule| self.named(*rule, home).iter().any(|place| places[*place]))
    }

    /// Where these entries together allow a tag.
    fn allowed(&self, rules: &[usize], like: &Home) -> Allowed {
        let names = match like {
            Home::Path(_) => &self.paths.all,
            Home::Namespace(_) => &self.namespaces.all,
        };
        let (mut known, mut shown, mut more) = (vec![false; names.len()], Vec::new(), 0);
        for place in rules.iter().flat_map(|rule| self.named(*rule, like)) {
            if std::mem::replace(&mut known[*place], true) {
                continue;
            }
            match shown.len() < Conflict::PLACES_SHOWN {
                true => shown.push(names[*place].to_owned()),
                false => more += 1,
            }
        }
        Allowed { shown: shown.into(), more }
    }
}

fn matcher(pattern: &str) -> Option<GlobMatcher> {
    model::pattern(pattern).ok().map(|glob| glob.compile_matcher())
}

/// One conflict per home and tag: a set would repeat it for every device.
pub(super) fn tags<'o>(
    rules: &[TagRule],
    objects: impl Iterator<Item = &'o DeviceObject>,
    homes: &[Home],
) -> Vec<Conflict> {
    let policy = Policy::of(rules);
    if policy.rules.is_empty() {
        return Vec::new();
    }
    let mut used: BTreeMap<(u32, &str), (Origin, usize)> = BTreeMap::new();
    for (object, claim) in objects.flat_map(|object| object.claims.iter().map(move |claim| (object, claim))) {
        let Some(tag) = claim.group_tag.text().filter(|tag| !tag.is_empty()) else { continue };
        used.entry((object.home, tag)).or_insert((claim.origin, 0)).1 += 1;
    }
    // Many tags have the same entries about them, and are allowed in the same places.
    let mut known: HashMap<&str, Rc<[usize]>> = HashMap::new();
    let mut allowed: HashMap<Rc<[usize]>, Allowed> = HashMap::new();
    let (mut at, mut places) = (None, Vec::new());
    let mut conflicts = Vec::new();
    for ((number, tag), (origin, devices)) in used {
        let home = &homes[number as usize];
        let rules = known.entry(tag).or_insert_with(|| policy.about(tag).into());
        if at != Some(number) {
            (at, places) = (Some(number), policy.places(home));
        }
        if rules.is_empty() || policy.allows(rules, home, &places) {
            continue;
        }
        let here = allowed.entry(Rc::clone(rules)).or_insert_with(|| policy.allowed(rules, home));
        let Allowed { shown: allowed, more } = here.clone();
        conflicts.push(Conflict::TagNotAllowed {
            tag: tag.to_owned(),
            home: home.clone(),
            allowed,
            more,
            devices,
            origin,
        });
    }
    conflicts
}

/// Claims whose group tag these rules do not allow where they are, by the paths of
/// their files from the repository's root.
pub(crate) fn refused_tags<'c>(
    rules: &[TagRule],
    claims: impl Iterator<Item = &'c Claim>,
    path: impl Fn(Origin) -> String,
) -> HashSet<DeviceKey> {
    let policy = Policy::of(rules);
    let mut known: HashMap<(String, String), bool> = HashMap::new();
    let is_refused = |claim: &&Claim| {
        let Some(tag) = claim.group_tag.text().filter(|tag| !tag.is_empty()) else { return false };
        let path = path(claim.origin);
        *known.entry((tag.to_owned(), path.clone())).or_insert_with(|| {
            let (rules, home) = (policy.about(tag), Home::Path(path));
            !rules.is_empty() && !policy.allows(&rules, &home, &policy.places(&home))
        })
    };
    let mut is_refused = is_refused;
    claims.filter(|claim| is_refused(claim)).map(Claim::key).collect()
}

/// Tags that no device can get here, each with the first claim that declares it.
pub(super) fn out_of_scope<'c>(scope: &Scope, claims: impl Iterator<Item = &'c Claim>) -> Vec<Conflict> {
    let mut outside: BTreeMap<&str, (Origin, usize)> = BTreeMap::new();
    let mut known: HashMap<&str, bool> = HashMap::new();
    for claim in claims.filter(|claim| !claim.suspend) {
        let Some(tag) = claim.group_tag.text() else { continue };
        if !*known.entry(tag).or_insert_with(|| scope.contains(tag)) {
            outside.entry(tag).or_insert((claim.origin, 0)).1 += 1;
        }
    }
    let conflict =
        |(tag, (origin, devices)): (&str, _)| Conflict::TagOutOfScope { tag: tag.to_owned(), devices, origin };
    outside.into_iter().map(conflict).collect()
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
