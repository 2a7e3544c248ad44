//! The rule of a field stands once: whatever text it holds, the schema and the
//! checks of its kind give one verdict.

use apgit::door::model::is_unseen;
use apgit::door::resource::{self, AutopilotDeviceSpec, AutopilotTenantSpec, Kind};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::support::typed;
use crate::support::violations;

/// Specs that are sound, and the fields of each that hold text with a rule.
fn specs() -> Vec<(Kind, Value, Vec<&'static str>)> {
    let id = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
    let pin = "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdef0123";
    let device = json!({
        "serialNumber": "PF4T9K2L",
        "registrationId": id,
        "hardwareHashRef": {"env": "APGIT_HASH_A1", "sha256": pin},
        "groupTag": "KIOSK LOBBY",
        "userPrincipalName": "anna.keller@contoso.com",
        "addressableUserName": "Anna",
        "displayName": "LOBBY-01",
    });
    let vault = json!({"vaultUrl": "https://hashes-1.vault.azure.net/", "name": "lobby-1"});
    let in_vault = json!({
        "serialNumber": "PF4T9K2L",
        "hardwareHashRef": {"keyVaultSecret": vault, "sha256": format!("sha256:{pin}")},
    });
    let tenant = json!({
        "tenantId": id,
        "endpoints": {"login": "http://127.0.0.1:8800", "graph": "https://[::1]:8800/"},
        "auth": {"type": "ClientSecret", "clientId": id},
        "policy": "Sync",
        "ownerId": "corp_devices.1",
        "interval": "10m",
        "scope": {"groupTags": ["A-*"]},
        "peers": [{"ownerId": "b", "groupTags": ["B-*"]}],
        "freezes": [{"name": "year-end", "reason": "rest", "weekly": {"from": "Fri 16:00", "until": "Mon 06:00", "timeZone": "UTC"}}],
    });
    let of_device = vec![
        "/serialNumber",
        "/registrationId",
        "/hardwareHashRef/env",
        "/hardwareHashRef/sha256",
        "/groupTag",
        "/userPrincipalName",
        "/addressableUserName",
        "/displayName",
    ];
    let of_vault = vec![
        "/hardwareHashRef/keyVaultSecret/vaultUrl",
        "/hardwareHashRef/keyVaultSecret/name",
        "/hardwareHashRef/sha256",
    ];
    let of_tenant = vec![
        "/tenantId",
        "/endpoints/login",
        "/endpoints/graph",
        "/auth/clientId",
        "/ownerId",
        "/interval",
        "/peers/0/ownerId",
        "/freezes/0/name",
        "/freezes/0/reason",
        "/freezes/0/weekly/from",
        "/freezes/0/weekly/until",
    ];
    vec![(Kind::Device, device, of_device), (Kind::Device, in_vault, of_vault), (Kind::Tenant, tenant, of_tenant)]
}

/// Characters that rules are about: blanks and controls, seen and unseen, and
/// those that the forms of fields are made of.
fn character() -> impl Strategy<Value = char> {
    let telling = "aZ09-_.@,:/[]{}+#?~ \t\n\r\u{0}\u{7f}\u{85}\u{9f}\u{a0}\u{ad}ßéı\u{1680}\u{2003}\u{200b}\u{2028}\u{3000}\u{feff}\u{e000}";
    prop_oneof![4 => proptest::sample::select(telling.chars().collect::<Vec<_>>()), 1 => any::<char>()]
}

/// A legal text with a few characters changed, some text at all, or a long one.
fn text(legal: String) -> impl Strategy<Value = String> {
    let edits = proptest::collection::vec((any::<Index>(), 0usize..2, proptest::option::of(character())), 0..4);
    let damaged = (Just(legal.clone()), edits).prop_map(|(legal, edits)| {
        let mut text: Vec<char> = legal.chars().collect();
        for (at, taken, put) in edits {
            let at = at.index(text.len() + 1);
            text.splice(at..text.len().min(at + taken), put);
        }
        text.into_iter().collect()
    });
    let any = proptest::collection::vec(character(), 0..6).prop_map(String::from_iter);
    let long = (0usize..560, character()).prop_map(move |(more, c)| legal.clone() + &c.to_string().repeat(more));
    prop_oneof![6 => damaged, 2 => any, 2 => long]
}

/// No dialect of patterns has a name for these that the others know.
fn only_checks_name(c: char) -> bool {
    let is_private = matches!(u32::from(c), 0xe000..=0xf8ff | 0xf_0000..=0xf_fffd | 0x10_0000..=0x10_fffd);
    let has_a_name = c.is_control() || is_private || matches!(c, '\u{ad}' | '\u{200b}' | '\u{2028}' | '\u{feff}');
    is_unseen(c) && !has_a_name
}

fn field() -> impl Strategy<Value = (usize, &'static str, String)> {
    let fields: Vec<_> = specs()
        .into_iter()
        .enumerate()
        .flat_map(|(at, (_, spec, fields))| {
            let legal = move |field: &str| spec.pointer(field).unwrap().as_str().unwrap().to_owned();
            fields.into_iter().map(move |field| (at, field, legal(field))).collect::<Vec<_>>()
        })
        .collect();
    proptest::sample::select(fields)
        .prop_flat_map(|(at, field, legal)| text(legal).prop_map(move |text| (at, field, text)))
}

/// What the checks of the kind find, without the rules that are about more
/// than the form of one field.
fn problems(kind: Kind, spec: Value) -> Vec<String> {
    let problems = match kind {
        Kind::Tenant => resource::tenant("contoso", &typed::<AutopilotTenantSpec>(spec)).err(),
        _ => resource::claim(&typed::<AutopilotDeviceSpec>(spec)).err(),
    };
    let of_form = |code| !["serial-placeholder", "addressable-user-name-alone"].contains(&code);
    let problems = problems.into_iter().flatten().filter(|problem| of_form(problem.code));
    problems.map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn the_schema_and_the_checks_give_one_verdict_on_any_text((at, field, text) in field()) {
        prop_assume!(!text.chars().any(only_checks_name));
        let (kind, mut spec, _) = specs().swap_remove(at);
        *spec.pointer_mut(field).unwrap() = Value::String(text);
        let refused = violations(resource::spec_schema(kind), &spec);
        let problems = problems(kind, spec);
        prop_assert_eq!(refused.is_empty(), problems.is_empty(), "{:?} {:?}", refused, problems);
    }
}
