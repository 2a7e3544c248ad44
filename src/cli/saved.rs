//! Plans in files: `apgit plan --out` writes one, `show`, `diff` and `apply`
//! read it. One JSON document for all tenants of a run, with all that was
//! prepared; of a hardware hash it has the SHA-256 and nothing else.
//!
//! Whoever applies it takes connections, sign-in and hashes from manifests, and
//! nothing from here but what was seen and approved.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::manifest::Fleet;
use crate::model::{Action, DeviceKey, Field, Origin, Target, TenantId, hex, later, seen, sha256};
use crate::plan::{Approvals, ENCODING, digest_of, fingerprint};
use crate::render::document::PlanView;
use crate::render::{Document, FailOn, Format, Look, Place, json};
use crate::round::Prepared;

use super::error::CliError;
use super::exit::Exit;
use super::file;
use super::secrets::masked;
use super::select::Selection;
use super::source;

/// What the document is. Another format is another document.
const FORMAT: &str = "apgit.plan/v1";

/// `major.minor`. Who applies a plan must know all that stands in it, so that
/// another minor version is refused, too.
const FORMAT_VERSION: &str = "1.1";

/// No plan is as large: 100,000 effects take a tenth.
const BYTES_MAX: u64 = 1 << 30;

/// By so many bytes a file shows what it is, however its members are sorted.
const HEAD: u64 = 4096;

/// What to do about a plan that cannot be used.
pub(super) const AGAIN: &str = "make it again with `apgit plan --out FILE`, and look at it";

/// Where devices were declared.
pub(super) type SavedPlaces = BTreeMap<Origin, Place>;

/// The saved plans of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SavedPlans {
    format: String,
    format_version: String,
    tool: Tool,
    /// What was read, as it was typed, and in how many files.
    source: String,
    files: usize,
    scope: Scope,
    /// SHA-256 over all other members: whoever edits one by hand is told.
    seal: String,
    pub tenants: Vec<SavedPlan>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tool {
    name: String,
    version: String,
}

/// To which devices the plans were narrowed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Scope {
    partial: bool,
    targets: Vec<String>,
    excludes: Vec<String>,
}

/// The saved plan of one tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SavedPlan {
    pub tenant: String,
    pub tenant_id: TenantId,
    pub owner: String,
    policy: String,
    target: Target,
    plan_id: String,
    digest: SavedDigest,
    /// By the service's clock.
    created_at: Timestamp,
    pub expires_at: Timestamp,
    complete: bool,
    /// False where nothing would be written.
    pub applicable: bool,
    effects: Vec<SavedEffect>,
    /// What was approved by number when it was made.
    pub approvals: Approvals,
    /// What was new about where the tenant is, a sentence each.
    news: Vec<String>,
    places: Vec<SavedPlace>,
    pub prepared: Prepared,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SavedDigest {
    encoding: String,
    sha256: String,
}

