//! What the simulated tenant costs: a hundred thousand registrations in
//! memory, and a page of a thousand of them.
//!
//! Pages are asked for over HTTP, and what counts is the CPU time of the
//! thread that serves them: reading the request, finding and writing the
//! page, compressing it and sending it. The whole list is walked several
//! times. A page's cost is the median of its walks, so that a page which is
//! dear by itself shows, and a neighbour on the machine does not.

use std::time::Duration;

use apgit::door::sim::{self, Server, Settings, Speed, Tenant};
use cpu_time::ThreadTime;
use tokio::runtime::{Builder, Handle};

use super::{peak_kib, verdict};

/// The name of this case for the process that runs it.
pub const CASE: &str = "simulator";

const DEVICES: usize = 100_000;
const WALKS: usize = 5;
const MIB_MAX: u64 = 400;
const PAGE_MAX: Duration = Duration::from_millis(20);

/// Walks the whole list in each version, plain and compressed.
pub fn pages() -> String {
    let mut tenant = Tenant::new(Settings::calm(), 1, sim::EPOCH);
    tenant.add_devices(DEVICES);
    let held_mib = peak_kib() / 1024;
    let tenant = Served::start(tenant);
    let mut report = format!(
        "the simulated tenant with 100,000 registrations\n\
         \x20 memory   {held_mib} MiB   goal {MIB_MAX} MiB {}\n\
         \x20 a page of 1,000 over HTTP, own CPU, each the median of {WALKS} walks   goal {PAGE_MAX:.0?}\n",
        verdict(held_mib < MIB_MAX),
    );
    let client = Builder::new_current_thread().enable_all().build().expect("a runtime");
    for version in ["v1.0", "beta"] {
        for encoding in ["identity", "gzip"] {
            let costs = client.block_on(tenant.costs(version, encoding));
            let (slowest, total) = (costs.iter().max().expect("there are pages"), costs.iter().sum::<Duration>());
            let mean = total / u32::try_from(costs.len()).expect("a hundred pages");
            report += &format!(
                "\x20 {:<15} slowest {slowest:.2?}, mean {mean:.2?} {}\n",
                format!("{version} {encoding}"),
                verdict(*slowest < PAGE_MAX)
            );
        }
    }
    report
}

/// A tenant on a port, served by a thread of its own.
struct Served {
    url: String,
    thread: Handle,
    http: reqwest::Client,
}

impl Served {
    fn start(tenant: Tenant) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let thread = runtime.handle().clone();
        let address = "127.0.0.1:0".parse().expect("an address");
        let server = runtime.block_on(Server::bind(address, tenant, Speed::Instant)).expect("a free port");
        let url = server.url();
        // It ends with this process.
        std::thread::spawn(move || runtime.block_on(server.run(std::future::pending())));
        // An error means that there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_gzip().no_proxy().build().expect("a client");
        Self { url, thread, http }
    }

    /// What each page costs, in the order of the list.
    async fn costs(&self, version: &str, encoding: &str) -> Vec<Duration> {
        let token = self.token().await;
        let mut walks: Vec<Vec<Duration>> = Vec::new();
        for _ in 0..WALKS {
            let (costs, devices) = self.walk(version, encoding, &token).await;
            assert_eq!(devices, DEVICES, "every registration was listed");
            walks.push(costs);
        }
        let page = |number: usize| {
            let mut costs: Vec<Duration> = walks.iter().map(|walk| walk[number]).collect();
            costs.sort();
            costs[WALKS / 2]
        };
        (0..walks[0].len()).map(page).collect()
    }

    async fn walk(&self, version: &str, encoding: &str, token: &str) -> (Vec<Duration>, usize) {
        let (mut costs, mut devices) = (Vec::new(), 0);
        let mut next = Some(format!("{}/{version}/deviceManagement/windowsAutopilotDeviceIdentities", self.url));
        while let Some(url) = next {
            let request = self.http.get(url).bearer_auth(token).header("accept-encoding", encoding);
            let before = self.spent().await;
            let response = request.send().await.expect("an answer").error_for_status().expect("a good one");
            let is_gzip = response.headers().get("content-encoding").is_some_and(|value| value == "gzip");
            let body = response.bytes().await.expect("a whole answer");
            costs.push(self.spent().await - before);
            assert_eq!(is_gzip, encoding == "gzip");
            let page: serde_json::Value = match is_gzip {
                true => serde_json::from_reader(flate2::read::GzDecoder::new(body.as_ref())).expect("JSON"),
                false => serde_json::from_slice(&body).expect("JSON"),
            };
            devices += page["value"].as_array().map_or(0, Vec::len);
            next = page["@odata.nextLink"].as_str().map(str::to_owned);
        }
        (costs, devices)
    }

    /// The CPU time that the serving thread has used, as it says itself.
    async fn spent(&self) -> Duration {
        self.thread.spawn(async { ThreadTime::now().as_duration() }).await.expect("the thread serves")
    }

    async fn token(&self) -> String {
        let url = format!("{}/contoso.com/oauth2/v2.0/token", self.url);
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "bench"),
            ("client_secret", sim::CLIENT_SECRET),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        let answer = self.http.post(url).form(&form).send().await.expect("an answer");
        let token: serde_json::Value = answer.json().await.expect("JSON");
        token["access_token"].as_str().expect("a token").to_owned()
    }
}
