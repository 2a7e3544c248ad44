//! Every named profile and every switch of the simulated tenant: whatever it
//! is like, declared devices get there, and a run after that writes nothing.
//! In process, over HTTP, and over TLS through a proxy at Microsoft's hosts.
//! A hundred seeds in process, three over a network; `make soak` takes more.

use std::sync::Arc;

use apgit::door::clock::{self, Remote, SharedClock};
use apgit::door::graph::{Graph, Http};
use apgit::door::round::{Report, RoundError};
use apgit::door::sim::{self, Certificates, InProcess, Settings, Switch, Tenant};
use apgit::door::transport::{Request, Response, SharedTransport, Transport, TransportError};
use jiff::SignedDuration;

use super::world::{Declared, Repository, Served, assert_nothing_twice, graph};

/// Runs after which a tenant must have what was declared, the last of them
/// without a write. One would do on most.
const RUNS_MAX: usize = 8;

fn soak_seeds() -> Option<u64> {
    std::env::var("SOAK_SEEDS").ok().and_then(|text| text.parse().ok())
}

fn seeds() -> u64 {
    soak_seeds().unwrap_or(100)
}

/// A run over a network takes real time for each request.
fn seeds_over_network() -> u64 {
    soak_seeds().map_or(3, |seeds| seeds.div_ceil(10))
}

/// The profiles, and each switch on a busy tenant; faults are met one by one
/// in `hostile.rs`.
fn characters() -> Vec<(String, Settings)> {
    let profiles = ["calm", "busy", "hostile"].map(|name| (name.to_owned(), Settings::named(name).unwrap()));
    let switches = Switch::ALL.iter().filter(|switch| !switch.is_fault());
    let switches = switches.map(|s| (format!("busy, {}", s.name()), Settings::busy().switched(*s)));
    profiles.into_iter().chain(switches).collect()
}

/// New devices, one with all fields, and one that somebody else tagged.
fn fleet() -> Vec<Declared> {
    let device = |number| Declared::new(number).with("groupTag", "OSL-STD");
    let named = device(3).with("userPrincipalName", "anna.keller@contoso.com").with("displayName", "OSL-0003");
    vec![device(1), device(2), named, device(4)]
}

fn furnish(tenant: &mut Tenant) {
    tenant.add_devices(3);
    tenant.add_device_of_hash(&fleet()[3].hash(), "SOMETHING-ELSE").expect("a new device");
}

/// A tenant and the way to it.
enum Place {
    InProcess(InProcess),
    Served { tenant: Served, transport: SharedTransport, url: String },
}

impl Place {
    fn in_process(settings: Settings, seed: u64) -> Self {
        let tenant = Tenant::new(settings, seed, sim::EPOCH);
        Self::InProcess(InProcess::new(tenant, clock::Virtual::starting_at(sim::EPOCH)))
    }

    fn over_http(settings: Settings, seed: u64) -> Self {
        let tenant = Served::start(settings, seed);
        let url = tenant.url.clone();
        Self::Served { tenant, transport: Arc::new(Http::new(&[])), url }
    }

    fn over_tls(settings: Settings, seed: u64, certificates: &Certificates) -> Self {
        let own = certificates.clone();
        let tenant = Served::start_by(settings, seed, |server| server.with_tls(own).as_proxy());
        let transport = Arc::new(ThroughProxy::new(&tenant.url, certificates));
        Self::Served { tenant, transport, url: "https://graph.microsoft.com".to_owned() }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Tenant) -> T) -> T {
        match self {
            Self::InProcess(sim) => sim.with(look),
            Self::Served { tenant, .. } => tenant.tenant.with(look),
        }
    }

    /// The client and the clock of one run.
    async fn client(&self, seed: u64) -> (Graph, SharedClock) {
        let (url, transport, clock): (&str, SharedTransport, SharedClock) = match self {
            Self::InProcess(sim) => ("http://127.0.0.1:8800", Arc::new(sim.clone()), Arc::new(sim.clock())),
            Self::Served { tenant, transport, url } => {
                let clock = Remote::connect(Arc::new(Http::new(&[])), &tenant.url).await;
                (url, transport.clone(), Arc::new(clock.expect("the tenant has a clock")))
            }
        };
        (graph(url, transport, clock.clone(), seed), clock)
    }
}

/// A client that trusts the tenant's authority and asks its proxy for
/// Microsoft's hosts.
struct ThroughProxy(reqwest::Client);

