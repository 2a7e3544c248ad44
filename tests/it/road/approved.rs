//! The promise of the whole road, on random portals: every write that the
//! tenant saw is an effect of a plan that was approved, whose precondition held
//! within a minute of the write; and no class exceeds its limit in a run.
//!
//! Before, between and during the runs others change, enrol, delete, register
//! and import; the service loses answers, refuses and fails; processes die, and
//! their journals are lost. 300 seeds, ten thousand in `make soak`.

mod hands;
mod judge;
mod meddling;
mod saved;

use std::sync::Arc;

use apgit::door::clock::Stop;
use apgit::door::model::{Policy, Scope};
use apgit::door::plan::{Approvals, Plan, SyncReason, Upkeep, Waiting};
use apgit::door::round::{Consent, Prepared};
use apgit::door::sim::{Settings, Switch};
use fastrand::Rng;
use jiff::SignedDuration;

use super::scene::{Client, Scene, hash, outcomes, serial};
use super::world::read_aloud;
use hands::{Portal, declare};
use judge::{Judge, Tally};
use meddling::{Meddling, Mortal, Wire};

/// So many runs are meddled with, before it gets quiet.
const RUNS: usize = 3;

/// Runs after which everything that can be done is done, once it is quiet.
const QUIET_RUNS: usize = 5;

/// The seeds to play: `APPROVED_SEEDS=10000`, or `APPROVED_SEEDS=17..18`.
fn seeds() -> std::ops::Range<u64> {
    let text = std::env::var("APPROVED_SEEDS").unwrap_or_else(|_| "300".to_owned());
    let number = |text: &str| text.parse().expect("APPROVED_SEEDS is a number, or two with `..` between");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}

/// Says which seed it was, whatever went wrong.
struct Played(u64);

impl Drop for Played {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {0}; again with APPROVED_SEEDS={0}..{1}", self.0, self.0 + 1);
        }
    }
}

fn settings(rng: &mut Rng) -> Settings {
    let mut settings = match rng.u8(0..4) {
        0 => return Settings::calm(),
        1 => Settings::busy(),
        _ => Settings::calm(),
    };
    let faults: Vec<Switch> = Switch::faults().filter(|fault| *fault != Switch::Autosync).collect();
    for _ in 0..rng.usize(1..6) {
        settings = settings.switched(faults[rng.usize(0..faults.len())]);
    }
    if rng.bool() {
        (settings.faults.lost_answer, settings.faults.server_error) = (0.03, 0.03);
        (settings.update.lost_share, settings.update.conflict_share) = (0.1, 0.05);
        settings.import.storage_error_share = 0.05;
    }
    if rng.u8(0..4) == 0 {
        settings.throttle.on = true;
        settings.throttle.app_writes = rng.usize(4..30);
    }
    settings
}

/// What the tenant's manifest allows in the next run.
fn allow(scene: &mut Scene, rng: &mut Rng) {
    let tenant = &mut scene.tenant;
    tenant.policy = match rng.u8(0..12) {
        0 => Policy::Observe,
        1 => Policy::CreateOnly,
        2 => Policy::UpsertOnly,
        _ => Policy::Sync,
    };
    tenant.suspend = rng.u8(0..20) == 0;
    tenant.sync_when_needed = rng.u8(0..8) > 0;
    let scope: &[&str] = if rng.u8(0..3) == 0 { &["OSL-*", ""] } else { &[] };
    tenant.scope = Scope::new(scope.iter().map(|tag| (*tag).to_owned()).collect()).unwrap();
    let limits = &mut tenant.limits;
    (limits.max_update_percent, limits.max_delete_percent) = (100, 100);
    limits.max_updates = rng.u32(0..12);
    limits.max_retags = rng.u32(0..6);
    limits.max_deletes = rng.u32(0..8);
    scene.approvals = Approvals::default();
}

