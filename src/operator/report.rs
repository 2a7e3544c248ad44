//! What a round found out, back into the objects: only what is not there yet, and
//! a few at a time.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::events::News;

/// As whom fields are owned.
const MANAGER: &str = "apgit";
/// More at once are no faster.
const AT_ONCE: usize = 8;
/// An answer that takes longer is lost: the next round writes again.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The status that an object shall have.
pub(super) struct Wanted {
    kind: Target,
    name: String,
    status: Value,
    news: Option<News>,
}

enum Target {
    Tenant,
    Device,
    Set,
    Approval,
}

/// How many were written, and how many could not be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub changed: usize,
    pub failed: usize,
}

macro_rules! wanted {
    ($($method:ident, $target:ident;)*) => {
        $(/// The status of an object of this kind; nothing where it is there already.
        pub(super) fn $method(name: &str, before: Option<&impl Serialize>, status: &impl Serialize) -> Option<Self> {
            let status = serde_json::to_value(status).expect("plain data becomes JSON");
            let before = before.map(|before| serde_json::to_value(before).expect("plain data becomes JSON"));
            (before.as_ref() != Some(&status)).then(|| Self { kind: Target::$target, name: name.to_owned(), status, news: None })
        })*
    };
}

impl Wanted {
    wanted! {
        tenant, Tenant;
        device, Device;
        set, Set;
        approval, Approval;
    }

    /// The same, with what is told of it.
    pub(super) fn telling(self, news: Option<News>) -> Self {
        Self { news, ..self }
    }
}

/// Takes what is told: of the tenant itself, and of others.
pub(super) fn news(wanted: &mut [Wanted]) -> (Vec<News>, Vec<News>) {
    let (mut of_tenant, mut of_others) = (Vec::new(), Vec::new());
    for wanted in wanted {
        let of = if matches!(wanted.kind, Target::Tenant) { &mut of_tenant } else { &mut of_others };
        of.extend(wanted.news.take());
    }
    (of_tenant, of_others)
}

/// Writes what is wanted. An object that is gone needs no status.
pub(super) async fn write(client: &Client, namespace: &str, wanted: Vec<Wanted>) -> Written {
    use crate::resource::{AutopilotDevice, AutopilotDeviceSet, AutopilotPlanApproval, AutopilotTenant};
    let (client, namespace) = (Arc::new(client.clone()), Arc::new(namespace.to_owned()));
    let one = |wanted: Wanted| {
        let (client, namespace) = (client.clone(), namespace.clone());
        async move {
            let Wanted { kind, name, status, .. } = wanted;
            match kind {
                Target::Tenant => patch::<AutopilotTenant>(&client, &namespace, &name, status).await,
                Target::Device => patch::<AutopilotDevice>(&client, &namespace, &name, status).await,
                Target::Set => patch::<AutopilotDeviceSet>(&client, &namespace, &name, status).await,
                Target::Approval => patch::<AutopilotPlanApproval>(&client, &namespace, &name, status).await,
            }
        }
    };
    let mut written = Written::default();
    let mut answers = stream::iter(wanted.into_iter().map(one)).buffer_unordered(AT_ONCE);
    while let Some(is_written) = answers.next().await {
        match is_written {
            true => written.changed += 1,
            false => written.failed += 1,
        }
    }
    written
}

async fn patch<K>(client: &Client, namespace: &str, name: &str, status: Value) -> bool
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    match tokio::time::timeout(TIME_MAX, apply_status(&api, name, status)).await {
        Ok(Ok(())) => true,
        Ok(Err(kube::Error::Api(status))) => {
            tracing::warn!(kind = %K::kind(&()), name, reason = %status.message, "a status was not taken");
            false
        }
        Ok(Err(error)) => {
            tracing::warn!(kind = %K::kind(&()), name, %error, "a status could not be written");
            false
        }
        Err(_) => {
            tracing::warn!(kind = %K::kind(&()), name, "a status had no answer");
            false
        }
    }
}

/// Writes the status of an object by server-side apply. One that is gone needs none.
///
/// # Errors
/// When it is not taken.
pub(super) async fn apply_status<K>(api: &Api<K>, name: &str, status: impl Serialize) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let object = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "status": status});
    match api.patch_status(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        answer => answer.map(drop),
    }
}
