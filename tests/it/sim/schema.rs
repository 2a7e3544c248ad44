//! Every answer of every route against the types in Microsoft's published
//! metadata: a table of facts, taken from it beside the simulator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::*;

const FACTS: &str = include_str!("../../../src/sim/door/metadata.tsv");

/// Types of which every property is answered, not only those in use.
const WHOLE: [&str; 6] = [
    "windowsAutopilotDeviceIdentity",
    "importedWindowsAutopilotDeviceIdentity",
    "importedWindowsAutopilotDeviceIdentityState",
    "windowsAutopilotSettings",
    "importedDeviceIdentity",
    "verifiedDomain",
];

struct Fact {
    kind: &'static str,
    nullable: bool,
    in_v1: bool,
}

struct Facts {
    types: BTreeMap<&'static str, BTreeMap<&'static str, Fact>>,
    enums: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

static TABLE: LazyLock<Facts> = LazyLock::new(|| {
    let mut facts = Facts { types: BTreeMap::new(), enums: BTreeMap::new() };
    for line in FACTS.lines().filter(|line| !line.starts_with('#')) {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["enum", name, members] => {
                let bare = |member: &'static str| member.split(['=', '/']).next().unwrap_or(member);
                facts.enums.insert(name, members.split(',').map(bare).collect());
            }
            [of, name, kind, nullable, versions] => {
                let fact = Fact { kind, nullable: nullable != "no", in_v1: versions != "beta" };
                facts.types.entry(of).or_default().insert(name, fact);
            }
            _ => panic!("a line of the facts: {line}"),
        }
    }
    facts
});

/// The type that an answer's context names, and whether it is a collection.
fn type_of(context: &str) -> (&'static str, bool) {
    let (_, path) = context.split_once("$metadata#").expect("a context names its type");
    let (path, single) = path.strip_suffix("/$entity").map_or((path, false), |path| (path, true));
    let set = path.rsplit('/').next().unwrap_or_default();
    let name = match set {
        "windowsAutopilotDeviceIdentities" | "assignedDevices" => "windowsAutopilotDeviceIdentity",
        "importedWindowsAutopilotDeviceIdentities" => "importedWindowsAutopilotDeviceIdentity",
        "windowsAutopilotSettings" => "windowsAutopilotSettings",
        "windowsAutopilotDeploymentProfiles" => "windowsAutopilotDeploymentProfile",
        "assignments" => "windowsAutopilotDeploymentProfileAssignment",
        "importedDeviceIdentities" | "Collection(microsoft.graph.importedDeviceIdentity)" => "importedDeviceIdentity",
        "Collection(microsoft.graph.importedDeviceIdentityResult)" => "importedDeviceIdentityResult",
        "Collection(microsoft.graph.deletedWindowsAutopilotDeviceState)" => "deletedWindowsAutopilotDeviceState",
        "managedDevices" => "managedDevice",
        "devices" => "device",
        "groups" => "group",
        "users" => "user",
        "organization" => "organization",
        "roleScopeTags" => "roleScopeTag",
        other => panic!("no type for `{other}` in `{context}`"),
    };
    (name, !single)
}

/// Panics where an answer is not what the metadata says, or an error has none
/// of the service's shapes.
#[track_caller]
pub fn assert_as_published(got: &Got) {
    if got.status >= 400 {
        return assert_an_error(got);
    }
    let Some(context) = got.json["@odata.context"].as_str() else {
        let empty = got.response.body().is_empty();
        assert!(empty || got.json["responses"].is_array(), "an answer without a context: {}", got.json);
        return;
    };
    let beta = context.contains("/beta/$metadata");
    let (name, is_list) = type_of(context);
    if is_list {
        got.json["value"].as_array().expect("a list").iter().for_each(|one| assert_entity(one, name, beta));
    } else {
        assert_entity(&got.json, name, beta);
    }
}

#[track_caller]
fn assert_an_error(got: &Got) {
    let is_page = got.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
    if is_page {
        return;
    }
    let error = &got.json["error"];
    assert!(error["code"].is_string() && error["message"].is_string(), "{}", got.json);
    for name in ["date", "request-id", "client-request-id"] {
        assert!(error["innerError"][name].is_string(), "{name} in {}", got.json);
    }
    if error["message"].as_str().is_some_and(|message| message.starts_with('{')) {
        assert_eq!(got.inner()["_version"], 3);
    }
}

#[track_caller]
fn assert_entity(entity: &Value, name: &str, beta: bool) {
    let properties = &TABLE.types[name];
    let base = (name == "importedDeviceIdentityResult").then(|| &TABLE.types["importedDeviceIdentity"]);
    let fields = entity.as_object().unwrap_or_else(|| panic!("{name} is no object: {entity}"));
    for (field, value) in fields.iter().filter(|(field, _)| !field.starts_with('@')) {
        if field == "id" {
            assert!(value.is_string(), "{name}.id");
            continue;
        }
        let fact = properties.get(field.as_str()).or_else(|| base.and_then(|base| base.get(field.as_str())));
        let fact = fact.unwrap_or_else(|| panic!("{name} has no property `{field}`"));
        assert!(beta || fact.in_v1, "{name}.{field} is beta's alone");
        assert_value(value, fact, &format!("{name}.{field}"), beta);
    }
    if WHOLE.contains(&name) {
        let known = |kind: &str| !TABLE.types.contains_key(kind) || kind.ends_with("State");
        for (field, fact) in properties.iter().filter(|(_, fact)| (beta || fact.in_v1) && known(fact.kind)) {
            // The one property that the metadata of v1.0 has and that of beta has not.
            let dropped = name == "verifiedDomain" && *field == "type" && beta;
            assert!(dropped || fields.contains_key(*field), "{name}.{field} is not answered: {}", fact.kind);
        }
    }
}

