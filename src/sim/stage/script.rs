//! A timeline of deeds: what others do to a tenant, and when, as YAML.
//!
//! A deed of a script is the same as `POST /_sim/<deed>`; what each does
//! lives in `control.rs`. Deeds are events of the tenant like any other: they
//! are saved with it, and happen at their time whoever looks.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use serde_yaml::Spanned;

use super::control::{check_deed, latest};
use super::settings::SPAN_MAX;
use super::words::yaml_fault;
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

const AT: &str = "a span such as `10m` or a time such as `2026-01-05T09:00:00Z`";

/// Says why a script cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    #[error("{0}")]
    NotYaml(String),
    #[error("it is not a list; write lines such as `- {EXAMPLE}`")]
    NotAList,
    #[error("line {line}: {reason}")]
    Line { line: u64, reason: String },
}

const EXAMPLE: &str = "{at: 10m, enrol: {serial: TEST-1}}";

impl Script {
    /// Reads a YAML list such as `- {at: 10m, enrol: {serial: TEST-1}}`. `at`
    /// is a span since the script begins, or a time; beside it stands one
    /// deed with its fields.
    ///
    /// # Errors
    /// When the text is no such list, or a deed of it could never be done.
    /// Whether a device exists shows only when its time has come.
    pub fn read(text: &str) -> Result<Self, ScriptError> {
        let wrong = |error| ScriptError::NotYaml(yaml_fault(&error));
        if !serde_yaml::from_str::<Value>(text).map_err(wrong)?.is_array() {
            return Err(ScriptError::NotAList);
        }
        let lines: Vec<Spanned<Value>> = serde_yaml::from_str(text).map_err(wrong)?;
        let read = |entry: &Spanned<Value>| {
            read_line(&entry.value).map_err(|reason| ScriptError::Line { line: entry.referenced.line(), reason })
        };
        Ok(Self { lines: lines.iter().map(read).collect::<Result<_, _>>()? })
    }
}

fn read_line(value: &Value) -> Result<Line, String> {
    let fields = value.as_object().ok_or_else(|| format!("it is not of the form `{EXAMPLE}`"))?;
    let at = match fields.get("at") {
        None | Some(Value::Null) => return Err(format!("it needs `at`, {AT}")),
        Some(Value::String(at)) => read_at(at)?,
        Some(other) => return Err(not_at(&other.to_string())),
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
    span.or_else(|| text.parse().ok().filter(|at| *at <= latest()).map(At::Time)).ok_or_else(|| not_at(text))
}

fn not_at(text: &str) -> String {
    format!("`at` is {AT}, not `{text}`")
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
    fn a_script_that_cannot_be_played_names_its_line() {
        let refuse = |text: &str| Script::read(text).unwrap_err().to_string();
        let list = "it is not a list; write lines such as `- {at: 10m, enrol: {serial: TEST-1}}`";
        for text in ["a: b", "", "# nothing yet\n", "text"] {
            assert_eq!(refuse(text), list);
        }
        assert_eq!(
            refuse("# later\n\n- {at: 1m, enrol: {serial: TEST-1}}\n- {at: 2m}"),
            "line 4: it needs exactly one deed beside `at`"
        );
        assert_eq!(refuse("- text"), "line 1: it is not of the form `{at: 10m, enrol: {serial: TEST-1}}`");
        let at = "a span such as `10m` or a time such as `2026-01-05T09:00:00Z`";
        for (text, reason) in [
            ("- {at: 1m, sync: {}}\n- sync: {}\n", format!("line 2: it needs `at`, {at}")),
            ("- sync: {}\n  at:\n", format!("line 1: it needs `at`, {at}")),
            ("- {at: soon, sync: {}}", format!("line 1: `at` is {at}, not `soon`")),
            ("- at: 10\n  sync: {}", format!("line 1: `at` is {at}, not `10`")),
            ("- {at: 99999999h, enrol: {}}", format!("line 1: `at` is {at}, not `99999999h`")),
        ] {
            assert_eq!(refuse(text), reason, "{text}");
        }
        let look =
            "; look for its indentation, for a bracket or a quote that is open, and for a name that is there twice";
        assert_eq!(refuse("- {at: 1m, sync: {}}\n- {at: 2m, at: 3m}"), format!("line 2 is not YAML{look}"));
        for text in ["- {at: 1m,\n", "- 'at\n", "- at: 1m\n sync: {}\n"] {
            let refused = refuse(text);
            assert!(refused.starts_with("line ") && refused.ends_with(look), "{text}: {refused}");
        }
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
            assert!(refused.starts_with(&format!("line 1: {reason}")), "{line}: {refused}");
        }
    }
}
