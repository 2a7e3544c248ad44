//! What was approved is what is done: seen from the tenant, by what was
//! written there, and not by what was said about it.

use std::sync::atomic::{AtomicBool, Ordering};

use apgit::door::ledger::Entry;
use apgit::door::model::{AdoptionPolicy, Desired, Policy, Scope};
use apgit::door::plan::{self, Approvals, Standing, SyncReason};
use apgit::door::round::{Consent, Prepared};
use apgit::door::sim::{self, Settings};
use apgit::door::transport::Request;
use jiff::SignedDuration;
use uuid::Uuid;

use super::scene::{ANNA, Between, Client, Deed, Scene, claim, hash, is_of, outcomes, serial};

/// A registration that somebody else made: its tag would be changed.
fn drifted() -> (Scene, Uuid) {
    let mut scene = Scene::new(Settings::calm(), 1, vec![claim(1, &["groupTag=OSL-STD"])]);
    scene.tenant.scope = Scope::new(vec!["OSL-*".to_owned()]).unwrap();
    let id = scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(1).to_base64(), "OSL-OLD").unwrap());
    (scene, id)
}

async fn prepared(client: &mut Client<'_>) -> Prepared {
    let prepared = client.prepare().await.unwrap();
    assert_eq!(prepared.cleared.plan().changes.len(), 1, "there is something to do");
    prepared
}

#[tokio::test]
async fn a_hash_that_was_swapped_while_somebody_looked_is_not_sent() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &[]), claim(2, &[])]);
    let mut client = scene.client().await;
    let prepared = client.prepare().await.unwrap();
    scene.hashes.put(&serial(2), hash(3));
    let report = client.carry_out(prepared, Consent::Seen).await;
    assert_eq!(outcomes(&report), ["TEST-000001 done", "TEST-000002 not attempted ChangedMeanwhile"]);
    assert_eq!(scene.written_to_devices(), ["Import TEST-000001"]);
}

type Hand = fn(&mut sim::Tenant, Uuid);

