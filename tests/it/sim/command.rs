//! `apgit simulate` as scripts and people start it: what it says and to whom,
//! what stops the start, and the file that it keeps.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Desk, Ran, apgit, ran, terminate};

/// A simulator that a script started in a folder.
struct Started {
    child: Child,
    url: String,
}

impl Started {
    #[track_caller]
    fn new(folder: &Path, words: &str) -> Self {
        Self::of(simulate(folder, words))
    }

    /// Waits for the file that says that it is ready.
    #[track_caller]
    fn of(mut command: Command) -> Self {
        let folder = command.get_current_dir().expect("a folder").to_owned();
        let ready = folder.join("ready.txt");
        command.args(["--ready-file", "ready.txt"]).stdout(Stdio::null());
        let log = std::fs::File::create(folder.join("log.txt")).unwrap();
        let mut child = command.stderr(log).spawn().expect("it starts");
        let url = wait_for("it is ready", || {
            let ended = child.try_wait().unwrap();
            assert_eq!(ended, None, "{}", std::fs::read_to_string(folder.join("log.txt")).unwrap());
            std::fs::read_to_string(&ready).ok()
        });
        assert!(url.starts_with("http://127.0.0.1:") && url.ends_with('\n'), "{url:?}");
        Self { child, url: url.trim_end().to_owned() }
    }

    /// A request of one connection; the status and the body.
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.ask_as("", method, path, body)
    }

    /// The same with a token.
    fn ask_as(&self, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let kind = if token.is_empty() { "" } else { "content-type: application/json\r\n" };
        self.exchange(&format!("{method} {path}"), &format!("authorization: Bearer {token}\r\n{kind}"), &body)
    }

    fn token(&self) -> String {
        let scope = "https%3A%2F%2Fgraph.microsoft.com%2F.default";
        let form = format!(
            "grant_type=client_credentials&client_id=me&client_secret={}&scope={scope}",
            apgit::door::sim::CLIENT_SECRET
        );
        let (_, answer) = self.exchange("POST /contoso.com/oauth2/v2.0/token", "", &form);
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    fn exchange(&self, ask: &str, headers: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).expect("it listens");
        let length = body.len();
        write!(stream, "{ask} HTTP/1.0\r\nhost: 127.0.0.1\r\n{headers}content-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    fn stop(mut self) -> Option<i32> {
        terminate(&self.child);
        self.child.wait().expect("it was ours").code()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn simulate(folder: &Path, words: &str) -> Command {
    let mut command = apgit(folder, format!("simulate --listen 127.0.0.1:0 {words}").split_whitespace());
    command.env("XDG_STATE_HOME", folder.join("state"));
    command
}

#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "waited a minute for this: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A start that is refused.
#[track_caller]
fn refused(folder: &Path, words: &str) -> Ran {
    let started = ran(&mut simulate(folder, words));
    assert_ne!(started.code, 0, "{words}");
    started
}

#[test]
fn a_script_reads_the_address_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ready.txt"), "http://127.0.0.1:1\n").unwrap();
    // What an earlier run left there is gone before a new one can fail.
    refused(folder.path(), "--ready-file ready.txt --profile wild");
    assert!(!folder.path().join("ready.txt").exists());
    let started = Started::new(folder.path(), "--profile calm");
    assert_eq!(started.ask("GET", "/_sim/tenants", &Value::Null).0, 200);
    assert_eq!(started.stop(), Some(0));
    assert!(!folder.path().join("ready.txt").exists(), "nobody is there any more");
}

#[test]
fn a_file_that_is_no_address_is_not_deleted_for_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    let file = folder.path().join("notes.txt");
    for text in
        ["notes", "http://127.0.0.1:1", "http://127.0.0.1:1\nnotes\n", "http://192.0.2.1:1\n", "ftp://127.0.0.1:1\n"]
    {
        std::fs::write(&file, text).unwrap();
        let other = refused(folder.path(), "--ready-file notes.txt");
        assert!(
            other.err.contains("`notes.txt` is there, and is not the address of a simulator"),
            "{text}: {}",
            other.err
        );
        assert_eq!((other.code, std::fs::read_to_string(&file).unwrap().as_str()), (64, text));
        assert_eq!(other.out, "");
    }
    assert_eq!(refused(folder.path(), "--ready-file folder").code, 64);
    let nowhere = refused(folder.path(), "--ready-file missing/ready.txt");
    assert!(
        nowhere.err.contains("cannot write `missing/ready.txt`: ") && !nowhere.err.contains(".tmp"),
        "{}",
        nowhere.err
    );
    assert_eq!(nowhere.out, "", "nobody is greeted");
}

