//! What becomes of devices that we have applied and that are declared no more:
//! in the ledger, and not among the claims. Never of those that are registered
//! and not declared; they are nobody's but the tenant's.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ledger::{Hardware, Ledger, Tracked};
use crate::model::{
    Action, Claim, DeletionPolicy, Deregister, Desired, Device, DeviceKey, Effect, Field, Limits, Observed, Origin,
    Policy, RegistrationId, Release, SerialKey, Tenant, later,
};

use super::action::ActionKind;
use super::change::{Change, Note};
use super::facts::Facts;
use super::guard::hold;
use super::held::{Awaiting, Held, Reason, Waiting};

/// How long a deletion takes at most, once it was accepted (30 minutes in the
/// field). What is listed for longer was not deleted.
pub(crate) const GONE_WITHIN: SignedDuration = SignedDuration::from_mins(35);

/// Whether devices that are declared no more are removed, and if not, why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Removal {
    /// Devices in the ledger.
    pub tracked: usize,
    /// Those of them that are declared no more, and are not on their way out
    /// already.
    pub undeclared: usize,
    /// Why nothing is removed, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_computed: Option<NoRemoval>,
    /// Registrations that were removed in the last 24 h, by whichever run.
    pub deleted_within_a_day: usize,
    /// Devices whose removal we have asked for, and that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<DeviceKey>,
    /// The files that declared the devices which are declared no more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "pairs")]
    pub files: BTreeMap<DeviceKey, String>,
}

/// Why no removal is even computed. Closed list; the names are the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "reason", content = "words")]
pub enum NoRemoval {
    /// No ledger is there.
    NoLedger,
    /// One is there, and it cannot be used; why, in words.
    LedgerUnusable(String),
    /// One is there, of another tenant, owner or lineage; what differs, in words.
    OtherLineage(String),
    /// Another owner has tags of our scope in its own; who and which, in words.
    ScopeOverlap(String),
    /// Nobody knows what the other owners of the tenant have in scope; why, in words.
    NeighboursUnknown(String),
    /// The reading does not cover the tenant.
    Incomplete,
    /// Only a part of what is declared was looked at.
    Partial,
    /// Not all was read that was when last applied; what not, in words.
    OtherPaths(String),
    /// Files under Git differ from the commit; which, in words.
    DirtyTree(String),
    /// Nothing is declared, and something was.
    DesiredSetEmpty,
    /// Far less is declared than was applied; how much, in words.
    DesiredSetCollapsed(String),
    /// Far less is registered than was applied; how much, in words.
    ObservedSetCollapsed(String),
}

impl NoRemoval {
    /// The name for tools.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoLedger => "NoLedger",
            Self::LedgerUnusable(_) => "LedgerUnusable",
            Self::OtherLineage(_) => "OtherLineage",
            Self::ScopeOverlap(_) => "ScopeOverlap",
            Self::NeighboursUnknown(_) => "NeighboursUnknown",
            Self::Incomplete => "Incomplete",
            Self::Partial => "Partial",
            Self::OtherPaths(_) => "OtherPaths",
            Self::DirtyTree(_) => "DirtyTree",
            Self::DesiredSetEmpty => "DesiredSetEmpty",
            Self::DesiredSetCollapsed(_) => "DesiredSetCollapsed",
            Self::ObservedSetCollapsed(_) => "ObservedSetCollapsed",
        }
    }

    /// The sentence for people.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::NoLedger => "there is no ledger of what was applied before".to_owned(),
            Self::LedgerUnusable(why) => format!("the ledger cannot be used: {why}"),
            Self::OtherLineage(what) => format!("the ledger is another one: {what}"),
            Self::ScopeOverlap(what) => format!("two owners have one scope: {what}"),
            Self::NeighboursUnknown(why) => format!("the ledgers of other owners cannot be read: {why}"),
            Self::Incomplete => "the tenant was not read to the end".to_owned(),
            Self::Partial => "the plan is about some devices only".to_owned(),
            Self::OtherPaths(what) => format!("not all declarations were read: {what}"),
            Self::DirtyTree(what) => format!("the files are not as they were committed: {what}"),
            Self::DesiredSetEmpty => "no device is declared at all".to_owned(),
            Self::DesiredSetCollapsed(how) => format!("far less is declared than was applied: {how}"),
            Self::ObservedSetCollapsed(how) => format!("far less is registered than was applied: {how}"),
        }
    }

    /// What a person can do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoLedger => "the next apply begins one; it owns what it registers, changes or adopts",
            Self::LedgerUnusable(_) => {
                "restore it, or look at what it says and run `apgit ledger import FILE`, or begin anew with `apgit \
                 ledger rebuild`"
            }
            Self::OtherLineage(_) => "use the ledger of this tenant and owner, or correct `ledger.lineage`",
            Self::ScopeOverlap(_) => {
                "nothing is applied until no tag is in both: narrow `scope.groupTags` of one; if the other owner manages \
                 nothing any more, remove its ledger"
            }
            Self::NeighboursUnknown(_) => {
                "nothing is applied until they can: see that they can be read, or remove one that belongs to nobody"
            }
            Self::Incomplete => "run apgit plan again",
            Self::Partial => "leave out --target and --exclude",
            Self::OtherPaths(_) => {
                "name the paths that were applied before, or more; take what is meant to go out of every file"
            }
            Self::DirtyTree(_) => "commit what you mean, and plan again",
            Self::DesiredSetEmpty => "to give up the whole fleet, release or decommission its devices by name",
            Self::ObservedSetCollapsed(_) => {
                "look into the tenant: is it the right one, and who removed them? What is meant to be gone: apgit \
                 release SERIAL"
            }
            Self::DesiredSetCollapsed(_) => {
                "look whether files are missing; if not, remove fewer at a time, let devices go that are held (apgit \
                 release SERIAL), or raise `limits.maxShrink` and `maxShrinkPercent` first"
            }
        }
    }
}