/// What others may do to a registration while somebody looks at a plan.
fn hands() -> [(&'static str, Hand); 7] {
    [
        ("out of scope", |tenant, id| tenant.set_tag_as_portal(id, "BER-STD").unwrap()),
        ("another tag", |tenant, id| tenant.set_tag_as_portal(id, "OSL-X").unwrap()),
        ("another user", |tenant, id| tenant.set_user_as_portal(id, ANNA).unwrap()),
        ("another greeting", |tenant, id| tenant.set_addressable_user_name_as_portal(id, "Anna").unwrap()),
        ("another name", |tenant, id| tenant.set_display_name_as_portal(id, "OSL-0001").unwrap()),
        ("enrolled", |tenant, id| tenant.enrol(id).unwrap()),
        ("removed", |tenant, id| tenant.remove_as_portal(id).unwrap()),
    ]
}

#[tokio::test]
async fn a_registration_that_moved_while_the_prompt_waited_is_not_written() {
    for (what, hand) in hands() {
        let (scene, id) = drifted();
        let mut client = scene.client().await;
        let prepared = prepared(&mut client).await;
        scene.sim.with(|tenant| hand(tenant, id));
        let report = client.carry_out(prepared, Consent::Seen).await;
        assert_eq!(outcomes(&report), ["TEST-000001 not attempted ChangedMeanwhile"], "{what}");
        assert_eq!(scene.written(), [""; 0], "{what}");
    }
}

#[tokio::test]
async fn a_reading_older_than_a_minute_is_read_again_though_nobody_was_asked() {
    for (what, hand) in hands() {
        let (scene, id) = drifted();
        let mut client = scene.client().await;
        let prepared = prepared(&mut client).await;
        scene.pass(SignedDuration::from_secs(61));
        scene.sim.with(|tenant| hand(tenant, id));
        let _ = client.carry_out(prepared, Consent::Unseen).await;
        assert_eq!(scene.written(), [""; 0], "{what}");
    }
}

#[tokio::test]
async fn what_did_not_move_is_written_days_later() {
    let (scene, _) = drifted();
    let mut client = scene.client().await;
    let prepared = prepared(&mut client).await;
    scene.pass(SignedDuration::from_hours(72));
    let report = client.carry_out(prepared, Consent::Seen).await;
    assert_eq!(outcomes(&report), ["TEST-000001 done"]);
    assert_eq!(scene.written(), ["Update TEST-000001 groupTag=OSL-STD"]);
}

#[tokio::test]
async fn enrolled_computers_that_others_registered_meanwhile_are_not_retagged() {
    let numbers = 1..=40;
    let scene = Scene::new(Settings::calm(), 1, numbers.clone().map(|n| claim(n, &["groupTag=OSL-STD"])).collect());
    let mut client = scene.client().await;
    let prepared = client.prepare().await.unwrap();
    scene.sim.with(|tenant| {
        for number in numbers {
            let id = tenant.add_device_of_hash(&hash(number).to_base64(), "BER-STD").unwrap();
            tenant.enrol(id).unwrap();
        }
    });
    let report = client.carry_out(prepared, Consent::Unseen).await;
    assert!(outcomes(&report).iter().all(|line| line.ends_with("failed AlreadyRegistered")), "{report:#?}");
    let written = scene.written_to_devices();
    assert_eq!(written.len(), 40, "{written:?}");
    assert!(written.iter().all(|line| line.starts_with("Import ")), "{written:?}");
    assert_eq!(scene.syncs(), 0, "nothing was registered");
    scene.forget_writes();
    let next = scene.apply().await;
    assert_eq!(next.prepared.cleared.plan().held.len(), 40, "and the ordinary limits hold them");
    assert_eq!(scene.written_to_devices(), [""; 0]);
}

#[tokio::test]
async fn nothing_at_all_is_written_where_nothing_may_be() {
    let forbid: [fn(&mut Scene); 2] =
        [|scene| scene.tenant.policy = Policy::Observe, |scene| scene.tenant.suspend = true];
    for forbid in forbid {
        let mut vendor = claim(1, &[]);
        vendor.hash = None;
        let mut scene = Scene::new(Settings::calm(), 1, vec![vendor, claim(2, &[]), claim(3, &["groupTag=OSL-STD"])]);
        scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(3).to_base64(), "OLD").unwrap());
        // A run before that owes a sync and the removal of a record.
        scene.claims.truncate(2);
        scene.dies_before(|request| is_of(request, "/sync")).await;
        scene.claims.push(claim(3, &["groupTag=OSL-STD"]));
        scene.pass(SignedDuration::from_hours(1));
        scene.forget_writes();
        forbid(&mut scene);
        let report = scene.apply().await;
        assert!(report.outcomes.of.is_empty());
        assert_eq!(scene.written(), [""; 0]);
    }
}

#[tokio::test]
async fn a_device_that_awaits_its_vendor_is_a_sync_that_is_in_the_plan() {
    let mut vendor = claim(1, &[]);
    vendor.hash = None;
    let scene = Scene::new(Settings::calm(), 1, vec![vendor]);
    let report = scene.apply().await;
    assert_eq!(report.prepared.cleared.plan().upkeep.sync, Some(SyncReason::Vendor));
    assert_eq!(scene.written(), ["Sync"]);
}

#[tokio::test]
async fn an_unadoptable_registration_is_left_alone_also_when_it_came_up_meanwhile() {
    let mut scene = Scene::new(Settings::calm(), 1, vec![claim(1, &["groupTag=OSL-STD"])]);
    scene.tenant.adoption = AdoptionPolicy::Never;
    let mut client = scene.client().await;
    let prepared = client.prepare().await.unwrap();
    scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(1).to_base64(), "BER").unwrap());
    let _ = client.carry_out(prepared, Consent::Unseen).await;
    let _ = scene.apply().await;
    assert_eq!(scene.registration(1).group_tag, "BER");
}

