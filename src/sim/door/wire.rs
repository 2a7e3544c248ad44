//! The service's own shapes, as it writes them.
//!
//! Names, order and the way absent things look (`""`, the zero GUID, the year
//! one) follow the published metadata and captures from the field. The Graph
//! client has shapes of its own; the two never meet in code.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::sim::state::{Object, ProfileState, Record, Registration, Status, Userless, Values, device_id};

/// How a registration that has never been in touch says so.
pub(in crate::sim) const NEVER: &str = "0001-01-01T00:00:00Z";

/// `windowsAutopilotDeviceIdentity`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::sim) struct DeviceIdentity<'a> {
    #[serde(rename = "@odata.context", skip_serializing_if = "Option::is_none")]
    pub(in crate::sim) context: Option<String>,
    id: Uuid,
    group_tag: &'a str,
    purchase_order_identifier: &'a str,
    serial_number: &'a str,
    product_key: &'a str,
    manufacturer: &'a str,
    model: &'a str,
    enrollment_state: &'static str,
    last_contacted_date_time: String,
    addressable_user_name: &'a str,
    user_principal_name: &'a str,
    resource_name: &'a str,
    sku_number: &'a str,
    system_family: &'a str,
    azure_active_directory_device_id: Uuid,
    managed_device_id: Uuid,
    display_name: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    beta: Option<Beta<'a>>,
}

/// What only the beta version has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Beta<'a> {
    azure_ad_device_id: Uuid,
    deployment_profile_assignment_status: &'static str,
    deployment_profile_assignment_detailed_status: &'static str,
    deployment_profile_assigned_date_time: String,
    remediation_state: &'static str,
    remediation_state_last_modified_date_time: String,
    userless_enrollment_status: &'static str,
    device_account_upn: &'a str,
    device_account_password: &'static str,
    device_friendly_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment_profile: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intended_deployment_profile: Option<serde_json::Value>,
}

/// What a reading leaves out or adds.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::sim) struct Blanks {
    pub(in crate::sim) contact: bool,
    pub(in crate::sim) user: bool,
    /// Whether a device that is not enrolled shows its Entra object.
    pub(in crate::sim) linked_early: bool,
}

/// The Entra device that a registration shows; all zero before it shows one.
pub(in crate::sim) fn directory_device(id: Uuid, of: &Registration, linked_early: bool) -> Uuid {
    let early = (linked_early && of.object == Object::There).then(|| device_id(id));
    of.enrolment.as_ref().map(|enrolment| enrolment.directory_device).or(early).unwrap_or_default()
}

impl<'a> DeviceIdentity<'a> {
    pub(in crate::sim) fn new(id: Uuid, of: &'a Registration, values: &'a Values, beta: bool, blanks: Blanks) -> Self {
        let enrolment = of.enrolment.as_ref();
        let contacted = enrolment.filter(|_| !blanks.contact).map(|enrolment| seconds(enrolment.contacted));
        let directory_device = directory_device(id, of, blanks.linked_early);
        let room = values.room.as_deref();
        Self {
            context: None,
            id,
            group_tag: &values.group_tag,
            purchase_order_identifier: &of.purchase_order,
            serial_number: &of.serial,
            product_key: &of.product_key,
            manufacturer: &of.manufacturer,
            model: &of.model,
            enrollment_state: if enrolment.is_some() { "enrolled" } else { "notContacted" },
            last_contacted_date_time: contacted.unwrap_or_else(|| NEVER.to_owned()),
            addressable_user_name: &values.addressable_user_name,
            user_principal_name: if blanks.user { "" } else { &values.user },
            resource_name: room.map(|room| room.resource.as_str()).unwrap_or_default(),
            sku_number: &of.sku,
            system_family: &of.family,
            azure_active_directory_device_id: directory_device,
            managed_device_id: enrolment.map(|enrolment| enrolment.managed_device).unwrap_or_default(),
            display_name: &values.display_name,
            beta: beta.then(|| Beta {
                azure_ad_device_id: directory_device,
                deployment_profile_assignment_status: match of.profile {
                    ProfileState::NotAssigned => "notAssigned",
                    ProfileState::Pending => "pending",
                    ProfileState::Assigned => "assignedInSync",
                },
                deployment_profile_assignment_detailed_status: "none",
                deployment_profile_assigned_date_time: of.profile_since.map_or_else(|| NEVER.to_owned(), seconds),
                remediation_state: match of.board_swapped {
                    None => "noRemediationRequired",
                    Some(_) => "manualRemediationRequired",
                },
                remediation_state_last_modified_date_time: of.board_swapped.map_or_else(|| NEVER.to_owned(), seconds),
                userless_enrollment_status: match of.userless {
                    Userless::Unknown => "unknown",
                    Userless::Blocked => "blocked",
                    Userless::Allowed => "allowed",
                },
                device_account_upn: room.map(|room| room.account.as_str()).unwrap_or_default(),
                device_account_password: "",
                device_friendly_name: room.map(|room| room.friendly_name.as_str()).unwrap_or_default(),
                deployment_profile: None,
                intended_deployment_profile: None,
            }),
        }
    }

