//! The read-only page: what it shows, to whom, and that nothing of what others
//! wrote is more than text on it.

mod browser;

use serde_json::{Value, json};

use crate::support::{CONTOSO, Desk, Folder, Page, Simulate, contoso, contoso_and, machine, ran, root, violations};

/// The example, applied to a simulated tenant on a port, and a page of it.
struct Scene {
    desk: Desk,
    folder: Folder,
    served: Simulate,
}

impl Scene {
    fn applied() -> Self {
        let (desk, folder) = (Desk::new(), contoso());
        let served = desk.simulate("--speed instant");
        folder.lead_to(&served.url);
        let scene = Self { desk, folder, served };
        scene.apply();
        scene
    }

    fn command(&self, words: &str) -> std::process::Command {
        let mut command = self.desk.command(&format!("{words} --allow-endpoint 127.0.0.1"));
        command.current_dir(self.folder.path()).env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        command
    }

    #[track_caller]
    fn apply(&self) {
        let apply = ran(&mut self.command("apply . --auto-approve"));
        assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    }

    /// Somebody changes a tag in the portal, and time passes.
    fn retags(&self, serial: &str, tag: &str) {
        self.served.post("tag", &json!({"serial": serial, "groupTag": tag}));
        self.served.post("advance", &json!({"by": "1h"}));
    }

    #[track_caller]
    fn page(&self, words: &str) -> Page {
        Page::start(self.command(&format!("status . --serve=127.0.0.1:0 {words}")))
    }
}

/// A page of the built-in tenant, to which the example was applied.
fn simulated(desk: &Desk, folder: &str) -> Page {
    let apply = desk.run(&format!("apply {CONTOSO} --simulate --auto-approve"));
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    Page::start(desk.command(&format!("status {folder} --simulate --serve=127.0.0.1:0")))
}

fn keeps_the_published_schema(document: &Value) {
    let published = std::fs::read_to_string(root().join("schema/page.schema.json")).expect("the published schema");
    let published: Value = serde_json::from_str(&published).expect("JSON");
    assert_eq!(violations(&published, document), Vec::<String>::new(), "{document:#}");
}

/// The serials of a page of the table, in its order.
fn serials(body: &str) -> Vec<&str> {
    let rows = body.split("data-label=\"Serial number\"><bdi>").skip(1);
    rows.map(|row| row.split('<').next().expect("a text")).collect()
}

fn matching(page: &Page, words: &str) -> u64 {
    page.get(&format!("/api/devices?tenant=contoso&{words}")).json()["matching"].as_u64().expect("a number")
}

#[test]
fn the_published_schema_is_current() {
    let schema = apgit::door::web::page_schema();
    snapbox::assert_data_eq!(format!("{schema:#}\n"), snapbox::file!["../../schema/page.schema.json": Text]);
}

#[test]
fn the_page_says_where_the_devices_stand_and_tools_are_told_the_same() {
    let desk = Desk::new();
    let page = simulated(&desk, "examples/contoso-next");
    let whole = page.get("/");
    assert_eq!((whole.status, whole.header("content-type")), (200, "text/html; charset=utf-8"));
    for words in [
        "contoso",
        "2 to change, 1 waiting",
        "11111111-2222-3333-4444-555555555555",
        "corp-devices",
        "registered, differs in group tag",
        "“OSL-STD”",
        "declared no more: its registration goes",
        "waits for its vendor to register it",
        "anna.keller@contoso.com",
        "the next one not before <time datetime=\"2026-01-05T08:10:30.5Z\">",
        "examples/<wbr>contoso-next/<wbr>devices/<wbr>oslo/<wbr>laptops.yaml:16",
        "1 to 10 of 10 devices.",
    ] {
        assert!(whole.body.contains(words), "`{words}` is not in {}", whole.body);
    }
    let site = page.get("/api/status").json();
    keeps_the_published_schema(&site);
    let reading = &site["tenants"][0]["reading"];
    assert_eq!(reading["stages"], json!({"AwaitingVendor": 1, "InSync": 7, "ToDeregister": 1, "ToUpdate": 1}));
    assert_eq!((&reading["registered"], &reading["simulated"]), (&json!(9), &json!(true)));
    let devices = page.get("/api/devices?tenant=contoso&q=OSL-004").json();
    keeps_the_published_schema(&devices);
    assert_eq!((&devices["total"], &devices["matching"]), (&json!(10), &json!(1)));
    let device = &devices["devices"][0];
    assert_eq!((&device["serialNumber"], &device["stage"]), (&json!("TEST-OSL-004"), &json!("ToUpdate")));
    assert_eq!(device["changes"], json!([{"path": "groupTag", "tenant": "OSL-STD", "declared": "OSL-LOANER"}]));
    let unknown = page.get("/api/devices?tenant=nobody");
    keeps_the_published_schema(&unknown.json());
    assert_eq!((unknown.status, page.get("/?tenant=nobody").status), (404, 404));
    let ended = page.stop();
    assert_eq!(ended.code, 0, "{}", ended.err);
}