#[tokio::test]
async fn what_an_import_could_not_carry_is_done_after_a_crash_whatever_the_limits() {
    for policy in [Policy::Sync, Policy::CreateOnly] {
        let claims = (1..=40).map(|n| claim(n, &["groupTag=OSL-STD", &format!("displayName=OSL-{n:04}")]));
        let mut scene = Scene::new(Settings::calm(), 1, claims.collect());
        scene.tenant.policy = policy;
        (scene.tenant.limits.max_updates, scene.tenant.limits.max_deletes) = (0, 0);
        scene.dies_before(|request| is_of(request, "updateDeviceProperties")).await;
        assert_eq!(scene.registration(7).display_name, "");
        scene.forget_writes();
        let report = scene.apply().await;
        assert_eq!(report.outcomes.tally().done, 40, "{policy:?}: {:#?}", report.outcomes);
        for number in 1..=40 {
            assert_eq!(scene.registration(number).display_name, format!("OSL-{number:04}"), "{policy:?}");
        }
        let written = scene.written_to_devices();
        assert!(
            written.iter().all(|line| line.starts_with("Update ") && line.contains(" displayName=")),
            "{written:?}"
        );
    }
}

#[tokio::test]
async fn create_only_never_writes_what_is_no_tail() {
    let fields = ["groupTag=OSL-STD", "displayName=OSL-0001"];
    let mut scene = Scene::new(Settings::calm(), 1, vec![claim(1, &fields), claim(2, &fields[..1])]);
    scene.tenant.policy = Policy::CreateOnly;
    scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(2).to_base64(), "BER").unwrap());
    scene.dies_before(|request| is_of(request, "updateDeviceProperties")).await;
    let ours = scene.registration(1).id;
    scene.sim.with(|tenant| tenant.set_tag_as_portal(ours, "MUC").unwrap());
    scene.forget_writes();
    let _ = scene.apply().await;
    assert_eq!(scene.written_to_devices(), [""; 0], "somebody has it in hand by now");
}

#[tokio::test]
async fn a_list_that_calls_computers_new_does_not_get_them_past_the_guard() {
    let mut scene = Scene::new(Settings::calm(), 1, (1..=26).map(|n| claim(n, &["groupTag=OSL-STD"])).collect());
    scene.approvals = Approvals { adopts: Some(26), updates: Some(26), ..Approvals::default() };
    scene.sim.with(|tenant| {
        for number in 1..=26 {
            let id = tenant.add_device_of_hash(&hash(number).to_base64(), "BER-STD").unwrap();
            tenant.enrol(id).unwrap();
        }
    });
    let between = Between::new(&scene.sim, |request| match request.uri().path().ends_with("DeviceIdentities") {
        true => Deed::Alter(as_if_new),
        false => Deed::Pass,
    });
    let mut client = scene.client_through(between).await;
    let prepared = client.prepare().await.unwrap();
    assert_eq!(prepared.cleared.plan().held.len(), 26, "26 retags are over the limit of 25");
    let _ = client.carry_out(prepared, Consent::Unseen).await;
    assert_eq!(scene.written(), [""; 0]);
}

/// A list that has not heard of any enrolment.
fn as_if_new(mut list: apgit::door::transport::Response) -> apgit::door::transport::Response {
    let mut body: serde_json::Value = serde_json::from_slice(list.body()).unwrap();
    for device in body["value"].as_array_mut().unwrap() {
        device["enrollmentState"] = "notContacted".into();
        device["managedDeviceId"] = Uuid::nil().to_string().into();
    }
    *list.body_mut() = body.to_string().into();
    list
}

