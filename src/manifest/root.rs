//! The repository that a path is of: where it begins, and what in it may be
//! followed. A branch can hold links to anywhere, so a link is followed only to
//! what the same branch could have held itself.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use super::ignored::{Ignored, Patterns, WILDCARDS_MAX};
use crate::program;

/// The repository: paths may lead anywhere in it, and not out.
#[derive(Debug)]
pub(super) struct Root {
    /// With all symbolic links resolved.
    pub path: PathBuf,
    /// Whether it is a Git repository.
    pub is_git: bool,
    /// What Git holds, once it was asked.
    held: OnceLock<Option<HashSet<PathBuf>>>,
}

/// Why a path is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Astray {
    /// There is nothing.
    Missing,
    /// It is out of the repository.
    Outside,
    /// It is among Git's own files.
    Git,
    /// A link leads to a file that Git does not hold.
    Untracked,
    /// A link leads to a file of which Git does not say whether it holds it.
    Unknown,
}

impl Astray {
    /// What is wrong with a link, and what to do.
    pub(super) fn of_link(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Missing => ("dead-link", "this symbolic link leads nowhere", "remove it, or correct where it leads"),
            Self::Outside => (
                "symlink-outside",
                "this symbolic link leads out of the repository",
                "put the file into the repository itself",
            ),
            Self::Git => (
                "symlink-git",
                "this symbolic link leads to Git's own files",
                "put the file into the repository itself",
            ),
            Self::Untracked => (
                "symlink-untracked",
                "this symbolic link leads to a file that is not in Git",
                "`git add` what it leads to, or name that itself",
            ),
            Self::Unknown => (
                "symlink-unknown",
                "this symbolic link is not followed: Git does not say whether it holds the file there",
                "see that `git ls-files` works here, or put the file into the link's place",
            ),
        }
    }
}

/// Why a file that the command line names is not read, and what to do: a link on
/// the way to it leads out of the repository that it stands in, or to Git's own
/// files. A branch may have placed it.
#[must_use]
pub(crate) fn leads_astray(file: &Path) -> Option<(&'static str, &'static str)> {
    let astray = match Root::of(file) {
        Ok((real, root)) => root.holds(&real).err(),
        Err(astray) => Some(astray),
    };
    let (_, what, hint) = astray.filter(|astray| *astray != Astray::Missing)?.of_link();
    Some((what, hint))
}

impl Root {
    fn new(path: PathBuf, is_git: bool) -> Self {
        Self { path, is_git, held: OnceLock::new() }
    }

    /// The root of nothing, until there is one.
    pub(super) fn none() -> Self {
        Self::new(PathBuf::from("."), false)
    }

    /// Follows a path as it was typed: where it leads, and the repository that
    /// it is of. That is the nearest folder with a `.git` on the way, else the
    /// folder itself, or that of a file. A link on the way may not lead out of
    /// the repository that it stands in.
    pub(super) fn of(typed: &Path) -> Result<(PathBuf, Self), Astray> {
        // A variable that is not set is not the folder at hand.
        if typed.as_os_str().is_empty() {
            return Err(Astray::Missing);
        }
        let mut here = match typed.is_absolute() {
            true => PathBuf::new(),
            false => std::env::current_dir().and_then(|folder| folder.canonicalize()).map_err(|_| Astray::Missing)?,
        };
        let mut root = repository(&here);
        // Where the last part of the way stands.
        let mut folder = here.clone();
        for part in typed.components() {
            match part {
                Component::Prefix(_) | Component::RootDir => here.push(part),
                Component::CurDir => {}
                Component::ParentDir => {
                    here.pop();
                    root = repository(&here);
                }
                Component::Normal(name) => {
                    let next = here.join(name);
                    folder.clone_from(&here);
                    here = next.canonicalize().map_err(|_| Astray::Missing)?;
                    let is_link = next.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
                    if is_link && root.as_ref().is_some_and(|root| !here.starts_with(root)) {
                        return Err(Astray::Outside);
                    }
                    root = if is_link { repository(&here) } else { own(&here).or(root) };
                }
            }
        }
        let is_dir = here.is_dir();
        let root = match root {
            Some(root) => Self::new(root, true),
            None if is_dir => Self::new(here.clone(), false),
            None => Self::new(folder.canonicalize().map_err(|_| Astray::Missing)?, false),
        };
        match here.starts_with(&root.path) {
            true => Ok((here, root)),
            false => Err(Astray::Outside),
        }
    }

