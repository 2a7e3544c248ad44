//! Death before and after each request of an apply that does one of everything,
//! with what was written down kept or lost: applying again comes to the same end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use apgit::door::sim::WriteKind;
use jiff::SignedDuration;

use super::gate::{Cut, removed_by};
use super::site::{Kept, Machine, Moment, Site, going, ledger_text, said, serial, staying};
use crate::road::world::Declared;

/// Registered by somebody else, as it is declared later.
const STRANGER: u64 = 30;

/// Two go, one is released.
const GO: [u64; 2] = [2, 3];
const RELEASED: u64 = 4;

/// Two are registered.
const NEW: [u64; 2] = [17, 18];

/// A person stands behind all that is planned.
pub const YES: &str = "--approve-deletes 2 --approve-releases 2 --approve-adopts 30 --approve-updates 30";

fn before() -> Vec<Declared> {
    (1..=16).map(|number| if number == RELEASED { staying(number) } else { going(number) }).collect()
}

/// Registers two, changes one, removes two, releases one, and adopts one.
fn after() -> Vec<Declared> {
    let mut fleet = before();
    fleet.retain(|device| ![2, 3, RELEASED].iter().any(|number| device.serial() == serial(*number)));
    fleet[0] = Declared::new(1).with("groupTag", "OSL-NEW").with("deletionPolicy", "Delete");
    fleet.extend(NEW.iter().map(|number| going(*number)));
    fleet.push(going(STRANGER));
    fleet
}

fn tags() -> BTreeSet<(String, String)> {
    let tag = |number| if number == 1 { "OSL-NEW" } else { "OSL-STD" };
    let numbers = (1..=18).filter(|number| !GO.contains(number)).chain([STRANGER]);
    numbers.map(|number| (serial(number), tag(number).to_owned())).collect()
}

/// What is lost with the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    Nothing,
    Journal,
    Ledger,
    Both,
}

pub struct Matrix {
    pub site: Site,
    pub machine: Machine,
    pub moment: Moment,
    /// What the ledger says after a run to which nothing happened.
    end: BTreeSet<String>,
    pub requests: usize,
    /// Removals that went off without a mark in the ledger.
    unrecorded: Arc<Mutex<Vec<String>>>,
}

impl Matrix {
    pub fn new(kept: Kept, seed: u64) -> Self {
        let site = Site::new(kept, seed);
        let machine = site.machine(&before());
        machine.apply("");
        let hash = Declared::new(STRANGER).hash();
        site.served.tenant.with(|tenant| tenant.add_device_of_hash(&hash, "OSL-STD")).expect("a hash");
        machine.declare(&after());
        // No sync of before keeps anybody waiting.
        site.pass(SignedDuration::from_hours(1));
        let moment = Moment::of(&site, &machine);
        site.gate.set(None);
        let unrecorded = Arc::<Mutex<Vec<String>>>::default();
        let (found, remote, folder) =
            (unrecorded.clone(), site.remote.as_ref().map(|remote| remote.path.clone()), machine.folder());
        site.gate.watch(move |request| {
            let ids = removed_by(request);
            if ids.is_empty() {
                return;
            }
            let text = ledger_text(remote.as_deref(), &folder).unwrap_or_default();
            let marked = |id: &String| text.lines().any(|line| line.contains(id) && line.contains("\"deleting\""));
            found.lock().unwrap().extend(ids.into_iter().filter(|id| !marked(id)));
        });
        let apply = machine.apply(YES);
        assert!(apply.out.contains("7 done, 0 failed"), "{}", apply.out);
        let requests = site.gate.seen();
        let matrix = Self { end: said(&machine.ledger()), site, machine, moment, requests, unrecorded };
        matrix.ends_well(Lost::Nothing, "nothing happened");
        println!("{} requests", matrix.requests);
        matrix
    }

    fn dies(&self, at: usize, cut: Cut, lost: Lost) -> bool {
        let context = format!("death {cut:?} request {at} of {}, lost: {lost:?}", self.requests);
        self.moment.back(&self.site, &self.machine);
        let was_killed = self.machine.is_killed_at(&self.site, at, cut, YES);
        if matches!(lost, Lost::Journal | Lost::Both) {
            self.machine.lose_journal();
        }
        if matches!(lost, Lost::Ledger | Lost::Both) {
            self.machine.lose_ledger();
            // Whoever knows that there was one begins anew on purpose.
            let refused = self.machine.run(&format!("apply --auto-approve {YES}"));
            assert!(refused.code == 6 && refused.err.contains("it is gone"), "{context}: {}", refused.err);
            let rebuilt = self.machine.run("ledger rebuild fleet");
            assert_eq!(rebuilt.code, 0, "{context}: {}{}", rebuilt.out, rebuilt.err);
        }
        self.goes_on(lost, &context);
        was_killed
    }

