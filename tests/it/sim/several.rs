//! Several tenants that know each other's hardware, and what others do to a
//! tenant by request and by script.

use apgit::door::sim::{Script, Server, Speed, Tenants};

use super::over_http::{Http, Running, request};
use super::*;

fn named(domain: &str, seed: u64) -> Tenant {
    let mut settings = Settings::calm();
    settings.set(&format!("directory.domains={domain}")).unwrap();
    Tenant::new(settings, seed, sim::EPOCH)
}

/// Two tenants in one process, and a client of each.
async fn neighbours() -> [Client; 2] {
    let tenants = Tenants::from(named("contoso.com", 1)).and(named("fabrikam.com", 2));
    let clock = Virtual::starting_at(sim::EPOCH);
    let sim = InProcess::new(tenants, clock.clone());
    let mut clients = Vec::new();
    for domain in ["contoso.com", "fabrikam.com"] {
        let mut client = Client {
            sim: sim.clone(),
            clock: clock.clone(),
            token: String::new(),
            host: "https://graph.microsoft.com",
        };
        let got = client.token_request(domain, &[]).await;
        got.json["access_token"].as_str().expect("a token").clone_into(&mut client.token);
        clients.push(client);
    }
    let Ok(clients) = clients.try_into() else { panic!("two clients") };
    clients
}

#[tokio::test]
async fn hardware_that_one_tenant_has_registered_is_foreign_to_the_other() {
    let [contoso, fabrikam] = neighbours().await;
    let rows = json!([{"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")}]);
    let first = contoso.import(rows.clone()).await;
    let second = fabrikam.import(rows.clone()).await;
    contoso.wait(seconds(120)).await;
    let mut outcomes = vec![contoso.outcome(&first[0]).await, fabrikam.outcome(&second[0]).await];
    outcomes.sort();
    assert_eq!(outcomes, ["808 ZtdDeviceAssignedToOtherTenant", "complete"], "whose row ended first has it");
    let [winner, loser] =
        if contoso.outcome(&first[0]).await == "complete" { [&contoso, &fabrikam] } else { [&fabrikam, &contoso] };
    assert_eq!((winner.list("v1.0").await.len(), loser.list("v1.0").await.len()), (1, 0));

    let id = winner.list("v1.0").await[0]["id"].as_str().unwrap().to_owned();
    winner.delete(&format!("{DEVICES}/{id}")).await;
    winner.wait(seconds(120)).await;
    let again = loser.import(rows).await;
    loser.wait(seconds(120)).await;
    assert_eq!(loser.outcome(&again[0]).await, "complete", "once the other has let it go");
}

