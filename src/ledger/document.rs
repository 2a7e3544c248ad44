//! The ledger: what we have applied, per device, and what we have removed.
//! Format `apgit.ledger/v1`: one JSON document in which every device has a line
//! of its own, sorted, so that a diff of two versions reads well.
//!
//! No hardware hash is in it. What is deleted must stand in here, and be as it
//! stands in here: so a document that somebody has edited is not believed
//! (`sealed`), and says nothing to delete by.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use compact_str::CompactString;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::journal::{Journal, SentTag, SentTo};
use crate::model::{
    DeletionPolicy, Device, DeviceKey, DirectoryDeviceId, DirectoryObjectId, Field, Grant, Guards, ImportId,
    ManagedDeviceId, RegistrationId, SerialKey, SerialNumber, TenantId, hex, later, sha256,
};

/// The name of this format.
pub(crate) const FORMAT: &str = "apgit.ledger/v1";

/// So long is remembered what was removed: longer than any guard looks back.
const TOMBSTONES: SignedDuration = SignedDuration::from_hours(24 * 90);

/// So long counts what was set back: somebody's weekly job would come again within.
const CONTESTED: SignedDuration = SignedDuration::from_hours(24 * 7);

/// A run that is under way for so long is taken for one that broke off without a
/// word: none takes so long.
pub(crate) const RUN: SignedDuration = SignedDuration::from_hours(24);

/// So long is remembered which plans were begun: a day longer than a saved plan can be
/// applied.
const BEGUN_KEPT: SignedDuration = SignedDuration::from_hours(24 * 31);

/// And so many, whatever their age: the head is one part of every write. A plan
/// that is applied again is one of the last; who writes so often that a month has
/// more of them, has saved plans expire within a day.
const BEGUN_MAX: usize = 256;

/// What tells one machine from another, by kind of key; nothing in it can be turned
/// back into what it was made of.
pub type Hardware = BTreeMap<CompactString, CompactString>;

/// What we have applied to one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// Whose, and which one of possibly several.
    pub head: Head,
    devices: BTreeMap<DeviceKey, Tracked>,
    /// By registration: one has one line.
    ids: HashMap<RegistrationId, DeviceKey>,
    tombstones: Vec<Tombstone>,
}

/// What a ledger is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Head {
    /// Where the tenant is reached: the name of a cloud, the URL of a Graph
    /// elsewhere, `loopback` or `simulated`.
    pub target: String,
    /// Which tenant.
    #[schemars(with = "String")]
    pub tenant_id: TenantId,
    /// In whose name it was written.
    pub owner_id: String,
    /// Made up when the ledger began: tells it from any other of this tenant.
    pub lineage: String,
    /// How often it was written.
    pub serial: u64,
    /// When it was last written, by the service's clock.
    #[schemars(with = "String")]
    pub written_at: Timestamp,
    /// The commit that was last applied, where the declarations lie in Git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The paths that were read when last applied, from the root of the declarations
    /// on: whoever reads fewer of them knows of no device that it is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The guards that were last applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guards: Option<Guards>,
    /// Plans that were carried out, or begun, because of an approval among the
    /// declarations: it counts once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted: Vec<Granted>,
    /// Plans that were begun lately, oldest first: a consent to one counts once, on
    /// whichever machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<Begun>,
    /// Devices that were sent a group tag of which few go first, where nobody has
    /// written down yet what became of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canaries: Vec<Canary>,
    /// A run that has begun and not ended: nobody else may write meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// A plan that was approved among the declarations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Granted {
    /// Of the plan: SHA-256 in 64 hex digits.
    pub digest: String,
    /// Until when the approval counts: one with another end is another one.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
}

