//! Text to located trees to claims and located problems.
//!
//! [`load`] is the road: folders are walked, each file becomes trees, each
//! tree is checked against the schema of its kind and turned into the resource
//! type, whose own checks make claims; then `desired` holds all of them against
//! each other. Every problem of every file comes out of one run. Graph and
//! clusters are not known here.

#[deny(clippy::disallowed_methods)]
mod check;
mod decrypt;
#[deny(clippy::disallowed_methods)]
mod document;
#[deny(clippy::disallowed_methods)]
mod edit;
#[deny(clippy::disallowed_methods)]
mod faults;
mod files;
#[deny(clippy::disallowed_methods)]
mod fleet;
mod hashes;
mod ignored;
#[deny(clippy::disallowed_methods)]
mod key_source;
mod left_out;
#[deny(clippy::disallowed_methods)]
mod mistake;
#[deny(clippy::disallowed_methods)]
mod problem;
mod root;
#[deny(clippy::disallowed_methods)]
mod scalar;
#[deny(clippy::disallowed_methods)]
mod secret;
#[deny(clippy::disallowed_methods)]
mod serials;
#[deny(clippy::disallowed_methods)]
mod shape;
#[deny(clippy::disallowed_methods)]
mod tree;
#[deny(clippy::disallowed_methods)]
mod value;
mod walk;

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

pub(crate) use document::RowPlace;
pub use edit::{Edit, Edited, Refusal, edited};
pub(crate) use hashes::check_key_sources;
pub use hashes::{Hashes, check_hashes};
pub(crate) use problem::{Excerpt, Place, Spot};
pub use problem::{Problem, Severity};
pub(crate) use root::leads_astray;
pub(crate) use serials::{Serials, declared, mentions, serials};

use crate::model::{Desired, Grant, Origin};
use crate::resource::AutopilotTenantSpec;

/// What was declared, and everything that is wrong with it.
#[derive(Debug)]
pub struct Loaded {
    /// One per tenant without problems of its own, in the order of the files.
    /// Only to be acted on when no problem is an error.
    pub fleets: Vec<Fleet>,
    /// Sorted by place.
    pub problems: Vec<Problem>,
    /// Documents of other kinds, left alone.
    pub skipped: usize,
    /// Files that were read.
    pub files: usize,
    /// Documents in them, ours and others.
    pub documents: usize,
}

impl Loaded {
    /// True if nothing may be done with the fleets.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Adds what is wrong with those who would be asked for the keys of
    /// encrypted files. `key_hosts` may be; they come from the command line.
    #[must_use]
    pub fn asking(mut self, key_hosts: &[String]) -> Self {
        for fleet in &self.fleets {
            let hashes = Hashes::new(fleet.root.clone()).asking(key_hosts);
            self.problems.extend(check_key_sources(fleet, &hashes));
        }
        self.problems = problem::limited(self.problems);
        self
    }

    /// Declared devices in all fleets.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.fleets.iter().map(|fleet| fleet.desired.claims().len()).sum()
    }
}

/// One tenant with its declared devices.
#[derive(Debug)]
pub struct Fleet {
    /// What the tenant shall hold.
    pub desired: Desired,
    /// How to reach the tenant: auth, endpoints, cloud, vaults.
    pub tenant: AutopilotTenantSpec,
    /// What somebody has approved beforehand.
    pub grants: Vec<Grant>,
    /// Where each claim stands.
    pub places: Places,
    /// The repository's root, with symbolic links resolved. Paths of hash
    /// references start here.
    pub root: PathBuf,
}

/// Where claims stand, by their origin. Twelve bytes each, shared by the fleets
/// of one load.
#[derive(Debug, Clone)]
pub struct Places {
    files: Arc<[files::File]>,
    /// By file.
    texts: Arc<[Text]>,
    places: Arc<[fleet::RawPlace]>,
    rows: Arc<HashMap<Origin, RowPlace>>,
}

impl Places {
    /// The place of a claim's serial number. `None` for an origin that is not
    /// of this load.
    #[must_use]
    pub fn get(&self, origin: Origin) -> Option<Place> {
        let raw = self.places.get(origin.0 as usize)?;
        let file = self.files.get(raw.file as usize)?;
        Some(Place { file: file.name.clone(), line: raw.line, column: raw.column })
    }

    /// The file of a claim, with symbolic links resolved.
    #[must_use]
    pub(crate) fn path(&self, origin: Origin) -> Option<&Path> {
        let raw = self.places.get(origin.0 as usize)?;
        Some(&self.files.get(raw.file as usize)?.path)
    }

    /// The files that declare something, with symbolic links resolved.
    pub(crate) fn declaring(&self) -> impl Iterator<Item = (&Path, Text)> {
        let indices: BTreeSet<u32> = self.places.iter().map(|place| place.file).collect();
        indices.into_iter().filter_map(|index| {
            let index = index as usize;
            Some((self.files.get(index)?.path.as_path(), *self.texts.get(index)?))
        })
    }

    /// The row of a CSV that says what this claim's device shall have, if one does.
    #[must_use]
    pub fn row(&self, origin: Origin) -> Option<&RowPlace> {
        self.rows.get(&origin)
    }
}

/// What is known of a text that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    /// Its [`print`].
    pub print: u64,
    /// False if there are documents in it that were left alone.
    pub is_whole: bool,
}

/// Reads all manifests under `paths` (files or folders). Files are read in
/// parallel; the result does not depend on the order in which they finish.
#[must_use]
pub fn load(paths: &[PathBuf]) -> Loaded {
    load_as(paths, &HashMap::new())
}

/// The same as it would be if these texts stood in files, by their paths with
/// symbolic links resolved.
#[must_use]
pub(crate) fn load_as(paths: &[PathBuf], texts: &HashMap<PathBuf, Arc<str>>) -> Loaded {
    let mut found = files::find(paths);
    found.files.iter_mut().for_each(|file| file.text = texts.get(&file.path).cloned());
    let mut problems = found.problems;
    let tables = Hashes::new(found.root.path.clone());
    let mut contents: Vec<_> = found
        .files
        .par_iter()
        .enumerate()
        .map(|(index, file)| document::load(file, u32::try_from(index).unwrap_or(u32::MAX), &found.root, &tables))
        .collect();
    for content in &mut contents {
        problems.extend(std::mem::take(&mut content.problems).into_vec(Severity::Error));
        problems.extend(std::mem::take(&mut content.warnings).into_vec(Severity::Warning));
    }
    let documents: usize = contents.iter().map(|content| content.documents).sum();
    let skipped: usize = contents.iter().map(|content| content.skipped).sum();
    let fleets = fleet::assemble(contents, &found.files, &found.root, &tables, &mut problems);
    if documents == skipped && !problems.iter().any(|problem| problem.severity == Severity::Error) {
        problems.extend(files::no_manifests(paths, found.files.len()));
    }
    Loaded { fleets, problems: together(problems), skipped, files: found.files.len(), documents }
}

/// The problems that are shown of several looks at the same files, sorted by
/// place, then by what is wrong; of the rest of a file, how many there are.
#[must_use]
pub(crate) fn together(problems: Vec<Problem>) -> Vec<Problem> {
    problem::limited(problems)
}

/// Tells a text from another one, within one run.
#[must_use]
pub(crate) fn print(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text);
    hasher.finish()
}

/// The documents of a text as the JSON that `kubectl` would send for them. For
/// whoever holds the two doors against each other.
#[must_use]
pub fn as_kubectl_sends(text: &str) -> Vec<serde_json::Value> {
    let mut documents = Vec::new();
    tree::documents(text, |node, _| documents.push(value::to_json(&node)));
    documents
}
