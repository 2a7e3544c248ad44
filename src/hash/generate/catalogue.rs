//! The machines that hashes are generated for: what each vendor's firmware
//! says of itself. Shapes as in the field, names of ordinary products.

use super::Vendor;
use crate::hash::record::{Enclosure, NO_SMBIOS_STRING};

/// What is the same in all machines of one model.
pub(super) struct Model {
    pub manufacturer: &'static str,
    pub product: &'static str,
    pub sku: &'static str,
    pub family: &'static str,
    pub version: &'static str,
    pub firmware: &'static str,
    /// Manufacturer, product, version of the board.
    pub board: Option<(&'static str, &'static str, &'static str)>,
    pub architecture: u8,
    pub processor_manufacturer: &'static str,
    pub processor: &'static str,
    /// Cores and threads per efficiency class, the most frugal first.
    pub classes: &'static [(u16, u16)],
    pub graphics: &'static str,
    pub disk_gb: u64,
    pub disk_bus: u16,
    pub disk_product: &'static str,
    pub disk_vendor: &'static str,
    pub chassis: u8,
    pub power_role: u8,
    pub digitizer: u8,
    /// The built-in panel, if there is one.
    pub panel_mm: Option<(u16, u16)>,
}

const X64: u8 = 9;
const ARM64: u8 = 12;
const NVME: u16 = 17;
const SATA: u16 = 11;
const SAS: u16 = 10;

impl Model {
    pub(super) fn cores(&self) -> u16 {
        self.classes.iter().map(|(cores, _)| cores).sum()
    }

    pub(super) fn threads(&self) -> u16 {
        self.classes.iter().map(|(_, threads)| threads).sum()
    }

    pub(super) fn enclosure(&self) -> Enclosure {
        let (chassis, power_role, digitizer) = (self.chassis, self.power_role, self.digitizer);
        Enclosure { chassis, power_role, optical_drive: 0, digitizer, reserved: 0 }
    }
}

pub(super) fn models(vendor: Vendor) -> &'static [Model] {
    match vendor {
        Vendor::Hp => HP,
        Vendor::Dell => DELL,
        Vendor::Lenovo => LENOVO,
        Vendor::Microsoft => MICROSOFT,
        Vendor::HyperV => HYPER_V,
        Vendor::Qemu => QEMU,
    }
}

const NOTEBOOK: Model = Model {
    manufacturer: "",
    product: "",
    sku: "",
    family: "",
    version: "",
    firmware: "",
    board: None,
    architecture: X64,
    processor_manufacturer: "GenuineIntel",
    processor: "12th Gen Intel(R) Core(TM) i5-1240P",
    classes: &[(8, 8), (4, 8)],
    graphics: "Intel Corporation|Intel(R) Iris(R) Xe Graphics",
    disk_gb: 512,
    disk_bus: NVME,
    disk_product: "TEST NVMe 512GB",
    disk_vendor: "",
    chassis: 10,
    power_role: 2,
    digitizer: 0,
    panel_mm: Some((302, 189)),
};

const HP: &[Model] = &[
    Model {
        manufacturer: "HP",
        product: "HP EliteBook 840 14 inch G9 Notebook PC",
        sku: "5P6X0EA#ABD",
        family: "103C_5336AN HP EliteBook",
        version: NO_SMBIOS_STRING,
        firmware: "HP",
        board: Some(("HP", "8AB3", "KBC Version 09.5E.00")),
        ..NOTEBOOK
    },
    Model {
        manufacturer: "HP",
        product: "HP ProDesk 600 G6 Small Form Factor PC",
        sku: "8YH11AV",
        family: "103C_53307F HP ProDesk",
        version: NO_SMBIOS_STRING,
        firmware: "HP",
        board: Some(("HP", "8714", "KBC Version 08.36.00")),
        processor: "Intel(R) Core(TM) i5-10500 CPU @ 3.10GHz",
        classes: &[(6, 12)],
        graphics: "Intel Corporation|Intel(R) UHD Graphics 630",
        chassis: 3,
        power_role: 1,
        panel_mm: None,
        ..NOTEBOOK
    },
];

const DELL: &[Model] = &[
    Model {
        manufacturer: "Dell Inc.",
        product: "Latitude 5430",
        sku: "0B04",
        family: "Latitude",
        version: NO_SMBIOS_STRING,
        firmware: "Dell Inc.",
        board: Some(("Dell Inc.", "0TKXG2", "A00")),
        ..NOTEBOOK
    },
    Model {
        manufacturer: "Dell Inc.",
        product: "OptiPlex 7010",
        sku: "0C0F",
        family: "OptiPlex",
        version: NO_SMBIOS_STRING,
        firmware: "Dell Inc.",
        board: Some(("Dell Inc.", "0YGWFV", "A01")),
        processor: "13th Gen Intel(R) Core(TM) i5-13500",
        classes: &[(8, 8), (6, 12)],
        graphics: "Intel Corporation|Intel(R) UHD Graphics 770",
        disk_bus: SATA,
        disk_product: "TEST SSD 512GB",
        chassis: 3,
        power_role: 1,
        panel_mm: None,
        ..NOTEBOOK
    },
];

