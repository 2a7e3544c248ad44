//! The account of a run: one outcome per effect of the approved plan, put
//! together from its rounds. The last plan has the last word.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::apply::Outcome;
use crate::model::{Action, DeviceKey, ImportId, RegistrationId};
use crate::plan::{Awaiting, Change, Held, Plan, Reason, Waiting};

/// Outcomes by the approved plan's devices.
pub(super) struct Account<'a> {
    changes: &'a [Change],
    place: HashMap<&'a DeviceKey, usize>,
    outcomes: Vec<Option<Outcome>>,
    /// Imports that came to be a registration, and when that was seen first.
    registered: Vec<Option<(ImportId, Timestamp)>>,
    /// Imports that this run has sent or followed.
    imports: HashSet<ImportId>,
}

impl<'a> Account<'a> {
    pub(super) fn new(changes: &'a [Change]) -> Self {
        let place = changes.iter().enumerate().map(|(at, change)| (&change.effect.device, at)).collect();
        let count = changes.len();
        Self { changes, place, outcomes: vec![None; count], registered: vec![None; count], imports: HashSet::new() }
    }

    /// Takes in the outcomes of a round; of two, the later word counts.
    pub(super) fn take(&mut self, changes: &[Change], outcomes: Vec<Outcome>) {
        for (change, outcome) in changes.iter().zip(outcomes) {
            if let Action::Register(register) = change.action() {
                self.imports.insert(register.import_id);
            }
            if let Some(place) = self.place.get(&change.effect.device) {
                if let (Action::Register(register), Outcome::Done { at, .. }) = (change.action(), &outcome) {
                    self.registered[*place].get_or_insert((register.import_id, *at));
                }
                let known = self.outcomes[*place].take();
                self.outcomes[*place] = Some(later_word(known, outcome));
            }
        }
    }

    /// The devices of which another look can tell more.
    pub(super) fn sent(&self) -> impl Iterator<Item = &'a Change> {
        let sent = |outcome: &Option<Outcome>| outcome.as_ref().is_some_and(|outcome| !outcome.was_not_sent());
        self.changes.iter().zip(&self.outcomes).filter(move |(_, outcome)| sent(outcome)).map(|(change, _)| change)
    }

    /// When a device was last seen to be registered by an import of this run,
    /// but for those imports of which it is known when they were complete: from
    /// then on a sync is needed, whatever else was written to their devices.
    pub(super) fn registered(&self, is_complete: impl Fn(ImportId) -> bool) -> Option<Timestamp> {
        let registered = self.registered.iter().flatten();
        registered.filter(|(import_id, _)| !is_complete(*import_id)).map(|(_, at)| *at).max()
    }

    /// The imports that this run has sent or followed.
    pub(super) fn imports(&self) -> impl Iterator<Item = &ImportId> {
        self.imports.iter()
    }

    /// True for an import of this run.
    pub(super) fn has_import(&self, import_id: ImportId) -> bool {
        self.imports.contains(&import_id)
    }

    /// Closes the account over the last plan: what that neither changes nor
    /// holds nor waits for is done.
    pub(super) fn settle(&mut self, left: &Plan, now: Timestamp) {
        let held: HashMap<&DeviceKey, &Held> = left.held.iter().map(|held| (&held.device, held)).collect();
        let awaiting: HashMap<&DeviceKey, &Awaiting> =
            left.awaiting.iter().map(|awaiting| (&awaiting.device, awaiting)).collect();
        let still: HashMap<&DeviceKey, &Change> =
            left.changes.iter().map(|change| (&change.effect.device, change)).collect();
        let unchanged: HashMap<&DeviceKey, RegistrationId> =
            left.unchanged.iter().map(|(device, id)| (device, *id)).collect();
        for ((change, outcome), registered) in self.changes.iter().zip(&mut self.outcomes).zip(&mut self.registered) {
            let device = &change.effect.device;
            let Some(known) = outcome.as_ref().filter(|outcome| !outcome.was_not_sent()) else { continue };
            let settled = if let Some(held) = held.get(device) {
                held_now(known, held)
            } else if let Some(awaiting) = awaiting.get(device) {
                match awaiting.what {
                    Waiting::Registration { since } | Waiting::Values { since, .. } => {
                        Some(Outcome::Awaiting { since })
                    }
                    Waiting::Vendor | Waiting::Gone { .. } => None,
                }
            } else if still.contains_key(device) {
                still_to_do(known)
            } else {
                unchanged.get(device).and_then(|id| as_declared(known, *id, now))
            };
            if let Some(settled) = settled {
                // What another import registered is for others to sync.
                let elsewhere = matches!(known, Outcome::Failed { reason: Reason::AlreadyRegistered, .. });
                if let (Action::Register(register), Outcome::Done { at, .. }, false) =
                    (change.action(), &settled, elsewhere)
                {
                    registered.get_or_insert((register.import_id, *at));
                }
                *outcome = Some(settled);
            }
        }
    }

    /// True if every effect is done.
    pub(super) fn is_done(&self) -> bool {
        self.outcomes.iter().all(|outcome| matches!(outcome, Some(Outcome::Done { .. })))
    }

    /// One outcome per effect, always.
    pub(super) fn close(self) -> Vec<(Change, Outcome)> {
        let ends = self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(Outcome::not_reached));
        self.changes.iter().cloned().zip(ends).collect()
    }
}

/// Of two words on one effect the later counts; but what was sent before was
/// tried, whatever became of its rest.
fn later_word(known: Option<Outcome>, later: Outcome) -> Outcome {
    match (known, later) {
        (None | Some(Outcome::NotAttempted { .. }), later) => later,
        (Some(Outcome::Done { at, .. }), Outcome::NotAttempted { reason: Reason::Cancelled, .. }) => {
            Outcome::Awaiting { since: at }
        }
        (Some(Outcome::Done { .. }), Outcome::NotAttempted { reason, message }) => Outcome::Failed { reason, message },
        (Some(known), Outcome::NotAttempted { .. }) => known,
        (Some(_), later) => later,
    }
}

/// A change that is held now. What the service said when we tried tells more
/// than the memory of it; and what came up beside a finished effect is not the
/// effect's failure.
fn held_now(known: &Outcome, held: &Held) -> Option<Outcome> {
    let beside = matches!(held.reason, Reason::NotInFirstPlan | Reason::ChangedMeanwhile);
    match known {
        Outcome::Done { .. } if beside => None,
        Outcome::Done { .. } | Outcome::Awaiting { .. } => {
            Some(Outcome::Failed { reason: held.reason, message: held.details.join("; ") })
        }
        Outcome::Failed { .. } | Outcome::NotAttempted { .. } => None,
    }
}

fn still_to_do(known: &Outcome) -> Option<Outcome> {
    match known {
        Outcome::Done { .. } => Some(Outcome::Failed {
            reason: Reason::NotVisible,
            message: "registered, but not all declared values are there yet".to_owned(),
        }),
        Outcome::Awaiting { .. } | Outcome::Failed { .. } | Outcome::NotAttempted { .. } => None,
    }
}

fn as_declared(known: &Outcome, registration_id: RegistrationId, at: Timestamp) -> Option<Outcome> {
    match known {
        Outcome::Failed { .. } | Outcome::Awaiting { .. } => Some(Outcome::Done { registration_id, at }),
        Outcome::Done { .. } | Outcome::NotAttempted { .. } => None,
    }
}
