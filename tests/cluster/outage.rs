//! The API server goes away and comes back, and has forgotten what was watched.

use std::time::Duration;

use serde_json::json;

use crate::operator::Stage;
use crate::support::{ControlPlane, eventually};

/// So long it is away: a lease is lost in that time.
const AWAY: Duration = Duration::from_secs(60);

#[test]
fn an_operator_without_an_api_server_does_nothing_and_goes_on_when_it_is_back() {
    let Some(cluster) = ControlPlane::own() else { return };
    let mut stage = Stage::on(cluster, cluster.namespace());
    stage.tenant(json!({}));
    stage.device("TEST-BGO-001", json!({"deletionPolicy": "Delete"}));
    stage.operates();
    stage.is_ready("apd --all");
    let registered = stage.registered();

    cluster.stop_api_server();
    cluster.compact();
    std::thread::sleep(AWAY);
    assert_eq!(stage.registered(), registered, "what cannot be listed is not gone");
    cluster.start_api_server();
    cluster.compact();
    stage.device("TEST-BGO-002", json!({}));
    stage.device("TEST-BGO-001", json!({"deletionPolicy": "Delete", "groupTag": "BGO-STD"}));
    stage.is_ready("apd --all");
    let tagged = ("TEST-BGO-001".to_owned(), "BGO-STD".to_owned());
    eventually("all of it is there", || {
        let registered = stage.registered();
        (registered.len() == 2 && registered.contains(&tagged)).then_some(())
    });
    let counters = stage.served.get("counters");
    let times = counters["registered"].as_object().cloned().unwrap_or_default();
    assert!(times.len() == 2 && times.values().all(|times| *times == 1), "{counters}");
    // It is the same process still.
    assert!(stage.operators[0].try_wait().unwrap().is_none(), "{}", stage.log(0));
    assert_eq!(stage.http("/readyz").0, 200);
}
