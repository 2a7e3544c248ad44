//! The audit log: who did what to which device, when, and by which plan. A line
//! (the intent) is safe before anything is sent or written into the ledger, and
//! a line (the outcome) follows it; each names the SHA-256 of the one before.
//!
//! Format `apgit.audit/v1`: one JSON object per line. It is made of what goes
//! into the journal and is written before that, so there is no second account of
//! what is sent; what the journal needs no memory of is announced to it alone.
//! No hardware hash is in it, only SHA-256 digests.

use std::collections::{BTreeMap, HashMap, HashSet};

use compact_str::CompactString;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::{
    Action, Adopt, Deregister, Device, Effect, Field, HashDigest, ImportId, ImportRecordId, Keep, RegistrationId,
    Release, SerialNumber, TenantId,
};

use super::audit_file::AuditFile;
use super::journal::{DeregisterEnd, Entry, Journal, JournalError, UpdateEnd};

/// The name of this format.
pub(crate) const VERSION: &str = "apgit.audit/v1";

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditLine {
    /// The format.
    #[schemars(with = "String")]
    pub v: CompactString,
    /// Counted from 1.
    pub seq: u64,
    /// By the service's clock.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Before or after.
    pub phase: Phase,
    /// What.
    #[serde(flatten)]
    pub deed: Deed,
    /// Of the plan under which it is done: for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub plan_id: Option<CompactString>,
    /// The digest of that plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Where, in whose name, and by whom.
    #[serde(flatten)]
    pub who: Who,
    /// The `client-request-id`s of the requests that were answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub request_ids: Vec<Uuid>,
    /// SHA-256 of the line before, without its end; zeros before the first.
    pub prev: String,
}

/// What a line says of a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// A plan was consented to, or a consent has come to its end.
    Consent,
    /// It is about to be done.
    Intent,
    /// What became of it.
    Outcome,
    /// It is there, and was not done now, or not by us.
    Found,
    /// The log itself: half a line of a run that broke off was cut off.
    Healed,
}

/// The kinds of deeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Act {
    /// Something is consented to.
    Consent,
    /// A hash is imported.
    Register,
    /// Fields are written.
    Update,
    /// A registration is removed.
    Deregister,
    /// The ledger takes note of a registration.
    Adopt,
    /// The ledger forgets a device.
    Release,
    /// The ledger takes a protection away.
    Keep,
    /// A device is removed from Intune.
    RemoveFromIntune,
    /// A device object is removed from Entra.
    RemoveFromEntra,
    /// The tenant is asked for a sync.
    Sync,
    /// The record of an ended import is removed.
    RemoveRecord,
    /// Another ledger takes the place of the one that is there.
    LedgerImport,
    /// A new ledger is begun.
    LedgerRebuild,
    /// The mark of a run is taken away.
    LedgerUnlock,
    /// The log is healed.
    Log,
}

impl Act {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Register => "register",
            Self::Update => "update",
            Self::Deregister => "deregister",
            Self::Adopt => "adopt",
            Self::Release => "release",
            Self::Keep => "keep",
            Self::RemoveFromIntune => "removeFromIntune",
            Self::RemoveFromEntra => "removeFromEntra",
            Self::Sync => "sync",
            Self::RemoveRecord => "removeRecord",
            Self::LedgerImport => "ledgerImport",
            Self::LedgerRebuild => "ledgerRebuild",
            Self::LedgerUnlock => "ledgerUnlock",
            Self::Log => "log",
        }
    }
}

