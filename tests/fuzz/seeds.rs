//! Where inputs start: the examples, the tests' data and captures, and hashes
//! of machines that do not exist.

use std::path::{Path, PathBuf};

use crate::secret::MACHINES;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder whose names end so, in order.
pub fn files(folder: &str, end: &str) -> Vec<Vec<u8>> {
    let mut folders = vec![root().join(folder)];
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the tests") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    assert!(!paths.is_empty(), "{folder} has no *{end}");
    paths.into_iter().map(|path| std::fs::read(path).expect("a file of the tests")).collect()
}

/// Base64 of every hash that is planted: those of the machines, and a later
/// capture of each.
pub fn hashes() -> Vec<String> {
    MACHINES
        .iter()
        .flat_map(|machine| [machine.hash(), machine.recapture().hash()])
        .map(|hash| hash.to_base64())
        .collect()
}

pub fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

/// A file under `tests/fixtures/graph`, and its name.
pub fn captures() -> Vec<(String, serde_json::Value)> {
    let folder = root().join("tests/fixtures/graph");
    let mut captures: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder of the tests")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, serde_json::from_slice(&std::fs::read(&path).expect("a capture")).expect("JSON"))
        })
        .collect();
    captures.sort_by(|(a, _), (b, _)| a.cmp(b));
    captures
}
