//! Reports for people at a terminal, and in a log.

mod apply;
mod between;
mod hash;
mod line;
mod plan;
mod problems;
mod status;

use super::document::{Document, Place};
use super::style::{Look, columns};

pub use problems::list as problems;

/// Any document as text.
#[must_use]
pub fn draw(document: &Document, look: &Look) -> String {
    match document {
        Document::Plan(plan) => plan::draw(plan, look),
        Document::Between(between) => between::draw(between, look),
        Document::Apply(apply) => apply::draw(apply, look),
        Document::Status(status) => status::draw(status, look),
        Document::Problems(problems) => problems::draw(problems, look),
        Document::Hash(hash) => hash::draw(hash, look),
        // An error is told on stderr by whoever ends the run.
        Document::Failure(_) => String::new(),
        Document::Fleet(fleet) => fleet.tenants.iter().map(|tenant| draw(tenant, look)).collect(),
    }
}

/// `devices/oslo.yaml:12`.
fn at(look: &Look, place: &Place) -> String {
    let file = look.draw(&*place.file);
    // Of what is declared no more, the file is known and no line.
    if place.line == 0 { format!("was in {file}") } else { format!("{file}:{}", place.line) }
}

/// Where places begin, so that the longest of them ends at the right edge.
fn place_column<'p>(look: &Look, places: impl Iterator<Item = &'p Place>) -> usize {
    let widest = places.map(|place| columns(&at(look, place))).max().unwrap_or(0);
    look.width.saturating_sub(widest)
}

/// `contoso: ` before totals, where there are several tenants.
fn of_tenant(several: bool, name: &str, look: &Look) -> String {
    if several { format!("{}: ", look.show(name)) } else { String::new() }
}

fn bullet(look: &Look) -> &'static str {
    if look.unicode { "•" } else { "*" }
}
