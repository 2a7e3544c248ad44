//! What the simulated tenant costs: a hundred thousand registrations in
//! memory, and a page of a thousand of them.

use std::time::Duration;

use apgit::sim::{self, Reply, Settings, Tenant};
use bytes::Bytes;
use cpu_time::ProcessTime;

use super::peak_kib;

/// The name of this case for the process that runs it.
pub const CASE: &str = "simulator";

const DEVICES: usize = 100_000;
const MIB_MAX: u64 = 400;
const PAGE_MAX: Duration = Duration::from_millis(20);

/// Lists the whole tenant once in each version; the slowest page counts.
pub fn pages() -> String {
    let mut tenant = Tenant::new(Settings::calm(), 1, sim::EPOCH);
    tenant.add_devices(DEVICES);
    let held_mib = peak_kib() / 1024;
    let token = token(&mut tenant);
    let (mut slowest, mut total, mut pages, mut devices) = (Duration::ZERO, Duration::ZERO, 0, 0);
    for version in ["v1.0", "beta"] {
        let mut next =
            Some(format!("https://graph.microsoft.com/{version}/deviceManagement/windowsAutopilotDeviceIdentities"));
        while let Some(url) = next {
            let request = http::Request::get(url).header("authorization", format!("Bearer {token}")).body(Bytes::new());
            let request = request.expect("a request of known parts");
            let start = ProcessTime::now();
            let body = answer(&mut tenant, &request);
            let cost = start.elapsed();
            (slowest, total, pages) = (slowest.max(cost), total + cost, pages + 1);
            let page: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            devices += page["value"].as_array().map_or(0, Vec::len);
            next = page["@odata.nextLink"].as_str().map(str::to_owned);
        }
    }
    assert_eq!(devices, 2 * DEVICES, "every registration was listed");
    let verdict = |met: bool| if met { "met" } else { "MISSED" };
    format!(
        "the simulated tenant with 100,000 registrations\n\
         \x20 memory   {held_mib} MiB   goal {MIB_MAX} MiB {}\n\
         \x20 a page of 1,000   slowest {slowest:.2?}, mean {:.2?} own CPU   goal {PAGE_MAX:.0?} {}\n",
        verdict(held_mib < MIB_MAX),
        total / pages,
        verdict(slowest < PAGE_MAX),
    )
}

fn token(tenant: &mut Tenant) -> String {
    let form = format!(
        "grant_type=client_credentials&client_id=bench&client_secret={}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
        sim::CLIENT_SECRET
    );
    let request = http::Request::post("https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token");
    let body = answer(tenant, &request.body(Bytes::from(form)).expect("a request of known parts"));
    let token: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    token["access_token"].as_str().expect("a token").to_owned()
}

fn answer(tenant: &mut Tenant, request: &http::Request<Bytes>) -> Bytes {
    match tenant.handle(request, sim::EPOCH) {
        Reply::Response(response) => response.into_body(),
        Reply::Lost => unreachable!("a calm tenant loses nothing"),
    }
}
