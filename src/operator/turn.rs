//! One turn of one tenant: read it, do what may be done, and say where every device
//! stands. The round is that of every other way to run us; here are the ways to it
//! in a cluster.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::Mutex;

use super::account::Issuer;
use super::condition::{self, Fact};
use super::doors::{self, Door, door};
use super::hashes::Secrets;
use super::index::Objects;
use super::marks::Marks;
use super::plans::{self, Standing, Waits};
use crate::apply::Outcome;
use crate::clock::Stop;
use crate::connect::{ConnectError, Connection, Found, Outside, Purpose, connect, identity};
use crate::desired::Fleet;
use crate::fleet::{Book, Granted, Member, Members, Source, Wanted};
use crate::graph::ErrorKind;
use crate::hash::HashSource;
use crate::ledger::{ClusterJournal, ClusterLedger, Journal, JournalError, LedgerError, Seen};
use crate::model::{Action, Desired, DeviceKey, Origin, Policy, SerialKey, seen};
use crate::plan::{Approvals, Approved, Change, GrantStanding, Held, NoRemoval, Plan, Reason, Removal, Waiting};
use crate::resource::{self, AuthType, AutopilotPlanSpec, AutopilotTenantSpec, Identity, SecretKeyRef};
use crate::round::{Consent, End, Prepared, Report, RoundError};
use crate::status::{FleetStatus, Stage, fold};

/// So many changes are named in a sentence.
const SHOWN: usize = 10;

/// What is needed for turns of the tenants of a namespace.
pub(super) struct Ways<'w> {
    pub client: &'w Client,
    pub namespace: &'w str,
    /// What the fleet was put together from.
    pub objects: &'w Objects,
    /// Devices that other owners of the tenant declare in the cluster.
    pub elsewhere: &'w HashSet<SerialKey>,
    /// What is kept in mind of the tenant beside its ledger.
    pub marks: &'w Marks,
    /// Which replica this is, as ledgers name it.
    pub machine: &'w str,
    /// Hosts outside Microsoft's clouds that may receive a credential.
    pub allowed_hosts: &'w [String],
    pub public_secret: &'w str,
    /// The ways to the tenant that stand already.
    pub links: &'w Links,
    /// The objects that declare the claims, for ledgers and plans.
    pub names: Arc<BTreeMap<Origin, String>>,
    /// Asked as soon as nothing more may be sent.
    pub stop: &'w Stop,
}

impl Ways<'_> {
    /// Says of a claim which object declares it.
    fn named(&self) -> impl Fn(Origin) -> String + Send + Sync + use<> {
        let names = self.names.clone();
        move |origin| names.get(&origin).cloned().unwrap_or_default()
    }
}

/// What a turn has found out; of a tenant that had none, nothing.
#[derive(Default)]
pub(super) struct Account {
    /// Where the devices stand, and what is said of those that are held. `None`:
    /// the tenant could not be read, and nobody knows.
    pub devices: Option<(FleetStatus, HashMap<DeviceKey, Held>)>,
    /// What keeps the tenant as a whole from being as declared.
    pub trouble: Option<Trouble>,
    /// What was carried out, by the plan's id, and what waits for an approval.
    pub plans: Standing,
    /// The approvals of the tenant, by name, and what each is worth now.
    pub approvals: Vec<(String, GrantStanding)>,
    /// What was done or tried, by what it was and what came of it.
    pub actions: BTreeMap<(&'static str, &'static str), u64>,
    /// Requests to the service.
    pub calls: u64,
    /// Devices that somebody else has changed.
    pub drifted: usize,
    /// Why devices that are declared no more are neither removed nor let go, if so.
    pub kept: Option<String>,
    /// When the tenant synced last, if it said.
    pub last_sync: Option<Timestamp>,
    /// True if time alone will bring more, soon.
    pub is_waiting: bool,
    /// The plan that this is of, for the page.
    pub prepared: Option<Box<Prepared>>,
}

/// Why a tenant could not be read or written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub reason: &'static str,
    pub message: String,
    /// True if it may go away by itself.
    pub may_heal: bool,
}

impl Trouble {
    pub(super) fn new(reason: &'static str, message: impl Into<String>, may_heal: bool) -> Self {
        Self { reason, message: message.into(), may_heal }
    }

