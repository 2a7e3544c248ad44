//! What an apply costs whoever runs it: CPU, memory, requests, and the
//! tenant's own time, beside the least that its limits allow.
//!
//! Over HTTP the tenant is a process of its own, so that the CPU of this one is
//! the client's. In process it is part of what is measured, and so is keeping
//! its state: `apgit apply --simulate` does all that.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use apgit::door::apply::{Outcome, SyncOutcome};
use apgit::door::clock::{self, Remote, SharedClock, Stop};
use apgit::door::graph::{Auth, Endpoints, Graph, GraphWriter, Http, Login};
use apgit::door::ledger::{FileJournal, Journal};
use apgit::door::manifest::{self, Hashes};
use apgit::door::model::Target;
use apgit::door::plan::Approvals;
use apgit::door::round::{Consent, Report, Round};
use apgit::door::sim::{self, InProcess, Server, Settings, Speed, Tenant};
use apgit::door::transport::SharedTransport;
use cpu_time::ProcessTime;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

use super::{fleets, floor, peak_kib, verdict, work_folder};

/// One apply.
pub struct Case {
    pub name: &'static str,
    devices: usize,
    work: Work,
    way: Way,
    /// The profile of the tenant.
    profile: &'static str,
    /// How often it is run; what is reported is the run of the median CPU.
    pub runs: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// All devices are new.
    Register,
    /// All devices get another tag, which somebody approved by number.
    Retag,
}

/// How the tenant is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Port,
    Process,
}

const fn case(name: &'static str, devices: usize, work: Work, way: Way, profile: &'static str, runs: usize) -> Case {
    Case { name, devices, work, way, profile, runs }
}

/// Each after the one that it is compared with.
pub const CASES: [Case; 8] = [
    case("apply-1000", 1_000, Work::Register, Way::Port, "calm", 5),
    case("apply-10000", 10_000, Work::Register, Way::Port, "calm", 3),
    case("apply-100000", 100_000, Work::Register, Way::Port, "calm", 1),
    case("apply-busy-10000", 10_000, Work::Register, Way::Port, "busy", 1),
    case("apply-in-process-1000", 1_000, Work::Register, Way::Process, "calm", 5),
    case("apply-in-process-10000", 10_000, Work::Register, Way::Process, "calm", 3),
    case("apply-in-process-100000", 100_000, Work::Register, Way::Process, "calm", 1),
    case("retag-10000", 10_000, Work::Retag, Way::Port, "calm", 1),
];

/// The name of the process that serves a tenant, and how many registrations
/// that begins with.
pub const TENANT: &str = "tenant";
const DEVICES: &str = "APGIT_BENCH_DEVICES";
const PROFILE: &str = "APGIT_BENCH_PROFILE";

/// CPU per device at most so many times that of 1,000.
const GROWTH_MAX: f64 = 1.5;
/// Time until synced at most so many times the floor.
const TIME_MAX: f64 = 1.1;

/// What one run took.
#[derive(Clone, Serialize, Deserialize)]
pub struct Measured {
    load_us: u64,
    plan_us: u64,
    carry_out_us: u64,
    /// Opening the journal that the run has left.
    reopen_us: u64,
    peak_kib: u64,
    calls: u64,
    journal_bytes: u64,
    /// Virtual seconds until the last device was done, the tenant synced, and
    /// the run ended.
    done_s: f64,
    synced_s: Option<f64>,
    ended_s: f64,
}

impl Measured {
    fn cpu_us(&self) -> u64 {
        self.load_us + self.plan_us + self.carry_out_us
    }

    /// Of several runs, the one of the median CPU.
    pub fn median(mut runs: Vec<Self>) -> Self {
        runs.sort_by_key(Self::cpu_us);
        runs.swap_remove(runs.len() / 2)
    }
}

