//! What a commit declares counts, however it is spelt and wherever it lies.

use std::fmt::Write as _;

use apgit::door::ledger::{Ledger, Running};
use apgit::door::model::{Grant, GrantCounts};

use super::{Machine, Shared};

/// How a device may be written into a file.
pub(super) const SPELLINGS: [&str; 4] = [
    // The value on a line of its own.
    "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: lent}\nspec:\n  serialNumber:\n    \
     TEST-OSL-005\n  hardwareHashRef: {csv: ../hashes/oslo.csv}\n  groupTag: OSL-LOANER\n  deletionPolicy: Delete\n",
    // A `#` that begins no comment.
    "{apiVersion: apgit.dev/v1alpha1, kind: AutopilotDevice, metadata: {name: lent, annotations: {note: \"desk #7\"}}, \
     spec: {hardwareHashRef: {csv: ../hashes/oslo.csv}, groupTag: OSL-LOANER, \"serialNumber\": 'TEST-OSL-005', \
     deletionPolicy: Delete}}\n",
    // By a name of YAML's own.
    "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: lent, annotations: {serial: &serial \
     test-osl-005}}\nspec: {serialNumber: *serial, hardwareHashRef: {csv: ../hashes/oslo.csv}, groupTag: \
     OSL-LOANER, deletionPolicy: Delete}\n",
    // In a list.
    "apiVersion: v1\nkind: List\nitems:\n- apiVersion: apgit.dev/v1alpha1\n  kind: AutopilotDevice\n  metadata: {name: \
     lent}\n  spec:\n    groupTag: OSL-LOANER\n    deletionPolicy: Delete\n    serialNumber: \"TEST-OSL-005\"\n    \
     hardwareHashRef: {csv: ../hashes/oslo.csv}\n",
];

impl Machine {
    /// Puts the device of Oslo into a file of its own.
    pub(super) fn spells(&self, text: &str) {
        self.clone.write("lent/one.yaml", text);
        self.clone.git(&["add", "-A"]);
        self.clone.git(&["commit", "-q", "-m", "lent"]);
    }

    pub(super) fn commits(&self) {
        self.clone.git(&["add", "-A"]);
        self.clone.git(&["commit", "-q", "-m", "next"]);
    }
}

#[test]
fn in_every_spelling_a_device_is_declared_wherever_it_lies_and_goes_with_its_declaration() {
    for spelling in SPELLINGS {
        let shared = Shared::new();
        let machine = shared.machine("only");
        machine.removes_one();
        machine.spells(spelling);
        let apply = machine.run("apply . --auto-approve");
        assert!(apply.code == 0 && shared.served_count() == 9, "{spelling}\n{}{}", apply.out, apply.err);
        // Put aside under any name, it is declared still.
        for aside in ["lent/one.txt", "lent/one.yaml.off", ".lent/one", "lent/one.disabled"] {
            machine.clone.write(".lent/.keep", "");
            machine.clone.git(&["mv", "lent/one.yaml", aside]);
            machine.commits();
            let held = machine.run("apply . --auto-approve");
            assert!(held.out.contains("nothing is removed: 1"), "{aside}\n{spelling}\n{}{}", held.out, held.err);
            assert_eq!(shared.served_count(), 9, "{aside}\n{spelling}");
            machine.clone.git(&["mv", aside, "lent/one.yaml"]);
            machine.commits();
        }
        machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
        machine.commits();
        let apply = machine.run("apply . --auto-approve");
        assert!(apply.code == 0 && apply.out.contains("1 done"), "{spelling}\n{}{}", apply.out, apply.err);
        assert_eq!(shared.served_count(), 8, "{spelling}");
    }
}

#[test]
fn what_git_takes_for_no_text_declares_all_the_same() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.removes_one();
    machine.spells(SPELLINGS[0]);
    assert_eq!(machine.run("apply . --auto-approve").code, 0);
    machine.clone.write(".gitattributes", "*.yaml -diff -text\n*.bak binary\n");
    machine.clone.git(&["mv", "lent/one.yaml", "lent/one.bak"]);
    machine.commits();
    let held = machine.run("apply . --auto-approve");
    assert!(held.out.contains("`lent/one.bak` names a device"), "{}{}", held.out, held.err);
    // One that cannot be read to its end may declare it.
    machine.clone.git(&["mv", "lent/one.bak", "lent/one.yaml.bak"]);
    let text = SPELLINGS[0].replace("metadata: {name: lent}", "metadata: {name: \"lent}");
    machine.clone.write("lent/one.yaml.bak", text);
    machine.commits();
    let held = machine.run("apply . --auto-approve");
    assert!(held.out.contains("`lent/one.yaml.bak` names a device"), "{}{}", held.out, held.err);
    assert_eq!(shared.served_count(), 9);
    // A word about it is no declaration.
    machine.clone.git(&["rm", "-q", "lent/one.yaml.bak"]);
    machine.clone.write("README.md", "An AutopilotDevice: `serialNumber: TEST-OSL-005` was lent.\n");
    machine.commits();
    let apply = machine.run("apply . --auto-approve");
    assert!(apply.out.contains("1 done") && shared.served_count() == 8, "{}{}", apply.out, apply.err);
}

