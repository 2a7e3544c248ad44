//! What a collector writes beside the hash: taken as declared, or complained
//! about, and never ignored in silence.

use std::fmt::Write as _;

use apgit::door::model::Want;

use super::{Repo, TENANT, codes, found, told, validated};
use crate::support::{Desk, machine, ran};

/// A collector's CSV of so many machines, with these two cells in their rows.
fn csv(cells: &[(&str, &str)]) -> String {
    let mut csv = "Device Serial Number,Windows Product ID,Hardware Hash,Group Tag,Assigned User\r\n".to_owned();
    for ((tag, user), number) in cells.iter().zip(1..) {
        let machine = machine(number);
        let _ = write!(csv, "{},,{},{tag},{user}\r\n", machine.serial().unwrap(), machine.hash().to_base64());
    }
    csv
}

/// A repository with this CSV in `intake`, where plain hashes may stand.
fn repo(cells: &[(&str, &str)]) -> Repo {
    let repo = Repo::bare();
    repo.write("tenant.yaml", TENANT.replace("policy:", "hashStorage: PlainInGit, policy:"));
    repo.write("intake/oslo.csv", csv(cells));
    repo
}

fn set(reference: &str, defaults: &str, devices: &[&str]) -> String {
    let mut text = format!("  defaults: {{hardwareHashRef: {{csv: ../intake/oslo.csv{reference}}}{defaults}}}\n");
    text.push_str("  devices:\n");
    for device in devices {
        let _ = writeln!(text, "    - {{serialNumber: {device}}}");
    }
    text
}

const USE: &str = ", use: [groupTag, assignedUser]";

/// Serial, tag and user of each claim, and what its row has given.
fn declared(repo: &Repo) -> String {
    let loaded = repo.load();
    assert_eq!(codes(&loaded), [""; 0], "{}", told(&loaded));
    let fleet = &loaded.fleets[0];
    let mut out = String::new();
    for claim in fleet.desired.claims() {
        let text = |want: Option<&str>| want.map_or("-".to_owned(), |text| format!("{text:?}"));
        let row = fleet.places.row(claim.origin).map(|row| {
            let file = row.file.rsplit_once("/intake/").map_or(&*row.file, |(_, name)| name).to_owned();
            format!(" {file}:{} {}", row.line, row.fields.join(","))
        });
        let (tag, user) = (text(claim.group_tag.text()), text(claim.user.text()));
        writeln!(out, "{} {tag} {user}{}", claim.serial, row.unwrap_or_default()).unwrap();
    }
    out
}

#[test]
fn columns_that_are_used_are_the_declared_values_of_their_device() {
    let repo = repo(&[("OSL-STD", "anna@contoso.com"), ("", "ben@contoso.com"), ("KIOSK", "")]);
    repo.devices("sets/a.yaml", &set(USE, "", &["TEST-000001", "TEST-000002", "TEST-000003"]));
    assert_eq!(
        declared(&repo),
        "TEST-000001 \"OSL-STD\" \"anna@contoso.com\" oslo.csv:2 groupTag,userPrincipalName\n\
         TEST-000002 - \"ben@contoso.com\" oslo.csv:3 userPrincipalName\n\
         TEST-000003 \"KIOSK\" - oslo.csv:4 groupTag\n"
    );
    repo.devices("sets/a.yaml", &set(", use: [groupTag]", "", &["TEST-000001"]));
    assert_eq!(declared(&repo), "TEST-000001 \"OSL-STD\" - oslo.csv:2 groupTag\n");
}

#[test]
fn a_devices_own_field_goes_before_its_row_and_its_row_before_the_defaults() {
    let repo = repo(&[("FROM-ROW", ""), ("FROM-ROW", ""), ("FROM-ROW", ""), ("", "")]);
    let devices =
        ["TEST-000001, groupTag: OWN", "TEST-000002, groupTag: \"\"", "TEST-000003", "TEST-000004"].as_slice();
    repo.devices("sets/a.yaml", &set(USE, ", groupTag: FROM-DEFAULTS", devices));
    assert_eq!(
        declared(&repo),
        "TEST-000001 \"OWN\" -\n\
         TEST-000002 \"\" -\n\
         TEST-000003 \"FROM-ROW\" - oslo.csv:4 groupTag\n\
         TEST-000004 \"FROM-DEFAULTS\" -\n"
    );
}

