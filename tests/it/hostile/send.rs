//! Nothing is sent where a branch wishes: not a file, not a credential, not
//! what the commands beside us could tell.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use apgit::door::sim;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::trap::Trap;
use crate::support::{Folder, Ran, apgit, ran, root};

/// Stands in everything that must not leave this machine.
const CANARY: &str = "CANARYCANARYCANARYCANARY";

/// A machine where a pipeline runs: a home folder and an environment full of
/// canaries, and a branch that somebody pushed.
struct Machine {
    folder: Folder,
    trap: Trap,
}

impl Machine {
    /// Checks out a hostile repository, with the trap where it asks for one.
    fn with(repository: &str) -> Self {
        let machine = Self::new();
        machine.check_out(&hostile().join("send").join(repository));
        machine
    }

    fn new() -> Self {
        let (folder, trap) = (Folder::new(), Trap::set());
        std::fs::create_dir_all(folder.at("branch/.git")).expect("a repository");
        for file in [".vault-token", ".aws/credentials", ".azure/msal_token_cache.json", ".ssh/id_ed25519"] {
            folder.write(Path::new("home").join(file), CANARY);
        }
        let login = root().join("tests/fixtures/login/certificate-and-key.pem");
        folder.write("secrets/certificate.pem", std::fs::read(login).expect("a certificate"));
        folder.write("secrets/token", jwt());
        Self { folder, trap }
    }

    /// Puts a repository where the last one was.
    fn check_out(&self, repository: &Path) {
        let copy = Folder::copy_of(repository);
        assert!(!copy.files().is_empty(), "{} is there", repository.display());
        for path in copy.files() {
            let text = std::fs::read_to_string(&path).expect("a file of the repository");
            let text = text.replace("{{trap}}", &self.trap.url()).replace("{{port}}", &self.trap.port.to_string());
            self.folder.write(Path::new("branch").join(path.file_name().expect("a name")), text);
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.at(name)
    }

    /// `apgit` in the branch, with all that a pipeline may have in its
    /// environment.
    fn command(&self, words: &str) -> Command {
        let mut command = apgit(&self.at("branch"), words.split_whitespace());
        command.env("HOME", self.at("home")).env("XDG_STATE_HOME", self.at("state"));
        command.env("AZURE_CLIENT_CERTIFICATE_PATH", self.at("secrets/certificate.pem"));
        command.env("AZURE_FEDERATED_TOKEN_FILE", self.at("secrets/token"));
        let identity = format!("{}/identity", self.trap.url());
        command.env("IDENTITY_ENDPOINT", &identity).env("IDENTITY_HEADER", CANARY);
        for name in CREDENTIALS {
            command.env(name, CANARY);
        }
        command
    }

    fn run(&self, words: &str) -> Ran {
        self.ran(&mut self.command(words))
    }

    /// Nothing that it says is a canary.
    fn ran(&self, command: &mut Command) -> Ran {
        let ran = ran(command);
        assert!(!ran.out.contains(CANARY) && !ran.err.contains(CANARY), "{}{}", ran.out, ran.err);
        ran
    }

    /// What arrived at the trap; nothing of this machine did.
    #[track_caller]
    fn heard(&self, of: &str) -> Vec<String> {
        let heard = self.trap.heard();
        for secret in [CANARY, "client_assertion", &jwt()] {
            assert!(!heard.iter().any(|request| request.contains(secret)), "{of}: {heard:#?}");
        }
        heard
    }
}

/// Where the repositories are.
fn hostile() -> PathBuf {
    root().join("tests/data/hostile")
}

/// The folders that hold files.
fn repositories(folder: &Path) -> Vec<PathBuf> {
    let entries: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    let own = entries.iter().any(|entry| entry.is_file()).then(|| folder.to_owned());
    own.into_iter().chain(entries.iter().filter(|entry| entry.is_dir()).flat_map(|entry| repositories(entry))).collect()
}

/// What pipelines have in their environment, and a branch may not have.
const CREDENTIALS: [&str; 9] = [
    "AZURE_CLIENT_SECRET",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "GITHUB_TOKEN",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "SOPS_AGE_TOKEN",
    "VAULT_TOKEN",
    "XDG_SESSION_TOKEN",
];

/// A federated token, canary included.
fn jwt() -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{CANARY}", part(r#"{"alg":"RS256"}"#), part(r#"{"sub":"repo:contoso/fleet"}"#))
}

