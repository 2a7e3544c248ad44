//! The import rows of one run: posted in batches, looked at together, halved
//! when refused, and done when the registration can be read.
//!
//! What is done per device is done a fixed number of times: a run of a hundred
//! thousand must not cost more per device than one of a thousand.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::clock::Stop;
use crate::graph::{GraphError, ImportRecord, ImportRow};
use crate::hash::HashSource;
use crate::ledger::Entry;
use crate::model::{
    Action, Device, Field, HardwareHash, ImportId, ImportState, Register, RegistrationId, SerialKey, carried, later,
};
use crate::plan::{Change, ImportError, LISTED_WITHIN, Reason, VISIBLE_WITHIN, import_id};

use super::event::Event;
use super::execute::{Ending, Halt, Order, Tools, access};
use super::hashes::{Hashes, wanted};
use super::outcome::Outcome;

/// Looking at the import list: first after this, then in this rhythm, then in
/// a slower one (the fields of the trade: 15 s to 30 s; one list for all).
const LOOK: SignedDuration = SignedDuration::from_secs(20);
const LOOK_LATER: SignedDuration = SignedDuration::from_secs(30);
const LATER: SignedDuration = SignedDuration::from_mins(3);

/// The tenant waits for the last row with its sync. So the look at which that
/// is likely over comes early, by this share later than the rows before it
/// make believe; but there are never more looks within a minute than this.
const LATENESS_PERCENT: i32 = 150;
const LOOK_MIN: SignedDuration = SignedDuration::from_secs(10);
const LOOKS_A_MINUTE: usize = 4;

/// Nothing is posted after a look that is older than this: somebody else may
/// have sent the same rows since. A look costs a page per thousand records, and
/// may be as old as it is long.
const LOOK_FRESH: SignedDuration = SignedDuration::from_secs(2);
const LOOK_FRESH_PER_PAGE: SignedDuration = SignedDuration::from_millis(500);

/// A look in which nothing can have ended yet is put off, but never by more
/// than this share of the time that has passed.
const FORESIGHT_SHARE: i32 = 3;

/// Batches go out about a second apart: one of our writes (`graph::pace`).
const BATCH_GAP: SignedDuration = SignedDuration::from_secs(1);

/// Reading fresh registrations.
const READ_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// A look costs a page per thousand rows, so a long run looks less often: not
/// before this share of its time has passed again. It ends so much later at
/// the most.
const PATIENCE_SHARE: i32 = 16;

/// More registrations than this are read from the list, if that takes fewer
/// requests, and only once no more are to come.
const SINGLES_MAX: usize = 100;

/// A list lags by minutes, a reading by id by seconds. So what a list lacks is
/// read by id, if it is no more than this: fifty seconds of our budget.
const REST_MAX: usize = 2000;

/// What a page of the list holds.
const PAGE: usize = 1000;

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
    /// Registered, and not readable yet.
    Registered {
        id: RegistrationId,
        at: Timestamp,
    },
    /// Its record was removed while we waited: the registration is looked for.
    Removed {
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
    /// Rows by the imports with which their devices were sent before.
    by_earlier: HashMap<ImportId, usize>,
    /// Batches of rows still to be posted.
    queue: VecDeque<Vec<usize>>,
    /// Hashes of the next batch, read while the one before was sent.
    ahead: Option<(Vec<usize>, Hashes)>,
    /// Rows that wait for the service, and those that wait to be read.
    posted: BTreeSet<usize>,
    unread: BTreeSet<usize>,
    /// The first batch of a gated run, which must settle before the rest goes out.
    gate: Option<Vec<usize>>,
    gate_closed: Option<String>,
    settled: usize,
    /// When the youngest rows were posted, of all and of those that have ended.
    youngest: Timestamp,
    youngest_ended: Timestamp,
    /// Why rows failed, and how many.
    causes: HashMap<String, usize>,
    /// Registrations that the tenant had when it was planned.
    registered: usize,
    connect_tries: u32,
    /// When the records were last asked for, and when that showed one of ours
    /// without an end.
    asked_at: Timestamp,
    running_at: Option<Timestamp>,
    /// When the records were last seen, and how many there were.
    looked_at: Option<Timestamp>,
    records: usize,
    /// How many rows had ended when the youngest were posted.
    settled_before: usize,
    started: Timestamp,
    post_at: Timestamp,
    look_at: Timestamp,
    /// The last looks, the one before the plan included.
    looks: VecDeque<Timestamp>,
    read_at: Timestamp,
    told: usize,
}

