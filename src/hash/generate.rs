//! Hardware hashes of devices that do not exist, for tests, examples and the
//! simulated tenant: several vendors, tool generations, TPM or not, a second
//! capture of the same device, a replaced board.
//!
//! Everything follows from a vendor, a seed and the few choices made on
//! [`Machine`], for ever: examples in the repository hang on it, so the random
//! numbers are our own and no crate's. Nothing here can be mistaken for a real
//! device: adapters have locally administered addresses (`02:…`), serials
//! start with `TEST-` unless the caller chooses them.

#![allow(clippy::cast_possible_truncation, reason = "random numbers are cut to size")]

use jiff::Timestamp;

use super::container::Decoded;
use super::record::{
    Adapter, Build, Capture, Components, CoreClass, Disk, DiskName, Display, DisplaySize, GraphicsMemory, Locale,
    Memory, NO_SMBIOS_STRING, OfflineId, Processor, Record, Text, TextField,
};
use crate::model::{HardwareHash, SerialNumber, sha256};

mod catalogue;

use catalogue::Model;

/// Who built the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// HP.
    Hp,
    /// Dell.
    Dell,
    /// Lenovo.
    Lenovo,
    /// Microsoft's own Surface.
    Microsoft,
    /// A virtual machine on Hyper-V.
    HyperV,
    /// A virtual machine on QEMU; no TPM unless asked for.
    Qemu,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Hp, Self::Dell, Self::Lenovo, Self::Microsoft, Self::HyperV, Self::Qemu];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hp => "hp",
            Self::Dell => "dell",
            Self::Lenovo => "lenovo",
            Self::Microsoft => "microsoft",
            Self::HyperV => "hyperv",
            Self::Qemu => "qemu",
        }
    }

    fn is_virtual(self) -> bool {
        matches!(self, Self::HyperV | Self::Qemu)
    }
}

impl std::str::FromStr for Vendor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = || Self::ALL.map(Self::name).join("`, `");
        let found = Self::ALL.into_iter().find(|vendor| vendor.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| format!("`{text}` is no vendor known here; there are `{}`", known()))
    }
}

/// The generation of the tool that takes the hash; each adds record types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Generation {
    /// Windows 10 1709: up to record type 28.
    V3 = 3,
    /// Windows 10 2004: and 29, 30 (graphics).
    V5 = 5,
    /// Windows Server 2022.
    V7 = 7,
    /// Windows 11 22H2: and 34 (classes of cores).
    V8 = 8,
    /// Windows 11 24H2: and 35, 36, 37.
    V9 = 9,
}

impl Generation {
    /// All of them, oldest first.
    pub const ALL: [Self; 5] = [Self::V3, Self::V5, Self::V7, Self::V8, Self::V9];

    fn build(self) -> u16 {
        match self {
            Self::V3 => 16299,
            Self::V5 => 19041,
            Self::V7 => 20348,
            Self::V8 => 22621,
            Self::V9 => 26100,
        }
    }

    /// A time at which this tool was in use.
    fn first_use(self) -> u32 {
        let time = match self {
            Self::V3 => "2018-03-05T08:00:00Z",
            Self::V5 => "2020-09-07T08:00:00Z",
            Self::V7 => "2022-02-07T08:00:00Z",
            Self::V8 => "2023-03-06T08:00:00Z",
            Self::V9 => "2025-01-13T08:00:00Z",
        };
        let time: Timestamp = time.parse().expect("a time written here");
        Capture::seconds_of(time).expect("a time after 2000")
    }

    fn next(self) -> Self {
        Self::ALL.into_iter().find(|other| *other > self).unwrap_or(self)
    }
}

/// A device that does not exist. [`Machine::capture`] takes its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    vendor: Vendor,
    seed: u64,
    generation: Generation,
    has_tpm: bool,
    serial: Option<SerialNumber>,
    /// How often the board was replaced.
    boards: u64,
    /// How many hashes were taken before.
    captures: u64,
}

impl Machine {
    /// A machine of `vendor` with a serial such as `TEST-7K2M9QX4`.
    #[must_use]
    pub fn new(vendor: Vendor, seed: u64) -> Self {
        let machine = Self {
            vendor,
            seed,
            generation: Generation::V8,
            has_tpm: vendor != Vendor::Qemu,
            serial: None,
            boards: 0,
            captures: 0,
        };
        machine.with_serial_prefix("TEST-")
    }

