//! The format of hardware hashes: bytes and records, text, identity, checks,
//! generated devices.

mod files;

use apgit::door::hash::generate::{Generation, Machine, Vendor};
use apgit::door::hash::record::{Adapter, Build, Capture, Enclosure, Memory, OfflineId, Processor, Text, TextField};
use apgit::door::hash::{
    DecodeError, Decoded, KeyKind, Later, Record, Repair, Severity, TextError, Verdict, checks, compare, identity_keys,
    looks_like_hash,
};
use apgit::door::model::{HardwareHash, SerialNumber};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::support::{Desk, Folder, Ran};

fn text(field: TextField, text: &str) -> Record {
    Record::Text(field, Text::new(text))
}

/// A vector that was made by another program, of no real device.
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

/// The seven kinds of machine, tool and TPM that the generator knows, and a
/// later capture and a repair of each.
fn machines() -> Vec<Machine> {
    let mut machines = Vec::new();
    for vendor in Vendor::ALL {
        for generation in Generation::ALL {
            for has_tpm in [true, false] {
                let machine = Machine::new(vendor, 7).with_generation(generation).with_tpm(has_tpm);
                machines.extend([machine.recapture(), machine.swap_board(), machine]);
            }
        }
    }
    machines
}

fn now() -> Timestamp {
    "2026-10-04T08:14:07Z".parse().unwrap()
}

fn codes(decoded: &Decoded) -> Vec<&'static str> {
    checks(decoded, Some(now())).into_iter().map(|finding| finding.code).collect()
}

fn position(decoded: &Decoded, kind: u16) -> usize {
    decoded.records.iter().position(|record| record.kind() == kind).unwrap()
}

#[test]
fn generated_hashes_decode_and_encode_to_the_same_bytes() {
    for machine in machines() {
        let hash = machine.hash();
        let decoded = hash.decode().unwrap();
        assert_eq!(decoded, machine.capture());
        assert_eq!(decoded.to_bytes().unwrap(), hash.as_bytes());
        assert_eq!(hash.to_base64().len(), 4000);
        let raw: Vec<_> = decoded.records.iter().filter(|it| matches!(it, Record::Raw(..))).map(Record::kind).collect();
        assert!(raw.is_empty() || raw == [35], "{raw:?}");
    }
}

#[test]
fn generated_hashes_pass_all_checks_but_those_about_what_they_lack() {
    let lacking = ["no-tpm", "no-product-key-id", "no-family", "no-disk-serial"];
    for machine in machines() {
        let codes = codes(&machine.capture());
        assert!(codes.iter().all(|code| lacking.contains(code)), "{machine:?}: {codes:?}");
    }
    assert!(codes(&Machine::new(Vendor::Lenovo, 1).capture()).is_empty());
}

#[test]
fn a_generated_hash_is_the_same_for_ever() {
    let digest = |vendor, seed| Machine::new(vendor, seed).hash().digest().short();
    let digests: Vec<_> = Vendor::ALL.into_iter().map(|vendor| digest(vendor, 1)).collect();
    assert_eq!(
        digests,
        [
            "sha256:41226d8e",
            "sha256:8857ed8c",
            "sha256:f8cb8a13",
            "sha256:11d8c0d5",
            "sha256:3f9a7413",
            "sha256:bb7a07fa"
        ]
    );
    assert_eq!(Machine::new(Vendor::Lenovo, 1).serial().unwrap().as_str(), "TEST-6XW3U8XV");
}

#[test]
fn each_generation_of_the_tool_adds_its_records_in_the_order_of_windows() {
    let kinds = |generation| {
        let machine = Machine::new(Vendor::Dell, 3).with_generation(generation);
        machine.capture().records.iter().map(Record::kind).collect::<Vec<_>>()
    };
    let early =
        [1, 2, 5, 3, 4, 6, 7, 8, 8, 8, 9, 27, 10, 13, 25, 11, 12, 14, 15, 16, 17, 18, 19, 23, 20, 21, 22, 24, 26, 28];
    assert_eq!(kinds(Generation::V3), early);
    assert_eq!(kinds(Generation::V5), [&early[..], &[29, 30]].concat());
    assert_eq!(kinds(Generation::V7), kinds(Generation::V5));
    assert_eq!(kinds(Generation::V8), [&early[..2], &[34], &early[2..], &[29, 30]].concat());
    assert_eq!(kinds(Generation::V9), [&kinds(Generation::V8)[..], &[35, 36, 37]].concat());
}