#[tokio::test]
async fn what_was_prepared_is_written_down_and_carried_out_by_another_process() {
    let run = async |through_a_file: bool| {
        let fields = ["groupTag=OSL-STD", "userPrincipalName=anna.keller@contoso.com", "displayName=OSL-0001"];
        let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &fields), claim(2, &["groupTag="])]);
        scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(2).to_base64(), "OLD").unwrap());
        let mut client = scene.client().await;
        let mut prepared = client.prepare().await.unwrap();
        if through_a_file {
            let text = serde_json::to_string(&prepared).unwrap();
            let read: Prepared = serde_json::from_str(&text).unwrap();
            assert_eq!(read, prepared);
            prepared = read;
            drop(client);
            client = scene.client().await;
        }
        let report = client.carry_out(prepared, Consent::Seen).await;
        (outcomes(&report), scene.written())
    };
    let (at_once, later) = (run(false).await, run(true).await);
    assert_eq!(at_once, later);
    assert_eq!(at_once.0, ["TEST-000001 done", "TEST-000002 done"]);
}

#[test]
fn both_halves_of_a_round_may_move_between_threads() {
    fn is_send<F: Future + Send>(_: &F) {}
    let never_run = async |client: &mut Client<'_>, prepared: Prepared| {
        is_send(&client.prepare());
        is_send(&client.carry_out(prepared, Consent::Seen));
    };
    let _ = never_run;
}

/// A machine that sends one batch, and is gone.
async fn dies_after_its_first_import(machine: &Scene) {
    let sent = AtomicBool::new(false);
    let is_after = move |request: &Request| sent.fetch_or(request.uri().path().ends_with("/import"), Ordering::Relaxed);
    machine.dies_before(is_after).await;
}

#[tokio::test]
async fn rows_that_another_machine_sent_while_the_prompt_waited_are_followed() {
    let scene = Scene::new(Settings::calm(), 1, (1..=3).map(|n| claim(n, &["groupTag=OSL-STD"])).collect());
    let mut client = scene.client().await;
    let prepared = client.prepare().await.unwrap();
    let other = Scene::at(scene.sim.clone(), 2, scene.claims.clone());
    dies_after_its_first_import(&other).await;
    let report = client.carry_out(prepared, Consent::Seen).await;
    assert!(outcomes(&report).iter().all(|line| line.ends_with("done")), "{:?}", outcomes(&report));
    assert_eq!(scene.sim.with(|tenant| tenant.counters().import_posts), 1, "nothing was sent twice");
    assert_eq!(scene.syncs(), 1);
}

#[tokio::test]
async fn a_gate_that_another_machine_has_sent_is_a_gate_all_the_same() {
    let scene = Scene::new(Settings::calm(), 1, (1..=530).map(|n| claim(n, &["groupTag=OSL-STD"])).collect());
    let mut client = scene.client().await;
    let prepared = client.prepare().await.unwrap();
    let other = Scene::at(scene.sim.clone(), 2, scene.claims.clone());
    dies_after_its_first_import(&other).await;
    let report = client.carry_out(prepared, Consent::Seen).await;
    assert_eq!(report.outcomes.tally().done, 530, "{:?}", report.outcomes.tally());
    let (posts, first, second) = scene.sim.with(|tenant| {
        let at = |kind| tenant.witnessed().filter(move |write| write.kind == kind).map(|write| write.at);
        let mut posted: Vec<_> = at(apgit::door::sim::WriteKind::Import).collect();
        posted.dedup();
        let mut registered: Vec<_> = at(apgit::door::sim::WriteKind::Register).collect();
        registered.sort();
        (tenant.counters().import_posts, registered[24], posted[1])
    });
    assert_eq!(posts, 3, "the other's gate, and our two batches");
    assert!(second >= first, "the second batch went out {second}, the gate was through {first}");
}

