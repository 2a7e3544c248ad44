//! The real binary, killed without warning: running again converges, and
//! nothing is registered twice, with the journal and with the journal lost.
//!
//! The crashes of `crash.rs` are exact and in process; these here are real: a
//! process that is gone in the middle of whatever it did, its locks, sockets
//! and half-written files left to the system.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use apgit::door::sim::Settings;

use crate::support::assert_announced;

use super::world::{Declared, Repository, Served, assert_nothing_twice};

/// Longer than any run here takes, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_secs(60);

/// Six devices, a name and a greeting that an import cannot carry, and a batch
/// that the tenant refuses as a whole.
fn fleet() -> Vec<Declared> {
    let user = "anna.keller@contoso.com";
    let mut fleet: Vec<_> = (1..=6).map(|number| Declared::new(number).with("groupTag", "OSL-STD")).collect();
    fleet[1] = fleet[1].clone().with("displayName", "LOBBY-01");
    fleet[4] = fleet[4].clone().with("userPrincipalName", user).with("addressableUserName", "Anna");
    fleet
}

fn settings() -> Settings {
    let mut settings = Settings::busy();
    settings.set("import.rows_max=4").expect("a setting of imports");
    settings
}

/// A tenant and those who apply to it.
struct Scene {
    tenant: Served,
    repository: Repository,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let tenant = Served::start(settings(), seed);
        let repository = Repository::new(Some(&tenant.url), &fleet());
        Self { tenant, repository }
    }

    fn apply(&self) -> Command {
        let mut command = self.repository.apgit(&["apply", "fleet", "--auto-approve"]);
        command.arg("--audit").arg(self.repository.audit_file());
        command
    }

    /// Requests that the tenant has counted so far.
    fn requests(&self) -> u64 {
        self.tenant.tenant.with(|tenant| tenant.counters().calls.values().sum())
    }

    /// Kills an apply once the tenant has seen so many requests, and a moment
    /// later. False if the apply was faster.
    fn kill(&self, requests: u64, moment: Duration) -> bool {
        let until = self.requests() + requests;
        let mut child = self.apply().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("apgit runs");
        let start = Instant::now();
        while self.requests() < until && is_running(&mut child) {
            assert!(start.elapsed() < PATIENCE, "the apply hangs after {} requests", self.requests());
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(moment);
        let was_running = is_running(&mut child);
        child.kill().expect("SIGKILL is never refused");
        let _ = child.wait().expect("it was ours");
        self.assert_announced("right after it was killed");
        was_running
    }

    /// With the journal, the second run also does what the first one owed: our
    /// import records are removed, and the tenant has synced since.
    fn assert_nothing_is_left_over(&self, context: &str) {
        self.tenant.tenant.with(|tenant| {
            assert_eq!(tenant.import_records(), [], "{context}");
            assert_eq!(tenant.counters().syncs_accepted.len(), 1, "{context}");
        });
    }

    fn assert_announced(&self, context: &str) {
        let log = self.repository.audit_file();
        if log.exists() {
            self.tenant.tenant.with(|tenant| assert_announced(tenant, &log, context));
        }
    }

    /// Applies to the end; then there is nothing left to do, and nothing was
    /// done twice.
    fn converges(&self, context: &str) {
        let again = self.apply().output().expect("apgit runs");
        assert!(again.status.success(), "{context}: {}", String::from_utf8_lossy(&again.stderr));
        let plan = self.repository.apgit(&["plan", "fleet", "--detailed-exitcode"]).output().expect("apgit runs");
        assert_eq!(plan.status.code(), Some(0), "{context}: {}", String::from_utf8_lossy(&plan.stdout));
        self.assert_announced(context);
        self.tenant.tenant.with(|tenant| {
            assert_nothing_twice(tenant);
            let counters = tenant.counters();
            assert_eq!(counters.registered.len(), 6, "{context}");
            let doubled = &counters.posted_while_running;
            assert!(doubled.is_empty(), "{context}: posted again while its record ran: {doubled:?}");
            let seen = |serial| tenant.registrations_of(serial);
            assert_eq!(tenant.registrations().len(), 6, "{context}");
            assert_eq!(seen("TEST-000002")[0].display_name, "LOBBY-01", "{context}");
            assert_eq!(seen("TEST-000005")[0].addressable_user_name, "Anna", "{context}");
        });
    }
}

fn is_running(child: &mut Child) -> bool {
    child.try_wait().expect("it is ours").is_none()
}

/// Ten kills spread over a whole run.
fn ten_kills(first_seed: u64, journal_lost: bool) {
    let whole = Scene::new(first_seed);
    assert!(whole.apply().output().expect("apgit runs").status.success());
    let requests = whole.requests();
    assert!(requests > 30, "only {requests} requests: too few to spread kills over");
    let mut hits = 0;
    for nth in 0..10 {
        let seed = first_seed + nth;
        let mut random = fastrand::Rng::with_seed(seed);
        let after = requests * (2 * nth + 1) / 20;
        let moment = Duration::from_micros(random.u64(0..3000));
        let context =
            format!("seed {seed}, killed {moment:?} after request {after} of {requests}, journal lost: {journal_lost}");
        let scene = Scene::new(seed);
        hits += usize::from(scene.kill(after, moment));
        if journal_lost {
            scene.repository.lose_journal();
        }
        scene.converges(&context);
        if !journal_lost {
            scene.assert_nothing_is_left_over(&context);
        }
    }
    println!("{hits} of 10 kills hit a running apply");
    assert!(hits >= 8, "only {hits} of 10 kills hit a running apply");
}

#[test]
fn ten_kills_with_the_journal_kept_converge() {
    ten_kills(100, false);
}

#[test]
fn ten_kills_with_the_journal_lost_converge() {
    ten_kills(200, true);
}

/// Six devices that are there, and one of them is declared no more.
fn one_too_many(seed: u64) -> Scene {
    let fleet: Vec<_> = fleet().into_iter().map(|device| device.with("deletionPolicy", "Delete")).collect();
    let tenant = Served::start(settings(), seed);
    let repository = Repository::new(Some(&tenant.url), &fleet);
    let scene = Scene { tenant, repository };
    assert!(scene.apply().output().expect("apgit runs").status.success(), "seed {seed}");
    scene.repository.declare(&fleet[..5]);
    scene
}

#[test]
fn a_removal_that_is_killed_was_announced_and_is_done_once() {
    let whole = one_too_many(300);
    let before = whole.requests();
    assert!(whole.apply().output().expect("apgit runs").status.success());
    let requests = whole.requests() - before;
    for nth in 0..6 {
        let context =
            format!("seed {}, killed after request {} of {requests}", 301 + nth, requests * (2 * nth + 1) / 12);
        let scene = one_too_many(301 + nth);
        let _ = scene.kill(requests * (2 * nth + 1) / 12, Duration::ZERO);
        let again = scene.apply().output().expect("apgit runs");
        assert!(again.status.success(), "{context}: {}", String::from_utf8_lossy(&again.stderr));
        scene.assert_announced(&context);
        scene.tenant.tenant.with(|tenant| {
            assert_eq!(tenant.registrations().len(), 5, "{context}");
            assert_eq!(tenant.counters().deletes_accepted, 1, "{context}");
        });
    }
}