    /// A serial of `prefix` and eight characters that follow from the seed.
    ///
    /// # Panics
    /// If `prefix` cannot start a serial number.
    #[must_use]
    pub fn with_serial_prefix(self, prefix: &str) -> Self {
        // Without 0, 1, I, O: people read serials to each other.
        const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
        let mut random = self.random(Stream::Device, 1);
        let body: String = (0..8).map(|_| char::from(LETTERS[random.below(32)])).collect();
        let serial = SerialNumber::parse(&format!("{prefix}{body}")).expect("a prefix that starts a serial number");
        self.with_serial(serial)
    }

    /// The same machine with this serial in its firmware.
    #[must_use]
    pub fn with_serial(self, serial: SerialNumber) -> Self {
        Self { serial: Some(serial), ..self }
    }

    /// Leaves the serial out of the firmware, as some virtual machines do.
    #[must_use]
    pub fn without_serial(self) -> Self {
        Self { serial: None, ..self }
    }

    /// The same machine with or without a TPM.
    #[must_use]
    pub fn with_tpm(self, has_tpm: bool) -> Self {
        Self { has_tpm, ..self }
    }

    /// The tool that takes the hash. Generation 8 unless chosen.
    #[must_use]
    pub fn with_generation(self, generation: Generation) -> Self {
        Self { generation, ..self }
    }

    /// The same device later: time, tool, monitors and adapters differ, the
    /// identity does not.
    #[must_use]
    pub fn recapture(&self) -> Self {
        Self { captures: self.captures + 1, generation: self.generation.next(), ..self.clone() }
    }

    /// The same case after a repair: new board, so new TPM, UUID and product
    /// key id; the workshop wrote the old serial into it.
    #[must_use]
    pub fn swap_board(&self) -> Self {
        Self { boards: self.boards + 1, ..self.recapture() }
    }

    /// What the firmware has, if it has one.
    #[must_use]
    pub fn serial(&self) -> Option<&SerialNumber> {
        self.serial.as_ref()
    }

    /// Who built it.
    #[must_use]
    pub fn vendor(&self) -> Vendor {
        self.vendor
    }

