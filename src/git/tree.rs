//! What a commit holds, wherever that lies: its own files, and those of its
//! submodules at the commits that it names.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::command::{os_string, plain};
use super::{Found, GitError, LISTING_BYTES_MAX, Repository, is_name};
use crate::model::seen;

/// So many files are read at once: they are held in memory.
const READ_AT_ONCE: usize = 500;
/// Of files that need not be ours, as much.
const GROUP_BYTES: u64 = 32 << 20;

/// The files of a commit, by their paths from the root of its work tree on. What is
/// a link is none: where it leads within the commit, there is a file.
#[derive(Debug)]
pub(crate) struct Tree {
    parts: Vec<Part>,
    files: BTreeMap<PathBuf, Blob>,
    missing: Vec<PathBuf>,
}

/// The commit itself, or that of a submodule.
#[derive(Debug)]
struct Part {
    repository: Repository,
    commit: String,
    folder: PathBuf,
}

#[derive(Debug)]
struct Blob {
    part: usize,
    object: String,
}

impl Repository {
    /// What a commit holds; `None` if nobody can say: it is not here, or there is
    /// too much of it.
    ///
    /// # Errors
    /// When Git cannot say.
    pub(crate) fn tree(&self, commit: &str) -> Result<Option<Tree>, GitError> {
        let mut tree = Tree { parts: Vec::new(), files: BTreeMap::new(), missing: Vec::new() };
        let is_there = tree.add(self.clone(), commit, Path::new(""))?;
        Ok(is_there.then_some(tree))
    }

    /// The repository that is checked out in this very folder.
    fn in_folder(folder: &Path) -> Result<Option<Self>, GitError> {
        // A link would lead to files of whoever placed it.
        if folder.canonicalize().is_ok_and(|real| plain(&real) == folder)
            && let Found::Repository(repository) = Self::at(folder)?
        {
            return Ok(Some(repository));
        }
        Ok(None)
    }
}

impl Tree {
    /// Takes in a commit whose work tree begins in this folder. False if it is not
    /// here.
    fn add(&mut self, repository: Repository, commit: &str, folder: &Path) -> Result<bool, GitError> {
        if !is_name(commit) {
            return Ok(false);
        }
        let call = repository.call("ls-tree").args(["-r", "-z", "--full-tree", commit]).at_most(LISTING_BYTES_MAX);
        let Some(listed) = call.run_within()?.filter(|answer| answer.code == 0) else { return Ok(false) };
        let part = self.parts.len();
        let root = repository.root().to_owned();
        self.parts.push(Part { repository, commit: commit.to_owned(), folder: folder.to_owned() });
        for entry in lines(&listed.out, 0) {
            let Some(tab) = entry.iter().position(|byte| *byte == b'\t') else { continue };
            let head = String::from_utf8_lossy(&entry[..tab]);
            let name = PathBuf::from(os_string(&entry[tab + 1..]));
            let mut words = head.split(' ');
            let (Some(mode), Some(kind), Some(object)) = (words.next(), words.next(), words.next()) else { continue };
            let path = folder.join(&name);
            match kind {
                "blob" if mode != "120000" => {
                    self.files.insert(path, Blob { part, object: object.to_owned() });
                }
                "commit" => {
                    let is_there = match Repository::in_folder(&root.join(&name))? {
                        Some(submodule) => self.add(submodule, object, &path)?,
                        None => false,
                    };
                    if !is_there {
                        self.missing.push(path);
                    }
                }
                _ => {}
            }
        }
        Ok(true)
    }

    /// Submodules of whose files nobody can say anything here.
    pub(crate) fn missing(&self) -> &[PathBuf] {
        &self.missing
    }

