//! A plan that was saved, and is to be carried out now: only what it touches is
//! read again, and what is done of it may be less, never more.

use std::collections::{HashMap, HashSet};

use crate::apply::{self, Outcome};
use crate::ledger::{Entry, Journal, Ledger, SentTag};
use crate::model::{Action, Deregister, Desired, DeviceKey, RegistrationId, Release};
use crate::plan::{
    Approved, Change, Moved, Plan, Removals, Rest, Standing, Waiting, guard, has_synced_since, is_begun_elsewhere,
    moved, standing, waits,
};

use super::observe::Reading;
use super::{Consent, Prepared, Report, Round, RoundError, approval};

/// What becomes of a saved plan of which a part cannot be done as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// None of it is done.
    Abort,
    /// The rest is done.
    Skip,
}

/// How a saved plan stands today. Nothing is written yet, to the journal either.
#[derive(Debug)]
pub enum TakenUp {
    /// This may be done.
    Goes(Box<Goes>),
    /// These are not as they were planned.
    Moved(Vec<Moved>),
    /// It was made use of, and is no consent to what would be done now.
    Used {
        /// True if all of it is done.
        done: bool,
    },
    /// Another machine has begun it, and what that has sent is not known here.
    Begun,
    /// It was approved for another target.
    Elsewhere,
}

/// What may be done of a saved plan.
#[derive(Debug)]
pub struct Goes {
    /// What is left to do.
    pub prepared: Prepared,
    /// How it is consented to.
    pub consent: Consent,
    /// For the journal, before the first write.
    pub entries: Vec<Entry>,
    /// Of a plan that was taken up before, what is left of it.
    pub rest: Option<Box<Rest>>,
    /// What is left out.
    pub moved: Vec<Moved>,
    /// What need not be done: it is there, or under way, without this run.
    pub already: Vec<(DeviceKey, Outcome)>,
}

/// Holds a saved plan against what would be done now. Whoever looked at it has
/// approved it; the journal knows what use was made of that, and the ledger whether
/// any was made elsewhere. `broke_off` is the plan that this machine began last and
/// did not end.
#[must_use]
pub fn take_up(
    saved: &Plan,
    now: Prepared,
    stale: Stale,
    desired: &Desired,
    memory: &Journal,
    ledger: Option<&Ledger>,
    broke_off: Option<&str>,
) -> TakenUp {
    let digest = saved.digest();
    let is_begun = is_begun_elsewhere(&digest, memory, ledger, broke_off);
    let digest = digest.sha256;
    let goes = |prepared, consent| Goes {
        prepared,
        consent,
        entries: Vec::new(),
        rest: None,
        moved: Vec::new(),
        already: Vec::new(),
    };
    let known = memory.approval(&digest);
    match memory.spent(&digest) {
        Some(true) if now.cleared.plan().is_empty() => {
            let rest = Some(Box::default());
            return TakenUp::Goes(Box::new(Goes { rest, ..goes(now, Consent::Resumed) }));
        }
        Some(done) => return TakenUp::Used { done },
        None if is_begun => return TakenUp::Begun,
        None if known.is_some_and(|known| known.target != saved.target) => return TakenUp::Elsewhere,
        None => {}
    }
    let rest = match standing(&digest, &now.cleared, desired, memory) {
        Standing::Same => return TakenUp::Goes(Box::new(goes(now, Consent::Seen))),
        Standing::Rest(rest) => Some(rest),
        Standing::Other => None,
    };
    let planned = || Approved::of(saved.changes.iter().map(|change| &change.effect)).loosening(&saved.loosens);
    let approved = known.map_or_else(planned, Approved::rest);
    let moved = moved(saved, &approved, now.cleared.plan(), desired);
    // What was done under this consent, and others have undone.
    if known.is_some() && rest.is_none() && moved.is_empty() {
        return TakenUp::Used { done: false };
    }
    if let Some(rest) = rest.as_ref().filter(|rest| rest.is_for_nothing() && moved.is_empty()) {
        return TakenUp::Used { done: rest.is_done() };
    }
    if stale == Stale::Abort && !moved.is_empty() {
        return TakenUp::Moved(moved);
    }
    let already = already(saved, &approved, now.cleared.plan(), &moved);
    let prepared = now.only(&approved);
    let is_done = rest.as_ref().is_some_and(|rest| rest.is_done());
    let entries = match known {
        _ if is_done => vec![Entry::Spent { digest, done: true }],
        Some(_) => vec![Entry::Resumed { digest }],
        // Nothing of it is made use of.
        None if prepared.cleared.plan().is_empty() => Vec::new(),
        None => approval(saved),
    };
    let is_whole = moved.is_empty() && rest.as_ref().is_none_or(|rest| rest.is_whole());
    let consent = if is_whole { Consent::Resumed } else { Consent::ResumedInPart };
    TakenUp::Goes(Box::new(Goes { entries, rest, moved, already, ..goes(prepared, consent) }))
}

