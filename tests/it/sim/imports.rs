//! Rules 6 to 18: import requests, their outcomes, their records.

use super::*;

fn rows(count: usize) -> Value {
    (0..count)
        .map(|n| {
            let serial = format!("TEST-{n}");
            json!({"serialNumber": serial, "hardwareIdentifier": hash(&serial)})
        })
        .collect()
}

#[tokio::test]
async fn an_import_begins_as_unknown_whatever_the_client_says_and_never_returns_the_hash() {
    let client = Client::calm().await;
    let row = json!({
        "@odata.type": "#microsoft.graph.importedWindowsAutopilotDeviceIdentity",
        "serialNumber": "TEST-1", "productKey": "", "hardwareIdentifier": hash("TEST-1"), "groupTag": "OSL-STD",
        "assignedUserPrincipalName": "anna.keller@contoso.com", "importId": "0c9be9b6-1b2f-4c0f-9d4a-000000000001",
        "state": {"deviceImportStatus": "pending"},
    });
    let single = client.post(IMPORTS, row.clone()).await;
    assert_eq!(single.status, 201);
    let many = client.post(IMPORT, json!({"importedWindowsAutopilotDeviceIdentities": [row]})).await;
    assert_eq!(many.status, 200);
    for record in [&single.json, &many.json["value"][0]] {
        assert!(record["id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
        assert_eq!(record["hardwareIdentifier"], "");
        assert_eq!(record["importId"], "0c9be9b6-1b2f-4c0f-9d4a-000000000001");
        assert_eq!(record["productKey"], "");
        let state = json!({
            "deviceImportStatus": "unknown", "deviceRegistrationId": "", "deviceErrorCode": 0, "deviceErrorName": "",
        });
        assert_eq!(record["state"], state);
    }
}

#[tokio::test]
async fn a_tenant_may_fill_empty_fields_with_the_record_s_own_id() {
    let client = Client::of(Settings::calm().switched(Switch::EchoGuid)).await;
    let got = client.post(IMPORTS, json!({"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")})).await;
    assert_eq!(got.json["importId"], got.json["id"]);
    assert_eq!(got.json["productKey"], got.json["id"]);
    let ids = client.import(json!([{"hardwareIdentifier": hash("TEST-2")}])).await;
    client.wait(seconds(60)).await;
    let outcome = client.outcome(&ids[0]).await;
    assert_eq!(outcome, "803 MissingZtdSerialNumberAndProductKey", "an echoed id is no product key");
}

#[tokio::test]
async fn bad_base64_refuses_the_whole_request_and_stores_nothing() {
    let client = Client::calm().await;
    for bad in ["T0Eg*", "T0EgA", "T0 EgAg="] {
        let body = json!({"importedWindowsAutopilotDeviceIdentities": [
            {"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")},
            {"serialNumber": "TEST-2", "hardwareIdentifier": bad},
        ]});
        let got = client.post(IMPORT, body).await;
        assert_eq!(got.status, 400);
        let message = got.json["error"]["message"].as_str().unwrap();
        assert_eq!(message, format!("Cannot convert the literal '{bad}' to the expected type 'Edm.Binary'."));
    }
    client.sim.with(|tenant| {
        assert!(tenant.import_records().is_empty());
        let counters = tenant.counters();
        assert_eq!((counters.import_posts, counters.import_posts_refused, counters.rows_posted), (3, 3, 0));
    });
}

#[tokio::test]
async fn a_misspelt_property_is_refused_and_a_bare_one_understood() {
    let client = Client::calm().await;
    for name in ["GroupTag", "orderIdentifier", "serialnumber"] {
        let got = client.post(IMPORTS, json!({"serialNumber": "TEST-1", name: "x"})).await;
        assert_eq!(got.status, 400);
        assert!(got.json["error"]["message"].as_str().unwrap().contains("does not exist on type"), "{name}");
    }
    let body = format!("{{serialNumber: \"TEST-1\", hardwareIdentifier: \"{}\"}}", hash("TEST-1"));
    assert_eq!(client.send(Method::POST, IMPORTS, &body).await.status, 201);
    assert_eq!(client.send(Method::POST, IMPORTS, "{\"serialNumber\":").await.status, 400);
}

