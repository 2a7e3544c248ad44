//! The shapes that Microsoft Graph writes and reads, exactly as it spells
//! them, and their way into our nouns.
//!
//! No requests here. Absent, `null` and `""` are one thing for every text
//! (the metadata makes every string nullable, the service sends `""`); names
//! of enumerations are open; year 0001 and the zero GUID mean none.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use compact_str::CompactString;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::records::{DirectoryDevice, ImportRecord, ManagedDevice, Organization};
use crate::hash::pieces;
use crate::model::{
    Device, DirectoryDeviceId, DirectoryObjectId, EnrollmentState, ImportId, ImportRecordId, ImportState,
    ManagedDeviceId, RegistrationId, SyncState,
};

/// The most items of a page that are read. The service writes a thousand; of
/// `{}`, an answer could hold twenty million.
pub(super) const PAGE_ITEMS_MAX: usize = 20_000;

/// The longest text of an item; the longest that anybody can declare is a group
/// tag of 512 characters.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// One page of a collection.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    #[serde(rename = "@odata.nextLink", default, deserialize_with = "text")]
    pub next_link: CompactString,
    /// Required: an answer without it is not an empty collection. Of more than
    /// [`PAGE_ITEMS_MAX`], one more is kept.
    #[serde(deserialize_with = "items", bound(deserialize = "T: Deserialize<'de>"))]
    pub value: Vec<T>,
}

/// `windowsAutopilotDeviceIdentity`, as far as we look at it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registration {
    #[serde(default, deserialize_with = "guid")]
    id: Option<Uuid>,
    #[serde(default, deserialize_with = "text")]
    serial_number: CompactString,
    #[serde(default, deserialize_with = "text")]
    group_tag: CompactString,
    #[serde(default, deserialize_with = "text")]
    user_principal_name: CompactString,
    #[serde(default, deserialize_with = "text")]
    addressable_user_name: CompactString,
    #[serde(default, deserialize_with = "text")]
    display_name: CompactString,
    #[serde(default, deserialize_with = "text")]
    manufacturer: CompactString,
    #[serde(default, deserialize_with = "text")]
    model: CompactString,
    #[serde(default, deserialize_with = "text")]
    enrollment_state: CompactString,
    #[serde(default, deserialize_with = "guid")]
    managed_device_id: Option<Uuid>,
    #[serde(default, deserialize_with = "time")]
    last_contacted_date_time: Option<Timestamp>,
}

impl Registration {
    /// # Errors
    /// Without an id a registration cannot be told from another, and leaving
    /// it out would make a complete listing a lie.
    pub(super) fn into_device(self) -> Result<Device, String> {
        let id = self.id.ok_or_else(|| "a registration has no usable `id`".to_owned())?;
        let device = Device {
            id: RegistrationId(id),
            serial: self.serial_number,
            group_tag: self.group_tag,
            user: self.user_principal_name,
            addressable_user_name: self.addressable_user_name,
            display_name: self.display_name,
            manufacturer: self.manufacturer,
            model: self.model,
            enrollment: enrollment(&self.enrollment_state),
            managed_device_id: self.managed_device_id,
            last_contacted: self.last_contacted_date_time,
        };
        match texts(&device).iter().any(|text| text.len() > TEXT_BYTES_MAX) {
            true => Err(format!("the registration {id} has a text of more than {TEXT_BYTES_MAX} bytes")),
            false => Ok(device),
        }
    }
}

/// A registration as beta shows it, as far as v1.0 does not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profiled {
    #[serde(default, deserialize_with = "text")]
    deployment_profile_assignment_status: CompactString,
}

/// True if a profile is assigned: three values say so, in sync or not, one of them
/// misspelt (`assignedUnkownSyncState`).
pub(super) fn has_profile(body: &serde_json::Value) -> bool {
    let read = Profiled::deserialize(body);
    read.is_ok_and(|of| of.deployment_profile_assignment_status.starts_with("assigned"))
}

/// What others wrote into a registration.
pub(super) fn texts(device: &Device) -> [&CompactString; 7] {
    let Device { serial, group_tag, user, addressable_user_name, display_name, manufacturer, model, .. } = device;
    [serial, group_tag, user, addressable_user_name, display_name, manufacturer, model]
}

