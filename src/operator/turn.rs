//! One turn of one tenant: read it, do what may be done, and say where every device
//! stands. The round is that of every other way to run us; here are the ways to it
//! in a cluster.

use std::collections::{BTreeMap, HashMap, HashSet};

use kube::Client;
use tokio::sync::Mutex;

use super::condition::{self, Fact};
use super::hashes::Secrets;
use crate::clock::Stop;
use crate::connect::{ConnectError, Connection, Outside, Purpose, connect};
use crate::desired::Fleet;
use crate::fleet::{Book, Granted, Member, Members, Source, Wanted};
use crate::graph::ErrorKind;
use crate::hash::HashSource;
use crate::ledger::{ClusterJournal, ClusterLedger, Journal, JournalError, LedgerError, Seen};
use crate::model::{Action, Desired, DeviceKey, Origin, seen};
use crate::plan::{Approvals, Held, NoRemoval, Waiting};
use crate::resource::{self, AuthType, AutopilotTenantSpec, Identity};
use crate::round::{Consent, End, Prepared, Report, RoundError};
use crate::status::{FleetStatus, fold};

/// What is needed for turns of the tenants of a namespace.
pub(super) struct Ways<'w> {
    pub client: &'w Client,
    pub namespace: &'w str,
    /// Which replica this is, as ledgers name it.
    pub machine: &'w str,
    /// Hosts outside Microsoft's clouds that may receive a credential.
    pub allowed_hosts: &'w [String],
    pub public_secret: &'w str,
    /// The ways to the tenant that stand already.
    pub links: &'w Links,
    /// The object that declares a claim, for ledgers.
    pub file: &'w (dyn Fn(Origin) -> String + Send + Sync),
    /// Asked as soon as nothing more may be sent.
    pub stop: &'w Stop,
}

/// What a turn has found out.
pub(super) struct Account {
    /// Where the devices stand, and what is said of those that are held. `None`:
    /// the tenant could not be read, and nobody knows.
    pub devices: Option<(FleetStatus, HashMap<DeviceKey, Held>)>,
    /// What keeps the tenant as a whole from being as declared.
    pub trouble: Option<Trouble>,
    /// What was carried out, by the plan's id.
    pub plan: Option<String>,
    /// True if time alone will bring more, soon.
    pub is_waiting: bool,
    /// The plan that this is of, for the page.
    pub prepared: Option<Box<Prepared>>,
}

impl Account {
    /// Of a tenant that had no turn.
    #[must_use]
    pub(super) fn nothing() -> Self {
        Self { devices: None, trouble: None, plan: None, is_waiting: false, prepared: None }
    }
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
        Account { trouble: Some(self), ..Account::nothing() }
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
        Ok(before) => before,
        Err(trouble) => return trouble.in_account(),
    };
    if !is_to_do(&before) {
        return account(&fleet.desired, before, None);
    }
    let done = match Box::pin(work(ways, fleet)).await {
        Ok(done) => done,
        Err(trouble) => {
            return Account { trouble: Some(trouble), is_waiting: true, ..account(&fleet.desired, before, None) };
        }
    };
    match look(ways, fleet).await {
        Ok(after) => account(&fleet.desired, after, Some(done)),
        Err(trouble) => trouble.in_account(),
    }
}

/// What work on a tenant came to.
struct Done {
    plan: Option<String>,
    trouble: Option<Trouble>,
    is_waiting: bool,
}

/// True if something is to be written. For a vendor's sake alone nothing is: the
/// tenant syncs by itself every day.
fn is_to_do(prepared: &Prepared) -> bool {
    let plan = prepared.cleared.plan();
    !plan.changes.is_empty() || !plan.loosens.is_empty() || !plan.upkeep.clone().without_vendor().is_empty()
}

/// Reads only: nothing is written, anywhere.
async fn look(ways: &Ways<'_>, fleet: &Fleet) -> Result<Prepared, Trouble> {
    let mut members = open(ways, fleet, &fleet.desired, Purpose::Read).await?;
    let prepared = members.plan().await.pop().expect("one tenant, one plan");
    Ok(prepared?)
}

/// Does what may be done, as the one writer.
async fn work(ways: &Ways<'_>, fleet: &Fleet) -> Result<Done, Trouble> {
    let mut desired = fleet.desired.clone();
    // What cannot be done of a plan is taken out of it, and there is another plan.
    for _ in 0..3 {
        let mut members = open(ways, fleet, &desired, Purpose::Write).await?;
        if let Some(why) = refused(&members) {
            return Ok(Done { plan: None, trouble: Some(why), is_waiting: false });
        }
        let prepared = members.prepare().await.map_err(|(_, error)| error)?.pop().expect("one tenant, one plan");
        let (prepared, consent) = match members.granted(0, prepared).await? {
            Granted::Whole(prepared) => (prepared, Consent::Seen),
            Granted::Rest(prepared, rest) if rest.is_whole() => (prepared, Consent::Resumed),
            Granted::Rest(prepared, _) => (prepared, Consent::ResumedInPart),
            Granted::Nothing(prepared) => match asks(&fleet.tenant, &prepared) {
                Asks::Nobody => (prepared, Consent::Unseen),
                Asks::ForRemovals if !desired.is_part() => {
                    desired = desired.part(|_| true);
                    continue;
                }
                Asks::ForRemovals | Asks::ForAll => {
                    return Ok(Done { plan: None, trouble: Some(to_approve(&prepared)), is_waiting: false });
                }
            },
        };
        let unreadable = members.unreadable_hashes([&prepared]).await.map_err(RoundError::from)?;
        if !unreadable.is_empty() {
            let devices: HashSet<DeviceKey> = unreadable.into_values().flatten().collect();
            desired = desired.part(|claim| !devices.contains(&claim.key()));
            continue;
        }
        let report = members.carry_out(vec![(prepared, consent)], &mut |_, _| {}).await.pop();
        return Ok(told(&report.expect("one tenant, one report")));
    }
    let message = "hashes that can be read at one moment cannot be read at the next";
    Ok(Done { plan: None, trouble: Some(Trouble::new("HashNotAvailable", message, true)), is_waiting: true })
}

