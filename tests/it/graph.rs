//! The Graph client against a service that follows a script: what it reads,
//! what it sends, and what it does when things go wrong.

mod http_client;
mod login;
mod neighbours;
mod simulated;
mod support;

use apgit::door::graph::{ErrorKind, Fields, ImportRow, Write};
use apgit::door::model::{Coverage, EnrollmentState, HardwareHash, ImportState, SerialNumber};
use serde_json::json;
use support::{
    GRAPH, answering, batch, body, fixture, graph, graph_and_login, id, lost, ok, page, registration, seconds, start,
    status, with_header,
};

fn link(page: u32) -> String {
    format!("{GRAPH}/v1.0/deviceManagement/windowsAutopilotDeviceIdentities?$skiptoken=p{page}")
}

#[tokio::test]
async fn a_listing_reads_what_the_service_writes() {
    let (graph, script, _) = answering(vec![fixture("registrations-list").answer()]);
    let observed = graph.list_devices().await.unwrap();
    assert_eq!(*observed.coverage(), Coverage::All);
    assert_eq!(observed.at, start());
    let [hp, lenovo, vm] = observed.devices() else { panic!("three devices") };
    assert_eq!((vm.serial.as_str(), vm.key().as_str()), (" vm 12 34 ", "VM 12 34"));
    assert_eq!(hp.enrollment, EnrollmentState::Enrolled);
    assert_eq!(hp.managed_device_id.unwrap().to_string(), "0b0b0b0b-0000-4000-8000-000000000002");
    assert_eq!(hp.last_contacted, Some("2026-06-30T08:15:00Z".parse().unwrap()));
    assert_eq!((hp.user.as_str(), hp.display_name.as_str()), ("", ""));
    assert_eq!(lenovo.id, id(1));
    assert_eq!(lenovo.group_tag, "KIOSK-LOBBY");
    assert_eq!(lenovo.user, "anna.keller@contoso.com");
    assert_eq!((lenovo.addressable_user_name.as_str(), lenovo.display_name.as_str()), ("Anna", "LOBBY-01"));
    assert_eq!((lenovo.manufacturer.as_str(), lenovo.model.as_str()), ("LENOVO", "21FB"));
    assert_eq!((lenovo.managed_device_id, lenovo.last_contacted), (None, None));
    assert_eq!(lenovo.enrollment, EnrollmentState::NotContacted);

    let (_, request) = &script.seen()[1];
    assert_eq!(request.uri().to_string(), format!("{GRAPH}/v1.0/deviceManagement/windowsAutopilotDeviceIdentities"));
    assert_eq!(request.headers()["authorization"], "Bearer opaque-token-of-a-fixture");
    assert!(request.headers()["user-agent"].to_str().unwrap().starts_with("apgit/"));
    let request_id = request.headers()["client-request-id"].to_str().unwrap();
    assert!(request_id.parse::<uuid::Uuid>().is_ok());
    assert_eq!(graph.calls(), 1);
}

#[tokio::test]
async fn null_missing_and_empty_are_one_thing() {
    let (graph, _, _) = answering(vec![fixture("registration-sparse").answer()]);
    let observed = graph.list_devices().await.unwrap();
    assert_eq!(observed.devices().len(), 3);
    for device in observed.devices() {
        assert_eq!((device.group_tag.as_str(), device.user.as_str()), ("", ""), "{}", device.serial);
        assert_eq!((device.managed_device_id, device.last_contacted), (None, None), "{}", device.serial);
    }
}

#[tokio::test]
async fn a_listing_is_followed_to_its_end() {
    let (graph, script, _) = answering(vec![
        ok(&page(0..1000, Some(&link(1)))),
        ok(&page(1000..1000, Some(&link(2)))),
        ok(&page(1000..1500, None)),
    ]);
    assert_eq!(graph.list_devices().await.unwrap().devices().len(), 1500);
    let asked: Vec<String> = script.seen().iter().skip(2).map(|(_, request)| request.uri().to_string()).collect();
    assert_eq!(asked, [link(1), link(2)], "links are followed verbatim");
}

