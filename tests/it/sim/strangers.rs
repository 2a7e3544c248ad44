//! Clients that others wrote, as their requests come over the wire: Microsoft's
//! SDK for Go, login libraries, scripts in PowerShell, runbooks.

use std::io::Write as _;

use apgit::door::sim::Speed;
use apgit::door::transport::Request;

use super::over_http::{Http, Running, request};
use super::*;

const APP: &str = "11111111-2222-3333-4444-555555555555";
/// As MSAL for Go and Java ask for every token.
const SCOPES_OF_MSAL: &str = "https%3A%2F%2Fgraph.microsoft.com%2F.default+openid+offline_access+profile";

fn gzip(text: &str) -> Bytes {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap().into()
}

fn rows(serials: &[&str]) -> Value {
    let row = |serial: &&str| {
        json!({"@odata.type": "#microsoft.graph.importedWindowsAutopilotDeviceIdentity",
               "hardwareIdentifier": hash(serial), "serialNumber": serial})
    };
    json!({"importedWindowsAutopilotDeviceIdentities": serials.iter().map(row).collect::<Vec<_>>()})
}

#[tokio::test]
async fn microsofts_sdk_for_go_works_unchanged() {
    let running = Running::start(Settings::calm(), Speed::Times(3600.0), None).await;
    let (http, url) = (Http::new(), running.url.as_str());
    let send = async |request: http::request::Builder, body: Bytes| {
        Got::of(http.send(request.body(body).unwrap()).await.expect("an answer"))
    };
    // The login library: where is the token endpoint, and then the token.
    let document = format!("{url}/contoso.com/v2.0/.well-known/openid-configuration");
    let found = send(http::Request::get(document), Bytes::new()).await.json;
    let form = format!(
        "client_id={APP}&client_info=1&client_secret={}&grant_type=client_credentials&scope={SCOPES_OF_MSAL}",
        sim::CLIENT_SECRET
    );
    let ask = http::Request::post(found["token_endpoint"].as_str().unwrap())
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .header("x-client-sku", "MSAL.Go")
        .header("return-client-request-id", "false");
    let login = send(ask, form.into()).await;
    assert_eq!(login.status, 200, "{}", login.json);
    let token = login.json["access_token"].as_str().unwrap().to_owned();
    // The SDK: every body is packed, every answer may be.
    let graph = |method: Method, path: &str| {
        http::Request::builder()
            .method(method)
            .uri(format!("{url}{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "application/json")
            .header("accept-encoding", "gzip")
            .header("user-agent", "kiota-go/1.1.0")
    };
    let import =
        graph(Method::POST, IMPORT).header("content-type", "application/json").header("content-encoding", "gzip");
    let got = send(import, gzip(&rows(&["TEST-1", "TEST-2"]).to_string())).await;
    assert_eq!(got.status, 200, "{}", got.json);
    assert_eq!(got.json["value"].as_array().unwrap().len(), 2);
    running.tenant.advance_to(running.tenant.now() + seconds(7200));
    let devices = send(graph(Method::GET, DEVICES), Bytes::new()).await;
    let mut unpacked = String::new();
    let body = devices.response.body().clone();
    match devices.header("content-encoding") {
        Some("gzip") => {
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&body[..]), &mut unpacked).unwrap();
        }
        _ => unpacked = String::from_utf8(body.to_vec()).unwrap(),
    }
    assert_eq!((devices.status, unpacked.matches("\"serialNumber\"").count()), (200, 2), "{unpacked}");
    running.stop().await;
}

#[tokio::test]
async fn the_scopes_that_login_libraries_add_name_no_other_resource() {
    let client = Client::calm().await;
    let graph = "https%3A%2F%2Fgraph.microsoft.com%2F.default";
    for (scope, status) in [
        (SCOPES_OF_MSAL.to_owned(), 200),
        (format!("openid+profile+offline_access+{graph}"), 200),
        (format!("profile%20{graph}"), 200),
        (format!("{graph}+User.Read"), 400),
        (format!("{graph}+https%3A%2F%2Fvault.azure.net%2F.default"), 400),
        ("openid+offline_access+profile".to_owned(), 400),
        ("%2F.default".to_owned(), 400),
    ] {
        let got = client.token_request("contoso.com", &[("scope", &scope)]).await;
        assert_eq!(got.status, status, "{scope}");
        if status == 400 {
            assert_eq!(got.json["error_codes"], json!([1_002_012]), "{scope}");
        }
    }
}

