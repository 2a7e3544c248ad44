//! Whether devices that are declared no more were taken away by somebody who meant
//! them. What goes with its namespace, its kind or its tenant was not; and what a
//! watch has not shown yet is not gone. The API server is asked, right before
//! anything is removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, CustomResourceExt as _, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::index::Objects;
use super::marks::Marks;
use crate::ledger::said_by_cluster;
use crate::resource::{AutopilotDevice, AutopilotDeviceSet, AutopilotTenant};

/// So many objects are listed at once.
const PAGE: u32 = 500;

/// What the API server says of the objects of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Door {
    /// They are what we know, and nothing takes them away.
    Open,
    /// Something takes all of them away; what.
    Closing(String),
    /// They are not what we know: the watches will say.
    Behind,
    /// It does not say; why not.
    Unsure(String),
}

/// Asks about the namespace, the kinds, and each object that we know.
pub(super) async fn door(client: &Client, namespace: &str, known: &Objects, marks: &Marks) -> Door {
    match ask(client, namespace, known, marks).await {
        Ok(door) => door,
        Err((what, error)) => Door::Unsure(format!("{what}: {}", said_by_cluster(&error))),
    }
}

async fn ask(client: &Client, namespace: &str, known: &Objects, marks: &Marks) -> Result<Door, (String, kube::Error)> {
    // The objects come first: whatever takes them away afterwards took none of these.
    let is_known = is_as_known(client, namespace, &known.tenants).await?
        && is_as_known(client, namespace, &known.sets).await?
        && is_as_known(client, namespace, &known.devices).await?;
    let space = Api::<Namespace>::all(client.clone()).get(namespace).await;
    let space = space.map_err(|error| (format!("the namespace `{namespace}` cannot be read"), error))?;
    if space.metadata.deletion_timestamp.is_some() {
        return Ok(Door::Closing(format!("the namespace `{namespace}` is being deleted")));
    }
    match kinds(client).await? {
        Kinds::Closing(name) => Ok(Door::Closing(format!("the definition `{name}` is being deleted"))),
        Kinds::There(uids) if marks.are_new(&uids) => {
            let why = "the definitions were made anew since all that was applied was declared";
            Ok(Door::Unsure(format!("{why}; declare all of it again, or let it go by name")))
        }
        Kinds::There(_) => Ok(if is_known { Door::Open } else { Door::Behind }),
    }
}

/// Keeps in mind under which definitions all that was applied is declared.
pub(super) async fn note(client: &Client, marks: &Marks) {
    if let Ok(Kinds::There(uids)) = kinds(client).await {
        marks.all_declared_under(uids);
    }
}

enum Kinds {
    /// The ids of all of them.
    There(String),
    Closing(&'static str),
}

async fn kinds(client: &Client) -> Result<Kinds, (String, kube::Error)> {
    let kinds = Api::<CustomResourceDefinition>::all(client.clone());
    let mut uids = Vec::new();
    for name in [AutopilotTenant::crd_name(), AutopilotDeviceSet::crd_name(), AutopilotDevice::crd_name()] {
        let kind = kinds.get(name).await;
        let kind = kind.map_err(|error| (format!("the definition `{name}` cannot be read"), error))?;
        if kind.metadata.deletion_timestamp.is_some() {
            return Ok(Kinds::Closing(name));
        }
        uids.extend(kind.metadata.uid);
    }
    Ok(Kinds::There(uids.join(" ")))
}

/// True if the objects of a kind are those that we know, as we know them.
async fn is_as_known<K>(client: &Client, namespace: &str, known: &[Arc<K>]) -> Result<bool, (String, kube::Error)>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let mut known: BTreeMap<String, _> = known.iter().map(|object| (object.name_any(), mark(&**object))).collect();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list_metadata(&params).await;
        let page = page.map_err(|error| (format!("the objects of kind {} cannot be listed", K::kind(&())), error))?;
        if !page.items.iter().all(|object| known.remove(&object.name_any()) == Some(mark(object))) {
            return Ok(false);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(known.is_empty()),
        }
    }
}

/// What tells an object, and what it declares, from any other.
fn mark(object: &impl ResourceExt) -> (Option<String>, Option<i64>, bool) {
    (object.uid(), object.meta().generation, object.meta().deletion_timestamp.is_some())
}
