//! The devices of a tenant, a page at a time: the part that is drawn again while
//! somebody types.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::plan::Remedy;
use crate::render::Place;
use crate::render::document::Symbol;
use crate::render::style::{counted, moment, thousands};

use super::board::Tenant;
use super::discretion::{People, SOMEBODY};
use super::query::{Found, Query};
use super::reading::{ChangedField, Column, Drift, Reading, Row};

/// Draws them with what leads to the others.
#[must_use]
pub(super) fn draw(key: &str, tenant: &Tenant, query: &Query) -> Markup {
    let Some(reading) = &tenant.reading else {
        return html! { div #table { p { "The tenant was not read yet." } } };
    };
    let found = query.find(reading);
    let first = (found.page - 1) * query.size;
    let count = match found.matching {
        0 => format!("None of {}.", counted(reading.rows.len(), "device", "devices")),
        matching => format!(
            "{} to {} of {} devices{}.",
            thousands(first + 1),
            thousands(first + found.rows.len()),
            thousands(matching),
            if matching < reading.rows.len() {
                format!(", out of {}", thousands(reading.rows.len()))
            } else {
                String::new()
            }
        ),
    };
    let columns = Column::ALL.into_iter().filter(|column| *column != Column::User || reading.people == People::Shown);
    html! {
        div #table {
            p #count { (count) }
            @if !found.rows.is_empty() {
                table.devices {
                    caption.unseen { "Devices, sorted by " (title(query.column)) }
                    thead { tr { @for column in columns { (heading(key, query, column)) } } }
                    tbody { @for row in &found.rows { (device(row, reading)) } }
                }
                (pager(key, query, &found))
            }
        }
    }
}

fn title(column: Column) -> &'static str {
    match column {
        Column::Serial => "Serial number",
        Column::Tag => "Group tag",
        Column::User => "User",
        Column::Stage => "Where it stands",
        Column::Since => "Since",
        Column::Place => "Declared in",
    }
}

fn heading(key: &str, query: &Query, column: Column) -> Markup {
    let is_sorted = query.column == column;
    let descending = is_sorted && !query.descending;
    let (order, sign) = match (is_sorted, query.descending) {
        (false, _) => (None, ""),
        (true, false) => (Some("ascending"), "▲"),
        (true, true) => (Some("descending"), "▼"),
    };
    let address = Query { column, descending, page: 1, ..query.clone() }.address(key);
    html! {
        th scope="col" aria-sort=[order] {
            a href={ (address) "#devices" } data-keep={ "sort-" (column.name()) } {
                (title(column)) @if !sign.is_empty() { " " span aria-hidden="true" { (sign) } }
            }
        }
    }
}

fn device(row: &Row, reading: &Reading) -> Markup {
    let declared = |text: &Option<Box<str>>| match text.as_deref() {
        None => html! { span.faint { "left as it is" } },
        Some("") => html! { span.faint { "none" } },
        Some(text) => html! { bdi { (text) } },
    };
    html! {
        tr {
            th scope="row" data-label="Serial number" { bdi { (row.serial) } }
            td.group data-label="Group tag" { (declared(&row.group_tag)) }
            @if reading.people == People::Shown { td.user data-label="User" { (declared(&row.user)) } }
            td data-label="Where it stands" { (stands(row)) }
            td data-label="Since" { @if let Some(since) = row.since { (time(since)) } }
            td.place data-label="Declared in" { (place(&row.source)) }
        }
    }
}

