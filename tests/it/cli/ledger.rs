//! The ledger by its commands, and in a branch of Git that several machines share.

mod committed;
mod removed;

use std::process::Command;

use serde_json::json;

#[cfg(unix)]
use crate::support::killed_at;
use crate::support::{Desk, Folder, Ran, Remote, Simulate, contoso, ran};

fn apply(desk: &Desk, folder: &Folder, words: &str) -> Ran {
    desk.run(&format!("apply {} --simulate --auto-approve {words}", folder.path().display()))
}

#[test]
fn the_ledger_is_listed_shown_exported_and_imported() {
    let (desk, folder) = (Desk::new(), contoso());
    let path = folder.path().display().to_string();
    let before = desk.run(&format!("ledger list {path} --simulate"));
    assert!(before.code == 6 && before.err.contains("there is no ledger"), "{}{}", before.out, before.err);
    assert_eq!(apply(&desk, &folder, "").code, 0);
    let list = desk.run(&format!("ledger list {path} --simulate"));
    assert!(list.code == 0 && list.out.contains("9 devices, 0 were removed or released lately"), "{}", list.out);
    assert!(list.out.contains("TEST-KSK-001") && list.out.contains("registered, released with its declaration"));
    let show = desk.run(&format!("ledger show test-bgo-001 --path {path} --simulate"));
    for words in ["\"ines.paul@contoso.com\"", "\"BGO-INES\"", "registration", "last applied"] {
        assert!(show.out.contains(words), "{words}: {}", show.out);
    }
    let unknown = desk.run(&format!("ledger show NOSUCH --path {path} --simulate"));
    assert!(unknown.code == 3 && unknown.err.contains("not in the ledger"), "{}", unknown.err);
    let export = desk.run(&format!("ledger export {path} --simulate"));
    assert!(export.out.starts_with("{\n\"format\": \"apgit.ledger/v1\""), "{}", export.out);
    assert!(!export.out.contains("hash"), "no hash is in it");

    // Edited by hand, it is refused until somebody imports it.
    let edited = export.out.replace("BGO-INES", "BGO-OTHER");
    folder.write("edited.txt", &edited);
    let file = folder.at("edited.txt").display().to_string();
    let import = desk.run(&format!("ledger import {file} --path {path} --simulate"));
    assert!(import.code == 0 && import.out.contains("9 devices imported"), "{}{}", import.out, import.err);
    let show = desk.run(&format!("ledger show TEST-BGO-001 --path {path} --simulate"));
    assert!(show.out.contains("BGO-OTHER"), "{}", show.out);
    folder.write("edited.txt", edited.replace("corp-devices", "others"));
    let import = desk.run(&format!("ledger import {file} --path {path} --simulate"));
    assert!(import.code == 3 && import.err.contains("its owner is `others`"), "{}", import.err);
    folder.write("edited.txt", "serial,hash");
    assert_eq!(desk.run(&format!("ledger import {file} --path {path} --simulate")).code, 3);
}

/// Not by an apply of a few devices, nor by one that was killed.
#[test]
fn the_guards_of_the_first_apply_hold_whatever_part_it_was_of() {
    let (desk, folder) = (Desk::new(), contoso());
    folder.edit("tenant.yaml", "  policy: Sync", "  limits: {maxDeletes: 1}\n  policy: Sync");
    let first = apply(&desk, &folder, "--target TEST-OSL-001");
    assert_eq!(first.code, 0, "{}{}", first.out, first.err);
    folder.edit("tenant.yaml", "maxDeletes: 1", "maxDeletes: 9");
    let loosens = || {
        let plan = desk.run(&format!("plan {} --simulate --json", folder.path().display())).json();
        plan["loosens"][0]["path"].clone()
    };
    assert_eq!(loosens(), "limits.maxDeletes");
    // A part of the devices loosens nothing.
    let second = apply(&desk, &folder, "--target TEST-OSL-002");
    assert_eq!((second.code, loosens()), (0, "limits.maxDeletes".into()), "{}{}", second.out, second.err);
}