/// What is done, and to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deed {
    /// What is done.
    pub action: Act,
    /// Which device, as declared; where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub serial_number: Option<SerialNumber>,
    /// Its registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub registration_id: Option<RegistrationId>,
    /// Our mark on an import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub import_id: Option<ImportId>,
    /// The service's name for the import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub record_id: Option<ImportRecordId>,
    /// Of the hash that is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub hash_sha256: Option<HashDigest>,
    /// Counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// What the registration held, as far as the deed is about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub before: BTreeMap<Field, CompactString>,
    /// What it shall hold; `""` is nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub after: BTreeMap<Field, CompactString>,
    /// How it ended, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub end: Option<CompactString>,
    /// For people: the service's words, and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Deed {
    /// One of which nothing else is known.
    #[must_use]
    pub fn of(action: Act) -> Self {
        let (before, after) = (BTreeMap::new(), BTreeMap::new());
        Self {
            action,
            serial_number: None,
            registration_id: None,
            import_id: None,
            record_id: None,
            hash_sha256: None,
            attempt: None,
            before,
            after,
            end: None,
            detail: None,
        }
    }

    /// A deed of which only the ledger hears.
    #[must_use]
    pub(crate) fn of_ledger(effect: &Effect) -> Option<Self> {
        let (action, id, before) = match &effect.action {
            Action::Register(_) | Action::Update(_) | Action::Deregister(_) => return None,
            Action::Adopt(Adopt { id, before }) => (Act::Adopt, id, shown(before)),
            Action::Release(Release { id, .. }) => (Act::Release, id, BTreeMap::new()),
            Action::Keep(Keep { id, .. }) => (Act::Keep, id, BTreeMap::new()),
        };
        let serial_number = Some(effect.device.serial.clone());
        Some(Self { serial_number, registration_id: Some(*id), before, ..Self::of(action) })
    }

    /// The same, and how it ended.
    #[must_use]
    pub(crate) fn ends(self, end: &str) -> Self {
        Self { end: Some(end.into()), ..self }
    }

    /// The same, with words for people.
    #[must_use]
    pub(crate) fn saying(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// Where, in whose name, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Who {
    /// Where the tenant is reached.
    pub target: String,
    /// Which tenant.
    #[schemars(with = "String")]
    pub tenant_id: TenantId,
    /// In whose name.
    pub owner_id: String,
    /// Who is behind it.
    pub actor: Actor,
}

/// Who is behind a deed, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// The app that signs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The commit that is checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// True if the files are not as that commit has them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dirty: bool,
    /// Who has written the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Who has made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committer: Option<String>,
    /// Who said yes, by their own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<String>,
    /// How: `autoApprove`, `digest`, `prompt`, `savedPlan`, `approvalFile` (whose
    /// name is the approver's, where nobody is named), or `command` for what is
    /// asked for by name.
    #[serde(default)]
    #[schemars(with = "String")]
    pub approval: CompactString,
}

/// The log of one tenant while it is written.
pub struct Audit {
    file: AuditFile,
    who: Who,
    digest: Option<String>,
    /// What is known of a registration: whose it is, and what a removal takes away.
    registrations: HashMap<RegistrationId, (SerialNumber, BTreeMap<Field, CompactString>)>,
    imports: HashMap<ImportId, (SerialNumber, HashDigest)>,
    records: HashMap<ImportRecordId, ImportId>,
    /// Import records that we are removing.
    cleaning: HashSet<ImportRecordId>,
    /// True while the tenant is asked for a sync by us.
    asks_sync: bool,
    requests: Vec<Uuid>,
}

impl Audit {
    /// Goes on with a log.
    #[must_use]
    pub fn new(file: AuditFile, who: Who) -> Self {
        Self {
            file,
            who,
            digest: None,
            registrations: HashMap::new(),
            imports: HashMap::new(),
            records: HashMap::new(),
            cleaning: HashSet::new(),
            asks_sync: false,
            requests: Vec::new(),
        }
    }

    /// From here on all is done under this plan.
    pub(crate) fn under(&mut self, digest: String) {
        self.digest = Some(digest);
    }

    /// The consent is that of an approval of this name among the declarations.
    pub(crate) fn approved_in_writing(&mut self, name: &str) {
        self.who.actor.approval = "approvalFile".into();
        self.who.actor.approver.get_or_insert_with(|| name.to_owned());
    }

    /// True for what is asked for by name, under no plan.
    pub(super) fn is_by_command(&self) -> bool {
        self.who.actor.approval == COMMAND
    }

