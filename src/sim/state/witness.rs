//! What was written to a tenant, by whom, and what was there before: the
//! witness for tests that hold a client to what it was allowed to do.
//!
//! It is kept off the wire and is no part of a saved tenant: it tells what
//! this process has seen.

use std::collections::VecDeque;

use compact_str::CompactString;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::registrations::{Registration, Values};
use super::tenant::Tenant;

/// The oldest of more writes are forgotten: a server may live for long.
const WRITES_MAX: usize = 1_000_000;

/// One write that the tenant accepted.
///
/// What was refused is none, and neither is what could not change anything:
/// reading, signing in, asking for what is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Write {
    /// When it was accepted; of a registration, when it came to be.
    pub at: Timestamp,
    /// What was done.
    pub kind: WriteKind,
    /// The client id of the app whose request it was, or whose import it came
    /// from; empty where it was somebody in the portal, or another tool.
    pub by: CompactString,
    /// The serial number of the row, the record or the registration.
    pub serial: CompactString,
    /// The registration that was written to or came to be; of a row, the one
    /// that its hardware has already.
    pub registration: Option<Uuid>,
    /// The import record.
    pub record: Option<Uuid>,
    /// The `importId` of that record.
    pub import_id: CompactString,
    /// The values that were written, by their names in Graph.
    pub written: Vec<(&'static str, CompactString)>,
    /// The registration right before the write, as everybody was going to see
    /// it in the end; `None` where there was none.
    pub before: Option<Box<Found>>,
    /// Accepted, but it never takes effect.
    pub lost: bool,
}

/// Kinds of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum WriteKind {
    /// A row of an import was stored.
    Import,
    /// A row has become a registration; it happens by itself.
    Register,
    /// `updateDeviceProperties`, or the like in the portal.
    Update,
    /// `assignUserToDevice`.
    AssignUser,
    /// `unassignUserFromDevice`.
    UnassignUser,
    /// The deletion of a registration was accepted.
    Delete,
    /// An import record was deleted.
    DeleteRecord,
    /// A sync was accepted.
    Sync,
    /// Anything else, by its route as in [`Counters::calls`](crate::sim::Counters::calls).
    Other(&'static str),
}

/// A registration as a write found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The group tag.
    pub group_tag: CompactString,
    /// The user principal name; empty for none.
    pub user: CompactString,
    /// How the device greets its user.
    pub addressable_user_name: CompactString,
    /// The device's name.
    pub display_name: CompactString,
    /// Whether the device is enrolled.
    pub enrolled: bool,
}

impl Found {
    fn of(registration: &Registration) -> Self {
        let Values { group_tag, user, addressable_user_name, display_name, .. } = &registration.settled;
        Self {
            group_tag: group_tag.clone(),
            user: user.clone(),
            addressable_user_name: addressable_user_name.clone(),
            display_name: display_name.clone(),
            enrolled: registration.enrolment.is_some(),
        }
    }

    /// The value of a field by its name in Graph, where it is one of the four
    /// that clients change.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<&str> {
        match field {
            "groupTag" => Some(&self.group_tag),
            "userPrincipalName" => Some(&self.user),
            "addressableUserName" => Some(&self.addressable_user_name),
            "displayName" => Some(&self.display_name),
            _ => None,
        }
    }
}

impl Write {
    /// Whether anything is another than before because of it: false for
    /// values that were there already, and for what was lost.
    #[must_use]
    pub fn changes(&self) -> bool {
        let is_there = |(field, value): &(&str, CompactString)| {
            self.before.as_ref().and_then(|before| before.value(field)) == Some(value.as_str())
        };
        match self.kind {
            WriteKind::Update | WriteKind::AssignUser | WriteKind::UnassignUser => {
                !self.lost && !self.written.iter().all(is_there)
            }
            _ => true,
        }
    }

    pub(super) fn new(kind: WriteKind, at: Timestamp, by: &str) -> Self {
        Self {
            at,
            kind,
            by: by.into(),
            serial: CompactString::default(),
            registration: None,
            record: None,
            import_id: CompactString::default(),
            written: Vec::new(),
            before: None,
            lost: false,
        }
    }
}

/// All writes, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Witness {
    writes: VecDeque<Write>,
}

impl Tenant {
    /// Every write that was accepted since the tenant was made or loaded, or
    /// its counters began anew; oldest first. The last million of them.
    #[must_use]
    pub fn witnessed(&self) -> impl DoubleEndedIterator<Item = &Write> + ExactSizeIterator {
        self.witness.writes.iter()
    }

    /// Forgets them.
    pub(in crate::sim) fn forget_writes(&mut self) {
        self.witness.writes.clear();
    }

    pub(super) fn witness(&mut self, write: Write) {
        if self.witness.writes.len() == WRITES_MAX {
            self.witness.writes.pop_front();
        }
        self.witness.writes.push_back(write);
    }

    /// Witnesses a write to a registration, before it has its effect.
    pub(in crate::sim) fn witness_write_to(
        &mut self,
        id: Uuid,
        kind: WriteKind,
        by: &str,
        written: Vec<(&'static str, CompactString)>,
    ) {
        let registration = self.registrations.neighbour(id);
        let serial = registration.map(|registration| registration.serial.clone()).unwrap_or_default();
        let before = registration.map(Found::of).map(Box::new);
        let new = Write::new(kind, self.now, by);
        self.witness(Write { serial, registration: Some(id), written, before, ..new });
    }

    /// The write that was just witnessed never takes effect.
    pub(super) fn witness_loss(&mut self) {
        if let Some(last) = self.witness.writes.back_mut() {
            last.lost = true;
        }
    }

    /// What a row of this hardware finds.
    pub(super) fn found(&self, id: Option<Uuid>) -> Option<Box<Found>> {
        self.registrations.get(id?).map(Found::of).map(Box::new)
    }
}
