//! The journal: a line before every write (the intent) and a line after it
//! (the outcome). Folded, it says what was approved, what became of our own
//! imports and updates, and what is still owed.
//!
//! Format `apgit.journal/v1`: one JSON object per line, its time by the
//! service's clock. No hardware hash is in it, only SHA-256 digests.

use std::collections::{HashMap, HashSet, VecDeque};

use async_trait::async_trait;
use compact_str::CompactString;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{
    Action, DeviceKey, Effect, Field, FieldChange, HashDigest, ImportId, ImportRecordId, ImportState, Loosen,
    RegistrationId, SerialKey, SerialNumber, Target, is_open_error, later, seen,
};

use super::approval::{Approval, Use};
use super::audit::Audit;
use super::line::{self, VERSION};

/// Lines older than this are of no use to any plan, but for what is owed.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);

/// Two clocks that are this close are one.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

/// So many approvals are remembered: whoever repeats a command repeats one of
/// the last.
const APPROVALS: usize = 4;

/// Where journal lines are kept. Appending returns after the lines are safe.
#[async_trait]
pub trait JournalStore: Send + Sync {
    /// All whole lines, oldest first, empty ones too: their numbers are those
    /// of the file.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn read(&mut self) -> Result<Vec<String>, JournalError>;

    /// Adds lines and makes them durable.
    ///
    /// # Errors
    /// When the store cannot be written; then none or some were added.
    async fn append(&mut self, lines: &[String]) -> Result<(), JournalError>;

    /// Puts `lines` in the place of all that is there, as one step.
    ///
    /// # Errors
    /// When the store cannot be written; then all is as it was.
    async fn replace(&mut self, lines: &[String]) -> Result<(), JournalError>;

    /// True for a store that was opened for looking only: what is recorded is
    /// counted in, and kept nowhere.
    fn is_read_only(&self) -> bool {
        false
    }
}

