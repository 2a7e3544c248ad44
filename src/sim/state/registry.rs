//! All registrations, and the ways to find one without looking at all: by
//! hardware, by serial, by the device in Intune, and those that await a sync.
//!
//! What a registration is, and how it lives, is in `registrations.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::hash::{Digest, Hardware};
use super::registrations::{Enrolment, Object, Registration};
use super::tracked::{Entries, Tracked};

/// All registrations, in the order of a listing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "Saved")]
pub(in crate::sim) struct Registrations {
    all: Tracked<Uuid, Registration>,
    /// Ids that were registrations once.
    deleted: BTreeSet<Uuid>,
    /// What some of them left in Entra or Intune, or both.
    departed: Tracked<Uuid, Registration>,
    by_hardware: Index<Digest>,
    by_serial: Index<String>,
    by_managed_device: HashMap<Uuid, Uuid>,
    awaiting_sync: BTreeSet<Uuid>,
}

/// Ids by something that several may share, in the order of a listing, so that
/// a tenant that was loaded finds the same one first.
type Index<K> = HashMap<K, Vec<Uuid>>;

fn enter<K: Eq + Hash>(index: &mut Index<K>, key: K, id: Uuid) {
    let ids = index.entry(key).or_default();
    if let Err(at) = ids.binary_search(&id) {
        ids.insert(at, id);
    }
}

fn leave<K: Eq + Hash>(index: &mut Index<K>, key: &K, id: Uuid) {
    let Some(ids) = index.get_mut(key) else { return };
    ids.retain(|other| *other != id);
    if ids.is_empty() {
        index.remove(key);
    }
}

/// Serials as people compare them.
fn serial_key(serial: &str) -> String {
    serial.trim().to_ascii_lowercase()
}

#[derive(Deserialize)]
struct Saved {
    all: BTreeMap<Uuid, Registration>,
    deleted: BTreeSet<Uuid>,
    #[serde(default)]
    departed: BTreeMap<Uuid, Registration>,
}

impl From<Saved> for Registrations {
    fn from(saved: Saved) -> Self {
        let mut registrations = Self { deleted: saved.deleted, ..Self::default() };
        for (id, registration) in saved.all {
            registrations.insert(id, registration);
        }
        for (id, device) in saved.departed {
            registrations.leave_behind(id, device);
        }
        registrations
    }
}

impl Serialize for Registrations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Saved<'a> {
            all: &'a Tracked<Uuid, Registration>,
            deleted: &'a BTreeSet<Uuid>,
            #[serde(skip_serializing_if = "Option::is_none")]
            departed: Option<&'a Tracked<Uuid, Registration>>,
        }
        let departed = Some(&self.departed).filter(|departed| !departed.is_empty());
        Saved { all: &self.all, deleted: &self.deleted, departed }.serialize(serializer)
    }
}

impl Registrations {
    pub(in crate::sim) fn insert(&mut self, id: Uuid, registration: Registration) {
        self.index(id, &registration);
        self.all.insert(id, registration);
    }

    /// Takes it out; its id stays known as one that was a registration.
    pub(in crate::sim) fn remove(&mut self, id: Uuid) -> Option<Registration> {
        let registration = self.all.remove(&id)?;
        self.forget(id, &registration);
        self.deleted.insert(id);
        Some(registration)
    }

    /// Keeps what a registration that was taken out leaves in Entra or Intune.
    pub(super) fn leave_behind(&mut self, id: Uuid, device: Registration) {
        if let Some(enrolment) = &device.enrolment {
            self.by_managed_device.insert(enrolment.managed_device, id);
        }
        self.departed.insert(id, device);
    }

    /// From now on, remembers what is touched.
    pub(super) fn watch(&mut self) {
        self.all.watch();
        self.departed.watch();
    }

    /// What became of the registrations that were touched since this was last
    /// asked.
    pub(super) fn take_touched(&mut self) -> Entries<Uuid, Registration> {
        self.all.take_touched()
    }

    /// The same of what registrations left behind.
    pub(super) fn take_touched_departed(&mut self) -> Entries<Uuid, Registration> {
        self.departed.take_touched()
    }

    /// Lets registrations become what they became elsewhere.
    pub(super) fn put(&mut self, entries: Entries<Uuid, Registration>) {
        for (id, registration) in entries {
            if let Some(old) = self.all.remove(&id) {
                self.forget(id, &old);
            }
            match registration {
                Some(registration) => self.insert(id, registration),
                None => _ = self.deleted.insert(id),
            }
        }
    }

    /// Lets what was left behind become what it became elsewhere.
    pub(super) fn put_departed(&mut self, entries: Entries<Uuid, Registration>) {
        for (id, device) in entries {
            if let Some(Enrolment { managed_device, .. }) = self.departed.remove(&id).and_then(|old| old.enrolment) {
                self.by_managed_device.remove(&managed_device);
            }
            if let Some(device) = device {
                self.leave_behind(id, device);
            }
        }
    }

    fn index(&mut self, id: Uuid, registration: &Registration) {
        for key in registration.hardware.keys() {
            enter(&mut self.by_hardware, key, id);
        }
        enter(&mut self.by_serial, serial_key(&registration.serial), id);
        if let Some(enrolment) = &registration.enrolment {
            self.by_managed_device.insert(enrolment.managed_device, id);
        }
        if registration.awaits_sync {
            self.awaiting_sync.insert(id);
        }
    }

