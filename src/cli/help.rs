//! `apgit help`: the commands, one command, or what exit codes mean.

use clap::{CommandFactory as _, Parser as _};

use super::args::Cli;
use super::error::CliError;
use super::exit::{self, Exit};
use super::settings::{Settings, print};

/// About what.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct HelpArgs {
    /// A command, or `exit-codes`
    pub topic: Option<String>,
}

/// # Errors
/// When there is no such topic.
pub(super) fn run(args: &HelpArgs, settings: &Settings) -> Result<Exit, CliError> {
    let words = match args.topic.as_deref() {
        Some("exit-codes") => {
            print(&exit::table(&settings.look))?;
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
    Ok(Cli::try_parse_from(words).map_or_else(|help| super::usage(&help), |_| Exit::Done))
}
