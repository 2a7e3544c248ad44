//! The one currency of plan, approval, execution, journal and outcome: what
//! exactly would be written, to which registration, and what must be true of
//! it right before. Plain data; what is allowed is for `plan` to say.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{DeletionPolicy, Device, DeviceKey, Field, FieldChange, HashDigest, ImportId, RegistrationId};

/// One thing that would be done to one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    /// Which device, as declared.
    pub device: DeviceKey,
    /// What is done to it.
    pub action: Action,
}

/// The kinds of effects on a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Import the hash of a device that is not registered. The service takes
    /// group tag and user along; what else is declared, the *tail*, is written
    /// once the registration is there.
    Register(Register),
    /// Write fields of a registration.
    Update(Update),
    /// Remove a registration.
    Deregister(Deregister),
    /// Forget a device that is declared no more; its registration stays as it is.
    Release(Release),
    /// Take note of a registration that is as declared already.
    Adopt(Adopt),
    /// Keep in mind what is declared of a removal: nothing else of it changes.
    Keep(Keep),
}

impl Action {
    /// The registration that it is about, where there is one already.
    #[must_use]
    pub fn registration(&self) -> Option<RegistrationId> {
        match self {
            Self::Register(_) => None,
            Self::Update(Update { id, .. })
            | Self::Deregister(Deregister { id, .. })
            | Self::Release(Release { id, .. })
            | Self::Adopt(Adopt { id, .. })
            | Self::Keep(Keep { id, .. }) => Some(*id),
        }
    }

    /// True for what the service never hears of: only the ledger is written.
    #[must_use]
    pub fn is_bookkeeping(&self) -> bool {
        match self {
            Self::Register(_) | Self::Update(_) | Self::Deregister(_) => false,
            Self::Release(_) | Self::Adopt(_) | Self::Keep(_) => true,
        }
    }
}

/// Removes a registration. The precondition: everything is as it was read, and
/// that is as the ledger last wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deregister {
    /// Which registration goes.
    pub id: RegistrationId,
    /// The registration as it was read.
    pub before: Box<Device>,
}

impl Deregister {
    /// True if a fresh reading is still what was planned on.
    #[must_use]
    pub fn holds_on(&self, device: &Device) -> bool {
        let as_planned = |field: Field| field.same(field.of(device), field.of(&self.before));
        device.id == self.id && !device.is_enrolled() && Field::ALL.into_iter().all(as_planned)
    }
}

/// Forgets a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Its registration.
    pub id: RegistrationId,
    /// True if somebody else has removed it.
    pub is_gone: bool,
}

/// Takes note of a registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// Which one.
    pub id: RegistrationId,
    /// As it was read: by that it will be known as untouched.
    pub before: Box<Device>,
}

/// What is declared of a device's removal, where that is not as it was applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keep {
    /// Of which registration.
    pub id: RegistrationId,
    /// Whether it is protected from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect: Option<bool>,
    /// What the removal of its declaration means from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionPolicy>,
}

impl Keep {
    /// True if a device can be removed by it that could not before.
    #[must_use]
    pub fn loosens(&self) -> bool {
        self.protect == Some(false) || self.deletion == Some(DeletionPolicy::Delete)
    }
}

/// Registers a device. Its precondition, that it is absent, is checked by the
/// service itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Register {
    /// SHA-256 of the hash, read now or pinned in the manifest.
    pub digest: HashDigest,
    /// Our mark on the import, the same in every run.
    pub import_id: ImportId,
    /// 1 for the first import of this hash; counted up when one has failed
    /// for a reason that may pass.
    pub attempt: u32,
    /// Every declared value, also those that an import cannot carry.
    pub values: Vec<(Field, CompactString)>,
    /// True if an import with this id is already under way: wait, do not post.
    #[serde(default)]
    pub running: bool,
}

impl Register {
    /// The declared value of a field, if there is one.
    #[must_use]
    pub fn value(&self, field: Field) -> Option<&CompactString> {
        self.values.iter().find(|(of, _)| *of == field).map(|(_, value)| value)
    }

    /// What an import cannot carry: written once the registration is there.
    #[must_use]
    pub fn tail(&self) -> Vec<(Field, CompactString)> {
        tail(&self.values)
    }
}

