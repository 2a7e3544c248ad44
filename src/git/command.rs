//! The one way in which `git` is run: with arguments of ours, nobody to ask, a
//! limit of time, and without what a branch or our surroundings could make it do.
//!
//! It has the user's own configuration and helpers, since it signs and pushes as
//! the user; it has none of the secrets that are ours alone.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::model::seen;
use crate::program::{self, Cut};

/// A first load of a ledger with years of history over a slow line; and no
/// pipeline waits longer for a server that does not answer.
const NETWORK_TIME_MAX: Duration = Duration::from_secs(180);
/// The ledger of a million devices.
const OUT_BYTES_MAX: u64 = 512 << 20;
/// Of what Git and the other side say, so much is shown.
const REASON_CHARS_MAX: usize = 600;

/// Before every command.
const FIXED: [&str; 22] = [
    // A path is no pattern, and an object is what its name says.
    "--literal-pathspecs",
    "--no-replace-objects",
    // What a repository can name to be run along with a command.
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    // Nothing in the user's repository is tidied up because we came by.
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    // Of an index of our own, nothing stays beside that of the user.
    "-c",
    "core.splitIndex=false",
    "-c",
    "core.untrackedCache=false",
    // Nobody is there.
    "-c",
    "credential.interactive=false",
    "-c",
    "i18n.commitEncoding=UTF-8",
    // What we read has no colours in it, whatever its reader likes: `color.grep` counts
    // for more than `color.ui`.
    "-c",
    "color.ui=false",
    "-c",
    "color.grep=false",
];

/// Says why Git did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`git {command}`: {reason}")]
pub struct GitError {
    /// Which command, by its first word.
    pub command: &'static str,
    /// Fit to be shown: without what nobody sees, and without credentials.
    pub reason: String,
}

/// `git` in the work tree of a repository.
#[derive(Debug, Clone)]
pub(super) struct Git {
    program: PathBuf,
    root: PathBuf,
    /// How it calls `ssh`, once it was asked whether the user has a way.
    ssh: Arc<OnceLock<Option<&'static str>>>,
}

/// A command to be run.
pub(crate) struct Call<'g> {
    git: &'g Git,
    name: &'static str,
    command: Command,
    input: Vec<u8>,
    time_max: Duration,
    bytes_max: u64,
}

/// How a command ended, whatever it thinks of that.
#[derive(Debug)]
pub(crate) struct Answer {
    name: &'static str,
    /// -1 for one that was killed.
    pub code: i32,
    /// All that it said on stdout.
    pub out: Vec<u8>,
    err: Vec<u8>,
}

