//! From `helm install` to `helm uninstall`, on a cluster of its own: the operator
//! runs as its Deployment says, with the token of the account that the chart makes,
//! and the API server's audit log is read afterwards.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};

use super::{all, words};
use crate::operator::{Stage, object};
use crate::shared::{Ran, apgit, terminate};
use crate::support::{ControlPlane, eventually, has_chart_tools};

const NAMESPACE: &str = "apgit-system";
/// What the story below has no use for: plans that are so old or so many that they go.
const UNUSED: [&str; 1] = ["delete apgit.dev/autopilotplans"];

struct Release {
    cluster: &'static ControlPlane,
    values: String,
}

impl Release {
    fn install(cluster: &'static ControlPlane) -> Self {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|held| held.local_addr()).expect("a port").port();
        let values = format!("--set image.repository=apgit,operator.quietSeconds=1,listen.port={port}");
        let this = Self { cluster, values };
        this.helm(&format!("install apgit-operator deploy/chart --create-namespace {}", this.values));
        cluster.done("wait --for condition=Established --timeout 60s --filename crds");
        this
    }

    #[track_caller]
    fn helm(&self, words: &str) -> String {
        let Ran { code, out, err } = self.cluster.helm(&format!("{words} --namespace {NAMESPACE}"));
        assert_eq!(code, 0, "helm {words}: {out}{err}");
        out
    }

    #[track_caller]
    fn get(&self, what: &str) -> Value {
        let got = self.cluster.done(&format!("get {what} --namespace {NAMESPACE} --output json"));
        serde_json::from_str(&got).expect("JSON")
    }

    fn pod(&self) -> Value {
        self.get("deployment apgit-operator")["spec"]["template"]["spec"].clone()
    }

    /// The operator's user, to the API server.
    fn user(&self) -> String {
        let account = self.pod()["serviceAccountName"].as_str().expect("an account").to_owned();
        format!("system:serviceaccount:{NAMESPACE}:{account}")
    }

    /// The operator, as the kubelet would run it: these words, this environment,
    /// this account, and a folder in which nothing can be written.
    fn operates(&self, stage: &mut Stage, name: &str) {
        let pod = self.pod();
        let container = &pod["containers"][0];
        let value = |variable: &Value| match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("metadata.name") => name.to_owned(),
            Some("metadata.namespace") => NAMESPACE.to_owned(),
            field => panic!("{field:?} of {variable}"),
        };
        let variables: Vec<(String, String)> = all(&container["env"])
            .iter()
            .map(|variable| (variable["name"].as_str().expect("a name").to_owned(), value(variable)))
            .collect();
        let filled = |word: &str| {
            variables.iter().fold(word.to_owned(), |word, (name, value)| word.replace(&format!("$({name})"), value))
        };
        let account = pod["serviceAccountName"].as_str().expect("an account");
        let kubeconfig = self.cluster.kubeconfig_as(&self.cluster.token_for(NAMESPACE, account));
        let mut command: Command = apgit("/proc".as_ref(), words(&container["args"]).map(filled));
        command.env_clear().env("KUBECONFIG", kubeconfig).envs(variables);
        stage.begins(command);
    }

    /// What a probe of the container hears.
    fn probe(&self, which: &str) -> Option<String> {
        let container = &self.pod()["containers"][0];
        let asks = &container[which]["httpGet"];
        let named = |port: &&Value| port["name"] == asks["port"];
        let port =
            all(&container["ports"]).iter().find(named).expect("the port that is asked")["containerPort"].clone();
        let port = u16::try_from(port.as_u64().expect("a number")).expect("a port");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        let path = asks["path"].as_str().expect("a path");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split(' ').nth(1).map(str::to_owned)
    }

    /// What a user may do by the rules of roles of this name: `verb group/resource`.
    fn granted(&self) -> BTreeSet<String> {
        let role = self.get("role apgit-operator");
        let definitions = self.get(&format!("clusterrole {NAMESPACE}-apgit-operator-definitions"));
        let mut granted = BTreeSet::new();
        for rule in all(&role["rules"]).iter().chain(all(&definitions["rules"])) {
            for (group, resource) in
                words(&rule["apiGroups"]).flat_map(|group| words(&rule["resources"]).map(move |of| (group, of)))
            {
                granted.extend(words(&rule["verbs"]).map(|verb| format!("{verb} {group}/{resource}")));
            }
        }
        granted
    }

    /// What the operator has asked for, and what of it was refused.
    fn asked(&self) -> (BTreeSet<String>, Vec<Value>) {
        let user = self.user();
        let of_user = self.cluster.audit().into_iter().filter(|request| request["user"]["username"] == user.as_str());
        let (mut asked, mut refused) = (BTreeSet::new(), Vec::new());
        for request in of_user {
            let of = &request["objectRef"];
            let text = |key: &str| of[key].as_str().unwrap_or_default();
            let sub = match text("subresource") {
                "" => String::new(),
                sub => format!("/{sub}"),
            };
            let verb = request["verb"].as_str().unwrap_or_default();
            asked.insert(format!("{verb} {}/{}{sub}", text("apiGroup"), text("resource")));
            if matches!(request["responseStatus"]["code"].as_u64(), Some(401 | 403)) {
                refused.push(request);
            }
        }
        (asked, refused)
    }
}

