//! `--simulate`: the built-in tenant in place of Microsoft's. Only transport,
//! clock and secret differ; the code path is the same.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use secrecy::SecretString;

use crate::clock::{self, SharedClock, Stop};
use crate::connect::{Connection, Purpose, Way};
use crate::graph::{Auth, Cloud};
use crate::ledger::folder_within;
use crate::model::{Desired, Target, TenantId};
use crate::sim::{self, CLIENT_SECRET, EPOCH, InProcess, StateError, StateFile, Tenant};

use super::args::Simulated;
use super::error::CliError;
use super::exit::Exit;
use super::settings::Settings;
use super::simulate::script;

/// The app that signs in to a simulated tenant; any id would do.
const CLIENT_ID: &str = "aaaaaaaa-0000-4000-8000-000000000001";

/// The simulated tenants of one run: those who own devices in one tenant meet
/// there, and do not undo each other's writes.
pub(super) struct Tenants<'s> {
    settings: &'s Settings,
    pub args: &'s Simulated,
    purpose: Purpose,
    opened: HashMap<TenantId, InProcess>,
}

impl<'s> Tenants<'s> {
    pub(super) fn new(settings: &'s Settings, args: &'s Simulated, purpose: Purpose) -> Self {
        Self { settings, args, purpose, opened: HashMap::new() }
    }

    /// Leads to the simulated tenant as the last run left it. Its state is saved
    /// as it changes if the purpose is to write; else the run leaves no trace.
    ///
    /// # Errors
    /// When there is a state that cannot be read, or that another run keeps.
    pub(super) fn connect(&mut self, desired: &Desired, stop: &Stop) -> Result<Connection, CliError> {
        let tenant = desired.tenant.id;
        let transport = match self.opened.get(&tenant) {
            Some(opened) => opened.clone(),
            None => self.open(tenant)?,
        };
        transport.with(|tenant| own(tenant, &domains(desired)));
        let clock: SharedClock = Arc::new(transport.clock());
        let endpoints = Cloud::Global.endpoints();
        let way = Way { transport: Arc::new(transport), clock, endpoints, target: Target::Simulated };
        Ok(way.lead_to(tenant, auth(), &[], self.args.sim_seed, stop))
    }

    fn open(&mut self, tenant: TenantId) -> Result<InProcess, CliError> {
        let Simulated { sim_profile, sim_seed, sim_script, .. } = self.args;
        let profile = sim::Settings::named(sim_profile.name())
            .map_err(|error| CliError::new(Exit::Bug, format!("a profile of the simulator is unknown: {error}")))?;
        let folder = self.settings.state_of(&Target::Simulated, tenant);
        let file = folder.join("tenant.json");
        let mut kept = None;
        if self.purpose == Purpose::Write {
            folder_within(&self.settings.state_dir, &folder)
                .map_err(|error| CliError::file("create", &folder, &error))?;
            kept = Some(StateFile::lock(&file).map_err(|error| match error {
                StateError::InUse { .. } => {
                    let message = format!("another apgit is using the simulated tenant `{}`", file.display());
                    CliError::new(Exit::Later, message).hint("wait until it ends, or stop it with Ctrl-C")
                }
                error => CliError::new(Exit::Failed, error.to_string()),
            })?);
        }
        let tenant_now = Tenant::open(&file, profile, *sim_seed, EPOCH).map_err(|error| {
            CliError::new(Exit::Failed, error.to_string())
                .hint(format!("delete `{}` to begin with an empty tenant", file.display()))
        })?;
        let mut tenant_now = tenant_now;
        if let Some(path) = sim_script {
            tenant_now.play(&script(path)?);
        }
        let transport = InProcess::new(tenant_now, clock::Virtual::starting_at(EPOCH));
        let transport = match kept {
            Some(kept) => transport.keeping(kept),
            None => transport,
        };
        self.opened.insert(tenant, transport.clone());
        Ok(transport)
    }
}

/// Makes these the tenant's own domains besides those that it has: it is made from
/// what is declared, and a rehearsal with one's own users shall not end at them.
fn own(tenant: &mut Tenant, domains: &BTreeSet<String>) {
    let mut settings = tenant.settings().clone();
    let known = &mut settings.directory.domains;
    let new: Vec<String> = domains.iter().filter(|domain| !known.contains(domain)).cloned().collect();
    if new.is_empty() {
        return;
    }
    known.extend(new);
    tenant.set_settings(settings);
}

/// The domains of all declared users.
fn domains(desired: &Desired) -> BTreeSet<String> {
    let users = desired.claims().iter().filter_map(|claim| claim.user.text());
    users.filter_map(|user| Some(user.rsplit_once('@')?.1.to_lowercase())).collect()
}

fn auth() -> Auth {
    Auth::ClientSecret { client_id: CLIENT_ID.to_owned(), secret: SecretString::from(CLIENT_SECRET.to_owned()) }
}
