//! `apgit apply FILE`: a plan that was saved, seen and approved, carried out.
//! Where its tenants are, how to sign in and where hashes are is for manifests to
//! say; what is done is for the plan, and less of it where something has moved.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::clock::Stop;
use crate::connect::Purpose;
use crate::fleet::Members;
use crate::manifest::Fleet;
use crate::model::seen;
use crate::plan::Moved;
use crate::render::Format;
use crate::render::style::{counted, moment};
use crate::round::{Consent, Goes, Prepared, Stale, TakenUp};

use super::apply::{ApplyArgs, StaleWord, before, carry_out, said_of, show_plan};
use super::error::CliError;
use super::exit::Exit;
use super::ledgers;
use super::members::Opener;
use super::plan::fail_on;
use super::progress::reading;
use super::report::Outlets;
use super::saved::{self, AGAIN, SavedPlan};
use super::settings::{Settings, tell};
use super::source::{self, Declared};

/// So many devices are named.
const MOVED_SHOWN: usize = 50;

/// All tenants are read and held against their plans before the first write to
/// any.
///
/// # Errors
/// When the plan is not for these tenants or not for this time, when something
/// has moved, or when a tenant cannot be read. Nothing was written then.
pub(super) async fn run(
    args: &ApplyArgs,
    file: &Path,
    paths: &[PathBuf],
    settings: &Settings,
    stop: &Stop,
    outlets: &mut Outlets,
) -> Result<Exit, CliError> {
    refuse(args)?;
    let mut plans = saved::read(file, settings.tenant.as_deref())?;
    let declared = source::load(settings, paths, &args.simulated)?;
    outlets.over(plans.tenants.len());
    for plan in &plans.tenants {
        fleet_of(plan, &declared)?;
    }
    if plans.tenants.iter().all(|plan| !plan.applicable) {
        let message = format!("the saved plan `{}` cannot be applied: it would write nothing", file.display());
        return Err(CliError::new(Exit::Stale, message).hint("`apgit show FILE` says what it holds, and why"));
    }
    let documents: Vec<_> =
        plans.tenants.iter().map(|plan| plans.document(plan, fail_on(&args.fails_on, &plan.prepared))).collect();
    let is_refused = plans.tenants.iter().any(|plan| fail_on(&args.fails_on, &plan.prepared).is_some());
    for document in &documents {
        show_plan(document, settings, outlets.stdout_is(Format::Text))?;
    }
    if is_refused {
        documents.into_iter().for_each(|document| outlets.keep(document));
        return Ok(Exit::Blocked);
    }
    plans.tenants.retain(|plan| plan.applicable);
    let mut fleets: Vec<&Fleet> = Vec::with_capacity(plans.tenants.len());
    for plan in &plans.tenants {
        fleets.push(fleet_of(plan, &declared)?);
    }
    let mut opener = Opener::new(settings, &args.simulated, &declared, Purpose::Write, stop)
        .approved(args.approver.clone(), vec!["savedPlan"; fleets.len()]);
    let members = opener.open_saved(fleets.iter().copied().zip(&plans.tenants)).await;
    let mut members = members.map_err(|error| outlets.of(&fleets, error))?;
    for (at, (plan, member)) in plans.tenants.iter().zip(members.of()).enumerate() {
        let (planned, target) = (plan.prepared.cleared.plan().target.name(), member.connection.target.name());
        if planned != target {
            let message = format!("the plan is for `{}`, and the tenant is at `{}`", seen(planned), seen(target));
            return Err(outlets.of(&fleets, (at, CliError::new(Exit::Stale, message).hint(AGAIN))));
        }
    }
    if let Some(refused) = ledgers::refuses(&members, args.allow_source.as_deref()) {
        return Err(outlets.of(&fleets, refused));
    }
    let prepared = reading(settings, &fleets, members.prepare()).await;
    let prepared = prepared.map_err(|error| outlets.of(&fleets, error))?;
    let stale = if args.stale == Some(StaleWord::Skip) { Stale::Skip } else { Stale::Abort };
    let mut goes = Vec::with_capacity(fleets.len());
    for (at, (plan, prepared)) in plans.tenants.iter().zip(prepared).enumerate() {
        match take_up(plan, prepared, stale, at, &members) {
            Ok(taken) => goes.push(taken),
            Err(error) => return Err(outlets.of(&fleets, (at, error))),
        }
    }
    before(args, settings, &fleets, &mut members, goes.iter().map(|goes| &goes.prepared)).await?;
    let mut approved: Vec<(Prepared, Consent)> = Vec::with_capacity(goes.len());
    for (at, goes) in goes.into_iter().enumerate() {
        if !settings.quiet {
            tell(&said(&goes, members.of()[at].name()));
        }
        let taken = members.taken_up(at, *goes).await;
        approved.push(taken.map_err(|error| outlets.of(&fleets, (at, error)))?);
    }
    carry_out(settings, &fleets, &mut members, approved, outlets).await
}

