//! `apgit status`: where each declared device stands.

use std::path::{Path, PathBuf};

use crate::clock::Stop;
use crate::connect::Purpose;
use crate::model::{Device, SerialKey};
use crate::plan::Approvals;
use crate::render::Document;
use crate::render::document::{Kind, StatusView};
use crate::status::{FleetStatus, fold};

use super::args::{Reports, Simulated};
use super::error::CliError;
use super::exit::Exit;
use super::members::Opener;
use super::progress::reading;
use super::report::Outlets;
use super::settings::Settings;
use super::source::{self, Declared};

/// Which devices.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StatusArgs {
    /// Only this device; or folders and files with manifests, as for the other commands
    #[arg(value_name = "SERIAL|PATH")]
    pub words: Vec<String>,
    /// Folders or files with manifests
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub simulated: Simulated,
    #[command(flatten)]
    pub reports: Reports,
}

/// # Errors
/// When the tenant cannot be read, or the wanted device is not declared.
pub(super) async fn run(args: &StatusArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let mut outlets = Outlets::new(args.reports.wanted(), Kind::Status, settings.look)?;
    let ended = tenants(args, settings, stop, &mut outlets).await;
    outlets.finish(ended)
}

async fn tenants(args: &StatusArgs, settings: &Settings, stop: &Stop, outlets: &mut Outlets) -> Result<Exit, CliError> {
    let (paths, serial) = sort(args)?;
    let declared = source::load(settings, &paths, &args.simulated)?;
    let wanted = serial.map(SerialKey::of);
    let mut found = false;
    let mut opener = Opener::new(settings, &args.simulated, Purpose::Read, stop);
    for fleet in &declared.fleets {
        let claims = fleet.desired.claims();
        let is_here = |key: &SerialKey| claims.iter().any(|claim| claim.serial.key() == *key);
        if wanted.as_ref().is_some_and(|key| !is_here(key)) {
            continue;
        }
        outlets.begin(&fleet.desired.tenant.name, declared.fleets.len());
        found = true;
        let mut member = opener.open(fleet, Approvals::default()).await?;
        let prepared = reading(settings, &fleet.desired.tenant.name, member.prepare(false, stop)).await?;
        let mut status = fold(&fleet.desired, prepared.cleared.plan());
        if let Some(key) = &wanted {
            status.devices.retain(|device| device.serial.key() == *key);
        }
        let places = |origin| source::place(fleet, origin);
        let view = StatusView { tenant: &fleet.desired.tenant, fleet: &status, undeclared: &[], places: &places };
        outlets.add(Document::Status(view.document()))?;
    }
    match (found, serial) {
        (false, Some(serial)) => undeclared(serial, &declared, &mut opener, settings, outlets).await,
        _ => Ok(Exit::Done),
    }
}

/// A device that is declared nowhere may be registered all the same.
async fn undeclared(
    serial: &str,
    declared: &Declared,
    opener: &mut Opener<'_>,
    settings: &Settings,
    outlets: &mut Outlets,
) -> Result<Exit, CliError> {
    let (key, mut found) = (SerialKey::of(serial), false);
    for fleet in &declared.fleets {
        let tenant = &fleet.desired.tenant;
        let member = opener.open(fleet, Approvals::default()).await?;
        let observed = reading(settings, &tenant.name, member.connection.graph.list_devices()).await?;
        let observed_at = observed.at;
        let devices: Vec<Device> = observed.into_devices().into_iter().filter(|device| device.key() == key).collect();
        if devices.is_empty() {
            continue;
        }
        found = true;
        outlets.begin(&tenant.name, declared.fleets.len());
        let status = FleetStatus { devices: Vec::new(), unmanaged: devices.len(), observed_at };
        let places = |origin| source::place(fleet, origin);
        let view = StatusView { tenant, fleet: &status, undeclared: &devices, places: &places };
        outlets.add(Document::Status(view.document()))?;
    }
    if found {
        return Ok(Exit::Done);
    }
    let message = format!("`{serial}` is not declared under `{}`, and not registered", declared.root);
    Err(CliError::new(Exit::Invalid, message).hint("serial numbers are compared without regard to case"))
}

/// What exists as a file or folder is a path, anything else a serial number.
fn sort(args: &StatusArgs) -> Result<(Vec<PathBuf>, Option<&str>), CliError> {
    let (there, rest): (Vec<&String>, Vec<&String>) = args.words.iter().partition(|word| Path::new(word).exists());
    let mut paths: Vec<PathBuf> = args.paths.iter().cloned().chain(there.into_iter().map(PathBuf::from)).collect();
    if paths.is_empty() {
        paths.push(PathBuf::from("."));
    }
    match rest[..] {
        [] => Ok((paths, None)),
        [serial] => Ok((paths, Some(serial))),
        [..] => {
            let words = rest.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
            Err(CliError::new(Exit::Usage, format!("these are no paths, and more than one serial number: {words}")))
        }
    }
}