#[tokio::test]
async fn a_token_leads_to_the_tenant_that_gave_it_and_unknown_names_are_refused() {
    let [contoso, fabrikam] = neighbours().await;
    let domain = async |client: &Client| {
        let got = client.get("/v1.0/organization").await;
        got.json["value"][0]["verifiedDomains"][0]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!((&*domain(&contoso).await, &*domain(&fabrikam).await), ("contoso.com", "fabrikam.com"));
    let id = fabrikam.sim.with_all(|tenants| tenants.named("fabrikam.com").unwrap().id());
    assert_eq!(fabrikam.token_request(&id.to_string(), &[]).await.status, 200);
    let unknown = contoso.token_request("northwind.com", &[]).await;
    assert_eq!((unknown.status, &unknown.json["error_codes"]), (400, &json!([90002])));
    let tenants = contoso.get("http://127.0.0.1:8800/_sim/tenants").await.json;
    assert_eq!(tenants[1]["names"], json!([id, "fabrikam.com"]));
    let other = contoso.get("http://127.0.0.1:8800/_sim/settings?tenant=fabrikam.com").await.json;
    assert_eq!(other["directory"]["domains"], json!(["fabrikam.com"]));
}

#[tokio::test]
async fn several_tenants_are_saved_and_go_on_together() {
    let [contoso, fabrikam] = neighbours().await;
    contoso.registered("TEST-1").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tenants.json");
    contoso.sim.with_all(|tenants| tenants.save_to(&file)).unwrap();
    let tenants = Tenants::open(&file, &Settings::busy(), || panic!("the file is there")).unwrap();
    let sim = InProcess::new(tenants, Virtual::starting_at(sim::EPOCH));
    let fabrikam = Client { clock: sim.clock(), sim, token: fabrikam.token, host: fabrikam.host };
    let record = fabrikam.import(json!([{"serialNumber": "X", "hardwareIdentifier": hash("TEST-1")}])).await;
    fabrikam.wait(seconds(1200)).await;
    assert_eq!(fabrikam.outcome(&record[0]).await, "808 ZtdDeviceAssignedToOtherTenant");
    assert_eq!(fabrikam.sim.with(|tenant| tenant.settings().directory.domains.clone()), ["contoso.com"]);
}

#[tokio::test]
async fn a_state_is_dumped_and_loaded_by_request() {
    let client = Client::calm().await;
    client.registered("TEST-1").await;
    let state = client.get("http://127.0.0.1:8800/_sim/state").await;
    assert_eq!(state.status, 200);
    let other = Client::with_seed(Settings::calm(), 9).await;
    let loaded = other.post("http://127.0.0.1:8800/_sim/state", state.json).await;
    assert_eq!(loaded.status, 200, "{}", loaded.json);
    assert_eq!(other.clock.now(), client.clock.now(), "the clock goes on to the state's time");
    let other = Client { token: client.token.clone(), ..other };
    assert_eq!(other.list("v1.0").await, client.list("v1.0").await);
    assert_eq!(other.post("http://127.0.0.1:8800/_sim/state", json!({"tenants": []})).await.status, 400);
    assert_eq!(other.list("v1.0").await.len(), 1, "what cannot be loaded changes nothing");
}

#[tokio::test]
async fn a_state_that_is_loaded_brings_its_time_with_it() {
    let client = Client::calm().await;
    let record = client.import(json!([{"serialNumber": "TEST-1", "hardwareIdentifier": hash("TEST-1")}])).await;
    let state = client.get("http://127.0.0.1:8800/_sim/state").await.json;
    let then = client.clock.now();
    client.wait(seconds(3000)).await;
    assert_eq!(client.outcome(&record[0]).await, "complete");
    let loaded = client.post("http://127.0.0.1:8800/_sim/state", state.clone()).await;
    assert_eq!((loaded.status, &loaded.json["now"]), (200, &json!(then)));
    assert_eq!((client.clock.now(), client.outcome(&record[0]).await.as_str()), (then, "unknown"), "all is as it was");
    client.wait(seconds(60)).await;
    assert_eq!(client.outcome(&record[0]).await, "complete");

    // On a port too, where time runs.
    let running = Running::start(Settings::calm(), Speed::Times(60.0), None).await;
    let http = Http::new();
    running.tenant.advance_to(then + seconds(86_400));
    let ask = async |method: Method, path: &str, body: &Value| {
        Got::of(http.send(request(method, &format!("{}/_sim/{path}", running.url), "", body)).await.unwrap())
    };
    assert_eq!(ask(Method::POST, "state", &state).await.status, 200);
    let now: jiff::Timestamp =
        ask(Method::POST, "clock", &json!({"client": "me"})).await.json["now"].as_str().unwrap().parse().unwrap();
    assert!(now >= then && now < then + seconds(3600), "{now} goes on from {then}");
    running.stop().await;
}

#[tokio::test]
async fn the_clock_is_advanced_by_request() {
    let client = Client::calm().await;
    let advance = async |body: Value| client.post("http://127.0.0.1:8800/_sim/advance", body).await.json;
    assert_eq!(advance(json!({"by": "10m"})).await["now"], "2026-01-05T08:10:00Z");
    assert_eq!(advance(json!({"to": "2026-01-05T09:00:00Z"})).await["now"], "2026-01-05T09:00:00Z");
    assert_eq!(advance(json!({"to": "2026-01-05T08:30:00Z"})).await["now"], "2026-01-05T09:00:00Z", "never back");
}

#[tokio::test]
async fn the_next_faults_of_a_route_are_injected_by_request() {
    let client = Client::calm().await;
    let fault = json!({
        "mishap": "throttled", "times": 2, "retryAfter": 7,
        "method": "GET", "route": "deviceManagement/windowsAutopilotDeviceIdentities",
    });
    assert_eq!(client.post("http://127.0.0.1:8800/_sim/inject", fault).await.status, 200);
    assert_eq!(client.get(SETTINGS).await.status, 200, "another route");
    for _ in 0..2 {
        let got = client.get(DEVICES).await;
        assert_eq!((got.status, got.header("retry-after")), (429, Some("7")));
    }
    assert_eq!(client.get(DEVICES).await.status, 200);
    assert_eq!(client.post("http://127.0.0.1:8800/_sim/inject", json!({"mishap": "earthquake"})).await.status, 400);
}

#[tokio::test]
async fn a_script_is_played_at_its_times() {
    let client = Client::calm().await;
    let script = "
- {at: 1m, vendor: {serial: V-1, manufacturer: Contoso, model: Tower 5, groupTag: OSL}}
- {at: 10m, settings: {list.contains: false, switches: [documented]}}
- {at: 30m, enrol: {serial: SIM0000000}}
- {at: 45m, board: {serial: SIM0000000}}
- {at: 55m, tag: {serial: NOBODY, groupTag: X}}
- {at: '2026-01-05T09:00:00Z', remove: {serial: SIM0000000}}
";
    let script = Script::read(script).unwrap();
    client.sim.with(|tenant| {
        tenant.add_devices(1);
        tenant.play(&script);
    });
    let state = |client: &Client| client.sim.with(|tenant| tenant.registrations_of("SIM0000000"));
    assert_eq!(client.sim.with(|tenant| tenant.registrations().len()), 1);
    client.wait(seconds(60)).await;
    assert_eq!(client.sim.with(|tenant| tenant.registrations_of("V-1").len()), 1);
    client.wait(seconds(600)).await;
    assert!(client.sim.with(|t| !t.settings().list.contains && t.settings().delete.by_serial));
    client.wait(seconds(1800)).await;
    assert!(state(&client)[0].enrolled);
    let path = format!("/beta/deviceManagement/windowsAutopilotDeviceIdentities/{}", state(&client)[0].id);
    assert_eq!(client.get(&path).await.json["remediationState"], "noRemediationRequired");
    client.wait(seconds(600)).await;
    let swapped = client.get(&path).await.json;
    assert_eq!(swapped["remediationState"], "manualRemediationRequired");
    assert_eq!(swapped["remediationStateLastModifiedDateTime"], "2026-01-05T08:45:00Z");
    assert_eq!(client.sim.with(|tenant| tenant.counters().deeds_failed), 0);
    client.wait(seconds(1800)).await;
    assert!(state(&client).is_empty());
    assert_eq!(client.sim.with(|tenant| tenant.counters().deeds_failed), 1, "nobody has that serial");
}

const CONTROL: &str = "http://127.0.0.1:8800/_sim";

#[tokio::test]
async fn a_tenant_keeps_its_names_over_a_restart_and_a_profile() {
    let client = Client::on(named("fabrikam.com", 1)).await;
    let names = async |client: &Client| client.get(&format!("{CONTROL}/tenants")).await.json[0]["names"].clone();
    let before = names(&client).await;
    assert_eq!(before[1], "fabrikam.com");
    assert_eq!(client.post(&format!("{CONTROL}/settings"), json!({"profile": "busy"})).await.status, 200);
    assert_eq!(client.get(&format!("{CONTROL}/settings")).await.json["throttle"]["on"], true, "the profile is there");
    assert_eq!(names(&client).await, before);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tenant.json");
    client.sim.with_all(|tenants| tenants.save_to(&file)).unwrap();
    let tenants = Tenants::open(&file, &Settings::calm(), || panic!("the file is there")).unwrap();
    let sim = InProcess::new(tenants, Virtual::starting_at(sim::EPOCH));
    assert_eq!(names(&Client { sim, ..client }).await, before);
}

#[tokio::test]
async fn a_control_request_for_a_tenant_that_is_not_there_does_nothing() {
    let [contoso, _] = neighbours().await;
    let refused = contoso.post(&format!("{CONTROL}/devices?tenant=nobody.com"), json!({"count": 2})).await;
    assert_eq!(refused.status, 400);
    let message = refused.json["error"]["message"].as_str().unwrap();
    assert!(message.contains("`nobody.com`") && message.contains("`fabrikam.com`"), "{message}");
    let taken = contoso.post(&format!("{CONTROL}/devices?tenant=fabrikam%2Ecom"), json!({"count": 2})).await;
    assert_eq!(taken.status, 200);
    let counts = contoso.sim.with_all(|all| all.each().map(|one| one.registrations().len()).collect::<Vec<_>>());
    assert_eq!(counts, [0, 2]);
}

#[tokio::test]
async fn every_control_route_refuses_a_tenant_that_is_not_there() {
    let [contoso, _] = neighbours().await;
    let tenants = Tenants::from(named("contoso.com", 1));
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), tenants, Speed::Instant).await.unwrap();
    let running = Running::serve(server);
    let http = Http::new();
    let before = contoso.clock.now();
    let state = contoso.get(&format!("{CONTROL}/state")).await.json;
    for (method, route, body) in [
        (Method::POST, "clock", json!({"client": "me", "until": before + seconds(60)})),
        (Method::POST, "advance", json!({"by": "1m"})),
        (Method::GET, "tenants", Value::Null),
        (Method::GET, "state", Value::Null),
        (Method::POST, "state", state),
        (Method::GET, "log", Value::Null),
        (Method::POST, "reset", json!({})),
    ] {
        let there = contoso.send(method.clone(), &format!("{CONTROL}/{route}?tenant=none"), &body.to_string()).await;
        let url = format!("{}/_sim/{route}?tenant=none", running.url);
        let on_a_port = Got::of(http.send(request(method, &url, "", &body)).await.unwrap());
        for got in [there, on_a_port] {
            let message = got.json["error"]["message"].as_str().unwrap_or_default();
            assert!(
                got.status == 400 && message.starts_with("there is no tenant `none`; take one of `"),
                "{route}: {got:?}"
            );
        }
    }
    assert_eq!((contoso.clock.now(), running.tenant.now()), (before, sim::EPOCH));
    let clock = format!("{CONTROL}/clock?tenant=Fabrikam.com");
    assert_eq!(contoso.post(&clock, json!({"client": "me"})).await.status, 200);
    running.stop().await;
}

