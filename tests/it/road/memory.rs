//! What is remembered, what is found again when it was not, and what is owed.

use std::sync::Arc;

use apgit::door::apply::{Halt, SyncOutcome};
use apgit::door::clock::Stop;
use apgit::door::model::{Policy, SerialKey};
use apgit::door::plan::SyncReason;
use apgit::door::round::Consent;
use apgit::door::sim::{Mishap, Settings};
use apgit::door::transport::{Request, Response};
use jiff::SignedDuration;

use super::scene::{Between, Deed, Scene, claim, hash, is_of, outcomes, serial};

const IMPORTS: &str = "deviceManagement/importedWindowsAutopilotDeviceIdentities";
const IMPORT: &str = "deviceManagement/importedWindowsAutopilotDeviceIdentities/import";
const SYNC: &str = "deviceManagement/windowsAutopilotSettings/sync";

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// Its records are still there when the process dies.
async fn dies_before_the_clean_up(scene: &Scene) {
    scene.dies_before(|request| is_of(request, "/sync")).await;
    assert!(!scene.sim.with(|tenant| tenant.import_records()).is_empty());
}

#[tokio::test]
async fn a_device_that_its_owner_released_is_registered_a_day_after_it_was_first_seen() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &[]), claim(2, &[])]);
    scene.sim.with(|tenant| tenant.make_foreign(&hash(1).to_base64()).unwrap());
    dies_before_the_clean_up(&scene).await;
    scene.lose_journal();
    scene.sim.with(|tenant| tenant.release_foreign(&hash(1).to_base64()).unwrap());
    let _ = scene.apply().await;
    assert_eq!(scene.plan().await, ["x TEST-000001 AssignedToOtherTenant"]);
    scene.pass(SignedDuration::from_hours(24));
    let _ = scene.apply().await;
    assert_eq!(scene.plan().await, [""; 0]);
    assert!(scene.registration(1).listed);
}

#[tokio::test]
async fn a_device_that_was_removed_in_the_portal_is_imported_again_though_the_journal_is_lost() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &[])]);
    dies_before_the_clean_up(&scene).await;
    scene.lose_journal();
    let id = scene.registration(1).id;
    scene.sim.with(|tenant| tenant.remove_as_portal(id).unwrap());
    let report = scene.apply().await;
    assert_eq!(outcomes(&report), ["TEST-000001 done"], "after the time that a registration may take");
    assert_ne!(scene.registration(1).id, id);
}

#[tokio::test]
async fn an_import_record_that_somebody_removed_is_not_missed() {
    let mut settings = Settings::calm();
    settings.set("import.delay=90s..100s").unwrap();
    let scene = Scene::new(settings, 1, vec![claim(1, &["displayName=OSL-0001"]), claim(2, &[])]);
    let sim = scene.sim.clone();
    let mut removed = false;
    let between = Between::new(&scene.sim, move |request| {
        let records = sim.with(|tenant| tenant.import_records());
        let of_first = records.iter().find(|record| record.serial == serial(1));
        if request.method() == "GET"
            && !std::mem::replace(&mut removed, of_first.is_some())
            && let Some(record) = of_first
        {
            sim.with(|tenant| tenant.remove_record_as_portal(record.id).unwrap());
        }
        Deed::Pass
    });
    let mut client = scene.client_through(between).await;
    let prepared = client.prepare().await.unwrap();
    let report = client.carry_out(prepared, Consent::Unseen).await;
    assert!(scene.sim.with(|tenant| tenant.witnessed().any(|write| write.by.is_empty())), "somebody removed it");
    assert_eq!(outcomes(&report)[1], "TEST-000002 done");
    let imports = scene.written().iter().filter(|line| line.starts_with("Import TEST-000001")).count();
    assert_eq!(imports, 1, "no second import");
    assert!(scene.registration(1).listed);
    assert_eq!(scene.syncs(), 1);
    let again = scene.apply().await;
    assert_eq!(scene.plan().await, [""; 0], "{again:#?}");
    assert_eq!(scene.written().iter().filter(|line| line.starts_with("Import TEST-000001")).count(), 1);
    assert_eq!(scene.registration(1).display_name, "OSL-0001");
}

