//! A process that dies at any request and at any line of the journal: running
//! again converges, and nothing is registered twice, with the journal and
//! with the journal lost.

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Arc, Mutex};

use apgit::door::ledger::{JournalError, JournalStore};
use apgit::door::sim::Settings;
use apgit::door::transport::{Request, Response, SharedTransport, Transport, TransportError};
use futures::FutureExt as _;

use super::world::{Declared, Ways, World, read_aloud};

/// Where in a run the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Before the request is sent, or the line is written.
    Before,
    /// The request had its effect, and nobody saw the answer; or half of the
    /// line was written.
    Within,
    /// The answer was read, or the line is safe; nothing came after.
    After,
}

const MOMENTS: [Moment; 3] = [Moment::Before, Moment::Within, Moment::After];

/// Counts requests and journal writes together, and ends the run at one.
#[derive(Clone)]
struct Reaper(Arc<Mutex<Plan>>);

struct Plan {
    step: usize,
    dies_at: Option<(usize, Moment)>,
    dying: bool,
}

struct Death;

impl Reaper {
    fn new(dies_at: Option<(usize, Moment)>) -> Self {
        Self(Arc::new(Mutex::new(Plan { step: 0, dies_at, dying: false })))
    }

    fn steps(&self) -> usize {
        self.0.lock().unwrap().step
    }

    /// Called at the start of each step; says whether this one is cut in half.
    fn begin(&self) -> bool {
        let mut plan = self.0.lock().unwrap();
        let step = plan.step;
        plan.step += 1;
        let moment = plan.dies_at.filter(|(at, _)| *at == step).map(|(_, moment)| moment);
        // Dying after a step is dying before whatever comes next.
        let dies = plan.dying || moment == Some(Moment::Before);
        plan.dying |= moment == Some(Moment::After);
        drop(plan);
        if dies {
            // A plain unwind: no message, no hook.
            resume_unwind(Box::new(Death));
        }
        moment == Some(Moment::Within)
    }
}

struct MortalTransport(SharedTransport, Reaper);

#[async_trait::async_trait]
impl Transport for MortalTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let cut = self.1.begin();
        let answer = self.0.send(request).await;
        if cut {
            resume_unwind(Box::new(Death));
        }
        answer
    }
}

struct MortalStore(Box<dyn JournalStore>, Reaper, std::path::PathBuf);

#[async_trait::async_trait]
impl JournalStore for MortalStore {
    async fn read(&mut self) -> Result<Vec<String>, JournalError> {
        self.0.read().await
    }

    async fn append(&mut self, lines: &[String]) -> Result<(), JournalError> {
        if self.1.begin() {
            let text = lines.join("\n");
            let torn = [std::fs::read_to_string(&self.2).unwrap(), text[..text.len() / 2].to_owned()].concat();
            std::fs::write(&self.2, torn).unwrap();
            resume_unwind(Box::new(Death));
        }
        self.0.append(lines).await
    }

    async fn replace(&mut self, lines: &[String]) -> Result<(), JournalError> {
        self.0.replace(lines).await
    }
}

fn fleet() -> Vec<Declared> {
    let user = "anna.keller@contoso.com";
    vec![
        Declared::new(1).with("groupTag", "OSL-STD"),
        Declared::new(2).with("groupTag", "OSL-STD").with("displayName", "LOBBY-01"),
        Declared::new(3).with("groupTag", "OSL-STD").with("userPrincipalName", user),
    ]
}

/// A tenant that refuses three rows at once, so that the batch is halved.
fn world() -> World {
    let mut settings = Settings::calm();
    settings.set("import.rows_max=2").expect("a setting of imports");
    World::new(settings, 7, &fleet()).auditing()
}

