//! The records (type, length, value) inside a hardware hash: one noun per
//! record type, each read from its value and written back to the same bytes.
//!
//! A value that does not fit its type's layout stays [`Record::Raw`], and so
//! do types that nobody has explained, so that nothing is ever lost: writing
//! what was read gives the same bytes, always. What the values mean together
//! (checks, identity) is not decided here.
//!
//! Microsoft does not publish the layouts; these were found on seven whole
//! hashes of five tool generations, which they rebuild to the byte. All
//! integers are little-endian.

use std::borrow::Cow;

use jiff::Timestamp;
use uuid::Uuid;

/// The text that Windows writes where SMBIOS has no string.
pub(crate) const NO_SMBIOS_STRING: &str = "SMBIOS_STRING_INDEX_0";

/// One record. `Raw` holds a type and its value as it stood.
#[derive(Clone, PartialEq, Eq)]
pub enum Record {
    /// Type 1.
    Capture(Capture),
    /// Type 2.
    Processor(Processor),
    /// Type 5.
    Memory(Memory),
    /// Type 6.
    Disk(Disk),
    /// Type 7.
    DiskName(DiskName),
    /// Type 8.
    Adapter(Adapter),
    /// Type 9.
    Display(Display),
    /// Type 10.
    Enclosure(Enclosure),
    /// Type 11.
    OfflineId(OfflineId),
    /// SMBIOS UUID, as WMI shows it.
    Uuid(Uuid),
    /// The TPM's endorsement key: a bare modulus, big-endian, mostly 256 bytes.
    EndorsementKey(Vec<u8>),
    /// Type 27.
    DisplaySize(DisplaySize),
    /// Type 29.
    GraphicsMemory(GraphicsMemory),
    /// `vendor|model` of a graphics adapter.
    GraphicsName(String),
    /// Type 34: one part per efficiency class.
    CoreClasses(Vec<CoreClass>),
    /// Type 36.
    Locale(Locale),
    /// Type 37.
    Components(Components),
    /// Any of the types that hold one text.
    Text(TextField, Text),
    /// A type that nobody has explained, or a value that does not fit it.
    Raw(u16, Vec<u8>),
}

/// The records that hold one text, by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum TextField {
    /// Such as `GenuineIntel`.
    ProcessorManufacturer = 3,
    /// The processor's full name; 48 bytes, filled.
    ProcessorModel = 4,
    /// Version, level, revision and vendor of the TPM, with names before them.
    TpmVersion = 13,
    /// SMBIOS type 1; what a claim is keyed by.
    SerialNumber = 14,
    /// SMBIOS type 0.
    FirmwareVendor = 15,
    /// SMBIOS type 1.
    Manufacturer = 16,
    /// SMBIOS type 1; with Lenovo the machine type, not the name in shops.
    Product = 17,
    /// SMBIOS type 1.
    Sku = 18,
    /// SMBIOS type 1.
    Family = 19,
    /// SMBIOS type 2.
    BoardManufacturer = 20,
    /// SMBIOS type 2.
    BoardProduct = 21,
    /// SMBIOS type 2.
    BoardVersion = 22,
    /// SMBIOS type 1.
    SystemVersion = 23,
    /// The id of the OA3 product key in the firmware: 13 digits.
    ProductKeyId = 24,
    /// Its part number, such as `[TH]X19-99481`.
    ProductKeyPart = 26,
    /// What [`DiskName`] says of the system disk, as the kernel sees it.
    KernelDiskSerial = 28,
}

impl TextField {
    /// All of them, by type.
    pub const ALL: [Self; 16] = [
        Self::ProcessorManufacturer,
        Self::ProcessorModel,
        Self::TpmVersion,
        Self::SerialNumber,
        Self::FirmwareVendor,
        Self::Manufacturer,
        Self::Product,
        Self::Sku,
        Self::Family,
        Self::BoardManufacturer,
        Self::BoardProduct,
        Self::BoardVersion,
        Self::SystemVersion,
        Self::ProductKeyId,
        Self::ProductKeyPart,
        Self::KernelDiskSerial,
    ];

    /// The record type that holds this text.
    #[must_use]
    pub fn kind(self) -> u16 {
        self as u16
    }
}

