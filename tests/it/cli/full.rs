//! A disk that fills up while a run writes: what cannot be written down is not
//! sent, and the next run, with room, ends as any other.
//!
//! A limit on the size of files stands for the disk: whatever grows beyond it is
//! refused, as by a disk that is full.
#![cfg(unix)]

use std::process::Command;

use serde_json::Value;

use crate::support::{Desk, Folder, Ran, Simulate, contoso, ran};

struct Scene {
    desk: Desk,
    folder: Folder,
    served: Simulate,
}

impl Scene {
    fn new() -> Self {
        let desk = Desk::new();
        let served = desk.simulate("--speed instant");
        let folder = contoso();
        folder.lead_to(&served.url);
        Self { desk, folder, served }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = self.desk.command(&format!("{words} --allow-endpoint 127.0.0.1"));
        command.current_dir(self.folder.path()).env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        command
    }

    /// With room for files of so many KiB.
    fn run_within(&self, kib: u32, words: &str) -> Ran {
        let command = self.command(words);
        let mut within = Command::new("bash");
        // A signal that is ignored stays so: the write fails, and that is all.
        within.args(["-c", &format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\""), "within"]);
        within.arg(command.get_program()).args(command.get_args()).env_clear();
        within.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        within.env("PATH", std::env::var_os("PATH").unwrap()).current_dir(self.folder.path());
        ran(&mut within)
    }

    fn run(&self, words: &str) -> Ran {
        ran(&mut self.command(words))
    }

    fn serials(&self) -> Vec<String> {
        let all = self.served.get("registrations");
        let of = |device: &Value| device["serial"].as_str().expect("a serial").to_owned();
        let mut serials: Vec<String> = all.as_array().expect("a list").iter().map(of).collect();
        serials.sort();
        serials
    }

    fn rows(&self) -> u64 {
        self.served.get("counters")["rows_posted"].as_u64().expect("a number")
    }
}

#[test]
fn wherever_the_disk_is_full_nothing_is_sent_twice_and_nothing_is_lost() {
    let mut stopped = 0;
    for kib in (0..24).chain([32, 48, 64]) {
        let scene = Scene::new();
        let full = scene.run_within(kib, "apply . --auto-approve");
        stopped += usize::from(full.code != 0);
        let sent = scene.rows();
        let again = scene.run("apply . --auto-approve");
        assert_eq!(again.code, 0, "{kib} KiB: {}{}\nbefore: {}{}", again.out, again.err, full.out, full.err);
        assert_eq!(scene.serials().len(), 9, "{kib} KiB");
        assert_eq!(scene.rows(), 9, "{kib} KiB: each once, {sent} of them before");
        let list = scene.run("ledger list .");
        assert!(list.out.contains("9 devices"), "{kib} KiB: no line is lost: {}{}", list.out, list.err);
        let audit = scene.run("audit verify");
        assert_eq!(audit.code, 0, "{kib} KiB: {}{}", audit.out, audit.err);
        let settled = scene.run("plan . --detailed-exitcode");
        assert!(settled.code == 0 && settled.out.contains("No changes."), "{kib} KiB: {}", settled.out);
    }
    assert!(stopped > 10, "only {stopped} runs met a full disk");
}