#[tokio::test]
async fn a_user_of_an_unknown_domain_refuses_the_request_but_an_unknown_user_does_not() {
    let client = Client::calm().await;
    let row = |user: &str| json!({"serialNumber": "T", "assignedUserPrincipalName": user});
    assert_eq!(client.post(IMPORTS, row("anna.keller@fabrikam.com")).await.status, 400);
    assert_eq!(client.post(IMPORTS, row("nobody.at.all@contoso.com")).await.status, 201);
}

#[tokio::test]
async fn one_device_takes_45_to_100_seconds_and_ends_on_a_tick() {
    for seed in 0..20 {
        let client = Client::with_seed(Settings::busy(), seed).await;
        let ids = client.import(rows(1)).await;
        client.wait(seconds(44)).await;
        assert!(["unknown", "pending"].contains(&client.outcome(&ids[0]).await.as_str()), "seed {seed}");
        let complete = || client.sim.with(|tenant| tenant.import_records()[0].status == "complete");
        let mut waited = 44;
        while !complete() && waited < 115 {
            client.wait(seconds(1)).await;
            waited += 1;
        }
        let since_tick = client.clock.now().as_millisecond() % 15_000;
        assert!(since_tick < 1000, "seed {seed}: {since_tick} ms after a tick");
        assert_eq!(client.outcome(&ids[0]).await, "complete", "seed {seed}: at most 100 s and a tick of 15 s");
    }
}

#[tokio::test]
async fn a_queue_makes_imports_slower_but_never_slower_than_fifteen_minutes() {
    let client = Client::of(Settings::busy()).await;
    for part in 0..5 {
        let rows: Vec<Value> = (0..500)
            .map(|n| {
                let serial = format!("TEST-{part}-{n}");
                json!({"serialNumber": serial, "hardwareIdentifier": hash(&serial)})
            })
            .collect();
        client.import(Value::from(rows)).await;
    }
    let running = || client.sim.with(|t| t.import_records().iter().filter(|r| r.status != "complete").count());
    client.wait(seconds(240)).await;
    let after_four_minutes = running();
    assert!((1000..2400).contains(&after_four_minutes), "{after_four_minutes} still running");
    client.wait(seconds(900 - 240)).await;
    assert_eq!(running(), 0);
}

#[tokio::test]
async fn a_record_may_be_partial_before_it_ends() {
    let client = Client::of(Settings::calm().switched(Switch::PartialStates).switched(Switch::SlowImports)).await;
    let ids = client.import(rows(60)).await;
    let mut seen: Vec<Vec<String>> = vec![Vec::new(); ids.len()];
    for _ in 0..60 {
        for (id, states) in ids.iter().zip(&mut seen) {
            states.push(client.outcome(id).await);
            states.dedup();
        }
        client.wait(seconds(5)).await;
    }
    let order = ["unknown", "pending", "partial", "complete"];
    for states in &seen {
        let places: Vec<_> = states.iter().map(|state| order.iter().position(|one| one == state)).collect();
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{states:?}");
        assert_eq!((states[0].as_str(), states.last().map(String::as_str)), ("unknown", Some("complete")));
    }
    for state in ["pending", "partial"] {
        assert!(seen.iter().flatten().any(|one| one == state), "nothing was {state}");
    }
    let all_partial = Client::of(Settings::busy().switched(Switch::Partial)).await;
    let ids = all_partial.import(rows(3)).await;
    for _ in 0..40 {
        all_partial.wait(seconds(3)).await;
        if all_partial.outcome(&ids[0]).await == "partial" {
            return;
        }
    }
    panic!("with the switch, every record passes through `partial`");
}

