//! What collectors write (base64 text, OA3.xml, CSV in all its dialects) to
//! hardware hashes. Pure functions over bytes: no file is opened here.
//!
//! Errors name files' lines and kinds of trouble, never content: the bytes
//! are the credential that registers a device.

use jiff::Timestamp;

use crate::hash::{Finding, Severity, checks};
use crate::model::{HardwareHash, HashCheck, HashDigest, HashError, SerialNumber};

mod csv;
mod file;
mod place;
mod text;

pub(crate) use self::csv::MAX_BYTES as MAX_CSV_BYTES;
pub(crate) use self::csv::{Beside, CsvEntry, CsvIndex, Header, SPREADSHEET, beside, in_words};
pub use self::csv::{CsvTable, csv};
pub use self::file::{Form, file};
pub(crate) use self::place::{fitting, no_hash, place, unusable};
pub use self::text::{Encoding, text};

/// Why there is no hash in a capture. Never repeats content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CaptureError {
    #[error("the file is empty")]
    Empty,
    #[error("the file has {bytes} bytes, more than the {limit} that are read here")]
    TooLarge { bytes: usize, limit: usize },
    #[error("{what}")]
    Unknown { what: &'static str },
    #[error(transparent)]
    Text(#[from] crate::hash::TextError),
    #[error("this is a CSV with columns, not a single hash; name it with `csv:` so that a row is chosen by serial")]
    IsCsv,
    #[error("this is an oa3tool report, which shows a hash taken apart; use the OA3.xml that holds the hash itself")]
    IsReport,
    #[error("the XML has a fault on line {line}; collect the file again")]
    Xml { line: u32 },
    #[error("the XML has more attributes than an OA3.xml; collect the file again")]
    XmlAttributes,
    #[error("the XML is cut short; collect the file again or copy it whole")]
    XmlCutShort,
    #[error(
        "this is an XML file without a hardware hash; run `oa3tool /Report` on the device, and take the OA3.xml it writes"
    )]
    XmlWithoutHash,
    #[error("the XML has {count} `HardwareHash` elements, there must be exactly one")]
    XmlHashes { count: usize },
    #[error("there are more than {limit} rows; split the file")]
    TooManyRows { limit: usize },
    #[error("line {line} has more than {limit} cells; is this a collector's CSV?")]
    TooManyCells { line: u64, limit: usize },
    #[error("no row has a hardware hash; is this a collector's CSV?")]
    NoRows,
    #[error("the cells are separated by `{separator}`; save the file with commas, semicolons or tabs between them")]
    Separator { separator: char },
    #[error("line {line}: the quotation marks do not come in pairs; correct or remove them")]
    OpenQuote { line: u64 },
    #[error(
        "line {line}: a merge conflict of Git was not resolved; keep the rows that hold, and remove the lines of `<<<<<<<`, \
         `=======` and `>>>>>>>`"
    )]
    MergeConflict { line: u64 },
    #[error("line {line}: {error}")]
    Row { line: u64, error: crate::hash::TextError },
    #[error("line {line}: the row has no hardware hash")]
    RowWithoutHash { line: u64 },
    #[error("line {line}: the file changed while it was read; run again")]
    Changed { line: u64 },
    #[error("no row is for serial `{serial}` ({rows}); collect that device again, or correct the serial")]
    NotFound { serial: SerialNumber, rows: String },
    #[error("lines {lines} are all for serial `{serial}`, but of different devices; keep one of them")]
    Ambiguous { serial: SerialNumber, lines: String },
}

impl From<CaptureError> for HashError {
    fn from(error: CaptureError) -> Self {
        Self::Unusable(error.to_string())
    }
}

/// Checks one hash before it is sent: it has the pin, decodes, passes the
/// checks, and holds the declared serial. Returns the warnings.
///
/// With [`HashCheck::Trust`] only the pin counts, and there must be one.
/// `now` is for captures from the future; without it they pass.
///
/// # Errors
/// [`HashError::Unusable`] with everything that is wrong in one sentence.
pub fn usable(
    hash: &HardwareHash,
    serial: &SerialNumber,
    pin: Option<&HashDigest>,
    check: HashCheck,
    now: Option<Timestamp>,
) -> Result<Vec<Finding>, HashError> {
    let unusable = |reason: String| Err(HashError::Unusable(reason));
    let digest = hash.digest();
    if let Some(pin) = pin.filter(|pin| **pin != digest) {
        return unusable(format!(
            "the hash has the digest {digest}, the pin says {pin}: it was replaced; compare both, then correct `sha256`"
        ));
    }
    if check == HashCheck::Trust {
        return match pin {
            Some(_) => Ok(Vec::new()),
            None => unusable("`hashCheck: Trust` needs a pin; add `sha256`".into()),
        };
    }
    let decoded = match hash.decode() {
        Ok(decoded) => decoded,
        Err(error) => return unusable(error.to_string()),
    };
    let (mut errors, warnings): (Vec<_>, Vec<_>) =
        checks(&decoded, now).into_iter().partition(|finding| finding.severity == Severity::Error);
    if let Some(inside) = decoded.serial().filter(|inside| inside.key() != serial.key()) {
        let perhaps = match inside.looks_like(serial) {
            true => format!("did you mean `{inside}`? the letter O and the digit 0 look alike, as I and 1 do"),
            false => "swapped rows or files?".to_owned(),
        };
        errors.push(Finding::error(
            "other-serial",
            format!("the hash is that of serial `{inside}`, declared is `{serial}`: {perhaps}"),
        ));
    }
    if errors.is_empty() {
        return Ok(warnings);
    }
    unusable(errors.into_iter().map(|finding| finding.message).collect::<Vec<_>>().join("; "))
}