/// A plan that was consented to and begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Begun {
    /// Of the plan: SHA-256 in 64 hex digits.
    pub digest: String,
    /// When, by the service's clock.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// A device that is about to be sent a group tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Canary {
    /// As it is declared.
    #[schemars(with = "String")]
    pub serial_number: SerialNumber,
    /// Where it is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub registration_id: Option<RegistrationId>,
    /// Where it is not: our mark on its row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub import_id: Option<ImportId>,
    /// Which one; empty is none.
    #[schemars(with = "String")]
    pub group_tag: CompactString,
    /// When, by the service's clock.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// A run that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Running {
    /// Of which plan.
    pub plan: String,
    /// Which machine's: made up once per state folder.
    pub machine: String,
    /// Since when, by the service's clock.
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// A device that we have registered, changed or adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tracked {
    /// As it was last declared.
    #[schemars(with = "String")]
    pub serial_number: SerialNumber,
    /// Where the declaration named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub declared_registration_id: Option<RegistrationId>,
    /// Its registration.
    #[schemars(with = "String")]
    pub registration_id: RegistrationId,
    /// True if somebody else made the registration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// What the registration held when we last wrote it or took it over; what
    /// is missing was empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "Values")]
    pub values: BTreeMap<Field, CompactString>,
    /// Which of the fields were declared when last applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub declared: Vec<Field>,
    /// What its removal from the declarations means, as last applied.
    #[serde(default)]
    #[schemars(with = "String")]
    pub deletion_policy: DeletionPolicy,
    /// What was declared when it was adopted: as long as nobody declares anything
    /// else, an adopted device is not removed, whatever a default says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub adopted_with: Option<DeletionPolicy>,
    /// True until `protect: false` was applied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
    /// True if it was suspended when last applied: nothing is done to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// Which machine it is, as far as its hash has told when we registered it: by
    /// kind of key, 16 hex digits of a digest that is keyed with the lineage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub hardware: Hardware,
    /// The file that declared it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// The commit that declared it when that was applied, where the declarations lie
    /// in Git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The plan by which it was last written or taken over.
    pub plan: String,
    /// When that was, by the service's clock.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What we have set back lately, after somebody else had changed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrected: Vec<Correction>,
    /// Set while its registration is being removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleting: Option<Deleting>,
    /// Why this run does not believe that it was declared, in words; never written.
    #[serde(skip)]
    pub doubt: Option<Box<str>>,
}

/// A field that somebody else had changed, set back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Correction {
    /// Which one.
    #[schemars(with = "String")]
    pub field: Field,
    /// What somebody else had set.
    #[schemars(with = "String")]
    pub found: CompactString,
    /// When it was set back, by the service's clock.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// A deletion that is under way: the service takes up to half an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deleting {
    /// By which plan.
    pub plan: String,
    /// Since when, by the service's clock.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// What goes with it, where the device is decommissioned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Box<Leaving>>,
}

/// What stands beside the registration of a device that is decommissioned.
/// Written down before anything of it is asked for: once the registration is
/// gone, nothing in the tenant leads from the device to these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Leaving {
    /// Devices in Intune.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub managed_devices: Vec<ManagedDeviceId>,
    /// Devices in Entra.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directory_devices: Vec<LeavingObject>,
}

/// A device in Entra that goes with its registration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeavingObject {
    /// What it is deleted by; none where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub object: Option<DirectoryObjectId>,
    /// What it is read by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub device: Option<DirectoryDeviceId>,
    /// What the directory shows.
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    #[schemars(with = "String")]
    pub name: CompactString,
    /// True where it comes from a directory of the user's own, and has to be
    /// deleted there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub synced: bool,
}

impl LeavingObject {
    /// True if both are the same device.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.object.is_some() && self.object == other.object || self.device.is_some() && self.device == other.device
    }
}

impl Leaving {
    /// Takes in what is known besides.
    pub fn add(&mut self, other: &Self) {
        for id in &other.managed_devices {
            if !self.managed_devices.contains(id) {
                self.managed_devices.push(*id);
            }
        }
        for object in &other.directory_devices {
            match self.directory_devices.iter_mut().find(|known| known.is(object)) {
                Some(known) if object.object.is_some() => *known = object.clone(),
                Some(_) => {}
                None => self.directory_devices.push(object.clone()),
            }
        }
    }