/// A text and what fills its field after it: NULs and blanks, in any mix.
/// Compared and shown without the fill, written back with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    content: Vec<u8>,
    fill: Vec<u8>,
}

impl Text {
    /// `text` with the one NUL that Windows puts behind it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self::filled(text, text.len() + 1)
    }

    /// `text` in a field of `width` bytes, filled with NULs.
    #[must_use]
    pub fn filled(text: &str, width: usize) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.resize(width.max(text.len()), 0);
        // Blanks at the end of `text` are fill, as they are when it is read.
        Self::read(&value)
    }

    /// The text without its fill. Bytes that are not UTF-8 show as `U+FFFD`.
    #[must_use]
    pub fn as_str(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.content)
    }

    fn read(value: &[u8]) -> Self {
        let end = value.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |last| last + 1);
        Self { content: value[..end].into(), fill: value[end..].into() }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(&self.content);
        out.extend(&self.fill);
    }
}

/// A Windows file version, such as 10.0.22621.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// 10 for Windows 10 and 11.
    pub major: u16,
    /// 0 so far.
    pub minor: u16,
    /// Such as 22621.
    pub build: u16,
    /// The update.
    pub revision: u16,
}

impl std::fmt::Display for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}.{}", self.major, self.minor, self.build, self.revision)
    }
}

/// Type 1: when and with what the hash was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// The tool's own version.
    pub tool_build: Build,
    /// The version of the Windows it ran on.
    pub os_build: Build,
    /// Seconds since 2000-01-01T00:00:00Z, by the device's own clock.
    pub seconds: u32,
    /// Local time's distance from UTC in quarter hours; see [`Capture::offset_minutes`].
    pub quarter_hours: i8,
    /// 2 = a full Windows, 1 = Windows PE.
    pub os_type: u8,
    /// 0 x86, 5 ARM, 9 x64, 12 ARM64.
    pub architecture: u8,
    /// 3, 5, 7, 8 and 9 have been seen.
    pub tool_version: u8,
}

/// 2000-01-01T00:00:00Z in seconds since 1970.
const EPOCH_2000: i64 = 946_684_800;

impl Capture {
    /// `os_type` of an installed Windows.
    pub const FULL_WINDOWS: u8 = 2;
    /// `os_type` of Windows PE, where adapters and TPM may be missing.
    pub const WINDOWS_PE: u8 = 1;

    /// When the hash was taken, by the device's own clock.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        // A u32 of seconds ends in 2136, far inside what a timestamp holds.
        Timestamp::from_second(EPOCH_2000 + i64::from(self.seconds)).expect("a u32 of seconds is a valid time")
    }

    /// The `seconds` value for a time between 2000 and 2136.
    #[must_use]
    pub fn seconds_of(time: Timestamp) -> Option<u32> {
        u32::try_from(time.as_second() - EPOCH_2000).ok()
    }

    /// Minutes of local time ahead of UTC. `None` beyond 14 hours: tools of
    /// generation 3 always wrote 120 quarter hours, which no zone has.
    #[must_use]
    pub fn offset_minutes(&self) -> Option<i32> {
        (self.quarter_hours.unsigned_abs() <= 56).then(|| i32::from(self.quarter_hours) * 15)
    }
}

/// Type 2: how many processors of which kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processor {
    /// As in [`Capture::architecture`].
    pub architecture: u16,
    /// Sockets in use.
    pub packages: u16,
    /// Of all packages together.
    pub cores: u16,
    /// Logical processors.
    pub threads: u16,
    /// True if cores have more than one thread.
    pub hyper_threading: bool,
}

/// Type 5: memory as Windows and SMBIOS type 16 see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// What is in it.
    pub installed_gib: u64,
    /// What could be in it.
    pub maximum_gib: u64,
    /// Places for memory modules.
    pub slots: u16,
    /// Arrays of them.
    pub arrays: u16,
    /// SMBIOS type 16: 3 none, 4 parity, 5 single-bit, 6 multi-bit, 7 CRC.
    pub error_correction: u8,
}

