//! Runs that must end soon and stay small, whatever they are given.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Ran;

/// What a run may take. Both are generous: what is caught here takes minutes
/// and gigabytes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub seconds: u64,
    pub megabytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { seconds: 30, megabytes: 400 }
    }
}

impl Bounds {
    /// Runs a command to its end, or to the end of what it may take.
    #[track_caller]
    pub fn hold(self, command: &mut Command) -> Ran {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command runs");
        let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        // Read at once: a full pipe would make a talkative run wait for ever.
        let out = std::thread::spawn(move || text(&mut out));
        let err = std::thread::spawn(move || text(&mut err));
        let start = Instant::now();
        let mut peak = 0;
        let status = loop {
            peak = megabytes(child.id()).unwrap_or(0).max(peak);
            if let Some(status) = child.try_wait().expect("it is ours") {
                break status;
            }
            let took = start.elapsed();
            if took > Duration::from_secs(self.seconds) || peak > self.megabytes {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{command:?} has {peak} MB after {took:?}, more than {self:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let (out, err) = (out.join().expect("read"), err.join().expect("read"));
        println!("{:?}, {peak} MB: exit {:?}", start.elapsed(), status.code());
        Ran { code: status.code().unwrap_or(-1), out, err }
    }
}

fn text(stream: &mut dyn Read) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).expect("it writes UTF-8")
}

/// The most memory that a process has had, where the system tells.
fn megabytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? >> 10)
}
