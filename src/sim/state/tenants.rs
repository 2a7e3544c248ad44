//! Several tenants in one process: which of them a request is for, and what
//! they know of each other's hardware.
//!
//! A tenant alone answers whatever its clients call it. With others beside
//! it, each goes by its id and its domains, a token leads back to the tenant
//! that gave it out, and hardware that one has registered is refused by the
//! others with 808. What happens inside a tenant lives with the tenant.

use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::change::Change;
use super::file::{self, StateError};
use super::hash::Hardware;
use super::tenant::Tenant;
use crate::sim::door::{Answer, Call, Problem, Reply, control_route};
use crate::sim::stage::{Settings, json_fault};
use crate::transport::{Request, Response};

/// One tenant or more on one clock.
#[derive(Debug)]
pub struct Tenants {
    /// Never empty; the first is the one that tests look at.
    all: Vec<Tenant>,
}

impl From<Tenant> for Tenants {
    fn from(tenant: Tenant) -> Self {
        Self { all: vec![tenant] }
    }
}

/// The tenants beside one that something happens to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Others<'a> {
    before: &'a [Tenant],
    after: &'a [Tenant],
}

impl Others<'_> {
    /// Whether another tenant has registered this hardware.
    pub(super) fn have(&self, hardware: &Hardware) -> bool {
        let mut others = self.before.iter().chain(self.after);
        others.any(|other| other.registrations.of_hardware(hardware).is_some())
    }
}

impl Tenants {
    /// Adds a tenant. From now on none of them takes logins for names that
    /// are not its own: its id, and the setting `directory.domains`.
    #[must_use]
    pub fn and(mut self, tenant: Tenant) -> Self {
        self.all.push(tenant);
        for tenant in &mut self.all {
            let mut settings = tenant.settings().clone();
            if settings.login.tenants.is_empty() {
                settings.login.tenants = tenant.names();
                tenant.set_settings(settings);
            }
        }
        self
    }

    /// The tenant that was there first.
    pub fn first(&mut self) -> &mut Tenant {
        &mut self.all[0]
    }

    /// The tenant of this id or domain.
    pub fn named(&mut self, name: &str) -> Option<&mut Tenant> {
        self.all.iter_mut().find(|tenant| tenant.is_called(name))
    }

    /// Every tenant, in the order in which they were added.
    pub fn each(&mut self) -> impl Iterator<Item = &mut Tenant> {
        self.all.iter_mut()
    }

