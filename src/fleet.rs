//! Rounds over several tenants, one or many alike. A caller opens its tenants as
//! the [`Members`] here and never goes over them itself: all of them are read and
//! judged before the first write, one that fails hides no other, and there is an
//! account of each at the end.

use std::collections::{BTreeMap, HashSet};

mod book;
mod decommission;

use jiff::Timestamp;

use crate::apply::{BATCH, Event, Halt, Outcome, Outcomes, wanted};
use crate::clock::{self, Stop, Stopped};
use crate::connect::Connection;
use crate::graph::{GraphError, GraphWriter};
use crate::hash::{HashSource, WantedHash, identity_keys};
use crate::ledger::{Act, Deed, Entry, Journal, JournalError, Ledger, LedgerError, Phase, Running};
use crate::model::{Action, Desired, Device, DeviceKey, Frozen, HashError, Release, SerialKey, Tenant};
use crate::plan::{self, Approvals, Change, Moved, Note, Reason, Rest, Standing};
use crate::round::{
    self, Consent, Goes, Prepared, Report, Round, RoundError, Stale, SyncAnswer, TakenUp, ask_for_sync,
};
use crate::status::{FleetStatus, fold};
pub(crate) use book::{Book, LetLoose, Source, Wanted};
pub(crate) use decommission::{Departure, End as StepEnd, Ended, Leaver, News, Refusal, Refused, Step};

/// One tenant of a run, with the ways to it.
pub(crate) struct Member<'a> {
    pub desired: &'a Desired,
    pub connection: Connection,
    pub journal: Journal,
    pub hashes: Box<dyn HashSource>,
    /// What we have applied before; `None` where none is kept.
    pub book: Option<Book>,
    /// What a person has approved beforehand, by number.
    pub approvals: Approvals,
    /// The plan that was saved, where the run is to carry one out.
    pub saved: Option<Saved>,
}

/// A saved plan of one tenant, and what is known of it besides.
pub(crate) struct Saved {
    pub plan: Prepared,
    /// What is left out, once that is known.
    pub moved: Vec<Moved>,
    /// What is there without this run.
    pub already: Vec<(DeviceKey, Outcome)>,
}

