//! The ledger in a branch: real Git, a bare repository and clones of it.

#![cfg(unix)]

mod faults;
mod forms;
mod revision;

use apgit::door::ledger::{GitLedger, Ledger, LedgerError, LedgerStore};
use apgit::door::model::TenantId;

use super::document::{ledger, tracked};
use crate::support::{Clone, Remote};

const BRANCH: &str = "apgit-ledger/11111111-2222-3333-4444-555555555555/corp-devices";

fn store(clone: &Clone) -> GitLedger {
    GitLedger::new(clone.repository(), "origin", BRANCH)
}

async fn load(clone: &Clone) -> Option<Ledger> {
    store(clone).load().await.unwrap()
}

/// A store that has loaded what is there.
async fn loaded(clone: &Clone) -> GitLedger {
    let mut store = store(clone);
    store.load().await.unwrap();
    store
}

/// Somebody else's write of these devices.
async fn written_by(clone: &Clone, serials: &[&str]) -> Ledger {
    let (mut store, ledger) = (loaded(clone).await, ledger(serials));
    store.save(&ledger, "somebody else").await.unwrap();
    ledger
}

#[tokio::test]
async fn what_one_machine_saves_another_loads() {
    let remote = Remote::new();
    let (here, there) = (remote.clone("here"), remote.clone("there"));
    let mut store = loaded(&here).await;
    assert_eq!(remote.head(BRANCH), None);
    store.save(&ledger(&["PF1"]), "plan-1 begins").await.unwrap();
    assert_eq!(load(&there).await, Some(ledger(&["PF1"])));
    store.save(&ledger(&["PF1", "PF2"]), "plan-1\nends\u{202e}").await.unwrap();
    assert_eq!(load(&there).await, Some(ledger(&["PF1", "PF2"])));
    let history = remote.git(&["log", "--format=%s", BRANCH]);
    assert_eq!(history, "plan-1\\u{a}ends\\u{202e}\nplan-1 begins");
    assert_eq!(remote.git(&["ls-tree", "--name-only", BRANCH]), "ledger.json");
    assert_eq!(store.place(), format!("origin/{BRANCH}"));
}

#[tokio::test]
async fn of_two_machines_one_wins_and_the_other_reads_again() {
    let remote = Remote::new();
    let (here, there) = (remote.clone("here"), remote.clone("there"));
    // First, who begins the branch; then, who goes on.
    for round in ["1", "2"] {
        let (mut one, mut two) = (loaded(&here).await, loaded(&there).await);
        let (first, second) = (ledger(&["PF1", round]), ledger(&["PF2", round]));
        let results = tokio::join!(one.save(&first, "one"), two.save(&second, "two"));
        let (won, mut lost) = match results {
            (Ok(()), Err(LedgerError::Moved { place })) if place == one.place() => (first, two),
            (Err(LedgerError::Moved { place }), Ok(())) if place == one.place() => (second, one),
            other => panic!("{round}: {other:?}"),
        };
        assert!(matches!(lost.save(&ledger(&[]), "again").await, Err(LedgerError::Moved { .. })), "{round}");
        assert_eq!(lost.load().await.unwrap(), Some(won));
        lost.save(&ledger(&["PF1", "PF2", round]), "both").await.unwrap();
        assert_eq!(load(&here).await, Some(ledger(&["PF1", "PF2", round])));
    }
    let merges = remote.git(&["rev-list", "--count", "--min-parents=2", BRANCH]);
    assert_eq!((&*merges, &*remote.git(&["rev-list", "--count", BRANCH])), ("0", "4"));
}

