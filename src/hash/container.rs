//! The container of a hardware hash: header, records, SHA-256 trailer,
//! padding. Bytes to records and back, byte for byte.
//!
//! The trailer is a plain SHA-256 without a key: it finds damage, it proves no
//! origin. Found on real hashes;
//! Microsoft does not publish the layout.

use std::borrow::Cow;

use uuid::Uuid;

use super::record::{Adapter, Capture, DiskName, NO_SMBIOS_STRING, OfflineId, Processor, Record, TextField};
use crate::model::{HardwareHash, SerialNumber, sha256};

/// The usual size in bytes; its base64 has 4,000 characters.
pub(super) const USUAL_BYTES: usize = 3000;

const MAGIC: [u8; 2] = *b"OA";
const TRAILER_MAGIC: [u8; 2] = *b"CS";
const HEADER: usize = 4;
const DIGEST: usize = 32;
const TRAILER: usize = HEADER + DIGEST;
const TRAILER_LENGTH: u16 = 36;

/// A hardware hash, taken apart. Its checksum was good, or it was built here.
#[derive(Clone, PartialEq, Eq)]
pub struct Decoded {
    /// In the order of the container.
    pub records: Vec<Record>,
    /// What follows the trailer: zeros, unless something is odd.
    pub padding: Vec<u8>,
}

/// Why bytes are not a whole hardware hash. Offsets count bytes from the start
/// of the decoded hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum DecodeError {
    #[error("not a hardware hash: it does not start with the container's mark at byte 0")]
    NotAHash,
    #[error("the hash is cut short: {have} bytes are here, {need} are needed; collect it again or copy it whole")]
    CutShort { need: usize, have: usize },
    #[error("the header at byte 2 gives an impossible length of {length} bytes")]
    HeaderLength { length: usize },
    #[error("the record at byte {offset} has an impossible length of {length} bytes; the records end at byte {end}")]
    RecordLength { offset: usize, length: usize, end: usize },
    #[error("the checksum record is not where it belongs, at byte {offset}")]
    NoTrailer { offset: usize },
    #[error("the checksum at byte {offset} does not fit the content: the hash is damaged or was edited")]
    Checksum { offset: usize },
}

/// Records that do not fit into the container, which counts its bytes in 16
/// bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the records take {bytes} bytes, a hardware hash holds at most 65535")]
pub struct TooLarge {
    /// What they would take.
    pub bytes: usize,
}

impl Decoded {
    /// A container of `records`, padded with zeros to the usual size.
    #[must_use]
    pub fn new(records: Vec<Record>) -> Self {
        let mut decoded = Self { records, padding: Vec::new() };
        let used = decoded.content().len() + TRAILER;
        decoded.padding = vec![0; USUAL_BYTES.saturating_sub(used)];
        decoded
    }

