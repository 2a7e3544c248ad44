//! Files together: which claim belongs to which tenant, and what contradicts
//! what across files.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use globset::{Glob, GlobMatcher};

use super::check::near;
use super::document::{FileContent, Group, Named, TenantRef};
use super::files::{File, Root, read};
use super::problem::{Place, Problem, Severity, Source, Spot};
use super::tree::Span;
use super::{Fleet, Places};
use crate::model::{Claim, Desired, HashLocation, Origin, RegistrationId, Tenant};
use crate::resource::{self, AutopilotTenantSpec, HashStorage, Kind};

/// How many places one problem names; of more, it says how many.
const MAX_PLACES: usize = 5;

/// A tenant with the claims that name it, before they become a fleet.
struct Slot {
    named: Named,
    file: u32,
    tenant: Option<(Tenant, Box<AutopilotTenantSpec>)>,
    claims: Vec<Claim>,
    places: Vec<RawPlace>,
}

/// A place in 12 bytes: there may be a million.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawPlace {
    pub file: u32,
    pub line: u32,
    pub column: u32,
}

/// Puts the files' contents together. Files come in the order of the table.
pub(super) fn assemble(
    contents: Vec<FileContent>,
    files: &[File],
    root: &Root,
    problems: &mut Vec<Problem>,
) -> Vec<Fleet> {
    let names: Arc<[File]> = files.into();
    let mut writer = Writer { files, problems };
    duplicate_names(&contents, &mut writer);
    let mut slots = Vec::new();
    let mut paths = Vec::with_capacity(contents.len());
    let mut rest = Vec::with_capacity(contents.len());
    for mut content in contents {
        for document in std::mem::take(&mut content.tenants) {
            slots.push(Slot {
                named: document.named,
                file: content.index,
                tenant: document.tenant,
                claims: Vec::new(),
                places: Vec::new(),
            });
        }
        paths.push(std::mem::take(&mut content.path));
        rest.push(content);
    }
    twin_tenants(&slots, &mut writer);
    assign(rest, &mut slots, &mut writer);
    slots.into_iter().filter_map(|slot| fleet(slot, &names, &paths, root, &mut writer)).collect()
}

/// Writes problems about places of which only line and column were kept; the
/// files are read again for that, which happens only when something is wrong.
struct Writer<'w> {
    files: &'w [File],
    problems: &'w mut Vec<Problem>,
}

impl Writer<'_> {
    fn error(&mut self, code: &'static str, message: String, places: &[RawPlace], hint: impl Into<String>) {
        self.add(Severity::Error, code, message, places, hint.into());
    }

    fn add(&mut self, severity: Severity, code: &'static str, message: String, places: &[RawPlace], hint: String) {
        let places = draw(self.files, places.iter().copied());
        self.problems.push(Problem { severity, code, message, places, hint: Some(hint) });
    }
}

/// The places of claims, with their lines.
pub(super) fn spots(fleet: &Fleet, origins: impl IntoIterator<Item = Origin>) -> Vec<Spot> {
    let places = origins.into_iter().filter_map(|origin| fleet.places.places.get(origin.0 as usize).copied());
    draw(&fleet.places.files, places)
}

fn draw(files: &[File], places: impl IntoIterator<Item = RawPlace>) -> Vec<Spot> {
    let mut texts: HashMap<u32, Option<String>> = HashMap::new();
    let spot = |place: RawPlace| {
        let file = &files[place.file as usize];
        let text = texts.entry(place.file).or_insert_with(|| read(file).ok());
        match text {
            Some(text) => {
                let source = Source::new(file.name.clone(), text);
                source.spot(source.word_at(place.line, place.column))
            }
            None => {
                let place = Place { file: file.name.clone(), line: place.line, column: place.column };
                Spot { place, excerpt: None }
            }
        }
    };
    places.into_iter().take(MAX_PLACES).map(spot).collect()
}

fn raw(file: u32, span: Span) -> RawPlace {
    RawPlace { file, line: span.line, column: span.column }
}

/// One name, one object: a second one of the same kind would overwrite it.
fn duplicate_names(contents: &[FileContent], writer: &mut Writer<'_>) {
    let mut first: HashMap<(Kind, &str, &str), RawPlace> = HashMap::new();
    let mut twice: BTreeMap<(Kind, &str, &str), Vec<RawPlace>> = BTreeMap::new();
    for content in contents {
        let tenants = content.tenants.iter().map(|document| (Kind::Tenant, &document.named));
        let groups = content.groups.iter().filter_map(|group| Some((group.kind, group.named.as_ref()?)));
        for (kind, named) in tenants.chain(groups) {
            let name = (kind, named.namespace.as_str(), named.name.as_str());
            let place = raw(content.index, named.span);
            match first.entry(name) {
                Entry::Vacant(entry) => _ = entry.insert(place),
                Entry::Occupied(entry) => twice.entry(name).or_insert_with(|| vec![*entry.get()]).push(place),
            }
        }
    }
    for ((kind, _, name), places) in twice {
        let message = format!("{} documents are the {} `{name}`{}", places.len(), kind.name(), more(&places));
        writer.error("duplicate-name", message, &places, "give each document a name of its own");
    }
}

