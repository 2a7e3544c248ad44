//! The text of a hardware hash: standard base64 on one line, mostly 4,000
//! characters. Reading it, repairing what is safe to repair (and saying so),
//! and spotting it where it must not stand.
//!
//! The service takes `Edm.Binary`, and so nothing but the standard alphabet.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::model::HardwareHash;

/// No whole hash is longer: the container counts in 16 bits, and this leaves
/// room for padding.
const MAX_CHARACTERS: usize = 128 * 1024;

/// Takes any padding and any trailing bits; [`repairs`] reports what was odd.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What was changed in a text to make it readable. Always reported: the
/// service is sent the repaired form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// The `=` at the end were missing or too many.
    Padding,
    /// One character too many at the end was dropped; it carries no byte.
    DanglingCharacter,
    /// The last character held bits that belong to no byte.
    TrailingBits,
}

impl Repair {
    /// The name in documents.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Padding => "padding",
            Self::DanglingCharacter => "dangling-character",
            Self::TrailingBits => "trailing-bits",
        }
    }
}

impl std::fmt::Display for Repair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Padding => "the `=` at the end of the base64 text were corrected",
            Self::DanglingCharacter => "one character too many at the end of the base64 text was dropped",
            Self::TrailingBits => "unused bits in the last character of the base64 text were cleared",
        })
    }
}

/// Why a text is not base64. Places count characters from 1; what stands there
/// is named by its kind only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TextError {
    #[error("there is no hash here")]
    Empty,
    #[error("a hash has no blank or line end inside, character {at} is one; join the lines")]
    WhiteSpace { at: usize },
    #[error("a hash has no quotation marks, character {at} is one; remove them")]
    Quote { at: usize },
    #[error("the hash was shortened with an ellipsis at character {at}; copy it whole")]
    Ellipsis { at: usize },
    #[error("`=` stands at character {at}, it belongs only at the end of a hash")]
    Equals { at: usize },
    #[error("character {at} (U+{code:04X}) is not of the base64 alphabet")]
    Alphabet { at: usize, code: u32 },
    #[error("a spreadsheet has written `#` for it: the column was too narrow")]
    TooNarrow,
    #[error("a spreadsheet has written an error such as `#NAME?` for it")]
    Formula,
    #[error("{characters} characters are too long for a hash")]
    TooLong { characters: usize },
}

pub(super) fn read(text: &str) -> Result<(HardwareHash, Vec<Repair>), TextError> {
    let text = text.trim();
    // Nearly every text is whole: then nothing else needs to be looked at.
    if text.len() <= MAX_CHARACTERS
        && let Ok(bytes) = STANDARD.decode(text)
        && !bytes.is_empty()
    {
        return Ok((HardwareHash::from_bytes(bytes), Vec::new()));
    }
    let content = text.trim_end_matches('=');
    // One letter alone holds no byte.
    if content.is_empty() || content.len() == 1 && in_alphabet(content.as_bytes()[0]) {
        return Err(TextError::Empty);
    }
    if text.len() > MAX_CHARACTERS {
        return Err(TextError::TooLong { characters: text.len() });
    }
    if let Some(spoiled) = spoiled(text) {
        return Err(spoiled);
    }
    if let Some(at) = content.bytes().position(|byte| !in_alphabet(byte)) {
        return Err(stranger(content, at));
    }
    // One character holds six bits, which is no byte: it can only be an accident.
    let dangling = content.len() % 4 == 1;
    let whole = &content[..content.len() - usize::from(dangling)];
    let bytes = LENIENT.decode(whole).expect("only letters of the alphabet are left");
    let hash = HardwareHash::from_bytes(bytes);
    let repairs = repairs(&hash.to_base64(), text, whole, dangling);
    Ok((hash, repairs))
}

/// What a spreadsheet shows in the place of a value, and saves as if it were one.
pub(crate) fn spoiled(cell: &str) -> Option<TextError> {
    const ERRORS: [&str; 8] = ["#NAME?", "#REF!", "#VALUE!", "#N/A", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!"];
    match cell {
        _ if ERRORS.iter().any(|error| error.eq_ignore_ascii_case(cell)) => Some(TextError::Formula),
        _ if !cell.is_empty() && cell.bytes().all(|byte| byte == b'#') => Some(TextError::TooNarrow),
        _ => None,
    }
}

fn repairs(canonical: &str, text: &str, whole: &str, dangling: bool) -> Vec<Repair> {
    let mut repairs = Vec::new();
    if dangling {
        repairs.push(Repair::DanglingCharacter);
    } else if canonical.len() != text.len() {
        repairs.push(Repair::Padding);
    }
    if canonical.trim_end_matches('=') != whole {
        repairs.push(Repair::TrailingBits);
    }
    repairs
}

fn in_alphabet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

/// Names the character at byte `at`; all before it is ASCII.
fn stranger(text: &str, at: usize) -> TextError {
    let rest = &text[at..];
    let code = rest.chars().next().expect("a position inside the text");
    let at = at + 1;
    match code {
        _ if rest.starts_with("...") || code == '…' => TextError::Ellipsis { at },
        '"' | '\'' | '`' | '\u{2018}'..='\u{201f}' => TextError::Quote { at },
        '=' => TextError::Equals { at },
        _ if code.is_whitespace() => TextError::WhiteSpace { at },
        _ => TextError::Alphabet { at, code: code.into() },
    }
}

/// Fewer characters than this say nothing about a machine.
const SPOTTED_CHARACTERS: usize = 24;

/// True if a text holds what looks like a hardware hash, whole or in part:
/// at least 24 characters from its start. For refusing hashes where they must
/// not stand; cheap on text that has none.
///
/// A hash starts with `OA`, a length and (in all that were ever seen) record 1
/// of 28 bytes with a tool build of Windows 10: in base64 that is `T0E` to
/// `T0H`, two characters, `A`, `Q`, `g` or `w`, then `EAHAAA`.
#[must_use]
pub fn looks_like_hash(text: &str) -> bool {
    let starts = |window: &[u8]| {
        matches!(window[2], b'E'..=b'H')
            && matches!(window[5], b'A' | b'Q' | b'g' | b'w')
            && &window[6..12] == b"EAHAAA"
    };
    text.len() >= SPOTTED_CHARACTERS
        && text.match_indices("T0").any(|(at, _)| {
            let run = &text.as_bytes()[at..];
            let run = &run[..run.iter().position(|byte| !in_alphabet(*byte)).unwrap_or(run.len())];
            // Without record 1 in front, only a long run is beyond doubt.
            run.len() >= SPOTTED_CHARACTERS && (starts(run) || run.len() >= 200 && matches!(run[2], b'E'..=b'H'))
        })
}