fn stands(row: &Row) -> Markup {
    let drift = row.drift();
    let words =
        html! { span { (sign(row.symbol)) (row.words) } @if drift.is_some() { " " span.tag { "changed by others" } } };
    // What others have changed is said where it is said what becomes of that.
    let is_told = |path| drift.is_some_and(|drift| drift.fields.iter().any(|field| field.path == path));
    let changes: Vec<&ChangedField> = row.changes().iter().filter(|field| !is_told(field.path)).collect();
    if changes.is_empty() && row.evidence().is_empty() && row.reason.is_none() && drift.is_none() {
        return html! { div { (words) } };
    }
    html! {
        details {
            summary { (words) }
            @if !row.evidence().is_empty() { ul.evidence { @for line in row.evidence() { li { bdi { (line) } } } } }
            @if !changes.is_empty() { (fields(changes)) }
            @if let Some(drift) = drift { (drifted(drift)) }
            @if let Some(reason) = row.reason { p { "What to do:" } (remedies(reason.remedies())) }
            @if let Some(at) = row.retry_at() { p { "It is tried again at " (time(at)) "." } }
        }
    }
}

/// A path that may be broken behind its folders.
fn place(of: &Place) -> Markup {
    html! {
        bdi {
            @for (at, part) in of.file.split('/').enumerate() { @if at > 0 { "/" wbr; } (part) }
            @if of.line > 0 { ":" (of.line) }
        }
    }
}

/// What helps, one line each.
#[must_use]
pub(super) fn remedies(of: &[Remedy]) -> Markup {
    html! { ul { @for Remedy(_, words) in of { li { (coded(words)) } } } }
}

/// A sentence of ours: what stands between two backticks is typed.
#[must_use]
pub(super) fn coded(words: &str) -> Markup {
    let parts = || words.split('`').enumerate();
    html! { @for (at, part) in parts() { @if at % 2 == 1 { code { (part) } } @else { (part) } } }
}

/// What others have changed, and what becomes of that.
#[must_use]
pub(super) fn drifted(of: &Drift) -> Markup {
    let then = if of.set_back { "The next apply sets it back." } else { "It is held as it is." };
    html! {
        @if of.removed { p { "Somebody else has removed its registration. " (then) } } @else {
            (fields(&of.fields))
            p { (then) }
        }
    }
}

fn fields<'f>(of: impl IntoIterator<Item = &'f ChangedField>) -> Markup {
    html! {
        ul.fields {
            @for field in of {
                li {
                    (field.label) ": "
                    @if field.tenant == SOMEBODY && field.declared == SOMEBODY { "somebody else" } @else {
                        (value(&field.tenant)) " in the tenant, " (value(&field.declared)) " declared"
                    }
                }
            }
        }
    }
}

fn value(text: &str) -> Markup {
    html! { @if text.is_empty() { "nothing" } @else { bdi.value { "“" (text) "”" } } }
}

/// A symbol, which the words beside it say as well.
#[must_use]
pub(super) fn sign(symbol: Option<Symbol>) -> Markup {
    let (class, sign) = match symbol {
        None => ("ok", "✓"),
        Some(Symbol::Blocked) => ("blocked", "!"),
        Some(Symbol::Conflict) => ("conflict", "✗"),
        Some(Symbol::Awaiting) => ("awaiting", "›"),
        Some(symbol) => ("change", symbol.sign()),
    };
    html! { span class={ "sign " (class) } aria-hidden="true" { (sign) } " " }
}

/// A moment, for people and for tools.
#[must_use]
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (moment(at)) } }
}

fn pager(key: &str, query: &Query, found: &Found<'_>) -> Markup {
    let Found { page, pages, .. } = *found;
    let link = |name: &str, label: &str, to: usize| {
        let address = Query { page: to, ..query.clone() }.address(key);
        html! {
            @if (1..=pages).contains(&to) && to != page {
                a href={ (address) "#devices" } data-keep={ "page-" (name) } { (label) }
            } @else { span.faint aria-disabled="true" { (label) } }
        }
    };
    html! {
        @if pages > 1 {
            nav.pager aria-label="Pages of devices" {
                (link("first", "First", 1)) (link("previous", "Previous", page.saturating_sub(1)))
                span { "Page " (thousands(page)) " of " (thousands(pages)) }
                (link("next", "Next", page + 1)) (link("last", "Last", pages))
            }
        }
    }
}
