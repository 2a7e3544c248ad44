//! The way from a declared tenant to a Graph client: endpoints, sign-in,
//! transport, clock. What is asked over it, by which command, and where a
//! journal stands, is not known here.

use std::sync::Arc;

use crate::clock::{self, SharedClock, Stop};
use secrecy::{ExposeSecret as _, SecretString};

use crate::graph::{
    Auth, AuthKind, Cloud, Declared, EndpointError, Endpoints, ErrorKind, Graph, Http, Login, LoginError, TokenSource,
};
use crate::model::{Target, TenantId};
use crate::resource::{self, AuthType, AutopilotTenantSpec, Identity};
use crate::transport::SharedTransport;

/// What a connection is for, and so which of the declared identities signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Write,
}

/// A tenant that can be asked. Signs in with the first request; clones share that.
#[derive(Clone)]
pub(crate) struct Connection {
    pub graph: Graph,
    pub clock: SharedClock,
    pub target: Target,
    /// The app that signs in, where it has a name.
    pub client_id: Option<String>,
}

/// What requests go through, and where to.
pub(crate) struct Way {
    pub transport: SharedTransport,
    pub clock: SharedClock,
    pub endpoints: Endpoints,
    pub target: Target,
}

impl Way {
    /// A client that signs in as `auth`. `allowed_hosts` may receive a
    /// credential besides the clouds'; `seed` spreads its retries.
    #[must_use]
    pub(crate) fn lead_to(
        self,
        tenant: TenantId,
        auth: Auth,
        allowed_hosts: &[String],
        seed: u64,
        stop: &Stop,
    ) -> Connection {
        let Self { transport, clock, endpoints, target } = self;
        let client_id = auth.client_id().map(str::to_owned);
        let login = Login::new(auth, tenant, endpoints.clone(), transport.clone(), clock.clone());
        let graph = Graph::new(transport, clock.clone(), endpoints, Arc::new(login.allowing(allowed_hosts)), seed);
        Connection { graph: graph.hearing(stop.clone()), clock, target, client_id }
    }
}

/// What is not declared: it belongs to whoever runs us.
#[derive(Clone, Copy)]
pub(crate) struct Outside<'a> {
    /// What was found for the very identity that signs in; then no variable is looked
    /// at.
    pub found: Option<&'a Found>,
    /// Looks up a variable of the environment.
    pub variable: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// Hosts outside Microsoft's clouds that may receive a credential.
    pub allowed_hosts: &'a [String],
    /// What a loopback host gets in place of a credential that it may not
    /// see: the secret that simulated tenants tell everybody.
    pub public_secret: &'a str,
}

/// A credential that does not stand in the environment.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// The secret of an app registration.
    Secret(SecretString),
    /// A certificate and its key, as PEM.
    Certificate(SecretString),
    /// Whoever gives out federated tokens.
    Tokens(Arc<dyn TokenSource>),
}

/// Says why there is no way to a tenant. Never repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ConnectError {
    pub kind: ErrorKind,
    pub message: String,
    /// What to do, one sentence each.
    pub hints: Vec<String>,
}

impl ConnectError {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new() }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<EndpointError> for ConnectError {
    fn from(error: EndpointError) -> Self {
        Self::new(ErrorKind::Endpoint, error.to_string())
    }
}

impl From<LoginError> for ConnectError {
    fn from(error: LoginError) -> Self {
        Self::new(error.kind, error.message)
    }
}

/// Prepares the way to a declared tenant.
///
/// # Errors
/// When the declaration names an endpoint or an identity that cannot be used.
pub(crate) async fn connect(
    spec: &AutopilotTenantSpec,
    tenant: TenantId,
    purpose: Purpose,
    outside: Outside<'_>,
    stop: &Stop,
) -> Result<Connection, ConnectError> {
    let (endpoints, target) = endpoints(spec, outside.allowed_hosts)?;
    let identity = identity(spec, purpose);
    let auth = match endpoints.untrusted(outside.allowed_hosts) {
        None => auth(&identity, tenant, outside).and_then(|auth| Ok(auth.check().map(|()| auth)?))?,
        Some(host) => rehearsal(&identity, host, outside.public_secret),
    };
    let transport: SharedTransport = Arc::new(Http::new(outside.allowed_hosts));
    let clock = clock_at(&transport, &endpoints, stop).await;
    let way = Way { transport, clock, endpoints, target };
    Ok(way.lead_to(tenant, auth, outside.allowed_hosts, fastrand::u64(..), stop))
}

