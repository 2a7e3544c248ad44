//! What goes wrong on the way, and that it ends as it should: the branch as it
//! was, a sentence that says why, and a next run that works.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use apgit::door::ledger::{LedgerError, LedgerStore as _};

use super::{BRANCH, load, loaded, store, written_by};
use crate::ledger::document::ledger;
use crate::support::{Clone, Remote};

fn script(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A save that fails for a reason that is not another writer; the same store saves
/// once the fault is gone.
async fn fails_and_recovers(remote: &Remote, here: &Clone, begin: impl Fn(), end: impl Fn()) -> String {
    let first = written_by(here, &["PF1"]).await;
    let mut store = loaded(here).await;
    let before = remote.head(BRANCH);
    begin();
    let error = store.save(&ledger(&["PF1", "PF2"]), "ours").await.unwrap_err();
    assert!(matches!(error, LedgerError::Store { .. }), "{error}");
    end();
    assert_eq!(remote.head(BRANCH), before);
    assert_eq!(load(here).await, Some(first));
    store.save(&ledger(&["PF1", "PF2"]), "ours").await.unwrap();
    assert_eq!(load(here).await, Some(ledger(&["PF1", "PF2"])));
    let error = error.to_string();
    assert!(error.starts_with(&format!("cannot write the ledger `origin/{BRANCH}`: ")), "{error}");
    error
}

#[tokio::test]
async fn a_line_that_is_cut_after_the_load() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let away = remote.at("away");
    let back = || std::fs::rename(&away, &remote.path).unwrap();
    let error = fails_and_recovers(&remote, &here, || std::fs::rename(&remote.path, &away).unwrap(), back).await;
    assert!(error.contains("does not appear to be a git repository"), "{error}");
    std::fs::rename(&remote.path, &away).unwrap();
    let error = store(&here).load().await.unwrap_err().to_string();
    assert!(error.contains("cannot read the ledger") && error.contains("`git ls-remote`"), "{error}");
}

#[tokio::test]
async fn a_remote_that_refuses_says_why() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let hook = remote.path.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let refuse = || script(&hook, "printf 'only the pipeline\\033[31m writes this branch\\n' >&2; exit 1");
    let error = fails_and_recovers(&remote, &here, refuse, || std::fs::remove_file(&hook).unwrap()).await;
    let said = "[remote rejected] (pre-receive hook declined); remote: only the pipeline";
    assert!(error.contains(said) && !error.contains('\u{1b}'), "{error}");
}

#[tokio::test]
async fn a_branch_that_is_protected() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let hook = remote.path.join("hooks/update");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let protect = || script(&hook, "case $1 in refs/heads/apgit-ledger/*) echo GH006: protected >&2; exit 1;; esac");
    let error = fails_and_recovers(&remote, &here, protect, || std::fs::remove_file(&hook).unwrap()).await;
    assert!(error.contains("GH006: protected"), "{error}");
}

/// Fills the place where new objects would go.
fn fill(objects: &Path) {
    for number in 0..=255 {
        let folder = objects.join(format!("{number:02x}"));
        if folder.is_dir() {
            std::fs::rename(&folder, objects.join(format!("{number:02x}-away"))).unwrap();
        }
        std::fs::write(folder, "").unwrap();
    }
    for name in ["pack", "info"] {
        let _ = std::fs::rename(objects.join(name), objects.join(format!("{name}-away")));
        std::fs::write(objects.join(name), "").unwrap();
    }
}

fn empty(objects: &Path) {
    for name in (0..=255).map(|number| format!("{number:02x}")).chain(["pack".to_owned(), "info".to_owned()]) {
        let (folder, away) = (objects.join(&name), objects.join(format!("{name}-away")));
        std::fs::remove_file(&folder).unwrap();
        if away.exists() {
            std::fs::rename(away, folder).unwrap();
        }
    }
}