#[test]
fn nothing_of_this_machine_arrives_anywhere_whatever_a_branch_holds() {
    let all = repositories(&hostile());
    assert!(all.len() > 30, "{}", all.len());
    // Most of the time is spent on waits before another try.
    std::thread::scope(|scope| all.iter().for_each(|repository| _ = scope.spawn(|| plan_in_a_trap(repository))));
}

/// Whatever leads out of the machine leads into the trap.
fn plan_in_a_trap(repository: &Path) {
    let machine = Machine::new();
    machine.check_out(repository);
    for words in ["validate", "plan"] {
        let mut command = machine.command(words);
        for proxy in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
            command.env(proxy, machine.trap.url());
        }
        machine.ran(&mut command);
        machine.heard(&format!("{}: {words}", repository.display()));
    }
}

/// The commands that read a branch.
const READERS: [&str; 4] = ["plan", "status", "apply --auto-approve", "sync"];

#[test]
fn no_file_of_the_machine_is_a_credential() {
    for repository in ["environment", "shadow", "endless", "of-the-reader", "of-a-twin"] {
        let machine = Machine::with(&format!("files/{repository}"));
        for words in ["validate", "plan", "status", "apply --auto-approve", "sync"] {
            let ran = machine.run(&format!("{words} --allow-endpoint 127.0.0.1"));
            assert_eq!(ran.code, 3, "{repository}: {words}: {}", ran.err);
            let field = if repository == "shadow" { "certificateFile" } else { "tokenFile" };
            let variable =
                if repository == "shadow" { "AZURE_CLIENT_CERTIFICATE_PATH" } else { "AZURE_FEDERATED_TOKEN_FILE" };
            assert!(ran.err.contains(&format!("has no field `{field}`")), "{repository}: {}", ran.err);
            assert!(ran.err.contains(&format!("`{variable}`")), "{repository}: {}", ran.err);
            assert!(ran.err.contains(".yaml:7:"), "it says where: {}", ran.err);
            assert_eq!(machine.heard(repository), [""; 0], "{repository}: {words}");
        }
    }
}

#[test]
fn loopback_that_nobody_named_gets_the_public_secret_and_nothing_else() {
    for repository in [
        "client-secret",
        "certificate",
        "workload-identity",
        "managed-identity",
        "azure-cli",
        "nothing-declared",
        "by-name",
        "in-short",
    ] {
        let machine = Machine::with(&format!("loopback/{repository}"));
        for words in READERS {
            let ran = machine.run(words);
            let heard = machine.heard(repository);
            let logins: Vec<_> = heard.iter().filter(|request| request.contains("/oauth2/v2.0/token")).collect();
            let public = format!("client_secret={}", sim::CLIENT_SECRET);
            assert!(!logins.is_empty(), "{repository}: {words}: {} {heard:#?}", ran.err);
            assert!(logins.iter().all(|login| login.contains(&public)), "{repository}: {words}: {heard:#?}");
        }
        // A shell is asked for nothing either.
        assert!(!machine.at("home/az").exists());
    }
}

#[test]
fn a_login_on_loopback_gets_no_secret_that_is_for_a_cloud() {
    let machine = Machine::with("loopback/beside-a-cloud");
    // Whatever leads out of the machine leads into the trap as well.
    let mut plan = machine.command("plan");
    let plan = machine.ran(plan.env("HTTPS_PROXY", machine.trap.url()));
    assert_ne!(plan.code, 0, "{}", plan.err);
    let heard = machine.heard("plan");
    assert!(heard.iter().any(|request| request.contains(sim::CLIENT_SECRET)), "{heard:#?}");
}

#[test]
fn who_names_loopback_rehearses_with_a_secret_of_their_own() {
    let machine = Machine::with("loopback/client-secret");
    let plan = machine.run("plan --allow-endpoint 127.0.0.1");
    assert_eq!(plan.code, 0, "{}", plan.err);
    let heard = machine.trap.heard();
    assert!(heard.iter().any(|request| request.contains(&format!("client_secret={CANARY}"))), "{heard:#?}");
    let other = machine.run("plan --allow-endpoint localhost --allow-endpoint ::1");
    assert_eq!(other.code, 0, "{}", other.err);
    assert!(!machine.heard("another host was named").is_empty());
}

