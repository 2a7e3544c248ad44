//! Where each declared device stands: one line per device, and how many are
//! where.

use std::fmt::Write as _;

use crate::render::document::{StatusDocument, Symbol};
use crate::render::style::{Detail, Look, Role, columns, moment, thousands};

use super::line::Line;
use super::{at, place_column};

/// The states as text.
pub(super) fn draw(status: &StatusDocument, look: &Look) -> String {
    let mut out = String::new();
    let name = look.paint(Role::Heading, &look.show(&status.tenant));
    let _ = writeln!(out, "{name} ({})   observed {}", status.tenant_id, moment(status.observed_at));
    if look.detail == Detail::Full {
        devices(&mut out, status, look);
    }
    // Of a device that is declared nowhere there is nothing to count.
    if !status.undeclared.is_empty() {
        return out;
    }
    let _ = writeln!(
        out,
        "{} declared, {} registered, {} as declared, {} unmanaged",
        thousands(status.devices.len()),
        thousands(status.registered),
        thousands(status.in_sync),
        thousands(status.unmanaged),
    );
    out
}

fn devices(out: &mut String, status: &StatusDocument, look: &Look) {
    out.push('\n');
    let devices = status.devices_in_order();
    let serial = devices.iter().map(|device| columns(&device.serial_number)).max().unwrap_or(0).clamp(12, 24);
    let column = place_column(look, devices.iter().map(|device| &device.source));
    for device in &devices {
        let line = Line::start(look, device.symbol, &device.serial_number)
            .to(4 + serial + 2)
            .words(Role::Plain, &device.words);
        line.right_from(column, Role::Dim, &at(look, &device.source)).end(out);
    }
    for device in &status.undeclared {
        let value = |label: &str, value: Option<&str>| value.map(|value| format!(", {label} {}", look.value(value)));
        let tag = value("group tag", device.group_tag.as_deref());
        let user = value("user", device.user_principal_name.as_deref());
        let words: String = [Some("registered, not declared".to_owned()), tag, user].into_iter().flatten().collect();
        let line = Line::start(look, Symbol::Unmanaged, &device.serial_number).to(4 + serial + 2);
        line.words(Role::Plain, &words).end(out);
    }
    out.push('\n');
}
