//! `apgit show`: a saved plan, as `apgit plan` has drawn it.

use std::path::PathBuf;

use crate::render::document::Kind;
use crate::render::{Detail, Format, Look};

use super::args::Reports;
use super::error::CliError;
use super::exit::Exit;
use super::report::Outlets;
use super::saved;
use super::settings::{Settings, tell};

/// Which plan, and how it is shown.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ShowArgs {
    /// What `apgit plan --out` has written
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub reports: Reports,
    /// Show every changed device as a unified diff of YAML: the same as `--report diff`
    #[arg(long, help_heading = "Output")]
    pub diff: bool,
    /// Exit with 2 if the plan has changes, held ones too
    #[arg(long, help_heading = "Output")]
    pub detailed_exitcode: bool,
}

/// # Errors
/// When there is no such plan.
pub(super) fn run(args: &ShowArgs, settings: &Settings) -> Result<Exit, CliError> {
    let mut outlets = Outlets::new(args.reports.wanted_with(args.diff), Kind::Saved, settings.look)?;
    let ended = show(args, settings, &mut outlets);
    outlets.finish(ended)
}

fn show(args: &ShowArgs, settings: &Settings, outlets: &mut Outlets) -> Result<Exit, CliError> {
    let plans = saved::read(&args.file, settings.tenant.as_deref())?;
    outlets.over(plans.tenants.len());
    let mut differs = false;
    for saved in &plans.tenants {
        let document = plans.document(saved, None);
        let look = Look { detail: Detail::Totals, ..settings.err_look };
        let totals = outlets.stdout_is(Format::Diff).then(|| Format::Text.draw(&document, &look));
        outlets.add(document)?;
        tell(&totals.unwrap_or_default());
        differs |= saved.prepared.cleared.plan().differs();
    }
    Ok(if args.detailed_exitcode && differs { Exit::ChangesExist } else { Exit::Done })
}
