//! Runs `age` and `sops`, which belong to the machine, over files that belong
//! to a branch: found at a place that no branch can fill, with an environment
//! that has their keys and nobody else's, and for so long and so much.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::files::{Unread, bytes};
use super::key_source::{self, Refusal, Service};
use super::problem::show;
use super::program;
use crate::model::HashError;

/// A key service answers within seconds. Longer than a minute waits only who
/// waits for somebody, and nobody is there: input is closed.
const TIME_MAX: Duration = Duration::from_secs(60);
/// What either says on stderr is shown by one line.
const SAID_BYTES_MAX: u64 = 64 << 10;
/// Between two looks at whether it has ended, or shall.
const LOOK: Duration = Duration::from_millis(20);

/// Where the commands are, whom they may ask, and when they end.
#[derive(Clone)]
pub(super) struct Tools {
    /// Where `age` and `sops` are, if not on the path.
    pub folder: Option<PathBuf>,
    /// Hosts that may be asked for a key; from the command line only.
    pub key_hosts: Arc<[String]>,
    /// True once somebody has asked to stop.
    pub stopped: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Default for Tools {
    fn default() -> Self {
        Self { folder: None, key_hosts: Arc::default(), stopped: Arc::new(|| false) }
    }
}

impl Tools {
    /// The plain bytes of an encrypted file, at most `limit`. The arguments are
    /// fixed; the key is the tool's own business, by `SOPS_AGE_KEY_FILE` for both.
    pub(super) fn decrypt(&self, full: &Path, path: &Path, limit: u64) -> Result<Vec<u8>, HashError> {
        let shown = path.display();
        let services = self
            .services(full, limit)
            .map_err(|Refusal { message, hint }| HashError::Unusable(format!("`{shown}`: {message}; {hint}")))?;
        let tool = if is_age(path) { "age" } else { "sops" };
        let Some(program) = self.find(tool) else {
            let reason = format!("`{shown}` is encrypted, and the command `{tool}` is not on the path; install it");
            return Err(HashError::NotHere(reason));
        };
        let mut command = Command::new(program);
        command.arg("--decrypt");
        match (is_age(path), std::env::var_os("SOPS_AGE_KEY_FILE")) {
            (true, Some(key)) => _ = command.arg("--identity").arg(key),
            (true, None) => {}
            // By its name alone, `sops` might read the file as of another kind
            // than we have.
            (false, _) => _ = command.args(["--input-type", "binary", "--output-type", "binary"]),
        }
        command.arg(full).env_clear().envs(environment(&services));
        let not_here = |reason: &str| HashError::NotHere(format!("`{tool}` cannot decrypt `{shown}`: {reason}"));
        match run(&mut command, TIME_MAX, limit, self.stopped.as_ref()) {
            Ok(ended) if ended.status.success() => Ok(ended.out),
            Ok(ended) => {
                let text = String::from_utf8_lossy(&ended.err);
                let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason was given");
                Err(not_here(&format!("{}{}", show(line), missing_key(tool))))
            }
            Err(Cut::TooMuch) => {
                Err(HashError::Unusable(format!("`{shown}`: what is in it has more than {limit} bytes")))
            }
            Err(Cut::TooLong) => {
                let reason =
                    format!("it took longer than {} s; a key that asks for a passphrase does", TIME_MAX.as_secs());
                Err(not_here(&reason))
            }
            Err(Cut::Stopped) => Err(not_here("stopped on request")),
            Err(Cut::NotStarted(error)) => Err(not_here(&format!("it does not start ({error})"))),
        }
    }

    /// Whom the tool would ask for the key of a file: of `age`, nobody.
    pub(super) fn services(&self, full: &Path, limit: u64) -> Result<Vec<Service>, Refusal> {
        if is_age(full) {
            return Ok(Vec::new());
        }
        let unreadable = |message: String| Refusal { message, hint: "check the file".to_owned() };
        // Base64, and the metadata.
        let limit = limit.saturating_mul(2).saturating_add(1 << 20);
        let bytes = bytes(full, limit).map_err(|unread| {
            unreadable(match unread {
                Unread::NotAFile => "it is no regular file".to_owned(),
                Unread::TooLong => format!("it has more than {limit} bytes"),
                Unread::Failed(error) => format!("it cannot be read: {error}"),
            })
        })?;
        key_source::services(&bytes, &self.key_hosts)
    }

