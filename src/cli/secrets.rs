//! Text without secrets: whatever a file, a server, a tenant or a library repeats,
//! no output of ours has one. Those are the values of the environment that are
//! named like secrets, and pieces of hashes of whoever's.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::hash::{HIDDEN, without_pieces};
use crate::sim;

/// How the names of variables end, or begin, whose values are secrets.
const ENDS: [&str; 6] = ["SECRET", "TOKEN", "PASSWORD", "_KEY", "_ASSERTION", "_PAT"];
const STARTS: [&str; 1] = ["APGIT_HASH_"];

/// Shorter values would be found in any text, and are no secrets.
const LEAST: usize = 8;
/// The same for a line of a value of several.
const LEAST_OF_LINE: usize = 20;

/// Longest first: one may be a part of another.
static SECRETS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut secrets = Vec::new();
    for (name, value) in std::env::vars_os() {
        let (name, value) = (name.to_string_lossy().to_ascii_uppercase(), value.to_string_lossy().into_owned());
        if ENDS.iter().any(|end| name.ends_with(end)) || STARTS.iter().any(|start| name.starts_with(start)) {
            add(&mut secrets, &value);
        }
    }
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    secrets
});

/// A value as it is, its lines, and how JSON and a form write it.
fn add(secrets: &mut Vec<String>, value: &str) {
    let value = value.trim();
    // Everybody may know the simulated tenant's.
    if value == sim::CLIENT_SECRET || is_path(value) {
        return;
    }
    let lines = value.lines().map(str::trim).filter(|line| *line != value && line.len() >= LEAST_OF_LINE);
    let whole = Some(value).filter(|value| value.len() >= LEAST);
    for secret in whole.into_iter().chain(lines) {
        let in_json = serde_json::Value::from(secret).to_string();
        let in_json = in_json[1..in_json.len() - 1].to_owned();
        secrets.extend([secret.to_owned(), in_json, in_a_form(secret)]);
    }
}

/// Variables named like secrets often hold where one is.
fn is_path(value: &str) -> bool {
    let is_drive = value.as_bytes().get(1..3).is_some_and(|rest| rest == br":\");
    (value.starts_with('/') || is_drive) && std::path::Path::new(value).exists()
}

fn in_a_form(text: &str) -> String {
    let write = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(write).collect()
}

/// A text without any secret.
pub(super) fn masked(text: &str) -> Cow<'_, str> {
    match mask(text, &SECRETS) {
        Cow::Borrowed(text) => without_pieces(text),
        Cow::Owned(text) => Cow::Owned(without_pieces(&text).into_owned()),
    }
}

fn mask<'t>(text: &'t str, secrets: &[String]) -> Cow<'t, str> {
    let mut text = Cow::Borrowed(text);
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        if text.contains(secret.as_str()) {
            text = Cow::Owned(text.replace(secret.as_str(), HIDDEN));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_however_it_is_written() {
        let mut secrets = Vec::new();
        add(&mut secrets, "se~cr\"et+value\n");
        for text in ["a se~cr\"et+value b", r#"{"a": "se~cr\"et+value"}"#, "secret=se~cr%22et%2Bvalue&x"] {
            let shown = mask(text, &secrets);
            assert!(shown.contains(HIDDEN) && !shown.contains("value"), "{shown}");
        }
        assert!(matches!(mask("nothing of it", &secrets), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_public_or_too_short_is_no_secret() {
        let mut secrets = Vec::new();
        for value in [sim::CLIENT_SECRET, "short", "", "/"] {
            add(&mut secrets, value);
        }
        assert!(secrets.is_empty());
    }
}
