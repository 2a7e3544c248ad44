//! `--simulate`: the built-in tenant in place of Microsoft's. Only transport,
//! clock and secret differ; the code path is the same.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::clock;
use crate::graph::login::Auth;
use crate::model::TenantId;
use crate::sim::{CLIENT_SECRET, EPOCH, InProcess, Settings, Tenant};

use super::args::Simulated;
use super::error::CliError;
use super::exit::Exit;

/// The app that signs in to a simulated tenant; any id would do.
const CLIENT_ID: &str = "aaaaaaaa-0000-4000-8000-000000000001";

/// Where the state of simulated tenants is: never beside that of real ones.
#[must_use]
pub fn state_dir(state_dir: &Path, tenant: TenantId) -> PathBuf {
    state_dir.join("simulated").join(tenant.to_string())
}

/// Opens the simulated tenant as the last run left it. With `keep`, its state
/// is saved as it changes; without, the run leaves no trace.
///
/// # Errors
/// When there is a state that cannot be read.
pub fn open(args: &Simulated, folder: &Path, keep: bool) -> Result<InProcess, CliError> {
    let settings = Settings::named(args.sim_profile.name())
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
    std::fs::create_dir_all(folder)
        .map_err(|error| CliError::new(Exit::Failed, format!("cannot create `{}`: {error}", folder.display())))?;
    Ok(transport.saving_to(file))
}

/// What signs in to a simulated tenant.
#[must_use]
pub fn auth() -> Auth {
    Auth::ClientSecret { client_id: CLIENT_ID.to_owned(), secret: SecretString::from(CLIENT_SECRET.to_owned()) }
}
