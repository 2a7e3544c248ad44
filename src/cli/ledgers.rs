//! Where the ledger of a tenant is, and what Git says of the declarations.

use std::path::{Path, PathBuf};

use crate::fleet::{Book, Member, Members, Source};
use crate::git::{Ancestry, Found, GitError, Repository};
use crate::graph::is_on_loopback;
use crate::ledger::{FileLedger, GitLedger, LedgerStore};
use crate::manifest::Fleet;
use crate::model::{Target, seen};

use super::error::CliError;
use super::exit::Exit;

/// Where somebody wants the ledger to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Choice {
    /// In a branch where there is a remote, else in the state folder.
    #[default]
    Auto,
    /// In the state folder.
    File,
    /// In a branch.
    Branch,
    /// In this very file.
    At(PathBuf),
}

/// `auto`, `file`, `branch`, or the path of a file, which has a `.` or a `/` in it.
pub(super) fn choice(text: &str) -> Result<Choice, String> {
    match text {
        "auto" => Ok(Choice::Auto),
        "file" => Ok(Choice::File),
        "branch" => Ok(Choice::Branch),
        path if path.contains(['.', '/', '\\']) => Ok(Choice::At(PathBuf::from(path))),
        _ => Err("`auto`, `file`, `branch`, or the path of a file such as ./ledger.json".to_owned()),
    }
}

/// The ledger of a fleet's tenant, and the repository of its declarations.
///
/// # Errors
/// When it is wanted where it cannot be.
pub(super) fn store(
    choice: &Choice,
    target: &Target,
    fleet: &Fleet,
    folder: &Path,
) -> Result<(Box<dyn LedgerStore>, Option<Repository>), CliError> {
    let tenant = &fleet.desired.tenant;
    // A rehearsal has no history, and leaves nothing behind in one.
    let is_rehearsal = target.is_simulated() || is_on_loopback(target.name());
    let repository = if target.is_simulated() { None } else { repository(&fleet.root)? };
    let file = || Box::new(FileLedger::new(folder));
    let store: Box<dyn LedgerStore> = match (choice, &repository) {
        (Choice::At(path), _) => Box::new(FileLedger::at(path)),
        (Choice::File, _) => file(),
        (Choice::Auto, _) if is_rehearsal => file(),
        (Choice::Auto, None) => file(),
        (Choice::Branch, None) => {
            let message = format!("there is no ledger in a branch: `{}` is in no Git repository", fleet.root.display());
            return Err(CliError::new(Exit::Invalid, message).hint("leave out --ledger, or use --ledger file"));
        }
        (Choice::Auto | Choice::Branch, Some(repository)) => {
            let remote = repository.remote().map_err(|error| CliError::new(Exit::Failed, error.to_string()))?;
            match (remote, choice) {
                (Some(remote), _) => {
                    let branch = GitLedger::branch(tenant.id, &tenant.owner);
                    let branch = if is_rehearsal { format!("rehearsal/{branch}") } else { branch };
                    Box::new(GitLedger::new(repository.clone(), &remote, &branch))
                }
                (None, Choice::Branch) => {
                    let message = "there is no ledger in a branch: the repository has no remote";
                    return Err(CliError::new(Exit::Invalid, message).hint("add one, or use --ledger file"));
                }
                (None, _) => file(),
            }
        }
    };
    Ok((store, repository))
}

fn repository(root: &Path) -> Result<Option<Repository>, CliError> {
    match Repository::find(root) {
        Ok(Found::Repository(repository)) => Ok(Some(repository)),
        Ok(Found::NoRepository) => Ok(None),
        Ok(Found::NoCommand) => {
            Err(CliError::new(Exit::Failed, "the declarations are in a Git repository, and there is no `git` here")
                .hint("install Git: it says which commit is applied, and whether the files are as committed"))
        }
        Err(error) => Err(CliError::new(Exit::Failed, error.to_string())),
    }
}

