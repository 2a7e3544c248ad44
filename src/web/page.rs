//! The page: tenants, what needs somebody, and the devices.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use crate::plan::Reason;
use crate::render::document::{LimitDocument, Symbol};
use crate::render::style::{counted, duration, thousands};

use super::board::{Snapshot, Tenant, Trouble};
use super::query::{Query, Show};
use super::reading::{Reading, Sync};
use super::table::{self, coded, drifted, remedies, sign, time};

/// Devices that are listed beside their reason; of more there is a link.
const LISTED: usize = 20;

/// Draws the page of a tenant, or of all of them.
#[must_use]
pub(super) fn draw(site: &Snapshot, chosen: Option<(&str, &Tenant)>, query: &Query, now: Timestamp) -> Markup {
    let title = chosen.map_or("apgit".to_owned(), |(_, tenant)| format!("{} · apgit", tenant.name));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if waits(site) { meta http-equiv="refresh" content="5"; }
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href="icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="page.css";
                script src="page.js" defer {}
            }
            body data-version=(site.version) {
                a.skip href="#devices" { "Skip to the devices" }
                header {
                    p.brand { a href="?" { "apgit" } }
                    p.faint { "Where the devices stand. This page only shows: nothing can be changed here." }
                }
                main {
                    p #news role="status" hidden { "There is a newer reading. " a href="" { "Show it" } }
                    @for of in &site.troubles { (trouble("Nothing new is known", of)) }
                    @if site.tenants.len() != 1 || chosen.is_none() { (overview(site, chosen.map(|(key, _)| key), now)) }
                    @if let Some((key, of)) = chosen { (tenant(key, of, query, now)) }
                }
                footer { p.faint { "For tools: " a href="api/status" { "api/status" } @if let Some((key, _)) = chosen {
                    ", " a href={ "api/devices" (Query { page: 1, ..query.clone() }.address(key)) } { "api/devices" }
                } " · times are UTC" } }
            }
        }
    }
}

/// True if the first reading is under way.
fn waits(site: &Snapshot) -> bool {
    let is_open = |of: &Tenant| of.reading.is_none() && of.trouble.is_none() && !of.elsewhere;
    site.troubles.is_empty() && (site.tenants.is_empty() || site.tenants.iter().any(|(_, of)| is_open(of)))
}

fn overview(site: &Snapshot, chosen: Option<&str>, now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="tenants" {
            h1 #tenants { "Tenants" }
            @if site.tenants.is_empty() { p { "No tenant was read yet. This page looks again by itself." } } @else {
                table.tenants {
                    thead { tr { th scope="col" { "Tenant" } th scope="col" { "Policy" } th scope="col" { "How it is" }
                        th scope="col" { "Devices" } th scope="col" { "Read" } } }
                    tbody { @for (key, tenant) in &site.tenants {
                        @let (symbol, words) = verdict(tenant);
                        tr {
                            th scope="row" data-label="Tenant" {
                                a href={ "?tenant=" (super::query::encoded(key)) } aria-current=[(chosen == Some(key)).then_some("true")] { bdi { (key) } }
                            }
                            td data-label="Policy" { (tenant.policy) @if tenant.suspended { ", suspended" } }
                            td data-label="How it is" { (sign(symbol)) (words) }
                            td data-label="Devices" { @if let Some(of) = &tenant.reading { (thousands(of.declared)) } @else { "unknown" } }
                            td data-label="Read" { @if let Some(of) = &tenant.reading { (ago(of, now)) } @else { "not yet" } }
                        }
                    } }
                }
            }
        }
    }
}

