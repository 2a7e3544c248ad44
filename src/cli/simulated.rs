//! `--simulate`: the built-in tenant in place of Microsoft's. Only transport,
//! clock and secret differ; the code path is the same.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;

use crate::clock::{self, SharedClock, Stop};
use crate::connect::{Connection, Purpose, Way};
use crate::graph::{Auth, Cloud};
use crate::ledger::{lock, private_folder};
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
    let transport = match settings.simulated.get(tenant) {
        Some(transport) => transport,
        None => {
            let folder = settings.state_of(&target, tenant);
            let opened = open(args, &folder, purpose == Purpose::Write)?;
            settings.simulated.keep(tenant, opened)
        }
    };
    let clock: SharedClock = Arc::new(transport.clock());
    let way = Way { transport: Arc::new(transport), clock, endpoints: Cloud::Global.endpoints(), target };
    Ok(way.lead_to(tenant, auth(), &[], args.sim_seed, stop))
}

/// The simulated tenants of this run: those who own devices in one tenant meet
/// there, and do not undo each other's writes.
#[derive(Clone, Default)]
pub(super) struct Tenants(Arc<Mutex<HashMap<TenantId, Opened>>>);

struct Opened {
    transport: InProcess,
    /// Held while the state is kept.
    _lock: Option<File>,
}

impl Tenants {
    fn get(&self, tenant: TenantId) -> Option<InProcess> {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get(&tenant).map(|opened| opened.transport.clone())
    }

    fn keep(&self, tenant: TenantId, opened: Opened) -> InProcess {
        let transport = opened.transport.clone();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, opened);
        transport
    }
}

fn open(args: &Simulated, folder: &Path, keep: bool) -> Result<Opened, CliError> {
    let settings = sim::Settings::named(args.sim_profile.name())
        .map_err(|error| CliError::new(Exit::Bug, format!("a profile of the simulator is unknown: {error}")))?;
    let file = folder.join("tenant.json");
    let lock = if keep {
        private_folder(folder).map_err(|error| CliError::file("create", folder, &error))?;
        Some(lock(&folder.join("tenant.lock"), &file)?)
    } else {
        None
    };
    let tenant = Tenant::open(&file, settings, args.sim_seed, EPOCH).map_err(|error| {
        CliError::new(Exit::Failed, error.to_string())
            .hint(format!("delete `{}` to begin with an empty tenant", file.display()))
    })?;
    let transport = InProcess::new(tenant, clock::Virtual::starting_at(EPOCH));
    let transport = if keep { transport.saving_to(file) } else { transport };
    Ok(Opened { transport, _lock: lock })
}

fn auth() -> Auth {
    Auth::ClientSecret { client_id: CLIENT_ID.to_owned(), secret: SecretString::from(CLIENT_SECRET.to_owned()) }
}
