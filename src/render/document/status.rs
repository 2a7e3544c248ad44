//! Where each declared device stands, as a document.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Field, RegistrationId, Tenant};
use crate::plan::Reason;
use crate::render::style::time_of_day;
use crate::status::{DeviceStatus, FleetStatus, Stage};

use super::place::{Place, Places, Row, in_reading_order};
use super::{FORMAT_VERSION, Symbol, reason};

/// Everything a report of states shows. `fleet` may be a part of the fleet.
#[derive(Clone, Copy)]
pub struct StatusView<'a> {
    pub tenant: &'a Tenant,
    pub fleet: &'a FleetStatus,
    pub places: Places<'a>,
}

/// What `apgit status --json` writes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusDocument {
    pub format_version: &'static str,
    #[schemars(extend("const" = "apgit.status"))]
    pub kind: &'static str,
    pub tenant: String,
    pub tenant_id: String,
    #[schemars(with = "String")]
    pub observed_at: Timestamp,
    /// Registered in scope and declared nowhere.
    pub unmanaged: usize,
    pub devices: Vec<DeviceDocument>,
    /// How many of the devices are registered, as far as known.
    #[serde(skip)]
    pub registered: usize,
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
    pub serial_number: String,
    #[schemars(with = "Option<String>")]
    pub registration_id: Option<RegistrationId>,
    pub registered: bool,
    pub stage: &'static str,
    #[schemars(with = "Option<String>")]
    pub reason: Option<Reason>,
    /// What is not as declared, or written and not shown yet.
    pub fields: Vec<&'static str>,
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
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
            registered: devices.iter().filter(|device| device.stage.is_registered()).count(),
            in_sync: devices.iter().filter(|device| device.stage == Stage::InSync).count(),
        }
    }
}

fn device(device: &DeviceStatus, source: Place) -> DeviceDocument {
    let (symbol, words) = shown(&device.stage);
    let (since, fields, reason) = match &device.stage {
        Stage::AwaitingRegistration { since } => (Some(*since), &[][..], None),
        Stage::AwaitingValues { since, fields } => (Some(*since), fields.as_slice(), None),
        Stage::ToUpdate { fields } => (None, fields.as_slice(), None),
        Stage::Held { reason } => (None, &[][..], Some(*reason)),
        Stage::InSync | Stage::ToRegister | Stage::Importing | Stage::AwaitingVendor => (None, &[][..], None),
    };
    DeviceDocument {
        serial_number: device.serial.to_string(),
        registration_id: device.registration_id,
        registered: device.stage.is_registered() || device.registration_id.is_some(),
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
