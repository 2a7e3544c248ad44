//! `/_sim/`: what Graph does not have. The clock is served by the skins, in
//! process and on a port; what is about all tenants, by `tenants.rs`. Here
//! are views of one tenant, and what others do to it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::faults::Inject;
use super::scenario::ScenarioError;
use super::settings::Settings;
use super::words::json_fault;
use crate::sim::door::{Answer, Call, Problem};
use crate::sim::state::{Tenant, hash::Hardware};

/// What others can do to a tenant: by `POST /_sim/<deed>`, or in a script.
pub(super) const DEEDS: [&str; 19] = [
    "vendor", "devices", "enrol", "unenrol", "board", "tag", "user", "remove", "object", "foreign", "release",
    "refuse", "sync", "inject", "settings", "roles", "secret", "expire", "reset",
];

/// A wrong number must not fill this machine's memory while everybody waits.
const DEVICES_MAX: usize = 10_000;

/// The fields of a deed: those that must be there, and all that may. `None`
/// where the deed reads its own.
fn fields_of(deed: &str) -> Option<(&'static [&'static str], &'static [&'static str])> {
    Some(match deed {
        "vendor" => (&[], &["serial", "manufacturer", "model", "groupTag", "hash", "purchaseOrder"]),
        "devices" => (&[], &["count"]),
        "enrol" => (&[], &["id", "serial", "userless"]),
        "unenrol" | "board" | "remove" | "object" => (&[], &["id", "serial"]),
        "tag" => (&["groupTag"], &["id", "serial", "groupTag"]),
        "user" => (&["user"], &["id", "serial", "user"]),
        "foreign" | "release" => (&["hash"], &["hash"]),
        "refuse" => (&["hash", "code"], &["hash", "code", "name"]),
        "roles" => (&["app", "roles"], &["app", "roles"]),
        "secret" => (&["app", "secret"], &["app", "secret"]),
        "inject" => (&["mishap"], &["mishap", "method", "route", "retryAfter", "times"]),
        "clock" => (&["client"], &["client", "until"]),
        "advance" => (&[], &["by", "to"]),
        "sync" | "expire" | "reset" => (&[], &[]),
        _ => return None,
    })
}

fn check_fields(deed: &str, body: &Value) -> Result<(), String> {
    let Some((needed, known)) = fields_of(deed) else { return Ok(()) };
    let given = match body {
        Value::Null => return missing(deed, needed, |_| false),
        Value::Object(given) => given,
        _ => return Err(format!("`{deed}` takes a mapping of names to values")),
    };
    if let Some(other) = given.keys().find(|name| !known.contains(&name.as_str())) {
        let takes = if known.is_empty() { "nothing".to_owned() } else { format!("`{}`", known.join("`, `")) };
        return Err(format!("`{deed}` has no `{other}`; it takes {takes}"));
    }
    for (name, value) in given {
        let (fits, wanted) = match name.as_str() {
            "mishap" => (true, ""),
            "method" | "route" | "retryAfter" | "times" if value.is_null() => (true, ""),
            "count" | "retryAfter" | "times" => (value.is_u64(), number(value)),
            "code" => (value.is_i64(), number(value)),
            "userless" => (value.is_boolean(), "`true` or `false`"),
            "roles" => (value.as_array().is_some_and(|roles| roles.iter().all(Value::is_string)), "a list of names"),
            _ => (value.is_string(), "text"),
        };
        if !fits {
            // What it was may be a hash.
            return Err(format!("`{name}` of `{deed}` is not {wanted}"));
        }
    }
    missing(deed, needed, |name| given.contains_key(name))
}

/// What is wanted where this stands for a number that counts.
fn number(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_f64() => "a whole number",
        Value::Number(_) => "a number from 0 on",
        _ => "a number",
    }
}

fn missing(deed: &str, needed: &[&str], is_there: impl Fn(&str) -> bool) -> Result<(), String> {
    match needed.iter().find(|name| !is_there(name)) {
        Some(name) => Err(format!("`{deed}` needs `{name}`")),
        None => Ok(()),
    }
}

/// The end of simulated time: what is planned from here still has a time.
pub(super) fn latest() -> Timestamp {
    "9900-01-01T00:00:00Z".parse().expect("a time")
}

/// The body of `POST /_sim/clock`.
#[derive(Debug)]
pub(in crate::sim) struct ClockQuestion {
    /// A name of the client's own.
    pub(in crate::sim) client: String,
    /// What it waits for; none to be told the time.
    pub(in crate::sim) until: Option<Timestamp>,
}