/// `importedWindowsAutopilotDeviceIdentity` as the service answers it. The
/// hash (`hardwareIdentifier`) comes back empty and is not read at all.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Imported {
    #[serde(default, deserialize_with = "guid")]
    id: Option<Uuid>,
    #[serde(default, deserialize_with = "guid")]
    import_id: Option<Uuid>,
    #[serde(default, deserialize_with = "text")]
    serial_number: CompactString,
    #[serde(default)]
    state: Option<ImportedState>,
}

/// `importedWindowsAutopilotDeviceIdentityState`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "as Microsoft names them")]
struct ImportedState {
    #[serde(default, deserialize_with = "text")]
    device_import_status: CompactString,
    #[serde(default, deserialize_with = "guid")]
    device_registration_id: Option<Uuid>,
    #[serde(default)]
    device_error_code: Option<i32>,
    #[serde(default, deserialize_with = "text")]
    device_error_name: CompactString,
}

impl Imported {
    /// # Errors
    /// When the record has no usable id.
    pub(super) fn into_record(self) -> Result<ImportRecord, String> {
        let id = self.id.ok_or_else(|| "an import record has no usable `id`".to_owned())?;
        let state = self.state.unwrap_or_default();
        if self.serial_number.len().max(state.device_error_name.len()) > TEXT_BYTES_MAX {
            return Err(format!("the import record {id} has a text of more than {TEXT_BYTES_MAX} bytes"));
        }
        Ok(ImportRecord {
            id: ImportRecordId(id),
            import_id: self.import_id.map(ImportId),
            serial: self.serial_number,
            state: state.into_state(),
        })
    }
}

impl ImportedState {
    /// Names that we do not know are states on the way. The service sometimes
    /// says complete one poll before it names the registration.
    fn into_state(self) -> ImportState {
        match (self.device_import_status.as_str(), self.device_registration_id) {
            ("complete", Some(id)) => ImportState::Complete { registration_id: RegistrationId(id) },
            ("error", _) => ImportState::Error {
                code: self.device_error_code.unwrap_or_default().into(),
                name: named(&self.device_error_name),
            },
            _ => ImportState::Running,
        }
    }
}

/// A name as it may be written down: should the service repeat a hash in it, or a
/// piece of one, nobody shall see that.
fn named(name: &str) -> String {
    let mut shown = name.to_owned();
    for piece in pieces(name).collect::<Vec<_>>().into_iter().rev() {
        shown.replace_range(piece, "…");
    }
    shown
}

/// One row of the `import` action. The body holds a secret: it is built,
/// sent and dropped, never logged.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImportRow<'a> {
    #[serde(rename = "@odata.type")]
    pub odata_type: &'static str,
    pub serial_number: &'a str,
    pub product_key: &'static str,
    pub hardware_identifier: String,
    pub group_tag: &'a str,
    pub assigned_user_principal_name: &'a str,
    pub import_id: Uuid,
}

impl ImportRow<'_> {
    pub(super) const TYPE: &'static str = "#microsoft.graph.importedWindowsAutopilotDeviceIdentity";
}

/// The body of the `import` action.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImportBody<'a> {
    pub imported_windows_autopilot_device_identities: Vec<ImportRow<'a>>,
}

/// The body of `updateDeviceProperties`. What is left out stays as it is;
/// `null` is never sent, because nobody documents what it does.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_principal_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addressable_user_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<&'a str>,
}

/// `windowsAutopilotSettings` (beta only).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    #[serde(default, deserialize_with = "time")]
    last_sync_date_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    last_manual_sync_trigger_date_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "text")]
    sync_status: CompactString,
}

impl From<Settings> for SyncState {
    fn from(settings: Settings) -> Self {
        Self {
            last_sync: settings.last_sync_date_time,
            last_manual_trigger: settings.last_manual_sync_trigger_date_time,
            running: settings.sync_status == "inProgress",
            failed: settings.sync_status == "failed",
        }
    }
}

