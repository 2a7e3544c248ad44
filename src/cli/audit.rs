//! `apgit audit`: shows the log of what was done, and checks that it is whole.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::ledger::{AUDIT_FILE, Act, AuditLine, Chain, Deed, Phase, check};
use crate::model::{Field, SerialKey};
use crate::render::Look;
use crate::render::style::{Role, counted, moment};

use super::approval::sha256;
use super::error::CliError;
use super::exit::Exit;
use super::settings::{Settings, print, tell};

/// So many intents without an outcome are named.
const OPEN_SHOWN: usize = 20;

/// State folders have logs so deep, and no deeper.
const DEPTH: usize = 6;

/// What is done with the log.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum What {
    /// Check that no line was changed or is missing; exit with 6 if one was
    Verify {
        /// The log [default: all that are in the state folder]
        file: Option<PathBuf>,
        /// The SHA-256 of a line that must be in it: without its last lines a log is whole, too
        #[arg(long, value_name = "SHA256", value_parser = sha256)]
        head: Option<String>,
    },
    /// Show what was done, oldest first
    Show {
        /// The log [default: all that are in the state folder]
        file: Option<PathBuf>,
        /// Only what was done to this device
        #[arg(long, value_name = "SERIAL")]
        serial: Option<String>,
        /// Only what was done under this plan
        #[arg(long, value_name = "PLAN-ID")]
        plan: Option<String>,
    },
}

/// # Errors
/// When there is no log, or it cannot be read.
pub(super) fn run(args: &AuditArgs, settings: &Settings) -> Result<Exit, CliError> {
    match &args.what {
        What::Verify { file, head } => verify(file.as_deref(), head.as_deref(), settings),
        What::Show { file, serial, plan } => {
            let key = serial.as_deref().map(SerialKey::of);
            let is_wanted = |line: &AuditLine| {
                let is_of_device = key.as_ref().is_none_or(|key| is_of(line, key));
                is_of_device && plan.as_deref().is_none_or(|plan| line.plan_id.as_deref() == Some(plan))
            };
            let mut exit = Exit::Done;
            for path in logs(file.as_deref(), settings)? {
                let mut out = String::new();
                let chain = read(&path, None, |line| {
                    if is_wanted(&line) {
                        out.push_str(&row(&line, &settings.look));
                    }
                })?;
                print(&out)?;
                if let Some(why) = broken(&path, &chain) {
                    tell(&why.text(&settings.err_look));
                    exit = exit.worse(why.exit);
                }
            }
            Ok(exit)
        }
    }
}

fn verify(file: Option<&Path>, head: Option<&str>, settings: &Settings) -> Result<Exit, CliError> {
    let known = head.map(str::to_owned);
    let (mut exit, mut is_known) = (Exit::Done, known.is_none());
    for path in logs(file, settings)? {
        let mut open = Open::default();
        let chain = read(&path, known.as_deref(), |line| open.take(line))?;
        is_known |= chain.has_known;
        let lines = counted(usize::try_from(chain.lines).unwrap_or(usize::MAX), "line", "lines");
        if let Some(why) = broken(&path, &chain) {
            tell(&why.text(&settings.err_look));
            exit = exit.worse(why.exit);
            continue;
        }
        let shown = path.display().to_string();
        let head = chain.head.map_or_else(String::new, |head| format!("; the last has the SHA-256 {head}"));
        print(&format!("{}: {lines}, each as it was written{head}\n", settings.look.show(&shown)))?;
        print(&open.text(&settings.look))?;
        if chain.is_half {
            let shown = settings.err_look.show(&shown);
            tell(&format!("{shown}: behind them is half a line of a run that broke off; the next run heals it\n"));
        }
    }
    if !is_known {
        let message = "no line has that SHA-256: lines at the end are missing, or it is another log";
        tell(&CliError::new(Exit::Stale, message).text(&settings.err_look));
        exit = exit.worse(Exit::Stale);
    }
    Ok(exit)
}