#[test]
fn what_is_shipped_does_its_work_with_what_it_is_granted_and_leaves_every_device_when_it_goes() {
    if !has_chart_tools() {
        return;
    }
    let Some(cluster) = ControlPlane::bare() else { return };
    let release = Release::install(cluster);
    the_definitions_are_ours(cluster);
    let mut stage = Stage::on(cluster, NAMESPACE.to_owned());
    the_story(&release, &mut stage);
    nobody_types_who_approved(&release, &stage);
    nobody_deletes_a_definition_by_accident(cluster);
    stops(&mut stage);
    let (asked, refused) = release.asked();
    assert!(refused.is_empty(), "{refused:#?}");
    let unused: Vec<String> = release.granted().difference(&asked).cloned().collect();
    assert_eq!(unused, UNUSED, "granted, and never used");
    // The rest of the cluster is none of its business.
    let user = release.user();
    for no in ["get secrets --namespace default", "list secrets", "delete apd", "patch apd", "create appa"] {
        let here = if no.contains("--namespace") { "" } else { "--namespace apgit-system" };
        let said = cluster.kubectl(&format!("auth can-i {no} {here} --as {user}"));
        assert_eq!(said.out.trim(), "no", "{no}");
    }
    everywhere(&release, &stage);
    it_goes(&release, &stage);
}

