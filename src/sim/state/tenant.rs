//! The simulated tenant as a whole: its state, the way of a request through
//! it, and how it is saved.
//!
//! No background tasks, no clock of its own: each request brings the state to
//! `now` first. What the parts do lives in files of their own.

use std::collections::VecDeque;
use std::path::Path;

use http::Method;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::agenda::{Agenda, Event};
use super::change::{Before, Change};
use super::corporate::Corporates;
use super::file::{self, StateError};
use super::hash::Hardware;
use super::imports::{Imports, Refusal};
use super::login::Logins;
use super::random::Random;
use super::registry::Registrations;
use super::sync::SyncState;
use super::tenants::Others;
use super::throttle::Throttle;
use super::witness::Witness;
use crate::sim::door::{Answer, Area, Call, Problem, Reply, Target};
use crate::sim::stage::{Counting, Injection, LogEntry, Mishap, Settings, json_fault};
use crate::transport::Request;

/// The form of a saved tenant; another number is not read.
const FORMAT: u32 = 1;

/// A tenant that never was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tenant {
    format: u32,
    pub(in crate::sim) now: Timestamp,
    pub(in crate::sim) settings: Settings,
    pub(in crate::sim) random: Random,
    pub(in crate::sim) agenda: Agenda,
    /// Id of the organisation.
    pub(super) organization_id: Uuid,
    pub(super) logins: Logins,
    pub(in crate::sim) registrations: Registrations,
    pub(in crate::sim) imports: Imports,
    pub(super) sync: SyncState,
    pub(super) throttle: Throttle,
    /// Of devices in Intune.
    #[serde(default)]
    pub(super) intune_throttle: Throttle,
    /// Hardware that another tenant owns.
    pub(in crate::sim) foreign: Vec<Hardware>,
    /// Hardware that never gets in, and the error it ends with.
    pub(in crate::sim) refused: Vec<Refusal>,
    pub(in crate::sim) injections: VecDeque<Injection>,
    #[serde(default)]
    pub(super) corporate: Corporates,
    pub(in crate::sim) counters: Counting,
    /// How parts of it were when it was last written down, where somebody
    /// writes it down.
    #[serde(skip)]
    pub(super) before: Option<Box<Before>>,
    #[serde(skip)]
    pub(super) witness: Witness,
    /// The time by the clocks of its clients, where somebody knows it.
    #[serde(skip)]
    pub(super) clients_now: Option<Timestamp>,
    #[serde(skip)]
    pub(in crate::sim) changed: bool,
}

impl Tenant {
    /// An empty tenant that begins at `now`. The same seed and the same
    /// requests at the same times give the same answers.
    #[must_use]
    pub fn new(settings: Settings, seed: u64, now: Timestamp) -> Self {
        let mut random = Random::new(seed);
        Self {
            format: FORMAT,
            now,
            organization_id: random.uuid("organization"),
            sync: SyncState::before(now, random.uuid("settings id")),
            settings,
            random,
            agenda: Agenda::default(),
            logins: Logins::default(),
            registrations: Registrations::default(),
            imports: Imports::default(),
            throttle: Throttle::default(),
            intune_throttle: Throttle::default(),
            foreign: Vec::new(),
            refused: Vec::new(),
            injections: VecDeque::new(),
            corporate: Corporates::default(),
            counters: Counting::default(),
            before: None,
            witness: Witness::default(),
            clients_now: None,
            changed: true,
        }
    }

