//! Registrations: what the device directory holds, and what a reader sees of
//! it by id and in the list.
//!
//! Here are the nouns, and the life of a registration as events move it on.
//! Where it is kept and found lives in `registry.rs`, requests that read or
//! change one in `reading.rs` and `writing.rs`.

use compact_str::CompactString;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::agenda::{Due, Event};
use super::hash::Hardware;
use super::tenant::Tenant;

/// What a client may change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::sim) struct Values {
    #[serde(skip_serializing_if = "CompactString::is_empty")]
    pub(in crate::sim) group_tag: CompactString,
    #[serde(skip_serializing_if = "CompactString::is_empty")]
    pub(in crate::sim) user: CompactString,
    #[serde(skip_serializing_if = "CompactString::is_empty")]
    pub(in crate::sim) addressable_user_name: CompactString,
    #[serde(skip_serializing_if = "CompactString::is_empty")]
    pub(in crate::sim) display_name: CompactString,
    /// What only meeting-room devices have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::sim) room: Option<Box<Room>>,
}

/// The account of a meeting-room device. Its password is never kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::sim) struct Room {
    pub(in crate::sim) resource: CompactString,
    pub(in crate::sim) account: CompactString,
    pub(in crate::sim) friendly_name: CompactString,
}

/// The Entra device object that belongs to a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::sim) enum Object {
    #[default]
    NotYet,
    There,
    /// Somebody deleted it, and so broke the device's enrolment.
    Deleted,
    /// It went with its registration.
    Gone,
}

/// Whether a device that enrolled without a user may do so again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::sim) enum Userless {
    #[default]
    Unknown,
    Blocked,
    Allowed,
}

/// Who brought a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// It was there before the story began.
    Stock,
    /// A completed import request.
    Import,
    /// An OEM or a partner.
    Vendor,
}

/// How far the deployment profile is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::sim) enum ProfileState {
    #[default]
    NotAssigned,
    Pending,
    Assigned,
}

/// An enrolled device's links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sim) struct Enrolment {
    pub(in crate::sim) managed_device: Uuid,
    pub(in crate::sim) directory_device: Uuid,
    pub(in crate::sim) contacted: Timestamp,
    /// Its deletion from Intune, or its wipe, is under way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::sim) leaving: bool,
}

/// One registration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::sim) struct Registration {
    pub(in crate::sim) origin: Origin,
    pub(in crate::sim) serial: CompactString,
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    pub(in crate::sim) product_key: CompactString,
    pub(in crate::sim) manufacturer: CompactString,
    pub(in crate::sim) model: CompactString,
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    pub(in crate::sim) sku: CompactString,
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    pub(in crate::sim) family: CompactString,
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    pub(in crate::sim) purchase_order: CompactString,
    pub(in crate::sim) hardware: Hardware,
    /// What everybody will see in the end.
    pub(in crate::sim) settled: Values,
    /// What a reader by id sees, where that is still something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sim) by_id: Option<Box<Values>>,
    /// What a reader of the list sees, where that is still something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sim) in_list: Option<Box<Values>>,
    pub(in crate::sim) readable: bool,
    pub(in crate::sim) listed: bool,
    /// Registered by its vendor, but no sync has brought it yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::sim) awaits_sync: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::sim) deleting: bool,
    pub(super) deletable_from: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sim) enrolment: Option<Enrolment>,
    /// It has enrolled at least once, and so joined the directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::sim) joined: bool,
    /// It is none any more: only what it left in Entra and Intune is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::sim) departed: bool,
    #[serde(default)]
    pub(in crate::sim) profile: ProfileState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sim) profile_since: Option<Timestamp>,
    #[serde(default)]
    pub(in crate::sim) object: Object,
    /// The tag that the Entra object shows.
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    pub(in crate::sim) object_tag: CompactString,
    #[serde(default)]
    pub(in crate::sim) userless: Userless,
    /// Since when the main board is not the one that was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sim) board_swapped: Option<Timestamp>,
    /// Views of changes that were entered before this entry of the agenda are
    /// void: somebody changed the device in the portal since.
    #[serde(default)]
    pub(in crate::sim) views_from: u64,
    /// Changes become visible in the order in which they were accepted.
    pub(super) by_id_from: Timestamp,
    pub(super) in_list_from: Timestamp,
}

impl Registration {
    pub(in crate::sim) fn new(origin: Origin, hardware: Hardware, serial: &str, now: Timestamp) -> Self {
        Self {
            origin,
            serial: serial.into(),
            product_key: CompactString::default(),
            manufacturer: CompactString::default(),
            model: CompactString::default(),
            sku: CompactString::default(),
            family: CompactString::default(),
            purchase_order: CompactString::default(),
            hardware,
            settled: Values::default(),
            by_id: None,
            in_list: None,
            readable: false,
            listed: false,
            awaits_sync: false,
            deleting: false,
            deletable_from: now,
            enrolment: None,
            joined: false,
            departed: false,
            profile: ProfileState::NotAssigned,
            profile_since: None,
            object: Object::NotYet,
            object_tag: CompactString::default(),
            userless: Userless::Unknown,
            board_swapped: None,
            views_from: 0,
            by_id_from: now,
            in_list_from: now,
        }
    }

    pub(super) fn seen_by_id(&self) -> &Values {
        self.by_id.as_deref().unwrap_or(&self.settled)
    }

