//! No hash, no token and no secret in anything that a process of ours says or
//! writes: every 24-character window of each, searched in all output and all
//! files of real runs, the simulated tenant's own state aside.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use apgit::door::sim::{self, Tenant};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Folder, OWNER, Simulate, TENANT, apgit, at_url, machine, tenant_manifest};

/// Shorter pieces identify nothing.
const WINDOW: usize = 24;

/// A secret of our own that opens nothing, also not in the simulator.
const WRONG_SECRET: &str = "wrong~Secret.0123456789-abcdefgh";

/// What must not be found.
#[derive(Default)]
struct Secrets(HashSet<[u8; WINDOW]>);

impl Secrets {
    fn add(&mut self, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        assert!(secret.len() >= WINDOW, "too short to be told from anything else");
        self.0.extend(secret.windows(WINDOW).map(|window| <[u8; WINDOW]>::try_from(window).expect("its size")));
    }

    /// As text, and as the bytes that it stands for. A hash says in plain text
    /// what a machine is made of; that is for people to read.
    fn add_hash(&mut self, hash: &str) {
        self.add(hash);
        let bytes = STANDARD.decode(hash).expect("a hash of ours");
        let is_text = |window: &[u8]| window.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        let windows = bytes.windows(WINDOW).filter(|window| !is_text(window));
        self.0.extend(windows.map(|window| <[u8; WINDOW]>::try_from(window).expect("its size")));
    }

    /// Where the first piece of any secret begins.
    fn found_in(&self, bytes: &[u8]) -> Option<usize> {
        bytes.windows(WINDOW).position(|window| self.0.contains(window))
    }
}

/// A folder where processes of ours run, and all that they said.
struct Stage {
    folder: Folder,
    /// What the test itself wrote.
    inputs: BTreeMap<PathBuf, Vec<u8>>,
    said: Vec<(String, Vec<u8>)>,
    runs: usize,
}

impl Stage {
    fn new() -> Self {
        let folder = Folder::new();
        for name in ["home", "tmp", "out", "state", "fleet/.git"] {
            std::fs::create_dir_all(folder.at(name)).expect("a folder in it");
        }
        Self { folder, inputs: BTreeMap::new(), said: Vec::new(), runs: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.at(name)
    }

    fn write(&mut self, name: &str, content: impl AsRef<[u8]>) {
        self.folder.write(name, &content);
        self.inputs.insert(self.path(name), content.as_ref().to_owned());
    }

    /// The real binary as talkative as can be.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = apgit(self.folder.path(), words);
        command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
        command.env("HOME", self.path("home")).env("TMPDIR", self.path("tmp"));
        command.env("AZURE_CLIENT_SECRET", sim::CLIENT_SECRET);
        command
    }

    fn run(&mut self, words: &[&str]) -> Output {
        let command = self.command(words);
        self.listen(&words.join(" "), command)
    }

    /// The same with the state folder of this stage and the loudest log.
    fn run_loud(&mut self, words: &[&str]) -> Output {
        let state = self.path("state").display().to_string();
        let words: Vec<&str> = words.iter().copied().chain(["-vvv", "--state-dir", &state]).collect();
        self.run(&words)
    }

    fn listen(&mut self, name: &str, mut command: Command) -> Output {
        let output = command.output().expect("apgit runs");
        assert_ne!(output.status.code(), None, "`{}` was killed", shortened(name));
        self.runs += 1;
        // A hash on a command line is part of the name; the report must not have it.
        let name = shortened(name);
        self.said.push((format!("stdout of `{name}`"), output.stdout.clone()));
        self.said.push((format!("stderr of `{name}`"), output.stderr.clone()));
        output
    }

