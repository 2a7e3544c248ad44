//! Every way to sign in, against login endpoints that follow a script.

use std::ffi::OsStr;
use std::process::{ExitStatus, Output};
use std::sync::Arc;

use apgit::door::clock::{Clock, Virtual};
use apgit::door::graph::{Auth, Cloud, Credential, Endpoints, ErrorKind, Graph, Login, LoginError};
use apgit::door::transport::{Request, TransportError};
use async_trait::async_trait;
use azure_identity::Executor;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::support::{Answer, Script, TENANT, fixture, is_login, ok, page, seconds, start, status, with_header};

const OTHER_TENANT: &str = "99999999-2222-3333-4444-555555555555";

fn login_at(auth: Auth, endpoints: Endpoints, script: &Arc<Script>, clock: &Virtual) -> Login {
    Login::new(auth, TENANT.parse().unwrap(), endpoints, script.clone(), Arc::new(clock.clone()))
}

fn login(auth: Auth, rule: impl FnMut(&Request) -> Answer + Send + 'static) -> (Login, Arc<Script>, Virtual) {
    let clock = Virtual::starting_at(start());
    let script = Script::new(&clock, rule);
    (login_at(auth, Cloud::Global.endpoints(), &script, &clock), script, clock)
}

fn secret() -> Auth {
    Auth::ClientSecret { client_id: "app".to_owned(), secret: "hunter2 & more".into() }
}

async fn token(login: &Login) -> Result<String, LoginError> {
    login.token().await.map(|token| token.expose_secret().to_owned())
}

/// The fields of a form.
fn form(request: &Request) -> Vec<(String, String)> {
    let url = format!("http://localhost/?{}", String::from_utf8_lossy(request.body()));
    let url = reqwest::Url::parse(&url).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn field(request: &Request, name: &str) -> String {
    form(request).into_iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name}")).1
}

/// A token that can be looked into, with these claims.
fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "none"})), part(claims))
}

fn granting(token: &str, expires_in: u32) -> Answer {
    ok(&json!({"token_type": "Bearer", "expires_in": expires_in, "access_token": token}))
}