#[test]
fn a_single_device_takes_its_row_too_and_a_user_of_the_row_can_be_greeted() {
    let repo = repo(&[("OSL-STD", "anna@contoso.com"), ("OSL-STD", "")]);
    let device = |serial: &str| {
        let head = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: one}\nspec:\n";
        let reference = format!("  hardwareHashRef: {{csv: ../intake/oslo.csv{USE}}}\n");
        repo.write("sets/one.yaml", format!("{head}  serialNumber: {serial}\n  addressableUserName: A\n{reference}"));
    };
    device("TEST-000001");
    assert!(declared(&repo).starts_with("TEST-000001 \"OSL-STD\" \"anna@contoso.com\""));
    device("TEST-000002");
    assert_eq!(codes(&repo.load()), ["addressable-user-name-alone"]);
}

#[test]
fn columns_that_nobody_speaks_of_are_one_warning_a_file() {
    let repo = repo(&[("OSL-STD", "anna@contoso.com"), ("OSL-STD", ""), ("", "")]);
    repo.devices("sets/a.yaml", &set("", "", &["TEST-000001", "TEST-000002"]));
    repo.devices("sets/b.yaml", &set("", "", &["TEST-000003"]));
    let (code, out, err) = validated(&repo.path().display().to_string());
    assert_eq!((code, err.matches("csv-columns-unused").count()), (0, 1), "{err}{out}");
    let message = "`intake/oslo.csv` has group tags in 2 rows and assigned users in 1 row, and they are not used";
    assert!(err.contains(message) && err.contains("use: [groupTag, assignedUser]"), "{err}");
    assert!(repo.load().fleets[0].desired.claims().iter().all(|claim| claim.group_tag == Want::Keep));
    // That they are left alone can be said, and then it is.
    for name in ["a", "b"] {
        let devices: &[&str] = if name == "a" { &["TEST-000001"] } else { &["TEST-000003"] };
        repo.devices(&format!("sets/{name}.yaml"), &set(", use: []", "", devices));
    }
    assert_eq!(repo.load().problems, []);
}

#[test]
fn columns_without_a_value_need_no_word() {
    let repo = repo(&[("", ""), ("", "")]);
    repo.devices("sets/a.yaml", &set("", "", &["TEST-000001", "TEST-000002"]));
    assert_eq!(repo.load().problems, []);
}

#[test]
fn what_a_row_says_is_checked_as_if_it_stood_in_the_manifest() {
    let repo = repo(&[("OSL-STD,X", "anna@contoso.com"), ("OSL-STD", "anna keller")]);
    let tenant = TENANT.replace("policy:", "tagPolicy: [{groupTag: \"OSL-*\", paths: [\"oslo/**\"]}], policy:");
    repo.write("tenant.yaml", tenant.replace("policy:", "hashStorage: PlainInGit, policy:"));
    repo.devices("sets/a.yaml", &set(USE, "", &["TEST-000001", "TEST-000002", "TEST-000003"]));
    assert_eq!(
        found(&repo, &repo.load()),
        "csv-cells sets/a.yaml:7:22 intake/oslo.csv:2:1\n\
         tag-not-allowed-here sets/a.yaml:8:22\n\
         user sets/a.yaml:8:22 intake/oslo.csv:3:1\n\
         hash sets/a.yaml:9:22\n"
    );
    let (code, _, err) = validated(&repo.path().display().to_string());
    assert_eq!((code, err.matches("TEST-000003").count()), (3, 2), "once in the message, once in its line: {err}");
    assert!(err.contains("intake/oslo.csv:3\n"), "the row is named with its line: {err}");
}