/// An effect in short; all of it stands in what was prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedEffect {
    device: DeviceKey,
    action: String,
    /// `absent`, or the fingerprint of the registration.
    precondition: String,
    sha256: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SavedPlace {
    origin: Origin,
    file: Arc<str>,
    line: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row: Option<SavedRow>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SavedRow {
    file: Arc<str>,
    line: u32,
    fields: Vec<String>,
}

/// Takes up the plans of a run, tenant by tenant.
pub(super) struct Saver {
    path: PathBuf,
    ttl: SignedDuration,
    plans: Vec<SavedPlan>,
}

impl Saver {
    /// # Errors
    /// When the file cannot be written, or is something else: told before
    /// anything is read.
    pub(super) fn new(path: &Path, ttl: SignedDuration) -> Result<Self, CliError> {
        check(path)?;
        Ok(Self { path: path.to_owned(), ttl, plans: Vec::new() })
    }

    /// Until when a plan of now may be applied.
    pub(super) fn expires(&self, now: Timestamp) -> Timestamp {
        later(now, self.ttl)
    }

    pub(super) fn add(
        &mut self,
        fleet: &Fleet,
        prepared: &Prepared,
        approvals: &Approvals,
        news: &[String],
        now: Timestamp,
    ) {
        let mut prepared = prepared.clone();
        // What is as declared is no part of what is done: their number is enough.
        prepared.cleared = prepared.cleared.without_unchanged();
        let plan = prepared.cleared.plan();
        let digest = plan.digest();
        let changes = plan.changes.iter().map(|change| change.origin);
        let held = plan.held.iter().map(|held| held.origin);
        let awaiting = plan.awaiting.iter().map(|awaiting| awaiting.origin);
        let places: BTreeMap<Origin, Place> =
            changes.chain(held).chain(awaiting).map(|origin| (origin, source::place(fleet, origin))).collect();
        let saved = SavedPlan {
            tenant: plan.tenant.name.clone(),
            tenant_id: plan.tenant.id,
            owner: plan.tenant.owner.clone(),
            policy: plan.tenant.policy.name().to_owned(),
            target: plan.target.clone(),
            plan_id: digest.plan_id(),
            digest: SavedDigest { encoding: ENCODING.to_owned(), sha256: digest.sha256 },
            created_at: now,
            expires_at: self.expires(now),
            complete: plan.complete,
            applicable: plan.writes(),
            effects: effects(&prepared),
            approvals: approvals.meant_now(&plan.tenant, now),
            news: news.to_vec(),
            places: places.into_iter().map(|(origin, place)| SavedPlace::of(origin, &place)).collect(),
            prepared,
        };
        self.plans.push(saved);
    }

    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(self, root: &str, files: usize, selection: &Selection) -> Result<(), CliError> {
        check(&self.path)?;
        let (targets, excludes) = selection.words();
        let mut plans = SavedPlans {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION.to_owned(),
            tool: Tool { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            source: root.to_owned(),
            files,
            scope: Scope { partial: !selection.is_empty(), targets, excludes },
            seal: String::new(),
            tenants: self.plans,
        };
        plans.seal = seal(serde_json::to_value(&plans).expect("plain data"));
        let text = json::escaped(&serde_json::to_string_pretty(&plans).expect("plain data"));
        file::write(&self.path, &masked(&(text + "\n")))
    }
}

impl SavedPlace {
    fn of(origin: Origin, place: &Place) -> Self {
        let row = place.row.as_ref().map(|row| SavedRow {
            file: row.file.clone(),
            line: row.line,
            fields: row.fields.iter().map(|field| (*field).to_owned()).collect(),
        });
        Self { origin, file: place.file.clone(), line: place.line, row }
    }

    fn place(&self) -> Place {
        let place = Place::new(&self.file, self.line);
        let Some(row) = &self.row else { return place };
        let names = Field::ALL.into_iter().map(Field::name);
        let fields: Vec<&'static str> = names.filter(|name| row.fields.iter().any(|field| field == name)).collect();
        place.with_row(&row.file, row.line, &fields)
    }
}

/// Canonical JSON has sorted members and no blanks, so that a file which was laid
/// out in another way is the same.
fn seal(mut document: Value) -> String {
    if let Value::Object(members) = &mut document {
        members.remove("seal");
    }
    format!("sha256:{}", hex(&sha256(document.to_string().as_bytes())))
}

fn effects(prepared: &Prepared) -> Vec<SavedEffect> {
    let of = |change: &crate::plan::Change| SavedEffect {
        device: change.effect.device.clone(),
        action: change.action().kind().name().to_owned(),
        precondition: match change.action() {
            Action::Register(_) => "absent".to_owned(),
            Action::Update(update) => fingerprint(&update.before),
            Action::Deregister(deregister) => fingerprint(&deregister.before),
            Action::Adopt(adopt) => fingerprint(&adopt.before),
            Action::Release(_) | Action::Keep(_) => "none".to_owned(),
        },
        sha256: digest_of(&change.effect),
    };
    prepared.cleared.plan().changes.iter().map(of).collect()
}

/// The saved plan among the paths of a command, and the other paths.
///
/// # Errors
/// When it is not clear what is meant.
pub(super) fn among(paths: &[PathBuf]) -> Result<Option<(PathBuf, Vec<PathBuf>)>, CliError> {
    let Some((first, rest)) = paths.split_first() else { return Ok(None) };
    if let Some(plan) = rest.iter().find(|path| Head::of(path) == Head::Saved) {
        let message = format!("`{}` is a saved plan, and not the first path", plan.display());
        return Err(CliError::new(Exit::Usage, message).hint("apgit apply FILE [PATH]: one plan, then manifests"));
    }
    match Head::of(first) {
        Head::Saved if is_manifest(first) => {
            let message = format!("`{}` is a saved plan under the name of a manifest", first.display());
            Err(CliError::new(Exit::Usage, message).hint(NAME))
        }
        Head::Saved => {
            let rest = if rest.is_empty() { vec![PathBuf::from(".")] } else { rest.to_vec() };
            Ok(Some((first.clone(), rest)))
        }
        Head::Report => Err(no_plan(first, "it is a report of a plan")),
        Head::Other => Ok(None),
    }
}

/// What files with manifests are called. Whoever may change one must not be able
/// to make an approval of it, which nobody is asked about.
pub(super) fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|extension| ["yaml", "yml", "json"].contains(&extension.as_str()))
}