impl<'a> Imports<'a> {
    pub(super) fn new(changes: &'a [Change], order: Order<'_>, now: Timestamp) -> Self {
        let Order { cleared, schedule, records_at, .. } = order;
        let mut rows = Vec::new();
        let mut push = |index: usize, state: State| {
            let change = &changes[index];
            let Action::Register(register) = change.action() else {
                unreachable!("the schedule puts only registrations among the imports")
            };
            rows.push(Row { index, change, register, state });
            rows.len() - 1
        };
        let queue: VecDeque<Vec<usize>> =
            schedule.imports.iter().map(|batch| batch.iter().map(|i| push(*i, State::Planned)).collect()).collect();
        // What runs already has a record, which the journal learnt of before.
        let running = |index: &usize| push(*index, State::Posted { at: now, taken: true });
        let posted = schedule.running.iter().map(running).collect();
        let by_import = rows.iter().enumerate().map(|(row, of)| (of.register.import_id, row)).collect();
        let tenant = &cleared.plan().tenant;
        let earlier = |(row, Row { change, register, .. }): (usize, &Row<'a>)| {
            let id = |attempt| import_id(tenant.id, &tenant.owner, change.serial(), register.digest, attempt);
            (1..register.attempt).map(|attempt| (id(attempt), row)).collect::<Vec<_>>()
        };
        let by_earlier = rows.iter().enumerate().flat_map(earlier).collect();
        let gate = schedule.gated.then(|| queue[0].clone());
        Self {
            rows,
            by_import,
            by_earlier,
            queue,
            ahead: None,
            posted,
            unread: BTreeSet::new(),
            gate,
            gate_closed: None,
            settled: 0,
            youngest: now,
            youngest_ended: now,
            causes: HashMap::new(),
            registered: cleared.plan().counts.registered,
            connect_tries: 0,
            asked_at: now,
            running_at: (!schedule.running.is_empty()).then_some(now),
            looked_at: records_at,
            records: 0,
            settled_before: 0,
            started: now,
            post_at: now,
            // What runs already is looked at once the rhythm allows it.
            look_at: later(now, LOOK),
            looks: VecDeque::from([now]),
            read_at: now,
            told: 0,
        }
    }

    /// When a row of ours was last seen without an end, by our own clock.
    pub(super) fn running_at(&self) -> Option<Timestamp> {
        self.running_at
    }

    pub(super) fn gate_closed(&self) -> Option<&str> {
        self.gate_closed.as_deref()
    }

    /// Does what is due.
    pub(super) async fn step(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        if !self.queue.is_empty()
            && let Some(message) = tools.frozen()
        {
            self.freeze(&message, tools);
        }
        // One batch at a time: what became of those before it is looked at in
        // between, and may keep it back.
        let pages = i32::try_from(self.records / PAGE).unwrap_or(i32::MAX);
        let fresh_for = LOOK_FRESH.max(LOOK_FRESH_PER_PAGE.saturating_mul(pages));
        let is_fresh = |at: Timestamp| tools.clock.now() < later(at, fresh_for);
        if !self.looked_at.is_some_and(is_fresh) && self.may_post(tools) {
            self.look_first(tools).await?;
        }
        if self.may_post(tools) {
            self.post(tools).await?;
        }
        if !self.posted.is_empty() && self.look_at <= tools.clock.now() {
            self.look(tools).await?;
        }
        if self.reads_now() && self.read_at <= tools.clock.now() {
            self.read(tools).await?;
        }
        Ok(())
    }

    /// When the next thing is due, and what it is.
    pub(super) fn due(&self) -> Option<(Timestamp, &'static str)> {
        let post = (!self.queue.is_empty() && self.gate_is_open()).then_some((self.post_at, "the next import batch"));
        let look = (!self.posted.is_empty()).then_some((self.look_at, "the service to import"));
        let read = self.reads_now().then_some((self.read_at, "registrations to become readable"));
        [post, look, read].into_iter().flatten().min()
    }

    /// True while rows are to be posted, or are the service's to end.
    pub(super) fn are_under_way(&self) -> bool {
        !self.queue.is_empty() || !self.posted.is_empty()
    }

