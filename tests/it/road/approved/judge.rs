//! Holds what the tenant witnessed against what was approved.

use std::collections::{HashMap, HashSet};

use apgit::door::apply::Outcome;
use apgit::door::model::{Action, Effect, Field, Register, Update};
use apgit::door::plan::{Plan, Reason, import_id};
use apgit::door::round::{Prepared, Report};
use apgit::door::sim::{Write, WriteKind};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::super::scene::{APP, Scene};
use super::super::world::read_aloud;
use super::meddling::{Seen, Wire};

/// A reading is good for so long.
const FRESH_FOR: SignedDuration = SignedDuration::from_secs(60);

/// The least time from any sync to one of ours.
const SYNC_GAP: SignedDuration = SignedDuration::from_secs(610);

/// So many attempts of one import are one effect.
const ATTEMPTS: u32 = 12;

/// What is known of the runs so far.
#[derive(Default)]
pub struct Judge {
    /// How many writes of the tenant's list were judged.
    judged: usize,
    /// Registrations that our imports made, by their import ids.
    made: HashMap<Uuid, String>,
    /// Registrations that we have written before the present run.
    written: HashSet<Uuid>,
    /// Our rows: import id by record.
    rows: HashMap<Uuid, String>,
    last_sync: Option<Timestamp>,
    pub journal_lost: bool,
    pub tally: Tally,
}

/// How many writes of ours were judged, by what they were: a promise over
/// runs that do nothing is none.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub rows: usize,
    pub updates: usize,
    pub tails: usize,
    pub retags: usize,
    pub syncs: usize,
    pub cleaned: usize,
    /// Approved updates whose registration had moved on.
    pub moved: usize,
}

impl Tally {
    pub fn add(&mut self, more: Self) {
        self.rows += more.rows;
        self.updates += more.updates;
        self.tails += more.tails;
        self.retags += more.retags;
        self.syncs += more.syncs;
        self.cleaned += more.cleaned;
        self.moved += more.moved;
    }
}

/// The approved effects of one run, to be found by what was written.
struct Approved<'p> {
    plan: &'p Plan,
    updates: HashMap<Uuid, &'p Update>,
    registers: HashMap<String, &'p Register>,
}

/// The devices per class of one run.
#[derive(Default)]
struct Classes {
    update: HashSet<Uuid>,
    retag: HashSet<Uuid>,
    clear: HashSet<Uuid>,
    adopt: HashSet<Uuid>,
    /// Not counted by any limit.
    tail: HashSet<Uuid>,
}

impl<'p> Approved<'p> {
    fn of(plan: &'p Plan) -> Self {
        let (mut updates, mut registers) = (HashMap::new(), HashMap::new());
        for Effect { device, action } in plan.changes.iter().map(|change| &change.effect) {
            match action {
                Action::Update(update) => {
                    assert!(updates.insert(update.id.0, update).is_none(), "one effect per registration");
                }
                Action::Register(register) => {
                    let ids = (register.attempt..register.attempt + ATTEMPTS).map(|attempt| {
                        let tenant = &plan.tenant;
                        import_id(tenant.id, &tenant.owner, &device.serial, register.digest, attempt).to_string()
                    });
                    registers.extend(ids.map(|id| (id, register)));
                }
                Action::Deregister(_) | Action::Release(_) | Action::Adopt(_) | Action::Keep(_) => {
                    panic!("no ledger is kept here")
                }
            }
        }
        Self { plan, updates, registers }
    }
}

impl Judge {
    /// A plan was approved: it says the same to everybody.
    pub fn approved(&mut self, scene: &Scene, prepared: &Prepared) {
        let plan = prepared.cleared.plan();
        assert!(scene.tenant.may_be_written() || !plan.writes(), "a plan that may write nothing writes nothing");
        let devices: HashSet<_> = plan.changes.iter().map(|change| &change.effect.device).collect();
        assert_eq!(devices.len(), plan.changes.len(), "one effect per device");
    }