#[tokio::test]
async fn a_branch_that_somebody_wrote_anew_is_not_written_over() {
    let remote = Remote::new();
    let (here, there) = (remote.clone("here"), remote.clone("there"));
    written_by(&here, &["PF1"]).await;
    written_by(&here, &["PF1", "PF2"]).await;
    let head = format!("refs/heads/{BRANCH}");
    let old = remote.git(&["rev-parse", &format!("{BRANCH}~1")]);
    let other = remote.git(&["rev-parse", "main"]);
    let now = remote.head(BRANCH);
    // Set back, which a plain fast-forward would go on top of; another history; gone.
    for (what, deed) in [
        ("set back", vec!["update-ref", &head, &old]),
        ("another", vec!["update-ref", &head, &other]),
        ("gone", vec!["update-ref", "-d", &head]),
    ] {
        let mut store = loaded(&there).await;
        remote.git(&deed);
        let changed = remote.head(BRANCH);
        let error = store.save(&ledger(&["PF9"]), "ours").await.unwrap_err();
        assert!(matches!(error, LedgerError::Moved { .. }), "{what}: {error}");
        assert_eq!(remote.head(BRANCH), changed, "{what}");
        remote.git(&["update-ref", &head, now.as_deref().unwrap()]);
    }
    // Begun meanwhile by somebody else.
    remote.git(&["update-ref", "-d", &head]);
    let mut store = loaded(&there).await;
    remote.git(&["update-ref", &head, &old]);
    assert!(matches!(store.save(&ledger(&["PF9"]), "ours").await, Err(LedgerError::Moved { .. })));
    assert_eq!(remote.head(BRANCH), Some(old));
}

#[tokio::test]
async fn a_remote_that_takes_no_forced_push_takes_ours() {
    let remote = Remote::new();
    remote.git(&["config", "receive.denyNonFastForwards", "true"]);
    remote.git(&["config", "receive.denyDeletes", "true"]);
    remote.git(&["config", "receive.fsckObjects", "true"]);
    let here = remote.clone("here");
    for serials in [&["PF1"][..], &["PF1", "PF2"], &["PF2"]] {
        written_by(&here, serials).await;
        assert_eq!(load(&here).await, Some(ledger(serials)));
    }
}

#[tokio::test]
async fn what_is_the_users_own_is_not_touched() {
    let remote = Remote::new();
    let (here, there) = (remote.clone("here"), remote.clone("there"));
    here.write("devices/oslo.yaml", "# stashed\n");
    here.git(&["stash", "-q"]);
    here.write("devices/oslo.yaml", "# edited\n");
    here.write("devices/staged.yaml", "# staged\n");
    here.git(&["add", "devices/staged.yaml"]);
    here.write("ledger.json", "not of the ledger\n");
    let before = here.users();
    written_by(&here, &["PF1"]).await;
    written_by(&there, &["PF1", "PF2"]).await;
    written_by(&here, &["PF1"]).await;
    assert_eq!(here.users(), before);
}

#[tokio::test]
async fn nothing_that_a_repository_names_is_run() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let canary = remote.at("canary");
    let script = format!("#!/bin/sh\necho \"$0\" >> '{}'\n", canary.display());
    let hooks = ["pre-push", "reference-transaction", "post-index-change", "commit-msg", "pre-auto-gc", "fsmonitor"];
    for hook in hooks {
        for folder in [".git/hooks", "hooks"] {
            here.write(&format!("{folder}/{hook}"), &script);
            let file = here.path.join(folder).join(hook);
            std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
    }
    here.git(&["config", "core.fsmonitor", &here.path.join("hooks/fsmonitor").display().to_string()]);
    for path in [None, Some("hooks")] {
        if let Some(path) = path {
            here.git(&["config", "core.hooksPath", path]);
        }
        let _ = std::fs::remove_file(&canary);
        written_by(&here, &["PF1"]).await;
        load(&here).await;
        here.repository().revision(std::slice::from_ref(&here.path)).unwrap();
        assert!(!canary.exists(), "{}", std::fs::read_to_string(&canary).unwrap());
    }
}

#[tokio::test]
async fn other_files_in_the_branch_stay() {
    let remote = Remote::new();
    let here = remote.clone("here");
    written_by(&here, &["PF1"]).await;
    let there = remote.clone_with("there", &["-b", BRANCH]);
    there.commit("README.md", "written by apgit\n");
    there.git(&["push", "-q", "origin", BRANCH]);
    written_by(&here, &["PF2"]).await;
    assert_eq!(remote.git(&["ls-tree", "--name-only", BRANCH]), "README.md\nledger.json");
    assert_eq!(load(&here).await, Some(ledger(&["PF2"])));
}

