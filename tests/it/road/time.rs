//! Times that a file, a server or this machine's clock has wrong.

use std::sync::Arc;

use apgit::door::clock::{self, Clock, Stop};
use apgit::door::graph::ErrorKind;
use apgit::door::round::{Consent, RoundError};
use apgit::door::sim::{self, Settings};
use apgit::door::transport::{Request, Response};
use async_trait::async_trait;
use http::header::RETRY_AFTER;
use jiff::{SignedDuration, Timestamp};

use super::scene::{Between, Deed, Scene, claim, hash, is_of, outcomes};

/// The tenant's clock, as a machine shows it whose own is wrong.
struct Wrong {
    right: clock::Virtual,
    by: SignedDuration,
}

#[async_trait]
impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        self.right.now() + self.by
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.right.sleep_until(until.checked_sub(self.by).unwrap_or(Timestamp::MAX)).await;
    }
}

/// What a fleet comes to on a machine whose clock is wrong: everything that
/// depends on ages. One that was registered by others, one of another tenant,
/// one that has a tail; a process that died, and a sync a short while ago.
async fn comes_to(by: SignedDuration) -> Vec<Vec<String>> {
    let mut settings = Settings::calm();
    settings.set("update.by_id=30s..40s").unwrap();
    let mut scene = Scene::new(
        settings,
        1,
        vec![claim(1, &["groupTag=OSL-STD"]), claim(2, &["displayName=OSL-0002"]), claim(3, &[]), claim(4, &[])],
    );
    scene.sim.with(|tenant| {
        tenant.add_device_of_hash(&hash(1).to_base64(), "OLD").unwrap();
        tenant.make_foreign(&hash(3).to_base64()).unwrap();
    });
    let client = async |scene: &Scene| {
        let clock = Arc::new(Wrong { right: scene.sim.clock(), by });
        let mut client =
            scene.client_over(Arc::new(scene.sim.clone()), clock, Box::new(scene.kept.clone()), Stop::never()).await;
        let prepared = client.prepare().await.unwrap();
        let said = super::world::read_aloud(prepared.cleared.plan());
        let report = client.carry_out(prepared, Consent::Unseen).await;
        [said, outcomes(&report), vec![format!("{:?}", std::mem::discriminant(&report.outcomes.sync))]].concat()
    };
    let mut story = Vec::new();
    scene.sim.with(|tenant| tenant.sync_as_portal().unwrap());
    story.push(client(&scene).await);
    scene.pass(SignedDuration::from_mins(3));
    scene.claims.push(claim(5, &["displayName=OSL-0005"]));
    scene.hashes.put("TEST-000005", hash(5));
    story.push(client(&scene).await);
    scene.sim.with(|tenant| tenant.release_foreign(&hash(3).to_base64()).unwrap());
    for hours in [23, 2] {
        scene.pass(SignedDuration::from_hours(hours));
        story.push(client(&scene).await);
    }
    story.push(scene.written());
    let gap = scene.sim.with(|tenant| tenant.counters().least_sync_gap()).unwrap();
    assert!(gap >= SignedDuration::from_secs(610), "{gap:?} with a clock that is wrong by {by:?}");
    story
}

#[tokio::test]
async fn a_clock_that_is_wrong_changes_no_decision() {
    let right = comes_to(SignedDuration::ZERO).await;
    assert!(right[2].contains(&"x TEST-000003 AssignedToOtherTenant".to_owned()), "{right:#?}");
    assert!(right[3].contains(&"TEST-000003 done".to_owned()), "{right:#?}");
    for hours in [1, -1, 24 * 365, -24 * 365] {
        assert_eq!(comes_to(SignedDuration::from_hours(hours)).await, right, "a clock that is wrong by {hours} h");
    }
}

