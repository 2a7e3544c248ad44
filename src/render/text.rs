//! A plan for people at a terminal: what will be done by file, what will not
//! and why, and the totals last, where the eye ends up.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use crate::model::{FieldChange, Policy};
use crate::plan::{Action, Awaiting, Change, Held, HeldClass, LimitReading, Plan, Unmanaged, Waiting};

use super::line::Line;
use super::style::{Look, Role, Symbol, about, columns, counted, moment, thousands, time_of_day};
use super::{Place, PlanView};

/// Unmanaged devices are many in a tenant that others fill, too; the text
/// names this many, the JSON all.
const UNMANAGED_SHOWN: usize = 20;

/// How much of the plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Everything.
    Full,
    /// The totals only (`-q`).
    Totals,
}

/// The plan as text.
#[must_use]
pub fn plan(view: &PlanView, look: &Look, detail: Detail) -> String {
    let page = Page { view, look, plan: view.plan(), serial: serial_width(view.plan()) };
    let mut out = String::new();
    if detail == Detail::Full {
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

/// The symbol of a held change.
pub(super) fn held_symbol(held: &Held) -> Symbol {
    match held.reason.class() {
        HeldClass::Blocked => Symbol::Blocked,
        HeldClass::Conflict => Symbol::Conflict,
    }
}

pub(super) fn change_symbol(change: &Change) -> Symbol {
    match change.action() {
        Action::Register(_) => Symbol::Register,
        Action::Update(_) => Symbol::Update,
    }
}

fn serial_width(plan: &Plan) -> usize {
    let changes = plan.changes.iter().map(|change| change.serial().as_str());
    let held = plan.held.iter().map(|held| held.serial().as_str());
    let awaiting = plan.awaiting.iter().map(|awaiting| awaiting.serial().as_str());
    let unmanaged = plan.unmanaged.iter().take(UNMANAGED_SHOWN).map(|u| u.serial().as_str());
    let widest = changes.chain(held).chain(awaiting).chain(unmanaged).map(columns).max();
    widest.unwrap_or(0).clamp(12, 24)
}

struct Page<'p> {
    view: &'p PlanView<'p>,
    look: &'p Look,
    plan: &'p Plan,
    serial: usize,
}

/// Where the words behind a symbol and a serial begin.
const INDENT: usize = 4;
/// Where the second half of the lines on top and at the end begins.
const HEAD: usize = 56;
/// The width of a label such as `group tag`.
const LABEL: usize = 12;

impl<'p> Page<'p> {
    fn header(&self, out: &mut String) {
        let Plan { tenant, counts, .. } = self.plan;
        let _ = writeln!(
            out,
            "{}   {} ({})   policy {}   owner {}",
            self.look.paint(Role::Heading, "apgit plan"),
            self.look.paint(Role::Heading, &self.look.show(&tenant.name)),
            tenant.id,
            policy_name(tenant.policy),
            self.look.show(&tenant.owner),
        );
        let declared = format!("{} declared", thousands(counts.declared));
        let files = counted(self.view.files, "file", "files");
        let line = Line::new(self.look).plain("  source     ").plain(&self.look.show(self.view.source));
        line.to(HEAD).plain(&format!("{declared} in {files}")).end(out);
        let at = moment(self.plan.observed_at);
        let whence = if self.view.simulated { format!("{at} (simulated tenant)") } else { at };
        let registered = format!("{} registered", thousands(counts.registered));
        let late = self.plan.awaiting.iter().filter(|a| a.what != Waiting::Vendor).count();
        let seen = if self.plan.complete { format!("{registered}, {late} awaiting visibility") } else { registered };
        Line::new(self.look).plain("  observed   ").plain(&whence).to(HEAD).plain(&seen).end(out);
        out.push('\n');
        if tenant.suspend {
            let _ = writeln!(out, "This tenant is suspended in its declaration: nothing will be written.\n");
        }
        if !self.plan.complete {
            let _ = writeln!(out, "Only some devices were read: nothing follows for any other.\n");
        }
    }

    fn legend(&self, out: &mut String) {
        let changes = self.plan.changes.iter().map(change_symbol);
        let held = self.plan.held.iter().map(held_symbol);
        let awaiting = self.plan.awaiting.iter().map(|_| Symbol::Awaiting);
        let unmanaged = self.plan.unmanaged.iter().map(|_| Symbol::Unmanaged);
        let used: BTreeSet<Symbol> = changes.chain(held).chain(awaiting).chain(unmanaged).collect();
        if used.is_empty() {
            return;
        }
        let words = used.iter().map(|symbol| format!("{} {}", self.look.sign(*symbol), symbol.word()));
        let _ = writeln!(out, "Symbols: {}\n", words.collect::<Vec<_>>().join("   "));
    }

    fn changes(&self, out: &mut String) {
        let mut changes: Vec<(Place, &Change)> =
            self.plan.changes.iter().map(|change| (self.view.place(change.origin), change)).collect();
        changes.sort_by(|a, b| (&a.0, a.1.serial().as_str()).cmp(&(&b.0, b.1.serial().as_str())));
        for group in changes.chunk_by(|a, b| a.0.file == b.0.file) {
            let _ = writeln!(out, "{}", self.look.paint(Role::Heading, &self.look.show(&group[0].0.file)));
            for (place, change) in group {
                self.change(out, place, change);
            }
            out.push('\n');
        }
    }

    fn change(&self, out: &mut String, place: &Place, change: &Change) {
        let symbol = change_symbol(change);
        let mut rows =
            Rows { page: self, symbol, serial: change.serial().as_str(), at: format!(":{}", place.line), first: true };
        match change.action() {
            Action::Register(register) => {
                for (field, value) in register.values.iter().filter(|(_, value)| !value.is_empty()) {
                    rows.row(out, field.label(), |line| line.painted(Role::New, &self.look.value(value)));
                }
                let hash = format!("{} (content not shown)", register.digest.short());
                rows.row(out, "hash", |line| line.plain(&hash));
            }
            Action::Update(update) => {
                for field in &update.fields {
                    rows.row(out, field.field.label(), |line| arrow(line, self.look, field));
                }
            }
        }
        for note in &change.notes {
            rows.row(out, "note", |line| line.painted(Role::Dim, note.text()));
        }
    }

    fn waiting(&self, out: &mut String) {
        if self.plan.awaiting.is_empty() {
            return;
        }
        let mut waiting: Vec<(Place, &Awaiting)> =
            self.plan.awaiting.iter().map(|awaiting| (self.view.place(awaiting.origin), awaiting)).collect();
        waiting.sort_by(|a, b| (&a.0, a.1.serial().as_str()).cmp(&(&b.0, b.1.serial().as_str())));
        self.title(out, "Waiting", waiting.len());
        let column = place_column(self.look, waiting.iter().map(|(place, _)| place));
        for (place, awaiting) in waiting {
            let line = self.start(Symbol::Awaiting, awaiting.serial().as_str()).plain(&waiting_text(&awaiting.what));
            line.to(column).painted(Role::Dim, &self.at(&place)).end(out);
        }
        out.push('\n');
    }

    fn unmanaged(&self, out: &mut String) {
        let unmanaged = &self.plan.unmanaged;
        if unmanaged.is_empty() {
            return;
        }
        self.title(out, "Not managed here", unmanaged.len());
        for Unmanaged { device } in unmanaged.iter().take(UNMANAGED_SHOWN) {
            let tag = named("group tag", &device.group_tag, self.look);
            let user = named("user", &device.user, self.look);
            self.start(Symbol::Unmanaged, &device.serial).plain(&format!("{tag}, {user}")).end(out);
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
        let mut held: Vec<(Place, &Held)> =
            self.plan.held.iter().map(|held| (self.view.place(held.origin), held)).collect();
        held.sort_by(|a, b| (&a.0, a.1.serial().as_str()).cmp(&(&b.0, b.1.serial().as_str())));
        self.title(out, "Held, will not be done", held.len());
        for group in group_by_cause(held) {
            for (place, held) in &group {
                self.held_row(out, place, held);
            }
            self.cause(out, group[0].1);
        }
        out.push('\n');
    }

    fn held_row(&self, out: &mut String, place: &Place, held: &Held) {
        let line = self.start(held_symbol(held), held.serial().as_str()).plain(held.action.name());
        let mut line = line.to(self.words() + LABEL).plain(&self.at(place));
        if let Some(since) = held.since {
            line = line
                .to(self.look.width.saturating_sub(16))
                .painted(Role::Dim, &format!("since {}", &moment(since)[..10]));
        }
        line.end(out);
        for field in &held.fields {
            let line = Line::new(self.look).to(self.words()).plain(field.field.label());
            arrow(line.to(self.words() + LABEL), self.look, field).end(out);
        }
    }

    /// Why, the evidence, and what a person can do.
    fn cause(&self, out: &mut String, held: &Held) {
        let indent = self.words();
        let mut say = |text: &str| Line::new(self.look).to(indent).plain(&self.look.show(text)).end(out);
        say(&format!("{} ({})", held.reason.text(), held.reason));
        for detail in &held.details {
            say(detail);
        }
        for remedy in held.reason.remedies() {
            say(&format!("{} {remedy}", if self.look.unicode { "•" } else { "*" }));
        }
        if let Some(at) = held.retry_at {
            say(&format!("next attempt {}, or at once after the declaration changes", moment(at)));
        }
    }

    fn totals(&self, out: &mut String) {
        let Plan { changes, held, awaiting, unmanaged, counts, .. } = self.plan;
        if changes.is_empty() {
            let _ = writeln!(out, "{}", self.look.paint(Role::Heading, "No changes."));
        } else {
            let id = self.plan.digest().plan_id();
            let _ = writeln!(out, "{}", self.look.paint(Role::Heading, &format!("Plan {id}")));
            let registers = changes.iter().filter(|c| matches!(c.action(), Action::Register(_))).count();
            let todo =
                format!("  {} to register, {} to update", thousands(registers), thousands(changes.len() - registers));
            Line::new(self.look).plain(&todo).to(HEAD).plain(&self.effort()).end(out);
        }
        let mut words = vec![format!("{} unchanged", thousands(counts.unchanged))];
        let mut add = |count: usize, word: &str| {
            if count > 0 {
                words.push(format!("{} {word}", thousands(count)));
            }
        };
        add(unmanaged.len(), "unmanaged");
        add(awaiting.len(), "waiting");
        add(held.len(), "held");
        let _ = writeln!(out, "  {}", words.join(", "));
        let limits: Vec<String> = self.view.cleared.limits().iter().filter_map(|l| limit_text(l, self.plan)).collect();
        if !limits.is_empty() {
            let _ = writeln!(out, "  limits: {}", limits.join("   "));
        }
        if let (Some(at), false) = (self.view.schedule.sync_at, changes.is_empty()) {
            let registers = changes.iter().any(|change| matches!(change.action(), Action::Register(_)));
            let when = if registers { "once the imports are complete, not before " } else { "at the end, after " };
            let _ = writeln!(out, "  tenant sync: {when}{}", time_of_day(at));
        }
    }

    fn effort(&self) -> String {
        let estimate = &self.view.schedule.estimate;
        let calls = counted(estimate.writes, "write call", "write calls");
        format!("{calls}, {}", about(estimate.seconds_low, estimate.seconds_high, self.look))
    }

    fn verdict(&self, out: &mut String) {
        let Some(failed) = self.view.failed_on else { return };
        let word = self.look.paint(Role::Error, "error[FailOn]");
        let _ = writeln!(out, "\n{word}: this plan has {}, and --fail-on {} was given", what(failed), failed.name());
    }

    fn title(&self, out: &mut String, text: &str, count: usize) {
        let _ = writeln!(out, "{}", self.look.paint(Role::Heading, &format!("{text}: {}", thousands(count))));
    }

    /// The column where words begin.
    fn words(&self) -> usize {
        INDENT + self.serial + 2
    }

    fn start(&self, symbol: Symbol, serial: &str) -> Line<'p> {
        let line = Line::new(self.look).plain("  ").painted(symbol.role(), symbol.sign()).plain(" ");
        line.plain(&self.look.show(serial)).to(self.words())
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

fn arrow<'l>(line: Line<'l>, look: &Look, field: &FieldChange) -> Line<'l> {
    line.painted(Role::Old, &look.value(&field.before))
        .plain(if look.unicode { " → " } else { " -> " })
        .painted(Role::New, &look.value(&field.after))
}

/// Held changes with one cause stand together, where the first of them stands.
fn group_by_cause(held: Vec<(Place, &Held)>) -> Vec<Vec<(Place, &Held)>> {
    let mut groups: Vec<Vec<(Place, &Held)>> = Vec::new();
    let mut known = HashMap::new();
    for (place, held) in held {
        let at = *known.entry((held.reason, &held.details, held.retry_at)).or_insert(groups.len());
        if at == groups.len() {
            groups.push(Vec::new());
        }
        groups[at].push((place, held));
    }
    groups
}

/// `devices/oslo.yaml:12`.
pub(super) fn at(look: &Look, place: &Place) -> String {
    format!("{}:{}", look.show(&place.file), place.line)
}

/// Where places begin, so that the longest of them ends at the right edge.
pub(super) fn place_column<'p>(look: &Look, places: impl Iterator<Item = &'p Place>) -> usize {
    let widest = places.map(|place| columns(&at(look, place))).max().unwrap_or(0);
    look.width.saturating_sub(widest)
}