const LENOVO: &[Model] = &[
    Model {
        manufacturer: "LENOVO",
        product: "21G2001VUS",
        sku: "LENOVO_MT_21G2_BU_Think_FM_ThinkPad P16v Gen 1",
        family: "ThinkPad P16v Gen 1",
        version: "ThinkPad P16v Gen 1",
        firmware: "LENOVO",
        board: Some(("LENOVO", "21G2001VUS", "SDK0T76576 WIN")),
        processor: "13th Gen Intel(R) Core(TM) i7-13700H",
        classes: &[(8, 8), (6, 12)],
        panel_mm: Some((345, 215)),
        ..NOTEBOOK
    },
    Model {
        manufacturer: "LENOVO",
        product: "21AHCTO1WW",
        sku: "LENOVO_MT_21AH_BU_Think_FM_ThinkPad T14 Gen 3",
        family: "ThinkPad T14 Gen 3",
        version: "ThinkPad T14 Gen 3",
        firmware: "LENOVO",
        board: Some(("LENOVO", "21AHCTO1WW", "SDK0T76530 WIN")),
        processor_manufacturer: "AuthenticAMD",
        processor: "AMD Ryzen 5 PRO 6650U with Radeon Graphics",
        classes: &[(6, 12)],
        graphics: "Advanced Micro Devices, Inc.|AMD Radeon(TM) Graphics",
        digitizer: 0b1000_0001,
        ..NOTEBOOK
    },
];

const MICROSOFT: &[Model] = &[
    Model {
        manufacturer: "Microsoft Corporation",
        product: "Surface Laptop 5",
        sku: "Surface_Laptop_5_1950",
        family: "Surface",
        version: "124I:00030T:000M:0200000D:0B:07F:5C:05",
        firmware: "Microsoft Corporation",
        board: Some(("Microsoft Corporation", "Surface Laptop 5", NO_SMBIOS_STRING)),
        digitizer: 0b1100_0001,
        chassis: 9,
        panel_mm: Some((285, 190)),
        ..NOTEBOOK
    },
    Model {
        manufacturer: "Microsoft Corporation",
        product: "Microsoft Surface Pro, 11th Edition",
        sku: "Surface_Pro_11th_Edition_2076",
        family: "Surface",
        version: "124Q:00047T:000M:0200000D:0B:07F:5C:05",
        firmware: "Microsoft Corporation",
        board: Some(("Microsoft Corporation", "Microsoft Surface Pro, 11th Edition", NO_SMBIOS_STRING)),
        architecture: ARM64,
        processor_manufacturer: "Qualcomm Technologies Inc",
        processor: "Snapdragon(R) X Plus - X1P64100",
        classes: &[(10, 10)],
        graphics: "Qualcomm Incorporated|Qualcomm(R) Adreno(TM) X1-85 GPU",
        chassis: 30,
        power_role: 8,
        digitizer: 0b1100_0111,
        panel_mm: Some((274, 183)),
        ..NOTEBOOK
    },
];

const VIRTUAL: Model = Model {
    processor: "Intel(R) Xeon(R) Platinum 8272CL CPU @ 2.60GHz",
    classes: &[(2, 4)],
    chassis: 3,
    power_role: 1,
    panel_mm: None,
    disk_gb: 127,
    ..NOTEBOOK
};

const HYPER_V: &[Model] = &[Model {
    manufacturer: "Microsoft Corporation",
    product: "Virtual Machine",
    sku: "None",
    family: "Virtual Machine",
    version: "Hyper-V UEFI Release v4.1",
    firmware: "Microsoft Corporation",
    board: Some(("Microsoft Corporation", "Virtual Machine", "Hyper-V UEFI Release v4.1")),
    graphics: "Microsoft|Microsoft Hyper-V Video",
    disk_bus: SAS,
    disk_product: "Virtual Disk    ",
    disk_vendor: "Msft    ",
    ..VIRTUAL
}];

const QEMU: &[Model] = &[Model {
    manufacturer: "QEMU",
    product: "Standard PC (Q35 + ICH9, 2009)",
    sku: NO_SMBIOS_STRING,
    family: NO_SMBIOS_STRING,
    version: "pc-q35-7.2",
    firmware: "EFI Development Kit II / OVMF",
    board: None,
    graphics: "(Standard display types)|Microsoft Basic Display Adapter",
    disk_bus: SATA,
    disk_product: "QEMU HARDDISK",
    disk_vendor: "",
    chassis: 1,
    ..VIRTUAL
}];