/// What to call a saved plan.
const NAME: &str = "call it `change.plan` or the like: `.yaml`, `.yml` and `.json` are for manifests";

/// Reads the plans of a file, of the wanted tenant alone if one is named.
///
/// # Errors
/// When the file is not what `apgit plan --out` has written.
pub(super) fn read(path: &Path, tenant: Option<&str>) -> Result<SavedPlans, CliError> {
    match Head::of(path) {
        Head::Saved => {}
        Head::Report => return Err(no_plan(path, "it is a report of a plan")),
        Head::Other if path.exists() => return Err(no_plan(path, "it is something else")),
        Head::Other => {
            let error = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(CliError::new(Exit::Usage, format!("cannot read `{}`: {error}", path.display())));
        }
    }
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| CliError::file("read", path, &error))?;
    let mut plans = parse(path, &text)?;
    if let Some(name) = tenant {
        plans.tenants.retain(|plan| plan.tenant == name);
        if plans.tenants.is_empty() {
            let message = format!("`{}` has no plan for a tenant `{name}`", path.display());
            return Err(CliError::new(Exit::Invalid, message));
        }
    }
    Ok(plans)
}

fn parse(path: &Path, text: &str) -> Result<SavedPlans, CliError> {
    let document: Value = serde_json::from_str(text).map_err(|error| no_plan(path, &error.to_string()))?;
    let word = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let (format, version) = (word("format"), word("formatVersion"));
    if format != FORMAT || version != FORMAT_VERSION {
        let what = format!("its format is `{}` in version `{}`", seen(&format), seen(&version));
        let known = format!("this apgit applies `{FORMAT}` in version `{FORMAT_VERSION}` only");
        return Err(stale(path, &what).hint(known).hint(AGAIN));
    }
    if let Some(other) = encodings(&document).find(|encoding| *encoding != ENCODING) {
        let what = format!("its digests are in the encoding `{}`, ours are in `{ENCODING}`", seen(other));
        return Err(stale(path, &what).hint(AGAIN));
    }
    let edited = |what: &str| stale(path, &format!("it was edited: {what}")).hint(AGAIN);
    if word("seal") != seal(document.clone()) {
        return Err(edited("what stands in it is not what was saved"));
    }
    let plans: SavedPlans = serde_json::from_value(document).map_err(|error| no_plan(path, &error.to_string()))?;
    for saved in &plans.tenants {
        let plan = saved.prepared.cleared.plan();
        let digest = plan.digest();
        let is_of_effects = digest.sha256 == saved.digest.sha256
            && digest.plan_id() == saved.plan_id
            && effects(&saved.prepared) == saved.effects;
        let is_of_tenant = saved.tenant_id == plan.tenant.id
            && saved.tenant == plan.tenant.name
            && saved.owner == plan.tenant.owner
            && saved.policy == plan.tenant.policy.name()
            && saved.target == plan.target
            && saved.complete == plan.complete;
        if !is_of_effects {
            return Err(edited("its digest is not that of its effects"));
        }
        if !is_of_tenant {
            return Err(edited("its head is not that of its plan"));
        }
    }
    Ok(plans)
}

fn encodings(document: &Value) -> impl Iterator<Item = &str> {
    let tenants = document["tenants"].as_array().into_iter().flatten();
    tenants.filter_map(|tenant| tenant["digest"]["encoding"].as_str())
}

fn no_plan(path: &Path, why: &str) -> CliError {
    let message = format!("`{}` is not a saved plan: {why}", path.display());
    CliError::new(Exit::Invalid, message).hint("`apgit plan --out FILE` writes one")
}

fn stale(path: &Path, why: &str) -> CliError {
    CliError::new(Exit::Stale, format!("the saved plan `{}` cannot be used: {why}", path.display()))
}

/// What a file is, by how it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Saved,
    Report,
    Other,
}

impl Head {
    fn of(path: &Path) -> Self {
        if !path.is_file() {
            return Self::Other;
        }
        let mut bytes = Vec::new();
        let read = fs::File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut bytes));
        let head = String::from_utf8_lossy(&bytes);
        let has = |words: &str| head.contains(words);
        match read {
            Ok(_) if !head.trim_start().starts_with('{') => Self::Other,
            Ok(_) if has("\"format\"") && has("\"apgit.plan/") => Self::Saved,
            Ok(_) if has("\"kind\"") && (has("\"apgit.plan\"") || has("\"apgit.fleet\"")) => Self::Report,
            _ => Self::Other,
        }
    }
}

