//! `apgit drift`: what others have changed since it was applied, as a report, or as
//! a patch that takes it into the manifests.

use std::path::{Path, PathBuf};

use jiff::SignedDuration;

use crate::clock::Stop;
use crate::manifest::Fleet;
use crate::model::{Action, Field, FieldChange, Origin, SerialNumber};
use crate::plan::{Plan, Reason};
use crate::render::Look;
use crate::render::document::Kind;

use super::approval::Numbers;
use super::args::{FailsOn, ReportTo, Reports, Source};
use super::error::CliError;
use super::exit::Exit;
use super::file;
use super::patch::{self, Left, Wish};
use super::plan::{self, PlanArgs};
use super::report::Outlets;
use super::saved::is_manifest;
use super::select::Selection;
use super::settings::{Settings, print, tell};
use super::source::Declared;

/// Which declarations, and how their drift is shown.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DriftArgs {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub reports: Reports,
    /// Show every changed device as a unified diff of YAML: the same as `--report diff`
    #[arg(long, help_heading = "Output")]
    pub diff: bool,
    /// Write it into the manifests: as a patch for `git apply`, on stdout or into FILE. Nothing is changed by this
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-", help_heading = "Output")]
    pub patch: Option<PathBuf>,
    /// Exit with 2 if others have changed or removed something
    #[arg(long, help_heading = "Output")]
    pub detailed_exitcode: bool,
}

/// A plan of which only that is shown what others have changed since it was
/// applied.
///
/// # Errors
/// As a plan.
pub(super) async fn run(args: &DriftArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let DriftArgs { source, selection, reports, diff, patch, detailed_exitcode } = args.clone();
    let plan = PlanArgs {
        source,
        selection,
        reports,
        diff,
        detailed_exitcode,
        out: None,
        plan_ttl: SignedDuration::ZERO,
        fails_on: FailsOn::default(),
        approvals: Numbers::default(),
        drift: true,
        patch,
    };
    plan::run(&plan, settings, stop).await
}

/// True for the patch that goes to stdout.
pub(super) fn is_stdout(to: &Path) -> bool {
    to == Path::new("-")
}

/// The reports beside a patch on stdout.
///
/// # Errors
/// When one of them goes there, too.
pub(super) fn leaving_stdout(wanted: Vec<ReportTo>, look: Look) -> Result<Outlets, CliError> {
    if wanted.iter().any(|report| report.path.is_none()) {
        return Err(CliError::new(Exit::Usage, "a patch and a report cannot both go to stdout")
            .hint("write one of them to a file: --patch=drift.patch, --report json=drift.json"));
    }
    Ok(Outlets::new(wanted, Kind::Plan, look)?.without_stdout())
}

/// What others have changed, to be taken into the manifests.
pub(super) struct Drifted {
    to: PathBuf,
    wishes: Vec<Wish>,
    left: Vec<Left>,
}

impl Drifted {
    /// # Errors
    /// When the patch cannot be written there: told before anything is read.
    pub(super) fn new(to: &Path) -> Result<Self, CliError> {
        if is_manifest(to) {
            let message = format!("the patch `{}` would have the name of a manifest", to.display());
            return Err(CliError::new(Exit::Usage, message).hint("call it `drift.patch` or the like"));
        }
        if !is_stdout(to) {
            file::refuse_link(to)?;
        }
        Ok(Self { to: to.to_owned(), wishes: Vec::new(), left: Vec::new() })
    }

    pub(super) fn is_on_stdout(&self) -> bool {
        is_stdout(&self.to)
    }

    /// Takes up the drift of a tenant.
    pub(super) fn take(&mut self, fleet: &Fleet, plan: &Plan) {
        for change in plan.changes.iter().filter(|change| !change.drifted.is_empty()) {
            if let Action::Update(update) = change.action() {
                self.take_fields(change.origin, change.serial(), &update.fields, &change.drifted);
            }
        }
        for held in &plan.held {
            self.take_fields(held.origin, held.serial(), &held.fields, &held.drifted);
            if held.reason == Reason::VanishedFromTenant {
                let why = "its registration is gone; remove its entry, or let it be registered again";
                self.left.push(Left::whole(fleet, held.origin, held.serial(), why));
            }
        }
    }

    fn take_fields(&mut self, origin: Origin, serial: &SerialNumber, fields: &[FieldChange], drifted: &[Field]) {
        let wish = |change: &FieldChange| Wish {
            origin,
            serial: serial.clone(),
            field: change.field,
            value: change.before.clone(),
        };
        self.wishes.extend(fields.iter().filter(|change| drifted.contains(&change.field)).map(wish));
    }

    /// Writes the patch, and tells what is not in it.
    ///
    /// # Errors
    /// When a manifest cannot be read again, or the patch cannot be written.
    pub(super) fn write(self, declared: &Declared, settings: &Settings) -> Result<Exit, CliError> {
        let Self { to, wishes, left } = self;
        let mut patch = patch::make(&declared.paths, &declared.fleets, wishes)?;
        patch.left.extend(left);
        if is_stdout(&to) {
            print(&patch.text)?;
        } else {
            file::write(&to, &patch.text)?;
        }
        tell(&patch.told(&settings.err_look));
        Ok(if patch.left.is_empty() { Exit::Done } else { Exit::Blocked })
    }
}
