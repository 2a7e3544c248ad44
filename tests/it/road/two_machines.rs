//! Two machines with the same declarations and no shared journal, one after
//! the other and both at once: nothing twice, and one sync.

use std::sync::{Arc, Mutex};

use apgit::door::clock::Stop;
use apgit::door::model::Claim;
use apgit::door::round::{Consent, Report};
use apgit::door::sim::{InProcess, Settings, WriteKind};
use apgit::door::transport::{Request, Response, Transport, TransportError};
use async_trait::async_trait;
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use super::scene::{Between, Deed, Scene, claim, hash, outcomes};
use super::world::assert_nothing_twice;

const SEEDS: u64 = 100;

/// A network on which others are faster now and then.
struct Uneven(InProcess, Mutex<Rng>);

impl Uneven {
    async fn let_others(&self) {
        let times = self.1.lock().unwrap().usize(0..4);
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Transport for Uneven {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        self.let_others().await;
        let answer = self.0.send(request).await;
        self.let_others().await;
        answer
    }
}

fn claims() -> Vec<Claim> {
    let name = |number| format!("displayName=OSL-{number:04}");
    let mut claims: Vec<Claim> = (1..=6).map(|n| claim(n, &["groupTag=OSL-STD", &name(n)])).collect();
    claims.push(claim(7, &["groupTag=OSL-STD"]));
    claims
}

/// Two scenes of one tenant.
fn machines(seed: u64) -> [Scene; 2] {
    let settings = if seed.is_multiple_of(4) { Settings::busy() } else { Settings::calm() };
    let first = Scene::new(settings, seed, claims());
    first.sim.with(|tenant| tenant.add_device_of_hash(&hash(7).to_base64(), "OLD").unwrap());
    let second = Scene::at(first.sim.clone(), seed + 1000, claims());
    [first, second]
}

async fn apply(scene: &Scene, seed: u64) -> Report {
    let transport = Uneven(scene.sim.clone(), Mutex::new(Rng::with_seed(seed)));
    let clock = Arc::new(scene.sim.clock());
    let mut client = scene.client_over(Arc::new(transport), clock, Box::new(scene.kept.clone()), Stop::never()).await;
    let prepared = client.prepare().await.expect("the tenant can be read");
    client.carry_out(prepared, Consent::Unseen).await
}

fn assert_once(scene: &Scene, about: &str) {
    scene.sim.with(|tenant| {
        assert_nothing_twice(tenant);
        assert_eq!(tenant.registrations().len(), 7, "{about}");
        let gap = tenant.counters().least_sync_gap();
        assert!(gap.is_none_or(|gap| gap >= SignedDuration::from_secs(610)), "{about}: {gap:?}");
        let deleted = tenant.witnessed().any(|write| matches!(write.kind, WriteKind::Delete | WriteKind::Other(_)));
        assert!(!deleted, "{about}");
    });
}

fn assert_as_declared(scene: &Scene, about: &str) {
    for number in 1..=7 {
        let seen = scene.registration(number);
        let name = if number == 7 { String::new() } else { format!("OSL-{number:04}") };
        assert_eq!((seen.group_tag, seen.display_name), ("OSL-STD".to_owned(), name), "{about}, {number}");
    }
}

/// One sync, and it came after everything was registered.
fn assert_one_sync_for_all(tenant: &Scene, about: &str) {
    tenant.sim.with(|tenant| {
        let registered = tenant.witnessed().filter(|write| write.kind == WriteKind::Register).map(|write| write.at);
        let last = registered.max().expect("registrations");
        match tenant.counters().syncs_accepted[..] {
            [sync] => assert!(last <= sync, "{about}: {sync} is none for {last}"),
            ref syncs => panic!("{about}: {syncs:?}, registered {last}"),
        }
    });
}

#[tokio::test]
async fn a_sync_from_before_anothers_import_was_complete_is_none_for_it() {
    let mut settings = Settings::calm();
    settings.set("import.delay=40s").unwrap();
    let first = Scene::new(settings, 1, vec![claim(1, &[])]);
    let second = Scene::at(first.sim.clone(), 2, vec![claim(1, &[])]);
    let sim = first.sim.clone();
    let is_posted = move || sim.with(|tenant| tenant.import_records().len()) == 1;
    first.dies_before(move |request| request.uri().path().contains("/imported") && is_posted()).await;
    let sim = first.sim.clone();
    let between = Between::new(&first.sim, move |_| {
        sim.with(|tenant| {
            // Between a look at which it is open, and its end.
            let is_late = |at: Timestamp| tenant.now() >= at + SignedDuration::from_secs(20);
            if tenant.import_records().iter().any(|record| record.status != "complete" && is_late(record.posted_at)) {
                let _ = tenant.sync_as_portal();
            }
        });
        Deed::Pass
    });
    let mut client = second.client_through(between).await;
    let prepared = client.prepare().await.unwrap();
    let report = client.carry_out(prepared, Consent::Unseen).await;
    assert_eq!(outcomes(&report), ["TEST-000001 done"]);
    let registered = first.sim.with(|tenant| {
        tenant.witnessed().find(|write| write.kind == WriteKind::Register).map(|write| write.at).unwrap()
    });
    let syncs = first.sim.with(|tenant| tenant.counters().syncs_accepted.clone());
    assert!(syncs.iter().any(|at| *at >= registered), "{syncs:?}, registered {registered}");
    assert!(syncs.iter().any(|at| *at < registered), "somebody's came too early: {syncs:?}");
}

#[tokio::test]
async fn one_after_the_other_they_do_everything_once() {
    for seed in 1..=SEEDS {
        let about = format!("seed {seed}");
        let [first, second] = machines(seed);
        let _ = apply(&first, seed).await;
        assert_eq!(first.syncs(), 1, "{about}");
        let _ = apply(&second, seed + 1).await;
        assert_eq!(first.syncs(), 1, "{about}: nothing was left to register");
        assert_once(&first, &about);
        assert_as_declared(&first, &about);
    }
}

#[tokio::test]
async fn both_at_once_they_register_everything_once() {
    for seed in 1..=SEEDS {
        let about = format!("seed {seed}");
        let [first, second] = machines(seed);
        let (one, other) = tokio::join!(apply(&first, seed * 2), apply(&second, seed * 2 + 1));
        assert!(one.halt.is_none() && other.halt.is_none(), "{about}");
        assert_once(&first, &about);
        assert_one_sync_for_all(&first, &about);
        let _ = apply(&first, seed + 1).await;
        let _ = apply(&second, seed + 2).await;
        assert_once(&first, &about);
        assert_as_declared(&first, &about);
    }
}
