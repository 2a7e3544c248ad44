//! A timeline of deeds: what others do to a tenant, and when, as YAML.
//!
//! A deed of a script is the same as `POST /_sim/<deed>`; what each does
//! lives in `control.rs`. Deeds are events of the tenant like any other: they
//! are saved with it, and happen at their time whoever looks.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::control::{check_deed, latest};
use super::settings::SPAN_MAX;
use crate::sim::state::{Event, Tenant};

/// Deeds and their times.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq)]
struct Line {
    at: At,
    deed: String,
    body: Value,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    /// Since the script began.
    After(SignedDuration),
    Time(Timestamp),
}

/// Says why a script cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    #[error("the script is not a YAML list: {0}")]
    NotAList(String),
    #[error("entry {entry} of the script: {reason}")]
    Entry { entry: usize, reason: String },
}

impl Script {
    /// Reads a YAML list such as `- {at: 10m, enrol: {serial: TEST-1}}`. `at`
    /// is a span since the script begins, or a time; beside it stands one
    /// deed with its fields.
    ///
    /// # Errors
    /// When the text is no such list, or a deed of it could never be done.
    /// Whether a device exists shows only when its time has come.
    pub fn read(text: &str) -> Result<Self, ScriptError> {
        let lines: Vec<Value> = serde_yaml::from_str(text).map_err(|error| ScriptError::NotAList(error.to_string()))?;
        let read = |(number, value): (usize, &Value)| {
            read_line(value).map_err(|reason| ScriptError::Entry { entry: number + 1, reason })
        };
        Ok(Self { lines: lines.iter().enumerate().map(read).collect::<Result<_, _>>()? })
    }
}

fn read_line(value: &Value) -> Result<Line, String> {
    let fields = value.as_object().ok_or("it is not of the form `{at: 10m, enrol: {serial: TEST-1}}`")?;
    let at = match fields.get("at") {
        None | Some(Value::Null) => At::After(SignedDuration::ZERO),
        Some(at) => read_at(at.as_str().ok_or("`at` is not a span or a time")?)?,
    };
    let mut deeds = fields.iter().filter(|(name, _)| *name != "at");
    let (Some((deed, body)), None) = (deeds.next(), deeds.next()) else {
        return Err("it needs exactly one deed beside `at`".to_owned());
    };
    check_deed(deed, body)?;
    Ok(Line { at, deed: deed.clone(), body: body.clone() })
}

fn read_at(text: &str) -> Result<At, String> {
    let in_reach = |span: &SignedDuration| !span.is_negative() && *span <= SPAN_MAX;
    let span = text.parse().ok().filter(in_reach).map(At::After);
    span.or_else(|| text.parse().ok().filter(|at| *at <= latest()).map(At::Time))
        .ok_or_else(|| format!("`{text}` is neither a span such as `10m` nor a time such as `2026-01-05T09:00:00Z`"))
}

impl Tenant {
    /// Lets the deeds of a script happen at their times, counted from now.
    pub fn play(&mut self, script: &Script) {
        let start = self.now();
        for line in &script.lines {
            let at = match line.at {
                At::After(span) => start + span,
                At::Time(at) => at.max(start),
            };
            self.agenda.enter(at, Event::Deed { name: line.deed.clone(), body: Box::new(line.body.clone()) });
        }
        self.changed = true;
    }

    pub(in crate::sim) fn happen_by_script(&mut self, name: &str, body: &Value) {
        match self.do_deed(name, body) {
            Ok(_) => tracing::info!(deed = name, at = %self.now(), "played"),
            Err(reason) => {
                tracing::warn!(deed = name, at = %self.now(), reason, "a deed of the script cannot be done");
                self.counters.note(|counters| counters.deeds_failed += 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_cannot_be_played_names_its_entry() {
        let refuse = |text: &str| Script::read(text).unwrap_err().to_string();
        assert!(refuse("a: b").starts_with("the script is not a YAML list"));
        assert_eq!(
            refuse("- {at: 1m, enrol: {serial: TEST-1}}\n- {at: 2m}"),
            "entry 2 of the script: it needs exactly one deed beside `at`"
        );
        assert!(refuse("- {at: soon, enrol: {}}").contains("`soon` is neither a span such as `10m` nor a time"));
        assert!(refuse("- {at: 99999999h, enrol: {}}").contains("is neither a span"));
        assert!(refuse("- {at: 1m, dance: {}}").contains("there is no deed `dance`; take one of `"));
        for (line, reason) in [
            ("enrol: {}", "`enrol` needs the `id` or the `serial` of a registration"),
            ("enrol: {seriall: TEST-1}", "`enrol` has no `seriall`; it takes `id`, `serial`, `userless`"),
            ("tag: {serial: TEST-1}", "`tag` needs `groupTag`"),
            ("vendor: {serial: V-1}", "`vendor` needs `serial`, `manufacturer` and `model`, or a `hash`"),
            ("devices: {count: 10001}", "`count` of `devices` is at most 10000 at once; ask for the rest again"),
            ("foreign: {hash: no hash}", "`hash` of `foreign` is not base64"),
            ("refuse: {hash: AAAA, code: 5000000000}", "`code` of `refuse` is a number such as 802"),
            ("inject: {mishap: throttled, route: nowhere}", "`route` of `inject` is none that there is: `nowhere`"),
            ("settings: {import.dely: 1m}", "there is no setting `import.dely`: `dely` is not known"),
            ("settings: {throttle: {on: perhaps}}", "`perhaps` is not `true` or `false`"),
        ] {
            let refused = refuse(&format!("- {{at: 1m, {line}}}"));
            assert!(refused.starts_with(&format!("entry 1 of the script: {reason}")), "{line}: {refused}");
        }
    }
}
