//! What others have changed, taken into the manifests by `git apply`: a plan has
//! nothing to do then.

use std::path::Path;

use apgit::door::manifest::{Edit, as_kubectl_sends, edited};
use apgit::door::model::{Field, SerialKey};
use fastrand::Rng;
use serde_json::{Value, json};

use super::Scene;
use super::layouts::{Entry, VALUES, layout, own};
use crate::support::{Desk, Folder, at_url, git, machine, tenant_manifest};

impl Scene {
    /// Somebody changes a user in the portal; `retags` lets time pass.
    fn reassigns(&self, serial: &str, user: &str) {
        self.served.post("user", &json!({"serial": serial, "user": user}));
        self.served.post("advance", &json!({"by": "1h"}));
    }

    /// Applies the patch with Git, from the folder on.
    #[track_caller]
    fn takes(&self, patch: &str) {
        self.folder.write("taken.patch", patch);
        git(self.folder.path(), &["apply", "--whitespace=nowarn", "taken.patch"]);
    }
}

/// What `git apply` has to do with: the lines that go and come.
fn changed(patch: &str) -> Vec<&str> {
    let is_of_file = |line: &&str| line.starts_with("--- ") || line.starts_with("+++ ");
    patch.lines().filter(|line| line.starts_with(['-', '+']) && !is_of_file(line)).collect()
}

const OSLO: &str = "devices/oslo/laptops.yaml";

#[test]
fn drift_becomes_a_patch_after_which_a_plan_has_nothing_to_do() {
    let scene = Scene::applied();
    scene.retags("TEST-OSL-001", "OSL-LENT");
    scene.retags("TEST-OSL-005", "OSL-A #1");
    scene.reassigns("TEST-OSL-003", "ines.paul@contoso.com");
    scene.retags("TEST-BGO-002", "");
    let before = scene.folder.read(OSLO);
    let drift = scene.run("drift . --patch");
    assert_eq!(drift.code, 0, "{}{}", drift.out, drift.err);
    assert!(drift.out.starts_with("diff --git a/devices/bergen/laptops.yaml b/devices/bergen/laptops.yaml\n"));
    let expected = [
        "-  groupTag: BGO-STD",
        "+  groupTag: \"\"",
        "+      groupTag: OSL-LENT",
        "-      userPrincipalName: anna.keller@contoso.com",
        "+      userPrincipalName: ines.paul@contoso.com",
        "-      groupTag: OSL-LOANER      # takes the place of the default",
        "+      groupTag: \"OSL-A #1\"      # takes the place of the default",
    ];
    assert_eq!(changed(&drift.out), expected);
    assert!(drift.err.contains("the patch: 4 values of 4 devices, in 2 files"), "{}", drift.err);
    assert!(drift.err.contains("Drift: 4 devices were changed by others"), "{}", drift.err);
    assert_eq!(scene.folder.read(OSLO), before, "no file is changed");

    scene.takes(&drift.out);
    let quiet = scene.run("drift . --detailed-exitcode");
    assert!(quiet.code == 0 && quiet.out.contains("No drift."), "{}", quiet.out);
    let plan = scene.run("plan .");
    assert!(plan.out.contains("No changes."), "{}{}", plan.out, plan.err);
    let empty = scene.run("drift . --patch");
    assert_eq!((empty.code, empty.out.as_str()), (0, ""), "{}", empty.err);
    assert!(empty.err.contains("the patch is empty"), "{}", empty.err);
}

#[test]
fn a_patch_goes_into_a_file_beside_the_reports_and_into_no_manifest() {
    let scene = Scene::applied();
    scene.retags("TEST-OSL-001", "OSL-LENT");
    let drift = scene.run("drift . --patch=drift.patch --report json=drift.json --detailed-exitcode");
    assert_eq!(drift.code, 2, "{}{}", drift.out, drift.err);
    assert!(drift.out.contains("~ TEST-OSL-001"), "the report is on stdout: {}", drift.out);
    assert_eq!(changed(&scene.folder.read("drift.patch")), ["+      groupTag: OSL-LENT"]);
    let report: Value = serde_json::from_str(&scene.folder.read("drift.json")).unwrap();
    assert_eq!(report["mode"], "drift");
    for (words, why) in [
        ("drift . --patch --json", "cannot both go to stdout"),
        ("drift . --patch --diff", "cannot both go to stdout"),
        ("drift . --patch=devices/oslo/laptops.yaml", "the name of a manifest"),
    ] {
        let refused = scene.run(words);
        assert!(refused.code == 64 && refused.err.contains(why), "{words}: {}", refused.err);
    }
}