#[tokio::test]
async fn what_died_in_the_middle_is_done_once_under_its_approval() {
    use apgit::door::model::Action;
    let scene = Scene::new(Settings::calm(), 1, (1..=2).map(|n| claim(n, &["displayName=OSL-1"])).collect());
    let digest = scene.prepare().await.cleared.plan().digest().sha256;
    scene.dies_before(|request| is_of(request, "updateDeviceProperties")).await;
    let client = scene.client().await;
    let approval = client.journal.approval(&digest).expect("it was approved");
    assert_eq!(approval.effects.len(), 2);
    for effect in &approval.effects {
        assert!(matches!(effect.action, Action::Register(_)));
        assert_eq!(
            approval.used(effect),
            apgit::door::ledger::Use::Done,
            "its import is complete, though its name is owed"
        );
    }
    assert_eq!(client.journal.spent(&digest), None);
}

/// Also where two targets share a journal, as all ports of loopback do.
#[tokio::test]
async fn an_approval_goes_on_at_its_own_target_only() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &["displayName=OSL-1"])]);
    let digest = scene.prepare().await.cleared.plan().digest().sha256;
    scene.dies_before(|request| is_of(request, "updateDeviceProperties")).await;
    let mut client = scene.client().await;
    let prepared = client.prepare().await.unwrap();
    let desired = Desired::new(scene.tenant.clone(), scene.claims.clone());
    let standing = |prepared: &Prepared| plan::standing(&digest, &prepared.cleared, &desired, &client.journal);
    assert!(matches!(standing(&prepared), Standing::Rest(_)));
    let mut elsewhere = serde_json::to_value(&prepared).unwrap();
    elsewhere["cleared"]["plan"]["target"] = serde_json::json!({"endpoint": "http://127.0.0.1:8827"});
    let elsewhere: Prepared = serde_json::from_value(elsewhere).unwrap();
    assert_eq!(standing(&elsewhere), Standing::Other);
}

/// One device to retag, and one that a vendor has registered and no list shows
/// yet: its 806 brings another round.
#[tokio::test]
async fn what_a_run_has_done_it_does_not_do_again_over_somebody_elses_hand() {
    let mut settings = Settings::calm();
    settings.set("visibility.in_list=6m").unwrap();
    let scene = Scene::new(settings, 1, vec![claim(1, &["groupTag=OSL-STD"]), claim(2, &["groupTag=OSL-STD"])]);
    let id = scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(1).to_base64(), "OSL-OLD").unwrap());
    scene.pass(SignedDuration::from_mins(10));
    scene.sim.with(|tenant| {
        tenant.register_as_oem_from_hash(&hash(2).to_base64(), "").unwrap();
        tenant.sync_as_portal().unwrap();
    });
    scene.pass(SignedDuration::from_mins(1));
    let sim = scene.sim.clone();
    let mut set_back = false;
    let between = Between::new(&scene.sim, move |request| {
        let shows = sim.with(|tenant| tenant.registrations_of(&serial(1))[0].group_tag.clone());
        let is_look = request.method() == "GET" && request.uri().path().contains("windowsAutopilotDeviceIdentities");
        if shows == "OSL-STD" && is_look && !std::mem::replace(&mut set_back, true) {
            sim.with(|tenant| tenant.set_tag_as_portal(id, "OSL-OLD").unwrap());
        }
        Deed::Pass
    });
    let mut client = scene.client_through(between).await;
    let prepared = client.prepare().await.unwrap();
    assert_eq!(prepared.cleared.plan().changes.len(), 2, "{:?}", super::world::read_aloud(prepared.cleared.plan()));
    let report = client.carry_out(prepared, Consent::Unseen).await;
    let updates = scene.written().iter().filter(|line| line.starts_with("Update TEST-000001")).count();
    assert_eq!(updates, 1, "{:?}", outcomes(&report));
    assert_eq!(scene.registration(1).group_tag, "OSL-OLD", "the last word is the admin's");
}