/// A text, and every character of it as so many bytes, the low one first.
fn wide(text: &str, bytes: usize) -> Vec<u8> {
    let mark = if bytes == 2 { vec![0xff, 0xfe] } else { vec![0xff, 0xfe, 0, 0] };
    let all = text.chars().flat_map(|c| u32::from(c).to_le_bytes().into_iter().take(bytes));
    mark.into_iter().chain(all).collect()
}

#[test]
fn a_manifest_that_was_put_aside_in_whatever_shape_holds_the_removal_of_its_device() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.removes_one();
    let text = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: lent}\nspec:\n  \
                serialNumber: \"TEST-OSL-005\"\n  hardwareHashRef: {csv: ../hashes/oslo.csv}\n  groupTag: \
                OSL-LOANER\n  deletionPolicy: Delete\n";
    machine.spells(text);
    assert_eq!(machine.run("apply . --auto-approve").code, 0);
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
    let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata:\n  one.yaml: |\n{indented}");
    for (aside, content) in [
        ("lent/one.txt", wide(text, 2)),
        ("lent/two.txt", wide(text, 4)),
        ("lent/raw.bak", wide(text, 4)[4..].to_vec()),
        ("lent/one.orig", format!("<<<<<<< HEAD\n{text}=======\n>>>>>>> other\n").into()),
        ("lent/one.conf", text.replace("spec:", "spec: }{\n\tx: [").into()),
        (".lent/one.yaml", text.replace("-005\"", "-005\\u200b\"").into()),
        ("lent/unseen.txt", text.replace("-005", "-\u{200b}005").into()),
        (".lent/two.yaml", text.replace("serialNumber", "SerialNumber").into()),
        ("devices/map.yaml", map.into()),
        ("lent/README.md", format!("# Lent\n\n```yaml\n{text}```\n").into()),
    ] {
        machine.clone.write(aside, content);
        machine.commits();
        let plan = machine.run("plan .");
        assert!(plan.out.contains(&format!("`{aside}` names a device")), "{aside}: {}{}", plan.out, plan.err);
        machine.clone.git(&["rm", "-q", aside]);
    }
    // What stays wherever devices were: captures, lists, accounts of what was done.
    machine.clone.write("intake/all.csv", "Device Serial Number,Hardware Hash\nTEST-OSL-005,QQ==\n");
    machine.clone.write("log/audit.jsonl", "{\"serialNumber\":\"TEST-OSL-005\",\"action\":\"deregister\"}\n");
    let comment: String = text.lines().map(|line| format!("# {line}\n")).collect();
    machine.clone.write("lent/was.yaml", comment);
    machine.clone.write("returned.txt", wide("TEST-OSL-005 came back with a broken lid\n", 2));
    machine.commits();
    let apply = machine.run("apply . --auto-approve");
    assert!(apply.out.contains("1 done") && shared.served_count() == 8, "{}{}", apply.out, apply.err);
}

#[test]
fn no_taste_in_colours_hides_where_a_device_went() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.removes_one();
    machine.spells(SPELLINGS[0]);
    assert_eq!(machine.run("apply . --auto-approve").code, 0);
    machine.clone.git(&["mv", "lent/one.yaml", "lent/one.conf"]);
    machine.commits();
    for (name, value) in [("color.grep", "always"), ("color.grep.filename", "red"), ("color.ui", "always")] {
        machine.clone.git(&["config", name, value]);
        let plan = machine.run("plan .");
        assert!(plan.out.contains("`lent/one.conf` names a device"), "{name}: {}{}", plan.out, plan.err);
    }
}

