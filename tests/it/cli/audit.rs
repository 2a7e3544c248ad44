//! The audit log: whole over many runs, broken where somebody touched it, and
//! healed where a run broke off.

use std::collections::HashMap;
use std::path::PathBuf;

use apgit::door::ledger::{Act, AuditLine, Phase, audit_schema};
use serde_json::Value;
use snapbox::{Assert, file};

use crate::support::{Desk, Folder, Ran, audited, contoso, git, ran, violations};

/// Somebody who applies a fleet of nine to the built-in tenant.
struct Scene {
    desk: Desk,
    folder: Folder,
}

const OSLO: &str = "devices/oslo/laptops.yaml";

impl Scene {
    fn new() -> Self {
        let folder = contoso();
        Self { desk: Desk::new(), folder }
    }

    /// Registered, changed, and one removed: three runs, and one that does nothing.
    fn with_a_past() -> Self {
        let scene = Self::new();
        scene.applies("--approver ines");
        scene.folder.edit(OSLO, "OSL-LOANER", "OSL-POOL");
        scene.applies("");
        let one = "    - serialNumber: TEST-OSL-005\n      groupTag: OSL-POOL      # takes the place of the default\n";
        scene.folder.edit(OSLO, one, "");
        scene.applies("");
        scene.applies("");
        scene
    }

    fn run(&self, words: &str) -> Ran {
        self.desk.run(words)
    }

    fn apply(&self, words: &str) -> Ran {
        self.run(&format!("apply {} --simulate --auto-approve {words}", self.folder.path().display()))
    }

    #[track_caller]
    fn applies(&self, words: &str) {
        let apply = self.apply(words);
        assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    }

    fn path(&self) -> PathBuf {
        let files = self.desk.state.files();
        files.into_iter().find(|path| path.ends_with("audit.jsonl")).expect("a log")
    }

    fn lines(&self) -> Vec<AuditLine> {
        audited(&self.path())
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).expect("a log")
    }

    /// Puts other lines in the place of those that are there: what is said then.
    fn verify_with(&self, text: &str) -> Ran {
        std::fs::write(self.path(), text).unwrap();
        self.run("audit verify")
    }
}

#[test]
fn the_chain_holds_over_several_runs_and_every_intent_has_its_outcome() {
    let scene = Scene::with_a_past();
    let verify = scene.run("audit verify");
    assert!(verify.code == 0 && verify.out.contains("each as it was written"), "{}{}", verify.out, verify.err);
    let lines = scene.lines();
    let mut open: HashMap<_, usize> = HashMap::new();
    for line in &lines {
        let deed = &line.deed;
        let key = (deed.action, deed.import_id, deed.registration_id.filter(|_| deed.action != Act::Register));
        match line.phase {
            Phase::Intent => *open.entry(key).or_default() += 1,
            Phase::Outcome => {
                open.remove(&key);
                assert!(deed.end.is_some(), "{line:?}");
            }
            Phase::Consent => assert!(line.plan_id.is_some(), "{line:?}"),
            Phase::Found | Phase::Healed => panic!("nobody else was there: {line:?}"),
        }
        assert!(line.digest.as_ref().is_some_and(|digest| digest.len() == 64), "{line:?}");
        let is_named = deed.serial_number.is_some() || matches!(deed.action, Act::Consent | Act::Sync);
        assert!(is_named, "{line:?}");
    }
    assert!(open.is_empty(), "{open:?}");
    let first = &lines[0].who.actor;
    assert_eq!((first.approver.as_deref(), first.approval.as_str()), (Some("ines"), "autoApprove"));
    assert!(first.client_id.is_some() && first.commit.is_none(), "{first:?}");
    assert_eq!(lines.last().unwrap().who.actor.approver, None);
    let writes = lines.iter().filter(|line| line.phase == Phase::Outcome && line.deed.action != Act::Adopt);
    let with_requests = writes.clone().filter(|line| !line.request_ids.is_empty()).count();
    assert!(with_requests >= 5, "requests are named: {with_requests} of {}", writes.count());
    let removal = lines.iter().find(|line| line.deed.action == Act::Deregister).expect("a removal");
    assert_eq!(removal.deed.before.values().next().map(|tag| tag.as_str()), Some("OSL-POOL"));
}

