//! The file of a tenant that is kept between runs: what it says, how much is
//! written, and what a death at any byte leaves.

use std::path::{Path, PathBuf};

use apgit::door::sim::{Script, Tenants};

use super::soak::wander;
use super::*;

/// A tenant that is kept in a file.
struct Kept {
    client: Client,
    folder: tempfile::TempDir,
}

impl Kept {
    async fn new(settings: Settings, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut client = Client::with_seed(settings, seed).await;
        client.sim = client.sim.clone().saving_to(folder.path().join("tenant.json"));
        Self { client, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("tenant.json")
    }

    /// A request that counts as a change, whatever came before.
    async fn keep(&self) {
        let nothing = json!({});
        assert_eq!(self.client.post("http://127.0.0.1:8800/_sim/settings", nothing).await.status, 200);
    }

    fn saved(&self) -> String {
        self.client.sim.with(|tenant| tenant.save())
    }

    /// The tenant as the next run finds it.
    fn found(&self) -> String {
        found(&self.file())
    }
}

fn found(file: &Path) -> String {
    Tenant::load(&text(file)).unwrap().save()
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

#[tokio::test]
async fn a_tenant_in_process_is_saved_before_its_client_hears_of_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state/tenant.json");
    let tenant = Tenant::open(&file, Settings::calm(), 1, sim::EPOCH).unwrap();
    let mut client = Client::on(tenant).await;
    client.sim = client.sim.clone().saving_to(&file);
    client.import(json!([{"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")}])).await;
    let kept = Tenant::open(&file, Settings::calm(), 99, sim::EPOCH).unwrap();
    assert_eq!(kept.import_records()[0].serial, "TEST-1");
    client.wait(seconds(60)).await;
    client.list("v1.0").await;
    let kept = Tenant::open(&file, Settings::calm(), 99, sim::EPOCH).unwrap();
    assert_eq!(kept.registrations().len(), 1, "what happened by itself is kept as well");
    assert_eq!(kept.now(), sim::EPOCH + seconds(60));
}

#[tokio::test]
async fn time_that_is_moved_alone_is_kept() {
    let kept = Kept::new(Settings::calm(), 1).await;
    let now = || Tenant::load(&text(&kept.file())).unwrap().now();
    let ask = async |route: &str, body: Value| {
        assert_eq!(kept.client.post(&format!("http://127.0.0.1:8800/_sim/{route}"), body).await.status, 200);
    };
    ask("advance", json!({"by": "10m"})).await;
    assert_eq!(now(), sim::EPOCH + seconds(600));
    ask("clock", json!({"client": "me", "until": sim::EPOCH + seconds(900)})).await;
    assert_eq!(now(), sim::EPOCH + seconds(900));
    let bytes = kept.client.sim.bytes_written();
    ask("clock", json!({"client": "me"})).await;
    assert_eq!(kept.client.sim.bytes_written(), bytes, "who only asks for the time moves none");
}

#[tokio::test]
async fn a_file_that_holds_no_tenant_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tenant.json");
    std::fs::write(&file, "{}").unwrap();
    let error = Tenant::open(&file, Settings::calm(), 1, sim::EPOCH).unwrap_err().to_string();
    assert!(
        error.contains("does not hold a simulated tenant") && error.ends_with("delete the file to start anew"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}");
}

#[tokio::test]
async fn whatever_happens_the_next_run_finds_the_tenant_as_it_was_left() {
    let (mut changes, mut wholes) = (0, 0);
    for seed in 0..20 {
        let mut kept = Kept::new(Settings::hostile(), seed).await;
        let mut rng = fastrand::Rng::with_seed(seed);
        for step in 0..20 {
            wander(&mut kept.client, seconds(1800), &mut rng).await;
            let identity =
                json!({"importedDeviceIdentityType": "serialNumber", "importedDeviceIdentifier": format!("C-{step}")});
            let list = "/beta/deviceManagement/importedDeviceIdentities/importDeviceIdentityList";
            let list_of_one = json!({"importedDeviceIdentities": [identity]}).to_string();
            let _ = kept.client.try_send(Method::POST, list, &list_of_one).await;
            kept.client.sim.with(|tenant| disturb(tenant, &mut rng));
            kept.keep().await;
            assert!(kept.found() == kept.saved(), "seed {seed}, step {step}");
            match text(&kept.file()).lines().count() {
                1 => wholes += 1,
                _ => changes += 1,
            }
        }
    }
    assert!(wholes > 0 && changes > 200, "{wholes} times the whole state, {changes} times with changes behind it");
}

