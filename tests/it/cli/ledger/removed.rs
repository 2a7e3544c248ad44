//! A device goes only where a commit has really removed its declaration: what is
//! read is what the commit holds, all that it holds is looked through, and what is
//! done was once committed.

use super::committed::SPELLINGS;
use super::{Machine, Shared};
#[cfg(unix)]
use crate::support::ran;
use crate::support::{Ran, Remote};

/// A device of Oslo in a file of its own.
fn lent(policy: &str) -> String {
    SPELLINGS[0].replace("deletionPolicy: Delete", &format!("deletionPolicy: {policy}"))
}

impl Machine {
    fn applies(&self) -> Ran {
        self.run("apply . --auto-approve")
    }

    #[track_caller]
    fn applies_well(&self) {
        let apply = self.applies();
        assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    }

    /// The same while somebody else does something in the work tree, right after Git
    /// was asked for this.
    #[cfg(unix)]
    fn applies_while(&self, asked: &str, does: &str) -> Ran {
        let path = std::env::var_os("PATH").unwrap();
        let real = std::env::split_paths(&path).map(|folder| folder.join("git")).find(|git| git.is_file()).unwrap();
        let (git, tree) = (real.display(), self.clone.path.display());
        let does = format!("'{git}' -c user.name=Tester -c user.email=t@localhost -C '{tree}' {does} >&2");
        let script =
            format!("#!/bin/sh\n'{git}' \"$@\"\ncode=$?\ncase \"$*\" in *{asked}*) {does};; esac\nexit $code\n");
        self.desk.state.write("bin/git", script);
        let git = self.desk.state.at("bin/git");
        std::fs::set_permissions(&git, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let paths = std::iter::once(self.desk.state.at("bin")).chain(std::env::split_paths(&path));
        let words = "apply . --auto-approve --ledger branch --allow-endpoint 127.0.0.1";
        let mut command = self.desk.command(words);
        command.current_dir(&self.clone.path).env("PATH", std::env::join_paths(paths).unwrap());
        command.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        ran(&mut command)
    }

    /// The device of Oslo in a file of its own, with this policy, committed and
    /// applied.
    #[track_caller]
    fn lends(&self, policy: &str) {
        self.removes_one();
        self.spells(&lent(policy));
        self.applies_well();
    }

    /// The same in a submodule.
    #[track_caller]
    fn lends_by_submodule(&self, remote: &Remote) {
        self.removes_one();
        let author = remote.clone("author");
        author.commit("one.yaml", &lent("Delete"));
        author.git(&["push", "-q", "origin", "HEAD"]);
        self.clone.git(&["submodule", "--quiet", "add", &remote.url(), "lent"]);
        self.commits();
        self.applies_well();
    }

    /// Git in the submodule.
    #[track_caller]
    fn in_submodule(&self, words: &[&str]) -> String {
        crate::support::git(&self.clone.path.join("lent"), words)
    }

    /// What is changed in the submodule, and that it is.
    fn commits_submodule(&self) {
        self.in_submodule(&["add", "-A"]);
        self.in_submodule(&["commit", "-q", "-m", "next"]);
        self.commits();
    }
}

impl Shared {
    /// Nothing goes, and the plan says why.
    #[track_caller]
    fn keeps(&self, machine: &Machine, why: &str) {
        let held = machine.applies();
        assert!(held.out.contains(why), "{why}\n{}{}", held.out, held.err);
        assert_eq!(self.served_count(), 9, "{why}\n{}{}", held.out, held.err);
    }

