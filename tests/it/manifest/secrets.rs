//! A secret that somebody has written into a manifest is told of, and shown to
//! nobody.

use super::{Repo, TENANT, codes, told, validated};
use crate::support::{Desk, ran};

const SECRET: &str = "vErY~Secret8Q";

fn with_auth(auth: &str) -> Repo {
    let repo = Repo::bare();
    repo.write("tenant.yaml", TENANT.replace("policy:", &format!("auth: {auth}, policy:")));
    repo
}

const ID: &str = "clientId: aaaaaaaa-0000-4000-8000-000000000001";

#[test]
fn a_secret_in_a_tenant_is_told_with_what_to_do_and_never_shown() {
    for (field, variable) in [
        ("clientSecret", "AZURE_CLIENT_SECRET"),
        ("password", "AZURE_CLIENT_SECRET"),
        ("client_secret", "AZURE_CLIENT_SECRET"),
        ("privateKey", "AZURE_CLIENT_CERTIFICATE_PATH"),
        ("token", "AZURE_FEDERATED_TOKEN_FILE"),
    ] {
        for (kind, before) in [("ClientSecret", ""), ("ClientSecrt", "wrong-type ")] {
            let repo = with_auth(&format!("{{type: {kind}, {field}: {SECRET}, {ID}}}"));
            let loaded = repo.load();
            let all = codes(&loaded).join(" ");
            let one = "secret-in-manifest";
            assert!(all == one || !before.is_empty() && codes(&loaded).len() == 2, "{all}: {}", told(&loaded));
            let (code, out, err) = validated(&repo.path().display().to_string());
            assert!(code == 3 && !format!("{out}{err}").contains("vErY"), "{err}");
            assert!(err.contains(variable) && err.contains("replace it by a new one"), "{err}");
            for format in ["--json", "--report sarif"] {
                let ran = Desk::new().run(&format!("validate {} {format}", repo.path().display()));
                assert!(!format!("{}{}", ran.out, ran.err).contains("vErY"), "{format}");
            }
            let plan = ran(Desk::new().command("plan .").current_dir(repo.path()));
            assert!(plan.code == 3 && !plan.err.contains("vErY"), "{}", plan.err);
        }
    }
}

#[test]
fn a_secret_is_not_shown_where_the_text_is_no_yaml_either() {
    for auth in [
        format!("{{type: ClientSecret, clientSecret:{SECRET}, {ID}}}"),
        format!("{{type: ClientSecret, clientSecret: @{SECRET}, {ID}}}"),
        format!("{{type: ClientSecret, clientSecret: {SECRET}: a, {ID}}}"),
        format!("{{type: ClientSecret, clientSecret: \"{SECRET}, {ID}}}"),
        format!("{{type: ClientSecret, {ID}, clientSecret: {SECRET}"),
    ] {
        let repo = with_auth(&auth);
        let (code, _, err) = validated(&repo.path().display().to_string());
        assert!(code == 3 && !err.contains("vErY"), "{auth}: {err}");
    }
    for line in ["clientSecret:SECRET", "clientSecret: SECRET: a", "clientSecret: @SECRET", "clientSecret: 'SECRET"] {
        let repo = Repo::bare();
        let line = line.replace("SECRET", SECRET);
        let text = format!(
            "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotTenant\nmetadata: {{name: a}}\nspec:\n  auth:\n    \
             type: ClientSecret\n    {line}\n    {ID}\n"
        );
        repo.write("tenant.yaml", text);
        let (code, _, err) = validated(&repo.path().display().to_string());
        assert!(code == 3 && !err.contains("vErY"), "{line}: {err}");
    }
}

#[test]
fn a_word_in_the_place_of_a_reference_may_be_the_secret() {
    let repo = with_auth(&format!("{{type: ClientSecret, {ID}, secretRef: {SECRET}}}"));
    let said = told(&repo.load());
    assert!(
        !said.contains("vErY") && said.replace("\n", " ").contains("write `secretRef: {name: …, key: …}`"),
        "{said}"
    );
}

#[test]
fn a_reference_to_a_secret_is_none() {
    let repo = with_auth(&format!("{{type: ClientSecret, {ID}, secretRef: {{name: a, key: b}}}}"));
    assert_eq!(codes(&repo.load()), [""; 0], "{}", told(&repo.load()));
}
