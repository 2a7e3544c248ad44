//! Tokens, permissions, and what surrounds every answer.

use base64::Engine as _;

use super::*;

#[tokio::test]
async fn a_login_is_refused_the_way_the_login_service_refuses_it() {
    let client = Client::calm().await;
    let error = async |tenant: &str, changes: &[(&str, &str)]| {
        let got = client.token_request(tenant, changes).await;
        let text = got.json["error_description"].as_str().unwrap_or_default().to_owned();
        let code = text.split(':').next().unwrap_or_default().to_owned();
        assert_eq!(format!("AADSTS{}", got.json["error_codes"][0]), code);
        format!("{} {} {code}", got.status, got.json["error"].as_str().unwrap_or_default())
    };
    assert_eq!(error("contoso.com", &[("client_secret", "wrong")]).await, "401 invalid_client AADSTS7000215");
    assert_eq!(error("contoso.com", &[("client_secret", "")]).await, "401 invalid_client AADSTS7000216");
    let scope = [("scope", "https%3A%2F%2Fgraph.microsoft.com%2FUser.Read")];
    assert_eq!(error("contoso.com", &scope).await, "400 invalid_scope AADSTS1002012");
    assert_eq!(error("contoso.com", &[("grant_type", "password")]).await, "400 unsupported_grant_type AADSTS70003");
    assert_eq!(error("common", &[]).await, "400 invalid_request AADSTS50059");
    assert_eq!(error("contoso.com", &[("client_id", "")]).await, "400 invalid_request AADSTS900144");
    let assertion = [("client_secret", ""), ("client_assertion", "not-a-jwt")];
    assert_eq!(error("contoso.com", &assertion).await, "401 invalid_client AADSTS50027");
}

#[tokio::test]
async fn an_assertion_of_the_form_of_a_jwt_logs_in() {
    let client = Client::calm().await;
    let changes = [
        ("client_secret", ""),
        ("client_assertion", "aGVhZA.Ym9keQ.c2ln"),
        ("client_assertion_type", "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"),
    ];
    let got = client.token_request("11111111-2222-3333-4444-555555555555", &changes).await;
    assert_eq!((got.status, got.json["token_type"].as_str()), (200, Some("Bearer")));
    assert_eq!(got.json["expires_in"], 3599);
    client.sim.with(|tenant| {
        assert!(tenant.tenants_seen().contains(&"11111111-2222-3333-4444-555555555555".to_owned()));
        assert!(tenant.issued_tokens().contains(&got.json["access_token"].as_str().unwrap().to_owned()));
        assert_eq!(tenant.counters().token_requests, 2);
    });
}

#[tokio::test]
async fn a_token_reads_as_a_jwt_that_names_app_tenant_roles_and_times() {
    let client = Client::calm().await;
    let app = "11111111-2222-3333-4444-555555555555";
    let claims = async |tenant: &str, changes: &[(&str, &str)]| {
        let got = client.token_request(tenant, changes).await;
        let token = got.json["access_token"].as_str().expect("a token").to_owned();
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3, "{token}");
        let decoded = |part: &str| base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url");
        let read = |part: &str| serde_json::from_slice::<Value>(&decoded(part)).expect("JSON");
        assert_eq!((&read(parts[0])["typ"], &read(parts[0])["alg"]), (&json!("JWT"), &json!("RS256")));
        assert_eq!(decoded(parts[2]).len(), 256, "as long as a signature");
        assert!(!String::from_utf8_lossy(&decoded(parts[1])).contains(sim::CLIENT_SECRET));
        (read(parts[1]), token)
    };
    client.sim.with(|tenant| tenant.set_roles(app, &["DeviceManagementServiceConfig.Read.All"]));
    let named = "99999999-8888-7777-6666-555555555555";
    let (one, _) = claims(named, &[("client_id", app)]).await;
    assert_eq!(one["roles"], json!(["DeviceManagementServiceConfig.Read.All"]));
    assert_eq!((&one["appid"], &one["tid"]), (&json!(app), &json!(named)));
    assert_eq!((&one["iss"], &one["idtyp"]), (&json!(format!("https://sts.windows.net/{named}/")), &json!("app")));
    assert_eq!((&one["aud"], &one["appidacr"]), (&json!("https://graph.microsoft.com"), &json!("1")));
    let (issued, expires) = (one["iat"].as_i64().unwrap(), one["exp"].as_i64().unwrap());
    assert_eq!((issued, expires - issued), (client.sim.with(|tenant| tenant.now().as_second()), 3599));
    let (two, token) = claims("contoso.com", &[("client_id", app)]).await;
    assert_eq!(
        two["tid"],
        json!(client.sim.with(|tenant| tenant.id().to_string())),
        "a domain leads to the tenant's id"
    );
    let (three, other) = claims("contoso.com", &[("client_id", app)]).await;
    assert_eq!(two["oid"], three["oid"], "an app is one principal in a tenant");
    assert_ne!(token, other, "each token is another one");
}

