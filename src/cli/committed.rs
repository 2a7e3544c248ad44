//! What the commits of a repository declare: read as the files on the disk are, so
//! that no spelling and no name of a file says otherwise.

use std::collections::HashSet;

use serde_json::Value;

use crate::fleet::Book;
use crate::git::{Ancestry, GitError, Repository};
use crate::manifest::{self, Fleet};
use crate::model::{Desired, SerialKey, seen};
use crate::plan::NoRemoval;
use crate::resource::Kind;

use super::error::CliError;
use super::exit::Exit;

/// So many serials are asked for at once: a command line has an end, and more of
/// them cost Git more than all files with devices cost us.
const ASKED_AT_ONCE: usize = 200;

/// Why nothing may be removed: a file of the commit that was not read declares a
/// device which is declared no more, so it may have moved there.
///
/// # Errors
/// When Git cannot say.
pub(super) fn moved_to(
    repository: Option<&Repository>,
    book: &Book,
    fleet: &Fleet,
) -> Result<Option<NoRemoval>, CliError> {
    let Some(repository) = repository else { return Ok(None) };
    let serials = book.undeclared(&fleet.desired);
    let Some(head) = repository.head().map_err(failed)?.filter(|_| !serials.is_empty()) else { return Ok(None) };
    let Some(files) = files_of(repository, &head, &serials).map_err(failed)? else {
        let words = "nobody can say what of the commit was not read: there is too much of it";
        return Ok(Some(NoRemoval::OtherPaths(words.to_owned())));
    };
    let undeclared: HashSet<SerialKey> = serials.iter().map(|serial| SerialKey::of(serial)).collect();
    let read = fleet.places.read();
    let is_read = |path: &String| {
        let path = repository.root().join(path);
        read.contains(path.canonicalize().unwrap_or(path).as_path())
    };
    for path in files.into_iter().filter(|path| !is_read(path)) {
        let names = match repository.content(&head, &path).map_err(failed)? {
            Some(text) => may_name(&path, &text, &undeclared),
            None => is_like_ours(&path),
        };
        if names {
            let words = format!("`{}` names a device that is declared no more", seen(&path));
            return Ok(Some(NoRemoval::OtherPaths(words)));
        }
    }
    Ok(None)
}

/// What is removed was declared when it was applied: a device that stands in the
/// ledger, and not in the declarations of the commit from which it was applied,
/// or of the one that was applied last, was written into it by somebody else.
///
/// # Errors
/// When Git cannot say.
pub(super) fn doubt_the_undeclared(
    repository: Option<&Repository>,
    book: &mut Book,
    desired: &Desired,
) -> Result<(), CliError> {
    let Some(repository) = repository else { return Ok(()) };
    let head = repository.head().map_err(failed)?;
    let last = book.applied().map(str::to_owned);
    let removable = book.removable(desired);
    for (commit, mut serials) in removable {
        let mut why = None;
        let others = last.clone().filter(|last| commit.as_ref() != Some(last));
        for commit in commit.into_iter().chain(others) {
            let short = seen(&commit[..commit.len().min(10)]).into_owned();
            // Any commit can be made to declare anything; what is merged was reviewed.
            let is_ours = match &head {
                Some(head) => repository.ancestry(&commit, head).map_err(failed)?,
                None => Ancestry::Unknown,
            };
            let words = match is_ours {
                Ancestry::Ancestor => {
                    serials = undeclared_in(repository, &commit, serials).map_err(failed)?;
                    "does not declare it"
                }
                Ancestry::Other => "is not in this history",
                Ancestry::Unknown => "is not in this clone",
            };
            why.get_or_insert_with(|| format!("commit {short}, from which it was applied, {words}"));
        }
        let why = why.unwrap_or_else(|| "it was never applied from a commit".to_owned());
        book.doubt_devices(&serials, &why);
    }
    Ok(())
}

fn failed(error: GitError) -> CliError {
    CliError::new(Exit::Failed, error.to_string())
}

/// Those of the serials that no file of a commit declares.
fn undeclared_in(repository: &Repository, commit: &str, mut serials: Vec<String>) -> Result<Vec<String>, GitError> {
    for path in files_of(repository, commit, &serials)?.unwrap_or_default() {
        let Some(text) = repository.content(commit, &path)? else { continue };
        let declared = declared_in(&text);
        serials.retain(|serial| !declared.contains(&SerialKey::of(serial)));
    }
    Ok(serials)
}

/// The files of a commit that may declare one of these serials.
fn files_of(repository: &Repository, commit: &str, serials: &[String]) -> Result<Option<Vec<String>>, GitError> {
    if serials.is_empty() {
        return Ok(Some(Vec::new()));
    }
    if serials.len() <= ASKED_AT_ONCE {
        return repository.files_with(commit, serials);
    }
    // The name of a set begins with it.
    repository.files_with(commit, &[Kind::Device.name().to_owned()])
}

/// True for a name that a manifest has, or had before it was put aside.
fn is_like_ours(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    [".yaml", ".yml", ".json"].iter().any(|end| path.contains(end))
}

/// True if a text declares one of these serials, or could if it were mended.
fn may_name(path: &str, text: &str, serials: &HashSet<SerialKey>) -> bool {
    if !text.contains(Kind::Device.name()) {
        return false;
    }
    if !declared_in(text).is_disjoint(serials) {
        return true;
    }
    let is_broken = || manifest::as_kubectl_sends(text).iter().any(Value::is_null);
    if !is_like_ours(path) || !is_broken() {
        return false;
    }
    let text = text.to_ascii_uppercase();
    serials.iter().any(|serial| text.contains(serial.as_str()))
}

/// The serials that the manifests in a text declare.
fn declared_in(text: &str) -> HashSet<SerialKey> {
    let mut serials = HashSet::new();
    for document in manifest::as_kubectl_sends(text) {
        match document["items"].as_array() {
            Some(items) => items.iter().for_each(|item| declared_by(item, &mut serials)),
            None => declared_by(&document, &mut serials),
        }
    }
    serials
}

fn declared_by(object: &Value, serials: &mut HashSet<SerialKey>) {
    if !matches!(object["kind"].as_str().and_then(Kind::parse), Some(Kind::Device | Kind::DeviceSet)) {
        return;
    }
    let spec = &object["spec"];
    let of_set = spec["devices"].as_array().into_iter().flatten();
    for device in std::iter::once(spec).chain(of_set) {
        match &device["serialNumber"] {
            Value::String(serial) => drop(serials.insert(SerialKey::of(serial))),
            // In a manifest it is a mistake; it names the device all the same.
            Value::Number(serial) => drop(serials.insert(SerialKey::of(&serial.to_string()))),
            _ => {}
        }
    }
}
