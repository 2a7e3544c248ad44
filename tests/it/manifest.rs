//! Manifests through the public door: both doors against one table, what is
//! drawn, what is found across files, and the generated files.

mod columns;
mod defaults;
mod fields;
mod freezes;
mod mistakes;
mod newcomer;
mod quotes;
mod secrets;
mod undone;
mod vanish;

use std::fmt::Write as _;

use apgit::door::hash::generate::{Machine, Vendor};
use apgit::door::manifest::{self, Hashes, Loaded, Severity, check_hashes, load};
use apgit::door::model::{HashError, HashLocation, SerialNumber, Want};
use apgit::door::render::document::problems;
use apgit::door::render::{Look, text};
use apgit::door::resource::{self, Kind};
use serde_json::Value;

use crate::support::{Desk, Folder, Ran, cases, checks_refuse, ran, root, violations};

const TENANT: &str = "\
apiVersion: apgit.dev/v1alpha1
kind: AutopilotTenant
metadata: {name: contoso}
spec: {tenantId: 11111111-2222-3333-4444-555555555555, policy: Sync, ownerId: corp-devices}
";

/// A repository of its own, with a tenant in it.
struct Repo(Folder);

impl std::ops::Deref for Repo {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

impl Repo {
    fn new() -> Self {
        let repo = Self::bare();
        repo.write("tenant.yaml", TENANT);
        repo
    }

    fn bare() -> Self {
        Self(Folder::repository())
    }

    fn devices(&self, name: &str, spec: &str) {
        let stem = name.trim_end_matches(".yaml").replace('/', "-");
        let head = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\n";
        self.write(name, format!("{head}metadata: {{name: {stem}}}\nspec:\n{spec}"));
    }

    fn load(&self) -> Loaded {
        load(&[self.path().to_owned()])
    }
}

/// Codes and places, one line each, with paths from the repository.
fn found(repo: &Repo, loaded: &Loaded) -> String {
    let mut out = String::new();
    let root = format!("{}/", repo.path().display());
    for problem in &loaded.problems {
        let places: Vec<String> = problem.places.iter().map(|spot| spot.place.to_string().replace(&root, "")).collect();
        writeln!(out, "{} {}", problem.code, places.join(" ")).unwrap();
    }
    out
}

fn codes(loaded: &Loaded) -> Vec<&str> {
    let errors = loaded.problems.iter().filter(|problem| problem.severity == Severity::Error);
    let mut codes: Vec<&str> = errors.map(|problem| problem.code).collect();
    codes.sort_unstable();
    codes
}

fn told(loaded: &Loaded) -> String {
    text::problems(&problems(&loaded.problems), &Look::default())
}

fn validated(paths: &str) -> (i32, String, String) {
    let mut validate = Desk::new().command(&format!("validate {paths}"));
    let Ran { code, out, err } = ran(validate.env("COLUMNS", "400"));
    (code, out, err)
}

// Both doors.

#[test]
fn the_text_door_says_of_each_case_what_the_table_says() {
    for case in cases() {
        let repo = if case.yaml.contains("kind: AutopilotTenant") { Repo::bare() } else { Repo::new() };
        repo.write("case.yaml", &case.yaml);
        let loaded = repo.load();
        assert_eq!(codes(&loaded), case.text, "{}\n{}", case.name, told(&loaded));
    }
}

#[test]
fn the_cluster_door_refuses_what_the_text_door_refuses() {
    for case in cases() {
        let refused: Vec<String> = manifest::as_kubectl_sends(&case.yaml).iter().flat_map(cluster_refuses).collect();
        // kubectl itself refuses a key that stands twice.
        let refused = !refused.is_empty() || case.text.iter().any(|code| code == "duplicate-key");
        assert_eq!(refused, case.is_refused_by_definition(), "{}", case.name);
    }
}

/// What strict field validation, the structural schema and the kind's own
/// checks refuse. (The rules in CEL say a part of the last once more.)
fn cluster_refuses(object: &Value) -> Vec<String> {
    let Some(kind) = object["kind"].as_str().and_then(Kind::parse) else { return vec!["kind".into()] };
    let mut out = Vec::new();
    for key in object.as_object().unwrap().keys() {
        if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&key.as_str()) {
            out.push(format!("{key}: unknown"));
        }
    }
    out.extend(violations(resource::spec_schema(kind), &object["spec"]));
    if !out.is_empty() {
        return out;
    }
    checks_refuse(kind, &object["spec"])
}

// What is drawn.

#[test]
fn every_kind_of_problem_is_drawn_with_its_line() {
    let (code, out, err) = validated("examples/pathological");
    assert_eq!(code, 3);
    snapbox::assert_data_eq!(format!("{err}{out}"), snapbox::file!["../data/pathological.txt"].raw());
}