/// What the environment names by its path is looked at before it is sent, too.
#[cfg(unix)]
#[test]
fn what_is_no_credential_is_neither_sent_nor_waited_for() {
    let token = Machine::with("loopback/workload-identity");
    let pem = Machine::with("loopback/certificate");
    for (machine, variable) in [(&token, "AZURE_FEDERATED_TOKEN_FILE"), (&pem, "AZURE_CLIENT_CERTIFICATE_PATH")] {
        machine.folder.write("secrets/large", CANARY.repeat(4000));
        machine.folder.write("secrets/bytes", [0xff, 0xfe, 0x00]);
        machine.folder.write("secrets/password", CANARY);
        let pipe = Command::new("mkfifo").arg(machine.at("secrets/pipe")).status();
        assert!(pipe.is_ok_and(|status| status.success()), "a pipe");
        let name = |name: &str| machine.at("secrets").join(name);
        for path in [
            name("large"),
            name("bytes"),
            name("password"),
            name("pipe"),
            name("."),
            name("missing"),
            "/dev/zero".into(),
            "/proc/self/environ".into(),
        ] {
            let began = Instant::now();
            let mut plan = machine.command("plan --allow-endpoint 127.0.0.1");
            let plan = machine.ran(plan.env(variable, &path));
            assert_eq!(plan.code, 4, "{}: {}", path.display(), plan.err);
            let named = plan.err.contains(&format!("from `{}`", path.display()));
            assert!(named || !path.exists(), "{}", plan.err);
            assert!(began.elapsed() < Duration::from_secs(10), "{}", path.display());
            assert_eq!(machine.heard("plan"), [""; 0], "{}", path.display());
        }
    }
}

/// A `sops` or `age` of this machine: writes down what it was given, and does
/// what the script says.
#[cfg(unix)]
fn install(machine: &Machine, tool: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let name = Path::new("tools").join(tool);
    machine.folder.write(&name, format!("#!/bin/sh\n/usr/bin/env > \"$HOME/ran\"\n{script}\n"));
    std::fs::set_permissions(machine.folder.at(&name), std::fs::Permissions::from_mode(0o755)).expect("a program");
}

/// The machine, with a hash for its one device, and commands that read it.
#[cfg(unix)]
fn with_keys(repository: &str) -> Machine {
    let machine = Machine::with(&format!("keys/{repository}"));
    let hash = crate::support::machine(1).hash();
    machine.folder.edit("branch/tenant.yaml", "{{pin}}", &hash.digest().hex());
    machine.folder.write("tools/plain", hash.to_base64());
    for tool in ["sops", "age"] {
        install(&machine, tool, "exec /bin/cat \"${0%/*}/plain\"");
    }
    machine
}

#[cfg(unix)]
fn with_path(machine: &Machine, words: &str, path: &str) -> Command {
    let mut command = machine.command(words);
    command.env("PATH", path);
    command
}

/// What the tool was given, if it ran.
fn given(machine: &Machine) -> Option<String> {
    std::fs::read_to_string(machine.at("home/ran")).ok()
}

#[cfg(unix)]
#[test]
fn a_file_does_not_say_who_is_asked_for_its_key() {
    for repository in [
        "vault",
        "vault-in-capitals",
        "vault-in-a-group",
        "vault-twice",
        "vault-of-another-user",
        "azure",
        "aws",
        "google",
        "somebody-else",
        "as-yaml",
    ] {
        let machine = with_keys(repository);
        let tools = machine.at("tools").display().to_string();
        for words in ["validate", "plan --simulate", "status --simulate", "apply --simulate --auto-approve"] {
            let ran = machine.ran(&mut with_path(&machine, words, &tools));
            assert_eq!(ran.code, 3, "{repository}: {words}: {}", ran.err);
            assert!(ran.err.contains("error[key-source]: `one.sops."), "{repository}: {}", ran.err);
            assert!(ran.err.contains("tenant.yaml:13:"), "{repository}: it says where: {}", ran.err);
            assert_eq!(machine.heard(repository), [""; 0], "{repository}: {words}");
            assert_eq!(given(&machine), None, "{repository}: {words}");
        }
    }
}