#[tokio::test]
async fn an_option_that_no_control_route_has_is_refused_by_name() {
    let [contoso, _] = neighbours().await;
    for (query, reason) in [
        ("tennant=fabrikam.com", "there is no option `tennant`; `/_sim/` takes `tenant`"),
        ("tenant=fabrikam.com&count=2", "there is no option `count`; `/_sim/` takes `tenant`"),
        ("tenant=contoso.com&Tenant=fabrikam.com", "the option `tenant` is there twice; name one tenant"),
    ] {
        for (route, body) in [("devices", json!({"count": 2})), ("advance", json!({"by": "1m"})), ("expire", json!({}))]
        {
            let got = contoso.post(&format!("{CONTROL}/{route}?{query}"), body).await;
            assert_eq!((got.status, got.json["error"]["message"].as_str()), (400, Some(reason)), "{route}");
        }
    }
    assert_eq!(contoso.clock.now(), sim::EPOCH);
}

#[tokio::test]
async fn a_number_that_cannot_be_is_refused_for_what_it_is() {
    let client = Client::calm().await;
    for (route, body, reason) in [
        ("devices", json!({"count": 1.5}), "`count` of `devices` is not a whole number"),
        ("devices", json!({"count": -1}), "`count` of `devices` is not a number from 0 on"),
        ("devices", json!({"count": "one"}), "`count` of `devices` is not a number"),
        (
            "advance",
            json!({"by": "999999999d"}),
            "`by` of `advance` is too long, as time ends at 9900-01-01T00:00:00Z: `999999999d`",
        ),
        (
            "advance",
            json!({"by": "99999999999999999999h"}),
            "`by` of `advance` is too long, as time ends at 9900-01-01T00:00:00Z: `99999999999999999999h`",
        ),
        ("advance", json!({"by": "-1m"}), "`by` of `advance` is not a span such as `10m`: `-1m`"),
        ("advance", json!({"by": "d"}), "`by` of `advance` is not a span such as `10m`: `d`"),
        (
            "settings",
            json!({"import.burst": 2.5}),
            "`2.5` is not a whole number from 0 to 4294967295, which `import.burst` needs",
        ),
    ] {
        let got = client.post(&format!("{CONTROL}/{route}"), body.clone()).await;
        assert_eq!((got.status, got.json["error"]["message"].as_str()), (400, Some(reason)), "{body}");
    }
    assert_eq!(client.post(&format!("{CONTROL}/advance"), json!({"by": "1d"})).await.status, 200);
    assert_eq!(client.clock.now(), sim::EPOCH + seconds(86_400));
}

