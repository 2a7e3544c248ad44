//! `apgit apply`: plan, ask, do, wait, report.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{stderr, stdin};
use std::path::PathBuf;

use crate::clock::{SharedClock, Stop};
use crate::connect::Purpose;
use crate::fleet::{Member, Members, Told};
use crate::manifest::Fleet;
use crate::model::{Action, DeviceKey, seen};
use crate::plan::{Change, Rest, Standing};
use crate::render::document::{ApplyView, Kind};
use crate::render::style::counted;
use crate::render::{Document, Format, Places};
use crate::round::{Consent, End, Prepared, Report, RoundError};

use super::approval::{Digests, Numbers};
use super::args::{FailsOn, Reports, Simulated};
use super::error::{CliError, exit_of};
use super::exit::Exit;
use super::ledgers;
use super::members::Opener;
use super::plan::{Shown, fail_on};
use super::progress::{Progress, patiently, reading};
use super::prompt::{Question, consent};
use super::report::Outlets;
use super::select::Selection;
use super::settings::{Settings, print, tell};
use super::{apply_saved, grants, saved, source, targets};

/// What is applied, and who has said yes to it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ApplyArgs {
    /// Folders or files with manifests; or a saved plan, and then these
    #[arg(value_name = "PLAN|PATH", default_value = ".", hide_default_value = true)]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub simulated: Simulated,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub reports: Reports,
    #[command(flatten)]
    pub fails_on: FailsOn,
    /// Do not ask
    #[arg(long, help_heading = "Approval")]
    pub auto_approve: bool,
    /// Who has approved it, for the audit log
    #[arg(long, value_name = "NAME", help_heading = "Approval")]
    pub approver: Option<String>,
    /// Apply this commit, though it does not come after the one that was applied last
    #[arg(long, value_name = "SHA", help_heading = "Approval")]
    pub allow_source: Option<String>,
    /// Of a saved plan, what becomes of it where devices are not as they were planned [default: abort]
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Approval")]
    pub stale: Option<StaleWord>,
    #[command(flatten)]
    pub digests: Digests,
    #[command(flatten)]
    pub numbers: Numbers,
}

/// What becomes of a saved plan that is not as it was planned, in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum StaleWord {
    /// Nothing is done
    Abort,
    /// The rest is done
    Skip,
}

/// # Errors
/// When there is no plan, or no consent. What happens after that is a report.
pub(super) async fn run(args: &ApplyArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let mut outlets = Outlets::new(args.reports.wanted(), Kind::Apply, settings.look)?;
    let ended = match saved::among(&args.paths) {
        Ok(Some((plan, paths))) => Box::pin(apply_saved::run(args, &plan, &paths, settings, stop, &mut outlets)).await,
        Ok(None) => Box::pin(tenants(args, settings, stop, &mut outlets)).await,
        Err(error) => Err(error),
    };
    outlets.finish(ended)
}