#[track_caller]
fn assert_value(value: &Value, fact: &Fact, place: &str, beta: bool) {
    if value.is_null() {
        assert!(fact.nullable, "{place} is never null");
        return;
    }
    if let Some(inner) = fact.kind.strip_prefix("Collection(").and_then(|rest| rest.strip_suffix(')')) {
        let fact = Fact { kind: inner, nullable: false, in_v1: fact.in_v1 };
        let items = value.as_array().unwrap_or_else(|| panic!("{place} is a list"));
        items.iter().for_each(|item| assert_value(item, &fact, place, beta));
        return;
    }
    let text = value.as_str();
    let fits = match fact.kind {
        "String" => text.is_some(),
        "Boolean" => value.is_boolean(),
        "Int32" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "Int64" => value.is_i64(),
        "Binary" => text.is_some_and(|text| STANDARD.decode(text).is_ok()),
        // The year 9999 is beyond what we take for a time, not beyond the service.
        "DateTimeOffset" => text.is_some_and(|t| t.parse::<jiff::Timestamp>().is_ok() || t.starts_with("9999-12-31T")),
        "deviceAndAppManagementAssignmentTarget" => value["@odata.type"].is_string(),
        kind => match TABLE.enums.get(kind) {
            Some(members) => text.is_some_and(|text| members.contains(text)),
            None => return assert_entity(value, kind, beta),
        },
    };
    assert!(fits, "{place} is {}, not {value}", fact.kind);
}

/// Asks, and checks what comes.
async fn asked(client: &Client, method: Method, path: &str, body: Value) -> Got {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let got = client.send(method, path, &body).await;
    assert_as_published(&got);
    got
}

#[tokio::test]
async fn every_answer_of_every_route_is_as_microsofts_metadata_says() {
    for settings in [Settings::calm(), Settings::busy().switched(sim::Switch::LinkedEarly)] {
        visit_every_route(Client::of(settings.switched(sim::Switch::Documented)).await).await;
    }
}

