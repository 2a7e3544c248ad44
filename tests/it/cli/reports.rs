//! Reports of the real binary: every command's, in files and on stdout.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{CONTOSO, Desk, Folder, contoso_and, root, violations};

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

fn keeps_the_published_schema(document: &Value) {
    let published = std::fs::read_to_string(root().join("schema/report.schema.json")).expect("the published schema");
    assert_eq!(violations(&parsed(&published), document), Vec::<String>::new(), "{document:#}");
}

#[test]
fn the_reports_of_every_command_keep_the_published_schema() {
    let desk = Desk::new();
    for words in [
        &format!("plan {CONTOSO} --simulate"),
        &format!("apply {CONTOSO} --simulate --auto-approve"),
        &format!("status {CONTOSO} --simulate"),
        "validate examples/pathological",
        &format!("hash {HASH} --compare {HASH}"),
        "plan examples/pathological",
    ] {
        keeps_the_published_schema(&parsed(&desk.run(&format!("{words} --json")).out));
    }
}

/// What a run over several tenants says, shortened: `plan contoso, plan fabrikam: 0`.
fn shortened(document: &Value) -> String {
    keeps_the_published_schema(document);
    assert_eq!((&document["kind"], &document["formatVersion"]), (&"apgit.fleet".into(), &"1.0".into()));
    let tenant = |of: &Value| {
        let name = of["tenant"].as_str().or(of["tenant"]["name"].as_str()).expect("a tenant's name");
        format!("{} {name}", of["kind"].as_str().expect("a kind").trim_start_matches("apgit."))
    };
    let tenants: Vec<String> = document["tenants"].as_array().expect("tenants").iter().map(tenant).collect();
    format!("{}: {}", tenants.join(", "), document["exitCode"])
}

#[test]
fn two_tenants_are_one_document() {
    let (desk, fleet, folder) = (Desk::new(), contoso_and("fabrikam"), Folder::new());
    let path = fleet.path().display();
    let file = folder.at("report.json");
    for (words, expected) in [
        (format!("plan {path} --simulate"), "plan fabrikam, plan contoso: 0"),
        (format!("plan {path} --simulate --detailed-exitcode"), "plan fabrikam, plan contoso: 2"),
        (format!("apply {path} --simulate --fail-on changes --auto-approve"), "plan fabrikam, plan contoso: 5"),
        (format!("apply {path} --simulate --auto-approve"), "apply fabrikam, apply contoso: 0"),
        (format!("status {path} --simulate"), "status fabrikam, status contoso: 0"),
        (format!("status --path {path} --simulate TEST-OSL-001"), "status contoso: 0"),
    ] {
        assert_eq!(shortened(&parsed(&desk.run(&format!("{words} --json")).out)), expected, "{words}");
        desk.run(&format!("{words} --report json={}", file.display()));
        assert_eq!(shortened(&parsed(&folder.read("report.json"))), expected, "{words}");
    }
    let one = desk.run(&format!("status {path} --simulate --tenant contoso --json"));
    assert_eq!(parsed(&one.out)["kind"], "apgit.status", "one tenant's document stands alone");
}

