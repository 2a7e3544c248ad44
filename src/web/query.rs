//! What somebody wants to see of the devices, and those devices, in its order:
//! over a hundred thousand of them, in the time of a key stroke.

use serde::Deserialize;

use crate::model::is_unseen;

use super::reading::{Column, Reading, Row};

/// Rows of a page, where nothing else is wanted.
const SIZE: usize = 100;
/// And at most.
const SIZE_MAX: usize = 1_000;
/// What is looked for is cut off here.
const WORDS_MAX: usize = 200;

/// What was asked for, as it was typed. Whatever makes no sense is the same as
/// nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub tenant: String,
    pub q: String,
    pub show: String,
    pub sort: String,
    pub page: String,
    pub size: String,
    /// `table`: no more of the page than that.
    pub part: String,
}

/// What is shown of the devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// As it was typed.
    pub words: String,
    /// Which of them.
    pub show: Show,
    /// By which column.
    pub column: Column,
    /// True for the last first.
    pub descending: bool,
    /// Counted from 1.
    pub page: usize,
    pub size: usize,
}

/// Which devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Show {
    All,
    /// What is not as declared, for whatever reason.
    Open,
    Held,
    /// Held for this reason.
    Reason(String),
    Waiting,
    /// What others have changed.
    Drift,
    /// At this stage.
    Stage(String),
}

impl Show {
    fn parse(text: &str) -> Self {
        match text {
            "" | "all" => Self::All,
            "open" => Self::Open,
            "held" => Self::Held,
            "waiting" => Self::Waiting,
            "drift" => Self::Drift,
            other => match other.strip_prefix("held:") {
                Some(reason) => Self::Reason(reason.to_owned()),
                None => Self::Stage(other.to_owned()),
            },
        }
    }

    /// How it is written in addresses.
    #[must_use]
    pub(super) fn name(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Open => "open".to_owned(),
            Self::Held => "held".to_owned(),
            Self::Waiting => "waiting".to_owned(),
            Self::Drift => "drift".to_owned(),
            Self::Reason(reason) => format!("held:{reason}"),
            Self::Stage(stage) => stage.clone(),
        }
    }

    fn shows(&self, row: &Row) -> bool {
        match self {
            Self::All => true,
            Self::Open => row.stage != "InSync",
            Self::Held => row.stage == "Held",
            Self::Waiting => row.is_waiting(),
            Self::Drift => row.drift().is_some(),
            Self::Reason(reason) => row.reason.is_some_and(|of| of.to_string() == *reason),
            Self::Stage(stage) => row.stage == stage,
        }
    }
}

/// The devices of a page.
pub(super) struct Found<'r> {
    pub rows: Vec<&'r Row>,
    /// How many there are in all.
    pub matching: usize,
    /// The page that it is: the last one, where a later one was asked for.
    pub page: usize,
    pub pages: usize,
}

impl Query {
    #[must_use]
    pub(super) fn of(asked: &Asked) -> Self {
        let (descending, column) = match asked.sort.strip_prefix('-') {
            Some(column) => (true, column),
            None => (false, asked.sort.as_str()),
        };
        // Nothing is shown with a character in it that nobody sees: none is looked for.
        let seen = |c: char| if is_unseen(c) { ' ' } else { c };
        Self {
            words: asked.q.chars().take(WORDS_MAX).map(seen).collect::<String>().trim().to_owned(),
            show: Show::parse(&asked.show),
            column: Column::named(column).unwrap_or(Column::Serial),
            descending,
            page: asked.page.parse().unwrap_or(1).max(1),
            size: asked.size.parse().unwrap_or(SIZE).clamp(1, SIZE_MAX),
        }
    }

    /// The column, with its direction, as it is written in addresses.
    #[must_use]
    pub(super) fn sort(&self) -> String {
        format!("{}{}", if self.descending { "-" } else { "" }, self.column.name())
    }

    /// The same as an address, but for what is the default.
    #[must_use]
    pub(super) fn address(&self, tenant: &str) -> String {
        let mut pairs = vec![("tenant", tenant.to_owned())];
        let mut add = |name, value: String, default: &str| {
            if value != default {
                pairs.push((name, value));
            }
        };
        add("q", self.words.clone(), "");
        add("show", self.show.name(), "all");
        add("sort", self.sort(), Column::Serial.name());
        add("page", self.page.to_string(), "1");
        add("size", self.size.to_string(), &SIZE.to_string());
        let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={}", encoded(&value))).collect();
        format!("?{}", pairs.join("&"))
    }

    /// The devices that are wanted.
    #[must_use]
    pub(super) fn find<'r>(&self, reading: &'r Reading) -> Found<'r> {
        let words: Vec<String> = self.words.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let is_wanted = |row: &Row| self.show.shows(row) && words.iter().all(|word| row.has(word));
        let order = reading.order(self.column);
        let rows: Vec<&Row> = order.iter().map(|at| &reading.rows[*at as usize]).filter(|row| is_wanted(row)).collect();
        let matching = rows.len();
        let pages = matching.div_ceil(self.size).max(1);
        let page = self.page.min(pages);
        let skipped = (page - 1) * self.size;
        let rows = match self.descending {
            false => rows.into_iter().skip(skipped).take(self.size).collect(),
            true => rows.into_iter().rev().skip(skipped).take(self.size).collect(),
        };
        Found { rows, matching, page, pages }
    }
}

/// A value as a part of an address.
#[must_use]
pub(super) fn encoded(text: &str) -> String {
    let write = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_makes_no_sense_is_the_usual_one() {
        let asked = |sort: &str, page: &str, size: &str| {
            Query::of(&Asked {
                sort: sort.to_owned(),
                page: page.to_owned(),
                size: size.to_owned(),
                ..Asked::default()
            })
        };
        let usual = asked("", "", "");
        assert_eq!(asked("-1 or 1=1", "-4", "many"), Query { descending: true, ..usual.clone() });
        assert_eq!((asked("", "0", "0").page, asked("", "", "0").size, asked("", "", "99999").size), (1, 1, SIZE_MAX));
        assert_eq!(usual.address("a/b"), "?tenant=a/b");
        let typed = Asked { q: " <a&b> ".to_owned(), show: "held:UserNotFound".to_owned(), ..Asked::default() };
        assert_eq!(Query::of(&typed).address("é"), "?tenant=%C3%A9&q=%3Ca%26b%3E&show=held%3AUserNotFound");
    }
}