#[test]
fn the_published_schema_is_current_and_every_line_is_of_it() {
    let schema = audit_schema();
    let published = file!["../../../schema/audit.schema.json": Text].raw();
    Assert::new().action_env("SNAPSHOTS").eq(format!("{schema:#}\n"), published);
    let scene = Scene::with_a_past();
    for line in scene.text().lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(violations(&schema, &line), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn an_intent_without_an_outcome_is_named() {
    let scene = Scene::with_a_past();
    let text = scene.text();
    let removal = text.lines().position(|line| line.contains("\"intent\",\"action\":\"deregister\"")).unwrap();
    let broken_off: String = text.split_inclusive('\n').take(removal + 1).collect();
    let verify = scene.verify_with(&broken_off);
    assert!(verify.code == 0 && verify.out.contains("1 intent has no outcome yet"), "{}{}", verify.out, verify.err);
    assert!(verify.out.contains(&format!("line {}: ", removal + 1)) && verify.out.contains("TEST-OSL-005"));
    // The next run finds out what became of it.
    std::fs::write(scene.path(), &broken_off).unwrap();
    scene.applies("");
    assert_eq!(scene.run("audit verify").code, 0);
}

#[test]
fn what_is_no_log_is_read_to_no_end() {
    let desk = Desk::new();
    for (file, why) in [("/dev/zero", "it is no file"), ("src", "it is no file"), ("nosuch", "No such file")] {
        let verify = desk.run(&format!("audit verify {file}"));
        assert!(verify.code == 1 && verify.err.contains(why), "{file}: {}", verify.err);
    }
    let none = desk.run("audit show");
    assert!(none.code == 3 && none.err.contains("there is no audit log"), "{}", none.err);
    let other = desk.run("audit verify Cargo.toml");
    assert!(other.code == 6 && other.err.contains("line 1: it is not of `apgit.audit/v1`"), "{}", other.err);
}

#[test]
fn a_line_that_was_changed_is_found() {
    let scene = Scene::with_a_past();
    let text = scene.text();
    let count = text.lines().count();
    // The tag that was written, in the middle; and the last line, which only a
    // hash that was kept elsewhere guards.
    let changed = scene.verify_with(&text.replacen("OSL-POOL", "OSL-FOOL", 1));
    assert!(changed.code == 6 && changed.err.contains("is not as it was written"), "{}", changed.err);
    let show = scene.run("audit show");
    assert!(show.code == 6 && !show.out.contains("OSL-POOL"), "what comes behind is not believed: {}", show.out);
    scene.folder.write("untouched", "");
    let verify = scene.verify_with(&text);
    assert_eq!(verify.code, 0, "{}", verify.err);
    let head = verify.out.trim_end().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(scene.run(&format!("audit verify --head {head}")).code, 0);
    let shorter: String = text.split_inclusive('\n').take(count - 1).collect();
    assert_eq!(scene.verify_with(&shorter).code, 0, "its end can be cut off");
    let known = scene.run(&format!("audit verify --head {head}"));
    assert!(known.code == 6 && known.err.contains("lines at the end are missing"), "{}", known.err);
}

#[test]
fn a_line_that_is_missing_is_found_and_so_is_one_too_many() {
    let scene = Scene::with_a_past();
    let text = scene.text();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let without: String = lines.iter().enumerate().filter(|(at, _)| *at != 4).map(|(_, line)| *line).collect();
    let verify = scene.verify_with(&without);
    assert!(verify.code == 6 && verify.err.contains("line 5: it was written as line 6"), "{}", verify.err);
    let first: String = lines[1..].concat();
    assert!(scene.verify_with(&first).err.contains("line 1: it was written as line 2"));
    let twice: String = [&lines[..3], &lines[2..]].concat().concat();
    let verify = scene.verify_with(&twice);
    assert!(verify.code == 6 && verify.err.contains("line 4: it was written as line 3"), "{}", verify.err);
    let strange = scene.verify_with("{\"v\":\"apgit.audit/v2\"}\n");
    assert!(strange.code == 6 && strange.err.contains("line 1"), "{}", strange.err);
    // Nothing is sent that could not stand in a log that is believed.
    let apply = scene.apply("");
    assert!(apply.code == 1 && apply.err.contains("none of ours"), "{}{}", apply.out, apply.err);
}

#[test]
fn half_a_line_is_cut_off_by_the_next_run_which_says_so() {
    let scene = Scene::with_a_past();
    let text = scene.text();
    for half in [1, 40, 300] {
        let torn = &text[..text.len() - half];
        let verify = scene.verify_with(torn);
        assert!(verify.code == 0 && verify.err.contains("half a line"), "{}{}", verify.out, verify.err);
        scene.folder.edit(OSLO, "  defaults:\n", &format!("  defaults:\n    # {half}\n"));
        let tag = format!("OSL-{half}");
        let declared = scene.folder.read(OSLO);
        let from = declared.lines().find(|line| line.contains("groupTag:")).expect("a default").to_owned();
        scene.folder.write(OSLO, declared.replacen(&from, &format!("    groupTag: {tag}"), 1));
        let apply = scene.apply("--approve-updates 9");
        assert!(apply.code == 0 && apply.err.contains("ended in the middle of a line"), "{}{}", apply.out, apply.err);
        let lines = scene.lines();
        let healed = lines.iter().find(|line| line.phase == Phase::Healed).expect("it says so");
        assert!(healed.deed.detail.as_ref().unwrap().contains("bytes without an end"), "{healed:?}");
        assert_eq!(scene.run("audit verify").code, 0);
    }
}

#[test]
fn another_place_is_named_and_two_tenants_may_share_it() {
    let scene = Scene::new();
    let log = scene.folder.at("all.jsonl").display().to_string();
    scene.applies(&format!("--audit {log}"));
    assert!(scene.desk.state.files().iter().all(|path| !path.ends_with("audit.jsonl")));
    let lines = audited(&scene.folder.at("all.jsonl")).len();
    assert!(scene.run(&format!("audit verify {log}")).out.contains(&format!("{lines} lines")));
    let show = scene.run(&format!("audit show --audit {log} --serial test-bgo-001"));
    assert!(show.code == 0 && show.out.contains("BGO-INES") && !show.out.contains("TEST-OSL"), "{}", show.out);
    scene.folder.edit("tenant.yaml", "ownerId: corp-devices", "ownerId: newcomers");
    let files = scene.desk.state.files();
    let others = files.iter().find(|path| path.ends_with("owners/corp-devices/ledger.json")).expect("a ledger");
    std::fs::remove_file(others).expect("they are gone");
    scene.applies(&format!("--audit {log}"));
    assert_eq!(scene.run(&format!("audit verify {log}")).code, 0);
    let both = audited(&scene.folder.at("all.jsonl"));
    assert!(both.len() > lines && both.last().unwrap().who.owner_id == "newcomers");
    let adopted = both.iter().filter(|line| line.deed.action == Act::Adopt);
    assert_eq!(adopted.clone().filter(|line| line.phase == Phase::Intent).count(), 9);
    assert_eq!(adopted.filter(|line| line.deed.end.as_deref() == Some("done")).count(), 9);
    // What is no file is not written.
    let refused = scene.apply("--audit /dev/null");
    assert!(refused.code == 1 && refused.err.contains("it is no file"), "{}", refused.err);
    let nowhere = scene.apply("--audit no/such/folder.jsonl");
    assert!(nowhere.code == 1 && nowhere.err.contains("cannot open the audit log"), "{}", nowhere.err);
}

#[test]
fn what_is_done_by_name_is_in_it_too() {
    let scene = Scene::new();
    scene.applies("");
    let path = scene.folder.path().display().to_string();
    assert_eq!(scene.run(&format!("release TEST-OSL-002 --path {path} --simulate")).code, 0);
    assert_eq!(scene.run(&format!("ledger rebuild {path} --simulate")).code, 0);
    assert_eq!(scene.run(&format!("sync {path} --simulate --when-allowed")).code, 0);
    let by_name: Vec<String> = scene
        .lines()
        .iter()
        .filter(|line| line.who.actor.approval == "command")
        .map(|line| format!("{:?} {}", line.phase, line.deed.action.name()))
        .collect();
    let pairs = ["release", "ledgerRebuild", "sync"].map(|act| [format!("Intent {act}"), format!("Outcome {act}")]);
    assert_eq!(by_name, pairs.concat());
    assert!(scene.lines().iter().all(|line| line.who.actor.approval != "command" || line.plan_id.is_none()));
}

#[test]
fn the_commit_its_author_and_the_way_of_consent_are_named() {
    let scene = Scene::new();
    let folder = scene.folder.path();
    git(folder, &["init", "-q", "-b", "main"]);
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-q", "--author", "Anna Keller <anna.keller@contoso.com>", "-m", "the fleet"]);
    let commit = git(folder, &["rev-parse", "HEAD"]);
    let served = scene.desk.simulate("--speed instant");
    scene.folder.lead_to(&served.url);
    let run = |words: &str| {
        let mut command = scene.desk.command(&format!("{words} --allow-endpoint 127.0.0.1"));
        command.env("PATH", std::env::var_os("PATH").unwrap());
        ran(command.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET))
    };
    let path = folder.display();
    let plan = run(&format!("plan {path} --json")).json();
    let digest = plan["plan"]["digest"]["sha256"].as_str().or(plan["digest"]["sha256"].as_str());
    let digest = digest.expect("a digest").trim_start_matches("sha256:").to_owned();
    let apply = run(&format!("apply {path} --approve-digest {digest}"));
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    let lines = scene.lines();
    assert!(lines.iter().all(|line| line.digest.as_deref() == Some(&*digest)), "all of it is of one plan");
    let actor = &lines[0].who.actor;
    assert_eq!(actor.commit.as_deref(), Some(&*commit));
    assert_eq!(actor.author.as_deref(), Some("Anna Keller <anna.keller@contoso.com>"));
    assert_eq!(actor.committer.as_deref(), Some("Tester <tester@localhost>"));
    assert!(actor.dirty && actor.approval == "digest", "{actor:?}");
}

#[test]
fn the_history_of_a_device_tells_all_that_was_done_to_it() {
    let scene = Scene::with_a_past();
    let path = scene.folder.path().display().to_string();
    let history = scene.run(&format!("history test-osl-005 --path {path} --simulate"));
    for words in ["register", "\"OSL-LOANER\" → \"OSL-POOL\"", "deregister", "deregistered 2026-01-05", "by ines"] {
        assert!(history.out.contains(words), "{words}: {}{}", history.out, history.err);
    }
    assert!(!history.out.contains("TEST-OSL-004"), "{}", history.out);
    let json = scene.run(&format!("history TEST-OSL-001 --json --path {path} --simulate")).json();
    assert_eq!(json["kind"], "apgit.history");
    let of: &Value = &json["tenants"][0];
    assert_eq!(of["tracked"][0]["serialNumber"], "TEST-OSL-001");
    assert!(of["audit"].as_array().is_some_and(|lines| lines.len() >= 3), "{of}");
    let unknown = scene.run(&format!("history NOSUCH --path {path} --simulate"));
    assert!(unknown.code == 3 && unknown.err.contains("nothing is known of `NOSUCH`"), "{}", unknown.err);
}

/// The lines of a patch that go and come.
fn changed(patch: &str) -> Vec<&str> {
    let is_of_file = |line: &&str| line.starts_with("--- ") || line.starts_with("+++ ");
    patch.lines().filter(|line| line.starts_with(['-', '+']) && !is_of_file(line)).collect()
}

impl Scene {
    /// The plans that were consented to, oldest first.
    fn plans(&self) -> Vec<String> {
        let lines = self.lines().into_iter().filter(|line| line.deed.end.as_deref() == Some("approved"));
        lines.map(|line| line.plan_id.expect("a plan").to_string()).collect()
    }

    fn revert(&self, plan: &str) -> Ran {
        self.run(&format!("revert {plan} --path {}", self.folder.path().display()))
    }
}

#[test]
fn what_no_patch_can_undo_is_told_with_what_can_be_done() {
    let scene = Scene::with_a_past();
    let plans = scene.plans();
    let [registered, changed, removed] = &plans[..] else { panic!("{plans:?}") };
    let told = |plan: &str| {
        let revert = scene.revert(plan);
        assert_eq!((revert.code, revert.out.as_str()), (5, ""), "{}", revert.err);
        revert.err.replace("\n    ", " ")
    };
    let err = told(registered);
    assert!(
        err.contains("TEST-BGO-001: it was registered; take its entry out") && err.contains("not in it: 9"),
        "{err}"
    );
    let err = told(removed);
    assert!(err.contains("TEST-OSL-005: it was deregistered, which cannot be undone"), "{err}");
    assert!(err.contains("it is a new one (it had group tag \"OSL-POOL\")"), "{err}");
    // The device that this plan changed is gone since.
    let err = told(changed);
    assert!(err.contains("TEST-OSL-005: it is not declared here (it had group tag \"OSL-LOANER\")"), "{err}");
    let unknown = scene.revert("plan-000000000000");
    assert!(unknown.code == 3 && unknown.err.contains("no audit log knows"), "{}", unknown.err);
    scene.folder.write("broken.yaml", "kind: AutopilotDevice\n");
    let broken = scene.revert(changed);
    assert!(broken.code == 3 && broken.err.contains("has no `apiVersion`"), "{}", broken.err);
}

#[test]
fn what_undoes_a_plan_is_a_patch_that_brings_the_old_values_back() {
    let scene = Scene::new();
    scene.applies("");
    scene.folder.edit(OSLO, "groupTag: OSL-LOANER ", "groupTag: OSL-POOL ");
    scene.folder.edit(OSLO, "groupTag: OSL-STD", "groupTag: OSL-NEXT");
    let bergen = "devices/bergen/laptops.yaml";
    scene.folder.edit(bergen, "displayName: BGO-INES", "displayName: BGO-PAUL");
    scene.applies("--approve-updates 9");
    let plan = scene.plans().pop().unwrap();
    // Meanwhile one has another value, and one says nothing any more.
    let one = "    - serialNumber: TEST-OSL-001\n";
    scene.folder.edit(OSLO, one, &format!("{one}      groupTag: OSL-OWN\n"));
    scene.folder.edit(bergen, "  displayName: BGO-PAUL\n", "");
    let edited = scene.folder.read(OSLO);
    let revert = scene.revert(&plan);
    assert_eq!(revert.code, 5, "{}", revert.err);
    let expected = [
        "+      groupTag: OSL-STD",
        "+      groupTag: OSL-STD",
        "+      groupTag: OSL-STD",
        "-      groupTag: OSL-POOL      # takes the place of the default",
        "+      groupTag: OSL-LOANER      # takes the place of the default",
    ];
    assert_eq!(changed(&revert.out), expected);
    assert_eq!(scene.folder.read(OSLO), edited, "no file is changed");
    let err = revert.err.replace("\n    ", " ");
    for words in [
        "4 values of 4 devices, in 1 file",
        "not in it: 2\n",
        "TEST-OSL-001  group tag: declared is \"OSL-OWN\" by now, and the plan wrote \"OSL-NEXT\"",
        "TEST-BGO-001  name: it is declared no more; the plan wrote \"BGO-PAUL\" over \"BGO-INES\"",
    ] {
        assert!(err.contains(words), "{words}: {err}");
    }
    scene.folder.write("undo.patch", &revert.out);
    git(scene.folder.path(), &["apply", "undo.patch"]);
    scene.applies("--approve-updates 9");
    let path = scene.folder.path().display().to_string();
    let tags = ["TEST-OSL-002", "TEST-OSL-005"].map(|serial| {
        let status = scene.run(&format!("history {serial} --json --path {path} --simulate")).json();
        status["tenants"][0]["tracked"][0]["values"]["groupTag"].clone()
    });
    assert_eq!(tags, ["OSL-STD", "OSL-LOANER"]);
    // Undone once, there is nothing to undo.
    let again = scene.revert(&plan);
    assert!(again.out.is_empty() && again.err.contains("declared as before already: 4 values"), "{}", again.err);
}
