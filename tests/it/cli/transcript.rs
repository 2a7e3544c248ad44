//! The real binary, run as people and pipelines run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{self, CONTOSO, Desk, Folder, Simulate, contoso, contoso_and, ran, root, violations};

#[test]
fn a_plan_right_after_an_apply_has_no_changes() {
    let desk = Desk::new();
    let apply = desk.run(&format!("apply {CONTOSO} --simulate --auto-approve"));
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    assert!(apply.out.contains(": 9 done, 0 failed   ("), "{}", apply.out);
    let plan = desk.run(&format!("plan {CONTOSO} --simulate --detailed-exitcode"));
    assert_eq!(plan.code, 0, "{}", plan.out);
    assert!(plan.out.ends_with("\nNo changes.\n  9 unchanged, 1 waiting\n"), "{}", plan.out);
    let again = desk.run(&format!("apply {CONTOSO} --simulate --auto-approve"));
    assert!(
        again.code == 0 && again.out.contains("No changes.") && !again.out.contains("Apply plan-"),
        "{}",
        again.out
    );
}

#[test]
fn a_plan_leaves_no_trace() {
    let desk = Desk::new();
    assert_eq!(desk.run(&format!("plan {CONTOSO} --simulate")).code, 0);
    assert_eq!(desk.state.files(), Vec::<PathBuf>::new());
}

#[test]
fn changes_have_an_exit_code_of_their_own_on_request_only() {
    let desk = Desk::new();
    assert_eq!(desk.run(&format!("plan {CONTOSO} --simulate")).code, 0);
    assert_eq!(desk.run(&format!("plan {CONTOSO} --simulate --detailed-exitcode")).code, 2);
    let failed = desk.run(&format!("plan {CONTOSO} --simulate --fail-on held,changes"));
    assert!(failed.code == 5 && failed.out.contains("--fail-on changes"), "{}", failed.out);
    assert_eq!(desk.run(&format!("plan {CONTOSO} --simulate --fail-on none,held,unmanaged")).code, 0);
}

#[test]
fn a_plan_as_json_is_json_only_and_keeps_its_schema() {
    let desk = Desk::new();
    let plan = desk.run(&format!("plan {CONTOSO} --simulate --json"));
    let document = plan.json();
    assert_eq!(plan.err, "");
    assert_eq!((&document["kind"], &document["summary"]["register"]), (&"apgit.plan".into(), &9.into()));
    let published = std::fs::read_to_string(root().join("schema/plan.schema.json")).expect("the published schema");
    let schema: Value = serde_json::from_str(&published).expect("JSON");
    assert_eq!(violations(&schema, &document), Vec::<String>::new());
}

#[test]
fn reports_go_to_files_beside_the_text() {
    let desk = Desk::new();
    let file = desk.state.at("plan.json");
    let plan = desk.run(&format!("plan {CONTOSO} --simulate --report json={} --color always", file.display()));
    assert!(plan.code == 0 && plan.out.contains("\u{1b}["), "{}", plan.out);
    let written: Value = serde_json::from_slice(&std::fs::read(&file).expect("the report")).expect("JSON");
    assert_eq!(written["kind"], "apgit.plan");
    let two = desk.run(&format!("plan {CONTOSO} --simulate --json --report text"));
    assert!(two.code == 64 && two.err.contains("only one report can go to stdout"), "{}", two.err);
}

#[test]
fn consent_may_be_a_digest_and_nothing_else_of_a_plan() {
    let desk = Desk::new();
    let digest = desk.run(&format!("plan {CONTOSO} --simulate --json")).json()["digest"]["sha256"].clone();
    let digest = digest.as_str().expect("a digest");
    let other = desk.run(&format!("apply {CONTOSO} --simulate --approve-digest {}", "0".repeat(64)));
    assert!(other.code == 6 && other.err.contains(digest), "{}", other.err);
    let id = desk.run(&format!("apply {CONTOSO} --simulate --approve-digest plan-{}", &digest[..12]));
    assert_eq!(id.code, 64, "a plan id is for people: {}", id.err);
    assert_eq!(desk.run(&format!("apply {CONTOSO} --simulate --approve-digest {digest}")).code, 0);
}

#[test]
fn without_a_terminal_nobody_is_asked_and_nothing_is_sent() {
    let desk = Desk::new();
    let apply = desk.run(&format!("apply {CONTOSO} --simulate"));
    assert_eq!(apply.code, 64);
    assert!(apply.err.contains("hint: add --auto-approve"), "{}", apply.err);
    assert!(desk.run(&format!("plan {CONTOSO} --simulate")).out.contains("9 to register"));
}

