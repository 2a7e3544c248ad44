//! The simulated tenant, driven through `Transport` on a virtual clock. Each
//! test shows one rule of the service; the client here is a few lines of HTTP
//! on purpose, so that no mistake of our Graph client can hide one.

use apgit::door::clock::{Clock as _, Virtual};
use apgit::door::sim::{self, InProcess, Settings, Switch, Tenant};
use apgit::door::transport::{Response, Transport as _, TransportError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use jiff::SignedDuration;
use serde_json::{Value, json};

mod command;
mod door;
mod faults;
mod fixtures;
mod hands;
mod imports;
mod keeping;
mod leaving;
mod login;
mod neighbours;
mod over_http;
mod reading;
mod rules;
mod schema;
mod secure;
mod several;
mod soak;
mod strangers;
mod syncing;
mod witness;
mod writing;

pub const DEVICES: &str = "/v1.0/deviceManagement/windowsAutopilotDeviceIdentities";
pub const IMPORTS: &str = "/v1.0/deviceManagement/importedWindowsAutopilotDeviceIdentities";
pub const IMPORT: &str = "/v1.0/deviceManagement/importedWindowsAutopilotDeviceIdentities/import";
pub const SETTINGS: &str = "/beta/deviceManagement/windowsAutopilotSettings";
pub const SYNC: &str = "/beta/deviceManagement/windowsAutopilotSettings/sync";

/// A made-up device: what its hash says.
#[derive(Clone, Copy)]
pub struct Made<'a> {
    pub serial: &'a str,
    pub tpm: Option<u8>,
    pub board: u8,
    pub captured: u8,
}

/// The hash of the device with this serial; other serials, other boards.
pub fn hash(serial: &str) -> String {
    let board = serial.bytes().fold(7u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) | 1;
    Made { serial, tpm: None, board, captured: 1 }.hash()
}

impl Made<'_> {
    /// Base64 of a container with the few records that tell devices apart,
    /// padded to 3000 bytes.
    pub fn hash(self) -> String {
        let mut body = Vec::new();
        let mut record = |kind: u16, value: &[u8]| {
            body.extend(kind.to_le_bytes());
            body.extend(u16::try_from(value.len() + 4).unwrap().to_le_bytes());
            body.extend(value);
        };
        record(1, &[self.captured; 24]);
        if let Some(tpm) = self.tpm {
            let head: &[u8] = &[0, 0, 0, 0, 1, 0, 32, 0, 0, 0];
            record(11, &[head, &[tpm; 32]].concat());
        }
        // The serial is in the board id too, so that every serial is a board.
        let digest = ring::digest::digest(&ring::digest::SHA256, format!("{}|{}", self.serial, self.board).as_bytes());
        record(12, &digest.as_ref()[..16]);
        record(14, format!("{}\0", self.serial).as_bytes());
        record(16, b"Contoso\0");
        record(17, b"Model 1\0");
        let mut bytes = b"OA".to_vec();
        bytes.extend(u16::try_from(body.len() + 4).unwrap().to_le_bytes());
        bytes.extend(body);
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        bytes.extend(b"CS\x24\x00");
        bytes.extend(digest.as_ref());
        bytes.resize(3000, 0);
        STANDARD.encode(bytes)
    }
}

/// A stranger with a token.
pub struct Client {
    pub sim: InProcess,
    pub clock: Virtual,
    pub token: String,
    pub host: &'static str,
}

/// What came back.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub json: Value,
    pub response: Response,
}

impl Got {
    fn of(response: Response) -> Self {
        let json = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
        Self { status: response.status().as_u16(), json, response }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// Intune's own error inside Graph's.
    pub fn inner(&self) -> Value {
        let message = self.json["error"]["message"].as_str().expect("an error has a message");
        serde_json::from_str(message).expect("the message is JSON text")
    }

    /// The part of Intune's message that is for people.
    pub fn reason(&self) -> String {
        let message = self.inner()["Message"].as_str().unwrap_or_default().to_owned();
        message.split(" - ").next().unwrap_or_default().to_owned()
    }
}

pub fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

impl Client {
    pub async fn calm() -> Self {
        Self::of(Settings::calm()).await
    }

    pub async fn of(settings: Settings) -> Self {
        Self::with_seed(settings, 1).await
    }

    pub async fn with_seed(settings: Settings, seed: u64) -> Self {
        Self::on(Tenant::new(settings, seed, sim::EPOCH)).await
    }

    pub async fn on(tenant: Tenant) -> Self {
        let clock = Virtual::starting_at(sim::EPOCH);
        let sim = InProcess::new(tenant, clock.clone());
        let mut client = Self { sim, clock, token: String::new(), host: "https://graph.microsoft.com" };
        client.log_in().await;
        client
    }

