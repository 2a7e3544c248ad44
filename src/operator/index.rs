//! What the cluster declares, as it is known from the watches. Events in,
//! namespaces with news out. No client here, and no decision.
//!
//! A list that is not complete yet is no list: until all kinds were listed once,
//! there is nothing to be had.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::runtime::watcher::Event;

use crate::resource::{
    AutopilotDevice, AutopilotDeviceSet, AutopilotPlanApproval, AutopilotTenant, Kind, REQUESTED_AT,
};

/// All objects of the four kinds.
#[derive(Clone, Default)]
pub(super) struct Index(Arc<Mutex<Shelves>>);

/// The objects of each kind.
#[derive(Default)]
pub(super) struct Shelves {
    tenants: Shelf<AutopilotTenant>,
    devices: Shelf<AutopilotDevice>,
    sets: Shelf<AutopilotDeviceSet>,
    approvals: Shelf<AutopilotPlanApproval>,
}

/// The objects of one kind, by namespace and name.
pub(super) struct Shelf<K> {
    live: BTreeMap<String, BTreeMap<String, Arc<K>>>,
    /// What a list that is under way has brought so far.
    next: BTreeMap<String, BTreeMap<String, Arc<K>>>,
    /// Objects that are there and are none of ours: why not.
    broken: Spoilt,
    next_broken: Spoilt,
    is_listed: bool,
}

/// By namespace and name, what is wrong.
type Spoilt = BTreeMap<(String, String), String>;

/// A kind that has a shelf.
pub(super) trait Shelved: kube::ResourceExt + Sized {
    /// The same, among ours.
    const KIND: Kind;

    /// Where its objects are.
    fn shelf(shelves: &mut Shelves) -> &mut Shelf<Self>;
}

/// The objects of a namespace, sorted by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    pub tenants: Vec<Arc<AutopilotTenant>>,
    pub devices: Vec<Arc<AutopilotDevice>>,
    pub sets: Vec<Arc<AutopilotDeviceSet>>,
    pub approvals: Vec<Arc<AutopilotPlanApproval>>,
    /// Objects of our kinds that this version cannot read, and why not.
    pub broken: Vec<(Kind, String, String)>,
}

impl Index {
    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event in: the namespaces in which something is to be done by it.
    pub(super) fn take<K: Shelved>(&self, event: Event<K>) -> BTreeSet<String> {
        let mut shelves = self.shelves();
        let was_listed = shelves.is_listed();
        let touched = K::shelf(&mut shelves).take(event);
        // With the last list, everything there is has news.
        if !was_listed && shelves.is_listed() { shelves.tenants.live.keys().cloned().collect() } else { touched }
    }

    /// Takes in an object that cannot be read: `in_list`, while a list is under way.
    pub(super) fn spoil<K: Shelved>(
        &self,
        namespace: &str,
        name: &str,
        why: String,
        in_list: bool,
    ) -> BTreeSet<String> {
        let mut shelves = self.shelves();
        let shelf = K::shelf(&mut shelves);
        let key = (namespace.to_owned(), name.to_owned());
        if in_list {
            shelf.next_broken.insert(key, why);
            return BTreeSet::new();
        }
        if let Some(of) = shelf.live.get_mut(namespace) {
            of.remove(name);
        }
        let before = shelf.broken.insert(key, why.clone());
        if before.as_deref() == Some(why.as_str()) { BTreeSet::new() } else { BTreeSet::from([namespace.to_owned()]) }
    }

    /// Such an object is there no more.
    pub(super) fn forget<K: Shelved>(&self, namespace: &str, name: &str) -> BTreeSet<String> {
        let mut shelves = self.shelves();
        let shelf = K::shelf(&mut shelves);
        shelf.broken.remove(&(namespace.to_owned(), name.to_owned()));
        if let Some(of) = shelf.live.get_mut(namespace) {
            of.remove(name);
        }
        BTreeSet::from([namespace.to_owned()])
    }

    /// True once all kinds were listed.
    pub(super) fn is_listed(&self) -> bool {
        self.shelves().is_listed()
    }

    /// All tenants, by namespace and name. `None`: nobody knows yet.
    pub(super) fn tenants(&self) -> Option<BTreeSet<(String, String)>> {
        let shelves = self.shelves();
        let named = |(namespace, of): (&String, &BTreeMap<String, _>)| {
            of.keys().map(|name| (namespace.clone(), name.clone())).collect::<Vec<_>>()
        };
        shelves.is_listed().then(|| shelves.tenants.live.iter().flat_map(named).collect())
    }

    /// The namespaces that have a tenant of this id, whoever owns it there.
    pub(super) fn with_tenant(&self, id: &str) -> Vec<String> {
        let shelves = self.shelves();
        let has = |of: &BTreeMap<String, Arc<AutopilotTenant>>| {
            of.values().any(|tenant| tenant.spec.tenant_id.eq_ignore_ascii_case(id))
        };
        shelves.tenants.live.iter().filter(|(_, of)| has(of)).map(|(namespace, _)| namespace.clone()).collect()
    }

