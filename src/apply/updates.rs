//! The updates of one run: each registration read again right before it is
//! written, sent a few at a time, read back until the values show, sent a
//! second time once.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use compact_str::CompactString;
use jiff::{SignedDuration, Timestamp};

use crate::graph::{ErrorKind, Fields, GraphError, Write};
use crate::ledger::{Entry, UpdateEnd, Use};
use crate::model::{Action, Device, Field, RegistrationId, Request, Update, later};
use crate::plan::{Change, Reason, UPDATED_WITHIN};

use super::event::Event;
use super::execute::{Ending, FRESH_FOR, Halt, Order, Tools, access};
use super::outcome::Outcome;

/// So many are read and written together: at the full budget they go out well
/// within the time for which a reading is fresh.
const CHUNK: usize = 40;

/// First look after an update, and the rhythm of looking.
const LOOK: SignedDuration = SignedDuration::from_secs(10);

/// An update that does not show after this is sent once more: a small share
/// of them is lost at the service.
const SECOND_TRY: SignedDuration = SignedDuration::from_secs(150);

/// What the service did not take for a moment is tried again for so long, and
/// so often; a 429 is no failure and not counted.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
const TRIES: u32 = 8;

/// The least and the most time between two tries.
const PAUSE_MIN: SignedDuration = SignedDuration::from_secs(1);
const PAUSE_MAX: SignedDuration = SignedDuration::from_secs(60);

struct Item<'a> {
    index: usize,
    change: &'a Change,
    update: &'a Update,
    state: State,
    reading: Option<Device>,
    /// When it was first tried, and how often that failed.
    first_try: Option<Timestamp>,
    failures: u32,
    /// When a request went out whose effect is not known.
    lost: Option<Timestamp>,
    /// True if an earlier run, or round, sent it under the same consent and saw
    /// no end of it: then what is sent now is the second time.
    was_sent: Option<bool>,
}

enum State {
    Planned,
    Accepted { first: Timestamp, again: bool },
    Ended(Outcome),
}

pub(super) struct Updates<'a> {
    items: Vec<Item<'a>>,
    planned: VecDeque<usize>,
    accepted: BTreeSet<usize>,
    ended: usize,
    /// When the plan's own readings were taken; `None` once they count no more.
    read_at: Option<Timestamp>,
    send_at: Timestamp,
    look_at: Option<Timestamp>,
}

impl<'a> Updates<'a> {
    pub(super) fn new(changes: &'a [Change], order: Order<'_>, now: Timestamp) -> Self {
        let item = |index: &usize| {
            let change = &changes[*index];
            let Action::Update(update) = change.action() else {
                unreachable!("the schedule puts only updates among the updates")
            };
            let state = State::Planned;
            Item {
                index: *index,
                change,
                update,
                state,
                reading: None,
                first_try: None,
                failures: 0,
                lost: None,
                was_sent: None,
            }
        };
        let items: Vec<Item> = order.schedule.updates.iter().map(item).collect();
        Self {
            planned: (0..items.len()).collect(),
            items,
            accepted: BTreeSet::new(),
            ended: 0,
            read_at: order.read_at,
            send_at: now,
            look_at: None,
        }
    }

    /// Does what is due.
    pub(super) async fn step(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        if !self.planned.is_empty()
            && let Some(message) = tools.frozen()
        {
            let planned = std::mem::take(&mut self.planned);
            planned.into_iter().for_each(|item| self.leave(item, Reason::Frozen, message.clone(), tools));
        }
        if !self.planned.is_empty() && self.send_at <= tools.clock.now() {
            let chunk: Vec<usize> = self.planned.drain(..CHUNK.min(self.planned.len())).collect();
            let (chunk, read_at) = self.check(chunk, tools).await?;
            self.send(&chunk, read_at, tools).await?;
        }
        if self.look_at.is_some_and(|at| at <= tools.clock.now()) {
            self.look(tools).await?;
        }
        Ok(())
    }

    /// When the next thing is due.
    pub(super) fn due(&self) -> Option<(Timestamp, &'static str)> {
        let send = (!self.planned.is_empty()).then_some((self.send_at, "the next updates"));
        let look = self.look_at.map(|at| (at, "updates to become visible"));
        [send, look].into_iter().flatten().min()
    }