impl Member<'_> {
    /// The name by which people know the tenant.
    pub(crate) fn name(&self) -> &str {
        &self.desired.tenant.name
    }

    /// `settle`: wait for our own writes first.
    async fn prepare(&mut self, settle: bool, stop: &Stop) -> Result<Prepared, RoundError> {
        let Self { desired, connection, journal, hashes, approvals, book, saved } = self;
        let round = round(desired, connection, hashes.as_ref(), approvals, book.as_ref(), settle, stop);
        match saved {
            None => round.prepare(journal).await,
            Some(saved) => round.prepare_again(saved.plan.cleared.plan(), journal).await,
        }
    }

    /// The tenant under the stricter of the guards that are declared and those that
    /// were last applied.
    pub(crate) fn judged(&self) -> &Tenant {
        &self.book.as_ref().map_or(self.desired, |book| book.judged(self.desired)).tenant
    }

    /// The next freeze that nobody has approved, and when it begins.
    pub(crate) fn next_freeze(&self) -> Option<(Timestamp, Frozen)> {
        self.judged().next_freeze(|on| self.approvals.lets_through(on), self.connection.graph.service_now())
    }

    /// The freeze that is on, unless somebody has approved it.
    pub(crate) fn frozen(&self) -> Option<Frozen> {
        let now = self.connection.graph.service_now();
        self.next_freeze().filter(|(from, _)| *from <= now).map(|(_, frozen)| frozen)
    }

    /// Holds the saved plan against what would be done now.
    fn take_up(&self, now: Prepared, stale: Stale) -> TakenUp {
        let saved = self.saved.as_ref().expect("only who has a saved plan asks");
        let (ledger, broke_off) =
            (self.book.as_ref().and_then(Book::ledger), self.book.as_ref().and_then(Book::broke_off));
        let ledger = ledger.map(AsRef::as_ref);
        round::take_up(saved.plan.cleared.plan(), now, stale, self.desired, &self.journal, ledger, broke_off)
    }

    /// Writes down that it is carried out.
    async fn taken_up(&mut self, goes: Goes) -> Result<(Prepared, Consent), JournalError> {
        let Goes { prepared, consent, entries, moved, already, .. } = goes;
        if !entries.is_empty() {
            self.journal.record(self.connection.graph.service_now(), entries).await?;
        }
        if let Some(saved) = &mut self.saved {
            (saved.moved, saved.already) = (moved, already);
        }
        Ok((prepared, consent))
    }

    /// Holds an approved digest against what would be done. An approval of
    /// which everything is done is spent from here on; what is done from here
    /// on is done under the rest of one.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub(crate) async fn standing(&mut self, digest: &str, prepared: &Prepared) -> Result<Standing, JournalError> {
        let standing = plan::standing(digest, &prepared.cleared, self.desired, &self.journal);
        if let Standing::Rest(rest) = &standing
            && self.journal.spent(digest).is_none()
        {
            let digest = digest.to_owned();
            // What it brought about may still be owed: the sync, own import records.
            let is_over = rest.is_done() && prepared.cleared.plan().upkeep.is_empty();
            let entry = if is_over { Entry::Spent { digest, done: true } } else { Entry::Resumed { digest } };
            self.journal.record(self.connection.graph.service_now(), vec![entry]).await?;
        }
        Ok(standing)
    }

    /// Where somebody has asked to stop before, says of each effect that it was
    /// not tried.
    async fn carry_out(
        &mut self,
        prepared: Prepared,
        consent: Consent,
        stop: &Stop,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Report {
        let report = if stop.is_asked() {
            self.not_reached(prepared, consent, Halt::Asked)
        } else {
            self.carry_out_over_ledger(prepared, consent, stop, on_event).await
        };
        match &self.saved {
            None => report,
            Some(Saved { plan, moved, already }) => report.of_saved(plan, moved, already),
        }
    }

    /// Marks the ledger, works, and writes the ledger.
    async fn carry_out_over_ledger(
        &mut self,
        prepared: Prepared,
        consent: Consent,
        stop: &Stop,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Report {
        let plan = prepared.cleared.plan();
        let known = self.journal.consent().filter(|_| matches!(consent, Consent::Resumed | Consent::ResumedInPart));
        let under = known.map_or_else(|| plan.digest().sha256, |known| known.digest.clone());
        if let Some(book) = &mut self.book
            && let Err(error) = book.begin(&prepared.cleared, &under, self.connection.graph.service_now()).await
        {
            return self.not_reached(prepared, consent, Halt::Ledger(error));
        }
        let Self { desired, connection, journal, hashes, approvals, book, .. } = self;
        if let Some(audit) = journal.audit() {
            let plan = prepared.cleared.plan();
            plan.changes.iter().for_each(|change| audit.learn(&change.effect));
            if !matches!(consent, Consent::Resumed | Consent::ResumedInPart) {
                audit.under(plan.digest().sha256);
            }
        }
        let writer = GraphWriter::new(connection.graph.clone());
        let round = round(desired, connection, hashes.as_ref(), approvals, book.as_ref(), true, stop);
        let mut report = round.carry_out(prepared, consent, &writer, journal, on_event).await;
        if let Some(book) = book
            && let Err(halt) = keep(book, desired, &report, journal, connection).await
        {
            report.halt = report.halt.or(Some(halt));
        }
        let released = report.outcomes.of.iter().filter_map(|(change, outcome)| match (change.action(), outcome) {
            (Action::Release(Release { id, .. }), Outcome::Done { .. }) => {
                Some(Entry::Released { registration_id: *id })
            }
            _ => None,
        });
        if let Err(error) = journal.record(connection.graph.service_now(), released.collect()).await {
            report.halt = report.halt.or(Some(Halt::Journal(error)));
        }
        report
    }

    async fn status(&mut self, serial: Option<&SerialKey>, stop: &Stop) -> Result<TenantStatus, RoundError> {
        let is_wanted = |key: SerialKey| serial.is_none_or(|wanted| *wanted == key);
        if !self.desired.claims().iter().any(|claim| is_wanted(claim.serial.key())) && serial.is_some() {
            let observed = self.connection.graph.list_devices().await?;
            let observed_at = observed.at;
            let undeclared: Vec<Device> =
                observed.into_devices().into_iter().filter(|device| is_wanted(device.key())).collect();
            let fleet = FleetStatus { devices: Vec::new(), unmanaged: undeclared.len(), observed_at };
            return Ok(TenantStatus { fleet, undeclared });
        }
        let prepared = self.prepare(false, stop).await?;
        let mut fleet = fold(self.desired, prepared.cleared.plan());
        fleet.devices.retain(|device| is_wanted(device.serial.key()));
        Ok(TenantStatus { fleet, undeclared: Vec::new() })
    }

    async fn sync(&mut self, waits: bool, stop: &Stop, told: &mut (dyn FnMut(SyncNews) + Send)) -> Result<(), NoSync> {
        // What the service says of the time comes with its first answer.
        self.connection.graph.sync_state().await.map(drop).or_else(|error| match error.is_about_us() {
            true => Err(NoSync::Refused(error)),
            false => Ok(()),
        })?;
        let freeze = self.next_freeze();
        let Self { connection: Connection { graph, clock, .. }, journal, .. } = self;
        let writer = GraphWriter::new(graph.clone()).closing(freeze.as_ref().map(|(from, _)| *from));
        let mut not_before = None;
        loop {
            if stop.is_asked() {
                return Err(NoSync::NotAsked);
            }
            let answer =
                ask_for_sync(&writer, clock.as_ref(), journal, None, not_before).await.map_err(
                    |error| match error {
                        RoundError::Stopped => NoSync::Stopped,
                        RoundError::Journal(error) => NoSync::Journal(error),
                        RoundError::Ledger(_) => unreachable!("a sync asks no ledger"),
                        RoundError::Graph(error) => NoSync::Refused(error),
                    },
                )?;
            let (at, why) = match answer {
                SyncAnswer::Started { at } => {
                    told(SyncNews::Started { at });
                    return Ok(());
                }
                SyncAnswer::Covered => return Ok(()),
                SyncAnswer::Closed => {
                    return Err(NoSync::Frozen(freeze.map(|(_, frozen)| frozen).expect("it closes for one")));
                }
                // A request that was given up may have arrived.
                SyncAnswer::Refused(_) | SyncAnswer::Later { .. } if stop.is_asked() => return Err(NoSync::Stopped),
                SyncAnswer::Refused(error) => return Err(NoSync::Refused(error)),
                SyncAnswer::Later { at, why } => (at, why),
            };
            not_before = Some(at);
            if !waits {
                return Err(NoSync::Later { at, why });
            }
            told(SyncNews::Waits { at, now: clock.now(), why });
            clock::wait(clock.as_ref(), stop, at).await.map_err(|_| NoSync::NotAsked)?;
        }
    }

    async fn rebuild(&mut self, stop: &Stop) -> Result<usize, RoundError> {
        let prepared = self.prepare(false, stop).await?;
        let Self { desired, connection, journal, book, .. } = self;
        let Some(book) = book else { return Ok(0) };
        let now = connection.graph.service_now();
        let deeds = vec![Deed::of(Act::LedgerRebuild)];
        journal.announce(now, Phase::Intent, deeds.clone()).await?;
        let rebuilt = book.rebuild(desired, prepared.cleared.plan(), journal, now).await;
        journal.announce(now, Phase::Outcome, ended(deeds, &rebuilt)).await?;
        Ok(rebuilt?)
    }

    async fn unlock(&mut self) -> Result<Option<Running>, RoundError> {
        let Self { connection, journal, book, .. } = self;
        let Some(book) = book else { return Ok(None) };
        let now = connection.graph.service_now();
        let deeds = vec![Deed::of(Act::LedgerUnlock)];
        journal.announce(now, Phase::Intent, deeds.clone()).await?;
        let unlocked = book.unlock(now).await;
        journal.announce(now, Phase::Outcome, ended(deeds, &unlocked)).await?;
        Ok(unlocked?)
    }

    async fn release(&mut self, serials: &[SerialKey]) -> Result<Vec<LetLoose>, RoundError> {
        let Self { connection, journal, book, .. } = self;
        let Some(book) = book else { return Ok(Vec::new()) };
        let now = connection.graph.service_now();
        let meant: Vec<Deed> = book
            .ledger()
            .into_iter()
            .flat_map(|ledger| ledger.devices())
            .filter_map(|tracked| {
                let is_meant = serials.contains(&tracked.serial_number.key());
                let (serial_number, registration_id) =
                    (Some(tracked.serial_number.clone()), Some(tracked.registration_id));
                is_meant.then(|| Deed { serial_number, registration_id, ..Deed::of(Act::Release) })
            })
            .collect();
        journal.announce(now, Phase::Intent, meant.clone()).await?;
        let released = book.release(serials, now).await;
        journal.announce(now, Phase::Outcome, ended(meant, &released)).await?;
        let released = released?;
        let entries = released.iter().map(|of| Entry::Released { registration_id: of.id });
        journal.record(now, entries.collect()).await?;
        Ok(released)
    }

    /// Reads, and keeps nowhere, the hashes that the plan took on trust: what
    /// cannot be read here, or is of another machine than the ledger knows, with
    /// whom it would register.
    ///
    /// # Errors
    /// When somebody asked to stop.
    async fn unreadable(
        &mut self,
        prepared: &Prepared,
        stop: &Stop,
        unreadable: &mut BTreeMap<String, Vec<DeviceKey>>,
    ) -> Result<(), Stopped> {
        let is_pinned = |change: &&Change| change.notes.contains(&Note::HashNotReadHere);
        let pinned = prepared.cleared.plan().changes.iter().filter(is_pinned);
        let pinned: Vec<(&Change, WantedHash)> = pinned.filter_map(|change| Some((change, wanted(change)?))).collect();
        for chunk in pinned.chunks(BATCH) {
            let asked = chunk.iter().map(|(_, wanted)| wanted.clone()).collect();
            let read = tokio::select! {
                read = self.hashes.read(asked) => read,
                () = stop.asked() => return Err(Stopped),
            };
            for ((change, _), read) in chunk.iter().zip(read) {
                let device = &change.effect.device;
                let message = match read {
                    Ok(hash) => {
                        let keys = hash.decode().map(|decoded| identity_keys(&decoded)).unwrap_or_default();
                        self.book.as_mut().and_then(|book| book.learn(device, &keys))
                    }
                    Err(HashError::NotHere(message) | HashError::Unusable(message)) => Some(message),
                };
                if let Some(message) = message {
                    unreadable.entry(message).or_default().push(device.clone());
                }
            }
        }
        Ok(())
    }

    /// The account of a tenant that the run did not come to.
    fn not_reached(&self, prepared: Prepared, consent: Consent, halt: Halt) -> Report {
        let changes = prepared.cleared.plan().changes.iter();
        let cancelled = matches!(halt, Halt::Asked);
        let outcome = || match &halt {
            Halt::Ledger(error) => {
                Outcome::NotAttempted { reason: Reason::LedgerNotWritten, message: error.to_string() }
            }
            _ => Outcome::not_reached(),
        };
        let of = changes.map(|change| (change.clone(), outcome())).collect();
        let now = self.connection.clock.now();
        Report {
            outcomes: Outcomes { of, cancelled, ..Outcomes::default() },
            left: None,
            calls: prepared.calls,
            started: now,
            ended: now,
            halt: Some(halt),
            consent,
            prepared,
        }
    }
}

/// Writes the ledger, and into the audit log what is done by that alone.
async fn keep(
    book: &mut Book,
    desired: &Desired,
    report: &Report,
    journal: &mut Journal,
    connection: &Connection,
) -> Result<(), Halt> {
    let done = report.outcomes.of.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Done { .. }));
    let deeds: Vec<Deed> = done.filter_map(|(change, _)| Deed::of_ledger(&change.effect)).collect();
    let now = || connection.graph.service_now();
    journal.announce(now(), Phase::Intent, deeds.clone()).await?;
    let kept = book.end(desired, report, journal, now()).await;
    journal.announce(now(), Phase::Outcome, ended(deeds, &kept)).await?;
    Ok(kept?)
}