/// How a tenant is, in a word.
fn verdict(tenant: &Tenant) -> (Option<Symbol>, String) {
    let Some(of) = &tenant.reading else {
        return match (&tenant.trouble, tenant.elsewhere) {
            (Some(_), _) => (Some(Symbol::Conflict), "cannot be read".to_owned()),
            (None, true) => (Some(Symbol::Awaiting), "read by another replica".to_owned()),
            (None, false) => (Some(Symbol::Awaiting), "not read yet".to_owned()),
        };
    };
    let at = |stages: &[&str]| stages.iter().filter_map(|stage| of.stages.get(stage)).sum::<usize>();
    let held = at(&["Held"]);
    let changes = at(&["ToRegister", "ToUpdate", "ToAdopt", "ToDeregister", "ToRelease", "Importing"]);
    let waiting = at(&["AwaitingVendor", "AwaitingRegistration", "AwaitingValues", "AwaitingGone"]);
    let parts = [(held, "held"), (changes, "to change"), (waiting, "waiting")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", thousands(*count)))
        .collect();
    let words = if parts.is_empty() { "as declared".to_owned() } else { parts.join(", ") };
    match tenant.trouble {
        Some(_) => (Some(Symbol::Conflict), format!("needs somebody; {words}")),
        None if held > 0 || !tenant.problems.is_empty() => (Some(Symbol::Blocked), words),
        None if changes > 0 => (Some(Symbol::Update), words),
        None if waiting > 0 => (Some(Symbol::Awaiting), words),
        None => (None, words),
    }
}

fn tenant(key: &str, of: &Tenant, query: &Query, now: Timestamp) -> Markup {
    let (symbol, words) = verdict(of);
    html! {
        section.tenant aria-labelledby="tenant" {
            h1 #tenant { bdi { (key) } }
            p.verdict { (sign(symbol)) (words) }
            @if let Some(of) = &of.trouble { (trouble("It could not be read, or not written", of)) }
            @if of.elsewhere { div.box.awaiting role="note" { p { "Another replica reads this tenant now: what stands here may be old." } } }
            (facts(of, now))
            @if let Some(reading) = &of.reading { (counts(key, reading)) }
            (problems(of))
            @if let Some(reading) = &of.reading { (held(key, reading)) (drift(key, reading)) }
            (devices(key, of, query))
        }
    }
}

fn trouble(what: &str, of: &Trouble) -> Markup {
    html! {
        div.box.conflict role="alert" {
            p { (sign(Some(Symbol::Conflict))) strong { (what) } " since " (time(of.at)) ": " bdi { (of.message) } }
            @if !of.hints.is_empty() { ul { @for hint in &of.hints { li { bdi { (hint) } } } } }
        }
    }
}

fn facts(tenant: &Tenant, now: Timestamp) -> Markup {
    let reading = tenant.reading.as_deref();
    html! {
        dl.facts {
            div.long { dt { "Read" } dd { @match reading {
                Some(of) => { (ago(of, now)) @if of.simulated { "; a simulated tenant, by whose clock it was " (time(of.observed_at)) } }
                None => "not yet",
            } } }
            div { dt { "Policy" } dd { (tenant.policy) @if tenant.suspended { ", " strong { "suspended: nothing is written" } } } }
            div { dt { "Owner" } dd { bdi { (tenant.owner) } } }
            div { dt { "Tenant id" } dd { bdi { (tenant.tenant_id) } @if let Some(of) = reading { @match of.cloud { "Custom" => ", at an endpoint of its own", cloud => { ", in " (cloud) } } } } }
            @if let Some(of) = reading {
                div { dt { "Registered" } dd { (thousands(of.registered)) " in the tenant, "
                    (thousands(of.declared)) " declared, " (thousands(of.summary.unmanaged)) " unmanaged" } }
                div.long { dt { "Sync" } dd { (sync(&of.sync)) } }
            }
        }
    }
}

fn ago(of: &Reading, now: Timestamp) -> Markup {
    let seconds = u64::try_from(now.duration_since(of.read_at).as_secs()).unwrap_or_default();
    let span = match seconds {
        0..60 => "less than a minute".to_owned(),
        60..3_600 => format!("{} min", seconds / 60),
        _ => duration(seconds),
    };
    html! { (time(of.read_at)) " (" (span) " ago)" }
}

fn sync(of: &Sync) -> Markup {
    let Some(state) = &of.state else { return html! { "the tenant does not say when it last did" } };
    let wanted = match of.wanted {
        Some("Registers") => Some("One is to be asked for: the plan registers or removes devices."),
        Some("Owed") => Some("One is owed: devices were registered or removed, and none came since."),
        Some("Vendor") => Some("One may help: a vendor's registration is waited for."),
        _ => None,
    };
    let gap = u64::try_from(Reading::SYNC_GAP_S).unwrap_or_default();
    html! {
        @match state.last_sync { Some(at) => { "ended " (time(at)) } None => "never yet" }
        @if state.running { ", one is under way" }
        @if state.failed { ", " strong { "the last one failed" } }
        @if let Some(at) = state.last_manual_trigger { "; asked for " (time(at)) }
        "; the next one " @match of.next {
            Some(at) => { "not before " (time(at)) " (two are " (duration(gap)) " apart)" }
            None => "is allowed at any time",
        } "."
        @if let Some(words) = wanted { " " (words) }
        @if let Some(at) = of.owed_since { " Since " (time(at)) "." }
    }
}

/// A stage in the words of people.
fn stage(name: &str) -> (Option<Symbol>, &str) {
    match name {
        "InSync" => (None, "as declared"),
        "ToRegister" => (Some(Symbol::Register), "to register"),
        "Importing" => (Some(Symbol::Awaiting), "being imported"),
        "AwaitingRegistration" => (Some(Symbol::Awaiting), "imported, not listed yet"),
        "AwaitingVendor" => (Some(Symbol::Awaiting), "waiting for their vendor"),
        "ToUpdate" => (Some(Symbol::Update), "to update"),
        "AwaitingValues" => (Some(Symbol::Awaiting), "written, not shown yet"),
        "ToAdopt" => (Some(Symbol::Adopt), "to adopt"),
        "AwaitingGone" => (Some(Symbol::Awaiting), "removed, still shown"),
        "Held" => (Some(Symbol::Blocked), "held"),
        "ToDeregister" => (Some(Symbol::Deregister), "to deregister"),
        "ToRelease" => (Some(Symbol::Release), "to release"),
        other => (Some(Symbol::Unmanaged), other),
    }
}

/// The stages that there are, what needs somebody first.
fn in_order(of: &Reading) -> Vec<(&'static str, usize)> {
    let rank = |name: &str| match name {
        "Held" => 0,
        "InSync" => 3,
        _ if name.starts_with("Awaiting") || name == "Importing" => 2,
        _ => 1,
    };
    let mut stages: Vec<(&'static str, usize)> = of.stages.iter().map(|(name, count)| (*name, *count)).collect();
    stages.sort_by_key(|(name, _)| rank(name));
    stages
}

fn shows(key: &str, show: &str) -> String {
    let asked = super::query::Asked { show: show.to_owned(), ..super::query::Asked::default() };
    Query::of(&asked).address(key) + "#devices"
}

fn counts(key: &str, of: &Reading) -> Markup {
    let drift = of.rows.iter().filter(|row| row.drift().is_some()).count();
    html! {
        ul.counts aria-label="Devices by where they stand" {
            @for (name, count) in in_order(of) {
                @let (symbol, words) = stage(name);
                li { a href=(shows(key, name)) { (sign(symbol)) strong { (thousands(count)) } " " (words) } }
            }
            @if drift > 0 { li { a href=(shows(key, "drift")) { (sign(Some(Symbol::Conflict))) strong { (thousands(drift)) } " changed by others" } } }
        }
    }
}

/// What is wrong, or in the way, with the tenant as a whole.
fn problems(tenant: &Tenant) -> Markup {
    let reading = tenant.reading.as_deref();
    let exceeded: Vec<&LimitDocument> = reading.map_or(vec![], |of| of.limits.iter().filter(|of| !of.ok).collect());
    let not_removed = reading.and_then(|of| of.not_removed.as_ref());
    let freezes = reading.map_or(&[][..], |of| &of.freezes);
    let approvals = reading.map_or(&[][..], |of| &of.approvals);
    let is_part = reading.is_some_and(|of| !of.complete);
    let loosens = reading.map_or(0, |of| of.loosens);
    let nothing = tenant.problems.is_empty() && exceeded.is_empty() && not_removed.is_none();
    if nothing && freezes.is_empty() && approvals.is_empty() && !is_part && loosens == 0 {
        return html! {};
    }
    html! {
        section aria-labelledby="problems" {
            h2 #problems { "In the way" }
            ul.plain {
                @for of in freezes { li { (sign(Some(Symbol::Blocked))) "The freeze “" bdi { (of.name) } "” is on until " (time(of.until)) ": "
                    bdi { (of.reason) } @if of.approved { " (approved)" } } }
                @for of in &exceeded { li { (sign(Some(Symbol::Blocked))) "The limit " (of.name) " allows " (of.limit) " and "
                    (of.value + of.spent) " are wanted: " (of.class) } }
                @if let Some((why, remedy)) = not_removed { li { (sign(Some(Symbol::Blocked))) "Nothing is removed: " bdi { (why) } ". " (remedy) } }
                @if loosens > 0 { li { (sign(Some(Symbol::Loosen))) (counted(loosens, "guard is", "guards are"))
                    " declared looser than applied: the stricter one holds for this plan" } }
                @if is_part { li { (sign(Some(Symbol::Blocked))) "Only some of the declarations can be used: nothing is removed meanwhile" } }
                @for words in approvals { li { (sign(Some(Symbol::Awaiting))) "Approval " bdi { (words) } } }
                @for problem in &tenant.problems { li { (sign(Some(Symbol::Conflict))) bdi { (problem) } } }
            }
        }
    }
}

fn held(key: &str, of: &Reading) -> Markup {
    if of.held.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="held" {
            h2 #held { "Held: " (thousands(of.held.iter().map(|(_, count)| count).sum())) }
            p.faint { "Changes that will not be made, and what to do about each." }
            @for (reason, count) in &of.held { (cause(key, of, *reason, *count)) }
        }
    }
}

fn cause(key: &str, of: &Reading, reason: Reason, count: usize) -> Markup {
    let rows = of.rows.iter().filter(|row| row.reason == Some(reason));
    let symbol = of.rows.iter().find(|row| row.reason == Some(reason)).and_then(|row| row.symbol);
    html! {
        div.cause {
            h3 { (sign(symbol)) (coded(reason.text())) " " span.tag { (reason) ", " (counted(count, "device", "devices")) } }
            (remedies(reason.remedies()))
            ul.rows {
                @for row in rows.take(LISTED) {
                    li { strong { bdi { (row.serial) } } @for line in row.evidence() { span.line { bdi { (line) } } } }
                }
            }
            @if count > LISTED { p { a href=(shows(key, &Show::Reason(reason.to_string()).name())) { "All " (thousands(count)) " of them" } } }
        }
    }
}

fn drift(key: &str, of: &Reading) -> Markup {
    let all = || of.rows.iter().filter_map(|row| Some((row, row.drift()?)));
    let count = all().count();
    if count == 0 {
        return html! {};
    }
    html! {
        section aria-labelledby="drift" {
            h2 #drift { "Changed by others: " (thousands(count)) }
            p.faint { "What the tenant has is not what was last applied, and no declaration says so." }
            ul.rows { @for (row, drift) in all().take(LISTED) { li { strong { bdi { (row.serial) } } (drifted(drift)) } } }
            @if count > LISTED { p { a href=(shows(key, "drift")) { "All " (thousands(count)) " of them" } } }
        }
    }
}

fn devices(key: &str, tenant: &Tenant, query: &Query) -> Markup {
    let show = query.show.name();
    let option = |name: &str, words: &str| html! { option value=(name) selected[show == name] { (words) } };
    html! {
        section aria-labelledby="devices" {
            h2 #devices tabindex="-1" { "Devices" }
            form #filter method="get" action="#devices" role="search" {
                input type="hidden" name="tenant" value=(key);
                @if query.sort() != "serial" { input type="hidden" name="sort" value=(query.sort()); }
                label { "Find" input #q type="search" name="q" value=(query.words) maxlength="200" autocomplete="off" spellcheck="false"
                    placeholder="serial, tag, file …" aria-keyshortcuts="/"; }
                label { "Show" select #show name="show" {
                    (option("all", "all devices")) (option("open", "not as declared")) (option("drift", "changed by others"))
                    (option("waiting", "waiting"))
                    @if let Some(of) = &tenant.reading {
                        @for (name, count) in in_order(of).into_iter().filter(|(name, _)| *name != "Held") {
                            (option(name, &format!("{} ({})", stage(name).1, thousands(count))))
                        }
                        @if !of.held.is_empty() { optgroup label="held" {
                            @if let Some(count) = of.stages.get("Held") { (option("held", &format!("all that are held ({})", thousands(*count)))) }
                            @for (reason, count) in &of.held {
                                (option(&Show::Reason(reason.to_string()).name(), &format!("{reason} ({})", thousands(*count))))
                            }
                        } }
                    }
                } }
                button type="submit" { "Filter" }
                span #hint.faint hidden { "Press / to find" }
            }
            p #told.unseen role="status" {}
            (table::draw(key, tenant, query))
        }
    }
}
