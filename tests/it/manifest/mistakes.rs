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
fn a_text_that_begins_as_an_alias_does() {
    let tags = |tags: &str| TENANT.replace("spec: {", &format!("spec: {{scope: {{groupTags: {tags}}}, "));
    let says = ["a text without quotes does not begin with `*`", "quote this: `\"*\"`"];
    check(&tags("[*]"), "yaml 4:28", &says);
    check(&tags("[OSL-*, *]"), "yaml 4:35", &says);
    let says = ["a text without quotes does not begin with `*`", "quote this: `\"*-STD\"`"];
    check(&tags("[*-STD, OSL-*]"), "unknown-anchor 4:28", &says);
    let device = |line: &str| format!("{DEVICE}  serialNumber: A1\n  {line}\n");
    check(&device("groupTag: * # all"), "yaml 6:13", &["quote this: `\"*\"`"]);
    check(&device("groupTag: *OSL"), "unknown-anchor 6:13", &["quote this: `\"*OSL\"`"]);
    check(&device("groupTag: & Co"), "yaml 6:13", &["does not begin with `&`", "quote this: `\"& Co\"`"]);
}

#[test]
fn a_blank_that_is_missing_after_a_dash() {
    let says = |write: &'static str| ["a blank is missing after `-`", write];
    let entry = "    - serialNumber: A1\n";
    check(&format!("{SET}  devices:\n    -serialNumber: A1\n"), "yaml 6:5", &says("write `- serialNumber: A1`"));
    check(&format!("{SET}  devices:\n    -serialNumber:A1\n"), "yaml 6:5", &says("write `- serialNumber: A1`"));
    check(&format!("{SET}  devices:\n    -{{serialNumber: A1}}\n"), "yaml 6:5", &says("write `- {serialNumber: A1}`"));
    check(&format!("{SET}  devices:\n{entry}    -serialNumber: A2\n"), "yaml 7:5", &says("write `- serialNumber: A2`"));
    check(&format!("{SET}  devices:\n{entry}    -serialNumber:A2\n"), "yaml 7:5", &says("write `- serialNumber: A2`"));
    check(
        &format!("{SET}  devices:\n    -serialNumber: A1\n      groupTag: X\n"),
        "yaml 6:5",
        &says("write `- serialNumber: A1`"),
    );
    check(
        &format!("{SET}  devices:\n{entry}    -serialNumber: A2\n      groupTag: X\n"),
        "yaml 7:5",
        &says("write `- serialNumber: A2`"),
    );
    let tenant = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotTenant\nmetadata: {name: contoso}\nspec:\n  tenantId: \
                  11111111-2222-3333-4444-555555555555\n  policy: Sync\n  ownerId: corp\n";
    check(&format!("{tenant}  scope:\n    groupTags:\n      -OSL\n      -BGO\n"), "yaml 10:7", &says("write `- OSL`"));
    // A text may begin with a dash.
    let text = format!("{tenant}  scope: {{groupTags: -OSL}}\n");
    check(&text, "wrong-type 8:22", &["write `groupTags: [-OSL]`"]);
}

#[test]
fn a_no_break_space_where_a_blank_should_be() {
    const NB: char = '\u{a0}';
    let says = |write: &'static str| ["a no-break space (U+00A0) stands where a blank should be", write];
    let (device, tag) = (format!("{DEVICE}  serialNumber: A1\n"), "write a blank: `  groupTag: X`");
    check(&format!("{DEVICE}{NB}{NB}serialNumber: A1\n"), "yaml 5:1", &says("write a blank: `  serialNumber: A1`"));
    check(&format!("{device}{NB} groupTag: X\n"), "yaml 6:1", &says(tag));
    check(&format!("{device} {NB}groupTag: X\n"), "yaml 6:2", &says(tag));
    check(&format!("{device}  groupTag:{NB}X\n"), "yaml 6:12", &says(tag));
    check(&format!("{DEVICE}  serialNumber:{NB}A1\n"), "yaml 5:16", &says("write a blank: `  serialNumber: A1`"));
    check(&format!("{device}  groupTag: {NB}X\n"), "yaml 6:13", &says("write a blank: `  groupTag:  X`"));
    check(&format!("{device}  groupTag: X{NB}\n"), "yaml 6:14", &says(tag));
    check(&format!("{device}  groupTag{NB}: X\n"), "yaml 6:11", &says("write a blank: `  groupTag : X`"));
    check(&format!("{device}{NB}\n"), "yaml 6:1", &says("delete it"));
    let entry = "    - serialNumber: A1\n";
    check(&format!("{SET}  devices:\n    -{NB}serialNumber: A1\n"), "yaml 6:6", &says("`    - serialNumber: A1`"));
    check(&format!("{SET}  devices:\n{entry}    {NB}{NB}groupTag: X\n"), "yaml 7:5", &says("`      groupTag: X`"));
    let head = |from: &str, to: &str| device.replace(from, to);
    check(&head("kind: ", &format!("kind:{NB}")), "yaml 2:6", &says("`kind: AutopilotDevice`"));
    check(&head("metadata: ", &format!("metadata:{NB}")), "yaml 3:10", &says("`metadata: {name: a1}`"));
    check(&head("{name: ", &format!("{{name:{NB}")), "yaml 3:17", &says("`metadata: {name: a1}`"));
    check(&format!("{device}  groupTag:\u{3000}X\n"), "yaml 6:12", &["a blank of another kind (U+3000)"]);
    // Where it stands in a value, the field says what it is.
    check(&format!("{device}  groupTag: X{NB}Y\n"), "group-tag 6:13", &["character 2 is U+00A0"]);
    // Whatever others write is theirs.
    let repo = Repo::new();
    repo.write("a.yaml", format!("kind: ConfigMap\n{NB}data: x\napiVersion:{NB}v1\nother: {NB}x{NB}\n"));
    assert_eq!(repo.load().problems, vec![]);
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
        "hardwareHash: *H",
        "hardwareHash: * H",
        "-hardwareHash: H",
        "\u{a0}hardwareHash: H",
        "hardwareHash:\u{a0}H",
        "groupTag: “H”",
    ] {
        let repo = Repo::new();
        repo.write("a.yaml", format!("{DEVICE}  serialNumber: A1\n  {}\n  groupTag: X\n", line.replace('H', &hash)));
        let told = told(&repo.load());
        assert!((0..hash.len() - 24).all(|at| !told.contains(&hash[at..at + 24])), "{line}");
    }
}