/// Type 6, one per disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Decimal gigabytes.
    pub capacity_gb: u64,
    /// Windows `STORAGE_BUS_TYPE`: 7 USB, 11 SATA, 17 `NVMe` and so on.
    pub bus: u16,
    /// 0 no, 1 yes, 0xFF not known.
    pub seek_penalty: u8,
    /// As `seek_penalty`.
    pub trim: u8,
}

/// Type 7, one per disk: `serial|product|vendor`, any of them may be empty.
/// Blanks that fill a part are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskName {
    /// Of the disk, not of the machine.
    pub serial: String,
    /// The disk's model.
    pub product: String,
    /// Empty for most disks.
    pub vendor: String,
}

/// Type 8, one per network adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// NDIS physical medium: 1 or 9 wireless LAN, 8 mobile, 10 Bluetooth, 14 Ethernet.
    pub medium: u32,
    /// The permanent address.
    pub mac: [u8; 6],
    /// `PCI`, `USB`, `BTH`, `VMBUS`.
    pub bus: String,
}

/// Type 9, one per monitor. All bits set = not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Display {
    /// Of the picture.
    pub width_mm: u16,
    /// Of the picture.
    pub height_mm: u16,
    /// Of the native resolution.
    pub width_px: u16,
    /// Of the native resolution.
    pub height_px: u16,
    /// 0x80000000 = built in.
    pub technology: u32,
}

/// Type 10: the case and what is built into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclosure {
    /// SMBIOS chassis type: 3 desktop, 10 notebook, 1 other.
    pub chassis: u8,
    /// 1 desktop, 2 mobile, 3 workstation, 8 slate.
    pub power_role: u8,
    /// 1 if there is one.
    pub optical_drive: u8,
    /// Bits: 0 touch built in, 1 touch beside it, 2 pen built in, 3 pen beside
    /// it, 6 several inputs, 7 ready.
    pub digitizer: u8,
    /// Always zero so far, meaning unknown.
    pub reserved: u8,
}

/// Type 11: the id that Windows gives the device when it is not online.
#[derive(Clone, PartialEq, Eq)]
pub struct OfflineId {
    /// Of the call that asked for the id; 0 is success.
    pub status: u32,
    /// 1 TPM, 2 UEFI variable, 3 registry.
    pub source: u8,
    /// 0 with a TPM, 1 without; its meaning is not known.
    pub flag: u8,
    /// SHA-256 of the endorsement key where the source is the TPM.
    pub id: [u8; 32],
}

impl OfflineId {
    /// The `source` of an id that a TPM vouches for.
    pub const FROM_TPM: u8 = 1;
}

/// Type 27: size of the largest display. All bits set = not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplaySize {
    /// Of the picture.
    pub width_cm: u16,
    /// Of the picture.
    pub height_cm: u16,
}

/// Type 29, one per graphics adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphicsMemory {
    /// Memory of its own.
    pub video_bytes: u64,
    /// Memory that it shares with the system.
    pub system_bytes: u64,
    /// As Windows has it; it seems how the adapter may be taken out.
    pub removal_policy: u8,
    /// As Windows has it; it seems 1 for what is built in.
    pub in_machine: u8,
}

/// One part of type 34: the cores of one efficiency class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreClass {
    /// 0 is the most frugal class.
    pub efficiency: u8,
    /// Cores of this class.
    pub cores: u16,
    /// Logical processors of this class.
    pub threads: u16,
}

/// Type 36: language and time zone of the place of capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale {
    /// Such as `en-US`.
    pub system: String,
    /// Such as `en-US`; it seems that of whoever took the hash.
    pub user: String,
    /// By Windows' name, such as `W. Europe Standard Time`.
    pub time_zone: String,
    /// Those installed, with commas between them.
    pub languages: String,
    /// Such as `0407:00000407`.
    pub keyboard: String,
}

/// Type 37: eight lists of 16-bit digests, it seems of hardware ids. Only the
/// layout is known, not the meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Components {
    /// How many digests each list has.
    pub counts: [u16; 8],
    /// Four bytes without a meaning so far.
    pub unknown: [u8; 4],
    /// All lists, one behind the other.
    pub digests: Vec<u16>,
}