    pub(super) fn facts(&self) -> Vec<Fact> {
        condition::trouble(self.reason, &self.message, self.may_heal)
    }

    fn of_kind(kind: ErrorKind, message: String) -> Self {
        let (reason, may_heal) = match kind {
            ErrorKind::Auth => ("CredentialsInvalid", false),
            ErrorKind::TenantMismatch => ("TenantMismatch", false),
            ErrorKind::Permission => ("InsufficientPermissions", false),
            ErrorKind::Endpoint => ("EndpointNotAllowed", false),
            ErrorKind::Throttled => ("Throttled", true),
            ErrorKind::Untrusted => ("CertificateNotTrusted", false),
            ErrorKind::NotFound
            | ErrorKind::Refused
            | ErrorKind::Enrolled
            | ErrorKind::RouteMissing
            | ErrorKind::Conflict
            | ErrorKind::PreconditionFailed
            | ErrorKind::Protocol
            | ErrorKind::Oversized
            | ErrorKind::Server
            | ErrorKind::Lost
            | ErrorKind::Connect
            | ErrorKind::Stopped => ("TenantNotReady", true),
        };
        Self::new(reason, message, may_heal)
    }

    fn in_account(self) -> Account {
        Account { trouble: Some(self), ..Account::default() }
    }
}

impl From<ConnectError> for Trouble {
    fn from(error: ConnectError) -> Self {
        let message = [std::slice::from_ref(&error.message), &error.hints].concat().join("; ");
        Self::of_kind(error.kind, message)
    }
}

impl From<RoundError> for Trouble {
    fn from(error: RoundError) -> Self {
        match error {
            RoundError::Graph(error) => Self::of_kind(error.kind, error.to_string()),
            RoundError::Journal(error) => error.into(),
            RoundError::Ledger(error) => error.into(),
            RoundError::Stopped => Self::new("Interrupted", "the round was stopped on request", true),
        }
    }
}

impl From<JournalError> for Trouble {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Locked { .. } => Self::new("WrittenElsewhere", error.to_string(), true),
            JournalError::Format { .. } | JournalError::Audit { .. } => {
                Self::new("JournalUnusable", error.to_string(), false)
            }
            JournalError::Io { .. } | JournalError::AuditIo { .. } => {
                Self::new("JournalUnavailable", error.to_string(), true)
            }
        }
    }
}

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Moved { .. } => Self::new("WrittenElsewhere", error.to_string(), true),
            LedgerError::Format { .. } => Self::new("LedgerUnusable", error.to_string(), false),
            LedgerError::Store { .. } => Self::new("LedgerUnavailable", error.to_string(), true),
        }
    }
}

/// Runs a turn: whatever goes wrong is in the account.
pub(super) async fn turn(ways: &Ways<'_>, fleet: &Fleet) -> Account {
    let before = match look(ways, fleet).await {
        Ok((before, None)) => before,
        // Nothing may be written over the ledger as it is.
        Ok((before, refused)) => return Account { trouble: refused, ..account(ways, fleet, before, None) },
        Err(trouble) => return trouble.in_account(),
    };
    if !is_to_do(&before) || asks(&fleet.tenant, &before) == Asks::ForAll {
        return account(ways, fleet, before, None);
    }
    let done = match Box::pin(work(ways, fleet)).await {
        Ok(done) => done,
        Err(trouble) => {
            return Account { trouble: Some(trouble), is_waiting: true, ..account(ways, fleet, before, None) };
        }
    };
    match look(ways, fleet).await {
        Ok((after, _)) => account(ways, fleet, after, Some(done)),
        Err(trouble) => trouble.in_account(),
    }
}

/// What work on a tenant came to.
#[derive(Default)]
struct Done {
    plan: Option<String>,
    trouble: Option<Trouble>,
    actions: BTreeMap<(&'static str, &'static str), u64>,
    calls: u64,
    is_waiting: bool,
    /// Devices that are not registered, since their hash cannot be had; why not.
    unread: HashMap<DeviceKey, String>,
}

impl Done {
    fn in_trouble(trouble: Trouble) -> Self {
        Self { trouble: Some(trouble), ..Self::default() }
    }
}

