//! `AutopilotDevice`: one declared device, and the checks that every declared
//! device passes, alone or in a set.

use std::sync::Arc;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form::GUID;
use super::{Columns, FieldProblem, HardwareHashRef, LocalRef, Problems, Status, hash_ref};
use crate::model::{self, Claim, DisplayName, Greeting, GroupTag, HashRef, Origin, RegistrationId, SerialNumber};
use crate::model::{UserPrincipalName, Want};

/// What happens to the registration when its declaration goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
// No docs: they would make `oneOf` of the schema's `enum`.
pub enum DeletionPolicy {
    Orphan,
    Delete,
}

/// Whether a registration that is already there may become ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
// No docs: they would make `oneOf` of the schema's `enum`.
pub enum AdoptionPolicy {
    Never,
    IfUnowned,
    Always,
}

impl From<AdoptionPolicy> for model::AdoptionPolicy {
    fn from(policy: AdoptionPolicy) -> Self {
        match policy {
            AdoptionPolicy::Never => Self::Never,
            AdoptionPolicy::IfUnowned => Self::IfUnowned,
            AdoptionPolicy::Always => Self::Always,
        }
    }
}

impl From<DeletionPolicy> for model::DeletionPolicy {
    fn from(policy: DeletionPolicy) -> Self {
        match policy {
            DeletionPolicy::Orphan => Self::Orphan,
            DeletionPolicy::Delete => Self::Delete,
        }
    }
}