/// A CSV of so many machines with this header, which may be none, and these cells
/// behind the hash.
fn labelled(header: &str, cells: &[&str]) -> Repo {
    let repo = repo(&[]);
    let mut csv = header.to_owned();
    for (cells, number) in cells.iter().zip(1..) {
        let machine = machine(number);
        let _ = write!(csv, "{},,{}{cells}\r\n", machine.serial().unwrap(), machine.hash().to_base64());
    }
    repo.write("intake/oslo.csv", csv);
    repo
}

#[test]
fn a_column_that_is_used_and_not_there_is_an_error_with_the_columns_there_are() {
    let head = "Device Serial Number,Windows Product ID,Hardware Hash";
    for (columns, missing, said, hint) in [
        (
            "Group Tag,Asigned User",
            "[assignedUser]",
            "has no such column; it has `Device Serial Number`, `Windows Product ID`, `Hardware Hash`, `Group Tag`, `Asigned User`",
            "`Asigned User` is written `Assigned User`",
        ),
        (
            "Gruppentag,Benutzer",
            "[groupTag, assignedUser]",
            "`Gruppentag`, `Benutzer`",
            "name the columns `Group Tag` and `Assigned User`",
        ),
        (
            "Manufacturer name,Device model",
            "[groupTag, assignedUser]",
            "`Manufacturer name`, `Device model`",
            "name the columns",
        ),
    ] {
        let repo = labelled(&format!("{head},{columns}\r\n"), &[",OSL-STD,anna@contoso.com"; 2]);
        repo.devices("sets/a.yaml", &set(USE, "", &["TEST-000001", "TEST-000002"]));
        let (code, _, err) = validated(&repo.path().display().to_string());
        let begins =
            format!("error[csv-columns-missing]: `use: {missing}`: the header of `intake/oslo.csv` has no such");
        assert_eq!((code, err.matches("error[").count()), (3, 1), "{err}");
        assert!(err.contains(&begins) && err.contains(said) && err.contains(hint), "{err}");
        let plan = ran(Desk::new().command("plan . --simulate").current_dir(repo.path()));
        assert!(plan.code == 3 && plan.err.contains("csv-columns-missing"), "{}", plan.err);
        // Nothing is taken from it where the devices have it themselves.
        let own = "groupTag: A, userPrincipalName: a@contoso.com";
        repo.devices("sets/a.yaml", &set(USE, "", &[&format!("TEST-000001, {own}")]));
        assert_eq!(codes(&repo.load()), [""; 0]);
    }
    // A row that ends early has nothing in the columns behind its end.
    let repo = labelled(&format!("{head},Group Tag,Assigned User\r\n"), &[""]);
    repo.devices("sets/a.yaml", &set(USE, "", &["TEST-000001"]));
    assert_eq!(declared(&repo), "TEST-000001 - -\n");
}

#[test]
fn what_stands_behind_the_hash_is_used_or_complained_of_without_a_header_too() {
    let repo = labelled("", &[",OSL-STD,anna@contoso.com", ",OSL-STD,"]);
    repo.devices("sets/a.yaml", &set(USE, "", &["TEST-000001", "TEST-000002"]));
    let (code, _, err) = validated(&repo.path().display().to_string());
    let said = "error[csv-columns-missing]: `use: [groupTag, assignedUser]`: `intake/oslo.csv` has no header";
    assert!(code == 3 && err.contains(said), "{err}");
    assert!(err.contains("`Device Serial Number,Windows Product ID,Hardware Hash,Group Tag,Assigned User`"), "{err}");
    repo.devices("sets/a.yaml", &set("", "", &["TEST-000001", "TEST-000002"]));
    let (code, _, err) = validated(&repo.path().display().to_string());
    let said = "`intake/oslo.csv` has values behind the hash in 2 rows, and no header that says what they are, and they \
                are not used";
    assert!(code == 0 && err.contains("warning[csv-columns-unused]") && err.contains(said), "{err}");
    repo.devices("sets/a.yaml", &set(", use: []", "", &["TEST-000001", "TEST-000002"]));
    assert_eq!(repo.load().problems, []);
    let silent = labelled("", &["", ",,"]);
    silent.devices("sets/a.yaml", &set("", "", &["TEST-000001", "TEST-000002"]));
    assert_eq!(silent.load().problems, []);
}