/// A POST with these headers and no others but the token.
async fn post_as(client: &Client, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Got {
    let mut request = http::Request::post(format!("{}{path}", client.host));
    request = request.header("authorization", format!("Bearer {}", client.token));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Got::of(client.sim.send(request.body(body.into()).unwrap()).await.unwrap())
}

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

#[tokio::test]
async fn a_packed_body_is_read_and_a_broken_one_or_another_packing_refused() {
    let client = Client::calm().await;
    let body = rows(&["TEST-1"]).to_string();
    let packed = gzip(&body);
    let post = async |encoding: &str, body: Bytes| {
        post_as(&client, IMPORT, &[JSON, ("content-encoding", encoding)], body).await
    };
    assert_eq!(post("gzip", packed.clone()).await.status, 200);
    assert_eq!(post("GZIP", packed.clone()).await.status, 200);
    assert_eq!(post("identity", body.clone().into()).await.status, 200);
    for (what, broken) in [
        ("plain", Bytes::from(body.clone())),
        ("cut off", packed.slice(..packed.len() - 9)),
        ("followed by something", Bytes::from([&packed[..], b"more"].concat())),
    ] {
        let got = post("gzip", broken).await;
        assert_eq!((got.status, got.json["error"]["code"].as_str()), (400, Some("BadRequest")), "{what}");
    }
    for encoding in ["br", "deflate", "zstd", "gzip, gzip"] {
        let got = post(encoding, packed.clone()).await;
        assert_eq!((got.status, got.json["error"]["code"].as_str()), (415, Some("UnsupportedMediaType")));
    }
    // The login and the control routes unpack as well.
    let form = format!(
        "grant_type=client_credentials&client_id=me&client_secret={}&scope={SCOPES_OF_MSAL}",
        sim::CLIENT_SECRET
    );
    let login = "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token";
    let gzipped = Client { host: "", sim: client.sim.clone(), clock: client.clock.clone(), token: String::new() };
    let got = post_as(&gzipped, login, &[("content-encoding", "gzip")], gzip(&form)).await;
    assert_eq!(got.status, 200, "{}", got.json);
    for (path, body) in [
        ("devices", json!({"count": 2})),
        ("clock", json!({"client": "me"})),
        ("advance", json!({"by": "1m"})),
        ("state", client.get("http://127.0.0.1:8800/_sim/state").await.json),
    ] {
        let url = format!("http://127.0.0.1:8800/_sim/{path}");
        let got = post_as(&gzipped, &url, &[("content-encoding", "gzip")], gzip(&body.to_string())).await;
        assert_eq!(got.status, 200, "{path}: {}", got.json);
    }
    assert_eq!(client.sim.with(|tenant| tenant.import_records().len()), 3, "what was refused is not stored");
}

#[tokio::test]
async fn a_body_that_unpacks_to_more_than_is_taken_is_refused() {
    let client = Client::calm().await;
    let bomb = gzip(&" ".repeat(65 * 1024 * 1024));
    assert!(bomb.len() < 1024 * 1024);
    let got = post_as(&client, IMPORT, &[JSON, ("content-encoding", "gzip")], bomb).await;
    assert_eq!(got.status, 413, "{}", got.json);
}

#[tokio::test]
async fn a_body_that_is_not_said_to_be_json_is_refused() {
    let client = Client::calm().await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    let update = format!("{DEVICES}/{id}/updateDeviceProperties");
    let update_body = json!({"groupTag": "X"}).to_string();
    let missing = "Write requests (excluding DELETE) must contain the Content-Type header declaration.";
    let other = "Entity only allows writes with a JSON Content-Type header.";
    for (path, body) in [
        (IMPORT, rows(&["TEST-2"]).to_string()),
        (IMPORTS, rows(&["TEST-2"])["importedWindowsAutopilotDeviceIdentities"][0].to_string()),
        (&update, update_body),
        ("/v1.0/$batch", json!({"requests": [{"id": "1", "method": "GET", "url": "/organization"}]}).to_string()),
    ] {
        for (headers, message) in [
            (&[][..], missing),
            (&[("content-type", "")], missing),
            (&[("content-type", "application/x-www-form-urlencoded")], other),
            (&[("content-type", "text/plain; charset=utf-8")], other),
        ] {
            let got = post_as(&client, path, headers, body.clone()).await;
            let said = (got.status, &got.json["error"]["code"], &got.json["error"]["message"]);
            assert_eq!(said, (400, &json!("BadRequest"), &json!(message)), "{path} {headers:?}");
        }
        let got = post_as(&client, path, &[("content-type", "Application/JSON;odata.metadata=minimal")], body).await;
        assert!(got.status < 300, "{path}: {}", got.json);
    }
    assert_eq!(post_as(&client, SYNC, &[], "").await.status, 204, "where there is no body, there is nothing to say");
    assert_eq!(client.sim.with(|tenant| tenant.import_records().len()), 2);
}

#[tokio::test]
async fn a_part_of_a_batch_says_that_its_body_is_json_too() {
    let client = Client::calm().await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    let part = |name: &str, headers: Value| {
        json!({"id": name, "method": "POST", "body": {"groupTag": "X"}, "headers": headers,
               "url": format!("/deviceManagement/windowsAutopilotDeviceIdentities/{id}/updateDeviceProperties")})
    };
    let parts = [
        part("none", json!({})),
        part("form", json!({"Content-Type": "text/plain"})),
        part("json", json!({"content-type": "application/json"})),
    ];
    let got = client.post("/v1.0/$batch", json!({"requests": parts})).await;
    let answer = |name: &str| {
        let found = got.json["responses"].as_array().unwrap().iter().find(|part| part["id"] == name).unwrap();
        (found["status"].as_u64().unwrap(), found["body"]["error"]["message"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(
        answer("none"),
        (400, "Write request with id 'none' does not contain a Content-Type header.".to_owned())
    );
    assert_eq!(answer("form"), (400, "Entity only allows writes with a JSON Content-Type header.".to_owned()));
    assert_eq!(answer("json").0, 204);
}

#[tokio::test]
async fn a_refused_token_is_told_where_to_sign_in() {
    let mut client = Client::calm().await;
    let graph = "client_id=\"00000003-0000-0000-c000-000000000000\"";
    for (host, login) in [
        ("https://graph.microsoft.com", "https://login.microsoftonline.com"),
        ("https://dod-graph.microsoft.us", "https://login.microsoftonline.us"),
        ("https://microsoftgraph.chinacloudapi.cn", "https://login.partner.microsoftonline.cn"),
        ("http://127.0.0.1:8800", "http://127.0.0.1:8800"),
    ] {
        (client.host, client.token) = (host, "made-up".to_owned());
        let got = client.get(DEVICES).await;
        let expected = format!("Bearer realm=\"\", authorization_uri=\"{login}/common/oauth2/authorize\", {graph}");
        assert_eq!((got.status, got.header("www-authenticate")), (401, Some(expected.as_str())));
    }
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    let url = format!("{}{DEVICES}", running.url);
    let got = Got::of(Http::new().send(http::Request::get(url).body(Bytes::new()).unwrap()).await.unwrap());
    assert!(got.header("www-authenticate").is_some_and(|header| header.contains(&running.url)), "{got:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_declares_cp1_is_challenged_where_others_hear_that_the_token_expired() {
    let running = Running::start(Settings::calm(), Speed::Instant, None).await;
    let http = Http::new();
    let log_in = async |claims: &str| {
        let form = format!(
            "grant_type=client_credentials&client_id=me&client_secret={}&scope={SCOPES_OF_MSAL}{claims}",
            sim::CLIENT_SECRET
        );
        let url = format!("{}/contoso.com/oauth2/v2.0/token", running.url);
        let got = Got::of(http.send(http::Request::post(url).body(form.into()).unwrap()).await.unwrap());
        got.json["access_token"].as_str().expect("a token").to_owned()
    };
    let read = async |token: &str| {
        let got = http.send(request(Method::GET, &format!("{}{DEVICES}", running.url), token, &Value::Null)).await;
        Got::of(got.unwrap())
    };
    // {"access_token":{"xms_cc":{"values":["cp1"]}}}
    let declared = "&claims=%7B%22access_token%22%3A%7B%22xms_cc%22%3A%7B%22values%22%3A%5B%22cp1%22%5D%7D%7D%7D";
    let (able, plain) = (log_in(declared).await, log_in("").await);
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(able.split('.').nth(1).unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&claims).unwrap()["xms_cc"], json!(["CP1"]));
    assert_eq!((read(&able).await.status, read(&plain).await.status), (200, 200));

    let expire = request(Method::POST, &format!("{}/_sim/expire", running.url), "", &json!({}));
    assert_eq!(http.send(expire).await.unwrap().status(), 200);
    let got = read(&plain).await;
    assert_eq!((got.status, got.json["error"]["code"].as_str()), (401, Some("InvalidAuthenticationToken")));
    assert!(!got.header("www-authenticate").unwrap().contains("claims"), "{got:?}");
    let got = read(&able).await;
    assert_eq!((got.status, got.json["error"]["code"].as_str()), (401, Some("InvalidAuthenticationToken")));
    let header = got.header("www-authenticate").unwrap();
    assert!(header.contains(", error=\"insufficient_claims\", claims=\""), "{header}");
    let claims = STANDARD.decode(header.split("claims=\"").nth(1).unwrap().trim_end_matches('"')).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let now = running.tenant.now().as_second().to_string();
    assert_eq!(claims, json!({"access_token": {"nbf": {"essential": true, "value": now}}}));
    assert_eq!(read(&log_in(declared).await).await.status, 200, "a token of later is as good as any");
    running.stop().await;
}

#[tokio::test]
async fn a_token_of_one_clouds_login_is_refused_at_another_clouds_graph() {
    let client = Client::calm().await;
    // The app's id instead of a host: such a token names no cloud.
    let scope = "00000003-0000-0000-c000-000000000000%2F.default";
    let clouds = [
        ("login.microsoftonline.com", &["graph.microsoft.com"][..]),
        ("login.partner.microsoftonline.cn", &["microsoftgraph.chinacloudapi.cn"]),
        ("login.chinacloudapi.cn", &["microsoftgraph.chinacloudapi.cn"]),
        ("login.microsoftonline.us", &["graph.microsoft.us", "dod-graph.microsoft.us"]),
        (
            "127.0.0.1:8800",
            &["graph.microsoft.com", "microsoftgraph.chinacloudapi.cn", "graph.microsoft.us", "dod-graph.microsoft.us"],
        ),
    ];
    for (login, own) in clouds {
        let form =
            format!("grant_type=client_credentials&client_id=me&client_secret={}&scope={scope}", sim::CLIENT_SECRET);
        let request: Request =
            http::Request::post(format!("https://{login}/contoso.com/oauth2/v2.0/token")).body(form.into()).unwrap();
        let got = Got::of(client.sim.send(request).await.unwrap());
        let token = got.json["access_token"].as_str().expect("a token").to_owned();
        for graph in [
            "graph.microsoft.com",
            "microsoftgraph.chinacloudapi.cn",
            "graph.microsoft.us",
            "dod-graph.microsoft.us",
            "127.0.0.1:8800",
        ] {
            let request = request_of(&format!("https://{graph}{DEVICES}"), &token);
            let got = Got::of(client.sim.send(request).await.unwrap());
            let fits = own.contains(&graph) || graph.starts_with("127.");
            assert_eq!(got.status, if fits { 200 } else { 401 }, "a token of {login} at {graph}");
        }
    }
}

fn request_of(url: &str, token: &str) -> Request {
    request(Method::GET, url, token, &Value::Null)
}

#[tokio::test]
async fn a_token_lives_by_the_clock_of_its_client_as_well() {
    for speed in [Speed::Instant, Speed::Times(100_000.0)] {
        let running = Running::start(Settings::calm(), speed, None).await;
        let http = Http::new();
        let token = running.token(&http).await;
        running.tenant.advance_to(running.tenant.now() + seconds(86_400));
        let url = format!("{}{DEVICES}", running.url);
        let got = http.send(request_of(&url, &token)).await.unwrap();
        assert_eq!(got.status(), 200, "{speed:?}: its client has had it for a moment");
        running.stop().await;
    }
    // Both clocks say that it is dead.
    let mut settings = Settings::calm();
    settings.set("login.token_life=1s").unwrap();
    let running = Running::start(settings, Speed::Instant, None).await;
    let http = Http::new();
    let token = running.token(&http).await;
    running.tenant.advance_to(running.tenant.now() + seconds(2));
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let got = http.send(request_of(&format!("{}{DEVICES}", running.url), &token)).await.unwrap();
    assert_eq!(got.status(), 401);
    running.stop().await;
}

#[tokio::test]
async fn the_import_action_takes_a_list_under_its_name_and_nothing_else() {
    let client = Client::calm().await;
    let row = json!({"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")});
    let name = "importedWindowsAutopilotDeviceIdentities";
    // What `ConvertTo-Json` makes of a list of one element, and its relatives.
    for body in [
        json!([]),
        json!(null),
        json!({}),
        row.clone(),
        json!([row]),
        json!("text"),
        json!({name: row}),
        json!({name: null}),
        json!({name: [row, null]}),
        json!({name: [[row]]}),
        json!({name: [row], "other": 1}),
    ] {
        let got = client.post(IMPORT, body.clone()).await;
        assert_eq!((got.status, got.json["error"]["code"].as_str()), (400, Some("BadRequest")), "{body}");
    }
    assert_eq!(client.send(Method::POST, IMPORT, "").await.status, 400, "no body at all");
    assert!(client.sim.with(|tenant| tenant.import_records().is_empty()));
    assert_eq!(client.import(json!([row])).await.len(), 1);
}

#[tokio::test]
async fn a_batch_without_a_version_is_a_method_that_is_not_allowed() {
    let client = Client::calm().await;
    let parts = json!({"requests": [{"id": "1", "method": "GET", "url": "/organization"}]});
    assert_eq!(client.post("/$batch", parts.clone()).await.status, 405);
    assert_eq!(client.get("/$batch").await.status, 400);
    assert_eq!(client.post("/beta/$batch", parts).await.status, 200);
}

#[tokio::test]
async fn what_would_move_or_order_a_list_is_refused_rather_than_ignored() {
    let client = Client::calm().await;
    client.sim.with(|tenant| tenant.add_devices(3));
    let beta = "/beta/deviceManagement/windowsAutopilotDeploymentProfiles";
    for list in [DEVICES, IMPORTS, "/v1.0/deviceManagement/managedDevices", "/v1.0/devices", beta] {
        for option in ["$skip=1", "$orderby=serialNumber", "%24orderby=serialNumber%20desc", "$top=1&$skip=0"] {
            let got = client.get(&format!("{list}?{option}")).await;
            assert_eq!((got.status, got.json["error"]["code"].as_str()), (400, Some("BadRequest")), "{list}?{option}");
        }
    }
    assert_eq!(client.get(&format!("{DEVICES}?$top=1")).await.status, 200);
}

#[tokio::test]
async fn a_registration_is_found_by_its_entra_device() {
    let mut settings = Settings::calm();
    let ask = async |client: &Client, filter: &str| {
        let got = client.get(&format!("{DEVICES}?$filter={filter}")).await;
        let found =
            got.json["value"].as_array().map(|all| all.iter().map(|one| one["serialNumber"].to_string()).collect());
        (got.status, found.unwrap_or_else(Vec::<String>::new).join(" "))
    };
    let client = Client::of(settings.clone()).await;
    let id = client.sim.with(|tenant| {
        tenant.add_device("TEST-2", "Contoso", "Model 1", "");
        let id = tenant.add_device("TEST-1", "Contoso", "Model 1", "");
        tenant.enrol(id).unwrap();
        id
    });
    let shown = client.get(&format!("{DEVICES}/{id}")).await.json;
    let device = shown["azureActiveDirectoryDeviceId"].as_str().unwrap();
    for filter in [
        format!("azureActiveDirectoryDeviceId%20eq%20'{device}'"),
        format!("azureActiveDirectoryDeviceId%20eq%20{device}"),
        format!("azureActiveDirectoryDeviceId+eq+'{}'", device.to_uppercase()),
    ] {
        assert_eq!(ask(&client, &filter).await, (200, "\"TEST-1\"".to_owned()), "{filter}");
    }
    let nobody = "azureActiveDirectoryDeviceId%20eq%20'0c9be9b6-1b2f-4c0f-9d4a-000000000001'";
    assert_eq!(ask(&client, nobody).await, (200, String::new()));
    assert_eq!(ask(&client, &format!("azureActiveDirectoryDeviceId%20ne%20'{device}'")).await.0, 400);
    // Where a device shows its object before it is enrolled, it is found by it.
    settings.directory.linked_early = true;
    let client = Client::of(settings).await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-3", "Contoso", "Model 1", ""));
    let shown = client.get(&format!("{DEVICES}/{id}")).await.json;
    let device = shown["azureActiveDirectoryDeviceId"].as_str().unwrap();
    let filter = format!("azureActiveDirectoryDeviceId%20eq%20'{device}'");
    assert_eq!(ask(&client, &filter).await, (200, "\"TEST-3\"".to_owned()));
}