impl Record {
    /// Reads the value of a record of type `kind`. Never fails: a value that
    /// would not be written back to the same bytes stays raw.
    #[must_use]
    pub fn read(kind: u16, value: &[u8]) -> Self {
        if let Some(record) = Self::read_typed(kind, value) {
            let mut again = Vec::with_capacity(value.len());
            record.write_value(&mut again);
            if again == value {
                return record;
            }
        }
        Self::Raw(kind, value.into())
    }

    fn read_typed(kind: u16, value: &[u8]) -> Option<Self> {
        let mut reader = Reader(value);
        let record = match kind {
            1 => Self::Capture(Capture::read(&mut reader)?),
            2 => Self::Processor(Processor::read(&mut reader)?),
            5 => Self::Memory(Memory::read(&mut reader)?),
            6 => Self::Disk(Disk::read(&mut reader)?),
            7 => Self::DiskName(DiskName::read(&mut reader)?),
            8 => Self::Adapter(Adapter::read(&mut reader)?),
            9 => Self::Display(Display::read(&mut reader)?),
            10 => Self::Enclosure(Enclosure::read(&mut reader)?),
            11 => Self::OfflineId(OfflineId::read(&mut reader)?),
            12 => Self::Uuid(Uuid::from_bytes_le(reader.array()?)),
            25 => Self::EndorsementKey(reader.rest().into()),
            27 => Self::DisplaySize(DisplaySize { width_cm: reader.u16()?, height_cm: reader.u16()? }),
            29 => Self::GraphicsMemory(GraphicsMemory::read(&mut reader)?),
            30 => Self::GraphicsName(utf16(reader.rest())?),
            34 => Self::CoreClasses(core_classes(&mut reader)?),
            36 => Self::Locale(Locale::read(&mut reader)?),
            37 => Self::Components(Components::read(&mut reader)?),
            _ => {
                let field = TextField::ALL.into_iter().find(|field| field.kind() == kind)?;
                Self::Text(field, Text::read(reader.rest()))
            }
        };
        reader.0.is_empty().then_some(record)
    }

    /// The record type.
    #[must_use]
    pub fn kind(&self) -> u16 {
        match self {
            Self::Capture(_) => 1,
            Self::Processor(_) => 2,
            Self::Memory(_) => 5,
            Self::Disk(_) => 6,
            Self::DiskName(_) => 7,
            Self::Adapter(_) => 8,
            Self::Display(_) => 9,
            Self::Enclosure(_) => 10,
            Self::OfflineId(_) => 11,
            Self::Uuid(_) => 12,
            Self::EndorsementKey(_) => 25,
            Self::DisplaySize(_) => 27,
            Self::GraphicsMemory(_) => 29,
            Self::GraphicsName(_) => 30,
            Self::CoreClasses(_) => 34,
            Self::Locale(_) => 36,
            Self::Components(_) => 37,
            Self::Text(field, _) => field.kind(),
            Self::Raw(kind, _) => *kind,
        }
    }

    /// The value as bytes, appended to `out`.
    pub fn write_value(&self, out: &mut Vec<u8>) {
        match self {
            Self::Capture(capture) => capture.write(out),
            Self::Processor(processor) => processor.write(out),
            Self::Memory(memory) => memory.write(out),
            Self::Disk(disk) => disk.write(out),
            Self::DiskName(name) => out.extend(name.joined().bytes()),
            Self::Adapter(adapter) => adapter.write(out),
            Self::Display(display) => display.write(out),
            Self::Enclosure(case) => {
                out.extend([case.chassis, case.power_role, case.optical_drive, case.digitizer, case.reserved]);
            }
            Self::OfflineId(offline) => offline.write(out),
            Self::Uuid(uuid) => out.extend(uuid.to_bytes_le()),
            Self::EndorsementKey(modulus) | Self::Raw(_, modulus) => out.extend(modulus),
            Self::DisplaySize(size) => put(out, [size.width_cm, size.height_cm]),
            Self::GraphicsMemory(memory) => memory.write(out),
            Self::GraphicsName(name) => put(out, name.encode_utf16()),
            Self::CoreClasses(classes) => write_core_classes(classes, out),
            Self::Locale(locale) => locale.write(out),
            Self::Components(components) => components.write(out),
            Self::Text(_, text) => text.write(out),
        }
    }

