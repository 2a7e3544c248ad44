//! However many rounds, processes, machines and clocks: within 24 hours no more
//! registrations are removed than one limit allows, unless a person says so.

use std::collections::BTreeSet;
use std::process::Stdio;

use apgit::door::sim::{Settings, Tenant, WriteKind};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use super::gate::Cut;
use super::site::{Kept, Machine, Site, going, serial};
use crate::road::world::Declared;
use crate::support::terminate;

/// Of 21 to 40 devices two may go within a day.
const DEVICES: std::ops::RangeInclusive<u64> = 1..=40;
const LEAST: usize = 24;
const LIMIT: usize = 2;

/// A fleet that gets smaller.
struct Fleet {
    left: BTreeSet<u64>,
}

impl Fleet {
    fn new() -> Self {
        Self { left: DEVICES.collect() }
    }

    fn declared(&self) -> Vec<Declared> {
        self.left.iter().map(|number| going(*number)).collect()
    }

    /// Takes one or two away.
    fn shrinks(&mut self, random: &mut Rng) {
        for _ in 0..random.usize(1..=2) {
            let left: Vec<u64> = self.left.iter().copied().collect();
            if left.len() > LEAST {
                self.left.remove(random.choice(&left).expect("some are left"));
            }
        }
    }
}

/// When removals were accepted, each once, as the tenant has seen it.
fn removals(site: &Site) -> Vec<Timestamp> {
    site.served.tenant.with(|tenant| {
        let mut seen = BTreeSet::new();
        let deletes = tenant.witnessed().filter(|write| write.kind == WriteKind::Delete);
        deletes.filter(|write| seen.insert(write.registration)).map(|write| write.at).collect()
    })
}

#[track_caller]
fn keeps_to_the_limit(site: &Site, context: &str) {
    let at = removals(site);
    for first in &at {
        let day = SignedDuration::from_hours(24);
        let within = at.iter().filter(|other| *first <= **other && other.duration_since(*first) < day).count();
        assert!(within <= LIMIT, "{context}: {within} within a day from {first}: {at:?}");
    }
}

/// What may happen between two applies. Gives back how many went, and how often
/// they were held.
fn life(site: &Site, machines: &[Machine], seed: u64, steps: usize) -> (usize, usize) {
    let mut random = Rng::with_seed(seed);
    let (mut fleet, mut deaths, mut refused) = (Fleet::new(), 0, 0);
    machines[0].catches_up();
    machines[0].declare(&fleet.declared());
    machines[0].apply("");
    site.served.tenant.with(Tenant::reset_counters);
    let mut did = Vec::new();
    for step in 0..steps {
        let machine = random.choice(machines).expect("one at least");
        machine.catches_up();
        if random.u8(..3) > 0 {
            fleet.shrinks(&mut random);
            did.push(format!("{} are left", fleet.left.len()));
        }
        machine.declare(&fleet.declared());
        match random.u8(..10) {
            0..=2 => site.pass(SignedDuration::from_mins(random.i64(1..60))),
            3..=5 => site.pass(SignedDuration::from_hours(random.i64(1..12))),
            6 => site.pass(SignedDuration::from_hours(random.i64(20..30))),
            _ => {}
        }
        did.push(format!("{} {}", step, site.served.tenant.now()));
        let context = |did: &[String]| format!("seed {seed}: {did:#?}");
        if random.u8(..4) == 0 {
            let cut = *random.choice(&[Cut::Before, Cut::After]).expect("two");
            let at = random.usize(1..9);
            deaths += usize::from(machine.is_killed_at(site, at, cut, ""));
            did.push(format!("killed {cut:?} {at}"));
            if random.bool() {
                machine.lose_journal();
                did.push("lost its journal".to_owned());
            }
            if machines.len() > 1 {
                let other = random.choice(machines).expect("one at least");
                let unlocked = other.run("ledger unlock fleet");
                assert_eq!(unlocked.code, 0, "{}: {}{}", context(&did), unlocked.out, unlocked.err);
            }
        } else {
            let apply = machine.run("apply --auto-approve");
            assert!([0, 5, 8].contains(&apply.code), "{}: {} {}{}", context(&did), apply.code, apply.out, apply.err);
            if apply.code == 5 {
                // Nobody says yes: what is there still is declared again.
                refused += 1;
                let numbers = machine.tracked().into_iter().map(|serial| serial[5..].parse().expect("a number"));
                fleet.left = numbers.collect();
            }
        }
        keeps_to_the_limit(site, &context(&did));
    }
    let removed = removals(site).len();
    println!("seed {seed}: {removed} removed, {refused} times held, {deaths} deaths");
    (removed, refused)
}

