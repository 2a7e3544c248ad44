//! What collectors write: encodings, single files, the dialects of CSV, and
//! what is checked before a hash is sent.

use apgit::door::capture::{self, CaptureError, CsvTable, Encoding, Form};
use apgit::door::hash::generate::{Machine, Vendor};
use apgit::door::hash::{Repair, TextError};
use apgit::door::model::{HardwareHash, HashCheck, HashDigest, HashError, SerialNumber};
use proptest::prelude::*;

fn machine(seed: u64) -> Machine {
    Machine::new(Vendor::ALL[seed as usize % 4], seed)
}

fn serial(text: &str) -> SerialNumber {
    SerialNumber::parse(text).unwrap()
}

fn own(machine: &Machine) -> &SerialNumber {
    machine.serial().unwrap()
}

fn utf16le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

const HEADER: &str = "Device Serial Number,Windows Product ID,Hardware Hash";

/// A row as Get-WindowsAutopilotInfo writes it.
fn row(machine: &Machine) -> String {
    format!("{},,{}", own(machine), machine.hash().to_base64())
}

fn table(text: &str) -> CsvTable {
    capture::csv(text.as_bytes()).unwrap()
}

fn problem(text: &str) -> CaptureError {
    capture::csv(text.as_bytes()).unwrap_err()
}

/// No message may hold a piece of any hash.
fn silent(error: &dyn std::fmt::Display) -> String {
    let message = error.to_string();
    for seed in 0..12 {
        let base64 = machine(seed).hash().to_base64();
        assert!(!message.contains(&base64[4..28]) && !message.contains("T0E"), "{message}");
    }
    message
}

#[test]
fn text_is_read_in_every_encoding_that_collectors_write() {
    let check = |bytes: &[u8], text: &str, encoding| assert_eq!(capture::text(bytes), (text.to_owned(), encoding));
    let big_endian: Vec<u8> = "Zürich".encode_utf16().flat_map(u16::to_be_bytes).collect();
    check("Zürich".as_bytes(), "Zürich", Encoding::Utf8);
    check("\u{feff}Zürich".as_bytes(), "Zürich", Encoding::Utf8);
    check(&utf16le("\u{feff}Zürich"), "Zürich", Encoding::Utf16Le);
    check(
        &utf16le("Zürich 東京, and plain text behind it"),
        "Zürich 東京, and plain text behind it",
        Encoding::Utf16Le,
    );
    check(&[&[0xfe, 0xff][..], &big_endian].concat(), "Zürich", Encoding::Utf16Be);
    check(&big_endian, "Zürich", Encoding::Utf16Be);
    check(b"Z\xfcrich", "Zürich", Encoding::Windows1252);
    check(b"", "", Encoding::Utf8);
}

#[test]
fn a_file_of_base64_is_read_in_any_encoding() {
    let hash = machine(1).hash();
    let base64 = hash.to_base64();
    for bytes in [
        base64.clone().into_bytes(),
        format!("{base64}\r\n").into_bytes(),
        format!("\u{feff}{base64}\n").into_bytes(),
        utf16le(&format!("\u{feff}{base64}\r\n")),
    ] {
        let file = capture::file(&bytes).unwrap();
        assert_eq!((file.hash, file.form, file.repairs), (hash.clone(), Form::Base64, vec![]));
    }
    let file = capture::file(format!("{base64}A").as_bytes()).unwrap();
    assert_eq!((file.hash, file.repairs), (hash, vec![Repair::DanglingCharacter]));
}

