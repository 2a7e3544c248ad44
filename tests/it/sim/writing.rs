//! Rules 27 to 32: changed properties, users, deletions.

use super::*;

async fn device(client: &Client, id: &str) -> Value {
    client.get(&format!("{DEVICES}/{id}")).await.json
}

async fn update(client: &Client, id: &str, body: Value) -> Got {
    client.post(&format!("{DEVICES}/{id}/updateDeviceProperties"), body).await
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let client = Client::calm().await;
    let id = client.registered("TEST-1").await;
    let all = json!({
        "groupTag": "OSL-STD", "userPrincipalName": "anna.keller@contoso.com", "addressableUserName": "Anna",
        "displayName": "LOBBY-01",
    });
    let got = update(&client, &id, all).await;
    assert_eq!((got.status, got.response.body().len()), (204, 0));
    client.wait(seconds(10)).await;
    update(&client, &id, json!({"groupTag": "", "displayName": null})).await;
    client.wait(seconds(10)).await;
    let seen = device(&client, &id).await;
    assert_eq!(seen["groupTag"], "", "an empty tag clears");
    assert_eq!(seen["displayName"], "LOBBY-01", "null leaves alone");
    assert_eq!(seen["addressableUserName"], "Anna");
    update(&client, &id, json!({"userPrincipalName": "", "displayName": ""})).await;
    client.wait(seconds(10)).await;
    let seen = device(&client, &id).await;
    assert_eq!(seen["userPrincipalName"], "anna.keller@contoso.com", "only unassign removes a user");
    assert_eq!(seen["displayName"], "");
}

#[tokio::test]
async fn an_update_that_cannot_be_is_refused() {
    let client = Client::calm().await;
    let id = client.registered("TEST-1").await;
    for body in [
        json!({"displayName": "SIXTEEN-LETTERS-"}),
        json!({"displayName": "no blanks"}),
        json!({"displayName": "12345"}),
        json!({"userPrincipalName": "anna.keller@fabrikam.com"}),
        json!({"addressableUserName": "Anna"}),
    ] {
        let got = update(&client, &id, body.clone()).await;
        assert_eq!(got.status, 400, "{body}");
        assert!(!got.reason().is_empty(), "Intune's own shape");
    }
    for body in [json!({"GroupTag": "x"}), json!({"groupTag": 7}), json!({"deviceAccountUpn": "only on beta"})] {
        assert_eq!(update(&client, &id, body.clone()).await.status, 400, "{body}");
    }
    let missing = "0c9be9b6-1b2f-4c0f-9d4a-000000000001";
    assert_eq!(update(&client, missing, json!({"groupTag": "x"})).await.status, 404);
    assert_eq!(client.sim.with(|tenant| tenant.counters().updates_accepted), 0);
}

#[tokio::test]
async fn a_new_value_shows_by_id_within_a_minute_and_in_the_list_within_five() {
    for seed in 0..20 {
        let client = Client::with_seed(Settings::calm().switched(Switch::LateUpdates), seed).await;
        let id = client.registered("TEST-1").await;
        update(&client, &id, json!({"groupTag": "NEW"})).await;
        assert_eq!(device(&client, &id).await["groupTag"], "", "seed {seed}: not at once");
        client.wait(seconds(60)).await;
        assert_eq!(device(&client, &id).await["groupTag"], "NEW", "seed {seed}");
        client.wait(seconds(240)).await;
        assert_eq!(client.list("v1.0").await[0]["groupTag"], "NEW", "seed {seed}");
    }
}

#[tokio::test]
async fn of_two_updates_the_later_one_stays_whatever_the_delays() {
    for seed in 0..30 {
        let client = Client::with_seed(Settings::calm().switched(Switch::LateUpdates), seed).await;
        let id = client.registered("TEST-1").await;
        update(&client, &id, json!({"groupTag": "FIRST", "displayName": "KEPT"})).await;
        client.wait(seconds(1)).await;
        update(&client, &id, json!({"groupTag": "SECOND"})).await;
        let mut seen = vec![String::new()];
        for _ in 0..320 {
            client.wait(seconds(1)).await;
            let tag = client.list("v1.0").await[0]["groupTag"].as_str().unwrap().to_owned();
            if seen.last() != Some(&tag) {
                seen.push(tag);
            }
        }
        assert_eq!(seen.last().unwrap(), "SECOND", "seed {seed}: {seen:?}");
        assert!(seen.len() <= 3, "seed {seed}: {seen:?}");
        assert_eq!(device(&client, &id).await["displayName"], "KEPT", "seed {seed}");
    }
}

