//! The same promise for plans that are saved: whatever the portal, the service
//! and the manifests do in between, what is written is part of the plan; what has
//! moved stops it or is left out; and nothing is done twice under one plan.
//!
//! 300 seeds; `APPROVED_SEEDS` as for the runs without a file.

use std::collections::{HashMap, HashSet};

use apgit::door::apply::Outcome;
use apgit::door::model::Action;
use apgit::door::plan::{Change, Reason};
use apgit::door::round::{Prepared, Report, Stale, TakenUp};
use apgit::door::sim::{Settings, Write, WriteKind};
use apgit::door::transport::Request;
use jiff::SignedDuration;
use uuid::Uuid;

use super::super::scene::{APP, Between, Deed, Scene, claim, outcomes};
use super::{Played, Story, Tally, allow, approve, client, declare, seeds};

/// So many plans are saved in a story, each applied up to three times.
const PLANS: usize = 3;

/// What became of the plans.
#[derive(Debug, Default, Clone, Copy)]
struct Ends {
    applied: usize,
    moved: usize,
    used: usize,
}

impl Story {
    /// A plan, as it comes out of its file.
    async fn save(&mut self, about: &str) -> Option<Prepared> {
        allow(&mut self.scene, &mut self.rng);
        if self.rng.u8(0..3) == 0 {
            self.scene.claims = declare(&self.portal, &mut self.rng);
        }
        self.hands(0..4);
        let seen = self.try_prepare(about).await?;
        approve(&mut self.scene, &seen, &mut self.rng);
        let saved = self.try_prepare(about).await?;
        serde_json::from_str(&serde_json::to_string(&saved).unwrap()).ok()
    }

    /// Somebody applies it, or tries to, some time later.
    async fn apply(&mut self, saved: &Prepared, ends: &mut Ends, about: &str) -> Option<Report> {
        let longest = [1, 60, 3600, 80_000][self.rng.usize(0..4)];
        self.scene.pass(SignedDuration::from_secs(self.rng.i64(0..longest)));
        self.hands(0..4);
        match self.rng.u8(0..8) {
            0 => self.scene.claims = declare(&self.portal, &mut self.rng),
            1 => _ = self.scene.claims.pop(),
            _ => {}
        }
        let stale = if self.rng.bool() { Stale::Skip } else { Stale::Abort };
        let meddling = self.meddle();
        let end = {
            let mut client = client(&self.scene, &meddling).await;
            tokio::select! {
                end = client.apply_saved(saved, stale) => Some(end),
                () = meddling.death() => None,
            }
        };
        // What was not taken up has written nothing.
        let bound = if matches!(end, Some(Err(_))) { None } else { Some(saved) };
        match &end {
            Some(Ok(report)) => {
                self.judge.ended(report);
                ends.applied += 1;
            }
            Some(Err(Some(TakenUp::Moved(moved)))) => {
                assert!(stale == Stale::Abort && !moved.is_empty(), "{about}");
                ends.moved += 1;
            }
            Some(Err(Some(_))) => ends.used += 1,
            Some(Err(None)) | None => {}
        }
        self.judge.judge(&self.scene, &self.wire, bound, about);
        end.and_then(Result::ok)
    }
}

/// Registrations that we have written since, and how many of their fields more
/// than once: the service had lost something.
fn written(scene: &Scene, from: usize) -> HashMap<Uuid, usize> {
    let is_update = |write: &&Write| {
        write.by == APP && matches!(write.kind, WriteKind::Update | WriteKind::AssignUser | WriteKind::UnassignUser)
    };
    let mut fields: HashMap<Uuid, Vec<&str>> = HashMap::new();
    scene.sim.with(|tenant| {
        for write in tenant.witnessed().skip(from).filter(is_update) {
            let Some(id) = write.registration else { continue };
            fields.entry(id).or_default().extend(write.written.iter().map(|(name, _)| *name));
        }
    });
    let more = |names: Vec<&str>| names.len() - names.iter().collect::<HashSet<_>>().len();
    fields.into_iter().map(|(id, names)| (id, more(names))).collect()
}

/// Updates that a run has seen the end of.
fn done(report: &Report) -> HashSet<Uuid> {
    let done = |(change, outcome): &(Change, Outcome)| match (change.action(), outcome) {
        (Action::Update(update), Outcome::Done { .. }) => Some(update.id.0),
        _ => None,
    };
    report.outcomes.of.iter().filter_map(done).collect()
}

async fn play(seed: u64) -> (Tally, Ends) {
    let _played = Played(seed);
    let mut story = Story::new(seed);
    let mut ends = Ends::default();
    for number in 1..=PLANS {
        let about = format!("seed {seed}, plan {number}");
        let Some(saved) = story.save(&about).await else { continue };
        story.judge.approved(&story.scene, &saved);
        // What one apply has done and seen, none after it does again.
        let mut spent: HashSet<Uuid> = HashSet::new();
        for time in 1..=3 {
            let about = format!("{about}, apply {time}");
            let from = story.scene.sim.with(|tenant| tenant.witnessed().count());
            let report = story.apply(&saved, &mut ends, &about).await;
            let written = written(&story.scene, from);
            let twice: Vec<&Uuid> = spent.iter().filter(|id| written.contains_key(*id)).collect();
            assert!(twice.is_empty(), "{about}: {twice:?} written again");
            spent.extend(report.iter().flat_map(done).filter(|id| written.get(id) == Some(&0)));
        }
    }
    story.quiet().await;
    story.judge.close(&story.scene, &story.about);
    (story.judge.tally, ends)
}