/// Its rows are taken, and it has not read how they end.
async fn dies_after_its_post(scene: &Scene) {
    let sim = scene.sim.clone();
    let has_records = move || !sim.with(|tenant| tenant.import_records()).is_empty();
    scene.dies_before(move |request| request.method() == "GET" && is_of(request, IMPORTS) && has_records()).await;
}

/// Its record is removed by somebody after the process is gone.
async fn dies_and_loses_its_record(scene: &Scene) {
    dies_after_its_post(scene).await;
    scene.sim.with(|tenant| {
        let records = tenant.import_records();
        records.iter().for_each(|record| tenant.remove_record_as_portal(record.id).unwrap());
    });
}

/// Whose the registration is that comes up afterwards, nobody can say: it is
/// synced, and what it lacks is an update like any other.
#[tokio::test]
async fn what_an_import_made_whose_record_is_gone_gets_its_sync_and_is_nobodys_before_it_is_adopted() {
    for (policy, writes) in [(Policy::Sync, 1), (Policy::CreateOnly, 0)] {
        let claims = vec![claim(1, &["groupTag=OSL-STD", "displayName=OSL-0001"]), claim(2, &[])];
        let mut scene = Scene::new(Settings::calm(), 1, claims);
        scene.tenant.policy = policy;
        dies_after_its_post(&scene).await;
        scene.pass(minutes(5));
        scene.sim.with(|tenant| {
            let records = tenant.import_records();
            assert_eq!(records.len(), 2);
            records.iter().for_each(|record| tenant.remove_record_as_portal(record.id).unwrap());
        });
        scene.forget_writes();
        let _ = scene.apply().await;
        assert_eq!(scene.syncs(), 1, "{policy:?}");
        assert_eq!(scene.written_to_devices().len(), writes, "{policy:?}");
        let _ = scene.apply().await;
        assert_eq!((scene.syncs(), scene.written_to_devices().len()), (1, writes), "{policy:?}");
    }
}

#[tokio::test]
async fn what_others_registered_after_our_record_was_removed_is_not_ours() {
    let mut settings = Settings::calm();
    settings.set("import.delay=10m").unwrap();
    let mut scene = Scene::new(settings, 1, vec![claim(1, &["displayName=OSL-0001"])]);
    scene.tenant.policy = Policy::CreateOnly;
    dies_and_loses_its_record(&scene).await;
    scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(1).to_base64(), "OTHER").unwrap());
    scene.pass(minutes(20));
    scene.forget_writes();
    let _ = scene.apply().await;
    assert_eq!(scene.written_to_devices(), [""; 0]);
}

#[tokio::test]
async fn a_sync_that_is_owed_for_a_removed_record_outlives_the_run() {
    let mut settings = Settings::calm();
    settings.set("import.delay=40s").unwrap();
    let scene = Scene::new(settings, 1, vec![claim(1, &[])]);
    let sim = scene.sim.clone();
    let (stopper, stop) = Stop::new();
    let mut was_there = false;
    let between = Between::new(&scene.sim, move |request| {
        let records = sim.with(|tenant| tenant.import_records());
        was_there |= !records.is_empty();
        if request.method() == "GET" && is_of(request, "windowsAutopilotSettings") && records.is_empty() && was_there {
            stopper.stop();
        }
        if request.method() == "GET" && is_of(request, IMPORTS) {
            for record in records.iter().filter(|record| record.status == "complete") {
                sim.with(|tenant| tenant.remove_record_as_portal(record.id).unwrap());
                sim.with(|tenant| tenant.sync_as_portal().unwrap());
            }
        }
        Deed::Pass
    });
    let clock = Arc::new(scene.sim.clock());
    let mut client = scene.client_over(Arc::new(between), clock, Box::new(scene.kept.clone()), stop).await;
    let prepared = client.prepare().await.unwrap();
    let report = client.carry_out(prepared, Consent::Unseen).await;
    assert!(matches!(report.halt, Some(Halt::Asked)), "{:?}", report.halt);
    drop(client);
    scene.forget_writes();
    scene.pass(minutes(20));
    let report = scene.apply().await;
    assert_eq!(scene.syncs(), 1, "{:?}", report.outcomes.sync);
}