    /// What is to be looked after when the registration has come to this end.
    /// Whoever lets go of one looks after nothing.
    fn after(self, end: Gone) -> Option<Self> {
        (!end.is_let_go() && self != Self::default()).then_some(self)
    }
}

/// A device that the ledger holds no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tombstone {
    /// As it was last declared.
    #[schemars(with = "String")]
    pub serial_number: SerialNumber,
    /// Its registration.
    #[schemars(with = "String")]
    pub registration_id: RegistrationId,
    /// What became of it.
    pub end: Gone,
    /// By which plan.
    pub plan: String,
    /// When, by the service's clock.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What its decommission has still to look after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Box<Leaving>>,
}

/// How a device left the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Gone {
    /// We removed its registration, and saw it gone.
    Deregistered,
    /// It was let go, and is registered still.
    Released,
    /// It was let go while its registration was being removed: whether that is gone,
    /// nobody has looked.
    Abandoned,
    /// Somebody else removed its registration.
    Vanished,
}

impl Gone {
    /// True for what is ours no more because somebody said so.
    #[must_use]
    pub fn is_let_go(self) -> bool {
        matches!(self, Self::Released | Self::Abandoned)
    }

    /// True if we may have removed its registration: then it counts.
    fn may_be_ours(self) -> bool {
        matches!(self, Self::Deregistered | Self::Abandoned)
    }
}

impl Tracked {
    /// What goes with it, where it is decommissioned.
    #[must_use]
    pub fn leaving(&self) -> Option<&Leaving> {
        self.deleting.as_ref()?.leaving.as_deref()
    }

    /// Which device it was declared as.
    #[must_use]
    pub fn key(&self) -> DeviceKey {
        DeviceKey { serial: self.serial_number.clone(), registration: self.declared_registration_id }
    }

    /// What a declaration means for its removal: as long as nobody declares
    /// anything else than when it was adopted, it stays.
    #[must_use]
    pub fn deletion_declared(&self, declared: DeletionPolicy) -> DeletionPolicy {
        if self.adopted_with == Some(declared) { DeletionPolicy::Orphan } else { declared }
    }

    /// Takes over what its declaration says of its removal.
    pub fn declare_deletion(&mut self, declared: DeletionPolicy) {
        if self.adopted_with != Some(declared) {
            self.adopted_with = None;
            self.deletion_policy = declared;
        }
    }

    /// Remembers what is set back, for as long as it counts.
    pub fn correct(&mut self, field: Field, found: &CompactString, at: Timestamp) {
        self.corrected.retain(|of| later(of.at, CONTESTED) > at);
        self.corrected.push(Correction { field, found: found.clone(), at });
    }

    /// How often a field was set back lately.
    pub fn corrections(&self, field: Field, now: Timestamp) -> impl Iterator<Item = &Correction> {
        self.corrected.iter().filter(move |of| of.field == field && later(of.at, CONTESTED) > now)
    }

    /// What the registration held in a field when we last wrote it.
    #[must_use]
    pub fn value(&self, field: Field) -> &str {
        self.values.get(&field).map_or("", CompactString::as_str)
    }

    /// True if it may have been removed within the last 24 h. The mark is made
    /// when a run begins, and what it announces comes as late as a run ends: so it
    /// counts for a day more.
    #[must_use]
    pub fn is_going(&self, now: Timestamp) -> bool {
        self.deleting.as_ref().is_some_and(|deleting| is_lately(later(deleting.since, RUN), now))
    }

    /// The fields in which a registration is not as we left it.
    pub fn changed_since<'d>(&'d self, device: &'d Device) -> impl Iterator<Item = Field> + 'd {
        Field::ALL.into_iter().filter(|field| !field.same(field.of(device), self.value(*field)))
    }
}

