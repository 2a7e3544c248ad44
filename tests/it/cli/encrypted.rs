//! Hashes that are encrypted: a plan needs no key, and an apply finds out before
//! the first write that it has none.

use std::process::Command;

use crate::support::{Desk, Folder, Ran, ran, root};

/// The example, with one hash in a file that `age` would have to open.
fn contoso(desk: &Desk) -> Folder {
    let folder = Folder::copy_of(&root().join("examples/contoso"));
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
    let folder = contoso(&desk);
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
