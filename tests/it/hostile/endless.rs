//! Nothing hangs, fills or ends a run: small files that ask for much, files that
//! are none, and servers that never come to an end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use super::service::{JSON, answer, gzipped, plan, plan_within, token};
use crate::support::{Bounds, Desk, Folder, Ran, apgit, machine, tenant_manifest};

const HEAD: &str =
    "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a}\nspec:\n  serialNumber: A1\n";

fn repository() -> Folder {
    let folder = Folder::repository();
    folder.write("tenant.yaml", tenant_manifest("cloud: Global"));
    folder
}

fn command(folder: &Folder, words: &str) -> Command {
    let mut command = apgit(folder.path(), words.split_whitespace());
    command.env("XDG_STATE_HOME", folder.at("state")).env("AZURE_CLIENT_SECRET", "a-secret-of-nobody");
    command
}

#[track_caller]
fn run(folder: &Folder, words: &str) -> Ran {
    Bounds::default().hold(&mut command(folder, words))
}

/// Validates one hostile file beside a tenant: it is refused, says this, and
/// shows no more than 200 problems of it.
#[track_caller]
fn check(text: &str, says: &[&str]) -> Ran {
    let folder = repository();
    folder.write("hostile.yaml", text);
    let ran = run(&folder, "validate .");
    let start = ran.err.chars().take(2000).collect::<String>();
    assert_eq!(ran.code, 3, "{start}");
    for says in says {
        assert!(ran.err.contains(says), "{says}: {start}");
    }
    let shown = ran.err.lines().filter(|line| line.starts_with("error[")).count();
    assert!(shown <= 202, "{shown} problems");
    let json = run(&folder, "validate . --json");
    assert!(json.json()["problems"].as_array().expect("problems").len() <= 202);
    ran
}

#[test]
fn aliases_add_no_more_than_a_file_may() {
    // 160 KB of anchors, each of which was copied with all that is in it.
    let list = format!("[{}]", vec!["{a: b}"; 9_000].join(", "));
    let aliases = |count: usize| (0..count).map(|at| format!("  x{at}: *a\n")).collect::<String>();
    check(&format!("{HEAD}  x: &a {list}\n{}", aliases(8_000)), &["error[alias-budget]"]);
    // An anchor in an anchor in an anchor.
    let nested = (0..60).map(|at| format!("&n{at} [")).collect::<String>();
    check(&format!("{HEAD}  x: {nested}{list}{}\n", "]".repeat(60)), &["error[alias-budget]"]);
    // A text that is its own, since an escape had to be resolved.
    check(&format!("{HEAD}  x: &a \"\\x41{}\"\n{}", "y".repeat(200_000), aliases(5_000)), &["error[alias-budget]"]);
    // Many documents, each with a little.
    let document = format!("{HEAD}  x: &a {list}\n{}---\n", aliases(20));
    check(&document.repeat(20), &["error[alias-budget]"]);
}

#[test]
fn a_million_problems_of_a_file_are_told_by_their_number() {
    let keys = |count: usize| (0..count).map(|at| format!("  key-{at}: 1\n")).collect::<String>();
    check(&format!("{HEAD}{}", keys(100_000)), &["more errors of this file are not shown", "100000 errors in 1 file"]);
    check(&format!("{HEAD}{}", "  groupTag: A\n".repeat(100_000)), &["error[duplicate-key]", "99999 errors in 1 file"]);
    let pairs = (0..50_000).map(|at| format!("  k{at}: 1\n  k{at}: 2\n")).collect::<String>();
    check(&format!("{HEAD}{pairs}"), &["error[duplicate-key]", "more errors of this file"]);
    let empty = "  devices: [".to_owned() + &"{}, ".repeat(100_000) + "]\n";
    let set = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {name: s}\nspec:\n";
    check(&format!("{set}{empty}"), &["more errors of this file"]);
    check(&format!("{HEAD}{}: 1\n", "k".repeat(100_000)), &["error[yaml]"]);
    check(&format!("{HEAD}  ? {}\n  : 1\n", "k ".repeat(2_000_000)), &["error[unknown-field]"]);
}

