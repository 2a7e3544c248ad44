//! The chart and what is rendered from it, without an operator.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::{deploy, text_of};
use crate::shared::{Folder, Ran, ran, root};
use crate::support::{ControlPlane, chart_tool, has_chart_tools};

const IMAGE: &str = "--set image.repository=apgit";
/// All that can be had.
const ALL: &str = "--set monitoring.serviceMonitor.enabled=true,monitoring.rules.enabled=true,\
                   monitoring.dashboard.enabled=true";
/// What `/metrics` tells, and the one that Prometheus itself adds.
const METRICS: [&str; 5] =
    ["apgit_round_last_success_timestamp_seconds", "apgit_devices", "apgit_held", "apgit_rounds_total", "up"];
/// Kinds that somebody else's definitions bring.
const ELSEWHERE: [&str; 2] = ["ServiceMonitor", "PrometheusRule"];

/// A run of Helm that asks no cluster.
fn helm(words: &str) -> Ran {
    let mut command = Command::new(chart_tool("helm"));
    let folder = Folder::new();
    command.env_clear().env("HOME", folder.path()).current_dir(root());
    ran(command.args(words.split_whitespace()))
}

#[track_caller]
fn rendered(words: &str) -> String {
    let Ran { code, out, err } = helm(&format!("template apgit deploy/chart --namespace apgit-system {words}"));
    assert_eq!(code, 0, "{words}: {err}");
    out
}

/// The documents of a rendering.
fn documents(text: &str) -> Vec<&str> {
    text.split("\n---\n").filter(|document| document.contains("kind:")).collect()
}

#[test]
fn the_charts_definitions_are_those_of_the_types_and_its_version_is_the_programs() {
    let names = |folder: std::path::PathBuf| -> BTreeSet<_> {
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").file_name()).collect()
    };
    let definitions = names(root().join("crds"));
    assert_eq!(names(deploy("chart/files/crds")), definitions, "`make generate`");
    for name in definitions {
        let name = name.to_str().expect("a name of ours");
        let of_type = std::fs::read_to_string(root().join("crds").join(name)).expect("a definition");
        assert_eq!(text_of(&format!("chart/files/crds/{name}")), of_type, "`make generate` copies {name}");
    }
    let version = env!("CARGO_PKG_VERSION");
    let chart = text_of("chart/Chart.yaml");
    assert!(chart.contains(&format!("\nversion: {version}\nappVersion: {version}\n")), "{chart}");
}