    /// Applies until nothing is left, and looks at what has become of all.
    #[track_caller]
    pub fn goes_on(&self, lost: Lost, context: &str) {
        // Removals that may have been asked for are waited for, and not asked for
        // again before they are overdue.
        for _ in 0..3 {
            let again = self.machine.run(&format!("apply --auto-approve {YES}"));
            assert_eq!(again.code, 0, "{context}: {}{}", again.out, again.err);
            assert!(!again.out.contains("now held"), "{context}: {}", again.out);
            if !again.out.contains("Waiting: ") {
                break;
            }
        }
        self.ends_well(lost, context);
    }

    #[track_caller]
    fn ends_well(&self, lost: Lost, context: &str) {
        let deleted = self.site.accepted(WriteKind::Delete);
        let once: BTreeSet<&String> = deleted.iter().collect();
        assert_eq!(once.len(), deleted.len(), "{context}: removed twice: {deleted:?}");
        let may_go: BTreeSet<String> = GO.iter().map(|number| serial(*number)).collect();
        assert!(once.iter().all(|serial| may_go.contains(*serial)), "{context}: {deleted:?}");
        let unrecorded = self.unrecorded.lock().unwrap().clone();
        assert!(unrecorded.is_empty(), "{context}: removed without a mark: {unrecorded:?}");
        let twice =
            self.site.served.tenant.with(|tenant| tenant.counters().registered.values().any(|times| *times > 1));
        assert!(!twice, "{context}: registered twice");
        let ledger_is_lost = matches!(lost, Lost::Ledger | Lost::Both);
        self.machine.is_settled(&self.site, context);
        let mut wanted = tags();
        if ledger_is_lost {
            // What is in no ledger stays, and is nobody's; what was asked for comes.
            self.site.pass(SignedDuration::from_hours(1));
            let stays = GO.iter().map(|number| serial(*number)).filter(|serial| !deleted.contains(serial));
            wanted.extend(stays.map(|serial| (serial, "OSL-STD".to_owned())));
        } else {
            assert_eq!(once.len(), 2, "{context}");
            let (mut said, mut end) = (said(&self.machine.ledger()), self.end.clone());
            if lost == Lost::Journal {
                // Where its import record is gone as well, what was registered is
                // taken note of as what was there before.
                let is_old = |line: &String| !NEW.iter().any(|number| line.contains(&serial(*number)));
                said.retain(is_old);
                end.retain(is_old);
            }
            assert_eq!(said, end, "{context}");
        }
        assert_eq!(self.site.registered(), wanted, "{context}");
        let declared: BTreeSet<String> = after().iter().map(|device| device.serial().to_owned()).collect();
        assert_eq!(self.machine.tracked(), declared, "{context}");
        assert!(self.machine.ledger().get("running").is_none(), "{context}: nothing runs");
    }
}

/// Death at every `step`th request, with all kept and with something lost.
fn matrix(kept: Kept, cut: Cut, seed: u64, step: usize) {
    let matrix = Matrix::new(kept, seed);
    let lost = [Lost::Journal, Lost::Ledger, Lost::Both];
    let points: Vec<usize> = (1..=matrix.requests).step_by(step).collect();
    let mut killed = 0;
    for (nth, at) in points.iter().enumerate() {
        killed += usize::from(matrix.dies(*at, cut, Lost::Nothing));
        killed += usize::from(matrix.dies(*at, cut, lost[nth % lost.len()]));
    }
    println!("seed {seed}: {killed} deaths at {} requests", points.len());
    assert_eq!(killed, 2 * points.len(), "each of {} requests was come to", points.len());
}

#[test]
fn death_before_any_request_comes_to_the_same_end() {
    matrix(Kept::InFile, Cut::Before, 300, 1);
}

#[test]
fn death_after_any_request_comes_to_the_same_end() {
    matrix(Kept::InFile, Cut::After, 301, 1);
}

#[test]
fn death_with_the_ledger_in_a_branch_comes_to_the_same_end() {
    matrix(Kept::InBranch, Cut::After, 302, 5);
}
