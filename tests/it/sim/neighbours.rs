//! What stands beside the registrations: device objects in Entra, devices in
//! Intune, corporate identifiers, meeting-room accounts, profiles and groups.

use super::*;

const CORPORATE: &str = "/beta/deviceManagement/importedDeviceIdentities";
const MANAGED: &str = "/v1.0/deviceManagement/managedDevices";

async fn objects(client: &Client, filter: &str) -> Vec<Value> {
    let got = client.get(&format!("/v1.0/devices?$filter={}", filter.replace(' ', "%20"))).await;
    assert_eq!(got.status, 200, "{}", got.json);
    got.json["value"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_entra_object_with_the_registrations_id_appears_and_follows_its_tag_later() {
    let client = Client::of(Settings::busy()).await;
    let row = json!([{"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1"), "groupTag": "OSL"}]);
    let record = client.import(row).await;
    let mut first_seen = None;
    for second in 0..1200 {
        if !objects(&client, "physicalIds/any(p:startswith(p,'[ZTDID]'))").await.is_empty() {
            first_seen = Some(second);
            break;
        }
        client.wait(seconds(1)).await;
    }
    assert!((45..=420).contains(&first_seen.unwrap()), "45 s to the registration and up to five minutes more");
    let id = client.import_state(&record[0]).await["deviceRegistrationId"].as_str().unwrap().to_owned();
    let [object] = &objects(&client, &format!("physicalIds/any(p:p eq '[ZTDID]:{id}')")).await[..] else {
        panic!("one object")
    };
    assert_eq!(object["physicalIds"], json!([format!("[ZTDID]:{id}"), "[OrderID]:OSL"]));
    assert_eq!((object["displayName"].as_str(), object["accountEnabled"].as_bool()), (Some("TEST-1"), Some(false)));

    client.wait(seconds(900)).await;
    let update = client.post(&format!("{DEVICES}/{id}/updateDeviceProperties"), json!({"groupTag": "BGO"})).await;
    assert_eq!(update.status, 204);
    client.wait(seconds(59)).await;
    assert!(objects(&client, "physicalIds/any(p:p eq '[OrderID]:BGO')").await.is_empty(), "a minute at the least");
    client.wait(seconds(600)).await;
    assert_eq!(objects(&client, "physicalIds/any(p:p eq '[OrderID]:BGO')").await.len(), 1);
    assert!(objects(&client, "physicalIds/any(p:p eq '[orderid]:BGO')").await.is_empty(), "the token's letters count");
}

#[tokio::test]
async fn an_entra_object_is_found_by_either_id_and_deleting_it_breaks_the_enrolment() {
    let client = Client::calm().await;
    client.sim.with(|tenant| tenant.add_devices(250));
    let got = client.get("/v1.0/devices").await;
    assert_eq!(got.json["value"].as_array().unwrap().len(), 100, "the directory's own page size");
    assert!(got.json["@odata.nextLink"].is_string());
    let object = &got.json["value"][0];
    let by_id = format!("/v1.0/devices/{}", object["id"].as_str().unwrap());
    let by_device = format!("/beta/devices(deviceId='{}')", object["deviceId"].as_str().unwrap());
    assert_eq!(client.get(&by_id).await.json["deviceId"], object["deviceId"]);
    assert_eq!(client.get(&by_device).await.json["id"], object["id"]);
    let filter = format!("deviceId eq '{}'", object["deviceId"].as_str().unwrap());
    assert_eq!(objects(&client, &filter).await.len(), 1);
    assert_eq!(
        client.get("/v1.0/devices?$filter=model%20eq%20'x'").await.json["error"]["code"],
        "Request_UnsupportedQuery"
    );

    let registration = object["physicalIds"][0].as_str().unwrap().strip_prefix("[ZTDID]:").unwrap().parse().unwrap();
    assert_eq!(client.delete(&by_id).await.status, 204);
    let gone = client.get(&by_id).await;
    assert_eq!((gone.status, gone.json["error"]["code"].as_str()), (404, Some("Request_ResourceNotFound")));
    assert_eq!(client.delete(&by_device).await.status, 404);
    let enrolled = client.sim.with(|tenant| tenant.enrol(registration));
    assert_eq!(enrolled, Err(sim::ScenarioError::NoObject(registration)));
    assert_eq!(client.get(&format!("{DEVICES}/{registration}")).await.status, 200, "the registration stays");
}

#[tokio::test]
async fn an_enrolled_device_is_in_intune_until_it_is_deleted_there() {
    let client = Client::calm().await;
    let ids = ["TEST-1", "TEST-2"].map(|serial| client.sim.with(|t| t.add_device(serial, "Contoso", "Tower 5", "")));
    for id in ids {
        client.sim.with(|tenant| tenant.enrol(id).unwrap());
    }
    let got = client.get(&format!("{MANAGED}?$filter=serialNumber%20eq%20'test-1'")).await;
    let [device] = &got.json["value"].as_array().unwrap()[..] else { panic!("one device: {}", got.json) };
    let registration = client.get(&format!("{DEVICES}/{}", ids[0])).await.json;
    assert_eq!(registration["managedDeviceId"], device["id"]);
    assert_eq!(registration["azureActiveDirectoryDeviceId"], device["azureADDeviceId"]);
    let either = "serialNumber%20eq%20'TEST-1'%20or%20serialNumber%20eq%20'TEST-2'";
    let either = client.get(&format!("{MANAGED}?$filter={either}")).await;
    assert_eq!(either.json["value"].as_array().unwrap().len(), 1, "only the first alternative is looked at");
    let count = client.get(&format!("{MANAGED}/$count")).await;
    assert_eq!(count.json["error"]["code"], "No method match route template");

    let path = format!("{MANAGED}/{}", device["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.json["serialNumber"], "TEST-1");
    assert_eq!(client.delete(&format!("{DEVICES}/{}", ids[0])).await.status, 400, "enrolled");
    assert_eq!((client.delete(&path).await.status, client.get(&path).await.status), (204, 200));
    assert_eq!(client.delete(&path).await.status, 204, "once more changes nothing");
    assert_eq!(client.delete(&format!("{DEVICES}/{}", ids[0])).await.status, 400, "it is still there");
    client.wait(seconds(30)).await;
    assert_eq!((client.delete(&path).await.status, client.get(&path).await.status), (404, 404));
    assert_eq!(client.delete(&format!("{DEVICES}/{}", ids[0])).await.status, 204, "not any more");
}

#[tokio::test]
async fn corporate_identifiers_are_taken_at_once_and_each_line_has_a_status() {
    let client = Client::calm().await;
    let line =
        |text: &str| json!({"importedDeviceIdentityType": "manufacturerModelSerial", "importedDeviceIdentifier": text});
    let import = async |lines: Value, overwrite: bool| {
        let body = json!({"importedDeviceIdentities": lines, "overwriteImportedDeviceIdentities": overwrite});
        client.post(&format!("{CORPORATE}/importDeviceIdentityList"), body).await
    };
    let got = import(json!([line("Contoso,Model 1,A1"), line("Contoso,Model 1,A2")]), false).await;
    assert_eq!(got.status, 200);
    let statuses = |got: &Got| -> Vec<bool> {
        got.json["value"].as_array().unwrap().iter().map(|one| one["status"].as_bool().unwrap()).collect()
    };
    assert_eq!(statuses(&got), [true, true]);
    assert_eq!(
        statuses(&import(json!([line("contoso,model 1,a1"), line("Contoso,Model 1,A3")]), false).await),
        [false, true]
    );
    assert_eq!(statuses(&import(json!([line("Contoso,Model 1,A1")]), true).await), [true]);

    let bad = import(json!([line("Contoso,A9"), line("Contoso;Model 1;A9"), line("Contoso,Model 1,A9")]), false).await;
    assert_eq!(bad.status, 400);
    assert_eq!(bad.reason(), "Invalid Device Identifier parameter found for 2 import records");

    let search = json!({"importedDeviceIdentities": [line("Contoso,Model 1,A1"), line("Contoso,Model 1,A9")]});
    let found = client.post(&format!("{CORPORATE}/searchExistingIdentities"), search).await;
    assert_eq!(found.json["value"].as_array().unwrap().len(), 1);
    let path = format!("{CORPORATE}/{}", found.json["value"][0]["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.json["importedDeviceIdentifier"], "Contoso,Model 1,A1");
    assert_eq!((client.delete(&path).await.status, client.delete(&path).await.status), (204, 404));
    assert_eq!(client.get(CORPORATE).await.json["value"].as_array().unwrap().len(), 2);
    assert!(client.list("beta").await.is_empty(), "an identifier is no registration");
    let v1 = client.get("/v1.0/deviceManagement/importedDeviceIdentities").await;
    assert_eq!(v1.json["error"]["message"], "Resource not found for the segment 'importedDeviceIdentities'.");
}

#[tokio::test]
async fn a_meeting_room_gets_its_account_on_beta_only() {
    let client = Client::calm().await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Tower 5", ""));
    let beta = format!("/beta/deviceManagement/windowsAutopilotDeviceIdentities/{id}");
    let account = json!({"userPrincipalName": "room@contoso.com", "addressableUserName": "Room", "resourceAccountName": "Room 1"});
    assert_eq!(client.post(&format!("{beta}/assignResourceAccountToDevice"), account.clone()).await.status, 204);
    assert_eq!(client.post(&format!("{DEVICES}/{id}/assignResourceAccountToDevice"), account).await.status, 400);
    let surface =
        json!({"deviceAccountUpn": "hub@contoso.com", "deviceAccountPassword": "secret", "deviceFriendlyName": "Hub"});
    assert_eq!(client.post(&format!("{beta}/updateDeviceProperties"), surface).await.status, 204);
    client.wait(seconds(10)).await;
    let seen = client.get(&beta).await.json;
    assert_eq!(
        [&seen["resourceName"], &seen["userPrincipalName"], &seen["deviceAccountUpn"], &seen["deviceFriendlyName"]],
        ["Room 1", "room@contoso.com", "hub@contoso.com", "Hub"]
    );
    assert_eq!(seen["deviceAccountPassword"], "", "a password never comes back");
    assert!(!client.sim.with(|tenant| tenant.save()).contains("\"secret\""), "and is not kept");
    assert_eq!(client.post(&format!("{beta}/unassignResourceAccountFromDevice"), json!({})).await.status, 204);
    client.wait(seconds(10)).await;
    let seen = client.get(&beta).await.json;
    assert_eq!((seen["resourceName"].as_str(), seen["userPrincipalName"].as_str()), (Some(""), Some("")));
}

#[tokio::test]
async fn a_device_that_enrolled_without_a_user_may_again_once_somebody_allows_it() {
    let client = Client::calm().await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Tower 5", ""));
    let beta = format!("/beta/deviceManagement/windowsAutopilotDeviceIdentities/{id}");
    assert_eq!(client.get(&beta).await.json["userlessEnrollmentStatus"], "unknown");
    client.sim.with(|tenant| tenant.enrol_userless(id).unwrap());
    assert_eq!(client.get(&beta).await.json["userlessEnrollmentStatus"], "blocked");
    assert_eq!(client.post(&format!("{DEVICES}/{id}/allowNextEnrollment"), json!({})).await.status, 400, "beta only");
    assert_eq!(client.post(&format!("{beta}/allowNextEnrollment"), json!({})).await.status, 204);
    assert_eq!(client.get(&beta).await.json["userlessEnrollmentStatus"], "allowed");
}

#[tokio::test]
async fn a_profile_is_assigned_to_the_group_of_a_tag() {
    let mut settings = Settings::calm();
    settings.set(r#"profiles.list=[{"name":"All","group_tag":"*"},{"name":"Kiosks","group_tag":"KIOSK"}]"#).unwrap();
    let client = Client::of(settings).await;
    let profiles = "/beta/deviceManagement/windowsAutopilotDeploymentProfiles";
    let got = client.get(&format!("{profiles}?$expand=assignments")).await;
    let [all, kiosks] = &got.json["value"].as_array().unwrap()[..] else { panic!("two profiles") };
    assert_eq!(all["assignments"][0]["target"]["@odata.type"], "#microsoft.graph.allDevicesAssignmentTarget");
    let assignments = client.get(&format!("{profiles}/{}/assignments", kiosks["id"].as_str().unwrap())).await;
    assert_eq!(assignments.json["value"][0], kiosks["assignments"][0]);
    let group = kiosks["assignments"][0]["target"]["groupId"].as_str().unwrap();
    let group = client.get(&format!("/beta/groups/{group}")).await;
    assert_eq!(group.json["membershipRule"], r#"(device.devicePhysicalIds -any (_ -eq "[OrderID]:KIOSK"))"#);
    assert_eq!(client.get("/v1.0/groups").await.json["value"].as_array().unwrap().len(), 1);
    assert_eq!(client.get("/v1.0/groups/0c9be9b6-1b2f-4c0f-9d4a-000000000001").await.status, 404);
}

#[tokio::test]
async fn an_app_without_the_permission_of_a_neighbour_is_refused_there_alone() {
    let client = Client::calm().await;
    client.sim.with(|tenant| {
        tenant.set_roles("11111111-2222-3333-4444-555555555555", &["DeviceManagementServiceConfig.ReadWrite.All"]);
    });
    for path in ["/v1.0/devices", "/v1.0/groups", "/v1.0/organization", "/v1.0/users/anna.keller@contoso.com"] {
        let got = client.get(path).await;
        assert_eq!(
            (got.status, got.json["error"]["code"].as_str()),
            (403, Some("Authorization_RequestDenied")),
            "{path}"
        );
    }
    let managed = client.get(MANAGED).await;
    assert_eq!(managed.status, 403);
    assert!(managed.reason().ends_with("DeviceManagementManagedDevices.ReadWrite.All"), "{}", managed.reason());
    assert_eq!((client.get(DEVICES).await.status, client.get(CORPORATE).await.status), (200, 200));
}

#[tokio::test]
async fn metadata_numbers_members_as_each_version_has_them() {
    let client = Client::calm().await;
    let text = async |version: &str| {
        let got = client.get(&format!("/{version}/$metadata")).await;
        String::from_utf8_lossy(got.response.body()).into_owned()
    };
    let (stable, beta) = (text("v1.0").await, text("beta").await);
    assert!(beta.contains("<Member Name=\"virtualMachine\" Value=\"4\"/>"));
    assert!(beta.contains("<Member Name=\"blocked\" Value=\"5\"/>"));
    for name in ["virtualMachine", "surfaceHub2", "notContacted\" Value=\"4\"/><Member Name=\"blocked"] {
        assert!(!stable.contains(&format!("\"{name}\"")), "{name} is beta's");
    }
    assert!(stable.contains("<Member Name=\"notContacted\" Value=\"4\"/>"));
    let device_type = beta.split("windowsAutopilotDeviceType\">").nth(1).expect("the enum");
    assert!(device_type.split("</EnumType>").next().unwrap().contains("unknownFutureValue\" Value=\"99\""));
}

#[tokio::test]
async fn a_list_of_corporate_identifiers_is_read_by_its_exact_names() {
    let client = Client::calm().await;
    let line = |platform: &str| json!({"importedDeviceIdentityType": "serialNumber", "importedDeviceIdentifier": "A1", "platform": platform});
    let post = async |body: Value| client.post(&format!("{CORPORATE}/importDeviceIdentityList"), body).await;
    for body in [
        json!({"importedDeviceIdentitys": []}),
        json!({}),
        json!({"importedDeviceIdentities": [{"importedDeviceIdentityType": "serialNumber", "nonsense": 1}]}),
        json!({"importedDeviceIdentities": [line("amiga")]}),
    ] {
        assert_eq!(post(body.clone()).await.status, 400, "{body}");
    }
    let got = post(json!({"importedDeviceIdentities": [line("windows")]})).await;
    assert_eq!((got.status, &got.json["value"][0]["platform"]), (200, &json!("windows")));
}