#[test]
fn helm_finds_nothing_wrong_with_the_chart() {
    if !has_chart_tools() {
        return;
    }
    let Ran { code, out, err } = helm(&format!("lint --strict deploy/chart {IMAGE} {ALL}"));
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn values_that_mean_nothing_are_refused_and_the_image_must_be_named() {
    if !has_chart_tools() {
        return;
    }
    for (values, why) in [
        ("", "image.repository is not set"),
        ("--set image.repository=ghcr.io/OWNER/apgit", "image/repository"),
        ("--set image.repository=apgit,replicas=-1", "replicas"),
        ("--set image.repository=apgit,watch.namespaces=a", "namespaces"),
        ("--set image.repository=apgit,watch.allNamespaces=true,watch.namespace=a", "watch/namespace"),
        ("--set image.repository=apgit,watch.tenantNamespaces={a}", "watch/tenantNamespaces"),
        ("--set image.repository=apgit,monitoring.serviceMonitor.interval=often", "interval"),
    ] {
        let Ran { code, err, .. } = helm(&format!("template apgit deploy/chart {values}"));
        assert!(code != 0 && err.contains(why), "{values}: {err}");
    }
}

#[test]
fn what_is_rendered_with_any_values_is_taken_by_the_api_server() {
    let Some(cluster) = ControlPlane::here() else { return };
    if !has_chart_tools() {
        return;
    }
    let namespace = cluster.namespace();
    let other = cluster.namespace();
    for (values, parts) in [
        (String::new(), &["PodDisruptionBudget", "MutatingAdmissionPolicy", "\nkind: Role\n"][..]),
        (ALL.to_owned(), &["ServiceMonitor", "PrometheusRule", "grafana_dashboard"]),
        ("--set replicas=1,rbac.secretNames={contoso-graph}".to_owned(), &["resourceNames: [\"contoso-graph\"]"]),
        (
            format!("--set watch.allNamespaces=true,watch.tenantNamespaces={{{namespace},{other}}}"),
            &["\nkind: ClusterRoleBinding\n"],
        ),
        ("--kube-version 1.31.0".to_owned(), &["|| variables.by == ''"]),
        (
            "--set operator.allowEndpoints={login.example.com},operator.verbosity=2,env[0].name=HTTPS_PROXY,\
             env[0].value=http://proxy:3128,nodeSelector.a=b,priorityClassName=high,podLabels.a=b,\
             networkPolicy.ports={443},image.digest=sha256:\
             0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                .to_owned(),
            &["--allow-endpoint=login.example.com", "- -vv", "apgit@sha256:"],
        ),
    ] {
        let text = rendered(&format!("--namespace {namespace} {IMAGE} {values}"));
        for part in parts {
            assert!(text.contains(part), "{values}: {part} is not in\n{text}");
        }
        let is_ours = |document: &&str| !ELSEWHERE.iter().any(|kind| document.contains(&format!("kind: {kind}\n")));
        let known: Vec<&str> = documents(&text).into_iter().filter(is_ours).collect();
        let Ran { code, out, err } = cluster.kubectl_with(
            "apply --server-side --force-conflicts --dry-run=server --validate=strict --filename -",
            &known.join("\n---\n"),
        );
        assert_eq!(code, 0, "{values}: {out}{err}");
        // With one replica a budget would block every drain.
        assert_eq!(text.contains("PodDisruptionBudget"), !values.contains("replicas=1"), "{values}");
        // An older server has no policy that writes.
        assert_eq!(text.contains("MutatingAdmissionPolicy"), !values.contains("1.31"), "{values}");
    }
}

#[test]
fn the_base_is_the_chart_and_the_api_server_takes_it() {
    let Some(cluster) = ControlPlane::here() else { return };
    if has_chart_tools() {
        let folder = Folder::new();
        let cache = std::env::var_os("XDG_CACHE_HOME").map(|cache| ("XDG_CACHE_HOME", cache));
        let mut render = Command::new("sh");
        render.arg(deploy("kustomize/render.sh")).arg(folder.path()).envs(cache);
        let Ran { code, err, .. } = ran(&mut render);
        assert_eq!(code, 0, "{err}");
        for path in ["base/definitions.yaml", "base/operator.yaml", "components/monitoring/monitoring.yaml"] {
            assert_eq!(text_of(&format!("kustomize/{path}")), folder.read(path), "`make generate` renders {path}");
        }
    }
    // A dry run makes no namespace for what comes after it.
    cluster.done("apply --server-side --filename deploy/kustomize/base/namespace.yaml");
    let apply = "apply --server-side --force-conflicts --dry-run=server --validate=strict";
    cluster.done(&format!("{apply} --kustomize deploy/kustomize/base"));
    let built = cluster.done("kustomize deploy/kustomize/base");
    assert!(built.contains("image: ghcr.io/OWNER/apgit:"), "{built}");
    // Its pods are what a restricted namespace takes.
    let deployment = cluster.done(&format!(
        "{apply} --kustomize deploy/kustomize/base --selector app.kubernetes.io/name=apgit-operator --output json"
    ));
    let objects: Value = serde_json::from_str(&deployment).expect("JSON");
    let deployment = super::all(&objects["items"]).iter().find(|object| object["kind"] == "Deployment");
    let template = &deployment.expect("a Deployment")["spec"]["template"];
    let mut pod = template.clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = "apgit-operator-0".into();
    let create = "create --dry-run=server --namespace apgit-system --filename -";
    let Ran { code, out, err } = cluster.kubectl_with(create, &pod.to_string());
    assert!(code == 0 && !err.contains("Warning"), "{out}{err}");
    // And it would not take another.
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
    assert_ne!(cluster.kubectl_with(create, &pod.to_string()).code, 0);
}

/// The manifests in a page of ours, with what a reader fills in.
fn manifests(page: &str) -> Vec<String> {
    let digits = "0123456789abcdef".repeat(4);
    let (mut found, mut block): (Vec<String>, Option<String>) = (Vec::new(), None);
    for line in page.lines() {
        match (line.trim_start(), &mut block) {
            ("```yaml", None) => block = Some(String::new()),
            ("```", Some(_)) => found.extend(block.take()),
            (_, Some(block)) => *block += &format!("{line}\n"),
            _ => {}
        }
    }
    let filled = |text: String| {
        text.replace("64 digits that --pin has printed", &digits).replace("all 64 digits", &format!("sha256:{digits}"))
    };
    found.into_iter().map(filled).collect()
}

#[test]
fn what_the_page_tells_to_apply_is_taken_and_the_examples_are_whole() {
    let Some(cluster) = ControlPlane::here() else { return };
    cluster.done("apply --server-side --filename deploy/kustomize/base/namespace.yaml");
    let page = std::fs::read_to_string(root().join("docs/operator.md")).expect("a page");
    let manifests = manifests(&page);
    assert_eq!(manifests.len(), 3);
    for manifest in manifests {
        let Ran { code, out, err } =
            cluster.kubectl_with("create --dry-run=server --validate=strict --filename -", &manifest);
        assert_eq!(code, 0, "{manifest}{out}{err}");
    }
    let folder = Folder::new();
    let examples = ["argocd/application.yaml", "flux/operator.yaml", "flux/devices.yaml"];
    for (at, example) in examples.iter().enumerate() {
        folder.write(format!("{at}.yaml"), text_of(example));
    }
    let patch = "{path: cm.yaml, target: {kind: ConfigMap}}";
    folder.write("kustomization.yaml", format!("resources: [0.yaml, 1.yaml, 2.yaml, map.yaml]\npatches: [{patch}]\n"));
    folder.write("map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm}\n");
    let named = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm}\n";
    folder.write("cm.yaml", format!("{named}{}", text_of("argocd/argocd-cm.yaml")));
    let built = cluster.done(&format!("kustomize {}", folder.path().display()));
    assert_eq!(built.matches("\nkind: ").count(), 6, "{built}");
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    if !has_chart_tools() {
        return;
    }
    let text = rendered(&format!("{IMAGE} {ALL}"));
    let rules = documents(&text).into_iter().find(|document| document.contains("kind: PrometheusRule"));
    let mut asked: Vec<String> = Vec::new();
    let lines = rules.expect("rules").lines().skip_while(|line| !line.contains("groups:"));
    asked.extend(lines.filter(|line| line.contains("apgit_") || line.contains("up{")).map(str::to_owned));
    assert_eq!(asked.len(), 3, "{asked:?}");
    let dashboard: Value = serde_json::from_str(&text_of("chart/files/dashboard.json")).expect("JSON");
    for panel in super::all(&dashboard["panels"]) {
        asked.extend(super::all(&panel["targets"]).iter().map(|target| target["expr"].to_string()));
    }
    for asks in asked {
        let names: Vec<&str> = asks
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("apgit_") || *word == "up")
            .collect();
        assert!(!names.is_empty() && names.iter().all(|name| METRICS.contains(name)), "{asks}");
    }
}
