//! A plan as a unified diff of YAML: what the tenant holds against what is
//! declared, one file per device, as users of `kubectl diff` expect it.
//!
//! Without colour it is a plain unified diff that other tools read.

use std::fmt::Write as _;

use compact_str::CompactString;
use similar::{ChangeTag, InlineChangeMode, InlineChangeOptions, TextDiff};

use super::document::{
    ActionDocument, ChangeDocument, Document, HeldDocument, Object, Place, PlanDocument, Shown, Symbol, seen,
};
use super::json::escaped;
use super::style::{Look, Role};

/// Lines of context around a change. A device has few fields, so all of them
/// show.
const CONTEXT: usize = 8;

/// All changed devices of a plan, by file, line and serial: those first that
/// would be written, then the held ones, each with its reason. Empty without
/// changes, and for whatever is not a plan.
#[must_use]
pub fn draw(document: &Document, look: &Look) -> String {
    match document {
        Document::Plan(plan) => changes(plan, look),
        Document::Fleet(fleet) => fleet.tenants.iter().map(|tenant| draw(tenant, look)).collect(),
        Document::Between(_)
        | Document::Apply(_)
        | Document::Status(_)
        | Document::Problems(_)
        | Document::Hash(_)
        | Document::Failure(_) => String::new(),
    }
}

fn changes(plan: &PlanDocument, look: &Look) -> String {
    let mut out = String::new();
    let actions = plan.actions_in_order().into_iter().map(Subject::of);
    let held = plan.held_in_order().into_iter().map(Subject::held);
    for subject in actions.chain(held) {
        subject.draw(&mut out, look);
    }
    out
}

/// A device whose values differ, whether they are written or held.
struct Subject<'p> {
    object: &'p Object,
    place: &'p Place,
    changes: &'p [ChangeDocument],
    observed: Option<&'p [(&'static str, CompactString)]>,
    /// True if the registration goes.
    removes: bool,
    held: Option<String>,
}

impl<'p> Subject<'p> {
    fn of(action: &'p ActionDocument) -> Self {
        let ActionDocument { object, source: place, changes, observed, .. } = action;
        let removes = action.symbol == Symbol::Deregister;
        Self { object, place, changes, observed: observed.as_deref(), removes, held: None }
    }

    fn held(held: &'p HeldDocument) -> Self {
        let HeldDocument { object, source: place, changes, observed, reason, .. } = held;
        let (removes, held) = (held.action == "deregister", Some(reason.to_string()));
        Self { object, place, changes, observed: observed.as_deref(), removes, held }
    }

    /// What is there and what shall be, as YAML. A registration that is not
    /// there is an empty text.
    fn sides(&self) -> (String, String) {
        let Some(observed) = self.observed else { return (String::new(), self.declared()) };
        if self.removes {
            return (self.registration(observed.iter().map(|(path, value)| (*path, value.as_str()))), String::new());
        }
        let after = |path: &str| self.changes.iter().find(|field| field.path == path).map(ChangeDocument::after);
        let before = observed.iter().map(|(path, value)| (*path, value.as_str()));
        (self.registration(before.clone()), self.registration(before.map(|(p, value)| (p, after(p).unwrap_or(value)))))
    }

    fn head(&self) -> String {
        let mut text = String::new();
        line(&mut text, "serialNumber", &self.object.serial_number);
        text
    }

    /// The hash stands before the values.
    fn declared(&self) -> String {
        let mut text = self.head();
        for field in self.changes.iter().filter(|field| field.shown == Shown::Digest) {
            let _ = writeln!(text, "{}: {}", field.path, field.digest());
        }
        for field in self.changes.iter().filter(|field| field.shown == Shown::Value) {
            line(&mut text, field.path, field.after());
        }
        text
    }

    fn registration<'a>(&self, fields: impl Iterator<Item = (&'static str, &'a str)>) -> String {
        let mut text = self.head();
        if let Some(id) = self.object.registration_id {
            line(&mut text, "registrationId", &id.to_string());
        }
        for (path, value) in fields.filter(|(_, value)| !value.is_empty()) {
            line(&mut text, path, value);
        }
        text
    }

    /// Nothing of a device of which nobody can say what would be written.
    fn draw(&self, out: &mut String, look: &Look) {
        if self.changes.is_empty() && !self.removes {
            return;
        }
        let (tenant, declared) = self.sides();
        let (serial, place) = (seen(&self.object.serial_number), self.place);
        let held = self.held.as_ref().map(|reason| format!("  held: {reason}")).unwrap_or_default();
        let _ = writeln!(out, "{}", look.paint(Role::Heading, &format!("--- tenant/{serial}")));
        let at = match place.line {
            0 => format!("{}, declared no more{held}", place.file),
            line => format!("{}:{line}{held}", place.file),
        };
        let _ = writeln!(out, "{}", look.paint(Role::Heading, &format!("+++ declared/{serial}\t{at}")));
        hunks(out, &tenant, &declared, look);
    }
}

/// JSON strings are YAML strings; quotes stand only where YAML needs them.
fn line(out: &mut String, name: &str, value: &str) {
    let _ = if is_plain(value) {
        writeln!(out, "{name}: {value}")
    } else {
        writeln!(out, "{name}: {}", escaped(&serde_json::Value::from(value).to_string()))
    };
}

/// True for text that every YAML reader takes as this text without quotes.
fn is_plain(value: &str) -> bool {
    let first = value.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    let rest = value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '/'));
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    first && rest && !words.contains(&value.to_ascii_lowercase().as_str())
}

fn hunks(out: &mut String, tenant: &str, declared: &str, look: &Look) {
    let diff = TextDiff::from_lines(tenant, declared);
    let mut words = InlineChangeOptions::new();
    words.mode(InlineChangeMode::Words).min_ratio(0.0);
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