#[test]
fn an_oa3_xml_is_read() {
    let hash = machine(2).hash();
    let base64 = hash.to_base64();
    let read = |xml: &str| capture::file(xml.as_bytes()).map(|file| (file.hash, file.form));
    let plain = format!("<Key><ProductKeyState>6</ProductKeyState><HardwareHash>{base64}</HardwareHash></Key>");
    assert_eq!(read(&plain), Ok((hash.clone(), Form::Oa3Xml)));
    let long = format!(
        "oa3tool 10.0\r\nThe report\r\n\r\n<?xml version=\"1.0\"?>\r\n<Key xmlns=\"urn:any\">\r\n<SerialNumber>1</SerialNumber>\r\n<HardwareHash>\r\n  {base64}\r\n</HardwareHash></Key>"
    );
    assert_eq!(read(&long), Ok((hash, Form::Oa3Xml)));
    let none = "<Key><ProductKeyState>6</ProductKeyState></Key>";
    assert_eq!(read(none), Err(CaptureError::XmlWithoutHash));
    assert_eq!(read(&format!("<Keys>{plain}{plain}</Keys>")), Err(CaptureError::XmlHashes { count: 2 }));
    assert_eq!(read("<HardwareReport><HardwareInventory/></HardwareReport>"), Err(CaptureError::IsReport));
    assert_eq!(read("banner\n<Key>\n<HardwareHash></Key>"), Err(CaptureError::Xml { line: 3 }));
    assert_eq!(read("<Key><HardwareHash/></Key>"), Err(CaptureError::Text(TextError::Empty)));
    assert_eq!(read(&plain[..900]), Err(CaptureError::XmlCutShort));
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><Key><HardwareHash>&b;</HardwareHash></Key>";
    assert_eq!(read(bomb), Err(CaptureError::Xml { line: 1 }));
}

#[test]
fn a_file_without_a_single_hash_says_what_it_is_instead() {
    let read = |bytes: &[u8]| capture::file(bytes).unwrap_err();
    assert_eq!(read(b" \r\n"), CaptureError::Empty);
    assert_eq!(read(format!("{HEADER}\n{}", row(&machine(1))).as_bytes()), CaptureError::IsCsv);
    assert_eq!(read(&vec![b'A'; 2 << 20]), CaptureError::TooLarge { bytes: 2 << 20, limit: 1 << 20 });
    let base64 = machine(1).hash().to_base64();
    let wrapped = read(format!("{}\n{}", &base64[..64], &base64[64..]).as_bytes());
    assert_eq!(silent(&wrapped), "a hash has no blank or line end inside, character 65 is one; join the lines");
}

#[test]
fn every_dialect_of_csv_gives_the_same_rows() {
    let (a, b) = (machine(1), machine(2));
    let (ra, rb) = (row(&a), row(&b));
    let quoted = |row: &str| format!("\"{}\"", row.replace(',', "\",\""));
    let lower = HEADER.to_lowercase();
    let dialects = [
        ("PowerShell 7", format!("{HEADER}\n{ra}\n{rb}\n")),
        ("CRLF", format!("{HEADER}\r\n{ra}\r\n{rb}\r\n")),
        ("no line end at the end", format!("{HEADER}\r\n{ra}\r\n{rb}")),
        ("blank lines and blanks", format!("\r\n{HEADER} \r\n\r\n {ra} \r\n{rb}\r\n\r\n")),
        ("quoted", format!("{}\r\n{}\r\n{}\r\n", quoted(HEADER), quoted(&ra), quoted(&rb))),
        ("byte order mark", format!("\u{feff}{}\r\n{ra}\r\n{rb}", quoted(HEADER))),
        ("lower-case labels", format!("{lower}\n{ra}\n{rb}\n")),
        ("odd blanks in labels", format!("DeviceSerialNumber, Windows  Product ID ,HARDWARE HASH\n{ra}\n{rb}\n")),
        ("Partner Center", format!("{HEADER},Manufacturer name,Device model\n{ra},,\n{rb},Contoso,Model 1\n")),
        ("semicolons", format!("{HEADER}\n{ra}\n{rb}\n").replace(',', ";")),
        ("tabs", format!("{HEADER}\n{ra}\n{rb}\n").replace(',', "\t")),
        ("no header at all", format!("{ra}\n{rb}\n")),
        (
            "hash first",
            format!(
                "Hardware Hash,Device Serial Number\n{},{}\n{},{}\n",
                a.hash().to_base64(),
                own(&a),
                b.hash().to_base64(),
                own(&b)
            ),
        ),
        ("unknown labels", format!("Asset,Seen,Blob\n1,yes,{}\n2,no,{}\n", a.hash().to_base64(), b.hash().to_base64())),
        ("hash only", format!("Hardware Hash\n{}\n{}\n", a.hash().to_base64(), b.hash().to_base64())),
        ("appended blocks", format!("{HEADER}\r\n{ra}\r\n\u{feff}{HEADER},Group Tag\r\n{rb},OSL\r\n")),
        (
            "Configuration Manager",
            format!(
                "Windows Autopilot Device Information\r\nGenerated on 2026-10-04\r\n\r\n{HEADER},{ra}\r\n{HEADER},{rb}\r\n"
            ),
        ),
    ];
    for (dialect, text) in dialects {
        for bytes in [text.clone().into_bytes(), utf16le(&format!("\u{feff}{text}")), utf16le(&text)] {
            let table = capture::csv(&bytes).unwrap_or_else(|error| panic!("{dialect}: {error}"));
            assert_eq!(table.entries().len(), 2, "{dialect}");
            for machine in [&a, &b] {
                let found = table.find(own(machine)).unwrap_or_else(|error| panic!("{dialect}: {error}"));
                assert_eq!(found.hash, machine.hash(), "{dialect}");
                assert_eq!((found.repairs, found.notes), (vec![], Vec::<String>::new()), "{dialect}");
            }
        }
    }
}

