//! What stands beside a registration, read and deleted: the Graph client
//! against the simulated tenant.

use std::sync::Arc;

use apgit::door::clock::{Clock, Remote};
use apgit::door::graph::{
    Auth, DirectoryDevice, Endpoints, ErrorKind, Graph, GraphError, GraphWriter, Http, Login, ManagedDevice, Write,
};
use apgit::door::model::{DirectoryDeviceId, ManagedDeviceId, RegistrationId};
use apgit::door::sim::{self, NeighbourView, Server, Settings, Speed, Tenant};

use super::simulated::{APP, World, deregister, is_there, serial};
use super::support::{TENANT, answering, fixture, ok, seconds};

/// A device that works, and others.
fn working(settings: Settings, seed: u64) -> (World, RegistrationId) {
    let (world, ids) = World::with_devices(settings, seed, 30);
    for id in &ids {
        world.sim.with(|tenant| tenant.enrol(id.0).unwrap());
    }
    let id = *ids.first().unwrap();
    (world, id)
}

fn neighbour(world: &World, id: RegistrationId) -> NeighbourView {
    let all = world.sim.with(|tenant| tenant.neighbours());
    all.into_iter().find(|neighbour| neighbour.registration == id.0).expect("it is there")
}

async fn managed(graph: &Graph, id: RegistrationId) -> Option<ManagedDevice> {
    let device = graph.get_devices(&[id]).await.remove(0).1.unwrap()?;
    graph.managed_device(ManagedDeviceId(device.managed_device_id?)).await.unwrap()
}

async fn object(graph: &Graph, id: RegistrationId) -> Option<DirectoryDevice> {
    graph.directory_devices_of(id).await.unwrap().pop()
}

#[tokio::test]
async fn a_device_is_found_in_intune_and_in_entra_by_either_name() {
    let (world, id) = working(Settings::calm(), 1);
    let expected = neighbour(&world, id);
    let device = managed(&world.graph, id).await.unwrap();
    assert_eq!(Some(device.id.0), expected.managed_device_id);
    assert_eq!(
        (device.serial.as_str(), device.directory_device),
        (&*expected.serial, Some(DirectoryDeviceId(expected.device_id)))
    );
    for text in [expected.serial.to_lowercase(), format!(" {} ", expected.serial)] {
        assert_eq!(
            world.graph.managed_devices_of(&serial(&text)).await.unwrap(),
            std::slice::from_ref(&device),
            "{text}"
        );
    }
    let object = object(&world.graph, id).await.unwrap();
    assert_eq!((object.id, object.registration, object.is_synced), (device.directory_device, Some(id), false));
    let found = world.graph.directory_device(DirectoryDeviceId(expected.device_id)).await.unwrap();
    assert_eq!(found, Some(object));
}

#[tokio::test]
async fn a_serial_of_any_letters_is_looked_up_as_it_is() {
    for text in ["O'Brien + Sons 50%", "a&b=c#d?e", "it's 'quoted'", "4PC-9 (2)"] {
        let world = World::with_devices(Settings::calm(), 1, 3).0;
        world.sim.with(|tenant| {
            let id = tenant.add_device(text, "Contoso", "Tower 5", "");
            tenant.enrol(id).unwrap();
        });
        let found = world.graph.managed_devices_of(&serial(text)).await.unwrap();
        assert_eq!(found.iter().map(|device| device.serial.as_str()).collect::<Vec<_>>(), [text]);
    }
}

#[tokio::test]
async fn what_is_not_there_is_none_and_deleting_it_is_a_success() {
    let (world, _) = working(Settings::calm(), 1);
    let nil = uuid::Uuid::from_u128(1);
    assert_eq!(world.graph.managed_device(ManagedDeviceId(nil)).await, Ok(None));
    assert_eq!(world.graph.managed_devices_of(&serial("NOBODY")).await, Ok(Vec::new()));
    assert_eq!(world.graph.directory_device(DirectoryDeviceId(nil)).await, Ok(None));
    assert_eq!(world.graph.directory_devices_of(RegistrationId(nil)).await, Ok(Vec::new()));
    assert_eq!(world.graph.delete_managed_device(ManagedDeviceId(nil)).await, Ok(()));
    assert_eq!(world.graph.delete_directory_device(apgit::door::model::DirectoryObjectId(nil)).await, Ok(()));
}

