//! A small reader of hardware hashes: the identity in them, nothing else.
//!
//! Written from the public description of the format and on purpose not
//! shared with the rest of the crate: a mistake in one reader must show as a
//! disagreement. Only digests of what identifies a device leave this file.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The first 128 bits of a SHA-256 over one identifying value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Digest(u128);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Digest {
    fn of(kind: &str, value: &[u8]) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(kind.as_bytes());
        context.update(value);
        let digest = context.finish();
        let mut first = [0; 16];
        first.copy_from_slice(&digest.as_ref()[..16]);
        Self(u128::from_be_bytes(first))
    }
}

/// What tells one device from another, strongest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sim) struct Hardware {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tpm: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    board: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    smbios: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    product_key: Option<Digest>,
}

impl Hardware {
    /// Whether both are one device: decided by the strongest kind of key that
    /// both have. So a second capture matches, and a swapped board does not,
    /// even where the vendor gave it the old serial.
    pub(in crate::sim) fn is(&self, other: &Self) -> bool {
        [
            (self.tpm, other.tpm),
            (self.board, other.board),
            (self.smbios, other.smbios),
            (self.product_key, other.product_key),
        ]
        .into_iter()
        .find_map(|(a, b)| Some(a? == b?))
        .unwrap_or(false)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Digest> {
        [self.tpm, self.board, self.smbios, self.product_key].into_iter().flatten()
    }

    /// The strongest key, as 32 hex digits: a name for counters.
    pub(in crate::sim) fn name(&self) -> String {
        self.keys().next().map(|key| format!("{key:?}")).unwrap_or_default()
    }

    /// A device that a vendor registers by manufacturer, model and serial.
    pub(in crate::sim) fn of_tuple(manufacturer: &str, model: &str, serial: &str) -> Self {
        Self { smbios: Some(smbios(manufacturer, model, serial)), ..Self::default() }
    }
}

fn smbios(manufacturer: &str, model: &str, serial: &str) -> Digest {
    let tuple = [manufacturer, model, serial].map(|text| text.trim().to_lowercase()).join("\u{1f}");
    Digest::of("smbios", tuple.as_bytes())
}

/// What a registration takes from a hash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sim) struct Device {
    pub(in crate::sim) hardware: Hardware,
    pub(in crate::sim) manufacturer: String,
    pub(in crate::sim) model: String,
    pub(in crate::sim) serial: String,
    pub(in crate::sim) sku: String,
    pub(in crate::sim) family: String,
}

/// How strictly a hash is read.
#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct Strictness {
    pub(in crate::sim) digest: bool,
    pub(in crate::sim) any: bool,
}

const OFFLINE_ID: u16 = 11;
const UUID: u16 = 12;
const SERIAL: u16 = 14;
const MANUFACTURER: u16 = 16;
const MODEL: u16 = 17;
const SKU: u16 = 18;
const FAMILY: u16 = 19;
const PRODUCT_KEY_ID: u16 = 24;

/// Reads the bytes of a hash; `None` when the service would answer 802.
pub(in crate::sim) fn read(bytes: &[u8], strictness: Strictness) -> Option<Device> {
    match read_strictly(bytes, strictness.digest) {
        Some(device) => Some(device),
        None if strictness.any && !bytes.is_empty() => {
            let hardware = Hardware { board: Some(Digest::of("any", bytes)), ..Hardware::default() };
            Some(Device { hardware, ..Device::default() })
        }
        None => None,
    }
}

fn read_strictly(bytes: &[u8], check_digest: bool) -> Option<Device> {
    let u16_at = |at: usize| Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let length = usize::from(u16_at(2)?);
    if !bytes.starts_with(b"OA") || length < 4 || bytes.get(length..length + 4)? != b"CS\x24\x00" {
        return None;
    }
    let trailer = bytes.get(length + 4..length + 36)?;
    if check_digest && ring::digest::digest(&ring::digest::SHA256, &bytes[..length]).as_ref() != trailer {
        return None;
    }

    let mut device = Device::default();
    let mut at = 4;
    while at < length {
        let (kind, size) = (u16_at(at)?, usize::from(u16_at(at + 2)?));
        if size < 4 || at + size > length {
            return None;
        }
        let value = &bytes[at + 4..at + size];
        match kind {
            // The id stands for a TPM's endorsement key when its source is 1;
            // other sources (UEFI, registry) do not survive a reinstallation.
            OFFLINE_ID if value.len() == 42 && value[4] == 1 => {
                device.hardware.tpm = Some(Digest::of("tpm", &value[10..]));
            }
            UUID => device.hardware.board = board(value),
            SERIAL => device.serial = text(value),
            MANUFACTURER => device.manufacturer = text(value),
            MODEL => device.model = text(value),
            SKU => device.sku = text(value),
            FAMILY => device.family = text(value),
            PRODUCT_KEY_ID => {
                let id = text(value);
                device.hardware.product_key = (!id.is_empty()).then(|| Digest::of("pkid", id.as_bytes()));
            }
            _ => {}
        }
        at += size;
    }
    if device.manufacturer.is_empty() || device.serial.is_empty() {
        return None;
    }
    if !is_placeholder(&device.serial) {
        device.hardware.smbios = Some(smbios(&device.manufacturer, &device.model, &device.serial));
    }
    Some(device)
}

