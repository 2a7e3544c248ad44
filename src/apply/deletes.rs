//! The removals of one run, after everything else: each registration read again
//! right before it is removed, and read until it is gone. A deletion is a
//! request: the service takes up to half an hour.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::graph::{ErrorKind, GraphError, Write};
use crate::ledger::{DeregisterEnd, Entry};
use crate::model::{Action, Deregister, RegistrationId, later};
use crate::plan::{Change, GONE_WITHIN, Reason};

use super::event::Event;
use super::execute::{Ending, FRESH_FOR, Halt, Order, Tools, access, wait};
use super::outcome::Outcome;
use super::updates::moved;

/// So many are read and removed together.
const CHUNK: usize = 20;

/// The rhythm of looking, and the rhythm after the first minutes.
const LOOK: SignedDuration = SignedDuration::from_secs(15);
const LOOK_LATER: SignedDuration = SignedDuration::from_secs(60);
const USUAL: SignedDuration = SignedDuration::from_mins(5);

/// What the service did not take for a moment is tried again so often, after a
/// pause.
const TRIES: u32 = 5;
const PAUSE: SignedDuration = SignedDuration::from_secs(5);

struct Item<'a> {
    index: usize,
    change: &'a Change,
    deregister: &'a Deregister,
    state: State,
    failures: u32,
}

enum State {
    Planned,
    /// `known`: false where the answer was lost.
    Accepted {
        since: Timestamp,
        known: bool,
    },
    Ended(Outcome),
}

pub(super) struct Deletes<'a> {
    items: Vec<Item<'a>>,
    planned: VecDeque<usize>,
    send_at: Timestamp,
    ended: usize,
}

impl<'a> Deletes<'a> {
    pub(super) fn new(changes: &'a [Change], order: Order<'_>, now: Timestamp) -> Self {
        let item = |index: &usize| {
            let change = &changes[*index];
            let Action::Deregister(deregister) = change.action() else {
                unreachable!("the schedule puts only removals among the removals")
            };
            Item { index: *index, change, deregister, state: State::Planned, failures: 0 }
        };
        let items: Vec<Item> = order.schedule.deletes.iter().map(item).collect();
        Self { planned: (0..items.len()).collect(), items, send_at: now, ended: 0 }
    }

    /// Works until every removal has ended.
    ///
    /// # Errors
    /// Why nothing more can be done at all.
    pub(super) async fn work(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        let mut look_at: Option<Timestamp> = None;
        while self.ended < self.items.len() {
            if tools.stop.is_asked() {
                return Err(Halt::Asked);
            }
            if let Some(message) = tools.frozen() {
                let planned = std::mem::take(&mut self.planned);
                planned.into_iter().for_each(|item| self.leave(item, Reason::Frozen, message.clone(), tools));
            }
            let now = tools.clock.now();
            if !self.planned.is_empty() && self.send_at <= now {
                let chunk: Vec<usize> = self.planned.drain(..CHUNK.min(self.planned.len())).collect();
                let chunk = self.check(chunk, tools).await?;
                self.send(&chunk, now, tools).await?;
            }
            if look_at.is_some_and(|at| at <= tools.clock.now()) {
                self.look(tools).await?;
                look_at = None;
            }
            let now = tools.clock.now();
            if look_at.is_none() {
                look_at = self
                    .first_accepted()
                    .map(|first| later(now, if now < later(first, USUAL) { LOOK } else { LOOK_LATER }));
            }
            let send_at = (!self.planned.is_empty()).then_some((self.send_at, "the next removals"));
            let look = look_at.map(|at| (at, "registrations to be gone"));
            let Some((until, why)) = [send_at, look].into_iter().flatten().min() else { return Ok(()) };
            wait(tools, until, why).await?;
        }
        Ok(())
    }

    fn first_accepted(&self) -> Option<Timestamp> {
        let since = |item: &Item| match item.state {
            State::Accepted { since, .. } => Some(since),
            State::Planned | State::Ended(_) => None,
        };
        self.items.iter().filter_map(since).min()
    }

    /// Reads each once more. What is no longer as it was planned on stays.
    async fn check(&mut self, chunk: Vec<usize>, tools: &mut Tools<'_>) -> Result<Vec<usize>, Halt> {
        let ids: Vec<RegistrationId> = chunk.iter().map(|item| self.items[*item].deregister.id).collect();
        let readings: HashMap<_, _> = tools.writer.get_devices(&ids).await.into_iter().collect();
        let (mut good, mut entries, mut halt) = (Vec::with_capacity(chunk.len()), Vec::new(), None);
        for item in chunk {
            let Deregister { id, before } = self.items[item].deregister;
            match readings.get(id) {
                Some(Ok(Some(device))) if self.items[item].deregister.holds_on(device) => good.push(item),
                Some(Ok(Some(device))) => {
                    self.leave(item, Reason::ChangedMeanwhile, moved(before, device), tools);
                }
                // Somebody else was faster.
                Some(Ok(None)) => {
                    entries.push(Entry::DeregisterIntent { registration_id: *id });
                    entries.push(gone(*id));
                    self.end(item, Outcome::Done { registration_id: *id, at: tools.writer.service_now() }, tools);
                }
                Some(Err(error)) => {
                    halt = halt.or_else(|| access(error));
                    self.leave(item, Reason::ServiceUnavailable, error.to_string(), tools);
                }
                None => self.leave(item, Reason::ServiceUnavailable, "it could not be read".to_owned(), tools),
            }
        }
        tools.record(entries).await?;
        halt.map_or(Ok(good), Err)
    }

