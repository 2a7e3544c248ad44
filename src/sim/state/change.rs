//! What happened to a tenant since it was last written down: a line of the
//! log behind a saved tenant.
//!
//! What grows with the fleet (registrations, records, events, counters) tells
//! what was touched; the rest is compared with how it was. So a line is as
//! long as what happened, and like the saved tenant it holds no hash, only
//! digests of what identifies hardware.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::agenda::Event;
use super::corporate::Corporate;
use super::hash::Hardware;
use super::imports::{Record, Refusal};
use super::login::{Known, Token};
use super::random::Random;
use super::registrations::Registration;
use super::sync::SyncState;
use super::tenant::Tenant;
use super::throttle::{Bucket, Passed};
use super::tracked::Entries;
use crate::sim::stage::{Counters, Injection, Settings};

/// From one state of a tenant to a later one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    now: Timestamp,
    drawn: BTreeMap<String, u64>,
    entered: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    agenda: Entries<(Timestamp, u64), Event>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tokens: Entries<String, Token>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    registrations: Entries<Uuid, Registration>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    departed: Entries<Uuid, Registration>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    records: Entries<Uuid, Record>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    corporate: Entries<Uuid, Corporate>,
    #[serde(default, skip_serializing_if = "Passed::is_empty")]
    passed: Passed,
    #[serde(default, skip_serializing_if = "Passed::is_empty")]
    passed_intune: Passed,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bucket: Option<Bucket>,
    counters: Box<Counters>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    organization_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<Box<Settings>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known: Option<Known>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sync: Option<SyncState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    foreign: Option<Vec<Hardware>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Vec<Refusal>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    injections: Option<VecDeque<Injection>>,
}

/// How the parts of a tenant were that are small or seldom change.
#[derive(Debug, Clone)]
pub(super) struct Before {
    organization_id: Uuid,
    random: Random,
    settings: Settings,
    known: Known,
    sync: SyncState,
    foreign: Vec<Hardware>,
    refused: Vec<Refusal>,
    injections: VecDeque<Injection>,
}

/// What it is now, where it is something else than before.
fn changed<T: PartialEq + Clone>(before: &mut T, now: &T) -> Option<T> {
    (before != now).then(|| {
        before.clone_from(now);
        now.clone()
    })
}

impl Tenant {
    /// From now on, remembers what changes: the tenant was just written down
    /// as it is.
    pub(super) fn watch(&mut self) {
        self.agenda.watch();
        self.logins.tokens.watch();
        self.registrations.watch();
        self.imports.records.watch();
        self.corporate.watch();
        self.throttle.watch();
        self.intune_throttle.watch();
        self.counters.watch();
        self.before = Some(Box::new(Before {
            organization_id: self.organization_id,
            random: self.random.clone(),
            settings: self.settings.clone(),
            known: self.logins.known.clone(),
            sync: self.sync.clone(),
            foreign: self.foreign.clone(),
            refused: self.refused.clone(),
            injections: self.injections.clone(),
        }));
    }

    /// Something happened that no change can tell: the whole tenant must be
    /// written next.
    pub(in crate::sim) fn unwatch(&mut self) {
        self.before = None;
    }

    /// What happened since this was last asked; `None` where nobody watched,
    /// so that the whole tenant must be written.
    pub(super) fn take_change(&mut self) -> Option<Change> {
        let before = self.before.as_deref_mut()?;
        self.throttle.forget_until(self.now - self.settings.throttle.window.max);
        self.intune_throttle.forget_until(self.now - self.settings.throttle.window.max);
        let (passed, bucket) = self.throttle.take_passed();
        let (passed_intune, _) = self.intune_throttle.take_passed();
        let drawn = self.random.drawn_since(&before.random);
        before.random.go_on(drawn.clone());
        Some(Change {
            now: self.now,
            drawn,
            entered: self.agenda.entered(),
            agenda: self.agenda.take_touched(),
            tokens: self.logins.tokens.take_touched(),
            registrations: self.registrations.take_touched(),
            departed: self.registrations.take_touched_departed(),
            records: self.imports.records.take_touched(),
            corporate: self.corporate.take_touched(),
            passed,
            passed_intune,
            bucket,
            counters: self.counters.take_grown(),
            organization_id: changed(&mut before.organization_id, &self.organization_id),
            settings: changed(&mut before.settings, &self.settings).map(Box::new),
            known: changed(&mut before.known, &self.logins.known),
            sync: changed(&mut before.sync, &self.sync),
            foreign: changed(&mut before.foreign, &self.foreign),
            refused: changed(&mut before.refused, &self.refused),
            injections: changed(&mut before.injections, &self.injections),
        })
    }

    /// Becomes what the tenant was after this change.
    pub(super) fn apply(&mut self, change: Change) {
        self.now = change.now;
        self.random.go_on(change.drawn);
        self.agenda.put(change.entered, change.agenda);
        self.logins.tokens.put(change.tokens);
        self.registrations.put(change.registrations);
        self.registrations.put_departed(change.departed);
        change.records.into_iter().for_each(|(id, record)| self.imports.put(id, record));
        self.corporate.put(change.corporate);
        self.counters.grow(*change.counters);
        self.organization_id = change.organization_id.unwrap_or(self.organization_id);
        set(&mut self.settings, change.settings.map(|settings| *settings));
        set(&mut self.logins.known, change.known);
        set(&mut self.sync, change.sync);
        set(&mut self.foreign, change.foreign);
        set(&mut self.refused, change.refused);
        set(&mut self.injections, change.injections);
        self.throttle.put(change.passed, change.bucket);
        self.throttle.forget_until(self.now - self.settings.throttle.window.max);
        self.intune_throttle.put(change.passed_intune, None);
        self.intune_throttle.forget_until(self.now - self.settings.throttle.window.max);
    }
}

fn set<T>(place: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *place = new;
    }
}
