//! Nothing outside of a repository is read or written because a branch says so.

#![cfg(unix)]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::{Bounds, Folder, Ran, apgit, tenant_manifest};

/// Stands in files that nobody may read.
const CANARY: &str = "canary-of-another-file";

const NOTHING_OF_OURS: &str =
    "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: x}\nspec: {canary-of-another-file: 1}\n";

/// Runs where `git` can be found, as a pipeline has it.
fn run(folder: &Path, words: &str) -> Ran {
    let mut command = apgit(folder, words.split_whitespace());
    command.env("PATH", std::env::var_os("PATH").expect("a path")).env("XDG_STATE_HOME", folder.join(".state"));
    command.env("HOME", folder);
    let ran = Bounds::default().hold(&mut command);
    assert!(!ran.err.contains(CANARY) && !ran.out.contains(CANARY), "{words}: {}{}", ran.err, ran.out);
    ran
}

fn git(folder: &Folder, words: &str) {
    let mut command = Command::new("git");
    command.current_dir(folder.path()).env("HOME", folder.path()).args(words.split_whitespace());
    let output = command.output().expect("git is here");
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A repository of Git with a tenant in it.
fn repository() -> Folder {
    let folder = Folder::new();
    git(&folder, "init -q");
    folder.write("fleet/tenant.yaml", tenant_manifest("cloud: Global"));
    folder
}

#[track_caller]
fn assert_refused(ran: &Ran, code: &str) {
    assert_eq!(ran.code, 3, "{code}: {}", ran.err);
    assert!(ran.err.contains(&format!("error[{code}]")), "{code}: {}", ran.err);
}

#[test]
fn a_path_on_the_command_line_does_not_lead_out_of_its_repository() {
    let outside = Folder::new();
    outside.write("secret.yaml", NOTHING_OF_OURS);
    let other = Folder::repository();
    other.write("deep/secret.yaml", NOTHING_OF_OURS);
    let repo = repository();
    symlink(outside.at("secret.yaml"), repo.at("fleet/file.yaml")).unwrap();
    symlink(outside.path(), repo.at("fleet/folder")).unwrap();
    symlink(other.path(), repo.at("fleet/repository")).unwrap();
    git(&repo, "add .");
    let absolute = repo.at("fleet/repository/deep").display().to_string();
    for typed in [
        "fleet/file.yaml",
        "fleet/folder",
        "fleet/folder/secret.yaml",
        "fleet/repository",
        "fleet/repository/deep",
        "./fleet/../fleet/repository/deep/secret.yaml",
        &absolute,
    ] {
        for command in ["validate", "plan --simulate", "apply --simulate --auto-approve"] {
            assert_refused(&run(repo.path(), &format!("{command} {typed}")), "symlink-outside");
        }
    }
    // Who stands in the other repository has gone there.
    let there = apgit(other.path(), ["validate", "."]).env("HOME", other.path()).output().expect("it runs");
    assert!(String::from_utf8_lossy(&there.stderr).contains(CANARY));
    // Without a repository, a file's own folder is all there is.
    let plain = Folder::new();
    symlink(outside.at("secret.yaml"), plain.at("file.yaml")).unwrap();
    assert_refused(&run(plain.path(), "validate file.yaml"), "symlink-outside");
}

#[test]
fn a_file_with_a_hash_on_the_command_line_is_none_outside() {
    let outside = Folder::new();
    outside.write("secret.txt", CANARY);
    let repo = repository();
    symlink(outside.at("secret.txt"), repo.at("fleet/a.txt")).unwrap();
    symlink(outside.at("secret.txt"), repo.at("fleet/a.age")).unwrap();
    symlink(repo.at(".git/HEAD"), repo.at("fleet/b.txt")).unwrap();
    for words in ["hash fleet/a.txt", "hash --pin fleet/a.txt", "hash fleet/a.age", "hash fleet/b.txt"] {
        let ran = run(repo.path(), words);
        assert!(ran.code == 3 && ran.err.contains("this symbolic link leads"), "{words}: {}", ran.err);
    }
    repo.write("fleet/c.txt", "no hash");
    symlink("c.txt", repo.at("fleet/d.txt")).unwrap();
    assert!(!run(repo.path(), "hash fleet/d.txt").err.contains("symbolic link"));
}

#[test]
fn links_lead_only_to_what_git_holds() {
    let repo = repository();
    repo.write("notes/untracked.yaml", NOTHING_OF_OURS);
    repo.write("notes/untracked.txt", CANARY);
    repo.write(
        "more/tracked.yaml",
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a}\nspec: {serialNumber: A1}\n",
    );
    repo.write(".gitignore", "notes/\n");
    symlink("../more/tracked.yaml", repo.at("fleet/good.yaml")).unwrap();
    git(&repo, "add .");
    let good = run(repo.path(), "validate fleet");
    assert_eq!(good.code, 0, "{}", good.err);
    assert!(good.out.contains("2 files") && good.out.contains("1 device"), "{}", good.out);
    let bad = [
        ("../notes/untracked.yaml", "fleet/file.yaml", "symlink-untracked"),
        ("../notes", "fleet/folder", "symlink-untracked"),
        ("../.git/config", "fleet/config.yaml", "symlink-git"),
        ("../.git", "fleet/git", "symlink-git"),
        ("nowhere", "fleet/dead.yaml", "dead-link"),
    ];
    for (target, link, code) in bad {
        symlink(target, repo.at(link)).unwrap();
        git(&repo, &format!("add {link}"));
        assert_refused(&run(repo.path(), "validate fleet"), code);
        if code != "dead-link" && link.ends_with(".yaml") {
            assert_refused(&run(repo.path(), &format!("validate {link}")), code);
        }
        std::fs::remove_file(repo.at(link)).unwrap();
    }
    symlink("../notes/untracked.txt", repo.at("fleet/hash.txt")).unwrap();
    for (file, code) in
        [("hash.txt", "symlink-untracked"), ("../.git/config", "path-git"), ("../.git/HEAD", "path-git")]
    {
        let spec = format!("{{serialNumber: A1, hardwareHashRef: {{file: {file}}}}}");
        repo.write(
            "fleet/d.yaml",
            format!("apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {{name: d}}\nspec: {spec}\n"),
        );
        assert_refused(&run(repo.path(), "validate fleet"), code);
    }
}