impl Ledger {
    /// One in which nothing is yet.
    #[must_use]
    pub fn new(target: &str, tenant_id: TenantId, owner_id: &str, lineage: Uuid, now: Timestamp) -> Self {
        let head = Head {
            target: target.to_owned(),
            tenant_id,
            owner_id: owner_id.to_owned(),
            lineage: lineage.to_string(),
            serial: 0,
            written_at: now,
            source: None,
            paths: Vec::new(),
            guards: None,
            granted: Vec::new(),
            begun: Vec::new(),
            canaries: Vec::new(),
            running: None,
        };
        Self { head, devices: BTreeMap::new(), ids: HashMap::new(), tombstones: Vec::new() }
    }

    /// All devices, sorted by key.
    #[must_use]
    pub fn devices(&self) -> impl ExactSizeIterator<Item = &Tracked> {
        self.devices.values()
    }

    /// The device that was declared so.
    #[must_use]
    pub fn get(&self, device: &DeviceKey) -> Option<&Tracked> {
        self.devices.get(device)
    }

    /// The device that was declared so, or with or without the id of its
    /// registration: to name it, or to name it no more, makes no other device of it.
    #[must_use]
    pub fn like(&self, device: &DeviceKey) -> Option<&Tracked> {
        let is_like = |tracked: &&Tracked| {
            let named = [device.registration, tracked.declared_registration_id].into_iter().flatten();
            tracked.serial_number.key() == device.serial.key()
                && named.into_iter().all(|id| id == tracked.registration_id)
        };
        // Its serial comes first in a key: all of that lie together.
        let first = DeviceKey::of(device.serial.clone());
        let same = self.devices.range(first..).map(|(_, tracked)| tracked);
        let mut same = same.take_while(|tracked| tracked.serial_number.key() == device.serial.key());
        self.devices.get(device).or_else(|| same.find(is_like))
    }

    /// The device of a registration, whatever it was declared as.
    #[must_use]
    pub fn of(&self, id: RegistrationId) -> Option<&Tracked> {
        self.devices.get(self.ids.get(&id)?)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, device: &DeviceKey) -> Option<&mut Tracked> {
        self.devices.get_mut(device)
    }

    /// Devices that were removed lately, oldest first.
    #[must_use]
    pub fn tombstones(&self) -> &[Tombstone] {
        &self.tombstones
    }

    /// Takes a device in, or puts it in the place of what was known of it.
    pub fn track(&mut self, tracked: Tracked) {
        let key = tracked.key();
        if let Some(before) = self.ids.insert(tracked.registration_id, key.clone()).filter(|before| *before != key) {
            self.devices.remove(&before);
        }
        let id = tracked.registration_id;
        let before = self.devices.insert(key, tracked);
        if let Some(before) = before.filter(|before| before.registration_id != id) {
            self.ids.remove(&before.registration_id);
        }
    }

    /// True if use was made of an approval.
    #[must_use]
    pub fn has_used(&self, grant: &Grant) -> bool {
        let is_it = |of: &Granted| of.digest == grant.digest && of.expires_at == grant.expires_at;
        self.head.granted.iter().any(is_it)
    }

    /// Remembers that use is made of an approval, for as long as it would count.
    pub fn make_use(&mut self, grant: &Grant, now: Timestamp) {
        self.head.granted.retain(|of| of.expires_at > now);
        if !self.has_used(grant) {
            self.head.granted.push(Granted { digest: grant.digest.clone(), expires_at: grant.expires_at });
        }
    }

    /// True if a plan was begun lately, on whichever machine.
    #[must_use]
    pub fn has_begun(&self, digest: &str) -> bool {
        self.head.begun.iter().any(|of| of.digest == digest)
    }

    /// Remembers that a plan is begun.
    pub fn begin(&mut self, digest: &str, now: Timestamp) {
        self.head.begun.retain(|of| of.digest != digest);
        self.head.begun.push(Begun { digest: digest.to_owned(), at: now });
        self.shed_begun(now);
    }

