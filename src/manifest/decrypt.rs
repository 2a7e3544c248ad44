//! Runs `age` and `sops`, which belong to the machine, over files that belong
//! to a branch: found at a place that no branch can fill, with an environment
//! that has their keys and nobody else's, and for so long and so much.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::files::{Unread, bytes};
use super::key_source::{self, Refusal, Service};
use super::problem::show;
use crate::model::HashError;
use crate::program::{self, Cut};

/// Commands that took too long once, and would again: a branch can have any number
/// of files for them.
static GIVEN_UP: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Where the commands are, whom they may ask, and when they end.
#[derive(Clone)]
pub(super) struct Tools {
    /// Where `age` and `sops` are, if not on the path.
    pub folder: Option<PathBuf>,
    /// Hosts that may be asked for a key; from the command line only.
    pub key_hosts: Arc<[String]>,
    /// True once somebody has asked to stop.
    pub stopped: Arc<dyn Fn() -> bool + Send + Sync>,
    /// How long a command may take.
    pub time_max: Duration,
}

impl Default for Tools {
    fn default() -> Self {
        Self { folder: None, key_hosts: Arc::default(), stopped: Arc::new(|| false), time_max: program::TIME_MAX }
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
        let not_here = |reason: &str| HashError::NotHere(format!("`{tool}` cannot decrypt `{shown}`: {reason}"));
        let given_up = || GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner);
        if given_up().contains(&program) {
            return Err(not_here("it took too long for another file, and is not asked again"));
        }
        let mut command = Command::new(&program);
        command.arg("--decrypt");
        match (is_age(path), std::env::var_os("SOPS_AGE_KEY_FILE")) {
            (true, Some(key)) => _ = command.arg("--identity").arg(key),
            (true, None) => {}
            // By its name alone, `sops` might read the file as of another kind
            // than we have.
            (false, _) => _ = command.args(["--input-type", "binary", "--output-type", "binary"]),
        }
        command.arg(full).env_clear().envs(environment(&services));
        match program::run(&mut command, Vec::new(), self.time_max, limit, self.stopped.as_ref()) {
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
                given_up().push(program);
                let seconds = self.time_max.as_secs();
                Err(not_here(&format!("it took longer than {seconds} s; a key that asks for a passphrase does")))
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_once_took_too_long_is_not_started_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (tool, begun) = (folder.path().join("age"), folder.path().join("begun"));
        std::fs::write(&tool, format!("#!/bin/sh\necho >>'{}'\nsleep 30\n", begun.display())).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let time_max = Duration::from_millis(300);
        let tools = Tools { folder: Some(folder.path().to_owned()), time_max, ..Tools::default() };
        let reasons = [1, 2, 3].map(|number| {
            let file = folder.path().join(format!("{number}.age"));
            std::fs::write(&file, "").unwrap();
            tools.decrypt(&file, &file, 100).unwrap_err().to_string()
        });
        assert!(reasons[0].contains("took longer than") && reasons[2].contains("is not asked again"), "{reasons:?}");
        assert_eq!(std::fs::read_to_string(begun).unwrap(), "\n");
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
