//! The loop of one tenant: when it has a turn, whether that is ours, and that what
//! it found out is written back.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::declared::{Declared, declare};
use super::events::{Herald, about, digested};
use super::index::{Index, Objects};
use super::lease::{Campaign, Lasts, Term};
use super::marks::Marks;
use super::metrics::Metrics;
use super::plans;
use super::report;
use super::run::Options;
use super::settle::{Changes, Window};
use super::statuses::{self, Known};
use super::told::told;
use super::turn::{Account, Links, Trouble, Ways, turn};
use crate::clock::Stop;
use crate::connect::cloud;
use crate::desired::Fleet;
use crate::model::{Origin, SerialKey};
use crate::resource::AutopilotTenant;
use crate::web::Board;

/// Between two listings of a tenant, where it says nothing else.
const INTERVAL: Duration = Duration::from_secs(600);
/// Nobody reads a tenant more often, whatever is declared: others share its limits.
const INTERVAL_MIN: Duration = Duration::from_secs(60);
/// Until the next turn where time alone will bring more.
const SOON: Duration = Duration::from_secs(30);

/// A tenant of the cluster: its namespace and its name.
pub(super) type Key = (String, String);

/// What all loops stand on.
#[derive(Clone)]
pub(super) struct Ground {
    pub client: Client,
    pub options: Arc<Options>,
    pub index: Index,
    pub metrics: Metrics,
    /// Where it is told how the tenants are, if anywhere.
    pub board: Option<Board>,
    pub stop: Stop,
}

/// The loop of one tenant, which ends when the tenant is gone.
pub(super) struct Loop {
    wake: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Loop {
    pub(super) fn begin(key: Key, ground: Ground) -> Self {
        let (wake, woken) = watch::channel(());
        let herald = Herald::new(&ground.client, &ground.options.identity);
        let tenant = Tenant {
            key,
            ground,
            links: Links::default(),
            herald,
            campaign: None,
            marks: Marks::default(),
            term: None,
        };
        Self { wake, task: tokio::spawn(tenant.run(woken)) }
    }

    /// Something is to be done that was not known before.
    pub(super) fn wake(&self) {
        self.wake.send_replace(());
    }

    pub(super) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for its end, which somebody has asked for.
    pub(super) async fn end(self) {
        let _ = self.task.await;
    }
}

/// A tenant, and what is kept of it between its turns.
struct Tenant {
    key: Key,
    ground: Ground,
    links: Links,
    herald: Herald,
    /// How we come to be the one writer: what was seen of another's lease is kept.
    campaign: Option<Campaign>,
    marks: Marks,
    term: Option<Term>,
}

/// Who else has to do with a tenant.
#[derive(Default)]
struct Others {
    /// Devices that other owners declare: they are let go, and never removed.
    devices: HashSet<SerialKey>,
    /// Another namespace that believes the tenant to be its own.
    twin: Option<String>,
}

/// When the next turn is, unless something changes.
enum Next {
    In(Duration),
    Never,
}

impl Tenant {
    async fn run(mut self, mut woken: watch::Receiver<()>) {
        let window = Window { quiet: self.ground.options.quiet, patience: self.ground.options.quiet * 12 };
        let mut changes = Some(Changes::and(None, Instant::now()));
        let mut timer = Instant::now() + INTERVAL;
        loop {
            let due = changes.map_or(timer, |changes| changes.due(window).min(timer));
            tokio::select! {
                () = self.ground.stop.asked() => break,
                seen = woken.changed() => {
                    if seen.is_err() { break }
                    changes = Some(Changes::and(changes, Instant::now()));
                    continue;
                }
                () = tokio::time::sleep_until(due.into()) => {}
            }
            changes = None;
            woken.mark_unchanged();
            match Box::pin(self.turn()).await {
                Next::In(span) => timer = Instant::now() + span,
                Next::Never => break,
            }
        }
        self.ground.metrics.forget(&self.key);
        if let Some(term) = self.term.take() {
            term.resign().await;
        }
    }

    fn objects(&self) -> Option<Objects> {
        let objects = self.ground.index.of(&self.key.0)?;
        let is_ours = |tenant: &Arc<AutopilotTenant>| tenant.name_any() == self.key.1;
        // One that is being deleted is not there any more.
        let is_there = objects.tenants.iter().any(|it| is_ours(it) && it.metadata.deletion_timestamp.is_none());
        is_there.then_some(objects)
    }

