//! From declared fleets to the members of a run: connection, journal, hashes.

use crate::clock::Stop;
use crate::connect::Purpose;
use crate::fleet::Member;
use crate::ledger::{FileJournal, Journal, folder_within};
use crate::manifest::{Fleet, Hashes};
use crate::plan::Approvals;

use super::args::Simulated;
use super::error::CliError;
use super::progress::reading;
use super::settings::Settings;
use super::simulated::Tenants;
use super::source;

/// Opens the ways of one run.
pub(super) struct Opener<'s> {
    pub settings: &'s Settings,
    purpose: Purpose,
    tenants: Tenants<'s>,
    stop: &'s Stop,
}

impl<'s> Opener<'s> {
    pub(super) fn new(settings: &'s Settings, simulated: &'s Simulated, purpose: Purpose, stop: &'s Stop) -> Self {
        Self { settings, purpose, tenants: Tenants::new(settings, simulated, purpose), stop }
    }

    /// Opens the way to a fleet's tenant. To write, its owner's journal is
    /// locked: two of us would spoil each other's turn.
    ///
    /// # Errors
    /// When the declaration names what cannot be used, or somebody else applies.
    pub(super) async fn open<'f>(&mut self, fleet: &'f Fleet, approvals: Approvals) -> Result<Member<'f>, CliError> {
        let Self { settings, purpose, tenants, stop } = self;
        let tenant = &fleet.desired.tenant;
        let connect = source::connect(settings, tenants, fleet, *purpose, stop);
        let connection = reading(settings, &tenant.name, connect).await?;
        let state = settings.state_of(&connection.target, tenant.id);
        let owner = state.join("owners").join(&tenant.owner);
        let store = match purpose {
            Purpose::Read => FileJournal::read_only(&owner),
            Purpose::Write => {
                folder_within(&settings.state_dir, &owner).map_err(|error| CliError::file("create", &owner, &error))?;
                FileJournal::open(&owner)?
            }
        };
        let journal = Journal::open(Box::new(store), connection.clock.now()).await?;
        let stop = stop.clone();
        let hashes = Hashes::new(fleet.root.clone()).asking(&settings.allow_key_hosts).until(move || stop.is_asked());
        let hashes = Box::new(hashes);
        Ok(Member { desired: &fleet.desired, connection, journal, hashes, approvals })
    }
}