/// Through the chart they are what they are without it.
fn the_definitions_are_ours(cluster: &ControlPlane) {
    let specs = |cluster: &ControlPlane| {
        let got: Value = serde_json::from_str(&cluster.done("get --filename crds --output json")).expect("JSON");
        all(&got["items"]).iter().map(|of| (of["metadata"]["name"].clone(), of["spec"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(specs(cluster), specs(ControlPlane::here().expect("it was there a moment ago")));
}

/// From nothing to two devices, a change, and a removal that somebody approves.
fn the_story(release: &Release, stage: &mut Stage) {
    release.operates(stage, "apgit-operator-0");
    eventually("it is ready", || (release.probe("readinessProbe")? == "200").then_some(()));
    assert_eq!(release.probe("livenessProbe").as_deref(), Some("200"));
    stage.done("create secret generic contoso-graph --from-literal=clientSecret=not-for-loopback");
    let auth = json!({
        "type": "ClientSecret", "clientId": "aaaaaaaa-0000-4000-8000-000000000001",
        "secretRef": {"name": "contoso-graph", "key": "clientSecret"},
    });
    stage.tenant(json!({"auth": auth, "approval": "Deletions"}));
    stage.device("TEST-BGO-001", json!({"groupTag": "BGO-STD"}));
    let device = json!({
        "serialNumber": "TEST-BGO-002", "hardwareHashRef": stage.hash_ref("TEST-BGO-002"), "deletionPolicy": "Delete",
    });
    let set = |devices: &[&Value]| {
        let spec = json!({"tenantRef": {"name": "contoso"}, "devices": devices});
        object("AutopilotDeviceSet", "laptops", spec)
    };
    stage.apply(&set(&[&device]));
    stage.is_ready("apd,apds,apt --all");
    assert_eq!(stage.registered().len(), 2);

    stage.device("TEST-BGO-001", json!({"groupTag": "BGO-NEW"}));
    let wanted = ("TEST-BGO-001".to_owned(), "BGO-NEW".to_owned());
    eventually("the tag is written", || stage.registered().contains(&wanted).then_some(()));
    stage.is_ready("apd,apds,apt --all");

    // Whoever declares devices does not approve that they go.
    stage.done("delete apds laptops");
    stage.comes_to("apt contoso", "Stalled", "True", "ApprovalRequired");
    assert_eq!(stage.registered().len(), 2);
    let message = stage.condition("apt contoso", "Ready")["message"].as_str().expect("a message").to_owned();
    assert!(message.ends_with(": deregister TEST-BGO-002"), "{message}");
    let digest = message.split(' ').find(|word| word.len() == 64).expect("a digest").to_owned();
    stage.done("create serviceaccount approver");
    stage.done(&format!(
        "create rolebinding approver --clusterrole {NAMESPACE}-apgit-operator-approve --serviceaccount {NAMESPACE}:approver"
    ));
    let approval = approval("laptops-go", &digest);
    let approves = format!("create --namespace {NAMESPACE} --as {} --filename -", approver());
    let Ran { code, out, err } = release.cluster.kubectl_with(&approves, &approval.to_string());
    assert_eq!(code, 0, "{out}{err}");
    eventually("it is deregistered", || (stage.registered().len() == 1).then_some(()));
    stage.is_ready("apd,apt --all");
}

fn approver() -> String {
    format!("system:serviceaccount:{NAMESPACE}:approver")
}

/// An approval that says itself who made it.
fn approval(name: &str, digest: &str) -> Value {
    let spec = json!({"tenantRef": {"name": "contoso"}, "digest": digest, "expiresAt": "2999-01-01T00:00:00Z"});
    let mut approval = object("AutopilotPlanApproval", name, spec);
    approval["metadata"]["annotations"] = json!({"apgit.dev/approved-by": "the board"});
    approval
}

fn nobody_types_who_approved(release: &Release, stage: &Stage) {
    let by =
        |name: &str| stage.get(&format!("appa {name}"))["metadata"]["annotations"]["apgit.dev/approved-by"].clone();
    assert_eq!(by("laptops-go"), approver());
    assert!(stage.done("get appa").contains(&approver()), "it is seen at a glance");
    // From a file of Git it is whoever applies that, again and again.
    let digest = "0".repeat(64);
    let mut plain = approval("from-git", &digest);
    plain["metadata"]["annotations"] = json!({});
    stage.apply(&plain);
    stage.apply(&plain);
    assert_eq!(by("from-git"), "admin");
    // Nothing about it is changed afterwards, by nobody.
    let refused = |words: &str, why: &str| {
        let Ran { code, out, err } = release.cluster.kubectl(&format!("{words} --namespace {NAMESPACE}"));
        assert!(code != 0 && err.contains(why), "{words}: {out}{err}");
    };
    refused("annotate appa laptops-go --overwrite apgit.dev/approved-by=board", "apgit.dev/approved-by is immutable");
    refused("annotate appa laptops-go apgit.dev/approved-by-", "apgit.dev/approved-by is immutable");
    refused(
        r#"patch appa laptops-go --type merge --patch {"spec":{"expiresAt":"2998-01-01T00:00:00Z"}}"#,
        "an approval is immutable",
    );
    refused(
        r#"patch appa from-git --type merge --patch {"spec":{"tenantRef":{"name":"other"}}}"#,
        "an approval is immutable",
    );
    stage.done("annotate appa laptops-go example.com/note=seen");
    stage.done("delete appa from-git");
}

fn nobody_deletes_a_definition_by_accident(cluster: &ControlPlane) {
    let name = "customresourcedefinition autopilotdevices.apgit.dev";
    for way in [&format!("delete {name}"), "delete crd --all"] {
        let Ran { code, err, .. } = cluster.kubectl(&format!("{way} --dry-run=server"));
        assert!(code != 0 && err.contains("annotate it with apgit.dev/allow-deletion=true"), "{way}: {err}");
    }
    cluster.done(&format!("annotate {name} apgit.dev/allow-deletion=true"));
    cluster.done(&format!("delete {name} --dry-run=server"));
    cluster.done(&format!("annotate {name} apgit.dev/allow-deletion-"));
}

/// As when its pod is to go.
fn stops(stage: &mut Stage) {
    let operator = stage.operators.last_mut().expect("it runs");
    terminate(operator);
    assert!(operator.wait().expect("it ends").success(), "{}", stage.log(0));
}

/// The same release, for the tenants of several namespaces.
fn everywhere(release: &Release, stage: &Stage) {
    let Release { cluster, values } = release;
    let berlin = "berlin".to_owned();
    cluster.done("create namespace berlin");
    let namespaces = format!("watch.allNamespaces=true,watch.tenantNamespaces={{{NAMESPACE},{berlin}}}");
    release.helm(&format!("upgrade apgit-operator deploy/chart {values},{namespaces}"));
    let mut there = Stage::on(cluster, berlin);
    there.tenant(json!({}));
    there.device("TEST-BGO-001", json!({}));
    release.operates(&mut there, "apgit-operator-1");
    there.is_ready("apd,apt --all");
    // The device of the first namespace is as it was.
    stage.is_ready("apd,apt --all");
    stops(&mut there);
    let (_, refused) = release.asked();
    assert!(refused.is_empty(), "{refused:#?}");
    let secrets = format!("auth can-i get secrets --namespace default --as {}", release.user());
    assert_eq!(cluster.kubectl(&secrets).out.trim(), "no");
}

/// Without it, all is as it was.
fn it_goes(release: &Release, stage: &Stage) {
    release.helm("uninstall apgit-operator");
    assert!(release.cluster.is_gone(&format!("deployment apgit-operator --namespace {NAMESPACE}")));
    stage.is_ready("apd,apt --all");
    assert_eq!(stage.registered().len(), 1);
    // It comes back to what it left.
    release.helm(&format!("install apgit-operator deploy/chart {}", release.values));
    assert_eq!(stage.get("apd")["items"].as_array().map(Vec::len), Some(1));
}