#[tokio::test]
async fn what_an_import_could_not_carry_is_not_written_once_somebody_else_has_it_in_hand() {
    let users = ["groupTag=OSL-STD", "userPrincipalName=anna.keller@contoso.com", "addressableUserName=Anna"];
    let hands: [(&str, Hand); 4] = [
        ("another user", |tenant, id| tenant.set_user_as_portal(id, "tom.weiss@contoso.com").unwrap()),
        ("another tag", |tenant, id| tenant.set_tag_as_portal(id, "OSL-SHARED").unwrap()),
        ("another name", |tenant, id| tenant.set_display_name_as_portal(id, "LENT").unwrap()),
        ("enrolled", |tenant, id| tenant.enrol(id).unwrap()),
    ];
    for (what, hand) in hands {
        let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &users), claim(2, &["displayName=OSL-0002"])]);
        let sim = scene.sim.clone();
        let mut done = false;
        let between = Between::new(&scene.sim, move |request| {
            let made = sim.with(|tenant| tenant.registrations_of(&serial(1)));
            if let ([one], "GET", false) = (&made[..], request.method().as_str(), done) {
                let id = one.id;
                sim.with(|tenant| hand(tenant, id));
                done = true;
            }
            Deed::Pass
        });
        let mut client = scene.client_through(between).await;
        let prepared = client.prepare().await.unwrap();
        let _ = client.carry_out(prepared, Consent::Unseen).await;
        drop(client);
        // Nor is it by a later run that may only complete what it made.
        let mut later = Scene::at(scene.sim.clone(), 1, scene.claims.clone());
        (later.kept, later.tenant.policy) = (scene.kept.clone(), Policy::CreateOnly);
        let _ = later.apply().await;
        let written = scene.written_to_devices();
        assert!(!written.iter().any(|line| line.starts_with("Update TEST-000001")), "{what}: {written:?}");
        assert!(written.iter().any(|line| line.starts_with("Update TEST-000002")), "{what}: {written:?}");
    }
}

#[tokio::test]
async fn a_greeting_is_sent_with_the_user_of_this_moment() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &["addressableUserName=Anna"])]);
    let id = scene.sim.with(|tenant| {
        let id = tenant.add_device_of_hash(&hash(1).to_base64(), "").unwrap();
        tenant.set_user_as_portal(id, ANNA).unwrap();
        id
    });
    scene.pass(SignedDuration::from_hours(1));
    let mut client = scene.client().await;
    let prepared = prepared(&mut client).await;
    scene.sim.with(|tenant| tenant.set_user_as_portal(id, "tom.weiss@contoso.com").unwrap());
    let report = client.carry_out(prepared, Consent::Unseen).await;
    assert_eq!(outcomes(&report), ["TEST-000001 not attempted ChangedMeanwhile"]);
    assert_eq!(scene.written_to_devices(), [""; 0]);
}

/// Somebody looks at the plan and consents: its digest, and what comes of it.
async fn consents(scene: &Scene) -> (String, Vec<String>) {
    let mut client = scene.client().await;
    let prepared = client.prepare().await.unwrap();
    let digest = prepared.cleared.plan().digest().sha256;
    let report = client.carry_out(prepared, Consent::Seen).await;
    (digest, outcomes(&report))
}

/// The digest is given again to whoever has this scene's journal: what comes of it.
async fn repeats(scene: &Scene, digest: &str) -> String {
    let mut client = scene.client().await;
    let prepared = client.prepare().await.unwrap();
    let desired = Desired::new(scene.tenant.clone(), scene.claims.clone());
    match plan::standing(digest, &prepared.cleared, &desired, &client.journal) {
        Standing::Same => "the same".to_owned(),
        Standing::Other => "another".to_owned(),
        Standing::Rest(rest) => {
            let resumed = Entry::Resumed { digest: digest.to_owned() };
            client.journal.record(client.graph.service_now(), vec![resumed]).await.unwrap();
            let report = client.carry_out(prepared.only(&rest.approved), Consent::Resumed).await;
            outcomes(&report).join(", ")
        }
    }
}

