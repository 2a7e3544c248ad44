//! Where the programs of the control plane are, and the tools beside it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::shared::{Ran, ran, root};

/// Their folder, or why there is none. One script knows the place, for those
/// who build and for those who look.
pub fn tools() -> Result<PathBuf, String> {
    built("control-plane")
}

/// Whether the tools for the tests of deploy/ are here. Where they are not, that
/// has been said.
pub fn has_chart_tools() -> bool {
    built("chart-tools").map_err(|why| say_skipped(&why)).is_ok()
}

/// One of the tools for the tests of deploy/.
#[track_caller]
pub fn chart_tool(name: &str) -> PathBuf {
    built("chart-tools").unwrap_or_else(|why| panic!("{why}")).join(name)
}

fn built(what: &str) -> Result<PathBuf, String> {
    let script = root().join(format!("tests/cluster/{what}/build.sh"));
    let Ran { code, out, err } = ran(Command::new("sh").arg(script).arg("where"));
    match code {
        0 => Ok(out.trim_end().into()),
        _ => Err(err.trim_end().to_owned()),
    }
}

/// Says that tests are skipped, where a test's own words would be kept from
/// people: a run without these tests must not look like one with them.
pub fn say_skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "a pipeline runs these tests: {why}");
    let _ = writeln!(std::io::stderr(), "skipped, tests of the cluster: {why}");
}
