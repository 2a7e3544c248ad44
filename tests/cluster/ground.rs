//! That the ground itself bears: namespaces end, owners take along what is
//! theirs, accounts may do what their roles say, and requests are written down.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::ListParams;

use crate::support::{ControlPlane, eventually};

const DEVICE: &str = "\
apiVersion: apgit.dev/v1alpha1
kind: AutopilotDevice
metadata: {name: a}
spec: {serialNumber: PF4T9K2L}
";

#[test]
fn a_namespace_really_ends() {
    let Some(cluster) = ControlPlane::here() else { return };
    let namespace = cluster.namespace();
    cluster.create(&namespace, DEVICE);
    cluster.done(&format!("delete namespace {namespace} --wait=false"));
    eventually("the namespace is gone", || cluster.is_gone(&format!("namespace {namespace}")).then_some(()));
}

#[test]
fn what_a_device_owns_goes_with_it() {
    let Some(cluster) = ControlPlane::here() else { return };
    let namespace = cluster.namespace();
    cluster.create(&namespace, DEVICE);
    let id = cluster.done(&format!("get apd a --namespace {namespace} --output jsonpath={{.metadata.uid}}"));
    let owner = format!("{{apiVersion: apgit.dev/v1alpha1, kind: AutopilotDevice, name: a, uid: {id}}}");
    let owned = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: owned, ownerReferences: [{owner}]}}\n");
    cluster.create(&namespace, &owned);
    cluster.done(&format!("delete apd a --namespace {namespace}"));
    let owned = format!("configmap owned --namespace {namespace}");
    eventually("what it owned is gone", || cluster.is_gone(&owned).then_some(()));
}

#[tokio::test]
async fn an_account_may_do_what_its_role_says_and_all_that_it_asked_is_written_down() {
    let Some(cluster) = ControlPlane::here() else { return };
    let namespace = cluster.namespace();
    cluster.done(&format!("create serviceaccount reader --namespace {namespace}"));
    cluster.done(&format!("create role reader --verb list --resource configmaps --namespace {namespace}"));
    let account = format!("{namespace}:reader");
    cluster
        .done(&format!("create rolebinding reader --role reader --serviceaccount {account} --namespace {namespace}"));

    let kubeconfig = cluster.kubeconfig_as(&cluster.token_for(&namespace, "reader"));
    let client = cluster.client_of(&kubeconfig).await;
    let all = ListParams::default();
    let listed = Api::<ConfigMap>::namespaced(client.clone(), &namespace).list(&all).await;
    assert_eq!(listed.expect("it may").items.len(), 0);
    let refused = Api::<Secret>::namespaced(client, &namespace).list(&all).await.expect_err("it may not");
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
    assert!(Api::<Secret>::namespaced(cluster.client().await, &namespace).list(&all).await.is_ok());

    let user = format!("system:serviceaccount:{account}");
    let asked = || -> BTreeSet<String> {
        let of_user = cluster.audit().into_iter().filter(|request| request["user"]["username"] == user.as_str());
        of_user.map(|request| format!("{} {}", request["verb"], request["objectRef"]["resource"])).collect()
    };
    eventually("both requests are in the audit log", || {
        (asked() == BTreeSet::from([r#""list" "configmaps""#.to_owned(), r#""list" "secrets""#.to_owned()]))
            .then_some(())
    });
}
