//! Plans in files: shown as they were drawn, compared, applied once and exactly,
//! and refused where they are not for this tenant, this time or this state.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{self, CONTOSO, Desk, Folder, Ran, contoso, contoso_and, ran};

/// Where a test keeps its plan.
fn file(desk: &Desk) -> PathBuf {
    desk.state.at("saved.plan")
}

/// Saves a plan of a folder.
#[track_caller]
fn save(desk: &Desk, folder: &Folder, words: &str) -> PathBuf {
    let path = file(desk);
    let plan = desk.run(&format!("plan {} --simulate --out {} {words}", folder.path().display(), path.display()));
    assert_eq!(plan.code, 0, "{}{}", plan.out, plan.err);
    path
}

fn apply(desk: &Desk, folder: &Folder, words: &str) -> Ran {
    desk.run(&format!("apply {} {} --simulate {words}", file(desk).display(), folder.path().display()))
}

/// Applies what is declared, without a plan in a file.
#[track_caller]
fn apply_now(desk: &Desk, folder: &Folder) {
    let apply = desk.run(&format!("apply {} --simulate --auto-approve", folder.path().display()));
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
}

/// By those of another owner, from another machine.
fn neighbours_apply(desk: &Desk, folder: &Folder) {
    let apply = desk.run_elsewhere(&format!("apply {} --simulate --auto-approve", folder.path().display()));
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
}

fn plan_now(desk: &Desk, folder: &Folder) -> Value {
    desk.run(&format!("plan {} --simulate --json", folder.path().display())).json()
}

/// The example as another owner's, whose words for a device are others.
fn neighbours(fleet: &Folder) -> Folder {
    let other = Folder::copy_of(fleet.path());
    other.edit("tenant.yaml", "ownerId: corp-devices", "ownerId: neighbours");
    other
}

/// Writes a changed document in the place of a saved plan.
fn edit(desk: &Desk, change: impl FnOnce(&mut Value)) {
    let text = std::fs::read_to_string(file(desk)).expect("the saved plan");
    let mut document: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut document);
    std::fs::write(file(desk), document.to_string()).expect("the test's own");
}

#[test]
fn a_saved_plan_is_shown_as_it_was_drawn() {
    let (desk, fleet) = (Desk::new(), contoso());
    apply_now(&desk, &fleet);
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-02", "LOBBY-22");
    let (path, folder) = (file(&desk), fleet.path().display().to_string());
    for words in ["", "--json", "--diff", "-q"] {
        let plan = desk.run(&format!("plan {folder} --simulate --out {} {words}", path.display()));
        let show = desk.run(&format!("show {} {words}", path.display()));
        assert_eq!((plan.code, &plan.out, &plan.err), (show.code, &show.out, &show.err), "{words}");
        assert!(!show.out.is_empty(), "{words}");
    }
    assert_eq!(desk.run(&format!("show {} --detailed-exitcode", path.display())).code, 2);
    let shown = desk.run(&format!("show {}", path.display())).out;
    assert!(shown.contains("  saved      can be applied until 2026-01-06 08:"), "{shown}");
}

#[test]
fn a_saved_plan_has_no_hash_and_a_digest_for_each_effect() {
    let (desk, fleet) = (Desk::new(), contoso());
    let path = save(&desk, &fleet, "");
    let text = std::fs::read_to_string(&path).expect("the saved plan");
    let saved: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&saved["format"], &saved["formatVersion"]), (&"apgit.plan/v1".into(), &"1.1".into()));
    let tenant = &saved["tenants"][0];
    let effects = tenant["effects"].as_array().expect("effects");
    assert_eq!(effects.len(), 9);
    assert!(effects.iter().all(|effect| effect["sha256"].as_str().is_some_and(|digest| digest.len() == 64)));
    assert!(effects.iter().all(|effect| effect["precondition"] == "absent"), "{effects:?}");
    assert_eq!(tenant["digest"]["sha256"], plan_now(&desk, &fleet)["digest"]["sha256"]);
    let longest = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '+' && c != '/').map(str::len).max();
    assert_eq!(longest, Some(64), "a SHA-256 is the longest word in it");
}

