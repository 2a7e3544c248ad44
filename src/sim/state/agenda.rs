//! What is going to happen, and when: the only place where the simulated
//! tenant keeps the future.
//!
//! There are no background tasks. Each request first lets everything happen
//! that is due, in order of time and then of entry, each at its own time; so
//! what a client sees never depends on how often it looks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::registrations::Values;

/// Something that happens by itself once its time has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::sim) enum Event {
    ImportPending {
        record: Uuid,
    },
    ImportPartial {
        record: Uuid,
    },
    ImportEnds {
        record: Uuid,
    },
    Readable {
        id: Uuid,
    },
    Listed {
        id: Uuid,
    },
    ShowById {
        id: Uuid,
        values: Box<Values>,
    },
    ShowInList {
        id: Uuid,
        values: Box<Values>,
    },
    Gone {
        id: Uuid,
    },
    ProfilePending {
        id: Uuid,
    },
    ProfileAssigned {
        id: Uuid,
    },
    VendorArrives {
        id: Uuid,
    },
    SyncEnds {
        fails: bool,
    },
    /// Somebody does something, as a script says.
    Deed {
        name: String,
        body: Box<serde_json::Value>,
    },
    /// The Entra device object of a registration appears.
    ObjectAppears {
        id: Uuid,
    },
    /// The object shows the tag that the registration has by then.
    ObjectTagged {
        id: Uuid,
    },
}

/// Events in order of time; those of one time in order of entry.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub(in crate::sim) struct Agenda {
    events: BTreeMap<(Timestamp, u64), Event>,
    entered: u64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    entered: u64,
    events: Vec<(Timestamp, u64, Event)>,
}

impl From<Saved> for Agenda {
    fn from(saved: Saved) -> Self {
        let events = saved.events.into_iter().map(|(at, entry, event)| ((at, entry), event)).collect();
        Self { events, entered: saved.entered }
    }
}

impl From<Agenda> for Saved {
    fn from(agenda: Agenda) -> Self {
        let events = agenda.events.into_iter().map(|((at, entry), event)| (at, entry, event)).collect();
        Self { entered: agenda.entered, events }
    }
}

impl Agenda {
    pub(in crate::sim) fn enter(&mut self, at: Timestamp, event: Event) {
        self.entered += 1;
        self.events.insert((at, self.entered), event);
    }

    /// Takes the first event that is due at `now`, with its own time.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<(Timestamp, Event)> {
        let first = self.events.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let ((at, _), event) = first.remove_entry();
        Some((at, event))
    }

    /// Drops what readers of a registration were going to see later.
    pub(in crate::sim) fn forget_views_of(&mut self, registration: Uuid) {
        self.events.retain(|_, event| match event {
            Event::ShowById { id, .. } | Event::ShowInList { id, .. } => *id != registration,
            _ => true,
        });
    }

    /// The time of the next event, if any.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.events.keys().next().map(|(at, _)| *at)
    }
}