/// True if something is to be written. For a vendor's sake alone nothing is: the
/// tenant syncs by itself every day.
fn is_to_do(prepared: &Prepared) -> bool {
    let plan = prepared.cleared.plan();
    !plan.changes.is_empty() || !plan.loosens.is_empty() || is_upkept(plan)
}

fn is_upkept(plan: &Plan) -> bool {
    !plan.upkeep.clone().without_vendor().is_empty()
}

/// Reads only: nothing is written, anywhere.
async fn look(ways: &Ways<'_>, fleet: &Fleet) -> Result<(Prepared, Option<Trouble>), Trouble> {
    let mut members = open(ways, fleet, &fleet.desired, Purpose::Read).await?;
    let prepared = members.plan().await.pop().expect("one tenant, one plan");
    Ok((prepared?, refused(&members)))
}

/// Does what may be done, as the one writer.
async fn work(ways: &Ways<'_>, fleet: &Fleet) -> Result<Done, Trouble> {
    let mut desired = fleet.desired.clone();
    let (mut doubt, mut unread) = (None, HashMap::new());
    // What cannot be done of a plan is taken out of it, and there is another plan.
    for _ in 0..4 {
        let mut members = open(ways, fleet, &desired, Purpose::Write).await?;
        if let Some(why) = refused(&members) {
            return Ok(Done::in_trouble(why));
        }
        let prepared = members.prepare().await.map_err(|(_, error)| error)?.pop().expect("one tenant, one plan");
        if lets_go(&prepared) {
            match door(ways.client, ways.namespace, ways.objects, ways.marks).await {
                Door::Open => {}
                Door::Closing(what) => {
                    let trouble = Trouble::new("BeingRemoved", format!("{what}: nothing is done any more"), false);
                    return Ok(Done::in_trouble(trouble));
                }
                Door::Behind => return Ok(Done { is_waiting: true, ..Done::default() }),
                Door::Unsure(why) => {
                    let message = format!("nothing is removed, for nobody says whether it was meant: {why}");
                    doubt = Some(Trouble::new("RemovalUnsure", message, true));
                    desired = desired.part(|_| true);
                    continue;
                }
            }
        }
        if prepared.cleared.plan().removal.undeclared == 0 && !desired.is_part() {
            doors::note(ways.client, ways.marks).await;
        }
        let (prepared, consent) = match members.granted(0, prepared).await? {
            Granted::Whole(prepared) => (prepared, Consent::Seen),
            Granted::Rest(prepared, rest) if rest.is_whole() => (prepared, Consent::Resumed),
            Granted::Rest(prepared, _) => (prepared, Consent::ResumedInPart),
            Granted::Nothing(prepared) => match asks(&fleet.tenant, &prepared) {
                Asks::Nobody => (prepared, Consent::Unseen),
                Asks::ForRest => {
                    desired = desired.part(|_| true);
                    continue;
                }
                Asks::ForAll => return Ok(Done::default()),
            },
        };
        let unreadable = members.unreadable_hashes([&prepared]).await.map_err(RoundError::from)?;
        let told_of = |(why, devices): (String, Vec<DeviceKey>)| devices.into_iter().map(move |of| (of, why.clone()));
        unread.extend(unreadable.into_iter().flat_map(told_of));
        let mut prepared = prepared;
        if !unread.is_empty() && consent == Consent::Unseen {
            // All else is done: less than what is planned is always fine.
            let effects = prepared.cleared.plan().changes.iter().map(|change| &change.effect);
            let rest = Approved::of(effects.filter(|effect| !unread.contains_key(&effect.device)));
            prepared = prepared.only(&rest);
            if !is_to_do(&prepared) {
                return Ok(Done { trouble: doubt, unread, ..Done::default() });
            }
        } else if desired.claims().iter().any(|claim| unread.contains_key(&claim.key())) {
            desired = desired.part(|claim| !unread.contains_key(&claim.key()));
            continue;
        }
        let report = members.carry_out(vec![(prepared, consent)], &mut |_, _| {}).await.pop();
        let done = told(&report.expect("one tenant, one report"));
        return Ok(Done { trouble: done.trouble.or(doubt), unread, ..done });
    }
    let message = "hashes that can be read at one moment cannot be read at the next";
    Ok(Done { is_waiting: true, ..Done::in_trouble(Trouble::new("HashNotAvailable", message, true)) })
}

