//! What is declared: a claim per device, and all claims of a tenant.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::overlap::may_meet;
use super::{
    DeviceKey, DisplayName, Field, Freeze, Frozen, Greeting, GroupTag, HashRef, RegistrationId, Rollout, SerialKey,
    SerialNumber, TagRule, TenantId, UserPrincipalName,
};

/// A three-valued field: absent, empty and a value are three wishes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Want<T> {
    /// Leave the tenant's value as it is.
    #[default]
    Keep,
    /// Remove the tenant's value.
    Clear,
    /// This is what the tenant shall hold.
    Set(T),
}

impl<T: AsRef<str>> Want<T> {
    /// The text that is wished for: `None` = any, `""` = none.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(""),
            Self::Set(value) => Some(value.as_ref()),
        }
    }
}

impl Claim {
    /// Which device this is.
    #[must_use]
    pub fn key(&self) -> DeviceKey {
        DeviceKey { serial: self.serial.clone(), registration: self.registration_id }
    }

    /// What is wished for in a field: `None` = any, `""` = none.
    #[must_use]
    pub fn wish(&self, field: Field) -> Option<&str> {
        match field {
            Field::GroupTag => self.group_tag.text(),
            Field::UserPrincipalName => self.user.text(),
            Field::AddressableUserName => self.addressable_user_name.text(),
            Field::DisplayName => self.display_name.text(),
        }
    }
}

/// Where a claim comes from: an index into the caller's own table of places.
/// Meaningless to the planner, carried through to the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Origin(pub u32);

impl Origin {
    /// Of a device that is declared no more.
    pub const NOWHERE: Self = Self(u32::MAX);
}

/// One declared device. `registration_id` is for telling registrations with
/// one serial apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// As declared.
    pub serial: SerialNumber,
    /// Set to name one of several registrations.
    pub registration_id: Option<RegistrationId>,
    /// Absent: the vendor registers the device.
    pub hash: Option<Arc<HashRef>>,
    /// Steers which profile and which dynamic groups take the device.
    pub group_tag: Want<GroupTag>,
    /// Whose device it is.
    pub user: Want<UserPrincipalName>,
    /// How the device greets its user.
    pub addressable_user_name: Want<Greeting>,
    /// The computer name.
    pub display_name: Want<DisplayName>,
    /// What a vanished claim means.
    pub deletion_policy: DeletionPolicy,
    /// True: never deregistered, even when the claim goes.
    pub protect: bool,
    /// Whether a registration of somebody else's may become ours.
    pub adoption: AdoptionPolicy,
    /// True: nothing is written to this device.
    pub suspend: bool,
    /// True: its group tag could not be declared where it is when the tenant was last
    /// applied.
    pub tag_refused: bool,
    /// Where the claim stands.
    pub origin: Origin,
}

/// What happens to the registration when the claim goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// It stays, and is nobody's.
    #[default]
    Orphan,
    /// It is deregistered.
    Delete,
}

/// Whether a registration that we did not make may become ours. Ordered from
/// narrow to wide, so that the narrower of two is the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum AdoptionPolicy {
    /// It is reported and left alone.
    Never,
    /// It becomes ours unless it is known to be another owner's.
    #[default]
    IfUnowned,
    /// It becomes ours.
    Always,
}

/// What may be written at all. There is no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// Nothing is written.
    Observe,
    /// Devices are registered; what is registered stays as it is.
    CreateOnly,
    /// Devices are registered and changed, never deregistered.
    UpsertOnly,
    /// Devices are registered, changed and deregistered.
    Sync,
}

impl Policy {
    /// The name in manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Observe => "Observe",
            Self::CreateOnly => "CreateOnly",
            Self::UpsertOnly => "UpsertOnly",
            Self::Sync => "Sync",
        }
    }
}

/// Bounds every write by the observed group tag. Empty: the whole tenant.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Scope {
    patterns: Vec<String>,
    set: Option<globset::GlobSet>,
    /// What a tag must be within besides.
    within: Option<Box<Scope>>,
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns && self.within == other.within
    }
}

impl TryFrom<Vec<String>> for Scope {
    type Error = String;

    fn try_from(patterns: Vec<String>) -> Result<Self, String> {
        Self::new(patterns)
    }
}

impl From<Scope> for Vec<String> {
    fn from(scope: Scope) -> Self {
        scope.patterns
    }
}

