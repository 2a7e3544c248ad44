//! Rules 36 to 38: limits, faults, batches.

use super::*;

const BATCH: &str = "/v1.0/$batch";

#[tokio::test]
async fn a_hundred_writes_in_twenty_seconds_pass_and_the_next_is_refused() {
    let client = Client::of(Settings::calm().switched(Switch::RequestLimits)).await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    let path = format!("{DEVICES}/{id}/updateDeviceProperties");
    let write = async || client.post(&path, json!({"groupTag": "X"})).await;
    for n in 0..100 {
        assert_eq!(write().await.status, 204, "write {n}");
    }
    let mut told = 0;
    for _ in 0..100 {
        let got = write().await;
        assert_eq!((got.status, got.json["error"]["code"].as_str()), (429, Some("TooManyRequests")));
        assert_eq!(got.json["error"]["message"], "Please retry again later.");
        assert_eq!(got.json["error"]["innerError"]["message"], "Please retry after");
        if let Some(wait) = got.header("retry-after") {
            assert!((10..=30).contains(&wait.parse::<i64>().unwrap()));
            told += 1;
        }
    }
    assert!((15..50).contains(&told), "{told} of 100 refusals said when to come back");
    assert_eq!(client.get(DEVICES).await.status, 200, "reading is another limit");
    client.wait(seconds(20)).await;
    assert_eq!(write().await.status, 204);
}

#[tokio::test]
async fn a_thousand_requests_in_twenty_seconds_are_the_limit_of_one_app() {
    let client = Client::of(Settings::calm().switched(Switch::RequestLimits)).await;
    for n in 0..1000 {
        assert_eq!(client.get(SETTINGS).await.status, 200, "request {n}");
    }
    assert_eq!(client.get(SETTINGS).await.status, 429);
    let got = client.token_request("contoso.com", &[("client_id", "another-app")]).await;
    let mut other = client;
    other.token = got.json["access_token"].as_str().unwrap().to_owned();
    assert_eq!(other.get(SETTINGS).await.status, 200, "another app has its own");
}

#[tokio::test]
async fn all_apps_together_have_twice_what_one_has() {
    let mut client = Client::of(Settings::calm().switched(Switch::RequestLimits)).await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    let path = format!("{DEVICES}/{id}/updateDeviceProperties");
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for app in ["one", "two", "three"] {
        let got = client.token_request("contoso.com", &[("client_id", app)]).await;
        client.token = got.json["access_token"].as_str().unwrap().to_owned();
        for _ in 0..90 {
            writes.push(client.post(&path, json!({"groupTag": "X"})).await.status == 204);
        }
        for _ in 0..800 {
            reads.push(client.get(SETTINGS).await.status == 200);
        }
    }
    let passed = |all: &[bool]| all.iter().filter(|one| **one).count();
    assert_eq!(passed(&writes), 200, "no app had its own hundred");
    assert_eq!(passed(&reads), 2000 - 200, "writes are requests too");
    assert!(writes.is_sorted_by(|a, b| a >= b) && reads.is_sorted_by(|a, b| a >= b), "the last ones were refused");
}

#[tokio::test]
async fn a_lost_answer_has_had_its_effect_and_a_lost_request_has_not() {
    let client = Client::calm().await;
    let row = |serial: &str| json!({"serialNumber": serial, "hardwareIdentifier": hash(serial)}).to_string();
    client.sim.with(|tenant| tenant.inject(sim::Mishap::LostAnswer));
    let lost = client.try_send(Method::POST, IMPORTS, &row("A")).await;
    assert!(matches!(lost, Err(TransportError::Lost { .. })), "{lost:?}");
    client.sim.with(|tenant| tenant.inject(sim::Mishap::LostRequest));
    let lost = client.try_send(Method::POST, IMPORTS, &row("B")).await;
    assert!(matches!(lost, Err(TransportError::Lost { .. })), "{lost:?}");
    client.sim.with(|tenant| tenant.inject(sim::Mishap::GatewayTimeout));
    assert_eq!(client.send(Method::POST, IMPORTS, &row("C")).await.status, 504);
    client.sim.with(|tenant| {
        let serials: std::collections::BTreeSet<_> = tenant.import_records().into_iter().map(|r| r.serial).collect();
        assert_eq!(serials.into_iter().collect::<Vec<_>>(), ["A", "C"]);
        let counters = tenant.counters();
        assert_eq!((counters.import_posts, counters.import_posts_refused, counters.import_posts_unanswered), (3, 1, 2));
        assert_eq!(counters.calls_with(0), 2);
    });
}

#[tokio::test]
async fn each_mishap_has_its_own_shape() {
    let client = Client::calm().await;
    let meet = async |mishap| {
        client.sim.with(|tenant| tenant.inject(mishap));
        client.get(DEVICES).await
    };
    let got = meet(sim::Mishap::ServerError).await;
    assert_eq!((got.status, got.reason().as_str()), (500, "An internal server error has occurred"));
    let got = meet(sim::Mishap::QueryBroker).await;
    assert_eq!(
        (got.status, got.reason().as_str()),
        (500, "Rate limit reached because of too many requests to query broker")
    );
    let got = meet(sim::Mishap::Unavailable).await;
    assert_eq!((got.status, got.header("retry-after").is_some()), (503, true));
    for status in [400, 403, 502] {
        let got = meet(sim::Mishap::Html(status)).await;
        assert_eq!((got.status, got.json), (status, Value::Null));
        assert!(got.response.body().starts_with(b"<!DOCTYPE HTML"));
    }
    assert_eq!(client.get(DEVICES).await.status, 200);
}

