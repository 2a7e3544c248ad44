//! A folder with files, gone with the test.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::at_url;

pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder for the test"))
    }

    /// In memory, where a system has a place for that: whoever makes thousands
    /// of journals safe waits for the disk most of the time.
    pub fn quick() -> Self {
        tempfile::tempdir_in("/dev/shm").map_or_else(|_| Self::new(), Self)
    }

    /// The root of a repository: no path of a manifest leads out of it.
    pub fn repository() -> Self {
        let folder = Self::new();
        std::fs::create_dir(folder.at(".git")).expect("a folder in it");
        folder
    }

    /// A copy that a test may change.
    pub fn copy_of(original: &Path) -> Self {
        let folder = Self::new();
        for path in files(original) {
            let name = path.strip_prefix(original).expect("a file of the folder");
            folder.write(name, std::fs::read(&path).expect("a file of the folder"));
        }
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// The folders above the file are made as well.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder in it");
        std::fs::write(path, content).expect("a file in it");
    }

    #[track_caller]
    pub fn read(&self, name: impl AsRef<Path>) -> String {
        let path = self.at(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Replaces what must stand there.
    #[track_caller]
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{from} is not in {name}");
        self.write(name, text.replace(from, to));
    }

    /// Points the tenant that is declared here at an address of ours.
    pub fn lead_to(&self, url: &str) {
        self.edit("tenant.yaml", "  auth:\n", &format!("  {}\n  auth:\n", at_url(url)));
    }

    /// Every file, in no order.
    pub fn files(&self) -> Vec<PathBuf> {
        files(self.path())
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of the test") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}