#[test]
fn a_label_that_sounds_like_a_column_is_not_passed_over() {
    let header = "Device Serial Number,Windows Product ID,Hardware Hash,Gruppentag,Room\r\n";
    let repo = labelled(header, &[",OSL-STD,12"]);
    repo.devices("sets/a.yaml", &set("", "", &["TEST-000001"]));
    let (code, _, err) = validated(&repo.path().display().to_string());
    assert!(code == 0 && err.contains("has a column `Gruppentag` that no collector writes"), "{err}");
    assert!(err.contains("label them `Group Tag`") && !err.contains("Room"), "{err}");
}

#[test]
fn a_row_that_is_of_two_devices_gives_its_values_to_neither() {
    let repo = repo(&[]);
    let mut csv = csv(&[]);
    for (serial, number, tag) in [("TEST-000002", 1, "ONE"), ("TEST-000001", 2, "TWO"), ("TEST-000003", 3, "THREE")] {
        let _ = write!(csv, "{serial},,{},{tag},\r\n", machine(number).hash().to_base64());
    }
    repo.write("intake/oslo.csv", csv);
    let all = ["TEST-000001", "TEST-000002", "TEST-000003"];
    repo.devices("sets/a.yaml", &set(USE, "", &all));
    assert_eq!(
        found(&repo, &repo.load()),
        "csv-two-serials sets/a.yaml:7:22 intake/oslo.csv:2:1\ncsv-two-serials sets/a.yaml:8:22 intake/oslo.csv:3:1\n"
    );
    let said = told(&repo.load()).replace("\n", " ");
    assert!(said.contains("names serial `TEST-000002`") && said.contains("of `TEST-000001`"), "{said}");
    let plan = ran(Desk::new().command("plan . --simulate").current_dir(repo.path()));
    assert!(plan.code == 3 && plan.err.contains("csv-two-serials"), "{}", plan.err);
    // Where only the hash is taken, it is the right one, and a warning.
    repo.devices("sets/a.yaml", &set(", use: []", "", &all));
    let (code, _, err) = validated(&repo.path().display().to_string());
    let said = "`intake/oslo.csv`, lines 2, 3: the serial column names another device than the hash: swapped rows?";
    assert!(code == 0 && err.contains("warning[other-serial]") && err.contains(said), "{err}");
}

#[test]
fn a_serial_that_was_kept_from_a_spreadsheet_is_read_as_it_is() {
    for written in ["=\"TEST-000001\"", "\"=\"\"TEST-000001\"\"\"", "'TEST-000001"] {
        let repo = repo(&[]);
        let row = format!("{written},,{},OSL-STD,\r\n", machine(1).hash().to_base64());
        repo.write("intake/oslo.csv", csv(&[]) + &row);
        repo.devices("sets/a.yaml", &set(USE, "", &["TEST-000001"]));
        let (code, _, err) = validated(&repo.path().display().to_string());
        assert_eq!((code, err.as_str()), (0, ""), "{written}");
        assert!(declared(&repo).contains("\"OSL-STD\""));
        let file = repo.path().join("intake/oslo.csv").display().to_string();
        let hash = Desk::new().run(&format!("hash {file}"));
        assert!(hash.code == 0 && !hash.out.contains("serial column"), "{}", hash.out);
    }
}

