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

/// So many commits are looked into, beside those that change a line with the serial,
/// for the last one that declares a device.
const LOOKED_BACK: usize = 50;

/// What a commit says of devices.
struct Said {
    /// Those that it declares, and whether each goes with its declaration.
    by: HashMap<SerialKey, bool>,
    /// Why not all of it is known, in words that follow its name.
    unknown: Option<String>,
}

impl Said {
    /// True if it says that a device goes with its declaration.
    fn removes(&self, serial: &str) -> bool {
        self.by.get(&SerialKey::of(serial)) == Some(&true)
    }
}

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

    /// What the files of a commit say of devices.
    fn said_by(&self, commit: &str, serials: &[String]) -> Result<Said, GitError> {
        let mut said = Said { by: HashMap::new(), unknown: None };
        let Some(tree) = self.repository.tree(commit)? else {
            said.unknown = Some("is not in this clone, or has more in it than can be listed".to_owned());
            return Ok(said);
        };
        said.unknown = tree.missing().first().map(|path| {
            format!("has the submodule {}, whose files as they were then are not in this clone", shown(path))
        });
        let asked = match serials.len() <= ASKED_AT_ONCE {
            true => serials,
            // The name of a set begins with it.
            false => &[Kind::Device.name().to_owned()],
        };
        let named = tree.with(asked)?;
        let mut read = |paths: &[&Path]| {
            tree.read(paths, |_, content| {
                for (serial, is_deleted) in manifest::declared(&capture::text(content).0) {
                    said.by.entry(serial).and_modify(|known| *known &= is_deleted).or_insert(is_deleted);
                }
                false
            })?;
            Ok(serials.iter().all(|serial| said.by.get(&SerialKey::of(serial)) == Some(&true)))
        };
        let named: Vec<&Path> = tree.files().filter(|path| named.contains(*path)).collect();
        if !read(&named)? {
            // In those it may stand with an escape.
            let named: HashSet<&Path> = named.into_iter().collect();
            let others: Vec<&Path> = tree.files().filter(|path| is_like_ours(path) && !named.contains(path)).collect();
            read(&others)?;
        }
        Ok(said)
    }

    /// Holds devices against the last commit since `first` that declares each of them:
    /// what it says need not have been applied to be meant. Gives back those of which
    /// it does not say that they go, with what there is to say.
    fn kept_by_the_last(
        &self,
        first: &str,
        applied: Option<&str>,
        mut serials: Vec<String>,
    ) -> Result<Vec<(String, String)>, GitError> {
        let mut kept = Vec::new();
        let since = format!("{first}..{}", self.name);
        let listed = self.repository.call("rev-list").args(["--first-parent", &since, "--"]).line()?;
        let all: Vec<&str> = listed.lines().collect();
        let mut looked_at: Vec<&str> = all.iter().copied().take(LOOKED_BACK).collect();
        let mut at = 0;
        while !serials.is_empty() && at < looked_at.len() {
            // Most of the time, the commit before the last declares all that is gone.
            if at == 1 && all.len() > LOOKED_BACK {
                looked_at = self.changing(&since, &serials, &all)?;
            }
            let Some(change) = looked_at.get(at) else { break };
            at += 1;
            let before = self.repository.call("rev-parse").args(["--verify", &format!("{change}^")]).line()?;
            let Said { by, unknown } = self.said_by(&before, &serials)?;
            let short = seen(&before[..before.len().min(10)]).into_owned();
            serials.retain(|serial| {
                let words = match (by.get(&SerialKey::of(serial)), &unknown) {
                    (Some(true), _) => return false,
                    (Some(false), _) => {
                        let words = "the last that declares it, does not say `deletionPolicy: Delete`, or protects it";
                        format!("commit {short}, {words}")
                    }
                    // What was applied from it stands in the ledger.
                    (None, Some(unknown)) if applied != Some(&before) => format!("commit {short} {unknown}"),
                    (None, _) => return true,
                };
                kept.push((serial.clone(), words));
                false
            });
        }
        // What was looked through to its end begins with what was applied.
        if all.len() > LOOKED_BACK {
            let words = format!(
                "which of the {} commits since it was applied was the last to declare it, is not found",
                all.len()
            );
            kept.extend(serials.into_iter().map(|serial| (serial, words.clone())));
        }
        Ok(kept)
    }

    /// The commits of a long history to look behind, newest first: the last ones, and
    /// those in which a line with one of these serials came or went.
    fn changing<'c>(&self, since: &str, serials: &[String], all: &[&'c str]) -> Result<Vec<&'c str>, GitError> {
        const WORDS: [&str; 7] = ["--first-parent", "-m", "-3", "--no-show-signature", "--format=%H", "--text", "-i"];
        let mut found = HashSet::new();
        for serial in serials.iter().take(ASKED_AT_ONCE) {
            let of = format!("-S{serial}");
            let said = self.repository.call("log").args(WORDS).args([of.as_str(), since, "--"]).line()?;
            found.extend(said.lines().map(str::to_owned));
        }
        let is_meant = |(at, change): &(usize, &&str)| *at < LOOKED_BACK || found.contains(**change);
        Ok(all.iter().enumerate().filter(is_meant).map(|(_, change)| *change).collect())
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
        let last = book.applied().filter(is_before).map(str::to_owned);
        let mut left: HashSet<String> = all.iter().cloned().collect();
        if let Some(last) = last.as_ref().filter(|_| !all.is_empty()) {
            let said = self.said_by(last, &all)?;
            left.retain(|serial| !said.removes(serial));
        }
        for (commit, mut serials) in removable {
            let here = commit.as_ref().filter(|commit| ancestries.get(*commit) == Some(&Ancestry::Ancestor));
            let doubted: Vec<String> = serials.iter().filter(|serial| left.contains(*serial)).cloned().collect();
            serials.retain(|serial| !left.contains(serial));
            match &commit {
                _ if doubted.is_empty() => {}
                None => book.doubt_devices(&doubted, "it was never applied from a commit"),
                // Any commit can be made to declare anything; what is merged was reviewed.
                Some(commit) => {
                    let mut doubted = doubted;
                    let words = match ancestries.get(commit).unwrap_or(&Ancestry::Unknown) {
                        Ancestry::Ancestor => {
                            let said = self.said_by(commit, &doubted)?;
                            let (gone, kept) = doubted.into_iter().partition(|serial| said.removes(serial));
                            serials.extend::<Vec<String>>(gone);
                            doubted = kept;
                            let words = "does not declare it with `deletionPolicy: Delete`, or protects it";
                            said.unknown.unwrap_or_else(|| words.to_owned())
                        }
                        Ancestry::Other => "is not in this history".to_owned(),
                        Ancestry::Unknown => "is not in this clone".to_owned(),
                    };
                    let short = seen(&commit[..commit.len().min(10)]);
                    book.doubt_devices(&doubted, &format!("commit {short}, from which it was applied, {words}"));
                }
            }
            let Some(first) = here.or(last.as_ref()).filter(|_| !serials.is_empty()) else { continue };
            for (serial, words) in self.kept_by_the_last(first, last.as_deref(), serials)? {
                book.doubt_devices(&[serial], &words);
            }
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