/// To loosen a guard is an effect of a plan, and no line in a file.
#[test]
fn a_guard_that_was_applied_is_not_imported_away() {
    let (desk, folder) = (Desk::new(), contoso());
    folder.edit("tenant.yaml", "  policy: Sync", "  rollout: {canary: 9, waitFor: Registered}\n  policy: Sync");
    let path = folder.path().display().to_string();
    assert_eq!(apply(&desk, &folder, "").code, 0);
    let export = desk.run(&format!("ledger export {path} --simulate")).out;
    let guards = export.lines().find(|line| line.starts_with("\"guards\"")).expect("guards");
    assert!(guards.contains("\"maxDeletes\":10,") && guards.contains("\"canary\":9"), "{guards}");
    folder.edit("tenant.yaml", "  policy: Sync", "  limits: {maxDeletes: 99}\n  policy: Sync");
    let wider = export.replace("\"maxDeletes\":10,", "\"maxDeletes\":99,").replace("\"canary\":9", "\"canary\":99");
    let none = export.replace(&format!("{guards}\n"), "");
    for (name, edited) in [("wider", &wider), ("none", &none)] {
        assert_ne!(*edited, export, "{name}");
        folder.write("edited.txt", edited);
        let import = format!("ledger import {} --path {path} --simulate", folder.at("edited.txt").display());
        assert_eq!(desk.run(&import).code, 0, "{name}");
        let plan = desk.run(&format!("plan {path} --simulate --json")).json();
        let loosens = plan["loosens"].as_array().expect(name);
        assert!(loosens.iter().any(|of| of["path"] == "limits.maxDeletes"), "{name}: {loosens:?}");
        let list = desk.run(&format!("ledger export {path} --simulate")).out;
        assert!(list.contains("\"canary\":9,") && list.contains("\"maxDeletes\":10,"), "{name}: {list}");
    }
    // One that is stricter than ours holds.
    folder.write("edited.txt", export.replace("\"maxDeletes\":10,", "\"maxDeletes\":3,"));
    let import = format!("ledger import {} --path {path} --simulate", folder.at("edited.txt").display());
    assert_eq!(desk.run(&import).code, 0);
    assert!(desk.run(&format!("ledger export {path} --simulate")).out.contains("\"maxDeletes\":3,"));
}

#[test]
fn a_lost_ledger_is_rebuilt_with_what_was_registered_and_nothing_else() {
    let (desk, folder) = (Desk::new(), contoso());
    let path = folder.path().display().to_string();
    assert_eq!(apply(&desk, &folder, "").code, 0);
    let ledger = desk.state.files().into_iter().find(|path| path.ends_with("ledger.json")).unwrap();
    std::fs::write(&ledger, "{}").unwrap();
    assert_eq!(apply(&desk, &folder, "").code, 6);
    let rebuild = desk.run(&format!("ledger rebuild {path} --simulate"));
    assert!(rebuild.code == 0 && rebuild.out.contains("with 9 devices"), "{}{}", rebuild.out, rebuild.err);
    let again = apply(&desk, &folder, "");
    assert!(again.code == 0 && again.out.contains("No changes."), "{}{}", again.out, again.err);
    // Whose journal is lost as well has registered nothing that it knows of.
    std::fs::remove_dir_all(ledger.parent().unwrap()).unwrap();
    let rebuild = desk.run(&format!("ledger rebuild {path} --simulate"));
    assert!(rebuild.code == 0 && rebuild.out.contains("with 0 devices"), "{}{}", rebuild.out, rebuild.err);
    assert!(desk.run(&format!("plan {path} --simulate")).out.contains("9 to adopt"));
}

#[test]
fn a_device_is_released_by_name_and_is_nobodys_from_then_on() {
    let (desk, folder) = (Desk::new(), contoso());
    let path = folder.path().display().to_string();
    assert_eq!(apply(&desk, &folder, "").code, 0);
    let refused = desk.run(&format!("release TEST-OSL-002 NOSUCH --path {path} --simulate"));
    assert!(refused.code == 3 && refused.err.contains("`NOSUCH` is not in the ledger"), "{}", refused.err);
    let released = desk.run(&format!("release TEST-OSL-002 --path {path} --simulate"));
    assert!(released.code == 0 && released.out.contains("TEST-OSL-002 is forgotten"), "{}", released.out);
    assert!(released.err.contains("still declared"), "{}", released.err);
    assert!(desk.run(&format!("plan {path} --simulate")).out.contains("= TEST-OSL-002  adopt"));
    folder.edit("devices/oslo/laptops.yaml", "    - serialNumber: TEST-OSL-002\n", "");
    let plan = desk.run(&format!("plan {path} --simulate"));
    assert!(plan.out.contains("? TEST-OSL-002") && plan.out.contains("No changes."), "{}", plan.out);
}

