//! A Kubernetes API server with its store and two controllers, without nodes:
//! started once for all tests, on ports and in a folder of its own.
//!
//! Namespaces end and owner references cascade; nothing is scheduled.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;

use super::kept::Kept;
use super::tools::{chart_tool, say_skipped, tools};
use super::wait::{PATIENCE, within};
use crate::shared::{Bounds, Ran, root};

/// Ports are free when they are chosen, and may be somebody else's a moment
/// later. Five times in a row they are not.
const ATTEMPTS: usize = 5;

/// Who asked for what, of every request.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
";

/// What it makes for itself, and others know it by.
const CERTIFICATE: &str = "certificates/apiserver.crt";

pub struct ControlPlane {
    folder: PathBuf,
    tools: PathBuf,
    server: String,
    namespaces: AtomicUsize,
    files: AtomicUsize,
    store: String,
    api_server: Vec<String>,
    kept: Mutex<Vec<(&'static str, Kept)>>,
}

/// Whether our kinds are served from the beginning.
#[derive(Clone, Copy, PartialEq)]
enum Kinds {
    There,
    Absent,
}

impl ControlPlane {
    /// The one of this test binary, started by whoever asks first. `None` where
    /// its programs are not here: then the test has nothing to do, and that has
    /// been said.
    pub fn here() -> Option<&'static Self> {
        static ONE: OnceLock<Result<Option<ControlPlane>, String>> = OnceLock::new();
        let one = ONE.get_or_init(|| match tools() {
            Ok(tools) => Self::start(&tools, Kinds::There).map(Some),
            Err(why) => {
                say_skipped(&why);
                Ok(None)
            }
        });
        match one {
            Ok(one) => one.as_ref(),
            Err(why) => panic!("{why}"),
        }
    }