#[tokio::test]
async fn a_page_of_a_gateway_does_not_make_a_device_look_gone() {
    let (graph, _, _) = answering(vec![fixture("error-html").answer()]);
    let nil = uuid::Uuid::from_u128(1);
    assert_eq!(graph.managed_device(ManagedDeviceId(nil)).await.unwrap_err().kind, ErrorKind::Protocol);
    assert_eq!(graph.delete_managed_device(ManagedDeviceId(nil)).await.unwrap_err().kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn another_device_does_not_pass_for_the_one_that_was_asked_for() {
    let nil = uuid::Uuid::from_u128(1);
    let other = serde_json::json!({"id": uuid::Uuid::from_u128(2), "serialNumber": "S2", "physicalIds": ["[ZTDID]:x"]});
    let (graph, _, _) = answering(vec![ok(&other)]);
    assert_eq!(graph.managed_device(ManagedDeviceId(nil)).await.unwrap_err().kind, ErrorKind::Protocol);
    assert_eq!(graph.directory_device(DirectoryDeviceId(nil)).await.unwrap_err().kind, ErrorKind::Protocol);
    let (graph, _, _) = answering(vec![ok(&serde_json::json!({"value": [other]}))]);
    assert_eq!(graph.managed_devices_of(&serial("S1")).await, Ok(Vec::new()), "a filter that is not honoured");
    assert_eq!(graph.directory_devices_of(RegistrationId(nil)).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_missing_permission_of_a_neighbour_names_the_scope() {
    let (world, id) = working(Settings::calm(), 1);
    let device = managed(&world.graph, id).await.unwrap();
    let object = object(&world.graph, id).await.unwrap();
    let names = |error: GraphError, scope: &str| {
        assert_eq!(error.kind, ErrorKind::Permission);
        assert_eq!(error.scope, scope);
        assert!(error.to_string().contains(&format!("grant the app `{scope}`")), "{error}");
    };
    let roles = |roles: &[&str]| world.sim.with(|tenant| tenant.set_roles(APP, roles));
    roles(&["DeviceManagementManagedDevices.Read.All", "Device.Read.All"]);
    assert_eq!(world.graph.managed_device(device.id).await, Ok(Some(device.clone())));
    assert_eq!(world.graph.directory_device(object.id.unwrap()).await, Ok(Some(object.clone())));
    let scope = "DeviceManagementManagedDevices.ReadWrite.All";
    names(world.graph.delete_managed_device(device.id).await.unwrap_err(), scope);
    names(world.graph.delete_directory_device(object.object).await.unwrap_err(), "Device.ReadWrite.All");
    roles(&[]);
    let scope = "DeviceManagementManagedDevices.Read.All";
    names(world.graph.managed_device(device.id).await.unwrap_err(), scope);
    names(world.graph.managed_devices_of(&serial(&device.serial)).await.unwrap_err(), scope);
    names(world.graph.directory_device(object.id.unwrap()).await.unwrap_err(), "Device.Read.All");
    names(world.graph.directory_devices_of(id).await.unwrap_err(), "Device.Read.All");
}

/// The documented order; at each step, only a reading proves that it is done.
async fn decommission(graph: &GraphWriter, clock: &dyn Clock, id: RegistrationId) {
    let wait = async || clock.sleep_until(clock.now() + seconds(60)).await;
    let device = managed(graph, id).await.expect("it is enrolled");
    let object = object(graph, id).await.expect("it has joined");
    graph.delete_managed_device(device.id).await.unwrap();
    while graph.managed_device(device.id).await.unwrap().is_some() {
        wait().await;
    }
    // Refused as enrolled as long as the registration still shows the link.
    loop {
        match graph.write(&[Write::Deregister { id }], None).await.remove(0) {
            Ok(()) => break,
            Err(error) => assert_eq!(error.kind, ErrorKind::Enrolled),
        }
        wait().await;
    }
    while graph.get_devices(&[id]).await.remove(0).1.unwrap().is_some() {
        wait().await;
    }
    graph.delete_directory_device(object.object).await.unwrap();
    assert_eq!(graph.directory_device(object.id.unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn a_device_is_decommissioned_in_the_documented_order_whatever_goes_wrong() {
    for (settings, seeds) in [(Settings::busy(), 3), (Settings::hostile(), 20)] {
        for seed in 0..seeds {
            let (world, id) = working(settings.clone(), seed);
            decommission(&world.graph, &world.clock, id).await;
            let left = world.sim.with(|tenant| tenant.neighbours());
            assert_eq!(left.len(), 29, "seed {seed}: nothing else goes");
            assert!(left.iter().all(|other| other.registration != id.0 && other.in_entra && !other.leaving));
        }
    }
}

#[tokio::test]
async fn a_device_is_decommissioned_over_a_real_connection() {
    let mut tenant = Tenant::new(Settings::busy(), 1, sim::EPOCH);
    let id = tenant.add_device("TEST-1", "Contoso", "Tower 5", "");
    tenant.enrol(id).unwrap();
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), tenant, Speed::Instant).await.unwrap();
    let (url, shared) = (server.url(), server.tenant());
    let serving = tokio::spawn(server.run(std::future::pending()));
    let transport = Arc::new(Http::new(&[]));
    let clock = Arc::new(Remote::connect(transport.clone(), &url).await.unwrap());
    let endpoints = Endpoints::custom(&url, &url, &[]).unwrap();
    let auth = Auth::ClientSecret { client_id: APP.to_owned(), secret: sim::CLIENT_SECRET.into() };
    let login = Login::new(auth, TENANT.parse().unwrap(), endpoints.clone(), transport.clone(), clock.clone());
    let graph = GraphWriter::new(Graph::new(transport, clock.clone(), endpoints, Arc::new(login), 1));
    decommission(&graph, clock.as_ref(), RegistrationId(id)).await;
    assert_eq!(shared.with(|tenant| tenant.neighbours()), []);
    serving.abort();
}

#[tokio::test]
async fn a_registration_that_never_enrolled_takes_its_device_in_entra_with_it() {
    let (world, ids) = World::with_devices(Settings::busy(), 1, 1);
    let id = *ids.first().unwrap();
    let object = object(&world.graph, id).await.unwrap();
    assert_eq!(managed(&world.graph, id).await, None);
    assert_eq!(deregister(&world, &[id]).await, [Ok(())]);
    world.wait(1800).await;
    assert!(!is_there(&world, id).await);
    assert_eq!(world.graph.directory_device(object.id.unwrap()).await, Ok(None));
}

#[tokio::test]
async fn the_budget_keeps_intune_from_throttling_us() {
    let (world, ids) = World::with_devices(Settings::busy(), 3, 500);
    for id in &ids {
        world.sim.with(|tenant| tenant.enrol(id.0).unwrap());
    }
    for device in world.sim.with(|tenant| tenant.neighbours()) {
        world.graph.delete_managed_device(ManagedDeviceId(device.managed_device_id.unwrap())).await.unwrap();
    }
    assert_eq!(world.sim.with(|tenant| tenant.counters().calls_with(429)), 0);
    let took = world.clock.now().duration_since(sim::EPOCH).as_secs();
    assert!((60..=80).contains(&took), "{took} s");
}
