//! A thousand new devices on a busy tenant, over HTTP on loopback: what it
//! may cost is counted by the tenant.

use std::sync::Arc;

use apgit::door::apply::{Event, Outcome, SyncOutcome};
use apgit::door::clock::{Remote, SharedClock};
use apgit::door::graph::Http;
use apgit::door::round::Report;
use apgit::door::sim::{LogEntry, Settings, Switch};

use super::world::{Declared, Repository, Served, World, assert_nothing_twice, graph};

const DEVICES: u64 = 1000;

/// The most entries that the tenant's log keeps.
const LOG_MAX: usize = 20_000;

/// Every tenth device has a user, which its import carries; every twentieth
/// also a name or a greeting, which an import cannot carry.
fn fleet() -> Vec<Declared> {
    let device = |number: u64| {
        let device = Declared::new(number).with("groupTag", "OSL-STD");
        match number % 20 {
            0 => device
                .with("userPrincipalName", "anna.keller@contoso.com")
                .with("addressableUserName", "Anna")
                .with("displayName", &format!("OSL-{number:04}")),
            7 => device.with("displayName", &format!("OSL-{number:04}")),
            10 => device.with("userPrincipalName", "anna.keller@contoso.com"),
            _ => device,
        }
    };
    (1..=DEVICES).map(device).collect()
}

/// One run of the client that a command would make: its own connections, its
/// own token, its own budget.
struct Run {
    report: Report,
    /// Rounds after the first that posted rows again.
    waves: u64,
}

async fn apply(repository: &Repository, tenant: &Served, seed: u64) -> Run {
    let transport = Arc::new(Http::new(&[]));
    let clock = Remote::connect(transport.clone(), &tenant.url).await.expect("the tenant has a clock");
    let clock: SharedClock = Arc::new(clock);
    let graph = graph(&tenant.url, transport, clock.clone(), seed);
    let (mut round, mut last_wave) = (0, 1);
    let mut waves = 0;
    let mut count = |event: Event| match event {
        Event::Round { number, .. } => round = number,
        Event::Posted { .. } if round > last_wave => {
            last_wave = round;
            waves += 1;
        }
        _ => {}
    };
    let report = repository.try_apply(&graph, clock, repository.store(), &mut count).await;
    Run { report: report.expect("a busy tenant can be read"), waves }
}

fn log(tenant: &Served) -> Vec<LogEntry> {
    let log = tenant.tenant.with(|tenant| tenant.request_log());
    assert!(log.len() < LOG_MAX, "the log has lost its beginning");
    log
}

/// Returns how many waves of retryable errors there were.
async fn registers_a_thousand(settings: Settings, seed: u64) -> u64 {
    println!("seed {seed}");
    let tenant = Served::start(settings, seed);
    let repository = Repository::new(Some(&tenant.url), &fleet());

    let first = apply(&repository, &tenant, seed).await;
    let of = &first.report.outcomes.of;
    assert_eq!(of.len(), 1000);
    let undone: Vec<_> = of.iter().filter(|(_, outcome)| !matches!(outcome, Outcome::Done { .. })).collect();
    assert!(undone.is_empty() && first.report.halt.is_none(), "seed {seed}: {undone:#?} {:?}", first.report.halt);
    assert!(matches!(first.report.outcomes.sync, SyncOutcome::Done { .. }), "seed {seed}");
    tenant.tenant.with(|tenant| {
        assert_nothing_twice(tenant);
        let counters = tenant.counters();
        assert_eq!(counters.registered.len(), 1000, "seed {seed}");
        assert!(counters.posted_while_running.is_empty(), "seed {seed}");
        assert_eq!(tenant.registrations().len(), 1000, "seed {seed}");
        let named = tenant.registrations_of("TEST-000740");
        assert_eq!([&*named[0].display_name, &*named[0].addressable_user_name], ["OSL-0740", "Anna"], "seed {seed}");
        assert_eq!(tenant.import_records(), [], "own import records are gone, seed {seed}");
        // The gate's 25 rows, and the other 975 in calls of 500.
        let most = 1 + 975_u64.div_ceil(500) + counters.import_posts_refused + first.waves;
        assert!(counters.import_posts <= most, "{} import posts, seed {seed}", counters.import_posts);
        assert!(!counters.syncs_accepted.is_empty(), "seed {seed}");
    });

    let before = log(&tenant).len();
    let second = apply(&repository, &tenant, seed + 1000).await;
    assert_eq!(second.report.outcomes.of.len(), 0, "seed {seed}");
    let log = log(&tenant);
    let writes: Vec<_> = log[before..].iter().filter(|entry| entry.method != "GET").map(|e| &*e.route).collect();
    // An envelope of reads is posted too; its parts stand in the log as well.
    let tokens = writes.iter().filter(|route| **route != "$batch").count();
    assert_eq!(tokens, 1, "only a token request, seed {seed}: {writes:?}");
    assert!(writes.iter().all(|route| ["$batch", "token"].iter().any(|known| route.contains(known))), "{writes:?}");

    let plan = repository.apgit(&["plan", "fleet", "--detailed-exitcode"]).output().expect("apgit runs");
    let said = String::from_utf8_lossy(&plan.stdout);
    assert!(plan.status.success() && said.contains("No changes."), "seed {seed}: {said}");
    tenant.tenant.with(|tenant| {
        assert_nothing_twice(tenant);
        let most = tenant.counters().most_listings_per_minute();
        assert!(most <= 4, "{most} listings within a minute, seed {seed}");
    });
    first.waves
}

#[tokio::test]
async fn a_thousand_devices_on_a_busy_tenant_cost_what_was_promised() {
    for seed in [1, 2] {
        assert_eq!(registers_a_thousand(Settings::busy(), seed).await, 0, "seed {seed}");
    }
}

#[tokio::test]
async fn rows_that_fail_for_a_moment_cost_one_post_per_wave() {
    let waves = registers_a_thousand(Settings::busy().switched(Switch::StorageErrors), 3).await;
    assert!(waves > 0, "this seed has errors to try again");
}

#[tokio::test]
async fn the_rest_goes_out_when_the_whole_first_batch_is_readable_at_once() {
    let fleet: Vec<_> = (1..=501).map(Declared::new).collect();
    let world = World::new(Settings::calm(), 1, &fleet);
    let report = world.apply().await;
    assert_eq!(report.outcomes.tally().done, 501, "{:?}", report.outcomes.tally());
    assert_eq!(world.sim.with(|tenant| tenant.counters().import_posts), 2);
}
