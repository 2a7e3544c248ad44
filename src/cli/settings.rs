//! What was typed, resolved against this machine: terminal, colours, state
//! folder. Of the command line, only this file and `secrets` read the environment.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use crate::graph::is_on_loopback;
use crate::model::{Target, TenantId, seen};
use crate::render::{Detail, Look};

use super::args::{Color, Global};
use super::error::CliError;
use super::exit::Exit;
use super::ledgers::Choice;
use super::secrets::masked;

/// Columns where nobody knows the terminal's width.
const WIDTH: usize = 100;
/// Below this, columns are of no use.
const WIDTH_MIN: usize = 60;

/// The fixed parts of a run.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// How stdout looks.
    pub look: Look,
    /// How stderr looks.
    pub err_look: Look,
    pub quiet: bool,
    pub state_dir: PathBuf,
    pub allow_endpoints: Vec<String>,
    pub allow_key_hosts: Vec<String>,
    pub allow_new_tenant: bool,
    /// Where the ledger is.
    pub ledger: Choice,
    /// The audit log, where that is not beside the journal.
    pub audit: Option<PathBuf>,
    /// Only this tenant.
    pub tenant: Option<String>,
    /// True if a person can be asked.
    pub interactive: bool,
    /// True if a person watches.
    pub watched: bool,
}

impl Settings {
    /// `keeps_state`: false for what keeps nothing on this machine.
    ///
    /// # Errors
    /// When there is no folder for state, and one is needed.
    pub(super) fn resolve(global: &Global, keeps_state: bool) -> Result<Self, CliError> {
        match global.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        let detail = if global.quiet { Detail::Totals } else { Detail::Full };
        Ok(Self {
            look: Look { detail, ..look_of(&std::io::stdout()) },
            err_look: Look { detail, ..err_look() },
            quiet: global.quiet,
            state_dir: match &global.state_dir {
                Some(folder) => folder.clone(),
                None if keeps_state => state_dir()?,
                None => PathBuf::new(),
            },
            allow_endpoints: global.allow_endpoint.clone(),
            allow_key_hosts: global.allow_key_host.clone(),
            allow_new_tenant: global.allow_new_tenant,
            ledger: global.ledger.clone().unwrap_or_default(),
            audit: global.audit.clone(),
            tenant: global.tenant.clone(),
            watched: std::io::stderr().is_terminal(),
            interactive: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        })
    }

    /// The folder of a tenant's state: one per target, so that a simulated
    /// tenant, inside this program or on a port, never meets the real one's.
    #[must_use]
    pub(super) fn state_of(&self, target: &Target, tenant: TenantId) -> PathBuf {
        let folder = match target {
            Target::Cloud(_) => self.state_dir.clone(),
            Target::Simulated => self.state_dir.join("simulated"),
            Target::Endpoint(graph) => self.state_dir.join("endpoints").join(folder_name(graph)),
        };
        folder.join(tenant.to_string())
    }
}

/// How a stream looks, as far as this machine tells.
fn look_of(stream: &impl anstream::stream::RawStream) -> Look {
    Look {
        color: anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never,
        unicode: speaks_utf_8(),
        width: width().unwrap_or(WIDTH).max(WIDTH_MIN),
        wraps: width().is_some(),
        detail: Detail::Full,
    }
}

/// How stderr looks, also to whoever has no settings yet.
pub(super) fn err_look() -> Look {
    look_of(&std::io::stderr())
}

/// A URL as the name of a folder: `https_graph.example_8443`; `loopback` for a
/// rehearsal on this machine, whose port is another each time.
pub(super) fn folder_name(url: &str) -> String {
    if is_on_loopback(url) {
        return "loopback".to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    url.replace("://", "_").trim_end_matches('/').chars().map(plain).collect::<String>().to_ascii_lowercase()
}

/// A variable of the environment.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// `XDG_STATE_HOME/apgit` or `~/.local/state/apgit`; `%LOCALAPPDATA%\apgit`.
fn state_dir() -> Result<PathBuf, CliError> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let found = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else {
        let absolute = folder("XDG_STATE_HOME").filter(|path| path.is_absolute());
        absolute.or_else(|| folder("HOME").map(|home| home.join(".local").join("state")))
    };
    found.map(|folder| folder.join("apgit")).ok_or_else(|| {
        CliError::new(Exit::Failed, "there is no folder for journals: neither `XDG_STATE_HOME` nor `HOME` is set")
            .hint("name one with --state-dir")
    })
}

/// Windows consoles take UTF-8 from us whatever their code page.
fn speaks_utf_8() -> bool {
    let said = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| std::env::var(name).ok());
    let locale = said.into_iter().find(|value| !value.is_empty()).unwrap_or_default().to_ascii_lowercase();
    cfg!(windows) || locale.ends_with("utf-8") || locale.ends_with("utf8")
}

/// As wide as somebody said, or as the terminal is.
fn width() -> Option<usize> {
    let told = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let seen = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    told.or_else(seen)
}

/// Writes data to stdout. A reader that has seen enough (`| head`) is no error.
///
/// # Errors
/// When stdout cannot take it.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    print_as_it_is(&masked(text))
}

/// The same for what is meant to have hashes in it, none of which is a machine's.
///
/// # Errors
/// When stdout cannot take it.
pub(super) fn print_as_it_is(text: &str) -> Result<(), CliError> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::new(Exit::Failed, format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes everything that is not data. There is nobody to tell if that fails.
pub(super) fn tell(text: &str) {
    let _ = anstream::stderr().lock().write_all(masked(text).as_bytes());
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// A JSON object a line, with its time
    Json,
}

/// Logs to stderr, our own modules only: libraries below may log bodies.
pub(super) fn log(verbose: u8, look: Look, format: LogFormat) {
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt::layer().with_target(verbose > 1);
    let lines = match format {
        LogFormat::Text => lines.with_writer(move || LogLine { look }).with_ansi(look.color).without_time().boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_writer(|| JsonLine).boxed(),
    };
    // A second call happens in tests only, and the first subscriber is as good.
    let _ = tracing_subscriber::registry().with(lines).with(Targets::new().with_target("apgit", level)).try_init();
}

/// Takes the lines of a log in JSON, which end no line early.
struct JsonLine;

impl std::io::Write for JsonLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        tell(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Takes the lines of the log: nothing in a value ends one early, or paints it.
struct LogLine {
    look: Look,
}

/// What the level of a line takes, with the blanks around it.
const LEVEL: usize = " WARN ".len();

impl std::io::Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        // Colours of the log's own are in it where there are colours at all.
        let shown: Vec<_> = match self.look.color {
            true => line.split('\u{1b}').map(seen).collect(),
            false => vec![seen(line)],
        };
        tell(&(self.look.hang_on(&shown.join("\u{1b}"), LEVEL) + end));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_one_folder_however_it_is_written() {
        for url in [
            "http://127.0.0.1:8800",
            "http://127.0.0.1",
            "http://127.1:1",
            "https://LOCALHOST/",
            "http://[::1]",
            "http://[::1]:8800/",
        ] {
            assert_eq!(folder_name(url), "loopback", "{url}");
        }
        assert_eq!(folder_name("https://Graph.example:8443/"), "https_graph.example_8443");
        assert_eq!(folder_name("Global"), "global");
    }
}