#[test]
fn a_name_with_backslashes_is_in_no_folder() {
    let repo = repository();
    let policy = "  tagPolicy: [{groupTag: OSL, paths: [\"fleet/oslo/*\"]}]\n";
    repo.write("fleet/tenant.yaml", tenant_manifest("cloud: Global") + policy);
    let device = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a}\n\
                  spec: {serialNumber: A1, groupTag: OSL}\n";
    repo.write("fleet/oslo/kiosks.yaml", device);
    let inside = run(repo.path(), "validate .");
    assert_eq!(inside.code, 0, "{}", inside.err);
    std::fs::remove_file(repo.at("fleet/oslo/kiosks.yaml")).unwrap();
    for name in [r"fleet\oslo\kiosks.yaml", r"fleet/oslo\kiosks.yaml"] {
        repo.write(name, device);
        let ran = run(repo.path(), "validate .");
        assert_refused(&ran, "tag-not-allowed-here");
        assert!(ran.err.contains(name), "it is called so: {}", ran.err);
        std::fs::remove_file(repo.at(name)).unwrap();
    }
}

#[test]
fn a_git_in_the_folder_at_hand_is_not_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let repo = repository();
    repo.write("more.yaml", "kind: Other\n");
    symlink("../more.yaml", repo.at("fleet/link.yaml")).unwrap();
    repo.write("git", "#!/bin/sh\ntouch was-run\n");
    std::fs::set_permissions(repo.at("git"), std::fs::Permissions::from_mode(0o755)).unwrap();
    for path in ["", ":.:", "."] {
        let mut command = apgit(repo.path(), ["validate", "fleet"]);
        let ran = Bounds::default().hold(command.env("PATH", path).env("HOME", repo.path()));
        assert_refused(&ran, "symlink-unknown");
        assert!(!repo.at("was-run").exists());
    }
}

