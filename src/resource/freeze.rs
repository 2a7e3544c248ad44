//! `freezes` of a tenant: times in which nothing is written, and their checks.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Problems;
use super::form::{FREEZE, MOMENT, WEEK_TIME, ZONE};
use crate::model::{Freeze, WeekTime, Window, Zone};

/// A time in which nothing is written to the tenant: either once, with `from`
/// and `until`, or `weekly`. It is judged by the service's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.from) || has(self.until), has(self.weekly)].filter(x, x).size() == 1")
    .message("give either `from` and `until`, or `weekly`").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("has(self.from) == has(self.until)")
    .message("`from` and `until` go together").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("!has(self.from) || !has(self.until) || timestamp(self.from) < timestamp(self.until)")
    .message("`until` is not after `from`").reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::no_nulls)]
pub struct FreezeSpec {
    /// By this name `--approve-freeze` lets changes through.
    #[schemars(length(min = FREEZE.min, max = FREEZE.max), pattern(FREEZE.pattern))]
    pub name: String,
    /// Why, for the people whose changes are held.
    #[schemars(length(min = 1, max = 200))]
    pub reason: String,
    /// When it begins, in RFC 3339: `2026-12-18T16:00:00+01:00`.
    #[schemars(length(min = MOMENT.min, max = MOMENT.max), pattern(MOMENT.pattern))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The first moment after it, in RFC 3339.
    #[schemars(length(min = MOMENT.min, max = MOMENT.max), pattern(MOMENT.pattern))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Instead of `from` and `until`: a part of every week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<WeeklySpec>,
}

/// A part of every week, by the clocks of a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.from != self.until")
    .message("`from` and `until` are the same time").reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WeeklySpec {
    /// When it begins: `Fri 16:00`.
    #[schemars(length(min = WEEK_TIME.min, max = WEEK_TIME.max), pattern(WEEK_TIME.pattern))]
    pub from: String,
    /// When it ends: `Mon 06:00`.
    #[schemars(length(min = WEEK_TIME.min, max = WEEK_TIME.max), pattern(WEEK_TIME.pattern))]
    pub until: String,
    /// Whose clocks, by a name of the IANA database: `Europe/Oslo`.
    #[schemars(length(min = ZONE.min, max = ZONE.max), pattern(ZONE.pattern))]
    pub time_zone: String,
}

/// So many may be declared: each is looked at for every plan.
pub(super) const FREEZES_MAX: usize = 50;

/// The freezes as the planner knows them; what is wrong with one leaves it out.
pub(super) fn freezes(spec: &[FreezeSpec], problems: &mut Problems) -> Vec<Freeze> {
    let (mut names, mut freezes) = (BTreeSet::new(), Vec::new());
    if spec.len() > FREEZES_MAX {
        problems.push(&["freezes"], "too-many", format!("more than {FREEZES_MAX} freezes are declared"));
    }
    for (index, freeze) in spec.iter().enumerate() {
        problems.within(&["freezes"], index, |problems| {
            check_words(freeze, problems);
            if !names.insert(freeze.name.as_str()) {
                let message = format!("two freezes have the name `{}`", freeze.name);
                problems.push_hint(&["name"], "freeze-name", message, "an approval names one of them");
            }
            if let Some(window) = window(freeze, problems) {
                freezes.push(Freeze { name: freeze.name.clone(), reason: freeze.reason.clone(), window });
            }
        });
    }
    freezes
}

fn check_words(spec: &FreezeSpec, problems: &mut Problems) {
    if !FREEZE.fits(&spec.name) {
        let hint = "1 to 63 lower-case letters, digits and `-`; a letter or digit at both ends";
        problems.push_hint(&["name"], "freeze-name", "this is not a name of a freeze", hint);
    }
    if !(1..=200).contains(&spec.reason.chars().count()) {
        let hint = "up to 200 characters, for the people whose changes are held";
        problems.push_hint(&["reason"], "freeze-reason", "a freeze needs a reason", hint);
    }
}

fn window(spec: &FreezeSpec, problems: &mut Problems) -> Option<Window> {
    match (&spec.from, &spec.until, &spec.weekly) {
        (Some(from), Some(until), None) => once(from, until, problems),
        (None, None, Some(weekly)) => self::weekly(weekly, problems),
        (_, _, Some(_)) => {
            let hint = "remove one of the two; `weekly` has a `from` and an `until` of its own";
            problems.push_hint(&["weekly"], "freeze-choice", "both `from` or `until` and `weekly` are given", hint);
            None
        }
        (None, None, None) => {
            problems.push(&[], "freeze-choice", "a freeze has either `from` and `until`, or `weekly`");
            None
        }
        (from, _, None) => {
            let (there, missing) = if from.is_some() { ("from", "until") } else { ("until", "from") };
            let hint = "a freeze without an end would be `suspend: true` of the tenant";
            problems.push_hint(&[there], "freeze-choice", format!("`{missing}` is missing beside it"), hint);
            None
        }
    }
}

fn once(from: &str, until: &str, problems: &mut Problems) -> Option<Window> {
    let mut moment = |name: &'static str, text: &str| {
        let moment: Option<Timestamp> = text.parse().ok().filter(|_| MOMENT.fits(text));
        if moment.is_none() {
            let hint = "write it like `2026-12-18T16:00:00+01:00` or `2026-12-18T15:00:00Z`";
            problems.push_hint(&[name], "freeze-time", format!("`{name}` is not a time in RFC 3339"), hint);
        }
        moment
    };
    let (from, until) = (moment("from", from), moment("until", until));
    let (from, until) = (from?, until?);
    if from >= until {
        problems.push_hint(&["until"], "freeze-order", "`until` is not after `from`", "a freeze ends after it begins");
        return None;
    }
    Some(Window::Once { from, until })
}

fn weekly(spec: &WeeklySpec, problems: &mut Problems) -> Option<Window> {
    let mut time = |name: &'static str, text: &str| {
        WeekTime::parse(text)
            .map_err(|reason| {
                let message = format!("`weekly.{name}` is not a time of the week: {reason}");
                problems.push_hint(&["weekly", name], "freeze-time", message, "write it like `Fri 16:00`");
            })
            .ok()
    };
    let (from, until) = (time("from", &spec.from), time("until", &spec.until));
    let zone = Zone::named(&spec.time_zone).filter(|_| ZONE.fits(&spec.time_zone));
    if zone.is_none() {
        let message = "`weekly.timeZone` is not a time zone that is known";
        let hint = "write a name of the IANA database, such as `Europe/Oslo` or `UTC`";
        problems.push_hint(&["weekly", "timeZone"], "freeze-zone", message, hint);
    }
    let (from, until, zone) = (from?, until?, zone?);
    if from == until {
        let hint = "a freeze of whole weeks would be `suspend: true` of the tenant";
        problems.push_hint(&["weekly", "until"], "freeze-order", "`from` and `until` are the same time", hint);
        return None;
    }
    Some(Window::Weekly { from, until, zone })
}
