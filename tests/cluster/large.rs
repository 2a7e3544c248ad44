//! A large fleet, measured: `make bench-cluster`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::operator::{Stage, object};
use crate::shared::machine;
use crate::support::within;

/// So many hashes stand in a Secret: it may have 1 MiB.
const IN_SECRET: u64 = 150;
/// So many devices stand in a set.
const IN_SET: u64 = 500;
/// So long it is watched when all is done.
const IDLE: Duration = Duration::from_secs(60);

fn count(variable: &str, else_: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(else_)
}

fn serial(at: u64) -> String {
    format!("TEST-{at:06}")
}

fn device(at: u64) -> Value {
    let pin = machine(at).hash().digest().hex();
    let secret = json!({"name": format!("hashes-{}", at / IN_SECRET), "key": serial(at)});
    json!({"serialNumber": serial(at), "groupTag": "LARGE", "hardwareHashRef": {"secretKeyRef": secret, "sha256": pin}})
}

fn apply(stage: &Stage, objects: Vec<Value>) {
    stage.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}));
}

/// Writes so far, by what was written.
fn writes(stage: &Stage) -> BTreeMap<String, usize> {
    let mut writes = BTreeMap::new();
    for request in stage.cluster.audit() {
        let (verb, of) = (request["verb"].as_str().unwrap_or_default(), &request["objectRef"]);
        let is_ours = !request["userAgent"].as_str().unwrap_or_default().starts_with("kubectl")
            && of["namespace"] == json!(stage.namespace)
            && !request["user"]["username"].as_str().unwrap_or_default().starts_with("system:");
        if is_ours && matches!(verb, "create" | "update" | "patch" | "delete") {
            let sub = of["subresource"].as_str().map(|sub| format!("/{sub}")).unwrap_or_default();
            *writes.entry(format!("{verb} {}{sub}", of["resource"].as_str().unwrap_or_default())).or_default() += 1;
        }
    }
    writes
}

#[test]
#[ignore = "takes minutes, and measures: make bench-cluster"]
fn a_large_fleet_is_registered_within_what_the_service_allows_and_is_at_rest() {
    let Some(mut stage) = Stage::new() else { return };
    let (in_sets, single) = (count("IN_SETS", 10_000), count("SINGLE", 2_000));
    let all = in_sets + single;
    stage.tenant(json!({"limits": {"maxUpdates": 100_000}}));
    for secret in 0..all.div_ceil(IN_SECRET) {
        let ats = secret * IN_SECRET..((secret + 1) * IN_SECRET).min(all);
        let data: serde_json::Map<_, _> = ats.map(|at| (serial(at), json!(machine(at).hash().to_base64()))).collect();
        apply(
            &stage,
            vec![json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("hashes-{secret}")}, "stringData": data,
            })],
        );
    }
    for set in 0..in_sets.div_ceil(IN_SET) {
        let ats = set * IN_SET..((set + 1) * IN_SET).min(in_sets);
        apply(
            &stage,
            vec![object(
                "AutopilotDeviceSet",
                &format!("set-{set}"),
                json!({"devices": ats.map(device).collect::<Vec<_>>()}),
            )],
        );
    }
    let singles: Vec<Value> =
        (in_sets..all).map(|at| object("AutopilotDevice", &serial(at).to_lowercase(), device(at))).collect();
    singles.chunks(500).for_each(|some| apply(&stage, some.to_vec()));

    let clock = |stage: &Stage| {
        let now = stage.served.post("clock", &json!({"client": "watcher", "until": null}));
        now["now"].as_str().unwrap_or_default().to_owned()
    };
    let (began, from) = (Instant::now(), clock(&stage));
    stage.operates();
    let ready = within(Duration::from_secs(1_500), || {
        std::thread::sleep(Duration::from_secs(2));
        let devices = &stage.get("apt contoso")["status"]["devices"];
        (devices["ready"] == json!(all)).then_some(())
    });
    assert!(ready.is_some(), "{}", stage.log(0));
    let to = clock(&stage);
    println!(
        "{all} devices are ready after {:.0?} on this machine; the service's clock went from {from} to {to}",
        began.elapsed()
    );
    let counters = stage.served.get("counters");
    println!("requests to the service: {}", counters["calls"]);
    println!("syncs: {}", counters["syncs_accepted"]);
    assert!(counters["registered"].as_object().unwrap().values().all(|times| *times == 1));
    stage.is_ready("apt contoso");
    println!("writes to the API server: {:?}", writes(&stage));
    let before = writes(&stage);
    std::thread::sleep(IDLE);
    let mut after = writes(&stage);
    after.remove("update leases");
    let before: BTreeMap<_, _> = before.into_iter().filter(|(what, _)| what != "update leases").collect();
    assert_eq!(after, before, "whoever is done writes nothing but that it is there");
    let status = std::fs::read_to_string(format!("/proc/{}/status", stage.operators[0].id())).expect("it runs");
    for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")) {
        println!("{line}");
    }
}
