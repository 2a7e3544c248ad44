//! What became of a plan: totals first, then every change that is not done
//! with its reason and what to do.

use std::fmt::Write as _;

use crate::render::document::{ApplyDocument, HeldDocument, Remedy};
use crate::render::style::{Look, Role, columns, counted, duration, thousands, time_of_day};

use super::line::Line;
use super::{at, bullet, of_tenant, place_column};

/// The report as text; nothing where the plan has said all.
pub(super) fn draw(apply: &ApplyDocument, look: &Look) -> String {
    let mut out = String::new();
    if apply.is_idle() {
        return out;
    }
    totals(&mut out, apply, look);
    not_done(&mut out, apply, look);
    for held in &apply.newly_held {
        newly_held(&mut out, held, look);
    }
    if let Some(cause) = &apply.gate_closed {
        let _ = writeln!(out, "  stopped between two batches: {}", look.show(cause));
    }
    if let Some(at) = apply.sync.at {
        let _ = writeln!(out, "  tenant sync started {}", time_of_day(at));
    }
    if let Some(message) = &apply.sync.message {
        let _ = writeln!(out, "  no tenant sync: {}", look.show(message));
    }
    if apply.summary.held > 0 {
        let _ = writeln!(out, "  {} held: the plan says why", thousands(apply.summary.held));
    }
    if let Some(halt) = &apply.halt {
        let _ = writeln!(out, "  {}: {}", look.paint(Role::Error, "the run halted"), look.show(halt));
    }
    if let Some(advice) = apply.advice {
        let _ = writeln!(out, "exit {}: {advice}", apply.exit_code);
    }
    out
}

fn totals(out: &mut String, apply: &ApplyDocument, look: &Look) {
    let ApplyDocument { plan_id, summary, calls, started_at, ended_at, .. } = apply;
    let seconds = ended_at.duration_since(*started_at).as_secs().unsigned_abs();
    let mut became = vec![format!("{} done", thousands(summary.done)), format!("{} failed", thousands(summary.failed))];
    let mut add = |count: usize, word: &str| became.extend((count > 0).then(|| format!("{} {word}", thousands(count))));
    add(summary.awaiting_visibility, "under way");
    add(summary.not_attempted, "not attempted");
    let calls = counted(usize::try_from(*calls).unwrap_or(usize::MAX), "call", "calls");
    let effort = format!("({}, {calls})", duration(seconds));
    let whose = of_tenant(apply.several, &apply.tenant, look);
    let line = Line::new(look).painted(Role::Heading, &format!("{whose}Apply {plan_id}:")).plain(" ");
    line.pieces([[(Role::Plain, &*became.join(", "))], [(Role::Plain, &effort)]]).end(out);
}

fn not_done(out: &mut String, apply: &ApplyDocument, look: &Look) {
    let open = apply.open_in_order();
    let serial = open.iter().map(|outcome| columns(&outcome.serial_number)).max().unwrap_or(0).clamp(12, 24);
    let column = place_column(look, open.iter().map(|outcome| &outcome.source));
    let words = 4 + serial + 2;
    for outcome in open {
        let line = Line::start(look, outcome.symbol, &outcome.serial_number).to(words).plain(outcome.action);
        let line = line.to(words + 10).words(Role::Plain, &outcome.words);
        let Some(reason) = outcome.reason else {
            line.end(out);
            continue;
        };
        line.right_from(column, Role::Dim, &at(look, &outcome.source)).end(out);
        Line::new(look).to(words).words(Role::Plain, &look.show(outcome.sentence())).end(out);
        remedies(out, words, reason.remedies(), look);
    }
}

fn newly_held(out: &mut String, held: &HeldDocument, look: &Look) {
    let line = Line::start(look, held.symbol, &held.object.serial_number).to(18);
    line.plain(held.action).to(28).plain("now held").end(out);
    let mut say = |text: &str| Line::new(look).to(18).words(Role::Plain, &look.show(text)).end(out);
    say(&format!("{} ({})", held.reason.text(), held.reason));
    held.evidence.iter().for_each(|line| say(line));
    remedies(out, 18, held.reason.remedies(), look);
}

fn remedies(out: &mut String, column: usize, remedies: &[Remedy], look: &Look) {
    for Remedy(_, remedy) in remedies {
        let line = Line::new(look).to(column).plain(bullet(look)).plain(" ");
        line.words(Role::Plain, remedy).end(out);
    }
}
