//! Text that has rules: serial numbers, group tags, users, display names.
//!
//! The rules and their sources are in one place here, so that manifests,
//! Kubernetes objects and the planner cannot disagree about them.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// A serial number as declared: trimmed, not empty, no control characters,
/// at most 128 characters. Compared through [`SerialNumber::key`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SerialNumber(CompactString);

/// A serial number made comparable: trimmed, letters of ASCII in upper case.
/// All others stay: folded by Unicode, `STRAßE` would write to `STRASSE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SerialKey(CompactString);

/// Texts that vendors leave in the serial field; none of them names a device.
const PLACEHOLDERS: [&str; 10] = [
    "TO BE FILLED BY O.E.M.",
    "DEFAULT STRING",
    "SYSTEM SERIAL NUMBER",
    "NONE",
    "0",
    "INVALID",
    "N/A",
    "NOT SPECIFIED",
    "SERIAL NUMBER",
    "SMBIOS_STRING_INDEX_0",
];

impl SerialNumber {
    pub const MAX: usize = 128;

    /// # Errors
    /// A sentence that says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            return Err("a serial number is not empty");
        }
        if text.chars().count() > Self::MAX {
            return Err("a serial number has at most 128 characters");
        }
        if text.chars().any(char::is_control) {
            return Err("a serial number has no control characters");
        }
        Ok(Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn key(&self) -> SerialKey {
        SerialKey::of(&self.0)
    }

    /// True for text that vendors leave where a serial should be, and for one
    /// character repeated.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        let key = self.key();
        let mut chars = key.0.chars();
        let first = chars.next();
        let repeated = key.0.len() > 2 && chars.all(|c| Some(c) == first);
        repeated || PLACEHOLDERS.contains(&key.0.as_str())
    }
}

impl std::fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl SerialKey {
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut key = CompactString::from(text.trim());
        key.make_ascii_uppercase();
        Self(key)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SerialKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(CompactString);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

text! {
    /// A group tag: not empty, no comma, no blank at either end, no control
    /// characters, at most 512 characters (the most any known tool sends;
    /// Microsoft names no maximum).
    GroupTag
}
text! {
    /// A user's sign-in name: one `@`, something on both sides, no blanks.
    UserPrincipalName
}
text! {
    /// A computer name: 1 to 15 letters, digits, hyphens; not digits only.
    DisplayName
}

impl GroupTag {
    pub const MAX: usize = 512;

    /// # Errors
    /// A sentence that says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("a group tag is not empty");
        }
        if text.contains(',') {
            return Err("a group tag has no comma: it would split a row of a CSV file");
        }
        if text.trim() != text {
            return Err("a group tag has no blanks at its ends");
        }
        if text.chars().any(char::is_control) {
            return Err("a group tag has no control characters");
        }
        if text.chars().count() > Self::MAX {
            return Err("a group tag has at most 512 characters");
        }
        Ok(Self(text.into()))
    }
}

impl UserPrincipalName {
    pub const MAX: usize = 320;

    /// # Errors
    /// A sentence that says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let form = "a user is written like `name@domain.example`";
        let (name, domain) = text.split_once('@').ok_or(form)?;
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '@' || c == ',';
        if name.is_empty()
            || !domain.contains('.')
            || domain.split('.').any(str::is_empty)
            || text.contains(bad_pair(bad))
        {
            return Err(form);
        }
        if text.chars().count() > Self::MAX {
            return Err("a user has at most 320 characters");
        }
        Ok(Self(text.into()))
    }

    /// The part behind the `@`, lower case.
    #[must_use]
    pub fn domain(&self) -> String {
        self.0.rsplit('@').next().unwrap_or_default().to_lowercase()
    }
}

/// The first `@` is legal, so only the other rules are looked up per character.
fn bad_pair(bad: impl Fn(char) -> bool) -> impl FnMut(char) -> bool {
    let mut seen = false;
    move |c| {
        if c == '@' && !seen {
            seen = true;
            return false;
        }
        bad(c)
    }
}

impl DisplayName {
    pub const MAX: usize = 15;

    /// # Errors
    /// A sentence that says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > Self::MAX {
            return Err("a display name has 1 to 15 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err("a display name has only letters, digits and hyphens");
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Err("a display name is not digits only");
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_compare_trimmed_and_without_case() {
        assert_eq!(SerialNumber::parse(" ab-1 ").unwrap().key(), SerialKey::of("AB-1"));
    }

    #[test]
    fn serials_fold_the_letters_of_ascii_and_no_others() {
        let same = |a, b| SerialKey::of(a) == SerialKey::of(b);
        assert!(same("strasse-1", "STRASSE-1"));
        // Folded by Unicode, each of these would be the device beside it.
        for (one, other) in [("STRAßE", "STRASSE"), ("ı1", "I1"), ("ſ1", "S1"), ("é1", "É1"), ("\u{212a}1", "K1")]
        {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn placeholder_serials_are_known() {
        for text in ["To be filled by O.E.M.", "0", "none", "XXXXXX", "SMBIOS_STRING_INDEX_0"] {
            assert!(SerialNumber::parse(text).unwrap().is_placeholder(), "{text}");
        }
        assert!(!SerialNumber::parse("PF4T9K2L").unwrap().is_placeholder());
    }

    #[test]
    fn users_have_one_at_and_a_domain() {
        assert!(UserPrincipalName::parse("anna.keller@contoso.com").is_ok());
        for bad in ["anna", "@contoso.com", "anna@", "anna@contoso", "a@b@c.com", "an na@contoso.com", "a@c..com"] {
            assert!(UserPrincipalName::parse(bad).is_err(), "{bad}");
        }
    }
}