#[test]
fn one_machine_whose_clock_moves_and_whose_runs_die_removes_no_more_than_a_limit_a_day() {
    let lives = (600..603).map(|seed| {
        let site = Site::new(Kept::InFile, seed);
        let machine = site.machine(&[]);
        life(&site, &[machine], seed, 30)
    });
    are_worth_living(lives);
}

#[test]
fn machines_that_share_a_ledger_remove_no_more_than_a_limit_a_day() {
    let lives = (610..611).map(|seed| {
        let site = Site::new(Kept::InBranch, seed);
        let machines = [site.machine(&[]), site.machine(&[]), site.machine(&[])];
        life(&site, &machines, seed, 24)
    });
    are_worth_living(lives);
}

fn are_worth_living(lives: impl Iterator<Item = (usize, usize)>) {
    let (removed, refused) = lives.fold((0, 0), |(went, held), life| (went + life.0, held + life.1));
    assert!(removed > LIMIT && refused > 0, "{removed} went, and they were held {refused} times");
}

#[test]
fn a_ledger_that_begins_anew_or_comes_from_a_copy_remembers_what_was_removed() {
    let site = Site::new(Kept::InFile, 621);
    let fleet =
        |without: &[u64]| -> Vec<Declared> { (1..=16).filter(|number| !without.contains(number)).map(going).collect() };
    let machine = site.machine(&fleet(&[]));
    machine.apply("");
    let copy = machine.repository.state_dir().join("copy.json");
    std::fs::write(&copy, machine.ledger_text().expect("a ledger")).expect("a file");
    machine.declare(&fleet(&[2]));
    machine.apply("");
    let is_held = |number: u64| {
        machine.declare(&fleet(&[2, number]));
        let apply = machine.run("apply --auto-approve");
        assert_eq!(apply.code, 5, "{}{}", apply.out, apply.err);
        assert!(site.is_registered(number));
    };
    let done = |words: &str| {
        let ran = machine.run(words);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    };
    is_held(3);
    done("ledger rebuild fleet");
    is_held(4);
    done(&format!("ledger import {} --path fleet", copy.display()));
    is_held(5);
    // One that may go still counts as well.
    site.pass(SignedDuration::from_hours(25));
    machine.declare(&fleet(&[2, 5]));
    let request = requests_until_removal(&site, &machine);
    assert!(machine.is_killed_at(&site, request, Cut::After, ""), "request {request}");
    machine.lose_journal();
    done("ledger rebuild fleet");
    site.pass(SignedDuration::from_hours(1));
    assert!(!site.is_registered(5));
    machine.declare(&fleet(&[2, 5, 6]));
    let apply = machine.run("apply --auto-approve");
    assert!(site.is_registered(6), "{}{}", apply.out, apply.err);
}

/// At which request an apply removes, if it does nothing else.
fn requests_until_removal(site: &Site, machine: &Machine) -> usize {
    site.gate.set(None);
    assert_eq!(machine.run("plan").code, 0);
    site.gate.seen() + 2
}

#[test]
fn a_removal_that_was_asked_for_stays_counted_though_it_is_not_asked_for_again() {
    let mut settings = Settings::calm();
    settings.set("delete.visible=120m..130m").expect("a setting of deletions");
    let site = Site::with(settings, Kept::InFile, 620);
    let fleet =
        |without: &[u64]| -> Vec<Declared> { (1..=16).filter(|number| !without.contains(number)).map(going).collect() };
    let machine = site.machine(&fleet(&[]));
    machine.apply("");
    machine.declare(&fleet(&[2]));
    let slow = machine.run("apply --auto-approve");
    assert!(slow.out.contains("NotGone"), "{}", slow.out);
    // Asked for again, and stopped before it is sent.
    site.gate.set(Some((4, Cut::Pause)));
    let mut command = machine.command("apply --auto-approve");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("apgit runs");
    assert!(site.gate.is_cut(|| child.try_wait().unwrap().is_some()));
    assert!(!site.gate.is_removal());
    terminate(&child);
    std::thread::sleep(std::time::Duration::from_millis(50));
    site.gate.open();
    let stopped = child.wait_with_output().expect("it ends");
    let out = String::from_utf8_lossy(&stopped.stdout);
    assert!(
        out.contains("1 not attempted") || out.contains("stopped"),
        "{out}{}",
        String::from_utf8_lossy(&stopped.stderr)
    );
    machine.lose_journal();
    site.pass(SignedDuration::from_hours(3));
    assert!(!site.is_registered(2));
    machine.declare(&fleet(&[2, 3]));
    let next = machine.run("apply --auto-approve");
    assert_eq!(next.code, 5, "the one that went counts: {}{}", next.out, next.err);
    assert!(site.is_registered(3));
    assert_eq!(machine.ledger()["tombstones"][0]["end"], "deregistered");
    assert_eq!(machine.ledger()["tombstones"][0]["serialNumber"], serial(2));
}