#[test]
fn time_that_is_moved_alone_is_saved_while_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let saved = |time: &str| {
        let text = || std::fs::read_to_string(folder.path().join("tenant.json")).ok();
        wait_for(&format!("{time} is saved"), || text().filter(|text| text.contains(&format!("\"now\":\"{time}"))));
    };
    let started = Started::new(folder.path(), "--state tenant.json --profile calm --speed instant");
    assert_eq!(started.ask("POST", "/_sim/advance", &json!({"by": "10m"})).0, 200);
    saved("2026-01-05T08:10:00Z");
    assert_eq!(started.ask("POST", "/_sim/clock", &json!({"client": "me", "until": "2026-01-05T09:00:00Z"})).0, 200);
    saved("2026-01-05T09:00:00Z");
    drop(started);
    let started = Started::new(folder.path(), "--state tenant.json --profile calm --speed 3600");
    saved("2026-01-05T1");
    drop(started);
}

#[cfg(unix)]
#[test]
fn a_state_is_a_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    std::os::unix::fs::symlink("pipe", folder.path().join("link")).unwrap();
    for path in ["folder", "pipe", "link", "/dev/null"] {
        let other = refused(folder.path(), &format!("--state {path}"));
        assert!(
            other.err.contains(&format!("`{path}` is no file that could keep a simulated tenant")),
            "{}",
            other.err
        );
        assert_eq!(other.code, 64);
    }
    let mut there: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["folder", "link", "pipe"], "nothing is left beside it");
    assert!(!Path::new("/dev/null.lock").exists());
}

#[test]
fn one_file_is_not_two_things() {
    let folder = tempfile::tempdir().unwrap();
    let kept = "- {at: 1m, devices: {count: 1}}\n";
    std::fs::write(folder.path().join("a"), kept).unwrap();
    for (words, said) in [
        ("--state a --ready-file a", "`a` is both `--state` and `--ready-file`"),
        ("--state new --ready-file ./new", "`./new` is both `--state` and `--ready-file`"),
        ("--state new/a --ready-file ./new/a", "`./new/a` is both `--state` and `--ready-file`"),
        ("--script a --ready-file ./a", "`./a` is both `--script` and `--ready-file`"),
        ("--settings a --tls a", "`a` is both `--settings` and `--tls`"),
        ("--proxy --script simulated-ca.pem", "`simulated-ca.pem` is both `--script` and `--tls`"),
    ] {
        let other = refused(folder.path(), words);
        assert!(other.err.contains(said), "{words}: {}", other.err);
        assert_eq!(other.code, 64, "{words}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("new", folder.path().join("link")).unwrap();
        let other = refused(folder.path(), "--state link --ready-file new");
        assert!(other.err.contains("`new` is both `--state` and `--ready-file`"), "{}", other.err);
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("a")).unwrap(), kept);
    assert!(!folder.path().join("new").exists());
}