#[test]
fn generated_devices_cannot_be_mistaken_for_real_ones() {
    for machine in machines() {
        let decoded = machine.capture();
        assert!(decoded.adapters().all(|adapter| adapter.mac[0] == 0x02));
        assert!(decoded.serial().unwrap().as_str().starts_with("TEST-"));
    }
    let own = Machine::new(Vendor::Hp, 1).with_serial_prefix("LAB");
    assert!(own.capture().serial().unwrap().as_str().starts_with("LAB"));
}

#[test]
fn a_value_of_another_layout_stays_raw_and_is_written_back() {
    let values: [(u16, &[u8]); 8] = [
        (2, &[9, 0, 1, 0, 4, 0, 8, 0, 1, 0, 0, 1]),
        (7, b"no separators"),
        (8, &[14, 0, 0, 0, 2, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0]),
        (11, &[0; 42]),
        (12, &[1; 15]),
        (30, &[0x00, 0xd8]),
        (34, &[2, 0, 4, 0, 4, 0]),
        (37, &[0xff; 40]),
    ];
    let raw = |(kind, value): (u16, &[u8])| Record::Raw(kind, value.to_vec());
    let built = Decoded::new(values.into_iter().map(raw).collect());
    let decoded = built.to_hash().unwrap().decode().unwrap();
    assert_eq!(decoded, built);
    assert_eq!(codes(&decoded).iter().filter(|code| **code == "unknown-layout").count(), values.len());
}

#[test]
fn records_of_unknown_types_are_kept_in_their_place() {
    let mut built = vector();
    built.records.insert(3, Record::Raw(31, vec![1, 2, 3]));
    built.records.insert(3, Record::Raw(700, Vec::new()));
    let decoded = built.to_hash().unwrap().decode().unwrap();
    assert_eq!(decoded, built);
    assert_eq!(codes(&decoded).iter().filter(|code| **code == "unknown-record").count(), 2);
}

#[test]
fn the_fill_behind_a_text_is_kept_and_not_shown() {
    let text = Record::read(4, b"AMD Ryzen      \0\0\0");
    let Record::Text(TextField::ProcessorModel, shown) = &text else { panic!("type 4 is a text") };
    assert_eq!(shown.as_str(), "AMD Ryzen");
    let mut value = Vec::new();
    text.write_value(&mut value);
    assert_eq!(value, b"AMD Ryzen      \0\0\0");
}

#[test]
fn damage_is_named_with_its_offset() {
    let bytes = vector().to_bytes().unwrap();
    let decode = |bytes: &[u8]| Decoded::from_bytes(bytes).unwrap_err();
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        Decoded::from_bytes(&bytes).unwrap_err()
    };
    assert_eq!(decode(b""), DecodeError::NotAHash);
    assert_eq!(decode(b"OA"), DecodeError::CutShort { need: 40, have: 2 });
    assert_eq!(decode(&bytes[..500]), DecodeError::CutShort { need: 580, have: 500 });
    assert_eq!(with(0, b'X'), DecodeError::NotAHash);
    assert_eq!(decode(b"OA\x03\x00CS"), DecodeError::HeaderLength { length: 3 });
    assert_eq!(with(34, 3), DecodeError::RecordLength { offset: 32, length: 3, end: 544 });
    assert_eq!(with(535, 0x10), DecodeError::RecordLength { offset: 532, length: 0x100c, end: 544 });
    assert_eq!(with(544, b'X'), DecodeError::NoTrailer { offset: 544 });
    assert_eq!(with(510, b'X'), DecodeError::Checksum { offset: 544 });
    assert_eq!(with(579, 0), DecodeError::Checksum { offset: 544 });
}

