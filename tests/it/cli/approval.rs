//! What was approved is what is done, at the command line: digests and numbers
//! per tenant, before the first write to any, again after a crash and again
//! after success; and no write that nobody was asked about.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::support::{self, Desk, Folder, Ran, at_url, ran, root};

const CONTOSO: &str = "examples/contoso";
const VENDORS_DEVICE: &str = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: vendors}\n\
                              spec: {serialNumber: TEST-VENDOR-1}\n";

fn contoso() -> Folder {
    Folder::copy_of(&root().join(CONTOSO))
}

/// The example beside a second tenant that has one device of its vendor.
fn two_tenants() -> Folder {
    let folder = contoso();
    let tenant = folder.read("tenant.yaml");
    folder.write("lab/tenant.yaml", tenant.replace("name: contoso", "name: lab").replace("11111111-", "99999999-"));
    for file in ["devices/oslo/laptops.yaml", "devices/oslo/kiosks.yaml", "devices/bergen/laptops.yaml"] {
        folder.edit(file, "spec:\n", "spec:\n  tenantRef: {name: contoso}\n");
    }
    folder.write("lab/device.yaml", VENDORS_DEVICE.replace("spec: {", "spec: {tenantRef: {name: lab}, "));
    folder
}

fn digest_of(desk: &Desk, words: &str) -> String {
    let plan = desk.run(&format!("plan {words} --json")).json();
    plan["digest"]["sha256"].as_str().expect("a digest").to_owned()
}

/// How many devices a plan would register.
fn to_register(desk: &Desk, words: &str) -> u64 {
    desk.run(&format!("plan {words} --json")).json()["summary"]["register"].as_u64().expect("a number")
}

fn syncs(apply: &Ran) -> String {
    apply.json()["sync"]["result"].as_str().expect("a result").to_owned()
}

#[test]
fn where_several_tenants_are_declared_an_approval_names_its_own() {
    let (desk, fleet) = (Desk::new(), two_tenants());
    let path = format!("{} --simulate", fleet.path().display());
    for words in ["--approve-updates 3", "--approve-digest 0", "--approve-adopts nobody=3"] {
        let words = words.replace("digest 0", &format!("digest {}", "0".repeat(64)));
        let refused = desk.run(&format!("apply {path} --auto-approve {words}"));
        assert_eq!(refused.code, 64, "{words}: {}", refused.err);
        assert!(refused.err.contains("declared: lab, contoso") || refused.err.contains("declared: contoso, lab"));
    }
    assert_eq!(to_register(&desk, &format!("{path} --tenant contoso")), 9, "nothing was written");
    let both = desk.run(&format!("plan {path} --approve-updates contoso=3 --approve-updates lab=4"));
    assert_eq!(both.code, 0, "{}", both.err);
    let twice = desk.run(&format!("plan {path} --approve-updates lab=3 --approve-updates lab=4"));
    assert!(twice.code == 64 && twice.err.contains("twice"), "{}", twice.err);
}

#[test]
fn one_stale_digest_stops_all_tenants_before_the_first_write() {
    let (desk, fleet) = (Desk::new(), two_tenants());
    let path = format!("{} --simulate", fleet.path().display());
    let contoso = digest_of(&desk, &format!("{path} --tenant contoso"));
    let lab = digest_of(&desk, &format!("{path} --tenant lab"));
    let stale = "0".repeat(64);
    for (contoso, lab) in [(&contoso, &stale), (&stale, &lab), (&lab, &contoso)] {
        let apply = desk.run(&format!("apply {path} --approve-digest contoso={contoso} --approve-digest lab={lab}"));
        assert_eq!(apply.code, 6, "{}", apply.err);
        assert_eq!(to_register(&desk, &format!("{path} --tenant contoso")), 9, "nothing was written");
    }
    let apply = desk.run(&format!("apply {path} --approve-digest contoso={contoso} --approve-digest lab={lab}"));
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    assert_eq!(to_register(&desk, &format!("{path} --tenant contoso")), 0);
}

#[test]
fn the_text_plan_shows_the_digest_to_approve() {
    let desk = Desk::new();
    let digest = digest_of(&desk, &format!("{CONTOSO} --simulate"));
    let text = desk.run(&format!("plan {CONTOSO} --simulate")).out;
    assert!(text.lines().any(|line| line.trim() == format!("digest {digest}")), "{text}");
}

#[test]
fn the_same_command_after_success_says_that_all_is_done() {
    let desk = Desk::new();
    let digest = digest_of(&desk, &format!("{CONTOSO} --simulate"));
    let words = format!("apply {CONTOSO} --simulate --approve-digest {digest}");
    assert_eq!(desk.run(&words).code, 0);
    let again = desk.run(&words);
    assert!(again.code == 0 && again.err.contains("all that was approved is done"), "{}{}", again.out, again.err);
    // What came up since is no part of it, and is not done.
    let fleet = contoso();
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-02", "LOBBY-22");
    let later = desk.run(&format!("apply {} --simulate --approve-digest {digest}", fleet.path().display()));
    assert_eq!(later.code, 6, "a device of it is to be changed otherwise now: {}", later.err);
}