    #[track_caller]
    fn lets_go(&self, machine: &Machine) {
        let apply = machine.applies();
        assert!(apply.code == 0 && apply.out.contains("1 done"), "{}{}", apply.out, apply.err);
        assert_eq!(self.served_count(), 8);
    }
}

#[test]
fn a_device_of_a_submodule_goes_with_its_declaration_there() {
    let (shared, remote) = (Shared::new(), Remote::empty("lent"));
    let machine = shared.machine("only");
    machine.lends_by_submodule(&remote);
    machine.in_submodule(&["mv", "one.yaml", "one.disabled"]);
    machine.commits_submodule();
    shared.keeps(&machine, "`lent/one.disabled` names a device");
    machine.in_submodule(&["rm", "-q", "one.disabled"]);
    machine.commits_submodule();
    shared.lets_go(&machine);
}

#[test]
fn what_a_submodule_has_not_checked_out_is_not_gone() {
    let (shared, remote) = (Shared::new(), Remote::empty("lent"));
    let machine = shared.machine("only");
    machine.lends_by_submodule(&remote);
    let file = machine.clone.path.join("lent/one.yaml");
    for flag in ["assume-unchanged", "skip-worktree"] {
        machine.in_submodule(&["update-index", &format!("--{flag}"), "one.yaml"]);
        std::fs::write(&file, "kind: Other\n").unwrap();
        shared.keeps(&machine, "nothing is removed: 1");
        std::fs::remove_file(&file).unwrap();
        shared.keeps(&machine, "nothing is removed: 1");
        machine.in_submodule(&["update-index", &format!("--no-{flag}"), "one.yaml"]);
        machine.in_submodule(&["checkout", "--", "one.yaml"]);
    }
    machine.in_submodule(&["sparse-checkout", "set", "--no-cone", "/nothing"]);
    assert!(!file.exists());
    shared.keeps(&machine, "nothing is removed: 1");
    machine.in_submodule(&["sparse-checkout", "disable"]);
    // A submodule of a submodule.
    let deep = Remote::empty("deep");
    let author = deep.clone("author");
    author.commit("one.yaml", &lent("Delete").replace("../hashes", "../../hashes"));
    author.git(&["push", "-q", "origin", "HEAD"]);
    machine.in_submodule(&["rm", "-q", "one.yaml"]);
    machine.in_submodule(&["submodule", "--quiet", "add", &deep.url(), "deep"]);
    machine.commits_submodule();
    machine.applies_well();
    machine.in_submodule(&["submodule", "--quiet", "deinit", "-f", "deep"]);
    shared.keeps(&machine, "the submodule `lent/deep` is not checked out");
    machine.in_submodule(&["submodule", "--quiet", "update", "--init"]);
    machine.in_submodule(&["rm", "-q", "-f", "deep"]);
    machine.commits_submodule();
    // Where it was before declares it, and that is here.
    shared.lets_go(&machine);
}

#[test]
fn a_submodule_that_is_not_checked_out_takes_no_device_away() {
    let (shared, remote) = (Shared::new(), Remote::empty("lent"));
    let machine = shared.machine("only");
    machine.lends_by_submodule(&remote);
    machine.clone.git(&["submodule", "--quiet", "deinit", "-f", "lent"]);
    shared.keeps(&machine, "the submodule `lent` is not checked out");
    machine.clone.git(&["submodule", "--quiet", "update", "--init"]);
    // Taken out as a whole, nothing here knows any more what it declared.
    machine.clone.git(&["rm", "-q", "lent"]);
    machine.commits();
    shared.keeps(&machine, "NotDeclaredBefore");
}

#[test]
fn a_policy_that_was_never_committed_removes_nothing() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Orphan");
    // In a work tree that nobody has committed.
    machine.clone.write("lent/one.yaml", lent("Delete"));
    machine.applies_well();
    machine.clone.git(&["checkout", "-q", "--", "lent/one.yaml"]);
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    machine.commits();
    shared.keeps(&machine, "NotDeclaredBefore");
}

#[test]
fn a_policy_of_a_branch_that_was_never_merged_removes_nothing() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Orphan");
    machine.clone.git(&["checkout", "-q", "-b", "feature"]);
    machine.clone.write("lent/one.yaml", lent("Delete"));
    machine.commits();
    let part = machine.run("apply . --auto-approve --target TEST-OSL-005");
    assert_eq!(part.code, 0, "{}{}", part.out, part.err);
    let feature = machine.clone.git(&["rev-parse", "HEAD"]);
    machine.clone.git(&["checkout", "-q", "main"]);
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    machine.commits();
    shared.keeps(&machine, "NotDeclaredBefore");
    // Nor does it where somebody tells Git that it was.
    machine.clone.commit("README.md", "Something else.\n");
    let parents = machine.clone.git(&["rev-parse", "HEAD", "HEAD~1"]).replace('\n', " ");
    std::fs::write(machine.clone.path.join(".git/info/grafts"), format!("{parents} {feature}\n")).unwrap();
    shared.keeps(&machine, "NotDeclaredBefore");
}

