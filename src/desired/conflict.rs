//! A contradiction between declared things, as data. What is said about it
//! follows from it; where it stands is for whoever made the marks.

use std::sync::Arc;

use super::{Home, near};
use crate::model::{Origin, RegistrationId, SerialNumber, TenantId};
use crate::resource::Kind;

/// How bad a contradiction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing may be done before it is resolved.
    Error,
    /// Somebody should look at it.
    Warning,
}

/// What contradicts what. Origins stand in the order in which they are told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what the sentences below are made of")]
pub enum Conflict {
    /// Several objects of one kind have one name.
    DuplicateName { kind: Kind, name: String, origins: Vec<Origin> },
    /// Several objects declare one tenant for one owner.
    DuplicateTenant { id: TenantId, owner: String, origins: Vec<Origin> },
    /// Two owners of one tenant may write the same devices: a pattern of each takes
    /// one tag.
    ScopeOverlap { owners: [String; 2], patterns: [String; 2], origins: Vec<Origin> },
    /// Objects name a tenant that is not there. `elsewhere` is the namespace
    /// of another one of that name, `known` are the names that are there.
    UnknownTenant {
        name: String,
        namespace: String,
        elsewhere: Option<String>,
        known: Vec<String>,
        origins: Vec<Origin>,
    },
    /// Objects name no tenant, and there is not exactly one.
    NoTenant { known: Vec<String>, origins: Vec<Origin> },
    /// Several claims on one serial, not told apart by their registrations.
    DuplicateSerial { serial: SerialNumber, tenant: String, origins: Vec<Origin> },
    /// Several serials claim one registration.
    DuplicateRegistration { id: RegistrationId, origins: Vec<Origin> },
    /// A tag is used where the tenant's `tagPolicy` does not allow it.
    /// `allowed` says where it does, in these and `more`; `origin` is the first of
    /// the devices.
    TagNotAllowed { tag: String, home: Home, allowed: Arc<[String]>, more: usize, devices: usize, origin: Origin },
    /// A tag is declared that is outside of the tenant's scope: what has it is not
    /// written. `origin` is the first of the devices.
    TagOutOfScope { tag: String, devices: usize, origin: Origin },
    /// A hash is in a vault that must not be sent this tenant's token.
    VaultNotAllowed { why: String, origin: Origin },
    /// Hashes stand unencrypted in Git; `origin` is the first of the devices.
    PlainHash { devices: usize, origin: Origin },
    /// Two claims are of one machine, by their hashes. The tenants are named where
    /// they are two.
    SameHardware { serials: [SerialNumber; 2], tenants: Option<[String; 2]>, origins: [Origin; 2] },
    /// The hashes of two claims have a part of their machines in common.
    MixedHardware { serials: [SerialNumber; 2], origins: [Origin; 2] },
    /// One serial is claimed in two tenants, and perhaps it is one machine.
    SerialInTwoTenants { serial: SerialNumber, tenants: [String; 2], origins: [Origin; 2] },
}

impl Conflict {
    /// How many origins are told of one conflict; of more, it says how many.
    pub const SHOWN: usize = 5;

    /// How many of the places are told that a tag policy allows.
    pub const PLACES_SHOWN: usize = 10;

    /// Where it stands, one origin or more.
    #[must_use]
    pub fn origins(&self) -> &[Origin] {
        match self {
            Self::DuplicateName { origins, .. }
            | Self::DuplicateTenant { origins, .. }
            | Self::ScopeOverlap { origins, .. }
            | Self::UnknownTenant { origins, .. }
            | Self::NoTenant { origins, .. }
            | Self::DuplicateSerial { origins, .. }
            | Self::DuplicateRegistration { origins, .. } => origins,
            Self::TagNotAllowed { origin, .. }
            | Self::VaultNotAllowed { origin, .. }
            | Self::TagOutOfScope { origin, .. }
            | Self::PlainHash { origin, .. } => std::slice::from_ref(origin),
            Self::SameHardware { origins, .. }
            | Self::MixedHardware { origins, .. }
            | Self::SerialInTwoTenants { origins, .. } => origins,
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::DuplicateName { .. }
            | Self::DuplicateTenant { .. }
            | Self::ScopeOverlap { .. }
            | Self::UnknownTenant { .. }
            | Self::NoTenant { .. }
            | Self::DuplicateSerial { .. }
            | Self::DuplicateRegistration { .. }
            | Self::TagNotAllowed { .. }
            | Self::VaultNotAllowed { .. }
            | Self::SameHardware { .. } => Severity::Error,
            Self::TagOutOfScope { .. }
            | Self::PlainHash { .. }
            | Self::MixedHardware { .. }
            | Self::SerialInTwoTenants { .. } => Severity::Warning,
        }
    }

