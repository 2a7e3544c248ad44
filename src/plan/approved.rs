//! What an approval covers, and how much of it is left: less than approved is
//! fine, more never, and nothing twice.

use std::collections::{HashMap, HashSet};

use compact_str::CompactString;

use crate::ledger::{Approval, Journal, Ledger, Tail, Use};
use crate::model::{
    Action, Claim, Desired, DeviceKey, Effect, FieldChange, ImportId, Loosen, Register, RegistrationId, Tenant,
    is_as_imported,
};

use super::Plan;
use super::change::Change;
use super::digest::Digest;
use super::facts::import_id;
use super::guard::{ClearedPlan, hold};
use super::held::Reason;
use super::verdict::wanted;

/// What a digest that somebody approves stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// The plan is that very one.
    Same,
    /// It was approved before, and made use of.
    Rest(Box<Rest>),
    /// It is another plan.
    Other,
}

/// What is left of an approval.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rest {
    /// What it still covers.
    pub approved: Approved,
    /// Changes of the plan that it covers.
    pub left: usize,
    /// Changes of the plan that are not part of it.
    pub others: usize,
    /// Approved devices that are held or waited for now, or of which nobody saw
    /// how it ended.
    pub held: usize,
    /// Approved devices that are not declared as approved any more.
    pub gone: usize,
}

impl Rest {
    /// True if everything that was approved is done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left == 0 && self.is_whole()
    }

    /// True if nothing of it can be done, and something else could: it is no
    /// consent to that.
    #[must_use]
    pub fn is_for_nothing(&self) -> bool {
        self.left == 0 && self.others > 0
    }

    /// True if everything that is not done can be done now.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.held + self.gone == 0
    }
}

/// True if a plan was begun by somebody whose journal this is not: what that has sent,
/// nobody knows here. A run of our own that broke off before its first line in the
/// journal (`broke_off`) has sent nothing, and goes on.
#[must_use]
pub(crate) fn is_begun_elsewhere(
    digest: &Digest,
    memory: &Journal,
    ledger: Option<&Ledger>,
    broke_off: Option<&str>,
) -> bool {
    let is_known = memory.spent(&digest.sha256).is_some() || memory.approval(&digest.sha256).is_some();
    let is_begun = || ledger.is_some_and(|ledger| ledger.has_begun(&digest.sha256));
    !is_known && is_begun() && broke_off != Some(digest.plan_id().as_str())
}

/// True if nothing more may be done under the plan's digest, or not all of the
/// plan any more: then it is no consent to this plan. Of a plan that another machine
/// has begun or carried out, the ledger knows.
pub(super) fn is_used(plan: &Plan, memory: &Journal, ledger: Option<&Ledger>, broke_off: Option<&str>) -> bool {
    let digest = plan.digest();
    match (memory.spent(&digest.sha256), memory.approval(&digest.sha256)) {
        (Some(_), _) => true,
        (None, Some(approval)) => {
            let rest = Approved::rest(approval);
            plan.changes.iter().any(|change| rest.refuses(&change.effect, &plan.tenant).is_some())
        }
        (None, None) if is_begun_elsewhere(&digest, memory, ledger, broke_off) => true,
        (None, None) => ledger.is_some_and(|ledger| {
            let plan_id = digest.plan_id();
            let written = |change: &Change| ledger.like(&change.effect.device).map(|tracked| &tracked.plan);
            plan.changes.iter().any(|change| written(change) == Some(&plan_id))
        }),
    }
}

/// Holds an approved digest against what would be done.
#[must_use]
pub fn standing(digest: &str, cleared: &ClearedPlan, desired: &Desired, memory: &Journal) -> Standing {
    let plan = cleared.plan();
    // Whoever approves it has looked at these very changes, and not at what
    // became of them before: neither "done" nor "go on" would be an answer.
    if plan.again > 0 && (Plan { again: 0, ..plan.clone() }).digest().sha256 == digest {
        return Standing::Other;
    }
    let is_same = plan.digest().sha256 == digest;
    match (memory.spent(digest), memory.approval(digest)) {
        (Some(true), _) => Standing::Rest(Box::new(Rest { others: plan.changes.len(), ..Rest::default() })),
        (Some(false), _) => Standing::Other,
        (None, None) if is_same => Standing::Same,
        (None, None) => Standing::Other,
        // It binds its target, also where targets share a journal.
        (None, Some(approval)) if approval.target != plan.target => Standing::Other,
        (None, Some(approval)) => {
            let rest = rest(Approved::rest(approval), &memory.tails(), desired, plan);
            rest.map_or(Standing::Other, |rest| Standing::Rest(Box::new(rest)))
        }
    }
}