#[test]
fn problems_as_json_have_no_source_lines() {
    let validate = Desk::new().run("validate examples/pathological --json");
    assert_eq!((validate.code, validate.err.as_str()), (3, ""));
    let report = validate.json();
    let problems = report["problems"].as_array().unwrap();
    let of = |severity: &str| problems.iter().filter(|problem| problem["severity"] == severity).count();
    let counted = |what: &str| report[what].as_u64().unwrap() as usize;
    assert_eq!((counted("errors"), counted("warnings")), (of("error"), of("warning")));
    let first = problems.iter().find(|problem| problem["code"] == "duplicate-serial").unwrap();
    assert_eq!(first["places"][1]["file"], "examples/pathological/devices/twice.yaml");
    assert_eq!(first["places"][1]["line"], 8);
    assert!(problems.iter().all(|problem| problem.get("excerpt").is_none()));
}

#[test]
fn a_sound_repository_is_summed_up_in_one_line() {
    let repo = Repo::new();
    repo.devices("oslo.yaml", "  devices: [{serialNumber: A1}, {serialNumber: A2}]\n");
    repo.write("other.yaml", "apiVersion: v1\nkind: ConfigMap\n");
    let (code, out, err) = validated(&repo.path().display().to_string());
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "3 files, 3 documents (1 of other kinds), 1 tenant, 2 devices, no problems\n");
}

// What a fleet holds.

