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