/// Says that not all places are shown.
fn more(places: &[RawPlace]) -> String {
    if places.len() > MAX_PLACES { format!(" (the first {MAX_PLACES} are shown)") } else { String::new() }
}

/// Two documents for one tenant and one owner would plan over each other.
fn twin_tenants(slots: &[Slot], writer: &mut Writer<'_>) {
    let mut seen: BTreeMap<(String, &str), Vec<&Slot>> = BTreeMap::new();
    for slot in slots {
        if let Some((tenant, _)) = &slot.tenant {
            seen.entry((tenant.id.to_string(), &tenant.owner)).or_default().push(slot);
        }
    }
    for ((id, owner), twins) in seen {
        // Those of one name have been reported as such.
        if twins.iter().any(|slot| slot.named.name != twins[0].named.name) {
            let places: Vec<_> = twins.iter().map(|slot| raw(slot.file, slot.named.span)).collect();
            let message = format!("tenant `{id}` is declared {} times for owner `{owner}`", places.len());
            writer.error("duplicate-tenant", message, &places, "keep one, or give each an `ownerId` of its own");
        }
    }
}

/// Gives each group's claims to its tenant. Groups that name none, or one that
/// is not there, are reported once per cause and not once per document.
fn assign(contents: Vec<FileContent>, slots: &mut [Slot], writer: &mut Writer<'_>) {
    let names: Vec<(String, String)> =
        slots.iter().map(|slot| (slot.named.namespace.clone(), slot.named.name.clone())).collect();
    let mut unknown: BTreeMap<(String, String), Vec<RawPlace>> = BTreeMap::new();
    let mut without: Vec<RawPlace> = Vec::new();
    let mut target = |group: &Group, file: u32| match &group.tenant_ref {
        TenantRef::Named(name, span) => {
            let found = find(&names, &group.namespace, name);
            if found.is_none() {
                unknown.entry((name.clone(), group.namespace.clone())).or_default().push(raw(file, *span));
            }
            found
        }
        TenantRef::Only if names.len() == 1 => Some(0),
        TenantRef::Only => {
            without.push(raw(file, group.span));
            None
        }
        TenantRef::Broken => None,
    };
    let groups = contents.iter().flat_map(|content| content.groups.iter().map(|group| (group, content.index)));
    let targets: Vec<(Option<usize>, usize)> =
        groups.map(|(group, file)| (target(group, file), group.claims.len())).collect();
    // Growing step by step would hold a fleet of a million nearly twice.
    for (index, slot) in slots.iter_mut().enumerate() {
        let count = targets.iter().filter(|(target, _)| *target == Some(index)).map(|(_, count)| count).sum();
        slot.claims.reserve_exact(count);
        slot.places.reserve_exact(count);
    }
    let mut targets = targets.into_iter();
    for mut content in contents {
        let mut claims = std::mem::take(&mut content.claims).into_iter();
        for group in &content.groups {
            let claims = claims.by_ref().take(group.claims.len());
            match targets.next() {
                Some((Some(slot), _)) => take(&mut slots[slot], claims, group, &content),
                _ => claims.for_each(drop),
            }
        }
    }
    for ((name, namespace), places) in unknown {
        let message = format!("there is no AutopilotTenant `{name}`{}", more(&places));
        let elsewhere = names.iter().find(|(other, same)| *same == name && *other != namespace);
        let others: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
        let hint = match (elsewhere, near(&name, &others)) {
            (Some((other, _)), _) => {
                format!(
                    "there is one in namespace `{other}`; a tenant is looked for in the device's own, `{namespace}`"
                )
            }
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) if others.is_empty() => "declare it, or name the path where it is declared".to_owned(),
            (None, None) => format!("the tenants here are `{}`", others.join("`, `")),
        };
        writer.error("unknown-tenant", message, &places, hint);
    }
    let names: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
    if !without.is_empty() {
        let count = without.len();
        let documents = if count == 1 { "this document names".to_owned() } else { format!("{count} documents name") };
        let (message, hint) = match names.as_slice() {
            [] => (
                format!("{documents} no tenant, and there is no AutopilotTenant in these files"),
                "add an `AutopilotTenant`, or name the path where it is declared".to_owned(),
            ),
            names => (
                format!("{documents} no tenant, and there are {}", names.len()),
                format!("add `tenantRef: {{name: …}}`, one of `{}`", names.join("`, `")),
            ),
        };
        writer.error("no-tenant", message, &without, hint);
    }
}