#[tokio::test]
async fn what_is_no_state_is_refused_with_what_to_do() {
    let client = Client::calm().await;
    for (body, reason) in [
        ("{}", "the body is not the state of a simulated tenant: line 1, column 2"),
        ("", "the body is not the state of a simulated tenant: it ends before it is complete"),
        ("{\"format\": 1,", "the body is not the state of a simulated tenant: it ends before it is complete"),
        ("<html>", "the body is not the state of a simulated tenant: it is not JSON from line 1, column 1 on"),
        ("{\"tenants\": []}", "the body is not the state of a simulated tenant: it holds no tenant"),
        ("{\"tenants\": [7]}", "the body is not the state of a simulated tenant: line 1, column 14"),
    ] {
        let got = client.send(Method::POST, &format!("{CONTROL}/state"), body).await;
        let message = got.json["error"]["message"].as_str().unwrap_or_default();
        assert!(got.status == 400 && message.starts_with(reason), "{body}: {message}");
        assert!(message.ends_with("; send what `GET /_sim/state` answers"), "{body}: {message}");
        assert!(!message.contains("expected") && !message.contains("missing field"), "{message}");
    }
    let got = client.send(Method::POST, &format!("{CONTROL}/clock"), "client: me").await;
    let message = got.json["error"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("the body is not JSON from line 1, column 1 on; "), "{message}");
}

