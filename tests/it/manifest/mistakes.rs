//! The mistakes that everybody makes in YAML, told in our words and where they
//! were made.

use super::{Repo, TENANT, found, told};

const DEVICE: &str = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a1}\nspec:\n";
const SET: &str = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {name: s1}\nspec:\n";

/// One problem, of this code and at this place, that says this.
#[track_caller]
fn check(text: &str, code_and_place: &str, says: &[&str]) {
    let repo = Repo::bare();
    if !text.contains("AutopilotTenant") {
        repo.write("tenant.yaml", TENANT);
    }
    repo.write("a.yaml", text);
    let loaded = repo.load();
    let (code, place) = code_and_place.split_once(' ').unwrap();
    assert_eq!(found(&repo, &loaded), format!("{code} a.yaml:{place}\n"), "{text}\n{}", told(&loaded));
    for says in says {
        assert!(told(&loaded).contains(says), "{says}\n{text}\n{}", told(&loaded));
    }
}

#[test]
fn a_blank_that_is_missing_after_a_colon() {
    let says = ["a blank is missing after `serialNumber:`", "write `serialNumber: A1`"];
    check(&format!("{DEVICE}  serialNumber:A1\n  groupTag: X\n"), "yaml 5:3", &says);
    check(&format!("{DEVICE}  groupTag: X\n  serialNumber:A1\n"), "yaml 6:3", &says);
    check(&format!("{DEVICE}  serialNumber:A1\n"), "yaml 5:3", &says);
    check(&format!("{SET}  devices: [{{serialNumber:A1, groupTag: X}}]\n"), "yaml 5:14", &says);
    check(&format!("{SET}  devices:\n    - serialNumber:A1\n    - serialNumber: A2\n"), "yaml 6:7", &says);
    check(&format!("{SET}  devices:\n    - groupTag: X\n      serialNumber:A1\n"), "yaml 7:7", &says);
    let reference = format!("{DEVICE}  serialNumber: A1\n  hardwareHashRef: {{file:a.txt}}\n");
    check(&reference, "yaml 6:21", &["write `file: a.txt`"]);
    check(&DEVICE.replace("apiVersion: ", "apiVersion:"), "yaml 1:1", &["after `apiVersion:`"]);
}

#[test]
fn a_tab_in_the_line_that_it_stands_in() {
    let says = ["a tab stands where only blanks may be", "never with tabs"];
    check(&format!("{DEVICE}\tserialNumber: A1\n"), "yaml 5:1", &says);
    check(&format!("{DEVICE}  serialNumber: A1\n\tgroupTag: X\n"), "yaml 6:1", &says);
    check(&format!("{SET}  devices:\n    - serialNumber: A1\n    \tgroupTag: X\n"), "yaml 7:5", &says);
    check(&format!("{SET}  devices:\n    - serialNumber: A1\n\n\t- serialNumber: A2\n"), "yaml 8:1", &says);
}

#[test]
fn a_line_with_the_wrong_indentation() {
    let more = format!("{DEVICE}  serialNumber: A1\n    groupTag: X\n");
    check(&more, "yaml 6:5", &["indented more than `serialNumber`", "begin it in column 3, below `serialNumber`"]);
    let less = format!("{DEVICE}  serialNumber: A1\n groupTag: X\n");
    check(&less, "yaml 6:2", &["begins in column 2", "begin it in column 3, below `serialNumber`"]);
    let entry = format!("{SET}  devices:\n    - serialNumber: A1\n");
    check(&format!("{entry}    groupTag: X\n"), "yaml 7:5", &["begin with `- `", "column 7, below `serialNumber`"]);
    check(&format!("{entry}   - serialNumber: A2\n"), "yaml 7:4", &["begin it in column 5, below `-`"]);
    check(&format!("{entry}     groupTag: X\n"), "yaml 7:6", &["begin it in column 7, below `serialNumber`"]);
    // The same in the second of two documents.
    check(&format!("{DEVICE}  serialNumber: A1\n---\n{entry}     groupTag: X\n"), "yaml 13:6", &["column 7"]);
}

