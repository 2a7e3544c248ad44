//! A folder and all below it: which files have manifests. Each real folder is
//! looked at once, whatever links lead there.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::Match;

use super::files::{File, bare, hidden_ending, is_manifest, name, unreadable};
use super::ignored::{Ignored, Patterns, Refused, WILDCARDS_MAX};
use super::left_out::LeftOut;
use super::problem::{Problem, show};
use super::root::{Astray, Root};

/// The patterns that hold in a folder: its own, and those of the folders above.
struct Rules {
    /// Where its own begin.
    folder: PathBuf,
    above: Option<Arc<Rules>>,
    /// Of `.apgitignore`, which is asked first.
    ours: Option<Arc<Patterns>>,
    /// Of `.gitignore`.
    git: Option<Arc<Patterns>>,
    /// In all of them.
    wildcards: usize,
}

impl Rules {
    fn leave_out(&self, path: &Path, is_dir: bool) -> bool {
        self.verdict(path, is_dir, |rules| &rules.ours).unwrap_or_else(|| self.is_left_out_by_git(path, is_dir))
    }

    /// True if it is for Git that a path is left out: whoever wrote that may not
    /// have thought of us.
    fn is_gits(&self, path: &Path, is_dir: bool) -> bool {
        self.verdict(path, is_dir, |rules| &rules.ours).is_none() && self.is_left_out_by_git(path, is_dir)
    }

    fn is_left_out_by_git(&self, path: &Path, is_dir: bool) -> bool {
        self.verdict(path, is_dir, |rules| &rules.git).unwrap_or(false)
    }

    /// What the nearest folder with a pattern for this path says.
    fn verdict(&self, path: &Path, is_dir: bool, which: fn(&Self) -> &Option<Arc<Patterns>>) -> Option<bool> {
        let mut rules = Some(self);
        while let Some(here) = rules {
            let inside = path.strip_prefix(&here.folder).unwrap_or(path);
            match which(here).as_ref().map_or(Match::None, |patterns| patterns.set.matched(inside, is_dir)) {
                Match::Ignore(_) => return Some(true),
                Match::Whitelist(_) => return Some(false),
                Match::None => rules = here.above.as_deref(),
            }
        }
        None
    }
}

/// A folder to look at, or a link to one: as it is named, and where it is.
struct Way {
    named: PathBuf,
    real: PathBuf,
}

/// Files under a folder, as far as they were found.
pub(super) struct Walk<'r> {
    root: &'r Root,
    ignored: Ignored,
    rules: HashMap<PathBuf, Option<Arc<Rules>>>,
    visited: HashSet<PathBuf>,
    folders: Vec<Way>,
    links: Vec<Way>,
    pub files: Vec<File>,
    pub problems: Vec<Problem>,
    pub left_out: LeftOut,
}

impl<'r> Walk<'r> {
    pub(super) fn new(root: &'r Root) -> Self {
        Self {
            root,
            ignored: Ignored::default(),
            rules: HashMap::new(),
            visited: HashSet::new(),
            folders: Vec::new(),
            links: Vec::new(),
            files: Vec::new(),
            problems: Vec::new(),
            left_out: LeftOut::default(),
        }
    }

    /// Looks at a folder and all below it. What is reached without a link is
    /// looked at first, and keeps its own name.
    pub(super) fn folder(&mut self, named: &Path, real: PathBuf) {
        self.folders.push(Way { named: named.to_owned(), real });
        let mut is_linked = false;
        loop {
            while let Some(way) = self.folders.pop() {
                if self.visited.insert(way.real.clone()) {
                    self.entries(&way, is_linked);
                }
            }
            let Some(link) = self.links.pop() else { return };
            self.folders.push(link);
            is_linked = true;
        }
    }

