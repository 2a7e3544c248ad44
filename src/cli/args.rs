//! What can be typed, as far as several commands share it; the rest stands
//! beside each command. No files, no environment, no decisions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::render::{FailOn, Format};

use super::apply::ApplyArgs;
use super::audit::AuditArgs;
use super::cluster::ClusterArgs;
use super::completions::CompletionsArgs;
use super::crds::CrdsArgs;
use super::decommission::DecommissionArgs;
use super::diff::DiffArgs;
use super::drift::DriftArgs;
use super::hash::HashArgs;
use super::help::HelpArgs;
use super::history::HistoryArgs;
use super::ledger::{LedgerArgs, ReleaseArgs};
use super::ledgers::{self, Choice};
use super::operator::OperatorArgs;
use super::plan::PlanArgs;
use super::revert::RevertArgs;
use super::schema::SchemaArgs;
use super::show::ShowArgs;
use super::simulate::SimulateArgs;
use super::status::StatusArgs;
use super::sync::SyncArgs;
use super::validate::ValidateArgs;

/// Keeps a Windows Autopilot tenant equal to what a Git repository says.
#[derive(Debug, Parser)]
#[command(name = "apgit", version, disable_help_subcommand = true, subcommand_required = true)]
#[command(
    after_help = "First steps:\n  apgit plan examples/contoso --simulate  look, without account or network\n  apgit help exit-codes                   what the exit codes mean"
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// When to use colour; `NO_COLOR` and `CLICOLOR_FORCE` are honoured
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN", help_heading = "Global")]
    pub color: Color,
    /// Where journals and simulated tenants are kept [default: the platform's state folder]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global")]
    pub state_dir: Option<PathBuf>,
    /// Show totals only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global")]
    pub quiet: bool,
    /// Log requests to stderr; twice for more (never bodies, hashes or tokens)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global")]
    pub verbose: u8,
    /// A host outside Microsoft's clouds, loopback too, that may receive a credential
    #[arg(long, global = true, value_name = "HOST", help_heading = "Global")]
    pub allow_endpoint: Vec<String>,
    /// Let a tenant, app, cloud or endpoint in that the state folder does not know yet
    #[arg(long, global = true, help_heading = "Global")]
    pub allow_new_tenant: bool,
    /// A host that `sops` may ask for the key of an encrypted file, with a credential of yours
    #[arg(long, global = true, value_name = "HOST", help_heading = "Global")]
    pub allow_key_host: Vec<String>,
    /// Where the ledger is: `file` (the state folder), `branch` (of the Git remote), or a file [default: the branch where there is a remote]
    #[arg(long, global = true, value_name = "WHERE", value_parser = ledgers::choice, help_heading = "Global")]
    pub ledger: Option<Choice>,
    /// Where the audit log is [default: beside the journal, in the state folder]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global")]
    pub audit: Option<PathBuf>,
    /// Only this tenant, where several are declared
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global")]
    pub tenant: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the difference between the declaration and the tenant
    Plan(PlanArgs),
    /// Show the difference, ask, and close it
    Apply(ApplyArgs),
    /// Show a saved plan
    Show(ShowArgs),
    /// Show in what two saved plans differ
    Diff(DiffArgs),
    /// Show where each device stands
    Status(StatusArgs),
    /// Start the tenant's sync, at most once in ten minutes
    Sync(SyncArgs),
    /// Show what others have changed since it was applied
    Drift(DriftArgs),
    /// Show and repair the ledger: what was applied before
    Ledger(LedgerArgs),
    /// Forget devices by name, and leave them registered
    Release(ReleaseArgs),
    /// Show and check the audit log: who did what, and when
    Audit(AuditArgs),
    /// Show what was done to a device
    History(HistoryArgs),
    /// Show what undoes a plan: a patch with the values before it, and what no patch can undo
    Revert(RevertArgs),
    /// Let devices go for good, by name: from Intune, Autopilot and Entra, in this order
    Decommission(DecommissionArgs),
    /// Keep tenants as the objects of a Kubernetes cluster declare them
    Operator(OperatorArgs),
    /// Ask an operator for status, plan or approval; as `kubectl-apgit` also `kubectl apgit`
    Cluster(ClusterArgs),
    /// Serve the simulated tenant on a loopback port
    Simulate(SimulateArgs),
    /// Check everything that can be checked offline
    Validate(ValidateArgs),
    /// Show what is in a hardware hash
    Hash(HashArgs),
    /// Write the Kubernetes definitions of the kinds
    Crds(CrdsArgs),
    /// Write the JSON Schema for editors
    Schema(SchemaArgs),
    /// Write the completion script of a shell
    Completions(CompletionsArgs),
    /// Show help for a command, or `exit-codes`
    Help(HelpArgs),
}

