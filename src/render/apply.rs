//! What became of a plan: totals first, then every change that is not done
//! with its reason and what to do; and the same for tools.

use std::collections::HashSet;
use std::fmt::Write as _;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::apply::{Event, Outcome, Outcomes, SyncOutcome, Tally};
use crate::model::SerialKey;
use crate::plan::{Action, Change, Plan, Reason};

use super::json::{FORMAT_VERSION, pretty};
use super::line::Line;
use super::style::{Look, Role, Symbol, columns, counted, duration, thousands, time_of_day};
use super::text::{at, change_symbol, held_symbol, place_column};
use super::{Place, Places};

/// Everything a report of an apply shows.
#[derive(Clone, Copy)]
pub struct ApplyView<'a> {
    /// The plan that was approved.
    pub first: &'a Plan,
    pub outcomes: &'a Outcomes,
    /// What is still to do; `None` if the run halted before it knew.
    pub left: Option<&'a Plan>,
    /// Why the run could not go on, if so.
    pub halt: Option<&'a str>,
    /// Requests that were sent, those of the plan included.
    pub calls: u64,
    pub started: Timestamp,
    pub ended: Timestamp,
    pub places: Places<'a>,
    pub exit_code: u8,
}

/// The report for people.
#[must_use]
pub fn text(view: &ApplyView, look: &Look) -> String {
    let mut out = String::new();
    let Tally { done, failed, awaiting, not_attempted } = view.outcomes.tally();
    let id = view.first.digest().plan_id();
    let seconds = view.ended.duration_since(view.started).as_secs().unsigned_abs();
    let _ = writeln!(
        out,
        "{}: {} done, {} failed, {} awaiting visibility, {} not attempted   ({}, {})",
        look.paint(Role::Heading, &format!("Apply {id}")),
        thousands(done),
        thousands(failed),
        thousands(awaiting),
        thousands(not_attempted),
        duration(seconds),
        counted(usize::try_from(view.calls).unwrap_or(usize::MAX), "call", "calls"),
    );
    not_done(&mut out, view, look);
    new_held(&mut out, view, look);
    if let Some(cause) = &view.outcomes.gate_closed {
        let _ = writeln!(out, "  stopped between two batches: {}", look.show(cause));
    }
    match &view.outcomes.sync {
        SyncOutcome::NotNeeded => {}
        SyncOutcome::Done { at } => {
            let _ = writeln!(out, "  tenant sync started {}", time_of_day(*at));
        }
        SyncOutcome::Skipped { message } => {
            let _ = writeln!(out, "  no tenant sync: {}", look.show(message));
        }
    }
    if !view.first.held.is_empty() {
        let _ = writeln!(out, "  {} held: the plan says why", thousands(view.first.held.len()));
    }
    if let Some(halt) = view.halt {
        let _ = writeln!(out, "  {}: {}", look.paint(Role::Error, "the run halted"), look.show(halt));
    }
    if let Some(advice) = advice(view.exit_code) {
        let _ = writeln!(out, "exit {}: {advice}", view.exit_code);
    }
    out
}

fn advice(exit_code: u8) -> Option<&'static str> {
    match exit_code {
        0 => None,
        5 => Some("a limit or `--fail-on` stands in the way; a person decides"),
        7 | 8 => Some("go on with `apgit apply`; what is done is not done twice"),
        9 => Some("the service needs time; go on later with `apgit apply`"),
        _ => Some("see the reasons above"),
    }
}