/// Says what is wrong with the journal.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum JournalError {
    #[error("another apgit is applying to this tenant (`{path}` is locked)")]
    Locked { path: String },
    #[error("cannot {what} the journal `{path}`: {source}")]
    Io { what: &'static str, path: String, source: std::io::Error },
    #[error("line {line} of the journal is not of `{VERSION}`: {reason}")]
    Format { line: usize, reason: String },
    #[error("cannot {what} the audit log `{path}`: {source}")]
    AuditIo { what: &'static str, path: String, source: std::io::Error },
    #[error("the last line of the audit log `{path}` is none of ours: {reason}")]
    Audit { path: String, reason: String },
}

/// One thing that is about to happen, or has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Entry {
    /// A plan was consented to; its effects follow.
    Approved {
        /// Of the plan's effects.
        digest: String,
        /// How many there are: with fewer, the writing was cut short.
        effects: usize,
        /// The target of the plan: it is approved for no other.
        target: Target,
        /// Guards that it loosens.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        loosens: Vec<Loosen>,
    },
    /// An effect of the approval before.
    Effect {
        /// What exactly was consented to.
        effect: Box<Effect>,
    },
    /// An earlier consent is made use of again: what comes from here on is done
    /// under it.
    Resumed {
        /// Of the plan's effects.
        digest: String,
    },
    /// Nothing more may be done under this consent.
    Spent {
        /// Of the plan's effects.
        digest: String,
        /// True if all of it is done; else it is too old to be remembered whole.
        done: bool,
    },
    /// This row is about to be posted.
    ImportIntent {
        /// Our mark on the row.
        import_id: ImportId,
        /// Which device it registers.
        #[serde(flatten)]
        device: DeviceKey,
        /// Of the hash that is sent.
        hash: HashDigest,
        /// Counted from 1.
        attempt: u32,
        /// What the import cannot carry, owed once it is complete.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tail: Vec<(Field, CompactString)>,
        /// What it carries: by that its registration is known to be untouched.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        carried: Vec<(Field, CompactString)>,
    },
    /// The service has a record of it.
    ImportTaken {
        /// Our mark on the row.
        import_id: ImportId,
        /// The service's own name for it.
        record: ImportRecordId,
    },
    /// The device is registered.
    ImportComplete {
        /// Our mark on the row.
        import_id: ImportId,
        /// What the import made.
        registration_id: RegistrationId,
    },
    /// The service could not import the row.
    ImportError {
        /// Our mark on the row.
        import_id: ImportId,
        /// `deviceErrorCode`.
        code: i64,
        /// `deviceErrorName`.
        name: String,
    },
    /// The row was refused before it became a record.
    ImportRefused {
        /// Our mark on the row.
        import_id: ImportId,
        /// The service's words.
        message: String,
    },
    /// Its record is gone, and nobody had read how it ended.
    ImportRemoved {
        /// Our mark on the row.
        import_id: ImportId,
    },
    /// An import that runs already is followed under the consent of now.
    ImportFollowed {
        /// Our mark on the row.
        import_id: ImportId,
        /// Which device it registers.
        #[serde(flatten)]
        device: DeviceKey,
        /// The SHA-256 of its hash.
        hash: HashDigest,
    },
    /// It was meant to be sent, and no record of it ever came.
    ImportLost {
        /// Our mark on the row.
        import_id: ImportId,
    },
    /// The record of an ended import was removed, or was found to be gone.
    ImportCleaned {
        /// The service's own name for it.
        record: ImportRecordId,
    },
    /// These fields are about to be written.
    UpdateIntent {
        /// Which registration is written.
        registration_id: RegistrationId,
        /// What it holds, and what it shall hold.
        fields: Vec<FieldChange>,
    },
    /// The last intent for this registration has ended, or has come one step
    /// further.
    UpdateEnd {
        /// Which registration was written.
        registration_id: RegistrationId,
        /// How far it came.
        end: UpdateEnd,
    },
    /// This registration is about to be removed.
    DeregisterIntent {
        /// Which one.
        registration_id: RegistrationId,
    },
    /// The removal has ended, or has come one step further.
    DeregisterEnd {
        /// Which registration.
        registration_id: RegistrationId,
        /// How far it came.
        removal: DeregisterEnd,
    },
    /// We made or changed this registration once; the lines that told so are
    /// no longer kept.
    Owned {
        /// Which is ours.
        registration_id: RegistrationId,
    },
    /// This registration is not ours any more: it was released.
    Released {
        /// Which one.
        registration_id: RegistrationId,
    },
    /// What stands before and is dated later than this line, counts as learnt
    /// now: some clock was wrong.
    Clock,
    /// The tenant is about to be asked for a sync.
    SyncIntent,
    /// The tenant was asked for a sync.
    SyncEnd {
        /// Whether it has begun.
        accepted: bool,
    },
    /// The sync that had begun did not end well.
    SyncFailed,
}

/// How a write to a registration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UpdateEnd {
    /// The service took it.
    Accepted,
    /// The service shows it.
    Visible,
    /// The service shows it, and it was not us who wrote it.
    Found,
    /// The service did not take it.
    Refused,
    /// The service did not take it now, and may take it later.
    NotTaken,
    /// Nobody knows: there was no answer.
    Lost,
}

/// How the removal of a registration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeregisterEnd {
    /// The service took it: a request, and no more.
    Accepted,
    /// The registration is gone.
    Gone,
    /// The service did not take it.
    Refused,
    /// Nobody knows: there was no answer.
    Lost,
}

/// One import of ours: its state, and when we learnt of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportFact {
    /// How far it has come.
    pub state: ImportState,
    /// When we learnt of it, by the service's clock.
    pub at: Timestamp,
}

/// An update that the service took and that was not visible yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingUpdate {
    /// When it was written, by the service's clock.
    pub since: Timestamp,
    /// What was written.
    pub fields: Vec<FieldChange>,
}

/// What an import could not carry, and its registration still lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tail {
    /// Which import.
    pub import_id: ImportId,
    /// What is owed.
    pub values: Vec<(Field, CompactString)>,
    /// What the import has carried.
    pub carried: Vec<(Field, CompactString)>,
}

/// A group tag that was sent: whether the device has it by now is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentTag {
    /// With a registration, or to one that is there.
    pub to: SentTo,
    /// Which one; `""` is none.
    pub tag: CompactString,
    /// When we set out to, by the service's clock.
    pub at: Timestamp,
}

/// The device that it was sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentTo {
    /// A device that is imported with it.
    Import(ImportId, SerialKey),
    /// A registration.
    Registration(RegistrationId),
}

