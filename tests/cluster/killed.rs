//! The operator dies at any moment, again and again: what it had begun is taken up,
//! nothing is done twice, and the objects come to be ready.

use std::time::Duration;

use serde_json::{Value, json};

use crate::operator::{Stage, object};
use crate::support::{eventually, within};

/// So many devices, in one set.
const DEVICES: u64 = 6;
/// It dies so many times in the first run.
const DEATHS: u64 = 8;

/// A set whose hashes stand in one Secret.
fn fleet(stage: &Stage) {
    let machines: Vec<_> = (0..DEVICES).map(crate::shared::machine).collect();
    let serial = |at: usize| format!("TEST-{at:06}");
    let data = machines.iter().enumerate().map(|(at, machine)| (serial(at), json!(machine.hash().to_base64())));
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hashes"},
        "stringData": data.collect::<serde_json::Map<_, _>>(),
    });
    stage.apply(&secret);
    let device = |(at, machine): (usize, &apgit::door::hash::generate::Machine)| {
        json!({
            "serialNumber": serial(at), "displayName": format!("LOBBY-{at:02}"),
            "hardwareHashRef": {
                "secretKeyRef": {"name": "hashes", "key": serial(at)}, "sha256": machine.hash().digest().hex(),
            },
        })
    };
    let devices: Vec<Value> = machines.iter().enumerate().map(device).collect();
    stage.apply(&object("AutopilotDeviceSet", "lobby", json!({"defaults": {"groupTag": "LOBBY"}, "devices": devices})));
}

#[test]
fn an_operator_that_dies_again_and_again_registers_everything_once() {
    let Some(mut stage) = Stage::new() else { return };
    let seed: u64 = std::env::var("CLUSTER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("CLUSTER_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    stage.tenant(json!({}));
    fleet(&stage);
    let requests = |stage: &Stage| -> u64 {
        let calls = stage.served.get("counters")["calls"].clone();
        calls.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
    };
    let mut hits = 0;
    for _ in 0..DEATHS {
        let until = requests(&stage) + random.u64(1..12);
        // The same pod comes back: its lease is its own.
        stage.operates_as("replica");
        // A round that is over asks for nothing more.
        let is_there = within(Duration::from_secs(8), || (requests(&stage) >= until).then_some(()));
        std::thread::sleep(Duration::from_micros(random.u64(0..4_000)));
        let operator = stage.operators.last_mut().unwrap();
        operator.kill().expect("SIGKILL is never refused");
        let _ = operator.wait();
        hits += u64::from(is_there.is_some());
    }
    println!("{hits} of {DEATHS} hit a round");
    assert!(hits > DEATHS / 2, "only {hits} of {DEATHS} hit a round");
    stage.operates_as("replica");
    stage.is_ready("apds lobby");
    stage.is_ready("apt contoso");
    let counters = stage.served.get("counters");
    let registered = counters["registered"].as_object().cloned().unwrap_or_default();
    assert!(registered.len() == 6 && registered.values().all(|times| *times == 1), "{counters}");
    assert_eq!(counters["posted_while_running"], json!({}), "{counters}");
    let syncs = counters["syncs_accepted"].as_array().cloned().unwrap_or_default();
    assert!((1..=2).contains(&syncs.len()), "{counters}");
    let all = stage.served.get("registrations");
    assert_eq!(all.as_array().map(Vec::len), Some(6));
    eventually("own import records are removed", || (stage.served.get("imports") == json!([])).then_some(()));
}