/// As a run leaves a device that died after it had asked for its removal.
fn on_its_way_out(export: &str, serial: &str) -> String {
    let head: serde_json::Value = serde_json::from_str(export).unwrap();
    let since = head["writtenAt"].as_str().unwrap();
    let line = export.lines().find(|line| line.contains(serial)).expect("a line").trim_end_matches(',');
    let mark = format!(",\"deleting\":{{\"plan\":\"plan-00000000000a\",\"since\":\"{since}\"}}}}");
    export.replacen(line, &format!("{}{mark}", line.strip_suffix('}').unwrap()), 1)
}

#[test]
fn a_device_that_is_let_go_on_its_way_out_counts_as_one_that_went() {
    let (desk, folder) = (Desk::new(), contoso());
    let path = folder.path().display().to_string();
    assert_eq!(apply(&desk, &folder, "").code, 0);
    let export = desk.run(&format!("ledger export {path} --simulate")).out;
    folder.write("going.txt", on_its_way_out(&export, "TEST-OSL-005"));
    let import = format!("ledger import {} --path {path} --simulate", folder.at("going.txt").display());
    assert_eq!(desk.run(&import).code, 0);
    let released = desk.run(&format!("release TEST-OSL-005 TEST-OSL-004 --path {path} --simulate"));
    assert!(released.out.contains("TEST-OSL-005 is forgotten; its removal was begun at"), "{}", released.out);
    assert!(released.out.contains("TEST-OSL-004 is forgotten; nothing was done"), "{}", released.out);
    let show = desk.run(&format!("ledger show TEST-OSL-005 --path {path} --simulate"));
    assert!(show.out.contains("released while it was being removed, "), "{}", show.out);
    // One may go a day.
    for serial in ["005", "004", "002"] {
        let entry = format!("    - serialNumber: TEST-OSL-{serial}\n");
        folder.edit("devices/oslo/laptops.yaml", &entry, "");
    }
    folder.edit("devices/oslo/laptops.yaml", "      groupTag: OSL-LOANER      # takes the place of the default\n", "");
    let held = apply(&desk, &folder, "");
    assert!(held.code == 5 && held.out.contains("LimitExceeded"), "{}{}", held.out, held.err);
}

/// Whoever breaks the seal makes nothing laxer by it.
#[test]
fn what_binds_us_holds_on_though_the_ledger_that_says_so_is_broken() {
    for (name, is_lost) in [("import", false), ("rebuild", false), ("import", true), ("rebuild", true)] {
        let (desk, folder) = (Desk::new(), contoso());
        let path = folder.path().display().to_string();
        let file = "devices/oslo/laptops.yaml";
        let one =
            "    - serialNumber: TEST-OSL-005\n      groupTag: OSL-LOANER      # takes the place of the default\n";
        assert_eq!(apply(&desk, &folder, "").code, 0);
        folder.write("old.txt", desk.run(&format!("ledger export {path} --simulate")).out);
        folder.edit(file, one, "");
        folder.edit(file, "    - serialNumber: TEST-OSL-004\n", "    - {serialNumber: TEST-OSL-004, protect: true}\n");
        let done = apply(&desk, &folder, "");
        assert!(done.code == 0 && done.out.contains("2 done"), "{}{}", done.out, done.err);
        let ledger = desk.state.files().into_iter().find(|path| path.ends_with("ledger.json")).unwrap();
        let text = std::fs::read_to_string(&ledger).unwrap();
        let broken = if is_lost { "{}".to_owned() } else { text.replace("\"serialNumber\":", "\"serialNumber\": ") };
        std::fs::write(&ledger, broken).unwrap();
        let words = match name {
            "import" => format!("ledger import {} --path {path} --simulate", folder.at("old.txt").display()),
            _ => format!("ledger rebuild {path} --simulate"),
        };
        let ran = desk.run(&words);
        assert_eq!(ran.code, 0, "{name}: {}{}", ran.out, ran.err);
        let export: serde_json::Value =
            serde_json::from_str(&desk.run(&format!("ledger export {path} --simulate")).out).unwrap();
        assert_eq!(export["tombstones"][0]["serialNumber"], "TEST-OSL-005", "{name}, {is_lost}: {export}");
        assert!(export["begun"].as_array().is_some_and(|begun| begun.len() >= 2), "{name}, {is_lost}: {export}");
        if !is_lost {
            assert_eq!(export["guards"]["limits"]["maxDeletes"], 10, "{name}: {export}");
            let devices = export["devices"].as_array().unwrap();
            let protected = devices.iter().find(|of| of["serialNumber"] == "TEST-OSL-004").unwrap();
            assert_eq!(protected["protect"], true, "{name}: {export}");
        }
        // One may go a day, and one has gone.
        folder.edit(file, "    - serialNumber: TEST-OSL-002\n", "");
        let held = apply(&desk, &folder, "");
        assert!(held.out.contains("LimitExceeded"), "{name}: {}{}", held.out, held.err);
        assert!(held.out.contains("! TEST-OSL-002  deregister"), "{name}: {}{}", held.out, held.err);
    }
}