/// A fleet of which one device stays undone: its digest is never spent.
fn one_is_foreign() -> Scene {
    let mut settings = Settings::calm();
    settings.set("import.delay=90s..100s").unwrap();
    let scene = Scene::new(settings, 1, (1..=2).map(|n| claim(n, &["groupTag=OSL-STD"])).collect());
    scene.sim.with(|tenant| tenant.make_foreign(&hash(2).to_base64()).unwrap());
    scene
}

fn remove(scene: &Scene, number: u64) {
    let id = scene.registration(number).id;
    scene.sim.with(|tenant| tenant.remove_as_portal(id).unwrap());
    scene.pass(SignedDuration::from_hours(3));
    scene.forget_writes();
}

#[tokio::test]
async fn what_was_followed_under_a_consent_is_registered_once_under_it() {
    // By another machine, and by the same one whose consent was given once more.
    for is_same_machine in [false, true] {
        let scene = one_is_foreign();
        dies_after_its_first_import(&scene).await;
        let second = Scene::at(scene.sim.clone(), 2, scene.claims.clone());
        let second = if is_same_machine { &scene } else { &second };
        let (digest, ended) = consents(second).await;
        assert_eq!(ended, ["TEST-000001 done", "TEST-000002 failed AssignedToOtherTenant"]);
        remove(second, 1);
        let said = repeats(second, &digest).await;
        assert_eq!(second.written_to_devices(), [""; 0], "on the same machine: {is_same_machine}, {said}");
    }
}

#[tokio::test]
async fn a_consent_does_not_forget_what_is_done_over_a_later_attempt() {
    let scene = one_is_foreign();
    let (digest, _) = consents(&scene).await;
    let second = Scene::at(scene.sim.clone(), 2, scene.claims.clone());
    *second.kept.0.lock().unwrap() = scene.kept.0.lock().unwrap().clone();
    remove(&scene, 1);
    scene.sim.with(|tenant| tenant.make_foreign(&hash(1).to_base64()).unwrap());
    scene.pass(SignedDuration::from_hours(24));
    dies_after_its_first_import(&second).await;
    scene.pass(SignedDuration::from_hours(1));
    scene.forget_writes();
    let said = repeats(&scene, &digest).await;
    assert_eq!(scene.written_to_devices(), [""; 0], "{said}");
}

#[tokio::test]
async fn an_update_whose_end_nobody_saw_is_sent_again_under_its_consent() {
    // A registration to change, and a tail: the request never arrived.
    for is_tail in [false, true] {
        let values: &[&str] = if is_tail { &["displayName=OSL-1"] } else { &["groupTag=OSL-STD"] };
        let scene = Scene::new(Settings::calm(), 1, vec![claim(1, values)]);
        if !is_tail {
            scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(1).to_base64(), "OSL-OLD").unwrap());
            scene.pass(SignedDuration::from_mins(10));
        }
        let digest = scene.prepare().await.cleared.plan().digest().sha256;
        scene.dies_before(|request| is_of(request, "updateDeviceProperties")).await;
        scene.pass(SignedDuration::from_mins(5));
        assert_eq!(repeats(&scene, &digest).await, "TEST-000001 done", "a tail: {is_tail}");
        assert_eq!(scene.written().iter().filter(|line| line.starts_with("Update")).count(), 1);
        // And what was seen is not.
        let id = scene.registration(1).id;
        scene.sim.with(|tenant| match is_tail {
            true => tenant.set_display_name_as_portal(id, "").unwrap(),
            false => tenant.set_tag_as_portal(id, "OSL-OLD").unwrap(),
        });
        scene.pass(SignedDuration::from_mins(30));
        scene.forget_writes();
        let said = repeats(&scene, &digest).await;
        assert_eq!(scene.written_to_devices(), [""; 0], "a tail: {is_tail}, {said}");
    }
}