#[tokio::test]
async fn a_complete_record_may_hide_its_registration_from_the_first_reader() {
    let mut settings = Settings::calm();
    settings.set("import.empty_id_share=100%").unwrap();
    let client = Client::of(settings).await;
    let ids = client.import(rows(1)).await;
    client.wait(seconds(60)).await;
    let first = client.import_state(&ids[0]).await;
    assert_eq!(
        (first["deviceImportStatus"].as_str(), first["deviceRegistrationId"].as_str()),
        (Some("complete"), Some(""))
    );
    let second = client.import_state(&ids[0]).await;
    assert!(second["deviceRegistrationId"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
}

#[tokio::test]
async fn every_documented_error_has_its_code_and_name() {
    let client = Client::calm().await;
    client.sim.with(|tenant| {
        tenant.make_foreign(&hash("FOREIGN")).unwrap();
        tenant.refuse_hardware(&hash("DOOMED"), 814, "ZtdDeviceAlreadyAadRegistered").unwrap();
        tenant.add_device_of_hash(&hash("HERE"), "OLD").unwrap();
    });
    let short = STANDARD.encode(b"OA\x04\x00");
    let cases = json!([
        {"serialNumber": "TEST-1", "hardwareIdentifier": STANDARD.encode("no hash at all")},
        {"serialNumber": "TEST-2", "hardwareIdentifier": short},
        {"serialNumber": "TEST-3"},
        {"hardwareIdentifier": hash("TEST-4")},
        {},
        {"productKey": "3300000000000"},
        {"serialNumber": "HERE", "hardwareIdentifier": hash("HERE")},
        {"serialNumber": "FOREIGN", "hardwareIdentifier": hash("FOREIGN")},
        {"serialNumber": "DOOMED", "hardwareIdentifier": hash("DOOMED")},
        {"serialNumber": "TWICE", "hardwareIdentifier": hash("TWICE")},
        {"serialNumber": "TWICE", "hardwareIdentifier": hash("TWICE")},
    ]);
    let ids = client.import(cases).await;
    client.wait(seconds(60)).await;
    let mut outcomes = Vec::new();
    for id in &ids {
        outcomes.push(client.outcome(id).await);
    }
    assert_eq!(
        outcomes,
        [
            "802 InvalidZtdHardwareHash",
            "802 InvalidZtdHardwareHash",
            "802 InvalidZtdHardwareHash",
            "803 MissingZtdSerialNumberAndProductKey",
            "803 MissingZtdSerialNumberAndProductKey",
            "812 ZtdDeviceNotFound",
            "806 ZtdDeviceAlreadyAssigned",
            "808 ZtdDeviceAssignedToOtherTenant",
            "814 ZtdDeviceAlreadyAadRegistered",
            "complete",
            "0 ZtdDeviceDuplicated",
        ]
    );
}

#[tokio::test]
async fn storage_errors_hit_about_one_row_in_two_hundred_and_a_second_try_goes_through() {
    let client = Client::of(Settings::calm().switched(Switch::StorageErrors)).await;
    let ids = client.import(rows(500)).await;
    client.wait(seconds(1000)).await;
    let mut failed = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        match client.outcome(id).await.as_str() {
            "complete" => {}
            other => {
                assert_eq!(other, "640 StorageError");
                failed.push(format!("TEST-{n}"));
            }
        }
    }
    assert!((1..=10).contains(&failed.len()), "{} of 500", failed.len());
    client.sim.with(|tenant| tenant.set_settings(Settings::calm()));
    let again: Value =
        failed.iter().map(|serial| json!({"serialNumber": serial, "hardwareIdentifier": hash(serial)})).collect();
    let ids = client.import(again).await;
    client.wait(seconds(60)).await;
    assert_eq!(client.outcome(&ids[0]).await, "complete");
    let registered = client.sim.with(|tenant| tenant.counters().registered.clone());
    assert_eq!(registered.len(), 500);
    assert!(registered.values().all(|count| *count == 1));
}

#[tokio::test]
async fn importing_a_registered_device_again_leaves_its_tag_and_user_alone() {
    let client = Client::calm().await;
    let first = json!([{
        "serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1"), "groupTag": "FIRST",
        "assignedUserPrincipalName": "anna.keller@contoso.com",
    }]);
    client.import(first).await;
    client.wait(seconds(60)).await;
    let ids = client
        .import(json!([{"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1"), "groupTag": "SECOND"}]))
        .await;
    client.wait(seconds(60)).await;
    assert_eq!(client.outcome(&ids[0]).await, "806 ZtdDeviceAlreadyAssigned");
    let list = client.list("v1.0").await;
    assert_eq!(list.len(), 1);
    assert_eq!(
        (list[0]["groupTag"].as_str(), list[0]["userPrincipalName"].as_str()),
        (Some("FIRST"), Some("anna.keller@contoso.com"))
    );
}

