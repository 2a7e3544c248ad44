//! An approval that stands among the declarations: which plan, how many of
//! which changes, until when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Somebody's yes to one plan, given beforehand and in writing. It counts once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// By which people know it.
    pub name: String,
    /// Of the plan: SHA-256 in 64 hex digits.
    pub digest: String,
    /// What passes of guarded classes.
    pub counts: GrantCounts,
    /// From then on it counts no more, by the service's clock.
    pub expires_at: Timestamp,
}

/// So many pass of a class where the tenant's limit lets fewer through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantCounts {
    /// Of updates.
    pub updates: Option<u32>,
    /// Of retags of enrolled devices.
    pub retags: Option<u32>,
    /// Of cleared tags and users.
    pub clears: Option<u32>,
    /// Of changed registrations of others.
    pub adopts: Option<u32>,
    /// Of removed registrations.
    pub deletes: Option<u32>,
    /// Of devices that are forgotten and stay registered.
    pub releases: Option<u32>,
}
