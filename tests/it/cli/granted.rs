//! An `AutopilotPlanApproval` among the manifests: it approves one plan, once,
//! until it expires, and its numbers count for that plan alone.

use std::process::Command;

use serde_json::Value;

use crate::support::{Desk, Folder, Ran, Simulate, contoso, ran, stopped_at};

const FILE: &str = "approvals/spring.yaml";

/// The example, with nobody to ask.
struct Team {
    desk: Desk,
    folder: Folder,
}

impl Team {
    fn new() -> Self {
        Self { desk: Desk::new(), folder: contoso() }
    }

    fn run(&self, words: &str) -> Ran {
        let (command, more) = words.split_once(' ').unwrap_or((words, ""));
        self.desk.run(&format!("{command} {} --simulate {more}", self.folder.path().display()))
    }

    fn plan(&self, more: &str) -> Value {
        self.run(&format!("plan --json {more}")).json()
    }

    fn digest(&self, more: &str) -> String {
        self.plan(more)["digest"]["sha256"].as_str().expect("a digest").to_owned()
    }

    fn approves(&self, digest: &str, more: &str) {
        let head = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotPlanApproval\nmetadata: {name: spring}\n";
        let digest = digest.trim_start_matches("sha256:");
        self.folder.write(FILE, format!("{head}spec:\n  digest: sha256:{digest}\n{more}"));
    }
}

const IN_TIME: &str = "  expiresAt: \"2026-02-01T00:00:00Z\"\n";

#[test]
fn an_approval_in_a_file_lets_its_plan_through_without_a_question_and_once() {
    let team = Team::new();
    let nobody = team.run("apply");
    assert!(nobody.code == 64 && nobody.err.contains("AutopilotPlanApproval"), "{}", nobody.err);
    let digest = team.digest("");
    team.approves(&digest, IN_TIME);
    assert_eq!(team.digest(""), digest, "an approval is no part of what it approves");
    let plan = team.run("plan");
    assert!(plan.out.contains("`spring` approves this plan, once, until 2026-02-01"), "{}", plan.out);
    let apply = team.run("apply");
    assert!(apply.code == 0 && apply.out.contains("9 done, 0 failed"), "{}{}", apply.out, apply.err);
    let again = team.run("apply");
    assert!(again.code == 0 && again.out.contains("No changes."), "{}{}", again.out, again.err);
    assert!(again.out.contains("`spring` was used"), "{}", again.out);
    let files = team.desk.state.files();
    let audit = files.iter().find(|path| path.ends_with("audit.jsonl")).expect("an audit log");
    let audit = std::fs::read_to_string(audit).unwrap();
    assert!(audit.contains("\"approval\":\"approvalFile\"") && audit.contains("\"approver\":\"spring\""), "{audit}");
}

#[test]
fn what_it_does_not_name_is_asked_for_as_ever() {
    let team = Team::new();
    let digest = team.digest("");
    for (digest, more, said) in [
        ("0".repeat(64), IN_TIME, "`spring` is for another plan (sha256:00000000)"),
        (digest.clone(), "  expiresAt: \"2026-01-05T00:00:00Z\"\n", "counts no more: it expired at 2026-01-05"),
    ] {
        team.approves(&digest, more);
        let apply = team.run("apply");
        assert!(apply.code == 64 && apply.err.contains("nobody to ask"), "{}{}", apply.out, apply.err);
        assert!(apply.out.contains(said), "{}", apply.out);
        assert_eq!(team.plan("")["summary"]["register"], 9, "nothing was written");
    }
    // A change after the yes.
    team.approves(&digest, IN_TIME);
    team.folder.edit("devices/oslo/kiosks.yaml", "KIOSK-LOBBY", "KIOSK-DESK");
    assert_eq!(team.run("apply").code, 64);
}