    /// One of a test's own, to be taken down and up again.
    pub fn own() -> Option<&'static Self> {
        Self::other(Kinds::There)
    }

    /// Ends the API server at once; the store stays.
    pub fn stop_api_server(&self) {
        self.kept().retain(|(name, _)| *name != "kube-apiserver");
    }

    /// Starts it again, on the same port and over the same store.
    pub fn start_api_server(&self) {
        self.run("kube-apiserver", &self.api_server).expect("it starts");
        self.wait_until_ready().expect("it is ready");
    }

    /// Has the store forget what came before now: whoever watched from there has to
    /// list again.
    pub fn compact(&self) {
        let ask = |path: &str, body: &str| -> Value {
            let address = self.store.trim_start_matches("http://");
            let mut stream = std::net::TcpStream::connect(address).expect("the store listens");
            let length = body.len();
            write!(
                stream,
                "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .expect("the store listens");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            let body = answer.split_once("\r\n\r\n").expect("a body").1;
            serde_json::from_str(&body[body.find('{').expect("JSON")..=body.rfind('}').expect("JSON")]).expect("JSON")
        };
        let now = ask("/v3/kv/range", r#"{"key":"AA=="}"#);
        let revision = now["header"]["revision"].as_str().expect("a revision").to_owned();
        let answer = ask("/v3/kv/compaction", &format!(r#"{{"revision":"{revision}","physical":true}}"#));
        assert!(answer["header"].is_object(), "{answer}");
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(&'static str, Kept)>> {
        self.kept.lock().expect("nobody panics with it")
    }

    /// One more, which knows none of our kinds: for what is the whole cluster's.
    /// It ends with the test process.
    pub fn bare() -> Option<&'static Self> {
        Self::other(Kinds::Absent)
    }

    fn other(kinds: Kinds) -> Option<&'static Self> {
        // That programs lack is said there.
        Self::here()?;
        let tools = tools().expect("they were there a moment ago");
        let started = Self::start(&tools, kinds).unwrap_or_else(|why| panic!("{why}"));
        Some(Box::leak(Box::new(started)))
    }

    fn start(tools: &Path, kinds: Kinds) -> Result<Self, String> {
        let mut started = Self::attempt(tools, kinds);
        for _ in 1..ATTEMPTS {
            match started {
                Err(why) if why.contains("address already in use") => started = Self::attempt(tools, kinds),
                _ => break,
            }
        }
        started
    }

    fn attempt(tools: &Path, kinds: Kinds) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("apgit-cluster-").tempdir().map_err(|error| error.to_string())?;
        let sweeper = Kept::sweep(folder.path()).map_err(|error| error.to_string())?;
        // From here on the sweeper removes it.
        let folder = folder.keep();
        let [store, peers, server] = free_ports();
        let mut this = Self {
            folder,
            tools: tools.to_owned(),
            server: format!("https://127.0.0.1:{server}"),
            namespaces: AtomicUsize::new(0),
            files: AtomicUsize::new(0),
            store: format!("http://127.0.0.1:{store}"),
            api_server: Vec::new(),
            kept: Mutex::new(vec![("sweeper", sweeper)]),
        };
        this.write_files();
        this.run("etcd", &this.etcd(&this.store, peers))?;
        this.api_server = this.api_server(&this.store, server);
        this.run("kube-apiserver", &this.api_server)?;
        this.wait_until_ready()?;
        // The controllers look for kinds when they start, and then only now and then.
        if kinds == Kinds::There {
            this.apply_crds();
        }
        this.run("kube-controller-manager", &this.controllers())?;
        Ok(this)
    }

    fn write_files(&self) {
        let key = rcgen::KeyPair::generate().expect("a key");
        self.write("accounts.key", &key.serialize_pem());
        self.write("accounts.pub", &key.public_key_pem());
        self.write("audit-policy.yaml", AUDIT_POLICY);
        let mut tokens = String::new();
        for user in ["admin", "controllers"] {
            let token = uuid::Uuid::new_v4();
            writeln!(tokens, "{token},{user},{user},\"system:masters\"").expect("a line");
            self.write_kubeconfig(user, &token.to_string());
        }
        self.write("tokens.csv", &tokens);
    }

    fn etcd(&self, store: &str, peers: u16) -> Vec<String> {
        vec![
            format!("--data-dir={}", self.at("etcd").display()),
            format!("--listen-client-urls={store}"),
            format!("--advertise-client-urls={store}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peers}"),
            "--unsafe-no-fsync".to_owned(),
        ]
    }

    fn api_server(&self, store: &str, port: u16) -> Vec<String> {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.at(name).display());
        vec![
            format!("--etcd-servers={store}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            file("cert-dir", "certificates"),
            format!("--service-account-issuer={}/", self.server),
            file("service-account-key-file", "accounts.pub"),
            file("service-account-signing-key-file", "accounts.key"),
            "--authorization-mode=RBAC".to_owned(),
            file("token-auth-file", "tokens.csv"),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            // No controller makes the accounts that it would ask for.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            file("audit-policy-file", "audit-policy.yaml"),
            file("audit-log-path", "audit.log"),
        ]
    }

    fn controllers(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.at("controllers.kubeconfig").display()),
            "--controllers=namespace-controller,garbage-collector-controller".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ]
    }

    fn run(&self, name: &'static str, words: &[String]) -> Result<(), String> {
        let kept = Kept::run(&self.tools.join(name), words, &self.log(name));
        self.kept().push((name, kept.map_err(|error| format!("{name}: {error}"))?));
        Ok(())
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let ready = within(PATIENCE, || {
            let ended = self.kept().iter_mut().find_map(|(name, kept)| kept.has_ended().then_some(*name));
            if let Some(name) = ended {
                return Some(Err(format!("{name} has ended:\n{}", self.log_tail(name))));
            }
            // It makes its certificate first, which the kubeconfig names.
            let has_certificate = self.at(CERTIFICATE).exists();
            (has_certificate && self.kubectl("get --raw /readyz").out == "ok").then_some(Ok(()))
        });
        ready.unwrap_or_else(|| Err(format!("kube-apiserver is not ready:\n{}", self.log_tail("kube-apiserver"))))
    }

    /// Where its administrator's kubeconfig is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.at("admin.kubeconfig")
    }

    /// A kubeconfig of whoever has this token.
    pub fn kubeconfig_as(&self, token: &str) -> PathBuf {
        let name = format!("user-{}", self.files.fetch_add(1, Ordering::Relaxed));
        self.write_kubeconfig(&name, token)
    }

    fn write_kubeconfig(&self, name: &str, token: &str) -> PathBuf {
        let certificate = self.at(CERTIFICATE);
        let text = format!(
            "apiVersion: v1\n\
             kind: Config\n\
             clusters: [{{name: test, cluster: {{server: \"{}\", certificate-authority: \"{}\"}}}}]\n\
             users: [{{name: {name}, user: {{token: \"{token}\"}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: {name}}}}}]\n\
             current-context: test\n",
            self.server,
            certificate.display()
        );
        self.write(&format!("{name}.kubeconfig"), &text)
    }

    /// A client of its administrator's, for the runtime that it is made in.
    pub async fn client(&self) -> Client {
        self.client_of(&self.kubeconfig()).await
    }

    /// A client with a kubeconfig of ours.
    pub async fn client_of(&self, kubeconfig: &Path) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig of ours");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        Client::try_from(config.expect("a kubeconfig of ours")).expect("a client")
    }

    /// `kubectl` as its administrator, with a command line as it is typed;
    /// nothing in it has blanks.
    #[track_caller]
    pub fn kubectl(&self, words: &str) -> Ran {
        self.ran(words, Stdio::null())
    }

    /// The same, with `input` as stdin.
    #[track_caller]
    pub fn kubectl_with(&self, words: &str, input: &str) -> Ran {
        let name = format!("input-{}", self.files.fetch_add(1, Ordering::Relaxed));
        let file = std::fs::File::open(self.write(&name, input)).expect("a file of ours");
        self.ran(words, file.into())
    }

    #[track_caller]
    fn ran(&self, words: &str, stdin: Stdio) -> Ran {
        let mut command = Command::new(self.tools.join("kubectl"));
        // It keeps what the server can do under its home.
        command.env_clear().env("HOME", &self.folder).env("KUBECONFIG", self.kubeconfig()).current_dir(root());
        command.args(words.split_whitespace()).stdin(stdin);
        Bounds { seconds: PATIENCE.as_secs(), ..Bounds::default() }.hold(&mut command)
    }

    /// `helm` as its administrator, with a command line as it is typed.
    #[track_caller]
    pub fn helm(&self, words: &str) -> Ran {
        let mut command = Command::new(chart_tool("helm"));
        command.env_clear().env("HOME", &self.folder).env("KUBECONFIG", self.kubeconfig()).current_dir(root());
        command.args(words.split_whitespace()).stdin(Stdio::null());
        Bounds { seconds: PATIENCE.as_secs(), ..Bounds::default() }.hold(&mut command)
    }

    /// Of a command that has to succeed, what it said.
    #[track_caller]
    pub fn done(&self, words: &str) -> String {
        let Ran { code, out, err } = self.kubectl(words);
        assert_eq!(code, 0, "kubectl {words}: {out}{err}");
        out
    }

    /// Creates what `manifest` says in a namespace.
    #[track_caller]
    pub fn create(&self, namespace: &str, manifest: &str) {
        let Ran { code, out, err } =
            self.kubectl_with(&format!("create --namespace {namespace} --filename -"), manifest);
        assert_eq!(code, 0, "{out}{err}");
    }

    /// Whether an object is there no more.
    #[track_caller]
    pub fn is_gone(&self, object: &str) -> bool {
        self.done(&format!("get {object} --ignore-not-found --output name")).is_empty()
    }

    /// A new namespace, for one test alone.
    #[track_caller]
    pub fn namespace(&self) -> String {
        let name = format!("test-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.done(&format!("create namespace {name}"));
        name
    }

    /// A token of a service account, good for an hour.
    #[track_caller]
    pub fn token_for(&self, namespace: &str, account: &str) -> String {
        self.done(&format!("create token {account} --namespace {namespace} --duration 1h")).trim_end().to_owned()
    }

    /// Applies `crds/` and waits until the kinds are served. They are when tests
    /// begin.
    #[track_caller]
    pub fn apply_crds(&self) -> String {
        let applied = self.done("apply --server-side --filename crds");
        self.done("wait --for condition=Established --timeout 60s --filename crds");
        applied
    }

    /// All requests so far, as the API server wrote them down: `user.username`,
    /// `verb`, `objectRef`.
    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.at("audit.log")).expect("the audit log");
        // The last line may be on its way.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.at(&format!("{name}.log"))
    }

    fn log_tail(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        std::fs::write(&path, text).expect("a file in our folder");
        path
    }
}

/// Ports that nobody listens on, all of them held until all are known.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("its address").port())
}
