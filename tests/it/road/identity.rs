//! Which registration a claim means, and that no other is written.

use apgit::door::plan::Approvals;
use apgit::door::sim::{Settings, Switch};

use super::scene::{ANNA, Scene, claim, outcomes, serial};
use crate::support;

/// Two machines of one serial number, each declared by its registration.
fn twins() -> (Scene, [uuid::Uuid; 2]) {
    let mut scene = Scene::new(Settings::calm(), 1, Vec::new());
    let ids = scene
        .sim
        .with(|tenant| ["Notebook 14", "Tower 5"].map(|model| tenant.add_device(&serial(1), "Contoso", model, "OLD")));
    let named = |id, tag: &str| claim(1, &[&format!("registrationId={id}"), &format!("groupTag={tag}")]);
    scene.claims = vec![named(ids[0], "OSL-A"), named(ids[1], "OSL-B")];
    scene.approvals = Approvals { adopts: Some(2), ..Approvals::default() };
    (scene, ids)
}

#[tokio::test]
async fn two_claims_of_one_serial_are_two_outcomes_on_two_registrations() {
    let (scene, ids) = twins();
    let report = scene.apply().await;
    assert_eq!(outcomes(&report), ["TEST-000001 done", "TEST-000001 done"]);
    let tags = scene.sim.with(|tenant| {
        let all = tenant.registrations();
        ids.map(|id| all.iter().find(|registration| registration.id == id).unwrap().group_tag.clone())
    });
    assert_eq!(tags, ["OSL-A", "OSL-B"]);
    assert_eq!(scene.written().len(), 2);
}

#[tokio::test]
async fn of_two_claims_of_one_serial_each_fails_for_itself() {
    let (scene, ids) = twins();
    let mut client = scene.client().await;
    let prepared = client.prepare().await.unwrap();
    scene.sim.with(|tenant| tenant.set_tag_as_portal(ids[0], "HAND").unwrap());
    let report = client.carry_out(prepared, apgit::door::round::Consent::Seen).await;
    let mut ends = outcomes(&report);
    ends.sort();
    assert_eq!(ends, ["TEST-000001 done", "TEST-000001 not attempted ChangedMeanwhile"]);
    assert_eq!(scene.written(), ["Update TEST-000001 groupTag=OSL-B"]);
}

#[tokio::test]
async fn a_serial_that_only_looks_alike_is_another_device() {
    let mut declared = support::claim("TEST-STRAßE");
    declared.group_tag = claim(1, &["groupTag=OSL-STD"]).group_tag;
    let scene = Scene::new(Settings::calm(), 1, vec![declared]);
    scene.sim.with(|tenant| tenant.add_device("TEST-STRASSE", "Contoso", "Tower 5", "OLD"));
    let _ = scene.apply().await;
    assert_eq!(scene.written(), ["Sync"], "it waits for its vendor");
}

#[tokio::test]
async fn a_user_is_taken_away_also_where_lists_show_no_user() {
    for settings in [Settings::calm(), Settings::calm().switched(Switch::Year2023)] {
        let scene = Scene::new(settings, 1, vec![claim(1, &["userPrincipalName="])]);
        scene.sim.with(|tenant| tenant.add_device_for(&serial(1), "Contoso", "Tower 5", "", ANNA));
        let report = scene.apply().await;
        assert_eq!(outcomes(&report), ["TEST-000001 done"]);
        assert_eq!(scene.registration(1).user, "");
        assert_eq!(scene.written(), ["UnassignUser TEST-000001 userPrincipalName= addressableUserName="]);
        scene.forget_writes();
        assert!(scene.apply().await.outcomes.of.is_empty());
        assert_eq!(scene.written(), [""; 0]);
    }
}
