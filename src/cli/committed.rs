//! What the commits of a repository declare: a device goes only where a commit that
//! declared it, to be deleted, was followed by one that does not, and where that
//! one is what was read.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::capture;
use crate::connect::Purpose;
use crate::fleet::Book;
use crate::git::{Ancestry, GitError, Repository, Tree};
use crate::manifest::{self, Fleet, Places, Serials};
use crate::model::{Desired, SerialKey, seen};
use crate::plan::NoRemoval;
use crate::resource::{GROUP, Kind};

/// So many serials are asked for at once: a command line has an end, and more of
/// them cost Git more than all files with devices cost us.
const ASKED_AT_ONCE: usize = 200;

/// A file that was not read is looked into whatever its encoding up to this size: a
/// set of devices has a tenth of it.
const UNREAD_BYTES_MAX: u64 = 1 << 20;

/// The commit that is checked out, and what was read of it. It is looked into only
/// when somebody asks, and once for all tenants.
pub(super) struct Commit {
    repository: Repository,
    places: Places,
    root: PathBuf,
    name: String,
    tree: OnceLock<Result<Tree, GitError>>,
    unlike: OnceLock<Option<String>>,
}

impl Commit {
    pub(super) fn new(repository: &Repository, fleet: &Fleet, name: &str) -> Self {
        Self {
            repository: repository.clone(),
            places: fleet.places.clone(),
            root: fleet.root.clone(),
            name: name.to_owned(),
            tree: OnceLock::new(),
            unlike: OnceLock::new(),
        }
    }

    /// True if it is the commit of that name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    fn tree(&self) -> Result<&Tree, GitError> {
        let no =
            || GitError { command: "ls-tree", reason: "there is more in the commit than can be listed".to_owned() };
        let tree = self.tree.get_or_init(|| self.repository.tree(&self.name)?.ok_or_else(no));
        tree.as_ref().map_err(Clone::clone)
    }

    /// True if it has no file at a path, or below it.
    pub(super) fn lacks(&self, path: &str) -> bool {
        self.tree().is_ok_and(|tree| path != "." && tree.missing().is_empty() && !tree.has(Path::new(path)))
    }

    /// In what the declarations are not what it holds, to the letter and whatever
    /// Git was told to overlook. What Git cannot say is nothing committed.
    pub(super) fn unlike(&self) -> Option<String> {
        self.unlike.get_or_init(|| self.compared().unwrap_or_else(|error| Some(error.to_string()))).clone()
    }

    fn compared(&self) -> Result<Option<String>, GitError> {
        let tree = self.tree()?;
        if let Some(missing) = tree.missing().first() {
            return Ok(Some(format!("the submodule {} is not checked out", shown(missing))));
        }
        let mut paths = Vec::new();
        for (file, text) in self.places.declaring() {
            let inside = file.strip_prefix(&self.root).unwrap_or(file);
            let Some(path) = tree.place(file) else {
                return Ok(Some(format!("{} is not in the commit", shown(inside))));
            };
            // Between reading it and asking for it, another one may have been checked out.
            if !std::fs::read(file).is_ok_and(|now| manifest::print(&now) == text.print) {
                return Ok(Some(format!("{} has changed since it was read", shown(inside))));
            }
            paths.push(path);
        }
        Ok(tree.unlike(&paths)?.map(|path| format!("{} is not as it was committed", shown(path))))
    }

    /// The file of the commit that was not read, or not all of it, and names one of
    /// these devices: it may have moved there.
    fn moved_to(&self, serials: &[String]) -> Result<Option<PathBuf>, GitError> {
        let tree = self.tree()?;
        let keys = serials.iter().map(|serial| SerialKey::of(serial)).collect();
        let read = self.places.declaring().filter(|(_, text)| text.is_whole);
        let read: HashSet<&Path> = read.filter_map(|(file, _)| tree.place(file)).collect();
        let ours = tree.with(&[GROUP.to_owned(), Kind::Device.name().to_owned()])?;
        let others: Vec<&Path> = tree.files().filter(|path| !read.contains(path)).collect();
        let unread: Vec<&Path> =
            others.iter().copied().filter(|path| is_like_ours(path) || ours.contains(*path)).collect();
        let mut found = None;
        tree.read(&unread, |path, content| {
            found = may_name(path, content, &keys).then(|| path.to_owned());
            found.is_some()
        })?;
        // What Git finds it finds by bytes, and a text may be of others.
        for group in tree.small(&others, UNREAD_BYTES_MAX)? {
            if found.is_some() {
                break;
            }
            tree.read(&group, |path, content| {
                found = manifest::mentions(&capture::text(content).0, &keys).then(|| path.to_owned());
                found.is_some()
            })?;
        }
        Ok(found)
    }

    /// Those of the serials that no file of a commit declares as to be deleted.
    fn not_deleted_by(&self, commit: &str, mut serials: Vec<String>) -> Result<Vec<String>, GitError> {
        let Some(tree) = self.repository.tree(commit)? else { return Ok(serials) };
        let asked = match serials.len() <= ASKED_AT_ONCE {
            true => &serials[..],
            // The name of a set begins with it.
            false => &[Kind::Device.name().to_owned()],
        };
        let named = tree.with(asked)?;
        let mut declared: HashMap<SerialKey, bool> = HashMap::new();
        let mut read = |paths: &[&Path]| {
            tree.read(paths, |_, content| {
                for (serial, is_deleted) in manifest::declared(&capture::text(content).0) {
                    declared.entry(serial).and_modify(|known| *known &= is_deleted).or_insert(is_deleted);
                }
                false
            })?;
            serials.retain(|serial| declared.get(&SerialKey::of(serial)) != Some(&true));
            Ok(serials.is_empty())
        };
        let named: Vec<&Path> = tree.files().filter(|path| named.contains(*path)).collect();
        if !read(&named)? {
            // In those it may stand with an escape.
            let named: HashSet<&Path> = named.into_iter().collect();
            let others: Vec<&Path> = tree.files().filter(|path| is_like_ours(path) && !named.contains(path)).collect();
            read(&others)?;
        }
        Ok(serials)
    }

    /// Which of the ledger's commits came before this one.
    fn ancestries(&self, commits: HashSet<String>) -> Result<HashMap<String, Ancestry>, GitError> {
        // The usual case costs nothing.
        if commits.iter().all(|commit| *commit == self.name) {
            return Ok(commits.into_iter().map(|commit| (commit, Ancestry::Ancestor)).collect());
        }
        self.repository.ancestries(commits, &self.name)
    }

    /// A device that stands in the ledger, and was not declared as to be deleted by
    /// the commit from which it was applied, or by the one that was applied last,
    /// was written into it by somebody else, or by files that nobody committed.
    fn doubt_the_undeclared(
        &self,
        book: &mut Book,
        desired: &Desired,
        ancestries: &HashMap<String, Ancestry>,
    ) -> Result<(), GitError> {
        let removable = book.removable(desired);
        let all: Vec<String> = removable.values().flatten().cloned().collect();
        // Nearly always, the one that was applied last declares all of them.
        let is_before = |last: &&str| ancestries.get(*last) == Some(&Ancestry::Ancestor);
        let left = match book.applied().filter(is_before) {
            Some(last) if !all.is_empty() => self.not_deleted_by(last, all)?,
            _ => all,
        };
        let left: HashSet<String> = left.into_iter().collect();
        for (commit, mut serials) in removable {
            serials.retain(|serial| left.contains(serial));
            if serials.is_empty() {
                continue;
            }
            let Some(commit) = commit else {
                book.doubt_devices(&serials, "it was never applied from a commit");
                continue;
            };
            // Any commit can be made to declare anything; what is merged was reviewed.
            let words = match ancestries.get(&commit).unwrap_or(&Ancestry::Unknown) {
                Ancestry::Ancestor => {
                    serials = self.not_deleted_by(&commit, serials)?;
                    "does not declare it with `deletionPolicy: Delete`"
                }
                Ancestry::Other => "is not in this history",
                Ancestry::Unknown => "is not in this clone",
            };
            let short = seen(&commit[..commit.len().min(10)]);
            book.doubt_devices(&serials, &format!("commit {short}, from which it was applied, {words}"));
        }
        Ok(())
    }
}