#[test]
fn records_that_do_not_fit_are_not_written() {
    let built = Decoded::new(vec![Record::Raw(99, vec![0; 70_000])]);
    assert_eq!(
        built.to_bytes().unwrap_err().to_string(),
        "the records take 70008 bytes, a hardware hash holds at most 65535"
    );
}

#[test]
fn a_hash_without_padding_is_complete() {
    let mut built = vector();
    built.padding = vec![0; 12];
    let decoded = built.to_hash().unwrap().decode().unwrap();
    assert_eq!(decoded, built);
    assert!(codes(&decoded).contains(&"unusual-length"));
    built.padding = vec![0, 1];
    assert!(codes(&built.to_hash().unwrap().decode().unwrap()).contains(&"padding-not-zero"));
}

#[test]
fn text_at_the_wrong_length_is_repaired_and_reported() {
    let mut short = vector();
    short.padding = vec![0; 12];
    // 592 bytes, so the whole text ends in `=`, the only bytes in it are zero.
    let whole = short.to_hash().unwrap().to_base64();
    assert!(whole.ends_with("AA=="));
    let read = |text: &str| HardwareHash::from_base64(text).unwrap();
    let repairs = |text: &str| {
        let (hash, repairs) = read(text);
        assert_eq!(hash, short.to_hash().unwrap());
        repairs
    };
    assert_eq!(repairs(&whole), []);
    assert_eq!(repairs(&format!("\r\n {whole} \n")), []);
    assert_eq!(repairs(whole.trim_end_matches('=')), [Repair::Padding]);
    assert_eq!(repairs(&format!("{whole}=")), [Repair::Padding]);
    assert_eq!(repairs(&whole.replace("AA==", "AB==")), [Repair::TrailingBits]);
    let full = vector().to_hash().unwrap();
    assert_eq!(read(&format!("{}A", full.to_base64())), (full, vec![Repair::DanglingCharacter]));
}

#[test]
fn text_that_cannot_be_base64_is_refused_with_the_place() {
    let whole = vector().to_hash().unwrap().to_base64();
    let with = |at: usize, what: &str| {
        HardwareHash::from_base64(&format!("{}{what}{}", &whole[..at], &whole[at..])).unwrap_err()
    };
    assert_eq!(with(76, "\r\n"), TextError::WhiteSpace { at: 77 });
    assert_eq!(with(0, "\""), TextError::Quote { at: 1 });
    assert_eq!(with(9, "..."), TextError::Ellipsis { at: 10 });
    assert_eq!(with(9, "…"), TextError::Ellipsis { at: 10 });
    assert_eq!(with(9, "="), TextError::Equals { at: 10 });
    assert_eq!(with(9, "-"), TextError::Alphabet { at: 10, code: 0x2d });
    assert_eq!(HardwareHash::from_base64(" \n").unwrap_err(), TextError::Empty);
    assert_eq!(
        HardwareHash::from_base64(&"A".repeat(200_000)).unwrap_err(),
        TextError::TooLong { characters: 200_000 }
    );
}

#[test]
fn no_error_and_no_debug_form_repeats_what_is_in_a_hash() {
    let machine = Machine::new(Vendor::Hp, 11);
    let (decoded, hash) = (machine.capture(), machine.hash());
    let serial = machine.serial().unwrap().as_str();
    let shown = format!("{decoded:?} {hash:?} {:?} {:?}", decoded.records, identity_keys(&decoded));
    assert!(!shown.contains(serial) && !shown.contains(&hash.to_base64()[..24]), "{shown}");
    assert!(shown.contains(&hash.digest().short()));
}

#[test]
fn a_hash_is_spotted_wherever_it_stands() {
    for machine in machines() {
        let base64 = machine.hash().to_base64();
        assert!(looks_like_hash(&base64));
        assert!(looks_like_hash(&format!("serialNumber: {base64}")));
        assert!(looks_like_hash(&base64[..24]), "what is left of a shortened hash is spotted too");
        assert!(looks_like_hash(&format!("T0 T0E {}\n{}", &base64[..76], &base64[76..])));
    }
    for harmless in
        ["", "T0E", "PF4T9K2L", "T0EgAgEAHAAAAAo", "VDBFZ0FnRUFIQUFBQUFvQUFRQmRXQUFBQ2dBQg==", &"T0".repeat(500)]
    {
        assert!(!looks_like_hash(harmless), "{harmless}");
    }
}