    /// Requests that the next outcomes are of.
    pub(super) fn requested(&mut self, ids: Vec<Uuid>) {
        self.requests.extend(ids);
    }

    /// What an effect is of, so that later lines can name it.
    pub(crate) fn learn(&mut self, effect: &Effect) {
        let serial = &effect.device.serial;
        let (id, before) = match &effect.action {
            Action::Register(register) => {
                self.learn_import(register.import_id, serial, register.digest);
                return;
            }
            Action::Update(update) => (update.id, BTreeMap::new()),
            Action::Deregister(Deregister { id, before }) => (*id, shown(before)),
            Action::Adopt(Adopt { id, .. }) | Action::Release(Release { id, .. }) | Action::Keep(Keep { id, .. }) => {
                (*id, BTreeMap::new())
            }
        };
        self.registrations.insert(id, (serial.clone(), before));
    }

    pub(super) fn learn_import(&mut self, import_id: ImportId, serial: &SerialNumber, hash: HashDigest) {
        self.imports.insert(import_id, (serial.clone(), hash));
    }

    pub(super) fn learn_record(&mut self, record: ImportRecordId, import_id: ImportId) {
        self.records.insert(record, import_id);
    }

    pub(super) fn learn_made(&mut self, id: RegistrationId, import_id: ImportId) {
        if let Some((serial, _)) = self.imports.get(&import_id) {
            self.registrations.entry(id).or_insert_with(|| (serial.clone(), BTreeMap::new()));
        }
    }

    /// Makes the lines of journal entries durable, before those are.
    ///
    /// # Errors
    /// When they cannot be written: then nothing may be sent.
    pub(super) async fn record(&mut self, at: Timestamp, entries: &[Entry]) -> Result<(), JournalError> {
        // What begins and ends in one breath was not sent: it is found.
        let begun: HashSet<Key> = entries.iter().filter_map(beginning_of).collect();
        let found: HashSet<Key> = entries.iter().filter_map(end_of).filter(|key| begun.contains(key)).collect();
        let deeds: Vec<(Phase, Deed)> = entries.iter().filter_map(|entry| self.deed(entry, &found)).collect();
        self.write(at, deeds).await
    }

    /// Makes lines durable of which the journal keeps no memory.
    ///
    /// # Errors
    /// When they cannot be written: then it may not be done.
    pub(crate) async fn announce(&mut self, at: Timestamp, phase: Phase, deeds: Vec<Deed>) -> Result<(), JournalError> {
        for deed in &deeds {
            match (phase, deed.record_id) {
                (Phase::Intent, Some(record)) => _ = self.cleaning.insert(record),
                (_, Some(record)) => _ = self.cleaning.remove(&record),
                (_, None) => {}
            }
        }
        let deeds = deeds.into_iter().map(|deed| (phase, self.named(deed))).collect();
        self.write(at, deeds).await
    }

    async fn write(&mut self, at: Timestamp, deeds: Vec<(Phase, Deed)>) -> Result<(), JournalError> {
        let ids = std::mem::take(&mut self.requests);
        if deeds.is_empty() {
            return Ok(());
        }
        let plan_id = self.digest.as_ref().map(|digest| plan_id(digest));
        let line = |(phase, deed)| AuditLine {
            v: VERSION.into(),
            seq: 0,
            at,
            phase,
            deed,
            plan_id: plan_id.clone(),
            digest: self.digest.clone(),
            who: self.who.clone(),
            request_ids: if phase == Phase::Outcome { ids.clone() } else { Vec::new() },
            prev: String::new(),
        };
        let lines = deeds.into_iter().map(line).collect();
        self.file.append(lines).await
    }

    /// With the names that are known by now.
    fn named(&self, deed: Deed) -> Deed {
        let import_id = deed.import_id.or_else(|| self.records.get(deed.record_id.as_ref()?).copied());
        let by_registration = deed.registration_id.and_then(|id| self.registrations.get(&id));
        let by_import = import_id.and_then(|id| self.imports.get(&id));
        let known = by_registration.map(|(serial, _)| serial).or_else(|| by_import.map(|(serial, _)| serial)).cloned();
        Deed { serial_number: deed.serial_number.or(known), import_id, ..deed }
    }