/// Runs an apply that dies at the given step; `false` if it outlived it.
async fn dies(world: &World, reaper: &Reaper) -> bool {
    let Ways { transport, store } = world.ways();
    let path = world.journal_file();
    let ways = Ways {
        transport: Arc::new(MortalTransport(transport, reaper.clone())),
        store: Box::new(MortalStore(store, reaper.clone(), path)),
    };
    let run = AssertUnwindSafe(world.try_apply(ways, &mut |_| {})).catch_unwind().await;
    // A run that dies before it has a log has sent nothing.
    if world.repository.audit_file().exists() {
        world.assert_announced(&format!("{:?}", reaper.0.lock().unwrap().dies_at));
    }
    match run {
        Ok(result) => {
            let _ = result.expect("a calm tenant can be read");
            false
        }
        Err(payload) => {
            let payload: &(dyn Any + Send) = &*payload;
            assert!(payload.is::<Death>(), "the run panicked by itself");
            true
        }
    }
}

async fn converges(world: &World, context: &str) {
    let _ = world.apply().await;
    assert_eq!(read_aloud(world.plan().await.cleared.plan()), [""; 0], "{context}");
    world.assert_nothing_twice();
    world.assert_announced(context);
    world.sim.with(|tenant| {
        assert_eq!(tenant.registrations().len(), 3, "{context}");
        let named: Vec<_> = tenant.registrations_of("TEST-000002");
        assert_eq!(named[0].display_name, "LOBBY-01", "{context}");
        let doubled = &tenant.counters().posted_while_running;
        assert!(doubled.is_empty(), "a row was posted again while its record ran: {doubled:?}, {context}");
    });
}

/// With the journal, the second run also does what the first one owed.
fn assert_nothing_is_left_over(world: &World, context: &str) {
    world.sim.with(|tenant| {
        assert_eq!(tenant.import_records(), [], "{context}");
        assert_eq!(tenant.counters().syncs_accepted.len(), 1, "{context}");
    });
}

#[tokio::test]
async fn the_run_has_a_refused_batch_and_leaves_no_import_records() {
    let world = world();
    let reaper = Reaper::new(None);
    assert!(!dies(&world, &reaper).await);
    assert!(reaper.steps() > 25, "only {} steps", reaper.steps());
    world.sim.with(|tenant| {
        assert_eq!(tenant.counters().import_posts_refused, 1);
        assert_eq!(tenant.import_records(), []);
    });
    converges(&world, "no crash").await;
}

#[tokio::test]
async fn a_crash_at_any_step_is_answered_by_running_again() {
    let reaper = Reaper::new(None);
    assert!(!dies(&world(), &reaper).await);
    let mut deaths = 0;
    for step in 0..reaper.steps() {
        for moment in MOMENTS {
            for journal_lost in [false, true] {
                let context = format!("died {moment:?} step {step}, journal lost: {journal_lost}");
                let world = world();
                deaths += usize::from(dies(&world, &Reaper::new(Some((step, moment)))).await);
                if journal_lost {
                    world.lose_journal();
                }
                converges(&world, &context).await;
                if !journal_lost {
                    assert_nothing_is_left_over(&world, &context);
                }
            }
        }
    }
    // Only dying after the very last step is no death.
    assert!(deaths >= (reaper.steps() * MOMENTS.len() - 1) * 2 - 2, "only {deaths} deaths");
}

#[tokio::test]
async fn a_crash_while_imports_are_slow_leaves_no_records_either() {
    let slow = || {
        let mut settings = Settings::calm();
        settings.set("import.rows_max=2").expect("a setting of imports");
        settings.set("import.delay=90s..100s").expect("a setting of imports");
        World::new(settings, 7, &fleet()).auditing()
    };
    let reaper = Reaper::new(None);
    assert!(!dies(&slow(), &reaper).await);
    for step in 0..reaper.steps() {
        let context = format!("died within step {step}, slow imports");
        let world = slow();
        dies(&world, &Reaper::new(Some((step, Moment::Within)))).await;
        converges(&world, &context).await;
        assert_nothing_is_left_over(&world, &context);
    }
}

#[tokio::test]
async fn crash_after_crash_still_converges() {
    for step in (5..60).step_by(5) {
        let world = world();
        for again in 0..4 {
            dies(&world, &Reaper::new(Some((step / (again + 1), MOMENTS[again % 3])))).await;
        }
        converges(&world, &format!("four crashes around step {step}")).await;
    }
}
