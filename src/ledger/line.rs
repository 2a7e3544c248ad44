//! One line of the journal, as text: written from an [`Entry`], read back.
//!
//! A journal of a hundred thousand devices has half a million lines, and
//! whoever plans reads them all. So a line is read as the one flat object that
//! it is: `serde`'s own reading of flattened and tagged values keeps a copy of
//! each first, and takes three times as long.

use std::borrow::Cow;

use compact_str::CompactString;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{
    DeviceKey, Effect, Field, FieldChange, HashDigest, ImportId, ImportRecordId, Loosen, RegistrationId, SerialNumber,
    Target,
};

use super::journal::{DeregisterEnd, Entry, UpdateEnd};

pub(super) const VERSION: &str = "apgit.journal/v1";

/// The line of an entry.
pub(super) fn written(at: Timestamp, entry: &Entry) -> String {
    #[derive(Serialize)]
    struct Line<'e> {
        v: &'static str,
        at: Timestamp,
        #[serde(flatten)]
        entry: &'e Entry,
    }
    serde_json::to_string(&Line { v: VERSION, at, entry }).expect("a journal line is plain data")
}

/// What a line says, and when that was.
///
/// # Errors
/// A sentence on what is not as [`written`] writes it.
pub(super) fn read(text: &str) -> Result<(Timestamp, Entry), String> {
    let flat: Flat = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if flat.v != VERSION {
        return Err(format!("it says `{}`", flat.v));
    }
    Ok((flat.at, flat.entry()?))
}

/// The fields of all kinds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flat<'t> {
    #[serde(borrow)]
    v: Cow<'t, str>,
    at: Timestamp,
    #[serde(borrow)]
    kind: Cow<'t, str>,
    digest: Option<String>,
    effect: Option<Box<Effect>>,
    effects: Option<usize>,
    #[serde(default)]
    loosens: Vec<Loosen>,
    target: Option<Target>,
    import_id: Option<ImportId>,
    registration_id: Option<RegistrationId>,
    record: Option<ImportRecordId>,
    serial: Option<SerialNumber>,
    registration: Option<RegistrationId>,
    hash: Option<HashDigest>,
    attempt: Option<u32>,
    #[serde(default)]
    tail: Vec<(Field, CompactString)>,
    #[serde(default)]
    carried: Vec<(Field, CompactString)>,
    code: Option<i64>,
    name: Option<String>,
    message: Option<String>,
    fields: Option<Vec<FieldChange>>,
    end: Option<UpdateEnd>,
    removal: Option<DeregisterEnd>,
    accepted: Option<bool>,
    done: Option<bool>,
}

impl Flat<'_> {
    fn entry(self) -> Result<Entry, String> {
        let import_id = || there(self.import_id, "importId");
        let registration_id = || there(self.registration_id, "registrationId");
        Ok(match &*self.kind {
            "approved" => {
                let (digest, effects) = (there(self.digest, "digest")?, self.effects.unwrap_or_default());
                Entry::Approved { digest, effects, target: self.target.unwrap_or_default(), loosens: self.loosens }
            }
            "effect" => Entry::Effect { effect: there(self.effect, "effect")? },
            "resumed" => Entry::Resumed { digest: there(self.digest, "digest")? },
            "spent" => Entry::Spent { digest: there(self.digest, "digest")?, done: there(self.done, "done")? },
            "importIntent" => Entry::ImportIntent {
                import_id: import_id()?,
                device: DeviceKey { serial: there(self.serial, "serial")?, registration: self.registration },
                hash: there(self.hash, "hash")?,
                attempt: there(self.attempt, "attempt")?,
                tail: self.tail,
                carried: self.carried,
            },
            "importFollowed" => Entry::ImportFollowed {
                import_id: import_id()?,
                device: DeviceKey { serial: there(self.serial, "serial")?, registration: self.registration },
                hash: there(self.hash, "hash")?,
            },
            "importTaken" => Entry::ImportTaken { import_id: import_id()?, record: there(self.record, "record")? },
            "importComplete" => Entry::ImportComplete { import_id: import_id()?, registration_id: registration_id()? },
            "importError" => Entry::ImportError {
                import_id: import_id()?,
                code: there(self.code, "code")?,
                name: there(self.name, "name")?,
            },
            "importRefused" => {
                Entry::ImportRefused { import_id: import_id()?, message: there(self.message, "message")? }
            }
            "importRemoved" => Entry::ImportRemoved { import_id: import_id()? },
            "importLost" => Entry::ImportLost { import_id: import_id()? },
            "importCleaned" => Entry::ImportCleaned { record: there(self.record, "record")? },
            "updateIntent" => {
                Entry::UpdateIntent { registration_id: registration_id()?, fields: there(self.fields, "fields")? }
            }
            "updateEnd" => Entry::UpdateEnd { registration_id: registration_id()?, end: there(self.end, "end")? },
            "deregisterIntent" => Entry::DeregisterIntent { registration_id: registration_id()? },
            "deregisterEnd" => {
                Entry::DeregisterEnd { registration_id: registration_id()?, removal: there(self.removal, "removal")? }
            }
            "released" => Entry::Released { registration_id: registration_id()? },
            "owned" => Entry::Owned { registration_id: registration_id()? },
            "clock" => Entry::Clock,
            "syncIntent" => Entry::SyncIntent,
            "syncFailed" => Entry::SyncFailed,
            "syncEnd" => Entry::SyncEnd { accepted: there(self.accepted, "accepted")? },
            other => return Err(format!("there is no kind `{other}`")),
        })
    }
}

