//! The guards: how much one run may change, per class. A class over its limit
//! is held whole; no subset is chosen.

use std::collections::{BTreeSet, HashSet};

use compact_str::CompactString;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use crate::ledger::{Journal, Ledger, Use};
use crate::model::{
    Action, Effect, Field, FieldChange, Frozen, Grant, GrantCounts, Keep, Limits, Release, SerialKey, Tenant, Update,
};

use super::Plan;
use super::approved::{Approved, is_used};
use super::change::Change;
use super::digest::Digest;
use super::held::{Held, Reason};
use super::upkeep::Upkeep;

/// What a person has approved on the command line; of changes, per class:
/// `--approve-retags=40` lets 40 through, not 41.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// Of [`Class::Update`].
    pub updates: Option<u32>,
    /// Of [`Class::Retag`].
    pub retags: Option<u32>,
    /// Of [`Class::Clear`].
    pub clears: Option<u32>,
    /// Of [`Class::Adopt`].
    pub adopts: Option<u32>,
    /// Of [`Class::Delete`].
    pub deletes: Option<u32>,
    /// Of [`Class::Release`].
    pub releases: Option<u32>,
    /// Freezes, by name, that hold nothing back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub freezes: BTreeSet<String>,
    /// Of a saved plan: which freezes those were when it was made. One of the same
    /// name that is another one by now holds back what it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meant: Option<Vec<Frozen>>,
    /// Devices whose import was refused, and is tried again now.
    #[serde(serialize_with = "sorted")]
    pub retry: HashSet<SerialKey>,
    /// What was approved among the declarations: each is for one plan, and for
    /// nothing if that is not the plan.
    #[serde(skip)]
    pub grants: Vec<Grant>,
}

impl Approvals {
    /// The same with the numbers of a grant, where it has any.
    fn with(&self, grant: &Grant) -> Self {
        let GrantCounts { updates, retags, clears, adopts, deletes, releases } = grant.counts;
        Self {
            updates: updates.or(self.updates),
            retags: retags.or(self.retags),
            clears: clears.or(self.clears),
            adopts: adopts.or(self.adopts),
            deletes: deletes.or(self.deletes),
            releases: releases.or(self.releases),
            retry: self.retry.clone(),
            freezes: self.freezes.clone(),
            meant: self.meant.clone(),
            grants: Vec::new(),
        }
    }

    /// True if a person lets changes through this freeze.
    #[must_use]
    pub fn lets_through(&self, on: &Frozen) -> bool {
        self.freezes.contains(&on.name) && self.meant.iter().all(|meant| meant.iter().any(|of| of.is(on)))
    }

    /// The same for a plan that is saved at this moment: what is approved by name is
    /// a freeze that people can look up now, in the time that is on or comes next.
    #[must_use]
    pub fn meant_now(&self, tenant: &Tenant, now: Timestamp) -> Self {
        let mut meant = tenant.coming_freezes(now);
        meant.retain(|of| self.freezes.contains(&of.name));
        Self { meant: Some(meant).filter(|_| !self.freezes.is_empty()), ..self.clone() }
    }
}

/// What a grant is worth now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GrantStanding {
    /// It is for this very plan.
    Holds,
    /// It is for another plan.
    OtherPlan,
    /// Its plan was begun here, and this much of it is left.
    Begun,
    /// Its plan was carried out, or begun elsewhere.
    Used,
    /// Its time is over.
    Expired,
}

/// The same each time, wherever it is written.
fn sorted<S: Serializer>(keys: &HashSet<SerialKey>, serializer: S) -> Result<S::Ok, S::Error> {
    keys.iter().collect::<BTreeSet<_>>().serialize(serializer)
}

/// A class of changes that has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// Any change of a registration.
    Update,
    /// A group tag set, changed or cleared on an enrolled device.
    Retag,
    /// A group tag or a user taken away.
    Clear,
    /// A registration that somebody else made, changed for the first time.
    Adopt,
    /// A registration removed, whichever run of the last 24 h did it.
    Delete,
    /// A device forgotten that stays registered.
    Release,
}

