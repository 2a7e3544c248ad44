//! Which tenants this state folder belongs to, and with which app they were
//! last reached: a branch that names another one is told from the one that was
//! reviewed, before anything is sent.
//!
//! Each tenant's folder has a `target.json`, written when an apply has been
//! approved. A folder that has none yet knows nothing better.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::connect;
use crate::manifest::Fleet;
use crate::model::{TenantId, seen};
use crate::resource::Identity;

use super::args::Simulated;
use super::error::CliError;
use super::exit::Exit;
use super::settings::{Settings, folder_name};

/// What a declaration says about where its devices are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Target {
    name: String,
    tenant_id: TenantId,
    /// The cloud, or the addresses of login and Graph.
    place: Vec<String>,
    /// Of the reader, then of the writer; once where both are one, and empty where
    /// none is declared. Who may read may not write, so their order counts.
    client_ids: Vec<String>,
}

/// What is known of a tenant.
enum Known {
    Target(Target),
    /// A journal from before targets were written down.
    Journal(TenantId),
}

impl Known {
    fn tenant_id(&self) -> TenantId {
        match self {
            Self::Target(target) => target.tenant_id,
            Self::Journal(tenant_id) => *tenant_id,
        }
    }

    fn is_named(&self, name: &str) -> bool {
        matches!(self, Self::Target(target) if target.name == name)
    }

    fn is(&self, now: &Target) -> bool {
        match self {
            Self::Target(known) => known.differences(now).is_empty(),
            Self::Journal(tenant_id) => *tenant_id == now.tenant_id,
        }
    }
}

impl Target {
    fn of(fleet: &Fleet) -> Self {
        let spec = &fleet.tenant;
        let place = match &spec.endpoints {
            Some(endpoints) => vec![endpoints.login.clone(), endpoints.graph.clone()],
            None => vec![connect::cloud(spec).name().to_owned()],
        };
        let identities = spec.auth.iter().flat_map(|auth| [auth.reader(), auth.writer()]);
        let id = |identity: Identity| identity.client_id.map_or_else(|| NONE.to_owned(), |id| id.to_ascii_lowercase());
        let mut client_ids: Vec<String> = identities.map(id).collect();
        client_ids.dedup();
        if client_ids == [NONE] {
            client_ids.clear();
        }
        Self { name: fleet.desired.tenant.name.clone(), tenant_id: fleet.desired.tenant.id, place, client_ids }
    }

    /// What is another one now, field by field; empty for the same target.
    fn differences(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut differs = |field: &str, was: &str, is: &str| {
            found.push(format!("`{field}` was `{}`, is `{}`", seen(was), seen(is)));
        };
        if self.tenant_id != now.tenant_id {
            differs("tenantId", &self.tenant_id.to_string(), &now.tenant_id.to_string());
        }
        if self.client_ids != now.client_ids {
            differs("clientId", &list(self.client_ids.iter()), &list(now.client_ids.iter()));
        }
        // A tenant on a port of this machine has another port each time.
        let address = |target: &Self| target.place.iter().map(|place| folder_name(place)).collect::<Vec<_>>();
        if address(self) != address(now) {
            let both_are_clouds = self.place.len() == 1 && now.place.len() == 1;
            let field = if both_are_clouds { "cloud" } else { "endpoints" };
            differs(field, &list(self.place.iter()), &list(now.place.iter()));
        }
        found
    }
}

fn list<'t>(texts: impl Iterator<Item = &'t String>) -> String {
    let texts: Vec<&str> = texts.map(String::as_str).collect();
    if texts.is_empty() { NONE.to_owned() } else { texts.join(", ") }
}

/// What is new about a tenant's target, a sentence each; nothing for one that
/// this state folder knows, or where it knows none at all.
fn news(known: &[Known], now: &Target) -> Vec<String> {
    let namesakes: Vec<&Known> = known.iter().filter(|known| known.is_named(&now.name)).collect();
    // Another name alone is no other tenant.
    let candidates = if namesakes.is_empty() { known.iter().collect() } else { namesakes };
    if known.is_empty() || candidates.iter().any(|known| known.is(now)) {
        return Vec::new();
    }
    match candidates[..] {
        [.., Known::Target(was)] if was.name == now.name || candidates.len() == 1 => was.differences(now),
        _ => {
            let ids: BTreeSet<String> = candidates.iter().map(|known| known.tenant_id().to_string()).collect();
            let known = list(ids.iter());
            vec![format!("`tenantId` is `{}`, and this state folder knows `{known}`", now.tenant_id)]
        }
    }
}