    /// Reads registrations again whose reading is not fresh any more. What is
    /// no longer as it was planned on is not written.
    async fn check(&mut self, chunk: Vec<usize>, tools: &mut Tools<'_>) -> Result<(Vec<usize>, Timestamp), Halt> {
        let now = tools.clock.now();
        // Half of its time is kept for the way to the service.
        let fresh = self.read_at.filter(|at| now < later(*at, FRESH_FOR / 2));
        let is_enough =
            |item: &usize| self.items[*item].first_try.is_none() && !self.items[*item].update.repeats_user();
        if let (Some(at), true) = (fresh, chunk.iter().all(is_enough)) {
            return Ok((chunk, at));
        }
        let ids: Vec<RegistrationId> = chunk.iter().map(|item| self.items[*item].update.id).collect();
        let readings: HashMap<_, _> = tools.writer.get_devices(&ids).await.into_iter().collect();
        chunk.iter().for_each(|item| self.recall(*item, tools));
        let mut good = Vec::with_capacity(chunk.len());
        let (mut halt, mut entries) = (None, Vec::new());
        for item in chunk {
            let update = self.items[item].update;
            match readings.get(&update.id) {
                Some(Ok(Some(device))) if update.is_done_on(device) => {
                    let outcome = Outcome::Done { registration_id: update.id, at: tools.writer.service_of(now) };
                    // Where nothing of ours was taken, somebody else has written it.
                    let is_ours = self.items[item].lost.is_some() || self.items[item].was_sent == Some(true);
                    let end = if is_ours { UpdateEnd::Visible } else { UpdateEnd::Found };
                    let fields = update.fields.clone();
                    entries.push(Entry::UpdateIntent { registration_id: update.id, fields });
                    entries.push(Entry::UpdateEnd { registration_id: update.id, end });
                    self.items[item].reading = Some(device.clone());
                    self.end(item, outcome, tools);
                }
                Some(Ok(Some(device))) if update.holds_on(device) => good.push(item),
                Some(Ok(Some(device))) => {
                    self.items[item].reading = Some(device.clone());
                    self.leave(item, Reason::ChangedMeanwhile, moved(&update.before, device), tools);
                }
                Some(Ok(None)) => {
                    self.leave(item, Reason::ChangedMeanwhile, "the registration is gone".to_owned(), tools);
                }
                Some(Err(error)) => {
                    halt = halt.or_else(|| access(error));
                    self.leave(item, Reason::ServiceUnavailable, error.to_string(), tools);
                }
                None => self.leave(item, Reason::ServiceUnavailable, "it could not be read".to_owned(), tools),
            }
        }
        tools.record(entries).await?;
        halt.map_or(Ok((good, now)), Err)
    }

    async fn send(&mut self, items: &[usize], read_at: Timestamp, tools: &mut Tools<'_>) -> Result<(), Halt> {
        if items.is_empty() {
            return Ok(());
        }
        let intent = |item: &usize| {
            let Update { id, fields, .. } = self.items[*item].update;
            Entry::UpdateIntent { registration_id: *id, fields: fields.clone() }
        };
        let intents = items.iter().map(intent).collect();
        items.iter().for_each(|item| self.recall(*item, tools));
        tools.record(intents).await?;
        let mut writes = Vec::new();
        for item in items {
            writes.extend(requests(self.items[*item].update).into_iter().map(|write| (*item, write)));
        }
        let parts: Vec<Write> = writes.iter().map(|(_, write)| write.clone()).collect();
        let answers = tools.writer.write(&parts, Some(later(read_at, FRESH_FOR))).await;
        let mut failures: HashMap<usize, GraphError> = HashMap::new();
        let mut taken: HashSet<usize> = HashSet::new();
        for ((item, _), answer) in writes.iter().zip(answers) {
            match answer {
                Ok(()) => _ = taken.insert(*item),
                Err(error) if failures.get(item).is_some_and(GraphError::effect_is_unknown) => drop(error),
                Err(error) => _ = failures.insert(*item, error),
            }
        }
        let halt = failures.values().find_map(access);
        let now = tools.clock.now();
        let mut entries = Vec::new();
        for item in items {
            let failure = failures.remove(item);
            // Of two requests one may have been taken, and nobody counts halves.
            let is_unknown = failure.as_ref().is_some_and(GraphError::effect_is_unknown) || taken.contains(item);
            let end = match self.sent(*item, failure, now, tools) {
                UpdateEnd::Refused | UpdateEnd::NotTaken if is_unknown => UpdateEnd::Lost,
                end => end,
            };
            match end {
                UpdateEnd::Lost => _ = self.items[*item].lost.get_or_insert(now),
                UpdateEnd::Accepted => self.items[*item].lost = None,
                _ => {}
            }
            entries.push(Entry::UpdateEnd { registration_id: self.items[*item].update.id, end });
        }
        tools.record(entries).await?;
        self.look_at = (!self.accepted.is_empty()).then(|| self.look_at.unwrap_or(later(now, LOOK)));
        halt.map_or(Ok(()), Err)
    }