#[tokio::test]
async fn a_page_that_fails_for_a_moment_is_asked_for_again() {
    for failure in [
        status(503, ""),
        lost(),
        fixture("error-html").answer(),
        status(200, "<html>proxy</html>"),
        status(404, "<html>proxy</html>"),
        fixture("error-query-broker").answer(),
        status(200, r#"{"value":[{"id":"#),
    ] {
        let (graph, _, clock) =
            answering(vec![ok(&page(0..3, Some(&link(1)))), failure.clone(), failure.clone(), ok(&page(3..5, None))]);
        let observed = graph.list_devices().await.unwrap_or_else(|error| panic!("{failure:?}: {error}"));
        assert_eq!(observed.devices().len(), 5);
        assert_eq!(graph.calls(), 4);
        assert!(apgit::door::clock::Clock::now(&clock) > start() + seconds(2), "{failure:?}: it waits in between");
    }
}

#[tokio::test]
async fn a_listing_cut_short_is_no_listing() {
    let lasting = [
        (status(503, ""), ErrorKind::Server),
        (lost(), ErrorKind::Lost),
        (status(200, "{}"), ErrorKind::Protocol),
        (fixture("error-forbidden").answer(), ErrorKind::Permission),
        (fixture("error-throttled").answer(), ErrorKind::Throttled),
    ];
    for (failure, kind) in lasting {
        let (graph, _, clock) = answering(vec![ok(&page(0..3, Some(&link(1)))), failure]);
        let error = graph.list_devices().await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(apgit::door::clock::Clock::now(&clock) <= start() + seconds(610), "{kind:?}: patience has an end");
    }
}

#[tokio::test]
async fn a_listing_that_loops_or_repeats_is_an_error() {
    let (graph, _, _) = answering(vec![ok(&page(0..3, Some(&link(1)))), ok(&page(3..6, Some(&link(1))))]);
    let error = graph.list_devices().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.message.contains("loops"), "{error}");

    let (graph, _, _) = answering(vec![ok(&page(0..3, Some(&link(1)))), ok(&page(0..3, Some(&link(2))))]);
    let error = graph.list_devices().await.unwrap_err();
    assert!(error.message.contains("repeats itself"), "{error}");

    let mut number = 0;
    let (graph, _, _) = support::graph(move |_| {
        number += 1;
        ok(&page(0..0, Some(&link(number))))
    });
    let error = graph.list_devices().await.unwrap_err();
    assert!(error.message.contains("no end"), "{error}");
}

#[tokio::test]
async fn a_device_that_moves_between_pages_is_kept_once() {
    let (graph, _, _) = answering(vec![ok(&page(0..3, Some(&link(1)))), ok(&page(2..5, None))]);
    assert_eq!(graph.list_devices().await.unwrap().devices().len(), 5);
}

#[tokio::test]
async fn a_link_to_another_host_gets_no_token() {
    for foreign in [
        "https://evil.example/v1.0/next",
        "http://graph.microsoft.com/v1.0/next",
        "https://graph.microsoft.com@evil.example/next",
        "https://graph.microsoft.com:8443/next",
        "/v1.0/next",
    ] {
        let (graph, script, _) = answering(vec![ok(&page(0..3, Some(foreign)))]);
        let error = graph.list_devices().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol, "{foreign}");
        assert_eq!(script.times().len(), 1, "{foreign}");
    }
}

