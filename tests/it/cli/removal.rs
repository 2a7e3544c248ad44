//! A device leaves the declarations: what plan and apply say and do, with a
//! ledger beside the journal.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Desk, Folder, Ran, contoso};

/// What the example says of its laptops in Oslo.
const DELETES: &str = "    deletionPolicy: Delete      # a laptop that is declared no more is deregistered\n";

/// A fleet of ten that was applied, each to be removed with its declaration.
struct Fleet {
    desk: Desk,
    folder: Folder,
}

impl Fleet {
    fn applied() -> Self {
        let fleet = Self::declared();
        let apply = fleet.run("apply --auto-approve");
        assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
        fleet
    }

    fn declared() -> Self {
        Self { desk: Desk::new(), folder: contoso() }
    }

    fn run(&self, words: &str) -> Ran {
        let (command, more) = words.split_once(' ').unwrap_or((words, ""));
        self.desk.run(&format!("{command} {} --simulate {more}", self.folder.path().display()))
    }

    /// Takes the last device of Oslo away.
    fn removes_one(&self) {
        self.folder.edit(
            "devices/oslo/laptops.yaml",
            "    - serialNumber: TEST-OSL-005\n      groupTag: OSL-LOANER      # takes the place of the default\n",
            "",
        );
    }

    fn ledger_path(&self) -> PathBuf {
        let files = self.desk.state.files();
        files.into_iter().find(|path| path.ends_with("ledger.json")).expect("a ledger")
    }

    fn ledger(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.ledger_path()).unwrap()).expect("JSON")
    }

    fn tracked(&self) -> Vec<String> {
        let ledger = self.ledger();
        let devices = ledger["devices"].as_array().unwrap().iter();
        devices.map(|device| device["serialNumber"].as_str().unwrap().to_owned()).collect()
    }

    /// Nothing is left to do, and nothing is done.
    fn is_settled(&self) {
        let before = std::fs::read(self.ledger_path()).unwrap();
        let again = self.run("apply --auto-approve");
        assert!(again.code == 0 && again.out.contains("No changes."), "{}{}", again.out, again.err);
        assert_eq!(std::fs::read(self.ledger_path()).unwrap(), before, "an idle apply writes no ledger");
        let plan = self.run("plan --detailed-exitcode");
        assert_eq!(plan.code, 0, "{}", plan.out);
    }
}

#[test]
fn a_device_that_is_declared_no_more_is_deregistered_and_forgotten() {
    let fleet = Fleet::applied();
    assert_eq!(fleet.tracked().len(), 9);
    fleet.is_settled();
    fleet.removes_one();
    let plan = fleet.run("plan --detailed-exitcode");
    assert_eq!(plan.code, 2, "{}", plan.out);
    assert!(plan.out.contains("  - TEST-OSL-005  deregister  declared no more: its registration goes"), "{}", plan.out);
    assert!(plan.out.contains("0 to register, 0 to update, 1 to deregister"), "{}", plan.out);
    assert!(plan.out.contains("deregister: 1 of at most 1 (9 registered)"), "{}", plan.out);
    let json = fleet.run("plan --json").json();
    assert_eq!(json["summary"]["deregister"], 1);
    assert_eq!(json["actions"][0]["actions"][0], "deregister");
    assert_eq!(json["actions"][0]["precondition"]["expect"], "fingerprint");
    let diff = fleet.run("plan --diff").out;
    assert!(diff.contains("-groupTag: OSL-LOANER") && diff.contains("declared no more"), "{diff}");
    let apply = fleet.run("apply --auto-approve");
    assert!(apply.code == 0 && apply.out.contains("1 done, 0 failed"), "{}{}", apply.out, apply.err);
    assert!(!fleet.tracked().contains(&"TEST-OSL-005".to_owned()));
    assert_eq!(fleet.ledger()["tombstones"][0]["end"], "deregistered");
    fleet.is_settled();
}

#[test]
fn one_that_stays_registered_is_released_and_a_stranger_from_then_on() {
    let fleet = Fleet::declared();
    fleet.folder.edit("devices/oslo/laptops.yaml", DELETES, "");
    assert_eq!(fleet.run("apply --auto-approve").code, 0);
    fleet.removes_one();
    let plan = fleet.run("plan");
    assert!(plan.out.contains("  . TEST-OSL-005  release"), "{}", plan.out);
    let apply = fleet.run("apply --auto-approve");
    assert!(apply.code == 0 && apply.out.contains("1 done, 0 failed"), "{}{}", apply.out, apply.err);
    assert_eq!(fleet.ledger()["tombstones"][0]["end"], "released");
    let plan = fleet.run("plan");
    assert!(plan.out.contains("Not managed here: 1") && plan.out.contains("? TEST-OSL-005"), "{}", plan.out);
    fleet.is_settled();
}