/// All tenants are read, shown and approved before the first write to any.
async fn tenants(args: &ApplyArgs, settings: &Settings, stop: &Stop, outlets: &mut Outlets) -> Result<Exit, CliError> {
    if args.stale.is_some() {
        return Err(CliError::new(Exit::Usage, "`--stale` is about a saved plan, and none is named")
            .hint("apgit apply FILE, with what `apgit plan --out FILE` has written"));
    }
    let mut declared = source::load(settings, &args.paths, &args.simulated)?;
    args.selection.narrow(&mut declared)?;
    let fleets: Vec<&Fleet> = declared.fleets.iter().collect();
    outlets.over(fleets.len());
    let digests = args.digests.of(&declared.fleets)?;
    let how = |digest: &Option<String>| match digest {
        Some(_) => "digest",
        None if args.auto_approve => "autoApprove",
        None => "prompt",
    };
    let mut opener = Opener::new(settings, &args.simulated, &declared, Purpose::Write, stop)
        .approved(args.approver.clone(), digests.iter().map(how).collect());
    let each = fleets.iter().copied().zip(args.numbers.of(&declared.fleets)?);
    let mut members = opener.open_all(each).await.map_err(|error| outlets.of(&fleets, error))?;
    if let Some(refused) = ledgers::refuses(&members, args.allow_source.as_deref()) {
        return Err(outlets.of(&fleets, refused));
    }
    let prepared = reading(settings, &fleets, members.prepare()).await;
    let prepared = prepared.map_err(|error| outlets.of(&fleets, error))?;
    let (mut plans, mut failed) = (Vec::with_capacity(fleets.len()), false);
    for (((fleet, member), prepared), news) in
        fleets.iter().copied().zip(members.of()).zip(&prepared).zip(&declared.news)
    {
        let fails = fail_on(&args.fails_on, prepared);
        let (connection, selection) = (&member.connection, &args.selection);
        let now = connection.graph.service_now();
        let shown = Shown { declared: &declared, fleet, selection, news, connection, prepared, now, expires_at: None };
        let plan = shown.document(fails);
        show_plan(&plan, settings, outlets.stdout_is(Format::Text))?;
        failed |= fails.is_some();
        plans.push(plan);
    }
    if failed {
        plans.into_iter().for_each(|plan| outlets.keep(plan));
        return Ok(Exit::Blocked);
    }
    let mut approved = Vec::with_capacity(fleets.len());
    for (at, (prepared, digest)) in prepared.into_iter().zip(&digests).enumerate() {
        let answer = match digest {
            Some(digest) => approved_by_digest(settings, &mut members, at, prepared, digest).await,
            // Who says yes to all says so to what is left of an earlier yes, too.
            None if args.auto_approve && prepared.cleared.granted().is_none() => {
                approve(args, settings, &members.of()[at], prepared, stop).await
            }
            None => match grants::consent(settings, &mut members, at, prepared).await {
                Ok(Ok(granted)) => Ok(granted),
                Ok(Err(prepared)) => approve(args, settings, &members.of()[at], prepared, stop).await,
                Err(error) => Err(error),
            },
        };
        match answer {
            Ok(plan) => approved.push(plan),
            Err(error) => {
                // Nothing was written anywhere: of those before it there is a plan.
                plans.into_iter().take(at).for_each(|plan| outlets.keep(plan));
                return Err(outlets.of(&fleets, (at, error)));
            }
        }
    }
    before(args, settings, &fleets, &mut members, approved.iter().map(|(prepared, _)| prepared)).await?;
    carry_out(settings, &fleets, &mut members, approved, outlets).await
}

/// What comes before the first write, and may keep it from being made.
///
/// # Errors
/// When a hash cannot be read, another commit is checked out than was planned, or
/// nobody would know later where a run has been.
pub(super) async fn before(
    args: &ApplyArgs,
    settings: &Settings,
    fleets: &[&Fleet],
    members: &mut Members<'_>,
    approved: impl Iterator<Item = &Prepared>,
) -> Result<(), CliError> {
    let approved: Vec<&Prepared> = approved.collect();
    let reading = members.unreadable_hashes(approved.iter().copied());
    let unreadable = patiently(settings, "reading hashes", reading).await;
    if let Some(error) = not_readable_here(&unreadable.map_err(RoundError::from)?) {
        return Err(error);
    }
    // Somebody may have thought about it for a day.
    let removes = |prepared: &Prepared| {
        let mut actions = prepared.cleared.plan().changes.iter().map(Change::action);
        actions.any(|action| matches!(action, Action::Deregister(_) | Action::Release(_)))
    };
    for ((fleet, member), _) in fleets.iter().zip(members.of()).zip(&approved).filter(|(_, of)| removes(of)) {
        member.book.as_ref().map_or(Ok(()), |book| ledgers::still(fleet, book))?;
    }
    // All that is approved is known before the first write: a run that breaks
    // off has not forgotten where it was.
    for (fleet, member) in fleets.iter().zip(members.of()) {
        let state = settings.state_of(&member.connection.target, fleet.desired.tenant.id);
        targets::remember(settings, &args.simulated, fleet, &state)?;
    }
    Ok(())
}

