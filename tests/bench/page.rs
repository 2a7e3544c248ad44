//! What the page costs with a hundred thousand devices: the real binary, asked over
//! HTTP as a browser asks it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{fleets, verdict, work_folder};

/// The name of this case for the process that runs it.
pub const CASE: &str = "page-100000";

const DEVICES: usize = 100_000;
const RUNS: usize = 21;

/// What somebody asks for who looks for a device, with the goal for each: a tenth of
/// a second is at once.
const ASKED: [(&str, &str); 6] = [
    ("the whole page", "/"),
    ("one serial number", "/?tenant=contoso&part=table&q=TEST0077777"),
    ("two words", "/?tenant=contoso&part=table&q=kiosk+contoso.com"),
    ("not as declared, by user", "/?tenant=contoso&part=table&show=open&sort=-user"),
    ("the last page by place", "/?tenant=contoso&part=table&sort=place&page=1000"),
    ("a page of 1,000 for tools", "/api/devices?tenant=contoso&size=1000&page=50"),
];
const GOAL: Duration = Duration::from_millis(100);

/// Serves it and asks.
pub fn served() -> String {
    let (folder, state) = (work_folder().join("page"), work_folder().join("page-state"));
    fleets::write_awaited(&folder, DEVICES);
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_apgit"));
    command.args(["status", "--serve=127.0.0.1:0", "--simulate", "--state-dir"]).arg(&state).arg(&folder);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says where it is");
    let host = line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let listens = began.elapsed();
    while !get(&host, "/").contains("100,000") {
        assert!(began.elapsed() < Duration::from_secs(120), "it is never read");
        std::thread::sleep(Duration::from_millis(10));
    }
    let first = began.elapsed();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    let mut report = format!(
        "the page of 100,000 devices\n\x20 listens after {listens:.0?}, the first page with devices after {first:.2?} (reading them included)\n\
         \x20 peak     {} MiB\n\x20 answers, median of {RUNS} and the slowest   goal {GOAL:.0?}\n",
        peak.unwrap_or_default() / 1024
    );
    for (what, path) in ASKED {
        let mut bytes = 0;
        let mut times: Vec<Duration> = (0..RUNS)
            .map(|_| {
                let began = Instant::now();
                bytes = get(&host, path).len();
                began.elapsed()
            })
            .collect();
        times.sort();
        let (median, slowest) = (times[RUNS / 2], times[RUNS - 1]);
        let verdict = verdict(median < GOAL);
        report += &format!("\x20 {what:<26} {median:>8.1?} {slowest:>8.1?}   {bytes:>7} bytes   {verdict}\n");
    }
    let _ = child.kill();
    let _ = child.wait();
    report
}

fn get(host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(host).expect("it answers");
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it listens");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer of HTTP");
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    body.to_owned()
}