impl Class {
    /// All of them, in the order in which they are judged.
    pub const ALL: [Self; 6] = [Self::Update, Self::Retag, Self::Clear, Self::Adopt, Self::Delete, Self::Release];

    /// The classes that an effect belongs to. What completes our own import
    /// was counted with it, and belongs to none.
    pub fn of(effect: &Effect) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |class| class.has(effect))
    }

    /// The words for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Retag => "retag of enrolled devices",
            Self::Clear => "clear",
            Self::Adopt => "adopt with change",
            Self::Delete => "deregister",
            Self::Release => "release",
        }
    }

    fn has(self, effect: &Effect) -> bool {
        let update = match &effect.action {
            Action::Register(_) | Action::Adopt(_) | Action::Keep(_) => return false,
            Action::Update(Update { tail_of: Some(_), .. }) => return false,
            Action::Deregister(_) => return self == Self::Delete,
            // What is gone cannot be lost by forgetting it.
            Action::Release(release) => return self == Self::Release && !release.is_gone,
            Action::Update(update) => update,
        };
        match self {
            Self::Update => true,
            Self::Retag => update.retags_enrolled(),
            Self::Clear => update.clears(),
            Self::Adopt => update.adopts,
            Self::Delete | Self::Release => false,
        }
    }

    fn approved(self, approvals: &Approvals) -> Option<u32> {
        match self {
            Self::Update => approvals.updates,
            Self::Retag => approvals.retags,
            Self::Clear => approvals.clears,
            Self::Adopt => approvals.adopts,
            Self::Delete => approvals.deletes,
            Self::Release => approvals.releases,
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
            // What is taken away is not known afterwards, and what others
            // registered may be theirs: both count like deleting.
            Self::Clear | Self::Adopt | Self::Delete | Self::Release => {
                (limits.max_deletes as usize).min(percent(limits.max_delete_percent).max(1))
            }
        }
    }
}

/// One limit, as evaluated: reported with every plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitReading {
    /// Which class.
    pub class: Class,
    /// How many changes of it there are.
    pub count: usize,
    /// How many pass without approval.
    pub limit: usize,
    /// How many there were before, in other runs of the last 24 h.
    #[serde(default)]
    pub spent: usize,
    /// Of how many managed devices.
    pub managed: usize,
    /// How many a person has approved.
    pub approved: Option<u32>,
}

impl LimitReading {
    /// True if the class passes.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.count == 0
            || self.count + self.spent <= self.limit
            || self.approved.is_some_and(|approved| self.count + self.spent <= approved as usize)
    }
}

/// A plan that the guards let through: what they did not is held in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClearedPlan {
    plan: Plan,
    limits: Vec<LimitReading>,
    #[serde(skip)]
    grants: Vec<(Grant, GrantStanding)>,
    /// What is left of a plan that a grant approves and a run has begun.
    #[serde(skip)]
    begun: Option<Box<Self>>,
}

impl ClearedPlan {
    /// What passed; the rest is held in it.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// One per class.
    #[must_use]
    pub fn limits(&self) -> &[LimitReading] {
        &self.limits
    }

    /// What was approved among the declarations, and what that is worth for this
    /// plan.
    #[must_use]
    pub fn grants(&self) -> &[(Grant, GrantStanding)] {
        &self.grants
    }

    /// The grant that approves this very plan.
    #[must_use]
    pub fn granted(&self) -> Option<&Grant> {
        self.grants.iter().find(|(_, standing)| *standing == GrantStanding::Holds).map(|(grant, _)| grant)
    }

    /// What is left of a plan that was approved among the declarations and begun.
    #[must_use]
    pub fn begun(&self) -> Option<&Self> {
        self.begun.as_deref()
    }

    /// What this plan allows, for the rounds that follow.
    #[must_use]
    pub fn approved(&self) -> Approved {
        Approved::of(self.plan.changes.iter().map(|change| &change.effect)).loosening(&self.plan.loosens)
    }