#[test]
fn a_protection_outlives_its_line_and_is_lifted_in_two_steps() {
    let fleet = Fleet::declared();
    let file = "devices/oslo/laptops.yaml";
    let line = "      groupTag: OSL-LOANER      # takes the place of the default\n";
    fleet.folder.edit(file, line, &format!("{line}      protect: true\n"));
    assert_eq!(fleet.run("apply --auto-approve").code, 0);
    let declared = fleet.folder.read(file);
    fleet.folder.edit(file, &format!("    - serialNumber: TEST-OSL-005\n{line}      protect: true\n"), "");
    let plan = fleet.run("plan");
    assert!(
        plan.out.contains("(DeletionProtected): 1") && plan.out.contains("protected since 2026-01-05"),
        "{}",
        plan.out
    );
    let apply = fleet.run("apply --auto-approve");
    assert!(apply.code == 0 && !apply.out.contains("Apply plan"), "{}", apply.out);
    fleet.folder.write(file, declared.replace("      protect: true\n", ""));
    let plan = fleet.run("plan");
    assert!(plan.out.contains("  * TEST-OSL-005  loosen"), "{}", plan.out);
    assert_eq!(fleet.run("apply --auto-approve").code, 0);
    fleet.is_settled();
    fleet.removes_one();
    assert!(fleet.run("apply --auto-approve").out.contains("1 done"), "now it may go");
}

#[test]
fn a_ledger_that_was_edited_or_is_lost_removes_nothing() {
    let fleet = Fleet::applied();
    fleet.removes_one();
    let path = fleet.ledger_path();
    let sealed = std::fs::read_to_string(&path).unwrap();
    let edited = sealed.replace("TEST-OSL-004", "TEST-OSL-014");
    assert_ne!(edited, sealed);
    std::fs::write(&path, &edited).unwrap();
    let plan = fleet.run("plan");
    assert!(plan.code == 0 && plan.out.contains("somebody has edited it"), "{}{}", plan.out, plan.err);
    assert!(!plan.out.contains("to deregister"), "{}", plan.out);
    let apply = fleet.run("apply --auto-approve");
    assert!(apply.code == 6 && apply.err.contains("nothing was sent"), "{}{}", apply.out, apply.err);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), edited, "and nothing is written over it");

    std::fs::remove_file(&path).unwrap();
    let plan = fleet.run("plan");
    assert!(plan.out.contains("there is no ledger of what was applied before"), "{}", plan.out);
    assert!(plan.out.contains("? TEST-OSL-005") && !plan.out.contains("to deregister"), "{}", plan.out);
    // What it owns is what it has registered, not what it finds.
    assert_eq!(fleet.run("apply --auto-approve").code, 0);
    assert_eq!(fleet.tracked().len(), 8);
}

#[test]
fn an_older_ledger_of_another_lineage_stops_an_apply() {
    let fleet = Fleet::applied();
    fleet.folder.edit("tenant.yaml", "  policy: Sync", "  ledger: {lineage: another}\n  policy: Sync");
    let plan = fleet.run("plan");
    assert!(plan.code == 0 && plan.out.contains("and `another`"), "{}", plan.out);
    let apply = fleet.run("apply --auto-approve");
    assert!(apply.code == 6 && apply.err.contains("lineage"), "{}", apply.err);
    let lineage = fleet.ledger()["lineage"].as_str().unwrap().to_owned();
    fleet.folder.edit("tenant.yaml", "lineage: another", &format!("lineage: {lineage}"));
    fleet.is_settled();
}

#[test]
fn an_emptied_repository_and_a_second_removal_of_a_day_are_held() {
    let fleet = Fleet::applied();
    fleet.removes_one();
    assert_eq!(fleet.run("apply --auto-approve").code, 0);
    fleet.folder.edit("devices/oslo/laptops.yaml", "    - serialNumber: TEST-OSL-004\n", "");
    let plan = fleet.run("plan");
    assert!(plan.out.contains("1 and 1 in the last 24 hours, of at most 1"), "{}", plan.out);
    assert_eq!(fleet.run("apply --auto-approve").code, 5);
    assert!(fleet.tracked().contains(&"TEST-OSL-004".to_owned()));
    let apply = fleet.run("apply --auto-approve --approve-deletes 1");
    assert!(apply.code == 0 && apply.out.contains("1 done"), "{}{}", apply.out, apply.err);

    for file in ["devices/oslo/laptops.yaml", "devices/oslo/kiosks.yaml"] {
        std::fs::remove_file(fleet.folder.at(file)).unwrap();
    }
    let plan = fleet.run("plan --detailed-exitcode");
    assert_eq!(plan.code, 2, "{}", plan.out);
    assert!(plan.out.contains("Declared no more, and nothing is removed: 5"), "{}", plan.out);
    assert!(plan.out.contains("5 of 7 devices are declared no more, at most 2 may be"), "{}", plan.out);
    assert_eq!(fleet.run("plan --json").json()["removal"]["notComputed"], "DesiredSetCollapsed");
    let before = fleet.tracked();
    let _ = fleet.run("apply --auto-approve");
    assert_eq!(fleet.tracked(), before);
}

