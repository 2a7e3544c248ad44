//! Layouts, each with what becomes of it.

use super::*;

/// The place of a serial number's value.
fn place(text: &str, serial: &str) -> (u32, u32) {
    let at = text.find(&format!("serialNumber: {serial}")).map(|at| at + "serialNumber: ".len());
    let at = at.or_else(|| text.find(&format!("\"serialNumber\": \"{serial}")).map(|at| at + 16)).expect("it is there");
    let before = text[..at].trim_start_matches('\u{feff}');
    let line = before.rsplit('\n').next().unwrap_or_default();
    (u32::try_from(before.matches('\n').count() + 1).unwrap(), u32::try_from(line.chars().count() + 1).unwrap())
}

fn edit(text: &str, serial: &str, field: Field, value: &str) -> Edit {
    let (line, column) = place(text, serial);
    Edit { line, column, serial: SerialKey::of(serial.trim_matches('"')), field, value: value.into() }
}

/// A tag for the device `S1`.
#[track_caller]
fn check(text: &str, value: &str, expected: &str) {
    let edited = edited(text, &[edit(text, "S1", Field::GroupTag, value)]);
    assert_eq!(edited.refused, [], "{text}");
    assert_eq!(edited.text, expected);
}

#[track_caller]
fn refuses(text: &str, value: &str, refusal: Refusal) {
    let edit = edit(text, "S1", Field::GroupTag, value);
    assert_eq!(edited(text, &[edit]), Edited { text: text.to_owned(), refused: vec![(0, refusal)] }, "{text}");
}

#[test]
fn a_scalar_is_replaced_where_it_stands() {
    check(
        "spec:\n  serialNumber: S1\n  groupTag: A   # why\n",
        "B",
        "spec:\n  serialNumber: S1\n  groupTag: B   # why\n",
    );
    check("groupTag: 'A'\nserialNumber: S1\n", "it's", "groupTag: 'it''s'\nserialNumber: S1\n");
    check("groupTag: \"A\"\r\nserialNumber: S1\r\n", "B", "groupTag: \"B\"\r\nserialNumber: S1\r\n");
    check("groupTag: A\nserialNumber: S1\n", "0012", "groupTag: \"0012\"\nserialNumber: S1\n");
    check("groupTag: A\nserialNumber: S1\n", "", "groupTag: \"\"\nserialNumber: S1\n");
    check("{serialNumber: S1, groupTag: A, protect: true}", "B C", "{serialNumber: S1, groupTag: B C, protect: true}");
    check("groupTag:\n  A\n  B\nserialNumber: S1\n", "C", "groupTag:\n  C\nserialNumber: S1\n");
    check("é: ü\ngroupTag: Ä\nserialNumber: S1", "Ö", "é: ü\ngroupTag: Ö\nserialNumber: S1");
    check("\u{feff}groupTag: A\nserialNumber: S1", "B", "\u{feff}groupTag: B\nserialNumber: S1");
}

#[test]
fn a_field_that_is_not_there_comes_on_a_line_of_its_own() {
    check(
        "serialNumber: S1  # x\n# y\nprotect: true\n",
        "A",
        "serialNumber: S1  # x\ngroupTag: A\n# y\nprotect: true\n",
    );
    check(
        "d:\n  - serialNumber: S1\n  - serialNumber: S2\n",
        "A",
        "d:\n  - serialNumber: S1\n    groupTag: A\n  - serialNumber: S2\n",
    );
    check("d:\n- - serialNumber: S1\n", "A", "d:\n- - serialNumber: S1\n    groupTag: A\n");
    check("serialNumber: S1\r\n", "A", "serialNumber: S1\r\ngroupTag: A\r\n");
    check("a: 1\r\nserialNumber: S1", "A", "a: 1\r\nserialNumber: S1\r\ngroupTag: A");
    check("serialNumber: S1", "A", "serialNumber: S1\ngroupTag: A");
    check(
        "hardwareHashRef:\n  file: x\nserialNumber: S1\n",
        "A",
        "hardwareHashRef:\n  file: x\nserialNumber: S1\ngroupTag: A\n",
    );
    check("serialNumber: S1\n---\nserialNumber: S2\n", "A", "serialNumber: S1\ngroupTag: A\n---\nserialNumber: S2\n");
}

