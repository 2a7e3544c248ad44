//! Patterns of a branch: what files are left out, which tags and places a tenant
//! allows. Each is compiled, and what a few bytes of it ask for may be much.

use std::fmt::Write as _;

use crate::support::{Bounds, Folder, Ran, apgit, tenant_manifest};

const DEVICE: &str =
    "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a}\nspec: {serialNumber: A1}\n";

fn repository() -> Folder {
    let folder = Folder::repository();
    folder.write("tenant.yaml", tenant_manifest("cloud: Global"));
    folder
}

#[track_caller]
fn run(folder: &Folder, bounds: Bounds, words: &str) -> Ran {
    let mut command = apgit(folder.path(), words.split_whitespace());
    bounds.hold(command.env("XDG_STATE_HOME", folder.at("state")))
}

/// Braces in braces.
fn nested(depth: usize) -> String {
    "{".repeat(depth) + "a" + &"}".repeat(depth)
}

#[test]
fn braces_in_braces_end_no_run() {
    for file in [".gitignore", ".apgitignore"] {
        for line in [nested(15_000), nested(200), "{a,".repeat(10_000), "{[}]".repeat(8_000)] {
            let folder = repository();
            folder.write(file, format!("# what nobody reads\n*.bak\n{line}\n"));
            for words in ["validate .", "validate tenant.yaml .", "plan . --simulate"] {
                let ran = run(&folder, Bounds::default(), words);
                assert_eq!(ran.code, 3, "{file}: {words}: {}", ran.err);
                assert!(ran.err.contains("error[ignore-file]"), "{file}: {}", ran.err);
                assert!(ran.err.contains("line 3: this pattern"), "{file}: it says where: {}", ran.err);
            }
        }
    }
    for (line, depth) in [
        ("  tagPolicy: [{groupTag: OSL, paths: [\"PATTERN\"]}]\n", 5_000),
        ("  tagPolicy: [{groupTag: \"PATTERN\", paths: [oslo]}]\n", 5_000),
        ("  scope: {groupTags: [\"PATTERN\"]}\n", 30_000),
        // As long as a schema lets them be.
        ("  tagPolicy: [{groupTag: OSL, paths: [\"PATTERN\"]}]\n", 500),
        ("  tagPolicy: [{groupTag: \"PATTERN\", paths: [oslo]}]\n", 250),
        ("  scope: {groupTags: [\"PATTERN\"]}\n", 250),
    ] {
        let folder = repository();
        folder.write("tenant.yaml", tenant_manifest("cloud: Global") + &line.replace("PATTERN", &nested(depth)));
        for words in ["validate .", "plan . --simulate"] {
            let ran = run(&folder, Bounds::default(), words);
            assert_eq!(ran.code, 3, "{words}: {}", ran.err);
            assert!(ran.err.contains("error[glob]") && ran.err.contains("tenant.yaml:11:"), "{words}: {}", ran.err);
        }
    }
}

#[test]
fn patterns_that_people_write_are_patterns_still() {
    let folder = repository();
    let policy = "  scope: {groupTags: [\"{OSL,BER}-*\", \"\"]}\n  tagPolicy: [{groupTag: \"{OSL,BER}-*\", paths: [\"{oslo,berlin}/**/*.{yaml,yml}\"]}]\n";
    folder.write("tenant.yaml", tenant_manifest("cloud: Global") + policy);
    folder.write("oslo/device.yaml", DEVICE.replace("A1", "A1, groupTag: OSL-1"));
    folder.write("rome/device.yaml", "not: [a manifest\n");
    folder.write("berlin/old.yaml", "not: [a manifest\n");
    folder.write(".gitignore", "# drafts\n\n/r{ome,eims}/\n*.{bak,tmp}\n");
    folder.write("berlin/.apgitignore", "old.*\n!new.yaml\n");
    let ran = run(&folder, Bounds::default(), "validate .");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("2 files"), "{}", ran.out);
}

/// Lines that no table of literals can answer.
fn costly(lines: usize) -> String {
    (0..lines).fold(String::new(), |mut text, at| {
        let _ = writeln!(text, "**/*[!a]*?*{{a,b,c}}*{{d,e,f}}/{}", at % 10);
        text
    })
}

#[test]
fn patterns_that_stand_in_many_folders_cost_as_much_as_one() {
    let soon = Bounds { seconds: 20, megabytes: 200 };
    // A file that asks for too much is refused wherever it stands.
    let folder = repository();
    for number in 0..240 {
        folder.write(format!("{number}/.gitignore"), costly(1_900));
        folder.write(format!("{number}/device.yaml"), DEVICE.replace("name: a", &format!("name: a{number}")));
    }
    let ran = run(&folder, soon, "validate .");
    assert!(ran.code == 3 && ran.err.contains("error[ignore-file]"), "{}", ran.err);

    // One that does not is read once, however many folders have it.
    let folder = repository();
    for number in 0..240 {
        folder.write(format!("{number}/.gitignore"), costly(100));
        let device = DEVICE.replace("A1", &format!("A{number}")).replace("name: a", &format!("name: a{number}"));
        folder.write(format!("{number}/device.yaml"), device);
    }
    let ran = run(&folder, soon, "validate .");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("240 devices"), "{}", ran.out);
}

#[test]
fn patterns_of_folders_in_one_another_and_beside_one_another_are_counted_together() {
    let soon = Bounds { seconds: 20, megabytes: 200 };
    let folder = repository();
    let mut deep = String::new();
    for number in 0..60 {
        deep += "d/";
        folder.write(format!("{deep}.gitignore"), costly(100) + &format!("{number}\n"));
    }
    let ran = run(&folder, soon, "validate .");
    assert!(ran.code == 3 && ran.err.contains("error[ignore-file]"), "{}", ran.err);

    let folder = repository();
    for number in 0..120 {
        folder.write(format!("{number}/.gitignore"), costly(190) + &format!("{number}\n"));
    }
    let ran = run(&folder, soon, "validate .");
    assert!(ran.code == 3 && ran.err.contains("error[ignore-file]"), "{}", ran.err);
}

#[test]
fn a_policy_has_no_more_patterns_than_people_write() {
    let folder = repository();
    let path = |number: usize| {
        let pattern = costly(1).trim_end().repeat(40);
        format!("\"{number}{}\"", &pattern[..1_000])
    };
    let mut policy = String::from("  tagPolicy:\n");
    for entry in 0..100 {
        let paths = (0..100).map(|at| path(100 * entry + at)).collect::<Vec<_>>().join(", ");
        let _ = writeln!(policy, "  - {{groupTag: \"*\", paths: [{paths}]}}");
    }
    folder.write("tenant.yaml", tenant_manifest("cloud: Global") + &policy);
    folder.write("device.yaml", DEVICE.replace("A1", "A1, groupTag: OSL"));
    let ran = run(&folder, Bounds { seconds: 20, megabytes: 300 }, "validate .");
    assert!(ran.code == 3 && ran.err.contains("error[glob]"), "{}", ran.err);
}