#[test]
fn a_policy_of_a_file_that_git_does_not_see_removes_nothing() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Orphan");
    std::fs::write(machine.clone.path.join(".git/info/exclude"), "hidden.yaml\n").unwrap();
    machine.clone.write("lent/hidden.yaml", lent("Delete"));
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    machine.commits();
    machine.applies_well();
    std::fs::remove_file(machine.clone.path.join("lent/hidden.yaml")).unwrap();
    shared.keeps(&machine, "NotDeclaredBefore");
}

#[test]
fn a_policy_that_was_committed_later_removes_though_its_removal_was_held_first() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Orphan");
    machine.clone.write("lent/one.yaml", lent("Delete"));
    machine.commits();
    machine.applies_well();
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    let file = machine.clone.path.join("devices/oslo/laptops.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("    - serialNumber: TEST-OSL-002\n", "")).unwrap();
    machine.commits();
    for _ in 0..2 {
        let held = machine.applies();
        assert!(held.code == 5 && held.out.contains("LimitExceeded"), "{}{}", held.out, held.err);
    }
    let apply = machine.run("apply . --auto-approve --approve-deletes 2");
    assert!(apply.code == 0 && apply.out.contains("2 done"), "{}{}", apply.out, apply.err);
}

#[cfg(unix)]
#[test]
fn what_is_read_is_what_the_commit_holds() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Delete");
    // By a link, and under a name that no manifest has.
    machine.clone.write(".lent/.keep", "");
    machine.clone.git(&["mv", "lent/one.yaml", ".lent/one"]);
    std::fs::create_dir_all(machine.clone.path.join("lent")).unwrap();
    std::os::unix::fs::symlink("../.lent/one", machine.clone.path.join("lent/one.yaml")).unwrap();
    machine.commits();
    machine.applies_well();
    machine.clone.git(&["update-index", "--assume-unchanged", ".lent/one"]);
    machine.clone.write(".lent/one", lent("Delete").replace("TEST-OSL-005", "TEST-OSL-006").replace("lent}", "l6}"));
    let held = machine.run("plan .");
    assert!(held.out.contains("nothing is removed: 1"), "{}{}", held.out, held.err);
    machine.clone.write(".lent/one", "kind: Other\n");
    shared.keeps(&machine, "nothing is removed: 1");
}

/// A text whose lines were broken somewhere.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn of_a_submodule_that_moved_or_was_cut_off_it_is_said_that_nobody_can_look_it_up() {
    let (shared, remote) = (Shared::new(), Remote::empty("lent"));
    let machine = shared.machine("only");
    machine.lends_by_submodule(&remote);
    let base = machine.clone.git(&["rev-parse", "HEAD"]);
    let words = "has the submodule `lent`, whose files as they were then are not in this clone";
    machine.clone.git(&["mv", "lent", "sites"]);
    machine.commits();
    let folder = machine.clone.path.join("sites");
    crate::support::git(&folder, &["rm", "-q", "one.yaml"]);
    crate::support::git(&folder, &["commit", "-q", "-m", "none"]);
    crate::support::git(&folder, &["push", "-q", "origin", "HEAD"]);
    machine.commits();
    let held = machine.run("plan .");
    let said = unwrapped(&held.out);
    assert!(said.contains(words) && !said.contains("does not declare it"), "{}{}", held.out, held.err);
    // The same where its history is cut off.
    machine.clone.git(&["reset", "-q", "--hard", base.trim()]);
    machine.clone.git(&["submodule", "--quiet", "deinit", "-f", "--all"]);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::remove_dir_all(machine.clone.path.join(".git/modules")).unwrap();
    machine.clone.git(&["submodule", "--quiet", "update", "--init", "--remote", "--depth", "1"]);
    machine.commits();
    let held = machine.run("plan .");
    let said = unwrapped(&held.out);
    assert!(said.contains(words) && !said.contains("does not declare it"), "{}{}", held.out, held.err);
}

