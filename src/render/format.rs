//! The formats of reports: one table. A new format is one file and one row.

use super::document::{Document, Kind};
use super::style::Look;
use super::{diff, json, text};

/// A format of `--report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people at a terminal.
    Text,
    /// For tools.
    Json,
    /// A plan as unified YAML.
    Diff,
}

/// What a format can do.
struct Row {
    /// The word on the command line.
    name: &'static str,
    draw: fn(&Document, &Look) -> String,
    /// True if a run of several tenants is read as it goes on; false if it is
    /// one document at the end.
    streams: bool,
    shows: fn(Kind) -> bool,
}

impl Format {
    /// Every format, the usual one first.
    pub const ALL: [Self; 3] = [Self::Text, Self::Json, Self::Diff];

    fn row(self) -> Row {
        match self {
            Self::Text => Row { name: "text", draw: text::draw, streams: true, shows: |_| true },
            Self::Json => Row { name: "json", draw: json::draw, streams: false, shows: |_| true },
            Self::Diff => Row {
                name: "diff",
                draw: diff::draw,
                streams: true,
                shows: |kind| matches!(kind, Kind::Plan | Kind::Saved),
            },
        }
    }

    /// The word on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// A document in this format.
    #[must_use]
    pub fn draw(self, document: &Document, look: &Look) -> String {
        (self.row().draw)(document, look)
    }

    /// True if a run of several tenants is read as it goes on; false if it is
    /// one document at the end.
    #[must_use]
    pub fn streams(self) -> bool {
        self.row().streams
    }

    /// True if documents of this kind are more than nothing in this format.
    #[must_use]
    pub fn shows(self, kind: Kind) -> bool {
        (self.row().shows)(kind)
    }
}
