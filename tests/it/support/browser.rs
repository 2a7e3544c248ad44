//! A real browser without a screen, driven as its makers' tools drive it
//! (WebDriver, JSON over HTTP).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::Folder;

pub struct Browser {
    driver: Child,
    host: String,
    session: String,
    /// Its profile goes with it.
    _profile: Folder,
}

impl Browser {
    /// `None` where there is none, which is said; in a pipeline there is one.
    pub fn here() -> Option<Self> {
        let has = |name| Command::new(name).arg("--version").output().is_ok_and(|ran| ran.status.success());
        if !has("chromium") || !has("chromedriver") {
            let why = "chromium and chromedriver are not here (`make browser` says how to have them)";
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "a pipeline tests the page: {why}");
            let _ = writeln!(std::io::stderr(), "not tested, the page in a browser: {why}");
            return None;
        }
        let mut command = Command::new("chromedriver");
        let mut driver =
            command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut said = BufReader::new(driver.stdout.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("started successfully on port ") {
            line.clear();
            assert_ne!(said.read_line(&mut line).expect("it can be read"), 0, "it says where it is");
        }
        let port = line.trim_end().trim_end_matches('.').rsplit(' ').next().expect("a port").to_owned();
        // It goes on saying things, and must not wait for a reader.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let profile = Folder::new();
        let mut browser = Self { driver, host: format!("127.0.0.1:{port}"), session: String::new(), _profile: profile };
        let folder = format!("--user-data-dir={}", browser._profile.path().display());
        // Whoever is root has no sandbox, and containers have little shared memory.
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            &folder,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": args}}}});
        let session = browser.ask("POST", "/session", &wanted);
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        Some(browser)
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(&self.host).expect("it answers");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.host,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).expect("it listens");
        // It leaves the connection open, whatever it is asked for.
        let mut reader = BufReader::new(stream);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).expect("an answer in time");
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("the head of an answer");
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().expect("a number");
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("all of an answer");
        let value: Value = serde_json::from_slice(&body).expect("an answer in JSON");
        assert!(first.contains(" 200 "), "{method} {path}: {value:#}");
        value["value"].clone()
    }

    #[track_caller]
    fn post(&self, what: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}/{what}", self.session), body)
    }

    #[track_caller]
    pub fn open(&self, url: &str) {
        self.post("url", &json!({"url": url}));
    }

    /// A way of Chromium's own.
    #[track_caller]
    pub fn tell(&self, command: &str, params: Value) -> Value {
        self.post("goog/cdp/execute", &json!({"cmd": command, "params": params}))
    }

    /// In points, and whether the person wants it dark.
    #[track_caller]
    pub fn looks(&self, width: u32, height: u32, is_dark: bool) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.tell("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if is_dark { "dark" } else { "light" };
        self.tell(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// What a script says of the page.
    #[track_caller]
    pub fn eval(&self, expression: &str) -> Value {
        self.post("execute/sync", &json!({"script": format!("return {expression};"), "args": []}))
    }

    #[track_caller]
    pub fn eventually(&self, expression: &str) {
        let began = Instant::now();
        while self.eval(expression) != Value::Bool(true) {
            let text = self.eval("document.body.innerText");
            assert!(began.elapsed() < Duration::from_secs(20), "never: {expression}, in {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Keys on the keyboard, one after the other: a letter, or one of WebDriver's
    /// own characters for the others.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let key = |key: char| {
            [json!({"type": "keyDown", "value": key.to_string()}), json!({"type": "keyUp", "value": key.to_string()})]
        };
        let actions: Vec<Value> = keys.chars().flat_map(key).collect();
        self.post("actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}));
    }

    /// A picture of what is in sight.
    #[track_caller]
    pub fn picture(&self, file: &Path) {
        let picture = self.ask("GET", &format!("/session/{}/screenshot", self.session), &Value::Null);
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture.as_str().expect("a picture"));
        std::fs::write(file, bytes.expect("base64")).expect("the picture is kept");
    }

    /// What the browser has complained about.
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({"type": "browser"}));
        let entries = log.as_array().cloned().unwrap_or_default();
        entries.iter().filter_map(|entry| Some(entry["message"].as_str()?.to_owned())).collect()
    }
}

/// The keys that have no letter.
pub mod keys {
    pub const TAB: &str = "\u{e004}";
    pub const ENTER: &str = "\u{e007}";
    pub const ESCAPE: &str = "\u{e00c}";
    pub const DOWN: &str = "\u{e015}";
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            let _ = self.ask("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