#[test]
fn mistakes_on_the_command_line_are_not_changes() {
    let desk = Desk::new();
    for words in ["plan --nonsense", "", "plan --color blue", "apply --approve-updates=many", "help nonsense"] {
        let ran = desk.run(words);
        assert!(ran.code == 64 && ran.out.is_empty(), "`apgit {words}`: {} {}", ran.code, ran.err);
    }
    for words in ["--help", "--version", "plan --help", "help", "help plan", "help exit-codes"] {
        let ran = desk.run(words);
        assert!(ran.code == 0 && !ran.out.is_empty(), "`apgit {words}`: {} {}", ran.code, ran.err);
    }
    let codes = desk.run("help exit-codes").out;
    for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 64, 70] {
        assert!(codes.contains(&format!("\n  {code:<5} ")), "{codes}");
    }
}

#[test]
fn every_problem_of_every_file_comes_before_the_first_request() {
    let desk = Desk::new();
    let folder = Folder::new();
    let tenant = contoso().read("tenant.yaml");
    folder.write("tenant.yaml", tenant.replace("policy: Sync ", "policy: Sink "));
    folder.write(
        "device.yaml",
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {name: a}\nspec: {serialNumber: 0012345}\n",
    );
    let plan = desk.run(&format!("plan {}", folder.path().display()));
    assert_eq!(plan.code, 3, "{}", plan.err);
    assert!(plan.err.contains("tenant.yaml:") && plan.err.contains("device.yaml:4"), "{}", plan.err);
    assert!(plan.err.contains("nothing was sent"), "{}", plan.err);
    let report = desk.run(&format!("apply {} --json", folder.path().display())).json();
    assert!(report["problems"].as_array().is_some_and(|problems| problems.len() >= 2), "{report}");
    let none = desk.run(&format!("plan {CONTOSO} --simulate --tenant fabrikam"));
    assert!(none.code == 3 && none.err.contains("hint: declared: `contoso`"), "{}", none.err);
}

#[test]
fn a_real_tenant_without_a_secret_says_which_variable_is_missing() {
    let desk = Desk::new();
    let plan = desk.run(&format!("plan {CONTOSO}"));
    assert!(plan.code == 4 && plan.err.contains("`AZURE_CLIENT_SECRET` is not set"), "{} {}", plan.code, plan.err);
    let report = desk.run(&format!("plan {CONTOSO} --json")).json();
    assert_eq!((&report["kind"], &report["exitCode"]), (&"apgit.error".into(), &4.into()));
}

#[test]
fn a_diff_goes_to_stdout_alone() {
    let desk = Desk::new();
    let diff = desk.run(&format!("plan {CONTOSO} --simulate --diff"));
    assert!(diff.out.starts_with("--- tenant/TEST-BGO-001\n+++ declared/TEST-BGO-001"), "{}", diff.out);
    assert!(diff.out.lines().all(|line| line.starts_with(['-', '+', '@', ' '])), "{}", diff.out);
    assert!(diff.err.starts_with("Plan plan-"), "{}", diff.err);
    let file = desk.state.at("plan.diff");
    std::fs::write(&file, &diff.out).expect("a file");
    let mut git = Command::new("git");
    git.args(["apply", "--numstat"]).arg(&file).current_dir(desk.state.path());
    let read = ran(&mut git);
    assert!(read.out.lines().count() == 9 && read.out.starts_with("6\t0\t"), "{}{}", read.out, read.err);
    let file = desk.state.at("plan.json");
    let both = desk.run(&format!("plan {CONTOSO} --simulate --diff --report json={}", file.display()));
    assert!(both.out == diff.out && file.exists(), "{}", both.err);
    assert_eq!(desk.run(&format!("plan {CONTOSO} --simulate --diff --json")).code, 64);
}

