//! Graph's answers: status, headers and body of each, in the order in which
//! they are given; the last one is given again and again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use apgit::door::clock::{Clock as _, Virtual};
use apgit::door::graph::{Auth, Cloud, Fields, Graph, GraphError, GraphWriter, ImportRow, Login, Write};
use apgit::door::model::{
    DirectoryDeviceId, DirectoryObjectId, HardwareHash, ImportId, ImportRecordId, ManagedDeviceId, RegistrationId,
};
use apgit::door::transport::{Request, Response, Transport, TransportError};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::run::Target;
use crate::secret::{MACHINES, plain, silent};
use crate::seeds::captures;

/// Between answers.
const NEXT: &str = "\n%%\n";

const OPERATIONS: [&str; 14] = [
    "list",
    "imports",
    "settings",
    "organization",
    "users",
    "get",
    "import",
    "update",
    "remove",
    "deregister",
    "intune",
    "entra",
    "sync",
    "login",
];

/// What must never be said. No seed has them, so no answer can.
const TOKEN: &str = "token~of~ours~that~no~answer~brings";
const SECRET: &str = "secret~of~ours~that~no~answer~brings";

const START: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// Answers as a text tells, and counts.
struct Script {
    answers: Mutex<VecDeque<Result<Response, TransportError>>>,
    asked: AtomicUsize,
    /// True if the login is one of the answers.
    logs_in: bool,
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(asked <= REQUESTS_MAX, "{asked} requests, and no end");
        let host = request.uri().host().unwrap_or_default();
        assert!(host == "graph.microsoft.com" || host == "login.microsoftonline.com", "a request goes to `{host}`");
        if request.uri().path().ends_with("/oauth2/v2.0/token") && !self.logs_in {
            let body = format!(r#"{{"token_type": "Bearer", "expires_in": 3599, "access_token": "{TOKEN}"}}"#);
            return Ok(Response::new(Bytes::from(body)));
        }
        let mut answers = self.answers.lock().expect("no holder of this lock panics");
        if answers.len() > 1 {
            return answers.pop_front().expect("there is one");
        }
        answers[0].clone()
    }
}

/// Ten minutes of patience, a second apart at least, for each of the few
/// requests of an operation.
const REQUESTS_MAX: usize = 5_000;