#[test]
fn defaults_are_merged_under_each_device_field_by_field() {
    let repo = Repo::new();
    repo.write("hashes/a.csv", "");
    repo.write("hashes/b.txt", "");
    repo.devices(
        "oslo.yaml",
        "  defaults: {groupTag: OSL-STD, hardwareHashRef: {csv: hashes/a.csv}, protect: true}
  devices:
    - serialNumber: A1
    - {serialNumber: A2, groupTag: \"\", hardwareHashRef: {file: ./hashes/b.txt}, protect: false}
",
    );
    let loaded = repo.load();
    assert!(!loaded.has_errors(), "{}", told(&loaded));
    let claims = loaded.fleets[0].desired.claims();
    let location = |at: usize| &claims[at].hash.as_ref().unwrap().location;
    assert_eq!(claims[0].group_tag.text(), Some("OSL-STD"));
    assert_eq!(claims[1].group_tag, Want::Clear);
    assert_eq!((claims[0].user.text(), claims[0].protect, claims[1].protect), (None, true, false));
    assert_eq!(*location(0), HashLocation::Csv("hashes/a.csv".into()));
    assert_eq!(*location(1), HashLocation::File("hashes/b.txt".into()));
}

#[test]
fn a_tag_outside_of_the_scope_is_warned_of_once() {
    let repo = Repo::bare();
    repo.write("tenant.yaml", TENANT.replace("policy: Sync", "policy: Sync, scope: {groupTags: [\"OSL-*\"]}"));
    repo.devices("a.yaml", "  defaults: {groupTag: OSLO-NEW}\n  devices: [{serialNumber: A1}, {serialNumber: A2}]\n");
    repo.devices("b.yaml", "  devices: [{serialNumber: A3, groupTag: OSL-STD}, {serialNumber: A4}]\n");
    let loaded = repo.load();
    assert_eq!(found(&repo, &loaded), "tag-out-of-scope a.yaml:6:28\n");
    let message = "group tag `OSLO-NEW` of 2 devices is outside of `scope.groupTags`: they are not written";
    assert_eq!((loaded.has_errors(), loaded.problems[0].message.as_str()), (false, message));
}

#[test]
fn each_claim_knows_its_place() {
    let repo = Repo::new();
    repo.devices("b.yaml", "  devices:\n    - serialNumber: B1\n    - {serialNumber: A9}\n");
    let loaded = repo.load();
    let fleet = &loaded.fleets[0];
    let places: Vec<String> = fleet
        .desired
        .claims()
        .iter()
        .map(|claim| {
            let place = fleet.places.get(claim.origin).unwrap();
            format!("{} {}:{}", claim.serial, place.line, place.column)
        })
        .collect();
    assert_eq!(places, ["A9 7:22", "B1 6:21"]);
}

#[test]
fn devices_go_to_the_tenant_that_they_name() {
    let repo = Repo::new();
    repo.write("second.yaml", TENANT.replace("contoso", "fabrikam").replace("11111111", "22222222"));
    repo.devices("a.yaml", "  tenantRef: {name: contoso}\n  devices: [{serialNumber: A1}]\n");
    repo.devices("b.yaml", "  tenantRef: {name: fabrikam}\n  devices: [{serialNumber: A1}, {serialNumber: A2}]\n");
    let loaded = repo.load();
    assert_eq!(codes(&loaded), [""; 0]);
    let sizes: Vec<_> =
        loaded.fleets.iter().map(|fleet| (fleet.desired.tenant.name.as_str(), fleet.desired.claims().len())).collect();
    assert_eq!(sizes, [("fabrikam", 2), ("contoso", 1)]);
}

#[test]
fn a_tenant_is_looked_for_in_the_devices_own_namespace() {
    let repo = Repo::bare();
    repo.write("tenant.yaml", TENANT.replace("{name: contoso}", "{name: contoso, namespace: prod}"));
    let device = |name: &str, namespace: &str| {
        let head = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\n";
        let spec = "spec: {serialNumber: A1, tenantRef: {name: contoso}}\n";
        repo.write(name, format!("{head}metadata: {{name: a1{namespace}}}\n{spec}"));
    };
    device("a.yaml", "");
    assert_eq!(repo.load().devices(), 1);
    device("a.yaml", ", namespace: prod");
    assert_eq!(repo.load().devices(), 1);
    device("a.yaml", ", namespace: test");
    assert_eq!(codes(&repo.load()), ["unknown-tenant"]);
}

// What is found across files.

#[test]
fn one_serial_is_claimed_once_unless_registrations_tell_them_apart() {
    let repo = Repo::new();
    let id = "99999999-0000-0000-0000-00000000000";
    repo.devices("a.yaml", "  devices: [{serialNumber: DUP1}, {serialNumber: dup1}]\n");
    repo.devices(
        "b.yaml",
        &format!(
            "  devices: [{{serialNumber: X1, registrationId: {id}1}}, {{serialNumber: X1, registrationId: {id}2}}]\n"
        ),
    );
    repo.devices(
        "c.yaml",
        &format!("  devices: [{{serialNumber: Y1, registrationId: {id}3}}, {{serialNumber: Y1}}, {{serialNumber: Y2, registrationId: {id}3}}]\n"),
    );
    assert_eq!(
        found(&repo, &repo.load()),
        "duplicate-serial a.yaml:5:28 a.yaml:5:50\n\
         duplicate-registration c.yaml:5:28 c.yaml:5:122\n\
         duplicate-serial c.yaml:5:28 c.yaml:5:102\n"
    );
}

#[test]
fn serials_that_differ_in_more_than_the_case_of_ascii_are_two_devices() {
    let repo = Repo::new();
    repo.devices(
        "a.yaml",
        "  devices: [{serialNumber: STRAßE}, {serialNumber: STRASSE}, {serialNumber: ſ1}, {serialNumber: s1}]\n",
    );
    let loaded = repo.load();
    assert_eq!((codes(&loaded), loaded.devices()), (vec![], 4));
}

#[test]
fn names_are_given_once_per_kind() {
    let repo = Repo::new();
    repo.devices("a.yaml", "  devices: [{serialNumber: A1}]\n");
    repo.write("b.yaml", repo.read("a.yaml").replace("A1", "B1"));
    assert_eq!(found(&repo, &repo.load()), "duplicate-name a.yaml:3:18 b.yaml:3:18\n");
}

#[test]
fn a_tenant_that_stands_twice_has_nothing_to_do_with_another_one_on_the_same_line() {
    let repo = Repo::new();
    repo.write("twin.yaml", TENANT);
    let (name, id) = ("name: contoso", "11111111-2222-3333-4444-555555555555");
    assert!(TENANT.contains(name) && TENANT.contains(id), "{TENANT}");
    let other = TENANT.replace(name, "name: fabrikam").replace(id, "99999999-8888-7777-6666-555555555555");
    repo.write("fabrikam.yaml", other);
    let loaded = repo.load();
    assert_eq!(codes(&loaded), ["duplicate-name"]);
    repo.write("fabrikam.yaml", TENANT.replace(name, "name: fabrikam"));
    assert_eq!(codes(&repo.load()), ["duplicate-name", "duplicate-tenant"]);
}

#[test]
fn a_missing_tenant_is_reported_once_for_all_documents() {
    let repo = Repo::bare();
    for name in ["a.yaml", "b.yaml", "c.yaml"] {
        repo.devices(name, &format!("  devices: [{{serialNumber: {}}}]\n", name.replace('.', "")));
    }
    assert_eq!(found(&repo, &repo.load()), "no-tenant a.yaml:3:18 b.yaml:3:18 c.yaml:3:18\n");
}

#[test]
fn devices_of_a_broken_tenant_are_not_called_orphans() {
    let repo = Repo::bare();
    repo.write("tenant.yaml", TENANT.replace("policy: Sync", "policy: Mirror"));
    repo.devices("a.yaml", "  tenantRef: {name: contoso}\n  devices: [{serialNumber: A1}, {serialNumber: A1}]\n");
    let loaded = repo.load();
    assert_eq!(codes(&loaded), ["duplicate-serial", "not-a-choice"]);
    assert!(loaded.fleets.is_empty());
}

#[test]
fn a_set_has_at_most_500_devices() {
    let repo = Repo::new();
    let devices: String = (0..501).map(|n| format!("    - serialNumber: SET{n:05}\n")).collect();
    repo.devices("a.yaml", &format!("  devices:\n{devices}"));
    assert_eq!(found(&repo, &repo.load()), "list-size a.yaml:506:7\n");
}

#[test]
fn a_tag_may_only_be_used_where_the_policy_allows_it() {
    let repo = Repo::bare();
    let policy = "tagPolicy: [{groupTag: \"KIOSK-*\", paths: [\"kiosks/**\"]}], policy: Sync";
    repo.write("tenant.yaml", TENANT.replace("policy: Sync", policy));
    repo.devices("kiosks/a.yaml", "  devices: [{serialNumber: A1, groupTag: KIOSK-1}]\n");
    repo.devices("b.yaml", "  defaults: {groupTag: KIOSK-1}\n  devices: [{serialNumber: B1}, {serialNumber: B2}]\n");
    repo.devices("c.yaml", "  devices: [{serialNumber: C1, groupTag: OFFICE}]\n");
    assert_eq!(found(&repo, &repo.load()), "tag-not-allowed-here b.yaml:6:28\n");
}

#[test]
fn one_broken_document_does_not_hide_the_next() {
    let repo = Repo::new();
    let good =
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: NAME}\nspec: {serialNumber: NAME}\n";
    let text = ["a1", "a2"].map(|name| good.replace("NAME", name));
    repo.write("a.yaml", format!("{}---\nspec: [\n---\n{}", text[0], text[1]));
    let loaded = repo.load();
    assert_eq!((codes(&loaded), loaded.devices(), loaded.documents), (vec!["yaml"], 2, 4));
}