#[test]
fn a_device_that_moved_stays_however_many_are_declared_no_more() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.removes_one();
    machine.spells(SPELLINGS[0]);
    assert_eq!(machine.run("apply . --auto-approve").code, 0);
    // Hundreds whose names come first linger in the ledger.
    let export = machine.run("ledger export .").out;
    let line = export.lines().find(|line| line.contains("TEST-OSL-005")).expect("a line").trim_end_matches(',');
    let start = line.find("\"registrationId\":").expect("an id") + 18;
    let id = &line[start..start + 36];
    let mut lingering = String::new();
    for at in 0..300 {
        let other = line.replace("TEST-OSL-005", &format!("A-GONE-{at:03}"));
        let other = other.replace(id, &format!("{at:08x}-0000-4000-8000-000000000000"));
        writeln!(lingering, "{other},").unwrap();
    }
    machine.desk.state.write("many.json", export.replacen(line, &format!("{lingering}{line}"), 1));
    let import = machine.run(&format!("ledger import {} --path .", machine.desk.state.at("many.json").display()));
    assert!(import.code == 0 && import.out.contains("309 devices"), "{}{}", import.out, import.err);
    machine.clone.git(&["mv", "lent/one.yaml", "lent/one.disabled"]);
    machine.commits();
    let held = machine.run("apply . --auto-approve --approve-deletes 301");
    assert!(held.out.contains("`lent/one.disabled` names a device"), "{}{}", held.out, held.err);
    assert_eq!(shared.served_count(), 9);
}

#[test]
fn after_a_history_that_was_written_anew_devices_go_with_their_declarations_again() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    assert_eq!(machine.run("apply . --auto-approve").code, 0);
    machine.clone.git(&["commit", "-q", "--amend", "-m", "the same, under another name"]);
    let other = machine.run("apply . --auto-approve");
    assert!(other.code == 6 && other.err.contains("SourceOlder"), "{}{}", other.out, other.err);
    let head = machine.clone.git(&["rev-parse", "HEAD"]);
    let allowed = machine.run(&format!("apply . --auto-approve --allow-source {}", head.trim()));
    assert_eq!(allowed.code, 0, "{}{}", allowed.out, allowed.err);
    machine.removes_one();
    machine.commits();
    let apply = machine.run("apply . --auto-approve");
    assert!(apply.code == 0 && apply.out.contains("1 done"), "{}{}", apply.out, apply.err);
    assert_eq!(shared.served_count(), 8);
}

#[test]
fn an_approval_that_another_machine_made_use_of_is_used_though_its_run_broke_off() {
    let shared = Shared::new();
    let (first, second) = (shared.machine("first"), shared.machine("second"));
    assert_eq!(first.run("apply . --auto-approve").code, 0);
    let file = "devices/oslo/laptops.yaml";
    let text = std::fs::read_to_string(first.clone.path.join(file)).unwrap();
    first.clone.write(file, text.replace("groupTag: OSL-LOANER", "groupTag: OSL-LENT"));
    first.commits();
    let digest = first.run("plan . --json").json()["digest"]["sha256"].as_str().unwrap().to_owned();
    let head = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotPlanApproval\nmetadata: {name: spring}\n";
    let approval = format!("{head}spec:\n  digest: sha256:{digest}\n  expiresAt: \"2036-02-01T00:00:00Z\"\n");
    first.clone.write("approvals/spring.yaml", approval);
    first.commits();
    first.clone.git(&["push", "-q", "origin", "HEAD"]);
    second.clone.git(&["pull", "-q"]);
    // As a run leaves it that died where it was, a day ago.
    let mut ledger = Ledger::read(&first.run("ledger export .").out, true).expect("a ledger");
    let (name, expires_at) = ("spring".to_owned(), "2036-02-01T00:00:00Z".parse().unwrap());
    let grant = Grant { name, digest: digest.clone(), counts: GrantCounts::default(), expires_at };
    ledger.make_use(&grant, ledger.head.written_at);
    let plan = format!("plan-{}", &digest[..12]);
    let mut is_of = |machine: &str| {
        let since = ledger.head.written_at;
        ledger.head.running = Some(Running { plan: plan.clone(), machine: machine.to_owned(), since });
        second.desk.state.write("ledger.json", ledger.written());
    };
    is_of("another");
    let file = format!("--ledger {}", second.desk.state.at("ledger.json").display());
    shared.served.post("advance", &serde_json::json!({"by": "25h"}));
    let plan = second.run_with(&file, "plan .");
    assert!(plan.out.contains("`spring` was used"), "{}{}", plan.out, plan.err);
    let apply = second.run_with(&file, "apply .");
    assert!(apply.code == 64 && apply.err.contains("nobody to ask"), "{}{}", apply.out, apply.err);
    // The machine of that run goes on with it.
    is_of(second.desk.state.read("apgit/machine").trim());
    let plan = second.run_with(&file, "plan .");
    assert!(plan.out.contains("`spring` approves this plan"), "{}{}", plan.out, plan.err);
}
