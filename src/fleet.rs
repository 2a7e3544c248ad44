//! Rounds over several tenants, one or many alike: every command opens its
//! tenants as the members here, and whoever writes has all of them read and
//! judged before the first write, and has an account of each at the end.

use std::collections::BTreeMap;

use crate::apply::{BATCH, Event, Halt, Outcome, Outcomes, wanted};
use crate::clock::{Stop, Stopped};
use crate::connect::Connection;
use crate::graph::GraphWriter;
use crate::hash::{HashSource, WantedHash};
use crate::ledger::{Entry, Journal, JournalError};
use crate::model::{Desired, DeviceKey, HashError};
use crate::plan::{self, Approvals, Change, Note, Standing};
use crate::round::{Consent, Prepared, Report, Round, RoundError};

/// One tenant of a run, with the ways to it.
pub(crate) struct Member<'a> {
    pub desired: &'a Desired,
    pub connection: Connection,
    pub journal: Journal,
    pub hashes: Box<dyn HashSource>,
    /// What a person has approved beforehand, by number.
    pub approvals: Approvals,
}

impl Member<'_> {
    /// The name by which people know the tenant.
    pub(crate) fn name(&self) -> &str {
        &self.desired.tenant.name
    }

    /// Says what would be done. `settle`: wait for our own writes first.
    ///
    /// # Errors
    /// When the tenant cannot be read to the end.
    pub(crate) async fn prepare(&mut self, settle: bool, stop: &Stop) -> Result<Prepared, RoundError> {
        let Self { desired, connection, journal, hashes, approvals } = self;
        round(desired, connection, hashes.as_ref(), approvals, settle, stop).prepare(journal).await
    }

    /// Holds an approved digest against what would be done. An approval of
    /// which everything is done is spent from here on; what is done from here
    /// on is done under the rest of one.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub(crate) async fn standing(&mut self, digest: &str, prepared: &Prepared) -> Result<Standing, JournalError> {
        let standing = plan::standing(digest, &prepared.cleared, self.desired, &self.journal);
        if let Standing::Rest(rest) = &standing
            && self.journal.spent(digest).is_none()
        {
            let digest = digest.to_owned();
            let entry = if rest.is_done() { Entry::Spent { digest, done: true } } else { Entry::Resumed { digest } };
            self.journal.record(self.connection.graph.service_now(), vec![entry]).await?;
        }
        Ok(standing)
    }

    /// Does what was prepared and consented to; where somebody has asked to
    /// stop before, says of each effect that it was not tried.
    pub(crate) async fn carry_out(
        &mut self,
        prepared: Prepared,
        consent: Consent,
        stop: &Stop,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Report {
        if stop.is_asked() {
            return self.not_reached(prepared);
        }
        let Self { desired, connection, journal, hashes, approvals } = self;
        let writer = GraphWriter::new(connection.graph.clone());
        let round = round(desired, connection, hashes.as_ref(), approvals, true, stop);
        round.carry_out(prepared, consent, &writer, journal, on_event).await
    }

    /// Reads, and keeps nowhere, the hashes that the plan took on trust: what
    /// cannot be read here, with whom it would register.
    ///
    /// # Errors
    /// When somebody asked to stop.
    async fn unreadable(
        &self,
        prepared: &Prepared,
        stop: &Stop,
        unreadable: &mut BTreeMap<String, Vec<DeviceKey>>,
    ) -> Result<(), Stopped> {
        let is_pinned = |change: &&Change| change.notes.contains(&Note::HashNotReadHere);
        let pinned = prepared.cleared.plan().changes.iter().filter(is_pinned);
        let pinned: Vec<(&Change, WantedHash)> = pinned.filter_map(|change| Some((change, wanted(change)?))).collect();
        for chunk in pinned.chunks(BATCH) {
            let asked = chunk.iter().map(|(_, wanted)| wanted.clone()).collect();
            let read = tokio::select! {
                read = self.hashes.read(asked) => read,
                () = stop.asked() => return Err(Stopped),
            };
            for ((change, _), read) in chunk.iter().zip(read) {
                if let Err(HashError::NotHere(message) | HashError::Unusable(message)) = read {
                    unreadable.entry(message).or_default().push(change.effect.device.clone());
                }
            }
        }
        Ok(())
    }

    /// The account of a tenant that the run did not come to.
    fn not_reached(&self, prepared: Prepared) -> Report {
        let changes = prepared.cleared.plan().changes.iter();
        let of = changes.map(|change| (change.clone(), Outcome::not_reached())).collect();
        let now = self.connection.clock.now();
        Report {
            outcomes: Outcomes { of, cancelled: true, ..Outcomes::default() },
            left: None,
            calls: prepared.calls,
            started: now,
            ended: now,
            halt: Some(Halt::Asked),
            prepared,
        }
    }
}

fn round<'r>(
    desired: &'r Desired,
    connection: &'r Connection,
    hashes: &'r dyn HashSource,
    approvals: &'r Approvals,
    settle: bool,
    stop: &'r Stop,
) -> Round<'r> {
    let Connection { graph, clock, target } = connection;
    Round { desired, target, graph, clock: clock.as_ref(), hashes, approvals, settle, stop }
}

/// Makes sure that every hash which a plan took on trust can be read, before
/// anything is sent to any tenant: by what is wrong, which devices it keeps from
/// being registered. Empty if all is well.
///
/// # Errors
/// When somebody asked to stop.
pub(crate) async fn unreadable_hashes(
    members: &[Member<'_>],
    prepared: impl Iterator<Item = &Prepared>,
    stop: &Stop,
) -> Result<BTreeMap<String, Vec<DeviceKey>>, Stopped> {
    let mut all = BTreeMap::new();
    for (member, prepared) in members.iter().zip(prepared) {
        member.unreadable(prepared, stop, &mut all).await?;
    }
    Ok(all)
}

/// Prepares all tenants, one after the other. The first that cannot be read
/// ends it: nothing has been written anywhere.
///
/// # Errors
/// With the place of the tenant among `members`.
pub(crate) async fn prepare(members: &mut [Member<'_>], stop: &Stop) -> Result<Vec<Prepared>, (usize, RoundError)> {
    let mut all = Vec::with_capacity(members.len());
    for (at, member) in members.iter_mut().enumerate() {
        all.push(member.prepare(true, stop).await.map_err(|error| (at, error))?);
    }
    Ok(all)
}
