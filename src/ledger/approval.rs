//! A consent, and what use was made of it: an effect is done once under one
//! consent. Folded from the journal's lines; nothing here reads or writes.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::model::{Action, DeviceKey, Effect, FieldChange, HashDigest, ImportId, Loosen, RegistrationId, Target};

/// A consent, and how much of it was made use of. An effect is done once under
/// one consent, whatever others do to the device afterwards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Approval {
    /// Of the plan that was consented to.
    pub digest: String,
    /// Where it was to be carried out.
    pub target: Target,
    /// When, by the service's clock.
    pub(super) at: Timestamp,
    /// How many effects there shall be.
    pub(super) count: usize,
    /// What exactly was consented to.
    pub effects: Vec<Effect>,
    /// Guards that were loosened with it.
    pub loosens: Vec<Loosen>,
    /// Of which devices.
    pub(super) devices: HashSet<DeviceKey>,
    /// What was imported under it, and as which imports, the last one last.
    imports: HashMap<(DeviceKey, HashDigest), Vec<(ImportId, Use)>>,
    /// What was written under it, and how often it was sent.
    updates: HashMap<RegistrationId, Vec<(FieldChange, Use, u32)>>,
    /// Devices of which something else was consented to since: the newest word
    /// counts.
    pub(super) superseded: HashSet<DeviceKey>,
    /// What was removed under it.
    pub(super) deletes: HashMap<RegistrationId, Use>,
}

/// How much use was made of an approved effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// None that is known.
    None,
    /// It was sent, and perhaps it is done. An import is followed, and not sent
    /// again; an update may be, as long as the registration is as approved.
    Sent,
    /// Nothing more may come of it: the service refused it for good, it was tried
    /// in vain, or something newer was consented to.
    Over,
    /// It is done. Of a registration, its import is: what that could not carry
    /// may still be owed.
    Done,
}

/// An update is sent a second time once, and no more, under one consent.
const SENDS: u32 = 2;

fn is_over(used: Use, sent: u32) -> bool {
    matches!(used, Use::Done | Use::Over) || sent >= SENDS
}

impl Approval {
    /// One of which no use was made, and whose effects follow.
    pub(super) fn new(digest: String, target: Target, at: Timestamp, count: usize, loosens: Vec<Loosen>) -> Self {
        Self { digest, target, at, count, loosens, ..Self::default() }
    }

    /// How much use was made of an effect.
    #[must_use]
    pub fn used(&self, effect: &Effect) -> Use {
        let used = self.used_of(effect);
        if used != Use::Done && self.superseded.contains(&effect.device) { Use::Over } else { used }
    }

    fn used_of(&self, effect: &Effect) -> Use {
        match &effect.action {
            Action::Register(register) => {
                let known = self.imports.get(&(effect.device.clone(), register.digest));
                let used = |used: Use| known.is_some_and(|known| known.iter().any(|(_, of)| *of == used));
                [Use::Done, Use::Over, Use::Sent].into_iter().find(|of| used(*of)).unwrap_or(Use::None)
            }
            Action::Update(update) => self.used_on(update.id, &update.fields),
            Action::Deregister(deregister) => self.deletes.get(&deregister.id).copied().unwrap_or(Use::None),
            // To write the ledger once more does no harm.
            Action::Release(_) | Action::Adopt(_) | Action::Keep(_) => Use::None,
        }
    }

    /// How much use was made of these changes of a registration.
    #[must_use]
    pub fn used_on(&self, id: RegistrationId, fields: &[FieldChange]) -> Use {
        let Some(known) = self.updates.get(&id) else { return Use::None };
        let of = |f: &FieldChange| known.iter().find(|(k, ..)| k.field == f.field && k.after == f.after);
        let used = |f: &FieldChange| match of(f) {
            None => Use::None,
            Some((_, Use::Sent, sent)) if *sent >= SENDS => Use::Over,
            Some((_, used, _)) => *used,
        };
        match fields {
            _ if fields.iter().all(|f| used(f) == Use::Done) => Use::Done,
            _ if fields.iter().any(|f| used(f) == Use::Over) => Use::Over,
            _ if fields.iter().any(|f| used(f) != Use::None) => Use::Sent,
            _ => Use::None,
        }
    }

