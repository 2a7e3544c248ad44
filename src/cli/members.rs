//! From declared fleets to the members of a run: connection, journal, hashes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Stop;
use crate::connect::Purpose;
use crate::fleet::{Book, Member, Members, Saved, Wanted};
use crate::ledger::{
    AUDIT_FILE, Actor, Audit, AuditFile, COMMAND, FileJournal, Journal, JournalError, Ledger, Neighbour, Seen, Who,
    folder_within, private_file,
};
use crate::manifest::{Fleet, Hashes};
use crate::model::{Origin, seen};
use crate::plan::Approvals;

use super::args::Simulated;
use super::committed::{self, Commit};
use super::error::CliError;
use super::exit::Exit;
use super::file;
use super::ledgers;
use super::progress::patiently;
use super::saved::SavedPlan;
use super::settings::Settings;
use super::simulated::Tenants;
use super::source::{self, Declared};

/// What became of each tenant: those that could not be opened, and the answers
/// of the others, in their order; with the place of each answer.
pub(super) fn in_place<T, E: Into<CliError>>(
    errors: Vec<Option<CliError>>,
    answers: Vec<Result<T, E>>,
) -> Vec<Result<(usize, T), CliError>> {
    let mut answers = answers.into_iter().enumerate();
    let answer = |error: Option<CliError>| match error {
        Some(error) => Some(Err(error)),
        None => answers.next().map(|(at, answer)| answer.map(|answer| (at, answer)).map_err(Into::into)),
    };
    errors.into_iter().filter_map(answer).collect()
}

/// The file in the state folder that tells one machine from another.
const MACHINE: &str = "machine";

/// The name of this machine in ledgers: made up, and kept. Empty for a reader
/// that has none yet.
fn machine(state: &Path, purpose: Purpose) -> std::io::Result<String> {
    let path = state.join(MACHINE);
    match (std::fs::read_to_string(&path), purpose) {
        (Ok(name), _) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        (_, Purpose::Read) => Ok(String::new()),
        (_, Purpose::Write) => {
            let name = Uuid::new_v4().to_string();
            folder_within(state, state)?;
            private_file(&path)?.write_all(name.as_bytes())?;
            Ok(name)
        }
    }
}

/// The ledgers that other owners of the tenant have here.
fn siblings(owner: &Path) -> Vec<Neighbour> {
    let entries = owner.parent().and_then(|owners| std::fs::read_dir(owners).ok());
    let folders = entries.into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path != owner);
    let read = |folder: PathBuf| {
        let path = folder.join("ledger.json");
        let text = std::fs::read_to_string(&path).ok()?;
        Some(Neighbour { place: path.display().to_string(), ledger: Ledger::read(&text, false) })
    };
    folders.filter_map(read).collect()
}

/// The file that declares a claim, from the root of the declarations on, with `/`
/// between its parts.
fn path_of(fleet: &Fleet, origin: Origin) -> String {
    let path = fleet.places.path(origin).unwrap_or(Path::new(""));
    let parts = path.strip_prefix(&fleet.root).unwrap_or(path).iter();
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// What is approved must be there, as declared or as it was last applied: a slip
/// of the pen lets nothing through, and says so.
fn known_freezes(member: &Member<'_>) -> Result<(), CliError> {
    let (tenant, approvals) = (member.judged(), &member.approvals);
    let names: Vec<&str> = tenant.freezes.iter().map(|freeze| freeze.name.as_str()).collect();
    let Some(unknown) = approvals.freezes.iter().find(|name| !names.contains(&name.as_str())) else { return Ok(()) };
    let message = format!("`--approve-freeze {unknown}`: tenant `{}` has no such freeze", seen(&tenant.name));
    let hint = if names.is_empty() { "it has none".to_owned() } else { format!("it has: {}", names.join(", ")) };
    Err(CliError::new(Exit::Usage, message).hint(hint))
}

/// The file that declares a claim.
fn file_of(fleet: &Fleet) -> impl Fn(Origin) -> String + Send + Sync + use<> {
    let places = fleet.places.clone();
    move |origin| places.get(origin).map_or_else(String::new, |place| place.file.to_string())
}

/// Opens the ways of one run.
pub(super) struct Opener<'s> {
    pub settings: &'s Settings,
    purpose: Purpose,
    tenants: Tenants<'s>,
    declared: &'s Declared,
    stop: &'s Stop,
    /// Who has said yes, and how for each tenant, in their order.
    approver: Option<String>,
    approvals: Vec<&'static str>,
    /// What is checked out.
    commit: Option<Arc<Commit>>,
}