/// Deeds that were about to be done, and of which no line says what became of
/// them: they are under way, or a run broke off and none came after it.
#[derive(Default)]
struct Open(BTreeMap<(&'static str, String), AuditLine>);

impl Open {
    fn take(&mut self, line: AuditLine) {
        let Deed { action, import_id, record_id, registration_id, .. } = &line.deed;
        let of = match action {
            Act::Register => import_id.map(|id| id.to_string()),
            Act::RemoveRecord => record_id.map(|id| id.to_string()),
            _ => registration_id.map(|id| id.to_string()),
        };
        let key = (action.name(), of.unwrap_or_default());
        match line.phase {
            Phase::Intent => _ = self.0.insert(key, line),
            Phase::Outcome | Phase::Found => _ = self.0.remove(&key),
            Phase::Consent | Phase::Healed => {}
        }
    }

    fn text(&self, look: &Look) -> String {
        let mut lines: Vec<&AuditLine> = self.0.values().collect();
        lines.sort_by_key(|line| line.seq);
        let mut out = match lines.len() {
            0 => String::new(),
            open => format!("  {}:\n", counted(open, "intent has no outcome yet", "intents have no outcome yet")),
        };
        for line in lines.iter().take(OPEN_SHOWN) {
            let _ = write!(out, "    line {}: {}", line.seq, row(line, look));
        }
        out
    }
}

/// Where a log breaks.
pub(super) fn broken(path: &Path, chain: &Chain) -> Option<CliError> {
    let (line, why) = chain.broken.as_ref()?;
    let message = format!("the audit log `{}` is not as it was written: line {line}: {why}", path.display());
    let said = counted(usize::try_from(line - 1).unwrap_or(usize::MAX), "line before it is", "lines before it are");
    Some(CliError::new(Exit::Stale, message).hint(format!("the {said} as written")))
}

/// # Errors
/// When it cannot be read.
pub(super) fn read(path: &Path, known: Option<&str>, each: impl FnMut(AuditLine)) -> Result<Chain, CliError> {
    check(path, known, each).map_err(|error| CliError::file("read", path, &error))
}

/// The log that is named, or all that are in the state folder.
///
/// # Errors
/// When there is none.
pub(super) fn logs(named: Option<&Path>, settings: &Settings) -> Result<Vec<PathBuf>, CliError> {
    if let Some(path) = named.or(settings.audit.as_deref()) {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![(settings.state_dir.clone(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEPTH => folders.push((path, depth + 1)),
                Ok(kind) if kind.is_file() && path.ends_with(AUDIT_FILE) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    if found.is_empty() {
        let message = format!("there is no audit log in `{}`", settings.state_dir.display());
        return Err(CliError::new(Exit::Invalid, message).hint("the first apply begins one; or name a file"));
    }
    Ok(found)
}

/// True for a line about a device.
pub(super) fn is_of(line: &AuditLine, key: &SerialKey) -> bool {
    line.deed.serial_number.as_ref().is_some_and(|serial| serial.key() == *key)
}

/// A line for people.
pub(super) fn row(line: &AuditLine, look: &Look) -> String {
    let AuditLine { at, phase, deed, plan_id, who, .. } = line;
    let phase = match phase {
        Phase::Consent => "consent",
        Phase::Intent => "intent",
        Phase::Outcome => "outcome",
        Phase::Found => "found",
        Phase::Healed => "healed",
    };
    let mut out = format!("{}  {phase:<7}  {:<12}", moment(*at), deed.action.name());
    if let Some(serial) = &deed.serial_number {
        let _ = write!(out, "  {}", look.paint(Role::Heading, &look.show(serial.as_str())));
    }
    if let Some(end) = &deed.end {
        let _ = write!(out, "  {}", look.show(end));
    }
    for field in Field::ALL {
        let arrow = look.arrow();
        let _ = match (deed.before.get(&field), deed.after.get(&field)) {
            (None, None) => Ok(()),
            (Some(before), None) => write!(out, "  {} \"{}\"", field.label(), look.show(before)),
            (None, Some(after)) => write!(out, "  {} \"{}\"", field.label(), look.show(after)),
            (Some(before), Some(after)) => {
                write!(out, "  {} \"{}\" {arrow} \"{}\"", field.label(), look.show(before), look.show(after))
            }
        };
    }
    if let Some(detail) = &deed.detail {
        let _ = write!(out, "  {}", look.show(detail));
    }
    if let Some(plan) = plan_id {
        let _ = write!(out, "  {}", look.show(plan));
    }
    let by = who.actor.approver.as_ref().or(who.actor.author.as_ref());
    if let Some(by) = by {
        let _ = write!(out, "  by {}", look.show(by));
    }
    if let Some(commit) = &who.actor.commit {
        let _ = write!(out, "  of {}", look.show(commit.get(..10).unwrap_or(commit)));
    }
    out.push('\n');
    out
}
