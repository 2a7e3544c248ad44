//! A file that holds one hash: base64 text, or the OA3.xml of oa3tool.

use super::CaptureError;
use super::text::{Encoding, merge_conflict, text};
use crate::hash::Repair;
use crate::model::HardwareHash;

/// A single hash is 4 KB of text; this leaves room for any encoding and XML.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// A real OA3.xml has a handful of `=`, those of base64 among them. A parser of
/// XML compares each attribute and each namespace of an element with all others.
const MAX_EQUALS: usize = 500;

/// A real OA3.xml has a few dozen elements.
const MAX_NODES: u32 = 10_000;

/// What kind of file it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The hash and nothing else.
    Base64,
    /// The file that oa3tool writes.
    Oa3Xml,
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Base64 => "base64 text",
            Self::Oa3Xml => "OA3.xml",
        })
    }
}

/// One hash, and what was repaired to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashFile {
    /// As it stands in the file; not judged yet.
    pub hash: HardwareHash,
    /// What was corrected in its text.
    pub repairs: Vec<Repair>,
    /// What the file is.
    pub form: Form,
    /// How it was stored.
    pub encoding: Encoding,
}

/// Reads a file that holds one hash.
///
/// # Errors
/// Says what is wrong; never repeats content.
pub fn file(bytes: &[u8]) -> Result<HashFile, CaptureError> {
    if bytes.len() > MAX_BYTES {
        return Err(CaptureError::TooLarge { bytes: bytes.len(), limit: MAX_BYTES });
    }
    let (text, encoding) = text(bytes);
    if let Some(what) = unknown(bytes, &text) {
        return Err(CaptureError::Unknown { what });
    }
    if let Some(line) = merge_conflict(&text) {
        return Err(CaptureError::MergeConflict { line });
    }
    let content = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let (hash, form) = match content.find('<') {
        _ if content.is_empty() => return Err(CaptureError::Empty),
        // oa3tool may print a banner before its XML.
        Some(start) if is_xml(content, start) => (oa3_xml(content, start)?, Form::Oa3Xml),
        _ if is_csv(content) => return Err(CaptureError::IsCsv),
        Some(_) => return Err(CaptureError::Unknown { what: NOTHING_OF_OURS }),
        None => (content.to_owned(), Form::Base64),
    };
    let (hash, repairs) = HardwareHash::from_base64(&hash)?;
    Ok(HashFile { hash, repairs, form, encoding })
}

const NOTHING_OF_OURS: &str = "this is not known here: it is no base64 text, no OA3.xml and no collector's CSV";

/// What files begin with that hold something else, and what to do with them.
const OTHERS: [(&[u8], &str); 9] = [
    (
        b"PK\x03\x04",
        "this is a ZIP archive or a workbook of Excel, which is not read here; unpack the archive, or save the sheet as CSV",
    ),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "this is a workbook of an old Excel, which is not read here; save the sheet as CSV",
    ),
    (b"MSCF", "this is a cabinet, which is not read here; unpack it and use the CSV in it"),
    (b"\x1f\x8b", "this is packed with gzip, which is not read here; unpack it"),
    (b"%PDF-", "this is a PDF, which is not read here"),
    (b"age-encryption.org/", "this is encrypted with `age`; let its name end with `.age`"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "this is encrypted with `age`; let its name end with `.age`"),
    (b"<!DOCTYPE html", "this is a web page, which is not read here"),
    (b"<html", "this is a web page, which is not read here"),
];

/// Looked at to tell a text from other bytes.
const SNIFFED_CHARACTERS: usize = 4096;

/// What bytes are that no collector writes. `text` is what they are as text.
pub(super) fn unknown(bytes: &[u8], text: &str) -> Option<&'static str> {
    let begins = |start: &[u8]| bytes.get(..start.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(start));
    if let Some((_, what)) = OTHERS.iter().find(|(start, _)| begins(start)) {
        return Some(what);
    }
    if text.trim_start().starts_with('{') && text.contains("\"sops\"") {
        return Some("this is encrypted with `sops`; name it like `hashes.sops.csv`");
    }
    // A stray one is a fault of a text.
    let strange = |c: &char| c.is_control() && !c.is_whitespace() && *c != '\0';
    let start = text.chars().take(SNIFFED_CHARACTERS);
    let strange = start.clone().filter(strange).count();
    (strange > 2 && strange * 50 > start.count())
        .then_some("these bytes are not known here: they are no text, so no base64 text, no OA3.xml and no CSV")
}

/// A text may have a `<` in it and be no XML.
fn is_xml(content: &str, start: usize) -> bool {
    start == 0 || ["<?xml", "<Key", "<HardwareHash", "<HardwareReport"].iter().any(|tag| content.contains(tag))
}

/// Base64 has none of a CSV's separators.
pub(crate) fn is_csv(content: &str) -> bool {
    content.contains([',', ';', '\t', '|']) || content.to_lowercase().starts_with("hardware hash")
}

fn oa3_xml(content: &str, start: usize) -> Result<String, CaptureError> {
    let banner_lines =
        u32::try_from(content[..start].matches('\n').count()).expect("a file that is read here is small");
    if content[start..].bytes().filter(|byte| *byte == b'=').nth(MAX_EQUALS).is_some() {
        return Err(CaptureError::XmlAttributes);
    }
    let options = roxmltree::ParsingOptions { nodes_limit: MAX_NODES, ..Default::default() };
    let document =
        roxmltree::Document::parse_with_options(&content[start..], options).map_err(|error| match error {
            // These two have no position of their own.
            roxmltree::Error::UnclosedRootNode | roxmltree::Error::UnexpectedEndOfStream => CaptureError::XmlCutShort,
            _ => CaptureError::Xml { line: banner_lines + error.pos().row },
        })?;
    let named =
        |name: &str| document.descendants().filter(move |node| node.tag_name().name() == name).collect::<Vec<_>>();
    match named("HardwareHash")[..] {
        [hash] => Ok(hash.text().unwrap_or_default().trim().to_owned()),
        [] if !named("HardwareReport").is_empty() => Err(CaptureError::IsReport),
        [] => Err(CaptureError::XmlWithoutHash),
        ref hashes => Err(CaptureError::XmlHashes { count: hashes.len() }),
    }
}