/// A tenant in the device's own namespace. A document without a namespace goes
/// wherever kubectl's context points, so it matches any, if only one.
fn find(tenants: &[(String, String)], namespace: &str, name: &str) -> Option<usize> {
    let named = |(_, (_, other)): &(usize, &(String, String))| other == name;
    let exact = tenants.iter().enumerate().filter(named).find(|(_, (other, _))| other == namespace);
    if let Some((index, _)) = exact {
        return Some(index);
    }
    let open = |(_, (other, _)): &(usize, &(String, String))| other.is_empty() || namespace.is_empty();
    let mut open = tenants.iter().enumerate().filter(named).filter(open);
    let (index, _) = open.next()?;
    open.next().is_none().then_some(index)
}

fn take(slot: &mut Slot, claims: impl Iterator<Item = Claim>, group: &Group, content: &FileContent) {
    let places: Range<usize> = group.claims.clone();
    for (mut claim, (line, column)) in claims.zip(&content.places[places]) {
        claim.origin = Origin(u32::try_from(slot.places.len()).unwrap_or(u32::MAX));
        slot.claims.push(claim);
        slot.places.push(RawPlace { file: content.index, line: *line, column: *column });
    }
}

/// The checks within a tenant, and the fleet if the tenant itself is sound.
fn fleet(slot: Slot, names: &Arc<[File]>, paths: &[String], root: &Root, writer: &mut Writer<'_>) -> Option<Fleet> {
    let Slot { tenant, mut claims, places, named, .. } = slot;
    duplicate_ids(&claims, &places, writer);
    let Some((tenant, spec)) = tenant else {
        // The tenant has problems of its own; its devices may still collide.
        claims.sort_by_cached_key(|claim| claim.serial.key());
        duplicate_serials(&claims, &places, &named.name, writer);
        return None;
    };
    tag_policy(&claims, &places, &spec, paths, writer);
    vaults(&claims, &places, &spec, writer);
    plain_hashes(&claims, &places, &spec, root, writer);
    let desired = Desired::new(tenant, claims);
    duplicate_serials(desired.claims(), &places, &named.name, writer);
    let places = Places { files: names.clone(), places };
    Some(Fleet { desired, tenant: *spec, places, root: root.path.clone() })
}

fn place_of(claim: &Claim, places: &[RawPlace]) -> RawPlace {
    places[claim.origin.0 as usize]
}

