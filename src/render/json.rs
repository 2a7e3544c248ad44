//! Documents for tools, as they are.

use std::fmt::Write as _;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::document::{Document, PlanDocument, is_command, is_unseen};
use super::style::Look;

/// Any document as JSON, two blanks per level, with a newline at its end.
///
/// # Panics
/// Never: a document is plain data.
#[must_use]
pub(crate) fn draw(document: &Document, _: &Look) -> String {
    let mut text = escaped(&serde_json::to_string_pretty(document).expect("a document of plain data"));
    text.push('\n');
    text
}

/// JSON in which what nobody sees, or a pipeline takes for a command, is written
/// as an escape: the values are the same, and whoever looks at the text sees
/// what is in them.
pub(crate) fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for (at, c) in json.char_indices() {
        let is_command = c == '#' && is_command(&json[at..]);
        // Line ends stand between values only.
        if c == '\n' || !is_unseen(c) && !is_command {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// The JSON Schema of a plan, from the types that write it.
#[must_use]
pub fn plan_schema() -> Value {
    schema::<PlanDocument>("https://apgit.dev/schema/plan/1.0.json")
}

/// The JSON Schema of every report, likewise.
#[must_use]
pub fn report_schema() -> Value {
    schema::<Document>("https://apgit.dev/schema/report/1.0.json")
}

fn schema<T: JsonSchema>(id: &str) -> Value {
    // The producer's side: what is left out when it is nothing is not required.
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), id.into());
    schema.to_value()
}