    fn find(&self, tool: &str) -> Option<PathBuf> {
        match &self.folder {
            Some(folder) => program::in_folder(folder, tool),
            None => program::find(tool),
        }
    }
}

/// What the environment lacks for a key of `age`, if it lacks something.
fn missing_key(tool: &str) -> &'static str {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match std::env::var_os("SOPS_AGE_KEY_FILE").filter(|file| !file.is_empty()) {
        Some(file) if !Path::new(&file).exists() => "; `SOPS_AGE_KEY_FILE` names a file that is not there",
        Some(_) => "",
        None if tool == "age" => "; `SOPS_AGE_KEY_FILE` is not set: it names the file with your key",
        None if is_set("SOPS_AGE_KEY") || is_set("SOPS_AGE_KEY_CMD") => "",
        None => "; for a key of `age`, `SOPS_AGE_KEY_FILE` names the file with it",
    }
}

/// By the ending of its name; every other encrypted file is one of `sops`.
pub(super) fn is_age(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("age"))
}

/// What a program needs to run at all, and to find a key of its own.
const NEEDED: [&str; 28] = [
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "TMPDIR",
    "TERM",
    "GNUPGHOME",
    "GPG_TTY",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "DBUS_SESSION_BUS_ADDRESS",
    "SOPS_AGE_KEY",
    "SOPS_AGE_KEY_FILE",
    "SOPS_AGE_KEY_CMD",
    "SOPS_AGE_RECIPIENTS",
    "SOPS_AGE_SSH_PRIVATE_KEY_FILE",
    "SOPS_GPG_EXEC",
    // Windows
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "COMSPEC",
    "PATHEXT",
    "TEMP",
    "TMP",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
    "PROGRAMDATA",
];

/// The same, by how a name begins.
const NEEDED_PREFIXES: [&str; 3] = ["LC_", "XDG_", "AGE_"];

/// What is needed besides to ask somebody over the network.
const NETWORK: [&str; 6] = ["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The variables for a command that asks these services.
fn environment(services: &[Service]) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<_> =
        std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(|name| may_pass(name, services))).collect();
    variables.extend(program::path().map(|path| (OsString::from("PATH"), path)));
    variables
}

fn may_pass(name: &str, services: &[Service]) -> bool {
    let name = name.to_ascii_uppercase();
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if services.iter().any(|service| begins(service.variables())) {
        return true;
    }
    // Whatever it begins with, its end says that it opens something.
    if ["_TOKEN", "_SECRET", "_PASSWORD"].iter().any(|end| name.ends_with(end)) {
        return false;
    }
    NEEDED.contains(&name.as_str())
        || begins(&NEEDED_PREFIXES)
        || !services.is_empty() && NETWORK.contains(&name.as_str())
}

/// A command that came to its end.
struct Ended {
    status: ExitStatus,
    out: Vec<u8>,
    err: Vec<u8>,
}

/// Why a command was not let to its end.
#[derive(Debug)]
enum Cut {
    NotStarted(std::io::Error),
    TooLong,
    TooMuch,
    Stopped,
}

enum Said {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// Commands under way. A run that is stopped does not wait for them, and
/// outlive it they shall not.
static RUNNING: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends every command that is still under way. None begins after it where
/// somebody has asked to stop.
pub fn end_commands() {
    for child in lock(&RUNNING).drain(..) {
        let mut child = lock(&child);
        if matches!(child.try_wait(), Ok(None)) {
            end(&mut child);
        }
    }
}

/// Runs a command in a group of its own, and ends the group where it goes on
/// for too long, says too much, or somebody asks to stop.
fn run(command: &mut Command, time_max: Duration, bytes_max: u64, stopped: &dyn Fn() -> bool) -> Result<Ended, Cut> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = {
        let mut running = lock(&RUNNING);
        if stopped() {
            return Err(Cut::Stopped);
        }
        let child = Arc::new(Mutex::new(command.spawn().map_err(Cut::NotStarted)?));
        running.push(Arc::clone(&child));
        child
    };
    let ended = follow(&child, Instant::now() + time_max, bytes_max, stopped);
    if ended.is_err() {
        end(&mut lock(&child));
    }
    lock(&RUNNING).retain(|other| !Arc::ptr_eq(other, &child));
    ended
}

