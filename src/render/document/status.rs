//! Where each declared device stands, as a document.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Device, Field, RegistrationId, Tenant};
use crate::plan::Reason;
use crate::render::style::time_of_day;
use crate::status::{DeviceStatus, FleetStatus, Stage};

use super::place::{Place, Places, Row, in_reading_order};
use super::plan::{UnmanagedDocument, unmanaged};
use super::{FORMAT_VERSION, Symbol, reason};

/// Everything a report of states shows. `fleet` may be a part of the fleet.
#[derive(Clone, Copy)]
pub struct StatusView<'a> {
    /// Whose devices.
    pub tenant: &'a Tenant,
    /// Where they stand.
    pub fleet: &'a FleetStatus,
    /// Registered and declared nowhere, where somebody asked for that.
    pub undeclared: &'a [Device],
    /// Where they are declared.
    pub places: Places<'a>,
}

/// What `apgit status --json` writes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusDocument {
    /// `major.minor`, as in a plan.
    pub format_version: &'static str,
    /// What the document is.
    #[schemars(extend("const" = "apgit.status"))]
    pub kind: &'static str,
    /// The name in the declaration.
    pub tenant: String,
    /// The id in Microsoft Entra.
    pub tenant_id: String,
    /// When the tenant was read.
    #[schemars(with = "String")]
    pub observed_at: Timestamp,
    /// Registered in scope and declared nowhere.
    pub unmanaged: usize,
    /// The declared devices that were asked for, by serial.
    pub devices: Vec<DeviceDocument>,
    /// A device that was asked for, is registered and declared nowhere; several
    /// where registrations share its serial.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undeclared: Vec<UnmanagedDocument>,
    /// How many of the devices are registered, as far as known.
    #[serde(skip)]
    pub registered: usize,
    /// How many are as declared.
    #[serde(skip)]
    pub in_sync: usize,
}

impl StatusDocument {
    /// The devices as people read them.
    #[must_use]
    pub fn devices_in_order(&self) -> Vec<&DeviceDocument> {
        in_reading_order(&self.devices)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceDocument {
    /// As declared.
    pub serial_number: String,
    /// The registration, if it is known.
    #[schemars(with = "Option<String>")]
    pub registration_id: Option<RegistrationId>,
    /// True if the tenant has a registration, as far as known.
    pub registered: bool,
    /// How far it is on its way to what is declared; a closed list.
    pub stage: &'static str,
    /// Why a change is held.
    #[schemars(with = "Option<String>")]
    pub reason: Option<Reason>,
    /// What is not as declared, or written and not shown yet.
    pub fields: Vec<&'static str>,
    /// Since when it waits.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// Where it is declared.
    #[serde(flatten)]
    pub source: Place,
    /// `None` for a device that is as declared.
    #[serde(skip)]
    pub symbol: Option<Symbol>,
    /// Where it stands, in the words of people.
    #[serde(skip)]
    pub words: Cow<'static, str>,
}

impl Row for DeviceDocument {
    fn place(&self) -> &Place {
        &self.source
    }

    fn serial(&self) -> &str {
        &self.serial_number
    }
}

impl StatusView<'_> {
    /// The states as a document.
    #[must_use]
    pub fn document(&self) -> StatusDocument {
        let devices = &self.fleet.devices;
        StatusDocument {
            format_version: FORMAT_VERSION,
            kind: "apgit.status",
            tenant: self.tenant.name.clone(),
            tenant_id: self.tenant.id.to_string(),
            observed_at: self.fleet.observed_at,
            unmanaged: self.fleet.unmanaged,
            devices: devices.iter().map(|of| device(of, (self.places)(of.origin))).collect(),
            undeclared: self.undeclared.iter().map(unmanaged).collect(),
            registered: devices.iter().filter(|device| is_registered(device)).count(),
            in_sync: devices.iter().filter(|device| device.stage == Stage::InSync).count(),
        }
    }
}

/// A held device may be registered all the same.
fn is_registered(device: &DeviceStatus) -> bool {
    device.stage.is_registered() || device.registration_id.is_some()
}

fn device(device: &DeviceStatus, source: Place) -> DeviceDocument {
    let (symbol, words) = shown(&device.stage);
    let (since, fields, reason) = match &device.stage {
        Stage::AwaitingRegistration { since } => (Some(*since), &[][..], None),
        Stage::AwaitingValues { since, fields } => (Some(*since), fields.as_slice(), None),
        Stage::ToUpdate { fields } => (None, fields.as_slice(), None),
        Stage::Held { reason } => (None, &[][..], Some(*reason)),
        Stage::AwaitingGone { since } => (Some(*since), &[][..], None),
        Stage::InSync | Stage::ToAdopt | Stage::ToRegister | Stage::Importing | Stage::AwaitingVendor => {
            (None, &[][..], None)
        }
    };
    DeviceDocument {
        serial_number: device.serial.to_string(),
        registration_id: device.registration_id,
        registered: is_registered(device),
        stage: device.stage.name(),
        reason,
        fields: fields.iter().map(|field| field.name()).collect(),
        since,
        source,
        symbol,
        words,
    }
}

fn shown(stage: &Stage) -> (Option<Symbol>, Cow<'static, str>) {
    match stage {
        Stage::InSync => (None, "registered, as declared".into()),
        Stage::ToAdopt => (Some(Symbol::Adopt), "registered, as declared, not adopted yet".into()),
        Stage::AwaitingGone { since } => {
            (Some(Symbol::Awaiting), format!("deletion asked for {}, still registered", time_of_day(*since)).into())
        }
        Stage::ToRegister => (Some(Symbol::Register), "declared, not registered yet".into()),
        Stage::Importing => (Some(Symbol::Awaiting), "import under way".into()),
        Stage::AwaitingRegistration { since } => {
            (Some(Symbol::Awaiting), format!("imported {}, not listed yet", time_of_day(*since)).into())
        }
        Stage::AwaitingVendor => (Some(Symbol::Awaiting), "waits for its vendor to register it".into()),
        Stage::ToUpdate { fields } => {
            (Some(Symbol::Update), format!("registered, differs in {}", labels(fields)).into())
        }
        Stage::AwaitingValues { since, fields } => {
            let words = format!("registered, {} written {}, not shown yet", labels(fields), time_of_day(*since));
            (Some(Symbol::Awaiting), words.into())
        }
        Stage::Held { reason: why } => (Some(reason::symbol(*why)), format!("held: {} ({why})", why.text()).into()),
    }
}

fn labels(fields: &[Field]) -> String {
    fields.iter().map(|field| field.label()).collect::<Vec<_>>().join(", ")
}