/// One consent registers a device once, whatever becomes of the registration.
#[tokio::test]
async fn what_others_removed_is_not_registered_again_in_the_same_run() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &["displayName=OSL-0001"]), claim(2, &[])]);
    let sim = scene.sim.clone();
    let between = Between::new(&scene.sim, move |request| {
        if request.method() == "GET" {
            sim.with(|tenant| {
                for record in tenant.import_records().iter().filter(|record| record.serial == serial(1)) {
                    tenant.remove_record_as_portal(record.id).unwrap();
                }
                for registration in tenant.registrations_of(&serial(1)) {
                    tenant.remove_as_portal(registration.id).unwrap();
                }
            });
        }
        Deed::Pass
    });
    let mut client = scene.client_through(between).await;
    let prepared = client.prepare().await.unwrap();
    let report = client.carry_out(prepared, Consent::Unseen).await;
    let imports = scene.written().iter().filter(|line| line.starts_with("Import TEST-000001")).count();
    assert_eq!(imports, 1, "{:?}", outcomes(&report));
}

#[tokio::test]
async fn rows_that_a_closed_gate_kept_back_are_not_waited_for() {
    let scene = Scene::new(Settings::calm(), 1, (1..=501).map(|number| claim(number, &[])).collect());
    scene.sim.with(|tenant| {
        for number in 1..=3 {
            tenant.refuse_hardware(&hash(number).to_base64(), 802, "InvalidZtdHardwareHash").unwrap();
        }
    });
    let report = scene.apply().await;
    assert!(report.outcomes.gate_closed.is_some());
    assert_eq!(report.outcomes.tally().not_attempted, 476);
    let imports = |scene: &Scene| scene.written().iter().filter(|line| line.starts_with("Import ")).count();
    assert_eq!(imports(&scene), 25);
    let started = scene.sim.with(|tenant| tenant.now());
    let next = scene.prepare().await;
    let took = scene.sim.with(|tenant| tenant.now()).duration_since(started);
    assert_eq!(next.cleared.plan().changes.len(), 476, "the next plan offers them");
    assert!(took < SignedDuration::from_secs(30), "{took:?} for a plan");
}

#[tokio::test]
async fn a_row_whose_hash_was_swapped_is_not_waited_for() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &[]), claim(2, &[])]);
    let mut client = scene.client().await;
    let prepared = client.prepare().await.unwrap();
    scene.hashes.put(&serial(2), hash(3));
    let report = client.carry_out(prepared, Consent::Seen).await;
    assert_eq!(outcomes(&report)[1], "TEST-000002 not attempted ChangedMeanwhile");
    drop(client);
    scene.hashes.put(&serial(2), hash(2));
    let started = scene.sim.with(|tenant| tenant.now());
    assert_eq!(scene.plan().await, ["+ TEST-000002"]);
    assert!(scene.sim.with(|tenant| tenant.now()).duration_since(started) < SignedDuration::from_secs(30));
}

#[tokio::test]
async fn a_sync_that_was_skipped_is_owed_and_done_by_the_next_apply() {
    let mut settings = Settings::calm();
    settings.set("sync.gap=5h").unwrap();
    let scene = Scene::new(settings, 1, vec![claim(1, &[])]);
    scene.pass(minutes(1));
    scene.sim.with(|tenant| tenant.sync_as_portal().unwrap());
    let report = scene.apply().await;
    assert!(matches!(report.outcomes.sync, SyncOutcome::Skipped { .. }), "{:?}", report.outcomes.sync);
    assert_eq!(scene.syncs(), 1, "that of the portal");
    let next = scene.prepare().await;
    assert!(
        matches!(next.cleared.plan().upkeep.sync, Some(SyncReason::Owed { .. })),
        "{:?}",
        next.cleared.plan().upkeep
    );
    scene.sim.with(|tenant| tenant.set_settings(Settings::calm()));
    scene.forget_writes();
    let report = scene.apply().await;
    assert!(matches!(report.outcomes.sync, SyncOutcome::Done { .. }), "{:?}", report.outcomes.sync);
    assert_eq!(scene.written(), ["Sync"]);
    assert!(scene.prepare().await.cleared.plan().upkeep.is_empty());
}