    /// True if any of these changes of a registration is done, or was sent as
    /// often as it may be: where it is not there, somebody has set it back, or
    /// the service does not take it.
    #[must_use]
    pub fn has_done(&self, id: RegistrationId, fields: &[FieldChange]) -> bool {
        let is_done = |f: &FieldChange| {
            let known = self.updates.get(&id).into_iter().flatten();
            known.into_iter().any(|(k, used, sent)| is_over(*used, *sent) && k.field == f.field && k.after == f.after)
        };
        fields.iter().any(is_done)
    }

    /// The last import by which a device was sent under it.
    #[must_use]
    pub fn import_of(&self, effect: &Effect) -> Option<ImportId> {
        let Action::Register(register) = &effect.action else { return None };
        self.imports.get(&(effect.device.clone(), register.digest))?.last().map(|(id, _)| *id)
    }

    /// The consent with nothing in it but what must not be done again under it:
    /// updates that are done, since those that are not may be lost and are tried
    /// again; and imports, done or sent, which may be followed.
    #[must_use]
    pub fn bound(&self) -> Self {
        let fields = |fields: &[(FieldChange, Use, u32)]| -> Vec<(FieldChange, Use, u32)> {
            fields.iter().filter(|(_, used, sent)| is_over(*used, *sent)).cloned().collect()
        };
        Self {
            imports: self.imports.clone(),
            deletes: self.deletes.clone(),
            updates: self.updates.iter().map(|(id, of)| (*id, fields(of))).collect(),
            ..Self::default()
        }
    }

    pub(super) fn begin_import(&mut self, key: (DeviceKey, HashDigest), import_id: ImportId) {
        let known = self.imports.entry(key).or_default();
        if !known.iter().any(|(id, _)| *id == import_id) {
            known.push((import_id, Use::Sent));
        }
    }

    pub(super) fn end_import(&mut self, key: &(DeviceKey, HashDigest), import_id: ImportId, used: Use) {
        let Some(known) = self.imports.get_mut(key) else { return };
        match used {
            Use::None => known.retain(|(id, _)| *id != import_id),
            Use::Sent | Use::Over | Use::Done => {
                known.iter_mut().filter(|(id, _)| *id == import_id).for_each(|(_, of)| *of = used);
            }
        }
    }

    pub(super) fn begin_update(&mut self, id: RegistrationId, fields: &[FieldChange]) {
        let known = self.updates.entry(id).or_default();
        let sent = |f: &FieldChange, known: &[(FieldChange, Use, u32)]| {
            known.iter().find(|(k, ..)| k.field == f.field && k.after == f.after).map_or(0, |(.., sent)| *sent)
        };
        let new: Vec<_> = fields.iter().map(|f| (f.clone(), Use::Sent, sent(f, known) + 1)).collect();
        known.retain(|(k, ..)| !fields.iter().any(|f| f.field == k.field));
        // What was sent before and is not sent again was seen to be there: whoever
        // sets it back has the last word.
        known.iter_mut().filter(|(_, used, _)| *used == Use::Sent).for_each(|(_, used, _)| *used = Use::Done);
        known.extend(new);
    }

    pub(super) fn end_update(&mut self, id: RegistrationId, fields: &[FieldChange], end: Use) {
        let Some(known) = self.updates.get_mut(&id) else { return };
        let is_of = |k: &FieldChange| fields.iter().any(|f| f.field == k.field && f.after == k.after);
        match end {
            Use::None => {
                let taken_back = known.iter_mut().filter(|(k, used, _)| *used != Use::Done && is_of(k));
                taken_back.for_each(|(.., sent)| *sent = sent.saturating_sub(1));
                known.retain(|(_, used, sent)| *used == Use::Done || *sent > 0);
            }
            Use::Sent => {}
            Use::Over | Use::Done => known.iter_mut().filter(|(k, ..)| is_of(k)).for_each(|(_, used, _)| *used = end),
        }
    }
}