    /// A stable short name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::DuplicateName { .. } => "duplicate-name",
            Self::DuplicateTenant { .. } => "duplicate-tenant",
            Self::ScopeOverlap { .. } => "scope-overlap",
            Self::UnknownTenant { .. } => "unknown-tenant",
            Self::NoTenant { .. } => "no-tenant",
            Self::DuplicateSerial { .. } => "duplicate-serial",
            Self::DuplicateRegistration { .. } => "duplicate-registration",
            Self::TagNotAllowed { .. } => "tag-not-allowed-here",
            Self::VaultNotAllowed { .. } => "vault-not-allowed",
            Self::TagOutOfScope { .. } => "tag-out-of-scope",
            Self::PlainHash { .. } => "plain-hash",
            Self::SameHardware { .. } => "same-hardware",
            Self::MixedHardware { .. } => "mixed-hardware",
            Self::SerialInTwoTenants { .. } => "serial-in-two-tenants",
        }
    }

    /// What is wrong, in one sentence.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::DuplicateName { kind, name, origins } => {
                format!("{} documents are the {} `{name}`{}", origins.len(), kind.name(), more(origins))
            }
            Self::DuplicateTenant { id, owner, origins } => {
                format!("tenant `{id}` is declared {} times for owner `{owner}`", origins.len())
            }
            Self::ScopeOverlap { owners: [one, other], patterns, .. } => {
                let of = |owner: &str, pattern: &str| match pattern {
                    "*" => format!("`{owner}` has the whole tenant"),
                    pattern => format!("`{owner}` has `{pattern}`"),
                };
                let [ours, theirs] = [of(one, &patterns[0]), of(other, &patterns[1])];
                format!("two owners of one tenant have the same devices in scope: {ours}, {theirs}")
            }
            Self::UnknownTenant { name, origins, .. } => {
                format!("there is no AutopilotTenant `{name}`{}", more(origins))
            }
            Self::NoTenant { known, origins } => {
                let documents = match origins.len() {
                    1 => "this document names".to_owned(),
                    count => format!("{count} documents name"),
                };
                match known.len() {
                    0 => format!("{documents} no tenant, and there is no AutopilotTenant in these files"),
                    count => format!("{documents} no tenant, and there are {count}"),
                }
            }
            Self::DuplicateSerial { serial, tenant, origins } => {
                let times = match origins.len() {
                    2 => "twice".to_owned(),
                    count => format!("{count} times"),
                };
                format!("serial `{serial}` is claimed {times} in tenant `{tenant}`{}", more(origins))
            }
            Self::DuplicateRegistration { id, origins } => {
                format!("registration `{id}` is claimed by {} devices", origins.len())
            }
            Self::TagNotAllowed { tag, home, devices, .. } => {
                let devices = if *devices == 1 { String::new() } else { format!(" ({devices} devices)") };
                format!("group tag `{tag}` may not be used in this {}{devices}", home.noun())
            }
            Self::VaultNotAllowed { why, .. } => format!("this vault may not be asked: {why}"),
            Self::TagOutOfScope { tag, devices, .. } => {
                let (devices, what) = if *devices == 1 {
                    ("1 device".to_owned(), "it is not written")
                } else {
                    (format!("{devices} devices"), "they are not written")
                };
                format!("group tag `{tag}` of {devices} is outside of `scope.groupTags`: {what}")
            }
            Self::PlainHash { devices: 1, .. } => {
                "a hardware hash stands unencrypted in this Git repository".to_owned()
            }
            Self::PlainHash { devices, .. } => {
                format!("{devices} hardware hashes stand unencrypted in this Git repository")
            }
            Self::SameHardware { serials: [one, other], tenants: Some([its, others]), .. } => {
                format!("`{one}` in tenant `{its}` and `{other}` in tenant `{others}` are one and the same device")
            }
            Self::SerialInTwoTenants { serial, tenants: [one, other], .. } => {
                format!("serial `{serial}` is claimed in tenant `{one}` and in tenant `{other}`")
            }
            Self::SameHardware { serials: [one, other], .. } => {
                format!("the hashes of `{one}` and `{other}` are of one and the same device")
            }
            Self::MixedHardware { serials: [one, other], .. } => {
                format!("the hashes of `{one}` and `{other}` share a part of their hardware")
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::DuplicateName { .. } => "give each document a name of its own".to_owned(),
            Self::DuplicateTenant { .. } => "keep one, or give each an `ownerId` of its own".to_owned(),
            Self::ScopeOverlap { .. } => {
                "list group tags under `scope.groupTags` of each, none of them in both".to_owned()
            }
            Self::UnknownTenant { name, namespace, elsewhere, known, .. } => {
                let names: Vec<&str> = known.iter().map(String::as_str).collect();
                match (elsewhere, near(name, &names)) {
                    (Some(other), _) => format!(
                        "there is one in namespace `{other}`; a tenant is looked for in the device's own, `{namespace}`"
                    ),
                    (None, Some(near)) => format!("did you mean `{near}`?"),
                    (None, None) if known.is_empty() => "declare it, or name the path where it is declared".to_owned(),
                    (None, None) => format!("the tenants here are {}", quoted(known)),
                }
            }
            Self::NoTenant { known, .. } if known.is_empty() => {
                "add an `AutopilotTenant`, or name the path where it is declared".to_owned()
            }
            Self::NoTenant { known, .. } => format!("add `tenantRef: {{name: …}}`, one of {}", quoted(known)),
            Self::DuplicateSerial { .. } => {
                "delete one of the entries; if two devices share this serial, give each its `registrationId`".to_owned()
            }
            Self::DuplicateRegistration { .. } => "a registration is one device: correct the others".to_owned(),
            Self::TagNotAllowed { home, allowed, .. } if allowed.is_empty() => {
                format!("the tenant's `tagPolicy` allows it in no {}", home.noun())
            }
            Self::TagNotAllowed { allowed, more, .. } => {
                let more = if *more > 0 { format!(" and {more} more") } else { String::new() };
                format!("the tenant's `tagPolicy` allows it in {}{more}", quoted(allowed))
            }
            Self::VaultNotAllowed { .. } => {
                "only vaults of the tenant's own cloud that it lists in `vaults` receive a token".to_owned()
            }
            Self::TagOutOfScope { .. } => "correct the tag, or take it into `scope.groupTags` of the tenant".to_owned(),
            Self::PlainHash { .. } => "whoever reads it can register the device elsewhere: encrypt the file (`*.age`, \
                                       `*.sops.*`), or say `hashStorage: PlainInGit` in the tenant"
                .to_owned(),
            Self::SameHardware { tenants: Some(_), .. } => {
                "a device is registered in one tenant at a time: delete one entry, or correct its hash reference"
                    .to_owned()
            }
            Self::SerialInTwoTenants { .. } => {
                "a device is registered in one tenant at a time: if it is one device, delete one entry".to_owned()
            }
            Self::SameHardware { .. } => {
                "one device is claimed twice: delete one entry, or correct its hash reference".to_owned()
            }
            Self::MixedHardware { .. } => {
                "a replaced main board, a cloned virtual machine, or two captures mixed up".to_owned()
            }
        }
    }
}

/// Says that not all origins are told.
fn more(origins: &[Origin]) -> String {
    match origins.len() > Conflict::SHOWN {
        true => format!(" (the first {} are shown)", Conflict::SHOWN),
        false => String::new(),
    }
}

fn quoted(names: &[String]) -> String {
    format!("`{}`", names.join("`, `"))
}

impl Home {
    fn noun(&self) -> &'static str {
        match self {
            Self::Path(_) => "file",
            Self::Namespace(_) => "namespace",
        }
    }
}
