//! `apgit completions`: what a shell needs to complete our command line.

use std::io::Write;

use clap::CommandFactory as _;

use super::args::{Cli, CompletionsArgs};

/// Writes the script of a shell.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(args: &CompletionsArgs, out: &mut dyn Write) -> std::io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "apgit", &mut script);
    out.write_all(&script)
}
