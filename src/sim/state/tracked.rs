//! A map that knows which of its entries were touched, so that what has
//! changed can be written down without reading the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Reads like the map in it. Touched entries are remembered from the first
/// [`watch`](Self::watch) on, and never where nobody writes them down.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Tracked<K, V> {
    all: BTreeMap<K, V>,
    touched: Option<BTreeSet<K>>,
}

/// What became of some entries; `None` where one is gone.
pub(super) type Entries<K, V> = Vec<(K, Option<V>)>;

impl<K, V> Default for Tracked<K, V> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), touched: None }
    }
}

impl<K, V> From<BTreeMap<K, V>> for Tracked<K, V> {
    fn from(all: BTreeMap<K, V>) -> Self {
        Self { all, touched: None }
    }
}

impl<K, V> Deref for Tracked<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &BTreeMap<K, V> {
        &self.all
    }
}

impl<K: Serialize, V: Serialize> Serialize for Tracked<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.all.serialize(serializer)
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for Tracked<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::from)
    }
}

impl<K: Ord + Clone, V: Clone> Tracked<K, V> {
    pub(in crate::sim) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.touch(&key);
        self.all.insert(key, value)
    }

    pub(in crate::sim) fn remove(&mut self, key: &K) -> Option<V> {
        let removed = self.all.remove(key);
        if removed.is_some() {
            self.touch(key);
        }
        removed
    }

    /// The entry counts as touched whether it is changed or not.
    pub(in crate::sim) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let value = self.all.get_mut(key)?;
        if let Some(touched) = &mut self.touched {
            touched.insert(key.clone());
        }
        Some(value)
    }

    fn touch(&mut self, key: &K) {
        if let Some(touched) = &mut self.touched {
            touched.insert(key.clone());
        }
    }

    /// From now on, remembers what is touched.
    pub(super) fn watch(&mut self) {
        self.touched = Some(BTreeSet::new());
    }

    /// What became of the entries that were touched since this was last asked.
    pub(super) fn take_touched(&mut self) -> Entries<K, V> {
        let touched = self.touched.as_mut().map(std::mem::take).unwrap_or_default();
        let entry = |key: K| {
            let value = self.all.get(&key).cloned();
            (key, value)
        };
        touched.into_iter().map(entry).collect()
    }

    /// Lets entries become what they became elsewhere.
    pub(super) fn put(&mut self, entries: Entries<K, V>) {
        for (key, value) in entries {
            match value {
                Some(value) => _ = self.insert(key, value),
                None => _ = self.remove(&key),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_touched_is_told_once_and_makes_the_same_map_elsewhere() {
        let mut map: Tracked<u32, &str> = BTreeMap::from([(1, "one"), (2, "two"), (3, "three")]).into();
        let mut copy = map.clone();
        map.insert(9, "before anybody watches");
        map.remove(&9);
        map.watch();
        assert_eq!(map.take_touched(), []);
        map.insert(4, "four");
        map.remove(&1);
        map.remove(&7);
        *map.get_mut(&2).unwrap() = "zwei";
        map.insert(5, "five");
        map.remove(&5);
        let touched = map.take_touched();
        assert_eq!(touched, [(1, None), (2, Some("zwei")), (4, Some("four")), (5, None)]);
        assert_eq!(map.take_touched(), []);
        copy.put(touched);
        assert_eq!(*copy, *map);
    }
}