/// The journal of one tenant: its store, and what its lines say together.
pub struct Journal {
    store: Box<dyn JournalStore>,
    folded: Folded,
    /// Who hears of every line before it is written.
    pub(super) audit: Option<Audit>,
}

/// What the lines say together.
#[derive(Default)]
struct Folded {
    imports: HashMap<ImportId, ImportFact>,
    /// By import, as long as they are owed.
    tails: HashMap<ImportId, Tail>,
    made: HashMap<RegistrationId, ImportId>,
    owned: HashSet<RegistrationId>,
    intents: HashMap<RegistrationId, Vec<FieldChange>>,
    pending: HashMap<RegistrationId, PendingUpdate>,
    deleting: HashMap<RegistrationId, Timestamp>,
    /// Registrations that are gone by us, and when we saw that.
    deleted: HashMap<RegistrationId, Timestamp>,
    /// Whose registrations those are whose removal was consented to.
    leavers: HashMap<RegistrationId, SerialNumber>,
    records: HashMap<ImportRecordId, ImportId>,
    record_of: HashMap<ImportId, ImportRecordId>,
    unsynced: Option<Timestamp>,
    /// When a sync was last about to be asked for.
    sync_intent: Option<Timestamp>,
    /// What the last sync that has begun was for, and when that was.
    synced: Option<(Timestamp, Timestamp)>,
    /// The group tags that imports carry, but for those that never arrived.
    tagged: HashMap<ImportId, (SerialKey, CompactString, Timestamp)>,
    /// The group tags that were last written, but for those that were not taken.
    retagged: HashMap<RegistrationId, (CompactString, Timestamp)>,
    /// What an import that has not ended is of.
    sent: HashMap<ImportId, (DeviceKey, HashDigest)>,
    approvals: VecDeque<Approval>,
    /// Digests under which nothing more may be done, and whether all is done.
    spent: HashMap<String, bool>,
}

impl Journal {
    /// Reads and folds what is there. `now`, by our own clock, says what is too
    /// old to keep; as that may be far ahead, nothing is older than the last
    /// line makes it.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a line of another format.
    pub async fn open(mut store: Box<dyn JournalStore>, now: Timestamp) -> Result<Self, JournalError> {
        // An editor may leave an empty line. It says nothing, and is counted.
        let texts: Vec<(usize, String)> = (1..).zip(store.read().await?).filter(|(_, text)| !text.is_empty()).collect();
        let mut folded = Folded::default();
        let mut lines = Vec::with_capacity(texts.len());
        for (line, text) in &texts {
            let bad = |reason: String| JournalError::Format { line: *line, reason: seen(&reason).into_owned() };
            let (at, entry) = line::read(text).map_err(bad)?;
            lines.push((at, entry.about()));
            folded.fold(at, entry);
        }
        let now = lines.iter().map(|(at, _)| *at).max().map_or(now, |newest: Timestamp| newest.min(now));
        let is_old = |at: Timestamp| later(at, KEPT) <= now;
        let owed = folded.owed_imports();
        folded.imports.retain(|id, fact| !is_old(fact.at) || owed.contains(id));
        if lines.iter().filter(|(at, _)| is_old(*at)).count() > lines.len() / 2 {
            let matters = |(at, about): &(Timestamp, About)| match about {
                _ if !is_old(*at) => true,
                About::Import(id) => owed.contains(id),
                About::Registration(id) => folded.made.get(id).is_some_and(|import| owed.contains(import)),
                About::Clock => true,
                About::Other => false,
            };
            let kept = lines.iter().zip(&texts).filter(|(line, _)| matters(line)).map(|(_, (_, text))| text.clone());
            let (before, after) = folded.known(&owed, is_old);
            let written = |entry| line::written(now, &entry);
            let kept = before.into_iter().map(written).chain(kept).chain(after.into_iter().map(written));
            let kept: Vec<String> = kept.collect();
            store.replace(&kept).await?;
            // What this run knows is what the next one will read.
            folded = Folded::default();
            for (at, entry) in kept.iter().filter_map(|text| line::read(text).ok()) {
                folded.fold(at, entry);
            }
            folded.imports.retain(|id, fact| !is_old(fact.at) || owed.contains(id));
        }
        Ok(Self { store, folded, audit: None })
    }

