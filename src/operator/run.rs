//! The loops: one that listens to the cluster, and one for each tenant. Wiring only.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::condition::{self, Fact, Standing};
use super::declared::{Declared, Id, declare};
use super::index::{Index, Objects, REQUESTED_AT, Shelved};
use super::lease::{Campaign, Term};
use super::report::{self, Wanted};
use super::serve;
use super::settle::{Changes, Window};
use super::turn::{Account, Links, Trouble, Ways, turn};
use crate::clock::Stop;
use crate::desired::Fleet;
use crate::model::{DeviceKey, Origin};
use crate::plan::Held;
use crate::resource::{
    AutopilotDevice, AutopilotDeviceSet, AutopilotPlanApproval, AutopilotTenant, Condition, DeviceCounts, FleetStatus,
    Kind, Status,
};
use crate::status::DeviceStatus;

/// Between two listings of a tenant, where it says nothing else.
const INTERVAL: Duration = Duration::from_secs(600);
/// Until the next turn where time alone will bring more.
const SOON: Duration = Duration::from_secs(30);
/// Until the next attempt on a tenant that another replica has.
const TAKEN: Duration = Duration::from_secs(15);
/// So many problems are told; of more, how many there are.
const PROBLEMS: usize = 20;
/// Between two looks at which tenants have a loop.
const LOOK: Duration = Duration::from_secs(5);
/// Between two attempts to watch.
const AGAIN: Duration = Duration::from_secs(1);

/// How the operator is run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The only namespace that is looked at; `None` for all.
    pub namespace: Option<String>,
    /// Where health is told.
    pub listen: Option<SocketAddr>,
    /// Hosts outside Microsoft's clouds that may receive a credential.
    pub allowed_hosts: Vec<String>,
    /// What a loopback host gets in place of a credential.
    pub public_secret: String,
    /// Which replica this is.
    pub identity: String,
    /// For how long changes are gathered.
    pub quiet: Duration,
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

/// A tenant of the cluster: its namespace and its name.
type Key = (String, String);