/// Which removals a plan is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Removals {
    /// Whatever is declared no more: all claims are known.
    #[default]
    All,
    /// These registrations, that a saved plan removes and that were read by id.
    Only {
        /// Those of them that are declared nowhere still.
        ids: HashSet<RegistrationId>,
        /// What stands in the way, by all claims.
        obstacle: Option<NoRemoval>,
    },
    /// None: only some of the claims are known.
    None,
}

impl Removals {
    /// Those of `planned` that may be removed still. `desired` has all claims.
    pub(crate) fn only(
        desired: &Desired,
        ledger: &Ledger,
        no_removal: Option<&NoRemoval>,
        planned: &HashSet<RegistrationId>,
    ) -> Self {
        let undeclared = undeclared(desired, ledger);
        let left = undeclared.iter().filter(|tracked| tracked.deleting.is_none()).count();
        let obstacle = obstacle(desired, no_removal, left, ledger.devices().len());
        let ids = undeclared.iter().map(|tracked| tracked.registration_id).filter(|id| planned.contains(id)).collect();
        Self::Only { ids, obstacle }
    }
}

/// Devices that were applied and are claimed no more, with their registrations.
pub(super) fn undeclared<'l>(desired: &Desired, ledger: &'l Ledger) -> Vec<&'l Tracked> {
    let named: HashSet<RegistrationId> = desired.claims().iter().filter_map(|claim| claim.registration_id).collect();
    let serials: HashSet<SerialKey> = desired
        .claims()
        .iter()
        .filter(|claim| claim.registration_id.is_none())
        .map(|claim| claim.serial.key())
        .collect();
    let is_declared = |of: &Tracked| named.contains(&of.registration_id) || serials.contains(&of.serial_number.key());
    ledger.devices().filter(|tracked| !is_declared(tracked)).collect()
}

/// How many devices may leave the declarations at once, of so many.
fn shrink_limit(limits: &Limits, tracked: usize) -> usize {
    let percent = (tracked * limits.max_shrink_percent as usize).div_ceil(100).max(1);
    percent.min(limits.max_shrink as usize)
}

/// What is found about devices that are declared no more.
#[derive(Default)]
pub(super) struct Removed {
    pub removal: Removal,
    pub changes: Vec<Change>,
    pub held: Vec<Held>,
    pub awaiting: Vec<Awaiting>,
}