#[test]
fn its_numbers_count_for_its_plan_alone() {
    let team = Team::new();
    assert_eq!(team.run("apply --auto-approve").code, 0);
    // Two removals are one too many for nine devices.
    let file = "devices/oslo/laptops.yaml";
    let all = team.folder.read(file);
    let two = "    - serialNumber: TEST-OSL-005\n      groupTag: OSL-LOANER      # takes the place of the default\n";
    let cut = all.replace(two, "").replace("    - serialNumber: TEST-OSL-002\n", "");
    team.folder.write(file, &cut);
    let held = team.run("apply --auto-approve");
    assert!(held.out.contains("LimitExceeded"), "{}{}", held.out, held.err);
    let digest = team.digest("--approve-deletes 2");
    // Of another plan they are nothing.
    team.approves(&"0".repeat(64), &format!("{IN_TIME}  counts: {{deletes: 2}}\n"));
    let other = team.run("apply --auto-approve");
    assert!(other.out.contains("LimitExceeded"), "{}{}", other.out, other.err);
    team.approves(&digest, &format!("{IN_TIME}  counts: {{deletes: 1}}\n"));
    assert!(team.run("apply --auto-approve").out.contains("LimitExceeded"));
    team.approves(&digest, &format!("{IN_TIME}  counts: {{deletes: 2}}\n"));
    let apply = team.run("apply");
    assert!(apply.code == 0 && apply.out.contains("2 done, 0 failed"), "{}{}", apply.out, apply.err);
    // Used, and the same devices again: it takes a new consent.
    team.folder.write(file, &all);
    assert_eq!(team.run("apply --auto-approve").code, 0);
    team.folder.write(file, &cut);
    let again = team.run("apply");
    assert!(again.out.contains("`spring` was used") && again.code != 0, "{}{}", again.out, again.err);
}

#[test]
fn a_machine_that_has_never_seen_it_knows_from_the_ledger_that_it_was_used() {
    let team = Team::new();
    team.approves(&team.digest(""), IN_TIME);
    assert_eq!(team.run("apply").code, 0);
    let state = team.desk.state.files();
    let journal = state.iter().find(|path| path.ends_with("journal.jsonl")).expect("a journal");
    std::fs::remove_file(journal).unwrap();
    let plan = team.run("plan");
    assert!(plan.out.contains("`spring` was used"), "{}", plan.out);
}

/// A tenant that stays the same from one run to the next, whatever became of that.
struct Kept {
    desk: Desk,
    folder: Folder,
    served: Simulate,
}

impl Kept {
    fn new() -> Self {
        let (desk, folder) = (Desk::new(), contoso());
        let served = desk.simulate("--speed instant");
        folder.lead_to(&served.url);
        Self { desk, folder, served }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = self.desk.command(&format!("{words} --allow-endpoint 127.0.0.1"));
        command.current_dir(self.folder.path()).env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        command
    }

    fn run(&self, words: &str) -> Ran {
        ran(&mut self.command(words))
    }

    fn loosens(&self) -> Vec<String> {
        let plan = self.run("plan . --json").json();
        let all = plan["loosens"].as_array().into_iter().flatten();
        all.map(|of| of["path"].as_str().expect("a path").to_owned()).collect()
    }

    /// Takes a device away, and stops the run that removes it before it is gone.
    fn breaks_off(&self, more: &str, approval: impl FnOnce(&str) -> String) -> String {
        let file = "devices/oslo/laptops.yaml";
        self.folder.write(file, self.folder.read(file).replace("    - serialNumber: TEST-OSL-002\n", ""));
        let limits = format!("  limits: {{maxUpdates: 100{more}}}");
        self.folder.edit("tenant.yaml", "  limits: {maxUpdates: 100}", &limits);
        let digest = self.run("plan . --json").json()["digest"]["sha256"].as_str().unwrap().to_owned();
        let words = approval(&digest);
        let stopped = stopped_at(&mut self.command(&words), "waiting until");
        assert_eq!(stopped.code, 8, "{}{}", stopped.out, stopped.err);
        self.served.post("advance", &serde_json::json!({"by": "1h"}));
        words
    }
}

