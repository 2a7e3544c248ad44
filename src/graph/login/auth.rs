//! Which identity signs in, from what is declared and what the environment
//! holds. The only I/O here is reading the certificate that a variable names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;

use super::LoginError;
use super::assertion::TokenSource;
use super::file;
use crate::graph::error::ErrorKind;
use crate::model::TenantId;

/// An identity with all that it needs to sign in.
#[derive(Debug, Clone)]
pub enum Auth {
    /// The secret of an app registration.
    ClientSecret {
        /// The app.
        client_id: String,
        /// Its secret.
        secret: SecretString,
    },
    /// No credential at all: what simulated tenants tell everybody, for a host
    /// that may see nothing else.
    Public {
        /// The app that it is said to be of.
        client_id: String,
        /// No secret.
        secret: String,
        /// The host that may see nothing else, as the command line would name it.
        host: String,
    },
    /// A certificate that an app registration knows.
    Certificate {
        /// The app.
        client_id: String,
        /// The certificate and its RSA private key.
        pem: SecretString,
    },
    /// The token that Kubernetes writes for a pod. Read anew for each sign-in.
    WorkloadIdentityFile {
        /// The app.
        client_id: String,
        /// Where the token stands.
        token_file: PathBuf,
    },
    /// A token that somebody gives out for each sign-in.
    Federated {
        /// The app.
        client_id: String,
        /// Whoever gives it out.
        source: Arc<dyn TokenSource>,
    },
    /// The token that GitHub gives to a workflow with `id-token: write`.
    GitHubOidc {
        /// The app.
        client_id: String,
        /// Where the token is asked for.
        request_url: String,
        /// What opens that door.
        request_token: SecretString,
    },
    /// An identity that Azure gives to a machine.
    ManagedIdentity {
        /// `None`: the machine's own (system-assigned) one.
        client_id: Option<String>,
    },
    /// Whoever `az` is signed in as; a service principal.
    AzureCli,
}

/// The kinds of `auth` that a manifest can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthKind {
    /// [`Auth::ClientSecret`].
    ClientSecret,
    /// [`Auth::Certificate`].
    Certificate,
    /// A token file, else GitHub.
    WorkloadIdentity,
    /// [`Auth::ManagedIdentity`].
    ManagedIdentity,
    /// [`Auth::AzureCli`].
    AzureCli,
}

/// What a manifest says about signing in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The tenant that `AZURE_TENANT_ID` may not contradict.
    pub tenant: Option<TenantId>,
    /// `None`: whatever the environment offers.
    pub kind: Option<AuthKind>,
    /// Wins over `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
}

const TENANT_ID: &str = "AZURE_TENANT_ID";
const CLIENT_ID: &str = "AZURE_CLIENT_ID";
const CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";
const CERTIFICATE_PATH: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
const PEM_FILE: &str = "a PEM file with certificate and private key";
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const GITHUB_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const GITHUB_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";

impl Auth {
    /// The app that signs in, where it has a name of its own.
    #[must_use]
    pub(crate) fn client_id(&self) -> Option<&str> {
        match self {
            Self::ClientSecret { client_id, .. }
            | Self::Public { client_id, .. }
            | Self::Certificate { client_id, .. }
            | Self::WorkloadIdentityFile { client_id, .. }
            | Self::Federated { client_id, .. }
            | Self::GitHubOidc { client_id, .. } => Some(client_id),
            Self::ManagedIdentity { client_id } => client_id.as_deref(),
            Self::AzureCli => None,
        }
    }

    /// Completes `declared` from the environment. Nothing declared: the first
    /// of client secret, certificate, token file, GitHub, identity endpoint
    /// that is there.
    ///
    /// # Errors
    /// Which variable is missing, or that `AZURE_TENANT_ID` names another
    /// tenant than the manifest.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<String>, declared: &Declared) -> Result<Self, LoginError> {
        let environment = Environment { lookup: &|name| lookup(name).filter(|value| !value.is_empty()), declared };
        environment.check_tenant()?;
        let kind = declared.kind.or_else(|| environment.offers()).ok_or_else(|| {
            LoginError::ours(format!(
                "no identity to sign in with: declare `auth`, or set `{CLIENT_ID}` and one of `{CLIENT_SECRET}`, \
                 `{CERTIFICATE_PATH}`, `{TOKEN_FILE}`"
            ))
        })?;
        environment.complete(kind)
    }

    /// The certificate of an app, as the text of a PEM file.
    ///
    /// # Errors
    /// What the text lacks.
    pub(crate) fn with_certificate(client_id: String, pem: String) -> Result<Self, LoginError> {
        let pem = file::whole(pem).map_err(|reason| LoginError::ours(format!("the certificate: {reason}")))?;
        Ok(Self::Certificate { client_id, pem })
    }

    /// Looks at what is read only when it is sent, so that a file which is no
    /// credential is named before the first request.
    ///
    /// # Errors
    /// Which file it is, and what is wrong with it.
    pub fn check(&self) -> Result<(), LoginError> {
        match self {
            Self::WorkloadIdentityFile { token_file, .. } => file::token(token_file).map(drop),
            _ => Ok(()),
        }
    }
}

struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    declared: &'a Declared,
}

