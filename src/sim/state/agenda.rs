//! What is going to happen, and when: the only place where the simulated
//! tenant keeps the future.
//!
//! There are no background tasks. Each request first lets everything happen
//! that is due, in order of time and then of entry, each at its own time; so
//! what a client sees never depends on how often it looks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::registrations::Values;
use super::tracked::{Entries, Tracked};

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
    /// A device leaves Intune, where it has this id.
    LeavesIntune {
        managed: Uuid,
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

/// When an event happens, and the number under which it was entered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) at: Timestamp,
    pub(super) entry: u64,
}

/// Events in order of time; those of one time in order of entry.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(from = "Saved")]
pub(in crate::sim) struct Agenda {
    events: Tracked<(Timestamp, u64), Event>,
    entered: u64,
}

#[derive(Deserialize)]
struct Saved {
    entered: u64,
    events: Vec<(Timestamp, u64, Event)>,
}

impl From<Saved> for Agenda {
    fn from(saved: Saved) -> Self {
        let events: BTreeMap<_, _> = saved.events.into_iter().map(|(at, entry, event)| ((at, entry), event)).collect();
        Self { events: events.into(), entered: saved.entered }
    }
}

impl Serialize for Agenda {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Saved<'a> {
            entered: u64,
            events: Vec<(Timestamp, u64, &'a Event)>,
        }
        let events = self.events.iter().map(|((at, entry), event)| (*at, *entry, event)).collect();
        Saved { entered: self.entered, events }.serialize(serializer)
    }
}

impl Agenda {
    pub(in crate::sim) fn enter(&mut self, at: Timestamp, event: Event) {
        self.entered += 1;
        self.events.insert((at, self.entered), event);
    }

    /// Takes the first event that is due at `now`.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<(Due, Event)> {
        let (at, entry) = *self.events.keys().next().filter(|(at, _)| *at <= now)?;
        let event = self.events.remove(&(at, entry))?;
        Some((Due { at, entry }, event))
    }

    /// From now on, remembers what is entered and what has happened.
    pub(super) fn watch(&mut self) {
        self.events.watch();
    }

    /// What was entered since this was last asked, and what has happened.
    pub(super) fn take_touched(&mut self) -> Entries<(Timestamp, u64), Event> {
        self.events.take_touched()
    }

    /// Enters what was entered elsewhere, and drops what has happened there.
    pub(super) fn put(&mut self, entered: u64, entries: Entries<(Timestamp, u64), Event>) {
        self.entered = entered;
        self.events.put(entries);
    }

    /// The number of the last entry.
    pub(in crate::sim) fn entered(&self) -> u64 {
        self.entered
    }

    /// The time of the next event, if any.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.events.keys().next().map(|(at, _)| *at)
    }
}