#[test]
fn what_cannot_be_said_in_a_manifest_is_told_with_its_reason() {
    let scene = Scene::applied();
    // Only one file may make kiosks; a bidi mark is in no manifest; the third is gone.
    scene.retags("TEST-OSL-003", "KIOSK-LENT");
    scene.reassigns("TEST-OSL-003", "ines.paul@contoso.com");
    scene.retags("TEST-OSL-002", "OSL-\u{202e}LENT");
    scene.retags("TEST-OSL-004", "OSL-A,B");
    scene.retags("TEST-OSL-005", "OSL-NEXT");
    scene.served.post("remove", &json!({"serial": "TEST-KSK-002"}));
    scene.served.post("advance", &json!({"by": "1h"}));
    scene.folder.edit("tenant.yaml", "  policy: Sync", "  onVanished: Hold\n  policy: Sync");
    let drift = scene.run("drift . --patch");
    assert_eq!(drift.code, 5, "{}{}", drift.out, drift.err);
    let lines = changed(&drift.out);
    assert!(lines.contains(&"+      userPrincipalName: ines.paul@contoso.com"), "{lines:?}");
    assert!(lines.contains(&"+      groupTag: OSL-NEXT      # takes the place of the default"), "{lines:?}");
    assert_eq!(lines.len(), 4, "{lines:?}");
    let err = drift.err.replace("\n    ", " ");
    for why in [
        "not in it: 4\n",
        "TEST-OSL-003  group tag: it could not be declared: ",
        "TEST-OSL-002  group tag: the value has characters that nobody sees",
        "TEST-OSL-004  group tag: it could not be declared: a group tag has no comma",
        "TEST-KSK-002: its registration is gone",
    ] {
        assert!(err.contains(why), "{why}: {err}");
    }
    assert!(!drift.out.contains('\u{202e}') && !drift.err.contains('\u{202e}'));
    scene.takes(&drift.out);
    let left = scene.run("drift . --json").json();
    let serials: Vec<_> =
        left["actions"].as_array().unwrap().iter().map(|of| of["object"]["serialNumber"].clone()).collect();
    assert_eq!(serials, ["TEST-OSL-002", "TEST-OSL-003", "TEST-OSL-004"]);
}

#[test]
fn a_value_of_a_csv_and_one_behind_an_alias_are_left() {
    let desk = Desk::new();
    let served = desk.simulate("--speed instant");
    let folder = Folder::repository();
    folder.write("tenant.yaml", tenant_manifest(&at_url(&served.url)));
    let row =
        |number| format!("{},,{},CSV-TAG\n", machine(number).serial().unwrap(), machine(number).hash().to_base64());
    let header = "Device Serial Number,Windows Product ID,Hardware Hash,Group Tag\n";
    folder.write("ham.csv", format!("{header}{}", (1..=4).map(row).collect::<String>()));
    let set = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {name: all}\nspec:\n  defaults:\n    \
               hardwareHashRef: {csv: ham.csv, use: [groupTag]}\n  devices:\n    - serialNumber: TEST-000001\n    - \
               {serialNumber: TEST-000002, groupTag: &tag T}\n    - {serialNumber: TEST-000003, groupTag: *tag}\n    - \
               {serialNumber: TEST-000004, groupTag: T}\n";
    folder.write("devices.yaml", set);
    let scene = Scene { desk, folder, served };
    let apply = scene.run("apply . --auto-approve");
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    (1..=4).for_each(|number| scene.retags(&format!("TEST-{number:06}"), "LENT"));
    let drift = scene.run("drift . --patch");
    assert_eq!(drift.code, 5, "{}{}", drift.out, drift.err);
    let fourth = "{serialNumber: TEST-000004, groupTag: ";
    assert_eq!(changed(&drift.out), [format!("-    - {fourth}T}}"), format!("+    - {fourth}LENT}}")]);
    let err = drift.err.replace("\n    ", " ");
    assert!(err.contains("TEST-000001  group tag: its value comes from a column of ham.csv:2"), "{err}");
    assert_eq!(err.matches("a YAML anchor or alias stands there").count(), 2, "{err}");
    // A field that the device has itself goes before its row.
    scene.takes(&drift.out);
    assert_eq!(scene.run("drift . --json").json()["actions"].as_array().unwrap().len(), 3);
}