    /// Everything that was said or written and holds a piece of a secret.
    fn leaks(&self, secrets: &Secrets) -> Vec<String> {
        let said = self.said.iter().map(|(name, bytes)| (name.clone(), bytes.clone()));
        let mut searched = 0;
        let mut leaks = Vec::new();
        for (name, bytes) in said.chain(self.written()) {
            searched += bytes.len();
            if let Some(at) = secrets.found_in(&bytes) {
                leaks.push(format!("{name}, byte {at} of {}", bytes.len()));
            }
        }
        println!("{} runs, {searched} bytes searched, {} windows", self.runs, secrets.0.len());
        leaks
    }

    /// Files that are not ours, or no longer as we wrote them.
    fn written(&self) -> Vec<(String, Vec<u8>)> {
        let mut written = Vec::new();
        for path in self.folder.files() {
            let bytes = std::fs::read(&path).expect("a file of the test");
            let is_tenant = path.file_name().is_some_and(|name| name == "tenant.json");
            if !is_tenant && self.inputs.get(&path) != Some(&bytes) {
                written.push((path.display().to_string(), bytes));
            }
        }
        written
    }

    /// Every token that the simulated tenant of this file has given out.
    fn tokens(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).expect("the tenant was saved");
        let tokens = Tenant::load(&text).expect("a tenant").issued_tokens();
        assert!(!tokens.is_empty(), "somebody signed in");
        tokens
    }
}