/// A simulated tenant on loopback has a clock of its own, whose waits are
/// skipped. Plain http is possible on loopback only, so nobody else is asked.
async fn clock_at(transport: &SharedTransport, endpoints: &Endpoints, stop: &Stop) -> SharedClock {
    if endpoints.graph.starts_with("http://") {
        let remote = tokio::select! {
            remote = clock::Remote::connect(transport.clone(), &endpoints.graph) => remote,
            // The first request after this hears it too, and says so.
            () = stop.asked() => return Arc::new(clock::Real),
        };
        match remote {
            Ok(remote) => return Arc::new(remote),
            Err(error) => tracing::debug!(%error, "no simulated clock there"),
        }
    }
    Arc::new(clock::Real)
}

fn endpoints(spec: &AutopilotTenantSpec, allowed_hosts: &[String]) -> Result<(Endpoints, Target), ConnectError> {
    if let Some(custom) = &spec.endpoints {
        let endpoints = Endpoints::custom(&custom.login, &custom.graph, allowed_hosts)?;
        let target = Target::Endpoint(endpoints.graph.clone());
        return Ok((endpoints, target));
    }
    let cloud = cloud(spec);
    Ok((cloud.endpoints(), Target::Cloud(cloud.name().to_owned())))
}

/// The declared cloud; of no meaning where there are `endpoints`.
#[must_use]
pub(crate) fn cloud(spec: &AutopilotTenantSpec) -> Cloud {
    match spec.cloud.unwrap_or(resource::Cloud::Global) {
        resource::Cloud::Global => Cloud::Global,
        resource::Cloud::GccHigh => Cloud::GccHigh,
        resource::Cloud::Dod => Cloud::Dod,
        resource::Cloud::China => Cloud::China,
    }
}

/// True if the declared tenant is on loopback and may see no credential.
#[must_use]
pub(crate) fn rehearses(spec: &AutopilotTenantSpec, allowed_hosts: &[String]) -> bool {
    endpoints(spec, allowed_hosts).is_ok_and(|(endpoints, _)| endpoints.untrusted(allowed_hosts).is_some())
}

/// Which of the declared identities signs in; an empty one if none is declared.
pub(crate) fn identity(spec: &AutopilotTenantSpec, purpose: Purpose) -> Identity {
    match (&spec.auth, purpose) {
        (None, _) => Identity::default(),
        (Some(auth), Purpose::Read) => auth.reader(),
        (Some(auth), Purpose::Write) => auth.writer(),
    }
}

fn auth(identity: &Identity, tenant: TenantId, outside: Outside<'_>) -> Result<Auth, ConnectError> {
    if let Some(found) = outside.found {
        let nobody = "`auth.clientId` is missing: which app signs in?";
        let client_id = identity.client_id.clone().ok_or_else(|| ConnectError::new(ErrorKind::Auth, nobody))?;
        return Ok(match found {
            Found::Secret(secret) => Auth::ClientSecret { client_id, secret: secret.clone() },
            Found::Certificate(pem) => Auth::with_certificate(client_id, pem.expose_secret().to_owned())?,
            Found::Tokens(source) => Auth::Federated { client_id, source: source.clone() },
        });
    }
    let kind = identity.type_.map(auth_kind).transpose()?;
    let declared = Declared { tenant: Some(tenant), kind, client_id: identity.client_id.clone() };
    Auth::from_environment(outside.variable, &declared).map_err(|error| {
        let error = ConnectError::from(error);
        if identity.secret_ref.is_some() || identity.certificate_ref.is_some() {
            return error
                .hint("`secretRef` and `certificateRef` name objects in a cluster; here the variable is needed");
        }
        error
    })
}

