//! The records of a hash as named facts: one list for text and JSON. What
//! identifies the machine goes through `hidden`, and nothing else needs to.

use serde_json::{Value, json};

use super::{Group, Identifiers, hidden};
use crate::hash::Record;
use crate::hash::record::{Adapter, Capture, Disk, Display, Enclosure, NO_SMBIOS_STRING, OfflineId, TextField};
use crate::model::hex;

/// What facts are grouped under, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Capture,
    System,
    Board,
    Tpm,
    ProductKey,
    Processor,
    CoreClasses,
    Memory,
    Enclosure,
    Disks,
    DiskNames,
    Adapters,
    Displays,
    Graphics,
    Locale,
    Opaque,
}

impl Section {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::System => "system",
            Self::Board => "board",
            Self::Tpm => "TPM",
            Self::ProductKey => "product key",
            Self::Processor => "processor",
            Self::CoreClasses => "core classes",
            Self::Memory => "memory",
            Self::Enclosure => "enclosure",
            Self::Disks => "disks",
            Self::DiskNames => "disk names",
            Self::Adapters => "adapters",
            Self::Displays => "displays",
            Self::Graphics => "graphics",
            Self::Locale => "locale",
            Self::Opaque => "not understood",
        }
    }

    /// True if every record is one entry; false if all make one.
    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::Disks | Self::DiskNames | Self::Adapters | Self::Displays | Self::Graphics | Self::Opaque)
    }
}

pub(super) fn facts(record: &Record, identifiers: &Identifiers) -> (Section, Group) {
    let identifier = |text: &str| json!(hidden(text, identifiers));
    match record {
        Record::Capture(it) => (Section::Capture, capture(it)),
        Record::Processor(it) => (
            Section::Processor,
            vec![
                ("architecture", architecture(it.architecture)),
                ("packages", json!(it.packages)),
                ("cores", json!(it.cores)),
                ("threads", json!(it.threads)),
                ("hyper-threading", json!(it.hyper_threading)),
            ],
        ),
        Record::Memory(it) => (
            Section::Memory,
            vec![
                ("installed GiB", json!(it.installed_gib)),
                ("maximum GiB", json!(it.maximum_gib)),
                ("slots", json!(it.slots)),
                ("arrays", json!(it.arrays)),
                ("error correction", error_correction(it.error_correction)),
            ],
        ),
        Record::Disk(it) => (Section::Disks, disk(it)),
        Record::DiskName(it) => (
            Section::DiskNames,
            vec![
                ("serial", present(&it.serial, |text| identifier(text))),
                ("product", present(&it.product, |text| json!(text))),
                ("vendor", present(&it.vendor, |text| json!(text))),
            ],
        ),
        Record::Adapter(it) => (Section::Adapters, adapter(it, identifiers)),
        Record::Display(it) => (Section::Displays, display(it)),
        Record::Enclosure(it) => (Section::Enclosure, enclosure(it)),
        Record::OfflineId(it) => {
            (Section::Tpm, vec![("offline id source", offline_source(it)), ("offline id", identifier(&hex(&it.id)))])
        }
        Record::Uuid(it) => (Section::System, vec![("UUID", identifier(&it.to_string()))]),
        Record::EndorsementKey(it) => (
            Section::Tpm,
            vec![("endorsement key bits", json!(8 * it.len())), ("endorsement key", identifier(&hex(it)))],
        ),
        Record::DisplaySize(it) => {
            let known = it.width_cm != u16::MAX && it.width_cm != 0;
            let size = if known { json!(format!("{} x {} cm", it.width_cm, it.height_cm)) } else { json!("not known") };
            (Section::Enclosure, vec![("display size", size)])
        }
        Record::GraphicsMemory(it) => (
            Section::Graphics,
            vec![("video MiB", json!(it.video_bytes >> 20)), ("system MiB", json!(it.system_bytes >> 20))],
        ),
        Record::GraphicsName(it) => (Section::Graphics, vec![("adapter", json!(it.replace('|', " ")))]),
        Record::CoreClasses(classes) => {
            let class = |(name, index): (&'static str, usize)| {
                let class = classes.get(index)?;
                Some((name, json!(format!("{} cores, {} threads", class.cores, class.threads))))
            };
            let named = ["class 0", "class 1", "class 2", "class 3"].into_iter().zip(0..);
            (Section::CoreClasses, named.filter_map(class).collect())
        }
        Record::Locale(it) => (
            Section::Locale,
            vec![
                ("system", json!(it.system)),
                ("user", json!(it.user)),
                ("time zone", json!(it.time_zone)),
                ("languages", json!(it.languages)),
                ("keyboard", json!(it.keyboard)),
            ],
        ),
        // Digests of hardware ids identify as well as the ids do.
        Record::Components(it) => {
            let digests: Vec<u8> = it.digests.iter().flat_map(|digest| digest.to_be_bytes()).collect();
            let value = identifier(&hex(&digests));
            (Section::Opaque, vec![("type", json!(37)), ("counts", json!(it.counts)), ("value", value)])
        }
        Record::Text(field, it) => text(*field, &it.as_str(), identifiers),
        Record::Raw(kind, value) => (
            Section::Opaque,
            vec![("type", json!(kind)), ("bytes", json!(value.len())), ("value", identifier(&hex(value)))],
        ),
    }
}