#[tokio::test]
async fn a_registration_without_an_id_spoils_the_listing() {
    let (graph, _, _) = answering(vec![ok(&json!({"value": [registration(1), {"serialNumber": "X"}]}))]);
    let error = graph.list_devices().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn a_listing_whose_place_expired_starts_again_once() {
    let expired = fixture("error-nested").answer();
    let (graph, _, _) = answering(vec![
        ok(&page(0..3, Some(&link(1)))),
        expired.clone(),
        ok(&page(0..3, Some(&link(1)))),
        ok(&page(3..5, None)),
    ]);
    assert_eq!(graph.list_devices().await.unwrap().devices().len(), 5);

    let (graph, _, _) = answering(vec![ok(&page(0..3, Some(&link(1)))), expired]);
    assert_eq!(graph.list_devices().await.unwrap_err().kind, ErrorKind::Refused);
}

#[tokio::test]
async fn single_readings_go_in_batches_and_throttled_parts_go_again() {
    let mut first = true;
    let (graph, script, _) = graph(move |request| {
        if std::mem::take(&mut first) {
            return fixture("batch").answer();
        }
        batch(request, |_| json!({"status": 200, "body": registration(2)}))
    });
    let readings = graph.get_devices(&[id(1), id(2), id(9)]).await;
    let [(_, Ok(Some(one))), (_, Ok(Some(two))), (nine, Ok(None))] = &readings[..] else { panic!("{readings:?}") };
    assert_eq!((one.serial.as_str(), two.serial.as_str(), *nine), ("PF4T9K2L", "S2", id(9)));
    let [_, (_, outer), (again, inner)] = &script.seen()[..] else { panic!("one login, two envelopes") };
    assert_eq!(outer.uri().to_string(), format!("{GRAPH}/v1.0/$batch"));
    assert_eq!(body(outer)["requests"].as_array().unwrap().len(), 3);
    assert_eq!(body(inner)["requests"].as_array().unwrap().len(), 1, "only the throttled part");
    assert_eq!(*again, start() + seconds(7), "the part's own Retry-After counts");
}

#[tokio::test]
async fn many_readings_take_one_envelope_per_twenty() {
    let (graph, script, _) = graph(|request| {
        batch(request, |part| {
            let url = part["url"].as_str().unwrap();
            assert!(url.starts_with("/deviceManagement/windowsAutopilotDeviceIdentities/0000"), "{url}");
            json!({"status": 200, "body": {"id": url.rsplit('/').next().unwrap(), "serialNumber": "X"}})
        })
    });
    let ids: Vec<_> = (1..=45).map(id).collect();
    let readings = graph.get_devices(&ids).await;
    assert!(readings.iter().zip(&ids).all(|((id, reading), wanted)| id == wanted && matches!(reading, Ok(Some(_)))));
    let sizes: Vec<_> =
        script.seen()[1..].iter().map(|(_, request)| body(request)["requests"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [20, 20, 5]);
}

#[tokio::test]
async fn only_the_service_itself_can_say_that_a_registration_is_gone() {
    let part = |name: &str| {
        let fixture = fixture(name);
        json!({"status": fixture.0["status"], "body": fixture.body()})
    };
    for (answer, expected) in [
        (part("error-not-found"), Ok(None)),
        (part("error-ztd-id"), Ok(None)),
        (json!({"status": 404, "body": "<html>proxy</html>"}), Err(ErrorKind::Protocol)),
        (part("error-nested"), Err(ErrorKind::Refused)),
        (part("error-forbidden"), Err(ErrorKind::Permission)),
        (json!({"status": 200, "body": registration(2)}), Err(ErrorKind::Protocol)),
        (json!({"status": 200}), Err(ErrorKind::Protocol)),
    ] {
        let shown = answer.to_string();
        let (graph, _, _) = graph(move |request| batch(request, |_| answer.clone()));
        let (_, reading) = graph.get_devices(&[id(1)]).await.remove(0);
        assert_eq!(reading.map_err(|error| error.kind), expected, "{shown}");
    }
}

#[tokio::test]
async fn a_part_that_the_batch_forgot_is_sent_again() {
    let mut first = true;
    let (graph, _, _) = graph(move |request| {
        if std::mem::take(&mut first) {
            return ok(&json!({"responses": []}));
        }
        batch(request, |_| json!({"status": 200, "body": registration(1)}))
    });
    assert!(matches!(graph.get_devices(&[id(1)]).await[0].1, Ok(Some(_))));
}

#[tokio::test]
async fn import_records_are_read_in_every_state() {
    let (graph, _, _) = answering(vec![fixture("imports-list").answer()]);
    let records = graph.list_imports().await.unwrap();
    let states: Vec<_> = records.iter().map(|record| record.state.clone()).collect();
    assert_eq!(
        states,
        [
            ImportState::Running,
            ImportState::Running,
            ImportState::Running,
            ImportState::Complete { registration_id: id(1) },
            ImportState::Running,
            ImportState::Error { code: 806, name: "ZtdDeviceAlreadyAssigned".into() },
            ImportState::Running,
        ]
    );
    let marked: Vec<_> = records.iter().map(|record| record.import_id.is_some()).collect();
    assert_eq!(marked, [true, false, false, false, true, true, false]);
}

#[tokio::test]
async fn settings_and_organization_are_read() {
    let (graph, script, _) = answering(vec![fixture("settings").answer()]);
    let state = graph.sync_state().await.unwrap();
    assert_eq!(state.last_sync, Some("2026-07-01T10:00:00.5123456Z".parse().unwrap()));
    assert_eq!(state.last_manual_trigger, Some("2026-07-01T10:00:00Z".parse().unwrap()));
    assert!(!state.running);
    assert_eq!(script.seen()[1].1.uri().path(), "/beta/deviceManagement/windowsAutopilotSettings");
    let (graph, _, _) = answering(vec![ok(&json!({"syncStatus": "inProgress", "lastSyncDateTime": null}))]);
    assert!(graph.sync_state().await.unwrap().running);

    let (graph, _, _) = answering(vec![fixture("organization").answer()]);
    let organization = graph.organization().await.unwrap().unwrap();
    assert_eq!(organization.display_name, "Contoso");
    assert_eq!(organization.verified_domains, ["contoso.com", "contoso.onmicrosoft.com"]);
    let (graph, _, _) = answering(vec![fixture("error-forbidden").answer()]);
    assert_eq!(graph.organization().await.unwrap(), None);
}

#[tokio::test]
async fn users_are_looked_up_by_an_encoded_name() {
    let part = |id: &str, status: u16| json!({"id": id, "status": status, "body": {"error": {"code": "x"}}});
    let (graph, script, _) =
        answering(vec![ok(&json!({"responses": [part("2", 403), part("0", 200), part("1", 404)]}))]);
    let users = ["guest#EXT#/..@contoso.com", "b@contoso.com", "c@contoso.com"].map(str::to_owned);
    assert_eq!(graph.users_exist(&users).await.unwrap(), [Some(true), Some(false), None]);
    let body: serde_json::Value = serde_json::from_slice(script.seen()[1].1.body()).unwrap();
    assert_eq!(body["requests"][0]["url"], "/users/guest%23EXT%23%2F..@contoso.com");
}

fn row(serial: &SerialNumber) -> ImportRow<'_> {
    ImportRow {
        serial,
        hash: HardwareHash::from_bytes(vec![0x4f, 0x41, 1, 2, 3, 4]),
        group_tag: Some("OSL-STD"),
        user: None,
        import_id: "20000000-0000-4000-8000-000000000001".parse().unwrap(),
    }
}

#[tokio::test]
async fn an_import_sends_what_clients_in_the_field_send() {
    let (graph, script, _) = answering(vec![fixture("import-action").answer()]);
    let serial = SerialNumber::parse("PF4T9K2L").unwrap();
    let records = graph.import(&[row(&serial)]).await.unwrap();
    assert_eq!(records[0].import_id, Some("20000000-0000-4000-8000-000000000001".parse().unwrap()));
    assert_eq!((records[0].serial.as_str(), &records[0].state), ("PF4T9K2L", &ImportState::Running));
    let (_, request) = &script.seen()[1];
    assert_eq!(request.uri().path(), "/v1.0/deviceManagement/importedWindowsAutopilotDeviceIdentities/import");
    assert_eq!(body(request), *fixture("request-import").body());
}

#[tokio::test]
async fn an_import_that_may_have_worked_is_never_repeated() {
    let serial = SerialNumber::parse("PF4T9K2L").unwrap();
    for failure in
        [lost(), status(504, ""), status(500, ""), status(503, ""), status(200, "<html>"), status(400, "<html>")]
    {
        let (graph, _, _) = answering(vec![failure.clone(), fixture("import-action").answer()]);
        let error = graph.import(&[row(&serial)]).await.unwrap_err();
        assert!(error.effect_is_unknown(), "{failure:?}");
        assert_eq!(graph.calls(), 1, "{failure:?}");
    }
}

#[tokio::test]
async fn an_import_that_surely_failed_is_waited_out() {
    let serial = SerialNumber::parse("PF4T9K2L").unwrap();
    let (graph, script, _) = answering(vec![fixture("error-throttled").answer(), fixture("import-action").answer()]);
    assert_eq!(graph.import(&[row(&serial)]).await.unwrap().len(), 1);
    assert_eq!(script.times(), [0, 10]);

    let refused = fixture("error-nested").answer();
    let (graph, _, _) = answering(vec![refused]);
    let error = graph.import(&[row(&serial)]).await.unwrap_err();
    assert_eq!((error.kind, error.effect_is_unknown()), (ErrorKind::Refused, false));
}

#[tokio::test]
async fn an_error_never_repeats_a_hash() {
    let serial = SerialNumber::parse("PF4T9K2L").unwrap();
    let (graph, _, _) = answering(vec![fixture("error-bad-base64").answer()]);
    let error = graph.import(&[row(&serial)]).await.unwrap_err();
    assert_eq!(error.message, "Cannot convert the literal '…' to the expected type 'Edm.Binary'.");
    assert!(!format!("{error} {error:?}").contains("INVENTED"));
}

/// Collects what is logged, at the finest level.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_tell_of_requests_but_never_of_secrets() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let serial = SerialNumber::parse("PF4T9K2L").unwrap();
    let secret_hash = HardwareHash::from_bytes((0..200).collect());
    let encoded = secret_hash.to_base64();
    // With a single subscriber, tracing asks the thread that first meets a log
    // line whether anybody wants it, and another test's thread says no for all.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard = tracing::subscriber::set_default(subscriber);
    let (graph, _, _) = answering(vec![fixture("error-bad-base64").answer(), ok(&page(0..1, Some(&link(1)))), lost()]);
    let row = ImportRow { hash: secret_hash, ..row(&serial) };
    assert!(graph.import(&[row]).await.is_err());
    assert!(graph.list_devices().await.is_err());
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("client_request_id") && text.contains("status=400"), "{text}");
    for secret in
        ["a secret", "a+secret", "opaque-token-of-a-fixture", "skiptoken=p1", &encoded[..24], &encoded[100..124]]
    {
        assert!(!text.contains(secret), "`{secret}` in {text}");
    }
}