/// `managedDevice`, as far as we look at it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManagedDeviceEntity {
    #[serde(default, deserialize_with = "guid")]
    id: Option<Uuid>,
    #[serde(default, deserialize_with = "text")]
    serial_number: CompactString,
    #[serde(default, deserialize_with = "text")]
    device_name: CompactString,
    #[serde(default, deserialize_with = "text")]
    user_principal_name: CompactString,
    #[serde(default, rename = "azureADDeviceId", deserialize_with = "guid")]
    azure_ad_device_id: Option<Uuid>,
    #[serde(default, deserialize_with = "time")]
    last_sync_date_time: Option<Timestamp>,
}

impl ManagedDeviceEntity {
    /// # Errors
    /// When it has no usable id.
    pub(super) fn into_device(self) -> Result<ManagedDevice, String> {
        let id = self.id.ok_or_else(|| "a device in Intune has no usable `id`".to_owned())?;
        let texts = [&self.serial_number, &self.device_name, &self.user_principal_name];
        if texts.iter().any(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(format!("the device {id} in Intune has a text of more than {TEXT_BYTES_MAX} bytes"));
        }
        Ok(ManagedDevice {
            id: ManagedDeviceId(id),
            serial: self.serial_number,
            name: self.device_name,
            user: self.user_principal_name,
            directory_device: self.azure_ad_device_id.map(DirectoryDeviceId),
            last_sync: self.last_sync_date_time,
        })
    }
}

/// `device`, as far as we look at it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DirectoryDeviceEntity {
    #[serde(default, deserialize_with = "guid")]
    id: Option<Uuid>,
    #[serde(default, deserialize_with = "guid")]
    device_id: Option<Uuid>,
    #[serde(default, deserialize_with = "text")]
    display_name: CompactString,
    #[serde(default, deserialize_with = "text")]
    trust_type: CompactString,
    #[serde(default)]
    physical_ids: Option<Vec<CompactString>>,
}

impl DirectoryDeviceEntity {
    /// # Errors
    /// When it has no usable id.
    pub(super) fn into_device(self) -> Result<DirectoryDevice, String> {
        let id = self.id.ok_or_else(|| "a device in Entra has no usable `id`".to_owned())?;
        if self.display_name.len() > TEXT_BYTES_MAX {
            return Err(format!("the device {id} in Entra has a name of more than {TEXT_BYTES_MAX} bytes"));
        }
        let physical_ids = self.physical_ids.unwrap_or_default();
        Ok(DirectoryDevice {
            object: DirectoryObjectId(id),
            id: self.device_id.map(DirectoryDeviceId),
            name: self.display_name,
            // The token in brackets is compared letter by letter.
            registration: physical_ids
                .iter()
                .find_map(|id| parse_guid(id.strip_prefix("[ZTDID]:")?))
                .map(RegistrationId),
            is_synced: self.trust_type == "ServerAd",
        })
    }
}

/// `organization`, as far as we look at it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationEntity {
    #[serde(default, deserialize_with = "text")]
    display_name: CompactString,
    #[serde(default)]
    verified_domains: Option<Vec<VerifiedDomain>>,
}

#[derive(Debug, Deserialize)]
struct VerifiedDomain {
    #[serde(default, deserialize_with = "text")]
    name: CompactString,
}

impl From<OrganizationEntity> for Organization {
    fn from(entity: OrganizationEntity) -> Self {
        let domains = entity.verified_domains.unwrap_or_default();
        let verified_domains = domains.into_iter().map(|domain| domain.name).filter(|name| !name.is_empty()).collect();
        Self { display_name: entity.display_name, verified_domains }
    }
}

/// The envelope of `$batch`.
#[derive(Serialize)]
pub(super) struct BatchRequest<'a> {
    pub requests: Vec<BatchPart<'a>>,
}

/// One request in an envelope; `url` is relative, without the version.
#[derive(Serialize)]
pub(super) struct BatchPart<'a> {
    pub id: String,
    pub method: &'a str,
    pub url: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<&'a serde_json::Value>,
}

/// The answer to an envelope: its parts in any order.
#[derive(Debug, Deserialize)]
pub(super) struct BatchResponse {
    pub responses: Vec<BatchAnswer>,
}

