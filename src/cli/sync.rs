//! `apgit sync`: the tenant sync, within its limit of one in ten minutes.

use jiff::SignedDuration;

use crate::apply::{Stop, next_sync};
use crate::connect::{Connection, Purpose};
use crate::graph::{ErrorKind, GraphWriter};
use crate::ledger::{Entry, FileJournal, Journal};
use crate::manifest::Fleet;
use crate::render::style::{clean, duration, time_of_day};

use super::args::Source;
use super::error::CliError;
use super::exit::Exit;
use super::settings::{Settings, print, tell};
use super::source;

/// Which tenant, and whether to wait for it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SyncArgs {
    #[command(flatten)]
    pub source: Source,
    /// Wait until the tenant allows a sync, instead of stopping with 9
    #[arg(long)]
    pub when_allowed: bool,
}

/// A sync that runs already is looked at again after this.
const BUSY: SignedDuration = SignedDuration::from_secs(30);

/// # Errors
/// When the tenant takes no sync now, or cannot be asked.
pub(super) async fn run(args: &SyncArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let declared = source::load(settings, &args.source.paths)?;
    for fleet in &declared.fleets {
        let connection = source::connect(settings, &args.source.simulated, fleet, Purpose::Write).await?;
        sync(args, settings, fleet, &connection, stop).await?;
    }
    Ok(Exit::Done)
}

async fn sync(
    args: &SyncArgs,
    settings: &Settings,
    fleet: &Fleet,
    connection: &Connection,
    stop: &Stop,
) -> Result<(), CliError> {
    let Connection { graph, clock, target } = connection;
    let name = clean(&fleet.desired.tenant.name);
    // The lock of an apply: two of us would spoil each other's turn.
    let mut journal =
        Journal::open(Box::new(FileJournal::open(&settings.state_of(target, fleet.desired.tenant.id))?), clock.now())?;
    let writer = GraphWriter::new(graph.clone());
    loop {
        let sync = graph.sync_state().await?;
        let now = clock.now();
        let at = if sync.running { now + BUSY } else { next_sync(Some(&sync), now) };
        if at <= now {
            journal.record(now, vec![Entry::SyncIntent])?;
            let answer = writer.sync().await;
            journal.record(clock.now(), vec![Entry::SyncEnd { accepted: answer.is_ok() }])?;
            match answer {
                Ok(()) => return print(&format!("{name}: sync started {}\n", time_of_day(clock.now()))),
                // Somebody else was faster; the state says when it is our turn.
                Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::Throttled) && args.when_allowed => {
                }
                Err(error) => return Err(error.into()),
            }
        }
        let at = at.max(now + BUSY);
        let left = u64::try_from(at.duration_since(now).as_secs()).unwrap_or_default();
        let why = if sync.running { "a sync is running" } else { "the last sync is less than ten minutes old" };
        if !args.when_allowed {
            let message = format!("{name}: {why}; the next one may start at {}", time_of_day(at));
            return Err(CliError::new(Exit::Later, message).hint("--when-allowed waits for it"));
        }
        tell(&format!("{name}: {why}; waiting until {}, {}\n", time_of_day(at), duration(left)));
        tokio::select! {
            () = clock.sleep_until(at) => {}
            () = stop.asked() => return Err(CliError::new(Exit::Cancelled, "stopped on request; no sync was started")),
        }
    }
}