fn follow(child: &Mutex<Child>, until: Instant, bytes_max: u64, stopped: &dyn Fn() -> bool) -> Result<Ended, Cut> {
    let (says, said) = mpsc::channel();
    let (stdout, stderr) = {
        let mut child = lock(child);
        (child.stdout.take(), child.stderr.take())
    };
    let tells = says.clone();
    std::thread::spawn(move || tells.send(Said::Out(read(stdout, bytes_max + 1))));
    std::thread::spawn(move || says.send(Said::Err(read(stderr, SAID_BYTES_MAX))));
    let (mut out, mut err, mut status) = (None, None, None);
    loop {
        match said.recv_timeout(LOOK) {
            Ok(Said::Out(bytes)) if bytes.len() as u64 > bytes_max => return Err(Cut::TooMuch),
            Ok(Said::Out(bytes)) => out = Some(bytes),
            Ok(Said::Err(bytes)) => err = Some(bytes),
            Err(RecvTimeoutError::Timeout) => {}
            // Both have said all, and what is left is its end.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
        }
        status = status.or_else(|| lock(child).try_wait().ok().flatten());
        if let (Some(status), true, true) = (status, out.is_some(), err.is_some()) {
            return Ok(Ended { status, out: out.unwrap_or_default(), err: err.unwrap_or_default() });
        }
        if stopped() {
            return Err(Cut::Stopped);
        }
        if Instant::now() >= until {
            return Err(Cut::TooLong);
        }
    }
}

/// The first bytes of a pipe, up to so many.
fn read(pipe: Option<impl Read>, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // A pipe that breaks has said what it has said.
        let _ = pipe.take(bytes_max).read_to_end(&mut bytes);
    }
    bytes
}

/// Ends a command and whatever it has started.
fn end(child: &mut Child) {
    #[cfg(unix)]
    let _ = rustix::process::kill_process_group(rustix::process::Pid::from_child(child), rustix::process::Signal::KILL);
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn sh(script: &str, time_max: Duration, stopped: &dyn Fn() -> bool) -> Result<(bool, Vec<u8>), String> {
        let ended = run(Command::new("/bin/sh").args(["-c", script]), time_max, 1000, stopped);
        ended.map(|ended| (ended.status.success(), ended.out)).map_err(|cut| format!("{cut:?}"))
    }

    #[test]
    fn a_command_is_heard_to_its_end() {
        let soon = Duration::from_secs(20);
        assert_eq!(sh("printf %1000d 1", soon, &|| false).map(|(ok, out)| (ok, out.len())), Ok((true, 1000)));
        assert_eq!(sh("echo no >&2; exit 3", soon, &|| false), Ok((false, vec![])));
    }

    #[test]
    fn a_command_that_goes_on_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let alive = folder.path().join("alive");
        let script = format!("(sleep 1; touch '{}') & sleep 30", alive.display());
        let began = Instant::now();
        let soon = Duration::from_millis(200);
        assert_eq!(sh(&script, soon, &|| false), Err("TooLong".to_owned()));
        assert_eq!(sh(&script, Duration::from_secs(20), &|| began.elapsed() > soon * 2), Err("Stopped".to_owned()));
        assert_eq!(sh(&format!("{script} & yes"), Duration::from_secs(20), &|| false), Err("TooMuch".to_owned()));
        assert_eq!(sh(&script, soon, &|| true), Err("Stopped".to_owned()));
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!alive.exists() && began.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn what_opens_something_else_does_not_pass() {
        for name in [
            "AZURE_CLIENT_SECRET",
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "VAULT_ADDR",
            "AWS_PROFILE",
            "GITHUB_TOKEN",
            "XDG_SESSION_TOKEN",
            "HTTPS_PROXY",
            "LD_PRELOAD",
            "PATH",
            "SOPS_KEYSERVICE",
        ] {
            assert!(!may_pass(name, &[]), "{name}");
        }
        for name in ["HOME", "LC_ALL", "SOPS_AGE_KEY_FILE", "GNUPGHOME", "SystemRoot"] {
            assert!(may_pass(name, &[]), "{name}");
        }
        assert!(may_pass("VAULT_TOKEN", &[Service::Vault]) && may_pass("https_proxy", &[Service::Vault]));
        assert!(!may_pass("AZURE_CLIENT_SECRET", &[Service::Vault]));
    }
}