    /// The virtual time of the last request to any of them.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.all.iter().map(Tenant::now).max().unwrap_or_default()
    }

    /// Lets everything happen that is due at `now`, in all tenants, in the
    /// order of time: of two that register one device, the earlier has it.
    pub fn advance(&mut self, now: Timestamp) {
        let due = |(number, tenant): (usize, &Tenant)| Some((tenant.next_event_at().filter(|at| *at <= now)?, number));
        while self.all.len() > 1
            && let Some((at, number)) = self.all.iter().enumerate().filter_map(due).min()
        {
            let (before, rest) = self.all.split_at_mut(number);
            if let [tenant, after @ ..] = rest {
                tenant.advance_among(at, &Others { before, after });
            }
        }
        self.all.iter_mut().for_each(|tenant| tenant.advance(now));
    }

    /// Tells the tenants the time by the clocks of their clients, which is not
    /// that of the tenants where theirs is quicker, or jumps.
    pub(in crate::sim) fn tell_time_of_clients(&mut self, now: Timestamp) {
        self.all.iter_mut().for_each(|tenant| tenant.clients_now = Some(now));
    }

    /// Answers one request at virtual time `now`, by the tenant it is for.
    pub fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        self.advance(now);
        let Some(route) = control_route(request.uri().path()) else {
            let number = self.number_for(request);
            return self.all[number].handle(request, now);
        };
        match self.meant(request) {
            Ok(number) => match self.control(request, &route) {
                Some(response) => Reply::Response(response),
                None => self.all[number].handle(request, now),
            },
            Err(refusal) => Reply::Response(*refusal),
        }
    }

    /// What a control request hears that names a tenant which is not there, or
    /// has an option that no such request has; also where it is about all of
    /// them or about the clock.
    pub(in crate::sim) fn refuses(&self, request: &Request) -> Option<Response> {
        self.meant(request).err().map(|refusal| *refusal)
    }

    /// The tenant that a control request names, or the first.
    fn meant(&self, request: &Request) -> Result<usize, Box<Response>> {
        let call = Call::read(request, Uuid::nil(), self.now());
        let refused = |message: String| {
            Box::new(Answer::refused(&call, &Problem::plain(400, "BadRequest", message)).into_response(&call))
        };
        let is_tenant = |name: &str| name.eq_ignore_ascii_case("tenant");
        if let Some((name, _)) = call.query.iter().find(|(name, _)| !is_tenant(name)) {
            return Err(refused(format!("there is no option `{name}`; `/_sim/` takes `tenant`")));
        }
        if call.query.len() > 1 {
            return Err(refused("the option `tenant` is there twice; name one tenant".to_owned()));
        }
        let Some(name) = call.option("tenant") else { return Ok(0) };
        self.all.iter().position(|tenant| tenant.is_called(name)).ok_or_else(|| {
            let names: Vec<String> = self.all.iter().flat_map(Tenant::names).collect();
            refused(format!("there is no tenant `{name}`; take one of `{}`", names.join("`, `")))
        })
    }

    fn number_for(&self, request: &Request) -> usize {
        if self.all.len() == 1 {
            return 0;
        }
        let path = request.uri().path();
        let first_segment = path.split('/').find(|segment| !segment.is_empty()).unwrap_or_default();
        let is_called = |tenant: &Tenant| tenant.is_called(first_segment);
        let gave_token = |tenant: &Tenant| tenant.gave_token_of(request.headers());
        let find = |fits: &dyn Fn(&Tenant) -> bool| self.all.iter().position(fits);
        find(&is_called).or_else(|| find(&gave_token)).unwrap_or(0)
    }

    /// What is about all tenants: their names, and the state of all of them.
    fn control(&mut self, request: &Request, route: &[String]) -> Option<Response> {
        let [route] = route else { return None };
        let mut call = Call::read(request, Uuid::nil(), self.now());
        if let ("POST", "state") = (request.method().as_str(), route.as_str())
            && let Err(problem) = call.unpack()
        {
            return Some(Answer::refused(&call, &problem).into_response(&call));
        }
        let answer = match (request.method().as_str(), route.as_str()) {
            ("GET", "tenants") => {
                let tenant = |tenant: &Tenant| json!({"id": tenant.id(), "names": tenant.names(), "now": tenant.now()});
                Answer::json(200, &self.all.iter().map(tenant).collect::<Vec<_>>())
            }
            ("GET", "state") => Answer::text("application/json", self.save()),
            ("POST", "state") => match Self::load(&String::from_utf8_lossy(call.body())) {
                Ok(mut loaded) => {
                    // Its time comes with it: what was under way still is.
                    loaded.advance(loaded.now());
                    loaded.all.iter_mut().for_each(|tenant| tenant.changed = true);
                    *self = loaded;
                    Answer::json(200, &json!({"now": self.now()}))
                }
                Err(reason) => {
                    let message = format!(
                        "the body is not the state of a simulated tenant: {reason}; send what `GET /_sim/state` answers"
                    );
                    Answer::refused(&call, &Problem::plain(400, "BadRequest", message))
                }
            },
            _ => return None,
        };
        Some(answer.into_response(&call))
    }

    /// How long the request just handled takes, in virtual time. Control
    /// requests are none of the service's, and take none.
    pub(in crate::sim) fn latency_of(&mut self, request: &Request) -> jiff::SignedDuration {
        match control_route(request.uri().path()) {
            Some(_) => jiff::SignedDuration::ZERO,
            None => self.first().latency(),
        }
    }

    /// Somebody moved the time, which is worth saving by itself.
    pub(in crate::sim) fn note_moved_time(&mut self) {
        self.all.iter_mut().for_each(|tenant| tenant.changed = true);
    }

    /// Whether anything worth saving happened since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        self.all.iter_mut().fold(false, |changed, tenant| tenant.take_changed() | changed)
    }

    /// The whole state as JSON; one tenant alone as it saves itself.
    #[must_use]
    pub fn save(&self) -> String {
        match self.all.as_slice() {
            [alone] => alone.save(),
            all => format!("{{\"tenants\":[{}]}}", all.iter().map(Tenant::save).collect::<Vec<_>>().join(",")),
        }
    }

    /// The same, written where it belongs: a large state is not kept in memory
    /// a second time.
    pub(super) fn write(&self, mut to: impl std::io::Write) -> std::io::Result<()> {
        if let [alone] = self.all.as_slice() {
            return Ok(serde_json::to_writer(to, alone)?);
        }
        to.write_all(self.save().as_bytes())
    }

    /// From now on, remembers what changes: the tenants are being written down
    /// as they are.
    pub(super) fn watch(&mut self) {
        self.all.iter_mut().for_each(Tenant::watch);
    }

    /// What happened to each tenant since this was last asked, as JSON; `None`
    /// where nobody watched one of them.
    pub(super) fn take_change(&mut self) -> Option<String> {
        let changes: Option<Vec<Change>> = self.all.iter_mut().map(Tenant::take_change).collect();
        Some(serde_json::to_string(&changes?).expect("a change is plain data"))
    }

    /// The tenants that were saved. Behind them may stand what happened to
    /// them afterwards, as in the file of tenants that are kept.
    ///
    /// # Errors
    /// When the text is not that of saved tenants.
    pub fn load(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Several {
            tenants: Vec<Tenant>,
        }
        let inside = text.trim_start().trim_start_matches('{').trim_start();
        if !inside.starts_with("\"tenants\"") {
            return Ok(Self::from(Tenant::load(text)?));
        }
        let wrong = |error: serde_json::Error| json_fault("it", &error);
        let mut text = serde_json::Deserializer::from_str(text);
        let Several { tenants: mut all } = Several::deserialize(&mut text).map_err(wrong)?;
        all.iter().try_for_each(Tenant::check_format)?;
        while text.end().is_err() {
            let changes = Vec::<Change>::deserialize(&mut text).map_err(wrong)?;
            all.iter_mut().zip(changes).for_each(|(tenant, change)| tenant.apply(change));
        }
        for tenant in &mut all {
            tenant.changed = false;
        }
        if all.is_empty() { Err("it holds no tenant".to_owned()) } else { Ok(Self { all }) }
    }

    /// The tenants saved at `path`, under the given settings but with the
    /// names that they had; where there is no file, new ones.
    ///
    /// # Errors
    /// When the file is there but cannot be read or understood.
    pub fn open(path: &Path, settings: &Settings, new: impl FnOnce() -> Self) -> Result<Self, StateError> {
        let Some(text) = file::read(path)? else { return Ok(new()) };
        let mut tenants = Self::load(&text).map_err(|reason| file::form(path, reason))?;
        for tenant in &mut tenants.all {
            tenant.set_settings(settings.clone().named_as(tenant.settings()));
            tenant.changed = false;
        }
        Ok(tenants)
    }

    /// Writes the state so that a reader finds the old file or the new one,
    /// never half of either.
    ///
    /// # Errors
    /// When the file or its folder cannot be written.
    pub fn save_to(&self, path: &Path) -> Result<(), StateError> {
        file::write_whole(path, |to| self.write(to))
    }
}