/// True if a registration shows what an import of these values has carried, and
/// no other hand since: what the import cannot carry is missing or as declared,
/// and nobody has set the device up.
#[must_use]
pub(crate) fn is_as_imported(values: &[(Field, CompactString)], device: &Device) -> bool {
    let declared = |field: Field| values.iter().find(|(of, _)| *of == field).map_or("", |(_, value)| value);
    let is_so = |field: Field| {
        let shown = field.of(device);
        field.same(shown, declared(field)) || (!field.travels_with_import() && shown.is_empty())
    };
    !device.is_enrolled() && Field::ALL.into_iter().all(is_so)
}

/// Of a device's declared values, what an import carries.
#[must_use]
pub(crate) fn carried(values: &[(Field, CompactString)]) -> Vec<(Field, CompactString)> {
    values.iter().filter(|(field, value)| field.travels_with_import() && !value.is_empty()).cloned().collect()
}

/// Of a device's declared values, what an import cannot carry.
#[must_use]
pub(crate) fn tail(values: &[(Field, CompactString)]) -> Vec<(Field, CompactString)> {
    values.iter().filter(|(field, value)| !field.travels_with_import() && !value.is_empty()).cloned().collect()
}

/// Writes fields of a registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// Which registration is written.
    pub id: RegistrationId,
    /// The registration as it was read: the precondition.
    pub before: Box<Device>,
    /// What is written; never empty.
    pub fields: Vec<FieldChange>,
    /// True if the registration is not known to be ours: nobody here made or
    /// changed it before.
    #[serde(default)]
    pub adopts: bool,
    /// Set if these fields are the tail of an import of ours: then this is no
    /// change of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail_of: Option<ImportId>,
}

/// A request that an update takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Takes the user away, and the greeting with it.
    Unassign,
    /// Writes these fields.
    Write(Vec<(Field, CompactString)>),
}

impl Update {
    /// The requests of this update, in their order: what is shown, counted and
    /// sent. The user travels alone: where the service does not accept it, tag and
    /// name still arrive.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        let value =
            |field| self.fields.iter().find(|change| change.field == field).map(|change| (field, &change.after));
        let owned = |(field, value): (Field, &CompactString)| (field, value.clone());
        let mut requests = Vec::new();
        match (value(Field::UserPrincipalName), value(Field::AddressableUserName)) {
            (Some((_, user)), _) if user.is_empty() => requests.push(Request::Unassign),
            (None, None) => {}
            (user, greeting) => {
                // The service takes a greeting only beside a user.
                let user = user.unwrap_or((Field::UserPrincipalName, &self.before.user));
                requests.push(Request::Write([Some(user), greeting].into_iter().flatten().map(owned).collect()));
            }
        }
        let plain: Vec<_> =
            [value(Field::GroupTag), value(Field::DisplayName)].into_iter().flatten().map(owned).collect();
        requests.extend((!plain.is_empty()).then_some(Request::Write(plain)));
        requests
    }

    /// True if a working PC moves to other policies by this change.
    #[must_use]
    pub fn retags_enrolled(&self) -> bool {
        self.before.is_enrolled() && self.fields.iter().any(|change| change.field == Field::GroupTag)
    }

    /// True if a tag or a user is taken away.
    #[must_use]
    pub fn clears(&self) -> bool {
        let counted = |field| matches!(field, Field::GroupTag | Field::UserPrincipalName);
        self.fields.iter().any(|change| change.after.is_empty() && counted(change.field))
    }

    /// True if the service is sent a user besides what is written: it takes a
    /// greeting only beside one.
    #[must_use]
    pub fn repeats_user(&self) -> bool {
        let writes = |field| self.fields.iter().any(|change| change.field == field);
        writes(Field::AddressableUserName) && !writes(Field::UserPrincipalName)
    }

    /// True if a fresh reading is still what was planned on: the same
    /// registration, enrolled or not as before, and every field as it was, or
    /// already as this effect leaves it.
    #[must_use]
    pub fn holds_on(&self, device: &Device) -> bool {
        let written = |field| self.fields.iter().find(|change| change.field == field);
        let as_planned = |field: Field| {
            let now = field.of(device);
            field.same(now, field.of(&self.before))
                || written(field).is_some_and(|change| field.same(now, &change.after))
        };
        device.id == self.id
            && device.is_enrolled() == self.before.is_enrolled()
            && Field::ALL.into_iter().all(as_planned)
    }

    /// True if a reading shows all that this effect writes.
    #[must_use]
    pub fn is_done_on(&self, device: &Device) -> bool {
        self.fields.iter().all(|change| change.field.same(change.field.of(device), &change.after))
    }
}