/// One serial, one claim; several only if each says which registration it is.
/// `claims` are sorted by serial.
fn duplicate_serials(claims: &[Claim], places: &[RawPlace], tenant: &str, writer: &mut Writer<'_>) {
    let same = |a: &Claim, b: &Claim| a.serial.key() == b.serial.key();
    for group in claims.chunk_by(same).filter(|group| group.len() > 1) {
        let mut ids: Vec<_> = group.iter().filter_map(|claim| claim.registration_id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() == group.len() {
            continue;
        }
        let mut at: Vec<_> = group.iter().map(|claim| place_of(claim, places)).collect();
        at.sort_by_key(|place| (place.file, place.line, place.column));
        let times = if at.len() == 2 { "twice".to_owned() } else { format!("{} times", at.len()) };
        let message = format!("serial `{}` is claimed {times} in tenant `{tenant}`{}", group[0].serial, more(&at));
        let hint = "delete one of the entries; if two devices share this serial, give each its `registrationId`";
        writer.error("duplicate-serial", message, &at, hint);
    }
}

fn duplicate_ids(claims: &[Claim], places: &[RawPlace], writer: &mut Writer<'_>) {
    let mut seen: BTreeMap<RegistrationId, Vec<&Claim>> = BTreeMap::new();
    for claim in claims {
        if let Some(id) = claim.registration_id {
            seen.entry(id).or_default().push(claim);
        }
    }
    for (id, group) in seen {
        // With one serial, the serial is reported already.
        if group.len() > 1 && group.iter().any(|claim| claim.serial.key() != group[0].serial.key()) {
            let at: Vec<_> = group.iter().map(|claim| place_of(claim, places)).collect();
            let message = format!("registration `{id}` is claimed by {} devices", group.len());
            writer.error("duplicate-registration", message, &at, "a registration is one device: correct the others");
        }
    }
}

/// Reported once per file and tag: a set would repeat it for every device.
fn tag_policy(
    claims: &[Claim],
    places: &[RawPlace],
    spec: &AutopilotTenantSpec,
    paths: &[String],
    writer: &mut Writer<'_>,
) {
    let Some(policy) = spec.tag_policy.as_deref().filter(|policy| !policy.is_empty()) else { return };
    let matcher = |pattern: &String| Glob::new(pattern).ok().map(|glob| glob.compile_matcher());
    let rules: Vec<(GlobMatcher, &resource::TagPolicy, Vec<GlobMatcher>)> = policy
        .iter()
        .filter_map(|entry| {
            let paths = entry.paths.iter().flatten().filter_map(matcher).collect();
            Some((matcher(&entry.group_tag)?, entry, paths))
        })
        .collect();
    let mut wrong: BTreeMap<(u32, &str), (Vec<RawPlace>, String)> = BTreeMap::new();
    for claim in claims {
        let Some(tag) = claim.group_tag.text().filter(|tag| !tag.is_empty()) else { continue };
        let place = place_of(claim, places);
        if let Some((at, _)) = wrong.get_mut(&(place.file, tag)) {
            at.push(place);
            continue;
        }
        let about: Vec<_> = rules.iter().filter(|(glob, ..)| glob.is_match(tag)).collect();
        let path = &paths[place.file as usize];
        let allowed = about.iter().any(|(.., paths)| paths.iter().any(|glob| glob.is_match(path)));
        if !about.is_empty() && !allowed {
            let listed: Vec<&str> =
                about.iter().flat_map(|(_, entry, _)| entry.paths.iter().flatten()).map(String::as_str).collect();
            wrong.insert((place.file, tag), (vec![place], listed.join("`, `")));
        }
    }
    for ((_, tag), (at, listed)) in wrong {
        let devices = if at.len() == 1 { String::new() } else { format!(" ({} devices)", at.len()) };
        let message = format!("group tag `{tag}` may not be used in this file{devices}");
        let hint = match listed.as_str() {
            "" => "the tenant's `tagPolicy` allows it in no file".to_owned(),
            _ => format!("the tenant's `tagPolicy` allows it in `{listed}`"),
        };
        writer.error("tag-not-allowed-here", message, &at[..1], hint);
    }
}

fn vaults(claims: &[Claim], places: &[RawPlace], spec: &AutopilotTenantSpec, writer: &mut Writer<'_>) {
    let listed = spec.vaults.clone().unwrap_or_default();
    let cloud = match spec.endpoints {
        Some(_) => None,
        None => Some(spec.cloud.unwrap_or(resource::Cloud::Global)),
    };
    let mut wrong: BTreeMap<&str, Vec<RawPlace>> = BTreeMap::new();
    for claim in claims {
        if let Some(HashLocation::KeyVaultSecret { vault_url, .. }) = claim.hash.as_ref().map(|hash| &hash.location) {
            wrong.entry(vault_url).or_default().push(place_of(claim, places));
        }
    }
    for (url, at) in wrong {
        if let Some(why) = resource::vault_problem(url, cloud, &listed) {
            let hint = "only vaults of the tenant's own cloud that it lists in `vaults` receive a token";
            writer.error("vault-not-allowed", format!("this vault may not be asked: {why}"), &at[..1], hint);
        }
    }
}

/// A hash in a Git repository can be read by everybody who can read that.
fn plain_hashes(
    claims: &[Claim],
    places: &[RawPlace],
    spec: &AutopilotTenantSpec,
    root: &Root,
    writer: &mut Writer<'_>,
) {
    if !root.is_git || spec.hash_storage == Some(HashStorage::PlainInGit) {
        return;
    }
    let ignored = root.ignored();
    let mut judged: HashMap<*const crate::model::HashRef, bool> = HashMap::new();
    let mut plain = claims.iter().filter(|claim| {
        let Some(hash) = &claim.hash else { return false };
        *judged.entry(Arc::as_ptr(hash)).or_insert_with(|| match &hash.location {
            HashLocation::File(path) | HashLocation::Csv(path) => {
                !resource::is_encrypted(path) && !ignored.matched_path_or_any_parents(path, false).is_ignore()
            }
            _ => false,
        })
    });
    let Some(first) = plain.next() else { return };
    let count = 1 + plain.count();
    let message = match count {
        1 => "a hardware hash stands unencrypted in this Git repository".to_owned(),
        count => format!("{count} hardware hashes stand unencrypted in this Git repository"),
    };
    let hint = "whoever reads it can register the device elsewhere: encrypt the file (`*.age`, `*.sops.*`), or say \
                `hashStorage: PlainInGit` in the tenant";
    writer.add(Severity::Warning, "plain-hash", message, &[place_of(first, places)], hint.to_owned());
}
