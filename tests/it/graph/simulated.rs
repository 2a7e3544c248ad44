//! The Graph client against the simulated tenant, calm and hostile. Only here
//! do both readings of Microsoft's shapes meet.

use std::collections::BTreeSet;
use std::sync::Arc;

use apgit::door::clock::{Clock, Virtual};
use apgit::door::graph::{Auth, Endpoints, ErrorKind, Fields, Graph, GraphError, GraphWriter, ImportRow, Login, Write};
use apgit::door::model::{HardwareHash, ImportId, ImportState, RegistrationId, SerialNumber};
use apgit::door::sim::{self, InProcess, Settings, Switch, Tenant};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::support::{TENANT, seconds};
use crate::sim::hash as hash_text;

pub(super) const APP: &str = "app";

pub(super) struct World {
    pub(super) sim: InProcess,
    pub(super) graph: GraphWriter,
    pub(super) clock: Virtual,
}

pub(super) fn world(settings: Settings, seed: u64) -> World {
    let clock = Virtual::starting_at(sim::EPOCH);
    let sim = InProcess::new(Tenant::new(settings, seed, sim::EPOCH), clock.clone());
    let transport = Arc::new(sim.clone());
    let base = "http://127.0.0.1:8800";
    let endpoints = Endpoints::custom(base, base, &[]).unwrap();
    let auth = Auth::ClientSecret { client_id: APP.to_owned(), secret: sim::CLIENT_SECRET.into() };
    let shared = Arc::new(clock.clone());
    let login = Login::new(auth, TENANT.parse().unwrap(), endpoints.clone(), transport.clone(), shared.clone());
    let graph = Graph::new(transport, shared, endpoints, Arc::new(login), seed);
    World { sim, graph: GraphWriter::new(graph), clock }
}

impl World {
    pub(super) fn with_devices(settings: Settings, seed: u64, count: usize) -> (Self, BTreeSet<RegistrationId>) {
        let world = world(settings, seed);
        world.sim.with(|tenant| tenant.add_devices(count));
        let ids = world.sim.with(|tenant| tenant.registrations());
        (world, ids.into_iter().map(|registration| RegistrationId(registration.id)).collect())
    }

    pub(super) async fn wait(&self, span_s: i64) {
        self.clock.sleep_until(self.clock.now() + seconds(span_s)).await;
    }
}

pub(super) fn serial(text: &str) -> SerialNumber {
    SerialNumber::parse(text).unwrap()
}

fn hash(serial: &str) -> HardwareHash {
    HardwareHash::from_bytes(STANDARD.decode(hash_text(serial)).unwrap())
}

fn import_id(number: u128) -> ImportId {
    ImportId(uuid::Uuid::from_u128(0x2000_0000_0000_4000_8000_0000_0000_0000 + number))
}

fn row(serial: &SerialNumber, number: u128) -> ImportRow<'_> {
    ImportRow {
        serial,
        hash: hash(serial.as_str()),
        group_tag: Some("OSL-STD"),
        user: None,
        import_id: import_id(number),
    }
}

/// Posts until the records are there: what a caller does after an outcome
/// that it cannot know.
async fn import_and_look_up(world: &World, serials: &[SerialNumber]) -> usize {
    let mut posts = 0;
    while posts < 10 {
        posts += 1;
        let rows: Vec<_> = serials.iter().zip(1..).map(|(serial, number)| row(serial, number)).collect();
        match world.graph.import(&rows).await {
            Ok(records) => {
                assert_eq!(records.len(), serials.len());
                return posts;
            }
            Err(error) => assert!(error.effect_is_unknown(), "{error}"),
        }
        let records = world.graph.list_imports().await.unwrap();
        if records.iter().any(|record| record.import_id == Some(import_id(1))) {
            return posts;
        }
    }
    panic!("ten posts without a record")
}

async fn settled(world: &World) -> Vec<(String, ImportState)> {
    for _ in 0..200 {
        let records = world.graph.list_imports().await.unwrap();
        if records.iter().all(|record| record.state != ImportState::Running) {
            return records.into_iter().map(|record| (record.serial.to_string(), record.state)).collect();
        }
        world.wait(15).await;
    }
    panic!("imports still run after {}", world.clock.now())
}

