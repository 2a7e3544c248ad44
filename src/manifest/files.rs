//! Folders and files: which files are read, and where a reference leads.
//!
//! Of everything in `manifest`, only this file and `hashes.rs` touch a disk.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use ignore::WalkBuilder;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::problem::{Place, Problem, Spot};

/// Manifests larger than this are somebody's mistake.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A file with manifests.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// As a person would name it.
    pub name: Arc<str>,
    /// With all symbolic links resolved.
    pub path: PathBuf,
}

/// The repository: paths may lead anywhere in it, and not out.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// With all symbolic links resolved.
    pub path: PathBuf,
    /// Whether it is a Git repository.
    pub is_git: bool,
}

impl Root {
    /// The nearest folder above `path` that has a `.git`, else `path` itself,
    /// or its folder if it is a file.
    fn of(path: &Path) -> Self {
        let start = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        match start.ancestors().find(|folder| folder.join(".git").exists()) {
            Some(folder) => Self { path: folder.to_owned(), is_git: true },
            None => Self { path: start.to_owned(), is_git: false },
        }
    }

    /// Whether Git itself would leave this file out, as far as the
    /// repository's top `.gitignore` says.
    pub(super) fn ignored(&self) -> Gitignore {
        let mut builder = GitignoreBuilder::new(&self.path);
        builder.add(self.path.join(".gitignore"));
        builder.build().unwrap_or_else(|_| Gitignore::empty())
    }
}

/// Everything that is to be read.
pub(super) struct Found {
    pub files: Vec<File>,
    pub root: Root,
    pub problems: Vec<Problem>,
}

/// Finds the manifests under `paths`, each once, sorted by name.
pub(super) fn find(paths: &[PathBuf]) -> Found {
    let mut found =
        Found { files: Vec::new(), root: Root { path: PathBuf::from("."), is_git: false }, problems: vec![] };
    let mut first = true;
    for path in paths {
        let Ok(real) = path.canonicalize() else {
            let hint = "check the spelling; folders and files may be named";
            found.problems.push(Problem::error("no-such-path", "this path does not exist", bare(path)).hint(hint));
            continue;
        };
        let root = Root::of(&real);
        if first {
            found.root = root;
            first = false;
        } else if root.path != found.root.path {
            let hint = "run once per repository";
            let message = "this path belongs to another repository than the first one";
            found.problems.push(Problem::error("other-repository", message, bare(path)).hint(hint));
            continue;
        }
        if real.is_dir() {
            folder(path, &mut found);
        } else {
            found.files.push(File { name: name(path), path: real });
        }
    }
    found.files.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    let mut seen = std::collections::HashSet::new();
    found.files.retain(|file| seen.insert(file.path.clone()));
    found
}

fn folder(path: &Path, found: &mut Found) {
    let outside: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
    let root = found.root.path.clone();
    let seen = Arc::clone(&outside);
    let walk = WalkBuilder::new(path)
        .standard_filters(false)
        .hidden(true)
        .parents(true)
        .git_ignore(true)
        .require_git(false)
        .add_custom_ignore_filename(".apgitignore")
        .follow_links(true)
        .filter_entry(move |entry| {
            if !entry.path_is_symlink() || entry.depth() == 0 {
                return true;
            }
            let inside = entry.path().canonicalize().is_ok_and(|real| real.starts_with(&root));
            if !inside && (entry.path().is_dir() || is_manifest(entry.path())) {
                seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(entry.path().to_owned());
            }
            inside
        })
        .build();
    for entry in walk {
        match entry {
            Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) && is_manifest(entry.path()) => {
                match entry.path().canonicalize() {
                    Ok(real) => found.files.push(File { name: name(entry.path()), path: real }),
                    Err(error) => found.problems.push(unreadable(entry.path(), &error)),
                }
            }
            Ok(_) => {}
            Err(error) => {
                let problem = Problem::error("unreadable", format!("a folder cannot be read: {error}"), bare(path));
                found.problems.push(problem);
            }
        }
    }
    for link in outside.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
        let message = "this symbolic link leads out of the repository";
        found.problems.push(
            Problem::error("symlink-outside", message, bare(link)).hint("put the file into the repository itself"),
        );
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case("yaml") || ext.eq_ignore_ascii_case("yml"))
}

