//! Bytes of a collector's file to text: which encoding it has, and reading it.
//!
//! Windows PowerShell writes UTF-16LE with a byte order mark, PowerShell 7
//! UTF-8 without, spreadsheets Windows-1252. What the text says is not looked
//! at here.

use encoding_rs::{UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// How a text was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    Utf8,
    /// UTF-16, the low byte first: what Windows PowerShell writes.
    Utf16Le,
    /// UTF-16, the high byte first.
    Utf16Be,
    /// What is neither of them.
    Windows1252,
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Windows1252 => "Windows-1252",
        })
    }
}

/// Enough to see whether every other byte is NUL.
const SNIFFED_BYTES: usize = 1024;

/// Reads bytes as text, without their byte order mark. Never fails: what is
/// neither UTF-16 nor UTF-8 is taken for Windows-1252, which knows every byte.
#[must_use]
pub fn text(bytes: &[u8]) -> (String, Encoding) {
    match bytes {
        [0xff, 0xfe, rest @ ..] => return (UTF_16LE.decode_without_bom_handling(rest).0.into(), Encoding::Utf16Le),
        [0xfe, 0xff, rest @ ..] => return (UTF_16BE.decode_without_bom_handling(rest).0.into(), Encoding::Utf16Be),
        _ => {}
    }
    if nul_in_every_second_byte(bytes, 1) {
        return (UTF_16LE.decode_without_bom_handling(bytes).0.into(), Encoding::Utf16Le);
    }
    if nul_in_every_second_byte(bytes, 0) {
        return (UTF_16BE.decode_without_bom_handling(bytes).0.into(), Encoding::Utf16Be);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match UTF_8.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(text) => (text.into(), Encoding::Utf8),
        None => (WINDOWS_1252.decode_without_bom_handling(bytes).0.into(), Encoding::Windows1252),
    }
}

/// UTF-16 of mostly ASCII text has a NUL in every pair, always on one side. A
/// name outside of Latin has none, so a few pairs may differ.
fn nul_in_every_second_byte(bytes: &[u8], side: usize) -> bool {
    let (pairs, _) = bytes[..bytes.len().min(SNIFFED_BYTES)].as_chunks::<2>();
    let nul = pairs.iter().filter(|pair| pair[side] == 0 && pair[1 - side] != 0).count();
    nul > 0 && nul * 10 >= pairs.len() * 9
}

/// The first line that Git has put between two sides of a merge, counted from 1.
pub(super) fn merge_conflict(text: &str) -> Option<u64> {
    const MARKS: [&str; 3] = ["<<<<<<<", "=======", ">>>>>>>"];
    let is_mark = |line: &str| {
        let (mark, rest) = line.split_at_checked(7).unwrap_or_default();
        MARKS.contains(&mark) && (rest.trim_end().is_empty() || rest.starts_with(' ') && mark != "=======")
    };
    text.split('\n').zip(1..).find(|(line, _)| is_mark(line)).map(|(_, number)| number)
}
