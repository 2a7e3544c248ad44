//! A tenant behind a gate, and one or more machines that apply to it, each with a
//! ledger in its state folder or all with one in a branch.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use apgit::door::sim::{Settings, Tenant, Write, WriteKind};
use serde_json::Value;

use super::gate::{Cut, Gate};
use crate::road::world::{Declared, Repository, Served};
use crate::support::{OWNER, Ran, Remote, TENANT, git, ran};

/// Where the ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    InFile,
    InBranch,
}

pub struct Site {
    pub served: Served,
    pub gate: Gate,
    pub remote: Option<Remote>,
}

/// A state folder with a checkout.
pub struct Machine {
    pub repository: Repository,
    /// Of the branch, if the ledger is there.
    shared: Option<PathBuf>,
}

/// A device with a tag that goes with its declaration.
pub fn going(number: u64) -> Declared {
    staying(number).with("deletionPolicy", "Delete")
}

/// One that is released with it.
pub fn staying(number: u64) -> Declared {
    Declared::new(number).with("groupTag", "OSL-STD")
}

pub fn serial(number: u64) -> String {
    format!("TEST-{number:06}")
}

impl Site {
    pub fn new(kept: Kept, seed: u64) -> Self {
        Self::with(Settings::calm(), kept, seed)
    }

    pub fn with(settings: Settings, kept: Kept, seed: u64) -> Self {
        let served = Served::start(settings, seed);
        let gate = Gate::before(&served.url);
        let remote = (kept == Kept::InBranch).then(|| Remote::empty("shared.git"));
        Self { served, gate, remote }
    }

    /// A machine that declares this.
    pub fn machine(&self, fleet: &[Declared]) -> Machine {
        let repository = Repository::new(Some(&self.gate.url), fleet);
        let machine = Machine { repository, shared: self.remote.as_ref().map(|remote| remote.path.clone()) };
        if let Some(remote) = &self.remote {
            let root = machine.repository.root();
            git(&root, &["init", "-q", "-b", "main"]);
            git(&root, &["remote", "add", "origin", &remote.url()]);
            if remote.head("main").is_some() {
                git(&root, &["fetch", "-q", "origin", "main"]);
                git(&root, &["reset", "-q", "origin/main"]);
            }
            machine.commit();
        }
        machine
    }

    /// What was accepted of this kind since the counters were reset, by serial.
    pub fn accepted(&self, kind: WriteKind) -> Vec<String> {
        let is_meant = |write: &&Write| write.kind == kind && !write.by.is_empty();
        let serials = |tenant: &mut Tenant| -> Vec<String> {
            tenant.witnessed().filter(is_meant).map(|write| write.serial.to_string()).collect()
        };
        self.served.tenant.with(serials)
    }

    /// Serials and tags of what is registered.
    pub fn registered(&self) -> BTreeSet<(String, String)> {
        let all = self.served.tenant.with(|tenant| tenant.registrations());
        all.into_iter().map(|of| (of.serial.to_string(), of.group_tag.to_string())).collect()
    }

    pub fn is_registered(&self, number: u64) -> bool {
        self.served.tenant.with(|tenant| !tenant.registrations_of(&serial(number)).is_empty())
    }

    /// Lets time pass.
    pub fn pass(&self, span: jiff::SignedDuration) {
        let shared = &self.served.tenant;
        shared.advance_to(shared.now() + span);
    }
}

impl Machine {
    /// Declares another fleet.
    pub fn declare(&self, fleet: &[Declared]) {
        self.repository.declare(fleet);
        self.commit();
    }

    /// What is declared, as one more commit of a history that all machines share.
    fn commit(&self) {
        if self.shared.is_none() {
            return;
        }
        let root = self.repository.root();
        git(&root, &["add", "-A"]);
        git(&root, &["commit", "-q", "--allow-empty", "-m", "the fleet"]);
        git(&root, &["push", "-q", "origin", "HEAD:main"]);
    }

    /// Checks out what another machine has committed last.
    pub fn catches_up(&self) {
        if self.shared.is_some() {
            self.follow();
        }
    }

    /// The same, where there is a history.
    pub fn follow(&self) {
        let root = self.repository.root();
        git(&root, &["fetch", "-q", "origin", "main"]);
        git(&root, &["reset", "-q", "--hard", "FETCH_HEAD"]);
    }

    pub fn command(&self, words: &str) -> Command {
        let mut all: Vec<&str> = words.split_whitespace().collect();
        if all[0] != "ledger" {
            all.insert(1, "fleet");
        }
        let mut command = self.repository.apgit(&all);
        if self.shared.is_some() {
            command.args(["--ledger", "branch", "--allow-endpoint", "127.0.0.1"]);
            command.env("PATH", std::env::var_os("PATH").expect("git is somewhere"));
            command.env("GIT_CONFIG_GLOBAL", "/dev/null");
        }
        command
    }

    #[track_caller]
    pub fn run(&self, words: &str) -> Ran {
        ran(&mut self.command(words))
    }

