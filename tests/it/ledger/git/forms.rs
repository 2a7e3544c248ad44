//! All the forms in which a repository may be here.

use apgit::door::ledger::{GitLedger, LedgerError, LedgerStore as _};

use super::{BRANCH, load, loaded, written_by};
use crate::ledger::document::ledger;
use crate::support::{Clone, Remote, git};

/// Writes from there and from another machine in turn, and each reads the other.
async fn works(remote: &Remote, here: &Clone) {
    let other = remote.clone("other");
    written_by(here, &["PF1"]).await;
    assert_eq!(load(&other).await, Some(ledger(&["PF1"])));
    let mut early = loaded(here).await;
    written_by(&other, &["PF1", "PF2"]).await;
    assert!(matches!(early.save(&ledger(&["PF9"]), "late").await, Err(LedgerError::Moved { .. })));
    assert_eq!(load(here).await, Some(ledger(&["PF1", "PF2"])));
    written_by(here, &["PF3"]).await;
    assert_eq!(load(&other).await, Some(ledger(&["PF3"])));
}

#[tokio::test]
async fn a_repository_without_commits() {
    let remote = Remote::empty("shared.git");
    let here = remote.clone("here");
    assert_eq!(here.repository().head().unwrap(), None);
    works(&remote, &here).await;
    assert_eq!(here.repository().head().unwrap(), None);
}

#[tokio::test]
async fn a_shallow_clone_and_one_of_a_single_branch() {
    let remote = Remote::new();
    remote.clone("more").git(&["commit", "-q", "--allow-empty", "-m", "more"]);
    let here = remote.clone_with("here", &["--depth=1", "--single-branch"]);
    let before = std::fs::read_to_string(here.path.join(".git/shallow")).unwrap_or_default();
    works(&remote, &here).await;
    assert_eq!(std::fs::read_to_string(here.path.join(".git/shallow")).unwrap_or_default(), before);
}

#[tokio::test]
async fn a_clone_without_blobs() {
    let remote = Remote::new();
    remote.git(&["config", "uploadpack.allowFilter", "true"]);
    let here = remote.clone_with("here", &["--filter=blob:none", "--no-checkout"]);
    works(&remote, &here).await;
}

#[tokio::test]
async fn a_detached_head() {
    let remote = Remote::new();
    let here = remote.clone("here");
    here.git(&["checkout", "-q", "--detach"]);
    assert_eq!(here.repository().remote().unwrap().as_deref(), Some("origin"));
    works(&remote, &here).await;
}

#[tokio::test]
async fn a_linked_worktree() {
    let remote = Remote::new();
    let main = remote.clone("main");
    let linked = remote.at("linked").display().to_string();
    main.git(&["worktree", "add", "-q", "-b", "side", &linked]);
    let here = Clone { path: remote.at("linked") };
    assert_eq!(here.repository().root(), here.path.canonicalize().unwrap());
    works(&remote, &here).await;
}

#[tokio::test]
async fn names_with_blanks_and_letters_of_other_alphabets() {
    let remote = Remote::empty("Geräte für Zürich.git");
    let here = remote.clone("Zürich 東京 'x'");
    here.commit("Geräte/oslo laptops.yaml", "# none\n");
    works(&remote, &here).await;
    let paths = [here.path.join("Geräte"), here.path.join("Geräte/oslo laptops.yaml")];
    assert!(!here.repository().revision(&paths).unwrap().dirty);
    here.write("Geräte/oslo laptops.yaml", "# some\n");
    assert!(here.repository().revision(&paths).unwrap().dirty);
}

#[tokio::test]
async fn the_ledger_is_where_is_pushed_to() {
    let (remote, fork) = (Remote::new(), Remote::empty("fork.git"));
    let here = remote.clone("here");
    here.git(&["remote", "set-url", "--push", "origin", &fork.url()]);
    written_by(&here, &["PF1"]).await;
    assert_eq!((remote.head(BRANCH), load(&here).await), (None, Some(ledger(&["PF1"]))));
    written_by(&here, &["PF2"]).await;
    assert_eq!(load(&fork.clone("there")).await, Some(ledger(&["PF2"])));
    here.git(&["remote", "set-url", "--push", "--add", "origin", &remote.url()]);
    let error = super::store(&here).load().await.unwrap_err().to_string();
    assert!(error.contains("`origin` is pushed to more than one address"), "{error}");
    let error = GitLedger::new(here.repository(), "nowhere", BRANCH).load().await.unwrap_err().to_string();
    assert!(error.contains("No such remote 'nowhere'"), "{error}");
}

#[tokio::test]
async fn settings_of_the_user_bring_nothing_else_along() {
    let remote = Remote::new();
    let (here, there) = (remote.clone("here"), remote.clone("there"));
    here.git(&["tag", "-a", "-m", "x", "mine"]);
    there.git(&["tag", "theirs"]);
    there.git(&["push", "-q", "origin", "theirs", "main:other"]);
    let settings = [
        ("push.followTags", "true"),
        ("fetch.prune", "true"),
        ("fetch.pruneTags", "true"),
        ("remote.origin.tagOpt", "--tags"),
        ("core.splitIndex", "true"),
        ("core.logAllRefUpdates", "always"),
        ("push.default", "nothing"),
        ("i18n.commitEncoding", "ISO-8859-1"),
    ];
    for (name, value) in settings {
        here.git(&["config", name, value]);
    }
    let refs = |clone: &Clone| clone.git(&["for-each-ref", "refs/heads", "refs/tags"]);
    let before = (refs(&here), git(&remote.path, &["for-each-ref", "refs/tags"]));
    works(&remote, &here).await;
    assert_eq!((refs(&here), git(&remote.path, &["for-each-ref", "refs/tags"])), before);
    let remotes = here.git(&["for-each-ref", "--format=%(refname)", "refs/remotes"]);
    assert!(!remotes.contains("origin/other"), "{remotes}");
}
