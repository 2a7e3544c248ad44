//! `apgit simulate` as a process of its own, ended with the test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::Ran;

pub struct Simulate {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Where it answers, without TLS.
    pub url: String,
    /// All that it said when it began.
    pub greeting: String,
}

impl Simulate {
    /// Starts the command on a free port, and waits until it says where.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        // A free port, unless the test needs one that was there before.
        if !command.get_args().any(|arg| arg == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.stdout(Stdio::piped());
        let mut child = command.spawn().expect("the simulator starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut greeting = String::new();
        // Its last line is the example for curl, which ends with the address.
        while !greeting.ends_with("/oauth2/v2.0/token\n") {
            let read = stdout.read_line(&mut greeting).expect("it can be read");
            assert_ne!(read, 0, "it says where it is: {greeting}");
        }
        let first = greeting.lines().next().expect("a line");
        let url = format!("http://{}", first.rsplit("://").next().expect("an address"));
        Self { child, stdout, url, greeting }
    }

    /// What a route under `/_sim/` says.
    #[track_caller]
    pub fn get(&self, route: &str) -> Value {
        self.ask("GET", route, "")
    }

    /// Tells the simulated tenant to do something.
    #[track_caller]
    pub fn post(&self, route: &str, body: &Value) -> Value {
        self.ask("POST", route, &body.to_string())
    }

    /// Over a bare socket: nothing here needs an HTTP client for one word.
    #[track_caller]
    fn ask(&self, method: &str, route: &str, body: &str) -> Value {
        let host = self.url.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(host).expect("it answers");
        let head = format!(
            "{method} /_sim/{route} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).expect("it listens");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer of HTTP");
        let status = head.split(' ').nth(1).expect("a status");
        assert!(status.starts_with('2'), "{method} {route}: {text}");
        // Chunked or not, the JSON stands between its brackets.
        let (first, last) = (body.find(['{', '[']), body.rfind(['}', ']']));
        let Some((first, last)) = first.zip(last) else { return Value::Null };
        serde_json::from_str(&body[first..=last]).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Stops it as a person would, so that it saves, and hears it out.
    pub fn stop(mut self) -> Vec<u8> {
        terminate(&self.child);
        assert_eq!(self.child.wait().expect("it was ours").code(), Some(0));
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).expect("all that it said");
        rest
    }
}

impl Drop for Simulate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command until its stderr has a line with `words`, and then asks it to
/// end. Of stderr, what it said after that.
#[track_caller]
pub fn stopped_at(command: &mut Command, words: &str) -> Ran {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut said = BufReader::new(child.stderr.take().expect("its stderr")).lines();
    assert!(said.any(|line| line.is_ok_and(|line| line.contains(words))), "it never said `{words}`");
    terminate(&child);
    let rest: Vec<String> = said.map_while(Result::ok).collect();
    let code = child.wait().expect("it ends").code();
    let mut out = String::new();
    child.stdout.take().expect("its stdout").read_to_string(&mut out).expect("text");
    Ran { code: code.expect("it ends by itself"), out, err: rest.join("\n") }
}

/// Runs a command until its stderr has a line with `words`, and kills it.
#[track_caller]
pub fn killed_at(command: &mut Command, words: &str) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut said = BufReader::new(child.stderr.take().expect("its stderr")).lines();
    assert!(said.any(|line| line.is_ok_and(|line| line.contains(words))), "it never said `{words}`");
    child.kill().expect("SIGKILL is never refused");
    child.wait().expect("it ends");
}

/// Asks a process to end.
pub fn terminate(child: &Child) {
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
}
