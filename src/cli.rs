//! The command line: what was typed (`args`), what it means here (`settings`),
//! and how it ends (`exit`, `error`).
//!
//! One file per command, with its arguments and a `run` that takes them and the
//! settings (and a [`Stop`](crate::clock::Stop), if it waits for anything).

mod apply;
mod apply_saved;
mod approval;
mod args;
mod audit;
mod cluster;
mod committed;
mod completions;
mod crds;
mod decommission;
mod diff;
mod drift;
mod error;
mod exit;
mod file;
mod grants;
mod hash;
mod help;
mod history;
mod ledger;
mod ledgers;
mod members;
mod operator;
mod patch;
mod plan;
mod progress;
mod prompt;
mod report;
mod revert;
mod saved;
mod schema;
mod secrets;
mod select;
mod serve;
mod settings;
mod show;
mod signals;
mod simulate;
mod simulated;
mod source;
mod status;
mod sync;
mod targets;
mod validate;

use std::ffi::OsString;
use std::path::Path;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::hash::looks_like_hash;
use crate::render::Look;

use args::{Cli, Command};
use error::CliError;
pub use exit::Exit;
pub use saved::show_saved;
use settings::{Settings, tell};

/// Runs one command line, the program's name included, and says how it ended.
/// Data went to stdout, everything else to stderr.
#[must_use]
pub fn run(words: impl IntoIterator<Item = OsString>) -> Exit {
    let mut words: Vec<OsString> = words.into_iter().collect();
    // So kubectl calls its plugins.
    let name = words.first().map(|word| Path::new(word).file_stem().unwrap_or_default().to_owned());
    if name.is_some_and(|name| name == "kubectl-apgit") {
        words.insert(1, "cluster".into());
    }
    if let Some(error) = hash_among(&words) {
        return fail(&error, &settings::err_look());
    }
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let settings =
        match Settings::resolve(&cli.global, !matches!(cli.command, Command::Operator(_) | Command::Cluster(_))) {
            Ok(settings) => settings,
            Err(error) => return fail(&error, &settings::err_look()),
        };
    let format = match &cli.command {
        Command::Operator(args) => args.log_format,
        _ => settings::LogFormat::Text,
    };
    settings::log(cli.global.verbose, settings.err_look, format);
    dispatch(&cli.command, &settings).unwrap_or_else(|error| fail(&error, &settings.err_look))
}

/// Refuses a hash that was pasted as an argument before anything can repeat it.
fn hash_among(words: &[OsString]) -> Option<CliError> {
    let at = words.iter().position(|word| looks_like_hash(&word.to_string_lossy()))?;
    let message =
        format!("argument {at} holds a hardware hash; a hash is read from a file, never from the command line");
    let hint = "save it to a file and name that, or pipe it to `apgit hash -`; and remove it from the shell's history";
    Some(CliError::new(Exit::Usage, message).hint(hint))
}

fn dispatch(command: &Command, settings: &Settings) -> Result<Exit, CliError> {
    match command {
        Command::Plan(args) => signals::run(async |stop| plan::run(args, settings, &stop).await),
        Command::Apply(args) => signals::run(async |stop| Box::pin(apply::run(args, settings, &stop)).await),
        Command::Show(args) => show::run(args, settings),
        Command::Diff(args) => diff::run(args, settings),
        Command::Status(args) => signals::run(async |stop| status::run(args, settings, &stop).await),
        Command::Sync(args) => signals::run(async |stop| sync::run(args, settings, &stop).await),
        Command::Drift(args) => signals::run(async |stop| drift::run(args, settings, &stop).await),
        Command::Ledger(args) => signals::run(async |stop| Box::pin(ledger::run(args, settings, &stop)).await),
        Command::Release(args) => signals::run(async |stop| ledger::release(args, settings, &stop).await),
        Command::Audit(args) => audit::run(args, settings),
        Command::History(args) => signals::run(async |stop| history::run(args, settings, &stop).await),
        Command::Revert(args) => revert::run(args, settings),
        Command::Decommission(args) => signals::run(async |stop| decommission::run(args, settings, &stop).await),
        Command::Operator(args) => signals::run(async |stop| Box::pin(operator::run(args, settings, &stop)).await),
        Command::Cluster(args) => signals::run(async |stop| Box::pin(cluster::run(args, settings, &stop)).await),
        Command::Simulate(args) => signals::run(async |stop| simulate::run(args, settings, &stop).await),
        Command::Validate(args) => validate::run(args, settings),
        Command::Hash(args) => hash::run(args, settings),
        Command::Crds(args) => crds::run(args, settings),
        Command::Schema(args) => schema::run(args, settings),
        Command::Completions(args) => completions::run(args, settings),
        Command::Help(args) => help::run(args, settings),
    }
}

/// Help and version are what was asked for; everything else is a mistake on
/// the command line, with a number that no other tool gives a meaning.
fn usage(error: &clap::Error) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return Exit::Done;
    }
    let (text, look) = (error.render().ansi().to_string(), settings::err_look());
    // A word behind `--` would be a path here, and no such path is there.
    let is_meant = |line: &&str| !line.contains("as a value, use '");
    let lines: Vec<String> = text.lines().filter(is_meant).map(|line| look.hang_on(line, label(line))).collect();
    tell(&(lines.join("\n") + "\n"));
    Exit::Usage
}

/// Where the words of a line begin, behind what they are called: `error: …`,
/// `  tip: …`. Colours take no columns.
fn label(line: &str) -> usize {
    let line = anstream::adapter::strip_str(line).to_string();
    let words = line.trim_start();
    let blanks = line.len() - words.len();
    let name = words.split_once(": ").map(|(name, _)| name).filter(|name| !name.contains(' '));
    blanks + name.map_or(0, |name| name.len() + 2)
}

fn fail(error: &CliError, look: &Look) -> Exit {
    tell(&error.text(look));
    error.exit
}