    /// From here on, every line stands in this log before it stands in the journal:
    /// what is not in the log is not sent.
    #[must_use]
    pub fn audited(mut self, mut audit: Audit) -> Self {
        let Folded { approvals, sent, made, records, .. } = &self.folded;
        approvals.iter().flat_map(|approval| &approval.effects).for_each(|effect| audit.learn(effect));
        sent.iter().for_each(|(import_id, (device, hash))| audit.learn_import(*import_id, &device.serial, *hash));
        records.iter().for_each(|(record, import_id)| audit.learn_record(*record, *import_id));
        made.iter().for_each(|(id, import_id)| audit.learn_made(*id, *import_id));
        if let Some(consent) = self.consent().filter(|_| !audit.is_by_command()) {
            audit.under(consent.digest.clone());
        }
        self.audit = Some(audit);
        self
    }

    /// Makes `entries` durable, then counts them in.
    ///
    /// # Errors
    /// When the store cannot be written. A caller about to send a request
    /// must not send it then.
    pub async fn record(&mut self, at: Timestamp, entries: Vec<Entry>) -> Result<(), JournalError> {
        if entries.is_empty() {
            return Ok(());
        }
        if !self.store.is_read_only() {
            if let Some(audit) = &mut self.audit {
                audit.record(at, &entries).await?;
            }
            let lines: Vec<String> = entries.iter().map(|entry| line::written(at, entry)).collect();
            self.store.append(&lines).await?;
        }
        entries.into_iter().for_each(|entry| self.folded.fold(at, entry));
        Ok(())
    }

    /// What became of our imports, by import id.
    #[must_use]
    pub fn imports(&self) -> &HashMap<ImportId, ImportFact> {
        &self.folded.imports
    }

    /// Updates that the service took and that were not seen since.
    #[must_use]
    pub fn pending(&self) -> &HashMap<RegistrationId, PendingUpdate> {
        &self.folded.pending
    }

    /// Registrations whose removal we have asked for, and since when: until they
    /// were seen to be gone, or the service did not take it.
    #[must_use]
    pub fn deleting(&self) -> &HashMap<RegistrationId, Timestamp> {
        &self.folded.deleting
    }

    /// Registrations that are gone by us, of those that are remembered: when we saw
    /// that, and whose they were as far as that is known.
    pub(crate) fn deleted(&self) -> impl Iterator<Item = (RegistrationId, Timestamp, Option<&SerialNumber>)> {
        self.folded.deleted.iter().map(|(id, at)| (*id, *at, self.serial_of(*id)))
    }

    /// The serial of a registration whose removal was consented to.
    pub(crate) fn serial_of(&self, id: RegistrationId) -> Option<&SerialNumber> {
        self.folded.leavers.get(&id)
    }

    /// Digests of plans that this machine has begun, and since when it knows.
    pub(crate) fn begun(&self, now: Timestamp) -> impl Iterator<Item = (&str, Timestamp)> {
        let spent = self.folded.spent.keys().map(move |digest| (digest.as_str(), now));
        spent.chain(self.folded.approvals.iter().map(|approval| (approval.digest.as_str(), approval.at)))
    }

    /// The group tags that were sent to devices, as far as is remembered.
    pub fn sent_tags(&self) -> impl Iterator<Item = SentTag> {
        let imports = self.folded.tagged.iter().map(|(id, (serial, tag, at))| SentTag {
            to: SentTo::Import(*id, serial.clone()),
            tag: tag.clone(),
            at: *at,
        });
        let updates = self.folded.retagged.iter().map(|(id, (tag, at))| SentTag {
            to: SentTo::Registration(*id),
            tag: tag.clone(),
            at: *at,
        });
        imports.chain(updates)
    }

    /// What our own imports could not carry, by the registration that still
    /// lacks it.
    #[must_use]
    pub fn tails(&self) -> HashMap<RegistrationId, Tail> {
        let Folded { made, tails, .. } = &self.folded;
        let owed = |(id, import_id): (&RegistrationId, &ImportId)| Some((*id, tails.get(import_id)?.clone()));
        made.iter().filter_map(owed).collect()
    }

    /// Registrations that we made or changed.
    #[must_use]
    pub fn owned(&self) -> &HashSet<RegistrationId> {
        &self.folded.owned
    }