#[test]
fn a_patch_is_taken_from_the_root_of_the_repository_whatever_its_folders_are_called() {
    let scene = Scene::applied();
    for (from, to) in [("devices/bergen", "devices/ber gen"), ("devices/oslo", "devices/øs\"lo")] {
        std::fs::rename(scene.folder.at(from), scene.folder.at(to)).unwrap();
    }
    scene.folder.edit("tenant.yaml", "**/devices/oslo/kiosks.yaml", "**/kiosks.yaml");
    git(scene.folder.path(), &["init", "-q", "-b", "main"]);
    scene.retags("TEST-BGO-002", "BGO-LENT");
    scene.retags("TEST-OSL-005", "OSL-LENT");
    scene.folder.write("below/x", "");
    // Named from another folder, paths are from the root all the same.
    let mut command = scene.desk.command("drift .. --patch --allow-endpoint 127.0.0.1");
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.current_dir(scene.folder.at("below")).env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
    let drift = crate::support::ran(&mut command);
    assert_eq!(drift.code, 0, "{}{}", drift.out, drift.err);
    assert!(drift.out.contains("+++ b/devices/ber gen/laptops.yaml\t\n"), "{}", drift.out);
    assert!(drift.out.contains(r#"+++ "b/devices/\303\270s\"lo/laptops.yaml""#), "{}", drift.out);
    scene.takes(&drift.out);
    std::fs::rename(scene.folder.at(".git"), scene.folder.at("git")).unwrap();
    // But for the tag policy, which is another one now.
    let plan = scene.run("plan . --json").json();
    assert_eq!((plan["actions"].as_array().map(Vec::len), plan["held"].as_array().map(Vec::len)), (Some(0), Some(0)));
}

#[test]
fn every_layout_takes_its_drift() {
    for seed in [3, 4] {
        every_layout(seed);
    }
}

fn every_layout(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let desk = Desk::new();
    let served = desk.simulate("--speed instant");
    let folder = Folder::repository();
    folder.write("tenant.yaml", tenant_manifest(&at_url(&served.url)));
    let count = 40;
    let row = |number| format!("{},,{}\n", machine(number).serial().unwrap(), machine(number).hash().to_base64());
    folder.write("ham.csv", (1..=count).map(row).collect::<String>());
    let serials: Vec<String> = (1..=count).map(|number| format!("TEST-{number:06}")).collect();
    let tag = |rng: &mut Rng| (*rng.choice(VALUES.iter()).unwrap()).to_owned();
    let user = |rng: &mut Rng| format!("anna{}@contoso.com", rng.u8(..9));
    for (at, serials) in serials.chunks(5).enumerate() {
        let entry = |serial: &String, rng: &mut Rng| {
            let mut own = vec![("groupTag", tag(rng)), ("userPrincipalName", user(rng))];
            own.retain(|_| rng.bool());
            Entry { serial: serial.clone(), own }
        };
        let entries: Vec<Entry> = serials.iter().map(|serial| entry(serial, &mut rng)).collect();
        let shared = [
            ("hardwareHashRef", json!({"csv": "ham.csv"})),
            ("groupTag", json!("SHARED")),
            ("userPrincipalName", json!("shared@contoso.com")),
        ];
        let layout = layout(&mut rng, &format!("f{at}"), &entries, &shared);
        folder.write(format!("f{at}.{}", if layout.is_json { "json" } else { "yaml" }), layout.text);
    }
    let scene = Scene { desk, folder, served };
    let apply = scene.run("apply . --auto-approve");
    assert_eq!(apply.code, 0, "seed {seed}: {}{}", apply.out, apply.err);
    let mut values = 0;
    for serial in &serials {
        if rng.bool() {
            scene.served.post(
                "tag",
                &json!({"serial": serial, "groupTag": format!("{} ' {}", tag(&mut rng), rng.u8(..)).trim()}),
            );
            values += 1;
        }
        if rng.bool() {
            scene.served.post("user", &json!({"serial": serial, "user": format!("ines{}@contoso.com", rng.u8(..))}));
            values += 1;
        }
    }
    scene.served.post("advance", &json!({"by": "1h"}));
    let drift = scene.run("drift . --patch");
    assert_eq!(drift.code, 0, "seed {seed}: {}{}", drift.out, drift.err);
    assert!(drift.err.contains(&format!("the patch: {values} values of ")), "seed {seed}: {}", drift.err);
    let before: Vec<_> = scene.folder.files().into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect();
    scene.takes(&drift.out);
    let plan = scene.run("plan .");
    assert!(plan.out.contains("No changes."), "seed {seed}: {}{}{}", drift.out, plan.out, plan.err);
    assert!(scene.run("drift .").out.contains("No drift."), "seed {seed}");
    for (text, path) in before {
        keeps_its_ends(&text, &std::fs::read(&path).unwrap(), &path, seed);
    }
}

/// Lines end as they did, and so does the text.
#[track_caller]
fn keeps_its_ends(before: &[u8], after: &[u8], path: &Path, seed: u64) {
    let count = |text: &[u8], end: &[u8]| text.windows(end.len()).filter(|window| *window == end).count();
    let is_crlf = |text: &[u8]| count(text, b"\r\n") == count(text, b"\n");
    if count(before, b"\n") > 0 && count(before, b"\r\n") > 0 {
        assert!(is_crlf(before) == is_crlf(after), "seed {seed}: {}", path.display());
    } else {
        assert_eq!(count(after, b"\r"), 0, "seed {seed}: {}", path.display());
    }
    assert_eq!(before.ends_with(b"\n"), after.ends_with(b"\n"), "seed {seed}: {}", path.display());
}

/// The editor alone: all fields, many layouts.
#[test]
fn a_text_says_what_was_asked_for_and_else_what_it_said() {
    for seed in 0..600 {
        let mut rng = Rng::with_seed(seed);
        let count = rng.usize(1..6);
        let entries: Vec<Entry> =
            (0..count).map(|number| Entry { serial: format!("TEST-{number:06}"), own: own(&mut rng) }).collect();
        let shared = [("groupTag", json!("SHARED")), ("displayName", json!("SHARED"))];
        let text = layout(&mut rng, "some", &entries, &shared).text;
        let mut edits = Vec::new();
        for Entry { serial, .. } in &entries {
            for field in Field::ALL {
                if rng.bool() {
                    continue;
                }
                let value = if rng.u8(..5) == 0 { "" } else { *rng.choice(VALUES.iter()).unwrap() };
                let (line, column) = place(&text, serial);
                edits.push(Edit { line, column, serial: SerialKey::of(serial), field, value: value.into() });
            }
        }
        let new = edited(&text, &edits);
        assert_eq!(new.refused, [], "seed {seed}: {text}");
        let mut expected = as_kubectl_sends(&text);
        for edit in &edits {
            let is_set = expected.iter_mut().any(|document| sets(document, edit));
            assert!(is_set, "seed {seed}: {text}");
        }
        assert_eq!(as_kubectl_sends(&new.text), expected, "seed {seed}: {text}\n{}", new.text);
        keeps_its_ends(text.as_bytes(), new.text.as_bytes(), Path::new("text"), seed);
        keeps_its_words(&text, &new.text, seed);
    }
}

/// Comments, and lines that have nothing of a device, stand there in their order.
#[track_caller]
fn keeps_its_words(before: &str, after: &str, seed: u64) {
    let is_of_device =
        |line: &str| Field::ALL.iter().any(|field| line.contains(field.name())) || line.contains("serialNumber");
    let mut rest = after.lines();
    for line in before.lines().filter(|line| !is_of_device(line)) {
        assert!(rest.any(|other| other == line), "seed {seed}: `{line}` is gone: {after}");
    }
    let comments = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.split_once("# c")?.1.to_owned())).collect()
    };
    assert_eq!(comments(before), comments(after), "seed {seed}: {before}\n{after}");
}

/// Sets a field of the device in what `kubectl` would send.
fn sets(document: &mut Value, edit: &Edit) -> bool {
    match document {
        Value::Object(fields) if fields.get("serialNumber").is_some_and(|serial| serial == edit.serial.as_str()) => {
            fields.insert(edit.field.name().to_owned(), edit.value.as_str().into());
            true
        }
        Value::Object(fields) => fields.values_mut().any(|value| sets(value, edit)),
        Value::Array(items) => items.iter_mut().any(|value| sets(value, edit)),
        _ => false,
    }
}

/// Where a serial number stands, which is in the text once.
fn place(text: &str, serial: &str) -> (u32, u32) {
    let at = text.find(serial).expect("it is there");
    let before = text[..at].trim_end_matches(['"', '\'']).trim_start_matches('\u{feff}');
    let line = before.rsplit('\n').next().unwrap_or_default();
    let number = |count: usize| u32::try_from(count + 1).expect("a small number");
    (number(before.matches('\n').count()), number(line.chars().count()))
}