    /// Judges what was written since the last time. `None`: nothing was
    /// approved, so nothing may have been.
    pub fn judge(&mut self, scene: &Scene, wire: &Wire, prepared: Option<&Prepared>, about: &str) {
        let writes: Vec<Write> = scene.sim.with(|tenant| tenant.witnessed().skip(self.judged).cloned().collect());
        self.judged += writes.len();
        let approved = prepared.map(|prepared| Approved::of(prepared.cleared.plan()));
        let mut classes = Classes::default();
        let mut written = HashSet::new();
        for write in &writes {
            let verdict = match &approved {
                _ if write.by != APP || write.kind == WriteKind::Register => Ok(()),
                Some(approved) => self.judge_write(write, approved, wire, &mut classes),
                None => Err("nothing was approved".to_owned()),
            };
            if let Err(why) = verdict {
                let plan = prepared.map(|prepared| read_aloud(prepared.cleared.plan()));
                panic!("{about}: {why}: {write:#?}\nthe plan: {plan:#?}\nall writes: {:#?}", aloud(&writes));
            }
            self.remember(write);
            if write.by == APP {
                match write.kind {
                    WriteKind::Import => self.tally.rows += 1,
                    WriteKind::Sync => self.tally.syncs += 1,
                    WriteKind::DeleteRecord => self.tally.cleaned += 1,
                    _ => {}
                }
                written.extend(write.registration.filter(|_| write.kind != WriteKind::Import));
            }
        }
        self.written.extend(written);
        if let Some(prepared) = prepared {
            self.tally.updates += classes.update.len();
            self.tally.tails += classes.tail.len();
            self.tally.retags += classes.retag.len();
            let counts = [classes.update.len(), classes.retag.len(), classes.clear.len(), classes.adopt.len()];
            for (count, limit) in counts.into_iter().zip(prepared.cleared.limits()) {
                let most = limit.limit.max(limit.approved.unwrap_or_default() as usize);
                assert!(count <= most, "{about}: {count} of {limit:?}\nall writes: {:#?}", aloud(&writes));
            }
        }
    }

    fn remember(&mut self, write: &Write) {
        match write.kind {
            WriteKind::Sync => self.last_sync = Some(write.at),
            WriteKind::Register if write.by == APP => {
                self.made.extend(write.registration.map(|id| (id, write.import_id.to_string())));
            }
            WriteKind::Import if write.by == APP => {
                self.rows.extend(write.record.map(|record| (record, write.import_id.to_string())));
            }
            _ => {}
        }
    }

    fn judge_write(
        &self,
        write: &Write,
        approved: &Approved<'_>,
        wire: &Wire,
        classes: &mut Classes,
    ) -> Result<(), String> {
        match write.kind {
            WriteKind::Import => judge_row(write, approved, wire),
            WriteKind::Update | WriteKind::AssignUser | WriteKind::UnassignUser => {
                self.judge_update(write, approved, wire, classes)
            }
            WriteKind::DeleteRecord => self.judge_clean_up(write, approved),
            WriteKind::Sync => self.judge_sync(write, approved),
            WriteKind::Register => Ok(()),
            WriteKind::Delete | WriteKind::Other(_) => Err("no effect does this".to_owned()),
        }
    }

    fn judge_sync(&self, write: &Write, approved: &Approved<'_>) -> Result<(), String> {
        check(approved.plan.upkeep.sync.is_some(), "no sync was approved")?;
        // The service writes times down to 100 ns, and cuts off the rest.
        let gap = self.last_sync.map(|last| write.at.duration_since(last));
        let words = || format!("the last sync is too young: {:?} ago", gap.unwrap_or_default());
        if gap.is_some_and(|gap| gap + SignedDuration::from_nanos(100) < SYNC_GAP) { Err(words()) } else { Ok(()) }
    }

    fn judge_clean_up(&self, write: &Write, approved: &Approved<'_>) -> Result<(), String> {
        let record = write.record.expect("the record that was deleted");
        let row = self.rows.get(&record).ok_or("the import record is somebody else's")?;
        let is_planned = approved.plan.upkeep.clean_up.iter().any(|planned| planned.0 == record);
        check(is_planned || approved.registers.contains_key(row), "no removal of this record was approved")
    }

    fn judge_update(
        &self,
        write: &Write,
        approved: &Approved<'_>,
        wire: &Wire,
        classes: &mut Classes,
    ) -> Result<(), String> {
        let id = write.registration.expect("the registration that was written");
        let seen = wire.last_seen(id, write.at).ok_or("it was never read by id")?;
        check(write.at.duration_since(seen.at) <= FRESH_FOR, "it was read too long ago")?;
        let fields = fields_of(write, &seen);
        let Some(update) = approved.updates.get(&id) else {
            classes.tail.insert(id);
            let made = self.made.get(&id).and_then(|row| approved.registers.get(row));
            return judge_tail(&fields, &seen, made.ok_or("no effect is for this registration")?);
        };
        for (field, value) in &fields {
            let covered = update.fields.iter().any(|f| f.field == *field && f.after == *value);
            check(covered, &format!("the effect does not write this {}", field.name()))?;
        }
        judge_precondition(update, &seen)?;
        if update.tail_of.is_none() {
            self.count(id, &fields, &seen, classes);
        } else {
            classes.tail.insert(id);
        }
        Ok(())
    }

