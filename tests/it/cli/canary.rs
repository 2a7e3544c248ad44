//! A rollout as people meet it.

use crate::support::{Desk, contoso};

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
