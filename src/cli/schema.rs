//! `apgit schema`: the JSON Schema, for editors.

use std::path::PathBuf;

use crate::resource;

use super::error::CliError;
use super::exit::Exit;
use super::file;
use super::settings::{Settings, print};

/// Where the schema goes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SchemaArgs {
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// # Errors
/// When the file or stdout cannot be written.
pub(super) fn run(args: &SchemaArgs, _: &Settings) -> Result<Exit, CliError> {
    let text = format!("{:#}\n", resource::editor_schema());
    match &args.out {
        Some(path) => file::write(path, &text)?,
        None => print(&text)?,
    }
    Ok(Exit::Done)
}
