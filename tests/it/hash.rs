//! The format of hardware hashes: bytes and records, text, identity, checks,
//! generated devices.

use apgit::model::hash::generate::{Generation, Machine, Vendor};
use apgit::model::hash::identity::{KeyKind, Later, Verdict};
use apgit::model::hash::record::{Adapter, Build, Capture, Enclosure, Memory, OfflineId, Processor, Text, TextField};
use apgit::model::hash::{
    DecodeError, Decoded, Record, Repair, Severity, TextError, checks, compare, identity_keys, looks_like_hash,
};
use apgit::model::{HardwareHash, SerialNumber};
use jiff::Timestamp;
use proptest::prelude::*;

fn text(field: TextField, text: &str) -> Record {
    Record::Text(field, Text::new(text))
}

/// The vector of `reference/hardware-hash.md` 9, which was made by another
/// program.
fn vector() -> Decoded {
    let build = Build { major: 10, minor: 0, build: 22621, revision: 1 };
    let modulus: Vec<u8> = (0..256u32).map(|i| (7 * i + 1) as u8).collect();
    let id = ring::digest::digest(&ring::digest::SHA256, &modulus).as_ref().try_into().unwrap();
    Decoded::new(vec![
        Record::Capture(Capture {
            tool_build: build,
            os_build: build,
            seconds: Capture::seconds_of("2024-01-02T03:04:05Z".parse().unwrap()).unwrap(),
            quarter_hours: 4,
            os_type: Capture::FULL_WINDOWS,
            architecture: 9,
            tool_version: 8,
        }),
        Record::Processor(Processor { architecture: 9, packages: 1, cores: 4, threads: 8, hyper_threading: true }),
        Record::Memory(Memory { installed_gib: 16, maximum_gib: 64, slots: 2, arrays: 1, error_correction: 3 }),
        Record::Adapter(Adapter { medium: 14, mac: [2, 0, 0, 0, 0, 1], bus: "PCI".into() }),
        Record::Enclosure(Enclosure { chassis: 10, power_role: 2, optical_drive: 0, digitizer: 0, reserved: 0 }),
        text(TextField::TpmVersion, "TPM-Version:2.0 -Level:0-Revision:1.38-VendorID:'TEST'-Firmware:1.0"),
        Record::EndorsementKey(modulus),
        Record::OfflineId(OfflineId { status: 0, source: 1, flag: 0, id }),
        Record::Uuid("00112233-4455-6677-8899-aabbccddeeff".parse().unwrap()),
        text(TextField::SerialNumber, "TEST-0001"),
        text(TextField::Manufacturer, "Contoso"),
        text(TextField::Product, "Model 1"),
    ])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_synthetic_vector_has_the_published_bytes() {
    let decoded = vector();
    assert_eq!(decoded.offsets(), [4, 32, 48, 73, 99, 108, 180, 440, 486, 506, 520, 532]);
    let bytes = decoded.to_bytes().unwrap();
    assert_eq!(bytes.len(), 3000);
    assert_eq!(u16::from_le_bytes([bytes[2], bytes[3]]), 544);
    assert_eq!(hex(&bytes[4..32]), "01001c0000000a0001005d5800000a0001005d58a539262d04020908");
    assert_eq!(hex(&bytes[73..99]), "08001a000e000000020000000001080000005000430049000000");
    assert_eq!(hex(&bytes[486..506]), "0c00140033221100554477668899aabbccddeeff");
    assert_eq!(hex(&bytes[548..580]), "6e5b2fdda23badcc8d99d90405a298bb75b1f30159d78ac08fad04ce85002396");
    let base64 = HardwareHash::from_bytes(bytes).to_base64();
    assert!(base64.starts_with("T0EgAgEAHAAAAAoAAQBdWAAACgABAF1YpTkmLQQCCQgCABAACQABAAQACAABAAAA"));
    assert_eq!(base64.len(), 4000);
    let digest = ring::digest::digest(&ring::digest::SHA256, base64.as_bytes());
    assert_eq!(hex(digest.as_ref()), "66dcde1527a1aa645d5ba18f49f0765111b184fd3b78ccdaeceec19b553d07bd");
}

#[test]
fn the_synthetic_vector_decodes_to_what_it_was_built_from() {
    let built = vector();
    let hash = built.to_hash().unwrap();
    let decoded = hash.decode().unwrap();
    assert_eq!(decoded, built);
    assert_eq!(decoded.to_bytes().unwrap(), hash.as_bytes());
    assert_eq!(decoded.serial(), Some(SerialNumber::parse("TEST-0001").unwrap()));
    assert_eq!(decoded.capture().unwrap().time().to_string(), "2024-01-02T03:04:05Z");
    assert_eq!(decoded.capture().unwrap().offset_minutes(), Some(60));
}