fn text(field: TextField, text: &str, identifiers: &Identifiers) -> (Section, Group) {
    let (section, name) = match field {
        TextField::ProcessorManufacturer => (Section::Processor, "manufacturer"),
        TextField::ProcessorModel => (Section::Processor, "model"),
        TextField::TpmVersion => (Section::Tpm, "version"),
        TextField::SerialNumber => (Section::System, "serial number"),
        TextField::FirmwareVendor => (Section::System, "firmware vendor"),
        TextField::Manufacturer => (Section::System, "manufacturer"),
        TextField::Product => (Section::System, "product"),
        TextField::Sku => (Section::System, "SKU"),
        TextField::Family => (Section::System, "family"),
        TextField::SystemVersion => (Section::System, "version"),
        TextField::BoardManufacturer => (Section::Board, "manufacturer"),
        TextField::BoardProduct => (Section::Board, "product"),
        TextField::BoardVersion => (Section::Board, "version"),
        TextField::ProductKeyId => (Section::ProductKey, "id"),
        TextField::ProductKeyPart => (Section::ProductKey, "part number"),
        TextField::KernelDiskSerial => (Section::System, "system disk"),
    };
    let is_own = matches!(field, TextField::SerialNumber | TextField::ProductKeyId | TextField::KernelDiskSerial);
    let shown = |text: &str| if is_own { json!(hidden(text, identifiers)) } else { json!(text) };
    (section, vec![(name, present(text, shown))])
}

/// Null where there is no text, or firmware had none.
fn present(text: &str, show: impl Fn(&str) -> Value) -> Value {
    match text.trim() {
        "" | NO_SMBIOS_STRING => Value::Null,
        text => show(text),
    }
}

fn capture(it: &Capture) -> Group {
    let offset = it.offset_minutes().map_or(json!("not known"), |minutes| {
        let sign = if minutes < 0 { '-' } else { '+' };
        json!(format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60))
    });
    let system = match it.os_type {
        Capture::FULL_WINDOWS => json!("Windows"),
        Capture::WINDOWS_PE => json!("Windows PE"),
        other => json!(other),
    };
    vec![
        ("time", json!(it.time().to_string())),
        ("local offset", offset),
        ("system", system),
        ("system build", json!(it.os_build.to_string())),
        ("architecture", architecture(it.architecture.into())),
        ("tool build", json!(it.tool_build.to_string())),
        ("tool generation", json!(it.tool_version)),
    ]
}

fn disk(it: &Disk) -> Group {
    let bus = match it.bus {
        1 => json!("SCSI"),
        2 => json!("ATAPI"),
        3 => json!("ATA"),
        7 => json!("USB"),
        8 => json!("RAID"),
        10 => json!("SAS"),
        11 => json!("SATA"),
        12 => json!("SD"),
        13 => json!("MMC"),
        17 => json!("NVMe"),
        19 => json!("UFS"),
        other => json!(other),
    };
    let seek_penalty = match it.seek_penalty {
        0 => json!("SSD"),
        1 => json!("rotating"),
        _ => json!("not known"),
    };
    vec![("capacity GB", json!(it.capacity_gb)), ("bus", bus), ("kind", seek_penalty)]
}

fn adapter(it: &Adapter, identifiers: &Identifiers) -> Group {
    let medium = match it.medium {
        1 | 9 => json!("wireless LAN"),
        8 => json!("mobile"),
        10 => json!("Bluetooth"),
        14 => json!("Ethernet"),
        other => json!(other),
    };
    let mac = it.mac.map(|byte| format!("{byte:02x}")).join(":");
    vec![("medium", medium), ("bus", json!(it.bus)), ("MAC", json!(hidden(&mac, identifiers)))]
}

fn display(it: &Display) -> Group {
    let size = |width: u16, height: u16, unit: &str| match width {
        u16::MAX => json!("not known"),
        _ => json!(format!("{width} x {height} {unit}")),
    };
    vec![
        ("size", size(it.width_mm, it.height_mm, "mm")),
        ("pixels", size(it.width_px, it.height_px, "px")),
        ("built in", json!(it.technology == 0x8000_0000)),
    ]
}

fn enclosure(it: &Enclosure) -> Group {
    let chassis = match it.chassis {
        1 => json!("other"),
        3 => json!("desktop"),
        9 => json!("laptop"),
        10 => json!("notebook"),
        30 => json!("tablet"),
        31 => json!("convertible"),
        32 => json!("detachable"),
        other => json!(other),
    };
    let role = match it.power_role {
        0 => json!("unspecified"),
        1 => json!("desktop"),
        2 => json!("mobile"),
        3 => json!("workstation"),
        4 => json!("enterprise server"),
        5 => json!("small server"),
        6 => json!("appliance"),
        7 => json!("performance server"),
        8 => json!("slate"),
        other => json!(other),
    };
    vec![
        ("chassis", chassis),
        ("power role", role),
        ("optical drive", json!(it.optical_drive != 0)),
        ("touch", json!(it.digitizer & 0b11 != 0)),
        ("pen", json!(it.digitizer & 0b1100 != 0)),
    ]
}

fn architecture(number: u16) -> Value {
    match number {
        0 => json!("x86"),
        5 => json!("ARM"),
        9 => json!("x64"),
        12 => json!("ARM64"),
        other => json!(other),
    }
}

fn error_correction(number: u8) -> Value {
    match number {
        3 => json!("none"),
        4 => json!("parity"),
        5 => json!("single-bit"),
        6 => json!("multi-bit"),
        7 => json!("CRC"),
        other => json!(other),
    }
}

fn offline_source(it: &OfflineId) -> Value {
    match it.source {
        OfflineId::FROM_TPM => json!("TPM"),
        2 => json!("UEFI variable"),
        3 => json!("registry"),
        other => json!(other),
    }
}