impl ClockQuestion {
    pub(in crate::sim) fn read(body: &[u8]) -> Result<Self, String> {
        let mut body = read_json(body, r#"{"client": "me", "until": "2026-01-05T09:00:00Z"}"#)?;
        if let Some(fields) = body.as_object_mut() {
            fields.retain(|name, value| name != "until" || !value.is_null());
        }
        check_fields("clock", &body)?;
        let until = body["until"].as_str().map(|text| read_time("until", "clock", text)).transpose()?;
        Ok(Self { client: body["client"].as_str().unwrap_or_default().to_owned(), until })
    }
}

/// The body of `POST /_sim/advance`: where the clock is to go.
pub(in crate::sim) fn read_advance(body: &[u8], now: Timestamp) -> Result<Timestamp, String> {
    let body = read_json(body, r#"{"by": "10m"}"#)?;
    check_fields("advance", &body)?;
    match (body["by"].as_str(), body["to"].as_str()) {
        (Some(_), Some(_)) => Err("`advance` takes `by` or `to`, not both".to_owned()),
        (None, None) => Err("`advance` needs `by`, such as `10m`, or `to`, a time".to_owned()),
        (None, Some(text)) => read_time("to", "advance", text),
        (Some(text), None) => {
            let span = match text.parse::<SignedDuration>() {
                Ok(span) if span.is_negative() => None,
                Ok(span) => Some(span),
                Err(_) => long_span(text),
            };
            let span = span.ok_or_else(|| format!("`by` of `advance` is not a span such as `10m`: `{text}`"))?;
            let target = now.checked_add(span).ok().filter(|at| *at <= latest());
            target.ok_or_else(|| format!("`by` of `advance` is too long, as time ends at {}: `{text}`", latest()))
        }
    }
}

/// A span in days, which need no calendar here, or one that is longer than any
/// can be.
fn long_span(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let seconds: i64 = match unit.trim() {
        _ if number.is_empty() => return None,
        "d" | "day" | "days" => 24 * 3600,
        "h" | "hour" | "hours" => 3600,
        "m" | "min" | "minute" | "minutes" => 60,
        "s" | "sec" | "second" | "seconds" => 1,
        _ => return None,
    };
    let seconds = number.parse::<i64>().ok().and_then(|number| number.checked_mul(seconds));
    Some(seconds.map_or(SignedDuration::MAX, SignedDuration::from_secs))
}

fn read_json(body: &[u8], example: &str) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("{}; write `{example}`", json_fault("the body", &error)))
}

fn read_time(name: &str, deed: &str, text: &str) -> Result<Timestamp, String> {
    let at = text.parse::<Timestamp>().ok().filter(|at| *at <= latest());
    at.ok_or_else(|| format!("`{name}` of `{deed}` is not a time such as `2026-01-05T09:00:00Z`: `{text}`"))
}

/// Whether a deed can be understood; whether the tenant can do it shows when
/// its time has come.
pub(super) fn check_deed(deed: &str, body: &Value) -> Result<(), String> {
    if !DEEDS.contains(&deed) {
        return Err(format!("there is no deed `{deed}`; take one of `{}`", DEEDS.join("`, `")));
    }
    check_fields(deed, body)?;
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    match deed {
        "vendor" if text("hash").is_empty() && ["serial", "manufacturer", "model"].map(text).contains(&"") => {
            Err("`vendor` needs `serial`, `manufacturer` and `model`, or a `hash`".to_owned())
        }
        "vendor" | "foreign" | "release" | "refuse" if STANDARD.decode(text("hash").trim()).is_err() => {
            // What it was may be a hash all the same.
            Err(format!("`hash` of `{deed}` is not base64"))
        }
        "refuse" => code(body).map(|_| ()),
        "devices" => count(body).map(|_| ()),
        "enrol" | "unenrol" | "board" | "tag" | "user" | "remove" | "object" => meant_by(deed, body).map(|_| ()),
        "inject" => Inject::read(body).map(|_| ()),
        "settings" => Settings::busy().read_tree(body).map_err(|error| error.to_string()),
        _ => Ok(()),
    }
}

fn code(body: &Value) -> Result<i32, String> {
    let code = body["code"].as_i64().and_then(|code| i32::try_from(code).ok());
    code.ok_or_else(|| "`code` of `refuse` is a number such as 802".to_owned())
}

/// How many devices are to be added: one where nobody says.
fn count(body: &Value) -> Result<usize, String> {
    match usize::try_from(body["count"].as_u64().unwrap_or(1)) {
        Ok(count) if count <= DEVICES_MAX => Ok(count),
        _ => Err(format!("`count` of `devices` is at most {DEVICES_MAX} at once; ask for the rest again")),
    }
}

/// How a deed names its registration.
enum Meant<'a> {
    Id(Uuid),
    Serial(&'a str),
}

fn meant_by<'a>(deed: &str, body: &'a Value) -> Result<Meant<'a>, String> {
    match (body["id"].as_str(), body["serial"].as_str()) {
        (Some(id), _) => id.parse().map(Meant::Id).map_err(|_| format!("`id` is not the id of a registration: `{id}`")),
        (None, Some(serial)) => Ok(Meant::Serial(serial)),
        (None, None) => Err(format!("`{deed}` needs the `id` or the `serial` of a registration")),
    }
}