/// A simulated tenant on a port, and a repository whose remote holds the ledger.
struct Shared {
    remote: Remote,
    served: Simulate,
    _desk: Desk,
}

/// A machine with a clone of its own.
struct Machine {
    desk: Desk,
    clone: crate::support::Clone,
}

impl Shared {
    fn new() -> Self {
        let desk = Desk::new();
        let served = desk.simulate("--speed instant");
        let remote = Remote::empty("fleet");
        let fleet = contoso();
        fleet.lead_to(&served.url);
        let clone = remote.clone("author");
        for path in fleet.files() {
            let name = path.strip_prefix(fleet.path()).unwrap();
            clone.write(&name.display().to_string(), std::fs::read(&path).unwrap());
        }
        clone.git(&["add", "-A"]);
        clone.git(&["commit", "-q", "-m", "the fleet"]);
        clone.git(&["push", "-q", "origin", "HEAD"]);
        Self { remote, served, _desk: desk }
    }

    fn machine(&self, name: &str) -> Machine {
        Machine { desk: Desk::new(), clone: self.remote.clone(name) }
    }
}

impl Machine {
    fn run(&self, words: &str) -> Ran {
        self.run_with("--ledger branch", words)
    }

    fn run_with(&self, ledger: &str, words: &str) -> Ran {
        ran(&mut self.command(ledger, words))
    }

    fn command(&self, ledger: &str, words: &str) -> Command {
        let mut command = self.desk.command(&format!("{words} {ledger} --allow-endpoint 127.0.0.1"));
        command.current_dir(&self.clone.path).env("PATH", std::env::var_os("PATH").unwrap());
        command.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        command
    }