    /// Tells the plan from those with the same effects of which use was made.
    #[must_use]
    pub fn told_from(mut self, memory: &Journal, ledger: Option<&Ledger>, broke_off: Option<&str>) -> Self {
        // A digest costs as much as the plan, and most have nothing to be told from.
        let is_empty = |ledger: &Ledger| ledger.devices().len() == 0 && ledger.head.begun.is_empty();
        if memory.has_no_approvals() && ledger.is_none_or(is_empty) {
            return self;
        }
        while is_used(&self.plan, memory, ledger, broke_off) {
            self.plan.again += 1;
        }
        self
    }

    /// The same plan without the list of devices that are as declared, for
    /// whoever writes it down: their number is enough.
    #[must_use]
    pub(crate) fn without_unchanged(mut self) -> Self {
        self.plan.unchanged.clear();
        self
    }

    /// The same plan with nothing in it but what was approved before.
    #[must_use]
    pub fn only(self, approved: &Approved) -> Self {
        Self { plan: approved.bound(self.plan), ..self }
    }
}

/// Judges a plan by the tenant's limits.
#[must_use]
pub fn clear(mut plan: Plan, approvals: &Approvals) -> ClearedPlan {
    let limits = read_limits(&plan, approvals);
    let over: Vec<&LimitReading> = limits.iter().filter(|reading| !reading.ok()).collect();
    let exceeds = |change: &Change| over.iter().any(|reading| reading.class.has(&change.effect));
    let (held, changes) = plan.changes.into_iter().partition(exceeds);
    plan.changes = changes;
    let hold = |change: Change| {
        let about = over.iter().filter(|reading| reading.class.has(&change.effect));
        let limits = about.map(|reading| LimitReading::clone(reading)).collect();
        Held { limits, ..hold(change, Reason::LimitExceeded, Vec::new()) }
    };
    plan.held.extend(Vec::into_iter(held).map(hold));
    plan.held.sort_by(|a, b| a.device.cmp(&b.device));
    ClearedPlan { plan: frozen(plan, approvals), limits, grants: Vec::new(), begun: None }
}

/// Judges a plan by the tenant's limits, and by what was approved among the
/// declarations: the numbers of a grant count for the plan that has its digest,
/// and for no other. `memory` and `ledger` say of which plans use was made;
/// `broke_off` is the plan that this machine began last and did not end; `now` is
/// the service's time.
#[must_use]
pub fn clear_with_grants(
    plan: Plan,
    approvals: &Approvals,
    memory: &Journal,
    ledger: Option<&Ledger>,
    broke_off: Option<&str>,
    now: Timestamp,
) -> ClearedPlan {
    let told = |cleared: ClearedPlan| cleared.told_from(memory, ledger, broke_off);
    let is_ours = |grant: &Grant| broke_off == Some(Digest { sha256: grant.digest.clone() }.plan_id().as_str());
    let standing = |grant: &Grant| match () {
        () if grant.expires_at <= now => GrantStanding::Expired,
        () if memory.approval(&grant.digest).is_some() => GrantStanding::Begun,
        () if memory.spent(&grant.digest).is_some() => GrantStanding::Used,
        // A run that died before its first line here has sent nothing; what one of
        // another machine has sent, nobody knows here.
        () if ledger.is_some_and(|ledger| ledger.has_used(grant)) && !is_ours(grant) => GrantStanding::Used,
        () => GrantStanding::OtherPlan,
    };
    let mut grants: Vec<_> = approvals.grants.iter().map(|grant| (grant.clone(), standing(grant))).collect();
    let (mut found, mut begun) = (None, None);
    for (grant, standing) in &mut grants {
        let with_numbers = || clear(plan.clone(), &approvals.with(grant));
        match (*standing, memory.approval(&grant.digest)) {
            (GrantStanding::OtherPlan, _) if found.is_none() => {
                let cleared = told(with_numbers());
                if cleared.plan.writes() && cleared.plan.digest().sha256 == grant.digest {
                    *standing = GrantStanding::Holds;
                    found = Some(cleared);
                }
            }
            (GrantStanding::Begun, Some(approval)) if begun.is_none() => {
                let rest = with_numbers().only(&Approved::rest(approval));
                let is_open = |effect: &Effect| !matches!(approval.used(effect), Use::Done | Use::Over);
                if rest.plan.writes() {
                    let grants = vec![(grant.clone(), GrantStanding::Holds)];
                    begun = Some(Box::new(ClearedPlan { grants, ..rest }));
                } else if !approval.effects.iter().any(is_open) {
                    *standing = GrantStanding::Used;
                }
            }
            _ => {}
        }
    }
    let cleared = found.unwrap_or_else(|| told(clear(plan, approvals)));
    ClearedPlan { grants, begun, ..cleared }
}