#[test]
fn broken_files_of_others_are_skipped() {
    let repo = Repo::new();
    repo.write("chart/templates/x.yaml", "{{- if .Values.on }}\nkind: {{ .Values.kind }}\n{{ end }}\n");
    let loaded = repo.load();
    assert_eq!((codes(&loaded).len(), loaded.skipped), (0, 1));
}

// Hostile texts.

#[test]
fn a_bomb_of_aliases_is_refused() {
    let repo = Repo::new();
    let mut text = String::from(
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: bomb}\na0: &a0 [x, x, x, x, x, x, x, x, x]\n",
    );
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    repo.write("a.yaml", text);
    assert!(codes(&repo.load()).contains(&"alias-budget"));
}

#[test]
fn a_deep_document_is_refused() {
    let repo = Repo::new();
    for (name, depth) in [("a.yaml", 100), ("b.yaml", 100_000)] {
        repo.write(name, format!("apiVersion: apgit.dev/v1alpha1\nspec: {}{}\n", "[".repeat(depth), "]".repeat(depth)));
    }
    assert_eq!(codes(&repo.load()), ["too-deep", "yaml"]);
}

#[test]
fn an_alias_inside_of_itself_is_refused() {
    let repo = Repo::new();
    repo.devices("a.yaml", "  devices: &a [*a]\n");
    assert_eq!(codes(&repo.load()), ["alias-cycle"]);
}

#[test]
fn a_file_in_another_encoding_is_refused_with_advice() {
    let repo = Repo::new();
    repo.write("a.yaml", [0xff, 0xfe, b'k', 0, b'i', 0]);
    assert_eq!(found(&repo, &repo.load()), "not-utf8 a.yaml:1:1\n");
}

// Folders.

#[test]
fn ignored_and_hidden_files_are_not_read() {
    let repo = Repo::new();
    repo.write(".gitignore", "build/\n");
    repo.write(".apgitignore", "drafts/\n");
    for name in ["build/a.yaml", "drafts/b.yaml", ".hidden/c.yaml", ".d.yaml", "notes.txt"] {
        repo.write(name, "apiVersion: apgit.dev/v1alpha1\nkind: Nothing\n");
    }
    repo.devices("deep/down/e.yml", "  devices: [{serialNumber: A1}]\n");
    let loaded = repo.load();
    assert_eq!((loaded.files, loaded.devices(), codes(&loaded).len()), (2, 1, 0));
}

#[test]
fn a_file_alone_can_be_named() {
    let repo = Repo::new();
    repo.devices("a.yaml", "  devices: [{serialNumber: A1}]\n");
    let loaded = load(&[repo.at("tenant.yaml"), repo.at("a.yaml"), repo.at("a.yaml")]);
    assert_eq!((loaded.files, loaded.devices(), codes(&loaded).len()), (2, 1, 0));
    assert_eq!(codes(&load(&[repo.at("none.yaml")])), ["no-such-path"]);
}