    fn removes_one(&self) {
        let file = self.clone.path.join("devices/oslo/laptops.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let one =
            "    - serialNumber: TEST-OSL-005\n      groupTag: OSL-LOANER      # takes the place of the default\n";
        assert!(text.contains(one), "{text}");
        std::fs::write(file, text.replace(one, "")).unwrap();
    }
}

#[test]
fn what_one_machine_applied_another_can_remove_and_an_older_checkout_cannot_come_back() {
    let shared = Shared::new();
    let (first, second, late) = (shared.machine("first"), shared.machine("second"), shared.machine("late"));
    let apply = first.run("apply . --auto-approve");
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    let list = second.run("ledger list .");
    assert!(list.code == 0 && list.out.contains("9 devices"), "{}{}", list.out, list.err);

    second.removes_one();
    let dirty = second.run("plan .");
    assert!(dirty.out.contains("Declared no more, and nothing is removed: 1"), "{}{}", dirty.out, dirty.err);
    assert!(dirty.out.contains("the files are not as they were committed"), "{}", dirty.out);
    let _ = second.run("apply . --auto-approve");
    assert_eq!(shared.served_count(), 9, "a dirty tree removes nothing");
    second.clone.git(&["commit", "-q", "-am", "one less"]);
    let plan = second.run("plan .");
    assert!(plan.out.contains("1 to deregister"), "{}{}", plan.out, plan.err);
    let apply = second.run("apply . --auto-approve");
    assert!(apply.code == 0 && apply.out.contains("1 done"), "{}{}", apply.out, apply.err);
    assert_eq!(shared.served_count(), 8);
    // What the first machine did is in the commits of the ledger, for all.
    let history = second.run("history test-osl-005 --path .");
    assert!(history.code == 0 && history.out.contains("deregistered"), "{}{}", history.out, history.err);
    let commits = history.out.split_once("commits of the ledger:").expect("commits").1;
    assert!(commits.lines().filter(|line| line.contains(" ends")).count() == 2, "{}", history.out);
    let other = second.run("history TEST-OSL-001 --path . --json").json();
    assert_eq!(other["tenants"][0]["commits"].as_array().map(Vec::len), Some(1), "{other}");

    // Whoever did not fetch since would register it again.
    let late_apply = late.run("apply . --auto-approve");
    assert!(late_apply.code == 6 && late_apply.err.contains("SourceOlder"), "{}{}", late_apply.out, late_apply.err);
    second.clone.git(&["push", "-q", "origin", "HEAD"]);
    late.clone.git(&["fetch", "-q"]);
    let late_apply = late.run("apply . --auto-approve");
    assert!(late_apply.code == 6 && late_apply.err.contains("does not come after it"), "{}", late_apply.err);
    late.clone.git(&["merge", "-q", "--ff-only", "origin/HEAD"]);
    let late_apply = late.run("apply . --auto-approve");
    assert!(late_apply.code == 0 && late_apply.out.contains("No changes."), "{}{}", late_apply.out, late_apply.err);
}

/// A pipeline's cache puts back the folder of before: the machine is the same, and what
/// it has sent since is in no journal.
#[cfg(unix)]
#[test]
fn a_state_folder_that_has_come_back_does_not_use_a_consent_twice() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    assert_eq!(machine.run("apply . --auto-approve").code, 0);
    let file = "devices/oslo/kiosks.yaml";
    let text = std::fs::read_to_string(machine.clone.path.join(file)).unwrap();
    machine.clone.commit(file, &text.replace("KIOSK-LOBBY", "KIOSK-DESK"));
    let digest = || machine.run("plan . --json").json()["digest"]["sha256"].as_str().expect("a digest").to_owned();
    let approved = digest();
    let kept: Vec<_> =
        machine.desk.state.files().into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect();
    let words = format!("apply . --approve-digest {approved}");
    let written = || {
        let all = shared.served.get("registrations");
        all.as_array().unwrap().iter().filter(|device| device["groupTag"] == "KIOSK-DESK").count()
    };
    killed_at(&mut machine.command("--ledger branch", &words), "to become visible");
    shared.served.post("advance", &serde_json::json!({"by": "1h"}));
    assert!(written() > 0);
    for device in shared.served.get("registrations").as_array().unwrap() {
        if device["groupTag"] == "KIOSK-DESK" {
            shared.served.post("tag", &serde_json::json!({"id": device["id"], "groupTag": "KIOSK-LOBBY"}));
        }
    }
    shared.served.post("advance", &serde_json::json!({"by": "1h"}));
    let later: Vec<_> = machine.desk.state.files();
    later
        .iter()
        .filter(|path| !kept.iter().any(|(_, of)| of == *path))
        .for_each(|path| std::fs::remove_file(path).unwrap());
    kept.iter().for_each(|(bytes, path)| std::fs::write(path, bytes).unwrap());
    // Somebody else has the last word on those, however often this is tried.
    for _ in 0..2 {
        let again = machine.run(&words);
        assert_eq!((again.code, written()), (6, 0), "{}{}", again.out, again.err);
    }
    // A new consent is one.
    let anew = digest();
    assert_ne!(anew, approved);
    let apply = machine.run(&format!("apply . --approve-digest {anew}"));
    assert!(apply.code == 0 && written() > 0, "{}{}", apply.out, apply.err);
}

#[test]
fn a_device_whose_file_moved_out_of_the_paths_that_are_named_stays() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    let named = "tenant.yaml devices --auto-approve";
    assert_eq!(machine.run(&format!("apply {named}")).code, 0);
    machine.removes_one();
    let one = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: lent}\nspec: {serialNumber: \
               TEST-OSL-005, groupTag: OSL-LOANER}\n";
    machine.clone.commit("lent/one.yaml", one);
    machine.clone.git(&["commit", "-q", "-am", "moved"]);
    let apply = machine.run(&format!("apply {named}"));
    assert!(apply.out.contains("`lent/one.yaml` names a device"), "{}{}", apply.out, apply.err);
    assert_eq!(shared.served_count(), 9);
}

#[test]
fn a_removal_that_was_held_can_be_approved_later() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    // In part, and then the rest.
    let part = machine.run("apply . --auto-approve --target TEST-OSL-005");
    assert_eq!(part.code, 0, "{}{}", part.out, part.err);
    assert_eq!(machine.run("apply . --auto-approve").code, 0);
    machine.removes_one();
    let file = machine.clone.path.join("devices/oslo/laptops.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("    - serialNumber: TEST-OSL-002\n", "")).unwrap();
    machine.clone.git(&["commit", "-q", "-am", "two less"]);
    for _ in 0..2 {
        let held = machine.run("apply . --auto-approve");
        assert!(held.code == 5 && held.out.contains("LimitExceeded"), "{}{}", held.out, held.err);
        assert_eq!(shared.served_count(), 9);
    }
    let apply = machine.run("apply . --auto-approve --approve-deletes 2");
    assert!(apply.code == 0 && apply.out.contains("2 done"), "{}{}", apply.out, apply.err);
    assert_eq!(shared.served_count(), 7);
}

