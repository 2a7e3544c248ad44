//! The simulator's answers beside the captures that our Graph client reads:
//! the same names in the same letters, the same kinds of values. So a word
//! misspelt on one side shows as a disagreement with the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/graph/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Every place in a document and the kinds of values there; the elements of a
/// list share a place.
type Shape = BTreeMap<String, BTreeSet<&'static str>>;

fn shape(value: &Value) -> Shape {
    fn walk(place: &str, value: &Value, shape: &mut Shape) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "text",
            Value::Array(items) => {
                items.iter().for_each(|item| walk(&format!("{place}[]"), item, shape));
                "list"
            }
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| walk(&format!("{place}.{name}"), value, shape));
                "object"
            }
        };
        shape.entry(place.to_owned()).or_default().insert(kind);
    }
    let mut shape = Shape::new();
    walk("", value, &mut shape);
    shape
}

/// The same places, and no place where both have values of different kinds;
/// `null` is of every kind.
#[track_caller]
fn assert_alike(name: &str, simulated: &Value, captured: &Value) {
    let (ours, theirs) = (shape(simulated), shape(captured));
    let places = |shape: &Shape| shape.keys().cloned().collect::<Vec<_>>();
    assert_eq!(places(&ours), places(&theirs), "{name}: {simulated:#}");
    for (place, kinds) in &ours {
        let solid = |kinds: &BTreeSet<&'static str>| kinds.iter().copied().filter(|k| *k != "null").collect::<Vec<_>>();
        let (ours, theirs) = (solid(kinds), solid(&theirs[place]));
        assert!(ours.is_empty() || theirs.is_empty() || ours == theirs, "{name} at {place}: {ours:?}, not {theirs:?}");
    }
}

/// The answer to the same request, and the same status.
#[track_caller]
fn assert_answers(name: &str, got: &Got) {
    let fixture = fixture(name);
    assert_eq!(got.status, fixture["status"].as_u64().map_or(0, |status| u16::try_from(status).unwrap()), "{name}");
    assert_alike(name, &got.json, &fixture["body"]);
    let context = |value: &Value| value["@odata.context"].as_str().map(str::to_owned);
    assert_eq!(context(&got.json), context(&fixture["body"]), "{name}");
}

#[tokio::test]
async fn reading_answers_have_the_shape_of_the_captures() {
    let client = Client::calm().await;
    client.sim.with(|tenant| tenant.add_devices(3));
    let id = client.sim.with(|tenant| tenant.registrations()[0].id);
    client.sim.with(|tenant| tenant.enrol(id).unwrap());
    assert_answers("registrations-list", &client.get(DEVICES).await);
    assert_answers("registration-get", &client.get(&format!("{DEVICES}/{id}")).await);
    assert_answers("settings", &client.get(SETTINGS).await);
    assert_answers("organization", &client.get("/v1.0/organization").await);
}

#[tokio::test]
async fn import_answers_have_the_shape_of_the_captures() {
    let client = Client::calm().await;
    let request = fixture("request-import");
    assert_answers("import-action", &client.post(IMPORT, request["body"].clone()).await);
    let mut list = client.get(IMPORTS).await;
    // A capture of many records has one without a state.
    list.json["value"].as_array_mut().unwrap().retain(|record| !record["state"].is_null());
    assert_answers("imports-list", &list);
}

#[tokio::test]
async fn the_request_that_our_client_sends_is_understood_part_by_part() {
    let client = Client::calm().await;
    let request = fixture("request-update");
    let got = client.post("/v1.0/$batch", request["body"].clone()).await;
    let parts = got.json["responses"].as_array().unwrap();
    assert_eq!(parts.len(), 3);
    for part in parts {
        // Nothing of that id is here, and that is all that is wrong.
        assert_eq!(part["status"], 404, "{part:#}");
    }
}

#[tokio::test]
async fn login_answers_have_the_shape_of_the_captures() {
    let client = Client::calm().await;
    assert_answers("token", &client.token_request("contoso.com", &[]).await);
    assert_answers("token-error", &client.token_request("contoso.com", &[("client_secret", "wrong")]).await);
}

#[tokio::test]
async fn each_error_has_the_shape_of_its_capture() {
    let client = Client::calm().await;
    assert_answers("error-plain", &client.get("/v1.0/deviceManagement/windowsAutopilotSettings").await);
    assert_answers("error-route", &client.post(DEVICES, json!({})).await);
    let unknown = format!("{DEVICES}/00000000-0000-4000-8000-00000000ffff");
    assert_alike("error-not-found", &client.get(&unknown).await.json, &fixture("error-not-found")["body"]);

    let id = client.registered("TEST-1").await;
    let update = format!("{DEVICES}/{id}/updateDeviceProperties");
    let refused = client.post(&update, json!({"displayName": "no such name!"})).await;
    assert_answers("error-nested", &refused);
    assert_alike("its inner text", &refused.inner(), &inner_of("error-nested"));
    client.sim.with(|tenant| tenant.inject(sim::Mishap::Conflict));
    assert_answers("error-condition-not-met", &client.post(&update, json!({"groupTag": "X"})).await);
    client.sim.with(|tenant| tenant.inject(sim::Mishap::Throttled));
    assert_answers("error-throttled", &client.get(DEVICES).await);
    client.sim.with(|tenant| tenant.inject(sim::Mishap::QueryBroker));
    assert_answers("error-query-broker", &client.get(DEVICES).await);

    client.delete(&format!("{DEVICES}/{id}")).await;
    let again = client.delete(&format!("{DEVICES}/{id}")).await;
    assert_answers("error-deletion-in-progress", &again);
    assert_eq!(again.inner()["CustomApiErrorPhrase"], inner_of("error-deletion-in-progress")["CustomApiErrorPhrase"]);

    let row = json!([{"serialNumber": "TEST-2", "hardwareIdentifier": "no base64!"}]);
    let bad = client.post(IMPORT, json!({"importedWindowsAutopilotDeviceIdentities": row})).await;
    assert_answers("error-bad-base64", &bad);
    client.sim.with(|tenant| tenant.set_roles("11111111-2222-3333-4444-555555555555", &[]));
    assert_answers("error-forbidden", &client.get(DEVICES).await);
    client.sim.with(|tenant| {
        tenant.set_roles("11111111-2222-3333-4444-555555555555", &["DeviceManagementServiceConfig.Read.All"]);
        tenant.inject(sim::Mishap::Html(400));
    });
    let page = client.get(DEVICES).await;
    assert_eq!(page.header("content-type"), fixture("error-html")["headers"]["Content-Type"].as_str());
}

fn inner_of(name: &str) -> Value {
    serde_json::from_str(fixture(name)["body"]["error"]["message"].as_str().unwrap()).unwrap()
}
