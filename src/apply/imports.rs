//! The import rows of one run: posted in batches, looked at together, halved
//! when refused, and done when the registration can be read.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::graph::{GraphError, ImportRecord, ImportRow, ImportState};
use crate::ledger::Entry;
use crate::model::{Device, HardwareHash, HashError, ImportId, RegistrationId};
use crate::plan::{Change, Field, ImportError, Reason, Register, VISIBLE_WITHIN};

use super::event::Event;
use super::execute::{Halt, Tools, access, ended};
use super::outcome::Outcome;
use super::schedule::Schedule;

/// Looking at the import list: first after this, then in this rhythm, then in
/// a slower one (the fields of the trade: 15 s to 30 s; one list for all).
const LOOK: SignedDuration = SignedDuration::from_secs(20);
const LOOK_LATER: SignedDuration = SignedDuration::from_secs(30);
const LATER: SignedDuration = SignedDuration::from_mins(3);

/// A row that the service shows no record of after this was not taken.
const LOST_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// Reading a fresh registration by id.
const READ_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Nothing sent and no answer: try again this often before giving up.
const CONNECT_TRIES: u32 = 5;

/// More failed rows than this, in percent of the settled ones, close the gate.
const GATE_PERCENT: usize = 5;

struct Row<'a> {
    index: usize,
    change: &'a Change,
    register: &'a Register,
    state: State,
}

enum State {
    Planned,
    /// Posted; whether it arrived is looked up by import id.
    Posted {
        at: Timestamp,
        taken: bool,
    },
    /// Registered; not readable by id yet.
    Registered {
        id: RegistrationId,
        at: Timestamp,
    },
    Readable {
        device: Box<Device>,
        outcome: Outcome,
    },
    Ended(Outcome),
}

pub(super) struct Imports<'a> {
    rows: Vec<Row<'a>>,
    by_import: HashMap<ImportId, usize>,
    /// Batches of rows still to be posted.
    queue: VecDeque<Vec<usize>>,
    /// The first batch of a gated run, which must settle before the rest goes out.
    gate: Option<Vec<usize>>,
    gate_closed: Option<String>,
    connect_tries: u32,
    post_at: Timestamp,
    look_at: Timestamp,
    read_at: Timestamp,
    told: usize,
}

impl<'a> Imports<'a> {
    pub fn new(changes: &'a [Change], schedule: &Schedule, now: Timestamp) -> Self {
        let mut rows = Vec::new();
        let mut push = |index: usize, state: State| {
            let change = &changes[index];
            let crate::plan::Action::Register(register) = &change.action else {
                unreachable!("the schedule puts only registrations among the imports")
            };
            rows.push(Row { index, change, register, state });
            rows.len() - 1
        };
        let queue: VecDeque<Vec<usize>> =
            schedule.imports.iter().map(|batch| batch.iter().map(|i| push(*i, State::Planned)).collect()).collect();
        for index in &schedule.running {
            // Whether the journal knows the record is not known here: the first
            // look writes it down, or nobody would ever remove it.
            push(*index, State::Posted { at: now, taken: false });
        }
        let by_import = rows.iter().enumerate().map(|(row, of)| (of.register.import_id, row)).collect();
        let gate = schedule.gated.then(|| queue[0].clone());
        // What runs already is looked at once the rhythm allows it.
        Self {
            rows,
            by_import,
            queue,
            gate,
            gate_closed: None,
            connect_tries: 0,
            post_at: now,
            look_at: now + LOOK,
            read_at: now,
            told: 0,
        }
    }

    pub fn gate_closed(&self) -> Option<&str> {
        self.gate_closed.as_deref()
    }

    /// Does what is due.
    pub async fn step(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        while self.may_post(tools) {
            if tools.stop.is_asked() {
                return Err(Halt::Asked);
            }
            self.post(tools).await?;
        }
        if self.waits_for_service() && self.look_at <= tools.clock.now() {
            self.look(tools).await?;
        }
        if self.waits_for_reading() && self.read_at <= tools.clock.now() {
            self.read(tools).await?;
        }
        Ok(())
    }

    /// When the next thing is due, and what it is.
    pub fn due(&self) -> Option<(Timestamp, &'static str)> {
        let post = (!self.queue.is_empty() && self.gate_is_open()).then_some((self.post_at, "the next import batch"));
        let look = self.waits_for_service().then_some((self.look_at, "the service to import"));
        let read = self.waits_for_reading().then_some((self.read_at, "registrations to become readable"));
        [post, look, read].into_iter().flatten().min()
    }

