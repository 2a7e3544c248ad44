//! `/_sim/`: what Graph does not have. The clock is served by the skins, in
//! process and on a port; here are views of the tenant.

use http::Method;
use serde_json::json;

use super::answer::Answer;
use super::call::Call;
use super::errors::Problem;
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
            _ => Err(Problem::segment(rest.first().unwrap_or(&"_sim"))),
        }
    }
}
