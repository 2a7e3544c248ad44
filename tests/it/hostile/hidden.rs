//! Nothing is hidden: not from whoever reviews a declaration, and not from
//! whoever reads what a run said. And what must stay hidden stays so.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use super::service::{JSON, answer, plan, tenant_with, token};
use crate::support::{Bounds, Desk, Folder, Ran, TENANT, apgit, at_url, machine, root, tenant_manifest};

/// A secret of nobody's.
const SECRET: &str = "pLx8Q~canary.secret_0123456789-AbCdEf";

fn run(folder: &Folder, words: &str) -> Ran {
    Bounds::default().hold(&mut command(folder, words))
}

fn command(folder: &Folder, words: &str) -> Command {
    let mut command = apgit(folder.path(), words.split_whitespace());
    command.env("XDG_STATE_HOME", folder.at("state")).env("AZURE_CLIENT_SECRET", SECRET);
    command
}

/// A repository of `tests/data/hostile`.
fn hostile(name: &str) -> Folder {
    Folder::copy_of(&root().join("tests/data/hostile").join(name))
}

/// Nothing begins a line that a pipeline takes for a command, and nothing is in
/// it that nobody sees.
#[track_caller]
fn assert_says_no_more_than_it_shows(text: &str) {
    for line in text.split('\n') {
        let start = line.trim_start();
        assert!(!start.starts_with("::") || start.starts_with(":::"), "a command of a workflow: {line:?}");
        assert!(!line.contains("##vso[") && !line.contains("##["), "a command of a pipeline: {line:?}");
        let unseen = line.chars().find(|c| *c != '\t' && apgit::door::model::is_unseen(*c));
        assert_eq!(unseen, None, "in {line:?}");
    }
}

#[test]
fn what_nobody_sees_is_refused_at_its_place_by_its_number() {
    let folder = hostile("invisible");
    let validate = run(&folder, "validate .");
    assert_eq!(validate.code, 3, "{}", validate.err);
    assert_says_no_more_than_it_shows(&validate.err);
    let text = folder.read("devices.yaml");
    let mut expected = 0;
    for (line, number) in text.lines().zip(1..) {
        let Some((_, comment)) = line.split_once("# U+") else { continue };
        let code = comment.split(':').next().expect("a code");
        expected += 1;
        let place = format!("devices.yaml:{number}:");
        let problem = validate.err.split("\n\n").find(|problem| problem.contains(&place));
        let problem = problem.unwrap_or_else(|| panic!("nothing at {place}: {}", validate.err));
        assert!(problem.contains(&format!("is U+{code}")), "{code}: {problem}");
    }
    assert!(validate.err.contains(&format!("{expected} errors in 1 file")), "{}", validate.err);
}

