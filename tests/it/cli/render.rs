//! Golden files of the renderers. `SNAPSHOTS=overwrite cargo test` rewrites
//! them.

use apgit::apply::{Outcome, Outcomes, SyncOutcome};
use apgit::model::{Desired, RegistrationId};
use apgit::plan::{Plan, Reason};
use apgit::render::apply::ApplyView;
use apgit::render::status::StatusView;
use apgit::render::style::Look;
use apgit::render::text::Detail;
use apgit::render::{self, FailOn, PlanView};
use snapbox::file;
use uuid::Uuid;

use super::sample;
use crate::support::violations;

const COLOR: Look = Look { color: true, unicode: true, width: 100 };
const ASCII: Look = Look { color: false, unicode: false, width: 80 };

/// A golden file is compared as it is: no newline conversion, no wildcards.
fn check(actual: String, expected: snapbox::Data) {
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(actual, expected.raw());
}

fn with_plan(plan: Plan, show: impl Fn(&PlanView) -> String) -> String {
    let cleared = sample::cleared(plan);
    let schedule = apgit::apply::schedule(&cleared, None, sample::at("2026-10-04T08:14:09Z"));
    show(&sample::view(&cleared, &schedule))
}

#[test]
fn a_plan_is_shown_by_file_with_reasons_before_totals() {
    let text = with_plan(sample::plan(), |view| render::text::plan(view, &Look::default(), Detail::Full));
    check(text, file!["../../golden/plan.txt"]);
}

#[test]
fn colour_supports_the_symbols_and_adds_nothing() {
    let show = |look: Look| with_plan(sample::plan(), |view| render::text::plan(view, &look, Detail::Full));
    let colored = show(COLOR);
    assert!(colored.contains("\u{1b}[32m+\u{1b}[0m"), "{colored:?}");
    assert_eq!(anstream::adapter::strip_str(&colored).to_string(), show(Look { color: false, ..COLOR }));
}

#[test]
fn a_narrow_terminal_without_utf_8_gets_ascii() {
    let text = with_plan(sample::plan(), |view| render::text::plan(view, &ASCII, Detail::Full));
    assert!(text.is_ascii());
    check(text, file!["../../golden/plan-ascii.txt"]);
}

#[test]
fn a_plan_without_changes_says_so() {
    let text = with_plan(sample::unchanged(), |view| render::text::plan(view, &Look::default(), Detail::Full));
    check(text, file!["../../golden/plan-no-changes.txt"]);
}

#[test]
fn a_plan_without_changes_still_names_what_is_held_and_waits() {
    let plan = Plan { changes: vec![], ..sample::plan() };
    let text = with_plan(plan, |view| render::text::plan(view, &Look::default(), Detail::Full));
    check(text, file!["../../golden/plan-held-only.txt"]);
}

#[test]
fn quiet_shows_the_totals_only() {
    let quiet = with_plan(sample::plan(), |view| render::text::plan(view, &Look::default(), Detail::Totals));
    let full = with_plan(sample::plan(), |view| render::text::plan(view, &Look::default(), Detail::Full));
    assert!(quiet.starts_with("Plan plan-") && full.ends_with(&quiet), "{quiet}");
}

#[test]
fn a_tenants_text_cannot_paint_on_the_terminal() {
    let mut plan = sample::plan();
    plan.unmanaged[0].device.group_tag = "a\u{1b}[2J\u{202e}b".into();
    plan.held[0].details = vec!["line one\nline two\u{7}".to_owned()];
    let text = with_plan(plan, |view| render::text::plan(view, &Look::default(), Detail::Full));
    assert!(text.contains(r#"group tag "a[2Jb""#), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn a_plan_for_tools_has_every_property_of_its_format() {
    let json = with_plan(sample::plan(), render::json::plan);
    check(json, file!["../../golden/plan.json": Text]);
}

#[test]
fn what_failed_the_pipeline_is_said_last() {
    let show = |view: &PlanView| {
        let view = PlanView { failed_on: Some(FailOn::Held), ..*view };
        (render::text::plan(&view, &Look::default(), Detail::Full), render::json::document(&view))
    };
    let cleared = sample::cleared(sample::plan());
    let schedule = sample::schedule(&cleared);
    let (text, document) = show(&sample::view(&cleared, &schedule));
    let last = text.lines().last().unwrap_or_default();
    assert_eq!(last, "error[FailOn]: this plan has held changes, and --fail-on held was given");
    assert_eq!((document.diagnostics[0].severity, document.diagnostics[0].code.as_str()), ("error", "FailOnHeld"));
}

#[test]
fn a_diff_is_unified_yaml_that_other_tools_read() {
    let diff = with_plan(sample::plan(), |view| render::diff::plan(view, &Look::default()));
    check(diff, file!["../../golden/plan.diff"]);
}

#[test]
fn a_coloured_diff_marks_the_changed_words() {
    let diff = with_plan(sample::plan(), |view| render::diff::plan(view, &COLOR));
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

fn with_apply(show: impl Fn(&ApplyView) -> String) -> String {
    let plan = sample::plan();
    let mut left = sample::plan();
    left.held.push(sample::held(
        "8JH2K03",
        88,
        apgit::plan::ActionKind::Update,
        Reason::UserNotAccepted,
        &["400: user is not licensed"],
    ));
    show(&ApplyView {
        first: &plan,
        outcomes: &outcomes(&plan),
        left: Some(&left),
        halt: None,
        calls: 31,
        started: sample::at("2026-10-04T09:02:11Z"),
        ended: sample::at("2026-10-04T09:06:20Z"),
        places: &sample::place,
        exit_code: 7,
    })
}

#[test]
fn an_apply_ends_with_what_is_not_done_and_what_to_do() {
    check(with_apply(|view| render::apply::text(view, &Look::default())), file!["../../golden/apply.txt"]);
    check(with_apply(render::apply::json), file!["../../golden/apply.json": Text]);
}

#[test]
fn a_status_has_one_line_per_device() {
    let plan = sample::plan();
    let serials = ["5CG4251XYZ", "8JH2K03", "9TRS0H3", "4CE0460D0G", "7VENDOR1", "8WAIT22", "0FINE77"];
    let lines = [14, 88, 52, 60, 200, 201, 300];
    let claims = serials.iter().zip(lines).map(|(serial, line)| sample::claim(serial, line)).collect();
    let fleet = apgit::status::fold(&Desired::new(plan.tenant.clone(), claims), &plan);
    let view = StatusView { tenant: &plan.tenant, fleet: &fleet, places: &sample::place };
    check(render::status::text(&view, &Look::default()), file!["../../golden/status.txt"]);
    check(render::status::json(&view), file!["../../golden/status.json": Text]);
}

#[test]
fn the_published_schema_of_a_plan_is_current_and_holds() {
    let schema = render::json::plan_schema();
    check(format!("{schema:#}\n"), file!["../../../schema/plan.schema.json": Text]);
    let document = with_plan(sample::plan(), render::json::plan);
    let document = serde_json::from_str(&document).expect("a plan is JSON");
    assert_eq!(violations(&schema, &document), Vec::<String>::new());
    let mut broken: serde_json::Value = document;
    broken["planId"] = 7.into();
    broken["surprise"] = true.into();
    assert_eq!(violations(&schema, &broken).len(), 2, "the check finds what is planted");
}