    fn shed_begun(&mut self, now: Timestamp) {
        let begun = &mut self.head.begun;
        begun.retain(|of| later(of.at, BEGUN_KEPT) > now);
        begun.drain(..begun.len().saturating_sub(BEGUN_MAX));
    }

    /// Remembers devices that are about to be sent a group tag.
    pub fn send(&mut self, canaries: Vec<Canary>) {
        let is_new = |of: &Canary| canaries.iter().any(|new| new.serial_number.key() == of.serial_number.key());
        self.head.canaries.retain(|of| !is_new(of));
        self.head.canaries.extend(canaries);
    }

    /// Forgets those of which it is known what became of that: they are among the
    /// devices, or were not sent after all.
    pub fn arrived(&mut self, unsent: &HashSet<SerialKey>, now: Timestamp) {
        let canaries = std::mem::take(&mut self.head.canaries);
        let has = |of: &Canary| {
            let tracked = self.like(&DeviceKey { serial: of.serial_number.clone(), registration: of.registration_id });
            tracked.is_some_and(|tracked| tracked.value(Field::GroupTag) == of.group_tag)
        };
        let is_open =
            |of: &Canary| later(of.at, BEGUN_KEPT) > now && !unsent.contains(&of.serial_number.key()) && !has(of);
        self.head.canaries = canaries.into_iter().filter(|of| is_open(of)).collect();
    }

    /// The group tags that were sent by runs which have not said how that ended.
    pub fn sent_tags(&self) -> impl Iterator<Item = SentTag> {
        self.head.canaries.iter().filter_map(|of| {
            let to = match (of.import_id, of.registration_id) {
                (Some(import), _) => SentTo::Import(import, of.serial_number.key()),
                (None, Some(id)) => SentTo::Registration(id),
                (None, None) => return None,
            };
            Some(SentTag { to, tag: of.group_tag.clone(), at: of.at })
        })
    }

    /// Forgets a device and remembers that. One that is let go while it may be on its
    /// way out is not known to be there.
    pub fn forget(&mut self, device: &DeviceKey, end: Gone, plan: &str, at: Timestamp) {
        let Some(tracked) = self.devices.remove(device) else { return };
        let end = if end == Gone::Released && tracked.is_going(at) { Gone::Abandoned } else { end };
        self.ids.remove(&tracked.registration_id);
        let Tracked { serial_number, registration_id, deleting, .. } = tracked;
        let left = deleting.and_then(|of| of.leaving).and_then(|leaving| leaving.after(end)).map(Box::new);
        self.tombstones.retain(|stone| later(stone.at, TOMBSTONES) > at);
        self.tombstones.push(Tombstone { serial_number, registration_id, end, plan: plan.to_owned(), at, left });
    }

    /// Nothing is left of the device that had this registration.
    pub fn settle(&mut self, id: RegistrationId) {
        self.tombstones.iter_mut().filter(|stone| stone.registration_id == id).for_each(|stone| stone.left = None);
    }

    /// Remembers what another ledger says was removed lately, or is about to be:
    /// whoever begins anew has not forgotten how much that was.
    pub fn remember(&mut self, other: &Self, now: Timestamp) {
        let granted = other.head.granted.iter().filter(|of| !self.head.granted.contains(of));
        let granted: Vec<Granted> = granted.cloned().collect();
        self.head.granted.extend(granted);
        let begun: Vec<Begun> = other.head.begun.iter().filter(|of| !self.has_begun(&of.digest)).cloned().collect();
        self.head.begun.extend(begun);
        let going = other.head.canaries.iter().filter(|of| !self.head.canaries.contains(of)).cloned();
        let going: Vec<Canary> = going.collect();
        self.head.canaries.extend(going);
        self.head.begun.sort_by_key(|of| of.at);
        self.shed_begun(now);
        let mut stones: Vec<Tombstone> = other.tombstones.clone();
        for going in other.devices.values().filter(|tracked| tracked.is_going(now)) {
            match (self.devices.get_mut(&going.key()), &going.deleting) {
                (Some(known), _) if known.registration_id == going.registration_id => {
                    known.deleting.clone_from(&going.deleting);
                }
                // It may be gone, and nobody will hear of that here any more.
                (_, Some(deleting)) => stones.push(Tombstone {
                    serial_number: going.serial_number.clone(),
                    registration_id: going.registration_id,
                    end: Gone::Deregistered,
                    plan: deleting.plan.clone(),
                    at: now,
                    left: None,
                }),
                (_, None) => {}
            }
        }
        self.bury(stones, now);
    }