#[cfg(unix)]
#[test]
fn symbolic_links_out_of_the_repository_are_refused() {
    let outside = Folder::new();
    outside.write("x.yaml", TENANT);
    outside.write("hash.txt", "x");
    let repo = Repo::new();
    std::os::unix::fs::symlink(outside.at("x.yaml"), repo.at("link.yaml")).unwrap();
    std::os::unix::fs::symlink(outside.path(), repo.at("folder")).unwrap();
    std::os::unix::fs::symlink(outside.at("hash.txt"), repo.at("hash.txt")).unwrap();
    std::os::unix::fs::symlink(repo.at("tenant.yaml"), repo.at("same.yaml")).unwrap();
    repo.devices(
        "a.yaml",
        "  devices:
    - {serialNumber: A1, hardwareHashRef: {file: hash.txt}}
    - {serialNumber: A2, hardwareHashRef: {file: folder/hash.txt}}
    - {serialNumber: A3, hardwareHashRef: {file: ../../../etc/hostname}}
",
    );
    let loaded = repo.load();
    assert_eq!(codes(&loaded), ["path-outside", "path-outside", "path-outside", "symlink-outside", "symlink-outside"]);
    assert_eq!(loaded.fleets.len(), 1, "a link inside of the repository is one file, read once");
}

// Hashes.

/// `count` machines; the CSV of a collector, with their serials in order.
fn intake(count: u64) -> (Vec<Machine>, String) {
    let machines: Vec<Machine> = (0..count).map(|seed| Machine::new(Vendor::ALL[seed as usize % 4], seed)).collect();
    let mut csv = String::from("Device Serial Number,Windows Product ID,Hardware Hash\r\n");
    for machine in &machines {
        write!(csv, "{},,{}\r\n", machine.serial().unwrap(), machine.hash().to_base64()).unwrap();
    }
    (machines, csv)
}