/// What of a plan is left of an approval. `None` if an approved device would
/// be changed in another way now.
fn rest(approved: Approved, tails: &HashMap<RegistrationId, Tail>, desired: &Desired, plan: &Plan) -> Option<Rest> {
    // What an import could not carry is part of what was approved.
    let owed: HashSet<ImportId> = tails.values().map(|tail| tail.import_id).collect();
    let owes = |device: &DeviceKey| {
        let import = approved.get(device).and_then(|effect| approved.of.import_of(effect));
        import.is_some_and(|id| owed.contains(&id))
    };
    let is_open = |device: &DeviceKey| match approved.used(device) {
        None => false,
        Some(Use::None | Use::Sent | Use::Over) => true,
        Some(Use::Done) => owes(device),
    };
    let (mut left, mut others, mut held) = (0, 0, 0);
    for Change { effect, .. } in &plan.changes {
        let used = approved.used(&effect.device);
        match (approved.refuses(effect, &plan.tenant), used, &effect.action) {
            (None, _, _) => left += 1,
            (Some(_), Some(Use::None), _) => return None,
            (Some(_), None, _) => others += 1,
            // It was sent, or its import is complete, and something is amiss.
            (Some(_), Some(Use::Sent | Use::Over), _) | (Some(_), Some(Use::Done), Action::Register(_)) => held += 1,
            (Some(_), Some(Use::Done), Action::Update(_)) if owes(&effect.device) => held += 1,
            (Some(_), Some(Use::Done), _) => others += 1,
        }
    }
    let holds = plan.held.iter().map(|held| &held.device);
    let waits = plan.awaiting.iter().map(|awaiting| &awaiting.device);
    let mut declared: HashSet<&DeviceKey> = plan.changes.iter().map(|change| &change.effect.device).collect();
    for device in holds.chain(waits) {
        declared.insert(device);
        held += usize::from(is_open(device));
    }
    // What was loosened since was consented to by nobody.
    others += plan.loosens.iter().filter(|of| !approved.loosens.contains(of)).count();
    let as_approved = as_approved(&approved, desired, plan);
    let is_gone = |device: &&DeviceKey| !declared.contains(*device) && !as_approved.contains(*device);
    // What is removed is declared no more, and what is done is not planned.
    let is_removed = |device: &&DeviceKey| {
        let action = approved.get(device).map(|effect| &effect.action);
        matches!(action, Some(Action::Deregister(_) | Action::Release(_)))
    };
    let open = approved.effects.keys().filter(|device| is_open(device));
    let gone = open.filter(|device| is_gone(device) && !is_removed(device)).count();
    Some(Rest { approved, left, others, held, gone })
}

/// Devices that show what is declared, where that is what was approved.
pub(super) fn as_approved(approved: &Approved, desired: &Desired, plan: &Plan) -> HashSet<DeviceKey> {
    let unchanged: HashSet<&DeviceKey> = plan.unchanged.iter().map(|(device, _)| device).collect();
    let is_so = |claim: &&Claim| {
        let key = claim.key();
        let Some(effect) = approved.get(&key) else { return false };
        let wanted = wanted(claim);
        let is_wanted = |field, value: &CompactString| wanted.iter().any(|(f, v)| *f == field && v == value);
        unchanged.contains(&key)
            && match &effect.action {
                Action::Register(register) => register.values.iter().all(|(field, value)| is_wanted(*field, value)),
                Action::Update(update) => update.fields.iter().all(|f| is_wanted(f.field, &f.after)),
                Action::Adopt(_) | Action::Keep(_) => true,
                Action::Deregister(_) | Action::Release(_) => false,
            }
    };
    desired.claims().iter().filter(is_so).map(Claim::key).collect()
}

/// The effects that were approved: the bound of a run, whatever comes up
/// meanwhile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Approved {
    effects: HashMap<DeviceKey, Effect>,
    /// Guards that it loosens.
    loosens: Vec<Loosen>,
    /// What use was made of it: nothing is sent twice.
    of: Approval,
}

/// So many attempts of one import may follow each other within an approval.
const ATTEMPTS: u32 = 12;