async fn road(settings: Settings, seed: u64) {
    let world = world(settings, seed);
    let serials: Vec<_> = (0..25).map(|number| serial(&format!("SERIAL{number:02}"))).collect();
    import_and_look_up(&world, &serials).await;
    let records = settled(&world).await;
    assert_eq!(records.len(), serials.len(), "seed {seed}: an import is never posted twice");
    let registered: Vec<RegistrationId> = records
        .iter()
        .filter_map(|(_, state)| match state {
            ImportState::Complete { registration_id } => Some(*registration_id),
            _ => None,
        })
        .collect();
    assert!(registered.len() >= 20, "seed {seed}: {records:?}");
    world.wait(1800).await;

    let fields = Fields { group_tag: Some("KIOSK".into()), ..Fields::default() };
    let mut waiting = registered.clone();
    for _ in 0..5 {
        let writes: Vec<_> = waiting.iter().map(|id| Write::Update { id: *id, fields: fields.clone() }).collect();
        let outcomes = world.graph.write(&writes, None).await;
        // What may have been done is not sent again before it is read back.
        let is_well =
            |outcome: &Result<(), GraphError>| outcome.as_ref().map_or_else(GraphError::effect_is_unknown, |()| true);
        assert!(outcomes.iter().all(is_well), "seed {seed}: {outcomes:?}");
        world.wait(600).await;
        let readings = world.graph.get_devices(&waiting).await;
        // The service loses an accepted update now and then, so read back.
        waiting = readings
            .into_iter()
            .filter(|(id, reading)| {
                let device = reading.as_ref().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                device.as_ref().unwrap_or_else(|| panic!("seed {seed}: `{id}` is gone")).group_tag != "KIOSK"
            })
            .map(|(id, _)| id)
            .collect();
    }
    assert!(waiting.is_empty(), "seed {seed}");

    let records = world.graph.list_imports().await.unwrap();
    let deletions: Vec<_> = records.iter().map(|record| Write::DeleteImport { record: record.id }).collect();
    assert!(world.graph.write(&deletions, None).await.iter().all(Result::is_ok), "seed {seed}");
    assert_eq!(world.graph.list_imports().await.unwrap(), [], "seed {seed}");
    let observed = world.graph.list_devices().await.unwrap();
    let listed: BTreeSet<_> = observed.devices().iter().map(|device| device.id).collect();
    assert_eq!(listed, registered.into_iter().collect(), "seed {seed}");
}

#[tokio::test]
async fn a_device_goes_the_whole_road_in_a_calm_tenant() {
    road(Settings::calm(), 1).await;
}

#[tokio::test]
async fn a_device_goes_the_whole_road_in_a_hostile_tenant() {
    for seed in 0..20 {
        road(Settings::hostile(), seed).await;
    }
}

#[tokio::test]
async fn each_fault_alone_leaves_every_listing_whole() {
    for fault in Switch::faults() {
        let mut settings = Settings::calm().switched(fault);
        settings.set("list.page_size=100").unwrap();
        let (world, ids) = World::with_devices(settings, 7, 2500);
        let observed = world.graph.list_devices().await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        let listed: BTreeSet<_> = observed.devices().iter().map(|device| device.id).collect();
        assert_eq!(listed, ids, "{fault:?}");
    }
}

#[tokio::test]
async fn a_hostile_listing_is_whole_or_an_error() {
    let mut whole = 0;
    for seed in 0..20 {
        let mut settings = Settings::hostile();
        settings.set("list.page_size=50").unwrap();
        settings.set("faults.lost_answer=10%").unwrap();
        settings.set("faults.html=10%").unwrap();
        let (world, ids) = World::with_devices(settings, seed, 2000);
        let Ok(observed) = world.graph.list_devices().await else { continue };
        let listed: BTreeSet<_> = observed.devices().iter().map(|device| device.id).collect();
        assert_eq!(listed, ids, "seed {seed}");
        whole += 1;
    }
    assert!(whole >= 18, "{whole} of 20");
}

