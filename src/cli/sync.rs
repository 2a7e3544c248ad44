//! `apgit sync`: the tenant sync, within its limit of one in ten minutes.

use std::collections::HashSet;

use crate::clock::{self, Stop};
use crate::connect::{Connection, Purpose};
use crate::fleet::Member;
use crate::graph::GraphWriter;
use crate::manifest::Fleet;
use crate::model::seen;
use crate::plan::Approvals;
use crate::render::style::{duration, time_of_day};
use crate::round::{RoundError, SyncAnswer, ask_for_sync};

use super::args::Source;
use super::error::CliError;
use super::exit::Exit;
use super::members::Opener;
use super::settings::{Settings, print, tell};
use super::{source, targets};

/// Which tenant, and whether to wait for it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SyncArgs {
    #[command(flatten)]
    pub source: Source,
    /// Wait until the tenant allows a sync, instead of stopping with 9
    #[arg(long)]
    pub when_allowed: bool,
}

/// # Errors
/// When the tenant takes no sync now, or cannot be asked.
pub(super) async fn run(args: &SyncArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let simulated = &args.source.simulated;
    let declared = source::load(settings, &args.source.paths, simulated)?;
    declared.fleets.iter().try_for_each(may_sync)?;
    let mut opener = Opener::new(settings, simulated, Purpose::Write, stop);
    let mut all = Vec::with_capacity(declared.fleets.len());
    let mut asked = HashSet::new();
    for fleet in &declared.fleets {
        let member = opener.open(fleet, Approvals::default()).await?;
        // Who owns devices in one tenant has one sync with the others.
        let target = member.connection.target.name().to_owned();
        if asked.insert((target, fleet.desired.tenant.id)) {
            all.push((fleet, member));
        }
    }
    for (fleet, member) in all {
        let state = settings.state_of(&member.connection.target, fleet.desired.tenant.id);
        sync(args, member, stop).await?;
        targets::remember(settings, simulated, fleet, &state)?;
    }
    Ok(Exit::Done)
}

/// A sync is a write like any other.
fn may_sync(fleet: &Fleet) -> Result<(), CliError> {
    let tenant = &fleet.desired.tenant;
    if tenant.may_be_written() {
        return Ok(());
    }
    let name = seen(&tenant.name);
    let (why, hint) = match tenant.suspend {
        true => ("it is suspended in its declaration".to_owned(), "remove `suspend: true` from the tenant"),
        false => (format!("its policy is `{}`", tenant.policy.name()), "change `policy` of the tenant"),
    };
    Err(CliError::new(Exit::Blocked, format!("{name}: nothing may be written to this tenant: {why}")).hint(hint))
}

async fn sync(args: &SyncArgs, member: Member<'_>, stop: &Stop) -> Result<(), CliError> {
    let name = seen(member.name()).into_owned();
    let Member { connection: Connection { graph, clock, .. }, mut journal, .. } = member;
    let writer = GraphWriter::new(graph);
    loop {
        let stopped = || CliError::new(Exit::Cancelled, "stopped on request; a sync may have started");
        let answer = ask_for_sync(&writer, clock.as_ref(), &mut journal, None).await.map_err(|error| match error {
            RoundError::Stopped => stopped(),
            error => error.into(),
        })?;
        let (at, why) = match answer {
            SyncAnswer::Started { at } => return print(&format!("{name}: sync started {}\n", time_of_day(at))),
            SyncAnswer::Covered => return Ok(()),
            // A request that was given up may have arrived.
            SyncAnswer::Refused(_) | SyncAnswer::Later { .. } if stop.is_asked() => return Err(stopped()),
            SyncAnswer::Refused(error) => return Err(error.into()),
            SyncAnswer::Later { at, why } => (at, why),
        };
        if !args.when_allowed {
            let message = format!("{name}: {why}; the next one may start at {}", time_of_day(at));
            return Err(CliError::new(Exit::Later, message).hint("--when-allowed waits for it"));
        }
        let left = u64::try_from(at.duration_since(clock.now()).as_secs()).unwrap_or_default();
        tell(&format!("{name}: {why}; waiting until {}, {}\n", time_of_day(at), duration(left)));
        clock::wait(clock.as_ref(), stop, at).await.map_err(|_| stopped())?;
    }
}
