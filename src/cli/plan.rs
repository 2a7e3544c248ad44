//! `apgit plan`: the difference, and nothing else.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use crate::clock::Stop;
use crate::connect::{Connection, Purpose};
use crate::fleet::Member;
use crate::manifest::Fleet;
use crate::render::document::{Kind, PlanView};
use crate::render::{Detail, Document, FailOn, Format, Look};
use crate::round::Prepared;

use super::approval::Numbers;
use super::args::{FailsOn, Reports, Source};
use super::drift::{self, Drifted};
use super::error::CliError;
use super::exit::Exit;
use super::members::{Opener, in_place};
use super::progress::reading;
use super::report::Outlets;
use super::saved::{self, Saver};
use super::select::Selection;
use super::settings::{Settings, tell};
use super::source::{self, Declared};

/// What a plan is of, and how it is shown.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub reports: Reports,
    /// Save the plan, for `apgit show`, `apgit diff` and `apgit apply`
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// For how long a saved plan can be applied: 90m, 24h, 7d; at most 30d
    #[arg(long, value_name = "TIME", value_parser = saved::ttl, default_value = "24h", requires = "out", help_heading = "Output")]
    pub plan_ttl: SignedDuration,
    /// Show every changed device as a unified diff of YAML: the same as `--report diff`
    #[arg(long, help_heading = "Output")]
    pub diff: bool,
    #[command(flatten)]
    pub fails_on: FailsOn,
    /// Exit with 2 wherever a registration differs from its declaration, also where the change is held
    #[arg(long, help_heading = "Output")]
    pub detailed_exitcode: bool,
    #[command(flatten)]
    pub approvals: Numbers,
    /// Only what others have changed.
    #[arg(skip)]
    pub drift: bool,
    /// Where a patch with that goes, if one is wanted.
    #[arg(skip)]
    pub patch: Option<PathBuf>,
}

/// # Errors
/// When there is no plan: bad declarations, no sign-in, no answer.
pub(super) async fn run(args: &PlanArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let wanted = args.reports.wanted_with(args.diff);
    let mut outlets = match args.patch.as_deref().is_some_and(drift::is_stdout) {
        true => drift::leaving_stdout(wanted, settings.look)?,
        false => Outlets::new(wanted, Kind::Plan, settings.look)?,
    };
    let ended = tenants(args, settings, stop, &mut outlets).await;
    outlets.finish(ended)
}

async fn tenants(args: &PlanArgs, settings: &Settings, stop: &Stop, outlets: &mut Outlets) -> Result<Exit, CliError> {
    let mut drifted = args.patch.as_deref().map(Drifted::new).transpose()?;
    let mut saver = args.out.as_ref().map(|path| Saver::new(path, args.plan_ttl)).transpose()?;
    let mut declared = source::load(settings, &args.source.paths, &args.source.simulated)?;
    args.selection.narrow(&mut declared)?;
    let fleets: Vec<&Fleet> = declared.fleets.iter().collect();
    outlets.over(fleets.len());
    let mut opener = Opener::new(settings, &args.source.simulated, &declared, Purpose::Read, stop);
    let approvals = args.approvals.of(&declared.fleets)?;
    let (mut members, errors) = opener.open_each(fleets.iter().copied().zip(approvals)).await;
    let plans = reading(settings, &fleets, members.plan()).await;
    let (mut exit, mut planned) = (Exit::Done, 0);
    for ((fleet, plan), news) in fleets.iter().copied().zip(in_place(errors, plans)).zip(&declared.news) {
        outlets.begin(fleet);
        let (at, prepared) = match plan {
            Ok(plan) => plan,
            Err(error) => {
                exit = exit.worse(outlets.fail(error, &settings.err_look));
                continue;
            }
        };
        let Member { connection, approvals, .. } = &members.of()[at];
        let selection = &args.selection;
        let now = connection.graph.service_now();
        let expires_at = saver.as_ref().map(|saver| saver.expires(now));
        let shown =
            Shown { declared: &declared, fleet, selection, news, connection, prepared: &prepared, now, expires_at };
        if let Some(drifted) = &mut drifted {
            drifted.take(fleet, prepared.cleared.plan());
        }
        if let Some(saver) = &mut saver {
            saver.add(fleet, &prepared, approvals, news, now);
        }
        let failed = fail_on(&args.fails_on, &prepared);
        let document = match shown.document(failed) {
            Document::Plan(plan) if args.drift => Document::Plan(Box::new(plan.only_drift())),
            document => document,
        };
        let differs = match &document {
            Document::Plan(plan) if args.drift => plan.has_drift(),
            _ => prepared.cleared.plan().differs(),
        };
        let look = Look { detail: Detail::Totals, ..settings.err_look };
        let is_other = outlets.stdout_is(Format::Diff) || drifted.as_ref().is_some_and(Drifted::is_on_stdout);
        let totals = is_other.then(|| Format::Text.draw(&document, &look));
        outlets.add(document)?;
        tell(&totals.unwrap_or_default());
        exit = exit.worse(exit_of(args, differs, failed));
        planned += 1;
    }
    match saver {
        Some(saver) if planned == fleets.len() => saver.write(&declared.root, declared.files, &args.selection)?,
        Some(_) => tell("nothing is saved: not every tenant has a plan\n"),
        None => {}
    }
    if let Some(drifted) = drifted {
        exit = exit.worse(drifted.write(&declared, settings)?);
    }
    Ok(exit)
}

fn exit_of(args: &PlanArgs, differs: bool, failed: Option<FailOn>) -> Exit {
    if failed.is_some() {
        Exit::Blocked
    } else if args.detailed_exitcode && differs {
        Exit::ChangesExist
    } else {
        Exit::Done
    }
}

/// The first of the `--fail-on` words that the plan fulfils.
pub(super) fn fail_on(args: &FailsOn, prepared: &Prepared) -> Option<FailOn> {
    let words = args.fail_on.iter().filter_map(|word| word.0);
    words.into_iter().find(|word| word.applies(prepared.cleared.plan()))
}

/// A plan with all that its reports need.
pub(super) struct Shown<'a> {
    pub declared: &'a Declared,
    pub fleet: &'a Fleet,
    pub selection: &'a Selection,
    pub news: &'a [String],
    pub connection: &'a Connection,
    pub prepared: &'a Prepared,
    /// By the service's clock.
    pub now: Timestamp,
    /// Of a plan that is saved.
    pub expires_at: Option<Timestamp>,
}

impl Shown<'_> {
    pub(super) fn document(&self, failed_on: Option<FailOn>) -> Document {
        let (targets, excludes) = self.selection.words();
        let view = PlanView {
            cleared: &self.prepared.cleared,
            schedule: &self.prepared.schedule,
            calls: self.prepared.calls,
            source: &self.declared.root,
            files: self.declared.files,
            several: self.declared.fleets.len() > 1,
            cloud: self.connection.target.cloud(),
            simulated: self.connection.target.is_simulated(),
            created_at: self.now,
            expires_at: self.expires_at,
            targets: &targets,
            excludes: &excludes,
            places: &|origin| source::place(self.fleet, origin),
            news: self.news,
            failed_on,
        };
        Document::Plan(Box::new(view.document()))
    }
}
