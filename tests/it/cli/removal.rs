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
    assert!(plan.out.contains("it is gone; this machine has seen it written"), "{}", plan.out);
    assert!(plan.out.contains("? TEST-OSL-005") && !plan.out.contains("to deregister"), "{}", plan.out);
    let apply = fleet.run("apply --auto-approve");
    assert!(apply.code == 6 && apply.err.contains("apgit ledger rebuild"), "{}{}", apply.out, apply.err);
    // What it owns is what it has registered, not what it finds.
    let rebuild = fleet.desk.run(&format!("ledger rebuild {} --simulate", fleet.folder.path().display()));
    assert_eq!(rebuild.code, 0, "{}", rebuild.err);
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
    let apply = fleet.run("apply --auto-approve --approve-deletes 2");
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
    std::fs::remove_file(fleet.ledger_path()).expect("the others manage nothing any more");
    let plan = fleet.run("plan");
    assert!(plan.out.contains("9 to adopt") && plan.out.contains("only the ledger is written"), "{}", plan.out);
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
fn a_serial_that_is_corrected_is_one_removal_and_one_registration_side_by_side() {
    let fleet = Fleet::applied();
    let one = crate::support::machine(1);
    fleet.folder.write("hashes/new.txt", one.hash().to_base64());
    let entry = "    - serialNumber: TEST-000001\n      hardwareHashRef: {file: ../../hashes/new.txt}\n";
    fleet.folder.edit("devices/oslo/laptops.yaml", "    - serialNumber: TEST-OSL-005\n", entry);
    let plan = fleet.run("plan");
    let lines: Vec<&str> = plan.out.lines().collect();
    let at = |start: &str| {
        lines
            .iter()
            .position(|line| line.trim_start().starts_with(start))
            .unwrap_or_else(|| panic!("{start}: {}", plan.out))
    };
    let (file, removal, registration) = (at("/"), at("- TEST-OSL-005"), at("+ TEST-000001"));
    assert!(file < removal.min(registration), "{}", plan.out);
    let between = &lines[removal.min(registration)..removal.max(registration)];
    assert!(between.iter().all(|line| !line.is_empty()), "under one file: {}", plan.out);
    assert!(plan.out.contains("1 to register, 0 to update, 1 to deregister"), "{}", plan.out);
    let apply = fleet.run("apply --auto-approve");
    assert!(apply.code == 0 && apply.out.contains("2 done, 0 failed"), "{}{}", apply.out, apply.err);
    fleet.is_settled();
}