    /// The manufacturer as it stands in the hash.
    #[must_use]
    pub fn manufacturer(&self) -> &'static str {
        self.model().manufacturer
    }

    /// The product name as it stands in the hash.
    #[must_use]
    pub fn product(&self) -> &'static str {
        self.model().product
    }

    /// Takes the hash: 3,000 bytes, records in the order of Windows.
    ///
    /// # Panics
    /// Never: the records of a machine fill less than half of a container.
    #[must_use]
    pub fn hash(&self) -> HardwareHash {
        self.capture().to_hash().expect("a machine fits into a container")
    }

    /// [`Machine::hash`] before it becomes bytes.
    #[must_use]
    pub fn capture(&self) -> Decoded {
        let mut records = self.processor_and_memory();
        records.extend(self.disks_and_adapters());
        records.extend(self.displays());
        records.push(Record::Enclosure(self.model().enclosure()));
        records.extend(self.board());
        records.extend(self.firmware_texts());
        records.extend(self.keys());
        records.extend(self.later_generations());
        Decoded::new(records)
    }

    fn model(&self) -> &'static Model {
        let models = catalogue::models(self.vendor);
        &models[self.random(Stream::Device, 0).below(models.len())]
    }

    fn random(&self, stream: Stream, purpose: u64) -> Random {
        let count = match stream {
            Stream::Device => 0,
            Stream::Board => self.boards,
            Stream::Capture => self.captures,
        };
        let vendor = self.vendor as u64;
        [stream as u64, count, purpose, vendor].into_iter().fold(Random(self.seed), |mut random, number| {
            Random(random.next() ^ number.wrapping_mul(0xd134_2543_de82_ef95))
        })
    }

    fn processor_and_memory(&self) -> Vec<Record> {
        let model = self.model();
        let mut records = vec![
            Record::Capture(self.when()),
            Record::Processor(Processor {
                architecture: model.architecture.into(),
                packages: 1,
                cores: model.cores(),
                threads: model.threads(),
                hyper_threading: model.threads() > model.cores(),
            }),
        ];
        if self.generation >= Generation::V8 && model.classes.len() > 1 {
            let class = |(efficiency, (cores, threads)): (u8, &(u16, u16))| CoreClass {
                efficiency,
                cores: *cores,
                threads: *threads,
            };
            records.push(Record::CoreClasses((0..).zip(model.classes).map(class).collect()));
        }
        let installed_gib = [8, 16, 32][self.random(Stream::Device, 2).below(3)];
        records.extend([
            Record::Memory(Memory {
                installed_gib,
                maximum_gib: installed_gib.max(16) * 2,
                slots: 2,
                arrays: 1,
                error_correction: 3,
            }),
            Record::Text(TextField::ProcessorManufacturer, Text::new(model.processor_manufacturer)),
            Record::Text(TextField::ProcessorModel, Text::filled(model.processor, 48)),
        ]);
        records
    }

    fn when(&self) -> Capture {
        let mut random = self.random(Stream::Capture, 0);
        // Up to 120 days into the tool's time; a quarter of a year between
        // captures, give or take, but always later than the one before.
        let days = self.random(Stream::Device, 5).below(120) as u32;
        let waited = self.captures as u32 * 90 + random.below(60) as u32;
        let second_of_day = random.below(8 * 3600) as u32;
        let build = self.generation.build();
        let revision = 1 + random.below(4000) as u16;
        Capture {
            tool_build: Build { major: 10, minor: 0, build, revision: 1 },
            os_build: Build { major: 10, minor: 0, build, revision },
            seconds: self.generation.first_use() + (days + waited) * 86_400 + second_of_day,
            // Tools of generation 3 write a value here that no zone has.
            quarter_hours: if self.generation == Generation::V3 { 120 } else { [4, 8, -20, -32][random.below(4)] },
            os_type: Capture::FULL_WINDOWS,
            architecture: self.model().architecture,
            tool_version: self.generation as u8,
        }
    }

    fn disks_and_adapters(&self) -> Vec<Record> {
        let model = self.model();
        let mut records = vec![
            Record::Disk(Disk { capacity_gb: model.disk_gb, bus: model.disk_bus, seek_penalty: 0, trim: 1 }),
            Record::DiskName(self.disk_name()),
        ];
        let mut fixed = self.random(Stream::Device, 3);
        if !self.vendor.is_virtual() {
            records.push(adapter(9, &mut fixed, "PCI"));
            records.push(adapter(10, &mut fixed, "BTH"));
        }
        let bus = if self.vendor == Vendor::HyperV { "VMBUS" } else { "PCI" };
        records.push(adapter(14, &mut self.random(Stream::Board, 0), bus));
        if self.is_docked() {
            records.push(adapter(14, &mut self.random(Stream::Capture, 1), "USB"));
        }
        records
    }

    fn disk_name(&self) -> DiskName {
        let model = self.model();
        let random = &mut self.random(Stream::Device, 4);
        let serial =
            if self.vendor == Vendor::HyperV { String::new() } else { format!("TEST{:012X}", random.next() >> 16) };
        DiskName { serial, product: model.disk_product.into(), vendor: model.disk_vendor.into() }
    }

    fn displays(&self) -> Vec<Record> {
        const BUILT_IN: u32 = 0x8000_0000;
        const DISPLAY_PORT: u32 = 10;
        let display = |(width_mm, height_mm), (width_px, height_px), technology| Display {
            width_mm,
            height_mm,
            width_px,
            height_px,
            technology,
        };
        let mut displays = Vec::new();
        if let Some(panel) = self.model().panel_mm {
            displays.push(display(panel, (1920, 1200), BUILT_IN));
        }
        if self.vendor.is_virtual() {
            displays.push(display((u16::MAX, u16::MAX), (u16::MAX, u16::MAX), u32::MAX));
        } else if displays.is_empty() || self.is_docked() {
            let monitors = [(598, 336), (527, 296), (697, 392)];
            let monitor = monitors[self.random(Stream::Capture, 3).below(monitors.len())];
            displays.push(display(monitor, (2560, 1440), DISPLAY_PORT));
        }
        let cm = |mm: u16| if mm == u16::MAX { mm } else { (mm + 5) / 10 };
        let primary = DisplaySize { width_cm: cm(displays[0].width_mm), height_cm: cm(displays[0].height_mm) };
        displays.into_iter().map(Record::Display).chain([Record::DisplaySize(primary)]).collect()
    }

    /// Every other capture is taken in a dock.
    fn is_docked(&self) -> bool {
        !self.vendor.is_virtual() && self.captures % 2 == 1
    }

    /// What goes with the board: TPM, ids.
    fn board(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut random = self.random(Stream::Board, 1);
        let offline = if self.has_tpm {
            let version = "TPM-Version:2.0 -Level:0-Revision:1.59-VendorID:'TEST'-Firmware:1.0";
            let mut modulus = random.bytes(256);
            // An RSA modulus has its full length and is odd.
            modulus[0] |= 0x80;
            modulus[255] |= 1;
            let id = sha256(&modulus);
            records.push(Record::Text(TextField::TpmVersion, Text::new(version)));
            records.push(Record::EndorsementKey(modulus));
            OfflineId { status: 0, source: OfflineId::FROM_TPM, flag: 0, id }
        } else {
            OfflineId { status: 0, source: 3, flag: 1, id: sha256(&random.bytes(32)) }
        };
        records.push(Record::OfflineId(offline));
        let uuid = self.random(Stream::Board, 2).bytes(16);
        let uuid = uuid::Builder::from_random_bytes(uuid.try_into().expect("16 bytes"));
        records.push(Record::Uuid(uuid.into_uuid()));
        records
    }

    fn firmware_texts(&self) -> Vec<Record> {
        let model = self.model();
        let serial = self.serial.as_ref().map_or(NO_SMBIOS_STRING, SerialNumber::as_str);
        let mut texts = vec![
            (TextField::SerialNumber, serial),
            (TextField::FirmwareVendor, model.firmware),
            (TextField::Manufacturer, model.manufacturer),
            (TextField::Product, model.product),
            (TextField::Sku, model.sku),
            (TextField::Family, model.family),
            (TextField::SystemVersion, model.version),
        ];
        // QEMU has no SMBIOS type 2 table, and so none of the board's texts.
        if let Some((manufacturer, product, version)) = model.board {
            texts.extend([
                (TextField::BoardManufacturer, manufacturer),
                (TextField::BoardProduct, product),
                (TextField::BoardVersion, version),
            ]);
        }
        texts.into_iter().map(|(field, text)| Record::Text(field, Text::new(text))).collect()
    }

    fn keys(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if !self.vendor.is_virtual() {
            let id = 1_000_000_000_000 + self.random(Stream::Board, 3).next() % 9_000_000_000_000;
            records.push(Record::Text(TextField::ProductKeyId, Text::new(&id.to_string())));
            records.push(Record::Text(TextField::ProductKeyPart, Text::new("[TH]X00-00001")));
        }
        records.push(Record::Text(TextField::KernelDiskSerial, Text::new(&self.disk_name().joined())));
        records
    }

    fn later_generations(&self) -> Vec<Record> {
        let model = self.model();
        let mut records = Vec::new();
        if self.generation >= Generation::V5 {
            let system_bytes = 0;
            let memory = GraphicsMemory { video_bytes: 128 << 20, system_bytes, removal_policy: 1, in_machine: 1 };
            records.push(Record::GraphicsMemory(memory));
            records.push(Record::GraphicsName(model.graphics.into()));
        }
        if self.generation >= Generation::V9 {
            let mut random = self.random(Stream::Capture, 2);
            records.push(Record::Raw(35, vec![0x02, 0xff, 0x07]));
            records.push(Record::Locale(Locale {
                system: "en-US".into(),
                user: "en-US".into(),
                time_zone: "W. Europe Standard Time".into(),
                languages: "en-US,de-DE".into(),
                keyboard: "0407:00000407".into(),
            }));
            let counts = [4, 1, 2, 3, 2, 1, 1, 1];
            let digests = (0..15).map(|_| random.next() as u16).collect();
            records.push(Record::Components(Components { counts, unknown: [0; 4], digests }));
        }
        records
    }
}

fn adapter(medium: u32, random: &mut Random, bus: &str) -> Record {
    let mut mac = [0; 6];
    mac[1..].copy_from_slice(&random.bytes(5));
    // The bit for "locally administered": no manufacturer owns this address.
    mac[0] = 0x02;
    Record::Adapter(Adapter { medium, mac, bus: bus.into() })
}

/// What random numbers belong to, and so when they change.
#[derive(Clone, Copy)]
enum Stream {
    Device,
    Board,
    Capture,
}

/// `SplitMix64` (Steele, Lea and Flood, 2014): small, and the same for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `count` - 1.
    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next().to_le_bytes()).flatten();
        words.take(count).collect()
    }
}
