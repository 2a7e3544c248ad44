//! A rollout of which a few devices go first.

use compact_str::CompactString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many devices of a group tag go first, and what they have to come to before
/// the others follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollout {
    /// So many.
    pub canary: u32,
    /// What each of them has to come to.
    #[schemars(with = "String")]
    pub wait_for: Milestone,
    /// How many have to, where that is more than may go first: of two rollouts the
    /// stricter one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enough: Option<u32>,
}

impl Rollout {
    /// As many go first as have to come so far.
    #[must_use]
    pub fn new(canary: u32, wait_for: Milestone) -> Self {
        Self { canary, wait_for, enough: None }
    }

    /// So many have to come so far before the others follow: never fewer than go
    /// first.
    #[must_use]
    pub fn enough(&self) -> u32 {
        self.enough.unwrap_or_default().max(self.canary)
    }

    /// The stricter of both: fewer go unproven, and more of them have to come further.
    #[must_use]
    pub(super) fn stricter(self, other: Self) -> Self {
        let (canary, enough) = (self.canary.min(other.canary), self.enough().max(other.enough()));
        let enough = Some(enough).filter(|enough| *enough > canary);
        Self { canary, wait_for: self.wait_for.max(other.wait_for), enough }
    }
}

/// How far a device has come. Ordered: each comes after those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Milestone {
    /// The tenant shows its registration.
    Registered,
    /// Intune has given it a deployment profile.
    ProfileAssigned,
    /// Somebody has set it up.
    Enrolled,
}

impl Milestone {
    /// The name in manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Registered => "Registered",
            Self::ProfileAssigned => "ProfileAssigned",
            Self::Enrolled => "Enrolled",
        }
    }
}

/// The group tag by which devices are rolled out together, for people.
#[must_use]
pub(crate) fn tag_words(tag: &CompactString) -> String {
    if tag.is_empty() { "no group tag".to_owned() } else { format!("group tag `{tag}`") }
}
