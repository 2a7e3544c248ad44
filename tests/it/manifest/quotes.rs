//! Quotation marks of a word processor, which YAML takes for a part of the text.

use super::{Repo, TENANT, found, told};

const DEVICE: &str = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a1}\nspec:\n";

/// What is found in a device with these lines.
fn device(lines: &str) -> (String, String) {
    let repo = Repo::new();
    repo.write("a.yaml", format!("{DEVICE}{lines}"));
    let loaded = repo.load();
    (found(&repo, &loaded), told(&loaded))
}

#[test]
fn a_value_in_typographic_quotes_is_taken_as_it_is_and_warned_of() {
    for quoted in ["“OSL”", "„OSL“", "‘OSL’", "«OSL»", "»OSL«", "”OSL”", "“OSL\"", "’OSL'"] {
        let (found, told) = device(&format!("  serialNumber: A1\n  groupTag: {quoted}\n"));
        assert_eq!(found, "quotes a.yaml:6:13\n", "{quoted}");
        let title = format!("warning[quotes]: the quotation marks of `{quoted}` are a part of the value");
        assert!(told.contains(&title), "{told}");
        let write = format!("write `\"OSL\"`; if they are meant: `'{}'`", quoted.replace('\'', "''"));
        assert!(told.contains(&write), "{told}");
    }
    let (found, _) = device("  serialNumber: “A1”\n  userPrincipalName: “anna@contoso.com”\n");
    assert_eq!(found, "quotes a.yaml:5:17\nquotes a.yaml:6:22\n");
}

#[test]
fn in_a_tenant_too() {
    let repo = Repo::bare();
    repo.write("tenant.yaml", TENANT.replace("spec: {", "spec: {scope: {groupTags: [“OSL-*”]}, "));
    assert_eq!(found(&repo, &repo.load()), "quotes tenant.yaml:4:28\n");
}

#[test]
fn in_a_label_and_in_what_an_alias_repeats_once() {
    let repo = Repo::new();
    let device = DEVICE.replace("{name: a1}", "{name: a1, labels: {site: “OSL”}}");
    repo.write("a.yaml", format!("{device}  serialNumber: &it “A1”\n  groupTag: *it\n"));
    assert_eq!(found(&repo, &repo.load()), "quotes a.yaml:3:37\nquotes a.yaml:5:21\n");
}

#[test]
fn what_is_quoted_itself_or_only_has_such_marks_is_meant() {
    for meant in ["'“OSL”'", "\"“OSL”\"", "OSL’s", "5’", "“A” and “B” or C", "“"] {
        let (found, told) = device(&format!("  serialNumber: A1\n  groupTag: {meant}\n"));
        assert_eq!(found, "", "{meant}: {told}");
    }
}