#[test]
fn lines_are_those_that_an_editor_shows() {
    let text = format!("title\r\n\r\n{HEADER}\r\n\r\n\r\n{}\r\n\r\n{}\r\n", row(&machine(1)), row(&machine(2)));
    let lines: Vec<_> = table(&text).entries().iter().map(|entry| entry.line).collect();
    assert_eq!(lines, [6, 8]);
    let lines: Vec<_> = table(&text.replace("\r\n", "\n")).entries().iter().map(|entry| entry.line).collect();
    assert_eq!(lines, [6, 8]);
}

#[test]
fn group_tag_and_user_are_read_by_their_labels() {
    let (a, b, c) = (machine(1), machine(2), machine(3));
    let text = format!(
        "{HEADER},Assigned User,Group Tag\n{},anna.keller@contoso.com,OSL-STD\n{},,\n{}\n",
        row(&a),
        row(&b),
        row(&c)
    );
    let table = table(&text);
    let read = |machine: &Machine| {
        let found = table.find(own(machine)).unwrap();
        (found.group_tag.map(String::from), found.user.map(String::from))
    };
    assert_eq!(read(&a), (Some("OSL-STD".into()), Some("anna.keller@contoso.com".into())));
    assert_eq!(read(&b), (Some(String::new()), Some(String::new())));
    assert_eq!(read(&c), (None, None), "a cell that is not there is not an empty one");
}

#[test]
fn a_comma_inside_of_a_value_moves_no_value_into_another_column() {
    let a = machine(1);
    let base64 = a.hash().to_base64();
    let before = format!("{HEADER},Group Tag\n{},oops,,{base64},OSL\n", own(&a));
    assert_eq!(table(&before).find(own(&a)).unwrap().group_tag.as_deref(), Some("OSL"));
    let behind = format!("{HEADER},Group Tag,Assigned User\n{},,{base64},OSL,STD,anna.keller@contoso.com\n", own(&a));
    let table = table(&behind);
    assert!(table.entries()[0].has_extra_cells);
    let found = table.find(own(&a)).unwrap();
    assert_eq!((found.group_tag, found.user), (None, None));
}

#[test]
fn the_serial_inside_the_hash_goes_before_the_column() {
    let (a, b) = (machine(1), machine(2));
    // Somebody sorted one column and not the other.
    let swapped = format!("{HEADER}\n{},,{}\n{},,{}\n", own(&a), b.hash().to_base64(), own(&b), a.hash().to_base64());
    let table = table(&swapped);
    assert_eq!(table.find(own(&a)).map(|found| (found.line, found.hash)), Ok((3, a.hash())));
    assert_eq!(table.find(own(&b)).map(|found| (found.line, found.hash)), Ok((2, b.hash())));
}

