//! Golden files of the renderers. `SNAPSHOTS=overwrite cargo test` rewrites
//! them.

use std::path::{Path, PathBuf};

use apgit::door::apply::{Outcome, Outcomes, SyncOutcome};
use apgit::door::model::{Desired, RegistrationId};
use apgit::door::plan::{ActionKind, Plan, Reason, Upkeep};
use apgit::door::render::document::{ApplyView, FailureDocument, FleetDocument, PlanView, StatusView};
use apgit::door::render::{self, Detail, Document, FailOn, Format, Look};
use serde_json::Value;
use snapbox::file;
use uuid::Uuid;

use super::sample;
use crate::support::violations;

const COLOR: Look = Look { color: true, unicode: true, width: 100, wraps: false, detail: Detail::Full };
const ASCII: Look = Look { color: false, unicode: false, width: 80, wraps: true, detail: Detail::Full };

/// A golden file is compared as it is: no newline conversion, no wildcards.
fn check(actual: String, expected: snapbox::Data) {
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(actual, expected.raw());
}

fn of_plan(plan: Plan) -> Document {
    let cleared = sample::cleared(plan);
    let schedule = apgit::door::apply::schedule(&cleared, None, sample::at("2026-10-04T08:14:09Z"));
    Document::Plan(Box::new(sample::view(&cleared, &schedule).document()))
}

fn text(document: &Document) -> String {
    Format::Text.draw(document, &Look::default())
}

fn json(document: &Document) -> String {
    Format::Json.draw(document, &Look::default())
}

#[test]
fn a_plan_is_shown_by_file_with_reasons_before_totals() {
    check(text(&of_plan(sample::plan())), file!["../../golden/plan.txt"]);
}

#[test]
fn colour_supports_the_symbols_and_adds_nothing() {
    let show = |look: Look| Format::Text.draw(&of_plan(sample::plan()), &look);
    let colored = show(COLOR);
    assert!(colored.contains("\u{1b}[32m+\u{1b}[0m"), "{colored:?}");
    assert_eq!(anstream::adapter::strip_str(&colored).to_string(), show(Look { color: false, ..COLOR }));
}

#[test]
fn a_narrow_terminal_without_utf_8_gets_ascii() {
    let text = Format::Text.draw(&of_plan(sample::plan()), &ASCII);
    assert!(text.is_ascii());
    check(text, file!["../../golden/plan-ascii.txt"]);
}

#[test]
fn a_plan_without_changes_says_so() {
    check(text(&of_plan(sample::unchanged())), file!["../../golden/plan-no-changes.txt"]);
}

#[test]
fn a_plan_without_changes_still_names_what_is_held_and_waits() {
    let plan = Plan { changes: vec![], upkeep: Upkeep::default(), ..sample::plan() };
    check(text(&of_plan(plan)), file!["../../golden/plan-held-only.txt"]);
}

#[test]
fn quiet_shows_the_totals_only() {
    let plan = of_plan(sample::plan());
    let quiet = Format::Text.draw(&plan, &Look { detail: Detail::Totals, ..Look::default() });
    let full = text(&plan);
    assert!(quiet.starts_with("Plan plan-") && full.ends_with(&quiet), "{quiet}");
}