/// Only a saved plan makes room for another.
fn check(path: &Path) -> Result<(), CliError> {
    file::refuse_link(path)?;
    if is_manifest(path) {
        let message = format!("a plan is not saved as `{}`", path.display());
        return Err(CliError::new(Exit::Usage, message).hint(NAME));
    }
    let folder = file::folder_of(path);
    if !folder.is_dir() {
        let message =
            format!("the plan `{}` cannot be saved: there is no folder `{}`", path.display(), folder.display());
        return Err(CliError::new(Exit::Usage, message).hint("create it first"));
    }
    let is_something = path.symlink_metadata().is_ok_and(|there| there.is_dir() || there.is_file() && there.len() > 0);
    if is_something && Head::of(path) != Head::Saved {
        let message = format!("`{}` is not overwritten: it is not a saved plan", path.display());
        return Err(CliError::new(Exit::Usage, message).hint("name a file that is not there yet"));
    }
    Ok(())
}

impl SavedPlans {
    /// A plan as `apgit plan` has drawn it.
    pub(super) fn document(&self, saved: &SavedPlan, failed_on: Option<FailOn>) -> Document {
        let places = saved.places();
        let view = PlanView {
            cleared: &saved.prepared.cleared,
            schedule: &saved.prepared.schedule,
            calls: saved.prepared.calls,
            source: &self.source,
            files: self.files,
            several: self.tenants.len() > 1,
            cloud: saved.target.cloud(),
            simulated: saved.target.is_simulated(),
            created_at: saved.created_at,
            expires_at: Some(saved.expires_at),
            targets: &self.scope.targets,
            excludes: &self.scope.excludes,
            places: &|origin| place(Some(&places), origin),
            news: &saved.news,
            failed_on,
        };
        Document::Plan(Box::new(view.document()))
    }
}

impl SavedPlan {
    /// Until when it may be applied, whatever it was given when it was made.
    pub(super) fn ends_at(&self) -> Timestamp {
        self.expires_at.min(later(self.created_at, TTL_MAX))
    }

    /// Where its devices were declared.
    pub(super) fn places(&self) -> SavedPlaces {
        self.places.iter().map(|place| (place.origin, place.place())).collect()
    }
}

/// Where a device was declared.
pub(super) fn place(places: Option<&SavedPlaces>, origin: Origin) -> Place {
    let place = places.and_then(|places| places.get(&origin)).cloned();
    place.unwrap_or_else(|| Place::new(&Arc::from("?"), 0))
}

/// A saved plan in every format, one after the other.
///
/// # Errors
/// Why it cannot be used, for people.
pub fn show_saved(text: &str) -> Result<String, String> {
    let plans = parse(Path::new("saved.plan"), text).map_err(|error| error.text(&Look::default()))?;
    let documents = plans.tenants.iter().map(|plan| plans.document(plan, None));
    let drawn = documents.map(|document| Format::ALL.map(|format| format.draw(&document, &Look::default())).concat());
    Ok(drawn.collect())
}

/// That a plan was begun the ledger remembers for a day longer: after that another
/// machine would do it a second time.
const TTL_MAX: SignedDuration = SignedDuration::from_hours(24 * 30);

/// How long a plan may wait: `90m`, `24h`, `7d`.
pub(super) fn ttl(text: &str) -> Result<SignedDuration, String> {
    let wrong = || "a number and `m`, `h` or `d`, such as `24h`".to_owned();
    let unit = text.chars().last().filter(char::is_ascii_alphabetic).ok_or_else(wrong)?;
    let minutes = match unit {
        'm' => 1,
        'h' => 60,
        'd' => 24 * 60,
        _ => return Err(wrong()),
    };
    let number: i64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let minutes = number.checked_mul(minutes).filter(|minutes| *minutes >= 1).ok_or_else(wrong)?;
    let most = || "at most `30d`: a plan is used once, and for longer nobody remembers that it was".to_owned();
    Some(SignedDuration::from_mins(minutes)).filter(|ttl| *ttl <= TTL_MAX).ok_or_else(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_a_number_and_a_unit() {
        assert_eq!(ttl("24h"), Ok(SignedDuration::from_hours(24)));
        assert_eq!((ttl("90m"), ttl("7d")), (Ok(SignedDuration::from_mins(90)), Ok(SignedDuration::from_hours(168))));
        assert_eq!(ttl("30d"), Ok(SignedDuration::from_hours(720)));
        assert!(ttl("31d").is_err_and(|why| why.starts_with("at most `30d`")));
        for text in ["", "h", "24", "0h", "-1h", "721h", "366d", "1w", "1.5h", "99999999999999999999d", "5ä"] {
            assert!(ttl(text).is_err(), "{text}");
        }
    }
}