    /// True for a registration that an import of ours made, and that was not let go
    /// since.
    #[must_use]
    pub fn has_made(&self, id: RegistrationId) -> bool {
        self.folded.made.contains_key(&id) && self.folded.owned.contains(&id)
    }

    /// Our own import records that have ended and were not removed yet.
    #[must_use]
    pub fn ended_records(&self) -> Vec<ImportRecordId> {
        let ended = |id: &ImportId| {
            let state = self.folded.imports.get(id).map(|fact| &fact.state);
            matches!(state, Some(ImportState::Complete { .. } | ImportState::Error { .. }))
        };
        let records = self.folded.records.iter().filter(|(_, id)| ended(id));
        let mut records: Vec<_> = records.map(|(record, _)| *record).collect();
        records.sort_unstable();
        records
    }

    /// The import that a record of ours is of.
    #[must_use]
    pub fn import_of(&self, record: ImportRecordId) -> Option<ImportId> {
        self.folded.records.get(&record).copied()
    }

    /// Imports of ours whose end nobody has read: a run ended early.
    pub fn open_imports(&self) -> impl Iterator<Item = (&ImportId, &ImportFact)> {
        let is_open = |state: &ImportState| matches!(state, ImportState::Running | ImportState::Unsent);
        self.folded.imports.iter().filter(move |(_, fact)| is_open(&fact.state))
    }

    /// The consent under which is done what is done now: the last that was given
    /// or made use of.
    #[must_use]
    pub fn consent(&self) -> Option<&Approval> {
        self.folded.approvals.back()
    }

    /// When the last import was complete, or its record removed, if no sync was
    /// asked for since.
    #[must_use]
    pub fn unsynced(&self) -> Option<Timestamp> {
        self.folded.unsynced
    }

    /// When the last sync began that was needed.
    #[must_use]
    pub fn synced(&self) -> Option<Timestamp> {
        self.folded.synced.map(|(_, began)| began)
    }

    /// True if something in here was learnt later than now: some clock was
    /// wrong, and [`Entry::Clock`] is due.
    #[must_use]
    pub fn is_ahead_of(&self, now: Timestamp) -> bool {
        self.folded.latest().is_some_and(|latest| latest > later(now, SKEW))
    }

    /// What was consented to under a digest, if that is remembered whole.
    #[must_use]
    pub fn approval(&self, digest: &str) -> Option<&Approval> {
        let is_whole = |approval: &&Approval| approval.effects.len() >= approval.count;
        self.folded.approvals.iter().rev().find(|approval| approval.digest == digest).filter(is_whole)
    }

    /// Set if nothing more may be done under a digest: whether all of it is
    /// done, or it is merely too old to be remembered whole.
    #[must_use]
    pub fn spent(&self, digest: &str) -> Option<bool> {
        self.folded.spent.get(digest).copied()
    }

    /// What we sent to a registration without having seen the end, and whether
    /// the service took it.
    #[must_use]
    pub fn awaited(&self, id: RegistrationId) -> Option<(&[FieldChange], bool)> {
        let pending = self.folded.pending.get(&id).map(|pending| (pending.fields.as_slice(), true));
        pending.or_else(|| self.folded.intents.get(&id).map(|fields| (fields.as_slice(), false)))
    }

    /// True if nothing was ever done with it: it is new, or the one before it is
    /// lost.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.has_no_approvals() && self.folded.imports.is_empty() && self.folded.owned.is_empty()
    }

    /// True if nobody has consented to anything yet.
    #[must_use]
    pub fn has_no_approvals(&self) -> bool {
        self.folded.approvals.is_empty() && self.folded.spent.is_empty()
    }
}

/// What a line is about, and so what it is good for once it is old.
enum About {
    Import(ImportId),
    Registration(RegistrationId),
    /// All lines before it.
    Clock,
    Other,
}

