//! `apgit decommission` against a simulated tenant on a port: what may go, in
//! which order it goes, and what a person hears where we may not.

mod crash;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Desk, Folder, Ran, Simulate, contoso, ran};

/// The app of the example.
const APP: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const INTUNE: &str = "DeviceManagementManagedDevices.ReadWrite.All";
const ENTRA: &str = "Device.ReadWrite.All";

/// A fleet of nine that was applied.
struct House {
    desk: Desk,
    served: Simulate,
    folder: Folder,
}

impl House {
    fn applied(words: &str) -> Self {
        let house = Self::declared(words, |url| url.to_owned());
        let apply = house.run("apply . --auto-approve");
        assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
        house
    }

    /// `way`: from the address of the tenant to that which is declared.
    fn declared(words: &str, way: impl FnOnce(&str) -> String) -> Self {
        let desk = Desk::new();
        let served = desk.simulate(&format!("--speed instant {words}"));
        let folder = contoso();
        folder.lead_to(&way(&served.url));
        Self { desk, served, folder }
    }

    /// `.` is the fleet.
    fn command(&self, words: &str) -> Command {
        let mut command = self.desk.command(&format!("{words} --allow-endpoint 127.0.0.1"));
        command.current_dir(self.folder.path());
        command.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        command
    }

    #[track_caller]
    fn run(&self, words: &str) -> Ran {
        ran(&mut self.command(words))
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        ask(&self.served.url, method, path, body)
    }

    fn deed(&self, deed: &str, body: &Value) {
        let answer = self.ask("POST", &format!("/_sim/{deed}"), &body.to_string());
        assert!(answer.get("error").is_none(), "{answer}");
    }

    fn enrols(&self, serial: &str) {
        self.deed("enrol", &json!({"serial": serial}));
    }

    /// What vendors have registered comes.
    fn syncs(&self) {
        self.deed("advance", &json!({"by": "1h"}));
        self.deed("sync", &json!({}));
        self.deed("advance", &json!({"by": "1h"}));
    }

    /// What the app may do besides what an apply needs.
    fn may(&self, roles: &[&str]) {
        let usual = ["DeviceManagementServiceConfig.ReadWrite.All", "User.Read.All", "Organization.Read.All"];
        let roles = [&usual[..], roles].concat();
        self.deed("roles", &json!({"app": APP, "roles": roles}));
    }

    /// Takes a device of Oslo out of the declarations.
    fn undeclare(&self, serial: &str) {
        let file = "devices/oslo/laptops.yaml";
        let text = self.folder.read(file);
        let mut kept = Vec::new();
        let mut of_it = false;
        for line in text.lines() {
            of_it = line.contains(serial) || of_it && line.starts_with("      ");
            if !of_it {
                kept.push(line);
            }
        }
        assert!(kept.len() < text.lines().count(), "{serial} is not declared");
        self.folder.write(file, kept.join("\n") + "\n");
    }

    /// In which places of the tenant something of a device stands.
    fn stands(&self, serial: &str) -> (bool, bool, bool) {
        let registrations = self.ask("GET", "/_sim/registrations", "");
        let devices = self.ask("GET", "/_sim/devices", "");
        let of = |list: &Value| -> Vec<Value> {
            let found =
                list.as_array().unwrap().iter().filter(|of| of["serial"] == serial || of["serialNumber"] == serial);
            found.cloned().collect()
        };
        let of_devices = of(&devices);
        let in_intune = of_devices.iter().any(|of| !of["managedDeviceId"].is_null());
        (in_intune, !of(&registrations).is_empty(), of_devices.iter().any(|of| of["inEntra"] == true))
    }

    fn ledger_path(&self) -> PathBuf {
        let files = self.desk.state.files();
        files.into_iter().find(|path| path.ends_with("ledger.json")).expect("a ledger")
    }