#[tokio::test]
async fn a_client_secret_becomes_a_token() {
    let (login, script, _) = login(secret(), |_| fixture("token").answer());
    assert_eq!(token(&login).await.unwrap(), "opaque-token-of-a-fixture");
    let (_, request) = &script.seen()[0];
    let url = request.uri().to_string();
    assert_eq!(url, format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(field(request, "grant_type"), "client_credentials");
    assert_eq!(field(request, "client_secret"), "hunter2 & more");
    assert_eq!(field(request, "scope"), "https://graph.microsoft.com/.default");
    assert!(request.headers()["user-agent"].to_str().unwrap().starts_with("apgit/"));
    assert!(!format!("{login:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_simulated_tenant_on_loopback_is_its_own_login() {
    let clock = Virtual::starting_at(start());
    let script = Script::new(&clock, |_| fixture("token").answer());
    let base = "http://127.0.0.1:8800";
    let endpoints = Endpoints::custom(base, base, &[]).unwrap();
    token(&login_at(secret(), endpoints, &script, &clock)).await.unwrap();
    let (_, request) = &script.seen()[0];
    assert_eq!(request.uri().to_string(), format!("{base}/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(field(request, "scope"), "http://127.0.0.1:8800/.default");
}

#[tokio::test]
async fn a_token_lasts_as_long_as_our_clock_says() {
    let mut number = 0;
    let (login, script, clock) = login(secret(), move |_| {
        number += 1;
        granting(&format!("t{number}"), 3599)
    });
    assert_eq!(token(&login).await.unwrap(), "t1");
    clock.advance_to(start() + seconds(3200));
    assert_eq!(token(&login).await.unwrap(), "t1");
    clock.advance_to(start() + seconds(3300));
    assert_eq!(token(&login).await.unwrap(), "t2", "five minutes before the end it is replaced");
    login.forget().await;
    assert_eq!(token(&login).await.unwrap(), "t3");
    assert_eq!(script.logins(), 3);
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let (login, script, _) = login(secret(), |_| fixture("token-error").answer());
    let error = token(&login).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Auth);
    assert_eq!(
        error.message,
        "AADSTS7000215: Invalid client secret provided (the client secret is wrong: use its value, not its id), \
         trace id 50000000-0000-4000-8000-000000000001, correlation id 50000000-0000-4000-8000-000000000002"
    );
    assert_eq!(script.logins(), 1, "a refusal is not repeated");
}

#[tokio::test]
async fn a_login_that_fails_for_a_moment_is_tried_again() {
    let lost = || Err(TransportError::Lost { host: "login".to_owned(), reason: "reset".to_owned() });
    let throttled = || with_header(status(429, "{}"), "retry-after", "9");
    let mut answers = vec![fixture("token").answer(), throttled(), status(503, "<html>"), lost()];
    let (retried, script, clock) = login(secret(), move |_| answers.pop().unwrap());
    assert!(token(&retried).await.is_ok());
    assert_eq!((script.logins(), clock.now()), (4, start() + seconds(2 + 4 + 9)));

    let (down, script, _) = login(secret(), |_| status(503, "<html>"));
    let error = token(&down).await.unwrap_err();
    assert_eq!((error.kind, script.logins()), (ErrorKind::Server, 4));
    assert_eq!(error.message, "`login.microsoftonline.com` answers 503");
}

#[tokio::test]
async fn a_token_for_another_tenant_stops_before_the_first_reading() {
    let clock = Virtual::starting_at(start());
    let script = Script::new(&clock, |request| {
        if is_login(request) { granting(&jwt(&json!({"tid": OTHER_TENANT})), 3599) } else { ok(&page(0..1, None)) }
    });
    let login = login_at(secret(), Cloud::Global.endpoints(), &script, &clock);
    let graph = Graph::new(script.clone(), Arc::new(clock), Cloud::Global.endpoints(), Arc::new(login), 1);
    let error = graph.list_devices().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TenantMismatch);
    let text = error.to_string();
    assert!(text.contains(OTHER_TENANT) && text.contains(TENANT), "{text}");
    assert_eq!((graph.calls(), script.logins()), (0, 1));
}

#[tokio::test]
async fn a_token_for_the_declared_tenant_is_good() {
    let claims = json!({"tid": TENANT, "roles": ["DeviceManagementServiceConfig.ReadWrite.All"]});
    let good = jwt(&claims);
    let expected = good.clone();
    let (login, _, _) = login(secret(), move |_| granting(&good, 3599));
    assert_eq!(token(&login).await.unwrap(), expected);
}

fn pem() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/login/certificate-and-key.pem");
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_certificate_signs_an_assertion() {
    let auth = Auth::Certificate { client_id: "app".to_owned(), pem: pem().into() };
    let (login, script, _) = login(auth, |_| fixture("token").answer());
    token(&login).await.unwrap();
    let (_, request) = &script.seen()[0];
    assert_eq!(field(request, "client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let assertion = field(request, "client_assertion");
    let parts: Vec<&str> = assertion.split('.').collect();
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let header: Value = serde_json::from_slice(&decoded(parts[0])).unwrap();
    let claims: Value = serde_json::from_slice(&decoded(parts[1])).unwrap();
    assert_eq!(header["alg"], "RS256");
    assert_eq!(decoded(header["x5t#S256"].as_str().unwrap()).len(), 32);
    assert_eq!(claims["aud"], format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"));
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("app"), &json!("app")));
    let now = start().as_second();
    assert_eq!((&claims["nbf"], &claims["exp"]), (&json!(now), &json!(now + 600)));

    let PrivateKeyDer::Pkcs8(key) = PrivateKeyDer::from_pem_slice(pem().as_bytes()).unwrap() else { panic!("PKCS#8") };
    let key = ring::signature::RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    let public = ring::signature::RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
    let message = format!("{}.{}", parts[0], parts[1]);
    let verified = public.verify(&ring::signature::RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &decoded(parts[2]));
    assert!(verified.is_ok(), "the signature is of this key over this assertion");
}

#[tokio::test]
async fn a_pem_file_that_cannot_sign_is_explained() {
    let text = pem();
    let certificate_only = &text[..text.find("-----BEGIN PRIVATE").unwrap()];
    for (pem, expected) in
        [("hello", "has no certificate"), (certificate_only, "has no private key without a password")]
    {
        let auth = Auth::Certificate { client_id: "app".to_owned(), pem: pem.into() };
        let (login, script, _) = login(auth, |_| fixture("token").answer());
        let error = token(&login).await.unwrap_err();
        assert!(error.message.contains(expected), "{error}");
        assert_eq!(script.logins(), 0);
    }
}

#[tokio::test]
async fn a_token_file_is_read_anew_for_each_sign_in() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let [first, second] = [1, 2].map(|number| jwt(&json!({"jti": number})));
    std::fs::write(file.path(), format!("{first}\n")).unwrap();
    let auth = Auth::WorkloadIdentityFile { client_id: "app".to_owned(), token_file: file.path().to_owned() };
    let (login, script, _) = login(auth, |_| fixture("token").answer());
    token(&login).await.unwrap();
    std::fs::write(file.path(), &second).unwrap();
    login.forget().await;
    token(&login).await.unwrap();
    let sent: Vec<_> = script.seen().iter().map(|(_, request)| field(request, "client_assertion")).collect();
    assert_eq!(sent, [first, second]);
}

#[tokio::test]
async fn a_missing_token_file_is_named() {
    let auth = Auth::WorkloadIdentityFile { client_id: "app".to_owned(), token_file: "/nowhere/token".into() };
    let (login, _, _) = login(auth, |_| fixture("token").answer());
    let error = token(&login).await.unwrap_err();
    assert!(error.message.contains("/nowhere/token"), "{error}");
}

#[tokio::test]
async fn what_is_no_token_is_not_sent() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in ["", "a secret of another kind", "a.b.c", "e30.e30", "e30.e30.c2ln.c2ln", "bnVsbA.e30.c2ln"] {
        std::fs::write(file.path(), text).unwrap();
        let auth = Auth::WorkloadIdentityFile { client_id: "app".to_owned(), token_file: file.path().to_owned() };
        let (login, script, _) = login(auth, |_| fixture("token").answer());
        let error = token(&login).await.unwrap_err();
        assert!(error.message.contains("this is no token"), "{text}: {error}");
        assert_eq!(script.seen().len(), 0, "{text}");
    }
}

fn github(url: &str) -> Auth {
    Auth::GitHubOidc {
        client_id: "app".to_owned(),
        request_url: url.to_owned(),
        request_token: "workflow-token".into(),
    }
}

#[tokio::test]
async fn a_github_workflow_signs_in_with_its_own_token() {
    let url = "https://pipelines.actions.githubusercontent.com/abc/idtoken?api-version=2.0";
    let (login, script, _) = login(github(url), |request| {
        if is_login(request) { fixture("token").answer() } else { ok(&json!({"value": "github-id-token"})) }
    });
    token(&login).await.unwrap();
    let [(_, asked), (_, exchanged)] = &script.seen()[..] else { panic!("two requests") };
    assert_eq!(asked.uri().to_string(), format!("{url}&audience=api%3A%2F%2FAzureADTokenExchange"));
    assert_eq!(asked.headers()["authorization"], "Bearer workflow-token");
    assert_eq!(field(exchanged, "client_assertion"), "github-id-token");
}

#[tokio::test]
async fn a_workflows_token_goes_to_github_only() {
    let url = "https://evil.example/idtoken";
    let (refused, script, _) = login(github(url), |_| ok(&json!({"value": "x"})));
    let error = token(&refused).await.unwrap_err();
    assert_eq!((error.kind, script.seen().len()), (ErrorKind::Endpoint, 0));
    assert!(error.message.contains("--allow-endpoint evil.example"), "{error}");

    let (named, script, _) = login(github("https://ghes.contoso.com/idtoken"), |request| {
        if is_login(request) { fixture("token").answer() } else { ok(&json!({"value": "x"})) }
    });
    token(&named.allowing(&["ghes.contoso.com".to_owned()])).await.unwrap();
    assert_eq!(script.seen().len(), 2);
}

#[tokio::test]
async fn a_github_refusal_is_explained() {
    let url = "https://pipelines.actions.githubusercontent.com/abc/idtoken?x=1";
    let (login, _, _) = login(github(url), |_| status(403, ""));
    let error = token(&login).await.unwrap_err();
    assert_eq!(error.message, "`pipelines.actions.githubusercontent.com` answers 403");
}

#[tokio::test]
async fn a_managed_identity_asks_the_machine() {
    let auth = Auth::ManagedIdentity { client_id: Some("33333333-2222-3333-4444-555555555555".to_owned()) };
    let expires_on = (jiff::Timestamp::now() + seconds(3600)).as_second().to_string();
    let (login, script, clock) = login(auth, move |_| {
        ok(&json!({
            "access_token": "machine-token", "expires_on": expires_on, "token_type": "Bearer",
            "resource": "https://graph.microsoft.com",
        }))
    });
    assert_eq!(token(&login).await.unwrap(), "machine-token");
    let (_, request) = &script.seen()[0];
    let url = request.uri().to_string();
    assert!(url.starts_with("http://169.254.169.254/metadata/identity/oauth2/token?"), "{url}");
    assert!(url.contains("resource=https%3A%2F%2Fgraph.microsoft.com"), "{url}");
    assert!(url.contains("client_id=33333333"), "{url}");
    assert_eq!(request.headers()["metadata"], "true");
    clock.advance_to(start() + seconds(3000));
    token(&login).await.unwrap();
    assert_eq!(script.seen().len(), 1, "the token is remembered");
}

#[tokio::test]
async fn a_machine_without_an_identity_fails_soon() {
    let auth = Auth::ManagedIdentity { client_id: None };
    let (login, script, clock) = login(auth, |_| {
        Err(TransportError::Connect { host: "169.254.169.254".to_owned(), reason: "timed out".to_owned() })
    });
    let error = token(&login).await.unwrap_err();
    assert!(error.message.contains("is this an Azure machine with a managed identity?"), "{error}");
    assert_eq!(script.seen().len(), 4, "the library's own retries are off");
    assert_eq!(clock.now(), start() + seconds(2 + 4 + 8), "and it waits by our clock");
}

#[derive(Debug)]
struct Az(Value);

#[async_trait]
impl Executor for Az {
    async fn run(&self, _: &OsStr, args: &[&OsStr]) -> std::io::Result<Output> {
        let line = args.last().unwrap().to_string_lossy();
        let expected = format!(
            "az account get-access-token -o json --scope https://graph.microsoft.com/.default --tenant {TENANT}"
        );
        assert!(line.contains(&expected), "{line}");
        Ok(Output { status: ExitStatus::default(), stdout: self.0.to_string().into_bytes(), stderr: Vec::new() })
    }
}

fn az(token: &str) -> Arc<Az> {
    let expires_on = (jiff::Timestamp::now() + seconds(3600)).as_second();
    Arc::new(Az(json!({"accessToken": token, "expires_on": expires_on, "tokenType": "Bearer"})))
}

#[tokio::test]
async fn the_azure_cli_serves_service_principals_only() {
    let of_app = jwt(&json!({"tid": TENANT, "roles": ["x"]}));
    let (app, script, _) = login(Auth::AzureCli, |_| status(500, ""));
    assert_eq!(token(&app.running_commands_with(az(&of_app))).await.unwrap(), of_app);

    let (person, _, _) = login(Auth::AzureCli, |_| status(500, ""));
    let of_person = jwt(&json!({"tid": TENANT, "scp": "User.Read"}));
    let error = token(&person.running_commands_with(az(&of_person))).await.unwrap_err();
    assert!(error.message.contains("az login --service-principal"), "{error}");
    assert!(script.seen().is_empty());
}