/// Whatever is declared and whatever the environment holds: a host that may
/// see no credential sees what everybody knows.
fn rehearsal(identity: &Identity, host: String, public_secret: &str) -> Auth {
    /// Where no app is declared; a simulated tenant takes any.
    const ANY_CLIENT: &str = "aaaaaaaa-0000-4000-8000-000000000001";
    let client_id = identity.client_id.clone().unwrap_or_else(|| ANY_CLIENT.to_owned());
    Auth::Public { client_id, secret: public_secret.to_owned(), host }
}

fn auth_kind(declared: AuthType) -> Result<AuthKind, ConnectError> {
    match declared {
        AuthType::ClientSecret => Ok(AuthKind::ClientSecret),
        AuthType::Certificate => Ok(AuthKind::Certificate),
        AuthType::WorkloadIdentity => Ok(AuthKind::WorkloadIdentity),
        AuthType::ManagedIdentity => Ok(AuthKind::ManagedIdentity),
        AuthType::AzureCli => Ok(AuthKind::AzureCli),
        AuthType::Browser | AuthType::DeviceCode => {
            let message = format!("signing in by `{declared:?}` is not there yet");
            Err(ConnectError::new(ErrorKind::Auth, message)
                .hint("use an app of your own with type `ClientSecret` or `Certificate`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";

    fn spec(more: serde_json::Value) -> AutopilotTenantSpec {
        let mut spec = serde_json::json!({"tenantId": TENANT, "policy": "Sync", "ownerId": "corp"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn auth_of(spec: &AutopilotTenantSpec, purpose: Purpose, variables: &[(&str, &str)]) -> Result<Auth, ConnectError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let outside = Outside { found: None, variable: &variable, allowed_hosts: &[], public_secret: "public" };
        auth(&identity(spec, purpose), TENANT.parse().unwrap(), outside)
    }

    #[test]
    fn a_target_is_named_by_its_cloud_or_by_where_its_graph_is() {
        let named =
            |more| endpoints(&spec(more), &[]).map(|(_, target)| (target.name().to_owned(), target.cloud().to_owned()));
        assert_eq!(named(serde_json::json!({})), Ok(("Global".to_owned(), "Global".to_owned())));
        assert_eq!(named(serde_json::json!({"cloud": "China"})), Ok(("China".to_owned(), "China".to_owned())));
        let custom = serde_json::json!({"endpoints": {"login": "http://127.0.0.1:1/", "graph": "http://127.0.0.1:2/"}});
        assert_eq!(named(custom), Ok(("http://127.0.0.1:2".to_owned(), "Custom".to_owned())));
        let foreign = serde_json::json!({"endpoints": {"login": "https://a.example", "graph": "https://b.example"}});
        assert_eq!(named(foreign).unwrap_err().kind, ErrorKind::Endpoint);
    }

    #[test]
    fn reading_and_writing_may_be_two_identities() {
        let split = spec(serde_json::json!({"auth": {
            "type": "ClientSecret", "clientId": "writer",
            "read": {"type": "WorkloadIdentity", "clientId": "reader"},
        }}));
        let reader = auth_of(&split, Purpose::Read, &[("AZURE_FEDERATED_TOKEN_FILE", "/run/token")]).unwrap();
        assert!(matches!(&reader, Auth::WorkloadIdentityFile { client_id, .. } if client_id == "reader"), "{reader:?}");
        let writer = auth_of(&split, Purpose::Write, &[("AZURE_CLIENT_SECRET", "s")]).unwrap();
        assert!(matches!(&writer, Auth::ClientSecret { client_id, .. } if client_id == "writer"), "{writer:?}");
    }

    #[test]
    fn a_reference_into_a_cluster_says_that_it_needs_the_variable_here() {
        let referring = spec(serde_json::json!({"auth": {
            "type": "ClientSecret", "clientId": "app", "secretRef": {"name": "n", "key": "k"},
        }}));
        let refused = auth_of(&referring, Purpose::Write, &[]).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Auth);
        assert!(refused.message.contains("`AZURE_CLIENT_SECRET` is not set"), "{refused}");
        assert!(refused.hints[0].contains("name objects in a cluster"), "{:?}", refused.hints);
    }
}