#[test]
fn what_was_committed_last_is_meant_though_it_was_never_applied() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Delete");
    let base = machine.clone.git(&["rev-parse", "HEAD"]);
    let protected = lent("Delete").replace("OSL-LOANER", "OSL-LOANER\n  protect: true");
    let set = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {name: lent}\nspec:\n  defaults: \
               {protect: true, deletionPolicy: Delete, groupTag: OSL-LOANER}\n  devices:\n  - serialNumber: TEST-OSL-005\n";
    for (text, later) in [(lent("Orphan"), 0), (protected.clone(), 3), (set.to_owned(), 1), (protected, 60)] {
        machine.clone.write("lent/one.yaml", text);
        machine.commits();
        machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
        machine.commits();
        for _ in 0..later {
            machine.clone.git(&["commit", "-q", "--allow-empty", "-m", "something else"]);
        }
        let held = machine.run("plan .");
        assert!(
            held.out.contains("x TEST-OSL-005  deregister") && !held.out.contains("to deregister"),
            "{}{}",
            held.out,
            held.err
        );
        let words = "the last that declares it, does not say `deletionPolicy: Delete`, or protects it";
        assert!(unwrapped(&held.out).contains(words), "{}{}", held.out, held.err);
        machine.clone.git(&["reset", "-q", "--hard", base.trim()]);
    }
    // Held once, it stays held whatever is applied meanwhile, until it is declared otherwise.
    machine.clone.write("lent/one.yaml", lent("Orphan"));
    machine.commits();
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    machine.commits();
    for _ in 0..2 {
        let held = machine.applies();
        assert!(held.out.contains("NotDeclaredBefore"), "{}{}", held.out, held.err);
        machine.clone.git(&["commit", "-q", "--allow-empty", "-m", "something else"]);
    }
    machine.clone.write("lent/one.yaml", lent("Delete"));
    machine.commits();
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    machine.commits();
    shared.lets_go(&machine);
}

#[test]
fn a_file_that_the_commit_does_not_hold_keeps_all_others_from_removing() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Delete");
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    machine.commits();
    std::fs::write(machine.clone.path.join(".git/info/exclude"), "hidden.yaml\n").unwrap();
    let other = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: other}\n\
                 spec: {serialNumber: TEST-OTHER-1}\n";
    machine.clone.write("hidden.yaml", other);
    shared.keeps(&machine, "`hidden.yaml` is not in the commit");
    // Another repository that lies in it, and that it does not know as its own.
    std::fs::remove_file(machine.clone.path.join("hidden.yaml")).unwrap();
    machine.clone.git(&["init", "-q", "inner"]);
    machine.clone.write("inner/one.yaml", other);
    shared.keeps(&machine, "`inner/one.yaml` is not in the commit");
    std::fs::remove_dir_all(machine.clone.path.join("inner")).unwrap();
    shared.lets_go(&machine);
}

#[cfg(unix)]
#[test]
fn a_commit_that_comes_after_the_plan_stops_what_it_removes() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Delete");
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    machine.commits();
    let stopped = machine.applies_while("merge-base", "commit -q --allow-empty -m meanwhile");
    assert!(
        stopped.code == 6 && stopped.err.contains("another commit is checked out"),
        "{}{}",
        stopped.out,
        stopped.err
    );
    assert_eq!(shared.served_count(), 9);
    shared.lets_go(&machine);
}