#[test]
fn a_tenant_that_fails_stands_among_the_others() {
    let (desk, fleet) = (Desk::new(), contoso_and("fabrikam"));
    let path = fleet.path().display();
    // Nobody is there to ask for the second, so nothing is done for the first.
    let apply = desk.run(&format!("apply {path} --simulate --json"));
    assert_eq!(shortened(&parsed(&apply.out)), "plan fabrikam, error contoso: 64");
    assert_eq!(apply.code, 64);
    // One that cannot be read hides no other.
    let id = "11111111-2222-3333-4444-555555555555";
    let tenant = desk.simulate(&format!("--speed instant --domain contoso.com={id} --domain tailspin.com"));
    let endpoints = format!("spec:\n  endpoints: {{login: \"{0}\", graph: \"{0}\"}}\n", tenant.url);
    for file in ["fabrikam/tenant.yaml", "tenant.yaml"] {
        fleet.edit(file, "spec:\n", &endpoints);
    }
    for command in ["plan", "status"] {
        let run = desk.run(&format!("{command} {path} --json"));
        assert_eq!(shortened(&parsed(&run.out)), format!("error fabrikam, {command} contoso: 4"), "{}", run.err);
        assert!(run.code == 4 && run.err.contains("error: fabrikam: "), "{}", run.err);
    }
    let sync = desk.run(&format!("sync {path}"));
    assert!(sync.code == 4 && sync.out.starts_with("contoso: sync started"), "{} {}", sync.out, sync.err);
    // No tenant was reached.
    let elsewhere = desk.run(&format!("status --path {path} --simulate --json NOSUCH"));
    assert_eq!(parsed(&elsewhere.out)["kind"], "apgit.error");
    // Nor does one whose journal cannot be read.
    let applied = desk.run(&format!("apply {path} --tenant contoso --auto-approve"));
    assert_eq!(applied.code, 0, "{}", applied.err);
    let is_contosos = |path: &PathBuf| path.ends_with("journal.jsonl") && path.display().to_string().contains(id);
    for journal in desk.state.files().into_iter().filter(is_contosos) {
        std::fs::write(&journal, "no journal\n").expect("it is ours");
    }
    let plan = desk.run(&format!("plan {path}"));
    assert!(plan.code == 1 && plan.err.contains("journal.jsonl`: line 1 of the journal"), "{}", plan.err);
    assert!(plan.err.contains("error: fabrikam: ") && plan.err.contains("error: contoso: "), "{}", plan.err);
}

#[test]
fn a_report_in_a_file_is_old_or_new() {
    let (desk, folder) = (Desk::new(), Folder::new());
    let run = |file: &str| {
        let file = folder.at(file);
        desk.run(&format!("validate {CONTOSO} --report json={}", file.display()))
    };
    folder.write("report.json", "x".repeat(100_000));
    assert_eq!(run("report.json").code, 0);
    assert_eq!(parsed(&folder.read("report.json"))["kind"], "apgit.problems");
    assert_eq!(folder.files(), [folder.at("report.json")], "nothing is left beside it");
    let nowhere = run("no/such/folder/report.json");
    assert!(
        nowhere.code == 64 && nowhere.err.contains("there is no folder"),
        "said before anything is done: {}",
        nowhere.err
    );
}

#[cfg(unix)]
#[test]
fn a_report_keeps_who_may_read_it_and_is_written_through_no_link() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let (desk, folder) = (Desk::new(), Folder::new());
    folder.write("kept.json", "");
    std::fs::set_permissions(folder.at("kept.json"), std::fs::Permissions::from_mode(0o640)).expect("a file of ours");
    folder.write("target.json", "");
    symlink("target.json", folder.at("link.json")).expect("a link of ours");
    for file in ["kept.json", "new.json"] {
        desk.run(&format!("validate {CONTOSO} --report json={}", folder.at(file).display()));
        assert_eq!(parsed(&folder.read(file))["kind"], "apgit.problems", "{file}");
    }
    let mode = |file: &str| std::fs::metadata(folder.at(file)).expect("a file").permissions().mode() & 0o777;
    folder.write("plain.json", "");
    assert_eq!((mode("kept.json"), mode("new.json")), (0o640, mode("plain.json")));
    let link = desk.run(&format!("validate {CONTOSO} --report json={}", folder.at("link.json").display()));
    assert!(link.code == 64 && link.err.contains("is a symbolic link\nhint: name the file itself"), "{}", link.err);
    assert!(folder.at("link.json").is_symlink() && folder.read("target.json").is_empty());
    let device = desk.run(&format!("validate {CONTOSO} --report json=/dev/null"));
    assert!(device.code == 0 && !std::path::Path::new("/dev/null").is_file(), "{}", device.err);
}
