//! Git, through the `git` command: which repository a path is of, what is checked
//! out there, what came before what. It reads, and never changes what is checked
//! out, staged or stashed.
//!
//! All of it waits for other processes: whoever must not wait asks from a thread
//! of its own.

mod command;
mod tree;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

pub(crate) use command::Call;
pub use command::GitError;
use command::{Git, os_string, plain};
pub(crate) use tree::Tree;

/// Any change is one: the first name of a file that has one is enough.
const STATUS_BYTES_MAX: u64 = 64 << 10;

/// A repository of Git with a work tree.
#[derive(Debug, Clone)]
pub struct Repository {
    git: Git,
}

/// What a path is of.
#[derive(Debug, Clone)]
pub enum Found {
    /// A repository.
    Repository(Repository),
    /// None: no folder on the way up is one.
    NoRepository,
    /// One, and there is no command `git` on the path to ask.
    NoCommand,
}

/// What is checked out at some paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Where the work tree begins, with all links resolved.
    pub root: PathBuf,
    /// The commit; `None` before the first.
    pub head: Option<String>,
    /// True if what lies there is not what that commit holds, files that Git does
    /// not know included.
    pub dirty: bool,
}

/// Whether one commit came before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// It did, or they are the same.
    Ancestor,
    /// It did not.
    Other,
    /// A commit is not here, or not all of what was before: a shallow clone, a
    /// history that was rewritten.
    Unknown,
}

/// As much as a listing of a large repository takes.
const LISTING_BYTES_MAX: u64 = 64 << 20;

/// The whole name of a commit. Names come from a ledger, and a ledger from anybody.
fn is_name(name: &str) -> bool {
    matches!(name.len(), 40 | 64) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// True if this is where a folder is, as Git says it.
fn is_at(said: &[u8], folder: &Path) -> bool {
    let there = PathBuf::from(os_string(said.strip_suffix(b"\n").unwrap_or(said)));
    let real = |path: &Path| path.canonicalize().ok();
    real(&there).is_some_and(|there| Some(there) == real(folder))
}

/// What stands between NULs.
fn entries(out: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    out.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).map(String::from_utf8_lossy)
}

/// True for a file that may hold declarations.
fn is_manifest(path: &str) -> bool {
    let extension = Path::new(path).extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|extension| ["yaml", "yml", "json"].contains(&extension.as_str()))
}

impl Repository {
    /// The repository whose work tree holds a path.
    ///
    /// # Errors
    /// When there is no such path, or Git refuses to work there.
    pub fn find(path: &Path) -> Result<Found, GitError> {
        let unreadable = |error: std::io::Error| GitError { command: "rev-parse", reason: error.to_string() };
        let real = path.canonicalize().map_err(unreadable)?;
        // A folder of that name without a head is no repository to Git either.
        let is_root = |folder: &&Path| folder.join(".git").exists();
        real.ancestors().find(is_root).map_or(Ok(Found::NoRepository), Self::at)
    }

    /// The repository whose work tree begins in this folder.
    fn at(root: &Path) -> Result<Found, GitError> {
        if !root.join(".git").is_file() && !root.join(".git/HEAD").exists() {
            return Ok(Found::NoRepository);
        }
        let Some(git) = Git::new(root) else { return Ok(Found::NoCommand) };
        let answer = git.call("rev-parse").args(["--show-toplevel"]).run()?;
        match answer.code {
            // Of files that lie elsewhere, nothing follows for those that are read.
            0 if !is_at(&answer.out, root) => {
                let there = String::from_utf8_lossy(&answer.out);
                let reason = format!("its work tree is at `{}`, not at `{}`", there.trim_end(), root.display());
                Err(GitError { command: "rev-parse", reason })
            }
            0 => Ok(Found::Repository(Self { git })),
            _ if answer.says("not a git repository") => Ok(Found::NoRepository),
            _ => Err(answer.error()),
        }
    }

