//! The fields of a registration that a declaration may set, and a change of
//! one.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::Device;

/// A field that a registration carries and a declaration may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Field {
    /// `groupTag`.
    GroupTag,
    /// `userPrincipalName`.
    UserPrincipalName,
    /// `addressableUserName`, the greeting.
    AddressableUserName,
    /// `displayName`, the computer name.
    DisplayName,
}

impl Field {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::GroupTag, Self::UserPrincipalName, Self::AddressableUserName, Self::DisplayName];

    /// The name in manifests and on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GroupTag => "groupTag",
            Self::UserPrincipalName => "userPrincipalName",
            Self::AddressableUserName => "addressableUserName",
            Self::DisplayName => "displayName",
        }
    }

    /// The words for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::GroupTag => "group tag",
            Self::UserPrincipalName => "user",
            Self::AddressableUserName => "greeting",
            Self::DisplayName => "name",
        }
    }

    /// What a registration holds in this field; `""` is nothing.
    #[must_use]
    pub fn of(self, device: &Device) -> &CompactString {
        match self {
            Self::GroupTag => &device.group_tag,
            Self::UserPrincipalName => &device.user,
            Self::AddressableUserName => &device.addressable_user_name,
            Self::DisplayName => &device.display_name,
        }
    }

    /// Writes the field of a registration in memory.
    pub fn set(self, device: &mut Device, value: CompactString) {
        match self {
            Self::GroupTag => device.group_tag = value,
            Self::UserPrincipalName => device.user = value,
            Self::AddressableUserName => device.addressable_user_name = value,
            Self::DisplayName => device.display_name = value,
        }
    }

    /// True for what the service takes along with an import.
    #[must_use]
    pub fn travels_with_import(self) -> bool {
        match self {
            Self::GroupTag | Self::UserPrincipalName => true,
            Self::AddressableUserName | Self::DisplayName => false,
        }
    }

    /// Users compare without case, as the directory does; all else exactly.
    #[must_use]
    pub fn same(self, a: &str, b: &str) -> bool {
        match self {
            Self::UserPrincipalName => a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase(),
            _ => a == b,
        }
    }
}

/// One field of one registration: what it holds, what it shall hold. `""` is
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Which field.
    pub field: Field,
    /// What it holds.
    pub before: CompactString,
    /// What it shall hold.
    pub after: CompactString,
}
