//! What planning and applying cost: own CPU time, peak memory, calls and time,
//! for fleets from ten devices to a million. Run with `make bench`; words after
//! `cargo bench --bench fleet --` choose cases: the one of that name, or those
//! whose name begins so.
//!
//! Each case runs in a process of its own, so that its peak memory is its own.
//! CPU time is read from the operating system's clocks of the process; where
//! the listing comes from within the process, the time that its production
//! takes is measured on its own thread and taken off.

#![allow(clippy::disallowed_methods, reason = "this is the outside")]
#![allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "nobody builds on what stands here")]

mod apply;
mod fleets;
mod floor;
mod ledger;
mod listing;
mod page;
mod simulator;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use apgit::door::clock::{self, Stop};
use apgit::door::graph::{Endpoints, Graph};
use apgit::door::ledger::{Journal, Memory};
use apgit::door::manifest::{self, Hashes};
use apgit::door::model::Target;
use apgit::door::plan::Approvals;
use apgit::door::round::Round;
use cpu_time::ProcessTime;

use listing::{NoLogin, Pages};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A fleet, and the goal for planning it when nothing has changed.
struct Case {
    name: &'static str,
    title: &'static str,
    devices: usize,
    form: fleets::Form,
    goal: Goal,
}

struct Goal {
    cpu: Duration,
    peak_mib: u64,
}

const CASES: [Case; 3] = [
    Case {
        name: "plan-100000",
        title: "100,000 devices in 200 sets of 500",
        devices: 100_000,
        form: fleets::Form::Sets,
        goal: Goal { cpu: Duration::from_secs(1), peak_mib: 200 },
    },
    Case {
        name: "plan-documents-100000",
        title: "100,000 devices as documents",
        devices: 100_000,
        form: fleets::Form::Documents,
        goal: Goal { cpu: Duration::from_secs(1), peak_mib: 200 },
    },
    Case {
        name: "plan-1000000",
        title: "1,000,000 devices in 2,000 sets of 500",
        devices: 1_000_000,
        form: fleets::Form::Sets,
        goal: Goal { cpu: Duration::from_secs(10), peak_mib: 1024 },
    },
];

fn main() -> ExitCode {
    // `cargo test` runs benches too, and wants to know that they can run.
    if std::env::args().any(|argument| argument == "--test") {
        return ExitCode::SUCCESS;
    }
    match std::env::var(CASE) {
        Ok(case) => run_one(&case),
        Err(_) => run_all(&std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect::<Vec<_>>()),
    }
    ExitCode::SUCCESS
}

/// The variable that names the case of a process.
const CASE: &str = "APGIT_BENCH_CASE";

/// Does what this process is there for.
fn run_one(name: &str) {
    if let Some(case) = CASES.iter().find(|case| case.name == name) {
        println!("{}", plan_unchanged(case));
    } else if let Some(case) = apply::CASES.iter().find(|case| case.name == name) {
        println!("{}", serde_json::to_string(&apply::run(case)).expect("numbers become JSON"));
    } else if name == ledger::PLAN {
        println!("{}", ledger::plans());
    } else if name == page::CASE {
        println!("{}", page::served());
    } else if name == apply::TENANT {
        apply::serve();
    } else {
        assert_eq!(name, simulator::CASE, "the name of a case");
        println!("{}", simulator::pages());
    }
}

/// Runs the cases that are meant by one of these words; all, if there is none.
fn run_all(words: &[String]) {
    let names: Vec<&str> =
        CASES.iter().map(|case| case.name).chain(apply::CASES.iter().map(|case| case.name)).collect();
    let means = |word: &str, name: &str| if names.contains(&word) { name == word } else { name.starts_with(word) };
    let is_wanted = |name: &str| words.is_empty() || words.iter().any(|word| means(word, name));
    println!("machine: {}", machine());
    println!("command: cargo bench --bench fleet\n");
    for name in CASES
        .iter()
        .map(|case| case.name)
        .chain([ledger::PLAN, simulator::CASE, page::CASE])
        .filter(|name| is_wanted(name))
    {
        println!("{}", again(name));
    }
    let mut applied = Vec::new();
    for case in apply::CASES.iter().filter(|case| is_wanted(case.name)) {
        let measured = |_| serde_json::from_str(&again(case.name)).expect("what a case has measured");
        applied.push((case, apply::Measured::median((0..case.runs).map(measured).collect())));
        println!("{}", apply::report(case, &applied));
    }
    if words.is_empty() {
        apply::remove_fleets();
    }
    if is_wanted(ledger::NAME) {
        println!("{}", ledger::commits());
    }
    if is_wanted("command-line") {
        command_line();
        binary_size();
    }
}

