//! `hardwareHashRef`: where a hash is kept, exactly one of several places.

use std::path::{Path, PathBuf};

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form::{HASH_VARIABLE, VAULT_SECRET, VAULT_URL};
use super::{Cloud, Problems, SecretKeyRef};
use crate::model::{self, HashDigest, HashLocation, HashRef};

/// Hosts of Key Vaults per cloud.
const VAULT_SUFFIXES: [(Cloud, &str); 4] = [
    (Cloud::Global, ".vault.azure.net"),
    (Cloud::GccHigh, ".vault.usgovcloudapi.net"),
    (Cloud::Dod, ".vault.usgovcloudapi.net"),
    (Cloud::China, ".vault.azure.cn"),
];

/// Where a device's hardware hash is kept: exactly one of `file`, `csv`,
/// `env`, `secretKeyRef`, `keyVaultSecret`. Never the hash itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new(
    "[has(self.file), has(self.csv), has(self.env), has(self.secretKeyRef), has(self.keyVaultSecret)].filter(x, x).size() == 1"
).message("give exactly one of `file`, `csv`, `env`, `secretKeyRef`, `keyVaultSecret`").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new(
    "!(has(self.secretKeyRef) || has(self.keyVaultSecret)) || has(self.sha256)"
).message("a hash in a Secret or a vault needs the pin `sha256`").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new(
    "!has(self.hashCheck) || self.hashCheck != 'Trust' || has(self.sha256)"
).message("`hashCheck: Trust` needs the pin `sha256`").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("!has(self.use) || has(self.csv)").message("`use` names columns of a `csv`").reason(Reason::FieldValueForbidden))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct HardwareHashRef {
    /// A file with the hash in base64, or an OA3.xml. Relative to this
    /// manifest. `*.age` and `*.sops.*` are decrypted by the `age` and `sops`
    /// commands.
    #[schemars(length(min = 1, max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A collector's CSV file; the row is found by serial number. Relative to
    /// this manifest.
    #[schemars(length(min = 1, max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<String>,
    /// Columns of the CSV that say what the device shall have: its own fields go
    /// before them, they go before the `defaults` of a set, and an empty cell
    /// says nothing. `[]`: none, and no warning that there are some.
    #[schemars(length(max = 2))]
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub use_: Option<Vec<HashColumn>>,
    /// An environment variable whose name starts with `APGIT_HASH_`.
    #[schemars(length(min = HASH_VARIABLE.min, max = HASH_VARIABLE.max), pattern(HASH_VARIABLE.pattern))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// A key of a Kubernetes Secret of the same namespace, for the operator: a
    /// command does not read it, and the device is not registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// A secret of an Azure Key Vault that the tenant names in `vaults`. Not acted
    /// on yet: its device is not registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_vault_secret: Option<KeyVaultSecret>,
    /// The SHA-256 of the hash's bytes in hex. Needed where the hash cannot be
    /// read while planning.
    #[schemars(length(min = 64, max = 71), pattern(HashDigest::PATTERN))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// `Trust`: let Microsoft judge a hash that our decoder does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_check: Option<HashCheck>,
}

/// A secret of an Azure Key Vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyVaultSecret {
    /// Such as `https://contoso-hashes.vault.azure.net`.
    #[schemars(length(min = VAULT_URL.min, max = VAULT_URL.max), pattern(VAULT_URL.pattern))]
    pub vault_url: String,
    /// Name of the secret.
    #[schemars(length(min = VAULT_SECRET.min, max = VAULT_SECRET.max), pattern(VAULT_SECRET.pattern))]
    pub name: String,
}

/// A column that collectors write beside the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
// No docs: they would make `oneOf` of the schema's `enum`.
pub enum HashColumn {
    GroupTag,
    AssignedUser,
}

/// Which columns of a CSV are declared values. `None` at all is a reference that
/// says nothing of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Columns {
    /// `Group Tag` is the group tag.
    pub group_tag: bool,
    /// `Assigned User` is the user.
    pub user: bool,
}

impl Columns {
    pub(super) fn of(spec: &HardwareHashRef) -> Option<Self> {
        let columns = spec.use_.as_ref()?;
        let has = |column| columns.contains(&column);
        Some(Self { group_tag: has(HashColumn::GroupTag), user: has(HashColumn::AssignedUser) })
    }

    /// True if any is.
    #[must_use]
    pub fn any(self) -> bool {
        self.group_tag || self.user
    }
}

