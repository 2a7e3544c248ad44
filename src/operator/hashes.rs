//! Hashes and credentials of a namespace: from Secrets, read when they are needed,
//! kept nowhere and never shown.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use crate::capture;
use crate::hash::{HashSource, WantedHash};
use crate::model::{HardwareHash, HashError, HashLocation};

/// So many Secrets are read at once.
const AT_ONCE: usize = 8;

/// The Secrets of one namespace, which is that of the objects that name them.
#[derive(Clone)]
pub(super) struct Secrets {
    api: Api<Secret>,
}

impl Secrets {
    pub(super) fn new(client: &Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client.clone(), namespace) }
    }

    /// What stands under a key, or why it cannot be had.
    ///
    /// # Errors
    /// A sentence for people, without the value.
    pub(super) async fn read(&self, name: &str, key: &str) -> Result<Vec<u8>, String> {
        let secret = match self.api.get_opt(name).await {
            Ok(Some(secret)) => secret,
            Ok(None) => return Err(format!("there is no Secret `{name}` in the namespace")),
            Err(kube::Error::Api(status)) => {
                return Err(format!("the Secret `{name}` cannot be read: {}", status.message));
            }
            Err(error) => return Err(format!("the Secret `{name}` cannot be read: {error}")),
        };
        let mut data: BTreeMap<_, _> = secret.data.unwrap_or_default();
        let value = data.remove(key).map(|value| value.0);
        value.ok_or_else(|| format!("the Secret `{name}` has no key `{key}`"))
    }

    async fn hash(&self, wanted: &WantedHash) -> Result<HardwareHash, HashError> {
        let HashLocation::SecretKeyRef { name, key } = &wanted.reference.location else {
            let why = "in a cluster a hash stands in a Secret (`secretKeyRef`); files and variables are for a desk";
            return Err(HashError::NotHere(why.to_owned()));
        };
        let bytes = self.read(name, key).await.map_err(HashError::NotHere)?;
        let read = capture::file(&bytes).map_err(|error| capture::no_hash(Path::new(name), &bytes, error))?;
        capture::fitting(read.hash, &wanted.reference, &wanted.serial)
    }
}

#[async_trait]
impl HashSource for Secrets {
    async fn read(&self, wanted: Vec<WantedHash>) -> Vec<Result<HardwareHash, HashError>> {
        let one = |wanted: WantedHash| async move { self.hash(&wanted).await };
        stream::iter(wanted.into_iter().map(one)).buffered(AT_ONCE).collect().await
    }
}