/// The answer to one part.
#[derive(Debug, Deserialize)]
pub(super) struct BatchAnswer {
    #[serde(default, deserialize_with = "text")]
    pub id: CompactString,
    pub status: u16,
    #[serde(default)]
    pub headers: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(default)]
    pub body: Option<serde_json::Value>,
}

/// Shapes 1 to 3 of an error: Graph's envelope. `message` may itself be JSON
/// text, see [`NestedError`].
#[derive(Debug, Deserialize)]
pub(super) struct ErrorEnvelope {
    pub error: ErrorBody,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default, deserialize_with = "text")]
    pub code: CompactString,
    #[serde(default, deserialize_with = "text")]
    pub message: CompactString,
    #[serde(default, rename = "innerError", alias = "innererror")]
    pub inner: Option<InnerError>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct InnerError {
    #[serde(default, deserialize_with = "text")]
    pub request_id: CompactString,
    #[serde(default, deserialize_with = "text")]
    pub client_request_id: CompactString,
}

/// What Intune writes inside `message`, and sometimes at the top.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NestedError {
    pub message: String,
    #[serde(default, deserialize_with = "text")]
    pub custom_api_error_phrase: CompactString,
    #[serde(default)]
    pub retry_after: Option<serde_json::Value>,
}

fn enrollment(name: &str) -> EnrollmentState {
    match name {
        "enrolled" => EnrollmentState::Enrolled,
        "pendingReset" => EnrollmentState::PendingReset,
        "failed" => EnrollmentState::Failed,
        "notContacted" => EnrollmentState::NotContacted,
        "blocked" => EnrollmentState::Blocked,
        _ => EnrollmentState::Unknown,
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CompactString, D::Error> {
    deserializer.deserialize_any(Text(|text| CompactString::from(text)))
}

fn guid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    deserializer.deserialize_any(Text(parse_guid))
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    deserializer.deserialize_any(Text(parse_time))
}

/// Items up to one more than a page has.
fn items<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Items(PhantomData))
}

struct Items<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while items.len() <= PAGE_ITEMS_MAX {
            let Some(item) = list.next_element()? else { return Ok(items) };
            items.push(item);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(items)
    }
}

fn parse_guid(text: &str) -> Option<Uuid> {
    text.trim().parse().ok().filter(|id: &Uuid| !id.is_nil())
}

/// Reads RFC 3339 with 0 to 7 digits of a fraction; without an offset it is
/// UTC. Before 1900 (in practice year 0001) means never.
fn parse_time(text: &str) -> Option<Timestamp> {
    let with_offset = text.parse::<Timestamp>().ok();
    let time = with_offset.or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    (time.as_second() > SECONDS_OF_1900).then_some(time)
}

/// 1900-01-01T00:00:00Z.
const SECONDS_OF_1900: i64 = -2_208_988_800;

/// Reads text or `null` in place, without a `String` in between: a listing
/// has a dozen of these per device.
struct Text<T>(fn(&str) -> T);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("text or null")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok((self.0)(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_none_to_seven_fraction_digits_and_an_optional_offset() {
        let expected: Timestamp = "2026-07-01T10:00:00Z".parse().unwrap();
        for text in ["2026-07-01T10:00:00Z", "2026-07-01T10:00:00.0000000Z", "2026-07-01T12:00:00.0+02:00"] {
            assert_eq!(parse_time(text), Some(expected), "{text}");
        }
        assert_eq!(parse_time("2026-07-01T10:00:00"), Some(expected));
        assert_eq!(
            parse_time("2026-07-01T10:00:00.1234567Z").unwrap().as_nanosecond() - expected.as_nanosecond(),
            123_456_700
        );
    }

    #[test]
    fn placeholders_of_the_service_mean_none() {
        assert_eq!(parse_time("0001-01-01T00:00:00Z"), None);
        assert_eq!(parse_time(""), None);
        assert_eq!(parse_guid("00000000-0000-0000-0000-000000000000"), None);
        assert_eq!(parse_guid("none"), None);
    }
}
