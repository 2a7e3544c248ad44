//! What was approved is what is done, at the command line: digests and numbers
//! per tenant, before the first write to any, again after a crash and again
//! after success; and no write that nobody was asked about.

use std::process::Stdio;

use crate::support::{self, CONTOSO, Desk, Folder, Ran, contoso, contoso_and, ran};

const VENDORS_DEVICE: &str = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: vendors}\n\
                              spec: {serialNumber: TEST-VENDOR-1}\n";

/// The example beside a second tenant that has one device of its vendor.
fn two_tenants() -> Folder {
    let folder = contoso_and("lab");
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
    assert_eq!(later.code, 6, "{}", later.err);
    assert!(later.err.contains("all that was approved is done, and the plan is another one"), "{}", later.err);
    let left = desk.run(&format!("plan {} --simulate --json", fleet.path().display())).json();
    assert_eq!(left["summary"]["update"], 1, "it was not written");
}

#[cfg(unix)]
#[test]
fn the_same_command_after_a_stop_goes_on_with_what_is_left() {
    let desk = Desk::new();
    let state = desk.state.at("served.json");
    let served = desk.simulate(&format!("--profile calm --speed realtime --state {}", state.display()));
    let folder = contoso();
    folder.lead_to(&served.url);
    let command = |words: &str| {
        let mut command = desk.command(&format!("{words} {}", folder.path().display()));
        command.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        command
    };
    let plan = ran(&mut command("plan --json")).json();
    let digest = plan["digest"]["sha256"].as_str().expect("a digest").to_owned();
    let words = format!("apply --approve-digest {digest}");
    let stopped = support::stopped_at(&mut command(&words), "imports sent");
    assert_eq!(stopped.code, 8, "{}", stopped.err);
    // The same tenant goes on, now in a hurry; its plan is another one by now.
    let address = served.url.trim_start_matches("http://").to_owned();
    served.stop();
    let kept = format!("--profile calm --speed instant --listen {address} --state {}", state.display());
    let _served = desk.simulate(&kept);
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
    folder.lead_to(&served.url);
    let mut apply = desk.command(&format!("apply {} --approve-digest {simulated}", folder.path().display()));
    let apply = ran(apply.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET));
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

/// The example as another owner's, who has one field in another way.
fn neighbours(fleet: &Folder) -> Folder {
    let other = Folder::copy_of(fleet.path());
    other.edit("tenant.yaml", "ownerId: corp-devices", "ownerId: neighbours");
    other
}

#[test]
fn what_was_done_under_a_digest_is_not_done_again_under_it() {
    let (desk, fleet) = (Desk::new(), contoso());
    let before = neighbours(&fleet);
    let path = format!("{} --simulate", fleet.path().display());
    assert_eq!(desk.run(&format!("apply {path} --auto-approve")).code, 0);
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-02", "LOBBY-22");
    let digest = digest_of(&desk, &path);
    let words = format!("apply {path} --approve-digest {digest}");
    let undo = format!("apply {} --simulate --auto-approve", before.path().display());
    assert_eq!(desk.run(&words).code, 0);
    // Somebody sets it back. The very same change comes up again.
    let undone = desk.run_elsewhere(&undo);
    assert_eq!(undone.code, 0, "{}{}", undone.out, undone.err);
    let again = desk.run(&words);
    assert_eq!(again.code, 6, "{}{}", again.out, again.err);
    assert!(again.err.contains("an approval is used once"), "{}", again.err);
    let plan = desk.run(&format!("plan {path}"));
    assert!(plan.out.contains("1 to update"), "nothing was written: {}", plan.out);
    assert!(plan.out.contains("these changes were approved 1 time before"), "{}", plan.out);
    // It has a digest of its own, and can be approved by that.
    let second = digest_of(&desk, &path);
    assert_ne!(second, digest);
    assert_eq!(desk.run(&format!("apply {path} --approve-digest {second}")).code, 0);
    assert!(desk.run(&format!("plan {path}")).out.contains("No changes."));
    assert_eq!(desk.run_elsewhere(&undo).code, 0);
    for spent in [&digest, &second] {
        let apply = desk.run(&format!("apply {path} --approve-digest {spent}"));
        assert_ne!(apply.code, 5, "{}", apply.err);
        assert!(!apply.out.contains("1 updated"), "{}", apply.out);
    }
    assert!(desk.run(&format!("plan {path}")).out.contains("these changes were approved 2 times before"));
}

