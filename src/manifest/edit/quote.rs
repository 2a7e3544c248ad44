//! A value as a scalar of YAML: plain where every reader takes it for this text.

use crate::manifest::scalar::{Plain, resolve};

/// How a scalar stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Without quotes, where that can be.
    Plain,
    /// `'…'`
    Single,
    /// `"…"`, as JSON has it.
    Double,
}

/// The scalar on one line. The value has no character that nobody sees.
#[must_use]
pub(super) fn scalar(value: &str, style: Style) -> String {
    match style {
        Style::Plain if is_plain(value) => value.to_owned(),
        Style::Single => format!("'{}'", value.replace('\'', "''")),
        // JSON strings are YAML strings.
        Style::Plain | Style::Double => serde_json::Value::from(value).to_string(),
    }
}

/// What one YAML or another takes for a word of its own, in some case of letters.
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

fn is_plain(value: &str) -> bool {
    let begins = value.starts_with(char::is_alphanumeric);
    let is_safe = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '/' | ' ');
    begins
        && value.chars().all(is_safe)
        && !value.ends_with(' ')
        && resolve(value) == Plain::Text
        && !WORDS.contains(&value.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_reads_as_something_else_is_quoted() {
        for value in
            ["0012", "NO", "nO", "1E5", "0x1F", "1_000", "2024-01-01", "10:30", "", "~", "null", ".5", "12", "y", "1."]
        {
            assert_eq!(scalar(value, Style::Plain), format!("\"{value}\""));
        }
        for value in ["*-STD", "&a", "a: b", "a #b", "- a", "a,b", "[a]", "{a}", "%a", "@a", "`a`", "a ", "!a", "?"] {
            assert_eq!(scalar(value, Style::Plain), format!("\"{value}\""));
        }
        assert_eq!(scalar(r#"a"\b"#, Style::Plain), r#""a\"\\b""#);
        assert_eq!(scalar("it's", Style::Single), "'it''s'");
    }

    #[test]
    fn what_it_reads_as_this_text_is_not() {
        for value in ["OSL-STD", "anna.keller@contoso.com", "Anna Keller", "5CG4251XYZ", "Zürich", "a/b_c.d"] {
            assert_eq!(scalar(value, Style::Plain), value);
        }
    }
}