/// What is new about each of these tenants, in their order.
///
/// # Errors
/// When something is, and nobody has said on the command line that it is meant.
/// Nothing was sent to anybody by then.
pub(super) fn check(
    settings: &Settings,
    simulated: &Simulated,
    fleets: &[Fleet],
) -> Result<Vec<Vec<String>>, CliError> {
    if simulated.simulate {
        return Ok(vec![Vec::new(); fleets.len()]);
    }
    let known = known(&settings.state_dir)?;
    let all: Vec<Vec<String>> = fleets.iter().map(|fleet| news(&known, &Target::of(fleet))).collect();
    let told = fleets.iter().zip(&all).flat_map(|(fleet, news)| {
        let name = seen(&fleet.desired.tenant.name);
        news.iter().map(move |news| format!("{name}: {news}"))
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() || settings.allow_new_tenant {
        return Ok(all);
    }
    let message = format!("this is not the tenant that was applied to: {}; nothing was sent", told.join("; "));
    Err(CliError::new(Exit::Blocked, message)
        .hint("if it is meant, add --allow-new-tenant; for a tenant of its own, name another --state-dir"))
}

/// Keeps the target of an apply that was approved. A rehearsal on loopback is
/// nobody's tenant.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn remember(
    settings: &Settings,
    simulated: &Simulated,
    fleet: &Fleet,
    state: &Path,
) -> Result<(), CliError> {
    if simulated.simulate || connect::rehearses(&fleet.tenant, &settings.allow_endpoints) {
        return Ok(());
    }
    let file = state.join(FILE);
    let mut targets = read(&file)?.unwrap_or_default();
    let now = Target::of(fleet);
    if targets.last() == Some(&now) {
        return Ok(());
    }
    targets.retain(|target| target.name != now.name || !target.differences(&now).is_empty());
    targets.push(now);
    write(&file, &targets).map_err(|error| CliError::file("write", &file, &error))
}

/// Stands for a client ID that is not declared.
const NONE: &str = "none";

const FILE: &str = "target.json";

/// Every target that was written down under a state folder, and journals of
/// clouds beside which none is.
fn known(state_dir: &Path) -> Result<Vec<Known>, CliError> {
    let mut all = Vec::new();
    for (folder, tenant_id) in tenants(state_dir) {
        match read(&folder.join(FILE))? {
            Some(targets) => all.extend(targets.into_iter().map(Known::Target)),
            None if has_journal(&folder) => all.push(Known::Journal(tenant_id)),
            None => {}
        }
    }
    for endpoint in folders(&state_dir.join("endpoints")) {
        for (folder, _) in tenants(&endpoint) {
            all.extend(read(&folder.join(FILE))?.into_iter().flatten().map(Known::Target));
        }
    }
    Ok(all)
}

/// True if somebody has applied to this tenant: the journal of an owner, or the
/// one that an earlier version kept for all.
fn has_journal(tenant: &Path) -> bool {
    let mut places = folders(&tenant.join("owners"));
    places.push(tenant.to_owned());
    let is_kept = |folder: PathBuf| std::fs::metadata(folder.join("journal.jsonl")).is_ok_and(|it| it.len() > 0);
    places.into_iter().any(is_kept)
}

/// The folders whose name is a tenant's id.
fn tenants(folder: &Path) -> Vec<(PathBuf, TenantId)> {
    let id = |path: &PathBuf| path.file_name()?.to_str()?.parse().ok();
    folders(folder).into_iter().filter_map(|path| Some((id(&path)?, path))).map(|(id, path)| (path, id)).collect()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// `None` where there is no such file. One that cannot be read is no licence.
fn read(file: &Path) -> Result<Option<Vec<Target>>, CliError> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CliError::file("read", file, &error)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        CliError::new(Exit::Failed, format!("`{}` cannot be understood: {error}", file.display()))
            .hint("it says which tenants were applied to; delete it to begin anew")
    })
}

/// Old or new, never half, and for its owner alone.
fn write(file: &Path, targets: &[Target]) -> std::io::Result<()> {
    let folder = file.parent().expect("it is in the tenant's folder");
    let mut copy = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut copy, targets)?;
    copy.write_all(b"\n")?;
    copy.persist(file)?;
    Ok(())
}