/// Deeds of which the ledger alone hears, after it was written.
fn ended<T>(deeds: Vec<Deed>, kept: &Result<T, LedgerError>) -> Vec<Deed> {
    let end = |deed: Deed| match kept {
        Ok(_) => deed.ends("done"),
        Err(error) => deed.ends("failed").saying(error.to_string()),
    };
    deeds.into_iter().map(end).collect()
}

fn round<'r>(
    desired: &'r Desired,
    connection: &'r Connection,
    hashes: &'r dyn HashSource,
    approvals: &'r Approvals,
    book: Option<&'r Book>,
    settle: bool,
    stop: &'r Stop,
) -> Round<'r> {
    let Connection { graph, clock, target, .. } = connection;
    let (ledger, no_removal) = (book.and_then(Book::ledger), book.and_then(Book::problem));
    let desired = book.map_or(desired, |book| book.judged(desired));
    let loosens = book.map_or(&[][..], Book::loosens);
    let clock = clock.as_ref();
    let broke_off = book.and_then(Book::broke_off);
    Round { desired, target, graph, clock, hashes, approvals, ledger, broke_off, loosens, no_removal, settle, stop }
}

/// The tenants of a run, in the order in which they are declared.
pub(crate) struct Members<'a> {
    of: Vec<Member<'a>>,
    stop: Stop,
}

