//! Rules 1, 2 and 19 to 26: routes, lists, queries, what readers see.

use super::*;

#[tokio::test]
async fn a_list_comes_in_pages_of_a_thousand_with_an_opaque_next_link() {
    let client = Client::calm().await;
    client.sim.with(|tenant| tenant.add_devices(2345));
    let mut url = DEVICES.to_owned();
    let (mut sizes, mut ids) = (Vec::new(), std::collections::BTreeSet::new());
    loop {
        let got = client.get(&url).await;
        let page = got.json["value"].as_array().unwrap().clone();
        assert_eq!(got.json["@odata.count"], page.len());
        sizes.push(page.len());
        ids.extend(page.iter().map(|device| device["id"].as_str().unwrap().to_owned()));
        let Some(next) = got.json["@odata.nextLink"].as_str() else { break };
        assert!(next.starts_with("https://graph.microsoft.com/v1.0/") && next.contains("$skiptoken="), "{next}");
        url = next.to_owned();
    }
    assert_eq!(sizes, [1000, 1000, 345]);
    assert_eq!(ids.len(), 2345);
    assert_eq!(client.sim.with(|tenant| tenant.counters().listings.len()), 1, "further pages are no listings");
}

#[tokio::test]
async fn top_makes_smaller_pages_but_no_larger_ones() {
    let client = Client::calm().await;
    client.sim.with(|tenant| tenant.add_devices(1200));
    let size = async |top: &str| {
        let got = client.get(&format!("{DEVICES}?$top={top}")).await;
        let next = got.json["@odata.nextLink"].as_str().unwrap_or_default().to_owned();
        (got.json["value"].as_array().map(Vec::len), next)
    };
    let (count, next) = size("7").await;
    assert_eq!(count, Some(7));
    assert!(next.contains("$top=7"));
    assert_eq!(client.get(&next).await.json["value"].as_array().unwrap().len(), 7);
    assert_eq!(size("5000").await.0, Some(1000));
    assert_eq!(client.get(&format!("{DEVICES}?$top=none")).await.status, 400);
    assert_eq!(client.get(&format!("{DEVICES}?$skiptoken=made-up")).await.status, 400);
}

