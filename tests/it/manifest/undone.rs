//! Declared and not done is said, or done by the operator alone.

use std::collections::BTreeSet;

use apgit::door::resource::{Kind, spec_schema};
use serde_json::Value;

use super::{Repo, TENANT, codes, told, validated};
use crate::support::{Desk, ran, root};

/// Fields whose whole meaning this version acts on.
const ACTED_ON: &str = "
    tenantId cloud endpoints endpoints.login endpoints.graph auth auth.type auth.clientId auth.read auth.read.type
    auth.read.clientId auth.write auth.write.type auth.write.clientId policy ownerId scope scope.groupTags limits
    limits.maxDeletes limits.maxDeletePercent limits.maxUpdates limits.maxUpdatePercent limits.maxRetags tagPolicy
    tagPolicy.groupTag tagPolicy.paths tagPolicy.namespaces peers peers.ownerId
    peers.groupTags sync adoptionPolicy suspend hashStorage
    tenantRef tenantRef.name serialNumber registrationId hardwareHashRef hardwareHashRef.file hardwareHashRef.csv
    hardwareHashRef.use hardwareHashRef.env hardwareHashRef.sha256 hardwareHashRef.hashCheck groupTag
    userPrincipalName addressableUserName displayName deletionPolicy protect onVanished limits.maxShrink
    limits.maxShrinkPercent ledger ledger.lineage defaults devices digest expiresAt counts counts.updates
    counts.retags counts.clears counts.adopts counts.deletes counts.releases
    freezes freezes.name freezes.reason freezes.from freezes.until freezes.weekly freezes.weekly.from
    freezes.weekly.until freezes.weekly.timeZone rollout rollout.canary rollout.waitFor";

/// Fields with something that this version does not act on, and what says so.
const UNDONE: [(&str, &str, &str); 10] = [
    ("vaults", "vaults: [a.vault.azure.net]", "`vaults`"),
    ("interval", "interval: 10m", "`interval`"),
    ("approval", "approval: Deletions", "`approval`"),
    ("auth.type", "auth: {type: Browser, clientId: ID}", "`auth.type: Browser`"),
    (
        "auth.read.type",
        "auth: {read: {type: DeviceCode, clientId: ID}, write: {type: AzureCli}}",
        "`auth.type: DeviceCode`",
    ),
    ("auth.secretRef", "auth: {type: ClientSecret, clientId: ID, secretRef: {name: a, key: b}}", "`auth.secretRef`"),
    (
        "auth.certificateRef",
        "auth: {type: Certificate, clientId: ID, certificateRef: {name: a, key: b}}",
        "`auth.certificateRef`",
    ),
    (
        "auth.serviceAccountName",
        "auth: {type: WorkloadIdentity, clientId: ID, serviceAccountName: a}",
        "`auth.serviceAccountName`",
    ),
    (
        "hardwareHashRef.keyVaultSecret",
        "hardwareHashRef: {keyVaultSecret: {vaultUrl: \"https://a.vault.azure.net\", name: b}, sha256: PIN}",
        "`hardwareHashRef.keyVaultSecret`",
    ),
    (
        "hardwareHashRef.secretKeyRef",
        "hardwareHashRef: {secretKeyRef: {name: a, key: b}, sha256: PIN}",
        "`hardwareHashRef.secretKeyRef`",
    ),
];

/// Those of them that the operator acts on.
const IN_CLUSTER: [&str; 6] = [
    "interval",
    "approval",
    "auth.secretRef",
    "auth.certificateRef",
    "auth.serviceAccountName",
    "hardwareHashRef.secretKeyRef",
];

/// A repository in which this field is declared.
fn declared(field: &str, line: &str) -> Repo {
    let line = line.replace("ID", "aaaaaaaa-0000-4000-8000-000000000001").replace("PIN", &"0123456789abcdef".repeat(4));
    let repo = Repo::bare();
    let of_device = spec_schema(Kind::Device)["properties"].get(field.split('.').next().unwrap()).is_some();
    let vaults = if line.contains("vaultUrl") { "vaults: [a.vault.azure.net], " } else { "" };
    let tenant = if of_device { vaults.to_owned() } else { format!("{line}, ") };
    repo.write("tenant.yaml", TENANT.replace("policy:", &format!("{tenant}policy:")));
    let device = if of_device { &line } else { "groupTag: A" };
    // Of two devices with one hash reference, one would be too many.
    let other = if device.contains("hardwareHashRef") { "groupTag: A" } else { device };
    repo.devices("a.yaml", &format!("  devices: [{{serialNumber: A1, {device}}}, {{serialNumber: A2, {other}}}]\n"));
    repo
}