impl ThroughProxy {
    fn new(proxy: &str, certificates: &Certificates) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = reqwest::Certificate::from_pem(certificates.authority_pem().as_bytes()).expect("a PEM");
        let client = reqwest::Client::builder().tls_certs_only([authority]);
        let client =
            client.proxy(reqwest::Proxy::all(proxy).expect("a URL")).redirect(reqwest::redirect::Policy::none());
        Self(client.build().expect("a client"))
    }
}

#[async_trait::async_trait]
impl Transport for ThroughProxy {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let lost = |error: reqwest::Error| TransportError::Lost {
            host: "graph.microsoft.com".to_owned(),
            reason: error.to_string(),
        };
        let mut response = self.0.execute(request.try_into().map_err(lost)?).await.map_err(lost)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut answer = Response::new(response.bytes().await.map_err(lost)?);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

async fn run(place: &Place, repository: &Repository, seed: u64) -> Result<Report, RoundError> {
    let (graph, clock) = place.client(seed).await;
    repository.try_apply(&graph, clock, repository.store(), &mut |_| {}).await
}

/// Requests of this tenant that were not for reading, but for tokens and for
/// envelopes, whose parts are counted by themselves.
fn writes(tenant: &Tenant) -> Vec<(String, u64)> {
    let calls = tenant.counters().calls.iter();
    let only_asks = |call: &str| call.starts_with("GET ") || call.contains("token") || call.contains("$batch");
    calls.filter(|(call, _)| !only_asks(call)).map(|(call, times)| (call.clone(), *times)).collect()
}

async fn converges(place: Place, name: &str, seed: u64) {
    let about = format!("{name}, seed {seed}");
    place.with(furnish);
    let repository = Repository::new(None, &fleet());
    let mut left = RUNS_MAX;
    loop {
        assert!(left > 0, "{about}: {RUNS_MAX} runs were not enough");
        left -= 1;
        let before = place.with(|tenant| writes(tenant));
        let report = run(&place, &repository, seed * 100 + left as u64).await;
        let quiet = report.is_ok_and(|report| {
            let plan = report.prepared.cleared.plan();
            !plan.writes() && plan.held.is_empty() && plan.awaiting.is_empty() && report.halt.is_none()
        });
        if quiet {
            assert_eq!(place.with(|tenant| writes(tenant)), before, "{about}: a quiet run wrote");
            assert!(!before.is_empty(), "{about}: the runs before it wrote something");
            break;
        }
        // Whoever sees that something is left comes back later.
        let (_, clock) = place.client(0).await;
        clock.sleep_until(clock.now() + SignedDuration::from_mins(10)).await;
    }
    place.with(|tenant| {
        assert_nothing_twice(tenant);
        for device in fleet() {
            let seen = tenant.registrations_of(device.serial());
            assert_eq!(seen.len(), 1, "{about}: {}", device.serial());
            assert_eq!(seen[0].group_tag, "OSL-STD", "{about}: {}", device.serial());
        }
        let named = &tenant.registrations_of("TEST-000003")[0];
        assert_eq!([&*named.user, &*named.display_name], ["anna.keller@contoso.com", "OSL-0003"], "{about}");
        assert_eq!(tenant.registrations().len(), 7, "{about}: three were there before and are left alone");
        assert_eq!(tenant.import_records(), [], "{about}: own import records are gone");
        tenant.reset_counters();
    });
    let after = run(&place, &repository, seed + 7).await;
    assert!(after.is_err() || after.is_ok_and(|report| report.outcomes.of.is_empty()), "{about}");
    assert_eq!(place.with(|tenant| writes(tenant)), [], "{about}: a write after convergence");
}

/// Runs every character with every seed, on both cores of a small machine.
fn for_each(seeds: u64, place: impl Fn(Settings, u64) -> Place + Sync) {
    let characters = characters();
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (characters, place) = (&characters, &place);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                for (name, settings) in characters.iter().skip(half).step_by(2) {
                    for seed in 1..=seeds {
                        runtime.block_on(async { converges(place(settings.clone(), seed), name, seed).await });
                    }
                }
            });
        }
    });
}

#[test]
fn every_profile_and_switch_converges_in_process() {
    for_each(seeds(), Place::in_process);
}

#[test]
fn every_profile_and_switch_converges_over_http() {
    for_each(seeds_over_network(), Place::over_http);
}

#[test]
fn every_profile_and_switch_converges_over_tls_at_microsofts_hosts() {
    let certificates = Certificates::generate().expect("this machine has randomness");
    for_each(seeds_over_network(), |settings, seed| Place::over_tls(settings, seed, &certificates));
}