#[test]
fn two_owners_of_one_tenant_apply_in_one_run() {
    let (desk, fleet) = (Desk::new(), contoso());
    let tenant = fleet.read("tenant.yaml");
    let (all, lab) = (r#"["OSL-*", "BGO-*", "KIOSK-*", ""]"#, r#"["KIOSK-*"]"#);
    let of_lab = tenant.replace("name: contoso", "name: lab").replace("corp-devices", "lab-devices");
    fleet.write("lab/tenant.yaml", of_lab.replace(all, lab));
    for file in ["devices/oslo/laptops.yaml", "devices/oslo/kiosks.yaml", "devices/bergen/laptops.yaml"] {
        let name = if file.ends_with("kiosks.yaml") { "lab" } else { "contoso" };
        fleet.edit(file, "spec:\n", &format!("spec:\n  tenantRef: {{name: {name}}}\n"));
    }
    let path = format!("{} --simulate", fleet.path().display());
    let both = desk.run(&format!("apply {path} --auto-approve"));
    assert!(both.code == 3 && both.err.contains("scope-overlap"), "{}", both.err);
    assert!(both.err.contains("`lab-devices` has `KIOSK-*`, `corp-devices` has `KIOSK-*`"), "{}", both.err);
    fleet.edit("tenant.yaml", all, r#"["OSL-*", "BGO-*", ""]"#);
    let apply = desk.run(&format!("apply {path} --auto-approve"));
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    let left = desk.run(&format!("plan {path} --detailed-exitcode"));
    assert_eq!(left.code, 0, "each has done its part, and undone nothing: {}", left.out);
    let sync = desk.run(&format!("sync {path}"));
    assert_eq!((sync.code, &*sync.out), (9, ""), "{}", sync.err);
    let sync = desk.run(&format!("sync {path} --when-allowed"));
    assert_eq!((sync.code, sync.out.matches("sync started").count()), (0, 1), "one tenant: {}", sync.err);
    // What the one has registered is another's to the other.
    let taken = contoso();
    taken.edit("tenant.yaml", "corp-devices", "third-devices");
    taken.edit("tenant.yaml", "  auth:\n", "  adoptionPolicy: Never\n  auth:\n");
    taken.edit("devices/oslo/laptops.yaml", "groupTag: OSL-STD", "groupTag: OSL-DEV");
    let plan = desk.run(&format!("plan {} --simulate --json", taken.path().display())).json();
    let reasons: Vec<&str> =
        plan["held"].as_array().expect("a list").iter().map(|held| held["reason"].as_str().expect("a word")).collect();
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| *reason == "AdoptionNotAllowed"), "{reasons:?}");
}

#[test]
fn a_device_that_two_owners_of_one_tenant_claim_is_refused() {
    let (desk, fleet) = (Desk::new(), contoso());
    let tenant = fleet.read("tenant.yaml");
    fleet.write("lab/tenant.yaml", tenant.replace("name: contoso", "name: lab").replace("corp-devices", "lab-devices"));
    for file in ["devices/oslo/laptops.yaml", "devices/oslo/kiosks.yaml", "devices/bergen/laptops.yaml"] {
        fleet.edit(file, "spec:\n", "spec:\n  tenantRef: {name: contoso}\n");
    }
    let claim =
        VENDORS_DEVICE.replace("TEST-VENDOR-1", "TEST-OSL-004").replace("spec: {", "spec: {tenantRef: {name: lab}, ");
    fleet.write("lab/device.yaml", claim);
    let validate = desk.run(&format!("validate {}", fleet.path().display()));
    assert_eq!(validate.code, 3, "{}", validate.err);
    assert!(validate.err.contains("serial `TEST-OSL-004` is claimed twice"), "{}", validate.err);
    fleet.edit("lab/tenant.yaml", "11111111-", "99999999-");
    assert_eq!(desk.run(&format!("validate {}", fleet.path().display())).code, 0, "two tenants are two");
}

#[test]
fn a_sync_of_several_tenants_asks_for_none_where_one_may_not_be_written() {
    let (desk, fleet) = (Desk::new(), two_tenants());
    fleet.edit("lab/tenant.yaml", "policy: Sync", "policy: Observe");
    let sync = desk.run(&format!("sync {} --simulate", fleet.path().display()));
    assert_eq!(sync.code, 5, "{}", sync.err);
    assert_eq!(sync.out, "", "nothing was asked of the other");
}

#[cfg(unix)]
#[test]
fn a_request_to_stop_is_heard_while_the_first_connection_hangs() {
    let desk = Desk::new();
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", deaf.local_addr().expect("it has one"));
    let folder = contoso();
    folder.lead_to(&url);
    let mut command = desk.command(&format!("plan {}", folder.path().display()));
    command.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let (connection, _) = deaf.accept().expect("it connects");
    let asked = std::time::Instant::now();
    support::terminate(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(8));
    assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
    drop(connection);
}

#[cfg(unix)]
#[test]
fn every_folder_that_a_run_makes_for_its_state_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    let deep = desk.state.at("some/where/deep");
    let apply = desk.run(&format!("apply {CONTOSO} --simulate --auto-approve --state-dir {}", deep.display()));
    assert_eq!(apply.code, 0, "{}", apply.err);
    // A laxer one is tightened, on every step of the way.
    let lax = deep.join("simulated");
    std::fs::set_permissions(&lax, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    assert_eq!(desk.run(&format!("apply {CONTOSO} --simulate --auto-approve --state-dir {}", deep.display())).code, 0);
    let mut folders = vec![desk.state.at("some")];
    while let Some(folder) = folders.pop() {
        let mode = |path: &std::path::Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
}
