//! Requests to the simulated tenant.

use apgit::door::clock::Virtual;
use apgit::door::sim::{self, InProcess, Settings, Tenant};
use apgit::door::transport::{Request, Transport as _, TransportError};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::run::Target;
use crate::secret::MACHINES;
use crate::seeds::captures;

/// Between requests.
const NEXT: &str = "\n%%\n";

const TOKEN: &str = "/contoso.com/oauth2/v2.0/token";

const DEVICES: &str = "/v1.0/deviceManagement/windowsAutopilotDeviceIdentities";

/// A tenant with three devices, the same each time.
fn tenant() -> (InProcess, Vec<String>) {
    let mut tenant = Tenant::new(Settings::calm(), 1, sim::EPOCH);
    for number in 1..4 {
        tenant.add_device(&format!("TEST-{number}"), "Contoso", "Model 1", "OSL");
    }
    let ids = tenant.registrations().iter().map(|registration| registration.id.to_string()).collect();
    (InProcess::new(tenant, Virtual::starting_at(sim::EPOCH)), ids)
}

fn token_form() -> String {
    let client = "11111111-2222-3333-4444-555555555555";
    let scope = "https%3A%2F%2Fgraph.microsoft.com%2F.default";
    format!("grant_type=client_credentials&client_id={client}&client_secret={}&scope={scope}", sim::CLIENT_SECRET)
}

