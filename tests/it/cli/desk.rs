//! What somebody meets who begins: signing in, and a rehearsal with devices of
//! their own.

use crate::support::{Desk, Folder, at_url, machine, ran};

const TENANT: &str = "\
apiVersion: apgit.dev/v1alpha1
kind: AutopilotTenant
metadata: {name: fabrikam}
spec:
  tenantId: 11111111-2222-3333-4444-555555555555
  policy: POLICY
  hashStorage: PlainInGit
  ownerId: corp
";

fn repository(policy: &str, auth: &str, user: &str) -> Folder {
    let repo = Folder::repository();
    repo.write("tenant.yaml", TENANT.replace("POLICY", policy) + auth);
    repo.write("intake/TEST-000001.txt", machine(1).hash().to_base64());
    let device = format!(
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {{name: one}}\nspec:\n  serialNumber: \
         TEST-000001\n  hardwareHashRef: {{file: intake/TEST-000001.txt}}\n  userPrincipalName: {user}\n"
    );
    repo.write("device.yaml", device);
    repo
}

const ID: &str = "clientId: aaaaaaaa-0000-4000-8000-000000000001";

#[test]
fn the_variable_that_is_not_set_is_named_in_full() {
    let oidc = "ACTIONS_ID_TOKEN_REQUEST_URL";
    for (kind, variable) in [
        ("ClientSecret", "AZURE_CLIENT_SECRET"),
        ("Certificate", "AZURE_CLIENT_CERTIFICATE_PATH"),
        ("WorkloadIdentity", oidc),
    ] {
        let repo = repository("Sync", &format!("  auth: {{type: {kind}, {ID}}}\n"), "anna@fabrikam.com");
        let plan = ran(Desk::new().command("plan .").current_dir(repo.path()));
        assert!(plan.err.contains(&format!("`{variable}` is not set")), "{}", plan.err);
    }
    let repo = repository("Sync", "", "anna@fabrikam.com");
    let err = ran(Desk::new().command("plan .").current_dir(repo.path())).err.replace('\n', " ");
    assert!(err.contains("`AZURE_CLIENT_CERTIFICATE_PATH`"), "{err}");
    assert!(err.contains("`AZURE_FEDERATED_TOKEN_FILE`") && !err.contains('…'), "{err}");
}

#[test]
fn a_path_of_the_environment_is_shown_and_a_token_in_its_place_is_not() {
    let token = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJhcGk6Ly9BenVyZUFEVG9rZW5FeGNoYW5nZSJ9.c2lnbmF0dXJl";
    for (kind, variable) in
        [("Certificate", "AZURE_CLIENT_CERTIFICATE_PATH"), ("WorkloadIdentity", "AZURE_FEDERATED_TOKEN_FILE")]
    {
        let repo = repository("Sync", &format!("  auth: {{type: {kind}, {ID}}}\n"), "anna@fabrikam.com");
        let plan = |value: &str| {
            let mut plan = Desk::new().command("plan .");
            ran(plan.current_dir(repo.path()).env(variable, value).env("COLUMNS", "400")).err
        };
        let path = "/etc/contoso-pipelines/certificates/apgit_production_2026.pem";
        assert!(plan(path).contains(path), "{}", plan(path));
        assert!(!plan(token).contains("eyJhbGci"), "{}", plan(token));
    }
}

#[test]
fn a_rehearsal_knows_the_domains_of_declared_users() {
    let repo = repository("Sync", "", "anna@Fabrikam-Labs.com");
    let desk = Desk::new();
    let run = |words: &str| ran(desk.command(words).current_dir(repo.path()));
    let plan = run("plan . --simulate");
    assert!(plan.out.contains("+ TEST-000001") && !plan.out.contains("UserDomainNotVerified"), "{}", plan.out);
    let apply = run("apply . --simulate --auto-approve");
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    assert!(run("plan . --simulate").out.contains("No changes."));
    // On a port, it is said which domain the tenant has.
    let simulated = desk.simulate("--speed instant --domain fabrikam-labs.com=11111111-2222-3333-4444-555555555555");
    repo.edit("tenant.yaml", "  ownerId: corp\n", &format!("  ownerId: corp\n  {}\n", at_url(&simulated.url)));
    let plan = run("plan .");
    assert!(plan.out.contains("+ TEST-000001"), "{}{}", plan.out, plan.err);
}

