//! Signing in: Microsoft's own `azure_identity` over our transport and clock.
//!
//! The library insists on https and judges expiry by the wall clock. So its
//! authority is a placeholder that the adapter rewrites, its credential is
//! built anew for every token, and the token is remembered here, by our clock.

mod adapter;
mod assertion;
mod auth;
mod file;

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::http::{ClientOptions, RetryOptions, Transport as AzureTransport};
use azure_core::time::OffsetDateTime;
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertion, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, Executor,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
};
use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::endpoints::{Endpoints, Hosts};
use super::error::{ErrorKind, redacted};
use crate::clock::SharedClock;
use crate::model::{TenantId, later};
use crate::transport::SharedTransport;

use adapter::Adapter;
pub(crate) use assertion::TokenSource;
pub use auth::Auth;
pub(crate) use auth::{AuthKind, Declared};

/// Gives out tokens for Graph, and remembers them as long as they last.
#[async_trait]
pub trait Credential: Send + Sync {
    /// A token that is good for a few minutes at least.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    async fn token(&self) -> Result<SecretString, LoginError>;

    /// The service refused the last token: the next one must be new.
    async fn forget(&self);
}

/// Says why there is no token. Never repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LoginError {
    /// What went wrong, as for any other request.
    pub kind: ErrorKind,
    /// A sentence for people.
    pub message: String,
    /// What the login endpoint asks us to wait.
    pub retry_after: Option<SignedDuration>,
}

impl LoginError {
    fn new(kind: ErrorKind, message: impl AsRef<str>) -> Self {
        Self { kind, message: redacted(message.as_ref()), retry_after: None }
    }

    fn auth(message: impl AsRef<str>) -> Self {
        Self::new(ErrorKind::Auth, message)
    }

    /// A sentence of which every word is ours: the name of a variable is as long
    /// as what is hidden elsewhere.
    fn ours(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Auth, message: message.into(), retry_after: None }
    }

    fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Connect | ErrorKind::Lost | ErrorKind::Server | ErrorKind::Throttled)
    }
}

/// The sign-in of one identity in one tenant.
pub struct Login {
    auth: Auth,
    tenant: TenantId,
    endpoints: Endpoints,
    hosts: Hosts,
    transport: SharedTransport,
    clock: SharedClock,
    executor: Option<Arc<dyn Executor>>,
    held: Mutex<Option<Held>>,
}

struct Held {
    token: SecretString,
    refresh_at: Timestamp,
}

/// The most attempts to get a token. A token request has no effect, so each
/// is as good as the last.
const ATTEMPTS: u32 = 4;
/// Longer than this we do not wait for a login endpoint.
const WAIT_MAX: SignedDuration = SignedDuration::from_mins(2);
/// No token is believed to last longer than this, whatever comes with it.
const LASTS_MAX: SignedDuration = SignedDuration::from_hours(24);
/// A token that lasts less than this is replaced, as Microsoft's libraries do.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

impl Login {
    /// Signs in as `auth`, with the first token that is asked for.
    #[must_use]
    pub fn new(
        auth: Auth,
        tenant: TenantId,
        endpoints: Endpoints,
        transport: SharedTransport,
        clock: SharedClock,
    ) -> Self {
        let held = Mutex::new(None);
        Self { auth, tenant, endpoints, hosts: Hosts::default(), transport, clock, executor: None, held }
    }

    /// Lets an assertion's request go to these hosts too (`--allow-endpoint`),
    /// such as a GitHub server of one's own.
    #[must_use]
    pub fn allowing(mut self, hosts: &[String]) -> Self {
        self.hosts = Hosts::with(hosts);
        self
    }

    /// Runs `az` through something else than a child process of ours.
    #[must_use]
    pub fn running_commands_with(mut self, executor: Arc<dyn Executor>) -> Self {
        self.executor = Some(executor);
        self
    }