#[tokio::test]
async fn a_sync_that_was_refused_is_owed() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &[])]);
    scene.sim.with(|tenant| tenant.inject_at(Mishap::Html(400), "POST", SYNC));
    let _ = scene.apply().await;
    scene.forget_writes();
    let _ = scene.apply().await;
    assert_eq!(scene.written_to_devices(), [""; 0]);
    assert!(scene.prepare().await.cleared.plan().upkeep.is_empty());
    assert!(scene.syncs() <= 1);
}

#[tokio::test]
async fn devices_are_synced_before_our_records_are_removed_and_what_stays_is_owed() {
    let claims = || (1..=30).map(|number| claim(number, &[])).collect();
    let whole = Scene::new(Settings::calm(), 1, claims());
    let _ = whole.apply().await;
    let written = whole.written();
    let first = |start: &str| written.iter().position(|line| line.starts_with(start)).unwrap();
    assert!(first("Sync") < first("DeleteRecord"), "{written:?}");

    let scene = Scene::new(Settings::calm(), 1, claims());
    scene.dies_before(|request| is_of(request, "DELETE")).await;
    assert_eq!(scene.syncs(), 1, "the devices are usable");
    let owed = scene.prepare().await.cleared.plan().upkeep.clone();
    assert_eq!((owed.sync, owed.clean_up.len()), (None, 30));
    let _ = scene.apply().await;
    assert_eq!(scene.sim.with(|tenant| tenant.import_records()), []);
    assert_eq!(scene.syncs(), 1);
}

/// The service took the rows and says that it has too much to do.
fn as_query_broker(_: Response) -> Response {
    let message = r#"{"Message": "Rate limit reached because of too many requests to query broker"}"#;
    let body = serde_json::json!({"error": {"code": "InternalServerError", "message": message}});
    let mut answer = Response::new(body.to_string().into());
    *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    answer
}

#[tokio::test]
async fn an_import_that_the_query_broker_answered_is_looked_up_and_not_repeated() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &[]), claim(2, &[])]);
    let between = Between::new(&scene.sim, |request| match request.uri().path().ends_with("/import") {
        true => Deed::Alter(as_query_broker),
        false => Deed::Pass,
    });
    let mut client = scene.client_through(between).await;
    let prepared = client.prepare().await.unwrap();
    let report = client.carry_out(prepared, Consent::Unseen).await;
    assert_eq!(outcomes(&report), ["TEST-000001 done", "TEST-000002 done"]);
    scene.sim.with(|tenant| assert_eq!(tenant.counters().import_posts, 1));
}

#[tokio::test]
async fn an_import_that_the_query_broker_refused_is_looked_up_before_it_is_sent_again() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &[])]);
    scene.sim.with(|tenant| tenant.inject_at(Mishap::QueryBroker, "POST", IMPORT));
    let _ = scene.apply().await;
    let _ = scene.apply().await;
    assert!(scene.registration(1).listed);
    let log = scene.sim.with(|tenant| tenant.request_log());
    let posts: Vec<usize> = (0..log.len()).filter(|at| log[*at].route == IMPORT).collect();
    let [first, second] = posts[..] else { panic!("two posts, not {posts:?}") };
    let looks =
        log[first..second].iter().any(|entry| entry.method == "GET" && entry.route == IMPORTS && entry.status == 200);
    assert!(looks, "{:#?}", &log[first..second]);
}

