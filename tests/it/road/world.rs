//! A repository in a folder, a simulated tenant, and a state folder: all that
//! an apply touches. The tenant is in this process, or on a loopback port.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use apgit::door::apply::Event;
use apgit::door::clock::{self, SharedClock, Stop};
use apgit::door::graph::{Auth, Endpoints, Graph, GraphWriter, Login};
use apgit::door::hash::generate::Machine;
use apgit::door::ledger::{FileJournal, Journal, JournalError, JournalStore};
use apgit::door::manifest::{self, Hashes};
use apgit::door::model::{Desired, Target};
use apgit::door::plan::{Action, Approvals, Plan, Waiting};
use apgit::door::round::{Consent, Prepared, Report, Round, RoundError};
use apgit::door::sim::{self, InProcess, Server, Settings, Shared, Speed, Tenant};
use apgit::door::transport::SharedTransport;
use secrecy::SecretString;
use tokio::sync::oneshot;

use crate::support::{self, Folder, OWNER, TENANT, at_url, machine, tenant_manifest};

/// One declared device.
#[derive(Clone)]
pub struct Declared {
    pub machine: Machine,
    /// More lines of its entry, such as `groupTag: "X"`.
    pub fields: Vec<String>,
    /// False: the hash is kept out of the CSV and the vendor registers it.
    pub has_hash: bool,
}

impl Declared {
    /// The `number`th machine of a fleet, with its serial.
    pub fn new(number: u64) -> Self {
        Self { machine: machine(number), fields: Vec::new(), has_hash: true }
    }

    pub fn with(mut self, field: &str, value: &str) -> Self {
        self.fields.push(format!("{field}: \"{value}\""));
        self
    }

    pub fn serial(&self) -> &str {
        self.machine.serial().expect("every machine here has one").as_str()
    }

    pub fn hash(&self) -> String {
        self.machine.hash().to_base64()
    }
}

/// Declarations and a state folder: what belongs to whoever applies.
pub struct Repository {
    folder: Folder,
    /// Where the tenant is, if it is on a port.
    url: Option<String>,
    /// What a person has approved beforehand.
    pub approvals: Approvals,
    /// True where an audit log is kept: most runs here are about something else.
    keeps_audit: bool,
}

pub struct World {
    pub repository: Repository,
    pub sim: InProcess,
    seed: u64,
}

/// What a run is made of, so that a test can put itself in between.
pub struct Ways {
    pub transport: SharedTransport,
    pub store: Box<dyn JournalStore>,
}

impl Repository {
    /// Declares the fleet in a folder of its own.
    pub fn new(url: Option<&str>, fleet: &[Declared]) -> Self {
        let approvals = Approvals::default();
        let repository = Self { folder: Folder::quick(), url: url.map(str::to_owned), approvals, keeps_audit: false };
        repository.declare(fleet);
        repository
    }

    /// Writes the declarations: sets of 500 with their hashes in one CSV each.
    pub fn declare(&self, fleet: &[Declared]) {
        std::fs::create_dir_all(self.folder.at("fleet/.git")).expect("the repository's root");
        let place = self.url.as_deref().map_or_else(|| "cloud: Global".to_owned(), at_url);
        self.folder.write("fleet/tenant.yaml", tenant_manifest(&place));
        for (number, set) in fleet.chunks(500).enumerate() {
            let mut yaml = set_head(number);
            let mut csv = "Device Serial Number,Windows Product ID,Hardware Hash\r\n".to_owned();
            for device in set {
                writeln!(yaml, "    - serialNumber: \"{}\"", device.serial()).unwrap();
                for field in &device.fields {
                    writeln!(yaml, "      {field}").unwrap();
                }
                if device.has_hash {
                    writeln!(yaml, "      hardwareHashRef: {{csv: set-{number}.csv}}").unwrap();
                    writeln!(csv, "{},,{}\r", device.serial(), device.hash()).unwrap();
                }
            }
            self.folder.write(format!("fleet/set-{number}.yaml"), yaml);
            self.folder.write(format!("fleet/set-{number}.csv"), csv);
        }
    }

    /// The folder with the declarations.
    pub fn root(&self) -> PathBuf {
        self.folder.at("fleet")
    }

