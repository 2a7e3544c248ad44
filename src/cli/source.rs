//! From paths to fleets, and from a fleet to its tenant: what is declared, with
//! all its problems printed.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::Stop;
use crate::connect::{self, Connection, Outside, Purpose};
use crate::manifest::{self, Fleet};
use crate::model::{Origin, SerialKey, TenantId};
use crate::render::document::problems;
use crate::render::{self, Place};
use crate::sim::CLIENT_SECRET;

use super::args::Simulated;
use super::error::CliError;
use super::exit::Exit;
use super::settings::{Settings, tell, variable};
use super::simulated::Tenants;
use super::targets;

/// What is declared under some paths.
pub(super) struct Declared {
    pub fleets: Vec<Fleet>,
    /// What is new about the target of each, to the state folder.
    pub news: Vec<Vec<String>>,
    /// The paths as they were typed.
    pub root: String,
    /// The same, for whoever goes there again.
    pub paths: Vec<PathBuf>,
    pub files: usize,
    /// True if files that look like manifests were not read.
    pub left_out: bool,
    /// What other owners declare in the same tenants.
    pub elsewhere: Elsewhere,
}

/// By tenant and owner, which devices others declare there.
pub(super) type Elsewhere = HashMap<(TenantId, String), HashSet<SerialKey>>;

fn elsewhere(fleets: &[Fleet]) -> Elsewhere {
    let key = |fleet: &Fleet| (fleet.desired.tenant.id, fleet.desired.tenant.owner.clone());
    let others = |fleet: &Fleet| {
        let others = fleets.iter().filter(|other| {
            other.desired.tenant.id == fleet.desired.tenant.id
                && other.desired.tenant.owner != fleet.desired.tenant.owner
        });
        others.flat_map(|other| other.desired.claims()).map(|claim| claim.serial.key()).collect()
    };
    fleets.iter().map(|fleet| (key(fleet), others(fleet))).collect()
}

/// Reads manifests and prints every problem. Nothing is sent before that.
///
/// # Errors
/// When something is wrong with them, the wanted tenant is not among them, or
/// one of them is another than this state folder knows.
pub(super) fn load(settings: &Settings, paths: &[PathBuf], simulated: &Simulated) -> Result<Declared, CliError> {
    let root = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
    let loaded = manifest::load(paths).asking(&settings.allow_key_hosts);
    let left_out = loaded.problems.iter().any(|problem| matches!(problem.code, "left-out" | "not-read"));
    let problems = problems(&loaded.problems);
    tell(&render::text::problems(&problems, &settings.err_look));
    if loaded.has_errors() {
        let message = format!("the declarations under `{root}` have errors; nothing was sent");
        return Err(CliError { problems: Some(problems), ..CliError::new(Exit::Invalid, message) });
    }
    let elsewhere = elsewhere(&loaded.fleets);
    let names: Vec<String> = loaded.fleets.iter().map(|fleet| format!("`{}`", fleet.desired.tenant.name)).collect();
    let wanted = |fleet: &Fleet| settings.tenant.as_ref().is_none_or(|name| *name == fleet.desired.tenant.name);
    let fleets: Vec<Fleet> = loaded.fleets.into_iter().filter(wanted).collect();
    match (&settings.tenant, fleets.is_empty()) {
        (_, false) => {
            let news = targets::check(settings, simulated, &fleets)?;
            Ok(Declared { fleets, news, root, paths: paths.to_vec(), files: loaded.files, left_out, elsewhere })
        }
        (Some(name), true) if !names.is_empty() => {
            let message = format!("no tenant `{name}` is declared under `{root}`");
            Err(CliError::new(Exit::Invalid, message).hint(format!("declared: {}", names.join(", "))))
        }
        _ => Err(CliError::new(Exit::Invalid, format!("no tenant is declared under `{root}`"))
            .hint("write a document of kind `AutopilotTenant`; examples/contoso/tenant.yaml is one")),
    }
}

/// Prepares the way to a fleet's tenant, or to the built-in one in its place.
///
/// # Errors
/// When the declaration names an endpoint or an identity that cannot be used.
pub(super) async fn connect(
    settings: &Settings,
    simulated: &mut Tenants<'_>,
    fleet: &Fleet,
    purpose: Purpose,
    stop: &Stop,
) -> Result<Connection, CliError> {
    let tenant = fleet.desired.tenant.id;
    if simulated.args.simulate {
        return simulated.connect(&fleet.desired, stop);
    }
    let allowed_hosts = &settings.allow_endpoints;
    let outside = Outside { found: None, variable: &variable, allowed_hosts, public_secret: CLIENT_SECRET };
    let connection = connect::connect(&fleet.tenant, tenant, purpose, outside, stop).await?;
    tracing::debug!(tenant = %fleet.desired.tenant.name, target = connection.target.name(), "the way is prepared");
    Ok(connection)
}

/// The place of a claim for reports.
pub(super) fn place(fleet: &Fleet, origin: Origin) -> Place {
    let place = fleet.places.get(origin);
    let place = place.map_or_else(|| Place::new(&Arc::from("?"), 0), |place| Place::new(&place.file, place.line));
    match fleet.places.row(origin) {
        Some(row) => place.with_row(&row.file, row.line, &row.fields),
        None => place,
    }
}