impl Git {
    /// The command of this machine, to be run in this folder. `None` if there is
    /// no such command.
    pub(super) fn new(root: &Path) -> Option<Self> {
        let program = program::find("git")?;
        Some(Self { program, root: plain(root), ssh: Arc::default() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn call(&self, name: &'static str) -> Call<'_> {
        let mut command = Command::new(&self.program);
        command.arg("-C").arg(&self.root).args(FIXED).arg(name);
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| may_pass(name)));
        command.envs(program::path().map(|path| ("PATH", path)));
        // A `.git` that holds nothing does not lead into the repository around it.
        command.env("GIT_CEILING_DIRECTORIES", self.root.parent().unwrap_or(&self.root));
        // What came before a commit is what it says itself.
        command.env("GIT_GRAFT_FILE", "/dev/null");
        command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("GCM_INTERACTIVE", "never");
        // Its words are looked at in one place, and shown.
        command.env("LC_ALL", "C");
        Call { git: self, name, command, input: Vec::new(), time_max: program::TIME_MAX, bytes_max: OUT_BYTES_MAX }
    }

    /// Our own way to call `ssh`, which asks nobody; where the user has one, that
    /// is taken.
    fn ssh(&self) -> Option<&'static str> {
        *self.ssh.get_or_init(|| {
            let is_set = |name: &&str| std::env::var_os(name).is_some();
            let configured = || self.call("config").args(["--get", "core.sshCommand"]).run();
            let is_users =
                ["GIT_SSH_COMMAND", "GIT_SSH"].iter().any(is_set) || configured().is_ok_and(|answer| answer.code == 0);
            (!is_users).then_some("ssh -o BatchMode=yes")
        })
    }
}

impl Call<'_> {
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// What it reads.
    pub(super) fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }

    /// At most so much is read; more is an error.
    pub(super) fn at_most(mut self, bytes_max: u64) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// For a command that speaks with a remote.
    pub(crate) fn over_network(mut self) -> Self {
        if let Some(ssh) = self.git.ssh() {
            self.command.env("GIT_SSH_COMMAND", ssh);
        }
        self.time_max = NETWORK_TIME_MAX;
        self
    }

    /// Runs it to its end, however that is. `None` if it said more than it may.
    pub(super) fn run_within(mut self) -> Result<Option<Answer>, GitError> {
        let name = self.name;
        let error = |reason| Err(GitError { command: name, reason });
        match program::run(&mut self.command, self.input, self.time_max, self.bytes_max, &|| false) {
            Ok(ended) => {
                let code = ended.status.code().unwrap_or(-1);
                Ok(Some(Answer { name, code, out: ended.out, err: ended.err }))
            }
            Err(Cut::TooMuch) => Ok(None),
            Err(Cut::TooLong) => error(format!("it took longer than {} s", self.time_max.as_secs())),
            Err(Cut::Stopped) => error("stopped on request".to_owned()),
            Err(Cut::NotStarted(source)) => error(format!("it does not start ({source})")),
        }
    }

    /// Runs it to its end, however that is.
    pub(crate) fn run(self) -> Result<Answer, GitError> {
        let (command, bytes_max) = (self.name, self.bytes_max);
        let too_much = || GitError { command, reason: format!("it says more than {bytes_max} bytes") };
        self.run_within()?.ok_or_else(too_much)
    }

    /// Runs it to a good end.
    pub(crate) fn done(self) -> Result<Vec<u8>, GitError> {
        let answer = self.run()?;
        if answer.code == 0 { Ok(answer.out) } else { Err(answer.error()) }
    }

    /// Runs it to a good end: what it says, as one line.
    pub(crate) fn line(self) -> Result<String, GitError> {
        self.done().map(|out| String::from_utf8_lossy(&out).trim_end().to_owned())
    }
}

impl Answer {
    /// The same as a failure.
    pub(crate) fn error(&self) -> GitError {
        GitError { command: self.name, reason: reason(&self.out, &self.err, self.code) }
    }

    /// True if it said so on stderr.
    pub(super) fn says(&self, words: &str) -> bool {
        String::from_utf8_lossy(&self.err).contains(words)
    }
}

/// What was said, as one line.
fn reason(out: &[u8], err: &[u8], code: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    // `push --porcelain` says why it was refused: `!`, from and to, why.
    let refused = out.lines().filter_map(|line| line.strip_prefix("!\t")?.split('\t').nth(1));
    let said = err.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with("hint:"));
    let lines: Vec<&str> = refused.chain(said).collect();
    match lines.is_empty() {
        true if code < 0 => "it was killed".to_owned(),
        true => format!("it ended with {code} and gave no reason"),
        false => {
            let whole = without_credentials(&lines.join("; "));
            let short: String = whole.chars().take(REASON_CHARS_MAX).collect();
            seen(&short).into_owned()
        }
    }
}

/// A text whose addresses have no users and no passwords: a token may be either.
pub(super) fn without_credentials(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, behind)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let ends = |c: char| c == '/' || c == '\'' || c == '"' || c.is_whitespace();
        let host = &behind[..behind.find(ends).unwrap_or(behind.len())];
        rest = host.rfind('@').map_or(behind, |at| &behind[at + 1..]);
    }
    shown + rest
}

