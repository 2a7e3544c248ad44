//! `/_sim/`: what Graph does not have. The clock is served by the skins, in
//! process and on a port; here are views of the tenant.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::errors::Problem;
use super::faults::Mishap;
use super::scenario::ScenarioError;
use super::tenant::Tenant;

impl Tenant {
    pub(super) fn control(&mut self, call: &Call<'_>, rest: &[String]) -> Result<Answer, Problem> {
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        match (&call.method, rest.as_slice()) {
            (&Method::GET, ["counters"]) => Ok(Answer::json(200, &self.counters)),
            (&Method::GET, ["log"]) => Ok(Answer::json(200, &self.counters.log)),
            (&Method::GET, ["settings"]) => Ok(Answer::json(200, &self.settings)),
            (&Method::GET, ["registrations"]) => Ok(Answer::json(200, &self.registrations())),
            (&Method::GET, ["imports"]) => Ok(Answer::json(200, &self.import_records())),
            (&Method::POST, ["settings"]) => {
                let fields = call.json()?.as_object().cloned().unwrap_or_default();
                let mut settings = self.settings.clone();
                for (name, value) in fields {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    settings
                        .set(&format!("{name}={text}"))
                        .map_err(|error| Problem::plain(400, "BadRequest", error.to_string()))?;
                }
                self.set_settings(settings);
                Ok(Answer::json(200, &json!({"now": self.now})))
            }
            (&Method::POST, [deed]) => {
                let done = self.do_deed(deed, &call.json()?)?;
                self.changed = true;
                Ok(Answer::json(200, &done))
            }
            _ => Err(Problem::segment(rest.first().unwrap_or(&"_sim"))),
        }
    }

    /// What others do to the tenant, by the name of the deed.
    fn do_deed(&mut self, deed: &str, body: &Value) -> Result<Value, Problem> {
        let bad = |message: String| Problem::plain(400, "BadRequest", message);
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let id = || text("id").parse::<Uuid>().map_err(|_| bad(format!("`{deed}` needs the `id` of a registration")));
        let wrong = |error: ScenarioError| bad(error.to_string());
        match deed {
            "vendor" => {
                let id = self.register_as_oem(text("serial"), text("manufacturer"), text("model"), text("groupTag"));
                return Ok(json!({"id": id}));
            }
            "enrol" => self.enrol(id()?).map_err(wrong)?,
            "unenrol" => self.unenrol(id()?).map_err(wrong)?,
            "tag" => self.set_tag_as_portal(id()?, text("groupTag")).map_err(wrong)?,
            "user" => self.set_user_as_portal(id()?, text("user")).map_err(wrong)?,
            "remove" => self.remove_as_portal(id()?).map_err(wrong)?,
            "foreign" => self.make_foreign(text("hash")).map_err(wrong)?,
            "inject" => {
                let mishap: Mishap = serde_json::from_value(body["mishap"].clone()).map_err(|_| {
                    bad("`inject` needs a `mishap` such as `lostAnswer` or `{\"html\": 502}`".to_owned())
                })?;
                match (body["method"].as_str(), body["route"].as_str()) {
                    (Some(method), Some(route)) => self.inject_at(mishap, method, route),
                    _ => self.inject(mishap),
                }
            }
            _ => return Err(Problem::segment(deed)),
        }
        Ok(json!({"now": self.now}))
    }
}