#[test]
fn the_checks_name_what_would_go_wrong() {
    let case = |change: &dyn Fn(&mut Decoded), code: &str, severity: Severity| {
        let mut decoded = Machine::new(Vendor::Dell, 5).with_generation(Generation::V9).capture();
        assert_eq!(codes(&decoded), Vec::<&str>::new());
        change(&mut decoded);
        // Through the bytes: a check must see what was read, not what was built.
        let decoded = decoded.to_hash().unwrap().decode().unwrap();
        let found: Vec<_> = checks(&decoded, Some(now())).into_iter().map(|it| (it.code, it.severity)).collect();
        assert!(found.contains(&(code, severity)), "{code}: {found:?}");
    };
    let drop = |kind: u16| move |it: &mut Decoded| it.records.retain(|record| record.kind() != kind);
    let set = |field: TextField, value: &'static str| {
        move |it: &mut Decoded| {
            let at = position(it, field.kind());
            it.records[at] = text(field, value);
        }
    };
    let edit = |change: fn(&mut Record)| move |it: &mut Decoded| it.records.iter_mut().for_each(change);
    case(&drop(14), "no-serial", Severity::Error);
    case(&set(TextField::SerialNumber, ""), "no-serial", Severity::Error);
    case(&set(TextField::SerialNumber, "SMBIOS_STRING_INDEX_0"), "no-serial", Severity::Error);
    case(&set(TextField::SerialNumber, "To be filled by O.E.M."), "placeholder-serial", Severity::Error);
    case(&drop(16), "no-manufacturer", Severity::Error);
    case(&|it| it.records.push(text(TextField::SerialNumber, "TEST-2")), "repeated-record", Severity::Error);
    case(&|it| it.records.push(text(TextField::Sku, "2")), "repeated-record", Severity::Warning);
    case(&drop(1), "no-capture", Severity::Warning);
    case(&drop(12), "no-uuid", Severity::Warning);
    case(
        &edit(|it| {
            if let Record::Uuid(uuid) = it {
                *uuid = uuid::Uuid::max()
            }
        }),
        "no-uuid",
        Severity::Warning,
    );
    case(&drop(8), "no-mac", Severity::Warning);
    case(&drop(7), "no-disk-serial", Severity::Warning);
    case(&drop(17), "no-product", Severity::Warning);
    case(&drop(19), "no-family", Severity::Warning);
    case(&drop(24), "no-product-key-id", Severity::Warning);
    case(&drop(13), "tpm-half", Severity::Warning);
    case(&drop(25), "tpm-half", Severity::Warning);
    case(
        &edit(|it| {
            if let Record::OfflineId(id) = it {
                id.id[0] ^= 1
            }
        }),
        "ek-link",
        Severity::Warning,
    );
    case(
        &edit(|it| {
            if let Record::EndorsementKey(key) = it {
                key[9] ^= 1
            }
        }),
        "ek-link",
        Severity::Warning,
    );
    case(
        &edit(|it| {
            if let Record::Capture(it) = it {
                it.tool_version = 12
            }
        }),
        "unknown-tool",
        Severity::Warning,
    );
    case(
        &edit(|it| {
            if let Record::Capture(it) = it {
                it.os_type = 1
            }
        }),
        "windows-pe",
        Severity::Warning,
    );
    case(
        &edit(|it| {
            if let Record::Capture(it) = it {
                it.seconds = 1
            }
        }),
        "old-capture",
        Severity::Warning,
    );
    case(
        &edit(|it| {
            if let Record::Capture(it) = it {
                it.seconds = u32::MAX
            }
        }),
        "future-capture",
        Severity::Warning,
    );
    case(
        &edit(|it| {
            if let Record::Capture(it) = it {
                it.architecture = 12
            }
        }),
        "architecture",
        Severity::Warning,
    );
    case(
        &edit(|it| {
            if let Record::CoreClasses(it) = it {
                it[0].cores += 1
            }
        }),
        "core-classes",
        Severity::Warning,
    );
    case(
        &edit(|it| {
            if let Record::Display(it) = it {
                it.width_mm += 99
            }
        }),
        "display-size",
        Severity::Warning,
    );
    case(&set(TextField::KernelDiskSerial, "other||"), "disk-serial", Severity::Warning);
}

