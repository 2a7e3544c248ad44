//! `apgit hash` over files that are no plain hash: encrypted, of another kind, or
//! damaged by a spreadsheet. What it says, `validate` says too.

use apgit::door::hash::generate::{Machine, Vendor};

use super::{Files, command};
#[cfg(unix)]
use crate::support::ran;
use crate::support::{Desk, Folder, tenant_manifest};

fn machine() -> Machine {
    Machine::new(Vendor::Dell, 8)
}

/// A command that stands in for `age` or `sops`: it knows the arguments and the
/// key that the real one wants.
#[cfg(unix)]
fn tool(folder: &Folder, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    folder.write(name, format!("#!/bin/sh\nfor last; do :; done\n{script}\n"));
    std::fs::set_permissions(folder.at(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(unix)]
#[test]
fn an_encrypted_hash_is_decrypted_as_an_apply_does_it() {
    let files = Files::with(&[("a.txt.age", machine().hash().to_base64()), ("key", "AGE-SECRET-KEY-1".into())]);
    let tools = Folder::new();
    tool(&tools, "age", "[ \"$1 $2 $3\" = \"--decrypt --identity $SOPS_AGE_KEY_FILE\" ] && exec /bin/cat \"$last\"");
    let mut hash = Desk::new().command(&format!("hash {}", files.path("a.txt.age")));
    let shown = ran(hash.env("PATH", tools.path()).env("SOPS_AGE_KEY_FILE", files.path("key")));
    assert_eq!((shown.code, shown.err.as_str()), (0, ""));
    assert!(shown.out.contains("OptiPlex") && shown.out.contains("decrypted"), "{}", shown.out);
    let mut pin = Desk::new().command(&format!("hash --pin {}", files.path("a.txt.age")));
    let pin = ran(pin.env("PATH", tools.path()).env("SOPS_AGE_KEY_FILE", files.path("key")));
    assert_eq!((pin.code, pin.out), (0, format!("{}\n", machine().hash().digest().hex())));
}

#[cfg(unix)]
#[test]
fn what_is_missing_to_decrypt_a_hash_is_said() {
    let files = Files::with(&[("a.txt.age", "x".into()), ("b.txt", machine().hash().to_base64())]);
    let tools = Folder::new();
    let run = |key: Option<&str>| {
        let mut hash = Desk::new().command(&format!("hash {} {}", files.path("a.txt.age"), files.path("b.txt")));
        key.map(|key| hash.env("SOPS_AGE_KEY_FILE", key));
        let shown = ran(hash.env("PATH", tools.path()));
        assert!(shown.code == 1 && shown.out.contains("OptiPlex"), "the other file is shown: {}", shown.err);
        shown.err
    };
    let without = run(None);
    assert!(without.contains("the command `age` is not on the path"), "{without}");
    tool(&tools, "age", "echo 'age: error: no identity matched any of the recipients' >&2; exit 1");
    let without = run(None);
    assert!(without.contains("no identity matched") && without.contains("`SOPS_AGE_KEY_FILE` is not set"), "{without}");
    let elsewhere = run(Some("/nowhere/key.txt"));
    assert!(elsewhere.contains("`SOPS_AGE_KEY_FILE` names a file that is not there"), "{elsewhere}");
}

#[test]
fn a_pin_is_the_digits_to_paste_and_nothing_else() {
    let row = |machine: &Machine| format!("{},,{}\n", machine.serial().unwrap(), machine.hash().to_base64());
    let other = Machine::new(Vendor::Hp, 2);
    let csv = format!("Device Serial Number,Windows Product ID,Hardware Hash\n{}{}", row(&machine()), row(&other));
    let files = Files::with(&[("a.txt", machine().hash().to_base64()), ("a.csv", csv), ("b.txt", "T0E-".into())]);
    let digits = machine().hash().digest().hex();
    assert_eq!(command(&["--pin", &files.path("a.txt")]), (0, format!("{digits}\n"), String::new()));
    let (code, out, _) = command(&["--pin", &files.path("a.csv")]);
    let expected = format!("{digits}  a.csv:2\n{}  a.csv:3\n", other.hash().digest().hex());
    assert_eq!((code, files.plain(&out)), (0, expected));
    let (code, out, err) = command(&["--pin", &files.path("b.txt")]);
    assert!(code == 3 && out.is_empty() && err.contains("b.txt"), "{out}{err}");
    assert_eq!(command(&["--pin", "--json", &files.path("a.txt")]).0, 64);
}

#[test]
fn a_hash_without_a_serial_has_a_pin_and_its_faults_are_told() {
    let hash = machine().without_serial().hash();
    let files = Files::with(&[("a.txt", hash.to_base64())]);
    let (code, out, err) = command(&["--pin", &files.path("a.txt")]);
    assert_eq!((code, out), (3, format!("{}\n", hash.digest().hex())));
    assert!(err.contains("no serial number"), "{err}");
}

/// A manifest that names a file, and what `validate` says of it.
fn validated(folder: &Folder, reference: &str) -> String {
    let root = Folder::repository();
    for file in folder.files() {
        root.write(file.file_name().unwrap(), std::fs::read(&file).unwrap());
    }
    root.write("tenant.yaml", tenant_manifest("cloud: Global"));
    let serial = machine().serial().unwrap().clone();
    let head = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: one}\nspec:\n";
    root.write("a.yaml", format!("{head}  serialNumber: \"{serial}\"\n  hardwareHashRef: {{{reference}}}\n"));
    Desk::new().run(&format!("validate {}", root.path().display())).err
}

#[test]
fn what_is_not_known_is_called_unknown_by_hash_and_validate() {
    let binary: Vec<u8> = (0..600u32).map(|n| (n * 7 % 251) as u8).collect();
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("noise", binary, "these bytes are not known here: they are no text"),
        ("book.xlsx", b"PK\x03\x04\x14\0\x06\0<xml>".to_vec(), "this is a ZIP archive or a workbook of Excel"),
        ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0".to_vec(), "this is a workbook of an old Excel"),
        ("diag.cab", b"MSCF\0\0\0\0<".to_vec(), "this is a cabinet"),
        ("a.gz", b"\x1f\x8b\x08\0".to_vec(), "this is packed with gzip"),
        ("a.enc", b"age-encryption.org/v1\n-> X25519 x\n".to_vec(), "this is encrypted with `age`"),
        ("page.html", b"<!DOCTYPE html><html><body>Sign in</body></html>".to_vec(), "this is a web page"),
        ("prose.txt", b"if a < b then\nsay so".to_vec(), "this is not known here"),
    ];
    for (name, bytes, message) in cases {
        let folder = Folder::new();
        folder.write(name, &bytes);
        let (code, _, err) = command(&[folder.at(name).to_str().unwrap()]);
        assert!(code == 3 && err.contains(message) && !err.contains("XML"), "{name}: {err}");
        for form in ["file", "csv"] {
            let err = validated(&folder, &format!("{form}: {name}"));
            assert!(err.contains(message) || form == "csv" && name == "prose.txt", "{form} {name}: {err}");
        }
    }
}