#[tokio::test]
async fn a_mishap_can_wait_for_its_route() {
    let client = Client::calm().await;
    let route = "deviceManagement/windowsAutopilotSettings/sync";
    client.sim.with(|tenant| tenant.inject_at(sim::Mishap::ServerError, "POST", route));
    assert_eq!(client.get(DEVICES).await.status, 200);
    assert_eq!(client.post(SYNC, json!({})).await.status, 500);
    assert_eq!(client.post(SYNC, json!({})).await.status, 204);
    assert_eq!(client.sim.with(|tenant| tenant.counters().calls_of("POST", route)), 2);
}

#[tokio::test]
async fn every_kind_of_fault_comes_by_chance_when_it_is_switched_on() {
    for (fault, expected) in [
        (Switch::ServerErrors, vec![500]),
        (Switch::QueryBroker, vec![500]),
        (Switch::Unavailable, vec![503]),
        (Switch::GatewayTimeouts, vec![504]),
        (Switch::HtmlErrors, vec![400, 403, 502]),
        (Switch::LostAnswers, vec![0]),
        (Switch::LostRequests, vec![0]),
    ] {
        let client = Client::of(Settings::calm().switched(fault)).await;
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..2000 {
            let status = client.try_send(Method::GET, SETTINGS, "").await.map_or(0, |got| got.status);
            *seen.entry(status).or_insert(0) += 1;
        }
        let good = seen.remove(&200).unwrap_or(0);
        assert!(good > 1900 && good < 2000, "{fault:?}: {good} good ones");
        assert_eq!(seen.into_keys().collect::<Vec<u16>>(), expected, "{fault:?}");
    }
}

#[tokio::test]
async fn a_batch_gives_each_part_an_outcome_of_its_own_in_any_order() {
    let client = Client::of(Settings::calm().switched(Switch::ShuffledBatches)).await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    let devices = "/deviceManagement/windowsAutopilotDeviceIdentities";
    let mut requests = vec![
        json!({"id": "get", "method": "GET", "url": format!("{devices}/{id}")}),
        json!({"id": "missing", "method": "GET", "url": format!("{devices}/0c9be9b6-1b2f-4c0f-9d4a-000000000001")}),
        json!({"id": "bare", "method": "POST", "url": format!("{devices}/{id}/updateDeviceProperties"), "body": {"groupTag": "X"}}),
        json!({"id": "update", "method": "POST", "url": format!("{devices}/{id}/updateDeviceProperties"),
               "headers": {"Content-Type": "application/json"}, "body": {"groupTag": "X"}}),
        json!({"id": "delete", "method": "DELETE", "url": format!("{devices}/{id}"), "dependsOn": ["update"]}),
        json!({"id": "after", "method": "GET", "url": format!("{devices}/{id}"), "dependsOn": ["missing"]}),
    ];
    for n in 0..14 {
        requests.push(json!({"id": format!("more{n}"), "method": "GET", "url": format!("{devices}/{id}")}));
    }
    let got = client.post(BATCH, json!({"requests": requests})).await;
    assert_eq!(got.status, 200);
    let responses = got.json["responses"].as_array().unwrap();
    let order: Vec<&str> = responses.iter().map(|part| part["id"].as_str().unwrap()).collect();
    let asked: Vec<&str> = requests.iter().map(|part| part["id"].as_str().unwrap()).collect();
    assert_ne!(order, asked);
    let status = |id: &str| responses.iter().find(|part| part["id"] == id).unwrap()["status"].as_u64().unwrap();
    assert_eq!(["get", "missing", "bare", "update", "delete", "after"].map(status), [200, 404, 400, 204, 200, 424]);
    let body = &responses.iter().find(|part| part["id"] == "get").unwrap()["body"];
    assert_eq!(body["serialNumber"], "TEST-1");
    client.sim.with(|tenant| {
        let counters = tenant.counters();
        assert_eq!(counters.calls_of("POST", "$batch"), 1);
        assert_eq!(counters.calls_of("GET", "deviceManagement/windowsAutopilotDeviceIdentities/{id}"), 16);
    });
}

#[tokio::test]
async fn a_batch_of_more_than_twenty_or_with_one_id_twice_is_refused() {
    let client = Client::calm().await;
    let part = |id: &str| json!({"id": id, "method": "GET", "url": "/organization"});
    let many: Vec<Value> = (0..21).map(|n| part(&n.to_string())).collect();
    assert_eq!(client.post(BATCH, json!({"requests": many})).await.status, 400);
    assert_eq!(client.post(BATCH, json!({"requests": [part("a"), part("A")]})).await.status, 400);
    assert_eq!(client.post(BATCH, json!({"requests": []})).await.status, 400);
    assert_eq!(client.post(BATCH, json!({"requests": [part("a")]})).await.json["responses"][0]["status"], 200);
}

#[tokio::test]
async fn the_parts_of_a_batch_are_throttled_one_by_one() {
    let client = Client::of(Settings::calm().switched(Switch::RequestLimits)).await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    let url = format!("/deviceManagement/windowsAutopilotDeviceIdentities/{id}/updateDeviceProperties");
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let parts: Vec<Value> = (0..20)
            .map(|n| {
                json!({"id": n.to_string(), "method": "POST", "url": url,
                       "headers": {"Content-Type": "application/json"}, "body": {"groupTag": "X"}})
            })
            .collect();
        let got = client.post(BATCH, json!({"requests": parts})).await;
        assert_eq!(got.status, 200, "the envelope is fine whatever becomes of its parts");
        statuses.extend(got.json["responses"].as_array().unwrap().iter().map(|part| part["status"].as_u64().unwrap()));
    }
    let count = |wanted: u64| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(204), count(429)), (100, 20));
}