impl Environment<'_> {
    fn has(&self, name: &str) -> bool {
        (self.lookup)(name).is_some()
    }

    fn require(&self, name: &str, why: &str) -> Result<String, LoginError> {
        (self.lookup)(name).ok_or_else(|| LoginError::ours(format!("`{name}` is not set: {why}")))
    }

    fn client_id(&self) -> Result<String, LoginError> {
        let declared = self.declared.client_id.clone();
        declared.or_else(|| (self.lookup)(CLIENT_ID)).ok_or_else(|| {
            LoginError::ours(format!("no `clientId` is declared, and `{CLIENT_ID}` is not set: which app signs in?"))
        })
    }

    /// An environment made for another tenant is a pipeline that was copied.
    fn check_tenant(&self) -> Result<(), LoginError> {
        let (Some(text), Some(declared)) = ((self.lookup)(TENANT_ID), self.declared.tenant) else {
            return Ok(());
        };
        if text.parse().ok() == Some(declared) {
            return Ok(());
        }
        let message = format!("`{TENANT_ID}` is `{text}`, the declared tenant is `{declared}`");
        Err(LoginError::new(ErrorKind::TenantMismatch, message))
    }

    fn offers(&self) -> Option<AuthKind> {
        let offers = [
            (CLIENT_SECRET, AuthKind::ClientSecret),
            (CERTIFICATE_PATH, AuthKind::Certificate),
            (TOKEN_FILE, AuthKind::WorkloadIdentity),
            (GITHUB_URL, AuthKind::WorkloadIdentity),
            (IDENTITY_ENDPOINT, AuthKind::ManagedIdentity),
        ];
        offers.into_iter().find(|(name, _)| self.has(name)).map(|(_, kind)| kind)
    }

    fn complete(&self, kind: AuthKind) -> Result<Auth, LoginError> {
        match kind {
            AuthKind::ClientSecret => Ok(Auth::ClientSecret {
                client_id: self.client_id()?,
                secret: self.require(CLIENT_SECRET, "the secret of the app registration")?.into(),
            }),
            AuthKind::Certificate => Ok(Auth::Certificate {
                client_id: self.client_id()?,
                pem: file::pem(Path::new(&self.require(CERTIFICATE_PATH, PEM_FILE)?))?,
            }),
            AuthKind::WorkloadIdentity if self.has(TOKEN_FILE) => Ok(Auth::WorkloadIdentityFile {
                client_id: self.client_id()?,
                token_file: self.require(TOKEN_FILE, "the file of the federated token")?.into(),
            }),
            AuthKind::WorkloadIdentity => {
                let why = "a pod needs the label `azure.workload.identity/use`, a GitHub workflow the permission \
                           `id-token: write`";
                Ok(Auth::GitHubOidc {
                    request_url: self.require(GITHUB_URL, why)?,
                    request_token: self.require(GITHUB_TOKEN, why)?.into(),
                    client_id: self.client_id()?,
                })
            }
            // `AZURE_CLIENT_ID` is not read here: on a machine with several
            // identities it belongs to whatever else runs there.
            AuthKind::ManagedIdentity => Ok(Auth::ManagedIdentity { client_id: self.declared.client_id.clone() }),
            AuthKind::AzureCli => Ok(Auth::AzureCli),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";

    fn from(vars: &[(&str, &str)], declared: &Declared) -> Result<Auth, LoginError> {
        let lookup = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Auth::from_environment(lookup, declared)
    }

    #[test]
    fn the_first_identity_that_is_there_signs_in() {
        let vars = [(CLIENT_ID, "app"), (CLIENT_SECRET, "s"), (TOKEN_FILE, "/t")];
        assert!(matches!(
            from(&vars, &Declared::default()),
            Ok(Auth::ClientSecret { client_id, .. }) if client_id == "app"
        ));
        let vars = [(CLIENT_ID, "app"), (GITHUB_URL, "https://x"), (GITHUB_TOKEN, "t")];
        assert!(matches!(from(&vars, &Declared::default()), Ok(Auth::GitHubOidc { .. })));
    }

    #[test]
    fn what_is_declared_wins_over_the_environment() {
        let declared =
            Declared { kind: Some(AuthKind::WorkloadIdentity), client_id: Some("mine".to_owned()), tenant: None };
        let vars = [(CLIENT_ID, "app"), (CLIENT_SECRET, "s"), (TOKEN_FILE, "/t")];
        assert!(matches!(
            from(&vars, &declared),
            Ok(Auth::WorkloadIdentityFile { client_id, .. }) if client_id == "mine"
        ));
    }

    #[test]
    fn a_missing_variable_is_named() {
        let declared = Declared { kind: Some(AuthKind::ClientSecret), ..Declared::default() };
        let error = from(&[(CLIENT_ID, "app"), (CLIENT_SECRET, "")], &declared).unwrap_err();
        assert!(error.message.contains("`AZURE_CLIENT_SECRET` is not set"), "{error}");
        let error = from(&[], &Declared::default()).unwrap_err();
        assert!(error.message.starts_with("no identity to sign in with"), "{error}");
    }

    #[test]
    fn an_environment_for_another_tenant_is_refused() {
        let declared = Declared { tenant: Some(TENANT.parse().unwrap()), ..Declared::default() };
        let other = "99999999-2222-3333-4444-555555555555";
        let error = from(&[(TENANT_ID, other), (CLIENT_ID, "a"), (CLIENT_SECRET, "s")], &declared).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TenantMismatch);
    }

    #[test]
    fn debug_never_shows_a_secret() {
        let vars = [(CLIENT_ID, "app"), (CLIENT_SECRET, "hunter2hunter2")];
        let shown = format!("{:?}", from(&vars, &Declared::default()));
        assert!(shown.contains("app") && !shown.contains("hunter2"), "{shown}");
    }
}
