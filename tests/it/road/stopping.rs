//! A request to stop is heard in every wait, and while a request hangs; what
//! was in flight is looked up by the next run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apgit::door::apply::Halt;
use apgit::door::clock::{self, Clock, Stop, Stopper};
use apgit::door::round::{Consent, RoundError};
use apgit::door::sim::{self, Settings};
use apgit::door::transport::{Request, Response, Transport, TransportError};
use async_trait::async_trait;
use jiff::Timestamp;

use super::scene::{ANNA, Scene, claim, hash, is_of};
use super::world::assert_nothing_twice;

/// What SIGTERM leaves a process.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks to stop when its turn has come, and then never comes back.
struct Trap {
    at: usize,
    seen: AtomicUsize,
    stopper: Stopper,
}

impl Trap {
    fn at(at: usize) -> (Arc<Self>, Stop) {
        let (stopper, stop) = Stop::new();
        (Arc::new(Self { at, seen: AtomicUsize::new(0), stopper }), stop)
    }

    async fn pass(&self) {
        if self.seen.fetch_add(1, Ordering::Relaxed) == self.at {
            self.stopper.stop();
            std::future::pending::<()>().await;
        }
    }
}

/// A clock whose every wait may be the last.
struct Waits(clock::Virtual, Arc<Trap>);

#[async_trait]
impl Clock for Waits {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        if until > self.0.now() {
            self.1.pass().await;
        }
        self.0.sleep_until(until).await;
    }
}

/// A network whose every request may hang.
struct Hangs(sim::InProcess, Arc<Trap>);

#[async_trait]
impl Transport for Hangs {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        self.1.pass().await;
        self.0.send(request).await
    }
}

/// A run that has to wait for everything: the tenant's limits and its own
/// budget (a batch is halved), slow imports and updates, a row that a process before it may have sent, a
/// sync that comes ten minutes after another.
async fn slow_scene() -> Scene {
    let mut settings = Settings::calm();
    for set in [
        "throttle.on=true",
        "throttle.app_writes=6",
        "import.rows_max=2",
        "import.delay=50s..60s",
        "update.by_id=20s..30s",
    ] {
        settings.set(set).unwrap();
    }
    let claims = (1..=5).map(|number| claim(number, &["groupTag=OSL-STD", "displayName=OSL-0001"]));
    let mut scene = Scene::new(settings, 3, claims.collect());
    scene.approvals.adopts = Some(1);
    scene.claims.push(claim(6, &["groupTag=OSL-STD", &format!("userPrincipalName={ANNA}")]));
    scene.sim.with(|tenant| tenant.add_device_of_hash(&hash(6).to_base64(), "OLD").unwrap());
    scene.dies_before(|request| is_of(request, "/import")).await;
    scene.sim.with(|tenant| tenant.sync_as_portal().unwrap());
    scene
}

enum End {
    Whole,
    Stopped,
}

/// A run with a trap in it.
async fn ends(scene: &Scene, trap: &Arc<Trap>, stop: Stop, in_waits: bool) -> End {
    let never = Trap::at(usize::MAX).0;
    let (of_clock, of_network) = if in_waits { (trap.clone(), never) } else { (never, trap.clone()) };
    let clock = Arc::new(Waits(scene.sim.clock(), of_clock));
    let transport = Arc::new(Hangs(scene.sim.clone(), of_network));
    let mut client = scene.client_over(transport, clock, Box::new(scene.kept.clone()), stop).await;
    let prepared = match client.prepare().await {
        Ok(prepared) => prepared,
        Err(RoundError::Stopped) => return End::Stopped,
        Err(error) => panic!("it should have heard the request to stop: {error}"),
    };
    match client.carry_out(prepared, Consent::Seen).await.halt {
        None => End::Whole,
        Some(Halt::Asked) => End::Stopped,
        Some(halt) => panic!("it should have heard the request to stop: {halt}"),
    }
}

/// Asks to stop at the nth occasion; then another run settles all.
async fn stops_at(nth: usize, in_waits: bool) -> End {
    let about = format!("{} {nth}", if in_waits { "wait" } else { "request" });
    let scene = slow_scene().await;
    let (trap, stop) = Trap::at(nth);
    let asked = stop.clone();
    let run = ends(&scene, &trap, stop, in_waits);
    let end = tokio::select! {
        end = run => end,
        () = async {
            asked.asked().await;
            tokio::time::sleep(PATIENCE).await;
        } => panic!("{about}: nobody heard the request to stop"),
    };
    let _ = scene.apply().await;
    assert_eq!(scene.plan().await, [""; 0], "{about}");
    scene.sim.with(|tenant| {
        assert_nothing_twice(tenant);
        assert!(tenant.counters().posted_while_running.is_empty(), "{about}");
    });
    end
}

async fn every_occasion(in_waits: bool, at_least: usize) {
    let scene = slow_scene().await;
    let (trap, stop) = Trap::at(usize::MAX);
    assert!(matches!(ends(&scene, &trap, stop, in_waits).await, End::Whole));
    let occasions = trap.seen.load(Ordering::Relaxed);
    assert!(occasions >= at_least, "only {occasions}");
    // All at once: each of them waits for real seconds.
    let started = Instant::now();
    let ends = futures::future::join_all((0..occasions).map(|nth| stops_at(nth, in_waits))).await;
    assert!(ends.iter().all(|end| matches!(end, End::Stopped)));
    println!("{occasions} occasions in {:?}", started.elapsed());
}

#[tokio::test]
async fn a_request_to_stop_is_heard_in_every_wait() {
    every_occasion(true, 14).await;
}

#[tokio::test]
async fn a_request_to_stop_is_heard_while_any_request_hangs() {
    every_occasion(false, 20).await;
}
