//! What a commit to a ledger in a Git branch costs, against a bare repository on
//! this machine: how long it takes until the other side has it. And what a plan
//! costs more because there is a ledger.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apgit::door::clock::{self, Stop};
use apgit::door::git::{Found, Repository};
use apgit::door::graph::{Endpoints, Graph};
use apgit::door::ledger::{FileLedger, GitLedger, Journal, Ledger, LedgerStore as _, Memory, Tracked};
use apgit::door::manifest::{self, Hashes};
use apgit::door::model::{
    DeletionPolicy, Device, DeviceKey, Field, RegistrationId, SerialNumber, Target, TenantId, UserPrincipalName,
};
use apgit::door::plan::Approvals;
use apgit::door::round::Round;
use cpu_time::ProcessTime;
use uuid::Uuid;

use crate::listing::{NoLogin, Pages};
use crate::{fleets, verdict, work_folder};

pub const NAME: &str = "ledger-commit";

const DEVICES: u128 = 10_000;
const COMMITS: u128 = 20;

/// What a plan of an unchanged fleet may cost more because there is a ledger.
const MORE_MAX: Duration = Duration::from_millis(20);
pub const PLAN: &str = "plan-ledger-10000";

/// Plans an unchanged fleet without and with a ledger, in turns: reading the
/// ledger's file is part of that.
pub fn plans() -> String {
    const TURNS: usize = 15;
    let devices = usize::try_from(DEVICES).expect("a few");
    let folder = work_folder().join("plan-ledger");
    let _ = std::fs::remove_dir_all(&folder);
    fleets::write(&folder, devices, fleets::Form::Sets);
    let mut loaded = manifest::load(std::slice::from_ref(&folder));
    assert!(!loaded.has_errors(), "{:?}", loaded.problems.first());
    let fleet = loaded.fleets.pop().expect("one tenant");
    let tenant = &fleet.desired.tenant;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let pages = Arc::new(Pages::new(devices));
    let clock = clock::Virtual::starting_at(apgit::door::sim::EPOCH);
    let endpoints = Endpoints::custom("http://127.0.0.1:9", "http://127.0.0.1:9", &[]).expect("loopback");
    let graph = Graph::new(pages.clone(), Arc::new(clock.clone()), endpoints, Arc::new(NoLogin), 1);
    let hashes = Hashes::new(fleet.root.clone());

    let start = apgit::door::sim::EPOCH;
    let mut ledger = Ledger::new("simulated", tenant.id, &tenant.owner, Uuid::from_u128(2), start);
    let observed = runtime.block_on(graph.list_devices()).expect("a listing");
    observed.devices().iter().for_each(|device| ledger.track(applied(device)));
    let file = folder.join("ledger.json");
    runtime.block_on(FileLedger::at(&file).save(&ledger, "")).expect("it is saved");

    let plan = |with: bool| {
        let (began, produced) = (ProcessTime::now(), pages.spent());
        let ledger = with.then(|| {
            let ledger = runtime.block_on(FileLedger::at(&file).load()).expect("it is read").expect("it is there");
            Arc::new(ledger)
        });
        let round = Round {
            desired: &fleet.desired,
            target: &Target::Simulated,
            graph: &graph,
            clock: &clock,
            hashes: &hashes,
            approvals: &Approvals::default(),
            ledger: ledger.as_ref(),
            broke_off: None,
            no_removal: None,
            loosens: &[],
            settle: false,
            stop: &Stop::never(),
        };
        let journal = runtime.block_on(Journal::open(Box::new(Memory::default()), start));
        let prepared = runtime.block_on(round.prepare(&mut journal.expect("an empty journal"))).expect("a plan");
        let plan = prepared.cleared.plan();
        assert!(plan.is_empty() && plan.held.is_empty(), "nothing has changed: {:?}", plan.changes.first());
        assert_eq!((plan.counts.unchanged, plan.removal.undeclared), (devices, 0));
        began.elapsed().saturating_sub(pages.spent().saturating_sub(produced))
    };
    let mut spent: [Vec<Duration>; 2] = Default::default();
    for turn in 0..2 * TURNS {
        spent[turn % 2].push(plan(turn % 2 == 1));
    }
    let [without, with] = spent.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    let more = with.saturating_sub(without);
    format!(
        "plan, nothing changed, {devices} devices and a ledger of them ({} KiB), {TURNS} times each\n\
         \x20 own CPU  {without:.1?} without, {with:.1?} with it, {more:.1?} more   goal {MORE_MAX:?} {}\n",
        ledger.written().len() / 1024,
        verdict(more < MORE_MAX),
    )
}

