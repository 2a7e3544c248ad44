//! A run: the approved plan carried out in repeated rounds, until nothing is
//! left, or a round moved nothing.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::apply::{self, Event, Execution, FRESH_FOR, Halt, Order, Outcomes, SyncOutcome, Tools, Work};
use crate::ledger::Entry;
use crate::model::{Device, DeviceKey, RegistrationId, later};
use crate::plan::{Plan, guard};

use super::account::Account;
use super::observe::Reading;
use super::{Consent, Prepared, Round, RoundError, approval, followed};

/// A run repeats its round at most this often: what four rounds do not settle
/// needs time or a person.
const ROUNDS: u32 = 4;

/// One run under way.
pub(super) struct Run<'a> {
    pub(super) round: Round<'a>,
    pub(super) first: &'a Prepared,
    pub(super) tools: Tools<'a>,
    pub(super) account: Account<'a>,
    pub(super) sync: SyncOutcome,
    /// What became of a sync that did not wait for the end.
    pub(super) early: Option<SyncOutcome>,
    pub(super) cleaned: usize,
    /// Until then, by our own clock, no sync is asked for.
    pub(super) sync_not_before: Option<Timestamp>,
    gate_closed: Option<String>,
    /// When an import of this run was last seen without an end, by our own clock.
    pub(super) running_at: Option<Timestamp>,
    /// Registrations as last read.
    readings: Vec<(RegistrationId, Option<Device>)>,
    left: Option<Plan>,
}

impl<'a> Run<'a> {
    pub(super) fn new(round: Round<'a>, first: &'a Prepared, tools: Tools<'a>) -> Self {
        Self {
            round,
            first,
            tools,
            account: Account::new(&first.cleared.plan().changes),
            sync: SyncOutcome::NotNeeded,
            early: None,
            cleaned: 0,
            sync_not_before: None,
            gate_closed: None,
            running_at: None,
            readings: Vec::new(),
            left: None,
        }
    }

    /// `halted`: the run did not come to its end, and what it did not come to is
    /// owed.
    pub(super) fn into_parts(self, halted: bool) -> (Outcomes, Option<Plan>) {
        let owes = halted && self.sync == SyncOutcome::NotNeeded && self.tools.journal.unsynced().is_some();
        let Self { account, sync, early, cleaned, gate_closed, left, .. } = self;
        let stopped = || SyncOutcome::Skipped { message: "the run halted before it".to_owned() };
        let sync = if owes { stopped() } else { early.filter(|_| halted).unwrap_or(sync) };
        (Outcomes { of: account.close(), sync, cleaned, gate_closed, cancelled: false }, left)
    }

    /// Carries the changes out and closes their account, also where the run
    /// has to halt.
    pub(super) async fn run(&mut self, consent: Consent) -> Result<(), Halt> {
        let ended = self.rounds(consent).await;
        if let Some(left) = &self.left {
            self.account.settle(left, self.tools.writer.service_now());
        }
        ended?;
        self.spend(consent).await
    }

    /// An approval of which everything is done covers nothing more, whatever
    /// others do to its devices.
    async fn spend(&mut self, consent: Consent) -> Result<(), Halt> {
        let plan = self.first.cleared.plan();
        if plan.is_empty() || consent.is_resumed() || !self.account.is_done() {
            return Ok(());
        }
        self.tools.record(vec![Entry::Spent { digest: plan.digest().sha256, done: true }]).await
    }

    async fn rounds(&mut self, consent: Consent) -> Result<(), Halt> {
        let first = self.first;
        let plan = first.cleared.plan();
        if plan.is_empty() {
            return Ok(());
        }
        let entries = if consent.is_resumed() { followed(plan) } else { approval(plan) };
        self.tools.record(entries).await?;
        let (read, now) = (first.read_at, self.tools.clock.now());
        let is_fresh = consent == Consent::Unseen && read <= now && now < later(read, FRESH_FOR);
        let (mut read_at, mut records_at) = (is_fresh.then_some(read), is_fresh.then_some(read));
        let (mut cleared, mut schedule) = (first.cleared.clone(), first.schedule.clone());
        for number in 1..=ROUNDS {
            let changes = &cleared.plan().changes;
            if changes.is_empty() {
                return Ok(());
            }
            self.tools.tell(Event::Round { number, changes: changes.len() });
            // What a halt leaves behind is not settled by an older plan.
            self.left = None;
            let order = Order { cleared: &cleared, schedule: &schedule, read_at, records_at };
            let mut work = Work::begin(order, self.tools.clock.now());
            let halt = self.work(&mut work).await.err();
            let Execution { outcomes, readings, gate_closed, running_at, halt } = work.end(halt, &self.tools);
            // A round that moved nothing, and met nothing that may pass, is the last.
            let mut sent = changes.iter().zip(&outcomes).filter(|(change, _)| !change.action().is_bookkeeping());
            let worth_another = sent.any(|(_, outcome)| outcome.is_worth_another_round());
            self.account.take(changes, outcomes);
            self.readings.extend(readings);
            self.running_at = self.running_at.max(running_at);
            self.gate_closed = gate_closed.or(self.gate_closed.take());
            halt.map_or(Ok(()), Err)?;
            let plan = self.follow_up().await?;
            let approved = first.cleared.approved().minding(self.tools.journal.consent());
            cleared = guard::clear_follow_up(plan, &approved, self.round.approvals);
            schedule = apply::schedule(&cleared, None, self.round.graph.service_now());
            self.left = Some(cleared.plan().clone());
            (read_at, records_at) = (None, Some(self.tools.clock.now()));
            if !worth_another || self.gate_closed.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Devices wait for the sync, and nobody for what is read back: so the
    /// tenant syncs as soon as nothing more is to be registered.
    async fn work(&mut self, work: &mut Work<'_>) -> Result<(), Halt> {
        if work.import(&mut self.tools).await? {
            self.sync_early().await?;
        }
        work.complete(&mut self.tools).await
    }

    /// Plans again, over the devices that something was sent for.
    async fn follow_up(&mut self) -> Result<Plan, Halt> {
        // What only the ledger hears of is not read, and has no other end.
        let sent = self.account.sent().filter(|change| !change.action().is_bookkeeping());
        let sent: HashSet<DeviceKey> = sent.map(|change| change.effect.device.clone()).collect();
        let desired = self.round.desired.part(|claim| sent.contains(&claim.key()));
        let reading = Reading::again(&self.round, self.account.sent(), &self.readings, self.tools.journal).await;
        let reading = reading.map_err(RoundError::from)?;
        Ok(self.round.plan(&desired, reading, self.tools.journal).await?)
    }
}