impl Entry {
    fn about(&self) -> About {
        match self {
            Self::ImportIntent { import_id, .. }
            | Self::ImportTaken { import_id, .. }
            | Self::ImportFollowed { import_id, .. }
            | Self::ImportComplete { import_id, .. }
            | Self::ImportError { import_id, .. }
            | Self::ImportRefused { import_id, .. }
            | Self::ImportRemoved { import_id }
            | Self::ImportLost { import_id } => About::Import(*import_id),
            Self::UpdateIntent { registration_id, .. }
            | Self::UpdateEnd { registration_id, .. }
            | Self::Released { registration_id }
            | Self::DeregisterIntent { registration_id }
            | Self::DeregisterEnd { registration_id, .. } => About::Registration(*registration_id),
            Self::Clock => About::Clock,
            Self::Approved { .. }
            | Self::Effect { .. }
            | Self::Resumed { .. }
            | Self::Spent { .. }
            | Self::ImportCleaned { .. }
            | Self::Owned { .. }
            | Self::SyncIntent
            | Self::SyncEnd { .. }
            | Self::SyncFailed => About::Other,
        }
    }
}

impl Folded {
    /// What lines said that are shed, and that is still true: to be written
    /// before and after the lines that are kept.
    fn known(&self, owed: &HashSet<ImportId>, is_old: impl Fn(Timestamp) -> bool) -> (Vec<Entry>, Vec<Entry>) {
        let owned = self.owned.iter().map(|id| Entry::Owned { registration_id: *id });
        // A consent whose lines go must not come to life again.
        let gone = self.approvals.iter().filter(|approval| is_old(approval.at));
        let gone = gone.map(|approval| (&approval.digest, &false)).chain(&self.spent);
        let spent = gone.map(|(digest, done)| Entry::Spent { digest: digest.clone(), done: *done });
        let before = owned.chain(spent).collect();
        // Nor what was owed and is settled.
        let settled =
            self.record_of.iter().filter(|(id, record)| owed.contains(id) && !self.records.contains_key(record));
        let cleaned = settled.map(|(_, record)| Entry::ImportCleaned { record: *record });
        let synced = self.unsynced.is_none().then_some(Entry::SyncEnd { accepted: true });
        (before, cleaned.chain(synced).collect())
    }

    /// Imports of which something is still to be done.
    fn owed_imports(&self) -> HashSet<ImportId> {
        let with_record = self.records.values().copied();
        let with_tail = self.made.values().copied().filter(|id| self.tails.contains_key(id));
        let unsynced = self.unsynced.map(|at| self.imports.iter().filter(move |(_, fact)| fact.at == at));
        with_record.chain(with_tail).chain(unsynced.into_iter().flatten().map(|(id, _)| *id)).collect()
    }