/// Does what was approved, and tells of it as it goes.
///
/// # Errors
/// When a report cannot be written.
pub(super) async fn carry_out(
    settings: &Settings,
    fleets: &[&Fleet],
    members: &mut Members<'_>,
    approved: Vec<(Prepared, Consent)>,
    outlets: &mut Outlets,
) -> Result<Exit, CliError> {
    let clocks: Vec<SharedClock> = members.of().iter().map(|member| member.connection.clock.clone()).collect();
    let (mut progress, mut shown) = (Progress::Silent, Ok(()));
    let mut told = |at: usize, told: Told<'_>| match told {
        Told::Begins => {
            outlets.begin(fleets[at]);
            progress = Progress::new(settings.quiet, settings.watched, settings.err_look, clocks[at].clone());
        }
        Told::Event(event) => progress.event(event),
        Told::Ends(report) => {
            std::mem::replace(&mut progress, Progress::Silent).end();
            let places = |origin| source::place(fleets[at], origin);
            let told = show_report(report, outlets, settings, &places);
            shown = std::mem::replace(&mut shown, Ok(())).and(told);
        }
    };
    let reports = members.carry_out(approved, &mut told).await;
    shown.map(|()| reports.iter().map(exit_of_report).fold(Exit::Done, Exit::worse))
}

