//! `apgit status --serve` as a process of its own, ended with the test; and one
//! question to it, over a bare socket, so that nothing is said that was not written
//! here.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Ran, terminate};

pub struct Page {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Such as `127.0.0.1:8810`.
    pub host: String,
}

/// What was answered.
pub struct Answer {
    pub status: u16,
    /// As it came, names in small letters.
    pub head: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// One question, and its answer.
    #[track_caller]
    pub fn of(host: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(host).expect("it answers");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("it listens");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer in UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer of HTTP");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
        let head = lines.filter_map(|line| line.split_once(": "));
        let head: Vec<(String, String)> =
            head.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        assert!(!head.iter().any(|(name, _)| name == "transfer-encoding"), "it comes in one piece");
        Self { status, head, body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.head.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value)
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Page {
    /// Starts the command, which serves a page, and waits until all tenants were
    /// read, or tried.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the page starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut first = String::new();
        stdout.read_line(&mut first).expect("it can be read");
        let host = first.trim().strip_prefix("http://").map(|rest| rest.trim_end_matches('/').to_owned());
        let page = Self { child, stdout, host: host.unwrap_or_else(|| panic!("it says where it is: {first}")) };
        page.eventually("it was read", |site| {
            let tenants = site["tenants"].as_array().expect("tenants");
            !tenants.is_empty() && tenants.iter().all(|of| !of["reading"].is_null() || !of["trouble"].is_null())
        });
        page
    }

    /// Waits until what is known is as wanted.
    #[track_caller]
    pub fn eventually(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let site = self.get("/api/status").json();
            if is_so(&site) {
                return site;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{what}: never in {site:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[("Host", &self.host)])
    }

    /// The same, and it is there.
    #[track_caller]
    pub fn body(&self, path: &str) -> String {
        let Answer { status, body, .. } = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        Answer::of(&self.host, method, path, headers)
    }

    /// Stops it as a person would, and hears it out.
    pub fn stop(mut self) -> Ran {
        terminate(&self.child);
        let code = self.child.wait().expect("it was ours").code().unwrap_or(-1);
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).expect("all that it said");
        self.child.stderr.take().expect("it is piped").read_to_string(&mut err).expect("all that it said");
        Ran { code, out, err }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
