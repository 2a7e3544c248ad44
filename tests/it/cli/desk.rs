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