    fn fold(&mut self, at: Timestamp, entry: Entry) {
        let mut import = |id: ImportId, state: ImportState| self.imports.insert(id, ImportFact { state, at });
        match entry {
            Entry::Approved { digest, effects, target, loosens } => {
                // Whoever consents once more has made no use of it before.
                self.approvals.retain(|approval| approval.digest != digest);
                self.approvals.push_back(Approval::new(digest, target, at, effects, loosens));
                if self.approvals.len() > APPROVALS {
                    self.spent.extend(self.approvals.pop_front().map(|oldest| (oldest.digest, false)));
                }
            }
            Entry::Effect { effect } => self.approve(*effect),
            Entry::Resumed { digest } => {
                let place = self.approvals.iter().position(|approval| approval.digest == digest);
                let resumed = place.and_then(|place| self.approvals.remove(place));
                self.approvals.extend(resumed);
            }
            Entry::Spent { digest, done } => {
                self.approvals.retain(|approval| approval.digest != digest);
                self.spent.insert(digest, done);
            }
            Entry::ImportIntent { import_id, device, hash, tail, carried, .. } => {
                import(import_id, ImportState::Unsent);
                let tag = carried.iter().find(|(field, _)| *field == Field::GroupTag).map(|(_, tag)| tag.clone());
                self.tagged.insert(import_id, (device.serial.key(), tag.unwrap_or_default(), at));
                self.send((device, hash), import_id);
                if !tail.is_empty() {
                    self.tails.insert(import_id, Tail { import_id, values: tail, carried });
                }
            }
            Entry::ImportFollowed { import_id, device, hash } => {
                self.send((device, hash), import_id);
            }
            Entry::ImportTaken { import_id, record } => {
                import(import_id, ImportState::Running);
                self.records.insert(record, import_id);
                self.record_of.insert(import_id, record);
            }
            Entry::ImportComplete { import_id, registration_id } => {
                import(import_id, ImportState::Complete { registration_id });
                self.made.insert(registration_id, import_id);
                self.owned.insert(registration_id);
                self.owe_sync(at);
                self.end_import(import_id, Use::Done);
            }
            Entry::ImportError { import_id, code, name } => {
                let used = if is_open_error(code, &name) { Use::None } else { Use::Over };
                import(import_id, ImportState::Error { code, name });
                self.end_import(import_id, used);
            }
            Entry::ImportRefused { import_id, message } => {
                import(import_id, ImportState::Refused { message });
                self.end_import(import_id, Use::Over);
            }
            Entry::ImportRemoved { import_id } => {
                import(import_id, ImportState::Removed);
                // It may be complete: then its registration has had no sync.
                self.owe_sync(at);
                self.end_import(import_id, Use::Sent);
                if let Some(record) = self.record_of.remove(&import_id) {
                    self.records.remove(&record);
                }
            }
            Entry::ImportLost { import_id } => {
                self.imports.remove(&import_id);
                self.tails.remove(&import_id);
                self.tagged.remove(&import_id);
                // Whether it never arrived, or was undone and tidied away since,
                // nobody knows: it takes a new consent.
                self.end_import(import_id, Use::Done);
            }
            Entry::ImportCleaned { record } => _ = self.records.remove(&record),
            Entry::UpdateIntent { registration_id, fields } => {
                if let Some(approval) = self.approvals.back_mut() {
                    approval.begin_update(registration_id, &fields);
                }
                if let Some(tag) = fields.iter().find(|f| f.field == Field::GroupTag) {
                    self.retagged.insert(registration_id, (tag.after.clone(), at));
                }
                self.intents.insert(registration_id, fields);
            }
            Entry::UpdateEnd { registration_id, end } => self.fold_update(at, registration_id, end),
            Entry::DeregisterIntent { registration_id } => {
                if let Some(approval) = self.approvals.back_mut() {
                    approval.deletes.insert(registration_id, Use::Sent);
                }
                self.deleting.insert(registration_id, at);
            }
            Entry::DeregisterEnd { registration_id, removal } => self.fold_deletion(at, registration_id, removal),
            Entry::Released { registration_id } => self.release(registration_id),
            Entry::Owned { registration_id } => _ = self.owned.insert(registration_id),
            Entry::SyncEnd { accepted: true } => {
                let began = self.sync_intent.take();
                if let Some(since) = self.unsynced.take() {
                    self.synced = Some((since, began.unwrap_or(since)));
                }
            }
            Entry::SyncFailed => self.unsynced = self.unsynced.max(self.synced.take().map(|(since, _)| since)),
            Entry::Clock => self.set_clock(at),
            Entry::SyncIntent => self.sync_intent = Some(at),
            Entry::SyncEnd { accepted: false } => {}
        }
    }

    fn release(&mut self, id: RegistrationId) {
        self.owned.remove(&id);
        if let Some(import) = self.made.remove(&id) {
            self.tails.remove(&import);
        }
    }

    /// An effect of the last consent.
    fn approve(&mut self, effect: Effect) {
        if let Action::Deregister(deregister) = &effect.action {
            self.leavers.insert(deregister.id, effect.device.serial.clone());
        }
        let Some((approval, earlier)) = self.approvals.make_contiguous().split_last_mut() else { return };
        let has_it = |of: &&mut Approval| of.devices.contains(&effect.device);
        earlier.iter_mut().filter(has_it).for_each(|of| _ = of.superseded.insert(effect.device.clone()));
        // What runs already is sent for this consent, too.
        if let Action::Register(register) = &effect.action
            && let Some(key) = self.sent.get(&register.import_id)
        {
            approval.begin_import(key.clone(), register.import_id);
        }
        approval.devices.insert(effect.device.clone());
        approval.effects.push(effect);
    }

    /// The last of them counts: a sync from before it is none for it.
    fn owe_sync(&mut self, at: Timestamp) {
        self.unsynced = self.unsynced.max(Some(at));
    }

    /// Under the consent of now.
    fn send(&mut self, key: (DeviceKey, HashDigest), import_id: ImportId) {
        if let Some(approval) = self.approvals.back_mut() {
            approval.begin_import(key.clone(), import_id);
        }
        self.sent.insert(import_id, key);
    }