/// True if devices that are declared no more are let go.
fn lets_go(prepared: &Prepared) -> bool {
    let changes = &prepared.cleared.plan().changes;
    changes.iter().any(|change| matches!(change.action(), Action::Deregister(_) | Action::Release(_)))
}

/// What of a plan a person is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// Nothing.
    Nobody,
    /// Its removals; the rest is done.
    ForRest,
    /// All of it.
    ForAll,
}

fn asks(tenant: &AutopilotTenantSpec, prepared: &Prepared) -> Asks {
    let plan = prepared.cleared.plan();
    let is_approved = prepared.cleared.granted().is_some() || prepared.cleared.begun().is_some();
    let removes = |change: &Change| matches!(change.action(), Action::Deregister(_));
    let is_rest = || plan.loosens.is_empty() && plan.changes.iter().all(removes);
    match tenant.approval.unwrap_or(resource::Approval::Never) {
        _ if is_approved || !is_to_do(prepared) => Asks::Nobody,
        resource::Approval::Never => Asks::Nobody,
        resource::Approval::Deletions if !plan.changes.iter().any(removes) => Asks::Nobody,
        resource::Approval::Deletions if !is_rest() => Asks::ForRest,
        resource::Approval::Deletions | resource::Approval::Always => Asks::ForAll,
    }
}

fn to_approve(plan: &AutopilotPlanSpec) -> Trouble {
    let more = plan.changes.len().saturating_sub(SHOWN) + usize::try_from(plan.more_changes.unwrap_or(0)).unwrap_or(0);
    let mut what: Vec<String> =
        plan.changes.iter().take(SHOWN).map(|of| format!("{} {}", of.action, of.serial_number)).collect();
    what.extend((more > 0).then(|| format!("{more} more")));
    what.extend((!plan.loosens.is_empty()).then(|| "limits of the tenant that become looser".to_owned()));
    let (digest, what) = (&plan.digest, what.join(", "));
    let message = format!("an AutopilotPlanApproval of digest {digest} is waited for: {what}");
    Trouble::new("ApprovalRequired", message, false)
}

/// Why nothing may be written over the ledger as it is.
fn refused(members: &Members<'_>) -> Option<Trouble> {
    let book = members.of().first()?.book.as_ref()?;
    let why = book.refuses()?;
    let reason = match why {
        NoRemoval::ScopeOverlap(_) => "ScopeOverlap",
        NoRemoval::NeighboursUnknown(_) => "NeighboursUnknown",
        NoRemoval::OtherLineage(_) => "OtherLineage",
        _ => "LedgerUnusable",
    };
    Some(Trouble::new(reason, format!("{}; {}", why.text(), why.remedy()), false))
}

fn told(report: &Report) -> Done {
    let plan = Some(report.prepared.cleared.plan().digest().plan_id());
    let halt = report.halt.as_ref().map(ToString::to_string).unwrap_or_default();
    let (trouble, is_waiting) = match report.end() {
        End::Done | End::Limited | End::Partial => (None, false),
        End::Later => (None, true),
        End::Stopped => (Some(Trouble::new("Interrupted", "the round was stopped", true)), true),
        End::Access(kind) => (Some(Trouble::of_kind(kind, halt)), false),
        End::Journal => (Some(Trouble::new("JournalUnavailable", halt, true)), true),
        End::Moved => (Some(Trouble::new("WrittenElsewhere", halt, true)), true),
    };
    let mut actions = BTreeMap::new();
    for (change, outcome) in &report.outcomes.of {
        let result = match outcome {
            Outcome::Done { .. } => "done",
            Outcome::Awaiting { .. } => "awaiting",
            Outcome::Failed { .. } => "failed",
            Outcome::NotAttempted { .. } => "not_attempted",
        };
        *actions.entry((change.action().kind().name(), result)).or_default() += 1;
    }
    Done { plan, trouble, actions, calls: report.calls, is_waiting, unread: HashMap::new() }
}

