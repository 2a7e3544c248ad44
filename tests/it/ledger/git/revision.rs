//! What is checked out, and what came before what.

use apgit::door::git::{Ancestry, Found, Repository};

use crate::support::{Clone, Folder, Remote};

fn dirty(clone: &Clone, names: &[&str]) -> bool {
    let paths: Vec<_> = names.iter().map(|name| clone.path.join(name)).collect();
    clone.repository().revision(&paths).unwrap().dirty
}

#[test]
fn a_work_tree_is_dirty_where_it_is_not_as_committed() {
    let remote = Remote::new();
    let here = remote.clone("here");
    here.write(".gitignore", "*.tmp\n");
    here.commit(".gitignore", "*.tmp\n");
    let head = here.commit("devices/kiosk.yaml", "# none\n");
    let revision = here.repository().revision(std::slice::from_ref(&here.path)).unwrap();
    assert_eq!((revision.head, revision.dirty), (Some(head), false));
    assert_eq!(revision.root, here.path.canonicalize().unwrap());
    here.write("devices/scratch.tmp", "ignored");
    assert!(!dirty(&here, &["."]));
    for (deed, undo) in [
        ("echo x >> devices/kiosk.yaml", "git checkout -q devices/kiosk.yaml"),
        ("rm devices/kiosk.yaml", "git checkout -q devices/kiosk.yaml"),
        ("echo x > devices/new.yaml", "rm devices/new.yaml"),
        ("mkdir devices/deep && echo x > devices/deep/new.yaml", "rm -r devices/deep"),
        ("echo x > devices/new.yaml; git add -A", "git rm -qf devices/new.yaml"),
        ("git mv devices/kiosk.yaml devices/renamed.yaml", "git reset -q --hard"),
    ] {
        let sh = |script: &str| {
            let done = std::process::Command::new("sh").args(["-c", script]).current_dir(&here.path).status();
            assert!(done.unwrap().success(), "{script}");
        };
        sh(deed);
        assert!(
            dirty(&here, &["."]) && dirty(&here, &["devices"]) && dirty(&here, &[".gitignore", "devices"]),
            "{deed}"
        );
        assert!(!dirty(&here, &[".gitignore"]), "{deed}: another path is not");
        sh(undo);
        assert!(!dirty(&here, &["."]), "{undo}");
    }
    // A name is a name, and no pattern.
    here.commit("devices/[ab].yaml", "# none\n");
    here.write("devices/a.yaml", "new");
    assert!(!dirty(&here, &["devices/[ab].yaml"]));
}

#[test]
fn more_changes_than_can_be_listed_are_changes() {
    let remote = Remote::new();
    let here = remote.clone("here");
    for number in 0..1500 {
        here.write(&format!("devices/a-name-that-is-rather-long-for-a-file-of-devices-{number}.yaml"), "x");
    }
    assert!(dirty(&here, &["devices"]));
}

#[test]
fn before_the_first_commit_there_is_no_head_and_all_is_new() {
    let remote = Remote::empty("shared.git");
    let here = remote.clone("here");
    let revision = here.repository().revision(std::slice::from_ref(&here.path)).unwrap();
    assert_eq!((revision.head, revision.dirty), (None, false));
    here.write("tenant.yaml", "x");
    assert!(dirty(&here, &["."]));
}

#[test]
fn what_is_no_repository_is_said_to_be_none() {
    let folder = Folder::new();
    folder.write("tenant.yaml", "x");
    let is_none = |path: &std::path::Path| matches!(Repository::find(path), Ok(Found::NoRepository));
    assert!(is_none(folder.path()) && is_none(&folder.at("tenant.yaml")));
    // A folder named `.git` marks a root and is no repository, also in another.
    let remote = Remote::new();
    let here = remote.clone("here");
    std::fs::create_dir_all(here.path.join("inner/.git/objects")).unwrap();
    assert!(is_none(&here.path.join("inner")));
    std::fs::write(here.path.join("inner/.git/HEAD"), "garbage").unwrap();
    assert!(is_none(&here.path.join("inner")));
    assert!(Repository::find(&folder.at("missing")).is_err());
    let outside = here.repository().revision(&[folder.at("tenant.yaml")]).unwrap_err().to_string();
    assert!(outside.contains("is not in"), "{outside}");
}

#[test]
fn what_came_before_what() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let first = here.git(&["rev-parse", "HEAD"]);
    let second = here.commit("devices/a.yaml", "1\n");
    here.git(&["checkout", "-q", "-b", "side", &first]);
    let side = here.commit("devices/b.yaml", "1\n");
    let ancestry = |clone: &Clone, first: &str, last: &str| clone.repository().ancestry(first, last).unwrap();
    assert_eq!(ancestry(&here, &first, &second), Ancestry::Ancestor);
    assert_eq!(ancestry(&here, &second, &second), Ancestry::Ancestor);
    assert_eq!(ancestry(&here, &second, &first), Ancestry::Other);
    assert_eq!(ancestry(&here, &second, &side), Ancestry::Other);
    for name in ["0123456789012345678901234567890123456789", "main", "--help", "", "HEAD"] {
        assert_eq!(ancestry(&here, name, &second), Ancestry::Unknown, "{name}");
        assert_eq!(ancestry(&here, &second, name), Ancestry::Unknown, "{name}");
    }
    let blob = here.git(&["rev-parse", "HEAD:devices/b.yaml"]);
    assert_eq!(ancestry(&here, &blob, &second), Ancestry::Unknown);
    // Where history was cut off, nobody knows.
    here.git(&["push", "-q", "origin", &format!("{second}:refs/heads/main"), "side"]);
    let shallow = remote.clone_with("shallow", &["--depth=1", "--no-single-branch"]);
    assert_eq!(ancestry(&shallow, &first, &second), Ancestry::Unknown);
    assert_eq!(ancestry(&shallow, &side, &second), Ancestry::Unknown);
    assert_eq!(ancestry(&shallow, &second, &second), Ancestry::Ancestor);
}

#[test]
fn the_remote_is_that_of_the_branch_or_origin_or_the_only_one() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let chosen = || here.repository().remote().unwrap();
    here.git(&["remote", "add", "upstream", &remote.url()]);
    assert_eq!(chosen().as_deref(), Some("origin"));
    here.git(&["config", "branch.main.remote", "upstream"]);
    assert_eq!(chosen().as_deref(), Some("upstream"));
    here.git(&["config", "branch.main.remote", "."]);
    assert_eq!(chosen().as_deref(), Some("origin"), "a branch that follows one of the same repository");
    here.git(&["remote", "remove", "origin"]);
    assert_eq!(chosen().as_deref(), Some("upstream"));
    here.git(&["remote", "add", "another", &remote.url()]);
    assert_eq!(chosen(), None, "two, and none is meant");
    here.git(&["remote", "remove", "another"]);
    here.git(&["remote", "remove", "upstream"]);
    assert_eq!(chosen(), None);
}

/// This test again, in a process where no `git` is on the path.
const NO_GIT: &str = "APGIT_TEST_NO_GIT";

#[test]
fn where_there_is_no_git_that_is_said() {
    if let Some(path) = std::env::var_os(NO_GIT) {
        assert!(matches!(Repository::find(path.as_ref()), Ok(Found::NoCommand)));
        return;
    }
    let remote = Remote::new();
    let here = remote.clone("here");
    let name = "ledger::git::revision::where_there_is_no_git_that_is_said";
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let output = again.args(["--exact", name]).env("PATH", "bin:").env(NO_GIT, &here.path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