#[test]
fn a_change_cannot_loosen_the_tag_policy_that_judges_it() {
    let fleet = Fleet::applied();
    let paths = |place: &str| format!(r#"paths: ["**/devices/oslo/{place}.yaml"]"#);
    // Only kiosks.yaml may make a kiosk of a device, until now.
    fleet.folder.edit("tenant.yaml", &paths("kiosks"), &paths("*"));
    fleet.folder.edit("devices/oslo/laptops.yaml", "groupTag: OSL-LOANER", "groupTag: KIOSK-HALL");
    let json = fleet.run("plan --json").json();
    assert_eq!(json["loosens"][0]["path"], "tagPolicy", "{json}");
    assert_eq!(json["held"][0]["reason"], "TagNotAllowed", "{json}");
    let apply = fleet.run("apply --auto-approve");
    assert!(!apply.out.contains("1 done"), "{}{}", apply.out, apply.err);
    // Applied once, it judges.
    let plan = fleet.run("plan");
    assert!(plan.out.contains("~ TEST-OSL-005") && !plan.out.contains("TagNotAllowed"), "{}", plan.out);
    assert_eq!(fleet.run("apply --auto-approve").code, 0);
    // A stricter one counts at once.
    fleet.folder.edit("tenant.yaml", &paths("*"), &paths("laptops"));
    let validate = fleet.desk.run(&format!("validate {}", fleet.folder.path().display()));
    assert!(validate.code == 3 && validate.err.contains("tag-not-allowed-here"), "{}", validate.err);
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

/// As reviewers broke it: each case once let TEST-OSL-005 go.
mod broken {
    use super::*;

    const FILE: &str = "devices/oslo/laptops.yaml";
    const LAST: &str = "    - serialNumber: TEST-OSL-005\n";

    fn id_of(fleet: &Fleet, serial: &str) -> String {
        let ledger = fleet.ledger();
        let mut devices = ledger["devices"].as_array().unwrap().iter();
        let device = devices.find(|device| device["serialNumber"] == serial).unwrap();
        device["registrationId"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn stays(fleet: &Fleet, words: &str) {
        let apply = fleet.run(words);
        let plan = fleet.run("plan");
        assert!(!apply.out.contains("1 done"), "{}{}", apply.out, apply.err);
        assert!(fleet.tracked().contains(&"TEST-OSL-005".to_owned()), "{}{}", apply.out, plan.out);
    }

    #[test]
    fn a_registration_is_one_device_however_it_is_declared() {
        let fleet = Fleet::applied();
        let id = id_of(&fleet, "TEST-OSL-005");
        let protect = format!("{LAST}      registrationId: {id}\n      protect: true\n");
        fleet.folder.edit(FILE, LAST, &protect);
        let plan = fleet.run("plan --detailed-exitcode");
        assert!(plan.code == 2 && plan.out.contains("1 to tighten"), "{}", plan.out);
        assert_eq!(fleet.run("apply --auto-approve").code, 0);
        assert_eq!(fleet.tracked().len(), 9, "one line a registration");
        fleet.is_settled();
        fleet.folder.edit(FILE, &protect, LAST);
        fleet.removes_one();
        stays(&fleet, "apply --auto-approve");
    }

    #[test]
    fn a_protection_holds_whatever_else_becomes_of_the_device() {
        // The update beside it is held by a limit of nothing.
        let fleet = Fleet::declared();
        fleet.folder.edit("tenant.yaml", "  policy: Sync", "  limits: {maxUpdates: 0}\n  policy: Sync");
        assert_eq!(fleet.run("apply --auto-approve").code, 0);
        let declared = fleet.folder.read(FILE);
        fleet.folder.edit(FILE, "groupTag: OSL-LOANER", "protect: true\n      groupTag: OSL-SHARED");
        assert_eq!(fleet.run("apply --auto-approve").code, 5);
        fleet.folder.write(FILE, declared);
        fleet.removes_one();
        stays(&fleet, "apply --auto-approve");
        assert!(fleet.run("plan").out.contains("(DeletionProtected): 1"));
    }

    #[test]
    fn a_saved_plan_applies_what_is_declared_of_removals() {
        let fleet = Fleet::applied();
        fleet.folder.edit(FILE, "    deletionPolicy: Delete  ", "    deletionPolicy: Orphan  ");
        let file = fleet.desk.state.at("change.plan").display().to_string();
        assert_eq!(fleet.run(&format!("plan --out {file} --detailed-exitcode")).code, 2);
        let apply = fleet.desk.run(&format!("apply {file} {} --simulate", fleet.folder.path().display()));
        assert!(apply.code == 0 && apply.out.contains("5 done"), "{}{}", apply.out, apply.err);
        fleet.is_settled();
        fleet.removes_one();
        assert!(fleet.run("plan").out.contains(". TEST-OSL-005  release"));
    }

    #[test]
    fn a_device_that_moves_to_another_owner_is_let_go_and_not_removed() {
        let fleet = Fleet::applied();
        let tenant = fleet.folder.read("tenant.yaml").replace("ownerId: corp-devices", "ownerId: others");
        let scope = r#""OSL-*", "BGO-*", "KIOSK-*", """#;
        let others = tenant.replace("name: contoso", "name: others").replace(scope, r#""OSL-LOANER""#);
        fleet.folder.write("others/tenant.yaml", others);
        fleet.folder.edit("tenant.yaml", scope, r#""OSL-STD", "BGO-*", "KIOSK-*", """#);
        let one = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: moved}\nspec: \
                   {tenantRef: {name: others}, serialNumber: TEST-OSL-005, groupTag: OSL-LOANER, \
                   deletionPolicy: Delete}\n";
        fleet.folder.write("others/moved.yaml", one);
        for file in [FILE, "devices/oslo/kiosks.yaml", "devices/bergen/laptops.yaml"] {
            let text = fleet.folder.read(file).replace("spec:\n", "spec:\n  tenantRef: {name: contoso}\n");
            fleet.folder.write(file, text);
        }
        fleet.removes_one();
        let plan = fleet.run("plan");
        assert!(plan.out.contains(". TEST-OSL-005  release") && !plan.out.contains("deregister"), "{}", plan.out);
        assert_eq!(fleet.run("apply --auto-approve").code, 0);
        // And by a ledger alone, from another repository of this machine.
        std::fs::remove_dir_all(fleet.folder.at("others")).unwrap();
        let plan = fleet.run("plan");
        assert!(!plan.out.contains("TEST-OSL-005"), "{}{}", plan.out, plan.err);
    }

    #[test]
    fn whoever_names_fewer_paths_removes_nothing() {
        let (desk, folder) = (Desk::new(), contoso());
        let served = desk.simulate("--speed instant");
        folder.lead_to(&served.url);
        std::fs::create_dir(folder.at(".git")).unwrap();
        let run = |words: &str| {
            let mut command = desk.command(&format!("{words} --auto-approve --allow-endpoint 127.0.0.1"));
            command.current_dir(folder.path()).env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
            crate::support::ran(&mut command)
        };
        assert_eq!(run("apply .").code, 0);
        for _ in 0..2 {
            let narrow = run("apply tenant.yaml devices/bergen devices/oslo/kiosks.yaml");
            assert!(narrow.out.contains("not all declarations were read"), "{}{}", narrow.out, narrow.err);
            assert_eq!(served.get("registrations").as_array().unwrap().len(), 9);
        }
        let fleet = Fleet::applied();
        // A file that looks like a manifest and is none.
        std::fs::rename(fleet.folder.at(FILE), fleet.folder.at("devices/oslo/laptops.yaml.txt")).unwrap();
        let plan = fleet.run("plan");
        assert!(plan.out.contains("files that look like manifests were not read"), "{}{}", plan.out, plan.err);
    }

    #[test]
    fn an_older_ledger_or_another_is_not_believed() {
        let fleet = Fleet::applied();
        let old = std::fs::read(fleet.ledger_path()).unwrap();
        assert_eq!(
            fleet.desk.run(&format!("release TEST-OSL-005 --path {} --simulate", fleet.folder.path().display())).code,
            0
        );
        fleet.removes_one();
        std::fs::write(fleet.ledger_path(), &old).unwrap();
        let apply = fleet.run("apply --auto-approve");
        assert!(
            apply.code == 6 && apply.err.contains("this machine has seen it written"),
            "{}{}",
            apply.out,
            apply.err
        );
        // Of another lineage, as another machine wrote it.
        let other = Fleet::applied();
        std::fs::write(fleet.ledger_path(), std::fs::read(other.ledger_path()).unwrap()).unwrap();
        let plan = fleet.run("plan");
        assert!(!plan.out.contains("to deregister") && plan.out.contains("lineage"), "{}", plan.out);
        assert_eq!(fleet.run("apply --auto-approve").code, 6);
    }

    #[test]
    fn a_number_that_stands_in_a_pipeline_is_for_a_day() {
        let fleet = Fleet::applied();
        for serial in ["005", "004", "002"] {
            let text = fleet
                .folder
                .read(FILE)
                .replace("      groupTag: OSL-LOANER      # takes the place of the default\n", "");
            fleet.folder.write(FILE, text.replace(&format!("    - serialNumber: TEST-OSL-{serial}\n"), ""));
            let _ = fleet.run("apply --auto-approve --approve-deletes 2");
        }
        assert_eq!(fleet.tracked().len(), 7, "two, and not one more");
    }

    #[test]
    fn what_is_suspended_stays() {
        let fleet = Fleet::declared();
        fleet.folder.edit(FILE, LAST, &format!("{LAST}      suspend: true\n"));
        assert_eq!(fleet.run("apply --auto-approve").code, 0);
        fleet.folder.edit(FILE, "      suspend: true\n", "");
        assert_eq!(fleet.run("apply --auto-approve").code, 0);
        fleet.folder.edit(FILE, LAST, &format!("{LAST}      suspend: true\n"));
        assert_eq!(fleet.run("apply --auto-approve").code, 0);
        fleet.folder.edit(FILE, &format!("{LAST}      suspend: true\n"), LAST);
        fleet.removes_one();
        stays(&fleet, "apply --auto-approve");
        assert!(fleet.run("plan").out.contains("(Suspended): 1"));
    }

    #[test]
    fn a_ledger_that_is_begun_anew_or_imported_keeps_what_protects() {
        let fleet = Fleet::declared();
        let path = fleet.folder.path().display().to_string();
        assert_eq!(fleet.run("apply --auto-approve").code, 0);
        let before = fleet.desk.run(&format!("ledger export {path} --simulate")).out;
        fleet.folder.edit(FILE, LAST, &format!("{LAST}      protect: true\n"));
        assert_eq!(fleet.run("apply --auto-approve").code, 0);
        fleet.folder.edit(FILE, "      protect: true\n", "");
        assert_eq!(fleet.desk.run(&format!("ledger rebuild {path} --simulate")).code, 0);
        assert!(fleet.run("plan").out.contains("1 to loosen"), "it is said before it is done");
        fleet.folder.write("before.txt", before);
        let import = format!("ledger import {} --path {path} --simulate", fleet.folder.at("before.txt").display());
        assert_eq!(fleet.desk.run(&import).code, 0);
        fleet.removes_one();
        stays(&fleet, "apply --auto-approve");
        assert!(fleet.run("plan").out.contains("(DeletionProtected): 1"));
    }

    #[test]
    fn what_this_machine_knows_and_cannot_read_is_a_doubt() {
        let fleet = Fleet::applied();
        std::fs::write(fleet.ledger_path().with_file_name("ledger.seen"), "{").unwrap();
        fleet.removes_one();
        assert_eq!(fleet.run("apply --auto-approve").code, 6);
        assert_eq!(fleet.tracked().len(), 9);
    }

    #[test]
    fn a_pointer_of_git_lfs_is_no_empty_file() {
        let fleet = Fleet::applied();
        fleet.folder.write(FILE, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
        let plan = fleet.run("plan");
        assert!(plan.code == 3 && plan.err.contains("pointer of Git LFS"), "{}{}", plan.out, plan.err);
    }
}
