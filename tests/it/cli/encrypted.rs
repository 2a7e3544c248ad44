//! Hashes that are encrypted: a plan needs no key, and an apply finds out before
//! the first write that it has none.

use std::path::Path;
use std::process::Command;

use crate::support::{Desk, Folder, Ran, contoso, ran};

/// The example, with one hash in a file that `age` would have to open.
fn contoso_encrypted(desk: &Desk) -> Folder {
    let folder = contoso();
    let plan = desk.run(&format!("plan {} --simulate --json", folder.path().display())).json();
    let actions = plan["actions"].as_array().expect("actions").clone();
    let kiosk = actions.iter().find(|of| of["object"]["serialNumber"] == "TEST-KSK-001").expect("the kiosk");
    let hash = kiosk["changes"].as_array().and_then(|of| of.iter().find(|of| of["path"] == "hardwareHash"));
    let pin = hash.expect("its hash")["afterSha256"].as_str().expect("its digest").to_owned();
    folder.write("hashes/TEST-KSK-001.txt.age", "age-encryption.org/v1\nnobody has the key of this\n");
    let (plain, secret) =
        ("{file: ../../hashes/TEST-KSK-001.txt}", "{file: ../../hashes/TEST-KSK-001.txt.age, sha256: ");
    folder.edit("devices/oslo/kiosks.yaml", plain, &format!("{secret}{pin}}}"));
    folder
}

fn without_tools(desk: &Desk, words: &str) -> Ran {
    let mut command: Command = desk.command(words);
    ran(command.env("PATH", "/nonexistent"))
}

#[test]
fn a_hash_that_cannot_be_read_here_is_found_before_the_first_write() {
    let desk = Desk::new();
    let folder = contoso_encrypted(&desk);
    let path = folder.path().display();
    let plan = without_tools(&desk, &format!("plan {path} --simulate"));
    assert!(plan.code == 0 && plan.out.contains("9 to register"), "{}{}", plan.out, plan.err);
    let apply = without_tools(&desk, &format!("apply {path} --simulate --auto-approve"));
    assert_eq!(apply.code, 3, "{}", apply.err);
    for word in ["TEST-KSK-001.txt.age", "`age` is not on the path", "SOPS_AGE_KEY_FILE", "nothing was written"] {
        assert!(apply.err.contains(word), "{word}: {}", apply.err);
    }
    let again = without_tools(&desk, &format!("plan {path} --simulate"));
    assert!(again.out.contains("0 registered") && again.out.contains("9 to register"), "{}", again.out);
}

/// Runs a tool that is not ours; `None` where it is not on this machine.
fn tool(name: &str, args: &[&str], at: &Path) -> Option<String> {
    let output = match Command::new(name).args(args).current_dir(at).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{name}: {error}"),
    };
    assert!(output.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("text"))
}

/// `make tools` brings both, where Go is.
#[test]
fn what_age_and_sops_encrypt_is_planned_without_a_key_and_applied_with_it() {
    let (desk, folder) = (Desk::new(), contoso());
    let at = folder.path();
    let key = desk.state.at("key.txt").display().to_string();
    let is_there = |name| tool(name, &["--version"], at).is_some();
    if !is_there("age") || !is_there("age-keygen") || !is_there("sops") {
        eprintln!("not tested: age and sops are not here");
        return;
    }
    let _ = tool("age-keygen", &["-o", &key], at);
    let recipient = tool("age-keygen", &["-y", &key], at).expect("it was there").trim().to_owned();
    let tools = std::env::var_os("PATH").expect("a path");
    let with_key = |words: &str| ran(desk.command(words).env("PATH", &tools).env("SOPS_AGE_KEY_FILE", &key));
    let without = |words: &str| ran(desk.command(words).env("PATH", &tools).env_remove("SOPS_AGE_KEY_FILE"));

    // One hash in a file of its own, by `age`.
    let plain = "hashes/TEST-KSK-001.txt";
    let secret = format!("{plain}.age");
    let _ = tool("age", &["-r", &recipient, "-o", &secret, plain], at);
    let path = at.display();
    let pin = with_key(&format!("hash --pin {path}/{secret}"));
    assert!(pin.code == 0 && pin.out.trim().len() == 64, "{}{}", pin.out, pin.err);
    let reference = format!("{{file: ../../{secret}, sha256: {}}}", pin.out.trim());
    folder.edit("devices/oslo/kiosks.yaml", &format!("{{file: ../../{plain}}}"), &reference);

    // A whole collector's file, by `sops`: each device has its pin.
    let args = ["--encrypt", "--age", &recipient, "--input-type", "binary", "--output-type", "binary"];
    let args = [&args[..], &["--output", "hashes/oslo.sops.csv", "hashes/oslo.csv"]].concat();
    let _ = tool("sops", &args, at);
    let pins = with_key(&format!("hash --pin {path}/hashes/oslo.sops.csv"));
    assert_eq!((pins.code, pins.out.lines().count()), (0, 5), "{}{}", pins.out, pins.err);
    folder.edit("devices/oslo/laptops.yaml", "    hardwareHashRef: {csv: ../../hashes/oslo.csv}\n", "");
    for (number, line) in (1..).zip(pins.out.lines()) {
        let digits = line.split_whitespace().next().expect("a pin");
        let serial = format!("    - serialNumber: TEST-OSL-{number:03}\n");
        let reference = format!("{{csv: ../../hashes/oslo.sops.csv, sha256: {digits}}}");
        folder.edit("devices/oslo/laptops.yaml", &serial, &format!("{serial}      hardwareHashRef: {reference}\n"));
    }
    std::fs::remove_file(folder.at(plain)).expect("it was there");
    std::fs::remove_file(folder.at("hashes/oslo.csv")).expect("it was there");

    let validate = without(&format!("validate {path}"));
    assert_eq!(validate.code, 0, "{}{}", validate.out, validate.err);
    let plan = without(&format!("plan {path} --simulate"));
    assert!(plan.code == 0 && plan.out.contains("9 to register"), "{}{}", plan.out, plan.err);
    let refused = without(&format!("apply {path} --simulate --auto-approve"));
    assert!(refused.code == 3 && refused.err.contains("nothing was written"), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("oslo.sops.csv") && refused.err.contains("KSK-001.txt.age"), "{}", refused.err);
    let apply = with_key(&format!("apply {path} --simulate --auto-approve"));
    assert!(apply.code == 0 && apply.out.contains("9 done"), "{}{}", apply.out, apply.err);
    let again = without(&format!("plan {path} --simulate"));
    assert!(again.out.contains("No changes.\n  9 unchanged"), "{}", again.out);
}