/// A case and what it took, for people. `all` has what was measured so far.
pub fn report(case: &Case, all: &[(&Case, Measured)]) -> String {
    let (_, measured) = all.last().expect("it was measured");
    let of = |measured: &Measured, devices: usize| measured.cpu_us() as f64 / devices as f64;
    let each_us = of(measured, case.devices);
    let is_base = |(base, _): &&(&Case, Measured)| {
        (base.devices, base.work, base.way, base.profile) == (1_000, case.work, case.way, case.profile)
    };
    let growth = all.iter().find(is_base).filter(|_| case.devices > 1_000).map(|(base, before)| {
        let growth = each_us / of(before, base.devices);
        format!(", {growth:.2} times that of 1,000   goal {GROWTH_MAX} {}", verdict(growth <= GROWTH_MAX))
    });
    let us = |us: u64| Duration::from_micros(us);
    let way = if case.way == Way::Port { "over HTTP, the client's own" } else { "in process, tenant and its file too" };
    format!(
        "{}: {} devices, profile {}\n\
         \x20 CPU      {:.2?}   ({way}; manifests {:.2?}, plan {:.2?}, carrying out {:.2?}); {each_us:.0} us a device{}\n\
         \x20 peak     {} MiB; journal {} bytes a device, opened again in {:.2?}\n\
         \x20 calls    {}\n{}",
        case.name,
        case.devices,
        case.profile,
        us(measured.cpu_us()),
        us(measured.load_us),
        us(measured.plan_us),
        us(measured.carry_out_us),
        growth.unwrap_or_default(),
        measured.peak_kib / 1024,
        measured.journal_bytes / case.devices as u64,
        us(measured.reopen_us),
        measured.calls,
        times(case, measured),
    )
}

fn times(case: &Case, measured: &Measured) -> String {
    let Measured { done_s, synced_s, ended_s, .. } = measured;
    match case.work {
        Work::Register => {
            let floor_s = floor::registered_s(&settings(case.profile), case.devices);
            let synced_s = synced_s.expect("new devices need a sync");
            let (share, done) = (synced_s / floor_s, done_s / floor_s);
            format!(
                "\x20 time     registered {done_s:.0} s ({done:.2} times the floor), synced {synced_s:.0} s, {share:.2} times the floor of {floor_s:.0} s   \
                 goal {TIME_MAX} {}; cleaned {ended_s:.0} s\n",
                verdict(share <= TIME_MAX)
            )
        }
        Work::Retag => {
            let floor_s = floor::updated_s(case.devices);
            format!("\x20 time     done {done_s:.0} s, {:.2} times the floor of {floor_s:.0} s\n", done_s / floor_s)
        }
    }
}

fn settings(profile: &str) -> Settings {
    Settings::named(profile).expect("a profile of the tenant")
}

/// Runs a case in this process.
pub fn run(case: &Case) -> Measured {
    let begun_with = if case.work == Work::Retag { case.devices } else { 0 };
    let folder = match case.work {
        Work::Register => fleet_folder(case.devices),
        Work::Retag => work_folder().join(format!("retag-{}", case.devices)),
    };
    match case.work {
        Work::Register => fleets::write_new(&folder, case.devices),
        Work::Retag => fleets::write_retag(&folder, case.devices),
    }
    let state = work_folder().join(format!("state-{}", case.name));
    let _ = std::fs::remove_dir_all(&state);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let measured = runtime.block_on(async {
        match case.way {
            Way::Port => {
                let tenant = Served::start(begun_with, case.profile);
                let transport: SharedTransport = Arc::new(Http::new(&[]));
                let clock = Remote::connect(transport.clone(), &tenant.url).await.expect("the tenant has a clock");
                apply(case, &folder, &state, &tenant.url, transport, Arc::new(clock)).await
            }
            Way::Process => {
                let tenant = Tenant::new(settings(case.profile), 1, sim::EPOCH);
                let transport = InProcess::new(tenant, clock::Virtual::starting_at(sim::EPOCH));
                let clock = Arc::new(transport.clock());
                let transport = Arc::new(transport.saving_to(state.join("tenant.json")));
                apply(case, &folder, &state, "http://127.0.0.1:9", transport, clock).await
            }
        }
    });
    let _ = std::fs::remove_dir_all(&state);
    measured
}

/// Where the fleets of new devices are kept between cases: half a gigabyte.
pub fn fleet_folder(devices: usize) -> PathBuf {
    work_folder().join(format!("new-{devices}"))
}

/// Removes them.
pub fn remove_fleets() {
    for case in &CASES {
        let _ = std::fs::remove_dir_all(fleet_folder(case.devices));
    }
}