#[tokio::test]
async fn a_deed_that_is_not_understood_is_refused_and_not_half_done() {
    let client = Client::calm().await;
    client.sim.with(|tenant| tenant.add_device("TEST-1", "Contoso", "Model 1", "OSL"));
    let vendor = json!({"serial": "V-1", "manufacturer": "Contoso", "model": "Tower 5"});
    assert_eq!(client.post(&format!("{CONTROL}/vendor"), vendor.clone()).await.status, 200);
    let before = client.sim.with(|tenant| tenant.registrations());
    for (deed, body, reason) in [
        (
            "tag",
            json!({"serial": "TEST-1", "grouptag": "X"}),
            "`tag` has no `grouptag`; it takes `id`, `serial`, `groupTag`",
        ),
        ("tag", json!({"serial": "TEST-1"}), "`tag` needs `groupTag`"),
        ("vendor", json!({}), "`vendor` needs `serial`, `manufacturer` and `model`, or a `hash`"),
        ("vendor", vendor, "the hardware is already registered"),
        ("devices", json!({"count": "3"}), "`count` of `devices` is not a number"),
        ("roles", json!({"roles": []}), "`roles` needs `app`"),
        ("expire", json!({"now": true}), "`expire` has no `now`; it takes nothing"),
        ("enrol", json!({"serial": "V-1"}), "comes with the next sync; until then it cannot enrol"),
        ("inject", json!({"mishap": {"html": 99}}), "`html` of `mishap` is a status from 400 to 599, not 99"),
        ("inject", json!({"mishap": "throttled", "retryAfter": -5}), "`retryAfter` of `inject` is not a number"),
        ("settings", json!({"switches": {"no-filter": true}}), "`switches` is a list of names"),
        ("settings", json!({"update.lost_share": "300%"}), "`300%` is not a share from 0 to 1"),
        ("settings", json!({"list.page_size": 0}), "`0` is not at least 1"),
        ("settings", json!({"import.missing_delete_status": 99}), "`99` is not an HTTP status"),
        ("settings", json!({"sync.gap": "10s..600s"}), "`10s..600s` is not a single span"),
        ("settings", json!({"visibility.vendor": "99999999999h"}), "is longer than ten years"),
    ] {
        let got = client.post(&format!("{CONTROL}/{deed}"), body).await;
        let message = got.json["error"]["message"].as_str().unwrap_or_default();
        assert!(got.status == 400 && message.contains(reason), "{deed}: {} {}", got.status, got.json);
    }
    assert_eq!(client.sim.with(|tenant| tenant.registrations()), before);
}

#[tokio::test]
async fn time_ends_before_it_cannot_be_written() {
    let client = Client::calm().await;
    let to = async |to: &str| client.post(&format!("{CONTROL}/advance"), json!({"to": to})).await.status;
    assert_eq!(to("9999-12-30T21:30:00Z").await, 400);
    assert_eq!(to("9899-12-31T00:00:00Z").await, 200);
    assert_eq!(client.token_request("contoso.com", &[]).await.status, 200);
}

#[tokio::test]
async fn a_login_meets_only_the_mishaps_that_are_meant_for_it() {
    let client = Client::calm().await;
    let inject = async |body: Value| client.post(&format!("{CONTROL}/inject"), body).await.status;
    assert_eq!(inject(json!({"mishap": "unavailable"})).await, 200);
    assert_eq!(client.token_request("contoso.com", &[]).await.status, 200);
    assert_eq!(client.get(DEVICES).await.status, 503);
    let at_login = json!({"mishap": "unavailable", "method": "post", "route": "{tenant}/oauth2/v2.0/token"});
    assert_eq!(inject(at_login).await, 200);
    assert_eq!(client.get(DEVICES).await.status, 200);
    assert_eq!(client.token_request("contoso.com", &[]).await.status, 503);
    assert_eq!(client.token_request("contoso.com", &[]).await.status, 200);
}