#[test]
fn a_clock_that_is_off_by_hours_is_no_finding() {
    let decoded = vector();
    let taken = decoded.capture().unwrap().time();
    let hours = |hours| taken.checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
    let future = |now| checks(&decoded, now).iter().any(|finding| finding.code == "future-capture");
    assert!(!future(Some(hours(-20))));
    assert!(future(Some(hours(-30))));
    assert!(!future(None));
}

#[test]
fn two_captures_of_one_device_are_the_same_device() {
    for machine in machines() {
        let (first, second) = (machine.capture(), machine.recapture().capture());
        assert_ne!(machine.hash().digest(), machine.recapture().hash().digest());
        let comparison = compare(&first, &second);
        assert_eq!(comparison.verdict(), Verdict::SameDevice, "{machine:?} {comparison:?}");
        assert_eq!(comparison.later, Some(Later::Second), "{machine:?}");
        assert_eq!(compare(&second, &first).later, Some(Later::First));
    }
}

#[test]
fn a_replaced_board_and_a_rewritten_serial_are_conflicts() {
    let machine = Machine::new(Vendor::Lenovo, 2);
    let repaired = compare(&machine.capture(), &machine.swap_board().capture()).agreement;
    assert_eq!(repaired.verdict, Verdict::Conflict);
    assert_eq!(repaired.agree, [KeyKind::Smbios]);
    assert_eq!(repaired.disagree, [KeyKind::Ek, KeyKind::Uuid, KeyKind::Pkid]);
    let renamed = machine.clone().with_serial(SerialNumber::parse("TEST-OTHER").unwrap());
    let renamed = compare(&machine.capture(), &renamed.capture()).agreement;
    assert_eq!((renamed.verdict, renamed.disagree), (Verdict::Conflict, vec![KeyKind::Smbios]));
}

#[test]
fn different_devices_of_one_model_are_different() {
    for vendor in Vendor::ALL {
        let comparison = compare(&Machine::new(vendor, 1).capture(), &Machine::new(vendor, 3).capture());
        assert_eq!(comparison.verdict(), Verdict::DifferentDevice, "{vendor:?}");
    }
}

#[test]
fn devices_without_a_strong_key_in_common_are_undecided() {
    let only = |kinds: &'static [u16]| {
        let mut decoded = Machine::new(Vendor::Hp, 4).capture();
        decoded.records.retain(|record| kinds.contains(&record.kind()));
        decoded
    };
    let verdict = |one: &'static [u16], other: &'static [u16]| compare(&only(one), &only(other)).verdict();
    assert_eq!(verdict(&[12], &[25, 11]), Verdict::Undecided);
    assert_eq!(verdict(&[24], &[24]), Verdict::Undecided);
    assert_eq!(verdict(&[12, 24], &[12]), Verdict::SameDevice);
}

#[test]
fn a_placeholder_identifies_nothing() {
    let kinds = |machine: &Machine| {
        identity_keys(&machine.capture()).iter().map(apgit::door::hash::IdentityKey::kind).collect::<Vec<_>>()
    };
    let machine = Machine::new(Vendor::Dell, 4);
    assert_eq!(kinds(&machine), [KeyKind::Ek, KeyKind::Uuid, KeyKind::Smbios, KeyKind::Pkid]);
    assert_eq!(kinds(&machine.clone().with_tpm(false)), [KeyKind::Uuid, KeyKind::Smbios, KeyKind::Pkid]);
    let serial = SerialNumber::parse("Default string").unwrap();
    assert_eq!(kinds(&machine.clone().with_serial(serial)), [KeyKind::Ek, KeyKind::Uuid, KeyKind::Pkid]);
    assert_eq!(kinds(&Machine::new(Vendor::Qemu, 4).without_serial()), [KeyKind::Uuid]);
}