    fn deed(&mut self, entry: &Entry, found: &HashSet<Key>) -> Option<(Phase, Deed)> {
        let begins = |key: Key| if found.contains(&key) { Phase::Found } else { Phase::Intent };
        let ends = |key: Key| if found.contains(&key) { Phase::Found } else { Phase::Outcome };
        let of_import = |import_id: ImportId| Deed { import_id: Some(import_id), ..Deed::of(Act::Register) };
        let of_registration = |act, id: RegistrationId| Deed { registration_id: Some(id), ..Deed::of(act) };
        let (phase, deed) = match entry {
            Entry::Approved { digest, effects, .. } => {
                self.digest = Some(digest.clone());
                (Phase::Consent, Deed::of(Act::Consent).ends("approved").saying(format!("{effects} effects")))
            }
            Entry::Resumed { digest } => {
                self.digest = Some(digest.clone());
                (Phase::Consent, Deed::of(Act::Consent).ends("resumed"))
            }
            Entry::Spent { digest, done } => {
                self.digest = Some(digest.clone());
                (Phase::Consent, Deed::of(Act::Consent).ends(if *done { "done" } else { "spent" }))
            }
            Entry::Effect { effect } => {
                self.learn(effect);
                return None;
            }
            Entry::ImportIntent { import_id, device, hash, attempt, carried, .. } => {
                self.learn_import(*import_id, &device.serial, *hash);
                let after = carried.iter().cloned().collect();
                let deed = Deed { hash_sha256: Some(*hash), attempt: Some(*attempt), after, ..of_import(*import_id) };
                (begins(Key::Import(*import_id)), deed)
            }
            Entry::ImportFollowed { import_id, device, hash } => {
                self.learn_import(*import_id, &device.serial, *hash);
                (Phase::Found, Deed { hash_sha256: Some(*hash), ..of_import(*import_id) }.ends("running"))
            }
            Entry::ImportTaken { import_id, record } => {
                self.learn_record(*record, *import_id);
                let deed = Deed { record_id: Some(*record), ..of_import(*import_id) };
                (ends(Key::Import(*import_id)), deed.ends("accepted"))
            }
            Entry::ImportComplete { import_id, registration_id } => {
                self.learn_made(*registration_id, *import_id);
                let deed = Deed { registration_id: Some(*registration_id), ..of_import(*import_id) };
                (Phase::Outcome, deed.ends("done"))
            }
            Entry::ImportError { import_id, code, name } => {
                (Phase::Outcome, of_import(*import_id).ends("failed").saying(format!("{code} {name}")))
            }
            Entry::ImportRefused { import_id, message } => {
                (Phase::Outcome, of_import(*import_id).ends("refused").saying(message))
            }
            Entry::ImportRemoved { import_id } => (Phase::Outcome, of_import(*import_id).ends("removed")),
            Entry::ImportLost { import_id } => (Phase::Outcome, of_import(*import_id).ends("lost")),
            Entry::ImportCleaned { record } => {
                let phase = if self.cleaning.remove(record) { Phase::Outcome } else { Phase::Found };
                (phase, Deed { record_id: Some(*record), ..Deed::of(Act::RemoveRecord) }.ends("done"))
            }
            Entry::UpdateIntent { registration_id, fields } => {
                let before = fields.iter().map(|change| (change.field, change.before.clone())).collect();
                let after = fields.iter().map(|change| (change.field, change.after.clone())).collect();
                let deed = Deed { before, after, ..of_registration(Act::Update, *registration_id) };
                (begins(Key::Update(*registration_id)), deed)
            }
            Entry::UpdateEnd { registration_id, end } => {
                let phase = ends(Key::Update(*registration_id));
                let end = match end {
                    UpdateEnd::Accepted => "accepted",
                    UpdateEnd::Visible => "done",
                    UpdateEnd::Found => "found",
                    UpdateEnd::Refused => "refused",
                    UpdateEnd::NotTaken => "notTaken",
                    UpdateEnd::Lost => "lost",
                };
                (phase, of_registration(Act::Update, *registration_id).ends(end))
            }
            Entry::DeregisterIntent { registration_id } => {
                let before = self.registrations.get(registration_id).map(|(_, before)| before.clone());
                let deed = of_registration(Act::Deregister, *registration_id);
                (begins(Key::Deregister(*registration_id)), Deed { before: before.unwrap_or_default(), ..deed })
            }
            Entry::DeregisterEnd { registration_id, removal } => {
                let end = match removal {
                    DeregisterEnd::Accepted => "accepted",
                    DeregisterEnd::Gone => "done",
                    DeregisterEnd::Refused => "refused",
                    DeregisterEnd::Lost => "lost",
                };
                (ends(Key::Deregister(*registration_id)), of_registration(Act::Deregister, *registration_id).ends(end))
            }
            Entry::SyncIntent => {
                self.asks_sync = true;
                (Phase::Intent, Deed::of(Act::Sync))
            }
            Entry::SyncEnd { accepted } => {
                let phase = if std::mem::take(&mut self.asks_sync) { Phase::Outcome } else { Phase::Found };
                (phase, Deed::of(Act::Sync).ends(if *accepted { "done" } else { "refused" }))
            }
            Entry::SyncFailed => (Phase::Found, Deed::of(Act::Sync).ends("failed")),
            // The ledger's own lines say it; and clocks are nobody's deed.
            Entry::Released { .. } | Entry::Owned { .. } | Entry::Clock => return None,
        };
        Some((phase, self.named(deed)))
    }
}