fn account(ways: &Ways<'_>, fleet: &Fleet, prepared: Prepared, done: Option<Done>) -> Account {
    let plan = prepared.cleared.plan();
    let mut held: HashMap<_, _> = plan.held.iter().map(|held| (held.device.clone(), held.clone())).collect();
    let done = done.unwrap_or_default();
    let mut status = fold(&fleet.desired, plan);
    for (device, claim) in status.devices.iter_mut().zip(fleet.desired.claims()) {
        let why = done.unread.get(&claim.key()).filter(|_| device.stage == Stage::ToRegister);
        if let Some(why) = why {
            device.stage = Stage::Held { reason: Reason::HashNotAvailable };
            held.insert(claim.key(), Held::without_hash(claim, why.clone()));
        }
    }
    let waits_for_hash = |change: &Change| done.unread.contains_key(&change.effect.device);
    let is_left = !plan.loosens.is_empty() || !plan.changes.iter().all(waits_for_hash) || is_upkept(plan);
    let waits = match asks(&fleet.tenant, &prepared) {
        Asks::ForRest | Asks::ForAll => Some(Waits::ForApproval),
        Asks::Nobody if !plan.differs() => None,
        Asks::Nobody if plan.tenant.policy == Policy::Observe => Some(Waits::Observes),
        Asks::Nobody => plan.tenant.suspend.then_some(Waits::Suspended),
    };
    let waits = waits.map(|why| (plans::written(&prepared, &ways.named(), Timestamp::now()), why));
    let to_approve = waits.as_ref().filter(|(_, why)| *why == Waits::ForApproval).map(|(plan, _)| to_approve(plan));
    let is_asked = to_approve.is_some();
    Account {
        devices: Some((status, held)),
        trouble: done.trouble.or(to_approve),
        plans: Standing { waits, done: done.plan },
        approvals: prepared.cleared.grants().iter().map(|(grant, is)| (grant.name.clone(), *is)).collect(),
        actions: done.actions,
        calls: prepared.calls + done.calls,
        drifted: plan.changes.iter().filter(|change| !change.drifted.is_empty()).count()
            + plan.held.iter().filter(|held| !held.drifted.is_empty()).count(),
        kept: kept(&plan.removal),
        last_sync: prepared.sync.as_ref().and_then(|sync| sync.last_sync),
        is_waiting: done.is_waiting
            || (is_left && !is_asked)
            || plan.awaiting.iter().any(|waits| waits.what != Waiting::Vendor),
        prepared: Some(Box::new(prepared)),
    }
}

/// Why nothing comes of what is declared no more, where there is such.
fn kept(removal: &Removal) -> Option<String> {
    let why = removal.not_computed.as_ref().filter(|_| removal.undeclared > 0)?;
    let what = match why {
        // Which object, the problems say.
        NoRemoval::Partial => "an object cannot be used, and may declare them".to_owned(),
        why => format!("{}; {}", why.text(), why.remedy()),
    };
    Some(format!("{} devices are declared no more, and nothing is done to them: {what}", removal.undeclared))
}

/// Opens the ways to a tenant. To write, its journal is claimed.
async fn open<'f>(
    ways: &Ways<'_>,
    fleet: &'f Fleet,
    desired: &'f Desired,
    purpose: Purpose,
) -> Result<Members<'f>, Trouble> {
    let Ways { client, namespace, machine, stop, .. } = *ways;
    let tenant = &desired.tenant;
    let connection = connection(ways, fleet, purpose).await?;
    let store: Box<dyn crate::ledger::JournalStore> = Box::new(match purpose {
        Purpose::Read => ClusterJournal::read_only(client, namespace, tenant.id, &tenant.owner),
        Purpose::Write => ClusterJournal::new(client, namespace, tenant.id, &tenant.owner),
    });
    let journal = Journal::open(store, connection.clock.now()).await?;
    let store = Box::new(ClusterLedger::new(client, namespace, tenant.id, &tenant.owner));
    let wanted = Wanted {
        target: &connection.target,
        desired,
        lineage: fleet.tenant.ledger.as_ref().and_then(|ledger| ledger.lineage.as_deref()),
        machine: machine.to_owned(),
        source: Source::default(),
        file: Box::new(ways.named()),
        path: Box::new(ways.named()),
        lacks: Box::new(|_| false),
        seen: Seen::shared(ways.marks.ledger()),
        elsewhere: ways.elsewhere.clone(),
        siblings: Vec::new(),
        together: HashSet::default(),
        now: connection.clock.now(),
    };
    let book = Some(Book::open(store, wanted, purpose == Purpose::Read).await?);
    let hashes: Box<dyn HashSource> = Box::new(Secrets::new(client, namespace));
    let approvals = Approvals { grants: fleet.grants.clone(), ..Approvals::default() };
    let member = Member { desired, connection, journal, hashes, book, approvals, saved: None };
    Ok(Members::new(vec![member], stop))
}