    /// Counts by what the tenant had shown, not by what the plan says.
    fn count(&self, id: Uuid, fields: &[(Field, String)], seen: &Seen, classes: &mut Classes) {
        classes.update.insert(id);
        let changes = |field: Field| {
            let written = fields.iter().find(|(of, _)| *of == field).map(|(_, value)| value.as_str());
            written.filter(|value| !field.same(seen.value(field.name()), value))
        };
        let (tag, user) = (changes(Field::GroupTag), changes(Field::UserPrincipalName));
        if seen.enrolled && tag.is_some() {
            classes.retag.insert(id);
        }
        if tag == Some("") || user == Some("") {
            classes.clear.insert(id);
        }
        if !self.made.contains_key(&id) && !self.written.contains(&id) {
            classes.adopt.insert(id);
        }
    }

    /// Counts what a run has left alone because it had moved.
    pub fn ended(&mut self, report: &Report) {
        let moved =
            |outcome: &Outcome| matches!(outcome, Outcome::NotAttempted { reason: Reason::ChangedMeanwhile, .. });
        self.tally.moved += report.outcomes.of.iter().filter(|(_, outcome)| moved(outcome)).count();
    }

    /// What holds over the whole story.
    pub fn close(&self, scene: &Scene, about: &str) {
        let doubled = scene.sim.with(|tenant| tenant.counters().posted_while_running.clone());
        let others = scene.sim.with(|tenant| {
            let by_hand = |write: &Write| {
                write.by.is_empty() && matches!(write.kind, WriteKind::Import | WriteKind::DeleteRecord)
            };
            tenant.witnessed().any(by_hand)
        });
        // What others imported or removed, or nobody remembers, nobody can know.
        if !others && !self.journal_lost {
            assert!(doubled.is_empty(), "{about}: rows were posted again while they ran: {doubled:?}");
        }
    }
}

fn check(holds: bool, why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_owned()) }
}

fn aloud(writes: &[Write]) -> Vec<String> {
    let line = |write: &Write| {
        let Write { at, kind, by, serial, written, .. } = write;
        let by = if by == APP { "we" } else { "others" };
        format!("{at} {by} {kind:?} {serial} {written:?} {:?}", write.registration)
    };
    writes.iter().map(line).collect()
}

fn judge_row(write: &Write, approved: &Approved<'_>, wire: &Wire) -> Result<(), String> {
    let register = approved.registers.get(write.import_id.as_str()).ok_or("no effect is for this row")?;
    let sent = wire.hashes(&write.import_id);
    check(sent.iter().all(|digest| *digest == register.digest), "this is another hash")?;
    for (field, name) in [(Field::GroupTag, "groupTag"), (Field::UserPrincipalName, "assignedUserPrincipalName")] {
        let wanted = register.value(field).map(|value| value.as_str()).unwrap_or_default();
        let sent = write.written.iter().find(|(of, _)| *of == name).map(|(_, value)| value.as_str());
        check(sent.unwrap_or_default() == wanted, &format!("the effect has another {name}"))?;
    }
    Ok(())
}

/// The fields that a write is about. A greeting travels beside the user that
/// is there, and goes with it.
fn fields_of(write: &Write, seen: &Seen) -> Vec<(Field, String)> {
    let value = |field: Field| write.written.iter().find(|(name, _)| *name == field.name());
    let mut fields: Vec<(Field, String)> =
        Field::ALL.into_iter().filter_map(|field| Some((field, value(field)?.1.to_string()))).collect();
    if write.kind == WriteKind::UnassignUser {
        fields.retain(|(field, _)| *field != Field::AddressableUserName);
    } else if fields.iter().any(|(field, _)| *field == Field::AddressableUserName) {
        let user = Field::UserPrincipalName;
        fields.retain(|(field, value)| *field != user || !user.same(value, seen.value(user.name())));
    }
    fields
}

/// What our own import could not carry, and nobody has given it since.
fn judge_tail(fields: &[(Field, String)], seen: &Seen, register: &Register) -> Result<(), String> {
    let tail = register.tail();
    for (field, value) in fields {
        check(!field.travels_with_import(), "this is no part of a tail")?;
        check(tail.iter().any(|(of, to)| of == field && to == value), "the effect has no such tail")?;
        let now = seen.value(field.name());
        check(now.is_empty() || field.same(now, value), "somebody has given it another value")?;
    }
    Ok(())
}

/// The same registration, enrolled or not as before, every field as it was or
/// as the effect leaves it.
fn judge_precondition(update: &Update, seen: &Seen) -> Result<(), String> {
    check(seen.enrolled == update.before.is_enrolled(), "it has enrolled, or left")?;
    for field in Field::ALL {
        let now = seen.value(field.name());
        let after = update.fields.iter().find(|change| change.field == field).map(|change| change.after.as_str());
        let holds = field.same(now, field.of(&update.before)) || after.is_some_and(|after| field.same(now, after));
        check(holds, &format!("its {} was `{}` and is `{now}`", field.name(), field.of(&update.before)))?;
    }
    Ok(())
}
