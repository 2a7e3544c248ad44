//! Client assertions: a JWT signed with a certificate's key, the token that
//! stands in a file, and the one that GitHub gives to a workflow.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind as AzureKind};
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header;
use reqwest::Url;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::LoginError;
use super::adapter::SharedAdapter;
use super::file;
use crate::clock::SharedClock;
use crate::graph::USER_AGENT;
use crate::graph::endpoints::{Endpoints, Hosts, is_github};
use crate::graph::error::ErrorKind;

/// An assertion is used within seconds; ten minutes forgive a wrong clock.
const LIFE_S: i64 = 600;

/// Signs assertions with the key of a certificate.
pub(super) struct Certificate {
    key: RsaKeyPair,
    /// `x5t#S256`: the SHA-256 of the certificate, which Entra knows the key by.
    thumbprint: String,
    client_id: String,
    audience: String,
    clock: SharedClock,
}

impl Certificate {
    /// `pem` holds a certificate and its RSA private key (PKCS#8 or PKCS#1), in
    /// any order.
    pub(super) fn new(
        pem: &SecretString,
        client_id: &str,
        audience: String,
        clock: SharedClock,
    ) -> Result<Self, LoginError> {
        let text = pem.expose_secret().as_bytes();
        let certificate = CertificateDer::from_pem_slice(text)
            .map_err(|_| LoginError::auth("the PEM file has no certificate (`BEGIN CERTIFICATE`)"))?;
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| {
            LoginError::auth("the PEM file has no private key without a password (`BEGIN PRIVATE KEY`)")
        })?;
        let key = match &key {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(LoginError::auth("the private key is not RSA, and Entra accepts no other")),
        };
        let key = key.map_err(|reason| {
            LoginError::auth(format!("the private key cannot be used ({reason}): Entra wants RSA of 2048 bits or more"))
        })?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &certificate);
        let thumbprint = URL_SAFE_NO_PAD.encode(digest);
        Ok(Self { key, thumbprint, client_id: client_id.to_owned(), audience, clock })
    }

    fn sign(&self) -> Result<String, LoginError> {
        let now = self.clock.now().as_second();
        let header = json!({ "alg": "RS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        let claims = json!({
            "aud": self.audience,
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": Uuid::new_v4(),
            "nbf": now,
            "iat": now,
            "exp": now + LIFE_S,
        });
        let encoded = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encoded(&header), encoded(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| LoginError::auth("the private key cannot sign"))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[async_trait]
impl ClientAssertion for Certificate {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        self.sign().map_err(|error| Error::with_message(AzureKind::Credential, error.message))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// Hands on the federated token that somebody else writes to a file.
#[derive(Debug)]
pub(super) struct TokenFile(PathBuf);

impl TokenFile {
    /// What stands there is looked at before anything is sent; it is read again
    /// for each assertion.
    pub(super) fn new(path: &Path) -> Result<Self, LoginError> {
        file::token(path)?;
        Ok(Self(path.to_owned()))
    }
}

#[async_trait]
impl ClientAssertion for TokenFile {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let token = file::token(&self.0).map_err(|error| Error::with_message(AzureKind::Credential, error.message))?;
        Ok(token.expose_secret().to_owned())
    }
}

/// Somebody who gives out federated tokens.
#[async_trait]
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// A token that is good for one sign-in at least.
    ///
    /// # Errors
    /// Why there is none, in a sentence.
    async fn token(&self, audience: &str) -> Result<SecretString, String>;
}

/// Hands on what such a one gives out.
#[derive(Debug)]
pub(super) struct Given {
    source: Arc<dyn TokenSource>,
    audience: &'static str,
}

impl Given {
    pub(super) fn new(source: Arc<dyn TokenSource>, endpoints: &Endpoints) -> Self {
        Self { source, audience: audience(endpoints) }
    }
}

#[async_trait]
impl ClientAssertion for Given {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let token = self.source.token(self.audience).await;
        let token = token.map_err(|message| Error::with_message(AzureKind::Credential, message))?;
        Ok(token.expose_secret().to_owned())
    }
}

/// Fetches the identity token of a GitHub workflow.
pub(super) struct GitHub {
    url: Url,
    request_token: SecretString,
    adapter: SharedAdapter,
}

impl GitHub {
    pub(super) fn new(
        request_url: &str,
        request_token: &SecretString,
        endpoints: &Endpoints,
        hosts: &Hosts,
        adapter: SharedAdapter,
    ) -> Result<Self, LoginError> {
        let mut url =
            Url::parse(request_url).map_err(|_| LoginError::ours("`ACTIONS_ID_TOKEN_REQUEST_URL` is not a URL"))?;
        if !is_github(&url) && !hosts.allow(&url) {
            let host = url.host_str().unwrap_or_default();
            let message = format!("`{host}` is not GitHub: name it with `--allow-endpoint {host}` if it is yours");
            return Err(LoginError::new(ErrorKind::Endpoint, message));
        }
        url.query_pairs_mut().append_pair("audience", audience(endpoints));
        Ok(Self { url, request_token: request_token.clone(), adapter })
    }

    async fn fetch(&self) -> Result<String, LoginError> {
        #[derive(Deserialize)]
        struct Answer {
            value: String,
        }
        let bearer = format!("Bearer {}", self.request_token.expose_secret());
        let request = http::Request::get(self.url.as_str())
            .header(header::AUTHORIZATION, bearer)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Bytes::new())
            .map_err(|_| LoginError::ours("`ACTIONS_ID_TOKEN_REQUEST_TOKEN` is not a token"))?;
        let response = self.adapter.send(request).await?;
        let answer: Answer = serde_json::from_slice(response.body())
            .map_err(|_| LoginError::auth("GitHub's answer has no identity token"))?;
        Ok(answer.value)
    }
}

#[async_trait]
impl ClientAssertion for GitHub {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        self.fetch().await.map_err(|error| Error::with_message(AzureKind::Credential, error.message))
    }
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").finish_non_exhaustive()
    }
}

/// What a federated credential expects, cloud by cloud. Source: Microsoft's
/// page on workload identity federation with GitHub Actions.
fn audience(endpoints: &Endpoints) -> &'static str {
    match endpoints.login.rsplit('.').next() {
        Some("us") => "api://AzureADTokenExchangeUSGov",
        Some("cn") => "api://AzureADTokenExchangeChina",
        _ => "api://AzureADTokenExchange",
    }
}
