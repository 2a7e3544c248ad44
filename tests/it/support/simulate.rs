//! `apgit simulate` as a process of its own, ended with the test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

pub struct Simulate {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Where it answers, without TLS.
    pub url: String,
    /// All that it said when it began.
    pub greeting: String,
}

impl Simulate {
    /// Starts the command on a free port, and waits until it says where.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        // A free port, unless the test needs one that was there before.
        if !command.get_args().any(|arg| arg == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.stdout(Stdio::piped());
        let mut child = command.spawn().expect("the simulator starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut greeting = String::new();
        // Its last line is the example for curl, which ends with the address.
        while !greeting.ends_with("/oauth2/v2.0/token\n") {
            let read = stdout.read_line(&mut greeting).expect("it can be read");
            assert_ne!(read, 0, "it says where it is: {greeting}");
        }
        let first = greeting.lines().next().expect("a line");
        let url = format!("http://{}", first.rsplit("://").next().expect("an address"));
        Self { child, stdout, url, greeting }
    }

    /// Stops it as a person would, so that it saves, and hears it out.
    pub fn stop(mut self) -> Vec<u8> {
        terminate(&self.child);
        assert_eq!(self.child.wait().expect("it was ours").code(), Some(0));
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).expect("all that it said");
        rest
    }
}

impl Drop for Simulate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks a process to end.
pub fn terminate(child: &Child) {
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
}
