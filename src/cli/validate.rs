//! `apgit validate`: everything that can be checked offline.

use std::path::PathBuf;

use crate::manifest::{Hashes, check_hashes, load, together};
use crate::render::document::{Kind, ProblemsDocument};
use crate::render::{Document, Format, text};

use super::args::Reports;
use super::error::CliError;
use super::exit::Exit;
use super::report::Outlets;
use super::settings::{Settings, tell};

/// What is checked.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ValidateArgs {
    /// Folders or files with manifests
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// Do not read the hashes that manifests refer to
    #[arg(long)]
    pub no_hashes: bool,
    #[command(flatten)]
    pub reports: Reports,
}

/// Tells every problem, with `--json` as data; warnings alone are no failure.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn run(args: &ValidateArgs, settings: &Settings) -> Result<Exit, CliError> {
    let mut outlets = Outlets::new(args.reports.wanted(), Kind::Problems, settings.look)?.totals_on_stdout();
    let mut loaded = load(&args.paths).asking(&settings.allow_key_hosts);
    if !args.no_hashes {
        if let Some(fleet) = loaded.fleets.first() {
            let hashes = Hashes::new(fleet.root.clone());
            loaded.problems.extend(check_hashes(&loaded.fleets, &hashes));
        }
        loaded.problems = together(loaded.problems);
    }
    let problems = ProblemsDocument::of(&loaded);
    let exit = if problems.errors > 0 { Exit::Invalid } else { Exit::Done };
    if outlets.stdout_is(Format::Text) {
        tell(&text::problems(&problems.problems, &settings.err_look));
    }
    outlets.add(Document::Problems(problems))?;
    outlets.finish(Ok(exit))
}
