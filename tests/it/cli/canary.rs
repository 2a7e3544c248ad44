//! A rollout as people meet it.

use serde_json::json;

use crate::support::{Desk, contoso, git, ran, stopped_at};

#[test]
fn an_apply_sends_the_canaries_and_the_next_one_the_rest() {
    let (desk, folder) = (Desk::new(), contoso());
    let rollout = "  rollout: {canary: 1, waitFor: Registered}\n  policy: Sync";
    folder.edit("tenant.yaml", "  policy: Sync", rollout);
    let run = |words: &str| {
        let (command, more) = words.split_once(' ').unwrap_or((words, ""));
        desk.run(&format!("{command} {} --simulate {more}", folder.path().display()))
    };
    let plan = run("plan");
    assert!(plan.out.contains("(AwaitingCanary): "), "{}", plan.out);
    assert!(
        plan.out.contains("group tag `OSL-STD`: 0 of 1 devices have come to Registered, 1 awaited"),
        "{}",
        plan.out
    );
    let json = run("plan --json").json();
    let held = json["summary"]["blocked"].as_u64().expect("a number");
    assert!(held > 0 && json["summary"]["register"].as_u64().expect("a number") + held <= 9, "{}", json["summary"]);
    let first = run("apply --auto-approve");
    assert_eq!(first.code, 0, "{}{}", first.out, first.err);
    let second = run("apply --auto-approve");
    assert!(second.code == 0 && second.out.contains(&format!("{held} done")), "{}{}", second.out, second.err);
    assert!(run("plan").out.contains("No changes."));
    // To take it away is an effect of its own.
    folder.edit("tenant.yaml", rollout, "  policy: Sync");
    assert!(run("plan").out.contains("* rollout"));
}

/// Each of them had its canary when it was made.
#[test]
fn saved_plans_of_parts_have_the_canaries_of_one_together() {
    let (desk, folder) = (Desk::new(), contoso());
    folder.edit("tenant.yaml", "  policy: Sync", "  rollout: {canary: 2, waitFor: Enrolled}\n  policy: Sync");
    let at = folder.path().display();
    let part = |serials: &[&str]| {
        let file = desk.state.at(format!("{}.plan", serials[0]));
        let targets: String = serials.iter().map(|serial| format!(" --target {serial}")).collect();
        let plan = desk.run(&format!("plan {at} --simulate --json --out {}{targets}", file.display()));
        assert_eq!(plan.json()["summary"]["register"], serials.len(), "{}{}", plan.out, plan.err);
        file.display().to_string()
    };
    let (first, second, both) =
        (part(&["TEST-OSL-001"]), part(&["TEST-OSL-002"]), part(&["TEST-OSL-003", "TEST-OSL-004"]));
    let apply = |file: &str, more: &str| desk.run(&format!("apply {file} {at} --simulate {more}"));
    for (file, said) in [(&first, "1 done"), (&first, "all that was approved is done"), (&second, "1 done")] {
        let apply = apply(file, "");
        let told = format!("{}{}", apply.out, apply.err);
        assert!(apply.code == 0 && told.contains(said), "{told}");
    }
    let third = apply(&both, "");
    assert!(third.code == 6 && third.err.contains("2 of 2 devices are not as planned"), "{}{}", third.out, third.err);
    let said = "group tag `OSL-STD`: 2 of the 2 that could go first have gone with other plans";
    assert!(third.err.contains("(AwaitingCanary)") && third.err.contains(said), "{}", third.err);
    let rest = apply(&both, "--stale=skip");
    assert!(rest.code != 0 && !rest.out.contains("1 done"), "{}{}", rest.out, rest.err);
    let plan = desk.run(&format!("plan {at} --simulate --json --target TEST-OSL-003")).json();
    assert_eq!(plan["summary"]["register"], 0, "{plan}");
    // Nor does a plan from before the rollout go on as if there was none.
    let file = desk.state.at("TEST-KSK-001.plan");
    let plan = desk.run(&format!("plan {at} --simulate --out {} --target TEST-KSK-001", file.display()));
    assert_eq!(plan.code, 0, "{}{}", plan.out, plan.err);
    folder.edit("tenant.yaml", "canary: 2", "canary: 1");
    let other = apply(&file.display().to_string(), "");
    assert!(other.code == 6 && other.err.contains("another `rollout` holds"), "{}{}", other.out, other.err);
}

/// Not in the run that raises it either: how many go first is judged as applied.
#[test]
fn a_canary_that_is_raised_with_the_change_lets_nothing_more_through() {
    let (desk, folder) = (Desk::new(), contoso());
    let rollout = |canary| format!("  rollout: {{canary: {canary}, waitFor: Enrolled}}\n  policy: Sync");
    folder.edit("tenant.yaml", "  policy: Sync", &rollout(1));
    let run = |words: &str| {
        let (command, more) = words.split_once(' ').unwrap_or((words, ""));
        desk.run(&format!("{command} {} --simulate {more}", folder.path().display()))
    };
    let first = run("apply --auto-approve");
    assert_eq!(first.code, 0, "{}{}", first.out, first.err);
    let waiting = run("plan --json").json()["summary"]["blocked"].clone();
    let digest = run("plan --json").json()["digest"]["sha256"].clone();
    folder.edit("tenant.yaml", &rollout(1), &rollout(100));
    let plan = run("plan --json").json();
    assert_eq!((&plan["summary"]["register"], &plan["summary"]["blocked"]), (&0.into(), &waiting), "{plan}");
    assert_ne!(plan["digest"]["sha256"], digest, "what is loosened is part of what is approved");
    let text = run("plan").out;
    assert!(text.contains("* rollout.canary") && text.contains("0 of 100 devices have come to Enrolled"), "{text}");
    // It holds for the plan that follows.
    let raised = run("apply --auto-approve");
    assert!(raised.code == 0 && !raised.out.contains("1 done"), "{}{}", raised.out, raised.err);
    assert_eq!(run("plan --json").json()["summary"]["register"], waiting);
}