#[test]
fn a_script_reads_the_first_line_as_json() {
    let desk = Desk::new();
    let mut command =
        desk.command("simulate --listen 127.0.0.1:0 --json --speed 60 --domain contoso.com --domain fabrikam.com");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _ = child.kill();
    let _ = child.wait();
    let said: Value = serde_json::from_str(&line).expect("one line of JSON");
    assert!(said["address"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{said}");
    assert_eq!((&said["http"], &said["https"], &said["authorityFile"]), (&said["address"], &Value::Null, &Value::Null));
    assert_eq!((&said["clientSecret"], &said["speed"]), (&json!("simulated-secret-of-no-value"), &json!(60.0)));
    assert_eq!(said["tenants"][1]["names"][1], "fabrikam.com");
}

#[test]
fn one_process_keeps_a_state_file_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("kept")).unwrap();
    let started = Started::new(folder.path(), "--state kept/tenant.json");
    let mut spellings = vec!["kept/tenant.json".to_owned(), "kept/../kept/./tenant.json".to_owned()];
    spellings.push(folder.path().join("kept/tenant.json").display().to_string());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("kept/tenant.json", folder.path().join("link.json")).unwrap();
        std::os::unix::fs::symlink("kept", folder.path().join("folder")).unwrap();
        spellings.extend(["link.json".to_owned(), "folder/tenant.json".to_owned()]);
    }
    for spelling in spellings {
        let other = refused(folder.path(), &format!("--state {spelling}"));
        assert!(other.err.contains(&format!("`{spelling}` is kept by another apgit")), "{}", other.err);
        assert_eq!(other.code, 9, "later it is free");
    }
    let another = folder.path().join("another");
    std::fs::create_dir(&another).unwrap();
    drop(Started::new(&another, "--state tenant.json"));
    assert_eq!(started.stop(), Some(0));
    assert_eq!(Started::new(folder.path(), "--state kept/tenant.json").stop(), Some(0), "once the other has ended");
}

#[cfg(unix)]
#[test]
fn a_state_file_is_kept_by_one_process_also_where_its_lock_file_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, lock) = (folder.path().join("tenant.json"), folder.path().join("tenant.json.lock"));
    std::os::unix::fs::symlink("tenant.json", folder.path().join("link.json")).unwrap();
    let started = Started::new(folder.path(), "--state tenant.json --profile calm");
    for spelling in ["tenant.json", "./tenant.json", "link.json"] {
        std::fs::remove_file(&lock).unwrap();
        let other = refused(folder.path(), &format!("--state {spelling}"));
        assert!(other.err.contains(&format!("`{spelling}` is kept by another apgit")), "{}", other.err);
        assert_eq!(other.code, 9);
    }
    // After a whole state has taken the place of the one before as well.
    std::fs::remove_file(&lock).unwrap();
    std::fs::remove_file(&kept).unwrap();
    assert_eq!(started.ask("POST", "/_sim/devices", &json!({"count": 2})).0, 200);
    wait_for("it saves", || std::fs::read_to_string(&kept).ok().filter(|text| text.contains("SIM0000001")));
    std::fs::remove_file(&lock).expect("it is there again");
    assert_eq!(refused(folder.path(), "--state tenant.json").code, 9);
    assert_eq!(started.stop(), Some(0));
    let next = Started::new(folder.path(), "--state tenant.json --profile calm");
    assert_eq!(next.ask("GET", "/_sim/registrations", &Value::Null).1.as_array().unwrap().len(), 2);
    assert_eq!(next.stop(), Some(0));
}

#[cfg(unix)]
#[test]
fn what_another_process_has_saved_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, lock) = (folder.path().join("tenant.json"), folder.path().join("tenant.json.lock"));
    let first = Started::new(folder.path(), "--state tenant.json --profile calm --devices 1");
    // Somebody begins anew while the first still runs.
    std::fs::remove_file(&lock).unwrap();
    std::fs::remove_file(&kept).unwrap();
    let log = folder.path().join("log.txt");
    std::fs::rename(&log, folder.path().join("first.txt")).unwrap();
    let said = || std::fs::read_to_string(folder.path().join("first.txt")).unwrap();
    let ready = folder.path().join("ready.txt");
    std::fs::remove_file(&ready).unwrap();
    let second = Started::new(folder.path(), "--state tenant.json --profile calm --devices 2");
    assert_eq!(first.ask("POST", "/_sim/devices", &json!({"count": 5})).0, 200);
    wait_for("it refuses to save", || said().contains("is kept by another apgit").then_some(()));
    assert_eq!(first.ask("GET", "/_sim/registrations", &Value::Null).1.as_array().unwrap().len(), 6, "it serves");
    assert_eq!(second.ask("POST", "/_sim/devices", &json!({"count": 1})).0, 200);
    assert_eq!(second.stop(), Some(0));
    let text = std::fs::read_to_string(&kept).unwrap();
    // Free again, it holds what the second has saved.
    assert_eq!(first.stop(), Some(1), "{}", said());
    assert!(said().contains("another file has taken the place of `"), "{}", said());
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), text);
    let next = Started::new(folder.path(), "--state tenant.json --profile calm");
    assert_eq!(next.ask("GET", "/_sim/registrations", &Value::Null).1.as_array().unwrap().len(), 3);
    assert_eq!(next.stop(), Some(0));
}