#[test]
fn a_hash_without_serial_is_found_by_the_column() {
    let vm = Machine::new(Vendor::Qemu, 5).without_serial();
    let text = format!("{HEADER}\nvm-0005,,{}\n,,{}\n", vm.hash().to_base64(), vm.recapture().hash().to_base64());
    assert_eq!(table(&text).find(&serial("VM-0005")).unwrap().hash, vm.hash());
}

#[test]
fn a_hash_that_is_not_understood_is_found_by_the_column_as_it_is() {
    let mut bytes = machine(1).hash().as_bytes().to_vec();
    bytes[100] ^= 1;
    let hash = HardwareHash::from_bytes(bytes);
    let table = table(&format!("{HEADER}\nX1,,{}\n", hash.to_base64()));
    assert!(table.entries()[0].hash.as_ref().unwrap().fault.is_some());
    let found = table.find(&serial("x1")).unwrap();
    assert_eq!(found.hash, hash);
    let check = |pin: Option<&HashDigest>, check| capture::usable(&hash, &serial("x1"), pin, check, None);
    assert!(check(Some(&hash.digest()), HashCheck::Decode).is_err());
    assert_eq!(check(Some(&hash.digest()), HashCheck::Trust), Ok(vec![]));
    assert!(check(None, HashCheck::Trust).is_err());
}

#[test]
fn of_two_captures_of_one_device_the_later_is_taken_with_a_note() {
    let first = machine(1);
    let second = first.recapture();
    for (one, other, line) in [(&first, &second, 3), (&second, &first, 2)] {
        let found = table(&format!("{HEADER}\n{}\n{}\n", row(one), row(other))).find(own(&first)).unwrap();
        assert_eq!((found.line, found.hash), (line, second.hash()));
        assert_eq!(found.notes, [format!("lines 2, 3 are captures of one device, line {line} has the latest")]);
    }
    let twice = table(&format!("{HEADER}\n{0}\n{0}\n", row(&first))).find(own(&first)).unwrap();
    assert_eq!((twice.line, twice.notes), (3, vec!["lines 2, 3 hold the same hash".to_owned()]));
}

#[test]
fn two_devices_with_one_serial_are_for_a_person_to_decide() {
    let first = machine(1);
    let clone = machine(5).with_serial(own(&first).clone());
    let repaired = first.swap_board();
    for other in [clone, repaired] {
        let error = table(&format!("{HEADER}\n{}\n{}\n", row(&first), row(&other))).find(own(&first)).unwrap_err();
        let expected =
            format!("lines 2, 3 are all for serial `{}`, but of different devices; keep one of them", own(&first));
        assert_eq!(silent(&error), expected);
    }
}

#[test]
fn a_broken_row_is_named_by_its_line_and_spoils_no_other() {
    let (a, b, c) = (machine(1), machine(2), machine(3));
    let base64 = a.hash().to_base64();
    let text =
        format!("{HEADER}\nA1,,{}...\n{}\nC1,,\nD1,,{}-{}\n", &base64[..60], row(&b), &base64[..9], &base64[9..]);
    let table = table(&text);
    assert_eq!(table.find(own(&b)).unwrap().hash, b.hash());
    let fault = |text: &str| silent(&table.find(&serial(text)).unwrap_err());
    assert_eq!(fault("A1"), "line 2: the hash was shortened with an ellipsis at character 61; copy it whole");
    assert_eq!(fault("C1"), "line 4: the row has no hardware hash");
    assert_eq!(fault("D1"), "line 5: character 10 (U+002D) is not of the base64 alphabet");
    let missing = format!(
        "no row is for serial `{}` (4 rows, of which lines 2, 4, 5 could not be read); collect that device again, or correct the serial",
        own(&c)
    );
    assert_eq!(fault(own(&c).as_str()), missing);
}