/// Doubts what the ledger says of devices that are declared no more, as far as the
/// commits do not bear it out. Where nothing is removed and nothing written, Git is
/// not asked.
pub(super) fn doubt(commit: Option<&Commit>, book: &mut Book, desired: &Desired, purpose: Purpose) {
    if let Some(commit) = commit
        && let Err(error) = doubted(commit, book, desired, purpose)
    {
        book.doubt(NoRemoval::DirtyTree(error.to_string()));
    }
}

fn doubted(commit: &Commit, book: &mut Book, desired: &Desired, purpose: Purpose) -> Result<(), GitError> {
    // Whoever knows a part of the claims removes nothing.
    let may_remove = book.problem().is_none() && !desired.is_part();
    let undeclared = if may_remove { book.undeclared(desired) } else { Vec::new() };
    if purpose == Purpose::Read && undeclared.is_empty() {
        return Ok(());
    }
    let ancestries = commit.ancestries(book.commits())?;
    let is_other = |commit: &&String| ancestries[*commit] == Ancestry::Other;
    book.replaced = ancestries.keys().filter(is_other).cloned().collect();
    if undeclared.is_empty() {
        return Ok(());
    }
    if let Some(words) = commit.unlike() {
        book.doubt(NoRemoval::DirtyTree(words));
    } else if let Some(path) = commit.moved_to(&undeclared)? {
        let words = format!("{} names a device that is declared no more", shown(&path));
        book.doubt(NoRemoval::OtherPaths(words));
    } else {
        commit.doubt_the_undeclared(book, desired, &ancestries)?;
    }
    Ok(())
}

/// A path as it is shown, with `/` between its parts.
fn shown(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    format!("`{}`", seen(&parts.join("/")))
}

/// True for a name that a manifest has, or had before it was put aside.
fn is_like_ours(path: &Path) -> bool {
    let path = path.to_string_lossy().to_ascii_lowercase();
    [".yaml", ".yml", ".json"].iter().any(|end| path.contains(end))
}

/// True if a file names one of these devices, or could if it were mended.
fn may_name(path: &Path, content: &[u8], devices: &HashSet<SerialKey>) -> bool {
    let (text, _) = capture::text(content);
    let Serials { named, is_broken } = manifest::serials(&text);
    if named.iter().any(|serial| devices.contains(serial)) {
        return true;
    }
    if !is_broken || !is_like_ours(path) {
        return false;
    }
    let text = text.to_ascii_uppercase();
    devices.iter().any(|serial| text.contains(serial.as_str()))
}