/// `200`, headers, an empty line, the body; or `lost`.
fn answer(text: &[u8]) -> Result<Response, TransportError> {
    let (head, body) = match text.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&text[..end], &text[end + 2..]),
        None => (text, &b""[..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().unwrap_or_default();
    if status == b"lost" {
        return Err(TransportError::Lost { host: "graph.microsoft.com".to_owned(), reason: "reset".to_owned() });
    }
    let mut response = Response::new(Bytes::copy_from_slice(body));
    *response.status_mut() = http::StatusCode::from_bytes(status).unwrap_or_default();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = http::HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = http::HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.windows(NEXT.len()).position(|window| window == NEXT.as_bytes()) {
        parts.push(&rest[..end]);
        rest = &rest[end + NEXT.len()..];
    }
    parts.push(rest);
    parts
}

/// Every capture under the operation that it is of, and chains of pages.
fn scripts() -> Vec<Vec<u8>> {
    let captures: Vec<(String, String)> = captures()
        .into_iter()
        .filter(|(_, capture)| capture["status"].is_u64())
        .map(|(name, capture)| {
            let headers = capture["headers"].as_object().into_iter().flatten();
            let headers: String =
                headers.map(|(name, value)| format!("\n{name}: {}", value.as_str().unwrap_or_default())).collect();
            let body = capture["body"].as_str().map_or_else(|| capture["body"].to_string(), str::to_owned);
            (name, format!("{}{headers}\n\n{body}", capture["status"]))
        })
        .collect();
    let of = |name: &str| captures.iter().find(|(other, _)| other == name).expect("a capture").1.clone();
    let page = |from: u32, next: &str| {
        let link = format!(
            "https://graph.microsoft.com/v1.0/deviceManagement/windowsAutopilotDeviceIdentities?$skiptoken={next}"
        );
        let item =
            |n| format!(r#"{{"id": "00000000-0000-4000-8000-{n:012}", "serialNumber": "S{n}", "groupTag": "A"}}"#);
        let items: Vec<String> = (from..from + 3).map(item).collect();
        let link = if next.is_empty() { String::new() } else { format!(r#", "@odata.nextLink": "{link}""#) };
        format!("200\ndate: Thu, 01 Jan 2026 00:00:00 GMT\n\n{{\"value\": [{}]{link}}}", items.join(", "))
    };
    let (list, imports, batch, error) =
        (of("registrations-list"), of("imports-list"), of("batch"), of("error-throttled"));
    let mut scripts = vec![
        format!("list{NEXT}{list}"),
        format!("list{NEXT}{}", of("registration-sparse")),
        format!("list{NEXT}{}{NEXT}{}{NEXT}{}", page(0, "a"), page(3, "b"), page(6, "")),
        format!("list{NEXT}{}{NEXT}{error}{NEXT}lost{NEXT}{}", page(0, "a"), page(3, "")),
        format!("imports{NEXT}{imports}"),
        format!("settings{NEXT}{}", of("settings")),
        format!("organization{NEXT}{}", of("organization")),
        format!("users{NEXT}{batch}"),
        format!("get{NEXT}{batch}"),
        format!("import{NEXT}{}", of("import-action")),
        format!("update{NEXT}{batch}"),
        format!("remove{NEXT}{batch}"),
        format!("deregister{NEXT}{batch}"),
        format!("intune{NEXT}{}{NEXT}{}", of("registration-get"), page(0, "a")),
        format!("entra{NEXT}{}{NEXT}{}", of("registration-get"), page(0, "")),
        format!("sync{NEXT}204\n\n"),
        format!("login{NEXT}{}{NEXT}{list}", of("token")),
        format!("login{NEXT}{}", of("token-error")),
    ];
    let errors = captures.iter().filter(|(name, _)| name.starts_with("error-"));
    for (at, (_, error)) in errors.enumerate() {
        let operation = OPERATIONS[at % OPERATIONS.len()];
        scripts.push(format!("{operation}{NEXT}{error}{NEXT}{list}"));
        scripts.push(format!("import{NEXT}{error}"));
    }
    scripts.into_iter().map(String::into_bytes).collect()
}

fn registrations() -> Vec<RegistrationId> {
    let id = |number| format!("00000000-0000-4000-8000-{number:012}").parse().expect("an id");
    (1..4).map(id).collect()
}

/// Carries one operation out, and gives back what failed of it.
async fn carry_out(operation: &[u8], writer: &GraphWriter) -> Vec<GraphError> {
    let failed = |result: Result<(), GraphError>| result.err().into_iter().collect::<Vec<_>>();
    let all = |results: Vec<Result<(), GraphError>>| results.into_iter().filter_map(Result::err).collect();
    match operation {
        b"imports" => failed(writer.list_imports().await.map(drop)),
        b"settings" => failed(writer.sync_state().await.map(drop)),
        b"organization" => failed(writer.organization().await.map(drop)),
        b"users" => {
            let users: Vec<String> = ["anna", "b/../?", "c"].map(|name| format!("{name}@contoso.com")).into();
            failed(writer.users_exist(&users).await.map(|known| assert_eq!(known.len(), users.len())))
        }
        b"get" => {
            let ids = registrations();
            let answers = writer.get_devices(&ids).await;
            assert_eq!(answers.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
            for (id, answer) in &answers {
                if let Ok(Some(device)) = answer {
                    assert_eq!(device.id, *id, "another registration passes for this one");
                }
            }
            answers.into_iter().filter_map(|(_, answer)| answer.err()).collect()
        }
        b"import" => {
            let hashes: Vec<HardwareHash> = MACHINES.iter().map(|machine| machine.hash()).collect();
            let rows: Vec<ImportRow<'_>> = MACHINES
                .iter()
                .zip(hashes)
                .map(|(machine, hash)| ImportRow {
                    serial: machine.serial().expect("it has one"),
                    hash,
                    group_tag: Some("OSL"),
                    user: None,
                    import_id: ImportId(Uuid::from_u128(7)),
                })
                .collect();
            failed(writer.import(&rows).await.map(drop))
        }
        b"update" => {
            let fields = Fields { group_tag: Some("OSL".into()), ..Fields::default() };
            let write = |id| Write::Update { id, fields: fields.clone() };
            all(writer.write(&registrations().into_iter().map(write).collect::<Vec<_>>(), None).await)
        }
        b"remove" => {
            let write = |id: RegistrationId| Write::DeleteImport { record: ImportRecordId(id.0) };
            all(writer.write(&registrations().into_iter().map(write).collect::<Vec<_>>(), None).await)
        }
        b"deregister" => {
            let write = |id: RegistrationId| Write::Deregister { id };
            all(writer.write(&registrations().into_iter().map(write).collect::<Vec<_>>(), None).await)
        }
        b"intune" => {
            let id = ManagedDeviceId(Uuid::from_u128(7));
            let serial = MACHINES[0].serial().expect("it has one");
            let read = writer.managed_device(id).await.map(|device| {
                assert!(device.is_none_or(|device| device.id == id), "another device passes for this one");
            });
            all(vec![read, writer.managed_devices_of(serial).await.map(drop), writer.delete_managed_device(id).await])
        }
        b"entra" => {
            let id = DirectoryDeviceId(Uuid::from_u128(7));
            let registration = registrations()[0];
            let read = writer.directory_device(id).await.map(|device| {
                assert!(device.is_none_or(|device| device.id == Some(id)), "another device passes for this one");
            });
            let found = writer.directory_devices_of(registration).await.map(drop);
            all(vec![read, found, writer.delete_directory_device(DirectoryObjectId(id.0)).await])
        }
        b"sync" => failed(writer.sync().await),
        _ => failed(writer.list_devices().await.map(|observed| {
            let mut ids: Vec<_> = observed.devices().iter().map(|device| device.id).collect();
            ids.sort_unstable();
            assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "a registration is listed twice");
        })),
    }
}

#[test]
fn an_operation_ends_with_a_value_or_an_error_whatever_graph_answers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    Target { name: "graph", seeds: scripts(), cases: 1_000 }.holds(|bytes| {
        let parts = split(bytes);
        let (operation, answers) = parts.split_first().expect("a split has a part");
        let mut answers: VecDeque<_> = answers.iter().map(|text| answer(text)).collect();
        if answers.is_empty() {
            answers.push_back(answer(b"204"));
        }
        let logs_in = *operation == b"login";
        let script = Arc::new(Script { answers: Mutex::new(answers), asked: AtomicUsize::new(0), logs_in });
        let clock = Virtual::starting_at(START);
        let auth = Auth::ClientSecret { client_id: "app".to_owned(), secret: SECRET.into() };
        let tenant = "11111111-2222-3333-4444-555555555555".parse().expect("a GUID");
        let (endpoints, shared) = (Cloud::Global.endpoints(), Arc::new(clock.clone()));
        let login = Login::new(auth, tenant, endpoints.clone(), script.clone(), shared.clone());
        let graph = Graph::new(script.clone(), shared, endpoints, Arc::new(login), 1);
        let errors = runtime.block_on(carry_out(operation, &GraphWriter::new(graph)));
        for error in errors {
            // As whoever shows it does.
            plain(&apgit::door::model::seen(&error.to_string()));
            let all = format!("{error} {error:?}");
            silent(&all);
            assert!(!all.contains(TOKEN) && !all.contains(SECRET), "{all}");
        }
        let took = clock.now().duration_since(START);
        assert!(took < SignedDuration::from_hours(12), "it waits for {took}");
    });
}
