//! Folders and files: which files are read, and where a reference leads.
//!
//! Of everything in `manifest`, only this file, `root`, `walk`, `ignored`, `hashes`,
//! `left_out`, `program` and `decrypt` touch a disk.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::problem::{Place, Problem, Spot, show_path};
use super::root::{Astray, Root};
use super::walk::Walk;

/// Manifests larger than this are somebody's mistake.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A file with manifests.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// As a person would name it.
    pub name: Arc<str>,
    /// With all symbolic links resolved.
    pub path: PathBuf,
    /// What stands in it, where that is not what is on the disk.
    pub text: Option<Arc<str>>,
}

/// Everything that is to be read.
pub(super) struct Found {
    pub files: Vec<File>,
    pub root: Root,
    pub problems: Vec<Problem>,
}

/// Finds the manifests under `paths`, each once, sorted by name.
pub(super) fn find(paths: &[PathBuf]) -> Found {
    let mut problems = Vec::new();
    let mut root: Option<Root> = None;
    let mut ways = Vec::new();
    for path in paths {
        match Root::of(path) {
            Err(Astray::Missing) => {
                let hint = "check the spelling; folders and files may be named";
                problems.push(Problem::error("no-such-path", "this path does not exist", bare(path)).hint(hint));
            }
            Err(astray) => {
                let (code, message, _) = astray.of_link();
                let hint = "name what it leads to, if that is what is meant";
                problems.push(Problem::error(code, message, bare(path)).hint(hint));
            }
            Ok((_, of)) if root.as_ref().is_some_and(|root| root.path != of.path) => {
                let hint = "run once per repository";
                let message = "this path belongs to another repository than the first one";
                problems.push(Problem::error("other-repository", message, bare(path)).hint(hint));
            }
            Ok((real, of)) => {
                root.get_or_insert(of);
                ways.push((path, real));
            }
        }
    }
    let root = root.unwrap_or_else(Root::none);
    let mut walk = Walk::new(&root);
    for (path, real) in ways {
        if real.is_dir() {
            walk.folder(path, real);
        } else {
            named(path, real, &root, &mut walk);
        }
    }
    let Walk { mut files, problems: more, left_out, .. } = walk;
    problems.extend(more);
    problems.extend(left_out.told());
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.path.clone()));
    files.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    Found { files, root, problems }
}

/// A file that was named itself, whatever its name ends with.
fn named(path: &Path, real: PathBuf, root: &Root, walk: &mut Walk<'_>) {
    if !real.is_file() {
        let hint = "folders and files may be named";
        return walk.problems.push(Problem::error("not-a-file", "this is not a file", bare(path)).hint(hint));
    }
    let is_link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    match root.lets_read(&real, is_link) {
        Ok(()) => walk.files.push(File { name: name(path), path: real, text: None }),
        Err(astray) => walk.astray(path, astray),
    }
}

/// What manifests' names end with. JSON is YAML in another dress.
pub(super) fn is_manifest(path: &Path) -> bool {
    ends_with(path, "yaml") || ends_with(path, "yml") || is_json(path)
}

/// The name that somebody meant whose editor wrote `bergen.yaml.txt`.
pub(super) fn hidden_ending(path: &Path) -> Option<String> {
    let stem = Path::new(path.file_stem().filter(|_| ends_with(path, "txt"))?);
    is_manifest(stem).then(|| slashed(stem))
}

pub(super) fn is_json(path: &Path) -> bool {
    ends_with(path, "json")
}

fn ends_with(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

/// The text of a file.
pub(super) fn read(file: &File) -> Result<String, Problem> {
    if let Some(text) = &file.text {
        return Ok(text.to_string());
    }
    let meta = std::fs::metadata(&file.path).map_err(|error| unreadable(Path::new(&*file.name), &error))?;
    let size = meta.len();
    if size > MAX_FILE_BYTES {
        let message = format!("the file has {size} bytes, more than {MAX_FILE_BYTES}");
        return Err(Problem::error("file-too-large", message, bare(Path::new(&*file.name))).hint("split it"));
    }
    let bytes = std::fs::read(&file.path).map_err(|error| unreadable(Path::new(&*file.name), &error))?;
    if bytes.starts_with(b"version https://git-lfs.github.com/") {
        let message = "the file is a pointer of Git LFS, and not what it points at";
        let problem = Problem::error("lfs-pointer", message, bare(Path::new(&*file.name)));
        return Err(
            problem.hint("check out with LFS: `git lfs pull`; on GitHub Actions `lfs: true` of actions/checkout")
        );
    }
    String::from_utf8(bytes).map_err(|_| {
        Problem::error("not-utf8", "the file is not text in UTF-8", bare(Path::new(&*file.name)))
            .hint("save it as UTF-8; PowerShell: `Set-Content -Encoding utf8`")
    })
}

/// Why the bytes of a file are not read.
pub(super) enum Unread {
    NotAFile,
    TooLong,
    Failed(std::io::Error),
}

/// The bytes of a regular file, at most so many. Opening a pipe would wait for
/// whoever writes into it.
pub(super) fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>, Unread> {
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return Err(Unread::NotAFile);
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(Unread::Failed)?;
    if bytes.len() as u64 > limit { Err(Unread::TooLong) } else { Ok(bytes) }
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::error("unreadable", format!("the file cannot be read: {error}"), bare(path))
}

/// A path as a place without a text.
pub(super) fn bare(path: &Path) -> Spot {
    Spot { place: Place { file: name(path), line: 1, column: 1 }, excerpt: None }
}

/// A path as a person reads it: `/` between folders, no `./` before it.
pub(super) fn name(path: &Path) -> Arc<str> {
    let text = slashed(path);
    let text = text.strip_prefix("./").unwrap_or(&text);
    text.into()
}

/// A path with `/` between folders. A backslash stands between folders on Windows
/// only; elsewhere a name may have it, and such a file is in no other folder. Bytes
/// that are no text are written as `\xff`.
pub(super) fn slashed(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| _ = write!(text, "\\x{byte:02x}"));
    }
    if cfg!(windows) { text.replace('\\', "/") } else { text }
}

