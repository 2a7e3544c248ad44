//! `apgit validate`: everything that can be checked offline.

use std::path::PathBuf;

use crate::manifest::{Hashes, check_hashes, load, sort};
use crate::render::document::ProblemsDocument;
use crate::render::{Detail, Document, Format, Look, text};

use super::error::CliError;
use super::exit::Exit;
use super::settings::{Settings, print, tell};

/// What is checked.
#[derive(Debug, Clone, clap::Args)]
pub struct ValidateArgs {
    /// Folders or files with manifests
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// Do not read the hashes that manifests refer to
    #[arg(long)]
    pub no_hashes: bool,
    /// Write the result as JSON to stdout
    #[arg(long)]
    pub json: bool,
}

/// Tells every problem, with `--json` as data; warnings alone are no failure.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn run(args: &ValidateArgs, settings: &Settings) -> Result<Exit, CliError> {
    let mut loaded = load(&args.paths);
    if !args.no_hashes {
        for fleet in &loaded.fleets {
            let hashes = Hashes::new(fleet.root.clone());
            loaded.problems.extend(check_hashes(fleet, &hashes));
        }
        sort(&mut loaded.problems);
    }
    let problems = ProblemsDocument::of(&loaded);
    let exit = if problems.errors > 0 { Exit::Invalid } else { Exit::Done };
    let format = if args.json { Format::Json } else { Format::Text };
    if format == Format::Text {
        tell(&text::problems(&problems.problems, &settings.err_look));
    }
    // The problems themselves have been told.
    let look = Look { detail: Detail::Totals, ..settings.look };
    print(&format.draw(&Document::Problems(problems), &look))?;
    Ok(exit)
}
