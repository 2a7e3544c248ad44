//! A device that is to be registered again with a hash of another machine: that is
//! for a person to know first.

use apgit::door::hash::generate::Machine;
use serde_json::json;

use crate::support::{Desk, Folder, Ran, Simulate, contoso, machine, ran};

struct Scene {
    desk: Desk,
    folder: Folder,
    served: Simulate,
    machine: Machine,
}

impl Scene {
    /// A device that was applied, and that somebody removed in the portal; what is
    /// gone is registered again.
    fn removed(pinned: bool) -> Self {
        let desk = Desk::new();
        let served = desk.simulate("--speed instant");
        let folder = contoso();
        folder.lead_to(&served.url);
        folder.edit("tenant.yaml", "  policy: Sync", "  onVanished: Register\n  policy: Sync");
        let scene = Self { desk, folder, served, machine: machine(1) };
        scene.declares(&scene.machine.clone(), pinned);
        let apply = scene.run("apply . --auto-approve");
        assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
        let ledger = scene.run("ledger export .").out;
        let line = ledger.lines().find(|line| line.contains("TEST-000001")).expect("a line");
        assert!(line.contains("\"hardware\":{\"ek\":\"") && line.contains("\"uuid\":\""), "{line}");
        scene.served.post("remove", &json!({"serial": "TEST-000001"}));
        scene.served.post("advance", &json!({"by": "3h"}));
        scene
    }

    fn declares(&self, machine: &Machine, pinned: bool) {
        self.folder.write("hashes/one.txt", machine.hash().to_base64());
        let pin = if pinned { format!(", sha256: \"{}\"", machine.hash().digest().hex()) } else { String::new() };
        let head = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: one}\nspec:\n";
        let spec = format!(
            "  serialNumber: TEST-000001\n  groupTag: OSL-STD\n  hardwareHashRef: {{file: hashes/one.txt{pin}}}\n"
        );
        self.folder.write("one.yaml", format!("{head}{spec}"));
    }

    fn run(&self, words: &str) -> Ran {
        let mut command = self.desk.command(&format!("{words} --allow-endpoint 127.0.0.1"));
        command.current_dir(self.folder.path()).env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        ran(&mut command)
    }

    fn is_registered(&self) -> bool {
        self.served.get("registrations").to_string().contains("TEST-000001")
    }
}

#[test]
fn the_same_machine_captured_again_is_registered_again() {
    for pinned in [false, true] {
        let scene = Scene::removed(pinned);
        scene.declares(&scene.machine.recapture(), pinned);
        let apply = scene.run("apply . --auto-approve");
        assert!(apply.code == 0 && apply.out.contains("1 done, 0 failed"), "{}{}", apply.out, apply.err);
        assert!(scene.is_registered());
    }
}

#[test]
fn a_machine_whose_board_was_exchanged_is_held_until_the_old_one_is_forgotten() {
    let scene = Scene::removed(false);
    scene.declares(&scene.machine.swap_board(), false);
    let plan = scene.run("plan .");
    assert!(plan.out.contains("HardwareChanged") && plan.out.contains("by its ek, uuid"), "{}{}", plan.out, plan.err);
    assert!(plan.out.contains("apgit release"), "{}", plan.out);
    let apply = scene.run("apply . --auto-approve");
    assert!(!scene.is_registered(), "{}{}", apply.out, apply.err);
    assert_eq!(scene.run("release TEST-000001").code, 0);
    let apply = scene.run("apply . --auto-approve");
    assert!(apply.code == 0 && scene.is_registered(), "{}{}", apply.out, apply.err);
}

#[test]
fn a_hash_that_only_the_apply_reads_is_held_against_the_ledger_before_anything_is_written() {
    let scene = Scene::removed(true);
    scene.declares(&scene.machine.swap_board(), true);
    let plan = scene.run("plan .");
    assert!(plan.out.contains("+ TEST-000001"), "it is not read there: {}", plan.out);
    let apply = scene.run("apply . --auto-approve");
    assert!(apply.code == 3 && apply.err.contains("of other hardware"), "{}{}", apply.out, apply.err);
    assert!(!scene.is_registered());
}

#[test]
fn a_ledger_that_was_begun_anew_knows_no_hardware_and_holds_nothing_for_it() {
    let scene = Scene::removed(false);
    let rebuild = scene.run("ledger rebuild .");
    assert_eq!(rebuild.code, 0, "{}{}", rebuild.out, rebuild.err);
    assert!(!scene.run("ledger export .").out.contains("\"hardware\""));
    let plan = scene.run("plan .");
    assert!(!plan.out.contains("HardwareChanged"), "{}", plan.out);
}

/// A declaration that names its registration no more is of the same device.
#[test]
fn what_is_gone_stays_gone_though_its_registration_is_named_no_more() {
    for (policy, reason) in [("Hold", "VanishedFromTenant"), ("Register", "HardwareChanged")] {
        let scene = Scene::removed(false);
        scene.folder.edit("tenant.yaml", "onVanished: Register", &format!("onVanished: {policy}"));
        let ledger = scene.run("ledger export .").out;
        let line = ledger.lines().find(|line| line.contains("TEST-000001")).expect("a line");
        let id = line.split_once("\"registrationId\":\"").expect("an id").1[..36].to_owned();
        // As if it had been declared with its registration when it was applied.
        let named = line.replace("\"serialNumber\"", &format!("\"declaredRegistrationId\":\"{id}\",\"serialNumber\""));
        let file = scene.desk.state.at("named.json");
        std::fs::write(&file, ledger.replace(line, &named)).unwrap();
        let import = scene.run(&format!("ledger import {} --path .", file.display()));
        assert_eq!(import.code, 0, "{}{}", import.out, import.err);
        scene.declares(&scene.machine.swap_board(), false);
        let apply = scene.run("apply . --auto-approve");
        assert!(apply.out.contains(reason) && !scene.is_registered(), "{policy}: {}{}", apply.out, apply.err);
    }
}