#[cfg(unix)]
#[test]
fn a_state_through_a_link_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    for target in ["elsewhere/tenant.json", "chain.json"] {
        let link = folder.path().join("tenant.json");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(target, &link).unwrap();
        if target == "chain.json" {
            std::os::unix::fs::symlink("elsewhere/other.json", folder.path().join("chain.json")).unwrap();
        }
        let started = Started::new(folder.path(), "--state tenant.json --profile calm");
        assert_eq!(started.ask("POST", "/_sim/devices", &json!({"count": 2})).0, 200);
        assert_eq!(started.stop(), Some(0));
        assert_eq!(std::fs::read_link(&link).unwrap(), Path::new(target));
        let started = Started::new(folder.path(), "--state tenant.json --profile calm");
        let (_, registrations) = started.ask("GET", "/_sim/registrations", &Value::Null);
        assert_eq!(registrations.as_array().unwrap().len(), 2);
        assert_eq!(started.stop(), Some(0));
    }
    let kept: Vec<bool> =
        ["tenant.json", "other.json"].map(|name| folder.path().join("elsewhere").join(name).is_file()).to_vec();
    assert_eq!(kept, [true, true]);
}

#[test]
fn a_save_that_fails_is_said_and_tried_again_while_the_tenant_serves() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, away) = (folder.path().join("kept"), folder.path().join("away"));
    let started = Started::new(folder.path(), "--state kept/tenant.json --profile calm --devices 1");
    std::fs::rename(&kept, &away).unwrap();
    std::fs::write(&kept, "a file where a folder was").unwrap();
    let log = || std::fs::read_to_string(folder.path().join("log.txt")).unwrap();
    assert_eq!(started.ask("POST", "/_sim/devices", &json!({"count": 2})).0, 200);
    wait_for("it says that it cannot save", || log().contains("the simulated tenant is not saved").then_some(()));
    assert_eq!(started.ask("GET", "/_sim/registrations", &Value::Null).1.as_array().unwrap().len(), 3, "it serves");
    std::fs::remove_file(&kept).unwrap();
    // Nothing happens to the tenant meanwhile.
    let state = kept.join("tenant.json");
    let text = wait_for("it saves again", || std::fs::read_to_string(&state).ok().filter(|text| text.ends_with('\n')));
    assert!(text.contains("SIM0000002"), "all that happened is in it");
    wait_for("it says so", || log().contains("is saved again").then_some(()));
    assert_eq!(started.stop(), Some(0));
}

#[test]
fn a_tenant_in_real_time_begins_now() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("script.yaml"), "- {at: 10m, devices: {count: 5}}").unwrap();
    let started = Started::new(folder.path(), "--devices 2 --script script.yaml");
    let (_, tenants) = started.ask("GET", "/_sim/tenants", &Value::Null);
    let now: jiff::Timestamp = tenants[0]["now"].as_str().unwrap().parse().unwrap();
    assert!(now.duration_since(jiff::Timestamp::now()).abs() < jiff::SignedDuration::from_mins(2), "{now}");
    let (_, registrations) = started.ask("GET", "/_sim/registrations", &Value::Null);
    assert_eq!(registrations.as_array().unwrap().len(), 2, "the script counts from now");
    let state = started.ask("GET", "/_sim/state", &Value::Null).1;
    let synced: jiff::Timestamp = state["sync"]["last_sync"].as_str().unwrap().parse().unwrap();
    assert!(
        now.duration_since(synced) < jiff::SignedDuration::from_hours(9),
        "its last sync was hours ago, not months"
    );
    assert_eq!(started.stop(), Some(0));
}

