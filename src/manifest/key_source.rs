//! Where the keys of a file of `sops` are, as the file itself says.
//!
//! `sops` asks whomever its file names, with whatever credential it finds, and
//! the file comes from a branch. So its metadata is read here first, more
//! strictly than `sops` reads it: what is not understood, is spelt otherwise or
//! stands twice is refused, since `sops` might find a key source in it.

use std::net::IpAddr;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::problem::show;

/// A service that keeps keys, and sees a credential for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Aws,
    Google,
    Azure,
    Vault,
}

impl Service {
    /// How the variables begin that sign in there.
    pub(super) const fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Aws => &["AWS_"],
            Self::Google => &["GOOGLE_", "CLOUDSDK_", "GCE_"],
            Self::Azure => &["AZURE_", "IDENTITY_", "MSI_"],
            Self::Vault => &["VAULT_"],
        }
    }
}

/// Why a file is not handed to `sops`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub message: String,
    pub hint: String,
}

impl Refusal {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// The services that `sops` would ask about this file. Each must be named in
/// `hosts`, which come from the command line.
pub(super) fn services(file: &[u8], hosts: &[String]) -> Result<Vec<Service>, Refusal> {
    let file: Encrypted = serde_json::from_slice(file).map_err(|error| {
        let message = format!("this is not what `sops` writes: {}", show(&error.to_string()));
        Refusal::new(message, "encrypt the file anew with `sops --encrypt --input-type binary`")
    })?;
    let Metadata { kms, gcp_kms, azure_kv, hc_vault, hckms, key_groups, .. } = file.sops;
    let flat = Group { kms, gcp_kms, azure_kv, hc_vault, hckms, ..Group::default() };
    let groups = key_groups.into_iter().flatten().chain([flat]);
    let mut services = Vec::new();
    for source in groups.flat_map(Group::remote) {
        let (service, host) = source?;
        if !hosts.iter().any(|named| named.eq_ignore_ascii_case(&host)) {
            let message = format!("its key is with `{host}`, which would be sent a credential of yours");
            let hint = format!(
                "encrypt it for `age` or `pgp` keys; if the host is yours, name it on the command line: \
                 `--allow-key-host {host}`"
            );
            return Err(Refusal::new(message, hint));
        }
        services.push(service);
    }
    Ok(services)
}

/// What `sops` makes of a file that is not text of its own kinds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encrypted {
    #[serde(rename = "data")]
    _data: IgnoredAny,
    sops: Metadata,
}

