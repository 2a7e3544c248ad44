//! What is wrong with the one reference under `defaults` is one mistake, however
//! many devices take it; and what no device takes is none.

use std::fmt::Write as _;

use super::{Repo, intake, told, validated};

/// What `validate` says of a set of 20 devices with this reference, and how many
/// errors and warnings that is.
fn said(repo: &Repo, reference: &str) -> (String, usize, usize) {
    let (machines, csv) = intake(20);
    repo.write("oslo.csv", csv);
    repo.write("one.txt", machines[4].hash().to_base64());
    let mut set = format!("  defaults: {{hardwareHashRef: {{{reference}}}}}\n  devices:\n");
    for machine in &machines {
        let _ = writeln!(set, "    - {{serialNumber: \"{}\"}}", machine.serial().unwrap());
    }
    repo.devices("a.yaml", &set);
    let (_, _, err) = validated(&repo.path().display().to_string());
    let warnings = err.matches("warning[").count() - err.matches("warning[plain-hash").count();
    (err.clone(), err.matches("error[").count(), warnings)
}

#[test]
fn one_mistake_under_defaults_is_one_problem() {
    let pin = "0123456789abcdef".repeat(4);
    for (reference, errors, warnings, words) in [
        ("file: oslo.csv", 1, 0, ["20 devices", "name it with `csv:`"]),
        ("file: one.txt", 1, 0, ["`one.txt` holds one hash, and 19 devices name it", "`csv:`"]),
        ("env: APGIT_HASH_NOT_SET_HERE", 0, 1, ["20 devices", "`APGIT_HASH_NOT_SET_HERE` is not set"]),
        (&format!("csv: oslo.csv, sha256: {pin}"), 1, 0, ["error[hash-pin-shared]", "20 devices"]),
        (&format!("file: one.txt, hashCheck: Trust, sha256: {pin}"), 1, 0, ["error[hash-pin-shared]", "20 devices"]),
    ] {
        let (err, was, warned) = said(&Repo::new(), reference);
        assert_eq!((was, warned), (errors, warnings), "{reference}: {err}");
        assert!(words.iter().all(|word| err.contains(word)), "{reference}: {err}");
    }
}

const PIN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn encrypted(devices: &str) -> String {
    let repo = Repo::new();
    repo.write("oslo.csv.age", "age-encryption.org/v1\n");
    let defaults = "  defaults: {groupTag: OSL, hardwareHashRef: {csv: oslo.csv.age}}\n";
    repo.devices("a.yaml", &format!("{defaults}  devices:\n{devices}"));
    told(&repo.load())
}

#[test]
fn a_pin_is_missing_only_where_a_device_takes_the_reference() {
    let own = format!("    - {{serialNumber: A1, hardwareHashRef: {{csv: oslo.csv.age, sha256: {PIN}}}}}\n");
    assert!(!encrypted(&own).contains("error"), "{}", encrypted(&own));
    let text = encrypted(&format!("{own}    - serialNumber: A2\n"));
    assert!(text.matches("error[").count() == 1 && text.contains("hash-pin-missing"), "{text}");
}

#[test]
fn a_reference_of_a_device_replaces_the_one_of_the_defaults() {
    let text = encrypted(&format!("    - {{serialNumber: A1, hardwareHashRef: {{sha256: {PIN}}}}}\n"));
    assert_eq!(text.matches("error[").count(), 1, "{text}");
    assert!(text.contains("replaces the whole of the one under `defaults`"), "{text}");
    assert!(text.contains("write `csv: oslo.csv.age` beside `sha256`"), "{text}");
}

#[test]
fn a_backslash_in_double_quotes_is_called_an_escape() {
    let repo = Repo::new();
    for path in ["hashes\\bergen.csv", "hashes\\new.csv", "hashes\\tromso.csv"] {
        repo.devices("a.yaml", &format!("  devices: [{{serialNumber: A1, hardwareHashRef: {{csv: \"{path}\"}}}}]\n"));
        let text = told(&repo.load());
        assert!(text.matches("error[").count() == 1 && text.contains("the path has control characters"), "{text}");
        assert!(text.contains("in double quotes, a backslash begins an escape"), "{text}");
    }
}