#[test]
fn every_field_that_nothing_is_done_with_is_a_warning_that_names_it() {
    for (field, line, named) in UNDONE {
        let repo = declared(field, line);
        let loaded = repo.load();
        assert_eq!(codes(&loaded), [""; 0], "{}", told(&loaded));
        let warnings = loaded.problems.iter().filter(|problem| problem.code == "not-acted-on");
        let who = match IN_CLUSTER.contains(&field) {
            true => "only the operator acts on it",
            false => "this version does nothing with it",
        };
        let begins = format!("{named} is declared, and {who}: ");
        let named = warnings.filter(|warning| warning.message.starts_with(&begins)).count();
        assert_eq!(named, 1, "{field}: {}", told(&loaded));
        let (code, _, err) = validated(&repo.path().display().to_string());
        assert!(code == 0 && err.contains("warning[not-acted-on]"), "{err}");
    }
}

#[test]
fn a_plan_warns_of_it_too_and_names_many_devices_once() {
    let repo = declared("approval", "approval: Never");
    let reference = "{keyVaultSecret: {vaultUrl: \"https://a.vault.azure.net\", name: NAME}, sha256: PIN}";
    let pinned = |digit: &str, name: &str| reference.replace("PIN", &digit.repeat(64)).replace("NAME", name);
    let device =
        |serial: &str, digit: &str| format!("{{serialNumber: {serial}, hardwareHashRef: {}}}", pinned(digit, serial));
    repo.write("tenant.yaml", TENANT.replace("policy:", "vaults: [a.vault.azure.net], policy:"));
    repo.devices("a.yaml", &format!("  devices: [{}, {}]\n", device("A1", "1"), device("A2", "2")));
    let mut plan = Desk::new().command("plan . --simulate");
    let err = ran(plan.current_dir(repo.path())).err;
    assert_eq!(err.matches("warning[not-acted-on]").count(), 2, "of the vault, and of its secrets: {err}");
    assert!(
        err.contains("it reads no hash from there") && err.contains("(2 times)") && err.contains("a.yaml:5"),
        "{err}"
    );
}

#[test]
fn what_happens_anyway_needs_no_warning() {
    for line in ["deletionPolicy: Orphan", "protect: false"] {
        assert_eq!(declared("protect", line).load().problems, [], "{line}");
    }
    for line in ["approval: Never", "onVanished: Register", "limits: {maxDeletes: 1}"] {
        assert_eq!(declared("approval", line).load().problems, [], "{line}");
    }
}

#[test]
fn the_reference_says_which_fields_are_not_acted_on_and_no_advice_leads_to_them() {
    let reference = Desk::new().run("schema --markdown").out;
    for field in ["spec.vaults", "spec.hardwareHashRef.keyVaultSecret", "spec.auth.type"] {
        let line = reference.lines().find(|line| line.contains(&format!("`{field}`"))).unwrap_or_default();
        assert!(line.contains("ot acted on yet"), "{field}: {line}");
    }
    let said = Desk::new().run("schema --field spec.vaults").out;
    assert!(said.contains("Not acted on yet"), "{said}");
    let repo = Repo::new();
    repo.write("hash.txt", "x");
    repo.devices("sets/a.yaml", "  devices: [{serialNumber: A1, hardwareHashRef: {file: ../../hash.txt}}]\n");
    assert!(!told(&repo.load()).contains("vault"), "{}", told(&repo.load()));
    let example = std::fs::read_to_string(root().join("examples/contoso/tenant.yaml")).unwrap();
    assert!(!example.contains("vault"), "{example}");
}

/// Whoever adds a field decides whether something is done with it.
#[test]
fn every_field_of_the_schema_is_acted_on_or_warned_of() {
    fn fields(schema: &Value, at: &str, out: &mut BTreeSet<String>) {
        let inner = if schema["type"] == "array" { &schema["items"] } else { schema };
        for (name, schema) in inner["properties"].as_object().into_iter().flatten() {
            let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            // Wherever a device is declared, its fields are the same.
            let path = path.trim_start_matches("defaults.").trim_start_matches("devices.").to_owned();
            fields(schema, &path, out);
            out.insert(path);
        }
    }
    let mut all = BTreeSet::new();
    Kind::ALL.into_iter().for_each(|kind| fields(spec_schema(kind), "", &mut all));
    let mut known: BTreeSet<String> = ACTED_ON.split_whitespace().map(str::to_owned).collect();
    known.extend(UNDONE.map(|(field, ..)| field.to_owned()));
    // A field of one that is not acted on needs no word of its own; neither does
    // one of a second identity.
    let is_known = |field: &String| {
        let plain = field.replace("auth.read.", "auth.").replace("auth.write.", "auth.");
        let above = plain.rsplit_once('.').map_or("", |(above, _)| above).to_owned();
        known.contains(field) || known.contains(&plain) || UNDONE.iter().any(|(undone, ..)| *undone == above)
    };
    let unknown: Vec<&String> = all.iter().filter(|field| !is_known(field)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