    /// True if rows are registered, and no other can be without a plan that is
    /// not made yet. Where somebody removed a record, nobody knows before the
    /// registration is found.
    pub(super) fn are_complete(&self) -> bool {
        let is_registered = |row: &Row| matches!(row.state, State::Registered { .. } | State::Readable { .. });
        let is_over = |row: &Row| matches!(&row.state, State::Ended(outcome) if !outcome.is_worth_another_round());
        self.rows.iter().any(is_registered) && self.rows.iter().all(|row| is_registered(row) || is_over(row))
    }

    /// Nobody waits for a registration to be read back, so many are read
    /// together, at the end.
    fn reads_now(&self) -> bool {
        !self.unread.is_empty() && (self.unread.len() <= SINGLES_MAX || !self.are_under_way())
    }

    /// The one way in which a row moves on.
    fn set(&mut self, row: usize, state: State) {
        let waits_before = matches!(self.rows[row].state, State::Planned | State::Posted { .. });
        let waits_now = matches!(state, State::Planned | State::Posted { .. });
        self.settled += usize::from(waits_before && !waits_now);
        let posted = matches!(state, State::Posted { .. });
        let unread = matches!(state, State::Registered { .. } | State::Removed { .. });
        for (rows, belongs) in [(&mut self.posted, posted), (&mut self.unread, unread)] {
            if belongs {
                rows.insert(row);
            } else {
                rows.remove(&row);
            }
        }
        self.rows[row].state = state;
    }

