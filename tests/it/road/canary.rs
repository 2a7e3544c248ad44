//! A rollout against the simulated tenant: the canaries go, the rest follows once
//! Intune has given them a profile.

use apgit::door::model::{Milestone, Rollout};
use apgit::door::plan::Reason;
use apgit::door::round::{End, TakenUp};
use apgit::door::sim::settings::Delay;
use apgit::door::sim::{Settings, WriteKind};
use jiff::SignedDuration;

use super::scene::{Scene, claim, outcomes};

fn scene(wait_for: Milestone) -> Scene {
    let claims = (1..=6).map(|number| claim(number, &["groupTag=OSL-STD", "displayName=OSL-1"])).collect();
    let mut settings = Settings::calm();
    settings.profiles.assigned_after = Delay::secs(36_000, 40_000);
    let mut scene = Scene::new(settings, 1, claims);
    scene.tenant.rollout = Some(Rollout::new(2, wait_for));
    scene
}

fn imports(scene: &Scene) -> usize {
    scene.sim.with(|tenant| tenant.witnessed().filter(|write| write.kind == WriteKind::Import).count())
}

#[tokio::test]
async fn the_canaries_go_and_the_rest_follows_when_they_have_a_profile() {
    let scene = scene(Milestone::ProfileAssigned);
    let report = scene.apply().await;
    assert_eq!(outcomes(&report), ["TEST-000001 done", "TEST-000002 done"]);
    assert_eq!((report.end(), imports(&scene)), (End::Done, 2), "what waits for its turn is no failure");
    // Right after it they have none yet: an apply again sends nothing.
    let again = scene.apply().await;
    assert!(again.outcomes.of.is_empty() && imports(&scene) == 2, "{:?}", outcomes(&again));
    let held = scene.prepare().await.cleared.plan().held[0].details.clone();
    assert_eq!(held, ["group tag `OSL-STD`: 0 of 2 devices have come to ProfileAssigned, 2 awaited"]);
    scene.pass(SignedDuration::from_hours(48));
    let rest = scene.apply().await;
    assert_eq!((rest.outcomes.of.len(), rest.end(), imports(&scene)), (4, End::Done, 6));
    assert_eq!(scene.plan().await, [""; 0]);
    scene.sim.with(|tenant| super::world::assert_nothing_twice(tenant));
}

/// What this machine has sent counts though no ledger says so.
#[tokio::test]
async fn two_saved_plans_have_the_canaries_of_one_together() {
    let mut scene = scene(Milestone::Enrolled);
    let all = scene.claims.clone();
    let mut saved = Vec::new();
    for part in [&all[..2], &all[2..4]] {
        scene.claims = part.to_vec();
        saved.push(scene.prepare().await);
    }
    scene.claims = all;
    let stale = apgit::door::round::Stale::Abort;
    let report = scene.client().await.apply_saved(&saved[0], stale).await;
    assert_eq!(outcomes(&report.expect("nothing has moved")), ["TEST-000001 done", "TEST-000002 done"]);
    let taken = scene.client().await.apply_saved(&saved[1], stale).await;
    let Err(Some(TakenUp::Moved(moved))) = taken else { panic!("{taken:?}") };
    assert!(moved.iter().all(|moved| moved.reason == Reason::AwaitingCanary), "{moved:?}");
    assert_eq!((moved.len(), imports(&scene)), (2, 2));
}

#[tokio::test]
async fn a_saved_plan_has_its_canaries_and_no_more() {
    let scene = scene(Milestone::Enrolled);
    let saved = scene.prepare().await;
    let report = scene.client().await.apply_saved(&saved, apgit::door::round::Stale::Abort).await;
    assert_eq!(outcomes(&report.expect("nothing has moved")), ["TEST-000001 done", "TEST-000002 done"]);
    scene.pass(SignedDuration::from_hours(48));
    assert!(scene.apply().await.outcomes.of.is_empty(), "nobody has set one up");
    for number in 1..=2 {
        let id = scene.registration(number).id;
        scene.sim.with(|tenant| tenant.enrol(id)).expect("it is registered");
    }
    assert_eq!(scene.apply().await.outcomes.of.len(), 4);
}