#[test]
fn what_was_there_before_is_adopted_without_a_write_and_not_removed_by_a_default() {
    let fleet = Fleet::applied();
    // Another owner of the same tenant finds everything as declared.
    fleet.folder.edit("tenant.yaml", "ownerId: corp-devices", "ownerId: newcomers");
    let plan = fleet.run("plan");
    assert!(plan.out.contains("9 to adopt") && plan.out.contains("0 write calls"), "{}", plan.out);
    assert!(plan.out.contains("  = TEST-OSL-001  adopt"), "{}", plan.out);
    let apply = fleet.run("apply --auto-approve");
    assert!(apply.code == 0 && apply.out.contains("9 done"), "{}{}", apply.out, apply.err);
    let plan = fleet.run("plan --detailed-exitcode");
    assert!(plan.code == 0 && plan.out.contains("No changes."), "{}", plan.out);
    fleet.removes_one();
    assert!(fleet.run("plan").out.contains("  . TEST-OSL-005  release"));
}

#[test]
fn a_saved_plan_removes_what_it_says_as_long_as_that_is_declared_nowhere() {
    let fleet = Fleet::applied();
    fleet.removes_one();
    let plan = fleet.desk.state.at("plan.apgit");
    let plan = plan.display().to_string();
    assert_eq!(fleet.run(&format!("plan --out {plan}")).code, 0);
    let declared = fleet.folder.read("devices/oslo/laptops.yaml");
    let apply = || fleet.desk.run(&format!("apply {plan} {} --simulate", fleet.folder.path().display()));
    // Declared again, by its registration: nothing is removed.
    let ledger = fleet.ledger();
    let mut devices = ledger["devices"].as_array().unwrap().iter();
    let device = devices.find(|device| device["serialNumber"] == "TEST-OSL-005").unwrap();
    let id = device["registrationId"].as_str().unwrap();
    let again = format!("{declared}    - {{serialNumber: TEST-OSL-005, registrationId: {id}, groupTag: OSL-LOANER}}\n");
    fleet.folder.write("devices/oslo/laptops.yaml", again);
    let refused = apply();
    assert!(refused.code == 6 && refused.err.contains("TEST-OSL-005"), "{}{}", refused.out, refused.err);
    assert!(fleet.tracked().contains(&"TEST-OSL-005".to_owned()));
    // An emptied repository is no licence either.
    for file in ["devices/oslo/kiosks.yaml", "devices/bergen/laptops.yaml"] {
        let text = fleet.folder.read(file);
        std::fs::remove_file(fleet.folder.at(file)).unwrap();
        fleet.folder.write(format!("{file}.kept"), text);
    }
    fleet.folder.write("devices/oslo/laptops.yaml", &declared);
    assert_eq!(apply().code, 6);
    for file in ["devices/oslo/kiosks.yaml", "devices/bergen/laptops.yaml"] {
        let text = fleet.folder.read(format!("{file}.kept"));
        fleet.folder.write(file, text);
    }
    let done = apply();
    assert!(done.code == 0 && done.out.contains("1 done"), "{}{}", done.out, done.err);
    assert!(!fleet.tracked().contains(&"TEST-OSL-005".to_owned()));
    let again = apply();
    assert!(again.code == 0 && fleet.tracked().len() == 8, "{}{}", again.out, again.err);
    fleet.is_settled();
}

#[test]
fn a_change_cannot_loosen_the_guard_that_judges_it() {
    let fleet = Fleet::applied();
    fleet.removes_one();
    fleet.folder.edit("devices/oslo/laptops.yaml", "    - serialNumber: TEST-OSL-004\n", "");
    let limits = "  limits: {maxDeletes: 20, maxDeletePercent: 100, maxShrinkPercent: 100}\n  policy: Sync";
    fleet.folder.edit("tenant.yaml", "  policy: Sync", limits);
    let plan = fleet.run("plan");
    assert!(plan.out.contains("Loosened by this plan, for those that follow: 3"), "{}", plan.out);
    assert!(plan.out.contains("* limits.maxDeletePercent") && plan.out.contains("2 of at most 1"), "{}", plan.out);
    let json = fleet.run("plan --json").json();
    assert_eq!(json["loosens"][0]["path"], "limits.maxDeletes");
    assert_eq!((&json["summary"]["deregister"], &json["summary"]["blocked"]), (&0.into(), &2.into()));
    assert_eq!(fleet.run("apply --auto-approve").code, 5, "the limit holds two");
    assert_eq!(fleet.tracked().len(), 9);
    let plan = fleet.run("plan");
    assert!(!plan.out.contains("Loosened") && plan.out.contains("2 to deregister"), "{}", plan.out);
    assert!(fleet.run("apply --auto-approve").out.contains("2 done"));
    // What is declared stricter counts at once.
    fleet.folder.edit("tenant.yaml", "maxDeletes: 20", "maxDeletes: 0");
    fleet.folder.edit("devices/oslo/laptops.yaml", "    - serialNumber: TEST-OSL-001\n", "");
    assert!(fleet.run("plan").out.contains("(LimitExceeded): 1"));
}