impl Journal {
    /// The log that hears of every line, if one is kept.
    pub(crate) fn audit(&mut self) -> Option<&mut Audit> {
        self.audit.as_mut()
    }

    /// Makes lines of the log durable of which the journal keeps no memory.
    ///
    /// # Errors
    /// When they cannot be written: then it may not be done.
    pub(crate) async fn announce(&mut self, at: Timestamp, phase: Phase, deeds: Vec<Deed>) -> Result<(), JournalError> {
        match &mut self.audit {
            Some(audit) => audit.announce(at, phase, deeds).await,
            None => Ok(()),
        }
    }

    /// The ids of requests that were answered, for the lines that come next.
    pub(crate) fn requested(&mut self, ids: Vec<Uuid>) {
        if let Some(audit) = &mut self.audit {
            audit.requested(ids);
        }
    }
}

/// The JSON Schema of a line, from the types that write it.
#[must_use]
pub fn audit_schema() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<AuditLine>();
    schema.insert("$id".to_owned(), "https://apgit.dev/schema/audit/1.0.json".into());
    schema.to_value()
}

/// What is done without a plan.
pub(crate) const COMMAND: &str = "command";

/// What begins and ends.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Import(ImportId),
    Update(RegistrationId),
    Deregister(RegistrationId),
}

fn beginning_of(entry: &Entry) -> Option<Key> {
    match entry {
        Entry::ImportIntent { import_id, .. } => Some(Key::Import(*import_id)),
        Entry::UpdateIntent { registration_id, .. } => Some(Key::Update(*registration_id)),
        Entry::DeregisterIntent { registration_id } => Some(Key::Deregister(*registration_id)),
        _ => None,
    }
}

fn end_of(entry: &Entry) -> Option<Key> {
    match entry {
        Entry::ImportTaken { import_id, .. } => Some(Key::Import(*import_id)),
        Entry::UpdateEnd { registration_id, .. } => Some(Key::Update(*registration_id)),
        Entry::DeregisterEnd { registration_id, .. } => Some(Key::Deregister(*registration_id)),
        _ => None,
    }
}

/// What a registration holds.
fn shown(device: &Device) -> BTreeMap<Field, CompactString> {
    let values = Field::ALL.into_iter().map(|field| (field, field.of(device).clone()));
    values.filter(|(_, value)| !value.is_empty()).collect()
}

pub(super) fn plan_id(digest: &str) -> CompactString {
    format!("plan-{}", digest.get(..12).unwrap_or(digest)).into()
}