impl<'s> Opener<'s> {
    pub(super) fn new(
        settings: &'s Settings,
        simulated: &'s Simulated,
        declared: &'s Declared,
        purpose: Purpose,
        stop: &'s Stop,
    ) -> Self {
        let tenants = Tenants::new(settings, simulated, purpose);
        Self { settings, purpose, tenants, declared, stop, approver: None, approvals: Vec::new(), commit: None }
    }

    /// What the audit log says of the consent: who gives it, and how for each
    /// tenant, in their order.
    #[must_use]
    pub(super) fn approved(self, approver: Option<String>, approvals: Vec<&'static str>) -> Self {
        Self { approver, approvals, ..self }
    }

    /// Who consents to what is done to the tenant of this place, and how.
    fn consent(&self, at: usize) -> Actor {
        let approval = self.approvals.get(at).copied().unwrap_or(COMMAND).into();
        Actor { approver: self.approver.clone(), approval, ..Actor::default() }
    }

    /// Opens the ways to the tenants of fleets. To write, the journals of their
    /// owners are locked: two of us would spoil each other's turn.
    ///
    /// # Errors
    /// When a declaration names what cannot be used, or somebody else applies:
    /// with the place of the tenant.
    pub(super) async fn open_all<'f>(
        &mut self,
        fleets: impl Iterator<Item = (&'f Fleet, Approvals)>,
    ) -> Result<Members<'f>, (usize, CliError)> {
        let mut members = Vec::new();
        for (at, (fleet, approvals)) in fleets.enumerate() {
            let member = self.open(at, fleet, approvals).await.map_err(|error| (at, error))?;
            known_freezes(&member).map_err(|error| (at, error))?;
            members.push(member);
        }
        Ok(Members::new(members, self.stop))
    }

    /// The same where each tenant has a saved plan.
    ///
    /// # Errors
    /// As above.
    pub(super) async fn open_saved<'f>(
        &mut self,
        fleets: impl Iterator<Item = (&'f Fleet, &SavedPlan)>,
    ) -> Result<Members<'f>, (usize, CliError)> {
        let mut members = Vec::new();
        for (at, (fleet, plan)) in fleets.enumerate() {
            let member = self.open(at, fleet, plan.approvals.clone()).await.map_err(|error| (at, error))?;
            let saved = Saved { plan: plan.prepared.clone(), moved: Vec::new(), already: Vec::new() };
            members.push(Member { saved: Some(saved), ..member });
        }
        Ok(Members::new(members, self.stop))
    }

    /// The same for readers: one that cannot be opened keeps no other from being
    /// read. The errors stand in the place of their tenants.
    pub(super) async fn open_each<'f>(
        &mut self,
        fleets: impl Iterator<Item = (&'f Fleet, Approvals)>,
    ) -> (Members<'f>, Vec<Option<CliError>>) {
        let (mut members, mut errors) = (Vec::new(), Vec::new());
        for (at, (fleet, approvals)) in fleets.enumerate() {
            let member = self.open(at, fleet, approvals).await;
            match member.and_then(|member| known_freezes(&member).map(|()| member)) {
                Ok(member) => {
                    members.push(member);
                    errors.push(None);
                }
                Err(error) => errors.push(Some(error)),
            }
        }
        (Members::new(members, self.stop), errors)
    }

    async fn open<'f>(&mut self, at: usize, fleet: &'f Fleet, approvals: Approvals) -> Result<Member<'f>, CliError> {
        let consent = self.consent(at);
        let Self { settings, purpose, tenants, declared, stop, commit, .. } = self;
        let purpose = *purpose;
        let tenant = &fleet.desired.tenant;
        let connect = source::connect(settings, tenants, fleet, purpose, stop);
        let connection = patiently(settings, &format!("reaching {}", seen(&tenant.name)), connect).await?;
        let state = settings.state_of(&connection.target, tenant.id);
        let owner = state.join("owners").join(&tenant.owner);
        let store = match purpose {
            Purpose::Read => FileJournal::read_only(&owner),
            Purpose::Write => {
                folder_within(&settings.state_dir, &owner).map_err(|error| CliError::file("create", &owner, &error))?;
                FileJournal::open(&owner)?
            }
        };
        let journal = Journal::open(Box::new(store), connection.clock.now()).await;
        let journal = journal.map_err(|error| match error {
            error @ JournalError::Format { .. } => CliError::from(error).of_file(&owner.join("journal.jsonl")),
            error => error.into(),
        })?;
        let (store, repository) = ledgers::store(&settings.ledger, &connection.target, fleet, &owner)?;
        // The built-in tenant is for trying things out, with one folder and another.
        let paths = if connection.target.is_simulated() { &[][..] } else { &declared.paths };
        let mut source = ledgers::source(repository.as_ref(), &fleet.root, paths, declared.left_out);
        let checked_out = repository.as_ref().zip(source.commit.as_deref());
        let commit = checked_out.map(|(repository, name)| match commit {
            Some(known) if known.is(name) => Arc::clone(known),
            _ => Arc::clone(commit.insert(Arc::new(Commit::new(repository, fleet, name)))),
        });
        let commit = commit.as_deref();
        // What is written down is of that commit, or of none.
        if purpose == Purpose::Write && source.dirty.is_none() {
            source.dirty = commit.and_then(Commit::unlike);
        }
        let journal = match purpose {
            Purpose::Read => journal,
            Purpose::Write => {
                let (author, committer) = source.people.clone().unzip();
                let (client_id, commit, dirty) =
                    (connection.client_id.clone(), source.commit.clone(), source.dirty.is_some());
                let actor = Actor { client_id, commit, dirty, author, committer, ..consent };
                let (target, owner_id) = (connection.target.name().to_owned(), tenant.owner.clone());
                if let Some(named) = &settings.audit {
                    file::refuse_link(named)?;
                }
                let file = settings.audit.clone().unwrap_or_else(|| owner.join(AUDIT_FILE));
                journal
                    .audited(Audit::new(AuditFile::open(&file)?, Who { target, tenant_id: tenant.id, owner_id, actor }))
            }
        };
        let wanted = Wanted {
            target: &connection.target,
            desired: &fleet.desired,
            lineage: fleet.tenant.ledger.as_ref().and_then(|ledger| ledger.lineage.as_deref()),
            machine: machine(&settings.state_dir, purpose)
                .map_err(|error| CliError::file("write", &settings.state_dir.join(MACHINE), &error))?,
            source: source.clone(),
            file: Box::new(file_of(fleet)),
            path: Box::new(|origin| path_of(fleet, origin)),
            lacks: Box::new(|path| commit.is_some_and(|commit| commit.lacks(path))),
            seen: Seen::within(&owner),
            elsewhere: declared.elsewhere.get(&(tenant.id, tenant.owner.clone())).cloned().unwrap_or_default(),
            siblings: siblings(&owner),
            together: declared
                .fleets
                .iter()
                .map(|fleet| &fleet.desired.tenant)
                .filter(|of| of.id == tenant.id)
                .map(|of| of.owner.clone())
                .collect(),
            now: connection.clock.now(),
        };
        let reading = Book::open(store, wanted, purpose == Purpose::Read);
        let mut book = patiently(settings, "reading the ledger", reading).await?;
        committed::doubt(commit, &mut book, &fleet.desired, purpose);
        if purpose == Purpose::Write {
            book.older = ledgers::older(repository.as_ref(), &source, book.applied());
        }
        let book = Some(book);
        let stop = stop.clone();
        let hashes = Hashes::new(fleet.root.clone()).asking(&settings.allow_key_hosts).until(move || stop.is_asked());
        let hashes = Box::new(hashes);
        Ok(Member { desired: &fleet.desired, connection, journal, hashes, book, approvals, saved: None })
    }
}
