//! Nothing that somebody declared is left out without a word.

use super::{Repo, TENANT, codes, found, told, validated};
use crate::support::{Desk, Folder, machine};

const DEVICE: &str =
    "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a1}\nspec: {serialNumber: A1}\n";

#[test]
fn our_kinds_under_another_version_are_an_error_that_names_the_right_one() {
    for version in ["apgit.dev/v1", "apgit.io/v1alpha1", "v1alpha1", "Apgit.dev/v1alpha1", "v1"] {
        let repo = Repo::new();
        repo.write("a.yaml", DEVICE.replace("apgit.dev/v1alpha1", version));
        let loaded = repo.load();
        assert_eq!(found(&repo, &loaded), "api-version a.yaml:1:13\n", "{version}");
        assert!(told(&loaded).contains("write `apiVersion: apgit.dev/v1alpha1`"), "{}", told(&loaded));
    }
    let repo = Repo::new();
    let items = DEVICE.replace("apgit.dev/v1alpha1", "apgit.dev/v2").replace('\n', "\n  ");
    repo.write("list.yaml", format!("apiVersion: v1\nkind: List\nitems:\n- {}", items.trim_end()));
    assert_eq!(codes(&repo.load()), ["api-version"]);
}

#[test]
fn a_list_in_a_list_is_an_error_where_it_stands() {
    let list =
        |items: &str| format!("apiVersion: v1\nkind: List\nitems:\n- {}\n", items.trim_end().replace('\n', "\n  "));
    for around in ["", "- kind: Other\n", "- apiVersion: apgit.dev/v1alpha1\n  kind: AutopilotPlanApproval\n"] {
        let repo = Repo::new();
        repo.write("list.yaml", list(&list(DEVICE)) + around);
        let loaded = repo.load();
        assert!(found(&repo, &loaded).contains("kind list.yaml:4:3\n"), "{around}{}", found(&repo, &loaded));
        assert!(told(&loaded).contains("write its items into the list around it"), "{}", told(&loaded));
    }
    let repo = Repo::new();
    repo.write("list.yaml", list(&list("kind: Other\n")));
    assert_eq!((codes(&repo.load()), repo.load().skipped), (vec![], 1));
}

#[test]
fn a_kind_that_is_nearly_ours_and_has_no_version_is_not_left_out() {
    let repo = Repo::new();
    repo.write("a.yaml", "kind: AutopilotDevise\nmetadata: {name: a1}\nspec: {serialNumber: A1}\n");
    let loaded = repo.load();
    assert_eq!(codes(&loaded), ["kind"]);
    assert!(told(&loaded).contains("did you mean `AutopilotDevice`?"), "{}", told(&loaded));
}