    /// Whichever approval it was sent under.
    fn end_import(&mut self, import_id: ImportId, used: Use) {
        let Some(key) = self.sent.remove(&import_id) else { return };
        self.approvals.iter_mut().for_each(|approval| approval.end_import(&key, import_id, used));
    }

    fn set_clock(&mut self, now: Timestamp) {
        self.imports.values_mut().for_each(|fact| fact.at = fact.at.min(now));
        self.pending.values_mut().for_each(|pending| pending.since = pending.since.min(now));
        self.deleting.values_mut().chain(self.deleted.values_mut()).for_each(|since| *since = (*since).min(now));
        self.unsynced = self.unsynced.map(|at| at.min(now));
        self.synced = self.synced.map(|(since, began)| (since.min(now), began.min(now)));
    }

    fn latest(&self) -> Option<Timestamp> {
        let imports = self.imports.values().map(|fact| fact.at);
        let pending = self.pending.values().map(|pending| pending.since);
        imports.chain(pending).chain(self.deleting.values().copied()).chain(self.unsynced).max()
    }

    fn fold_update(&mut self, at: Timestamp, id: RegistrationId, end: UpdateEnd) {
        let intent = if end == UpdateEnd::Lost { None } else { self.intents.remove(&id) };
        if let Some(fields) = intent.as_ref().or_else(|| self.pending.get(&id).map(|pending| &pending.fields)) {
            let used = match end {
                UpdateEnd::Accepted | UpdateEnd::Lost => Use::Sent,
                UpdateEnd::Visible | UpdateEnd::Found => Use::Done,
                UpdateEnd::Refused | UpdateEnd::NotTaken => Use::None,
            };
            self.approvals.iter_mut().for_each(|approval| approval.end_update(id, fields, used));
        }
        if matches!(end, UpdateEnd::Refused | UpdateEnd::NotTaken) {
            self.retagged.remove(&id);
        }
        match end {
            UpdateEnd::Accepted => {
                self.owned.insert(id);
                // A second attempt has the values of the first, and its age.
                let is_new =
                    |fields: &Vec<FieldChange>| self.pending.get(&id).is_none_or(|known| known.fields != *fields);
                if let Some(fields) = intent.filter(is_new) {
                    self.pending.insert(id, PendingUpdate { since: at, fields });
                }
            }
            UpdateEnd::Visible => {
                let written = self.pending.remove(&id).map(|pending| pending.fields).or(intent);
                self.owned.insert(id);
                self.show(id, written.as_deref());
            }
            UpdateEnd::Refused => _ = self.pending.remove(&id),
            UpdateEnd::Lost | UpdateEnd::NotTaken | UpdateEnd::Found => {}
        }
    }

    fn fold_deletion(&mut self, at: Timestamp, id: RegistrationId, end: DeregisterEnd) {
        let used = match end {
            DeregisterEnd::Accepted | DeregisterEnd::Lost => Use::Sent,
            DeregisterEnd::Gone => Use::Done,
            DeregisterEnd::Refused => Use::None,
        };
        let known = self.approvals.iter_mut().filter_map(|approval| approval.deletes.get_mut(&id));
        known.for_each(|of| *of = used);
        match end {
            DeregisterEnd::Accepted | DeregisterEnd::Lost => {}
            DeregisterEnd::Refused => _ = self.deleting.remove(&id),
            DeregisterEnd::Gone => {
                self.deleting.remove(&id);
                self.deleted.insert(id, at);
                self.owned.remove(&id);
                self.pending.remove(&id);
                // Intune hears of it by the sync.
                self.owe_sync(at);
            }
        }
    }

    /// What a registration shows is owed to it no longer. `None`: it shows all
    /// that is declared.
    fn show(&mut self, id: RegistrationId, written: Option<&[FieldChange]>) {
        let Some(import_id) = self.made.get(&id) else { return };
        let Some(tail) = self.tails.get_mut(import_id) else { return };
        let is_owed = |field: &Field| written.is_some_and(|fields| !fields.iter().any(|f| f.field == *field));
        tail.values.retain(|(field, _)| is_owed(field));
        if tail.values.is_empty() {
            self.tails.remove(import_id);
        }
    }
}