    pub async fn log_in(&mut self) {
        for _ in 0..50 {
            let got = self.token_request("contoso.com", &[]).await;
            if got.status == 200 {
                self.token = got.json["access_token"].as_str().unwrap().to_owned();
                return;
            }
        }
        panic!("fifty token requests in a row were refused");
    }

    /// A token request with the usual fields, but for those given.
    pub async fn token_request(&self, tenant: &str, changes: &[(&str, &str)]) -> Got {
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_id", "11111111-2222-3333-4444-555555555555"),
            ("client_secret", sim::CLIENT_SECRET),
            ("scope", "https%3A%2F%2Fgraph.microsoft.com%2F.default"),
        ];
        for (name, value) in changes {
            fields.retain(|(other, _)| other != name);
            fields.push((name, value));
        }
        let form: Vec<String> = fields
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = http::Request::post(format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(form.join("&")))
            .unwrap();
        Got::of(self.sim.send(request).await.unwrap())
    }

    pub async fn try_send(&self, method: Method, path: &str, body: &str) -> Result<Got, TransportError> {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.host) };
        let request = http::Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {}", self.token))
            .header("client-request-id", "0c9be9b6-1b2f-4c0f-9d4a-00000000abcd")
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_owned()))
            .unwrap();
        self.sim.send(request).await.map(Got::of)
    }

    pub async fn send(&self, method: Method, path: &str, body: &str) -> Got {
        self.try_send(method, path, body).await.expect("the connection holds")
    }

    pub async fn get(&self, path: &str) -> Got {
        self.send(Method::GET, path, "").await
    }

    pub async fn post(&self, path: &str, body: Value) -> Got {
        self.send(Method::POST, path, &body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Got {
        self.send(Method::DELETE, path, "").await
    }

    pub async fn wait(&self, span: SignedDuration) {
        self.clock.sleep_until(self.clock.now() + span).await;
    }

    /// Imports rows in one call; the ids of their records.
    pub async fn import(&self, rows: Value) -> Vec<String> {
        let got = self.post(IMPORT, json!({"importedWindowsAutopilotDeviceIdentities": rows})).await;
        assert_eq!(got.status, 200, "{}", got.json);
        let records = got.json["value"].as_array().unwrap().iter();
        records.map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Imports one device and waits for its registration to be readable.
    pub async fn registered(&self, serial: &str) -> String {
        let ids = self.import(json!([{"serialNumber": serial, "hardwareIdentifier": hash(serial)}])).await;
        self.wait(seconds(1200)).await;
        let state = self.import_state(&ids[0]).await;
        assert_eq!(state["deviceImportStatus"], "complete", "{state}");
        state["deviceRegistrationId"].as_str().unwrap().to_owned()
    }

    pub async fn import_state(&self, id: &str) -> Value {
        let got = self.get(&format!("{IMPORTS}/{id}")).await;
        assert_eq!(got.status, 200, "{}", got.json);
        got.json["state"].clone()
    }

    /// `code name` of a row that ended in an error, `complete` otherwise.
    pub async fn outcome(&self, id: &str) -> String {
        let state = self.import_state(id).await;
        match state["deviceImportStatus"].as_str().unwrap() {
            "error" => format!("{} {}", state["deviceErrorCode"], state["deviceErrorName"].as_str().unwrap()),
            other => other.to_owned(),
        }
    }

    /// Every registration in the list, following the pages.
    pub async fn list(&self, version: &str) -> Vec<Value> {
        let mut url = format!("/{version}/deviceManagement/windowsAutopilotDeviceIdentities");
        let mut all = Vec::new();
        loop {
            let got = self.get(&url).await;
            assert_eq!(got.status, 200, "{}", got.json);
            all.extend(got.json["value"].as_array().unwrap().iter().cloned());
            match got.json["@odata.nextLink"].as_str() {
                Some(next) => url = next.to_owned(),
                None => return all,
            }
        }
    }
}

#[tokio::test]
async fn a_device_is_imported_and_can_then_be_read_and_listed() {
    let client = Client::calm().await;
    let id = client.registered("TEST-1").await;
    let got = client.get(&format!("{DEVICES}/{id}")).await;
    assert_eq!((got.status, got.json["serialNumber"].as_str()), (200, Some("TEST-1")));
    let list = client.list("v1.0").await;
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["id"], id.as_str());
    assert_eq!(client.sim.with(|tenant| tenant.counters().listings.len()), 1);
}

#[tokio::test]
async fn a_tenant_that_was_saved_has_the_same_future() {
    let client = Client::of(Settings::hostile().switched(Switch::LostUpdates)).await;
    let rows: Vec<Value> = (0..40)
        .map(|n| {
            let serial = format!("TEST-{n}");
            json!({"serialNumber": serial, "hardwareIdentifier": hash(&serial)})
        })
        .collect();
    let _ = client
        .try_send(Method::POST, IMPORT, &json!({"importedWindowsAutopilotDeviceIdentities": rows}).to_string())
        .await;
    client.wait(seconds(40)).await;
    let saved = client.sim.with(|tenant| tenant.save());
    let copy = Client {
        sim: InProcess::new(Tenant::load(&saved).unwrap(), Virtual::starting_at(sim::EPOCH)),
        clock: client.clock.clone(),
        token: client.token.clone(),
        host: client.host,
    };
    let copy = Client { clock: copy.sim.clock(), ..copy };
    for _ in 0..60 {
        for path in [DEVICES, IMPORTS, SETTINGS] {
            let (one, other) =
                (client.try_send(Method::GET, path, "").await, copy.try_send(Method::GET, path, "").await);
            match (one, other) {
                (Ok(one), Ok(other)) => {
                    assert_eq!((one.status, &one.response.body()), (other.status, &other.response.body()));
                }
                (one, other) => assert_eq!(one.is_err(), other.is_err()),
            }
        }
        client.wait(seconds(17)).await;
        copy.wait(seconds(17)).await;
    }
    let ends = |client: &Client| client.sim.with(|tenant| tenant.save());
    assert_eq!(ends(&client), ends(&copy));
    assert!(!client.sim.with(|tenant| tenant.registrations()).is_empty(), "something happened meanwhile");
}

#[tokio::test]
async fn a_saved_tenant_holds_no_hash() {
    let client = Client::calm().await;
    client.registered("TEST-1").await;
    client.import(json!([{"serialNumber": "TEST-2", "hardwareIdentifier": hash("TEST-2")}])).await;
    let saved = client.sim.with(|tenant| tenant.save());
    for serial in ["TEST-1", "TEST-2"] {
        let hash = hash(serial);
        let informative = &hash[..hash.trim_end_matches(['A', '=']).len()];
        for window in informative.as_bytes().windows(24) {
            let window = std::str::from_utf8(window).unwrap();
            assert!(!saved.contains(window), "a piece of a hash is in the state");
        }
    }
    assert!(saved.contains("TEST-2"), "the search looked at the right text");
}

#[tokio::test]
async fn a_request_may_take_virtual_time() {
    let mut settings = Settings::calm();
    settings.set("wire.latency=250ms").unwrap();
    let client = Client::of(settings).await;
    for _ in 0..8 {
        client.get(SETTINGS).await;
    }
    let login = 1;
    assert_eq!(client.clock.now(), sim::EPOCH + SignedDuration::from_millis(250 * (8 + login)));
}

#[tokio::test]
async fn the_clock_route_in_process_jumps_at_once() {
    let client = Client::calm().await;
    let body = json!({"client": "me", "until": "2026-01-05T09:00:00Z"});
    let got = client.post("http://127.0.0.1:8800/_sim/clock", body).await;
    assert_eq!(got.json, json!({"now": "2026-01-05T09:00:00Z", "speed": 0.0}));
    assert_eq!(client.clock.now(), sim::EPOCH + seconds(3600));
}

#[tokio::test]
async fn what_others_do_to_a_tenant_can_be_done_by_request() {
    let client = Client::calm().await;
    let deed = async |name: &str, body: Value| {
        let got = client.post(&format!("http://127.0.0.1:8800/_sim/{name}"), body).await;
        (got.status, got.json)
    };
    let id = client.registered("TEST-1").await;
    assert_eq!(deed("tag", json!({"id": id, "groupTag": "BY-HAND"})).await.0, 200);
    assert_eq!(deed("user", json!({"id": id, "user": "anna.keller@contoso.com"})).await.0, 200);
    assert_eq!(deed("enrol", json!({"id": id})).await.0, 200);
    let seen = client.get(&format!("{DEVICES}/{id}")).await.json;
    assert_eq!((seen["groupTag"].as_str(), seen["enrollmentState"].as_str()), (Some("BY-HAND"), Some("enrolled")));
    assert_eq!(seen["userPrincipalName"], "anna.keller@contoso.com");

    deed("inject", json!({"mishap": {"html": 502}})).await;
    assert_eq!(client.get(DEVICES).await.status, 502);
    deed(
        "inject",
        json!({"mishap": "conflict", "method": "POST", "route": "deviceManagement/windowsAutopilotSettings/sync"}),
    )
    .await;
    assert_eq!((client.get(DEVICES).await.status, client.post(SYNC, json!({})).await.status), (200, 412));

    let vendor = json!({"serial": "V-1", "manufacturer": "Contoso", "model": "Model 1"});
    assert!(deed("vendor", vendor).await.1["id"].is_string());
    assert_eq!(deed("remove", json!({"id": id})).await.0, 200);
    assert_eq!(client.get(&format!("{DEVICES}/{id}")).await.status, 404);
    let (status, error) = deed("remove", json!({"id": id})).await;
    assert_eq!(status, 400);
    assert_eq!(error["error"]["message"], format!("there is no registration `{id}`"));
    assert_eq!(deed("nonsense", json!({})).await.0, 400);
}