/// A struct with the fields that a device has wherever it is declared. Serde's
/// `flatten` would do the same, but it loses `deny_unknown_fields` and the
/// structural schema.
macro_rules! device_fields {
    ($(#[$meta:meta])* pub struct $name:ident { $($extra:tt)* }) => {
        $(#[$meta])*
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        #[schemars(transform = $crate::resource::schema::no_nulls)]
        pub struct $name {
            $($extra)*
            /// Where the hardware hash is kept. Left out: the vendor registers
            /// the device.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub hardware_hash_ref: Option<$crate::resource::HardwareHashRef>,
            /// Group tag. Left out: stays as it is. Empty: cleared.
            #[schemars(length(max = GroupTag::RULE.max), pattern(GroupTag::RULE.pattern))]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub group_tag: Option<String>,
            /// User that the device is assigned to. Left out: stays as it is.
            /// Empty: nobody.
            #[schemars(length(max = UserPrincipalName::RULE.max), pattern(UserPrincipalName::RULE.pattern))]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub user_principal_name: Option<String>,
            /// How the device greets its user. Only together with a user.
            #[schemars(length(max = Greeting::RULE.max), pattern(Greeting::RULE.pattern))]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub addressable_user_name: Option<String>,
            /// Computer name: up to 15 letters, digits, hyphens. Left out:
            /// stays as it is. Empty: cleared.
            #[schemars(length(max = DisplayName::RULE.max), pattern(DisplayName::RULE.pattern))]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub display_name: Option<String>,
            /// What happens to the registration when this declaration goes:
            /// left alone (`Orphan`, also when left out) or deregistered.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub deletion_policy: Option<$crate::resource::DeletionPolicy>,
            /// Never deregister, even when this declaration goes.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub protect: Option<bool>,
            /// May only be narrower than the tenant's.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub adoption_policy: Option<$crate::resource::AdoptionPolicy>,
            /// Leave the device alone for now.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub suspend: Option<bool>,
        }

        impl $name {
            /// What of these fields is not acted on, by path from here.
            #[must_use]
            pub fn undone(&self) -> Vec<$crate::resource::Undone> {
                $crate::resource::undone::undone_of_device(self.hardware_hash_ref.as_ref())
            }

            pub(super) fn layer(&self, problems: &mut $crate::resource::Problems) -> $crate::resource::Layer {
                $crate::resource::device::layer(&$crate::resource::device::Values {
                    hardware_hash_ref: self.hardware_hash_ref.as_ref(),
                    group_tag: self.group_tag.as_deref(),
                    user_principal_name: self.user_principal_name.as_deref(),
                    addressable_user_name: self.addressable_user_name.as_deref(),
                    display_name: self.display_name.as_deref(),
                    deletion_policy: self.deletion_policy,
                    protect: self.protect,
                    adoption_policy: self.adoption_policy,
                    suspend: self.suspend,
                }, problems)
            }
        }
    };
}
pub(super) use device_fields;

device_fields! {
    /// A device that should be registered in an Autopilot tenant.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
    #[kube(
        group = "apgit.dev", version = "v1alpha1", kind = "AutopilotDevice",
    doc = "A device that should be registered in an Autopilot tenant.", plural = "autopilotdevices",
        namespaced, status = "Status", derive = "PartialEq", shortname = "apd", category = "autopilot",
        selectable = ".spec.tenantRef.name", selectable = ".spec.serialNumber",
        printcolumn(name = "Serial", type_ = "string", json_path = ".spec.serialNumber"),
        printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
        printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason", priority = "1"),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
        validation = Rule::new("size(self.metadata.name) <= 63").message("name must be at most 63 characters"),
    )]
    #[x_kube(validation = Rule::new(
        "has(self.tenantRef) == has(oldSelf.tenantRef) && (!has(self.tenantRef) || self.tenantRef == oldSelf.tenantRef)"
    ).message("tenantRef is immutable").reason(Reason::FieldValueForbidden))]
    #[x_kube(validation = Rule::new(
        "!has(self.addressableUserName) || size(self.addressableUserName) == 0 || (has(self.userPrincipalName) ? size(self.userPrincipalName) > 0 : (has(self.hardwareHashRef) && has(self.hardwareHashRef.use) && 'assignedUser' in self.hardwareHashRef.use))"
    ).message("addressableUserName needs a userPrincipalName beside it").reason(Reason::FieldValueForbidden))]
    pub struct AutopilotDeviceSpec {
        /// The tenant that the device belongs to. May be left out in files
        /// when there is one tenant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub tenant_ref: Option<LocalRef>,
        /// Serial number as the firmware shows it. Cannot be changed.
        #[x_kube(validation = Rule::new("self == oldSelf").message("serialNumber is immutable").reason(Reason::FieldValueForbidden))]
        #[schemars(length(min = 1, max = SerialNumber::RULE.max), pattern(SerialNumber::RULE.pattern))]
        pub serial_number: String,
        /// Tells registrations with one serial number apart, a GUID.
        #[schemars(length(max = GUID.max), pattern(GUID.pattern))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub registration_id: Option<String>,
    }
}

/// The fields of a device as written, before any check.
pub(super) struct Values<'a> {
    pub hardware_hash_ref: Option<&'a HardwareHashRef>,
    pub group_tag: Option<&'a str>,
    pub user_principal_name: Option<&'a str>,
    pub addressable_user_name: Option<&'a str>,
    pub display_name: Option<&'a str>,
    pub deletion_policy: Option<DeletionPolicy>,
    pub protect: Option<bool>,
    pub adoption_policy: Option<AdoptionPolicy>,
    pub suspend: Option<bool>,
}

/// The checked fields of a device or of a set's defaults; `None` = not said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layer {
    /// A hash reference is replaced whole, never merged.
    pub hash: Option<Arc<HashRef>>,
    /// What it says of columns; without it, nothing.
    columns: Option<Columns>,
    group_tag: Option<Want<GroupTag>>,
    user: Option<Want<UserPrincipalName>>,
    addressable_user_name: Option<Want<Greeting>>,
    display_name: Option<Want<DisplayName>>,
    deletion_policy: Option<DeletionPolicy>,
    protect: Option<bool>,
    adoption: Option<AdoptionPolicy>,
    suspend: Option<bool>,
}