/// A command line as a person may see it.
fn shortened(words: &str) -> String {
    words.split(' ').map(|word| word.chars().take(WINDOW - 1).collect::<String>()).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_nothing_leaks(stage: &Stage, secrets: &Secrets) {
    let leaks = stage.leaks(secrets);
    assert!(leaks.is_empty(), "secrets stand in:\n  {}", leaks.join("\n  "));
}

fn hash(number: u64) -> String {
    machine(number).hash().to_base64()
}

fn device_manifest(number: u64, more: &str) -> String {
    format!(
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {{name: d{number}}}\nspec:\n\
         \x20 serialNumber: TEST-{number:06}\n{more}"
    )
}

/// Four devices with hashes in a CSV, a text file and an OA3.xml, and one
/// whose CSV row is another device's. Returns the hashes.
fn write_fleet(stage: &mut Stage, place: &str) -> Secrets {
    let mut secrets = Secrets::default();
    let mut csv = "Device Serial Number,Windows Product ID,Hardware Hash\r\n".to_owned();
    for number in [1, 2] {
        csv.push_str(&format!("TEST-{number:06},,{}\r\n", hash(number)));
    }
    for number in 1..=5 {
        secrets.add_hash(&hash(number));
    }
    stage.write("fleet/tenant.yaml", tenant_manifest(place));
    stage.write("fleet/hashes.csv", csv);
    stage.write("fleet/three.txt", hash(3));
    let xml = format!("<?xml version=\"1.0\"?><Key><HardwareHash>{}</HardwareHash></Key>", hash(4));
    stage.write("fleet/four.xml", xml);
    stage.write("fleet/other.txt", hash(5));
    let references = ["csv: hashes.csv", "csv: hashes.csv", "file: three.txt", "file: four.xml"];
    for (number, reference) in (1..).zip(references) {
        let more = format!(
            "  hardwareHashRef: {{{reference}}}\n  groupTag: OSL-STD\n  displayName: OSL-{number}\n  \
             userPrincipalName: anna.keller@contoso.com\n"
        );
        stage.write(&format!("fleet/{number}.yaml"), device_manifest(number, &more));
    }
    secrets
}

#[test]
fn the_search_finds_what_was_planted() {
    let mut stage = Stage::new();
    let mut secrets = Secrets::default();
    assert_eq!(stage.leaks(&secrets), [""; 0]);
    let generated = stage.run(&["hash", "--generate", "1", "--seed", "7", "--serial", "TEST-000007"]);
    let planted = String::from_utf8(generated.stdout).expect("text").trim().to_owned();
    secrets.add_hash(&planted);
    assert_eq!(stage.leaks(&secrets).len(), 1, "the command that prints hashes by design");

    stage.said.clear();
    assert_eq!(stage.leaks(&secrets), [""; 0]);
    let middle = planted.len() / 2;
    stage.said.push(("a log".to_owned(), format!("INFO literal {}…", &planted[middle..middle + WINDOW]).into()));
    std::fs::write(stage.path("state/journal.jsonl"), &planted[planted.len() - WINDOW..]).unwrap();
    std::fs::write(stage.path("out/raw.bin"), &STANDARD.decode(&planted).unwrap()[100..100 + WINDOW]).unwrap();
    stage.write("fleet/input.txt", &planted);
    assert_eq!(stage.leaks(&secrets).len(), 3, "what the test wrote itself is no leak");
    std::fs::write(stage.path("fleet/input.txt"), format!("{planted}\n")).unwrap();
    assert_eq!(stage.leaks(&secrets).len(), 4, "but what somebody wrote there since is");

    secrets.0.clear();
    secrets.add(WRONG_SECRET);
    assert_eq!(stage.leaks(&secrets), [""; 0]);
    stage.said.push(("an error".to_owned(), format!("secret `{WRONG_SECRET}` refused").into()));
    assert_eq!(stage.leaks(&secrets).len(), 1);
}

#[test]
fn a_fleet_on_the_built_in_tenant_leaks_nothing() {
    let mut stage = Stage::new();
    let mut secrets = write_fleet(&mut stage, "cloud: Global");
    let profile = ["--simulate", "--sim-profile", "busy"];
    for words in [
        &["plan", "fleet"][..],
        &["plan", "fleet", "--diff"],
        &["plan", "fleet", "--json"],
        &["apply", "fleet"],
        &["plan", "fleet", "--out", "out/fleet.plan"],
        &["apply", "out/fleet.plan", "fleet", "--target", "TEST-*"],
        &["apply", "out/fleet.plan", "fleet"],
        &["apply", "fleet", "--auto-approve", "--json", "--report", "text=out/apply.txt"],
        &["apply", "fleet", "--auto-approve", "--report", "json=out/again.json"],
        &["plan", "fleet", "--diff", "--report", "json=out/plan.json"],
        &["status", "--path", "fleet"],
        &["status", "--path", "fleet", "--json"],
        &["sync", "fleet"],
        &["history", "TEST-000001", "--path", "fleet"],
        &["history", "TEST-000002", "--path", "fleet", "--json"],
    ] {
        let words: Vec<&str> = words.iter().copied().chain(profile).collect();
        stage.run_loud(&words);
    }
    stage.run_loud(&["validate", "fleet"]);
    let shown = stage.run_loud(&["show", "out/fleet.plan", "--json"]);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    // Somebody changed a hash file and a tag since.
    stage.write("fleet/three.txt", hash(5));
    stage.write("fleet/1.yaml", device_manifest(1, "  groupTag: BERLIN\n  hardwareHashRef: {csv: hashes.csv}\n"));
    for words in [&["plan", "fleet", "--diff"][..], &["apply", "fleet", "--auto-approve", "--json"]] {
        let words: Vec<&str> = words.iter().copied().chain(profile).collect();
        stage.run_loud(&words);
    }
    let shown = stage.run_loud(&["audit", "show"]);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    stage.run_loud(&["audit", "verify"]);
    let shown = String::from_utf8(shown.stdout).expect("text");
    let plan = shown.split_whitespace().find(|word| word.starts_with("plan-")).expect("a plan");
    // What was registered is not undone by a patch: that is for a person.
    let revert = stage.run_loud(&["revert", plan, "--path", "fleet"]);
    assert!(matches!(revert.status.code(), Some(0 | 5)), "{plan}: {}", String::from_utf8_lossy(&revert.stderr));
    for file in ["journal.jsonl", "audit.jsonl"] {
        let path = stage.path(&format!("state/simulated/{TENANT}/owners/{OWNER}/{file}"));
        assert!(std::fs::read(path).expect(file).len() > 1000, "the run did something: {file}");
    }
    for token in stage.tokens(&format!("state/simulated/{TENANT}/tenant.json")) {
        secrets.add(token);
    }
    assert_nothing_leaks(&stage, &secrets);
}

#[test]
fn a_fleet_on_a_tenant_on_a_port_leaks_nothing() {
    let mut stage = Stage::new();
    let words = ["--state", "tenant.json", "--speed", "instant", "--profile", "busy", "--set", "login.token_life=90s"];
    let words = [&["simulate", "-vvv"][..], &words].concat();
    let mut simulate = stage.command(&words);
    simulate.stderr(std::fs::File::create(stage.path("out/simulate.log")).expect("a log"));
    let tenant = Simulate::start(simulate);
    assert!(tenant.greeting.contains(sim::CLIENT_SECRET), "the greeting tells the secret, which is its purpose");
    let place = at_url(&tenant.url);
    let mut secrets = write_fleet(&mut stage, &place);
    secrets.add(sim::CLIENT_SECRET);
    secrets.add(WRONG_SECRET);
    for words in [
        &["plan", "fleet", "--diff"][..],
        &["apply", "fleet", "--auto-approve", "--report", "json=out/apply.json"],
        &["plan", "fleet", "--json"],
        &["status", "--path", "fleet", "--json"],
        &["sync", "fleet", "--when-allowed"],
    ] {
        let output = stage.run_loud(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let mut stranger = stage.command(&["plan", "fleet", "-vvv", "--allow-endpoint", "127.0.0.1"]);
    stranger.env("AZURE_CLIENT_SECRET", WRONG_SECRET);
    let refused = stage.listen("plan with a wrong secret", stranger);
    assert_eq!(refused.status.code(), Some(4));
    stage.said.push(("stdout of `simulate`".to_owned(), tenant.stop()));
    stage.runs += 1;
    let gone = stage.run_loud(&["apply", "fleet", "--auto-approve"]);
    assert!(!gone.status.success(), "nobody listens there any more");
    for token in stage.tokens("tenant.json") {
        secrets.add(token);
    }
    assert_nothing_leaks(&stage, &secrets);
}

/// A service that repeats in its refusals all that it was sent: the real one
/// quotes a literal that it cannot read, and gateways quote whole requests.
struct Echo {
    url: String,
}

const ECHOED_TOKEN: &str = "echo.QmVhcmVyLXRva2VuLW9mLW5vLXZhbHVl0123456789abcdefABCDEF-_x";

impl Echo {
    /// Serves on a thread that ends with the process.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = Self::serve(&stream);
            }
        });
        Self { url }
    }

    /// One request, one answer, and the connection closes.
    fn serve(mut stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let (mut head, mut length, mut token) = (String::new(), 0, String::new());
        loop {
            let start = head.len();
            if reader.read_line(&mut head)? <= 2 {
                break;
            }
            let line = head[start..].trim().to_owned();
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
                Some((name, value)) if name.eq_ignore_ascii_case("authorization") => token = value.to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (status, answer) = Self::answer(&head, &token, &body);
        let answer = answer.to_string();
        write!(
            stream,
            "HTTP/1.1 {status} Echo\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )
    }

    fn answer(head: &str, token: &str, body: &[u8]) -> (u16, Value) {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let is = |end: &str| target.split('?').next().unwrap_or_default().ends_with(end);
        if is("/oauth2/v2.0/token") {
            return (200, json!({"token_type": "Bearer", "expires_in": 3599, "access_token": ECHOED_TOKEN}));
        }
        if is("/import") {
            let sent: Value = serde_json::from_slice(body).expect("rows");
            let literal = &sent["importedWindowsAutopilotDeviceIdentities"][0]["hardwareIdentifier"];
            let literal = literal.as_str().expect("a hash");
            let said =
                format!("Cannot convert the literal '{literal}' to the expected type 'Edm.Binary'. {token} {sent}");
            return (400, json!({"error": {"code": literal, "message": said}}));
        }
        if is("Identities") {
            return (200, json!({"value": []}));
        }
        (400, json!({"error": {"code": "BadRequest", "message": format!("not understood: {head} {token}")}}))
    }
}

#[test]
fn a_service_that_repeats_what_it_was_sent_is_not_repeated() {
    let mut stage = Stage::new();
    let echo = Echo::start();
    let place = at_url(&echo.url);
    stage.write("fleet/tenant.yaml", tenant_manifest(&place));
    stage.write("fleet/one.txt", hash(1));
    stage.write("fleet/one.yaml", device_manifest(1, "  hardwareHashRef: {file: one.txt}\n"));
    let mut secrets = Secrets::default();
    secrets.add_hash(&hash(1));
    secrets.add(ECHOED_TOKEN);
    secrets.add(sim::CLIENT_SECRET);
    let apply = stage.run_loud(&["apply", "fleet", "--auto-approve", "--report", "json=out/apply.json"]);
    assert_eq!(apply.status.code(), Some(7), "{}", String::from_utf8_lossy(&apply.stderr));
    let journal =
        std::fs::read_to_string(stage.path(&format!("state/endpoints/loopback/{TENANT}/owners/{OWNER}/journal.jsonl")))
            .expect("a journal");
    assert!(journal.contains("Cannot convert the literal '…"), "the refusal was recorded: {journal}");
    for words in [&["plan", "fleet", "--json"][..], &["status", "--path", "fleet", "--json"], &["sync", "fleet"]] {
        stage.run_loud(words);
    }
    assert_nothing_leaks(&stage, &secrets);
}

/// What people get wrong, with the hash in every place where it must not be.
#[test]
fn mistakes_in_files_leak_nothing() {
    let mut stage = Stage::new();
    let mut secrets = Secrets::default();
    let (h, other) = (hash(1), hash(2));
    secrets.add_hash(&h);
    secrets.add_hash(&other);
    let cut = &h[..h.len() / 2 + 1];
    let wrapped = h.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>();
    let odd = format!("{}*{}", &h[..1000], &h[1000..]);
    let csv = |rows: &str| format!("Device Serial Number,Windows Product ID,Hardware Hash\r\n{rows}");
    stage.write("files/good.txt", &h);
    stage.write("files/other.txt", &other);
    stage.write("files/cut.txt", cut);
    stage.write("files/odd.txt", &odd);
    stage.write("files/wrapped.txt", wrapped.join("\n"));
    stage.write("files/twice.txt", format!("{h}\n{other}"));
    stage.write("files/broken.xml", format!("<Key><HardwareHash>{h}</HardwareHas>"));
    stage
        .write("files/two.xml", format!("<K><HardwareHash>{h}</HardwareHash><HardwareHash>{other}</HardwareHash></K>"));
    stage.write("files/quote.csv", csv(&format!("TEST-000001,,\"{h}\r\nTEST-000002,,{other}\r\n")));
    stage.write("files/swapped.csv", csv(&format!("TEST-000001,,{other}\r\nTEST-000002,,{h}\r\n")));
    stage.write("files/odd.csv", csv(&format!("TEST-000001,,{odd}\r\n")));
    stage.write("files/double.csv", csv(&format!("TEST-000001,,{h}\r\nTEST-000001,,{other}\r\n")));
    stage.write("files/columns.csv", format!("Hardware Hash,Device Serial Number\r\nTEST-000001,{h}\r\n"));
    stage.write("files/headless.csv", format!("{h},TEST-000001\r\n"));
    stage.write("files/serial.csv", csv(&format!("{h},,{other}\r\n")));
    let utf16: Vec<u8> = csv(&format!("TEST-000009,,{odd}\r\n")).encode_utf16().flat_map(u16::to_le_bytes).collect();
    stage.write("files/utf16.csv", [&[0xff, 0xfe], &utf16[..]].concat());
    let files: Vec<String> =
        stage.inputs.keys().map(|path| path.strip_prefix(stage.folder.path()).unwrap().display().to_string()).collect();

    for file in &files {
        stage.run(&["hash", file]);
        stage.run(&["hash", file, "--json", "--show-identifiers"]);
        stage.run(&["hash", file, "--compare", "files/good.txt"]);
    }
    stage.run(&["hash", "files/good.txt", "--compare", "files/other.txt", "--json"]);
    stage.run(&["hash", "files/good.txt", "--fingerprint-key", "files/other.txt"]);

    let mut mistakes: Vec<String> = files
        .iter()
        .map(|file| {
            let kind = if file.ends_with(".csv") { "csv" } else { "file" };
            device_manifest(1, &format!("  hardwareHashRef: {{{kind}: ../{file}}}\n"))
        })
        .collect();
    let folded = wrapped.iter().map(|line| format!("    {line}\n")).collect::<String>();
    let spec = [
        format!("  hardwareHash: {h}\n"),
        format!("  hardwareHash: \"{h}\n"),
        format!("  hardwareHash: |\n{folded}"),
        format!("  hardwareHash: >\n{folded}"),
        format!("  hardwareHash:\n{folded}"),
        format!("  hardwareHashRef: {h}\n"),
        format!("  hardwareHashRef: {{file: {h}}}\n"),
        format!("  hardwareHashRef: {{csv: \"{h}\"}}\n"),
        format!("  hardwareHashRef: {{env: {h}}}\n"),
        format!("  hardwareHashRef: {{env: APGIT_HASH_{h}}}\n"),
        "  hardwareHashRef: {env: APGIT_HASH_ODD}\n".to_owned(),
        format!("  hardwareHashRef: {{base64: {h}}}\n"),
        format!("  hardwareHashRef: {{file: ../files/good.txt, sha256: {h}}}\n"),
        format!("  hardwareHashRef: {{secretKeyRef: {{name: {h}, key: {cut}}}}}\n"),
        format!("  hardwareHashRef: {{keyVaultSecret: {{vaultUrl: \"https://{h}\", name: x}}}}\n"),
        format!("  groupTag: {h}\n"),
        format!("  displayName: '{cut}'\n"),
        format!("  userPrincipalName: {h}\n"),
        format!("  userPrincipalName: {h}@contoso.com\n"),
        format!("  {h}: true\n"),
        format!("  groupTag: A\n  groupTag: {h}\n"),
        format!("  groupTag: [{h}]\n"),
        format!("  groupTag: {{{h}: 1}}\n"),
        format!("  groupTag: *{h}\n"),
        format!("  groupTag: &{h} x\n"),
        format!("  groupTag: !{h} x\n"),
        format!("  groupTag: \"{}\\q{}\"\n", &h[..100], &h[100..]),
        format!("  deletionPolicy: {h}\n"),
        format!("  protect: {h}\n"),
        format!("  registrationId: {h}\n"),
        format!("  tenantRef: {{name: {h}}}\n"),
        format!("{h}\n"),
        format!(" {h}\n  - {other}\n"),
        format!("  # {h}\n  groupTag: \u{1}\n"),
    ];
    mistakes.extend(spec.iter().map(|more| device_manifest(1, more)));
    let head = "apiVersion: apgit.dev/v1alpha1\n";
    let set = format!("{head}kind: AutopilotDeviceSet\nmetadata: {{name: s}}\nspec:\n");
    mistakes.extend([
        h.clone(),
        format!("{h}: {other}\n"),
        format!("- {h}\n"),
        format!("{head}kind: {h}\nmetadata: {{name: x}}\nspec: {{}}\n"),
        format!("apiVersion: {h}\nkind: AutopilotDevice\nmetadata: {{name: x}}\nspec: {{}}\n"),
        format!("{head}kind: AutopilotDevice\nmetadata: {{name: {h}}}\nspec: {{serialNumber: A1}}\n"),
        format!("{head}kind: AutopilotDevice\nmetadata: {{name: a}}\nspec: {{serialNumber: {h}}}\n"),
        format!("{head}kind: AutopilotDevice\nmetadata: {{name: a}}\nspec: {{serialNumber: {}}}\n", &h[..60]),
        format!("{head}kind: AutopilotDevice\nmetadata: {{name: a}}\nspec: {h}\n"),
        format!("{set}  defaults: {{hardwareHash: {h}}}\n  devices: [{{serialNumber: A1}}]\n"),
        format!("{set}  devices:\n    - {h}\n"),
        format!("{set}  devices:\n    - serialNumber: A1\n      hardwareHash: {h}\n    - {{serialNumber: A1, hash: {other}}}\n"),
        tenant_manifest(&format!("scope: {{groupTags: [{h}]}}")),
        tenant_manifest(&format!("tagPolicy: [{{groupTag: {h}, paths: [\"{other}\"]}}]")),
        tenant_manifest(&format!("endpoints: {{login: \"https://{h}\", graph: \"{other}\"}}")),
        tenant_manifest(&format!("cloud: {h}")),
        tenant_manifest(&format!("vaults: [{h}]")),
    ]);
    stage.write("fleet/tenant.yaml", tenant_manifest("cloud: Global"));
    for (number, mistake) in mistakes.iter().enumerate() {
        stage.write(&format!("fleet/mistake-{number}.yaml"), mistake);
        for words in [
            &["validate", "fleet"][..],
            &["apply", "fleet", "--simulate", "--auto-approve", "--json", "--state-dir", "state", "-vvv"],
        ] {
            let mut command = stage.command(words);
            command.env("APGIT_HASH_ODD", &odd);
            stage.listen(&format!("{} (mistake {number})", words.join(" ")), command);
        }
        std::fs::remove_file(stage.path(&format!("fleet/mistake-{number}.yaml"))).unwrap();
    }
    for (number, mistake) in mistakes.iter().enumerate() {
        stage.write(&format!("fleet/all-{number}.yaml"), mistake);
    }
    stage.run(&["validate", "fleet"]);
    stage.run(&["plan", "fleet", "--simulate", "--state-dir", "state"]);
    assert_nothing_leaks(&stage, &secrets);
}

/// `apgit hash $(cat hash.txt)` and its like.
#[test]
fn a_hash_on_the_command_line_is_not_repeated() {
    let mut stage = Stage::new();
    let secrets = write_fleet(&mut stage, "cloud: Global");
    let h = hash(1);
    for words in [
        &["hash", &h][..],
        &["hash", "fleet/three.txt", "--compare", &h],
        &["hash", "--generate", "1", "--serial", &h],
        &["hash", "--generate", &h],
        &["hash", "--vendor", &h, "--generate", "1"],
        &["plan", &h, "--simulate"],
        &["plan", "fleet", "--simulate", "--tenant", &h],
        &["plan", "fleet", "--simulate", "--sim-profile", &h],
        &["plan", "fleet", "--simulate", "--report", &h],
        &["plan", "fleet", "--simulate", "--fail-on", &h],
        &["plan", "fleet", "--simulate", "--state-dir", &h],
        &["apply", "fleet", "--simulate", "--approve-digest", &h],
        &["status", &h, "--path", "fleet", "--simulate"],
        &["validate", &h],
        &["help", &h],
        &[&h],
        &["plan", &format!("--{h}")],
    ] {
        assert_eq!(stage.run(words).status.code(), Some(64), "{}", shortened(&words.join(" ")));
    }
    let mut piped =
        stage.command(&["hash", "-", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(h.as_bytes()).unwrap();
    let output = piped.wait_with_output().unwrap();
    assert!(output.status.success());
    stage.said.push(("stdout of `hash -`".to_owned(), output.stdout));
    assert_nothing_leaks(&stage, &secrets);
}
