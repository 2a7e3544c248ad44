//! Several machines with one ledger in a branch: one wins, the others plan again,
//! and nothing goes twice.

use std::collections::BTreeSet;

use apgit::door::sim::WriteKind;

use super::gate::Cut;
use super::site::{Kept, Machine, Site, going, serial};
use crate::road::world::Declared;
use crate::support::ran;

/// A branch that was written meanwhile, and a machine that applies.
const MOVED: i32 = 6;
const LATER: i32 = 9;

fn fleet(without: &[u64]) -> Vec<Declared> {
    (1..=16).filter(|number| !without.contains(number)).map(going).collect()
}

/// Two machines that know of everything, and have two devices to remove.
fn two(seed: u64) -> (Site, Machine, Machine) {
    let site = Site::new(Kept::InBranch, seed);
    let first = site.machine(&fleet(&[]));
    first.apply("");
    first.declare(&fleet(&[2, 3]));
    let second = site.machine(&fleet(&[2, 3]));
    first.follow();
    site.served.tenant.with(apgit::door::sim::Tenant::reset_counters);
    (site, first, second)
}

#[track_caller]
fn went_once(site: &Site) {
    let mut deleted = site.accepted(WriteKind::Delete);
    deleted.sort();
    assert_eq!(deleted, [serial(2), serial(3)], "each went once");
}

const YES: &str = "apply --auto-approve --approve-deletes 2";

#[test]
fn whoever_comes_while_another_machine_removes_waits_until_it_has_ended_or_is_given_up() {
    let (site, first, second) = two(400);
    // The first is held up between what it asked for and the answer.
    let removal = first_request_of_removal(&site, &first);
    let mut child = first.begin("--approve-deletes 2");
    assert!(site.gate.is_cut(|| child.try_wait().unwrap().is_some()), "request {removal} was come to");
    let waits = second.run(YES);
    assert!(waits.code == LATER && waits.err.contains("another machine applies"), "{}{}", waits.out, waits.err);
    let plan = second.run("plan");
    assert!(plan.out.contains("deletion asked for"), "a reader sees the marks: {}", plan.out);
    child.kill().unwrap();
    let _ = child.wait();
    site.gate.set(None);
    assert_eq!(second.run(YES).code, LATER);
    let unlocked = ran(&mut second.command("ledger unlock fleet"));
    assert_eq!(unlocked.code, 0, "{}{}", unlocked.out, unlocked.err);
    for _ in 0..2 {
        let apply = second.run(YES);
        assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    }
    went_once(&site);
    second.is_settled(&site, "the second");
    // The first comes back, with a journal that knows of its intents only: it has
    // the tenant sync, and that is all.
    first.apply("");
    first.is_settled(&site, "the first");
    assert!(first.tracked().is_disjoint(&BTreeSet::from([serial(2), serial(3)])));
}

/// Sets the gate to let the removal through and keep its answer.
fn first_request_of_removal(site: &Site, machine: &Machine) -> usize {
    // Token, list and settings of the tenant, and a reading by id: the plan. A
    // reading by id, then the removal itself.
    let plan = {
        site.gate.set(None);
        assert_eq!(machine.run("plan").code, 0);
        site.gate.seen()
    };
    let removal = plan + 2;
    site.gate.set(Some((removal, Cut::After)));
    removal
}

#[test]
fn whoever_has_read_a_ledger_that_is_written_meanwhile_plans_again() {
    let (site, first, second) = two(401);
    // The second has read the ledger, and not the tenant.
    site.gate.set(Some((1, Cut::Pause)));
    let slow = second.command(YES).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
    let mut slow = slow.expect("apgit runs");
    assert!(site.gate.is_cut(|| slow.try_wait().unwrap().is_some()));
    let apply = first.run(YES);
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    site.gate.open();
    let slow = slow.wait_with_output().expect("it ends");
    let (out, err) = (String::from_utf8_lossy(&slow.stdout), String::from_utf8_lossy(&slow.stderr));
    assert_eq!(slow.status.code(), Some(MOVED), "{out}{err}");
    went_once(&site);
    second.is_settled(&site, "the second");
}

#[test]
fn two_machines_at_the_same_time_remove_everything_once() {
    let mut ends = BTreeSet::new();
    for seed in 410..414 {
        let (site, first, second) = two(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut children = Vec::new();
        for machine in [&first, &second] {
            children.push(machine.begin("--approve-deletes 2"));
            std::thread::sleep(std::time::Duration::from_millis(random.u64(0..120)));
        }
        for child in &mut children {
            let code = child.wait().expect("it was ours").code().expect("a code");
            assert!([0, MOVED, LATER].contains(&code), "seed {seed}: exit {code}");
            ends.insert(code);
        }
        for machine in [&first, &second] {
            let again = machine.run(YES);
            assert_eq!(again.code, 0, "seed {seed}: {}{}", again.out, again.err);
        }
        went_once(&site);
        first.is_settled(&site, &format!("seed {seed}"));
        second.is_settled(&site, &format!("seed {seed}"));
    }
    println!("ends: {ends:?}");
}

#[test]
fn two_state_folders_with_one_ledger_file_remove_everything_once() {
    for seed in 420..423 {
        let site = Site::new(Kept::InFile, seed);
        let (first, second) = (site.machine(&fleet(&[])), site.machine(&fleet(&[2, 3])));
        let shared = first.repository.state_dir().join("../ledger.json");
        let words = format!("--approve-deletes 2 --ledger {}", shared.display());
        first.apply(&words);
        first.declare(&fleet(&[2, 3]));
        site.served.tenant.with(apgit::door::sim::Tenant::reset_counters);
        let mut children = [first.begin(&words), second.begin(&words)];
        for child in &mut children {
            let code = child.wait().expect("it was ours").code().expect("a code");
            assert!([0, MOVED, LATER].contains(&code), "seed {seed}: exit {code}");
        }
        for machine in [&first, &second, &first] {
            let again = machine.run(&format!("apply --auto-approve {words}"));
            assert_eq!(again.code, 0, "seed {seed}: {}{}", again.out, again.err);
        }
        went_once(&site);
        let left = std::fs::read_to_string(&shared).expect("a ledger");
        assert!(!left.contains("\"running\"") && !left.contains("\"deleting\""), "seed {seed}: {left}");
    }
}