#[tokio::test]
async fn a_page_of_100000_devices_is_quick() {
    let client = Client::calm().await;
    client.sim.with(|tenant| tenant.add_devices(100_000));
    let before = std::time::Instant::now();
    let got = client.get(DEVICES).await;
    let took = before.elapsed();
    assert_eq!(got.json["value"].as_array().unwrap().len(), 1000);
    // Generous: other tests share the processor. The point is that a page
    // costs a page and not a hundred.
    assert!(took < std::time::Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn what_is_absent_is_empty_or_zero_or_in_the_year_one() {
    let client = Client::calm().await;
    client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    let device = &client.list("v1.0").await[0];
    assert_eq!(
        *device,
        json!({
            "id": device["id"], "groupTag": "", "purchaseOrderIdentifier": "", "serialNumber": "TEST-1",
            "productKey": "", "manufacturer": "Contoso", "model": "Model 1", "enrollmentState": "notContacted",
            "lastContactedDateTime": "0001-01-01T00:00:00Z", "addressableUserName": "", "userPrincipalName": "",
            "resourceName": "", "skuNumber": "", "systemFamily": "",
            "azureActiveDirectoryDeviceId": "00000000-0000-0000-0000-000000000000",
            "managedDeviceId": "00000000-0000-0000-0000-000000000000", "displayName": "",
        })
    );
    let beta = &client.list("beta").await[0];
    assert_eq!(beta["azureAdDeviceId"], "00000000-0000-0000-0000-000000000000");
    assert_eq!(beta["remediationStateLastModifiedDateTime"], "0001-01-01T00:00:00Z");
    assert_eq!(beta["deploymentProfileAssignmentStatus"], "assignedInSync", "it has been here for long");
    let got = client.get(SETTINGS).await;
    assert_eq!(got.json["lastSyncDateTime"], "2026-01-05T00:00:00.5000000Z");
    assert_eq!(got.json["lastManualSyncTriggerDateTime"], "2026-01-05T00:00:00.0000000Z");
}

#[tokio::test]
async fn contains_finds_parts_of_serials_and_every_other_filter_is_refused() {
    let client = Client::calm().await;
    client.sim.with(|tenant| {
        for serial in ["PF1ABC", "xpf1y", "OTHER"] {
            tenant.add_device(serial, "Contoso", "Model 1", "");
        }
    });
    let filter = async |text: &str| {
        let got = client.get(&format!("{DEVICES}?$filter={text}")).await;
        (got.status, got.json["value"].as_array().map_or(0, Vec::len))
    };
    assert_eq!(filter("contains(serialNumber,'Pf1')").await, (200, 2));
    for refused in [
        "serialNumber%20eq%20'OTHER'",
        "id%20eq%20'0c9be9b6-1b2f-4c0f-9d4a-000000000001'",
        "displayName%20eq%20'X'",
        "contains(serialNumber,'A%20B')",
        "contains(serialNumber,'A-B')",
        "startswith(serialNumber,'PF')",
    ] {
        assert_eq!(filter(refused).await, (400, 0), "{refused}");
    }
}

#[tokio::test]
async fn a_tenant_may_refuse_every_filter() {
    let client = Client::of(Settings::calm().switched(sim::Switch::NoFilter)).await;
    client.sim.with(|tenant| tenant.add_device("PF1ABC", "Contoso", "Model 1", ""));
    let got = client.get(&format!("{DEVICES}?$filter=contains(serialNumber,'PF')")).await;
    assert_eq!((got.status, &*got.reason()), (400, "Invalid filter clause"));
    assert_eq!(client.list("v1.0").await.len(), 1, "without a filter all is there");
}

#[tokio::test]
async fn select_is_a_server_error() {
    let client = Client::calm().await;
    let works = Client::of(Settings::calm().switched(Switch::SelectWorks)).await;
    let id = client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", ""));
    let beta = DEVICES.replace("v1.0", "beta");
    for path in [DEVICES.to_owned(), format!("{DEVICES}/{id}"), beta] {
        let got = client.get(&format!("{path}?$select=id")).await;
        if !path.contains(&id.to_string()) {
            assert_eq!(works.get(&format!("{path}?$select=id")).await.status, 200, "with the switch");
        }
        assert_eq!((got.status, got.json["error"]["code"].as_str()), (500, Some("InternalServerError")));
        assert_eq!(got.reason(), "An internal server error has occurred");
    }
}

#[tokio::test]
async fn the_beta_list_blanks_what_a_reader_by_id_sees() {
    let client = Client::of(Settings::calm().switched(Switch::BlankContacts).switched(Switch::Year2023)).await;
    let id = client.sim.with(|tenant| {
        let id = tenant.add_device_for("TEST-1", "Contoso", "Model 1", "", "anna.keller@contoso.com");
        tenant.enrol(id).unwrap();
        id
    });
    assert_eq!(client.list("beta").await[0]["lastContactedDateTime"], "0001-01-01T00:00:00Z");
    assert_eq!(client.list("v1.0").await[0]["lastContactedDateTime"], "2026-01-05T08:00:00Z");
    assert_eq!(client.list("v1.0").await[0]["userPrincipalName"], "");
    let single = client.get(&format!("{DEVICES}/{id}")).await;
    assert_eq!(single.json["lastContactedDateTime"], "2026-01-05T08:00:00Z");
    assert_eq!(single.json["userPrincipalName"], "anna.keller@contoso.com");
}

#[tokio::test]
async fn a_registration_is_readable_at_once_and_listed_within_minutes() {
    let (mut late, mut tails) = (0, 0);
    for seed in 0..60 {
        let client = Client::with_seed(Settings::calm().switched(Switch::LateVisibility), seed).await;
        let ids = client.import(json!([{"serialNumber": "T", "hardwareIdentifier": hash("T")}])).await;
        while client.outcome(&ids[0]).await == "unknown" {
            client.wait(seconds(1)).await;
        }
        let state = client.import_state(&ids[0]).await;
        let path = format!("{DEVICES}/{}", state["deviceRegistrationId"].as_str().unwrap());
        client.wait(seconds(2)).await;
        assert_eq!(client.get(&path).await.status, 200, "seed {seed}: readable by id after 2 s");
        late += usize::from(client.list("v1.0").await.is_empty());
        client.wait(seconds(120)).await;
        tails += usize::from(client.list("v1.0").await.is_empty());
        client.wait(seconds(780)).await;
        assert_eq!(client.list("v1.0").await.len(), 1, "seed {seed}: listed within 15 minutes");
    }
    assert!(late > 40, "{late} of 60 lists lagged");
    assert!((1..12).contains(&tails), "{tails} of 60 took longer than two minutes");
}

#[tokio::test]
async fn an_enrolled_device_has_its_links() {
    let client = Client::calm().await;
    let id = client.registered("TEST-1").await;
    client.sim.with(|tenant| tenant.enrol(id.parse().unwrap()).unwrap());
    let device = client.get(&format!("{DEVICES}/{id}")).await.json;
    assert_eq!(device["enrollmentState"], "enrolled");
    let linked = device["azureActiveDirectoryDeviceId"].as_str().unwrap();
    assert_ne!(device["managedDeviceId"], "00000000-0000-0000-0000-000000000000");
    let found = client.get(&format!("{DEVICES}?$filter=azureActiveDirectoryDeviceId%20eq%20'{linked}'")).await;
    assert_eq!(found.json["value"][0]["id"], id.as_str());
}

#[tokio::test]
async fn both_key_syntaxes_and_any_letter_case_lead_to_the_same_device() {
    let client = Client::calm().await;
    let id = client.registered("TEST-1").await;
    for path in [
        format!("/v1.0/deviceManagement/windowsAutopilotDeviceIdentities('{id}')"),
        format!("/v1.0/devicemanagement/WINDOWSAUTOPILOTDEVICEIDENTITIES/{id}"),
        format!("/beta/deviceManagement/windowsAutopilotDeviceIdentities/{}", id.to_uppercase()),
    ] {
        let got = client.get(&path).await;
        assert_eq!((got.status, got.json["serialNumber"].as_str()), (200, Some("TEST-1")), "{path}");
    }
}

#[tokio::test]
async fn routes_that_only_the_documentation_has_are_route_errors() {
    let client = Client::calm().await;
    let id = client.registered("TEST-1").await;
    let import = "0c9be9b6-1b2f-4c0f-9d4a-000000000001";
    for (method, path) in [
        (Method::POST, DEVICES.to_owned()),
        (Method::PATCH, format!("{DEVICES}/{id}")),
        (Method::PATCH, format!("{IMPORTS}/{import}")),
        (Method::POST, format!("{DEVICES}/deleteDevices")),
        (Method::GET, format!("{DEVICES}/$count")),
        (Method::GET, SYNC.to_owned()),
    ] {
        let got = client.send(method.clone(), &path, "{}").await;
        assert_eq!(
            (got.status, got.json["error"]["code"].as_str()),
            (400, Some("No method match route template")),
            "{method} {path}"
        );
        let message = got.json["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("No OData route exists that match template ~/singleton/navigation"), "{message}");
        assert!(message.contains(&format!("with http verb {method} for request")), "{message}");
    }
}

#[tokio::test]
async fn an_unknown_segment_is_a_plain_error_and_settings_are_beta_only() {
    let client = Client::calm().await;
    for (path, segment) in [
        ("/v1.0/deviceManagement/windowsAutopilotSettings", "windowsAutopilotSettings"),
        (
            "/beta/deviceManagement/importedWindowsAutopilotDeviceIdentityUploads",
            "importedWindowsAutopilotDeviceIdentityUploads",
        ),
        ("/v1.0/nonsense", "nonsense"),
    ] {
        let got = client.get(path).await;
        assert_eq!((got.status, got.json["error"]["code"].as_str()), (400, Some("BadRequest")));
        assert_eq!(got.json["error"]["message"], format!("Resource not found for the segment '{segment}'."));
        assert_eq!(got.json["error"]["innerError"]["client-request-id"], "0c9be9b6-1b2f-4c0f-9d4a-00000000abcd");
    }
    assert_eq!(client.get("/v1.0/deviceManagement/windowsAutopilotDeploymentProfiles").await.status, 404);
    assert_eq!(client.get(SETTINGS).await.status, 200);
}

#[tokio::test]
async fn a_device_that_does_not_exist_is_not_found() {
    let client = Client::calm().await;
    let got = client.get(&format!("{DEVICES}/0c9be9b6-1b2f-4c0f-9d4a-000000000001")).await;
    assert_eq!((got.status, got.json["error"]["code"].as_str()), (404, Some("ResourceNotFound")));
    assert_eq!(got.inner()["_version"], 3);
    assert!(got.json["error"]["message"].as_str().unwrap().contains("\r\n"), "as it comes over the wire");
}

#[tokio::test]
async fn a_profile_does_not_follow_a_tag_that_is_gone() {
    let mut settings = Settings::busy();
    settings.set(r#"profiles.list=[{"name":"Kiosk","group_tag":"KIOSK"}]"#).unwrap();
    let client = Client::of(settings).await;
    let (late, early) = client.sim.with(|tenant| {
        let late = tenant.register_as_oem("V-1", "Contoso", "Tower 5", "KIOSK");
        (late, tenant.add_device("TEST-1", "Contoso", "Model 1", "KIOSK"))
    });
    client.post(SYNC, json!({})).await;
    client.wait(seconds(65)).await;
    client.sim.with(|tenant| {
        tenant.set_tag_as_portal(late, "OTHER").unwrap();
        tenant.set_tag_as_portal(early, "OTHER").unwrap();
    });
    client.wait(seconds(1800)).await;
    for id in [late, early] {
        let got = client.get(&format!("/beta/deviceManagement/windowsAutopilotDeviceIdentities/{id}")).await.json;
        assert_eq!(got["groupTag"], "OTHER");
        assert_eq!(got["deploymentProfileAssignmentStatus"], "notAssigned");
        assert_eq!(got["deploymentProfileAssignedDateTime"], "0001-01-01T00:00:00Z");
    }
}

#[tokio::test]
async fn a_profile_is_pending_and_then_assigned_to_the_tags_it_is_for() {
    let mut settings = Settings::busy();
    settings.set(r#"profiles.list=[{"name":"Kiosk","group_tag":"KIOSK"}]"#).unwrap();
    let client = Client::of(settings).await;
    let row =
        |serial: &str, tag: &str| json!({"serialNumber": serial, "hardwareIdentifier": hash(serial), "groupTag": tag});
    let ids = client.import(json!([row("A", "KIOSK"), row("B", "OTHER")])).await;
    let mut seen = Vec::new();
    let mut paths = Vec::new();
    let (mut registered_at, mut assigned_at) = (None, None);
    for _ in 0..300 {
        client.wait(seconds(5)).await;
        if paths.len() < 2 && client.outcome(&ids[0]).await == "complete" && client.outcome(&ids[1]).await == "complete"
        {
            for id in &ids {
                let state = client.import_state(id).await;
                let id = state["deviceRegistrationId"].as_str().unwrap().to_owned();
                paths.push(format!("/beta/deviceManagement/windowsAutopilotDeviceIdentities/{id}"));
            }
        }
        if let Some(path) = paths.first() {
            registered_at.get_or_insert(client.clock.now());
            let got = client.get(path).await;
            let status = got.json["deploymentProfileAssignmentStatus"].as_str().unwrap_or_default().to_owned();
            if status == "assignedInSync" {
                assigned_at.get_or_insert(client.clock.now());
            }
            if !status.is_empty() && seen.last() != Some(&status) {
                seen.push(status);
            }
        }
    }
    assert_eq!(seen, ["notAssigned", "pending", "assignedInSync"]);
    let took = assigned_at.unwrap().duration_since(registered_at.unwrap());
    assert!(took <= seconds(900), "it took {took:#}");
    let got = client.get(&format!("{}?$expand=deploymentProfile,intendedDeploymentProfile", paths[0])).await;
    assert_eq!(got.json["deploymentProfile"]["displayName"], "Kiosk");
    let other = client.get(&paths[1]).await;
    assert_eq!(other.json["deploymentProfileAssignmentStatus"], "notAssigned");
    let profiles = client.get("/beta/deviceManagement/windowsAutopilotDeploymentProfiles").await;
    assert!(profiles.json["@odata.count"].is_null(), "this set has no count");
    let profile = profiles.json["value"][0]["id"].as_str().unwrap().to_owned();
    let assigned = client
        .get(&format!("/beta/deviceManagement/windowsAutopilotDeploymentProfiles/{profile}/assignedDevices"))
        .await;
    assert_eq!(assigned.json["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_filter_or_an_order_is_understood_without_its_dollar_too() {
    let client = Client::calm().await;
    client.sim.with(|tenant| {
        for serial in ["PF1ABC", "OTHER"] {
            tenant.add_device(serial, "Contoso", "Model 1", "");
        }
    });
    let got = client.get(&format!("{DEVICES}?filter=contains(serialNumber,'Pf1')")).await;
    assert_eq!((got.status, got.json["value"].as_array().unwrap().len()), (200, 1));
    assert_eq!(client.get(&format!("{DEVICES}?filter=serialNumber%20eq%20'OTHER'")).await.status, 400);
    for option in ["skip=1", "orderby=serialNumber", "OrderBy=serialNumber"] {
        assert_eq!(client.get(&format!("{DEVICES}?{option}")).await.status, 400, "{option}");
    }
    assert_eq!(client.get(&format!("{DEVICES}?top=1")).await.json["value"].as_array().unwrap().len(), 2);
}