#[tokio::test]
async fn a_share_of_updates_is_lost_and_another_meets_412() {
    let mut settings = Settings::calm();
    settings.set("update.lost_share=10%").unwrap();
    settings.set("update.conflict_share=10%").unwrap();
    let client = Client::of(settings).await;
    let id = client.registered("TEST-1").await;
    let (mut conflicts, mut lost) = (0, 0);
    for n in 0..200 {
        let tag = format!("TAG-{n}");
        let got = update(&client, &id, json!({"groupTag": tag})).await;
        client.wait(seconds(5)).await;
        let taken = device(&client, &id).await["groupTag"] == tag.as_str();
        match got.status {
            412 => {
                assert_eq!(got.json["error"]["code"], "ConditionNotMet");
                assert!(!taken);
                conflicts += 1;
            }
            204 => lost += u64::from(!taken),
            other => panic!("{other}"),
        }
    }
    assert!((8..35).contains(&conflicts), "{conflicts} conflicts");
    assert!((8..35).contains(&lost), "{lost} lost");
    assert_eq!(client.sim.with(|tenant| tenant.counters().updates_lost), lost);
}

#[tokio::test]
async fn a_user_is_assigned_and_removed_but_some_users_cannot_be_assigned() {
    let client = Client::calm().await;
    let id = client.registered("TEST-1").await;
    let assign = async |user: &str| {
        let body = json!({"userPrincipalName": user, "addressableUserName": "Anna"});
        client.post(&format!("{DEVICES}/{id}/assignUserToDevice"), body).await.status
    };
    assert_eq!(assign("anna.keller@contoso.com").await, 204);
    client.wait(seconds(10)).await;
    assert_eq!(device(&client, &id).await["userPrincipalName"], "anna.keller@contoso.com");
    assert_eq!(client.send(Method::POST, &format!("{DEVICES}/{id}/unassignUserFromDevice"), "").await.status, 204);
    client.wait(seconds(10)).await;
    let seen = device(&client, &id).await;
    assert_eq!((seen["userPrincipalName"].as_str(), seen["addressableUserName"].as_str()), (Some(""), Some("")));
    assert_eq!(assign("nobody@fabrikam.com").await, 400);

    client.sim.with(|tenant| tenant.set_settings(Settings::calm().switched(Switch::RefusedUsers)));
    let mut broken = 0;
    for n in 0..200 {
        let user = format!("user{n}@contoso.com");
        let first = assign(&user).await;
        assert_eq!(first, assign(&user).await, "the same users, always");
        broken += usize::from(first == 400);
    }
    assert!((20..60).contains(&broken), "{broken} of 200 users");
}

#[tokio::test]
async fn a_deletion_is_a_request_and_its_end_comes_later() {
    let client = Client::of(Settings::calm().switched(Switch::SlowDeletes)).await;
    let id = client.registered("TEST-1").await;
    let path = format!("{DEVICES}/{id}");
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(client.get(&path).await.status, 200, "still there");
    let again = client.delete(&path).await;
    assert_eq!(
        (again.status, again.inner()["CustomApiErrorPhrase"].as_str()),
        (400, Some("ZtdDeviceDeletionInProgess"))
    );
    let ids = client.import(json!([{"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")}])).await;
    client.sim.with(|tenant| assert!(tenant.registrations()[0].deleting));
    client.wait(seconds(1800)).await;
    assert_eq!(client.get(&path).await.status, 404);
    let after = client.delete(&path).await;
    assert_eq!((after.status, after.inner()["CustomApiErrorPhrase"].as_str()), (400, Some("ZtdDeviceAlreadyDeleted")));
    assert!(["806 ZtdDeviceAlreadyAssigned", "complete"].contains(&client.outcome(&ids[0]).await.as_str()));
    assert_eq!(client.delete(&format!("{DEVICES}/0c9be9b6-1b2f-4c0f-9d4a-000000000001")).await.status, 400);
}

#[tokio::test]
async fn a_device_imported_again_while_its_deletion_is_pending_is_still_assigned() {
    let mut settings = Settings::calm();
    settings.set("delete.visible=20m").unwrap();
    let client = Client::of(settings).await;
    let id = client.registered("TEST-1").await;
    client.delete(&format!("{DEVICES}/{id}")).await;
    let row = json!([{"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")}]);
    let ids = client.import(row.clone()).await;
    client.wait(seconds(60)).await;
    assert_eq!(client.outcome(&ids[0]).await, "806 ZtdDeviceAlreadyAssigned");
    client.wait(seconds(1200)).await;
    let ids = client.import(row).await;
    client.wait(seconds(60)).await;
    let state = client.import_state(&ids[0]).await;
    assert_ne!(state["deviceRegistrationId"], id.as_str(), "a new registration with a new id");
    assert_eq!(client.list("v1.0").await.len(), 1);
}

