//! `apgit apply`: plan, ask, do, wait, report.

use std::io::{stderr, stdin};

use crate::apply::{Halt, Outcome};
use crate::clock::Stop;
use crate::connect::{Connection, Purpose};
use crate::graph::GraphWriter;
use crate::ledger::{FileJournal, Journal};
use crate::manifest::Hashes;
use crate::plan::{Plan, Reason};
use crate::render::document::{ApplyView, Kind};
use crate::render::{Document, Format, Places};
use crate::round::{Consent, Prepared, Report, Round};

use super::args::{ApprovalArgs, FailsOn, Reports, Source};
use super::error::{CliError, exit_of};
use super::exit::Exit;
use super::plan::{Shown, approvals, fail_on};
use super::progress::Progress;
use super::prompt::{Question, consent};
use super::report::Outlets;
use super::settings::{Settings, print, tell};
use super::source;

/// What is applied, and who has said yes to it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub reports: Reports,
    #[command(flatten)]
    pub fails_on: FailsOn,
    /// Do not ask
    #[arg(long, help_heading = "Approval")]
    pub auto_approve: bool,
    /// Do not ask if the plan has exactly this digest; else stop with 6
    #[arg(long, value_name = "SHA256", value_parser = sha256, help_heading = "Approval")]
    pub approve_digest: Option<String>,
    #[command(flatten)]
    pub approvals: ApprovalArgs,
}

fn sha256(text: &str) -> Result<String, String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(hex);
    }
    Err("64 hex digits, as `digest.sha256` of `apgit plan --json` has them (a plan id is for people only)".to_owned())
}

/// # Errors
/// When there is no plan, or no consent. What happens after that is a report.
pub(super) async fn run(args: &ApplyArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let mut outlets = Outlets::new(args.reports.wanted(), Kind::Apply, settings.look)?;
    let ended = tenants(args, settings, stop, &mut outlets).await;
    outlets.finish(ended)
}

async fn tenants(args: &ApplyArgs, settings: &Settings, stop: &Stop, outlets: &mut Outlets) -> Result<Exit, CliError> {
    let declared = source::load(settings, &args.source.paths)?;
    let approvals = approvals(&args.approvals);
    let mut exit = Exit::Done;
    for fleet in &declared.fleets {
        outlets.begin(&fleet.desired.tenant.name, declared.fleets.len());
        let connection = source::connect(settings, &args.source.simulated, fleet, Purpose::Write, stop).await?;
        let clock = connection.clock.clone();
        let state = settings.state_of(&connection.target, fleet.desired.tenant.id);
        let mut journal = Journal::open(Box::new(FileJournal::open(&state)?), clock.now()).await?;
        let hashes = Hashes::new(fleet.root.clone());
        let round = Round {
            desired: &fleet.desired,
            target: &connection.target,
            graph: &connection.graph,
            clock: clock.as_ref(),
            hashes: &hashes,
            approvals: &approvals,
            settle: true,
            stop,
        };
        let prepared = round.prepare(&mut journal).await?;
        let shown = Shown { declared: &declared, fleet, connection: &connection, prepared: &prepared };
        let failed = fail_on(&args.fails_on, &prepared);
        let plan = shown.document(failed);
        show_plan(&plan, settings, outlets.stdout_is(Format::Text))?;
        if failed.is_some() {
            outlets.keep(plan);
            exit = exit.worse(Exit::Blocked);
            continue;
        }
        let consent = approve(args, settings, &connection, &prepared, stop).await?;
        let writer = GraphWriter::new(connection.graph.clone());
        let mut progress = Progress::new(settings.quiet, settings.watched, settings.err_look, clock.clone());
        let report =
            round.carry_out(prepared, consent, &writer, &mut journal, &mut |event| progress.event(&event)).await;
        progress.end();
        let ended = exit_of_report(&report);
        show_report(&report, ended, outlets, settings, &|origin| source::place(fleet, origin))?;
        exit = exit.worse(ended);
        if ended == Exit::Cancelled {
            break;
        }
    }
    Ok(exit)
}