#[tokio::test]
async fn a_hostile_service_never_makes_a_registration_look_gone() {
    for seed in 0..20 {
        let (world, ids) = World::with_devices(Settings::hostile(), seed, 200);
        let ids: Vec<_> = ids.into_iter().collect();
        for (id, reading) in world.graph.get_devices(&ids).await {
            let there = reading.as_ref().is_ok_and(Option::is_some);
            assert!(there, "seed {seed}: `{id}`: {reading:?}");
        }
        let unknown = RegistrationId(uuid::Uuid::from_u128(1));
        let (_, reading) = world.graph.get_devices(&[unknown]).await.remove(0);
        assert_eq!(reading, Ok(None), "seed {seed}");
    }
}

#[tokio::test]
async fn the_budget_keeps_a_busy_tenant_from_throttling_us() {
    let (world, ids) = World::with_devices(Settings::busy(), 3, 600);
    let writes: Vec<_> = ids.iter().map(|id| Write::UnassignUser { id: *id }).collect();
    assert!(world.graph.write(&writes, None).await.iter().all(Result::is_ok));
    let ids: Vec<_> = ids.into_iter().collect();
    assert!(world.graph.get_devices(&ids).await.iter().all(|(_, reading)| reading.is_ok()));
    for number in 0..100 {
        let serial = serial(&format!("ONE{number:03}"));
        world.graph.import(&[row(&serial, number)]).await.unwrap();
    }
    assert_eq!(world.sim.with(|tenant| tenant.counters().calls_with(429)), 0);
}

pub(super) async fn deregister(world: &World, ids: &[RegistrationId]) -> Vec<Result<(), GraphError>> {
    let writes: Vec<_> = ids.iter().map(|id| Write::Deregister { id: *id }).collect();
    world.graph.write(&writes, None).await
}

pub(super) async fn is_there(world: &World, id: RegistrationId) -> bool {
    world.graph.get_devices(&[id]).await.remove(0).1.unwrap().is_some()
}

#[tokio::test]
async fn a_deletion_is_accepted_however_often_it_is_asked_for_and_ends_later() {
    for gone in ["delete.gone_status=400", "delete.gone_status=404"] {
        let mut settings = Settings::busy();
        settings.set(gone).unwrap();
        let (world, ids) = World::with_devices(settings, 1, 1);
        let id = *ids.first().unwrap();
        for _ in 0..2 {
            assert_eq!(deregister(&world, &[id]).await, [Ok(())], "{gone}");
            assert!(is_there(&world, id).await, "{gone}: accepted is not gone");
        }
        world.wait(1800).await;
        assert!(!is_there(&world, id).await, "{gone}");
        let never = RegistrationId(uuid::Uuid::from_u128(1));
        assert_eq!(deregister(&world, &[id, never]).await, [Ok(()), Ok(())], "{gone}");
        assert_eq!(world.sim.with(|tenant| tenant.counters().deletes_accepted), 1, "{gone}");
    }
}

#[tokio::test]
async fn the_deletion_of_an_enrolled_device_is_refused_in_words_of_its_own_and_alone() {
    let (world, ids) = World::with_devices(Settings::busy(), 1, 3);
    let ids: Vec<_> = ids.into_iter().collect();
    world.sim.with(|tenant| tenant.enrol(ids[1].0).unwrap());
    let outcomes = deregister(&world, &ids).await;
    assert_eq!((&outcomes[0], &outcomes[2]), (&Ok(()), &Ok(())));
    let error = outcomes[1].as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Enrolled);
    let text = error.to_string();
    let told = "cannot delete a registration: the device is enrolled in Intune, and has to be deleted there first";
    assert!(text.starts_with(told), "{text}");
    world.wait(3600).await;
    assert!(is_there(&world, ids[1]).await);
}