fn there<T>(value: Option<T>, name: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("missing field `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, Device, EnrollmentState, Register, Update};
    use uuid::Uuid;

    const AT: Timestamp = Timestamp::constant(1_780_000_000, 0);

    /// An entry of the kind after this one; none after the last. A new kind
    /// has to be entered here, or it could not be read.
    fn after(entry: Option<&Entry>) -> Option<Entry> {
        let import_id = ImportId(Uuid::from_u128(1));
        let registration_id = RegistrationId(Uuid::from_u128(2));
        let record = ImportRecordId(Uuid::from_u128(3));
        let fields = vec![FieldChange { field: Field::GroupTag, before: "A \"b\"".into(), after: "".into() }];
        Some(match entry {
            None => Entry::Approved {
                digest: "ab".repeat(32),
                effects: 2,
                target: Target::Endpoint("http://[::1]:1/".into()),
                loosens: vec![Loosen {
                    what: "limits.maxDeletes".to_owned(),
                    from: "1".to_owned(),
                    to: "9".to_owned(),
                    over_at: Some(AT),
                }],
            },
            Some(Entry::Approved { .. }) => Entry::Effect { effect: Box::new(register()) },
            Some(Entry::Effect { effect }) if matches!(effect.action, Action::Register(_)) => {
                Entry::Effect { effect: Box::new(update(fields)) }
            }
            Some(Entry::Effect { .. }) => Entry::Resumed { digest: "ef".repeat(32) },
            Some(Entry::Resumed { .. }) => Entry::Spent { digest: "cd".repeat(32), done: true },
            Some(Entry::Spent { .. }) => Entry::ImportIntent {
                import_id,
                device: DeviceKey { serial: serial(), registration: Some(registration_id) },
                hash: HashDigest([7; 32]),
                attempt: 2,
                tail: vec![(Field::DisplayName, "OSL-1".into())],
                carried: vec![(Field::GroupTag, "OSL".into())],
            },
            Some(Entry::ImportIntent { device, hash, .. }) => {
                Entry::ImportFollowed { import_id, device: device.clone(), hash: *hash }
            }
            Some(Entry::ImportFollowed { .. }) => Entry::ImportTaken { import_id, record },
            Some(Entry::ImportTaken { .. }) => Entry::ImportComplete { import_id, registration_id },
            Some(Entry::ImportComplete { .. }) => Entry::ImportError { import_id, code: 806, name: "Zt\\d".to_owned() },
            Some(Entry::ImportError { .. }) => Entry::ImportRefused { import_id, message: "no\nrow".to_owned() },
            Some(Entry::ImportRefused { .. }) => Entry::ImportRemoved { import_id },
            Some(Entry::ImportRemoved { .. }) => Entry::ImportLost { import_id },
            Some(Entry::ImportLost { .. }) => Entry::ImportCleaned { record },
            Some(Entry::ImportCleaned { .. }) => Entry::UpdateIntent { registration_id, fields },
            Some(Entry::UpdateIntent { .. }) => Entry::UpdateEnd { registration_id, end: UpdateEnd::Visible },
            Some(Entry::UpdateEnd { .. }) => Entry::DeregisterIntent { registration_id },
            Some(Entry::DeregisterIntent { .. }) => {
                Entry::DeregisterEnd { registration_id, removal: DeregisterEnd::Gone }
            }
            Some(Entry::DeregisterEnd { .. }) => Entry::Released { registration_id },
            Some(Entry::Released { .. }) => Entry::Owned { registration_id },
            Some(Entry::Owned { .. }) => Entry::Clock,
            Some(Entry::Clock) => Entry::SyncIntent,
            Some(Entry::SyncIntent) => Entry::SyncEnd { accepted: true },
            Some(Entry::SyncEnd { .. }) => Entry::SyncFailed,
            Some(Entry::SyncFailed) => return None,
        })
    }

    fn serial() -> SerialNumber {
        SerialNumber::parse("TEST-1").unwrap()
    }

    fn register() -> Effect {
        let (digest, import_id) = (HashDigest([7; 32]), ImportId(Uuid::from_u128(1)));
        let values = vec![(Field::GroupTag, "OSL".into())];
        let action = Action::Register(Register { digest, import_id, attempt: 1, values, running: false });
        Effect { device: DeviceKey::of(serial()), action }
    }

    fn update(fields: Vec<FieldChange>) -> Effect {
        let before = Box::new(Device {
            id: RegistrationId(Uuid::from_u128(2)),
            serial: "TEST-1".into(),
            group_tag: "A".into(),
            user: "".into(),
            addressable_user_name: "".into(),
            display_name: "".into(),
            manufacturer: "Contoso".into(),
            model: "14".into(),
            enrollment: EnrollmentState::Enrolled,
            managed_device_id: Some(Uuid::from_u128(8)),
            last_contacted: Some(AT),
        });
        let action = Action::Update(Update { id: before.id, before, fields, adopts: true, tail_of: None });
        Effect { device: DeviceKey::of(serial()), action }
    }

    #[test]
    fn every_kind_of_line_is_read_as_it_was_written() {
        let mut last = None;
        let mut kinds = 0;
        while let Some(entry) = after(last.as_ref()) {
            assert_eq!(read(&written(AT, &entry)), Ok((AT, entry.clone())));
            (last, kinds) = (Some(entry), kinds + 1);
        }
        assert_eq!(kinds, 24);
    }

    #[test]
    fn a_line_that_lacks_something_says_what() {
        let line =
            |rest: &str| read(&format!(r#"{{"v":"{VERSION}","at":"2026-01-05T08:00:00Z",{rest}}}"#)).unwrap_err();
        assert_eq!(
            line(r#""kind":"importTaken","importId":"00000000-0000-0000-0000-000000000001""#),
            "missing field `record`"
        );
        assert_eq!(line(r#""kind":"dance""#), "there is no kind `dance`");
        assert!(line(r#""kid":"owned""#).contains("missing field `kind`"));
    }
}
