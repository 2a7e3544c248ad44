//! A plan as a unified diff of YAML: what the tenant holds against what is
//! declared, one file per device, as users of `kubectl diff` expect it.
//!
//! Without colour it is a plain unified diff that other tools read.

use std::fmt::Write as _;

use similar::{ChangeTag, InlineChangeMode, InlineChangeOptions, TextDiff};

use crate::model::{Device, Field};
use crate::plan::{Action, Change};

use super::style::{Look, Role, clean};
use super::{Place, PlanView};

/// Lines of context around a change. A device has few fields, so all of them
/// show.
const CONTEXT: usize = 8;

/// All changed devices, by file, line and serial. Empty without changes.
#[must_use]
pub fn plan(view: &PlanView, look: &Look) -> String {
    let mut changes: Vec<(Place, &Change)> =
        view.plan().changes.iter().map(|change| (view.place(change.origin), change)).collect();
    changes.sort_by(|a, b| (&a.0, a.1.serial().as_str()).cmp(&(&b.0, b.1.serial().as_str())));
    let mut out = String::new();
    for (place, change) in changes {
        let (tenant, declared) = sides(change);
        device(&mut out, change.serial().as_str(), &place, &tenant, &declared, look);
    }
    out
}

/// What is there and what shall be, as YAML. A registration that is not there
/// is an empty text.
fn sides(change: &Change) -> (String, String) {
    match change.action() {
        Action::Register(register) => {
            let mut declared = head(change);
            let _ = writeln!(declared, "hardwareHash: {}", register.digest.short());
            for (field, value) in register.values.iter().filter(|(_, value)| !value.is_empty()) {
                line(&mut declared, field.name(), value);
            }
            (String::new(), declared)
        }
        Action::Update(update) => {
            let mut after: Device = (*update.before).clone();
            for change in &update.fields {
                change.field.set(&mut after, change.after.clone());
            }
            (registration(change, &update.before), registration(change, &after))
        }
    }
}

fn head(change: &Change) -> String {
    let mut text = String::new();
    line(&mut text, "serialNumber", change.serial().as_str());
    text
}

fn registration(change: &Change, device: &Device) -> String {
    let mut text = head(change);
    line(&mut text, "registrationId", &device.id.to_string());
    for field in Field::ALL {
        let value = field.of(device);
        if !value.is_empty() {
            line(&mut text, field.name(), value);
        }
    }
    text
}

/// JSON strings are YAML strings; quotes stand only where YAML needs them.
fn line(out: &mut String, name: &str, value: &str) {
    let value = clean(value);
    let _ = if is_plain(&value) {
        writeln!(out, "{name}: {value}")
    } else {
        writeln!(out, "{name}: {}", serde_json::Value::from(value.as_ref()))
    };
}

/// True for text that every YAML reader takes as this text without quotes.
fn is_plain(value: &str) -> bool {
    let first = value.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    let rest = value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '/'));
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    first && rest && !words.contains(&value.to_ascii_lowercase().as_str())
}

fn device(out: &mut String, serial: &str, place: &Place, tenant: &str, declared: &str, look: &Look) {
    let diff = TextDiff::from_lines(tenant, declared);
    let mut words = InlineChangeOptions::new();
    words.mode(InlineChangeMode::Words).min_ratio(0.0);
    let serial = clean(serial);
    let _ = writeln!(out, "{}", look.paint(Role::Heading, &format!("--- tenant/{serial}")));
    let at = format!("{}:{}", clean(&place.file), place.line);
    let _ = writeln!(out, "{}", look.paint(Role::Heading, &format!("+++ declared/{serial}\t{at}")));
    for group in diff.grouped_ops(CONTEXT) {
        let hunk = similar::udiff::UnifiedHunkHeader::new(&group);
        let _ = writeln!(out, "{}", look.paint(Role::Dim, &hunk.to_string()));
        for change in group.iter().flat_map(|op| diff.iter_inline_changes_with_options(op, words)) {
            let (sign, role) = match change.tag() {
                ChangeTag::Delete => ("-", Role::Old),
                ChangeTag::Insert => ("+", Role::New),
                ChangeTag::Equal => (" ", Role::Plain),
            };
            out.push_str(&look.paint(role, sign));
            for (changed, text) in change.iter_strings_lossy() {
                let text = text.trim_end_matches('\n');
                out.push_str(&if changed { look.emphasise(role, text) } else { look.paint(role, text) });
            }
            out.push('\n');
        }
    }
}