    /// What `--state-dir` is for a run against a tenant on a port.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.at("state")
    }

    fn state(&self) -> PathBuf {
        match self.url {
            Some(_) => self.state_dir().join("endpoints/loopback").join(TENANT).join("owners").join(OWNER),
            None => self.state_dir().join(TENANT).join("owners").join(OWNER),
        }
    }

    /// Where the audit log is: it outlives the journal.
    pub fn audit_file(&self) -> PathBuf {
        self.folder.at("audit.jsonl")
    }

    /// The journal is lost: the next run knows nothing of the last one.
    pub fn lose_journal(&self) {
        let _ = std::fs::remove_dir_all(self.state());
    }

    pub fn desired(&self) -> (Desired, Hashes) {
        let loaded = manifest::load(&[self.root()]);
        assert!(!loaded.has_errors(), "{:?}", loaded.problems);
        let [fleet] = <[_; 1]>::try_from(loaded.fleets).expect("one tenant");
        let hashes = Hashes::new(fleet.root);
        (fleet.desired, hashes)
    }

    pub async fn plan(&self, graph: &Graph, clock: SharedClock) -> Prepared {
        let (desired, hashes) = self.desired();
        let store = Box::new(FileJournal::read_only(&self.state()));
        let mut journal = Journal::open(store, clock.now()).await.expect("a journal of ours");
        let round = Round {
            desired: &desired,
            target: &Target::Simulated,
            graph,
            clock: clock.as_ref(),
            hashes: &hashes,
            approvals: &self.approvals,
            ledger: None,
            broke_off: None,
            loosens: &[],
            no_removal: None,
            settle: false,
            stop: &Stop::never(),
        };
        round.prepare(&mut journal).await.expect("the tenant can be read")
    }

    /// An apply that may fail before it has a plan.
    pub async fn try_apply(
        &self,
        graph: &Graph,
        clock: SharedClock,
        store: Box<dyn JournalStore>,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Report, RoundError> {
        let (desired, hashes) = self.desired();
        let mut journal = Journal::open(store, clock.now()).await?;
        if self.keeps_audit {
            journal = journal.audited(support::audit(&self.audit_file()));
        }
        let round = Round {
            desired: &desired,
            target: &Target::Simulated,
            graph,
            clock: clock.as_ref(),
            hashes: &hashes,
            approvals: &self.approvals,
            ledger: None,
            broke_off: None,
            loosens: &[],
            no_removal: None,
            settle: true,
            stop: &Stop::never(),
        };
        let prepared = round.prepare(&mut journal).await?;
        let writer = GraphWriter::new(graph.clone());
        Ok(round.carry_out(prepared, Consent::Unseen, &writer, &mut journal, on_event).await)
    }

    /// The journal's file store, locked. Other tests of this process start
    /// children, and between fork and exec a child holds every lock that we
    /// have just let go; so a lock is worth asking for again.
    pub fn store(&self) -> Box<dyn JournalStore> {
        for _ in 0..1000 {
            match FileJournal::open(&self.state()) {
                Err(JournalError::Locked { .. }) => std::thread::sleep(std::time::Duration::from_millis(5)),
                store => return Box::new(store.expect("the journal can be opened")),
            }
        }
        panic!("somebody else applies")
    }

    /// The real binary, about to run with this state folder and the simulated
    /// tenant's secret.
    pub fn apgit(&self, words: &[&str]) -> Command {
        let mut command = support::apgit(self.folder.path(), words);
        command.arg("--state-dir").arg(self.state_dir()).env("AZURE_CLIENT_SECRET", sim::CLIENT_SECRET);
        command
    }
}

/// A simulated tenant on a loopback port, served by a thread of its own until
/// this is dropped.
pub struct Served {
    pub url: String,
    pub tenant: Shared,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub fn start(settings: Settings, seed: u64) -> Self {
        Self::start_by(settings, seed, |server| server)
    }