#[test]
fn between_braces_it_comes_behind_a_comma() {
    check("d: [{serialNumber: S1}]\n", "A", "d: [{serialNumber: S1, groupTag: A}]\n");
    check("{ serialNumber: S1 , x: 1 }", "a,b", "{ serialNumber: S1, groupTag: \"a,b\" , x: 1 }");
    check("{serialNumber: S1,}\n", "A", "{serialNumber: S1, groupTag: A,}\n");
    check("{\n  serialNumber: S1 # x\n}\n", "A", "{\n  serialNumber: S1, # x\n  groupTag: A\n}\n");
    check("{\n  serialNumber: S1, # x\n  y: 1\n}\n", "A", "{\n  serialNumber: S1, # x\n  groupTag: A,\n  y: 1\n}\n");
    check("{\"serialNumber\": \"S1\"}", "A", "{\"serialNumber\": \"S1\", \"groupTag\": \"A\"}");
    check("{\n\t\"serialNumber\": \"S1\"\n}", "A", "{\n\t\"serialNumber\": \"S1\",\n\t\"groupTag\": \"A\"\n}");
    check(
        "{\r\n \"serialNumber\": \"S1\",\r\n \"x\": 1\r\n}",
        "A",
        "{\r\n \"serialNumber\": \"S1\",\r\n \"groupTag\": \"A\",\r\n \"x\": 1\r\n}",
    );
}

#[test]
fn several_fields_of_several_devices_are_set_at_once() {
    let text = "- {serialNumber: S1}\n- serialNumber: S2\n  displayName: N\n- {\n    serialNumber: S3\n  }\n";
    let tag = |serial| edit(text, serial, Field::GroupTag, "T");
    let name = |serial| edit(text, serial, Field::DisplayName, "M");
    let all = [name("S1"), tag("S1"), name("S2"), tag("S2"), tag("S3"), name("S3")];
    let new = "- {serialNumber: S1, groupTag: T, displayName: M}\n- serialNumber: S2\n  groupTag: T\n  displayName: M\n- \
               {\n    serialNumber: S3,\n    groupTag: T,\n    displayName: M\n  }\n";
    assert_eq!(edited(text, &all), Edited { text: new.to_owned(), refused: vec![] });
}

#[test]
fn what_is_shared_is_left() {
    refuses("x: &t A\nserialNumber: S1\ngroupTag: *t\n", "B", Refusal::Shared);
    refuses("serialNumber: S1\ngroupTag: &t A\nx: *t\n", "B", Refusal::Shared);
    refuses("a: &d {serialNumber: S1, groupTag: A}\nb: *d\n", "B", Refusal::Shared);
    refuses("a: &d\n  serialNumber: S1\nb: *d\n", "B", Refusal::Shared);
}

#[test]
fn what_cannot_be_edited_is_left() {
    refuses("serialNumber: S1\ngroupTag: |-\n  A\n", "B", Refusal::Block);
    refuses("serialNumber: S1\ngroupTag: A\n", "B\u{202e}", Refusal::Unseen);
    refuses("serialNumber: S1\ngroupTag: A\n", "B\n", Refusal::Unseen);
    let text = "serialNumber: S1\n";
    let moved = Edit { line: 2, ..edit(text, "S1", Field::GroupTag, "A") };
    assert_eq!(edited(text, &[moved]).refused, [(0, Refusal::Moved)]);
    let other = Edit { serial: SerialKey::of("S2"), ..edit(text, "S1", Field::GroupTag, "A") };
    assert_eq!(edited(text, &[other]).refused, [(0, Refusal::Moved)]);
}

#[test]
fn one_that_is_refused_is_in_nobodys_way() {
    let text = "- {serialNumber: S1, groupTag: &t A}\n- {serialNumber: S2, groupTag: *t}\n- {serialNumber: S3}\n";
    let tag = |serial| edit(text, serial, Field::GroupTag, "B");
    let edited = edited(text, &[tag("S1"), tag("S2"), tag("S3")]);
    assert_eq!(edited.refused, [(0, Refusal::Shared), (1, Refusal::Shared)]);
    assert!(edited.text.ends_with("- {serialNumber: S3, groupTag: B}\n"), "{}", edited.text);
}
