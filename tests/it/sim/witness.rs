//! The witness: every write that was accepted, by whom, and what it found.

use sim::{Write, WriteKind};

use super::*;

const APP: &str = "11111111-2222-3333-4444-555555555555";

/// A write as a line to read aloud.
fn line(write: &Write) -> String {
    let by = if write.by == APP {
        "client"
    } else if write.by.is_empty() {
        "hand"
    } else {
        &write.by
    };
    let values: Vec<String> = write.written.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let found = write.before.as_ref().map(|found| {
        let enrolled = if found.enrolled { ", enrolled" } else { "" };
        let values = [&found.group_tag, &found.user, &found.addressable_user_name, &found.display_name];
        format!(" on [{}{enrolled}]", values.map(|value| value.to_string()).join("|"))
    });
    let effect = match (write.lost, write.changes()) {
        (true, _) => ", lost",
        (false, false) => ", no change",
        (false, true) => "",
    };
    let line =
        format!("{by} {:?} {} {}{}{effect}", write.kind, write.serial, values.join(" "), found.unwrap_or_default());
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn lines(client: &Client) -> Vec<String> {
    client.sim.with(|tenant| tenant.witnessed().map(line).collect())
}

#[tokio::test]
async fn an_import_is_witnessed_as_a_row_and_as_the_registration_that_came_of_it() {
    let client = Client::calm().await;
    let row =
        json!({"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1"), "groupTag": "OSL", "importId": "run-1"});
    let record = client.import(json!([row])).await.remove(0);
    client.wait(seconds(60)).await;
    client.get(DEVICES).await;
    assert_eq!(lines(&client), ["client Import TEST-1 groupTag=OSL", "client Register TEST-1 groupTag=OSL"]);
    let registration = client.list("v1.0").await[0]["id"].as_str().unwrap().to_owned();
    client.sim.with(|tenant| {
        let [row, registered] = tenant.witnessed().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((row.record, registered.record), (Some(record.parse().unwrap()), Some(record.parse().unwrap())));
        assert_eq!((row.registration, registered.registration), (None, Some(registration.parse().unwrap())));
        assert_eq!((&*row.import_id, &*registered.import_id), ("run-1", "run-1"));
        assert!(row.at == sim::EPOCH && registered.at > row.at && registered.at < tenant.now());
    });
    assert_eq!(client.delete(&format!("{IMPORTS}/{record}")).await.status, 204);
    client.import(json!([{"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")}])).await;
    let more = lines(&client).split_off(2);
    assert_eq!(more, ["client DeleteRecord TEST-1", "client Import TEST-1 on [OSL|||]"]);
}

