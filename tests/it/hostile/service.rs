//! A login and a Graph that answer as a test says, whatever that is.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::{Bounds, Folder, Ran, apgit, at_url, tenant_manifest};

/// The header of an answer that is JSON.
pub const JSON: &str = "Content-Type: application/json\r\n";

/// Answers each request by its path, and closes. It is told its own address.
fn server(answer: impl Fn(&str, &str) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    let own = url.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = serve(stream, &|path: &str| answer(&own, path));
        }
    });
    url
}

fn serve(stream: TcpStream, answer: &impl Fn(&str) -> Vec<u8>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first)?;
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
    reader.into_inner().write_all(&answer(&first))
}

pub fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// JSON that is small on its way.
pub fn gzipped(parts: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    parts.for_each(|part| gzip.write_all(&part).expect("memory can be written"));
    let body = gzip.finish().expect("memory can be written");
    answer(200, &format!("{JSON}Content-Encoding: gzip\r\n"), &body)
}

pub fn token(numbers: &str) -> Vec<u8> {
    let body = format!(r#"{{"token_type": "Bearer", "access_token": "token", {numbers}}}"#);
    answer(200, JSON, body.as_bytes())
}

/// A tenant with these registrations and nothing else.
pub fn tenant_with(registrations: &str) -> String {
    let page = answer(200, JSON, registrations.as_bytes());
    server(move |_, line| match line {
        _ if line.contains("/oauth2/") => token("\"expires_in\": 3600"),
        _ if line.contains("/windowsAutopilotDeviceIdentities") => page.clone(),
        _ if line.contains("Identities") => answer(200, JSON, br#"{"value": []}"#),
        _ => answer(404, JSON, br#"{"error": {"code": "NotFound", "message": "nothing else"}}"#),
    })
}

/// Plans on a server whose token endpoint answers this, and whose Graph that.
pub fn plan(login: Vec<u8>, graph: Vec<u8>) -> Ran {
    plan_within(Bounds::default(), login, move |_, _| graph.clone())
}

/// The same with a Graph that has another answer for each of its pages, from 0,
/// and is told where the next one is.
pub fn plan_within(bounds: Bounds, login: Vec<u8>, page: impl Fn(u64, &str) -> Vec<u8> + Send + 'static) -> Ran {
    let folder = Folder::repository();
    let url = server(move |own, line| {
        if line.contains("/oauth2/") {
            return login.clone();
        }
        let number = line.split_once("page=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok()).unwrap_or(0);
        page(number, &format!("{own}/v1.0/next?page={}", number + 1))
    });
    folder.write("tenant.yaml", tenant_manifest(&at_url(&url)));
    let mut command = apgit(folder.path(), ["plan", ".", "--allow-endpoint", "127.0.0.1"]);
    command.env("XDG_STATE_HOME", folder.at("state")).env("AZURE_CLIENT_SECRET", "a-secret-of-nobody");
    bounds.hold(&mut command)
}