#[test]
fn fingerprints_agree_as_the_keys_do_and_only_under_one_secret() {
    use apgit::door::hash::{agreement, fingerprints};
    let machine = Machine::new(Vendor::Hp, 9);
    let (first, second) = (machine.capture(), machine.swap_board().capture());
    let by_print = agreement(&fingerprints(&first, b"one"), &fingerprints(&second, b"one"));
    assert_eq!(by_print, compare(&first, &second).agreement);
    let other_secret = agreement(&fingerprints(&first, b"one"), &fingerprints(&first, b"two"));
    assert_eq!(other_secret.agree, []);
    let (_, print) = fingerprints(&first, b"one")[0];
    assert_eq!(print.short(), format!("hw:{}", &print.hex()[..8]));
}

fn any_record() -> impl Strategy<Value = Record> {
    // Known types with values of every length, and types that nobody knows.
    let kind = prop_oneof![4 => 1u16..40, 1 => any::<u16>()];
    (kind, proptest::collection::vec(any::<u8>(), 0..60)).prop_map(|(kind, value)| Record::read(kind, &value))
}

proptest! {
    #[test]
    fn any_records_survive_the_way_through_bytes(
        records in proptest::collection::vec(any_record(), 0..30),
        padding in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let built = Decoded { records, padding };
        let bytes = built.to_bytes().unwrap();
        prop_assert_eq!(built.size_bytes(), bytes.len());
        let decoded = Decoded::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&decoded, &built);
        let (hash, repairs) = HardwareHash::from_base64(&HardwareHash::from_bytes(bytes).to_base64()).unwrap();
        prop_assert!(repairs.is_empty());
        prop_assert_eq!(hash.decode().unwrap(), built);
        // No panic, whatever the records are.
        let _ = (checks(&decoded, Some(now())), compare(&decoded, &decoded));
    }

    #[test]
    fn any_flipped_bit_is_found(seed: u64, vendor in 0usize..6, bit: proptest::sample::Index) {
        let mut bytes = Machine::new(Vendor::ALL[vendor], seed).hash().as_bytes().to_vec();
        let protected = usize::from(u16::from_le_bytes([bytes[2], bytes[3]])) + 36;
        let bit = bit.index(protected * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Decoded::from_bytes(&bytes).is_err());
    }

    #[test]
    fn any_cut_is_found(seed: u64, cut: proptest::sample::Index) {
        let bytes = Machine::new(Vendor::Hp, seed).hash().as_bytes().to_vec();
        let protected = usize::from(u16::from_le_bytes([bytes[2], bytes[3]])) + 36;
        prop_assert!(Decoded::from_bytes(&bytes[..cut.index(protected)]).is_err());
    }

    #[test]
    fn random_bytes_are_refused_calmly(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), marked: bool) {
        if marked && bytes.len() > 4 {
            let length = (bytes.len() / 2) as u8;
            bytes[..4].copy_from_slice(&[b'O', b'A', length, 0]);
        }
        prop_assert!(Decoded::from_bytes(&bytes).is_err());
    }

    #[test]
    fn random_text_is_read_or_refused_calmly(text in "[A-Za-z0-9+/= \"…\n]{0,80}|.{0,40}") {
        let _ = looks_like_hash(&text);
        if let Ok((hash, repairs)) = HardwareHash::from_base64(&text) {
            prop_assert_eq!(repairs.is_empty(), hash.to_base64() == text.trim());
        }
    }
}

/// `apgit hash`: exit code, output, messages.
fn command(arguments: &[&str]) -> (i32, String, String) {
    let Ran { code, out, err } = Desk::new().run(&format!("hash {}", arguments.join(" ")));
    (code, out, err)
}

/// Files in a folder that goes away with the test.
struct Files(Folder);

