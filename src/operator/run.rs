//! Listens to the cluster, and sees that each tenant has a loop. Wiring only.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::index::{Index, Shelved};
use super::metrics::Metrics;
use super::serve;
use super::tenant::{Ground, Key, Loop};
use crate::clock::Stop;
use crate::hash::without_pieces;
use crate::resource::{AutopilotDevice, AutopilotDeviceSet, AutopilotPlanApproval, AutopilotTenant};
use crate::web::Board;

/// Between two looks at which tenants have a loop.
const LOOK: Duration = Duration::from_secs(5);
/// Between two attempts to watch.
const AGAIN: Duration = Duration::from_secs(1);

/// How the operator is run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The only namespace that is looked at; `None` for all.
    pub namespace: Option<String>,
    /// Where health is told, and the page is.
    pub listen: Option<SocketAddr>,
    /// Hosts outside Microsoft's clouds that may receive a credential.
    pub allowed_hosts: Vec<String>,
    /// What a loopback host gets in place of a credential.
    pub public_secret: String,
    /// Which replica this is.
    pub identity: String,
    /// For how long changes are gathered.
    pub quiet: Duration,
    /// For how long a lease lasts that nobody renews.
    pub lease: Duration,
}

/// Says why the operator could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    /// There is no way to a cluster.
    #[error("there is no way to a cluster: {0}")]
    NoCluster(String),
    /// Health cannot be told.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// Runs until it is asked to stop; then what is under way comes to its end.
///
/// # Errors
/// When it could not begin.
pub(crate) async fn run(options: Options, stop: &Stop) -> Result<(), OperatorError> {
    // Two of us speak TLS, and there is one provider in a process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_default().await.map_err(|error| OperatorError::NoCluster(error.to_string()))?;
    let (index, metrics) = (Index::default(), Metrics::default());
    let (news, mut heard) = watch::channel(BTreeSet::new());
    let listening = [
        listen::<AutopilotTenant>(&client, &options, &index, &news),
        listen::<AutopilotDevice>(&client, &options, &index, &news),
        listen::<AutopilotDeviceSet>(&client, &options, &index, &news),
        listen::<AutopilotPlanApproval>(&client, &options, &index, &news),
    ];
    // Nobody is told of what nobody can see.
    let board = options.listen.map(|_| Board::default());
    let serving = options.listen.zip(board.clone()).map(|(address, board)| {
        let serving = serve::serve(address, index.clone(), metrics.clone(), board, stop.clone());
        (address, tokio::spawn(serving))
    });
    if let Some((address, task)) = serving {
        // Whoever cannot listen says so at once.
        tokio::time::sleep(Duration::from_millis(50)).await;
        if task.is_finished()
            && let Ok(Err(source)) = task.await
        {
            return Err(OperatorError::Listen { address, source });
        }
    }
    tracing::info!(namespace = options.namespace.as_deref().unwrap_or("all"), "the operator begins");
    let mut tenants: BTreeMap<Key, Loop> = BTreeMap::new();
    let ground = Ground { client, options: Arc::new(options), index, metrics, board, stop: stop.clone() };
    loop {
        tokio::select! {
            () = stop.asked() => break,
            heard = heard.changed() => if heard.is_err() { break },
            // A tenant may have come back while its loop was ending.
            () = tokio::time::sleep(LOOK) => {}
        }
        let touched = take(&news);
        let Some(there) = ground.index.tenants() else { continue };
        // A loop whose tenant is gone ends by itself.
        tenants.retain(|_, known| !known.has_ended());
        let woken = |key: &Key| touched.contains(&key.0);
        tenants.iter().filter(|(key, _)| woken(key)).for_each(|(_, known)| known.wake());
        for key in there {
            if let Entry::Vacant(place) = tenants.entry(key) {
                let begun = Loop::begin(place.key().clone(), ground.clone());
                place.insert(begun);
            }
        }
    }
    listening.iter().for_each(JoinHandle::abort);
    for (_, known) in tenants {
        known.end().await;
    }
    Ok(())
}

/// The namespaces that have news: whoever takes them has them.
fn take(news: &watch::Sender<BTreeSet<String>>) -> BTreeSet<String> {
    let mut taken = BTreeSet::new();
    news.send_if_modified(|touched| {
        taken = std::mem::take(touched);
        false
    });
    taken
}

/// Watches a kind for ever, and tells which namespaces have news.
fn listen<K>(
    client: &Client,
    options: &Options,
    index: &Index,
    news: &watch::Sender<BTreeSet<String>>,
) -> JoinHandle<()>
where
    K: Shelved
        + kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
{
    // Objects are read one by one: one that is none of ours must not hide the others.
    let kind = ApiResource::erase::<K>(&());
    let api = match &options.namespace {
        Some(namespace) => Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind),
        None => Api::<DynamicObject>::all_with(client.clone(), &kind),
    };
    let (index, news) = (index.clone(), news.clone());
    tokio::spawn(async move {
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        loop {
            match events.next().await {
                Some(Ok(event)) => {
                    let touched = take_in::<K>(&index, event);
                    if !touched.is_empty() {
                        news.send_modify(|known| known.extend(touched));
                    }
                }
                // A kind that is not there yet is waited for.
                Some(Err(error)) => tracing::warn!(kind = %K::kind(&()), %error, "cannot watch"),
                None => tokio::time::sleep(AGAIN).await,
            }
        }
    })
}

/// Puts an event into the index: the namespaces that have news.
fn take_in<K>(index: &Index, event: Event<DynamicObject>) -> BTreeSet<String>
where
    K: Shelved + kube::Resource<DynamicType = ()> + DeserializeOwned,
{
    let place = |object: &DynamicObject| (object.namespace().unwrap_or_default(), object.name_any());
    let read = |object: DynamicObject, in_list: bool| {
        let (namespace, name) = place(&object);
        object.try_parse::<K>().map_err(|error| {
            let why = without_pieces(&error.to_string()).to_string();
            tracing::warn!(kind = %K::kind(&()), namespace, name, why, "an object cannot be read");
            index.spoil::<K>(&namespace, &name, why, in_list)
        })
    };
    let taken = match event {
        Event::Init => Ok(Event::Init),
        Event::InitDone => Ok(Event::InitDone),
        Event::InitApply(object) => read(object, true).map(Event::InitApply),
        Event::Apply(object) => read(object, false).map(Event::Apply),
        Event::Delete(object) => {
            let (namespace, name) = place(&object);
            object.try_parse::<K>().map(Event::Delete).map_err(|_| index.forget::<K>(&namespace, &name))
        }
    };
    taken.map_or_else(|touched| touched, |event| index.take(event))
}