    async fn fetch(&self) -> Result<Held, LoginError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.fetch_once().await {
                Ok(held) => return Ok(held),
                Err(error) => error,
            };
            let wait = error.retry_after.unwrap_or_else(|| SignedDuration::from_secs(1 << attempt));
            let wait = wait.max(SignedDuration::from_secs(1));
            if !error.is_transient() || attempt >= ATTEMPTS || wait > WAIT_MAX {
                return Err(error);
            }
            tracing::debug!(attempt, wait_s = wait.as_secs(), "no token yet");
            self.clock.sleep_until(later(self.clock.now(), wait)).await;
        }
    }

    async fn fetch_once(&self) -> Result<Held, LoginError> {
        let adapter = Arc::new(Adapter::new(self.transport.clone(), self.clock.clone(), &self.endpoints));
        let scope = self.endpoints.scope();
        let credential = self.credential(&adapter)?;
        let answer = credential.get_token(&[&scope], None).await;
        let token = answer.map_err(|error| self.explain(&adapter, &error))?;
        self.check(&token)?;
        let lasts = (token.expires_on - OffsetDateTime::now_utc()).whole_seconds();
        let lasts = SignedDuration::from_secs(lasts).clamp(SignedDuration::ZERO, LASTS_MAX);
        // A token that is short-lived to begin with is used for most of its life.
        let margin = MARGIN.min(lasts / 4);
        Ok(Held {
            token: SecretString::from(token.token.secret().to_owned()),
            refresh_at: later(self.clock.now(), lasts.saturating_sub(margin)),
        })
    }

    fn credential(&self, adapter: &Arc<Adapter>) -> Result<Arc<dyn TokenCredential>, LoginError> {
        let options = client_options(adapter.clone());
        let tenant = self.tenant.to_string();
        let built: azure_core::Result<Arc<dyn TokenCredential>> = match &self.auth {
            Auth::ClientSecret { client_id, secret } => {
                with_secret(&tenant, client_id, secret.expose_secret().to_owned(), options)
            }
            Auth::Public { client_id, secret, .. } => with_secret(&tenant, client_id, secret.clone(), options),
            Auth::Certificate { client_id, pem } => {
                let audience = format!("{}/{tenant}/oauth2/v2.0/token", self.endpoints.login);
                let signer = assertion::Certificate::new(pem, client_id, audience, self.clock.clone())?;
                asserted(tenant, client_id, signer, options)
            }
            Auth::GitHubOidc { client_id, request_url, request_token } => {
                let github =
                    assertion::GitHub::new(request_url, request_token, &self.endpoints, &self.hosts, adapter.clone())?;
                asserted(tenant, client_id, github, options)
            }
            Auth::Federated { client_id, source } => {
                asserted(tenant, client_id, assertion::Given::new(source.clone(), &self.endpoints), options)
            }
            Auth::WorkloadIdentityFile { client_id, token_file } => {
                asserted(tenant, client_id, assertion::TokenFile::new(token_file)?, options)
            }
            Auth::ManagedIdentity { client_id } => {
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options: options,
                };
                ManagedIdentityCredential::new(Some(options)).map(|it| it as _)
            }
            Auth::AzureCli => {
                let options = AzureCliCredentialOptions {
                    tenant_id: Some(tenant),
                    executor: self.executor.clone(),
                    ..Default::default()
                };
                AzureCliCredential::new(Some(options)).map(|it| it as _)
            }
        };
        built.map_err(|error| LoginError::auth(first_line(&error.to_string())))
    }

    /// The adapter knows what was answered; the library's error knows the rest.
    fn explain(&self, adapter: &Adapter, error: &azure_core::Error) -> LoginError {
        let mut login = adapter.failure().unwrap_or_else(|| LoginError::auth(first_line(&error.to_string())));
        if matches!(self.auth, Auth::ManagedIdentity { .. }) && login.kind == ErrorKind::Connect {
            login.message.push_str(": is this an Azure machine with a managed identity?");
        }
        if let Auth::Public { host, .. } = &self.auth
            && login.kind == ErrorKind::Auth
        {
            let said = format!(
                " (`{host}` was given the public secret of simulated tenants: `--allow-endpoint {host}` sends it yours)"
            );
            login.message.push_str(&said);
        }
        login
    }

    /// Looks into the token, as far as it is one that can be looked into.
    fn check(&self, token: &AccessToken) -> Result<(), LoginError> {
        let Some(claims) = Claims::of(token.token.secret()) else { return Ok(()) };
        if let Some(tenant) = claims.tid.as_deref()
            && tenant.parse().ok() != Some(self.tenant)
        {
            let message = format!("the token is for tenant `{tenant}`, the declared tenant is `{}`", self.tenant);
            return Err(LoginError::new(ErrorKind::TenantMismatch, message));
        }
        if matches!(self.auth, Auth::AzureCli) && claims.is_of_a_person() {
            return Err(LoginError::auth(
                "`az` is signed in as a person, and its tokens for people lack the Intune permissions: use \
                 `az login --service-principal`, or another kind of `auth`",
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl Credential for Login {
    async fn token(&self) -> Result<SecretString, LoginError> {
        // Held over the fetch: one token request in flight, the others wait.
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| self.clock.now() < held.refresh_at) {
            return Ok(held.token.clone());
        }
        let fresh = self.fetch().await?;
        let token = fresh.token.clone();
        *held = Some(fresh);
        Ok(token)
    }

    async fn forget(&self) {
        *self.held.lock().await = None;
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("auth", &self.auth).field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

fn with_secret(
    tenant: &str,
    client_id: &str,
    secret: String,
    client_options: ClientOptions,
) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let options = ClientSecretCredentialOptions { client_options };
    ClientSecretCredential::new(tenant, client_id.to_owned(), Secret::new(secret), Some(options)).map(|it| it as _)
}

fn asserted<C: ClientAssertion + 'static>(
    tenant: String,
    client_id: &str,
    assertion: C,
    client_options: ClientOptions,
) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let options = ClientAssertionCredentialOptions { client_options };
    ClientAssertionCredential::new(tenant, client_id.to_owned(), assertion, Some(options)).map(|it| it as _)
}

fn client_options(adapter: Arc<Adapter>) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = format!("https://{}", adapter::PLACEHOLDER);
    ClientOptions {
        transport: Some(AzureTransport::new(adapter)),
        retry: RetryOptions::none(),
        cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
        ..Default::default()
    }
}

/// The library adds a link and a stack of contexts below its first line.
fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// What an access token says about itself, where it is a JWT.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Claims {
    tid: Option<String>,
    scp: Option<String>,
    idtyp: Option<String>,
}

impl Claims {
    /// Not a check of the signature: the service does that. `None` for an
    /// opaque token.
    fn of(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
        serde_json::from_slice(&json).ok()
    }

    fn is_of_a_person(&self) -> bool {
        self.idtyp.as_deref() == Some("user") || self.scp.as_deref().is_some_and(|scopes| !scopes.is_empty())
    }
}