    /// What a namespace declares. `None`: nobody knows yet.
    pub(super) fn of(&self, namespace: &str) -> Option<Objects> {
        let shelves = self.shelves();
        shelves.is_listed().then(|| Objects {
            tenants: shelves.tenants.of(namespace),
            devices: shelves.devices.of(namespace),
            sets: shelves.sets.of(namespace),
            approvals: shelves.approvals.of(namespace),
            broken: [
                shelves.tenants.broken_of(namespace),
                shelves.devices.broken_of(namespace),
                shelves.sets.broken_of(namespace),
                shelves.approvals.broken_of(namespace),
            ]
            .concat(),
        })
    }
}

impl Shelves {
    fn is_listed(&self) -> bool {
        self.tenants.is_listed && self.devices.is_listed && self.sets.is_listed && self.approvals.is_listed
    }
}

impl<K> Default for Shelf<K> {
    fn default() -> Self {
        let (broken, next_broken) = (Spoilt::new(), Spoilt::new());
        Self { live: BTreeMap::new(), next: BTreeMap::new(), broken, next_broken, is_listed: false }
    }
}

impl<K: Shelved> Shelf<K> {
    fn take(&mut self, event: Event<K>) -> BTreeSet<String> {
        match event {
            Event::Init => {
                self.next.clear();
                self.next_broken.clear();
                BTreeSet::new()
            }
            Event::InitApply(object) => {
                put(&mut self.next, object);
                BTreeSet::new()
            }
            Event::InitDone => {
                let next = std::mem::take(&mut self.next);
                let before = std::mem::replace(&mut self.live, next);
                self.is_listed = true;
                let now_broken = std::mem::take(&mut self.next_broken);
                let was_broken = std::mem::replace(&mut self.broken, now_broken);
                let namespaces = before.keys().chain(self.live.keys());
                let differs = |namespace: &&String| !alike(before.get(*namespace), self.live.get(*namespace));
                let mut touched: BTreeSet<String> = namespaces.filter(differs).cloned().collect();
                if was_broken != self.broken {
                    touched.extend(was_broken.keys().chain(self.broken.keys()).map(|(namespace, _)| namespace.clone()));
                }
                touched
            }
            Event::Apply(object) => {
                let namespace = object.namespace().unwrap_or_default();
                let was_broken = self.broken.remove(&(namespace.clone(), object.name_any())).is_some();
                let before = put(&mut self.live, object);
                let now = before.as_ref().and_then(|before| self.live.get(&namespace)?.get(&before.name_any()));
                // What we wrote ourselves is no news.
                let is_same = before.as_ref().zip(now).is_some_and(|(before, now)| same(&**before, &**now));
                if is_same && !was_broken { BTreeSet::new() } else { BTreeSet::from([namespace]) }
            }
            Event::Delete(object) => {
                let namespace = object.namespace().unwrap_or_default();
                if let Entry::Occupied(mut of) = self.live.entry(namespace.clone()) {
                    of.get_mut().remove(&object.name_any());
                    if of.get().is_empty() {
                        of.remove();
                    }
                }
                BTreeSet::from([namespace])
            }
        }
    }

    fn broken_of(&self, namespace: &str) -> Vec<(Kind, String, String)> {
        let here = self.broken.iter().filter(|((of, _), _)| of == namespace);
        here.map(|((_, name), why)| (K::KIND, name.clone(), why.clone())).collect()
    }

    fn of(&self, namespace: &str) -> Vec<Arc<K>> {
        self.live.get(namespace).into_iter().flat_map(|of| of.values().cloned()).collect()
    }
}

fn put<K: kube::ResourceExt>(shelf: &mut BTreeMap<String, BTreeMap<String, Arc<K>>>, mut object: K) -> Option<Arc<K>> {
    // It is large, and nobody here asks who wrote which field.
    object.managed_fields_mut().clear();
    let of = shelf.entry(object.namespace().unwrap_or_default()).or_default();
    of.insert(object.name_any(), Arc::new(object))
}

fn alike<K: kube::ResourceExt>(a: Option<&BTreeMap<String, Arc<K>>>, b: Option<&BTreeMap<String, Arc<K>>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a.len() == b.len()
                && a.values().zip(b.values()).all(|(a, b)| a.name_any() == b.name_any() && same(&**a, &**b))
        }
        (None, None) => true,
        _ => false,
    }
}

/// True if nothing but the status can be another.
fn same(a: &impl kube::ResourceExt, b: &impl kube::ResourceExt) -> bool {
    let request = |meta: &std::collections::BTreeMap<String, String>| meta.get(REQUESTED_AT).cloned();
    a.uid() == b.uid()
        && a.meta().generation == b.meta().generation
        && a.meta().deletion_timestamp == b.meta().deletion_timestamp
        && request(a.annotations()) == request(b.annotations())
}