/// Which declarations, and against which tenant.
#[derive(Debug, Clone, Args)]
pub(super) struct Source {
    /// Folders or files with manifests
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub simulated: Simulated,
}

/// The built-in simulated tenant.
#[derive(Debug, Clone, Args)]
pub(super) struct Simulated {
    /// Use the built-in simulated tenant instead of Microsoft's: no account, no network, no waiting
    #[arg(long, help_heading = "Simulation")]
    pub simulate: bool,
    /// How the simulated tenant behaves
    #[arg(long, value_enum, default_value_t = Profile::Calm, requires = "simulate", value_name = "PROFILE", help_heading = "Simulation")]
    pub sim_profile: Profile,
    /// The seed of the simulated tenant's chances
    #[arg(long, default_value_t = 1, requires = "simulate", value_name = "SEED", help_heading = "Simulation")]
    pub sim_seed: u64,
    /// YAML file of what others have done to the simulated tenant meanwhile
    #[arg(long, requires = "simulate", value_name = "FILE", help_heading = "Simulation")]
    pub sim_script: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    Calm,
    Busy,
    Hostile,
}

impl Profile {
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Busy => "busy",
            Self::Hostile => "hostile",
        }
    }
}

/// Where reports go.
#[derive(Debug, Clone, Args)]
pub(super) struct Reports {
    /// Write a report: `text`, `json`, or a plan as `diff`; to a file with `=PATH` (repeatable)
    #[arg(long, value_name = "FORMAT[=PATH]", value_parser = ReportTo::parse, help_heading = "Output")]
    pub report: Vec<ReportTo>,
    /// The same as `--report json`
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

impl Reports {
    /// What was asked for, however it was said.
    #[must_use]
    pub(super) fn wanted(&self) -> Vec<ReportTo> {
        let json = self.json.then(|| ReportTo::stdout(Format::Json));
        self.report.iter().cloned().chain(json).collect()
    }

    /// The same, and devices as diffs where `--diff` asks for them.
    #[must_use]
    pub(super) fn wanted_with(&self, diff: bool) -> Vec<ReportTo> {
        let diff = diff.then(|| ReportTo::stdout(Format::Diff));
        self.wanted().into_iter().chain(diff).collect()
    }
}

/// What makes a plan fail a pipeline.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct FailsOn {
    /// Exit with 5 if the plan has these: none, held, unmanaged, changes
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = fail_on, help_heading = "Output")]
    pub fail_on: Vec<FailOnWord>,
}

/// One report and its destination; no path is stdout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReportTo {
    pub format: Format,
    pub path: Option<PathBuf>,
}

impl ReportTo {
    #[must_use]
    pub(super) fn stdout(format: Format) -> Self {
        Self { format, path: None }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (format, path) = match text.split_once('=') {
            None | Some((_, "-")) => (text.split('=').next().unwrap_or_default(), None),
            Some((_, "")) => return Err("a path is missing behind `=`".to_owned()),
            Some((format, path)) => (format, Some(PathBuf::from(path))),
        };
        let Some(format) = Format::named(format) else {
            let known: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
            return Err(format!("`{format}` is not a format: {}", known.join(", ")));
        };
        Ok(Self { format, path })
    }
}

/// A word of `--fail-on`; `None` is the word `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FailOnWord(pub Option<FailOn>);

fn fail_on(word: &str) -> Result<FailOnWord, String> {
    match word {
        "none" => Ok(FailOnWord(None)),
        "held" => Ok(FailOnWord(Some(FailOn::Held))),
        "unmanaged" => Ok(FailOnWord(Some(FailOn::Unmanaged))),
        "changes" => Ok(FailOnWord(Some(FailOn::Changes))),
        other => Err(format!("`{other}` is none of: none, held, unmanaged, changes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_report_has_a_format_and_may_have_a_path() {
        let json = |path: Option<&str>| ReportTo { format: Format::Json, path: path.map(PathBuf::from) };
        assert_eq!(ReportTo::parse("json"), Ok(json(None)));
        assert_eq!(ReportTo::parse("json=-"), Ok(json(None)));
        assert_eq!(ReportTo::parse("json=out/plan.json"), Ok(json(Some("out/plan.json"))));
        assert!(ReportTo::parse("pdf").is_err() && ReportTo::parse("json=").is_err());
    }
}