#[tokio::test]
async fn a_token_dies_of_age_and_a_new_one_works() {
    let mut client = Client::calm().await;
    client.wait(seconds(3598)).await;
    assert_eq!(client.get(DEVICES).await.status, 200);
    client.wait(seconds(1)).await;
    let got = client.get(DEVICES).await;
    assert_eq!((got.status, got.json["error"]["code"].as_str()), (401, Some("InvalidAuthenticationToken")));
    client.log_in().await;
    assert_eq!(client.get(DEVICES).await.status, 200);
}

#[tokio::test]
async fn a_token_of_one_cloud_is_nothing_to_another() {
    let mut client = Client::calm().await;
    client.host = "https://graph.microsoft.us";
    assert_eq!(client.get(DEVICES).await.status, 401);
    client.host = "http://127.0.0.1:8800";
    assert_eq!(client.get(DEVICES).await.status, 200, "loopback stands for any cloud");
    client.token = "made-up".to_owned();
    assert_eq!(client.get(DEVICES).await.status, 401);
}

#[tokio::test]
async fn an_app_without_the_permission_is_told_which_one_it_lacks() {
    let client = Client::calm().await;
    let app = "11111111-2222-3333-4444-555555555555";
    client.sim.with(|tenant| tenant.set_roles(app, &["DeviceManagementServiceConfig.Read.All"]));
    assert_eq!(client.get(DEVICES).await.status, 200);
    let got = client.post(SYNC, json!({})).await;
    assert_eq!((got.status, got.json["error"]["code"].as_str()), (403, Some("Forbidden")));
    assert!(got.reason().contains("DeviceManagementServiceConfig.ReadWrite.All"), "{}", got.reason());
    let got = client.get("/v1.0/users/anna.keller@contoso.com").await;
    assert_eq!((got.status, got.json["error"]["code"].as_str()), (403, Some("Authorization_RequestDenied")));
    assert_eq!(client.get("/v1.0/organization").await.status, 403);
}

#[tokio::test]
async fn users_of_the_tenants_domains_exist_and_the_organisation_names_them() {
    let mut settings = Settings::calm();
    settings.set("directory.missing_users=gone@contoso.com").unwrap();
    let client = Client::of(settings).await;
    assert_eq!(client.get("/v1.0/users/anna.keller@contoso.com").await.status, 200);
    assert_eq!(client.get("/v1.0/users/anna.keller%40contoso.com").await.status, 200);
    assert_eq!(client.get("/v1.0/users('Anna.Keller@Contoso.com')").await.status, 200);
    for missing in ["gone@contoso.com", "anna.keller@fabrikam.com"] {
        let got = client.get(&format!("/v1.0/users/{missing}")).await;
        assert_eq!((got.status, got.json["error"]["code"].as_str()), (404, Some("Request_ResourceNotFound")));
    }
    let got = client.get("/v1.0/organization").await;
    let domains = got.json["value"][0]["verifiedDomains"].as_array().unwrap();
    assert_eq!(domains[0]["name"], "contoso.com");
    assert_eq!(domains[0]["isDefault"], true);
}

#[tokio::test]
async fn every_answer_carries_the_service_s_headers() {
    let client = Client::calm().await;
    for path in [DEVICES, "/v1.0/nonsense", SETTINGS] {
        let got = client.get(path).await;
        assert_eq!(got.header("client-request-id"), Some("0c9be9b6-1b2f-4c0f-9d4a-00000000abcd"));
        let request_id: uuid::Uuid = got.header("request-id").unwrap().parse().unwrap();
        assert_ne!(request_id.to_string(), "0c9be9b6-1b2f-4c0f-9d4a-00000000abcd");
        assert_eq!(got.header("date"), Some("Mon, 05 Jan 2026 08:00:00 GMT"));
        let diagnostic: Value = serde_json::from_str(got.header("x-ms-ags-diagnostic").unwrap()).unwrap();
        assert!(diagnostic["ServerInfo"]["ScaleUnit"].is_string());
    }
}