macro_rules! shelved {
    ($($kind:ty => $shelf:ident, $name:ident;)*) => {
        $(impl Shelved for $kind {
            const KIND: Kind = Kind::$name;

            fn shelf(shelves: &mut Shelves) -> &mut Shelf<Self> {
                &mut shelves.$shelf
            }
        })*
    };
}
shelved!(
    AutopilotTenant => tenants, Tenant;
    AutopilotDevice => devices, Device;
    AutopilotDeviceSet => sets, DeviceSet;
    AutopilotPlanApproval => approvals, PlanApproval;
);

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;

    fn device(namespace: &str, name: &str, generation: i64) -> AutopilotDevice {
        serde_json::from_value(json!({
            "apiVersion": "apgit.dev/v1alpha1", "kind": "AutopilotDevice",
            "metadata": {"name": name, "namespace": namespace, "uid": name, "generation": generation},
            "spec": {"serialNumber": name},
        }))
        .expect("a device")
    }

    fn list<K: Shelved>(index: &Index) {
        index.take(Event::<K>::Init);
        index.take(Event::<K>::InitDone);
    }

    fn listed() -> Index {
        let index = Index::default();
        list::<AutopilotTenant>(&index);
        list::<AutopilotDeviceSet>(&index);
        list::<AutopilotPlanApproval>(&index);
        assert!(index.of("a").is_none(), "devices were not listed: that is not that there are none");
        list::<AutopilotDevice>(&index);
        index
    }

    fn touched(index: &Index, event: Event<AutopilotDevice>) -> Vec<String> {
        index.take(event).into_iter().collect()
    }

    #[test]
    fn what_is_not_listed_yet_is_not_empty() {
        let index = listed();
        assert_eq!(index.of("a").map(|objects| objects.devices.len()), Some(0));
        // A watch that begins anew takes nothing away before its list is complete.
        assert_eq!(touched(&index, Event::Apply(device("a", "pf1", 1))), ["a"]);
        assert_eq!(touched(&index, Event::Init), [""; 0]);
        assert_eq!(index.of("a").unwrap().devices.len(), 1);
        assert_eq!(touched(&index, Event::InitDone), ["a"]);
        assert_eq!(index.of("a").unwrap().devices.len(), 0);
    }

    #[test]
    fn an_object_that_cannot_be_read_is_there_until_it_can_or_goes() {
        let index = listed();
        assert_eq!(touched(&index, Event::Apply(device("a", "pf1", 1))), ["a"]);
        let spoil = |why: &str| index.spoil::<AutopilotDevice>("a", "pf1", why.to_owned(), false).len();
        assert_eq!((spoil("unknown variant"), spoil("unknown variant")), (1, 0));
        let objects = index.of("a").unwrap();
        assert_eq!((objects.devices.len(), objects.broken.len()), (0, 1));
        assert_eq!(touched(&index, Event::Apply(device("a", "pf1", 1))), ["a"]);
        assert_eq!(index.of("a").unwrap().broken.len(), 0);
        // A list that has it brings it, too.
        index.take(Event::<AutopilotDevice>::Init);
        index.spoil::<AutopilotDevice>("a", "pf1", "unknown variant".to_owned(), true);
        assert_eq!(touched(&index, Event::InitDone), ["a"]);
        assert_eq!(index.of("a").unwrap().broken.len(), 1);
        index.forget::<AutopilotDevice>("a", "pf1");
        assert!(index.of("a").unwrap().broken.is_empty());
    }

    #[test]
    fn a_status_that_was_written_is_no_news() {
        let index = listed();
        assert_eq!(touched(&index, Event::Apply(device("a", "pf1", 1))), ["a"]);
        assert_eq!(touched(&index, Event::Apply(device("a", "pf1", 1))), [""; 0]);
        assert_eq!(touched(&index, Event::Apply(device("a", "pf1", 2))), ["a"]);
        let mut asked = device("a", "pf1", 2);
        asked.annotations_mut().insert(REQUESTED_AT.to_owned(), "2026-11-01T00:00:00Z".to_owned());
        assert_eq!(touched(&index, Event::Apply(asked.clone())), ["a"]);
        assert_eq!(touched(&index, Event::Apply(asked.clone())), [""; 0]);
        // The same list again is no news, and another one is.
        index.take(Event::<AutopilotDevice>::Init);
        index.take(Event::InitApply(asked));
        assert_eq!(touched(&index, Event::InitDone), [""; 0]);
        assert_eq!(touched(&index, Event::Delete(device("a", "pf1", 2))), ["a"]);
        assert_eq!(touched(&index, Event::Delete(device("b", "pf9", 1))), ["b"]);
    }
}
