//! Rule 33: the sync, its limits, and what it brings.

use super::*;

async fn status(client: &Client) -> String {
    client.get(SETTINGS).await.json["syncStatus"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_sync_runs_then_rests_for_ten_minutes() {
    let mut settings = Settings::calm();
    settings.set("sync.runs=30s").unwrap();
    let client = Client::of(settings).await;
    let sync = async || client.send(Method::POST, SYNC, "").await;
    assert_eq!(sync().await.status, 204);
    assert_eq!(status(&client).await, "inProgress");
    let busy = sync().await;
    assert_eq!((busy.status, busy.json["error"]["code"].as_str()), (409, Some("Conflict")));
    client.wait(seconds(30)).await;
    assert_eq!(status(&client).await, "completed");
    let got = client.get(SETTINGS).await;
    assert_eq!(got.json["lastManualSyncTriggerDateTime"], "2026-01-05T08:00:00.0000000Z");
    assert_eq!(got.json["lastSyncDateTime"], "2026-01-05T08:00:30.0000000Z");
    client.wait(seconds(599)).await;
    let soon = sync().await;
    assert_eq!((soon.status, soon.header("retry-after")), (429, None));
    client.wait(seconds(1)).await;
    assert_eq!(sync().await.status, 204);
    client.sim.with(|tenant| {
        let counters = tenant.counters();
        assert_eq!((counters.syncs_accepted.len(), counters.syncs_refused), (2, 2));
        assert_eq!(counters.least_sync_gap(), Some(seconds(630)));
    });
}

#[tokio::test]
async fn a_sync_may_fail_and_still_counts_as_triggered() {
    let mut settings = Settings::calm();
    settings.set("sync.fail_share=1").unwrap();
    let client = Client::of(settings).await;
    let before = client.get(SETTINGS).await.json["lastSyncDateTime"].clone();
    assert_eq!(client.post(SYNC, json!({})).await.status, 204);
    client.wait(seconds(60)).await;
    assert_eq!(status(&client).await, "failed");
    assert_eq!(client.get(SETTINGS).await.json["lastSyncDateTime"], before);
    assert_eq!(client.post(SYNC, json!({})).await.status, 429);
}

#[tokio::test]
async fn an_import_may_start_a_sync_that_counts() {
    let client = Client::of(Settings::calm().switched(Switch::Autosync)).await;
    let before = client.get(SETTINGS).await.json["lastSyncDateTime"].clone();
    client.import(json!([{"serialNumber": "T", "hardwareIdentifier": hash("T")}])).await;
    client.wait(seconds(60)).await;
    assert_ne!(client.get(SETTINGS).await.json["lastSyncDateTime"], before);
    assert_eq!(client.post(SYNC, json!({})).await.status, 429);
    assert!(client.sim.with(|tenant| tenant.counters().syncs_accepted.is_empty()), "nobody asked for it");
}

#[tokio::test]
async fn a_device_that_its_vendor_registered_comes_with_the_next_sync() {
    let client = Client::calm().await;
    client.sim.with(|tenant| {
        tenant.register_as_oem("VENDOR-1", "Contoso", "Model 1", "OSL-STD");
        tenant.register_as_oem_from_hash(&hash("VENDOR-2"), "PO-7").unwrap();
    });
    client.wait(seconds(3000)).await;
    assert!(client.list("v1.0").await.is_empty());
    let ids = client.import(json!([{"serialNumber": "VENDOR-1", "hardwareIdentifier": hash("VENDOR-1")}])).await;
    assert_eq!(client.post(SYNC, json!({})).await.status, 204);
    client.wait(seconds(60)).await;
    let list = client.list("v1.0").await;
    let mut serials: Vec<_> = list.iter().map(|device| device["serialNumber"].as_str().unwrap()).collect();
    serials.sort_unstable();
    assert_eq!(serials, ["VENDOR-1", "VENDOR-2"]);
    let by_order = list.iter().find(|device| device["purchaseOrderIdentifier"] == "PO-7").unwrap();
    assert_eq!(by_order["serialNumber"], "VENDOR-2");
    assert_eq!(
        client.outcome(&ids[0]).await,
        "806 ZtdDeviceAlreadyAssigned",
        "the directory knew it before the list did"
    );
}

#[tokio::test]
async fn a_vendor_s_device_comes_by_itself_within_a_day() {
    let mut client = Client::calm().await;
    client.sim.with(|tenant| tenant.register_as_oem("VENDOR-1", "Contoso", "Model 1", ""));
    client.wait(SignedDuration::from_hours(25)).await;
    client.log_in().await;
    assert_eq!(client.list("v1.0").await.len(), 1);
}