#[test]
fn a_saved_plan_is_applied_once() {
    let (desk, fleet) = (Desk::new(), contoso());
    save(&desk, &fleet, "");
    let first = apply(&desk, &fleet, "");
    assert_eq!(first.code, 0, "{}{}", first.out, first.err);
    assert!(first.out.contains(": 9 done, 0 failed"), "{}", first.out);
    assert!(desk.run(&format!("plan {} --simulate", fleet.path().display())).out.contains("No changes."));
    let again = apply(&desk, &fleet, "");
    assert_eq!(again.code, 0, "{}{}", again.out, again.err);
    assert!(again.err.contains("contoso: all that was approved is done"), "{}", again.err);
    assert!(!again.out.contains("Apply plan-"), "{}", again.out);
}

#[test]
fn what_a_saved_plan_has_done_and_others_undo_is_not_done_again_under_it() {
    let (desk, fleet) = (Desk::new(), contoso());
    apply_now(&desk, &fleet);
    let before = neighbours(&fleet);
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-02", "LOBBY-22");
    save(&desk, &fleet, "");
    assert_eq!(apply(&desk, &fleet, "").code, 0);
    neighbours_apply(&desk, &before);
    for stale in ["", "--stale=skip"] {
        let again = apply(&desk, &fleet, stale);
        assert_eq!(again.code, 6, "{}{}", again.out, again.err);
        assert_eq!(plan_now(&desk, &fleet)["summary"]["update"], 1, "nothing was written");
    }
}

/// Two changes, one of which meets another value by the time it is applied.
fn one_of_two_moved(desk: &Desk) -> Folder {
    let fleet = contoso();
    apply_now(desk, &fleet);
    let others = neighbours(&fleet);
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-02", "LOBBY-22");
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-01", "LOBBY-11");
    save(desk, &fleet, "");
    others.edit("devices/oslo/kiosks.yaml", "LOBBY-02", "OTHERS-02");
    neighbours_apply(desk, &others);
    fleet
}

