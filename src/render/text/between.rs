//! In what two plans differ, for people: device by device, old above new.

use std::fmt::Write as _;

use crate::render::document::{BetweenDocument, ChangeSide, Shown, Symbol};
use crate::render::style::{Detail, Look, Role, columns, counted};

use super::line::Line;
use super::{at, of_tenant};

/// Where values begin behind a label such as `group tag`.
const LABEL: usize = 12;

/// The difference as text.
pub(super) fn draw(between: &BetweenDocument, look: &Look) -> String {
    let mut out = String::new();
    if look.detail == Detail::Full {
        devices(&mut out, between, look);
    }
    let whose = of_tenant(between.several, &between.tenant, look);
    let name = |of: Option<&str>| of.unwrap_or("no plan").to_owned();
    let from = name(between.from.as_ref().map(|plan| plan.plan_id.as_str()));
    let to = name(between.to.as_ref().map(|plan| plan.plan_id.as_str()));
    let arrow = if look.unicode { "→" } else { "->" };
    let words = match (between.same, from == to) {
        (true, true) => format!("{whose}{from}: the same plan"),
        (true, false) => format!("{whose}{from} {arrow} {to}: the same effects"),
        (false, _) => format!("{whose}{from} {arrow} {to}"),
    };
    Line::new(look).words(Role::Heading, &words).end(&mut out);
    for term in &between.terms {
        let _ = writeln!(out, "  {}: {} {arrow} {}", term.name, look.show(&term.from), look.show(&term.to));
    }
    let count = |word: &str| between.devices.iter().filter(|device| device.change == word).count();
    let counts = ["added", "removed", "changed"].map(|word| format!("{} {word}", count(word)));
    let same = counted(between.unchanged, "effect is", "effects are");
    let _ = writeln!(out, "  {}; {same} the same", counts.join(", "));
    out
}

fn devices(out: &mut String, between: &BetweenDocument, look: &Look) {
    let serials = between.devices.iter().map(|device| columns(&device.object.serial_number));
    let words = 4 + serials.max().unwrap_or(0).clamp(12, 24) + 2;
    for device in &between.devices {
        let (symbol, side) = match (&device.from, &device.to) {
            (None, Some(to)) => (Symbol::Register, Some(to)),
            (Some(from), None) => (Symbol::Conflict, Some(from)),
            (_, to) => (Symbol::Update, to.as_ref()),
        };
        let serial = &device.object.serial_number;
        let line = Line::start(look, symbol, serial).to(words).plain(device.change);
        let place = side.map(|side| at(look, &side.source)).unwrap_or_default();
        line.right(Role::Dim, &place).end(out);
        for (sign, role, side, other) in
            [("-", Role::Old, &device.from, &device.to), ("+", Role::New, &device.to, &device.from)]
        {
            if let Some(side) = side {
                rows(out, words, (sign, role), side, other.as_ref(), look);
            }
        }
        if let (Some(from), Some(to)) = (&device.from, &device.to)
            && from.precondition != to.precondition
        {
            Line::new(look).to(words).words(Role::Dim, "the registration was read in another state").end(out);
        }
    }
    if !between.devices.is_empty() {
        out.push('\n');
    }
}

/// What is done, and what is written; not what the other side writes as well.
fn rows(
    out: &mut String,
    column: usize,
    (sign, role): (&str, Role),
    side: &ChangeSide,
    other: Option<&ChangeSide>,
    look: &Look,
) {
    let same = other.filter(|other| other.action == side.action).map_or(&[][..], |other| &other.changes);
    if other.is_none_or(|other| other.action != side.action) {
        Line::new(look).to(column).painted(role, &format!("{sign} {}", side.action)).end(out);
    }
    let shown = side.changes.iter().filter(|field| field.shown != Shown::Never && !same.contains(field));
    for field in shown {
        let value = match field.shown {
            Shown::Digest => field.digest(),
            Shown::Gone => look.value(field.before()).clone(),
            Shown::Change => format!(
                "{} {} {}",
                look.value(field.before()),
                if look.unicode { "→" } else { "->" },
                look.value(field.after())
            ),
            Shown::Value | Shown::Never => look.value(field.after()).clone(),
        };
        let line = Line::new(look).to(column).painted(role, &format!("{sign} {}", field.label));
        line.to(column + 2 + LABEL).words(role, &value).end(out);
    }
}