#[tokio::test]
async fn two_captures_of_one_device_collide_although_their_bytes_differ() {
    let client = Client::calm().await;
    let device = Made { serial: "TEST-1", tpm: Some(9), board: 3, captured: 1 };
    let later = Made { captured: 2, ..device };
    assert_ne!(device.hash(), later.hash());
    client.import(json!([{"serialNumber": "TEST-1", "hardwareIdentifier": device.hash()}])).await;
    client.wait(seconds(60)).await;
    let ids = client.import(json!([{"serialNumber": "TEST-1", "hardwareIdentifier": later.hash()}])).await;
    client.wait(seconds(60)).await;
    assert_eq!(client.outcome(&ids[0]).await, "806 ZtdDeviceAlreadyAssigned");
}

#[tokio::test]
async fn a_swapped_board_makes_a_second_registration_with_the_same_serial() {
    let client = Client::calm().await;
    let old = Made { serial: "TEST-1", tpm: Some(9), board: 3, captured: 1 };
    let new = Made { tpm: Some(10), board: 4, ..old };
    for device in [old, new] {
        let ids = client.import(json!([{"serialNumber": "TEST-1", "hardwareIdentifier": device.hash()}])).await;
        client.wait(seconds(60)).await;
        assert_eq!(client.outcome(&ids[0]).await, "complete");
    }
    assert_eq!(client.sim.with(|tenant| tenant.registrations_of("test-1").len()), 2);
}

#[tokio::test]
async fn the_serial_of_a_registration_is_the_client_s_text() {
    let client = Client::calm().await;
    client.import(json!([{"serialNumber": " my own words ", "hardwareIdentifier": hash("TEST-1")}])).await;
    client.wait(seconds(60)).await;
    assert_eq!(client.list("v1.0").await[0]["serialNumber"], " my own words ");
}