/// Runs until it is asked to stop; then what is under way comes to its end.
///
/// # Errors
/// When it could not begin.
pub(crate) async fn run(options: Options, stop: &Stop) -> Result<(), OperatorError> {
    // Two of us speak TLS, and there is one provider in a process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_default().await.map_err(|error| OperatorError::NoCluster(error.to_string()))?;
    let index = Index::default();
    let (news, mut heard) = watch::channel(BTreeSet::new());
    let listening = [
        listen::<AutopilotTenant>(&client, &options, &index, &news),
        listen::<AutopilotDevice>(&client, &options, &index, &news),
        listen::<AutopilotDeviceSet>(&client, &options, &index, &news),
        listen::<AutopilotPlanApproval>(&client, &options, &index, &news),
    ];
    let serving =
        options.listen.map(|address| (address, tokio::spawn(serve::serve(address, index.clone(), stop.clone()))));
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
    let options = Arc::new(options);
    loop {
        tokio::select! {
            () = stop.asked() => break,
            heard = heard.changed() => if heard.is_err() { break },
            // A tenant may have come back while its loop was ending.
            () = tokio::time::sleep(LOOK) => {}
        }
        let touched = take(&news);
        let Some(there) = index.tenants() else { continue };
        // A loop whose tenant is gone ends by itself.
        tenants.retain(|_, known| !known.task.is_finished());
        let woken = |key: &Key| touched.contains(&key.0);
        tenants.iter().filter(|(key, _)| woken(key)).for_each(|(_, known)| known.wake.send_replace(()));
        for key in there {
            if let Entry::Vacant(place) = tenants.entry(key) {
                let (client, options) = (client.clone(), options.clone());
                let begun = Loop::begin(place.key().clone(), client, options, index.clone(), stop.clone());
                place.insert(begun);
            }
        }
    }
    listening.iter().for_each(JoinHandle::abort);
    for (_, known) in tenants {
        let _ = known.task.await;
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
    let api = match &options.namespace {
        Some(namespace) => Api::<K>::namespaced(client.clone(), namespace),
        None => Api::<K>::all(client.clone()),
    };
    let (index, news) = (index.clone(), news.clone());
    tokio::spawn(async move {
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        loop {
            match events.next().await {
                Some(Ok(event)) => {
                    let touched = index.take(event);
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

/// The loop of one tenant.
struct Loop {
    wake: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Loop {
    fn begin(key: Key, client: Client, options: Arc<Options>, index: Index, stop: Stop) -> Self {
        let (wake, woken) = watch::channel(());
        let tenant = Tenant { key, client, options, index, stop, links: Links::default(), term: None };
        Self { wake, task: tokio::spawn(tenant.run(woken)) }
    }
}

/// A tenant, and what is kept of it between its turns.
struct Tenant {
    key: Key,
    client: Client,
    options: Arc<Options>,
    index: Index,
    stop: Stop,
    links: Links,
    term: Option<Term>,
}

/// When the next turn is, unless something changes.
enum Next {
    In(Duration),
    Never,
}

impl Tenant {
    async fn run(mut self, mut woken: watch::Receiver<()>) {
        let window = Window { quiet: self.options.quiet, patience: self.options.quiet * 12 };
        let mut changes = Some(Changes::and(None, Instant::now()));
        let mut timer = Instant::now() + INTERVAL;
        loop {
            let due = changes.map_or(timer, |changes| changes.due(window).min(timer));
            tokio::select! {
                () = self.stop.asked() => break,
                seen = woken.changed() => {
                    if seen.is_err() { break }
                    changes = Some(Changes::and(changes, Instant::now()));
                    continue;
                }
                () = tokio::time::sleep_until(due.into()) => {}
            }
            changes = None;
            woken.mark_unchanged();
            match self.turn().await {
                Next::In(span) => timer = Instant::now() + span,
                Next::Never => break,
            }
        }
        if let Some(term) = self.term.take() {
            term.resign().await;
        }
    }

    fn objects(&self) -> Option<Objects> {
        let objects = self.index.of(&self.key.0)?;
        let is_there = objects.tenants.iter().any(|tenant| tenant.name_any() == self.key.1);
        is_there.then_some(objects)
    }

    async fn turn(&mut self) -> Next {
        let Some(objects) = self.objects() else { return Next::Never };
        let declared = declare(&self.key.0, &objects);
        let Some(fleet) = declared.fleets.get(&self.key.1) else {
            let is_told = self.report(&objects, &declared, None, &Account::nothing()).await;
            return Next::In(if is_told { INTERVAL } else { SOON });
        };
        if !self.is_ours(fleet).await {
            return Next::In(TAKEN);
        }
        let lost = self.term.as_ref().map(|term| term.stop().clone());
        let (stopper, stop) = Stop::new();
        let asked = self.stop.clone();
        let hears = tokio::spawn(async move {
            tokio::select! {
                () = asked.asked() => {}
                () = async { match &lost { Some(lost) => lost.asked().await, None => std::future::pending().await } } => {}
            }
            stopper.stop();
        });
        let names: BTreeMap<Origin, String> = fleet
            .desired
            .claims()
            .iter()
            .filter_map(|claim| Some((claim.origin, declared.object(claim.origin)?.to_string())))
            .collect();
        let file = move |origin: Origin| names.get(&origin).cloned().unwrap_or_default();
        let ways = Ways {
            client: &self.client,
            namespace: &self.key.0,
            machine: &self.options.identity,
            allowed_hosts: &self.options.allowed_hosts,
            public_secret: &self.options.public_secret,
            links: &self.links,
            file: &file,
            stop: &stop,
        };
        let account = turn(&ways, fleet).await;
        hears.abort();
        if let Some(Trouble { reason, message, .. }) = &account.trouble {
            tracing::warn!(namespace = %self.key.0, tenant = %self.key.1, reason, message, "not as declared");
        }
        let is_waiting = account.is_waiting;
        let is_told = self.report(&objects, &declared, Some(fleet), &account).await;
        Next::In(if is_waiting || !is_told { SOON } else { interval(fleet.tenant.interval.as_deref()) })
    }

    /// True if we are the one who writes this tenant.
    async fn is_ours(&mut self, fleet: &Fleet) -> bool {
        if self.term.as_ref().is_some_and(|term| !term.stop().is_asked()) {
            return true;
        }
        self.term = None;
        let tenant = &fleet.desired.tenant;
        let name = crate::ledger::name_in_cluster(tenant.id, &tenant.owner);
        let mut campaign = Campaign::new(&self.client, &self.key.0, name, &self.options.identity);
        match campaign.take().await {
            Ok(Some(term)) => {
                tracing::info!(namespace = %self.key.0, tenant = %self.key.1, "this replica writes the tenant");
                self.term = Some(term);
                true
            }
            Ok(None) => false,
            Err(reason) => {
                tracing::warn!(namespace = %self.key.0, tenant = %self.key.1, reason, "no lease");
                false
            }
        }
    }

    /// Writes what is known now of the tenant's objects. True if all of it is there.
    async fn report(&self, objects: &Objects, declared: &Declared, fleet: Option<&Fleet>, account: &Account) -> bool {
        let now = Timestamp::now();
        let mut wanted = Vec::new();
        let by_object = by_object(declared, fleet, account);
        for device in &objects.devices {
            let id = Id { kind: Kind::Device, name: device.name_any() };
            if self.is_anothers(device.spec.tenant_ref.as_ref().map(|of| of.name.as_str()), objects) {
                continue;
            }
            let facts = match (declared.problems.get(&id), by_object.get(&id).and_then(|of| of.first())) {
                (Some(problems), _) => Some((condition::unusable(problems), None)),
                (None, Some((status, held))) => {
                    let is_suspended = device.spec.suspend == Some(true) || is_suspended(fleet);
                    let (_, facts) = condition::of_device(status, *held, is_suspended);
                    Some((facts, status.registration_id))
                }
                // What was known before is known still: only the tenant is out of reach.
                (None, None)
                    if speaks(
                        device.status.as_ref().map(|of| (of.observed_generation, &of.conditions)),
                        device.metadata.generation,
                    ) =>
                {
                    None
                }
                (None, None) => waits(account).map(|facts| (facts, None)),
            };
            let Some((facts, registration)) = facts else { continue };
            let before = device.status.clone().unwrap_or_default();
            let generation = device.metadata.generation;
            let status = Status {
                observed_generation: generation,
                conditions: condition::conditions(&facts, &before.conditions, generation, now),
                registration_id: registration.map(|id| id.to_string()).or(before.registration_id),
                last_handled_reconcile_at: device.annotations().get(REQUESTED_AT).cloned(),
            };
            wanted.extend(Wanted::device(&device.name_any(), device.status.as_ref(), &status));
        }
        for set in &objects.sets {
            let id = Id { kind: Kind::DeviceSet, name: set.name_any() };
            if self.is_anothers(set.spec.tenant_ref.as_ref().map(|of| of.name.as_str()), objects) {
                continue;
            }
            let of = by_object.get(&id).map_or(&[][..], Vec::as_slice);
            let (facts, counts, problems) = match declared.problems.get(&id) {
                Some(problems) => (condition::unusable(problems), None, problems.clone()),
                None if account.devices.is_none()
                    && speaks(
                        set.status.as_ref().map(|of| (of.observed_generation, &of.conditions)),
                        set.metadata.generation,
                    ) =>
                {
                    continue;
                }
                None if account.devices.is_none() => match waits(account) {
                    Some(facts) => (facts, None, Vec::new()),
                    None => continue,
                },
                None => of_fleet(of, fleet),
            };
            let status = fleet_status(&facts, set.status.as_ref(), &set.metadata, counts, problems, now);
            wanted.extend(Wanted::set(&set.name_any(), set.status.as_ref(), &status));
        }
        let tenant = objects.tenants.iter().find(|tenant| tenant.name_any() == self.key.1);
        if let Some(tenant) = tenant {
            let all: Vec<_> = by_object.values().flatten().copied().collect();
            let id = Id { kind: Kind::Tenant, name: tenant.name_any() };
            let (mut facts, counts, mut problems) = match declared.problems.get(&id) {
                Some(problems) => (condition::unusable(problems), None, problems.clone()),
                None => of_fleet(&all, fleet),
            };
            let broken = declared.problems.iter().filter(|(id, _)| id.kind != Kind::Tenant);
            let broken = broken.map(|(id, said)| format!("{id}: {}", said.join("; ")));
            if let Some(trouble) = &account.trouble {
                facts = trouble.facts();
            }
            problems.extend(broken);
            let counts = counts.filter(|_| account.devices.is_some());
            let before = tenant.status.as_ref();
            let counts = counts.or_else(|| before.and_then(|before| before.devices));
            let plan = account.plan.clone().or_else(|| before.and_then(|before| before.last_plan.clone()));
            let status = fleet_status(&facts, before, &tenant.metadata, counts, problems, now);
            let status = FleetStatus { last_plan: plan, ..status };
            wanted.extend(Wanted::tenant(&tenant.name_any(), before, &status));
        }
        if wanted.is_empty() {
            return true;
        }
        let written = report::write(&self.client, &self.key.0, wanted).await;
        tracing::debug!(namespace = %self.key.0, tenant = %self.key.1, written.changed, written.failed, "statuses");
        written.failed == 0
    }

    /// True for what another tenant of the namespace reports on: whoever names none
    /// belongs to the first, so that somebody says what is wrong with it.
    fn is_anothers(&self, named: Option<&str>, objects: &Objects) -> bool {
        let is_there = |name: &str| objects.tenants.iter().any(|tenant| tenant.name_any() == name);
        match named.filter(|name| is_there(name)) {
            Some(name) => name != self.key.1,
            None => objects.tenants.first().is_some_and(|first| first.name_any() != self.key.1),
        }
    }
}

impl Account {
    fn nothing() -> Self {
        Self { devices: None, trouble: None, plan: None, is_waiting: false }
    }
}

type OfObject<'a> = BTreeMap<Id, Vec<(&'a DeviceStatus, Option<&'a Held>)>>;

/// Where devices stand, by the objects that declare them.
fn by_object<'a>(declared: &Declared, fleet: Option<&'a Fleet>, account: &'a Account) -> OfObject<'a> {
    let mut by_object = OfObject::new();
    let (Some((status, held)), Some(fleet)) = (&account.devices, fleet) else { return by_object };
    let held: &HashMap<DeviceKey, Held> = held;
    for (device, claim) in status.devices.iter().zip(fleet.desired.claims()) {
        let Some(id) = declared.object(device.origin) else { continue };
        by_object.entry(id.clone()).or_default().push((device, held.get(&claim.key())));
    }
    by_object
}

fn is_suspended(fleet: Option<&Fleet>) -> bool {
    fleet.is_some_and(|fleet| fleet.tenant.suspend == Some(true))
}

/// True for a status that speaks of what is declared now.
fn speaks(status: Option<(Option<i64>, &Vec<Condition>)>, generation: Option<i64>) -> bool {
    status.is_some_and(|(observed, conditions)| observed == generation && !conditions.is_empty())
}

/// What is said of a device of which nothing is known: why not.
fn waits(account: &Account) -> Option<Vec<Fact>> {
    let trouble = account.trouble.as_ref()?;
    let message = format!("its tenant cannot be read: {}", trouble.message);
    Some(condition::trouble("TenantNotReady", &message, true))
}

fn of_fleet(
    of: &[(&DeviceStatus, Option<&Held>)],
    fleet: Option<&Fleet>,
) -> (Vec<Fact>, Option<DeviceCounts>, Vec<String>) {
    let mut counts = DeviceCounts::default();
    let mut problems = Vec::new();
    for (device, held) in of {
        let (standing, facts) = condition::of_device(device, *held, is_suspended(fleet));
        counts.declared += 1;
        match standing {
            Standing::Ready => counts.ready += 1,
            Standing::InProgress => counts.in_progress += 1,
            Standing::Stalled => {
                counts.held += 1;
                problems.push(format!("{}: {}, {}", device.serial, facts[0].reason, facts[0].message));
            }
        }
    }
    (condition::of_fleet(counts.in_progress, counts.held, counts.declared), Some(counts), problems)
}

fn fleet_status(
    facts: &[Fact],
    before: Option<&FleetStatus>,
    meta: &kube::api::ObjectMeta,
    devices: Option<DeviceCounts>,
    mut problems: Vec<String>,
    now: Timestamp,
) -> FleetStatus {
    let known = before.map_or(&[][..], |before| &before.conditions);
    if problems.len() > PROBLEMS {
        let more = problems.len() - PROBLEMS;
        problems.truncate(PROBLEMS);
        problems.push(format!("and {more} more"));
    }
    let problems = problems.into_iter().map(|problem| problem.chars().take(1_000).collect()).collect();
    FleetStatus {
        observed_generation: meta.generation,
        conditions: condition::conditions(facts, known, meta.generation, now),
        devices,
        problems,
        last_plan: None,
        last_handled_reconcile_at: meta.annotations.as_ref().and_then(|all| all.get(REQUESTED_AT).cloned()),
    }
}

/// `600s`, `10m`, `1h`.
fn interval(declared: Option<&str>) -> Duration {
    let parse = |text: &str| {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return None,
        };
        Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(unit)?))
    };
    declared.and_then(parse).unwrap_or(INTERVAL)
}