#[tokio::test]
async fn what_others_wrote_while_our_answer_was_out_does_not_make_it_ours() {
    let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &["groupTag=OSL-STD"])]);
    let id = scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(1).to_base64(), "OLD").unwrap());
    scene.dies_before(|request| is_of(request, "updateDeviceProperties")).await;
    scene.sim.with(|tenant| tenant.set_tag_as_portal(id, "OSL-STD").unwrap());
    let report = scene.apply().await;
    assert_eq!(outcomes(&report), [""; 0], "it is as declared");
    assert!(scene.client().await.journal.owned().is_empty(), "by another hand");
    assert_eq!(scene.written(), [""; 0]);
}

#[tokio::test]
async fn a_retry_follows_what_another_machine_has_sent_again() {
    let mut settings = Settings::calm();
    settings.set("import.delay=90s..100s").unwrap();
    let mut first = Scene::new(settings, 1, vec![claim(1, &[])]);
    first.sim.with(|tenant| tenant.make_foreign(&hash(1).to_base64()).unwrap());
    let report = first.apply().await;
    assert_eq!(outcomes(&report), ["TEST-000001 failed AssignedToOtherTenant"]);
    first.sim.with(|tenant| tenant.release_foreign(&hash(1).to_base64()).unwrap());
    let second = Scene::at(first.sim.clone(), 2, vec![claim(1, &[])]);
    first.approvals.retry = [SerialKey::of("TEST-000001")].into();
    // Before the retry is planned, and between its plan and its first look.
    for is_late in [false, true] {
        let scene = Scene::at(first.sim.clone(), 3, vec![claim(1, &[])]);
        *scene.kept.0.lock().unwrap() = first.kept.0.lock().unwrap().clone();
        let scene = Scene { approvals: first.approvals.clone(), ..scene };
        let mut client = scene.client().await;
        let early = if is_late { Some(client.prepare().await.unwrap()) } else { None };
        let is_posted = {
            let sim = second.sim.clone();
            move |_: &Request| !sim.with(|tenant| tenant.import_records()).is_empty()
        };
        second.dies_before(is_posted).await;
        let prepared = match early {
            Some(prepared) => prepared,
            None => client.prepare().await.unwrap(),
        };
        scene.forget_writes();
        let report = client.carry_out(prepared, Consent::Seen).await;
        assert!(!scene.written().iter().any(|line| line.starts_with("Import")), "{:?}", scene.written());
        let expected = if is_late { "TEST-000001 not attempted ChangedMeanwhile" } else { "TEST-000001 done" };
        assert_eq!(outcomes(&report), [expected]);
        scene.pass(minutes(5));
        let id = scene.registration(1).id;
        scene.sim.with(|tenant| {
            tenant.remove_as_portal(id).unwrap();
            let records: Vec<_> = tenant.import_records().iter().map(|record| record.id).collect();
            records.into_iter().for_each(|record| tenant.remove_record_as_portal(record).unwrap());
        });
        scene.pass(minutes(20));
        second.lose_journal();
    }
}

#[tokio::test]
async fn a_journal_that_is_lost_after_the_imports_costs_no_sync_and_loosens_nothing() {
    for policy in [Policy::Sync, Policy::CreateOnly] {
        let mut scene = Scene::new(Settings::calm(), 1, vec![claim(1, &["groupTag=OSL-STD", "displayName=OSL-1"])]);
        scene.tenant.policy = policy;
        dies_before_the_clean_up(&scene).await;
        scene.lose_journal();
        scene.pass(minutes(30));
        let report = scene.apply().await;
        assert!(matches!(report.outcomes.sync, SyncOutcome::Done { .. }), "{policy:?}: {:?}", report.outcomes.sync);
        // What is declared today is an update like any other.
        let name = if policy == Policy::Sync { "OSL-1" } else { "" };
        assert_eq!(scene.registration(1).display_name, name, "{policy:?}");
        assert_eq!(scene.sim.with(|tenant| tenant.import_records()).len(), 0, "{policy:?}");
        scene.pass(minutes(30));
        scene.forget_writes();
        let _ = scene.apply().await;
        assert_eq!(scene.written(), [""; 0], "{policy:?}");
    }
}
