//! Where claims stand, and the order in which people read their rows.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::model::{Origin, seen};

/// Where a claim stands. Ordered as reviewers read: by file, then line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "PlaceDocument")]
pub struct Place {
    /// Relative to where the command was run, with `/` between folders.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
    /// The row of a collector's CSV that says a part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<Box<RowOfCsv>>,
}

/// A row of a collector's CSV that fills fields of a device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "RowDocument")]
pub struct RowOfCsv {
    /// Relative to where the command was run, with `/` between folders.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
    /// The fields that it fills: `groupTag`, `userPrincipalName`.
    pub fields: Vec<&'static str>,
}

pub(super) fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl Place {
    /// A line of a file, whatever the file is called.
    #[must_use]
    pub fn new(file: &Arc<str>, line: u32) -> Self {
        Self { file: named(file), line, row: None }
    }

    /// The same, with the row that says a part of it.
    #[must_use]
    pub fn with_row(self, file: &Arc<str>, line: u32, fields: &[&'static str]) -> Self {
        Self { row: Some(Box::new(RowOfCsv { file: named(file), line, fields: fields.to_vec() })), ..self }
    }
}

/// The name of a file as it may stand in a line: a name can have line ends.
pub(super) fn named(file: &Arc<str>) -> Arc<str> {
    match seen(file) {
        Cow::Borrowed(_) => Arc::clone(file),
        Cow::Owned(name) => name.into(),
    }
}

/// Turns a claim's mark into its place.
pub(crate) type Places<'a> = &'a dyn Fn(Origin) -> Place;

/// A row about one declared device.
pub(super) trait Row {
    fn place(&self) -> &Place;
    fn serial(&self) -> &str;
}

/// Rows by file, line and serial.
#[must_use]
pub(super) fn in_reading_order<'r, R: Row>(rows: impl IntoIterator<Item = &'r R>) -> Vec<&'r R> {
    let mut rows: Vec<&R> = rows.into_iter().collect();
    rows.sort_by(|a, b| (a.place(), a.serial()).cmp(&(b.place(), b.serial())));
    rows
}