    /// Answers one request at virtual time `now`; a time before the last one
    /// counts as the last one.
    pub fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        self.advance(now);
        let mut call = Call::read(request, self.random.uuid("request id"), self.now);
        match self.answer(&mut call) {
            Some(answer) => Reply::Response(answer.into_response(&call)),
            None => Reply::Lost,
        }
    }

    /// Lets everything happen that is due at `now`.
    pub fn advance(&mut self, now: Timestamp) {
        self.advance_among(now, &Others::default());
    }

    /// The same, with other tenants beside this one.
    pub(super) fn advance_among(&mut self, now: Timestamp, others: &Others<'_>) {
        while let Some((due, event)) = self.agenda.take_due(now) {
            let at = due.at;
            self.now = self.now.max(at);
            self.changed = true;
            match event {
                Event::ImportPending { record } | Event::ImportPartial { record } | Event::ImportEnds { record } => {
                    self.happen_to_import(at, record, &event, others);
                }
                Event::SyncEnds { fails } => self.end_sync(at, fails),
                Event::Deed { name, body } => self.happen_by_script(&name, &body),
                Event::LeavesIntune { managed } => self.leave_intune(managed),
                Event::Readable { id }
                | Event::Listed { id }
                | Event::ShowById { id, .. }
                | Event::ShowInList { id, .. }
                | Event::Gone { id }
                | Event::ProfilePending { id }
                | Event::ProfileAssigned { id }
                | Event::ObjectAppears { id }
                | Event::ObjectTagged { id }
                | Event::VendorArrives { id } => self.happen_to_registration(&due, id, event),
            }
        }
        self.now = self.now.max(now);
    }

    /// The way of one request, or of one part of a batch: who asks, how
    /// often, what goes wrong, what is done. `None` when the answer is lost.
    pub(in crate::sim) fn answer(&mut self, call: &mut Call<'_>) -> Option<Answer> {
        let target = Target::of(call);
        let rows_before = self.counters.rows_posted;
        let result = self.admitted(call, &target);
        let answer = match result {
            Ok(answer) => Some(answer),
            Err(Refused::With(problem)) => Some(Answer::refused(call, &problem)),
            Err(Refused::Lost) => None,
        };
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        self.count(call, &target, status, self.counters.rows_posted > rows_before);
        answer
    }

    fn admitted(&mut self, call: &mut Call<'_>, target: &Target) -> Result<Answer, Refused> {
        let area = target.area(&call.method);
        if area == Area::Open {
            if let Some((mishap, retry_after_s)) = self.mishap_injected_at(call, target) {
                return Err(self.befall(mishap, retry_after_s));
            }
            self.changed |= call.method != Method::GET;
            call.unpack()?;
            return Ok(self.dispatch(call, target)?);
        }
        (call.app, call.tenant) = self.authenticate(call)?;
        self.authorize(&call.app, area)?;
        if self.settings.throttle.on && !self.lets_through(call, area) {
            return Err(self.throttled().into());
        }
        if target.is_import_post(&call.method) {
            let settings = &self.settings.import;
            if settings.throttled && !self.throttle.allows_import(self.now, settings) {
                return Err(self.throttled().into());
            }
        }
        let mishap = self.mishap(call, target);
        if let Some((mishap, retry_after_s)) = mishap
            && !mishap.is_after_effect()
        {
            return Err(self.befall(mishap, retry_after_s));
        }
        self.changed |= call.method != Method::GET;
        let done = call.unpack().and_then(|()| self.dispatch(call, target));
        match mishap {
            Some((mishap, retry_after_s)) => Err(self.befall(mishap, retry_after_s)),
            None => Ok(done?),
        }
    }

    /// The documented limits are those of Intune's enrolment services, and of
    /// its devices: a batch's envelope and the directory are none of theirs.
    fn lets_through(&mut self, call: &Call<'_>, area: Area) -> bool {
        let writes = call.method != Method::GET;
        let limits = &self.settings.throttle;
        match area {
            Area::AutopilotRead | Area::AutopilotWrite => self.throttle.allows(&call.app, writes, self.now, limits),
            Area::ManagedRead | Area::ManagedWrite | Area::ManagedPrivileged => {
                let limits = self.settings.intune.limits(limits);
                self.intune_throttle.allows(&call.app, writes, self.now, &limits)
            }
            Area::Open
            | Area::Token
            | Area::Users
            | Area::Organization
            | Area::Groups
            | Area::DevicesRead
            | Area::DevicesWrite => true,
        }
    }

    fn throttled(&mut self) -> Problem {
        let told = self.random.chance("retry-after", self.settings.throttle.retry_after_share);
        let wait = self.random.delay("retry-after", self.settings.throttle.retry_after);
        Problem::throttled(told.then(|| wait.as_secs()))
    }

    fn befall(&mut self, mishap: Mishap, retry_after_s: Option<i64>) -> Refused {
        match mishap.problem(&mut self.random, self.settings.faults.retry_after) {
            Some(problem) => Refused::With(match retry_after_s {
                Some(seconds) => problem.retry_after(seconds),
                None => problem,
            }),
            None => Refused::Lost,
        }
    }

    fn count(&mut self, call: &Call<'_>, target: &Target, status: u16, stored: bool) {
        if let Target::Control(_) = target {
            return;
        }
        let now = self.now;
        let first_page = call.method == Method::GET && status == 200 && call.option("$skiptoken").is_none();
        self.counters.note(|counters| {
            if let Target::Token(_) | Target::ManagedIdentity = target {
                counters.token_requests += 1;
            }
            if target.is_import_post(&call.method) {
                counters.import_posts += 1;
                counters.import_posts_refused += u64::from(!stored);
                counters.import_posts_unanswered += u64::from(stored && !(200..300).contains(&status));
            }
            match target {
                Target::Registrations if first_page => counters.listings.push(now),
                Target::Imports if first_page => counters.import_listings.push(now),
                _ => {}
            }
        });
        self.counters.log(LogEntry {
            at: self.now,
            method: call.method.to_string(),
            route: target.template().to_owned(),
            status,
            in_batch: call.in_batch,
        });
        if matches!(target, Target::Unknown(_)) {
            tracing::warn!(method = %call.method, path = call.path(), status, "no such route");
        }
        tracing::info!(method = %call.method, route = target.template(), status, in_batch = call.in_batch, at = %self.now, "answered");
    }

    /// The whole state as JSON, its virtual time included. It holds no hash,
    /// only digests of what identifies hardware; it does hold tokens.
    #[must_use]
    pub fn save(&self) -> String {
        serde_json::to_string(self).expect("a tenant is plain data")
    }

    /// The tenant that was saved: with the same requests it has the same
    /// future as the one that went on. Behind a saved tenant may stand what
    /// happened to it afterwards, as in the file of a tenant that is kept.
    ///
    /// # Errors
    /// When the text is not that of a saved tenant of this format.
    pub fn load(text: &str) -> Result<Self, String> {
        let mut text = serde_json::Deserializer::from_str(text);
        let wrong = |error: serde_json::Error| json_fault("it", &error);
        let mut tenant = Self::deserialize(&mut text).map_err(wrong)?;
        tenant.check_format()?;
        while text.end().is_err() {
            let [change] = <[Change; 1]>::deserialize(&mut text).map_err(wrong)?;
            tenant.apply(change);
        }
        tenant.changed = false;
        Ok(tenant)
    }

    pub(super) fn check_format(&self) -> Result<(), String> {
        match self.format {
            FORMAT => Ok(()),
            other => Err(format!("it has format {other}, this program reads {FORMAT}")),
        }
    }

    /// The tenant saved at `path`, under the given settings; where there is
    /// none, a new one that begins at `default_now`.
    ///
    /// # Errors
    /// When the file is there but cannot be read or understood.
    pub fn open(path: &Path, settings: Settings, seed: u64, default_now: Timestamp) -> Result<Self, StateError> {
        let Some(text) = file::read(path)? else { return Ok(Self::new(settings, seed, default_now)) };
        let mut tenant = Self::load(&text).map_err(|reason| file::form(path, reason))?;
        tenant.settings = settings;
        Ok(tenant)
    }

    /// Writes the state so that a reader finds the old file or the new one,
    /// never half of either.
    ///
    /// # Errors
    /// When the file or its folder cannot be written.
    pub fn save_to(&self, path: &Path) -> Result<(), StateError> {
        file::write_whole(path, |to| Ok(serde_json::to_writer(to, self)?))
    }

    /// The id of the organisation.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.organization_id
    }

    /// The same tenant under an id of your choice.
    #[must_use]
    pub fn with_id(mut self, id: Uuid) -> Self {
        self.organization_id = id;
        self
    }

    /// Its id and its domains: what a client may call it where several
    /// tenants are.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![self.organization_id.to_string()];
        names.extend(self.settings.directory.domains.iter().cloned());
        names
    }

    /// Whether this is one of its names, in any letter case.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.names().iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// The virtual time of the last request.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When the next thing happens by itself, if anything is under way.
    #[must_use]
    pub fn next_event_at(&self) -> Option<Timestamp> {
        self.agenda.next_at()
    }

    /// How it behaves.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Other settings from now on. What is already under way keeps its times.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
        self.changed = true;
    }

    /// Whether anything worth saving happened since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// How far the request just handled moves a clock that stands still.
    pub(super) fn latency(&mut self) -> jiff::SignedDuration {
        self.random.delay("latency", self.settings.wire.latency)
    }

    /// From now on, the app with this client id has this secret and no other.
    pub fn set_secret(&mut self, client_id: &str, secret: &str) {
        self.logins.known.secrets.insert(client_id.to_lowercase(), secret.to_owned());
        self.changed = true;
    }

    /// What an app with this client id may do, instead of the setting
    /// `login.roles`.
    pub fn set_roles(&mut self, client_id: &str, roles: &[&str]) {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        self.logins.known.roles.insert(client_id.to_lowercase(), roles);
        self.changed = true;
    }
}

/// Why a request has no good answer.
enum Refused {
    With(Problem),
    Lost,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::With(problem)
    }
}