#[test]
fn a_wrong_line_of_a_script_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.yaml");
    std::fs::write(&script, "- {at: 1m, devices: {count: 1}}\n- {at: 2m, tag: {serial: SIM0000000, grouptag: X}}\n")
        .unwrap();
    let started = refused(folder.path(), "--script script.yaml --state tenant.json");
    assert!(
        started.err.contains("in `script.yaml`: line 2: `tag` has no `grouptag`; it takes `id`"),
        "{}",
        started.err
    );
    std::fs::write(&script, "- {at: 1m, devices: {count: 1}}\n\n- devices: {count: 1}\n").unwrap();
    let started = refused(folder.path(), "--script script.yaml --state tenant.json");
    assert!(started.err.contains("in `script.yaml`: line 3: it needs `at`, "), "{}", started.err);
    assert!(!folder.path().join("tenant.json").exists());
}

#[test]
fn two_simulators_do_not_tell_their_addresses_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let started = Started::new(folder.path(), "--profile calm");
    let ready = folder.path().join("ready.txt");
    let other = refused(folder.path(), "--ready-file ready.txt");
    assert!(other.err.contains("`ready.txt` leads to ") && other.err.contains(&started.url), "{}", other.err);
    assert_eq!(other.code, 9, "later it is free");
    assert_eq!(std::fs::read_to_string(&ready).unwrap().trim_end(), started.url, "it leads to the first still");
    // A file that another has taken meanwhile is not removed at the end.
    std::fs::write(&ready, "http://127.0.0.1:1\n").unwrap();
    assert_eq!(started.stop(), Some(0));
    assert_eq!(std::fs::read_to_string(&ready).unwrap(), "http://127.0.0.1:1\n");
}

#[test]
fn domains_and_numbers_that_cannot_be_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let id = "0c9be9b6-1b2f-4c0f-9d4a-000000000001";
    for (words, reason) in [
        ("--domain=", "there is no domain in it"),
        (&*format!("--domain=={id}"), "there is no domain in it"),
        ("--domain=contoso.com/x", "`contoso.com/x` is not a domain"),
        ("--domain=contoso.com=", "`` is not the id of a tenant"),
        ("--domain=common", "`common` is no domain of a tenant's own"),
        (&*format!("--domain=a.example={id} --domain={id}"), "is no domain of a tenant's own"),
        ("--domain=contoso.com --domain=Contoso.com", "the domain `contoso.com` is there twice"),
        (&*format!("--domain=a.example={id} --domain=b.example={id}"), "have the same id"),
        ("--devices 500001", "500001 is not in 0..=500000"),
        ("--devices 99999999999999", "--devices"),
    ] {
        let started = refused(folder.path(), words);
        assert!(started.err.contains(reason), "{words}: {}", started.err);
    }
}

#[test]
fn every_number_is_set_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let started = Started::new(folder.path(), "--set import.refill_per_s=2.5");
    let (_, settings) = started.ask("GET", "/_sim/settings", &Value::Null);
    assert_eq!(settings["import"]["refill_per_s"], 2.5);
    assert_eq!(started.ask("POST", "/_sim/settings", &json!({"import.refill_per_s": 0.5})).0, 200);
    assert_eq!(started.stop(), Some(0));
}

#[test]
fn time_that_stands_still_explains_itself_to_whoever_polls() {
    let folder = tempfile::tempdir().unwrap();
    let started = Started::new(folder.path(), "--profile calm --speed instant");
    let vendor = json!({"serial": "V-1", "manufacturer": "Contoso", "model": "Tower 5"});
    assert_eq!(started.ask("POST", "/_sim/vendor", &vendor).0, 200);
    for _ in 0..9 {
        started.ask("GET", "/v1.0/deviceManagement/windowsAutopilotDeviceIdentities", &Value::Null);
    }
    let log = || std::fs::read_to_string(folder.path().join("log.txt")).unwrap();
    assert!(!log().contains("time stands still"), "{}", log());
    for _ in 0..9 {
        started.ask("GET", "/v1.0/deviceManagement/windowsAutopilotDeviceIdentities", &Value::Null);
    }
    let said = wait_for("it explains itself", || Some(log()).filter(|log| log.contains("time stands still")));
    assert_eq!(said.matches("time stands still").count(), 1, "{said}");
    assert!(said.contains("/_sim/advance") && said.contains("/_sim/clock"), "{said}");
    assert_eq!(started.stop(), Some(0));

    let desk = Desk::new();
    let greeting = desk.simulate("--speed instant").greeting.clone();
    let moved = "\n  time     stands still until it is moved:\n           curl -d ";
    assert!(greeting.contains(moved), "{greeting}");
}

