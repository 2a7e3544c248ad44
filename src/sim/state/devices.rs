//! What stands beside a registration: its device object in Entra's directory,
//! and the device in Intune once it has enrolled.
//!
//! Each lives and dies by itself. What has no registration any more is kept
//! under the id that this had (`registry.rs`); what never had one is not
//! simulated. When an object appears and follows a new tag is planned in
//! `registrations.rs`.
//!
//! Guesses, as no source says it: an object whose device never enrolled goes
//! with its registration, and that of one which did stays (by a setting, it
//! goes too), without the marks of Autopilot in its `physicalIds`; a device
//! leaves Intune minutes after it was deleted there, later when it was wiped or
//! retired, and a second request meanwhile is accepted and changes nothing.

use serde_json::{Value, json};
use uuid::Uuid;

use super::agenda::Event;
use super::registrations::{Enrolment, Object, Registration};
use super::tenant::Tenant;
use super::witness::WriteKind;
use crate::sim::door::{
    Answer, Call, ManagedAction, Problem, Target,
    query::{self, Filter, Operator},
    wire::{NEVER, Page, seconds},
};
use crate::sim::stage::settings;

/// Entra's own page size and the most that `$top` gets.
const PAGE: usize = 100;
const PAGE_MAX: usize = 999;

// The ids of an object are those of its registration with some bits turned
// (not those that make it a random UUID), so that neither needs an index.
const OBJECT_BITS: u128 = 0x5a17_c3e9_41d2_0b6f_1c35_7e9a_2d4b_8f60;
const DEVICE_BITS: u128 = 0xc3f0_5a96_8e1b_0d24_2a71_b5c8_f03d_6e19;

fn turned(id: Uuid, bits: u128) -> Uuid {
    Uuid::from_u128(id.as_u128() ^ bits)
}

/// The `deviceId` of the Entra object of a registration.
pub(in crate::sim) fn device_id(registration: Uuid) -> Uuid {
    turned(registration, DEVICE_BITS)
}

/// Which object of the directory is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Key {
    /// `/devices/{id}`.
    Object(Uuid),
    /// `/devices(deviceId='{id}')`.
    Device(Uuid),
}

impl Key {
    pub(in crate::sim) fn read(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("deviceid='") {
            Some(id) => id.trim_end_matches('\'').parse().ok().map(Self::Device),
            None => lower.parse().ok().map(Self::Object),
        }
    }

    fn registration(self) -> Uuid {
        match self {
            Self::Object(id) => turned(id, OBJECT_BITS),
            Self::Device(id) => turned(id, DEVICE_BITS),
        }
    }

    fn as_text(self) -> String {
        match self {
            Self::Object(id) | Self::Device(id) => id.to_string(),
        }
    }
}

/// What a `$filter` on devices asks.
enum Wanted {
    DeviceId(Uuid),
    Name(Filter),
    Physical(Filter),
}

impl Wanted {
    /// `deviceId eq 'x'`, `displayName eq 'x'`, `startswith(displayName,'x')`,
    /// `physicalIds/any(p:startswith(p,'x'))`, `physicalIds/any(p:p eq 'x')`.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(inner) = text.strip_prefix("physicalIds/any(").and_then(|rest| rest.strip_suffix(')')) {
            let (variable, clause) = inner.split_once(':')?;
            let filter = Filter::parse(clause.trim())?;
            return filter.is_about(variable.trim()).then_some(Self::Physical(filter));
        }
        let filter = Filter::parse(text)?;
        match (filter.property.as_str(), filter.operator) {
            ("deviceId", Operator::Equal) => filter.value.parse().ok().map(Self::DeviceId),
            ("displayName", Operator::Equal | Operator::StartsWith) => Some(Self::Name(filter)),
            _ => None,
        }
    }

    fn takes(&self, id: Uuid, registration: &Registration) -> bool {
        match self {
            Self::DeviceId(wanted) => *wanted == device_id(id),
            Self::Name(filter) => filter.takes(object_name(registration)),
            // The bracketed token is compared letter by letter.
            Self::Physical(filter) => physical_ids(id, registration).iter().any(|own| match filter.operator {
                Operator::StartsWith => own.starts_with(&filter.value),
                Operator::Contains => own.contains(&filter.value),
                Operator::Equal => *own == filter.value,
            }),
        }
    }
}

/// Before its first enrolment a device is called by its serial number.
fn object_name(registration: &Registration) -> &str {
    let name = &registration.settled.display_name;
    if registration.enrolment.is_some() && !name.is_empty() { name } else { &registration.serial }
}

fn physical_ids(id: Uuid, registration: &Registration) -> Vec<String> {
    if registration.departed {
        return Vec::new();
    }
    let mut ids = vec![format!("[ZTDID]:{id}")];
    if !registration.object_tag.is_empty() {
        ids.push(format!("[OrderID]:{}", registration.object_tag));
    }
    if !registration.purchase_order.is_empty() {
        ids.push(format!("[PurchaseOrderId]:{}", registration.purchase_order));
    }
    ids
}