/// Which variables it gets. Those of Git itself that say who and how, and not
/// those that say where, or tell secrets on stderr; and nothing that opens the
/// tenant.
fn may_pass(name: &OsStr) -> bool {
    const OURS: [&str; 5] = ["APGIT_", "ACTIONS_ID_TOKEN_", "IDENTITY_", "MSI_", "AZURE_CLIENT_"];
    const GITS: [&str; 10] = [
        "GIT_CONFIG_",
        "GIT_AUTHOR_",
        "GIT_COMMITTER_",
        "GIT_ASKPASS",
        "GIT_SSH",
        "GIT_SSL_",
        "GIT_PROXY_",
        "GIT_HTTP_",
        "GIT_EXEC_PATH",
        "GIT_ALLOW_PROTOCOL",
    ];
    let Some(name) = name.to_str().map(str::to_ascii_uppercase) else { return false };
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    match name.starts_with("GIT_") {
        true => begins(&GITS),
        false => !begins(&OURS) && name != "AZURE_FEDERATED_TOKEN_FILE",
    }
}

/// A path as Git takes it: on Windows, one with all links resolved begins with
/// `\\?\`, which it does not know.
pub(super) fn plain(path: &Path) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_prefix(r"\\?\")).filter(|rest| rest.get(1..2) == Some(":")) {
        Some(rest) => PathBuf::from(rest),
        None => path.to_owned(),
    }
}

/// What Git writes for names, as this system has them.
#[cfg(unix)]
pub(super) fn os_string(name: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(name.to_vec())
}

/// What Git writes for names, as this system has them.
#[cfg(not(unix))]
pub(super) fn os_string(name: &[u8]) -> OsString {
    String::from_utf8_lossy(name).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_shown_with_a_credential() {
        for (text, shown) in [
            (
                "fatal: 'https://me:s3cret@git.example/x.git/' not found",
                "fatal: 'https://git.example/x.git/' not found",
            ),
            ("https://token@git.example https://a:b@c@d.example:8443/", "https://git.example https://d.example:8443/"),
            ("ssh://git@git.example/x and git@git.example:x", "ssh://git.example/x and git@git.example:x"),
            ("http://git.example/me@home ://", "http://git.example/me@home ://"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }

    #[test]
    fn the_reason_is_what_the_other_side_says_and_no_advice() {
        let out = b"To https://t0ken@git.example/x.git\n!\tabc:refs/heads/x\t[remote rejected] (declined)\nDone\n";
        let err =
            b"remote: no\x1b[31m\nerror: failed to push some refs to 'https://t0ken@git.example/x.git'\nhint: no\n";
        let shown = reason(out, err, 1);
        assert_eq!(
            shown,
            "[remote rejected] (declined); remote: no\\u{1b}[31m; \
             error: failed to push some refs to 'https://git.example/x.git'"
        );
        assert_eq!(reason(b"", b"", -1), "it was killed");
        assert!(reason(b"", &b"x".repeat(10_000), 1).len() <= REASON_CHARS_MAX);
    }

    #[test]
    fn git_has_what_signs_and_pushes_and_nothing_that_opens_the_tenant() {
        let passes = |name: &str| may_pass(OsStr::new(name));
        for name in ["HOME", "SSH_AUTH_SOCK", "GIT_ASKPASS", "GIT_CONFIG_COUNT", "GIT_SSH_COMMAND", "GNUPGHOME"] {
            assert!(passes(name), "{name}");
        }
        for name in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_TRACE_CURL", "GIT_CONFIG", "GIT_NAMESPACE"] {
            assert!(!passes(name), "{name}");
        }
        for name in ["AZURE_CLIENT_SECRET", "Azure_Client_Secret", "APGIT_HASH_A", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"] {
            assert!(!passes(name), "{name}");
        }
    }

    #[test]
    fn a_path_of_windows_is_one_that_git_knows() {
        assert_eq!(plain(Path::new(r"\\?\C:\fleet")), Path::new(r"C:\fleet"));
        assert_eq!(plain(Path::new("/srv/fleet")), Path::new("/srv/fleet"));
    }
}