#[test]
fn time_that_stands_still_explains_itself_to_whoever_takes_a_token_for_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let started = Started::new(folder.path(), "--profile calm --speed instant");
    let vendor = json!({"serial": "V-1", "manufacturer": "Contoso", "model": "Tower 5"});
    assert_eq!(started.ask("POST", "/_sim/vendor", &vendor).0, 200);
    for _ in 0..12 {
        let token = started.token();
        started.ask_as(&token, "GET", "/v1.0/deviceManagement/windowsAutopilotDeviceIdentities", &Value::Null);
    }
    let log = || std::fs::read_to_string(folder.path().join("log.txt")).unwrap();
    wait_for("it explains itself", || Some(log()).filter(|log| log.contains("time stands still")));
    assert_eq!(started.stop(), Some(0));
}

#[test]
fn time_that_stands_still_explains_itself_to_whoever_polls_in_batches() {
    let folder = tempfile::tempdir().unwrap();
    let started = Started::new(folder.path(), "--profile calm --speed instant");
    let vendor = json!({"serial": "V-1", "manufacturer": "Contoso", "model": "Tower 5"});
    assert_eq!(started.ask("POST", "/_sim/vendor", &vendor).0, 200);
    let token = started.token();
    let log = || std::fs::read_to_string(folder.path().join("log.txt")).unwrap();
    let devices = "/deviceManagement/windowsAutopilotDeviceIdentities";
    let batch = |parts: &[(&str, &str)]| {
        let part = |(id, (method, url)): (usize, &(&str, &str))| json!({"id": id, "method": method, "url": url});
        let body = json!({"requests": parts.iter().enumerate().map(part).collect::<Vec<_>>()});
        assert_eq!(started.ask_as(&token, "POST", "/v1.0/$batch", &body).0, 200);
    };
    // Whoever acts does not wait, whatever else is asked on the way.
    for _ in 0..12 {
        batch(&[("GET", devices), ("DELETE", &format!("{devices}/0c9be9b6-1b2f-4c0f-9d4a-000000000001"))]);
    }
    // One address many times in one batch is asked once.
    batch(&[("GET", devices); 12]);
    assert!(!log().contains("time stands still"), "{}", log());
    for _ in 0..9 {
        batch(&[("GET", devices), ("GET", "/organization")]);
    }
    let said = wait_for("it explains itself", || Some(log()).filter(|log| log.contains("time stands still")));
    assert_eq!(said.matches("time stands still").count(), 1, "{said}");
    assert!(said.contains(&format!("/v1.0{devices}")), "{said}");
    assert_eq!(started.stop(), Some(0));
}

/// CPU time that a process has used, in hundredths of a second.
#[cfg(target_os = "linux")]
fn cpu(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn without_descriptors_it_waits_instead_of_spinning() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    let script = "ulimit -n 40 && exec \"$0\" simulate --listen 127.0.0.1:0 \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_apgit"), "--profile", "calm"]).current_dir(folder.path());
    command.env_clear().env("XDG_STATE_HOME", folder.path()).env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    let started = Started::of(command);
    let address = started.url.trim_start_matches("http://").to_owned();
    let connections: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(&address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(500));
    let before = cpu(&started.child);
    std::thread::sleep(Duration::from_secs(2));
    let used = cpu(&started.child) - before;
    assert!(used < 50, "{used} hundredths of a second of two seconds");
    drop(connections);
    assert_eq!(started.ask("GET", "/_sim/tenants", &Value::Null).0, 200, "it goes on once others are closed");
    assert_eq!(started.stop(), Some(0));
}