/// Devices of others with the same tag, declared nowhere, prove nothing and hide nothing.
#[test]
fn a_canary_is_found_among_many_devices_that_nobody_declares() {
    let desk = Desk::new();
    let served = desk.simulate("--speed instant");
    let folder = contoso();
    folder.lead_to(&served.url);
    folder.edit("tenant.yaml", "  policy: Sync", "  rollout: {canary: 1, waitFor: ProfileAssigned}\n  policy: Sync");
    for number in 0..25 {
        let device = json!({"serial": format!("TEST-V-{number}"), "manufacturer": "LENOVO", "model": "T14", "groupTag": "OSL-STD"});
        served.post("vendor", &device);
    }
    let run = |words: &str| {
        let mut command = desk.command(&format!("{words} --allow-endpoint 127.0.0.1"));
        command.current_dir(folder.path()).env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        ran(&mut command)
    };
    served.post("advance", &json!({"by": "1h"}));
    served.post("sync", &json!({}));
    served.post("advance", &json!({"by": "24h"}));
    let first = run("apply . --auto-approve");
    assert!(first.code == 0 && first.out.contains("AwaitingCanary"), "{}{}", first.out, first.err);
    served.post("advance", &json!({"by": "48h"}));
    let second = run("apply . --auto-approve");
    assert!(second.code == 0 && !second.out.contains("group tag `OSL-STD`: 0 of 1"), "{}{}", second.out, second.err);
    assert!(!second.out.contains("(AwaitingCanary)"), "{}", second.out);
}

/// One run per folder, one per device, one that is stopped, one on a machine that has
/// not seen it: of a tag goes one.
#[test]
fn runs_over_parts_of_the_declarations_have_the_canaries_of_one_together() {
    let desk = Desk::new();
    let served = desk.simulate("--speed instant");
    let folder = contoso();
    folder.lead_to(&served.url);
    folder.edit("tenant.yaml", "  policy: Sync", "  rollout: {canary: 1, waitFor: Enrolled}\n  policy: Sync");
    let laptops = "devices/oslo/laptops.yaml";
    let mut set = folder.read(laptops);
    for number in 1..=4 {
        let device = format!("    - serialNumber: TEST-OSL-00{number}\n");
        let user = "      userPrincipalName: anna.keller@contoso.com\n";
        set = set.replace(&format!("{device}{user}"), &device);
        let of_one: String = (1..=5).filter(|other| *other != number).fold(set_of_five(&set), |set, other| {
            set.replace(&format!("    - serialNumber: TEST-OSL-00{other}\n"), "")
        });
        let of_one = of_one.replace("oslo-laptops", &format!("oslo-{number}"));
        folder.write(format!("devices/oslo/{number}.yaml"), of_one);
    }
    std::fs::remove_file(folder.at(laptops)).unwrap();
    git(folder.path(), &["init", "-q", "-b", "main"]);
    git(folder.path(), &["add", "--all"]);
    git(folder.path(), &["commit", "-q", "-m", "declare"]);
    let command = |words: &str| {
        let mut command = desk.command(&format!("{words} --allow-endpoint 127.0.0.1"));
        command.current_dir(folder.path()).env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        command.env("PATH", std::env::var_os("PATH").expect("where git is"));
        command
    };
    let tagged = || {
        let all = served.get("registrations");
        all.as_array().unwrap().iter().filter(|device| device["groupTag"] == "OSL-STD").count()
    };
    let file = desk.state.at("saved.plan").display().to_string();
    let saved = ran(&mut command(&format!("plan . --target TEST-OSL-004 --out {file}")));
    assert_eq!(saved.code, 0, "{}{}", saved.out, saved.err);
    let stopped = stopped_at(&mut command("apply tenant.yaml devices/oslo/1.yaml --auto-approve"), "imports sent");
    assert_eq!(stopped.code, 8, "{}{}", stopped.out, stopped.err);
    served.post("advance", &json!({"by": "1h"}));
    assert_eq!(tagged(), 1);
    let none_goes = |words: &str| {
        let run = ran(&mut command(words));
        assert_eq!(tagged(), 1, "{words}: {}{}", run.out, run.err);
        run
    };
    none_goes("apply tenant.yaml devices/oslo/2.yaml --auto-approve");
    none_goes("apply . --target TEST-OSL-002 --auto-approve");
    // To a machine without the journal the ledger says as much.
    let journal = desk.state.files().into_iter().find(|path| path.ends_with("journal.jsonl")).expect("a journal");
    std::fs::remove_file(journal).unwrap();
    let saved = none_goes(&format!("apply {file} ."));
    assert!(saved.code == 6 && saved.err.contains("have gone with other plans"), "{}{}", saved.out, saved.err);
    none_goes("apply . --target TEST-OSL-002 --auto-approve");
    none_goes("apply tenant.yaml devices/oslo/2.yaml --auto-approve");
    // Once the ledger has it among what was applied, too.
    none_goes("apply . --auto-approve");
    none_goes("apply tenant.yaml devices/oslo/3.yaml --auto-approve");
}

/// Without the one that has another tag.
fn set_of_five(set: &str) -> String {
    let at = set.find("    - serialNumber: TEST-OSL-005").unwrap_or(set.len());
    set[..at].to_owned()
}