/// A person looks at what is over its limit, and approves the number.
fn approve(scene: &mut Scene, prepared: &Prepared, rng: &mut Rng) {
    let count = |at: usize| u32::try_from(prepared.cleared.limits()[at].count).unwrap();
    let mut maybe = |at: usize| (rng.u8(0..3) > 0).then(|| count(at));
    scene.approvals =
        Approvals { updates: maybe(0), retags: maybe(1), clears: maybe(2), adopts: maybe(3), ..Approvals::default() };
}

struct Story {
    scene: Scene,
    rng: Rng,
    portal: Portal,
    judge: Judge,
    wire: Wire,
    about: String,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let fleet = rng.u64(6..18);
        let mut scene = Scene::new(settings(&mut rng), seed, Vec::new());
        for number in 1..=fleet {
            scene.hashes.put(&serial(number), hash(number));
        }
        let mut portal = Portal::new(fleet);
        scene.sim.with(|tenant| portal.furnish(tenant, &mut rng));
        scene.claims = declare(&portal, &mut rng);
        Self { scene, rng, portal, judge: Judge::default(), wire: Wire::default(), about: format!("seed {seed}") }
    }

    /// One run with everything that may come in between; it is judged whether
    /// it came to its end or not.
    async fn run(&mut self, number: usize) {
        let about = format!("{}, run {number}", self.about);
        allow(&mut self.scene, &mut self.rng);
        if self.rng.u8(0..3) == 0 {
            self.scene.claims = declare(&self.portal, &mut self.rng);
        }
        self.hands(0..4);
        if self.rng.bool() {
            let seen = self.try_prepare(&about).await;
            if let Some(prepared) = seen {
                approve(&mut self.scene, &prepared, &mut self.rng);
            }
        }
        let Some(prepared) = self.try_prepare(&about).await else { return };
        let consent = if self.rng.bool() { Consent::Seen } else { Consent::Unseen };
        let prepared = self.wait_for_consent(prepared);
        let swapped = self.swap_a_hash();
        self.judge.approved(&self.scene, &prepared);
        let meddling = self.meddle();
        {
            let mut client = client(&self.scene, &meddling).await;
            tokio::select! {
                report = client.carry_out(prepared.clone(), consent) => self.judge.ended(&report),
                () = meddling.death() => {}
            }
        }
        self.judge.judge(&self.scene, &self.wire, Some(&prepared), &about);
        if let Some(number) = swapped {
            self.scene.hashes.put(&serial(number), hash(number));
        }
        if self.rng.u8(0..6) == 0 {
            self.scene.lose_journal();
            self.judge.journal_lost = true;
        }
        self.scene.pass(SignedDuration::from_secs(self.rng.i64(0..7200)));
    }

    /// A plan, if the tenant could be read; nothing is written for it.
    async fn try_prepare(&mut self, about: &str) -> Option<Prepared> {
        let meddling = self.meddle();
        let prepared = {
            let mut client = client(&self.scene, &meddling).await;
            tokio::select! {
                prepared = client.prepare() => prepared.ok(),
                () = meddling.death() => None,
            }
        };
        self.judge.judge(&self.scene, &self.wire, None, &format!("{about}, planning"));
        prepared
    }

    /// Time passes, others do things, and the plan may have been written down.
    fn wait_for_consent(&mut self, prepared: Prepared) -> Prepared {
        let longest = [1, 1, 50, 600, 7200][self.rng.usize(0..5)];
        self.scene.pass(SignedDuration::from_secs(self.rng.i64(0..longest)));
        self.hands(0..5);
        if self.rng.u8(0..4) > 0 {
            return prepared;
        }
        let text = serde_json::to_string(&prepared).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn swap_a_hash(&mut self) -> Option<u64> {
        let number = (self.rng.u8(0..6) == 0).then(|| self.rng.u64(1..=self.portal.fleet))?;
        self.scene.hashes.put(&serial(number), hash(number + 500));
        Some(number)
    }

    fn hands(&mut self, times: std::ops::Range<usize>) {
        for _ in 0..self.rng.usize(times) {
            let Self { scene, portal, rng, .. } = self;
            scene.sim.with(|tenant| portal.deed(tenant, rng));
        }
    }

    fn meddle(&mut self) -> Meddling {
        let share = [0.0, 0.02, 0.1][self.rng.usize(0..3)];
        let dies_at = (self.rng.u8(0..3) == 0).then(|| (self.rng.usize(0..90), self.rng.u8(0..3)));
        let meddling = Meddling::new(&self.scene.sim, &self.wire, self.portal.clone(), self.rng.fork());
        meddling.often(share).dying_at(dies_at)
    }

    /// Nobody meddles any more: what can be done is done within a few days,
    /// and then nothing is written.
    async fn quiet(&mut self) {
        self.scene.sim.with(|tenant| {
            tenant.set_settings(Settings::calm());
            (1..=self.portal.fleet).for_each(|number| tenant.release_foreign(&hash(number).to_base64()).unwrap());
        });
        self.scene.tenant.policy = Policy::Sync;
        self.scene.tenant.suspend = false;
        for number in 1.. {
            self.scene.approvals = Approvals::default();
            let about = format!("{}, quiet run {number}", self.about);
            let meddling = Meddling::none(&self.scene.sim, &self.wire);
            let mut client = client(&self.scene, &meddling).await;
            let prepared = client.prepare().await.expect("a calm tenant can be read");
            self.judge.approved(&self.scene, &prepared);
            let is_quiet = is_quiet(prepared.cleared.plan());
            let report = client.carry_out(prepared.clone(), Consent::Unseen).await;
            drop(client);
            self.judge.judge(&self.scene, &self.wire, Some(&prepared), &about);
            if is_quiet {
                return;
            }
            let plan = || read_aloud(prepared.cleared.plan());
            assert!(number < QUIET_RUNS, "{about}: still to do: {:?}, {:?}", plan(), outcomes(&report));
            self.scene.pass(SignedDuration::from_hours(25));
        }
    }
}