#[tokio::test]
async fn an_enrolled_device_cannot_be_deleted() {
    let client = Client::calm().await;
    let id = client.registered("TEST-1").await;
    client.sim.with(|tenant| tenant.enrol(id.parse().unwrap()).unwrap());
    let got = client.delete(&format!("{DEVICES}/{id}")).await;
    assert_eq!((got.status, got.reason().as_str()), (400, "The device is enrolled and cannot be deleted"));
    client.sim.with(|tenant| tenant.unenrol(id.parse().unwrap()).unwrap());
    assert_eq!(client.delete(&format!("{DEVICES}/{id}")).await.status, 204);
}

#[tokio::test]
async fn a_deletion_right_after_the_import_is_refused_for_some_seconds() {
    let mut settings = Settings::calm();
    settings.set("delete.settling=9s").unwrap();
    let client = Client::of(settings).await;
    let ids = client.import(json!([{"serialNumber": "T", "hardwareIdentifier": hash("T")}])).await;
    while client.outcome(&ids[0]).await == "unknown" {
        client.wait(seconds(1)).await;
    }
    let state = client.import_state(&ids[0]).await;
    let path = format!("{DEVICES}/{}", state["deviceRegistrationId"].as_str().unwrap());
    assert_eq!(client.delete(&path).await.status, 400);
    client.wait(seconds(9)).await;
    assert_eq!(client.delete(&path).await.status, 204);
}

#[tokio::test]
async fn delete_devices_takes_every_registration_of_a_serial_where_it_exists() {
    let mut settings = Settings::calm();
    settings.set("delete.by_serial=true").unwrap();
    let client = Client::of(settings).await;
    client.sim.with(|tenant| {
        tenant.add_device("SAME", "Contoso", "Model 1", "");
        tenant.add_device("SAME", "Contoso", "Model 2", "");
        let enrolled = tenant.add_device("OTHER", "Contoso", "Model 1", "");
        tenant.enrol(enrolled).unwrap();
    });
    let got =
        client.post(&format!("{DEVICES}/deleteDevices"), json!({"serialNumbers": ["SAME", "OTHER", "NONE"]})).await;
    let states: Vec<_> =
        got.json["value"].as_array().unwrap().iter().map(|s| s["deletionState"].as_str().unwrap()).collect();
    assert_eq!(states, ["accepted", "accepted", "failed", "failed"]);
    client.wait(seconds(60)).await;
    assert_eq!(client.list("v1.0").await.len(), 1);
}

#[tokio::test]
async fn what_somebody_does_in_the_portal_ends_an_update_that_is_under_way() {
    let client = Client::of(Settings::busy()).await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", "OLD"));
    assert_eq!(update(&client, &id.to_string(), json!({"groupTag": "OURS"})).await.status, 204);
    client.wait(seconds(1)).await;
    client.sim.with(|tenant| tenant.set_tag_as_portal(id, "THEIRS").unwrap());
    for _ in 0..30 {
        assert_eq!(device(&client, &id.to_string()).await["groupTag"], "THEIRS");
        assert_eq!(client.list("v1.0").await[0]["groupTag"], "THEIRS");
        client.wait(seconds(30)).await;
    }
}

#[tokio::test]
async fn what_is_gone_may_be_not_found() {
    let client = Client::of(Settings::calm().switched(Switch::Gone404)).await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    assert_eq!(client.delete(&format!("{DEVICES}/{id}")).await.status, 204);
    client.wait(seconds(120)).await;
    assert_eq!(client.delete(&format!("{DEVICES}/{id}")).await.status, 404);
}

#[tokio::test]
async fn no_user_can_be_assigned_where_that_is_broken() {
    let client = Client::of(Settings::calm().switched(Switch::BrokenAssign)).await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    for user in ["anna.keller@contoso.com", "ines.paul@contoso.com", "jo@contoso.com"] {
        let body = json!({"userPrincipalName": user, "addressableUserName": "A"});
        assert_eq!(client.post(&format!("{DEVICES}/{id}/assignUserToDevice"), body).await.status, 400, "{user}");
    }
}