/// Judges all devices that are declared no more. Nothing follows for any where
/// something is wrong with the whole.
pub(super) fn removed(desired: &Desired, observed: &Observed, facts: &Facts, covers_all: bool) -> Removed {
    let mut found = Removed::default();
    let Some(ledger) = facts.ledger.as_deref() else {
        found.removal.not_computed.clone_from(&facts.no_removal);
        return found;
    };
    // Whoever knows only some of the claims knows of none that it is gone.
    let is_meant = |tracked: &&Tracked| match &facts.removals {
        Removals::All => !desired.is_part(),
        Removals::Only { ids, .. } => ids.contains(&tracked.registration_id),
        Removals::None => false,
    };
    let mut undeclared = undeclared(desired, ledger);
    undeclared.retain(is_meant);
    let (going, left): (Vec<&Tracked>, Vec<&Tracked>) =
        undeclared.into_iter().partition(|tracked| facts.deleting_since(tracked).is_some());
    let obstacle = match &facts.removals {
        Removals::Only { obstacle, .. } => obstacle.clone(),
        Removals::None => Some(NoRemoval::Partial),
        Removals::All if desired.is_part() => Some(NoRemoval::Partial),
        Removals::All if facts.no_removal.is_none() && !covers_all => Some(NoRemoval::Incomplete),
        Removals::All => obstacle(desired, facts.no_removal.as_ref(), left.len(), ledger.devices().len())
            .or_else(|| collapsed(observed, facts).map(NoRemoval::ObservedSetCollapsed)),
    };
    let is_listed = covers_all && facts.removals == Removals::All;
    let covers_all = covers_all || matches!(facts.removals, Removals::Only { .. });
    let is_news = |why: &NoRemoval| match why {
        // Whoever begins has lost nothing; whoever has applied before has.
        NoRemoval::NoLedger => !left.is_empty() || !facts.owned.is_empty() || !facts.imports.is_empty(),
        NoRemoval::LedgerUnusable(_)
        | NoRemoval::OtherLineage(_)
        | NoRemoval::ScopeOverlap(_)
        | NoRemoval::NeighboursUnknown(_)
        | NoRemoval::ObservedSetCollapsed(_) => true,
        NoRemoval::DirtyTree(_)
        | NoRemoval::OtherPaths(_)
        | NoRemoval::Incomplete
        | NoRemoval::Partial
        | NoRemoval::DesiredSetEmpty
        | NoRemoval::DesiredSetCollapsed(_) => !left.is_empty(),
    };
    found.removal = Removal {
        tracked: ledger.devices().len(),
        undeclared: left.len(),
        not_computed: obstacle.clone().filter(is_news),
        deleted_within_a_day: ledger.deleted_within_a_day(facts.now),
        gone: Vec::new(),
        files: left.iter().chain(&going).map(|tracked| (tracked.key(), tracked.file.clone())).collect(),
    };
    let ids: HashSet<RegistrationId> = left.iter().chain(&going).map(|tracked| tracked.registration_id).collect();
    let devices = observed.devices().iter().filter(|device| ids.contains(&device.id));
    let devices = devices.map(|device| (device.id, device)).collect();
    let serials = desired.claims().iter().map(|claim| claim.serial.key()).collect();
    let may_remove = obstacle.is_none() && covers_all;
    let judge = Judge { tenant: &desired.tenant, devices, serials, facts, may_remove };
    // What is on its way out is looked at, whatever else is wrong.
    going.into_iter().for_each(|tracked| judge.going(tracked, &mut found));
    let declared_again = ledger.devices().filter(|tracked| facts.deleting_since(tracked).is_some());
    let is_gone = |tracked: &&Tracked| is_listed && !facts.unread.contains(&tracked.registration_id);
    let there: HashSet<RegistrationId> = observed.devices().iter().map(|device| device.id).collect();
    let gone = declared_again.filter(is_gone).filter(|tracked| !there.contains(&tracked.registration_id));
    found.removal.gone = gone.map(Tracked::key).collect();
    if judge.may_remove {
        left.into_iter().for_each(|tracked| judge.left(tracked, &mut found));
    }
    // One that is asked for again is one removal, and not two.
    let again = |change: &&Change| {
        let tracked = ledger.get(&change.effect.device);
        matches!(change.action(), Action::Deregister(_)) && tracked.is_some_and(|of| of.is_going(facts.now))
    };
    found.removal.deleted_within_a_day -= found.changes.iter().filter(again).count();
    found
}

/// What stands in the way of every removal.
fn obstacle(desired: &Desired, known: Option<&NoRemoval>, left: usize, tracked: usize) -> Option<NoRemoval> {
    let limit = shrink_limit(&desired.tenant.limits, tracked);
    match () {
        () if known.is_some() => known.cloned(),
        () if desired.claims().is_empty() => Some(NoRemoval::DesiredSetEmpty),
        () if left == 0 => None,
        () if left > limit => {
            let words = format!("{left} of {tracked} devices are declared no more, at most {limit} may be");
            Some(NoRemoval::DesiredSetCollapsed(words))
        }
        () => None,
    }
}

