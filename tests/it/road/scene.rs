//! A tenant, claims, hashes and a journal, all in memory: a run in its parts,
//! with whatever a test lets happen between them. The files around a run are
//! the business of `world.rs`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use apgit::door::apply::Outcome;
use apgit::door::clock::{self, Clock, SharedClock, Stop};
use apgit::door::graph::{Graph, GraphWriter};
use apgit::door::hash::{HashSource, WantedHash};
use apgit::door::ledger::{Journal, JournalError, JournalStore};
use apgit::door::model::{
    Claim, Desired, DisplayName, Greeting, GroupTag, HardwareHash, HashCheck, HashError, HashLocation, HashRef, Target,
    Tenant, UserPrincipalName, Want,
};
use apgit::door::plan::Approvals;
use apgit::door::round::{Consent, Goes, Prepared, Report, Round, RoundError, Stale, TakenUp, take_up};
use apgit::door::sim::{self, InProcess, Settings, Write, WriteKind};
use apgit::door::transport::{Request, Response, SharedTransport, Transport, TransportError};
use async_trait::async_trait;
use jiff::SignedDuration;
use tokio::sync::Notify;

use super::world::graph;
use crate::support::{self, machine};

/// Somebody's user.
pub const ANNA: &str = "anna.keller@contoso.com";

/// The hash of the `number`th machine: made once, it costs more than a run.
pub fn hash(number: u64) -> HardwareHash {
    static MADE: OnceLock<Mutex<HashMap<u64, HardwareHash>>> = OnceLock::new();
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap();
    made.entry(number).or_insert_with(|| machine(number).hash()).clone()
}

/// The serial of the `number`th machine.
pub fn serial(number: u64) -> String {
    format!("TEST-{number:06}")
}

/// A claim of the `number`th machine with these fields, each as
/// `groupTag=OSL-STD`; `groupTag=` clears.
pub fn claim(number: u64, fields: &[&str]) -> Claim {
    let reference =
        HashRef { location: HashLocation::Env("APGIT_HASH".to_owned()), pin: None, check: HashCheck::Decode };
    let mut claim = Claim { hash: Some(Arc::new(reference)), ..support::claim(&serial(number)) };
    for field in fields {
        let (name, value) = field.split_once('=').expect("a name and a value");
        match name {
            "groupTag" => claim.group_tag = want(value, GroupTag::parse),
            "userPrincipalName" => claim.user = want(value, UserPrincipalName::parse),
            "addressableUserName" => claim.addressable_user_name = want(value, Greeting::parse),
            "displayName" => claim.display_name = want(value, DisplayName::parse),
            "registrationId" => claim.registration_id = Some(value.parse().expect("a GUID")),
            other => panic!("a claim has no {other}"),
        }
    }
    claim
}

fn want<T, E: std::fmt::Debug>(value: &str, parse: impl Fn(&str) -> Result<T, E>) -> Want<T> {
    if value.is_empty() { Want::Clear } else { Want::Set(parse(value).expect("a value of this field")) }
}

/// The hashes of a repository, by serial.
#[derive(Clone, Default)]
pub struct Hashes(Arc<Mutex<HashMap<String, HardwareHash>>>);

impl Hashes {
    pub fn put(&self, serial: &str, hash: HardwareHash) {
        self.0.lock().unwrap().insert(serial.to_owned(), hash);
    }
}

#[async_trait]
impl HashSource for Hashes {
    async fn read(&self, wanted: Vec<WantedHash>) -> Vec<Result<HardwareHash, HashError>> {
        let hashes = self.0.lock().unwrap();
        let missing = || HashError::NotHere("nobody has this hash".to_owned());
        wanted.iter().map(|wanted| hashes.get(wanted.serial.as_str()).cloned().ok_or_else(missing)).collect()
    }
}

/// A journal that outlives the process that writes it. Clones share it.
#[derive(Clone, Default)]
pub struct Kept(pub Arc<Mutex<Vec<String>>>);

#[async_trait]
impl JournalStore for Kept {
    async fn read(&mut self) -> Result<Vec<String>, JournalError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn append(&mut self, lines: &[String]) -> Result<(), JournalError> {
        self.0.lock().unwrap().extend_from_slice(lines);
        Ok(())
    }

    async fn replace(&mut self, lines: &[String]) -> Result<(), JournalError> {
        *self.0.lock().unwrap() = lines.to_vec();
        Ok(())
    }
}

/// A simulated tenant and one repository that is applied to it.
pub struct Scene {
    pub sim: InProcess,
    pub tenant: Tenant,
    pub claims: Vec<Claim>,
    pub hashes: Hashes,
    pub kept: Kept,
    pub approvals: Approvals,
    pub seed: u64,
}

/// One process: its connection, its clock, its way to the journal.
pub struct Client<'s> {
    scene: &'s Scene,
    desired: Desired,
    target: Target,
    pub graph: Graph,
    clock: SharedClock,
    stop: Stop,
    pub journal: Journal,
}