#[test]
fn a_status_is_about_all_devices_or_one() {
    let desk = Desk::new();
    let before = desk.run(&format!("status {CONTOSO} --simulate --json TEST-OSL-001")).json();
    assert_eq!(before["devices"][0]["stage"], "ToRegister");
    assert_eq!(desk.run(&format!("apply {CONTOSO} --simulate --auto-approve -q")).code, 0);
    let after = desk.run(&format!("status --path {CONTOSO} --simulate --json")).json();
    let devices = after["devices"].as_array().expect("devices");
    let stages = |stage: &str| devices.iter().filter(|device| device["stage"] == stage).count();
    assert_eq!((stages("InSync"), stages("AwaitingVendor"), devices.len()), (9, 1, 10));
    assert!(devices.iter().all(|device| device["registrationId"].is_string() == (device["stage"] == "InSync")));
    assert_eq!(desk.run(&format!("status {CONTOSO} --simulate TEST-OSL-001 TEST-OSL-002")).code, 64);
    let folder = contoso();
    folder.edit("devices/oslo/laptops.yaml", "    - serialNumber: TEST-OSL-002\n", "");
    let left = desk.run(&format!("status --path {} --simulate test-osl-002", folder.path().display()));
    assert_eq!(left.code, 0, "{}", left.err);
    assert!(left.out.contains(r#"? TEST-OSL-002  registered, not declared, group tag "OSL-STD""#), "{}", left.out);
    let left = desk.run(&format!("status --path {} --simulate TEST-OSL-002 --json", folder.path().display())).json();
    assert_eq!(
        (&left["undeclared"][0]["groupTag"], left["devices"].as_array().map(Vec::len)),
        (&"OSL-STD".into(), Some(0))
    );
    let unknown = desk.run(&format!("status --path {CONTOSO} --simulate NOSUCH"));
    assert!(unknown.code == 3 && unknown.err.contains("`NOSUCH` is not declared"), "{}", unknown.err);
}

#[test]
fn a_sync_keeps_to_one_in_ten_minutes() {
    let desk = Desk::new();
    assert_eq!(desk.run(&format!("sync {CONTOSO} --simulate")).code, 0);
    let early = desk.run(&format!("sync {CONTOSO} --simulate"));
    assert!(early.code == 9 && early.err.contains("--when-allowed"), "{} {}", early.code, early.err);
    let later = desk.run(&format!("sync {CONTOSO} --simulate --when-allowed"));
    assert!(later.code == 0 && later.out.starts_with("contoso: sync started 08:1"), "{}{}", later.out, later.err);
}

#[test]
fn a_field_is_explained_by_its_name_or_its_path() {
    let desk = Desk::new();
    let scope = desk.run("schema --field spec.scope").out;
    assert!(scope.starts_with("AutopilotTenant\n  spec.scope: a map\n"), "{scope}");
    assert!(scope.contains("spec.scope.groupTags: a list of texts, at most 100"), "{scope}");
    let name = desk.run("schema --field displayName").out;
    assert!(name.contains("AutopilotDevice\n  spec.displayName: text, at most 15 characters"), "{name}");
    let unknown = desk.run("schema --field nix");
    assert!(unknown.code == 64 && unknown.err.contains("no kind has a field `nix`"), "{}", unknown.err);
}

#[test]
fn completions_know_the_commands() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = desk.run(&format!("completions {shell}"));
        assert!(script.code == 0 && script.out.contains("validate"), "{shell}: {}", script.err);
    }
}

#[test]
fn the_example_has_no_problems() {
    let validate = Desk::new().run(&format!("validate {CONTOSO}"));
    assert_eq!((validate.code, validate.err.as_str()), (0, ""));
    assert!(validate.out.contains("10 devices, no problems"), "{}", validate.out);
}

#[test]
fn a_class_over_its_limit_is_held_whole_until_the_exact_number_is_approved() {
    let (desk, folder) = (Desk::new(), contoso());
    let path = folder.path().display();
    assert_eq!(desk.run(&format!("apply {path} --simulate --auto-approve -q")).code, 0);
    folder.edit("devices/oslo/laptops.yaml", "OSL-STD", "OSL-NEW");
    folder.edit("devices/bergen/laptops.yaml", "BGO-STD", "BGO-NEW");
    let plan = desk.run(&format!("plan {path} --simulate"));
    assert!(plan.out.contains("Held, will not be done: 6") && !plan.out.contains("No changes."), "{}", plan.out);
    assert!(plan.out.contains("apgit apply --approve-updates=6"), "{}", plan.out);
    assert_eq!(desk.run(&format!("plan {path} --simulate --fail-on held")).code, 5);
    let blocked = desk.run(&format!("apply {path} --simulate --auto-approve"));
    assert_eq!(blocked.code, 5, "{}", blocked.out);
    let refused = desk.run(&format!("apply {path} --simulate --auto-approve --fail-on held --json"));
    assert_eq!((refused.code, &refused.json()["diagnostics"][0]["code"]), (5, &"FailOnHeld".into()));
    assert_eq!(desk.run(&format!("apply {path} --simulate --auto-approve --approve-updates=5")).code, 5);
    let approved = desk.run(&format!("apply {path} --simulate --auto-approve --approve-updates=6"));
    assert!(approved.code == 0 && approved.out.contains(": 6 done"), "{}", approved.out);
    assert!(desk.run(&format!("plan {path} --simulate")).out.contains("No changes.\n  9 unchanged, 1 waiting"));
}

