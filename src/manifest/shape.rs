//! The schema of a kind, made ready for walking a located tree.
//!
//! It is the structural schema that stands in the custom resource definition:
//! what a cluster refuses by its schema, the text door refuses by the same.

use std::sync::LazyLock;

use regex_automata::meta::Regex;
use serde_json::Value;

use crate::resource::{self, Kind};

/// What may stand at one place.
#[derive(Debug)]
pub(super) enum Shape {
    Object {
        fields: Vec<(String, Shape)>,
        required: Vec<String>,
    },
    /// Any keys, values of text.
    Words,
    List {
        items: Box<Shape>,
        min: usize,
        max: usize,
    },
    Text(TextShape),
    Integer {
        min: i64,
        max: i64,
    },
    Bool,
}

#[derive(Debug)]
pub(super) struct TextShape {
    /// Not empty: exactly one of these.
    pub choices: Vec<String>,
    pub pattern: Option<Regex>,
    /// In characters.
    pub min: usize,
    pub max: usize,
}

static SHAPES: LazyLock<[Shape; 4]> = LazyLock::new(|| Kind::ALL.map(|kind| Shape::of(resource::spec_schema(kind))));

/// The shape of a kind's `spec`.
pub(super) fn spec(kind: Kind) -> &'static Shape {
    match kind {
        Kind::Tenant => &SHAPES[0],
        Kind::Device => &SHAPES[1],
        Kind::DeviceSet => &SHAPES[2],
        Kind::PlanApproval => &SHAPES[3],
    }
}

impl Shape {
    /// The schema is our own: a part of it that is not understood is a broken
    /// promise, and the first test to touch it says so.
    fn of(schema: &Value) -> Self {
        let size = |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok());
        match schema["type"].as_str() {
            Some("object") => match schema.get("properties").and_then(Value::as_object) {
                Some(properties) => Self::Object {
                    fields: properties.iter().map(|(name, schema)| (name.clone(), Self::of(schema))).collect(),
                    required: words(&schema["required"]),
                },
                None => Self::Words,
            },
            Some("array") => Self::List {
                items: Box::new(Self::of(&schema["items"])),
                min: size("minItems").unwrap_or(0),
                max: size("maxItems").unwrap_or(usize::MAX),
            },
            Some("string") => Self::Text(TextShape {
                choices: words(&schema["enum"]),
                pattern: schema["pattern"]
                    .as_str()
                    .map(|text| Regex::new(text).expect("patterns of the schema are legal")),
                min: size("minLength").unwrap_or(0),
                max: size("maxLength").unwrap_or(usize::MAX),
            }),
            Some("integer") => {
                #[expect(clippy::cast_possible_truncation, reason = "bounds of our own schema are whole")]
                let bound = |key: &str| schema.get(key).and_then(Value::as_f64).map(|value| value as i64);
                Self::Integer {
                    min: bound("minimum").unwrap_or_else(|| i32::MIN.into()),
                    max: bound("maximum").unwrap_or_else(|| i32::MAX.into()),
                }
            }
            Some("boolean") => Self::Bool,
            other => panic!("the schema has a part of type {other:?} that no manifest can hold"),
        }
    }

    /// The shape of a field of an object.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object { fields, .. } => fields.iter().find(|(field, _)| field == name).map(|(_, shape)| shape),
            _ => None,
        }
    }
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

/// `metadata.name` and `metadata.namespace`, by the rules of a cluster.
pub(super) static NAME: LazyLock<Shape> = LazyLock::new(|| {
    Shape::of(&serde_json::json!({
        "type": "string",
        "minLength": 1,
        "maxLength": resource::MAX_NAME,
        "pattern": resource::NAME_PATTERN,
    }))
});