/// Nothing is left to do, but to ask for what vendors have registered.
fn is_quiet(plan: &Plan) -> bool {
    let Upkeep { sync, clean_up } = &plan.upkeep;
    let waits = plan.awaiting.iter().any(|awaiting| awaiting.what != Waiting::Vendor);
    plan.is_empty() && clean_up.is_empty() && !waits && matches!(sync, None | Some(SyncReason::Vendor))
}

async fn client<'s>(scene: &'s Scene, meddling: &Meddling) -> Client<'s> {
    let store = Mortal::new(scene.kept.clone(), meddling.clone());
    scene.client_over(Arc::new(meddling.clone()), Arc::new(scene.sim.clock()), Box::new(store), Stop::never()).await
}

async fn play(seed: u64) -> Tally {
    let _played = Played(seed);
    let mut story = Story::new(seed);
    for number in 1..=RUNS {
        story.run(number).await;
    }
    story.quiet().await;
    story.judge.close(&story.scene, &story.about);
    story.judge.tally
}

/// Plays every second seed.
fn play_half(seeds: std::ops::Range<u64>, half: u64) -> Tally {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut tally = Tally::default();
    seeds.filter(|seed| seed % 2 == half).for_each(|seed| tally.add(runtime.block_on(play(seed))));
    tally
}

#[test]
fn every_write_was_approved_and_held_within_a_minute() {
    let seeds = seeds();
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| (scope, seeds.clone(), half));
        let halves = halves.map(|(scope, seeds, half)| scope.spawn(move || play_half(seeds, half)));
        halves.into_iter().for_each(|half| all.add(half.join().expect("every seed holds")));
    });
    println!("{all:?}");
    let Tally { rows, updates, tails, retags, syncs, cleaned, moved } = all;
    if seeds.end - seeds.start >= 300 {
        let least = [rows, updates, tails, retags, syncs, cleaned, moved].into_iter().min();
        assert!(least >= Some(50), "too little was written to say anything: {all:?}");
    }
}
