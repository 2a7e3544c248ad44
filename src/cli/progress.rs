//! Long work made visible on stderr: bars and a countdown on a terminal, lines
//! in a log.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use jiff::Timestamp;

use crate::apply::Event;
use crate::clock::SharedClock;
use crate::manifest::Fleet;
use crate::model::seen;
use crate::render::style::{duration, time_of_day};
use crate::render::{Look, event};

use super::settings::{Settings, tell};

/// Takes the events of an apply.
pub(super) enum Progress {
    Lines(Lines),
    Bars(Box<Bars>),
    /// Says nothing (`-q`).
    Silent,
}

impl Progress {
    /// Bars for a person, lines for a log.
    #[must_use]
    pub(super) fn new(quiet: bool, watched: bool, look: Look, clock: SharedClock) -> Self {
        match (quiet, watched) {
            (true, _) => Self::Silent,
            (false, true) => Self::Bars(Box::new(Bars::new(look, clock))),
            (false, false) => Self::Lines(Lines { look, clock, last: String::new() }),
        }
    }

    pub(super) fn event(&mut self, event: &Event) {
        match self {
            Self::Lines(lines) => lines.event(event),
            Self::Bars(bars) => bars.event(event),
            Self::Silent => {}
        }
    }

    /// Removes what was drawn, so that the report stands alone.
    pub(super) fn end(self) {
        if let Self::Bars(bars) = self {
            let _ = bars.all.clear();
        }
    }
}

/// One line per event, with the time; the same line is not said twice.
pub(super) struct Lines {
    look: Look,
    clock: SharedClock,
    last: String,
}

impl Lines {
    fn event(&mut self, event: &Event) {
        let Some(line) = event::line(event, &self.look) else { return };
        if line != self.last {
            let now = format!("  {}  ", time_of_day(self.clock.now()));
            tell(&(self.look.hang_on(&format!("{now}{line}"), now.len()) + "\n"));
            self.last = line;
        }
    }
}

/// A bar for imports, one for updates, and a line that counts down.
pub(super) struct Bars {
    all: MultiProgress,
    look: Look,
    imports: ProgressBar,
    updates: ProgressBar,
    line: ProgressBar,
    until: Arc<Mutex<Option<Timestamp>>>,
}

impl Bars {
    fn new(look: Look, clock: SharedClock) -> Self {
        let all = MultiProgress::new();
        let until = Arc::new(Mutex::new(None));
        let line = all.add(ProgressBar::new_spinner());
        line.set_style(countdown(look, clock, until.clone()));
        line.enable_steady_tick(Duration::from_millis(200));
        Self { all, look, imports: ProgressBar::hidden(), updates: ProgressBar::hidden(), line, until }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Posted { of, .. } if self.imports.is_hidden() => {
                advance(&self.all, &self.line, &mut self.imports, self.look, "imports", 0, *of);
            }
            Event::Imports { settled, of } => {
                advance(&self.all, &self.line, &mut self.imports, self.look, "imports", *settled, *of);
            }
            Event::Updates { visible, of } => {
                advance(&self.all, &self.line, &mut self.updates, self.look, "updates", *visible, *of);
            }
            _ => {}
        }
        let waits = match event {
            Event::Waiting { until, .. } => Some(*until),
            _ => None,
        };
        *self.until.lock().expect("no holder of this lock panics") = waits;
        let Some(text) = event::line(event, &self.look) else { return };
        let lasting = matches!(event, Event::Halved { .. } | Event::Ended { .. });
        if lasting {
            self.line.println(format!("  {}", self.look.hang(&text, 2)));
        } else {
            self.line.set_message(text);
        }
    }
}

/// Shows a bar at its first news and moves it on.
fn advance(
    all: &MultiProgress,
    line: &ProgressBar,
    bar: &mut ProgressBar,
    look: Look,
    name: &'static str,
    at: usize,
    of: usize,
) {
    if bar.is_hidden() && of > 0 {
        *bar = all.insert_before(line, ProgressBar::new(of as u64));
        let template = format!("  {name:<8} {{bar:30}} {{pos}} of {{len}}");
        let style = ProgressStyle::with_template(&template).expect("a template of constant parts");
        bar.set_style(style.progress_chars(if look.unicode { "━╸ " } else { "=> " }));
    }
    bar.set_length(of as u64);
    bar.set_position(at as u64);
}

/// `waiting until 09:10:00Z: …, 4 min 9 s left`, redrawn as time goes by.
fn countdown(look: Look, clock: SharedClock, until: Arc<Mutex<Option<Timestamp>>>) -> ProgressStyle {
    let left = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
        let until = *until.lock().expect("no holder of this lock panics");
        let seconds = until.map_or(0, |until| until.duration_since(clock.now()).as_secs());
        if let Some(seconds) = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0) {
            let _ = write!(out, ", {} left", duration(seconds));
        }
    };
    let style = ProgressStyle::with_template("  {spinner} {msg}{left}").expect("a template of constant parts");
    let ticks: &[&str] = if look.unicode {
        &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", " "]
    } else {
        &["|", "/", "-", "\\", " "]
    };
    style.tick_strings(ticks).with_key("left", left)
}

/// Whoever waits for longer than this is told for what, and again in this
/// rhythm: the first answer of a service, or none, can take a quarter of a
/// minute.
const FIRST_WORDS: Duration = Duration::from_millis(700);
const WORDS_AGAIN: Duration = Duration::from_secs(5);

/// Reads tenants, and says so if it takes its time.
pub(super) async fn reading<T>(settings: &Settings, fleets: &[&Fleet], work: impl Future<Output = T>) -> T {
    let what = match fleets {
        [fleet] => format!("reading {}", seen(&fleet.desired.tenant.name)),
        fleets => format!("reading {} tenants", fleets.len()),
    };
    patiently(settings, &what, work).await
}

/// Does something that may take its time, and says so if it does. `what`: such as
/// `reading contoso`.
pub(super) async fn patiently<T>(settings: &Settings, what: &str, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let mut work = std::pin::pin!(work);
    let mut pause = FIRST_WORDS;
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(pause) => {}
        }
        if !settings.quiet {
            let seconds = started.elapsed().as_secs();
            let since = if seconds == 0 { String::new() } else { format!(" for {}", duration(seconds)) };
            tell(&format!("  {what}{since}\n"));
        }
        pause = WORDS_AGAIN;
    }
}