/// A ledger that somebody has made to name a device which was never declared.
#[test]
fn a_device_that_was_never_declared_is_not_removed_by_a_forged_ledger() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    assert_eq!(machine.run("apply . --auto-approve").code, 0);
    let victim = shared.served.get("registrations");
    let id_of = |serial: &str| {
        let all = victim.as_array().unwrap().iter();
        all.clone().find(|of| of["serial"] == serial).expect(serial)["id"].as_str().unwrap().to_owned()
    };
    // A stranger's device of the tenant, as if it were ours.
    shared.served.post(
        "vendor",
        &json!({"serial": "TEST-STRANGE-1", "manufacturer": "LENOVO", "model": "T14", "groupTag": "OSL-STD"}),
    );
    shared.served.post("advance", &json!({"by": "1h"}));
    shared.served.post("sync", &json!({}));
    shared.served.post("advance", &json!({"by": "24h"}));
    let all = shared.served.get("registrations");
    let all = all.as_array().unwrap();
    let strange = all.iter().find(|of| of["serial"] == "TEST-STRANGE-1").expect("it is there")["id"].as_str().unwrap();
    let export = machine.run("ledger export .").out;
    let line = export.lines().find(|line| line.contains("TEST-OSL-005")).expect("a line").trim_end_matches(',');
    let forged = line.replace("TEST-OSL-005", "TEST-STRANGE-1").replace(&id_of("TEST-OSL-005"), strange);
    let forged = export.replace(line, &format!("{line},\n{}", forged.replace("OSL-LOANER", "OSL-STD")));
    std::fs::write(machine.desk.state.at("forged.json"), forged).unwrap();
    let path = machine.desk.state.at("forged.json");
    // Neither a word in a comment nor a ledger that names no commit makes it ours.
    machine.clone.commit("notes.yaml", "# serialNumber: TEST-STRANGE-1 is not ours\nkind: Other\n");
    assert_eq!(machine.run("apply . --auto-approve").code, 0);
    let sourceless: String = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("\"source\""))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(machine.desk.state.at("sourceless.json"), sourceless).unwrap();
    let import = format!("ledger import {} --path .", machine.desk.state.at("sourceless.json").display());
    assert_eq!(machine.run(&import).code, 0);
    let plan = machine.run("plan .");
    assert!(plan.out.contains("NotDeclaredBefore") && !plan.out.contains("to deregister"), "{}", plan.out);
    let import = machine.run(&format!("ledger import {} --path .", path.display()));
    assert_eq!(import.code, 0, "{}{}", import.out, import.err);
    let plan = machine.run("plan .");
    assert!(plan.out.contains("NotDeclaredBefore") && !plan.out.contains("to deregister"), "{}", plan.out);
    assert!(plan.out.contains("from which it was applied, does not declare it"), "{}", plan.out);
    let _ = machine.run("apply . --auto-approve");
    assert_eq!(shared.served_count(), 10, "nobody's device is touched");
    // What was declared goes as ever.
    machine.removes_one();
    machine.clone.git(&["commit", "-q", "-am", "one less"]);
    let apply = machine.run("apply . --auto-approve");
    assert!(apply.out.contains("1 done"), "{}{}", apply.out, apply.err);
    assert_eq!(shared.served_count(), 9);
}

