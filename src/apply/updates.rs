//! The updates of one run: sent together, read back until they show, sent a
//! second time once.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::graph::{ErrorKind, Fields, GraphError, Write};
use crate::ledger::{Entry, UpdateEnd};
use crate::model::{Device, RegistrationId};
use crate::plan::{Action, Change, Field, FieldChange, Reason, UPDATED_WITHIN, Update};

use super::event::Event;
use super::execute::{Halt, Tools, access, ended};
use super::outcome::Outcome;
use super::schedule::Schedule;

/// First look after an update, and the rhythm of looking.
const LOOK: SignedDuration = SignedDuration::from_secs(10);

/// An update that does not show after this is sent once more: a small share
/// of them is lost at the service.
const SECOND_TRY: SignedDuration = SignedDuration::from_secs(150);

struct Item<'a> {
    index: usize,
    change: &'a Change,
    update: &'a Update,
    state: State,
    reading: Option<Device>,
}

enum State {
    Planned,
    Accepted { first: Timestamp, again: bool },
    Ended(Outcome),
}

pub(super) struct Updates<'a> {
    items: Vec<Item<'a>>,
    look_at: Option<Timestamp>,
}

impl<'a> Updates<'a> {
    pub fn new(changes: &'a [Change], schedule: &Schedule) -> Self {
        let item = |index: &usize| {
            let change = &changes[*index];
            let Action::Update(update) = &change.action else {
                unreachable!("the schedule puts only updates among the updates")
            };
            Item { index: *index, change, update, state: State::Planned, reading: None }
        };
        Self { items: schedule.updates.iter().map(item).collect(), look_at: None }
    }

    /// Does what is due.
    pub async fn step(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        let planned = self.indexes(|state| matches!(state, State::Planned));
        if !planned.is_empty() {
            self.send(&planned, false, tools).await?;
        }
        if self.look_at.is_some_and(|at| at <= tools.clock.now()) {
            self.look(tools).await?;
        }
        Ok(())
    }

    /// When the next look is due.
    pub fn due(&self) -> Option<(Timestamp, &'static str)> {
        self.look_at.map(|at| (at, "updates to become visible"))
    }

    fn indexes(&self, of: impl Fn(&State) -> bool) -> Vec<usize> {
        (0..self.items.len()).filter(|item| of(&self.items[*item].state)).collect()
    }

    async fn send(&mut self, items: &[usize], again: bool, tools: &mut Tools<'_>) -> Result<(), Halt> {
        let intent = |item: &usize| {
            let Update { id, fields, .. } = self.items[*item].update;
            Entry::UpdateIntent { registration_id: *id, fields: fields.clone() }
        };
        tools.record(items.iter().map(intent).collect())?;
        let mut writes = Vec::new();
        for item in items {
            writes.extend(requests(self.items[*item].update).into_iter().map(|write| (*item, write)));
        }
        let parts: Vec<Write> = writes.iter().map(|(_, write)| write.clone()).collect();
        let answers = tools.writer.write(&parts).await;
        let mut failures: HashMap<usize, GraphError> = HashMap::new();
        for ((item, _), answer) in writes.iter().zip(answers) {
            if let Err(error) = answer {
                failures.entry(*item).or_insert(error);
            }
        }
        let halt = failures.values().find_map(access);
        let now = tools.clock.now();
        let mut entries = Vec::new();
        for item in items {
            let end = self.sent(*item, failures.remove(item), now, again, tools);
            entries.push(Entry::UpdateEnd { registration_id: self.items[*item].update.id, end });
        }
        tools.record(entries)?;
        self.look_at = self.anything_accepted().then_some(now + LOOK);
        halt.map_or(Ok(()), Err)
    }

    fn sent(
        &mut self,
        item: usize,
        failure: Option<GraphError>,
        now: Timestamp,
        again: bool,
        tools: &mut Tools<'_>,
    ) -> UpdateEnd {
        let Some(error) = failure else {
            if let State::Planned = self.items[item].state {
                self.items[item].state = State::Accepted { first: now, again };
            }
            return UpdateEnd::Accepted;
        };
        if again && error.is_transient() {
            // The first attempt was accepted; its deadline decides.
            return UpdateEnd::Lost;
        }
        let refused = matches!(error.kind, ErrorKind::Refused | ErrorKind::NotFound);
        self.end(item, refusal(self.items[item].update, &error), tools);
        if refused { UpdateEnd::Refused } else { UpdateEnd::Lost }
    }

