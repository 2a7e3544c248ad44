//! The house's own rules, held against the sources: who imports whom, which
//! crates are in the tree and under which licences.

mod arrows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Who may import whom, besides itself. ARCHITECTURE.md gives the reasons.
const MAY_IMPORT: [(&str, &[&str]); 23] = [
    ("model", &[]),
    ("hash", &["model"]),
    ("resource", &["model"]),
    ("capture", &["model", "hash"]),
    ("desired", &["model", "resource"]),
    // `manifest` reads hashes through `capture`, and asks `git`, `age` and `sops`.
    ("manifest", &["model", "hash", "resource", "capture", "desired", "program"]),
    // `git` for the one store that is a branch; that in a cluster has its client.
    ("ledger", &["model", "git"]),
    ("plan", &["model", "hash", "ledger"]),
    // `graph` and `clock` for `execute` and what it is made of.
    ("apply", &["model", "hash", "plan", "ledger", "graph", "clock"]),
    ("status", &["model", "plan", "apply"]),
    ("round", &["model", "hash", "ledger", "plan", "apply", "status", "graph", "clock"]),
    // Rounds over several tenants need the ways to them; and rules across claims go
    // by what was applied, too.
    ("fleet", &["model", "hash", "ledger", "desired", "plan", "apply", "status", "round", "graph", "clock", "connect"]),
    ("program", &[]),
    // `model` for how words of others are shown.
    ("git", &["model", "program"]),
    ("transport", &[]),
    ("clock", &["transport"]),
    ("graph", &["model", "hash", "transport", "clock"]),
    ("connect", &["model", "resource", "graph", "transport", "clock"]),
    ("sim", &["transport", "clock"]),
    ("render", &["model", "hash", "manifest", "plan", "apply", "status"]),
    // What reports show, as a page; whoever reads tenants tells it.
    ("web", &["model", "hash", "plan", "status", "round", "render"]),
    // The same rounds as at a desk, over objects instead of files.
    (
        "operator",
        &[
            "model", "hash", "resource", "capture", "desired", "ledger", "plan", "apply", "status", "round", "fleet",
            "clock", "graph", "connect", "render", "web",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "hash",
            "resource",
            "capture",
            "desired",
            "manifest",
            "ledger",
            "plan",
            "apply",
            "status",
            "round",
            "fleet",
            "program",
            "git",
            "transport",
            "clock",
            "graph",
            "connect",
            "sim",
            "render",
            "operator",
            "web",
        ],
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_module_imports_only_what_it_may() {
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    let src = root().join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in sources(&src) {
        let inside = path.strip_prefix(&src).expect("a source of ours");
        let place = inside.with_extension("");
        let module: Vec<&str> = place.iter().map(|part| part.to_str().expect("a name")).collect();
        let own = module[0];
        if ["lib", "main", "door"].contains(&own) {
            continue;
        }
        let Some(allowed) = table.get(own) else {
            wrong.push(format!("{}: module `{own}` is not in the table", inside.display()));
            continue;
        };
        for (line, name) in arrows::named(&module, &std::fs::read_to_string(&path).expect("a source")) {
            seen += 1;
            if name != own && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}:{line}: `{own}` imports `{name}`", inside.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} imports were found: the test reads nothing");
    assert!(wrong.is_empty(), "new arrows are a decision, not an accident:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_lives_in_it() {
    let all = sources(&root().join("src")).into_iter().chain(sources(&root().join("tests")));
    let silent: Vec<_> = all
        .filter(|path| !std::fs::read_to_string(path).expect("a source").starts_with("//!"))
        .map(|path| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "files that do not open with `//!`: {silent:#?}");
}

fn run(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().expect("cargo and rustc are here, they made this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The crates that are built here. Those of other platforms are not on this
/// disk, and a test loads nothing; `cargo deny` (deny.toml) looks at all.
fn metadata() -> Value {
    let rustc = run(Command::new("rustc").arg("-vV"));
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let words = ["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", host];
    serde_json::from_str(&run(Command::new(env!("CARGO")).args(words))).expect("cargo writes JSON")
}

/// The crates of all platforms, tests included, from the lock file.
fn locked() -> Vec<String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("the lock file");
    lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).map(str::to_owned).collect()
}

/// Licences under which others may use what we build, each alone sufficient.
const LICENCES: [&str; 10] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "Unlicense",
    "CDLA-Permissive-2.0",
];

/// `A OR B` needs one of them, `A AND B` both.
fn is_allowed(licence: &str) -> bool {
    let licence = licence.replace('/', " OR ").replace("  ", " ");
    if let Some((left, right)) = outside_parentheses(&licence, " AND ") {
        return is_allowed(left) && is_allowed(right);
    }
    if let Some((left, right)) = outside_parentheses(&licence, " OR ") {
        return is_allowed(left) || is_allowed(right);
    }
    let inner = licence.trim();
    match inner.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => is_allowed(inner),
        None => LICENCES.contains(&inner),
    }
}

fn outside_parentheses<'t>(text: &'t str, word: &str) -> Option<(&'t str, &'t str)> {
    let found = text.match_indices(word).find(|(at, _)| {
        let before = &text[..*at];
        before.matches('(').count() == before.matches(')').count()
    });
    found.map(|(at, _)| (&text[..at], &text[at + word.len()..]))
}

#[test]
fn every_crate_may_be_used_by_everybody() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 100, "only {} packages", packages.len());
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(is_allowed))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn a_licence_expression_is_read_as_written() {
    assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0") && is_allowed("MIT/Apache-2.0"));
    assert!(is_allowed("MIT OR GPL-3.0") && !is_allowed("MIT AND GPL-3.0") && !is_allowed("(GPL-3.0 OR AGPL-3.0)"));
}

#[test]
fn there_is_one_http_client_one_tls_and_one_yaml_parser() {
    let names = locked();
    assert!(names.len() > 100, "only {} crates in the lock file", names.len());
    let among = |known: &[&str]| -> Vec<&str> {
        let mut found: Vec<&str> = names.iter().map(String::as_str).filter(|name| known.contains(name)).collect();
        found.sort_unstable();
        found
    };
    let clients = ["reqwest", "ureq", "isahc", "surf", "curl", "attohttpc", "minreq", "awc", "hyper-util-client"];
    assert_eq!(among(&clients), ["reqwest"]);
    let tls =
        ["rustls", "native-tls", "openssl", "openssl-sys", "boring", "aws-lc-rs", "aws-lc-sys", "s2n-tls", "mbedtls"];
    assert_eq!(among(&tls), ["rustls"]);
    let yaml = [
        "granit-parser",
        "saphyr-parser",
        "saphyr",
        "yaml-rust",
        "yaml-rust2",
        "unsafe-libyaml",
        "libyaml-safer",
        "serde_yaml",
        "serde_yml",
        "serde_norway",
        "serde_yaml_ng",
        "serde-yaml-bw",
    ];
    assert_eq!(among(&yaml), ["granit-parser"]);
}

#[test]
fn no_file_grows_past_its_noun() {
    let all = sources(&root().join("src")).into_iter().chain(sources(&root().join("tests")));
    let lines = |path: &PathBuf| std::fs::read_to_string(path).expect("a source").lines().count();
    let long: Vec<_> = all.map(|path| (lines(&path), path)).filter(|(lines, _)| *lines > 1000).collect();
    assert!(long.is_empty(), "a file is for one noun: {long:#?}");
}