#[test]
fn a_csv_without_hashes_says_so() {
    assert_eq!(problem(""), CaptureError::Empty);
    assert_eq!(problem("\r\n \r\n"), CaptureError::Empty);
    assert_eq!(problem(HEADER), CaptureError::NoRows);
    assert_eq!(problem("Contoso,Model 1,PF4T9K2L\n"), CaptureError::NoRows);
    assert_eq!(problem(&format!("{HEADER}\nPF4T9K2L,00330-1,\n")), CaptureError::RowWithoutHash { line: 2 });
}

#[test]
fn a_merge_conflict_is_named_with_its_line() {
    let (one, other) = (row(&machine(1)), row(&machine(2)));
    for text in [
        format!("{HEADER}\r\n<<<<<<< HEAD\r\n{one}\r\n=======\r\n{other}\r\n>>>>>>> bergen\r\n"),
        format!("{HEADER}\n=======\n{other}\n"),
        format!("{HEADER}\n>>>>>>> bergen\n{other}\n"),
    ] {
        assert_eq!(problem(&text), CaptureError::MergeConflict { line: 2 });
    }
    let hash = machine(1).hash().to_base64();
    let text = format!("<<<<<<< HEAD\n{hash}\n=======\n{hash}\n>>>>>>> x\n");
    assert_eq!(capture::file(text.as_bytes()).unwrap_err(), CaptureError::MergeConflict { line: 1 });
    // Seven signs inside of a value are none.
    assert_eq!(table(&format!("{HEADER}\n{one},=======\n")).entries().len(), 1);
}

#[test]
fn a_column_that_was_too_narrow_is_named() {
    let text = format!("{HEADER}\nA1,,########\nB1,,#NAME?\n{}\n", row(&machine(1)));
    let fault = |serial_of: &str| silent(&table(&text).find(&serial(serial_of)).unwrap_err());
    assert!(fault("A1").starts_with("line 2: a spreadsheet has written `#` for it: the column was too narrow"));
    assert!(fault("B1").starts_with("line 3: a spreadsheet has written an error such as `#NAME?` for it"));
}

#[test]
fn an_open_quotation_mark_does_not_swallow_the_rows_behind_it() {
    let text = format!("{HEADER}\n\"PF1,,x\n{}\n{}\n", row(&machine(1)), row(&machine(2)));
    assert_eq!(problem(&text), CaptureError::OpenQuote { line: 2 });
    let inside = machine(1).hash().to_base64();
    let inside = format!("{HEADER}\nPF1,,\"{}\"{}\n", &inside[..40], &inside[40..]);
    assert_eq!(problem(&inside), CaptureError::OpenQuote { line: 2 });
}

#[test]
fn a_repair_in_a_row_is_reported_with_it() {
    let a = machine(1);
    let found = table(&format!("{HEADER}\n{}A\n", row(&a))).find(own(&a)).unwrap();
    assert_eq!((found.hash, found.repairs), (a.hash(), vec![Repair::DanglingCharacter]));
}

#[test]
fn an_index_finds_rows_in_the_text_read_again_and_notices_another_text() {
    let text = format!("{HEADER}\n{}\n{}\n", row(&machine(1)), row(&machine(2)));
    let index = table(&text).into_parts().0;
    assert_eq!(index.find(&text, own(&machine(2))).unwrap().hash, machine(2).hash());
    let other = text.replace(&row(&machine(2)), &row(&machine(6)));
    assert_eq!(index.find(&other, own(&machine(2))), Err(CaptureError::Changed { line: 3 }));
    assert_eq!(index.find("", own(&machine(2))), Err(CaptureError::Changed { line: 3 }));
}

#[test]
fn five_hundred_rows_are_read_once_and_each_is_found() {
    let machines: Vec<_> = (0..500).map(machine).collect();
    let rows: String = machines.iter().map(|machine| row(machine) + "\r\n").collect();
    let table = capture::csv(&utf16le(&format!("\u{feff}{HEADER}\r\n{rows}"))).unwrap();
    for machine in &machines {
        assert_eq!(table.find(own(machine)).unwrap().hash, machine.hash());
    }
}