    async fn send(&mut self, items: &[usize], read_at: Timestamp, tools: &mut Tools<'_>) -> Result<(), Halt> {
        if items.is_empty() {
            return Ok(());
        }
        let id = |item: usize, items: &[Item]| items[item].deregister.id;
        let intents = items.iter().map(|item| Entry::DeregisterIntent { registration_id: id(*item, &self.items) });
        tools.record(intents.collect()).await?;
        let writes: Vec<Write> = items.iter().map(|item| Write::Deregister { id: id(*item, &self.items) }).collect();
        let answers = tools.writer.write(&writes, Some(later(read_at, FRESH_FOR))).await;
        let now = tools.clock.now();
        let (mut entries, mut halt) = (Vec::new(), None);
        for (item, answer) in items.iter().zip(answers) {
            let registration_id = id(*item, &self.items);
            let removal = match answer {
                Ok(()) => {
                    self.items[*item].state = State::Accepted { since: now, known: true };
                    DeregisterEnd::Accepted
                }
                Err(error) if error.effect_is_unknown() => {
                    halt = halt.or_else(|| access(&error));
                    self.items[*item].state = State::Accepted { since: now, known: false };
                    DeregisterEnd::Lost
                }
                Err(error) => {
                    halt = halt.or_else(|| access(&error));
                    self.refused(*item, &error, now, tools);
                    DeregisterEnd::Refused
                }
            };
            entries.push(Entry::DeregisterEnd { registration_id, removal });
        }
        tools.record(entries).await?;
        halt.map_or(Ok(()), Err)
    }

    fn refused(&mut self, item: usize, error: &GraphError, now: Timestamp, tools: &mut Tools<'_>) {
        let of = &mut self.items[item];
        of.failures += u32::from(error.kind != ErrorKind::Throttled);
        if error.is_transient() && of.failures < TRIES {
            self.send_at = self.send_at.max(later(now, error.retry_after.unwrap_or(PAUSE).max(PAUSE)));
            self.planned.push_back(item);
            return;
        }
        let reason = match error.kind {
            ErrorKind::Refused | ErrorKind::NotFound | ErrorKind::RouteMissing => Reason::DeletionRefused,
            _ => Reason::ServiceUnavailable,
        };
        self.end(item, Outcome::Failed { reason, message: error.to_string() }, tools);
    }

    async fn look(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        let is_accepted = |item: &usize| matches!(self.items[*item].state, State::Accepted { .. });
        let accepted: Vec<usize> = (0..self.items.len()).filter(is_accepted).collect();
        let ids: Vec<RegistrationId> = accepted.iter().map(|item| self.items[*item].deregister.id).collect();
        let readings: HashMap<_, _> = tools.writer.get_devices(&ids).await.into_iter().collect();
        let now = tools.clock.now();
        let mut entries = Vec::new();
        for item in accepted {
            let State::Accepted { since, known } = self.items[item].state else { continue };
            let id = self.items[item].deregister.id;
            match readings.get(&id) {
                Some(Ok(None)) => {
                    entries.push(gone(id));
                    let at = tools.writer.service_of(now);
                    self.end(item, Outcome::Done { registration_id: id, at }, tools);
                    continue;
                }
                Some(Err(error)) if access(error).is_some() => return access(error).map_or(Ok(()), Err),
                Some(Ok(Some(_)) | Err(_)) | None => {}
            }
            if now >= later(since, GONE_WITHIN) {
                let age = now.duration_since(since).as_mins();
                let (reason, how) =
                    if known { (Reason::NotGone, "accepted") } else { (Reason::OutcomeUnknown, "sent") };
                self.end(item, Outcome::Failed { reason, message: format!("{how} {age} min ago") }, tools);
            }
        }
        let ended = !entries.is_empty();
        tools.record(entries).await?;
        if ended {
            tools.tell(Event::Removals { gone: self.ended, of: self.items.len() });
        }
        Ok(())
    }

    fn leave(&mut self, item: usize, reason: Reason, message: String, tools: &mut Tools<'_>) {
        let tried = self.items[item].failures > 0;
        let outcome =
            if tried { Outcome::Failed { reason, message } } else { Outcome::NotAttempted { reason, message } };
        self.end(item, outcome, tools);
    }

    fn end(&mut self, item: usize, outcome: Outcome, tools: &mut Tools<'_>) {
        tools.ended(&self.items[item].change.effect.device, &outcome);
        self.items[item].state = State::Ended(outcome);
        self.ended += 1;
    }

    /// An outcome per removal.
    pub(super) fn finish(self, ending: &Ending<'_>) -> Vec<(usize, Outcome)> {
        let end = |item: Item| {
            let outcome = match item.state {
                State::Planned => ending.not_sent(),
                State::Accepted { since, .. } => ending.awaited(since),
                State::Ended(outcome) => outcome,
            };
            (item.index, outcome)
        };
        self.items.into_iter().map(end).collect()
    }
}

fn gone(registration_id: RegistrationId) -> Entry {
    Entry::DeregisterEnd { registration_id, removal: DeregisterEnd::Gone }
}
