//! A freeze that begins while a run is under way: nothing more is sent from its
//! first moment on, by the service's clock, and what was sent is seen through.

use apgit::door::apply::SyncOutcome;
use apgit::door::model::{Freeze, Window};
use apgit::door::plan::Reason;
use apgit::door::round::{Consent, End, Stale, TakenUp};
use apgit::door::sim::{self, Settings};
use jiff::{SignedDuration, Timestamp};

use super::scene::{Scene, claim, outcomes};

fn freeze(from: Timestamp) -> Freeze {
    let window = Window::Once { from, until: from + SignedDuration::from_hours(12) };
    Freeze { name: "advent".to_owned(), reason: "the shop is full".to_owned(), window }
}

/// Three devices to register, with names that an import cannot carry.
fn scene(begins: SignedDuration) -> Scene {
    scene_in(Settings::calm(), begins)
}

fn scene_in(settings: Settings, begins: SignedDuration) -> Scene {
    let claims = (1..=3).map(|number| claim(number, &["groupTag=OSL-STD", "displayName=OSL-1"])).collect();
    let mut scene = Scene::new(settings, 1, claims);
    scene.tenant.freezes = vec![freeze(sim::EPOCH + begins)];
    scene
}

/// When the tenant was last written to, by its own clock.
fn last_write(scene: &Scene) -> Option<Timestamp> {
    use sim::WriteKind;
    scene
        .sim
        .with(|tenant| tenant.witnessed().filter(|write| write.kind != WriteKind::Register).map(|write| write.at).max())
}

#[tokio::test]
async fn a_run_that_meets_a_freeze_sends_nothing_more_and_the_next_one_goes_on() {
    let whole = scene(SignedDuration::from_hours(100));
    assert_eq!(whole.apply().await.end(), End::Done);
    let span = last_write(&whole).expect("it was written to").duration_since(sim::EPOCH).as_secs();
    let (mut met_before, mut met_between, mut met_sync) = (0, 0, 0);
    for begins in 0..=span + 1 {
        let begins = SignedDuration::from_secs(begins);
        let scene = scene(begins);
        let report = scene.apply().await;
        let from = sim::EPOCH + begins;
        let last = last_write(&scene);
        assert!(last.is_none_or(|last| last < from), "begins after {begins:#}, written at {last:?}");
        assert!(report.halt.is_none(), "{:?}", report.halt);
        let held = report.prepared.cleared.plan().is_frozen();
        let owes = matches!(&report.outcomes.sync, SyncOutcome::Skipped { message } if message.contains("`advent`"));
        let ends = outcomes(&report);
        let frozen = ends.iter().filter(|line| line.ends_with("Frozen")).count();
        match report.end() {
            End::Limited => assert!(held || (frozen == 3 && last.is_none()), "{ends:?}"),
            End::Partial => assert!(frozen > 0 || owes, "{ends:?}"),
            End::Done => assert!(!owes && frozen == 0, "only our own records are left: {ends:?}"),
            other => panic!("{other:?} {ends:?}"),
        }
        met_before += usize::from(last.is_none());
        met_between += usize::from(frozen > 0 && last.is_some());
        met_sync += usize::from(owes);
        // Nothing is lost: once it is over, one apply does the rest.
        scene.pass(SignedDuration::from_hours(13));
        assert_eq!(scene.apply().await.end(), End::Done, "after {begins:#}");
        assert_eq!(scene.plan().await, [""; 0]);
        scene.sim.with(|tenant| super::world::assert_nothing_twice(tenant));
    }
    assert!(met_before > 0 && met_between > 0 && met_sync > 0, "{met_before} {met_between} {met_sync}");
}

#[tokio::test]
async fn a_busy_tenant_is_not_written_to_in_a_freeze_either() {
    let whole = scene_in(Settings::busy(), SignedDuration::from_hours(100));
    let _ = whole.apply().await;
    let span = last_write(&whole).expect("it was written to").duration_since(sim::EPOCH).as_secs();
    for begins in (0..=span).step_by(usize::try_from(span / 25 + 1).unwrap()) {
        let scene = scene_in(Settings::busy(), SignedDuration::from_secs(begins));
        let _ = scene.apply().await;
        let from = sim::EPOCH + SignedDuration::from_secs(begins);
        assert!(last_write(&scene).is_none_or(|last| last < from), "begins after {begins} s: {:?}", last_write(&scene));
        scene.pass(SignedDuration::from_hours(13));
        let _ = scene.apply().await;
        scene.pass(SignedDuration::from_hours(1));
        let _ = scene.apply().await;
        assert_eq!(scene.plan().await, [""; 0], "begins after {begins} s");
        scene.sim.with(|tenant| super::world::assert_nothing_twice(tenant));
    }
}

#[tokio::test]
async fn a_prompt_that_waited_into_a_freeze_is_no_licence() {
    let scene = scene(SignedDuration::from_hours(1));
    let mut client = scene.client().await;
    let prepared = client.prepare().await.unwrap();
    assert_eq!(prepared.cleared.plan().changes.len(), 3);
    scene.pass(SignedDuration::from_hours(2));
    let report = client.carry_out(prepared, Consent::Seen).await;
    assert!(outcomes(&report).iter().all(|line| line.ends_with("not attempted Frozen")), "{:?}", outcomes(&report));
    assert_eq!((report.end(), scene.written()), (End::Limited, vec![]));
}

#[tokio::test]
async fn a_saved_plan_is_held_by_a_freeze_that_has_begun_since() {
    let scene = scene(SignedDuration::from_hours(1));
    let saved = scene.prepare().await;
    scene.pass(SignedDuration::from_hours(2));
    let taken = scene.client().await.apply_saved(&saved, Stale::Abort).await;
    let Err(Some(TakenUp::Moved(moved))) = taken else { panic!("{taken:?}") };
    assert!(moved.iter().all(|moved| moved.reason == Reason::Frozen && moved.sentence().contains("`advent`")));
    assert_eq!((moved.len(), scene.written()), (3, vec![]));
}

#[tokio::test]
async fn a_freeze_that_was_approved_by_name_keeps_nothing_back() {
    let mut scene = scene(SignedDuration::from_secs(30));
    scene.approvals.freezes.insert("advent".to_owned());
    let report = scene.apply().await;
    assert_eq!(report.end(), End::Done, "{:?}", outcomes(&report));
    scene.tenant.freezes.clear();
    assert_eq!(scene.plan().await, [""; 0]);
}
