//! What goes wrong between the client and the service, by chance or because
//! a test asked for it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::settings::Delay;
use crate::sim::door::{Call, Problem, Target};
use crate::sim::state::{Random, Tenant};

/// Something that befalls one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mishap {
    /// 500 without effect.
    ServerError,
    /// 500 of the query broker, which means "too many requests".
    QueryBroker,
    /// 503 with `Retry-After`, without effect.
    Unavailable,
    /// 504 after the effect.
    GatewayTimeout,
    /// A page instead of JSON, without effect.
    Html(u16),
    /// 429, without effect.
    Throttled,
    /// 412, without effect.
    Conflict,
    /// The connection drops after the effect.
    LostAnswer,
    /// The connection drops before the effect.
    LostRequest,
}

/// A mishap that waits for its request, or for several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sim) struct Injection {
    mishap: Mishap,
    method: Option<String>,
    route: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<i64>,
    #[serde(default = "once")]
    times: usize,
}

fn once() -> usize {
    1
}

impl Injection {
    fn is_for(&self, call: &Call<'_>, target: &Target) -> bool {
        self.method.as_deref().is_none_or(|method| method == call.method.as_str())
            && self.route.as_deref().is_none_or(|route| route == target.template())
    }
}

/// The body of `POST /_sim/inject`, whose fields are known to be of the kind
/// that they should be.
pub(super) struct Inject {
    mishap: Mishap,
    method: Option<String>,
    route: Option<String>,
    retry_after_s: Option<i64>,
    times: usize,
}

/// Methods that any route has.
const METHODS: [&str; 5] = ["GET", "POST", "PATCH", "PUT", "DELETE"];

impl Inject {
    pub(super) fn read(body: &Value) -> Result<Self, String> {
        let mishap = serde_json::from_value(body["mishap"].clone()).map_err(|_| {
            let names = MISHAPS.join("`, `");
            format!("`mishap` of `inject` is none that there is; take one of `{names}`, `{{\"html\": 502}}`")
        })?;
        if let Mishap::Html(status) = mishap
            && !(400..600).contains(&status)
        {
            return Err(format!("`html` of `mishap` is a status from 400 to 599, not {status}"));
        }
        let method = body["method"].as_str().map(str::to_ascii_uppercase);
        if let Some(method) = method.as_deref().filter(|method| !METHODS.contains(method)) {
            return Err(format!("`method` of `inject` is one of `{}`, not `{method}`", METHODS.join("`, `")));
        }
        // A route that nobody asks for would wait for ever.
        let route = match body["route"].as_str() {
            None => None,
            Some(route) => Some(Target::template_of(route).ok_or_else(|| {
                format!("`route` of `inject` is none that there is: `{route}`; write it as in `GET /_sim/counters`")
            })?),
        };
        let times = body["times"].as_u64().unwrap_or(1);
        if !(1..=TIMES_MAX).contains(&times) {
            return Err(format!("`times` of `inject` is from 1 to {TIMES_MAX}, not {times}"));
        }
        let times = usize::try_from(times).unwrap_or(usize::MAX);
        Ok(Self { mishap, method, route: route.map(str::to_owned), retry_after_s: body["retryAfter"].as_i64(), times })
    }
}

/// More requests than any test makes.
const TIMES_MAX: u64 = 10_000;

/// The names of those that are no more than a name.
const MISHAPS: [&str; 8] = [
    "serverError",
    "queryBroker",
    "unavailable",
    "gatewayTimeout",
    "throttled",
    "conflict",
    "lostAnswer",
    "lostRequest",
];

impl Mishap {
    pub(in crate::sim) fn is_after_effect(self) -> bool {
        matches!(self, Self::GatewayTimeout | Self::LostAnswer)
    }

