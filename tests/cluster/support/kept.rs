//! Programs that end with the test process, however that ends.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Runs its words as a command. Ends with it, and ends it when nobody holds the
/// other end of stdin any more: the system closes that for a process that was
/// killed, too. What is ended here needs no farewell.
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{ while read -r _ <&3; do :; done; kill -KILL "$child"; } >/dev/null 2>&1 &
reader=$!
wait "$child"
code=$?
kill "$reader"
exit "$code"
"#;

/// Removes a folder, once nobody holds the other end of stdin any more. Those
/// who write there are ended at the same time, and may need a moment.
const SWEEPER: &str = r#"
while read -r _; do :; done
for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$1" && exit
    sleep 1
done
"#;

/// A program that is running.
pub struct Kept(Child);

impl Kept {
    /// Runs a command, with all that it says in a file.
    pub fn run(program: &Path, words: &[String], log: &Path) -> io::Result<Self> {
        let log = File::create(log)?;
        let mut keeper = script(KEEPER);
        keeper.arg(program).args(words).stdout(log.try_clone()?).stderr(log);
        keeper.spawn().map(Self)
    }

    /// Removes a folder when the test process has ended.
    pub fn sweep(folder: &Path) -> io::Result<Self> {
        let mut sweeper = script(SWEEPER);
        sweeper.arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        sweeper.spawn().map(Self)
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().map_or(true, |status| status.is_some())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// In a group of its own: a person's Ctrl-C is meant for the test, and the
/// script has to outlive that.
fn script(text: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", text, "kept"]).stdin(Stdio::piped()).process_group(0);
    command
}
