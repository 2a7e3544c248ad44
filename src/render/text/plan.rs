//! A plan for people at a terminal: what will be done by file, what will not
//! and why, and the totals last, where the eye ends up.

use std::fmt::Write as _;

use crate::render::document::{
    ActionDocument, ChangeDocument, HeldDocument, LimitDocument, Place, PlanDocument, Shown, Symbol,
};
use crate::render::style::{Detail, Look, Role, about, columns, counted, moment, thousands, time_of_day};

use super::line::Line;
use super::{at, bullet, place_column};

/// Unmanaged devices are many in a tenant that others fill, too; the text
/// names this many, the JSON all.
const UNMANAGED_SHOWN: usize = 20;

/// The plan as text.
pub(super) fn draw(plan: &PlanDocument, look: &Look) -> String {
    let page = Page { plan, look, serial: serial_width(plan) };
    let mut out = String::new();
    page.news(&mut out);
    if look.detail == Detail::Full {
        page.header(&mut out);
        page.legend(&mut out);
        page.changes(&mut out);
        page.waiting(&mut out);
        page.unmanaged(&mut out);
        page.held(&mut out);
    }
    page.totals(&mut out);
    page.verdict(&mut out);
    out
}

fn serial_width(plan: &PlanDocument) -> usize {
    let actions = plan.actions.iter().map(|action| &action.object);
    let held = plan.held.iter().map(|held| &held.object);
    let awaiting = plan.awaiting.iter().map(|awaiting| &awaiting.object);
    let ours = actions.chain(held).chain(awaiting).map(|object| &object.serial_number);
    let unmanaged = plan.unmanaged.iter().take(UNMANAGED_SHOWN).map(|unmanaged| &unmanaged.serial_number);
    let widest = ours.chain(unmanaged).map(|serial| columns(serial)).max();
    widest.unwrap_or(0).clamp(12, 24)
}

struct Page<'p> {
    plan: &'p PlanDocument,
    look: &'p Look,
    serial: usize,
}

/// Where the words behind a symbol and a serial begin.
const INDENT: usize = 4;
/// Where the second half of the lines on top and at the end begins.
const HEAD: usize = 56;
/// The width of a label such as `group tag`.
const LABEL: usize = 12;

impl<'p> Page<'p> {
    /// Before everything else, and also where only totals are shown: all that
    /// follows is of another tenant than the last time.
    fn news(&self, out: &mut String) {
        for news in &self.plan.news {
            let _ = writeln!(out, "{} {}", self.look.paint(Role::Error, "another tenant:"), self.look.show(news));
        }
        if !self.plan.news.is_empty() {
            out.push('\n');
        }
    }

    fn header(&self, out: &mut String) {
        let PlanDocument { tenant, owner, policy, source, observed, complete, .. } = self.plan;
        let _ = writeln!(
            out,
            "{}   {} ({})   policy {}   owner {}",
            self.look.paint(Role::Heading, "apgit plan"),
            self.look.paint(Role::Heading, &self.look.show(&tenant.name)),
            tenant.tenant_id,
            policy.name,
            self.look.show(&owner.id),
        );
        let declared = format!("{} declared", thousands(source.declared_head));
        let files = counted(source.files, "file", "files");
        let line = Line::new(self.look).plain("  source     ").plain(&self.look.show(&source.root));
        line.to(HEAD).plain(&format!("{declared} in {files}")).end(out);
        let at = moment(observed.at);
        let whence = if tenant.simulated { format!("{at} (simulated tenant)") } else { at };
        let registered = format!("{} registered", thousands(observed.registered));
        let late = observed.awaiting_visibility;
        let seen = if *complete { format!("{registered}, {late} awaiting visibility") } else { registered };
        Line::new(self.look).plain("  observed   ").plain(&whence).to(HEAD).plain(&seen).end(out);
        out.push('\n');
        if tenant.suspended {
            let _ = writeln!(out, "This tenant is suspended in its declaration: nothing will be written.\n");
        }
        if !complete {
            let _ = writeln!(out, "Only some devices were read: nothing follows for any other.\n");
        }
    }

    fn legend(&self, out: &mut String) {
        let used = self.plan.symbols();
        if used.is_empty() {
            return;
        }
        let words = used.iter().map(|symbol| format!("{} {}", self.look.sign(*symbol), symbol.word()));
        let _ = writeln!(out, "Symbols: {}\n", words.collect::<Vec<_>>().join("   "));
    }

    fn changes(&self, out: &mut String) {
        let actions = self.plan.actions_in_order();
        for group in actions.chunk_by(|a, b| a.source.file == b.source.file) {
            let _ = writeln!(out, "{}", self.look.paint(Role::Heading, &self.look.draw(&*group[0].source.file)));
            for action in group {
                self.action(out, action);
            }
            out.push('\n');
        }
    }