#[test]
fn several_tenants_are_done_one_after_the_other() {
    let (desk, folder) = (Desk::new(), contoso_and("fabrikam"));
    let path = folder.path().display();
    let both = desk.run(&format!("plan {path} --simulate"));
    assert!(both.out.contains("9 to register") && both.out.contains("No changes.\n  0 unchanged\n"), "{}", both.out);
    let one = desk.run(&format!("plan {path} --simulate --tenant fabrikam"));
    assert!(one.out.starts_with("apgit plan   fabrikam (99999999-") && !one.out.contains("contoso ("), "{}", one.out);
}

#[test]
fn totals_name_their_tenant_where_there_are_several() {
    let (desk, folder) = (Desk::new(), contoso_and("fabrikam"));
    let run = |words: &str| {
        let (command, more) = words.split_once(' ').unwrap_or((words, ""));
        desk.run(&format!("{command} {} --simulate {more}", folder.path().display()))
    };
    let headings = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with(' '));
        lines.map(|line| line.split_inclusive(['-', '.']).next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let planned = ["fabrikam: No changes.", "contoso: Plan plan-"];
    assert_eq!(headings(&run("plan -q").out), planned);
    assert_eq!(headings(&run("plan --diff").err), planned);
    assert!(run("plan -q --tenant contoso").out.starts_with("Plan plan-"), "of one tenant it is clear");
    let apply = run("apply -q --auto-approve").out;
    assert_eq!(headings(&apply), [planned[0], planned[1], "contoso: Apply plan-"], "{apply}");
    let status = run("status -q").out;
    let lines: Vec<&str> = status.lines().collect();
    assert!(lines.len() == 4 && lines[0].starts_with("fabrikam (") && lines[2].starts_with("contoso ("), "{status}");
    assert_eq!(lines[3], "10 declared, 9 registered, 9 as declared, 0 unmanaged");
}

#[test]
fn the_command_that_approves_names_its_tenant_where_there_are_several() {
    let (desk, folder) = (Desk::new(), contoso_and("fabrikam"));
    let path = folder.path().display();
    assert_eq!(desk.run(&format!("apply {path} --simulate --auto-approve -q")).code, 0);
    folder.edit("devices/oslo/laptops.yaml", "OSL-STD", "OSL-NEW");
    folder.edit("devices/bergen/laptops.yaml", "BGO-STD", "BGO-NEW");
    let plan = desk.run(&format!("plan {path} --simulate"));
    let told =
        plan.out.lines().find_map(|line| line.trim().strip_prefix("approve them with: apgit apply ")).expect("a way");
    assert_eq!(told, "--approve-updates=contoso=6");
    let approved = desk.run(&format!("apply {path} --simulate --auto-approve {told}"));
    assert!(approved.code == 0 && approved.out.contains(": 6 done"), "{}{}", approved.out, approved.err);
}