/// How many of the devices that were applied are not there any more, if that are
/// so many that it is rather the reading, or the tenant, that is another one. What
/// we have removed ourselves does not count.
pub(super) fn collapsed(observed: &Observed, facts: &Facts) -> Option<String> {
    let ledger = facts.ledger.as_deref()?;
    let there: HashSet<RegistrationId> = observed.devices().iter().map(|device| device.id).collect();
    let ours = ledger.devices().filter(|tracked| facts.deleting_since(tracked).is_none());
    let (mut all, mut missing) = (0_usize, 0_usize);
    for tracked in ours {
        all += 1;
        missing += usize::from(!there.contains(&tracked.registration_id));
    }
    // A fifth, and never the first few: one that vanishes is told by itself.
    let limit = all.div_ceil(5).max(3);
    (missing > limit).then(|| format!("{missing} of {all} devices are not there, at most {limit} may be"))
}

struct Judge<'a> {
    tenant: &'a Tenant,
    devices: HashMap<RegistrationId, &'a Device>,
    /// All that is declared, by whichever registration.
    serials: HashSet<SerialKey>,
    facts: &'a Facts,
    may_remove: bool,
}

impl Judge<'_> {
    fn device(&self, id: RegistrationId) -> Option<&Device> {
        self.devices.get(&id).copied()
    }

    /// A deletion that the service has accepted.
    fn going(&self, tracked: &Tracked, found: &mut Removed) {
        let Some(since) = self.facts.deleting_since(tracked) else { return };
        let id = tracked.registration_id;
        match self.device(id) {
            None if !self.facts.unread.contains(&id) => {}
            // Whoever began that goes on with it, by name.
            Some(device) if tracked.leaving().is_some() => found.held.push(leaving(tracked, device, since)),
            Some(_) | None if self.facts.now < later(since, GONE_WITHIN) => {
                let what = Waiting::Gone { since };
                found.awaiting.push(Awaiting {
                    device: tracked.key(),
                    registration_id: Some(id),
                    origin: Origin::NOWHERE,
                    what,
                });
            }
            Some(_) if self.may_remove => self.left(tracked, found),
            Some(_) | None => {}
        }
    }

    fn left(&self, tracked: &Tracked, found: &mut Removed) {
        let id = tracked.registration_id;
        let change = |action, notes| Change {
            effect: Effect { device: tracked.key(), action },
            origin: Origin::NOWHERE,
            hash: None,
            notes,
            drifted: Vec::new(),
            hardware: Hardware::new(),
        };
        let release = |is_gone| Action::Release(Release { id, is_gone });
        let Some(device) = self.device(id) else {
            // Only a reading by id that found nothing says that it is gone.
            let is_gone = !self.facts.unread.contains(&id);
            let change = change(release(is_gone), vec![Note::GoneAlready]);
            if !is_gone {
                found.held.push(hold(change, Reason::ServiceUnavailable, Vec::new()));
            } else if let Some(reason) = self.nothing_at_all(tracked) {
                found.held.push(hold(change, reason, Vec::new()));
            } else {
                found.changes.push(change);
            }
            return;
        };
        let (change, refused) = match tracked.deletion_policy {
            DeletionPolicy::Orphan => {
                let refused = self.nothing_at_all(tracked).map(|reason| (reason, Vec::new()));
                (change(release(false), vec![Note::StaysRegistered]), refused)
            }
            DeletionPolicy::Delete => {
                let deregister = Deregister { id, before: Box::new(device.clone()) };
                (change(Action::Deregister(deregister), Vec::new()), self.refuses(tracked, device))
            }
        };
        // A wrong `registrationId` in its declaration is no wish that it goes.
        if self.serials.contains(&tracked.serial_number.key()) {
            let details = vec![format!("its serial is declared, for another registration than {id}")];
            found.held.push(hold(change, Reason::AmbiguousSerial, details));
            return;
        }
        match refused {
            None => found.changes.push(change),
            Some((reason, details)) => found.held.push(hold(change, reason, details)),
        }
    }

    /// Why not even the ledger is written.
    fn nothing_at_all(&self, tracked: &Tracked) -> Option<Reason> {
        match self.tenant.policy {
            _ if tracked.suspend => Some(Reason::Suspended),
            Policy::Observe => Some(Reason::ObserveOnly),
            _ if self.tenant.suspend => Some(Reason::Suspended),
            Policy::CreateOnly | Policy::UpsertOnly | Policy::Sync => None,
        }
    }

    /// Why a registration stays. What would stand in the way under another
    /// policy, too, is told first.
    fn refuses(&self, tracked: &Tracked, device: &Device) -> Option<(Reason, Vec<String>)> {
        let changed: Vec<Field> = tracked.changed_since(device).collect();
        let is_other = device.key() != tracked.serial_number.key();
        let reason = match () {
            () if tracked.protect => Reason::DeletionProtected,
            () if self.facts.unread.contains(&device.id) => Reason::ServiceUnavailable,
            () if !self.tenant.scope.contains(&device.group_tag) => Reason::OutOfScope,
            () if is_other || !changed.is_empty() => Reason::ChangedSinceApplied,
            () if tracked.doubt.is_some() => Reason::NotDeclaredBefore,
            () if device.is_enrolled() => Reason::StillEnrolled,
            () if self.nothing_at_all(tracked).is_some() => {
                return self.nothing_at_all(tracked).map(|reason| (reason, Vec::new()));
            }
            () if self.tenant.policy != Policy::Sync => Reason::DeletionNotAllowed,
            () => return None,
        };
        let details = match reason {
            Reason::DeletionProtected => vec![format!("protected since {} ({})", day(tracked), tracked.plan)],
            Reason::NotDeclaredBefore => tracked.doubt.iter().map(ToString::to_string).collect(),
            Reason::ChangedSinceApplied if is_other => vec![format!("its serial is `{}` now", device.serial)],
            Reason::ChangedSinceApplied => {
                let line = |field: &Field| {
                    let (was, is) = (quoted(tracked.value(*field)), quoted(field.of(device)));
                    format!("{}: {was} when applied on {}, {is} now", field.label(), day(tracked))
                };
                changed.iter().map(line).collect()
            }
            Reason::StillEnrolled => {
                device.last_contacted.map(|at| format!("last contact {}", &at.to_string()[..10])).into_iter().collect()
            }
            Reason::OutOfScope => vec![format!("group tag {}, scope {}", quoted(&device.group_tag), self.tenant.scope)],
            _ => Vec::new(),
        };
        Some((reason, details))
    }
}