#[test]
fn manifests_in_json_are_read_as_those_in_yaml() {
    let repo = Repo::bare();
    let spec = r#"{"tenantId": "11111111-2222-3333-4444-555555555555", "policy": "Sync", "ownerId": "corp"}"#;
    let tenant = |metadata: &str| {
        format!(
            "{{\n\t\"apiVersion\": \"apgit.dev/v1alpha1\",\n\t\"kind\": \"AutopilotTenant\",\n\t\"metadata\": {metadata},\n\t\"spec\": {spec}\n}}\n"
        )
    };
    repo.write("tenant.json", tenant(r#"{"name": "contoso"}"#));
    repo.write("devices/a.JSON", r#"{"apiVersion":"apgit.dev/v1alpha1","kind":"AutopilotDevice","metadata":{"name":"a1"},"spec":{"serialNumber":"A1","groupTag":"5","displayName":"K\u00fcche\/1"}}"#);
    repo.write("package.json", r#"{"name": "other", "private": true}"#);
    let loaded = repo.load();
    assert_eq!(
        (found(&repo, &loaded).as_str(), loaded.files, loaded.skipped),
        ("display-name devices/a.JSON:1:143\n", 3, 1)
    );
    repo.write("devices/a.JSON", DEVICE);
    assert_eq!((repo.load().devices(), repo.load().problems), (1, vec![]));
    repo.write("tenant.json", tenant(r#"{"name": "contoso""#));
    assert!(codes(&repo.load()).contains(&"yaml"), "a broken one is told of");
}

#[test]
fn other_json_is_left_alone_whatever_it_names() {
    let repo = Repo::new();
    let long = "x".repeat(2000);
    repo.write("export.json", format!("{{\"value\": [{{\"windowsAutopilotId\": 1, \"{long}\": 2}}]}}"));
    repo.write("schema.json", format!("{{\"$id\": \"https://apgit.dev/x\", \"AutopilotDevice\": {{\"{long}\": 2}}}}"));
    let loaded = repo.load();
    assert_eq!((loaded.problems, loaded.skipped), (vec![], 2));
}

#[test]
fn documents_in_a_list_of_their_own_are_an_error_with_the_form_to_write() {
    let repo = Repo::new();
    let item = DEVICE.replace('\n', "\n  ");
    repo.write("a.yaml", format!("- {}", item.trim_end()));
    let loaded = repo.load();
    assert_eq!(found(&repo, &loaded), "kind a.yaml:1:3\n");
    assert!(told(&loaded).contains("`---`"), "{}", told(&loaded));
}

#[test]
fn a_folder_without_any_manifest_says_so() {
    let folder = Folder::repository();
    folder.write("notes.txt", TENANT);
    let path = folder.path().display().to_string();
    for with in [false, true] {
        if with {
            folder.write("other.yaml", "apiVersion: v1\nkind: ConfigMap\n");
        }
        let (code, _, err) = validated(&path);
        assert!(code == 3 && err.contains("error[no-manifests]: there is no manifest here"), "{code} {err}");
        let plan = Desk::new().run(&format!("plan {path} --simulate"));
        assert!(plan.code == 3 && plan.err.contains("error[no-manifests]"), "{}", plan.err);
    }
}

#[test]
fn a_manifest_that_git_leaves_out_is_missed_aloud() {
    let repo = Repo::new();
    for name in ["devices/ham.yaml", "old/a.yml", "old/deep/b.json", "old/deep/c.yaml", "kept/ours.yaml"] {
        let name_of = name.replace(['/', '.'], "-");
        repo.write(name, DEVICE.replace("a1}", &format!("{name_of}}}")));
    }
    repo.write("other.yaml", "kind: ConfigMap\n");
    repo.write(".gitignore", "ham.yaml\n/old/\nother.yaml\n/kept/\n");
    repo.write("kept/.apgitignore", "");
    repo.write(".apgitignore", "/kept/\n");
    let said = told(&repo.load()).replace("\n", " ");
    let path = repo.path().display();
    assert!(
        said.contains("warning[left-out]: 4 files that look like manifests are left out by `.gitignore`"),
        "{said}"
    );
    assert!(said.contains("devices/ham.yaml") && !said.contains("other.yaml") && !said.contains("kept"), "{said}");
    repo.write(".gitignore", "ham.yaml\n");
    repo.write(".apgitignore", "/old/\n/kept/\n");
    let (code, out, err) = validated(&path.to_string());
    assert!(
        code == 0 && err.contains("1 file that looks like a manifest is left out by `.gitignore`: `"),
        "{out}{err}"
    );
    let plan = Desk::new().run(&format!("plan {path} --simulate"));
    assert!(plan.err.contains("warning[left-out]"), "{}", plan.err);
    repo.write(".apgitignore", "/old/\n/kept/\nham.yaml\n");
    assert_eq!(repo.load().problems, []);
}

#[test]
fn a_file_that_a_clone_does_not_have_is_a_warning() {
    let repo = Repo::bare();
    repo.write("tenant.yaml", TENANT);
    let machine = machine(1);
    repo.write("intake/ham.txt", machine.hash().to_base64());
    let reference = "hardwareHashRef: {file: ../intake/ham.txt}";
    repo.devices("sets/a.yaml", &format!("  devices: [{{serialNumber: TEST-000001, {reference}}}]\n"));
    repo.write(".gitignore", "intake/\n");
    let git = |words: &str| {
        let mut git = std::process::Command::new("git");
        git.args(words.split(' ')).current_dir(repo.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        assert!(git.output().expect("git runs").status.success(), "{words}");
    };
    std::fs::remove_dir(repo.at(".git")).expect("the mark of a repository");
    git("init -q");
    let loaded = repo.load();
    assert_eq!(found(&repo, &loaded), "not-in-git sets/a.yaml:5:28\n", "{}", told(&loaded));
    assert!(told(&loaded).contains("`intake/ham.txt` is left out by `.gitignore`"), "{}", told(&loaded));
    git("add -f intake/ham.txt");
    assert!(!told(&repo.load()).contains("not-in-git"), "{}", told(&repo.load()));
}

#[test]
fn a_manifest_whose_ending_windows_hid_is_missed_aloud() {
    let repo = Repo::new();
    for name in
        ["bergen.yaml.txt", "bergen.json.txt", "sites/oslo.YML.TXT", "notes.txt", "old.yaml.bak", "readme.txt.md"]
    {
        repo.write(name, DEVICE);
    }
    let loaded = repo.load();
    assert_eq!(
        found(&repo, &loaded),
        "not-read bergen.json.txt:1:1\nnot-read bergen.yaml.txt:1:1\nnot-read sites/oslo.YML.TXT:1:1\n"
    );
    assert!(!loaded.has_errors() && loaded.devices() == 0);
    let said = told(&loaded);
    assert!(said.contains("warning[not-read]: this file is not read: its name ends in `.txt`"), "{said}");
    assert!(said.contains("rename it to `bergen.yaml`") && said.contains("rename it to `oslo.YML`"), "{said}");
    let plan = Desk::new().run(&format!("plan {} --simulate", repo.path().display()));
    assert!(plan.code == 0 && plan.err.contains("warning[not-read]"), "{}{}", plan.out, plan.err);
    repo.write(".apgitignore", "*.txt\n*.TXT\n");
    assert_eq!(repo.load().problems, vec![]);
}