#[test]
fn a_terminal_of_another_alphabet_and_width_is_respected() {
    let desk = Desk::new();
    let mut command = desk.command(&format!("plan {CONTOSO} --simulate"));
    let plan = ran(command.env("LC_ALL", "C").env("COLUMNS", "70"));
    assert!(plan.out.is_ascii() && plan.out.contains("about 1-3 min"), "{}", plan.out);
    let tag = plan.out.lines().find(|line| line.contains("BGO-STD")).expect("a tag");
    assert_eq!(tag.find(":7"), Some(62), "places stand at the right edge: {tag}");
    let colored = |name: &str, value: &str, more: &str| {
        let mut command = desk.command(&format!("plan {CONTOSO} --simulate {more}"));
        ran(command.env(name, value)).out.contains('\u{1b}')
    };
    assert!(!colored("LC_ALL", "C", "") && colored("CLICOLOR_FORCE", "1", ""));
    assert!(!colored("NO_COLOR", "1", "") && colored("NO_COLOR", "1", "--color always"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let desk = Desk::new();
    let mut child = desk.command("schema").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn the_log_tells_of_requests_and_never_of_hashes_or_tokens() {
    let desk = Desk::new();
    let apply = desk.run(&format!("apply {CONTOSO} --simulate --auto-approve -vvv"));
    assert!(apply.code == 0 && apply.err.contains("DEBUG") && apply.err.contains("import"), "{}", apply.err);
    let hash = std::fs::read_to_string(root().join(CONTOSO).join("hashes/TEST-BGO-001.txt")).expect("a hash");
    let windows: Vec<&str> = (0..hash.trim().len() - 24).map(|at| &hash[at..at + 24]).collect();
    assert!(!windows.iter().any(|window| apply.err.contains(window) || apply.out.contains(window)));
    assert!(!apply.err.contains(apgit::door::sim::CLIENT_SECRET) && !apply.err.contains("Bearer"));
}

/// The example, pointed at this tenant.
fn contoso_at(served: &Simulate) -> Folder {
    let folder = contoso();
    folder.lead_to(&served.url);
    folder
}

#[test]
fn a_simulated_tenant_behind_http_lends_its_clock() {
    let desk = Desk::new();
    let served = desk.simulate("--profile calm --speed instant");
    let folder = contoso_at(&served);
    let mut apply = desk.command(&format!("apply {} --auto-approve --json", folder.path().display()));
    let apply = ran(apply.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET));
    assert_eq!(apply.code, 0, "{}", apply.err);
    let report = apply.json();
    assert_eq!((&report["summary"]["done"], &report["sync"]["result"]), (&9.into(), &"done".into()));
    let words = format!("plan --allow-endpoint 127.0.0.1 {}", folder.path().display());
    let wrong = ran(desk.command(&words).env("AZURE_CLIENT_SECRET", "wrong"));
    assert!(wrong.code == 4 && !wrong.err.contains("wrong\n"), "{} {}", wrong.code, wrong.err);
}

/// As at work: Microsoft's own addresses, TLS, a proxy from the environment,
/// a certificate of the house, and the clock on the wall. Only the tenant is
/// not Microsoft's, and faster, so that this takes half a minute.
#[test]
fn behind_a_proxy_the_road_leads_to_microsofts_own_addresses() {
    let desk = Desk::new();
    let authority = desk.state.at("ca.pem");
    let served = desk.simulate(&format!("--profile calm --speed 60 --proxy --tls {}", authority.display()));
    let folder = contoso();
    // What an import carries whole, so that nothing has to follow it.
    std::fs::remove_dir_all(folder.at("devices/bergen")).expect("the copy's");
    std::fs::remove_file(folder.at("devices/oslo/kiosks.yaml")).expect("the copy's");
    let run = |words: &str, authority: &Path| {
        let mut command = desk.command(&format!("{words} {}", folder.path().display()));
        command.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        ran(command.env("HTTPS_PROXY", &served.url).env("SSL_CERT_FILE", authority))
    };
    let stranger = desk.state.at("nobody.pem");
    let other = apgit::door::sim::Certificates::generate().expect("another authority");
    std::fs::write(&stranger, other.authority_pem()).expect("a file");
    let distrusted = run("plan", &stranger);
    assert_eq!(distrusted.code, 1, "{}", distrusted.err);
    let reason = "the certificate of `login.microsoftonline.com` is not trusted";
    assert!(distrusted.err.contains(reason) && distrusted.err.contains("SSL_CERT_FILE"), "{}", distrusted.err);
    let apply = run("apply --auto-approve", &authority);
    assert!(apply.code == 0 && apply.out.contains("5 done, 0 failed"), "{}{}", apply.out, apply.err);
    let plan = run("plan --detailed-exitcode", &authority);
    assert!(plan.code == 0 && plan.out.contains("No changes."), "{}{}", plan.out, plan.err);
}

#[cfg(unix)]
#[test]
fn a_stopped_apply_says_so_and_goes_on_next_time() {
    let desk = Desk::new();
    let state = desk.state.at("served.json");
    let served = desk.simulate(&format!("--profile calm --speed realtime --state {}", state.display()));
    let folder = contoso_at(&served);
    let words = format!("apply {} --auto-approve", folder.path().display());
    let mut command = desk.command(&words);
    command.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
    let stopped = support::stopped_at(&mut command, "imports sent");
    assert_eq!(stopped.code, 8, "{}", stopped.err);
    let report = stopped.out;
    assert!(report.matches("under way: the next run looks how it ends").count() == 9, "{report}");
    // The same tenant goes on, now in a hurry.
    let url = served.url.clone();
    served.stop();
    let served = desk.simulate(&format!("--profile calm --speed instant --state {}", state.display()));
    folder.edit("tenant.yaml", &url, &served.url);
    let mut command = desk.command(&format!("{words} --json"));
    let again = ran(command.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET));
    assert_eq!((again.code, &again.json()["summary"]["done"]), (0, &9.into()), "{}", again.err);
    assert!(again.err.contains("an import of this device is under way"), "{}", again.err);
}