#[tokio::test]
async fn a_commit_is_signed_where_the_user_signs() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let key = remote.at("key");
    let made =
        std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    if !made.is_ok_and(|status| status.success()) {
        return eprintln!("no ssh-keygen here: not tested");
    }
    let is_signed = || remote.git(&["cat-file", "commit", BRANCH]).contains("\ngpgsig -----BEGIN SSH SIGNATURE-----");
    for (name, value) in [("gpg.format", "ssh"), ("user.signingKey", &key.display().to_string())] {
        here.git(&["config", name, value]);
    }
    written_by(&here, &["PF1"]).await;
    assert!(!is_signed());
    here.git(&["config", "commit.gpgSign", "yes"]);
    written_by(&here, &["PF2"]).await;
    assert!(is_signed());
    // Who cannot sign does not write unsigned.
    std::fs::remove_file(&key).unwrap();
    std::fs::remove_file(key.with_extension("pub")).unwrap();
    let before = remote.head(BRANCH);
    let error = loaded(&here).await.save(&ledger(&["PF3"]), "unsigned").await.unwrap_err().to_string();
    assert!(error.contains("cannot write the ledger") && error.contains("commit-tree"), "{error}");
    assert_eq!(remote.head(BRANCH), before);
}

#[tokio::test]
async fn a_diff_of_two_ledgers_is_about_what_changed() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let many: Vec<String> = (0..10_000).map(|number| format!("PF{number:05}")).collect();
    let mut ledger = ledger(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let mut store = loaded(&here).await;
    store.save(&ledger, "all").await.unwrap();
    let one = super::document::key("PF05000");
    ledger.get_mut(&one).unwrap().protect = false;
    store.save(&ledger, "one").await.unwrap();
    let diff = remote.git(&["diff", "--numstat", &format!("{BRANCH}~1"), BRANCH]);
    assert_eq!(diff, "2\t2\tledger.json", "the device and the seal");
    // Two histories of different devices merge, all but the seal.
    let merged = |base: &str| remote.git(&["show", &format!("{base}:ledger.json")]);
    let names = ["base", "ours", "theirs"];
    let mut others = [merged(BRANCH), merged(BRANCH), merged(BRANCH)];
    for (text, serial) in others[1..].iter_mut().zip(["PF00010", "PF09990"]) {
        let line = text.lines().find(|line| line.contains(serial)).expect("a device").to_owned();
        *text = text.replace(&line, &line.replace("OSL-STD", "BER-STD"));
    }
    names.iter().zip(&others).for_each(|(name, text)| here.write(name, text));
    let both = here.git(&["merge-file", "-p", "ours", "base", "theirs"]);
    assert_eq!(both.matches("BER-STD").count(), 2);
}

#[test]
fn every_owner_has_a_branch_of_its_own_that_git_takes() {
    let tenant = TenantId("11111111-2222-3333-4444-555555555555".parse().unwrap());
    assert_eq!(GitLedger::branch(tenant, "corp-devices"), BRANCH);
    let remote = Remote::empty("shared.git");
    let owners = ["a", "a..b", "a...b", "a.b", "a.lock", "a.lock.lock", "a-b_c", "A"];
    for owner in owners {
        remote.git(&["check-ref-format", "--branch", &GitLedger::branch(tenant, owner)]);
    }
    let branches: std::collections::HashSet<_> = owners.iter().map(|owner| GitLedger::branch(tenant, owner)).collect();
    assert_eq!(branches.len(), owners.len());
}

#[tokio::test]
async fn a_device_that_was_tracked_is_read_back_whole() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let mut device = tracked("PF1");
    device.values = [(apgit::door::model::Field::DisplayName, "Zürich 東京".into())].into();
    let mut ledger = ledger(&[]);
    ledger.track(device);
    loaded(&here).await.save(&ledger, "Zürich").await.unwrap();
    assert_eq!(load(&here).await, Some(ledger));
    assert_eq!(remote.git(&["log", "-1", "--format=%s", BRANCH]), "Zürich");
}