#[test]
fn a_device_that_has_moved_stops_a_saved_plan_before_the_first_write() {
    let desk = Desk::new();
    let fleet = one_of_two_moved(&desk);
    let refused = apply(&desk, &fleet, "");
    assert_eq!(refused.code, 6, "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("1 of 2 devices is not as planned; nothing was written"), "{}", refused.err);
    let words = r#"TEST-KSK-002 (ChangedMeanwhile): name was "LOBBY-02", is "OTHERS-02""#;
    assert!(refused.err.contains(words), "{}", refused.err);
    assert_eq!(plan_now(&desk, &fleet)["summary"]["update"], 2, "nothing was written");
}

#[test]
fn what_has_moved_can_be_left_out() {
    let desk = Desk::new();
    let fleet = one_of_two_moved(&desk);
    let skipped = apply(&desk, &fleet, "--stale=skip --json");
    assert_eq!(skipped.code, 7, "{}{}", skipped.out, skipped.err);
    let report = skipped.json();
    assert_eq!((&report["summary"]["done"], &report["summary"]["notAttempted"]), (&1.into(), &1.into()));
    let outcomes = report["outcomes"].as_array().expect("outcomes");
    let of = |serial: &str| outcomes.iter().find(|outcome| outcome["serialNumber"] == serial).expect("an outcome");
    assert_eq!(of("TEST-KSK-001")["result"], "done");
    assert_eq!(of("TEST-KSK-002")["reason"], "ChangedMeanwhile");
    assert_eq!(of("TEST-KSK-002")["message"], r#"name was "LOBBY-02", is "OTHERS-02""#);
    assert_eq!(plan_now(&desk, &fleet)["summary"]["update"], 1);
}

#[test]
fn a_declaration_that_has_changed_since_is_not_what_was_planned() {
    let (desk, fleet) = (Desk::new(), contoso());
    save(&desk, &fleet, "");
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-02", "LOBBY-22");
    fleet.edit("devices/oslo/laptops.yaml", "    - serialNumber: TEST-OSL-002\n", "");
    let refused = apply(&desk, &fleet, "");
    assert_eq!(refused.code, 6, "{}{}", refused.out, refused.err);
    let name = r#"TEST-KSK-002 (ChangedMeanwhile): name was to be "LOBBY-02", is declared as "LOBBY-22""#;
    assert!(refused.err.contains(name), "{}", refused.err);
    assert!(refused.err.contains("TEST-OSL-002 (ChangedMeanwhile): it is not declared any more"), "{}", refused.err);
    // What is declared besides is no part of the plan.
    let (desk, fleet) = (Desk::new(), contoso());
    fleet.edit("devices/oslo/laptops.yaml", "    - serialNumber: TEST-OSL-002\n", "");
    save(&desk, &fleet, "");
    let more = apply(&desk, &contoso(), "--json");
    assert_eq!((more.code, &more.json()["summary"]["done"]), (0, &8.into()), "{}", more.err);
    assert_eq!(plan_now(&desk, &contoso())["summary"]["register"], 1);
}

#[test]
fn what_somebody_else_has_done_as_planned_is_no_reason_to_stop() {
    let desk = Desk::new();
    let fleet = contoso();
    apply_now(&desk, &fleet);
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-02", "LOBBY-22");
    let others = neighbours(&fleet);
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-01", "LOBBY-11");
    save(&desk, &fleet, "");
    neighbours_apply(&desk, &others);
    let rest = apply(&desk, &fleet, "--json");
    assert_eq!((rest.code, &rest.json()["summary"]["done"]), (0, &2.into()), "{}{}", rest.out, rest.err);
    assert!(rest.err.contains("1 device is as planned already"), "{}", rest.err);
    let again = apply(&desk, &fleet, "");
    assert!(again.code == 0 && again.err.contains("all that was approved is done"), "{}{}", again.out, again.err);
}

#[test]
fn a_saved_plan_expires_by_the_services_time() {
    let (desk, fleet) = (Desk::new(), contoso());
    save(&desk, &fleet, "--plan-ttl 5m");
    let path = fleet.path().display();
    assert_eq!(desk.run(&format!("sync {path} --simulate")).code, 0);
    assert_eq!(desk.run(&format!("sync {path} --simulate --when-allowed")).code, 0);
    let late = apply(&desk, &fleet, "");
    assert_eq!(late.code, 6, "{}{}", late.out, late.err);
    assert!(late.err.contains("the plan has expired: it could be applied until 2026-01-05 08:05:0"), "{}", late.err);
    assert_eq!(plan_now(&desk, &fleet)["summary"]["register"], 9, "nothing was written");
    // What was done in time is done.
    save(&desk, &fleet, "--plan-ttl 5m");
    assert_eq!(apply(&desk, &fleet, "").code, 0);
    assert_eq!(desk.run(&format!("sync {path} --simulate --when-allowed")).code, 0);
    let again = apply(&desk, &fleet, "");
    assert!(again.code == 0 && again.err.contains("all that was approved is done"), "{}{}", again.out, again.err);
    let wrong = desk.run(&format!("plan {path} --simulate --out {} --plan-ttl never", file(&desk).display()));
    assert_eq!(wrong.code, 64, "{}", wrong.err);
    // For longer the ledger does not remember that a plan was begun.
    let long = desk.run(&format!("plan {path} --simulate --out {} --plan-ttl 31d", file(&desk).display()));
    assert!(long.code == 64 && long.err.contains("at most `30d`: a plan is used once"), "{}", long.err);
}

#[test]
fn a_saved_plan_that_was_edited_is_not_applied() {
    type Edit = dyn Fn(&mut Value);
    let edits: [(&str, &Edit); 5] = [
        ("it was edited", &|plan| plan["tenants"][0]["expiresAt"] = "2099-01-01T00:00:00Z".into()),
        ("it was edited", &|plan| {
            let change = &mut plan["tenants"][0]["prepared"]["cleared"]["plan"]["changes"][0];
            change["effect"]["action"]["register"]["values"][0][1] = "EVIL".into();
        }),
        ("in the encoding `apgit/effect/v9`", &|plan| {
            plan["tenants"][0]["digest"]["encoding"] = "apgit/effect/v9".into();
        }),
        ("in version `1.2`", &|plan| plan["formatVersion"] = "1.2".into()),
        ("its format is `apgit.plan/v2`", &|plan| plan["format"] = "apgit.plan/v2".into()),
    ];
    for (words, change) in edits {
        let (desk, fleet) = (Desk::new(), contoso());
        save(&desk, &fleet, "");
        edit(&desk, change);
        for ran in [apply(&desk, &fleet, ""), desk.run(&format!("show {}", file(&desk).display()))] {
            assert!(ran.code == 6 && ran.err.contains(words), "{words}: {} {}{}", ran.code, ran.out, ran.err);
        }
        assert_eq!(plan_now(&desk, &fleet)["summary"]["register"], 9, "nothing was written");
    }
    // Laid out in another way it is the same.
    let (desk, fleet) = (Desk::new(), contoso());
    save(&desk, &fleet, "");
    edit(&desk, |_| {});
    assert_eq!(apply(&desk, &fleet, "").code, 0);
}

#[test]
fn what_is_no_saved_plan_is_said_to_be_none() {
    let (desk, fleet) = (Desk::new(), contoso());
    let report = desk.state.at("report.json");
    let folder = fleet.path().display();
    assert_eq!(desk.run(&format!("plan {folder} --simulate --report json={}", report.display())).code, 0);
    let short = desk.state.at("short.plan");
    std::fs::write(&short, "{\"format\": \"apgit.plan/v1\", \"formatVersion\": ").expect("the test's own");
    for path in [&report, &short] {
        for command in ["apply", "show"] {
            let ran = desk.run(&format!("{command} {}", path.display()));
            assert!(ran.code == 3 && ran.err.contains("is not a saved plan"), "{command}: {} {}", ran.code, ran.err);
            assert!(ran.err.contains("hint: `apgit plan --out FILE` writes one"), "{}", ran.err);
        }
    }
    let other = desk.run(&format!("show {folder}/tenant.yaml"));
    assert!(other.code == 3 && other.err.contains("is not a saved plan"), "{}", other.err);
    assert_eq!(desk.run("show no-such-file").code, 64);
    save(&desk, &fleet, "");
    let behind = desk.run(&format!("apply {folder} {} --simulate", file(&desk).display()));
    assert!(behind.code == 64 && behind.err.contains("not the first path"), "{}", behind.err);
}

#[test]
fn a_saved_plan_is_for_its_tenant_owner_policy_and_place_alone() {
    let (desk, fleet) = (Desk::new(), contoso());
    save(&desk, &fleet, "");
    let cases = [
        ("11111111-", "99999999-", "which is not declared under"),
        ("ownerId: corp-devices", "ownerId: others", "is of owner `others`"),
        ("policy: Sync", "policy: UpsertOnly", "was made under the policy `Sync`, and `UpsertOnly` is declared"),
    ];
    for (from, to, words) in cases {
        let other = contoso();
        other.edit("tenant.yaml", from, to);
        let refused = apply(&desk, &other, "");
        assert!(refused.code == 6 && refused.err.contains(words), "{words}: {}{}", refused.code, refused.err);
    }
    let served = desk.simulate("--profile calm --speed instant");
    let real = contoso();
    real.lead_to(&served.url);
    let mut elsewhere = desk.command(&format!("apply {} {}", file(&desk).display(), real.path().display()));
    let elsewhere = ran(elsewhere.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET));
    assert_eq!(elsewhere.code, 6, "{}", elsewhere.err);
    assert!(
        elsewhere.err.contains("the plan is for `simulated`, and the tenant is at `http://127"),
        "{}",
        elsewhere.err
    );
    assert_eq!(plan_now(&desk, &fleet)["summary"]["register"], 9, "nothing was written");
}

#[test]
fn a_plan_that_writes_nothing_cannot_be_applied() {
    let (desk, fleet) = (Desk::new(), contoso());
    fleet.edit("tenant.yaml", "policy: Sync", "policy: Observe");
    save(&desk, &fleet, "");
    let refused = apply(&desk, &fleet, "");
    assert!(refused.code == 6 && refused.err.contains("it would write nothing"), "{}{}", refused.out, refused.err);
}

#[test]
fn a_saved_plan_takes_no_other_approval() {
    let (desk, fleet) = (Desk::new(), contoso());
    save(&desk, &fleet, "");
    let digest = format!("--approve-digest {}", "0".repeat(64));
    let numbers = ["--approve-updates 3", "--approve-deletes 1", "--approve-releases 1"];
    let others = ["--auto-approve", &digest, "--retry TEST-OSL-001", "--target TEST-*"];
    for words in numbers.into_iter().chain(others) {
        let refused = apply(&desk, &fleet, words);
        assert!(
            refused.code == 64 && refused.err.contains("makes no sense beside a saved plan"),
            "{words}: {}",
            refused.err
        );
        assert!(refused.err.contains("hint: "), "{words}: {}", refused.err);
    }
    let alone = desk.run(&format!("apply {} --simulate --stale=skip --auto-approve", fleet.path().display()));
    assert!(alone.code == 64 && alone.err.contains("`--stale` is about a saved plan"), "{}", alone.err);
}

#[test]
fn numbers_that_were_approved_with_a_plan_hold_when_it_is_applied() {
    let (desk, fleet) = (Desk::new(), contoso());
    apply_now(&desk, &fleet);
    fleet.edit("devices/oslo/laptops.yaml", "groupTag: OSL-STD", "groupTag: OSL-DEV");
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-02", "LOBBY-22");
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-01", "LOBBY-11");
    let held = plan_now(&desk, &fleet);
    assert_eq!((&held["summary"]["update"], &held["summary"]["blocked"]), (&0.into(), &6.into()), "{held}");
    save(&desk, &fleet, "--approve-updates 6");
    let done = apply(&desk, &fleet, "--json");
    assert_eq!((done.code, &done.json()["summary"]["done"]), (0, &6.into()), "{}{}", done.out, done.err);
}

#[test]
fn the_same_effects_are_the_same_plan_however_they_are_laid_out() {
    let (desk, fleet) = (Desk::new(), contoso());
    let first = save(&desk, &fleet, "");
    let moved = contoso();
    std::fs::rename(moved.at("devices/oslo/kiosks.yaml"), moved.at("devices/aaa.yaml")).expect("the copy's");
    moved.edit("devices/aaa.yaml", "../../hashes", "../hashes");
    let lines = moved.read("devices/aaa.yaml");
    let (one, two) = lines.split_once("---\n").expect("two documents");
    moved.write("devices/aaa.yaml", format!("{two}---\n{one}"));
    moved.edit("tenant.yaml", "**/devices/oslo/kiosks.yaml", "**/devices/aaa.yaml");
    let (elsewhere, second) = (Desk::new(), desk.state.at("second.plan"));
    let plan = elsewhere.run(&format!("plan {} --simulate --out {}", moved.path().display(), second.display()));
    assert_eq!(plan.code, 0, "{}", plan.err);
    let diff = desk.run(&format!("diff {} {} --detailed-exitcode", first.display(), second.display()));
    assert_eq!(diff.code, 0, "{}{}", diff.out, diff.err);
    assert!(diff.out.contains(": the same plan"), "{}", diff.out);
    std::fs::rename(second, first).expect("the test's own");
    assert_eq!(apply(&desk, &fleet, "").code, 0, "it is applied on another machine");
}

#[test]
fn two_plans_are_compared_device_by_device() {
    let (desk, fleet) = (Desk::new(), contoso());
    let first = desk.state.at("first.plan");
    std::fs::rename(save(&desk, &fleet, ""), &first).expect("the test's own");
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-02", "LOBBY-22");
    fleet.edit("devices/oslo/laptops.yaml", "    - serialNumber: TEST-OSL-002\n", "");
    let second = save(&desk, &fleet, "");
    let words = format!("diff {} {}", first.display(), second.display());
    let diff = desk.run(&words);
    assert_eq!(diff.code, 0, "{}", diff.err);
    assert!(diff.out.contains("  0 added, 1 removed, 1 changed; 7 effects are the same"), "{}", diff.out);
    assert!(diff.out.contains(r#"- name        "LOBBY-02""#), "{}", diff.out);
    assert!(diff.out.contains(r#"+ name        "LOBBY-22""#), "{}", diff.out);
    let json = desk.run(&format!("{words} --json --detailed-exitcode"));
    assert_eq!(json.code, 2);
    let json = json.json();
    assert_eq!((&json["kind"], &json["same"], &json["unchanged"]), (&"apgit.diff".into(), &false.into(), &7.into()));
    let changes: Vec<(&str, &str)> = json["devices"]
        .as_array()
        .expect("devices")
        .iter()
        .map(|device| (device["object"]["serialNumber"].as_str().unwrap(), device["change"].as_str().unwrap()))
        .collect();
    assert_eq!(changes, [("TEST-KSK-002", "changed"), ("TEST-OSL-002", "removed")]);
    assert_eq!(desk.run(&format!("{words} --report diff")).code, 64);
}

#[test]
fn only_a_saved_plan_makes_room_for_another() {
    let (desk, fleet) = (Desk::new(), contoso());
    let path = fleet.path().display();
    let hash = fleet.read("hashes/TEST-KSK-001.txt");
    let refused = desk.run(&format!("plan {path} --simulate --out {path}/hashes/TEST-KSK-001.txt"));
    assert!(refused.code == 64 && refused.err.contains("is not overwritten"), "{}", refused.err);
    assert_eq!(fleet.read("hashes/TEST-KSK-001.txt"), hash);
    let nowhere = desk.run(&format!("plan {path} --simulate --out {path}/no/such/folder.plan"));
    assert!(nowhere.code == 64 && nowhere.err.contains("there is no folder"), "{}", nowhere.err);
    std::fs::write(file(&desk), "").expect("the test's own");
    save(&desk, &fleet, "");
    save(&desk, &fleet, "");
    #[cfg(unix)]
    {
        let link = fleet.at("link.plan");
        std::os::unix::fs::symlink(file(&desk), &link).expect("a link");
        let refused = desk.run(&format!("plan {path} --simulate --out {}", link.display()));
        assert!(refused.code == 64 && refused.err.contains("is a symbolic link"), "{}", refused.err);
    }
}

#[test]
fn a_file_that_is_called_as_manifests_are_is_no_approval() {
    let (desk, fleet) = (Desk::new(), contoso());
    let (path, folder) = (fleet.at("change.plan"), fleet.path().display());
    for _ in 0..2 {
        let plan = desk.run(&format!("plan {folder} --simulate --out {}", path.display()));
        assert_eq!((plan.code, &*plan.err), (0, ""), "it may lie among manifests");
    }
    for name in ["change.json", "fleet.yaml", "fleet.YML"] {
        let named = fleet.at(name);
        let refused = desk.run(&format!("plan {folder} --simulate --out {}", named.display()));
        assert!(refused.code == 64 && refused.err.contains("a plan is not saved as"), "{name}: {}", refused.err);
        std::fs::copy(&path, &named).expect("a branch may do that");
        let refused = desk.run(&format!("apply {} {folder} --simulate", named.display()));
        let words = "is a saved plan under the name of a manifest";
        assert!(refused.code == 64 && refused.err.contains(words), "{name}: {}", refused.err);
        std::fs::remove_file(named).expect("the copy");
    }
    let done = desk.run(&format!("apply {} {folder} --simulate", path.display()));
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
}

#[test]
fn a_plan_of_several_tenants_stops_for_all_where_one_has_moved() {
    let (desk, fleet) = (Desk::new(), contoso_and("lab"));
    fleet.write(
        "lab/device.yaml",
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: vendors}\n\
         spec: {tenantRef: {name: lab}, serialNumber: TEST-VENDOR-1}\n",
    );
    save(&desk, &fleet, "");
    let shown = desk.run(&format!("show {} --json", file(&desk).display())).json();
    assert_eq!((&shown["kind"], shown["tenants"].as_array().map(Vec::len)), (&"apgit.fleet".into(), Some(2)));
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-02", "LOBBY-22");
    let refused = apply(&desk, &fleet, "");
    assert!(refused.code == 6 && refused.err.contains("error: contoso: 1 of 9"), "{}{}", refused.out, refused.err);
    let lab = desk.run(&format!("plan {} --simulate --tenant lab --json", fleet.path().display())).json();
    assert_eq!(lab["upkeep"]["sync"], "Vendor", "nothing was asked of the other");
    fleet.edit("devices/oslo/kiosks.yaml", "LOBBY-22", "LOBBY-02");
    let done = apply(&desk, &fleet, "");
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    let alone = desk.run(&format!("show {} --tenant nobody", file(&desk).display()));
    assert_eq!(alone.code, 3, "{}", alone.err);
}

#[cfg(unix)]
#[test]
fn the_same_command_after_a_stop_goes_on_with_what_is_left_of_a_saved_plan() {
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
    let plan = ran(&mut command(&format!("plan --out {}", file(&desk).display())));
    assert_eq!(plan.code, 0, "{}", plan.err);
    let words = format!("apply {}", file(&desk).display());
    let stopped = support::stopped_at(&mut command(&words), "imports sent");
    assert_eq!(stopped.code, 8, "{}", stopped.err);
    let address = served.url.trim_start_matches("http://").to_owned();
    served.stop();
    let kept = format!("--profile calm --speed instant --listen {address} --state {}", state.display());
    let _served = desk.simulate(&kept);
    let again = ran(&mut command(&format!("{words} --json")));
    assert_eq!((again.code, &again.json()["summary"]["done"]), (0, &9.into()), "{}", again.err);
    assert!(again.err.contains("approved before; 9 changes are left of it"), "{}", again.err);
    let done = ran(&mut command(&words));
    assert!(done.code == 0 && done.err.contains("all that was approved is done"), "{}{}", done.out, done.err);
}

#[test]
fn a_part_of_the_devices_can_be_planned_and_applied() {
    let (desk, fleet) = (Desk::new(), contoso());
    let path = fleet.path().display();
    let serials = |words: &str| -> Vec<String> {
        let plan = desk.run(&format!("plan {path} --simulate --json {words}"));
        assert_eq!(plan.code, 0, "{words}: {}", plan.err);
        let plan = plan.json();
        assert_eq!((&plan["complete"], &plan["scope"]["partial"]), (&false.into(), &true.into()));
        let serial =
            |action: &Value| action["object"]["serialNumber"].as_str().unwrap().trim_start_matches("TEST-").to_owned();
        plan["actions"].as_array().unwrap().iter().map(serial).collect()
    };
    assert_eq!(serials("--target test-osl-001"), ["OSL-001"]);
    assert_eq!(serials("--target TEST-KSK-* --target TEST-OSL-001 --exclude TEST-KSK-002"), ["KSK-001", "OSL-001"]);
    assert_eq!(serials("--target tag=BGO-*"), ["BGO-001", "BGO-002"]);
    assert_eq!(serials("--target file=**/kiosks.yaml"), ["KSK-001", "KSK-002"]);
    assert_eq!(serials("--exclude file=**/oslo/**"), ["BGO-001", "BGO-002"]);
    let text = desk.run(&format!("plan {path} --simulate --target tag=BGO-* -q")).out;
    assert!(
        text.starts_with("A part of the tenant: --target tag=BGO-*. Nothing follows for any other device."),
        "{text}"
    );
    let done = desk.run(&format!("apply {path} --simulate --auto-approve --target TEST-KSK-001"));
    assert!(done.code == 0 && done.out.contains(": 1 done"), "{}{}", done.out, done.err);
    let left = plan_now(&desk, &fleet);
    assert_eq!((&left["summary"]["register"], &left["complete"]), (&8.into(), &true.into()));
}

#[test]
fn a_part_says_nothing_of_other_devices_and_removes_none() {
    let (desk, fleet) = (Desk::new(), contoso());
    apply_now(&desk, &fleet);
    fleet.edit("devices/oslo/laptops.yaml", "    - serialNumber: TEST-OSL-002\n", "");
    let path = fleet.path().display();
    assert_eq!(plan_now(&desk, &fleet)["summary"]["deregister"], 1);
    let part = desk.run(&format!("plan {path} --simulate --json --target TEST-OSL-001")).json();
    let of = |name: &str| part["summary"][name].as_u64().unwrap();
    assert_eq!((of("unmanaged"), of("deregister"), of("unchanged")), (0, 0, 1));
    assert_eq!(part["removal"]["undeclared"].as_array().unwrap().len(), 0);
}

#[test]
fn a_pattern_that_matches_nothing_is_a_mistake() {
    let desk = Desk::new();
    for words in ["--target NOSUCH", "--exclude tag=NOSUCH-*", "--target file=nowhere/**"] {
        let plan = desk.run(&format!("plan {CONTOSO} --simulate {words}"));
        assert!(plan.code == 3 && plan.err.contains("matches no declared device"), "{words}: {}", plan.err);
    }
    let nothing = desk.run(&format!("plan {CONTOSO} --simulate --target TEST-OSL-001 --exclude TEST-OSL-*"));
    assert_eq!(nothing.code, 3, "{}", nothing.err);
    for words in ["--target colour=red", "--target [", "--exclude file="] {
        let plan = desk.run(&format!("plan {CONTOSO} --simulate {words}"));
        assert!(matches!(plan.code, 3 | 64), "{words}: {} {}", plan.code, plan.err);
    }
}

#[test]
fn a_part_can_be_saved_and_applied() {
    let (desk, fleet) = (Desk::new(), contoso());
    save(&desk, &fleet, "--target tag=BGO-*");
    let shown = desk.run(&format!("show {} --json", file(&desk).display())).json();
    assert_eq!((&shown["scope"]["targets"][0], &shown["applicable"]), (&"tag=BGO-*".into(), &true.into()));
    let done = apply(&desk, &fleet, "--json");
    assert_eq!((done.code, &done.json()["summary"]["done"]), (0, &2.into()), "{}", done.err);
}
