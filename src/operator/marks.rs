//! What is kept in mind of a tenant beside its ledger, so that a ledger that was put
//! back, or kinds that were made anew, are told from what was there before. It stands
//! in the lease, and is written with each renewal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ledger::SharedKnown;

/// How far the ledger has come.
const LEDGER: &str = "apgit.dev/ledger-seen";
/// The definitions under which all that is in the ledger was declared.
const KINDS: &str = "apgit.dev/definitions-seen";

/// Shared by whoever renews the lease and whoever reads the ledger.
#[derive(Clone, Default)]
pub(super) struct Marks {
    ledger: SharedKnown,
    kinds: Arc<Mutex<Option<String>>>,
    is_loaded: Arc<Mutex<bool>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Marks {
    /// How far the ledger has come, for whoever reads it.
    pub(super) fn ledger(&self) -> &SharedKnown {
        &self.ledger
    }

    /// True if these are other definitions than those that all was declared under.
    pub(super) fn are_new(&self, kinds: &str) -> bool {
        held(&self.kinds).as_deref().is_some_and(|known| known != kinds)
    }

    /// All that is in the ledger is declared, under these.
    pub(super) fn all_declared_under(&self, kinds: String) {
        *held(&self.kinds) = Some(kinds);
    }

    /// Takes over what another one knew, once.
    pub(super) fn load(&self, annotations: Option<&BTreeMap<String, String>>) {
        let mut is_loaded = held(&self.is_loaded);
        if std::mem::replace(&mut is_loaded, true) {
            return;
        }
        let find = |key: &str| annotations.and_then(|all| all.get(key));
        if let Some(known) = find(LEDGER).and_then(|text| serde_json::from_str(text).ok()) {
            held(&self.ledger).get_or_insert(known);
        }
        if let Some(kinds) = find(KINDS) {
            held(&self.kinds).get_or_insert_with(|| kinds.clone());
        }
    }

    /// For the lease, beside what else stands there.
    pub(super) fn store(&self, annotations: &mut BTreeMap<String, String>) {
        if let Some(known) = held(&self.ledger).as_ref() {
            annotations.insert(LEDGER.to_owned(), serde_json::to_string(known).expect("plain data becomes JSON"));
        }
        if let Some(kinds) = held(&self.kinds).as_ref() {
            annotations.insert(KINDS.to_owned(), kinds.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_replica_knew_the_next_one_knows_and_what_it_learnt_itself_counts_more() {
        let (first, mut lease) = (Marks::default(), BTreeMap::new());
        first.load(Some(&lease));
        assert!(!first.are_new("a"), "nothing is known, so nothing is doubted");
        first.all_declared_under("a".to_owned());
        first.store(&mut lease);
        let next = Marks::default();
        next.load(Some(&lease));
        assert!(next.are_new("b") && !next.are_new("a"));
        next.all_declared_under("b".to_owned());
        next.load(Some(&lease));
        assert!(!next.are_new("b"), "it is loaded once");
    }
}
