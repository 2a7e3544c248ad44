//! What can be wrong with a freeze, each at its place.

use super::{Repo, found, told};

const HEAD: &str = "\
apiVersion: apgit.dev/v1alpha1
kind: AutopilotTenant
metadata: {name: contoso}
spec:
  tenantId: 11111111-2222-3333-4444-555555555555
  policy: Sync
  ownerId: corp-devices
  freezes:
";

/// Entries of `freezes`, and what is found of them: codes and places, and words.
#[track_caller]
fn check(entries: &str, expected: &[&str], says: &str) {
    let repo = Repo::bare();
    repo.write("tenant.yaml", format!("{HEAD}{entries}\n"));
    let loaded = repo.load();
    let found = found(&repo, &loaded);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines, expected, "{entries}\n{}", told(&loaded));
    assert!(told(&loaded).contains(says), "{says}\n{}", told(&loaded));
}

fn entry(when: &str) -> String {
    format!("    - {{name: advent, reason: rest, {when}}}")
}

#[test]
fn both_forms_are_taken() {
    check(&entry("from: \"2026-12-18T16:00:00+01:00\", until: \"2027-01-04T06:00:00Z\""), &[], "");
    check(&entry("weekly: {from: Fri 16:00, until: Mon 06:00, timeZone: Europe/Oslo}"), &[], "");
    // A window may turn round with the week, and be longer than a year.
    check(&entry("weekly: {from: Mon 06:00, until: Fri 16:00, timeZone: UTC}"), &[], "");
    check(&entry("from: \"2026-01-01T00:00:00Z\", until: \"2036-01-01T00:00:00Z\""), &[], "");
}

#[test]
fn a_freeze_is_on_once_or_weekly_and_never_both_or_neither() {
    let weekly = "weekly: {from: Fri 16:00, until: Mon 06:00, timeZone: UTC}";
    check(
        &entry(&format!("from: \"2026-12-18T16:00:00Z\", {weekly}")),
        &["freeze-choice tenant.yaml:9:66"],
        "remove one",
    );
    check("    - {name: advent, reason: rest}", &["freeze-choice tenant.yaml:9:8"], "either `from` and `until`");
    check(&entry("from: \"2026-12-18T16:00:00Z\""), &["freeze-choice tenant.yaml:9:42"], "`until` is missing");
    check(&entry("until: \"2026-12-18T16:00:00Z\""), &["freeze-choice tenant.yaml:9:43"], "`from` is missing");
}

#[test]
fn an_end_that_is_not_after_its_beginning() {
    let both = |from: &str, until: &str| entry(&format!("from: \"{from}\", until: \"{until}\""));
    let same = both("2026-12-18T16:00:00+01:00", "2026-12-18T15:00:00Z");
    check(&same, &["freeze-order tenant.yaml:9:78"], "`until` is not after `from`");
    check(&both("2026-12-18T16:00:00Z", "2025-12-18T16:00:00Z"), &["freeze-order tenant.yaml:9:73"], "not after");
    let whole = entry("weekly: {from: Fri 16:00, until: Fri 16:00, timeZone: UTC}");
    check(&whole, &["freeze-order tenant.yaml:9:69"], "the same time");
}

#[test]
fn a_time_a_day_or_a_zone_that_is_none() {
    let once = |from: &str| entry(&format!("from: \"{from}\", until: \"2030-01-01T00:00:00Z\""));
    check(&once("2026-02-30T00:00:00Z"), &["freeze-time tenant.yaml:9:42"], "not a time in RFC 3339");
    let weekly =
        |from: &str, zone: &str| entry(&format!("weekly: {{from: {from}, until: Mon 06:00, timeZone: {zone}}}"));
    check(&weekly("Fri 16:00", "Europe/Olso"), &["freeze-zone tenant.yaml:9:90"], "such as `Europe/Oslo`");
    check(&weekly("Fri 16:00", "Local"), &["freeze-zone tenant.yaml:9:90"], "IANA");
    for wrong in ["Friday 16:00", "fri 16:00", "Fri 24:00", "Fri 6:00", "16:00"] {
        let repo = Repo::bare();
        repo.write("tenant.yaml", format!("{HEAD}{}\n", weekly(&format!("\"{wrong}\""), "UTC")));
        let loaded = repo.load();
        assert!(found(&repo, &loaded).ends_with("tenant.yaml:9:51\n"), "{wrong}: {}", told(&loaded));
    }
}

#[test]
fn two_freezes_of_one_name_and_names_that_no_command_line_would_take() {
    let when = "weekly: {from: Fri 16:00, until: Mon 06:00, timeZone: UTC}";
    let twice = format!("{0}\n{0}", entry(when));
    check(&twice, &["freeze-name tenant.yaml:10:14"], "two freezes have the name `advent`");
    for name in ["Advent", "a=b", "-a", "a b"] {
        let repo = Repo::bare();
        repo.write("tenant.yaml", format!("{HEAD}    - {{name: {name}, reason: rest, {when}}}\n"));
        let loaded = repo.load();
        assert!(found(&repo, &loaded).contains("tenant.yaml:9:14"), "{name}: {}", told(&loaded));
    }
}