/// Whether our decoder must understand the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
// No docs: they would make `oneOf` of the schema's `enum`.
pub enum HashCheck {
    Decode,
    Trust,
}

/// Whether a file of this name is read through `age` or `sops`.
#[must_use]
#[expect(clippy::case_sensitive_file_extension_comparisons, reason = "the name is in lower case by then")]
pub fn is_encrypted(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    name.ends_with(".age") || name.contains(".sops.")
}

/// The host of a vault's URL, lower case; `None` if the URL has another shape.
fn vault_host(url: &str) -> Option<String> {
    let host = url.strip_prefix("https://")?;
    let host = host.strip_suffix('/').unwrap_or(host);
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (!host.is_empty() && host.chars().all(legal)).then(|| host.to_ascii_lowercase())
}

/// Says why the tenant may not ask this vault: a branch must not be able to
/// send a token to a host of its own choice. `None` if it may.
///
/// `cloud` is `None` for a tenant with `endpoints` of its own: then a vault of
/// any of the clouds may be named.
#[must_use]
pub fn vault_problem(url: &str, cloud: Option<Cloud>, vaults: &[String]) -> Option<String> {
    let Some(host) = vault_host(url) else {
        return Some("a vault is written like `https://name.vault.azure.net`".into());
    };
    let fits = |suffix: &str| host.strip_suffix(suffix).is_some_and(|label| !label.is_empty() && !label.contains('.'));
    if !VAULT_SUFFIXES.iter().any(|(of, suffix)| cloud.is_none_or(|cloud| cloud == *of) && fits(suffix)) {
        return Some(format!("`{host}` is not a Key Vault of this tenant's cloud"));
    }
    let listed = vaults.iter().any(|vault| {
        let named = vault_host(vault).unwrap_or_else(|| vault.to_ascii_lowercase());
        named == host
    });
    (!listed).then(|| format!("`{host}` does not stand in the tenant's `vaults`"))
}

/// The reference as the core knows it; a path stays as it was written. `None`
/// after any problem: what may not be read is not even looked at.
pub(super) fn check(spec: &HardwareHashRef, problems: &mut Problems) -> Option<HashRef> {
    const AT: &str = "hardwareHashRef";
    let before = problems.len();
    let pin = spec.sha256.as_deref().and_then(HashDigest::parse);
    if spec.sha256.is_some() && pin.is_none() {
        problems.push(&[AT, "sha256"], "hash-pin", "`sha256` is not a SHA-256: 64 hex digits");
    }
    let mut places = Vec::new();
    if let Some(file) = &spec.file {
        check_path("file", file, problems);
        places.push(HashLocation::File(PathBuf::from(file)));
    }
    if let Some(csv) = &spec.csv {
        check_path("csv", csv, problems);
        places.push(HashLocation::Csv(PathBuf::from(csv)));
    }
    if let Some(env) = &spec.env {
        if !HASH_VARIABLE.fits(env) {
            problems.push_hint(
                &[AT, "env"],
                "hash-env-name",
                "this environment variable may not be read",
                "name it `APGIT_HASH_…`, in capitals, digits and `_`",
            );
        }
        places.push(HashLocation::Env(env.clone()));
    }
    if let Some(secret) = &spec.secret_key_ref {
        for (name, text) in [("name", &secret.name), ("key", &secret.key)] {
            if text.is_empty() {
                problems.push(&[AT, "secretKeyRef", name], "empty", format!("`{name}` is empty"));
            }
        }
        places.push(HashLocation::SecretKeyRef { name: secret.name.clone(), key: secret.key.clone() });
    }
    if let Some(vault) = &spec.key_vault_secret {
        if !VAULT_URL.fits(&vault.vault_url) {
            problems.push_hint(
                &[AT, "keyVaultSecret", "vaultUrl"],
                "vault-url",
                "`vaultUrl` is not the address of a Key Vault",
                "write it like `https://name.vault.azure.net`",
            );
        }
        if !VAULT_SECRET.fits(&vault.name) {
            problems.push(
                &[AT, "keyVaultSecret", "name"],
                "vault-secret-name",
                "the name of a Key Vault secret has letters, digits and hyphens",
            );
        }
        places.push(HashLocation::KeyVaultSecret { vault_url: vault.vault_url.clone(), name: vault.name.clone() });
    }
    if places.len() != 1 {
        let message = match places.len() {
            0 => "`hardwareHashRef` names no place",
            _ => "`hardwareHashRef` names more than one place",
        };
        let hint = "give exactly one: `file`, `csv` or `env`, or for the operator `secretKeyRef`; `keyVaultSecret` is \
                    not acted on yet";
        problems.push_hint(&[AT], "hash-ref-one-of", message, hint);
        return None;
    }
    let location = places.pop()?;
    if spec.sha256.is_none() {
        check_pin_needed(spec, &location, problems);
    }
    check_columns(spec, &location, problems);
    let check = match spec.hash_check {
        Some(HashCheck::Trust) => model::HashCheck::Trust,
        Some(HashCheck::Decode) | None => model::HashCheck::Decode,
    };
    (problems.len() == before).then_some(HashRef { location, pin, check })
}