#[tokio::test]
async fn a_deletion_right_after_the_import_is_asked_for_until_it_is_taken() {
    let mut settings = Settings::calm();
    settings.set("delete.settling=9s").unwrap();
    let world = world(settings, 1);
    import_and_look_up(&world, &[serial("NEW")]).await;
    let id = loop {
        match world.graph.list_imports().await.unwrap()[0].state {
            ImportState::Complete { registration_id } => break registration_id,
            _ => world.wait(1).await,
        }
    };
    assert_eq!(deregister(&world, &[id]).await, [Ok(())]);
    let deletions = world.sim.with(|tenant| tenant.request_log());
    let deletions: Vec<u16> =
        deletions.iter().filter(|entry| entry.method == "DELETE").map(|entry| entry.status).collect();
    assert_eq!(deletions, [400, 400, 200]);
    world.wait(1800).await;
    assert!(!is_there(&world, id).await);
}

#[tokio::test]
async fn a_hostile_service_deletes_each_registration_once() {
    for seed in 0..20 {
        let (world, ids) = World::with_devices(Settings::hostile(), seed, 60);
        let ids: Vec<_> = ids.into_iter().collect();
        let outcomes = deregister(&world, &ids[..50]).await;
        assert!(outcomes.iter().all(Result::is_ok), "seed {seed}: {outcomes:?}");
        world.wait(1800).await;
        for (number, id) in ids.iter().enumerate() {
            assert_eq!(is_there(&world, *id).await, number >= 50, "seed {seed}: {number}");
        }
        assert_eq!(world.sim.with(|tenant| tenant.counters().deletes_accepted), 50, "seed {seed}");
    }
}

#[tokio::test]
async fn a_second_sync_is_a_conflict_or_too_early() {
    let world = world(Settings::busy(), 1);
    let kind = |result: Result<(), GraphError>| result.unwrap_err().kind;
    world.graph.sync().await.unwrap();
    assert_eq!(kind(world.graph.sync().await), ErrorKind::Conflict);
    assert!(world.graph.sync_state().await.unwrap().running);
    world.wait(120).await;
    assert_eq!(kind(world.graph.sync().await), ErrorKind::Throttled);
    let state = world.graph.sync_state().await.unwrap();
    assert!(!state.running && state.last_sync.is_some() && state.last_manual_trigger == Some(sim::EPOCH), "{state:?}");
    world.wait(600).await;
    world.graph.sync().await.unwrap();
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let (world, ids) = World::with_devices(Settings::calm(), 1, 1);
    world.sim.with(|tenant| tenant.set_roles(APP, &["DeviceManagementServiceConfig.Read.All"]));
    assert!(world.graph.list_devices().await.is_ok());
    let id = *ids.first().unwrap();
    let error = world.graph.write(&[Write::UnassignUser { id }], None).await.remove(0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Permission);
    assert!(error.to_string().contains("grant the app `DeviceManagementServiceConfig.ReadWrite.All`"), "{error}");

    world.sim.with(|tenant| tenant.set_roles(APP, &[]));
    let error = world.graph.list_devices().await.unwrap_err();
    assert!(error.to_string().contains("grant the app `DeviceManagementServiceConfig.Read.All`"), "{error}");
    assert_eq!(world.graph.organization().await, Ok(None));
    assert_eq!(world.graph.users_exist(&["anna.keller@contoso.com".to_owned()]).await, Ok(vec![None]));
}

#[tokio::test]
async fn a_token_that_the_service_drops_is_replaced() {
    let (world, _) = World::with_devices(Settings::calm(), 1, 1);
    world.graph.list_devices().await.unwrap();
    world.sim.with(Tenant::expire_tokens);
    world.graph.list_devices().await.unwrap();
    assert_eq!(world.sim.with(|tenant| tenant.counters().token_requests), 2);
}

#[tokio::test]
async fn a_refused_row_refuses_the_import_without_repeating_it() {
    let world = world(Settings::calm(), 1);
    let (good, bad) = (serial("GOOD"), serial("BAD"));
    let bad = ImportRow { hash: HardwareHash::from_bytes(Vec::new()), ..row(&bad, 2) };
    // An empty hash is readable text, so the service judges it later.
    assert_eq!(world.graph.import(&[row(&good, 1), bad]).await.unwrap().len(), 2);
    let records = settled(&world).await;
    let failed: Vec<_> = records.iter().filter(|(_, state)| matches!(state, ImportState::Error { .. })).collect();
    assert!(matches!(&failed[..], [(serial, _)] if serial == "BAD"), "{records:?}");
}
