//! One road, whole and short: declared, registered, and nothing left to do.

use apgit::door::apply::{Outcome, SyncOutcome};
use apgit::door::sim::Settings;

use super::world::{Declared, World, read_aloud};

fn two_devices() -> Vec<Declared> {
    vec![
        Declared::new(1).with("groupTag", "OSL-STD"),
        Declared::new(2)
            .with("groupTag", "KIOSK-LOBBY")
            .with("userPrincipalName", "anna.keller@contoso.com")
            .with("addressableUserName", "Anna")
            .with("displayName", "LOBBY-01"),
    ]
}

#[tokio::test]
async fn two_declared_devices_are_registered_and_the_next_plan_is_empty() {
    let world = World::new(Settings::calm(), 1, &two_devices());
    assert_eq!(read_aloud(world.plan().await.cleared.plan()), ["+ TEST-000001", "+ TEST-000002"]);
    let report = world.apply().await;
    assert!(report.outcomes.of.iter().all(|(_, outcome)| matches!(outcome, Outcome::Done { .. })), "{report:#?}");
    assert!(matches!(report.outcomes.sync, SyncOutcome::Done { .. }));
    let after = world.plan().await;
    assert_eq!(read_aloud(after.cleared.plan()), [""; 0]);
    assert_eq!(after.cleared.plan().counts.unchanged, 2);
    let seen = world.sim.with(|tenant| tenant.registrations_of("TEST-000002"));
    let [seen] = &seen[..] else { panic!("one registration, not {seen:?}") };
    assert_eq!(
        [&*seen.group_tag, &*seen.user, &*seen.addressable_user_name, &*seen.display_name],
        ["KIOSK-LOBBY", "anna.keller@contoso.com", "Anna", "LOBBY-01"]
    );
}

#[tokio::test]
async fn applying_twice_changes_nothing_the_second_time() {
    let world = World::new(Settings::calm(), 2, &two_devices());
    let _ = world.apply().await;
    world.sim.with(|tenant| tenant.reset_counters());
    let second = world.apply().await;
    assert!(second.outcomes.of.is_empty());
    world.sim.with(|tenant| {
        let counters = tenant.counters();
        let others: Vec<_> = counters.calls.keys().filter(|call| !call.starts_with("GET ")).collect();
        assert!(others.iter().all(|call| call.contains("token")), "only reads and a token request: {others:?}");
        assert_eq!(counters.token_requests, 1);
    });
    world.assert_nothing_twice();
}

#[tokio::test]
async fn what_somebody_changed_in_the_portal_is_corrected() {
    let world = World::new(Settings::calm(), 3, &two_devices());
    let _ = world.apply().await;
    world.sim.with(|tenant| {
        let id = tenant.registrations_of("TEST-000001")[0].id;
        tenant.set_tag_as_portal(id, "BERLIN").expect("it is registered");
        tenant.pass(jiff::SignedDuration::from_mins(30));
    });
    world.sim.clock().advance_to(world.sim.with(|tenant| tenant.now()));
    assert_eq!(read_aloud(world.plan().await.cleared.plan()), ["~ TEST-000001 groupTag"]);
    let _ = world.apply().await;
    assert_eq!(read_aloud(world.plan().await.cleared.plan()), [""; 0]);
    assert_eq!(world.sim.with(|tenant| tenant.registrations_of("TEST-000001"))[0].group_tag, "OSL-STD");
}
