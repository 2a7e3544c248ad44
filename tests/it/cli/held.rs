//! What is not written is shown as it would be, and why it is not.

use crate::support::{Desk, Folder, Ran, contoso, ran};

/// The example with other words in its tenant.
fn contoso_with(from: &str, to: &str) -> Folder {
    let folder = contoso();
    folder.edit("tenant.yaml", from, to);
    folder
}

fn apgit(desk: &Desk, folder: &Folder, words: &str) -> Ran {
    let (command, more) = words.split_once(' ').unwrap_or((words, ""));
    desk.run(&format!("{command} {} --simulate {more}", folder.path().display()))
}

#[test]
fn a_first_plan_under_observe_shows_every_change_with_its_values() {
    let (desk, folder) = (Desk::new(), contoso_with("policy: Sync", "policy: Observe"));
    let plan = apgit(&desk, &folder, "plan --detailed-exitcode");
    assert_eq!(plan.code, 2, "{}", plan.err);
    assert!(plan.out.contains("the tenant's policy `Observe` allows no write (ObserveOnly): 9"), "{}", plan.out);
    assert!(plan.out.contains("Nothing will be written: 9 changes are held."), "{}", plan.out);
    assert!(!plan.out.contains("No changes"), "{}", plan.out);
    // What the same plan says under `Sync` of its devices.
    let sync = apgit(&desk, &contoso(), "plan");
    let labels = ["group tag", "user", "greeting", "name", "hash"];
    let values = |plan: &Ran| {
        let value = |line: &str| {
            let words = line.get(18..)?.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>();
            (words.len() >= 2 && labels.contains(&words[0])).then(|| format!("{} {}", words[0], words[1]))
        };
        let mut values: Vec<String> = plan.out.lines().filter_map(value).collect();
        values.sort();
        values
    };
    assert!(values(&sync).len() > 20, "{}", sync.out);
    assert_eq!(values(&plan), values(&sync));

    let diff = apgit(&desk, &folder, "plan --diff");
    assert_eq!(diff.out.matches("held: ObserveOnly").count(), 9, "{}", diff.out);
    assert!(diff.out.contains("+groupTag: KIOSK-LOBBY") && diff.out.contains("+displayName: LOBBY-01"), "{}", diff.out);
    let json = apgit(&desk, &folder, "plan --json").json();
    for held in json["held"].as_array().expect("held changes") {
        let paths: Vec<_> = held["changes"].as_array().expect("values").iter().map(|of| of["path"].clone()).collect();
        assert!(paths.contains(&"groupTag".into()) && paths.contains(&"hardwareHash".into()), "{held}");
    }
    let apply = apgit(&desk, &folder, "apply --auto-approve");
    assert!(apply.code == 0 && !apply.out.contains("Apply plan"), "{}", apply.out);
    assert_eq!(apgit(&desk, &folder, "plan --detailed-exitcode").code, 2, "still nothing is written");
}

#[test]
fn what_scope_suspension_and_create_only_hold_is_shown_with_values() {
    for (from, to, reason, count) in
        [("\"BGO-*\"", "\"TRD-*\"", "OutOfScope", 3), ("policy: Sync", "policy: Sync\n  suspend: true", "Suspended", 9)]
    {
        let (desk, folder) = (Desk::new(), contoso_with(from, to));
        let plan = apgit(&desk, &folder, "plan --detailed-exitcode");
        assert_eq!(plan.code, 2, "{to}: {}", plan.out);
        assert!(plan.out.contains(&format!("({reason}): {count}\n")), "{to}: {}", plan.out);
        assert!(
            plan.out.contains("group tag   \"BGO-STD\"") && plan.out.contains("hash        sha256:"),
            "{}",
            plan.out
        );
    }
    let (desk, folder) = (Desk::new(), contoso_with("policy: Sync", "policy: CreateOnly"));
    assert_eq!(apgit(&desk, &folder, "apply --auto-approve -q").code, 0);
    assert_eq!(apgit(&desk, &folder, "plan --detailed-exitcode").code, 0);
    folder.edit("devices/bergen/laptops.yaml", "BGO-STD", "BGO-NEW");
    let plan = apgit(&desk, &folder, "plan --detailed-exitcode");
    assert!(plan.code == 2 && plan.out.contains("\"BGO-STD\" → \"BGO-NEW\""), "{}", plan.out);
    assert!(plan.out.contains("(UpdateNotAllowed): 2"), "{}", plan.out);
    let diff = apgit(&desk, &folder, "plan --diff").out;
    assert!(diff.contains("-groupTag: BGO-STD") && diff.contains("+groupTag: BGO-NEW"), "{diff}");
}