#[test]
fn a_separator_that_is_not_read_is_named_by_both_commands() {
    let repo = repo(&[]);
    repo.write("intake/oslo.csv", (csv(&[("OSL-STD", "")])).replace(',', "|"));
    repo.devices("sets/a.yaml", &set("", "", &["TEST-000001"]));
    let file = repo.path().join("intake/oslo.csv").display().to_string();
    let said = "the cells are separated by `|`; save the file with commas, semicolons or tabs between them";
    for (code, _, err) in [validated(&repo.path().display().to_string()), {
        let hash = Desk::new().run(&format!("hash {file}"));
        (hash.code, hash.out, hash.err)
    }] {
        assert!(code == 3 && err.replace('\n', " ").contains(said), "{err}");
    }
}

#[test]
fn the_plan_shows_the_values_of_a_row_and_where_they_are_from() {
    let repo = repo(&[("OSL-STD", "anna@contoso.com")]);
    repo.devices("sets/a.yaml", &set(USE, "", &["TEST-000001"]));
    let desk = Desk::new();
    let plan = |more: &str| {
        let mut plan = desk.command(&format!("plan . --simulate{more}"));
        ran(plan.current_dir(repo.path()))
    };
    let text = plan("").out;
    for line in
        ["group tag   \"OSL-STD\"", "user        \"anna@contoso.com\"", "group tag and user of intake/oslo.csv:2"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    let source = &plan(" --json").json()["actions"][0]["source"];
    assert_eq!(
        *source,
        serde_json::json!({
            "file": "sets/a.yaml",
            "line": 7,
            "row": {"file": "intake/oslo.csv", "line": 2, "fields": ["groupTag", "userPrincipalName"]},
        })
    );
}

/// A CSV of one machine in several rows, which say these tags and users.
fn repeated(again: bool, cells: &[(&str, &str)]) -> Repo {
    let (first, later) = (machine(1), machine(1).recapture());
    let repo = repo(&[]);
    let mut csv = csv(&[]);
    for ((tag, user), number) in cells.iter().zip(0..) {
        let machine = if again && number > 0 { &later } else { &first };
        let _ = write!(csv, "{},,{},{tag},{user}\r\n", first.serial().unwrap(), machine.hash().to_base64());
    }
    repo.write("intake/oslo.csv", csv);
    repo
}

#[test]
fn two_rows_of_one_device_that_say_different_values_are_an_error() {
    for again in [false, true] {
        let repo = repeated(again, &[("OSL-STD", "anna@contoso.com"), ("KIOSK", "Anna@contoso.com")]);
        repo.devices("sets/a.yaml", &set(USE, "", &["TEST-000001"]));
        let (code, _, err) = validated(&repo.path().display().to_string());
        assert_eq!((code, err.matches("error[").count()), (3, 1), "{err}");
        let message =
            "lines 2 and 3 of `intake/oslo.csv` say different group tags for one device: `OSL-STD` and `KIOSK`";
        assert!(
            err.contains("error[csv-rows-differ]") && err.contains(message) && err.contains("keep one row"),
            "{err}"
        );
        assert!(err.contains("intake/oslo.csv:3\n"), "{err}");
        // What is not used may differ, and a field of the device goes before its row.
        repo.devices("sets/a.yaml", &set(", use: [assignedUser]", "", &["TEST-000001"]));
        assert!(declared(&repo).contains("oslo.csv:3 userPrincipalName"));
        repo.devices("sets/a.yaml", &set(USE, "", &["TEST-000001, groupTag: OWN"]));
        assert!(declared(&repo).contains("\"OWN\" \"Anna@contoso.com\" oslo.csv:3"), "{}", declared(&repo));
        // `hash` says it, too.
        let file = repo.path().join("intake/oslo.csv").display().to_string();
        let out = Desk::new().run(&format!("hash {file}")).out;
        assert!(out.contains("the device of line 2 once more, with another group tag; keep one row"), "{out}");
    }
    let repo = repeated(false, &[("OSL-STD", "ben@contoso.com"), ("OSL-STD", "")]);
    repo.devices("sets/a.yaml", &set(USE, "", &["TEST-000001"]));
    assert!(told(&repo.load()).contains("different users for one device: `ben@contoso.com` and none"));
}