fn board(value: &[u8]) -> Option<Digest> {
    let id = Uuid::from_bytes_le(value.try_into().ok()?);
    (!id.is_nil() && !id.is_max()).then(|| Digest::of("board", id.as_bytes()))
}

/// Text up to its first NUL, trimmed; the tool's own word for "absent" is
/// absent.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    let text = String::from_utf8_lossy(&value[..end]).trim().to_owned();
    if text == "SMBIOS_STRING_INDEX_0" { String::new() } else { text }
}

fn is_placeholder(serial: &str) -> bool {
    const KNOWN: [&str; 6] =
        ["to be filled by o.e.m.", "default string", "system serial number", "none", "0", "invalid"];
    KNOWN.contains(&serial.to_lowercase().as_str())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn tlv(kind: u16, value: &[u8]) -> Vec<u8> {
        let size = u16::try_from(value.len() + 4).unwrap();
        [&kind.to_le_bytes()[..], &size.to_le_bytes()[..], value].concat()
    }

    fn seal(records: &[Vec<u8>]) -> Vec<u8> {
        let body = records.concat();
        let mut bytes = b"OA".to_vec();
        bytes.extend(u16::try_from(body.len() + 4).unwrap().to_le_bytes());
        bytes.extend(body);
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        bytes.extend(b"CS\x24\x00");
        bytes.extend(digest.as_ref());
        bytes.resize(3000, 0);
        bytes
    }

    fn capture(time: u8, tpm: Option<u8>, board: u8, serial: &str) -> Vec<u8> {
        let mut records = vec![tlv(1, &[time; 24])];
        if let Some(tpm) = tpm {
            let mut value = vec![0, 0, 0, 0, 1, 0, 32, 0, 0, 0];
            value.extend([tpm; 32]);
            records.push(tlv(OFFLINE_ID, &value));
        }
        records.push(tlv(UUID, &[board; 16]));
        records.push(tlv(SERIAL, format!("{serial}\0").as_bytes()));
        records.push(tlv(MANUFACTURER, b"Contoso\0"));
        records.push(tlv(MODEL, b"Model 1\0"));
        seal(&records)
    }

    const STRICT: Strictness = Strictness { digest: true, any: false };

    fn hardware(bytes: &[u8]) -> Hardware {
        read(bytes, STRICT).unwrap().hardware
    }

    #[test]
    fn two_captures_of_one_device_are_the_same_hardware() {
        let (early, late) = (capture(1, Some(5), 6, "TEST-1"), capture(2, Some(5), 6, "TEST-1"));
        assert_ne!(early, late);
        assert!(hardware(&early).is(&hardware(&late)));
    }

    #[test]
    fn a_swapped_board_is_other_hardware_even_with_the_old_serial() {
        let (old, new) = (capture(1, Some(5), 6, "TEST-1"), capture(1, Some(7), 8, "TEST-1"));
        assert!(!hardware(&old).is(&hardware(&new)));
    }

    #[test]
    fn without_a_tpm_the_board_decides_and_a_tuple_matches_by_serial() {
        let (one, other) = (capture(1, None, 6, "TEST-1"), capture(1, None, 7, "TEST-1"));
        assert!(!hardware(&one).is(&hardware(&other)));
        assert!(hardware(&one).is(&Hardware::of_tuple("CONTOSO", "model 1 ", "test-1")));
        assert!(!hardware(&one).is(&Hardware::of_tuple("Contoso", "Model 1", "TEST-2")));
    }

    #[test]
    fn what_is_not_a_whole_container_is_not_a_hash() {
        let good = capture(1, Some(5), 6, "TEST-1");
        assert_eq!(read(&good, STRICT).unwrap().serial, "TEST-1");
        for end in 0..400 {
            assert!(read(&good[..end.min(140)], STRICT).is_none(), "cut at {end}");
        }
        let mut flipped = good.clone();
        flipped[60] ^= 1;
        assert!(read(&flipped, STRICT).is_none(), "a wrong trailer");
        assert!(read(&flipped, Strictness { digest: false, any: false }).is_some());
        assert!(read(b"anything", Strictness { digest: true, any: true }).is_some());
        assert!(read(&capture(1, None, 6, ""), STRICT).is_none(), "no serial inside");
    }
}
