//! Where the programs of the control plane are.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::shared::{Ran, ran, root};

/// Their folder, or why there is none. One script knows the place, for those
/// who build and for those who look.
pub fn tools() -> Result<PathBuf, String> {
    let script = root().join("tests/cluster/control-plane/build.sh");
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
    let _ = writeln!(std::io::stderr(), "skipped, all tests of the cluster: {why}");
}
