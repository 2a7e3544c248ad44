//! What is known now: the last account of each tenant. Whoever reads tenants
//! writes here, whoever asks is answered from here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;
use uuid::Uuid;

use super::reading::Reading;

/// The accounts of all tenants. Clones share them.
#[derive(Clone)]
pub(crate) struct Board(Arc<Inner>);

struct Inner {
    /// Tells the versions of one process from those of another.
    name: String,
    state: Mutex<State>,
    looked: Notify,
}

#[derive(Default)]
struct State {
    version: u64,
    tenants: BTreeMap<String, Arc<Tenant>>,
    troubles: Vec<Trouble>,
}

/// A tenant, and what is known of it.
#[derive(Clone)]
pub(crate) struct Tenant {
    /// The name in the declaration.
    pub name: String,
    /// Its namespace, in a cluster.
    pub namespace: Option<String>,
    /// The id in Microsoft Entra, as declared.
    pub tenant_id: String,
    /// `Observe`, `CreateOnly`, `UpsertOnly` or `Sync`.
    pub policy: &'static str,
    /// True if nothing may be written to it for now.
    pub suspended: bool,
    /// In whose name we write.
    pub owner: String,
    /// Where it stands, when it could last be read.
    pub reading: Option<Arc<Reading>>,
    /// What keeps it from being read, or from being as declared as a whole.
    pub trouble: Option<Trouble>,
    /// What is wrong with declarations of its devices.
    pub problems: Vec<String>,
    /// True if somebody else reads it, and what is shown here may be old.
    pub elsewhere: bool,
}

/// Why something cannot be done, and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What is wrong.
    pub message: String,
    /// What to do, one sentence each.
    pub hints: Vec<String>,
    /// Since when.
    pub at: Timestamp,
}

/// The board at a moment.
pub(super) struct Snapshot {
    /// Another one where anything else is known.
    pub version: String,
    /// By the keys that name them here.
    pub tenants: Vec<(String, Arc<Tenant>)>,
    /// What is wrong with all of them.
    pub troubles: Vec<Trouble>,
}

impl Default for Board {
    fn default() -> Self {
        let name = Uuid::new_v4().simple().to_string();
        Self(Arc::new(Inner { name, state: Mutex::default(), looked: Notify::new() }))
    }
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the account of a tenant. Where it could not be read, what was read
    /// before is kept.
    pub(crate) fn tell(&self, tenant: Tenant) {
        let key = key(tenant.namespace.as_deref(), &tenant.name);
        let mut state = self.state();
        let known = state.tenants.get(&key).and_then(|known| known.reading.clone());
        let reading = tenant.reading.clone().or(known);
        state.tenants.insert(key, Arc::new(Tenant { reading, ..tenant }));
        state.version += 1;
    }

    /// The tenant is declared no more.
    pub(crate) fn forget(&self, namespace: &str, name: &str) {
        let mut state = self.state();
        if state.tenants.remove(&key(Some(namespace), name)).is_some() {
            state.version += 1;
        }
    }

    /// Only these are declared, and nothing is wrong with all of them.
    pub(crate) fn retain(&self, names: &[&str]) {
        let mut state = self.state();
        let before = (state.tenants.len(), state.troubles.len());
        state.tenants.retain(|_, tenant| names.contains(&tenant.name.as_str()));
        state.troubles.clear();
        if before != (state.tenants.len(), 0) {
            state.version += 1;
        }
    }

    /// Says what is wrong with all tenants together.
    pub(crate) fn trouble(&self, troubles: Vec<Trouble>) {
        let mut state = self.state();
        state.troubles = troubles;
        state.version += 1;
    }

    /// Waits until somebody looks.
    pub(crate) async fn looked_at(&self) {
        self.0.looked.notified().await;
    }

    /// What is known now. Says to whoever waits that somebody looks.
    pub(super) fn look(&self) -> Snapshot {
        self.0.looked.notify_one();
        let state = self.state();
        Snapshot {
            version: format!("{}-{}", self.0.name, state.version),
            tenants: state.tenants.iter().map(|(key, tenant)| (key.clone(), Arc::clone(tenant))).collect(),
            troubles: state.troubles.clone(),
        }
    }
}

/// What names a tenant in addresses.
fn key(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}