impl Layer {
    /// This layer, with what it does not say taken from `below`.
    #[must_use]
    pub fn over(self, below: &Self) -> Self {
        let (hash, columns) = match self.hash {
            Some(hash) => (Some(hash), self.columns),
            None => (below.hash.clone(), below.columns),
        };
        Self {
            hash,
            columns,
            group_tag: self.group_tag.or_else(|| below.group_tag.clone()),
            user: self.user.or_else(|| below.user.clone()),
            addressable_user_name: self.addressable_user_name.or_else(|| below.addressable_user_name.clone()),
            display_name: self.display_name.or_else(|| below.display_name.clone()),
            deletion_policy: self.deletion_policy.or(below.deletion_policy),
            protect: self.protect.or(below.protect),
            adoption: self.adoption.or(below.adoption),
            suspend: self.suspend.or(below.suspend),
        }
    }

    /// What a row of a CSV says about its device. An empty cell says nothing:
    /// collectors write one for each column that they were not told about.
    pub fn of_row(group_tag: Option<&str>, user: Option<&str>, problems: &mut Problems) -> Self {
        let said = |cell: Option<&str>| cell.map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned);
        let (group_tag, user) = (said(group_tag), said(user));
        Self {
            group_tag: want("groupTag", "group-tag", group_tag.as_deref(), GroupTag::parse, problems),
            user: want("userPrincipalName", "user", user.as_deref(), UserPrincipalName::parse, problems),
            ..Self::default()
        }
    }

    /// The fields of `Group Tag` and `Assigned User` that this layer has, by their
    /// names in manifests.
    #[must_use]
    pub fn fields_of_row(&self) -> Vec<&'static str> {
        let tag = self.group_tag.as_ref().map(|_| "groupTag");
        tag.into_iter().chain(self.user.as_ref().map(|_| "userPrincipalName")).collect()
    }

    /// The claim of a device whose own fields these are: what they do not say is
    /// taken from its row, and what that does not say from `defaults`. Then the one
    /// rule about two fields: a greeting needs somebody to greet.
    pub(super) fn claim(
        self,
        defaults: &Self,
        row: RowOf<'_>,
        serial: SerialNumber,
        registration_id: Option<RegistrationId>,
        problems: &mut Problems,
    ) -> Claim {
        let (hash, columns) = match &self.hash {
            Some(hash) => (Some(hash), self.columns),
            None => (defaults.hash.as_ref(), defaults.columns),
        };
        let said = hash.map_or_else(|| Some(Self::default()), |hash| row(hash, columns, &self, &serial));
        let may_have_user = said.is_none() && columns.is_some_and(|columns| columns.user);
        let this = self.over(&said.unwrap_or_default()).over(defaults);
        this.merged(may_have_user, serial, registration_id, problems)
    }

    fn merged(
        self,
        may_have_user: bool,
        serial: SerialNumber,
        registration_id: Option<RegistrationId>,
        problems: &mut Problems,
    ) -> Claim {
        let may_have_user = may_have_user && self.user.is_none();
        let user = self.user.unwrap_or_default();
        let addressable_user_name = self.addressable_user_name.unwrap_or_default();
        if matches!(addressable_user_name, Want::Set(_)) && !matches!(user, Want::Set(_)) && !may_have_user {
            problems.push_hint(
                &["addressableUserName"],
                "addressable-user-name-alone",
                "`addressableUserName` stands without a user",
                "add `userPrincipalName`, or remove it",
            );
        }
        Claim {
            serial,
            registration_id,
            hash: self.hash,
            group_tag: self.group_tag.unwrap_or_default(),
            user,
            addressable_user_name,
            display_name: self.display_name.unwrap_or_default(),
            deletion_policy: self.deletion_policy.map_or_else(Default::default, Into::into),
            protect: self.protect.unwrap_or(false),
            adoption: self.adoption.map_or_else(Default::default, Into::into),
            tag_refused: false,
            suspend: self.suspend.unwrap_or(false),
            origin: Origin::default(),
        }
    }
}