    /// What Git itself would leave out, as far as the repository's top
    /// `.gitignore` says.
    pub(super) fn ignored(&self) -> Option<Arc<Patterns>> {
        Ignored::default().of(&self.path, ".gitignore", WILDCARDS_MAX).ok().flatten()
    }

    /// Whether a real path is in the repository, and not among Git's own files.
    pub(super) fn holds(&self, real: &Path) -> Result<(), Astray> {
        let inside = real.strip_prefix(&self.path).map_err(|_| Astray::Outside)?;
        let is_gits = |part: Component<'_>| part.as_os_str().eq_ignore_ascii_case(".git");
        if inside.components().any(is_gits) { Err(Astray::Git) } else { Ok(()) }
    }

    /// Whether a file may be read. One that a link led to must be one that Git
    /// holds: of what else lies around in a work tree, no branch may show a line.
    pub(super) fn lets_read(&self, real: &Path, is_linked: bool) -> Result<(), Astray> {
        self.holds(real)?;
        if !is_linked || !self.is_git || !is_repository(&self.path) {
            return Ok(());
        }
        let Some(held) = self.held.get_or_init(|| held(&self.path)) else { return Err(Astray::Unknown) };
        let inside = real.strip_prefix(&self.path).unwrap_or(real);
        if held.contains(inside) { Ok(()) } else { Err(Astray::Untracked) }
    }
}

/// The nearest folder from here upwards that has a `.git`.
fn repository(here: &Path) -> Option<PathBuf> {
    here.ancestors().find_map(own)
}

fn own(folder: &Path) -> Option<PathBuf> {
    let has_git = !folder.as_os_str().is_empty() && folder.join(".git").exists();
    has_git.then(|| folder.canonicalize().unwrap_or_else(|_| folder.to_owned()))
}

/// A `.git` without a head is no repository to Git either: an empty folder marks
/// a root, and holds nothing.
fn is_repository(root: &Path) -> bool {
    let git = root.join(".git");
    git.is_file() || git.join("HEAD").exists()
}

/// A million files with long names.
const HELD_BYTES_MAX: u64 = 256 << 20;

/// Everything that Git holds, from the root. `None` if it does not say.
fn held(root: &Path) -> Option<HashSet<PathBuf>> {
    /// What Git needs of the environment, and nothing that is a secret.
    const KEPT: [&str; 6] =
        ["HOME", "XDG_CONFIG_HOME", "USERPROFILE", "SYSTEMROOT", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"];
    let kept = KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    let mut command = Command::new(program::find("git")?);
    command
        .args(["-c", "core.fsmonitor=false", "ls-files", "-z", "--cached", "--full-name"])
        .current_dir(root)
        .env_clear()
        .envs(kept)
        .envs(program::path().map(|path| ("PATH", path)))
        .env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(root))
        .env("GIT_OPTIONAL_LOCKS", "0");
    let output = program::run(&mut command, Vec::new(), program::TIME_MAX, HELD_BYTES_MAX, &|| false).ok()?;
    if !output.status.success() {
        return None;
    }
    let path = |name: &[u8]| PathBuf::from(os_string(name));
    Some(output.out.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(path).collect())
}

#[cfg(unix)]
fn os_string(name: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(name.to_vec())
}

#[cfg(not(unix))]
fn os_string(name: &[u8]) -> OsString {
    String::from_utf8_lossy(name).into_owned().into()
}