#[cfg(unix)]
#[test]
fn who_names_a_key_host_lets_its_credential_through_and_no_other() {
    let machine = with_keys("vault");
    let tools = machine.at("tools").display().to_string();
    let words = "apply --simulate --auto-approve --allow-key-host 127.0.0.1";
    let apply = machine.ran(&mut with_path(&machine, words, &tools));
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    let given = given(&machine).expect("it ran");
    let with_canary: Vec<&str> = given.lines().filter(|line| line.contains(CANARY)).collect();
    assert_eq!(with_canary, [format!("VAULT_TOKEN={CANARY}")]);
    let other = machine.ran(&mut with_path(&machine, "validate --allow-key-host vault.contoso.com", &tools));
    assert_eq!(other.code, 3, "{}", other.err);
}

#[cfg(unix)]
#[test]
fn the_commands_beside_us_get_no_credential() {
    for repository in ["own", "tools"] {
        let machine = with_keys(repository);
        let tools = machine.at("tools").display().to_string();
        let mut apply = with_path(&machine, "apply --simulate --auto-approve", &tools);
        let apply = machine.ran(apply.env("SOPS_AGE_KEY_FILE", machine.at("home/keys.txt")).env("LC_TIME", "C"));
        assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
        let given = given(&machine).expect("it ran");
        assert!(!given.contains(CANARY) && !given.contains("AZURE_") && !given.contains("IDENTITY_"), "{given}");
        for name in ["HOME=", "PATH=", "LC_TIME=", "SOPS_AGE_KEY_FILE="] {
            assert!(given.lines().any(|line| line.starts_with(name)), "{name} is needed: {given}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_branch_brings_no_command_of_its_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = with_keys("tools");
    for tool in ["age", "sops"] {
        let file = machine.at("branch").join(tool);
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).expect("a program");
    }
    std::fs::create_dir(machine.at("empty")).expect("a folder");
    let empty = machine.at("empty").display().to_string();
    for path in [":", ".", "", &format!(".:{empty}"), &format!("{empty}:"), &format!("{empty}::../branch"), "./"] {
        let apply = machine.ran(&mut with_path(&machine, "apply --simulate --auto-approve", path));
        assert_ne!(apply.code, 0, "{path}: {}", apply.out);
        assert_eq!(given(&machine), None, "{path}");
    }
    let tools = machine.at("tools").display().to_string();
    let apply = machine.ran(&mut with_path(&machine, "apply --simulate --auto-approve", &format!(".:{tools}")));
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    let given = given(&machine).expect("it ran");
    assert!(given.contains(&format!("PATH={tools}\n")), "nor is it searched by whom we run: {given}");
}

#[cfg(unix)]
#[test]
fn a_command_that_says_too_much_or_nothing_is_ended() {
    let machine = with_keys("own");
    let tools = format!("{}:/usr/bin:/bin", machine.at("tools").display());
    install(&machine, "sops", "exec yes");
    let apply = machine.ran(&mut with_path(&machine, "apply --simulate --auto-approve", &tools));
    assert!(apply.code != 0 && apply.err.contains("has more than 65536 bytes"), "{}{}", apply.out, apply.err);

    install(&machine, "sops", "(sleep 3; touch \"$HOME/alive\") & sleep 300");
    std::fs::remove_file(machine.at("home/ran")).expect("it ran before");
    let mut apply = with_path(&machine, "apply --simulate --auto-approve", &tools);
    let mut child = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let began = Instant::now();
    while given(&machine).is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never ran");
        std::thread::sleep(Duration::from_millis(20));
    }
    let began = Instant::now();
    crate::support::terminate(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(8));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    std::thread::sleep(Duration::from_secs(4));
    assert!(!machine.at("home/alive").exists(), "nothing that it started lives on");
}

/// The machine after an apply of what was reviewed, and then this branch.
fn after_apply(repository: &str) -> Machine {
    let machine = Machine::with("tenants/reviewed");
    let apply = machine.run("apply --auto-approve --allow-endpoint 127.0.0.1");
    assert_eq!(apply.code, 0, "{}", apply.err);
    assert!(!machine.trap.heard().is_empty(), "the reviewed tenant was asked");
    machine.check_out(&hostile().join("send/tenants").join(repository));
    machine
}

#[test]
fn another_tenant_than_the_last_one_is_named_before_anything_is_sent() {
    let (old, new) = ("11111111-2222-3333-4444-555555555555", "66666666-2222-3333-4444-555555555555");
    let (app, other) = ("aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000001");
    for (repository, said) in [
        ("another-tenant", format!("contoso: `tenantId` was `{old}`, is `{new}`")),
        ("another-app", format!("contoso: `clientId` was `{app}`, is `{other}`")),
        ("another-app-to-write", format!("contoso: `clientId` was `{app}`, is `{app}, {other}`")),
        ("another-cloud", "is `China`".to_owned()),
        ("other-endpoints", "contoso: `endpoints` was `http://127.0.0.1:".to_owned()),
        ("another-name-too", format!("fabrikam: `tenantId` was `{old}`, is `{new}`")),
        ("one-more", format!("fabrikam: `tenantId` was `{old}`, is `{new}`")),
    ] {
        let machine = after_apply(repository);
        for words in READERS {
            let mut command = machine.command(&format!("{words} --allow-endpoint 127.0.0.1"));
            // Whatever leads out of the machine leads into the trap as well.
            let ran = machine.ran(command.env("HTTPS_PROXY", machine.trap.url()));
            assert_eq!(ran.code, 5, "{repository}: {words}: {}", ran.err);
            assert!(ran.err.contains(&said), "{repository}: {words}: {}", ran.err);
            assert!(ran.err.contains("--allow-new-tenant"), "{repository}: {words}: {}", ran.err);
            assert_eq!(machine.heard(repository), [""; 0], "{repository}: {words}");
        }
        let simulated = machine.run("plan --simulate");
        assert_eq!(simulated.code, 0, "{repository}: {}", simulated.err);
    }
}

#[test]
fn an_app_that_only_reads_is_not_made_the_one_that_writes() {
    let machine = Machine::with("tenants/another-app-to-write");
    let here = "--allow-endpoint 127.0.0.1";
    let auth = |base: &str, write: &str| format!("clientId: {base}, write: {{type: ClientSecret, clientId: {write}}}");
    let (app, other) = ("aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000001");
    assert_eq!(machine.run(&format!("apply --auto-approve {here}")).code, 0);
    assert_eq!(machine.run(&format!("plan {here}")).code, 0);
    machine.trap.heard();
    machine.folder.edit("branch/tenant.yaml", &auth(app, other), &auth(other, app));
    for words in READERS {
        let ran = machine.run(&format!("{words} {here}"));
        assert_eq!(ran.code, 5, "{words}: {}", ran.err);
        let said = format!("contoso: `clientId` was `{app}, {other}`, is `{other}, {app}`");
        assert!(ran.err.contains(&said), "{words}: {}", ran.err);
        assert_eq!(machine.heard(words), [""; 0], "{words}");
    }
}

#[test]
fn a_new_tenant_that_is_meant_stands_first_in_the_plan_and_is_known_from_then_on() {
    let machine = after_apply("another-tenant");
    let here = "--allow-endpoint 127.0.0.1";
    let plan = machine.run(&format!("plan {here} --allow-new-tenant"));
    assert_eq!(plan.code, 0, "{}", plan.err);
    assert!(plan.out.starts_with("another tenant: `tenantId` was `11111111-"), "{}", plan.out);
    let json = machine.run(&format!("plan {here} --allow-new-tenant --json")).json();
    assert_eq!(json["diagnostics"][0]["code"], "NewTarget");
    assert_eq!(machine.run(&format!("plan {here}")).code, 5, "to look is not to apply");
    assert_eq!(machine.run(&format!("apply {here} --allow-new-tenant --auto-approve")).code, 0);
    let known = machine.run(&format!("plan {here}"));
    assert!(known.code == 0 && !known.out.contains("another tenant"), "{}{}", known.out, known.err);
    machine.check_out(&hostile().join("send/tenants/reviewed"));
    assert_eq!(machine.run(&format!("plan {here}")).code, 0, "and so is the first one");
}

#[test]
fn a_journal_from_before_knows_its_tenant() {
    let machine = Machine::with("tenants/another-cloud");
    let journal = |tenant: &str| machine.folder.write(format!("state/apgit/{tenant}/journal.jsonl"), "{}\n");
    journal("77777777-2222-3333-4444-555555555555");
    let plan = |machine: &Machine| {
        let mut plan = machine.command("plan");
        machine.ran(plan.env("HTTPS_PROXY", machine.trap.url()))
    };
    let refused = plan(&machine);
    assert_eq!((refused.code, machine.heard("plan").len()), (5, 0), "{}", refused.err);
    assert!(refused.err.contains("knows `77777777-"), "{}", refused.err);
    journal("11111111-2222-3333-4444-555555555555");
    assert_ne!(plan(&machine).code, 5, "one of them is this one");
}
