//! What can be declared in a file and no command acts on: this version does not at
//! all, or its operator alone does. Whoever declares it believes that it is done,
//! so it is said; a field that gets its deed leaves this table with it.

use super::{Approval, AuthType, AutopilotTenantSpec, FieldPath, HardwareHashRef, Identity};

/// A declared field that nothing is done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// Which field, from the object that was looked at.
    pub path: FieldPath,
    /// The field as a person would write it, with its value where that counts.
    pub field: &'static str,
    /// What happens instead.
    pub instead: &'static str,
    /// True if the operator acts on it.
    pub in_cluster: bool,
}

impl Undone {
    fn new(path: &[&'static str], field: &'static str, instead: &'static str) -> Self {
        let path = path.iter().fold(FieldPath::root(), |path, name| path.field(name));
        Self { path, field, instead, in_cluster: false }
    }

    /// One that the operator acts on.
    fn here(self) -> Self {
        Self { in_cluster: true, ..self }
    }
}

/// What of a tenant is not acted on, by path from its spec.
#[must_use]
pub fn undone_of_tenant(spec: &AutopilotTenantSpec) -> Vec<Undone> {
    let mut found = Vec::new();
    if spec.interval.is_some() {
        found.push(Undone::new(&["interval"], "interval", "a command reads the tenant when it is run").here());
    }
    if spec.vaults.as_ref().is_some_and(|vaults| !vaults.is_empty()) {
        found.push(Undone::new(&["vaults"], "vaults", "it reads no hash from a vault"));
    }
    if spec.approval.is_some_and(|approval| approval != Approval::Never) {
        let instead = "a command asks for everything, or does what it was told to approve";
        found.push(Undone::new(&["approval"], "approval", instead).here());
    }
    if let Some(auth) = &spec.auth {
        let (read, write) = (auth.read.as_ref(), auth.write.as_ref());
        let identities = [(vec!["auth"], Some(auth.base())), (vec!["auth", "read"], read.cloned())];
        for (path, identity) in identities.into_iter().chain([(vec!["auth", "write"], write.cloned())]) {
            identity.iter().for_each(|identity| found.extend(of_identity(&path, identity)));
        }
    }
    found
}

fn of_identity(path: &[&'static str], identity: &Identity) -> Vec<Undone> {
    let at = |name: &'static str| [path, &[name]].concat();
    let way = match identity.type_ {
        Some(AuthType::Browser) => Some("auth.type: Browser"),
        Some(AuthType::DeviceCode) => Some("auth.type: DeviceCode"),
        _ => None,
    };
    let of_cluster = [
        (
            identity.secret_ref.is_some(),
            "secretRef",
            "auth.secretRef",
            "a command takes the secret of `AZURE_CLIENT_SECRET`",
        ),
        (
            identity.certificate_ref.is_some(),
            "certificateRef",
            "auth.certificateRef",
            "a command takes the certificate of `AZURE_CLIENT_CERTIFICATE_PATH`",
        ),
        (
            identity.service_account_name.is_some(),
            "serviceAccountName",
            "auth.serviceAccountName",
            "a command takes the token of `AZURE_FEDERATED_TOKEN_FILE`, or of GitHub's own service",
        ),
    ];
    let way = way.map(|field| Undone::new(&at("type"), field, "it cannot sign in this way, so nothing is planned"));
    let of_cluster = of_cluster.into_iter().filter(|(is_declared, ..)| *is_declared);
    way.into_iter()
        .chain(of_cluster.map(|(_, name, field, instead)| Undone::new(&at(name), field, instead).here()))
        .collect()
}

/// What of a device, or of a set's defaults, is not acted on.
pub(super) fn undone_of_device(hash: Option<&HardwareHashRef>) -> Vec<Undone> {
    let mut found = Vec::new();
    let instead = "it reads no hash from there, so that the device is not registered";
    if hash.is_some_and(|hash| hash.key_vault_secret.is_some()) {
        let path = ["hardwareHashRef", "keyVaultSecret"];
        found.push(Undone::new(&path, "hardwareHashRef.keyVaultSecret", instead));
    }
    if hash.is_some_and(|hash| hash.secret_key_ref.is_some()) {
        let path = ["hardwareHashRef", "secretKeyRef"];
        let instead = "a command reads no Secret, so that the device is not registered";
        found.push(Undone::new(&path, "hardwareHashRef.secretKeyRef", instead).here());
    }
    found
}
