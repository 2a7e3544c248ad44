//! Hands other than a client's: people in the portal, other tools, devices
//! that enrol. What a test of a client lets happen between its steps.

use sim::{RegistrationView, ScenarioError};
use uuid::Uuid;

use super::*;

fn one(client: &Client, id: Uuid) -> RegistrationView {
    client.sim.with(|tenant| tenant.registrations().into_iter().find(|registration| registration.id == id).unwrap())
}

#[tokio::test]
async fn somebody_changes_each_of_the_four_fields_and_everybody_sees_it_at_once() {
    let client = Client::of(Settings::busy()).await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", "OLD"));
    client.sim.with(|tenant| {
        tenant.set_tag_as_portal(id, "NEW").unwrap();
        tenant.set_user_as_portal(id, "anna.keller@contoso.com").unwrap();
        tenant.set_addressable_user_name_as_portal(id, "Anna").unwrap();
        tenant.set_display_name_as_portal(id, "OSL-0001").unwrap();
    });
    for seen in [client.get(&format!("{DEVICES}/{id}")).await.json, client.list("v1.0").await.remove(0)] {
        let fields = ["groupTag", "userPrincipalName", "addressableUserName", "displayName"];
        let values = fields.map(|field| seen[field].as_str().unwrap().to_owned());
        assert_eq!(values, ["NEW", "anna.keller@contoso.com", "Anna", "OSL-0001"]);
    }
    client.sim.with(|tenant| {
        tenant.set_display_name_as_portal(id, "").unwrap();
        let gone = ScenarioError::NoSuchRegistration(Uuid::nil());
        assert_eq!(tenant.set_addressable_user_name_as_portal(Uuid::nil(), "Anna"), Err(gone));
    });
    assert_eq!(client.get(&format!("{DEVICES}/{id}")).await.json["displayName"], "");
}

#[tokio::test]
async fn a_change_by_hand_is_the_last_word_over_an_update_under_way() {
    let client = Client::of(Settings::busy()).await;
    let ids = client.sim.with(|tenant| ["A", "B"].map(|serial| tenant.add_device(serial, "Contoso", "Model 1", "OLD")));
    for id in ids {
        let path = format!("{DEVICES}/{id}/updateDeviceProperties");
        assert_eq!(client.post(&path, json!({"groupTag": "CLIENT"})).await.status, 204);
    }
    client.sim.with(|tenant| tenant.set_tag_as_portal(ids[0], "HAND").unwrap());
    let path = format!("{DEVICES}/{}/updateDeviceProperties", ids[0]);
    client.post(&path, json!({"displayName": "OSL-1"})).await;
    let mut seen = Vec::new();
    for _ in 0..40 {
        seen.push(client.get(&format!("{DEVICES}/{}", ids[0])).await.json["groupTag"].as_str().unwrap().to_owned());
        client.wait(seconds(10)).await;
    }
    assert!(seen.iter().all(|tag| tag == "HAND"), "{seen:?}");
    let (first, second) = (one(&client, ids[0]), one(&client, ids[1]));
    assert_eq!((&*first.display_name, &*second.group_tag), ("OSL-1", "CLIENT"), "the others go on");
}

#[tokio::test]
async fn a_device_enrols_and_leaves_again() {
    let client = Client::calm().await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    client.sim.with(|tenant| tenant.enrol(id).unwrap());
    let managed = client.get(&format!("{DEVICES}/{id}")).await.json["managedDeviceId"].as_str().unwrap().to_owned();
    let path = format!("/v1.0/deviceManagement/managedDevices/{managed}");
    assert_eq!(client.get(&path).await.json["serialNumber"], "TEST-1");
    client.sim.with(|tenant| tenant.enrol(id).unwrap());
    assert_eq!(client.get(&path).await.status, 200, "a device that is in touch again is the same one");
    client.sim.with(|tenant| tenant.unenrol(id).unwrap());
    assert_eq!(client.get(&path).await.status, 404);
    client.sim.with(|tenant| tenant.enrol(id).unwrap());
    assert_eq!(client.get(&path).await.status, 404, "after a wipe it is another device in Intune");
}

