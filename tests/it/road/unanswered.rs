//! Writes that nobody answers: what they did is looked for, and one consent
//! sends an update twice at most, whatever becomes of its answers and of the
//! processes that wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apgit::door::plan::{self, Standing};
use apgit::door::round::Consent;
use apgit::door::sim::Settings;
use apgit::door::transport::{Request, Response};
use bytes::Bytes;
use jiff::SignedDuration;

use super::scene::{Between, Client, Deed, Scene, claim, is_of, outcomes};

/// Registrations of ours whose tags are to be changed.
async fn retagged(count: u64) -> Scene {
    let claims = |tag: &str| (1..=count).map(|n| claim(n, &[&format!("groupTag={tag}")])).collect();
    let mut scene = Scene::new(Settings::calm(), 1, claims("OSL-OLD"));
    let report = scene.apply().await;
    assert!(outcomes(&report).iter().all(|outcome| outcome.ends_with("done")), "{:?}", outcomes(&report));
    scene.claims = claims("OSL-NEW");
    scene.forget_writes();
    scene
}

fn is_update(request: &Request) -> bool {
    is_of(request, "updateDeviceProperties")
}

/// How often an update was sent, and what became of it.
struct Way {
    sent: Arc<AtomicUsize>,
    deed: fn(usize) -> Deed,
}

impl Way {
    fn new(deed: fn(usize) -> Deed) -> Self {
        Self { sent: Arc::default(), deed }
    }

    async fn client<'s>(&self, scene: &'s Scene) -> (Client<'s>, Arc<tokio::sync::Notify>) {
        let (sent, deed) = (Arc::clone(&self.sent), self.deed);
        let decide = move |request: &Request| match is_update(request) {
            true => deed(sent.fetch_add(1, Ordering::SeqCst)),
            false => Deed::Pass,
        };
        let between = Between::new(&scene.sim, decide);
        let hangs = between.hangs();
        (scene.client_through(between).await, hangs)
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

/// Somebody looks at the plan and consents, or repeats the consent, which may be
/// used up; `None` if the process does not live to see its end.
async fn apply(
    client: &mut Client<'_>,
    hangs: &tokio::sync::Notify,
    digest: &mut Option<String>,
) -> Option<Vec<String>> {
    let prepared = client.prepare().await.unwrap();
    let (prepared, consent) = match digest {
        None => {
            *digest = Some(prepared.cleared.plan().digest().sha256);
            (prepared, Consent::Seen)
        }
        Some(digest) => match plan::standing(digest, &prepared.cleared, client.desired(), &client.journal) {
            Standing::Rest(rest) => (prepared.only(&rest.approved), Consent::Resumed),
            Standing::Other => return Some(vec!["used up".to_owned()]),
            Standing::Same => panic!("no use was made of it"),
        },
    };
    tokio::select! {
        report = client.carry_out(prepared, consent) => Some(outcomes(&report)),
        () = hangs.notified() => None,
    }
}

#[tokio::test]
async fn an_update_that_never_arrives_is_sent_twice_under_one_consent() {
    let scene = retagged(1).await;
    let way = Way::new(|_| Deed::Drop);
    let mut digest = None;
    for _ in 0..3 {
        let (mut client, hangs) = way.client(&scene).await;
        let ends = apply(&mut client, &hangs, &mut digest).await.unwrap();
        assert!(!ends.iter().any(|end| end.ends_with("done")), "{ends:?}");
        assert_eq!(way.sent(), 2, "{ends:?}");
        scene.pass(SignedDuration::from_hours(1));
    }
}

#[tokio::test]
async fn an_update_whose_answer_is_lost_is_looked_for_and_not_sent_again() {
    let mut scene = retagged(30).await;
    scene.approvals.updates = Some(30);
    let way = Way::new(|_| Deed::Lose);
    let (mut client, hangs) = way.client(&scene).await;
    let ends = apply(&mut client, &hangs, &mut None).await.unwrap();
    assert!(ends.iter().all(|end| end.ends_with("done")), "{ends:?}");
    assert_eq!(way.sent(), 2, "two envelopes, once each");
    assert_eq!(scene.plan().await, [""; 0]);
}

#[tokio::test]
async fn an_update_whose_first_request_is_lost_is_sent_a_second_time() {
    let scene = retagged(1).await;
    let way = Way::new(|nth| if nth == 0 { Deed::Drop } else { Deed::Pass });
    let (mut client, hangs) = way.client(&scene).await;
    let ends = apply(&mut client, &hangs, &mut None).await.unwrap();
    assert_eq!(ends, ["TEST-000001 done"]);
    assert_eq!(way.sent(), 2);
}

/// A gateway gave up on the service, which did it.
fn as_gateway(_: Response) -> Response {
    http::Response::builder().status(504).body(Bytes::from_static(b"")).unwrap()
}

#[tokio::test]
async fn an_update_that_a_gateway_answered_for_the_service_is_looked_for_and_not_sent_again() {
    let scene = retagged(1).await;
    let way = Way::new(|_| Deed::Alter(as_gateway));
    let (mut client, hangs) = way.client(&scene).await;
    let ends = apply(&mut client, &hangs, &mut None).await.unwrap();
    assert_eq!((ends, way.sent()), (vec!["TEST-000001 done".to_owned()], 1));
}

#[tokio::test]
async fn a_process_that_dies_while_it_sends_leaves_one_more_attempt() {
    let scene = retagged(1).await;
    let way = Way::new(|nth| if nth == 0 { Deed::Hang } else { Deed::Drop });
    let mut digest = None;
    {
        let (mut client, hangs) = way.client(&scene).await;
        assert_eq!(apply(&mut client, &hangs, &mut digest).await, None, "it died");
    }
    for _ in 0..2 {
        scene.pass(SignedDuration::from_hours(1));
        let (mut client, hangs) = way.client(&scene).await;
        let ends = apply(&mut client, &hangs, &mut digest).await.unwrap();
        assert_eq!(way.sent(), 2, "{ends:?}");
    }
}