    fn entries(&mut self, way: &Way, is_linked: bool) {
        let rules = self.rules(&way.real);
        let leave_out = |path: &Path, is_dir| rules.as_ref().is_some_and(|rules| rules.leave_out(path, is_dir));
        let listed = match std::fs::read_dir(&way.real) {
            Ok(listed) => listed,
            Err(error) => return self.problems.push(unreadable(&way.named, &error)),
        };
        let (mut entries, mut lost) = (Vec::new(), None);
        for entry in listed {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(error) => lost = Some(error),
            }
        }
        self.problems.extend(lost.map(|error| unreadable(&way.named, &error)));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
        for entry in entries {
            let file_name = entry.file_name();
            if file_name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            let (named, real) = (way.named.join(&file_name), way.real.join(&file_name));
            let is_candidate = kind.is_dir() || kind.is_file() && is_manifest(&named);
            if is_candidate && rules.as_ref().is_some_and(|rules| rules.is_gits(&real, kind.is_dir())) {
                self.left_out.look(&named, &real, kind.is_dir());
                continue;
            }
            if kind.is_symlink() {
                self.link(named, &real, &leave_out);
            } else if kind.is_dir() && !leave_out(&real, true) {
                self.folders.push(Way { named, real });
            } else if !kind.is_dir() && is_manifest(&named) && !leave_out(&real, false) {
                self.file(&named, real, kind.is_file(), is_linked);
            } else if kind.is_file()
                && let Some(meant) = hidden_ending(&named)
                && !leave_out(&real, false)
            {
                let message = "this file is not read: its name ends in `.txt`";
                let hint = format!(
                    "rename it to `{}`: Windows hides an ending that it knows; or leave it out in an `.apgitignore`",
                    show(&meant)
                );
                self.problems.push(Problem::warning("not-read", message, bare(&named)).hint(hint));
            }
        }
    }

    fn file(&mut self, named: &Path, real: PathBuf, is_file: bool, is_linked: bool) {
        if !is_file {
            let hint = "remove it: only files have manifests";
            return self.problems.push(Problem::error("not-a-file", "this is not a file", bare(named)).hint(hint));
        }
        if real.strip_prefix(&self.root.path).unwrap_or(&real).to_str().is_none() {
            let message = "the name of this file, or of its folder, is not text in UTF-8";
            let hint = "rename it, or leave it out in an `.apgitignore`";
            return self.problems.push(Problem::error("name-not-utf8", message, bare(named)).hint(hint));
        }
        // What no link led to is below a folder that the repository holds.
        match if is_linked { self.root.lets_read(&real, true) } else { Ok(()) } {
            Ok(()) => self.files.push(File { name: name(named), path: real, text: None }),
            Err(astray) => self.astray(named, astray),
        }
    }

    fn link(&mut self, named: PathBuf, link: &Path, leave_out: &dyn Fn(&Path, bool) -> bool) {
        let target = link.canonicalize();
        let is_dir = target.as_ref().is_ok_and(|target| target.is_dir());
        // Of what is no manifest and no folder, nothing would be read.
        if !is_dir && !is_manifest(&named) || leave_out(link, is_dir) {
            return;
        }
        let Ok(target) = target else { return self.astray(&named, Astray::Missing) };
        match self.root.holds(&target) {
            Err(astray) => self.astray(&named, astray),
            Ok(()) if is_dir => self.links.push(Way { named, real: target }),
            Ok(()) => {
                let is_file = target.is_file();
                self.file(&named, target, is_file, true);
            }
        }
    }

    pub(super) fn astray(&mut self, named: &Path, astray: Astray) {
        let (code, message, hint) = astray.of_link();
        self.problems.push(Problem::error(code, message, bare(named)).hint(hint));
    }

    /// The patterns that hold in a folder of the repository.
    fn rules(&mut self, folder: &Path) -> Option<Arc<Rules>> {
        if let Some(known) = self.rules.get(folder) {
            return known.clone();
        }
        let above = (folder != self.root.path).then(|| folder.parent()).flatten();
        let above = above.filter(|above| above.starts_with(&self.root.path)).and_then(|above| self.rules(above));
        let mut wildcards = above.as_ref().map_or(0, |above| above.wildcards);
        let [ours, git] = [".apgitignore", ".gitignore"].map(|file| self.patterns(folder, file, &mut wildcards));
        let rules = match ours.is_none() && git.is_none() {
            true => above,
            false => Some(Arc::new(Rules { folder: folder.to_owned(), above, ours, git, wildcards })),
        };
        self.rules.insert(folder.to_owned(), rules.clone());
        rules
    }

    fn patterns(&mut self, folder: &Path, file: &str, wildcards: &mut usize) -> Option<Arc<Patterns>> {
        match self.ignored.of(folder, file, WILDCARDS_MAX - *wildcards) {
            Ok(patterns) => {
                *wildcards += patterns.as_ref().map_or(0, |patterns| patterns.wildcards);
                patterns
            }
            Err(Refused { line, reason }) => {
                let path = folder.join(file);
                let mut spot = bare(path.strip_prefix(&self.root.path).unwrap_or(&path));
                spot.place.line = line;
                let hint = "leave out whole folders by their names";
                self.problems.push(Problem::error("ignore-file", reason, spot).hint(hint));
                None
            }
        }
    }
}
