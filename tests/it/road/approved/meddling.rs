//! A way to the tenant on which others meddle, and a process that may die at
//! any step. It keeps what the tenant answered, for the judge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use apgit::door::clock::Clock as _;
use apgit::door::ledger::{JournalError, JournalStore};
use apgit::door::model::{HardwareHash, HashDigest};
use apgit::door::sim::InProcess;
use apgit::door::transport::{Request, Response, Transport, TransportError};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use super::super::scene::Kept;
use super::hands::Portal;

/// A registration as the tenant showed it to a reader by id.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Timestamp,
    pub enrolled: bool,
    body: Value,
}

impl Seen {
    /// A field by its name in Graph; `""` is nothing.
    pub fn value(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }
}

/// What went over the wire in all runs of a story. Clones share it.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<Traffic>>);

#[derive(Default)]
struct Traffic {
    seen: HashMap<Uuid, Vec<Seen>>,
    rows: Vec<(String, HashDigest)>,
}

impl Wire {
    /// What the tenant showed of a registration, last before a time.
    pub fn last_seen(&self, id: Uuid, before: Timestamp) -> Option<Seen> {
        self.0.lock().unwrap().seen.get(&id)?.iter().rfind(|seen| seen.at <= before).cloned()
    }

    /// The hashes that were sent in rows of this import id.
    pub fn hashes(&self, import_id: &str) -> Vec<HashDigest> {
        let rows = &self.0.lock().unwrap().rows;
        rows.iter().filter(|(id, _)| id == import_id).map(|(_, digest)| *digest).collect()
    }

    fn note(&self, at: Timestamp, asked: &[(String, Uuid)], answer: &Response) {
        let Ok(answer) = serde_json::from_slice::<Value>(answer.body()) else { return };
        let mut traffic = self.0.lock().unwrap();
        for part in answer["responses"].as_array().into_iter().flatten() {
            let of = asked.iter().find(|(name, _)| part["id"] == name.as_str());
            if let Some((_, id)) = of.filter(|_| part["status"] == 200) {
                let body = part["body"].clone();
                let enrolled = body["enrollmentState"] == "enrolled"
                    || body["managedDeviceId"].as_str().is_some_and(|id| id != Uuid::nil().to_string());
                traffic.seen.entry(*id).or_default().push(Seen { at, enrolled, body });
            }
        }
    }

    fn note_rows(&self, request: &Request) {
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let mut traffic = self.0.lock().unwrap();
        for row in body["importedWindowsAutopilotDeviceIdentities"].as_array().unwrap() {
            let bytes = STANDARD.decode(row["hardwareIdentifier"].as_str().unwrap()).unwrap();
            let id = row["importId"].as_str().unwrap().to_owned();
            traffic.rows.push((id, HardwareHash::from_bytes(bytes).digest()));
        }
    }
}

/// Whoever is between a process and its tenant. Clones are the same.
#[derive(Clone)]
pub struct Meddling {
    sim: InProcess,
    wire: Wire,
    death: Arc<Notify>,
    state: Arc<Mutex<State>>,
}

struct State {
    portal: Portal,
    rng: Rng,
    /// How often somebody does something before a request.
    share: f64,
    /// At which step the process is gone, and whether before it, within it or
    /// after it.
    dies_at: Option<(usize, u8)>,
    step: usize,
}

enum Step {
    Whole,
    Before,
    Within,
}

impl Meddling {
    /// Nobody does anything.
    pub fn none(sim: &InProcess, wire: &Wire) -> Self {
        Self::new(sim, wire, Portal::new(1), Rng::with_seed(0))
    }

    /// Nobody does anything yet.
    pub fn new(sim: &InProcess, wire: &Wire, portal: Portal, rng: Rng) -> Self {
        let state = State { portal, rng, share: 0.0, dies_at: None, step: 0 };
        Self { sim: sim.clone(), wire: wire.clone(), death: Arc::default(), state: Arc::new(Mutex::new(state)) }
    }

    /// Somebody does something before this share of all requests.
    pub fn often(self, share: f64) -> Self {
        self.state.lock().unwrap().share = share;
        self
    }

    /// The process is gone at this step: before it, within it or after it.
    pub fn dying_at(self, step: Option<(usize, u8)>) -> Self {
        self.state.lock().unwrap().dies_at = step;
        self
    }

    /// Returns when the process is gone.
    pub async fn death(&self) {
        self.death.notified().await;
    }

    fn step(&self) -> Step {
        let mut state = self.state.lock().unwrap();
        let step = state.step;
        state.step += 1;
        match state.dies_at {
            Some((at, 0)) if at == step => Step::Before,
            Some((at, 1)) if at == step => Step::Within,
            Some((at, 2)) if at + 1 == step => Step::Before,
            _ => Step::Whole,
        }
    }

    async fn die(&self) -> ! {
        self.death.notify_one();
        std::future::pending().await
    }

    fn meddle(&self) {
        let State { portal, rng, share, .. } = &mut *self.state.lock().unwrap();
        if rng.f64() < *share {
            self.sim.with(|tenant| portal.deed(tenant, rng));
        }
    }
}

/// The registrations that an envelope reads, by the names of its parts.
fn asked(request: &Request) -> Vec<(String, Uuid)> {
    if !request.uri().path().ends_with("$batch") {
        return Vec::new();
    }
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    let reads = |part: &Value| {
        let id = part["url"].as_str()?.strip_prefix("/deviceManagement/windowsAutopilotDeviceIdentities/")?;
        (part["method"] == "GET").then_some((part["id"].as_str()?.to_owned(), id.parse().ok()?))
    };
    body["requests"].as_array().into_iter().flatten().filter_map(reads).collect()
}

#[async_trait]
impl Transport for Meddling {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let step = self.step();
        if matches!(step, Step::Before) {
            self.die().await;
        }
        self.meddle();
        if request.uri().path().ends_with("/import") {
            self.wire.note_rows(&request);
        }
        let asked = asked(&request);
        let answer = self.sim.send(request).await;
        if matches!(step, Step::Within) {
            self.die().await;
        }
        if let Ok(answer) = &answer
            && !asked.is_empty()
        {
            self.wire.note(self.sim.clock().now(), &asked, answer);
        }
        answer
    }
}

/// The journal of a process that may die.
pub struct Mortal(Kept, Meddling);

impl Mortal {
    pub fn new(kept: Kept, meddling: Meddling) -> Self {
        Self(kept, meddling)
    }
}

#[async_trait]
impl JournalStore for Mortal {
    async fn read(&mut self) -> Result<Vec<String>, JournalError> {
        self.0.read().await
    }

    async fn append(&mut self, lines: &[String]) -> Result<(), JournalError> {
        match self.1.step() {
            Step::Whole => self.0.append(lines).await,
            Step::Before => self.1.die().await,
            Step::Within => {
                self.0.append(&lines[..lines.len() / 2]).await?;
                self.1.die().await
            }
        }
    }

    async fn replace(&mut self, lines: &[String]) -> Result<(), JournalError> {
        self.0.replace(lines).await
    }
}