fn object_json(id: Uuid, registration: &Registration) -> Value {
    let enrolment = registration.enrolment.as_ref();
    json!({
        "id": turned(id, OBJECT_BITS),
        "deletedDateTime": null,
        // The object of a device that has not enrolled yet is disabled.
        "accountEnabled": enrolment.is_some(),
        "approximateLastSignInDateTime": enrolment.map(|enrolment| seconds(enrolment.contacted)),
        "deviceId": device_id(id),
        "deviceOwnership": enrolment.map(|_| "Company"),
        "deviceVersion": 2,
        "displayName": object_name(registration),
        "enrollmentType": enrolment.map(|_| "AzureDomainJoined"),
        "isCompliant": enrolment.map(|_| true),
        "isManaged": enrolment.map(|_| true),
        "manufacturer": registration.manufacturer,
        "model": registration.model,
        "operatingSystem": "Windows",
        "operatingSystemVersion": "10.0",
        "physicalIds": physical_ids(id, registration),
        "profileType": "RegisteredDevice",
        "registrationDateTime": enrolment.map(|enrolment| seconds(enrolment.contacted)),
        "systemLabels": [],
        "trustType": "AzureAd",
    })
}

impl Tenant {
    /// `devices`: the directory's objects, in pages of a hundred.
    pub(in crate::sim) fn list_objects(&self, call: &Call<'_>) -> Result<Answer, Problem> {
        let refused = || Problem::plain(400, "Request_UnsupportedQuery", "Unsupported or invalid query filter clause.");
        let wanted = match call.option("$filter") {
            Some(text) => Some(Wanted::read(text).ok_or_else(refused)?),
            None => None,
        };
        let size = match call.option("$top") {
            Some(_) => query::top(call, PAGE_MAX, PAGE_MAX)?,
            None => PAGE,
        };
        let mut found = self.registrations.neighbours_after(query::skip_token(call)?).filter(|(id, registration)| {
            registration.object == Object::There && wanted.as_ref().is_none_or(|wanted| wanted.takes(*id, registration))
        });
        let page: Vec<_> = found.by_ref().take(size).collect();
        let more = found.next().is_some();
        let next_link = page.last().filter(|_| more).map(|(last, _)| query::next_link(call, *last));
        let value = page.into_iter().map(|(id, r)| query::selected(call, self.object_json(id, r))).collect();
        Ok(Answer::json(200, &Page { context: call.context("devices"), count: None, next_link, value }))
    }

    fn object_json(&self, id: Uuid, registration: &Registration) -> Value {
        let mut json = object_json(id, registration);
        if self.settings.directory.hybrid {
            json["trustType"] = "ServerAd".into();
        }
        json
    }

    pub(in crate::sim) fn get_object(&self, call: &Call<'_>, key: Key) -> Result<Answer, Problem> {
        let id = key.registration();
        let registration = self.registrations.neighbour(id);
        let registration = registration.filter(|registration| registration.object == Object::There);
        let registration = registration.ok_or_else(|| Problem::no_object(&key.as_text()))?;
        let mut object = query::selected(call, self.object_json(id, registration));
        object["@odata.context"] = call.context("devices/$entity").into();
        Ok(Answer::json(200, &object))
    }

    /// The portal refuses this for a registered device; Graph does not, and
    /// the device cannot enrol any more.
    pub(in crate::sim) fn delete_object(&mut self, call: &Call<'_>, key: Key) -> Result<Answer, Problem> {
        let id = key.registration();
        if self.registrations.neighbour(id).is_none_or(|device| device.object != Object::There) {
            return Err(Problem::no_object(&key.as_text()));
        }
        let kind = WriteKind::Other(Target::Device(key).template());
        self.witness_write_to(id, kind, &call.app, Vec::new());
        self.registrations.delete_object(id);
        Ok(Answer::empty(204))
    }

    /// `managedDevices`: the enrolled ones.
    pub(in crate::sim) fn list_managed(&self, call: &Call<'_>) -> Result<Answer, Problem> {
        // Of `a or b` only the first is looked at, as the field has met it.
        let filter = call.option("$filter").map(|text| text.split(" or ").next().unwrap_or(text));
        let filter = filter.map(Filter::read).transpose()?;
        let known = ["serialNumber", "azureADDeviceId", "deviceName", "userPrincipalName", "operatingSystem"];
        if filter.as_ref().is_some_and(|filter| !known.contains(&filter.property.as_str())) {
            return Err(Problem::nested(400, "Invalid filter clause"));
        }
        let size = query::page_size(call, &self.settings.list)?;
        let mut found =
            self.registrations.neighbours_after(query::skip_token(call)?).filter_map(|(id, registration)| {
                let json = managed_json(id, registration, registration.enrolment.as_ref()?, call.is_beta());
                let taken = filter.as_ref().is_none_or(|filter| {
                    json[filter.property.as_str()].as_str().is_some_and(|value| filter.takes(value))
                });
                taken.then_some((id, json))
            });
        let page: Vec<_> = found.by_ref().take(size).collect();
        let more = found.next().is_some();
        let next_link = page.last().filter(|_| more).map(|(last, _)| query::next_link(call, *last));
        let value: Vec<_> = page.into_iter().map(|(_, json)| query::selected(call, json)).collect();
        let context = call.context("deviceManagement/managedDevices");
        Ok(Answer::json(200, &Page { context, count: Some(value.len()), next_link, value }))
    }