#[test]
fn a_good_hash_is_usable_for_its_own_serial_only() {
    let a = machine(1);
    let check = |hash: &HardwareHash, serial: &SerialNumber, pin: Option<&HashDigest>| {
        capture::usable(hash, serial, pin, HashCheck::Decode, None)
    };
    let refused = |result| match result {
        Err(HashError::Unusable(reason)) => silent(&reason),
        other => panic!("{other:?}"),
    };
    assert_eq!(check(&a.hash(), own(&a), None), Ok(vec![]));
    assert_eq!(check(&a.hash(), own(&a), Some(&a.hash().digest())), Ok(vec![]));
    assert_eq!(check(&a.hash(), &serial(&format!(" {} ", own(&a).as_str().to_lowercase())), None), Ok(vec![]));
    assert_eq!(
        refused(check(&a.hash(), &serial("TEST-OTHER"), None)),
        format!("the hash is that of serial `{}`, declared is `TEST-OTHER`: swapped rows or files?", own(&a))
    );
    let pin = machine(2).hash().digest();
    assert_eq!(
        refused(check(&a.hash(), own(&a), Some(&pin))),
        format!(
            "the hash has the digest {}, the pin says {}: it was replaced; compare both, then correct `sha256`",
            a.hash().digest().short(),
            pin.short()
        )
    );
    let cut = HardwareHash::from_bytes(a.hash().as_bytes()[..500].to_vec());
    assert!(refused(check(&cut, own(&a), None)).starts_with("the hash is cut short: 500 bytes are here"));
    let placeholder = serial("Default string");
    let named = a.clone().with_serial(placeholder.clone()).hash();
    assert!(refused(check(&named, &placeholder, None)).contains("is a placeholder"));
    assert!(refused(check(&a.clone().without_serial().hash(), own(&a), None)).contains("no serial number"));
    let without_tpm = a.clone().with_tpm(false).hash();
    let codes: Vec<_> = check(&without_tpm, own(&a), None).unwrap().into_iter().map(|it| it.code).collect();
    assert_eq!(codes, ["no-tpm"]);
}

/// What happens to files on their way: pieces cut out, characters put in.
fn damaged(text: &str, edits: &[(proptest::sample::Index, usize, String)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, cut, insert) in edits {
        let at = at.index(chars.len() + 1);
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, insert.chars());
    }
    chars.into_iter().collect()
}

proptest! {
    #[test]
    fn a_damaged_file_gives_whole_hashes_or_silent_errors(
        edits in proptest::collection::vec(
            (any::<proptest::sample::Index>(), prop_oneof![Just(0), 0usize..3000], "[\"',;\t\r\n <>/=.é\u{feff}\u{0}]{0,4}"),
            0..6,
        ),
        form in 0..3,
    ) {
        let (a, b) = (machine(1), machine(2));
        let whole = match form {
            0 => format!("{HEADER},Group Tag\r\n{},OSL\r\n{},\r\n", row(&a), row(&b)),
            1 => format!("<Key><HardwareHash>{}</HardwareHash></Key>", a.hash().to_base64()),
            _ => a.hash().to_base64(),
        };
        let bytes = damaged(&whole, &edits).into_bytes();
        if let Err(error) = capture::file(&bytes) {
            silent(&error);
        }
        match capture::csv(&bytes) {
            Err(error) => _ = silent(&error),
            Ok(table) => for machine in [&a, &b] {
                match table.find(own(machine)) {
                    Err(error) => _ = silent(&error),
                    // By its column a damaged hash may be found, but not be used.
                    Ok(found) => match capture::usable(&found.hash, own(machine), None, HashCheck::Decode, None) {
                        Err(error) => _ = silent(&error),
                        Ok(_) => prop_assert_eq!(
                            &found.hash.decode().unwrap().records,
                            &machine.capture().records,
                        ),
                    },
                }
            },
        }
    }
}
