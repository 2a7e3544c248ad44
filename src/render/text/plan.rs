//! A plan for people at a terminal: what will be done by file, what will not
//! and why, and the totals last, where the eye ends up.

use std::fmt::Write as _;

use crate::render::document::{
    ActionDocument, ChangeDocument, HeldDocument, LimitDocument, Place, PlanDocument, Remedy, Shown, Symbol,
};
use crate::render::style::{Detail, Look, Role, about, columns, counted, moment, thousands, time_of_day};

use super::line::Line;
use super::{at, bullet, of_tenant, place_column};

/// Unmanaged devices are many in a tenant that others fill, too; the text
/// names this many, the JSON all.
const UNMANAGED_SHOWN: usize = 20;

/// Nothing is written for what is adopted, and the first plan of a tenant adopts
/// all of it.
const ADOPTED_SHOWN: usize = 10;

/// The plan as text.
pub(super) fn draw(plan: &PlanDocument, look: &Look) -> String {
    let page = Page { plan, look, serial: serial_width(plan) };
    let mut out = String::new();
    page.news(&mut out);
    if look.detail == Detail::Full {
        page.header(&mut out);
        page.legend(&mut out);
        page.loosens(&mut out);
        page.changes(&mut out);
        page.let_go(&mut out);
        page.removal(&mut out);
        page.waiting(&mut out);
        page.unmanaged(&mut out);
        page.held(&mut out);
    } else if !plan.complete {
        page.partial(&mut out);
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
const HEAD: usize = 50;
/// Where the first half begins.
const HEAD_WORDS: usize = 13;
/// The width of a line's number, as `:123456`.
const PLACE: usize = 8;
/// The width of a label such as `group tag`.
const LABEL: usize = 12;

impl<'p> Page<'p> {
    /// Before everything else, and also where only totals are shown: all that
    /// follows is of another tenant than the last time.
    fn news(&self, out: &mut String) {
        for news in &self.plan.news {
            let line = Line::new(self.look).painted(Role::Error, "another tenant:").plain(" ");
            line.words(Role::Plain, &self.look.show(news)).end(out);
        }
        if !self.plan.news.is_empty() {
            out.push('\n');
        }
    }

    fn header(&self, out: &mut String) {
        let PlanDocument { tenant, owner, policy, source, observed, complete, .. } = self.plan;
        let name = format!("{} ({})", self.look.show(&tenant.name), tenant.tenant_id);
        let (policy, owner) = (format!("policy {}", policy.name), format!("owner {}", self.look.show(&owner.id)));
        let pieces = [[(Role::Heading, &*name)], [(Role::Plain, &policy)], [(Role::Plain, &owner)]];
        Line::new(self.look)
            .painted(Role::Heading, if self.plan.mode == "drift" { "apgit drift" } else { "apgit plan" })
            .to(HEAD_WORDS)
            .pieces(pieces)
            .end(out);
        let declared = format!("{} declared", thousands(source.declared_head));
        let files = counted(source.files, "file", "files");
        let line = Line::new(self.look).plain("  source     ").plain(&self.look.show(&source.root));
        line.half(HEAD, &format!("{declared} in {files}"), HEAD_WORDS).end(out);
        let at = moment(observed.at);
        let whence = if tenant.simulated { format!("{at} (simulated)") } else { at };
        let registered = format!("{} registered", thousands(observed.registered));
        let late = observed.awaiting_visibility;
        let seen = if *complete { format!("{registered}, {late} under way") } else { registered };
        Line::new(self.look).plain("  observed   ").plain(&whence).half(HEAD, &seen, HEAD_WORDS).end(out);
        for approval in &self.plan.approvals {
            let line = Line::new(self.look).plain("  approval   ");
            line.words(Role::Plain, &self.look.show(&approval.words)).end(out);
        }
        if let Some(at) = self.plan.expires_at {
            let _ = writeln!(out, "  saved      can be applied until {}", moment(at));
        }
        out.push('\n');
        if tenant.suspended {
            let _ = writeln!(out, "This tenant is suspended in its declaration: nothing will be written.\n");
        }
        for freeze in &self.plan.policy.freezes {
            let (name, reason) = (self.look.show(&freeze.name), self.look.show(&freeze.reason));
            let end = moment(freeze.until);
            let words = match freeze.approved {
                true => format!("The freeze {name} is on until {end} ({reason}), and approved: changes go through it."),
                false => format!("The freeze {name} is on until {end} ({reason}): nothing will be written."),
            };
            Line::new(self.look).words(Role::Heading, &words).end(out);
            out.push('\n');
        }
        if !complete {
            self.partial(out);
        }
    }

    /// Of a part of the devices.
    fn partial(&self, out: &mut String) {
        let scope = &self.plan.scope;
        let flags = |flag: &'static str, all: &'p [String]| {
            all.iter().map(move |pattern| format!("{flag} {}", self.look.show(pattern)))
        };
        let flags: Vec<String> = flags("--target", &scope.targets).chain(flags("--exclude", &scope.excludes)).collect();
        let what = if flags.is_empty() { "only some devices were read".to_owned() } else { flags.join(" ") };
        let words = format!("A part of the tenant: {what}. Nothing follows for any other device.");
        Line::new(self.look).words(Role::Heading, &words).end(out);
        out.push('\n');
    }

    fn legend(&self, out: &mut String) {
        let used = self.plan.symbols();
        if used.is_empty() {
            return;
        }
        let words = used
            .iter()
            .map(|symbol| [(symbol.role(), symbol.sign()), (Role::Plain, " "), (Role::Plain, symbol.word())]);
        Line::new(self.look).plain("Symbols: ").pieces(words).end(out);
        out.push('\n');
    }

    /// Before everything else: what is judged by the stricter guards for the last
    /// time.
    fn loosens(&self, out: &mut String) {
        if self.plan.loosens.is_empty() {
            return;
        }
        self.title(out, "Loosened by this plan, for those that follow", self.plan.loosens.len());
        let arrow = if self.look.unicode { "→" } else { "->" };
        for of in &self.plan.loosens {
            let words = format!("{} {arrow} {}", self.look.show(&of.before), self.look.show(&of.after));
            Line::new(self.look)
                .plain("  * ")
                .plain(&self.look.show(&of.path))
                .to(32)
                .words(Role::Plain, &words)
                .end(out);
        }
        out.push('\n');
    }

    fn changes(&self, out: &mut String) {
        let actions = self.plan.actions_in_order();
        let mut adopted = 0;
        for group in actions.chunk_by(|a, b| a.source.file == b.source.file) {
            let _ = writeln!(out, "{}", self.look.paint(Role::Heading, &self.look.draw(&*group[0].source.file)));
            let mut more = 0;
            for action in group {
                adopted += usize::from(action.symbol == Symbol::Adopt);
                if action.symbol == Symbol::Adopt && adopted > ADOPTED_SHOWN {
                    more += 1;
                } else {
                    self.action(out, action);
                }
            }
            if more > 0 {
                let _ = writeln!(out, "  = and {} more that are as declared already", thousands(more));
            }
            out.push('\n');
        }
    }

    fn action(&self, out: &mut String, action: &ActionDocument) {
        let ActionDocument { symbol, object, source, .. } = action;
        let at = if source.line == 0 { "gone".to_owned() } else { format!(":{}", source.line) };
        let mut rows = Rows { page: self, symbol: *symbol, serial: &object.serial_number, at, first: true };
        if let Some(words) = action.words {
            rows.row(out, action.actions[0], |line| line.words(Role::Plain, words));
        }
        for field in &action.changes {
            if field.shown != Shown::Never {
                rows.row(out, field.label, |line| value(line, self.look, field));
            }
        }
        if let Some(from) = from(source, &action.changes) {
            rows.row(out, "from", |line| line.painted(Role::Dim, &self.look.draw(&from)));
        }
        for note in &action.notes {
            rows.row(out, "note", |line| line.words(Role::Dim, note.text()));
        }
    }

    /// Fields that are declared no more.
    fn let_go(&self, out: &mut String) {
        let let_go = self.plan.let_go_in_order();
        if let_go.is_empty() {
            return;
        }
        self.title(out, "No longer managed", let_go.len());
        for of in let_go {
            let kept = of.kept.iter().map(|field| match field.after() {
                "" => format!("{}, the tenant has none", field.label),
                value => format!("{}, the tenant keeps {}", field.label, self.look.value(value)),
            });
            let words = kept.collect::<Vec<_>>().join("; ");
            let line =
                Line::new(self.look).to(INDENT).plain(&self.look.show(&of.object.serial_number)).to(self.words());
            line.words(Role::Plain, &words).right(Role::Dim, &self.at(&of.source)).end(out);
        }
        out.push('\n');
    }

    /// What is declared no more, and why nothing follows from it.
    fn removal(&self, out: &mut String) {
        let removal = &self.plan.removal;
        let Some((why, remedy)) = &removal.words else { return };
        match removal.undeclared.len() {
            0 => {
                let _ = writeln!(out, "{}", self.look.paint(Role::Heading, "Nothing is removed"));
            }
            count => self.title(out, "Declared no more, and nothing is removed", count),
        }
        let line = || Line::new(self.look).to(INDENT);
        line().words(Role::Plain, &self.look.show(why)).end(out);
        let shown = removal.undeclared.iter().take(UNMANAGED_SHOWN).map(|serial| self.look.show(serial).to_string());
        let shown: Vec<String> = shown.collect();
        if !shown.is_empty() {
            let more = removal.undeclared.len() - shown.len();
            let more = if more > 0 { format!(" and {} more", thousands(more)) } else { String::new() };
            line().words(Role::Plain, &format!("{}{more}", shown.join(", "))).end(out);
        }
        line().plain(bullet(self.look)).plain(" ").words(Role::Plain, remedy).end(out);
        out.push('\n');
    }

    fn waiting(&self, out: &mut String) {
        let waiting = self.plan.awaiting_in_order();
        if waiting.is_empty() {
            return;
        }
        self.title(out, "Waiting", waiting.len());
        let column = place_column(self.look, waiting.iter().map(|awaiting| &awaiting.source));
        for awaiting in waiting {
            let line = self.start(Symbol::Awaiting, &awaiting.object.serial_number).words(Role::Plain, &awaiting.words);
            line.right_from(column, Role::Dim, &self.at(&awaiting.source)).end(out);
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
            self.cause(out, group[0], group.len());
            for held in &group {
                self.held_row(out, held);
            }
            out.push('\n');
        }
    }

    fn held_row(&self, out: &mut String, held: &HeldDocument) {
        let line = self.start(held.symbol, &held.object.serial_number).plain(held.action);
        let line = line.half(self.words() + LABEL, &self.at(&held.source), self.words());
        let since = held.since.map(|since| format!("since {}", &moment(since)[..10]));
        since.into_iter().fold(line, |line, since| line.right(Role::Dim, &since)).end(out);
        for field in held.changes.iter().filter(|field| field.shown != Shown::Never) {
            let line = Line::new(self.look).to(self.words()).plain(field.label).to(self.words() + LABEL);
            value(line, self.look, field).end(out);
        }
        if let Some(from) = from(&held.source, &held.changes) {
            let line = Line::new(self.look).to(self.words()).plain("from").to(self.words() + LABEL);
            line.painted(Role::Dim, &self.look.draw(&from)).end(out);
        }
    }

    /// Why so many are held, the evidence, and what a person can do.
    fn cause(&self, out: &mut String, held: &HeldDocument, count: usize) {
        let HeldDocument { reason, evidence, retry_after, object, .. } = held;
        let heading = format!("{} ({reason}): {}", reason.text(), thousands(count));
        let line = |column: usize| Line::new(self.look).to(column);
        line(2).words(Role::Heading, &heading).end(out);
        for words in evidence {
            line(INDENT).words(Role::Plain, &self.look.show(words)).end(out);
        }
        for Remedy(_, remedy) in reason.remedies() {
            line(INDENT).plain(bullet(self.look)).plain(" ").words(Role::Plain, remedy).end(out);
        }
        if let Some(at) = retry_after {
            let serial = if count == 1 { self.look.show(&object.serial_number) } else { "SERIAL".into() };
            let next = format!("next attempt {}, or now: apgit apply --retry {serial}", moment(*at));
            line(INDENT).words(Role::Plain, &next).end(out);
        }
    }

    fn totals(&self, out: &mut String) {
        let PlanDocument { plan_id, digest, again, summary, actions, held, policy, .. } = self.plan;
        let mut heading = |words: &str| {
            let words = format!("{}{words}", of_tenant(self.plan.several, &self.plan.tenant.name, self.look));
            Line::new(self.look).words(Role::Heading, &words).end(out);
        };
        if self.plan.mode == "drift" {
            let devices = counted(actions.len() + held.len(), "device was", "devices were");
            heading(&match actions.len() + held.len() {
                0 => "No drift.".to_owned(),
                _ => format!("Drift: {devices} changed by others since it was applied."),
            });
            let _ = writeln!(out, "  {} unchanged", thousands(summary.unchanged));
            return;
        }
        let undeclared = self.plan.removal.undeclared.len();
        let loosens = self.plan.loosens.len();
        if actions.is_empty() && loosens > 0 {
            heading(&format!("Plan {plan_id}"));
            let guards = counted(loosens, "guard is loosened", "guards are loosened");
            let _ = writeln!(out, "  {guards}, and no device is written");
            let _ = writeln!(out, "  digest {}", self.look.paint(Role::Dim, &digest.sha256));
        } else if actions.is_empty() && held.is_empty() && undeclared > 0 {
            let devices = counted(undeclared, "device is", "devices are");
            heading(&format!("Nothing will be written: {devices} declared no more."));
        } else if actions.is_empty() && held.is_empty() {
            heading("No changes.");
        } else if actions.is_empty() {
            let held = counted(held.len(), "change is", "changes are");
            let what = if self.plan.upkeep.is_empty() { "Nothing" } else { "No device" };
            heading(&format!("{what} will be written: {held} held."));
        } else {
            heading(&format!("Plan {plan_id}"));
            let mut todo =
                format!("  {} to register, {} to update", thousands(summary.register), thousands(summary.update));
            let others = [
                (summary.deregister, "to deregister"),
                (summary.release, "to release"),
                (summary.adopt, "to adopt"),
                (summary.loosen, "to loosen"),
                (summary.tighten, "to tighten"),
            ];
            for (count, word) in others.into_iter().filter(|(count, _)| *count > 0) {
                let _ = write!(todo, ", {} {word}", thousands(count));
            }
            Line::new(self.look).plain(&todo).half(HEAD, &self.effort(), 2).end(out);
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
        let limits = policy.limits.iter().filter(|limit| limit.value > 0);
        let limits: Vec<String> = limits.map(limit_text).collect();
        if !limits.is_empty() {
            let pieces = limits.iter().map(|limit| [(Role::Plain, &**limit)]);
            Line::new(self.look).plain("  limits: ").pieces(pieces).end(out);
        }
        self.upkeep(out);
    }

    /// What is done besides, once the devices are.
    fn upkeep(&self, out: &mut String) {
        let PlanDocument { upkeep, estimate, .. } = self.plan;
        let not_before = estimate.sync_not_before.map(|at| format!("not before {}", time_of_day(at)));
        let when = match (upkeep.sync, upkeep.sync_owed_since) {
            (Some(_), Some(since)) => Some(format!("owed since {}", moment(since))),
            (Some("Registers"), None) if self.plan.summary.register == 0 => Some("once they are gone".to_owned()),
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
        if estimate.writes == 0 {
            return "only the ledger is written".to_owned();
        }
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
        let line = if first { line.right_from(page.look.width - PLACE, Role::Dim, &self.at) } else { line };
        line.end(out);
    }
}

/// What a field gets.
fn value<'l>(line: Line<'l>, look: &Look, field: &ChangeDocument) -> Line<'l> {
    match field.shown {
        Shown::Never => line,
        Shown::Value => line.words(Role::New, &look.value(field.after())),
        Shown::Change => arrow(line, look, field),
        Shown::Gone => line.words(Role::Old, &look.value(field.before())),
        Shown::Digest => line.plain(&format!("{} (content not shown)", field.digest())),
    }
}

/// The row of a spreadsheet that a device's values are from. Only of what changes:
/// a row that agrees with the tenant explains nothing.
fn from(source: &Place, changes: &[ChangeDocument]) -> Option<String> {
    let row = source.row.as_ref()?;
    let fields = changes.iter().filter(|change| row.fields.contains(&change.path));
    let labels: Vec<&str> = fields.map(|change| change.label).collect();
    (!labels.is_empty()).then(|| format!("{} of {}:{}", labels.join(" and "), row.file, row.line))
}

fn arrow<'l>(line: Line<'l>, look: &Look, field: &ChangeDocument) -> Line<'l> {
    let column = line.column();
    let after = format!("{} {}", if look.unicode { "→" } else { "->" }, look.value(field.after()));
    line.painted(Role::Old, &look.value(field.before())).plain(" ").whole(Role::New, &after, column)
}

fn limit_text(reading: &LimitDocument) -> String {
    let LimitDocument { class, value, limit, managed, approved, spent, .. } = reading;
    let approved = approved.map(|n| format!(", approved {n}")).unwrap_or_default();
    let before = if *spent > 0 { format!(" and {} before", thousands(*spent)) } else { String::new() };
    let of = format!("{class}: {}{before} of at most {}", thousands(*value), thousands(*limit));
    if *value > 0 && *managed > 0 { format!("{of} ({} registered{approved})", thousands(*managed)) } else { of }
}

fn named(label: &str, value: Option<&str>, look: &Look) -> String {
    value.map_or_else(|| format!("no {label}"), |value| format!("{label} {}", look.value(value)))
}