/// A device that is on its way out of Intune, Autopilot and Entra.
fn leaving(tracked: &Tracked, device: &Device, since: Timestamp) -> Held {
    let deregister = Deregister { id: device.id, before: Box::new(device.clone()) };
    let effect = Effect { device: tracked.key(), action: Action::Deregister(deregister) };
    let change = Change {
        effect,
        origin: Origin::NOWHERE,
        hash: None,
        notes: Vec::new(),
        drifted: Vec::new(),
        hardware: Hardware::new(),
    };
    let reason = if device.is_enrolled() { Reason::StillEnrolled } else { Reason::NotGone };
    let serial = &tracked.serial_number;
    let words = format!("being decommissioned since {since}: apgit decommission {serial} goes on with it");
    hold(change, reason, vec![words])
}

fn day(tracked: &Tracked) -> String {
    tracked.at.to_string()[..10].to_owned()
}

fn quoted(value: &str) -> String {
    if value.is_empty() { "nothing".to_owned() } else { format!("`{value}`") }
}

/// A claim whose registration we have applied and that somebody else removed.
pub(super) fn vanished(claim: &Claim, facts: &Facts, tenant: &Tenant, collapsed: bool) -> Option<Held> {
    let tracked = facts.ledger.as_deref()?.like(&claim.key())?;
    if facts.deleting_since(tracked).is_some() {
        return None;
    }
    let reason = match () {
        () if facts.unread.contains(&tracked.registration_id) => Reason::ServiceUnavailable,
        () if collapsed => Reason::ObservedSetCollapsed,
        () if tenant.hold_vanished => Reason::VanishedFromTenant,
        () => return None,
    };
    let details = vec![format!("registration {}, applied on {}", tracked.registration_id, day(tracked))];
    Some(Held::new(claim.key(), claim.origin, ActionKind::Register, reason, details))
}

/// A map as a list of pairs: JSON has only text for keys.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::model::DeviceKey;

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<DeviceKey, String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<DeviceKey, String>, D::Error> {
        Ok(Vec::<(DeviceKey, String)>::deserialize(deserializer)?.into_iter().collect())
    }
}
