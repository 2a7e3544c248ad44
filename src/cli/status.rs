//! `apgit status`: where each declared device stands.

use std::path::{Path, PathBuf};

use crate::clock::Stop;
use crate::connect::Purpose;
use crate::fleet::TenantStatus;
use crate::manifest::Fleet;
use crate::model::SerialKey;
use crate::plan::Approvals;
use crate::render::Document;
use crate::render::document::{Kind, StatusView};

use super::args::{Reports, Simulated};
use super::error::CliError;
use super::exit::Exit;
use super::members::{Opener, in_place};
use super::progress::reading;
use super::report::Outlets;
use super::settings::Settings;
use super::source;

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
    outlets.over(declared.fleets.len());
    let wanted = serial.map(SerialKey::of);
    let declares = |fleet: &&Fleet| {
        wanted.as_ref().is_none_or(|key| fleet.desired.claims().iter().any(|claim| claim.serial.key() == *key))
    };
    // A device that is declared nowhere may be registered all the same.
    let is_declared = declared.fleets.iter().any(|fleet| declares(&fleet));
    let fleets: Vec<&Fleet> = declared.fleets.iter().filter(|fleet| !is_declared || declares(fleet)).collect();
    let mut opener = Opener::new(settings, &args.simulated, &declared, Purpose::Read, stop);
    let each = fleets.iter().map(|fleet| (*fleet, Approvals::default()));
    let (mut members, errors) = opener.open_each(each).await;
    let states = reading(settings, &fleets, members.status(wanted.as_ref())).await;
    let (mut exit, mut found) = (Exit::Done, is_declared);
    for (fleet, status) in fleets.iter().copied().zip(in_place(errors, states)) {
        let tenant = &fleet.desired.tenant;
        if !is_declared && status.as_ref().is_ok_and(|(_, status)| status.undeclared.is_empty()) {
            continue;
        }
        outlets.begin(fleet);
        found = true;
        let TenantStatus { fleet: status, undeclared } = match status {
            Ok((_, status)) => status,
            Err(error) => {
                exit = exit.worse(outlets.fail(error, &settings.err_look));
                continue;
            }
        };
        let places = |origin| source::place(fleet, origin);
        let view = StatusView { tenant, fleet: &status, undeclared: &undeclared, places: &places };
        outlets.add(Document::Status(view.document()))?;
    }
    match serial.filter(|_| !found) {
        Some(serial) => {
            let message = format!("`{serial}` is not declared under `{}`, and not registered", declared.root);
            Err(CliError::new(Exit::Invalid, message).hint("serial numbers are compared without regard to case"))
        }
        None => Ok(exit),
    }
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
            let message = format!("{words} are {} serial numbers, for none of them is a file or folder", rest.len());
            Err(CliError::new(Exit::Usage, message).hint("name one device, or none to see all"))
        }
    }
}
