//! When the tenant syncs: as soon as all imports are complete, whether or not
//! the registrations can be read yet; and never before the account of a device
//! is settled whose import somebody has touched.

use std::sync::{Arc, Mutex};

use apgit::door::apply::{Event, Outcome, SyncOutcome};
use apgit::door::clock::Clock as _;
use apgit::door::plan::SyncReason;
use apgit::door::sim::settings::Delay;
use apgit::door::sim::{Settings, WriteKind};
use jiff::{SignedDuration, Timestamp};

use super::world::{Declared, World};

fn fleet(devices: u64) -> Vec<Declared> {
    (1..=devices).map(|number| Declared::new(number).with("groupTag", "OSL-STD")).collect()
}

/// When the tenant wrote something of this kind.
fn times(world: &World, kind: WriteKind) -> Vec<Timestamp> {
    world.sim.with(|tenant| tenant.witnessed().filter(|write| write.kind == kind).map(|write| write.at).collect())
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}

/// A tenant that shows new registrations to nobody for ten minutes.
fn slow_to_show() -> Settings {
    let mut settings = Settings::calm();
    settings.visibility.by_id = Delay::secs(600, 600);
    settings.visibility.in_list = Delay::secs(600, 600);
    settings
}

#[tokio::test]
async fn the_tenant_syncs_when_the_imports_are_complete_and_not_when_they_can_be_read() {
    for devices in [3, 700] {
        let world = World::new(slow_to_show(), 1, &fleet(devices));
        let report = world.apply().await;
        let all_done = report.outcomes.of.iter().all(|(_, outcome)| matches!(outcome, Outcome::Done { .. }));
        assert!(all_done, "{:?}", report.outcomes.tally());
        let registered = times(&world, WriteKind::Register).into_iter().max().expect("devices were registered");
        let [synced] = times(&world, WriteKind::Sync)[..] else { panic!("one sync, not {report:?}") };
        let waited = seconds(registered, synced);
        assert!((0..=30).contains(&waited), "{devices} devices: the sync came {waited} s after the last registration");
        assert!(matches!(report.outcomes.sync, SyncOutcome::Done { at } if at == synced), "{:?}", report.outcomes.sync);
    }
}

#[tokio::test]
async fn a_sync_waits_for_the_account_of_an_import_whose_record_somebody_removed() {
    let world = World::new(slow_to_show(), 1, &fleet(2));
    let sim = world.sim.clone();
    let remove = move |event: Event| {
        if let Event::Posted { .. } = event {
            sim.with(|tenant| {
                let record = tenant.import_records()[0].id;
                tenant.remove_record_as_portal(record).expect("it is there");
            });
        }
    };
    let report = world.try_apply(world.ways(), &mut { remove }).await.expect("the tenant can be read");
    let all_done = report.outcomes.of.iter().all(|(_, outcome)| matches!(outcome, Outcome::Done { .. }));
    assert!(all_done, "{:?}", report.outcomes.of);
    let registered = times(&world, WriteKind::Register).into_iter().max().expect("devices were registered");
    let [synced] = times(&world, WriteKind::Sync)[..] else { panic!("one sync, not {:?}", report.outcomes.sync) };
    assert!(seconds(registered, synced) >= 600, "nobody knew whether that device was registered");
    assert_eq!(world.sim.with(|tenant| tenant.counters().import_posts), 1);
}

#[tokio::test]
async fn a_sync_that_fails_is_owed() {
    let mut settings = Settings::calm();
    settings.set("sync.fail_share=1").expect("a setting");
    let world = World::new(settings, 1, &fleet(2));
    let pass = || world.sim.clock().advance_to(world.sim.clock().now() + SignedDuration::from_mins(20));
    let report = world.apply().await;
    assert!(matches!(report.outcomes.sync, SyncOutcome::Done { .. }), "it has begun: {:?}", report.outcomes.sync);
    pass();
    let upkeep = world.plan().await.cleared.plan().upkeep.clone();
    assert!(matches!(upkeep.sync, Some(SyncReason::Owed { .. })), "{upkeep:?}");
    world.sim.with(|tenant| tenant.set_settings(Settings::calm()));
    let again = world.apply().await;
    assert!(matches!(again.outcomes.sync, SyncOutcome::Done { .. }), "{:?}", again.outcomes.sync);
    pass();
    let _ = world.apply().await;
    assert_eq!(times(&world, WriteKind::Sync).len(), 2, "the second has ended well");
}

