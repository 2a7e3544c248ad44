//! Files that say what is left out: `.gitignore` and `.apgitignore`. They are
//! read before anybody has looked at them, and apply to every path below.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::model::check_pattern;

/// What one file may have.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What all files of a run may have together, each text counted once: compiled,
/// a byte takes more than a hundred.
const BYTES_MAX: usize = 512 << 10;

/// What the files that hold in one folder may have together, its own and those
/// above: every path is held against each of them. The longest list that is
/// handed around, for Visual Studio, has some 500.
pub(super) const WILDCARDS_MAX: usize = 2_000;

/// The patterns of a file. Paths are from the folder that it stands in.
pub(super) struct Patterns {
    pub set: Gitignore,
    /// How many parts of them match more than one text.
    pub wildcards: usize,
}

/// Why a file is not used, and because of which line.
pub(super) struct Refused {
    pub line: u32,
    pub reason: String,
}

/// Files that were read, by their text: many folders have the same.
#[derive(Default)]
pub(super) struct Ignored {
    known: HashMap<String, Arc<Patterns>>,
    bytes: usize,
}

impl Ignored {
    /// The patterns of a folder's file of this name; nothing where there is no
    /// such file. `room`: how many wildcards they may have. A pattern that cannot
    /// be read leaves nothing out.
    ///
    /// # Errors
    /// Where they ask for too much: then none of them is used.
    pub(super) fn of(&mut self, folder: &Path, file: &str, room: usize) -> Result<Option<Arc<Patterns>>, Refused> {
        let whole = |reason| Refused { line: 1, reason };
        let Some(text) = text(&folder.join(file)).map_err(whole)? else { return Ok(None) };
        let lines = || text.lines().zip(1..).filter(|(line, _)| !line.starts_with('#'));
        for (line, number) in lines() {
            let of_line =
                |why| Refused { line: number, reason: format!("line {number}: this pattern is not used: {why}") };
            check_pattern(line).map_err(of_line)?;
        }
        let wildcards = lines().map(|(line, _)| line.matches(['*', '?', '[', '{']).count()).sum();
        if wildcards > room {
            let reason = format!("the patterns that hold in this folder have more than {WILDCARDS_MAX} wildcards");
            return Err(whole(reason));
        }
        if let Some(known) = self.known.get(&text) {
            return Ok(Some(Arc::clone(known)));
        }
        if self.bytes + text.len() > BYTES_MAX {
            return Err(whole(format!("files with patterns have together more than {BYTES_MAX} bytes")));
        }
        let mut builder = GitignoreBuilder::new("");
        lines().for_each(|(line, _)| _ = builder.add_line(None, line));
        let set = builder.build().unwrap_or_else(|_| Gitignore::empty());
        let patterns = Arc::new(Patterns { set, wildcards });
        self.bytes += text.len();
        self.known.insert(text, Arc::clone(&patterns));
        Ok(Some(patterns))
    }
}

/// The text of a small file that is no link and no pipe.
fn text(path: &Path) -> Result<Option<String>, String> {
    let Ok(meta) = path.symlink_metadata() else { return Ok(None) };
    if !meta.is_file() {
        return Err("this is not a file, so its patterns are not read".to_owned());
    }
    if meta.len() > FILE_BYTES_MAX {
        return Err(format!("the file has {} bytes of patterns, more than {FILE_BYTES_MAX}", meta.len()));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