impl Scene {
    pub fn new(settings: Settings, seed: u64, claims: Vec<Claim>) -> Self {
        let tenant = sim::Tenant::new(settings, seed, sim::EPOCH);
        let sim = InProcess::new(tenant, clock::Virtual::starting_at(sim::EPOCH));
        Self::at(sim, seed, claims)
    }

    /// Another repository for a tenant that is there.
    pub fn at(sim: InProcess, seed: u64, claims: Vec<Claim>) -> Self {
        let (hashes, kept) = (Hashes::default(), Kept::default());
        for claim in &claims {
            if let Ok(number) = claim.serial.as_str().trim_start_matches("TEST-").parse() {
                hashes.put(claim.serial.as_str(), hash(number));
            }
        }
        Self { sim, tenant: support::tenant(), claims, hashes, kept, approvals: Approvals::default(), seed }
    }

    /// A process that reaches the tenant as it is.
    pub async fn client(&self) -> Client<'_> {
        let (transport, clock) = (Arc::new(self.sim.clone()), Arc::new(self.sim.clock()));
        self.client_over(transport, clock, Box::new(self.kept.clone()), Stop::never()).await
    }

    /// A process with something in between.
    pub async fn client_over(
        &self,
        transport: SharedTransport,
        clock: SharedClock,
        store: Box<dyn JournalStore>,
        stop: Stop,
    ) -> Client<'_> {
        let journal = Journal::open(store, clock.now()).await.expect("a journal of ours");
        let graph = graph("http://127.0.0.1:8800", transport, clock.clone(), self.seed).hearing(stop.clone());
        let desired = Desired::new(self.tenant.clone(), self.claims.clone());
        Client { scene: self, desired, target: Target::Simulated, graph, clock, stop, journal }
    }

    /// A process with somebody in between.
    pub async fn client_through(&self, between: Between) -> Client<'_> {
        let clock = Arc::new(self.sim.clock());
        self.client_over(Arc::new(between), clock, Box::new(self.kept.clone()), Stop::never()).await
    }

    /// An apply whose process is gone before the first request of this kind.
    pub async fn dies_before(&self, is_it: impl Fn(&Request) -> bool + Send + 'static) {
        let between = Between::new(&self.sim, move |request| if is_it(request) { Deed::Hang } else { Deed::Pass });
        let hangs = between.hangs.clone();
        let mut client = self.client_through(between).await;
        let run = async {
            let prepared = client.prepare().await.expect("the tenant can be read");
            client.carry_out(prepared, Consent::Unseen).await
        };
        tokio::select! {
            report = run => panic!("it outlived: {report:#?}"),
            () = hangs.notified() => {}
        }
    }

    pub fn lose_journal(&self) {
        self.kept.0.lock().unwrap().clear();
    }

    /// A whole apply that nobody looked at.
    pub async fn apply(&self) -> Report {
        let mut client = self.client().await;
        let prepared = client.prepare().await.expect("the tenant can be read");
        client.carry_out(prepared, Consent::Unseen).await
    }

    /// What an apply would do now.
    pub async fn prepare(&self) -> Prepared {
        self.client().await.prepare().await.expect("the tenant can be read")
    }

    /// What would be done now, to read aloud.
    pub async fn plan(&self) -> Vec<String> {
        super::world::read_aloud(self.prepare().await.cleared.plan())
    }

    /// Lets time pass.
    pub fn pass(&self, span: SignedDuration) {
        let clock = self.sim.clock();
        clock.advance_to(clock.now() + span);
    }

    /// The one registration of a machine.
    #[track_caller]
    pub fn registration(&self, number: u64) -> sim::RegistrationView {
        let found = self.sim.with(|tenant| tenant.registrations_of(&serial(number)));
        let [one] = <[_; 1]>::try_from(found).unwrap_or_else(|found| panic!("one registration, not {found:?}"));
        one
    }

    /// Everything that clients have written, as the tenant saw it: kind, serial
    /// and values.
    pub fn written(&self) -> Vec<String> {
        let line = |write: &Write| {
            let values: Vec<String> = write.written.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let line = format!("{:?} {} {}", write.kind, write.serial, values.join(" "));
            line.trim_end().replace("  ", " ")
        };
        let ours = |write: &&Write| write.by == APP && write.kind != WriteKind::Register;
        self.sim.with(|tenant| tenant.witnessed().filter(ours).map(line).collect())
    }

    /// The same without import records that were removed.
    pub fn written_to_devices(&self) -> Vec<String> {
        let of_device = |line: &String| !line.starts_with("DeleteRecord") && line.trim() != "Sync";
        self.written().into_iter().filter(of_device).collect()
    }

    pub fn forget_writes(&self) {
        self.sim.with(sim::Tenant::reset_counters);
    }

    pub fn syncs(&self) -> usize {
        self.sim.with(|tenant| tenant.counters().syncs_accepted.len())
    }
}

/// The app that every process here signs in as.
pub const APP: &str = "aaaaaaaa-0000-4000-8000-000000000001";