/// The text of a file.
pub(super) fn read(file: &File) -> Result<String, Problem> {
    let size = std::fs::metadata(&file.path).map_or(0, |meta| meta.len());
    if size > MAX_FILE_BYTES {
        let message = format!("the file has {size} bytes, more than {MAX_FILE_BYTES}");
        return Err(Problem::error("file-too-large", message, bare(Path::new(&*file.name))).hint("split it"));
    }
    let bytes = std::fs::read(&file.path).map_err(|error| unreadable(Path::new(&*file.name), &error))?;
    String::from_utf8(bytes).map_err(|_| {
        Problem::error("not-utf8", "the file is not text in UTF-8", bare(Path::new(&*file.name)))
            .hint("save it as UTF-8; PowerShell: `Set-Content -Encoding utf8`")
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::error("unreadable", format!("the file cannot be read: {error}"), bare(path))
}

/// A path as a place without a text.
fn bare(path: &Path) -> Spot {
    Spot { place: Place { file: name(path), line: 1, column: 1 }, excerpt: None }
}

/// A path as a person reads it: `/` between folders, no `./` before it.
fn name(path: &Path) -> Arc<str> {
    let text = path.to_string_lossy().replace('\\', "/");
    let text = text.strip_prefix("./").unwrap_or(&text);
    text.into()
}

/// Why a path of a hash reference leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dead {
    pub code: &'static str,
    pub message: String,
    pub hint: &'static str,
}

/// Follows the relative paths of one manifest.
pub(super) struct Resolver<'r> {
    root: &'r Root,
    /// The manifest's own folder.
    folder: PathBuf,
    parents: HashMap<PathBuf, Option<PathBuf>>,
    /// What was followed before: a CSV is named by many devices.
    known: HashMap<PathBuf, Result<PathBuf, Dead>>,
}

impl<'r> Resolver<'r> {
    pub(super) fn new(root: &'r Root, manifest: &Path) -> Self {
        let folder = manifest.parent().unwrap_or(&root.path).to_owned();
        Self { root, folder, parents: HashMap::new(), known: HashMap::new() }
    }

    /// The path from the repository's root to an existing file.
    pub(super) fn follow(&mut self, relative: &Path) -> Result<PathBuf, Dead> {
        if let Some(known) = self.known.get(relative) {
            return known.clone();
        }
        let result = self.follow_new(relative);
        self.known.insert(relative.to_owned(), result.clone());
        result
    }

    fn follow_new(&mut self, relative: &Path) -> Result<PathBuf, Dead> {
        let outside = || Dead {
            code: "path-outside",
            message: "this path leads out of the repository".into(),
            hint: "hashes stand in the repository, or outside of Git in a vault, a Secret or a variable",
        };
        let missing = |path: &Path| Dead {
            code: "no-such-file",
            message: format!("there is no file `{}`", super::problem::show(&path.to_string_lossy())),
            hint: "the path is relative to this manifest",
        };
        let mut path = self.folder.clone();
        for part in relative.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) => path.push(name),
                Component::ParentDir => {
                    if path == self.root.path || !path.pop() {
                        return Err(outside());
                    }
                }
                Component::RootDir | Component::Prefix(_) => return Err(outside()),
            }
        }
        let (Some(parent), Some(file)) = (path.parent(), path.file_name()) else { return Err(outside()) };
        let real = self
            .parents
            .entry(parent.to_owned())
            .or_insert_with(|| parent.canonicalize().ok())
            .clone()
            .ok_or_else(|| missing(relative))?
            .join(file);
        let meta = std::fs::symlink_metadata(&real).map_err(|_| missing(relative))?;
        let real = if meta.is_symlink() { real.canonicalize().map_err(|_| missing(relative))? } else { real };
        let inside = real.strip_prefix(&self.root.path).map_err(|_| outside())?;
        if meta.is_dir() {
            return Err(missing(relative));
        }
        Ok(inside.to_owned())
    }
}