    fn action(&self, out: &mut String, action: &ActionDocument) {
        let ActionDocument { symbol, object, source, .. } = action;
        let at = format!(":{}", source.line);
        let mut rows = Rows { page: self, symbol: *symbol, serial: &object.serial_number, at, first: true };
        for field in &action.changes {
            match field.shown {
                Shown::Never => {}
                Shown::Value => {
                    rows.row(out, field.label, |line| line.painted(Role::New, &self.look.value(field.after())));
                }
                Shown::Change => rows.row(out, field.label, |line| arrow(line, self.look, field)),
                Shown::Digest => {
                    let hash = format!("{} (content not shown)", field.digest());
                    rows.row(out, field.label, |line| line.plain(&hash));
                }
            }
        }
        // Only of what changes: a row that agrees with the tenant explains nothing.
        if let Some(row) = &source.row {
            let fields = action.changes.iter().filter(|change| row.fields.contains(&change.path));
            let labels: Vec<&str> = fields.map(|change| change.label).collect();
            if !labels.is_empty() {
                let from = format!("{} of {}:{}", labels.join(" and "), row.file, row.line);
                rows.row(out, "from", |line| line.painted(Role::Dim, &self.look.draw(&from)));
            }
        }
        for note in &action.notes {
            rows.row(out, "note", |line| line.painted(Role::Dim, note.text()));
        }
    }

    fn waiting(&self, out: &mut String) {
        let waiting = self.plan.awaiting_in_order();
        if waiting.is_empty() {
            return;
        }
        self.title(out, "Waiting", waiting.len());
        let column = place_column(self.look, waiting.iter().map(|awaiting| &awaiting.source));
        for awaiting in waiting {
            let line = self.start(Symbol::Awaiting, &awaiting.object.serial_number).plain(&awaiting.words);
            line.to(column).painted(Role::Dim, &self.at(&awaiting.source)).end(out);
        }
        out.push('\n');
    }

    fn unmanaged(&self, out: &mut String) {
        let unmanaged = &self.plan.unmanaged;
        if unmanaged.is_empty() {
            return;
        }
        self.title(out, "Not managed here", unmanaged.len());
        for device in unmanaged.iter().take(UNMANAGED_SHOWN) {
            let tag = named("group tag", device.group_tag.as_deref(), self.look);
            let user = named("user", device.user_principal_name.as_deref(), self.look);
            self.start(Symbol::Unmanaged, &device.serial_number).plain(&format!("{tag}, {user}")).end(out);
        }
        if unmanaged.len() > UNMANAGED_SHOWN {
            let more = unmanaged.len() - UNMANAGED_SHOWN;
            let _ = writeln!(out, "    and {} more: `--report json` names all", thousands(more));
        }
        let _ = writeln!(out, "    declare them to manage them; what is not declared is left alone\n");
    }

    fn held(&self, out: &mut String) {
        if self.plan.held.is_empty() {
            return;
        }
        self.title(out, "Held, will not be done", self.plan.held.len());
        for group in self.plan.held_by_cause() {
            for held in &group {
                self.held_row(out, held);
            }
            self.cause(out, group[0]);
        }
        out.push('\n');
    }

    fn held_row(&self, out: &mut String, held: &HeldDocument) {
        let line = self.start(held.symbol, &held.object.serial_number).plain(held.action);
        let mut line = line.to(self.words() + LABEL).plain(&self.at(&held.source));
        if let Some(since) = held.since {
            line = line
                .to(self.look.width.saturating_sub(16))
                .painted(Role::Dim, &format!("since {}", &moment(since)[..10]));
        }
        line.end(out);
        for field in &held.changes {
            let line = Line::new(self.look).to(self.words()).plain(field.label);
            arrow(line.to(self.words() + LABEL), self.look, field).end(out);
        }
    }

    /// Why, the evidence, and what a person can do.
    fn cause(&self, out: &mut String, held: &HeldDocument) {
        let indent = self.words();
        let mut say = |text: &str| Line::new(self.look).to(indent).plain(&self.look.show(text)).end(out);
        say(&format!("{} ({})", held.reason.text(), held.reason));
        for line in &held.evidence {
            say(line);
        }
        for remedy in held.reason.remedies() {
            say(&format!("{} {remedy}", bullet(self.look)));
        }
        if let Some(at) = held.retry_after {
            say(&format!("next attempt {}, or at once after the declaration changes", moment(at)));
        }
    }