/// What others do to a tenant.
fn disturb(tenant: &mut Tenant, rng: &mut fastrand::Rng) {
    let device = hash(&format!("TEST-{}", rng.u8(0..12)));
    let one = tenant.registrations().first().map(|registration| registration.id).unwrap_or_default();
    let left = tenant.neighbours().into_iter().find(|device| !device.registered);
    let left = left.map(|device| device.registration).unwrap_or(one);
    let record = tenant.import_records().first().map(|record| record.id).unwrap_or_default();
    match rng.u8(0..19) {
        0 => tenant.add_devices(2),
        1 => _ = tenant.set_tag_as_portal(one, "BY-HAND"),
        2 => _ = tenant.remove_as_portal(one),
        3 => tenant.make_foreign(&device).unwrap(),
        4 => tenant.release_foreign(&device).unwrap(),
        5 => tenant.refuse_hardware(&device, 802, "InvalidZtdHardwareHash").unwrap(),
        6 => tenant.inject_at(sim::Mishap::Unavailable, "GET", "organization"),
        7 => tenant.set_roles("somebody", &["User.Read.All"]),
        8 => _ = tenant.enrol(one),
        9 => _ = tenant.unenrol(one),
        10 => _ = tenant.swap_board(one),
        11 => _ = tenant.import_as_other_client("theirs", "TEST-X", &device, ""),
        12 => _ = tenant.remove_record_as_portal(record),
        13 => tenant.play(&Script::read("- {at: 40m, devices: {count: 1}}").unwrap()),
        14 => _ = tenant.unenrol(left),
        15 => _ = tenant.delete_object_as_portal(left),
        16 => tenant.set_secret("somebody", "of their own"),
        17 => tenant.set_settings(Settings { list: Settings::calm().list, ..Settings::hostile() }),
        _ if rng.u8(0..4) == 0 => tenant.reset_counters(),
        _ => tenant.expire_tokens(),
    }
}

#[tokio::test]
async fn several_tenants_are_found_as_they_were_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tenants.json");
    let tenants = Tenants::from(Tenant::new(Settings::calm(), 1, sim::EPOCH));
    let tenants = tenants.and(Tenant::new(Settings::calm(), 2, sim::EPOCH));
    let sim = InProcess::new(tenants, Virtual::starting_at(sim::EPOCH)).saving_to(&file);
    let vendor = |serial: &str| json!({"serial": serial, "manufacturer": "Contoso", "model": "Model 1"}).to_string();
    for number in 0..40 {
        let id = sim.with_all(|tenants| tenants.each().nth(number % 2).unwrap().id());
        let url = format!("http://127.0.0.1:8800/_sim/vendor?tenant={id}");
        let request = http::Request::post(url).body(vendor(&format!("V-{number}")).into()).unwrap();
        assert_eq!(sim.send(request).await.unwrap().status(), 200);
        assert_eq!(Tenants::load(&text(&file)).unwrap().save(), sim.with_all(|tenants| tenants.save()));
    }
    assert!(text(&file).lines().count() > 30, "changes were appended");
    let mut tenants = Tenants::open(&file, &Settings::calm(), || panic!("they are there")).unwrap();
    assert_eq!(tenants.each().map(|tenant| tenant.registrations().len()).collect::<Vec<_>>(), [20, 20]);
}

