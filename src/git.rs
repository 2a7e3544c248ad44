//! Git, through the `git` command: which repository a path is of, what is checked
//! out there, what came before what. It reads, and never changes what is checked
//! out, staged or stashed.
//!
//! All of it waits for other processes: whoever must not wait asks from a thread
//! of its own.

mod command;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

pub(crate) use command::Call;
pub use command::GitError;
use command::{Git, os_string, plain};

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
        let Some(root) = real.ancestors().find(is_root) else { return Ok(Found::NoRepository) };
        if !root.join(".git").is_file() && !root.join(".git/HEAD").exists() {
            return Ok(Found::NoRepository);
        }
        let Some(git) = Git::new(root) else { return Ok(Found::NoCommand) };
        let answer = git.call("rev-parse").args(["--show-toplevel"]).run()?;
        match answer.code {
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

    /// In what the work tree is not what its commit holds, wherever in it; `None`
    /// if in nothing that could hold a declaration. What Git was told to overlook,
    /// and what is not checked out, is not what the commit holds.
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
        let flags = self.call("ls-files").args(["-v", "-z"]).at_most(LISTING_BYTES_MAX).run_within()?;
        let Some(flags) = flags else { return Ok(Some("there are more files than can be listed".to_owned())) };
        for entry in entries(&flags.out) {
            match entry.split_at_checked(2) {
                Some(("H ", _)) | None => {}
                Some((_, path)) if is_manifest(path) => {
                    return Ok(Some(format!("`{path}` is not checked out, or Git is told to overlook it")));
                }
                Some(_) => {}
            }
        }
        let links = self.call("ls-files").args(["-s", "-z"]).at_most(LISTING_BYTES_MAX).run_within()?;
        let Some(links) = links else { return Ok(Some("there are more files than can be listed".to_owned())) };
        for entry in entries(&links.out).filter(|entry| entry.starts_with("160000 ")) {
            let path = entry.split_once('\t').map_or("", |(_, path)| path);
            if !self.root().join(path).join(".git").exists() {
                return Ok(Some(format!("the submodule `{path}` is not checked out")));
            }
        }
        Ok(None)
    }

    /// The paths of a commit's files that have one of these texts in them, in any
    /// case of ASCII letters and whatever kind of file it is; `None` if nobody can
    /// say: the commit is not here, or there are too many.
    ///
    /// # Errors
    /// When Git cannot say.
    pub(crate) fn files_with(&self, commit: &str, texts: &[String]) -> Result<Option<Vec<String>>, GitError> {
        if !is_name(commit) {
            return Ok(None);
        }
        let texts = texts.iter().flat_map(|text| ["-e".to_owned(), text.clone()]);
        // What the repository says of a file's kind hides nothing in it.
        let call = self.call("grep").args(["--text", "-i", "-F", "-l", "-z", "--full-name"]).args(texts);
        match call.args([commit]).at_most(LISTING_BYTES_MAX).run_within()? {
            // It ends with 1 where nothing is found.
            Some(answer) if answer.code <= 1 => {
                let start = format!("{commit}:");
                let path = |named: Cow<'_, str>| named.strip_prefix(&start).unwrap_or(&named).to_owned();
                Ok(Some(entries(&answer.out).map(path).collect()))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// What a file of a commit holds; `None` if it cannot be read as text.
    ///
    /// # Errors
    /// When Git cannot say.
    pub(crate) fn content(&self, commit: &str, path: &str) -> Result<Option<String>, GitError> {
        let object = format!("{commit}:{path}");
        let answer = self.call("cat-file").args(["blob", &object]).at_most(LISTING_BYTES_MAX).run_within()?;
        Ok(answer.filter(|answer| answer.code == 0).and_then(|answer| String::from_utf8(answer.out).ok()))
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
