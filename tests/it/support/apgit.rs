//! The real binary, run as people and pipelines run it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Folder, Simulate};

/// This repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `apgit`, about to run in a folder with nothing of this machine's
/// environment, and nobody to ask.
pub fn apgit<W: AsRef<OsStr>>(folder: &Path, words: impl IntoIterator<Item = W>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apgit"));
    command.args(words).current_dir(folder).env_clear().env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// How a run ended, and what it said.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The one document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn ran(command: &mut Command) -> Ran {
    let output = command.output().expect("the command runs");
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        err: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    }
}

/// Somebody in this repository, with a state folder of their own.
pub struct Desk {
    pub state: Folder,
}

impl Desk {
    pub fn new() -> Self {
        Self { state: Folder::new() }
    }

    /// A command line as it is typed; nothing in it has blanks.
    pub fn command(&self, words: &str) -> Command {
        let mut command = apgit(root(), words.split_whitespace());
        command.env("XDG_STATE_HOME", self.state.path());
        command
    }

    #[track_caller]
    pub fn run(&self, words: &str) -> Ran {
        ran(&mut self.command(words))
    }

    /// The same simulated tenant, from a machine that knows nothing of what was
    /// applied from this one, and leaves nothing behind here.
    #[track_caller]
    pub fn run_elsewhere(&self, words: &str) -> Ran {
        let files = self.state.files();
        let mut folders = files.iter().filter_map(|path| path.ancestors().find(|folder| folder.ends_with("owners")));
        let owners = folders.next().expect("somebody has applied").to_owned();
        let hidden = owners.with_file_name("hidden");
        std::fs::rename(&owners, &hidden).expect("a folder of this test");
        let ran = self.run(words);
        let _ = std::fs::remove_dir_all(&owners);
        std::fs::rename(&hidden, &owners).expect("a folder of this test");
        ran
    }

    /// `apgit simulate` on a free port.
    pub fn simulate(&self, words: &str) -> Simulate {
        let mut command = self.command(&format!("simulate {words}"));
        command.stderr(Stdio::null());
        Simulate::start(command)
    }
}