impl Client<'_> {
    pub async fn prepare(&mut self) -> Result<Prepared, RoundError> {
        let (round, journal) = self.parts();
        round.prepare(journal).await
    }

    pub async fn carry_out(&mut self, prepared: Prepared, consent: Consent) -> Report {
        let writer = GraphWriter::new(self.graph.clone());
        let (round, journal) = self.parts();
        let report = round.carry_out(prepared, consent, &writer, journal, &mut |_| {}).await;
        assert_one_outcome_per_effect(&report);
        report
    }

    /// What would be done now of a plan that was saved.
    pub async fn prepare_again(&mut self, saved: &Prepared) -> Result<Prepared, RoundError> {
        let (round, journal) = self.parts();
        round.prepare_again(saved.cleared.plan(), journal).await
    }

    /// Carries a saved plan out, as far as it holds. `Err` is why it does not.
    pub async fn apply_saved(&mut self, saved: &Prepared, stale: Stale) -> Result<Report, Option<TakenUp>> {
        let now = self.prepare_again(saved).await.map_err(|_| None)?;
        let is_new = self.journal.approval(&saved.cleared.plan().digest().sha256).is_none();
        let goes = match take_up(saved.cleared.plan(), now, stale, &self.desired, &self.journal, None, None) {
            TakenUp::Goes(goes) => *goes,
            other => return Err(Some(other)),
        };
        let Goes { prepared, consent, entries, rest, moved, already } = goes;
        assert!(stale == Stale::Skip || moved.is_empty(), "what has moved stops it");
        self.journal.record(self.graph.service_now(), entries).await.expect("a journal in memory");
        let report = self.carry_out(prepared, consent).await.of_saved(saved, &moved, &already);
        if is_new && rest.is_none() {
            assert_one_outcome_per_effect(&report);
        }
        Ok(report)
    }

    /// What is declared.
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    fn parts(&mut self) -> (Round<'_>, &mut Journal) {
        let Self { scene, desired, target, graph, clock, stop, journal } = self;
        let clock: &dyn Clock = &**clock;
        let round = Round {
            desired,
            target,
            graph,
            clock,
            hashes: &scene.hashes,
            approvals: &scene.approvals,
            ledger: None,
            broke_off: None,
            loosens: &[],
            no_removal: None,
            settle: true,
            stop,
        };
        (round, journal)
    }
}

/// What somebody between a client and the tenant does with a request.
pub enum Deed {
    Pass,
    /// It never arrives, and no answer comes: the process is as good as dead.
    Hang,
    /// It never arrives, and its connection breaks.
    Drop,
    /// It has its effect, and the connection breaks before the answer.
    Lose,
    /// It has its effect, and the client sees another answer.
    Alter(fn(Response) -> Response),
}

type Decide = Box<dyn FnMut(&Request) -> Deed + Send>;

/// A way to the tenant with somebody in between.
pub struct Between {
    sim: InProcess,
    decide: Mutex<Decide>,
    hangs: Arc<Notify>,
}

impl Between {
    pub fn new(sim: &InProcess, decide: impl FnMut(&Request) -> Deed + Send + 'static) -> Self {
        Self { sim: sim.clone(), decide: Mutex::new(Box::new(decide)), hangs: Arc::default() }
    }

    /// Hears of requests that hang.
    pub fn hangs(&self) -> Arc<Notify> {
        Arc::clone(&self.hangs)
    }
}

fn lost(request: &Request) -> TransportError {
    let host = request.uri().host().unwrap_or_default().to_owned();
    TransportError::Lost { host, reason: "the connection broke".to_owned() }
}

#[async_trait]
impl Transport for Between {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let deed = (self.decide.lock().unwrap())(&request);
        match deed {
            Deed::Pass => self.sim.send(request).await,
            Deed::Alter(alter) => self.sim.send(request).await.map(alter),
            Deed::Drop => Err(lost(&request)),
            Deed::Lose => {
                let lost = lost(&request);
                self.sim.send(request).await.and(Err(lost))
            }
            Deed::Hang => {
                self.hangs.notify_one();
                std::future::pending().await
            }
        }
    }
}

/// True for a request, or an envelope with a part, of this route.
pub fn is_of(request: &Request, route: &str) -> bool {
    request.uri().path().contains(route) || String::from_utf8_lossy(request.body()).contains(route)
}

/// Outcomes = effects, always.
#[track_caller]
pub fn assert_one_outcome_per_effect(report: &Report) {
    let approved = report.prepared.cleared.plan().changes.iter().map(|change| &change.effect);
    let accounted = report.outcomes.of.iter().map(|(change, _)| &change.effect);
    assert!(approved.eq(accounted), "one outcome per effect: {:#?}", report.outcomes);
}

/// The outcomes of a run, to read aloud.
pub fn outcomes(report: &Report) -> Vec<String> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Done { .. } => "done".to_owned(),
        Outcome::Awaiting { .. } => "awaiting".to_owned(),
        Outcome::Failed { reason, .. } => format!("failed {reason}"),
        Outcome::NotAttempted { reason, .. } => format!("not attempted {reason}"),
    };
    report.outcomes.of.iter().map(|(change, outcome)| format!("{} {}", change.serial(), word(outcome))).collect()
}