#[cfg(unix)]
#[test]
fn what_was_read_before_it_was_checked_out_is_not_what_the_commit_holds() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Delete");
    machine.clone.write("lent/one.yaml", lent("Delete").replace("TEST-OSL-005", "TEST-OTHER-1"));
    let held = machine.applies_while("--show-toplevel", "checkout -q -- lent/one.yaml");
    assert!(held.out.contains("`lent/one.yaml` has changed since it was read"), "{}{}", held.out, held.err);
    assert_eq!(shared.served_count(), 9);
}

#[test]
fn what_lies_there_with_other_ends_of_lines_is_what_was_committed() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.clone.write(".gitattributes", "*.yaml text eol=crlf\n");
    machine.lends("Delete");
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    machine.commits();
    let files = ["tenant.yaml", "devices/oslo/laptops.yaml"];
    for file in files {
        std::fs::remove_file(machine.clone.path.join(file)).unwrap();
        machine.clone.git(&["checkout", "-q", "--", file]);
        assert!(std::fs::read_to_string(machine.clone.path.join(file)).unwrap().contains("\r\n"));
    }
    shared.lets_go(&machine);
}

#[test]
fn a_work_tree_elsewhere_is_not_the_one_that_is_read() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Delete");
    let elsewhere = shared.machine("elsewhere");
    std::fs::remove_file(machine.clone.path.join("lent/one.yaml")).unwrap();
    machine.clone.git(&["config", "core.worktree", &elsewhere.clone.path.display().to_string()]);
    let held = machine.applies();
    assert!(held.err.contains("its work tree is at"), "{}{}", held.out, held.err);
    assert_eq!(shared.served_count(), 9);
}

#[test]
fn however_it_is_written_in_a_file_that_was_not_read_a_device_is_declared() {
    let device = |serial: &str| SPELLINGS[0].replace("TEST-OSL-005", serial);
    let utf16 = |text: &str| -> Vec<u8> {
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    };
    let list = |items: &str| format!("apiVersion: v1\nkind: List\nitems:\n- {}\n", items.replace('\n', "\n  "));
    let latin = |text: String| [b"# na\xefve\n", text.as_bytes()].concat();
    let spellings: &[(&str, Vec<u8>)] = &[
        (".lent/one.yaml", device(r#""TEST\x2dOSL-005""#).into()),
        (".lent/one.yaml", device("\"TEST-\\\n      OSL-005\"").into()),
        (".lent/one.yaml", utf16(&device("TEST-OSL-005"))),
        (".lent/one.yaml", format!("{}items: []\n", device("TEST-OSL-005")).into()),
        (".lent/one.yaml", list(&list(&device("test-osl-005"))).into()),
        (".lent/one.yaml", format!("{{{{ if .x }}}}\n{}", device("TEST-OSL-005")).into()),
        (".lent/one.yaml", latin(device("TEST-OSL-005"))),
        (
            ".lent/one.json",
            r#"{"apiVersion": "apgit.dev/v1alpha1", "kind": "Autopilot\u0044evice", "metadata": {"name": "lent"},
                "spec": {"serial\u004eumber": "TEST\u002dOSL-005"}}"#
                .into(),
        ),
        #[cfg(unix)]
        (".lent/\u{e6}\n \"one\".yaml", device("TEST-OSL-005").into()),
        (".lent/one", format!("a: !tag\n---\n{}", device("TEST-OSL-005")).into()),
    ];
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Delete");
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    for (name, text) in spellings {
        machine.clone.write(name, text);
        machine.commits();
        let held = machine.applies();
        let shown = String::from_utf8_lossy(text);
        assert!(held.out.contains("names a device that is declared"), "{shown}\n{}{}", held.out, held.err);
        assert_eq!(shared.served_count(), 9, "{shown}");
        machine.clone.git(&["rm", "-q", name]);
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = machine.clone.path.join(".lent");
        std::fs::create_dir_all(&folder).unwrap();
        let name = folder.join(std::ffi::OsStr::from_bytes(b"\xff.yaml"));
        std::fs::write(&name, device("TEST-OSL-005")).unwrap();
        machine.commits();
        shared.keeps(&machine, "names a device that is declared");
        std::fs::remove_file(name).unwrap();
    }
    machine.commits();
    shared.lets_go(&machine);
}

#[test]
fn what_a_file_says_besides_counts_though_the_file_is_read() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Delete");
    let other = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: other}\n\
                 spec: {serialNumber: TEST-OTHER-1}\n";
    let nobodys = format!("apiVersion: v1\nitems:\n- {}\n", lent("Delete").replace('\n', "\n  "));
    machine.clone.write("lent/one.yaml", format!("{other}---\n{nobodys}"));
    machine.commits();
    shared.keeps(&machine, "`lent/one.yaml` names a device");
}