/// Ways to one tenant: each has its token and its budget, from turn to turn.
#[derive(Default)]
pub(super) struct Links(Mutex<Vec<Link>>);

struct Link {
    spec: AutopilotTenantSpec,
    identity: Identity,
    given: Given,
    connection: Connection,
}

/// The way to the tenant, with what its namespace has to sign in with, and nothing
/// of ours: whoever may write a tenant into a namespace must not sign in as the
/// operator.
async fn connection(ways: &Ways<'_>, fleet: &Fleet, purpose: Purpose) -> Result<Connection, Trouble> {
    let identity = identity(&fleet.tenant, purpose);
    // A secret that was changed is taken up with the next turn.
    let given = given(ways, &identity).await?;
    let reaches = |spec: &AutopilotTenantSpec| (spec.cloud, spec.endpoints.clone(), spec.tenant_id.clone());
    let mut links = ways.links.0.lock().await;
    links.retain(|link| reaches(&link.spec) == reaches(&fleet.tenant));
    let known = links.iter().find(|link| link.identity == identity && link.given == given);
    if let Some(Link { connection, .. }) = known {
        let graph = connection.graph.clone().hearing(ways.stop.clone());
        return Ok(Connection { graph, ..connection.clone() });
    }
    let found = given.found(ways);
    let outside = Outside {
        found: found.as_ref(),
        variable: &|_| None,
        allowed_hosts: ways.allowed_hosts,
        public_secret: ways.public_secret,
    };
    let connection = connect(&fleet.tenant, fleet.desired.tenant.id, purpose, outside, ways.stop).await?;
    links.retain(|link| link.identity != identity);
    links.push(Link { spec: fleet.tenant.clone(), identity, given, connection: connection.clone() });
    Ok(connection)
}

/// What the namespace of a tenant has to sign in with.
#[derive(Clone, PartialEq, Eq)]
enum Given {
    Nothing,
    Secret(String),
    Certificate(String),
    Account(String),
}

impl Given {
    fn found(&self, ways: &Ways<'_>) -> Option<Found> {
        match self {
            Self::Nothing => None,
            Self::Secret(secret) => Some(Found::Secret(secret.as_str().into())),
            Self::Certificate(pem) => Some(Found::Certificate(pem.as_str().into())),
            Self::Account(name) => Some(Found::Tokens(Arc::new(Issuer::new(ways.client, ways.namespace, name)))),
        }
    }
}

async fn given(ways: &Ways<'_>, identity: &Identity) -> Result<Given, Trouble> {
    let wrong = |message: String| Trouble::new("CredentialsInvalid", message, false);
    let secrets = Secrets::new(ways.client, ways.namespace);
    let text = async |of: &Option<SecretKeyRef>, field: &str| -> Result<String, Trouble> {
        let of = of
            .as_ref()
            .ok_or_else(|| wrong(format!("`auth.{field}` is missing: in a cluster it stands in a Secret")))?;
        let bytes = secrets.read(&of.name, &of.key).await.map_err(wrong)?;
        let text = String::from_utf8(bytes).map_err(|_| wrong(format!("`{}` is not text", seen(&of.key))))?;
        Ok(text.trim_end().to_owned())
    };
    match identity.type_ {
        None => Ok(Given::Nothing),
        Some(AuthType::ClientSecret) => Ok(Given::Secret(text(&identity.secret_ref, "secretRef").await?)),
        Some(AuthType::Certificate) => Ok(Given::Certificate(text(&identity.certificate_ref, "certificateRef").await?)),
        Some(AuthType::WorkloadIdentity) => {
            let name = identity.service_account_name.clone();
            let missing = "`auth.serviceAccountName` is missing: it names a ServiceAccount of the tenant's namespace";
            name.map(Given::Account).ok_or_else(|| wrong(missing.to_owned()))
        }
        Some(other) => {
            let message = format!(
                "`auth.type: {other:?}` would sign in as the operator or as a person: in a cluster use \
                 `WorkloadIdentity`, `Certificate` or `ClientSecret`"
            );
            Err(wrong(message))
        }
    }
}