#[tokio::test]
async fn what_the_service_refused_takes_a_new_consent() {
    // Whoever registered it since: nobody, this machine under another consent, or
    // another machine whose journal knows nothing.
    for by in ["nobody", "this machine", "another machine"] {
        let mut scene = one_is_foreign();
        scene.claims.pop();
        scene.sim.with(|tenant| tenant.make_foreign(&hash(1).to_base64()).unwrap());
        let (digest, ended) = consents(&scene).await;
        assert_eq!(ended, ["TEST-000001 failed AssignedToOtherTenant"]);
        scene.sim.with(|tenant| tenant.release_foreign(&hash(1).to_base64()).unwrap());
        match by {
            "nobody" => scene.pass(SignedDuration::from_hours(24 * 40)),
            "this machine" => {
                scene.approvals.retry = [apgit::door::model::SerialKey::of(&serial(1))].into();
                assert_eq!(consents(&scene).await.1, ["TEST-000001 done"]);
                scene.approvals.retry.clear();
                remove(&scene, 1);
            }
            _ => {
                let other = Scene::at(scene.sim.clone(), 2, scene.claims.clone());
                assert_eq!(consents(&other).await.1, ["TEST-000001 done"]);
                remove(&scene, 1);
            }
        }
        scene.forget_writes();
        let said = repeats(&scene, &digest).await;
        assert_eq!(scene.written_to_devices(), [""; 0], "{by}: {said}");
        // It is offered, once a refusal is a day old, under a digest of its own.
        scene.pass(SignedDuration::from_hours(25));
        let offered = scene.prepare().await.cleared.plan().clone();
        assert_eq!(super::world::read_aloud(&offered), ["+ TEST-000001"], "{by}");
        assert_ne!(offered.digest().sha256, digest, "{by}");
    }
}

#[tokio::test]
async fn an_older_consent_is_none_once_something_newer_was_consented_to() {
    // The vendor's registration is met (806), taken over, and removed by a person.
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &["groupTag=OSL-STD"])]);
    let digest = scene.prepare().await.cleared.plan().digest().sha256;
    scene.dies_before(|request| is_of(request, "import")).await;
    scene.sim.with(|tenant| {
        tenant.register_as_oem_from_hash(&hash(1).to_base64(), "").unwrap();
        tenant.sync_as_portal().unwrap();
    });
    scene.pass(SignedDuration::from_mins(30));
    assert_eq!(consents(&scene).await.1, ["TEST-000001 done"]);
    remove(&scene, 1);
    scene.forget_writes();
    let said = repeats(&scene, &digest).await;
    assert_eq!(scene.written_to_devices(), [""; 0], "{said}");
}

#[tokio::test]
async fn an_update_that_never_shows_is_sent_twice_and_no_more_under_one_consent() {
    let mut settings = Settings::calm();
    settings.set("update.lost_share=100%").unwrap();
    let scene = Scene::new(settings, 1, vec![claim(1, &["groupTag=OSL-STD"])]);
    scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(1).to_base64(), "OSL-OLD").unwrap());
    scene.pass(SignedDuration::from_mins(10));
    let (digest, ended) = consents(&scene).await;
    assert_eq!(ended, ["TEST-000001 failed NotVisible"]);
    let sent = || {
        scene.sim.with(|tenant| {
            tenant
                .counters()
                .calls_of("POST", "deviceManagement/windowsAutopilotDeviceIdentities/{id}/updateDeviceProperties")
        })
    };
    let first = sent();
    assert_eq!(first, 2);
    for _ in 0..3 {
        scene.pass(SignedDuration::from_mins(30));
        let said = repeats(&scene, &digest).await;
        assert_eq!(sent(), first, "{said}");
    }
    let offered = scene.prepare().await.cleared.plan().digest().sha256;
    assert_ne!(offered, digest, "whoever wants it tried again looks at it again");
}