#[test]
fn a_merge_conflict_that_was_left() {
    let says = ["a merge conflict is left open here", "decide for one side"];
    let sides = "<<<<<<< HEAD\n  groupTag: X\n=======\n  groupTag: Y\n>>>>>>> branch\n";
    check(&format!("{DEVICE}  serialNumber: A1\n{sides}"), "merge-conflict 6:1", &says);
    check(
        &format!("<<<<<<< HEAD\n{DEVICE}  serialNumber: A1\n=======\n{DEVICE}  serialNumber: B1\n>>>>>>> branch\n"),
        "merge-conflict 1:1",
        &says,
    );
}

#[test]
fn a_backslash_in_double_quotes() {
    let reference = format!("{DEVICE}  serialNumber: A1\n  hardwareHashRef: {{file: \"hashes\\oslo\\x.txt\"}}\n");
    check(&reference, "yaml 6:34", &["`\\o` means nothing", "write paths with `/`"]);
    check(&format!("{DEVICE}  serialNumber: A1\n  groupTag: \"a\\xzz\"\n"), "yaml 6:15", &["`\\x` means nothing"]);
}

#[test]
fn a_text_where_a_map_is_wanted() {
    let device = |line: &str| format!("{DEVICE}  serialNumber: A1\n  {line}\n");
    check(
        &device("hardwareHashRef: hashes/a.txt"),
        "wrong-type 6:20",
        &["write `hardwareHashRef: {file: hashes/a.txt}`"],
    );
    check(&device("hardwareHashRef: a.CSV"), "wrong-type 6:20", &["write `hardwareHashRef: {csv: a.CSV}`"]);
    check(&device("tenantRef: contoso"), "wrong-type 6:14", &["write `tenantRef: {name: contoso}`"]);
    check(&format!("{SET}  devices: [A1]\n"), "wrong-type 5:13", &["write `{serialNumber: A1}`"]);
    check(&format!("{SET}  devices: A1\n"), "wrong-type 5:12", &["write `devices: [{serialNumber: A1}]`"]);
    check(
        &format!("{SET}  devices:\n    serialNumber: A1\n"),
        "wrong-type 6:5",
        &["write `- ` before the first field"],
    );
    for (line, form) in [
        ("auth: AzureCli", "{type: AzureCli}"),
        ("auth: ClientSecret", "{type: ClientSecret, clientId: …}"),
        ("scope: OSL", "{groupTags: [OSL]}"),
        ("vaults: a.vault.azure.net", "[a.vault.azure.net]"),
    ] {
        let (name, _) = line.split_once(':').unwrap();
        let text = TENANT.replace("spec: {", &format!("spec: {{{line}, "));
        let column = 10 + name.len();
        check(&text, &format!("wrong-type 4:{column}"), &[&format!("write `{name}: {form}`")]);
    }
}

#[test]
fn quotes_and_brackets_that_are_not_closed_and_values_that_need_quotes() {
    let device = |line: &str| format!("{DEVICE}  serialNumber: A1\n  {line}\n  displayName: X\n");
    check(&device("groupTag: \"X"), "yaml 6:13", &["this quotation mark is not closed"]);
    check(&device("tenantRef: {name: contoso"), "yaml 6:14", &["this `{` is not closed"]);
    check(&device("groupTag: @x"), "yaml 6:13", &["does not begin with `@`", "quote this: `\"@x\"`"]);
    check(&device("groupTag: a: b"), "yaml 6:14", &["a second `:`", "`groupTag: \"a: b\"`"]);
}

#[test]
fn no_mistake_repeats_a_hash() {
    let hash = crate::support::machine(1).hash().to_base64();
    for line in [
        "hardwareHash:H",
        "hardwareHash: a: H",
        "hardwareHash: @H",
        "H:H",
        "hardwareHash: \"\\qH\"",
        "hardwareHash: \"H",
    ] {
        let repo = Repo::new();
        repo.write("a.yaml", format!("{DEVICE}  serialNumber: A1\n  {}\n  groupTag: X\n", line.replace('H', &hash)));
        let told = told(&repo.load());
        assert!((0..hash.len() - 24).all(|at| !told.contains(&hash[at..at + 24])), "{line}");
    }
}