impl Files {
    fn with(files: &[(&str, String)]) -> Self {
        let folder = Folder::new();
        for (name, content) in files {
            folder.write(name, content);
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.at(name).to_str().unwrap().to_owned()
    }

    /// `text` with the folder cut out of its paths.
    fn plain(&self, text: &str) -> String {
        text.replace(&self.path(""), "")
    }
}

/// All that identifies the machine of `decoded`, as `apgit hash` would show it.
fn identifying(machine: &Machine) -> Vec<String> {
    let decoded = machine.capture();
    let mac = |adapter: &Adapter| adapter.mac.map(|byte| format!("{byte:02x}")).join(":");
    let mut texts: Vec<String> = decoded.adapters().map(mac).collect();
    texts.extend(decoded.disk_names().map(|name| name.serial.clone()));
    texts.extend(decoded.text(TextField::ProductKeyId).map(String::from));
    texts.push(machine.serial().unwrap().to_string());
    texts.push(decoded.uuid().unwrap().to_string());
    texts.push(hex(&decoded.offline_id().unwrap().id));
    texts.extend(decoded.endorsement_key().map(hex));
    texts
}

#[test]
fn the_command_shows_a_hash_without_what_identifies_the_machine() {
    let machine = Machine::new(Vendor::Dell, 8).with_generation(Generation::V9);
    let base64 = machine.hash().to_base64();
    let files = Files::with(&[("a.txt", base64.clone())]);
    for format in [&[][..], &["--json"]] {
        let show = |more: &[&str]| command(&[&[files.path("a.txt").as_str()], format, more].concat());
        let (code, redacted, err) = show(&[]);
        let (_, shown, _) = show(&["--show-identifiers"]);
        assert_eq!((code, err.as_str()), (0, ""));
        for text in identifying(&machine) {
            assert!(!redacted.contains(&text), "{text}");
            assert!(shown.contains(&text), "{text}");
        }
        for out in [redacted, shown] {
            assert!(out.contains("Dell Inc.") && out.contains("2025-"), "{out}");
            assert!((0..base64.len() - 24).all(|at| !out.contains(&base64[at..at + 24])));
        }
    }
}

#[test]
fn the_command_tells_repairs_and_errors_and_ends_with_3() {
    let machine = Machine::new(Vendor::Hp, 1).with_tpm(false).without_serial();
    let files = Files::with(&[("a.txt", machine.hash().to_base64() + "A")]);
    let (code, out, _) = command(&[&files.path("a.txt")]);
    assert_eq!(code, 3);
    let judgement = "
repaired[dangling-character]: one character too many at the end of the base64 text was dropped
error[no-serial]: the hash holds no serial number, the service refuses it
warning[no-tpm]: the hash names no TPM; self-deploying and pre-provisioning need TPM 2.0
";
    assert!(out.ends_with(judgement), "{out}");
    assert!(out.contains("  serial number        (none)\n"), "{out}");
}

#[test]
fn the_command_sums_up_the_rows_of_a_csv() {
    let machine = |seed| Machine::new(Vendor::Dell, seed);
    let row = |serial: &str, machine: &Machine| format!("{serial},,{}\r\n", machine.hash().to_base64());
    let own = |seed| machine(seed).serial().unwrap().to_string();
    let csv = [
        "Device Serial Number,Windows Product ID,Hardware Hash\r\n".into(),
        row(&own(1), &machine(1)),
        row(&own(2), &machine(2).with_tpm(false)),
        row(&own(3), &machine(1).recapture()),
        row(&own(2), &machine(2).with_tpm(false).swap_board()),
        "TEST-1,,T0E-\r\n".into(),
    ];
    let files = Files::with(&[("all.csv", csv.concat())]);
    let (code, out, _) = command(&[&files.path("all.csv")]);
    let expected = "\
all.csv:2  sha256:8857ed8c  (redacted)  ok                  Dell Inc. OptiPlex 7010
all.csv:3  sha256:637fa5a0  (redacted)  1 warning           Dell Inc. OptiPlex 7010
all.csv:4  sha256:3ad23ff2  (redacted)  1 error, 1 warning  Dell Inc. OptiPlex 7010
all.csv:5  sha256:e98e6244  (redacted)  1 error, 1 warning  Dell Inc. OptiPlex 7010
all.csv:6  no hash          -           1 error             -

what identifies a machine is redacted; --show-identifiers shows it

error[conflicting-device]: some identifiers are those of line 3, others are not
  line 5

error[other-serial]: the serial column names another device than the hash: swapped rows?
  line 4

error[unreadable-row]: character 4 (U+002D) is not of the base64 alphabet
  line 6

warning[no-tpm]: the hash names no TPM; self-deploying and pre-provisioning need TPM 2.0
  lines 3, 5

warning[repeated-device]: the device of line 2 once more; the later capture counts
  line 4

5 hashes, 3 errors, 3 warnings
";
    assert_eq!((code, files.plain(&out)), (3, expected.to_owned()));
    let (code, json, _) = command(&["--json", &files.path("all.csv")]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, json["hashes"].as_array().unwrap().len()), (3, 5));
    assert_eq!(json["hashes"][4]["line"], 6);
    assert_eq!(json["hashes"][4]["sha256"], serde_json::Value::Null);
}