/// What is told while a run is carried out, tenant by tenant.
pub(crate) enum Told<'a> {
    /// A tenant has its turn.
    Begins,
    /// Something has happened there.
    Event(&'a Event),
    /// Its turn is over, and this is its account.
    Ends(&'a Report),
}

/// Where the wanted devices of a tenant stand.
pub(crate) struct TenantStatus {
    /// The declared ones.
    pub fleet: FleetStatus,
    /// A wanted one that is registered and declared nowhere.
    pub undeclared: Vec<Device>,
}

/// What the approvals among the declarations allow.
pub(crate) enum Granted {
    /// This very plan.
    Whole(Prepared),
    /// What is left of one that was begun.
    Rest(Prepared, Box<Rest>),
    /// Nothing of this plan.
    Nothing(Prepared),
}

/// What becomes of a request to sync.
pub(crate) enum SyncNews {
    /// The tenant has begun, at the service's time.
    Started { at: Timestamp },
    /// It is asked again then, by our own clock.
    Waits { at: Timestamp, now: Timestamp, why: String },
}

/// Why a tenant did not sync.
pub(crate) enum NoSync {
    /// Not before then, by our own clock.
    Later {
        at: Timestamp,
        why: String,
    },
    Refused(GraphError),
    Journal(JournalError),
    /// A freeze is on.
    Frozen(Frozen),
    /// Somebody asked to stop; it may have begun.
    Stopped,
    /// Somebody asked to stop before.
    NotAsked,
}

impl<'a> Members<'a> {
    pub(crate) fn new(of: Vec<Member<'a>>, stop: &Stop) -> Self {
        Self { of, stop: stop.clone() }
    }

    /// Each of them, for what is to be said about it.
    pub(crate) fn of(&self) -> &[Member<'a>] {
        &self.of
    }

    /// What would be done, for a reader: of each tenant that can be read.
    pub(crate) async fn plan(&mut self) -> Vec<Result<Prepared, RoundError>> {
        let mut all = Vec::with_capacity(self.of.len());
        for member in &mut self.of {
            all.push(member.prepare(false, &self.stop).await);
        }
        all
    }

    /// What would be done, for whoever is about to do it: what we wrote lately
    /// is waited for. The first tenant that cannot be read ends it: nothing has
    /// been written anywhere.
    ///
    /// # Errors
    /// With the place of the tenant.
    pub(crate) async fn prepare(&mut self) -> Result<Vec<Prepared>, (usize, RoundError)> {
        let mut all = Vec::with_capacity(self.of.len());
        for (at, member) in self.of.iter_mut().enumerate() {
            all.push(member.prepare(true, &self.stop).await.map_err(|error| (at, error))?);
        }
        Ok(all)
    }

    /// Where the devices stand: all that are declared, or one. That one is looked
    /// for among the registrations, too, where a tenant does not declare it.
    pub(crate) async fn status(&mut self, serial: Option<&SerialKey>) -> Vec<Result<TenantStatus, RoundError>> {
        let mut all = Vec::with_capacity(self.of.len());
        for member in &mut self.of {
            all.push(member.status(serial, &self.stop).await);
        }
        all
    }

    /// Holds an approved digest of one tenant against what would be done there.
    ///
    /// # Errors
    /// When what follows from it cannot be written down.
    pub(crate) async fn standing(
        &mut self,
        at: usize,
        digest: &str,
        prepared: &Prepared,
    ) -> Result<Standing, JournalError> {
        self.of[at].standing(digest, prepared).await
    }

    /// The consent of one tenant is that of an approval among the declarations.
    fn approved_in_writing(&mut self, at: usize, name: &str) {
        if let Some(audit) = self.of[at].journal.audit() {
            audit.approved_in_writing(name);
        }
    }

    /// Consent by an approval among the declarations: to this very plan, or to what
    /// is left of one that a run has begun. What none of them allows is given back.
    ///
    /// # Errors
    /// When what follows from it cannot be written down.
    pub(crate) async fn granted(&mut self, at: usize, prepared: Prepared) -> Result<Granted, JournalError> {
        if let Some(grant) = prepared.cleared.granted() {
            self.approved_in_writing(at, &grant.name);
            return Ok(Granted::Whole(prepared));
        }
        let begun = prepared.begun();
        let grant = begun.as_ref().and_then(|begun| begun.cleared.granted().cloned());
        let (Some(begun), Some(grant)) = (begun, grant) else { return Ok(Granted::Nothing(prepared)) };
        match self.standing(at, &grant.digest, &begun).await? {
            Standing::Rest(rest) => {
                self.approved_in_writing(at, &grant.name);
                Ok(Granted::Rest(begun, rest))
            }
            Standing::Same | Standing::Other => Ok(Granted::Nothing(prepared)),
        }
    }

    /// Holds the saved plan of one tenant against what would be done there now.
    pub(crate) fn take_up(&self, at: usize, now: Prepared, stale: Stale) -> TakenUp {
        self.of[at].take_up(now, stale)
    }

    /// Writes down, of one tenant, that its saved plan is carried out.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub(crate) async fn taken_up(&mut self, at: usize, goes: Goes) -> Result<(Prepared, Consent), JournalError> {
        self.of[at].taken_up(goes).await
    }

    /// Makes sure that every hash which a plan took on trust can be read, before
    /// anything is sent to any tenant: by what is wrong, which devices it keeps
    /// from being registered. Empty if all is well.
    ///
    /// # Errors
    /// When somebody asked to stop.
    pub(crate) async fn unreadable_hashes<'p>(
        &mut self,
        approved: impl IntoIterator<Item = &'p Prepared>,
    ) -> Result<BTreeMap<String, Vec<DeviceKey>>, Stopped> {
        let mut all = BTreeMap::new();
        for (member, prepared) in self.of.iter_mut().zip(approved) {
            member.unreadable(prepared, &self.stop, &mut all).await?;
        }
        Ok(all)
    }

    /// Does what was prepared and consented to, one tenant after the other, and
    /// has an account of every one of them, whatever becomes of the others.
    pub(crate) async fn carry_out(
        &mut self,
        approved: Vec<(Prepared, Consent)>,
        told: &mut (dyn FnMut(usize, Told<'_>) + Send),
    ) -> Vec<Report> {
        let mut all = Vec::with_capacity(self.of.len());
        for (at, (member, (prepared, consent))) in self.of.iter_mut().zip(approved).enumerate() {
            told(at, Told::Begins);
            let report =
                member.carry_out(prepared, consent, &self.stop, &mut |event| told(at, Told::Event(&event))).await;
            told(at, Told::Ends(&report));
            all.push(report);
        }
        all
    }

    /// Begins new ledgers with what the journals know to be ours. Gives back how
    /// many devices that are, tenant by tenant.
    ///
    /// # Errors
    /// With the place of the tenant.
    pub(crate) async fn rebuild(&mut self) -> Result<Vec<usize>, (usize, RoundError)> {
        let mut all = Vec::with_capacity(self.of.len());
        for (at, member) in self.of.iter_mut().enumerate() {
            all.push(member.rebuild(&self.stop).await.map_err(|error| (at, error))?);
        }
        Ok(all)
    }

    /// Takes the marks of runs away, and says what they were.
    ///
    /// # Errors
    /// With the place of the tenant.
    pub(crate) async fn unlock(&mut self) -> Result<Vec<Option<Running>>, (usize, RoundError)> {
        let mut all = Vec::with_capacity(self.of.len());
        for (at, member) in self.of.iter_mut().enumerate() {
            if member.book.is_some() {
                all.push(member.unlock().await.map_err(|error| (at, error))?);
            }
        }
        Ok(all)
    }

    /// Puts a ledger in the place of the only tenant's.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn import(&mut self, ledger: Ledger) -> Result<(), RoundError> {
        match self.of.as_mut_slice() {
            [Member { book: Some(book), connection, journal, .. }] => {
                let now = connection.graph.service_now();
                let said = format!("{} devices, written as number {}", ledger.devices().len(), ledger.head.serial);
                let deeds = vec![Deed::of(Act::LedgerImport).saying(said)];
                journal.announce(now, Phase::Intent, deeds.clone()).await?;
                let imported = book.import(ledger, journal, now).await;
                journal.announce(now, Phase::Outcome, ended(deeds, &imported)).await?;
                Ok(imported?)
            }
            _ => Ok(()),
        }
    }

    /// Forgets devices by their serials, tenant by tenant.
    ///
    /// # Errors
    /// With the place of the tenant.
    pub(crate) async fn release(&mut self, serials: &[SerialKey]) -> Result<Vec<Vec<LetLoose>>, (usize, RoundError)> {
        let mut all = Vec::with_capacity(self.of.len());
        for (at, member) in self.of.iter_mut().enumerate() {
            all.push(member.release(serials).await.map_err(|error| (at, error))?);
        }
        Ok(all)
    }

    /// Asks every tenant for a sync, with the place of each that was asked: whoever
    /// owns devices in one tenant has one sync with the others. `waits`: until
    /// the tenant takes it.
    pub(crate) async fn sync(
        &mut self,
        waits: bool,
        told: &mut (dyn FnMut(usize, SyncNews) + Send),
    ) -> Vec<(usize, Result<(), NoSync>)> {
        let (mut asked, mut all) = (HashSet::new(), Vec::new());
        for (at, member) in self.of.iter_mut().enumerate() {
            if asked.insert((member.connection.target.clone(), member.desired.tenant.id)) {
                all.push((at, member.sync(waits, &self.stop, &mut |news| told(at, news)).await));
            }
        }
        all
    }
}
