//! Which device a hash belongs to: identity keys, the comparison of two
//! captures, and fingerprints that tell nothing without their secret.
//!
//! Two captures of one device never have the same bytes (time, tool, monitors
//! differ), so hashes are compared by these keys only. The
//! service matches the same way: a new disk still fits, a new board does not.

use std::collections::HashMap;

use ring::hmac;
use uuid::Uuid;

use super::container::Decoded;
use super::record::{OfflineId, TextField};
use crate::model::{HashDigest, SerialKey, hex, sha256};

/// What kind of key; ordered from the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// The TPM's endorsement key.
    Ek,
    /// The SMBIOS UUID.
    Uuid,
    /// Manufacturer, product and serial number.
    Smbios,
    /// The OA3 product key id; supports, proves nothing alone.
    Pkid,
}

impl KeyKind {
    /// The name in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ek => "ek",
            Self::Uuid => "uuid",
            Self::Smbios => "smbios",
            Self::Pkid => "pkid",
        }
    }

    fn is_strong(self) -> bool {
        self != Self::Pkid
    }
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that identifies a device. Personal data: `Debug` shows the kind
/// only; store a [`Fingerprint`] instead.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum IdentityKey {
    /// SHA-256 of the endorsement key.
    Ek([u8; 32]),
    /// The SMBIOS UUID.
    Uuid(Uuid),
    /// Manufacturer and product trimmed and in lower case, serial as compared.
    Smbios {
        /// Such as `lenovo`.
        manufacturer: String,
        /// Such as `21cb000gmx`.
        product: String,
        /// Of the system, not of its board.
        serial: SerialKey,
    },
    /// The OA3 product key id.
    Pkid(String),
}

impl IdentityKey {
    /// What kind of key this is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match self {
            Self::Ek(_) => KeyKind::Ek,
            Self::Uuid(_) => KeyKind::Uuid,
            Self::Smbios { .. } => KeyKind::Smbios,
            Self::Pkid(_) => KeyKind::Pkid,
        }
    }

    /// HMAC-SHA256 over the key. Equal keys have equal fingerprints under one
    /// `secret`; without it a serial cannot be found by trying all.
    #[must_use]
    pub fn fingerprint(&self, secret: &[u8]) -> Fingerprint {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&key, self.canonical().as_bytes());
        Fingerprint(HashDigest(tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")))
    }

    /// The text under the fingerprint. The version in it is there so that the
    /// form can change one day without two forms being mistaken for each other.
    fn canonical(&self) -> String {
        let value = match self {
            Self::Ek(digest) => hex(digest),
            Self::Uuid(uuid) => uuid.to_string(),
            Self::Smbios { manufacturer, product, serial } => format!("{manufacturer}\0{product}\0{}", serial.as_str()),
            Self::Pkid(id) => id.clone(),
        };
        format!("apgit identity v1\0{}\0{value}", self.kind())
    }
}

impl std::fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityKey({})", self.kind())
    }
}

/// A keyed digest of an identity key, fit to be stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(HashDigest);

impl Fingerprint {
    /// What people see: `hw:` and 8 hex digits.
    #[must_use]
    pub fn short(&self) -> String {
        format!("hw:{}", hex(&self.0.0[..4]))
    }

    /// All 64 hex digits, for documents that machines read.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.hex()
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.short())
    }
}

/// The keys that a hash holds, strongest first: ek, uuid, smbios, pkid.
#[must_use]
pub fn identity_keys(decoded: &Decoded) -> Vec<IdentityKey> {
    [ek(decoded), decoded.uuid().map(IdentityKey::Uuid), smbios(decoded), pkid(decoded)].into_iter().flatten().collect()
}

/// The fingerprint of every key, strongest first: what a ledger stores.
#[must_use]
pub fn fingerprints(decoded: &Decoded, secret: &[u8]) -> Vec<(KeyKind, Fingerprint)> {
    identity_keys(decoded).iter().map(|key| (key.kind(), key.fingerprint(secret))).collect()
}

fn ek(decoded: &Decoded) -> Option<IdentityKey> {
    let offline = decoded.offline_id().filter(|offline| offline.source == OfflineId::FROM_TPM);
    // The offline id of a TPM is the SHA-256 of its endorsement key, so either
    // gives the same key.
    offline.map(|offline| offline.id).or_else(|| decoded.endorsement_key().map(sha256)).map(IdentityKey::Ek)
}

