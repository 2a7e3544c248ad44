//! The outside world of these tests: a service that follows a script, and the
//! captures under `tests/fixtures/graph`.

use std::sync::{Arc, Mutex};

use apgit::door::clock::{Clock, Virtual};
use apgit::door::graph::{Auth, Cloud, Graph, GraphWriter, Login};
use apgit::door::model::{RegistrationId, TenantId};
use apgit::door::transport::{Request, Response, Transport, TransportError};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub const GRAPH: &str = "https://graph.microsoft.com";

pub type Answer = Result<Response, TransportError>;
type Rule = Box<dyn FnMut(&Request) -> Answer + Send>;

/// Answers by a rule, and remembers what it was asked and when.
pub struct Script {
    rule: Mutex<Rule>,
    seen: Mutex<Vec<(Timestamp, Request)>>,
    clock: Virtual,
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request) -> Answer {
        self.seen.lock().unwrap().push((self.clock.now(), request.clone()));
        (self.rule.lock().unwrap())(&request)
    }
}

impl Script {
    pub fn new(clock: &Virtual, rule: impl FnMut(&Request) -> Answer + Send + 'static) -> Arc<Self> {
        Arc::new(Self { rule: Mutex::new(Box::new(rule)), seen: Mutex::default(), clock: clock.clone() })
    }

    /// All requests so far, with their times.
    pub fn seen(&self) -> Vec<(Timestamp, Request)> {
        self.seen.lock().unwrap().clone()
    }

    /// Seconds since the start at which Graph (not the login) was asked.
    pub fn times(&self) -> Vec<i64> {
        let of_graph =
            |(at, request): &(Timestamp, Request)| (!is_login(request)).then(|| at.duration_since(start()).as_secs());
        self.seen().iter().filter_map(of_graph).collect()
    }

    pub fn logins(&self) -> usize {
        self.seen().iter().filter(|(_, request)| is_login(request)).count()
    }
}

pub fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

pub fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

pub fn is_login(request: &Request) -> bool {
    request.uri().path().ends_with("/oauth2/v2.0/token")
}

/// A client that signs in with a secret; `rule` answers for Graph.
pub fn graph(mut rule: impl FnMut(&Request) -> Answer + Send + 'static) -> (GraphWriter, Arc<Script>, Virtual) {
    graph_and_login(move |request| if is_login(request) { fixture("token").answer() } else { rule(request) })
}

/// The same; `rule` answers for the login too.
pub fn graph_and_login(rule: impl FnMut(&Request) -> Answer + Send + 'static) -> (GraphWriter, Arc<Script>, Virtual) {
    let clock = Virtual::starting_at(start());
    let script = Script::new(&clock, rule);
    let auth = Auth::ClientSecret { client_id: "app".to_owned(), secret: "a secret".into() };
    let endpoints = Cloud::Global.endpoints();
    let shared = Arc::new(clock.clone());
    let tenant: TenantId = TENANT.parse().unwrap();
    let login = Login::new(auth, tenant, endpoints.clone(), script.clone(), shared.clone());
    let graph = Graph::new(script.clone(), shared, endpoints, Arc::new(login), 1);
    (GraphWriter::new(graph), script, clock)
}

/// A client whose answers are used up one by one; the last one repeats.
pub fn answering(answers: Vec<Answer>) -> (GraphWriter, Arc<Script>, Virtual) {
    let mut left = answers.into_iter().peekable();
    let mut last = None;
    graph(move |_| {
        if let Some(next) = left.next() {
            last = Some(next);
        }
        last.clone().expect("a script has an answer")
    })
}

pub struct Fixture(pub Value);

/// Reads a capture.
pub fn fixture(name: &str) -> Fixture {
    let path = format!("{}/tests/fixtures/graph/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Fixture(serde_json::from_str(&text).unwrap())
}

impl Fixture {
    pub fn body(&self) -> &Value {
        &self.0["body"]
    }

    pub fn answer(&self) -> Answer {
        let status = u16::try_from(self.0["status"].as_u64().unwrap()).unwrap();
        let body = match self.body() {
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        let mut response = http::Response::builder().status(status);
        for (name, value) in self.0["headers"].as_object().into_iter().flatten() {
            response = response.header(name, value.as_str().unwrap());
        }
        Ok(response.body(Bytes::from(body)).unwrap())
    }
}

pub fn ok(body: &Value) -> Answer {
    status(200, &body.to_string())
}

pub fn status(status: u16, body: &str) -> Answer {
    Ok(http::Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap())
}

pub fn with_header(answer: Answer, name: &'static str, value: &str) -> Answer {
    let mut response = answer?;
    response.headers_mut().insert(name, value.parse().unwrap());
    Ok(response)
}

pub fn lost() -> Answer {
    Err(TransportError::Lost { host: "graph.microsoft.com".to_owned(), reason: "reset".to_owned() })
}

pub fn body(request: &Request) -> Value {
    serde_json::from_slice(request.body()).unwrap()
}

pub fn id(number: u32) -> RegistrationId {
    format!("00000000-0000-4000-8000-{number:012}").parse().unwrap()
}

pub fn registration(number: u32) -> Value {
    json!({ "id": id(number).to_string(), "serialNumber": format!("S{number}") })
}

/// A page of registrations, with a link to the next one or none.
pub fn page(numbers: std::ops::Range<u32>, next: Option<&str>) -> Value {
    let mut page = json!({ "value": numbers.map(registration).collect::<Vec<_>>() });
    if let Some(next) = next {
        page["@odata.nextLink"] = json!(next);
    }
    page
}

/// A `$batch` answer made of one answer per part.
pub fn batch(request: &Request, mut part: impl FnMut(&Value) -> Value) -> Answer {
    let parts = body(request)["requests"].as_array().unwrap().clone();
    let answer = |asked: &Value| {
        let mut answer = part(asked);
        answer["id"] = asked["id"].clone();
        answer
    };
    let mut responses: Vec<Value> = parts.iter().map(answer).collect();
    responses.reverse();
    ok(&json!({ "responses": responses }))
}