impl Approved {
    /// One per device: of several, the last.
    pub fn of<'e>(effects: impl IntoIterator<Item = &'e Effect>) -> Self {
        let effects = effects.into_iter().map(|effect| (effect.device.clone(), effect.clone())).collect();
        Self { effects, loosens: Vec::new(), of: Approval::default() }
    }

    /// The same bound for a plan that loosens these guards, too.
    #[must_use]
    pub fn loosening(self, loosens: &[Loosen]) -> Self {
        Self { loosens: loosens.to_vec(), ..self }
    }

    /// What is left of an approval.
    #[must_use]
    pub fn rest(approval: &Approval) -> Self {
        Self { of: approval.clone(), ..Self::of(&approval.effects).loosening(&approval.loosens) }
    }

    /// The same bound for what comes up in its own run: what is done under the
    /// consent is not done again, whoever undoes it meanwhile.
    #[must_use]
    pub fn minding(self, consent: Option<&Approval>) -> Self {
        Self { of: consent.map(Approval::bound).unwrap_or_default(), ..self }
    }

    /// The device's approved effect.
    #[must_use]
    pub fn get(&self, device: &DeviceKey) -> Option<&Effect> {
        self.effects.get(device)
    }

    /// True if no use was made of the device's approved effect.
    #[must_use]
    pub fn is_unused(&self, device: &DeviceKey) -> bool {
        self.used(device) == Some(Use::None)
    }

    /// How much use was made of the device's approved effect, if it has one.
    fn used(&self, device: &DeviceKey) -> Option<Use> {
        self.get(device).map(|effect| self.of.used(effect))
    }

    /// The plan with nothing in it but what was approved; the rest is held.
    pub(super) fn bound(&self, mut plan: Plan) -> Plan {
        let tenant = plan.tenant.clone();
        let mut changes = Vec::with_capacity(plan.changes.len());
        for change in plan.changes {
            match self.refuses(&change.effect, &tenant) {
                None => changes.push(change),
                Some(reason) => plan.held.push(hold(change, reason, Vec::new())),
            }
        }
        plan.held.sort_by(|a, b| a.device.cmp(&b.device));
        let moves = |action: &Action| matches!(action, Action::Register(_) | Action::Deregister(_));
        let registers = changes.iter().any(|change| moves(change.action()));
        plan.upkeep = if registers { plan.upkeep } else { plan.upkeep.only_owed() };
        plan.changes = changes;
        // Whoever consented to the changes alone has loosened nothing by that.
        plan.loosens.retain(|of| self.loosens.contains(of));
        plan
    }

    /// Why an effect is not covered. Less than approved is covered, more never.
    #[must_use]
    pub fn refuses(&self, effect: &Effect, tenant: &Tenant) -> Option<Reason> {
        let Some(approved) = self.get(&effect.device) else { return Some(Reason::NotInFirstPlan) };
        let (used, import) = (self.of.used(approved), self.of.import_of(approved));
        // Something newer was consented to, or it is done with.
        if used == Use::Over {
            return Some(Reason::NotInFirstPlan);
        }
        match (&approved.action, &effect.action) {
            (Action::Register(approved), Action::Register(now)) => {
                let same = now.digest == approved.digest && now.values == approved.values;
                match used {
                    _ if !same || now.attempt < approved.attempt => Some(Reason::ChangedMeanwhile),
                    Use::None => None,
                    // What was sent may be followed, and sent again as the same.
                    Use::Sent => (import != Some(now.import_id)).then_some(Reason::NotInFirstPlan),
                    Use::Over | Use::Done => Some(Reason::NotInFirstPlan),
                }
            }
            // What our own import made may be completed; what another made is
            // a registration like any other, and the next plan offers it.
            (Action::Register(approved), Action::Update(now)) => {
                let ours = now.tail_of.is_some_and(|id| imports(approved, effect, tenant).any(|known| known == id));
                let tail = approved.tail();
                let covered =
                    now.fields.iter().all(|f| tail.iter().any(|(field, to)| (*field, to) == (f.field, &f.after)));
                match () {
                    () if !ours || !covered => Some(Reason::AlreadyRegistered),
                    // Somebody else has it in hand by now.
                    () if !is_as_imported(&approved.values, &now.before) => Some(Reason::ChangedMeanwhile),
                    () if self.of.has_done(now.id, &now.fields) => Some(Reason::NotInFirstPlan),
                    () => None,
                }
            }
            // What was sent without an end that anybody saw may be sent again: the
            // registration is as it was when that was approved.
            (Action::Update(_), Action::Update(now)) if self.of.has_done(now.id, &now.fields) => {
                Some(Reason::NotInFirstPlan)
            }
            (Action::Update(approved), Action::Update(now)) => {
                let written = |f: &FieldChange| {
                    approved.fields.iter().any(|known| known.field == f.field && known.after == f.after)
                };
                let covered = now.fields.iter().all(written) && now.tail_of == approved.tail_of;
                (!covered || !approved.holds_on(&now.before)).then_some(Reason::ChangedMeanwhile)
            }
            (Action::Deregister(approved), Action::Deregister(now)) => match used {
                _ if now.id != approved.id || !approved.holds_on(&now.before) => Some(Reason::ChangedMeanwhile),
                Use::None => None,
                Use::Sent | Use::Over | Use::Done => Some(Reason::NotInFirstPlan),
            },
            (Action::Release(approved), Action::Release(now)) => (approved != now).then_some(Reason::ChangedMeanwhile),
            (Action::Adopt(approved), Action::Adopt(now)) => (approved != now).then_some(Reason::ChangedMeanwhile),
            (Action::Keep(approved), Action::Keep(now)) => (approved != now).then_some(Reason::ChangedMeanwhile),
            // It is another thing by now: its registration is gone, or somebody
            // has changed it.
            _ => Some(Reason::ChangedMeanwhile),
        }
    }
}

/// The ids under which an approved registration may have been imported.
fn imports(approved: &Register, effect: &Effect, tenant: &Tenant) -> impl Iterator<Item = ImportId> {
    let attempts = approved.attempt..approved.attempt.saturating_add(ATTEMPTS);
    attempts.map(move |attempt| import_id(tenant.id, &tenant.owner, &effect.device.serial, approved.digest, attempt))
}
