//! The formats of reports: one table. A new format is one file and one row.

use super::document::Document;
use super::style::Look;
use super::{json, text};

/// A format of `--report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// What a format is.
struct Row {
    /// The word on the command line.
    name: &'static str,
    draw: fn(&Document, &Look) -> String,
}

impl Format {
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    fn row(self) -> Row {
        match self {
            Self::Text => Row { name: "text", draw: text::draw },
            Self::Json => Row { name: "json", draw: json::draw },
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
}