    /// The same through another door: TLS, a proxy.
    pub fn start_by(settings: Settings, seed: u64, door: impl FnOnce(Server) -> Server + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let serve = async move {
            let tenant = Tenant::new(settings, seed, sim::EPOCH);
            let address = "127.0.0.1:0".parse().expect("an address");
            let server = door(Server::bind(address, tenant, Speed::Instant).await.expect("a free port"));
            ready.send((server.url(), server.tenant())).expect("somebody waits for it");
            server.run(async { drop(stopped.await) }).await.expect("no state to save");
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(serve);
        });
        let (url, tenant) = started.recv().expect("the tenant listens");
        Self { url, tenant, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl World {
    /// Writes the repository and starts a tenant.
    pub fn new(settings: Settings, seed: u64, fleet: &[Declared]) -> Self {
        let tenant = Tenant::new(settings, seed, sim::EPOCH);
        let sim = InProcess::new(tenant, clock::Virtual::starting_at(sim::EPOCH));
        Self { repository: Repository::new(None, fleet), sim, seed }
    }

    /// The same with an audit log.
    pub fn auditing(mut self) -> Self {
        self.repository.keeps_audit = true;
        self
    }

    fn state(&self) -> PathBuf {
        self.repository.state()
    }

    pub fn journal_file(&self) -> PathBuf {
        self.state().join("journal.jsonl")
    }

    pub fn lose_journal(&self) {
        self.repository.lose_journal();
    }

    pub fn ways(&self) -> Ways {
        Ways { transport: Arc::new(self.sim.clone()), store: self.repository.store() }
    }

    fn graph(&self, transport: SharedTransport) -> Graph {
        graph("http://127.0.0.1:8800", transport, Arc::new(self.sim.clock()), self.seed)
    }

    pub async fn plan(&self) -> Prepared {
        let clock = Arc::new(self.sim.clock());
        self.repository.plan(&self.graph(Arc::new(self.sim.clone())), clock).await
    }

    pub async fn apply(&self) -> Report {
        self.try_apply(self.ways(), &mut |_| {}).await.expect("the tenant can be read")
    }

    /// An apply that may fail before it has a plan.
    pub async fn try_apply(&self, ways: Ways, on_event: &mut (dyn FnMut(Event) + Send)) -> Result<Report, RoundError> {
        let graph = self.graph(ways.transport);
        self.repository.try_apply(&graph, Arc::new(self.sim.clock()), ways.store, on_event).await
    }

    /// Every write that the tenant has seen stands in the audit log.
    #[track_caller]
    pub fn assert_announced(&self, context: &str) {
        self.sim.with(|tenant| support::assert_announced(tenant, &self.repository.audit_file(), context));
    }

    /// What nobody may ever see, whatever happened: asserted by the tenant.
    #[track_caller]
    pub fn assert_nothing_twice(&self) {
        self.sim.with(|tenant| assert_nothing_twice(tenant));
    }
}

/// The same, of any tenant.
#[track_caller]
pub fn assert_nothing_twice(tenant: &Tenant) {
    for (hardware, times) in &tenant.counters().registered {
        assert!(*times <= 1, "hardware {hardware} was registered {times} times");
    }
    assert_eq!(tenant.counters().deletes_accepted, 0, "nothing is ever deleted here");
    let gap = tenant.counters().least_sync_gap();
    assert!(gap.is_none_or(|gap| gap.as_secs() >= 600), "two syncs {gap:?} apart");
}

/// The real client of the tenant at `url`.
pub fn graph(url: &str, transport: SharedTransport, clock: SharedClock, seed: u64) -> Graph {
    let endpoints = Endpoints::custom(url, url, &[]).expect("loopback");
    let auth = Auth::ClientSecret {
        client_id: "aaaaaaaa-0000-4000-8000-000000000001".to_owned(),
        secret: SecretString::from(sim::CLIENT_SECRET.to_owned()),
    };
    let tenant = TENANT.parse().expect("a GUID");
    let login = Login::new(auth, tenant, endpoints.clone(), transport.clone(), clock.clone());
    Graph::new(transport, clock, endpoints, Arc::new(login), seed)
}

fn set_head(number: usize) -> String {
    format!(
        "apiVersion: apgit.dev/v1alpha1\n\
         kind: AutopilotDeviceSet\n\
         metadata: {{name: set-{number}}}\n\
         spec:\n\
         \x20 tenantRef: {{name: contoso}}\n\
         \x20 devices:\n"
    )
}

/// A plan as lines to read aloud.
pub fn read_aloud(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(plan.changes.iter().map(|change| match change.action() {
        Action::Register(_) => format!("+ {}", change.serial()),
        Action::Update(update) => {
            let fields: Vec<_> = update.fields.iter().map(|field| field.field.name()).collect();
            format!("~ {} {}", change.serial(), fields.join(" "))
        }
        action => format!("{} {}", action.kind(), change.serial()),
    }));
    lines.extend(plan.held.iter().map(|held| format!("x {} {}", held.serial(), held.reason)));
    lines.extend(plan.awaiting.iter().map(|awaiting| match awaiting.what {
        Waiting::Vendor => format!("> {} vendor", awaiting.serial()),
        _ => format!("> {} ours", awaiting.serial()),
    }));
    lines
}
