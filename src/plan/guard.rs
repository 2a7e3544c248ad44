//! The guards: how much one run may change, per class. A class over its limit
//! is held whole; no subset is chosen.

use std::collections::HashSet;

use crate::model::{Field, Limits, SerialKey};

use super::change::{Action, Change, Update};
use super::held::{Held, Reason};
use super::{Counts, Plan};

/// What a person has approved on the command line, exactly and per class:
/// `--approve-retags=40` lets 40 through, not 41.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals {
    pub updates: Option<u32>,
    pub retags: Option<u32>,
    pub clears: Option<u32>,
}

/// A class of changes that has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Any change of a registration.
    Update,
    /// A group tag set, changed or cleared on an enrolled device.
    Retag,
    /// A group tag or a user taken away.
    Clear,
}

impl Class {
    const ALL: [Self; 3] = [Self::Update, Self::Retag, Self::Clear];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Retag => "retag of enrolled devices",
            Self::Clear => "clear",
        }
    }

    /// The flag that approves an exact number of this class.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::Update => "--approve-updates",
            Self::Retag => "--approve-retags",
            Self::Clear => "--approve-clears",
        }
    }

    fn has(self, update: &Update) -> bool {
        match self {
            Self::Update => true,
            Self::Retag => update.retags_enrolled(),
            Self::Clear => update.clears(),
        }
    }

    fn approved(self, approvals: &Approvals) -> Option<u32> {
        match self {
            Self::Update => approvals.updates,
            Self::Retag => approvals.retags,
            Self::Clear => approvals.clears,
        }
    }

    /// The most that passes without approval, of `managed` devices. Small
    /// fleets are guarded too: with 12 devices one clearing passes, two do not.
    fn limit(self, limits: &Limits, managed: usize) -> usize {
        let percent = |percent: u32| (managed * percent as usize).div_ceil(100);
        match self {
            // Five updates always pass, or a site of ten could not be run.
            Self::Update => (limits.max_updates as usize)
                .min(percent(limits.max_update_percent).max(5))
                .max(5.min(limits.max_updates as usize)),
            Self::Retag => limits.max_retags as usize,
            // Clearing counts like deleting: what is taken away is not known afterwards.
            Self::Clear => (limits.max_deletes as usize).min(percent(limits.max_delete_percent).max(1)),
        }
    }
}

/// One limit, as evaluated: reported with every plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReading {
    pub class: Class,
    pub count: usize,
    pub limit: usize,
    pub managed: usize,
    pub approved: Option<u32>,
}

impl LimitReading {
    #[must_use]
    pub fn ok(&self) -> bool {
        self.count <= self.limit || self.approved.is_some_and(|approved| self.count <= approved as usize)
    }
}

/// A plan that the guards let through: what they did not is held in it.
#[derive(Debug, Clone, PartialEq)]
pub struct ClearedPlan {
    plan: Plan,
    limits: Vec<LimitReading>,
}

impl ClearedPlan {
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    #[must_use]
    pub fn limits(&self) -> &[LimitReading] {
        &self.limits
    }

    /// The effects of this plan, as the bound of the rounds that follow.
    #[must_use]
    pub fn effects(&self) -> Effects {
        Effects::of(&self.plan.changes)
    }
}

/// Judges a plan by the tenant's limits.
#[must_use]
pub fn clear(mut plan: Plan, approvals: &Approvals) -> ClearedPlan {
    let limits = read_limits(&plan.changes, &plan.counts, &plan.tenant.limits, approvals);
    let over: Vec<&LimitReading> = limits.iter().filter(|reading| !reading.ok()).collect();
    let (held, changes) = plan.changes.into_iter().partition(|change| over.iter().any(|r| of_class(change, r.class)));
    plan.changes = changes;
    let hold = |change: Change| {
        let details = over.iter().filter(|r| of_class(&change, r.class)).flat_map(|r| explain(r)).collect();
        hold(change, Reason::LimitExceeded, details)
    };
    plan.held.extend(Vec::into_iter(held).map(hold));
    plan.held.sort_by_cached_key(|held| held.serial.key());
    ClearedPlan { plan, limits }
}

/// Judges the plan of a repeated round: only effects of the first cleared
/// plan go on; what came up meanwhile waits for a plan of its own.
#[must_use]
pub fn clear_follow_up(mut plan: Plan, allowed: &Effects) -> ClearedPlan {
    let (changes, held) = plan.changes.into_iter().partition(|change| allowed.contain(change));
    plan.changes = changes;
    plan.held.extend(Vec::into_iter(held).map(|change| hold(change, Reason::NotInFirstPlan, Vec::new())));
    plan.held.sort_by_cached_key(|held| held.serial.key());
    ClearedPlan { plan, limits: Vec::new() }
}

fn read_limits(changes: &[Change], counts: &Counts, limits: &Limits, approvals: &Approvals) -> Vec<LimitReading> {
    let read = |class: Class| LimitReading {
        class,
        count: changes.iter().filter(|change| of_class(change, class)).count(),
        limit: class.limit(limits, counts.managed),
        managed: counts.managed,
        approved: class.approved(approvals),
    };
    Class::ALL.map(read).to_vec()
}

fn of_class(change: &Change, class: Class) -> bool {
    match &change.action {
        Action::Register(_) => false,
        Action::Update(update) => class.has(update),
    }
}

/// The evidence, and the command that approves: a line each, to be pasted.
fn explain(reading: &LimitReading) -> [String; 2] {
    let LimitReading { class, count, limit, .. } = reading;
    [
        format!("{count} changes of class `{}`, limit {limit}", class.name()),
        format!("approve exactly these with: apgit apply {}={count}", class.flag()),
    ]
}

/// Turns a change into a held one.
pub(super) fn hold(change: Change, reason: Reason, details: Vec<String>) -> Held {
    let (action, registration_id, fields) = match change.action {
        Action::Register(_) => ("register", None, Vec::new()),
        Action::Update(update) => ("update", Some(update.id), update.fields),
    };
    Held {
        serial: change.serial,
        registration_id,
        origin: change.origin,
        action,
        reason,
        details,
        fields,
        since: None,
        retry_at: None,
    }
}

/// The effects of a cleared plan: device, field, value; and who may be
/// registered. The bound for every later round of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    registers: HashSet<SerialKey>,
    values: HashSet<(SerialKey, Field, compact_str::CompactString)>,
}

impl Effects {
    fn of(changes: &[Change]) -> Self {
        let mut effects = Self::default();
        for change in changes {
            let key = change.serial.key();
            match &change.action {
                Action::Register(register) => {
                    let values = register.values.iter();
                    effects.values.extend(values.map(|(field, value)| (key.clone(), *field, value.clone())));
                    effects.registers.insert(key);
                }
                Action::Update(update) => {
                    let fields = update.fields.iter();
                    effects.values.extend(fields.map(|f| (key.clone(), f.field, f.after.clone())));
                }
            }
        }
        effects
    }

    fn contain(&self, change: &Change) -> bool {
        let key = change.serial.key();
        match &change.action {
            Action::Register(_) => self.registers.contains(&key),
            Action::Update(update) => {
                update.fields.iter().all(|f| self.values.contains(&(key.clone(), f.field, f.after.clone())))
            }
        }
    }
}