    pub(in crate::sim) fn get_managed(&self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        let (registration_id, registration, enrolment) = self.managed(id)?;
        let mut json = query::selected(call, managed_json(registration_id, registration, enrolment, call.is_beta()));
        json["@odata.context"] = call.context("deviceManagement/managedDevices/$entity").into();
        Ok(Answer::json(200, &json))
    }

    /// Takes the request for a deletion. Once the device has left Intune, its
    /// registration can be deleted.
    pub(in crate::sim) fn delete_managed(&mut self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        self.send_from_intune(call, id, Target::ManagedDevice(id), |intune| intune.deleting)
    }

    /// `wipe` or `retire`: done once the device is in touch, which ends in the
    /// same.
    pub(in crate::sim) fn act_on_managed(
        &mut self,
        call: &Call<'_>,
        id: Uuid,
        action: ManagedAction,
    ) -> Result<Answer, Problem> {
        self.send_from_intune(call, id, Target::ManagedAction(id, action), |intune| intune.wiping)
    }

    fn send_from_intune(
        &mut self,
        call: &Call<'_>,
        managed: Uuid,
        target: Target,
        delay: impl FnOnce(&settings::Intune) -> settings::Delay,
    ) -> Result<Answer, Problem> {
        let (id, _, enrolment) = self.managed(managed)?;
        let enrolment = enrolment.clone();
        self.witness_write_to(id, WriteKind::Other(target.template()), &call.app, Vec::new());
        if !enrolment.leaving {
            let delay = self.random.delay("leaves intune", delay(&self.settings.intune));
            self.agenda.enter(self.now + delay, Event::LeavesIntune { managed });
            self.registrations.set_enrolment(id, Some(Enrolment { leaving: true, ..enrolment }));
        }
        Ok(Answer::empty(204))
    }

    /// The device is in Intune no more, if it still was.
    pub(super) fn leave_intune(&mut self, managed: Uuid) {
        if let Some((id, _)) = self.registrations.of_managed_device(managed) {
            self.registrations.set_enrolment(id, None);
        }
    }

    /// The registration is gone; what stands beside it may stay.
    pub(in crate::sim) fn remove_registration(&mut self, id: Uuid) {
        let Some(mut device) = self.registrations.remove(id) else { return };
        let stays = device.enrolment.is_some() || device.joined && self.settings.directory.object_stays;
        if device.object == Object::There && !stays {
            device.object = Object::Gone;
        }
        if device.enrolment.is_some() || device.object == Object::There {
            self.registrations.leave_behind(id, Registration { departed: true, ..device });
        }
    }

    fn managed(&self, id: Uuid) -> Result<(Uuid, &Registration, &Enrolment), Problem> {
        let found = self.registrations.of_managed_device(id);
        let found = found.and_then(|(own, registration)| Some((own, registration, registration.enrolment.as_ref()?)));
        found.ok_or_else(|| Problem::nested(404, "Resource not found"))
    }
}

fn managed_json(id: Uuid, registration: &Registration, enrolment: &Enrolment, beta: bool) -> Value {
    let values = &registration.settled;
    let contacted = seconds(enrolment.contacted);
    let mut json = json!({
        "id": enrolment.managed_device,
        "userId": "",
        "deviceName": object_name(registration),
        "managedDeviceOwnerType": "company",
        "enrolledDateTime": contacted,
        "lastSyncDateTime": contacted,
        "operatingSystem": "Windows",
        "complianceState": "compliant",
        "jailBroken": "Unknown",
        "managementAgent": "mdm",
        "osVersion": "10.0",
        "easActivated": false,
        "easDeviceId": "",
        "easActivationDateTime": NEVER,
        "azureADRegistered": true,
        "deviceEnrollmentType": "windowsAzureADJoin",
        "emailAddress": values.user,
        "azureADDeviceId": enrolment.directory_device,
        "deviceRegistrationState": "registered",
        "deviceCategoryDisplayName": "",
        "isSupervised": false,
        "isEncrypted": false,
        "userPrincipalName": values.user,
        "model": registration.model,
        "manufacturer": registration.manufacturer,
        "imei": "",
        "complianceGracePeriodExpirationDateTime": "9999-12-31T23:59:59Z",
        "serialNumber": registration.serial,
        "phoneNumber": "",
        "userDisplayName": values.addressable_user_name,
        "wiFiMacAddress": "",
        "totalStorageSpaceInBytes": 0,
        "freeStorageSpaceInBytes": 0,
        "managedDeviceName": format!("{}_Windows_{}", id.as_simple(), contacted),
        "partnerReportedThreatState": "unknown",
    });
    if beta {
        json["autopilotEnrolled"] = true.into();
        json["joinType"] = "azureADJoined".into();
        json["skuFamily"] = registration.family.as_str().into();
    }
    json
}
