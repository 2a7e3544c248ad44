//! The ledger cannot be written: before a run, and then nothing is sent; or after
//! it, and then the next run makes up for it.

use std::path::PathBuf;
use std::process::Stdio;

use super::crash::{Lost, Matrix, YES};
use super::gate::Cut;
use super::site::{Kept, Site, staying};
use crate::support::Ran;

/// Something that keeps a ledger from being written, until it is taken away.
enum Bolt {
    /// The file, or the whole remote, is elsewhere.
    Away { from: PathBuf, to: PathBuf },
    /// The remote takes no push.
    Hook(PathBuf),
}

impl Bolt {
    fn of(matrix: &Matrix, is_line_cut: bool) -> Self {
        let away = |from: PathBuf| Self::Away { to: from.with_extension("away"), from };
        match &matrix.site.remote {
            Some(remote) if is_line_cut => away(remote.path.clone()),
            Some(remote) => Self::Hook(remote.path.join("hooks/pre-receive")),
            None => away(matrix.machine.folder().join("ledger.json")),
        }
    }

    fn shut(&self) {
        match self {
            Self::Away { from, to } => std::fs::rename(from, to).expect("it is there"),
            Self::Hook(path) => {
                use std::os::unix::fs::PermissionsExt as _;
                std::fs::write(path, "#!/bin/sh\necho not today >&2\nexit 1\n").expect("a hook");
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a hook");
            }
        }
    }

    fn open(&self) {
        match self {
            Self::Away { from, to } => std::fs::rename(to, from).expect("it is there"),
            Self::Hook(path) => std::fs::remove_file(path).expect("the hook"),
        }
    }
}

/// An apply during which the ledger is bolted, before that request.
fn bolted(matrix: &Matrix, request: usize, is_line_cut: bool) -> Ran {
    matrix.moment.back(&matrix.site, &matrix.machine);
    matrix.site.gate.set(Some((request, Cut::Pause)));
    let mut command = matrix.machine.command(&format!("apply --auto-approve {YES}"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("apgit runs");
    assert!(matrix.site.gate.is_cut(|| child.try_wait().unwrap().is_some()), "request {request} was come to");
    let bolt = Bolt::of(matrix, is_line_cut);
    bolt.shut();
    matrix.site.gate.open();
    let output = child.wait_with_output().expect("it ends");
    bolt.open();
    matrix.site.gate.set(None);
    Ran {
        code: output.status.code().expect("a code"),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn refused(kept: Kept, seed: u64) {
    let matrix = Matrix::new(kept, seed);
    // As a file it is missed, as a branch it is refused.
    let wanted = if kept == Kept::InFile { 6 } else { 1 };
    for is_line_cut in [false, true] {
        let ran = bolted(&matrix, 1, is_line_cut);
        let context = format!("before: {}{}", ran.out, ran.err);
        assert_eq!(ran.code, wanted, "{context}");
        assert!(ran.out.contains("LedgerNotWritten") && ran.out.contains("0 done"), "{context}");
        let written = matrix.site.served.tenant.with(|tenant| tenant.witnessed().count());
        assert_eq!(written, 0, "nothing is sent: {context}");
        matrix.goes_on(Lost::Nothing, &context);
        let ran = bolted(&matrix, matrix.requests, is_line_cut);
        let context = format!("after: {}{}", ran.out, ran.err);
        assert_eq!(ran.code, wanted, "{context}");
        assert!(ran.out.contains("7 done"), "{context}");
        matrix.goes_on(Lost::Nothing, &context);
        if kept == Kept::InFile {
            return;
        }
    }
}

#[test]
fn a_ledger_file_that_is_elsewhere_stops_an_apply_or_is_made_up_for() {
    refused(Kept::InFile, 700);
}

#[test]
fn a_branch_that_takes_no_push_or_cannot_be_reached_stops_an_apply_or_is_made_up_for() {
    refused(Kept::InBranch, 701);
}

#[test]
fn where_no_ledger_can_be_made_nothing_is_sent() {
    let site = Site::new(Kept::InFile, 702);
    let machine = site.machine(&[staying(1)]);
    let folder = machine.repository.state_dir().join("nowhere/ledger.json");
    let apply = machine.run(&format!("apply --auto-approve --ledger {}", folder.display()));
    assert_eq!(apply.code, 1, "{}{}", apply.out, apply.err);
    assert!(apply.out.contains("LedgerNotWritten"), "{}{}", apply.out, apply.err);
    assert!(site.registered().is_empty());
}
