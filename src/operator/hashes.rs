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
use crate::ledger::said_by_cluster;
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
        value(&self.secret(name).await?, name, key).map(<[u8]>::to_vec)
    }

    async fn secret(&self, name: &str) -> Result<Secret, String> {
        match self.api.get_opt(name).await {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => Err(format!("there is no Secret `{name}` in the namespace")),
            Err(error) => Err(format!("the Secret `{name}` cannot be read: {}", said_by_cluster(&error))),
        }
    }

    /// The hashes that stand in one Secret, each with its place in the answer.
    async fn hashes(
        &self,
        name: String,
        wanted: Vec<(usize, WantedHash)>,
    ) -> Vec<(usize, Result<HardwareHash, HashError>)> {
        let secret = self.secret(&name).await;
        let hash = |wanted: &WantedHash| {
            let HashLocation::SecretKeyRef { key, .. } = &wanted.reference.location else { return Err(elsewhere()) };
            let secret = secret.as_ref().map_err(|why| HashError::NotHere(why.clone()))?;
            let bytes = value(secret, &name, key).map_err(HashError::NotHere)?;
            let read = capture::file(bytes).map_err(|error| capture::no_hash(Path::new(&name), bytes, error))?;
            capture::fitting(read.hash, &wanted.reference, &wanted.serial)
        };
        wanted.iter().map(|(at, wanted)| (*at, hash(wanted))).collect()
    }
}

fn value<'s>(secret: &'s Secret, name: &str, key: &str) -> Result<&'s [u8], String> {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    value.map(|value| value.0.as_slice()).ok_or_else(|| format!("the Secret `{name}` has no key `{key}`"))
}

fn elsewhere() -> HashError {
    let why = "in a cluster a hash stands in a Secret (`secretKeyRef`); files and variables are for a desk";
    HashError::NotHere(why.to_owned())
}

#[async_trait]
impl HashSource for Secrets {
    async fn read(&self, wanted: Vec<WantedHash>) -> Vec<Result<HardwareHash, HashError>> {
        let mut found: Vec<Result<HardwareHash, HashError>> = wanted.iter().map(|_| Err(elsewhere())).collect();
        // Many hashes may stand in one, which is read once.
        let mut by_secret: BTreeMap<String, Vec<(usize, WantedHash)>> = BTreeMap::new();
        for (at, wanted) in wanted.into_iter().enumerate() {
            if let HashLocation::SecretKeyRef { name, .. } = &wanted.reference.location {
                by_secret.entry(name.clone()).or_default().push((at, wanted));
            }
        }
        let read = by_secret.into_iter().map(|(name, wanted)| self.hashes(name, wanted));
        let mut read = stream::iter(read).buffer_unordered(AT_ONCE);
        while let Some(hashes) = read.next().await {
            hashes.into_iter().for_each(|(at, hash)| found[at] = hash);
        }
        found
    }
}