async fn apply(
    case: &Case,
    folder: &Path,
    state: &Path,
    url: &str,
    transport: SharedTransport,
    clock: SharedClock,
) -> Measured {
    let begun = clock.now();
    let start = ProcessTime::now();
    let mut loaded = manifest::load(&[folder.to_owned()]);
    assert!(!loaded.has_errors(), "{:?}", loaded.problems.first());
    let fleet = loaded.fleets.pop().expect("one tenant");
    let load = start.elapsed();
    let graph = graph(url, transport, clock.clone());
    let hashes = Hashes::new(fleet.root);
    let all = Some(u32::try_from(case.devices).expect("a number of devices"));
    let approvals = match case.work {
        Work::Register => Approvals::default(),
        Work::Retag => Approvals { updates: all, adopts: all, ..Approvals::default() },
    };
    let round = Round {
        desired: &fleet.desired,
        target: &Target::Simulated,
        graph: &graph,
        clock: clock.as_ref(),
        hashes: &hashes,
        approvals: &approvals,
        ledger: None,
        broke_off: None,
        loosens: &[],
        no_removal: None,
        settle: true,
        stop: &Stop::never(),
    };
    let store = FileJournal::open(state).expect("a journal file");
    let mut journal = Journal::open(Box::new(store), clock.now()).await.expect("an empty journal");
    let prepared = round.prepare(&mut journal).await.expect("a plan");
    let planned = start.elapsed();
    assert_eq!(prepared.cleared.plan().changes.len(), case.devices, "{:?}", prepared.cleared.plan().held.first());
    let writer = GraphWriter::new(graph.clone());
    let report = round.carry_out(prepared, Consent::Unseen, &writer, &mut journal, &mut |_| {}).await;
    let ended = start.elapsed();
    let peak_kib = peak_kib();
    drop(journal);
    let again = ProcessTime::now();
    let store = FileJournal::read_only(state);
    drop(Journal::open(Box::new(store), clock.now()).await.expect("a journal of ours"));
    let reopen = again.elapsed();
    let journal_bytes = std::fs::metadata(state.join("journal.jsonl")).expect("a journal").len();
    let us = |span: Duration| u64::try_from(span.as_micros()).expect("less than centuries");
    let since = |at: Timestamp| at.duration_since(begun).as_secs_f64();
    let (done, synced) = ends(&report);
    Measured {
        load_us: us(load),
        plan_us: us(planned - load),
        carry_out_us: us(ended - planned),
        reopen_us: us(reopen),
        peak_kib,
        calls: report.calls,
        journal_bytes,
        done_s: since(done),
        synced_s: synced.map(since),
        ended_s: since(report.ended),
    }
}

/// When the last device was done, and the sync began. Anything else is no
/// benchmark.
fn ends(report: &Report) -> (Timestamp, Option<Timestamp>) {
    assert!(report.halt.is_none(), "{:?}", report.halt);
    let done = |outcome: &Outcome| match outcome {
        Outcome::Done { at, .. } => *at,
        other => panic!("a device is not done: {other:?}"),
    };
    let last = report.outcomes.of.iter().map(|(_, outcome)| done(outcome)).max().expect("there are devices");
    let synced = match &report.outcomes.sync {
        SyncOutcome::Done { at } => Some(*at),
        SyncOutcome::NotNeeded | SyncOutcome::Skipped { .. } => None,
    };
    (last, synced)
}

fn graph(url: &str, transport: SharedTransport, clock: SharedClock) -> Graph {
    let endpoints = Endpoints::custom(url, url, &[]).expect("loopback");
    let auth = Auth::ClientSecret {
        client_id: "aaaaaaaa-0000-4000-8000-000000000001".to_owned(),
        secret: SecretString::from(sim::CLIENT_SECRET.to_owned()),
    };
    let tenant = "11111111-2222-3333-4444-555555555555".parse().expect("a GUID");
    let login = Login::new(auth, tenant, endpoints.clone(), transport.clone(), clock.clone());
    Graph::new(transport, clock, endpoints, Arc::new(login), 1)
}

/// A tenant on a loopback port, in a process of its own. It ends with its
/// input, and so with this process, however that ends.
struct Served {
    url: String,
    child: Child,
    input: Option<ChildStdin>,
}

impl Served {
    fn start(devices: usize, profile: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.env(super::CASE, TENANT).env(DEVICES, devices.to_string()).env(PROFILE, profile);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("this program runs again");
        let mut url = String::new();
        let output = child.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut url).expect("the tenant says where it is");
        let input = child.stdin.take();
        Self { url: url.trim().to_owned(), child, input }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// Serves a tenant on a loopback port until the input ends.
pub fn serve() {
    let variable = |name| std::env::var(name).expect("whoever starts a tenant says what it begins with");
    let mut tenant = Tenant::new(settings(&variable(PROFILE)), 1, sim::EPOCH);
    tenant.add_devices(variable(DEVICES).parse().expect("a number of devices"));
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let address = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind(address, tenant, Speed::Instant).await.expect("a free port");
        println!("{}", server.url());
        let input = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let end = async { drop(tokio::task::spawn_blocking(input).await) };
        server.run(end).await.expect("no state to save");
    });
}
