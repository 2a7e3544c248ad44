//! `apgit status`: where each declared device stands.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
use super::serve::{self, Serve};
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
    /// Serve it as a page, on this machine only unless an address says otherwise, until Ctrl-C
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = serve::ADDRESS, conflicts_with_all = ["report", "json"], help_heading = "Page")]
    pub serve: Option<SocketAddr>,
    /// How old a page is before a look at it reads the tenant again
    #[arg(long, value_name = "TIME", value_parser = every, default_value = "10m", requires = "serve", help_heading = "Page")]
    pub every: Duration,
}

/// # Errors
/// When the tenant cannot be read, or the wanted device is not declared.
pub(super) async fn run(args: &StatusArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    if let Some(address) = args.serve {
        return page(args, address, settings, stop).await;
    }
    let mut outlets = Outlets::new(args.reports.wanted(), Kind::Status, settings.look)?;
    let ended = tenants(args, settings, stop, &mut outlets).await;
    outlets.finish(ended)
}

async fn page(args: &StatusArgs, address: SocketAddr, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let (paths, serial) = sort(args)?;
    if let Some(serial) = serial {
        let message = format!("`{serial}` is no file or folder, and the page has all devices");
        return Err(CliError::new(Exit::Usage, message).hint("leave the serial number out, and find it on the page"));
    }
    let every = args.every;
    serve::run(&Serve { address, every, paths: &paths, simulated: &args.simulated }, settings, stop).await
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

/// `90s`, `10m`, `2h`: at most a day.
fn every(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is wanted, such as `90s`, `10m` or `2h`, of at most a day".to_owned();
    let seconds = [("s", 1), ("m", 60), ("h", 3_600)]
        .into_iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(seconds));
    seconds.filter(|seconds| (1..=86_400).contains(seconds)).map(Duration::from_secs).ok_or_else(wrong)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_an_end() {
        assert_eq!((every("90s"), every("2h")), (Ok(Duration::from_secs(90)), Ok(Duration::from_secs(7_200))));
        for wrong in ["", "10", "m", "0s", "25h", "-1m", "1d", "99999999999999999999h"] {
            assert!(every(wrong).is_err(), "{wrong}");
        }
    }
}
