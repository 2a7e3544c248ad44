//! `--simulate`: the built-in tenant in place of Microsoft's. Only transport,
//! clock and secret differ; the code path is the same.

use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;

use crate::clock::{self, SharedClock, Stop};
use crate::connect::{Connection, Purpose, Way};
use crate::graph::{Auth, Cloud};
use crate::model::{Target, TenantId};
use crate::sim::{self, CLIENT_SECRET, EPOCH, InProcess, Tenant};

use super::args::Simulated;
use super::error::CliError;
use super::exit::Exit;
use super::settings::Settings;

/// The app that signs in to a simulated tenant; any id would do.
const CLIENT_ID: &str = "aaaaaaaa-0000-4000-8000-000000000001";

/// Leads to the simulated tenant as the last run left it. Its state is saved
/// as it changes if the purpose is to write; else the run leaves no trace.
///
/// # Errors
/// When there is a state that cannot be read.
pub(super) fn connect(
    settings: &Settings,
    args: &Simulated,
    tenant: TenantId,
    purpose: Purpose,
    stop: &Stop,
) -> Result<Connection, CliError> {
    let target = Target::Simulated;
    let transport = open(args, &settings.state_of(&target, tenant), purpose == Purpose::Write)?;
    let clock: SharedClock = Arc::new(transport.clock());
    let way = Way { transport: Arc::new(transport), clock, endpoints: Cloud::Global.endpoints(), target };
    Ok(way.lead_to(tenant, auth(), &[], args.sim_seed, stop))
}

fn open(args: &Simulated, folder: &Path, keep: bool) -> Result<InProcess, CliError> {
    let settings = sim::Settings::named(args.sim_profile.name())
        .map_err(|error| CliError::new(Exit::Bug, format!("a profile of the simulator is unknown: {error}")))?;
    let file = folder.join("tenant.json");
    let tenant = Tenant::open(&file, settings, args.sim_seed, EPOCH).map_err(|error| {
        CliError::new(Exit::Failed, error.to_string())
            .hint(format!("delete `{}` to begin with an empty tenant", file.display()))
    })?;
    let transport = InProcess::new(tenant, clock::Virtual::starting_at(EPOCH));
    if !keep {
        return Ok(transport);
    }
    std::fs::create_dir_all(folder).map_err(|error| CliError::file("create", folder, &error))?;
    Ok(transport.saving_to(file))
}

fn auth() -> Auth {
    Auth::ClientSecret { client_id: CLIENT_ID.to_owned(), secret: SecretString::from(CLIENT_SECRET.to_owned()) }
}