#[test]
fn each_folder_is_looked_at_once_however_many_links_lead_there() {
    let repo = Folder::new();
    git(&repo, "init -q");
    repo.write("tenant.yaml", tenant_manifest("cloud: Global"));
    for level in 1..=5 {
        repo.write(format!("{level}/d.yaml"), format!("apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {{name: d{level}}}\nspec: {{serialNumber: A{level}}}\n"));
        for number in 0..10 {
            symlink(format!("../{}", level % 5 + 1), repo.at(format!("{level}/to-{number}"))).unwrap();
        }
    }
    git(&repo, "add .");
    let mut command = apgit(repo.path(), ["validate", "."]);
    command.env("PATH", std::env::var_os("PATH").expect("a path")).env("HOME", repo.path());
    let ran = Bounds { seconds: 15, ..Bounds::default() }.hold(&mut command);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("6 files, 6 documents"), "{}", ran.out);
}

#[test]
fn a_report_is_written_through_no_link() {
    let (outside, repo) = (Folder::new(), repository());
    outside.write(".bashrc", "alias");
    symlink(outside.at(".bashrc"), repo.at("plan.json")).unwrap();
    symlink(outside.at("new.json"), repo.at("dangling.json")).unwrap();
    symlink(outside.path(), repo.at("reports")).unwrap();
    let absolute = repo.at("reports/plan.json").display().to_string();
    for report in ["plan.json", "./plan.json", "dangling.json", "reports/plan.json", "reports/.bashrc", &absolute] {
        for command in ["validate fleet", "plan fleet --simulate", "apply fleet --simulate --auto-approve"] {
            let ran = run(repo.path(), &format!("{command} --report json={report}"));
            assert!(ran.code == 64 && ran.err.contains("is a symbolic link"), "{report}: {}", ran.err);
            assert!(ran.out.is_empty(), "nothing was done: {}", ran.out);
        }
    }
    assert_eq!((outside.files(), &*outside.read(".bashrc")), (vec![outside.at(".bashrc")], "alias"));
    assert_eq!(run(repo.path(), "validate fleet --report json=plan-2.json").code, 0);
    assert!(repo.at("plan-2.json").is_file());
}

#[test]
fn what_the_command_line_names_is_written_through_no_link() {
    let (outside, repo) = (Folder::new(), repository());
    outside.write(".bashrc", "alias");
    for link in ["simulated-ca.pem", "ca.pem", "schema.json", "crds/autopilottenant.yaml"] {
        std::fs::create_dir_all(repo.at("crds")).unwrap();
        symlink(outside.at(".bashrc"), repo.at(link)).unwrap();
    }
    symlink(outside.path(), repo.at("folder")).unwrap();
    for words in [
        "simulate --listen 127.0.0.1:0 --tls",
        "simulate --listen 127.0.0.1:0 --tls ca.pem",
        "simulate --listen 127.0.0.1:0 --tls folder/new.pem",
        "simulate --listen 127.0.0.1:0 --proxy",
        "schema --out schema.json",
        "schema --out ./folder/.bashrc",
        "crds --out crds",
        "crds --out folder",
        "crds --out folder/new",
    ] {
        let ran = run(repo.path(), words);
        assert!(ran.code == 64 && ran.err.contains("is a symbolic link"), "{words}: {} {}", ran.code, ran.err);
        assert_eq!((outside.files(), &*outside.read(".bashrc")), (vec![outside.at(".bashrc")], "alias"), "{words}");
    }
    std::fs::remove_file(repo.at("crds/autopilottenant.yaml")).unwrap();
    for (words, file) in [("crds --out crds", "crds/autopilottenant.yaml"), ("schema --out new.json", "new.json")] {
        assert_eq!(run(repo.path(), words).code, 0, "{words}");
        assert!(repo.at(file).is_file());
    }
}

