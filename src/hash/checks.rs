//! What can be said about a decoded hash before it is sent: errors (the
//! service would refuse it, or would register the wrong thing) and warnings.
//!
//! Messages name records and counts, never what identifies the machine.
//! Whether the hash fits a declaration is not decided here. They come
//! from Microsoft's list of critical fields and from what held in all real
//! hashes seen.

use jiff::{SignedDuration, Timestamp};

use super::container::{Decoded, USUAL_BYTES};
use super::record::{Capture, Display, OfflineId, Record, TextField};
use crate::model::sha256;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The hash must not be sent.
    Error,
    /// Somebody should look at it.
    Warning,
}

/// One thing that a check found. `code` is stable, for machines.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Such as `no-serial`.
    pub code: &'static str,
    /// A sentence for people; names nothing that identifies the machine.
    pub message: String,
}

impl Finding {
    /// A finding that keeps the hash from being sent.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into() }
    }

    /// A finding to look at.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, code, message: message.into() }
    }
}

/// Runs every check, errors first. `now` is for captures from the future;
/// without it they pass.
#[must_use]
pub fn checks(decoded: &Decoded, now: Option<Timestamp>) -> Vec<Finding> {
    let mut found = Vec::new();
    serial_and_maker(decoded, &mut found);
    container(decoded, &mut found);
    records(decoded, &mut found);
    capture(decoded, now, &mut found);
    identifiers(decoded, &mut found);
    tpm(decoded, &mut found);
    agreement(decoded, &mut found);
    found.sort_by_key(|finding| finding.severity);
    found
}

/// The service answers `InvalidZtdHardwareHash` without these two. A
/// placeholder it would take, but a claim is keyed by its serial, and many
/// devices share that one.
fn serial_and_maker(decoded: &Decoded, found: &mut Vec<Finding>) {
    match decoded.serial() {
        None => found.push(Finding::error("no-serial", "the hash holds no serial number, the service refuses it")),
        Some(serial) if serial.is_placeholder() => found.push(Finding::error(
            "placeholder-serial",
            "the serial number in the hash is a placeholder that many devices share; have the firmware's serial set",
        )),
        Some(_) => {}
    }
    if decoded.text(TextField::Manufacturer).is_none() {
        found.push(Finding::error("no-manufacturer", "the hash holds no manufacturer, the service refuses it"));
    }
}

/// The code of a hash that is shorter or longer than those of Windows.
pub(crate) const UNUSUAL_LENGTH: &str = "unusual-length";

fn container(decoded: &Decoded, found: &mut Vec<Finding>) {
    let bytes = decoded.size_bytes();
    if bytes != USUAL_BYTES {
        let message = format!("the hash has {bytes} bytes, usual are {USUAL_BYTES} (4000 characters)");
        found.push(Finding::warning(UNUSUAL_LENGTH, message));
    }
    if decoded.padding.iter().any(|byte| *byte != 0) {
        found.push(Finding::warning("padding-not-zero", "there is something other than zeros behind the checksum"));
    }
}

/// Types that may stand in a container more than once.
const REPEATABLE: [u16; 6] = [6, 7, 8, 9, 29, 30];
/// Types that say which device it is: two of them make two devices of one.
const IDENTIFYING: [u16; 7] = [11, 12, 14, 16, 17, 24, 25];

fn records(decoded: &Decoded, found: &mut Vec<Finding>) {
    let mut seen = std::collections::BTreeSet::new();
    for (record, offset) in decoded.records.iter().zip(decoded.offsets()) {
        let kind = record.kind();
        let known = Record::is_known_kind(kind);
        if !known {
            let message = format!("the record at byte {offset} has the unknown type {kind}; it is kept as it is");
            found.push(Finding::warning("unknown-record", message));
        } else if matches!(record, Record::Raw(..)) && kind != 35 {
            let message = format!("the record at byte {offset} (type {kind}) has another layout than is known");
            found.push(Finding::warning("unknown-layout", message));
        }
        if !seen.insert(kind) && known && !REPEATABLE.contains(&kind) {
            let message = format!("the record at byte {offset} (type {kind}) stands there a second time");
            found.push(match IDENTIFYING.contains(&kind) {
                true => Finding::error("repeated-record", message),
                false => Finding::warning("repeated-record", message),
            });
        }
    }
}

/// Tool generations that were checked on real hashes.
const KNOWN_TOOL_VERSIONS: [u8; 5] = [3, 5, 7, 8, 9];
/// Windows 10, the first with Autopilot, came in July of this year.
const FIRST_YEAR: Timestamp = Timestamp::constant(1_420_070_400, 0);