#[tokio::test]
async fn no_room_for_a_commit() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let objects = here.path.join(".git/objects");
    let error = fails_and_recovers(&remote, &here, || fill(&objects), || empty(&objects)).await;
    assert!(error.contains("`git hash-object`"), "{error}");
}

/// Lets the other side of the repository be this script.
fn received_by(remote: &Remote, here: &Clone, text: &str) {
    let receiver = remote.at("receiver");
    script(&receiver, text);
    here.git(&["config", "remote.origin.receivepack", &receiver.display().to_string()]);
}

fn received_as_ever(here: &Clone) {
    here.git(&["config", "--unset", "remote.origin.receivepack"]);
}

#[tokio::test]
async fn no_room_at_the_remote() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let full = || received_by(&remote, &here, "ulimit -f 0; exec git-receive-pack \"$@\"");
    fails_and_recovers(&remote, &here, full, || received_as_ever(&here)).await;
}

#[tokio::test]
async fn a_branch_that_is_locked_at_the_remote() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let lock = remote.path.join("refs/heads").join(format!("{BRANCH}.lock"));
    let locked = || std::fs::write(&lock, "").unwrap();
    let error = fails_and_recovers(&remote, &here, locked, || std::fs::remove_file(&lock).unwrap()).await;
    assert!(error.contains("[remote rejected]"), "{error}");
}

#[tokio::test]
async fn a_push_that_is_killed_has_changed_nothing() {
    let remote = Remote::new();
    let here = remote.clone("here");
    // The group that Git runs in.
    let kills = || received_by(&remote, &here, "kill -9 0");
    let error = fails_and_recovers(&remote, &here, kills, || received_as_ever(&here)).await;
    assert!(error.ends_with("`git push`: it was killed"), "{error}");
}

#[tokio::test]
async fn a_push_whose_answer_is_lost_is_done() {
    let remote = Remote::new();
    let here = remote.clone("here");
    written_by(&here, &["PF1"]).await;
    let mut store = loaded(&here).await;
    // The other side does all, and dies before it says so.
    let hook = remote.path.join("hooks/post-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    script(&hook, "kill -9 $PPID");
    store.save(&ledger(&["PF1", "PF2"]), "ours").await.unwrap();
    std::fs::remove_file(&hook).unwrap();
    assert_eq!(load(&here).await, Some(ledger(&["PF1", "PF2"])));
    store.save(&ledger(&["PF2"]), "ours again").await.unwrap();
}

#[tokio::test]
async fn a_run_that_died_leaves_nothing_in_the_way_of_the_next() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let first = written_by(&here, &["PF1"]).await;
    // Locks that a killed Git leaves behind.
    let tracking = here.path.join(".git/refs/apgit/origin").join(format!("{BRANCH}.lock"));
    std::fs::create_dir_all(tracking.parent().unwrap()).unwrap();
    std::fs::write(&tracking, "").unwrap();
    std::fs::write(here.path.join(".git/index.lock"), "").unwrap();
    assert_eq!(load(&here).await, Some(first));
    written_by(&here, &["PF2"]).await;
    written_by(&remote.clone("there"), &["PF3"]).await;
    assert_eq!(load(&here).await, Some(ledger(&["PF3"])));
}

/// Puts whatever is in the work tree into the branch.
fn put(remote: &Remote, there: &Clone, deed: &[&[&str]]) {
    for words in deed {
        there.git(words);
    }
    there.git(&["commit", "-q", "-a", "--allow-empty", "-m", "by hand"]);
    there.git(&["push", "-q", "origin", &format!("HEAD:refs/heads/{BRANCH}")]);
    assert!(remote.head(BRANCH).is_some());
}

