//! The ledger of one tenant while a run is entered into it: what each effect came to,
//! and what is as declared already. Nothing is read or written here.

use std::collections::{BTreeMap, HashMap, HashSet};

use compact_str::CompactString;
use jiff::Timestamp;

use crate::apply::Outcome;
use crate::ledger::{Deleting, Gone, Hardware, Journal, Ledger, Tracked};
use crate::model::{
    Action, Claim, DeletionPolicy, Device, DeviceKey, Field, Origin, RegistrationId, Release, Update, carried,
};
use crate::plan::{Change, Reason, wanted};

/// The ledger while it is brought up to date.
pub(super) struct Page<'a> {
    pub ledger: Ledger,
    pub claims: HashMap<DeviceKey, &'a Claim>,
    pub file: &'a (dyn Fn(Origin) -> String + Send + Sync),
    pub marked: &'a HashMap<DeviceKey, Option<Deleting>>,
    pub hardware: &'a HashMap<DeviceKey, Hardware>,
    /// That declares what is applied, if the files are as it has them.
    pub commit: Option<String>,
    /// True if the commits of before may be of another history.
    pub is_replaced: bool,
    /// Those that are.
    pub replaced: &'a HashSet<String>,
    pub plan: String,
    pub now: Timestamp,
}

impl Page<'_> {
    pub(super) fn outcome(&mut self, change: &Change, outcome: &Outcome) {
        let device = &change.effect.device;
        if let Some(id) = change.action().registration() {
            self.rename(device, id);
        }
        let is_done = matches!(outcome, Outcome::Done { .. });
        match (change.action(), outcome) {
            (Action::Register(register), Outcome::Done { registration_id, .. }) => {
                self.track(device, *registration_id, false, values(register.values.iter().cloned()));
                let read = Some(&change.hardware).filter(|hardware| !hardware.is_empty());
                let read = read.or_else(|| self.hardware.get(device));
                if let (Some(tracked), Some(hardware)) = (self.ledger.get_mut(device), read) {
                    tracked.hardware.clone_from(hardware);
                }
            }
            (Action::Update(update), outcome) if may_be_written(outcome) => {
                self.update(device, update);
                if let Some(tracked) = self.ledger.get_mut(device) {
                    for f in update.fields.iter().filter(|f| change.drifted.contains(&f.field)) {
                        tracked.correct(f.field, &f.before, self.now);
                    }
                }
            }
            (Action::Adopt(adopt), Outcome::Done { .. }) => {
                self.track(device, adopt.id, true, shown(&adopt.before));
            }
            (Action::Keep(keep), Outcome::Done { .. }) => {
                if let Some(tracked) = self.ledger.get_mut(device) {
                    tracked.protect = keep.protect.unwrap_or(tracked.protect);
                    if let Some(deletion) = keep.deletion {
                        tracked.declare_deletion(deletion);
                    }
                    // It is this commit that says so, or none.
                    tracked.commit.clone_from(&self.commit);
                    tracked.plan.clone_from(&self.plan);
                    tracked.at = self.now;
                }
            }
            (Action::Release(Release { is_gone, .. }), Outcome::Done { .. }) => {
                self.forget(device, if *is_gone { Gone::Vanished } else { Gone::Released });
            }
            (Action::Deregister(_), _) if is_done => self.forget(device, Gone::Deregistered),
            (Action::Deregister(_), outcome) if !may_be_written(outcome) => {
                // A run of before may have asked for it, and then it may still go.
                if let Some(tracked) = self.ledger.get_mut(device) {
                    tracked.deleting = self.marked.get(device).cloned().flatten();
                }
            }
            _ => {}
        }
    }

    /// An update that was sent is what we last wrote, whether the service shows
    /// it or not: where it never does, nothing is removed by it.
    fn update(&mut self, device: &DeviceKey, update: &Update) {
        let mut now = Device::clone(&update.before);
        for change in &update.fields {
            change.field.set(&mut now, change.after.clone());
        }
        // What the service takes away with the user.
        if now.user.is_empty() {
            now.addressable_user_name = CompactString::default();
        }
        let known = self.ledger.get(device).filter(|tracked| tracked.registration_id == update.id);
        let adopted = known.map_or(update.adopts, |tracked| tracked.adopted);
        self.track(device, update.id, adopted, shown(&now));
    }

    fn track(&mut self, device: &DeviceKey, id: RegistrationId, adopted: bool, values: BTreeMap<Field, CompactString>) {
        let Some(claim) = self.claims.get(device).copied() else { return };
        // One of the same name that is on its way out has its own end.
        let known = self.ledger.get(device);
        if known.is_some_and(|known| known.deleting.is_some() && known.registration_id != id) {
            self.forget(device, Gone::Deregistered);
        }
        // Whatever it was declared as: a registration is one device.
        let known = self.ledger.of(id).or_else(|| self.ledger.get(device));
        let protect = claim.protect || known.is_some_and(|known| known.protect);
        let known = known.filter(|known| known.registration_id == id);
        let adopted_with = match known {
            Some(known) => known.adopted_with,
            None => adopted.then_some(claim.deletion_policy),
        };
        let mut tracked = Tracked {
            serial_number: device.serial.clone(),
            declared_registration_id: device.registration,
            registration_id: id,
            adopted,
            values,
            declared: wanted(claim).into_iter().map(|(field, _)| field).collect(),
            deletion_policy: DeletionPolicy::Orphan,
            adopted_with,
            protect,
            suspend: claim.suspend,
            corrected: known.map(|known| known.corrected.clone()).unwrap_or_default(),
            hardware: known.map(|known| known.hardware.clone()).unwrap_or_default(),
            file: (self.file)(claim.origin),
            commit: self.commit.clone().or_else(|| known.and_then(|known| known.commit.clone())),
            plan: self.plan.clone(),
            at: self.now,
            deleting: None,
            doubt: None,
        };
        tracked.declare_deletion(claim.deletion_policy);
        // What lets it be removed is an effect of its own.
        if known.is_some_and(|known| known.deletion_policy == DeletionPolicy::Orphan) {
            tracked.deletion_policy = DeletionPolicy::Orphan;
        }
        self.ledger.track(tracked);
    }

    /// A registration that is as declared: what its declaration says otherwise is
    /// applied with that, but for what it loosens. Its values are, too, though a
    /// run that wrote them broke off before it could say so here.
    pub(super) fn unchanged(&mut self, device: &DeviceKey, id: RegistrationId, journal: &Journal) {
        let Some(claim) = self.claims.get(device).copied() else { return };
        let wanted = wanted(claim);
        self.rename(device, id);
        match self.ledger.get_mut(device).filter(|tracked| tracked.registration_id == id) {
            Some(tracked) => {
                let is_replaced = |commit| self.is_replaced || self.replaced.contains(commit);
                if self.commit.is_some() && tracked.commit.as_ref().is_none_or(is_replaced) {
                    tracked.commit.clone_from(&self.commit);
                }
                let is_other = |(field, value): &&(Field, CompactString)| !field.same(tracked.value(*field), value);
                let others: Vec<_> = wanted.iter().filter(is_other).cloned().collect();
                if !others.is_empty() {
                    tracked.plan.clone_from(&self.plan);
                    tracked.at = self.now;
                }
                for (field, value) in others {
                    if value.is_empty() {
                        tracked.values.remove(&field);
                    } else {
                        tracked.values.insert(field, value);
                    }
                }
                tracked.declared = wanted.iter().map(|(field, _)| *field).collect();
                tracked.file = (self.file)(claim.origin);
            }
            // Ours without a word: an import or an update of a run that did not
            // come to writing it down.
            None if journal.has_made(id) => {
                let values = values(carried(&wanted).into_iter().chain(crate::model::tail(&wanted)));
                self.track(device, id, false, values);
            }
            None => {}
        }
    }

    /// A registration that is declared by another name than before, with its id or
    /// without, is the same device.
    fn rename(&mut self, device: &DeviceKey, id: RegistrationId) {
        let Some(known) = self.ledger.of(id).filter(|known| known.key() != *device).cloned() else { return };
        let (serial_number, declared_registration_id) = (device.serial.clone(), device.registration);
        self.ledger.track(Tracked { serial_number, declared_registration_id, ..known });
    }

    /// What keeps a device from being removed holds from the first apply that
    /// knows it, whatever else becomes of the device in that.
    pub(super) fn tighten(&mut self) {
        for (device, claim) in &self.claims {
            let named = claim.registration_id.and_then(|id| self.ledger.of(id)).map(Tracked::key);
            let Some(tracked) = self.ledger.get_mut(&named.unwrap_or_else(|| device.clone())) else { continue };
            tracked.protect |= claim.protect;
            tracked.suspend = claim.suspend;
            if claim.deletion_policy == DeletionPolicy::Orphan {
                tracked.declare_deletion(DeletionPolicy::Orphan);
            }
        }
    }

    pub(super) fn forget(&mut self, device: &DeviceKey, end: Gone) {
        let plan = self.plan.clone();
        self.ledger.forget(device, end, &plan, self.now);
    }
}

/// True unless it is certain that the service did not take it.
fn may_be_written(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Done { .. } | Outcome::Awaiting { .. } => true,
        Outcome::Failed { reason, .. } => {
            matches!(reason, Reason::NotVisible | Reason::NotGone | Reason::OutcomeUnknown)
        }
        Outcome::NotAttempted { .. } => false,
    }
}

fn values(values: impl Iterator<Item = (Field, CompactString)>) -> BTreeMap<Field, CompactString> {
    values.filter(|(_, value)| !value.is_empty()).collect()
}

fn shown(device: &Device) -> BTreeMap<Field, CompactString> {
    values(Field::ALL.into_iter().map(|field| (field, field.of(device).clone())))
}