    /// Adds the profiles that `$expand` asked for.
    pub(in crate::sim) fn expand(&mut self, current: Option<serde_json::Value>, intended: Option<serde_json::Value>) {
        if let Some(beta) = &mut self.beta {
            beta.deployment_profile = current;
            beta.intended_deployment_profile = intended;
        }
    }
}

/// `importedWindowsAutopilotDeviceIdentity`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::sim) struct ImportedIdentity<'a> {
    #[serde(rename = "@odata.context", skip_serializing_if = "Option::is_none")]
    pub(in crate::sim) context: Option<String>,
    id: Uuid,
    group_tag: &'a str,
    serial_number: &'a str,
    product_key: &'a str,
    import_id: &'a str,
    /// The hash never comes back.
    hardware_identifier: &'static str,
    assigned_user_principal_name: &'a str,
    state: ImportedState<'a>,
}

/// `importedWindowsAutopilotDeviceIdentityState`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImportedState<'a> {
    device_import_status: &'static str,
    device_registration_id: String,
    device_error_code: i32,
    device_error_name: &'a str,
}

impl<'a> ImportedIdentity<'a> {
    /// `hides_id`: a complete record that does not tell its registration yet.
    pub(in crate::sim) fn new(id: Uuid, record: &'a Record, hides_id: bool) -> Self {
        let (status, registration, code, name) = match &record.status {
            Status::Unknown => ("unknown", None, 0, ""),
            Status::Pending => ("pending", None, 0, ""),
            Status::Partial => ("partial", None, 0, ""),
            Status::Complete { registration } => ("complete", Some(*registration), 0, ""),
            Status::Error { code, name } => ("error", None, *code, name.as_str()),
        };
        Self {
            context: None,
            id,
            group_tag: &record.group_tag,
            serial_number: &record.serial,
            product_key: &record.product_key,
            import_id: &record.import_id,
            hardware_identifier: "",
            assigned_user_principal_name: &record.user,
            state: ImportedState {
                device_import_status: status,
                device_registration_id: registration.filter(|_| !hides_id).map(|id| id.to_string()).unwrap_or_default(),
                device_error_code: code,
                device_error_name: name,
            },
        }
    }
}

/// `windowsAutopilotSettings`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::sim) struct AutopilotSettings {
    #[serde(rename = "@odata.context")]
    pub(in crate::sim) context: String,
    pub(in crate::sim) id: Uuid,
    pub(in crate::sim) last_sync_date_time: String,
    pub(in crate::sim) last_manual_sync_trigger_date_time: String,
    pub(in crate::sim) sync_status: &'static str,
}

/// A page of a collection.
#[derive(Serialize)]
pub(in crate::sim) struct Page<T> {
    #[serde(rename = "@odata.context")]
    pub(in crate::sim) context: String,
    #[serde(rename = "@odata.count", skip_serializing_if = "Option::is_none")]
    pub(in crate::sim) count: Option<usize>,
    #[serde(rename = "@odata.nextLink", skip_serializing_if = "Option::is_none")]
    pub(in crate::sim) next_link: Option<String>,
    pub(in crate::sim) value: Vec<T>,
}

/// A time with second precision, as on devices.
pub(in crate::sim) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time with seven digits behind the point, as on the settings.
pub(in crate::sim) fn seven_digits(at: Timestamp) -> String {
    let ticks = at.subsec_nanosecond().rem_euclid(1_000_000_000) / 100;
    format!("{}.{ticks:07}Z", at.strftime("%Y-%m-%dT%H:%M:%S"))
}
