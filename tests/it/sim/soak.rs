//! Random clients on random seeds: what must hold whatever they do.

use std::future::Future;

use super::*;

/// Seeds of the long runs; `make soak` takes more.
fn seeds() -> u64 {
    std::env::var("SOAK_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

/// A client with no plan at all, for so much virtual time.
pub async fn wander(client: &mut Client, span: SignedDuration, rng: &mut fastrand::Rng) {
    let end = client.clock.now() + span;
    while client.clock.now() < end {
        let serial = format!("TEST-{}", rng.u8(0..12));
        let known: Vec<String> = client.sim.with(|t| t.registrations().iter().map(|r| r.id.to_string()).collect());
        let id = rng.choice(&known).cloned().unwrap_or_else(|| "0c9be9b6-1b2f-4c0f-9d4a-000000000001".to_owned());
        let (method, path, body) = match rng.u8(0..13) {
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
            8 => (Method::GET, SETTINGS.to_owned(), String::new()),
            9 => (Method::GET, "/v1.0/devices".to_owned(), String::new()),
            10 => {
                if let Ok(id) = id.parse() {
                    let _ = client.sim.with(|tenant| tenant.enrol(id));
                }
                (Method::GET, "/beta/deviceManagement/managedDevices".to_owned(), String::new())
            }
            11 => {
                let managed = client.sim.with(|tenant| {
                    let enrolled: Vec<_> =
                        tenant.neighbours().into_iter().filter_map(|n| n.managed_device_id).collect();
                    rng.choice(&enrolled).copied()
                });
                let managed = managed.map_or_else(|| id.clone(), |managed| managed.to_string());
                let path = format!("/v1.0/deviceManagement/managedDevices/{managed}");
                match rng.u8(0..3) {
                    0 => (Method::POST, format!("{path}/retire"), String::new()),
                    _ => (Method::DELETE, path, String::new()),
                }
            }
            _ => (Method::GET, DEVICES.replace("v1.0", "beta"), String::new()),
        };
        // Tokens do not live long here.
        for _ in 0..2 {
            let Ok(got) = client.try_send(method.clone(), &path, &body).await else { break };
            schema::assert_as_published(&got);
            if got.status != 401 {
                break;
            }
            client.log_in().await;
        }
        client.wait(seconds(rng.i64(0..600))).await;
    }
}

/// What holds at any time.
fn assert_invariants(tenant: &Tenant, seed: u64) {
    let registrations = tenant.registrations();
    let counters = tenant.counters();
    for registration in &registrations {
        assert!(
            registration.origin == sim::Origin::Vendor || counters.registered.contains_key(&registration.hardware),
            "seed {seed}: {} came from nowhere",
            registration.serial
        );
        assert!(registration.readable || !registration.listed, "seed {seed}: listed but not readable");
    }
    let imported = registrations.iter().filter(|r| r.origin == sim::Origin::Import);
    let mut imported: Vec<&str> = imported.map(|r| r.hardware.as_str()).collect();
    let all = imported.len();
    imported.sort_unstable();
    imported.dedup();
    assert_eq!(imported.len(), all, "seed {seed}: one device has two registrations");
    assert!(counters.least_sync_gap().is_none_or(|gap| gap >= seconds(600)), "seed {seed}");
    let completed = counters.row_outcomes.get("complete").copied().unwrap_or(0);
    assert_eq!(counters.registered.values().sum::<u64>(), completed, "seed {seed}");
    let ended: u64 = counters.row_outcomes.values().sum();
    assert!(ended <= counters.rows_posted, "seed {seed}");
    let calls: u64 = counters.calls.values().sum();
    assert_eq!(calls, tenant.request_log().len() as u64, "seed {seed}: every request is counted once");
}

async fn a_day(seed: u64) {
    let mut client = Client::with_seed(Settings::hostile(), seed).await;
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..12 {
        wander(&mut client, seconds(7200), &mut rng).await;
        client.sim.with(|tenant| assert_invariants(tenant, seed));
    }
    client.wait(seconds(3600)).await;
    client.sim.with(|tenant| {
        let counters = tenant.counters();
        let ended: u64 = counters.row_outcomes.values().sum();
        assert_eq!(ended, counters.rows_posted, "seed {seed}: every row ends");
        assert!(counters.rows_posted > 10, "seed {seed}: something happened");
        assert!(
            tenant.registrations().iter().all(|r| r.listed || r.origin == sim::Origin::Vendor),
            "seed {seed}: all is listed in the end"
        );
    });
}

/// Runs every seed, on both cores of a small machine.
fn for_each_seed<F: Future<Output = ()>>(seeds: u64, run: impl Fn(u64) -> F + Sync) {
    std::thread::scope(|scope| {
        for half in 0..2 {
            let run = &run;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                (0..seeds).filter(|seed| seed % 2 == half).for_each(|seed| runtime.block_on(run(seed)));
            });
        }
    });
}