    /// Takes in tombstones, each removal once. One that was let go is no removal: what
    /// counts is kept beside it.
    fn bury(&mut self, mut stones: Vec<Tombstone>, now: Timestamp) {
        let of = |stone: &Tombstone| (stone.registration_id, stone.end.may_be_ours());
        let mut known: HashSet<(RegistrationId, bool)> = self.tombstones.iter().map(of).collect();
        stones.retain(|stone| later(stone.at, TOMBSTONES) > now && known.insert(of(stone)));
        self.tombstones.extend(stones);
        self.tombstones.sort_by_key(|stone| stone.at);
    }

    /// The same of what a journal says, where its ledger is lost or not believed.
    pub(crate) fn remember_deeds(&mut self, journal: &Journal, now: Timestamp) {
        for (digest, at) in journal.begun(now).filter(|(digest, _)| !self.has_begun(digest)).collect::<Vec<_>>() {
            self.head.begun.push(Begun { digest: digest.to_owned(), at: at.min(now) });
        }
        self.head.begun.sort_by_key(|of| of.at);
        self.shed_begun(now);
        let plan = || "by the journal".to_owned();
        let nameless = |id: RegistrationId| SerialNumber::parse(&id.to_string()).expect("an id breaks no rule");
        let stone = |id, at: Timestamp, serial: Option<&SerialNumber>, end| Tombstone {
            // It has to be called something, and is counted by its registration.
            serial_number: serial.cloned().unwrap_or_else(|| nameless(id)),
            registration_id: id,
            end,
            plan: plan(),
            at: at.min(now),
            left: None,
        };
        let mut stones: Vec<Tombstone> =
            journal.deleted().map(|(id, at, serial)| stone(id, at, serial, Gone::Deregistered)).collect();
        for (id, since) in journal.deleting() {
            let device = self.ids.get(id).and_then(|device| self.devices.get_mut(device));
            match device {
                Some(tracked) => {
                    let mark = || Deleting { plan: plan(), since: (*since).min(now), leaving: None };
                    tracked.deleting.get_or_insert_with(mark);
                }
                None => stones.push(stone(*id, *since, journal.serial_of(*id), Gone::Abandoned)),
            }
        }
        self.bury(stones, now);
    }

    /// Takes over what another ledger says of guards, and of what keeps a device from
    /// being removed, where that is stricter; and what it says was done.
    pub(crate) fn hold_on_to(&mut self, other: &Self, now: Timestamp) {
        self.remember(other, now);
        if let Some(guards) = &other.head.guards {
            let strict = self.head.guards.as_ref().map_or_else(|| guards.clone(), |ours| guards.stricter(ours));
            self.head.guards = Some(strict);
        }
        for known in other.devices() {
            let Some(device) = self.ids.get(&known.registration_id).or(Some(&known.key())).cloned() else { continue };
            let Some(tracked) = self.devices.get_mut(&device) else { continue };
            tracked.protect |= known.protect;
            tracked.suspend |= known.suspend;
            if known.deletion_policy == DeletionPolicy::Orphan {
                tracked.deletion_policy = DeletionPolicy::Orphan;
            }
        }
    }

