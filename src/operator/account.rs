//! Workload identity: a token of a `ServiceAccount` of the tenant's own namespace,
//! asked for anew for each sign-in. Never one of the operator's own.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use secrecy::SecretString;

use crate::graph::TokenSource;
use crate::ledger::said_by_cluster;

/// It is used within seconds, and Kubernetes gives out no shorter ones.
const LASTS_S: i64 = 600;
/// An answer that takes longer does not come.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Has tokens issued for one `ServiceAccount`.
pub(super) struct Issuer {
    api: Api<ServiceAccount>,
    namespace: String,
    name: String,
}

impl Issuer {
    pub(super) fn new(client: &Client, namespace: &str, name: &str) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        Self { api, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("namespace", &self.namespace).field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenSource for Issuer {
    async fn token(&self, audience: &str) -> Result<SecretString, String> {
        let spec = TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            expiration_seconds: Some(LASTS_S),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let params = PostParams::default();
        let asked = self.api.create_token_request(&self.name, &params, &request);
        let whose = format!("the ServiceAccount `{}` of the namespace `{}`", self.name, self.namespace);
        match tokio::time::timeout(TIME_MAX, asked).await {
            Ok(Ok(TokenRequest { status: Some(status), .. })) => Ok(status.token.into()),
            Ok(Ok(_)) => Err(format!("{whose} got no token")),
            Ok(Err(error)) => Err(format!("{whose} gets no token: {}", said_by_cluster(&error))),
            Err(_) => Err(format!("{whose} gets no token: no answer within {} s", TIME_MAX.as_secs())),
        }
    }
}