#[tokio::test]
async fn a_record_stays_until_it_is_deleted_and_takes_no_registration_with_it() {
    let client = Client::calm().await;
    let ids = client.import(rows(2)).await;
    client.wait(SignedDuration::from_hours(24 * 90)).await;
    let mut client = client;
    client.log_in().await;
    assert_eq!(client.outcome(&ids[0]).await, "complete");
    let path = format!("{IMPORTS}/{}", ids[0]);
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(client.delete(&path).await.status, 404);
    assert_eq!(client.list("v1.0").await.len(), 2);
    let got = client.get(IMPORTS).await;
    assert_eq!(got.json["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn deleting_a_record_that_is_gone_may_be_a_success() {
    let mut settings = Settings::calm();
    settings.set("import.missing_delete_status=200").unwrap();
    let client = Client::of(settings).await;
    let path = format!("{IMPORTS}/0c9be9b6-1b2f-4c0f-9d4a-000000000001");
    assert_eq!(client.delete(&path).await.status, 200);
}

#[tokio::test]
async fn deleting_a_running_record_does_not_stop_the_import() {
    let client = Client::calm().await;
    let ids = client.import(rows(1)).await;
    assert_eq!(client.delete(&format!("{IMPORTS}/{}", ids[0])).await.status, 204);
    assert!(client.get(IMPORTS).await.json["value"].as_array().unwrap().is_empty());
    client.wait(seconds(60)).await;
    assert_eq!(client.list("v1.0").await.len(), 1);
    assert!(client.get(IMPORTS).await.json["value"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn sixty_import_posts_pass_at_once_and_then_one_per_second() {
    let client = Client::of(Settings::calm().switched(Switch::ImportThrottle)).await;
    let post = async |n: usize| {
        let serial = format!("TEST-{n}");
        client.post(IMPORTS, json!({"serialNumber": serial, "hardwareIdentifier": hash(&serial)})).await.status
    };
    for n in 0..60 {
        assert_eq!(post(n).await, 201, "post {n}");
    }
    assert_eq!(post(60).await, 429);
    for n in 60..90 {
        client.wait(seconds(1)).await;
        assert_eq!(post(n).await, 201, "post {n}");
        assert_eq!(post(n).await, 429, "a second one in the same second");
    }
    let counters = client.sim.with(|tenant| tenant.counters().clone());
    assert_eq!((counters.import_posts, counters.import_posts_refused, counters.rows_posted), (121, 31, 90));
}

#[tokio::test]
async fn five_hundred_rows_go_through_in_one_call_and_one_more_does_not() {
    let client = Client::calm().await;
    let got = client.post(IMPORT, json!({"importedWindowsAutopilotDeviceIdentities": rows(501)})).await;
    assert_eq!(got.status, 400);
    assert_eq!(client.import(rows(500)).await.len(), 500);
}

#[tokio::test]
async fn records_are_found_by_import_id_and_by_serial() {
    let client = Client::calm().await;
    let wanted = "0c9be9b6-1b2f-4c0f-9d4a-000000000002";
    client
        .import(json!([
            {"serialNumber": "VMware-56 4d", "hardwareIdentifier": hash("A")},
            {"serialNumber": "TEST-2", "hardwareIdentifier": hash("B"), "importId": wanted},
        ]))
        .await;
    let find = async |filter: &str| {
        let got = client.get(&format!("{IMPORTS}?$filter={filter}")).await;
        assert_eq!(got.status, 200, "{filter}: {}", got.json);
        let serials =
            got.json["value"].as_array().unwrap().iter().map(|r| r["serialNumber"].as_str().unwrap().to_owned());
        serials.collect::<Vec<_>>()
    };
    assert_eq!(find(&format!("importId%20eq%20'{wanted}'")).await, ["TEST-2"]);
    assert_eq!(find("contains(serialNumber,'56%204D')").await, ["VMware-56 4d"]);
    assert_eq!(find("serialNumber%20eq%20'TEST-2'").await, ["TEST-2"]);
    assert_eq!(client.get(&format!("{IMPORTS}?$filter=groupTag%20eq%20'x'")).await.status, 400);
}

#[tokio::test]
async fn rows_posted_while_the_same_device_is_under_way_are_noticed() {
    let client = Client::calm().await;
    client.import(rows(1)).await;
    client.import(rows(1)).await;
    client.wait(seconds(60)).await;
    client.import(rows(1)).await;
    client.wait(seconds(60)).await;
    client.sim.with(|tenant| {
        let counters = tenant.counters();
        assert_eq!(counters.posted.values().copied().collect::<Vec<_>>(), [3]);
        assert_eq!(counters.posted_while_running.values().copied().collect::<Vec<_>>(), [1]);
        assert_eq!(counters.registered.values().copied().collect::<Vec<_>>(), [1]);
        assert_eq!(counters.row_outcomes["complete"], 1);
        assert_eq!(counters.row_outcomes["ZtdDeviceAlreadyAssigned"], 2);
    });
}

#[tokio::test]
async fn an_import_without_a_body_is_refused_and_leaves_no_record() {
    let client = Client::calm().await;
    for body in ["", " ", "{}", "[]"] {
        assert_eq!(client.send(Method::POST, IMPORTS, body).await.status, 400, "{body:?}");
    }
    let url = "/deviceManagement/importedWindowsAutopilotDeviceIdentities";
    let parts = json!({"requests": [{"id": "1", "method": "POST", "url": url}]});
    let answers = client.post("/v1.0/$batch", parts).await.json;
    assert_eq!(answers["responses"][0]["status"], 400, "{answers}");
    assert!(client.sim.with(|tenant| tenant.import_records()).is_empty());
}