#[test]
fn a_link_below_the_folder_at_hand_is_the_branchs_without_a_repository_too() {
    let (outside, plain) = (Folder::new(), Folder::new());
    plain.write("tenant.yaml", tenant_manifest("cloud: Global"));
    symlink(outside.path(), plain.at("reports")).unwrap();
    let absolute = plain.at("reports/plan.json").display().to_string();
    for report in ["reports/plan.json", &absolute] {
        let ran = run(plain.path(), &format!("validate tenant.yaml --report json={report}"));
        assert!(ran.code == 64 && ran.err.contains("is a symbolic link"), "{report}: {}", ran.err);
    }
    assert!(outside.files().is_empty());
    // A link that leads to the folder at hand is above it, and the machine's own.
    let machine = Folder::new();
    symlink(plain.path(), machine.at("work")).unwrap();
    let through = machine.at("work/plan.json").display().to_string();
    let ran = run(plain.path(), &format!("validate tenant.yaml --report json={through}"));
    assert!(ran.code == 0 && plain.at("plan.json").is_file(), "{}", ran.err);
}

#[test]
fn a_name_that_is_no_text_names_no_manifest() {
    use std::os::unix::ffi::OsStrExt as _;
    let repo = repository();
    let device = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a}\n\
                  spec: {serialNumber: A1}\n";
    for (name, shown) in [
        (&b"kiosk\xff.yaml"[..], r"kiosk\xff.yaml"),
        (b"kiosk\xfe.yaml", r"kiosk\xfe.yaml"),
        (b"oslo\xc3/kiosk.yaml", r"oslo\xc3"),
    ] {
        let name = std::ffi::OsStr::from_bytes(name);
        repo.write(name, device);
        for words in ["validate .", "plan . --simulate", "apply . --simulate --auto-approve"] {
            let ran = run(repo.path(), words);
            assert_refused(&ran, "name-not-utf8");
            assert!(ran.err.contains(shown), "{shown}: {}", ran.err);
        }
        std::fs::remove_file(repo.at(name)).unwrap();
        if name.as_bytes().contains(&b'/') {
            std::fs::remove_dir(repo.at(name).parent().unwrap()).unwrap();
        }
    }
    // What is no manifest may be called what it likes, and so may what is left out.
    repo.write(std::ffi::OsStr::from_bytes(b"notes\xff.txt"), "");
    repo.write(std::ffi::OsStr::from_bytes(b"old-\xff.yaml"), "");
    repo.write(".apgitignore", "old-*\n");
    let ran = run(repo.path(), "validate .");
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn nothing_is_told_of_a_file_that_holds_no_hash() {
    let repo = repository();
    repo.write(".gitignore", "*.env\n*.key\n");
    git(&repo, "add .");
    for (name, content) in [
        ("prod.env", "CI_TOKEN=canary-of-another-file\n"),
        ("quoted.env", "\"canary-of-another-file\"\n"),
        ("dots.env", "can...ary\n"),
        ("words.env", "canary of another file"),
        ("equals.env", "can=ary"),
        ("odd.env", "canary\u{f6}x"),
        ("token.key", "c2VjcmV0LXBhc3N3b3JkLW9mLW5vYm9keQ==\n"),
        ("short.key", "hunter2\n"),
        ("password.key", "OABhunterhunterhunterhunter\n"),
    ] {
        repo.write(format!("fleet/{name}"), content);
        for more in [
            "",
            ", sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"",
            ", sha256: \"0000000000000000000000000000000000000000000000000000000000000000\", hashCheck: Trust",
        ] {
            let spec = format!("{{serialNumber: A1, hardwareHashRef: {{file: {name}{more}}}}}");
            let device =
                format!("apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {{name: d}}\nspec: {spec}\n");
            repo.write("fleet/d.yaml", device);
            for words in ["validate fleet", "validate fleet --json", "apply fleet --simulate --auto-approve"] {
                let ran = run(repo.path(), words);
                assert!(ran.code == 3 || words.starts_with("apply"), "{name}{more}: {words}: {}", ran.out);
                let said = ran.err + &ran.out;
                assert!(said.contains("no hardware hash"), "{name}{more}: {words}: {said}");
                for told in ["character ", "U+00", "has the digest", "base64", "byte 0"] {
                    assert!(!said.contains(told), "{name}{more}: {words}: {said}");
                }
            }
        }
    }
}