fn writes() -> Vec<Write> {
    let fields = Fields {
        group_tag: Some("".into()),
        user: Some("anna.keller@contoso.com".into()),
        addressable_user_name: Some("Anna".into()),
        display_name: None,
    };
    vec![
        Write::Update { id: id(1), fields },
        Write::UnassignUser { id: id(2) },
        Write::DeleteImport { record: "10000000-0000-4000-8000-000000000001".parse().unwrap() },
    ]
}

#[tokio::test]
async fn writes_go_in_an_envelope_each_with_its_outcome() {
    let (graph, script, _) = graph(|request| {
        batch(request, |part| match part["method"].as_str().unwrap() {
            "DELETE" => json!({"status": 404, "body": fixture("error-not-found").body()}),
            _ if part.get("body").is_some() => json!({"status": 204}),
            _ => json!({"status": 400, "body": fixture("error-nested").body()}),
        })
    });
    let outcomes = graph.write(&writes(), None).await;
    assert_eq!(body(&script.seen()[1].1), *fixture("request-update").body());
    assert!(outcomes[0].is_ok());
    let refused = outcomes[1].as_ref().unwrap_err();
    assert_eq!((refused.kind, refused.operation), (ErrorKind::Refused, "remove the user of a registration"));
    assert!(outcomes[2].is_ok(), "a record that is gone is deleted");
    assert_eq!(graph.calls(), 1, "a refusal is not repeated");
}