/// Somebody's sync from before the import has ended, and somebody who tidies away
/// records that are over: not even both together are a sync for it.
#[tokio::test]
async fn a_record_that_is_gone_makes_no_sync_of_an_earlier_one() {
    let mut settings = Settings::calm();
    settings.set("import.delay=90s..100s").expect("a setting");
    let world = World::new(settings, 1, &fleet(2));
    let (sim, now) = (world.sim.clone(), world.sim.clock().now());
    let meddle = move |event: Event| match event {
        Event::Posted { .. } => sim.with(|tenant| _ = tenant.sync_as_portal()),
        Event::Waiting { why, .. } if why.contains("sync") => sim.with(|tenant| {
            let records: Vec<_> = tenant.import_records().iter().map(|record| record.id).collect();
            records.into_iter().for_each(|record| tenant.remove_record_as_portal(record).expect("it is there"));
        }),
        _ => {}
    };
    let _ = world.try_apply(world.ways(), &mut { meddle }).await.expect("a run");
    let registered = times(&world, WriteKind::Register).into_iter().max().expect("devices were registered");
    let syncs = world.sim.with(|tenant| tenant.counters().syncs_accepted.clone());
    assert!(syncs.iter().any(|at| *at >= registered), "{now}: {syncs:?}, registered {registered}");
}

#[tokio::test]
async fn anothers_sync_that_fails_makes_ours_no_failure() {
    let world = World::new(Settings::calm(), 1, &fleet(2));
    let _ = world.apply().await;
    let pass = || world.sim.clock().advance_to(world.sim.clock().now() + SignedDuration::from_mins(20));
    pass();
    world.sim.with(|tenant| {
        let mut settings = Settings::calm();
        settings.set("sync.fail_share=1").expect("a setting");
        tenant.set_settings(settings);
        tenant.sync_as_portal().expect("it takes one");
    });
    pass();
    let upkeep = world.plan().await.cleared.plan().upkeep.clone();
    assert_eq!(upkeep.sync, None, "ours had ended well");
}

#[tokio::test]
async fn rows_that_go_out_again_are_synced_with_the_others() {
    let mut settings = Settings::calm();
    settings.import.storage_error_share = 0.3;
    let world = World::new(settings, 1, &fleet(20));
    let report = world.apply().await;
    let all_done = report.outcomes.of.iter().all(|(_, outcome)| matches!(outcome, Outcome::Done { .. }));
    assert!(all_done, "{:?}", report.outcomes.of);
    assert!(world.sim.with(|tenant| tenant.counters().import_posts) > 1, "this seed has rows to send again");
    let registered = times(&world, WriteKind::Register).into_iter().max().expect("devices were registered");
    let [synced] = times(&world, WriteKind::Sync)[..] else { panic!("one sync, not {:?}", report.outcomes.sync) };
    assert!(synced >= registered);
}

#[tokio::test]
async fn what_an_import_cannot_carry_keeps_no_device_waiting() {
    let mut settings = Settings::calm();
    settings.update.by_id = Delay::secs(120, 120);
    let fleet: Vec<_> = fleet(3).into_iter().map(|device| device.with("displayName", "OSL-01")).collect();
    let world = World::new(settings, 1, &fleet);
    let updated = Arc::new(Mutex::new(false));
    let sync_came_first = {
        let updated = updated.clone();
        move |event: Event| match event {
            Event::Sync => assert!(!*updated.lock().unwrap(), "the updates went first"),
            Event::Updates { .. } => *updated.lock().unwrap() = true,
            _ => {}
        }
    };
    let report = world.try_apply(world.ways(), &mut { sync_came_first }).await.expect("the tenant can be read");
    assert!(report.outcomes.of.iter().all(|(_, outcome)| matches!(outcome, Outcome::Done { .. })));
    assert!(*updated.lock().unwrap());
    assert_eq!(times(&world, WriteKind::Sync).len(), 1);
}

#[tokio::test]
async fn a_tenant_that_takes_no_sync_yet_is_asked_again_at_the_end() {
    let world = World::new(Settings::calm(), 1, &fleet(3));
    world.sim.with(|tenant| tenant.sync_as_portal().expect("it may sync"));
    let by_hand = times(&world, WriteKind::Sync);
    let report = world.apply().await;
    assert!(report.outcomes.of.iter().all(|(_, outcome)| matches!(outcome, Outcome::Done { .. })));
    let syncs = times(&world, WriteKind::Sync);
    assert_eq!(syncs.len(), by_hand.len() + 1, "{syncs:?}");
    let apart = syncs[syncs.len() - 1].duration_since(apgit::door::sim::EPOCH);
    assert!(apart >= SignedDuration::from_mins(10), "{apart}");
}

#[tokio::test]
async fn a_sync_that_was_under_way_before_the_imports_were_complete_is_none_for_them() {
    let mut settings = Settings::calm();
    settings.sync.runs = Delay::secs(50, 50);
    let world = World::new(settings, 1, &fleet(3));
    world.sim.with(|tenant| tenant.sync_as_portal().expect("it may sync"));
    let report = world.apply().await;
    assert!(report.outcomes.of.iter().all(|(_, outcome)| matches!(outcome, Outcome::Done { .. })));
    let registered = times(&world, WriteKind::Register).into_iter().max().expect("devices were registered");
    assert!(seconds(apgit::door::sim::EPOCH, registered) < 50, "they came while it ran");
    assert_eq!(times(&world, WriteKind::Sync).len(), 2);
}
