//! The operator, the API server and a simulated tenant, each a process of its own:
//! what is applied comes to be, and the objects say so.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::shared::{Answer, Desk, Folder, OWNER, Simulate, TENANT, apgit, root, terminate};
use crate::support::{ControlPlane, eventually};

/// A namespace with a tenant of its own, and whoever keeps it.
pub struct Stage {
    pub cluster: &'static ControlPlane,
    pub namespace: String,
    pub served: Simulate,
    folder: Folder,
    /// They go with the test, however it ends.
    pub operators: Vec<Child>,
    pub desk: Desk,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for operator in &mut self.operators {
            let _ = operator.kill();
            let _ = operator.wait();
        }
        if std::thread::panicking() {
            for path in self.folder.files() {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                eprintln!("{}:\n{text}", path.display());
            }
            eprintln!(
                "{}",
                self.cluster.kubectl(&format!("get apt,apd,apds,appl,appa -n {} -o yaml", self.namespace)).out
            );
        }
    }
}

impl Stage {
    /// With a simulated tenant that waits for nobody, and Secrets with the hashes
    /// of two devices. `None` where there is no cluster.
    pub fn new() -> Option<Self> {
        let cluster = ControlPlane::here()?;
        Some(Self::on(cluster, cluster.namespace()))
    }

    /// The same, in a namespace that is there.
    pub fn on(cluster: &'static ControlPlane, namespace: String) -> Self {
        let desk = Desk::new();
        let served = desk.simulate("--speed instant");
        let stage = Self { cluster, namespace, served, folder: Folder::new(), operators: Vec::new(), desk };
        for serial in ["TEST-BGO-001", "TEST-BGO-002"] {
            let file = hash_of(serial);
            let name = serial.to_ascii_lowercase();
            stage.done(&format!("create secret generic {name} --from-file=hash={}", file.display()));
        }
        stage
    }

    pub fn done(&self, words: &str) -> String {
        self.cluster.done(&format!("{words} --namespace {}", self.namespace))
    }

    #[track_caller]
    pub fn apply(&self, manifest: &Value) {
        let namespace = &self.namespace;
        let ran = self
            .cluster
            .kubectl_with(&format!("apply --server-side --namespace {namespace} --filename -"), &manifest.to_string());
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    }