/// The plan, on stdout unless that belongs to a report for tools.
fn show_plan(plan: &Document, settings: &Settings, on_stdout: bool) -> Result<(), CliError> {
    let look = if on_stdout { settings.look } else { settings.err_look };
    let text = Format::Text.draw(plan, &look);
    match (on_stdout, settings.quiet) {
        (true, _) => print(&text),
        (false, false) => {
            tell(&text);
            Ok(())
        }
        (false, true) => Ok(()),
    }
}

/// Returns if the plan may be carried out.
async fn approve(
    args: &ApplyArgs,
    settings: &Settings,
    connection: &Connection,
    prepared: &Prepared,
    stop: &Stop,
) -> Result<Consent, CliError> {
    let plan = prepared.cleared.plan();
    if let Some(approved) = &args.approve_digest {
        let digest = plan.digest().sha256;
        if *approved == digest {
            return Ok(Consent::Seen);
        }
        let message = format!("the plan is not the one that was approved: its digest is `{digest}`");
        return Err(
            CliError::new(Exit::Stale, message).hint("run apgit plan --json again and approve its digest.sha256")
        );
    }
    if args.auto_approve || !plan.writes() {
        return Ok(Consent::Unseen);
    }
    if !settings.interactive {
        return Err(CliError::new(Exit::Usage, "there is nobody to ask: this is not a terminal, and nothing was sent")
            .hint("add --auto-approve, or --approve-digest with the digest of a reviewed plan"));
    }
    let organization = connection.graph.organization().await.ok().flatten();
    let question = Question {
        tenant: plan.tenant.name.clone(),
        real_name: organization.map(|organization| organization.display_name.to_string()),
        tenant_id: plan.tenant.id.to_string(),
        changes: plan.changes.len(),
        simulated: connection.target.is_simulated(),
    };
    let answer = tokio::task::spawn_blocking(move || consent(&question, &mut stdin().lock(), &mut stderr()));
    let yes = tokio::select! {
        answer = answer => answer.is_ok_and(|answer| answer.is_ok_and(|yes| yes)),
        () = stop.asked() => return Err(CliError::new(Exit::Cancelled, "stopped on request; nothing was written")),
    };
    if yes { Ok(Consent::Seen) } else { Err(CliError::new(Exit::Blocked, "not approved; nothing was written")) }
}

fn show_report(
    report: &Report,
    exit: Exit,
    outlets: &mut Outlets,
    settings: &Settings,
    places: Places<'_>,
) -> Result<(), CliError> {
    let halt = report.halt.as_ref().map(ToString::to_string);
    let view = ApplyView {
        first: report.prepared.cleared.plan(),
        outcomes: &report.outcomes,
        left: report.left.as_ref(),
        halt: halt.as_deref(),
        calls: report.calls,
        started: report.started,
        ended: report.ended,
        places,
        exit_code: exit.code(),
    };
    let document = Document::Apply(view.document());
    if !outlets.stdout_is(Format::Text) && !settings.quiet {
        tell(&Format::Text.draw(&document, &settings.err_look));
    }
    outlets.add(document)
}

/// How a run ended, in one number. Failures that need a person go before those
/// that time may heal.
fn exit_of_report(report: &Report) -> Exit {
    match &report.halt {
        Some(Halt::Asked) => return Exit::Cancelled,
        Some(Halt::Access(error)) => return exit_of(error.kind),
        Some(Halt::Journal(_)) => return Exit::Failed,
        None => {}
    }
    if report.outcomes.cancelled {
        return Exit::Cancelled;
    }
    let tally = report.outcomes.tally();
    if tally.failed + tally.not_attempted > 0 {
        let later = |outcome: &Outcome| match outcome {
            Outcome::Failed { reason, .. } | Outcome::NotAttempted { reason, .. } => {
                *reason == Reason::ServiceUnavailable
            }
            Outcome::Done { .. } | Outcome::Awaiting { .. } => true,
        };
        let all_later = report.outcomes.of.iter().all(|(_, outcome)| later(outcome));
        return if all_later { Exit::Later } else { Exit::Partial };
    }
    if tally.awaiting > 0 {
        return Exit::Later;
    }
    if limited(report.prepared.cleared.plan()) { Exit::Blocked } else { Exit::Done }
}

fn limited(plan: &Plan) -> bool {
    plan.held.iter().any(|held| held.reason == Reason::LimitExceeded)
}