#[tokio::test]
async fn writes_that_fail_for_a_moment_are_repeated_alone() {
    let mut round = 0;
    let (graph, script, _) = graph(move |request| {
        round += 1;
        let condition = fixture("error-condition-not-met");
        match round {
            1 => batch(request, |part| match part["id"].as_str().unwrap() {
                "0" => json!({"status": 412, "body": condition.body()}),
                "1" => json!({"status": 429}),
                _ => json!({"status": 200}),
            }),
            2 => status(429, ""),
            _ => batch(request, |_| json!({"status": 204})),
        }
    });
    let outcomes = graph.write(&writes(), None).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let sizes: Vec<_> =
        script.seen()[1..].iter().map(|(_, request)| body(request)["requests"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [3, 2, 2]);
}

#[tokio::test]
async fn what_may_have_been_done_is_repeated_only_where_twice_is_as_good_as_once() {
    // Updates may undo what others wrote since; a deletion that was done is done.
    for (write, repeated) in [
        (Write::UnassignUser { id: id(1) }, false),
        (writes().remove(0), false),
        (Write::Deregister { id: id(1) }, true),
        (writes().remove(2), true),
    ] {
        for way in 0..3 {
            let mut round = 0;
            let (graph, script, _) = graph(move |request| {
                round += 1;
                match (round, way) {
                    (1, 0) => lost(),
                    (1, 1) => status(504, ""),
                    (1, _) => batch(request, |_| json!({"status": 500})),
                    _ => batch(request, |_| json!({"status": 204})),
                }
            });
            let outcome = graph.write(std::slice::from_ref(&write), None).await.remove(0);
            assert_eq!(outcome.is_ok(), repeated, "{write:?}: {outcome:?}");
            assert!(repeated || outcome.is_err_and(|error| error.effect_is_unknown()));
            assert_eq!(script.seen().len() - 1, if repeated { 2 } else { 1 }, "{write:?}");
        }
    }
}

#[tokio::test]
async fn a_write_that_keeps_failing_ends_with_its_own_error() {
    let (graph, _, clock) = graph(|request| batch(request, |_| json!({"status": 412})));
    let outcomes = graph.write(&writes(), None).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|e| e.kind == ErrorKind::PreconditionFailed)));
    assert!(apgit::door::clock::Clock::now(&clock) <= start() + seconds(610));
}