/// What a waiting device waits for.
pub(super) fn waiting_text(what: &Waiting) -> String {
    match what {
        Waiting::Vendor => "for its vendor to register it".to_owned(),
        Waiting::Registration { since } => {
            format!("imported {}, not listed yet", time_of_day(*since))
        }
        Waiting::Values { since, fields } => {
            let names: Vec<&str> = fields.iter().map(|change| change.field.label()).collect();
            format!("{} written {}, not shown yet", names.join(", "), time_of_day(*since))
        }
    }
}

/// The policy's name in manifests.
#[must_use]
pub fn policy_name(policy: Policy) -> &'static str {
    match policy {
        Policy::Observe => "Observe",
        Policy::CreateOnly => "CreateOnly",
        Policy::UpsertOnly => "UpsertOnly",
        Policy::Sync => "Sync",
    }
}

fn limit_text(reading: &LimitReading, plan: &Plan) -> Option<String> {
    let LimitReading { class, count, limit, managed, approved } = reading;
    if *count == 0 && plan.changes.is_empty() {
        return None;
    }
    let approved = approved.map(|n| format!(", approved {n}")).unwrap_or_default();
    let of = format!("{} {} of {}", class.name(), thousands(*count), thousands(*limit));
    Some(if *count > 0 && *managed > 0 { format!("{of} ({} registered{approved})", thousands(*managed)) } else { of })
}

fn named(label: &str, value: &str, look: &Look) -> String {
    if value.is_empty() { format!("no {label}") } else { format!("{label} {}", look.value(value)) }
}

fn what(failed: super::FailOn) -> &'static str {
    match failed {
        super::FailOn::Held => "held changes",
        super::FailOn::Unmanaged => "unmanaged devices",
        super::FailOn::Changes => "changes",
    }
}