#[tokio::test]
async fn a_write_to_a_registration_is_witnessed_with_what_it_found() {
    let client = Client::calm().await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", "OLD"));
    let path = |action: &str| format!("{DEVICES}/{id}/{action}");
    let update = async |body: Value| client.post(&path("updateDeviceProperties"), body).await.status;
    let user = "anna.keller@contoso.com";
    assert_eq!(update(json!({"groupTag": "NEW", "userPrincipalName": user, "displayName": null})).await, 204);
    assert_eq!(update(json!({"groupTag": "NEW"})).await, 204);
    assert_eq!(update(json!({"displayName": "?"})).await, 400);
    let mut settings = Settings::calm();
    settings.update.lost_share = 1.0;
    client.sim.with(|tenant| tenant.set_settings(settings));
    assert_eq!(update(json!({"displayName": "OSL-1"})).await, 204);
    client.sim.with(|tenant| tenant.set_settings(Settings::calm()));
    let person = json!({"userPrincipalName": user, "addressableUserName": "Anna"});
    assert_eq!(client.post(&path("assignUserToDevice"), person).await.status, 204);
    client.sim.with(|tenant| tenant.enrol(id).unwrap());
    assert_eq!(client.post(&path("unassignUserFromDevice"), json!({})).await.status, 204);
    assert_eq!(client.delete(&format!("{DEVICES}/{id}")).await.status, 400, "it is enrolled");
    client.sim.with(|tenant| tenant.unenrol(id).unwrap());
    assert_eq!(client.delete(&format!("{DEVICES}/{id}")).await.status, 204);
    assert_eq!(
        lines(&client),
        [
            "client Update TEST-1 userPrincipalName=anna.keller@contoso.com groupTag=NEW on [OLD|||]",
            "client Update TEST-1 groupTag=NEW on [NEW|anna.keller@contoso.com||], no change",
            "client Update TEST-1 displayName=OSL-1 on [NEW|anna.keller@contoso.com||], lost",
            "client AssignUser TEST-1 userPrincipalName=anna.keller@contoso.com addressableUserName=Anna on [NEW|anna.keller@contoso.com||]",
            "client UnassignUser TEST-1 userPrincipalName= addressableUserName= on [NEW|anna.keller@contoso.com|Anna|, enrolled]",
            "client Delete TEST-1 on [NEW|||]",
        ]
    );
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_witnessed_and_one_that_is_refused_is_not() {
    let client = Client::calm().await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    let path = format!("{DEVICES}/{id}/updateDeviceProperties");
    for mishap in
        [sim::Mishap::LostAnswer, sim::Mishap::LostRequest, sim::Mishap::ServerError, sim::Mishap::GatewayTimeout]
    {
        client.sim.with(|tenant| {
            tenant.inject_at(
                mishap,
                "POST",
                "deviceManagement/windowsAutopilotDeviceIdentities/{id}/updateDeviceProperties",
            )
        });
        let _ = client.try_send(Method::POST, &path, &json!({"groupTag": format!("{mishap:?}")}).to_string()).await;
    }
    assert_eq!(client.post(SYNC, json!({})).await.status, 204);
    assert_eq!(client.post(SYNC, json!({})).await.status, 409);
    client.get(DEVICES).await;
    assert_eq!(
        lines(&client),
        [
            "client Update TEST-1 groupTag=LostAnswer on [|||]",
            "client Update TEST-1 groupTag=GatewayTimeout on [LostAnswer|||]",
            "client Sync",
        ]
    );
}

#[tokio::test]
async fn other_hands_are_told_from_clients_and_clients_from_each_other() {
    let client = Client::calm().await;
    client.sim.with(|tenant| {
        let id = tenant.add_device("TEST-1", "Contoso", "Model 1", "OLD");
        tenant.set_tag_as_portal(id, "HAND").unwrap();
        tenant.set_addressable_user_name_as_portal(id, "Anna").unwrap();
        tenant.remove_as_portal(id).unwrap();
        let record = tenant.import_as_other_client("theirs", "TEST-2", &hash("TEST-2"), "").unwrap();
        tenant.remove_record_as_portal(record).unwrap();
        tenant.sync_as_portal().unwrap();
        tenant.pass(seconds(60));
    });
    let got = client.token_request("contoso.com", &[("client_id", "another-app")]).await;
    let other = Client { token: got.json["access_token"].as_str().unwrap().to_owned(), ..client };
    let id = other.list("v1.0").await[0]["id"].as_str().unwrap().to_owned();
    let part = json!({"id": "1", "method": "DELETE", "url": format!("/deviceManagement/windowsAutopilotDeviceIdentities/{id}")});
    other.post("/v1.0/$batch", json!({"requests": [part]})).await;
    assert_eq!(
        lines(&other),
        [
            "hand Update TEST-1 groupTag=HAND on [OLD|||]",
            "hand Update TEST-1 addressableUserName=Anna on [HAND|||]",
            "hand Delete TEST-1 on [HAND||Anna|]",
            "hand Import TEST-2",
            "hand DeleteRecord TEST-2",
            "hand Sync",
            "hand Register TEST-2",
            "another-app Delete TEST-2 on [|||]",
        ]
    );
    other.sim.with(|tenant| {
        assert!(Tenant::load(&tenant.save()).unwrap().witnessed().next().is_none(), "it is no part of a saved tenant");
        tenant.reset_counters();
        assert!(tenant.witnessed().next().is_none());
    });
}

#[tokio::test]
async fn what_else_is_written_is_witnessed_by_its_route() {
    let client = Client::of(Settings::calm().switched(Switch::Documented)).await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    client.sim.with(|tenant| tenant.enrol(id).unwrap());
    let device = client.get(&format!("{DEVICES}/{id}")).await.json;
    let beta = DEVICES.replace("v1.0", "beta");
    client.post(&format!("{beta}/{id}/allowNextEnrollment"), json!({})).await;
    client
        .delete(&format!("/v1.0/deviceManagement/managedDevices/{}", device["managedDeviceId"].as_str().unwrap()))
        .await;
    client.wait(seconds(30)).await;
    let object = format!("/v1.0/devices(deviceId='{}')", device["azureActiveDirectoryDeviceId"].as_str().unwrap());
    assert_eq!(client.delete(&object).await.status, 204);
    let identity = json!({"importedDeviceIdentityType": "serialNumber", "importedDeviceIdentifier": "C-1"});
    let list = "/beta/deviceManagement/importedDeviceIdentities/importDeviceIdentityList";
    client.post(list, json!({"importedDeviceIdentities": [identity]})).await;
    client.post(&format!("{DEVICES}/deleteDevices"), json!({"serialNumbers": ["TEST-1"]})).await;
    let kinds: Vec<WriteKind> = client.sim.with(|tenant| tenant.witnessed().map(|write| write.kind).collect());
    assert_eq!(
        kinds,
        [
            WriteKind::Other("deviceManagement/windowsAutopilotDeviceIdentities/{id}/allowNextEnrollment"),
            WriteKind::Other("deviceManagement/managedDevices/{id}"),
            WriteKind::Other("devices/{id}"),
            WriteKind::Other("deviceManagement/importedDeviceIdentities/importDeviceIdentityList"),
            WriteKind::Delete,
        ]
    );
}
