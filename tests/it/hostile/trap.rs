//! A listener where a hostile repository wishes that things be sent. It answers
//! whoever asks as a login and a Graph would, and keeps all that it hears.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

pub struct Trap {
    pub port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Trap {
    /// Listens on a thread that ends with the process.
    pub fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let keeps = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keeps = Arc::clone(&keeps);
                std::thread::spawn(move || serve(&stream, &keeps));
            }
        });
        Self { port, heard }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every request so far, head and body. What was heard is forgotten.
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().expect("no holder of this lock panics"))
    }
}

fn serve(mut stream: &TcpStream, keeps: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        if reader.read_line(&mut head)? <= 2 {
            break;
        }
        let line = head[start..].to_ascii_lowercase();
        length = line.strip_prefix("content-length: ").map_or(length, |value| value.trim().parse().unwrap_or(0));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, answer) = answer(head.split(' ').nth(1).unwrap_or_default());
    keeps.lock().expect("no holder of this lock panics").push(head + &String::from_utf8_lossy(&body));
    let answer = answer.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} Trap\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    )
}

fn answer(target: &str) -> (u16, Value) {
    let path = target.split('?').next().unwrap_or_default();
    if path.ends_with("/oauth2/v2.0/token") {
        return (200, json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "a-token-of-the-trap"}));
    }
    if path.ends_with("Identities") {
        return (200, json!({"value": []}));
    }
    (404, json!({"error": {"code": "NotFound", "message": "this is a trap"}}))
}