    fn totals(&self, out: &mut String) {
        let PlanDocument { plan_id, digest, again, summary, actions, held, policy, .. } = self.plan;
        if actions.is_empty() {
            let _ = writeln!(out, "{}", self.look.paint(Role::Heading, "No changes."));
        } else {
            let _ = writeln!(out, "{}", self.look.paint(Role::Heading, &format!("Plan {plan_id}")));
            let todo =
                format!("  {} to register, {} to update", thousands(summary.register), thousands(summary.update));
            Line::new(self.look).plain(&todo).to(HEAD).plain(&self.effort()).end(out);
            let _ = writeln!(out, "  digest {}", self.look.paint(Role::Dim, &digest.sha256));
            if *again > 0 {
                let times = counted(*again as usize, "time", "times");
                let _ = writeln!(out, "  these changes were approved {times} before");
            }
        }
        let mut words = vec![format!("{} unchanged", thousands(summary.unchanged))];
        let mut add = |count: usize, word: &str| {
            if count > 0 {
                words.push(format!("{} {word}", thousands(count)));
            }
        };
        add(summary.unmanaged, "unmanaged");
        add(summary.awaiting, "waiting");
        add(held.len(), "held");
        let _ = writeln!(out, "  {}", words.join(", "));
        let limits = policy.limits.iter().filter(|limit| limit.value > 0 || !actions.is_empty());
        let limits: Vec<String> = limits.map(limit_text).collect();
        if !limits.is_empty() {
            let _ = writeln!(out, "  limits: {}", limits.join("   "));
        }
        self.upkeep(out);
    }

    /// What is done besides, once the devices are.
    fn upkeep(&self, out: &mut String) {
        let PlanDocument { upkeep, estimate, .. } = self.plan;
        let not_before = estimate.sync_not_before.map(|at| format!("not before {}", time_of_day(at)));
        let when = match (upkeep.sync, upkeep.sync_owed_since) {
            (Some(_), Some(since)) => Some(format!("owed since {}", moment(since))),
            (Some("Registers"), None) => Some("once the imports are complete".to_owned()),
            (Some(_), None) => Some("for the devices that vendors register".to_owned()),
            (None, _) => None,
        };
        if let Some(when) = when {
            let words: Vec<String> = [Some(when), not_before].into_iter().flatten().collect();
            let _ = writeln!(out, "  tenant sync: {}", words.join(", "));
        }
        if upkeep.clean_up > 0 {
            let records = counted(upkeep.clean_up, "ended import record of ours", "ended import records of ours");
            let _ = writeln!(out, "  clean-up: {records}");
        }
    }

    fn effort(&self) -> String {
        let estimate = &self.plan.estimate;
        let calls = counted(estimate.writes, "write call", "write calls");
        format!("{calls}, {}", about(estimate.seconds_low, estimate.seconds_high, self.look))
    }

    fn verdict(&self, out: &mut String) {
        let Some(failed) = self.plan.failed_on else { return };
        let word = self.look.paint(Role::Error, "error[FailOn]");
        let _ = writeln!(out, "\n{word}: this plan has {}, and --fail-on {} was given", failed.what(), failed.name());
    }

    fn title(&self, out: &mut String, text: &str, count: usize) {
        let _ = writeln!(out, "{}", self.look.paint(Role::Heading, &format!("{text}: {}", thousands(count))));
    }

    /// The column where words begin.
    fn words(&self) -> usize {
        INDENT + self.serial + 2
    }

    fn start(&self, symbol: Symbol, serial: &str) -> Line<'p> {
        Line::start(self.look, symbol, serial).to(self.words())
    }

    fn at(&self, place: &Place) -> String {
        at(self.look, place)
    }
}

/// The lines of one device: symbol, serial and place stand in the first.
struct Rows<'r> {
    page: &'r Page<'r>,
    symbol: Symbol,
    serial: &'r str,
    at: String,
    first: bool,
}

impl<'r> Rows<'r> {
    fn row(&mut self, out: &mut String, label: &str, value: impl FnOnce(Line<'r>) -> Line<'r>) {
        let Self { page, symbol, serial, .. } = *self;
        let first = std::mem::take(&mut self.first);
        let start = if first { page.start(symbol, serial) } else { Line::new(page.look).to(page.words()) };
        let line = value(start.plain(label).to(page.words() + LABEL));
        let line = if first { line.to(page.look.width - 10).painted(Role::Dim, &self.at) } else { line };
        line.end(out);
    }
}

fn arrow<'l>(line: Line<'l>, look: &Look, field: &ChangeDocument) -> Line<'l> {
    line.painted(Role::Old, &look.value(field.before()))
        .plain(if look.unicode { " → " } else { " -> " })
        .painted(Role::New, &look.value(field.after()))
}

fn limit_text(reading: &LimitDocument) -> String {
    let LimitDocument { class, value, limit, managed, approved, .. } = reading;
    let approved = approved.map(|n| format!(", approved {n}")).unwrap_or_default();
    let of = format!("{class} {} of {}", thousands(*value), thousands(*limit));
    if *value > 0 && *managed > 0 { format!("{of} ({} registered{approved})", thousands(*managed)) } else { of }
}

fn named(label: &str, value: Option<&str>, look: &Look) -> String {
    value.map_or_else(|| format!("no {label}"), |value| format!("{label} {}", look.value(value)))
}
