//! A port between a client and a tenant. It can let a request of Graph vanish on
//! its way there, or its answer on the way back, and then holds the line: who
//! waits at the other end can be killed at that very moment.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Where the line is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The request does not arrive.
    Before,
    /// It does, and the answer is kept back.
    After,
    /// It waits until somebody opens the gate, and then goes on.
    Pause,
}

/// Sees each request of Graph before it goes on.
type Watch = Box<dyn Fn(&str) + Send>;

#[derive(Default)]
struct State {
    /// Requests of Graph since the gate was set.
    seen: usize,
    cut: Option<(usize, Cut)>,
    is_cut: bool,
    is_open: bool,
    /// The request that was seen last.
    last: String,
    watch: Option<Watch>,
}

pub struct Gate {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Gate {
    /// In front of the tenant at `url`.
    pub fn before(url: &str) -> Self {
        let tenant = url.strip_prefix("http://").expect("a tenant without TLS").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (tenant, state) = (tenant.clone(), shared.clone());
                std::thread::spawn(move || {
                    // Whoever goes away in the middle is what this is for.
                    let _ = pass(client?, &tenant, &state);
                    std::io::Result::Ok(())
                });
            }
        });
        Self { url, state }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().expect("no holder of this lock panics"))
    }

    /// Cuts the line at that request from now, counted from 1; `None`: at none.
    pub fn set(&self, cut: Option<(usize, Cut)>) {
        self.with(|state| (state.seen, state.cut, state.is_cut, state.is_open) = (0, cut, false, false));
    }

    pub fn watch(&self, watch: impl Fn(&str) + Send + 'static) {
        self.with(|state| state.watch = Some(Box::new(watch)));
    }

    /// Requests of Graph since it was set.
    pub fn seen(&self) -> usize {
        self.with(|state| state.seen)
    }

    /// True if what waits, or was cut off, removes registrations.
    pub fn is_removal(&self) -> bool {
        self.with(|state| !removed_by(&state.last).is_empty())
    }

    /// Lets go on what waits.
    pub fn open(&self) {
        self.with(|state| state.is_open = true);
    }

    /// Waits until the line is cut, or `is_over`. False for that.
    pub fn is_cut(&self, mut is_over: impl FnMut() -> bool) -> bool {
        let start = Instant::now();
        while !self.with(|state| state.is_cut) {
            if is_over() {
                return false;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "it hangs after {} requests", self.seen());
            std::thread::sleep(Duration::from_micros(300));
        }
        true
    }
}

/// One request and its answer; then the connection ends.
fn pass(mut client: TcpStream, tenant: &str, state: &Mutex<State>) -> std::io::Result<()> {
    let Some((head, body)) = read(&mut client)? else { return Ok(()) };
    let path = head.split(' ').nth(1).unwrap_or_default();
    let is_graph = !path.starts_with("/_sim/") && !path.contains("/oauth2/");
    let cut = if is_graph { struck(state, &format!("{head}{}", String::from_utf8_lossy(&body))) } else { None };
    if cut == Some(Cut::Pause) {
        state.lock().expect("no holder of this lock panics").is_cut = true;
        while !state.lock().expect("no holder of this lock panics").is_open {
            std::thread::sleep(Duration::from_micros(300));
        }
    }
    if cut != Some(Cut::Before) {
        let mut line = TcpStream::connect(tenant)?;
        let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
        write!(line, "{first}\r\nConnection: close\r\n{rest}\r\n")?;
        line.write_all(&body)?;
        let mut answer = Vec::new();
        line.read_to_end(&mut answer)?;
        if matches!(cut, None | Some(Cut::Pause)) {
            client.write_all(&answer)?;
            return client.shutdown(Shutdown::Both);
        }
    }
    state.lock().expect("no holder of this lock panics").is_cut = true;
    while client.read(&mut [0; 64])? > 0 {}
    Ok(())
}

fn struck(state: &Mutex<State>, text: &str) -> Option<Cut> {
    let mut state = state.lock().expect("no holder of this lock panics");
    state.seen += 1;
    if let Some(watch) = &state.watch {
        watch(text);
    }
    text.clone_into(&mut state.last);
    let seen = state.seen;
    state.cut.filter(|(at, _)| *at == seen).map(|(_, cut)| cut)
}

/// The head of a request, without the lines about its connection, and its body.
fn read(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16384];
    let end = loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..count]);
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let mut body = bytes.split_off(end);
    let lower = |line: &str| line.to_ascii_lowercase();
    let head = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    let length = head.lines().find_map(|line| lower(line).strip_prefix("content-length:").map(|n| n.trim().to_owned()));
    let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
    while body.len() < length {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        body.extend_from_slice(&buffer[..count]);
    }
    let lines = head.lines().filter(|line| !lower(line).starts_with("connection:"));
    Ok(Some((lines.map(|line| format!("{line}\r\n")).collect(), body)))
}

/// The registrations that a request removes.
pub fn removed_by(request: &str) -> Vec<String> {
    const AMONG: &str = "/windowsAutopilotDeviceIdentities/";
    let id = |url: &str| Some(url.split_once(AMONG)?.1.chars().take(36).collect());
    let (head, body) = request.split_once("\r\n").unwrap_or((request, ""));
    if head.starts_with("DELETE") {
        return id(head).into_iter().collect();
    }
    let Some(start) = body.find("{\"requests\"") else { return Vec::new() };
    let batch: Value = serde_json::from_str(&body[start..]).unwrap_or_default();
    let parts = batch["requests"].as_array().into_iter().flatten();
    let removals = parts.filter(|part| part["method"] == "DELETE");
    removals.filter_map(|part| id(part["url"].as_str()?)).collect()
}