/// For which plans a person is asked.
enum Asks {
    Nobody,
    ForRemovals,
    ForAll,
}

fn asks(tenant: &AutopilotTenantSpec, prepared: &Prepared) -> Asks {
    let plan = prepared.cleared.plan();
    let removes = plan.changes.iter().any(|change| matches!(change.action(), Action::Deregister(_)));
    match tenant.approval {
        None | Some(resource::Approval::Never) => Asks::Nobody,
        Some(resource::Approval::Deletions) if removes => Asks::ForRemovals,
        Some(resource::Approval::Deletions) => Asks::Nobody,
        Some(resource::Approval::Always) if is_to_do(prepared) => Asks::ForAll,
        Some(resource::Approval::Always) => Asks::Nobody,
    }
}

fn to_approve(prepared: &Prepared) -> Trouble {
    let plan = prepared.cleared.plan();
    let message =
        format!("{} changes wait for an AutopilotPlanApproval of digest {}", plan.changes.len(), plan.digest().sha256);
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
    Done { plan, trouble, is_waiting }
}

fn account(desired: &Desired, prepared: Prepared, done: Option<Done>) -> Account {
    let plan = prepared.cleared.plan();
    let held = plan.held.iter().map(|held| (held.device.clone(), held.clone())).collect();
    let done = done.unwrap_or(Done { plan: None, trouble: None, is_waiting: false });
    Account {
        devices: Some((fold(desired, plan), held)),
        trouble: done.trouble,
        plan: done.plan,
        is_waiting: done.is_waiting
            || is_to_do(&prepared)
            || plan.awaiting.iter().any(|waits| waits.what != Waiting::Vendor),
        prepared: Some(Box::new(prepared)),
    }
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
        file: Box::new({
            let names: BTreeMap<Origin, String> =
                desired.claims().iter().map(|claim| (claim.origin, (ways.file)(claim.origin))).collect();
            move |origin| names.get(&origin).cloned().unwrap_or_default()
        }),
        path: Box::new(|origin| (ways.file)(origin)),
        seen: Seen::nowhere(),
        elsewhere: HashSet::default(),
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
    variables: HashMap<&'static str, String>,
    connection: Connection,
}

/// The way to the tenant, with what its namespace has to sign in with, and nothing
/// of ours: whoever may write a tenant into a namespace must not sign in as the
/// operator.
async fn connection(ways: &Ways<'_>, fleet: &Fleet, purpose: Purpose) -> Result<Connection, Trouble> {
    let identity = match (&fleet.tenant.auth, purpose) {
        (None, _) => Identity::default(),
        (Some(auth), Purpose::Read) => auth.reader(),
        (Some(auth), Purpose::Write) => auth.writer(),
    };
    // A secret that was changed is taken up with the next turn.
    let variables = variables(ways, &identity).await?;
    let reaches = |spec: &AutopilotTenantSpec| (spec.cloud, spec.endpoints.clone(), spec.tenant_id.clone());
    let mut links = ways.links.0.lock().await;
    links.retain(|link| reaches(&link.spec) == reaches(&fleet.tenant));
    let known = links.iter().find(|link| link.identity == identity && link.variables == variables);
    if let Some(Link { connection, .. }) = known {
        let graph = connection.graph.clone().hearing(ways.stop.clone());
        return Ok(Connection { graph, ..connection.clone() });
    }
    let variable = |name: &str| variables.get(name).cloned();
    let outside = Outside { variable: &variable, allowed_hosts: ways.allowed_hosts, public_secret: ways.public_secret };
    let connection = connect(&fleet.tenant, fleet.desired.tenant.id, purpose, outside, ways.stop).await?;
    links.retain(|link| link.identity != identity);
    links.push(Link { spec: fleet.tenant.clone(), identity, variables, connection: connection.clone() });
    Ok(connection)
}

async fn variables(ways: &Ways<'_>, identity: &Identity) -> Result<HashMap<&'static str, String>, Trouble> {
    let wrong = |message: String| Trouble::new("CredentialsInvalid", message, false);
    let secrets = Secrets::new(ways.client, ways.namespace);
    let mut variables = HashMap::new();
    match identity.type_ {
        Some(AuthType::ClientSecret) => {
            if let Some(of) = &identity.secret_ref {
                let secret = secrets.read(&of.name, &of.key).await.map_err(wrong)?;
                let secret =
                    String::from_utf8(secret).map_err(|_| wrong(format!("`{}` is not text", seen(&of.key))))?;
                variables.insert("AZURE_CLIENT_SECRET", secret.trim_end().to_owned());
            }
        }
        None => {}
        Some(other) => {
            let message =
                format!("`auth.type: {other:?}` is not there yet in a cluster: use `ClientSecret` with `secretRef`");
            return Err(wrong(message));
        }
    }
    Ok(variables)
}