    async fn turn(&mut self) -> Next {
        let Some(objects) = self.objects() else {
            self.ground.board.iter().for_each(|board| board.forget(&self.key.0, &self.key.1));
            return Next::Never;
        };
        let declared = declare(&self.key.0, &objects);
        let Some(fleet) = declared.fleets.get(&self.key.1) else {
            let is_told = self.report(&objects, &declared, None, &Account::default()).await;
            return Next::In(if is_told { INTERVAL } else { SOON });
        };
        let others = self.others(fleet, &declared);
        if let Some(place) = others.twin {
            let message = format!("{place} declares the same `tenantId` and `ownerId`: nothing is done for either");
            let trouble = Trouble::new("DuplicateTenant", message, false);
            let account = Account { trouble: Some(trouble), ..Account::default() };
            self.report(&objects, &declared, Some(fleet), &account).await;
            return Next::In(INTERVAL);
        }
        let is_writer = self.is_ours(fleet).await;
        if !is_writer {
            // The numbers are with whoever writes.
            self.ground.metrics.forget(&self.key);
        }
        self.ground.metrics.writes(&self.key, is_writer);
        if !is_writer {
            self.tell(&objects, &declared, Some(fleet), None);
            return Next::In(Lasts(self.ground.options.lease).renew());
        }
        let lost = self.term.as_ref().map(|term| term.stop().clone());
        let (stopper, stop) = Stop::new();
        let asked = self.ground.stop.clone();
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
        // The replicas have one journal, and are one machine to the ledger.
        let machine = format!("cluster/{}", self.key.0);
        let ways = Ways {
            client: &self.ground.client,
            namespace: &self.key.0,
            objects: &objects,
            elsewhere: &others.devices,
            marks: &self.marks,
            machine: &machine,
            allowed_hosts: &self.ground.options.allowed_hosts,
            public_secret: &self.ground.options.public_secret,
            links: &self.links,
            names: Arc::new(names),
            stop: &stop,
        };
        let began = Instant::now();
        let account = Box::pin(turn(&ways, fleet)).await;
        hears.abort();
        self.ground.metrics.turned(&self.key, &account, statuses::counts(&account), began.elapsed());
        if let Some(Trouble { reason, message, .. }) = &account.trouble {
            tracing::warn!(namespace = %self.key.0, tenant = %self.key.1, reason, message, "not as declared");
        }
        let is_waiting = account.is_waiting;
        let is_told = self.report(&objects, &declared, Some(fleet), &account).await;
        let tenant = objects.tenants.iter().find(|tenant| tenant.name_any() == self.key.1);
        let is_told = match tenant.filter(|_| account.devices.is_some()) {
            Some(tenant) => {
                plans::settle(&self.ground.client, tenant, &account.plans, Timestamp::now()).await && is_told
            }
            None => is_told,
        };
        Next::In(if is_waiting || !is_told { SOON } else { interval(fleet.tenant.interval.as_deref()) })
    }

    /// What else is declared in the cluster for the same tenant of Microsoft's.
    fn others(&self, fleet: &Fleet, declared: &Declared) -> Others {
        let tenant = &fleet.desired.tenant;
        let mut others = Others::default();
        for namespace in self.ground.index.with_tenant(&fleet.tenant.tenant_id) {
            let there = if namespace == self.key.0 { None } else { self.ground.index.of(&namespace) };
            let there = there.map(|objects| declare(&namespace, &objects));
            let is_there = |other: &&Fleet| {
                let (ours, theirs) = (&fleet.tenant, &other.tenant);
                ours.endpoints == theirs.endpoints && cloud(ours).name() == cloud(theirs).name()
            };
            for other in there.as_ref().unwrap_or(declared).fleets.values().filter(is_there) {
                let known = &other.desired.tenant;
                if known.id == tenant.id && known.owner != tenant.owner {
                    others.devices.extend(other.desired.claims().iter().map(|claim| claim.serial.key()));
                } else if known.id == tenant.id && there.is_some() {
                    others.twin = Some(format!("AutopilotTenant `{}` of the namespace `{namespace}`", known.name));
                }
            }
        }
        others
    }

    /// True if we are the one who writes this tenant.
    async fn is_ours(&mut self, fleet: &Fleet) -> bool {
        let tenant = &fleet.desired.tenant;
        let name = crate::ledger::name_in_cluster(tenant.id, &tenant.owner);
        if self.campaign.as_ref().is_some_and(|campaign| campaign.name() != name) {
            // The tenant was made anew, and is another one.
            self.campaign = None;
            self.marks = Marks::default();
            if let Some(term) = self.term.take() {
                term.resign().await;
            }
        }
        if self.term.as_ref().is_some_and(|term| !term.stop().is_asked()) {
            return true;
        }
        self.term = None;
        let Ground { client, options, .. } = &self.ground;
        let new = || Campaign::new(client, &self.key.0, name, &options.identity, Lasts(options.lease), &self.marks);
        match self.campaign.get_or_insert_with(new).take().await {
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

    /// Puts what is known now onto the page.
    fn tell(&self, objects: &Objects, declared: &Declared, fleet: Option<&Fleet>, account: Option<&Account>) {
        if let Some((board, tenant)) =
            self.ground.board.as_ref().zip(told(&self.key, objects, declared, fleet, account))
        {
            board.tell(tenant);
        }
    }

    /// Writes what is known now into the tenant's objects. True if all of it is there.
    async fn report(&self, objects: &Objects, declared: &Declared, fleet: Option<&Fleet>, account: &Account) -> bool {
        self.tell(objects, declared, fleet, Some(account));
        let (tenant, now) = (self.key.1.as_str(), Timestamp::now());
        let mut wanted = statuses::statuses(&Known { tenant, objects, declared, fleet, account, now });
        if wanted.is_empty() {
            return true;
        }
        let (of_tenant, of_others) = report::news(&mut wanted);
        let written = report::write(&self.ground.client, &self.key.0, wanted).await;
        self.ground.metrics.told(&self.key, written.changed, written.failed);
        if let Some(object) = objects.tenants.iter().find(|object| object.name_any() == tenant) {
            self.herald.tell([of_tenant, digested(of_others, &about(&**object))].concat()).await;
        }
        tracing::debug!(namespace = %self.key.0, tenant = %self.key.1, written.changed, written.failed, "statuses");
        written.failed == 0
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
    let interval = declared.and_then(parse).unwrap_or(INTERVAL).max(INTERVAL_MIN);
    // Tenants that began together do not stay together.
    interval.mul_f64(0.9 + 0.2 * fastrand::f64())
}