#[test]
fn a_value_of_the_tenant_is_shown_with_what_nobody_sees_in_it() {
    let (desk, folder) = (Desk::new(), Folder::repository());
    let tenant = desk.simulate("--profile calm --speed instant");
    for (serial, tag) in
        [("TEST-1", "T\\u200b"), ("TEST-2", "T\\u202e"), ("TEST-3", "##vso[x]"), ("TEST-4", "T\\u00a0X")]
    {
        let vendor =
            format!(r#"{{"serial": "{serial}", "manufacturer": "Contoso", "model": "Model 1", "groupTag": "T"}}"#);
        post(&tenant.url, "/_sim/vendor", &vendor);
        post(&tenant.url, "/_sim/tag", &format!(r#"{{"serial": "{serial}", "groupTag": "{tag}"}}"#));
    }
    // A vendor's devices come with the next sync.
    post(&tenant.url, "/_sim/sync", "{}");
    post(&tenant.url, "/_sim/advance", r#"{"by": "2h"}"#);
    folder.write("tenant.yaml", tenant_manifest(&at_url(&tenant.url)));
    folder.write(
        "devices.yaml",
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {name: s}\nspec:\n  defaults: {groupTag: T}\n  \
         devices: [{serialNumber: TEST-1}, {serialNumber: TEST-2}, {serialNumber: TEST-3}, {serialNumber: TEST-4}]\n",
    );
    let plan = |more: &str| {
        let mut command = command(
            &folder,
            &format!("plan . --allow-endpoint 127.0.0.1 --approve-updates 4 --approve-adopts 4 {more}"),
        );
        Bounds::default().hold(command.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET))
    };
    let text = plan("");
    assert_eq!(text.code, 0, "{}", text.err);
    assert!(text.out.contains(r#""T\u{200b}" → "T""#) && text.out.contains(r#""T\u{202e}" → "T""#), "{}", text.out);
    assert!(text.out.contains(r#""T\u{a0}X" → "T""#), "{}", text.out);
    let diff = plan("--diff");
    assert!(diff.out.contains(r#"-groupTag: "T\u200b""#), "{}", diff.out);
    let json = plan("--json");
    assert!(json.out.contains(r#""T\u200b""#) && json.json().to_string().contains("T\u{200b}"), "{}", json.out);
    for ran in [text, diff, json] {
        assert_says_no_more_than_it_shows(&ran.out);
        assert_says_no_more_than_it_shows(&ran.err);
    }
}

fn post(url: &str, path: &str, body: &str) {
    let mut stream = std::net::TcpStream::connect(url.trim_start_matches("http://")).expect("it listens");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it can be written to");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Where a long text is broken into lines, whatever stood in its middle begins one.
#[test]
fn a_line_that_is_broken_forges_none() {
    let folder = Folder::repository();
    folder.write("tenant.yaml", tenant_manifest("scope: {groupTags: [\"OSL-*\"]}"));
    for (name, width) in [("80", 60), ("80", 70), ("100", 90), ("120", 100)] {
        let tag = format!("{} ::add-mask::register {}", "x".repeat(width), "y".repeat(width));
        let device = format!(
            "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {{name: a}}\nspec: {{serialNumber: A1, groupTag: '{tag}', '{tag}': 1}}\n"
        );
        folder.write("a.yaml", &device);
        let validate = Bounds::default().hold(command(&folder, "validate .").env("COLUMNS", name));
        assert_says_no_more_than_it_shows(&validate.err);
        folder.write("a.yaml", device.replace(&format!(", '{tag}': 1"), ""));
        let plan = Bounds::default().hold(command(&folder, "plan . --simulate").env("COLUMNS", name));
        assert!(plan.out.contains("add-mask"), "{}{}", plan.out, plan.err);
        assert_says_no_more_than_it_shows(&plan.out);
        assert_says_no_more_than_it_shows(&plan.err);
    }
}

#[test]
fn words_of_a_file_forge_no_line() {
    let folder = hostile("forged");
    for words in ["validate .", "plan . --simulate", "plan . --simulate --json", "validate . --json -vvv"] {
        let ran = run(&folder, words);
        assert_eq!(ran.code, 3, "{words}: {}", ran.err);
        assert!(ran.err.contains(r"forged by a k") || words.contains("json"), "{words}: {}", ran.err);
        assert_says_no_more_than_it_shows(&ran.out);
        assert_says_no_more_than_it_shows(&ran.err);
    }
}

#[cfg(unix)]
#[test]
fn a_name_of_a_file_is_written_out_once() {
    let folder = Folder::repository();
    folder.write("tenant.yaml", tenant_manifest("cloud: Global"));
    let device =
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a}\nspec: {serialNumber: A1}\n";
    folder.write("a\nü\u{202e}.yaml", device);
    for (locale, shown) in [("C.UTF-8", r"a\u{a}ü\u{202e}.yaml:4"), ("C", r"a\u{a}\u{fc}\u{202e}.yaml:4")] {
        let plan = Bounds::default().hold(command(&folder, "plan --simulate").env("LC_ALL", locale));
        assert!(plan.out.contains(shown), "{locale}: {}{}", plan.out, plan.err);
    }
}

#[cfg(unix)]
#[test]
fn a_name_of_a_file_forges_no_line() {
    let folder = Folder::repository();
    folder.write("tenant.yaml", tenant_manifest("cloud: Global"));
    let device =
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a}\nspec: {serialNumber: A1, x: 1}\n";
    folder.write("a\n::error file=b.yaml,line=1::forged\n.yaml", device);
    folder.write("b\u{1b}[2J\u{85}\u{2028}\u{202e}.yaml", device);
    folder.write("c\n::error::forged/c.yaml", "apiVersion: apgit.dev/v1alpha1\nkind: Nothing\n");
    let text = run(&folder, "validate .");
    assert_eq!(text.code, 3);
    assert!(text.err.contains(r"a\u{a}::error file=b.yaml,line=1::forged\u{a}.yaml:4:"), "{}", text.err);
    assert!(text.err.contains(r"b\u{1b}[2J\u{85}\u{2028}\u{202e}.yaml"), "{}", text.err);
    let json = run(&folder, "validate . --json");
    for problem in json.json()["problems"].as_array().expect("problems") {
        assert_says_no_more_than_it_shows(problem["places"][0]["file"].as_str().expect("a name"));
    }
    let named = run(&folder, "plan --simulate --report text=n\u{85}o/report.txt");
    let missing = Bounds::default().hold(&mut apgit(folder.path(), ["validate", "no\n::error::forged"]));
    for ran in [text, json, named, missing] {
        assert_ne!(ran.code, 0);
        assert_says_no_more_than_it_shows(&ran.out);
        assert_says_no_more_than_it_shows(&ran.err);
    }
}

#[cfg(unix)]
#[test]
fn a_name_of_a_file_is_no_command_where_it_begins_a_line() {
    let folder = Folder::repository();
    folder.write("tenant.yaml", tenant_manifest("cloud: Global"));
    let device = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a}\n\
                  spec: {serialNumber: A1, groupTag: T, adopt: true, x: 1}\n";
    for name in ["::warning file=x,line=1::all good.yaml", "  ::error::forged.yaml"] {
        folder.write(name, device.replace(", adopt: true, x: 1", ""));
        let shown = name.trim_start().replacen(':', "u{3a}", 1);
        for words in
            ["plan . --simulate", "plan . --simulate --diff", "validate .", "apply . --simulate --auto-approve"]
        {
            let ran = run(&folder, words);
            assert!(!ran.out.is_empty() || !ran.err.is_empty(), "{words}");
            assert_says_no_more_than_it_shows(&ran.out);
            assert_says_no_more_than_it_shows(&ran.err);
            if words == "plan . --simulate" {
                assert!(ran.out.contains(&shown), "{words}: {}{}", ran.out, ran.err);
            }
        }
        folder.write(name, device);
        let refused = run(&folder, "validate .");
        assert!(refused.code == 3 && refused.err.contains(&shown), "{}", refused.err);
        assert_says_no_more_than_it_shows(&refused.err);
        std::fs::remove_file(folder.at(name)).expect("it is there");
    }
}

/// Answers every request with this status and body.
fn server(status: u16, headers: &str, body: impl Into<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    let (headers, body) = (headers.to_owned(), body.into());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let length = body.len();
            let mut stream = stream.into_inner();
            let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    url
}

#[test]
fn words_of_a_server_forge_no_line_and_repeat_no_secret() {
    let said = "no\\n::error::forged\\u001b[2J\\u2028::warning::forged\\u202e";
    let body = format!(
        r#"{{"error": "invalid\n::error::forged", "error_description": "{said} {SECRET}",
            "trace_id": "1\n::error::forged", "correlation_id": "2\u0085::error::forged"}}"#
    );
    let folder = Folder::repository();
    let url = server(400, "Content-Type: application/json\r\n", body.replace("\n ", " "));
    folder.write("tenant.yaml", tenant_manifest(&at_url(&url)));
    for words in ["plan .", "plan . --json", "plan . -vvv --report json=report.json"] {
        let ran = run(&folder, &format!("{words} --allow-endpoint 127.0.0.1"));
        assert_eq!(ran.code, 4, "{}", ran.err);
        assert_says_no_more_than_it_shows(&ran.err);
        assert_says_no_more_than_it_shows(&ran.out);
        for text in [&ran.err, &ran.out] {
            assert!(!text.contains(&SECRET[..20]), "{text}");
        }
    }
    assert!(!folder.read("report.json").contains(&SECRET[..20]));
}

/// No piece of a hash, in either alphabet.
#[track_caller]
fn assert_shows_no_piece(hash: &str, text: &str) {
    for hash in [hash.to_owned(), hash.replace('+', "-").replace('/', "_")] {
        let windows = hash.as_bytes().windows(12).map(|piece| std::str::from_utf8(piece).expect("ASCII"));
        let shown = windows.filter(|piece| !piece.contains("AAAA")).find(|piece| text.contains(piece));
        assert_eq!(shown, None, "{text}");
    }
}

#[test]
fn words_of_a_server_show_no_piece_of_a_hash_and_are_written_out_once() {
    let hash = machine(1).hash().to_base64();
    let url_safe = hash.replace('+', "-").replace('/', "_");
    let wrapped = |text: &str, width: usize, between: &str| -> String {
        text.as_bytes().chunks(width).map(|piece| String::from_utf8_lossy(piece).into_owned() + between).collect()
    };
    for said in [
        hash.clone(),
        hash[400..700].to_owned(),
        url_safe[500..560].to_owned(),
        wrapped(&hash, 20, "\\n"),
        wrapped(&hash, 64, "\\r\\n"),
        wrapped(&url_safe, 24, " "),
    ] {
        let body = format!(r#"{{"error": {{"code": "BadRequest", "message": "a literal\nlike '{said}' is none"}}}}"#);
        let ran = plan(token("\"expires_in\": 3600"), answer(400, JSON, body.as_bytes()));
        assert!(ran.code == 1 && ran.err.contains(r"a literal\u{a}like '"), "{}", ran.err);
        assert_shows_no_piece(&hash, &ran.err);
        let body =
            format!(r#"{{"error": "invalid_request", "error_description": "a literal\nlike '{said}' is none"}}"#);
        let ran = plan(answer(400, JSON, body.as_bytes()), Vec::new());
        assert!(ran.code == 4 && ran.err.contains("a literal"), "{}", ran.err);
        assert_shows_no_piece(&hash, &ran.err);
    }
}

#[test]
fn a_piece_of_a_hash_in_a_registration_is_not_shown() {
    let hash = machine(1).hash().to_base64();
    let registrations = format!(
        r#"{{"value": [{{"id": "00000000-0000-4000-8000-000000000001", "serialNumber": "A1", "groupTag": "{}", "displayName": "{}"}},
           {{"id": "00000000-0000-4000-8000-000000000002", "serialNumber": "{}"}}]}}"#,
        &hash[700..1000],
        &hash[1100..1200],
        &hash[1300..1500],
    );
    let device = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a}\n\
                  spec: {serialNumber: A1, groupTag: T}\n";
    let folder = Folder::repository();
    let url = tenant_with(&registrations);
    folder.write("tenant.yaml", tenant_manifest(&at_url(&url)));
    folder.write("device.yaml", device);
    for words in ["plan .", "plan . --json", "plan . --diff", "plan . -vvv --report json=report.json", "status ."] {
        let approved = if words.starts_with("plan") { "--approve-adopts 9 --approve-updates 9" } else { "" };
        let ran = run(&folder, &format!("{words} --allow-endpoint 127.0.0.1 {approved}"));
        assert!(
            ran.code == 0 && (ran.out.contains("A1") || words.contains("--diff")),
            "{words}: {}{}",
            ran.out,
            ran.err
        );
        assert_shows_no_piece(&hash, &ran.out);
        assert_shows_no_piece(&hash, &ran.err);
    }
    assert_shows_no_piece(&hash, &folder.read("report.json"));
}

#[test]
fn a_secret_of_the_environment_is_not_repeated_from_a_file() {
    let folder = Folder::repository();
    folder.write("tenant.yaml", tenant_manifest("cloud: Global"));
    folder.write(
        "device.yaml",
        format!("apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {{name: a}}\nspec:\n  serialNumber: A1\n  {SECRET}: 1\n"),
    );
    for words in ["validate .", "validate . --json", "plan . --simulate --report json=report.json"] {
        let ran = run(&folder, words);
        assert_eq!(ran.code, 3, "{}", ran.err);
        assert!(!ran.err.contains(SECRET) && !ran.out.contains(SECRET), "{}{}", ran.err, ran.out);
        assert!((ran.err + &ran.out).contains("has no field `‹hidden›`"));
    }
    assert!(!folder.read("report.json").contains(SECRET));
}

#[test]
fn no_line_with_a_piece_of_a_hash_is_shown() {
    let hash = machine(1).hash().to_base64();
    let url_safe = hash.replace('+', "-").replace('/', "_");
    let pieces = |text: &str, width: usize, before: &str| -> String {
        let pieces = text.as_bytes().chunks(width).map(|piece| String::from_utf8_lossy(piece).into_owned());
        pieces.map(|piece| format!("  {before}{piece}\n")).collect()
    };
    let head =
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a}\nspec:\n  serialNumber: A1\n";
    let mistakes = [
        // Keys that are unknown, on the lines of a hash.
        format!("{head}  x: 1 # {hash}\n  y: 1 # {url_safe}\n"),
        format!("{head}  x: 1 # {}\n", &url_safe[500..560]),
        format!("{head}  x: 1 # {}\n", &hash[1000..1040]),
        format!("{head}{}  x: 1\n", pieces(&url_safe, 64, "# ")),
        format!("{head}{}  x: 1\n", pieces(&hash, 16, "# ")),
        format!("{head}  groupTag: |\n{}", pieces(&url_safe, 76, "  ")),
        format!("{head}  groupTag:\n{}  x: [\n", pieces(&hash, 48, "  ")),
        format!(
            "{head}  groupTag: \"{}\"\n  x: 1\n",
            url_safe.as_bytes().chunks(8).map(|c| String::from_utf8_lossy(c) + " ").collect::<String>()
        ),
    ];
    // What separates pieces is whatever somebody wrote; and each may have a line of its own.
    let separators =
        [": ", ".", "; ", " * ", ") (", "<br>", "%0A", "&#10;", "\u{a0}", "\u{ad}", "\u{200b}", "~", " and "];
    let joined = separators.map(|between| {
        let pieces: Vec<_> = hash.as_bytes().chunks(31).map(String::from_utf8_lossy).collect();
        format!("{head}  x: 1 # {}\n", pieces.join(between))
    });
    let lines = hash.as_bytes()[..1200].chunks(31).enumerate();
    let lines = lines.map(|(at, piece)| format!("  y{at}: 1 # * {}\n", String::from_utf8_lossy(piece)));
    let lines = format!("{head}{}", lines.collect::<String>());
    for (number, mistake) in mistakes.iter().chain(&joined).chain([&lines]).enumerate() {
        let folder = Folder::repository();
        folder.write("tenant.yaml", tenant_manifest("cloud: Global"));
        folder.write("device.yaml", mistake);
        for words in ["validate .", "validate . --json"] {
            let ran = run(&folder, words);
            assert_eq!(ran.code, 3, "{number}: {}", ran.err);
            assert_shows_no_piece(&hash, &ran.err);
            assert_shows_no_piece(&hash, &ran.out);
        }
    }
}

#[test]
fn the_journal_is_not_where_a_tenant_wishes() {
    assert_eq!(TENANT.len(), 36, "a GUID, whatever a manifest says: nothing of it leads out of the state folder");
    let folder = Folder::repository();
    folder.write("tenant.yaml", tenant_manifest("cloud: Global").replace(TENANT, "../../../../tmp/x"));
    let plan = run(&folder, "plan . --simulate");
    assert!(plan.code == 3 && plan.err.contains("tenantId"), "{}", plan.err);
    assert!(!folder.at("state").exists());
}