fn smbios(decoded: &Decoded) -> Option<IdentityKey> {
    let serial = decoded.serial().filter(|serial| !serial.is_placeholder())?;
    let lower = |field| decoded.text(field).map(|text| text.trim().to_lowercase());
    Some(IdentityKey::Smbios {
        manufacturer: lower(TextField::Manufacturer)?,
        product: lower(TextField::Product)?,
        serial: serial.key(),
    })
}

fn pkid(decoded: &Decoded) -> Option<IdentityKey> {
    decoded.text(TextField::ProductKeyId).map(|id| IdentityKey::Pkid(id.trim().into()))
}

/// What two sets of keys say about each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A strong key agrees, none disagrees.
    SameDevice,
    /// Keys disagree, none agrees.
    DifferentDevice,
    /// Some keys agree, others do not: a replaced board, a cloned VM, or two
    /// devices mixed up.
    Conflict,
    /// No strong key is in both.
    Undecided,
}

/// A verdict and the keys behind it, strongest first. A key that only one side
/// has is in neither list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// What the keys come to.
    pub verdict: Verdict,
    /// Kinds that are equal on both sides.
    pub agree: Vec<KeyKind>,
    /// Kinds that both sides have, and differ.
    pub disagree: Vec<KeyKind>,
}

/// Compares keys, or fingerprints of keys under one secret.
#[must_use]
pub fn agreement<T: PartialEq>(first: &[(KeyKind, T)], second: &[(KeyKind, T)]) -> Agreement {
    let pairs = first.iter().filter_map(|(kind, one)| {
        let (_, other) = second.iter().find(|(other, _)| other == kind)?;
        Some((*kind, one == other))
    });
    let (agree, disagree): (Vec<_>, Vec<_>) = pairs.partition(|(_, equal)| *equal);
    let kinds = |pairs: Vec<(KeyKind, bool)>| pairs.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
    let (agree, disagree) = (kinds(agree), kinds(disagree));
    let strong = |kinds: &[KeyKind]| kinds.iter().any(|kind| kind.is_strong());
    let verdict = match (agree.is_empty(), disagree.is_empty()) {
        (false, false) => Verdict::Conflict,
        (false, true) if strong(&agree) => Verdict::SameDevice,
        (true, false) if strong(&disagree) => Verdict::DifferentDevice,
        _ => Verdict::Undecided,
    };
    Agreement { verdict, agree, disagree }
}

/// The machines that share a key with an earlier one: the first that has the
/// key, and the later one. Machines are counted in the order in which they
/// come; a pair stands once for each key that they share.
#[must_use]
pub(crate) fn sharing<'k, Keys>(machines: impl IntoIterator<Item = Keys>) -> Vec<(usize, usize)>
where
    Keys: IntoIterator<Item = &'k IdentityKey>,
{
    let mut first: HashMap<&IdentityKey, usize> = HashMap::new();
    let mut pairs = Vec::new();
    for (at, keys) in machines.into_iter().enumerate() {
        for key in keys {
            let owner = *first.entry(key).or_insert(at);
            if owner != at {
                pairs.push((owner, at));
            }
        }
    }
    pairs
}

/// Which of two captures was taken later, by the devices' own clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Later {
    /// The first.
    First,
    /// The second.
    Second,
    /// Neither, to the second.
    SameTime,
}

/// Two captures beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// What their keys say.
    pub agreement: Agreement,
    /// `None` if one of them does not say when it was taken.
    pub later: Option<Later>,
}

impl Comparison {
    /// What their keys come to.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.agreement.verdict
    }
}

/// Says whether two hashes are captures of one device.
#[must_use]
pub fn compare(first: &Decoded, second: &Decoded) -> Comparison {
    let keys = |decoded| identity_keys(decoded).into_iter().map(|key| (key.kind(), key)).collect::<Vec<_>>();
    let agreement = agreement(&keys(first), &keys(second));
    let later = first.capture().zip(second.capture()).map(|(one, other)| match one.seconds.cmp(&other.seconds) {
        std::cmp::Ordering::Greater => Later::First,
        std::cmp::Ordering::Less => Later::Second,
        std::cmp::Ordering::Equal => Later::SameTime,
    });
    Comparison { agreement, later }
}