fn check_pin_needed(spec: &HardwareHashRef, location: &HashLocation, problems: &mut Problems) {
    let why = match location {
        HashLocation::File(path) | HashLocation::Csv(path) if is_encrypted(path) => "an encrypted file",
        HashLocation::SecretKeyRef { .. } => "a hash in a Secret",
        HashLocation::KeyVaultSecret { .. } => "a hash in a vault",
        _ if spec.hash_check == Some(HashCheck::Trust) => "`hashCheck: Trust`",
        _ => return,
    };
    problems.push_hint(
        &["hardwareHashRef"],
        "hash-pin-missing",
        format!("{why} needs the pin `sha256`"),
        "`apgit hash --pin FILE` prints it; a plan then needs no key",
    );
}

fn check_columns(spec: &HardwareHashRef, location: &HashLocation, problems: &mut Problems) {
    let Some(columns) = Columns::of(spec) else { return };
    let at = ["hardwareHashRef", "use"];
    match location {
        HashLocation::Csv(path) if columns.any() && is_encrypted(path) => problems.push_hint(
            &at,
            "use-encrypted",
            "the columns of an encrypted file are not known while planning",
            "write `groupTag` and `userPrincipalName` in this manifest; `use: []` says that the columns are not used",
        ),
        HashLocation::Csv(_) => {}
        HashLocation::File(path) if path.extension().is_some_and(|it| it.eq_ignore_ascii_case("csv")) => problems
            .push_hint(
                &at,
                "use-without-csv",
                "`use` names columns of a `csv`, and `file` is a file with one hash",
                "write `csv:` instead of `file:`",
            ),
        _ => problems.push_hint(&at, "use-without-csv", "`use` names columns of a `csv`", "remove it"),
    }
}

fn check_path(field: &'static str, path: &str, problems: &mut Problems) {
    let message = if path.is_empty() {
        "the path is empty"
    } else if path.chars().any(char::is_control) {
        "the path has control characters"
    } else if path.starts_with('/') || path.starts_with('\\') || path.as_bytes().get(1) == Some(&b':') {
        "the path is absolute"
    } else if path.contains('\\') {
        "the path has backslashes"
    } else {
        return;
    };
    let hint = "write it relative to this manifest, with `/` between folders";
    problems.push_hint(&["hardwareHashRef", field], "hash-path", message, hint);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_vaults_of_the_own_cloud_may_be_asked() {
        let vaults = ["contoso.vault.azure.net".to_owned(), "https://gov.vault.usgovcloudapi.net/".to_owned()];
        let ask = |url, cloud| vault_problem(url, cloud, &vaults).is_none();
        assert!(ask("https://contoso.vault.azure.net", Some(Cloud::Global)));
        assert!(ask("https://CONTOSO.vault.azure.net/", Some(Cloud::Global)));
        assert!(ask("https://gov.vault.usgovcloudapi.net", Some(Cloud::Dod)));
        assert!(ask("https://gov.vault.usgovcloudapi.net", None));
        for url in [
            "https://other.vault.azure.net",
            "https://gov.vault.usgovcloudapi.net",
            "http://contoso.vault.azure.net",
            "https://contoso.vault.azure.net.evil.example",
            "https://contoso.vault.azure.net@evil.example",
            "https://contoso.vault.azure.net:8443",
            "https://contoso.vault.azure.net/secrets",
            "https://a.contoso.vault.azure.net",
            "https://.vault.azure.net",
            "https://evilvault.azure.net",
        ] {
            assert!(!ask(url, Some(Cloud::Global)), "{url}");
        }
    }

    #[test]
    fn encrypted_files_are_known_by_their_names() {
        for (name, expected) in
            [("a.age", true), ("x/a.TXT.AGE", true), ("a.sops.csv", true), ("age", false), ("a.csv", false)]
        {
            assert_eq!(is_encrypted(Path::new(name)), expected, "{name}");
        }
    }
}
