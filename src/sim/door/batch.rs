//! `$batch`: up to twenty requests in one envelope, each with an outcome of
//! its own.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Method, header};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::{Call, Version};
use super::errors::Problem;
use super::routes::Target;
use crate::sim::state::Tenant;
use crate::transport::Request;

impl Tenant {
    /// The envelope is refused only for its form; afterwards it is 200
    /// whatever becomes of its parts.
    pub(super) fn batch(&mut self, call: &Call<'_>) -> Result<Answer, Problem> {
        let bad = |message: String| Problem::plain(400, "BadRequest", message);
        let body = call.json()?;
        let mut parts = body["requests"].as_array().cloned().unwrap_or_default();
        if parts.is_empty() {
            return Err(bad("Invalid batch payload format.".to_owned()));
        }
        if parts.len() > self.settings.batch.parts_max {
            return Err(bad(format!(
                "Number of batch request steps exceeds the maximum value of {}.",
                self.settings.batch.parts_max
            )));
        }
        let mut ids = BTreeSet::new();
        // Numbers pass for ids, as some clients write them.
        for part in &mut parts {
            if let Some(number) = part["id"].as_u64() {
                part["id"] = number.to_string().into();
            }
        }
        for part in &parts {
            let id = part["id"].as_str().unwrap_or_default();
            if id.is_empty() || !part["method"].is_string() || !part["url"].is_string() {
                return Err(bad("Invalid batch payload format.".to_owned()));
            }
            if !ids.insert(id.to_lowercase()) {
                return Err(bad(format!("Request Id '{id}' has duplicated in the batch request.")));
            }
        }
        let depends_on = |part: &Value| -> Vec<String> {
            let names = part["dependsOn"].as_array().cloned().unwrap_or_default();
            names.iter().filter_map(Value::as_str).map(str::to_lowercase).collect()
        };
        if let Some(missing) = parts.iter().flat_map(depends_on).find(|id| !ids.contains(id)) {
            return Err(bad(format!("Request '{missing}' that another depends on is not in the batch.")));
        }

        let mut statuses: BTreeMap<String, u16> = BTreeMap::new();
        let mut answers = Vec::with_capacity(parts.len());
        let mut waiting = parts;
        while !waiting.is_empty() {
            // Parts run once everything they wait for has run.
            let (ready, blocked): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|part| depends_on(part).iter().all(|id| statuses.contains_key(id)));
            if ready.is_empty() {
                return Err(bad("The dependencies of the batch form a circle.".to_owned()));
            }
            for part in ready {
                let id = part["id"].as_str().unwrap_or_default().to_owned();
                let failed = depends_on(&part).iter().any(|other| statuses.get(other).is_some_and(|s| *s >= 400));
                let answer = if failed { failed_dependency(call) } else { self.batch_part(call, &part) };
                statuses.insert(id.to_lowercase(), answer.status);
                answers.push(part_json(&id, &answer));
            }
            waiting = blocked;
        }
        if self.settings.batch.shuffled {
            for at in (1..answers.len()).rev() {
                let other = self.random.below("batch order", at + 1);
                answers.swap(at, other);
            }
        }
        Ok(Answer::json(200, &json!({"responses": answers})))
    }

    fn batch_part(&mut self, envelope: &Call<'_>, part: &Value) -> Answer {
        let request = match part_request(envelope, part) {
            Ok(request) => request,
            Err(problem) => return Answer::refused(envelope, &problem),
        };
        let mut call = Call::read(&request, self.random.uuid("request id"), self.now);
        call.in_batch = true;
        if let Target::Batch = Target::of(&call) {
            return Answer::refused(&call, &Problem::plain(400, "BadRequest", "A batch cannot hold a batch."));
        }
        // Mishaps of a part always have an answer; the connection is the
        // envelope's.
        self.answer(&mut call).unwrap_or_else(|| {
            Answer::refused(&call, &Problem::plain(504, "GatewayTimeout", "The gateway did not answer in time."))
        })
    }
}

fn part_request(envelope: &Call<'_>, part: &Value) -> Result<Request, Problem> {
    let bad = |message: &str| Problem::plain(400, "BadRequest", message);
    let method = part["method"].as_str().unwrap_or_default().to_uppercase();
    let url = part["url"].as_str().unwrap_or_default();
    if url.contains("://") {
        return Err(bad("Invalid batch item URL: it must be relative."));
    }
    let version = envelope.version.unwrap_or(Version::V1).as_str();
    let mut request = http::Request::builder()
        .method(method.parse::<Method>().map_err(|_| bad("Invalid batch item method."))?)
        .uri(format!("{}/{version}/{}", envelope.origin, url.trim_start_matches('/')));
    let mut has_content_type = false;
    for (name, value) in part["headers"].as_object().cloned().unwrap_or_default() {
        has_content_type |= name.eq_ignore_ascii_case("content-type");
        if let Some(value) = value.as_str() {
            request = request.header(name, value);
        }
    }
    if let Some(token) = envelope.headers.get(header::AUTHORIZATION) {
        request = request.header(header::AUTHORIZATION, token);
    }
    let body = match &part["body"] {
        Value::Null => Bytes::new(),
        _ if !has_content_type => {
            let id = part["id"].as_str().unwrap_or_default();
            return Err(bad(&format!("Write request with id '{id}' does not contain a Content-Type header.")));
        }
        body => Bytes::from(body.to_string()),
    };
    request.body(body).map_err(|_| bad("Invalid batch item URL."))
}

fn failed_dependency(call: &Call<'_>) -> Answer {
    Answer::refused(call, &Problem::plain(424, "FailedDependency", "A request that this one depends on has failed."))
}

fn part_json(id: &str, answer: &Answer) -> Value {
    let mut headers = Map::new();
    if !answer.content_type.is_empty() {
        headers.insert("Content-Type".to_owned(), answer.content_type.into());
    }
    if let Some(header) = &answer.sign_in {
        headers.insert("WWW-Authenticate".to_owned(), header.as_str().into());
    }
    if let Some(seconds) = answer.retry_after_s {
        headers.insert("Retry-After".to_owned(), seconds.to_string().into());
    }
    let body = match answer.body.as_slice() {
        [] => Value::Null,
        body => serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into()),
    };
    let mut part = json!({"id": id, "status": answer.status, "headers": headers});
    if !body.is_null() {
        part["body"] = body;
    }
    part
}