    fn anything_accepted(&self) -> bool {
        self.items.iter().any(|item| matches!(item.state, State::Accepted { .. }))
    }

    async fn look(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        let accepted = self.indexes(|state| matches!(state, State::Accepted { .. }));
        let ids: Vec<RegistrationId> = accepted.iter().map(|item| self.items[*item].update.id).collect();
        let readings: HashMap<_, _> = tools.writer.get_devices(&ids).await.into_iter().collect();
        let now = tools.clock.now();
        let (mut entries, mut again) = (Vec::new(), Vec::new());
        for item in accepted {
            let Update { id, fields, .. } = self.items[item].update;
            let State::Accepted { first, again: sent_again } = self.items[item].state else { continue };
            match readings.get(id) {
                Some(Ok(Some(device))) if shows(device, fields) => {
                    self.items[item].reading = Some(device.clone());
                    entries.push(Entry::UpdateEnd { registration_id: *id, end: UpdateEnd::Visible });
                    self.end(item, Outcome::Done { registration_id: *id, at: now }, tools);
                    continue;
                }
                Some(Ok(None)) => {
                    entries.push(Entry::UpdateEnd { registration_id: *id, end: UpdateEnd::Refused });
                    let message = "the registration is gone".to_owned();
                    self.end(item, Outcome::Failed { reason: Reason::UpdateRefused, message }, tools);
                    continue;
                }
                Some(Err(error)) if access(error).is_some() => return Err(Halt::Access(error.clone())),
                Some(Ok(Some(device))) => self.items[item].reading = Some(device.clone()),
                _ => {}
            }
            if now >= first + UPDATED_WITHIN {
                let age = now.duration_since(first).as_mins();
                let message = format!("sent twice, the first time {age} min ago");
                self.end(item, Outcome::Failed { reason: Reason::NotVisible, message }, tools);
            } else if now >= first + SECOND_TRY && !sent_again {
                self.items[item].state = State::Accepted { first, again: true };
                again.push(item);
            }
        }
        tools.record(entries)?;
        if !again.is_empty() {
            self.send(&again, true, tools).await?;
        }
        let visible = self.indexes(|state| matches!(state, State::Ended(_))).len();
        (tools.on_event)(Event::Updates { visible, of: self.items.len() });
        self.look_at = self.anything_accepted().then_some(tools.clock.now() + LOOK);
        Ok(())
    }

    fn end(&mut self, item: usize, outcome: Outcome, tools: &mut Tools<'_>) {
        ended(tools, &self.items[item].change.serial, &outcome);
        self.items[item].state = State::Ended(outcome);
    }

    /// An outcome per update; those that were not sent get `reason`.
    pub fn finish(
        self,
        reason: Reason,
        message: &str,
        readings: &mut Vec<(RegistrationId, Option<Device>)>,
    ) -> Vec<(usize, Outcome)> {
        let end = |item: Item| {
            readings.extend(item.reading.map(|device| (device.id, Some(device))));
            let outcome = match item.state {
                State::Planned => Outcome::NotAttempted { reason, message: message.to_owned() },
                State::Accepted { first, .. } => Outcome::Awaiting { since: first },
                State::Ended(outcome) => outcome,
            };
            (item.index, outcome)
        };
        self.items.into_iter().map(end).collect()
    }
}

fn shows(device: &Device, fields: &[FieldChange]) -> bool {
    fields.iter().all(|change| change.field.same(change.field.of(device), &change.after))
}

/// The requests of one update. The user travels alone: where the service
/// does not accept it, tag and name still arrive.
fn requests(update: &Update) -> Vec<Write> {
    let id = update.id;
    let value = |field| update.fields.iter().find(|change| change.field == field).map(|change| change.after.clone());
    let user = value(Field::UserPrincipalName);
    let greeting = value(Field::AddressableUserName);
    let plain =
        Fields { group_tag: value(Field::GroupTag), display_name: value(Field::DisplayName), ..Fields::default() };
    let mut writes = Vec::new();
    match (user, greeting) {
        (Some(user), _) if user.is_empty() => writes.push(Write::UnassignUser { id }),
        (None, None) => {}
        (user, greeting) => {
            // The service takes a greeting only beside a user.
            let user = user.or_else(|| Some(update.before.user.clone()));
            writes.push(Write::Update {
                id,
                fields: Fields { user, addressable_user_name: greeting, ..Fields::default() },
            });
        }
    }
    if plain != Fields::default() {
        writes.push(Write::Update { id, fields: plain });
    }
    writes
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