impl Scope {
    /// `patterns` are globs over group tags, such as `OSL-*`. The empty one is
    /// no tag at all.
    ///
    /// # Errors
    /// The pattern that is not a glob, with the reason.
    pub fn new(patterns: Vec<String>) -> Result<Self, String> {
        if patterns.is_empty() {
            return Ok(Self::default());
        }
        let mut builder = globset::GlobSetBuilder::new();
        for pattern in &patterns {
            builder.add(super::pattern(pattern)?);
        }
        let set = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { patterns, set: Some(set), within: None })
    }

    /// The same, of tags that are in another scope, too.
    #[must_use]
    pub(super) fn within(self, other: &Self) -> Self {
        Self { within: Some(Box::new(other.clone())), ..self }
    }

    /// True if tags may be in it that are not in another one, as far as patterns
    /// tell.
    #[must_use]
    pub(super) fn widens(&self, other: &Self) -> bool {
        let is_known = |pattern: &String| other.patterns.contains(pattern);
        !other.patterns.is_empty() && (self.patterns.is_empty() || !self.patterns.iter().all(is_known))
    }

    /// A pattern of each that may take one tag, if there are any: the whole tenant
    /// is `*`.
    #[must_use]
    pub(super) fn overlap<'s>(&'s self, other: &'s Self) -> Option<(&'s str, &'s str)> {
        let patterns = |scope: &'s Self| -> Vec<&'s str> {
            if scope.patterns.is_empty() { vec!["*"] } else { scope.patterns.iter().map(String::as_str).collect() }
        };
        let others = patterns(other);
        let pairs = patterns(self).into_iter().flat_map(|one| others.iter().map(move |other| (one, *other)));
        let mut meeting = pairs.filter(|(one, other)| may_meet(one, other));
        meeting.next()
    }

    /// As declared.
    #[must_use]
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// True if a registration with this tag may be written. `""` is no tag.
    #[must_use]
    pub fn contains(&self, group_tag: &str) -> bool {
        self.set.as_ref().is_none_or(|set| set.is_match(group_tag))
            && self.within.as_ref().is_none_or(|scope| scope.contains(group_tag))
    }
}

/// The patterns, one blank between them.
impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let patterns: Vec<_> =
            self.patterns.iter().map(|pattern| if pattern.is_empty() { "\"\"" } else { pattern }).collect();
        f.write_str(&patterns.join(" "))?;
        match &self.within {
            Some(scope) => write!(f, ", within {scope}"),
            None => Ok(()),
        }
    }
}

/// How much one run may change, per class. Percentages are of the managed
/// devices, whole numbers 0 to 100.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Deregistrations; clearing and adopting count like them.
    pub max_deletes: u32,
    /// The same, in percent.
    pub max_delete_percent: u32,
    /// Changes of registrations, of any field.
    pub max_updates: u32,
    /// The same, in percent.
    pub max_update_percent: u32,
    /// New group tags on devices that people work on.
    pub max_retags: u32,
    /// Devices by which the declared fleet may have shrunk since the last run.
    pub max_shrink: u32,
    /// The same, in percent.
    pub max_shrink_percent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_deletes: 10,
            max_delete_percent: 5,
            max_updates: 200,
            max_update_percent: 30,
            max_retags: 25,
            max_shrink: 100,
            max_shrink_percent: 20,
        }
    }
}

/// The tenant as declared: who it is and what may happen to it. How to sign
/// in is not the planner's business and not here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    /// What people call it; the name in the manifest.
    pub name: String,
    /// What Entra calls it.
    pub id: TenantId,
    /// What may be written at all.
    pub policy: Policy,
    /// Who declares this fleet, so that two repositories on one tenant can be told
    /// apart.
    pub owner: String,
    /// Which registrations may be written.
    pub scope: Scope,
    /// How many of them in one run.
    pub limits: Limits,
    /// The widest adoption that a claim may ask for.
    pub adoption: AdoptionPolicy,
    /// True: what we have applied and somebody else removed is not registered
    /// again by itself.
    #[serde(default)]
    pub hold_vanished: bool,
    /// True: a sync is asked for where a change needs one to show.
    pub sync_when_needed: bool,
    /// True: nothing is written to this tenant.
    pub suspend: bool,
    /// Where which group tag may be declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tag_policy: Vec<TagRule>,
    /// Times in which nothing is written to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
    /// How many devices of a group tag go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
}

