//! `apgit sync`: the tenant sync, within its limit of one in ten minutes.

use crate::clock::Stop;
use crate::connect::Purpose;
use crate::fleet::{NoSync, SyncNews};
use crate::manifest::Fleet;
use crate::model::seen;
use crate::plan::Approvals;
use crate::render::style::{duration, time_of_day};

use super::args::Source;
use super::error::CliError;
use super::exit::Exit;
use super::members::Opener;
use super::progress::patiently;
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
    let fleets = &declared.fleets;
    let mut opener = Opener::new(settings, simulated, &declared, Purpose::Write, stop);
    let each = fleets.iter().map(|fleet| (fleet, Approvals::default()));
    let (mut members, errors) = opener.open_each(each).await;
    let mut exit = Exit::Done;
    let mut fail = |error: CliError, name: &str| {
        let error = if fleets.len() > 1 { error.of_tenant(name) } else { error };
        tell(&error.text(&settings.err_look));
        exit = exit.worse(error.exit);
    };
    let mut opened = Vec::with_capacity(fleets.len());
    for (fleet, error) in fleets.iter().zip(errors) {
        match error {
            Some(error) => fail(error, &fleet.desired.tenant.name),
            None => opened.push(fleet),
        }
    }
    let mut printed = Ok(());
    let mut told = |at: usize, news: SyncNews| {
        let name = seen(&opened[at].desired.tenant.name);
        match news {
            SyncNews::Started { at } => {
                let told = print(&format!("{name}: sync started {}\n", time_of_day(at)));
                printed = std::mem::replace(&mut printed, Ok(())).and(told);
            }
            SyncNews::Waits { at, now, why } => {
                let left = u64::try_from(at.duration_since(now).as_secs()).unwrap_or_default();
                tell(&format!("{name}: {why}; waiting until {}, {}\n", time_of_day(at), duration(left)));
            }
        }
    };
    let asked = members.sync(args.when_allowed, &mut told);
    // Who waits for the tenant is told until when, once.
    let answers = match args.when_allowed {
        true => asked.await,
        false => patiently(settings, "asking for a sync", asked).await,
    };
    for (at, answer) in answers {
        let (fleet, member) = (opened[at], &members.of()[at]);
        match answer {
            Ok(()) => {
                let state = settings.state_of(&member.connection.target, fleet.desired.tenant.id);
                targets::remember(settings, simulated, fleet, &state)?;
            }
            Err(error) => {
                fail(said_of(error), member.name());
            }
        }
    }
    printed.map(|()| exit)
}

fn said_of(error: NoSync) -> CliError {
    match error {
        NoSync::Later { at, why } => {
            let message = format!("{why}; the next one may start at {}", time_of_day(at));
            CliError::new(Exit::Later, message).hint("--when-allowed waits for it")
        }
        NoSync::Refused(error) => error.into(),
        NoSync::Journal(error) => error.into(),
        NoSync::Frozen(frozen) => CliError::new(Exit::Blocked, format!("a freeze is on: {}", seen(&frozen.sentence())))
            .hint("the next apply after it asks for the sync that is owed"),
        NoSync::NotAsked => CliError::new(Exit::Cancelled, "stopped on request before it was asked for a sync"),
        NoSync::Stopped => CliError::new(Exit::Cancelled, "stopped on request; a sync may have started"),
    }
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