/// As `sops` 3 writes it. Unknown and repeated fields are errors of serde's;
/// with `flatten` both would pass, so the sources stand here once more.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Metadata {
    kms: Option<Vec<Kms>>,
    gcp_kms: Option<Vec<GcpKms>>,
    azure_kv: Option<Vec<AzureKv>>,
    hc_vault: Option<Vec<HcVault>>,
    hckms: Option<Vec<IgnoredAny>>,
    key_groups: Option<Vec<Group>>,
    #[serde(rename = "age")]
    _age: IgnoredAny,
    #[serde(rename = "pgp")]
    _pgp: IgnoredAny,
    #[serde(rename = "lastmodified")]
    _lastmodified: IgnoredAny,
    #[serde(rename = "mac")]
    _mac: IgnoredAny,
    #[serde(rename = "version")]
    _version: IgnoredAny,
    #[serde(rename = "shamir_threshold")]
    _shamir_threshold: IgnoredAny,
    #[serde(rename = "mac_only_encrypted")]
    _mac_only_encrypted: IgnoredAny,
    #[serde(rename = "unencrypted_suffix")]
    _unencrypted_suffix: IgnoredAny,
    #[serde(rename = "encrypted_suffix")]
    _encrypted_suffix: IgnoredAny,
    #[serde(rename = "unencrypted_regex")]
    _unencrypted_regex: IgnoredAny,
    #[serde(rename = "encrypted_regex")]
    _encrypted_regex: IgnoredAny,
    #[serde(rename = "unencrypted_comment_regex")]
    _unencrypted_comment_regex: IgnoredAny,
    #[serde(rename = "encrypted_comment_regex")]
    _encrypted_comment_regex: IgnoredAny,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Group {
    kms: Option<Vec<Kms>>,
    gcp_kms: Option<Vec<GcpKms>>,
    azure_kv: Option<Vec<AzureKv>>,
    hc_vault: Option<Vec<HcVault>>,
    hckms: Option<Vec<IgnoredAny>>,
    #[serde(rename = "age")]
    _age: IgnoredAny,
    #[serde(rename = "pgp")]
    _pgp: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kms {
    arn: String,
    #[serde(default, rename = "role")]
    _role: IgnoredAny,
    #[serde(default, rename = "context")]
    _context: IgnoredAny,
    #[serde(default, rename = "aws_profile")]
    _aws_profile: IgnoredAny,
    #[serde(default, rename = "created_at")]
    _created_at: IgnoredAny,
    #[serde(default, rename = "enc")]
    _enc: IgnoredAny,
}

#[derive(Deserialize)]
struct GcpKms {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AzureKv {
    vault_url: String,
    #[serde(default, rename = "name")]
    _name: IgnoredAny,
    #[serde(default, rename = "version")]
    _version: IgnoredAny,
    #[serde(default, rename = "created_at")]
    _created_at: IgnoredAny,
    #[serde(default, rename = "enc")]
    _enc: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HcVault {
    vault_address: String,
    #[serde(default, rename = "engine_path")]
    _engine_path: IgnoredAny,
    #[serde(default, rename = "key_name")]
    _key_name: IgnoredAny,
    #[serde(default, rename = "created_at")]
    _created_at: IgnoredAny,
    #[serde(default, rename = "enc")]
    _enc: IgnoredAny,
}

impl Group {
    /// Every source that is not on this machine.
    fn remote(self) -> Vec<Result<(Service, String), Refusal>> {
        let Self { kms, gcp_kms, azure_kv, hc_vault, hckms, .. } = self;
        let aws = kms.into_iter().flatten().map(|key| Ok((Service::Aws, aws_host(&key.arn)?)));
        let google = gcp_kms.into_iter().flatten().map(|_| Ok((Service::Google, "cloudkms.googleapis.com".to_owned())));
        let azure = azure_kv.into_iter().flatten().map(|key| Ok((Service::Azure, host_of(&key.vault_url)?)));
        let vault = hc_vault.into_iter().flatten().map(|key| Ok((Service::Vault, host_of(&key.vault_address)?)));
        let unknown = hckms.into_iter().flatten().map(|_| {
            let message = "its key is with a service that is not known here (`hckms`)";
            Err(Refusal::new(message, "encrypt it for `age` or `pgp` keys"))
        });
        aws.chain(google).chain(azure).chain(vault).chain(unknown).collect()
    }
}

/// The host of the region that an ARN names.
fn aws_host(arn: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = arn.split(':').collect();
    let legal = |region: &str| !region.is_empty() && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match parts[..] {
        ["arn", "aws-cn", "kms", region, ..] if legal(region) => Ok(format!("kms.{region}.amazonaws.com.cn")),
        ["arn", partition, "kms", region, ..] if legal(region) && partition.starts_with("aws") => {
            Ok(format!("kms.{region}.amazonaws.com"))
        }
        _ => Err(Refusal::new("its key is with an `arn` that cannot be read", "encrypt it anew")),
    }
}

/// The host of an address, if it has the plain form in which nobody can read
/// another host: `https://host`, or with a port. Without TLS only this machine.
fn host_of(address: &str) -> Result<String, Refusal> {
    let refused = || {
        let message = format!("its key is with `{}`, which is no address of a host", show(address));
        Refusal::new(message, "an address is written like `https://vault.contoso.com:8200`")
    };
    let (scheme, rest) = address.split_once("://").ok_or_else(refused)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    let is_here = || host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let is_private = scheme == "https" || scheme == "http" && is_here();
    if is_host && is_port && is_private { Ok(host.to_ascii_lowercase()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(metadata: &str, hosts: &[&str]) -> Result<Vec<Service>, String> {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let file = format!(r#"{{"data": "ENC[AES256_GCM,data:x]", "sops": {metadata}}}"#);
        services(file.as_bytes(), &hosts).map_err(|refusal| refusal.message)
    }

    #[test]
    fn keys_of_this_machine_need_nobody() {
        let metadata = r#"{"kms": null, "gcp_kms": null, "azure_kv": null, "hc_vault": null,
            "age": [{"recipient": "age1x", "enc": "-----BEGIN AGE"}], "lastmodified": "2026-01-05T08:00:00Z",
            "mac": "ENC[x]", "pgp": [{"created_at": "x", "enc": "y", "fp": "z"}], "unencrypted_suffix": "_unencrypted",
            "version": "3.9.4"}"#;
        assert_eq!(ask(metadata, &[]), Ok(vec![]));
    }

    #[test]
    fn whoever_keeps_a_key_must_be_named() {
        let cases = [
            (
                r#"{"hc_vault": [{"vault_address": "https://Vault.contoso.com:8200", "engine_path": "t"}]}"#,
                "vault.contoso.com",
                Service::Vault,
            ),
            (
                r#"{"azure_kv": [{"vault_url": "https://contoso.vault.azure.net", "name": "k"}]}"#,
                "contoso.vault.azure.net",
                Service::Azure,
            ),
            (
                r#"{"kms": [{"arn": "arn:aws:kms:eu-north-1:1:key/x", "aws_profile": ""}]}"#,
                "kms.eu-north-1.amazonaws.com",
                Service::Aws,
            ),
            (
                r#"{"kms": [{"arn": "arn:aws-cn:kms:cn-north-1:1:key/x"}]}"#,
                "kms.cn-north-1.amazonaws.com.cn",
                Service::Aws,
            ),
            (r#"{"gcp_kms": [{"resource_id": "projects/p"}]}"#, "cloudkms.googleapis.com", Service::Google),
            (
                r#"{"key_groups": [{"age": []}, {"hc_vault": [{"vault_address": "http://127.0.0.1:8200"}]}]}"#,
                "127.0.0.1",
                Service::Vault,
            ),
        ];
        for (metadata, host, service) in cases {
            let refused = ask(metadata, &["vault.fabrikam.com"]).unwrap_err();
            assert!(refused.contains(&format!("`{host}`")), "{refused}");
            assert_eq!(ask(metadata, &[host]), Ok(vec![service]));
        }
    }

    /// `sops` folds the case of names, and takes the last of two.
    #[test]
    fn what_sops_might_read_otherwise_is_refused() {
        for metadata in [
            r#"{"HC_VAULT": [{"vault_address": "https://evil.example"}]}"#,
            r#"{"hc_vault": [], "hc_vault": [{"vault_address": "https://evil.example"}]}"#,
            r#"{"hc_vault": [{"vault_address": "https://a.example", "Vault_Address": "https://evil.example"}]}"#,
            r#"{"hc_vault": [{"vault_address": "http://a.example"}]}"#,
            r#"{"hc_vault": [{"vault_address": "https://a.example@evil.example"}]}"#,
            r#"{"hc_vault": [{"vault_address": "https://evil.example\\@a.example"}]}"#,
            r#"{"hc_vault": [{"vault_address": "https://a.example/x"}]}"#,
            r#"{"kms": [{"arn": "arn:aws:kms:a:1:key/x", "ARN": "arn:aws:kms:b:1:key/x"}]}"#,
            r#"{"kms": [{"arn": "arn:aws:kms:evil.example/:1:key/x"}]}"#,
            r#"{"hckms": [{"key_id": "x"}]}"#,
            r#"{"ocikms": [{}]}"#,
            r#"{}, "SOPS": {"hc_vault": [{"vault_address": "https://evil.example"}]}"#,
            r#"{}, "sops": {"hc_vault": [{"vault_address": "https://evil.example"}]}"#,
        ] {
            assert!(ask(metadata, &["a.example"]).is_err(), "{metadata}");
        }
    }
}