impl Tenant {
    /// False where nothing at all may be written, tenant-wide deeds included.
    #[must_use]
    pub fn may_be_written(&self) -> bool {
        self.policy != Policy::Observe && !self.suspend
    }

    /// The freezes that are on, by the service's clock.
    #[must_use]
    pub fn frozen(&self, now: Timestamp) -> Vec<Frozen> {
        super::freeze::frozen(&self.freezes, now)
    }

    /// The first moment from this one on at which a freeze forbids all writes,
    /// but for those that a person has approved.
    #[must_use]
    pub fn next_freeze(&self, is_approved: impl Fn(&Frozen) -> bool, now: Timestamp) -> Option<(Timestamp, Frozen)> {
        super::freeze::next(&self.freezes, is_approved, now)
    }

    /// Of each freeze the time in which this moment lies, or the next one.
    #[must_use]
    pub fn coming_freezes(&self, now: Timestamp) -> Vec<Frozen> {
        super::freeze::coming(&self.freezes, now)
    }
}

/// All claims of one tenant, sorted by serial key.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Whose claims these are.
    pub tenant: Tenant,
    claims: Vec<Claim>,
    /// Of a part, the registrations that claims outside of it name; `None` for
    /// the whole.
    others: Option<HashSet<RegistrationId>>,
    /// And the serials of those claims, where a rollout has to know of all devices.
    serials: HashSet<SerialKey>,
}

impl Desired {
    /// Takes claims in any order.
    #[must_use]
    pub fn new(tenant: Tenant, mut claims: Vec<Claim>) -> Self {
        claims.sort_by_cached_key(|claim| (claim.serial.key(), claim.registration_id));
        Self { tenant, claims, others: None, serials: HashSet::new() }
    }

    /// Some of the claims. What is planned over them says nothing of any other
    /// device: neither that it is declared nowhere, nor that it may go.
    #[must_use]
    pub fn part(&self, is_wanted: impl Fn(&Claim) -> bool) -> Self {
        let (mut claims, mut others) = (Vec::new(), self.others.clone().unwrap_or_default());
        let mut serials = self.serials.clone();
        let has_rollout = self.tenant.rollout.is_some();
        for claim in &self.claims {
            if is_wanted(claim) {
                claims.push(claim.clone());
            } else {
                others.extend(claim.registration_id);
                serials.extend(has_rollout.then(|| claim.serial.key()));
            }
        }
        Self { tenant: self.tenant.clone(), claims, others: Some(others), serials }
    }

    /// True if other devices may be declared besides.
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.others.is_some()
    }

    /// Registrations that claims outside of this part name: theirs, whatever
    /// serial they have.
    pub fn named_outside(&self) -> impl Iterator<Item = RegistrationId> {
        self.others.iter().flatten().copied()
    }

    /// True if a claim outside of this part has this serial, where there is a rollout.
    #[must_use]
    pub fn declares_outside(&self, serial: &SerialKey) -> bool {
        self.serials.contains(serial)
    }

    /// The same claims under a tenant with other guards.
    #[must_use]
    pub(crate) fn under(&self, tenant: Tenant) -> Self {
        Self { tenant, ..self.clone() }
    }

    /// The same where the group tags of these claims may not be written.
    #[must_use]
    pub(crate) fn refusing_tags(mut self, of: &HashSet<DeviceKey>) -> Self {
        self.claims.iter_mut().for_each(|claim| claim.tag_refused = of.contains(&claim.key()));
        self
    }

    /// Sorted by serial key, then registration.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(patterns: &[&str]) -> Scope {
        Scope::new(patterns.iter().map(|pattern| (*pattern).to_owned()).collect()).unwrap()
    }

    #[test]
    fn an_empty_pattern_is_the_device_without_a_tag_and_no_other() {
        let only = scope(&[""]);
        assert!(only.contains("") && !only.contains("OSL-1") && !only.contains(" "));
        let both = scope(&["OSL-*", ""]);
        assert!(both.contains("") && both.contains("OSL-1") && !both.contains("BER"));
        assert!(!scope(&["OSL-*"]).contains(""));
    }

    #[test]
    fn a_scope_of_nothing_is_the_whole_tenant() {
        assert!(Scope::default().contains("") && Scope::default().contains("OSL-1"));
    }

    #[test]
    fn a_scope_reads_as_it_is_written() {
        assert_eq!(scope(&["OSL-*", "", "BER"]).to_string(), "OSL-* \"\" BER");
    }
}