#[test]
fn a_file_of_one_line_costs_no_more_than_one_of_many() {
    let fields = (0..100_000).map(|at| format!(r#", "k{at}": 1"#)).collect::<String>();
    let head = r#"{"apiVersion": "apgit.dev/v1alpha1", "kind": "AutopilotDevice", "metadata": {"name": "a"}, "spec": {"serialNumber": "A1""#;
    check(&format!("{head}{fields}}}}}\n"), &["error[unknown-field]", "100000 errors in 1 file"]);
    let same = r#", "groupTag": "A""#.repeat(100_000);
    check(&format!("{head}{same}}}}}\n"), &["error[duplicate-key]", "99999 errors in 1 file"]);
}

#[test]
fn hashes_in_comments_are_found_in_one_look() {
    let start = &machine(1).hash().to_base64()[..240];
    let comments = format!("# {start}\n").repeat(10_000);
    check(&format!("{HEAD}{comments}"), &["error[raw-hash]", "10000 errors in 1 file"]);
    check(
        &format!("{HEAD}# {}\n", format!("{start} ; ").repeat(10_000)),
        &["error[raw-hash]", "10000 errors in 1 file"],
    );
    let values = format!("  - {start}\n").repeat(10_000);
    check(&format!("{HEAD}  x:\n{values}"), &["error[raw-hash]"]);
    // What only begins like one.
    check(&format!("{HEAD}  x: 1\n# {}\n", "T0E ".repeat(200_000)), &["error[unknown-field]"]);
    check(&format!("{HEAD}  x: 1\n{}", "# T0E\n".repeat(100_000)), &["error[unknown-field]"]);
}

#[test]
fn contradictions_are_located_by_reading_each_file_once() {
    let set = |name: usize| {
        let devices = (0..500).map(|at| format!("    - serialNumber: S{}-{at}\n", name / 2)).collect::<String>();
        format!(
            "---\napiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {{name: s{name}}}\nspec:\n  devices:\n{devices}"
        )
    };
    let sets = (0..60).map(set).collect::<String>();
    check(&sets, &["error[duplicate-serial]", "15000 errors in 1 file"]);
    let tenants = (0..2_000).map(|at| tenant_manifest("cloud: Global").replace("contoso", &format!("t{at}")) + "---\n");
    let devices = (0..2_000)
        .map(|at| format!("{HEAD}  tenantRef: {{name: u{at}}}\n---\n").replace("name: a}", &format!("name: d{at}}}")));
    check(&tenants.chain(devices).collect::<String>(), &["error[unknown-tenant]", "more errors of this file"]);
}

/// Devices with hashes in one CSV, each row as often as said.
fn rows(folder: &Folder, count: u64, times: usize, before: &str) {
    let mut csv = format!("Device Serial Number,Windows Product ID,Hardware Hash\r\n{before}");
    let mut sets = String::new();
    for number in 0..count {
        if number % 500 == 0 {
            sets += &format!(
                "---\napiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {{name: s{number}}}\nspec:\n  defaults: {{hardwareHashRef: {{csv: hashes.csv}}}}\n  devices:\n"
            );
        }
        sets += &format!("    - serialNumber: TEST-{number:06}\n");
        let row = format!("TEST-{number:06},,{}\r\n", machine(number).hash().to_base64());
        csv += &row.repeat(times);
    }
    folder.write("hashes.csv", csv);
    folder.write("devices.yaml", sets);
}

#[test]
fn honest_rows_that_stand_twice_are_read_where_they_stand() {
    let folder = repository();
    rows(&folder, 3_000, 2, "");
    let ran = Bounds { seconds: 60, ..Bounds::default() }.hold(&mut command(&folder, "validate ."));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("3000 devices"), "{}", ran.out);
}

#[test]
fn rows_behind_letters_that_are_not_ascii_are_read_where_they_stand() {
    let folder = repository();
    rows(&folder, 1_000, 1, "Zürich €,,\r\n");
    let text = folder.read("hashes.csv");
    let latin: Vec<u8> =
        text.chars().map(|c| if c == '€' { 0x80 } else { u8::try_from(u32::from(c)).expect("Latin") }).collect();
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for bytes in [text.into_bytes(), latin, utf16] {
        folder.write("hashes.csv", bytes);
        let ran = run(&folder, "validate .");
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
}

#[test]
fn a_csv_has_as_many_rows_and_cells_as_a_collector_writes() {
    let bad = [
        ("Serial Number,Hardware Hash\n".to_owned() + &"a,b\n".repeat(2_000_000), "more than 200000 rows"),
        ("Serial Number,Hardware Hash\n".to_owned() + &",".repeat(20_000_000), "line 2 has more than 1000 cells"),
        // Quotation marks in the middle: a reader of CSVs leaves them out, and the cell stands nowhere as it is.
        (
            "Serial Number,Hardware Hash\n".to_owned()
                + &format!("a,\"{}\"{}\n", "T0EA".repeat(40), "AAAA".repeat(40)).repeat(30_000),
            "could not be read",
        ),
    ];
    for (csv, says) in bad {
        let folder = repository();
        folder.write("device.yaml", format!("{HEAD}  hardwareHashRef: {{csv: hashes.csv}}\n"));
        folder.write("hashes.csv", csv);
        let ran = run(&folder, "validate .");
        assert_eq!(ran.code, 3, "{}", ran.err);
        assert!(ran.err.contains(says), "{says}: {}", ran.err);
    }
}

#[test]
fn a_file_with_one_hash_is_small() {
    let folder = repository();
    folder.write("device.yaml", format!("{HEAD}  hardwareHashRef: {{file: hash.txt}}\n"));
    folder.write("hash.txt", machine(1).hash().to_base64() + &" ".repeat(64 << 10));
    let ran = run(&folder, "validate .");
    assert!(ran.code == 3 && ran.err.contains("the file has more than 65536 bytes"), "{}", ran.err);
}

#[test]
fn an_xml_has_no_more_in_it_than_that_of_a_collector() {
    let each = |count: usize, text: fn(usize) -> String| (0..count).map(text).collect::<String>();
    let attributes = each(60_000, |at| format!("a{at}=\"\" "));
    let namespaces = each(30_000, |at| format!("xmlns:a{at}=\"u{at}\" "));
    let elements = each(20_000, |at| format!("<a{at} b{at}=''/>"));
    let soon = Bounds { seconds: 10, ..Bounds::default() };
    for xml in [format!("<Key {attributes}/>"), format!("<Key {namespaces}/>"), format!("<Key>{elements}</Key>")] {
        let folder = repository();
        folder.write("OA3.xml", &xml);
        let ran = soon.hold(&mut command(&folder, "hash OA3.xml"));
        assert!(ran.code == 3 && ran.err.contains("more attributes than an OA3.xml"), "{}", ran.err);
    }
    let folder = repository();
    folder.write("OA3.xml", format!("<Key>{}</Key>", "<a/>".repeat(200_000)));
    let ran = soon.hold(&mut command(&folder, "hash OA3.xml"));
    assert!(ran.code == 3 && ran.err.contains("the XML has a fault"), "{}", ran.err);
}

#[test]
fn places_that_a_policy_allows_are_told_once_and_not_all() {
    let folder = repository();
    let entry = |number: usize, path: &dyn Fn(usize) -> String| {
        let paths = (0..100).map(|at| path(100 * number + at)).collect::<Vec<_>>().join(", ");
        format!("  - {{groupTag: \"*\", paths: [{paths}]}}\n")
    };
    let devices = (0..1_000).map(|at| format!("    - {{serialNumber: A{at}, groupTag: T{at}}}\n")).collect::<String>();
    let set = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {name: s}\nspec:\n  devices:\n";
    folder.write("devices.yaml", format!("{set}{devices}"));
    let soon = Bounds { seconds: 20, ..Bounds::default() };
    for (path, says) in [
        (&(|_| "oslo".to_owned()) as &dyn Fn(usize) -> String, "allows it in `oslo`\n"),
        (&|at| format!("p{at}"), "`p9` and 9990 more\n"),
    ] {
        let policy = (0..100).map(|number| entry(number, path)).collect::<String>();
        folder.write("tenant.yaml", format!("{}  tagPolicy:\n{policy}", tenant_manifest("cloud: Global")));
        let ran = soon.hold(&mut command(&folder, "validate ."));
        assert_eq!(ran.code, 3);
        assert!(ran.err.len() < 1 << 20, "{}", ran.err.len());
        let start = ran.err.chars().take(2000).collect::<String>();
        assert!(ran.err.contains("error[tag-not-allowed-here]") && ran.err.contains(says), "{start}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_file() {
    let pipe = |folder: &Folder, name: &str| {
        assert!(Command::new("mkfifo").arg(folder.at(name)).status().expect("mkfifo is here").success());
    };
    let soon = Bounds { seconds: 10, ..Bounds::default() };
    let folder = repository();
    pipe(&folder, "devices.yaml");
    for words in ["validate .", "validate devices.yaml", "plan . --simulate", "validate /dev/zero"] {
        let ran = soon.hold(&mut command(&folder, words));
        assert!(ran.code == 3 && ran.err.contains("this is not a file"), "{words}: {}", ran.err);
    }
    let folder = repository();
    pipe(&folder, "hash.txt");
    for words in ["hash hash.txt", "hash /dev/zero", "hash .", "hash - --fingerprint-key hash.txt"] {
        let ran = soon.hold(&mut command(&folder, words));
        assert!(ran.code == 1 && ran.err.contains("is not a file"), "{words}: {}", ran.err);
    }
    for kind in ["file", "csv"] {
        folder.write("device.yaml", format!("{HEAD}  hardwareHashRef: {{{kind}: hash.txt}}\n"));
        let ran = soon.hold(&mut command(&folder, "validate ."));
        assert!(ran.code == 3 && ran.err.contains("`hash.txt` is not a file"), "{}", ran.err);
    }
    // Read before anybody has looked at them.
    for name in [".gitignore", ".apgitignore"] {
        let folder = repository();
        pipe(&folder, name);
        let ran = soon.hold(&mut command(&folder, "validate ."));
        assert!(ran.code == 3 && ran.err.contains("error[ignore-file]"), "{}", ran.err);
        std::fs::remove_file(folder.at(name)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.at(name)).unwrap();
        let ran = soon.hold(&mut command(&folder, "validate ."));
        assert!(ran.code == 3 && ran.err.contains("error[ignore-file]"), "{}", ran.err);
    }
}

#[test]
fn numbers_of_a_server_neither_end_a_run_nor_keep_it_waiting() {
    let empty = || answer(200, "Content-Type: application/json\r\n", br#"{"value": []}"#);
    for numbers in [
        "\"expires_in\": 18446744073709551615",
        "\"expires_in\": 1e300",
        "\"expires_in\": 9223372036854775807, \"ext_expires_in\": 9223372036854775807",
    ] {
        let ran = plan(token(numbers), empty());
        assert!(![4, 70].contains(&ran.code), "{numbers}: {}", ran.err);
    }
    for numbers in ["\"expires_in\": -1", "\"expires_in\": \"-9223372036854775808\"", "\"expires_in\": []"] {
        let ran = plan(token(numbers), empty());
        assert!(
            ran.code == 4 && ran.err.contains("`expires_in` that is no number of seconds"),
            "{numbers}: {}",
            ran.err
        );
    }
    let wait = |seconds: &str| answer(429, &format!("Retry-After: {seconds}\r\n"), b"");
    for seconds in ["9223372036854775807", "86400", "Fri, 01 Jan 9999 00:00:00 GMT"] {
        let ran = plan(token("\"expires_in\": 3600"), wait(seconds));
        assert!(ran.code == 9 && ran.err.contains("retry after 3600 s"), "{seconds}: {}", ran.err);
        assert_eq!(plan(wait(seconds), empty()).code, 9, "{seconds}");
    }
}

#[test]
fn an_answer_ends_at_64_mib_of_text() {
    let small = gzipped((0..1024).map(|_| vec![b' '; 1 << 20]));
    assert!(small.len() < 8 << 20, "a gigabyte");
    let ran = plan(small, Vec::new());
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("answers with more than 67108864 bytes"), "{}", ran.err);
}

/// A page of registrations.
fn registrations(items: impl Iterator<Item = String>, next: &str) -> Vec<u8> {
    let start = format!(r#"{{"@odata.nextLink": "{next}", "value": ["#).into_bytes();
    let items = items.enumerate().map(|(at, item)| format!("{}{item}", if at == 0 { "" } else { "," }).into_bytes());
    gzipped([start].into_iter().chain(items).chain([b"]}".to_vec()]))
}

type Pages = Box<dyn Fn(u64, &str) -> Vec<u8> + Send>;

#[test]
fn a_listing_without_an_end_fills_no_memory() {
    let id = |number: u64| format!(r#""id": "00000000-0000-4000-8000-{number:012}""#);
    let texts = ["groupTag", "userPrincipalName", "displayName", "manufacturer", "model"]
        .map(|name| format!(r#""{name}": "{}""#, "A".repeat(4_000)))
        .join(", ");
    let huge = format!(r#"{{{}, "serialNumber": "{}"}}"#, id(1), "A".repeat(60 << 20));
    let none = vec!["{}"; 1_000].join(",");
    let long: Pages = Box::new(move |_, next| registrations([huge.clone()].into_iter(), next));
    let many: Pages = Box::new(move |_, next| registrations((0..20_000).map(|_| none.clone()), next));
    let more: Pages = Box::new(move |page, next| {
        registrations((0..3_000).map(|at| format!("{{{}, {texts}}}", id(page * 10_000 + at))), next)
    });
    for (says, pages) in
        [("a text of more than 4096", long), ("a page has more items", many), ("the listing is longer", more)]
    {
        let bounds = Bounds { seconds: 90, megabytes: 900 };
        let ran = plan_within(bounds, token("\"expires_in\": 3600"), pages);
        assert!(ran.code == 1 && ran.err.contains(says), "{says}: {} {}", ran.code, ran.err);
    }
}

#[test]
fn what_a_server_says_is_shown_in_a_line_or_two() {
    for bytes in [40 << 20, 1 << 19] {
        let body = format!(r#"{{"error": {{"code": "BadRequest", "message": "{}"}}}}"#, "no ".repeat(bytes / 3));
        let ran = plan(token("\"expires_in\": 3600"), answer(400, JSON, body.as_bytes()));
        assert_eq!(ran.code, 1, "{}", ran.err);
        assert!(ran.err.len() < 5_000, "{}", ran.err.len());
    }
}

/// Sends a request as it is to a tenant, and returns the status.
fn status(url: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).expect("it listens");
    stream
        .write_all(format!("{request}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").as_bytes())
        .expect("written");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn a_page_in_a_browser_reaches_no_simulated_tenant() {
    let desk = Desk::new();
    let tenant = desk.simulate("");
    let own = tenant.url.trim_start_matches("http://").to_owned();
    let ask = |path: &str, headers: &str| status(&tenant.url, &format!("GET {path} HTTP/1.1\r\n{headers}"));
    // A name of theirs that leads to loopback.
    for host in [
        "evil.example",
        "evil.example:8800",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "169.254.169.254",
        "x y",
        "",
    ] {
        for path in ["/_sim/counters", "/v1.0/deviceManagement", "/common/oauth2/v2.0/token"] {
            assert_eq!(ask(path, &format!("Host: {host}")), "421", "{host} {path}");
        }
    }
    for host in
        [own.as_str(), "localhost", "[::1]:8800", "127.0.0.2", "graph.microsoft.com", "login.microsoftonline.com:443"]
    {
        assert_eq!(ask("/_sim/counters", &format!("Host: {host}")), "200", "{host}");
    }
    // A page of theirs that asks by the right name.
    for origin in ["https://evil.example", "http://localhost:3000", "null", "http://127.0.0.1:1"] {
        let spellings = ["//_sim/counters", "/_SIM/state", "/%5Fsim/tenants"];
        for path in ["/_sim/counters", "/_sim/clock", "/_sim/state", "/_sim/tenants"].into_iter().chain(spellings) {
            assert_eq!(ask(path, &format!("Host: {own}\r\nOrigin: {origin}")), "403", "{origin} {path}");
        }
    }
    assert_eq!(ask("/_sim/counters", &format!("Host: {own}\r\nOrigin: {}", tenant.url)), "200");
}