    /// How many registrations were removed within the last 24 h, or are about to
    /// be: whichever run, process or machine did it. What is dated in the future
    /// counts.
    #[must_use]
    pub fn deleted_within_a_day(&self, now: Timestamp) -> usize {
        let is_gone = |stone: &&Tombstone| stone.end.may_be_ours() && is_lately(stone.at, now);
        let gone = self.tombstones.iter().filter(is_gone);
        gone.count() + self.devices.values().filter(|tracked| tracked.is_going(now)).count()
    }

    /// As it is stored, with its seal.
    #[must_use]
    pub fn written(&self) -> String {
        let head = serde_json::to_value(&self.head).expect("the head becomes JSON");
        let mut text = format!("{{\n\"format\": \"{FORMAT}\",\n");
        for (name, value) in head.as_object().into_iter().flatten() {
            let _ = writeln!(text, "\"{name}\": {value},");
        }
        list(&mut text, "devices", self.devices.values());
        list(&mut text, "tombstones", self.tombstones.iter());
        let seal = seal(&text);
        let _ = write!(text, "\"sealed\": \"{seal}\"\n}}\n");
        text
    }

    /// Reads what [`written`](Self::written) has written.
    ///
    /// # Errors
    /// What is wrong with it, in words. `sealed`: false takes a document as it
    /// is, also where somebody has edited it.
    pub fn read(text: &str, sealed: bool) -> Result<Self, String> {
        let document: Document = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if document.format != FORMAT {
            return Err(format!("it is of format `{}`, not `{FORMAT}`", document.format));
        }
        let sealed_text = text.rsplit_once("\"sealed\"").map_or(text, |(before, _)| before);
        if sealed && document.sealed != seal(&sealed_text.replace("\r\n", "\n")) {
            return Err("somebody has edited it: its seal does not fit".to_owned());
        }
        let count = document.devices.len();
        let devices: BTreeMap<DeviceKey, Tracked> =
            document.devices.into_iter().map(|tracked| (tracked.key(), tracked)).collect();
        let ids: HashMap<RegistrationId, DeviceKey> =
            devices.iter().map(|(key, tracked)| (tracked.registration_id, key.clone())).collect();
        if devices.len() < count || ids.len() < count {
            return Err("a device stands in it twice".to_owned());
        }
        Ok(Self { head: document.head, devices, ids, tombstones: document.tombstones })
    }
}

/// The schema of what [`Ledger::written`] writes.
#[must_use]
pub fn ledger_schema() -> serde_json::Value {
    schemars::SchemaGenerator::default().into_root_schema_for::<Document>().to_value()
}

/// True within 24 h, and of what is dated in the future.
fn is_lately(at: Timestamp, now: Timestamp) -> bool {
    later(at, SignedDuration::from_hours(24)) > now
}

/// A change detector over everything before it, and no more than that: whoever
/// can write the ledger can seal it.
fn seal(text: &str) -> String {
    format!("sha256:{}", hex(&sha256(text.as_bytes())))
}

fn list<T: Serialize>(text: &mut String, name: &str, items: impl Iterator<Item = T>) {
    let lines: Vec<String> = items.map(|item| serde_json::to_string(&item).expect("plain data becomes JSON")).collect();
    let end = if lines.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "\"{name}\": [{end}{}{end}],", lines.join(",\n"));
}

/// The values of a registration, as tools see them.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "a shape for the schema alone")]
struct Values {
    group_tag: Option<String>,
    user_principal_name: Option<String>,
    addressable_user_name: Option<String>,
    display_name: Option<String>,
}

/// The document as tools see it.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Ledger", title = "apgit.ledger/v1")]
struct Document {
    /// The name of the format.
    #[schemars(extend("const" = "apgit.ledger/v1"))]
    format: String,
    #[serde(flatten)]
    head: Head,
    /// Sorted by serial.
    devices: Vec<Tracked>,
    /// Oldest first; so old ones are dropped that no guard looks at them.
    tombstones: Vec<Tombstone>,
    /// SHA-256 over everything before: whoever edits by hand has to import it.
    sealed: String,
}
