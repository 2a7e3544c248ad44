//! Fields whose rule is a form: one pattern, for the schema and for the check
//! alike, and one sentence for all that can be wrong. (Text with a sentence
//! for each mistake has its rules in `model::text`.)

use std::sync::OnceLock;

use regex_automata::meta::Regex;

/// The form of a text field.
pub(super) struct Form {
    /// In characters.
    pub min: usize,
    pub max: usize,
    /// As clusters and editors read it: plain enough for all of them.
    pub pattern: &'static str,
    regex: OnceLock<Regex>,
}

impl Form {
    const fn new(min: usize, max: usize, pattern: &'static str) -> Self {
        Self { min, max, pattern, regex: OnceLock::new() }
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        let regex = self.regex.get_or_init(|| Regex::new(self.pattern).expect("patterns of ours are legal"));
        (self.min..=self.max).contains(&text.chars().count()) && regex.is_match(text)
    }
}

pub(super) static GUID: Form = Form::new(36, 36, r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$");

/// An owner becomes part of a branch name and of file names.
pub(super) static OWNER: Form = Form::new(1, 63, r"^[0-9A-Za-z]([0-9A-Za-z._-]*[0-9A-Za-z])?$");

/// SHA-256, as plans show their digest.
pub(super) static PLAN_DIGEST: Form = Form::new(64, 71, r"^(sha256:)?[0-9a-f]{64}$");

pub(super) static INTERVAL: Form = Form::new(2, 8, r"^[1-9][0-9]*(s|m|h)$");

/// A name that stands on a command line.
pub(super) static FREEZE: Form = Form::new(1, 63, r"^[0-9a-z]([0-9a-z-]*[0-9a-z])?$");

/// A time in RFC 3339 with its offset; whether there is such a day, only a
/// calendar knows.
pub(super) static MOMENT: Form = Form::new(
    20,
    35,
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$",
);

pub(super) static WEEK_TIME: Form = Form::new(9, 9, r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([01][0-9]|2[0-3]):[0-5][0-9]$");

/// Which of these are zones, only the database knows.
pub(super) static ZONE: Form = Form::new(1, 64, r"^[A-Za-z][A-Za-z0-9_+/-]*$");

/// The address of a host, without a path.
pub(super) static ENDPOINT: Form =
    Form::new(1, 253, r"^https?://([0-9A-Za-z._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$");

/// A manifest names no other variable of the machine it is read on.
pub(super) static HASH_VARIABLE: Form = Form::new(12, 256, r"^APGIT_HASH_[A-Z0-9_]+$");

pub(super) static VAULT_URL: Form = Form::new(1, 253, r"^https://[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)+/?$");

pub(super) static VAULT_SECRET: Form = Form::new(1, 127, r"^[0-9A-Za-z-]+$");
