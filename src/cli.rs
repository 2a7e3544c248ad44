//! The command line: what was typed ([`args`]), what it means here
//! ([`settings`]), one file per command, and how it ends ([`exit`], [`error`]).

pub mod apply;
pub mod args;
pub mod completions;
pub mod crds;
pub mod error;
pub mod exit;
pub mod hash;
pub mod plan;
pub mod progress;
pub mod prompt;
pub mod report;
pub mod schema;
pub mod settings;
pub mod signals;
pub mod simulate;
pub mod simulated;
pub mod source;
pub mod status;
pub mod sync;
pub mod validate;

use std::ffi::OsString;
use std::io::Write;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use jiff::Timestamp;

use crate::model::hash::looks_like_hash;
use crate::render::Look;
use crate::render::style::Role;

use args::{Cli, Command};
use error::CliError;
use exit::Exit;
use settings::{Settings, print, tell};

/// Runs one command line, the program's name included, and says how it ended.
/// Data went to stdout, everything else to stderr.
#[must_use]
pub fn run(words: impl IntoIterator<Item = OsString>) -> Exit {
    let words: Vec<OsString> = words.into_iter().collect();
    if let Some(error) = hash_among(&words) {
        return fail(&error, Look::default());
    }
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let settings = match Settings::resolve(&cli.global) {
        Ok(settings) => settings,
        Err(error) => return fail(&error, Look::default()),
    };
    settings::log(cli.global.verbose, settings.err_look);
    dispatch(&cli.command, &settings).unwrap_or_else(|error| fail(&error, settings.err_look))
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
        Command::Apply(args) => signals::run(async |stop| apply::run(args, settings, &stop).await),
        Command::Status(args) => signals::run(async |stop| status::run(args, settings, &stop).await),
        Command::Sync(args) => signals::run(async |stop| sync::run(args, settings, &stop).await),
        Command::Simulate(args) => exit(signals::block_on(simulate::run(args))?),
        Command::Validate(args) => offline(|out| {
            let Look { color, width, .. } = settings.err_look;
            Ok(validate::run(args, out, &mut anstream::stderr(), color, width)?)
        }),
        Command::Hash(args) => offline(|out| hash::run(args, out, &mut anstream::stderr(), Timestamp::now())),
        Command::Crds(args) => offline(|out| Ok(crds::run(args, out)?)),
        Command::Schema(args) => offline(|out| Ok(schema::run(args, out)?)),
        Command::Completions(args) => offline(|out| completions::run(args, out).map(|()| 0).map_err(Into::into)),
        Command::Help { topic } => help(topic.as_deref()),
    }
}

/// Runs a command that needs no network and says an exit code itself.
fn offline(run: impl FnOnce(&mut dyn Write) -> anyhow::Result<u8>) -> Result<Exit, CliError> {
    let mut text = Vec::new();
    let code = run(&mut text);
    print(&String::from_utf8_lossy(&text))?;
    exit(code)
}

fn exit(code: anyhow::Result<u8>) -> Result<Exit, CliError> {
    let code = code.map_err(|error| CliError::new(Exit::Failed, format!("{error:#}")))?;
    Ok(Exit::ALL.into_iter().find(|exit| exit.code() == code).unwrap_or(Exit::Failed))
}

fn help(topic: Option<&str>) -> Result<Exit, CliError> {
    let words = match topic {
        Some("exit-codes") => {
            print(&exit::table())?;
            return Ok(Exit::Done);
        }
        Some(command) if Cli::command().find_subcommand(command).is_some() => vec!["apgit", command, "--help"],
        Some(other) => {
            return Err(CliError::new(Exit::Usage, format!("there is no help about `{other}`"))
                .hint("apgit help lists the commands; apgit help exit-codes explains exit codes"));
        }
        None => vec!["apgit", "--help"],
    };
    // The same text as behind --help, which clap keeps in an error.
    Ok(Cli::try_parse_from(words).map_or_else(|help| usage(&help), |_| Exit::Done))
}

/// Help and version are what was asked for; everything else is a mistake on
/// the command line, with a number that no other tool gives a meaning.
fn usage(error: &clap::Error) -> Exit {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
        _ => Exit::Usage,
    }
}

fn fail(error: &CliError, look: Look) -> Exit {
    tell(&error_text(error, look));
    error.exit
}

fn error_text(error: &CliError, look: Look) -> String {
    let mut text = format!("{} {}\n", look.paint(Role::Error, "error:"), look.show_lines(&error.message));
    for hint in &error.hints {
        text.push_str(&format!("{} {}\n", look.paint(Role::Heading, "hint:"), look.show_lines(hint)));
    }
    text
}
