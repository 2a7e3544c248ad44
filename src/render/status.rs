//! Where each declared device stands, as text and as JSON.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Field, Tenant};
use crate::status::{DeviceStatus, FleetStatus, Stage};

use super::json::{FORMAT_VERSION, pretty};
use super::line::Line;
use super::style::{Look, Role, Symbol, columns, moment, thousands, time_of_day};
use super::text::{at, place_column};
use super::{Place, Places};

/// Everything a report of states shows. `devices` may be a part of the fleet.
#[derive(Clone, Copy)]
pub struct StatusView<'a> {
    pub tenant: &'a Tenant,
    pub fleet: &'a FleetStatus,
    pub places: Places<'a>,
}

/// One line per device, and how many are where.
#[must_use]
pub fn text(view: &StatusView, look: &Look) -> String {
    let mut out = String::new();
    let name = look.paint(Role::Heading, &look.show(&view.tenant.name));
    let _ = writeln!(out, "{name} ({})   observed {}\n", view.tenant.id, moment(view.fleet.observed_at));
    let mut rows: Vec<(Place, &DeviceStatus)> =
        view.fleet.devices.iter().map(|device| ((view.places)(device.origin), device)).collect();
    rows.sort_by(|a, b| (&a.0, a.1.serial.as_str()).cmp(&(&b.0, b.1.serial.as_str())));
    let serial = rows.iter().map(|(_, device)| columns(device.serial.as_str())).max().unwrap_or(0).clamp(12, 24);
    let column = place_column(look, rows.iter().map(|(place, _)| place));
    for (place, device) in &rows {
        let (role, sign, word) = sign(&device.stage);
        let line = Line::new(look).plain("  ").painted(role, sign).plain(" ").plain(&look.show(device.serial.as_str()));
        let line = line.to(4 + serial + 2).plain(&word);
        line.to(column).painted(Role::Dim, &at(look, place)).end(&mut out);
    }
    let registered = rows.iter().filter(|(_, device)| device.stage.is_registered()).count();
    let in_sync = rows.iter().filter(|(_, device)| device.stage == Stage::InSync).count();
    let _ = writeln!(
        out,
        "\n{} declared, {} registered, {} as declared, {} unmanaged",
        thousands(rows.len()),
        thousands(registered),
        thousands(in_sync),
        thousands(view.fleet.unmanaged),
    );
    out
}

fn sign(stage: &Stage) -> (Role, &'static str, String) {
    let of = |symbol: Symbol| (symbol.role(), symbol.sign());
    let ((role, sign), words) = match stage {
        Stage::InSync => ((Role::Plain, " "), "registered, as declared".to_owned()),
        Stage::ToRegister => (of(Symbol::Register), "declared, not registered yet".to_owned()),
        Stage::Importing => (of(Symbol::Awaiting), "import under way".to_owned()),
        Stage::AwaitingRegistration { since } => {
            (of(Symbol::Awaiting), format!("imported {}, not listed yet", time_of_day(*since)))
        }
        Stage::AwaitingVendor => (of(Symbol::Awaiting), "waits for its vendor to register it".to_owned()),
        Stage::ToUpdate { fields } => (of(Symbol::Update), format!("registered, differs in {}", labels(fields))),
        Stage::AwaitingValues { since, fields } => {
            let words = format!("registered, {} written {}, not shown yet", labels(fields), time_of_day(*since));
            (of(Symbol::Awaiting), words)
        }
        Stage::Held { reason } => {
            let symbol = match reason.class() {
                crate::plan::HeldClass::Blocked => Symbol::Blocked,
                crate::plan::HeldClass::Conflict => Symbol::Conflict,
            };
            (of(symbol), format!("held: {} ({reason})", reason.text()))
        }
    };
    (role, sign, words)
}

fn labels(fields: &[Field]) -> String {
    fields.iter().map(|field| field.label()).collect::<Vec<_>>().join(", ")
}

/// The same as a document of its own kind.
#[must_use]
pub fn json(view: &StatusView) -> String {
    let device = |device: &DeviceStatus| {
        let place = (view.places)(device.origin);
        let (since, fields, reason) = match &device.stage {
            Stage::AwaitingRegistration { since } => (Some(*since), &[][..], None),
            Stage::AwaitingValues { since, fields } => (Some(*since), fields.as_slice(), None),
            Stage::ToUpdate { fields } => (None, fields.as_slice(), None),
            Stage::Held { reason } => (None, &[][..], Some(reason.to_string())),
            Stage::InSync | Stage::ToRegister | Stage::Importing | Stage::AwaitingVendor => (None, &[][..], None),
        };
        DeviceDocument {
            serial_number: device.serial.to_string(),
            registration_id: device.registration_id.map(|id| id.to_string()),
            registered: device.stage.is_registered() || device.registration_id.is_some(),
            stage: device.stage.name(),
            reason,
            fields: fields.iter().map(|field| field.name()).collect(),
            since: since.map(|at| at.to_string()),
            file: place.file.to_string(),
            line: place.line,
        }
    };
    pretty(&StatusDocument {
        format_version: FORMAT_VERSION,
        kind: "apgit.status",
        tenant: view.tenant.name.clone(),
        tenant_id: view.tenant.id.to_string(),
        observed_at: view.fleet.observed_at.to_string(),
        unmanaged: view.fleet.unmanaged,
        devices: view.fleet.devices.iter().map(device).collect(),
    })
}

/// What `apgit status --json` writes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StatusDocument {
    format_version: &'static str,
    kind: &'static str,
    tenant: String,
    tenant_id: String,
    observed_at: String,
    unmanaged: usize,
    devices: Vec<DeviceDocument>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeviceDocument {
    serial_number: String,
    registration_id: Option<String>,
    registered: bool,
    stage: &'static str,
    reason: Option<String>,
    fields: Vec<&'static str>,
    since: Option<String>,
    file: String,
    line: u32,
}
