//! `/_sim/`: what Graph does not have. The clock is served by the skins, in
//! process and on a port; what is about all tenants, by `tenants.rs`. Here
//! are views of one tenant, and what others do to it.

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::scenario::ScenarioError;
use crate::sim::door::{Answer, Call, Problem};
use crate::sim::state::{Tenant, hash::Hardware};

/// What others can do to a tenant: by `POST /_sim/<deed>`, or in a script.
pub(super) const DEEDS: [&str; 17] = [
    "vendor", "devices", "enrol", "unenrol", "board", "tag", "user", "remove", "foreign", "release", "refuse", "sync",
    "inject", "settings", "roles", "expire", "reset",
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
        "unenrol" | "board" | "remove" => (&[], &["id", "serial"]),
        "tag" => (&["groupTag"], &["id", "serial", "groupTag"]),
        "user" => (&["user"], &["id", "serial", "user"]),
        "foreign" | "release" => (&["hash"], &["hash"]),
        "refuse" => (&["hash", "code"], &["hash", "code", "name"]),
        "roles" => (&["app", "roles"], &["app", "roles"]),
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
            "count" => (value.is_u64(), "a number"),
            "code" => (value.is_i64(), "a number"),
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

fn missing(deed: &str, needed: &[&str], is_there: impl Fn(&str) -> bool) -> Result<(), String> {
    match needed.iter().find(|name| !is_there(name)) {
        Some(name) => Err(format!("`{deed}` needs `{name}`")),
        None => Ok(()),
    }
}

/// The end of simulated time: what is planned from here still has a time.
pub(in crate::sim) fn latest() -> Timestamp {
    "9900-01-01T00:00:00Z".parse().expect("a time")
}

/// The body of `POST /_sim/advance`: `{"by": "10m"}` or `{"to": a time}`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::sim) enum Advance {
    By(SignedDuration),
    To(Timestamp),
}

impl Advance {
    pub(in crate::sim) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Where the clock is to go; `None` where there is no such time.
    pub(in crate::sim) fn target(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::By(span) => now.checked_add(*span).ok(),
            Self::To(at) => Some(*at),
        }
        .filter(|at| *at <= latest())
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
        check_fields(deed, body)?;
        match deed {
            "vendor" => {
                if text("hash").is_empty() {
                    let known = ["serial", "manufacturer", "model"].map(text);
                    if known.contains(&"") {
                        return Err("`vendor` needs `serial`, `manufacturer` and `model`, or a `hash`".to_owned());
                    }
                    let [serial, manufacturer, model] = known;
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
            "devices" => {
                let count = usize::try_from(body["count"].as_u64().unwrap_or(1)).unwrap_or(usize::MAX);
                if count > DEVICES_MAX {
                    return Err(format!("`devices` adds at most {DEVICES_MAX} at once; ask for the rest again"));
                }
                self.add_devices(count);
            }
            "enrol" if body["userless"] == true => self.enrol_userless(id(self)?).map_err(wrong)?,
            "enrol" => self.enrol(id(self)?).map_err(wrong)?,
            "unenrol" => self.unenrol(id(self)?).map_err(wrong)?,
            "board" => self.swap_board(id(self)?).map_err(wrong)?,
            "tag" => self.set_tag_as_portal(id(self)?, text("groupTag")).map_err(wrong)?,
            "user" => self.set_user_as_portal(id(self)?, text("user")).map_err(wrong)?,
            "remove" => self.remove_as_portal(id(self)?).map_err(wrong)?,
            "foreign" => self.make_foreign(text("hash")).map_err(wrong)?,
            "release" => self.release_foreign(text("hash")).map_err(wrong)?,
            "refuse" => {
                let code = body["code"].as_i64().and_then(|code| i32::try_from(code).ok());
                let code = code.ok_or("`code` of `refuse` is a number such as 802")?;
                self.refuse_hardware(text("hash"), code, text("name")).map_err(wrong)?;
            }
            "inject" => {
                let inject = serde_json::from_value(body.clone())
                    .map_err(|_| "`inject` needs a `mishap` such as `lostAnswer` or `{\"html\": 502}`")?;
                self.inject_many(inject)?;
            }
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
            "expire" => self.expire_tokens(),
            "reset" => self.reset_counters(),
            _ => return Err(format!("there is no deed `{deed}`; take one of `{}`", DEEDS.join("`, `"))),
        }
        Ok(json!({"now": self.now}))
    }

    /// The registration that a deed is about: by `id`, or by a `serial` that
    /// only one has.
    fn meant(&self, deed: &str, body: &Value) -> Result<Uuid, String> {
        if let Some(id) = body["id"].as_str() {
            return id.parse().map_err(|_| format!("`{id}` is not the id of a registration"));
        }
        let Some(serial) = body["serial"].as_str() else {
            return Err(format!("`{deed}` needs the `id` or the `serial` of a registration"));
        };
        match self.registrations_of(serial).as_slice() {
            [one] => Ok(one.id),
            found => Err(format!("{} registrations have the serial `{serial}`, not one", found.len())),
        }
    }
}