#[test]
fn what_is_held_and_what_others_have_changed_stands_with_what_to_do() {
    let scene = Scene::applied();
    scene.retags("TEST-BGO-002", "BGO-LENT");
    scene.folder.edit("devices/oslo/kiosks.yaml", "displayName: LOBBY-01", "displayName: LOBBY-09\n  suspend: true");
    let page = scene.page("");
    let body = page.body("/");
    for words in [
        "Held: 1",
        "suspended in its declaration",
        "remove <code>suspend: true</code> from the declaration",
        "Changed by others: 1",
        "“BGO-LENT”</bdi> in the tenant, <bdi class=\"value\">“BGO-STD”</bdi> declared",
        "The next apply sets it back.",
    ] {
        assert!(body.contains(words), "`{words}` is not in {body}");
    }
    let site = page.get("/api/status").json();
    keeps_the_published_schema(&site);
    let reading = &site["tenants"][0]["reading"];
    assert_eq!((&reading["held"][0]["reason"], &reading["held"][0]["devices"]), (&json!("Suspended"), &json!(1)));
    assert_eq!(reading["held"][0]["remedies"][0]["code"], "RemoveSuspend");
    assert_eq!(reading["drift"]["devices"][0]["drift"]["fields"][0]["tenant"], "BGO-LENT");
    let devices = page.get("/api/devices?tenant=contoso&show=held").json();
    keeps_the_published_schema(&devices);
    assert_eq!(devices["devices"][0]["reason"], "Suspended");
}

#[test]
fn the_filter_the_order_and_the_pages_need_no_script() {
    let desk = Desk::new();
    let page = simulated(&desk, "examples/contoso-next");
    let body = page.body("/");
    // What the form and the links ask for is what is answered.
    for part in ["method=\"get\"", "name=\"q\"", "name=\"show\"", "<option value=\"ToUpdate\">", "type=\"submit\""] {
        assert!(body.contains(part), "{part}");
    }
    assert!(body.contains("href=\"?tenant=contoso&amp;sort=tag#devices\""), "{body}");
    let of = |query: &str| page.body(&format!("/?tenant=contoso&{query}"));
    assert_eq!(serials(&of("q=BGO")), ["TEST-BGO-001", "TEST-BGO-002", "TEST-BGO-003"]);
    assert_eq!(serials(&of("q=bgo+INES")), ["TEST-BGO-001"], "every word, however it is written");
    assert_eq!(serials(&of("q=kiosks.yaml&sort=-serial")), ["TEST-KSK-002", "TEST-KSK-001"]);
    assert_eq!(serials(&of("show=ToUpdate")), ["TEST-OSL-004"]);
    assert_eq!(serials(&of("show=open")), ["TEST-BGO-003", "TEST-OSL-004", "TEST-OSL-005"]);
    assert!(of("show=ToUpdate").contains("<option value=\"ToUpdate\" selected>"));
    assert!(of("q=nothing-like-it").contains("None of 10 devices."));
    let second = of("size=4&page=2&sort=-serial");
    assert_eq!(serials(&second), ["TEST-OSL-001", "TEST-KSK-002", "TEST-KSK-001", "TEST-BGO-003"]);
    assert!(second.contains("Page 2 of 3") && second.contains("aria-sort=\"descending\""), "{second}");
    assert!(second.contains("href=\"?tenant=contoso&amp;sort=-serial&amp;page=3&amp;size=4#devices\""), "{second}");
    assert_eq!(serials(&of("size=4&page=99&sort=serial")), ["TEST-OSL-004", "TEST-OSL-005"], "the last one there is");
    for column in ["serial", "tag", "user", "stage", "since", "place"] {
        let (up, down) = (of(&format!("sort={column}")), of(&format!("sort=-{column}")));
        let mut turned = serials(&down);
        turned.reverse();
        assert_eq!(serials(&up), turned, "{column}");
    }
    assert_eq!(serials(&of("sort=user"))[..2], ["TEST-OSL-003", "TEST-BGO-001"], "who has none stands last");
    // The part that a script asks for is the same part.
    let part = of("q=BGO&part=table");
    assert!(part.starts_with("<div id=\"table\">") && of("q=BGO").contains(&part), "{part}");
    // Nonsense is no error.
    assert_eq!(serials(&of("sort=%3Cb%3E&page=-1&size=many&show=%22")).len(), 0);
    assert_eq!(serials(&of("sort=%3Cb%3E&page=-1&size=many")).len(), 10);
}

