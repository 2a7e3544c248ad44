//! What people do in the portal between the plan and the removal: what has moved
//! stays, and only that.

use std::process::Stdio;

use apgit::door::sim::{Tenant, WriteKind};
use jiff::SignedDuration;
use uuid::Uuid;

use super::gate::Cut;
use super::site::{Kept, Machine, Moment, Site, going, serial};
use crate::road::world::Declared;

/// What somebody does to the device that is about to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Retag,
    Rename,
    Assign,
    Enrol,
    Remove,
    /// Removes it, and registers the machine anew: the same serial, another id.
    Anew,
}

const DEEDS: [Deed; 6] = [Deed::Retag, Deed::Rename, Deed::Assign, Deed::Enrol, Deed::Remove, Deed::Anew];

const YES: &str = "--approve-deletes 2";

struct Office {
    site: Site,
    machine: Machine,
    moment: Moment,
    /// The device that is moved.
    id: Uuid,
}

fn fleet(without: &[u64]) -> Vec<Declared> {
    (1..=16).filter(|number| !without.contains(number)).map(going).collect()
}

impl Office {
    /// Two devices are declared no more, and the first is worked on by others.
    fn new(seed: u64) -> Self {
        let site = Site::new(Kept::InFile, seed);
        let machine = site.machine(&fleet(&[]));
        machine.apply("");
        machine.declare(&fleet(&[2, 3]));
        site.pass(SignedDuration::from_hours(1));
        let moment = Moment::of(&site, &machine);
        let id = site.served.tenant.with(|tenant| tenant.registrations_of(&serial(2))[0].id);
        Self { site, machine, moment, id }
    }

    fn does(&self, deed: Deed) {
        let id = self.id;
        let tenant = &self.site.served.tenant;
        tenant
            .with(|tenant| match deed {
                Deed::Retag => tenant.set_tag_as_portal(id, "OSL-MINE"),
                Deed::Rename => tenant.set_display_name_as_portal(id, "LOBBY-01"),
                Deed::Assign => tenant.set_user_as_portal(id, "anna.keller@contoso.com"),
                Deed::Enrol => tenant.enrol(id),
                Deed::Remove | Deed::Anew => tenant.remove_as_portal(id),
            })
            .unwrap_or_else(|error| panic!("{deed:?}: {error}"));
        // Shown to everybody who reads from here on.
        self.site.pass(SignedDuration::from_mins(40));
        if deed == Deed::Anew {
            let hash = Declared::new(2).hash();
            tenant.with(|tenant| tenant.add_device_of_hash(&hash, "OSL-STD")).expect("a hash");
        }
    }

    #[track_caller]
    fn the_moved_one_stayed(&self, deed: Deed, context: &str) {
        let deleted = self.site.accepted(WriteKind::Delete);
        assert!(!deleted.contains(&serial(2)), "{context}: what has moved was removed");
        self.site.pass(SignedDuration::from_hours(1));
        assert_eq!(self.site.is_registered(2), deed != Deed::Remove, "{context}");
    }
}

#[test]
fn what_moves_before_it_is_read_for_the_last_time_stays() {
    let office = Office::new(500);
    office.site.gate.set(None);
    office.machine.apply(YES);
    let all = office.site.gate.seen();
    // The removal is one request, and the last reading the one before it.
    let mut seen = (0, 0);
    for deed in DEEDS {
        for request in 1..=all {
            office.moment.back(&office.site, &office.machine);
            office.site.gate.set(Some((request, Cut::Pause)));
            let command = &mut office.machine.command(&format!("apply --auto-approve {YES}"));
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("apgit runs");
            if !office.site.gate.is_cut(|| child.try_wait().unwrap().is_some()) {
                break;
            }
            let removes = office.site.gate.is_removal();
            if removes {
                let _ = child.kill();
                let _ = child.wait();
                office.site.gate.open();
                // What was on its way arrives all the same: in this tenant, and not in the next.
                let start = std::time::Instant::now();
                while office.site.accepted(WriteKind::Delete).is_empty() && start.elapsed().as_secs() < 5 {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                break;
            }
            office.does(deed);
            office.site.gate.open();
            let ran = child.wait_with_output().expect("it ends");
            let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            let context = format!("{deed:?} before request {request}: {out}{err}");
            office.the_moved_one_stayed(deed, &context);
            let other = office.site.accepted(WriteKind::Delete);
            assert!(other.is_empty() || other == [serial(3)], "{context}");
            seen.0 += 1;
            seen.1 += usize::from(!other.is_empty());
            // Whatever the first run knew, it is asked again, and stays.
            let again = office.machine.run(&format!("apply --auto-approve {YES}"));
            office.the_moved_one_stayed(deed, &format!("{context}\nagain: {}{}", again.out, again.err));
            assert!(!office.machine.tracked().contains(&serial(3)), "{context}");
        }
    }
    println!("{} deeds, and in {} of them the other one went at once", seen.0, seen.1);
    assert!(seen.0 >= 3 * DEEDS.len() && seen.1 >= DEEDS.len());
}

#[test]
fn what_moves_after_a_plan_was_saved_stays() {
    let office = Office::new(501);
    let file = office.machine.repository.root().join("../plan.apgit");
    let file = file.to_str().expect("a name");
    let saved = office.machine.run(&format!("plan --out {file} {YES}"));
    assert_eq!(saved.code, 0, "{}{}", saved.out, saved.err);
    for deed in DEEDS {
        office.moment.back(&office.site, &office.machine);
        office.site.served.tenant.with(Tenant::reset_counters);
        office.does(deed);
        let apply = |words: &str| {
            let words: Vec<&str> = ["apply", file, "fleet"].into_iter().chain(words.split_whitespace()).collect();
            crate::support::ran(&mut office.machine.repository.apgit(&words))
        };
        let refused = apply("");
        let context = format!("{deed:?}: {}{}", refused.out, refused.err);
        if !matches!(deed, Deed::Remove | Deed::Anew) {
            assert_eq!(refused.code, 6, "{context}");
        }
        office.the_moved_one_stayed(deed, &context);
        let skipped = apply("--stale skip");
        let context = format!("{deed:?}: {}{}", skipped.out, skipped.err);
        office.the_moved_one_stayed(deed, &context);
        assert_eq!(office.site.accepted(WriteKind::Delete), [serial(3)], "{context}");
    }
}