#[test]
fn no_random_client_breaks_an_invariant_in_a_day() {
    for_each_seed(seeds(), a_day);
}

/// A second count of the sliding windows, by the definition and not by queues.
fn may_pass(log: &[(i64, bool)], now: i64, write: bool, requests_max: usize, writes_max: usize) -> bool {
    let recent = log.iter().filter(|(at, _)| *at > now - 20_000);
    let (requests, writes) = recent.fold((0, 0), |(all, writes), (_, write)| (all + 1, writes + usize::from(*write)));
    requests < requests_max && (!write || writes < writes_max)
}

async fn limits_are_exact(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (requests_max, writes_max) = (rng.usize(5..50), rng.usize(2..15));
    let mut settings = Settings::calm();
    settings.throttle.on = true;
    // Either limit may be the one that binds: an app's own, or that of all.
    let (looser, tighter) = ((requests_max + 10, writes_max + 10), (requests_max, writes_max));
    let (app, all) = if seed.is_multiple_of(2) { (tighter, looser) } else { (looser, tighter) };
    (settings.throttle.app_requests, settings.throttle.app_writes) = app;
    (settings.throttle.all_requests, settings.throttle.all_writes) = all;
    let client = Client::with_seed(settings, seed).await;
    let (mut passed, mut refused) = (Vec::new(), 0);
    for _ in 0..400 {
        let write = rng.u8(0..3) == 0;
        let now = client.clock.now().as_millisecond();
        let got = match write {
            true => client.delete(&format!("{IMPORTS}/0c9be9b6-1b2f-4c0f-9d4a-000000000001")).await,
            false => client.get(SETTINGS).await,
        };
        let may = may_pass(&passed, now, write, requests_max, writes_max);
        assert_eq!(got.status != 429, may, "seed {seed}, request {}", passed.len() + refused);
        if may {
            passed.push((now, write));
        } else {
            refused += 1;
        }
        // Bursts and rests.
        let pause = if rng.u8(0..20) == 0 { rng.i64(0..20_000) } else { rng.i64(0..200) };
        client.wait(SignedDuration::from_millis(pause)).await;
    }
    assert!(refused > 0, "seed {seed}: the limit was met");
    assert_eq!(client.sim.with(|tenant| tenant.counters().calls_with(429)), refused as u64, "seed {seed}");
}

#[test]
fn limits_refuse_exactly_what_a_second_count_says() {
    for_each_seed(seeds(), limits_are_exact);
}

#[tokio::test]
async fn the_same_seed_and_the_same_requests_give_the_same_tenant() {
    let mut saved = Vec::new();
    for _ in 0..2 {
        let mut client = Client::with_seed(Settings::hostile(), 5).await;
        let mut rng = fastrand::Rng::with_seed(5);
        wander(&mut client, seconds(12 * 3600), &mut rng).await;
        saved.push(client.sim.with(|tenant| tenant.save()));
    }
    assert_eq!(saved[0], saved[1]);
}