#[tokio::test]
async fn every_answer_tells_the_service_s_time_whatever_became_of_the_request() {
    let client = Client::calm().await;
    client.wait(seconds(3 * 86_400 + 61)).await;
    let tells = |got: &Got| {
        let all: Vec<_> = got.response.headers().get_all("date").iter().collect();
        assert_eq!(all, ["Thu, 08 Jan 2026 08:01:01 GMT"], "{got:?}");
        got.status
    };
    assert_eq!(tells(&client.get(SETTINGS).await), 401, "the token is long dead");
    let got = client.token_request("contoso.com", &[]).await;
    assert_eq!((tells(&got), tells(&client.token_request("common", &[]).await)), (200, 400));
    let client = Client { token: got.json["access_token"].as_str().unwrap().to_owned(), ..client };
    let mishaps = [
        (sim::Mishap::ServerError, 500),
        (sim::Mishap::Unavailable, 503),
        (sim::Mishap::GatewayTimeout, 504),
        (sim::Mishap::Html(502), 502),
        (sim::Mishap::Throttled, 429),
    ];
    for (mishap, status) in mishaps {
        client.sim.with(|tenant| tenant.inject(mishap));
        assert_eq!(tells(&client.get(DEVICES).await), status);
    }
    for (path, status) in [(DEVICES, 200), ("/v1.0/nonsense", 400), ("/beta/$metadata", 200), ("/_sim/counters", 200)] {
        assert_eq!(tells(&client.get(path).await), status);
    }
    let part = json!({"id": "1", "method": "GET", "url": "/organization"});
    assert_eq!(tells(&client.post("/v1.0/$batch", json!({"requests": [part]})).await), 200);
    assert_eq!(tells(&client.post("/_sim/clock", json!({"client": "me"})).await), 200);
}

#[tokio::test]
async fn a_virtual_machine_finds_its_identity() {
    let mut client = Client::calm().await;
    let url = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fgraph.microsoft.com";
    assert_eq!(client.get(url).await.status, 400, "the Metadata header is missing");
    let request = http::Request::get(url).header("Metadata", "true").body(Bytes::new()).unwrap();
    let got = Got::of(client.sim.send(request).await.unwrap());
    client.token = got.json["access_token"].as_str().unwrap().to_owned();
    assert_eq!(client.get(DEVICES).await.status, 200);
}

#[tokio::test]
async fn discovery_documents_point_back_at_the_tenant() {
    let client = Client::calm().await;
    let got = client.get("https://login.example/contoso.com/v2.0/.well-known/openid-configuration").await;
    assert_eq!(got.json["token_endpoint"], "https://login.example/contoso.com/oauth2/v2.0/token");
    let got = client.get("https://login.example/common/discovery/instance?authorization_endpoint=https%3A%2F%2Flogin.example%2Fcontoso.com%2Foauth2%2Fv2.0%2Fauthorize").await;
    let next = got.json["tenant_discovery_endpoint"].as_str().unwrap();
    assert_eq!(next, "https://login.example/contoso.com/v2.0/.well-known/openid-configuration");
}

#[tokio::test]
async fn a_token_for_something_else_is_nothing_to_graph() {
    let mut client = Client::calm().await;
    for (scope, status) in [
        ("https%3A%2F%2Fvault.azure.net%2F.default", 401),
        ("https%3A%2F%2Fgraph.microsoft.us%2F.default", 401),
        ("https%3A%2F%2Fgraph.microsoft.com%2F.default", 200),
        ("00000003-0000-0000-c000-000000000000%2F.default", 200),
        ("http%3A%2F%2F127.0.0.1%3A8800%2F.default", 200),
    ] {
        let got = client.token_request("contoso.com", &[("scope", scope)]).await;
        client.token = got.json["access_token"].as_str().expect("a token").to_owned();
        assert_eq!(client.get(DEVICES).await.status, status, "{scope}");
    }
}

#[tokio::test]
async fn an_app_may_name_itself_in_a_header() {
    let client = Client::calm().await;
    let token = async |secret: &str| {
        let basic = STANDARD.encode(format!("me:{secret}"));
        let request = http::Request::post("https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token")
            .header("authorization", format!("Basic {basic}"))
            .body(Bytes::from("grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"));
        Got::of(client.sim.send(request.unwrap()).await.unwrap())
    };
    assert_eq!(token(sim::CLIENT_SECRET).await.status, 200);
    assert_eq!(token("wrong").await.json["error_codes"], json!([7_000_215]));
}