#[test]
fn a_number_without_quotes_names_the_device_that_somebody_meant() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.removes_one();
    machine.commits();
    machine.applies_well();
    let export = machine.run("ledger export .").out;
    let renamed = export.replace("TEST-OSL-004", "0012345");
    machine.desk.state.write("renamed.json", renamed);
    let import = machine.run(&format!("ledger import {} --path .", machine.desk.state.at("renamed.json").display()));
    assert_eq!(import.code, 0, "{}{}", import.out, import.err);
    let file = machine.clone.path.join("devices/oslo/laptops.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("    - serialNumber: TEST-OSL-004\n", "")).unwrap();
    machine.clone.write(".lent/one.yaml", SPELLINGS[0].replace("TEST-OSL-005", "0012345"));
    machine.commits();
    let plan = machine.run("plan .");
    assert!(plan.out.contains("`.lent/one.yaml` names a device"), "{}{}", plan.out, plan.err);
}

#[test]
fn a_serial_that_was_written_with_an_escape_goes_with_its_declaration() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.removes_one();
    machine.spells(&SPELLINGS[0].replace("TEST-OSL-005", r#""TEST\x2DOSL-005""#));
    machine.applies_well();
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    machine.commits();
    shared.lets_go(&machine);
}

#[test]
fn after_a_squash_a_device_goes_with_its_declaration() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.lends("Orphan");
    machine.clone.git(&["checkout", "-q", "-b", "feature"]);
    machine.clone.write("lent/one.yaml", lent("Delete"));
    machine.commits();
    let part = machine.run("apply . --auto-approve --target TEST-OSL-005");
    assert_eq!(part.code, 0, "{}{}", part.out, part.err);
    machine.clone.git(&["checkout", "-q", "main"]);
    machine.clone.git(&["merge", "-q", "--squash", "feature"]);
    machine.clone.git(&["commit", "-q", "-m", "squashed"]);
    machine.applies_well();
    machine.clone.commit("README.md", "Something else.\n");
    machine.applies_well();
    machine.clone.git(&["rm", "-q", "lent/one.yaml"]);
    let file = machine.clone.path.join("devices/oslo/laptops.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("    - serialNumber: TEST-OSL-002\n", "")).unwrap();
    machine.commits();
    // Held once: the commit that was applied last declares neither of them.
    let held = machine.applies();
    assert!(held.code == 5 && held.out.contains("LimitExceeded"), "{}{}", held.out, held.err);
    let apply = machine.run("apply . --auto-approve --approve-deletes 2");
    assert!(apply.code == 0 && apply.out.contains("2 done"), "{}{}", apply.out, apply.err);
}

#[test]
fn a_folder_that_was_renamed_is_not_missed_for_ever() {
    let shared = Shared::new();
    let machine = shared.machine("only");
    machine.removes_one();
    machine.spells(&lent("Delete"));
    let named = |folder: &str| machine.run(&format!("apply tenant.yaml devices {folder} --auto-approve"));
    assert_eq!(named("lent").code, 0);
    machine.clone.git(&["mv", "lent", "borrowed"]);
    machine.commits();
    assert_eq!(named("borrowed").code, 0);
    machine.clone.write("borrowed/.keep", "");
    machine.clone.git(&["rm", "-q", "borrowed/one.yaml"]);
    machine.commits();
    let apply = named("borrowed");
    assert!(apply.code == 0 && apply.out.contains("1 done"), "{}{}", apply.out, apply.err);
    assert_eq!(shared.served_count(), 8);
}