/// What was approved is in the file: nothing else can be approved beside it.
fn refuse(args: &ApplyArgs) -> Result<(), CliError> {
    let usage = |flag: &str, hint: &str| {
        Err(CliError::new(Exit::Usage, format!("`{flag}` makes no sense beside a saved plan")).hint(hint))
    };
    if args.auto_approve {
        return usage("--auto-approve", "nobody is asked: the file is the approval");
    }
    if !args.digests.approve_digest.is_empty() {
        return usage("--approve-digest", "the file has its digest, and is applied under that");
    }
    if let Some(flag) = args.numbers.first() {
        return usage(flag, "say it when the plan is made: apgit plan --out FILE takes it, too");
    }
    if !args.selection.is_empty() {
        return usage(
            "--target and --exclude",
            "narrow the plan when it is made: apgit plan --out FILE takes them, too",
        );
    }
    Ok(())
}

/// The declared tenant that a plan is for.
fn fleet_of<'d>(plan: &SavedPlan, declared: &'d Declared) -> Result<&'d Fleet, CliError> {
    let SavedPlan { tenant: name, tenant_id, owner, prepared, .. } = plan;
    let is_of = |fleet: &&Fleet| fleet.desired.tenant.id == *tenant_id && fleet.desired.tenant.owner == *owner;
    let stale = |what: String| Err(CliError::new(Exit::Stale, what).hint(AGAIN));
    let Some(fleet) = declared.fleets.iter().find(is_of) else {
        let of_tenant = declared.fleets.iter().find(|fleet| fleet.desired.tenant.id == *tenant_id);
        let (name, owner) = (seen(name), seen(owner));
        return match of_tenant {
            Some(other) => stale(format!(
                "the plan is of owner `{owner}`, and what is declared for tenant {tenant_id} is of owner `{}`",
                seen(&other.desired.tenant.owner)
            )),
            None => stale(format!(
                "the plan is for tenant `{name}` ({tenant_id}), which is not declared under `{}`",
                declared.root
            )),
        };
    };
    let (planned, policy) = (prepared.cleared.plan().tenant.policy, fleet.desired.tenant.policy);
    if planned != policy {
        let (planned, policy) = (planned.name(), policy.name());
        return stale(format!("the plan was made under the policy `{planned}`, and `{policy}` is declared"));
    }
    Ok(fleet)
}

/// Holds the plan of one tenant against what would be done there now.
fn take_up(
    plan: &SavedPlan,
    now: Prepared,
    stale: Stale,
    at: usize,
    members: &Members<'_>,
) -> Result<Box<Goes>, CliError> {
    let error = |message: String| Err(CliError::new(Exit::Stale, message).hint(AGAIN));
    // The service has answered by now, so that its time is known.
    let time = members.of()[at].connection.graph.service_now();
    let has_expired = time >= plan.ends_at();
    match members.take_up(at, now, stale) {
        // That all is done can be said at any time.
        TakenUp::Goes(goes) if !has_expired || !goes.prepared.cleared.plan().writes() => Ok(goes),
        _ if has_expired => {
            error(format!("the plan has expired: it could be applied until {}", moment(plan.ends_at())))
        }
        TakenUp::Goes(goes) => Ok(goes),
        TakenUp::Moved(moved) => Err(not_as_planned(&moved, plan)),
        TakenUp::Used { done: true } => {
            error("all that was planned is done, and what would be done now is another thing".to_owned())
        }
        TakenUp::Used { done: false } => {
            error("the plan was applied before, and its changes are undone: a plan is used once".to_owned())
        }
        TakenUp::Begun => error(
            "the plan was begun on another machine, and what that has sent is not known here: a plan is used once"
                .to_owned(),
        ),
        TakenUp::Elsewhere => error("the plan was approved for another target".to_owned()),
    }
}

/// Device by device, what is in the way.
fn not_as_planned(moved: &[Moved], plan: &SavedPlan) -> CliError {
    let all = plan.prepared.cleared.plan().changes.len();
    let all = counted(all, "device", "devices");
    let verb = if moved.len() == 1 { "is" } else { "are" };
    let message = format!("{} of {all} {verb} not as planned; nothing was written", moved.len());
    let mut error = CliError::new(Exit::Stale, message);
    for moved in moved.iter().take(MOVED_SHOWN) {
        error = error.hint(format!("{} ({}): {}", moved.device, moved.reason, moved.sentence()));
    }
    if moved.len() > MOVED_SHOWN {
        error = error.hint(format!("and {}", counted(moved.len() - MOVED_SHOWN, "device more", "devices more")));
    }
    error.hint(format!("{AGAIN}; or leave these out with --stale=skip"))
}

/// What becomes of the plan, where that is not all of it.
fn said(goes: &Goes, name: &str) -> String {
    let name = seen(name);
    let mut said = match &goes.rest {
        Some(rest) => said_of(rest, &name),
        None => String::new(),
    };
    let already = goes.already.len();
    if already > 0 {
        let devices = counted(already, "device is", "devices are");
        let _ = writeln!(said, "{name}: {devices} as planned already");
    }
    if !goes.moved.is_empty() {
        let devices = counted(goes.moved.len(), "device is", "devices are");
        let _ = writeln!(said, "{name}: {devices} not as planned, and left out");
    }
    said
}