/// No element, attribute or address but ours: each `<` begins a name that the page
/// itself uses.
fn assert_is_ours(body: &str) {
    const KNOWN: &str = "a bdi body button caption dd details div dl dt form footer h1 h2 h3 head header html input \
                         label li link wbr code main meta nav optgroup option p script section select span strong summary \
                         table tbody td th thead time title tr ul !DOCTYPE";
    for part in body.split('<').skip(1) {
        let name: String =
            part.trim_start_matches('/').chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '!').collect();
        assert!(KNOWN.split_whitespace().any(|known| known == name), "<{name}> in {body}");
        let within = part.split('>').next().unwrap_or_default();
        assert!(!within.contains(" on") && !within.contains("style="), "<{within}>");
    }
    assert_eq!(body.matches("<script").count(), 1, "ours alone");
    assert!(!body.contains("javascript:") && !body.contains("://"), "nothing leads elsewhere");
    let unseen = body.chars().find(|c| *c != '\n' && apgit::door::model::is_unseen(*c));
    assert_eq!(unseen, None, "{body}");
}

#[test]
fn what_others_wrote_is_text_and_all_of_it_is_seen() {
    let scene = Scene::applied();
    const TAG: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>";
    scene.retags("TEST-BGO-002", TAG);
    scene.retags("TEST-OSL-001", "A\u{202e}B\u{200b}");
    let piece = machine(1).hash().to_base64()[700..1000].to_owned();
    scene.retags("TEST-OSL-002", &piece);
    // A file may be called anything.
    let text = "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: x}\nspec: {serialNumber: EVIL-1, groupTag: \"<b>&amp;'\"}\n";
    scene.folder.write("devices/<svg onload=alert(3)>\u{202e}.yaml", text);
    let page = scene.page("");
    let query = "q=%22%3E%3Cscript%3Ealert(4)%3C%2Fscript%3E%E2%80%AE&show=%22%3E%3Cscript%3E&sort=%3Cscript%3E";
    for path in ["/", "/?show=drift", &format!("/?{query}"), &format!("/?tenant=%3Cscript%3E{query}"), "/?q=EVIL"] {
        let answer = page.get(path);
        assert_is_ours(&answer.body);
        assert!(!answer.body.contains(&piece[..60]), "a piece of a hash: {path}");
    }
    let body = page.body("/");
    assert!(body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{body}");
    assert!(body.contains(r"A\u{202e}B\u{200b}") && body.contains("‹hidden›"), "{body}");
    assert!(
        body.contains(r"devices/<wbr>&lt;svg onload=alert(3)&gt;\u{202e}.yaml") && body.contains("&lt;b&gt;&amp;amp;'"),
        "{body}"
    );
    let json = page.body("/api/status") + &page.body("/api/devices?tenant=contoso");
    assert!(!json.contains(&piece[..60]) && json.contains("‹hidden›"), "{json}");
    assert!(!json.chars().any(|c| c != '\n' && apgit::door::model::is_unseen(c)), "{json}");
}

#[test]
fn nothing_comes_from_elsewhere_and_nobody_else_looks_in() {
    let desk = Desk::new();
    let page = simulated(&desk, CONTOSO);
    for path in ["/", "/page.css", "/page.js", "/icon.svg", "/api/status", "/api/devices", "/nowhere"] {
        let answer = page.get(path);
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
            ("access-control-allow-origin", ""),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
    }
    // A page elsewhere whose name was made to lead here.
    for host in ["evil.example", "evil.example:8810", "localhost.evil.example", "10.0.0.1", ""] {
        for path in ["/", "/api/status", "/page.js"] {
            let answer = page.ask("GET", path, &[("Host", host)]);
            assert_eq!((answer.status, answer.body.contains("contoso")), (421, false), "{host}: {}", answer.body);
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }
    let port = page.host.split(':').nth(1).expect("a port");
    for host in [format!("localhost:{port}"), "LOCALHOST".to_owned(), format!("[::1]:{port}")] {
        assert_eq!(page.ask("GET", "/", &[("Host", &host)]).status, 200, "{host}");
    }
    // It only shows.
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(page.ask(method, "/", &[("Host", &page.host), ("Content-Length", "0")]).status, 405, "{method}");
    }
    // Whoever asks again is told that nothing is new.
    let tag = page.get("/api/status").header("etag").to_owned();
    let again = page.ask("GET", "/api/status", &[("Host", &page.host), ("If-None-Match", &tag)]);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(page.ask("HEAD", "/api/status", &[("Host", &page.host)]).header("etag"), tag);
}

fn requests(scene: &Scene) -> usize {
    scene.served.get("log").as_array().expect("the requests").len()
}

#[test]
fn whoever_looks_asks_nobody_else_and_what_is_old_is_read_again_once_somebody_looks() {
    let scene = Scene::applied();
    let page = scene.page("--every=1s");
    let site = page.get("/api/status").json();
    let before = requests(&scene);
    for _ in 0..20 {
        let _ = page.body("/");
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    // At most one more reading: of its few requests, none is for one of the twenty.
    assert!(requests(&scene) - before < 12, "{before} and {}", requests(&scene));
    scene.retags("TEST-BGO-002", "BGO-LENT");
    let later = page.eventually("it is read again", |site| site["tenants"][0]["reading"]["drift"]["total"] == 1);
    assert_ne!(later["version"], site["version"]);
    // Nobody looks, and nobody reads.
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let before = requests(&scene);
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    assert_eq!(requests(&scene), before);
}

#[test]
fn what_was_known_stays_when_no_more_is_known_and_the_page_says_why() {
    let scene = Scene::applied();
    let page = scene.page("--every=1s");
    let text = scene.folder.read("devices/oslo/kiosks.yaml");
    scene.folder.edit("devices/oslo/kiosks.yaml", "groupTag:", "groupTags:");
    let site = page.eventually("it says what is wrong", |site| site["troubles"] != json!([]));
    keeps_the_published_schema(&site);
    let body = page.body("/");
    assert!(body.contains("have errors; nothing was sent") && body.contains("devices/oslo/kiosks.yaml:"), "{body}");
    assert!(body.contains("TEST-KSK-001"), "{body}");
    scene.folder.write("devices/oslo/kiosks.yaml", text);
    page.eventually("all is well again", |site| site["troubles"] == json!([]));
    let Scene { served, .. } = scene;
    served.stop();
    let site = page.eventually("it cannot be read", |site| !site["tenants"][0]["trouble"].is_null());
    keeps_the_published_schema(&site);
    assert!(!site["tenants"][0]["reading"].is_null());
    let body = page.body("/");
    assert!(body.contains("It could not be read") && body.contains("needs somebody; 1 waiting"), "{body}");
}

#[test]
fn several_tenants_have_a_page_each_and_one_that_shows_all() {
    let (desk, folder) = (Desk::new(), contoso_and("fabrikam"));
    let page = Page::start(desk.command(&format!("status {} --simulate --serve=127.0.0.1:0", folder.path().display())));
    let body = page.body("/");
    assert!(body.contains("href=\"?tenant=contoso\"") && body.contains("href=\"?tenant=fabrikam\""), "{body}");
    assert!(!body.contains("TEST-BGO-001"), "{body}");
    assert!(page.body("/?tenant=contoso").contains("TEST-BGO-001"));
    assert!(!page.body("/?tenant=fabrikam").contains("TEST-BGO-001"));
    assert_eq!(matching(&page, ""), 10);
    keeps_the_published_schema(&page.get("/api/status").json());
}

#[test]
fn on_an_address_that_others_reach_nobody_is_named() {
    let desk = Desk::new();
    let apply = desk.run(&format!("apply {CONTOSO} --simulate --auto-approve"));
    assert_eq!(apply.code, 0, "{}", apply.err);
    let page = Page::start(desk.command("status examples/contoso-next --simulate --serve=0.0.0.0:0"));
    let all = page.body("/") + &page.body("/api/status") + &page.body("/api/devices");
    assert!(all.contains("TEST-OSL-003"), "{all}");
    for private in ["anna", "ines", "userPrincipalName", "User", "@"] {
        let found =
            all.match_indices(private).map(|(at, _)| all[at.saturating_sub(40)..].chars().take(80).collect::<String>());
        let found: Vec<String> = found.filter(|text| !text.contains("BGO-INES")).collect();
        assert!(found.is_empty(), "{private}: {found:?}");
    }
    assert_eq!(matching(&page, "q=anna"), 0, "nor found");
    // Others come by names that are not ours to know.
    assert_eq!(page.ask("GET", "/", &[("Host", "status.contoso.example")]).status, 200);
    let ended = page.stop();
    assert!(ended.err.contains("users are left out"), "{}", ended.err);
}

#[test]
fn what_cannot_be_served_is_said_before_anything_is_read() {
    let desk = Desk::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has one");
    let refused = desk.run(&format!("status {CONTOSO} --simulate --serve={address}"));
    assert!(refused.code == 1 && refused.err.contains("--serve=127.0.0.1:0"), "{}", refused.err);
    for words in ["TEST-OSL-001 --serve", "--serve --json", "--every=5m", "--serve --every=0s", "--serve=nowhere"] {
        let refused = desk.run(&format!("status --simulate --path {CONTOSO} {words}"));
        assert_eq!(refused.code, 64, "{words}: {}", refused.err);
    }
    let broken = desk.run("status examples/pathological --serve=127.0.0.1:0");
    assert_eq!(broken.code, 3, "{}", broken.err);
}