    pub(super) fn seen_in_list(&self) -> &Values {
        self.in_list.as_deref().unwrap_or(&self.settled)
    }
}

impl Tenant {
    /// Takes a new registration in and plans when it can be seen.
    pub(super) fn register(&mut self, at: Timestamp, registration: Registration) -> Uuid {
        let id = self.random.uuid("registration id");
        self.registrations.insert(id, registration);
        self.plan_visibility(at, id);
        self.plan_profile(at, id);
        id
    }

    /// Readable first, listed later; some much later.
    pub(super) fn plan_visibility(&mut self, at: Timestamp, id: Uuid) {
        let visibility = &self.settings.visibility;
        let readable = at + self.random.delay("visible by id", visibility.by_id);
        let late = self.random.chance("late in list", visibility.tail_share);
        let in_list = if late { visibility.tail } else { visibility.in_list };
        let listed = readable.max(at + self.random.delay("visible in list", in_list));
        let object = at + self.random.delay("entra object", self.settings.directory.device);
        self.agenda.enter(readable, Event::Readable { id });
        self.agenda.enter(listed, Event::Listed { id });
        self.agenda.enter(object, Event::ObjectAppears { id });
    }

    /// The Entra object follows a new tag, later than everybody else.
    pub(in crate::sim) fn plan_object_tag(&mut self, at: Timestamp, id: Uuid) {
        let tagged = at + self.random.delay("entra tag", self.settings.directory.device_tag);
        self.agenda.enter(tagged, Event::ObjectTagged { id });
    }

    /// A profile follows where one is for the device's tag.
    pub(in crate::sim) fn plan_profile(&mut self, at: Timestamp, id: Uuid) {
        let Some(registration) = self.registrations.get_mut(id) else { return };
        if !self.settings.profiles.targets(&registration.settled.group_tag) {
            registration.profile = ProfileState::NotAssigned;
            registration.profile_since = None;
            return;
        }
        let pending = at + self.random.delay("profile", self.settings.profiles.pending_after);
        let assigned = pending + self.random.delay("profile", self.settings.profiles.assigned_after);
        self.agenda.enter(pending, Event::ProfilePending { id });
        self.agenda.enter(assigned, Event::ProfileAssigned { id });
    }

    /// Takes new values and plans who sees them when.
    pub(super) fn accept_values(&mut self, id: Uuid, values: Values) {
        let now = self.now;
        let by_id = now + self.random.delay("update by id", self.settings.update.by_id);
        let in_list = now + self.random.delay("update in list", self.settings.update.in_list);
        let Some(registration) = self.registrations.get_mut(id) else { return };
        if registration.settled == values {
            return;
        }
        let tag_changes = registration.settled.group_tag != values.group_tag;
        let old = std::mem::replace(&mut registration.settled, values.clone());
        registration.by_id.get_or_insert_with(|| Box::new(old.clone()));
        registration.in_list.get_or_insert_with(|| Box::new(old));
        registration.by_id_from = registration.by_id_from.max(by_id);
        registration.in_list_from = registration.in_list_from.max(in_list).max(registration.by_id_from);
        let (by_id, in_list) = (registration.by_id_from, registration.in_list_from);
        self.agenda.enter(by_id, Event::ShowById { id, values: Box::new(values.clone()) });
        self.agenda.enter(in_list, Event::ShowInList { id, values: Box::new(values) });
        if tag_changes {
            self.plan_profile(now, id);
            self.plan_object_tag(now, id);
        }
    }

    /// Lets an event happen that is about one registration.
    pub(super) fn happen_to_registration(&mut self, due: &Due, id: Uuid, event: Event) {
        let at = due.at;
        match event {
            Event::Gone { .. } => return self.remove_registration(id),
            Event::VendorArrives { .. } => return self.vendor_arrives(at, id),
            _ => {}
        }
        // Events outlive a registration that somebody removed meanwhile.
        let Some(registration) = self.registrations.get_mut(id) else { return };
        match event {
            Event::Readable { .. } => registration.readable = true,
            Event::Listed { .. } => registration.listed = true,
            Event::ShowById { .. } | Event::ShowInList { .. } if due.entry <= registration.views_from => {}
            Event::ShowById { values, .. } => {
                registration.by_id = (*values != registration.settled).then_some(values);
            }
            Event::ShowInList { values, .. } => {
                registration.in_list = (*values != registration.settled).then_some(values);
            }
            Event::ObjectAppears { .. } if registration.object == Object::NotYet => {
                registration.object = Object::There;
                registration.object_tag = registration.settled.group_tag.clone();
            }
            Event::ObjectTagged { .. } => registration.object_tag = registration.settled.group_tag.clone(),
            // The tag may be another one by now.
            Event::ProfilePending { .. } | Event::ProfileAssigned { .. }
                if !self.settings.profiles.targets(&registration.settled.group_tag) => {}
            Event::ProfilePending { .. } => registration.profile = ProfileState::Pending,
            Event::ProfileAssigned { .. } => {
                registration.profile = ProfileState::Assigned;
                registration.profile_since = Some(at);
            }
            _ => {}
        }
    }

    /// A sync brings what a vendor registered.
    pub(super) fn vendor_arrives(&mut self, at: Timestamp, id: Uuid) {
        if self.registrations.arrive(id) {
            self.plan_visibility(at, id);
            self.plan_profile(at, id);
        }
    }
}
