//! TLS, the proxy and compression: what a client sees that knows nothing of
//! the simulator but an authority and, perhaps, a proxy.

use apgit::door::sim::{Certificates, MICROSOFT_HOSTS, Server, Shared, Speed};
use tokio::sync::oneshot;

use super::*;

/// A running tenant and how to reach it.
struct Running {
    plain: String,
    secure: String,
    authority: reqwest::Certificate,
    tenant: Shared,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(is_proxy: bool) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut tenant = Tenant::new(Settings::calm(), 1, sim::EPOCH);
        tenant.add_devices(1001);
        let certificates = Certificates::generate().unwrap();
        let authority = reqwest::Certificate::from_pem(certificates.authority_pem().as_bytes()).unwrap();
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), tenant, Speed::Instant).await.unwrap();
        let server = server.with_tls(certificates);
        let server = if is_proxy { server.as_proxy() } else { server };
        let (stop, stopped) = oneshot::channel();
        let (plain, secure, tenant) = (server.url(), server.secure_url().unwrap(), server.tenant());
        let task = tokio::spawn(async move { server.run(async { drop(stopped.await) }).await.unwrap() });
        Self { plain, secure, authority, tenant, stop, task }
    }

    /// A client that trusts the authority and nobody else.
    fn client(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder().no_proxy().tls_certs_only([self.authority.clone()])
    }

    fn through_proxy(&self) -> reqwest::Client {
        self.client().proxy(reqwest::Proxy::all(&self.plain).unwrap()).build().unwrap()
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap();
    }
}

async fn token(client: &reqwest::Client, login: &str) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "me"),
        ("client_secret", sim::CLIENT_SECRET),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let response = client.post(format!("{login}/contoso.com/oauth2/v2.0/token")).form(&form).send().await.unwrap();
    let got: Value = response.json().await.unwrap();
    got["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn one_port_speaks_tls_and_plain_http() {
    let running = Running::start(false).await;
    let client = running.client().build().unwrap();
    let token = token(&client, &running.secure).await;
    for base in [&running.secure, &running.plain] {
        let request = client.get(format!("{base}{DEVICES}?$top=2")).bearer_auth(&token);
        let got: Value = request.send().await.unwrap().json().await.unwrap();
        let next = got["@odata.nextLink"].as_str().unwrap();
        assert!(next.starts_with(base.as_str()), "the next page is where this one was: {next}");
        assert_eq!(got["value"].as_array().unwrap().len(), 2);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_authority_is_not_served() {
    let running = Running::start(false).await;
    let stranger = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    assert!(stranger.get(format!("{}{DEVICES}", running.secure)).send().await.unwrap_err().is_connect());
    assert_eq!(running.tenant.with(|tenant| tenant.counters().calls_by("GET")), 0);
    running.stop().await;
}

#[tokio::test]
async fn every_host_of_microsofts_clouds_is_served_through_the_proxy() {
    let running = Running::start(true).await;
    let client = running.through_proxy();
    for host in MICROSOFT_HOSTS {
        let url = format!("https://{host}/contoso.com/v2.0/.well-known/openid-configuration");
        let got: Value = client.get(url).send().await.unwrap().json().await.unwrap();
        assert!(got["token_endpoint"].as_str().unwrap().starts_with(&format!("https://{host}/contoso.com/")), "{got}");
    }
    let token = token(&client, "https://login.microsoftonline.com").await;
    let url = format!("https://graph.microsoft.com{DEVICES}");
    let got: Value = client.get(&url).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    let next = got["@odata.nextLink"].as_str().unwrap();
    assert!(next.starts_with(&format!("{url}?$skiptoken=")), "{next}");
    let rest: Value = client.get(next).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    assert_eq!(rest["value"].as_array().unwrap().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn the_proxy_leads_nowhere_else() {
    let running = Running::start(true).await;
    let client = running.through_proxy();
    for host in ["example.com", "graph.microsoft.com.example.com", "10.0.0.1"] {
        assert!(client.get(format!("https://{host}/")).send().await.unwrap_err().is_connect(), "{host}");
        assert_eq!(client.get(format!("http://{host}/")).send().await.unwrap().status(), 403, "{host}");
    }
    running.stop().await;
    let no_proxy = Running::start(false).await;
    let refused = no_proxy.through_proxy().get("https://graph.microsoft.com/").send().await;
    assert!(refused.unwrap_err().is_connect(), "only with `as_proxy`");
    no_proxy.stop().await;
}

#[tokio::test]
async fn answers_are_compressed_for_clients_that_take_it_and_chunked_for_all() {
    let running = Running::start(false).await;
    let client = running.client().no_gzip().build().unwrap();
    let token = token(&client, &running.secure).await;
    let get = async |encodings: &str| {
        let request = client.get(format!("{}{DEVICES}", running.plain)).bearer_auth(&token);
        let response = request.header("accept-encoding", encodings).send().await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (encoding, transfer) = (header("content-encoding"), header("transfer-encoding"));
        assert_eq!(transfer.as_deref(), Some("chunked"));
        (encoding, response.bytes().await.unwrap())
    };
    let (encoding, plain) = get("identity").await;
    assert_eq!(encoding, None);
    for refusing in ["br", "gzip;q=0", ""] {
        assert_eq!(get(refusing).await.0, None, "{refusing}");
    }
    let (encoding, small) = get("deflate, gzip").await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert!(small.len() * 5 < plain.len(), "{} of {}", small.len(), plain.len());
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&small[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
    running.stop().await;
}

#[tokio::test]
async fn a_login_host_vouches_for_the_hosts_that_it_knows() {
    let client = Client::calm().await;
    let discover = async |origin: &str, asked: &str| {
        let url = format!(
            "{origin}/common/discovery/instance?api-version=1.1&authorization_endpoint={asked}/contoso.com/oauth2/v2.0/authorize"
        );
        client.get(&url).await
    };
    let own = discover("https://login.microsoftonline.com", "https://login.microsoftonline.com").await;
    assert_eq!(
        own.json["tenant_discovery_endpoint"],
        "https://login.microsoftonline.com/contoso.com/v2.0/.well-known/openid-configuration"
    );
    assert!(own.json["metadata"].to_string().contains("sts.windows.net"));
    let foreign = discover("https://login.microsoftonline.com", "https://127.0.0.1:8800").await;
    assert_eq!((foreign.status, foreign.json["error"].as_str()), (400, Some("invalid_instance")));
    let local = discover("https://127.0.0.1:8800", "https://127.0.0.1:8800").await;
    assert_eq!(local.status, 200);
    assert!(local.json["metadata"].to_string().contains("127.0.0.1:8800"));

    let common = client.token_request("common", &[]).await;
    assert_eq!(common.json["error_codes"], json!([50059]), "no tenant, no token");
    let document = client.get("https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration").await;
    assert_eq!(document.json["issuer"], "https://login.microsoftonline.com/{tenantid}/v2.0");
}
