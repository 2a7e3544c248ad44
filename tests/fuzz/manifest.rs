//! Manifests: whatever a branch may hold.

use std::collections::HashMap;

use apgit::door::manifest::{Hashes, Problem, as_kubectl_sends, check_hashes, load};
use apgit::door::render::document::problems;
use apgit::door::render::{Look, text};
use tempfile::TempDir;

use crate::run::Target;
use crate::secret::{MACHINES, masked, plain};
use crate::seeds;

const TENANT: &str = "\
apiVersion: apgit.dev/v1alpha1
kind: AutopilotTenant
metadata: {name: contoso}
spec: {tenantId: 11111111-2222-3333-4444-555555555555, policy: Sync, ownerId: corp-devices, hashStorage: PlainInGit}
";

/// A repository with a tenant, the hash files of the examples, and one file
/// that is another in each case.
pub struct Repo(TempDir);

impl Repo {
    pub fn new() -> Self {
        let repo = Self(tempfile::tempdir().expect("a folder for the test"));
        for folder in [".git", "tools", "devices", "hashes"] {
            std::fs::create_dir(repo.0.path().join(folder)).expect("a folder in it");
        }
        repo.write("tenant.yaml", TENANT.as_bytes());
        for entry in std::fs::read_dir(seeds::root().join("examples/contoso/hashes")).expect("an example") {
            let path = entry.expect("an entry").path();
            std::fs::copy(&path, repo.0.path().join("hashes").join(path.file_name().expect("a name"))).expect("a copy");
        }
        repo
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(name), bytes).expect("a file in it");
    }

    /// Loads everything in it, and reads the hashes where nothing is wrong.
    pub fn judge(&self) {
        let loaded = load(&[self.0.path().to_owned()]);
        judge(&loaded.problems);
        if loaded.has_errors() {
            return;
        }
        for fleet in &loaded.fleets {
            // No command of this machine is asked to decrypt anything.
            let hashes = Hashes::new(fleet.root.clone()).with_tools_in(self.0.path().join("tools"));
            judge(&check_hashes(std::slice::from_ref(fleet), &hashes));
        }
    }
}

/// The most problems of a file that are listed, and two lines on the rest.
const LISTED_MAX: usize = 202;

/// Not too many, with nothing in them that nobody sees, and no hash.
fn judge(found: &[Problem]) {
    let mut listed: HashMap<&str, usize> = HashMap::new();
    for problem in found {
        if let Some(first) = problem.places.first() {
            *listed.entry(&first.place.file).or_default() += 1;
        }
    }
    for (file, count) in listed {
        assert!(count <= LISTED_MAX, "{count} problems are listed of {file}");
    }
    let rows = problems(found);
    for row in &rows {
        let lines =
            row.places.iter().filter_map(|spot| spot.excerpt.as_ref()).map(|excerpt| excerpt.line.replace('\t', " "));
        [row.message.clone()].into_iter().chain(row.hint.clone()).chain(lines).for_each(|line| plain(&line));
    }
    masked(&serde_json::to_string(&rows).expect("rows are plain data"));
    masked(&text::problems(&rows, &Look::default()));
}

/// The examples, hostile repositories, the table of good and bad manifests, and
/// a hash where none may stand.
fn manifests() -> Vec<Vec<u8>> {
    let mut manifests = seeds::files("examples", ".yaml");
    manifests.extend(seeds::files("tests/data/hostile", ".yaml"));
    let table = std::fs::read_to_string(seeds::root().join("tests/data/cases.yaml")).expect("a table of the tests");
    let table: Vec<serde_json::Value> = serde_yaml::from_str(&table).expect("a list of cases");
    let case = |case: &serde_json::Value| {
        format!("apiVersion: apgit.dev/v1alpha1\n{}", case["yaml"].as_str().expect("a manifest")).into_bytes()
    };
    manifests.extend(table.iter().map(case));
    let hash = MACHINES[0].hash().to_base64();
    let wrapped =
        hash.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join("\n      ");
    let head = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: planted}\nspec:\n";
    manifests.extend([
        format!("{head}  serialNumber: TEST-000000\n  hardwareHashRef: {hash}\n").into_bytes(),
        format!("{head}  serialNumber: \"{hash}\"\n").into_bytes(),
        format!("{head}  serialNumber: TEST-000000\n  groupTag: OSL\n  hardwareHash: |\n      {wrapped}\n")
            .into_bytes(),
        format!("{head}  serialNumber: TEST-000000\n  # {hash}\n  {hash}: yes\n").into_bytes(),
    ]);
    manifests
}

#[test]
fn a_manifest_is_understood_or_refused_in_a_few_words_and_without_a_hash() {
    let repo = Repo::new();
    Target { name: "manifest", seeds: manifests(), cases: 600 }.holds(|bytes| {
        repo.write("devices/input.yaml", bytes);
        repo.judge();
        let _ = as_kubectl_sends(&String::from_utf8_lossy(bytes));
    });
}
