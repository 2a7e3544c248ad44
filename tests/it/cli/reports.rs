//! Reports of the real binary: every command's, in files and on stdout.

use serde_json::Value;

use crate::support::{Desk, Folder};

const CONTOSO: &str = "examples/contoso";
const HASH: &str = "examples/contoso/hashes/TEST-BGO-001.txt";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_command_reports_to_files_beside_its_text() {
    let (desk, folder) = (Desk::new(), Folder::new());
    let commands = [
        ("apgit.plan", format!("plan {CONTOSO} --simulate")),
        ("apgit.status", format!("status {CONTOSO} --simulate")),
        ("apgit.problems", "validate examples/pathological".to_owned()),
        ("apgit.hash", format!("hash {HASH}")),
    ];
    for (kind, words) in commands {
        let alone = desk.run(&words);
        let (json, text) = (folder.at("report.json"), folder.at("report.txt"));
        let more = format!("--report json={} --report text={}", json.display(), text.display());
        let both = desk.run(&format!("{words} {more}"));
        assert_eq!((both.code, &both.out, &both.err), (alone.code, &alone.out, &alone.err), "{words}");
        let written = parsed(&folder.read("report.json"));
        assert_eq!((&written["kind"], &written["formatVersion"]), (&kind.into(), &"1.0".into()));
        assert_eq!(parsed(&desk.run(&format!("{words} --report json")).out)["kind"], kind);
        assert!(folder.read("report.txt").ends_with(&both.out), "{words}: {}", folder.read("report.txt"));
    }
    let json = folder.at("apply.json");
    let apply = desk.run(&format!("apply {CONTOSO} --simulate --auto-approve --report json={}", json.display()));
    assert!(apply.code == 0 && apply.out.contains("\nApply plan-"), "{}", apply.out);
    assert_eq!(parsed(&folder.read("apply.json"))["kind"], "apgit.apply");
}

#[test]
fn the_problems_of_a_report_in_a_file_are_drawn_with_their_lines() {
    let (desk, folder) = (Desk::new(), Folder::new());
    let validate =
        desk.run(&format!("validate examples/pathological --report text={}", folder.at("report.txt").display()));
    assert_eq!(folder.read("report.txt"), validate.err + &validate.out);
}

#[test]
fn a_diff_is_a_report_of_plans_only() {
    let (desk, folder) = (Desk::new(), Folder::new());
    let file = folder.at("plan.diff");
    let plan = desk.run(&format!("plan {CONTOSO} --simulate --report diff={}", file.display()));
    assert!(plan.code == 0 && plan.out.starts_with("apgit plan "), "{}", plan.out);
    let diff = desk.run(&format!("plan {CONTOSO} --simulate --diff"));
    assert_eq!(folder.read("plan.diff"), diff.out);
    assert_eq!(desk.run(&format!("plan {CONTOSO} --simulate --report diff")).out, diff.out);
    for words in [
        format!("apply {CONTOSO} --simulate --report diff={}", file.display()),
        format!("status {CONTOSO} --simulate --report diff"),
        format!("validate {CONTOSO} --report diff"),
        format!("hash {HASH} --report diff"),
    ] {
        let refused = desk.run(&words);
        let (hint, out) = ("hint: its formats: text, json", refused.out.as_str());
        assert!(refused.code == 64 && refused.err.contains(hint) && out.is_empty(), "{words}: {}", refused.err);
    }
}

#[test]
fn a_run_without_a_report_is_reported_as_an_error() {
    let (desk, folder) = (Desk::new(), Folder::new());
    for words in ["hash nowhere.txt", "status examples/contoso --simulate NOSUCH", "plan examples/pathological"] {
        let file = folder.at("report.json");
        let failed = desk.run(&format!("{words} --report json={}", file.display()));
        let written = parsed(&folder.read("report.json"));
        assert_eq!((&written["kind"], &written["exitCode"]), (&"apgit.error".into(), &failed.code.into()), "{words}");
        assert_eq!(parsed(&desk.run(&format!("{words} --json")).out), written);
    }
}