#[tokio::test]
async fn what_is_no_ledger_is_named_and_can_be_written_over() {
    let remote = Remote::new();
    let here = remote.clone("here");
    written_by(&here, &["PF1"]).await;
    let there = remote.clone_with("there", &["-b", BRANCH]);
    let good = std::fs::read_to_string(there.path.join("ledger.json")).unwrap();
    let edited = good.replace("OSL-STD", "BER-STD");
    let cases: [(&str, &[u8], &str); 5] = [
        ("edited by hand", edited.as_bytes(), "somebody has edited it"),
        ("garbage", b"<<<<<<< ours\n", "expected value"),
        ("of another time", b"{\"format\": \"apgit.ledger/v9\"}", ""),
        ("no text", b"\xff\xfe{\0", "`ledger.json` is no text"),
        ("empty", b"", "EOF"),
    ];
    let check = async |what: &str, reason: &str| {
        let mut store = store(&here);
        let error = store.load().await.unwrap_err();
        assert!(matches!(error, LedgerError::Format { .. }), "{what}: {error}");
        let error = error.to_string();
        let all = [&format!("the ledger `origin/{BRANCH}` cannot be used: "), reason, "`apgit ledger import`"];
        assert!(all.iter().all(|part| error.contains(*part)), "{what}: {error}");
        store
    };
    for (what, bytes, reason) in cases {
        there.write("ledger.json", bytes);
        put(&remote, &there, &[]);
        check(what, reason).await;
    }
    put(&remote, &there, &[&["rm", "-q", "-f", "ledger.json"]]);
    check("no file", "there is no `ledger.json` in it").await;
    there.write("ledger.json/inner", "x");
    put(&remote, &there, &[&["add", "ledger.json/inner"]]);
    let mut store = check("a folder", "`ledger.json` is no file").await;
    store.save(&ledger(&["PF7"]), "imported").await.unwrap();
    assert_eq!(load(&here).await, Some(ledger(&["PF7"])));
    there.git(&["pull", "-q", "--rebase", "origin", BRANCH]);
    std::fs::remove_file(there.path.join("ledger.json")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", there.path.join("ledger.json")).unwrap();
    put(&remote, &there, &[]);
    let mut store = check("a link", "`ledger.json` is no file").await;
    store.save(&ledger(&["PF8"]), "imported").await.unwrap();
    assert_eq!(load(&here).await, Some(ledger(&["PF8"])));
}

#[tokio::test]
async fn line_ends_of_windows_change_nothing() {
    let remote = Remote::new();
    let here = remote.clone("here");
    let ours = written_by(&here, &["PF1"]).await;
    let there = remote.clone_with("there", &["-b", BRANCH]);
    let text = std::fs::read_to_string(there.path.join("ledger.json")).unwrap();
    there.write("ledger.json", text.replace('\n', "\r\n"));
    put(&remote, &there, &[]);
    assert_eq!(load(&here).await, Some(ours));
    // Where Git itself turns them, what we write is not turned.
    here.git(&["config", "core.autocrlf", "true"]);
    here.write(".gitattributes", "* text eol=crlf\n");
    written_by(&here, &["PF2"]).await;
    let stored = remote.git(&["cat-file", "blob", &format!("{BRANCH}:ledger.json")]);
    assert!(!stored.contains('\r') && stored.contains("PF2"));
}

#[tokio::test]
async fn no_error_shows_a_credential_and_nobody_is_asked_for_one() {
    let remote = Remote::new();
    let here = remote.clone("here");
    // A server that wants to know who is there.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let (Ok(mut stream), mut request) = (stream, [0; 4096]) else { return };
            use std::io::{Read as _, Write as _};
            let _ = stream.read(&mut request);
            let head = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n";
            let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes());
        }
    });
    here.git(&["config", "credential.helper", ""]);
    here.git(&["config", "http.proxy", ""]);
    for user in ["", "sec-token@", "me:sec-token@"] {
        here.git(&["remote", "set-url", "origin", &format!("http://{user}{address}/x.git")]);
        let error = store(&here).load().await.unwrap_err().to_string();
        assert!(error.contains("cannot read the ledger") && !error.contains("sec-token"), "{user}: {error}");
    }
}
