//! Programs of this machine, found at places that no branch can fill, and run for
//! so long and so much. An entry of `PATH` that is empty or relative leads into
//! whatever folder we were started in, and there a branch can have a program of
//! any name.

use std::ffi::OsString;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Git and key services answer within seconds. Longer than a minute waits only who
/// waits for somebody, and nobody is there: input is closed.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(60);
/// What either says on stderr is shown by one line.
const SAID_BYTES_MAX: u64 = 64 << 10;
/// Between two looks at whether it has ended, or shall.
const LOOK: Duration = Duration::from_millis(20);
/// The first of these looks once it has said all: most have ended by then, and a
/// save of the ledger is eight commands.
const FIRST_LOOK: Duration = Duration::from_micros(200);

/// A program as an absolute path: of the name that it has on every machine.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    folders().into_iter().find_map(|folder| in_folder(&folder, name))
}

/// The program of this name in a folder.
pub(crate) fn in_folder(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    is_program(&path).then_some(path)
}

/// `PATH` for what a program starts itself, without the entries that lead into
/// the folder at hand.
pub(crate) fn path() -> Option<OsString> {
    std::env::var_os("PATH")?;
    std::env::join_paths(folders()).ok()
}

fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).filter(|entry| entry.is_absolute()).collect()
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// A command that came to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub status: ExitStatus,
    pub out: Vec<u8>,
    pub err: Vec<u8>,
}

/// Why a command was not let to its end.
#[derive(Debug)]
pub(crate) enum Cut {
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
pub(crate) fn end_commands() {
    for child in lock(&RUNNING).drain(..) {
        let mut child = lock(&child);
        if matches!(child.try_wait(), Ok(None)) {
            end(&mut child);
        }
    }
}

/// Runs a command in a group of its own, and ends the group where it goes on
/// for too long, says too much, or somebody asks to stop. `input`, if any, is all
/// that it reads.
pub(crate) fn run(
    command: &mut Command,
    input: Vec<u8>,
    time_max: Duration,
    bytes_max: u64,
    stopped: &dyn Fn() -> bool,
) -> Result<Ended, Cut> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    let command = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = {
        let mut running = lock(&RUNNING);
        if stopped() {
            return Err(Cut::Stopped);
        }
        let child = Arc::new(Mutex::new(command.spawn().map_err(Cut::NotStarted)?));
        running.push(Arc::clone(&child));
        child
    };
    if let Some(mut stdin) = lock(&child).stdin.take() {
        // Whoever ends without reading it has said why.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
    }
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
    let (mut out, mut err, mut status, mut look) = (None, None, None, FIRST_LOOK);
    loop {
        match said.recv_timeout(LOOK) {
            Ok(Said::Out(bytes)) if bytes.len() as u64 > bytes_max => return Err(Cut::TooMuch),
            Ok(Said::Out(bytes)) => out = Some(bytes),
            Ok(Said::Err(bytes)) => err = Some(bytes),
            Err(RecvTimeoutError::Timeout) => {}
            // Both have said all, and what is left is its end.
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(look);
                look = (look * 2).min(LOOK);
            }
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
        let ended = run(Command::new("/bin/sh").args(["-c", script]), Vec::new(), time_max, 1000, stopped);
        ended.map(|ended| (ended.status.success(), ended.out)).map_err(|cut| format!("{cut:?}"))
    }

    #[test]
    fn a_command_is_heard_to_its_end() {
        let soon = Duration::from_secs(20);
        assert_eq!(sh("printf %1000d 1", soon, &|| false).map(|(ok, out)| (ok, out.len())), Ok((true, 1000)));
        assert_eq!(sh("echo no >&2; exit 3", soon, &|| false), Ok((false, vec![])));
    }

    #[test]
    fn a_command_reads_its_input_while_it_is_heard() {
        let input = b"line\n".repeat(100_000);
        let ended = run(&mut Command::new("/bin/cat"), input.clone(), Duration::from_secs(20), 1 << 20, &|| false);
        assert_eq!(ended.map(|ended| ended.out).map_err(|cut| format!("{cut:?}")), Ok(input.clone()));
        let ended = run(&mut Command::new("/bin/true"), input, Duration::from_secs(20), 1 << 20, &|| false);
        assert!(ended.is_ok_and(|ended| ended.status.success()));
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
}