/// Nobody shall find out one by one what stands in the way.
#[test]
fn under_observe_what_is_out_of_scope_says_so() {
    let (desk, folder) = (Desk::new(), contoso_with("\"BGO-*\"", "\"TRD-*\""));
    folder.edit("tenant.yaml", "policy: Sync", "policy: Observe");
    let plan = apgit(&desk, &folder, "plan").out;
    assert!(plan.contains("(OutOfScope): 3\n") && plan.contains("(ObserveOnly): 7\n"), "{plan}");
}

#[test]
fn a_held_device_that_is_registered_counts_as_registered() {
    let (desk, folder) = (Desk::new(), contoso_with("policy: Sync", "policy: Sync"));
    assert_eq!(apgit(&desk, &folder, "apply --auto-approve -q").code, 0);
    folder.edit("tenant.yaml", "policy: Sync", "policy: Observe");
    folder.edit("devices/bergen/laptops.yaml", "BGO-STD", "BGO-NEW");
    let status = apgit(&desk, &folder, "status").out;
    assert!(status.contains("10 declared, 9 registered, 7 as declared"), "{status}");
}

#[test]
fn a_suspended_device_is_in_nobodys_way() {
    let (desk, folder) = (Desk::new(), contoso_with("policy: Sync", "policy: Sync"));
    folder.edit(
        "devices/oslo/laptops.yaml",
        "- serialNumber: TEST-OSL-001",
        "- suspend: true\n      serialNumber: TEST-OSL-001",
    );
    let plan = apgit(&desk, &folder, "plan --detailed-exitcode");
    assert!(plan.code == 2 && plan.out.contains("8 to register"), "{}", plan.out);
    assert!(plan.out.contains("suspended in its declaration (Suspended): 1"), "{}", plan.out);
    assert!(plan.out.contains("! TEST-OSL-001  register"), "{}", plan.out);
}

/// Nothing but a name or a number that cannot be broken is wider.
#[test]
fn eighty_columns_are_enough_for_every_report() {
    let (desk, folder) = (Desk::new(), contoso_with("policy: Sync", "policy: Sync"));
    std::fs::rename(folder.at("devices"), folder.at("d")).expect("a shorter name");
    folder.edit("tenant.yaml", "**/devices/", "**/d/");
    let check = |words: &str| {
        let words = words.replace("PATH", ".");
        let mut command = desk.command(&words);
        let ran = ran(command.current_dir(folder.path()).env("COLUMNS", "80"));
        for line in ran.out.lines().chain(ran.err.lines()) {
            assert!(line.chars().count() <= 80, "{words}: {} columns: {line}", line.chars().count());
        }
        ran
    };
    assert!(check("plan PATH --simulate").out.contains("9 to register"));
    assert_eq!(check("apply PATH --simulate --auto-approve").code, 0);
    folder.edit("d/bergen/laptops.yaml", "BGO-STD", "BGO-NEW");
    folder.edit("d/oslo/laptops.yaml", "OSL-STD", "OSL-NEW");
    let user = "userPrincipalName: somebody.with.a.long.name@contoso.com";
    folder.edit("d/oslo/kiosks.yaml", "displayName: LOBBY-01", &format!("displayName: LOBBY-1\n  {user}"));
    assert!(check("plan PATH --simulate").out.contains("LimitExceeded"));
    assert!(check("apply PATH --simulate --auto-approve").code == 5);
    check("status PATH --simulate");
    check("validate PATH");
    folder.edit("tenant.yaml", "hashStorage: PlainInGit", "");
    folder.edit("d/oslo/kiosks.yaml", "groupTag: KIOSK-LOBBY", "grouptag: KIOSK-LOBBY");
    assert_eq!(check("validate PATH").code, 3);
    folder.edit("d/oslo/kiosks.yaml", "grouptag: KIOSK-LOBBY", "groupTag: KIOSK-LOBBY");
    folder.edit("tenant.yaml", "tagPolicy:", "hashStorage: PlainInGit\n  tagPolicy:");
    folder.edit("tenant.yaml", "policy: Sync", "policy: Observe");
    check("plan PATH --simulate");
}
