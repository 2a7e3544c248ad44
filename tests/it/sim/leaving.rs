//! How a device leaves Intune, Autopilot and Entra: each for itself, and in
//! any order.

use apgit::door::sim::{NeighbourView, ScenarioError};
use uuid::Uuid;

use super::*;

const MANAGED: &str = "/v1.0/deviceManagement/managedDevices";

/// A device that works: registered, enrolled, in Entra.
async fn working(settings: Settings) -> (Client, Uuid) {
    let client = Client::of(settings).await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Tower 5", "OSL"));
    client.sim.with(|tenant| tenant.enrol(id).unwrap());
    (client, id)
}

fn neighbour(client: &Client) -> Option<NeighbourView> {
    client.sim.with(|tenant| tenant.neighbours()).into_iter().next()
}

async fn objects(client: &Client, filter: &str) -> Vec<Value> {
    let got = client.get(&format!("/v1.0/devices?$filter={}", filter.replace(' ', "%20"))).await;
    got.json["value"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_device_leaves_intune_then_autopilot_and_then_entra() {
    let (client, id) = working(Settings::busy()).await;
    let registration = client.get(&format!("{DEVICES}/{id}")).await.json;
    let managed = format!("{MANAGED}/{}", registration["managedDeviceId"].as_str().unwrap());
    let device_id = registration["azureActiveDirectoryDeviceId"].as_str().unwrap().to_owned();

    assert_eq!(client.delete(&managed).await.status, 204);
    client.wait(seconds(9)).await;
    assert_eq!(client.get(&managed).await.status, 200, "it takes ten seconds at the least");
    assert_eq!(client.delete(&format!("{DEVICES}/{id}")).await.status, 400, "and till then it is enrolled");
    client.wait(seconds(600)).await;
    assert_eq!(client.get(&managed).await.status, 404);
    let left = client.get(&format!("{DEVICES}/{id}")).await.json;
    assert_eq!((left["enrollmentState"].as_str(), left["groupTag"].as_str()), (Some("notContacted"), Some("OSL")));

    assert_eq!(client.delete(&format!("{DEVICES}/{id}")).await.status, 204);
    client.wait(seconds(1800)).await;
    assert_eq!(client.get(&format!("{DEVICES}/{id}")).await.status, 404);
    assert!(objects(&client, "physicalIds/any(p:startswith(p,'[ZTDID]'))").await.is_empty());
    let [object] = &objects(&client, &format!("deviceId eq '{device_id}'")).await[..] else { panic!("it stays") };
    assert_eq!((object["physicalIds"].clone(), object["displayName"].as_str()), (json!([]), Some("TEST-1")));

    let object = format!("/v1.0/devices/{}", object["id"].as_str().unwrap());
    assert_eq!((client.delete(&object).await.status, client.get(&object).await.status), (204, 404));
    assert_eq!(neighbour(&client), None);
}

#[tokio::test]
async fn an_entra_object_of_a_device_that_never_enrolled_goes_with_its_registration() {
    let client = Client::calm().await;
    let id = client.registered("TEST-1").await;
    assert_eq!(objects(&client, &format!("physicalIds/any(p:p eq '[ZTDID]:{id}')")).await.len(), 1);
    assert_eq!(client.delete(&format!("{DEVICES}/{id}")).await.status, 204);
    client.wait(seconds(60)).await;
    assert_eq!(client.get("/v1.0/devices").await.json["value"], json!([]));
}

#[tokio::test]
async fn an_entra_object_may_go_with_any_registration() {
    let mut settings = Settings::calm();
    settings.set("directory.object_stays=false").unwrap();
    let (client, id) = working(settings).await;
    client.sim.with(|tenant| tenant.unenrol(id).unwrap());
    assert_eq!(client.delete(&format!("{DEVICES}/{id}")).await.status, 204);
    client.wait(seconds(60)).await;
    assert_eq!(neighbour(&client), None);
}

#[tokio::test]
async fn an_enrolled_device_whose_registration_is_removed_by_hand_stays_in_intune_and_entra() {
    let (client, id) = working(Settings::calm()).await;
    client.sim.with(|tenant| tenant.remove_as_portal(id).unwrap());
    let left = neighbour(&client).unwrap();
    assert!(!left.registered && left.in_entra, "{left:?}");
    let managed = format!("{MANAGED}/{}", left.managed_device_id.unwrap());
    assert_eq!(client.get(&managed).await.json["serialNumber"], "TEST-1");
    let found = client.get(&format!("{MANAGED}?$filter=serialNumber%20eq%20'TEST-1'")).await;
    assert_eq!(found.json["value"].as_array().unwrap().len(), 1);
    assert!(client.list("v1.0").await.is_empty());
    assert_eq!(client.delete(&managed).await.status, 204);
    client.wait(seconds(30)).await;
    assert_eq!(client.get(&managed).await.status, 404);
    let object = format!("/v1.0/devices(deviceId='{}')", left.device_id);
    assert_eq!(client.delete(&object).await.status, 204);
    assert_eq!(neighbour(&client), None);
}

#[tokio::test]
async fn graph_deletes_the_entra_object_of_a_registered_device_and_breaks_its_enrolment() {
    let (client, id) = working(Settings::calm()).await;
    let refused = client.sim.with(|tenant| tenant.delete_object_as_portal(id));
    assert_eq!(refused, Err(ScenarioError::ObjectOfRegistration(id)), "the portal does not");
    let object = format!("/v1.0/devices(deviceId='{}')", neighbour(&client).unwrap().device_id);
    assert_eq!(client.delete(&object).await.status, 204);
    assert_eq!(client.sim.with(|tenant| tenant.enrol(id)), Err(ScenarioError::NoObject(id)));
    let left = neighbour(&client).unwrap();
    assert!(left.registered && left.managed_device_id.is_some() && !left.in_entra, "{left:?}");
    client.sim.with(|tenant| tenant.remove_as_portal(id).unwrap());
    client.sim.with(|tenant| tenant.unenrol(id).unwrap());
    assert_eq!(neighbour(&client), None);
}

#[tokio::test]
async fn a_wipe_and_a_retirement_take_longer_and_need_a_permission_of_their_own() {
    for action in ["wipe", "retire"] {
        let (client, id) = working(Settings::calm()).await;
        let managed = format!("{MANAGED}/{}", neighbour(&client).unwrap().managed_device_id.unwrap());
        assert_eq!(client.get(&format!("{managed}/{action}")).await.status, 400, "it is an action");
        assert_eq!(client.post(&format!("{managed}/{action}"), json!({})).await.status, 204);
        client.wait(seconds(29)).await;
        assert!(neighbour(&client).unwrap().leaving);
        client.wait(seconds(31)).await;
        assert_eq!(client.get(&managed).await.status, 404);
        assert_eq!(client.post(&format!("{managed}/{action}"), json!({})).await.status, 404);
        assert_eq!(client.delete(&format!("{DEVICES}/{id}")).await.status, 204);

        client.sim.with(|tenant| {
            let roles = ["DeviceManagementManagedDevices.ReadWrite.All"];
            tenant.set_roles("11111111-2222-3333-4444-555555555555", &roles);
        });
        let refused = client.post(&format!("{managed}/{action}"), json!({})).await;
        assert_eq!(refused.status, 403);
        let scope = "DeviceManagementManagedDevices.PrivilegedOperations.All";
        assert!(refused.reason().ends_with(scope), "{}", refused.reason());
    }
}

#[tokio::test]
async fn a_device_that_enrols_anew_meanwhile_is_another_one_and_stays() {
    let (client, id) = working(Settings::busy()).await;
    let old = neighbour(&client).unwrap().managed_device_id.unwrap();
    assert_eq!(client.delete(&format!("{MANAGED}/{old}")).await.status, 204);
    client.sim.with(|tenant| tenant.unenrol(id).unwrap());
    client.sim.with(|tenant| tenant.enrol(id).unwrap());
    client.wait(seconds(600)).await;
    let new = neighbour(&client).unwrap();
    assert!(new.managed_device_id.is_some_and(|new| new != old) && !new.leaving, "{new:?}");
}

#[tokio::test]
async fn what_registrations_left_is_listed_among_the_others_in_pages() {
    let client = Client::calm().await;
    client.sim.with(|tenant| tenant.add_devices(40));
    let ids: Vec<Uuid> = client.sim.with(|tenant| tenant.registrations()).iter().map(|one| one.id).collect();
    client.sim.with(|tenant| {
        for id in &ids {
            tenant.enrol(*id).unwrap();
        }
        for id in ids.iter().step_by(3) {
            tenant.remove_as_portal(*id).unwrap();
        }
    });
    for list in ["/v1.0/devices", MANAGED] {
        let mut url = format!("{list}?$top=7");
        let mut found = Vec::new();
        while !url.is_empty() {
            let got = client.get(&url).await;
            found.extend(got.json["value"].as_array().unwrap().iter().map(|one| one["id"].to_string()));
            url = got.json["@odata.nextLink"].as_str().unwrap_or_default().to_owned();
        }
        let listed = found.len();
        found.sort();
        found.dedup();
        assert_eq!((listed, found.len()), (40, 40), "{list}");
    }
}

#[tokio::test]
async fn people_do_the_same_by_deeds() {
    let (client, id) = working(Settings::calm()).await;
    let deed = async |name: &str| {
        let body = json!({"serial": "test-1"});
        let got = client.send(Method::POST, &format!("http://127.0.0.1:8800/_sim/{name}"), &body.to_string()).await;
        (got.status, got.json["error"]["message"].as_str().unwrap_or_default().to_owned())
    };
    let refused = format!("`{id}` is registered: as long as it is, the portal does not delete its Entra object");
    assert_eq!(deed("object").await, (400, refused));
    for (name, left) in [("remove", 1), ("unenrol", 1), ("object", 0)] {
        assert_eq!(deed(name).await, (200, String::new()), "{name}");
        let devices = client.get("http://127.0.0.1:8800/_sim/devices").await.json;
        assert_eq!(devices.as_array().unwrap().len(), left, "{name}: {devices}");
    }
    let script = sim::Script::read("- {at: 1m, object: {serial: TEST-1}}\n- {at: 2m, secret: {app: me, secret: s}}");
    assert!(script.is_ok(), "{script:?}");
}

#[tokio::test]
async fn requests_about_devices_in_intune_have_limits_of_their_own() {
    let (mut client, _) = working(Settings::calm().switched(Switch::RequestLimits)).await;
    let managed = format!("{MANAGED}/{}", neighbour(&client).unwrap().managed_device_id.unwrap());
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for app in ["one", "two", "three"] {
        let got = client.token_request("contoso.com", &[("client_id", app)]).await;
        client.token = got.json["access_token"].as_str().unwrap().to_owned();
        let (mut written, mut read) = (0, 0);
        for _ in 0..250 {
            written += usize::from(client.delete(&managed).await.status == 204);
        }
        for _ in 0..2000 {
            read += usize::from(client.get(&managed).await.status == 200);
        }
        writes.push(written);
        reads.push(read);
    }
    assert_eq!((writes, reads), (vec![200, 200, 0], vec![1800, 1800, 0]));
    assert_eq!(client.get(DEVICES).await.status, 200, "Autopilot has its own");
}

#[tokio::test]
async fn two_apps_have_ids_secrets_and_permissions_of_their_own() {
    let mut client = Client::calm().await;
    client.sim.with(|tenant| {
        tenant.set_secret("App-One", "secret-of-one");
        tenant.set_secret("app-two", "secret-of-two");
        tenant.set_roles("app-two", &["DeviceManagementServiceConfig.Read.All"]);
    });
    let id = client.registered("TEST-1").await;
    let log_in = async |client: &Client, app: &str, secret: &str| {
        client.token_request("contoso.com", &[("client_id", app), ("client_secret", secret)]).await
    };
    for (app, secret, status) in [
        ("app-one", "secret-of-one", 200),
        ("app-two", "secret-of-two", 200),
        ("app-one", "secret-of-two", 401),
        ("app-two", sim::CLIENT_SECRET, 401),
        ("app-three", sim::CLIENT_SECRET, 200),
    ] {
        assert_eq!(log_in(&client, app, secret).await.status, status, "{app}, {secret}");
    }
    for (app, secret, status) in [("app-two", "secret-of-two", 403), ("app-one", "secret-of-one", 204)] {
        client.token = log_in(&client, app, secret).await.json["access_token"].as_str().unwrap().to_owned();
        assert_eq!(client.get(DEVICES).await.status, 200, "{app}");
        assert_eq!(client.delete(&format!("{DEVICES}/{id}")).await.status, status, "{app}");
    }
    let by = client.sim.with(|tenant| tenant.witnessed().last().map(|write| write.by.to_string()));
    assert_eq!(by.as_deref(), Some("app-one"));
}
