//! `AutopilotDeviceSet`: up to 500 devices in one object, with defaults.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::device::{device_fields, no_rows, registration_id, serial};
use super::form::GUID;
use super::{FieldPath, FieldProblem, FleetStatus, HardwareHashRef, Layer, LocalRef, Problems, RowOf};
use crate::model::{Claim, DisplayName, Greeting, GroupTag, SerialNumber, UserPrincipalName};

/// The most devices in one set: the most that one import call takes, and an
/// object that etcd still likes.
const MAX_DEVICES: usize = 500;

/// Devices in bulk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "apgit.dev",
    version = "v1alpha1",
    kind = "AutopilotDeviceSet",
    doc = "Up to 500 devices in one object, with defaults.",
    plural = "autopilotdevicesets",
    namespaced,
    status = "FleetStatus",
    derive = "PartialEq",
    shortname = "apds",
    category = "autopilot",
    selectable = ".spec.tenantRef.name",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = "1"
    ),
    printcolumn(name = "Devices", type_ = "integer", json_path = ".status.devices.declared"),
    printcolumn(name = "Held", type_ = "integer", json_path = ".status.devices.held"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("name must be at most 63 characters")
)]
#[x_kube(validation = Rule::new(
    "has(self.tenantRef) == has(oldSelf.tenantRef) && (!has(self.tenantRef) || self.tenantRef == oldSelf.tenantRef)"
).message("tenantRef is immutable").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new(
    "!has(self.defaults) || !has(self.defaults.hardwareHashRef) || !has(self.defaults.hardwareHashRef.sha256) || self.devices.filter(d, !has(d.hardwareHashRef)).size() <= 1"
).message("one pin under defaults cannot be that of several devices").reason(Reason::FieldValueForbidden))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct AutopilotDeviceSetSpec {
    /// The tenant that the devices belong to. May be left out in files when
    /// there is one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_ref: Option<LocalRef>,
    /// Merged under each device, field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<SetDefaults>,
    /// Up to 500 devices.
    #[schemars(length(max = MAX_DEVICES))]
    pub devices: Vec<SetDevice>,
}

device_fields! {
    /// What holds for every device of a set that does not say otherwise.
    #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
    pub struct SetDefaults {}
}

device_fields! {
    /// A device of a set.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
    pub struct SetDevice {
        /// Serial number as the firmware shows it.
        #[schemars(length(min = 1, max = SerialNumber::RULE.max), pattern(SerialNumber::RULE.pattern))]
        pub serial_number: String,
        /// Tells registrations with one serial number apart, a GUID.
        #[schemars(length(max = GUID.max), pattern(GUID.pattern))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub registration_id: Option<String>,
    }
}

/// Checks the defaults once, not once per device.
pub fn check_defaults(defaults: &SetDefaults, problems: &mut Problems) -> Layer {
    defaults.layer(problems)
}

/// Checks what the defaults say for all devices that have no hash reference of
/// their own, `takers` of them.
pub fn check_shared_pin(defaults: &SetDefaults, takers: usize, problems: &mut Problems) {
    let pinned = defaults.hardware_hash_ref.as_ref().is_some_and(|hash| hash.sha256.is_some());
    if pinned && takers > 1 {
        problems.push_hint(
            &["hardwareHashRef", "sha256"],
            "hash-pin-shared",
            format!("one pin cannot be that of {takers} devices: each has a hash of its own"),
            "remove it here, and give each device a `hardwareHashRef` with its own `sha256`; `apgit hash --pin FILE` \
             prints them",
        );
    }
}

/// True for a problem with a file under `defaults` that each of the `devices` has
/// a reference of its own for. (A cluster wants the pin of a Secret or a vault in
/// any case.)
#[must_use]
pub(crate) fn is_nobodys(problem: &FieldProblem, defaults: &SetDefaults, takers: usize, devices: usize) -> bool {
    let is_file = |hash: &HardwareHashRef| hash.file.is_some() || hash.csv.is_some();
    let is_of_file = defaults.hardware_hash_ref.as_ref().is_some_and(is_file);
    problem.code == "hash-pin-missing" && is_of_file && takers == 0 && devices > 0
}

/// Checks a device of a set over its defaults. The claim is there whenever the
/// serial number is usable; it is only trustworthy without problems.
pub fn check_set_device(
    device: &SetDevice,
    defaults: &Layer,
    row: RowOf<'_>,
    problems: &mut Problems,
) -> Option<Claim> {
    let layer = device.layer(problems);
    let id = registration_id(device.registration_id.as_deref(), problems);
    let serial = serial(&device.serial_number, problems)?;
    Some(layer.claim(defaults, row, serial, id, problems))
}

/// The claims that a set makes, in its order.
///
/// # Errors
/// Every problem, by path from `spec`.
pub fn claims(spec: &AutopilotDeviceSetSpec) -> Result<Vec<Claim>, Vec<FieldProblem>> {
    let root = FieldPath::root().field("spec");
    let mut found = Vec::new();
    let mut problems = Problems::under(root.clone().field("defaults"));
    let defaults = spec.defaults.as_ref().map_or_else(Layer::default, |d| check_defaults(d, &mut problems));
    let takers = spec.devices.iter().filter(|device| device.hardware_hash_ref.is_none()).count();
    if let Some(defaults) = &spec.defaults {
        check_shared_pin(defaults, takers, &mut problems);
    }
    let is_nobodys = |problem: &FieldProblem| {
        let defaults = spec.defaults.as_ref();
        defaults.is_some_and(|defaults| is_nobodys(problem, defaults, takers, spec.devices.len()))
    };
    found.extend(problems.into_vec().into_iter().filter(|problem| !is_nobodys(problem)));
    if spec.devices.len() > MAX_DEVICES {
        let mut problems = Problems::under(root.clone());
        problems.push_hint(
            &["devices"],
            "set-too-large",
            format!("a set has at most {MAX_DEVICES} devices, this one has {}", spec.devices.len()),
            "split it into several sets",
        );
        found.extend(problems.into_vec());
    }
    let mut claims = Vec::with_capacity(spec.devices.len());
    for (index, device) in spec.devices.iter().enumerate() {
        let mut problems = Problems::under(FieldPath::root().field("spec").field("devices").index(index));
        claims.extend(check_set_device(device, &defaults, &mut no_rows, &mut problems));
        found.extend(problems.into_vec());
    }
    if found.is_empty() { Ok(claims) } else { Err(found) }
}