impl Tenant {
    pub(in crate::sim) fn control(&mut self, call: &Call<'_>, rest: &[String]) -> Result<Answer, Problem> {
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        match (&call.method, rest.as_slice()) {
            (&Method::GET, ["counters"]) => Ok(Answer::json(200, self.counters())),
            (&Method::GET, ["log"]) => Ok(Answer::json(200, &self.counters.log)),
            (&Method::GET, ["settings"]) => Ok(Answer::json(200, &self.settings)),
            (&Method::GET, ["registrations"]) => Ok(Answer::json(200, &self.registrations())),
            (&Method::GET, ["devices"]) => Ok(Answer::json(200, &self.neighbours())),
            (&Method::GET, ["imports"]) => Ok(Answer::json(200, &self.import_records())),
            (&Method::POST, [deed]) => {
                let done = self.do_deed(deed, &call.json()?);
                let done = done.map_err(|reason| Problem::plain(400, "BadRequest", reason))?;
                self.changed = true;
                Ok(Answer::json(200, &done))
            }
            _ => Err(Problem::segment(rest.first().unwrap_or(&"_sim"))),
        }
    }

    /// What others do to the tenant, by the name of the deed; one of
    /// [`DEEDS`].
    pub(super) fn do_deed(&mut self, deed: &str, body: &Value) -> Result<Value, String> {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let id = |tenant: &Self| tenant.meant(deed, body);
        let wrong = |error: ScenarioError| error.to_string();
        check_deed(deed, body)?;
        match deed {
            "vendor" => {
                if text("hash").is_empty() {
                    let [serial, manufacturer, model] = ["serial", "manufacturer", "model"].map(text);
                    let hardware = Hardware::of_tuple(manufacturer, model, serial);
                    if self.registrations.of_hardware(&hardware).is_some() {
                        return Err(wrong(ScenarioError::AlreadyRegistered));
                    }
                }
                let id = match text("hash") {
                    "" => self.register_as_oem(text("serial"), text("manufacturer"), text("model"), text("groupTag")),
                    hash => self.register_as_oem_from_hash(hash, text("purchaseOrder")).map_err(wrong)?,
                };
                return Ok(json!({"id": id, "now": self.now}));
            }
            "devices" => self.add_devices(count(body)?),
            "enrol" if body["userless"] == true => self.enrol_userless(id(self)?).map_err(wrong)?,
            "enrol" => self.enrol(id(self)?).map_err(wrong)?,
            "unenrol" => self.unenrol(id(self)?).map_err(wrong)?,
            "board" => self.swap_board(id(self)?).map_err(wrong)?,
            "tag" => self.set_tag_as_portal(id(self)?, text("groupTag")).map_err(wrong)?,
            "user" => self.set_user_as_portal(id(self)?, text("user")).map_err(wrong)?,
            "remove" => self.remove_as_portal(id(self)?).map_err(wrong)?,
            "object" => self.delete_object_as_portal(id(self)?).map_err(wrong)?,
            "foreign" => self.make_foreign(text("hash")).map_err(wrong)?,
            "release" => self.release_foreign(text("hash")).map_err(wrong)?,
            "refuse" => self.refuse_hardware(text("hash"), code(body)?, text("name")).map_err(wrong)?,
            "inject" => self.inject_many(Inject::read(body)?),
            "sync" => self.sync_as_portal().map_err(wrong)?,
            "settings" => {
                let mut settings = self.settings.clone();
                settings.read_tree(body).map_err(|error| error.to_string())?;
                self.set_settings(settings);
            }
            "roles" => {
                let roles = body["roles"].as_array().into_iter().flatten().filter_map(Value::as_str);
                self.set_roles(text("app"), &roles.collect::<Vec<_>>());
            }
            "secret" => self.set_secret(text("app"), text("secret")),
            "expire" => self.expire_tokens(),
            "reset" => self.reset_counters(),
            other => unreachable!("`{other}` is one of the deeds"),
        }
        Ok(json!({"now": self.now}))
    }

    /// The registration that a deed is about: by `id`, or by a `serial` that
    /// only one has. What one left in Intune or Entra counts for deeds there.
    fn meant(&self, deed: &str, body: &Value) -> Result<Uuid, String> {
        let serial = match meant_by(deed, body)? {
            Meant::Id(id) => return Ok(id),
            Meant::Serial(serial) => serial,
        };
        let found = match deed {
            "unenrol" | "object" => self.neighbours_of(serial),
            _ => self.registrations.of_serial(serial).map(|(id, _)| id).collect(),
        };
        match found.as_slice() {
            [one] => Ok(*one),
            found => Err(format!("{} registrations have the serial `{serial}`, not one", found.len())),
        }
    }
}