#[tokio::test]
async fn a_clock_that_was_set_right_between_two_runs_changes_no_decision() {
    for hours in [1, -1, 24 * 365, -24 * 365] {
        let scene = Scene::new(Settings::calm(), 1, vec![claim(1, &["displayName=OSL-0001"]), claim(2, &[])]);
        let clock = Arc::new(Wrong { right: scene.sim.clock(), by: SignedDuration::from_hours(hours) });
        let between =
            Between::new(&scene.sim, |request| if is_of(request, "updateDevice") { Deed::Hang } else { Deed::Pass });
        let mut client = scene.client_over(Arc::new(between), clock, Box::new(scene.kept.clone()), Stop::never()).await;
        let prepared = client.prepare().await.unwrap();
        let dies =
            tokio::time::timeout(std::time::Duration::from_millis(300), client.carry_out(prepared, Consent::Unseen));
        assert!(dies.await.is_err(), "it hangs before the name is written");
        let started = scene.sim.with(|tenant| tenant.now());
        let report = scene.apply().await;
        assert_eq!(outcomes(&report), ["TEST-000001 done"], "wrong by {hours} h");
        let took = scene.sim.with(|tenant| tenant.now()).duration_since(started);
        assert!(took < SignedDuration::from_mins(12), "{took:?}, wrong by {hours} h");
        assert_eq!(scene.syncs(), 1, "wrong by {hours} h");
        scene.sim.with(|tenant| assert_eq!(tenant.import_records(), [], "wrong by {hours} h"));
    }
}

/// Too busy for the next ten thousand years.
fn much_later(_: Response) -> Response {
    let mut answer = Response::new("{}".into());
    *answer.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
    answer.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static("300000000000"));
    answer
}

/// The same inside an envelope.
fn parts_much_later(mut answer: Response) -> Response {
    let mut body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    for part in body["responses"].as_array_mut().unwrap() {
        part["status"] = 429.into();
        part["headers"]["Retry-After"] = "300000000000".into();
    }
    *answer.body_mut() = body.to_string().into();
    answer
}

#[tokio::test]
async fn an_answer_that_asks_for_ten_thousand_years_is_no_reason_to_fall_over() {
    type Altered = (&'static str, fn(Response) -> Response);
    let all: [Altered; 6] = [
        ("DeviceIdentities", much_later),
        ("/import", much_later),
        ("$batch", much_later),
        ("$batch", parts_much_later),
        ("/sync", much_later),
        ("windowsAutopilotSettings", much_later),
    ];
    for (route, alter) in all {
        let scene =
            Scene::new(Settings::calm(), 1, vec![claim(1, &["displayName=OSL-0001"]), claim(2, &["groupTag=A"])]);
        scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(2).to_base64(), "OLD").unwrap());
        let between = Between::new(&scene.sim, move |request: &Request| match request.uri().path().ends_with(route) {
            true => Deed::Alter(alter),
            false => Deed::Pass,
        });
        let mut client = scene.client_through(between).await;
        match client.prepare().await {
            Ok(prepared) => _ = client.carry_out(prepared, Consent::Unseen).await,
            Err(RoundError::Graph(error)) => assert_eq!(error.kind, ErrorKind::Throttled, "{route}"),
            Err(error) => panic!("{route}: {error}"),
        }
        let now = scene.sim.with(|tenant| tenant.now());
        assert!(now < sim::EPOCH + SignedDuration::from_hours(24), "{route}: it is {now} by now");
    }
}

#[tokio::test]
async fn a_journal_of_the_year_9999_is_only_a_journal() {
    let stops = ["/import", "GET", "updateDeviceProperties", "/sync", "DELETE"];
    for (stop, last_day) in stops.iter().flat_map(|stop| [(*stop, false), (*stop, true)]) {
        let scene =
            Scene::new(Settings::calm(), 1, vec![claim(1, &["displayName=OSL-0001"]), claim(2, &["groupTag=A"])]);
        scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(2).to_base64(), "OLD").unwrap());
        let sim = scene.sim.clone();
        let started = move || sim.with(|tenant| tenant.counters().import_posts > 0);
        scene
            .dies_before(move |request| match stop {
                "GET" => request.method() == "GET" && started(),
                stop => is_of(request, stop),
            })
            .await;
        let year_9999 = |line: &String| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["at"] = if last_day { "9999-12-30T22:00:00Z" } else { "9999-01-01T00:00:00Z" }.into();
            line.to_string()
        };
        let lines: Vec<String> = scene.kept.0.lock().unwrap().iter().map(year_9999).collect();
        *scene.kept.0.lock().unwrap() = lines;
        let before = scene.sim.with(|tenant| tenant.now());
        let _ = scene.apply().await;
        let _ = scene.apply().await;
        let took = scene.sim.with(|tenant| tenant.now()).duration_since(before);
        assert!(took < SignedDuration::from_hours(2), "died before {stop}: {took:?}");
        assert_eq!(scene.plan().await, [""; 0], "died before {stop}");
        assert_eq!(scene.registration(1).display_name, "OSL-0001", "died before {stop}");
        scene.sim.with(|tenant| assert_eq!(tenant.counters().registered.len(), 1, "died before {stop}"));
    }
}