    pub fn tenant(&self, more: Value) {
        let mut spec = json!({
            "tenantId": TENANT, "ownerId": OWNER, "policy": "Sync", "interval": "10m",
            "endpoints": {"login": self.served.url, "graph": self.served.url},
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.apply(&object("AutopilotTenant", "contoso", spec));
    }

    /// A device whose hash is in a Secret.
    pub fn device(&self, serial: &str, more: Value) {
        let name = serial.to_ascii_lowercase();
        let hash = self.hash_ref(serial);
        let mut spec = json!({"serialNumber": serial, "tenantRef": {"name": "contoso"}, "hardwareHashRef": hash});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.apply(&object("AutopilotDevice", &name, spec));
    }

    /// Where its hash is.
    pub fn hash_ref(&self, serial: &str) -> Value {
        let name = serial.to_ascii_lowercase();
        json!({"secretKeyRef": {"name": name, "key": "hash"}, "sha256": pin_of(&self.desk, serial)})
    }

    pub fn operates(&mut self) -> &mut Child {
        self.operates_as(&format!("replica-{}", self.operators.len()))
    }

    /// A pod of this name.
    pub fn operates_as(&mut self, identity: &str) -> &mut Child {
        self.operates_with(identity, "")
    }

    /// The same, with more on its command line.
    pub fn operates_with(&mut self, identity: &str, more: &str) -> &mut Child {
        self.runs(&format!("--listen 127.0.0.1:0 --identity {identity} {more}"))
    }

    /// The same, where it listens to this address.
    fn operates_on(&mut self, address: &str, identity: &str) -> &mut Child {
        self.runs(&format!("--listen {address} --identity {identity}"))
    }

    fn runs(&mut self, more: &str) -> &mut Child {
        let words = format!("-v operator --namespace {} --quiet-seconds 1 {more}", self.namespace);
        let mut command: Command = apgit(root(), words.split_whitespace());
        command.env("KUBECONFIG", self.cluster.kubeconfig()).env("XDG_STATE_HOME", self.folder.path());
        self.begins(command)
    }

    /// An operator that is run like this.
    pub fn begins(&mut self, mut command: Command) -> &mut Child {
        let number = self.operators.len();
        let log = std::fs::File::create(self.folder.at(format!("operator-{number}.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.operators.push(command.spawn().expect("the operator starts"));
        self.operators.last_mut().unwrap()
    }

    pub fn log(&self, number: usize) -> String {
        self.folder.read(format!("operator-{number}.log"))
    }

    /// What the last operator answers over HTTP: the status, and the body.
    pub fn http(&self, path: &str) -> (u16, String) {
        let address = eventually("it listens", || {
            let log = self.log(self.operators.len() - 1);
            let line = log.lines().find(|line| line.contains("health and numbers are served"))?.to_owned();
            let address = line.split("127.0.0.1:").nth(1)?;
            let port: String = address.chars().take_while(char::is_ascii_digit).collect();
            Some(format!("127.0.0.1:{port}"))
        });
        let mut stream = std::net::TcpStream::connect(&address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }

    /// A number of the last operator's, by its name and one of its labels.
    pub fn number(&self, name: &str, label: &str) -> Option<f64> {
        let (_, text) = self.http("/metrics");
        let is = |line: &&str| line.starts_with(name) && line.contains(label);
        text.lines().find(is)?.rsplit(' ').next()?.parse().ok()
    }

    #[track_caller]
    pub fn is_ready(&self, what: &str) {
        self.done(&format!("wait --for=condition=Ready --timeout=90s {what}"));
    }

    pub fn get(&self, what: &str) -> Value {
        serde_json::from_str(&self.done(&format!("get {what} --output json"))).expect("JSON")
    }

    pub fn condition(&self, what: &str, type_: &str) -> Value {
        let object = self.get(what);
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == type_).unwrap_or_default()
    }

    #[track_caller]
    pub fn comes_to(&self, what: &str, type_: &str, status: &str, reason: &str) {
        eventually(&format!("{what} comes to {type_}={status} {reason}"), || {
            let condition = self.condition(what, type_);
            (condition["status"] == status && condition["reason"] == reason).then_some(())
        });
    }

    pub fn registered(&self) -> Vec<(String, String)> {
        let all = self.served.get("registrations");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        all.as_array().unwrap().iter().map(|of| (text(&of["serial"]), text(&of["groupTag"]))).collect()
    }

    /// Versions of all our objects: what is not written stays.
    pub fn versions(&self) -> Vec<String> {
        let all = self.get("apt,apd,apds,configmap");
        let version = |of: &Value| format!("{}@{}", of["metadata"]["name"], of["metadata"]["resourceVersion"]);
        all["items"].as_array().unwrap().iter().map(version).collect()
    }
}

pub fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "apgit.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn hash_of(serial: &str) -> PathBuf {
    root().join(format!("examples/contoso/hashes/{serial}.txt"))
}

fn pin_of(desk: &Desk, serial: &str) -> String {
    let said = desk.run(&format!("hash {} --json", hash_of(serial).display())).json();
    said["hashes"][0]["sha256"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_tenant_and_its_devices_are_registered_changed_and_at_rest_and_the_objects_say_so() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({}));
    stage.device("TEST-BGO-001", json!({"groupTag": "BGO-STD"}));
    stage.device("TEST-BGO-002", json!({}));
    stage.operates();
    stage.is_ready("apd --all");
    stage.is_ready("apt contoso");
    let mut registered = stage.registered();
    registered.sort();
    let named = |serial: &str, tag: &str| (serial.to_owned(), tag.to_owned());
    assert_eq!(registered, [named("TEST-BGO-001", "BGO-STD"), named("TEST-BGO-002", "")]);
    let status = &stage.get("apd test-bgo-001")["status"];
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(status["registrationId"].as_str().map(str::len), Some(36), "{status}");
    let tenant = &stage.get("apt contoso")["status"];
    assert_eq!(tenant["devices"], json!({"declared": 2, "ready": 2, "inProgress": 0, "held": 0}));

    assert_eq!(stage.http("/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(stage.number("apgit_devices", r#"state="ready""#), Some(2.0));
    assert_eq!(stage.number("apgit_actions_total", r#"action="register",result="done""#), Some(2.0));
    assert!(!stage.http("/metrics").1.contains("BGO"), "no serial is a label");
    let events = stage.get("events.events.k8s.io");
    let of = |event: &Value| (event["regarding"]["name"].clone(), event["reason"].clone(), event["type"].clone());
    let told: Vec<_> = events["items"].as_array().unwrap().iter().map(of).collect();
    for name in ["test-bgo-001", "test-bgo-002", "contoso"] {
        assert!(told.contains(&(json!(name), json!("Succeeded"), json!("Normal"))), "{told:?}");
    }

    // A tag that is changed is changed in the tenant.
    stage.device("TEST-BGO-001", json!({"groupTag": "BGO-NEW"}));
    eventually("the tag is written", || stage.registered().contains(&named("TEST-BGO-001", "BGO-NEW")).then_some(()));
    stage.is_ready("apd --all");

    // Whoever is done writes nothing more.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let versions = stage.versions();
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(stage.versions(), versions, "{}", stage.log(0));
    // No hash is in the log, nor in what is kept.
    let kept = stage.done("get configmap,apt,apd --output yaml") + &stage.log(0);
    let hash = std::fs::read_to_string(hash_of("TEST-BGO-001")).unwrap();
    assert!(!kept.contains(&hash[40..140]), "a hash is shown");

    // It ends when it is asked to, and leaves the lease to the next.
    let operator = stage.operators.last_mut().unwrap();
    terminate(operator);
    let ended = operator.wait().expect("it ends");
    assert!(ended.success(), "{ended}: {}", stage.log(0));
    let lease = stage.get("lease");
    assert_eq!(lease["items"][0]["spec"]["holderIdentity"].as_str().unwrap_or_default(), "", "{lease}");
}

#[test]
fn what_is_wrong_with_an_object_stands_in_it_and_keeps_no_other_waiting() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({}));
    stage.device("TEST-BGO-001", json!({}));
    stage.apply(&object("AutopilotDevice", "twin", json!({"serialNumber": "TEST-BGO-002"})));
    stage.device("TEST-BGO-002", json!({}));
    // The Secret has another device's hash.
    let name = "test-bgo-002";
    stage.done(&format!("delete secret {name}"));
    stage.operates();
    stage.is_ready("apd test-bgo-001");
    stage.comes_to("apd twin", "Stalled", "True", "InvalidDeclaration");
    stage.comes_to("apd test-bgo-002", "Stalled", "True", "InvalidDeclaration");
    eventually("it is told", || {
        let events = stage.done("get events.events.k8s.io --output yaml");
        (events.contains("reason: InvalidDeclaration") && events.contains("type: Warning")).then_some(())
    });
    let message = stage.condition("apd twin", "Ready")["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("AutopilotDevice `test-bgo-002`"), "{message}");
    stage.done("delete apd twin");
    // Its hash is not there: that is said, and mended by whoever brings it.
    stage.comes_to(&format!("apd {name}"), "Stalled", "True", "HashNotAvailable");
    let message = stage.condition(&format!("apd {name}"), "Ready")["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("there is no Secret `test-bgo-002`"), "{message}");
    stage.comes_to("apt contoso", "Stalled", "True", "DevicesHeld");
    stage.done(&format!("create secret generic {name} --from-file=hash={}", hash_of("TEST-BGO-002").display()));
    stage.done(&format!("annotate apd {name} apgit.dev/reconcile-requested-at=now"));
    stage.is_ready(&format!("apd {name}"));
    assert_eq!(stage.get(&format!("apd {name}"))["status"]["lastHandledReconcileAt"], "now");
}

#[test]
fn a_device_goes_with_its_object_where_that_says_so_and_one_whose_tenant_goes_stays() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({}));
    stage.device("TEST-BGO-001", json!({"deletionPolicy": "Delete"}));
    stage.device("TEST-BGO-002", json!({"deletionPolicy": "Delete"}));
    stage.operates();
    stage.is_ready("apd --all");
    stage.done("delete apd test-bgo-002");
    eventually("it is deregistered", || (stage.registered().len() == 1).then_some(()));
    stage.is_ready("apt contoso");
    // The whole folder at once: the tenant is gone, and nobody removes anything.
    stage.done("delete apd,apt --all");
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(stage.registered().len(), 1, "{}", stage.log(0));
}

#[test]
fn a_device_that_may_not_go_is_told_at_its_tenant() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({}));
    stage.device("TEST-BGO-001", json!({}));
    stage.device("TEST-BGO-002", json!({"deletionPolicy": "Delete", "protect": true}));
    stage.operates();
    stage.is_ready("apd,apt --all");
    stage.done("delete apd test-bgo-002");
    stage.comes_to("apt contoso", "Stalled", "True", "DevicesHeld");
    let problems = stage.get("apt contoso")["status"]["problems"].to_string();
    assert!(problems.starts_with(r#"["TEST-BGO-002: DeletionProtected, "#), "{problems}");
    assert_eq!(stage.registered().len(), 2);
    // Declared again, it is as ever.
    stage.device("TEST-BGO-002", json!({"deletionPolicy": "Delete", "protect": true}));
    stage.is_ready("apd,apt --all");
}

#[test]
fn of_two_replicas_one_writes_and_the_other_goes_on_where_it_stopped() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({}));
    stage.device("TEST-BGO-001", json!({}));
    stage.operates();
    stage.is_ready("apd --all");
    stage.operates();
    stage.device("TEST-BGO-002", json!({}));
    stage.is_ready("apd --all");
    assert!(!stage.log(1).contains("this replica writes"), "{}", stage.log(1));
    terminate(&stage.operators[0]);
    let _ = stage.operators[0].wait();
    stage.device("TEST-BGO-002", json!({"groupTag": "BGO-STD"}));
    let wanted = ("TEST-BGO-002".to_owned(), "BGO-STD".to_owned());
    eventually("the other one writes", || stage.registered().contains(&wanted).then_some(()));
    assert_eq!(stage.registered().len(), 2, "nothing is registered twice");
    stage.is_ready("apd --all");
}

#[test]
fn a_tenant_that_cannot_be_reached_says_why() {
    let Some(mut stage) = Stage::new() else { return };
    let nobody = json!({"login": "http://127.0.0.1:9", "graph": "http://127.0.0.1:9"});
    stage.tenant(json!({"endpoints": nobody}));
    stage.device("TEST-BGO-001", json!({}));
    stage.operates();
    stage.comes_to("apt contoso", "Ready", "False", "TenantNotReady");
    stage.comes_to("apd test-bgo-001", "Ready", "False", "TenantNotReady");
    // Nobody signs in as the operator.
    stage.tenant(json!({"auth": {"type": "ManagedIdentity"}, "endpoints": nobody}));
    stage.comes_to("apt contoso", "Stalled", "True", "CredentialsInvalid");
    // It comes back, and what was known of its devices is known still.
    stage.tenant(json!({}));
    stage.is_ready("apd --all");
    stage.tenant(json!({"endpoints": nobody}));
    stage.comes_to("apt contoso", "Ready", "False", "TenantNotReady");
    assert_eq!(stage.condition("apd test-bgo-001", "Ready")["status"], "True");
}

#[test]
fn a_tenant_signs_in_as_a_service_account_of_its_own_namespace() {
    let Some(mut stage) = Stage::new() else { return };
    let app = "aaaaaaaa-0000-4000-8000-000000000001";
    let auth = json!({"type": "WorkloadIdentity", "clientId": app, "serviceAccountName": "intune"});
    stage.tenant(json!({"auth": auth}));
    stage.device("TEST-BGO-001", json!({}));
    stage.operates_with("replica", "--allow-endpoint 127.0.0.1");
    stage.comes_to("apt contoso", "Ready", "False", "CredentialsInvalid");
    let message = stage.condition("apt contoso", "Ready")["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("ServiceAccount `intune`") && message.contains("not found"), "{message}");
    assert_eq!(stage.registered(), []);
    stage.done("create serviceaccount intune");
    stage.done("annotate apt contoso apgit.dev/reconcile-requested-at=now");
    stage.is_ready("apd --all");
    let asked = stage.cluster.audit().into_iter().filter(|of| {
        of["objectRef"]["subresource"] == "token" && of["objectRef"]["namespace"] == json!(stage.namespace)
    });
    let asked: Vec<Value> = asked.collect();
    assert!(!asked.is_empty() && asked.iter().all(|of| of["objectRef"]["name"] == "intune"), "{asked:?}");
    // A secret and a certificate come from the namespace, too, or not at all.
    let auth = json!({"type": "ClientSecret", "clientId": app, "secretRef": {"name": "app", "key": "secret"}});
    stage.tenant(json!({"auth": auth}));
    stage.comes_to("apt contoso", "Stalled", "True", "CredentialsInvalid");
    stage.done("create secret generic app --from-literal=secret=not-a-secret");
    stage.done("annotate apt contoso --overwrite apgit.dev/reconcile-requested-at=again");
    eventually("it is tried", || {
        let message = stage.condition("apt contoso", "Ready")["message"].as_str().unwrap_or_default().to_owned();
        (!message.contains("no Secret")).then_some(())
    });
    let kept = stage.done("get apt,apd,events.events.k8s.io --output yaml") + &stage.log(0);
    assert!(!kept.contains("not-a-secret"), "a secret is shown");
}

/// A port that was free a moment ago.
fn free() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has one").to_string()
}

/// What the page of an operator answers; `Null` while it does not.
fn asked(host: &str, path: &str) -> Value {
    if std::net::TcpStream::connect(host).is_err() {
        return Value::Null;
    }
    serde_json::from_str(&Answer::of(host, "GET", path, &[("Host", host)]).body).unwrap_or_default()
}

#[test]
fn the_page_of_an_operator_shows_its_tenants_and_names_nobody() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({}));
    stage.device("TEST-BGO-001", json!({"groupTag": "BGO-STD", "userPrincipalName": "anna.keller@contoso.com"}));
    stage.device("TEST-BGO-002", json!({"suspend": true}));
    stage.apply(&object("AutopilotDevice", "twin", json!({"serialNumber": "TEST-BGO-001"})));
    let hosts = [free(), free()];
    stage.operates_on(&hosts[0], "first");
    let (host, namespace) = (hosts[0].as_str(), stage.namespace.clone());
    stage.comes_to("apd twin", "Stalled", "True", "InvalidDeclaration");
    let site = eventually("the page has a reading", || {
        let site = asked(host, "/api/status");
        (!site["tenants"][0]["reading"].is_null()).then_some(site)
    });
    let tenant = &site["tenants"][0];
    assert_eq!((&tenant["key"], &tenant["policy"]), (&json!(format!("{namespace}/contoso")), &json!("Sync")));
    assert!(tenant["problems"].to_string().contains("AutopilotDevice/twin"), "{tenant:#}");
    assert_eq!(tenant["reading"]["held"][0]["reason"], "Suspended", "{tenant:#}");
    stage.done("delete apd twin");
    stage.is_ready("apd test-bgo-001");
    let devices = eventually("the page shows the device", || {
        let devices = asked(host, "/api/devices?q=bgo-001+as+declared");
        (devices["matching"] == 1).then_some(devices)
    });
    assert_eq!(devices["devices"][0]["file"], "AutopilotDevice/test-bgo-001");
    let before = stage.served.get("log").as_array().unwrap().len();
    for path in ["/", "/api/status", "/api/devices", "/page.js", "/healthz", "/readyz"] {
        let answer = Answer::of(host, "GET", path, &[("Host", host)]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(
            !answer.body.to_lowercase().contains("anna") && !answer.body.contains("userPrincipalName"),
            "{}",
            answer.body
        );
    }
    assert!(Answer::of(host, "GET", "/", &[("Host", host)]).body.contains("BGO-STD"));
    assert_eq!(Answer::of(host, "GET", "/", &[("Host", "evil.example")]).status, 421, "it listens on loopback");
    assert_eq!(stage.served.get("log").as_array().unwrap().len(), before, "nobody else is asked");
    // Another replica says that it is not the one who knows.
    stage.operates_on(&hosts[1], "second");
    eventually("the other replica knows the tenant", || {
        let site = asked(&hosts[1], "/api/status");
        (site["tenants"][0]["elsewhere"] == true).then_some(())
    });
    // A tenant that is gone is gone from the page.
    stage.done("delete apd,apt --all");
    eventually("it is gone", || (asked(host, "/api/status")["tenants"] == json!([])).then_some(()));
}

#[test]
fn a_replica_that_has_died_is_followed_by_another_one() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({}));
    stage.device("TEST-BGO-001", json!({}));
    stage.operates_with("first", "--lease-seconds 12");
    stage.is_ready("apd --all");
    stage.operates_with("second", "--lease-seconds 12");
    std::thread::sleep(std::time::Duration::from_secs(3));
    let first = &mut stage.operators[0];
    first.kill().expect("SIGKILL is never refused");
    let _ = first.wait();
    stage.device("TEST-BGO-001", json!({"groupTag": "BGO-STD"}));
    let wanted = ("TEST-BGO-001".to_owned(), "BGO-STD".to_owned());
    eventually("the other one writes", || stage.registered().contains(&wanted).then_some(()));
    assert!(stage.log(1).contains("this replica writes"), "{}", stage.log(1));
}

#[test]
fn a_ledger_that_was_put_back_is_not_believed() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({}));
    stage.device("TEST-BGO-001", json!({}));
    stage.device("TEST-BGO-002", json!({"deletionPolicy": "Delete"}));
    stage.operates();
    stage.is_ready("apd --all");
    let ledger = "configmap --selector apgit.dev/tenant-id";
    let mut copy = stage.get(ledger);
    let is_ledger = |item: &Value| item["metadata"]["name"].as_str().is_some_and(|name| name.contains("-ledger"));
    copy["items"].as_array_mut().unwrap().retain(is_ledger);
    let names = |list: &Value| -> String {
        let items = list["items"].as_array().unwrap().iter().filter(|item| is_ledger(item));
        items.map(|item| format!(" {}", item["metadata"]["name"].as_str().unwrap())).collect()
    };
    assert!(!names(&copy).is_empty(), "{copy}");
    // It is let go, and stays registered.
    stage.device("TEST-BGO-002", json!({"deletionPolicy": "Orphan"}));
    stage.is_ready("apd,apt --all");
    stage.done("delete apd test-bgo-002");
    stage.is_ready("apt contoso");
    for item in copy["items"].as_array_mut().unwrap() {
        let metadata = item["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| ["name", "labels", "annotations"].contains(&key.as_str()));
    }
    let now = names(&stage.get(ledger));
    stage.done(&format!("delete configmap{now}"));
    stage.apply(&copy);
    stage.done("annotate apt contoso --overwrite apgit.dev/reconcile-requested-at=now");
    stage.comes_to("apt contoso", "Stalled", "True", "LedgerUnusable");
    assert_eq!(stage.registered().len(), 2, "{}", stage.log(0));
}

#[test]
fn a_device_that_another_owner_declares_by_now_is_let_go() {
    let Some(mut stage) = Stage::new() else { return };
    stage.tenant(json!({"scope": {"groupTags": ["A-*"]}}));
    let endpoints = json!({"login": stage.served.url, "graph": stage.served.url});
    let other = json!({
        "tenantId": crate::shared::TENANT, "ownerId": "other", "policy": "Sync", "endpoints": endpoints,
        "scope": {"groupTags": ["B-*"]},
    });
    stage.apply(&object("AutopilotTenant", "other", other));
    stage.device("TEST-BGO-001", json!({"groupTag": "A-1", "deletionPolicy": "Delete"}));
    stage.operates();
    stage.is_ready("apd --all");
    stage.done("delete apd test-bgo-001");
    let device = json!({"serialNumber": "TEST-BGO-001", "tenantRef": {"name": "other"}, "groupTag": "A-1"});
    stage.apply(&object("AutopilotDevice", "test-bgo-001", device));
    std::thread::sleep(std::time::Duration::from_secs(8));
    assert_eq!(stage.registered().len(), 1, "{}", stage.log(0));
}
