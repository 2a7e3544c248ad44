//! The fields of all kinds for people, from the schema's own descriptions: what
//! editors complete is what a page and a command explain.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Kind, spec_schema};

/// One field of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldHelp {
    /// Which kind.
    pub kind: Kind,
    /// From the document's root, lists with `[]`: `spec.tagPolicy[].paths`.
    pub path: String,
    /// What it holds, in words: `text, at most 15 characters`.
    pub holds: String,
    /// True if it may not be left out.
    pub required: bool,
    /// What it means.
    pub description: String,
}

/// All fields of a kind, each before what is inside it.
#[must_use]
pub fn fields(kind: Kind) -> Vec<FieldHelp> {
    let mut fields = Vec::new();
    walk(kind, spec_schema(kind), "spec", &mut fields);
    fields
}

fn walk(kind: Kind, schema: &Value, at: &str, out: &mut Vec<FieldHelp>) {
    let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|of| of == name));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{at}.{name}");
        let description = field["description"].as_str().unwrap_or_default();
        out.push(FieldHelp {
            kind,
            holds: holds(field),
            required: required(name),
            description: description.split_whitespace().collect::<Vec<_>>().join(" "),
            path: path.clone(),
        });
        walk(kind, field, &path, out);
        walk(kind, &field["items"], &format!("{path}[]"), out);
    }
}

fn holds(schema: &Value) -> String {
    let number = |name: &str| schema[name].as_f64().map(|number| format!("{number}"));
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    match schema["type"].as_str() {
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer") => match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => format!("a number from {least} to {most}"),
            (Some(least), None) => format!("a number, at least {least}"),
            _ => "a number".to_owned(),
        },
        Some("array") => {
            let what = match schema["items"]["type"].as_str() {
                Some("object") => "a list of maps",
                _ => "a list of texts",
            };
            number("maxItems").map_or_else(|| what.to_owned(), |most| format!("{what}, at most {most}"))
        }
        Some("object") => "a map".to_owned(),
        _ => number("maxLength").map_or_else(|| "text".to_owned(), |most| format!("text, at most {most} characters")),
    }
}

/// Fields whose path is this one, or ends with it: `spec.scope`, `groupTag`. Each
/// kind's own; what is inside comes with it.
#[must_use]
pub fn find(path: &str) -> Vec<FieldHelp> {
    let plain = path.replace("[]", "");
    let ends = |field: &FieldHelp| {
        let known = field.path.replace("[]", "");
        known == plain || known.ends_with(&format!(".{plain}"))
    };
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let all = fields(kind);
        // `spec.defaults.groupTag` and the like only where nothing shorter is meant.
        let shortest = all.iter().filter(|field| ends(field)).min_by_key(|field| field.path.len()).map(|of| &of.path);
        let Some(shortest) = shortest else { continue };
        let inside = |field: &&FieldHelp| {
            field.path == *shortest
                || field.path.strip_prefix(shortest.as_str()).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        found.extend(all.iter().filter(inside).cloned());
    }
    found
}

/// All kinds as a page of Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = "# Fields\n\nWritten by `apgit schema --markdown` from the schema that `validate` and editors use. \
                    `apgit schema --field spec.scope` shows one field.\n"
        .to_owned();
    let device = fields(Kind::Device);
    for kind in Kind::ALL {
        let _ = write!(page, "\n## {}\n\n| Field | Holds | Meaning |\n|---|---|---|\n", kind.name());
        for field in fields(kind) {
            if kind == Kind::DeviceSet && is_of_device(&field, &device) {
                continue;
            }
            let must = if field.required { " **Required.**" } else { "" };
            let FieldHelp { path, holds, description, .. } = &field;
            let _ = writeln!(page, "| `{path}` | {holds} | {}{must} |", description.replace('|', "\\|"));
        }
        if kind == Kind::DeviceSet {
            page.push_str("\n`spec.defaults` and each of `spec.devices[]` have the fields of an `AutopilotDevice`.\n");
        }
    }
    page
}

fn is_of_device(field: &FieldHelp, device: &[FieldHelp]) -> bool {
    ["spec.defaults.", "spec.devices[]."].iter().any(|start| {
        let name = field.path.strip_prefix(start);
        name.is_some_and(|name| device.iter().any(|of| of.path.strip_prefix("spec.") == Some(name)))
    })
}