    /// Takes the container apart; strict in everything but the padding.
    ///
    /// # Errors
    /// The first thing that is wrong, with its offset. Never repeats content.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let end = content_end(bytes)?;
        let records = records(bytes, end)?;
        let padding = trailer(bytes, end)?;
        Ok(Self { records, padding: padding.into() })
    }

    /// Puts the container together again: for what [`Decoded::from_bytes`]
    /// read, the same bytes.
    ///
    /// # Errors
    /// When records were put in that do not fit.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TooLarge> {
        let mut bytes = self.content();
        let too_large = TooLarge { bytes: bytes.len() };
        let length = u16::try_from(bytes.len()).map_err(|_| too_large)?;
        bytes[2..HEADER].copy_from_slice(&length.to_le_bytes());
        let digest = sha256(&bytes);
        bytes.extend(TRAILER_MAGIC);
        bytes.extend(TRAILER_LENGTH.to_le_bytes());
        bytes.extend(digest);
        bytes.extend(&self.padding);
        Ok(bytes)
    }

    /// [`Decoded::to_bytes`] as a hash.
    ///
    /// # Errors
    /// When records were put in that do not fit.
    pub fn to_hash(&self) -> Result<HardwareHash, TooLarge> {
        self.to_bytes().map(HardwareHash::from_bytes)
    }

    /// Header (length still zero) and records.
    #[expect(clippy::cast_possible_truncation, reason = "a record beyond 64 KiB makes the whole too large as well")]
    fn content(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        bytes.extend(MAGIC);
        bytes.extend([0, 0]);
        for record in &self.records {
            let start = bytes.len();
            bytes.extend(record.kind().to_le_bytes());
            bytes.extend([0, 0]);
            record.write_value(&mut bytes);
            let length = (bytes.len() - start) as u16;
            bytes[start + 2..start + HEADER].copy_from_slice(&length.to_le_bytes());
        }
        bytes
    }

    /// Size of the container in bytes, padding included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.content().len() + TRAILER + self.padding.len()
    }

    /// Where each record starts, in bytes.
    #[must_use]
    pub fn offsets(&self) -> Vec<usize> {
        let mut value = Vec::new();
        let sizes = self.records.iter().map(|record| {
            value.clear();
            record.write_value(&mut value);
            HEADER + value.len()
        });
        let next = |at: &mut usize, size| Some(std::mem::replace(at, *at + size));
        sizes.scan(HEADER, next).collect()
    }

    /// The serial number of SMBIOS type 1. `None` when the device has none,
    /// or it is no serial number at all.
    #[must_use]
    pub fn serial(&self) -> Option<SerialNumber> {
        SerialNumber::parse(self.text(TextField::SerialNumber)?.trim()).ok()
    }

    /// A text; `None` if there is no such record, it is empty, or SMBIOS had
    /// no string.
    #[must_use]
    pub fn text(&self, field: TextField) -> Option<Cow<'_, str>> {
        self.records.iter().find_map(|record| match record {
            Record::Text(of, text) if *of == field => {
                Some(text.as_str()).filter(|text| !text.trim().is_empty() && text != NO_SMBIOS_STRING)
            }
            _ => None,
        })
    }

    /// When and with what the hash was taken.
    #[must_use]
    pub fn capture(&self) -> Option<&Capture> {
        self.find(|record| if let Record::Capture(it) = record { Some(it) } else { None })
    }

    /// How many processors of which kind.
    #[must_use]
    pub fn processor(&self) -> Option<&Processor> {
        self.find(|record| if let Record::Processor(it) = record { Some(it) } else { None })
    }

    /// The id that stands for the device while it is not online.
    #[must_use]
    pub fn offline_id(&self) -> Option<&OfflineId> {
        self.find(|record| if let Record::OfflineId(it) = record { Some(it) } else { None })
    }

    /// The SMBIOS UUID, unless firmware left it at all zeros or all ones.
    #[must_use]
    pub fn uuid(&self) -> Option<Uuid> {
        self.find(|record| if let Record::Uuid(it) = record { Some(*it) } else { None })
            .filter(|uuid| !uuid.is_nil() && !uuid.is_max())
    }

    /// The TPM's endorsement key.
    #[must_use]
    pub fn endorsement_key(&self) -> Option<&[u8]> {
        self.find(|record| if let Record::EndorsementKey(it) = record { Some(&it[..]) } else { None })
            .filter(|modulus| !modulus.is_empty())
    }

    /// All network adapters, in the order of the container.
    pub fn adapters(&self) -> impl Iterator<Item = &Adapter> {
        self.records.iter().filter_map(|record| if let Record::Adapter(it) = record { Some(it) } else { None })
    }

    /// The names of all disks, in the order of the container.
    pub fn disk_names(&self) -> impl Iterator<Item = &DiskName> {
        self.records.iter().filter_map(|record| if let Record::DiskName(it) = record { Some(it) } else { None })
    }

    fn find<'a, T>(&'a self, pick: impl Fn(&'a Record) -> Option<T>) -> Option<T> {
        self.records.iter().find_map(pick)
    }
}

/// Sizes only: content identifies a machine.
impl std::fmt::Debug for Decoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoded({} records, {} bytes)", self.records.len(), self.size_bytes())
    }
}

/// Reads the header: where the records end.
fn content_end(bytes: &[u8]) -> Result<usize, DecodeError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(DecodeError::NotAHash);
    }
    let Some(length) = u16_at(bytes, 2) else {
        return Err(DecodeError::CutShort { need: HEADER + TRAILER, have: bytes.len() });
    };
    if length < HEADER {
        return Err(DecodeError::HeaderLength { length });
    }
    if length + TRAILER > bytes.len() {
        return Err(DecodeError::CutShort { need: length + TRAILER, have: bytes.len() });
    }
    Ok(length)
}

fn records(bytes: &[u8], end: usize) -> Result<Vec<Record>, DecodeError> {
    let mut records = Vec::with_capacity(32);
    let mut offset = HEADER;
    while offset < end {
        // Fewer than four bytes before the end cannot be a record either.
        let length = u16_at(&bytes[..end], offset + 2).unwrap_or(0);
        if length < HEADER || offset + length > end {
            return Err(DecodeError::RecordLength { offset, length, end });
        }
        let kind = u16::from_le_bytes([bytes[offset], bytes[offset + 1]]);
        records.push(Record::read(kind, &bytes[offset + HEADER..offset + length]));
        offset += length;
    }
    Ok(records)
}

/// Checks the trailer and returns the padding behind it.
fn trailer(bytes: &[u8], end: usize) -> Result<&[u8], DecodeError> {
    let (content, rest) = bytes.split_at(end);
    if !rest.starts_with(&TRAILER_MAGIC) || u16_at(rest, 2) != Some(TRAILER) {
        return Err(DecodeError::NoTrailer { offset: end });
    }
    let (trailer, padding) = rest.split_at(TRAILER);
    if sha256(content) != trailer[HEADER..] {
        return Err(DecodeError::Checksum { offset: end });
    }
    Ok(padding)
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<usize> {
    let pair = bytes.get(offset..offset + 2)?;
    Some(usize::from(u16::from_le_bytes([pair[0], pair[1]])))
}