/// Judges the plan of a repeated round: only what was approved goes on. It was
/// counted then, so the limits are not asked again; a freeze may have begun since.
#[must_use]
pub fn clear_follow_up(plan: Plan, approved: &Approved, approvals: &Approvals) -> ClearedPlan {
    ClearedPlan { plan: frozen(approved.bound(plan), approvals), limits: Vec::new(), grants: Vec::new(), begun: None }
}

/// Holds whatever the tenant would hear of while a freeze is on. What only the
/// ledger hears of goes on: it changes nothing that anybody works with.
fn frozen(mut plan: Plan, approvals: &Approvals) -> Plan {
    plan.frozen.iter_mut().for_each(|frozen| frozen.approved = approvals.lets_through(frozen));
    let on: Vec<String> = plan.frozen.iter().filter(|frozen| !frozen.approved).map(Frozen::sentence).collect();
    if on.is_empty() {
        return plan;
    }
    let (kept, frozen) = plan.changes.into_iter().partition(|change| change.action().is_bookkeeping());
    plan.changes = kept;
    plan.held.extend(Vec::into_iter(frozen).map(|change| hold(change, Reason::Frozen, on.clone())));
    plan.held.sort_by(|a, b| a.device.cmp(&b.device));
    plan.upkeep = Upkeep::default();
    plan
}

fn read_limits(plan: &Plan, approvals: &Approvals) -> Vec<LimitReading> {
    let Plan { changes, counts, tenant, removal, .. } = plan;
    let read = |class: Class| {
        // A device that is declared no more is not among the managed ones.
        let managed = if class == Class::Delete || class == Class::Release {
            counts.managed.max(removal.tracked)
        } else {
            counts.managed
        };
        LimitReading {
            class,
            count: changes.iter().filter(|change| class.has(&change.effect)).count(),
            limit: class.limit(&tenant.limits, managed),
            spent: if class == Class::Delete { removal.deleted_within_a_day } else { 0 },
            managed,
            approved: class.approved(approvals),
        }
    };
    Class::ALL.map(read).to_vec()
}

/// Judges removals by name: `count` of `tracked` devices, after `spent` in the
/// last 24 h.
#[must_use]
pub(crate) fn removals_by_name(
    limits: &Limits,
    count: usize,
    spent: usize,
    tracked: usize,
    approved: Option<u32>,
) -> LimitReading {
    let limit = Class::Delete.limit(limits, tracked);
    LimitReading { class: Class::Delete, count, limit, spent, managed: tracked, approved }
}

/// Turns a change into a held one.
pub(super) fn hold(change: Change, reason: Reason, details: Vec<String>) -> Held {
    let Effect { device, action } = change.effect;
    let kind = action.kind();
    let (registration_id, fields, hash, before) = match action {
        Action::Register(register) => (None, from_nothing(register.values), Some(register.digest), None),
        Action::Update(update) => (Some(update.id), update.fields, None, Some(update.before)),
        Action::Deregister(of) => (Some(of.id), Vec::new(), None, Some(of.before)),
        Action::Adopt(of) => (Some(of.id), Vec::new(), None, Some(of.before)),
        Action::Release(Release { id, .. }) | Action::Keep(Keep { id, .. }) => (Some(id), Vec::new(), None, None),
    };
    let held = Held::new(device, change.origin, kind, reason, details);
    Held { registration_id, fields, hash, before, drifted: change.drifted, ..held }
}

/// The values that a registration gets which is not there yet.
pub(super) fn from_nothing(values: Vec<(Field, CompactString)>) -> Vec<FieldChange> {
    let change = |(field, after)| FieldChange { field, before: CompactString::default(), after };
    values.into_iter().map(change).collect()
}