    fn waits_for_service(&self) -> bool {
        self.rows.iter().any(|row| matches!(row.state, State::Posted { .. }))
    }

    fn waits_for_reading(&self) -> bool {
        self.rows.iter().any(|row| matches!(row.state, State::Registered { .. }))
    }

    fn may_post(&mut self, tools: &mut Tools<'_>) -> bool {
        if self.queue.is_empty() || tools.clock.now() < self.post_at || !self.gate_is_open() {
            return false;
        }
        let first_batch = self.rows.iter().all(|row| matches!(row.state, State::Planned));
        if !first_batch && let Some(cause) = self.too_many_failed() {
            self.close_gate(&cause, tools);
            return false;
        }
        true
    }

    /// True if nothing, or only time, keeps the next batch back: the first
    /// one itself may always go out, also in halves.
    fn gate_is_open(&self) -> bool {
        let Some(gate) = &self.gate else { return true };
        let settled = |row: &usize| !matches!(self.rows[*row].state, State::Planned | State::Posted { .. });
        let is_first = |batch: &Vec<usize>| batch.iter().all(|row| gate.contains(row));
        self.queue.front().is_some_and(is_first) || gate.iter().all(settled)
    }

    /// The shared cause, if more of the settled rows failed than may.
    fn too_many_failed(&self) -> Option<String> {
        let settled = |row: &&Row| !matches!(row.state, State::Planned | State::Posted { .. });
        let settled = self.rows.iter().filter(settled).count();
        let mut causes: HashMap<String, usize> = HashMap::new();
        for row in &self.rows {
            if let State::Ended(Outcome::Failed { reason, message }) = &row.state
                && *reason != Reason::AlreadyRegistered
            {
                *causes.entry(format!("{}: {message}", reason.text())).or_default() += 1;
            }
        }
        let failed: usize = causes.values().sum();
        if failed * 100 <= settled * GATE_PERCENT {
            return None;
        }
        let (cause, times) = causes.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)))?;
        Some(format!("{failed} of {settled} rows failed, {times} of them: {cause}"))
    }

    fn close_gate(&mut self, cause: &str, tools: &mut Tools<'_>) {
        for row in self.queue.drain(..).flatten() {
            let outcome = Outcome::NotAttempted { reason: Reason::GateClosed, message: cause.to_owned() };
            ended(tools, &self.rows[row].change.serial, &outcome);
            self.rows[row].state = State::Ended(outcome);
        }
        self.gate = None;
        self.gate_closed = Some(cause.to_owned());
    }

    async fn post(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        let Some(batch) = self.queue.pop_front() else { return Ok(()) };
        let (batch, hashes) = self.read_hashes(batch, tools);
        if batch.is_empty() {
            return Ok(());
        }
        let intent = |row: &usize| {
            let Row { change, register, .. } = &self.rows[*row];
            let Register { import_id, digest, attempt, .. } = **register;
            Entry::ImportIntent { import_id, serial: change.serial.clone(), hash: digest, attempt }
        };
        tools.record(batch.iter().map(intent).collect())?;
        let answer = {
            let rows: Vec<ImportRow> =
                batch.iter().zip(hashes).map(|(row, hash)| self.import_row(*row, hash)).collect();
            tools.writer.import(&rows).await
        };
        let now = tools.clock.now();
        match answer {
            Ok(records) => self.posted(&batch, &records, tools)?,
            Err(error) if error.effect_is_unknown() => self.sent(&batch, now),
            Err(error) => self.refused(batch, &error, tools)?,
        }
        self.look_at = self.look_at.max(now + LOOK);
        Ok(())
    }

    /// Reads the hashes again, as they were planned. What has changed since
    /// is not sent.
    fn read_hashes(&mut self, batch: Vec<usize>, tools: &mut Tools<'_>) -> (Vec<usize>, Vec<HardwareHash>) {
        let mut good = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for row in batch {
            let Row { change, register, .. } = &self.rows[row];
            let problem = match tools.hashes.read(&register.reference, &change.serial) {
                Ok(hash) if hash.digest() == register.digest => {
                    good.0.push(row);
                    good.1.push(hash);
                    continue;
                }
                Ok(hash) => (
                    Reason::HashUnusable,
                    format!("the hash was {} when planned and is {} now", register.digest, hash.digest()),
                ),
                Err(HashError::NotHere(message)) => (Reason::HashNotAvailable, message),
                Err(HashError::Unusable(message)) => (Reason::HashUnusable, message),
            };
            let outcome = Outcome::NotAttempted { reason: problem.0, message: problem.1 };
            self.end(row, outcome, tools);
        }
        good
    }

    fn import_row(&self, row: usize, hash: HardwareHash) -> ImportRow<'a> {
        let Row { change, register, .. } = &self.rows[row];
        let register: &'a Register = register;
        let text =
            |field| register.value(field).map(compact_str::CompactString::as_str).filter(|text| !text.is_empty());
        ImportRow {
            serial: &change.serial,
            hash,
            group_tag: text(Field::GroupTag),
            user: text(Field::UserPrincipalName),
            import_id: register.import_id,
        }
    }

    fn sent(&mut self, batch: &[usize], at: Timestamp) {
        for row in batch {
            self.rows[*row].state = State::Posted { at, taken: false };
        }
    }

    /// Answers are matched by import id, never by position.
    fn posted(&mut self, batch: &[usize], records: &[ImportRecord], tools: &mut Tools<'_>) -> Result<(), Halt> {
        self.connect_tries = 0;
        self.sent(batch, tools.clock.now());
        (tools.on_event)(Event::Posted { rows: batch.len(), of: self.rows.len() });
        if self.gate.as_ref().is_some_and(|gate| batch.iter().all(|row| gate.contains(row))) {
            (tools.on_event)(Event::Gate { rows: batch.len() });
        }
        self.take(records, tools)
    }

    fn refused(&mut self, batch: Vec<usize>, error: &GraphError, tools: &mut Tools<'_>) -> Result<(), Halt> {
        if let Some(halt) = access(error) {
            batch.iter().for_each(|row| self.rows[*row].state = State::Planned);
            self.queue.push_front(batch);
            return Err(halt);
        }
        if error.is_transient() {
            return self.try_later(batch, error, tools);
        }
        if let [row] = batch[..] {
            let import_id = self.rows[row].register.import_id;
            tools.record(vec![Entry::ImportRefused { import_id, message: error.message.clone() }])?;
            let outcome = Outcome::Failed { reason: Reason::ImportRefused, message: error.message.clone() };
            self.end(row, outcome, tools);
            return Ok(());
        }
        // One bad row refuses all of them, and the service does not say which.
        (tools.on_event)(Event::Halved { rows: batch.len(), message: error.message.clone() });
        let (left, right) = batch.split_at(batch.len() / 2);
        self.queue.push_front(right.to_vec());
        self.queue.push_front(left.to_vec());
        Ok(())
    }

    fn try_later(&mut self, batch: Vec<usize>, error: &GraphError, tools: &mut Tools<'_>) -> Result<(), Halt> {
        self.connect_tries += 1;
        if self.connect_tries < CONNECT_TRIES {
            self.post_at = tools.clock.now() + LOOK * (1 << self.connect_tries.min(6));
            self.queue.push_front(batch);
            return Ok(());
        }
        let message = error.to_string();
        for row in batch.into_iter().chain(std::mem::take(&mut self.queue).into_iter().flatten()) {
            let outcome = Outcome::NotAttempted { reason: Reason::ServiceUnavailable, message: message.clone() };
            self.end(row, outcome, tools);
        }
        self.gate = None;
        Ok(())
    }

    /// One list for all rows that are under way.
    async fn look(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        match tools.writer.list_imports().await {
            Ok(records) => {
                self.take(&records, tools)?;
                self.give_up_lost(tools);
            }
            Err(error) => {
                if let Some(halt) = access(&error) {
                    return Err(halt);
                }
                tracing::warn!(%error, "cannot look at the imports; looking again");
            }
        }
        let now = tools.clock.now();
        self.give_up_slow(now, tools);
        let oldest = self.rows.iter().filter_map(|row| match row.state {
            State::Posted { at, .. } => Some(at),
            _ => None,
        });
        let slow = oldest.min().is_some_and(|at| now > at + LATER);
        self.look_at = now + if slow { LOOK_LATER } else { LOOK };
        let settled =
            self.rows.iter().filter(|row| !matches!(row.state, State::Planned | State::Posted { .. })).count();
        if settled > self.told {
            self.told = settled;
            (tools.on_event)(Event::Imports { settled, of: self.rows.len() });
        }
        Ok(())
    }

    /// Counts in what the records say about rows that are under way.
    fn take(&mut self, records: &[ImportRecord], tools: &mut Tools<'_>) -> Result<(), Halt> {
        let now = tools.clock.now();
        let mut entries = Vec::new();
        let mut ends = Vec::new();
        for record in records {
            let Some(row) = record.import_id.and_then(|id| self.by_import.get(&id).copied()) else { continue };
            let import_id = self.rows[row].register.import_id;
            let State::Posted { taken, .. } = &mut self.rows[row].state else { continue };
            if !std::mem::replace(taken, true) {
                entries.push(Entry::ImportTaken { import_id, record: record.id });
            }
            match &record.state {
                state if state.is_running() => {}
                ImportState::Complete { registration_id: Some(id) } => {
                    entries.push(Entry::ImportComplete { import_id, registration_id: *id });
                    self.rows[row].state = State::Registered { id: *id, at: now };
                    self.read_at = now;
                }
                ImportState::Error { code, name } => {
                    let (code, name) = (i64::from(*code), name.to_string());
                    ends.push((row, import_outcome(code, &name)));
                    entries.push(Entry::ImportError { import_id, code, name });
                }
                _ => unreachable!("all other states are running ones"),
            }
        }
        tools.record(entries)?;
        ends.into_iter().for_each(|(row, outcome)| self.end(row, outcome, tools));
        Ok(())
    }

    /// Rows that the service shows no trace of, though we may have sent them.
    fn give_up_lost(&mut self, tools: &mut Tools<'_>) {
        let now = tools.clock.now();
        for row in 0..self.rows.len() {
            if let State::Posted { at, taken: false } = self.rows[row].state
                && now >= at + LOST_AFTER
            {
                let message = "the answer to the import was lost, and there is no record of it".to_owned();
                self.end(row, Outcome::Failed { reason: Reason::OutcomeUnknown, message }, tools);
            }
        }
    }

    /// Rows that the service does not finish: the next run waits for them.
    fn give_up_slow(&mut self, now: Timestamp, tools: &mut Tools<'_>) {
        let patience = VISIBLE_WITHIN * 2 + SignedDuration::from_secs(self.rows.len() as i64 / 2);
        for row in 0..self.rows.len() {
            if let State::Posted { at, .. } = self.rows[row].state
                && now >= at + patience
            {
                self.end(row, Outcome::Awaiting { since: at }, tools);
            }
        }
    }

    async fn read(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        let waiting = |row: &Row| match row.state {
            State::Registered { id, .. } => Some(id),
            _ => None,
        };
        let ids: Vec<RegistrationId> = self.rows.iter().filter_map(waiting).collect();
        let readings: HashMap<_, _> = tools.writer.get_devices(&ids).await.into_iter().collect();
        let now = tools.clock.now();
        for row in 0..self.rows.len() {
            let State::Registered { id, at } = self.rows[row].state else { continue };
            match readings.get(&id) {
                Some(Ok(Some(device))) => {
                    let outcome = Outcome::Done { registration_id: id, at: now };
                    ended(tools, &self.rows[row].change.serial, &outcome);
                    self.rows[row].state = State::Readable { device: Box::new(device.clone()), outcome };
                }
                Some(Err(error)) if access(error).is_some() => return Err(Halt::Access(error.clone())),
                _ if now >= at + VISIBLE_WITHIN => self.end(row, Outcome::Awaiting { since: at }, tools),
                _ => {}
            }
        }
        self.read_at = now + READ_AGAIN;
        Ok(())
    }

    fn end(&mut self, row: usize, outcome: Outcome, tools: &mut Tools<'_>) {
        ended(tools, &self.rows[row].change.serial, &outcome);
        self.rows[row].state = State::Ended(outcome);
    }

    /// An outcome per row; rows that were not sent get `reason`.
    pub fn finish(
        self,
        reason: Reason,
        message: &str,
        readings: &mut Vec<(RegistrationId, Option<Device>)>,
    ) -> Vec<(usize, Outcome)> {
        let end = |row: Row| {
            let outcome = match row.state {
                State::Planned => Outcome::NotAttempted { reason, message: message.to_owned() },
                State::Posted { at, .. } | State::Registered { at, .. } => Outcome::Awaiting { since: at },
                State::Ended(outcome) => outcome,
                State::Readable { device, outcome } => {
                    readings.push((device.id, Some(*device)));
                    outcome
                }
            };
            (row.index, outcome)
        };
        self.rows.into_iter().map(end).collect()
    }
}

fn import_outcome(code: i64, name: &str) -> Outcome {
    let reason = match ImportError::of(code, name) {
        ImportError::Here => Reason::AlreadyRegistered,
        ImportError::OtherTenant => Reason::AssignedToOtherTenant,
        ImportError::BadHash => Reason::InvalidHardwareHash,
        ImportError::Duplicate => Reason::DuplicateHardware,
        ImportError::Passing | ImportError::Unknown => Reason::ImportFailed,
    };
    Outcome::Failed { reason, message: format!("{code} {name}").trim_end().to_owned() }
}
