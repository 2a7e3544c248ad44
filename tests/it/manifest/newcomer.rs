//! What somebody writes on the first day, and what they are told: the true
//! mistake, once, and what to write instead.

use super::{Repo, TENANT, codes, told, validated};
use crate::support::machine;

const HEAD: &str = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {name: a}\nspec:\n";

/// What `validate` says of a set, with a CSV and an XML file beside it; and how
/// many problems there are.
fn said_of(spec: &str) -> (usize, String) {
    let repo = Repo::bare();
    repo.write("tenant.yaml", TENANT.replace("policy:", "hashStorage: PlainInGit, policy:"));
    let (serial, hash) = (machine(1).serial().unwrap().clone(), machine(1).hash().to_base64());
    let header = "Device Serial Number,Windows Product ID,Hardware Hash,Group Tag";
    repo.write("intake/ham.csv", format!("{header}\r\n{serial},,{hash},HAM\r\n"));
    repo.write("intake/OA3.xml", "<Key><ProductKeyState>6</ProductKeyState></Key>");
    repo.write("sets/a.yaml", format!("{HEAD}{spec}"));
    let (_, _, err) = validated(&repo.path().display().to_string());
    (err.matches("error[").count() + err.matches("warning[").count(), err)
}

#[track_caller]
fn check(spec: &str, count: usize, sentences: &[&str]) {
    let (found, err) = said_of(spec);
    assert!(sentences.iter().all(|sentence| err.contains(sentence)), "{sentences:?}: {err}");
    assert_eq!(found, count, "{err}");
}

#[test]
fn a_forgotten_line_between_documents_is_one_mistake() {
    let more = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: b}\nspec: {serialNumber: B}\n";
    let second = "a second document begins here, and no line `---` is before it";
    check(&format!("  devices: [{{serialNumber: A}}]\n{more}"), 1, &[second, "a.yaml:6:1", "write `---`"]);
    check(&format!("  devices: [{{serialNumber: A}}]\n{more}{more}"), 2, &["a.yaml:6:1", "a.yaml:10:1"]);
    // One key alone stands there twice.
    check("  devices: [{serialNumber: A}]\nmetadata: {name: b}\n", 1, &["`metadata` stands twice", "remove one of"]);
}

#[test]
fn a_list_whose_first_entry_has_no_dash_is_said_in_our_words() {
    for rest in ["", "    groupTag: X\n"] {
        let spec = format!("  devices:\n    serialNumber: A\n{rest}    - serialNumber: B\n");
        check(&spec, 1, &["the first entry of `devices` has no `- `", "a.yaml:6:5", "write `- serialNumber: A`"]);
    }
}

#[test]
fn a_csv_that_is_named_as_a_file_is_the_mistake_that_is_told() {
    let spec =
        "  devices: [{serialNumber: TEST-000001, hardwareHashRef: {file: ../intake/ham.csv, use: [groupTag]}}]\n";
    check(spec, 1, &["error[use-without-csv]", "write `csv:` instead of `file:`"]);
}

#[test]
fn a_long_path_is_shown_as_it_was_typed_and_a_hash_in_its_place_is_not() {
    let long = "../intake/AutopilotHWID_HAM-2026-Q1_Laptops_Batch07_LENOVO_T14_Gen5_final.csv";
    let device = |path: &str| format!("  devices: [{{serialNumber: A, hardwareHashRef: {{csv: {path}}}}}]\n");
    check(&device(long), 1, &[&format!("there is no file `{long}`")]);
    let hash = machine(1).hash().to_base64();
    for start in [0, 40] {
        let piece = &hash[start..start + 100];
        let (_, err) = said_of(&device(&format!("{piece}.csv")));
        assert!(!err.contains(&piece[10..50]), "{err}");
    }
}

#[test]
fn other_letters_of_a_path_are_seen() {
    let device = |path: &str| format!("  devices: [{{serialNumber: TEST-000001, hardwareHashRef: {{csv: {path}}}}}]\n");
    check(&device("../Intake/HAM.csv"), 1, &["did you mean `../intake/ham.csv`?"]);
    check(&device("../intake/hum.csv"), 1, &["the path is relative to this manifest"]);
}

#[test]
fn fields_of_the_defaults_that_are_not_indented_are_told_where_they_belong() {
    let spec = "  defaults:\n  groupTag: X\n  devices: [{serialNumber: A}]\n";
    check(spec, 2, &["`defaults` has no value", "`groupTag` belongs under `defaults`, indented by two blanks more"]);
}

#[test]
fn one_mistake_is_one_problem() {
    check("  devices: [{serialNumber: \"\"}]\n", 1, &["a serial number is not empty"]);
    let with_use = |columns: &str| {
        let reference = format!("{{csv: ../intake/ham.csv, use: {columns}}}");
        format!("  devices: [{{serialNumber: TEST-000001, hardwareHashRef: {reference}}}]\n")
    };
    check(&with_use("groupTag"), 1, &["write `use: [groupTag]`"]);
    check(&with_use("[groupTag, groupTag, groupTag]"), 1, &["at most 2 are allowed", "name each column once"]);
    check("  devices: []\n", 1, &["warning[empty-set]: this set declares no device"]);
}

#[test]
fn a_comment_that_is_glued_to_a_tag_is_seen() {
    check(
        "  devices: [{serialNumber: A, groupTag: MUC-STD#boss}]\n",
        1,
        &["`#` is a part of the group tag `MUC-STD#boss`"],
    );
    check("  devices: [{serialNumber: A, groupTag: 'MUC-STD#boss'}]\n", 0, &[]);
    check("  devices:\n    - serialNumber: A\n      groupTag: MUC-STD #boss\n", 0, &[]);
}

#[test]
fn an_xml_file_without_a_hash_says_so() {
    let spec = "  devices: [{serialNumber: A, hardwareHashRef: {file: ../intake/OA3.xml}}]\n";
    check(spec, 1, &["this is an XML file without a hardware hash; run `oa3tool /Report`"]);
}

#[test]
fn a_tenant_is_told_what_to_write_for_backslashes_and_for_an_app_too_many() {
    let repo = Repo::bare();
    for (field, code, hint) in [
        (r"tagPolicy: [{groupTag: A, paths: ['devices\kiosks\**']}]", "tag-policy-path", "write `/` between folders"),
        (
            "auth: {type: AzureCli, clientId: aaaaaaaa-0000-4000-8000-000000000001}",
            "auth-member-extra",
            "`az login` has said which app signs in",
        ),
    ] {
        repo.write("tenant.yaml", TENANT.replace("policy:", &format!("{field}, policy:")));
        let loaded = repo.load();
        assert_eq!(codes(&loaded), [code]);
        assert!(told(&loaded).replace("\n", " ").contains(hint), "{}", told(&loaded));
    }
}
