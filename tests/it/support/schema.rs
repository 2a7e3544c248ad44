//! As much of JSON Schema as our own schemas use: those of the reports, and
//! those of the kinds.

use std::collections::BTreeMap;
use std::sync::Mutex;

use regex_automata::meta::Regex;
use serde_json::Value;

/// Where and how a document breaks its schema. Properties that the schema does
/// not name are violations too: the producer is held to its own list, and the
/// cluster validates strictly.
pub fn violations(schema: &Value, document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, document, "$", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("a reference into the same schema");
        let target = root.pointer(pointer).unwrap_or_else(|| panic!("{reference} is not there"));
        return check(root, target, value, at, found);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = |choice: &Value| {
            let mut inner = Vec::new();
            check(root, choice, value, at, &mut inner);
            inner.is_empty()
        };
        if !choices.iter().any(fits) {
            found.push(format!("{at}: fits none of its choices"));
        }
        return;
    }
    if !has_type(schema, value) {
        return found.push(format!("{at}: {value} is not of type {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|choices| !choices.contains(value)) {
        found.push(format!("{at}: {value} is not in {}", schema["enum"]));
    }
    if schema.get("const").is_some_and(|only| only != value) {
        found.push(format!("{at}: {value} is not {}", schema["const"]));
    }
    bounds(schema, value, at, found);
    if let Some(members) = value.as_object()
        && schema["additionalProperties"] != true
    {
        let properties = schema["properties"].as_object();
        // Of a map, all members are alike.
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        assert!(properties.is_some() || others.is_some(), "an object type lists its properties");
        for (name, member) in members {
            match properties.and_then(|properties| properties.get(name)).or(others) {
                Some(schema) => check(root, schema, member, &format!("{at}.{name}"), found),
                None => found.push(format!("{at}.{name}: is not in the schema")),
            }
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        found.extend(
            required.filter(|name| !members.contains_key(*name)).map(|name| format!("{at}.{name}: is missing")),
        );
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(root, &schema["items"], item, &format!("{at}[{index}]"), found);
    }
}

/// How large and how long, and for text also its pattern.
fn bounds(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let size = |least: &str, most: &str, size: Option<f64>| {
        let Some(size) = size else { return false };
        schema[least].as_f64().is_some_and(|least| size < least)
            || schema[most].as_f64().is_some_and(|most| size > most)
    };
    let length = value.as_str().map(|text| text.chars().count() as f64);
    let items = value.as_array().map(|items| items.len() as f64);
    if size("minimum", "maximum", value.as_f64())
        || size("minLength", "maxLength", length)
        || size("minItems", "maxItems", items)
    {
        found.push(format!("{at}: {value} is too large or too small"));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !matches(pattern, text)
    {
        found.push(format!("{at}: {value} does not match {pattern}"));
    }
}

/// Patterns are few, and texts many: each pattern is compiled once.
fn matches(pattern: &str, text: &str) -> bool {
    static KNOWN: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().expect("no holder of this lock panics");
    let regex = known.entry(pattern.to_owned());
    regex.or_insert_with(|| Regex::new(pattern).expect("a pattern of ours")).is_match(text)
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("`{other}` is no type of JSON Schema"),
    };
    match &schema["type"] {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}