async fn visit_every_route(client: Client) {
    let serial = |number: usize| format!("SIM{number:07}");
    let ids: Vec<String> = client.sim.with(|tenant| {
        tenant.add_devices(6);
        (0..6).map(|number| tenant.registrations_of(&serial(number))[0].id.to_string()).collect()
    });
    client.sim.with(|tenant| {
        tenant.enrol_userless(ids[0].parse().unwrap()).unwrap();
        tenant.swap_board(ids[1].parse().unwrap()).unwrap();
    });
    for version in ["v1.0", "beta"] {
        let devices = format!("/{version}/deviceManagement/windowsAutopilotDeviceIdentities");
        let imports = format!("/{version}/deviceManagement/importedWindowsAutopilotDeviceIdentities");
        let get = async |path: &str| asked(&client, Method::GET, path, Value::Null).await;
        let post = async |path: &str, body: Value| asked(&client, Method::POST, path, body).await;
        let row =
            |serial: String| json!({"serialNumber": serial, "hardwareIdentifier": hash(&serial), "groupTag": "OSL"});
        let one = post(&imports, row(format!("ONE-{version}"))).await;
        post(
            &format!("{imports}/import"),
            json!({"importedWindowsAutopilotDeviceIdentities": [row(format!("TWO-{version}"))]}),
        )
        .await;
        let record = format!("{imports}/{}", one.json["id"].as_str().unwrap());
        for _ in 0..8 {
            get(&imports).await;
            get(&record).await;
            get(&devices).await;
            client.wait(seconds(60)).await;
        }
        get(&format!("{devices}/{}?$expand=deploymentProfile,intendedDeploymentProfile", ids[0])).await;
        get(&format!("{devices}?$filter=contains(serialNumber,'SIM')")).await;
        get(&format!("{devices}?$select=id")).await;
        let user = json!({"userPrincipalName": "anna.keller@contoso.com", "addressableUserName": "Anna"});
        post(&format!("{devices}/{}/updateDeviceProperties", ids[0]), json!({"groupTag": "X"})).await;
        post(&format!("{devices}/{}/assignUserToDevice", ids[0]), user.clone()).await;
        post(&format!("{devices}/{}/unassignUserFromDevice", ids[0]), Value::Null).await;
        for action in ["allowNextEnrollment", "assignResourceAccountToDevice", "unassignResourceAccountFromDevice"] {
            post(&format!("{devices}/{}/{action}", ids[0]), user.clone()).await;
        }
        asked(&client, Method::DELETE, &format!("{devices}/{}", ids[0]), Value::Null).await;
        asked(&client, Method::DELETE, &record, Value::Null).await;
        post(&format!("{devices}/deleteDevices"), json!({"serialNumbers": [serial(3), "NOBODY"]})).await;
        post(&format!("/{version}/$batch"), json!({"requests": [{"id": 1, "method": "GET", "url": "organization"}]}))
            .await;
        post(&devices, json!({})).await;

        let root = format!("/{version}");
        for path in ["organization", "users/anna.keller@contoso.com", "users/nobody@example.com", "groups", "nonsense"]
        {
            get(&format!("{root}/{path}")).await;
        }
        let objects = get(&format!("{root}/devices")).await;
        let object = format!("{root}/devices/{}", objects.json["value"][5]["id"].as_str().unwrap());
        get(&object).await;
        asked(&client, Method::DELETE, &object, Value::Null).await;
        let managed = format!("{root}/deviceManagement/managedDevices");
        let enrolled = get(&managed).await;
        if let Some(id) = enrolled.json["value"][0]["id"].as_str() {
            get(&format!("{managed}/{id}")).await;
        }
        if version == "beta" {
            asked(
                &client,
                Method::DELETE,
                &format!("{managed}/{}", enrolled.json["value"][0]["id"].as_str().unwrap()),
                Value::Null,
            )
            .await;
        }
        let management = format!("{root}/deviceManagement");
        for path in ["windowsAutopilotSettings", "roleScopeTags", "importedDeviceIdentities"] {
            get(&format!("{management}/{path}")).await;
        }
        post(&format!("{management}/windowsAutopilotSettings/sync"), Value::Null).await;
        post(&format!("{management}/windowsAutopilotSettings/sync"), Value::Null).await;
        get(&format!("{management}/windowsAutopilotSettings")).await;
        let line = json!({"importedDeviceIdentityType": "serialNumber", "importedDeviceIdentifier": "A1"});
        let lines = json!({"importedDeviceIdentities": [line], "overwriteImportedDeviceIdentities": true});
        for action in ["importDeviceIdentityList", "searchExistingIdentities"] {
            post(&format!("{management}/importedDeviceIdentities/{action}"), lines.clone()).await;
        }
        let profiles = format!("{management}/windowsAutopilotDeploymentProfiles");
        let profile = get(&format!("{profiles}?$expand=assignments")).await;
        if let Some(id) = profile.json["value"][0]["id"].as_str() {
            for path in [format!("/{id}"), format!("/{id}/assignments"), format!("/{id}/assignedDevices")] {
                get(&format!("{profiles}{path}")).await;
            }
        }
    }
    let routes: BTreeSet<String> = client.sim.with(|tenant| {
        let calls = tenant.counters().calls.keys();
        calls.filter_map(|call| Some(call.split(' ').nth(1)?.to_owned())).collect()
    });
    assert!(routes.len() >= 30, "all routes were visited: {routes:?}");
}

#[tokio::test]
async fn the_metadata_document_is_xml_and_says_what_microsofts_says() {
    let client = Client::calm().await;
    for (version, beta) in [("v1.0", false), ("beta", true)] {
        let got = client.get(&format!("/{version}/$metadata")).await;
        assert_eq!((got.status, got.header("content-type")), (200, Some("application/xml")));
        let text = std::str::from_utf8(got.response.body()).unwrap();
        let xml = roxmltree::Document::parse(text).unwrap();
        assert_eq!(xml.root_element().tag_name().name(), "Edmx");
        let named = |tag: &str| -> Vec<roxmltree::Node<'_, '_>> {
            xml.descendants().filter(|node| node.tag_name().name() == tag).collect()
        };
        let declared: BTreeSet<&str> = ["EntityType", "ComplexType", "EnumType"]
            .iter()
            .flat_map(|tag| named(tag))
            .filter_map(|node| node.attribute("Name"))
            .collect();
        let mut properties = 0;
        for node in named("Property").into_iter().chain(named("NavigationProperty")) {
            let kind = node.attribute("Type").unwrap();
            let inner = kind.trim_start_matches("Collection(").trim_end_matches(')');
            match inner.strip_prefix("graph.") {
                Some(own) => assert!(declared.contains(own), "{version}: `{own}` is used, not declared"),
                None => assert!(inner.starts_with("Edm."), "{inner}"),
            }
            let of = node.parent().and_then(|parent| parent.attribute("Name")).unwrap();
            let Some(fact) = TABLE.types.get(of).and_then(|of| of.get(node.attribute("Name").unwrap())) else {
                assert!(["entity", "deviceManagement"].contains(&of), "{of} is not among the facts");
                continue;
            };
            assert_eq!(kind.replace("Edm.", "").replace("graph.", ""), fact.kind, "{of}");
            assert!(beta || fact.in_v1, "{of}");
            properties += 1;
        }
        assert!(properties > 80, "{properties} properties");
        assert_eq!(declared.contains("windowsAutopilotSettings"), beta);
    }
}