/// A file that a manifest names, as a person who named the manifest would write
/// it.
pub(super) fn beside(manifest: &str, relative: &Path) -> Arc<str> {
    let mut path = Path::new(manifest).parent().unwrap_or(Path::new("")).to_owned();
    for part in relative.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(path.components().next_back(), Some(Component::Normal(_))) => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    name(&path)
}

/// Said where nobody declares anything: whoever named these paths meant others.
pub(super) fn no_manifests(paths: &[PathBuf], files: usize) -> Option<Problem> {
    let (first, others) = paths.split_first()?;
    let here = if others.is_empty() { "here" } else { "in these paths" };
    let read = match files {
        0 => String::new(),
        1 => "; 1 file has other documents only".to_owned(),
        files => format!("; {files} files have other documents only"),
    };
    let hint = format!(
        "a manifest is a `.yaml`, `.yml` or `.json` file with `apiVersion: {}`, and no `.gitignore` or \
         `.apgitignore` leaves it out",
        crate::resource::API_VERSION
    );
    Some(Problem::error("no-manifests", format!("there is no manifest {here}{read}"), bare(first)).hint(hint))
}

/// Why a path of a hash reference leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dead {
    pub code: &'static str,
    pub message: String,
    pub hint: Cow<'static, str>,
}

/// So many names of a folder are held against one that is not there.
const ENTRIES_MAX: usize = 20_000;

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

    /// Where a path would lead: to tell two of them apart.
    pub(super) fn target(&self, relative: &Path) -> PathBuf {
        self.folder.join(relative)
    }

    fn follow_new(&mut self, relative: &Path) -> Result<PathBuf, Dead> {
        let outside = || Dead {
            code: "path-outside",
            message: "this path leads out of the repository".into(),
            hint: "hashes stand in the repository, encrypted if need be, or in a variable: `env: APGIT_HASH_…`".into(),
        };
        let folder = self.folder.clone();
        let missing = |path: &Path| Dead {
            code: "no-such-file",
            message: format!("there is no file `{}`", show_path(&path.to_string_lossy())),
            hint: match in_other_letters(&folder, path) {
                Some(meant) => format!("did you mean `{}`? small and capital letters differ", show_path(&meant)).into(),
                None => "the path is relative to this manifest".into(),
            },
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
        let astray = |astray| match astray {
            Astray::Outside | Astray::Missing => outside(),
            Astray::Git => Dead {
                code: "path-git",
                message: "this path leads to Git's own files".into(),
                hint: "put the file into the repository itself".into(),
            },
            Astray::Untracked | Astray::Unknown => {
                let (code, message, hint) = astray.of_link();
                Dead {
                    code,
                    message: message.replace("this symbolic link", "a symbolic link on this path"),
                    hint: hint.into(),
                }
            }
        };
        let is_linked = real != path;
        self.root.lets_read(&real, is_linked).map_err(astray)?;
        if real.is_dir() {
            return Err(missing(relative));
        }
        if !real.is_file() {
            let message = format!("`{}` is not a file", show_path(&relative.to_string_lossy()));
            return Err(Dead { code: "not-a-file", message, hint: "a hash stands in a file".into() });
        }
        Ok(real.strip_prefix(&self.root.path).unwrap_or(&real).to_owned())
    }
}

/// The same path in the letters that the folders of the repository have. Windows
/// takes either, and other systems do not.
fn in_other_letters(folder: &Path, relative: &Path) -> Option<String> {
    let mut here = folder.to_owned();
    let mut meant = PathBuf::new();
    for part in relative.components() {
        let Component::Normal(name) = part else {
            here.push(part);
            meant.push(part);
            continue;
        };
        let entries = || std::fs::read_dir(&here).into_iter().flatten().take(ENTRIES_MAX).flatten();
        let same = here.join(name).symlink_metadata().is_ok().then(|| name.to_owned());
        let name =
            same.or_else(|| entries().map(|entry| entry.file_name()).find(|it| it.eq_ignore_ascii_case(name)))?;
        here.push(&name);
        meant.push(&name);
    }
    Some(slashed(&meant))
}