#[test]
fn a_saved_plan_is_never_exceeded() {
    let seeds = seeds();
    let (mut all, mut ends) = (Tally::default(), Ends::default());
    let play_half = |half: u64, seeds: std::ops::Range<u64>| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        seeds.filter(|seed| seed % 2 == half).map(|seed| runtime.block_on(play(seed))).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            scope.spawn({
                let seeds = seeds.clone();
                move || play_half(half, seeds)
            })
        });
        for (tally, of) in halves.into_iter().flat_map(|half| half.join().expect("every seed holds")) {
            all.add(tally);
            ends.applied += of.applied;
            ends.moved += of.moved;
            ends.used += of.used;
        }
    });
    println!("{all:?} {ends:?}");
    let Tally { rows, updates, tails, retags, syncs, cleaned, moved } = all;
    if seeds.end - seeds.start >= 300 {
        let least = [rows, updates, tails, retags, syncs, cleaned, moved, ends.applied, ends.moved, ends.used];
        assert!(least.into_iter().min() >= Some(20), "too little was done to say anything: {all:?} {ends:?}");
    }
}

fn lists(request: &Request) -> bool {
    request.method() == "GET" && request.uri().path().ends_with("/windowsAutopilotDeviceIdentities")
}

#[tokio::test]
async fn a_saved_plan_is_carried_out_without_a_listing() {
    let claims = (1..=4).map(|number| claim(number, &["groupTag=OSL-STD", "displayName=OSL-1"])).collect();
    let mut scene = Scene::new(Settings::calm(), 1, claims);
    assert!(scene.apply().await.outcomes.tally().done == 4);
    scene.claims[0] = claim(1, &["groupTag=OSL-NEW", "displayName=OSL-1"]);
    scene.claims.push(claim(5, &["groupTag=OSL-STD", "displayName=OSL-5"]));
    scene.hashes.put("TEST-000005", super::super::scene::hash(5));
    let saved = scene.prepare().await;
    scene.forget_writes();
    let between = Between::new(&scene.sim, |request| {
        assert!(!lists(request), "{request:?}");
        Deed::Pass
    });
    let report =
        scene.client_through(between).await.apply_saved(&saved, Stale::Abort).await.expect("nothing has moved");
    assert_eq!(outcomes(&report), ["TEST-000001 done", "TEST-000005 done"]);
    assert_eq!(scene.plan().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_registration_that_is_gone_is_named() {
    let mut scene = Scene::new(Settings::calm(), 1, vec![claim(1, &["groupTag=OSL-STD"])]);
    assert!(scene.apply().await.outcomes.tally().done == 1);
    scene.claims[0] = claim(1, &["groupTag=OSL-NEW"]);
    let saved = scene.prepare().await;
    let id = scene.registration(1).id;
    scene.sim.with(|tenant| tenant.remove_as_portal(id)).unwrap();
    scene.pass(SignedDuration::from_hours(1));
    scene.forget_writes();
    let refused = scene.client().await.apply_saved(&saved, Stale::Abort).await;
    let Err(Some(TakenUp::Moved(moved))) = refused else { panic!("{refused:#?}") };
    assert_eq!(moved[0].sentence(), "its registration is gone");
    let report = scene.client().await.apply_saved(&saved, Stale::Skip).await.expect("nothing is left of it");
    assert_eq!(outcomes(&report), ["TEST-000001 not attempted ChangedMeanwhile"]);
    assert_eq!(scene.written_to_devices(), Vec::<String>::new());
}

#[tokio::test]
async fn a_device_that_was_enrolled_since_is_not_retagged() {
    let mut scene = Scene::new(Settings::calm(), 1, vec![claim(1, &["groupTag=OSL-STD"])]);
    assert!(scene.apply().await.outcomes.tally().done == 1);
    scene.claims[0] = claim(1, &["groupTag=OSL-NEW"]);
    let saved = scene.prepare().await;
    let id = scene.registration(1).id;
    scene.sim.with(|tenant| tenant.enrol(id)).unwrap();
    scene.forget_writes();
    let refused = scene.client().await.apply_saved(&saved, Stale::Abort).await;
    let Err(Some(TakenUp::Moved(moved))) = refused else { panic!("{refused:#?}") };
    assert_eq!((moved[0].reason, moved[0].sentence().as_str()), (Reason::ChangedMeanwhile, "it has been enrolled"));
    assert_eq!(scene.written_to_devices(), Vec::<String>::new());
}

#[tokio::test]
async fn a_hash_that_is_another_one_is_another_registration() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &[])]);
    let saved = scene.prepare().await;
    scene.hashes.put("TEST-000001", super::super::scene::hash(501));
    let refused = scene.client().await.apply_saved(&saved, Stale::Abort).await;
    let Err(Some(TakenUp::Moved(moved))) = refused else { panic!("{refused:#?}") };
    assert!(moved[0].sentence().starts_with("its hardware hash is sha256:"), "{}", moved[0].sentence());
    assert_eq!(scene.written(), Vec::<String>::new());
}

#[tokio::test]
async fn a_device_that_others_have_registered_since_is_not_ours_to_change() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &["groupTag=OSL-STD", "displayName=OSL-1"])]);
    let saved = scene.prepare().await;
    let hash = super::super::scene::hash(1).to_base64();
    scene.sim.with(|tenant| tenant.add_device_of_hash(&hash, "BER-STD")).unwrap();
    let report = scene.client().await.apply_saved(&saved, Stale::Abort).await.expect("the service says it");
    assert_eq!(outcomes(&report), ["TEST-000001 failed AlreadyRegistered"]);
    assert_eq!(scene.registration(1).group_tag, "BER-STD");
}