/// A goal, reached or not.
fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// Runs a case in a process of its own, and gives back what that says.
fn again(name: &str) -> String {
    let myself = std::env::current_exe().expect("this program has a path");
    let output = Command::new(myself).env(CASE, name).output().expect("this program runs again");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Where the time of one plan goes.
struct Cost {
    /// The YAML parser alone, over the same files: what no reader of these
    /// files can go below. Part of `manifests`.
    parser: Duration,
    manifests: Duration,
    listing: Duration,
    plan: Duration,
}

fn plan_unchanged(case: &Case) -> String {
    let folder = work_folder().join(format!("{}-{:?}", case.devices, case.form));
    fleets::write(&folder, case.devices, case.form);
    let start = ProcessTime::now();
    let mut loaded = manifest::load(std::slice::from_ref(&folder));
    assert!(!loaded.has_errors(), "{:?}", loaded.problems.first());
    let fleet = loaded.fleets.pop().expect("one tenant");
    let manifests = start.elapsed();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let pages = Arc::new(Pages::new(case.devices));
    let clock = clock::Virtual::starting_at(apgit::door::sim::EPOCH);
    let endpoints = Endpoints::custom("http://127.0.0.1:9", "http://127.0.0.1:9", &[]).expect("loopback");
    let graph = Graph::new(pages.clone(), Arc::new(clock.clone()), endpoints, Arc::new(NoLogin), 1);
    let hashes = Hashes::new(fleet.root);
    let round = Round {
        desired: &fleet.desired,
        target: &Target::Simulated,
        graph: &graph,
        clock: &clock,
        hashes: &hashes,
        approvals: &Approvals::default(),
        ledger: None,
        broke_off: None,
        loosens: &[],
        no_removal: None,
        settle: false,
        stop: &Stop::never(),
    };
    let journal = runtime.block_on(Journal::open(Box::new(Memory::default()), apgit::door::sim::EPOCH));
    let mut journal = journal.expect("an empty journal");
    let before = start.elapsed();
    let prepared = runtime.block_on(round.prepare(&mut journal)).expect("a plan");
    let end = start.elapsed();
    let plan = prepared.cleared.plan();
    assert!(plan.is_empty() && plan.held.is_empty(), "nothing has changed");
    assert_eq!(plan.counts.unchanged, case.devices);
    // The settings are asked for when the listing is complete.
    let listed = end - pages.since_settings();
    let listing = listed - before - pages.spent();
    report(case, &Cost { parser: parser_alone(&folder), manifests, listing, plan: end - listed }, graph.calls())
}

fn parser_alone(folder: &Path) -> Duration {
    let start = ProcessTime::now();
    let mut events = 0_usize;
    for entry in std::fs::read_dir(folder).expect("the fleet's folder").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(entry.path()).expect("a file of the fleet");
            events += granit_parser::Parser::new_from_str(&text).filter(Result::is_ok).count();
        }
    }
    assert!(events > 0, "there is YAML in the fleet");
    start.elapsed()
}

fn report(case: &Case, cost: &Cost, calls: u64) -> String {
    let total = cost.manifests + cost.listing + cost.plan;
    let peak_mib = peak_kib() / 1024;
    format!(
        "plan, nothing changed: {}\n\
         \x20 own CPU  {total:.2?}   goal {:.0?} {}   (manifests {:.2?}, of it the YAML parser {:.2?}; listing {:.2?}; plan {:.2?})\n\
         \x20 peak     {peak_mib} MiB   goal {} MiB {}\n\
         \x20 calls    {calls}   pages {} + settings 1\n",
        case.title,
        case.goal.cpu,
        verdict(total < case.goal.cpu),
        cost.manifests,
        cost.parser,
        cost.listing,
        cost.plan,
        case.goal.peak_mib,
        verdict(peak_mib < case.goal.peak_mib),
        case.devices.div_ceil(1000),
    )
}

/// `apgit plan --simulate examples/contoso`, from start to exit.
fn command_line() {
    let apgit = env!("CARGO_BIN_EXE_apgit");
    let state = work_folder().join("contoso-state");
    let _ = std::fs::remove_dir_all(&state);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/contoso");
    let run = |command: &str, more: &[&str]| {
        let mut apgit = Command::new(apgit);
        apgit.arg(command).arg(&example).args(["--simulate", "--state-dir"]).arg(&state).args(more);
        apgit.output().expect("the binary runs")
    };
    let applied = run("apply", &["--auto-approve"]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let start = std::time::Instant::now();
            assert!(run("plan", &[]).status.success());
            start.elapsed()
        })
        .collect();
    times.sort();
    let (least, median) = (times[0], times[times.len() / 2]);
    let goal = Duration::from_millis(50);
    let verdict = verdict(median < goal);
    println!(
        "apgit plan --simulate examples/contoso, start to exit, 20 runs\n\
         \x20 median {median:.1?}, least {least:.1?}   goal {goal:?} {verdict}\n"
    );
}

fn binary_size() {
    let bytes = std::fs::metadata(env!("CARGO_BIN_EXE_apgit")).expect("the binary").len();
    let mib = bytes as f64 / f64::from(1 << 20);
    let verdict = verdict(mib < 25.0);
    println!("binary\n  {mib:.1} MiB   goal 25 MiB {verdict}");
}

fn work_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench")
}

/// The most memory this process ever held, as Linux counts it.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", model.trim_start_matches([' ', '\t', ':']))
}