    /// Whether it was sent before this run, told before the first line about it.
    fn recall(&mut self, item: usize, tools: &Tools<'_>) {
        let Update { id, fields, .. } = self.items[item].update;
        let known = || tools.journal.consent().is_some_and(|consent| consent.used_on(*id, fields) == Use::Sent);
        self.items[item].was_sent.get_or_insert_with(known);
    }

    fn sent(&mut self, item: usize, failure: Option<GraphError>, now: Timestamp, tools: &mut Tools<'_>) -> UpdateEnd {
        let is_again = matches!(self.items[item].state, State::Accepted { .. });
        // Whether what nobody answered came there, is for what shows to say.
        let is_silent = failure.as_ref().is_some_and(GraphError::is_unanswered);
        if !is_again && (failure.is_none() || is_silent) {
            self.items[item].state = State::Accepted { first: now, again: false };
            self.accepted.insert(item);
        }
        let Some(error) = failure.filter(|_| !is_silent) else {
            return if is_silent { UpdateEnd::Lost } else { UpdateEnd::Accepted };
        };
        if is_again && error.is_transient() {
            // The first attempt was accepted; its deadline decides.
            return UpdateEnd::Lost;
        }
        if error.is_transient() && self.may_try_again(item, &error, now) {
            self.planned.push_back(item);
            return UpdateEnd::NotTaken;
        }
        let refused = matches!(error.kind, ErrorKind::Refused | ErrorKind::NotFound);
        self.end(item, refusal(self.items[item].update, &error), tools);
        if refused { UpdateEnd::Refused } else { UpdateEnd::NotTaken }
    }

    /// Counts a failure that may pass, and says whether another try is worth it.
    fn may_try_again(&mut self, item: usize, error: &GraphError, now: Timestamp) -> bool {
        let of = &mut self.items[item];
        let first = *of.first_try.get_or_insert(now);
        of.failures += u32::from(error.kind != ErrorKind::Throttled);
        let doubled = SignedDuration::from_secs(1 << of.failures.min(6));
        let pause = error.retry_after.unwrap_or(doubled).clamp(PAUSE_MIN, PAUSE_MAX.max(doubled));
        self.send_at = self.send_at.max(later(now, pause));
        of.failures < TRIES && self.send_at < later(first, PATIENCE)
    }

    async fn look(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        let accepted: Vec<usize> = self.accepted.iter().copied().collect();
        let ids: Vec<RegistrationId> = accepted.iter().map(|item| self.items[*item].update.id).collect();
        let read_at = tools.clock.now();
        let readings: HashMap<_, _> = tools.writer.get_devices(&ids).await.into_iter().collect();
        let now = tools.clock.now();
        let (mut entries, mut again) = (Vec::new(), Vec::new());
        for item in accepted {
            let update = self.items[item].update;
            let Update { id, .. } = update;
            let State::Accepted { first, again: sent_again } = self.items[item].state else { continue };
            let mut may_write = false;
            match readings.get(id) {
                Some(Ok(Some(device))) if update.is_done_on(device) => {
                    self.items[item].reading = Some(device.clone());
                    entries.push(Entry::UpdateEnd { registration_id: *id, end: UpdateEnd::Visible });
                    let at = tools.writer.service_of(now);
                    self.end(item, Outcome::Done { registration_id: *id, at }, tools);
                    continue;
                }
                Some(Ok(None)) => {
                    entries.push(Entry::UpdateEnd { registration_id: *id, end: UpdateEnd::Refused });
                    let message = "the registration is gone".to_owned();
                    self.end(item, Outcome::Failed { reason: Reason::ChangedMeanwhile, message }, tools);
                    continue;
                }
                Some(Err(error)) if access(error).is_some() => return access(error).map_or(Ok(()), Err),
                Some(Ok(Some(device))) => {
                    may_write = update.holds_on(device) && tools.frozen().is_none();
                    self.items[item].reading = Some(device.clone());
                }
                Some(Err(_)) | None => {}
            }
            if now >= later(first, UPDATED_WITHIN) {
                let age = now.duration_since(first).as_mins();
                let times = if sent_again { "twice, the first time" } else { "once," };
                let message = format!("sent {times} {age} min ago");
                let is_lost = self.items[item].lost.is_some();
                let reason = if is_lost { Reason::OutcomeUnknown } else { Reason::NotVisible };
                self.end(item, Outcome::Failed { reason, message }, tools);
            } else if now >= later(first, SECOND_TRY)
                && !sent_again
                && may_write
                && self.items[item].was_sent == Some(false)
            {
                self.items[item].state = State::Accepted { first, again: true };
                again.push(item);
            }
        }
        tools.record(entries).await?;
        for chunk in again.chunks(CHUNK) {
            self.send(chunk, read_at, tools).await?;
        }
        tools.tell(Event::Updates { visible: self.ended, of: self.items.len() });
        self.look_at = (!self.accepted.is_empty()).then(|| later(tools.clock.now(), LOOK));
        Ok(())
    }