    /// True for a type that has been seen, even if only its length is
    /// understood (35).
    #[must_use]
    pub fn is_known_kind(kind: u16) -> bool {
        matches!(kind, 1..=30 | 34..=37)
    }
}

/// Types and lengths only: values identify a machine.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut value = Vec::new();
        self.write_value(&mut value);
        write!(f, "Record(type {}, {} bytes)", self.kind(), value.len())
    }
}

/// Walks a value from the front; every step says `None` at its end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

fn put(out: &mut Vec<u8>, numbers: impl IntoIterator<Item = u16>) {
    out.extend(numbers.into_iter().flat_map(u16::to_le_bytes));
}

fn utf16(bytes: &[u8]) -> Option<String> {
    let (units, odd) = bytes.as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit))).collect::<Result<_, _>>().ok()
}

impl Build {
    // Two double words, each low half first: minor, major, revision, build.
    fn read(reader: &mut Reader) -> Option<Self> {
        let (minor, major) = (reader.u16()?, reader.u16()?);
        let (revision, build) = (reader.u16()?, reader.u16()?);
        Some(Self { major, minor, build, revision })
    }

    fn write(self, out: &mut Vec<u8>) {
        put(out, [self.minor, self.major, self.revision, self.build]);
    }
}

impl Capture {
    fn read(reader: &mut Reader) -> Option<Self> {
        Some(Self {
            tool_build: Build::read(reader)?,
            os_build: Build::read(reader)?,
            seconds: reader.u32()?,
            quarter_hours: i8::from_le_bytes(reader.array()?),
            os_type: reader.u8()?,
            architecture: reader.u8()?,
            tool_version: reader.u8()?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.tool_build.write(out);
        self.os_build.write(out);
        out.extend(self.seconds.to_le_bytes());
        out.extend(self.quarter_hours.to_le_bytes());
        out.extend([self.os_type, self.architecture, self.tool_version]);
    }
}

impl Processor {
    fn read(reader: &mut Reader) -> Option<Self> {
        let processor = Self {
            architecture: reader.u16()?,
            packages: reader.u16()?,
            cores: reader.u16()?,
            threads: reader.u16()?,
            hyper_threading: reader.u8()? != 0,
        };
        reader.array::<3>()?;
        Some(processor)
    }

    fn write(&self, out: &mut Vec<u8>) {
        put(out, [self.architecture, self.packages, self.cores, self.threads]);
        out.extend([u8::from(self.hyper_threading), 0, 0, 0]);
    }
}

impl Memory {
    fn read(reader: &mut Reader) -> Option<Self> {
        Some(Self {
            installed_gib: reader.u64()?,
            maximum_gib: reader.u64()?,
            slots: reader.u16()?,
            arrays: reader.u16()?,
            error_correction: reader.u8()?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.installed_gib.to_le_bytes());
        out.extend(self.maximum_gib.to_le_bytes());
        put(out, [self.slots, self.arrays]);
        out.push(self.error_correction);
    }
}

impl Disk {
    fn read(reader: &mut Reader) -> Option<Self> {
        Some(Self { capacity_gb: reader.u64()?, bus: reader.u16()?, seek_penalty: reader.u8()?, trim: reader.u8()? })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.capacity_gb.to_le_bytes());
        put(out, [self.bus]);
        out.extend([self.seek_penalty, self.trim]);
    }
}

impl DiskName {
    fn read(reader: &mut Reader) -> Option<Self> {
        let text = std::str::from_utf8(reader.rest()).ok()?;
        let [serial, product, vendor] = text.split('|').map(String::from).collect::<Vec<_>>().try_into().ok()?;
        Some(Self { serial, product, vendor })
    }

    /// The three parts with `|` between them, as they stand in the record.
    #[must_use]
    pub fn joined(&self) -> String {
        format!("{}|{}|{}", self.serial, self.product, self.vendor)
    }
}

impl Adapter {
    fn read(reader: &mut Reader) -> Option<Self> {
        let (medium, mac) = (reader.u32()?, reader.array()?);
        let length = reader.u32()?;
        let bus = reader.rest();
        let bus =
            utf16(bus).filter(|_| usize::try_from(length) == Ok(bus.len()))?.strip_suffix('\0').map(String::from)?;
        Some(Self { medium, mac, bus })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let bus: Vec<u16> = self.bus.encode_utf16().chain([0]).collect();
        out.extend(self.medium.to_le_bytes());
        out.extend(self.mac);
        out.extend(u32::try_from(2 * bus.len()).expect("a bus name is short").to_le_bytes());
        put(out, bus);
    }
}

impl Display {
    fn read(reader: &mut Reader) -> Option<Self> {
        Some(Self {
            width_mm: reader.u16()?,
            height_mm: reader.u16()?,
            width_px: reader.u16()?,
            height_px: reader.u16()?,
            technology: reader.u32()?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        put(out, [self.width_mm, self.height_mm, self.width_px, self.height_px]);
        out.extend(self.technology.to_le_bytes());
    }
}

impl Enclosure {
    fn read(reader: &mut Reader) -> Option<Self> {
        let [chassis, power_role, optical_drive, digitizer, reserved] = reader.array()?;
        Some(Self { chassis, power_role, optical_drive, digitizer, reserved })
    }
}

impl OfflineId {
    fn read(reader: &mut Reader) -> Option<Self> {
        let (status, source, flag) = (reader.u32()?, reader.u8()?, reader.u8()?);
        let (_length, _zero) = (reader.u16()?, reader.u16()?);
        Some(Self { status, source, flag, id: reader.array()? })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.status.to_le_bytes());
        out.extend([self.source, self.flag]);
        put(out, [32, 0]);
        out.extend(self.id);
    }
}

impl GraphicsMemory {
    fn read(reader: &mut Reader) -> Option<Self> {
        Some(Self {
            video_bytes: reader.u64()?,
            system_bytes: reader.u64()?,
            removal_policy: reader.u8()?,
            in_machine: reader.u8()?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.video_bytes.to_le_bytes());
        out.extend(self.system_bytes.to_le_bytes());
        out.extend([self.removal_policy, self.in_machine]);
    }
}

fn core_classes(reader: &mut Reader) -> Option<Vec<CoreClass>> {
    let count = reader.u8()?;
    let class = |_| Some(CoreClass { efficiency: reader.u8()?, cores: reader.u16()?, threads: reader.u16()? });
    (0..count).map(class).collect()
}

fn write_core_classes(classes: &[CoreClass], out: &mut Vec<u8>) {
    out.push(u8::try_from(classes.len()).expect("at most 255 classes of cores"));
    for class in classes {
        out.push(class.efficiency);
        put(out, [class.cores, class.threads]);
    }
}

impl Locale {
    fn read(reader: &mut Reader) -> Option<Self> {
        let text = std::str::from_utf8(reader.rest()).ok()?;
        let parts: Vec<_> = text.split('|').map(String::from).collect();
        let [system, user, time_zone, languages, keyboard] = parts.try_into().ok()?;
        Some(Self { system, user, time_zone, languages, keyboard })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let parts = [&*self.system, &*self.user, &*self.time_zone, &*self.languages, &*self.keyboard];
        out.extend(parts.join("|").bytes());
    }
}

impl Components {
    fn read(reader: &mut Reader) -> Option<Self> {
        let (_size, _again, _zero) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let mut counts = [0; 8];
        for count in &mut counts {
            *count = reader.u16()?;
        }
        let unknown = reader.array()?;
        let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
        // The length is compared before anything is allocated: counts are
        // not to be trusted.
        if reader.0.len() != 2 * total {
            return None;
        }
        let digests = (0..total).map(|_| reader.u16()).collect::<Option<_>>()?;
        Some(Self { counts, unknown, digests })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let size = u32::try_from(28 + 2 * self.digests.len()).expect("a record is below 64 KiB");
        for number in [size, size, 0] {
            out.extend(number.to_le_bytes());
        }
        put(out, self.counts);
        out.extend(self.unknown);
        put(out, self.digests.iter().copied());
    }
}