#[tokio::test]
async fn when_the_service_is_gone_the_rest_is_not_even_tried() {
    let (graph, _, _) = answering(vec![status(503, "")]);
    let writes: Vec<_> = (1..=100).map(|number| Write::Deregister { id: id(number) }).collect();
    let outcomes = graph.write(&writes, None).await;
    assert_eq!(outcomes.len(), 100);
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|error| error.kind == ErrorKind::Server)));
    assert_eq!(graph.calls(), 8, "the attempts of one envelope");
}

#[tokio::test]
async fn without_a_network_the_answer_comes_soon() {
    let unreachable = || apgit::door::transport::TransportError::Connect {
        host: "graph.microsoft.com".to_owned(),
        reason: "name not found".to_owned(),
    };
    let login_is_there = answering(vec![Err(unreachable())]);
    let nobody_is_there = graph_and_login(move |_| Err(unreachable()));
    for (graph, _, clock) in [login_is_there, nobody_is_there] {
        let error = graph.list_devices().await.unwrap_err();
        assert_eq!(
            error.message, "cannot connect to `graph.microsoft.com`: name not found",
            "it says what cannot be reached"
        );
        assert!(apgit::door::clock::Clock::now(&clock) < start() + seconds(15));
    }
}

/// The last attempt of a write says nothing about an earlier one.
#[tokio::test]
async fn what_an_earlier_attempt_left_unknown_stays_unknown() {
    let unreachable = || apgit::door::transport::TransportError::Connect {
        host: "graph.microsoft.com".to_owned(),
        reason: "name not found".to_owned(),
    };
    let late = Some(start() + seconds(1));
    let patient = Some(start() + seconds(3600));
    let cases = [
        (vec![Err(unreachable())], patient, ErrorKind::Connect, false),
        (vec![lost(), Err(unreachable())], patient, ErrorKind::Connect, true),
        (vec![lost(), status(401, "")], patient, ErrorKind::Auth, true),
        (vec![lost(), with_header(status(429, ""), "retry-after", "7200")], patient, ErrorKind::Throttled, true),
        (vec![with_header(status(429, ""), "retry-after", "7200")], late, ErrorKind::Throttled, false),
        (
            vec![lost(), status(403, r#"{"error":{"code":"Forbidden","message":"no"}}"#)],
            patient,
            ErrorKind::Permission,
            true,
        ),
    ];
    for (answers, before, kind, is_unknown) in cases {
        let (graph, _, _) = answering(answers);
        let outcome = graph.write(&[Write::Deregister { id: id(1) }], before).await.remove(0).unwrap_err();
        assert_eq!((outcome.kind, outcome.effect_is_unknown()), (kind, is_unknown), "{outcome}");
    }
}

/// The same for a part of an envelope.
#[tokio::test]
async fn what_an_earlier_part_left_unknown_stays_unknown() {
    for (second, kind, is_unknown) in [(429, ErrorKind::Throttled, true), (409, ErrorKind::Conflict, false)] {
        let mut attempt = 0;
        let (graph, _, _) = graph(move |request| {
            attempt += 1;
            let status = if attempt == 1 { 503 } else { second };
            batch(request, |_| json!({"status": status, "headers": {"Retry-After": "1"}}))
        });
        let before = Some(start() + seconds(60));
        let outcome = graph.write(&[Write::Deregister { id: id(1) }], before).await.remove(0).unwrap_err();
        assert_eq!((outcome.kind, outcome.effect_is_unknown()), (kind, is_unknown), "{outcome}");
    }
}

#[tokio::test]
async fn an_import_without_rows_is_no_request() {
    let (graph, _, _) = answering(vec![lost()]);
    assert_eq!(graph.import(&[]).await, Ok(Vec::new()));
    assert_eq!(graph.calls(), 0);
}

#[tokio::test]
async fn writes_stay_below_the_documented_limit() {
    let (graph, script, _) = graph(|request| batch(request, |_| json!({"status": 204})));
    let writes: Vec<_> = (1..=400).map(|number| Write::UnassignUser { id: id(number) }).collect();
    assert!(graph.write(&writes, None).await.iter().all(Result::is_ok));
    let times = script.times();
    assert_eq!(times.len(), 20);
    for from in &times {
        let parts = times.iter().filter(|at| *at >= from && **at < from + 20).count() * 20;
        assert!(parts <= 80, "{parts} writes in the 20 s from {from}");
    }
}

#[tokio::test]
async fn after_a_429_everything_goes_slower() {
    let mut round = 0;
    let (graph, script, _) = graph(move |request| {
        round += 1;
        let status = if round == 1 { 429 } else { 204 };
        batch(request, |_| json!({"status": status, "headers": {"Retry-After": "1"}}))
    });
    let writes: Vec<_> = (1..=80).map(|number| Write::UnassignUser { id: id(number) }).collect();
    assert!(graph.write(&writes, None).await.iter().all(Result::is_ok));
    let times = script.times();
    let in_first_window = times.iter().filter(|at| **at < 20).count() * 20;
    assert_eq!(in_first_window, 40, "half of eighty: {times:?}");
}

#[tokio::test]
async fn a_sync_is_asked_for_once() {
    for (answer, expected) in [
        (status(204, ""), Ok(())),
        (status(409, ""), Err(ErrorKind::Conflict)),
        (fixture("error-throttled").answer(), Err(ErrorKind::Throttled)),
        (status(503, ""), Err(ErrorKind::Server)),
        (lost(), Err(ErrorKind::Lost)),
    ] {
        let (graph, script, _) = answering(vec![answer]);
        assert_eq!(graph.sync().await.map_err(|error| error.kind), expected);
        assert_eq!(graph.calls(), 1);
        assert_eq!(script.seen()[1].1.uri().path(), "/beta/deviceManagement/windowsAutopilotSettings/sync");
    }
}

#[tokio::test]
async fn retry_after_is_honoured_in_both_forms() {
    let throttled = |value: &str| with_header(status(429, ""), "retry-after", value);
    for (value, waited) in [("37", 37), ("Thu, 01 Jan 2026 00:00:42 GMT", 42), ("0", 1)] {
        let (graph, script, _) = answering(vec![throttled(value), ok(&page(0..1, None))]);
        graph.list_devices().await.unwrap();
        assert_eq!(script.times(), [0, waited], "{value}");
    }
    for value in ["-5", "-9223372036854775808"] {
        let (graph, script, _) = answering(vec![throttled(value), ok(&page(0..1, None))]);
        graph.list_devices().await.unwrap();
        assert!((5..=8).contains(&script.times()[1]), "as long as if it had not said: {:?}", script.times());
    }
    let (graph, script, _) = answering(vec![throttled("3600"), ok(&page(0..1, None))]);
    let error = graph.list_devices().await.unwrap_err();
    assert_eq!((error.kind, error.retry_after), (ErrorKind::Throttled, Some(seconds(3600))));
    assert_eq!(script.times(), [0], "an hour is longer than we wait");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let refused = || status(401, r#"{"error":{"code":"InvalidAuthenticationToken","message":"expired"}}"#);
    let (graph, script, _) = answering(vec![refused(), ok(&page(0..1, None))]);
    graph.list_devices().await.unwrap();
    assert_eq!((script.logins(), graph.calls()), (2, 2));

    let (graph, script, _) = answering(vec![refused()]);
    let error = graph.list_devices().await.unwrap_err();
    assert_eq!((error.kind, script.logins(), graph.calls()), (ErrorKind::Auth, 2, 2));
}

#[tokio::test]
async fn every_shape_of_an_error_is_read() {
    let cases = [
        ("error-plain", ErrorKind::RouteMissing, "Resource not found for the segment 'windowsAutopilotSettings'."),
        ("error-nested", ErrorKind::Refused, "An error has occurred"),
        ("error-nested-bare", ErrorKind::Refused, "An error has occurred"),
        ("error-deletion-in-progress", ErrorKind::Refused, "Device deletion is in progress"),
        ("error-html", ErrorKind::Protocol, "Bad Request"),
        ("error-not-found", ErrorKind::NotFound, "Resource not found."),
    ];
    for (name, kind, message) in cases {
        let (graph, _, _) = answering(vec![fixture(name).answer()]);
        let error = graph.sync().await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (kind, message), "{name}");
        assert!(error.client_request_id.is_some(), "{name}");
    }
    let (graph, _, _) = answering(vec![fixture("error-route").answer()]);
    assert_eq!(graph.sync().await.unwrap_err().kind, ErrorKind::RouteMissing);
    let (graph, _, _) = answering(vec![fixture("error-deletion-in-progress").answer()]);
    assert_eq!(graph.sync().await.unwrap_err().phrase, "ZtdDeviceDeletionInProgess");
}

#[tokio::test]
async fn an_error_reads_as_a_sentence_for_an_admin() {
    let (graph, _, _) = answering(vec![fixture("error-nested").answer()]);
    assert_eq!(
        graph.sync().await.unwrap_err().to_string(),
        "cannot start a sync: the service declined: An error has occurred (400 BadRequest, \
         request-id 40000000-0000-4000-8000-000000000001, client-request-id 11111111-2222-3333-4444-555555555555)"
    );
    let (graph, _, _) = answering(vec![fixture("error-forbidden").answer()]);
    let text = graph.list_devices().await.unwrap_err().to_string();
    let expected = "not permitted to list registrations: grant the app `DeviceManagementServiceConfig.Read.All`";
    assert!(text.starts_with(expected), "{text}");
}