/// Nobody has looked at what is loosened after the yes.
#[test]
fn the_rest_of_an_approval_loosens_nothing_that_it_did_not_hold() {
    for by_file in [true, false] {
        let kept = Kept::new();
        let tenant = "  limits: {maxUpdates: 100}\n  rollout: {canary: 9, waitFor: Registered}\n  policy: Sync";
        kept.folder.edit("tenant.yaml", "  policy: Sync", tenant);
        assert_eq!(kept.run("apply . --auto-approve").code, 0);
        let words = kept.breaks_off("", |digest| {
            if by_file {
                let head = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotPlanApproval\nmetadata: {name: spring}\n";
                kept.folder.write(FILE, format!("{head}spec:\n  digest: {digest}\n{IN_TIME}"));
                "apply .".to_owned()
            } else {
                format!("apply . --approve-digest {digest}")
            }
        });
        kept.folder.edit("tenant.yaml", "{maxUpdates: 100}", "{maxUpdates: 500, maxDeletes: 99, maxDeletePercent: 1}");
        kept.folder.edit("tenant.yaml", "canary: 9", "canary: 100");
        let rest = kept.run(&words);
        assert_eq!(kept.served.get("registrations").as_array().unwrap().len(), 8, "{}{}", rest.out, rest.err);
        let all = ["limits.maxDeletes", "limits.maxUpdates", "rollout.canary"];
        assert_eq!(kept.loosens(), all, "{}{}", rest.out, rest.err);
        if by_file {
            // What is stricter holds at once.
            assert!(rest.out.contains("tenant sync started"), "{}{}", rest.out, rest.err);
            kept.folder.edit("tenant.yaml", "maxDeletePercent: 1", "maxDeletePercent: 5");
            assert!(kept.loosens().contains(&"limits.maxDeletePercent".to_owned()), "{:?}", kept.loosens());
        } else {
            assert!(rest.code == 6 && rest.err.contains("the plan is another one"), "{}{}", rest.out, rest.err);
        }
    }
}

#[test]
fn the_rest_of_an_approval_loosens_what_it_held() {
    let kept = Kept::new();
    kept.folder.edit("tenant.yaml", "  policy: Sync", "  limits: {maxUpdates: 100}\n  policy: Sync");
    assert_eq!(kept.run("apply . --auto-approve").code, 0);
    let words = kept.breaks_off(", maxDeletes: 50", |digest| format!("apply . --approve-digest {digest}"));
    assert_eq!(kept.loosens(), ["limits.maxDeletes"]);
    let rest = kept.run(&words);
    assert_eq!((rest.code, kept.loosens().len()), (0, 0), "{}{}", rest.out, rest.err);
}

#[test]
fn a_run_that_broke_off_is_taken_up_again_with_the_numbers_of_its_approval() {
    let (desk, folder) = (Desk::new(), contoso());
    let served = desk.simulate("--speed instant");
    folder.lead_to(&served.url);
    let command = |words: &str| {
        let mut command = desk.command(&format!("{words} --allow-endpoint 127.0.0.1"));
        command.current_dir(folder.path()).env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        command
    };
    let run = |words: &str| ran(&mut command(words));
    assert_eq!(run("apply . --auto-approve").code, 0);
    let file = "devices/oslo/laptops.yaml";
    let two = "    - serialNumber: TEST-OSL-005\n      groupTag: OSL-LOANER      # takes the place of the default\n";
    let cut = folder.read(file).replace(two, "").replace("    - serialNumber: TEST-OSL-002\n", "");
    folder.write(file, cut);
    let digest = run("plan . --json --approve-deletes 2").json()["digest"]["sha256"].as_str().unwrap().to_owned();
    let head = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotPlanApproval\nmetadata: {name: spring}\n";
    folder.write(FILE, format!("{head}spec:\n  digest: {digest}\n{IN_TIME}  counts: {{deletes: 2}}\n"));
    // The service takes the removals, and somebody stops the run before they are gone.
    let stopped = stopped_at(&mut command("apply ."), "waiting until");
    assert_eq!(stopped.code, 8, "{}{}", stopped.out, stopped.err);
    let plan = run("plan .");
    assert!(plan.out.contains("`spring` was begun") && !plan.out.contains("LimitExceeded"), "{}", plan.out);
    served.post("advance", &serde_json::json!({"by": "1h"}));
    let again = run("apply .");
    assert!(again.code == 0 && again.out.contains("tenant sync started"), "{}{}", again.out, again.err);
    assert_eq!(served.get("registrations").as_array().unwrap().len(), 7);
}
