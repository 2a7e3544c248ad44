//! From declared fleets to the members of a run: connection, journal, hashes.

use crate::clock::Stop;
use crate::connect::Purpose;
use crate::fleet::Member;
use crate::ledger::{FileJournal, Journal};
use crate::manifest::{Fleet, Hashes};
use crate::plan::Approvals;

use super::args::Simulated;
use super::error::CliError;
use super::settings::Settings;
use super::source;

/// Opens the way to a fleet's tenant. To write, its journal is locked: two of
/// us would spoil each other's turn.
///
/// # Errors
/// When the declaration names what cannot be used, or somebody else applies.
pub(super) async fn open<'f>(
    settings: &Settings,
    simulated: &Simulated,
    fleet: &'f Fleet,
    purpose: Purpose,
    approvals: Approvals,
    stop: &Stop,
) -> Result<Member<'f>, CliError> {
    let connection = source::connect(settings, simulated, fleet, purpose, stop).await?;
    let state = settings.state_of(&connection.target, fleet.desired.tenant.id);
    let store = match purpose {
        Purpose::Read => FileJournal::read_only(&state),
        Purpose::Write => FileJournal::open(&state)?,
    };
    let journal = Journal::open(Box::new(store), connection.clock.now()).await?;
    let stop = stop.clone();
    let hashes = Hashes::new(fleet.root.clone()).asking(&settings.allow_key_hosts).until(move || stop.is_asked());
    let hashes = Box::new(hashes);
    Ok(Member { desired: &fleet.desired, connection, journal, hashes, approvals })
}