    fn may_post(&mut self, tools: &mut Tools<'_>) -> bool {
        if self.queue.is_empty() || tools.clock.now() < self.post_at || !self.gate_is_open() {
            return false;
        }
        if let Some(cause) = self.too_many_failed() {
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
        let (settled, failed) = (self.settled, self.causes.values().sum::<usize>());
        if failed * 100 <= settled * GATE_PERCENT {
            return None;
        }
        let (cause, times) = self.causes.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)))?;
        Some(format!("{failed} of {settled} rows failed, {times} of them: {cause}"))
    }

    /// What is not sent yet stays here; the rest is seen through.
    fn freeze(&mut self, message: &str, tools: &mut Tools<'_>) {
        for row in std::mem::take(&mut self.queue).into_iter().flatten() {
            let outcome = Outcome::NotAttempted { reason: Reason::Frozen, message: message.to_owned() };
            self.end(row, outcome, tools);
        }
        self.gate = None;
    }

    fn close_gate(&mut self, cause: &str, tools: &mut Tools<'_>) {
        for row in std::mem::take(&mut self.queue).into_iter().flatten() {
            let outcome = Outcome::NotAttempted { reason: Reason::GateClosed, message: cause.to_owned() };
            self.end(row, outcome, tools);
        }
        self.gate = None;
        self.gate_closed = Some(cause.to_owned());
    }

    /// Where it cannot be seen what is there, nothing is sent.
    async fn look_first(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        self.asked_at = tools.clock.now();
        match tools.writer.list_imports().await {
            Ok(records) => self.see(&records, tools).await,
            Err(error) => match (access(&error), self.queue.pop_front()) {
                (Some(halt), _) => Err(halt),
                (None, Some(batch)) => {
                    self.try_later(batch, &error, tools);
                    Ok(())
                }
                (None, None) => Ok(()),
            },
        }
    }

    /// Counts in a complete list. Planned rows that have a record were sent by
    /// somebody else: they are followed, and not sent a second time.
    async fn see(&mut self, records: &[ImportRecord], tools: &mut Tools<'_>) -> Result<(), Halt> {
        let now = tools.clock.now();
        (self.looked_at, self.records) = (Some(now), records.len());
        let row = |record: &ImportRecord| record.import_id.and_then(|id| self.by_import.get(&id).copied());
        let is_planned = |row: &usize| matches!(self.rows[*row].state, State::Planned);
        let sent_again = records.iter().filter(|record| record.state == ImportState::Running);
        let sent_again = sent_again.filter_map(|record| self.by_earlier.get(&record.import_id?).copied());
        let sent_again: HashSet<usize> = sent_again.filter(is_planned).collect();
        let there: HashSet<usize> = match self.queue.is_empty() {
            true => HashSet::new(),
            false => records.iter().filter_map(row).filter(is_planned).collect(),
        };
        for row in &sent_again {
            let message = "another machine has sent an earlier import of it again, and that runs".to_owned();
            let outcome = Outcome::NotAttempted { reason: Reason::ChangedMeanwhile, message };
            self.end(*row, outcome, tools);
        }
        if !there.is_empty() || !sent_again.is_empty() {
            let stays = |row: &usize| !there.contains(row) && !sent_again.contains(row);
            self.queue.iter_mut().for_each(|batch| batch.retain(stays));
            self.queue.retain(|batch| !batch.is_empty());
        }
        if !there.is_empty() {
            let there: Vec<usize> = there.into_iter().collect();
            tools.record(there.iter().map(|row| self.intent(*row)).collect()).await?;
            if self.posted.is_empty() {
                self.look_at = later(now, LOOK);
            }
            self.sent(&there, now);
        }
        self.take(records, tools).await
    }

    async fn post(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        let Some(batch) = self.queue.pop_front() else { return Ok(()) };
        let ahead = self.ahead.take().filter(|(rows, _)| *rows == batch);
        let hashes = match ahead {
            Some((_, hashes)) => Some(hashes),
            None => self.hashes_of(&batch, tools.hashes, tools.stop).await,
        };
        let Some(Hashes { good, bad }) = hashes else {
            self.queue.push_front(batch);
            return Err(Halt::Asked);
        };
        for (row, reason, message) in bad {
            self.end(row, Outcome::NotAttempted { reason, message }, tools);
        }
        if good.is_empty() {
            return Ok(());
        }
        let (batch, hashes): (Vec<usize>, Vec<HardwareHash>) = good.into_iter().unzip();
        tools.record(batch.iter().map(|row| self.intent(*row)).collect()).await?;
        let is_first = self.posted.is_empty();
        let rows: Vec<ImportRow> = batch.iter().zip(hashes).map(|(row, hash)| self.import_row(*row, hash)).collect();
        let (next, source, stop) = (self.queue.front().cloned(), tools.hashes, tools.stop);
        self.asked_at = tools.clock.now();
        let (answer, ahead) = tokio::join!(tools.writer.import(&rows), async {
            match &next {
                Some(next) => self.hashes_of(next, source, stop).await,
                None => None,
            }
        });
        drop(rows);
        self.ahead = next.zip(ahead);
        let now = tools.clock.now();
        match answer {
            Ok(records) => self.arrived(&batch, &records, tools).await?,
            Err(error) if error.effect_is_unknown() => self.sent(&batch, now),
            Err(error) => self.refused(batch, &error, tools).await?,
        }
        if is_first {
            self.look_at = later(now, LOOK);
        }
        Ok(())
    }

    fn intent(&self, row: usize) -> Entry {
        let Row { change, register, .. } = &self.rows[row];
        Entry::ImportIntent {
            import_id: register.import_id,
            device: change.effect.device.clone(),
            hash: register.digest,
            attempt: register.attempt,
            tail: register.tail(),
            carried: carried(&register.values),
        }
    }

    /// Borrows the source and not the tools: those cannot be shared between
    /// threads, and the future of a run must be able to move.
    ///
    /// `None` if somebody asked to stop before they were read.
    async fn hashes_of(&self, batch: &[usize], source: &dyn HashSource, stop: &Stop) -> Option<Hashes> {
        let asked = batch.iter().filter_map(|row| wanted(self.rows[*row].change)).collect();
        let mut read = tokio::select! {
            read = source.read(asked) => read.into_iter(),
            () = stop.asked() => return None,
        };
        let mut hashes = Hashes::default();
        for row in batch {
            let Row { change, register, .. } = &self.rows[*row];
            let answer = change.hash.is_some().then(|| read.next()).flatten();
            hashes.add(*row, register, answer);
        }
        Some(hashes)
    }

    fn import_row(&self, row: usize, hash: HardwareHash) -> ImportRow<'a> {
        let Row { change, register, .. } = &self.rows[row];
        let (change, register): (&'a Change, &'a Register) = (change, register);
        let text =
            |field| register.value(field).map(compact_str::CompactString::as_str).filter(|text| !text.is_empty());
        ImportRow {
            serial: change.serial(),
            hash,
            group_tag: text(Field::GroupTag),
            user: text(Field::UserPrincipalName),
            import_id: register.import_id,
        }
    }

    fn sent(&mut self, batch: &[usize], at: Timestamp) {
        self.youngest = at;
        self.settled_before = self.settled;
        batch.iter().for_each(|row| self.set(*row, State::Posted { at, taken: false }));
    }

    /// Answers are matched by import id, never by position.
    async fn arrived(&mut self, batch: &[usize], records: &[ImportRecord], tools: &mut Tools<'_>) -> Result<(), Halt> {
        self.connect_tries = 0;
        self.sent(batch, tools.clock.now());
        tools.tell(Event::Posted { rows: batch.len(), of: self.rows.len() });
        if self.gate.as_ref().is_some_and(|gate| batch.iter().all(|row| gate.contains(row))) {
            tools.tell(Event::Gate { rows: batch.len() });
        }
        self.take(records, tools).await
    }

    async fn refused(&mut self, batch: Vec<usize>, error: &GraphError, tools: &mut Tools<'_>) -> Result<(), Halt> {
        if let Some(halt) = access(error) {
            self.queue.push_front(batch);
            return Err(halt);
        }
        if error.is_transient() {
            self.try_later(batch, error, tools);
            return Ok(());
        }
        if let [row] = batch[..] {
            let import_id = self.rows[row].register.import_id;
            tools.record(vec![Entry::ImportRefused { import_id, message: error.message.clone() }]).await?;
            let outcome = Outcome::Failed { reason: Reason::ImportRefused, message: error.message.clone() };
            self.end(row, outcome, tools);
            return Ok(());
        }
        // One bad row refuses all of them, and the service does not say which.
        tools.tell(Event::Halved { rows: batch.len(), message: error.message.clone() });
        let (left, right) = batch.split_at(batch.len() / 2);
        self.queue.push_front(right.to_vec());
        self.queue.push_front(left.to_vec());
        Ok(())
    }

    fn try_later(&mut self, batch: Vec<usize>, error: &GraphError, tools: &mut Tools<'_>) {
        self.connect_tries += 1;
        if self.connect_tries < CONNECT_TRIES {
            self.post_at = later(tools.clock.now(), LOOK * (1 << self.connect_tries.min(6)));
            self.queue.push_front(batch);
            return;
        }
        let message = error.to_string();
        for row in batch.into_iter().chain(std::mem::take(&mut self.queue).into_iter().flatten()) {
            let outcome = Outcome::NotAttempted { reason: Reason::ServiceUnavailable, message: message.clone() };
            self.end(row, outcome, tools);
        }
        self.gate = None;
    }

    /// One list for all rows that are under way.
    async fn look(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        self.asked_at = tools.clock.now();
        match tools.writer.list_imports().await {
            Ok(records) => {
                self.see(&records, tools).await?;
                self.miss(&records, tools).await?;
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
        let slow = now > later(self.started, LATER);
        let usual = self.rhythm(if slow { LOOK_LATER } else { LOOK }, now);
        self.look_at = later(now, self.likely_end(now).min(usual).max(self.foresight(now)));
        self.looks.push_back(now);
        if self.looks.len() == LOOKS_A_MINUTE {
            let first = self.looks.pop_front().unwrap_or(now);
            self.look_at = self.look_at.max(later(first, SignedDuration::from_mins(1)));
        }
        if self.settled > self.told {
            self.told = self.settled;
            tools.tell(Event::Imports { settled: self.settled, of: self.rows.len() });
        }
        Ok(())
    }

    /// Rows end in about the order in which they were posted: those that were
    /// posted a minute after the last that has ended are not over within a
    /// minute. A service that ends them in another order is looked at in the
    /// usual rhythm.
    fn foresight(&self, now: Timestamp) -> SignedDuration {
        if !self.gate_is_open() {
            return SignedDuration::ZERO;
        }
        let to_come = BATCH_GAP * i32::try_from(self.queue.len()).unwrap_or(i32::MAX);
        let behind = self.youngest.duration_since(self.youngest_ended).saturating_add(to_come);
        behind.min(now.duration_since(self.started) / FORESIGHT_SHARE)
    }

    /// How long the rows that are out still take, if they go on as those before
    /// them have since the youngest was posted. Rows that are late by minutes
    /// have a reason of their own, and nobody knows.
    fn likely_end(&self, now: Timestamp) -> SignedDuration {
        let since = now.duration_since(self.youngest);
        let ended = self.settled - self.settled_before;
        if since >= LATER || ended == 0 {
            return SignedDuration::MAX;
        }
        let number = |rows: usize| i32::try_from(rows).unwrap_or(i32::MAX);
        (since * number(self.posted.len()) / number(ended) * LATENESS_PERCENT / 100).max(LOOK_MIN)
    }

    /// The longer a run takes, the less often it looks.
    fn rhythm(&self, usual: SignedDuration, now: Timestamp) -> SignedDuration {
        usual.max(now.duration_since(self.started) / PATIENCE_SHARE)
    }

    /// Counts in what the records say about rows that are under way.
    async fn take(&mut self, records: &[ImportRecord], tools: &mut Tools<'_>) -> Result<(), Halt> {
        let now = tools.clock.now();
        let mut entries = Vec::new();
        let mut ends = Vec::new();
        for record in records {
            let Some(row) = record.import_id.and_then(|id| self.by_import.get(&id).copied()) else { continue };
            let import_id = self.rows[row].register.import_id;
            let State::Posted { at, taken } = &mut self.rows[row].state else { continue };
            let at = *at;
            if !std::mem::replace(taken, true) {
                entries.push(Entry::ImportTaken { import_id, record: record.id });
            }
            match &record.state {
                ImportState::Complete { registration_id } => {
                    let registration_id = *registration_id;
                    entries.push(Entry::ImportComplete { import_id, registration_id });
                    self.set(row, State::Registered { id: registration_id, at: now });
                    self.read_at = now;
                }
                ImportState::Error { code, name } => {
                    ends.push((row, import_outcome(*code, name)));
                    entries.push(Entry::ImportError { import_id, code: *code, name: name.clone() });
                }
                ImportState::Running | ImportState::Unsent | ImportState::Refused { .. } | ImportState::Removed => {
                    self.running_at = self.running_at.max(Some(self.asked_at));
                    continue;
                }
            }
            self.youngest_ended = self.youngest_ended.max(at);
        }
        tools.record(entries).await?;
        ends.into_iter().for_each(|(row, outcome)| self.end(row, outcome, tools));
        Ok(())
    }

    /// Rows of which a complete list shows no trace, though we have sent them:
    /// never taken, or removed by somebody since.
    async fn miss(&mut self, records: &[ImportRecord], tools: &mut Tools<'_>) -> Result<(), Halt> {
        let now = tools.clock.now();
        let listed: HashSet<ImportId> = records.iter().filter_map(|record| record.import_id).collect();
        let missing = |row: &&usize| {
            let Row { register, state, .. } = &self.rows[**row];
            matches!(state, State::Posted { at, .. } if now >= later(*at, LISTED_WITHIN))
                && !listed.contains(&register.import_id)
        };
        let missing: Vec<usize> = self.posted.iter().filter(missing).copied().collect();
        let mut entries = Vec::new();
        for row in missing {
            let State::Posted { at, taken } = self.rows[row].state else { continue };
            if taken {
                entries.push(Entry::ImportRemoved { import_id: self.rows[row].register.import_id });
                self.set(row, State::Removed { at });
                self.read_at = now;
            } else {
                let message = "the answer to the import was lost, and there is no record of it".to_owned();
                self.end(row, Outcome::Failed { reason: Reason::OutcomeUnknown, message }, tools);
            }
        }
        tools.record(entries).await
    }

    /// Rows that the service does not finish: the next run waits for them.
    fn give_up_slow(&mut self, now: Timestamp, tools: &mut Tools<'_>) {
        let queued = SignedDuration::from_secs(i64::try_from(self.rows.len() / 2).unwrap_or(i64::MAX));
        let patience = queued.saturating_add(VISIBLE_WITHIN * 2);
        let slow = |row: &usize| match self.rows[*row].state {
            State::Posted { at, .. } if now >= later(at, patience) => Some((*row, at)),
            _ => None,
        };
        let slow: Vec<(usize, Timestamp)> = self.posted.iter().filter_map(slow).collect();
        for (row, at) in slow {
            let since = tools.writer.service_of(at);
            self.end(row, Outcome::Awaiting { since }, tools);
        }
    }

    /// Reads what should be readable by now: few of them one by one, many from
    /// the list, and then what that lacks.
    async fn read(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        let id = |row: &usize| match self.rows[*row].state {
            State::Registered { id, .. } => Some(id),
            _ => None,
        };
        let ids: Vec<RegistrationId> = self.unread.iter().filter_map(id).collect();
        let pages = (self.registered + self.rows.len()) / PAGE;
        let lists = ids.len() < self.unread.len() || (ids.len() > SINGLES_MAX && ids.len() > pages);
        let mut found = if lists { self.list(tools).await? } else { Found::default() };
        let rest: Vec<RegistrationId> = ids.into_iter().filter(|id| !found.by_id.contains_key(id)).collect();
        let asks_for_each = rest.len() <= REST_MAX;
        if asks_for_each {
            found.read(&rest, tools).await?;
        }
        let now = tools.clock.now();
        for row in self.unread.iter().copied().collect::<Vec<_>>() {
            let (device, at) = match self.rows[row].state {
                State::Registered { id, at } => (found.by_id.get(&id), at),
                State::Removed { at } => (found.by_serial.get(&self.rows[row].change.serial().key()), at),
                _ => continue,
            };
            match device {
                Some(device) => {
                    let outcome = Outcome::Done { registration_id: device.id, at: tools.writer.service_of(now) };
                    tools.ended(&self.rows[row].change.effect.device, &outcome);
                    self.set(row, State::Readable { device: Box::new(device.clone()), outcome });
                }
                None if asks_for_each && now >= later(at, VISIBLE_WITHIN) => {
                    let since = tools.writer.service_of(at);
                    self.end(row, Outcome::Awaiting { since }, tools);
                }
                None => {}
            }
        }
        self.read_at = later(now, self.rhythm(READ_AGAIN, now));
        Ok(())
    }

    async fn list(&self, tools: &mut Tools<'_>) -> Result<Found, Halt> {
        let observed = match tools.writer.list_devices().await {
            Ok(observed) => observed,
            Err(error) => match access(&error) {
                Some(halt) => return Err(halt),
                None => {
                    tracing::warn!(%error, "cannot list the registrations; looking again");
                    return Ok(Found::default());
                }
            },
        };
        let (mut ids, mut serials) = (HashSet::new(), HashSet::new());
        for row in &self.unread {
            match self.rows[*row].state {
                State::Registered { id, .. } => _ = ids.insert(id),
                _ => _ = serials.insert(self.rows[*row].change.serial().key()),
            }
        }
        let mut found = Found::default();
        for device in observed.into_devices() {
            if serials.contains(&device.key()) {
                found.by_serial.insert(device.key(), device);
            } else if ids.contains(&device.id) {
                found.by_id.insert(device.id, device);
            }
        }
        Ok(found)
    }

    fn end(&mut self, row: usize, outcome: Outcome, tools: &mut Tools<'_>) {
        tools.ended(&self.rows[row].change.effect.device, &outcome);
        if let Outcome::Failed { reason, message } = &outcome
            && *reason != Reason::AlreadyRegistered
        {
            *self.causes.entry(format!("{}: {message}", reason.text())).or_default() += 1;
        }
        self.set(row, State::Ended(outcome));
    }

    /// An outcome per row.
    pub(super) fn finish(
        self,
        ending: &Ending<'_>,
        readings: &mut Vec<(RegistrationId, Option<Device>)>,
    ) -> Vec<(usize, Outcome)> {
        let end = |row: Row| {
            let outcome = match row.state {
                State::Planned => ending.not_sent(),
                State::Posted { at, .. } | State::Registered { at, .. } | State::Removed { at } => ending.awaited(at),
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

/// Registrations that were looked for and found.
#[derive(Default)]
struct Found {
    by_id: HashMap<RegistrationId, Device>,
    by_serial: HashMap<SerialKey, Device>,
}

impl Found {
    /// Adds what can be read by id.
    async fn read(&mut self, ids: &[RegistrationId], tools: &mut Tools<'_>) -> Result<(), Halt> {
        for (id, reading) in tools.writer.get_devices(ids).await {
            match reading {
                Ok(Some(device)) => _ = self.by_id.insert(id, device),
                Ok(None) => {}
                Err(error) => {
                    if let Some(halt) = access(&error) {
                        return Err(halt);
                    }
                }
            }
        }
        Ok(())
    }
}

fn import_outcome(code: i64, name: &str) -> Outcome {
    let reason = ImportError::of(code, name).reason();
    Outcome::Failed { reason, message: format!("{code} {name}").trim_end().to_owned() }
}