#[tokio::test]
async fn somebody_registers_a_device_by_its_hash_or_by_its_serial() {
    let client = Client::calm().await;
    let of_hash = client.sim.with(|tenant| tenant.add_device_of_hash(&hash("TEST-1"), "HAND").unwrap());
    let of_serial = client.sim.with(|tenant| tenant.add_device("TEST-1", "Fabrikam", "Slate 2", "HAND"));
    let listed: Vec<String> =
        client.list("v1.0").await.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    let mut both = [of_hash.to_string(), of_serial.to_string()];
    both.sort();
    assert_eq!(listed, both, "two devices of one serial, and everybody sees them");
    let again = client.import(json!([{"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")}])).await;
    client.wait(seconds(60)).await;
    assert_eq!(client.outcome(&again[0]).await, "806 ZtdDeviceAlreadyAssigned");
    client.sim.with(|tenant| tenant.remove_as_portal(of_hash).unwrap());
    assert_eq!(client.get(&format!("{DEVICES}/{of_hash}")).await.status, 404);
    assert_eq!(
        client.sim.with(|tenant| tenant.remove_as_portal(of_hash)),
        Err(ScenarioError::NoSuchRegistration(of_hash))
    );
}

#[tokio::test]
async fn another_client_imports_the_same_device_under_an_import_id_of_its_own() {
    let client = Client::calm().await;
    let theirs =
        client.sim.with(|tenant| tenant.import_as_other_client("theirs", "TEST-1", &hash("TEST-1"), "THEIR-TAG"));
    let theirs = theirs.unwrap();
    client.wait(seconds(5)).await;
    let row = json!({"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1"), "importId": "ours"});
    let ours = client.import(json!([row])).await;
    client.wait(seconds(60)).await;
    let mut outcomes = vec![client.outcome(&ours[0]).await, client.outcome(&theirs.to_string()).await];
    outcomes.sort();
    assert_eq!(outcomes, ["806 ZtdDeviceAlreadyAssigned", "complete"]);
    let records = client.get(IMPORTS).await.json;
    let mut ids: Vec<&str> =
        records["value"].as_array().unwrap().iter().map(|r| r["importId"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["ours", "theirs"]);
    let refused = client.sim.with(|tenant| tenant.import_as_other_client("theirs", "TEST-2", "no hash", ""));
    assert_eq!(refused, Err(ScenarioError::NotAHash));
}

#[tokio::test]
async fn somebody_removes_an_import_record_and_what_is_under_way_goes_on() {
    let client = Client::calm().await;
    let id = client.import(json!([{"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")}])).await.remove(0);
    client.sim.with(|tenant| tenant.remove_record_as_portal(id.parse().unwrap()).unwrap());
    assert_eq!(client.get(&format!("{IMPORTS}/{id}")).await.status, 404);
    client.wait(seconds(60)).await;
    assert_eq!(client.list("v1.0").await.len(), 1);
    let gone = client.sim.with(|tenant| tenant.remove_record_as_portal(id.parse().unwrap()));
    assert_eq!(gone, Err(ScenarioError::NoSuchRecord(id.parse().unwrap())));
}

#[tokio::test]
async fn a_device_of_another_tenant_can_be_imported_once_that_tenant_lets_it_go() {
    let client = Client::calm().await;
    client.sim.with(|tenant| tenant.make_foreign(&hash("TEST-1")).unwrap());
    let rows = json!([{"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")}]);
    let first = client.import(rows.clone()).await;
    client.wait(seconds(60)).await;
    assert_eq!(client.outcome(&first[0]).await, "808 ZtdDeviceAssignedToOtherTenant");
    client.sim.with(|tenant| tenant.release_foreign(&hash("TEST-1")).unwrap());
    let second = client.import(rows).await;
    client.wait(seconds(60)).await;
    assert_eq!(client.outcome(&second[0]).await, "complete");
}

#[tokio::test]
async fn a_sync_by_another_hand_counts_for_the_ten_minutes() {
    let client = Client::calm().await;
    client.sim.with(|tenant| tenant.sync_as_portal().unwrap());
    assert_eq!(client.sim.with(|tenant| tenant.sync_as_portal()), Err(ScenarioError::NoSyncNow));
    assert_eq!(client.post(SYNC, json!({})).await.status, 409, "it is running");
    client.wait(seconds(300)).await;
    assert_eq!(client.post(SYNC, json!({})).await.status, 429, "it was less than ten minutes ago");
    client.wait(seconds(301)).await;
    assert_eq!(client.post(SYNC, json!({})).await.status, 204);
}