fn capture(decoded: &Decoded, now: Option<Timestamp>, found: &mut Vec<Finding>) {
    let Some(capture) = decoded.capture() else {
        found.push(Finding::warning("no-capture", "the hash does not say when and with what it was taken"));
        return;
    };
    let version = capture.tool_version;
    if !KNOWN_TOOL_VERSIONS.contains(&version) {
        let message = format!("the hash was taken by a tool of generation {version}, which is not known here");
        found.push(Finding::warning("unknown-tool", message));
    }
    if capture.os_type == Capture::WINDOWS_PE {
        let message = "the hash was taken in Windows PE: radio adapters, display and disk may be missing";
        found.push(Finding::warning("windows-pe", message));
    }
    // A device's clock may be off by years, so its time never decides.
    if capture.time() < FIRST_YEAR {
        found.push(Finding::warning("old-capture", "the device's clock stood before 2015 when the hash was taken"));
    }
    if now.is_some_and(|now| capture.time() > now.saturating_add(SignedDuration::from_hours(24)).unwrap_or(now)) {
        found.push(Finding::warning("future-capture", "the device's clock was in the future when the hash was taken"));
    }
}

fn identifiers(decoded: &Decoded, found: &mut Vec<Finding>) {
    let mut missing = |is_missing: bool, code, what: &str| {
        if is_missing {
            found.push(Finding::warning(code, format!("the hash holds {what}")));
        }
    };
    missing(decoded.uuid().is_none(), "no-uuid", "no SMBIOS UUID that names a device");
    missing(decoded.text(TextField::Product).is_none(), "no-product", "no product name");
    missing(decoded.text(TextField::Family).is_none(), "no-family", "no product family");
    missing(decoded.adapters().next().is_none(), "no-mac", "no network adapter");
    let disk_serial = decoded.disk_names().any(|name| !name.serial.trim().is_empty());
    missing(!disk_serial, "no-disk-serial", "no disk serial number");
    let pkid = decoded.text(TextField::ProductKeyId);
    missing(pkid.is_none(), "no-product-key-id", "no product key id (usual for a virtual machine)");
}

fn tpm(decoded: &Decoded, found: &mut Vec<Finding>) {
    let version = decoded.text(TextField::TpmVersion).is_some();
    match (version, decoded.endorsement_key()) {
        (false, None) => found.push(Finding::warning(
            "no-tpm",
            "the hash names no TPM; self-deploying and pre-provisioning need TPM 2.0",
        )),
        (true, None) => found.push(Finding::warning("tpm-half", "the hash names a TPM, but has no endorsement key")),
        (false, Some(_)) => {
            found.push(Finding::warning("tpm-half", "the hash has an endorsement key, but names no TPM"));
        }
        (true, Some(_)) => {}
    }
    let offline = decoded.offline_id().filter(|offline| offline.source == OfflineId::FROM_TPM);
    if let (Some(offline), Some(key)) = (offline, decoded.endorsement_key())
        && offline.id != sha256(key)
    {
        let message = "the offline device id is not the SHA-256 of the endorsement key: records of two devices?";
        found.push(Finding::warning("ek-link", message));
    }
}

/// Places where one hash says the same thing twice.
fn agreement(decoded: &Decoded, found: &mut Vec<Finding>) {
    if let (Some(capture), Some(processor)) = (decoded.capture(), decoded.processor())
        && u16::from(capture.architecture) != processor.architecture
    {
        found.push(Finding::warning("architecture", "Windows and processor have different architectures"));
    }
    for record in &decoded.records {
        match record {
            Record::CoreClasses(classes) => {
                let sum = classes.iter().fold((0u32, 0u32), |(cores, threads), class| {
                    (cores + u32::from(class.cores), threads + u32::from(class.threads))
                });
                if decoded.processor().is_some_and(|it| (u32::from(it.cores), u32::from(it.threads)) != sum) {
                    found.push(Finding::warning("core-classes", "the classes of cores do not add up to all cores"));
                }
            }
            Record::DisplaySize(size) if ![0, u16::MAX].contains(&size.width_cm) && !has_display(decoded, size) => {
                found.push(Finding::warning("display-size", "the size of the display is that of none of the monitors"));
            }
            _ => {}
        }
    }
    if let Some(kernel) = decoded.text(TextField::KernelDiskSerial)
        && decoded.disk_names().next().is_some()
        && !decoded.disk_names().any(|name| trimmed(&kernel).eq(trimmed(&name.joined())))
    {
        found.push(Finding::warning("disk-serial", "the system disk is named twice, with different texts"));
    }
}

fn trimmed(text: &str) -> impl Iterator<Item = &str> {
    text.split('|').map(str::trim)
}

/// Centimetres are rounded millimetres, and nobody knows which way.
fn has_display(decoded: &Decoded, size: &super::record::DisplaySize) -> bool {
    let near = |cm: u16, mm: u16| (i32::from(cm) * 10 - i32::from(mm)).abs() <= 10;
    let displays: Vec<&Display> =
        decoded.records.iter().filter_map(|it| if let Record::Display(it) = it { Some(it) } else { None }).collect();
    displays.is_empty()
        || displays.iter().any(|it| near(size.width_cm, it.width_mm) && near(size.height_cm, it.height_mm))
}