    fn ledger(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.ledger_path()).unwrap()).expect("JSON")
    }

    /// The one that is left of a device in the ledger.
    fn tombstone(&self, serial: &str) -> Value {
        let ledger = self.ledger();
        let tracked = ledger["devices"].as_array().unwrap().iter().find(|of| of["serialNumber"] == serial);
        assert_eq!(tracked, None);
        let stones = ledger["tombstones"].as_array().unwrap().iter().filter(|of| of["serialNumber"] == serial);
        let stones: Vec<Value> = stones.cloned().collect();
        assert_eq!(stones.len(), 1, "{stones:?}");
        assert!(ledger.get("running").is_none(), "{ledger}");
        stones[0].clone()
    }

    /// All of it is gone, and written down.
    #[track_caller]
    fn has_left(&self, serial: &str) {
        assert_eq!(self.stands(serial), (false, false, false));
        let stone = self.tombstone(serial);
        assert_eq!((&stone["end"], stone.get("left")), (&json!("deregistered"), None), "{stone}");
    }
}

fn ask(url: &str, method: &str, path: &str, body: &str) -> Value {
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    let (start, end) = (body.find(['{', '[']).unwrap(), body.rfind(['}', ']']).unwrap());
    serde_json::from_str(&body[start..=end]).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[track_caller]
fn says(ran: &Ran, code: i32, words: &[&str]) {
    for words in words {
        assert!(ran.out.contains(words) || ran.err.contains(words), "{words}: {}{}", ran.out, ran.err);
    }
    assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
}

#[test]
fn a_device_that_works_leaves_intune_then_autopilot_and_then_entra() {
    let house = House::applied("");
    house.enrols("TEST-OSL-003");
    house.undeclare("TEST-OSL-003");
    says(&house.run("plan ."), 0, &["TEST-OSL-003"]);
    let look = house.run("decommission TEST-OSL-003 --plan");
    says(&look, 0, &["Decommission in contoso, \"Contoso (simulated)\"", "user anna.keller@contoso.com", "enrolled"]);
    says(&look, 0, &["Intune     delete", "Autopilot  delete registration", "Entra      delete", "1 to deregister"]);
    assert_eq!(house.stands("TEST-OSL-003"), (true, true, true), "a look does nothing");
    says(&house.run("decommission TEST-OSL-003"), 64, &["there is nobody to ask"]);
    assert_eq!(house.stands("TEST-OSL-003"), (true, true, true));
    let gone = house.run("decommission test-osl-003 --auto-approve");
    says(&gone, 0, &["Intune     gone", "Autopilot  gone", "Entra      gone", "1 device has left", "needs a sync"]);
    house.has_left("TEST-OSL-003");
    // Every step stands in the audit log, by the device's name.
    let files = house.desk.state.files();
    let log = files.iter().find(|path| path.ends_with("audit.jsonl")).expect("an audit log");
    let show = house.run(&format!("audit show {} --serial TEST-OSL-003", log.display()));
    for words in ["removeFromIntune", "removeFromEntra", "deregister"] {
        let lines = show.out.lines().filter(|line| line.contains(words));
        let (mut intents, mut outcomes) = (0, 0);
        lines.for_each(|line| {
            intents += usize::from(line.contains("intent"));
            outcomes += usize::from(line.contains("outcome"));
        });
        assert!(intents == 1 && outcomes >= 1, "{words}: {}", show.out);
    }
    assert!(!show.out.contains("found"), "it was us: {}", show.out);
    let history = house.run("history TEST-OSL-003 --path .");
    assert!(history.out.contains("removeFromIntune"), "{}{}", history.out, history.err);
    says(&house.run("decommission TEST-OSL-003 --auto-approve"), 3, &["left the ledger on 2026-01-0"]);
    // The sync is owed, and done by the next apply; the others are as they were.
    says(&house.run("plan ."), 0, &["sync"]);
    assert_eq!(house.run("apply . --auto-approve").code, 0);
    says(&house.run("plan . --detailed-exitcode"), 0, &["No changes."]);
    assert_eq!(house.ask("GET", "/_sim/registrations", "").as_array().unwrap().len(), 8);
}

#[test]
fn one_that_never_enrolled_has_only_its_registration_to_lose() {
    let house = House::applied("");
    house.undeclare("TEST-OSL-005");
    let gone = house.run("decommission TEST-OSL-005 --auto-approve");
    says(&gone, 0, &["Intune     nothing there", "Autopilot  gone", "1 device has left"]);
    house.has_left("TEST-OSL-005");
}

#[test]
fn several_go_side_by_side_within_the_limit_of_a_day() {
    let house = House::applied("");
    for serial in ["TEST-OSL-003", "TEST-OSL-004"] {
        house.enrols(serial);
        house.undeclare(serial);
    }
    let words = "decommission TEST-OSL-003 TEST-OSL-004 --auto-approve";
    says(&house.run(words), 5, &["2 would go, of at most 1 (9 in the ledger)", "--approve-deletes 2"]);
    let look = house.run(&format!("{} --plan", words.replace(" --auto-approve", "")));
    says(&look, 0, &["as it is now, it would not be done", "--approve-deletes 2"]);
    assert_eq!(house.stands("TEST-OSL-003"), (true, true, true));
    says(&house.run(&format!("{words} --approve-deletes 2")), 0, &["2 devices have left"]);
    house.has_left("TEST-OSL-003");
    house.has_left("TEST-OSL-004");
    // Whoever removes by a declaration has the same limit.
    house.undeclare("TEST-OSL-005");
    let third = house.run("decommission TEST-OSL-005 --auto-approve");
    says(&third, 5, &["1 would go and 2 in the last 24 hours, of at most 1", "if that is meant: --approve-deletes 3"]);
    let third = house.run("decommission TEST-OSL-005 --auto-approve --approve-deletes 2");
    let words = ["1 would go and 2 in the last 24 hours, and 2 are approved", "if that is meant: --approve-deletes 3"];
    says(&third, 5, &words);
    let third = house.run("decommission TEST-OSL-005 --auto-approve --approve-deletes 3");
    says(&third, 0, &["1 device has left"]);
}

#[test]
fn what_is_declared_protected_a_strangers_or_not_as_applied_stays() {
    let house = House::applied("");
    let line = "    - serialNumber: TEST-OSL-004\n";
    house.folder.edit("devices/oslo/laptops.yaml", line, &format!("{line}      protect: true\n"));
    assert_eq!(house.run("apply . --auto-approve").code, 0);
    let declared = house.run("decommission TEST-OSL-003 TEST-OSL-004 --auto-approve");
    says(&declared, 3, &["2 devices are still declared", "TEST-OSL-003 is declared at devices/oslo/laptops.yaml:14"]);
    for serial in ["TEST-OSL-002", "TEST-OSL-003", "TEST-OSL-004", "TEST-OSL-005"] {
        house.undeclare(serial);
    }
    let refused = |serial: &str, code: i32, words: &str| {
        says(&house.run(&format!("decommission {serial} --auto-approve --approve-deletes 9")), code, &[words]);
    };
    refused("TEST-OSL-004", 5, "`TEST-OSL-004` is protected since 2026-01-05");
    house
        .deed("vendor", &json!({"serial": "TEST-X-1", "manufacturer": "Contoso", "model": "T", "groupTag": "OSL-STD"}));
    refused("TEST-X-1", 3, "`TEST-X-1` is not in the ledger: it is none of ours");
    house.deed("tag", &json!({"serial": "TEST-OSL-003", "groupTag": "OTHERS"}));
    refused("TEST-OSL-003", 5, "group tag: `OSL-STD` when applied, `OTHERS` now");
    house.syncs();
    refused("TEST-OSL-002 TEST-OSL-004", 5, "`TEST-OSL-004` is protected");
    for serial in ["TEST-OSL-002", "TEST-OSL-003", "TEST-OSL-004"] {
        assert!(house.stands(serial).1, "{serial}");
    }
    house.folder.edit("tenant.yaml", "policy: Sync ", "policy: UpsertOnly ");
    refused("TEST-OSL-002", 5, "the policy of the tenant is `UpsertOnly`, which removes nothing");
    house.folder.edit("tenant.yaml", "policy: UpsertOnly ", "policy: Sync ");
    house.folder.edit("tenant.yaml", "\"OSL-*\", ", "");
    refused("TEST-OSL-002", 5, "out of scope: its group tag is `OSL-STD`");
    // A ledger that says nothing any more is the reason, and not the device.
    std::fs::write(house.ledger_path(), "{}").unwrap();
    refused("TEST-OSL-002", 6, "the ledger cannot be used");
    assert!(house.stands("TEST-OSL-002").1);
}

#[test]
fn two_registrations_of_one_serial_are_for_a_person_to_tell_apart() {
    let house = House::applied("");
    house.undeclare("TEST-OSL-005");
    let twin = json!({"serial": "TEST-OSL-005", "manufacturer": "Contoso", "model": "Other", "groupTag": "OSL-STD"});
    house.deed("vendor", &twin);
    house.syncs();
    let refused = house.run("decommission TEST-OSL-005 --auto-approve");
    says(&refused, 3, &["`TEST-OSL-005` means more than one"]);
}

#[test]
fn without_the_permission_for_intune_a_person_hears_what_to_do_and_nothing_is_marked() {
    let house = House::applied("");
    house.enrols("TEST-OSL-003");
    house.undeclare("TEST-OSL-003");
    for roles in [&[ENTRA][..], &["DeviceManagementManagedDevices.Read.All", ENTRA]] {
        house.may(roles);
        let refused = house.run("decommission TEST-OSL-003 --auto-approve");
        says(&refused, 4, &["Intune     by hand: delete it in Intune admin center", "not done: Intune comes first"]);
        assert_eq!(house.stands("TEST-OSL-003"), (true, true, true));
        let marked = house.ledger()["devices"].as_array().unwrap().iter().any(|of| of.get("deleting").is_some());
        assert!(!marked, "it counts as no deletion");
    }
    house.may(&[ENTRA]);
    house.deed("unenrol", &json!({"serial": "TEST-OSL-003"}));
    says(&house.run("decommission TEST-OSL-003 --auto-approve"), 0, &["Autopilot  gone", "Entra      gone"]);
    house.has_left("TEST-OSL-003");
}

#[test]
fn without_the_permission_for_entra_the_rest_goes_and_the_object_is_named_until_it_is_gone() {
    let house = House::applied("");
    house.enrols("TEST-OSL-003");
    house.undeclare("TEST-OSL-003");
    house.may(&[INTUNE]);
    let partly = house.run("decommission TEST-OSL-003 --auto-approve");
    says(&partly, 7, &["Intune     gone", "Autopilot  gone", "by hand: delete it in Entra admin center", "device ID"]);
    assert_eq!(house.stands("TEST-OSL-003"), (false, false, true));
    let left = house.tombstone("TEST-OSL-003")["left"]["directoryDevices"].clone();
    assert_eq!(left.as_array().map(Vec::len), Some(1), "what it was called in Entra is known by nobody else");
    says(&house.run("ledger show TEST-OSL-003"), 0, &["its decommission has not ended"]);
    house.may(&[INTUNE, ENTRA]);
    says(&house.run("decommission TEST-OSL-003 --auto-approve"), 0, &["Entra      gone"]);
    house.has_left("TEST-OSL-003");
}

#[test]
fn another_machine_goes_on_with_what_one_has_begun() {
    let house = House::declared("", str::to_owned);
    let ledger = format!("--ledger {}", house.folder.at("shared.json").display());
    assert_eq!(house.run(&format!("apply . --auto-approve {ledger}")).code, 0);
    house.enrols("TEST-OSL-003");
    house.undeclare("TEST-OSL-003");
    house.may(&[INTUNE]);
    let words = format!("decommission TEST-OSL-003 --auto-approve {ledger}");
    says(&house.run(&words), 7, &["Autopilot  gone"]);
    house.may(&[INTUNE, ENTRA]);
    let house = House { desk: Desk::new(), ..house };
    says(&house.run(&words), 0, &["Entra      gone"]);
    assert_eq!(house.stands("TEST-OSL-003"), (false, false, false));
    says(&house.run(&format!("ledger show TEST-OSL-003 {ledger}")), 0, &["deregistered 2026-01-05"]);
}

#[test]
fn a_hybrid_joined_device_is_deleted_by_a_person_where_it_comes_from() {
    let house = House::applied("--set directory.hybrid=true");
    house.enrols("TEST-OSL-003");
    house.undeclare("TEST-OSL-003");
    says(&house.run("decommission TEST-OSL-003 --plan"), 0, &["in Active Directory"]);
    let partly = house.run("decommission TEST-OSL-003 --auto-approve");
    says(&partly, 7, &["Autopilot  gone", "by hand, in Active Directory"]);
    assert_eq!(house.stands("TEST-OSL-003"), (false, false, true));
    house.deed("object", &json!({"serial": "TEST-OSL-003"}));
    says(&house.run("decommission TEST-OSL-003 --auto-approve"), 0, &["Entra      nothing there"]);
    house.has_left("TEST-OSL-003");
}

#[test]
fn what_is_left_of_a_device_stays_once_somebody_has_registered_it_anew() {
    let house = House::applied("");
    house.enrols("TEST-OSL-003");
    house.undeclare("TEST-OSL-003");
    house.may(&[INTUNE]);
    assert_eq!(house.run("decommission TEST-OSL-003 --auto-approve").code, 7);
    house.may(&[INTUNE, ENTRA]);
    // Somebody has it registered again.
    let other = json!({"serial": "TEST-OSL-003", "manufacturer": "Contoso", "model": "T", "groupTag": "OSL-STD"});
    house.deed("vendor", &other);
    house.syncs();
    says(&house.run("decommission TEST-OSL-003 --auto-approve"), 3, &["means more than one"]);
    assert!(house.stands("TEST-OSL-003").1);
}

#[test]
fn an_apply_in_between_neither_releases_nor_waits_for_a_device_that_is_on_its_way() {
    let house = House::applied("");
    house.enrols("TEST-OSL-003");
    house.undeclare("TEST-OSL-003");
    // It is asked for in Intune, and then whoever asked is gone.
    house.deed("settings", &json!({"intune.deleting": "10h"}));
    let late = house.run("decommission TEST-OSL-003 --auto-approve");
    says(&late, 9, &["still there; asked for", "the same command goes on where it stopped"]);
    says(&house.run("plan ."), 0, &["being decommissioned since", "apgit decommission TEST-OSL-003 goes on"]);
    let apply = house.run("apply . --auto-approve");
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    says(&house.run("ledger list ."), 0, &["being decommissioned since"]);
    house.deed("advance", &json!({"by": "11h"}));
    says(&house.run("decommission TEST-OSL-003 --auto-approve"), 0, &["Autopilot  gone", "Entra      gone"]);
    house.has_left("TEST-OSL-003");
}

#[test]
fn a_registration_that_goes_meanwhile_takes_nothing_of_what_is_known_with_it() {
    let house = House::applied("");
    house.enrols("TEST-OSL-003");
    house.undeclare("TEST-OSL-003");
    house.deed("settings", &json!({"intune.deleting": "10h"}));
    assert_eq!(house.run("decommission TEST-OSL-003 --auto-approve").code, 9);
    // Somebody removes it in the portal, and an apply finds it gone.
    house.deed("remove", &json!({"serial": "TEST-OSL-003"}));
    assert_eq!(house.run("apply . --auto-approve").code, 0);
    assert_eq!(house.stands("TEST-OSL-003"), (true, false, true));
    assert!(house.tombstone("TEST-OSL-003").get("left").is_some());
    says(&house.run("decommission TEST-OSL-003 --auto-approve"), 9, &["still there"]);
    house.deed("advance", &json!({"by": "11h"}));
    says(&house.run("decommission TEST-OSL-003 --auto-approve"), 0, &["Entra      gone"]);
    assert_eq!(house.stands("TEST-OSL-003"), (false, false, false));
    assert!(house.tombstone("TEST-OSL-003").get("left").is_none());
}

#[test]
fn in_a_hostile_tenant_it_takes_more_than_one_try_at_most() {
    for seed in 1..=3 {
        let house = House::declared(&format!("--profile hostile --seed {seed}"), str::to_owned);
        for _ in 0..6 {
            if house.run("apply . --auto-approve").code == 0 {
                break;
            }
        }
        house.enrols("TEST-OSL-003");
        house.deed("advance", &json!({"by": "1h"}));
        house.undeclare("TEST-OSL-003");
        let mut tries = Vec::new();
        while tries.last() != Some(&0) {
            assert!(tries.len() < 6, "seed {seed}: {tries:?}");
            let ran = house.run("decommission TEST-OSL-003 --auto-approve");
            assert!([0, 7, 9].contains(&ran.code), "seed {seed}: {}{}", ran.out, ran.err);
            tries.push(ran.code);
        }
        house.has_left("TEST-OSL-003");
    }
}