#[test]
fn a_serial_that_a_spreadsheet_made_a_number_of_is_named_by_hash_and_validate() {
    let message = "a spreadsheet has changed the serial number";
    let hash = machine().hash().to_base64();
    for serial in ["1.23457E+11", "5,00E+09", "3-Jan", "03.01.2024", "########", "#NAME?", "#REF!", "#N/A"] {
        let folder = Folder::new();
        folder.write("a.csv", format!("Device Serial Number;Windows Product ID;Hardware Hash\r\n{serial};;{hash}\r\n"));
        let (code, out, _) = command(&[folder.at("a.csv").to_str().unwrap()]);
        assert!(code == 0 && out.contains("warning[spreadsheet]") && out.contains(message), "{serial}: {out}");
        let err = validated(&folder, "csv: a.csv");
        assert!(err.contains("warning[spreadsheet]") && err.contains(message), "{serial}: {err}");
    }
    // The zeros before a number go first; and without a serial inside, the row is not found.
    let zeros = machine().with_serial(apgit::door::model::SerialNumber::parse("0012345").unwrap());
    let folder = Folder::new();
    folder.write("a.csv", format!("Device Serial Number,Hardware Hash\n12345,{}\n", zeros.hash().to_base64()));
    let (_, out, _) = command(&[folder.at("a.csv").to_str().unwrap()]);
    assert!(out.contains(message), "{out}");
    let folder = Folder::new();
    let without = machine().without_serial().hash().to_base64();
    folder.write("a.csv", format!("Device Serial Number,Hardware Hash\n1.2E+05,{without}\n"));
    let err = validated(&folder, "csv: a.csv");
    assert!(err.contains("no row is for serial") && err.contains(message), "{err}");
}

#[test]
fn hidden_identifiers_say_how_to_see_them() {
    let hash = machine().hash().to_base64();
    let files = Files::with(&[("a.txt", hash.clone()), ("a.csv", format!("x,{hash}\ny,{hash}\n"))]);
    for file in ["a.txt", "a.csv"] {
        let (_, out, _) = command(&[&files.path(file)]);
        assert_eq!(out.matches("--show-identifiers").count(), 1, "{out}");
        assert!(!command(&[&files.path(file), "--show-identifiers"]).1.contains("--show-identifiers"));
    }
}

#[test]
fn a_merge_conflict_and_a_narrow_column_are_named_by_hash_and_validate() {
    let (serial, hash) = (machine().serial().unwrap().clone(), machine().hash().to_base64());
    let other = Machine::new(Vendor::Hp, 2).hash().to_base64();
    let head = "Device Serial Number,Windows Product ID,Hardware Hash\n";
    let cases = [
        (
            format!("{head}<<<<<<< HEAD\n{serial},,{hash}\n=======\n{serial},,{hash}\n>>>>>>> x\n"),
            "line 2: a merge conflict of Git was not resolved",
        ),
        (format!("{head}{serial},,########\nA,,{other}\n"), "the column was too narrow"),
    ];
    for (csv, message) in cases {
        let folder = Folder::new();
        folder.write("a.csv", csv);
        let (code, out, err) = command(&[folder.at("a.csv").to_str().unwrap()]);
        assert!(code == 3 && format!("{out}{err}").contains(message), "{out}{err}");
        let err = validated(&folder, "csv: a.csv").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(err.contains("error[hash]") && err.contains(message), "{err}");
    }
}