#[test]
fn what_was_done_and_undone_has_one_digest_of_its_own_on_every_machine() {
    let shared = Shared::new();
    let (first, second) = (shared.machine("first"), shared.machine("second"));
    assert_eq!(first.run("apply . --auto-approve").code, 0);
    let file = first.clone.path.join("devices/oslo/laptops.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("groupTag: OSL-LOANER", "groupTag: OSL-LENT")).unwrap();
    first.clone.git(&["commit", "-q", "-am", "lent"]);
    first.clone.git(&["push", "-q", "origin", "HEAD"]);
    second.clone.git(&["pull", "-q"]);
    let digest =
        |machine: &Machine| machine.run("plan . --json").json()["digest"]["sha256"].as_str().unwrap().to_owned();
    let done = digest(&first);
    assert_eq!(digest(&second), done);
    assert_eq!(first.run("apply . --auto-approve").code, 0);
    shared.served.post("tag", &json!({"serial": "TEST-OSL-005", "groupTag": "OSL-LOANER"}));
    shared.served.post("advance", &json!({"by": "1h"}));
    let again = digest(&first);
    assert_ne!(again, done, "it was approved, and is used");
    assert_eq!(digest(&second), again, "by whichever machine");
}

/// What one machine has done under a consent, another must not do again under it: not
/// even where another plan has written the device since.
#[test]
fn a_consent_that_one_machine_made_use_of_is_none_on_another() {
    let shared = Shared::new();
    let (first, second) = (shared.machine("first"), shared.machine("second"));
    assert_eq!(first.run("apply . --auto-approve").code, 0);
    let lends = |from: &str, to: &str| {
        let file = first.clone.path.join("devices/oslo/laptops.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
        first.clone.git(&["commit", "-q", "-am", to]);
        first.clone.git(&["push", "-q", "origin", "HEAD"]);
        second.clone.git(&["pull", "-q"]);
        shared.served.post("advance", &json!({"by": "1h"}));
    };
    lends("groupTag: OSL-LOANER", "groupTag: OSL-LENT");
    let saved = second.desk.state.at("saved.plan");
    let plan = second.run(&format!("plan . --json --out {}", saved.display())).json();
    let digest = plan["digest"]["sha256"].as_str().unwrap().to_owned();
    assert_eq!(plan["summary"]["update"], 1);
    let apply = first.run(&format!("apply . --approve-digest {digest}"));
    assert!(apply.code == 0 && apply.out.contains("1 done"), "{}{}", apply.out, apply.err);
    lends("groupTag: OSL-LENT", "groupTag: OSL-LOANER");
    assert_eq!(first.run("apply . --auto-approve").code, 0);
    lends("groupTag: OSL-LOANER", "groupTag: OSL-LENT");
    let again = second.run("plan . --json").json();
    assert_eq!(again["summary"]["update"], 1);
    assert_ne!(again["digest"]["sha256"], plan["digest"]["sha256"], "it is used");
    let by_digest = second.run(&format!("apply . --approve-digest {digest}"));
    assert!(by_digest.code == 6 && by_digest.err.contains("an approval is used once"), "{}", by_digest.err);
    for stale in ["", "--stale=skip"] {
        let by_file = second.run(&format!("apply {} . {stale}", saved.display()));
        assert!(
            by_file.code == 6 && by_file.err.contains("begun on another machine"),
            "{}{}",
            by_file.out,
            by_file.err
        );
    }
    // A new consent is one.
    let digest = again["digest"]["sha256"].as_str().unwrap();
    let apply = second.run(&format!("apply . --approve-digest {digest}"));
    assert!(apply.code == 0 && apply.out.contains("1 done"), "{}{}", apply.out, apply.err);
}

#[test]
fn a_saved_plan_counts_the_canaries_that_another_machine_has_sent() {
    let shared = Shared::new();
    let author = shared.machine("canaries");
    let text = std::fs::read_to_string(author.clone.path.join("tenant.yaml")).unwrap();
    let rollout = "  rollout: {canary: 1, waitFor: Enrolled}\n  policy: Sync";
    author.clone.commit("tenant.yaml", &text.replace("  policy: Sync", rollout));
    author.clone.git(&["push", "-q", "origin", "HEAD"]);
    let (first, second) = (shared.machine("first"), shared.machine("second"));
    let saves = |machine: &Machine, serial: &str| {
        let file = machine.desk.state.at("saved.plan").display().to_string();
        assert_eq!(machine.run(&format!("plan . --out {file} --target {serial}")).code, 0);
        file
    };
    let (one, other) = (saves(&first, "TEST-OSL-001"), saves(&second, "TEST-OSL-002"));
    let apply = first.run(&format!("apply {one} ."));
    assert!(apply.code == 0 && apply.out.contains("1 done"), "{}{}", apply.out, apply.err);
    let apply = second.run(&format!("apply {other} ."));
    assert!(apply.code == 6 && apply.err.contains("(AwaitingCanary)"), "{}{}", apply.out, apply.err);
    assert_eq!(shared.served_count(), 1);
}

#[test]
fn a_manifest_that_is_put_aside_takes_no_device_away() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    assert_eq!(machine.run("apply . --auto-approve").code, 0);
    let from = machine.clone.path.join("devices/oslo/kiosks.yaml");
    let kiosks = std::fs::read_to_string(&from).unwrap();
    std::fs::write(&from, kiosks.replace("spec:\n", "spec:\n  deletionPolicy: Delete\n")).unwrap();
    machine.clone.git(&["commit", "-q", "-am", "kiosks go with their files"]);
    let apply = machine.run("apply . --auto-approve");
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    for aside in [".archive/kiosks.yaml", "devices/oslo/kiosks.yaml.bak"] {
        machine.clone.write(".archive/.keep", "");
        machine.clone.git(&["mv", "devices/oslo/kiosks.yaml", aside]);
        machine.clone.git(&["commit", "-q", "-am", "aside"]);
        let apply = machine.run("apply . --auto-approve --approve-deletes 2");
        assert!(apply.out.contains("OtherPaths") || apply.out.contains(aside), "{}{}", apply.out, apply.err);
        assert_eq!(shared.served_count(), 9, "{aside}");
        machine.clone.git(&["mv", aside, "devices/oslo/kiosks.yaml"]);
    }
    machine.clone.git(&["rm", "-q", "-f", "devices/oslo/kiosks.yaml"]);
    machine.clone.git(&["commit", "-q", "-m", "gone"]);
    let apply = machine.run("apply . --auto-approve --approve-deletes 2");
    assert!(apply.code == 0 && shared.served_count() == 7, "{}{}", apply.out, apply.err);
}

#[test]
fn a_ledger_that_was_begun_anew_keeps_its_guards_and_its_neighbours() {
    let shared = Shared::new();
    let (first, second) = (shared.machine("first"), shared.machine("second"));
    assert_eq!(first.run("apply . --auto-approve").code, 0);
    assert_eq!(first.run("ledger rebuild .").code, 0);
    let file = second.clone.path.join("tenant.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("corp-devices", "branch-office")).unwrap();
    second.clone.git(&["commit", "-q", "-am", "another owner"]);
    let stopped = second.run("apply . --auto-approve --approve-adopts 9");
    assert!(stopped.code == 6 && stopped.err.contains("two owners have one scope"), "{}{}", stopped.out, stopped.err);
    // A guard that was applied holds over the new beginning.
    let file = first.clone.path.join("tenant.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("  policy: Sync", "  limits: {maxDeletes: 99}\n  policy: Sync")).unwrap();
    first.clone.git(&["commit", "-q", "-am", "wider"]);
    let plan = first.run("plan . --json").json();
    assert_eq!(plan["loosens"][0]["path"], "limits.maxDeletes", "{}", plan["loosens"]);
}

#[test]
fn owners_of_one_tenant_see_each_other_in_one_remote_and_stop_where_their_scopes_meet() {
    let shared = Shared::new();
    let (first, second) = (shared.machine("first"), shared.machine("second"));
    assert_eq!(first.run("apply . --auto-approve").code, 0);
    let scope = r#"["OSL-*", "BGO-*", "KIOSK-*", ""]"#;
    let is = |machine: &Machine, from: &str, to: &str| {
        let file = machine.clone.path.join("tenant.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(file, text.replace(from, to)).unwrap();
        machine.clone.git(&["commit", "-q", "-am", "another owner, another scope"]);
    };
    is(&second, "corp-devices", "branch-office");
    let plan = second.run("plan .");
    assert!(plan.code == 0 && plan.out.contains("two owners have one scope"), "{}{}", plan.out, plan.err);
    let stopped = second.run("apply . --auto-approve");
    assert_eq!(stopped.code, 6, "{}{}", stopped.out, stopped.err);
    for words in ["`OSL-*` is ours, and `OSL-*` is `corp-devices`'s", "scope.groupTags", "/corp-devices`"] {
        assert!(stopped.err.contains(words), "{words}: {}", stopped.err);
    }
    // With a scope of its own it has its own devices.
    is(&second, scope, r#"["BER-*"]"#);
    second.clone.git(&["rm", "-q", "-r", "devices"]);
    let one = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: kiosk}\nspec: {serialNumber: \
               TEST-KSK-001, hardwareHashRef: {file: hashes/TEST-KSK-001.txt}, groupTag: BER-STD}\n";
    second.clone.commit("kiosk.yaml", one);
    let apply = second.run("apply . --auto-approve");
    assert!(apply.out.contains("OutOfScope") && apply.code != 6, "{}{}", apply.out, apply.err);
    let apply = first.run("apply . --auto-approve");
    assert!(apply.code == 0 && apply.out.contains("No changes."), "{}{}", apply.out, apply.err);
    // Whoever widens its scope into the other's stops, and the other goes on.
    is(&first, scope, r#"["OSL-*", "BGO-*", "KIOSK-*", "", "B*"]"#);
    let stopped = first.run("apply . --auto-approve");
    assert!(stopped.code == 6 && stopped.err.contains("`BER-*` is `branch-office`'s"), "{}", stopped.err);
}

impl Shared {
    fn served_count(&self) -> usize {
        self.served.get("registrations").as_array().expect("a list").len()
    }
}