/// Effects that are not made use of, and of which nothing is left to do.
fn already(saved: &Plan, approved: &Approved, now: &Plan, moved: &[Moved]) -> Vec<(DeviceKey, Outcome)> {
    let moved: HashSet<&DeviceKey> = moved.iter().map(|moved| &moved.device).collect();
    let unchanged: HashMap<&DeviceKey, _> = now.unchanged.iter().map(|(device, id)| (device, *id)).collect();
    let waiting: HashMap<&DeviceKey, &Waiting> = now.awaiting.iter().map(|of| (&of.device, &of.what)).collect();
    let open = saved.changes.iter().map(|change| &change.effect.device);
    let open = open.filter(|device| approved.is_unused(device) && !moved.contains(*device));
    let outcome = |device: &DeviceKey| match (unchanged.get(device), waiting.get(device)) {
        (Some(id), _) => Some(Outcome::Done { registration_id: *id, at: now.observed_at }),
        (None, Some(Waiting::Registration { since } | Waiting::Values { since, .. } | Waiting::Gone { since })) => {
            Some(Outcome::Awaiting { since: *since })
        }
        (None, Some(Waiting::Vendor) | None) => None,
    };
    open.filter_map(|device| Some((device.clone(), outcome(device)?))).collect()
}

impl Round<'_> {
    /// Reads what a saved plan touches, and says what would be done there now.
    /// The tenant is not listed.
    ///
    /// # Errors
    /// When what it touches cannot be read.
    pub async fn prepare_again(&self, saved: &Plan, journal: &mut Journal) -> Result<Prepared, RoundError> {
        let (calls, read_at) = (self.graph.calls(), self.clock.now());
        let touched: HashSet<&DeviceKey> = saved.changes.iter().map(|change| &change.effect.device).collect();
        let desired = self.desired.part(|claim| touched.contains(&claim.key()));
        let sync = self.sync_state().await?;
        let removals = self.removals_of(saved);
        let sent: Vec<SentTag> = journal.sent_tags().collect();
        let waits = waits(saved, desired.tenant.rollout, self.ledger.map(AsRef::as_ref), &sent);
        let reading = Reading::touched(self, saved, removals, sync.clone()).await?.waiting(waits);
        let mut plan = self.plan(&desired, reading, journal).await?;
        // Percentages are of the tenant, of which little was read; and of no more
        // devices than are declared, whatever a file says.
        let managed = saved.counts.managed.min(self.desired.claims().len());
        plan.counts.managed = plan.counts.managed.max(managed);
        if plan.tenant.may_be_written() {
            let owed = journal.unsynced().filter(|since| !sync.as_ref().is_some_and(|s| has_synced_since(s, *since)));
            plan.upkeep = saved.upkeep.now(&plan.changes, owed, &journal.ended_records());
            // A sync for a vendor's sake is part of the plan once, like all of it.
            let digest = saved.digest().sha256;
            if journal.spent(&digest).is_some() || journal.approval(&digest).is_some() {
                plan.upkeep = plan.upkeep.without_vendor();
            }
        }
        let cleared = guard::clear(plan, self.approvals);
        let cleared = cleared.told_from(journal, self.ledger.map(AsRef::as_ref), self.broke_off);
        let schedule = apply::schedule(&cleared, sync.as_ref(), self.graph.service_now());
        Ok(Prepared { cleared, schedule, sync, calls: self.graph.calls() - calls, read_at })
    }
}

impl Round<'_> {
    /// What of a saved plan may be removed still: it is among what was applied,
    /// and declared nowhere.
    fn removals_of(&self, saved: &Plan) -> Removals {
        let Some(ledger) = self.ledger else { return Removals::None };
        let planned: HashSet<RegistrationId> = saved
            .changes
            .iter()
            .filter_map(|change| match change.action() {
                Action::Deregister(Deregister { id, .. }) | Action::Release(Release { id, .. }) => Some(*id),
                _ => None,
            })
            .collect();
        Removals::only(self.desired, ledger, self.no_removal, &planned)
    }
}

impl Report {
    /// The account of a saved plan: of every effect that this run had to do with,
    /// in the order of the plan.
    pub fn of_saved(self, saved: &Prepared, moved: &[Moved], already: &[(DeviceKey, Outcome)]) -> Self {
        let mut outcomes = self.outcomes;
        let mut ends: HashMap<DeviceKey, Outcome> = already.iter().cloned().collect();
        ends.extend(moved.iter().map(|moved| {
            let message = moved.sentence();
            (moved.device.clone(), Outcome::NotAttempted { reason: moved.reason, message })
        }));
        ends.extend(outcomes.of.into_iter().map(|(change, outcome)| (change.effect.device, outcome)));
        let end = |change: &Change| Some((change.clone(), ends.remove(&change.effect.device)?));
        outcomes.of = saved.cleared.plan().changes.iter().filter_map(end).collect();
        Self { prepared: Prepared { calls: self.prepared.calls, ..saved.clone() }, outcomes, ..self }
    }
}