#[test]
fn the_command_compares_two_captures() {
    let machine = Machine::new(Vendor::Lenovo, 1);
    let files = Files::with(&[
        ("a.txt", machine.hash().to_base64()),
        ("b.txt", machine.recapture().hash().to_base64()),
        ("c.txt", machine.swap_board().hash().to_base64()),
    ]);
    let compare = |one: &str, other: &str| command(&[&files.path(one), "--compare", &files.path(other)]);
    let (code, out, _) = compare("a.txt", "b.txt");
    let expected = "\
a.txt and b.txt: the same device
  keys that agree     ek, uuid, smbios, pkid
  keys that disagree  none
  b.txt is the later capture
";
    assert_eq!((code, files.plain(&out).as_str()), (0, expected));
    let (_, out, _) = compare("c.txt", "a.txt");
    assert!(out.contains("conflict: a replaced board, or a cloned machine"), "{out}");
    let (_, json, _) = command(&["--json", &files.path("a.txt"), "--compare", &files.path("b.txt")]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["comparison"]["verdict"], "sameDevice");
    assert_eq!(json["comparison"]["later"], "second");
}

#[test]
fn the_command_shows_fingerprints_under_a_key_only() {
    let hash = Machine::new(Vendor::Lenovo, 1).hash().to_base64();
    let files =
        Files::with(&[("a.txt", hash), ("key", "0123456789abcdef".into()), ("other", "fedcba9876543210".into())]);
    let show = |more: &[&str]| command(&[&[files.path("a.txt").as_str()], more].concat()).1;
    assert!(!show(&[]).contains("hw:"));
    let (one, other) =
        (show(&["--fingerprint-key", &files.path("key")]), show(&["--fingerprint-key", &files.path("other")]));
    assert_eq!(one.matches("hw:").count(), 4);
    assert_ne!(one, other);
}

#[test]
fn the_command_says_what_a_file_is_that_holds_no_hash() {
    let files = Files::with(&[("empty", String::new()), ("a.txt", Machine::new(Vendor::Hp, 1).hash().to_base64())]);
    let (code, out, err) = command(&[&files.path("empty"), &files.path("a.txt")]);
    assert_eq!((code, files.plain(&err).as_str()), (3, "error: empty: the file is empty\n"));
    assert!(out.contains("HP ProDesk"), "the other file is shown all the same");
}

#[test]
fn generated_hashes_can_be_read_by_the_command_again() {
    let (code, csv, err) = command(&["--generate", "3", "--seed", "5", "--vendor", "hp", "--csv"]);
    assert_eq!((code, err.as_str()), (0, "note: these hashes are synthetic, no such devices exist\n"));
    let files = Files::with(&[("g.csv", csv)]);
    let (code, out, _) = command(&[&files.path("g.csv")]);
    assert_eq!(code, 0);
    assert!(out.ends_with("\n3 hashes, 0 errors, 0 warnings\n"), "{out}");
    let (_, one, _) = command(&["--generate", "1", "--serial", "LAB-7"]);
    let (hash, _) = HardwareHash::from_base64(&one).unwrap();
    assert_eq!(hash.decode().unwrap().serial(), Some(SerialNumber::parse("LAB-7").unwrap()));
}