    /// Where the work tree begins, with all links resolved.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.git.root()
    }

    /// The commit that is checked out; `None` before the first.
    ///
    /// # Errors
    /// When Git cannot say.
    pub fn head(&self) -> Result<Option<String>, GitError> {
        let answer = self.git.call("rev-parse").args(["--verify", "--quiet", "HEAD^{commit}"]).run()?;
        match answer.code {
            0 => Ok(Some(String::from_utf8_lossy(&answer.out).trim_end().to_owned())),
            1 => Ok(None),
            _ => Err(answer.error()),
        }
    }

    /// What is checked out at these paths, and whether they are as committed.
    ///
    /// # Errors
    /// When a path is out of the work tree, or Git cannot say.
    pub fn revision(&self, paths: &[PathBuf]) -> Result<Revision, GitError> {
        let inside = paths.iter().map(|path| self.inside(path)).collect::<Result<Vec<_>, _>>()?;
        let words = ["--porcelain=v1", "-z", "--untracked-files=all", "--ignore-submodules=none", "--"];
        let call = self.git.call("status").args(words).args(inside).at_most(STATUS_BYTES_MAX);
        // Of a tree with more changes than can be listed, one thing is known.
        let dirty = match call.run_within()? {
            Some(answer) if answer.code == 0 => !answer.out.is_empty(),
            Some(answer) => return Err(answer.error()),
            None => true,
        };
        Ok(Revision { root: self.root().to_owned(), head: self.head()?, dirty })
    }

    /// Who has written a commit, and who has made it: `Name <address>`.
    ///
    /// # Errors
    /// When Git cannot say.
    pub fn people(&self, commit: &str) -> Result<(String, String), GitError> {
        let words = ["-1", "--no-show-signature", "--format=%an <%ae>%n%cn <%ce>", commit, "--"];
        let said = self.call("log").args(words).line()?;
        let (author, committer) = said.split_once('\n').unwrap_or((&said, ""));
        Ok((author.to_owned(), committer.to_owned()))
    }

    /// In what the work tree is not what its commit holds, as far as Git looks;
    /// `None` if in nothing that could hold a declaration. What it was told to
    /// overlook is for [`Tree::unlike`].
    ///
    /// # Errors
    /// When Git cannot say.
    pub fn unlike_its_commit(&self) -> Result<Option<String>, GitError> {
        let words = ["--porcelain=v1", "-z", "--untracked-files=all", "--ignore-submodules=none"];
        let Some(status) = self.call("status").args(words).at_most(LISTING_BYTES_MAX).run_within()? else {
            return Ok(Some("there are more changes than can be listed".to_owned()));
        };
        if status.code != 0 {
            return Err(status.error());
        }
        for entry in entries(&status.out) {
            match entry.split_at_checked(3) {
                Some(("?? ", path)) if is_manifest(path) => return Ok(Some(format!("Git does not know `{path}`"))),
                Some(("?? ", _)) | None => {}
                Some((_, path)) => return Ok(Some(format!("`{path}` is not as it was committed"))),
            }
        }
        Ok(None)
    }

    /// A path from the root on, as Git takes it.
    fn inside(&self, path: &Path) -> Result<PathBuf, GitError> {
        let error = |reason| GitError { command: "status", reason };
        let real = plain(&path.canonicalize().map_err(|reason| error(reason.to_string()))?);
        let outside = || error(format!("`{}` is not in `{}`", path.display(), self.root().display()));
        let inside = real.strip_prefix(self.root()).map_err(|_| outside())?;
        Ok(if inside.as_os_str().is_empty() { PathBuf::from(".") } else { inside.to_owned() })
    }

    /// Whether the commit `first` came before the commit `last`, both by their
    /// whole names.
    ///
    /// # Errors
    /// When Git cannot say.
    pub fn ancestry(&self, first: &str, last: &str) -> Result<Ancestry, GitError> {
        if !is_name(first) || !is_name(last) {
            return Ok(Ancestry::Unknown);
        }
        let answer = self.git.call("merge-base").args(["--is-ancestor", first, last]).run()?;
        match answer.code {
            0 => Ok(Ancestry::Ancestor),
            // Where history was cut off, nothing follows from not finding it.
            1 if self.is_shallow()? => Ok(Ancestry::Unknown),
            1 => Ok(Ancestry::Other),
            _ if answer.says("Not a valid commit name") || answer.says("not a valid object") => Ok(Ancestry::Unknown),
            _ => Err(answer.error()),
        }
    }

    /// Which of these commits came before `last`, or are it.
    ///
    /// # Errors
    /// When Git cannot say.
    pub(crate) fn ancestries(
        &self,
        commits: HashSet<String>,
        last: &str,
    ) -> Result<HashMap<String, Ancestry>, GitError> {
        // Where history was cut off, nothing follows from not finding it.
        let others = if self.is_shallow()? { Ancestry::Unknown } else { Ancestry::Other };
        let mut all: HashMap<String, Ancestry> = commits.into_iter().map(|commit| (commit, others)).collect();
        let before = self.call("rev-list").args([last, "--"]).done()?;
        for commit in before.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
            if let Some(of) = all.get_mut(commit) {
                *of = Ancestry::Ancestor;
            }
        }
        Ok(all)
    }

    fn is_shallow(&self) -> Result<bool, GitError> {
        Ok(self.git.call("rev-parse").args(["--is-shallow-repository"]).line()? == "true")
    }

    /// The remote of the current branch, else `origin`, else the only one there is.
    ///
    /// # Errors
    /// When Git cannot say.
    pub fn remote(&self) -> Result<Option<String>, GitError> {
        let names = self.git.call("remote").line()?;
        let mut names: Vec<&str> = names.lines().collect();
        let tracked = self.tracked_remote()?;
        let is_there = |name: &&str| names.contains(name);
        let chosen = tracked.as_deref().filter(is_there).or(Some("origin").filter(is_there));
        match chosen {
            Some(name) => Ok(Some(name.to_owned())),
            None if names.len() == 1 => Ok(names.pop().map(str::to_owned)),
            None => Ok(None),
        }
    }

    /// The remote of the current branch, if it has one.
    fn tracked_remote(&self) -> Result<Option<String>, GitError> {
        let branch = self.git.call("symbolic-ref").args(["--quiet", "--short", "HEAD"]).run()?;
        if branch.code != 0 {
            return Ok(None);
        }
        let mut key = b"branch.".to_vec();
        key.extend(branch.out.trim_ascii_end());
        key.extend(b".remote");
        let remote = self.git.call("config").args(["--get".into(), os_string(&key)]).run()?;
        let is_set = remote.code == 0;
        Ok(is_set.then(|| String::from_utf8_lossy(&remote.out).trim_end().to_owned()))
    }

    /// Where a remote is, for all that reads and writes: its name, or the one
    /// address that is pushed to where that is another. What is read in one place
    /// and written in another would be two ledgers.
    pub(crate) fn address(&self, remote: &str) -> Result<String, GitError> {
        let read = self.git.call("remote").args(["get-url", "--all", "--", remote]).line()?;
        let written = self.git.call("remote").args(["get-url", "--push", "--all", "--", remote]).line()?;
        let mut addresses = written.lines();
        match (addresses.next(), addresses.next()) {
            (Some(one), None) if read.lines().next() == Some(one) => Ok(remote.to_owned()),
            (Some(one), None) => Ok(one.to_owned()),
            _ => Err(GitError { command: "remote", reason: format!("`{remote}` is pushed to more than one address") }),
        }
    }

    /// A command of Git in this repository.
    pub(crate) fn call(&self, name: &'static str) -> Call<'_> {
        self.git.call(name)
    }
}