    /// An apply to the end.
    #[track_caller]
    pub fn apply(&self, words: &str) -> Ran {
        let apply = self.run(&format!("apply --auto-approve {words}"));
        assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
        apply
    }

    /// Nothing is left to do, and doing it writes nothing.
    #[track_caller]
    pub fn is_settled(&self, site: &Site, context: &str) {
        let ledger = self.ledger_text();
        site.served.tenant.with(Tenant::reset_counters);
        let again = self.run("apply --auto-approve");
        assert!(again.code == 0 && again.out.contains("No changes."), "{context}: {}{}", again.out, again.err);
        let written = site.served.tenant.with(|tenant| tenant.witnessed().count());
        assert_eq!(written, 0, "{context}: an idle apply writes to the tenant");
        assert_eq!(self.ledger_text(), ledger, "{context}: an idle apply writes the ledger");
    }

    /// Begins an apply that the gate cuts off, and kills it there. False if it
    /// never came to that request.
    pub fn is_killed_at(&self, site: &Site, request: usize, cut: Cut, words: &str) -> bool {
        site.gate.set(Some((request, cut)));
        let mut child = self.begin(words);
        let is_cut = site.gate.is_cut(|| child.try_wait().expect("it is ours").is_some());
        let _ = child.kill();
        let _ = child.wait();
        site.gate.set(None);
        is_cut
    }

    pub fn begin(&self, words: &str) -> Child {
        let mut command = self.command(&format!("apply --auto-approve {words}"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("apgit runs")
    }

    /// The folder with the journal, and with the ledger if that is a file.
    pub fn folder(&self) -> PathBuf {
        self.repository.state_dir().join("endpoints/loopback").join(TENANT).join("owners").join(OWNER)
    }

    pub fn branch() -> String {
        format!("rehearsal/apgit-ledger/{TENANT}/{OWNER}")
    }

    pub fn ledger_text(&self) -> Option<String> {
        ledger_text(self.shared.as_deref(), &self.folder())
    }

    pub fn ledger(&self) -> Value {
        serde_json::from_str(&self.ledger_text().expect("a ledger")).expect("JSON")
    }

    /// The serials in it.
    pub fn tracked(&self) -> BTreeSet<String> {
        serials(&self.ledger()["devices"])
    }

    pub fn lose_journal(&self) {
        let _ = std::fs::remove_file(self.folder().join("journal.jsonl"));
    }

    pub fn lose_ledger(&self) {
        match &self.shared {
            None => _ = std::fs::remove_file(self.folder().join("ledger.json")),
            Some(remote) => _ = git(remote, &["update-ref", "-d", &format!("refs/heads/{}", Self::branch())]),
        }
    }
}

pub fn ledger_text(remote: Option<&Path>, folder: &Path) -> Option<String> {
    match remote {
        None => std::fs::read_to_string(folder.join("ledger.json")).ok(),
        Some(remote) => {
            let name = format!("refs/heads/{}", Machine::branch());
            if git(remote, &["for-each-ref", &name]).is_empty() {
                return None;
            }
            Some(format!("{}\n", git(remote, &["cat-file", "blob", &format!("{name}:ledger.json")])))
        }
    }
}

fn serials(devices: &Value) -> BTreeSet<String> {
    let devices = devices.as_array().expect("a list").iter();
    devices.map(|device| device["serialNumber"].as_str().expect("a serial").to_owned()).collect()
}

/// What a ledger says of devices, whenever and in however many steps it came to
/// that: a line each.
pub fn said(ledger: &Value) -> BTreeSet<String> {
    let lines = ["devices", "tombstones"].into_iter().flat_map(|name| ledger[name].as_array().expect("a list"));
    let said = |line: &Value| {
        let mut line = line.clone();
        ["plan", "at", "registrationId", "hardware", "commit"]
            .iter()
            .for_each(|name| _ = line.as_object_mut().expect("one").remove(*name));
        line.to_string()
    };
    lines.map(said).collect()
}

/// All that a machine and a tenant are made of, to come back to.
pub struct Moment {
    tenant: String,
    state: tempfile::TempDir,
    ledger: Option<String>,
}

impl Moment {
    pub fn of(site: &Site, machine: &Machine) -> Self {
        let tenant = site.served.tenant.with(|tenant| {
            tenant.reset_counters();
            tenant.save()
        });
        let state = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        copy(&machine.repository.state_dir(), &state.path().join("state"));
        let ledger = site.remote.as_ref().and_then(|remote| remote.head(&Machine::branch()));
        Self { tenant, state, ledger }
    }

    pub fn back(&self, site: &Site, machine: &Machine) {
        site.served.tenant.with(|tenant| *tenant = Tenant::load(&self.tenant).expect("it was saved"));
        let state = machine.repository.state_dir();
        std::fs::remove_dir_all(&state).expect("a folder of ours");
        copy(&self.state.path().join("state"), &state);
        if let (Some(remote), Some(commit)) = (&site.remote, &self.ledger) {
            remote.git(&["update-ref", &format!("refs/heads/{}", Machine::branch()), commit]);
        }
    }
}

/// With permissions and all.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} can be copied", from.display());
}