/// What is checked out, and what of it was read. What Git cannot say is no clean
/// tree. `left_out`: something that looks like a manifest was not read.
pub(super) fn source(repository: Option<&Repository>, root: &Path, paths: &[PathBuf], left_out: bool) -> Source {
    let paths = paths.iter().map(|path| inside(root, path)).collect();
    let left_out = left_out.then(|| "files that look like manifests were not read: see the warnings above".to_owned());
    let Some(repository) = repository else { return Source { paths, left_out, ..Source::default() } };
    match (repository.head(), repository.unlike_its_commit()) {
        (Ok(commit), Ok(dirty)) => {
            // That nobody can say who it was keeps nobody from applying.
            let people = commit.as_ref().and_then(|head| repository.people(head).ok());
            let dirty = dirty.or_else(|| commit.is_none().then(|| "nothing is committed".to_owned()));
            Source { commit, dirty, people, paths, left_out }
        }
        (Err(error), _) | (_, Err(error)) => {
            Source { dirty: Some(error.to_string()), paths, left_out, ..Source::default() }
        }
    }
}

/// What was declared no more when a plan was made is still, before it is removed.
///
/// # Errors
/// When another commit is checked out by now, or something was changed.
pub(super) fn still(fleet: &Fleet, book: &Book) -> Result<(), CliError> {
    let Some(commit) = book.commit() else { return Ok(()) };
    let Some(repository) = repository(&fleet.root)? else { return Ok(()) };
    let failed = |error: GitError| CliError::new(Exit::Failed, error.to_string());
    let is_same = repository.head().map_err(failed)?.as_deref() == Some(commit);
    let changed = if is_same { repository.unlike_its_commit().map_err(failed)? } else { None };
    if is_same && changed.is_none() {
        return Ok(());
    }
    let what = changed.unwrap_or_else(|| "another commit is checked out".to_owned());
    let message = format!("what is declared has changed since it was planned: {what}; nothing was written");
    Err(CliError::new(Exit::Stale, message).hint("run apgit plan again, and look at it"))
}

/// A path from the root of the declarations on, with `/` between its parts; `.`
/// is the root.
fn inside(root: &Path, path: &Path) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let inside = real.strip_prefix(root).unwrap_or(&real);
    let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

/// Why these declarations must not be applied over what was applied last.
pub(super) fn older(repository: Option<&Repository>, source: &Source, applied: Option<&str>) -> Option<String> {
    let applied = applied?;
    let short = |commit: &str| seen(&commit[..commit.len().min(10)]).into_owned();
    let last = short(applied);
    let (Some(repository), Some(head)) = (repository, source.commit.as_deref()) else {
        return Some(format!("commit {last} was applied last, and these files are of no commit"));
    };
    let head_name = short(head);
    match repository.ancestry(applied, head) {
        Ok(Ancestry::Ancestor) => None,
        Ok(Ancestry::Other) => Some(format!(
            "commit {last} was applied last, and {head_name}, which is checked out, does not come after it"
        )),
        Ok(Ancestry::Unknown) => Some(format!(
            "commit {last} was applied last, and it is not in this clone: nobody can say whether {head_name} comes \
             after it (a shallow clone? fetch the whole history)"
        )),
        Err(error) => Some(error.to_string()),
    }
}

/// The first tenant over whose ledger nothing may be applied now, and why.
pub(super) fn refuses(members: &Members<'_>, allowed: Option<&str>) -> Option<(usize, CliError)> {
    let of = |(at, member): (usize, &Member<'_>)| Some((at, refuses_one(member.book.as_ref()?, member, allowed)?));
    members.of().iter().enumerate().find_map(of)
}

/// Nothing is applied over a ledger that is another one, or that another machine
/// is writing.
fn refuses_one(book: &Book, member: &Member<'_>, allowed: Option<&str>) -> Option<CliError> {
    if let Some(why) = book.refuses() {
        let message = format!("{}; nothing was sent", why.text());
        return Some(
            CliError::new(Exit::Stale, message).hint(why.remedy()).hint(format!("the ledger: {}", book.place())),
        );
    }
    // Whoever names the very commit that is checked out has looked at it.
    if let Some(why) = book.older.as_ref().filter(|_| allowed.is_none() || allowed != book.commit()) {
        let message = format!("SourceOlder: {why}; nothing was sent");
        let error = CliError::new(Exit::Stale, message).hint("check out what was applied last, or something newer");
        return Some(match book.commit() {
            Some(commit) => error.hint(format!("to go back on purpose: --allow-source {commit}")),
            None => error,
        });
    }
    let running = book.runs_elsewhere(member.connection.graph.service_now())?;
    let message = format!("another machine applies {} to this tenant, since {}", running.plan, running.since);
    Some(
        CliError::new(Exit::Later, message)
            .hint("wait until it ends")
            .hint("if it broke off and does not come back: look at its plan's devices, then run `apgit ledger unlock`"),
    )
}
