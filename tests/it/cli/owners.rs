//! Two repositories on one tenant: with scopes of their own they live together,
//! and a device moves from one to the other without ever being deleted.

use apgit::door::sim::CLIENT_SECRET;
use serde_json::Value;

use crate::support::{Desk, Folder, Ran, Simulate, contoso, ran};

/// One owner, with a machine and a repository that the other does not see.
struct Owner<'t> {
    desk: Desk,
    folder: Folder,
    served: &'t Simulate,
}

impl<'t> Owner<'t> {
    /// The example with the devices of one site.
    fn new(served: &'t Simulate, owner: &str, site: &str, scope: &str) -> Self {
        let folder = contoso();
        folder.lead_to(&served.url);
        folder.edit("tenant.yaml", "corp-devices", owner);
        folder.edit("tenant.yaml", r#"["OSL-*", "BGO-*", "KIOSK-*", ""]"#, scope);
        let other = if site == "oslo" { "bergen" } else { "oslo" };
        std::fs::remove_dir_all(folder.path().join("devices").join(other)).unwrap();
        Self { desk: Desk::new(), folder, served }
    }

    fn run(&self, words: &str) -> Ran {
        self.types(&format!("{words} {}", self.folder.path().display()))
    }

    fn types(&self, words: &str) -> Ran {
        let mut command = self.desk.command(&format!("{words} --allow-endpoint 127.0.0.1"));
        ran(command.env("AZURE_CLIENT_SECRET", CLIENT_SECRET))
    }

    #[track_caller]
    fn applies(&self, expected: &str) {
        let apply = self.run("apply --auto-approve --approve-adopts 9");
        assert!(apply.code == 0 && apply.out.contains(expected), "{}{}", apply.out, apply.err);
        let again = self.run("apply --auto-approve");
        assert!(again.code == 0 && again.out.contains("No changes."), "{}{}", again.out, again.err);
    }

    fn registrations(&self) -> Vec<Value> {
        self.served.get("registrations").as_array().expect("a list").clone()
    }

    fn id_of(&self, serial: &str) -> String {
        let all = self.registrations();
        let one = all.iter().find(|of| of["serial"] == serial).unwrap_or_else(|| panic!("{serial}: {all:?}"));
        one["id"].as_str().expect("an id").to_owned()
    }
}

#[test]
fn two_repositories_with_scopes_of_their_own_live_together() {
    let desk = Desk::new();
    let served = desk.simulate("--speed instant");
    let oslo = Owner::new(&served, "oslo-it", "oslo", r#"["OSL-*", "KIOSK-*"]"#);
    let bergen = Owner::new(&served, "bergen-it", "bergen", r#"["BGO-*"]"#);
    oslo.applies("7 done, 0 failed");
    bergen.applies("2 done, 0 failed");
    assert_eq!(oslo.registrations().len(), 9);
    // Neither is the other's stranger, and what one removes the other does not miss.
    for owner in [&oslo, &bergen] {
        let plan = owner.run("plan --json").json();
        assert_eq!(plan["unmanaged"], Value::Array(Vec::new()), "{plan}");
    }
    let last = "    - serialNumber: TEST-OSL-005\n      groupTag: OSL-LOANER      # takes the place of the default\n";
    oslo.folder.edit("devices/oslo/laptops.yaml", last, "");
    oslo.applies("1 done, 0 failed");
    bergen.applies("No changes.");
    assert_eq!(oslo.registrations().len(), 8);
    // What is the other's by its tag is not touched, whoever declares it.
    let theirs = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: taken}\n\
                  spec: {serialNumber: TEST-BGO-001, groupTag: OSL-STD}\n";
    oslo.folder.write("devices/oslo/taken.yaml", theirs);
    let apply = oslo.run("apply --auto-approve --approve-adopts 9");
    assert!(apply.out.contains("OutOfScope"), "{}{}", apply.out, apply.err);
    bergen.applies("No changes.");
}

#[test]
fn a_device_moves_between_two_owners_by_release_and_adopt_and_is_never_deleted() {
    let desk = Desk::new();
    let served = desk.simulate("--speed instant");
    let oslo = Owner::new(&served, "oslo-it", "oslo", r#"["OSL-*", "KIOSK-*"]"#);
    let bergen = Owner::new(&served, "bergen-it", "bergen", r#"["BGO-*"]"#);
    oslo.applies("7 done, 0 failed");
    bergen.applies("2 done, 0 failed");
    let id = oslo.id_of("TEST-KSK-001");
    // Oslo gives its kiosks up: released, then out of its files and its scope.
    let release = oslo.run("release TEST-KSK-001 TEST-KSK-002 --path");
    assert_eq!(release.code, 0, "{}{}", release.out, release.err);
    let kiosks = oslo.folder.read("devices/oslo/kiosks.yaml");
    std::fs::remove_file(oslo.folder.at("devices/oslo/kiosks.yaml")).unwrap();
    oslo.folder.edit("tenant.yaml", r#"["OSL-*", "KIOSK-*"]"#, r#"["OSL-*"]"#);
    oslo.applies("No changes.");
    // Bergen takes them over.
    bergen.folder.edit("tenant.yaml", r#"["BGO-*"]"#, r#"["BGO-*", "KIOSK-*"]"#);
    bergen.applies("");
    bergen.folder.write("devices/oslo/kiosks.yaml", kiosks);
    bergen.applies("2 done, 0 failed");
    oslo.applies("No changes.");
    assert_eq!(oslo.id_of("TEST-KSK-001"), id, "it is the same registration");
    assert_eq!(oslo.registrations().len(), 9);
    for (owner, devices) in [(&bergen, "4 devices, 0 were removed"), (&oslo, "5 devices, 2 were removed or released")] {
        let ledger = owner.run("ledger list").out;
        assert!(ledger.contains(devices), "{ledger}");
    }
}
