//! `apgit schema`: the JSON Schema, for editors.

use std::io::Write;
use std::path::PathBuf;

use crate::resource;

/// Writes the JSON Schema that editors check manifests with.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The schema as text, with an end of line.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", resource::editor_schema())
}

/// Writes to the file, else to `out`. Returns 0.
///
/// # Errors
/// When the file or `out` cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> std::io::Result<u8> {
    match &args.out {
        Some(file) => std::fs::write(file, text())?,
        None => out.write_all(text().as_bytes())?,
    }
    Ok(0)
}
