//! A file that holds one hash: base64 text, or the OA3.xml of oa3tool.

use super::CaptureError;
use super::text::{Encoding, text};
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
    let content = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let (hash, form) = match content.find('<') {
        _ if content.is_empty() => return Err(CaptureError::Empty),
        // oa3tool may print a banner before its XML.
        Some(start) => (oa3_xml(content, start)?, Form::Oa3Xml),
        None if is_csv(content) => return Err(CaptureError::IsCsv),
        None => (content.to_owned(), Form::Base64),
    };
    let (hash, repairs) = HardwareHash::from_base64(&hash)?;
    Ok(HashFile { hash, repairs, form, encoding })
}

/// Base64 has none of a CSV's separators.
pub(crate) fn is_csv(content: &str) -> bool {
    content.contains([',', ';', '\t']) || content.to_lowercase().starts_with("hardware hash")
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
        ref hashes => Err(CaptureError::XmlHashes { count: hashes.len() }),
    }
}
