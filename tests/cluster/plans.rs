//! Plans as objects, and the people who read and approve them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::operator::Stage;
use crate::shared::Ran;
use crate::support::eventually;

impl Stage {
    /// `kubectl apgit …` in its namespace.
    #[track_caller]
    fn asks(&self, words: &str) -> Ran {
        let kubeconfig = self.cluster.kubeconfig();
        let of = format!("--namespace {} --kubeconfig {}", self.namespace, kubeconfig.display());
        self.desk.run(&format!("cluster {words} {of}"))
    }

    /// Plans by their state, the newest last.
    fn plans(&self, state: &str) -> Vec<Value> {
        let all = self.get("appl --sort-by=.metadata.creationTimestamp");
        let is = |plan: &&Value| {
            let conditions = plan["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|of| of["type"] == "Ready" && of["reason"] == state)
        };
        all["items"].as_array().unwrap().iter().filter(is).cloned().collect()
    }

    /// The one plan that waits, once it is one of so many changes.
    #[track_caller]
    fn waits_for(&self, summary: &str) -> Value {
        eventually(&format!("a plan of {summary} waits"), || {
            let plans = self.plans("ApprovalRequired");
            assert!(plans.len() <= 1, "{plans:?}");
            plans.into_iter().find(|plan| plan["spec"]["summary"] == summary)
        })
    }
}

fn digest(plan: &Value) -> &str {
    plan["spec"]["digest"].as_str().expect("a digest")
}

#[test]
fn where_everything_is_approved_nothing_is_done_before_and_exactly_that_afterwards() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({"approval": "Always"}));
    stage.device("TEST-BGO-001", json!({"groupTag": "BGO-STD"}));
    stage.operates();
    let first = stage.waits_for("+1");
    stage.comes_to("apt contoso", "Ready", "False", "ApprovalRequired");
    let (glance, change) = (&first["spec"]["glance"], &first["spec"]["changes"][0]);
    assert_eq!(glance, r#"+ TEST-BGO-001 groupTag "BGO-STD""#);
    assert_eq!(change["declaredBy"], "AutopilotDevice/test-bgo-001");
    assert!(!first.to_string().contains("AAAA"), "no hash is in a plan");
    // What is declared changes: the plan is another one, and the old one does not wait.
    stage.device("TEST-BGO-002", json!({}));
    let second = stage.waits_for("+2");
    assert_ne!(digest(&first), digest(&second));
    assert_eq!(stage.plans("Superseded").len(), 1);
    assert_eq!(stage.registered(), []);

    // People see it, and approve what they have seen.
    let shown = stage.cluster.done(&format!("get appl --namespace {}", stage.namespace));
    assert!(shown.contains("TENANT") && shown.contains("+2") && shown.contains("ApprovalRequired"), "{shown}");
    let plan = stage.asks("plan");
    assert!(plan.out.contains("+ TEST-BGO-002  register") && plan.out.contains(digest(&second)), "{}", plan.out);
    let status = stage.asks("status").out;
    assert!(status.contains("contoso ApprovalRequired") && status.contains("waits: +2"), "{status}");
    let unseen = stage.asks("approve contoso");
    assert!(unseen.code == 64 && unseen.err.contains("--digest"), "{}{}", unseen.out, unseen.err);
    let old = stage.asks(&format!("approve --digest {}", digest(&first)));
    assert!(old.code == 6 && old.err.contains("another plan waits"), "{}{}", old.out, old.err);
    assert_eq!(stage.asks(&format!("approve --digest {}", digest(&second))).code, 0);
    stage.is_ready("apd --all");
    stage.is_ready("apt contoso");
    assert_eq!(stage.registered().len(), 2);
    eventually("the plan is done", || (stage.plans("Succeeded").len() == 1).then_some(()));
    let approval = stage.get("appa")["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    eventually("the approval is used", || {
        let ready = stage.condition(&format!("appa {approval}"), "Ready");
        (ready["reason"] == "Used").then_some(())
    });
    // Used is used: the same again waits for another yes.
    stage.device("TEST-BGO-001", json!({"groupTag": "BGO-NEW"}));
    stage.waits_for("~1");
    std::thread::sleep(Duration::from_secs(3));
    assert!(stage.registered().iter().all(|(_, tag)| tag != "BGO-NEW"), "{:?}", stage.registered());
}

