//! `$batch`: up to twenty requests in one envelope, each with an outcome of
//! its own. Parts that fail for a moment go out again; everything that is
//! put in here is safe to repeat.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::client::{Call, Client, Repeat, json};
use super::error::{About, ErrorKind, GraphError};
use super::pace::Class;
use super::wire;

/// The most parts of an envelope; Graph refuses more.
const PARTS_MAX: usize = 20;

/// One request in an envelope.
pub(super) struct Part {
    pub about: About,
    pub method: &'static str,
    /// Relative to the version: `/deviceManagement/…`.
    pub url: String,
    pub body: Option<serde_json::Value>,
}

/// The body of a part's success; `Null` where there is none.
pub(super) type PartResult = Result<serde_json::Value, GraphError>;

/// Sends all parts and gives back their outcomes in the same order.
pub(super) async fn send(client: &Client, class: Class, parts: &[Part]) -> Vec<PartResult> {
    let mut outcomes: Vec<Option<PartResult>> = Vec::new();
    outcomes.resize_with(parts.len(), || None);
    let mut waiting: Vec<usize> = (0..parts.len()).collect();
    // A part's patience starts with its first envelope, not with the call:
    // thousands of parts take longer than any one may.
    let mut deadlines: Vec<Option<Timestamp>> = vec![None; parts.len()];
    let mut attempt = 0;
    while !waiting.is_empty() {
        attempt += 1;
        let mut again = Vec::new();
        let mut not_before = client.clock.now();
        while !waiting.is_empty() {
            let most = usize::try_from(client.pace(|pace| pace.most(class))).unwrap_or(PARTS_MAX);
            let rest = waiting.split_off(waiting.len().min(most.clamp(1, PARTS_MAX)));
            let envelope = std::mem::replace(&mut waiting, rest);
            let started = client.clock.now() + client.settings.patience;
            for index in &envelope {
                deadlines[*index].get_or_insert(started);
            }
            let answers = send_envelope(client, class, parts, &envelope).await;
            let until = client.clock.now() + learn(client, class, &answers, attempt);
            for (index, answer) in envelope.into_iter().zip(answers) {
                let in_time = deadlines[index].is_some_and(|deadline| until <= deadline);
                if worth_repeating(&answer) && attempt < client.settings.attempts && in_time {
                    again.push(index);
                    not_before = not_before.max(until);
                }
                outcomes[index] = Some(answer.map_err(|failed| failed.error));
            }
        }
        if !again.is_empty() {
            client.clock.sleep_until(not_before).await;
        }
        waiting = again;
    }
    outcomes.into_iter().map(|outcome| outcome.expect("every part was in an envelope")).collect()
}

struct Failed {
    error: GraphError,
    /// The envelope as a whole failed, after all the repeats it was worth.
    whole: bool,
}

fn worth_repeating(answer: &Result<serde_json::Value, Failed>) -> bool {
    answer.as_ref().is_err_and(|failed| !failed.whole && failed.error.is_transient())
}

/// Tells the budget once per envelope, and returns the longest wait that its
/// parts ask for.
fn learn(
    client: &Client,
    class: Class,
    answers: &[Result<serde_json::Value, Failed>],
    attempt: u32,
) -> jiff::SignedDuration {
    let errors = answers.iter().filter(|answer| worth_repeating(answer)).filter_map(|a| a.as_ref().err());
    let worst = errors
        .map(|failed| &failed.error)
        .max_by_key(|error| (error.kind == ErrorKind::Throttled, error.retry_after.unwrap_or_default()));
    worst.map(|error| client.learn(class, error, attempt)).unwrap_or_default()
}

/// Sends one envelope; the outer request is repeated on its own account.
async fn send_envelope(
    client: &Client,
    class: Class,
    parts: &[Part],
    envelope: &[usize],
) -> Vec<Result<serde_json::Value, Failed>> {
    let requests = envelope.iter().map(|index| part_of(&parts[*index], *index)).collect();
    let body = serde_json::to_vec(&wire::BatchRequest { requests }).expect("text and values become JSON");
    let call = Call {
        about: parts[envelope[0]].about,
        method: Method::POST,
        url: format!("{}/v1.0/$batch", client.endpoints.graph),
        route: "/v1.0/$batch",
        body: Bytes::from(body),
        class,
        cost: u32::try_from(envelope.len()).expect("at most twenty"),
        repeat: Repeat::Freely,
    };
    let response: wire::BatchResponse = match client.send(&call, json).await {
        Ok(response) => response,
        Err(error) => {
            return envelope.iter().map(|_| Err(Failed { error: error.clone(), whole: true })).collect();
        }
    };
    let mut answers: HashMap<_, _> = response.responses.into_iter().map(|answer| (answer.id.clone(), answer)).collect();
    let now = client.clock.now();
    let outcome = |index: &usize| {
        let about = parts[*index].about;
        let failed = |error| Failed { error, whole: false };
        match answers.remove(index.to_string().as_str()) {
            Some(answer) => outcome(answer, about, now).map_err(failed),
            None => Err(failed(GraphError::new(ErrorKind::Lost, about, "the batch came back without it"))),
        }
    };
    envelope.iter().map(outcome).collect()
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
