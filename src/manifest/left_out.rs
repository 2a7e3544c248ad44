//! Manifests that `.gitignore` leaves out. They are not read, and whoever wrote
//! one believes that it is declared, so they are looked for and named.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::files::{bare, is_manifest, name};
use super::problem::{Problem, show};
use crate::resource::GROUP;

/// What is looked at of all that is left out: folders of other tools have a
/// hundred thousand files, and no manifest.
const ENTRIES_MAX: usize = 2_000;
const FILES_MAX: usize = 200;
/// A manifest names us in its first lines.
const BYTES_MAX: u64 = 16 << 10;
/// So many names are shown.
const SHOWN: usize = 3;

/// Manifests that were found, as they are named.
#[derive(Default)]
pub(super) struct LeftOut {
    found: Vec<PathBuf>,
    entries: usize,
    files: usize,
}

impl LeftOut {
    /// Looks at a file or a folder that Git leaves out, as far as there is room.
    pub(super) fn look(&mut self, named: &Path, real: &Path, is_dir: bool) {
        let mut ways = vec![(named.to_owned(), real.to_owned(), is_dir)];
        while let Some((named, real, is_dir)) = ways.pop() {
            if is_dir {
                ways.extend(self.entries(&named, &real));
            } else if self.files < FILES_MAX {
                self.files += 1;
                self.found.extend(names_us(&real).then_some(named));
            }
        }
    }

    fn entries(&mut self, named: &Path, real: &Path) -> Vec<(PathBuf, PathBuf, bool)> {
        let mut ways = Vec::new();
        for entry in std::fs::read_dir(real).into_iter().flatten().flatten() {
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                break;
            }
            let (file, Ok(kind)) = (entry.file_name(), entry.file_type()) else { continue };
            let is_hidden = file.as_encoded_bytes().starts_with(b".");
            if !is_hidden && (kind.is_dir() || kind.is_file() && is_manifest(Path::new(&file))) {
                ways.push((named.join(&file), real.join(&file), kind.is_dir()));
            }
        }
        ways
    }

    /// What is to be said of them.
    pub(super) fn told(mut self) -> Option<Problem> {
        self.found.sort();
        let (first, count) = (self.found.first()?, self.found.len());
        let names: Vec<String> = self.found.iter().take(SHOWN).map(|path| format!("`{}`", show(&name(path)))).collect();
        let more = if count > SHOWN { ", …" } else { "" };
        let files =
            if count == 1 { "1 file that looks like a manifest is" } else { "files that look like manifests are" };
        let files = if count == 1 { files.to_owned() } else { format!("{count} {files}") };
        let message = format!("{files} left out by `.gitignore`: {}{more}", names.join(", "));
        let hint = "nothing of it is declared, and Git does not keep it; correct `.gitignore`, or name it in an \
                    `.apgitignore`, too, if that is meant";
        Some(Problem::warning("left-out", message, bare(first)).hint(hint))
    }
}

fn names_us(file: &Path) -> bool {
    let mut start = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut start));
    read.is_ok() && String::from_utf8_lossy(&start).contains(&format!("{GROUP}/"))
}