fn seeds() -> Vec<Vec<u8>> {
    let (_, ids) = tenant();
    let id = &ids[0];
    let hash = MACHINES[0].hash().to_base64();
    let v1 = "/v1.0/deviceManagement";
    let beta = "/beta/deviceManagement";
    let row = json!({"serialNumber": "TEST-000000", "hardwareIdentifier": hash, "groupTag": "OSL", "productKey": "", "assignedUserPrincipalName": ""});
    let many = json!({"importedWindowsAutopilotDeviceIdentities": [row, row]});
    let batch = json!({"requests": [
        {"id": "0", "method": "GET", "url": format!("/deviceManagement/windowsAutopilotDeviceIdentities/{id}")},
        {"id": "1", "method": "POST", "url": format!("/deviceManagement/windowsAutopilotDeviceIdentities/{id}/updateDeviceProperties"),
         "headers": {"Content-Type": "application/json"}, "body": {"groupTag": "X"}, "dependsOn": ["0"]},
        {"id": "2", "method": "DELETE", "url": format!("/deviceManagement/importedWindowsAutopilotDeviceIdentities/{id}")},
    ]});
    let form = token_form();
    let get = |path: &str| format!("GET {path}\n\n");
    let post =
        |path: &str, body: &dyn std::fmt::Display| format!("POST {path}\ncontent-type: application/json\n\n{body}");
    let import = post(&format!("{v1}/importedWindowsAutopilotDeviceIdentities/import"), &many);
    let wait = post("/_sim/advance", &r#"{"by": "2h"}"#);
    let sync = format!("POST {beta}/windowsAutopilotSettings/sync\n\n");
    let mut seeds = vec![
        get(DEVICES),
        get(&format!("{DEVICES}?$top=2&$skiptoken=1")),
        get(&format!(
            "{DEVICES}?$filter=contains(serialNumber,'TEST-1')&$top=1&$skip=0&$count=true&$orderby=id&$expand=deploymentProfile"
        )),
        get(&format!("{DEVICES}('{id}')?$expand=deploymentProfile,intendedDeploymentProfile")),
        get(&format!("{v1}/importedWindowsAutopilotDeviceIdentities?$filter=importId eq '1'")),
        get(&format!("{beta}/windowsAutopilotSettings")),
        get(&format!("{beta}/windowsAutopilotDeploymentProfiles")),
        get(&format!("{v1}/managedDevices?$top=1")),
        get("/v1.0/organization"),
        get("/v1.0/users/anna.keller@contoso.com"),
        get("/v1.0/devices?$filter=displayName eq 'A'&$search=\"x\""),
        get("/v1.0/groups?$filter=startswith(displayName,'a')"),
        get("/v1.0/$metadata"),
        get("/contoso.com/v2.0/.well-known/openid-configuration"),
        format!("POST {TOKEN}\nauthorization: none\ncontent-type: application/x-www-form-urlencoded\n\n{form}"),
        format!("{import}{NEXT}{wait}{NEXT}{}", get(DEVICES)),
        format!("{}{NEXT}{wait}", post(&format!("{v1}/importedWindowsAutopilotDeviceIdentities"), &row)),
        post(
            &format!("{DEVICES}/{id}/updateDeviceProperties"),
            &json!({"groupTag": "X", "displayName": "LOBBY-01", "userPrincipalName": "anna.keller@contoso.com", "addressableUserName": "Anna"}),
        ),
        post(
            &format!("{DEVICES}/{id}/assignUserToDevice"),
            &json!({"userPrincipalName": "anna.keller@contoso.com", "addressableUserName": "Anna"}),
        ),
        post(&format!("{DEVICES}/{id}/unassignUserFromDevice"), &""),
        post(&format!("{DEVICES}/deleteDevices"), &json!({"serialNumbers": ["TEST-1", "TEST-2"]})),
        format!("DELETE {DEVICES}/{id}\n\n{NEXT}{wait}{NEXT}{}", get(DEVICES)),
        format!("{sync}{NEXT}{wait}"),
        post(
            &format!("{beta}/importedDeviceIdentities/importDeviceIdentityList"),
            &json!({"importedDeviceIdentities": [{"importedDeviceIdentifier": "Contoso,Model 1,TEST-9", "importedDeviceIdentityType": "manufacturerModelSerial"}], "overwriteImportedDeviceIdentities": false}),
        ),
        post(
            &format!("{beta}/importedDeviceIdentities/searchExistingIdentities"),
            &json!({"importedDeviceIdentities": [{"importedDeviceIdentifier": "TEST-9", "importedDeviceIdentityType": "serialNumber"}]}),
        ),
        post("/v1.0/$batch", &batch),
        get("/_sim/counters"),
        get("/_sim/settings"),
        post("/_sim/clock", &json!({"until": "2026-01-06T08:00:00Z"})),
        [
            post("/_sim/advance", &json!({"to": "9899-12-31T23:59:59Z"})),
            post(TOKEN, &form),
            import.clone(),
            sync.clone(),
            wait.clone(),
            get(DEVICES),
        ]
        .join(NEXT),
        post(
            "/_sim/vendor",
            &json!({"serial": "TEST-7", "manufacturer": "Contoso", "model": "Model 1", "groupTag": "A"}),
        ),
        post("/_sim/vendor", &json!({"hash": hash, "purchaseOrder": "4711"})),
        post("/_sim/devices", &json!({"count": 3})),
        post("/_sim/refuse", &json!({"hash": hash, "code": 802, "name": "x"})),
        post("/_sim/inject", &json!({"mishap": {"html": 502}, "times": 3, "retryAfter": 1, "method": "GET"})),
        post("/_sim/settings", &json!({"list": {"page_size": 2}})),
        format!(
            "{}{NEXT}{import}{NEXT}{wait}{NEXT}{}",
            post("/_sim/settings", &serde_json::to_value(Settings::calm()).expect("settings are plain data")),
            get(DEVICES)
        ),
        post("/_sim/roles", &json!({"app": "11111111-2222-3333-4444-555555555555", "roles": []})),
        format!(
            "{}{NEXT}{}{NEXT}{wait}{NEXT}{}",
            post("/_sim/enrol", &json!({"serial": "TEST-1"})),
            post("/_sim/board", &json!({"serial": "TEST-1"})),
            post("/_sim/tag", &json!({"id": id, "groupTag": "B"}))
        ),
    ];
    let bodies = captures().into_iter().filter(|(name, _)| name.starts_with("request-"));
    for (name, capture) in bodies {
        let path = if name.contains("import") {
            format!("{v1}/importedWindowsAutopilotDeviceIdentities/import")
        } else {
            format!("{DEVICES}/{id}/updateDeviceProperties")
        };
        seeds.push(post(&path, &capture["body"]));
    }
    seeds.into_iter().map(String::into_bytes).collect()
}

/// `METHOD path`, headers, an empty line, the body. `None` for what no server
/// of HTTP would take for a request.
fn request(text: &[u8], token: &str) -> Option<Request> {
    let (head, body) = match text.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&text[..end], &text[end + 2..]),
        None => (text, &b""[..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let (method, path) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
    let path = path.replace(' ', "%20").replace('"', "%22");
    let uri: http::Uri = format!("https://graph.microsoft.com{path}").parse().ok()?;
    let mut request = Request::new(Bytes::copy_from_slice(body));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = uri;
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).expect("a token of ours");
    request.headers_mut().insert(http::header::AUTHORIZATION, bearer);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(line[..colon].trim_ascii()).ok()?;
        request.headers_mut().insert(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    Some(request)
}

async fn log_in(sim: &InProcess) -> Option<String> {
    let form = token_form();
    let request = http::Request::post(format!("https://login.microsoftonline.com{TOKEN}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from(form))
        .expect("a request of constant parts");
    let answer: Value = serde_json::from_slice(sim.send(request).await.ok()?.body()).ok()?;
    answer["access_token"].as_str().map(str::to_owned)
}

/// An answer is a success, or says in JSON what is wrong. `faults` are what a
/// request before has asked for, and `$select` is one that the service has.
fn judge(request: &Request, answer: &Result<apgit::door::transport::Response, TransportError>, faults: bool) {
    let what = || format!("{} {}", request.method(), request.uri());
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return assert!(faults, "{}: {error}", what()),
    };
    let status = answer.status();
    let is_control = request.uri().path().starts_with("/_sim/");
    let selects = || request.uri().query().unwrap_or_default().to_ascii_lowercase().contains("select");
    assert!(!status.is_server_error() || faults || selects(), "{}: {status}", what());
    if (status.is_client_error() || status.is_server_error()) && !faults && !is_control {
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_else(|error| {
            panic!("{}: {status} with {:?}: {error}", what(), String::from_utf8_lossy(answer.body()))
        });
        assert!(body.get("error").is_some(), "{}: {status} with {body}", what());
    }
    assert!(answer.headers().contains_key("date") || is_control, "{}: no date", what());
}

async fn held(bytes: &[u8]) {
    let (sim, _) = tenant();
    let mut token = log_in(&sim).await.expect("a calm tenant lets us in");
    let mut changed_by_hand = false;
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.windows(NEXT.len()).position(|window| window == NEXT.as_bytes());
        let text = &rest[..end.unwrap_or(rest.len())];
        rest = end.map_or(&[], |end| &rest[end + NEXT.len()..]);
        let Some(request) = request(text, &token) else { continue };
        // From here on it may have been told to fail.
        let told = ["/_sim/inject", "/_sim/settings", "/_sim/roles", "/_sim/expire", "/_sim/state"];
        changed_by_hand |= request.method() == Method::POST
            && told.iter().any(|path| request.uri().path().to_ascii_lowercase().replace("//", "/").starts_with(path));
        let answer = sim.send(request.clone()).await;
        judge(&request, &answer, changed_by_hand);
        if ["/_sim/clock", "/_sim/advance"].contains(&request.uri().path()) {
            // A token lives for an hour.
            token = log_in(&sim).await.unwrap_or(token);
        }
    }
    let (saved, count) = sim.with(|tenant| (tenant.save(), tenant.registrations().len()));
    let loaded = Tenant::load(&saved).unwrap_or_else(|error| panic!("what is kept cannot be read: {error}"));
    assert_eq!(loaded.save(), saved, "what is kept is another tenant");
    assert_eq!(loaded.registrations().len(), count);
    if changed_by_hand {
        return;
    }
    let token = log_in(&sim).await.expect("it still lets us in");
    let list = request(format!("GET {DEVICES}\n\n").as_bytes(), &token).expect("a request");
    let answer = sim.send(list).await.expect("it still answers");
    assert_eq!(answer.status(), StatusCode::OK);
    let listed: Value = serde_json::from_slice(answer.body()).expect("JSON");
    assert!(listed["value"].is_array());
}

#[test]
fn every_request_to_the_simulated_tenant_has_an_answer() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    Target { name: "simulator", seeds: seeds(), cases: 1_000 }.holds(|bytes| runtime.block_on(held(bytes)));
}