fn utf16(text: &str) -> Vec<u8> {
    [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
}

fn set_of(machines: &[Machine], reference: &str) -> String {
    let devices: String =
        machines.iter().map(|machine| format!("    - serialNumber: \"{}\"\n", machine.serial().unwrap())).collect();
    format!("  defaults: {{hardwareHashRef: {reference}}}\n  devices:\n{devices}")
}

#[test]
fn rows_of_a_csv_are_read_in_both_encodings() {
    let (machines, csv) = intake(5);
    for (name, bytes) in
        [("utf8", csv.clone().into_bytes()), ("utf16", utf16(&csv)), ("accents", format!("# é\r\n{csv}").into_bytes())]
    {
        let repo = Repo::new();
        repo.write("intake/oslo.csv", bytes);
        repo.devices("sets/a.yaml", &set_of(&machines, "{csv: ../intake/oslo.csv}"));
        let loaded = repo.load();
        let fleet = &loaded.fleets[0];
        let hashes = Hashes::new(fleet.root.clone());
        for claim in fleet.desired.claims() {
            let machine = machines.iter().find(|machine| machine.serial() == Some(&claim.serial)).unwrap();
            let hash = hashes.read_now(claim.hash.as_ref().unwrap(), &claim.serial).unwrap();
            assert_eq!(hash.digest(), machine.hash().digest(), "{name}");
        }
        assert_eq!(check_hashes(&loaded.fleets, &hashes), [], "{name}");
    }
}

#[test]
fn a_hash_of_another_device_is_an_error_of_validate() {
    let (machines, csv) = intake(3);
    let repo = Repo::new();
    repo.write("a.csv", csv);
    repo.write("h.txt", machines[0].hash().to_base64());
    repo.devices(
        "a.yaml",
        "  devices: [{serialNumber: OTHER1, hardwareHashRef: {csv: a.csv}}, {serialNumber: OTHER2, hardwareHashRef: {file: h.txt}}]\n",
    );
    let (code, _, err) = validated(&repo.path().display().to_string());
    assert_eq!(code, 3);
    assert!(err.contains("no row is for serial `OTHER1`"), "{err}");
    assert!(err.contains(&format!("the hash is that of serial `{}`", machines[0].serial().unwrap())), "{err}");
}

#[test]
fn one_machine_claimed_under_two_serials_is_found_by_its_hashes() {
    let machine = Machine::new(Vendor::ALL[0], 7);
    let renamed = machine.recapture().with_serial(SerialNumber::parse("RENAMED1").unwrap());
    let repo = Repo::new();
    repo.write("a.txt", machine.hash().to_base64());
    repo.write("b.txt", renamed.hash().to_base64());
    repo.devices(
        "a.yaml",
        &format!(
            "  devices:\n    - {{serialNumber: \"{}\", hardwareHashRef: {{file: a.txt}}}}\n    - {{serialNumber: RENAMED1, hardwareHashRef: {{file: b.txt}}}}\n",
            machine.serial().unwrap()
        ),
    );
    let loaded = repo.load();
    let fleet = &loaded.fleets[0];
    let problems = check_hashes(&loaded.fleets, &Hashes::new(fleet.root.clone()));
    let codes: Vec<_> = problems.iter().map(|problem| (problem.code, problem.places.len())).collect();
    assert!(matches!(codes[..], [("same-hardware" | "mixed-hardware", 2)]), "{codes:?}");
}

#[test]
fn the_same_hardware_in_two_tenants_is_a_problem_and_told_once() {
    let (machines, csv) = intake(2);
    let serial = |at: usize| machines[at].serial().unwrap();
    let repo = Repo::new();
    repo.write("z-second.yaml", TENANT.replace("contoso", "fabrikam").replace("11111111", "22222222"));
    repo.write("a.csv", csv);
    repo.write("again.txt", machines[1].recapture().hash().to_base64());
    let devices = |name: &str, tenant: &str, devices: &[String]| {
        repo.devices(name, &format!("  tenantRef: {{name: {tenant}}}\n  devices: [{}]\n", devices.join(", ")));
    };
    let row = |at: usize| format!("{{serialNumber: \"{}\", hardwareHashRef: {{csv: a.csv}}}}", serial(at));
    devices("a.yaml", "contoso", &[row(0), row(1), "{serialNumber: A1}".into()]);
    let again = format!("{{serialNumber: \"{}\", hardwareHashRef: {{file: again.txt}}}}", serial(1));
    devices("b.yaml", "fabrikam", &[row(0), again, "{serialNumber: a1}".into()]);
    let loaded = repo.load();
    assert_eq!(codes(&loaded), ["same-hardware"], "{}", told(&loaded));
    let (code, _, err) = validated(&repo.path().display().to_string());
    assert_eq!((code, err.matches("error[same-hardware]").count()), (3, 2), "{err}");
    let one = |at: usize| {
        let serial = serial(at);
        format!("`{serial}` in tenant `contoso` and `{serial}` in tenant `fabrikam` are one and the same device")
    };
    // With a serial alone, it may be two makers' devices.
    let twice = "warning[serial-in-two-tenants]: serial `A1` is claimed in tenant `contoso` and in tenant `fabrikam`";
    for said in [one(0), one(1), twice.to_owned()] {
        assert_eq!(err.matches(&said).count(), 1, "{said}: {err}");
    }
}

#[test]
fn one_serial_twice_is_one_problem() {
    let (machines, csv) = intake(1);
    let repo = Repo::new();
    repo.write("a.csv", csv);
    let serial = machines[0].serial().unwrap();
    repo.devices("a.yaml", &set_of(&machines, "{csv: a.csv}"));
    repo.devices("b.yaml", &set_of(&machines, "{csv: a.csv}"));
    let (code, _, err) = validated(&repo.path().display().to_string());
    assert_eq!((code, err.matches("error[").count()), (3, 1), "{err}");
    assert!(err.contains(&format!("serial `{serial}` is claimed twice")), "{err}");
}

#[test]
fn one_wrong_path_for_500_devices_is_one_problem() {
    let repo = Repo::new();
    let line = |n: u32| format!("    - {{serialNumber: SET{n:05}, hardwareHashRef: {{csv: none.csv}}}}\n");
    repo.devices("a.yaml", &format!("  devices:\n{}", (0..500).map(line).collect::<String>()));
    let loaded = repo.load();
    assert_eq!(codes(&loaded), ["no-such-file"]);
    assert!(told(&loaded).contains("there is no file `none.csv` (named 500 times)"), "{}", told(&loaded));
}

#[test]
fn one_fault_in_every_row_of_a_csv_is_one_problem() {
    let rows = |hash: &str| (0..20).map(|n| format!("SET{n:05},,{hash}\n")).collect::<String>();
    let devices: String = (0..20).map(|n| format!("    - serialNumber: SET{n:05}\n")).collect();
    let (_, csv) = intake(1);
    for (hash, message) in [
        ("", "the rows of 20 devices (`SET00000`, `SET00001`"),
        ("#NAME?", "the rows of 20 devices (`SET00000`, `SET00001`"),
    ] {
        let repo = Repo::new();
        repo.write("a.csv", format!("{}\n{}", csv.trim_end(), rows(hash)));
        let set = format!("  defaults: {{hardwareHashRef: {{csv: a.csv}}}}\n  devices:\n{devices}");
        repo.devices("a.yaml", &set);
        let (code, _, err) = validated(&repo.path().display().to_string());
        assert_eq!((code, err.matches("error[").count()), (3, 1), "{hash}: {err}");
        assert!(err.contains(message) && err.contains("as it was before a spreadsheet"), "{hash}: {err}");
    }
}

#[test]
fn one_wrong_csv_for_500_devices_is_one_problem() {
    let (_, csv) = intake(3);
    let devices: String = (0..500).map(|n| format!("    - serialNumber: SET{n:05}\n")).collect();
    let cases = [
        (csv.as_str(), "`a.csv` has no row for 500 devices (3 rows): `SET00000`, `SET00001`"),
        ("Name;Colour\nx;red\n", "`a.csv`: no row has a hardware hash; is this a collector's CSV? (named 500 times)"),
        ("", "`a.csv`: the file is empty (named 500 times)"),
    ];
    for (csv, message) in cases {
        for columns in ["", ", use: [groupTag]"] {
            let repo = Repo::new();
            repo.write("a.csv", csv);
            let set = format!("  defaults: {{hardwareHashRef: {{csv: a.csv{columns}}}}}\n  devices:\n{devices}");
            repo.devices("a.yaml", &set);
            let (code, _, err) = validated(&repo.path().display().to_string());
            assert_eq!((code, err.matches("error[").count()), (3, 1), "{columns}: {err}");
            assert!(err.contains(message), "{columns}: {err}");
        }
    }
}

#[test]
fn a_serial_with_the_letter_o_for_a_digit_is_asked_about() {
    let real = Machine::new(Vendor::ALL[0], 9).with_serial(SerialNumber::parse("5CG01OI1").unwrap());
    let repo = Repo::new();
    repo.write("a.csv", format!("Device Serial Number,Hardware Hash\n5CG01OI1,{}\n", real.hash().to_base64()));
    repo.write("a.txt", real.hash().to_base64());
    for reference in ["csv: a.csv", "csv: a.csv, use: [groupTag]", "file: a.txt"] {
        let device = format!("{{serialNumber: 5CGO1011, hardwareHashRef: {{{reference}}}}}");
        repo.devices("a.yaml", &format!("  devices: [{device}]\n"));
        let (code, _, err) = validated(&repo.path().display().to_string());
        assert_eq!((code, err.matches("error[").count()), (3, 1), "{err}");
        assert!(err.contains("did you mean `5CG01OI1`?"), "{reference}: {err}");
    }
}

#[test]
fn plain_hashes_in_git_are_a_warning_until_somebody_decides() {
    let (machines, csv) = intake(2);
    let repo = Repo::new();
    repo.write("a.csv", csv);
    repo.devices("a.yaml", &set_of(&machines, "{csv: a.csv}"));
    let (code, out, err) = validated(&repo.path().display().to_string());
    assert_eq!(code, 0);
    assert!(err.contains("warning[plain-hash]: 2 hardware hashes") && out.ends_with("1 warning\n"), "{err}{out}");
    repo.write(".gitignore", "a.csv\n");
    assert_eq!(repo.load().problems, []);
    repo.write(".gitignore", "");
    repo.write("tenant.yaml", TENANT.replace("policy:", "hashStorage: PlainInGit, policy:"));
    assert_eq!(repo.load().problems, []);
}

#[test]
fn a_raw_hash_is_refused_and_no_part_of_it_is_repeated() {
    let hash = Machine::new(Vendor::ALL[1], 3).hash().to_base64();
    let wrapped: Vec<&str> = hash.as_bytes().chunks(64).map(|part| std::str::from_utf8(part).unwrap()).collect();
    let head = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: raw}\n";
    let texts = [
        format!("{head}spec: {{serialNumber: A1, hardwareHash: {hash}}}\n"),
        format!("{head}spec: {{serialNumber: A1, groupTag: \"{hash}\", bogus: 1}}\n"),
        format!("{head}spec: {{serialNumber: A1, {hash}: 1}}\n"),
        format!("{head}# {hash}\nspec: {{serialNumber: A1}}\n"),
        format!("{head}spec: {{serialNumber: A1, deletionPolicy: {hash}, deletionPolicy: Delete}}\n"),
        format!(
            "{head}spec:\n  serialNumber: A1\n  hardwareHashRef:\n    file: |\n      {}\n",
            wrapped.join("\n      ")
        ),
        format!("{head}spec:\n  serialNumber: A1\n  groupTag: \"{}\"\n", wrapped.join("\\\n    ")),
        format!("{head}spec: {{serialNumber: A1, groupTag: {hash}\n"),
        format!("{head}spec: {{serialNumber: A1, groupTag: {}}}\n", &hash[..300]),
        format!("{head}spec: {{serialNumber: A1, userPrincipalName: [{{a: {hash}}}]}}\n"),
    ];
    for text in texts {
        let repo = Repo::new();
        repo.write("a.yaml", &text);
        let (code, out, err) = validated(&repo.path().display().to_string());
        assert_eq!(code, 3, "{err}");
        assert!(err.contains("error[raw-hash]"), "{err}");
        let json = serde_json::to_string(&problems(&repo.load().problems)).unwrap();
        for window in hash.as_bytes().windows(24) {
            let window = std::str::from_utf8(window).unwrap();
            for output in [&out, &err, &json] {
                assert!(!output.contains(window), "{window} of\n{text}\nin\n{output}");
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn encrypted_files_are_read_through_age_and_sops() {
    use std::os::unix::fs::PermissionsExt as _;
    let (machines, csv) = intake(2);
    let digest = |at: usize| machines[at].hash().digest();
    let serial = |at: usize| machines[at].serial().unwrap().clone();
    let repo = Repo::new();
    repo.write("a.txt.age", machines[0].hash().to_base64());
    repo.write("b.sops.csv", r#"{"data": "ENC[x]", "sops": {"age": [{"recipient": "age1x", "enc": "x"}]}}"#);
    let tools = Folder::new();
    tools.write("plain", utf16(&csv));
    for (tool, file) in [("age", "\"$last\""), ("sops", "\"${0%/*}/plain\"")] {
        tools.write(tool, format!("#!/bin/sh\nfor last; do :; done\n[ \"$1\" = --decrypt ] && exec cat {file}\n"));
        std::fs::set_permissions(tools.at(tool), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    repo.devices(
        "a.yaml",
        &format!(
            "  devices:\n    - {{serialNumber: \"{}\", hardwareHashRef: {{file: a.txt.age, sha256: {}}}}}\n    \
             - {{serialNumber: \"{}\", hardwareHashRef: {{csv: b.sops.csv, sha256: {}}}}}\n",
            serial(0),
            digest(0).hex(),
            serial(1),
            digest(1).hex()
        ),
    );
    let loaded = repo.load();
    assert_eq!(loaded.problems, [], "encrypted hashes may stand in Git");
    let fleet = &loaded.fleets[0];
    let hashes = Hashes::new(fleet.root.clone()).with_tools_in(tools.path().to_owned());
    for claim in fleet.desired.claims() {
        let hash = hashes.read_now(claim.hash.as_ref().unwrap(), &claim.serial).unwrap();
        assert_eq!(Some(hash.digest()), claim.hash.as_ref().unwrap().pin);
    }
    let without = Hashes::new(fleet.root.clone()).with_tools_in(repo.path().to_owned());
    assert_eq!(check_hashes(&loaded.fleets, &without), [], "validate needs no key");
    let claim = &fleet.desired.claims()[0];
    let error = without.read_now(claim.hash.as_ref().unwrap(), &claim.serial).unwrap_err();
    assert!(matches!(error, HashError::NotHere(_)), "{error}");
}

#[test]
fn two_runs_say_the_same_in_the_same_order() {
    let run = || load(&["examples/pathological".into()]).problems;
    assert_eq!(run(), run());
}

#[test]
fn a_list_that_kubectl_printed_is_read_item_by_item() {
    let repo = Repo::new();
    let item = |name: &str| {
        format!(
            "- apiVersion: apgit.dev/v1alpha1\n  kind: AutopilotDevice\n  metadata: {{name: {name}}}\n  spec: {{serialNumber: {name}}}\n"
        )
    };
    repo.write("a.yaml", format!("apiVersion: v1\nkind: List\nitems:\n{}{}- kind: Other\n", item("a1"), item("a2")));
    let loaded = repo.load();
    assert_eq!((loaded.devices(), loaded.documents, loaded.skipped, codes(&loaded).len()), (2, 4, 1, 0));
}

// Generated files. `apgit crds --out crds` and `apgit schema --out
// schema/apgit.schema.json` renew them; so does UPDATE=1 on this test.

#[test]
fn the_committed_definitions_and_schema_are_current() {
    let (desk, written) = (Desk::new(), Folder::new());
    written.write("schema/apgit.schema.json", desk.run("schema").out);
    written.write("docs/reference.md", desk.run("schema --markdown").out);
    assert_eq!(desk.run(&format!("crds --out {}", written.at("crds").display())).code, 0);
    // And the kind that nobody declares.
    assert_eq!(written.files().len(), 2 + resource::crds().len() + 1);
    for file in written.files() {
        let (name, text) = (file.strip_prefix(written.path()).unwrap(), std::fs::read_to_string(&file).unwrap());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(root().join(name), &text).unwrap();
        }
        let committed = std::fs::read_to_string(root().join(name)).unwrap_or_default();
        assert!(committed == text, "{} is old: run this test with UPDATE=1", name.display());
    }
}

#[test]
fn definitions_are_structural_and_know_no_null() {
    let plan = resource::plan_crd();
    for crd in resource::crds().iter().map(|(_, crd)| crd).chain([&plan]) {
        let (text, kind) = (serde_json::to_string(crd).unwrap(), &crd.spec.names.kind);
        assert!(!text.contains("nullable") && !text.contains("null]"), "{kind}");
        for word in ["additionalProperties", "$ref", "anyOf", "preserve-unknown-fields", "\"default\"", "uint32"] {
            assert!(!text.contains(word), "{kind} has {word}");
        }
    }
}

#[test]
fn every_text_and_list_of_the_definitions_has_a_length() {
    fn walk(schema: &Value, at: &str, out: &mut Vec<String>) {
        let bounded = match schema["type"].as_str() {
            Some("string") => schema.get("maxLength").is_some() || schema.get("enum").is_some(),
            Some("array") => schema.get("maxItems").is_some(),
            _ => true,
        };
        if !bounded {
            out.push(at.to_owned());
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            walk(schema, &format!("{at}.{name}"), out);
        }
        if let Some(items) = schema.get("items") {
            walk(items, &format!("{at}[]"), out);
        }
    }
    let mut out = Vec::new();
    Kind::ALL.into_iter().for_each(|kind| walk(resource::spec_schema(kind), kind.name(), &mut out));
    assert_eq!(out, [""; 0]);
}
