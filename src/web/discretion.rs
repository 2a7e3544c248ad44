//! What of a text may be shown, and to whom. Hashes and pieces of them: to nobody.

use std::borrow::Cow;

use crate::model::{Field, seen};

/// Stands where a user was.
pub(super) const SOMEBODY: &str = "‹a user›";

/// Whether users are shown: their names are personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum People {
    /// To whoever could read them in the manifests as well.
    Shown,
    /// To nobody: who looks at the page is not known.
    Hidden,
}

/// What may be shown.
#[derive(Clone, Copy)]
pub(crate) struct Discretion {
    /// Whether users are.
    pub people: People,
    /// Takes hashes and other secrets out of a text.
    pub mask: fn(&str) -> Cow<'_, str>,
}

impl Discretion {
    /// A text as it may be seen: without secrets, and with all that is in it
    /// visible.
    #[must_use]
    pub(crate) fn text(&self, text: &str) -> String {
        seen(&(self.mask)(text)).into_owned()
    }

    /// A sentence about a device. `private`: values of its user that may be in it.
    #[must_use]
    pub(crate) fn sentence<'v>(&self, text: &str, private: impl IntoIterator<Item = &'v str>) -> String {
        match self.people {
            People::Shown => self.text(text),
            People::Hidden => {
                let text = private
                    .into_iter()
                    .filter(|value| !value.is_empty())
                    .fold(text.to_owned(), |text, value| text.replace(value, SOMEBODY));
                self.text(&without_addresses(&text))
            }
        }
    }

    /// The value of a field.
    #[must_use]
    pub(super) fn value(&self, field: &str, value: &str) -> String {
        match self.people {
            People::Hidden if is_personal(field) && !value.is_empty() => SOMEBODY.to_owned(),
            _ => self.text(value),
        }
    }
}

/// True for a field that says whose device it is.
pub(super) fn is_personal(field: &str) -> bool {
    [Field::UserPrincipalName, Field::AddressableUserName].iter().any(|personal| personal.name() == field)
}

/// A text in which nobody's address stands: what people and services write about
/// a user names them by that.
fn without_addresses(text: &str) -> String {
    let is_part = |c: char| !c.is_whitespace() && !"`\"'<>()[]{},;:|/\\".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let start = rest[..at]
            .rfind(|c| !is_part(c))
            .map_or(0, |before| before + rest[before..].chars().next().map_or(1, char::len_utf8));
        let end = rest[at + 1..].find(|c| !is_part(c)).map_or(rest.len(), |after| at + 1 + after);
        out.push_str(&rest[..start]);
        out.push_str(if end - start > 1 { SOMEBODY } else { "@" });
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::without_pieces;

    #[test]
    fn who_is_not_to_be_seen_stands_in_no_sentence() {
        let hidden = Discretion { people: People::Hidden, mask: without_pieces };
        for (text, shown) in [
            ("user `anna.keller@contoso.com` is not there", "user `‹a user›` is not there"),
            ("Anna is called Anna", "‹a user› is called ‹a user›"),
            ("UPN anna.o'neil@contoso.com, anna@b.c.", "UPN anna.o'‹a user›, ‹a user›"),
            ("mailto:anna@contoso.com;x @ y", "mailto:‹a user›;x @ y"),
            ("é@ü", "‹a user›"),
            ("nobody", "nobody"),
        ] {
            assert_eq!(hidden.sentence(text, ["Anna", ""]), shown);
        }
        assert_eq!(hidden.value("userPrincipalName", "anna"), SOMEBODY);
        assert_eq!(
            (hidden.value("userPrincipalName", ""), hidden.value("groupTag", "A")),
            (String::new(), "A".to_owned())
        );
        let shown = Discretion { people: People::Shown, ..hidden };
        assert_eq!(shown.sentence("anna@contoso.com\u{202e}", ["anna"]), r"anna@contoso.com\u{202e}");
    }
}
