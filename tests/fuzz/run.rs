//! Runs a target: kept cases first, then edited seeds, a fixed number of them
//! or for as long as `FUZZ_SECONDS` says.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use ring::digest::{SHA256, digest};

use crate::edit::cases;

/// All targets share the time, one after the other.
const TARGETS: u32 = 8;

/// A case takes milliseconds. Whatever takes this long is work without a bound.
const SECONDS_MAX: Duration = Duration::from_secs(2);

/// Work that does not end at all is ended by us, and kept as well.
const ENDLESS: Duration = Duration::from_secs(60);

/// So many cases share a seed of their own, which plays them again.
const BLOCK: u32 = 50;

/// What every plain run starts from.
const SEED: u64 = 20_261_126;

pub struct Target {
    pub name: &'static str,
    pub seeds: Vec<Vec<u8>>,
    /// How many cases a plain run tries: about two seconds' worth.
    pub cases: u32,
}

impl Target {
    /// Holds that `check` passes for whatever the seeds may be edited to. It
    /// panics where something does not hold.
    pub fn holds(self, check: impl Fn(&[u8])) {
        listen();
        let watch = Watch::new(self.name);
        let check = |bytes: &[u8]| watch.time(bytes, &check);
        let kept = self.kept();
        for (path, bytes) in &kept {
            println!("{}: {}", self.name, path.display());
            check(bytes).unwrap_or_else(|reason| panic!("{}: {reason}", path.display()));
        }
        for seed in &self.seeds {
            check(seed).unwrap_or_else(|reason| panic!("{}: a seed as it stands: {reason}", self.name));
        }
        let (span, first) = (span(), first_seed());
        let start = Instant::now();
        let (mut tried, mut block) = (0, first);
        println!("{}: FUZZ_SEED={first}, {} seeds, {} kept cases", self.name, self.seeds.len(), kept.len());
        while span.map_or(tried < self.cases, |span| start.elapsed() < span) {
            let count = if span.is_some() { BLOCK } else { BLOCK.min(self.cases - tried) };
            self.block(block, count, &check);
            (tried, block) = (tried + count, block.wrapping_add(1));
        }
        println!("{}: {tried} cases in {:.1} s", self.name, start.elapsed().as_secs_f64());
    }

    fn block(&self, seed: u64, cases_wanted: u32, check: &impl Fn(&[u8]) -> Result<(), String>) {
        let config = Config {
            cases: cases_wanted,
            failure_persistence: None,
            max_shrink_time: 60_000,
            max_shrink_iters: 20_000,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, digest(&SHA256, &seed.to_le_bytes()).as_ref());
        let mut runner = TestRunner::new_with_rng(config, rng);
        let result = runner.run(&cases(), |case| check(&case.bytes(&self.seeds)).map_err(TestCaseError::fail));
        match result {
            Ok(()) => {}
            Err(TestError::Fail(reason, case)) => {
                let path = keep(self.name, &case.bytes(&self.seeds));
                panic!(
                    "{}: {reason}\nFUZZ_SEED={seed} plays it again; {} holds it, made smaller: {:?}",
                    self.name,
                    path.display(),
                    case.edits
                );
            }
            Err(TestError::Abort(reason)) => panic!("{}: {reason}", self.name),
        }
    }

    fn kept(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let Ok(folder) = std::fs::read_dir(kept_in(self.name)) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = folder.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a kept case"))).collect()
    }
}

fn kept_in(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/fuzz/kept", target].iter().collect()
}

/// Writes an input down, so that it is tried from now on.
fn keep(target: &str, bytes: &[u8]) -> PathBuf {
    let name: String = digest(&SHA256, bytes).as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = kept_in(target);
    std::fs::create_dir_all(&folder).expect("a folder for kept cases");
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("the case is kept");
    path
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

/// How long this target may go on; `None` in a plain run.
fn span() -> Option<Duration> {
    variable("FUZZ_SECONDS").map(|seconds| Duration::from_secs(seconds) / TARGETS)
}

fn first_seed() -> u64 {
    variable("FUZZ_SEED").unwrap_or_else(|| match span() {
        None => SEED,
        Some(_) => std::time::UNIX_EPOCH.elapsed().expect("it is later than 1970").as_secs() << 20,
    })
}

thread_local! {
    /// What the case under way on this thread says as it panics; `None` outside
    /// of cases.
    static LAST_WORDS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps the words of a case for its report: while it is made smaller, it
/// panics hundreds of times.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_kept = LAST_WORDS.with_borrow_mut(|words| {
                let Some(words) = words else { return false };
                let place = panic.location().map(ToString::to_string).unwrap_or_default();
                *words = format!("{} ({place})", said(panic.payload()));
                true
            });
            if !is_kept {
                usual(panic);
            }
        }));
    });
}

fn said(payload: &(dyn std::any::Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

/// What a case says as it panics.
fn last_words(case: impl FnOnce()) -> Result<(), String> {
    LAST_WORDS.set(Some(String::new()));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(case));
    let words = LAST_WORDS.take();
    ended.map_err(|_| words.unwrap_or_default())
}

/// What is under way, and since when.
type UnderWay = Option<(Instant, Vec<u8>)>;

/// Times cases, and ends the process over one that does not end.
struct Watch(Arc<Mutex<UnderWay>>);

impl Watch {
    fn new(target: &'static str) -> Self {
        let under_way = Arc::new(Mutex::new(UnderWay::None));
        let watched = Arc::downgrade(&under_way);
        std::thread::spawn(move || {
            while let Some(under_way) = watched.upgrade() {
                if let Some((since, bytes)) = &*under_way.lock().expect("it only looks")
                    && since.elapsed() > ENDLESS
                {
                    eprintln!("{target}: no end after {ENDLESS:?}; {} holds it", keep(target, bytes).display());
                    std::process::exit(101);
                }
                drop(under_way);
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Self(under_way)
    }

    fn time(&self, bytes: &[u8], check: &impl Fn(&[u8])) -> Result<(), String> {
        // A machine has moments; what is slow twice is slow.
        for last in [false, true] {
            let start = Instant::now();
            *self.0.lock().expect("it only looks") = Some((start, bytes.to_owned()));
            let ended = last_words(|| check(bytes));
            *self.0.lock().expect("it only looks") = None;
            let took = start.elapsed();
            ended?;
            if took <= SECONDS_MAX {
                break;
            }
            if last {
                return Err(format!("it took {took:?}"));
            }
        }
        Ok(())
    }
}
