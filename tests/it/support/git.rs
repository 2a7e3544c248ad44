//! Repositories of Git: a bare one that others push to, and clones of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use apgit::door::git::{Found, Repository};

use super::Folder;

/// Runs `git` in a folder, as somebody whose own configuration is not asked.
fn command(folder: &Path, words: &[&str]) -> Output {
    let mut git = Command::new("git");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(name);
    }
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    git.args(["-c", "user.name=Tester", "-c", "user.email=tester@localhost", "-c", "protocol.file.allow=always"]);
    git.arg("-C").arg(folder).args(words).output().expect("git is here")
}

/// What `git` says in a folder, without the line's end.
#[track_caller]
pub fn git(folder: &Path, words: &[&str]) -> String {
    let output = command(folder, words);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "git {words:?}: {out}{err}");
    out.trim_end().to_owned()
}

/// A bare repository, and the folder where clones of it are.
pub struct Remote {
    folder: Folder,
    pub path: PathBuf,
}

/// A work tree.
pub struct Clone {
    pub path: PathBuf,
}

impl Remote {
    /// With one commit on `main`.
    pub fn new() -> Self {
        let remote = Self::empty("shared.git");
        let first = remote.clone("first");
        first.commit("devices/oslo.yaml", "# none yet\n");
        first.git(&["push", "-q", "origin", "main"]);
        remote
    }

    /// Without any commit.
    pub fn empty(name: &str) -> Self {
        let folder = Folder::quick();
        let path = folder.at(name);
        std::fs::create_dir(&path).expect("a folder in it");
        git(&path, &["init", "-q", "--bare", "-b", "main"]);
        Self { folder, path }
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// Any other place in the folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.at(name)
    }

    pub fn clone(&self, name: &str) -> Clone {
        self.clone_with(name, &[])
    }

    pub fn clone_with(&self, name: &str, words: &[&str]) -> Clone {
        let url = self.url();
        let words = [&["clone", "-q"], words, &[&url, name]].concat();
        git(self.folder.path(), &words);
        Clone { path: self.at(name) }
    }

    #[track_caller]
    pub fn git(&self, words: &[&str]) -> String {
        git(&self.path, words)
    }

    /// What a branch is at, if there is one.
    pub fn head(&self, branch: &str) -> Option<String> {
        let out = self.git(&["for-each-ref", "--format=%(objectname)", &format!("refs/heads/{branch}")]);
        (!out.is_empty()).then_some(out)
    }
}

impl Clone {
    #[track_caller]
    pub fn git(&self, words: &[&str]) -> String {
        git(&self.path, words)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder in it");
        std::fs::write(path, text).expect("a file in it");
    }

    /// Writes a file and commits it: the commit.
    pub fn commit(&self, name: &str, text: &str) -> String {
        self.write(name, text);
        self.git(&["add", "--", name]);
        self.git(&["commit", "-q", "-m", name]);
        self.git(&["rev-parse", "HEAD"])
    }

    #[track_caller]
    pub fn repository(&self) -> Repository {
        match Repository::find(&self.path) {
            Ok(Found::Repository(repository)) => repository,
            other => panic!("{other:?}"),
        }
    }

    /// All that is the user's own: what is checked out, staged, branched and
    /// stashed, and the configuration.
    pub fn users(&self) -> Vec<String> {
        let index = std::fs::read(self.path.join(".git/index")).unwrap_or_default();
        let text = |name: &str| std::fs::read_to_string(self.path.join(name)).unwrap_or_default();
        vec![
            format!("{index:?}"),
            self.git(&["status", "--porcelain", "--untracked-files=all", "--ignored"]),
            self.git(&["for-each-ref", "refs/heads", "refs/stash", "refs/tags"]),
            [".git/HEAD", ".git/config", ".git/FETCH_HEAD", ".git/ORIG_HEAD", ".git/logs/HEAD"].map(text).concat(),
        ]
    }
}
