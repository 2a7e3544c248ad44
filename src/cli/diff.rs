//! `apgit diff`: in what two saved plans differ.

use std::path::PathBuf;

use crate::render::Document;
use crate::render::document::{BetweenView, Kind};

use super::args::Reports;
use super::error::CliError;
use super::exit::Exit;
use super::report::Outlets;
use super::saved::{self, SavedPlan};
use super::settings::Settings;

/// Which plans.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DiffArgs {
    /// What `apgit plan --out` has written
    #[arg(value_name = "FROM")]
    pub from: PathBuf,
    /// The same, later or elsewhere
    #[arg(value_name = "TO")]
    pub to: PathBuf,
    #[command(flatten)]
    pub reports: Reports,
    /// Exit with 2 if the plans differ
    #[arg(long, help_heading = "Output")]
    pub detailed_exitcode: bool,
}

/// # Errors
/// When there are no such plans.
pub(super) fn run(args: &DiffArgs, settings: &Settings) -> Result<Exit, CliError> {
    let mut outlets = Outlets::new(args.reports.wanted(), Kind::Between, settings.look)?;
    let ended = diff(args, settings, &mut outlets);
    outlets.finish(ended)
}

fn diff(args: &DiffArgs, settings: &Settings, outlets: &mut Outlets) -> Result<Exit, CliError> {
    let from = saved::read(&args.from, settings.tenant.as_deref())?;
    let to = saved::read(&args.to, settings.tenant.as_deref())?;
    let is_of = |a: &SavedPlan, b: &SavedPlan| a.tenant_id == b.tenant_id && a.owner == b.owner;
    let added = to.tenants.iter().filter(|new| !from.tenants.iter().any(|old| is_of(old, new)));
    let kept = from.tenants.iter().map(|old| (Some(old), to.tenants.iter().find(|new| is_of(old, new))));
    let pairs: Vec<_> = kept.chain(added.map(|new| (None, Some(new)))).collect();
    outlets.over(pairs.len());
    let mut differs = false;
    for (old, new) in &pairs {
        let (old_places, new_places) = (old.map(SavedPlan::places), new.map(SavedPlan::places));
        let old_place = |origin| saved::place(old_places.as_ref(), origin);
        let new_place = |origin| saved::place(new_places.as_ref(), origin);
        let view = BetweenView {
            from: old.map(|saved| (saved.prepared.cleared.plan(), &old_place as _)),
            to: new.map(|saved| (saved.prepared.cleared.plan(), &new_place as _)),
            several: pairs.len() > 1,
        };
        let document = view.document();
        differs |= !document.same || old.is_none() != new.is_none();
        outlets.add(Document::Between(document))?;
    }
    Ok(if args.detailed_exitcode && differs { Exit::ChangesExist } else { Exit::Done })
}
