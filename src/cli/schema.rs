//! `apgit schema`: the JSON Schema, for editors; and its fields, for people.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::render::style::{Role, broken};
use crate::resource::{self, FieldHelp};

use super::error::CliError;
use super::exit::Exit;
use super::file;
use super::settings::{Settings, print};

/// Where the schema goes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SchemaArgs {
    /// Show a field and what is inside it, such as `spec.scope` or `groupTag`
    #[arg(long, value_name = "FIELD", conflicts_with_all = ["out", "markdown"])]
    pub field: Option<String>,
    /// All fields as a page of Markdown
    #[arg(long)]
    pub markdown: bool,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// # Errors
/// When the file or stdout cannot be written.
pub(super) fn run(args: &SchemaArgs, settings: &Settings) -> Result<Exit, CliError> {
    if let Some(field) = &args.field {
        return explain(field, settings);
    }
    let text = if args.markdown { resource::page() } else { format!("{:#}\n", resource::editor_schema()) };
    match &args.out {
        Some(path) => file::write(path, &text)?,
        None => print(&text)?,
    }
    Ok(Exit::Done)
}

fn explain(field: &str, settings: &Settings) -> Result<Exit, CliError> {
    let found = resource::find(field);
    if found.is_empty() {
        let message = format!("no kind has a field `{field}`");
        return Err(CliError::new(Exit::Usage, message).hint("apgit schema --markdown lists all of them"));
    }
    let look = &settings.look;
    let mut text = String::new();
    for group in found.chunk_by(|one, other| one.kind == other.kind) {
        let _ = writeln!(text, "{}", look.paint(Role::Heading, group[0].kind.name()));
        for FieldHelp { path, holds, required, description, .. } in group {
            let must = if *required { ", required" } else { "" };
            for (line, indent) in broken(&format!("{path}: {}{must}", holds.replace('`', "")), look.width - 6)
                .into_iter()
                .zip(std::iter::once("  ").chain(std::iter::repeat("      ")))
            {
                let _ = writeln!(text, "{indent}{line}");
            }
            for line in broken(description, look.width - 4).iter().filter(|line| !line.is_empty()) {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    print(&text)?;
    Ok(Exit::Done)
}
