//! Where each declared device stands: one line per device, and how many are
//! where.

use std::fmt::Write as _;

use crate::render::document::StatusDocument;
use crate::render::style::{Look, Role, columns, moment, thousands};

use super::line::Line;
use super::{at, place_column};

/// The states as text.
pub(super) fn draw(status: &StatusDocument, look: &Look) -> String {
    let mut out = String::new();
    let name = look.paint(Role::Heading, &look.show(&status.tenant));
    let _ = writeln!(out, "{name} ({})   observed {}\n", status.tenant_id, moment(status.observed_at));
    let devices = status.devices_in_order();
    let serial = devices.iter().map(|device| columns(&device.serial_number)).max().unwrap_or(0).clamp(12, 24);
    let column = place_column(look, devices.iter().map(|device| &device.source));
    for device in &devices {
        let line = Line::start(look, device.symbol, &device.serial_number)
            .to(4 + serial + 2)
            .words(Role::Plain, &device.words);
        line.right_from(column, Role::Dim, &at(look, &device.source)).end(&mut out);
    }
    let _ = writeln!(
        out,
        "\n{} declared, {} registered, {} as declared, {} unmanaged",
        thousands(devices.len()),
        thousands(status.registered),
        thousands(status.in_sync),
        thousands(status.unmanaged),
    );
    out
}