    /// All files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// True if there is such a file, or a folder with files.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.files.range(path.to_owned()..).next().is_some_and(|(file, _)| file.starts_with(path))
    }

    /// The place of a file of the work tree, if it is one of these files.
    pub(crate) fn place(&self, file: &Path) -> Option<&Path> {
        let inside = plain(file).strip_prefix(self.parts[0].repository.root()).ok()?.to_owned();
        self.files.get_key_value(&inside).map(|(path, _)| path.as_path())
    }

    /// The first of these files that is not in the work tree as it is here.
    ///
    /// # Errors
    /// When Git cannot say.
    pub(crate) fn unlike<'p>(&self, paths: &[&'p Path]) -> Result<Option<&'p Path>, GitError> {
        // Most files are stored as they are. Of the others, Git knows how: ends of
        // lines, filters.
        let others = self.others(paths, &["--no-filters"])?;
        Ok(self.others(&others, &[])?.first().copied())
    }

    /// Those of the files that are not as they are here, read in such a way.
    fn others<'p>(&self, paths: &[&'p Path], how: &[&str]) -> Result<Vec<&'p Path>, GitError> {
        let mut others = Vec::new();
        for (part, paths) in self.by_part(paths) {
            let Part { repository, folder, .. } = &self.parts[part];
            let names = paths.iter().map(|path| path.strip_prefix(folder).unwrap_or(path).as_os_str());
            let input: Vec<u8> =
                names.flat_map(|name| [slashed(name.as_encoded_bytes()), vec![b'\n']].concat()).collect();
            let call = repository.call("hash-object").args(["-t", "blob"]).args(how).args(["--stdin-paths"]);
            let hashed = call.input(input).done()?;
            let mut objects = lines(&hashed, b'\n');
            let is_other = |path: &&Path| objects.next() != Some(self.files[*path].object.as_bytes());
            others.extend(paths.into_iter().filter(is_other));
        }
        Ok(others)
    }

    /// The files that have one of these texts in them, in any case of ASCII letters
    /// and whatever kind of file Git takes it for.
    ///
    /// # Errors
    /// When Git cannot say, or there are too many.
    pub(crate) fn with(&self, texts: &[String]) -> Result<HashSet<PathBuf>, GitError> {
        let mut found = HashSet::new();
        for Part { repository, commit, folder } in &self.parts {
            let texts = texts.iter().flat_map(|text| ["-e", text.as_str()]);
            let call = repository.call("grep").args(["--no-color", "--text", "-i", "-F", "-l", "-z", "--full-name"]);
            let answer = call.args(["--no-recurse-submodules"]).args(texts).args([commit]).run()?;
            // It ends with 1 where nothing is found.
            if answer.code > 1 || answer.code < 0 {
                return Err(answer.error());
            }
            let start = format!("{commit}:").into_bytes();
            for named in lines(&answer.out, 0) {
                // A name that is not understood is not one that was not found.
                let name = named.strip_prefix(start.as_slice()).ok_or_else(|| GitError {
                    command: "grep",
                    reason: format!("it names no file of the commit: `{}`", seen(&String::from_utf8_lossy(named))),
                })?;
                found.insert(folder.join(os_string(name)));
            }
        }
        Ok(found)
    }

    /// Reads files, and hands each over until one is enough.
    ///
    /// # Errors
    /// When Git cannot say, or there is too much of it.
    pub(crate) fn read(
        &self,
        paths: &[&Path],
        mut is_enough: impl FnMut(&Path, &[u8]) -> bool,
    ) -> Result<(), GitError> {
        for (part, paths) in self.by_part(paths) {
            for paths in paths.chunks(READ_AT_ONCE) {
                let names = paths.iter().map(|path| format!("{}\n", self.files[*path].object));
                let input = names.collect::<String>().into_bytes();
                let out = self.parts[part].repository.call("cat-file").args(["--batch"]).input(input).done()?;
                let mut rest = out.as_slice();
                for path in paths {
                    let error = || GitError { command: "cat-file", reason: format!("no `{}`", path.display()) };
                    let (content, behind) = batched(rest).ok_or_else(error)?;
                    if is_enough(path, content) {
                        return Ok(());
                    }
                    rest = behind;
                }
            }
        }
        Ok(())
    }

    /// Those of the files that are no larger, in groups of which each can be held in
    /// memory.
    ///
    /// # Errors
    /// When Git cannot say.
    pub(crate) fn small<'p>(&self, paths: &[&'p Path], bytes_max: u64) -> Result<Vec<Vec<&'p Path>>, GitError> {
        let mut groups = Vec::new();
        for (part, paths) in self.by_part(paths) {
            let names = paths.iter().map(|path| format!("{}\n", self.files[*path].object));
            let input = names.collect::<String>().into_bytes();
            let words = ["--batch-check=%(objecttype) %(objectsize)"];
            let out = self.parts[part].repository.call("cat-file").args(words).input(input).done()?;
            let mut sizes = lines(&out, b'\n');
            let (mut group, mut bytes) = (Vec::new(), 0);
            for path in paths {
                let error = || GitError { command: "cat-file", reason: format!("no `{}`", path.display()) };
                let said = sizes.next().and_then(|line| std::str::from_utf8(line).ok()).ok_or_else(error)?;
                let size: u64 = said.strip_prefix("blob ").and_then(|size| size.parse().ok()).ok_or_else(error)?;
                if size > bytes_max {
                    continue;
                }
                if bytes + size > GROUP_BYTES {
                    groups.push(std::mem::take(&mut group));
                    bytes = 0;
                }
                bytes += size;
                group.push(path);
            }
            groups.push(group);
        }
        Ok(groups)
    }

    fn by_part<'p>(&self, paths: &[&'p Path]) -> BTreeMap<usize, Vec<&'p Path>> {
        let mut parts: BTreeMap<usize, Vec<&Path>> = BTreeMap::new();
        for path in paths {
            if let Some(blob) = self.files.get(*path) {
                parts.entry(blob.part).or_default().push(path);
            }
        }
        parts
    }
}

/// The first object of a batch, and what is behind it: `<name> blob <size>`, and a
/// line's end after the content.
fn batched(out: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = out.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&out[..end]).ok()?;
    let mut words = head.split(' ');
    let (_, "blob", size) = (words.next()?, words.next()?, words.next()?.parse::<usize>().ok()?) else { return None };
    let (content, behind) = out[end + 1..].split_at_checked(size)?;
    Some((content, behind.strip_prefix(b"\n")?))
}

/// What stands between such bytes.
fn lines(out: &[u8], end: u8) -> impl Iterator<Item = &[u8]> {
    out.split(move |byte| *byte == end).filter(|entry| !entry.is_empty())
}

/// A path as Git writes it.
fn slashed(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if cfg!(windows) && *byte == b'\\' { b'/' } else { *byte }).collect()
}