#[test]
fn a_simulated_tenant_says_which_domains_are_its_own() {
    let said = Desk::new().simulate("--speed instant").greeting.clone();
    assert!(said.contains("contoso.com, contoso.onmicrosoft.com") && said.contains("--domain"), "{said}");
    let said = Desk::new().simulate("--speed instant --domain fabrikam.com").greeting.clone();
    assert!(said.contains("of fabrikam.com") && !said.contains("contoso"), "{said}");
}

#[test]
fn a_device_that_its_user_holds_back_shows_its_hash_as_any_other() {
    for policy in ["Sync", "Observe"] {
        let repo = repository(policy, "", "anna@elsewhere.example");
        let desk = Desk::new();
        let simulated = desk.simulate("--speed instant");
        repo.edit("tenant.yaml", "  ownerId: corp\n", &format!("  ownerId: corp\n  {}\n", at_url(&simulated.url)));
        let run = |words: &str| ran(desk.command(words).current_dir(repo.path()));
        assert_eq!(run("plan .").err, "");
        for words in ["plan .", "plan . --diff"] {
            let out = run(words).out;
            assert!(out.contains("UserDomainNotVerified") || words.ends_with("diff"), "{out}");
            assert!(out.contains("sha256:"), "{policy} {words}: {out}");
        }
    }
}

#[test]
fn the_pins_of_a_csv_name_their_devices_once_that_is_asked_for() {
    let repo = Folder::repository();
    let rows: String = (1..=2)
        .map(|number| format!("{},,{}\n", machine(number).serial().unwrap(), machine(number).hash().to_base64()))
        .collect();
    repo.write("ham.csv", rows);
    let run = |words: &str| ran(Desk::new().command(words).current_dir(repo.path()));
    let plain = run("hash --pin ham.csv");
    assert!(!plain.out.contains("TEST-000001") && plain.err.contains("--show-identifiers"), "{}", plain.err);
    let named = run("hash --pin --show-identifiers ham.csv");
    let lines: Vec<&str> = named.out.lines().collect();
    assert!(lines[0].ends_with("ham.csv:1  TEST-000001") && lines[1].ends_with("ham.csv:2  TEST-000002"), "{lines:?}");
    assert_eq!(named.err, "");
}

#[test]
fn what_is_told_of_hashes_is_what_is_counted() {
    let repo = Folder::repository();
    let hash = machine(1).hash().to_base64();
    // A row of another device whose hash had to be repaired.
    let rows =
        format!("Device Serial Number,Hardware Hash\nOTHER1,{hash}A\nTEST-000002,{}\n", machine(2).hash().to_base64());
    repo.write("ham.csv", rows);
    let out = ran(Desk::new().command("hash ham.csv").current_dir(repo.path())).out;
    assert!(out.contains("1 error, 1 warning  ") && out.ends_with("2 hashes, 1 error, 1 warning\n"), "{out}");
}

#[test]
fn nobody_at_a_loopback_address_is_asked_after() {
    let repo = repository("Sync", "", "anna@fabrikam.com");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let there = at_url(&format!("http://127.0.0.1:{port}"));
    repo.edit("tenant.yaml", "  ownerId: corp\n", &format!("  ownerId: corp\n  {there}\n"));
    let plan = ran(Desk::new().command("plan .").current_dir(repo.path()));
    assert!(plan.err.contains("is `apgit simulate` running?"), "{}", plan.err);
}

#[test]
fn a_mistake_on_the_command_line_is_met_with_advice_that_helps() {
    let run = |words: &str| Desk::new().run(words);
    let status = run("status A1 B2 --simulate --path examples/contoso");
    assert!(status.code == 64 && status.err.contains("2 serial numbers") && status.err.contains("name one device"));
    let validate = run("validate . --simulate");
    assert!(validate.code == 64 && !validate.err.contains("-- --simulate"), "{}", validate.err);
    for words in ["hash no-such-file", "validate no-such-file"] {
        assert_eq!(run(words).code, 3, "{words}");
    }
}
