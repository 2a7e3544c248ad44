//! `apgit completions`: what a shell needs to complete our command line.

use clap::CommandFactory as _;

use super::args::Cli;
use super::error::CliError;
use super::exit::Exit;
use super::settings::{Settings, print};

/// For which shell.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// # Errors
/// When stdout cannot be written.
pub(super) fn run(args: &CompletionsArgs, _: &Settings) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "apgit", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