    /// It was not tried, and will not be in this run.
    fn leave(&mut self, item: usize, reason: Reason, message: String, tools: &mut Tools<'_>) {
        // What was sent before, and failed for a moment, was tried.
        let tried = self.items[item].first_try.is_some();
        let outcome =
            if tried { Outcome::Failed { reason, message } } else { Outcome::NotAttempted { reason, message } };
        self.end(item, outcome, tools);
    }

    fn end(&mut self, item: usize, outcome: Outcome, tools: &mut Tools<'_>) {
        tools.ended(&self.items[item].change.effect.device, &outcome);
        self.accepted.remove(&item);
        self.ended += 1;
        self.items[item].state = State::Ended(outcome);
    }

    /// An outcome per update.
    pub(super) fn finish(
        self,
        ending: &Ending<'_>,
        readings: &mut Vec<(RegistrationId, Option<Device>)>,
    ) -> Vec<(usize, Outcome)> {
        let end = |item: Item| {
            readings.extend(item.reading.map(|device| (device.id, Some(device))));
            let outcome = match (item.state, item.lost) {
                // The next run finds out whether it was taken.
                (State::Planned, Some(at)) => ending.awaited(at),
                (State::Planned, None) => ending.not_sent(),
                (State::Accepted { first, .. }, _) => ending.awaited(first),
                (State::Ended(outcome), _) => outcome,
            };
            (item.index, outcome)
        };
        self.items.into_iter().map(end).collect()
    }
}

/// What is not as it was planned on, for people.
pub(super) fn moved(before: &Device, device: &Device) -> String {
    let enrolled = |device: &Device| if device.is_enrolled() { "enrolled" } else { "not enrolled" };
    let mut words = Vec::new();
    for field in Field::ALL {
        let (was, now) = (field.of(before), field.of(device));
        if !field.same(was, now) {
            words.push(format!("{} was `{was}` and is `{now}`", field.label()));
        }
    }
    if device.is_enrolled() != before.is_enrolled() {
        words.push(format!("it was {} and is {}", enrolled(before), enrolled(device)));
    }
    words.join(", ")
}

/// The requests of one update, as the service's own.
fn requests(update: &Update) -> Vec<Write> {
    let id = update.id;
    let write = |values: Vec<(Field, CompactString)>| {
        let mut fields = Fields::default();
        for (field, value) in values {
            *match field {
                Field::GroupTag => &mut fields.group_tag,
                Field::UserPrincipalName => &mut fields.user,
                Field::AddressableUserName => &mut fields.addressable_user_name,
                Field::DisplayName => &mut fields.display_name,
            } = Some(value);
        }
        Write::Update { id, fields }
    };
    let request = |request| match request {
        Request::Unassign => Write::UnassignUser { id },
        Request::Write(values) => write(values),
    };
    update.requests().into_iter().map(request).collect()
}

fn refusal(update: &Update, error: &GraphError) -> Outcome {
    let user = update.fields.iter().any(|f| f.field == Field::UserPrincipalName && !f.after.is_empty());
    let reason = match error.kind {
        ErrorKind::Refused if user => Reason::UserNotAccepted,
        ErrorKind::Refused | ErrorKind::NotFound | ErrorKind::RouteMissing => Reason::UpdateRefused,
        _ => Reason::ServiceUnavailable,
    };
    Outcome::Failed { reason, message: error.to_string() }
}