    fn forget(&mut self, id: Uuid, registration: &Registration) {
        for key in registration.hardware.keys() {
            leave(&mut self.by_hardware, &key, id);
        }
        leave(&mut self.by_serial, &serial_key(&registration.serial), id);
        if let Some(enrolment) = &registration.enrolment {
            self.by_managed_device.remove(&enrolment.managed_device);
        }
        self.awaiting_sync.remove(&id);
    }

    pub(in crate::sim) fn get(&self, id: Uuid) -> Option<&Registration> {
        self.all.get(&id)
    }

    /// For changes of what is not looked up by: neither hardware and serial,
    /// nor enrolment and the wait for a sync, which have ways of their own.
    pub(in crate::sim) fn get_mut(&mut self, id: Uuid) -> Option<&mut Registration> {
        self.all.get_mut(&id)
    }

    /// Enrols the device, or ends its enrolment.
    pub(in crate::sim) fn set_enrolment(&mut self, id: Uuid, enrolment: Option<Enrolment>) {
        let Some(registration) = neighbour_in(&mut self.all, &mut self.departed, id) else { return };
        if let Some(old) = &registration.enrolment {
            self.by_managed_device.remove(&old.managed_device);
        }
        if let Some(new) = &enrolment {
            self.by_managed_device.insert(new.managed_device, id);
        }
        registration.joined |= enrolment.is_some();
        registration.enrolment = enrolment;
        self.forget_traceless(id);
    }

    /// Somebody deletes its Entra object; false where it has none.
    pub(in crate::sim) fn delete_object(&mut self, id: Uuid) -> bool {
        let Some(device) = self.neighbour(id).filter(|device| device.object == Object::There) else { return false };
        let end = if device.departed { Object::Gone } else { Object::Deleted };
        if let Some(device) = neighbour_in(&mut self.all, &mut self.departed, id) {
            device.object = end;
        }
        self.forget_traceless(id);
        true
    }

    /// A device that is nowhere any more is no neighbour.
    fn forget_traceless(&mut self, id: Uuid) {
        let traceless = |device: &Registration| device.enrolment.is_none() && device.object != Object::There;
        if self.departed.get(&id).is_some_and(traceless) {
            self.departed.remove(&id);
        }
    }

    /// What stands in Entra and Intune under this registration, though it may
    /// be none any more.
    pub(in crate::sim) fn neighbour(&self, id: Uuid) -> Option<&Registration> {
        self.all.get(&id).or_else(|| self.departed.get(&id))
    }

    /// Only what has no registration any more.
    pub(in crate::sim) fn departed(&self) -> impl Iterator<Item = (Uuid, &Registration)> {
        self.departed.iter().map(|(id, device)| (*id, device))
    }

    /// All of them behind `after`, in the order of a listing.
    pub(in crate::sim) fn neighbours_after(&self, after: Option<Uuid>) -> impl Iterator<Item = (Uuid, &Registration)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        let mut registered = self.after(after).peekable();
        let departed = self.departed.range((start, Unbounded)).map(|(id, device)| (*id, device));
        let mut departed = departed.peekable();
        std::iter::from_fn(move || match (registered.peek(), departed.peek()) {
            (Some((one, _)), Some((other, _))) if other < one => departed.next(),
            (None, _) => departed.next(),
            (Some(_), _) => registered.next(),
        })
    }

    /// A sync has brought it; false where it was here already.
    pub(super) fn arrive(&mut self, id: Uuid) -> bool {
        if !self.awaiting_sync.remove(&id) {
            return false;
        }
        if let Some(registration) = self.all.get_mut(&id) {
            registration.awaits_sync = false;
        }
        true
    }

    /// Those that the next sync brings.
    pub(super) fn awaiting_sync(&self) -> Vec<Uuid> {
        self.awaiting_sync.iter().copied().collect()
    }

    /// Whether it was a registration once.
    pub(super) fn was_deleted(&self, id: Uuid) -> bool {
        self.deleted.contains(&id)
    }

    /// How many there are or were.
    pub(in crate::sim) fn ever(&self) -> usize {
        self.all.len() + self.deleted.len()
    }

    pub(in crate::sim) fn iter(&self) -> impl Iterator<Item = (Uuid, &Registration)> {
        self.all.iter().map(|(id, registration)| (*id, registration))
    }

    /// Registrations behind `after` in the order of a listing.
    pub(super) fn after(&self, after: Option<Uuid>) -> impl Iterator<Item = (Uuid, &Registration)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        self.all.range((start, Unbounded)).map(|(id, registration)| (*id, registration))
    }

    /// The registration of this hardware, however it became one.
    pub(in crate::sim) fn of_hardware(&self, hardware: &Hardware) -> Option<Uuid> {
        let candidates = hardware.keys().filter_map(|key| self.by_hardware.get(&key)).flatten();
        candidates.copied().find(|id| self.all.get(id).is_some_and(|other| other.hardware.is(hardware)))
    }

    /// The registrations of one serial, compared as people do.
    pub(in crate::sim) fn of_serial(&self, serial: &str) -> impl Iterator<Item = (Uuid, &Registration)> {
        let ids = self.by_serial.get(&serial_key(serial)).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.all.get(id)?)))
    }

    /// The device that has this id in Intune.
    pub(super) fn of_managed_device(&self, id: Uuid) -> Option<(Uuid, &Registration)> {
        let id = self.by_managed_device.get(&id)?;
        Some((*id, self.neighbour(*id)?))
    }
}

fn neighbour_in<'a>(
    all: &'a mut Tracked<Uuid, Registration>,
    departed: &'a mut Tracked<Uuid, Registration>,
    id: Uuid,
) -> Option<&'a mut Registration> {
    if all.contains_key(&id) { all.get_mut(&id) } else { departed.get_mut(&id) }
}