/// The plan, on stdout unless that belongs to a report for tools.
pub(super) fn show_plan(plan: &Document, settings: &Settings, on_stdout: bool) -> Result<(), CliError> {
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

/// The plan as it may be carried out.
async fn approve(
    args: &ApplyArgs,
    settings: &Settings,
    member: &Member<'_>,
    prepared: Prepared,
    stop: &Stop,
) -> Result<(Prepared, Consent), CliError> {
    let plan = prepared.cleared.plan();
    if args.auto_approve || !plan.writes() {
        return Ok((prepared, Consent::Unseen));
    }
    if !settings.interactive {
        return Err(CliError::new(Exit::Usage, "there is nobody to ask: this is not a terminal, and nothing was sent")
            .hint(
                "add --auto-approve, or --approve-digest with the digest of a reviewed plan, or an \
                 `AutopilotPlanApproval` with it among the manifests",
            ));
    }
    let organization = member.connection.graph.organization().await.ok().flatten();
    let question = Question {
        tenant: plan.tenant.name.clone(),
        real_name: organization.map(|organization| organization.display_name.to_string()),
        tenant_id: plan.tenant.id.to_string(),
        changes: plan.changes.len(),
        syncs: plan.upkeep.sync.is_some(),
        clean_up: plan.upkeep.clean_up.len(),
        simulated: member.connection.target.is_simulated(),
    };
    let answer = tokio::task::spawn_blocking(move || consent(&question, &mut stdin().lock(), &mut stderr()));
    let yes = tokio::select! {
        answer = answer => answer.is_ok_and(|answer| answer.is_ok_and(|yes| yes)),
        () = stop.asked() => return Err(CliError::new(Exit::Cancelled, "stopped on request; nothing was written")),
    };
    let refused = || CliError::new(Exit::Blocked, "not approved; nothing was written");
    if yes { Ok((prepared, Consent::Seen)) } else { Err(refused()) }
}

/// What a digest that somebody has seen still stands for.
async fn approved_by_digest(
    settings: &Settings,
    members: &mut Members<'_>,
    at: usize,
    prepared: Prepared,
    digest: &str,
) -> Result<(Prepared, Consent), CliError> {
    let standing = members.standing(at, digest, &prepared).await?;
    let plan = prepared.cleared.plan();
    let stale = |what: &str| {
        let message = format!("{what}: its digest is `{}`", plan.digest().sha256);
        CliError::new(Exit::Stale, message)
    };
    let again = "run apgit plan again, look at it, and approve its digest";
    match standing {
        Standing::Same => Ok((prepared, Consent::Seen)),
        Standing::Rest(rest) if rest.is_for_nothing() => {
            let done = if rest.is_done() { "all that was approved is done" } else { "nothing of it can be done now" };
            Err(stale(&format!("{done}, and the plan is another one")).hint(again))
        }
        Standing::Rest(rest) => {
            if !settings.quiet {
                tell(&said_of(&rest, &seen(members.of()[at].name())));
            }
            let consent = if rest.is_whole() { Consent::Resumed } else { Consent::ResumedInPart };
            Ok((prepared.only(&rest.approved), consent))
        }
        Standing::Other => {
            if plan.changes.is_empty() {
                let message = "nothing would be written to a device now: that is not the plan that was approved";
                return Err(CliError::new(Exit::Stale, message).hint(again));
            }
            let mut error = stale("the plan is not the one that was approved");
            if plan.again > 0 {
                error = error
                    .hint("these changes were approved before: an approval is used once, and not remembered for ever");
            }
            if plan.is_limited() {
                error = error
                    .hint("if numbers were approved with the plan (--approve-updates=…), they are part of the command");
            }
            Err(error.hint(again))
        }
    }
}

/// So many reasons are told; one is often that of all.
const REASONS: usize = 10;

/// Found before anything is sent: a run that could register nothing, or half,
/// would only find out row by row.
fn not_readable_here(unreadable: &BTreeMap<String, Vec<DeviceKey>>) -> Option<CliError> {
    let devices: usize = unreadable.values().map(Vec::len).sum();
    if devices == 0 {
        return None;
    }
    let hashes = counted(devices, "hash that is to be sent", "hashes that are to be sent");
    let mut error = CliError::new(Exit::Invalid, format!("cannot use {hashes}; nothing was written"));
    for (reason, devices) in unreadable.iter().take(REASONS) {
        let others = devices.len() - 1;
        let others = if others > 0 { format!(" and {}", counted(others, "other", "others")) } else { String::new() };
        error = error.hint(format!("{}{others}: {reason}", devices[0]));
    }
    if unreadable.len() > REASONS {
        error = error.hint(format!("and {} more reasons like these", unreadable.len() - REASONS));
    }
    let is_encrypted = |reason: &String| reason.contains("age") || reason.contains("sops");
    if unreadable.keys().any(is_encrypted) {
        error = error.hint(
            "`age` and `sops` take the file with your key from SOPS_AGE_KEY_FILE; `apgit hash FILE` tries one file",
        );
    }
    Some(error)
}

/// What is left of an approval, for people.
pub(super) fn said_of(rest: &Rest, name: &str) -> String {
    let Rest { left, others, held, gone, .. } = rest;
    let mut said = match *left {
        0 if rest.is_done() => format!("{name}: all that was approved is done\n"),
        0 => format!("{name}: approved before; nothing of it can be done now\n"),
        left => format!("{name}: approved before; {} left of it\n", counted(left, "change is", "changes are")),
    };
    let mut add = |count: usize, one: &str, more: &str, rest: &str| {
        if count > 0 {
            let _ = writeln!(said, "{name}: {} {rest}", counted(count, one, more));
        }
    };
    add(*others, "other change has come", "other changes have come", "up since, and not part of it: plan again");
    add(
        *held,
        "approved device is",
        "approved devices are",
        "held, waited for, or sent before with an end that nobody saw",
    );
    add(*gone, "approved device is", "approved devices are", "not declared as approved any more");
    said
}

fn show_report(
    report: &Report,
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
        several: outlets.are_of_several(),
        calls: report.calls,
        started: report.started,
        ended: report.ended,
        places,
        exit_code: exit_of_report(report).code(),
    };
    let document = Document::Apply(view.document());
    if !outlets.stdout_is(Format::Text) && !settings.quiet {
        tell(&Format::Text.draw(&document, &settings.err_look));
    }
    outlets.add(document)
}

/// How a run ended, in one number.
fn exit_of_report(report: &Report) -> Exit {
    match report.end() {
        End::Done => Exit::Done,
        End::Limited => Exit::Blocked,
        End::Later => Exit::Later,
        End::Partial => Exit::Partial,
        End::Stopped => Exit::Cancelled,
        End::Access(kind) => exit_of(kind),
        End::Journal => Exit::Failed,
        End::Moved => Exit::Stale,
    }
}
