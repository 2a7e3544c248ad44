//! The way to a tenant: transport, clock, endpoints, sign-in. For a simulated
//! tenant only these four differ.

use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::{self, SharedClock, Stop};

use crate::graph::login::{Auth, AuthKind, Declared, Login};
use crate::graph::{Cloud, Endpoints, Graph, Http};
use crate::manifest::Fleet;
use crate::model::{Target, TenantId};
use crate::resource::{AuthType, AutopilotTenantSpec, Cloud as DeclaredCloud, Identity};
use crate::transport::SharedTransport;

use super::args::Simulated;
use super::error::CliError;
use super::exit::Exit;
use super::settings::Settings;
use super::simulated;

/// What a run is for: which identity signs in, and whether a simulated tenant
/// is changed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Read,
    Write,
}

/// A tenant that can be asked.
pub struct Connection {
    pub graph: Graph,
    pub clock: SharedClock,
    /// The folder of this tenant's journal.
    pub state: PathBuf,
    /// `Global`, `GccHigh`, `Dod`, `China` or `Custom`.
    pub cloud: &'static str,
    pub simulated: bool,
    /// What an approval is for.
    pub target: Target,
}

/// Prepares the way to a fleet's tenant. Signs in later, with the first request.
///
/// # Errors
/// When the declaration names an endpoint or an identity that cannot be used.
pub async fn connect(
    settings: &Settings,
    simulated: &Simulated,
    fleet: &Fleet,
    purpose: Purpose,
    stop: &Stop,
) -> Result<Connection, CliError> {
    let tenant = fleet.desired.tenant.id;
    if simulated.simulate {
        let state = simulated::state_dir(&settings.state_dir, tenant);
        let transport = simulated::open(simulated, &state, purpose == Purpose::Write)?;
        let clock: SharedClock = Arc::new(transport.clock());
        let way = Way { transport: Arc::new(transport), clock: clock.clone(), endpoints: Cloud::Global.endpoints() };
        let graph = way.graph(simulated::auth(), tenant, &[], simulated.sim_seed).hearing(stop.clone());
        return Ok(Connection { graph, clock, state, cloud: "Global", simulated: true, target: Target::simulated() });
    }
    let (endpoints, cloud) = endpoints(&fleet.tenant, &settings.allow_endpoints)?;
    let auth = auth(&fleet.tenant, tenant, purpose)?;
    let transport: SharedTransport = Arc::new(Http::new(&settings.allow_endpoints));
    let clock = clock_at(&transport, &endpoints).await;
    let way = Way { transport, clock: clock.clone(), endpoints };
    let graph = way.graph(auth, tenant, &settings.allow_endpoints, fastrand::u64(..)).hearing(stop.clone());
    let state = settings.state_dir.join(tenant.to_string());
    let target = match &fleet.tenant.endpoints {
        Some(custom) => Target::endpoint(&custom.graph),
        None => Target::cloud(cloud),
    };
    Ok(Connection { graph, clock, state, cloud, simulated: false, target })
}

struct Way {
    transport: SharedTransport,
    clock: SharedClock,
    endpoints: Endpoints,
}

impl Way {
    fn graph(self, auth: Auth, tenant: TenantId, allowed: &[String], seed: u64) -> Graph {
        let Self { transport, clock, endpoints } = self;
        let login = Login::new(auth, tenant, endpoints.clone(), transport.clone(), clock.clone()).allowing(allowed);
        Graph::new(transport, clock, endpoints, Arc::new(login), seed)
    }
}

/// A simulated tenant on loopback has a clock of its own, whose waits are
/// skipped. Plain http is possible on loopback only, so nobody else is asked.
async fn clock_at(transport: &SharedTransport, endpoints: &Endpoints) -> SharedClock {
    if endpoints.graph.starts_with("http://") {
        match clock::Remote::connect(transport.clone(), &endpoints.graph).await {
            Ok(remote) => return Arc::new(remote),
            Err(error) => tracing::debug!(%error, "no simulated clock there"),
        }
    }
    Arc::new(clock::Real)
}

fn endpoints(spec: &AutopilotTenantSpec, allowed: &[String]) -> Result<(Endpoints, &'static str), CliError> {
    let Some(custom) = &spec.endpoints else {
        let (cloud, name) = match spec.cloud.unwrap_or(DeclaredCloud::Global) {
            DeclaredCloud::Global => (Cloud::Global, "Global"),
            DeclaredCloud::GccHigh => (Cloud::GccHigh, "GccHigh"),
            DeclaredCloud::Dod => (Cloud::Dod, "Dod"),
            DeclaredCloud::China => (Cloud::China, "China"),
        };
        return Ok((cloud.endpoints(), name));
    };
    let endpoints = Endpoints::custom(&custom.login, &custom.graph, allowed);
    let endpoints = endpoints.map_err(|error| CliError::new(Exit::Invalid, error.to_string()))?;
    Ok((endpoints, "Custom"))
}

fn auth(spec: &AutopilotTenantSpec, tenant: TenantId, purpose: Purpose) -> Result<Auth, CliError> {
    let identity = match (&spec.auth, purpose) {
        (None, _) => Identity::default(),
        (Some(auth), Purpose::Read) => auth.reader(),
        (Some(auth), Purpose::Write) => auth.writer(),
    };
    let kind = match identity.type_ {
        None => None,
        Some(AuthType::ClientSecret) => Some(AuthKind::ClientSecret),
        Some(AuthType::Certificate) => Some(AuthKind::Certificate),
        Some(AuthType::WorkloadIdentity) => Some(AuthKind::WorkloadIdentity),
        Some(AuthType::ManagedIdentity) => Some(AuthKind::ManagedIdentity),
        Some(AuthType::AzureCli) => Some(AuthKind::AzureCli),
        Some(kind @ (AuthType::Browser | AuthType::DeviceCode)) => {
            let message = format!("signing in by `{kind:?}` is not there yet");
            return Err(CliError::new(Exit::Denied, message)
                .hint("use an app of your own with type `ClientSecret` or `Certificate`"));
        }
    };
    let declared = Declared { tenant: Some(tenant), kind, client_id: identity.client_id.clone() };
    Auth::from_environment(|name| lookup(&identity, name), &declared).map_err(|error| {
        let error = CliError::from(error);
        if identity.secret_ref.is_some() || identity.certificate_ref.is_some() {
            return error
                .hint("`secretRef` and `certificateRef` name objects in a cluster; here the variable is needed");
        }
        error
    })
}

/// Files that the declaration names stand in for the usual variables.
fn lookup(identity: &Identity, name: &str) -> Option<String> {
    let declared = match name {
        "AZURE_CLIENT_CERTIFICATE_PATH" => identity.certificate_file.clone(),
        "AZURE_FEDERATED_TOKEN_FILE" => identity.token_file.clone(),
        _ => None,
    };
    declared.or_else(|| std::env::var(name).ok())
}