#[cfg(unix)]
#[test]
fn the_same_command_after_a_stop_goes_on_with_what_is_left() {
    let desk = Desk::new();
    let state = desk.state.at("served.json");
    let served = desk.simulate(&format!("--profile calm --speed realtime --state {}", state.display()));
    let folder = contoso();
    folder.edit("tenant.yaml", "  auth:\n", &format!("  {}\n  auth:\n", at_url(&served.url)));
    let command = |words: &str| {
        let mut command = desk.command(&format!("{words} {}", folder.path().display()));
        command.env("AZURE_CLIENT_SECRET", apgit::sim::CLIENT_SECRET);
        command
    };
    let plan = ran(&mut command("plan --json")).json();
    let digest = plan["digest"]["sha256"].as_str().expect("a digest").to_owned();
    let words = format!("apply --approve-digest {digest}");
    let mut child = command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut said = BufReader::new(child.stderr.take().expect("its stderr")).lines();
    assert!(said.any(|line| line.is_ok_and(|line| line.contains("imports sent"))), "it never sent anything");
    support::terminate(&child);
    let _rest: Vec<String> = said.map_while(Result::ok).collect();
    assert_eq!(child.wait().expect("it ends").code(), Some(8));
    // The same tenant goes on, now in a hurry; its plan is another one by now.
    let url = served.url.clone();
    served.stop();
    let served = desk.simulate(&format!("--profile calm --speed instant --state {}", state.display()));
    folder.edit("tenant.yaml", &url, &served.url);
    let again = ran(&mut command(&format!("{words} --json")));
    assert_eq!((again.code, &again.json()["summary"]["done"]), (0, &9.into()), "{}", again.err);
    assert!(again.err.contains("approved before; 9 changes are left of it"), "{}", again.err);
}

#[test]
fn a_simulated_tenants_digest_approves_no_other() {
    let desk = Desk::new();
    let served = desk.simulate("--profile calm --speed instant");
    let folder = contoso();
    let simulated = digest_of(&desk, &format!("{} --simulate", folder.path().display()));
    folder.edit("tenant.yaml", "  auth:\n", &format!("  {}\n  auth:\n", at_url(&served.url)));
    let mut apply = desk.command(&format!("apply {} --approve-digest {simulated}", folder.path().display()));
    let apply = ran(apply.env("AZURE_CLIENT_SECRET", apgit::sim::CLIENT_SECRET));
    assert_eq!(apply.code, 6, "{}", apply.err);
}

/// A tenant in which one device waits for its vendor, and nothing else is.
fn waiting(policy: &str) -> Folder {
    let folder = contoso();
    for file in ["devices/oslo/laptops.yaml", "devices/oslo/kiosks.yaml", "devices/bergen/laptops.yaml"] {
        std::fs::remove_file(folder.at(file)).expect("the copy's");
    }
    folder.edit("tenant.yaml", "policy: Sync", &format!("policy: {policy}"));
    folder.write("devices/vendors.yaml", VENDORS_DEVICE);
    folder
}

#[test]
fn a_sync_alone_is_asked_about_like_any_other_write() {
    let (desk, folder) = (Desk::new(), waiting("Sync"));
    let words = format!("apply {} --simulate --json", folder.path().display());
    let unasked = desk.run(&words);
    assert_eq!(unasked.code, 64, "{}{}", unasked.out, unasked.err);
    let plan = desk.run(&format!("plan {} --simulate", folder.path().display()));
    assert!(
        plan.out.contains("No changes.") && plan.out.contains("tenant sync: for the devices that vendors register")
    );
    assert_eq!(syncs(&desk.run(&format!("{words} --auto-approve"))), "done");
    let again = desk.run(&format!("{words} --auto-approve"));
    assert_eq!((again.code, &*syncs(&again)), (0, "notNeeded"));
}

#[test]
fn where_nothing_may_be_written_nothing_is() {
    for (policy, more) in [("Observe", ""), ("Sync", "  suspend: true\n")] {
        let (desk, folder) = (Desk::new(), waiting(policy));
        folder.edit("tenant.yaml", "  auth:\n", &format!("{more}  auth:\n"));
        let path = folder.path().display();
        let apply = desk.run(&format!("apply {path} --simulate --auto-approve --json"));
        assert_eq!((apply.code, &*syncs(&apply)), (0, "notNeeded"), "{}", apply.err);
        let sync = desk.run(&format!("sync {path} --simulate"));
        assert!(sync.code == 5 && sync.err.contains("nothing may be written"), "{policy}: {}", sync.err);
    }
}