#[tokio::test]
async fn a_death_at_any_byte_of_the_last_line_leaves_the_tenant_before_it() {
    let kept = Kept::new(Settings::busy(), 1).await;
    for serial in ["TEST-1", "TEST-2", "TEST-3"] {
        kept.client.import(json!([{"serialNumber": serial, "hardwareIdentifier": hash(serial)}])).await;
    }
    let whole = std::fs::read(kept.file()).unwrap();
    let records = |bytes: &[u8]| {
        let file = kept.folder.path().join("dead.json");
        std::fs::write(&file, bytes).unwrap();
        let tenant = Tenant::open(&file, Settings::busy(), 1, sim::EPOCH).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "who only looks writes nothing");
        tenant.import_records().len()
    };
    assert_eq!(records(&whole), 3);
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for end in last..whole.len() {
        assert_eq!(records(&whole[..end]), 2, "cut at {end}");
    }
    for rest in [&b"\xff\xfe"[..], &[0; 4096], b"[{\"now\":"] {
        assert_eq!(records(&[&whole[..last], rest].concat()), 2);
    }

    // Whoever goes on from there writes a whole file again.
    let file = kept.folder.path().join("dead.json");
    let tenant = Tenant::open(&file, Settings::busy(), 1, sim::EPOCH).unwrap();
    let mut next = Client::on(tenant).await;
    next.sim = next.sim.clone().saving_to(&file);
    next.import(json!([{"serialNumber": "TEST-4", "hardwareIdentifier": hash("TEST-4")}])).await;
    assert_eq!(found(&file), next.sim.with(|tenant| tenant.save()));
}

#[tokio::test]
async fn a_line_that_says_nothing_sensible_is_no_reason_to_guess() {
    let kept = Kept::new(Settings::calm(), 1).await;
    kept.keep().await;
    kept.keep().await;
    let file = kept.file();
    std::fs::write(&file, format!("{}{{\"not\": \"a change\"}}\n", text(&file))).unwrap();
    let error = Tenant::open(&file, Settings::calm(), 1, sim::EPOCH).unwrap_err().to_string();
    assert!(error.contains("does not hold a simulated tenant") && error.ends_with("to start anew"), "{error}");
}

/// Bytes written for each device: imports of a hundred, waits, listings, an
/// update of each device, and the records cleaned up.
async fn bytes_per_device(devices: usize) -> u64 {
    let kept = Kept::new(Settings::calm(), 1).await;
    let client = &kept.client;
    let serials: Vec<String> = (0..devices).map(|number| format!("TEST-{number}")).collect();
    let mut records = Vec::new();
    for serials in serials.chunks(100) {
        let row = |serial: &String| json!({"serialNumber": serial, "hardwareIdentifier": hash(serial)});
        records.extend(client.import(serials.iter().map(row).collect()).await);
        client.wait(seconds(30)).await;
        client.get(IMPORTS).await;
    }
    client.wait(seconds(1200)).await;
    for device in client.list("v1.0").await {
        let path = format!("{DEVICES}/{}/updateDeviceProperties", device["id"].as_str().unwrap());
        assert_eq!(client.post(&path, json!({"groupTag": "OSL-STD"})).await.status, 204);
    }
    for record in records {
        assert_eq!(client.delete(&format!("{IMPORTS}/{record}")).await.status, 204);
    }
    client.wait(seconds(600)).await;
    kept.keep().await;
    assert_eq!(kept.found(), kept.saved());
    client.sim.bytes_written() / devices as u64
}

#[tokio::test]
async fn what_is_written_grows_with_what_happens_and_not_with_the_fleet() {
    let (few, many) = (bytes_per_device(200).await, bytes_per_device(2000).await);
    assert!(many * 2 <= few * 3, "{few} bytes per device of 200, {many} per device of 2,000");
}

#[tokio::test]
async fn a_kept_tenant_holds_no_hash_and_is_for_its_owner_alone() {
    let kept = Kept::new(Settings::calm(), 1).await;
    let row = json!({"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")});
    kept.client.import(json!([row])).await;
    kept.client.registered("TEST-2").await;
    kept.keep().await;
    let text = text(&kept.file());
    assert!(text.lines().count() > 2 && text.contains("TEST-2"), "the search looks at the right text");
    for serial in ["TEST-1", "TEST-2"] {
        let hash = hash(serial);
        let informative = &hash[..hash.trim_end_matches(['A', '=']).len()];
        let windows = informative.as_bytes().windows(24).map(|window| std::str::from_utf8(window).unwrap());
        windows.for_each(|window| assert!(!text.contains(window), "a piece of a hash is in the file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(kept.file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it holds tokens");
    }
    let others: Vec<_> =
        std::fs::read_dir(kept.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(others, ["tenant.json"], "and there is nothing beside it");
}
