//! The kinds in an API server: it takes what files may say and refuses what they may
//! not, and shows people what they ask for.

use apgit::door::resource::Kind;
use serde_json::{Value, json};

use crate::shared::{cases, checks_refuse};
use crate::support::{ControlPlane, eventually};

/// What the operator finds wrong with an object that was taken: the same checks as
/// those of a file.
fn is_refused_by_the_operator(object: &Value) -> bool {
    let kind = object["kind"].as_str().and_then(Kind::parse).expect("a kind of ours");
    !checks_refuse(kind, &object["spec"]).is_empty()
}

#[test]
fn the_api_server_and_a_file_take_and_refuse_the_same() {
    let Some(cluster) = ControlPlane::here() else { return };
    let namespace = cluster.namespace();
    let cases = cases();
    let (mut by_server, mut by_operator, mut wrong) = (0, 0, Vec::new());
    for case in &cases {
        // A namespace of a case's own stands for whichever this is.
        let yaml = case.yaml.replace(", namespace: default", "");
        let words =
            format!("create --dry-run=server --validate=strict --output json --namespace {namespace} --filename -");
        let ran = cluster.kubectl_with(&words, &yaml);
        let is_refused = match ran.code {
            0 => {
                let object: Value = serde_json::from_str(&ran.out).expect("JSON");
                let objects = object["items"].as_array().cloned().unwrap_or_else(|| vec![object]);
                let of_operator = objects.iter().any(is_refused_by_the_operator);
                by_operator += usize::from(of_operator);
                of_operator
            }
            _ => {
                by_server += 1;
                true
            }
        };
        if is_refused != case.is_refused_by_server() {
            wrong.push(format!("{}: {}{}", case.name, ran.out, ran.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} cases: the API server refuses {by_server}, the operator {by_operator} more", cases.len());
    assert!(by_server > by_operator, "most of it is refused at the door");
}

#[test]
fn what_never_changes_cannot_be_changed() {
    let Some(cluster) = ControlPlane::here() else { return };
    let namespace = cluster.namespace();
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apgit.dev/v1alpha1", "kind": "AutopilotTenant", "metadata": {"name": "contoso"}, "spec": {
            "tenantId": "11111111-2222-3333-4444-555555555555", "policy": "Sync", "ownerId": "corp",
        }},
        {"apiVersion": "apgit.dev/v1alpha1", "kind": "AutopilotDevice", "metadata": {"name": "a"}, "spec": {
            "serialNumber": "PF4T9K2L", "tenantRef": {"name": "contoso"},
        }},
    ]});
    cluster.create(&namespace, &objects.to_string());
    let patches = |what: &str, spec: Value| {
        let patch = json!({ "spec": spec });
        cluster.kubectl(&format!("patch {what} --namespace {namespace} --type merge --patch {patch}"))
    };
    for (what, spec) in [
        ("apt contoso", json!({"tenantId": "99999999-2222-3333-4444-555555555555"})),
        ("apt contoso", json!({"ownerId": "other"})),
        ("apd a", json!({"serialNumber": "PF4T9K2M"})),
        ("apd a", json!({"tenantRef": {"name": "fabrikam"}})),
        ("apd a", json!({ "tenantRef": null })),
    ] {
        let ran = patches(what, spec.clone());
        assert!(ran.code != 0 && ran.err.contains("immutable"), "{what} {spec}: {}{}", ran.out, ran.err);
    }
    assert_eq!(patches("apd a", json!({"groupTag": "OSL"})).code, 0);
    let hashes = json!({"hardwareHashRef": {"env": "APGIT_HASH_A", "file": "a.txt"}});
    assert!(patches("apd a", hashes).err.contains("exactly one"), "one place for a hash");
}

#[test]
fn people_find_their_way_with_kubectl() {
    let Some(cluster) = ControlPlane::here() else { return };
    let namespace = cluster.namespace();
    // What a server explains of new kinds comes a moment after it serves them.
    let explained = eventually("it explains a field", || {
        let ran = cluster.kubectl("explain autopilotdevice.spec.groupTag");
        (ran.code == 0).then_some(ran.out)
    });
    assert!(explained.contains("DESCRIPTION") && explained.to_lowercase().contains("tag"), "{explained}");
    for field in ["autopilottenant.spec.policy", "autopilotdeviceset.spec.devices", "autopilotplan.spec.digest"] {
        let explained = cluster.done(&format!("explain {field}"));
        assert!(!explained.contains("<empty>"), "{field}: {explained}");
    }
    let kinds = cluster.done("api-resources --api-group apgit.dev --no-headers");
    for (short, kind) in [
        ("apt", "AutopilotTenant"),
        ("apd", "AutopilotDevice"),
        ("apds", "AutopilotDeviceSet"),
        ("appl", "AutopilotPlan"),
        ("appa", "AutopilotPlanApproval"),
    ] {
        assert!(kinds.lines().any(|line| line.contains(&format!(" {short} ")) && line.contains(kind)), "{kinds}");
    }
    let device =
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a}\nspec: {serialNumber: PF1}\n";
    cluster.create(&namespace, device);
    let all = cluster.done(&format!("get autopilot --namespace {namespace}"));
    assert!(all.contains("SERIAL") && all.contains("PF1"), "{all}");
}