fn not_done(out: &mut String, view: &ApplyView, look: &Look) {
    let open: Vec<(Place, &Change, &Outcome)> = {
        let open = view.outcomes.of.iter().filter(|(_, outcome)| !matches!(outcome, Outcome::Done { .. }));
        let mut open: Vec<_> = open.map(|(change, outcome)| ((view.places)(change.origin), change, outcome)).collect();
        open.sort_by(|a, b| (&a.0, a.1.serial().as_str()).cmp(&(&b.0, b.1.serial().as_str())));
        open
    };
    let serial = open.iter().map(|(_, change, _)| columns(change.serial().as_str())).max().unwrap_or(0).clamp(12, 24);
    let column = place_column(look, open.iter().map(|(place, ..)| place));
    for (place, change, outcome) in &open {
        let action = action_name(change);
        let words = 4 + serial + 2;
        let start = |symbol: Symbol| {
            let line = Line::new(look).plain("  ").painted(symbol.role(), symbol.sign()).plain(" ");
            line.plain(&look.show(change.serial().as_str())).to(words).plain(action).to(words + 10)
        };
        match outcome {
            Outcome::Done { .. } => {}
            Outcome::Awaiting { since } => {
                let text = format!("accepted {}, not listed yet (usual 0-2 min, at most 15)", time_of_day(*since));
                start(Symbol::Awaiting).plain(&text).end(out);
            }
            Outcome::Failed { reason, message } | Outcome::NotAttempted { reason, message } => {
                let failed = matches!(outcome, Outcome::Failed { .. });
                let (symbol, word) =
                    if failed { (Symbol::Conflict, "failed") } else { (Symbol::Blocked, "not attempted") };
                start(symbol)
                    .plain(&format!("{word}  {reason}"))
                    .to(column)
                    .painted(Role::Dim, &at(look, place))
                    .end(out);
                let mut say = |text: &str| Line::new(look).to(words).plain(&look.show(text)).end(out);
                say(if message.is_empty() { reason.text() } else { message });
                reason.remedies().iter().for_each(|remedy| say(&format!("{} {remedy}", bullet(look))));
            }
        }
    }
}

/// Held changes that were not held in the plan that was approved: they came
/// up while applying, so the plan above does not explain them.
fn new_held(out: &mut String, view: &ApplyView, look: &Look) {
    let of_plan = view.first.held.iter().map(|held| (held.serial().key(), held.reason));
    let of_outcomes = view.outcomes.of.iter().filter_map(|(change, outcome)| match outcome {
        Outcome::Failed { reason, .. } => Some((change.serial().key(), *reason)),
        _ => None,
    });
    let known: HashSet<(SerialKey, Reason)> = of_plan.chain(of_outcomes).collect();
    for held in view
        .left
        .into_iter()
        .flat_map(|left| &left.held)
        .filter(|held| !known.contains(&(held.serial().key(), held.reason)))
    {
        let symbol = held_symbol(held);
        let line = Line::new(look).plain("  ").painted(symbol.role(), symbol.sign()).plain(" ");
        line.plain(&look.show(held.serial().as_str()))
            .to(18)
            .plain(held.action.name())
            .to(28)
            .plain("now held")
            .end(out);
        let mut say = |text: &str| Line::new(look).to(18).plain(&look.show(text)).end(out);
        say(&format!("{} ({})", held.reason.text(), held.reason));
        held.details.iter().for_each(|detail| say(detail));
        held.reason.remedies().iter().for_each(|remedy| say(&format!("{} {remedy}", bullet(look))));
    }
}

fn bullet(look: &Look) -> &'static str {
    if look.unicode { "•" } else { "*" }
}

fn action_name(change: &Change) -> &'static str {
    match change.action() {
        Action::Register(_) => "register",
        Action::Update(_) => "update",
    }
}

/// One line for a log: what is happening. `None` for what a log does not need.
#[must_use]
pub fn event_line(event: &Event, look: &Look) -> Option<String> {
    Some(match event {
        Event::Round { number: 1, changes } => format!("applying {}", counted(*changes, "change", "changes")),
        Event::Round { number, changes } => {
            format!("round {number}: {} left", counted(*changes, "change", "changes"))
        }
        Event::Posted { rows, of } => format!("imports sent: {} of {}", thousands(*rows), thousands(*of)),
        Event::Halved { rows, message } => {
            format!("a batch of {} was refused and is halved: {}", thousands(*rows), look.show(message))
        }
        Event::Gate { rows } => {
            format!("waiting for the first {} before the rest is sent", counted(*rows, "row", "rows"))
        }
        Event::Imports { settled, of } => format!("imports ended: {} of {}", thousands(*settled), thousands(*of)),
        Event::Updates { visible, of } => format!("updates visible: {} of {}", thousands(*visible), thousands(*of)),
        Event::Ended { device, outcome: Outcome::Failed { reason, .. } } => {
            format!("{} failed: {} ({reason})", look.show(device.serial.as_str()), reason.text())
        }
        Event::Ended { .. } => return None,
        Event::Waiting { until, why } => format!("waiting until {}: {why}", time_of_day(*until)),
        Event::CleanUp { records } => {
            format!("removing {}", counted(*records, "import record of ours", "import records of ours"))
        }
        Event::Sync => "tenant sync started".to_owned(),
    })
}

