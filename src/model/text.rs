//! Text that has rules: serial numbers, group tags, users, greetings, display
//! names.
//!
//! The rules and their sources are in one place here, so that manifests,
//! Kubernetes objects and the planner cannot disagree about them.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::unseen::unseen;

/// The rule of a text field, for a parser and for a schema. Both say the same
/// of any text but two kinds: the empty one, which a schema takes for a wish of
/// its own (nothing) where the field may be cleared; and one with a character
/// that is unassigned, or a letter, mark or sign that may be drawn as nothing, for
/// which the dialects of patterns have no common name.
#[derive(Debug)]
pub struct Rule {
    /// Whose rule it is, with its article.
    noun: &'static str,
    /// In characters.
    pub max: usize,
    /// As clusters and editors read it: Go's, ECMAScript's and our own regular
    /// expressions agree on what stands in these.
    pub pattern: &'static str,
    /// What may be wrong, asked in turn, and how it is said.
    wrong: &'static [Mistake],
    too_long: &'static str,
}

/// Whether a text makes it, and the sentence about it.
type Mistake = (fn(&str) -> bool, &'static str);

impl Rule {
    /// # Errors
    /// A sentence that says what the text breaks.
    pub fn check(&self, text: &str) -> Result<(), String> {
        // What nobody sees, nobody can review: it is named by its number.
        if let Some((at, c)) = unseen(text) {
            let (noun, at, code) = (self.noun, text[..at].chars().count() + 1, u32::from(c));
            return Err(format!("{noun} has no characters that nobody sees: character {at} is U+{code:04X}"));
        }
        if let Some((_, sentence)) = self.wrong.iter().find(|(is_wrong, _)| is_wrong(text)) {
            return Err((*sentence).to_owned());
        }
        // Bytes are counted faster, and are never fewer.
        if text.len() > self.max && text.chars().count() > self.max {
            return Err(self.too_long.to_owned());
        }
        Ok(())
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// A serial number as declared: trimmed, not empty, nothing that nobody sees,
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
    /// What a serial number is.
    pub const RULE: Rule = Rule {
        noun: "a serial number",
        max: 128,
        pattern: r"^ *[^\p{Z}\p{Cc}\p{Cf}\p{Co}]( |[^\p{Z}\p{Cc}\p{Cf}\p{Co}])*$",
        wrong: &[(is_blank, "a serial number is not empty")],
        too_long: "a serial number has at most 128 characters",
    };

    /// # Errors
    /// A sentence that says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::RULE.check(text)?;
        Ok(Self(text.trim().into()))
    }

    /// As declared, trimmed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it compares by.
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

    /// True for another serial number that people read as this one: `O` and `0`,
    /// `I`, `L` and `1`.
    #[must_use]
    pub fn looks_like(&self, other: &Self) -> bool {
        let look = |serial: &Self| -> Vec<char> {
            let plain = |c: char| match c {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            serial.key().0.chars().map(plain).collect()
        };
        self.key() != other.key() && self.0.len() == other.0.len() && look(self) == look(other)
    }
}

impl std::fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl SerialKey {
    /// Any text is comparable, whether it could be declared or not.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut key = CompactString::from(text.trim());
        key.make_ascii_uppercase();
        Self(key)
    }

    /// Trimmed and in upper case.
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
    ($(#[$doc:meta])* $name:ident: $rule:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(CompactString);

        impl $name {
            /// What such a text is.
            pub const RULE: Rule = $rule;

            /// # Errors
            /// A sentence that says which rule the text breaks.
            pub fn parse(text: &str) -> Result<Self, String> {
                Self::RULE.check(text)?;
                Ok(Self(text.into()))
            }

            /// As declared.
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
    /// A group tag: not empty, no comma, no blank at either end, nothing that
    /// nobody sees, at most 512 characters (the most any known tool sends;
    /// Microsoft names no maximum).
    GroupTag: Rule {
        noun: "a group tag",
        max: 512,
        pattern: r"^([^,\p{Z}\p{Cc}\p{Cf}\p{Co}](( |[^,\p{Z}\p{Cc}\p{Cf}\p{Co}])*[^,\p{Z}\p{Cc}\p{Cf}\p{Co}])?)?$",
        wrong: &[
            (str::is_empty, "a group tag is not empty"),
            (|text| text.contains(','), "a group tag has no comma: it would split a row of a CSV file"),
            (|text| text.trim() != text, "a group tag has no blanks at its ends"),
        ],
        too_long: "a group tag has at most 512 characters",
    }
}
text! {
    /// A user's sign-in name: one `@`, something on both sides, no blanks.
    UserPrincipalName: Rule {
        noun: "a user",
        max: 320,
        pattern: r"^([^@,\p{Z}\p{Cc}\p{Cf}\p{Co}]+@[^@,.\p{Z}\p{Cc}\p{Cf}\p{Co}]+(\.[^@,.\p{Z}\p{Cc}\p{Cf}\p{Co}]+)+)?$",
        wrong: &[(|text| !is_user(text), "a user is written like `name@domain.example`")],
        too_long: "a user has at most 320 characters",
    }
}
text! {
    /// How a device greets its user: nothing that nobody sees.
    Greeting: Rule {
        noun: "a greeting",
        max: 256,
        pattern: r"^( |[^\p{Z}\p{Cc}\p{Cf}\p{Co}])*$",
        wrong: &[],
        too_long: "a greeting has at most 256 characters",
    }
}
text! {
    /// A computer name: 1 to 15 letters, digits, hyphens; not digits only.
    DisplayName: Rule {
        noun: "a display name",
        max: 15,
        pattern: r"^([0-9A-Za-z-]*[A-Za-z-][0-9A-Za-z-]*)?$",
        wrong: &[
            (str::is_empty, "a display name has 1 to 15 characters"),
            (|text| !text.bytes().all(is_of_name), "a display name has only letters, digits and hyphens"),
            (|text| text.bytes().all(|b| b.is_ascii_digit()), "a display name is not digits only"),
        ],
        too_long: "a display name has 1 to 15 characters",
    }
}

fn is_user(text: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || matches!(c, '@' | ',');
    text.split_once('@').is_some_and(|(name, domain)| {
        let labels = domain.contains('.') && !domain.split('.').any(str::is_empty);
        !name.is_empty() && labels && !name.contains(bad) && !domain.contains(bad)
    })
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
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
    fn what_nobody_sees_is_refused_by_its_number() {
        for (text, code) in [
            ("T\u{200b}", "U+200B"),
            ("T\u{e000}x", "U+E000"),
            ("T\u{378}", "U+0378"),
            ("T\u{3164}", "U+3164"),
            ("T\t1", "U+0009"),
            ("T\u{a0}1", "U+00A0"),
            ("T\u{3000}1", "U+3000"),
            ("T\u{2800}1", "U+2800"),
            ("T\u{fffc}1", "U+FFFC"),
            ("T\u{1d159}1", "U+1D159"),
        ] {
            let said = [
                SerialNumber::parse(text).err(),
                GroupTag::parse(text).err(),
                Greeting::parse(text).err(),
                DisplayName::parse(text).err(),
                UserPrincipalName::parse(&format!("{text}@contoso.com")).err(),
            ];
            for said in said {
                assert!(
                    said.as_deref().is_some_and(|said| said.ends_with(&format!("character 2 is {code}"))),
                    "{said:?}"
                );
            }
        }
    }

    #[test]
    fn users_have_one_at_and_a_domain() {
        assert!(UserPrincipalName::parse("anna.keller@contoso.com").is_ok());
        for bad in ["anna", "@contoso.com", "anna@", "anna@contoso", "a@b@c.com", "an na@contoso.com", "a@c..com"] {
            assert!(UserPrincipalName::parse(bad).is_err(), "{bad}");
        }
    }
}