/// As it is registered, it was applied.
fn applied(device: &Device) -> Tracked {
    let values = Field::ALL.into_iter().map(|field| (field, field.of(device).clone()));
    Tracked {
        serial_number: SerialNumber::parse(&device.serial).expect("a serial"),
        registration_id: device.id,
        values: values.filter(|(_, value)| !value.is_empty()).collect(),
        ..tracked(0)
    }
}

/// Loads, and saves one changed device after the other.
pub fn commits() -> String {
    let folder = work_folder().join("ledger");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the bench");
    git(&folder, &["init", "-q", "--bare", "shared.git"]);
    let url = format!("file://{}", folder.join("shared.git").display());
    git(&folder, &["clone", "-q", &url, "here"]);
    let Ok(Found::Repository(here)) = Repository::find(&folder.join("here")) else { panic!("it was cloned") };
    let tenant = TenantId(Uuid::from_u128(1));
    let branch = GitLedger::branch(tenant, "corp-devices");
    let mut store = GitLedger::new(here, "origin", &branch);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let start = apgit::door::sim::EPOCH;
    let mut ledger = Ledger::new("Global", tenant, "corp-devices", Uuid::from_u128(2), start);
    (0..DEVICES).for_each(|number| ledger.track(tracked(number)));
    let mut save = |ledger: &Ledger| {
        let began = Instant::now();
        runtime.block_on(store.save(ledger, "a device")).expect("it is saved");
        began.elapsed()
    };
    let first = save(&ledger);
    let before = children_cpu();
    let mut saves: Vec<Duration> = (0..COMMITS)
        .map(|number| {
            let device = ledger.get_mut(&DeviceKey::of(serial(number * 37))).expect("a device of the ledger");
            device.values.insert(Field::DisplayName, format!("OSL-{number}").into());
            ledger.head.serial += 1;
            save(&ledger)
        })
        .collect();
    let cpu = (children_cpu() - before) / u32::try_from(COMMITS).expect("a few");
    let began = Instant::now();
    let read = runtime.block_on(store.load()).expect("it is loaded");
    let load = began.elapsed();
    assert_eq!(read.as_ref(), Some(&ledger));
    saves.sort();
    let (median, most) = (saves[saves.len() / 2], saves[saves.len() - 1]);
    let goal = Duration::from_millis(200);
    format!(
        "ledger in a Git branch, {DEVICES} devices ({} KiB), {COMMITS} commits pushed to a repository on this machine\n\
         \x20 median {median:.1?}, most {most:.1?}   goal {goal:?} {}   (Git's CPU {cpu:.0?} each, both sides; the first {first:.1?}; to load {load:.1?})\n",
        ledger.written().len() / 1024,
        verdict(median < goal),
    )
}

/// CPU time of all processes that have ended under this one, as Linux counts it,
/// in hundredths of a second.
fn children_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = behind_name.split_whitespace().skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

fn serial(number: u128) -> SerialNumber {
    SerialNumber::parse(&format!("BENCH-{number:06}")).expect("a serial")
}

fn tracked(number: u128) -> Tracked {
    let user = format!("user{number}@contoso.com");
    let user = UserPrincipalName::parse(&user).expect("a user");
    let print = |kind: u128| format!("{:016x}", number * 4 + kind).as_str().into();
    Tracked {
        serial_number: serial(number),
        declared_registration_id: None,
        registration_id: RegistrationId(Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes())),
        adopted: false,
        values: [(Field::GroupTag, "OSL-STD".into()), (Field::UserPrincipalName, user.as_str().into())].into(),
        declared: vec![Field::GroupTag, Field::UserPrincipalName],
        deletion_policy: DeletionPolicy::Delete,
        adopted_with: None,
        protect: false,
        suspend: false,
        hardware: [("ek".into(), print(0)), ("smbios".into(), print(1)), ("uuid".into(), print(2))].into(),
        file: "devices/oslo/laptops.yaml".to_owned(),
        commit: None,
        plan: "plan-000000000001".to_owned(),
        at: apgit::door::sim::EPOCH,
        corrected: Vec::new(),
        deleting: None,
        doubt: None,
    }
}

fn git(folder: &Path, words: &[&str]) {
    let output = Command::new("git").arg("-C").arg(folder).args(words).output().expect("git is here");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