#[test]
fn where_deletions_are_approved_the_rest_goes_on_and_a_plan_of_others_approves_nothing() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({"approval": "Deletions"}));
    stage.device("TEST-BGO-001", json!({"deletionPolicy": "Delete"}));
    stage.device("TEST-BGO-002", json!({"deletionPolicy": "Delete"}));
    stage.operates();
    stage.is_ready("apd --all");
    stage.done("delete apd test-bgo-002");
    stage.device("TEST-BGO-001", json!({"deletionPolicy": "Delete", "groupTag": "BGO-STD"}));
    let plan = stage.waits_for("-1");
    let named = |serial: &str, tag: &str| (serial.to_owned(), tag.to_owned());
    let mut registered = stage.registered();
    registered.sort();
    assert_eq!(registered, [named("TEST-BGO-001", "BGO-STD"), named("TEST-BGO-002", "")]);
    stage.comes_to("apt contoso", "Ready", "False", "ApprovalRequired");
    // It stays as it is, turn after turn.
    let versions = stage.versions();
    assert_eq!(stage.asks("reconcile").code, 0);
    assert_eq!(stage.waits_for("-1")["metadata"]["uid"], plan["metadata"]["uid"]);
    assert_eq!(versions.len(), stage.versions().len());
    // Somebody declares it again, and nothing waits any more.
    stage.device("TEST-BGO-002", json!({"deletionPolicy": "Delete"}));
    stage.is_ready("apt contoso");
    eventually("nothing waits", || stage.plans("ApprovalRequired").is_empty().then_some(()));
    stage.done("delete apd test-bgo-002");
    let again = stage.waits_for("-1");
    assert_eq!(stage.asks(&format!("approve --digest {}", digest(&again))).code, 0);
    eventually("it is deregistered", || (stage.registered().len() == 1).then_some(()));
    stage.is_ready("apt contoso");
}

#[test]
fn a_tenant_that_is_only_observed_or_suspended_shows_what_would_be_done() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({"policy": "Observe"}));
    stage.device("TEST-BGO-001", json!({"groupTag": "BGO-STD"}));
    stage.operates();
    let shown = |state: &str, glance: &str| {
        eventually(&format!("{state}: {glance}"), || {
            stage.plans(state).into_iter().find(|plan| plan["spec"]["glance"] == glance)
        })
    };
    shown("ObserveOnly", r#"! TEST-BGO-001 groupTag "BGO-STD""#);
    stage.device("TEST-BGO-001", json!({"groupTag": "BGO-NEW"}));
    shown("ObserveOnly", r#"! TEST-BGO-001 groupTag "BGO-NEW""#);
    let text = stage.asks("plan").out;
    assert!(text.contains(r#"would register  groupTag "BGO-NEW""#), "{text}");
    // Looking is all: a yes changes nothing.
    let served = stage.served.get("counters");
    assert_eq!(served["registered"], json!({}), "{served}");

    stage.tenant(json!({}));
    stage.is_ready("apd --all");
    assert_eq!(stage.asks("suspend").code, 0);
    stage.comes_to("apd test-bgo-001", "Suspended", "True", "Suspended");
    stage.comes_to("apt contoso", "Suspended", "True", "Suspended");
    stage.device("TEST-BGO-001", json!({"groupTag": "BGO-OLD"}));
    shown("Suspended", r#"! TEST-BGO-001 groupTag "BGO-NEW" → "BGO-OLD""#);
    assert_eq!(stage.asks("resume").code, 0);
    eventually("it goes on", || stage.registered().iter().any(|(_, tag)| tag == "BGO-OLD").then_some(()));
}

#[test]
fn whoever_asks_about_a_tenant_that_is_not_there_is_told_which_are() {
    let Some(stage) = Stage::new() else { return };
    let none = stage.asks("plan");
    assert!(none.code == 64 && none.err.contains("there is none"), "{}", none.err);
    stage.tenant(json!({}));
    let other = stage.asks("plan fabrikam");
    assert!(other.code == 64 && other.err.contains("there are `contoso`"), "{}", other.err);
    let nobody = stage.asks("reconcile --wait-seconds 1");
    assert!(nobody.code == 9 && nobody.err.contains("no operator has answered"), "{}", nobody.err);
    assert_eq!(stage.asks("plan").err, "no plan waits for an approval\n");
}

#[test]
fn devices_that_go_with_their_namespace_stay_registered() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({}));
    stage.device("TEST-BGO-001", json!({"deletionPolicy": "Delete"}));
    stage.device("TEST-BGO-002", json!({"deletionPolicy": "Delete"}));
    // Whoever keeps one object keeps the namespace half there.
    stage.done("create configmap kept");
    stage.done(r#"patch configmap kept --type=merge --patch={"metadata":{"finalizers":["apgit.dev/test"]}}"#);
    stage.done(r#"patch apd test-bgo-001 --type=merge --patch={"metadata":{"finalizers":["apgit.dev/test"]}}"#);
    stage.operates();
    stage.is_ready("apd --all");
    stage.cluster.done(&format!("delete namespace {} --wait=false", stage.namespace));
    let is_gone = || stage.cluster.is_gone(&format!("apd/test-bgo-002 --namespace {}", stage.namespace));
    eventually("its objects go", || is_gone().then_some(()));
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(stage.registered().len(), 2, "{}", stage.log(0));
    for what in ["configmap kept", "apd test-bgo-001"] {
        stage.done(&format!(r#"patch {what} --type=merge --patch={{"metadata":{{"finalizers":null}}}}"#));
    }
}