/// What the row of a device says, asked with its hash reference, what that says
/// of columns, the device's own fields and its serial number. `None`: not known
/// here.
pub type RowOf<'r> = &'r mut dyn FnMut(&Arc<HashRef>, Option<Columns>, &Layer, &SerialNumber) -> Option<Layer>;

/// The answer where no rows can be read.
pub(super) fn no_rows(_: &Arc<HashRef>, _: Option<Columns>, _: &Layer, _: &SerialNumber) -> Option<Layer> {
    None
}

pub(super) fn layer(values: &Values<'_>, problems: &mut Problems) -> Layer {
    Layer {
        hash: values.hardware_hash_ref.and_then(|spec| hash_ref::check(spec, problems)).map(Arc::new),
        columns: values.hardware_hash_ref.and_then(Columns::of),
        group_tag: want("groupTag", "group-tag", values.group_tag, GroupTag::parse, problems),
        user: want("userPrincipalName", "user", values.user_principal_name, UserPrincipalName::parse, problems),
        addressable_user_name: want(
            "addressableUserName",
            "addressable-user-name",
            values.addressable_user_name,
            Greeting::parse,
            problems,
        ),
        display_name: want("displayName", "display-name", values.display_name, DisplayName::parse, problems),
        deletion_policy: values.deletion_policy,
        protect: values.protect,
        adoption: values.adoption_policy,
        suspend: values.suspend,
    }
}

/// Absent, empty, or a value: three wishes.
fn want<T>(
    field: &'static str,
    code: &'static str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, String>,
    problems: &mut Problems,
) -> Option<Want<T>> {
    match text? {
        "" => Some(Want::Clear),
        text => match parse(text) {
            Ok(value) => Some(Want::Set(value)),
            Err(rule) => {
                problems.push(&[field], code, rule);
                None
            }
        },
    }
}

/// The serial number, or nothing after a problem.
pub(super) fn serial(text: &str, problems: &mut Problems) -> Option<SerialNumber> {
    match SerialNumber::parse(text) {
        Ok(serial) if serial.is_placeholder() => {
            problems.push_hint(
                &["serialNumber"],
                "serial-placeholder",
                format!("`{serial}` is what vendors leave where a serial number should be"),
                "look for the real serial number on the case or in the firmware",
            );
            None
        }
        Ok(serial) => Some(serial),
        Err(rule) => {
            problems.push(&["serialNumber"], "serial", rule);
            None
        }
    }
}

/// The registration id, or nothing after a problem.
pub fn registration_id(text: Option<&str>, problems: &mut Problems) -> Option<RegistrationId> {
    let text = text?;
    let id = text.parse().ok().filter(|_| GUID.fits(text));
    if id.is_none() {
        problems.push(&["registrationId"], "not-a-guid", "`registrationId` is not a GUID");
    }
    id
}

/// Checks a device and goes on after each problem. The claim is there whenever
/// the serial number is usable; it is only trustworthy without problems.
pub fn check_device(spec: &AutopilotDeviceSpec, row: RowOf<'_>, problems: &mut Problems) -> Option<Claim> {
    let layer = spec.layer(problems);
    let id = registration_id(spec.registration_id.as_deref(), problems);
    let serial = serial(&spec.serial_number, problems)?;
    Some(layer.claim(&Layer::default(), row, serial, id, problems))
}

/// The claim that a device makes. Paths of files stay as written, and the
/// origin is not set.
///
/// # Errors
/// Every problem, by path from `spec`.
pub fn claim(spec: &AutopilotDeviceSpec) -> Result<Claim, Vec<FieldProblem>> {
    let mut problems = Problems::under(super::FieldPath::root().field("spec"));
    match check_device(spec, &mut no_rows, &mut problems) {
        Some(claim) if problems.is_empty() => Ok(claim),
        _ => Err(problems.into_vec()),
    }
}