    /// The answer, if there is one.
    pub(in crate::sim) fn problem(self, random: &mut Random, retry_after: Delay) -> Option<Problem> {
        Some(match self {
            Self::ServerError => Problem::nested(500, "An internal server error has occurred"),
            Self::QueryBroker => {
                Problem::nested(500, "Rate limit reached because of too many requests to query broker")
            }
            Self::Unavailable => Problem::plain(503, "ServiceNotAvailable", "The service is temporarily unavailable.")
                .retry_after(random.delay("unavailable", retry_after).as_secs()),
            Self::GatewayTimeout => Problem::plain(504, "GatewayTimeout", "The gateway did not answer in time."),
            Self::Html(status) => Problem::html(status),
            Self::Throttled => Problem::throttled(None),
            Self::Conflict => Problem::nested(412, "An error has occurred"),
            Self::LostAnswer | Self::LostRequest => return None,
        })
    }
}

impl Tenant {
    /// Lets a mishap befall the next Graph request.
    pub fn inject(&mut self, mishap: Mishap) {
        self.injections.push_back(Injection { mishap, method: None, route: None, retry_after_s: None, times: 1 });
    }

    /// Lets a mishap befall the next request of this method and route; the
    /// route as in [`Counters::calls`](crate::sim::Counters::calls).
    pub fn inject_at(&mut self, mishap: Mishap, method: &str, route: &str) {
        let (method, route) = (Some(method.to_owned()), Some(route.to_owned()));
        self.injections.push_back(Injection { mishap, method, route, retry_after_s: None, times: 1 });
    }

    pub(super) fn inject_many(&mut self, inject: Inject) {
        let Inject { mishap, method, route, retry_after_s, times } = inject;
        self.injections.push_back(Injection { mishap, method, route, retry_after_s, times });
    }

    /// What was injected for this very route, where no other mishap comes.
    pub(in crate::sim) fn mishap_injected_at(
        &mut self,
        call: &Call<'_>,
        target: &Target,
    ) -> Option<(Mishap, Option<i64>)> {
        self.take_injection(|injection| injection.route.is_some() && injection.is_for(call, target))
    }

    fn take_injection(&mut self, meant: impl Fn(&Injection) -> bool) -> Option<(Mishap, Option<i64>)> {
        let at = self.injections.iter().position(meant)?;
        let injection = self.injections.get_mut(at)?;
        let taken = (injection.mishap, injection.retry_after_s);
        injection.times -= 1;
        if injection.times == 0 {
            self.injections.remove(at);
        }
        Some(taken)
    }

    /// What befalls this request, if anything. A part of a batch can be
    /// refused, but not lose its connection.
    pub(in crate::sim) fn mishap(&mut self, call: &Call<'_>, target: &Target) -> Option<(Mishap, Option<i64>)> {
        let injected = self.take_injection(|injection| injection.is_for(call, target));
        injected.or_else(|| self.mishap_by_chance(call).map(|mishap| (mishap, None)))
    }

    fn mishap_by_chance(&mut self, call: &Call<'_>) -> Option<Mishap> {
        let reads = call.method == http::Method::GET;
        let shares = &self.settings.faults;
        let mut draw = self.random.unit(if call.in_batch { "faults in batch" } else { "faults" });
        let kinds = [
            (shares.server_error, Mishap::ServerError, true),
            (shares.query_broker, Mishap::QueryBroker, reads),
            (shares.unavailable, Mishap::Unavailable, true),
            (shares.gateway_timeout, Mishap::GatewayTimeout, true),
            (shares.html, Mishap::Html(0), !call.in_batch),
            (shares.lost_answer, Mishap::LostAnswer, !call.in_batch),
            (shares.lost_request, Mishap::LostRequest, !call.in_batch),
        ];
        for (share, mishap, possible) in kinds {
            if draw < share {
                let mishap = match mishap {
                    Mishap::Html(_) => Mishap::Html([400, 403, 502][self.random.below("html", 3)]),
                    other => other,
                };
                return possible.then_some(mishap);
            }
            draw -= share;
        }
        None
    }
}
