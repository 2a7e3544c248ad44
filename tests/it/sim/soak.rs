//! Random clients on random seeds: what must hold whatever they do.

use super::*;

/// A client with no plan at all.
async fn wander(client: &mut Client, steps: usize, rng: &mut fastrand::Rng) {
    for _ in 0..steps {
        let serial = format!("TEST-{}", rng.u8(0..12));
        let known: Vec<String> = client.sim.with(|t| t.registrations().iter().map(|r| r.id.to_string()).collect());
        let id = rng.choice(&known).cloned().unwrap_or_else(|| "0c9be9b6-1b2f-4c0f-9d4a-000000000001".to_owned());
        let (method, path, body) = match rng.u8(0..9) {
            0 | 1 => {
                let row = json!({"serialNumber": serial, "hardwareIdentifier": hash(&serial)});
                (
                    Method::POST,
                    IMPORT.to_owned(),
                    json!({"importedWindowsAutopilotDeviceIdentities": [row]}).to_string(),
                )
            }
            2 => (Method::POST, SYNC.to_owned(), String::new()),
            3 => (Method::DELETE, format!("{DEVICES}/{id}"), String::new()),
            4 => {
                let body = json!({"groupTag": format!("TAG-{}", rng.u8(0..4))}).to_string();
                (Method::POST, format!("{DEVICES}/{id}/updateDeviceProperties"), body)
            }
            5 => (Method::GET, DEVICES.to_owned(), String::new()),
            6 => (Method::GET, IMPORTS.to_owned(), String::new()),
            7 => {
                if rng.u8(0..20) == 0 {
                    client.sim.with(|tenant| tenant.register_as_oem(&serial, "Contoso", "Model 1", ""));
                }
                (Method::GET, format!("{DEVICES}/{id}"), String::new())
            }
            _ => (Method::GET, SETTINGS.to_owned(), String::new()),
        };
        if let Ok(got) = client.try_send(method, &path, &body).await
            && got.status == 401
        {
            client.log_in().await;
        }
        client.wait(seconds(rng.i64(0..240))).await;
    }
}

#[tokio::test]
async fn no_random_client_breaks_an_invariant() {
    for seed in 0..24 {
        let mut client = Client::with_seed(Settings::hostile(), seed).await;
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut vendor_devices = 0;
        for _ in 0..8 {
            wander(&mut client, 60, &mut rng).await;
            client.sim.with(|tenant| {
                let registrations = tenant.registrations();
                for registration in &registrations {
                    assert!(
                        registration.origin == sim::Origin::Vendor
                            || tenant.counters().registered.contains_key(&registration.hardware),
                        "seed {seed}: {} came from nowhere",
                        registration.serial
                    );
                    assert!(registration.readable || !registration.listed, "seed {seed}: listed but not readable");
                }
                vendor_devices =
                    vendor_devices.max(registrations.iter().filter(|r| r.origin == sim::Origin::Vendor).count());
                let mut imported: Vec<&str> = registrations
                    .iter()
                    .filter(|r| r.origin == sim::Origin::Import)
                    .map(|r| r.hardware.as_str())
                    .collect();
                let all = imported.len();
                imported.sort_unstable();
                imported.dedup();
                assert_eq!(imported.len(), all, "seed {seed}: one device has two registrations");
                let counters = tenant.counters();
                assert!(counters.least_sync_gap().is_none_or(|gap| gap >= seconds(600)), "seed {seed}");
                let completed = counters.row_outcomes.get("complete").copied().unwrap_or(0);
                assert_eq!(counters.registered.values().sum::<u64>(), completed, "seed {seed}");
                let ended: u64 = counters.row_outcomes.values().sum();
                assert!(ended <= counters.rows_posted, "seed {seed}");
            });
        }
        client.wait(seconds(3600)).await;
        client.sim.with(|tenant| {
            let counters = tenant.counters();
            let ended: u64 = counters.row_outcomes.values().sum();
            assert_eq!(ended, counters.rows_posted, "seed {seed}: every row ends");
            assert!(counters.rows_posted > 20, "seed {seed}: something happened");
            assert!(
                tenant.registrations().iter().all(|r| r.listed || r.origin == sim::Origin::Vendor),
                "seed {seed}: all is listed in the end"
            );
        });
    }
}

#[tokio::test]
async fn the_same_seed_and_the_same_requests_give_the_same_tenant() {
    let mut saved = Vec::new();
    for _ in 0..2 {
        let mut client = Client::with_seed(Settings::hostile(), 5).await;
        let mut rng = fastrand::Rng::with_seed(5);
        wander(&mut client, 200, &mut rng).await;
        saved.push(client.sim.with(|tenant| tenant.save()));
    }
    assert_eq!(saved[0], saved[1]);
}