/// The report for tools.
#[must_use]
pub fn json(view: &ApplyView) -> String {
    pretty(&document(view))
}

/// The report as a document.
#[must_use]
pub fn document(view: &ApplyView) -> ApplyDocument {
    let digest = view.first.digest();
    let Tally { done, failed, awaiting, not_attempted } = view.outcomes.tally();
    ApplyDocument {
        format_version: FORMAT_VERSION,
        kind: "apgit.apply",
        plan_id: digest.plan_id(),
        digest: super::json::DigestDocument { encoding: crate::plan::ENCODING, sha256: digest.sha256 },
        tenant: view.first.tenant.name.clone(),
        tenant_id: view.first.tenant.id.to_string(),
        started_at: view.started.to_string(),
        ended_at: view.ended.to_string(),
        calls: view.calls,
        summary: ApplySummary {
            done,
            failed,
            awaiting_visibility: awaiting,
            not_attempted,
            held: view.first.held.len(),
            cancelled: view.outcomes.cancelled,
        },
        gate_closed: view.outcomes.gate_closed.clone(),
        halt: view.halt.map(str::to_owned),
        sync: sync(&view.outcomes.sync),
        outcomes: view.outcomes.of.iter().map(|(change, outcome)| outcome_document(view, change, outcome)).collect(),
        exit_code: view.exit_code,
    }
}

fn sync(outcome: &SyncOutcome) -> SyncDocument {
    match outcome {
        SyncOutcome::NotNeeded => SyncDocument { result: "notNeeded", at: None, message: None },
        SyncOutcome::Done { at } => SyncDocument { result: "done", at: Some(at.to_string()), message: None },
        SyncOutcome::Skipped { message } => {
            SyncDocument { result: "skipped", at: None, message: Some(message.clone()) }
        }
    }
}

fn outcome_document(view: &ApplyView, change: &Change, outcome: &Outcome) -> OutcomeDocument {
    let place = (view.places)(change.origin);
    let mut document = OutcomeDocument {
        serial_number: change.serial().to_string(),
        action: action_name(change),
        result: "done",
        registration_id: None,
        at: None,
        reason: None,
        message: None,
        remedies: vec![],
        file: place.file.to_string(),
        line: place.line,
    };
    match outcome {
        Outcome::Done { registration_id, at } => {
            document.registration_id = Some(registration_id.to_string());
            document.at = Some(at.to_string());
        }
        Outcome::Awaiting { since } => {
            document.result = "awaitingVisibility";
            document.at = Some(since.to_string());
        }
        Outcome::Failed { reason, message } | Outcome::NotAttempted { reason, message } => {
            let failed = matches!(outcome, Outcome::Failed { .. });
            document.result = if failed { "failed" } else { "notAttempted" };
            document.reason = Some(reason.to_string());
            document.message = Some(message.clone());
            document.remedies = super::remedy_codes(*reason).to_vec();
        }
    }
    document
}

/// The symbol under which a change is shown in progress and reports.
#[must_use]
pub fn symbol(change: &Change) -> Symbol {
    change_symbol(change)
}

/// What `apgit apply --report json` writes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyDocument {
    pub format_version: &'static str,
    pub kind: &'static str,
    pub plan_id: String,
    pub digest: super::json::DigestDocument,
    pub tenant: String,
    pub tenant_id: String,
    pub started_at: String,
    pub ended_at: String,
    pub calls: u64,
    pub summary: ApplySummary,
    pub gate_closed: Option<String>,
    /// Why the run could not go on, if so.
    pub halt: Option<String>,
    pub sync: SyncDocument,
    pub outcomes: Vec<OutcomeDocument>,
    pub exit_code: u8,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplySummary {
    pub done: usize,
    pub failed: usize,
    pub awaiting_visibility: usize,
    pub not_attempted: usize,
    pub held: usize,
    pub cancelled: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct SyncDocument {
    /// `notNeeded`, `done` or `skipped`.
    pub result: &'static str,
    pub at: Option<String>,
    pub message: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeDocument {
    pub serial_number: String,
    pub action: &'static str,
    /// `done`, `awaitingVisibility`, `failed` or `notAttempted`.
    pub result: &'static str,
    pub registration_id: Option<String>,
    pub at: Option<String>,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub remedies: Vec<&'static str>,
    pub file: String,
    pub line: u32,
}
