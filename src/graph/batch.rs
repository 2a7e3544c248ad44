//! `$batch`: up to twenty requests in one envelope, each with an outcome of
//! its own. Parts that fail for a moment go out again, as far as each allows.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::{SignedDuration, Timestamp};

use super::client::{Call, Client, Repeat, json};
use super::error::{About, ErrorKind, GraphError};
use super::pace::Class;
use super::wire;
use crate::model::later;

/// The most parts of an envelope; Graph refuses more.
const PARTS_MAX: usize = 20;

/// One request in an envelope.
pub(super) struct Part {
    pub about: About,
    pub method: &'static str,
    /// Relative to the version: `/deviceManagement/…`.
    pub url: String,
    pub body: Option<serde_json::Value>,
    pub repeat: Repeat,
}

/// The body of a part's success; `Null` where there is none.
pub(super) type PartResult = Result<serde_json::Value, GraphError>;

/// Where envelopes go: all parts of one are of its version.
pub(super) const BATCH: &str = "/v1.0/$batch";
pub(super) const BATCH_BETA: &str = "/beta/$batch";

/// Sends all parts and gives back their outcomes in the same order. After
/// `send_before` none goes out, a first time or again.
pub(super) async fn send(
    client: &Client,
    route: &'static str,
    class: Class,
    parts: &[Part],
    send_before: Option<Timestamp>,
) -> Vec<PartResult> {
    let mut tries: Vec<Try> = parts.iter().map(|_| Try::default()).collect();
    let mut waiting: Vec<usize> = (0..parts.len()).collect();
    let mut attempt = 0;
    while !waiting.is_empty() {
        attempt += 1;
        let mut again = Vec::new();
        let mut not_before = client.clock.now();
        while !waiting.is_empty() {
            let most = usize::try_from(client.pace(|pace| pace.most(class))).unwrap_or(PARTS_MAX);
            let rest = waiting.split_off(waiting.len().min(most.clamp(1, PARTS_MAX)));
            let envelope = std::mem::replace(&mut waiting, rest);
            let patience = later(client.clock.now(), client.settings.patience);
            let deadline = send_before.map_or(patience, |before| before.min(patience));
            let answers = match send_envelope(client, route, class, parts, &envelope, send_before).await {
                Ok(answers) => answers,
                Err(error) => {
                    // It was worth all the repeats that a request is worth, so
                    // the next envelope would fare no better. One that was not
                    // repeated, because of what it may have done, says less.
                    let is_tried = repeat(parts, &envelope) == Repeat::Freely || !error.effect_is_unknown();
                    let rest = if is_tried && stops_all(error.kind) { waiting.split_off(0) } else { Vec::new() };
                    for index in envelope.into_iter().chain(rest) {
                        tries[index].answered(Err(error.clone()));
                    }
                    continue;
                }
            };
            let until = later(client.clock.now(), learn(client, class, &answers, attempt));
            for (index, answer) in envelope.into_iter().zip(answers) {
                let part = &mut tries[index];
                let deadline = *part.deadline.get_or_insert(deadline);
                part.failures += u32::from(answer.as_ref().is_err_and(|e| e.kind != ErrorKind::Throttled));
                let repeat = answer.as_ref().is_err_and(|error| parts[index].repeat.allows(error));
                if repeat && part.failures < client.settings.attempts && until <= deadline {
                    again.push(index);
                    not_before = not_before.max(until);
                }
                part.answered(answer);
            }
        }
        if let Some(first) = again.first()
            && let Err(stopped) = client.wait(not_before, parts[*first].about).await
        {
            // What they were answered stands; they are not sent again.
            tracing::debug!(%stopped, parts = again.len(), "not sent again");
            break;
        }
        waiting = again;
    }
    tries.into_iter().map(|part| part.outcome.expect("every part was in an envelope")).collect()
}

/// How far a part has come.
#[derive(Default)]
struct Try {
    outcome: Option<PartResult>,
    failures: u32,
    /// A part's patience starts with its first envelope, not with the call:
    /// thousands of parts take longer than any one may.
    deadline: Option<Timestamp>,
}

impl Try {
    /// Keeps that an earlier attempt may have had its effect.
    fn answered(&mut self, answer: PartResult) {
        let is_unknown = matches!(&self.outcome, Some(Err(error)) if error.effect_is_unknown());
        self.outcome = Some(answer.map_err(|error| if is_unknown { error.after_unknown() } else { error }));
    }
}

/// True for failures of an envelope that say nothing about its parts.
fn stops_all(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Refused | ErrorKind::NotFound | ErrorKind::Protocol | ErrorKind::Oversized)
}

/// How an envelope may be repeated: as any of its parts may.
fn repeat(parts: &[Part], envelope: &[usize]) -> Repeat {
    let is_free = envelope.iter().all(|index| parts[*index].repeat == Repeat::Freely);
    if is_free { Repeat::Freely } else { Repeat::BeforeEffect }
}

/// Tells the budget once per envelope, and returns the longest wait that its
/// parts ask for.
fn learn(client: &Client, class: Class, answers: &[PartResult], attempt: u32) -> SignedDuration {
    let errors = answers.iter().filter_map(|answer| answer.as_ref().err()).filter(|error| error.is_transient());
    let worst = errors.max_by_key(|error| (error.kind == ErrorKind::Throttled, error.retry_after.unwrap_or_default()));
    worst.map(|error| client.learn(class, error, attempt)).unwrap_or_default()
}

/// Sends one envelope; the outer request is repeated on its own account.
async fn send_envelope(
    client: &Client,
    route: &'static str,
    class: Class,
    parts: &[Part],
    envelope: &[usize],
    send_before: Option<Timestamp>,
) -> Result<Vec<PartResult>, GraphError> {
    let requests = envelope.iter().map(|index| part_of(&parts[*index], *index)).collect();
    let body = serde_json::to_vec(&wire::BatchRequest { requests }).expect("text and values become JSON");
    let call = Call {
        about: parts[envelope[0]].about,
        method: Method::POST,
        url: format!("{}{route}", client.endpoints.graph),
        route,
        body: Bytes::from(body),
        class,
        cost: u32::try_from(envelope.len()).expect("at most twenty"),
        repeat: repeat(parts, envelope),
        send_before,
    };
    let response: wire::BatchResponse = client.send(&call, json).await?;
    let mut answers: HashMap<_, _> = response.responses.into_iter().map(|answer| (answer.id.clone(), answer)).collect();
    let now = client.service_now();
    let outcome = |index: &usize| {
        let about = parts[*index].about;
        match answers.remove(index.to_string().as_str()) {
            Some(answer) => outcome(answer, about, now),
            None => Err(GraphError::new(ErrorKind::Lost, about, "the batch came back without it")),
        }
    };
    Ok(envelope.iter().map(outcome).collect())
}

fn part_of(part: &Part, index: usize) -> wire::BatchPart<'_> {
    let content_type = part.body.as_ref().map(|_| ("Content-Type", "application/json"));
    wire::BatchPart {
        id: index.to_string(),
        method: part.method,
        url: &part.url,
        headers: BTreeMap::from_iter(content_type),
        body: part.body.as_ref(),
    }
}

fn outcome(answer: wire::BatchAnswer, about: About, now: Timestamp) -> PartResult {
    let body = answer.body.unwrap_or_default();
    if (200..300).contains(&answer.status) {
        return Ok(body);
    }
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers.unwrap_or_default() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), text.parse::<HeaderValue>()) {
            headers.insert(name, value);
        }
    }
    let text = match &body {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        body => body.to_string(),
    };
    Err(GraphError::of_answer(answer.status, &headers, text.as_bytes(), about, now))
}