#[test]
fn a_tenants_text_cannot_paint_on_the_terminal() {
    let mut plan = sample::plan();
    plan.unmanaged[0].device.group_tag = "a\u{1b}[2J\u{202e}b".into();
    plan.held[0].details = vec!["line one\nline two\u{7}".to_owned()];
    let text = text(&of_plan(plan));
    assert!(text.contains(r#"group tag "a\u{1b}[2J\u{202e}b""#), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn a_plan_for_tools_has_every_property_of_its_format() {
    check(json(&of_plan(sample::plan())), file!["../../golden/plan.json": Text]);
}

#[test]
fn what_failed_the_pipeline_is_said_last() {
    let cleared = sample::cleared(sample::plan());
    let schedule = sample::schedule(&cleared);
    let view = PlanView { failed_on: Some(FailOn::Held), ..sample::view(&cleared, &schedule) };
    let document = view.document();
    assert_eq!((document.diagnostics[0].severity, document.diagnostics[0].code.as_str()), ("error", "FailOnHeld"));
    let text = text(&Document::Plan(Box::new(document)));
    let last = text.lines().last().unwrap_or_default();
    assert_eq!(last, "error[FailOn]: this plan has held changes, and --fail-on held was given");
}

#[test]
fn a_diff_is_unified_yaml_that_other_tools_read() {
    let diff = render::diff::draw(&of_plan(sample::plan()), &Look::default());
    check(diff, file!["../../golden/plan.diff"]);
}

#[test]
fn a_coloured_diff_marks_the_changed_words() {
    let diff = render::diff::draw(&of_plan(sample::plan()), &COLOR);
    let line = diff.lines().find(|line| line.contains("BER-SHARED")).unwrap_or_default();
    assert_eq!(
        line,
        "\u{1b}[32m+\u{1b}[0m\u{1b}[32mgroupTag: \u{1b}[0m\u{1b}[1m\u{1b}[7m\u{1b}[32mBER-SHARED\u{1b}[0m"
    );
}

fn outcomes(plan: &Plan) -> Outcomes {
    let at = sample::at("2026-10-04T09:03:58Z");
    let done = |number| Outcome::Done { registration_id: RegistrationId(Uuid::from_u128(number)), at };
    let ends = [
        done(11),
        Outcome::Awaiting { since: at },
        done(1),
        done(2),
        Outcome::Failed { reason: Reason::InvalidHardwareHash, message: "802 InvalidZtdHardwareHash".to_owned() },
    ];
    Outcomes {
        of: plan.changes.iter().cloned().zip(ends).collect(),
        sync: SyncOutcome::Done { at: sample::at("2026-10-04T09:05:00Z") },
        ..Outcomes::default()
    }
}

fn of_apply() -> Document {
    let plan = sample::plan();
    let mut left = sample::plan();
    left.held.push(sample::held(
        "8JH2K03",
        88,
        ActionKind::Update,
        Reason::UserNotAccepted,
        &["400: user is not licensed"],
    ));
    let view = ApplyView {
        first: &plan,
        outcomes: &outcomes(&plan),
        left: Some(&left),
        halt: None,
        several: false,
        calls: 31,
        started: sample::at("2026-10-04T09:02:11Z"),
        ended: sample::at("2026-10-04T09:06:20Z"),
        places: &sample::place,
        exit_code: 7,
    };
    Document::Apply(view.document())
}

#[test]
fn an_apply_ends_with_what_is_not_done_and_what_to_do() {
    let apply = of_apply();
    check(text(&apply), file!["../../golden/apply.txt"]);
    check(json(&apply), file!["../../golden/apply.json": Text]);
}

fn of_status() -> Document {
    let plan = sample::plan();
    let serials = ["5CG4251XYZ", "8JH2K03", "9TRS0H3", "4CE0460D0G", "7VENDOR1", "8WAIT22", "0FINE77"];
    let lines = [14, 88, 52, 60, 200, 201, 300];
    let claims = serials.iter().zip(lines).map(|(serial, line)| sample::claim(serial, line)).collect();
    let fleet = apgit::door::status::fold(&Desired::new(plan.tenant.clone(), claims), &plan);
    let view = StatusView { tenant: &plan.tenant, fleet: &fleet, undeclared: &[], places: &sample::place };
    Document::Status(view.document())
}

#[test]
fn a_status_has_one_line_per_device() {
    let status = of_status();
    check(text(&status), file!["../../golden/status.txt"]);
    check(json(&status), file!["../../golden/status.json": Text]);
}

#[test]
fn the_published_schemas_are_current_and_hold() {
    let (plan, report) = (render::json::plan_schema(), render::json::report_schema());
    check(format!("{plan:#}\n"), file!["../../../schema/plan.schema.json": Text]);
    check(format!("{report:#}\n"), file!["../../../schema/report.schema.json": Text]);
    let parsed = |document: &Document| -> Value { serde_json::from_str(&json(document)).expect("a report is JSON") };
    let failure = FailureDocument::new(4, "no".to_owned(), vec![]);
    let tenants = vec![of_plan(sample::plan()), of_apply(), of_status(), Document::Failure(failure)];
    let fleet = Document::Fleet(FleetDocument::new(tenants.clone(), 4));
    for document in tenants.iter().chain([&fleet]) {
        assert_eq!(violations(&report, &parsed(document)), Vec::<String>::new());
    }
    let mut broken = parsed(&tenants[0]);
    assert_eq!(violations(&plan, &broken), Vec::<String>::new());
    broken["planId"] = 7.into();
    broken["surprise"] = true.into();
    assert_eq!(violations(&plan, &broken).len(), 2, "the check finds what is planted");
    let mut broken = parsed(&fleet);
    broken["tenants"][1]["kind"] = "apgit.plan".into();
    assert_eq!(violations(&report, &broken).len(), 1, "the check finds what is planted");
}

/// The files of a folder of sources, and of those below it, but for some.
fn files_beside(folder: &Path, without: &[&str]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    let wanted = entries.filter(|path| !without.iter().any(|name| path.ends_with(name)));
    wanted.flat_map(|path| if path.is_dir() { files_beside(&path, without) } else { vec![path] }).collect()
}

#[test]
fn formats_know_documents_and_nothing_behind_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/render");
    // Events are lines of a log, and no report.
    let formats = files_beside(&folder, &["document", "document.rs", "event.rs"]);
    assert!(formats.len() > 5, "only {formats:?}");
    for path in formats {
        let text = std::fs::read_to_string(&path).expect("a source");
        let behind = text.lines().find(|line| line.replace("crate::render::", "").contains("crate::"));
        assert_eq!(behind, None, "{}", path.display());
    }
}
